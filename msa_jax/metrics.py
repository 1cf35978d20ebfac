"""What is scored: the regression and classification metrics of MOSI, MOSEI and SIMS, under MMSA's names; and of any range.

All inputs are whole prediction arrays `[N]` of one split, never batches, and never traced. Results are fractions, unrounded.

| key             | rows         | definition                                                                         |
|-----------------|--------------|------------------------------------------------------------------------------------|
| MAE             | all          | mean absolute error                                                                |
| Corr            | all          | Pearson correlation; NaN where prediction or label is constant                     |
| Mult_acc_7      | all          | MOSI, MOSEI: same integer after clipping to [-3, 3] and rounding half to even      |
| Mult_acc_5      | all          | MOSI, MOSEI: the same with [-2, 2]. SIMS: same bin, cuts -0.7, -0.1, 0.1, 0.7      |
| Has0_acc_2      | all          | negative against non-negative: (p >= 0) == (y >= 0)                                |
| Has0_F1_score   | all          | weighted F1 of those two classes                                                   |
| Non0_acc_2      | label not 0  | negative against positive: (p > 0) == (y > 0); NaN where no label is non-zero      |
| Non0_F1_score   | label not 0  | weighted F1 of those two classes; NaN where no label is non-zero                   |
| Mult_acc_2      | all          | SIMS: same bin, cut 0; **zero is negative**                                        |
| Mult_acc_3      | all          | SIMS: same bin, cuts -0.1, 0.1                                                     |
| F1_score        | all          | SIMS: weighted F1 of the two bins of Mult_acc_2                                    |

Kind "regression" is for labels in any range [low, high]. Its neutral point is 0 where that lies inside, otherwise the middle.

| key             | rows         | definition                                                                         |
|-----------------|--------------|------------------------------------------------------------------------------------|
| MAE, Corr       | all          | as above                                                                           |
| CCC             | all          | Lin's concordance: 2 cov(p, y) / (var p + var y + (mean p - mean y)^2)             |
| R2              | all          | 1 - sum (y - p)^2 / sum (y - mean y)^2; NaN where the label is constant            |
| Mult_acc_2      | all          | below the neutral point, or not: (p >= neutral) == (y >= neutral)                  |
| F1_score        | all          | weighted F1 of those two classes                                                   |
| Mult_acc_K      | all          | K = 3, 5, 7: the same of K levels, evenly spaced from low to high (nearest_levels) |

On [-3, 3], Mult_acc_7 is that of MOSI.

SIMS clips prediction and label to [-1, 1] before everything else, so its MAE and Corr are those of clipped predictions.
"Acc-2 84.00/85.98" in a paper is Has0_acc_2/Non0_acc_2.

Comparisons with class borders are made in float32: a label written as -0.1 then lies exactly on the border -0.1, and a
float64 copy of the same prediction cannot fall into another class. Only the sums behind MAE and Corr are in float64.

Source: the regression metrics of MMSA (thuiar/MMSA), which MMIM, ConFEDE and MulT share.
"""

import math
import statistics
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from msa_jax.errors import InputError

_MOSI_KEYS = (
    "Has0_acc_2",
    "Has0_F1_score",
    "Non0_acc_2",
    "Non0_F1_score",
    "Mult_acc_5",
    "Mult_acc_7",
    "MAE",
    "Corr",
)
METRIC_KEYS = {
    "mosi": _MOSI_KEYS,
    "mosei": _MOSI_KEYS,
    "sims": ("Mult_acc_2", "Mult_acc_3", "Mult_acc_5", "F1_score", "MAE", "Corr"),
    "regression": (
        "Mult_acc_2",
        "Mult_acc_3",
        "Mult_acc_5",
        "Mult_acc_7",
        "F1_score",
        "MAE",
        "Corr",
        "CCC",
        "R2",
    ),
}
HIGHER_IS_BETTER = {key: key != "MAE" for keys in METRIC_KEYS.values() for key in keys}

SIMS_RANGE = (-1.0, 1.0)


