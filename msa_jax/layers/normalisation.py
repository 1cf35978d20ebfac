"""Batch normalisation over the samples that count."""

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array

COLLECTION = "batch_stats"  # Flax's name for running statistics


class BatchNorm(nn.Module):
    """Each feature with mean 0 and variance 1 over a mini-batch, then scaled and shifted (Ioffe and Szegedy 2015).

    As torch.nn.BatchNorm1d: in training the mini-batch's own mean and biased variance normalise, and running averages of
    its mean and unbiased variance are kept, `running = (1 - momentum) running + momentum batch`; in evaluation the running
    ones normalise. Statistics are float32 whatever the dtype, and over all of a mini-batch however it is sharded.

    Where PyTorch refuses, a single counted value for a feature, its variance is 0: the result is `bias`, the running mean
    moves, and the running variance stays, since one value has no unbiased variance. Without any counted value nothing moves.

    axis: the one that is normalised feature by feature; the statistics are over all others. momentum: in [0, 1], the part
    of the batch in the running average. epsilon: added to the variance.

    Parameters: `scale` [d], ones at first, and `bias` [d], zeros. In the collection "batch_stats": `mean` [d], zeros at
    first, and `var` [d], ones.
    """

    axis: int = -1
    momentum: float = 0.1
    epsilon: float = 1e-5
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, where: Array | None = None, *, train: bool) -> Array:
        """Normalises each feature.

        Args:
          x: [B, d] or [B, L, d].
          where: [B], or for x [B, L, d] also [B, L], bool: what counts; all of it by default. In training the rest changes
            nothing, neither values nor gradients, whatever stands there, and comes back finite but meaningless.
          train: normalise by the batch and move the running statistics; "batch_stats" must then be mutable.

        Returns:
          The shape of x, in the module's dtype.

        Raises:
          ValueError: `where` is not of the leading axes of x.
        """
        axis = self.axis % x.ndim
        shape = tuple(x.shape[axis] if i == axis else 1 for i in range(x.ndim))
        scale = self.param("scale", nn.initializers.ones, (x.shape[axis],), jnp.float32).reshape(shape)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[axis],), jnp.float32).reshape(shape)
        running_mean = self.variable(COLLECTION, "mean", jnp.zeros, (x.shape[axis],), jnp.float32)
        running_var = self.variable(COLLECTION, "var", jnp.ones, (x.shape[axis],), jnp.float32)
        x = x.astype(jnp.float32)
        if train:
            x, mean, var, count = _statistics(x, where, axis)
            if not self.is_initializing():
                unbiased = jnp.where(
                    count > 1, var * count / jnp.maximum(count - 1, 1), running_var.value.reshape(shape)
                )
                for running, value in ((running_mean, mean), (running_var, unbiased)):
                    moved = (1 - self.momentum) * running.value + self.momentum * value.reshape(-1)
                    counted = jnp.broadcast_to(count > 0, shape).reshape(-1)
                    running.value = jnp.where(counted, jax.lax.stop_gradient(moved), running.value)
        else:
            mean, var = running_mean.value.reshape(shape), running_var.value.reshape(shape)
        return ((x - mean) * jax.lax.rsqrt(var + self.epsilon) * scale + bias).astype(self.dtype)


def _statistics(x: Array, where: Array | None, axis: int) -> tuple[Array, Array, Array, Array]:
    """x with zeros where nothing counts, its mean and biased variance, and how many values each is of; axes are kept."""
    if where is None:
        where = jnp.ones(x.shape[:1], bool)
    if where.shape != x.shape[: where.ndim] or where.ndim == x.ndim:
        raise ValueError(f"where has shape {where.shape}; expected the leading axes of x, {x.shape}, without the last")
    counts = jnp.broadcast_to(where.reshape(where.shape + (1,) * (x.ndim - where.ndim)), x.shape)
    others = tuple(i for i in range(x.ndim) if i != axis)
    x = jnp.where(counts, x, 0.0)  # before any product: 0 times what is not finite is not 0
    count = counts.sum(others, keepdims=True, dtype=jnp.float32)
    mean = x.sum(others, keepdims=True) / jnp.maximum(count, 1)
    var = jnp.where(counts, jnp.square(x - mean), 0.0).sum(others, keepdims=True) / jnp.maximum(count, 1)
    return x, mean, var, count
