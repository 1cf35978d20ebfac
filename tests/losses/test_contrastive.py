"""Contrastive losses of a batch against loops in float64, finite differences, and cases that can be worked out by hand."""

import functools
import math
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from msa_jax import losses
from msa_jax.errors import InputError
from tests.losses.contrastive_cases import KAPPA, LOSSES, OF_BATCH, PER_SAMPLE, by_loops, sample
from tests.paths import REPOSITORY

FIRST, SECOND, CLASSES = sample(6)  # [6, 8]
ALL = np.ones(6, bool)
SOME = np.array([1, 0, 1, 1, 0, 1], bool)
T = 0.1
ROUNDING = 5e-7  # of a cosine in float32; the temperature divides it
DENOMINATORS = ("queries", "literal", "keys")
every_loss = pytest.mark.parametrize("name", LOSSES)


# One program for all losses, compiled once: that takes longer than all the numbers here.
@jax.jit
def _values(first, second, classes, temperature, where):
    return {name: loss(first, second, classes, temperature, where) for name, loss in LOSSES.items()}


@jax.jit
def _gradients(first, second, classes, temperature, where):
    def gradient(loss):
        total = lambda p, g, t: jnp.sum(loss(p, g, classes, t, where))  # noqa: E731
        return jax.grad(total, argnums=(0, 1, 2))(first, second, temperature)

    return {name: gradient(loss) for name, loss in LOSSES.items()}


def values(first, second, classes=CLASSES, temperature=T, where=ALL):
    """{name: [B] or a scalar}."""
    return _values(first, second, classes, temperature, where)


def gradients(first, second, classes=CLASSES, temperature=T, where=ALL):
    """{name: gradient of the summed loss by first [B, d], by second [B, d], by the temperature}."""
    return _gradients(first, second, classes, temperature, where)


@functools.cache
def masked():
    """Values and gradients with rows 1 and 4 not there and full of what must not be looked at."""
    first, second, classes = FIRST.copy(), SECOND.copy(), CLASSES.copy()
    first[1], second[1], first[4], second[4] = np.nan, 1e30, np.inf, np.nan
    classes[1] = classes[0]
    return values(first, second, classes, 0.3, SOME), gradients(first, second, classes, 0.3, SOME)


@every_loss
@pytest.mark.parametrize("temperature", [0.05, 0.1, 0.7])
def test_value_equals_plain_loops(name, temperature):
    expected = by_loops(name, FIRST, SECOND, CLASSES, temperature)
    found = values(FIRST, SECOND, CLASSES, temperature)[name]
    assert found.shape == (() if name in OF_BATCH else (6,))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=ROUNDING / temperature)


def test_values_in_float64_equal_plain_loops_to_twelve_digits():
    first, second = FIRST.astype(np.float64), SECOND.astype(np.float64)
    with jax.enable_x64(True):
        for name, found in values(first, second, CLASSES, T).items():
            assert found.dtype == jnp.float64
            expected = by_loops(name, first, second, CLASSES, T)
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12, err_msg=name)


@every_loss
def test_value_of_the_rows_that_are_there_equals_loops_over_them_alone(name):
    found = np.asarray(masked()[0][name])
    expected = by_loops(name, FIRST[SOME], SECOND[SOME], CLASSES[SOME], 0.3)
    if name in PER_SAMPLE:
        np.testing.assert_array_equal(found[~SOME], 0)
    np.testing.assert_allclose(found if name in OF_BATCH else found[SOME], expected, rtol=2e-6, atol=2e-6)


