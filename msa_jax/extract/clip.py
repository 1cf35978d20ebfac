"""One clip's audio and vision features, and what is to be known of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax.errors import InputError
from msa_jax.extract import media
from msa_jax.extract.face import FaceLandmarker
from msa_jax.extract.recipe import IMPORTED, Features, Recipe
from msa_jax.extract.speech import speech_features
from msa_jax.extract.tables import read_feature_table

LEAST_SOUND = 0.06  # seconds, of which openSMILE can make values


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipFeatures:
    """What a clip holds. audio [A, Da], vision [V, Dv] f32, one frame of zeros where there is nothing; None if not asked for.

    facts: `seconds` of the file, `sound` in seconds, `frames`, `without_face`, `most_faces`, and `rates` of tables.
    """

    audio: np.ndarray | None
    vision: np.ndarray | None
    facts: Mapping[str, Any]


def extract_clip(
    path: Path | None,
    recipe: Recipe,
    *,
    tables: Mapping[str, Path],
    landmarker: Callable[[], FaceLandmarker],
) -> ClipFeatures:
    """The features of a clip by a recipe.

    Args:
      path: the file; None if both modalities are read from tables.
      tables: {"audio" or "vision": CSV}, for features that are imported.
      landmarker: makes or gives the networks, where they are needed.

    Raises:
      InputError: the file or a table is damaged, or a table has other columns than the recipe.
    """
    facts: dict[str, Any] = {"seconds": 0.0, "rates": {}}
    arrays: dict[str, np.ndarray | None] = {"audio": None, "vision": None}
    whole = None if path is None else media.probe(path)
    if whole is not None:
        facts["seconds"] = whole.seconds
    if recipe.audio is not None:
        if recipe.audio.set == IMPORTED["audio"]:
            arrays["audio"] = _from_table(tables["audio"], recipe, "audio", facts)
        else:
            arrays["audio"], facts["sound"] = _audio(path, whole, recipe.audio, recipe.most_seconds)
    if recipe.vision is not None:
        if recipe.vision.set == IMPORTED["vision"]:
            arrays["vision"] = _from_table(tables["vision"], recipe, "vision", facts)
        elif not whole.has_picture:
            arrays["vision"] = np.zeros((1, recipe.vision.dim), np.float32)
            facts |= {"frames": 0, "without_face": 0, "most_faces": 0}
        else:
            rate = round(recipe.vision.rate)
            frames = media.read_frames(path, rate=rate, most_seconds=recipe.most_seconds)
            track = landmarker().follow(frames, rate=rate, points=recipe.vision.set == "face-landmarks-v1")
            arrays["vision"] = track.features
            facts |= {"frames": len(track.features), "without_face": track.without_face, "most_faces": track.most}
    if whole is not None and not whole.by_stream:
        _check_length(path, facts, recipe)
    return ClipFeatures(audio=arrays["audio"], vision=arrays["vision"], facts=facts)


def why_bad(facts: Mapping[str, Any], recipe: Recipe) -> str:
    """Why a clip cannot be used although it can be read; empty if it can."""
    sound, frames = facts.get("sound"), facts.get("frames")
    reasons = []
    if sound is not None and sound < LEAST_SOUND and "silent" not in recipe.allow:
        held = "no sound" if sound == 0 else f"{1000 * sound:.0f} ms of sound, less than {1000 * LEAST_SOUND:.0f}"
        reasons.append(f"{held} (data extract --allow-silent takes it with one frame of zeros)")
    if frames is not None and facts["without_face"] == frames and "faceless" not in recipe.allow:
        held = f"no face in any of its {frames} frames" if frames else "no picture"
        reasons.append(f"{held} (data extract --allow-faceless takes it with zeros)")
    return "; ".join(reasons)


def _audio(path: Path, whole: media.Media, features: Features, most_seconds: float) -> tuple[np.ndarray, float]:
    """Features [A, Da], and the seconds of sound that they are of."""
    sound = media.read_sound(path, most_seconds=most_seconds) if whole.has_sound else np.zeros(0, np.float32)
    seconds = len(sound) / media.SAMPLE_RATE
    if seconds < LEAST_SOUND:
        return np.zeros((1, features.dim), np.float32), seconds
    if features.set == "speech-v1":
        values = speech_features(sound)
    else:
        from msa_jax.extract.egemaps import egemaps_features

        values = np.nan_to_num(egemaps_features(sound), nan=0.0, posinf=0.0, neginf=0.0)
    return _means(values, features.mean_of), seconds


def _means(values: np.ndarray, several: int) -> np.ndarray:
    """Means of so many frames that follow each other; the last of as many as are left."""
    if several == 1:
        return values
    firsts = np.arange(0, len(values), several)
    counts = np.minimum(several, len(values) - firsts)
    return (np.add.reduceat(values.astype(np.float64), firsts) / counts[:, None]).astype(np.float32)


def _check_length(path: Path, facts: Mapping[str, Any], recipe: Recipe) -> None:
    """Where sound and pictures do not say how long they are, the file does."""
    stated = min(facts["seconds"], recipe.most_seconds)
    found = [facts["sound"]] if facts.get("sound") else []
    found += [facts["frames"] / recipe.vision.rate] if facts.get("frames") else []
    if found and max(found) < media.LEAST_SHARE * stated:
        raise InputError(f"{path}: ends after {max(found):.1f} s of {stated:.1f} s: the file is cut off")


def _from_table(path: Path, recipe: Recipe, modality: str, facts: dict[str, Any]) -> np.ndarray:
    whole, features = read_feature_table(path, modality), getattr(recipe, modality)
    table = whole.until(recipe.most_seconds)
    if len(table.values) < len(whole.values):  # how long the clip is, as where its file is read
        facts["seconds"] = max(facts["seconds"], len(whole.values) / whole.rate)
    if table.names != features.names:
        differing = next((name for name in table.names if name not in features.names), None) or next(
            (name for name in features.names if name not in table.names), "their order"
        )
        raise InputError(
            f"{path}: {len(table.names)} features, expected the {features.dim} of the other clips; "
            f"the first difference: {differing}"
        )
    facts["rates"][modality] = table.rate
    if modality == "vision":
        facts |= {"frames": len(table.values), "without_face": table.empty, "most_faces": 1}
    return table.values
