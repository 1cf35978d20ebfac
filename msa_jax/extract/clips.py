"""Many clips: their features from several processes and a cache, the reasons why some have none, and how far it is."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from msa_jax.errors import InputError
from msa_jax.extract import asr as recogniser
from msa_jax.extract import media
from msa_jax.extract.alignment import timed_pieces
from msa_jax.extract.clip import why_bad
from msa_jax.extract.face_model import find_face_model
from msa_jax.extract.recipe import IMPORTED, TABLES, Recipe, audio_features, vision_features
from msa_jax.extract.tables import find_table, read_feature_table
from msa_jax.extract.transcripts import Transcript
from msa_jax.extract.workers import run_jobs
from msa_jax.modalities import SEQUENCES
from msa_jax.paths import cache_folder, user_path

_SECONDS_PER_LINE = 10.0  # of progress where no bar can be drawn


@dataclass(frozen=True, kw_only=True)
class Source:
    """A clip to extract: its file, and the names by which its tables are found. path: None if there is none."""

    path: Path | None
    video: str
    clip: str


SERVES = {"asr": "text", "face_model": "vision"}  # the modality that a tool beside the tables serves


@dataclass(frozen=True, kw_only=True)
class Tools:
    """Where features come from besides the clips.

    face_model: the model file. openface, opensmile: folders of CSVs, instead of own features. asr: a recogniser's folder.
    word_times: words are asked for with their times, by features that are aligned with them.
    """

    face_model: Path | None = None
    openface: Path | None = None
    opensmile: Path | None = None
    asr: Path | None = None
    word_times: bool = False

    def tables(self) -> dict[str, Path]:
        """{"audio" or "vision": folder of CSVs}."""
        named = {"audio": self.opensmile, "vision": self.openface}
        return {name: folder for name, folder in named.items() if folder is not None}


@dataclass(frozen=True, kw_only=True, eq=False)
class Extracted:
    """One clip. reason: why there are no features; empty if there are. transcript: what a recogniser heard."""

    reason: str = ""
    audio: np.ndarray | None = None
    vision: np.ndarray | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    transcript: Transcript | None = None


def new_recipe(
    sources: Sequence[Source],
    tools: Tools,
    *,
    audio: str,
    vision: str,
    audio_rate: float | None,
    most_seconds: float,
    allow: tuple[str, ...],
) -> Recipe:
    """The recipe of these sets with the tools that are installed; of imported features as the first table has them.

    Raises:
      InputError: a tool is not installed, or no clip has a table.
    """
    if not 0 < most_seconds < float("inf"):
        raise InputError(f"max_seconds is {most_seconds!r}; expected a number above 0")
    found = {
        "audio": None if tools.opensmile else audio_features(audio, rate=audio_rate),
        "vision": None if tools.openface else vision_features(vision),
    }
    for name, folder in tools.tables().items():
        found[name] = _first_table(folder, name, sources).features(name)
    recipe = Recipe(**found, most_seconds=float(most_seconds), allow=allow)
    if recipe.audio is None and recipe.vision is None:
        raise InputError("neither audio nor vision is extracted; `msa-jax data import` reads a table of texts")
    return replace(recipe, decoder=media.versions()) if reads_clips(recipe, tools) else recipe


def seconds_of(found: Extracted, recipe: Recipe) -> float:
    """Of the clip's file; of the frames where it was not read."""
    arrays = [(getattr(found, name), getattr(recipe, name)) for name in SEQUENCES]
    lengths = [len(array) / features.rate for array, features in arrays if array is not None and features is not None]
    return found.facts.get("seconds") or max(lengths, default=0.0)


def with_times(said: Transcript, found: Extracted, recipe: Recipe) -> Transcript:
    """The transcript with the pieces that are read of the clip. Raises InputError as `alignment.timed_pieces`."""
    lasts = seconds_of(found, recipe)
    pieces = timed_pieces(said.pieces, seconds=lasts, most_seconds=recipe.most_seconds)
    return replace(said, pieces=tuple(pieces))


def reads_clips(recipe: Recipe, tools: Tools) -> bool:
    """Whether files of clips are opened: not if all features are imported and nothing is to be recognised."""
    sets = [one.set for one in (recipe.audio, recipe.vision) if one is not None]
    return tools.asr is not None or not sets or any(one not in IMPORTED.values() for one in sets)


def _first_table(folder: Path, modality: str, sources: Sequence[Source]) -> Any:
    problem = InputError(f"{folder}: there is no clip to find a table for")
    for source in sources:
        try:
            return read_feature_table(find_table(folder, source.video, source.clip), modality)
        except InputError as error:
            problem = error
    raise problem


