"""Reads a finished experiment folder.

    config.json  environment.json  metrics.jsonl  result.json  predictions/{valid,test}.csv  checkpoints/

Every reader returns plain Python and numpy, and raises InputError with one line that names the file and what is wrong.
A metric that is not defined (Corr of a constant prediction, spread of one run) is `null` in the files and None here.
"""

import csv
import math
import shlex
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax import json_text
from msa_jax.errors import DataWarning, InputError
from msa_jax.paths import user_path

SPLITS = ("valid", "test")  # the splits a run is scored on
MOST_CHARACTERS = 2**31 - 1  # of a cell; 131,072 by default


def read_result(folder: str | Path) -> dict:
    """`result.json` of a finished experiment.

    {"method", "dataset", "runs": [{"seed", "valid": {...}, "test": {...}, ...}], "mean": {...}, "std": {...}, ...}

    Metric values are floats, or None where they are not defined; every run has the same metrics per split.

    Raises:
        InputError: no such folder, an experiment that is not finished, no experiment at all, or a file that is not the
            JSON described above.
    """
    folder = user_path(folder)
    path = folder / "result.json"
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected an experiment folder")
    if not path.is_file():
        if (folder / "config.json").is_file():
            from msa_jax.train.exported import is_exported  # here, since JAX comes with it

            if is_exported(folder):
                raise InputError(f"{folder}: an exported folder, which predicts; expected an experiment folder")
            raise InputError(f"{folder}: not finished: resume it with msa-jax resume {shlex.quote(str(folder))}")
        raise InputError(f"{folder}: neither result.json nor config.json here; expected an experiment folder")
    result = _load_json(path)
    _check_keys(result, {"method": str, "dataset": str, "runs": list, "mean": dict, "std": dict}, str(path))
    if not result["runs"]:
        raise InputError(f"{path}: runs is empty: expected at least one run")
    for row, run in enumerate(result["runs"]):
        where = f"{path}: runs[{row}]"
        _check_keys(run, {"seed": int, **dict.fromkeys(SPLITS, dict)}, where)
        for split in SPLITS:
            run[split] = _metric_values(run[split], f"{where}.{split}")
            if run[split].keys() != result["runs"][0][split].keys():
                raise InputError(
                    f"{where}.{split} has other metrics than runs[0].{split}: expected the same in every run"
                )
    for name in ("mean", "std"):
        result[name] = _metric_values(result[name], f"{path}: {name}")
    return result


def experiment_names(folders: Sequence[str | Path]) -> list[str]:
    """What tables call each experiment: the folder's name, or the path as it is given if two folders share a name.

    Raises:
        InputError: a folder is given twice, however it is written.
    """
    paths = [user_path(folder).resolve() for folder in folders]
    for path, folder in zip(paths, folders, strict=True):
        if paths.count(path) > 1:
            raise InputError(f"{folder} is given twice: expected different experiment folders")
    names = [path.name for path in paths]
    return [name if names.count(name) == 1 else str(folder) for name, folder in zip(names, folders, strict=True)]


def predictions_path(folder: str | Path, split: str) -> Path:
    """Where the per-sample predictions of one split lie (or would lie). Raises InputError for a split that is not scored."""
    if split not in SPLITS:
        raise InputError(f"split {split!r} is unknown: expected one of {', '.join(SPLITS)}")
    return user_path(folder) / "predictions" / f"{split}.csv"


def number_format(result: Mapping[str, Any]) -> str | None:
    """What a finished experiment was computed in, by its `result.json`; None if it does not tell, as old ones do not."""
    options = result["runs"][0].get("hyperparameters")
    found = options.get("precision") if isinstance(options, Mapping) else None
    return found if found in ("float32", "bfloat16") else None


