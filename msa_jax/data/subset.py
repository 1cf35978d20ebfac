"""Part of a dataset: fewer training samples, or fewer modalities."""

import math
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from msa_jax.data.columns import columns_of
from msa_jax.data.schema import Dataset, Split
from msa_jax.errors import InputError
from msa_jax.modalities import MODALITIES

BLOCK = 10  # rows that follow each other by label, of which a fraction of 0.3 takes three


def without(dataset: Dataset, names: Collection[str]) -> Dataset:
    """The dataset without some of its modalities, as if their columns had never been there. Labels stay, unimodal ones too.

    Args:
      names: of "text", "audio" and "vision"; one that the dataset does not have is none to leave out.

    Raises:
      InputError: a name that is no modality, or all modalities that the dataset has.
    """
    gone = [name for name in names if dataset.has(name)]
    if not gone:
        return dataset
    there = [name for name in MODALITIES if dataset.has(name)]
    if set(there) == set(gone):
        raise InputError(f"{dataset.source}: option leave_out leaves nothing, since {', '.join(there)} is all there is")
    columns = {column for name in gone for column in columns_of(name)}

    def rest(split: Split) -> Split:
        return Split(**{name: value for name, value in split.columns().items() if name not in columns})

    return replace(dataset, **{name: rest(split) for name, split in dataset.splits().items()})


def take_fraction(dataset: Dataset, fraction: float, *, seed: int) -> Dataset:
    """The dataset with a share of its training rows, in their order; valid and test stay whole.

    Stratified by label, whatever its range: of every ten rows that follow each other by label the same number is taken. Of two
    fractions with the same seed, the rows of the smaller are among those of the larger.

    Args:
      fraction: in (0, 1]; the number of rows is rounded up; 0.07 of 100 rows are 7.
      seed: chooses the rows.
    """
    if fraction == 1:
        return dataset
    number = max(1, math.ceil(round(fraction * len(dataset.train), 9)))  # as floats, 0.07 * 100 is a little more than 7
    rows = np.sort(_by_priority(dataset.train.label, seed)[:number])
    return replace(dataset, train=dataset.train.take(rows))


def _by_priority(label: np.ndarray, seed: int) -> np.ndarray:
    """All rows in the order in which they are taken: first one of every block, in random order, then another of each, ..."""
    random = np.random.default_rng(seed)
    by_label = np.lexsort((random.random(len(label)), label))
    place = np.empty(len(label))
    for first in range(0, len(label), BLOCK):
        size = min(BLOCK, len(label) - first)
        # A short last block takes its share at the same pace as the others.
        place[by_label[first : first + size]] = (random.permutation(size) + random.random()) / size
    return np.argsort(place, kind="stable")
