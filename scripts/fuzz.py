"""Bad inputs by the thousand: every one must end with 0 or 2 and one line, run no code of its own, and never hang.

    scripts/fuzz [--inputs N] [--seed S] [--only KIND ...]

Each input is a good one that was damaged: bytes changed, cut off or doubled; values replaced by ones of another type, shape or
size; keys renamed, dropped or added. Input number i of a seed is always the same, so that a finding can be repeated with
`--seed S --first i --inputs 1` and the same kinds. Kinds: native folders, feature files, tables, options, presets, and of one
experiment that is trained for it: what is read of it, what it exports, training that goes on from it, and its pages.
"""

import argparse
import collections
import contextlib
import faulthandler
import io
import json
import os
import pickle
import random
import shutil
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from msa_jax import cli, config
from msa_jax.data import make_synthetic, write_native
from msa_jax.data.schema import Dataset
from msa_jax.errors import InputError, one_line
from msa_jax.methods import BUILT_IN
from msa_jax.train.settings import resolve
from scripts.fuzz_damage import STRANGE, Runs, damaged_bytes, damaged_tree
from scripts.fuzz_experiment import COMMANDS, Experiments

SECONDS = 60  # an input that takes longer hangs

# -- kinds: each makes one damaged input in a folder, and says what to do with it ---------------------------------------

Doing = list[str] | Callable[[], Any]


class Good:
    """What inputs are made from: a small dataset, and experiments on it."""

    def __init__(self, folder: Path):
        self.dataset: Dataset = make_synthetic(seed=0, train=12, valid=6, test=6, audio_steps=12, vision_steps=12)
        write_native(self.dataset, folder / "native")
        self.native = folder / "native"
        self.columns = {name: dict(split.columns()) for name, split in self.dataset.splits().items()}
        self.marker = folder / "code_was_run"
        self.experiments = Experiments(folder / "experiments", self.native, self.marker)


def native_folder(rng: random.Random, good: Good, folder: Path) -> Doing:
    shutil.copytree(good.native, folder / "data")
    name = rng.choice(["card.json", "train.npz", "valid.npz", "test.npz"])
    path = folder / "data" / name
    how = rng.random()
    if how < 0.1:
        path.unlink()
        if rng.random() < 0.5:
            path.mkdir()
    elif how < 0.5:
        path.write_bytes(damaged_bytes(rng, path.read_bytes()))
    elif name == "card.json":
        content = damaged_tree(rng, json.loads(path.read_text()))
        path.write_text(json.dumps(content, default=repr, skipkeys=True))
    else:
        arrays = damaged_tree(rng, good.columns[name.removesuffix(".npz")])
        if rng.random() < 0.1:
            arrays[rng.choice(["extra", "label", "audio"])] = Runs(good.marker)
        with contextlib.suppress(Exception), open(path, "wb") as file:  # what numpy cannot write is no input
            np.savez(file, **{str(key): np.asarray(value) for key, value in arrays.items()})
    return ["data", "check", str(folder / "data")]


_MMSA = {"label": "regression_labels", "audio_length": "audio_lengths", "vision_length": "vision_lengths"}
_MMSA |= {f"label_{letter.lower()}": f"regression_labels_{letter}" for letter in "TAV"}
_CMU = {"label": "labels", "id": "id", "audio": "audio", "vision": "vision"}


def feature_file(rng: random.Random, good: Good, folder: Path) -> Doing:
    content: Any = {
        split: {_MMSA.get(name, name): value for name, value in columns.items()}
        for split, columns in good.columns.items()
    }
    if rng.random() < 0.3:  # as MulT has them
        content = {
            split: {_CMU[name]: value for name, value in columns.items() if name in _CMU}
            for split, columns in good.columns.items()
        }
    if rng.random() < 0.1:
        content["train"]["audio"] = Runs(good.marker)
    else:
        content = damaged_tree(rng, content)
    try:
        data = pickle.dumps(content, protocol=rng.choice([0, 2, 4, 5]))
    except Exception:  # something that no pickle holds
        data = pickle.dumps({"train": 1})
    if rng.random() < 0.4:
        data = damaged_bytes(rng, data)
    path = folder / rng.choice(["mosi.pkl", "own.pickle", "x.PKL"])
    path.write_bytes(data)
    return ["data", "check", str(path)]


