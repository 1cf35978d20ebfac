"""The model file of Google's face landmarker: where it is, and that it is the one that the recipes were made with."""

import hashlib
import http.client
import io
import os
import urllib.request
import zipfile
from pathlib import Path

from msa_jax.errors import InputError, first_line
from msa_jax.paths import cache_folder, user_path
from msa_jax.whole_files import replacing

ADDRESS = (
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"
)
SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
VARIABLE = "MSA_JAX_FACE_MODEL"  # of the environment: another way to name the file
NETWORKS = ("face_detector.tflite", "face_landmarks_detector.tflite", "face_blendshapes.tflite")
_LARGEST = 64 * 2**20  # bytes
_SECONDS = 60  # without an answer


def find_face_model(given: str | Path | None = None) -> Path:
    """The model file: as given, as the environment says, as kept in the user's cache, or fetched from its address.

    Raises:
      InputError: it is not there, is another file, or cannot be fetched.
    """
    named = given or os.environ.get(VARIABLE)
    if named:
        path = user_path(named)
        _check(_read(path), path)
        return path
    path = cache_folder() / "models" / f"face_landmarker-{SHA256[:12]}.task"
    if not path.is_file() or hashlib.sha256(_read(path)).hexdigest() != SHA256:
        _keep(_fetched(), path)
    return path


def read_networks(path: Path) -> dict[str, bytes]:
    """The networks in the model file, by name, as LiteRT reads them. Raises InputError if it is another file."""
    content = _read(path)
    _check(content, path)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in NETWORKS}


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST)
    except OSError as error:
        raise InputError(f"{path}: the face model cannot be read ({error.strerror or error})") from None


def _check(content: bytes, path: Path) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise InputError(
            f"{path}: not the face model that the recipes were made with: its SHA-256 is {found}, expected {SHA256}"
        )


def _fetched() -> bytes:
    try:
        with urllib.request.urlopen(ADDRESS, timeout=_SECONDS) as answer:
            content = answer.read(_LARGEST)
    except (OSError, http.client.HTTPException) as error:
        raise InputError(
            f"the face model cannot be fetched from {ADDRESS} ({first_line(error)}); where there is no network, give the "
            f"file: --face-model FILE, or {VARIABLE}=FILE"
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise InputError(f"{ADDRESS}: the file there has SHA-256 {found}, expected {SHA256}; nothing is kept of it")
    return content


def _keep(content: bytes, path: Path) -> None:
    try:
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise InputError(f"{path}: the face model cannot be kept ({error.strerror or error})") from None