@every_loss
def test_gradient_equals_finite_differences_of_the_loops(name):
    """Of float64 loops over the rows that are there; those that are not get no gradient, whatever stands in them."""
    by_first, by_second, by_temperature = masked()[1][name]
    rows, classes = np.stack([FIRST[SOME], SECOND[SOME]]).astype(np.float64), CLASSES[SOME]
    total = lambda x, t: by_loops(name, *x, classes, t).sum()  # noqa: E731
    for x, side, found in ((rows[0], 0, by_first), (rows[1], 1, by_second)):
        numeric = np.zeros_like(x)
        for index in np.ndindex(x.shape):
            step = np.zeros_like(rows)
            step[(side, *index)] = 1e-5
            numeric[index] = (total(rows + step, 0.3) - total(rows - step, 0.3)) / 2e-5
        np.testing.assert_array_equal(found[~SOME], 0)
        np.testing.assert_allclose(found[SOME], numeric, rtol=1e-4, atol=1e-4 * np.abs(numeric).max() + 1e-7)
    numeric = (total(rows, 0.3 + 1e-6) - total(rows, 0.3 - 1e-6)) / 2e-6
    np.testing.assert_allclose(by_temperature, numeric, rtol=1e-4, atol=1e-6)
    assert np.abs(by_first).max() > 1e-3


@every_loss
def test_an_empty_mask_gives_zero_and_gradients_of_zero(name):
    bad, nobody = np.full_like(FIRST, np.nan), np.zeros(6, bool)
    assert np.all(np.asarray(values(bad, SECOND, where=nobody)[name]) == 0)
    assert all(np.all(np.asarray(g) == 0) for g in gradients(bad, SECOND, where=nobody)[name])


@every_loss
def test_a_single_row_has_nothing_to_contrast_with(name):
    alone = np.arange(6) == 0
    of_one = np.asarray(values(FIRST[:1], SECOND[:1], CLASSES[:1], T, ALL[:1])[name])
    left_over = np.asarray(values(FIRST, SECOND, where=alone)[name])
    grads = gradients(FIRST, SECOND, where=alone)[name]
    assert np.all(left_over.ravel()[1:] == 0)
    if "literal" in name or "alignment" in name:  # these say how far the two vectors of the row are apart
        expected = by_loops(name, FIRST[:1], SECOND[:1], CLASSES[:1], T)
        np.testing.assert_allclose(of_one, expected, rtol=1e-5)
        np.testing.assert_allclose(left_over.ravel()[:1], np.ravel(expected), rtol=1e-5)
        assert all(np.all(np.isfinite(g)) for g in grads)
    else:
        assert np.all(of_one == 0)
        assert np.all(left_over == 0)
        assert all(np.all(np.asarray(g) == 0) for g in grads)


@every_loss
def test_lengths_of_vectors_do_not_matter(name):
    scale = np.array([1e-6, 1e-3, 0.5, 7, 1e3, 1e6], np.float32)[:, None]
    expected = values(FIRST, SECOND)[name]
    np.testing.assert_allclose(values(FIRST * scale, SECOND / scale)[name], expected, rtol=1e-5, atol=1e-5)


@every_loss
def test_order_of_the_batch_does_not_matter(name):
    order = np.array([3, 0, 1, 5, 2, 4])
    expected = np.asarray(values(FIRST, SECOND)[name])
    found = values(FIRST[order], SECOND[order], CLASSES[order])[name]
    np.testing.assert_allclose(found, expected if name in OF_BATCH else expected[order], rtol=2e-6, atol=ROUNDING / T)


@every_loss
def test_zero_vectors_give_finite_values_and_no_gradient_into_themselves(name):
    first, second = FIRST.copy(), SECOND.copy()
    first[[0, 2]], second[[2, 3]] = 0, 0
    assert np.all(np.isfinite(values(first, second)[name]))
    by_first, by_second, _ = (np.asarray(g) for g in gradients(first, second)[name])
    assert np.all(np.isfinite(by_first))
    assert np.all(np.isfinite(by_second))
    np.testing.assert_array_equal(by_first[[0, 2]], 0)
    np.testing.assert_array_equal(by_second[[2, 3]], 0)


@every_loss
def test_coinciding_vectors_give_finite_gradients(name):
    same = np.repeat(FIRST[:1], 6, axis=0)
    assert all(np.all(np.isfinite(g)) for g in gradients(same, same)[name])
    assert all(np.all(np.isfinite(g)) for g in gradients(FIRST, FIRST)[name])


