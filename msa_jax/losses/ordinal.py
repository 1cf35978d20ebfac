"""Coarse sentiment classes: bins of the label range, and the loss of predicting them.

Paper: DMMSA, the multimodal sentiment classification task (eq. 8-9) with the bins of appendix B.2, Tables 7 and 8. The
classification narrows the range in which the regression looks for its score; `clip_to_class` does so outright.

The printed table for MOSI and MOSEI mixes its brackets, and reads "[-1.5, 0.5)" where no other bin would fit but
"[-1.5, -0.5)". Here all its bins are closed on the left and the last one on both sides, as those of them are that are
legible. The seven classes therefore differ from those of the seven-class accuracy, which rounds half to even, on labels
that lie on an edge. The bins for SIMS are those of its metrics.
"""

import math
from dataclasses import dataclass
from typing import Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.errors import InputError
from msa_jax.losses.similarity import check_choice, present
from msa_jax.numerics import log_weight

Array = jax.Array

# The tables' inner edges above 0, for the highest label that they are for; those below mirror them. Two classes part at 0.
_SIMS = (1.0, {2: (), 3: (0.1,), 5: (0.1, 0.7)})
_MOSI = (3.0, {2: (), 3: (0.5,), 5: (0.5, 1.5), 7: (0.5, 1.5, 2.5)})


@dataclass(frozen=True, kw_only=True)
class Bins:
    """A label range cut into classes, from the most negative, 0, to the most positive.

    edges: the inner edges, ascending; C - 1 of them part C classes.
    right_closed: a label on an inner edge belongs to the class below it; else to the one above.
    low, high: the ends of the range. Each belongs to its class.
    """

    edges: tuple[float, ...]
    right_closed: bool
    low: float
    high: float

    def __post_init__(self) -> None:
        ends = (self.low, *self.edges, self.high)
        # As float32, in which labels are compared: two edges that coincide there leave no class between them.
        if not all(math.isfinite(end) for end in ends) or not np.all(np.diff(np.asarray(ends, np.float32)) > 0):
            raise InputError(
                f"option edges is {self.edges}; expected ascending numbers between {self.low} and {self.high}"
            )

    @property
    def classes(self) -> int:
        """C, how many there are."""
        return len(self.edges) + 1


def neutral_point(low: float, high: float) -> float:
    """What is neither negative nor positive: 0 where it lies inside the label range, otherwise its middle."""
    return 0.0 if low < 0 < high else (low + high) / 2


def coarse_bounds(
    classes: int, label_range: tuple[float, float], kind: Literal["sims", "mosi", "mosei"] | None = None
) -> Bins:
    """The bins of DMMSA's appendix (Tables 7 and 8) for a label range.

    - "sims", 2, 3 or 5 classes: inner edges 0; ±0.1; ±0.1 and ±0.7 for labels in [-1, 1]. Closed on the right.
    - "mosi" and "mosei", 2, 3, 5 or 7 classes: inner edges 0; ±0.5; and ±1.5; and ±2.5 for labels in [-3, 3]. Closed on the
      left.

    Other ranges: the edges above 0 scale with the highest label and those below 0 with the lowest, so that 0 stays
    neutral and no class is empty when the range is not symmetric. Where 0 is not inside the range, as with one to five
    stars, its middle takes the place of 0.

    Args:
      classes: C.
      label_range: lowest and highest label.
      kind: which family. None takes "sims" for a range no wider than 2, and "mosi" for a wider one.

    Raises:
      InputError: the family has no such number of classes, an unknown family, or a label range that is none.
    """
    low, high = (float(end) for end in label_range)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"option label_range is {tuple(label_range)}; expected a lowest and a higher highest label")
    if kind is None:
        kind = "sims" if high - low <= 2 else "mosi"
    check_choice("kind", kind, ("sims", "mosi", "mosei"))
    limit, table = _SIMS if kind == "sims" else _MOSI
    if classes not in table:
        raise InputError(f"option classes is {classes}; expected one of {', '.join(map(str, table))} for {kind}")
    neutral = neutral_point(low, high)
    above = [neutral + edge * (high - neutral) / limit for edge in table[classes]]
    below = [neutral + edge * (low - neutral) / limit for edge in reversed(table[classes])]
    middle = [neutral] if classes == 2 else []
    return Bins(edges=(*below, *middle, *above), right_closed=kind == "sims", low=low, high=high)


def coarse_class(label: Array, bins: Bins) -> Array:
    """The class of each label.

    Args:
      label: [B], finite; compared in float32. One outside the range belongs to the first or the last class.
      bins: the classes.

    Returns:
      [B] int32 in [0, C).
    """
    label = jnp.asarray(label, jnp.float32)
    chex.assert_rank(label, 1)
    edges = jnp.asarray(bins.edges, jnp.float32)[None, :]
    passed = label[:, None] > edges if bins.right_closed else label[:, None] >= edges
    return passed.sum(-1, dtype=jnp.int32)


def clip_to_class(prediction: Array, classes: Array, bins: Bins) -> Array:
    """The prediction, brought into the bin of a coarse class.

    An open end is not reached: what is clipped there becomes the nearest number inside, so that `coarse_class` of the
    result is `classes`, whatever was predicted.

    Args:
      prediction: [B], on the scale of the labels.
      classes: [B] integers in [0, C).
      bins: the classes.

    Returns:
      [B] float32. The gradient is 1 inside the bin and 0 outside it.
    """
    prediction = jnp.asarray(prediction, jnp.float32)
    chex.assert_rank(prediction, 1)
    chex.assert_equal_shape([prediction, classes])
    lowest, highest = (bins.low, *bins.edges), (*bins.edges, bins.high)
    if bins.right_closed:
        lowest = (bins.low, *(_next_to(edge, 1) for edge in bins.edges))
    else:
        highest = (*(_next_to(edge, -1) for edge in bins.edges), bins.high)
    return jnp.clip(prediction, _look_up(classes, lowest), _look_up(classes, highest))


def softmax_cross_entropy(logits: Array, classes: Array, *, where: Array | None = None) -> Array:
    """Cross-entropy of the softmax of the logits (DMMSA, eq. 9).

    Args:
      logits: [B, C].
      classes: [B] integers in [0, C).
      where: [B] bool, samples that count; the others give 0 and are never looked at.

    Returns:
      [B] float32, not negative.

    Raises:
      AssertionError: a shape does not fit.
    """
    chex.assert_rank(logits, 2)
    chex.assert_shape(classes, (logits.shape[0],))
    where = present(where, logits.shape[0])
    logits = jnp.where(where[:, None], jnp.asarray(logits, jnp.float32), 0.0)
    chosen = jnp.where(where, classes, 0)[:, None] == jnp.arange(logits.shape[1])[None, :]  # [B, C]
    # Differences first: where the logits are large and the loss is not, it keeps its digits.
    differences = logits - jnp.sum(jnp.where(chosen, logits, 0.0), axis=-1, keepdims=True)
    return jnp.where(where, log_weight(differences), 0.0)


def _look_up(classes: Array, values: tuple[float, ...]) -> Array:
    """[B] classes -> [B] float32, the value of each."""
    chex.assert_rank(classes, 1)
    return jnp.asarray(values, jnp.float32)[classes]


def _next_to(edge: float, direction: int) -> float:
    """The float32 next to an edge, above (1) or below (-1). Next to 0 the smallest that is not flushed to 0."""
    rounded = np.float32(edge)
    if rounded == 0:
        return direction * float(np.finfo(np.float32).tiny)
    return float(np.nextafter(rounded, np.float32(direction * np.inf)))
