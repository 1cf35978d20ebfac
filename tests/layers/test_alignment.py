"""Frames on the text's time axis, against loops over single sequences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.layers.alignment import align

LENGTH = np.array([7, 3, 5, 0, 1], np.int32)
TOKENS = np.array([4, 5, 5, 2, 1], np.int32)
FRAMES, STEPS, D = 7, 5, 3


def sequences(frames: int = FRAMES, fill: float = np.nan) -> np.ndarray:
    """[5, frames, 3], `fill` at padding."""
    x = np.random.default_rng(0).normal(size=(len(LENGTH), FRAMES, D)).astype(np.float32)
    x = np.pad(x, [(0, 0), (0, frames - FRAMES), (0, 0)])
    x[np.arange(frames) >= LENGTH[:, None]] = fill
    return x


def aligned(x, length=LENGTH, tokens=TOKENS, steps=STEPS, *, alignment, padded=(FRAMES, STEPS)) -> np.ndarray:
    return np.asarray(align(jnp.array(x), length, tokens, steps, alignment=alignment, padded=padded))


def windows(x: np.ndarray, steps: int, strided: bool) -> np.ndarray:
    """One padded sequence [L, d] -> [steps, d] as MMSA does it: repeat the last frame up to a multiple, fold, average."""
    size = -(-len(x) // steps)
    x = np.concatenate([x, np.repeat(x[-1:], size * steps - len(x), 0)])
    return np.array([(x[i::steps] if strided else x[i * size : (i + 1) * size]).mean(0) for i in range(steps)])


def test_adaptive_is_the_mean_over_each_tokens_share_of_the_frames():
    found = aligned(sequences(), alignment="adaptive")
    for row, (n, m) in enumerate(zip(LENGTH, TOKENS, strict=True)):
        for j in range(STEPS):
            share = sequences()[row, j * n // m : -(-(j + 1) * n // m)] if n and j < m else np.zeros((1, D))
            np.testing.assert_allclose(found[row, j], share.mean(0), atol=1e-6)


@pytest.mark.parametrize("alignment", ["adaptive", "required"])
@pytest.mark.parametrize("steps", [FRAMES, FRAMES + 3])
def test_as_many_frames_as_tokens_stay_as_they_are(alignment, steps):
    found = aligned(sequences(), tokens=LENGTH, steps=steps, alignment=alignment)
    np.testing.assert_array_equal(found[:, :FRAMES], sequences(fill=0.0))
    np.testing.assert_array_equal(found[:, FRAMES:], 0)


def test_aligned_frames_beyond_the_last_step_are_cut():
    found = aligned(sequences(FRAMES + 2), tokens=LENGTH, steps=FRAMES, alignment="required")
    np.testing.assert_array_equal(found, sequences(fill=0.0))


@pytest.mark.parametrize("alignment", ["contiguous", "strided"])
@pytest.mark.parametrize("steps", [1, 2, 3, 5, 7, 9])
def test_the_ways_of_mmsa_read_padded_windows(alignment, steps):
    found = aligned(sequences(), steps=steps, alignment=alignment, padded=(FRAMES, steps))
    for row, x in enumerate(sequences(fill=0.0)):
        np.testing.assert_allclose(found[row], windows(x, steps, alignment == "strided"), atol=1e-6)


@pytest.mark.parametrize("alignment", ["contiguous", "strided"])
def test_the_ways_of_mmsa_are_one_rule_for_splits_of_other_lengths(alignment):
    whole = aligned(sequences(), alignment=alignment)
    short = LENGTH <= 5  # a split whose longest sequence and text are shorter
    found = aligned(
        sequences()[short, :5], LENGTH[short], TOKENS[short], 4, alignment=alignment, padded=(FRAMES, STEPS)
    )
    np.testing.assert_allclose(found, whole[short, :4], atol=1e-6)


@pytest.mark.parametrize("alignment", ["adaptive", "required", "contiguous", "strided"])
def test_padding_and_other_samples_change_nothing(alignment):
    whole = aligned(sequences(), alignment=alignment)
    longer = aligned(sequences(FRAMES + 4, fill=1e9), steps=STEPS + 2, alignment=alignment)
    np.testing.assert_allclose(longer[:, :STEPS], whole, atol=1e-6)
    for row in range(len(LENGTH)):
        one = slice(row, row + 1)
        alone = aligned(sequences()[one], LENGTH[one], TOKENS[one], alignment=alignment)
        np.testing.assert_allclose(alone[0], whole[row], atol=1e-6)


@pytest.mark.parametrize("alignment", ["adaptive", "required", "contiguous", "strided"])
def test_gradients_are_zero_at_padding(alignment):
    def total(x):
        return align(x, LENGTH, TOKENS, STEPS, alignment=alignment, padded=(FRAMES, STEPS)).sum()

    gradient = np.asarray(jax.grad(total)(jnp.array(sequences())))
    np.testing.assert_array_equal(gradient[np.isnan(sequences())], 0)
    assert np.isfinite(gradient).all()


def test_an_unknown_way_is_refused():
    with pytest.raises(ValueError, match="adaptive, required, contiguous, strided"):
        aligned(sequences(), alignment="nearest")
