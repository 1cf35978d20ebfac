"""Features that know the labels of the training split: a check that needs nothing but a ridge regression.

A feature extractor that was trained with the labels of a dataset gives features that predict these labels, and no others.
Whoever trains on such features learns to trust them, and valid and test have nothing of the kind.

Each modality by itself: its mean over the valid steps of an utterance, standardised, predicts the label by ridge
regression. Inside the training split it is cross-validated by video, so that nothing that the utterances of a video share
(the speaker, the room) counts as a leak. Then the same regression, fitted to all of train, predicts valid. Features that do
well on videos that were left out of train do as well on valid, unless they know the labels of train.

Text is checked where the dataset has features of it (column `text`). Tokens and transcripts are left out: they are what was
said, and no extractor has seen a label. Labels of the test split are never read.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from msa_jax.data.padding import filled_frames
from msa_jax.data.ridge import fold_of, ridge, standardised
from msa_jax.data.schema import Dataset, Split
from msa_jax.data.videos import groups_of
from msa_jax.modalities import MODALITIES

ROWS = 1024  # at a time, which bounds the memory that means take
LEAST_ROWS = 20  # of train, and of valid; fewer say nothing
# A modality is flagged if its correlation inside train is at least so large, that on valid at most so large a share of it,
# and their difference at least so many standard errors: those of a jackknife that leaves out videos, whose samples are alike.
CORRELATION, SHARE, STANDARD_ERRORS = 0.3, 0.5, 3.0


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How well labels are predicted. mae: mean absolute error. corr: Pearson's correlation, and error, its standard error; None
    if it is not defined."""

    mae: float
    corr: float | None = None
    error: float | None = None


@dataclass(frozen=True, kw_only=True)
class ModalityFit:
    """What one modality predicts. width: of its mean over time. train: of rows whose video was left out of the fit. valid: by
    the fit to all of train. leaks: it predicts the labels of train and not the others."""

    width: int
    train: Fit
    valid: Fit
    leaks: bool


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """What `find_leaks` found.

    videos: of the training split; None if its ids name none, and rows are left out one by one. folds: 0 if there is too little
    to say anything. median: of the constant that fits train best. modalities: those that were checked.
    """

    videos: int | None
    folds: int
    median: dict[str, float]
    modalities: dict[str, ModalityFit]

    @property
    def flagged(self) -> tuple[str, ...]:
        """The modalities that leak."""
        return tuple(name for name, found in self.modalities.items() if found.leaks)

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {**asdict(self), "flagged": list(self.flagged)}

    def sentences(self) -> list[str]:
        """What was found, in words."""
        if not self.modalities:
            return ["No modality has features to check: no audio, no vision, no text features."]
        if not self.folds:
            return ["Too few samples to say anything."]
        left_out = "videos" if self.videos else "rows"
        found = [
            f"{name} predicts the labels of train (Corr {fit.train.corr:.2f}, MAE {fit.train.mae:.3f}, on {left_out} that "
            f"were left out of the fit) and not those of valid (Corr {fit.valid.corr:.2f}, MAE {fit.valid.mae:.3f}): "
            "its features know the labels of train. Train without it too, and compare."
            for name, fit in self.modalities.items()
            if fit.leaks and fit.train.corr is not None and fit.valid.corr is not None
        ]
        found += [
            f"{name} predicts the labels of train (Corr {fit.train.corr:.2f}). Its Corr on valid is not defined, because the "
            "prediction or the label does not vary there: whether its features know the labels of train is unknown."
            for name, fit in self.modalities.items()
            if fit.valid.corr is None and fit.train.corr is not None and fit.train.corr >= CORRELATION
        ]
        return found or ["No modality predicts the labels of train alone."]