@every_loss
def test_a_value_that_is_not_finite_in_a_row_that_counts_is_not_hidden(name):
    first = FIRST.copy()
    first[2, 1] = np.nan
    found = np.asarray(values(first, SECOND)[name])
    assert np.isnan(found if name in OF_BATCH else found[2])


@every_loss
@pytest.mark.parametrize("temperature", [1e-4, 1e-6])
def test_a_very_small_temperature_gives_no_overflow(name, temperature):  # exp(1e4) is beyond float64 as well
    assert np.all(np.isfinite(values(FIRST, SECOND, temperature=temperature)[name]))
    assert all(np.all(np.isfinite(g)) for g in gradients(FIRST, SECOND, temperature=temperature)[name])


def test_neither_jit_nor_a_mask_of_all_rows_changes_a_value():
    compiled = values(FIRST, SECOND)
    for name, loss in LOSSES.items():
        plain = loss(FIRST, SECOND, CLASSES, T)
        np.testing.assert_allclose(plain, compiled[name], rtol=2e-6, atol=ROUNDING / T, err_msg=name)


def test_vmap_over_runs_and_their_temperatures_equals_a_loop():
    first, temperatures = np.stack([FIRST, FIRST[::-1], FIRST]), np.array([0.05, 0.05, 0.7], np.float32)
    found = jax.jit(jax.vmap(values, in_axes=(0, None, None, 0)))(first, SECOND, CLASSES, temperatures)
    for run, (x, t) in enumerate(zip(first, temperatures, strict=True)):
        for name, expected in values(x, SECOND, CLASSES, float(t)).items():
            np.testing.assert_allclose(found[name][run], expected, rtol=1e-5, atol=1e-5, err_msg=name)
    assert not np.allclose(found["info_nce keys"][0], found["info_nce keys"][2])


# --- cases that can be worked out by hand -----------------------------------------------------------------------------

BASIS = np.eye(8, dtype=np.float32)
ONES = np.ones((6, 8), np.float32)


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("temperature", [0.05, 0.7])
def test_info_nce_of_orthogonal_rows_that_equal_their_keys(denominator, temperature):
    found = values(3 * BASIS[:6], BASIS[:6], temperature=temperature)[f"info_nce {denominator}"]
    # About 1e-8 at 0.05: a loss that is nearly 0 keeps its digits.
    np.testing.assert_allclose(found, np.full(6, math.log1p(5 * math.exp(-1 / temperature))), rtol=1e-5)


@pytest.mark.parametrize("denominator", DENOMINATORS)
def test_info_nce_of_identical_rows_is_the_logarithm_of_the_batch(denominator):
    np.testing.assert_allclose(values(ONES, 2 * ONES)[f"info_nce {denominator}"], np.full(6, math.log(6)), rtol=1e-6)


@pytest.mark.parametrize(
    ("denominator", "expected"),
    [("queries", math.log(4)), ("keys", math.log(4)), ("literal", math.log(math.exp(2) + 3))],
)
def test_info_nce_of_keys_that_are_orthogonal_to_everything(denominator, expected):
    """The printed denominator holds exp(q.q / t) where the others hold exp(q.k / t)."""
    query, key, where = BASIS[:6], BASIS[[4, 5, 6, 7, 0, 1]], np.arange(6) < 4
    found = values(query, key, temperature=0.5, where=where)[f"info_nce {denominator}"]
    np.testing.assert_allclose(found, [expected] * 4 + [0, 0], rtol=1e-6)


@pytest.mark.parametrize("denominator", DENOMINATORS)
def test_info_nce_is_least_where_the_only_other_row_is_opposite(denominator):
    query = np.stack([BASIS[0], -BASIS[0], *SECOND[:4]])
    least = math.log1p(math.exp(-2 / 0.7))
    found = values(query, 5 * query, temperature=0.7, where=np.arange(6) < 2)[f"info_nce {denominator}"]
    np.testing.assert_allclose(found, [least, least, 0, 0, 0, 0], rtol=1e-5)


