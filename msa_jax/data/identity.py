"""What a dataset is: name, language, label range and metrics, as somebody says, as a corpus has them, or guessed."""

import math
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from msa_jax.errors import DataWarning, InputError
from msa_jax.paths import shown


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """What a corpus has in common in all its files. `sizes`: feature sizes (audio, vision) of the files we know."""

    language: str
    label_range: tuple[float, float]
    sizes: tuple[tuple[int, int], ...]
    audio: str
    vision: str


CORPORA: Mapping[str, Corpus] = {
    "mosi": Corpus(
        language="en", label_range=(-3.0, 3.0), sizes=((5, 20),), audio="COVAREP, selected", vision="Facet, selected"
    ),
    "mosei": Corpus(language="en", label_range=(-3.0, 3.0), sizes=((74, 35),), audio="COVAREP", vision="Facet"),
    "sims": Corpus(
        language="zh",
        label_range=(-1.0, 1.0),
        sizes=((33, 709), (25, 177)),
        audio="zero-crossing rate, MFCC, CQT chroma",
        vision="OpenFace 2",
    ),
}

_TAKEN = ("mosi", "mosei", "sims", "mmmo", "synthetic")  # there are presets for datasets of these names
_HAN = re.compile(r"[\u3400-\u9fff]")
_LETTER = re.compile(r"[^\W\d_]")


def said(**words: Any) -> dict[str, Any]:
    """Those of name, language, label_range and metrics that are given, the label range as a tuple of floats."""
    given = {name: value for name, value in words.items() if value is not None}
    if "label_range" in given:
        try:
            low, high = (float(end) for end in given["label_range"])
        except (TypeError, ValueError):
            raise InputError(f"label_range is {given['label_range']!r}; expected two numbers, low < high") from None
        given["label_range"] = (low, high)
    return given


def corpus_said(words: Mapping[str, Any]) -> str | None:
    """The corpus that the given name is, in whatever case it is written."""
    name = str(words.get("name", "")).lower()
    return name if name in CORPORA else None


def entries_of(corpus: str) -> dict[str, Any]:
    """Name, language, label range and metrics of a corpus, as a card has them."""
    facts = CORPORA[corpus]
    return {"name": corpus, "language": facts.language, "label_range": facts.label_range, "metrics": corpus}


def with_corpus(words: Mapping[str, Any]) -> dict[str, Any]:
    """What was said, and if the name is that of a corpus, what else the corpus has."""
    corpus = corpus_said(words)
    return dict(words) if corpus is None else {**entries_of(corpus), **words, "name": corpus}


def guessed(
    words: Mapping[str, Any],
    *,
    source: str,
    stem: str,
    labels: Sequence[np.ndarray],
    texts: Iterable[str],
    resembles: tuple[str, str] | None = None,
    remark: str = "",
) -> dict[str, Any]:
    """Entries of a card: those that were said, and for the others a guess, which is one `DataWarning`.

    A guess never names a corpus: the name is that of the file, because presets and the results of papers go by names.

    Args:
      words: what was said (`said`).
      source, stem: the file, and its name without suffix.
      labels: arrays of numbers; the smallest usual range that holds them is taken.
      texts: some of the transcripts.
      resembles: a corpus, and why it is thought of; what it has is taken if the labels lie in its range.
      remark: begins the warning.
    """
    everything = np.concatenate([np.asarray(array, np.float64).ravel() for array in labels] or [np.zeros(0)])
    finite = everything[np.isfinite(everything)]
    why, language, label_range, metrics = "labels and texts", _language(texts), _range(finite), "regression"
    if resembles is not None:
        corpus, reason = resembles
        facts = CORPORA[corpus]
        if _fit(finite, facts.label_range) and words.get("label_range", facts.label_range) == facts.label_range:
            why, language, label_range, metrics = reason, facts.language, facts.label_range, corpus
    meant = CORPORA.get(str(words.get("metrics")))
    if meant is not None and _fit(finite, meant.label_range):  # the range for which these metrics are made
        label_range = meant.label_range
    guess = {"language": language, "label_range": label_range, "metrics": metrics}
    entries = {"name": _own_name(stem), **guess, **words}
    unsaid = [f"{key} {_shown(guess[key])}" for key in guess if key not in words]
    if unsaid or remark:
        warnings.warn(
            f"{source}: {remark}guessed from {why}: {', '.join(unsaid) or 'nothing'}; named {entries['name']!r}. "
            "State them yourself with `msa-jax data import`: --name, --language, --label-range, --metrics",
            DataWarning,
            stacklevel=4,
        )
    return entries


def _fit(labels: np.ndarray, label_range: tuple[float, float]) -> bool:
    return bool(((labels >= label_range[0]) & (labels <= label_range[1])).all())


def _range(labels: np.ndarray) -> tuple[float, float]:
    """The smallest range of the usual form that holds the labels: from a whole number up, or the same on both sides of 0."""
    if not len(labels):
        return (-1.0, 1.0)
    low, high = float(labels.min()), float(labels.max())
    if low >= 0:
        return float(math.floor(low)), float(max(math.ceil(high), math.floor(low) + 1))
    most = max(-low, high)
    bound = 1.0 if most <= 1 else 3.0 if most <= 3 else float(math.ceil(most))
    return -bound, bound


def _language(texts: Iterable[str]) -> str:
    sample = "".join(text for text, _ in zip(texts, range(200), strict=False))
    return "zh" if 2 * len(_HAN.findall(sample)) > len(_LETTER.findall(sample)) else "en"


def _own_name(stem: str) -> str:
    name = re.sub(r"[^\w.-]+", "_", shown(stem)).strip("._-") or "dataset"
    return f"own_{name}" if any(taken in name.lower() for taken in _TAKEN) else name


def _shown(value: Any) -> str:
    return f"{value[0]:g} to {value[1]:g}" if isinstance(value, tuple) else str(value)
