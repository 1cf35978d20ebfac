"""DMMSA's argument for Multi NT-Xent (eq. 1-4) in limits: what is left of each loss when training has done all it can.

The expected numbers are the paper's formulas with cosines put in: 1 to the n positives, -1 to the negatives. Eq. 2 and 4
then are limits of small temperatures; at the temperature in use a little more is left.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax import losses

D = 4
SMALL = 0.01  # exp(-2 / SMALL) is 0 in float32


def nt_xent_as_printed(anchor, positives, negatives, temperature):
    """Eq. 1, a sum over the positives."""
    loss = losses.nt_xent(anchor, positives, negatives, temperature=temperature, denominator="all")
    return positives.shape[1] * loss


def nt_xent_of_the_code(anchor, positives, negatives, temperature):
    """ConFEDE's, one positive to a denominator; a sum too."""
    return positives.shape[1] * losses.nt_xent(anchor, positives, negatives, temperature=temperature)


def multi_nt_xent(anchor, positives, negatives, temperature):
    """Eq. 3."""
    return losses.multi_nt_xent(anchor, positives, negatives, temperature=temperature)


LOSSES = {
    "printed": jax.jit(nt_xent_as_printed),
    "code": jax.jit(nt_xent_of_the_code),
    "multi": jax.jit(multi_nt_xent),
}


def converged(number, negatives):
    """An anchor, `number` positives in its direction, negatives against it."""
    axis = np.arange(1, D + 1, dtype=np.float32)
    return (
        jnp.asarray(axis[None]),
        jnp.asarray(np.tile(3 * axis, (1, number, 1))),
        jnp.asarray(np.tile(-axis, (1, negatives, 1))),
    )


def least(name, number, negatives, t):
    """Eq. 1 and 3 with those cosines, divided through by exp(1 / t)."""
    rival = negatives * math.exp(-2 / t)
    return {
        "printed": number * math.log(number + rival),
        "code": number * math.log(1 + rival),
        "multi": -math.log(number / (number + rival)),
    }[name]


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2, 4])
def test_nt_xent_ends_at_the_sum_of_log_n_and_multi_nt_xent_at_zero(number):
    arrays = converged(number, 3 if number == 2 else 1)
    equation_2 = -sum(math.log(1 / number) for _ in range(number))
    equation_4 = -math.log(number / number)
    np.testing.assert_allclose(nt_xent_as_printed(*arrays, SMALL), [equation_2], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(multi_nt_xent(*arrays, SMALL), [equation_4], atol=1e-12)
    np.testing.assert_allclose(
        nt_xent_of_the_code(*arrays, SMALL), [0.0], atol=1e-12
    )  # the argument leaves it untouched


def test_with_one_positive_all_three_end_at_zero():
    """The paper: with n = 1 the loss precisely equals zero."""
    for loss in LOSSES.values():
        np.testing.assert_allclose(loss(*converged(1, 1), SMALL), [0.0], atol=1e-7)


def test_at_the_temperature_in_use_multi_nt_xent_ends_at_0_027_for_dmmsas_pairs():
    """Two positives and three negatives (eq. 11-12), tau 0.5: log(1 + 1.5 e^-4)."""
    found = {name: float(loss(*converged(2, 3), 0.5)[0]) for name, loss in LOSSES.items()}
    np.testing.assert_allclose(found["multi"], math.log(1 + 1.5 * math.exp(-4)), rtol=1e-5)
    np.testing.assert_allclose(found["multi"], 0.0271, atol=5e-5)
    np.testing.assert_allclose(found["printed"], 2 * math.log(2 + 3 * math.exp(-4)), rtol=1e-5)
    np.testing.assert_allclose(found["code"], 2 * math.log(1 + 3 * math.exp(-4)), rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 10.0, 1000.0])
@pytest.mark.parametrize(("number", "negatives"), [(2, 3), (4, 1)])
def test_what_is_left_is_the_formula_with_the_cosines_put_in(name, temperature, number, negatives):
    found = LOSSES[name](*converged(number, negatives), temperature)
    np.testing.assert_allclose(found, [least(name, number, negatives, temperature)], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_a_converged_model_has_nothing_left_to_learn(name):
    """The gradient is zero there: log 2 for each positive of eq. 1 is not work that is still to be done."""
    gradient = jax.jit(jax.grad(lambda arrays: LOSSES[name](*arrays, 0.5).sum()))(converged(2, 3))
    assert all(np.abs(np.asarray(g)).max() < 1e-6 for g in gradient)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_gradient_descent_from_anywhere_ends_at_the_least_value_and_not_below(name):
    """Vectors that are free to turn, from random starts, 2 positives and 3 negatives at tau 0.5.

    Multi NT-Xent needs the many steps: once one positive is near, little draws the other.
    """
    rng = np.random.default_rng(0)
    starts = tuple(rng.normal(size=shape).astype(np.float32) for shape in ((8, D), (8, 2, D), (8, 3, D)))

    @jax.jit
    def descend(arrays):
        def step(arrays, _):
            losses_now, gradient = jax.value_and_grad(lambda arrays: LOSSES[name](*arrays, 0.5).sum())(arrays)
            return jax.tree.map(lambda x, g: losses.l2_normalise(x - 0.5 * g), arrays, gradient), losses_now

        arrays, seen = jax.lax.scan(step, jax.tree.map(losses.l2_normalise, arrays), length=4000)
        return LOSSES[name](*arrays, 0.5), seen

    found, seen = descend(starts)
    floor = least(name, 2, 3, 0.5)
    np.testing.assert_allclose(found, np.full(8, floor), rtol=1e-2)
    assert np.all(np.asarray(found) > floor * (1 - 1e-4))
    assert float(seen[0]) > 8 * floor * 1.5