@pytest.mark.parametrize(("denominator", "pool"), [("queries", FIRST), ("keys", SECOND)])
def test_towards_temperature_zero_info_nce_is_the_margin_to_the_nearest_negative(denominator, pool):
    query, key, pool = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (FIRST, SECOND, pool))
    margin = (query @ pool.T - 9 * np.eye(6)).max(-1) - np.sum(query * key, -1)
    found = 1e-4 * np.asarray(values(FIRST, SECOND, temperature=1e-4)[f"info_nce {denominator}"])
    np.testing.assert_allclose(found, np.maximum(margin, 0), atol=1e-4 * math.log(6))


def test_a_key_draws_its_query_also_where_the_loss_is_nearly_zero():
    key = BASIS[:6] + 0.1 * BASIS[1:7]
    by_first, _, _ = gradients(BASIS[:6], key, temperature=0.05)["info_nce keys"]
    # Row 5 has no key near it but its own: 1 - p is below what 1 in float32 can show.
    assert float(by_first[5, 6]) < 0


def test_info_nce_with_keys_equals_the_cross_entropy_of_optax():
    query, key = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (FIRST, SECOND))
    expected = optax.softmax_cross_entropy_with_integer_labels(jnp.asarray(query @ key.T / T), jnp.arange(6))
    np.testing.assert_allclose(values(FIRST, SECOND)["info_nce keys"], expected, rtol=1e-5, atol=1e-5)


def test_symmetric_info_nce_does_not_care_which_side_comes_first():
    found = values(FIRST, SECOND)
    np.testing.assert_allclose(values(SECOND, FIRST)["symmetric_info_nce"], found["symmetric_info_nce"], rtol=1e-6)
    assert not np.allclose(found["info_nce keys"], found["symmetric_info_nce"])


def test_instance_pairings_equal_plain_loops_with_each_row_its_own_positive():
    found = losses.instance_pairings(FIRST, SECOND, temperature=T)
    expected = {
        "origin_origin": by_loops("info_nce keys", FIRST, FIRST, CLASSES, T),
        "predict_predict": by_loops("info_nce keys", SECOND, SECOND, CLASSES, T),
        "origin_predict": by_loops("symmetric_info_nce", FIRST, SECOND, CLASSES, T),
    }
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_pairing_a_set_with_itself_pushes_its_rows_apart():
    x = FIRST / np.linalg.norm(FIRST, axis=-1, keepdims=True)
    by_query, by_key, _ = gradients(x, x, temperature=0.5, where=np.arange(6) < 2)["info_nce keys"]
    downhill, away = -np.asarray(by_query + by_key), x[0] - x[1]
    assert downhill[0] @ away > 0.01
    assert downhill[1] @ away < -0.01


@pytest.mark.parametrize("power", [1, 2, 1.5])
def test_alignment_of_identical_orthogonal_and_opposite_pairs(power):
    second = np.stack([5 * BASIS[0], BASIS[0], -BASIS[2]])
    found = losses.alignment(BASIS[:3], second, power=power)
    np.testing.assert_allclose(found, [0, math.sqrt(2) ** power, 2**power], rtol=1e-6)


@pytest.mark.parametrize("name", ["alignment 1", "alignment 2"])
def test_alignment_has_no_gradient_at_pairs_that_coincide(name):
    second = FIRST.copy()
    second[1] = SECOND[1]
    by_first, _, _ = (np.asarray(g) for g in gradients(FIRST, second)[name])
    np.testing.assert_array_equal(by_first[[0, 2, 3, 4, 5]], 0)
    assert np.abs(by_first[1]).max() > 0


