"""What a person sees while training: one line an epoch, and a bar that is there only on a terminal."""

import contextlib
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TextIO

import jax
import jax.numpy as jnp

from msa_jax.config import Options
from msa_jax.train.experiment_dir import Run
from msa_jax.train.prepare import compute_dtype

SECONDS_PER_LINE = 0.002  # two CPU cores: 5,100 lines of Self-MM in 9 s, 13,700 of MMCL in 25 s
BEAT = 10.0  # seconds between two signs of life


class Progress:
    """Writes to a stream; silent where it is None. The bar is drawn only where the stream is a terminal.

    bar: whether it may be. An epoch is walked in parts for it, which several processes could not do each in its own way.
    """

    def __init__(self, stream: TextIO | None, *, bar: bool = True):
        self._stream = stream
        self._bar = bar and stream is not None and stream.isatty()
        self._drawn = 0
        self._since: tuple[str, int, float] | None = None  # of the first bar of a label: label, what was done, the time

    def bar(self, label: str, done: int, total: int) -> None:
        """Draws `label`, how much of `total` is done, so many in a second, and the time that is left, over the bar before."""
        if self._bar:
            filled = 30 * done // max(total, 1)
            text = f"{label} [{'=' * filled}{' ' * (30 - filled)}] {done}/{total}{self._pace(label, done, total)}"
            self._write("\r" + text.ljust(self._drawn))
            self._drawn = len(text)

    def _pace(self, label: str, done: int, total: int) -> str:
        """Mini-batches in a second since the first bar of this label, and what they leave; empty at that first bar."""
        now = time.monotonic()
        if self._since is None or self._since[0] != label:
            self._since = label, done, now
            return ""
        _, first, begun = self._since
        rate = (done - first) / max(now - begun, 1e-9)
        if rate <= 0:
            return ""
        minutes, seconds = divmod(round((total - done) / rate), 60)
        return f"  {rate:.1f}/s  {minutes}:{seconds:02d} left"

    def line(self, text: str) -> None:
        """Writes one line, in place of the bar."""
        if self._stream is not None:
            cleared = "\r" + " " * self._drawn + "\r" if self._drawn else ""
            self._drawn = 0
            self._write(f"{cleared}{text}\n")

    def _write(self, text: str) -> None:
        assert self._stream is not None
        with contextlib.suppress(OSError):  # nobody reads any more, or a log is full, which ends no training
            self._stream.write(text)
            self._stream.flush()

    def announce(self, lines: Sequence[str], options: Options, said: Collection[str], *, reads_text: bool) -> None:
        """Says what is about to be trained, and on what, before anything slow begins.

        Args:
          lines: Of `Asked.lines`.
          options: The method's.
          said: Those lines that somebody has said already.
          reads_text: Whether there is text for the text encoder.
        """
        for line in lines:
            if line not in said:
                self.line(line)
        devices = jax.devices()
        what = [f"text encoder {options.text_encoder}"] if reads_text else []
        what += [f"{' and '.join(options.leave_out)} left out"] if options.leave_out else []
        number = jnp.dtype(compute_dtype(options)).name
        told = "" if (devices[0].platform, number) == ("cpu", "float32") else f", in {number}"
        self.line(f"{', '.join(what)}{'; ' if what else ''}on {len(devices)} × {devices[0].device_kind}{told}")

    @contextlib.contextmanager
    def compiling(self, lines: int) -> Iterator[None]:
        """Says that a program is compiled, about how long that takes, and every few seconds that it still is.

        lines: of the program as StableHLO.
        """
        begun, ended = time.monotonic(), threading.Event()
        self.line(f"compiling the training step: about {max(1, round(lines * SECONDS_PER_LINE))} s if it is new")

        def beat() -> None:
            while not ended.wait(BEAT):
                self.line(f"still compiling, {time.monotonic() - begun:.0f} s")

        thread = threading.Thread(target=beat, daemon=True)
        if self._stream is not None:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            if thread.is_alive():
                thread.join()
        self.line(f"compiled in {time.monotonic() - begun:.0f} s")

    @property
    def silent(self) -> bool:
        """Whether nobody looks."""
        return self._stream is None

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
