"""How the LSTMs of msa_jax.encoders.lstm_gradient walk their sequences on a device."""

from typing import NamedTuple

import jax
import numpy as np

Array = jax.Array

CPU_CHUNK = 16  # steps, at most
CPU_WHOLE_CHUNK = 64  # steps, at most, where no row is shorter than another
CPU_ROWS = 8  # of a group, at least
CPU_GROUPS = 8  # at most
UNROLLED = 8  # steps of a round of the loop, elsewhere than on a CPU
WIDE = 256  # features; of wider frames the gates cost more to compute again than to keep


class ScanPlan(NamedTuple):
    """How sequences are walked, all of it known when a program is compiled.

    steps: L. every: give the state of every step, not the last alone. chunk: steps of a chunk. groups: G; where there are
    several, rows are sorted by length, which all directions share then. keep_gates: for the backward pass. unrolled: steps of a
    round of the innermost loop, a divisor of the chunk. kernel: one kernel walks all steps (msa_jax.encoders.lstm_kernel).
    """

    steps: int
    every: bool
    chunk: int
    groups: int
    keep_gates: bool
    unrolled: int = 1
    kernel: bool = False

    @classmethod
    def of(cls, sequence: Array, length: Array | np.ndarray, *, every: bool, kernel: bool = False) -> "ScanPlan":
        """For these sequences [B, L, ..., d], padding included, on this device. A length that is a NumPy array is known now,
        so that rows which all have L steps are not dealt into groups."""
        rows, steps, width = *sequence.shape[:2], sequence.shape[-1]
        if kernel:
            return cls(steps, every, steps, 1, width > WIDE, kernel=True)
        if jax.default_backend() == "cpu":
            whole = isinstance(length, np.ndarray) and bool((length == steps).all())
            chunk = _even(steps, CPU_WHOLE_CHUNK if whole else CPU_CHUNK)
            groups = 1 if whole or chunk >= steps else min(CPU_GROUPS, -(-rows // CPU_ROWS))
            return cls(steps, every, chunk, groups, width > WIDE)
        unrolled = min(UNROLLED, steps)
        return cls(steps, every, -(-steps // unrolled) * unrolled, 1, width > WIDE, unrolled)

    @property
    def padded(self) -> int:
        """T, the steps of whole chunks."""
        return -(-self.steps // self.chunk) * self.chunk


def _even(steps: int, most: int) -> int:
    """The steps of a chunk, at most so many, where as few chunks as can be are as short as can be."""
    return -(-steps // max(1, -(-steps // most)))