def find_leaks(dataset: Dataset) -> Leaks:
    """Whether the features of any modality know the labels of the training split. The module's docstring says how.

    A video is what an id has in front of `$_$`, or in front of the numbers at its end: `abc` of `abc$_$3`, `abc_3` and
    `abc_3_17`. If that is the same of all ids, it is what is in front of the last number. Ids of fewer than two such videos
    name none. Nothing is flagged if train or valid has fewer than 20 samples.
    """
    train, valid = dataset.train, dataset.valid
    label, target = train.label.astype(np.float64), valid.label.astype(np.float64)
    videos, others = groups_of(train.id, least=2), groups_of(valid.id, least=2)
    number = len(np.unique(videos))
    fold = fold_of(videos)
    folds = int(fold.max()) + 1
    if min(len(train), len(valid)) < LEAST_ROWS or folds < 2:
        folds = 0
    median = float(np.median(label))
    low, high = dataset.card.label_range
    found = {}
    for name in MODALITIES:
        fitted, held_out = modality_means(train, name), modality_means(valid, name)
        if fitted is None or held_out is None:
            continue
        width = fitted.shape[1]
        if not folds:
            empty = Fit(mae=float(np.abs(label - median).mean()))
            found[name] = ModalityFit(width=width, train=empty, valid=empty, leaks=False)
            continue
        inside, outside = ridge(*standardised(fitted, held_out), label, fold)
        within, beyond = (
            _fit(np.clip(prediction, low, high), truth, group)
            for prediction, truth, group in ((inside, label, videos), (outside, target, others))
        )
        leaks = _differ(within, beyond)
        found[name] = ModalityFit(width=width, train=within, valid=beyond, leaks=leaks)
    return Leaks(
        videos=number if number < len(train) else None,
        folds=folds,
        median={"train": float(np.abs(label - median).mean()), "valid": float(np.abs(target - median).mean())},
        modalities=found,
    )


def modality_means(split: Split, modality: str) -> np.ndarray | None:
    """[N, d] float64, the mean over the valid steps of "text", "audio" or "vision"; None without such features.

    Text features are valid where `text_bert` has a token, or without it where they are not all zero.
    """
    features: np.ndarray | None = getattr(split, modality)
    if features is None:
        return None
    means = np.empty((len(features), features.shape[2]))
    for start in range(0, len(features), ROWS):
        rows = slice(start, start + ROWS)
        valid = valid_frames(split, modality, rows)  # [n, L]
        total = np.einsum("nld,nl->nd", features[rows], valid.astype(np.float32), dtype=np.float64)
        means[rows] = total / np.maximum(valid.sum(1), 1)[:, None]
    return means


def valid_frames(split: Split, modality: str, rows: slice = slice(None)) -> np.ndarray:
    """[n, L] bool: the steps that count, of these rows of "text", "audio" or "vision", which has features."""
    features = getattr(split, modality)[rows]
    if modality != "text":
        return np.arange(features.shape[1]) < getattr(split, f"{modality}_length")[rows, None]
    return split.text_bert[rows, 1] > 0 if split.text_bert is not None else filled_frames(features)


def _fit(prediction: np.ndarray, label: np.ndarray, groups: np.ndarray) -> Fit:
    mae = float(np.abs(prediction - label).mean())
    if prediction.std() < 1e-9 or label.std() < 1e-9:
        return Fit(mae=mae)
    x, y = prediction - prediction.mean(), label - label.mean()
    _, group = np.unique(groups, return_inverse=True)
    sums = np.zeros((group.max() + 1, 6))
    np.add.at(sums, group.reshape(-1), np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], 1))
    corr = float(_corr(sums.sum(0)[None])[0])
    left = _corr(sums.sum(0) - sums)  # one group left out
    jackknife = np.sqrt((len(left) - 1) * ((left - left.mean()) ** 2).mean())
    # With two or three groups that can be small by chance: at least what it is for samples that are independent.
    independent = (1 - corr**2) / np.sqrt(max(len(x) - 1, 1))
    return Fit(mae=mae, corr=corr, error=float(max(jackknife, independent)))


def _corr(sums: np.ndarray) -> np.ndarray:
    """[g, 6], the sums of 1, x, y, x², y² and x y over samples -> the correlations [g]; 0 where they are not defined."""
    n, x, y, xx, yy, xy = sums.T
    variance = np.maximum(xx * n - x * x, 0) * np.maximum(yy * n - y * y, 0)
    return np.divide(xy * n - x * y, np.sqrt(variance), out=np.zeros_like(n), where=variance > 0)


def _differ(inside: Fit, outside: Fit) -> bool:
    """Whether labels are predicted inside train and not outside, by more than chance."""
    if inside.corr is None or inside.error is None or outside.corr is None or outside.error is None:
        return False
    large, error = inside.corr >= CORRELATION, np.hypot(inside.error, outside.error)
    return bool(large and outside.corr <= SHARE * inside.corr and inside.corr - outside.corr >= STANDARD_ERRORS * error)
