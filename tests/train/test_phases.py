"""Several phases in an epoch: moments, updates, orders and shares of their own, one after the other."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from msa_jax.methods.protocol import Phase, Stage
from tests.tiny import TOY, TOY_QUICK, ToyOptions, tiny_dataset, train_toy
from tests.train.kit import (
    AUDIO,
    Bench,
    alone,
    interrupt_and_resume,
    lines_of,
    outcome,
    registered,
    seen_plans,
    toy_experiment,
)


def _first(step, options, inputs):
    memory = {**step.memory, "walked": step.memory["walked"] + 1}
    return {"error": jnp.abs(step.outputs["prediction"] - step.batch["label"])}, memory


def _second(step, options, inputs):
    # Sees what the first has left in this epoch: how many mini-batches it has walked, and its mean.
    return {
        "square": (step.outputs["prediction"] - step.batch["label"]) ** 2,
        "walked": step.memory["walked"],
        "left": step.memory["left"],
        "step": step.clock.step.astype(jnp.float32),
    }, step.memory


STAGE = Stage(
    phases=(
        Phase(
            name="encode",
            objective=_first,
            trains="^audio_encoder/",
            share=0.5,
            weights=lambda options, inputs, memory, clock: {"error": 2.0 + clock.epoch},
            end_epoch=lambda memory, means, options, inputs: {**memory, "left": means["error"]},
        ),
        Phase(
            name="score",
            objective=_second,
            batch_terms=("walked", "left", "step"),
            trains="^score/",
            weights=lambda *arguments: {"walked": 0.0, "left": 0.0, "step": 0.0},
        ),
    )
)
PHASED = replace(
    TOY,
    name="phased",
    stages=lambda options, inputs: (STAGE,),
    init_memory=lambda options, inputs, columns: {"walked": jnp.float32(0), "left": jnp.float32(0)},
    records=lambda memory: {},
)


@pytest.fixture(autouse=True, scope="module")
def phased():
    with registered(PHASED) as method:
        yield method


@pytest.fixture(scope="module")
def finished_and_plans(phased, tmp_path_factory):
    """Three epochs of two runs one after the other, 24 rows in batches of 7; and the plans of all phases."""
    options = {"max_epochs": 3, "runs_per_program": 1, "record_steps": 2}
    with seen_plans() as plans:
        out = tmp_path_factory.mktemp("phased") / "run"
        done = train_toy(out, AUDIO, method="phased", seeds=(1, 2), options=options)
    return done, plans


@pytest.fixture(scope="module")
def finished(finished_and_plans):
    return finished_and_plans[0]


@pytest.mark.parametrize(("phase", "moves"), [(0, "audio_encoder"), (1, "score")])
def test_each_phase_moves_its_own_parameters_with_moments_and_updates_of_its_own(phase, moves):
    bench = Bench(PHASED, AUDIO, TOY_QUICK, phase=phase)
    name, other = (("encode", "score"), ("score", "encode"))[phase]
    state = alone(bench.walk()[0])
    for path, value in state.params.items():
        assert np.array_equal(value, bench.params[path]) != path.startswith(f"{moves}/"), path
    assert state.updates == {name: 4, other: 0}
    assert set(bench.phase.paths) == {f"{moves}/kernel", f"{moves}/bias"}
    assert int(state.optimiser[name].count) == 4
    assert all((value != 0).all() for value in state.optimiser[name].mu.values())
    assert not any(leaf.any() for leaf in jax.tree.leaves(state.optimiser[other]))


def test_a_phase_walks_its_share_of_the_mini_batches_and_its_schedule_is_as_long():
    def phases(share: float):
        stage = replace(STAGE, phases=(replace(STAGE.phases[0], share=share), STAGE.phases[1]))
        method = replace(PHASED, stages=lambda options, inputs: (stage,))
        first, second = Bench(method, AUDIO, {**TOY_QUICK, "batch_size": 7, "accumulate": 2}).programs.phases
        assert (second.batches, second.walk.updates) == (4, 4 * 2)  # max_epochs * windows
        return first.batches, first.walk.updates

    assert phases(0.5) == (2, 4 * 1)
    assert phases(0.75) == (3, 4 * 2)
    assert phases(0.01) == (1, 4 * 1)  # one at least


def test_the_keys_of_phases_differ():
    bench = Bench(PHASED, AUDIO, TOY_QUICK)
    state = jax.tree.map(lambda leaf: leaf[0], bench.state())
    keys = [phase.walk.step_key(state, jnp.int32(step)) for phase in bench.programs.phases for step in range(4)]
    assert len({jax.random.key_data(key).tobytes() for key in keys}) == 8


def test_lines_name_phase_and_term_and_phases_follow_each_other(finished):
    for run in (0, 1):
        for epoch, line in enumerate((line for line in lines_of(finished.path) if line["run"] == run), 1):
            train = line["train"]
            assert train.keys() == {
                "encode/error", "encode/loss", "score/square", "score/walked", "score/left", "score/step", "score/loss",
                "loss",
            }  # fmt: skip
            assert train["encode/loss"] == pytest.approx((2 + epoch) * train["encode/error"], rel=1e-5)
            assert train["loss"] == train["score/loss"] == pytest.approx(train["score/square"], rel=1e-5)
            assert train["score/walked"] == 2 * epoch  # half of four mini-batches
            assert train["score/left"] == pytest.approx(train["encode/error"], rel=1e-5)
            # Updates before each of four steps, the last with three rows of 24.
            assert train["score/step"] == pytest.approx(4 * (epoch - 1) + (7 * (0 + 1 + 2) + 3 * 3) / 24, rel=1e-5)
            assert line["weights"] == {"encode/error": 2 + epoch, "score/walked": 0, "score/left": 0, "score/step": 0}


def test_records_are_those_of_the_last_phase(finished):
    lines = lines_of(finished.path / "steps" / "1.jsonl")
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12]
    assert all(line["train"].keys() == {"square", "walked", "left", "step", "loss"} for line in lines)


def test_every_phase_of_every_epoch_has_an_order_of_its_own(finished_and_plans):
    plans = [plan.rows for _, _, plan in finished_and_plans[1]]
    assert [len(rows) for rows in plans] == [4] * 12
    assert len({rows.tobytes() for rows in plans}) == 12  # two phases, three epochs, two runs


@pytest.mark.slow
def test_runs_side_by_side_are_runs_alone(finished, tmp_path):
    options = {"max_epochs": 3, "runs_per_program": 2}
    joined = train_toy(tmp_path / "run", AUDIO, method="phased", seeds=(1, 2), options=options)
    for one, other in zip(finished.runs, joined.runs, strict=True):
        np.testing.assert_allclose(one.scores["test"]["prediction"], other.scores["test"]["prediction"], atol=1e-5)


@pytest.mark.slow
def test_a_resumed_run_ends_as_a_straight_one(tmp_path):
    options = {"max_epochs": 4, "accumulate": 2, "schedule": "plateau", "plateau_patience": 0, "min_delta": 0.5}
    begin = {name: toy_experiment(tmp_path / name, method="phased", seeds=(1,), **options) for name in ("one", "two")}
    begin["one"](None)
    assert interrupt_and_resume(tmp_path / "two", [1, 2], begin["two"]) == outcome(tmp_path / "one")


@pytest.mark.slow
def test_a_phase_reads_the_whole_split_where_it_streams(tmp_path, monkeypatch, finished):
    monkeypatch.setattr("msa_jax.train.device_data.STREAM_BYTES", 1)  # one batch at a time
    dataset = tiny_dataset(modalities=("audio",))
    options = {"max_epochs": 3, "resident": "no", "record_steps": 2}
    streamed = train_toy(tmp_path / "run", dataset, method="phased", seeds=(1, 2), options=options)
    for one, other in zip(finished.runs, streamed.runs, strict=True):
        np.testing.assert_array_equal(one.scores["test"]["prediction"], other.scores["test"]["prediction"])


class Seen:
    """A tracker that keeps the numbers of the last epoch."""

    measures = True

    def begin(self, run, epoch): ...

    def epoch(self, records):
        self.scalars = records[-1].scalars

    def close(self): ...


def _towards_the_start(options):
    """Descent with momentum that is drawn back to where it began: a state that begins with the parameters."""

    def update(change, start, params):
        return jax.tree.map(lambda change, value, begun: change - 0.1 * (value - begun), change, params, start), start

    back = optax.GradientTransformation(lambda params: jax.tree.map(jnp.copy, params), update)
    return optax.chain(optax.clip(1.0), optax.sgd(0.05, momentum=0.9), back)


@pytest.mark.slow
def test_an_optimiser_of_optax_takes_the_place_of_adam_and_is_resumed(tmp_path):
    (stage,) = TOY.stages(ToyOptions(), None)
    phase = replace(stage.phases[0], optimiser=_towards_the_start)
    method = replace(TOY, name="descent", stages=lambda options, inputs: (replace(stage, phases=(phase,)),))
    options = {"seeds": (1,), "max_epochs": 3}
    with registered(method):
        begin = {name: toy_experiment(tmp_path / name, method="descent", **options) for name in ("one", "two")}
        begin["one"](None)
        assert interrupt_and_resume(tmp_path / "two", [1], begin["two"]) == outcome(tmp_path / "one")
        seen = Seen()
        train_toy(tmp_path / "watched", AUDIO, method="descent", options={"max_epochs": 1}, trackers=[seen])
    lines = lines_of(tmp_path / "one" / "metrics.jsonl")
    assert lines[-1]["train"]["loss"] < lines[0]["train"]["loss"]
    assert set(seen.scalars) == {"norm/parameters", "norm/moved", "steps_per_second"}  # no rates, no moments of Adam
    assert seen.scalars["norm/moved"] > 0
