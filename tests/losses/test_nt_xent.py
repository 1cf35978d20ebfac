"""NT-Xent and Multi NT-Xent against loops in float64, and DMMSA's argument (eq. 1-4) by hand and in numbers."""

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
from tests.paths import REPOSITORY

B, P, N, D = 4, 2, 3, 5
T = 0.5
ALL = np.ones(B, bool)
WHERE = np.array([1, 0, 1, 1], bool)
LOSSES = {
    "one": functools.partial(losses.nt_xent, denominator="one"),
    "all": functools.partial(losses.nt_xent, denominator="all"),
    "multi": losses.multi_nt_xent,
}
every_loss = pytest.mark.parametrize("name", LOSSES)


def sample(rows=B, seed=0):
    rng = np.random.default_rng(seed)
    shapes = ((rows, D), (rows, P, D), (rows, N, D))
    return [rng.normal(size=shape, scale=3).astype(np.float32) for shape in shapes]


ARRAYS = sample()


def by_loops(name, anchor, positives, negatives, t=T):
    """[B] float64, a cosine and an exponential at a time."""

    def weight(a, b):
        a, b = [float(x) for x in a], [float(x) for x in b]
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return math.exp(dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(x * x for x in b)) / t)

    out = []
    for a, ps, ns in zip(anchor, positives, negatives, strict=True):
        p, n = [weight(a, x) for x in ps], [weight(a, x) for x in ns]
        if name == "one":
            out.append(sum(-math.log(x / (x + sum(n))) for x in p) / len(p))
        elif name == "all":
            out.append(sum(-math.log(x / (sum(p) + sum(n))) for x in p) / len(p))
        else:
            out.append(-math.log(sum(p) / (sum(p) + sum(n))))
    return np.array(out)


@jax.jit
def _values(arrays, temperature, where):
    return {name: loss(*arrays, temperature=temperature, where=where) for name, loss in LOSSES.items()}


@jax.jit
def _gradients(arrays, temperature, where):
    def gradient(loss):
        total = lambda arrays, t: jnp.sum(loss(*arrays, temperature=t, where=where))  # noqa: E731
        return jax.grad(total, argnums=(0, 1))(arrays, temperature)

    return {name: gradient(loss) for name, loss in LOSSES.items()}


def values(arrays, temperature=T, where=ALL):
    return _values(list(arrays), temperature, where)


def gradients(arrays, temperature=T, where=ALL):
    return _gradients(list(arrays), temperature, where)


def spoilt():
    """The sample, with the row that is not there full of what must not be looked at."""
    arrays = sample()
    for x, bad in zip(arrays, (np.nan, np.inf, 1e30), strict=True):
        x[~WHERE] = bad
    return arrays


@every_loss
@pytest.mark.parametrize("temperature", [0.05, 0.1, 0.5])
def test_value_equals_plain_loops(name, temperature):
    found = values(ARRAYS, temperature)[name]
    assert found.shape == (B,)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, by_loops(name, *ARRAYS, temperature), rtol=2e-6, atol=5e-7 / temperature)


def test_values_in_float64_equal_plain_loops_to_twelve_digits():
    arrays = [x.astype(np.float64) for x in ARRAYS]
    with jax.enable_x64(True):
        for name, found in values(arrays).items():
            np.testing.assert_allclose(found, by_loops(name, *arrays), rtol=1e-12, err_msg=name)


@every_loss
def test_masked_rows_give_zero_and_change_nothing(name):
    found = np.asarray(values(spoilt(), where=WHERE)[name])
    np.testing.assert_array_equal(found[~WHERE], 0)
    np.testing.assert_allclose(found[WHERE], by_loops(name, *(x[WHERE] for x in ARRAYS)), rtol=2e-6, atol=1e-6)


@every_loss
def test_gradient_equals_finite_differences_of_the_loops(name):
    by_arrays, by_temperature = gradients(spoilt(), where=WHERE)[name]
    arrays = [x[WHERE].astype(np.float64) for x in ARRAYS]
    for which, found in enumerate(by_arrays):
        numeric = np.zeros_like(arrays[which])
        for index in np.ndindex(numeric.shape):
            sides = []
            for step in (1e-5, -1e-5):
                moved = [x.copy() for x in arrays]
                moved[which][index] += step
                sides.append(by_loops(name, *moved).sum())
            numeric[index] = (sides[0] - sides[1]) / 2e-5
        np.testing.assert_array_equal(found[~WHERE], 0)
        np.testing.assert_allclose(found[WHERE], numeric, rtol=1e-4, atol=1e-6)
        assert np.abs(numeric).max() > 1e-3
    numeric = (by_loops(name, *arrays, T + 1e-6).sum() - by_loops(name, *arrays, T - 1e-6).sum()) / 2e-6
    np.testing.assert_allclose(by_temperature, numeric, rtol=1e-4)


