"""SUGRM's label generation against plain float64 loops over samples, and its properties."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.labels import sugrm
from tests.reference import sugrm_numpy

TASKS = "mtav"
N, BATCH, WIDTH = 24, 6, 5
DIMS = dict.fromkeys(TASKS, WIDTH)
LIMIT = 3.0

_update = jax.jit(sugrm.update, static_argnames="zero_is_positive")


def _labels(seed: int = 0, low: float = -3.0, high: float = 3.0) -> np.ndarray:
    labels = np.random.default_rng(seed).uniform(low, high, N)
    labels[:2] = 0.0  # rows of neither sign
    labels[2:8] = [low, low, low, high, high, high]
    return labels.astype(np.float32)


def _batches(labels: np.ndarray, seed: int, epochs: int = 4):
    """Features that follow the labels, with unimodal ones near, far and on either side: no offset is like another."""
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=WIDTH)
    for epoch in range(1, epochs + 1):
        for rows in np.split(rng.permutation(len(labels)), range(BATCH, len(labels), BATCH)):
            features = {"m": labels[rows, None] * axis + 0.3 * rng.normal(size=(len(rows), WIDTH))}
            for task in "tav":
                step = rng.normal(size=(len(rows), 1)) * axis + 0.5 * rng.normal(size=(len(rows), WIDTH))
                features[task] = features["m"] + np.ptp(labels) * rng.uniform(0.05, 0.6, (len(rows), 1)) * step
            yield epoch, rows.astype(np.int32), {task: value.astype(np.float32) for task, value in features.items()}


def _run(labels: np.ndarray, batches, *, limit: float = LIMIT, **named):
    state = sugrm.init(labels, DIMS, **named)
    sign = {"zero_is_positive": named.get("zero_is_positive", False)}
    for epoch, rows, features in batches:
        state = _update(state, rows, features, epoch=epoch, limit=limit, **sign)
    return state


# -- against the derivation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zero_is_positive", [True, False])
@pytest.mark.parametrize("fraction", [0.0, 0.3])
@pytest.mark.parametrize(("low", "high"), [(-3.0, 3.0), (-1.0, 1.0), (-2.0, 5.0)])
def test_update_equals_loops_over_samples(low, high, fraction, zero_is_positive):
    labels, limit = _labels(1, low, high), max(-low, high)
    memory = sugrm_numpy.LabelMemory(labels, WIDTH, fraction=fraction, zero_is_positive=zero_is_positive)
    state = sugrm.init(labels, DIMS, zero_is_positive=zero_is_positive, extreme_fraction=fraction)
    batches = list(_batches(labels, 1))
    assert len(batches) == 16
    for epoch, rows, features in batches:
        state = _update(state, rows, features, epoch=epoch, limit=limit, zero_is_positive=zero_is_positive)
        memory.update(rows, features, epoch=epoch, limit=limit)
        for task in "tav":
            np.testing.assert_allclose(state.labels[task], memory.unimodal[task], atol=2e-5 * limit)
    np.testing.assert_array_equal(state.features, memory.features)
    offsets = np.stack([memory.unimodal[task] - labels for task in "tav"]) / (high - low)
    assert (offsets > 0.02).sum() > 15  # up and down,
    assert (offsets < -0.02).sum() > 15
    assert len(np.unique(offsets.round(4))) > 50  # by as many amounts as there are rows


@pytest.mark.parametrize("modalities", ["t", "av"])
def test_update_equals_loops_over_samples_with_modalities_absent(modalities):
    labels = _labels(2)
    memory = sugrm_numpy.LabelMemory(labels, WIDTH, modalities=modalities)
    state = sugrm.init(labels, dict.fromkeys("m" + modalities, WIDTH))
    for epoch, rows, features in _batches(labels, 2, epochs=3):
        features = {task: features[task] for task in "m" + modalities}
        state = _update(state, rows, features, epoch=epoch, limit=LIMIT)
        memory.update(rows, features, epoch=epoch, limit=LIMIT)
    assert set(state.labels) == set(modalities)
    for task in modalities:
        np.testing.assert_allclose(state.labels[task], memory.unimodal[task], atol=5e-5)


def test_masked_batches_equal_loops_over_the_rows_that_count():
    labels = _labels(3)
    memory = sugrm_numpy.LabelMemory(labels, WIDTH)
    state = sugrm.init(labels, DIMS)
    rng = np.random.default_rng(3)
    for epoch, rows, features in _batches(labels, 3):
        where = rng.permutation(BATCH) < rng.integers(0, BATCH + 1)  # also none and all
        padded = np.where(where, rows, rows[0])  # a padding slot may name a row that is in the batch
        state = _update(state, padded, features, epoch=epoch, limit=LIMIT, where=where)
        real = {task: value[where] for task, value in features.items()}
        memory.update(rows[where], real, epoch=epoch, limit=LIMIT)
    for task in "tav":
        np.testing.assert_allclose(state.labels[task], memory.unimodal[task], atol=5e-5)
        assert np.abs(memory.unimodal[task] - labels).max() > 0.5
    np.testing.assert_array_equal(state.features, memory.features)


def test_batches_of_one_row_equal_loops():
    labels = _labels(4)[:7]
    memory = sugrm_numpy.LabelMemory(labels, WIDTH)
    state = sugrm.init(labels, DIMS)
    for epoch, rows, features in _batches(labels, 4):
        for i in range(len(rows)):
            one = {task: value[i : i + 1] for task, value in features.items()}
            state = _update(state, rows[i : i + 1], one, epoch=epoch, limit=LIMIT)
            memory.update(rows[i : i + 1], one, epoch=epoch, limit=LIMIT)
    for task in "tav":
        np.testing.assert_allclose(state.labels[task], memory.unimodal[task], atol=5e-5)


@pytest.mark.parametrize("labels", [[1.0, -1.0], [2.0, -0.5, -1.0], [0.5, 0.0, -0.5, 1.5]])
def test_few_rows_equal_loops(labels):
    # With 3 rows or fewer both extreme classes are all rows, and labels rest; with 4 they overlap.
    labels = np.array(labels, np.float32)
    memory = sugrm_numpy.LabelMemory(labels, WIDTH)
    state = sugrm.init(labels, DIMS)
    for epoch, rows, features in _batches(labels, 5):
        state = _update(state, rows, features, epoch=epoch, limit=LIMIT)
        memory.update(rows, features, epoch=epoch, limit=LIMIT)
    for task in "tav":
        np.testing.assert_allclose(state.labels[task], memory.unimodal[task], atol=5e-5)
        assert (np.abs(memory.unimodal[task] - labels).max() > 0.1) == (len(labels) > 3)


# -- extreme classes --------------------------------------------------------------------------------------------------


def test_extremes_are_the_samples_labelled_3_where_there_are_enough():
    labels = np.array([3, 3, 3, 3, 2.8, 1, 0, -1, -2.6, -3, -3, -3], np.float32)
    state = sugrm.init(labels, DIMS)
    assert float(state.span) == 6.0
    features = np.random.default_rng(0).normal(size=(12, WIDTH)).astype(np.float32)
    state = _update(state, np.arange(12), dict.fromkeys(TASKS, features), epoch=1, limit=3.0)
    # Row 5 generates a label further away than the extremes are: the offset is the whole span, cut by the limit.
    distance = np.linalg.norm(features[labels == 3].mean(0) - features[labels == -3].mean(0))
    for share in (0.1, 0.7, 1.0):
        centre = features[labels > 0].mean(0)
        m = features[labels < 0].mean(0) + 0.01
        step = (centre - m) / np.linalg.norm(centre - m) * distance * share
        moved = {**dict.fromkeys(TASKS, m[None]), "t": (m + step)[None]}
        new = _update(state, np.array([7]), moved, epoch=2, limit=99.0)
        expected = -1 / 3 + (-1 + 6 * share) * 2 / 3
        np.testing.assert_allclose(new.labels["t"][7], expected, rtol=1e-4)
        np.testing.assert_allclose(new.labels["a"][7], -1.0, rtol=1e-6)


@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.25, 1.0])
def test_span_and_size_of_the_extreme_classes(fraction):
    labels = np.random.default_rng(0).choice([-1.0, -0.6, -0.2, 0.0, 0.4, 0.8], 40).astype(np.float32)
    memory = sugrm_numpy.LabelMemory(labels, WIDTH, fraction=fraction)
    top, bottom = memory.extremes()
    state = sugrm.init(labels, DIMS, extreme_fraction=fraction)
    np.testing.assert_allclose(state.span, memory.mean_label(top) - memory.mean_label(bottom), atol=1e-6)
    np.testing.assert_array_equal(state.counts[2:], [len(top), len(bottom)])


# -- properties -------------------------------------------------------------------------------------------------------


def test_negated_labels_give_the_mirrored_offsets():
    labels = _labels(6)
    batches = list(_batches(labels, 6))
    one, other = _run(labels, batches), _run(-labels, batches)
    for task in "tav":
        offset = one.labels[task] - labels
        np.testing.assert_allclose(other.labels[task] + labels, -offset, atol=1e-5)
        assert np.abs(offset).max() > 0.5


def test_labels_follow_neither_the_scale_nor_the_orientation_of_the_feature_space():
    labels = _labels(7)
    batches = list(_batches(labels, 7))
    rotation = np.linalg.qr(np.random.default_rng(7).normal(size=(WIDTH, WIDTH)))[0]
    turned = [
        (epoch, rows, {task: (value @ (50 * rotation)).astype(np.float32) for task, value in features.items()})
        for epoch, rows, features in batches
    ]
    one, other = _run(labels, batches), _run(labels, turned)
    for task in "tav":
        np.testing.assert_allclose(one.labels[task], other.labels[task], atol=1e-4)


def test_no_offset_where_the_features_coincide():
    labels = _labels(8)
    batches = [(epoch, rows, dict.fromkeys(TASKS, features["m"])) for epoch, rows, features in _batches(labels, 8)]
    state = _run(labels, batches)
    for task in "tav":
        np.testing.assert_allclose(state.labels[task], labels, atol=1e-6)


def test_labels_stay_in_range():
    labels = _labels(9)
    batches = [
        (epoch, rows, {task: value * (1 if task == "m" else 100) for task, value in features.items()})
        for epoch, rows, features in _batches(labels, 9)
    ]
    inside, free = _run(labels, batches), _run(labels, batches, limit=99.0)
    for task in "tav":
        assert np.abs(inside.labels[task]).max() <= 3.0
        assert np.abs(free.labels[task]).max() > 4.0


def test_labels_rest_in_the_first_epoch_and_features_are_kept():
    labels = _labels(10)
    state = sugrm.init(labels, DIMS)
    for epoch, rows, features in _batches(labels, 10, epochs=1):
        state = _update(state, rows, features, epoch=epoch, limit=LIMIT)
        np.testing.assert_array_equal(state.features[rows], features["m"])
    for task in "tav":
        np.testing.assert_array_equal(state.labels[task], labels)


def test_labels_use_the_centres_that_the_previous_batch_left():
    labels = _labels(11)
    state = _run(labels, list(_batches(labels, 11, epochs=1)))
    _, rows, features = next(iter(_batches(labels, 12)))
    together = _update(state, rows, features, epoch=2, limit=LIMIT)
    for i, row in enumerate(rows):
        one = {task: value[i : i + 1] for task, value in features.items()}
        alone = _update(state, rows[i : i + 1], one, epoch=2, limit=LIMIT)
        np.testing.assert_allclose(together.labels["t"][row], alone.labels["t"][row], atol=1e-5)


def test_order_within_a_batch_does_not_matter():
    labels = _labels(12)
    batches = list(_batches(labels, 12))
    turned = [
        (epoch, rows[::-1], {task: value[::-1] for task, value in features.items()})
        for epoch, rows, features in batches
    ]
    for a, b in zip(*map(jax.tree.leaves, (_run(labels, batches), _run(labels, turned))), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_a_row_without_a_modality_keeps_its_label_of_that_modality_alone():
    labels = _labels(13)
    state = _run(labels, list(_batches(labels, 13, epochs=2)))
    _, rows, features = next(iter(_batches(labels, 14)))
    there = np.arange(len(rows)) != 1
    has = {"t": there | True, "a": there, "v": there | True}
    found = _update(state, rows, features, epoch=3, limit=LIMIT, has=has)
    complete = _update(state, rows, features, epoch=3, limit=LIMIT)
    moved = np.asarray(complete.labels["a"])
    assert moved[rows[1]] != state.labels["a"][rows[1]]
    expected = np.where(np.arange(len(labels)) == rows[1], state.labels["a"], moved)
    np.testing.assert_array_equal(found.labels["a"], expected)
    rest = found._replace(labels={**found.labels, "a": complete.labels["a"]})
    for one, other in zip(jax.tree.leaves(rest), jax.tree.leaves(complete), strict=True):
        np.testing.assert_array_equal(one, other)


def test_masked_rows_leave_no_trace():
    labels = _labels(13)
    state = _run(labels, list(_batches(labels, 13, epochs=2)))
    _, rows, features = next(iter(_batches(labels, 14)))
    real = _update(state, rows[:4], {k: v[:4] for k, v in features.items()}, epoch=3, limit=LIMIT)
    for garbage in (0.0, 1e6, np.nan):
        dirty = {k: np.concatenate([v[:4], np.full_like(v[4:], garbage)]) for k, v in features.items()}
        padded = np.concatenate([rows[:4], [rows[0], 0]])
        masked = _update(state, padded, dirty, epoch=3, limit=LIMIT, where=np.arange(6) < 4)
        for one, other in zip(jax.tree.leaves(real), jax.tree.leaves(masked), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("zero_is_positive", [True, False])
def test_running_sums_equal_sums_over_all_rows_after_many_steps(zero_is_positive):
    labels = _labels(14)
    state = _run(labels, _batches(labels, 14, epochs=50), zero_is_positive=zero_is_positive)  # 200 updates
    memory = sugrm_numpy.LabelMemory(labels, WIDTH, zero_is_positive=zero_is_positive)
    for number, rows in enumerate((*memory.sign_classes(), *memory.extremes())):
        expected = np.asarray(state.features, np.float64)[rows].sum(0)
        np.testing.assert_allclose(state.sums[number], expected, atol=1e-3)
        assert state.counts[number] == len(rows)
    fresh = sugrm.refresh_centres(state, zero_is_positive=zero_is_positive)
    np.testing.assert_allclose(fresh.sums, state.sums, atol=1e-3)


# -- guards -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        np.full(N, 1.5, np.float32),  # all equal
        np.linspace(0, 3, N, dtype=np.float32),  # nobody is negative
        np.linspace(-3, 0, N, dtype=np.float32),  # nobody is positive
        np.zeros(N, np.float32),
    ],
    ids=["equal", "no negative", "no positive", "zero"],
)
def test_labels_rest_while_a_class_is_empty(labels):
    state = _run(labels, list(_batches(labels, 15)))
    for task in "tav":
        np.testing.assert_array_equal(state.labels[task], labels)
    assert all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(state))


def test_labels_rest_while_the_extremes_have_the_same_centre():
    labels = _labels(16)
    constant = np.float32([1.0, 0.1, -0.7, 300.0, 1e-3])
    batches = [
        (epoch, rows, {**features, "m": np.tile(constant, (len(rows), 1))})
        for epoch, rows, features in _batches(labels, 16)
    ]
    state = _run(labels, batches)
    for task in "tav":
        np.testing.assert_array_equal(state.labels[task], labels)


def test_labels_rest_before_anything_was_seen():
    labels = _labels(18)
    _, rows, features = next(iter(_batches(labels, 18)))
    state = _update(sugrm.init(labels, DIMS), rows, features, epoch=5, limit=LIMIT)
    np.testing.assert_array_equal(state.labels["t"], labels)
    np.testing.assert_array_equal(state.features[rows], features["m"])


def test_a_feature_on_a_centre_gives_a_finite_label():
    labels = _labels(19)
    state = _run(labels, list(_batches(labels, 19, epochs=1)))
    positive, negative = (state.sums[number] / state.counts[number] for number in (0, 1))
    features = {"m": negative, "t": positive, "a": negative, "v": 2 * negative - positive}
    features = {task: value[None] for task, value in features.items()}
    new = _update(state, np.array([9]), features, epoch=2, limit=LIMIT)
    assert new.labels["t"][9] > labels[9]
    np.testing.assert_allclose(new.labels["a"][9], labels[9], rtol=1e-6)
    assert new.labels["v"][9] >= labels[9]  # the ratio of "m", on the negative centre, is infinite


# -- transformations and errors ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_update_works_under_jit_and_vmap_and_passes_no_gradient():
    labels = _labels(20)
    state = _run(labels, list(_batches(labels, 20, epochs=1)))
    _, rows, features = next(iter(_batches(labels, 21)))
    features = {**features, "a": features["m"]}  # a distance of 0, where a norm has no gradient
    plain = sugrm.update(state, rows, features, epoch=2, limit=LIMIT)
    jitted = jax.jit(sugrm.update)(state, rows, features, epoch=jnp.int32(2), limit=jnp.float32(LIMIT))
    double = partial(jax.tree.map, lambda leaf: jnp.stack([leaf, leaf]))
    mapped = jax.jit(jax.vmap(lambda s, r, f, e, n: sugrm.update(s, r, f, epoch=e, limit=n)))(
        double(state), double(rows), double(features), jnp.array([1, 2]), jnp.array([1.0, LIMIT])
    )
    for a, b, c in zip(*map(jax.tree.leaves, (plain, jitted, mapped)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
        np.testing.assert_allclose(a, c[1], atol=1e-5)
    np.testing.assert_array_equal(mapped.labels["t"][0], labels)  # of epoch 1

    def total(features):
        new = sugrm.update(state, rows, features, epoch=2, limit=LIMIT)
        return sum(leaf.sum() for leaf in jax.tree.leaves((new.labels, new.features, new.sums)))

    for gradient in jax.tree.leaves(jax.jit(jax.grad(total))({k: jnp.asarray(v) for k, v in features.items()})):
        np.testing.assert_array_equal(gradient, 0)


def test_init_works_under_vmap():
    labels = np.stack([_labels(22), _labels(23)])
    mapped = jax.vmap(lambda one: sugrm.init(one, DIMS, extreme_fraction=0.2))(labels)
    for number, one in enumerate(labels):
        alone = sugrm.init(one, DIMS, extreme_fraction=0.2)
        for a, b in zip(jax.tree.leaves(mapped), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(a[number], b, rtol=1e-6)


def test_wrong_tasks_widths_and_shapes_are_errors():
    state = sugrm.init(_labels(), DIMS)
    zeros = {task: jnp.zeros((2, WIDTH)) for task in TASKS}
    with pytest.raises(ValueError, match="tasks"):
        sugrm.update(state, jnp.arange(2), {"m": zeros["m"]}, epoch=2, limit=LIMIT)
    with pytest.raises(AssertionError):
        sugrm.update(state, jnp.arange(2), {**zeros, "v": jnp.zeros((2, WIDTH + 1))}, epoch=2, limit=LIMIT)
    with pytest.raises(AssertionError):
        sugrm.update(state, jnp.arange(3), zeros, epoch=2, limit=LIMIT)
    with pytest.raises(AssertionError):
        sugrm.update(state, jnp.arange(2), zeros, epoch=2, limit=LIMIT, where=jnp.ones((2, 1), bool))
    with pytest.raises(AssertionError):
        sugrm.init(_labels()[:, None], DIMS)
    with pytest.raises(ValueError, match='"m"'):
        sugrm.init(_labels(), {"t": 3})
    with pytest.raises(ValueError, match="width"):
        sugrm.init(_labels(), {"m": 3, "t": 4})
