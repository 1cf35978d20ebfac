"""Batch plans: every row once, in an order that depends on seed and epoch alone, in batches whose text fits."""

import numpy as np
import pytest

from msa_jax.data import batches
from msa_jax.data.batches import epoch_plan, ordered_plan
from msa_jax.data.packing import Capacity, choose_capacity, deal, plan_packing

SIZES = [(1, 1), (1, 32), (5, 32), (8, 8), (9, 8), (31, 8), (64, 1), (100, 4), (257, 7), (600, 32)]


def lengths_of(kind: str, rows: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return {
        "all 50": np.full(rows, 50),
        "all 2": np.full(rows, 2),
        "bimodal": np.where(np.arange(rows) % 2, 50, 3),
        "one long": np.r_[np.full(rows - 1, 3), 50],
        "one short": np.r_[np.full(rows - 1, 50), 2],
        "few long": np.where(rng.random(rows) < 0.03, 50, 4),
        "uniform": rng.integers(2, 51, rows),
        "sorted": np.sort(rng.integers(2, 51, rows)),
        "awkward": rng.choice([22, 31, 32, 33, 43, 50], rows),
        "speech": np.minimum(2 + rng.geometric(1 / 13, rows), 50),
        "beyond the usual widths": rng.integers(2, 200, rows),
        "empty": np.zeros(rows, int),
    }[kind]


KINDS = [
    "all 50", "all 2", "bimodal", "one long", "one short", "few long", "uniform", "sorted", "awkward", "speech",
    "beyond the usual widths", "empty",
]  # fmt: skip


def occupied(lengths: np.ndarray, plan, batch: int, capacity: Capacity) -> np.ndarray:
    """How many tokens lie in each slot of a batch's packed text."""
    slots = np.zeros(capacity.rows * capacity.width, int)
    for column, row in enumerate(plan.rows[batch]):
        if plan.weight[batch, column]:
            first = plan.packing.row[batch, column] * capacity.width + plan.packing.offset[batch, column]
            assert plan.packing.offset[batch, column] + lengths[row] <= capacity.width
            slots[first : first + lengths[row]] += 1
    return slots


@pytest.mark.parametrize("kind", KINDS)
def test_an_epoch_visits_every_row_once_and_its_text_fits(kind):
    for rows, batch_size in SIZES:
        lengths = lengths_of(kind, rows)
        capacity = choose_capacity(lengths, batch_size)
        for seed in range(3):
            plan = epoch_plan(rows, batch_size, seed=seed, epoch=1, lengths=lengths, capacity=capacity)
            assert plan.rows.shape == plan.weight.shape == (-(-rows // batch_size), batch_size)
            assert sorted(plan.rows[plan.weight > 0].tolist()) == list(range(rows))
            for batch in range(len(plan)):
                slots = occupied(lengths, plan, batch, capacity)
                assert slots.max(initial=0) <= 1
                assert slots.sum() == lengths[plan.rows[batch]][plan.weight[batch] > 0].sum()


@pytest.mark.parametrize("kind", KINDS)
def test_room_for_dealt_batches_is_room_for_every_epoch(kind):
    # Less than choose_capacity gives: exchanges alone do not always get there.
    for rows, batch_size in SIZES:
        lengths = lengths_of(kind, rows)
        dealt = np.zeros(-(-rows // batch_size) * batch_size, int)
        dealt[:rows] = lengths[deal(np.arange(rows), lengths, batch_size)]
        width = max(int(lengths.max()), 64)
        _, need = plan_packing(dealt.reshape(-1, batch_size), width)
        capacity = Capacity(max(1, int(need.max())), width)
        for seed in range(3):
            plan = epoch_plan(rows, batch_size, seed=seed, epoch=1, lengths=lengths, capacity=capacity)
            assert sorted(plan.rows[plan.weight > 0].tolist()) == list(range(rows))
            assert all(occupied(lengths, plan, batch, capacity).max() <= 1 for batch in range(len(plan)))


def test_a_dataset_sorted_by_length_fits_although_its_first_rows_are_short():
    lengths = np.sort(np.random.default_rng(0).integers(2, 51, 6000))
    capacity = choose_capacity(lengths, 64)
    plan = epoch_plan(6000, 64, seed=0, epoch=1, lengths=lengths, capacity=capacity)
    assert sorted(plan.rows[plan.weight > 0].tolist()) == list(range(6000))


@pytest.mark.parametrize("with_text", [False, True])
def test_the_order_depends_on_seed_and_epoch_and_nothing_else(with_text):
    lengths = lengths_of("speech", 100)
    text = {"lengths": lengths, "capacity": choose_capacity(lengths, 8)} if with_text else {}

    def rows(seed, epoch):
        np.random.seed(seed + epoch)  # noqa: NPY002 - numpy's global state must not matter
        return epoch_plan(100, 8, seed=seed, epoch=epoch, **text).rows

    np.testing.assert_array_equal(rows(1, 1), rows(1, 1))
    plans = [rows(seed, epoch).tobytes() for seed in (1, 2) for epoch in (1, 2, 3)]
    assert len(set(plans)) == 6


def test_only_batches_that_do_not_fit_are_changed():
    lengths = lengths_of("speech", 400)
    roomy = Capacity(8, 400)
    plain = epoch_plan(400, 8, seed=0, epoch=1)
    np.testing.assert_array_equal(epoch_plan(400, 8, seed=0, epoch=1, lengths=lengths, capacity=roomy).rows, plain.rows)
    fitted = epoch_plan(400, 8, seed=0, epoch=1, lengths=lengths, capacity=choose_capacity(lengths, 8))
    assert 0 < (fitted.rows != plain.rows).sum() < 0.2 * 400


def test_exchanges_that_are_done_in_the_last_round_count(monkeypatch):
    lengths, packed = lengths_of("speech", 400), []
    text = {"seed": 0, "epoch": 1, "lengths": lengths, "capacity": choose_capacity(lengths, 8)}

    def count(*given):
        packed.append(given)
        return plan_packing(*given)

    monkeypatch.setattr(batches, "plan_packing", count)
    want = epoch_plan(400, 8, **text)
    rounds = len(packed) - 2  # once before the exchanges, and once behind them
    assert 0 < rounds < batches.ROUNDS
    monkeypatch.setattr(batches, "ROUNDS", rounds)
    np.testing.assert_array_equal(epoch_plan(400, 8, **text).rows, want.rows)


@pytest.mark.parametrize("seed", range(5))
def test_nine_slots_of_ten_hold_a_token_and_few_rows_change_their_batch(seed):
    rows = 1284
    lengths = lengths_of("speech", rows)  # like MOSI's
    capacity = choose_capacity(lengths, 32)
    plain, fitted = (
        epoch_plan(rows, 32, seed=seed, epoch=1, **text) for text in ({}, {"lengths": lengths, "capacity": capacity})
    )
    assert lengths.sum() / (len(fitted) * capacity.rows * capacity.width) > 0.9
    assert 0 < (fitted.rows != plain.rows).mean() < 0.05


def test_a_shorter_last_batch_takes_no_part_in_exchanges():
    lengths = lengths_of("speech", 1284)
    text = {"lengths": lengths, "capacity": choose_capacity(lengths, 32)}
    for seed in range(5):
        plain = epoch_plan(1284, 32, seed=seed, epoch=1)
        np.testing.assert_array_equal(epoch_plan(1284, 32, seed=seed, epoch=1, **text).rows[-1], plain.rows[-1])


@pytest.mark.parametrize(("rows", "batch_size"), SIZES)
def test_an_ordered_plan_keeps_the_order_and_pads_the_end(rows, batch_size):
    plan = ordered_plan(np.arange(rows), batch_size)
    flat, weight = plan.rows.reshape(-1), plan.weight.reshape(-1)
    assert flat[:rows].tolist() == list(range(rows))
    assert weight.tolist() == [1.0] * rows + [0.0] * (len(flat) - rows)
    assert len(flat) - rows < batch_size


@pytest.mark.parametrize("kind", KINDS)
def test_an_ordered_plan_fits_the_capacity_for_ordered_rows(kind):
    lengths = lengths_of(kind, 61)
    capacity = choose_capacity(lengths, 16, ordered=True)
    plan = ordered_plan(np.arange(61), 16, lengths, capacity)
    assert all(occupied(lengths, plan, batch, capacity).max(initial=0) <= 1 for batch in range(len(plan)))


def test_padding_takes_no_room_in_packed_text():
    lengths = np.array([60, 2])  # padding points at row 0, the long one
    plan = ordered_plan(np.arange(2), 8, lengths, Capacity(1, 64))
    assert len(plan) == 1


def test_text_that_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="a batch needs 2 rows of packed text, there are 1"):
        ordered_plan(np.arange(2), 2, np.array([60, 60]), Capacity(1, 64))


def test_a_chunk_is_the_same_batches():
    lengths = lengths_of("uniform", 50)
    plan = epoch_plan(50, 8, seed=0, epoch=1, lengths=lengths, capacity=choose_capacity(lengths, 8))
    part = plan.chunk(2, 5)
    assert len(part) == 3
    np.testing.assert_array_equal(part.rows, plan.rows[2:5])
    np.testing.assert_array_equal(part.packing.offset, plan.packing.offset[2:5])