@pytest.mark.parametrize(
    ("first", "second", "kind", "expected"),
    [
        (BASIS[:6], BASIS[:6], "pairwise", -2 * KAPPA),
        (BASIS[:6], 7 * BASIS[:6], "within", -2 * KAPPA),
        (BASIS[:6], BASIS[:6], "literal", 0),
        (BASIS[:6], BASIS[2:8], "literal", -2 * KAPPA),
        (BASIS[:6], -BASIS[:6], "literal", -4 * KAPPA),
        (BASIS[:6], ONES, "within", -KAPPA),
        (ONES, ONES, "pairwise", 0),
        (ONES, -ONES, "pairwise", -4 * KAPPA),
        (ONES, -ONES, "within", 0),
        (ONES, 0 * ONES, "pairwise", -KAPPA),  # a vector of zeros is at distance 1 from all unit vectors
    ],
)
def test_uniformity_of_orthogonal_identical_and_opposite_rows(first, second, kind, expected):
    np.testing.assert_allclose(values(first, second)[f"uniformity {kind}"], expected, rtol=1e-5, atol=1e-6)


def test_literal_uniformity_pushes_a_prediction_from_its_own_target_and_pairwise_does_not():
    """Why eq. 7 is not read as printed: it undoes eq. 6, and does nothing for uniformity."""
    near, far = 0.9 * BASIS[:6] + 0.1, 0.5 * BASIS[:6] + 0.5
    at = {name: values(BASIS[:6], y) for name, y in (("own", BASIS[:6]), ("near", near), ("far", far))}
    literal, pairwise = "uniformity literal", "uniformity pairwise"
    assert at["far"][literal] < at["near"][literal] < at["own"][literal] == 0
    assert at["own"][pairwise] < at["near"][pairwise] < at["far"][pairwise]
    clumped = values(ONES, ONES)
    assert clumped[literal] == at["own"][literal]
    assert clumped[pairwise] > at["own"][pairwise] + 2


def test_uniformity_within_one_set_does_not_need_a_second():
    expected = by_loops("uniformity pairwise", FIRST, FIRST, CLASSES, T)
    np.testing.assert_allclose(losses.uniformity(FIRST, kappa=KAPPA), expected, rtol=1e-5)
    np.testing.assert_allclose(losses.uniformity(FIRST, kappa=KAPPA, kind="within"), expected, rtol=1e-5)


@pytest.mark.parametrize("classes", [np.zeros(6, np.int32), np.arange(6, dtype=np.int32)], ids=["one", "all different"])
def test_supervised_loss_is_zero_where_nothing_can_be_told_apart(classes):
    np.testing.assert_array_equal(values(FIRST, SECOND, classes)["supervised"], 0)
    assert all(np.all(np.asarray(g) == 0) for g in gradients(FIRST, SECOND, classes)["supervised"])


def test_supervised_loss_of_two_opposite_classes():
    x = np.stack([BASIS[0]] * 4 + [-BASIS[0]] * 2)
    found = values(x, x, np.array([1, 1, 1, 1, -1, -1], np.int32), 0.5)["supervised"]
    few, many = math.log1p(2 / 3 * math.exp(-4)), math.log1p(4 / 1 * math.exp(-4))
    np.testing.assert_allclose(found, [few] * 4 + [many] * 2, rtol=1e-5)


def test_supervised_loss_with_classes_of_two_equals_the_ntxent_of_optax():
    classes = np.array([0, 1, 2, 2, 1, 0], np.int32)
    expected = optax.ntxent(jnp.asarray(FIRST), jnp.asarray(classes), 0.2)
    np.testing.assert_allclose(values(FIRST, SECOND, classes, 0.2)["supervised"].mean(), expected, rtol=1e-5)


def test_supervised_loss_of_targets_and_predictions_in_one_pool():
    pool, both = np.concatenate([FIRST, SECOND]), np.concatenate([CLASSES, CLASSES])
    found = losses.supervised_contrastive(pool, both, temperature=T).reshape(2, 6).mean(0)
    expected = by_loops("supervised", pool, pool, both, T)
    np.testing.assert_allclose(found, (expected[:6] + expected[6:]) / 2, rtol=1e-5, atol=1e-5)