def evaluate(
    prediction: ArrayLike, label: ArrayLike, kind: str = "mosi", *, label_range: tuple[float, float] | None = None
) -> dict[str, float]:
    """Every metric of one split.

    Args:
        prediction: `[N]` real, finite; the raw score of the model.
        label: `[N]` real, finite; the m-label, in [-3, 3] (MOSI, MOSEI), [-1, 1] (SIMS) or `label_range`.
        kind: "mosi", "mosei" (the same metrics), "sims" or "regression" (any range).
        label_range: lowest and highest possible label; "regression" needs it, the others have their own.

    Returns:
        `METRIC_KEYS[kind]` -> fraction (MAE in units of the label), in that order.

    Raises:
        InputError: unknown kind, no rows, shapes that are not the same `[N]`, a value that is not finite, or a label
            range that is missing or none.
    """
    if kind not in METRIC_KEYS:
        raise InputError(f"metrics {kind!r} are unknown: expected one of {', '.join(METRIC_KEYS)}")
    prediction, label = _same_rows(_scores(prediction, "prediction"), _scores(label, "label"))
    if kind == "regression":
        scores = _regression(prediction, label, _ends(label_range))
    else:
        scores = _sims(prediction, label) if kind == "sims" else _mosi(prediction, label)
    return {key: scores[key] for key in METRIC_KEYS[kind]}