def table(rng: random.Random, good: Good, folder: Path) -> Doing:
    split = good.dataset.train
    lines = ["id,text,label,split"]
    lines += [
        f'{name},"word, {row}",{label:.1f},train'
        for row, (name, label) in enumerate(zip(split.id, split.label, strict=True))
    ]
    for _ in range(rng.randint(0, 4)):
        row = rng.randrange(len(lines))
        parts = lines[row].split(",")
        parts[rng.randrange(len(parts))] = str(rng.choice(STRANGE)).encode("utf-8", "replace").decode()
        lines[row] = ",".join(parts)
    data = "\n".join(lines).encode()
    if rng.random() < 0.5:
        data = damaged_bytes(rng, data)
    path = folder / rng.choice(["t.csv", "t.tsv", "t.jsonl", "t.CSV"])
    path.write_bytes(data)
    return ["data", "check", str(path)]


def _options(rng: random.Random, method: str) -> dict[Any, Any]:
    from msa_jax import methods

    known = sorted(config.flatten(methods.get(method).options()))
    chosen = {rng.choice(known): rng.choice(STRANGE) for _ in range(rng.randint(1, 4))}
    return damaged_tree(rng, chosen) if rng.random() < 0.3 else chosen


def options(rng: random.Random, good: Good, folder: Path) -> Doing:
    method = rng.choice(sorted(BUILT_IN))
    changes = _options(rng, method)
    return lambda: resolve(
        method, dataset="mosi", preset=None, protocol=rng.choice([None, "paper", "x"]), options=changes
    )


def preset(rng: random.Random, good: Good, folder: Path) -> Doing:
    method = rng.choice(sorted(BUILT_IN))
    content: Any = {"method": method, "protocol": "reference", "options": _options(rng, method)}
    if rng.random() < 0.5:
        content = damaged_tree(rng, content)
    if rng.random() < 0.5:
        path, data = folder / "p.json", json.dumps(content, default=repr, skipkeys=True).encode("utf-8", "replace")
    else:
        runs = f"__import__('pathlib').Path({str(good.marker)!r}).touch() or " if rng.random() < 0.1 else ""
        path, data = folder / "p.py", f"PRESET = {runs}{content!r}".encode("utf-8", "replace")
    if rng.random() < 0.3:
        data = damaged_bytes(rng, data)
    path.write_bytes(data)
    return lambda: resolve(method, dataset="mosi", preset=str(path), protocol=None)


def _experiment(kind: str) -> Callable[[random.Random, Good, Path], Doing]:
    return lambda rng, good, folder: good.experiments.input(rng, kind, folder)


KINDS: dict[str, Callable[[random.Random, Good, Path], Doing]] = {
    "native": native_folder,
    "pickle": feature_file,
    "table": table,
    "options": options,
    "preset": preset,
    **{kind: _experiment(kind) for kind in COMMANDS},
}
# How many of a hundred inputs are of a kind: what trains or draws takes a second, and the others a hundredth.
_SHARES = {"native": 18, "pickle": 18, "table": 18, "options": 16, "preset": 16, "experiment": 8, "exported": 4}
_SHARES |= {"training": 1, "pages": 1}


def _turns(kinds: list[str]) -> list[str]:
    """The kinds of inputs that follow one another, each as often as its share says."""
    places = [((place + 0.5) / _SHARES[kind], kind) for kind in kinds for place in range(_SHARES[kind])]
    return [kind for _, kind in sorted(places)]


