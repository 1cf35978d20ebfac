"""Coarse classes: the tables of DMMSA's appendix, other label ranges, and the cross-entropy against numpy and optax."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from msa_jax import losses
from msa_jax.errors import InputError
from msa_jax.losses.ordinal import Bins, clip_to_class, coarse_bounds, coarse_class, softmax_cross_entropy

MOSI, SIMS = (-3.0, 3.0), (-1.0, 1.0)
FAMILIES = [(SIMS, 2), (SIMS, 3), (SIMS, 5), (MOSI, 2), (MOSI, 3), (MOSI, 5), (MOSI, 7)]
RANGES = [*FAMILIES, ((-2.0, 5.0), 7), ((-0.5, 1.0), 5), ((0.0, 5.0), 5), ((1.0, 5.0), 7), ((0.0, 1.0), 3)]
every_family = pytest.mark.parametrize(("label_range", "classes"), FAMILIES)
every_range = pytest.mark.parametrize(("label_range", "classes"), RANGES)


def labels(label_range):
    """Labels all over the range, its ends and the tables' edges among them, and both sides of each edge."""
    low, high = label_range
    edges = np.array([-2.5, -1.5, -0.7, -0.5, -0.1, 0, 0.1, 0.5, 0.7, 1.5, 2.5], np.float32)
    around = np.concatenate([edges, np.nextafter(edges, np.float32(9)), np.nextafter(edges, np.float32(-9))])
    around = around[np.abs(around) != np.float32(1e-45)]  # both sides of 0: the smallest that are not flushed to 0
    around = np.concatenate([around, [np.finfo(np.float32).tiny, -np.finfo(np.float32).tiny]])
    every = np.concatenate([around, np.random.default_rng(0).uniform(low, high, 50), [low, high]]).astype(np.float32)
    return every[(every >= low) & (every <= high)]


# One condition for each bin, as the tables print it (Table 8 with the brackets that the module's docstring explains).
TABLES = {
    (SIMS, 2): [lambda y: -1 <= y <= 0, lambda y: 0 < y <= 1],
    (SIMS, 3): [lambda y: -1 <= y <= -0.1, lambda y: -0.1 < y <= 0.1, lambda y: 0.1 < y <= 1],
    (SIMS, 5): [
        lambda y: -1 <= y <= -0.7,
        lambda y: -0.7 < y <= -0.1,
        lambda y: -0.1 < y <= 0.1,
        lambda y: 0.1 < y <= 0.7,
        lambda y: 0.7 < y <= 1,
    ],
    (MOSI, 2): [lambda y: -3 <= y < 0, lambda y: 0 <= y <= 3],
    (MOSI, 3): [lambda y: -3 <= y < -0.5, lambda y: -0.5 <= y < 0.5, lambda y: 0.5 <= y <= 3],
    (MOSI, 5): [
        lambda y: -3 <= y < -1.5,
        lambda y: -1.5 <= y < -0.5,
        lambda y: -0.5 <= y < 0.5,
        lambda y: 0.5 <= y < 1.5,
        lambda y: 1.5 <= y <= 3,
    ],
    (MOSI, 7): [
        lambda y: -3 <= y < -2.5,
        lambda y: -2.5 <= y < -1.5,
        lambda y: -1.5 <= y < -0.5,
        lambda y: -0.5 <= y < 0.5,
        lambda y: 0.5 <= y < 1.5,
        lambda y: 1.5 <= y < 2.5,
        lambda y: 2.5 <= y <= 3,
    ],
}


@every_family
def test_every_label_is_in_the_bin_that_the_tables_print(label_range, classes):
    every = labels(label_range)
    found = np.asarray(coarse_class(every, coarse_bounds(classes, label_range)))
    assert found.dtype == np.int32
    for y, number in zip(every, found, strict=True):  # numpy compares a float32 with a Python float in float32
        assert [bool(inside(y)) for inside in TABLES[label_range, classes]].index(True) == number, y
    assert set(found) == set(range(classes))


def test_mosei_has_the_bins_of_mosi_and_a_wide_range_those_of_mosi_without_being_told():
    assert coarse_bounds(7, MOSI, "mosei") == coarse_bounds(7, MOSI, "mosi") == coarse_bounds(7, MOSI)
    assert coarse_bounds(5, SIMS, "sims") == coarse_bounds(5, SIMS)
    assert coarse_bounds(5, SIMS, "mosi") != coarse_bounds(5, SIMS)
    assert coarse_bounds(3, (-1.5, 1.5)).right_closed is False