def summarise(runs: Sequence[Mapping[str, float | None]]) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Mean and sample standard deviation (ddof 1) of every metric over the runs of one experiment.

    Ready for `result.json`, which holds no NaN: a metric that is NaN, infinite or None in any run has neither mean nor
    standard deviation, and one run has no standard deviation; those values are None (`null` in JSON). Leaving the
    undefined runs out instead would report the mean of the runs that happened to go well.

    Args:
        runs: one dict of metrics per run, all with the same keys.

    Raises:
        InputError: no runs, or runs with different metrics.
    """
    if not runs:
        raise InputError("no runs to summarise")
    for row, run in enumerate(runs):
        if run.keys() != runs[0].keys():
            raise InputError(f"run {row} has metrics {', '.join(run)}: expected {', '.join(runs[0])}")
    mean, std = {}, {}
    for key in runs[0]:
        values = [run[key] for run in runs]
        defined = all(value is not None and math.isfinite(value) for value in values)
        values = [float(value) for value in values] if defined else []
        mean[key] = statistics.mean(values) if values else None
        std[key] = statistics.stdev(values) if len(values) > 1 else None
    return mean, std


def mae(prediction: ArrayLike, label: ArrayLike) -> float:
    """Mean absolute error of `[N]` against `[N]`: 1/N sum_i |p_i - y_i|, summed in float64."""
    prediction, label = _same_rows(_scores(prediction, "prediction"), _scores(label, "label"))
    return float(np.mean(np.abs(prediction.astype(np.float64) - label.astype(np.float64))))


def signed_errors(prediction: np.ndarray, label: np.ndarray, kind: str) -> np.ndarray:
    """p - y as the MAE of a kind counts it, `[..., N]` and `[N]` -> `[..., N]`: with "sims" both are clipped first."""
    if kind == "sims":
        prediction, label = np.clip(prediction, *SIMS_RANGE), np.clip(label, *SIMS_RANGE)
    return prediction - label


def corr(prediction: ArrayLike, label: ArrayLike) -> float:
    """Pearson correlation of `[N]` and `[N]`: sum_i (p_i - mean p)(y_i - mean y) / (N sd(p) sd(y)), summed in float64.

    NaN where prediction or label is constant (so for N = 1), without a warning.
    """
    prediction, label = _same_rows(_scores(prediction, "prediction"), _scores(label, "label"))
    # Asked of the values, not of the variance: rounding of the mean gives a constant 0.1 a variance above zero.
    if np.all(prediction == prediction[0]) or np.all(label == label[0]):
        return float("nan")
    p = prediction - np.mean(prediction, dtype=np.float64)
    y = label - np.mean(label, dtype=np.float64)
    return float(np.clip(np.sum(p * y) / np.sqrt(np.sum(p * p) * np.sum(y * y)), -1.0, 1.0))


def ccc(prediction: ArrayLike, label: ArrayLike) -> float:
    """Lin's concordance correlation of `[N]` and `[N]`: 2 cov(p, y) / (var p + var y + (mean p - mean y)^2), summed in float64.

    1 only where p = y; 0 where one of the two is constant; NaN where both are constant and equal.
    """
    prediction, label = _same_rows(_scores(prediction, "prediction"), _scores(label, "label"))
    p, y = prediction.astype(np.float64), label.astype(np.float64)
    apart = np.mean((p - y) ** 2)  # var p + var y - 2 cov + (mean p - mean y)^2
    covariance = np.mean((p - p.mean()) * (y - y.mean()))
    total = apart + 2 * covariance
    return float(2 * covariance / total) if total > 0 else float("nan")


def r2(prediction: ArrayLike, label: ArrayLike) -> float:
    """Share of the label's variance that is explained, `[N]` and `[N]`: 1 - sum (y - p)^2 / sum (y - mean y)^2, in float64.

    At most 1, and negative where the mean of the labels would have been nearer. NaN where the label is constant.
    """
    prediction, label = _same_rows(_scores(prediction, "prediction"), _scores(label, "label"))
    if np.all(label == label[0]):
        return float("nan")
    p, y = prediction.astype(np.float64), label.astype(np.float64)
    return float(1 - np.sum((y - p) ** 2) / np.sum((y - y.mean()) ** 2))


def rounded_classes(scores: ArrayLike, limit: int) -> np.ndarray:
    """Integer class of each score `[N]` -> `[N]` int32: round(clip(s, -limit, limit)), ties half to even.

    0.5 -> 0, 1.5 -> 2, 2.5 -> 2, -0.5 -> 0. `limit` 3 gives seven classes, 2 gives five.
    """
    return np.round(np.clip(_scores(scores, "scores"), -limit, limit)).astype(np.int32)


def binned_classes(scores: ArrayLike, cuts: Sequence[float]) -> np.ndarray:
    """Bin of each score `[N]` -> `[N]` int32: how many of the ascending `cuts` lie below it (bins closed on the right).

    A score on a cut belongs to the lower bin; both are compared in float32.
    """
    return np.searchsorted(np.asarray(cuts, np.float32), _scores(scores, "scores"), side="left").astype(np.int32)


def nearest_levels(scores: ArrayLike, levels: int, label_range: tuple[float, float]) -> np.ndarray:
    """The nearest of `levels` (odd) evenly spaced from low to high, `[N]` -> `[N]` int32 in [0, levels).

    Beyond an end it is that end; halfway between two, the one that is an even number of steps from the middle.
    On [-3, 3] with seven levels these are the classes of `rounded_classes(scores, 3)`.

    Raises:
        InputError: scores that are not finite numbers `[N]`, or low is not below high.
    """
    (low, high), half = _ends(label_range), (levels - 1) // 2
    steps = (_scores(scores, "scores").astype(np.float64) - (low + high) / 2) * ((levels - 1) / (high - low))
    return (np.round(np.clip(steps, -half, half)) + half).astype(np.int32)


def accuracy(predicted: np.ndarray, true: np.ndarray) -> float:
    """Share of rows whose class is right: 1/N sum_i [c_i = k_i], classes `[N]` against `[N]`; NaN for N = 0."""
    predicted, true = _same_rows(np.asarray(predicted), np.asarray(true))
    return float(np.mean(predicted == true)) if true.size else float("nan")


def weighted_f1(predicted: np.ndarray, true: np.ndarray) -> float:
    """F1 of each class, averaged with the share of rows that truly belong to it; classes `[N]`, NaN for N = 0.

    sum_k N_k / N * 2 TP_k / (2 TP_k + FP_k + FN_k), with N_k the rows whose **true** class is k. Truth and prediction
    are not interchangeable: swapped, the weights are those of the prediction and the number is another one.
    """
    predicted, true = _same_rows(np.asarray(predicted), np.asarray(true))
    if not true.size:
        return float("nan")
    total = 0.0
    for k in np.unique(true):  # a class that is only predicted has weight zero
        right = np.sum((predicted == k) & (true == k))
        support = np.sum(true == k)
        total += support * 2.0 * right / (np.sum(predicted == k) + support)  # 2TP + FP + FN = predicted k + truly k
    return float(total / true.size)


def _mosi(prediction: np.ndarray, label: np.ndarray) -> dict[str, float]:
    has0 = (prediction >= 0, label >= 0)
    rows = label != 0
    non0 = (prediction[rows] > 0, label[rows] > 0)
    return {
        "Has0_acc_2": accuracy(*has0),
        "Has0_F1_score": weighted_f1(*has0),
        "Non0_acc_2": accuracy(*non0),
        "Non0_F1_score": weighted_f1(*non0),
        "Mult_acc_5": accuracy(rounded_classes(prediction, 2), rounded_classes(label, 2)),
        "Mult_acc_7": accuracy(rounded_classes(prediction, 3), rounded_classes(label, 3)),
        "MAE": mae(prediction, label),
        "Corr": corr(prediction, label),
    }


def _sims(prediction: np.ndarray, label: np.ndarray) -> dict[str, float]:
    prediction, label = np.clip(prediction, *SIMS_RANGE), np.clip(label, *SIMS_RANGE)
    cuts = {2: (0.0,), 3: (-0.1, 0.1), 5: (-0.7, -0.1, 0.1, 0.7)}
    classes = {k: (binned_classes(prediction, cut), binned_classes(label, cut)) for k, cut in cuts.items()}
    return {
        "Mult_acc_2": accuracy(*classes[2]),
        "Mult_acc_3": accuracy(*classes[3]),
        "Mult_acc_5": accuracy(*classes[5]),
        "F1_score": weighted_f1(*classes[2]),
        "MAE": mae(prediction, label),
        "Corr": corr(prediction, label),
    }


def _regression(prediction: np.ndarray, label: np.ndarray, ends: tuple[float, float]) -> dict[str, float]:
    low, high = ends
    neutral = np.float32(0.0 if low < 0 < high else (low + high) / 2)
    two = (prediction >= neutral, label >= neutral)
    found = {"Mult_acc_2": accuracy(*two), "F1_score": weighted_f1(*two)}
    for levels in (3, 5, 7):
        classes = (nearest_levels(scores, levels, ends) for scores in (prediction, label))
        found[f"Mult_acc_{levels}"] = accuracy(*classes)
    return found | {
        "MAE": mae(prediction, label),
        "Corr": corr(prediction, label),
        "CCC": ccc(prediction, label),
        "R2": r2(prediction, label),
    }


def _ends(label_range: tuple[float, float] | None) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in label_range or ())
        if math.isfinite(low) and math.isfinite(high) and low < high:
            return low, high
    except (TypeError, ValueError):
        pass
    raise InputError(f"label_range is {label_range!r}: expected (low, high), low < high")


def _scores(values: ArrayLike, name: str) -> np.ndarray:
    """`values` as a non-empty, finite float32 vector, or an InputError that says what is wrong with `name`."""
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "iufV":  # V: bfloat16 of an accelerator
            raise TypeError
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite and is named below
            array = array.astype(np.float32)
    except (TypeError, ValueError) as error:
        if type(error).__module__ == "jax.errors":  # by its name, as metrics need no JAX
            raise InputError(
                f"{name} is traced by JAX: expected a NumPy array, outside of jit, grad and vmap"
            ) from None
        raise InputError(f"{name}: expected real numbers of shape [N]") from None
    if array.ndim != 1:
        raise InputError(f"{name} has shape {list(array.shape)}: expected [N]")
    if not array.size:
        raise InputError(f"{name} has no rows: there is nothing to score")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        more = f" (and {bad.size - 1} more)" if bad.size > 1 else ""
        raise InputError(f"{name} row {bad[0]} is {array[bad[0]]}: expected a finite number{more}")
    return array


def _same_rows(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pair itself, once it is known that nothing will be broadcast."""
    if predicted.shape != true.shape or predicted.ndim != 1:
        raise InputError(f"prediction {list(predicted.shape)} against label {list(true.shape)}: expected [N] and [N]")
    return predicted, true
