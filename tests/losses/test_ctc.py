"""CTC against positions: a sum over all paths, frames that are too few, padding."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax import losses

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 4, 3)).astype(np.float32)  # at most 4 frames and 2 positions
LENGTH = np.array([4, 4, 3, 2, 1, 0], np.int32)
POSITIONS = np.array([2, 1, 2, 2, 2, 1], np.int32)
TOO_FEW = LENGTH < POSITIONS


def by_paths(logits: np.ndarray, positions: int) -> float:
    """Minus the logarithm of the sum over all sequences of classes that say 1, ..., n, in float64."""
    logits = logits.astype(np.float64)
    chance = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    total = 0.0
    for path in itertools.product(range(logits.shape[-1]), repeat=len(logits)):
        said = [label for label, _ in itertools.groupby(path) if label > 0]
        if said == list(range(1, positions + 1)):
            total += np.prod(chance[np.arange(len(path)), path])
    return -np.log(total)


def test_it_is_the_sum_over_all_paths():
    found = losses.position_ctc(LOGITS, LENGTH, POSITIONS)
    for row in np.flatnonzero(~TOO_FEW):
        expected = by_paths(LOGITS[row, : LENGTH[row]], POSITIONS[row])
        np.testing.assert_allclose(found[row], expected, rtol=1e-5)


def test_samples_of_too_few_frames_are_left_out():
    found, gradient = jax.vjp(lambda logits: losses.position_ctc(logits, LENGTH, POSITIONS), jnp.asarray(LOGITS))
    (gradient,) = gradient(jnp.ones(6))
    np.testing.assert_array_equal(found[TOO_FEW], 0)
    np.testing.assert_array_equal(gradient[TOO_FEW], 0)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient[~TOO_FEW]).max() > 0.1


def test_the_result_is_float32_for_logits_of_any_type():
    with jax.enable_x64(True):
        found = jax.eval_shape(losses.position_ctc, LOGITS.astype(np.float64), LENGTH, POSITIONS)
    assert found.dtype == jnp.float32


def test_no_positions_cost_nothing():
    assert losses.position_ctc(LOGITS[:1], LENGTH[:1], np.zeros(1, np.int32)) == 0


def test_what_stands_at_padding_changes_nothing():
    inside = (np.arange(4) < LENGTH[:, None])[..., None]
    found = losses.position_ctc(np.where(inside, LOGITS, 50).astype(np.float32), LENGTH, POSITIONS)
    np.testing.assert_allclose(found, losses.position_ctc(LOGITS, LENGTH, POSITIONS), rtol=1e-6)


def test_as_many_frames_as_positions_and_peaked_logits_cost_nothing():
    logits = 30 * np.eye(3, dtype=np.float32)[None, 1:]
    np.testing.assert_allclose(losses.position_ctc(logits, np.array([2]), np.array([2])), 0, atol=1e-5)


def test_jit_and_vmap_change_nothing():
    plain = losses.position_ctc(LOGITS, LENGTH, POSITIONS)
    np.testing.assert_allclose(jax.jit(losses.position_ctc)(LOGITS, LENGTH, POSITIONS), plain, rtol=1e-6)
    both = jax.vmap(losses.position_ctc)(*(np.stack([x, x]) for x in (LOGITS, LENGTH, POSITIONS)))
    np.testing.assert_allclose(both, np.stack([plain, plain]), rtol=1e-6)


def test_shapes_are_checked():
    with pytest.raises(AssertionError):
        losses.position_ctc(LOGITS[0], LENGTH, POSITIONS)
