"""Self-MM's unimodal labels and loss as plain float64 loops over samples: slow, and meant to be obviously right.

Paper: Yu et al., "Learning Modality-Specific Representations with Self-Supervised Multi-Task Learning for Multimodal
Sentiment Analysis", AAAI 2021; equation numbers below are the paper's.

Names: `N` training rows, `B` rows of one mini-batch, `d` the feature size of one representation. A representation is
`"m"` (fusion) or one modality, `"t"`, `"a"`, `"v"`; modalities may be absent, `"m"` may not.

Nothing is carried but the labels and the feature memories. The class centres "left by the previous batch" are a
function of these two alone, so both updates sum them afresh over all rows before they touch anything.

**Empty sign class.** If no row has a label of one sign, that centre does not exist. An offset of modality `s` needs
four centres (both of `m`, both of `s`); when one of them is missing, every row of the batch keeps its label of `s`.
Feature memories are written all the same.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np

Arrays = dict[str, np.ndarray]
Vector = list[float]


def update_reference(
    labels: np.ndarray,
    unimodal_labels: Mapping[str, np.ndarray],
    memories: Mapping[str, np.ndarray],
    rows: np.ndarray,
    features: Mapping[str, np.ndarray],
    *,
    epoch: int,
    limit: float,
    exclude_zero: bool,
    eps: float = 1e-8,
) -> tuple[Arrays, Arrays]:
    """The label update as the authors' code does it, for one mini-batch.

    Distances are not scaled by the feature size, the denominator is `alpha_m + eps` with no care for its sign,
    generated labels are clipped to `[-limit, limit]`, and the positive centre includes labels of exactly 0 unless
    `exclude_zero`.

    Args:
      labels: `[N]`, the multimodal labels `y_m`.
      unimodal_labels: `{s: [N]}`, the stored labels of each modality present; `y_m` before epoch 2.
      memories: `{x: [N, d_x]}` for "m" and each modality, the last seen features; 0 for rows not seen yet.
      rows: `[B]` distinct row numbers of the batch.
      features: `{x: [B, d_x]}`, what the network gave for these rows.
      epoch: 1-based; in epoch 1 labels do not move.
      limit: largest absolute value of a generated label.
      exclude_zero: whether labels of exactly 0 stay out of the positive centre.
      eps: added to both denominators.

    Returns:
      The new `unimodal_labels` and `memories`; the arguments are left alone.
    """
    sign_of = _strict_sign if exclude_zero else _sign_with_zero_positive

    def offset_label(y_m: float, alpha_m: float, alpha_s: float) -> float:
        ratio = alpha_s / (alpha_m + eps)
        generated = 0.5 * ratio * y_m + 0.5 * (y_m + alpha_s - alpha_m)
        return max(-limit, min(limit, generated))

    return _update(labels, unimodal_labels, memories, rows, features, epoch, sign_of, _norm, offset_label, eps)


def update_paper(
    labels: np.ndarray,
    unimodal_labels: Mapping[str, np.ndarray],
    memories: Mapping[str, np.ndarray],
    rows: np.ndarray,
    features: Mapping[str, np.ndarray],
    *,
    epoch: int,
    limit: float = math.inf,
    eps: float = 1e-8,
    guard: float = 1e-8,
) -> tuple[Arrays, Arrays]:
    """The label update as the paper writes it (equations 1 to 9, algorithm 1 lines 10 to 15), for one mini-batch.

    Centres are over strictly positive and strictly negative labels, distances are divided by sqrt(d).

    Args:
      labels, unimodal_labels, memories, rows, features, epoch: as in `update_reference`.
      limit: not in the paper; infinite means that generated labels are not clipped.
      eps: the epsilon of equation 5.
      guard: equation 8 divides by `alpha_m`, which can be 0. There, and only there, `|alpha_m|` is raised to at least
        `guard` and keeps its sign (0 counts as positive).

    Returns:
      The new `unimodal_labels` and `memories`; the arguments are left alone.
    """

    def scaled_norm(vector: Vector) -> float:
        return _norm(vector) / math.sqrt(len(vector))  # equations 3 and 4

    def offset_label(y_m: float, alpha_m: float, alpha_s: float) -> float:
        denominator = max(alpha_m, guard) if alpha_m >= 0 else min(alpha_m, -guard)
        proportional = alpha_s * y_m / denominator  # equation 6
        additive = y_m + alpha_s - alpha_m  # equation 7
        generated = proportional / 2 + additive / 2  # equation 8, first line
        return max(-limit, min(limit, generated))

    return _update(
        labels, unimodal_labels, memories, rows, features, epoch, _strict_sign, scaled_norm, offset_label, eps
    )


def momentum(previous: float, generated: float, epoch: int) -> float:
    """Equation 9 for epoch > 1: the label after this epoch from the one before it and the newly generated one."""
    return (epoch - 1) / (epoch + 1) * previous + 2 / (epoch + 1) * generated


def loss(predictions: Mapping[str, np.ndarray], labels: np.ndarray, unimodal_labels: Mapping[str, np.ndarray]) -> float:
    """Equation 10 over one batch: predictions `{x: [B]}`, labels `[B]`, unimodal_labels `{s: [B]}` of the same rows."""
    total = 0.0
    for i in range(len(labels)):
        y_m = float(labels[i])
        total += abs(float(predictions["m"][i]) - y_m)
        for modality, stored in unimodal_labels.items():
            y_s = float(stored[i])
            weight = math.tanh(abs(y_s - y_m))
            total += weight * abs(float(predictions[modality][i]) - y_s)
    return total / len(labels)


def centre(labels: np.ndarray, memory: np.ndarray, belongs: Callable[[float], bool]) -> Vector | None:
    """Mean `[d]` of the rows of memory `[N, d]` whose label `[N]` belongs; None where there is no such row."""
    total = [0.0] * memory.shape[1]
    count = 0
    for j in range(memory.shape[0]):
        if belongs(float(labels[j])):
            count += 1
            for k in range(memory.shape[1]):
                total[k] += float(memory[j, k])
    return [value / count for value in total] if count else None


def _update(
    labels: np.ndarray,
    unimodal_labels: Mapping[str, np.ndarray],
    memories: Mapping[str, np.ndarray],
    rows: np.ndarray,
    features: Mapping[str, np.ndarray],
    epoch: int,
    sign_of: Callable[[float], int],
    length: Callable[[Vector], float],
    offset_label: Callable[[float, float, float], float],
    eps: float,
) -> tuple[Arrays, Arrays]:
    # Centres first: they stand for what the previous batch left, so nothing of this batch may enter them.
    centres = {}
    for name, memory in memories.items():
        own_label = labels if name == "m" else unimodal_labels[name]
        positive = centre(own_label, memory, lambda y: sign_of(y) > 0)  # equation 1
        negative = centre(own_label, memory, lambda y: sign_of(y) < 0)  # equation 2
        centres[name] = None if positive is None or negative is None else (positive, negative)

    new_labels = {name: np.array(values, dtype=np.float64) for name, values in unimodal_labels.items()}
    new_memories = {name: np.array(values, dtype=np.float64) for name, values in memories.items()}

    for i, row in enumerate(rows):
        if epoch > 1:
            for modality in unimodal_labels:
                if centres["m"] is None or centres[modality] is None:
                    continue
                alpha_m = _relative_distance(features["m"][i], *centres["m"], length, eps)
                alpha_s = _relative_distance(features[modality][i], *centres[modality], length, eps)
                generated = offset_label(float(labels[row]), alpha_m, alpha_s)
                new_labels[modality][row] = momentum(float(unimodal_labels[modality][row]), generated, epoch)
        for name in memories:
            new_memories[name][row] = features[name][i]
    return new_labels, new_memories


def _relative_distance(
    feature: np.ndarray, positive: Vector, negative: Vector, length: Callable[[Vector], float], eps: float
) -> float:
    to_positive = length([float(f) - c for f, c in zip(feature, positive, strict=True)])
    to_negative = length([float(f) - c for f, c in zip(feature, negative, strict=True)])
    return (to_negative - to_positive) / (to_positive + eps)  # equation 5


def _norm(vector: Vector) -> float:
    return math.sqrt(sum(value * value for value in vector))


def _strict_sign(label: float) -> int:
    return (label > 0) - (label < 0)


def _sign_with_zero_positive(label: float) -> int:
    return -1 if label < 0 else 1
