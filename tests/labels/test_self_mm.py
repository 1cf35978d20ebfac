"""Self-MM's label generation against plain float64 loops over samples, and its properties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.labels import self_mm
from tests.reference import self_mm_numpy

DIMS = {"m": 6, "t": 4, "a": 3, "v": 5}
N, BATCH, LIMIT = 24, 6, 3.0


def _batches(seed: int, epochs: int = 4):
    rng = np.random.default_rng(seed)
    for epoch in range(1, epochs + 1):
        for rows in rng.permutation(N).reshape(-1, BATCH):
            # ReLU features, as the method gives them.
            features = {task: np.maximum(rng.normal(size=(BATCH, d)), 0).astype(np.float32) for task, d in DIMS.items()}
            yield epoch, rows.astype(np.int32), features


def _labels(seed: int = 0) -> np.ndarray:
    labels = np.round(np.random.default_rng(seed).uniform(-3, 3, N) * 5) / 5
    labels[:2] = 0.0  # rows of neither class
    return labels.astype(np.float32)


@pytest.mark.parametrize("exclude_zero", [pytest.param(True, marks=pytest.mark.slow), False])
def test_reference_update_equals_loops_over_samples(exclude_zero):
    labels = _labels()
    state = self_mm.init(labels, DIMS, zero_is_positive=not exclude_zero)
    unimodal = {task: labels.astype(np.float64) for task in "tav"}
    memories = {task: np.zeros((N, d)) for task, d in DIMS.items()}
    for epoch, rows, features in _batches(1):
        state = self_mm.update(
            state, rows, features, epoch=epoch, limit=LIMIT,
            zero_is_positive=not exclude_zero, scale_distances=False, floor=False,
        )  # fmt: skip
        unimodal, memories = self_mm_numpy.update_reference(
            labels, unimodal, memories, rows, features, epoch=epoch, limit=LIMIT, exclude_zero=exclude_zero
        )
    for task in "tav":
        np.testing.assert_allclose(state.labels[task], unimodal[task], atol=2e-4)
        np.testing.assert_allclose(state.features[task], memories[task], atol=1e-6)
    assert max(np.abs(unimodal[task] - labels).max() for task in "tav") > 0.5  # labels did move


def test_paper_update_equals_equations_1_to_9():
    labels = _labels()
    state = self_mm.init(labels, DIMS)
    unimodal = {task: labels.astype(np.float64) for task in "tav"}
    memories = {task: np.zeros((N, d)) for task, d in DIMS.items()}
    for epoch, rows, features in _batches(2):
        state = self_mm.update(state, rows, features, epoch=epoch, limit=LIMIT)
        unimodal, memories = self_mm_numpy.update_paper(
            labels, unimodal, memories, rows, features, epoch=epoch, limit=LIMIT
        )
    for task in "tav":
        np.testing.assert_allclose(state.labels[task], unimodal[task], atol=2e-4)


def test_running_sums_equal_sums_over_all_rows():
    state = self_mm.init(_labels(), DIMS)
    for epoch, rows, features in _batches(3, epochs=6):
        state = self_mm.update(state, rows, features, epoch=epoch, limit=LIMIT)
    for task, label in state.labels.items():
        for column, belongs in enumerate((np.asarray(label) > 0, np.asarray(label) < 0)):
            expected = np.asarray(state.features[task], np.float64)[belongs].sum(0)
            np.testing.assert_allclose(state.sums[task][column], expected, atol=1e-4)
            assert state.counts[task][column] == belongs.sum()
    fresh = self_mm.refresh_centres(state)
    for task in DIMS:
        np.testing.assert_allclose(fresh.sums[task], state.sums[task], atol=1e-4)
        np.testing.assert_array_equal(fresh.counts[task], state.counts[task])


def test_labels_rest_in_the_first_epoch_and_features_are_kept():
    labels = _labels()
    state = self_mm.init(labels, DIMS)
    _, rows, features = next(iter(_batches(4)))
    state = self_mm.update(state, rows, features, epoch=1, limit=LIMIT)
    np.testing.assert_array_equal(state.labels["t"], labels)
    np.testing.assert_array_equal(np.asarray(state.features["t"])[rows], features["t"])


def test_labels_stay_in_range_where_alpha_m_is_zero():
    alpha_m = jnp.array([0.0, -0.0, 1e-30, -1e-8, 1e-8])
    # The sign of alpha_m decides which end of the range it is.
    guarded = self_mm.shifted_label(jnp.full(5, 2.0), jnp.full(5, 0.7), alpha_m, limit=3.0)
    np.testing.assert_array_equal(guarded, [3.0, 3.0, 3.0, -3.0, 3.0])


def test_no_offset_where_the_representations_agree():
    alpha = jnp.array([0.5, -0.3, 1.7])
    label = jnp.array([1.0, -2.0, 0.4])
    np.testing.assert_allclose(self_mm.shifted_label(label, alpha, alpha, limit=3.0), label, rtol=1e-6)


def test_eq_8_in_its_second_form():
    rng = np.random.default_rng(5)
    label, alpha_s, alpha_m = rng.uniform(-1, 1, 50), rng.uniform(-0.9, 2, 50), rng.uniform(0.5, 2, 50)
    expected = label + (alpha_s - alpha_m) / 2 * (label + alpha_m) / alpha_m  # eq. 8, second line
    found = self_mm.shifted_label(*map(jnp.float32, (label, alpha_s, alpha_m)), limit=99.0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_weights_of_the_momentum_are_those_of_the_paper():
    # After n epochs the label generated in epoch i weighs 2 i / (n (n + 1)); here each epoch suggests one known value.
    suggested, value = np.array([0.3, -1.2, 2.1, 0.9, -2.5]), 0.7  # of epochs 2..6; epoch 1 is the human label
    for epoch, new in enumerate(suggested, start=2):
        value = (epoch - 1) / (epoch + 1) * value + 2 / (epoch + 1) * new
    n = len(suggested) + 1
    weights = 2 * np.arange(1, n + 1) / (n * (n + 1))
    assert np.isclose(weights.sum(), 1)
    assert np.isclose(value, weights @ np.concatenate([[0.7], suggested]))


def test_rows_keep_their_label_while_a_sign_class_is_empty():
    labels = np.abs(_labels()) + 0.2  # nobody is negative
    state = self_mm.init(labels, DIMS)
    for epoch, rows, features in _batches(6):
        state = self_mm.update(state, rows, features, epoch=epoch, limit=LIMIT)
    for task in "tav":
        np.testing.assert_array_equal(state.labels[task], labels)
        assert np.isfinite(np.asarray(state.sums[task])).all()


def test_masked_rows_leave_no_trace():
    state = self_mm.init(_labels(), DIMS)
    for epoch, rows, features in _batches(7, epochs=2):
        state = self_mm.update(state, rows, features, epoch=epoch, limit=LIMIT)
        real = self_mm.update(state, rows[:4], {k: v[:4] for k, v in features.items()}, epoch=2, limit=LIMIT)
        padded = self_mm.update(
            state, np.concatenate([rows[:4], [0, 0]]), features, epoch=2, limit=LIMIT, where=jnp.arange(6) < 4
        )
        for one, other in zip(jax.tree.leaves(real), jax.tree.leaves(padded), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_row_without_a_modality_keeps_what_it_had_and_a_row_that_never_had_it_is_in_no_centre():
    labels, rng = _labels(), np.random.default_rng(0)
    state = complete = self_mm.init(labels, DIMS)
    seen, never, all_of_it = np.zeros(N, bool), 5, np.ones(BATCH, bool)
    for epoch, rows, features in _batches(11):
        features = {task: value + np.float32(0.1) for task, value in features.items()}
        there = (rng.uniform(size=BATCH) < 0.6) & (rows != never)
        before, has = state, {"t": all_of_it, "a": there, "v": all_of_it}
        state = self_mm.update(state, rows, features, epoch=epoch, limit=LIMIT, has=has)
        complete = self_mm.update(complete, rows, features, epoch=epoch, limit=LIMIT)
        for of in ("labels", "features"):
            old, new = (np.asarray(getattr(which, of)["a"])[rows[~there]] for which in (before, state))
            np.testing.assert_array_equal(new, old)
        np.testing.assert_array_equal(np.asarray(state.features["a"])[rows[there]], features["a"][there])
        seen[rows] |= there
    assert not seen[never]
    for centres in (state, self_mm.refresh_centres(state)):
        for column, belongs in enumerate((np.asarray(state.labels["a"]) > 0, np.asarray(state.labels["a"]) < 0)):
            expected = np.asarray(state.features["a"], np.float64)[belongs & seen].sum(0)
            np.testing.assert_allclose(centres.sums["a"][column], expected, atol=1e-4)
            assert centres.counts["a"][column] == (belongs & seen).sum()
    assert np.abs(np.asarray(state.labels["a"]) - labels).max() > 0.1
    for task in "mtv":  # the other tasks take no notice
        for of in ("labels", "features", "sums", "counts"):
            np.testing.assert_array_equal(getattr(state, of)[task], getattr(complete, of)[task])


def test_order_within_a_batch_does_not_matter():
    state = self_mm.init(_labels(), DIMS)
    batches = list(_batches(8, epochs=2))
    for epoch, rows, features in batches[:-1]:
        state = self_mm.update(state, rows, features, epoch=epoch, limit=LIMIT)
    epoch, rows, features = batches[-1]
    one = self_mm.update(state, rows, features, epoch=epoch, limit=LIMIT)
    other = self_mm.update(state, rows[::-1], {k: v[::-1] for k, v in features.items()}, epoch=epoch, limit=LIMIT)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_relative_distance_does_not_depend_on_the_scale_of_the_features():
    rng = np.random.default_rng(9)
    features, centres = rng.normal(size=(8, 4)), rng.normal(size=(2, 4))
    one = self_mm.relative_distance(jnp.float32(features), jnp.float32(centres))
    other = self_mm.relative_distance(jnp.float32(1000 * features), jnp.float32(1000 * centres))
    np.testing.assert_allclose(one, other, rtol=1e-4)


@pytest.mark.slow
def test_update_works_under_jit_and_vmap_and_passes_no_gradient():
    state = self_mm.init(_labels(), DIMS)
    batches = list(_batches(10, epochs=2))
    for epoch, rows, features in batches[:-1]:
        state = self_mm.update(state, rows, features, epoch=epoch, limit=LIMIT)
    _, rows, features = batches[-1]
    plain = self_mm.update(state, rows, features, epoch=2, limit=LIMIT)
    jitted = jax.jit(self_mm.update)(state, rows, features, epoch=jnp.int32(2), limit=LIMIT)
    double = lambda tree: jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), tree)  # noqa: E731
    mapped = jax.vmap(lambda s, r, f: self_mm.update(s, r, f, epoch=2, limit=LIMIT))(
        double(state), double(rows), double(features)
    )
    for a, b, c in zip(*map(jax.tree.leaves, (plain, jitted, mapped)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
        np.testing.assert_allclose(a, c[1], atol=1e-5)

    def total(features):
        new = self_mm.update(state, rows, features, epoch=2, limit=LIMIT)
        return sum(leaf.sum() for leaf in jax.tree.leaves((new.labels, new.features)))

    for gradient in jax.tree.leaves(jax.grad(total)({k: jnp.asarray(v) for k, v in features.items()})):
        np.testing.assert_array_equal(gradient, 0)


def test_wrong_tasks_and_shapes_are_errors():
    state = self_mm.init(_labels(), DIMS)
    with pytest.raises(ValueError, match="tasks"):
        self_mm.update(state, jnp.arange(2), {"m": jnp.zeros((2, 6))}, epoch=2, limit=LIMIT)
    features = {task: jnp.zeros((2, d + 1)) for task, d in DIMS.items()}
    with pytest.raises(AssertionError):
        self_mm.update(state, jnp.arange(2), features, epoch=2, limit=LIMIT)
    with pytest.raises(AssertionError):
        self_mm.init(_labels()[:, None], DIMS)
    with pytest.raises(ValueError, match='"m"'):
        self_mm.init(_labels(), {"t": 3})
