"""Ridge regression of a label, cross-validated by video, from sums alone: no dependency, and fast enough for a check."""

import numpy as np

FOLDS = 10  # at most
# Of ridge, times the rows of a fit; the one with the least error inside train is taken.
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
CLIP = 5.0  # standard deviations


def fold_of(groups: np.ndarray) -> np.ndarray:
    """[N] int: the fold of each row. Groups stay whole; the largest that is left goes to the smallest fold."""
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    fold_of_group, rows = np.zeros(len(sizes), int), np.zeros(min(FOLDS, len(sizes)), int)
    for one in np.argsort(-sizes, kind="stable"):
        fold_of_group[one] = np.argmin(rows)
        rows[fold_of_group[one]] += sizes[one]
    return fold_of_group[group.reshape(-1)]


def standardised(train: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both by mean and standard deviation of train, clipped; features that do not vary are zeros."""
    mean, deviation = train.mean(0), train.std(0)
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 1e-9 * np.abs(mean) + 1e-12)
    return np.clip((train - mean) * scale, -CLIP, CLIP), np.clip((other - mean) * scale, -CLIP, CLIP)


def ridge(train: np.ndarray, valid: np.ndarray, label: np.ndarray, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predictions of rows of train [N] whose fold was left out, and of valid [M] by all of train, at the best penalty."""
    gram, moment = train.T @ train, train.T @ label
    sums, total, rows = train.sum(0), label.sum(), len(label)
    inside = np.empty((len(PENALTIES), rows))
    for one in range(int(fold.max()) + 1):
        out = fold == one
        x, y = train[out], label[out]
        left = gram - x.T @ x, moment - x.T @ y, sums - x.sum(0), total - y.sum(), rows - len(y)
        inside[:, out] = _predictions(*left, x)
    best = int(np.argmin(((inside - label) ** 2).mean(1)))
    return inside[best], _predictions(gram, moment, sums, total, rows, valid)[best]


def _predictions(
    gram: np.ndarray, moment: np.ndarray, sums: np.ndarray, total: float, rows: int, x: np.ndarray
) -> np.ndarray:
    """[penalties, n]: of x [n, d] by ridge on rows of which there are only sums of x, y and their products."""
    centre, mean = sums / rows, total / rows
    values, vectors = np.linalg.eigh(gram / rows - np.outer(centre, centre))
    along, turned = vectors.T @ (moment / rows - mean * centre), (x - centre) @ vectors
    return np.stack([mean + turned @ (along / (np.maximum(values, 0) + penalty)) for penalty in PENALTIES])
