"""Linear layers as PyTorch initialises them, which every published number of this field rests on; and parameters of linear
layers and norms as values, for what is computed outside of Flax."""

from typing import NamedTuple

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

    Parameters `kernel` [d, features] and `bias` [features].
    """

    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        init = uniform(x.shape[-1] ** -0.5)
        kernel = self.param("kernel", init, (x.shape[-1], self.features)).astype(self.dtype)
        bias = self.param("bias", init, (self.features,)).astype(self.dtype)
        return x.astype(self.dtype) @ kernel + bias.reshape((1,) * (x.ndim - 1) + (-1,))


class Affine(NamedTuple):
    """kernel [..., d, e] and bias [..., e]."""

    kernel: Array
    bias: Array

    def __call__(self, x: Array) -> Array:
        """[..., T, d] -> [..., T, e]"""
        return x @ self.kernel.astype(x.dtype) + _over_rows(self.bias.astype(x.dtype), x)


class Norm(NamedTuple):
    """LayerNorm: scale [..., d] and bias [..., d]; statistics in float32."""

    scale: Array
    bias: Array

    def __call__(self, x: Array) -> Array:
        """[..., T, d] -> the same"""
        wide = x.astype(jnp.float32)
        wide = wide - wide.mean(-1, keepdims=True)
        wide = wide * jax.lax.rsqrt((wide**2).mean(-1, keepdims=True) + 1e-5)
        return (wide * _over_rows(self.scale, x) + _over_rows(self.bias, x)).astype(x.dtype)


def _over_rows(vector: Array, x: Array) -> Array:
    """vector [..., d], for every row of x [..., T, d], as an array of the rank of x."""
    vector = vector[..., None, :]
    return vector.reshape((1,) * (x.ndim - vector.ndim) + vector.shape)