@pytest.mark.parametrize(
    ("classes", "label_range", "kind", "edges"),
    [
        (7, (-3, 3), "mosi", (-2.5, -1.5, -0.5, 0.5, 1.5, 2.5)),
        (7, (-6, 6), None, (-5, -3, -1, 1, 3, 5)),
        (5, (-1, 1), "mosi", (-0.5, -1 / 6, 1 / 6, 0.5)),
        (5, (-1, 3), None, (-0.5, -1 / 6, 0.5, 1.5)),  # each side by its own end
        (7, (-6, 3), None, (-5, -3, -1, 0.5, 1.5, 2.5)),
        (2, (-2, 5), None, (0,)),
        (5, (-2, 2), "sims", (-1.4, -0.2, 0.2, 1.4)),
        (3, (-0.5, 1), None, (-0.05, 0.1)),
        (5, (1, 5), None, (2, 3 - 1 / 3, 3 + 1 / 3, 4)),  # five stars: three are neutral
        (2, (0, 5), None, (2.5,)),
    ],
)
def test_edges_scale_with_the_label_range(classes, label_range, kind, edges):
    bins = coarse_bounds(classes, label_range, kind)
    np.testing.assert_allclose(bins.edges, edges, rtol=1e-12)
    assert (bins.low, bins.high, bins.classes) == (*label_range, classes)


@every_range
def test_the_range_of_a_class_holds_its_labels_and_no_others(label_range, classes):
    low, high = label_range
    every = np.linspace(low, high, 301).astype(np.float32)
    bins = coarse_bounds(classes, label_range)
    found = np.asarray(coarse_class(every, bins))
    ends = np.array((low, *bins.edges, high), np.float32)
    for number in range(classes):
        inside = (every > ends[number]) & (every < ends[number + 1])
        assert inside.any()
        np.testing.assert_array_equal(found[inside], number)


@every_range
def test_what_is_clipped_to_a_class_is_of_that_class_and_what_is_inside_stays(label_range, classes):
    low, high = label_range
    bins = coarse_bounds(classes, label_range)
    predictions = np.linspace(low - 2, high + 2, 101).astype(np.float32)
    clip = jax.jit(lambda p, c: clip_to_class(p, c, bins))
    classify = jax.jit(lambda y: coarse_class(y, bins))
    own = np.asarray(classify(predictions))
    for number in range(classes):
        found = np.asarray(clip(predictions, np.full(101, number)))
        np.testing.assert_array_equal(classify(found), number)
        inside = (own == number) & (predictions >= low) & (predictions <= high)
        np.testing.assert_array_equal(found[inside], predictions[inside])
        lowest, highest = (low, *bins.edges, high)[number : number + 2]
        np.testing.assert_allclose(found, np.clip(predictions.astype(np.float64), lowest, highest), atol=1e-6)


def test_gradient_of_a_clipped_prediction_is_one_inside_its_class_and_zero_outside():
    bins = coarse_bounds(3, MOSI)
    gradient = jax.grad(lambda p: clip_to_class(p, jnp.array([1, 1, 1]), bins).sum())(jnp.array([-2.0, 0.1, 2.0]))
    np.testing.assert_array_equal(gradient, [0, 1, 0])


def test_labels_beyond_the_range_are_in_the_outer_classes():
    np.testing.assert_array_equal(coarse_class(np.array([-9.0, 9.0], np.float32), coarse_bounds(5, MOSI)), [0, 4])


def test_jit_and_vmap_over_runs_change_nothing():
    bins = coarse_bounds(7, MOSI)
    every = np.random.default_rng(1).uniform(-3, 3, (4, 6)).astype(np.float32)
    found = jax.jit(jax.vmap(lambda y: coarse_class(y, bins)))(every)
    np.testing.assert_array_equal(found, np.digitize(every, [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]))


@pytest.mark.parametrize("kind", ["mosi", "mosei"])
@pytest.mark.parametrize("classes", [0, 1, 4, 6, 8])
def test_a_number_of_classes_without_a_table_is_an_error(classes, kind):
    with pytest.raises(InputError, match=f"option classes is {classes}; expected one of 2, 3, 5, 7 for {kind}"):
        coarse_bounds(classes, MOSI, kind)


def test_seven_classes_are_an_error_for_sims():
    with pytest.raises(InputError, match="option classes is 7; expected one of 2, 3, 5 for sims"):
        coarse_bounds(7, SIMS)


@pytest.mark.parametrize("label_range", [(1, 1), (3, -3), (math.nan, 1), (-math.inf, 1)])
def test_a_label_range_that_is_none_is_an_error(label_range):
    with pytest.raises(InputError, match="option label_range is"):
        coarse_bounds(2, label_range)


def test_an_unknown_family_is_an_error():
    with pytest.raises(InputError, match="option kind is 'iemocap'; expected one of sims, mosi, mosei"):
        coarse_bounds(2, MOSI, "iemocap")


