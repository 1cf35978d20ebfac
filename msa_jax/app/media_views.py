"""What a page shows of a clip besides its scores: a picture of the face with landmarks, and the wave form."""

import base64
from collections.abc import Callable
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax.errors import InputError
from msa_jax.extract.face import FaceLandmarker
from msa_jax.extract.face_points import POINTS_68
from msa_jax.extract.media import SAMPLE_RATE, probe, read_frames, read_sound

WIDEST = 480  # pixels of the picture
COLUMNS = 400  # of the wave form
_RATE = 4  # pictures a second in which a face is looked for
_TRIES = 12  # pictures


def face_view(path: Path, *, middle: float, landmarker: Callable[[], FaceLandmarker] | None) -> dict[str, Any] | None:
    """The picture in the middle of a clip, or one soon after it in which there is a face; None if the clip has no picture.

    Args:
      path: of the clip.
      middle: seconds.
      landmarker: gives the networks; without it no face is looked for.

    Returns:
      {"picture": a data address of a JPEG, "width", "height": its pixels, "points": [[x, y], ...] in [0, 1] of them, nothing
      where no face was found}.

    Raises:
      InputError: the clip is damaged.
    """
    if not probe(path).has_picture:
        return None
    first = int(middle * _RATE)
    frames = read_frames(path, rate=_RATE, most_seconds=middle + (_TRIES + 1) / _RATE)
    shown: np.ndarray | None = None
    points: np.ndarray | None = None
    for picture in islice((one for one, seen in frames for _ in range(seen)), first, first + _TRIES):
        shown = picture if shown is None else shown
        if landmarker is None:
            break
        points = _landmarks(landmarker(), picture)
        if points is not None:
            shown = picture
            break
    if shown is None:  # its pictures end before the middle of its sound
        shown = next(iter(read_frames(path, rate=_RATE, most_seconds=1)))[0]
    height, width = shown.shape[:2]
    scaled = [] if points is None else np.round(points / (width, height), 4).tolist()
    address, size = _jpeg(shown)
    return {"picture": address, "width": size[0], "height": size[1], "points": scaled}


def wave_form(path: Path, *, most_seconds: float) -> dict[str, Any] | None:
    """The sound of a clip as {"seconds", "low", "high"}: the range in [-1, 1] of each of `COLUMNS` parts; None without sound.

    Raises:
      InputError: the clip is damaged.
    """
    if not probe(path).has_sound:
        return None
    sound = read_sound(path, most_seconds=most_seconds)
    if not len(sound):
        return None
    firsts = np.linspace(0, len(sound), min(COLUMNS, len(sound)), endpoint=False).astype(int)
    low, high = np.minimum.reduceat(sound, firsts), np.maximum.reduceat(sound, firsts)
    return {"seconds": len(sound) / SAMPLE_RATE, "low": _rounded(low), "high": _rounded(high)}


def _rounded(values: np.ndarray) -> list[float]:
    return np.round(values.astype(float), 3).tolist()


def _landmarks(landmarker: FaceLandmarker, picture: np.ndarray) -> np.ndarray | None:
    """68 points of the largest face in pixels.  # [68, 2]"""
    faces = landmarker.detect(picture, tiles=True)
    found = landmarker.landmarks(picture, max(faces, key=lambda one: one.size)) if faces else None
    return None if found is None else found[0][POINTS_68, :2]


def _jpeg(picture: np.ndarray) -> tuple[str, tuple[int, int]]:
    """A data address, and width and height. picture: [H, W, 3] uint8."""
    import av

    height, width = picture.shape[:2]
    scale = min(1.0, WIDEST / max(width, height))
    size = tuple(max(2, round(length * scale) // 2 * 2) for length in (width, height))
    try:
        codec = av.CodecContext.create("mjpeg", "w")
        codec.width, codec.height = size
        codec.pix_fmt, codec.time_base = "yuvj420p", Fraction(1, 25)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(*size, format="yuvj420p")
        packets = [*codec.encode(frame), *codec.encode(None)]
    except av.error.FFmpegError as error:
        raise InputError(f"the picture cannot be drawn ({error})") from None
    content = b"".join(bytes(packet) for packet in packets)
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}", size
