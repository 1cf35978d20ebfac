"""What can be wrong with clips and their table, and the line that a person then sees: the cases of the table in docs/clips.md.

    MSA_JAX_FACE_MODEL=FILE python -m tests.extract.failures --write

runs `msa-jax data extract` on every case and writes the table.
"""

import contextlib
import io
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from msa_jax.cli import main
from tests.extract.material import BAD, CLIPS, picture, raw_folder, write_clip
from tests.paths import REPOSITORY

PAGE = REPOSITORY / "docs" / "clips.md"
MARKS = "<!-- failures: written by tests/extract/failures.py -->", "<!-- end -->"
HEAD = "video_id,clip_id,text,label,mode\n"
GOOD = {"vid01": "train", "vid02": "valid", "vid03": "test"}
ROWS = "".join(f"{video},1,some words,1,{mode}\n" for video, mode in GOOD.items())


@dataclass(frozen=True, kw_only=True)
class Case:
    """about: what is wrong. then: what happens. make: puts a fourth clip and its row beside three good ones in a raw folder.

    status: of the command. line: a part of the line that is shown, empty if nothing is to be said.
    """

    about: str
    then: str
    make: Callable[[Path], None]
    options: str = ""
    status: int = 2
    line: str = ""


REFUSED = "listed, exit 2; `--skip-bad` leaves it out"
WRONG_TABLE = "exit 2 at once"
WARNED = "used, with a warning"
USED = "used, nothing is said"


def clip(source: Path | None = None, row: str = "new,1,some words,1,train", name: str = "new/1.mp4", head: str = HEAD):
    """A fourth clip, and its row."""

    def make(raw: Path) -> None:
        files = {f"Raw/{video}/1.mp4": CLIPS / "Raw" / video / "1.mp4" for video in GOOD}
        raw_folder(raw, head + ROWS + row + "\n", files if source is None else {**files, f"Raw/{name}": source})

    return make


def written(write: Callable[[Path], object], row: str = "new,1,some words,1,train", name: str = "new/1.mp4"):
    """A fourth clip that is written."""

    def make(raw: Path) -> None:
        clip(row=row)(raw)
        (raw / "Raw" / name).parent.mkdir(parents=True, exist_ok=True)
        write(raw / "Raw" / name)

    return make


def table(content: str):
    """Another table, and the three good clips."""

    def make(raw: Path) -> None:
        clip()(raw)
        (raw / "label.csv").write_text(content, encoding="utf-8")

    return make


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, int(16_000 * seconds))


