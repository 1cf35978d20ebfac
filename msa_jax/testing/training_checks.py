"""What every method must pass where it is trained from end to end."""

import contextlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from msa_jax import config, methods
from msa_jax.testing.close import close
from msa_jax.testing.conformance import Conformance
from msa_jax.train import checkpoint
from msa_jax.train.experiment import train
from msa_jax.train.experiment_dir import MetricsFile


class _Stop(Exception):
    """Ends a training run from outside."""


def check_resumption(conformance: Conformance) -> None:
    """A run that is interrupted, behind its first checkpoint and the first of its last stage, goes on from there. It ends bit
    for bit as one that is not."""
    with methods.METHODS.held(conformance.method), tempfile.TemporaryDirectory(prefix="msa_jax_conformance_") as folder:
        straight = _train(conformance, Path(folder) / "straight", seeds=(1,))
        interrupted, epochs = _interrupted(conformance, Path(folder) / "interrupted")
    assert len(epochs) > 1, "it has one checkpoint alone, so that nothing was resumed"
    assert epochs == sorted(set(epochs)), f"resumed, it does not go on from its checkpoint: {epochs} epochs were kept"
    assert straight == interrupted, "resumed, it ends otherwise than a straight run"


def check_side_by_side(conformance: Conformance) -> None:
    """Runs side by side equal separate ones.

    A method of several stages trains its runs one after the other, so that there is nothing to compare. Runs with a frozen text
    encoder that each seed draws for itself are not side by side either: those of such a method read features of text.
    """
    if len(conformance.inits.stages) > 1:
        return
    with methods.METHODS.held(conformance.method), tempfile.TemporaryDirectory(prefix="msa_jax_conformance_") as folder:
        if conformance.inits.frozen_by_seed():
            conformance = conformance.with_text_features()
        alone, together = (
            _train(conformance, Path(folder) / str(runs), seeds=(1, 2), options={"runs_per_program": runs})
            for runs in (1, 2)
        )
    for one, other in zip(alone, together, strict=True):
        close(np.asarray(other.scores), np.asarray(one.scores), "runs side by side: prediction", tolerance=2e-3)
        close(other.terms, one.terms, "runs side by side: loss term", tolerance=2e-3)


class _Trained(NamedTuple):
    """What training gave of a run: its scores on test, and what it wrote down of every epoch but the seconds."""

    scores: list[float]
    lines: list[dict[str, Any]]

    @property
    def terms(self) -> dict[str, np.ndarray]:
        """The loss terms on train, of each epoch."""
        terms = dict.fromkeys(name for line in self.lines for name in line["train"])
        return {name: np.array([line["train"][name] for line in self.lines if name in line["train"]]) for name in terms}


def _train(
    conformance: Conformance, folder: Path, *, seeds: tuple[int, ...], options: Mapping[str, Any] | None = None
) -> list[_Trained]:
    """Two epochs, or one for each stage before the last and two for that."""
    stages = {option: 1 for option in config.flatten(conformance.options) if option.endswith(".max_epochs")}
    experiment = train(
        conformance.method.name,
        conformance.dataset,
        seeds=seeds,
        out=folder,
        preset="none",
        log=None,
        options={**conformance.changes, **stages, "max_epochs": 2, "checkpoint_epochs": 1, **(options or {})},
    )
    lines = [{**line, "seconds": 0} for line in MetricsFile(folder / "metrics.jsonl").read()]
    return [
        _Trained(run.scores["test"]["prediction"].tolist(), [line for line in lines if line["seed"] == run.seed])
        for run in experiment.runs
    ]


def _interrupted(conformance: Conformance, folder: Path) -> tuple[list[_Trained], list[int]]:
    """The same, stopped behind the first checkpoint and the first of the last stage; and the epochs of each checkpoint."""
    save, epochs = checkpoint.RunCheckpoints.save, []
    stops = {0, len(conformance.inits.stages) - 1}  # the stages behind whose first checkpoint it is stopped

    def save_and_stop(self: Any, state: Any) -> None:
        save(self, state)
        epochs.append(int(state.standing.epochs.max()))
        if int(state.stage) in stops:
            stops.remove(int(state.stage))
            self.close()
            raise _Stop

    checkpoint.RunCheckpoints.save = save_and_stop
    try:
        while stops:
            with contextlib.suppress(_Stop):
                _train(conformance, folder, seeds=(1,))
        return _train(conformance, folder, seeds=(1,)), epochs
    finally:
        checkpoint.RunCheckpoints.save = save
