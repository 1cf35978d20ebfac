"""Experiment folders to damage: one that was really trained, what it exports, and the commands that read either."""

import contextlib
import functools
import io
import json
import random
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from msa_jax import cli
from msa_jax.paths import sha256
from scripts.fuzz_damage import Runs, damaged_bytes, damaged_json, damaged_tree

# A method of text that trains in seconds: twelve samples, one epoch, one layer.
_TRAIN = "train text_only --preset none --seeds 1 --max-epochs 1 --scratch-layers 1 --scratch-width 32 --max-tokens 8"
_TRAIN += " --batch-size 12 --keep-state --log none --quiet"
FOLDER = "run"  # in the folder of an input

# {kind of input: {command: which experiment it is given, and the words after its own}}; {run}, {data} and {beside} are paths.
COMMANDS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "experiment": {
        "evaluate": ("finished", "evaluate {run}"),
        "evaluate on valid": ("finished", "evaluate {run} --split valid --json"),
        "errors": ("finished", "errors {run}"),
        "errors as CSV": ("finished", "errors {run} --split valid --format csv"),
        "predict": ("finished", "predict {run} --data {data} --split test"),
        "predict a text": ("finished", "predict {run} --text good"),
        "compare": ("finished", "compare {run}"),
        "compare on valid": ("finished", "compare {run} --split valid --json"),
        "export": ("finished", "export {run} --out {beside}/shared"),
        "clean": ("finished", "clean {run} --yes"),
        "resume": ("stopped", "resume {run} --quiet --log none"),
    },
    "exported": {
        "predict": ("exported", "predict {run} --text good"),
        "evaluate": ("exported", "evaluate {run} --data {data}"),
        "errors": ("exported", "errors {run} --data {data}"),
    },
    "training": {
        "resume from the last state": ("begun", "resume {run} --quiet --log none"),
        "resume to more epochs": ("finished", "resume {run} --quiet --log none --max-epochs 2"),
    },
    "pages": {
        "plot": ("finished", "plot {run} --out {beside}/curves.svg"),
        "report": ("finished", "report {run} --out {beside}/report.html"),
        "robustness": ("finished", "robustness {run} --out {beside}/robustness --rates 0 0.5 --mask-seeds 1"),
    },
}


class Experiments:
    """Folders that are fine, made when the first is asked for.

    finished: a trained experiment. stopped: its result is not written. begun: nor that of its run, whose last state is there.
    exported: what `msa-jax export` makes of it. marker: the file that code in a damaged one would make.
    """

    def __init__(self, root: Path, data: Path, marker: Path):
        self._root, self._data, self._marker = root, data, marker
        self._checked: set[tuple[str, str]] = set()

    @functools.cached_property
    def folders(self) -> dict[str, Path]:
        """{name: folder}."""
        self._root.mkdir()
        found = {name: self._root / name for name in ("finished", "stopped", "begun", "exported")}
        succeed([*_TRAIN.split(), "--data", str(self._data), "--out", str(found["finished"])])
        shutil.copytree(found["finished"], found["stopped"])
        (found["stopped"] / "result.json").unlink()
        shutil.copytree(found["stopped"], found["begun"])
        (found["begun"] / "checkpoints" / "1" / "result.json").unlink()
        succeed(["export", str(found["finished"]), "--out", str(found["exported"])])
        return found

    def command(self, kind: str, name: str, folder: Path) -> list[str]:
        """Copies the experiment that a command reads to `folder/run`; returns the words of the command."""
        source, words = COMMANDS[kind][name]
        shutil.copytree(self.folders[source], folder / FOLDER)
        return words.format(run=folder / FOLDER, data=self._data, beside=folder).split()

    def input(self, rng: random.Random, kind: str, folder: Path) -> list[str]:
        """A damaged experiment and a command on it, which is tried on the undamaged one before its first input."""
        name = rng.choice(list(COMMANDS[kind]))
        if (kind, name) not in self._checked:
            succeed(self.command(kind, name, folder))
            shutil.rmtree(folder)
            folder.mkdir()
            self._checked.add((kind, name))
        words = self.command(kind, name, folder)
        for _ in range(rng.choice([1, 1, 1, 2])):
            damage(rng, folder / FOLDER, self._marker)
        return words


