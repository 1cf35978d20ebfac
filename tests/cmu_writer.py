"""Writes feature files as MulT's are, quirks and all, so that nothing has to be downloaded to test their reader."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

# (words, width of a word), (audio steps, size), (vision steps, size); the real files have 50 words, 375 and 500 steps.
SHAPES = {"mosi": ((9, 300), (14, 5), (17, 20)), "mosei": ((9, 300), (14, 74), (17, 35))}
_FEATURES = ("text", "audio", "vision")


def cmu_content(
    *,
    kind: str = "mosi",
    aligned: bool = True,
    sizes: tuple[int, int, int] = (12, 4, 6),
    seed: int = 0,
    ids: str = "clip",
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of a feature file, and what is in it: {split: {modality: a list of [steps, size] arrays without padding}}.

    Always there: float32 sequences padded with zeros in front, labels [N, 1, 1], a word in the middle and one at the
    beginning that GloVe does not know (zeros), silence at the first word of every third aligned clip, -inf and NaN in audio.

    Args:
      ids: "clip": [N, 3] bytes, video_clip, start and end; "video": the same without clips; "one": [N] bytes; "none".
    """
    rng = np.random.default_rng(seed)
    content: dict[str, Any] = {}
    truth: dict[str, Any] = {}
    for split, n in zip(("train", "valid", "test"), sizes, strict=True):
        words = rng.integers(3, SHAPES[kind][0][0] + 1, n)
        words[0] = SHAPES[kind][0][0]  # one that fills its row
        truth[split] = {}
        content[split] = {}
        for name, (steps, size) in zip(_FEATURES, SHAPES[kind], strict=True):
            most = SHAPES[kind][0][0] if aligned else steps
            lengths = words if aligned or name == "text" else rng.integers(2, steps + 1, n)
            rows = [rng.normal(size=(length, size)).astype(np.float32) for length in lengths]
            for row in range(n):
                if name == "text":
                    rows[row][1] = 0
                elif aligned and row % 3 == 0:
                    rows[row][0] = 0
            if aligned and name == "text":
                rows[1][0] = 0  # its first word is known by what is heard
            if name == "audio":
                rows[2][-1, 0], rows[2][-1, 1] = -np.inf, np.nan
            padded = np.zeros((n, most, size), np.float32)
            for row, frames in enumerate(rows):
                padded[row, most - len(frames) :] = frames
            truth[split][name], content[split][name] = rows, padded
        label = np.round(rng.uniform(-3, 3, n), 1).astype(np.float32)
        truth[split]["label"] = label
        content[split]["labels"] = label[:, None, None]
        clips = [(f"{split}-v{row // 3}", row % 3) for row in range(n)]
        times = [(f"{row}.5", f"{row + 2}.25") for row in range(n)]
        if ids in ("clip", "video"):
            names = [f"{video}_{clip}" if ids == "clip" else video for video, clip in clips]
            content[split]["id"] = np.array([(name, *time) for name, time in zip(names, times, strict=True)], "S")
        elif ids == "one":
            content[split]["id"] = np.array([f"{video}_{clip}" for video, clip in clips], "S")
    return content, truth


def write_cmu(path: Path, **options: Any) -> dict[str, Any]:
    """Writes such a file and returns what is in it."""
    content, truth = cmu_content(**options)
    path.write_bytes(pickle.dumps(content, protocol=2))
    return truth