def half_of_a_clip(path: Path) -> None:
    content = write_clip(path, pictures=[np.roll(picture(), k, 1) for k in range(30)], sound=noise(1.2)).read_bytes()
    path.write_bytes(content[: len(content) // 2])


def face_that_leaves(path: Path) -> None:
    grey = np.full((320, 320, 3), 90, np.uint8)
    write_clip(path, pictures=[picture()] * 10 + [grey] * 15, sound=noise(1))


def turned_portrait(path: Path) -> None:
    content = bytearray(write_clip(path, pictures=[np.rot90(picture())] * 10, sound=noise(0.4)).read_bytes())
    at = content.index(b"tkhd") + 44
    unit, minus, zero = (1 << 16).to_bytes(4, "big"), (-(1 << 16) & 0xFFFFFFFF).to_bytes(4, "big"), bytes(4)
    content[at : at + 36] = zero + unit + zero + minus + zero * 4 + (1 << 30).to_bytes(4, "big")
    path.write_bytes(content)


def small_face(path: Path) -> None:
    large = np.full((480, 854, 3), 90, np.uint8)
    large[100:200, 500:600] = picture()[::3, ::3][:100, :100]
    write_clip(path, pictures=[large] * 10, sound=noise(0.4))


def no_words(raw: Path) -> None:
    clip(CLIPS / "Raw/vid00/1.mp4", row="new,1,,1,train")(raw)


def damaged_subtitles(raw: Path) -> None:
    no_words(raw)
    (raw / "Raw/new/1.srt").write_text("no times here")


def existing(raw: Path) -> None:
    clip(CLIPS / "Raw/vid00/1.mp4")(raw)
    (raw.parent / "dataset").mkdir()
    (raw.parent / "dataset" / "notes.txt").touch()


def other_model(raw: Path) -> None:
    clip(CLIPS / "Raw/vid00/1.mp4")(raw)
    (raw.parent / "other.task").write_bytes(b"another model")


def openface_of_three(raw: Path) -> None:
    clip(CLIPS / "Raw/vid00/1.mp4")(raw)
    for video in GOOD:
        (raw.parent / "openface").mkdir(exist_ok=True)
        (raw.parent / "openface" / f"{video}_1.csv").write_text("timestamp,success,AU01_r\n0,1,0.5\n0.04,1,0.6\n")


CASES = (
    Case(
        about="no index at the end of the file (cut off, or still being written)",
        then=REFUSED,
        make=clip(BAD / "cut.mp4"),
        line="bad clip",
    ),
    Case(about="the second half is missing", then=REFUSED, make=written(half_of_a_clip), line="bad clip"),
    Case(about="an empty file", then=REFUSED, make=clip(BAD / "empty.mp4"), line="bad clip"),
    Case(about="no video at all", then=REFUSED, make=clip(BAD / "text.mp4"), line="bad clip"),
    Case(
        about="a playlist that calls itself a clip",
        then=REFUSED,
        make=written(lambda path: path.write_text("#EXTM3U\n#EXTINF:1,\n../vid01/1.mp4\n")),
        line="bad clip",
    ),
    Case(about="no such file", then=REFUSED, make=clip(), line="bad clip"),
    Case(
        about="clip_id 1 in the table, 0001 as the file's name",
        then=REFUSED,
        make=clip(CLIPS / "Raw/vid00/1.mp4", name="new/0001.mp4"),
        line="bad clip",
    ),
    Case(about="no sound", then=REFUSED, make=clip(BAD / "silent.mp4"), line="bad clip"),
    Case(
        about="no sound, `--allow-silent`",
        then=WARNED,
        make=clip(BAD / "silent.mp4"),
        options="--allow-silent",
        status=0,
        line="no sound, and",
    ),
    Case(
        about="less than 60 ms of sound",
        then=REFUSED,
        make=written(lambda path: write_clip(path, pictures=[picture()] * 10, sound=noise(0.03)), name="new/1.mkv"),
        line="bad clip",
    ),
    Case(
        about="no face in any frame",
        then=REFUSED,
        make=clip(BAD / "noface.mp4"),
        options="--audio none",
        line="bad clip",
    ),
    Case(
        about="no face in any frame, `--allow-faceless`",
        then=WARNED,
        make=clip(BAD / "noface.mp4"),
        options="--audio none --allow-faceless",
        status=0,
        line="no face in more",
    ),
    Case(
        about="no face in more than half of the frames",
        then=WARNED + "; these frames are zeros, and time goes on",
        make=written(face_that_leaves),
        status=0,
        line="no face in more",
    ),
    Case(
        about="two faces",
        then=WARNED + "; who of them speaks is not known",
        make=clip(BAD / "two.mp4"),
        options="--audio none",
        status=0,
        line="several faces",
    ),
    Case(about="a face of about 35 pixels in 854 × 480", then=USED, make=written(small_face), status=0),
    Case(
        about="a variable frame rate",
        then=USED,
        make=written(
            lambda path: write_clip(path, pictures=[picture()] * 5, times=[0, 30, 500, 530, 900], sound=noise(1)),
            name="new/1.mkv",
        ),
        status=0,
    ),
    Case(about="a telephone's picture, turned by 90°", then=USED, make=written(turned_portrait), status=0),
    Case(
        about="a name of another alphabet",
        then=USED,
        make=clip(CLIPS / "Raw/vid00/1.mp4", row="视频 é,1,some words,1,train", name="视频 é/1.mp4"),
        status=0,
    ),
    Case(
        about="longer than `--max-seconds`",
        then=WARNED + "; the rest is not read",
        make=clip(CLIPS / "Raw/vid00/1.mp4"),
        options="--max-seconds 2",
        status=0,
        line="longer than",
    ),
    Case(about="no words in the table, nor beside the clip", then=REFUSED, make=no_words, line="bad clip"),
    Case(about="subtitles without a time", then=REFUSED, make=damaged_subtitles, line="bad clip"),
    Case(
        about="no CSV of OpenFace for a clip (`--openface DIR`)",
        then=REFUSED,
        make=openface_of_three,
        options="--openface {folder}/openface",
        line="bad clip",
    ),
    Case(
        about="a label that is no number",
        then=WRONG_TABLE,
        make=table(HEAD + ROWS + "new,1,some words,nan,train\n"),
        line="column label",
    ),
    Case(
        about="a column is missing",
        then=WRONG_TABLE,
        make=table("video_id,clip_id,text\nv,1,words\n"),
        line="is missing",
    ),
    Case(
        about="a mode that is no split",
        then=WRONG_TABLE,
        make=table(HEAD + ROWS + "new,1,some words,1,training\n"),
        line="column mode",
    ),
    Case(
        about="a clip twice",
        then=WRONG_TABLE,
        make=table(HEAD + ROWS + "vid01,1,some words,1,train\n"),
        line="clips that differ",
    ),
    Case(
        about="no column mode",
        then="split by video, with a warning",
        make=table("video_id,clip_id,text,label\n" + "".join(f"{video},1,some words,1\n" for video in GOOD)),
        status=0,
        line="no column mode",
    ),
    Case(
        about="no column mode, and two videos",
        then=WRONG_TABLE,
        make=table("video_id,clip_id,text,label\nvid01,1,some words,1\nvid02,1,some words,1\n"),
        line="no column mode",
    ),
    Case(
        about="another face model",
        then=WRONG_TABLE,
        make=other_model,
        options="--face-model {folder}/other.task",
        line="not the face model",
    ),
    Case(
        about="a folder with other files where the dataset goes",
        then=WRONG_TABLE,
        make=existing,
        line="no part of a native dataset",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a command left. line: the one that the case is about, paths shortened; folder: of the dataset."""

    status: int
    lines: tuple[str, ...]
    line: str
    folder: Path


def run(case: Case, folder: Path, cache: Path, more: str = "") -> Seen:
    """Runs the command on a case in an empty folder."""
    case.make(folder / "raw")
    options = f"{case.options} {more}".format(folder=folder).split()
    words = ["data", "extract", str(folder / "raw"), "--out", str(folder / "dataset"), "--cache", str(cache)]
    words += ["--name", "clips", "--language", "en", "--label-range", "-3", "3", "--metrics", "regression", *options]
    error = io.StringIO()
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("always")
        status = main(words)
    lines = tuple(error.getvalue().splitlines())
    line = next((one for one in lines if case.line in one), "") if case.line else ""
    short = line.replace(f"{folder}/raw", "RAW").replace(f"{folder}/", "")
    return Seen(status=status, lines=lines, line=re.sub(r"[0-9a-f]{64}", "…", short), folder=folder / "dataset")


def as_table(seen: list[Seen]) -> str:
    """The table of docs/clips.md."""
    rows = ["| what is wrong | what happens | what is said |", "|---|---|---|"]
    for case, one in zip(CASES, seen, strict=True):
        said = f"`{one.line}`".replace("|", "\\|") if one.line else ""
        rows.append(f"| {case.about} | {case.then} | {said} |")
    return "\n".join(rows)


def _write() -> None:
    with tempfile.TemporaryDirectory() as place:
        seen = []
        for number, case in enumerate(CASES):
            (Path(place) / str(number)).mkdir()
            seen.append(run(case, Path(place) / str(number), Path(place) / "cache"))
    before, rest = PAGE.read_text(encoding="utf-8").split(MARKS[0])
    after = rest.split(MARKS[1], 1)[1]
    PAGE.write_text(f"{before}{MARKS[0]}\n{as_table(seen)}\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"] or not os.environ.get("MSA_JAX_FACE_MODEL"):
        sys.exit("usage: MSA_JAX_FACE_MODEL=FILE python -m tests.extract.failures --write")
    _write()
