"""Unimodal label generation of Self-MM (Yu et al., AAAI 2021, eq. 1-9 and Algorithm 1).

The paper keeps, for every training row, the representations of the four tasks and the labels generated so far, and
recomputes two class centres per task from all rows after each mini-batch. Here the centres are kept as running sums that
each mini-batch corrects, so that a step costs the same for a thousand rows and for a million; `refresh_centres` sums
them anew once an epoch, against the drift of float32.

Keys: "m" multimodal; "t", "a", "v" text, audio, vision. A modality may be absent. A row that lacks one keeps its label and
the feature that it had before; as long as it never had one, it counts in no centre of that task.
"""

from collections.abc import Mapping
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from msa_jax.labels.centres import Limit, class_sums, distances, ends, sign_classes, take_batch

Array = jax.Array

EPSILON = 1e-8  # eq. 5, and the guards of eq. 8


class LabelState(NamedTuple):
    """What label generation remembers.

    labels: for each task [N] float32. "m" is the human label and never changes; the others start equal to it.
    features: for each task [N, d] float32, the representation F* of each row when it was last seen; zeros before.
    sums: for each task [2, d], the sum of `features` over the rows with a positive (0) and with a negative (1) label.
    counts: for each task [2] float32, how many rows those are, without those that lack the modality.
    lacks: for each unimodal task [N] bool, rows that were seen without the modality and have no feature.
    """

    labels: dict[str, Array]
    features: dict[str, Array]
    sums: dict[str, Array]
    counts: dict[str, Array]
    lacks: dict[str, Array]


def init(labels: Array, dims: Mapping[str, int], *, zero_is_positive: bool = False, neutral: float = 0.0) -> LabelState:
    """The state before the first epoch: generated labels equal the human ones, features are zero (Algorithm 1, 2-3).

    Args:
      labels: [N] float32, the human multimodal labels.
      dims: width of the representation of each task; must hold "m".
      zero_is_positive: count label 0 in the positive class. The paper's eq. 1 is strict.
      neutral: the label that takes the place of 0 where that is not inside the label range, as the middle of one to five.

    Raises:
      ValueError: labels are not one-dimensional, or "m" is missing from dims.
    """
    labels = jnp.asarray(labels, jnp.float32)
    chex.assert_rank(labels, 1)
    if "m" not in dims:
        raise ValueError(f'dims must hold "m", the multimodal task; got {sorted(dims)}')
    counts = sign_classes(labels, zero_is_positive, neutral).sum(0)
    return LabelState(
        labels={task: jnp.array(labels) for task in dims},
        features={task: jnp.zeros((labels.shape[0], width), jnp.float32) for task, width in dims.items()},
        sums={task: jnp.zeros((2, width), jnp.float32) for task, width in dims.items()},
        counts={task: jnp.array(counts) for task in dims},
        lacks={task: jnp.zeros(labels.shape[0], bool) for task in dims if task != "m"},
    )


def relative_distance(features: Array, centres: Array, *, scale: bool = True) -> Array:
    """How much nearer a representation lies to the positive centre than to the negative one (eq. 3-5).

    Args:
      features: [B, d].
      centres: [2, d], positive and negative.
      scale: divide distances by sqrt(d) as eq. 3-4 do; it matters only where a distance is as small as EPSILON.

    Returns:
      alpha [B] = (D^n - D^p) / (D^p + EPSILON), at least -1.
    """
    chex.assert_shape(centres, (2, features.shape[-1]))
    distance = distances(features, centres)
    if scale:
        distance = distance / jnp.sqrt(features.shape[-1])
    to_positive, to_negative = distance[:, 0], distance[:, 1]
    return (to_negative - to_positive) / (to_positive + EPSILON)


