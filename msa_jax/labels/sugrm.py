"""Unimodal label generation of SUGRM (Hwang and Kim, Findings of EACL 2023, section 3.3).

All tasks share one feature space, and a distance between two features is taken to be proportional to the distance between
their labels. So the offset of a unimodal label from the multimodal one is as large as the distance between the two
features, measured against the distance between the features of the most positive and the most negative samples; and it
points towards the class that the unimodal feature is relatively nearer to.

What that does to labels, in closed form for a modality that knows nothing, is in docs/sugrm_labels.md: large offsets, against
the label.

As in msa_jax.labels.self_mm the class centres are running sums that each mini-batch corrects, so that a step costs the
same for a thousand rows and for a million. Only multimodal features are remembered: the other tasks have no centres.

Where the paper is silent, or assumes its own datasets:
- The extremes. The paper takes samples labelled exactly -3 and +3. Here the top class is every row whose label is at
  least the k-th largest and the bottom class every row whose label is at most the k-th smallest, with k =
  max(`extreme_rows`, `extreme_fraction` * N). With k = 3 that is the paper's rule on MOSI and MOSEI, and it holds for
  every label range and for data without samples at its ends. The distance between -3 and +3 that the offset is scaled
  by becomes the distance between the mean labels of the two classes, 6 where they are exact.
- A row that lacks a modality keeps its label of that modality.
- A row keeps its label while an extreme or sign class has no row, or the two extremes have the same centre.
- Labels stay within the label range, as in the authors' code.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from msa_jax.labels.centres import Limit, class_sums, distances, ends, sign_classes, take_batch

Array = jax.Array

POSITIVE, NEGATIVE, TOP, BOTTOM = range(4)  # the classes with a centre
RESOLUTION = 1e-5  # of the distance between two centres, relative to their length


class LabelState(NamedTuple):
    """What label generation remembers.

    labels: for each unimodal task, "t", "a", "v" or those there are, [N] float32; they start equal to `multimodal`.
    multimodal: [N] float32, the human labels; never changed.
    features: [N, d] float32, the multimodal feature F*_m of each row when it was last seen; zeros before.
    sums: [4, d], the sum of `features` over the positive, negative, top and bottom rows.
    counts: [4] float32, how many rows those are; never changed, for they go by the human labels.
    bounds: [2] float32: the top class starts here, the bottom class ends here.
    span: float32, the distance between the mean labels of the top and the bottom class.
    """

    labels: dict[str, Array]
    multimodal: Array
    features: Array
    sums: Array
    counts: Array
    bounds: Array
    span: Array


def init(
    labels: Array,
    dims: Mapping[str, int],
    *,
    zero_is_positive: bool = False,
    extreme_rows: int = 3,
    extreme_fraction: float = 0.0,
    neutral: float = 0.0,
) -> LabelState:
    """The state before the first epoch: generated labels equal the human ones, features are zero.

    Args:
      labels: [N] float32, the human multimodal labels.
      dims: width of the feature of each task; must hold "m", and all must be equal, for the space is common.
      zero_is_positive: count label 0 in the positive class, as the authors' code does. The paper says positive.
      extreme_rows: the top and the bottom class have at least so many rows (N permitting).
      extreme_fraction: and at least this fraction of all rows, in [0, 1]; a larger class gives a steadier distance
        between the extremes where few rows lie at the ends.
      neutral: the label that takes the place of 0 where that is not inside the label range, as the middle of one to five.

    Raises:
      ValueError: labels are not one-dimensional, "m" is missing from dims, or widths differ.
    """
    labels = jnp.asarray(labels, jnp.float32)
    chex.assert_rank(labels, 1)
    if "m" not in dims:
        raise ValueError(f'dims must hold "m", the multimodal task; got {sorted(dims)}')
    if len(set(dims.values())) > 1:
        raise ValueError(f"all tasks share one feature space; got widths {dict(dims)}")
    rows, width = labels.shape[0], dims["m"]
    number = min(max(extreme_rows, math.ceil(extreme_fraction * rows)), rows)
    ordered = jnp.sort(labels)
    bounds = jnp.stack([ordered[rows - number], ordered[number - 1]])
    classes = _classes(labels, bounds, zero_is_positive, neutral)
    counts = classes.sum(0)
    means = (classes * labels[:, None]).sum(0) / jnp.maximum(counts, 1.0)
    return LabelState(
        labels={task: jnp.array(labels) for task in dims if task != "m"},
        multimodal=jnp.array(labels),
        features=jnp.zeros((rows, width), jnp.float32),
        sums=jnp.zeros((4, width), jnp.float32),
        counts=counts,
        bounds=bounds,
        span=means[TOP] - means[BOTTOM],
    )


def offset_magnitude(distance: Array, maximum: Array, span: Array | float) -> Array:
    """How far the unimodal label lies from the multimodal one (section 3.3, "Magnitude of offset").

    Args:
      distance: [B], between the multimodal and the unimodal feature, D^F_{m->s}.
      maximum: scalar, D^F_max, between the centres of the extreme classes.
      span: scalar, D^L, the distance between the labels of those classes.

    Returns:
      [B] in [0, span]; 0 where `maximum` is 0 and nothing can be said.
    """
    share = jnp.minimum(distance, maximum) / jnp.where(maximum > 0, maximum, 1.0)
    return jnp.where(maximum > 0, share * span, 0.0)


def offset_direction(unimodal: Array, multimodal: Array, centres: Array) -> Array:
    """Which of the two classes the unimodal feature is relatively nearer to (section 3.3, "Direction of offset").

    The paper compares the ratios D_s^p / D_s^n and D_m^p / D_m^n; here both sides are multiplied by the denominators,
    which decides the same and needs no guard.

    Args:
      unimodal: [B, d], F*_s. multimodal: [B, d], F*_m.
      centres: [2, d], of the positive and the negative class.

    Returns:
      [B]: 1 where the unimodal label is the more positive one, -1 where it is the more negative, 0 where they agree.
    """
    chex.assert_equal_shape([unimodal, multimodal])
    chex.assert_shape(centres, (2, unimodal.shape[-1]))
    s, m = distances(unimodal, centres), distances(multimodal, centres)
    return jnp.sign(m[:, 0] * s[:, 1] - s[:, 0] * m[:, 1])


def update(
    state: LabelState,
    rows: Array,
    features: Mapping[str, Array],
    *,
    epoch: Array | int,
    limit: Limit,
    where: Array | None = None,
    has: Mapping[str, Array] | None = None,
    zero_is_positive: bool = False,
    neutral: float = 0.0,
) -> LabelState:
    """One mini-batch: new labels of its rows, then their multimodal features, then the centres.

    The labels use the centres as the previous mini-batch left them. In epoch 1 labels stay as they are.

    Args:
      state: the label state.
      rows: [B] int32, distinct training rows of the mini-batch, in [0, N).
      features: [B, d] for "m" and every task of the state; no gradient flows through them.
      epoch: 1-based; may be traced.
      limit: the largest absolute label, e.g. 3 for MOSI and 1 for SIMS, or the lowest and the highest label.
      where: [B] bool, rows that count; the others leave the state untouched.
      has: {unimodal task: [B] bool}, rows that have the modality; None for all. The others keep their label.
      zero_is_positive, neutral: as in `init`.

    Raises:
      ValueError: tasks of `features` differ from those of the state. AssertionError: a shape does not fit.
    """
    widths = dict.fromkeys(("m", *state.labels), state.features.shape[-1])
    rows, features, where = take_batch(rows, features, where, widths)

    label = state.multimodal[rows]
    centres = state.sums / jnp.maximum(state.counts, 1.0)[:, None]  # [4, d]
    maximum = jnp.linalg.norm(centres[TOP] - centres[BOTTOM])
    # Sums in float32 that every batch corrects resolve no smaller distance; without this, one that is 0 but for rounding
    # would shift every label by the whole span.
    resolution = RESOLUTION * jnp.linalg.norm(centres[TOP : BOTTOM + 1], axis=-1).max()
    known = jnp.all(state.counts > 0) & (maximum > resolution)
    epoch = jnp.asarray(epoch, jnp.float32)

    # Rows that do not count are sent out of range, where a scatter drops them.
    target = jnp.where(where, rows, state.multimodal.shape[0])
    labels = {}
    for task, old in state.labels.items():
        distance = jnp.linalg.norm(features["m"] - features[task], axis=-1)
        magnitude = offset_magnitude(distance, maximum, state.span)
        direction = offset_direction(features[task], features["m"], centres[: NEGATIVE + 1])
        suggested = jnp.clip(label + direction * magnitude, *ends(limit))
        averaged = (epoch - 1) / (epoch + 1) * old[rows] + 2 / (epoch + 1) * suggested
        moves = (epoch > 1) & known
        moves = moves if has is None else moves & has[task]
        labels[task] = old.at[target].set(jnp.where(moves, averaged, old[rows]), mode="drop")

    classes = _classes(label, state.bounds, zero_is_positive, neutral) * where[:, None]
    # What is written depends on what was read, even where it need not: without that order between the two the compiler
    # copies the whole memory in every step.
    before = state.features[rows]
    value = jnp.where(where[:, None], features["m"], before)
    return state._replace(
        labels=labels,
        features=state.features.at[target].set(value, mode="drop"),
        sums=state.sums + class_sums(classes, value) - class_sums(classes, before),
    )


def refresh_centres(state: LabelState, *, zero_is_positive: bool = False, neutral: float = 0.0) -> LabelState:
    """The same state with its sums taken anew over all N rows: once an epoch, against rounding drift."""
    classes = _classes(state.multimodal, state.bounds, zero_is_positive, neutral)
    return state._replace(sums=class_sums(classes, state.features))


def _classes(label: Array, bounds: Array, zero_is_positive: bool, neutral: float) -> Array:
    """[B] -> [B, 4] float32: 1 where the row is of the positive, negative, top, bottom class."""
    extremes = jnp.stack([label >= bounds[0], label <= bounds[1]], axis=-1).astype(jnp.float32)
    return jnp.concatenate([sign_classes(label, zero_is_positive, neutral), extremes], axis=-1)
