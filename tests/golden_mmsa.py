"""Our networks beside those of MMSA: the same weights, the same inputs, how far outputs and gradients differ.

    python -m tests.golden_mmsa FILE.npz [FILE.npz ...]

For each file (its form stands in tests/golden/__init__.py) the network of the method that its name begins with is built in
the reference protocol, takes the file's weights and is evaluated. Printed are the largest relative difference of an output
and of a gradient, and whose they are. The exit code is 1 where a difference lies above 2e-4 or is not a number, 2 where a
file cannot be compared at all, and otherwise 0.

The relative difference of an array is max |ours - theirs| / max |theirs|. Some gradients are mathematically 0 and what
stands there is rounding (the bias of an attention's keys, for one): for gradients the divisor is at least FLOOR times the
largest gradient of the file. An error that moves no gradient by more than 2e-4 * FLOOR = 1e-8 of the largest one is
therefore not seen.
"""

import argparse
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

import tests.golden
from tests.golden.copying import Arrays, Comparison, Pairs, part

TOLERANCE = 2e-4
# The gradients of the biases of BERT's keys are 0, and ours and theirs are apart by up to 3e-9 of the largest one, in MMIM's
# file: a floor of 1.4e-5 would do, and this one leaves room for the rounding of another machine. No other gradient needs one.
FLOOR = 5e-5


class Difference(NamedTuple):
    """The largest relative difference among arrays, and the name of the array that has it."""

    value: float
    name: str

    @property
    def small(self) -> bool:
        """Whether it is a number and within the tolerance."""
        return self.value <= TOLERANCE  # False for NaN

    def __str__(self) -> str:
        return f"{self.value:.1e} ({self.name})"


def comparisons() -> list[str]:
    """The methods that have a comparison, which are the modules of tests.golden with a `compare`."""
    names = sorted(module.name for module in pkgutil.iter_modules(tests.golden.__path__))
    return [name for name in names if name not in ("bert", "copying", "make_bert_golden")]


def method_of(path: Path) -> str | None:
    """The method of a file: the longest whose name the file's begins with, or None where there is none."""
    found = [name for name in comparisons() if re.match(rf"{name}([_.-]|$)", path.stem)]
    return max(found, key=len, default=None)


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a golden file by their keys.

    Raises:
      ValueError: it is no such file. OSError: it cannot be read.
    """
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def compare(arrays: Arrays, method: str) -> Comparison:
    """Every output and gradient of a golden file beside ours.

    Raises:
      ValueError: a pair is missing or of two shapes.
    """
    module = importlib.import_module(f"tests.golden.{method}")
    found: Comparison = module.compare(arrays)
    left_out: Mapping[str, str] = getattr(module, "LEFT_OUT", {})
    for kind, pairs in (("output", found["outputs"]), ("grad", found["gradients"])):
        wanted = [name for name in part(arrays, kind) if not _matches(f"{kind}/{name}", left_out)]
        if missing := sorted(set(wanted) - set(pairs)):
            raise ValueError(f"not compared: {', '.join(f'{kind}/{name}' for name in missing)}")
        for name, (ours, theirs) in pairs.items():
            if np.shape(ours) != np.shape(theirs):
                raise ValueError(f"{kind}/{name}: ours is {np.shape(ours)}, theirs is {np.shape(theirs)}")
    return found


def _matches(key: str, patterns: Iterable[str]) -> bool:
    return any(re.fullmatch(pattern, key) for pattern in patterns)


def difference(pairs: Pairs, floor: float = 0.0) -> Difference:
    """The largest relative difference of the pairs; `floor`: of the divisor, as a part of the largest of all of theirs.

    Raises:
      ValueError: there are no pairs.
    """
    if not pairs:
        raise ValueError("nothing to compare")
    size = {name: np.abs(np.asarray(theirs, np.float64)).max(initial=0.0) for name, (_, theirs) in pairs.items()}
    least = floor * max(size.values())
    worst = Difference(0.0, next(iter(pairs)))
    for name, (ours, theirs) in pairs.items():
        apart = np.abs(np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)).max(initial=0.0)
        divisor = max(size[name], least)
        value = float(apart / divisor) if divisor > 0 else (0.0 if apart == 0 else np.inf)
        if np.isnan(value) or value > worst.value:
            worst = Difference(value, name)
        if np.isnan(value):
            break
    return worst


def differences(found: Comparison) -> tuple[Difference, Difference]:
    """The largest difference of outputs and of gradients."""
    return difference(found["outputs"]), difference(found["gradients"], FLOOR)


def main(arguments: list[str] | None = None) -> int:
    """Compares the named files and prints a line for each; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden_mmsa", description=__doc__.split("\n", 1)[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.npz")
    parser.add_argument("--method", help="the comparison for all files, where their names do not say it")
    chosen = parser.parse_args(arguments)
    code = 0
    for path in chosen.files:
        method = chosen.method or method_of(path)
        if method not in comparisons():
            print(f"{path}: no comparison {'of that name' if method else 'for this name'}; there are {_known()}")
            code = 2
            continue
        try:
            outputs, gradients = differences(compare(read(path), method))
        except (OSError, KeyError, ValueError) as error:
            print(f"{path}: cannot be compared ({error})")
            code = 2
            continue
        agree = outputs.small and gradients.small
        print(f"{path}: {'agrees' if agree else 'DIFFERS'}; outputs {outputs}, gradients {gradients}")
        code = max(code, 0 if agree else 1)
    return code


def _known() -> str:
    return ", ".join(comparisons())


if __name__ == "__main__":
    sys.exit(main())
