"""The scores of one clip or one text, with all that a page shows beside them, as plain data."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache as cached
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax.app.media_views import face_view, wave_form
from msa_jax.errors import DataWarning, InputError
from msa_jax.extract import transcripts
from msa_jax.extract.clips import SERVES, Tools
from msa_jax.extract.face import FaceLandmarker
from msa_jax.extract.face_model import find_face_model
from msa_jax.extract.recipe import Recipe
from msa_jax.train.clips import ClipPrediction, predictions_of, read_clips, samples_of
from msa_jax.train.predictor import Predictor

MOST_PARTS = 120  # of a clip, in the course of its scores
LEAST_STEP = 0.05  # seconds
LONGEST_TEXT = 5000  # characters


def score_text(predictor: Predictor, text: str) -> dict[str, Any]:
    """The scores of a text alone: what the experiment was trained on besides is missing.

    Returns:
      {"score", "heads": {name: score}, "runs": {seed: score}, "text", "notes": [...]}

    Raises:
      InputError: no word, too long, or the experiment cannot do without audio or vision.
    """
    _check_text(text)
    if not text.strip():
        raise InputError("there is nothing to score: choose a clip, or type a text")
    missing = [name for name in predictor.preprocessor.modalities if name != "text"]
    with _notes() as notes:
        runs = predictor.predict_runs(predictor.split_of_texts([text]), missing=missing)
    heads = {
        head: float(np.mean([one[head][0] for one in runs.values()], dtype=np.float32))
        for head in next(iter(runs.values()))
        if head == "prediction" or head not in missing
    }
    score = heads.pop("prediction")
    of_run = {str(seed): float(one["prediction"][0]) for seed, one in runs.items()}
    return {"score": score, "heads": heads, "runs": of_run, "text": text, "notes": notes}


def score_clip(
    predictor: Predictor,
    path: Path,
    *,
    text: str = "",
    window: float = 1.0,
    missing: Sequence[str] = (),
    tools: Tools,
    cache: Path | None = None,
    within: Path | None = None,
) -> dict[str, Any]:
    """The scores of a clip and of its parts.

    Args:
      predictor: of the experiment.
      path: of the clip.
      text: what is said; if empty, a file beside the clip has it or the recogniser hears it.
      window: seconds of a part. Parts overlap by half, or by less if there would be more than `MOST_PARTS`; of a clip for which
        that is too few, they are longer.
      missing: modalities that are not read.
      tools: as for `read_clips`; those of modalities that are not read are left alone.
      cache: where its features are kept.
      within: a folder out of which no link of a transcript leads.

    Returns:
      What `score_text` has, and {"seconds", "parts": [{"start", "end", "score", "heads"}], "face": as `face_view`, "wave": as
      `wave_form`, both None if vision or audio is not read, "words": [[start, end, text], ...] if times are known}

    Raises:
      InputError: as `read_clips` and `Predictor.predict_runs`; a text that is too long.
    """
    _check_text(text)
    read = [name for name in predictor.preprocessor.modalities if name not in missing]
    reads_text = "text" in read
    # The tools are those of the page, of which an experiment may need a part.
    needed = replace(tools, **{tool: None for tool, serves in SERVES.items() if serves not in read})
    if reads_text and not text.strip() and tools.asr is None and transcripts.beside(path, within=within) is None:
        raise InputError("this experiment reads words too: type what is said in the clip, or leave text out")
    with _notes() as notes:
        texts = [text] if reads_text and text.strip() else None
        places = {"cache": cache, "within": within}
        clips = read_clips(predictor, [path], texts=texts, tools=needed, missing=missing, **places)
        whole = predictions_of(predictor, samples_of(clips), missing)[0]
        step = max(window / 2, LEAST_STEP, whole.end / MOST_PARTS)
        samples = samples_of(clips, window=max(window, step), step=step)
    if step > window:
        notes.append(
            f"parts of {step:.3g} s instead of {window:g} s: {LEAST_STEP:g} s at least, {MOST_PARTS} parts at most"
        )
    for name, what in (("vision", "picture"), ("audio", "wave form")):
        if name not in clips.read:
            notes.append(f"{name} is not read, so no {what} is shown")
    with _notes():  # the same as of the whole
        parts = predictions_of(predictor, samples, missing)
    words = clips.words[0] if clips.words else None
    sees, hears = "vision" in clips.read, "audio" in clips.read  # the worker has decoded these, and nothing else
    return {
        **_content(whole, missing),
        "runs": {str(seed): heads["prediction"] for seed, heads in whole.runs.items()},
        "text": "" if words is None else words.text,
        "words": [] if words is None else [list(piece) for piece in words.pieces],
        "notes": notes,
        "seconds": whole.end,
        "parts": [{"start": one.start, "end": one.end, **_content(one, missing)} for one in parts],
        "face": face_view(path, middle=whole.end / 2, landmarker=_landmarker(clips.recipe, tools)) if sees else None,
        "wave": wave_form(path, most_seconds=clips.recipe.most_seconds) if hears else None,
    }


def _content(one: ClipPrediction, missing: Sequence[str]) -> dict[str, Any]:
    """Score and heads; what a head says of a modality that it was not given is left out."""
    heads = {name: value for name, value in one.heads.items() if name != "prediction" and name not in missing}
    return {"score": one.score, "heads": heads}


def _check_text(text: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise InputError(f"the text has {len(text)} characters; expected {LONGEST_TEXT} at most")


@contextlib.contextmanager
def _notes() -> Iterator[list[str]]:
    """What is warned of meanwhile, each once."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield notes
    notes += dict.fromkeys(str(one.message) for one in said if issubclass(one.category, DataWarning))


def _landmarker(recipe: Recipe, tools: Tools) -> Callable[[], FaceLandmarker] | None:
    """The networks, if faces were read by them, so that their file is there anyway."""
    if recipe.vision is None or recipe.vision.model_sha256 is None:
        return None
    return cached(lambda: FaceLandmarker(find_face_model(tools.face_model)))
