"""Transcripts by a speech recogniser that the user has: a folder with a Whisper model for faster-whisper."""

import functools
from pathlib import Path
from typing import Any

from msa_jax.errors import InputError, first_line, install
from msa_jax.extract.media import probe, read_sound


def check(folder: Path) -> None:
    """Raises InputError if faster-whisper is not installed, or the folder has no model of it."""
    try:
        import faster_whisper  # noqa: F401
    except ImportError:
        raise InputError(f"--asr needs faster-whisper: {install('asr')}") from None
    if not (folder / "model.bin").is_file():
        raise InputError(f"{folder}: no model.bin; expected the folder of a Whisper model for faster-whisper")


def transcribe(
    path: Path, folder: Path, *, most_seconds: float, word_times: bool = False
) -> list[tuple[float, float, str]]:
    """(start, end, words) of what is said, with times in seconds; nothing where nothing is.

    Args:
      path: of the clip. folder: of the model. most_seconds: what comes later is not heard. word_times: each word by itself.

    Raises:
      InputError: the clip or the model cannot be read.
    """
    if not probe(path).has_sound:
        return []
    sound = read_sound(path, most_seconds=most_seconds)
    segments, _ = _model(folder).transcribe(
        sound, beam_size=5, temperature=0.0, condition_on_previous_text=False, word_timestamps=word_times
    )
    if word_times:
        return [(float(one.start), float(one.end), one.word.strip()) for part in segments for one in part.words or ()]
    return [(float(one.start), float(one.end), one.text.strip()) for one in segments]


@functools.cache
def _model(folder: Path) -> Any:
    from faster_whisper import WhisperModel

    try:
        return WhisperModel(str(folder), device="cpu", cpu_threads=1, local_files_only=True)
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"{folder}: no Whisper model for faster-whisper ({first_line(error)})") from None
