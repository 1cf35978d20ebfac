"""Array operations that JAX's own spell out at length: each of these is one or two instructions of a program.

Indices are never negative and never beyond the end, so nothing is clamped or counted from the end.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

Array = jax.Array


def take(x: Array, *index: Any) -> Array:
    """x[index], for integer arrays of one shape that index the leading axes of x from 0."""
    return jnp.asarray(x).at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


def product(axes: str, x: Array, y: Array) -> Array:
    """jnp.einsum(axes, x, y) in float32: a sum of products of bfloat16 numbers is not rounded to bfloat16."""
    if jax.default_backend() == "cpu":  # where XLA lacks such a product for some shapes
        x, y = x.astype(jnp.float32), y.astype(jnp.float32)
    return jnp.einsum(axes, x, y, preferred_element_type=jnp.float32)


def dynamic_part(x: Array, start: Sequence[Any], sizes: Sequence[int]) -> Array:
    """The part of x of these sizes that begins at `start`, one integer for each axis, which may be traced."""
    return jax.lax.dynamic_slice(x, _places(start), sizes, allow_negative_indices=False)


def put_part(x: Array, part: Array, start: Sequence[Any]) -> Array:
    """x with a part in the place that begins at `start`."""
    return jax.lax.dynamic_update_slice(x, part, _places(start), allow_negative_indices=False)


def keep_where(valid: Array, x: Array) -> Array:
    """x, with zeros where not valid; of both, axes of size 1 are as long as the other's."""
    shape = jnp.broadcast_shapes(valid.shape, x.shape)
    return jax.lax.select(jnp.broadcast_to(valid, shape), jnp.broadcast_to(x, shape), jnp.zeros(shape, x.dtype))


def at(x: Array, place: Any) -> Array:
    """x[place], for one integer, which may be traced."""
    return jax.lax.dynamic_index_in_dim(x, place, keepdims=False, allow_negative_indices=False)


def put_at(x: Array, place: Any, part: Array) -> Array:
    """x with x[place] replaced by a part."""
    return put_part(x, part[None], (place,) + (0,) * part.ndim)


def _places(start: Sequence[Any]) -> list[Any]:
    # JAX wants them of one type. With 64-bit numbers on, integers of Python and counters of loops are wider than lengths.
    return [place if jnp.result_type(place) == jnp.int32 else jnp.asarray(place, jnp.int32) for place in start]