def test_an_anchor_without_a_positive_takes_no_part():
    classes, where = np.array([0, 1, 0, 2, 2, 1], np.int32), np.array([1, 1, 1, 0, 1, 1], bool)
    found = values(FIRST, SECOND, classes, 0.7, where)["supervised"] > 0
    np.testing.assert_array_equal(found, [True, True, True, False, False, True])


def test_classes_may_be_the_sign_of_a_label():
    label = np.array([-3, -0.2, 0, 0, 0.4, 3], np.float32)
    found = losses.supervised_contrastive(FIRST, jnp.sign(label), temperature=T)
    expected = by_loops("supervised", FIRST, SECOND, np.array([0, 0, 1, 1, 2, 2]), T)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


# --- unit vectors -----------------------------------------------------------------------------------------------------


def test_l2_normalise_gives_unit_vectors_along_any_axis():
    x = np.random.default_rng(1).normal(size=(4, 3, 5)).astype(np.float32)
    for axis, scale in ((-1, 1), (0, 1e-8), (1, 1e25)):  # the square of 1e25 is beyond float32
        expected = x / np.linalg.norm(x.astype(np.float64), axis=axis, keepdims=True)
        np.testing.assert_allclose(losses.l2_normalise(x * np.float32(scale), axis=axis), expected, rtol=1e-6)


