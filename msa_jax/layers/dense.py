"""Linear layers as PyTorch initialises them, which every published number of this field rests on; and parameters of linear
layers and norms as values, for what is computed outside of Flax."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array


def uniform(bound: float) -> nn.initializers.Initializer:
    """Values uniform in [-bound, bound]."""

    def init(key: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class Linear(nn.Module):
    """[..., d] -> [..., features]; weight and bias start uniform in ±1/sqrt(d), as torch.nn.Linear's do.

    kernel_init, bias_init: how they start instead.

    Parameters `kernel` [d, features] and `bias` [features].
    """

    features: int
    dtype: jnp.dtype = jnp.float32
    kernel_init: nn.initializers.Initializer | None = None
    bias_init: nn.initializers.Initializer | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        width = x.shape[-1]
        init = uniform(width**-0.5)
        kernel = self.param("kernel", self.kernel_init or init, (width, self.features), jnp.float32).astype(self.dtype)
        bias = self.param("bias", self.bias_init or init, (self.features,), jnp.float32)
        return add_bias(x.astype(self.dtype) @ kernel, bias)


def add_bias(x: Array, bias: Array) -> Array:
    """x [..., e] and bias [e], or x [..., T, e] and bias [..., e] -> x + bias in the type of x.

    A float32 bias is cast behind the broadcast, not in front of it, so that its gradient, a sum over all rows, is taken in
    float32: in bfloat16 a sum of some thousand numbers stops growing.
    """
    rows = bias if x.ndim == 1 else _over_rows(bias, x)
    return x + jnp.broadcast_to(rows, x.shape).astype(x.dtype)


class Affine(NamedTuple):
    """kernel [..., d, e] and bias [..., e]."""

    kernel: Array
    bias: Array

    def __call__(self, x: Array) -> Array:
        """[..., T, d] -> [..., T, e]"""
        return add_bias(x @ self.kernel.astype(x.dtype), self.bias)


class Norm(NamedTuple):
    """LayerNorm: scale [..., d] and bias [..., d]; statistics in float32."""

    scale: Array
    bias: Array

    def __call__(self, x: Array) -> Array:
        """[..., T, d] -> the same"""
        wide, _ = _standardise(x.astype(jnp.float32))
        return (wide * _over_rows(self.scale, x) + _over_rows(self.bias, x)).astype(x.dtype)


@jax.custom_jvp
def _standardise(x: Array) -> tuple[Array, Array]:
    """x [..., d] with mean 0 and variance 1, and what it was multiplied by [..., 1]."""
    x = x - _mean(x)
    scale = jax.lax.rsqrt(_mean(x * x) + 1e-5)
    return x * scale, scale


@_standardise.defjvp
def _standardise_jvp(primals: tuple[Array], tangents: tuple[Array]) -> Any:
    # By hand it is half as long as what JAX derives. Nothing reads the derivative of the scale.
    (wide, scale), (along,) = _standardise(*primals), tangents
    along = scale * (along - _mean(along) - wide * _mean(wide * along))
    return (wide, scale), (along, jnp.zeros_like(scale))


def _mean(x: Array) -> Array:
    return x.sum(-1, keepdims=True) * (1 / x.shape[-1])


def _over_rows(vector: Array, x: Array) -> Array:
    """vector [..., d], for every row of x [..., T, d], as an array of the rank of x."""
    ones = (1,) * (x.ndim - vector.ndim - 1)
    return vector.reshape(ones + vector.shape[:-1] + (1, vector.shape[-1]))


class AffineParams(nn.Module):
    """The parameters of a linear layer, or of some that lie stacked, not yet applied: tiles are walked outside of Flax. The
    bias is float32, see `add_bias`."""

    shape: tuple[int, ...]
    bound: float
    bias_bound: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self) -> Affine:
        kernel = self.param("kernel", uniform(self.bound), self.shape)
        bias = self.param("bias", uniform(self.bias_bound), (*self.shape[:-2], self.shape[-1]))
        return Affine(kernel.astype(self.dtype), bias)
