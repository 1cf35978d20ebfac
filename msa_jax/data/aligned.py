"""Aligned data: text, audio and vision have one time axis, as many frames as tokens in every sample."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from msa_jax.data.masking import length_of
from msa_jax.errors import DataWarning, InputError
from msa_jax.modalities import MODALITIES

Columns = Mapping[str, Any]


def is_aligned(columns: Columns) -> bool:
    """Whether all modalities that a network reads have the same length in every sample."""
    lengths = list(_lengths(columns, MODALITIES).values())
    return all(np.array_equal(lengths[0], other) for other in lengths[1:])


def check_aligned(columns: Columns, names: Sequence[str], *, max_tokens: int) -> None:
    """Checks new samples of an experiment that was trained on aligned data, whose network would read the first frames only.

    Args:
      columns: what `Preprocessor.apply` made. names: modalities in them that were not made up.
      max_tokens: where a text was cut; frames behind it belong to no token and are not read.

    Raises:
      InputError: in more than half of the samples the lengths differ.

    Warns:
      DataWarning: they differ in fewer.
    """
    lengths = _lengths(columns, names)
    if len(lengths) < 2:
        return
    most = max_tokens if "text" in lengths and "ids" in columns["text"] else max(map(np.max, lengths.values()))
    first, *others = (np.minimum(length, most) for length in lengths.values())
    differs = np.any([first != other for other in others], axis=0)
    count, rows = int(differs.sum()), len(first)
    if not count:
        return
    row = int(np.argmax(differs))
    each = ", ".join(f"{length[row]} {_STEPS[name]}" for name, length in lengths.items())
    found = f"in {count} of {rows} samples the lengths differ (row {row}: {each})"
    if 2 * count > rows:
        raise InputError(
            f"this experiment was trained on aligned data, a frame of {' and of '.join(list(lengths)[1:])} for each "
            f"{_STEP_OF[next(iter(lengths))]}, and {found}; expected features that are aligned in the same way"
        )
    warnings.warn(f"this experiment was trained on aligned data, and {found}", DataWarning, stacklevel=6)


_STEPS = {"text": "tokens", "audio": "frames of audio", "vision": "frames of vision"}
_STEP_OF = {"text": "token", "audio": "frame of audio"}


def _lengths(columns: Columns, names: Sequence[str]) -> dict[str, np.ndarray]:
    """[N] steps of each sample."""
    there = [name for name in MODALITIES if name in names and name in columns]
    return {name: length_of(columns[name]) for name in there}
