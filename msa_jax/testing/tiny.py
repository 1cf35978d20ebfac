"""A dataset so small that the whole engine runs on it in a second."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from msa_jax.data.schema import Card, Dataset, validate
from msa_jax.modalities import MODALITIES, UNIMODAL_LABELS

WORDS = ("bad", "dull", "fine", "good", "great", "film", "plot", "actor", "really", "not")


def tiny_dataset(
    seed: int = 0,
    *,
    rows: tuple[int, int, int] = (24, 8, 8),
    modalities: Iterable[str] = MODALITIES,
    text: str = "raw_text",
    label_range: tuple[float, float] = (-3.0, 3.0),
    metrics: str = "mosi",
    human_labels: bool = False,
    aligned: bool = False,
    name: str = "tiny",
) -> Dataset:
    """Utterances of 1 to 6 words, audio [N, 6, 3] and vision [N, 5, 4], all of which follow the label.

    Args:
      seed: of everything drawn.
      rows: samples of train, valid and test.
      modalities: those there are.
      text: the column that carries it: "raw_text", "text_bert" (ids below 40) or "text" (features [N, 7, 8]).
      label_range, metrics, name: of the card.
      human_labels: add label_t, label_a and label_v.
      aligned: as many frames as tokens, at most 8; for text "text_bert" or "text".
    """
    low, high = label_range
    splits = {}
    for number, (split, count) in enumerate(zip(("train", "valid", "test"), rows, strict=True)):
        rng = np.random.default_rng([seed, number])
        label = np.linspace(low, high, count).astype(np.float32) if count > 1 else np.array([high], np.float32)
        label = rng.permutation(label)
        columns: dict[str, Any] = {"id": np.array([f"{split}{row}" for row in range(count)]), "label": label}
        signal = (label - (low + high) / 2) / (high - low)
        tokens = None
        if "text" in modalities:
            columns |= _text(rng, text, signal)
            tokens = _tokens(columns)
        for modality, steps, width in (("audio", 6, 3), ("vision", 5, 4)):
            if modality in modalities:
                if aligned:
                    assert tokens is not None, "aligned data need text_bert or text"
                    steps, length = 8, tokens.astype(np.int32)
                else:
                    length = rng.integers(1, steps + 1, count).astype(np.int32)
                    length[0] = steps  # every split has the same longest sequence
                frames = rng.normal(0, 0.3, (count, steps, width)) + signal[:, None, None]
                columns[modality] = (frames * (np.arange(steps) < length[:, None])[..., None]).astype(np.float32)
                columns[f"{modality}_length"] = length
        if human_labels:
            for column in UNIMODAL_LABELS:
                columns[column] = np.clip(label + rng.normal(0, 0.3, count), low, high).astype(np.float32)
        splits[split] = columns
    card = Card(name=name, metrics=metrics, label_range=label_range)  # pyright: ignore[reportArgumentType]
    return validate(card, splits, source=name)


def _tokens(columns: dict[str, Any]) -> np.ndarray | None:
    """[N], how many tokens a text has; None for raw text."""
    if "text_bert" in columns:
        return columns["text_bert"][:, 1].sum(1)
    return columns["text"].any(-1).sum(1) if "text" in columns else None


def _text(rng: np.random.Generator, kind: str, signal: np.ndarray) -> dict[str, np.ndarray]:
    count = len(signal)
    length = rng.integers(1, 7, count)
    length[0] = 6
    feeling = np.clip(((signal + 0.5) * 5).astype(int), 0, 4)
    words = [[int(feeling[row]), *rng.integers(5, 10, length[row] - 1)] for row in range(count)]
    if kind == "raw_text":
        return {"raw_text": np.array([" ".join(WORDS[word] for word in sentence) for sentence in words])}
    if kind == "text_bert":
        array = np.zeros((count, 3, 8), np.int32)
        for row, sentence in enumerate(words):
            ids = [2, *(word + 10 for word in sentence), 3]
            array[row, 0, : len(ids)], array[row, 1, : len(ids)] = ids, 1
        return {"text_bert": array}
    features = rng.normal(0, 0.3, (count, 7, 8)) + signal[:, None, None]
    return {"text": (features * (np.arange(7) < (length + 1)[:, None])[..., None]).astype(np.float32)}
