"""Losses between distributions, against loops in float64 and against PyTorch's gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax import losses
from msa_jax.errors import InputError

RNG = np.random.default_rng(0)
ROWS, WIDTH = 9, 4
FIRST, SECOND = (1 / (1 + np.exp(-RNG.normal(size=(2, ROWS, WIDTH)) * 2))).astype(np.float32)
WHERE = np.array([1, 0, 1, 1, 1, 0, 1, 1, 1], bool)
LOSSES = {
    "cmd": losses.cmd,
    "mmd": losses.mmd,
    "mean": losses.orthogonality,
    "sum": lambda first, second, where=None: losses.orthogonality(first, second, reduce="sum", where=where),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def loop_cmd(first, second, moments=5):
    """One feature, one moment and one sample at a time."""
    squared = np.zeros(moments + 1)
    for feature in range(first.shape[1]):
        columns = [[float(value) for value in x[:, feature]] for x in (first, second)]
        means = [sum(column) / len(column) for column in columns]
        squared[1] += (means[0] - means[1]) ** 2
        for k in range(2, moments + 1):
            x, y = (
                sum((value - mean) ** k for value in column) / len(column)
                for column, mean in zip(columns, means, strict=True)
            )
            squared[k] += (x - y) ** 2
    return np.sqrt(squared).sum()


def loop_squares(first, second):
    """[h, h], the squares of A^T B, one sample at a time."""
    units = []
    for x in (first.astype(np.float64), second.astype(np.float64)):
        centred = x - x.mean(0)
        units.append([row / (np.sqrt((row**2).sum()) + 1e-6) for row in centred])
    return sum(np.outer(a, b) for a, b in zip(*units, strict=True)) ** 2


# -- central moment discrepancy ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("moments", [1, 2, 3, 5, 7])
def test_cmd_equals_a_loop_over_moments_features_and_samples(moments):
    found = losses.cmd(FIRST, SECOND, moments=moments)
    np.testing.assert_allclose(found, loop_cmd(FIRST, SECOND, moments), rtol=1e-5)


def test_cmd_has_five_moments_unless_another_number_is_asked_for():
    assert losses.cmd(FIRST, SECOND) == losses.cmd(FIRST, SECOND, moments=5)


def test_cmd_of_equal_batches_is_zero_whatever_the_order_of_their_samples():
    assert losses.cmd(FIRST, FIRST) == 0
    np.testing.assert_allclose(losses.cmd(FIRST, FIRST[::-1]), 0, atol=1e-6)


def test_cmd_of_a_shifted_batch_is_the_length_of_the_shift():
    shift = 0.25  # exact in float32, as are the values
    values = np.round(FIRST * 64) / 64
    np.testing.assert_allclose(losses.cmd(values, values + shift, moments=1), shift * WIDTH**0.5, rtol=1e-6)
    np.testing.assert_allclose(losses.cmd(values, values + shift), shift * WIDTH**0.5, rtol=1e-5)


def test_cmd_of_one_sample_is_the_distance_of_the_two_vectors():
    expected = np.linalg.norm(FIRST[0] - SECOND[0])
    np.testing.assert_allclose(losses.cmd(FIRST[:1], SECOND[:1]), expected, rtol=1e-6)


def test_gradients_of_cmd_equal_those_of_pytorch():
    torch = pytest.importorskip("torch")
    from tests.reference.misa_torch import discrepancy

    given = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (FIRST, SECOND)]
    discrepancy(*given).backward()
    for ours, theirs in zip(jax.grad(losses.cmd, (0, 1))(FIRST, SECOND), given, strict=True):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), rtol=1e-4, atol=1e-6)


# -- orthogonality ----------------------------------------------------------------------------------------------------


def test_orthogonality_equals_a_loop_over_samples():
    squares = loop_squares(FIRST, SECOND)
    np.testing.assert_allclose(losses.orthogonality(FIRST, SECOND), squares.mean(), rtol=1e-5)
    np.testing.assert_allclose(losses.orthogonality(FIRST, SECOND, reduce="sum"), squares.sum(), rtol=1e-5)


def test_orthogonality_of_orthogonal_columns_is_zero():
    hadamard = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], np.float32)
    columns = np.concatenate([hadamard, -hadamard])  # [8, 4] of mean 0, and rows of one length
    np.testing.assert_allclose(losses.orthogonality(columns[:, 1:2], columns[:, 2:3]), 0, atol=1e-12)
    assert losses.orthogonality(columns[:, 1:2], columns[:, 1:2]) > 1


def test_the_squared_norm_is_at_least_about_the_number_of_samples_where_the_features_are_independent():
    first, second = np.random.default_rng(1).uniform(size=(2, 64, 128)).astype(np.float32)
    np.testing.assert_allclose(losses.orthogonality(first, second, reduce="sum"), 64, rtol=0.1)


def test_no_gradient_flows_through_the_lengths():
    torch = pytest.importorskip("torch")
    from tests.reference.misa_torch import difference

    given = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (FIRST, SECOND)]
    difference(*given).backward()
    for ours, theirs in zip(jax.grad(losses.orthogonality, (0, 1))(FIRST, SECOND), given, strict=True):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_an_unknown_reduction_is_refused():
    with pytest.raises(InputError, match="option reduce is 'max'"):
        losses.orthogonality(FIRST, SECOND, reduce="max")


# -- maximum mean discrepancy -----------------------------------------------------------------------------------------


def loop_mmd(first, second):
    """One pair at a time."""

    def mean_kernel(x, y):
        kernels = [
            np.exp(-((a - b) ** 2).sum() / len(a) ** 2) for a in x.astype(np.float64) for b in y.astype(np.float64)
        ]
        return sum(kernels) / len(kernels)

    return mean_kernel(first, first) + mean_kernel(second, second) - 2 * mean_kernel(first, second)


def test_mmd_equals_a_loop_over_pairs():
    rng = np.random.default_rng(2)
    first, second = (rng.normal(shift, 1, (11, 6)).astype(np.float32) for shift in (0.0, 1.0))
    np.testing.assert_allclose(losses.mmd(first, second), loop_mmd(first, second), rtol=1e-4)


def test_mmd_of_two_draws_of_one_distribution_is_near_zero_and_grows_with_a_shift():
    first, second = np.random.default_rng(3).normal(size=(2, 512, 8)).astype(np.float32)
    same, near, far = (float(losses.mmd(first + shift, second)) for shift in (0.0, 0.5, 2.0))
    assert 0 <= same < 2e-3 < near < far


def test_mmd_of_a_batch_of_one_counts_a_vector_with_itself():
    distance = ((FIRST[0] - SECOND[0]) ** 2).sum() / WIDTH**2
    np.testing.assert_allclose(losses.mmd(FIRST[:1], SECOND[:1]), 2 - 2 * np.exp(-distance), rtol=1e-4)


def test_gradients_of_mmd_equal_those_of_pytorch():
    torch = pytest.importorskip("torch")
    from tests.reference.memory_torch import discrepancy

    given = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (FIRST, SECOND)]
    discrepancy(*given).backward()
    for ours, theirs in zip(jax.grad(losses.mmd, (0, 1))(FIRST, SECOND), given, strict=True):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), rtol=1e-3, atol=1e-6)


# -- all --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@every_loss
def test_gradients_are_finite_where_everything_agrees(loss):
    same = np.full((ROWS, WIDTH), 0.5, np.float32)
    for first, second in ((FIRST, FIRST), (same, same), (FIRST[:1], FIRST[:1]), (FIRST[:1], SECOND[:1])):
        value, gradients = jax.value_and_grad(loss, (0, 1))(jnp.asarray(first), jnp.asarray(second))
        assert np.isfinite(value)
        assert all(np.isfinite(gradient).all() for gradient in gradients)


@every_loss
def test_samples_that_do_not_count_change_neither_value_nor_gradient(loss):
    value, gradients = jax.value_and_grad(loss, (0, 1))(FIRST[WHERE], SECOND[WHERE])
    for garbage in (0.0, 1e30, np.nan, np.inf):
        first, second = (np.where(WHERE[:, None], x, np.float32(garbage)) for x in (FIRST, SECOND))
        found, masked = jax.value_and_grad(loss, (0, 1))(first, second, where=WHERE)
        np.testing.assert_allclose(found, value, rtol=1e-5)
        for ours, expected in zip(masked, gradients, strict=True):
            np.testing.assert_allclose(ours[WHERE], expected, rtol=1e-4, atol=1e-7)
            assert np.all(ours[~WHERE] == 0)


@every_loss
def test_a_batch_without_samples_gives_zero(loss):
    value, gradients = jax.value_and_grad(loss, (0, 1))(FIRST, SECOND, where=np.zeros(ROWS, bool))
    assert value == 0
    assert all(np.all(gradient == 0) for gradient in gradients)


@every_loss
def test_the_value_is_a_float32_scalar_of_any_input_dtype(loss):
    for dtype in (jnp.float32, jnp.bfloat16):
        value = loss(jnp.asarray(FIRST, dtype), jnp.asarray(SECOND, dtype))
        assert value.shape == ()
        assert value.dtype == jnp.float32
    exact = loss(*(jnp.asarray(x, jnp.bfloat16).astype(jnp.float32) for x in (FIRST, SECOND)))
    np.testing.assert_allclose(value, exact, rtol=1e-6)


@every_loss
def test_shapes_must_agree(loss):
    for first, second in ((FIRST, SECOND[:, :2]), (FIRST[:3], SECOND), (FIRST[0], SECOND[0])):
        with pytest.raises(AssertionError):
            loss(first, second)
    with pytest.raises(AssertionError):
        loss(FIRST, SECOND, where=WHERE[:4])


@every_loss
def test_jit_and_vmap_change_nothing(loss):
    # MMD is a difference of means near 1, whose last digit in float32 is 1.2e-7.
    np.testing.assert_allclose(jax.jit(loss)(FIRST, SECOND), loss(FIRST, SECOND), rtol=1e-5, atol=1e-6)
    both = jax.vmap(loss)(np.stack([FIRST, SECOND]), np.stack([SECOND, SECOND]))
    np.testing.assert_allclose(both, [loss(FIRST, SECOND), loss(SECOND, SECOND)], rtol=1e-5, atol=1e-6)
