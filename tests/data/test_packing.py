"""Packed text: where utterances go, what moves there, and that an encoder computes on it what it computes on padded text."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.data.packing import Capacity, choose_capacity, deal, pack, plan_packing
from msa_jax.encoders.bert import BertConfig
from msa_jax.encoders.text import TextEncoder, states_as_features


def random_lengths(seed: int, shape: tuple[int, ...], longest: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, longest + 1, shape)


def first_fit_decreasing(lengths: list[int], width: int) -> int:
    """How many rows the textbook algorithm needs."""
    rows: list[int] = []
    for length in sorted(lengths, reverse=True):
        row = next((row for row, used in enumerate(rows) if used + length <= width), None)
        if row is None:
            rows.append(length)
        else:
            rows[row] += length
    return sum(used > 0 for used in rows)


@pytest.mark.parametrize(("longest", "width"), [(50, 64), (64, 64), (5, 64), (33, 64), (1, 1)])
def test_utterances_never_overlap_and_never_leave_their_row(longest, width):
    lengths = random_lengths(longest, (20, 9), longest)
    packing, need = plan_packing(lengths, width)
    for batch in range(20):
        taken = set()
        for row, offset, length in zip(packing.row[batch], packing.offset[batch], lengths[batch], strict=True):
            slots = {(row, offset + step) for step in range(length)}
            assert offset + length <= width
            assert row < max(need[batch], 1)
            assert not slots & taken
            taken |= slots


@pytest.mark.parametrize("width", [50, 64, 96])
def test_as_many_rows_are_needed_as_first_fit_decreasing_takes(width):
    lengths = random_lengths(3, (30, 12), 50)
    _, need = plan_packing(lengths, width)
    assert need.tolist() == [first_fit_decreasing(batch.tolist(), width) for batch in lengths]


def test_an_utterance_without_tokens_takes_no_room():
    packing, need = plan_packing(np.array([[0, 64, 0], [0, 0, 0]]), 64)
    assert need.tolist() == [1, 0]
    assert packing.offset[0, 1] == 0


def test_a_row_is_filled_to_its_last_slot():
    _, need = plan_packing(np.array([[32, 16, 16, 64]]), 64)
    assert need.tolist() == [2]


# -- capacity ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [[50] * 10, [2] * 10, [50, 2] * 8, [7], list(range(2, 40))])
@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_capacity_for_rows_in_order_holds_every_batch(lengths, batch_size):
    lengths = np.array(lengths)
    capacity = choose_capacity(lengths, batch_size, ordered=True)
    for first in range(0, len(lengths), batch_size):
        assert first_fit_decreasing(lengths[first : first + batch_size].tolist(), capacity.width) <= capacity.rows


def test_capacity_holds_the_longest_utterance():
    assert choose_capacity(np.array([3, 3, 3, 130]), 4).width >= 130


def test_packing_short_utterances_takes_less_than_half_of_the_padded_slots():
    lengths = np.minimum(2 + np.random.default_rng(0).geometric(1 / 13, 1284), 50)  # like MOSI's
    capacity = choose_capacity(lengths, 32)
    assert capacity.rows * capacity.width < 0.5 * 32 * 50


def test_capacity_does_not_depend_on_the_order_of_the_rows_being_sorted():
    lengths = np.random.default_rng(1).integers(2, 51, 6000)
    ordered, shuffled = choose_capacity(np.sort(lengths), 32), choose_capacity(lengths, 32)
    slots = [capacity.rows * capacity.width for capacity in (ordered, shuffled)]
    assert abs(slots[0] - slots[1]) <= 2 * 64


def test_the_widths_to_choose_from_can_be_given():
    assert choose_capacity(np.array([5, 9]), 2, ordered=True, widths=(40,)) == Capacity(1, 40)


def test_text_without_any_token_has_a_capacity():
    capacity = choose_capacity(np.zeros(4, int), 2)
    assert capacity.rows >= 1
    assert capacity.width >= 1


# -- dealing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "size"), [(12, 4), (13, 4), (3, 4), (1, 1), (9, 1), (257, 16)])
def test_dealing_gives_every_row_once(count, size):
    lengths = random_lengths(count, (count,), 50)
    assert sorted(deal(np.arange(count), lengths, size)) == list(range(count))


def test_dealt_batches_have_about_the_same_tokens():
    lengths = random_lengths(0, (320,), 50)
    totals = lengths[deal(np.arange(320), lengths, 32)].reshape(-1, 32).sum(1)
    assert totals.max() - totals.min() <= 10  # whole batches of random rows differ by hundreds


def test_which_lengths_meet_in_a_dealt_batch_does_not_depend_on_the_order():
    lengths = random_lengths(0, (50,), 9)
    batches = [
        np.sort(lengths[deal(order, lengths, 8)][:48].reshape(6, 8)) for order in (np.arange(50), np.arange(50)[::-1])
    ]
    assert np.array_equal(*batches)
    assert not np.array_equal(deal(np.arange(50), lengths, 8), deal(np.arange(50)[::-1], lengths, 8))


# -- moving tokens ----------------------------------------------------------------------------------------------------


@pytest.fixture
def text() -> tuple[np.ndarray, np.ndarray]:
    """ids and mask [6, 11] of utterances of 0 to 11 tokens."""
    lengths = np.array([4, 11, 1, 7, 0, 3])
    mask = (np.arange(11) < lengths[:, None]).astype(np.int32)
    return np.random.default_rng(0).integers(1, 30, mask.shape).astype(np.int32) * mask, mask


def packed(ids: np.ndarray, mask: np.ndarray, width: int = 16) -> dict[str, np.ndarray]:
    packing, need = plan_packing(mask.sum(1)[None], width)
    capacity = Capacity(int(need[0]) + 1, width)  # with a row to spare
    moved = jax.jit(pack, static_argnames="capacity")(ids, mask, packing.row[0], packing.offset[0], capacity=capacity)
    return {name: np.asarray(value) for name, value in moved.items()}


def test_every_token_lies_in_its_slot_with_its_position_and_its_utterance(text):
    ids, mask = text
    moved = packed(ids, mask)
    for utterance, step in zip(*np.nonzero(mask), strict=True):
        row, column = divmod(int(moved["slot"][utterance, step]), 16)
        assert moved["ids"][row, column] == ids[utterance, step]
        assert moved["positions"][row, column] == step
        assert moved["segments"][row, column] == utterance + 1


def test_packed_arrays_are_of_32_bits_where_jax_has_64(text):
    expected = packed(*text)
    with jax.enable_x64(True):
        found = packed(*text)
    for name, array in found.items():
        assert array.dtype == np.int32, name
        np.testing.assert_array_equal(array, expected[name])


def test_slots_without_a_token_are_segment_zero(text):
    ids, mask = text
    moved = packed(ids, mask)
    assert (moved["segments"] > 0).sum() == mask.sum()
    assert (moved["ids"][moved["segments"] == 0] == 0).all()


def test_an_utterance_lies_in_one_piece(text):
    ids, mask = text
    slot = packed(ids, mask)["slot"]
    for utterance, length in enumerate(mask.sum(1)):
        assert all(after - before == 1 for before, after in pairwise(slot[utterance, :length].tolist()))


# -- the encoder on packed text ---------------------------------------------------------------------------------------

CONFIG = BertConfig(
    vocab_size=30,
    hidden_size=16,
    num_layers=1,
    num_heads=2,
    intermediate_size=32,
    max_positions=24,
    hidden_dropout=0.0,
    attention_dropout=0.0,
)


ENCODER = TextEncoder(CONFIG, pooler=True)


def utterances(lengths: list[int], steps: int) -> tuple[np.ndarray, np.ndarray]:
    """ids and mask [B, steps]"""
    mask = (np.arange(steps) < np.array(lengths)[:, None]).astype(np.int32)
    return np.random.default_rng(0).integers(1, 30, mask.shape).astype(np.int32) * mask, mask


@pytest.fixture(scope="module")
def params():
    ids, mask = utterances([3, 2], 4)
    return jax.jit(lambda key: ENCODER.init(key, {"ids": ids, "mask": mask}, train=False))(jax.random.key(0))


@pytest.fixture(scope="module")
def padded_and_packed(params):
    """Outputs and parameter gradients of the encoder on the same utterances, padded and packed."""
    ids, mask = utterances([4, 11, 2, 7, 3], 13)
    shape = (*mask.shape, CONFIG.hidden_size)
    pull = jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)  # a loss that looks at every state

    def loss(params, text):
        out = ENCODER.apply(params, text, train=True)
        return (out["hidden"] * pull).sum() + ((out["first"] + out["pooled"]) * pull[:, -1]).sum(), out

    step = jax.jit(jax.grad(loss, has_aux=True))
    return mask, step(params, {"ids": ids, "mask": mask}), step(params, packed(ids, mask))


@pytest.mark.slow
def test_hidden_states_of_packed_text_equal_those_of_padded_text(padded_and_packed):
    mask, (_, padded), (_, moved) = padded_and_packed
    assert moved["hidden"].shape == (5, 13, 16)
    np.testing.assert_allclose(moved["hidden"], padded["hidden"], atol=2e-6)
    np.testing.assert_allclose(moved["first"], padded["first"], atol=2e-6)
    np.testing.assert_allclose(moved["pooled"], padded["pooled"], atol=2e-6)
    assert (np.asarray(moved["hidden"])[mask == 0] == 0).all()
    assert (moved["mask"] == (mask > 0)).all()


def test_the_pooled_state_is_the_pooler_s_of_cls(params, padded_and_packed):
    _, (_, padded), _ = padded_and_packed
    pooler = params["params"]["bert"]["pooler"]
    want = np.tanh(
        np.asarray(padded["first"], np.float64) @ np.asarray(pooler["kernel"]) + np.asarray(pooler["bias"])[None, :]
    )
    np.testing.assert_allclose(padded["pooled"], want, atol=1e-5)


def test_states_that_were_kept_are_given_again(params, padded_and_packed):
    _, (_, padded), _ = padded_and_packed
    again = ENCODER.apply(params, states_as_features(padded), train=True)
    assert again.keys() == padded.keys()
    for name, value in padded.items():
        # The state of [CLS] may have been computed for itself, in another order than those that are kept.
        np.testing.assert_allclose(again[name], value, atol=1e-6 if name in ("first", "pooled") else 0)


def test_features_without_a_pooled_state_have_that_of_cls():
    features = {"features": np.ones((2, 3, 4), np.float32), "mask": np.ones((2, 3), np.int32)}
    states = TextEncoder(4, pooler=True).apply({}, features, train=False)
    np.testing.assert_array_equal(states["pooled"], states["first"])


def test_gradients_through_packed_text_equal_those_through_padded_text(padded_and_packed):
    _, (padded, _), (moved, _) = padded_and_packed
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(padded))
    assert largest > 0.1
    for (path, want), got in zip(jax.tree.leaves_with_path(padded), jax.tree.leaves(moved), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5 * largest, err_msg=jax.tree_util.keystr(path))


def test_other_utterances_in_the_batch_change_nothing(params):
    ids, mask = utterances([4, 6], 6)
    other = ids.copy()
    other[1] = (ids[1] + 7) % 30
    apply = jax.jit(lambda text: ENCODER.apply(params, text, train=False)["hidden"])
    states = [np.asarray(apply(packed(one, mask))) for one in (ids, other)]
    np.testing.assert_array_equal(states[0][0], states[1][0])
    assert not np.array_equal(states[0][1], states[1][1])
