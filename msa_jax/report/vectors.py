"""How the vectors of many samples lie: whether they collapse, spread, and part the classes. numpy, float64.

None of these numbers depends on an embedding in two dimensions.
"""

import numpy as np

BLOCK = 512  # rows of a distance matrix at a time
PENALTY = 0.01  # of a linear probe on squared weights, as a share of N; it is fixed, so that nothing is chosen
NOISE = 1e-6  # of the largest value: what float32 cannot tell from nothing


def unit(vectors: np.ndarray) -> np.ndarray:
    """[N, d] at length 1, float64; a zero vector stays."""
    vectors = np.asarray(vectors, np.float64)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)


def centred(vectors: np.ndarray) -> np.ndarray:
    """[N, d] without their mean, float64; zeros where they differ by rounding alone."""
    vectors = np.asarray(vectors, np.float64)
    rest = vectors - vectors.mean(0)
    return rest if np.abs(rest).max() > NOISE * np.abs(vectors).max() else np.zeros_like(rest)


def effective_rank(vectors: np.ndarray) -> float:
    """In how many directions vectors [N, d] differ: 1 where all are multiples of one, at most min(N, d).

    The exponential of the entropy of the singular values, as shares of their sum (Roy and Vetterli 2007; of
    representations, without centring: Garrido et al. 2023, RankMe). 0 where all are zero.
    """
    values = np.linalg.svd(np.asarray(vectors, np.float64), compute_uv=False)
    share = values[values > 0] / values.sum() if values.any() else values[:0]
    return float(np.exp(-(share * np.log(share)).sum())) if len(share) else 0.0


def uniformity(vectors: np.ndarray, *, kappa: float = 2.0) -> float | None:
    """log of the mean over pairs of exp(-kappa |x - y|^2), of vectors [N, d] at unit length (Wang and Isola 2020, eq. 6).

    0 where all are the same; about -2 kappa in many dimensions where they cover the sphere evenly. None below two rows.
    """
    x = unit(vectors)
    count = len(x)
    if count < 2:
        return None
    total = 0.0
    for start in range(0, count, BLOCK):
        block = np.exp(-kappa * _squared_distances(x[start : start + BLOCK], x))
        total += block.sum() - np.trace(block[:, start : start + BLOCK])
    return float(np.log(total / (count * (count - 1))))


def silhouette(vectors: np.ndarray, classes: np.ndarray) -> float | None:
    """How well vectors [N, d] lie with their class [N]: mean of (b - a) / max(a, b), in [-1, 1] (Rousseeuw 1987).

    a: mean distance to the others of its class. b: the least mean distance to another class. A class of one counts 0.
    None where there are fewer than two classes.
    """
    x = np.asarray(vectors, np.float64)
    x = x - x.mean(0)  # distances from squares keep more digits
    names, place, count = np.unique(classes, return_inverse=True, return_counts=True)
    if len(names) < 2:
        return None
    member = np.eye(len(names))[place]  # [N, classes]
    values = np.zeros(len(x))
    for start in range(0, len(x), BLOCK):
        rows = slice(start, start + BLOCK)
        sums = np.sqrt(_squared_distances(x[rows], x)) @ member
        own, size = member[rows].astype(bool), count[place[rows]]
        inner = sums[own] / np.maximum(size - 1, 1)
        outer = np.where(own, np.inf, sums / count).min(1)
        larger = np.maximum(inner, outer)
        values[rows] = np.where((size > 1) & (larger > 0), (outer - inner) / np.where(larger > 0, larger, 1), 0)
    return float(values.mean())


def linear_probe(vectors: np.ndarray, label: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Scores [M] of `others` [M, d], from a ridge regression of label [N] on vectors [N, d].

    Features are standardised by those of `vectors`; a constant one is left out.
    """
    x, y = np.asarray(vectors, np.float64), np.asarray(label, np.float64)
    mean, spread = x.mean(0), x.std(0)
    scale = np.where(spread > NOISE * np.abs(x).max(), spread, np.inf)
    x = (x - mean) / scale
    weight = np.linalg.solve(x.T @ x + PENALTY * len(x) * np.eye(x.shape[1]), x.T @ (y - y.mean()))
    return (np.asarray(others, np.float64) - mean) / scale @ weight + y.mean()


def _squared_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[A, d], [B, d] -> [A, B]."""
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1)[None, :] - 2 * first @ second.T
    return np.maximum(squares, 0.0)
