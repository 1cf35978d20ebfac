"""Bad inputs by the thousand: every one must end with 0 or 2 and one line, run no code of its own, and never hang.

    scripts/fuzz [--count N] [--seed S] [--only KIND ...]

Each input is a good one that was damaged: bytes changed, cut off or doubled; values replaced by ones of another type, shape or
size; keys renamed, dropped or added. Input number i of a seed is always the same, so that a finding can be repeated with
`--seed S --first i --count 1`. Kinds: native folders, feature files, tables, presets, options, experiment folders.
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
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax import cli, config
from msa_jax.data import make_synthetic, write_native
from msa_jax.data.schema import Dataset
from msa_jax.errors import InputError, one_line
from msa_jax.methods import BUILT_IN
from msa_jax.train.settings import resolve

SECONDS = 60  # an input that takes longer hangs
STRANGE = (
    None, True, -1, 0, 3, 2**70, 1.5, float("nan"), float("inf"), -0.0, "", "x", "nan", "\0", "../../x", "~nosuchuser",
    "é\ud800", b"", b"\xff\xfe", [], [[]], [1, [2, 3]], {}, {"a": 1}, (), set(), object, 1j, range(3), "x" * 10_000, [None],
    "[" * 500,
)  # fmt: skip
ARRAYS: tuple[Callable[[], Any], ...] = (
    lambda: np.zeros(0),
    lambda: np.zeros((3, 0)),
    lambda: np.ones(()),
    lambda: np.full((4, 2), np.nan),
    lambda: np.array(["a", "b"]),
    lambda: np.array([b"a", b"\xff"]),
    lambda: np.array([1, None, "a"], object),
    lambda: np.arange(5, dtype=np.uint8),
    lambda: np.zeros(3, complex),
    lambda: np.zeros(2, "datetime64[s]"),
    lambda: np.zeros(2, [("a", "i4")]),
    lambda: np.full(6, 1e300),
)


class Runs:
    """A pickle of this would run code."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


def damaged_bytes(rng: random.Random, content: bytes) -> bytes:
    """Cut off, changed in some places, or with something put in or taken out."""
    data = bytearray(content)
    how = rng.randrange(5)
    if how == 0:
        del data[rng.randrange(len(data) + 1) :]
    elif how == 1:
        for _ in range(rng.randint(1, 20)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
    elif how == 2:
        place = rng.randrange(len(data) + 1)
        data[place:place] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 50)))
    elif how == 3:
        begin = rng.randrange(len(data) + 1)
        del data[begin : begin + rng.randint(1, 100)]
    else:
        data += data[: rng.randrange(len(data) + 1)]
    return bytes(data)


def damaged_value(rng: random.Random, value: Any) -> Any:
    """Another value: strange, or the same array with another type, shape or some odd elements."""
    if isinstance(value, np.ndarray) and value.ndim and rng.random() < 0.6:
        how = rng.randrange(7)
        if how == 0:
            return value[: rng.randrange(len(value) + 1)]
        if how == 1:
            return value[..., None] if rng.random() < 0.5 else value.reshape(-1)
        if how == 2:
            return (
                value.astype(rng.choice(["O", "U5", "f2", "i1", "?"])) if value.dtype.kind != "U" else value.astype("O")
            )
        if how == 3 and value.dtype.kind == "f" and value.size:
            value = value.copy()
            value.flat[rng.randrange(value.size)] = rng.choice([np.nan, np.inf, 1e38, -1e-40])
            return value
        if how == 4:
            odd = value.astype("O")
            if odd.size:
                odd.flat[rng.randrange(odd.size)] = rng.choice(STRANGE[:20])
            return odd
        if how == 5:
            return value.tolist()
        return value[::-1]
    return rng.choice(ARRAYS)() if rng.random() < 0.3 else rng.choice(STRANGE)


def damaged_tree(rng: random.Random, tree: dict[Any, Any]) -> dict[Any, Any]:
    """A dict in which some entry, at any depth, is another, has another name, or is gone."""
    tree = dict(tree)
    for _ in range(rng.randint(1, 3)):
        if not tree:
            break
        key = rng.choice(sorted(tree, key=str))
        how = rng.randrange(6)
        if how == 0:
            del tree[key]
        elif how == 1:
            tree[rng.choice([f"{key} ", str(key).upper(), 5, None, "", (1,)])] = tree.pop(key)
        elif how == 2:
            tree[rng.choice(["extra", 7, "label", "test"])] = rng.choice(STRANGE)
        elif isinstance(tree[key], dict) and how < 5:
            tree[key] = damaged_tree(rng, tree[key])
        else:
            tree[key] = damaged_value(rng, tree[key])
    return tree


# -- kinds: each makes one damaged input in a folder, and says what to do with it ---------------------------------------

Doing = list[str] | Callable[[], Any]


class Good:
    """What inputs are made from: a small dataset, and a finished experiment of text of three words."""

    def __init__(self, folder: Path):
        self.dataset: Dataset = make_synthetic(seed=0, train=12, valid=6, test=6)
        write_native(self.dataset, folder / "native")
        self.native = folder / "native"
        self.columns = {name: dict(split.columns()) for name, split in self.dataset.splits().items()}
        self.marker = folder / "code_was_run"
        self.experiment = folder / "experiment"
        _write_experiment(self.experiment, self.dataset)


