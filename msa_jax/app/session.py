"""What the page works with: experiments, a folder of clips, and what has been computed of them. It knows no web server."""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from msa_jax import config
from msa_jax.app.comparison import comparison
from msa_jax.app.samples import Wanted, page_of
from msa_jax.app.scores import score_clip, score_text
from msa_jax.errors import InputError
from msa_jax.extract.clips import Tools
from msa_jax.extract.media import SOUND_SUFFIXES, VIDEO_SUFFIXES
from msa_jax.paths import shown, user_path
from msa_jax.report.errors import Errors, errors
from msa_jax.report.experiment import read_result
from msa_jax.train.exported import is_exported, read_config
from msa_jax.train.predictor import Predictor
from msa_jax.train.settings import RunConfig

SUFFIXES = VIDEO_SUFFIXES + SOUND_SUFFIXES
SPLITS = ("train", "valid", "test")
MOST_LISTED = 2000  # clips of the folder
_LONGEST_WINDOW = 3600.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished experiment, or one that was exported. about: what the page is told of it."""

    folder: Path
    exported: bool
    about: dict[str, Any]


@dataclass(kw_only=True, eq=False)
class Session:
    """Experiments and clips of one user. One thing is computed at a time; what was, is kept while the program runs.

    clips: a folder whose clips may be scored by their path, and no other. data: what `load_dataset` takes, for the samples; by
    default what each experiment was trained on.
    """

    runs: Sequence[Run]
    clips: Path | None = None
    data: str | None = None
    tools: Tools = field(default_factory=Tools)
    _predictors: dict[int, Predictor] = field(default_factory=dict)
    _errors: dict[tuple[int, str], Errors] = field(default_factory=dict)
    _comparison: dict[str, Any] | None = None
    _computing: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(
        cls,
        folders: Sequence[str | Path],
        *,
        clips: str | Path | None = None,
        data: str | None = None,
        face_model: str | Path | None = None,
        asr: str | Path | None = None,
    ) -> "Session":
        """Of experiment folders, exported ones among them.

        Raises:
          InputError: no folder, one that is no finished experiment nor exported, one given twice, or `clips` is no folder.
        """
        paths = [user_path(folder) for folder in folders]
        if not paths:
            raise InputError("there is no experiment; expected one folder at least")
        resolved = [path.resolve() for path in paths]
        twice = next((path for path, whole in zip(paths, resolved, strict=True) if resolved.count(whole) > 1), None)
        if twice is not None:
            raise InputError(f"{twice} is given twice: expected different experiment folders")
        place = None if clips is None else user_path(clips)
        if place is not None and not place.is_dir():
            raise InputError(f"{place}: no such folder; --clips names one with clips in it")
        tools = Tools(
            face_model=None if face_model is None else user_path(face_model),
            asr=None if asr is None else user_path(asr),
        )
        return cls(
            runs=tuple(_read_run(path, name) for path, name in zip(paths, _names(resolved), strict=True)),
            clips=place,
            data=data,
            tools=tools,
        )

    def describe(self) -> dict[str, Any]:
        """What the page begins with: {"runs": [{"name", "method", "dataset", "seeds", "label_range", "modalities", "heads",
        "reads_clips"}], "clips": paths in the folder, or None without one, "suffixes", "splits"}."""
        return {
            "runs": [run.about for run in self.runs],
            "clips": None if self.clips is None else self._listed(),
            "suffixes": list(SUFFIXES),
            "splits": list(SPLITS),
        }

    def score(self, run: int, *, text: str, clip: str | None, window: float, missing: Sequence[str]) -> dict[str, Any]:
        """The scores of a text alone, or of a clip of the folder. Raises InputError as `score_text` and `score_clip`."""
        if clip is None:
            with self._computing:
                return score_text(self._predictor(run), text)
        named = {"text": text, "window": window, "missing": missing, "within": self.clips}
        return self.score_file(run, self._inside(clip), name=clip, **named)

    def score_file(
        self,
        run: int,
        path: Path,
        *,
        name: str,
        text: str,
        window: float,
        missing: Sequence[str],
        cache: Path | None = None,
        within: Path | None = None,
    ) -> dict[str, Any]:
        """The scores of a clip wherever it lies, as `score_clip` has them; `name` stands for its path in what is said of it."""
        if not 0 < window <= _LONGEST_WINDOW:
            raise InputError(f"window is {window:g} s; expected more than 0, and {_LONGEST_WINDOW:g} at most")
        named = {"text": text, "window": window, "missing": missing, "tools": self.tools, "cache": cache}
        named["within"] = within
        try:
            with self._computing:
                found = score_clip(self._predictor(run), path, **named)
        except InputError as error:
            raise InputError(_renamed(str(error), path, name)) from None
        return {**found, "notes": [_renamed(note, path, name) for note in found["notes"]]}

    def samples(self, run: int, split: str, wanted: Wanted) -> dict[str, Any]:
        """Samples of a dataset with labels, scores and errors, as `page_of` has them. Raises InputError as `errors`."""
        if split not in SPLITS:
            raise InputError(f"split is {split!r}; expected one of {', '.join(SPLITS)}")
        folder = self._run(run).folder
        with self._computing:
            if (run, split) not in self._errors:
                self._errors[run, split] = errors(folder, data=self.data, split=split)
        return page_of(self._errors[run, split], wanted)

    def comparison(self) -> dict[str, Any]:
        """Tables and curves of all experiments, as `comparison.comparison` has them."""
        with self._computing:
            if self._comparison is None:
                whole = [run for run in self.runs if not run.exported]
                found = comparison([run.folder for run in whole], [run.about["name"] for run in whole])
                found["remarks"] += [
                    f"{run.about['name']}: exported, without tables and curves." for run in self.runs if run.exported
                ]
                self._comparison = found
        return self._comparison

    def _run(self, run: int) -> Run:
        if not 0 <= run < len(self.runs):
            raise InputError(f"there is no experiment {run}; there are {len(self.runs)}, from 0")
        return self.runs[run]

    def _predictor(self, run: int) -> Predictor:
        folder = self._run(run).folder
        if run not in self._predictors:
            self._predictors[run] = Predictor.load(folder)
        return self._predictors[run]

    def _listed(self) -> list[str]:
        """Clips in the folder and below it, by path, hidden ones left out."""
        root = self.clips.resolve()
        files = (one for one in self.clips.rglob("*") if _is_clip_inside(one, root))
        found = sorted(one.relative_to(self.clips) for one in islice(files, MOST_LISTED))
        seen = [str(one) for one in found if not any(part.startswith(".") for part in one.parts)]
        return [one for one in seen if shown(one) == one]

    def _inside(self, name: str) -> Path:
        """The clip of this path in the folder."""
        if self.clips is None:
            raise InputError("clips by path need a folder: msa-jax app RUN --clips DIR")
        path = user_path(self.clips / name)
        if not _is_clip_inside(path, self.clips.resolve()):
            raise InputError(f"{name}: no clip in the folder of --clips")
        return path


def _renamed(said: str, path: Path, name: str) -> str:
    return said.replace(str(path.absolute()), name).replace(str(path), name)


def _is_clip_inside(path: Path, root: Path) -> bool:
    """Whether it is a file with a clip's name whose real place, wherever links lead, is in the folder."""
    return path.suffix.lower() in SUFFIXES and path.is_file() and path.resolve().is_relative_to(root)


def _read_run(folder: Path, name: str) -> Run:
    """Without the weights, which are read when they are needed."""
    exported = is_exported(folder)
    if exported:
        content = read_config(folder)
    else:
        read_result(folder)
        content = RunConfig.read(folder)
    method = content.known_method()
    options = config.override(method.options(), content.options)
    low, high = content.inputs.label_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"{folder / 'config.json'}: labels from {low:g} to {high:g}; expected low < high")
    about = {
        "name": name,
        "method": content.method,
        "dataset": content.dataset,
        "seeds": list(content.seeds),
        "label_range": [low, high],
        "modalities": list(content.inputs.modalities),
        "heads": [head for head in method.head_names(options, content.inputs) if head != "prediction"],
        "reads_clips": content.extract is not None,
    }
    return Run(folder=folder, exported=exported, about=about)


def _names(paths: Sequence[Path]) -> list[str]:
    """The folder's name of each, or its whole path where two share one."""
    names = [path.name for path in paths]
    return [shown(path.name if names.count(path.name) == 1 else path) for path in paths]
