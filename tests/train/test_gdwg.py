"""GDWG where DMMSA's readers look for it: the interface, and a training whose state holds the history."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.losses import dynamic_weights
from msa_jax.train import gdwg


def test_the_functions_are_those_of_the_losses():
    assert set(gdwg.__all__) == {"History", "init", "update", "weights"}
    for name in gdwg.__all__:
        assert getattr(gdwg, name) is getattr(dynamic_weights, name)


def test_weights_take_a_plain_mapping_of_losses_per_epoch():
    found = gdwg.weights({"unimodal": [1.2, 0.9], "contrast": np.array([0.6, 0.2])}, temperature=1.0)
    slow, fast = math.exp(0.75), math.exp(1 / 3)
    np.testing.assert_allclose(
        [found["unimodal"], found["contrast"]], np.array([slow, fast]) / (slow + fast), rtol=1e-5
    )


def test_two_tasks_of_which_one_converges_faster_are_trained_with_the_weights_of_the_paper():
    """Gradient descent on 0.5 a^2 and 0.5 b^2, a with ten times the step: against the same in plain Python."""
    temperature, rates, epochs = 0.25, {"a": 0.5, "b": 0.05}, 6

    @jax.jit
    def epoch(values, history):
        share = gdwg.weights(history, temperature=temperature)

        def total(values):
            losses = {term: 0.5 * x**2 for term, x in values.items()}
            return sum(share[term] * loss for term, loss in losses.items()), losses

        gradient, losses = jax.grad(total, has_aux=True)(values)
        moved = {term: x - rates[term] * gradient[term] for term, x in values.items()}
        return moved, gdwg.update(history, losses), share

    values, history, found = {"a": jnp.float32(2.0), "b": jnp.float32(1.0)}, gdwg.init(rates), []
    for _ in range(epochs):
        values, history, share = epoch(values, history)
        found.append([float(share["a"]), float(share["b"])])

    x, seen, expected = {"a": 2.0, "b": 1.0}, [], []
    for _ in range(epochs):
        ratio = {term: seen[-1][term] / seen[0][term] if seen else 1.0 for term in x}
        weight = {term: math.exp(ratio[term] / temperature) for term in x}
        weight = {term: value / sum(weight.values()) for term, value in weight.items()}
        expected.append([weight["a"], weight["b"]])
        seen.append({term: 0.5 * value**2 for term, value in x.items()})
        x = {term: value - rates[term] * weight[term] * value for term, value in x.items()}
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert found[0] == found[1] == [0.5, 0.5]
    assert found[-1][1] > 0.8  # the slow one has most of it
