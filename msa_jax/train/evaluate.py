"""Scoring whole splits: every sample once, the last batch padded and its padding thrown away."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import jax
import numpy as np

from msa_jax.config import Options
from msa_jax.data.batches import ordered_plan
from msa_jax.data.masking import steps_of, without
from msa_jax.data.packing import Capacity, choose_capacity, deal
from msa_jax.data.preprocess import Columns, text_lengths
from msa_jax.encoders.text import states_as_features
from msa_jax.methods.protocol import STATISTICS, Clock, Phase
from msa_jax.modalities import MODALITIES
from msa_jax.train.epoch import with_packed_text
from msa_jax.train.model import Model, Variables, nested
from msa_jax.train.runs import RUNS, SHARED, Layout, ShardedRuns, vmap_runs
from msa_jax.train.state import Best, Flat
from msa_jax.train.step import Measured, eval_step, eval_terms

Array = jax.Array
STEPPED = {"ids", "mask", "features"}  # arrays of a modality whose second axis is steps


class Forward:
    """The compiled programs of a network in evaluation mode, of R runs at once."""

    def __init__(self, model: Model, layout: Layout):
        self.model, self.layout = model, layout
        place = {"row": SHARED, "offset": SHARED}
        specs = {"best": RUNS, "frozen": SHARED, "batch": SHARED, **place}
        self.outputs = ShardedRuns(layout, self._outputs, specs)
        self.terms = ShardedRuns(layout, self._terms, {**specs, "memory": RUNS, "clock": RUNS})
        self.text_states = jax.jit(self._text_states, static_argnames="capacity")

    def _outputs(
        self,
        best: Best,
        frozen: Flat,
        batch: Mapping[str, Any],
        row: Array,
        offset: Array,
        *,
        capacity: Capacity | None,
        names: tuple[str, ...],
    ) -> dict[str, Array]:
        """The outputs of these names, [R, B] or [R, B, d], of the same batch, in which a `Missing` may be as "missing"."""
        batch = self._batch(batch, row, offset, capacity)

        def one(best: Best) -> dict[str, Array]:
            return eval_step(self.model, {**best.params, **frozen}, best.statistics, batch, names)

        with self.model.exact():
            return vmap_runs(one, best)

    def _terms(
        self,
        best: Best,
        frozen: Flat,
        batch: Mapping[str, Any],
        row: Array,
        offset: Array,
        memory: Any,
        clock: Clock,
        *,
        capacity: Capacity | None,
        phase: Phase,
    ) -> Measured:
        """What a phase's objective measures in a batch, [R]."""
        batch = self._batch(batch, row, offset, capacity)

        def one(best: Best, memory: Any, clock: Clock) -> Measured:
            params = {**best.params, **frozen}
            clock = Clock(clock.epoch - 1, clock.step)  # in the epoch that has ended
            return eval_terms(self.model, phase, params, best.statistics, memory, clock, batch, jax.random.key(0))

        with self.model.exact():
            return vmap_runs(one, best, memory, clock)

    def _batch(self, batch: Mapping[str, Any], row: Array, offset: Array, capacity: Capacity | None) -> Any:
        batch = dict(batch)
        if (missing := batch.pop("missing", None)) is not None:
            batch = without(batch, missing, aligned=self.model.inputs.aligned)
        return self.layout.split_rows(with_packed_text(batch, row, offset, capacity))

    def _text_states(
        self, variables: Variables, batch: Mapping[str, Any], row: Array, offset: Array, capacity: Capacity | None
    ) -> dict[str, Array]:
        """What the text encoder gives for a batch, without dropout, in the form in which it takes it instead of tokens."""
        batch = with_packed_text(dict(batch), row, offset, capacity)
        trees = {"params": nested(variables.params)}
        if variables.statistics:
            trees[STATISTICS] = nested(variables.statistics)
        with self.model.exact(), self.model.without_labels(batch) as seen:
            _, kept = self.model.network.apply(trees, seen, train=False, capture_intermediates=self.model.is_text)
        return states_as_features(kept["intermediates"][self.model.method.text_encoder]["__call__"][0])