@pytest.mark.parametrize("edges", [(0.5, -0.5), (0.0, 0.0), (-1.0,), (1.5,), (math.nan,), (0.1, 0.1 + 1e-12)])
def test_edges_that_do_not_ascend_within_the_range_are_an_error(edges):
    with pytest.raises(InputError, match="option edges is"):
        Bins(edges=edges, right_closed=True, low=-1.0, high=1.0)


def test_wrong_shapes_are_errors():
    bins = coarse_bounds(3, MOSI)
    two, column = np.zeros(2, np.float32), np.zeros((2, 1), np.float32)
    for wrong in (
        lambda: coarse_class(column, bins),
        lambda: clip_to_class(column, np.zeros((2, 1), np.int32), bins),
        lambda: clip_to_class(two, np.zeros(3, np.int32), bins),
    ):
        with pytest.raises(AssertionError):
            wrong()


# -- cross-entropy ----------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(2)
LOGITS = RNG.normal(size=(6, 5), scale=4).astype(np.float32)
CLASSES = np.array([0, 4, 2, 1, 3, 2], np.int32)
WHERE = np.array([1, 0, 1, 1, 0, 1], bool)


def by_loops(logits, classes):
    out = []
    for row, number in zip(np.asarray(logits, np.float64), classes, strict=True):
        total = sum(math.exp(x) for x in row)
        # eq. 9: minus the sum over the classes of the one-hot label times the log of the probability
        out.append(-sum((c == number) * math.log(math.exp(x) / total) for c, x in enumerate(row)))
    return np.array(out)


def test_cross_entropy_equals_plain_loops_and_optax():
    found = softmax_cross_entropy(LOGITS, CLASSES)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, by_loops(LOGITS, CLASSES), rtol=1e-5, atol=1e-6)
    expected = optax.softmax_cross_entropy_with_integer_labels(jnp.asarray(LOGITS), jnp.asarray(CLASSES))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_cross_entropy_of_equal_logits_is_the_logarithm_of_the_number_of_classes():
    np.testing.assert_allclose(
        softmax_cross_entropy(np.full((2, 7), 3.0, np.float32), np.array([0, 6])), math.log(7), rtol=1e-6
    )


def test_gradient_of_cross_entropy_is_the_softmax_minus_the_label():
    gradient = jax.grad(lambda x: losses.softmax_cross_entropy(x, CLASSES).sum())(jnp.asarray(LOGITS))
    logits = LOGITS.astype(np.float64)
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(gradient, softmax - np.eye(5)[CLASSES], atol=1e-6)


def test_masked_rows_give_zero_in_value_and_gradient_whatever_they_hold():
    logits, classes = LOGITS.copy(), CLASSES.copy()
    logits[~WHERE], classes[~WHERE] = np.nan, 99
    value, gradient = jax.value_and_grad(lambda x: softmax_cross_entropy(x, classes, where=WHERE).sum())(
        jnp.asarray(logits)
    )
    np.testing.assert_allclose(value, by_loops(LOGITS[WHERE], CLASSES[WHERE]).sum(), rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(gradient)[~WHERE], 0)
    assert np.all(np.isfinite(gradient))
    np.testing.assert_array_equal(softmax_cross_entropy(logits, classes, where=np.zeros(6, bool)), 0)


def test_large_logits_do_not_overflow_and_a_certain_choice_costs_nothing():
    logits = np.array([[1e30, -1e30, 0], [1e4, 1e4 - 1, -1e4]], np.float32)
    np.testing.assert_allclose(
        softmax_cross_entropy(logits, np.array([0, 0])), [0, math.log1p(math.exp(-1))], rtol=1e-3
    )


def test_cross_entropy_under_vmap_and_of_a_batch_of_one_is_the_same():
    found = jax.jit(jax.vmap(softmax_cross_entropy))(LOGITS[:, None], CLASSES[:, None])
    np.testing.assert_allclose(found[:, 0], by_loops(LOGITS, CLASSES), rtol=1e-5, atol=1e-6)


def test_cross_entropy_of_bfloat16_logits_is_float32():
    rounded = jnp.asarray(LOGITS, jnp.bfloat16)
    found = softmax_cross_entropy(rounded, CLASSES)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, by_loops(np.asarray(rounded, np.float64), CLASSES), rtol=1e-5, atol=1e-6)


def test_wrong_shapes_of_logits_are_errors():
    for logits, classes, where in (
        (LOGITS[0], CLASSES, None),
        (LOGITS, CLASSES[:, None], None),
        (LOGITS, CLASSES[:5], None),
        (LOGITS, CLASSES, WHERE[:5]),
    ):
        with pytest.raises(AssertionError):
            softmax_cross_entropy(logits, classes, where=where)
