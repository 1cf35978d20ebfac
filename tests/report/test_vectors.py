"""Numbers on how vectors lie, against scikit-learn, closed forms and plain loops."""

import numpy as np
import pytest

from msa_jax.report import vectors as v

RNG = np.random.default_rng(0)
CLOUD = RNG.normal(size=(60, 5))
CLASSES = RNG.integers(-1, 2, 60)


@pytest.fixture(params=[512, 7])
def block(request, monkeypatch):
    """The whole matrix at once, or a few rows at a time."""
    monkeypatch.setattr(v, "BLOCK", request.param)


# -- effective rank ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_as_many_equal_directions_are_that_rank(rank):
    directions = np.linalg.qr(RNG.normal(size=(8, 8)))[0][:rank]
    assert v.effective_rank(np.repeat(directions, 6, axis=0)) == pytest.approx(rank, rel=1e-9)


def test_effective_rank_is_the_exponential_of_an_entropy():
    # Singular values 3 and 1: shares 3/4 and 1/4.
    want = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert v.effective_rank(np.array([[3.0, 0, 0], [0, 1.0, 0]])) == pytest.approx(want, rel=1e-12)


def test_vectors_that_have_collapsed_have_rank_one_and_zeros_none():
    one = RNG.normal(size=(1, 16))
    assert v.effective_rank(np.repeat(one, 50, axis=0)) == pytest.approx(1, abs=1e-6)
    assert v.effective_rank(RNG.uniform(1, 2, (50, 1)) * one) == pytest.approx(1, abs=1e-6)
    assert v.effective_rank(one + RNG.normal(0, 1e-4, (50, 16))) < 1.05
    assert v.effective_rank(np.zeros((4, 3))) == 0.0
    assert v.effective_rank(RNG.normal(size=(2000, 16))) > 15.5


def test_what_differs_by_rounding_alone_is_nothing_once_it_is_centred():
    same = np.full((50, 4), 0.1, np.float32) * np.arange(1, 5, dtype=np.float32)
    same[::3] = np.nextafter(same[::3], np.float32(9))
    assert v.effective_rank(v.centred(same)) == 0
    np.testing.assert_allclose(v.centred(CLOUD), CLOUD - CLOUD.mean(0))
    # Two directions around a mean in a third.
    around = np.array([[1.0, 0, 9], [-1, 0, 9], [0, 1, 9], [0, -1, 9]])
    assert v.effective_rank(v.centred(around)) == pytest.approx(2)


# -- uniformity -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("block")
def test_uniformity_equals_a_loop_over_pairs():
    x = CLOUD / np.linalg.norm(CLOUD, axis=1, keepdims=True)
    pairs = [np.exp(-2 * ((x[i] - x[j]) ** 2).sum()) for i in range(60) for j in range(i)]
    assert v.uniformity(3 * CLOUD) == pytest.approx(np.log(np.mean(pairs)), rel=1e-9)


def test_uniformity_of_known_sets():
    assert v.uniformity(np.ones((5, 3))) == pytest.approx(0, abs=1e-9)
    assert v.uniformity(np.array([[1.0, 0], [-2.0, 0]])) == pytest.approx(-8)  # opposite: squared distance 4
    assert v.uniformity(np.eye(6), kappa=1.0) == pytest.approx(-2)  # every pair at squared distance 2
    assert v.uniformity(np.ones((1, 3))) is None


# -- silhouette -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("shift", [0.0, 2.0, 1000.0])
def test_silhouette_is_that_of_scikit_learn(shift):
    from sklearn.metrics import silhouette_score

    x = CLOUD + shift * CLASSES[:, None] + 50
    assert v.silhouette(x, CLASSES) == pytest.approx(silhouette_score(x, CLASSES), abs=1e-9)


def test_a_class_of_one_and_the_same_point_count_as_in_scikit_learn():
    from sklearn.metrics import silhouette_score

    classes = np.where(np.arange(60) == 5, 7, CLASSES)
    assert v.silhouette(CLOUD, classes) == pytest.approx(silhouette_score(CLOUD, classes), abs=1e-9)
    assert v.silhouette(np.ones((6, 2)), np.array([0, 0, 0, 1, 1, 1])) == 0
    assert v.silhouette(CLOUD, np.zeros(60)) is None


# -- linear probe -----------------------------------------------------------------------------------------------------


def test_the_probe_is_ridge_regression_of_scikit_learn_on_standardised_features():
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    x, others = 10 * CLOUD + 3, RNG.normal(size=(9, 5))
    y = x @ RNG.normal(size=5) + RNG.normal(size=60) + 2
    scaler = StandardScaler().fit(x)
    want = Ridge(alpha=0.01 * 60).fit(scaler.transform(x), y).predict(scaler.transform(others))
    np.testing.assert_allclose(v.linear_probe(x, y, others), want, rtol=1e-8)


def test_constant_features_say_nothing_to_the_probe():
    y = CLOUD[:, 0]
    dead = np.concatenate([CLOUD, np.full((60, 2), 4.0)], axis=1)
    np.testing.assert_allclose(v.linear_probe(dead, y, dead), v.linear_probe(CLOUD, y, CLOUD), rtol=1e-9)
    for value in (0.0, 0.1):
        same = np.full((60, 3), value, np.float32)
        np.testing.assert_allclose(v.linear_probe(same, y, np.ones((2, 3))), y.mean())
