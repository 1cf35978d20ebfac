"""Stages: options of their own, a head and label of their own, an objective of their own, partners."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.errors import InputError
from msa_jax.methods.protocol import Begin, Phase, Score, Stage
from msa_jax.train.checkpoint import load_stage
from msa_jax.train.experiment import resume
from msa_jax.train.predictor import Predictor
from tests.tiny import TOY, TOY_QUICK, ToyOptions, contrary, tiny_dataset, train_toy
from tests.train.kit import lines_of, registered, run_of, runner_of

pytestmark = pytest.mark.usefixtures("toy")

AUDIO = tiny_dataset(modalities=("audio",), rows=(12, 6, 6))
PHASES = TOY.stages(ToyOptions(), None)[0].phases


def train_staged(out, *stages: Stage, dataset=AUDIO, options=None, **changes):
    """An experiment of the toy method with these stages, and other fields."""
    with registered(replace(TOY, stages=lambda options, inputs: stages, **changes)):
        return train_toy(out, dataset, options=options)


# -- options, head and label of a stage -------------------------------------------------------------------------------


def test_a_stage_has_options_and_an_objective_of_its_own(tmp_path):
    def half(step, options, inputs):
        return {"half": 0.5 * jnp.abs(step.outputs["prediction"])}, step.memory

    own = {"max_epochs": 2, "batch_size": 3, "learning_rate.other": 0.0}
    first = Stage(name="first", phases=(Phase(objective=half),), options=own)
    run = train_staged(tmp_path / "run", first, Stage(name="second", phases=PHASES), options={"record_steps": 1})
    lines = lines_of(run.path)
    assert [line["stage"] for line in lines] == ["first"] * 2 + ["second"] * 4
    assert all(line["train"].keys() == {"half", "loss"} for line in lines[:2])
    assert all(line["train"].keys() == {"multimodal", "inertia", "noise", "spread", "loss"} for line in lines[2:])
    steps = [line["stage"] for line in lines_of(run.path / "steps" / "1.jsonl")]
    assert steps == ["first"] * 2 * 4 + ["second"] * 4 * 2  # 12 rows in batches of 3, then of 7
    start = runner_of(TOY, AUDIO, TOY_QUICK).inits.initial(run_of(1))
    left = load_stage(run.path / "checkpoints" / "1" / "stages" / "first", start).variables.params
    moved = {path for path, value in start.variables.params.items() if not np.array_equal(left[path], value)}
    assert moved == {"audio_encoder/kernel", "audio_encoder/bias"}  # the learning rate of the others was 0


def test_a_stage_begins_with_what_the_network_says_of_train_as_it_finds_it(tmp_path):
    told = []

    def begin(memory, outputs, columns, options, inputs):
        told.append((memory["last"], outputs["prediction"]))
        return {**memory, "last": jnp.full_like(memory["last"], 100)}

    still = {"max_epochs": 1, "learning_rate.other": 0.0, "learning_rate.audio": 0.0}
    second = Stage(name="second", phases=PHASES, options=still, begin=Begin(("prediction",), begin))
    run = train_staged(tmp_path / "run", Stage(name="first", phases=PHASES, options={"max_epochs": 2}), second)
    assert len(told) == 1  # of a run
    _, scores = told[0]
    assert scores.shape == (len(AUDIO.train),)
    with registered(replace(TOY, stages=lambda options, inputs: (second,))):
        found = Predictor.load(run.path).predict(AUDIO.train)  # nothing moves in the second stage
    np.testing.assert_allclose(scores, found, atol=1e-6)
    inertia = lines_of(run.path)[-1]["train"]["inertia"]  # (score - last)^2, of the memory that it began with
    assert inertia == pytest.approx(np.mean((np.asarray(scores) - 100) ** 2), rel=1e-3)


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


def test_no_epoch_before_the_first_that_may_be_selected_is_the_best(tmp_path):
    worse = contrary(AUDIO)  # every epoch makes valid worse
    options = {"max_epochs": 5, "patience": 2}
    assert train_staged(tmp_path / "any", Stage(phases=PHASES), dataset=worse, options=options).runs[0].best_epoch == 1
    late = Stage(phases=PHASES, select_from=3)
    run = train_staged(tmp_path / "late", late, dataset=worse, options=options)
    assert (run.runs[0].best_epoch, run.runs[0].epochs) == (3, 5)
    lines = lines_of(run.path)
    assert run.runs[0].valid["MAE"] == pytest.approx(lines[2]["valid"]["MAE"], abs=1e-6)
    assert lines[0]["valid"]["MAE"] < lines[2]["valid"]["MAE"]


@pytest.mark.slow
def test_a_stage_that_had_too_few_epochs_goes_on_as_if_it_had_had_them_all(tmp_path):
    late = Stage(phases=PHASES, select_from=3)
    with registered(replace(TOY, stages=lambda options, inputs: (late,))):
        once = train_toy(tmp_path / "once", contrary(AUDIO), options={"max_epochs": 4})
        short = train_toy(tmp_path / "short", contrary(AUDIO), options={"max_epochs": 2}, keep_state=True)
        assert short.runs[0].best_epoch == 2
        longer = resume(tmp_path / "short", max_epochs=4, data=contrary(AUDIO), log=None)
    assert longer.runs[0].best_epoch == once.runs[0].best_epoch == 3
    np.testing.assert_array_equal(
        longer.runs[0].scores["test"]["prediction"], once.runs[0].scores["test"]["prediction"]
    )


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