def shifted_label(
    label: Array, alpha_s: Array, alpha_m: Array, *, limit: Limit, floor: bool = True, neutral: float = 0.0
) -> Array:
    """The unimodal label that the relative distances suggest (eq. 8), within the label range.

    Eq. 8 divides by alpha_m, which is 0 where a sample lies equally far from both centres. The limit bounds the result;
    the denominator needs a guard of its own.

    Args:
      label: [B], the multimodal labels y_m.
      alpha_s: [B], relative distance of the modality.
      alpha_m: [B], relative distance of the multimodal task.
      limit: the largest absolute label, or the lowest and the highest.
      floor: keep |alpha_m| at least EPSILON, with its sign. False adds EPSILON to it, as the authors' code does, which
        is singular at -EPSILON.
      neutral: as in `init`. The ratio of eq. 6 is one of distances from it.

    Returns:
      [B] within the limit.

    Raises:
      AssertionError: a shape does not fit.
    """
    chex.assert_equal_shape([label, alpha_s, alpha_m])
    if floor:
        denominator = jnp.where(alpha_m < 0, -1.0, 1.0) * jnp.maximum(jnp.abs(alpha_m), EPSILON)
    else:
        denominator = alpha_m + EPSILON
    label = label - neutral if neutral else label
    ratio = 0.5 * (alpha_s / denominator) * label  # eq. 6
    difference = 0.5 * (label + alpha_s - alpha_m)  # eq. 7
    shifted = ratio + difference
    return jnp.clip(shifted + neutral if neutral else shifted, *ends(limit))


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
    scale_distances: bool = True,
    floor: bool = True,
    neutral: float = 0.0,
) -> LabelState:
    """One mini-batch of Algorithm 1, lines 10-15: new labels of its rows, then their features, then the centres.

    The labels use the centres as the previous mini-batch left them. In epoch 1 labels stay as they are. Rows keep
    their label while a centre they need does not exist (no row of that sign).

    Args:
      state: the label state.
      rows: [B] int32, distinct training rows of the mini-batch, in [0, N).
      features: [B, d] for every task of the state; no gradient flows through them.
      epoch: 1-based; may be traced.
      limit: the largest absolute label, e.g. 3 for MOSI and 1 for SIMS, or the lowest and the highest label.
      where: [B] bool, rows that count; the others leave the state untouched.
      has: {unimodal task: [B] bool}, rows that have the modality; None for all. The others keep label and feature.
      zero_is_positive: as in `init`.
      scale_distances: as `scale` of `relative_distance`.
      floor: as in `shifted_label`.
      neutral: as in `init`.

    Raises:
      ValueError: tasks of `features` differ from those of the state. AssertionError: a shape does not fit.
    """
    widths = {task: memory.shape[-1] for task, memory in state.features.items()}
    rows, features, where = take_batch(rows, features, where, widths)
    old = {task: label[rows] for task, label in state.labels.items()}  # each [B]

    centres = {task: state.sums[task] / jnp.maximum(state.counts[task], 1.0)[:, None] for task in features}
    known = {task: jnp.all(state.counts[task] > 0) for task in features}
    alpha = {task: relative_distance(features[task], centres[task], scale=scale_distances) for task in features}
    epoch = jnp.asarray(epoch, jnp.float32)

    new = {"m": old["m"]}
    for task in features:
        if task != "m":
            suggested = shifted_label(old["m"], alpha[task], alpha["m"], limit=limit, floor=floor, neutral=neutral)
            averaged = (epoch - 1) / (epoch + 1) * old[task] + 2 / (epoch + 1) * suggested  # eq. 9
            new[task] = jnp.where((epoch > 1) & known[task] & known["m"], averaged, old[task])

    # Rows that do not count are sent out of range, where a scatter drops them.
    target = jnp.where(where, rows, state.labels["m"].shape[0])
    labels, memory, sums, counts, lacks = {"m": state.labels["m"]}, {}, {}, {}, {}
    for task, value in features.items():
        # What is written depends on what was read, even where it need not: without that order between the two the
        # compiler copies the whole memory in every step.
        seen_before = state.features[task][rows]
        fresh = in_before = in_after = where  # [B]: rows with a new feature; rows in the centres before and after
        if task != "m":
            there = jnp.ones_like(where) if has is None else has[task]
            lacked = state.lacks[task][rows]
            lacking = ~there & (lacked | (seen_before == 0).all(-1))
            fresh, in_before, in_after = where & there, where & ~lacked, where & ~lacking
            label = jnp.where(there, new[task], old[task])
            labels[task] = state.labels[task].at[target].set(label, mode="drop")
            lacks[task] = state.lacks[task].at[target].set(lacking, mode="drop")
            new[task] = label
        before = sign_classes(old[task], zero_is_positive, neutral) * in_before[:, None]  # [B, 2]
        after = sign_classes(new[task], zero_is_positive, neutral) * in_after[:, None]
        value = jnp.where(fresh[:, None], value, seen_before)
        memory[task] = state.features[task].at[target].set(value, mode="drop")
        sums[task] = state.sums[task] + class_sums(after, value) - class_sums(before, seen_before)
        counts[task] = state.counts[task] + (after - before).sum(0)
    return LabelState(labels, memory, sums, counts, lacks)


def refresh_centres(state: LabelState, *, zero_is_positive: bool = False, neutral: float = 0.0) -> LabelState:
    """The same state with the sums of eq. 1-2 taken anew over all N rows: once an epoch, against rounding drift."""
    classes = {task: sign_classes(label, zero_is_positive, neutral) for task, label in state.labels.items()}
    classes |= {task: classes[task] * ~lacks[:, None] for task, lacks in state.lacks.items()}
    return state._replace(
        sums={task: class_sums(classes[task], value) for task, value in state.features.items()},
        counts={task: value.sum(0) for task, value in classes.items()},
    )
