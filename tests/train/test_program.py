"""The compiled steps of training: windows of batches, padding, gradients, what moves and what does not."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from msa_jax.config import override
from msa_jax.data.batches import Plan, epoch_plan, ordered_plan
from msa_jax.data.preprocess import text_lengths
from msa_jax.data.schema import Dataset
from msa_jax.errors import InputError
from msa_jax.methods import METHODS, Method
from msa_jax.train.checkpoint import load_params
from msa_jax.train.logs import Run
from msa_jax.train.prepare import example_batch, prepare, pretrained
from msa_jax.train.program import Program, Span
from msa_jax.train.run import Runner
from msa_jax.train.stages import text_capacity
from tests.tiny import QUICK, TOY, tiny_dataset, train_quick

# The toy method with its first term alone, so that the gradient of a batch is that of a mean over its rows.
PLAIN = replace(
    TOY,
    objective=lambda outputs, batch, memory, clock, options, inputs: (
        {"error": jnp.abs(outputs["prediction"] - batch["label"])},
        memory,
    ),
    weights=lambda options, memory: {},
)


class Bench:
    """One method on one dataset, ready for single steps."""

    def __init__(self, method: Method, dataset: Dataset, options: Mapping[str, Any]):
        self.options = override(method.options(), options)
        prepared = prepare(dataset, method, self.options)
        self.columns = prepared.columns["train"]
        self.program = Program(
            method, self.options, prepared.inputs, stage=method.stages(self.options, prepared.inputs)[0], updates=10,
            capacity=text_capacity(self.columns, self.options), dtype=jnp.float32,
        )  # fmt: skip
        self.params = self.program.init_params(jax.random.key(0), example_batch(self.columns, 2))
        self.memory = self.program.init_memory(self.columns, {})
        rows, size, capacity = len(self.columns["label"]), self.options.batch_size, self.program.capacity
        if capacity is None:
            self.plan = ordered_plan(np.arange(rows), size)
        else:  # packed text does not fit in every order
            lengths = text_lengths(self.columns)
            self.plan = epoch_plan(rows, size, seed=0, epoch=1, lengths=lengths, capacity=capacity)

    def state(self):
        copy = lambda tree: jax.tree.map(jnp.copy, tree)  # noqa: E731 - steps donate their state
        return self.program.start(copy(self.params), copy(self.memory), jax.random.key(1))

    def walk(self, state=None, *, plan: Plan | None = None, start: int = 0, stop: int | None = None):
        plan = self.plan if plan is None else plan
        windows = -(-len(plan) // self.options.accumulate)
        state = self.state() if state is None else state
        data, device_plan = jax.device_put(self.columns), jax.tree.map(jnp.asarray, plan)
        report = self.program.empty_report(state, {}, data, device_plan)
        return self.program.train(
            state, {}, data, device_plan, Span.of(start, windows if stop is None else stop, count=len(plan)), report
        )


def first_gradient(state) -> dict[str, np.ndarray]:
    """The gradient of a first update, out of Adam's first moment: 0.1 of it."""
    found: dict[str, np.ndarray] = {}
    for _, moments in optax.tree_utils.tree_get_all_with_path(state.optimiser, "mu"):
        found |= {path: np.asarray(value) / 0.1 for path, value in moments.items() if isinstance(value, jax.Array)}
    return found


