"""What a stage reads: a text encoder that it does not train runs once, and its parameters lie apart."""

from dataclasses import replace

import numpy as np
import pytest

from msa_jax.config import override
from msa_jax.methods import METHODS
from msa_jax.train import device_data
from msa_jax.train.evaluate import Scorer
from msa_jax.train.experiment_dir import Logs, MetricsFile
from msa_jax.train.predictor import Predictor
from msa_jax.train.prepare import prepare
from msa_jax.train.runner import Runner
from msa_jax.train.stage_data import StageReader
from tests.tiny import QUICK, tiny_dataset, train_quick
from tests.train.kit import kept_params, run_of, runner_of

FROZEN = {**QUICK, "finetune_text": False}
TEXT = tiny_dataset(modalities=("text",))
TEXT_ONLY = METHODS["text_only"]


def still(method, dataset, **changes) -> Runner:
    """A runner whose BERT drops nothing, so that running it once is running it in every step."""
    options = override(method.options(), {**FROZEN, **changes})
    ready = prepare(dataset, method, options)
    bert = replace(ready.inputs.text.bert, hidden_dropout=0.0, attention_dropout=0.0)
    text = replace(ready.inputs.text, bert=bert)
    return Runner(method, options, replace(ready, inputs=replace(ready.inputs, text=text)), metric_kind="mosi")


def finish(runner: Runner, folder):
    folder.mkdir(parents=True)
    return runner.run([run_of(1, folder)], Logs(metrics=MetricsFile(folder / "m")))[0]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "packed"), [("text_only", True), ("self_mm", True), ("self_mm", False)])
def test_running_it_once_is_running_it_in_every_step(tmp_path, name, packed):
    dataset = TEXT if name == "text_only" else tiny_dataset()
    short = {"pack_text": packed, "max_epochs": 2}  # Adam makes rounding larger with every update
    once = finish(still(METHODS[name], dataset, **short), tmp_path / "once")
    every = finish(still(METHODS[name], dataset, **short, encode_once=False), tmp_path / "every")
    assert once.best_epoch == every.best_epoch
    for split in ("valid", "test"):
        for head, scores in every.scores[split].items():
            np.testing.assert_allclose(once.scores[split][head], scores, atol=2e-5)


@pytest.fixture(scope="module")
def frozen() -> Runner:
    return runner_of(TEXT_ONLY, TEXT, FROZEN)


def test_states_that_would_make_the_dataset_stream_are_computed_in_every_step(frozen, monkeypatch):
    columns = frozen.prepared.columns["train"]
    states = 4 * frozen.prepared.inputs.text.width * columns["text"]["ids"].size
    for room, once in ((device_data.bytes_of(columns) + states // 2, False), (100 * states, True)):
        monkeypatch.setattr(device_data, "device_memory", lambda room=room: room / device_data.SHARE)
        init = frozen.inits.initial(run_of(1))
        data = StageReader(frozen.prepared.columns).read(frozen.inits.stages[0], init.variables)
        assert not data.train.streams
        assert ("features" in data.train.columns["text"]) == once


def test_states_that_have_no_room_change_no_result(monkeypatch, tmp_path):
    def scores(room: int) -> np.ndarray:
        monkeypatch.setattr(device_data, "device_memory", lambda: room)
        runner, run = runner_of(TEXT_ONLY, TEXT, {**FROZEN, "resident": "yes", "learning_rate.other": 1e-2}), run_of(1)
        assert runner.prepared.inputs.text.bert.hidden_dropout > 0
        data = runner.inits.read(0, [runner.inits.initial(run)])
        lengths.append(data.lengths)
        kinds.append(sorted(data.train.columns["text"]))
        return finish(runner, tmp_path / str(room)).scores["test"]["prediction"]

    lengths, kinds = [], []
    np.testing.assert_allclose(scores(1), scores(10**12), atol=2e-5)
    assert kinds == [["ids", "mask"], ["features", "mask"]]
    np.testing.assert_array_equal(*lengths)  # by which mini-batches are planned


@pytest.fixture
def encoded(monkeypatch) -> list[str]:
    """The splits that are encoded before training."""
    calls, original = [], Scorer.text_states
    monkeypatch.setattr(
        Scorer, "text_states", lambda self, variables, split: calls.append(split) or original(self, variables, split)
    )
    return calls


def test_it_runs_once_for_all_runs_that_share_it_and_again_for_another(frozen, encoded):
    reader, programs = StageReader(frozen.prepared.columns), frozen.inits.stages[0]
    variables = frozen.inits.initial(run_of(1)).variables
    for _ in range(3):
        data = reader.read(programs, variables)
    assert encoded == ["train", "valid", "test"]
    assert data.train.columns["text"].keys() == {"features", "mask"}
    reader.read(programs, frozen.inits.initial(run_of(2)).variables)
    assert encoded == ["train", "valid", "test"] * 2


@pytest.mark.parametrize("changes", [{"finetune_text": True}, {"encode_once": False}], ids=str)
def test_an_encoder_that_is_trained_or_that_drops_anew_in_every_step_is_not_run_before(encoded, changes):
    runner = runner_of(TEXT_ONLY, TEXT, {**FROZEN, **changes})
    data = runner.inits.read(0, [runner.inits.initial(run_of(1))])
    assert encoded == []
    assert "ids" in data.train.columns["text"]
    assert data.lengths is not None


def test_what_is_trained_and_what_is_frozen_are_apart_and_together_the_network(frozen):
    init = frozen.inits.initial(run_of(1))
    params, shared = init.variables.params, frozen.inits.stages[0].frozen(init.variables.params)
    assert set(shared) == {path for path in params if path.startswith("text_encoder/")} != set()
    state = frozen.inits.state([run_of(1)], 0, [init], epochs=np.zeros(1, np.int32))
    # So the text encoder is in no checkpoint of an epoch.
    assert set(state.train.params) == set(state.best.params) == set(params) - set(shared)
    for path, value in frozen.inits.left(state.best, shared, init.memory).variables.params.items():
        np.testing.assert_array_equal(np.reshape(value, params[path].shape), params[path])


def test_a_frozen_text_encoder_does_not_move_everything_else_does_and_a_predictor_has_both(frozen, tmp_path):
    # In batches of three, signs of errors cannot cancel each other, so that every bias has a gradient.
    run = train_quick("text_only", TEXT, tmp_path / "run", options={**FROZEN, "batch_size": 3})
    before, after = frozen.inits.initial(run_of(1)).variables.params, kept_params(run.path)
    assert {path.split("/")[0] for path in before} == {"text_encoder", "score"}
    for path, value in before.items():
        assert np.array_equal(value, after[path]) == path.startswith("text_encoder/"), path
    scores = Predictor.load(run.path).predict(TEXT.test)
    np.testing.assert_allclose(scores, run.runs[0].scores["test"]["prediction"], atol=2e-5)
