"""Every contrastive loss in one form, `(first [B, d], second [B, d], classes [B], temperature, where)`, and the same
losses once more in plain loops, float64, straight from the equations: one dot product and one exponential at a time."""

import math

import numpy as np

from msa_jax import losses

KAPPA = 1.5


def _info_nce(denominator):
    def loss(first, second, classes, temperature, where=None):
        return losses.info_nce(first, second, temperature=temperature, denominator=denominator, where=where)

    return loss


def _symmetric(first, second, classes, temperature, where=None):
    return losses.symmetric_info_nce(first, second, temperature=temperature, where=where)


def _alignment(power):
    def loss(first, second, classes, temperature, where=None):
        return losses.alignment(first, second, power=power, where=where)

    return loss


def _uniformity(kind):
    def loss(first, second, classes, temperature, where=None):
        return losses.uniformity(first, second, kappa=KAPPA, kind=kind, where=where)

    return loss


def _supervised(first, second, classes, temperature, where=None):
    return losses.supervised_contrastive(first, classes, temperature=temperature, where=where)


PER_SAMPLE = {
    "info_nce queries": _info_nce("queries"),
    "info_nce literal": _info_nce("literal"),
    "info_nce keys": _info_nce("keys"),
    "symmetric_info_nce": _symmetric,
    "alignment 1": _alignment(1),
    "alignment 2": _alignment(2.0),
    "supervised": _supervised,
}
OF_BATCH = {
    "uniformity pairwise": _uniformity("pairwise"),
    "uniformity literal": _uniformity("literal"),
    "uniformity within": _uniformity("within"),
}
LOSSES = PER_SAMPLE | OF_BATCH


def unit(x):
    return [[float(v) / math.sqrt(sum(float(w) ** 2 for w in row)) for v in row] for row in x]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def _loop_info_nce(query, key, t, denominator):
    query, key, out = unit(query), unit(key), []
    for i, q in enumerate(query):
        total = 0.0
        if denominator == "queries":
            total += math.exp(dot(q, key[i]) / t)
        for j in range(len(query)):
            if denominator == "queries" and j != i:
                total += math.exp(dot(q, query[j]) / t)
            if denominator == "literal":
                total += math.exp(dot(q, query[j]) / t)
            if denominator == "keys":
                total += math.exp(dot(q, key[j]) / t)
        out.append(-math.log(math.exp(dot(q, key[i]) / t) / total))
    return out


def _loop_symmetric(first, second, t):
    forth, back = _loop_info_nce(first, second, t, "keys"), _loop_info_nce(second, first, t, "keys")
    return [(a + b) / 2 for a, b in zip(forth, back, strict=True)]


def _loop_alignment(first, second, power):
    pairs = zip(unit(first), unit(second), strict=True)
    return [sum((x - y) ** 2 for x, y in zip(p, g, strict=True)) ** (power / 2) for p, g in pairs]


def _loop_uniformity(first, second, pairs):
    first, second, potentials = unit(first), unit(second), []
    for i, p in enumerate(first):
        for j, g in enumerate(second):
            if (i == j) == (pairs == "same"):
                potentials.append(math.exp(-KAPPA * sum((x - y) ** 2 for x, y in zip(p, g, strict=True))))
    return math.log(sum(potentials) / len(potentials))


def _loop_supervised(features, classes, t):
    features, out = unit(features), []
    for i, q in enumerate(features):
        same = sum(
            math.exp(dot(q, features[j]) / t) for j in range(len(features)) if j != i and classes[j] == classes[i]
        )
        every = sum(math.exp(dot(q, features[j]) / t) for j in range(len(features)) if j != i)
        out.append(-math.log(same / every) if same else 0.0)
    return out


_LOOPS = {
    "info_nce queries": lambda p, g, c, t: _loop_info_nce(p, g, t, "queries"),
    "info_nce literal": lambda p, g, c, t: _loop_info_nce(p, g, t, "literal"),
    "info_nce keys": lambda p, g, c, t: _loop_info_nce(p, g, t, "keys"),
    "symmetric_info_nce": lambda p, g, c, t: _loop_symmetric(p, g, t),
    "alignment 1": lambda p, g, c, t: _loop_alignment(p, g, 1),
    "alignment 2": lambda p, g, c, t: _loop_alignment(p, g, 2),
    "supervised": lambda p, g, c, t: _loop_supervised(p, c, t),
    "uniformity pairwise": lambda p, g, c, t: _loop_uniformity(p, g, "different"),
    "uniformity literal": lambda p, g, c, t: _loop_uniformity(p, g, "same"),
    "uniformity within": lambda p, g, c, t: (
        (_loop_uniformity(p, p, "different") + _loop_uniformity(g, g, "different")) / 2
    ),
}


def by_loops(name, first, second, classes, temperature):
    """The loss of that name, [B] or a scalar, float64."""
    return np.array(_LOOPS[name](np.asarray(first), np.asarray(second), np.asarray(classes), temperature), np.float64)


def sample(rows, width=8, seed=0):
    """Vectors of any length, second near first, and three classes of which the last has one row only."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(rows, width)) * rng.uniform(0.1, 10, size=(rows, 1))
    second = first + 0.8 * rng.normal(size=(rows, width))
    classes = np.array([i % 2 for i in range(rows - 1)] + [2], np.int32)
    return first.astype(np.float32), second.astype(np.float32), classes
