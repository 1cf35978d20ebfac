"""Sound and pictures of a media file, by PyAV: the same samples and frames on every version of it."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax.errors import InputError, first_line, install

SAMPLE_RATE = 16_000  # Hz, of all sound that is read here
VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".ts", ".3gp")
SOUND_SUFFIXES = (".wav", ".mp3", ".flac", ".ogg", ".m4a", ".opus")
_MOST_PIXELS = 8192 * 8192
LEAST_SHARE = 0.9  # of the length that a file states; what holds less was cut off
# Formats whose files hold all that is played. A playlist could name other files, or addresses.
_FORMATS = "mov,mp4,matroska,webm,avi,mpeg,mpegts,flv,asf,wav,mp3,flac,ogg,aac,aiff,mpegvideo,h264"


@dataclass(frozen=True, kw_only=True)
class Media:
    """What a file holds. seconds: its length, 0 if it does not say. by_stream: whether sound and pictures say theirs."""

    seconds: float
    by_stream: bool
    has_sound: bool
    has_picture: bool


def require() -> None:
    """Raises InputError if PyAV is not installed."""
    try:
        import av  # noqa: F401
    except ImportError:
        raise InputError(f"reading clips needs PyAV: {install('extract')}") from None


def versions() -> dict[str, str]:
    """Of PyAV and of FFmpeg's decoders in it."""
    require()
    import av

    return {"av": av.__version__, "libavcodec": ".".join(map(str, av.library_versions["libavcodec"]))}


def probe(path: Path) -> Media:
    """What a file holds, without decoding it. Raises InputError where it is no media file, damaged or cut off."""
    with _opened(path) as container:
        seconds = [_seconds(stream) for stream in (*container.streams.audio, *_pictures(container))]
        known = [one for one in seconds if one is not None]
        whole = Fraction(container.duration, 1_000_000) if container.duration else Fraction(0)
        return Media(
            seconds=float(max(known, default=whole)),
            by_stream=bool(known),
            has_sound=bool(container.streams.audio),
            has_picture=bool(_pictures(container)),
        )


def read_sound(path: Path, *, most_seconds: float) -> np.ndarray:
    """The first audio stream as mono at `SAMPLE_RATE`.  # [n] f32 in [-1, 1]

    The padding of the last AAC frame, which some versions of FFmpeg leave in, is cut at the length that the stream states.

    Args:
      path: with an audio stream.
      most_seconds: what comes later is not read.

    Raises:
      InputError: damaged, or shorter than it says.
    """
    import av

    with _opened(path) as container:
        stream = _decodable(container.streams.audio[0], path)
        rate, stated = stream.codec_context.sample_rate, _seconds(stream)
        if not rate:
            raise InputError(f"{path}: its sound states no sample rate")
        end = Fraction(most_seconds) if stated is None else min(stated, Fraction(most_seconds))
        limit, taken = round(end * rate), 0
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        pieces: list[np.ndarray] = []

        def resample(frame: Any) -> None:
            pieces.extend(one.to_ndarray()[0] for one in resampler.resample(frame))

        with contextlib.closing(container.decode(stream)) as frames:
            for frame in frames:
                if taken >= limit:
                    break
                wanted = min(frame.samples, limit - taken)
                taken += wanted
                resample(_cut(frame, wanted))
        resample(None)
        if stated is not None and taken < LEAST_SHARE * limit:
            raise InputError(
                f"{path}: its sound ends after {taken / rate:.1f} s of {float(end):.1f} s: the file is cut off"
            )
    sound = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    return np.where(np.isfinite(sound), np.clip(sound, -1, 1), 0).astype(np.float32)


def _cut(frame: Any, samples: int) -> Any:
    """The first samples of a frame, without its time, by which a resampler would fill gaps."""
    import av

    array = frame.to_ndarray()
    channels = 1 if frame.format.is_planar else len(frame.layout.channels)
    cut = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(array[:, : samples * channels]), format=frame.format.name, layout=frame.layout.name
    )
    cut.sample_rate = frame.sample_rate
    return cut


def read_frames(path: Path, *, rate: int, most_seconds: float) -> Iterator[tuple[np.ndarray, int]]:
    """The pictures that are seen at the ticks k / rate, counted from the first one, as a stream of little memory.

    Sampled by the time of each frame, so a variable frame rate is of no matter. A picture is turned as the file says.

    Yields:
      picture [H, W, 3] uint8 RGB, and at how many ticks it is seen, at least 1.

    Raises:
      InputError: damaged, shorter than it says, or too large.
    """
    with _opened(path) as container:
        stream = _decodable(_pictures(container)[0], path)
        stream.thread_type = "SLICE"
        stream.codec_context.thread_count = 1  # clips are read side by side
        stated, most = _seconds(stream), int(most_seconds * rate)
        tick, begun, shown, shown_at, step = 0, None, None, Fraction(0), Fraction(1, rate)
        with contextlib.closing(container.decode(stream)) as frames:
            for frame in frames:
                if frame.pts is None:
                    continue
                at = frame.pts * frame.time_base
                begun = at if begun is None else begun
                at -= begun
                if shown is not None:
                    if at <= shown_at:
                        continue
                    step = at - shown_at
                    seen = min(_ticks_before(at, rate), most) - tick
                    if seen > 0:
                        yield _picture(shown, path), seen
                        tick += seen
                shown, shown_at = frame, at
                if tick >= most:
                    return
        if shown is None:
            raise InputError(f"{path}: no picture in it can be decoded")
        length = shown.duration * shown.time_base if shown.duration else step
        seen = min(_ticks_before(shown_at + length, rate), most) - tick
        if seen > 0 or tick == 0:
            yield _picture(shown, path), max(seen, 1)
        if stated is not None and shown_at + length < Fraction(LEAST_SHARE) * min(stated, Fraction(most_seconds)):
            raise InputError(
                f"{path}: its pictures end after {float(shown_at + length):.1f} s of {float(stated):.1f} s: the file is cut off"
            )


def _ticks_before(seconds: Fraction, rate: int) -> int:
    return -(-(seconds * rate).numerator // (seconds * rate).denominator)


def _picture(frame: Any, path: Path) -> np.ndarray:
    if frame.width * frame.height > _MOST_PIXELS:
        raise InputError(f"{path}: a picture of {frame.width} × {frame.height} is too large")
    picture = frame.to_ndarray(format="rgb24")
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture


def _pictures(container: Any) -> list[Any]:
    """Its video streams; the cover of a song is none."""
    from av.stream import Disposition

    return [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]


def _decodable(stream: Any, path: Path) -> Any:
    if stream.codec_context is None:
        raise InputError(f"{path}: its {stream.type} is in a format that FFmpeg does not know")
    return stream


def _seconds(stream: Any) -> Fraction | None:
    return stream.duration * stream.time_base if stream.duration else None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file as a container; what FFmpeg finds wrong with it is an InputError."""
    require()
    import av

    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty")
        # From version 19 on, titles that are no UTF-8 need no word.
        words = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
        options = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
        with av.open(os.fspath(path.absolute()), options=options, **words) as container:
            yield container
    except InputError:
        raise
    except UnicodeError:
        raise InputError(f"{path}: a file name that is no UTF-8 cannot be opened by FFmpeg; rename the file") from None
    except (av.error.FFmpegError, ValueError, EOFError, OverflowError, MemoryError) as error:
        if isinstance(error, OSError) and isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise InputError(f"{path}: cannot be read ({error.strerror or first_line(error)})") from None
        raise InputError(f"{path}: no media file, damaged or cut off ({_said(error)})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or first_line(error)})") from None


def _said(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or first_line(error))
