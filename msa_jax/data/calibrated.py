"""Unimodal labels from multimodal ones, calibrated by how well one modality is measured. This rule is ours; no paper has it.

The question is that of Self-MM and SUGRM: y is the human label of an utterance, u_s what a rater would say who has modality s
alone; u_s is not known. Their rules compare features of the network with class centres. This one is a regression, whose error
is known, and it says nothing where a modality says nothing.

Let ŷ be what a ridge regression on modality s predicts for y, for utterances whose video was left out of the fit. Assume, all
standardised:

    (1) ŷ says about y only what it says about u_s:      Corr(ŷ, y) = Corr(ŷ, u_s) Corr(u_s, y), or r = q ρ;
    (2) u_s is spread over the scale as y is, and all three are jointly normal.

r can be computed. For q, each utterance is cut into its first and its second half: predictions from the one and from the other
measure the same u_s by different frames. If their correlation is c, that of the whole with u_s is, by the formula of Spearman
and Brown,

    q² = 2c / (1 + c),    and then ρ = r / q.

With q and ρ the best guess of u_s from y and ŷ is the posterior mean

    u = y ρ (1 - q²) / (1 - r²) + ŷ q (1 - ρ²) / (1 - r²).

A modality that is measured perfectly (q = 1) has u = ŷ, one that decides the label alone (ρ = 1) has u = y. Where q is not
found to be larger than r, there is no sign that u_s is anything else than y, and u = y: halves that do not agree, utterances of
one frame, noise.

What is regressed on: of audio, vision and text features the mean, standard deviation, lowest and highest value over the valid
frames; of raw text its words, counted in buckets by a hash, or its characters where nothing sets words apart.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from msa_jax.data.leaks import valid_frames
from msa_jax.data.ridge import fold_of, ridge, standardised
from msa_jax.data.schema import Dataset, Split
from msa_jax.data.videos import groups_of
from msa_jax.data.words import words_of
from msa_jax.modalities import LETTER, MODALITIES

BUCKETS = 512  # of words
LEAST = 0.05  # a correlation below it is taken for none
Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibrated:
    """The labels of one modality.

    labels: [N] float32, in the label range. r: Corr(ŷ, y). q: of ŷ with the unimodal label. rho: of that with y; q and rho are
    estimates, and None where the labels are y itself.
    """

    labels: np.ndarray
    r: float
    q: float | None = None
    rho: float | None = None


def calibrated_labels(split: Split, label_range: Range, language: str = "en") -> dict[str, Calibrated]:
    """The labels of each modality that there are features or words of, {"text" | "audio" | "vision": ...}.

    Args:
      split: the training split, with labels. If its ids are all VIDEO$_$CLIP of one video, no other is left to learn from,
        and the labels stay. Ids without `$_$` and with one beginning, such as train_1 and train_2, name no video: each of their
        samples is then one of its own, even if in truth all are from one.
      label_range: lowest and highest label; no label leaves it.
      language: of the texts.
    """
    label, fold = split.label.astype(np.float64), fold_of(groups_of(split.id))
    measured = {name: _measured(split, name, language) for name in MODALITIES}
    return {
        name: _calibrated(*parts, label, fold, label_range) for name, parts in measured.items() if parts is not None
    }


def with_calibrated_labels(dataset: Dataset) -> Dataset:
    """The dataset whose training split has calibrated `label_t`, `label_a` and `label_v`, in place of any it has."""
    found = calibrated_labels(dataset.train, dataset.card.label_range, dataset.card.language)
    columns = {f"label_{LETTER[name]}": one.labels for name, one in found.items()}
    return replace(dataset, train=replace(dataset.train, **columns))


def _calibrated(
    whole: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    label: np.ndarray,
    fold: np.ndarray,
    label_range: Range,
) -> Calibrated:
    mean, scale = label.mean(), label.std()
    unchanged = label.astype(np.float32)
    if fold.max() < 1 or scale == 0:
        return Calibrated(labels=unchanged, r=0.0)
    predicted, one, other = (_predicted(x, label, fold) for x in (whole, first, second))
    r, between = _corr(predicted, label), _corr(one, other)
    q = np.sqrt(2 * between / (1 + between)) if between > 0 else 0.0
    if r < LEAST or q <= r:
        return Calibrated(labels=unchanged, r=r)
    rho = r / q
    wanted = rho * (1 - q**2) * (label - mean) / scale + q * (1 - rho**2) * _standard(predicted)
    labels = mean + scale * wanted / (1 - r**2)
    return Calibrated(labels=np.clip(labels, *label_range).astype(np.float32), r=r, q=float(q), rho=float(rho))


def _predicted(features: np.ndarray, label: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """[N]: of rows whose fold was left out of the regression."""
    x, _ = standardised(features, features[:1])
    return ridge(x, x[:1], label, fold)[0]


def _standard(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / x.std()


def _corr(x: np.ndarray, y: np.ndarray) -> float:
    """0 where one of them does not vary."""
    return float((_standard(x) * _standard(y)).mean()) if x.std() > 1e-9 and y.std() > 1e-9 else 0.0


def _measured(split: Split, name: str, language: str) -> list[np.ndarray] | None:
    """[N, d] float64 of whole utterances, of first and of second halves; None where there is nothing to measure."""
    features = getattr(split, name)
    if features is not None:
        length = valid_frames(split, name).sum(1)
        return [
            np.stack([_statistics(frames[part(int(n))]) for frames, n in zip(features, length, strict=True)])
            for part in _PARTS
        ]
    if name != "text" or split.raw_text is None:
        return None
    return [_words(split.raw_text, part, language) for part in _PARTS]


_PARTS: tuple[Callable[[int], slice], ...] = (
    slice,
    lambda length: slice(length // 2),
    lambda length: slice(length // 2, length),
)


def _statistics(frames: np.ndarray) -> np.ndarray:
    """[L, d] -> [4 d]; zeros without frames."""
    x = frames.astype(np.float64) if len(frames) else np.zeros((1, frames.shape[1]))
    return np.concatenate([x.mean(0), x.std(0), x.min(0), x.max(0)])


def _words(texts: np.ndarray, part: Callable[[int], slice], language: str) -> np.ndarray:
    """[N, BUCKETS]: how often each bucket's words stand in a text."""
    counts = np.zeros((len(texts), BUCKETS))
    for row, text in enumerate(texts.tolist()):
        words = words_of(text.lower(), language)
        for word in words[part(len(words))]:
            counts[row, zlib.crc32(word.encode("utf-8", "surrogatepass")) % BUCKETS] += 1
    return counts
