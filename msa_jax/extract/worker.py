"""A process that extracts clips: a job on each line of standard input, its result on a line of standard output, both JSON.

FFmpeg and LiteRT read what strangers made. If one of them falls over a file, it takes this process with it and nothing else.
"""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax.errors import InputError, one_line
from msa_jax.extract.clip import extract_clip
from msa_jax.extract.face import FaceLandmarker
from msa_jax.extract.recipe import Recipe
from msa_jax.whole_files import replacing

_landmarkers: dict[str, FaceLandmarker] = {}


def run(job: Mapping[str, Any]) -> dict[str, Any]:
    """Extracts one clip into the cache, or finds it there.

    Args:
      job: `path` or None, `tables`, `recipe`, `face_model` or None, `asr` or None, `word_times`, and the folder `cache`.

    Returns:
      `file` (an .npz with audio and vision), `facts`, and with `asr` the `pieces` that were said; or `error`, why the clip
      cannot be read; or `stop`, why no clip can be kept.
    """
    try:
        recipe = Recipe.from_json(job["recipe"], "job")
        inputs = [Path(one) for one in (job["path"], *job["tables"].values()) if one is not None]
        file = Path(job["cache"]) / recipe.key() / f"{_digest(inputs, job['asr'], job['word_times'])}.npz"
        held = _held(file)
        if held is None:
            _extract(job, recipe, file)
            held = _held(file)
        return {"error": "what was extracted cannot be read again"} if held is None else {"file": str(file), **held}
    except InputError as error:
        return {"error": one_line(error)}
    except OSError as error:
        return {"stop": f"{error.filename or job['cache']}: {error.strerror or error}"}
    except Exception as error:  # a file can break a decoder in any way, and the others are still to be read
        return {"error": f"{type(error).__name__}: {one_line(error)}"}


def _extract(job: Mapping[str, Any], recipe: Recipe, file: Path) -> None:
    path = None if job["path"] is None else Path(job["path"])
    tables = {name: Path(one) for name, one in job["tables"].items()}
    clip = extract_clip(path, recipe, tables=tables, landmarker=lambda: _landmarker(job["face_model"]))
    held: dict[str, Any] = {"facts": dict(clip.facts)}
    if job["asr"] is not None:
        from msa_jax.extract.asr import transcribe

        named = {"most_seconds": recipe.most_seconds, "word_times": job["word_times"]}
        held["pieces"] = transcribe(path, Path(job["asr"]), **named)
    arrays = {name: value for name, value in (("audio", clip.audio), ("vision", clip.vision)) if value is not None}
    with replacing(file) as whole:
        np.savez_compressed(whole, held=np.array(json.dumps(held)), **arrays)


def _held(file: Path) -> dict[str, Any] | None:
    """What is kept of a clip beside its arrays; None where nothing whole is kept."""
    try:
        with open(file, "rb") as raw, np.load(raw, allow_pickle=False) as arrays:
            for name in arrays.files:  # reads all of it, so that damage is found
                arrays[name]
            return json.loads(str(arrays["held"]))
    except FileNotFoundError:
        return None
    except Exception:  # a damaged archive can fail in any way, and is made again
        return None


def _digest(paths: list[Path], asr: str | None, word_times: bool) -> str:
    """Of the contents of files, and of the recogniser's model and what it is asked for."""
    digest = hashlib.sha256(b"word times" if asr is not None and word_times else b"")
    models = [] if asr is None else [Path(asr) / "model.bin"]
    for path in (*paths, *models):
        try:
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    return digest.hexdigest()


def _landmarker(model: str) -> FaceLandmarker:
    if model not in _landmarkers:
        _landmarkers[model] = FaceLandmarker(Path(model))
    return _landmarkers[model]


def main() -> None:
    """Answers jobs until standard input ends. Libraries that print do so into nothing."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    for line in sys.stdin:
        answers.write(json.dumps(run(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