@every_loss
def test_an_empty_mask_gives_zero_and_gradients_of_zero(name):
    bad, nobody = [np.full_like(x, np.nan) for x in ARRAYS], np.zeros(B, bool)
    np.testing.assert_array_equal(values(bad, where=nobody)[name], 0)
    by_arrays, by_temperature = gradients(bad, where=nobody)[name]
    assert all(np.all(np.asarray(g) == 0) for g in (*by_arrays, by_temperature))


@every_loss
def test_rows_have_nothing_to_do_with_each_other_and_lengths_do_not_matter(name):
    """So a batch of one is like any other."""
    expected = np.asarray(values(ARRAYS)[name])
    scale = np.array([1e-6, 0.5, 7, 1e6], np.float32)
    scaled = [ARRAYS[0] * scale[:, None], ARRAYS[1] / scale[:, None, None], ARRAYS[2] * 9]
    np.testing.assert_allclose(values(scaled)[name], expected, rtol=1e-5)
    np.testing.assert_allclose(values([x[::-1] for x in ARRAYS])[name], expected[::-1], rtol=1e-5)
    one = LOSSES[name](*(x[2:3] for x in ARRAYS))
    np.testing.assert_allclose(one, expected[2:3], rtol=1e-5)


@every_loss
def test_zero_and_coinciding_vectors_give_finite_values_and_gradients(name):
    zeros = [x.copy() for x in ARRAYS]
    zeros[0][0], zeros[1][1, 0], zeros[2][2] = 0, 0, 0
    same = [np.ones_like(x) for x in ARRAYS]
    for arrays in (zeros, same):
        assert np.all(np.isfinite(values(arrays)[name]))
        assert all(np.all(np.isfinite(g)) for g in jax.tree.leaves(gradients(arrays)[name]))


@every_loss
def test_a_value_that_is_not_finite_in_a_row_that_counts_is_not_hidden(name):
    for which in range(3):
        arrays = sample()
        arrays[which][2] = np.nan
        found = np.asarray(values(arrays)[name])
        assert np.isnan(found[2])
        assert np.all(np.isfinite(found[[0, 1, 3]]))


@every_loss
def test_a_very_small_temperature_gives_no_overflow(name):
    assert np.all(np.isfinite(values(ARRAYS, 1e-5)[name]))
    assert all(np.all(np.isfinite(g)) for g in jax.tree.leaves(gradients(ARRAYS, 1e-5)[name]))


@every_loss
def test_jit_and_vmap_over_temperatures_change_nothing(name):
    loss = LOSSES[name]
    temperatures = np.array([0.05, 0.5, 0.7], np.float32)
    found = jax.jit(jax.vmap(lambda t: loss(*ARRAYS, temperature=t)))(temperatures)
    for row, t in zip(found, temperatures, strict=True):
        np.testing.assert_allclose(row, values(ARRAYS, float(t))[name], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(loss(*ARRAYS), values(ARRAYS)[name], rtol=1e-5)  # the default is 0.5


def test_without_negatives_nothing_is_wrong_but_the_share_of_each_positive():
    anchor, positives, _ = ARRAYS
    none = np.zeros((B, 0, D), np.float32)
    np.testing.assert_array_equal(losses.nt_xent(anchor, positives, none), 0)
    np.testing.assert_array_equal(losses.multi_nt_xent(anchor, positives, none), 0)
    same = np.repeat(positives[:, :1], P, axis=1)
    np.testing.assert_allclose(losses.nt_xent(anchor, same, none, denominator="all"), math.log(P), rtol=1e-6)


def test_with_one_positive_all_three_are_the_cross_entropy_of_optax():
    anchor, positives, negatives = ARRAYS
    unit = [x / np.linalg.norm(x, axis=-1, keepdims=True) for x in ARRAYS]
    candidates = np.concatenate([unit[1][:, :1], unit[2]], axis=1)
    scores = np.einsum("bd,bkd->bk", unit[0], candidates) / T
    expected = optax.softmax_cross_entropy_with_integer_labels(jnp.asarray(scores), jnp.zeros(B, jnp.int32))
    for found in values([anchor, positives[:, :1], negatives]).values():
        np.testing.assert_allclose(found, expected, rtol=1e-5)


# --- DMMSA's argument ---------------------------------------------------------------------------------------------------


def converged(temperature):
    """Every positive points along its anchor, every negative against it."""
    direction = ARRAYS[0]
    arrays = direction, np.repeat(2 * direction[:, None], P, axis=1), np.repeat(-direction[:, None], N, axis=1)
    return {name: float(value[0]) for name, value in values(arrays, temperature).items()}


@pytest.mark.parametrize("temperature", [0.1, 0.5, 0.7, 2.0])
def test_a_model_that_has_converged_is_left_with_the_least_values_there_are(temperature):
    rival = math.exp(-2 / temperature)
    expected = {"one": math.log1p(N * rival), "all": math.log(P + N * rival), "multi": math.log1p(N / P * rival)}
    found = converged(temperature)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, err_msg=name)


