"""Writes feature files as MMSA's are, quirks and all, so that nothing has to be downloaded to test their reader."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

# (text steps, audio steps, audio size, vision steps, vision size, highest label); the real files have longer sequences.
SHAPES = {"mosi": (20, 30, 5, 40, 20, 3.0), "mosei": (20, 40, 74, 40, 35, 3.0), "sims": (16, 32, 33, 12, 709, 1.0)}
_WORDS = (
    "THE",
    "MOVIE",
    "WAS",
    "NOT",
    "REALLY",
    "GOOD",
    "BUT",
    "I",
    "LIKED",
    "ITS",
    "MUSIC",
    "AND",
    "THAT",
    "ACTOR",
    "VERY",
    "MUCH",
    "UM",
)
_HANZI = "这部电影真的不太好看但是音乐还可以我很喜欢"


def mmsa_content(
    *,
    kind: str = "mosi",
    aligned: bool = False,
    sizes: tuple[int, int, int] = (24, 8, 12),
    seed: int = 0,
    minus_inf: bool = True,
    zero_lengths: bool = False,
    object_strings: bool = False,
    text_bert: bool = True,
    float_text_bert: bool = False,
) -> dict[str, Any]:
    """The content of a feature file: {"train", "valid", "test"}, each a dict of columns.

    Always there: float64 audio and vision padded with zeros at the back, a frame of zeros inside every third sequence,
    ids `video$_$clip` (not sorted), `text` that is not zero at padding, annotations and classes. Unaligned files record
    lengths, as arrays (mosi, mosei) or lists (sims); sims has unimodal labels.

    Args:
      minus_inf: -inf in the first audio frame of the first row of each split (a reader has to warn of it).
      zero_lengths: the last row of each split records length 0.
      object_strings: raw_text, id and annotations are object arrays, not lists.
      text_bert: False leaves the column out.
      float_text_bert: as float64, as MMSA-FET writes it.
    """
    rng = np.random.default_rng(seed)
    text_steps, audio_steps, audio_size, vision_steps, vision_size, high = SHAPES[kind]
    if aligned:
        audio_steps = vision_steps = text_steps
    splits: dict[str, Any] = {}
    video = 0
    for name, n in zip(("train", "valid", "test"), sizes, strict=True):
        words = rng.integers(1, text_steps - 2, n)  # [CLS] and [SEP] stand around them
        words[:2] = text_steps - 2, 1
        tokens = np.zeros((n, 3, text_steps), np.int64)
        for row, count in enumerate(words):
            tokens[row, 0, : count + 2] = [101, *rng.integers(1000, 20000, count), 102]
            tokens[row, 1, : count + 2] = 1
        sentences = [
            "".join(rng.choice(list(_HANZI), count)) if kind == "sims" else " ".join(rng.choice(_WORDS, count))
            for count in words
        ]
        ids = []
        while len(ids) < n:
            clips = rng.permutation(rng.integers(2, 6))
            pattern = "video_{:04d}$_${:04d}" if kind == "sims" else "Vid{:04d}-_x$_${}"
            ids += [pattern.format(video, clip + 1) for clip in clips]
            video += 1
        split: dict[str, Any] = {
            "raw_text": sentences,
            "id": ids[:n],
            "text": rng.normal(size=(n, text_steps, 768)).astype(np.float32),
        }
        if text_bert:
            split["text_bert"] = tokens.astype(np.float64) if float_text_bert else tokens
        for modality, steps, size in (("audio", audio_steps, audio_size), ("vision", vision_steps, vision_size)):
            length = words + 2 if aligned else np.append(steps, rng.integers(3, steps + 1, n - 1))
            split[modality] = _sequences(rng, length, steps, size, zero_ends=aligned)
            if not aligned:
                if zero_lengths:
                    length[-1] = 0
                split[f"{modality}_lengths"] = length.tolist() if kind == "sims" else length
        if minus_inf:
            split["audio"][0, 1, :2] = -np.inf
        label = np.round(rng.uniform(-high, high, n) * 5) / 5
        label[:3] = high, -high, 0.0
        split["regression_labels"] = label.astype(np.float32)
        split["classification_labels"] = np.sign(label) + 1
        split["annotations"] = [("Negative", "Neutral", "Positive")[int(np.sign(value)) + 1] for value in label]
        if kind == "sims":
            for letter in "TAV":
                unimodal = np.round(np.clip(label + rng.normal(0, 0.3, n), -1, 1) * 5) / 5
                split[f"regression_labels_{letter}"] = unimodal
                split[f"classification_labels_{letter}"] = np.sign(unimodal) + 1
        if object_strings:
            for key in ("raw_text", "id", "annotations"):
                split[key] = np.array(split[key], dtype=object)
        splits[name] = split
    return splits


def _sequences(rng: np.random.Generator, length: np.ndarray, steps: int, size: int, *, zero_ends: bool) -> np.ndarray:
    sequences = rng.normal(size=(len(length), steps, size))
    sequences[np.arange(steps) >= length[:, None]] = 0.0
    sequences[2::3, 1] = 0.0  # a lost face, a pause
    if zero_ends:  # aligned files have zeros at [CLS] and [SEP]
        sequences[:, 0] = 0.0
        sequences[np.arange(len(length)), length - 1] = 0.0
    return sequences


def write_mmsa(path: str | Path, *, protocol: int = 4, **options: Any) -> Path:
    """Writes `mmsa_content(**options)` as a pickle and returns its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(mmsa_content(**options), protocol=protocol))
    return path
