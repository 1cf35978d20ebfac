"""Experiments side by side: the tables of `compare`, and curves over the epochs."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msa_jax.errors import InputError
from msa_jax.report.compare import compare
from msa_jax.report.experiment import read_metrics
from msa_jax.report.run_curves import read_curves


def comparison(folders: Sequence[Path], names: Sequence[str]) -> dict[str, Any]:
    """Tables and curves of experiments.

    Args:
      folders: of the experiments.
      names: what the curves call each.

    Returns:
      {"tables": [{"caption", "columns", "rows", "notes"}], "curves": {name: [{"experiment", "seed", "epochs", "values",
      "best"}]}, "remarks": why something is not there}
    """
    remarks: list[str] = []
    try:
        found = [compare(folders)] if folders else []
    except InputError as error:  # of two datasets, say
        remarks += [str(error)] if len(folders) > 1 else []
        found = []
        for folder in folders:
            try:
                found.append(compare([folder]))
            except InputError as own:
                remarks.append(str(own))
    tables = [table.json() for one in found for table in one.tables()]
    curves: dict[str, list[dict[str, Any]]] = {}
    for folder, name in zip(folders, names, strict=True):
        try:
            runs = read_curves(folder)
        except InputError as error:
            remarks.append(str(error))
            continue
        seeds = dict.fromkeys(line["seed"] for line in read_metrics(folder))  # in the order of `read_curves`
        for seed, run in zip(seeds, runs, strict=True):
            for curve, values in run.values.items():
                curves.setdefault(curve, []).append(
                    {
                        "experiment": name,
                        "seed": seed,
                        "epochs": run.step.tolist(),
                        "values": [value if math.isfinite(value) else None for value in values.tolist()],
                        "best": run.best,
                    }
                )
    return {"tables": tables, "curves": curves, "remarks": remarks}
