"""How the folder of an experiment or a sweep begins, is gone on with, and is emptied."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msa_jax.errors import InputError, refuse_newer
from msa_jax.train.atomic import read_json, write_json
from msa_jax.train.checkpoint import STATE, delete_state
from msa_jax.train.environment import environment, session
from msa_jax.train.experiment_dir import FORMAT, LOCK, WRITTEN, holds_other_things, is_ours
from msa_jax.whole_files import whole_name

# How an experiment is computed and shown, and where its dataset was: may be others when it is resumed.
FREE = ("data", "runs_per_program", "keep_state", "with_text")
# Options that change memory and time, and of the results nothing but rounding.
_COSTS = ("runs_per_program", "remat", "resident", "checkpoint_epochs")
FREE_OPTIONS = ("data_devices", *_COSTS)


def begin(
    folder: Path,
    content: Mapping[str, Any],
    fingerprint: Mapping[str, str],
    *,
    kind: str = "experiment",
    mark: str = "config.json",
    defaults: Mapping[str, Any],
    together: int | None = None,
    encoder: str | None = None,
) -> bool:
    """Starts the folder of an experiment or a sweep, or makes sure that what is there is this very one.

    Args:
      folder: locked.
      content: of the file `mark`: what makes it this one, all but `FREE` and, of its "options", `FREE_OPTIONS`.
      fingerprint: of the dataset.
      kind: as people call it.
      defaults: of the options, which those have that there were not yet when it began.
      together: how many runs go side by side, at most, by these options; None for as many as before. As long as the options ask
        for the same number, no more than before: so many may have had no room.
      encoder: the digest of the pretrained text encoder; None without one. One that was not written down is not compared.

    Returns:
      Whether there were states that nobody goes on with, of another number of runs side by side.

    Raises:
      InputError: there is something else, or it began with another dataset or text encoder.
    """
    if not (folder / mark).is_file():
        if holds_other_things(folder, mark):
            raise InputError(f"{folder}: not empty and not {_a(kind)}; choose another --out")
        write_json(folder / "environment.json", environment(fingerprint, encoder))
        write_json(folder / mark, {"format": FORMAT, **content})
        return False
    before = read_json(folder / mark)
    if not is_ours(folder / mark):
        raise InputError(f"{folder}: not empty and not {_a(kind)}; choose another --out")
    refuse_newer(before, FORMAT, str(folder / mark))
    different = [key for key in content if key not in ("options", *FREE) and before.get(key) != content[key]]
    known, wanted = {**defaults, **before.get("options", {})}, content["options"]
    different += [key for key in known if key not in wanted]  # of another version, which may train otherwise by it
    different += [key for key in wanted if key not in FREE_OPTIONS and (key not in known or known[key] != wanted[key])]
    if different:
        raise InputError(
            f"{folder}: holds {_a(kind)} with another {', '.join(different)}; repeat its command to resume it, choose "
            "another --out, or --overwrite"
        )
    told = read_json(folder / "environment.json")
    if not isinstance(told, dict) or told.get("dataset_sha256") != fingerprint:
        raise InputError(f"{folder}: the dataset is not the one that this {kind} began with; --overwrite starts anew")
    if encoder is not None and told.get("text_encoder_sha256", encoder) != encoder:
        raise InputError(
            f"{folder}: the weights or the vocabulary of the text encoder are not those that this {kind} began with; "
            "--overwrite starts anew"
        )
    # What is left to train is written as this version does; its state stays and its text is shown if that is asked now.
    asked = {key: content[key] for key in ("keep_state", "with_text") if key in content}
    options = {**known, **{name: wanted[name] for name in _COSTS if name in wanted}}
    now = {**before, "format": FORMAT, **asked, "options": options}
    if together is not None:
        same = options.get("runs_per_program") == known.get("runs_per_program")
        now["runs_per_program"] = min(before.get("runs_per_program", 1), together) if same else together
    if now != before:
        write_json(folder / mark, now)
    states = list((folder / "checkpoints").glob(f"*/{STATE}"))
    if not states or now.get("runs_per_program") == before.get("runs_per_program"):
        return False
    for state in states:
        delete_state(state.parent)
    return True


def note_resumed(folder: Path) -> None:
    """Adds to environment.json when and on what an experiment was gone on with; folder: locked, after `begin`."""
    told = read_json(folder / "environment.json")
    before = told.get("resumed")
    write_json(
        folder / "environment.json", {**told, "resumed": [*(before if isinstance(before, list) else ()), session()]}
    )


def reopen(folder: Path, seeds: Sequence[int], max_epochs: int) -> None:
    """Makes an experiment one that is not finished and goes on to more epochs; whenever this ends, it can be resumed.

    Args:
      folder: locked, of an experiment with less `max_epochs`.
      seeds: of its runs.
    """
    content = read_json(folder / "config.json")
    (folder / "result.json").unlink(missing_ok=True)
    for seed in seeds:
        (folder / "checkpoints" / str(seed) / "result.json").unlink(missing_ok=True)
    write_json(folder / "config.json", {**content, "options": {**content["options"], "max_epochs": max_epochs}})


def write_together(folder: Path, runs: int) -> None:
    """Writes down that so many runs of an experiment go side by side from now on; folder: locked."""
    write_json(folder / "config.json", {**read_json(folder / "config.json"), "runs_per_program": runs})


def clear(folder: Path, mark: str = "config.json") -> None:
    """Empties an experiment folder, for `--overwrite`; the lock stays. Deletes what experiments and sweeps write, no more.

    Raises:
      InputError: it is not recognised as an experiment, or holds something that no experiment writes. Nothing is deleted.
    """
    begun = (folder / mark).exists()
    if holds_other_things(folder, mark) or (begun and not is_ours(folder / mark)):
        raise InputError(f"{folder}: not an experiment (no {mark} of one), so it is not overwritten")
    held = sorted(path for path in folder.iterdir() if path.name != LOCK)
    strange = [path for path in held if whole_name(path.name) not in WRITTEN] if begun else []
    if strange:
        raise InputError(
            f"{folder}: holds {strange[0].name}, which no experiment writes, so it is not overwritten; move it or choose "
            "another --out"
        )
    # What says that it is finished goes first, and what says that it is an experiment last: if this ends on the way, it is
    # neither taken for finished nor for something else.
    place = {"result.json": 0, "environment.json": 2, mark: 3}
    for path in sorted(held, key=lambda path: place.get(path.name, 1)):
        if whole_name(path.name) in WRITTEN:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