def read_predictions(folder: str | Path, split: str) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Per-sample predictions of one split, in the order of the dataset. A column of texts is not read.

    Returns:
        ids `[N]` str (unique), label `[N]` float32, and one `[N]` float32 per run and head, named "seed/head" as in
        "1111/prediction" and "1111/text".

    Raises:
        InputError: file or column missing, a row of another width, a cell that is not a finite number, an id twice.
    """
    path = predictions_path(folder, split)
    limit = csv.field_size_limit(MOST_CHARACTERS)  # of the module; a sample's text may be longer
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = [*csv.reader(file)] or [[]]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected the per-sample predictions of split {split}") from None
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise InputError(f"{path}: not a readable CSV file: {error}") from None
    finally:
        csv.field_size_limit(limit)
    if header[:2] != ["id", "label"] or len(set(header)) < len(header):
        found = ", ".join(header) or "absent"
        raise InputError(f"{path}: columns are {found}: expected id, label, then one per run and head, each once")
    if not rows:
        raise InputError(f"{path}: no rows below the header")
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise InputError(f"{path}: line {line} has {len(row)} cells: expected {len(header)}, as in the header")
    ids, *columns = zip(*rows, strict=True)
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise InputError(f"{path}: id {twice!r} occurs {ids.count(twice)} times: expected unique ids")
    numbers = {
        name: _numbers(cells, path, name)
        for name, cells in zip(header[1:], columns, strict=True)
        if name != "text"  # of a training `--with-text`; a head is SEED/NAME
    }
    return np.array(ids), numbers.pop("label"), numbers


def read_metrics(folder: str | Path) -> list[dict]:
    """`metrics.jsonl`, one dict per run and epoch ({"run", "seed", "epoch", "train", "valid", "seconds"}), as written.

    With several stages also "stage"; "weights" {term: weight in this epoch} where a method weighs its terms.

    Works on unfinished experiments too: a last line that was cut off in writing is left out with a DataWarning.

    Raises:
        InputError: no such file, or a line that is not a JSON object.
    """
    return read_lines(user_path(folder) / "metrics.jsonl")


def read_lines(path: Path) -> list[dict]:
    """A file that training appends to, such as `steps/1111.jsonl`: one dict for each line; otherwise as `read_metrics`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected one JSON object per line") from None
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    lines = text.splitlines()
    epochs = []
    for number, line in enumerate(lines, start=1):
        try:
            epoch = json_text.parse(line)
        except ValueError:
            if number == len(lines) and not text.endswith("\n"):
                warnings.warn(f"{path}: line {number} is cut off and was left out", DataWarning, stacklevel=2)
                break
            raise InputError(f"{path}: line {number} is not JSON") from None
        if not isinstance(epoch, dict):
            raise InputError(f"{path}: line {number} is not a JSON object")
        epochs.append(epoch)
    return epochs


def last_stage(lines: Sequence[Mapping]) -> list[Mapping]:
    """Those lines of one run's `metrics.jsonl` or `steps/SEED.jsonl`, at least one, that are of the stage of the last."""
    stage = lines[-1].get("stage")  # a method with one stage names none
    return [line for line in lines if line.get("stage") == stage]


def _load_json(path: Path) -> object:
    try:
        return json_text.parse(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not a readable JSON file: {error}") from None


def _check_keys(found: object, expected: Mapping[str, type], where: str) -> None:
    if not isinstance(found, dict):
        raise InputError(f"{where} is not a JSON object: expected keys {', '.join(expected)}")
    for key, kind in expected.items():
        if key not in found:
            raise InputError(f"{where} has no {key!r}: expected keys {', '.join(expected)}")
        if not isinstance(found[key], kind) or isinstance(found[key], bool):
            raise InputError(f"{where}: {key!r} is a {type(found[key]).__name__}: expected {kind.__name__}")


def _metric_values(values: dict, where: str) -> dict[str, float | None]:
    """Metric -> float, with None for null and for a NaN that another writer left."""
    for key, value in values.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise InputError(f"{where}: {key!r} is {value!r}: expected a number or null")
    return {key: float(v) if v is not None and math.isfinite(v) else None for key, v in values.items()}


def _numbers(cells: Sequence[str], path: Path, column: str) -> np.ndarray:
    """One CSV column as `[N]` float32."""
    values = np.empty(len(cells), np.float32)
    for row, cell in enumerate(cells):
        try:
            values[row] = float(cell)
            if not np.isfinite(values[row]):
                raise ValueError
        except ValueError:
            raise InputError(
                f"{path}: line {row + 2}, column {column!r} is {cell!r}: expected a finite number"
            ) from None
    return values
