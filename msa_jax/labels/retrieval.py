"""Partners of training rows, for ConFEDE's contrast between samples: ranked by similarity, sorted by class, drawn at random.

Paper: Yang et al. ConFEDE: Contrastive Feature Decomposition for Multimodal Sentiment Analysis. ACL 2023.
Reference code: github.com/XpastaX/ConFEDE (MIT); facts only.

The other rows are ranked by the cosine between their features and those of the row. Three kinds are kept, in this order:

    similar, same class           the most similar rows of the row's own class
    dissimilar, different class   the least similar rows of other classes
    similar, different class      the most similar rows of other classes

The authors' classes are labels rounded to integers, half to even (MOSI, MOSEI), or the labels themselves (SIMS). They keep ten
candidates of each kind, fifty on MOSEI, and rank anew every few epochs. For each use of a row, two of each kind are drawn.

What the authors' code does (`by_rank_position`). Its lists hold the places that candidates have in the ranking, and index the
dataset with those places as if they were rows. So whatever the row, its similar partners, of either kind, are among the
first rows of the file and its dissimilar ones among the last, of any class; only which of the first and last rows they are
still depends on the ranking. A row stands first in its own ranking, which offers row 0 to all others as similar, of the same
class. Left out are the place that has the row's own number, from the front, and the very first place, from the back; a row
among the last may so become its own dissimilar partner. The published numbers come from that.

Where there are too few. Without any candidate of a kind, the rows of the nearest class stand in, the most (or least) similar of
them: one row, not counted in `counts`. A single candidate, or such a stand-in, is drawn twice. A row that is alone is its own
partner. The authors' code stops with an error instead.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from msa_jax.errors import InputError
from msa_jax.numerics import l2_normalise

Array = jax.Array

KINDS = 3  # similar_same, dissimilar_different, similar_different
DRAWN = 2  # of each kind


class Partners(NamedTuple):
    """The candidates of each row.

    rows: [N, 3, k] int32, the kinds in the module's order, the best first; beyond `counts` the first is repeated.
    counts: [N, 3] int32 in [0, k], how many there are.
    """

    rows: Array
    counts: Array


def rank(
    features: Array, classes: Array, *, candidates: int = 10, chunk: int = 256, by_rank_position: bool = False
) -> Partners:
    """The candidates of all rows.

    Work grows with N², memory with `chunk` N: no [N, N] array is made. Rows that are equally similar come in the order of
    the dataset.

    Args:
      features: [N, d], finite, the modalities' vectors side by side; only directions matter, and a vector of zeros is
        orthogonal to all. No gradient flows through them.
      classes: [N], numbers; between two classes the nearer number is the nearer class.
      candidates: k >= 2, how many of each kind are kept.
      chunk: >= 1, rows that are compared with all others at a time; no part of the result.
      by_rank_position: store places instead of rows, as the authors' code does.

    Raises:
      AssertionError: a shape does not fit. InputError: candidates or chunk too small.
    """
    for name, value, least in (("candidates", candidates, DRAWN), ("chunk", chunk, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"option {name} is {value}; expected a whole number of at least {least}")
    chex.assert_rank(features, 2)
    number = features.shape[0]
    chex.assert_shape(classes, (number,))
    classes = jnp.asarray(classes, jnp.float32)
    unit = l2_normalise(jax.lax.stop_gradient(jnp.asarray(features, jnp.float32)), smallest=0.0)
    choose = _by_place if by_rank_position else _by_row

    def of_row(row: Array) -> tuple[Array, Array]:
        cosine = jnp.einsum("nd,d->n", unit, unit[row], precision=jax.lax.Precision.HIGHEST)
        return choose(cosine, jnp.abs(classes - classes[row]), row, candidates)

    # The last chunk is filled up with the last row, so that there is one program for all chunks.
    chunk = min(chunk, number)
    chunks = -(-number // chunk)
    each = jnp.minimum(jnp.arange(chunks * chunk, dtype=jnp.int32), number - 1).reshape(chunks, chunk)
    rows, counts = jax.lax.map(jax.vmap(of_row), each)
    return Partners(rows.reshape(-1, KINDS, candidates)[:number], counts.reshape(-1, KINDS)[:number])


def sample(partners: Partners, rows: Array, key: Array) -> Array:
    """Two partners of each kind, drawn with equal chances and without putting back.

    What a row draws depends on the key and the row alone, not on the batch it is in.

    Args:
      partners: the candidates.
      rows: [B] int32 in [0, N).
      key: a random key; another one for each step.

    Returns:
      [B, 6] int32, rows: two of each kind, in the module's order, which msa_jax.losses.confede expects.
    """
    chex.assert_rank(rows, 1)

    def draw(row: Array) -> Array:
        found, counts = partners.rows[row], partners.counts[row]  # [3, k], [3]
        lots = jax.random.uniform(jax.random.fold_in(key, row), found.shape)
        lots = jnp.where(jnp.arange(found.shape[-1])[None, :] < counts[:, None], lots, -1.0)
        chosen = jnp.where(counts[:, None] < DRAWN, 0, jax.lax.top_k(lots, DRAWN)[1])
        return jnp.take_along_axis(found, chosen, axis=-1).reshape(KINDS * DRAWN)

    return jax.vmap(draw)(rows)


def _by_row(cosine: Array, distance: Array, row: Array, k: int) -> tuple[Array, Array]:
    """The candidates of one row, [3, k], and their number, [3]; distance [N] is that of the classes."""
    others = jnp.arange(cosine.shape[0]) != row
    nearest = others & (distance == jnp.min(distance, where=others, initial=jnp.inf))
    same, different = others & (distance == 0), others & (distance > 0)
    kinds = ((same, cosine), (different, -cosine), (different, cosine))
    return _stack([_best(pool, nearest, score, row, k) for pool, score in kinds])


def _by_place(cosine: Array, distance: Array, row: Array, k: int) -> tuple[Array, Array]:
    """The same, as the authors' code has it: positions in the ranking, taken for the numbers of samples."""
    place = jnp.arange(cosine.shape[0], dtype=jnp.int32)
    same = distance[jnp.argsort(-cosine, stable=True)] == 0
    front, back = place != row, place > 0
    kinds = ((front & same, front, -place), (back & ~same, back, place), (front & ~same, front, -place))
    return _stack([_best(pool, spare, score.astype(jnp.float32), row, k) for pool, spare, score in kinds])


def _best(pool: Array, spare: Array, score: Array, alone: Array, k: int) -> tuple[Array, Array]:
    """The k entries of the pool of the highest score, [k], and how many there are; without any, the best of the spare ones."""
    number = jnp.minimum(pool.sum(dtype=jnp.int32), k)
    pool = jnp.where(number > 0, pool, spare)
    found = jax.lax.top_k(jnp.where(pool, score, -jnp.inf), min(k, score.shape[0]))[1].astype(jnp.int32)
    found = jnp.pad(found, (0, k - found.shape[0]))
    found = jnp.where(jnp.arange(k) < jnp.maximum(number, 1), found, found[0])
    return jnp.where(jnp.any(pool), found, alone), number


def _stack(kinds: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    return jnp.stack([rows for rows, _ in kinds]), jnp.stack([count for _, count in kinds])
