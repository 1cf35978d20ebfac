"""Words of clips: a text, subtitles or a recogniser's JSON beside the clip, or the transcripts of CMU's corpora."""

import html
import json
import re
from dataclasses import dataclass
from pathlib import Path

from msa_jax.errors import InputError

SUFFIXES = (".txt", ".srt", ".vtt", ".json")
_LARGEST = 10 * 2**20  # bytes
_CLOCK = r"(?<![\d:])(?:(\d{1,4}):)?(\d{1,2}):(\d{2})[.,](\d{1,3})"
_TIMES = re.compile(rf"{_CLOCK}\s*-->\s*{_CLOCK}")
_MARKUP = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")


@dataclass(frozen=True)
class Transcript:
    """What is said in a clip. pieces: (start, end, text) with times in seconds, where they are known. source: e.g. "srt"."""

    text: str
    source: str
    pieces: tuple[tuple[float, float, str], ...] = ()

    def part(self, start: float, end: float) -> tuple[tuple[float, float, str], ...]:
        """The pieces whose middle lies in a part of the clip."""
        return tuple(piece for piece in self.pieces if start <= (piece[0] + piece[1]) / 2 < end)

    def between(self, start: float, end: float) -> str:
        """The words of a part of the clip: its pieces, or all words where no times are known."""
        return " ".join(text for _, _, text in self.part(start, end)) if self.pieces else self.text


def beside(clip: Path, *, timed: bool = False, within: Path | None = None) -> Transcript | None:
    """The transcript in a file of the clip's name: .txt (not if times are wanted), .srt, .vtt or .json, the first of them.

    Args:
      clip: its path. timed: whether times are wanted.
      within: a folder; a file that a link leads out of it is not read.

    Raises:
      InputError: the file is damaged.
    """
    for suffix in SUFFIXES[1:] if timed else SUFFIXES:
        path = clip.with_suffix(suffix)
        if path.is_file() and (within is None or path.resolve().is_relative_to(within.resolve())):
            return read_transcript(path)
    return None


def read_transcript(path: Path) -> Transcript:
    """What is said, by a plain text, SubRip, WebVTT, or the JSON of Whisper (`segments`, with `words` or without).

    Raises:
      InputError: it cannot be read, is no such file, or holds no word.
    """
    text = _read(path)
    kind = path.suffix.lower().lstrip(".")
    if kind == "txt":
        pieces, words = (), text
    elif kind == "json":
        pieces, words = _whisper(text, path)
    else:
        pieces = _subtitles(text)
        words = " ".join(piece[2] for piece in pieces)
    words = " ".join(words.split())
    if not words:
        raise InputError(f"{path}: no word in it")
    try:
        words.encode()
    except UnicodeEncodeError:
        raise InputError(f"{path}: half a surrogate pair, which is no character") from None
    return Transcript(words, kind, tuple(pieces))


def cmu(raw: Path, video: str, clip: str) -> Transcript | None:
    """The line of a clip in CMU's transcripts: `VIDEO.annotprocessed` (MOSI) or `Combined/VIDEO.txt` (MOSEI).

    Raises:
      InputError: the file cannot be read.
    """
    folder = raw / "Transcript" / "Segmented"
    for path, separator, number, words in (
        (folder / f"{video}.annotprocessed", "_DELIM_", 0, 1),
        (folder / "Combined" / f"{video}.txt", "___", 1, 4),
        (folder / f"{video}.txt", "___", 1, 4),
    ):
        if path.is_file():
            for line in _read(path).splitlines():
                cells = line.split(separator, words)
                if len(cells) == words + 1 and cells[number].strip() == clip and cells[words].strip():
                    return Transcript(" ".join(cells[words].split()), "cmu")
    return None


def _read(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise InputError(f"{path}: larger than {_LARGEST >> 20} MB, no transcript of a clip")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text") from None


def _subtitles(text: str) -> list[tuple[float, float, str]]:
    """The cues of SubRip or WebVTT: a line of times, then text up to an empty line or the next cue."""
    pieces: list[tuple[float, float, str]] = []
    times: tuple[float, float] | None = None
    words: list[str] = []
    for line in [*text.splitlines(), ""]:
        found = _TIMES.search(line)
        if found or not line.strip():
            if found and words and words[-1].strip().isdecimal():
                words.pop()  # the number of the cue that begins, where no empty line is before it
            said = " ".join(" ".join(words).split())
            if times is not None and said:
                pieces.append((*times, said))
            times, words = None, []
        if found:
            numbers = [int(one or 0) for one in found.groups()]
            times = _clock(numbers[:4], found[4]), _clock(numbers[4:], found[8])
        elif times is not None:
            words.append(html.unescape(_MARKUP.sub("", line)))  # players read &amp; and the like in SubRip too
    return pieces


def _clock(numbers: list[int], fraction: str) -> float:
    hours, minutes, seconds, part = numbers
    return (hours * 60 + minutes) * 60 + seconds + part / 10 ** len(fraction)


def _whisper(text: str, path: Path) -> tuple[list[tuple[float, float, str]], str]:
    try:
        content = json.loads(text)
        segments = content["segments"]
        pieces = []
        for segment in segments:
            for one in segment.get("words") or [segment]:
                said = one["word"] if "word" in one else one["text"]
                pieces.append((float(one["start"]), float(one["end"]), said.strip()))
        whole = content["text"] if isinstance(content.get("text"), str) else " ".join(piece[2] for piece in pieces)
        return pieces, whole
    except (ValueError, OverflowError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: no JSON of Whisper with segments ({type(error).__name__}: {error})") from None