def test_the_least_values_for_two_positives_and_three_negatives_at_temperature_a_half():
    found = converged(0.5)
    np.testing.assert_allclose([found["all"], found["one"], found["multi"]], [0.720, 0.053, 0.027], atol=5e-4)


def test_nt_xent_as_printed_cannot_converge_to_zero_and_multi_nt_xent_does():
    """Eq. 2 and 4: log n is left of the one, nothing of the other, where no negative counts."""
    found = converged(0.02)
    np.testing.assert_allclose(found["all"], math.log(P), rtol=1e-6)
    np.testing.assert_allclose(P * found["all"], -sum(math.log(1 / P) for _ in range(P)), rtol=1e-6)  # eq. 2, a sum
    assert 0 <= found["multi"] < 1e-30
    assert 0 <= found["one"] < 1e-30  # nor is ConFEDE's code concerned


@every_loss
@pytest.mark.parametrize("seed", range(4))
def test_no_sample_goes_below_the_least_value(name, seed):
    arrays = sample(seed=seed)
    near = [arrays[0], arrays[0][:, None] + 0.1 * arrays[1], -arrays[0][:, None] + 0.1 * arrays[2]]
    least = converged(T)[name]
    assert np.all(np.asarray(values(arrays)[name]) > least)
    assert np.all(np.asarray(values(near)[name]) > least)
    assert np.all(np.asarray(values(near)[name]) < least + 0.3)


def test_multi_nt_xent_is_content_with_one_good_positive_and_nt_xent_is_not():
    """Summing before the logarithm has its price: the second positive may stay where it is."""
    anchor = np.ones((1, D), np.float32)
    positives = np.stack([anchor, -anchor], axis=1)
    negatives = np.stack([-anchor] * N, axis=1)
    t = 0.1
    np.testing.assert_allclose(losses.multi_nt_xent(anchor, positives, negatives, temperature=t), 0, atol=1e-6)
    found = losses.nt_xent(anchor, positives, negatives, temperature=t)
    np.testing.assert_allclose(found, [0.5 * math.log(1 + N)], rtol=1e-5)  # the second is one among 1 + N


# --- bad input ----------------------------------------------------------------------------------------------------------


@every_loss
def test_wrong_shapes_are_errors(name):
    anchor, positives, negatives = ARRAYS
    for wrong in (
        (anchor[:1], positives, negatives),
        (anchor[:, :4], positives, negatives),
        (anchor[:, None], positives, negatives),
        (anchor[0], positives, negatives),
        (anchor, positives[:1], negatives),
        (anchor, positives[:, 0], negatives),
        (anchor, positives[:, :0], negatives),  # no positive: nothing to compare with
        (anchor, positives, negatives[..., :1]),
        (anchor, positives, negatives[:1]),
    ):
        with pytest.raises(AssertionError):
            LOSSES[name](*wrong)
    for where in (WHERE[:1], WHERE[:, None]):
        with pytest.raises(AssertionError):
            LOSSES[name](*ARRAYS, where=where)


@every_loss
@pytest.mark.parametrize("temperature", [0, -0.5, math.nan])
def test_a_temperature_that_is_not_positive_is_an_error(name, temperature):
    with pytest.raises(InputError, match=r"option temperature is .*; expected a positive number"):
        LOSSES[name](*ARRAYS, temperature=temperature)


def test_an_unknown_denominator_is_an_error_that_names_the_known_ones():
    with pytest.raises(InputError, match="option denominator is 'both'; expected one of one, all"):
        losses.nt_xent(*ARRAYS, denominator="both")


# --- many devices -------------------------------------------------------------------------------------------------------

ON_EIGHT_DEVICES = """
import sys
import jax, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from tests.losses.test_nt_xent import LOSSES, sample

mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
arrays = jax.device_put(sample(16), NamedSharding(mesh, PartitionSpec("data")))
assert all(x.addressable_shards[0].data.shape[0] == 2 for x in arrays)
found = jax.jit(lambda *arrays: {name: loss(*arrays) for name, loss in LOSSES.items()})(*arrays)
assert all(len(x.sharding.device_set) == 8 for x in found.values())
np.savez(sys.argv[1], **found)
"""


@pytest.mark.slow
def test_a_batch_on_eight_devices_gives_the_same_values(tmp_path):
    command = [sys.executable, "-c", ON_EIGHT_DEVICES, str(tmp_path / "found.npz")]
    subprocess.run(
        command, cwd=REPOSITORY, env=os.environ | {"JAX_NUM_CPU_DEVICES": "8", "JAX_PLATFORMS": "cpu"}, check=True
    )
    with np.load(tmp_path / "found.npz") as found:
        assert set(found) == LOSSES.keys()
        for name in LOSSES:
            np.testing.assert_allclose(found[name], by_loops(name, *sample(16)), rtol=2e-6, atol=1e-6, err_msg=name)
