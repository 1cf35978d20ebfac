"""Scoring whole splits: every row once, the last batch padded and its padding thrown away."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from msa_jax.data.batches import ordered_plan
from msa_jax.data.packing import Capacity, choose_capacity, deal
from msa_jax.data.preprocess import Columns, text_lengths
from msa_jax.train.program import Program

SEQUENCES = ("audio", "vision")
STEPPED = {"ids", "mask", "features"}  # arrays of a modality whose second axis is steps


class Scorer:
    """Scores splits with one compiled forward pass: all of them are padded to common shapes."""

    def __init__(self, program: Program, splits: Mapping[str, Columns]):
        options = program.options
        self._program = program
        self._size = min(options.evaluation_batch_size, max(len(columns["label"]) for columns in splits.values()))
        self._splits = dict(zip(splits, _common_shapes(list(splits.values())), strict=True))
        self._order = {name: np.arange(len(columns["label"])) for name, columns in self._splits.items()}
        self._capacity: Capacity | None = None
        lengths = {name: text_lengths(columns) for name, columns in self._splits.items()}
        lengths = {name: length for name, length in lengths.items() if length is not None}
        if options.pack_text and lengths:
            # Batches of about the same tokens need the fewest rows that hold them all.
            self._order = {name: deal(self._order[name], length, self._size) for name, length in lengths.items()}
            dealt = [length[self._order[name]] for name, length in lengths.items()]
            each = [choose_capacity(length, self._size, ordered=True) for length in dealt]
            width = max(capacity.width for capacity in each)
            plans = [choose_capacity(length, self._size, ordered=True, widths=(width,)) for length in dealt]
            self._capacity = Capacity(max(capacity.rows for capacity in plans), width)

    def __call__(self, params: Any, split: str, *, exports: bool = False) -> dict[str, np.ndarray]:
        """Every head of a split, {head: [N] float32}, in the order of its rows; with its exports, [N] or [N, d], if asked."""
        method = self._program.method
        names = method.heads + (method.exports if exports else ())
        found = self._over(split, partial(self._program.forward, params, names=names))
        # A compiled program returns its outputs sorted by name; people read them in the method's order.
        return {name: found[name] for name in names if name in found}

    def runs(self, trained: Any, frozen: Any, split: str) -> dict[str, np.ndarray]:
        """Every head of a split of R runs at once, {head: [R, N] float32}; trained: [R, ...], frozen: the same for all."""
        names = self._program.method.heads
        found = self._over(split, partial(self._program.forward_runs, trained, frozen, names=names), axis=1)
        return {name: found[name] for name in names if name in found}

    def text_states(self, params: Any, split: str) -> dict[str, np.ndarray]:
        """A split's text as the text encoder with these parameters has it: [N, T, D], in the place of its tokens."""
        return self._over(split, partial(self._program.text_states, params))

    def _over(self, split: str, forward: Callable[..., dict[str, Any]], *, axis: int = 0) -> dict[str, np.ndarray]:
        """What `forward` gives for all rows of a split, which lie along `axis`."""
        columns, order = self._splits[split], self._order[split]
        plan = ordered_plan(order, self._size, text_lengths(columns), self._capacity)
        parts = []
        for index in range(len(plan)):
            batch = jax.tree.map(lambda column, rows=plan.rows[index]: column[rows], columns)
            batch["row"], batch["weight"] = plan.rows[index], plan.weight[index]
            part = forward(batch, plan.packing.row[index], plan.packing.offset[index], capacity=self._capacity)
            parts.append(self._program.layout.whole(part))
        place = np.argsort(order)  # of each row among what was computed
        return {
            name: np.concatenate([np.asarray(part[name]) for part in parts], axis).take(place, axis)
            for name in parts[0]
        }


def _common_shapes(splits: Sequence[Columns]) -> list[Columns]:
    """The splits with token and frame axes padded to the longest of each."""

    def pad(array: np.ndarray, steps: int) -> np.ndarray:
        return np.pad(array, [(0, 0), (0, steps - array.shape[1])] + [(0, 0)] * (array.ndim - 2))

    padded: list[Columns] = [dict(columns) for columns in splits]
    for name in ("text", *SEQUENCES):
        if name in splits[0]:
            stepped = STEPPED & splits[0][name].keys()
            steps = max(columns[name][key].shape[1] for columns in splits for key in stepped)
            for columns in padded:
                columns[name] = {
                    key: pad(array, steps) if key in stepped else array for key, array in columns[name].items()
                }
    return padded