def gradient_by_hand(params, columns, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Of the mean of |w2 tanh(W1 x + b1) + b2 - label| over some rows, by the chain rule in float64."""
    w1, b1, w2, b2 = (
        np.asarray(params[layer][name], np.float64)
        for layer in ("audio_encoder", "score")
        for name in ("kernel", "bias")
    )
    x = columns["audio"]["features"][rows].sum(1, dtype=np.float64) / columns["audio"]["length"][rows, None]
    hidden = np.tanh(x @ w1 + b1)
    pull = np.sign((hidden @ w2 + b2)[:, 0] - columns["label"][rows]) / len(rows)  # dL / d score
    inner = (pull[:, None] * w2[:, 0]) * (1 - hidden**2)
    return {
        "audio_encoder/kernel": x.T @ inner,
        "audio_encoder/bias": inner.sum(0),
        "score/kernel": (hidden.T @ pull)[:, None],
        "score/bias": pull.sum(keepdims=True),
    }


def plain(**options) -> Bench:
    rows = options.pop("rows", 24)
    dataset = tiny_dataset(modalities=("audio",), rows=(rows, 2, 2))
    return Bench(PLAIN, dataset, {"dropout": 0.0, "learning_rate.audio": 0.02, "learning_rate.other": 0.02, **options})


def assert_gradient(got: Mapping[str, np.ndarray], want: Mapping[str, np.ndarray]) -> None:
    assert got.keys() == want.keys()
    for path, value in want.items():
        np.testing.assert_allclose(got[path], value, rtol=1e-4, atol=1e-6, err_msg=path)
    assert max(np.abs(value).max() for value in want.values()) > 0.01


# -- gradients and windows --------------------------------------------------------------------------------------------


def test_a_step_has_the_gradient_of_the_mean_over_its_rows():
    bench = plain(batch_size=24)
    state, report = bench.walk()
    assert_gradient(first_gradient(state), gradient_by_hand(bench.params, bench.columns, np.arange(24)))
    assert int(state.updates) == 1
    assert float(report.rows) == 24


def test_four_accumulated_batches_equal_one_that_is_four_times_as_large():
    large, small = plain(batch_size=24), plain(batch_size=6, accumulate=4)
    (at_once, _), (windows, report) = large.walk(), small.walk()
    assert int(windows.updates) == 1
    assert float(report.rows) == 24
    assert_gradient(first_gradient(windows), gradient_by_hand(large.params, large.columns, np.arange(24)))
    for path, value in flatten_dict(at_once.params, sep="/").items():
        np.testing.assert_allclose(flatten_dict(windows.params, sep="/")[path], value, atol=1e-6)


def test_summed_gradients_are_four_times_as_large():
    bench = plain(batch_size=6, accumulate=4, accumulate_reduce="sum")
    state, _ = bench.walk()
    want = gradient_by_hand(bench.params, bench.columns, np.arange(24))
    assert_gradient(first_gradient(state), {path: 4 * value for path, value in want.items()})


def test_an_incomplete_last_window_is_kept_with_the_mean_of_the_batches_it_has():
    bench = plain(batch_size=8, accumulate=2)
    only_last = ordered_plan(np.arange(24), 8).chunk(2, 3)
    state, _ = bench.walk(plan=only_last)
    assert int(state.updates) == 1
    assert_gradient(first_gradient(state), gradient_by_hand(bench.params, bench.columns, np.arange(16, 24)))
    state, _ = bench.walk()
    assert int(state.updates) == 2


def test_an_incomplete_last_window_is_dropped_where_that_is_asked_for():
    bench = plain(batch_size=8, accumulate=2, tail="drop")
    whole, report = bench.walk()
    assert int(whole.updates) == 1
    assert float(report.rows) == 24  # its rows still count in the means
    first_window, _ = bench.walk(stop=1)
    jax.tree.map(np.testing.assert_array_equal, whole.params, first_window.params)
    jax.tree.map(np.testing.assert_array_equal, whole.optimiser, first_window.optimiser)


def test_an_epoch_in_parts_is_the_same_epoch():
    dataset = tiny_dataset(modalities=("audio",), rows=(23, 2, 2))
    bench = Bench(TOY, dataset, {"batch_size": 4, "accumulate": 2})
    whole, report = bench.walk()
    parts, first = bench.walk(stop=1)
    data, plan = jax.device_put(bench.columns), jax.tree.map(jnp.asarray, bench.plan)
    parts, last = bench.program.train(parts, {}, data, plan, Span.of(1, 3, count=len(bench.plan)), first)
    jax.tree.map(np.testing.assert_array_equal, whole.replace(key=0), parts.replace(key=0))
    jax.tree.map(np.testing.assert_array_equal, report, last)


def test_means_are_over_rows_and_not_over_batches():
    bench = plain(rows=10, batch_size=8, **{"learning_rate.audio": 0.0, "learning_rate.other": 0.0})
    _, report = bench.walk()
    scores = bench.program.forward(
        bench.params, {**bench.columns, "weight": np.ones(10), "row": np.arange(10)}, 0, 0, None, ("prediction",)
    )
    error = np.abs(np.asarray(scores["prediction"]) - bench.columns["label"])
    assert float(report.sums["error"] / report.rows) == pytest.approx(error.mean(), rel=1e-5)
    assert error.mean() != pytest.approx((error[:8].mean() + error[8:].mean()) / 2, rel=1e-3)


# -- padding ----------------------------------------------------------------------------------------------------------


def test_padding_of_the_last_batch_has_no_gradient():
    bench = plain(rows=10, batch_size=8)
    state, report = bench.walk(plan=bench.plan.chunk(1, 2))
    assert_gradient(first_gradient(state), gradient_by_hand(bench.params, bench.columns, np.arange(8, 10)))
    assert float(report.rows) == 2


def test_what_padding_points_at_changes_nothing_in_self_mm():
    dataset = tiny_dataset(text="text", modalities=("text", "audio"), rows=(6, 2, 2))
    bench = Bench(METHODS["self_mm"], dataset, {**QUICK, "text_encoder": "features", "batch_size": 4})
    last = bench.plan.chunk(1, 2)
    elsewhere = np.where(last.weight > 0, last.rows, 3).astype(np.int32)
    assert last.rows.tolist() == [[4, 5, 0, 0]]
    ends = []
    for plan in (last, Plan(elsewhere, elsewhere, last.weight, last.packing)):
        state, report = bench.walk(
            bench.state().replace(epoch=jnp.int32(3)), plan=plan
        )  # an epoch in which u-labels move
        ends.append((state.replace(key=0), report))
    jax.tree.map(np.testing.assert_array_equal, *ends)
    features = np.asarray(ends[0][0].memory.features["m"])
    assert (features[:4] == 0).all()
    assert (features[4:] != 0).any()


# -- where it begins --------------------------------------------------------------------------------------------------


def test_what_is_given_is_taken_and_the_rest_is_drawn_as_without_it():
    bench = Bench(METHODS["text_only"], tiny_dataset(), QUICK)
    given = {"text_encoder": jax.tree.map(jnp.ones_like, bench.params["text_encoder"])}
    params = bench.program.init_params(jax.random.key(0), example_batch(bench.columns, 2), given)
    jax.tree.map(np.testing.assert_array_equal, params, {**bench.params, **given})


def test_a_pretrained_encoder_must_have_the_parameters_of_the_network():
    own = {"word": {"kernel": np.empty((5, 2))}, "pooler": {"bias": np.empty(2)}}
    shapes = {"text_encoder": {"bert": own}, "score": {"bias": np.empty(1)}}
    word, pooler, layer = {"kernel": np.ones((5, 2), np.float16)}, {"bias": np.zeros(2)}, {"bias": np.zeros(3)}
    assert pretrained(None, shapes) == {}
    for bert, names in (
        ({"word": word, "pooler": pooler}, {"word", "pooler"}),
        ({"word": word}, {"word"}),  # the pooler is drawn
        ({"word": word, "unused": layer}, {"word"}),
    ):
        found = pretrained(bert, shapes)["text_encoder"]["bert"]
        assert found.keys() == names
        assert found["word"]["kernel"].dtype == jnp.float32
    for bert in (
        {"pooler": pooler},
        {"word": layer},
        {"word": {"kernel": np.ones((5, 3))}},
        {"word": {**word, **layer}},
    ):
        with pytest.raises(InputError, match="do not fit the network"):
            pretrained(bert, shapes)


# -- what moves -------------------------------------------------------------------------------------------------------


def moved(bench: Bench) -> dict[str, bool]:
    state, _ = bench.walk(stop=1)
    before, after = (flatten_dict(tree, sep="/") for tree in (bench.params, state.params))
    assert before.keys() == after.keys()
    return {path: not np.array_equal(before[path], after[path]) for path in before}


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("self_mm", "raw_text", {}),
        pytest.param(
            "self_mm",
            "text",
            {**METHODS["self_mm"].reference, "text_encoder": "features", "batch_size": 6},
            marks=pytest.mark.slow,
        ),
        pytest.param("text_only", "raw_text", {}, marks=pytest.mark.slow),
    ],
    ids=["self_mm", "self_mm, reference", "text_only"],
)
def test_one_step_moves_every_parameter(name, text, options):
    bench = Bench(METHODS[name], tiny_dataset(text=text), {**QUICK, **options})
    if bench.memory:  # u-labels begin equal to the label, and then a unimodal task has weight 0
        bench.memory = bench.memory._replace(
            labels={task: label + (0.5 if task != "m" else 0.0) for task, label in bench.memory.labels.items()}
        )
    still = [path for path, has_moved in moved(bench).items() if not has_moved]
    assert still == []


def test_a_frozen_text_encoder_does_not_move_and_everything_else_does(tmp_path):
    dataset, method, options = tiny_dataset(), METHODS["text_only"], {**QUICK, "finetune_text": False, "batch_size": 3}
    resolved = override(method.options(), options)
    runner = Runner(method, resolved, prepare(dataset, method, resolved), metric_kind="mosi")
    before = flatten_dict(runner.initial(Run(number=0, seed=1, folder=Path("nowhere"))).params, sep="/")
    train_quick("text_only", dataset, tmp_path / "run", options=options)
    after = flatten_dict(load_params(tmp_path / "run" / "checkpoints" / "1"), sep="/")
    assert {path.split("/")[0] for path in before} == {"text_encoder", "score"}
    for path, value in before.items():
        assert np.array_equal(value, after[path]) == path.startswith("text_encoder/"), path


# -- randomness -------------------------------------------------------------------------------------------------------


def test_dropout_differs_between_steps_and_epochs_and_is_the_same_when_repeated():
    silent = {"learning_rate.audio": 0.0, "learning_rate.other": 0.0}
    dataset = tiny_dataset(modalities=("audio",), rows=(4, 2, 2))
    bench = Bench(PLAIN, dataset, {"batch_size": 4, "dropout": 0.5, **silent})

    def error(epoch: int, first: int) -> float:
        data, plan = jax.device_put(bench.columns), jax.tree.map(jnp.asarray, bench.plan)
        state = bench.state().replace(epoch=jnp.int32(epoch))
        report = bench.program.empty_report(state, {}, data, plan)
        _, report = bench.program.train(state, {}, data, plan, Span.of(0, 1, count=1, first=first), report)
        return float(report.sums["error"])

    values = [error(epoch, first) for epoch in (1, 2, 3) for first in (0, 1, 2)]
    assert len(set(values)) > 6
    assert error(2, 1) == values[4]


# -- losses that are not finite ---------------------------------------------------------------------------------------


def test_the_first_batch_with_a_term_that_is_not_finite_is_named_and_ends_the_steps():
    dataset = tiny_dataset(modalities=("audio",), rows=(24, 2, 2))
    bench = Bench(TOY, dataset, {"batch_size": 4, "poison_epoch": 1, "poison_step": 2})
    state, report = bench.walk()
    assert int(report.bad_batch) == 2
    names = [name for name in report.sums if name != "loss"]
    assert [name for name, bad in zip(names, np.asarray(report.bad_terms), strict=True) if bad] == ["noise"]
    assert int(state.updates) == 3  # and no further


def test_batches_are_counted_over_the_chunks_of_an_epoch():
    dataset = tiny_dataset(modalities=("audio",), rows=(4, 2, 2))
    bench = Bench(TOY, dataset, {"batch_size": 4, "poison_epoch": 1, "poison_step": 0})
    data, plan = jax.device_put(bench.columns), jax.tree.map(jnp.asarray, bench.plan)
    state = bench.state()
    report = bench.program.empty_report(state, {}, data, plan)
    _, report = bench.program.train(state, {}, data, plan, Span.of(0, 1, count=1, first=10), report)
    assert int(report.bad_batch) == 10
