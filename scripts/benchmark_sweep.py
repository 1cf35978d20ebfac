"""Sweeps over the states of a frozen text encoder at MOSI's unaligned shapes, as `msa-jax sweep` trains them."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from msa_jax.data.schema import Card, Dataset, Split
from msa_jax.train.pruning import Prune
from msa_jax.train.sweep import sweep
from scripts.benchmark_workload import TOKENS, Workload, make_columns

HELD_OUT = 64  # samples of valid and test
PRUNE = Prune(warmup=2, runs=2)


class OurSweep:
    """A sweep of a method over a grid; programs of the sweeps before are taken from `cache`."""

    def __init__(self, method: str, grid: Mapping[str, Sequence[float]], workload: Workload, cache: str):
        import jax

        jax.config.update("jax_compilation_cache_dir", cache)
        self._method, self._grid, self._dataset = method, dict(grid), dataset_of(workload)
        self._batch_size = workload.batch_size

    def block(self, epochs: int, *, prune: bool = False, together: int | None = None) -> dict[str, float]:
        """Seconds of the sweep and the epochs that all of its runs had; seconds of an epoch of a run, its first one left out.

        together: runs side by side; None for as many as the engine chooses.
        """
        options: dict[str, Any] = {"max_epochs": epochs, "patience": epochs, "batch_size": self._batch_size}
        options |= {"text_encoder": "features"} | ({} if together is None else {"runs_per_program": together})
        begun = time.perf_counter()
        with TemporaryDirectory() as folder:
            sweep(
                self._method, self._dataset, grid=self._grid, out=Path(folder) / "sweep", preset="none", log=None,
                prune=PRUNE if prune else False, options=options,
            )  # fmt: skip
            took = time.perf_counter() - begun
            lines = (Path(folder) / "sweep" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        trained = [json.loads(line) for line in lines]
        later = [line["seconds"] for line in trained if line["epoch"] > 1]
        return {"seconds": took, "epochs": len(trained), "epoch": float(np.median(later)) if later else took}


def dataset_of(workload: Workload) -> Dataset:
    """The workload's arrays as a dataset; the first state of a text says its label, so that there is something to learn."""
    columns = make_columns(workload)
    count = workload.rows
    steps = np.arange(TOKENS) < columns["mask"].sum(1)[:, None]
    text = columns["text"] * steps[..., None]
    text[:, 0] += columns["label"][:, None] / 3
    names = np.array([f"sample_{row}" for row in range(count)])
    whole = Split(
        id=names,
        label=columns["label"],
        text=text,
        **{name: columns[name] for name in ("audio", "audio_length", "vision", "vision_length")},
    )
    ends = (count - 2 * HELD_OUT, count - HELD_OUT, count)
    parts = [whole.take(slice(first, last)) for first, last in zip((0, *ends), ends, strict=False)]
    card = Card(name="made", language="en", label_range=(-3.0, 3.0), metrics="mosi")
    return Dataset(train=parts[0], valid=parts[1], test=parts[2], card=card, source="made")