def outcome(doing: Doing, hangs: TextIO) -> tuple[str, str]:
    """What came of an input: "fine" or "refused"; or else what is wrong, and its traceback or output.

    hangs: where the traceback of an input that hangs goes, which ends the process; no stream that this takes.
    """
    faulthandler.dump_traceback_later(SECONDS, exit=True, file=hangs)
    try:
        with _output() as said, warnings.catch_warnings():
            warnings.simplefilter("always")
            if isinstance(doing, list):
                status: Any = cli.main(doing)
            else:
                try:
                    doing()
                    status = 0
                except InputError as error:
                    print(f"msa-jax: {one_line(error)}", file=sys.stderr)
                    status = 2
    except BaseException as error:
        return type(error).__name__, traceback.format_exc()
    finally:
        faulthandler.cancel_dump_traceback_later()
    text = said()
    lines = text.splitlines()
    errors = [line for line in lines if not line.startswith("msa-jax: warning: ")]
    if status not in (0, 2):
        return f"status {status}", text
    if len(errors) != (status == 2) or not all(line.startswith("msa-jax: ") for line in errors):
        return f"{len(errors)} lines with status {status}", text
    if any(len(line) > 1100 for line in lines):
        return "a line of more than 1,100 characters", text
    return ("refused" if status == 2 else "fine"), ""


@contextlib.contextmanager
def _output() -> Iterator[Callable[[], str]]:
    """Takes standard output, and standard error that libraries of C write to as well; gives what the second was."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as file, contextlib.ExitStack() as undone:
        sys.stderr.flush()
        before = os.dup(2)
        undone.callback(os.close, before)
        os.dup2(file.fileno(), 2)
        undone.callback(os.dup2, before, 2)
        undone.enter_context(contextlib.redirect_stdout(io.StringIO()))
        undone.enter_context(contextlib.redirect_stderr(file))
        found: list[str] = []
        yield lambda: found[0]
        file.flush()
        file.seek(0)
        found.append(file.read())


@contextlib.contextmanager
def _named(name: str, hangs: TextIO) -> Iterator[None]:
    """Says what hangs, just before `outcome` gives it up."""
    timer = threading.Timer(0.9 * SECONDS, lambda: print(f"{name}: hangs", file=hangs, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def fuzz(
    count: int,
    *,
    seed: int = 0,
    first: int = 0,
    kinds: list[str] | None = None,
    tell: Callable[[Mapping[str, Any]], None] = lambda finding: None,
) -> dict[str, Any]:
    """Tries inputs `first` to `first + count - 1`.

    Args:
      tell: is called with each finding at once, since an input that hangs ends the process.

    Returns:
      {"outcomes": {kind: {outcome: number}}, "findings": [{"number", "kind", "what", "detail"}]}, a finding for each input
      that ended in anything but "fine" or "refused", or ran code.
    """
    kinds = kinds or list(KINDS)
    turns = _turns(kinds)
    outcomes: dict[str, collections.Counter[str]] = {kind: collections.Counter() for kind in kinds}
    findings = []
    with tempfile.TemporaryDirectory(prefix="msa_jax_fuzz_") as root, os.fdopen(os.dup(2), "w") as hangs:
        good = Good(Path(root))
        for number in range(first, first + count):
            kind = turns[number % len(turns)]
            folder = Path(root) / "input"
            folder.mkdir()
            doing = KINDS[kind](random.Random(f"{seed}/{number}"), good, folder)  # which may train an experiment first
            with _named(f"input {number}, {kind}, {folder}", hangs):
                what, detail = outcome(doing, hangs)
            if good.marker.exists():
                what, detail = "ran code", ""
                good.marker.unlink()
            outcomes[kind][what] += 1
            if what not in ("fine", "refused"):
                findings.append({"number": number, "kind": kind, "what": what, "detail": detail})
                tell(findings[-1])
            shutil.rmtree(folder)
    return {"outcomes": {kind: dict(found) for kind, found in outcomes.items()}, "findings": findings}


def _print(finding: Mapping[str, Any]) -> None:
    print(f"input {finding['number']} ({finding['kind']}): {finding['what']}\n{finding['detail']}", flush=True)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Bad inputs by the thousand.")
    parser.add_argument("--inputs", type=int, default=10_000, help="how many are tried")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=list(KINDS), help="kinds of input")
    given = parser.parse_args()
    found = fuzz(given.inputs, seed=given.seed, first=given.first, kinds=given.only, tell=_print)
    for kind, outcomes in found["outcomes"].items():
        print(f"{kind:12s}", ", ".join(f"{what} {number}" for what, number in sorted(outcomes.items())))
    return 1 if found["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())