def extract_clips(
    sources: Sequence[Source],
    recipe: Recipe,
    tools: Tools,
    *,
    workers: int | None = None,
    cache: Path | None = None,
    log: TextIO | None = None,
) -> list[Extracted]:
    """The features of each clip, in the order of the sources.

    Args:
      recipe: what to extract.
      workers: processes; by default one for each core that this process may use.
      cache: the folder of what was extracted before; by default in the user's cache.
      log: where progress goes.

    Raises:
      InputError: the face model cannot be had, a tool is missing, two clips have the same table, or the cache cannot be
        written.
    """
    decodes = reads_clips(recipe, tools)
    model = None
    if recipe.vision is not None and recipe.vision.model_sha256 is not None:
        model = str(find_face_model(tools.face_model).absolute())
    if tools.asr is not None:
        recogniser.check(tools.asr)
    folder = (user_path(cache) if cache is not None else cache_folder() / "clips").absolute()
    results: list[Extracted] = [Extracted()] * len(sources)
    owner: dict[Path, Source] = {}
    jobs, numbers = [], []
    for number, source in enumerate(sources):
        try:
            tables = {name: find_table(one, source.video, source.clip) for name, one in _read(recipe, tools).items()}
        except InputError as error:
            results[number] = Extracted(reason=str(error))
            continue
        for table in tables.values():
            other = owner.setdefault(table, source)
            if other is not source and (source.path is None or source.path != other.path):
                raise InputError(
                    f"{table}: the CSV of both {_shown(other)} and {_shown(source)}; expected one for each clip"
                )
        jobs.append(
            {
                "path": str(source.path.absolute()) if decodes else None,
                "tables": {name: str(path.absolute()) for name, path in tables.items()},
                "recipe": recipe.to_json(),
                "face_model": model,
                "asr": None if tools.asr is None else str(tools.asr.absolute()),
                "word_times": tools.word_times,
                "cache": str(folder),
            }
        )
        numbers.append(number)
    progress = _Progress(log, len(jobs))
    for number, answer in run_jobs(jobs, workers=workers or _cores()):
        if "stop" in answer:
            raise InputError(f"{answer['stop']} (while features were kept in the cache)")
        results[numbers[number]] = _result(answer, recipe)
        progress.step(answer.get("facts", {}).get("seconds", 0.0))
    progress.end()
    return results


def _shown(source: Source) -> str:
    return str(source.path or f"{source.video}/{source.clip}")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read(recipe: Recipe, tools: Tools) -> dict[str, Path]:
    """Folders of tables that the recipe reads."""
    folders = {}
    for name in SEQUENCES:
        features = getattr(recipe, name)
        if features is not None and features.set == IMPORTED[name]:
            if name not in tools.tables():
                raise InputError(
                    f"{name} comes from files here ({features.set}): say where they are, {TABLES[name]} DIR"
                )
            folders[name] = tools.tables()[name]
    return folders


def _result(answer: Mapping[str, Any], recipe: Recipe) -> Extracted:
    reason = answer.get("error") or why_bad(answer["facts"], recipe)
    if reason:
        return Extracted(reason=reason)
    with open(answer["file"], "rb") as raw, np.load(raw, allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in SEQUENCES if name in arrays.files}
    pieces = tuple((start, end, text) for start, end, text in answer.get("pieces", ()))
    heard = Transcript(" ".join(text for _, _, text in pieces), "asr", pieces) if pieces else None
    return Extracted(**found, facts=answer["facts"], transcript=heard)


class _Progress:
    """Clips that are done, seconds of media in a second, and how long it will take."""

    def __init__(self, stream: TextIO | None, total: int):
        self._stream, self._total = stream, total
        self._bar = stream is not None and stream.isatty()
        self._begun = self._said = time.monotonic()
        self._done, self._seconds, self._drawn = 0, 0.0, 0

    def step(self, seconds: float) -> None:
        self._done += 1
        self._seconds += seconds
        now = time.monotonic()
        if self._stream is not None and (self._bar or now - self._said > _SECONDS_PER_LINE):
            self._said = now
            left = (now - self._begun) / self._done * (self._total - self._done)
            self._write(f"{self._text()}, {_minutes(left)} left")

    def end(self) -> None:
        if self._stream is not None and self._total:
            took = time.monotonic() - self._begun
            self._write(f"{self._text()}, in {_minutes(took)}")
            if self._bar:
                self._stream.write("\n")

    def _text(self) -> str:
        took = max(time.monotonic() - self._begun, 1e-9)
        rate = f", {self._seconds / took:.1f} × real time" if self._seconds else ""
        return f"{self._done} of {self._total} clips{rate}"

    def _write(self, text: str) -> None:
        self._stream.write(f"\r{text.ljust(self._drawn)}" if self._bar else f"{text}\n")
        self._stream.flush()
        self._drawn = len(text)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
