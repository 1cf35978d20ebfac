"""The compiled walk of an epoch: windows of batches, padding, gradients, random draws, and losses that are not finite."""

from collections.abc import Mapping
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.data.batches import Plan, ordered_plan
from msa_jax.methods.protocol import one_stage
from msa_jax.train.epoch import WindowRange
from tests.tiny import TOY, tiny_dataset
from tests.train.kit import STILL, Bench, alone, assert_equal, run_of

# The toy method with its first term alone, so that the gradient of a batch is that of a mean over its rows.
PLAIN = replace(
    TOY,
    stages=one_stage(
        lambda step, options, inputs: (
            {"error": jnp.abs(step.outputs["prediction"] - step.batch["label"])},
            step.memory,
        )
    ),
)


def plain(**options) -> Bench:
    rows = options.pop("rows", 24)
    dataset = tiny_dataset(modalities=("audio",), rows=(rows, 2, 2))
    return Bench(PLAIN, dataset, {"dropout": 0.0, "learning_rate.audio": 0.02, "learning_rate.other": 0.02, **options})


def gradient_by_hand(params, columns, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Of the mean of |w2 tanh(W1 x + b1) + b2 - label| over some rows, by the chain rule in float64."""
    w1, b1, w2, b2 = (
        np.asarray(params[f"{layer}/{name}"], np.float64)
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


def assert_gradient(got: Mapping[str, np.ndarray], want: Mapping[str, np.ndarray]) -> None:
    assert got.keys() == want.keys()
    for path, value in want.items():
        np.testing.assert_allclose(got[path], value, rtol=1e-4, atol=1e-6, err_msg=path)
    assert max(np.abs(value).max() for value in want.values()) > 0.01


def updates(state) -> int:
    return int(alone(state).updates["train"])


# -- gradients and windows --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large() -> Bench:
    """All rows in one mini-batch."""
    return plain(batch_size=24)


@pytest.fixture(scope="module")
def windows() -> Bench:
    """Three mini-batches in windows of two."""
    return plain(batch_size=8, accumulate=2)


@pytest.fixture(scope="module")
def toy_bench() -> Bench:
    """The whole toy method on 23 rows: five mini-batches of four and one of three, in windows of two."""
    return Bench(TOY, tiny_dataset(modalities=("audio",), rows=(23, 2, 2)), {"batch_size": 4, "accumulate": 2})


@pytest.fixture(scope="module")
def uneven() -> Bench:
    """A mini-batch of eight, and one of two that padding fills up."""
    return plain(rows=10, batch_size=8, **STILL)


def test_a_step_has_the_gradient_of_the_mean_over_its_rows(large):
    state, report = large.walk()
    assert_gradient(large.first_gradient(state), gradient_by_hand(large.params, large.columns, np.arange(24)))
    assert updates(state) == 1
    assert float(report.count[0]) == 24


def test_four_accumulated_batches_equal_one_that_is_four_times_as_large(large):
    small = plain(batch_size=6, accumulate=4)
    (at_once, _), (accumulated, report) = large.walk(), small.walk()
    assert updates(accumulated) == 1
    assert float(report.count[0]) == 24
    assert_gradient(small.first_gradient(accumulated), gradient_by_hand(large.params, large.columns, np.arange(24)))
    for path, value in at_once.params.items():
        np.testing.assert_allclose(accumulated.params[path], value, atol=1e-6)


def test_summed_gradients_are_four_times_as_large():
    bench = plain(batch_size=6, accumulate=4, accumulate_reduce="sum")
    state, _ = bench.walk()
    want = gradient_by_hand(bench.params, bench.columns, np.arange(24))
    assert_gradient(bench.first_gradient(state), {path: 4 * value for path, value in want.items()})


def test_an_incomplete_last_window_is_kept_with_the_mean_of_the_batches_it_has(windows):
    # Batches 16 to 24 alone; the plan keeps its shape, so that nothing is compiled again.
    last = ordered_plan(np.concatenate([np.arange(16, 24), np.arange(16)]), 8)
    state, report = windows.walk(plan=last, stop=1, count=1)
    assert updates(state) == 1
    assert float(report.count[0]) == 8
    assert_gradient(windows.first_gradient(state), gradient_by_hand(windows.params, windows.columns, np.arange(16, 24)))
    state, _ = windows.walk()
    assert updates(state) == 2


def test_an_incomplete_last_window_is_dropped_where_that_is_asked_for():
    bench = plain(batch_size=8, accumulate=2, tail="drop")
    whole, report = bench.walk()
    assert updates(whole) == 1
    assert float(report.count[0]) == 24  # its rows still count in the means
    first_window, _ = bench.walk(stop=1)
    assert_equal(whole.params, first_window.params)
    assert_equal(whole.optimiser, first_window.optimiser)


def test_an_epoch_in_parts_is_the_same_epoch(toy_bench):
    whole, report = toy_bench.walk()
    parts, first = toy_bench.walk(stop=1)
    parts, last = toy_bench.walk(parts, start=1, report=first)
    assert_equal(alone(whole), alone(parts))
    assert_equal(report, last)


def test_means_are_over_rows_and_not_over_batches(uneven):
    _, report = uneven.walk()
    features = uneven.columns["audio"]["features"].sum(1, dtype=np.float64) / uneven.columns["audio"]["length"][:, None]
    p = {path: np.asarray(value, np.float64) for path, value in uneven.params.items()}
    hidden = np.tanh(features @ p["audio_encoder/kernel"] + p["audio_encoder/bias"])
    error = np.abs((hidden @ p["score/kernel"] + p["score/bias"])[:, 0] - uneven.columns["label"])
    assert float(report.sums["error"][0] / report.count[0]) == pytest.approx(error.mean(), rel=1e-5)
    assert error.mean() != pytest.approx((error[:8].mean() + error[8:].mean()) / 2, rel=1e-3)


# -- padding ----------------------------------------------------------------------------------------------------------


def test_padding_of_the_last_batch_has_no_gradient(uneven):
    state, report = uneven.walk(start=1)
    assert_gradient(uneven.first_gradient(state), gradient_by_hand(uneven.params, uneven.columns, np.arange(8, 10)))
    assert float(report.count[0]) == 2


def test_what_padding_points_at_changes_no_bit(toy_bench):
    last = toy_bench.plan.chunk(5, 6)
    elsewhere = np.where(last.weight > 0, last.rows, 3).astype(np.int32)
    assert last.rows.tolist() == [[20, 21, 22, 0]]
    ends = [
        toy_bench.walk(toy_bench.state(epoch=np.int32(3)), plan=plan)
        for plan in (last, Plan(elsewhere, elsewhere, last.weight, last.packing))
    ]
    assert_equal(*[(alone(state), report) for state, report in ends])
    seen = alone(ends[0][0]).memory["last"] != toy_bench.initial.memory["last"]
    assert np.flatnonzero(seen).tolist() == [20, 21, 22]


# -- what moves -------------------------------------------------------------------------------------------------------


def test_runs_side_by_side_have_values_and_keys_of_their_own():
    bench = Bench(TOY, tiny_dataset(modalities=("audio",), rows=(8, 2, 2)), {"batch_size": 8, "dropout": 0.5})
    begun = [bench.initial, bench.initial]
    states = bench.inits.state([run_of(1), run_of(2)], 0, begun, epochs=np.zeros(2, np.int32)).train
    arrays, plans, real, _ = next(iter(bench.inits.read(0, begun).train.chunks([bench.plan, bench.plan])))
    frozen, values = {}, {"learning_rate.audio": np.float32([0.0, 0.1])}
    report = bench.phase.empty_report(states, frozen, arrays, plans)
    after, report = bench.phase.train(
        runs=2, states=states, frozen=frozen, data=arrays, plans=plans, span=WindowRange.of(0, 1, count=real),
        reports=report, values=values,
    )  # fmt: skip
    kernel = np.asarray(after.params["audio_encoder/kernel"])
    np.testing.assert_array_equal(kernel[0], bench.params["audio_encoder/kernel"])
    assert (kernel[1] != bench.params["audio_encoder/kernel"]).all()
    assert report.sums["multimodal"][0] != report.sums["multimodal"][1]  # dropout of another key


# -- randomness -------------------------------------------------------------------------------------------------------


def test_dropout_differs_between_steps_and_epochs_and_is_the_same_when_repeated():
    dataset = tiny_dataset(modalities=("audio",), rows=(4, 2, 2))
    bench = Bench(PLAIN, dataset, {"batch_size": 4, "dropout": 0.5, **STILL})

    def error(epoch: int, first: int) -> float:
        _, report = bench.walk(bench.state(epoch=np.int32(epoch)), first=first)
        return float(report.sums["error"][0])

    values = [error(epoch, first) for epoch in (1, 2, 3) for first in (0, 1, 2)]
    assert len(set(values)) > 6
    assert error(2, 1) == values[4]


# -- losses that are not finite ---------------------------------------------------------------------------------------


def test_the_first_batch_with_a_term_that_is_not_finite_is_named_and_ends_the_steps():
    dataset = tiny_dataset(modalities=("audio",), rows=(24, 2, 2))
    bench = Bench(TOY, dataset, {"batch_size": 4, "poison_epoch": 1, "poison_step": 2})
    state, report = bench.walk()
    assert int(report.bad_batch[0]) == 2
    assert [name for name, bad in zip(report.terms, np.asarray(report.bad_terms[0]), strict=True) if bad] == ["noise"]
    assert updates(state) == 3  # and no further
    # Batches are counted over the chunks of an epoch.
    _, report = bench.walk(first=10)
    assert int(report.bad_batch[0]) == 12


def test_where_devices_share_mini_batches_the_steps_go_on_behind_a_loss_that_is_not_finite():
    # Groups of devices with other runs take part in the same exchanges, and would wait for one that has ended.
    dataset = tiny_dataset(modalities=("audio",), rows=(24, 2, 2))
    options = {"batch_size": 4, "poison_epoch": 1, "poison_step": 2, "data_devices": 2}
    state, report = Bench(TOY, dataset, options).walk()
    assert int(report.bad_batch[0]) == 2
    assert updates(state) == 6
