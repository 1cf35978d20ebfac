"""Stages: options of their own, a head and label of their own, partners, a text encoder that runs once, results of others."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax import methods
from msa_jax.config import override
from msa_jax.errors import InputError
from msa_jax.methods import METHODS
from msa_jax.methods.protocol import Stage
from msa_jax.train.checkpoint import load_params
from msa_jax.train.folder import MetricsFile
from msa_jax.train.logs import Logs, Run
from msa_jax.train.predictor import Predictor
from msa_jax.train.prepare import prepare
from msa_jax.train.program import merge
from msa_jax.train.run import Runner
from msa_jax.train.score import Scorer
from msa_jax.train.stages import StageReader
from tests.tiny import QUICK, TOY, TOY_QUICK, tiny_dataset, train_quick, train_toy

AUDIO = tiny_dataset(modalities=("audio",), rows=(12, 6, 6))


def lines_of(path) -> list[dict]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def runner_of(method, dataset, options) -> Runner:
    resolved = override(method.options(), options)
    return Runner(method, resolved, prepare(dataset, method, resolved), metric_kind="mosi")


def train_staged(monkeypatch, out, *stages: Stage, dataset=AUDIO, options=None):
    """An experiment of the toy method with these stages."""
    monkeypatch.setitem(
        methods.METHODS,
        "toy",
        replace(TOY, stages=lambda options, inputs: stages, end_epoch=lambda memory, *rest: memory),
    )
    return train_toy(out, dataset, options=options)


# -- options, head and label of a stage -------------------------------------------------------------------------------


def test_a_stage_has_options_of_its_own(monkeypatch, tmp_path):
    first = Stage(name="first", options={"max_epochs": 2, "batch_size": 3, "learning_rate.other": 0.0})
    run = train_staged(monkeypatch, tmp_path / "run", first, Stage(name="second"), options={"record_steps": 1})
    assert [line["stage"] for line in lines_of(run.path)] == ["first"] * 2 + ["second"] * 4
    steps = [json.loads(line)["stage"] for line in (run.path / "steps" / "1.jsonl").read_text().splitlines()]
    assert steps == ["first"] * 2 * 4 + ["second"] * 4 * 2  # 12 rows in batches of 3, then of 7
    start = runner_of(TOY, AUDIO, TOY_QUICK).initial(one(1)).params
    left = load_params(run.path / "checkpoints" / "1" / "stages" / "first")["params"]
    np.testing.assert_array_equal(left["score"]["kernel"], start["score"]["kernel"])  # its learning rate was 0
    assert not np.array_equal(left["audio_encoder"]["kernel"], start["audio_encoder"]["kernel"])


def test_an_option_of_a_stage_that_does_not_exist_is_an_error(monkeypatch, tmp_path):
    with pytest.raises(InputError, match="unknown option 'batch_sizes'"):
        train_staged(monkeypatch, tmp_path / "run", Stage(name="first", options={"batch_sizes": 2}))
    assert not (tmp_path / "run").exists()


def test_a_stage_is_selected_on_its_own_head_and_label(monkeypatch, tmp_path):
    dataset = tiny_dataset(modalities=("audio",), rows=(12, 6, 6))
    rng = np.random.default_rng(5)
    splits = {
        name: replace(split, label_a=rng.uniform(-1, 1, len(split)).astype(np.float32))
        for name, split in dataset.splits().items()
    }
    dataset = replace(dataset, **splits)

    class Network(TOY.network):
        def __call__(self, batch, *, train):
            outputs = super().__call__(batch, train=train)
            return {**outputs, "audio": 2 * outputs["prediction"]}

    monkeypatch.setitem(
        methods.METHODS,
        "toy",
        replace(
            TOY,
            network=Network,
            heads=("prediction", "audio"),
            stages=lambda options, inputs: (Stage(name="audio", head="audio", label="label_a"),),
        ),
    )
    run = train_toy(tmp_path / "run", dataset, options={"max_epochs": 2})
    best = lines_of(run.path)[run.runs[0].best_epoch - 1]
    error = np.abs(2 * run.runs[0].scores["valid"]["prediction"] - dataset.valid.label_a).mean()
    assert best["valid"]["MAE"] == pytest.approx(error, abs=1e-5)
    assert run.runs[0].valid["MAE"] == pytest.approx(
        np.abs(run.runs[0].scores["valid"]["prediction"] - dataset.valid.label).mean(), abs=1e-5
    )


def test_a_stage_can_have_an_objective_of_its_own(monkeypatch, tmp_path):
    def half(outputs, batch, memory, clock, options, inputs):
        return {"half": 0.5 * jnp.abs(outputs["prediction"])}, memory

    run = train_staged(
        monkeypatch,
        tmp_path / "run",
        Stage(name="half", objective=half, options={"max_epochs": 1}),
        Stage(name="whole"),
    )
    terms = [set(line["train"]) for line in lines_of(run.path)]
    assert terms[0] == {"half", "loss"}
    assert "multimodal" in terms[1]
    assert "half" not in terms[1]


# -- partners ---------------------------------------------------------------------------------------------------------


def test_partners_join_the_batch_behind_their_row(monkeypatch, tmp_path):
    """Each row is joined by the two that follow it in the split; the objective sees their own labels, rows and frames."""

    def partners(memory, rows, key, options):
        return (rows[:, None] + jnp.arange(1, 3)[None, :]) % 12

    label, frames = AUDIO.train.label, AUDIO.train.audio[:, 0, 0]

    def objective(outputs, batch, memory, clock, options, inputs):
        rows = batch["row"].reshape(-1, 3)
        right = (rows[:, 1] == (rows[:, 0] + 1) % 12) & (rows[:, 2] == (rows[:, 0] + 2) % 12)
        own = jnp.isclose(batch["label"], jnp.asarray(label)[batch["row"]])
        own &= jnp.isclose(batch["audio"]["features"][:, 0, 0], jnp.asarray(frames)[batch["row"]])
        same = (batch["weight"].reshape(-1, 3) == batch["weight"].reshape(-1, 3)[:, :1]).all()
        return {
            "right": jnp.repeat(right, 3).astype(jnp.float32),
            "own": own.astype(jnp.float32),
            "same": same.astype(jnp.float32),
            "rows": jnp.float32(len(batch["label"])),
            "fit": jnp.abs(outputs["prediction"] - batch["label"]),
        }, memory

    stage = Stage(name="joined", partners=partners, objective=objective, options={"max_epochs": 1})
    run = train_staged(monkeypatch, tmp_path / "run", stage)
    train = lines_of(run.path)[0]["train"]
    assert train["right"] == train["own"] == train["same"] == 1
    assert train["rows"] == 21  # batches of 7
    # Partners of a row that only fills up the last batch do not count either.
    assert len(run.runs[0].scores["valid"]["prediction"]) == 6


def test_partners_need_the_training_split_on_the_device(monkeypatch, tmp_path):
    stage = Stage(name="joined", partners=lambda memory, rows, key, options: rows[:, None])
    with pytest.raises(InputError, match="option resident: stage joined"):
        train_staged(monkeypatch, tmp_path / "run", stage, options={"resident": "no"})


# -- the text encoder runs once ---------------------------------------------------------------------------------------

FROZEN = {**QUICK, "finetune_text": False, "max_epochs": 3}
SELF_MM = METHODS["self_mm"]


def still(dataset, **changes):
    """A runner of Self-MM whose BERT drops nothing, so that running it once is running it in every step."""
    options = override(SELF_MM.options(), {**FROZEN, **changes})
    ready = prepare(dataset, SELF_MM, options)
    text = replace(ready.inputs.text, hidden_dropout=0.0, attention_dropout=0.0)
    return Runner(SELF_MM, options, replace(ready, inputs=replace(ready.inputs, text=text)), metric_kind="mosi")


def finish(runner, folder):
    folder.mkdir(parents=True)
    return runner.run([one(1, folder)], Logs(metrics=MetricsFile(folder / "m")))[0]


def one(seed, folder=Path("nowhere")):
    return Run(number=0, seed=seed, folder=folder / str(seed))


@pytest.mark.parametrize("packed", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["packed", "padded"])
def test_running_it_once_is_running_it_in_every_step(tmp_path, packed):
    dataset = tiny_dataset()
    short = {"pack_text": packed, "max_epochs": 2}  # Adam makes rounding larger with every update
    once = finish(still(dataset, **short), tmp_path / "once")
    every = finish(still(dataset, **short, encode_once=False), tmp_path / "every")
    assert once.best_epoch == every.best_epoch
    for split in ("valid", "test"):
        for head, scores in every.scores[split].items():
            np.testing.assert_allclose(once.scores[split][head], scores, atol=2e-5)


def test_it_runs_once_for_all_runs_that_share_it_and_again_for_another(tmp_path, monkeypatch):
    dataset, calls = tiny_dataset(), []
    original = Scorer.text_states
    monkeypatch.setattr(
        Scorer, "text_states", lambda self, params, split: calls.append(split) or original(self, params, split)
    )
    runner = still(dataset)
    columns = runner.prepared.columns
    reader, program = StageReader(columns), runner._programs[0]
    params = runner.initial(one(1)).params
    for _ in range(3):
        data = reader.read(program, params)
    assert calls == ["train", "valid", "test"]
    assert data.lengths is None
    reader.read(program, runner.initial(one(2)).params)
    assert calls == ["train", "valid", "test"] * 2


def test_an_encoder_that_is_trained_is_not_run_before(tmp_path, monkeypatch):
    monkeypatch.setattr(Scorer, "text_states", lambda *arguments: pytest.fail("the encoder is trained"))
    train_quick("self_mm", tiny_dataset(), tmp_path / "run", options={"max_epochs": 1})


def test_what_is_trained_and_what_is_frozen_are_apart_and_together_the_network():
    runner = still(tiny_dataset())
    params = runner.initial(one(1)).params
    trained, frozen = runner._programs[0].split(params)
    assert set(frozen) == {"text_encoder"}
    assert "text_encoder" not in trained
    jax.tree.map(np.testing.assert_array_equal, merge(trained, frozen), params)
    state = runner._state([one(1)], 0, [runner.initial(one(1))], epochs=np.zeros(1, np.int32))
    assert "text_encoder" not in state.train.params  # so it is in no checkpoint of an epoch
    assert "text_encoder" not in state.best_params


def test_a_predictor_gives_the_scores_of_training(tmp_path):
    dataset = tiny_dataset()
    run = train_quick("self_mm", dataset, tmp_path / "run", options=FROZEN)
    scores = Predictor.load(run.path).predict(dataset.test)
    np.testing.assert_allclose(scores, run.runs[0].scores["test"]["prediction"], atol=2e-5)


# -- the first stages of another experiment ---------------------------------------------------------------------------

TWO = {"stages": 2, "encoder_epochs": 2}


@pytest.fixture
def source(toy, tmp_path):
    return train_toy(tmp_path / "source", AUDIO, seeds=(1, 2), options=TWO)


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(methods.METHODS, "toy", TOY)
    return TOY


def test_stages_of_another_experiment_are_taken(source, tmp_path):
    taken = train_toy(tmp_path / "taken", AUDIO, seeds=(1, 2), options={**TWO, "stages_from": str(source.path)})
    assert {line["stage"] for line in lines_of(taken.path)} == {"score"}
    for one, other in zip(taken.runs, source.runs, strict=True):
        assert one.epochs == other.epochs - 2
        np.testing.assert_array_equal(one.scores["test"]["prediction"], other.scores["test"]["prediction"])


def test_the_only_run_of_another_experiment_serves_every_seed(toy, tmp_path):
    source = train_toy(tmp_path / "source", AUDIO, options=TWO)
    taken = train_toy(tmp_path / "taken", AUDIO, seeds=(1, 7), options={**TWO, "stages_from": str(source.path)})
    kernels = [load_params(taken.path / "checkpoints" / seed)["audio_encoder"]["kernel"] for seed in ("1", "7")]
    np.testing.assert_array_equal(*kernels)
    assert not np.array_equal(*(run.scores["test"]["prediction"] for run in taken.runs))


def test_a_seed_that_another_experiment_lacks_is_an_error(source, tmp_path):
    with pytest.raises(InputError, match=r"no stages of seed 3; it has those of seeds 1, 2"):
        train_toy(tmp_path / "taken", AUDIO, seeds=(3,), options={**TWO, "stages_from": str(source.path)})
    assert not (tmp_path / "taken").exists()


def test_stages_of_another_network_are_refused(source, tmp_path):
    wide = tiny_dataset(modalities=("audio",), rows=(13, 6, 6))
    with pytest.raises(InputError, match="does not fit this experiment"):
        train_toy(tmp_path / "taken", wide, options={**TWO, "stages_from": str(source.path)})
    assert not (tmp_path / "taken").exists()


def test_stages_that_do_not_fit_overwrite_nothing(source, tmp_path):
    wide = tiny_dataset(modalities=("audio",), rows=(13, 6, 6))
    kept = train_toy(tmp_path / "kept", AUDIO, options=TWO)
    with pytest.raises(InputError, match="does not fit this experiment"):
        train_toy(kept.path, wide, options={**TWO, "stages_from": str(source.path)}, overwrite=True)
    assert (kept.path / "result.json").is_file()
