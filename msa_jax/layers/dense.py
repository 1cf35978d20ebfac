"""Linear layers as PyTorch initialises them, which every published number of this field rests on."""

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
