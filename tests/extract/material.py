"""Clips for the tests: made ones that lie here, and others that PyAV writes."""

import os
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

CLIPS = Path(__file__).parent / "clips"
TALKING = CLIPS / "Raw" / "vid00" / "1.mp4"
BAD = CLIPS / "bad"


def face_model() -> Path:
    """Google's face landmarker, which scripts/test names; without it and LiteRT a test is skipped."""
    pytest.importorskip("av")
    pytest.importorskip("ai_edge_litert")
    named = os.environ.get("MSA_JAX_FACE_MODEL")
    if not named:
        pytest.skip("MSA_JAX_FACE_MODEL names no face model")
    return Path(named)


def picture() -> np.ndarray:
    """The first one of a talking face.  # [320, 320, 3] uint8"""
    from msa_jax.extract.media import read_frames

    return next(iter(read_frames(TALKING, rate=15, most_seconds=1)))[0]


def write_clip(
    path: Path,
    *,
    pictures: list[np.ndarray] | None = None,
    times: list[int] | None = None,
    sound: np.ndarray | None = None,
    sound_rate: int = 16_000,
) -> Path:
    """A clip whose picture k is seen from `times[k]` milliseconds on, and mono sound in [-1, 1]."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(os.fspath(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
        video = audio = None
        if pictures:
            video = container.add_stream("mpeg4" if path.suffix == ".mp4" else "ffv1", rate=25)
            video.height, video.width = pictures[0].shape[:2]
            video.pix_fmt = "yuv420p"
            video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        if sound is not None:
            audio = container.add_stream(
                "pcm_s16le" if path.suffix != ".mp4" else "aac", rate=sound_rate, layout="mono"
            )
        for array, at in zip(pictures or [], times or [40 * k for k in range(len(pictures or []))], strict=True):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            container.mux(video.encode(frame))
        if video is not None:
            container.mux(video.encode())
        if audio is not None:
            frame = av.AudioFrame.from_ndarray((sound[None] * 32767).astype(np.int16), format="s16", layout="mono")
            frame.sample_rate = sound_rate
            frame.pts = 0
            resampler = av.AudioResampler(
                format=audio.codec_context.format, layout="mono", rate=sound_rate, frame_size=1024
            )
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(audio.encode(part))
            container.mux(audio.encode())
    return path


def raw_folder(folder: Path, table: str, files: dict[str, Path]) -> Path:
    """A folder with a label.csv and clips at the given places."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "label.csv").write_text(table, encoding="utf-8")
    for place, source in files.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / place)
    return folder
