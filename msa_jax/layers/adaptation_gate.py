"""Vectors of words, shifted by what is heard and seen at each word: the multimodal adaptation gate (MAG), and RAVEN's shift.

Source: Rahman et al. 2020, Integrating Multimodal Information in Large Pretrained Transformers, section 4.1; Wang et al. 2019,
Words Can Shift: Dynamically Adjusting Word Representations Using Nonverbal Behaviors.
"""

from collections.abc import Mapping

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.layers.dense import Linear
from msa_jax.layers.dropout import Dropout

Array = jax.Array

_normal = nn.initializers.normal(0.02)  # as of every linear layer that is added to a pretrained BERT


def bounded_shift(z: Array, shift: Array, beta: float | Array) -> Array:
    """The shift, made shorter where it is longer than `beta` times the vector that it moves.

    alpha H with alpha = min(beta ||z|| / (||H|| + 1e-6), 1) at each position, in float32 whatever comes in, since the ratio
    of two norms loses its digits in bfloat16. Where ||H|| is 0 it counts as 1: the value stays 0, the gradient is finite.

    Args:
      z: [..., D].
      shift: [..., D], H.
      beta: not negative; a number or a traced scalar.

    Returns:
      [..., D] float32, nowhere longer than beta ||z||.
    """
    chex.assert_equal_shape([z, shift])
    shift = shift.astype(jnp.float32)
    longest = beta * _length(z.astype(jnp.float32), at_zero=0.0)
    return jnp.minimum(longest / (_length(shift, at_zero=1.0) + 1e-6), 1.0) * shift


def _length(x: Array, at_zero: float) -> Array:
    """[..., D] -> [..., 1], the Euclidean norm; `at_zero`, without a gradient, where all elements are 0."""
    squared = (x**2).sum(-1, keepdims=True)
    # The inner `where` keeps the infinite slope of the square root at 0 out of the gradient.
    return jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), at_zero)


class AdaptationGate(nn.Module):
    """Word vectors z and, for each modality m, frames x_m of the same positions -> word vectors of the same shape.

        g_m = relu(W_m [x_m; z] + b_m)
        H   = sum over m of g_m * (U_m x_m + c_m)
        z'  = dropout(LayerNorm(z + alpha H)), alpha as in `bounded_shift`

    A position whose frames are zeros is shifted too, by g_m * c_m. Without any modality only norm and dropout are left.

    beta: of `bounded_shift`. dropout: of z'.
    """

    beta: float | Array = 1.0
    dropout: float | Array = 0.5
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, z: Array, frames: Mapping[str, Array], *, deterministic: bool) -> Array:
        """z [..., D], frames {modality: [..., d]} -> [..., D] in `dtype`."""

        def linear(name: str, x: Array) -> Array:
            return Linear(z.shape[-1], self.dtype, _normal, nn.initializers.zeros, name=name)(x)

        chex.assert_equal_shape_prefix([z, *frames.values()], z.ndim - 1)
        z = z.astype(self.dtype)
        shift = jnp.zeros_like(z)
        for name, x in frames.items():
            x = x.astype(self.dtype)
            gate = nn.relu(linear(f"{name}_gate", jnp.concatenate([x, z], -1)))
            shift += gate * linear(f"{name}_shift", x)
        moved = z.astype(jnp.float32) + bounded_shift(z, shift, self.beta)
        moved = nn.LayerNorm(1e-5, dtype=self.dtype, use_fast_variance=False, name="norm")(moved)
        return Dropout(self.dropout)(moved, deterministic)


class NonverbalShift(nn.Module):
    """Word vectors e and, for each modality m, a nonverbal state h_m of the same word -> word vectors of the same shape.

        g_m = sigmoid(w_m . [h_m; e] + b_m), one number
        H   = W [g_m h_m for all m] + b
        e'  = e + alpha H, alpha as in `bounded_shift`

    Source: Wang et al. 2019, Words Can Shift (RAVEN). Unlike MAG it has neither norm nor dropout, and begins as
    PyTorch's linear layers do.

    What its code does:
    linear_gate: g_m without the sigmoid. loose_bound: e' = e + beta ||e|| H / max(||H||, 1), a shift that grows with
      ||H|| up to length 1. detach: no gradient reaches the shift.
    """

    beta: float | Array = 0.2
    linear_gate: bool = False
    loose_bound: bool = False
    detach: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, e: Array, states: Mapping[str, Array]) -> Array:
        """e [..., D], states {modality: [..., h]}, at least one -> [..., D] in `dtype`."""
        chex.assert_equal_shape_prefix([e, *states.values()], e.ndim - 1)
        e = e.astype(self.dtype)
        gated = []
        for name, h in states.items():
            gate = Linear(1, self.dtype, name=f"{name}_gate")(jnp.concatenate([h.astype(self.dtype), e], -1))
            gated.append((gate if self.linear_gate else nn.sigmoid(gate)) * h)
        shift = Linear(e.shape[-1], self.dtype, name="shift")(jnp.concatenate(gated, -1)).astype(jnp.float32)
        wide = e.astype(jnp.float32)
        if self.loose_bound:
            moved = self.beta * _length(wide, at_zero=0.0) * shift / jnp.maximum(_length(shift, at_zero=0.0), 1.0)
        else:
            moved = bounded_shift(wide, shift, self.beta)
        return (wide + (jax.lax.stop_gradient(moved) if self.detach else moved)).astype(self.dtype)
