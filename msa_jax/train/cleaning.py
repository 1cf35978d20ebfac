"""Dropping the checkpoints of a finished experiment that scoring it and predicting with it do not need."""

import contextlib
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from msa_jax.errors import InputError, first_line
from msa_jax.paths import user_path
from msa_jax.train.checkpoint import GONE, STAGES, STATE, TO, UNFINISHED
from msa_jax.train.experiment_dir import is_ours, locked
from msa_jax.train.exported import is_exported
from msa_jax.train.settings import RunConfig
from msa_jax.train.shared_parameters import SHARED, shared_file
from msa_jax.whole_files import abandoned, whole_name

# What orbax writes in the folder of a run's states, and what `save_stage` leaves in the folder of a stage.
_OF_STATE = re.compile(r"\d+|\d+\.orbax-checkpoint-tmp.*|_CHECKPOINT_METADATA|_sharding")
_OF_STAGE = re.compile(r"params|params\.json|params\.orbax-checkpoint-tmp.*")


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """What is dropped from an experiment. paths: files and folders; size: their bytes. lost: what one cannot do without them.

    left: what lies among the checkpoints and is not known, so that it stays.
    """

    folder: Path
    paths: tuple[Path, ...]
    size: int
    lost: tuple[str, ...]
    left: tuple[Path, ...]

    def text(self, *, dry_run: bool = False) -> str:
        """For a terminal. dry_run: nothing has been dropped."""
        verb = "would drop" if dry_run else "dropped"
        amount = f"{verb} {self.size:,} bytes" if self.paths else "nothing to drop"
        lines = [f"{self.folder}: {amount}"]
        lines += [f"  {one.relative_to(self.folder)}" for one in self.paths]
        lines += [f"  without this, {one}" for one in self.lost]
        lines += [f"  not known, so it stays: {one.relative_to(self.folder)}" for one in self.left]
        return "\n".join(lines)


def clean(folder: str | Path, *, dry_run: bool = False) -> Cleaning:
    """Drops checkpoints of a finished experiment: last states, what stages left, parts that were never whole.

    What stays is enough for evaluate, predict, errors, report, compare, robustness and export.

    Args:
      folder: The experiment.
      dry_run: Say what would be dropped, and drop nothing.

    Raises:
      InputError: Not an experiment, not finished, in use, or something cannot be deleted.
    """
    path = user_path(folder)
    if is_exported(path):
        raise InputError(f"{path}: an exported folder, which has nothing to drop")
    if not is_ours(path / "config.json"):
        raise InputError(f"{path}: not an experiment: it has no config.json of one")
    if not (path / "result.json").is_file():
        command = f"msa-jax resume {shlex.quote(str(path))}"
        raise InputError(f"{path}: not finished, so its checkpoints are needed; `{command}` goes on with it")
    if dry_run:
        return _planned(path)
    with locked(path):
        plan = _planned(path)
        for one in plan.paths:
            try:
                shutil.rmtree(one) if _is_folder(one) else one.unlink()
            except OSError as error:
                raise InputError(f"{one}: cannot be deleted ({error.strerror or first_line(error)})") from None
        for parent in {one.parent for one in plan.paths}:
            if parent != path / "checkpoints":
                with contextlib.suppress(OSError):  # something else lies there
                    parent.rmdir()
    return plan


def _planned(path: Path) -> Cleaning:
    run = RunConfig.read(path)
    checkpoints = path / "checkpoints"
    names = {str(seed) for seed in run.seeds}
    runs = [checkpoints / name for name in sorted(names) if _is_folder(checkpoints / name)]
    together = [
        one
        for one in (checkpoints.iterdir() if _is_folder(checkpoints) else ())
        if _is_folder(one) and set(one.name.split(TO)) <= names and TO in one.name
    ]
    states, left = _sorted_out((folder / STATE for folder in (*runs, *together)), _OF_STATE)
    stages, other = _sorted_out((stage for one in runs for stage in _folders(one / STAGES)), _OF_STAGE)
    unfinished = [part for one in runs for part in one.glob(UNFINISHED) if _is_folder(part)]
    unfinished += [one / GONE for one in (*runs, *together) if _is_folder(one / GONE)]
    dropped = [*states, *stages, *unfinished]
    users = [sums.parent for sums in checkpoints.rglob("params.json") if sums.parent not in stages]
    needed = {kept.resolve() for user in users if (kept := shared_file(user)) is not None}
    shared = [one for one in (checkpoints / SHARED).glob("*.safetensors") if one.resolve() not in needed]
    dropped += [one for one in shared if re.fullmatch(r"[0-9a-f]{64}", one.stem) and not one.is_symlink()]
    dropped += [part for part in abandoned(path) if not any(part.is_relative_to(one) for one in dropped)]
    lost = []
    if states:
        lost.append("`msa-jax resume --max-epochs` cannot go on from the last state; it begins again at epoch 1")
    if stages:
        lost.append("no other experiment can take the first stages of this one (option stages_from)")
    files = [
        file for one in dropped for file in (one.rglob("*") if _is_folder(one) else (one,)) if not _is_folder(file)
    ]
    size = sum(file.lstat().st_size for file in files)
    return Cleaning(folder=path, paths=tuple(dropped), size=size, lost=tuple(lost), left=(*left, *other))


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _folders(path: Path) -> list[Path]:
    return sorted(one for one in path.iterdir() if one.is_dir()) if _is_folder(path) else []


def _sorted_out(folders: Iterator[Path], known: re.Pattern[str]) -> tuple[list[Path], list[Path]]:
    """Those of the folders that hold nothing but what is known, and the others."""
    there = [folder for folder in folders if folder.is_dir()]
    whole = [
        one
        for one in there
        if _is_folder(one) and all(known.fullmatch(whole_name(part.name)) for part in one.iterdir())
    ]
    return whole, [one for one in there if one not in whole]
