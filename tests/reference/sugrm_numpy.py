"""SUGRM's unimodal labels and loss as plain float64 loops over samples: slow, and meant to be obviously right.

Paper: Hwang and Kim, "Self-Supervised Unimodal Label Generation Strategy Using Recalibrated Modality Representations for
Multimodal Sentiment Analysis", Findings of EACL 2023, sections 3.3 (labels) and 3.4 (loss).

Names: `N` training rows, `B` rows of one mini-batch, `d` the feature size, the same for all representations. A
representation is `"m"` (fusion) or one modality, `"t"`, `"a"`, `"v"`; modalities may be absent, `"m"` may not.

Nothing is carried but the labels and the multimodal features. The centres "left by the previous batch" are a function
of these, so every update takes them afresh from all rows before it touches anything.

**What the paper leaves open, and the reading here.**
- Extreme classes. The paper takes the rows labelled +3 and -3. Here the top class is every row whose m-label is at least
  the k-th largest, the bottom class every row whose m-label is at most the k-th smallest, `k = max(3, ceil(fraction N))`
  and never more than N. The two rules agree where at least k rows lie at either end. Label ranges need not be +-3: the
  span of labels, the paper's D^L from -3 to +3, is the mean label of the top class less that of the bottom class.
- Ratios of distances, which may divide by 0, are compared crosswise: `D_s^p D_m^n < D_m^p D_s^n`.
- No D_max (it is 0), or no row of one sign: every row of the batch keeps its labels. Its features are stored all the same.
- Rows not seen yet take part with a feature of 0.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

Vector = list[float]


class LabelMemory:
    """The u-labels of all training rows and the multimodal features they are made from.

    Args:
      labels: `[N]`, the multimodal labels `y_m`.
      dim: `d`.
      modalities: those present, out of "tav".
      fraction: the part of all rows that makes an extreme class, at least 3 rows.
      zero_is_positive: whether labels of exactly 0 count as positive (the authors' code) or as neither (the paper).

    Attributes:
      label `[N]`; unimodal `{s: [N]}`, equal to label at first; features `[N, d]`, the last seen F*_m of each row.
    """

    def __init__(
        self,
        labels: np.ndarray,
        dim: int,
        *,
        modalities: Sequence[str] = "tav",
        fraction: float = 0.0,
        zero_is_positive: bool = False,
    ):
        self.label = np.array(labels, np.float64)
        self.unimodal = {name: self.label.copy() for name in modalities}
        self.features = np.zeros((len(self.label), dim))
        self.fraction = fraction
        self.zero_is_positive = zero_is_positive

    def update(
        self, rows: np.ndarray, features: Mapping[str, np.ndarray], *, epoch: int, limit: float = math.inf
    ) -> None:
        """One mini-batch: labels of its rows by the centres as they stand, then its features into the memory.

        Args:
          rows: `[B]` distinct row numbers.
          features: `{x: [B, d]}` for "m" and every modality, what the network gave for these rows.
          epoch: 1-based; in epoch 1 labels do not move.
          limit: largest absolute value of a generated label; infinite, as in the paper, means no clipping.
        """
        centres = self.centres()
        for i, row in enumerate(rows):
            if epoch > 1 and centres is not None:
                f_m = _vector(features["m"][i])
                for name, stored in self.unimodal.items():
                    y_m = float(self.label[row])
                    generated = y_m + offset(f_m, _vector(features[name][i]), **centres)
                    generated = max(-limit, min(limit, generated))
                    stored[row] = momentum(float(stored[row]), generated, epoch)
        # Features go in last: nothing of this batch may enter the centres that its own labels are made by.
        for i, row in enumerate(rows):
            self.features[row] = features["m"][i]

    def centres(self) -> dict[str, Vector | float] | None:
        """The arguments of `offset` that stand for the memory, or None where labels cannot move."""
        top, bottom = self.extremes()
        top_centre, bottom_centre = self.mean_feature(top), self.mean_feature(bottom)
        largest_distance = distance(top_centre, bottom_centre)
        positive, negative = self.sign_classes()
        if largest_distance == 0 or not positive or not negative:
            return None
        return {
            "positive": self.mean_feature(positive),
            "negative": self.mean_feature(negative),
            "largest_distance": largest_distance,
            "span": self.mean_label(top) - self.mean_label(bottom),
        }

    def extremes(self) -> tuple[list[int], list[int]]:
        """Row numbers of the top and of the bottom class."""
        count = len(self.label)
        k = min(count, max(3, math.ceil(self.fraction * count)))
        ascending = sorted(float(y) for y in self.label)
        kth_smallest, kth_largest = ascending[k - 1], ascending[count - k]
        top = [row for row in range(count) if self.label[row] >= kth_largest]
        bottom = [row for row in range(count) if self.label[row] <= kth_smallest]
        return top, bottom

    def sign_classes(self) -> tuple[list[int], list[int]]:
        """Row numbers of the positive and of the negative class."""
        positive, negative = [], []
        for row, y in enumerate(self.label):
            if y > 0 or (y == 0 and self.zero_is_positive):
                positive.append(row)
            elif y < 0:
                negative.append(row)
        return positive, negative

    def mean_feature(self, rows: Sequence[int]) -> Vector:
        """Mean `[d]` of the stored features of these rows."""
        total = [0.0] * self.features.shape[1]
        for row in rows:
            for k, value in enumerate(self.features[row]):
                total[k] += float(value)
        return [value / len(rows) for value in total]

    def mean_label(self, rows: Sequence[int]) -> float:
        return sum(float(self.label[row]) for row in rows) / len(rows)


def offset(
    f_m: Vector, f_s: Vector, *, positive: Vector, negative: Vector, largest_distance: float, span: float
) -> float:
    """How far the label of modality s lies from `y_m`, with its sign (section 3.3, magnitude and direction).

    Args:
      f_m, f_s: `[d]`, the multimodal and the unimodal feature of one sample.
      positive, negative: `[d]`, centres of the multimodal features of each sign.
      largest_distance: D^F_max. span: the largest distance of labels.
    """
    feature_distance = min(distance(f_m, f_s), largest_distance)
    magnitude = feature_distance / largest_distance * span
    s_positive, s_negative = distance(f_s, positive), distance(f_s, negative)
    m_positive, m_negative = distance(f_m, positive), distance(f_m, negative)
    if s_positive * m_negative < m_positive * s_negative:
        return magnitude
    if s_positive * m_negative > m_positive * s_negative:
        return -magnitude
    return 0.0


def momentum(previous: float, generated: float, epoch: int) -> float:
    """The update scheme for epoch > 1: the label after this epoch from the one before it and the newly generated one."""
    return (epoch - 1) / (epoch + 1) * previous + 2 / (epoch + 1) * generated


def loss(predictions: Mapping[str, np.ndarray], labels: np.ndarray, unimodal_labels: Mapping[str, np.ndarray]) -> float:
    """Section 3.4 over one batch: predictions `{x: [B]}`, labels `[B]`, unimodal_labels `{s: [B]}` of the same rows."""
    total = 0.0
    for i in range(len(labels)):
        y_m = float(labels[i])
        total += abs(float(predictions["m"][i]) - y_m)
        for name, stored in unimodal_labels.items():
            y_s = float(stored[i])
            total += math.tanh(abs(y_s - y_m)) * abs(float(predictions[name][i]) - y_s)
    return total / len(labels)


def distance(one: Vector, other: Vector) -> float:
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)))


def _vector(array: np.ndarray) -> Vector:
    return [float(value) for value in array]
