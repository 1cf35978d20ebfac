"""A few samples for one small program: each by itself, padded to one of few lengths, so that nothing is compiled for its own.

The lengths go by level. At level 0 every modality has as many steps as training's longest sample, at -1 half of them, at -2 a
quarter; at 1 twice as many, and so on. A sample takes the lowest level that holds all its modalities.
"""

from collections.abc import Iterator

import jax
import numpy as np

from msa_jax.config import Options
from msa_jax.data.masking import length_of
from msa_jax.data.preprocess import Columns
from msa_jax.methods.protocol import Inputs
from msa_jax.modalities import MODALITIES

MOST = 8  # samples; more of them are faster together
LOWEST = -2
MOST_BYTES = 2**26  # of a padded array; a longer one keeps its own length


def one_by_one(columns: Columns, inputs: Inputs, options: Options) -> Iterator[Columns]:
    """Yields every sample as columns of one, padded as its level says.

    Args:
      columns: of N samples. inputs: the shapes of training. options: max_tokens, beyond which no text is padded.
    """
    for row in range(len(columns["label"])):
        sample = jax.tree.map(lambda array, row=row: array[row : row + 1], columns)
        need = {name: max(int(length_of(sample[name])[0]), 1) for name in MODALITIES if name in sample}
        longest = {name: max(getattr(inputs, name).steps, 1) for name in need}
        level = LOWEST
        while any(_steps(longest[name], level) < steps for name, steps in need.items()):
            level += 1
        for name, steps in need.items():
            room = _steps(longest[name], level)
            room = max(min(room, options.max_tokens), steps) if name == "text" else room
            sample[name] = {key: _of_length(array, room) for key, array in sample[name].items()}
        yield sample


def _steps(longest: int, level: int) -> int:
    return longest * 2**level if level >= 0 else max(longest // 2**-level, min(longest, 8))


def _of_length(array: np.ndarray, steps: int) -> np.ndarray:
    """[1, L, ...] cut or padded with zeros to [1, steps, ...]; what has no steps as it is."""
    if array.ndim == 1 or steps * array[0, 0].nbytes > MOST_BYTES:
        return array
    return np.pad(array[:, :steps], [(0, 0), (0, max(steps - array.shape[1], 0))] + [(0, 0)] * (array.ndim - 2))