def succeed(words: list[str]) -> None:
    """Runs a command on what is not damaged. Raises AssertionError unless it is fine with it."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), warnings.catch_warnings():
        warnings.simplefilter("always")
        status = cli.main(words)
    if status != 0:
        raise AssertionError(f"status {status} without any damage: {' '.join(words)}\n{said.getvalue()}")


def damage(rng: random.Random, root: Path, marker: Path) -> None:
    """Damages one file or folder in `root`: its contents for the most part, and sometimes that it is there at all."""
    ways = {".json": _json, ".jsonl": _json_lines, ".npz": functools.partial(_arrays, marker=marker), ".csv": _table}
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name != ".lock")
    if not files:
        return
    folders = sorted(path for path in root.rglob("*") if path.is_dir())
    of_contents = [path for path in files if path.suffix in ways]
    path = rng.choice(of_contents if of_contents and rng.random() < 0.6 else files)
    how = rng.random()
    if how < 0.04 and folders:
        _replace(rng, rng.choice(folders), root)
    elif how < 0.2:
        _replace(rng, path, root)
    elif how < 0.25:
        path.write_bytes(rng.choice(files).read_bytes())
    else:
        way = ways.get(path.suffix)
        content = damaged_bytes(rng, path.read_bytes()) if way is None or rng.random() < 0.3 else way(rng, path)
        path.write_bytes(content)
        if rng.random() < 0.5:
            _agree(path, root)


def _replace(rng: random.Random, path: Path, root: Path) -> None:
    """Nothing, a folder, an empty file or a link in the place of a file or folder."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    how = rng.randrange(5)
    if how == 1:
        path.mkdir()
    elif how == 2:
        path.touch()
    elif how > 2:
        path.symlink_to(rng.choice([root, path, root / "nowhere", root / "config.json", root.parent]))


def _agree(path: Path, root: Path) -> None:
    """Makes the SHA-256 sums beside a file agree with it again: whoever changes a file on purpose can do that too."""
    for folder in (one for one in path.parents if root in (one, *one.parents)):
        for sums in (folder.with_name(f"{folder.name}.json"), folder / "config.json"):
            if sums.is_file() and sums != path and root in sums.parents:
                with contextlib.suppress(ValueError, AttributeError):
                    content = json.loads(sums.read_text())
                    known = content if sums.name != "config.json" else content.get("sha256", {})
                    name = path.relative_to(folder).as_posix()
                    if name in known:
                        known[name] = sha256(path)
                        sums.write_text(json.dumps(content))


def _json(rng: random.Random, path: Path) -> bytes:
    return damaged_json(rng, path.read_text(errors="replace"))


def _json_lines(rng: random.Random, path: Path) -> bytes:
    lines = path.read_text(errors="replace").splitlines() or [""]
    place = rng.randrange(len(lines))
    lines[place : place + 1] = [damaged_json(rng, lines[place]).decode("utf-8", "replace")] * rng.choice([1, 1, 2])
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _arrays(rng: random.Random, path: Path, marker: Path) -> bytes:
    """Of an archive: arrays that are others, gone or new. Whatever cannot be written as one is no input."""
    made = io.BytesIO()
    with contextlib.suppress(Exception):
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        changed = damaged_tree(rng, arrays or {"a": np.zeros(3)})
        if rng.random() < 0.1:
            changed[rng.choice([*arrays, "extra"])] = Runs(marker)
        np.savez(made, **{str(key): np.asarray(value) for key, value in changed.items()})
    return made.getvalue()


def _table(rng: random.Random, path: Path) -> bytes:
    lines = path.read_text(errors="replace").splitlines() or [""]
    row = rng.randrange(len(lines))
    cells = lines[row].split(",")
    cells[rng.randrange(len(cells))] = rng.choice(["", "nan", "inf", "1e999", "x", '"', "-0", "9" * 5000, "é", "1,2"])
    lines[row] = ",".join(cells)
    return "\n".join(lines).encode()
