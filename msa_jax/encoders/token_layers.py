"""Transformer layers over a few learned tokens and what they read: the blocks of LNLN.

Source: Vaswani et al. 2017, with the norms in front; the sizes and the norms as in the code of LNLN (Zhang et al. 2024), facts
only. Queries, keys and values have a norm each and maps without a bias, heads a width of their own, and nothing is dropped.
"""

from collections.abc import Mapping
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.layers.dense import Linear, uniform
from msa_jax.layers.stack import STACK

Array = jax.Array


@partial(
    jax.checkpoint, static_argnums=(4,)
)  # the weights are computed again in the backward pass instead of being kept
def attend(query: Array, key: Array, value: Array, valid: Array | None, heads: int) -> Array:
    """Scaled dot products (Vaswani et al. 2017, eq. 1), for each head by itself.

    Args:
      query: [B, Q, heads * d]. key, value: [B, S, heads * d].
      valid: [B, S] bool, at least one of each row; all by default.

    Returns:
      [B, Q, heads * d].
    """
    query, key, value = (x.reshape(*x.shape[:2], heads, -1) for x in (query, key, value))
    scores = jnp.einsum("bqhd,bshd->bhqs", query, key, preferred_element_type=jnp.float32) * query.shape[-1] ** -0.5
    if valid is not None:
        scores = jnp.where(valid[:, None, None, :], scores, jnp.finfo(jnp.float32).min)
    weights = nn.softmax(scores).astype(value.dtype)
    return jnp.einsum("bhqs,bshd->bqhd", weights, value).reshape(*query.shape[:2], -1)


def normed(x: Array, dtype: jnp.dtype, name: str, *, use_bias: bool = True) -> Array:
    """A LayerNorm of that name over the last axis."""
    return nn.LayerNorm(1e-5, dtype=dtype, use_fast_variance=False, use_bias=use_bias, name=name)(x)


def mapped(x: Array, width: int, dtype: jnp.dtype, name: str) -> Array:
    """A linear map of that name without a bias, which starts as torch.nn.Linear does."""
    return nn.Dense(width, use_bias=False, dtype=dtype, kernel_init=uniform(x.shape[-1] ** -0.5), name=name)(x)


class TokenLayer(nn.Module):
    """x + attention to a source, then x + two linear maps with GELU between them.

    heads, head_width: of attention. feedforward: hidden units.

    Parameters: `query_norm`, `key_norm`, `value_norm`, `query`, `key`, `value`, `output`, `norm`, `expand`, `contract`.
    """

    heads: int
    head_width: int
    feedforward: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, source: Array | None, valid: Array | None) -> tuple[Array, Array]:
        """[B, Q, D], [B, S, D] or None for x itself, [B, S] bool or None -> [B, Q, D], twice, as `nn.scan` wants it."""
        source = x if source is None else source
        inner, width = self.heads * self.head_width, x.shape[-1]
        projected = [
            # A bias of all keys changes no weight.
            mapped(normed(each, self.dtype, f"{name}_norm", use_bias=name != "key"), inner, self.dtype, name)
            for name, each in (("query", x), ("key", source), ("value", source))
        ]
        x = x + Linear(width, self.dtype, name="output")(attend(*projected, valid, self.heads))
        hidden = Linear(self.feedforward, self.dtype, name="expand")(normed(x, self.dtype, "norm"))
        x = x + Linear(width, self.dtype, name="contract")(nn.gelu(hidden, approximate=False))
        return x, x


class TokenStates(nn.Module):
    """Learned tokens in front, learned positions, and layers over all of it.

    layers, heads, head_width, feedforward: of the layers. tokens: how many are put in front; 0 puts none. steps: how many of x
    there are positions for; steps beyond have the last one's.

    Parameters: `tokens` [tokens, D], zeros at first; `positions` [tokens + steps, D], standard normal; `layers`, stacked, see
    `TokenLayer`.
    """

    layers: int
    heads: int
    head_width: int
    feedforward: int
    steps: int
    tokens: int = 0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, length: Array | None = None, source: Array | None = None) -> tuple[Array, Array]:
        """The states of the last layer, and what goes in and comes out of each.

        Args:
          x: [B, L, D].
          length: [B] int32 in [0, L], of x where it is read; all by default. With no tokens at least 1.
          source: [B, S, D], what is read instead of x.

        Returns:
          [B, tokens + L, D] and [layers + 1, B, tokens + L, D]; what stands at padding has no meaning.
        """
        rows, steps, width = x.shape
        place = jnp.minimum(jnp.arange(self.tokens + steps), self.tokens + self.steps - 1)
        positions = self.param("positions", nn.initializers.normal(1.0), (self.tokens + self.steps, width), jnp.float32)
        x = x.astype(self.dtype)
        if self.tokens:
            tokens = self.param("tokens", nn.initializers.zeros, (self.tokens, width), jnp.float32)
            x = jnp.concatenate([repeated(tokens, rows, self.dtype), x], axis=1)
        x = x + positions.astype(self.dtype)[place][None]
        valid = None
        if length is not None:
            valid = jnp.arange(self.tokens + steps)[None, :] < length[:, None] + self.tokens
        stack = nn.scan(
            TokenLayer,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(nn.broadcast, nn.broadcast),  # pyright: ignore[reportArgumentType] - one for each argument
            length=self.layers,
        )
        last, states = stack(self.heads, self.head_width, self.feedforward, self.dtype, name=STACK)(x, source, valid)
        return last, jnp.concatenate([x[None], states])


class HyperModality(nn.Module):
    """What a few tokens gather in every layer of a sequence that asks other sequences: h + W sum_m attention(x_j, y_m).

    Source: the hyper-modality of ALMT and LNLN (Zhang et al. 2023, 2024). Each layer has weights of its own.

    heads, head_width: of attention. use_norm: a layer adds to the LayerNorm of the tokens instead of to the tokens.

    Parameters: `layers`, stacked, with `norm`, `query`, for each y_m `m_norm`, `m_key`, `m_value`, and `output`; with use_norm
    `token_norm`.
    """

    heads: int
    head_width: int
    use_norm: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, tokens: Array, states: Array, others: Mapping[str, Array]) -> Array:
        """h [B, n, D], x [layers, B, n, D] and y_m [B, S_m, D] -> [B, n, D]."""
        stack = nn.scan(
            _HyperLayer,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(0, nn.broadcast),  # pyright: ignore[reportArgumentType] - one for each argument
        )
        return stack(self.heads, self.head_width, self.use_norm, self.dtype, name=STACK)(tokens, states, others)[0]


class _HyperLayer(nn.Module):
    heads: int
    head_width: int
    use_norm: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, tokens: Array, state: Array, others: Mapping[str, Array]) -> tuple[Array, None]:
        inner, read = self.heads * self.head_width, []
        query = mapped(normed(state, self.dtype, "norm"), inner, self.dtype, "query")
        for name, x in others.items():
            x = normed(x, self.dtype, f"{name}_norm")
            key, value = (mapped(x, inner, self.dtype, f"{name}_{kind}") for kind in ("key", "value"))
            read.append(attend(query, key, value, None, self.heads))
        tokens = normed(tokens, self.dtype, "token_norm") if self.use_norm else tokens
        return tokens + Linear(tokens.shape[-1], self.dtype, name="output")(sum(read[1:], read[0])), None


def repeated(tokens: Array, rows: int, dtype: jnp.dtype) -> Array:
    """Learned tokens [n, D] for each sample of a batch, [rows, n, D]."""
    return jnp.broadcast_to(tokens.astype(dtype)[None], (rows, *tokens.shape))