def test_l2_normalise_is_zero_with_no_gradient_at_zero():
    value, back = jax.vjp(losses.l2_normalise, jnp.array([[0.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_allclose(value, [[0, 0], [0.6, 0.8]], rtol=1e-6)
    (found,) = back(jnp.array([[1.0, 2.0], [1.0, 0.0]]))
    # (I - u u^T) / ||x|| at (3, 4): (1 - 0.36, -0.48) / 5.
    np.testing.assert_allclose(found, [[0, 0], [0.128, -0.096]], rtol=1e-5)


def test_half_precision_is_computed_in_float32():
    half = [jnp.asarray(x, jnp.bfloat16) for x in (FIRST, SECOND)]
    found = losses.info_nce(*half, temperature=T)
    assert found.dtype == jnp.float32
    rounded = [np.asarray(x, np.float32) for x in half]
    np.testing.assert_allclose(found, by_loops("info_nce queries", *rounded, CLASSES, T), rtol=1e-5, atol=1e-5)


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(LOSSES.keys() - {"supervised"}))
def test_pairs_of_different_shape_are_an_error(name):
    for first, second in ((FIRST, SECOND[:5]), (FIRST, SECOND[:, :4]), (FIRST[:1], SECOND)):
        with pytest.raises(AssertionError):
            LOSSES[name](first, second, CLASSES, T)
    with pytest.raises(AssertionError):
        losses.instance_pairings(FIRST, SECOND[:1], temperature=T)


@every_loss
def test_a_mask_or_an_array_of_another_rank_is_an_error(name):
    for where in (ALL[:, None], ALL[:1], ALL[:5]):
        with pytest.raises(AssertionError):
            LOSSES[name](FIRST, SECOND, CLASSES, T, where)
    with pytest.raises(AssertionError):
        LOSSES[name](FIRST[None], SECOND[None], CLASSES, T)


@pytest.mark.parametrize("classes", [CLASSES[:1], CLASSES[:, None], CLASSES[:5]], ids=["one", "a column", "too few"])
def test_classes_of_another_shape_are_an_error(classes):
    with pytest.raises(AssertionError):
        losses.supervised_contrastive(FIRST, classes, temperature=T)


def test_one_temperature_for_each_sample_is_an_error():
    with pytest.raises(AssertionError):
        losses.info_nce(FIRST, SECOND, temperature=jnp.full(6, 0.1))


@pytest.mark.parametrize("value", [0, -0.1, 0.0, np.float32(0), jnp.float32(-0.1), np.array(0.0), math.nan])
def test_a_temperature_kappa_or_power_that_is_not_positive_is_an_error(value):
    with pytest.raises(InputError, match=r"option temperature is .*; expected a positive number"):
        losses.info_nce(FIRST, SECOND, temperature=value)
    with pytest.raises(InputError, match="option temperature is"):
        losses.supervised_contrastive(FIRST, CLASSES, temperature=value)
    with pytest.raises(InputError, match="option kappa is"):
        losses.uniformity(FIRST, kappa=value)
    with pytest.raises(InputError, match="option power is"):
        losses.alignment(FIRST, SECOND, power=value)


def test_a_temperature_that_has_a_value_is_looked_at_under_jit_and_a_traced_one_is_not():
    temperature = jnp.float32(-0.1)
    with pytest.raises(InputError, match="option temperature is"):
        jax.jit(lambda first: losses.info_nce(first, first, temperature=temperature))(FIRST)
    assert jax.jit(lambda t: losses.info_nce(FIRST, FIRST, temperature=t))(temperature).shape == (6,)


def test_unknown_readings_are_errors_that_name_the_known_ones():
    with pytest.raises(InputError, match="option denominator is 'values'; expected one of queries, literal, keys"):
        losses.info_nce(FIRST, SECOND, temperature=T, denominator="values")
    with pytest.raises(InputError, match="option kind is 'all'; expected one of pairwise, literal, within"):
        losses.uniformity(FIRST, SECOND, kind="all")
    with pytest.raises(InputError, match="option kind is 'literal'; expected pairwise or within"):
        losses.uniformity(FIRST, kind="literal")


# --- many devices -----------------------------------------------------------------------------------------------------

ON_EIGHT_DEVICES = """
import sys
import jax, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from tests.losses.contrastive_cases import LOSSES, sample

jax.config.update("jax_numpy_rank_promotion", "raise")
mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
arrays = jax.device_put((*sample(16), np.arange(16) % 5 != 3), NamedSharding(mesh, PartitionSpec("data")))
assert len(arrays[0].addressable_shards) == 8 and arrays[0].addressable_shards[0].data.shape == (2, 8)

@jax.jit
def values(first, second, classes, where):
    return {name: loss(first, second, classes, 0.1, where) for name, loss in LOSSES.items()}

@jax.jit
def gradient(first, second, classes, where):
    return jax.grad(lambda x: LOSSES["info_nce queries"](x, second, classes, 0.1, where).sum())(first)

found = gradient(*arrays)
assert len(found.sharding.device_set) == 8
np.savez(sys.argv[1], gradient=found, **values(*arrays))
"""


@pytest.mark.slow
def test_a_batch_on_eight_devices_meets_the_negatives_of_all_of_them(tmp_path):
    command = [sys.executable, "-c", ON_EIGHT_DEVICES, str(tmp_path / "found.npz")]
    subprocess.run(
        command, cwd=REPOSITORY, env=os.environ | {"JAX_NUM_CPU_DEVICES": "8", "JAX_PLATFORMS": "cpu"}, check=True
    )
    with np.load(tmp_path / "found.npz") as file:
        found = dict(file)
    assert found.keys() == LOSSES.keys() | {"gradient"}

    first, second, classes = sample(16)
    where = np.arange(16) % 5 != 3
    there = first[where], second[where], classes[where], T
    for name in LOSSES:  # the loops know of no device and of no mask
        value = found[name] if name in OF_BATCH else found[name][where]
        np.testing.assert_allclose(value, by_loops(name, *there), rtol=1e-5, atol=5e-6, err_msg=name)

    total = lambda x: losses.info_nce(x, second, temperature=T, where=where).sum()  # noqa: E731
    np.testing.assert_allclose(found["gradient"], jax.jit(jax.grad(total))(first), rtol=1e-4, atol=1e-5)

    # Had each device met its own two rows only, the values would be others.
    apart = np.full(16, np.nan)
    for rows in np.arange(16).reshape(8, 2):
        mine = rows[where[rows]]
        apart[mine] = by_loops("info_nce queries", first[mine], second[mine], classes[mine], T)
    assert np.abs(apart[where] - found["info_nce queries"][where]).max() > 0.5
