"""Stages: options of their own, a head and label of their own, partners, a text encoder that runs once, results of others."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.config import override
from msa_jax.errors import InputError
from msa_jax.methods import METHODS
from msa_jax.methods.protocol import Phase, Score, Stage
from msa_jax.train.checkpoint import load_stage
from msa_jax.train.evaluate import Scorer
from msa_jax.train.experiment_dir import Logs, MetricsFile
from msa_jax.train.predictor import Predictor
from msa_jax.train.prepare import prepare
from msa_jax.train.runner import Runner
from msa_jax.train.stage_data import StageReader
from tests.tiny import QUICK, TOY, TOY_QUICK, ToyOptions, tiny_dataset, train_quick, train_toy
from tests.train.kit import kept_params, lines_of, registered, run_of, runner_of

pytestmark = pytest.mark.usefixtures("toy")

AUDIO = tiny_dataset(modalities=("audio",), rows=(12, 6, 6))


PHASES = TOY.stages(ToyOptions(), None)[0].phases


def train_staged(out, *stages: Stage, dataset=AUDIO, options=None, **changes):
    """An experiment of the toy method with these stages, and other fields."""
    with registered(replace(TOY, stages=lambda options, inputs: stages, **changes)):
        return train_toy(out, dataset, options=options)


# -- options, head and label of a stage -------------------------------------------------------------------------------


def test_a_stage_has_options_of_its_own(tmp_path):
    first = Stage(name="first", phases=PHASES, options={"max_epochs": 2, "batch_size": 3, "learning_rate.other": 0.0})
    run = train_staged(tmp_path / "run", first, Stage(name="second", phases=PHASES), options={"record_steps": 1})
    assert [line["stage"] for line in lines_of(run.path)] == ["first"] * 2 + ["second"] * 4
    steps = [line["stage"] for line in lines_of(run.path / "steps" / "1.jsonl")]
    assert steps == ["first"] * 2 * 4 + ["second"] * 4 * 2  # 12 rows in batches of 3, then of 7
    start = runner_of(TOY, AUDIO, TOY_QUICK).inits.initial(run_of(1))
    left = load_stage(run.path / "checkpoints" / "1" / "stages" / "first", start).variables.params
    moved = {path for path, value in start.variables.params.items() if not np.array_equal(left[path], value)}
    assert moved == {"audio_encoder/kernel", "audio_encoder/bias"}  # the learning rate of the others was 0


def test_an_option_of_a_stage_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(InputError, match="unknown option 'batch_sizes'"):
        train_staged(tmp_path / "run", Stage(name="first", phases=PHASES, options={"batch_sizes": 2}))
    assert not (tmp_path / "run").exists()


def test_a_stage_is_selected_on_its_own_head_and_label(tmp_path):
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

    stage = Stage(name="audio", phases=PHASES, select=Score("audio", "label_a"))
    run = train_staged(
        tmp_path / "run",
        stage,
        dataset=dataset,
        options={"max_epochs": 2},
        network=Network,
        heads=("prediction", "audio"),
    )
    best = lines_of(run.path)[run.runs[0].best_epoch - 1]
    error = np.abs(2 * run.runs[0].scores["valid"]["prediction"] - dataset.valid.label_a).mean()
    assert best["valid"]["MAE"] == pytest.approx(error, abs=1e-5)
    assert run.runs[0].valid["MAE"] == pytest.approx(
        np.abs(run.runs[0].scores["valid"]["prediction"] - dataset.valid.label).mean(), abs=1e-5
    )


def test_a_stage_can_have_an_objective_of_its_own(tmp_path):
    def half(step, options, inputs):
        return {"half": 0.5 * jnp.abs(step.outputs["prediction"])}, step.memory

    run = train_staged(
        tmp_path / "run",
        Stage(name="half", phases=(Phase(objective=half),), options={"max_epochs": 1}),
        Stage(name="whole", phases=PHASES),
    )
    terms = [set(line["train"]) for line in lines_of(run.path)]
    assert terms[0] == {"half", "loss"}
    assert "multimodal" in terms[1]
    assert "half" not in terms[1]


# -- partners ---------------------------------------------------------------------------------------------------------


def test_partners_join_the_batch_behind_their_row(tmp_path):
    """Each row is joined by the two that follow it in the split; the objective sees their own labels, rows and frames."""

    def partners(memory, rows, key, options):
        return (rows[:, None] + jnp.arange(1, 3)[None, :]) % 12

    label, frames = AUDIO.train.label, AUDIO.train.audio[:, 0, 0]

    def objective(step, options, inputs):
        batch = step.batch
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
            "fit": jnp.abs(step.outputs["prediction"] - batch["label"]),
        }, step.memory

    phase = Phase(objective=objective, batch_terms=("same", "rows"), partners=partners)
    stage = Stage(name="joined", phases=(phase,), options={"max_epochs": 1})
    run = train_staged(tmp_path / "run", stage)
    train = lines_of(run.path)[0]["train"]
    assert train["right"] == train["own"] == train["same"] == 1
    assert train["rows"] == 21  # batches of 7
    # Partners of a row that only fills up the last batch do not count either.
    assert len(run.runs[0].scores["valid"]["prediction"]) == 6


def test_partners_need_the_training_split_on_the_device(tmp_path):
    phase = replace(PHASES[0], partners=lambda memory, rows, key, options: rows[:, None])
    stage = Stage(name="joined", phases=(phase,))
    with pytest.raises(InputError, match="option resident: stage joined"):
        train_staged(tmp_path / "run", stage, options={"resident": "no"})


# -- the text encoder runs once ---------------------------------------------------------------------------------------

FROZEN = {**QUICK, "finetune_text": False, "max_epochs": 3}
SELF_MM = METHODS["self_mm"]


def still(dataset, **changes):
    """A runner of Self-MM whose BERT drops nothing, so that running it once is running it in every step."""
    options = override(SELF_MM.options(), {**FROZEN, **changes})
    ready = prepare(dataset, SELF_MM, options)
    bert = replace(ready.inputs.text.bert, hidden_dropout=0.0, attention_dropout=0.0)
    text = replace(ready.inputs.text, bert=bert)
    return Runner(SELF_MM, options, replace(ready, inputs=replace(ready.inputs, text=text)), metric_kind="mosi")


def finish(runner, folder):
    folder.mkdir(parents=True)
    return runner.run([run_of(1, folder)], Logs(metrics=MetricsFile(folder / "m")))[0]


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
        Scorer, "text_states", lambda self, variables, split: calls.append(split) or original(self, variables, split)
    )
    runner = still(dataset)
    reader, programs = StageReader(runner.prepared.columns), runner.inits.stages[0]
    variables = runner.inits.initial(run_of(1)).variables
    for _ in range(3):
        data = reader.read(programs, variables)
    assert calls == ["train", "valid", "test"]
    assert data.lengths is None
    reader.read(programs, runner.inits.initial(run_of(2)).variables)
    assert calls == ["train", "valid", "test"] * 2


def test_an_encoder_that_is_trained_is_not_run_before(tmp_path, monkeypatch):
    monkeypatch.setattr(Scorer, "text_states", lambda *arguments: pytest.fail("the encoder is trained"))
    train_quick("self_mm", tiny_dataset(), tmp_path / "run", options={"max_epochs": 1})


def test_what_is_trained_and_what_is_frozen_are_apart_and_together_the_network():
    runner = still(tiny_dataset())
    init = runner.inits.initial(run_of(1))
    params, frozen = init.variables.params, runner.inits.stages[0].frozen(init.variables.params)
    assert set(frozen) == {path for path in params if path.startswith("text_encoder/")} != set()
    state = runner.inits.state([run_of(1)], 0, [init], epochs=np.zeros(1, np.int32))
    # So the text encoder is in no checkpoint of an epoch.
    assert set(state.train.params) == set(state.best.params) == set(params) - set(frozen)
    for path, value in runner.inits.left(state.best, frozen, init.memory).variables.params.items():
        np.testing.assert_array_equal(np.reshape(value, params[path].shape), params[path])


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


def test_stages_of_another_experiment_are_taken(source, tmp_path):
    taken = train_toy(tmp_path / "taken", AUDIO, seeds=(1, 2), options={**TWO, "stages_from": str(source.path)})
    assert {line["stage"] for line in lines_of(taken.path)} == {"score"}
    for one, other in zip(taken.runs, source.runs, strict=True):
        assert one.epochs == other.epochs - 2
        np.testing.assert_array_equal(one.scores["test"]["prediction"], other.scores["test"]["prediction"])


def test_the_only_run_of_another_experiment_serves_every_seed(tmp_path):
    source = train_toy(tmp_path / "source", AUDIO, options=TWO)
    taken = train_toy(tmp_path / "taken", AUDIO, seeds=(1, 7), options={**TWO, "stages_from": str(source.path)})
    kernels = [kept_params(taken.path, seed)["audio_encoder/kernel"] for seed in (1, 7)]
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
