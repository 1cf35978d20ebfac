"""SUGRM's rule for a modality that knows nothing, in closed form, as docs/sugrm_labels.md has it."""

import functools

import jax
import numpy as np
import pytest

from msa_jax.labels import sugrm

R, WIDTH = 3.0, 8
LABELS = np.round(np.linspace(-R, R, 61), 1).astype(np.float32)
LINEAR, SATURATING = (lambda y: y), (lambda y: 3 * np.tanh(y))


@functools.cache
def update():
    return jax.jit(functools.partial(sugrm.update, limit=R))


def new_labels(score, spread: float) -> np.ndarray:
    """What the rule says of every sample; score: of a label, along the first direction. Others have the length `spread`."""
    labels = np.concatenate([LABELS, LABELS])  # each once with n and once with -n, which cancel in all means
    rows = len(labels)
    noise = np.zeros((rows, WIDTH))
    noise[: len(LABELS), 1], noise[len(LABELS) :, 1] = spread, -spread
    features = (noise + score(labels.astype(np.float64))[:, None] * np.eye(WIDTH)[0]).astype(np.float32)
    given = np.arange(rows), {"m": features, "t": np.zeros_like(features)}
    state = update()(sugrm.init(labels, {"m": WIDTH, "t": WIDTH}), *given, epoch=1)
    moved = update()(state, *given, epoch=2).labels["t"]
    return (3 * np.asarray(moved, np.float64) - labels)[: len(LABELS)] / 2  # two thirds of u are what the rule says


@pytest.mark.parametrize("spread", [0.0, 1.0])
@pytest.mark.parametrize("score", [LINEAR, SATURATING], ids=["linear", "saturating"])
def test_an_uninformative_modality_in_closed_form(score, spread):
    y = LABELS.astype(np.float64)
    top = np.array([3.0, 2.9])  # the labels of the top class: the three largest, and all that equal the least of them
    want = y - np.sign(y) * top.mean() / score(top).mean() * np.sqrt(score(y) ** 2 + spread**2)
    found = new_labels(score, spread)
    np.testing.assert_allclose(found[y != 0], np.clip(want, -R, R)[y != 0], atol=2e-4)


def test_it_is_neutral_for_linear_features_and_against_the_label_otherwise():
    y = LABELS.astype(np.float64)
    np.testing.assert_allclose(new_labels(LINEAR, 0.0), 0, atol=2e-4)
    for score, spread in ((LINEAR, 1.0), (SATURATING, 0.0)):
        assert np.corrcoef(new_labels(score, spread)[y != 0], y[y != 0])[0, 1] < -0.5
    assert np.abs(new_labels(SATURATING, 0.0) - y)[np.abs(y) > 1.5].mean() > 2.5
