"""What a person sees while training: one line an epoch, and a bar that is there only on a terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from msa_jax.data.schema import Dataset
from msa_jax.modalities import MODALITIES
from msa_jax.train.experiment_dir import Run
from msa_jax.train.settings import Settings


class Progress:
    """Writes to a stream; silent where it is None. The bar is drawn only where the stream is a terminal.

    bar: whether it may be. An epoch is walked in parts for it, which several processes could not do each in its own way.
    """

    def __init__(self, stream: TextIO | None, *, bar: bool = True):
        self._stream = stream
        self._bar = bar and stream is not None and stream.isatty()
        self._drawn = 0

    def bar(self, label: str, done: int, total: int) -> None:
        """Draws `label` and how much of `total` is done, over the bar before."""
        if self._bar:
            filled = 30 * done // max(total, 1)
            text = f"{label} [{'=' * filled}{' ' * (30 - filled)}] {done}/{total}"
            self._stream.write("\r" + text.ljust(self._drawn))
            self._stream.flush()
            self._drawn = len(text)

    def line(self, text: str) -> None:
        """Writes one line, in place of the bar."""
        if self._stream is not None:
            if self._drawn:
                self._stream.write("\r" + " " * self._drawn + "\r")
                self._drawn = 0
            self._stream.write(text + "\n")
            self._stream.flush()

    def announce(self, settings: Settings, dataset: Dataset, seeds: Sequence[int], path: Path) -> None:
        """Says what is about to be trained, before anything slow begins."""
        card, options = dataset.card, settings.options
        sizes = ", ".join(f"{name} {len(split)}" for name, split in dataset.splits().items())
        preset = f"preset {settings.preset}" if settings.preset else "no preset"
        self.line(
            f"{settings.method.name}: {settings.protocol} protocol, {preset}, text encoder {options.text_encoder}"
        )
        self.line(f"data {card.name}: {sizes}; {', '.join(name for name in MODALITIES if dataset.has(name))}")
        self.line(f"{len(seeds)} run{'s' * (len(seeds) > 1)}, seeds {', '.join(map(str, seeds))}, into {path}")

    @property
    def wants_chunks(self) -> bool:
        """Whether a bar is drawn, so that an epoch is worth interrupting for it."""
        return self._bar


def progress_line(
    runs: Sequence[Run], lines: Sequence[Mapping[str, Any]], better: Sequence[bool], seconds: float
) -> str:
    """One line for people: of one run, or of several after the same epoch; lines and better: of those that train."""
    epoch = lines[0]["epoch"]
    if len(runs) == 1:
        train, valid = lines[0]["train"], lines[0]["valid"]
        return (
            f"seed {runs[0].seed}  epoch {epoch:3d}  train {train['loss']:.4f}  valid MAE {valid['MAE']:.4f}  "
            f"Corr {valid['Corr']:.4f}  {seconds:.1f} s{'  best' if better[0] else ''}"
        )
    errors = [line["valid"]["MAE"] for line in lines]
    return (
        f"{len(lines)} of {len(runs)} runs  epoch {epoch:3d}  valid MAE {min(errors):.4f} to {max(errors):.4f}  "
        f"{seconds:.1f} s  {sum(better)} better"
    )
