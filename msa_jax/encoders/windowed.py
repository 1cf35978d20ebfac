"""Windowed attention over packed sequences: every query reads a few steps of a context, wherever they lie.

Cheng, Fostiropoulos, Boehm, Soleymani. Multimodal Phased Transformer for Sentiment Analysis. EMNLP 2021: which steps a
query reads, `window_index`. How it is computed is ours. Queries of all rows and modalities lie in one array, cut into tiles;
the valid ones are packed to the front, and tiles without any are never computed. What a query reads is gathered tile by
tile, forward and backward, so that nothing of the size [queries, window, width] is ever kept. Elsewhere than on a CPU all tiles
are computed at once: there it counts how many kernels are launched, and whether the host has to wait for a number of tiles.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.layers.dense import Affine, Norm
from msa_jax.layers.dropout import drop

Array = jax.Array

RANDOM_SHIFT = 0.05  # of the context


@dataclass(frozen=True, kw_only=True)
class Window:
    """What a query reads. size: steps W. stride: context steps from one query to the next. shift: any of S, P, R.

    S shifts by the number of the iteration; P by trunc(n sin(i / 4)), for query i and a context of n steps, so that
    neighbours look at distant places; R by a random number of steps below 5 % of the context.
    """

    size: int
    stride: int = 1
    shift: str = ""


def window_index(
    window: Window,
    query: Array,
    steps: Array,
    *,
    longest: int,
    iteration: Array | int = 0,
    random: Array | float = 0.0,
    repeat: bool = False,
) -> tuple[Array, Array]:
    """Which steps of its context each query reads: the last ones up to its own block, then shifted; around the end.

    Args:
      window: size W, stride and shifts.
      query: [S] int32 in [0, longest), place of each query in its hidden sequence.
      steps: [S] int32, valid steps n of the context that it reads; may be 0.
      longest: of all hidden sequences.
      iteration: 0-based, for shift S; may be traced.
      random: in [0, 1), for shift R; 0 leaves it out.
      repeat: read a step more than once where the window is longer than the context, as the authors' code does.

    Returns:
      index [S, W] int32 in [0, max(n, 1)), and which of them count, [S, W] bool.
    """
    n = jnp.maximum(steps, 1)[:, None]
    slot = jnp.arange(window.size, dtype=jnp.int32)[None, :]
    index = (query[:, None] + 1) * window.stride - window.size + slot
    if "S" in window.shift:
        index = index + iteration
    if "P" in window.shift:
        # The sine from numpy and one product in float32: the same integers on every device.
        wave = jnp.asarray(np.sin(0.25 * np.arange(longest)), jnp.float32)[query][:, None]
        index = index + jnp.trunc(n.astype(jnp.float32) * wave).astype(jnp.int32)
    if "R" in window.shift:
        index = index + jnp.floor(random * jnp.ceil(RANDOM_SHIFT * n)).astype(jnp.int32)
    return jnp.mod(index, n), (steps[:, None] > 0) & (repeat | (slot >= window.size - n))


def windowed_attention(
    query: Array,
    read: Array,
    counts: Array,
    *,
    heads: int,
    drop: Callable[[Array], Array] = lambda weights: weights,
) -> Array:
    """Attention of each query to its own few steps.

    Args:
      query: [S, D], scaled.
      read: [S, W, 2 D], keys and values of the steps that each query reads, side by side.
      counts: [S, W] bool, which of them count.
      heads: H, a divisor of D.
      drop: dropout of the attention weights [S, H, W].

    Returns:
      [S, D]; 0 where nothing counts.
    """
    rows, size, _ = read.shape
    read = read.reshape(rows, size, 2, heads, -1)
    query = query.reshape(rows, heads, -1)
    scores = jnp.einsum("shd,swhd->shw", query, read[:, :, 0], preferred_element_type=jnp.float32)
    counts = counts[:, None, :]
    weights = nn.softmax(jnp.where(counts, scores, jnp.finfo(jnp.float32).min), axis=-1)
    weights = drop(jnp.where(counts, weights, 0.0).astype(query.dtype))
    return jnp.einsum("shw,swhd->shd", weights, read[:, :, 1]).reshape(rows, -1)


# -- a layer around it, tile by tile ----------------------------------------------------------------------------------


class Layer(NamedTuple):
    """Parameters of attention and feed-forward layer, each with a norm before it."""

    norm: Norm
    query: Affine
    output: Affine
    feedforward_norm: Norm
    expand: Affine
    contract: Affine


class Settings(NamedTuple):
    """What is fixed when a program is compiled. The rates are 0 outside of training; the others as in `window_index`.

    layer_of: whose parameters each tile takes, if all tiles are computed at once, those without a query too; () for one after
    the other.
    """

    window: Window
    heads: int
    longest: int
    repeat: bool
    attention_dropout: float = 0.0
    relu_dropout: float = 0.0
    residual_dropout: float = 0.0
    layer_of: tuple[int, ...] = ()


class Places(NamedTuple):
    """Where the queries of G tiles of T queries are, and what they read.

    order: [G], the tiles that hold a query first. number: how many those are. layer: [G], whose parameters a tile takes.
    query, steps, start: [G, T], place of the query in its hidden sequence, valid steps of its context, where in the packed
    contexts it begins. iteration, random: as in `window_index`. key: for dropout.
    """

    order: Array
    number: Array
    layer: Array
    query: Array
    steps: Array
    start: Array
    iteration: Array
    random: Array
    key: Array


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def read_windows(settings: Settings, hidden: Array, layers: Layer, context: Array, places: Places) -> Array:
    """Attention and feed-forward layer of every query, tile by tile.

    Args:
      settings: fixed.
      hidden: [G, T, D].
      layers: parameters with a leading axis, from which places.layer chooses.
      context: [C, 2 D], keys and values of all contexts.
      places: of the queries.

    Returns:
      [G, T, D]; 0 in tiles that hold no query, of no meaning in places that hold none.
    """

    if settings.layer_of:
        return _every_tile(settings, hidden, layers, context, places)

    def step(number: Array, out: Array) -> Array:
        tile = places.order[number]
        index, counts = _index(settings, places, tile)
        layer = jax.tree.map(lambda leaf: leaf[places.layer[tile]], layers)
        return out.at[tile].set(_tile(settings, layer, hidden[tile], context[index], counts, _key(places, tile)))

    return jax.lax.fori_loop(0, places.number, step, jnp.zeros_like(hidden))


def _every_tile(settings: Settings, hidden: Array, layers: Layer, context: Array, places: Places) -> Array:
    """`read_windows` of all tiles side by side."""

    def one(tile: Array, x: Array, layer: Layer) -> Array:
        index, counts = _index(settings, places, tile)
        read = context[index].astype(hidden.dtype)
        return _tile(settings, layer, x, read, counts, _key(places, tile))

    number, of_tile = jnp.arange(len(hidden)), settings.layer_of
    alike = of_tile == tuple(range(len(layers.norm.scale)))
    own = layers if alike else jax.tree.map(lambda leaf: leaf[np.array(of_tile)], layers)
    used = jnp.zeros(len(hidden), bool).at[places.order].set(number < places.number)
    return jnp.where(used[:, None, None], jax.vmap(one)(number, hidden, own), 0)


def _forward(settings: Settings, hidden: Array, layers: Layer, context: Array, places: Places) -> tuple[Array, Any]:
    return read_windows(settings, hidden, layers, context, places), (hidden, layers, context, places)


def _backward(settings: Settings, saved: Any, gradient: Array) -> tuple[Array, Layer, Array, None]:
    hidden, layers, context, places = saved
    if settings.layer_of:
        # The context in float32, so that its gradient is summed in float32.
        wide = context.astype(jnp.float32)
        _, pull = jax.vjp(lambda *given: _every_tile(settings, *given, places), hidden, layers, wide)
        of_hidden, of_layers, of_context = pull(gradient)
        return of_hidden, of_layers, of_context.astype(context.dtype), None

    def step(number: Array, carry: tuple[Array, Layer, Array]) -> tuple[Array, Layer, Array]:
        of_hidden, of_layers, of_context = carry
        tile = places.order[number]
        index, counts = _index(settings, places, tile)
        layer = jax.tree.map(lambda leaf: leaf[places.layer[tile]], layers)

        def compute(layer: Layer, x: Array, read: Array) -> Array:
            return _tile(settings, layer, x, read, counts, _key(places, tile))

        _, pull = jax.vjp(compute, layer, hidden[tile], context[index])
        of_layer, of_x, of_read = pull(gradient[tile])
        of_layers = jax.tree.map(lambda total, part: total.at[places.layer[tile]].add(part), of_layers, of_layer)
        return of_hidden.at[tile].set(of_x), of_layers, of_context.at[index].add(of_read.astype(jnp.float32))

    zeros = jax.tree.map(jnp.zeros_like, (hidden, layers))
    carry = (*zeros, jnp.zeros(context.shape, jnp.float32))
    of_hidden, of_layers, of_context = jax.lax.fori_loop(0, places.number, step, carry)
    return of_hidden, of_layers, of_context.astype(context.dtype), None


read_windows.defvjp(_forward, _backward)


def _key(places: Places, tile: Array) -> Array:
    return jax.random.fold_in(places.key, tile)


def _index(settings: Settings, places: Places, tile: Array) -> tuple[Array, Array]:
    index, counts = window_index(
        settings.window,
        places.query[tile],
        places.steps[tile],
        longest=settings.longest,
        iteration=places.iteration,
        random=places.random,
        repeat=settings.repeat,
    )
    return places.start[tile][:, None] + index, counts


def _tile(settings: Settings, layer: Layer, x: Array, read: Array, counts: Array, key: Array) -> Array:
    """x [T, D], read [T, W, 2 D] -> [T, D]"""

    def dropped(which: int, value: Array, rate: float) -> Array:
        return drop(jax.random.fold_in(key, which), value, rate) if rate else value

    query = layer.query(layer.norm(x)) * (x.shape[-1] // settings.heads) ** -0.5
    mixed = windowed_attention(
        query, read, counts, heads=settings.heads, drop=lambda weights: dropped(0, weights, settings.attention_dropout)
    )
    x = x + dropped(1, layer.output(mixed), settings.residual_dropout)
    wide = dropped(2, nn.relu(layer.expand(layer.feedforward_norm(x))), settings.relu_dropout)
    return x + dropped(3, layer.contract(wide), settings.residual_dropout)