def _write_experiment(folder: Path, dataset: Dataset) -> None:
    """As `train` leaves one; nothing was trained."""
    from msa_jax.metrics import METRIC_KEYS
    from msa_jax.train.csv_text import predictions_csv

    folder.mkdir()
    settings = resolve("tfn", dataset="synthetic", preset="none", protocol=None)
    scores = dict.fromkeys(METRIC_KEYS["mosi"], 0.5)
    runs = [
        {"seed": seed, "hyperparameters": {}, "best_epoch": 1, "epochs": 2, "valid": scores, "test": scores}
        for seed in (1, 2)
    ]
    mean, std = scores, dict.fromkeys(scores, 0.0)
    result = {"method": "tfn", "dataset": "synthetic", "metrics": "mosi", "runs": runs, "mean": mean, "std": std}
    options = config.to_json(settings.options)
    described = {"method": "tfn", "dataset": "synthetic", "protocol": "paper", "seeds": [1, 2], "options": options}
    for name, content in (("result", result), ("config", described)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "metrics.jsonl").write_text('{"run": 0, "epoch": 1, "train": {}, "valid": {"MAE": 1.0}, "seconds": 1}\n')
    (folder / "predictions").mkdir()
    for split in ("valid", "test"):
        part = dataset.splits()[split]
        heads = {str(seed): {"prediction": part.label} for seed in (1, 2)}
        (folder / "predictions" / f"{split}.csv").write_text(predictions_csv(part.id, part.label, heads))


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
        path, data = folder / "p.py", f"PRESET = {content!r}".encode("utf-8", "replace")
    if rng.random() < 0.3:
        data = damaged_bytes(rng, data)
    path.write_bytes(data)
    return lambda: resolve(method, dataset="mosi", preset=str(path), protocol=None)


def experiment(rng: random.Random, good: Good, folder: Path) -> Doing:
    shutil.copytree(good.experiment, folder / "run")
    files = sorted(path for path in (folder / "run").rglob("*") if path.is_file())
    path = rng.choice(files)
    if path.suffix == ".json" and rng.random() < 0.6:
        path.write_text(json.dumps(damaged_tree(rng, json.loads(path.read_text())), default=repr, skipkeys=True))
    elif rng.random() < 0.1:
        path.unlink()
    else:
        path.write_bytes(damaged_bytes(rng, path.read_bytes()))
    return [*rng.choice([["compare"], ["compare", "--split", "valid"], ["evaluate"], ["errors"]]), str(folder / "run")]


KINDS: dict[str, Callable[[random.Random, Good, Path], Doing]] = {
    "native": native_folder,
    "pickle": feature_file,
    "table": table,
    "options": options,
    "preset": preset,
    "experiment": experiment,
}


def outcome(doing: Doing) -> tuple[str, str]:
    """What came of an input: "fine" or "refused"; or else what is wrong, and its traceback or output."""
    out, err = io.StringIO(), io.StringIO()
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
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
    *others, last = err.getvalue().splitlines() or [""]
    if status == 0:
        return "fine", ""
    if status != 2:
        return f"status {status}", err.getvalue()
    if not last.startswith("msa-jax: ") or any("Traceback" in line for line in others):
        return "no line", err.getvalue()
    if len(last) > 1100:
        return "a line of more than 1,100 characters", last
    return "refused", ""


def fuzz(count: int, *, seed: int = 0, first: int = 0, kinds: list[str] | None = None) -> dict[str, Any]:
    """Tries inputs `first` to `first + count - 1`.

    Returns:
      {"outcomes": {kind: {outcome: number}}, "findings": [{"number", "kind", "what", "detail"}]}, a finding for each input
      that ended in anything but "fine" or "refused", or ran code.
    """
    kinds = kinds or list(KINDS)
    outcomes: dict[str, collections.Counter[str]] = {kind: collections.Counter() for kind in kinds}
    findings = []
    with tempfile.TemporaryDirectory(prefix="msa_jax_fuzz_") as root:
        good = Good(Path(root))
        for number in range(first, first + count):
            kind = kinds[number % len(kinds)]
            folder = Path(root) / "input"
            folder.mkdir()
            what, detail = outcome(KINDS[kind](random.Random(f"{seed}/{number}"), good, folder))
            if good.marker.exists():
                what, detail = "ran code", ""
                good.marker.unlink()
            outcomes[kind][what] += 1
            if what not in ("fine", "refused"):
                findings.append({"number": number, "kind": kind, "what": what, "detail": detail})
            shutil.rmtree(folder)
    return {"outcomes": {kind: dict(found) for kind, found in outcomes.items()}, "findings": findings}


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Bad inputs by the thousand.")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=list(KINDS), help="kinds of input")
    given = parser.parse_args()
    found = fuzz(given.count, seed=given.seed, first=given.first, kinds=given.only)
    for kind, outcomes in found["outcomes"].items():
        print(f"{kind:12s}", ", ".join(f"{what} {number}" for what, number in sorted(outcomes.items())))
    for finding in found["findings"]:
        print(f"\ninput {finding['number']} ({finding['kind']}): {finding['what']}\n{finding['detail']}")
    return 1 if found["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())
