"""GDWG: equations 13-14 against plain Python, the history, and the guards."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.errors import InputError
from msa_jax.losses.dynamic_weights import init, update, weights

TABLE = {"unimodal": [1.2, 0.9, 0.75, 0.7], "contrast": [0.6, 0.5, 0.2, 0.1], "other": [3.0, 3.3, 3.6, 2.0]}


def by_hand(table, temperature, scale=1.0):
    """The weights after the last epoch of the table, with eq. 13 and 14 as they are printed."""
    ratio = {term: values[-1] / values[0] for term, values in table.items()}
    total = sum(math.exp(value / temperature) for value in ratio.values())
    return {term: scale * math.exp(value / temperature) / total for term, value in ratio.items()}


def after(table, epochs):
    """The history after so many epochs of the table."""
    history = init(table)
    for epoch in range(epochs):
        history = update(history, {term: values[epoch] for term, values in table.items()})
    return history


def compare(found, expected, rtol=1e-5):
    assert found.keys() == expected.keys()
    for term, value in expected.items():
        assert found[term].shape == ()
        assert found[term].dtype == jnp.float32
        np.testing.assert_allclose(found[term], value, rtol=rtol, err_msg=term)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 2.0])
@pytest.mark.parametrize("epochs", [2, 3, 4])
def test_weights_are_the_softmax_of_what_is_left_of_each_loss(epochs, temperature):
    expected = by_hand({term: values[:epochs] for term, values in TABLE.items()}, temperature)
    compare(weights(after(TABLE, epochs), temperature=temperature), expected)
    compare(weights({term: values[:epochs] for term, values in TABLE.items()}, temperature=temperature), expected)


def test_two_terms_with_numbers_worked_out_by_hand():
    """Halved against unmoved, tau 0.5: e^1 / (e^1 + e^2) and e^2 / (e^1 + e^2)."""
    found = weights({"fast": [2.0, 1.0], "slow": [5.0, 5.0]}, temperature=0.5)
    compare(found, {"fast": 1 / (1 + math.e), "slow": math.e / (1 + math.e)})


@pytest.mark.parametrize("epochs", [0, 1])
def test_weights_are_equal_before_the_second_epoch_has_ended(epochs):
    compare(weights(after(TABLE, epochs), temperature=0.1), dict.fromkeys(TABLE, 1 / 3), rtol=1e-6)
    shown = {term: values[:epochs] for term, values in TABLE.items()}
    compare(weights(shown, temperature=0.1, scale=3.0), dict.fromkeys(TABLE, 1.0), rtol=1e-6)


def test_scale_is_what_the_weights_sum_to():
    found = weights(after(TABLE, 4), temperature=1.0, scale=2.0)
    compare(found, by_hand(TABLE, 1.0, scale=2.0))
    np.testing.assert_allclose(sum(found.values()), 2.0, rtol=1e-6)


def test_a_smaller_temperature_sets_the_terms_further_apart_and_a_term_that_falls_slowly_gets_more():
    mild, sharp = (weights(after(TABLE, 4), temperature=t) for t in (2.0, 0.1))
    assert float(sharp["other"]) > float(mild["other"]) > 1 / 3 > float(mild["contrast"]) > float(sharp["contrast"])


def test_one_term_has_all_the_weight_and_no_term_none():
    compare(weights({"only": [3.0, 1.0]}, temperature=1.0), {"only": 1.0})
    assert weights(init(()), temperature=1.0) == {}
    assert weights({}, temperature=1.0) == {}


def test_a_history_keeps_the_first_and_the_last_means_and_counts():
    history = after(TABLE, 3)
    assert int(history.epochs) == 3
    for term, values in TABLE.items():
        np.testing.assert_allclose(history.first[term], values[0])
        np.testing.assert_allclose(history.last[term], values[2])
    form = lambda x: (x.shape, str(x.dtype), x.weak_type)  # noqa: E731
    assert jax.tree.map(form, history) == jax.tree.map(form, init(TABLE))  # its size does not grow


def test_means_of_other_terms_are_ignored_and_a_missing_one_is_an_error():
    history = update(init(["a"]), {"a": 1.0, "total": 9.0})
    assert set(history.first) == {"a"}
    with pytest.raises(ValueError, match="lack contrast"):
        update(after(TABLE, 1), {"unimodal": 1.0, "other": 1.0})


def test_a_table_that_is_filled_as_training_goes_on_counts_only_its_epochs():
    """Traced, so that one program serves all epochs; what stands beyond is never looked at."""
    found = jax.jit(lambda table, epochs: weights(table, temperature=0.5, epochs=epochs))
    for epochs in range(5):
        table = {
            term: np.array([*values[:epochs], *[np.nan] * (5 - epochs)], np.float32) for term, values in TABLE.items()
        }
        shown = {term: values[:epochs] for term, values in TABLE.items()}
        expected = by_hand(shown, 0.5) if epochs >= 2 else dict.fromkeys(TABLE, 1 / 3)
        compare(found(table, epochs), expected)


def test_a_whole_training_under_scan_gives_the_weights_of_each_epoch():
    def epoch(history, means):
        history = update(history, means)
        return history, weights(history, temperature=0.7)

    means = {term: np.array(values, np.float32) for term, values in TABLE.items()}
    _, found = jax.jit(lambda means: jax.lax.scan(epoch, init(means), means))(means)
    for index in range(1, 4):
        expected = by_hand({term: values[: index + 1] for term, values in TABLE.items()}, 0.7)
        compare({term: values[index] for term, values in found.items()}, expected)


def test_runs_and_temperatures_are_an_axis():
    histories = jax.tree.map(lambda *x: jnp.stack(x), after(TABLE, 1), after(TABLE, 3), after(TABLE, 4))
    temperatures = jnp.array([1.0, 0.5, 2.0])
    found = jax.jit(jax.vmap(lambda h, t: weights(h, temperature=t)))(histories, temperatures)
    compare({term: x[0] for term, x in found.items()}, dict.fromkeys(TABLE, 1 / 3))
    compare(
        {term: x[1] for term, x in found.items()}, by_hand({term: values[:3] for term, values in TABLE.items()}, 0.5)
    )
    compare({term: x[2] for term, x in found.items()}, by_hand(TABLE, 2.0))


# -- guards -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0.0, -1.0, math.nan])
def test_a_term_without_a_first_loss_takes_part_as_if_it_had_not_moved(first):
    found = weights({"normal": [2.0, 1.0], "none": [first, 0.4]}, temperature=0.5)
    compare(found, {"normal": 1 / (1 + math.e), "none": math.e / (1 + math.e)})


@pytest.mark.parametrize("values", [[1e-38, 1e38], [1.0, math.inf], [math.inf, 1.0], [1.0, math.nan], [0.0, 0.0]])
@pytest.mark.parametrize("temperature", [1e-3, 1.0, 1e3])
def test_no_weight_is_ever_nan_and_they_sum_to_one(values, temperature):
    found = weights({"a": values, "b": [1.0, 0.5], "c": [1.0, 2.0]}, temperature=temperature)
    assert all(0 <= float(value) <= 1 for value in found.values())
    np.testing.assert_allclose(sum(found.values()), 1.0, rtol=1e-5)


def test_a_loss_that_grew_beyond_all_numbers_takes_all_the_weight():
    compare(weights({"a": [1.0, math.inf], "b": [1.0, 0.5]}, temperature=1.0), {"a": 1.0, "b": 0.0})


def test_no_gradient_flows_through_weights():
    def total(values):
        history = update(update(init(["a", "b"]), {"a": values[0], "b": 1.0}), {"a": values[1], "b": values[2]})
        return weights(history, temperature=0.5)["a"]

    np.testing.assert_array_equal(jax.grad(total)(jnp.array([1.0, 0.5, 0.2])), 0)
    table = lambda values: weights({"a": values[:2], "b": values[1:]}, temperature=0.5)["a"]  # noqa: E731
    np.testing.assert_array_equal(jax.grad(table)(jnp.array([1.0, 0.5, 0.2])), 0)


@pytest.mark.parametrize("name", ["temperature", "scale"])
@pytest.mark.parametrize("value", [0, -1.0, math.nan])
def test_a_temperature_or_scale_that_is_not_positive_is_an_error(name, value):
    with pytest.raises(InputError, match=f"option {name} is .*; expected a positive number"):
        weights(TABLE, **({"temperature": 1.0} | {name: value}))


def test_wrong_shapes_are_errors():
    for table in ({"a": [1.0, 2.0], "b": [1.0]}, {"a": np.ones((2, 2), np.float32)}, {"a": 1.0}):
        with pytest.raises(AssertionError):
            weights(table, temperature=1.0)
    with pytest.raises(AssertionError):
        update(init(["a"]), {"a": np.ones(2, np.float32)})


def test_the_number_of_epochs_beside_a_history_is_an_error():
    with pytest.raises(ValueError, match="counts its own"):
        weights(after(TABLE, 2), temperature=1.0, epochs=2)