class Walk(NamedTuple):
    """Which samples make which batch. size: samples of a batch. order: the samples of each split, one batch behind the other.
    capacity: of the packed text of a batch; None where text is not packed."""

    size: int
    order: Mapping[str, np.ndarray]
    capacity: Capacity | None


class Scorer:
    """Scores splits with one compiled forward pass: all of them are padded to common shapes.

    padded_rows: a row of packed text is as wide as the padded text, whatever the lengths are.
    """

    def __init__(self, forward: Forward, splits: Mapping[str, Columns], options: Options, *, padded_rows: bool = False):
        self._forward, self._options, self._padded_rows = forward, options, padded_rows
        self._splits = dict(zip(splits, _common_shapes(list(splits.values())), strict=True))
        self._walk = self._walk_of(options.evaluation_batch_size)
        self._compiled: set[tuple[int, tuple[str, ...]]] = set()  # runs and names for which `compile` has been called

    @cached_property
    def _walk_of_terms(self) -> Walk:
        """The batches over which a term is a mean: those of training where these count, in the order of the split."""
        if self._options.validation_mean == "samples":
            return self._walk
        return self._walk_of(self._options.batch_size, in_order=True)

    def _walk_of(self, size: int, *, in_order: bool = False) -> Walk:
        """Batches of at most `size` samples. in_order: samples are not moved to batches in which their text fits better."""
        size = min(size, max(len(columns["label"]) for columns in self._splits.values()))
        order = {name: np.arange(len(columns["label"])) for name, columns in self._splits.items()}
        found = {name: text_lengths(columns) for name, columns in self._splits.items()}
        lengths = {name: length for name, length in found.items() if length is not None}
        if not (self._options.pack_text and lengths):
            return Walk(size, order, None)
        if not in_order:
            # Batches of about the same tokens need the fewest rows that hold them all.
            order |= {name: deal(order[name], length, size) for name, length in lengths.items()}
        walked = [length[order[name]] for name, length in lengths.items()]
        if self._padded_rows:
            width = max(steps_of(columns["text"]) for columns in self._splits.values())
        else:
            width = max(choose_capacity(length, size, ordered=True).width for length in walked)
        plans = [choose_capacity(length, size, ordered=True, widths=(width,)) for length in walked]
        return Walk(size, order, Capacity(max(capacity.rows for capacity in plans), width))

    def scores(self, best: Best, frozen: Flat, split: str, names: Sequence[str], *, runs: int) -> dict[str, np.ndarray]:
        """Outputs of a split of R runs, {name: [R, N] or [R, N, d]}, samples in the order of the split.

        best: [R, ...], parameters that differ from run to run, and statistics. frozen: parameters that are the same for all.
        """

        static = self._static(names)

        def forward(batch: Any, row: Array, offset: Array) -> dict[str, Array]:
            return self._forward.outputs(
                runs=runs, static=static, best=best, frozen=frozen, batch=batch, row=row, offset=offset
            )

        found = self._over(split, forward, axis=1)
        # A compiled program returns its outputs sorted by name; people read them in the method's order.
        return {name: found[name] for name in names}

    def compile(self, best: Best, frozen: Flat, split: str, names: Sequence[str], *, runs: int) -> None:
        """Compiles the program of `scores`, of whose arguments only the shapes are read, unless that has happened."""
        if (runs, tuple(names)) not in self._compiled:
            self._compiled.add((runs, tuple(names)))
            batch, row, offset = next(self._batches(split, self._walk))
            self._forward.outputs.compile(
                runs=runs, static=self._static(names), best=best, frozen=frozen, batch=batch, row=row, offset=offset
            )

    def _static(self, names: Sequence[str]) -> dict[str, Any]:
        return {"capacity": self._walk.capacity, "names": tuple(names)}

    def term(
        self, best: Best, frozen: Flat, memory: Any, clock: Clock, split: str, phase: Phase, name: str, *, runs: int
    ) -> np.ndarray:
        """[R]: the mean of a loss term over a split, of R runs, as `validation_mean` says. clock: [R] both, of
        states that stand before the next epoch.

        "samples": over samples; a batch term is weighted by the samples of each batch. "batches": of the means of mini-batches
        of batch_size.
        """
        walk, total, count = self._walk_of_terms, np.zeros(runs), 0.0
        static = {"capacity": walk.capacity, "phase": phase}
        for batch, row, offset in self._batches(split, walk):
            measured: Measured = self._forward.layout.to_host(
                self._forward.terms(
                    runs=runs,
                    static=static,
                    best=best,
                    frozen=frozen,
                    batch=batch,
                    row=row,
                    offset=offset,
                    memory=memory,
                    clock=clock,
                )
            )
            share = float(np.asarray(measured.count)[0]) if self._options.validation_mean == "samples" else 1.0
            total += share * np.asarray(measured.means[name], np.float64)
            count += share
        return (total / count).astype(np.float32)

    def text_states(self, variables: Variables, split: str) -> dict[str, np.ndarray]:
        """A split's text as the text encoder with these parameters has it, in the place of its tokens."""

        def forward(batch: Any, row: Array, offset: Array) -> dict[str, Array]:
            return self._forward.text_states(variables, batch, row, offset, capacity=self._walk.capacity)

        return self._over(split, forward, axis=0)

    def _batches(self, split: str, walk: Walk) -> Any:
        """Yields every batch of a split, and where its text goes in packed rows."""
        columns = self._splits[split]
        plan = ordered_plan(walk.order[split], walk.size, text_lengths(columns), walk.capacity)
        for index in range(len(plan)):
            batch = jax.tree.map(lambda column, rows=plan.rows[index]: column[rows], columns)
            batch["row"], batch["weight"] = plan.rows[index], plan.weight[index]
            yield batch, plan.packing.row[index], plan.packing.offset[index]

    def _over(self, split: str, forward: Callable[..., dict[str, Any]], *, axis: int) -> dict[str, np.ndarray]:
        """What `forward` gives for all samples of a split, which lie along `axis`."""
        parts = [self._forward.layout.to_host(forward(*batch)) for batch in self._batches(split, self._walk)]
        place = np.argsort(self._walk.order[split])  # of each sample among what was computed
        return {
            name: np.concatenate([np.asarray(part[name]) for part in parts], axis).take(place, axis)
            for name in parts[0]
        }


def one_run(variables: Variables, there: dict[int, Array] | None = None) -> Best:
    """What a network holds, as that of one run [1, ...], on the device; on a CPU in the same memory, where that is possible.

    there: {id of an array: where it lies already}; takes the others.
    """
    there = {} if there is None else there

    def place(leaf: Any) -> Array:
        if id(leaf) not in there:
            there[id(leaf)] = jax.device_put(np.asarray(leaf)[None])  # which compiles nothing
        return there[id(leaf)]

    return Best(*jax.tree.map(place, (dict(variables.params), dict(variables.statistics))))


def _common_shapes(splits: Sequence[Columns]) -> list[Columns]:
    """The splits with token and frame axes padded to the longest of each."""

    def pad(array: np.ndarray, steps: int) -> np.ndarray:
        return np.pad(array, [(0, 0), (0, steps - array.shape[1])] + [(0, 0)] * (array.ndim - 2))

    padded: list[Columns] = [dict(columns) for columns in splits]
    for name in MODALITIES:
        if name in splits[0]:
            steps = max(steps_of(columns[name]) for columns in splits)
            for columns in padded:
                columns[name] = {
                    key: pad(array, steps) if key in STEPPED else array for key, array in columns[name].items()
                }
    return padded
