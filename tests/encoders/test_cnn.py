"""The convolutions, against torch's and by hand, at every length."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.encoders.cnn import Convolution, ConvolutionStack
from msa_jax.errors import InputError

KERNELS, STRIDES = (10, 8, 4, 4, 4), (5, 4, 2, 2, 2)  # MMCL's
WIDTH, CHANNELS = 3, 4


def stack(kernels=KERNELS, strides=STRIDES, **changes) -> ConvolutionStack:
    return ConvolutionStack(CHANNELS, tuple(kernels), tuple(strides), **changes)


def init_params(kernels=KERNELS, seed: int = 0) -> dict:
    rng, params, width = np.random.default_rng(seed), {}, WIDTH
    for number, kernel in enumerate(kernels):
        params[f"layer_{number}"] = {
            "kernel": rng.normal(0, 0.4, (kernel, width, CHANNELS)).astype(np.float32),
            "bias": rng.normal(0, 0.4, CHANNELS).astype(np.float32),
        }
        width = CHANNELS
    return params


def sequences(lengths, steps=None, seed: int = 1) -> np.ndarray:
    steps = max(lengths) if steps is None else steps
    x = np.random.default_rng(seed).normal(size=(len(lengths), max(lengths), WIDTH)).astype(np.float32)
    x *= (np.arange(max(lengths)) < np.array(lengths)[:, None])[..., None]
    return np.pad(x, [(0, 0), (0, steps - max(lengths)), (0, 0)])


def by_hand(params: dict, x: np.ndarray, kernels, strides) -> np.ndarray:
    """One sequence [L, d] through the layers, window by window in float64."""
    for number, (kernel, stride) in enumerate(zip(kernels, strides, strict=True)):
        weight = params[f"layer_{number}"]["kernel"].astype(np.float64)
        out = []
        for t in range(-(-len(x) // stride)):
            total = params[f"layer_{number}"]["bias"].astype(np.float64)
            for j in range(kernel):
                source = t * stride - max((kernel - stride) // 2, 0) + j
                if 0 <= source < len(x):
                    total = total + x[source] @ weight[j]
            out.append(np.tanh(total))
        x = np.array(out)
    return x


def test_every_length_from_1_to_40_goes_through_the_printed_strides():
    params, lengths = init_params(), np.arange(1, 41, dtype=np.int32)
    x = sequences(lengths)
    found, new = jax.jit(stack().apply)({"params": params}, x, lengths)
    want = [math.ceil(n / 160) for n in lengths]
    np.testing.assert_array_equal(new, want)
    assert set(want) == {1}
    for row, n in enumerate(lengths):
        np.testing.assert_allclose(found[row, : want[row]], by_hand(params, x[row, :n], KERNELS, STRIDES), atol=1e-5)
        assert (np.asarray(found[row, want[row] :]) == 0).all()


@pytest.mark.parametrize("steps", range(1, 41))
def test_an_array_of_any_number_of_steps_goes_through(steps):
    apply = lambda: stack().init_with_output(jax.random.key(0), jnp.zeros((1, steps, WIDTH)), jnp.array([steps]))  # noqa: E731
    (found, new), _ = jax.eval_shape(apply)
    assert found.shape == (1, math.ceil(steps / math.prod(STRIDES)), CHANNELS)
    assert new.shape == (1,)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernels", "strides"),
    [((3,), (1,)), ((4, 4), (1, 1)), ((5,), (2,)), ((1,), (3,)), ((2, 3), (5, 1)), ((7,), (3,))],
    ids=str,
)
def test_windows_are_where_they_are_said_to_be_for_any_kernel_and_stride(kernels, strides):
    params, lengths = init_params(kernels), np.array([11, 1, 6], np.int32)
    x = sequences(lengths)
    found, new = stack(kernels, strides).apply({"params": params}, x, lengths)
    for row, n in enumerate(lengths):
        want = by_hand(params, x[row, :n], kernels, strides)
        assert new[row] == len(want)
        np.testing.assert_allclose(found[row, : len(want)], want, atol=1e-5)


@pytest.mark.parametrize(("kernel", "stride", "steps"), [(10, 5, 50), (8, 4, 12), (4, 2, 6), (4, 1, 5), (3, 1, 4)])
def test_outputs_and_gradients_equal_those_of_torch(kernel, stride, steps):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    weights, x = init_params((kernel,))["layer_0"], sequences([steps, steps])
    pull = np.random.default_rng(3).normal(size=(2, -(-steps // stride), CHANNELS)).astype(np.float32)
    theirs = torch.nn.Conv1d(WIDTH, CHANNELS, kernel, stride)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(weights["kernel"].transpose(2, 1, 0)))
        theirs.bias.copy_(torch.tensor(weights["bias"]))
    tensor = torch.tensor(x, requires_grad=True)
    before = (kernel - stride) // 2
    padded = torch.nn.functional.pad(tensor.transpose(1, 2), (before, kernel - stride - before))  # SAME
    result = theirs(padded).transpose(1, 2)
    (result * torch.tensor(pull)).sum().backward()

    module = Convolution(CHANNELS, kernel, stride)

    def pulled(weights, x):
        return (module.apply({"params": weights}, x) * pull).sum()

    np.testing.assert_allclose(module.apply({"params": weights}, x), result.detach().numpy(), atol=1e-5)
    of_weights, of_x = jax.jit(jax.grad(pulled, (0, 1)))(weights, x)
    np.testing.assert_allclose(of_x, tensor.grad.numpy(), atol=1e-5)
    np.testing.assert_allclose(of_weights["bias"], theirs.bias.grad.numpy(), atol=5e-5)
    np.testing.assert_allclose(of_weights["kernel"].transpose(2, 1, 0), theirs.weight.grad.numpy(), atol=5e-5)


@pytest.mark.parametrize("steps", [50, 51, 60, 97])
def test_padding_changes_nothing(steps):
    params, lengths = init_params((10, 8, 4)), np.array([50, 1, 23], np.int32)
    module = stack((10, 8, 4), (5, 2, 1))

    @jax.jit
    def both(params, x):
        def total(params, x):
            found, new = module.apply({"params": params}, x, lengths)
            return (found * jnp.arange(1, CHANNELS + 1)[None, None]).sum(), (found, new)

        return jax.value_and_grad(total, (0, 1), has_aux=True)(params, x)

    (_, (want, want_new)), (want_params, want_x) = both(params, sequences(lengths))
    padded = sequences(lengths, steps)
    beyond = np.arange(steps) >= lengths[:, None]
    padded[beyond] = np.nan  # whatever stands there
    (_, (found, new)), (of_params, of_x) = both(params, padded)
    np.testing.assert_array_equal(new, want_new)
    np.testing.assert_allclose(found[:, : want.shape[1]], want, atol=1e-6)
    assert (np.asarray(found)[:, want.shape[1] :] == 0).all()
    assert (np.asarray(of_x)[beyond] == 0).all()
    np.testing.assert_allclose(of_x[:, :50], want_x, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), of_params, want_params)


def test_a_sequence_without_steps_gives_none():
    params = init_params()
    found, new = stack().apply({"params": params}, np.ones((2, 9, WIDTH), np.float32), np.array([0, 9], np.int32))
    assert new.tolist() == [0, 1]
    assert (np.asarray(found[0]) == 0).all()
    assert (np.asarray(found[1, 0]) != 0).all()


def test_parameters_start_as_torch_starts_them():
    params = jax.jit(ConvolutionStack(64, (5,), (2,)).init)(jax.random.key(0), jnp.zeros((1, 4, 20)), jnp.array([4]))
    made = params["params"]["layer_0"]
    assert {name: value.shape for name, value in made.items()} == {"kernel": (5, 20, 64), "bias": (64,)}
    for value in made.values():
        np.testing.assert_allclose(np.abs(value).max(), 0.1, rtol=0.1)
        np.testing.assert_allclose(value.std(), 0.2 / 12**0.5, rtol=0.2)


@pytest.mark.slow
def test_it_computes_in_bfloat16_with_float32_parameters():
    params, lengths = init_params(), np.array([30, 7], np.int32)
    x = sequences(lengths)
    found, _ = stack(dtype=jnp.bfloat16).apply({"params": params}, x, lengths)
    assert found.dtype == jnp.bfloat16
    want, _ = stack().apply({"params": params}, x, lengths)
    np.testing.assert_allclose(np.asarray(found, np.float32), want, atol=0.1)


@pytest.mark.parametrize(
    ("kernels", "strides", "named"),
    [
        ((3, 3), (1,), "strides is 1; expected 2"),
        ((), (), "kernels is empty"),
        ((3, 0), (1, 1), "kernels is 3,0"),
        ((3,), (0,), "strides is 0"),
    ],
    ids=str,
)
def test_kernels_and_strides_that_make_no_stack_are_refused(kernels, strides, named):
    with pytest.raises(InputError, match=f"option {named}"):
        stack(kernels, strides).init(jax.random.key(0), jnp.zeros((1, 2, WIDTH)), jnp.array([2]))
