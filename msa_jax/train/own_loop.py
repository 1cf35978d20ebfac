"""Training in a loop of one's own: one phase of a method on a dataset, as pure functions of a state.

    loop = own_loop("self_mm", dataset)
    data = jax.device_put(loop.columns["train"])
    state = loop.start(jax.random.key(1111))
    batch = loop.batch(data, rows, state, key)
    state, measured = jax.jit(loop.step)(state, batch, key)

All methods of `Loop` work under `jax.jit`, `jax.vmap` and `jax.lax.scan`, but for `predictor`. They call the functions that
the engine calls (`msa_jax.train.step`), with the same parameters for the same key. What the engine adds is left to the
caller: the order of samples, packed text, selection, early stopping, checkpoints, several devices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.config import Options
from msa_jax.data.batches import Plan
from msa_jax.data.packing import Packing
from msa_jax.data.preprocess import Columns
from msa_jax.data.schema import Dataset
from msa_jax.errors import InputError
from msa_jax.methods.protocol import STATISTICS, Objective, Phase, Weights, no_weights
from msa_jax.modalities import LABELS
from msa_jax.train.asked import checked_dataset
from msa_jax.train.epoch import PhaseWalk
from msa_jax.train.model import Model, Variables, flat
from msa_jax.train.optimiser import Optimiser, from_optax
from msa_jax.train.predictor import Predictor
from msa_jax.train.prepare import Prepared, compute_dtype, example_batch, prepare, pretrained, special_tokens, used_part
from msa_jax.train.programs import StagePrograms
from msa_jax.train.runs import ONE
from msa_jax.train.settings import Settings, resolve
from msa_jax.train.stage_data import resolve_stages
from msa_jax.train.state import TrainState
from msa_jax.train.step import Measured, eval_step, train_step

if TYPE_CHECKING:
    import optax

Array = jax.Array


def own_loop(
    method: str,
    dataset: Dataset | str | Path,
    *,
    stage: str | None = None,
    phase: str | None = None,
    preset: str | None = None,
    protocol: str | None = None,
    options: Mapping[str, Any] | None = None,
    **named: Any,
) -> "Loop":
    """The parts of one phase of a method, for a loop of one's own.

    Args:
      method, dataset, preset, protocol, options, named: As of `msa_jax.train`.
      stage, phase: Names of them; may be left out if there is only one.

    Raises:
      InputError: Something that was asked for cannot be done, or the method has several stages or phases and none is named.
    """
    dataset = checked_dataset(dataset)
    settings = resolve(method, dataset=dataset.card.name, preset=preset, protocol=protocol, options=options, **named)
    prepared = prepare(used_part(dataset, settings.options), settings.method, settings.options)
    stages = resolve_stages(settings.method, settings.options, prepared.inputs)
    chosen, own = _named("stage", stage, {found.name: (found, resolved) for found, resolved in stages})
    model = Model(settings.method, own, prepared.inputs, compute_dtype(own))
    example = example_batch(prepared.columns["train"], 1)
    shapes = model.shapes(example)
    tokens = special_tokens(prepared.preprocessor, prepared.inputs)
    programs = StagePrograms(chosen, model, shapes, capacity=None, layout=ONE, tokens=tokens)
    walk = _named("phase", phase, {found.phase.name: found.walk for found in programs.phases})
    return Loop(
        walk=walk,
        optimiser=walk.optimiser(own),
        given=pretrained(prepared.bert, settings.method.text_encoder, shapes.params),
        prepared=prepared,
        settings=settings,
        dataset=dataset.card.name,
        metrics=dataset.card.metrics,
    )


def _named(what: str, name: str | None, there: Mapping[str, Any]) -> Any:
    if name is None and len(there) == 1:
        return next(iter(there.values()))
    if name not in there:
        raise InputError(f"{what} is {name}; expected one of {', '.join(there)}")
    return there[name]


@dataclass(frozen=True, kw_only=True, eq=False)
class Loop:
    """One phase of a method on a dataset. Made by `own_loop`.

    walk: the network, the objective and what the phase trains. optimiser: moves the parameters. given: pretrained
    parameters, by path. prepared: the data as arrays. settings, dataset, metrics: what was asked for, and on what.
    """

    walk: PhaseWalk
    optimiser: Optimiser
    given: Mapping[str, np.ndarray]
    prepared: Prepared
    settings: Settings
    dataset: str
    metrics: str

    @property
    def model(self) -> Model:
        """The network; `model.apply` gives all of its outputs."""
        return self.walk.model

    @property
    def phase(self) -> Phase:
        """The objective, its weights, and what it trains."""
        return self.walk.phase

    @property
    def options(self) -> Options:
        """The options of the stage."""
        return self.walk.options

    @property
    def columns(self) -> dict[str, Columns]:
        """{"train", "valid", "test"} -> arrays of N samples, as a `Batch` has them of B."""
        return self.prepared.columns

    def with_objective(
        self, objective: Objective, *, batch_terms: Sequence[str] = (), weights: Weights = no_weights
    ) -> "Loop":
        """The same with another objective.

        Args:
          objective, batch_terms, weights: As of `methods.protocol.Phase`; by default every term is a value for each sample and
            has weight 1. What the phase does at the end of an epoch stays.
        """
        phase = replace(self.phase, objective=objective, batch_terms=tuple(batch_terms), weights=weights)
        return replace(self, walk=replace(self.walk, phase=phase))

    def with_optimiser(self, transformation: "optax.GradientTransformation") -> "Loop":
        """The same with an optimiser of optax in the place of the method's groups of Adam."""
        return replace(self, optimiser=from_optax(transformation, self.walk.assigned))

    # -- pure functions -----------------------------------------------------------------------------------------------

    def start(self, key: Array) -> TrainState:
        """The state before the first step. A run of the engine with seed s has the parameters of `jax.random.key(s)`.

        To go on from another phase, give the state its parameters: `state.replace(params=..., statistics=...)`. The hook
        `Stage.begin` is not called.
        """
        train, inputs = self.columns["train"], self.model.inputs
        made = self.model.init(jax.random.fold_in(key, 0), example_batch(train, 1))
        drawn = flat(made["params"])
        params = {path: jnp.asarray(self.given.get(path, value)) for path, value in drawn.items()}
        labels = {name: jnp.asarray(train[name]) for name in ("label", *inputs.columns)}
        return TrainState(
            params=params,
            statistics=flat(made.get(STATISTICS, {})),
            optimiser={self.phase.name: self.optimiser.init({path: params[path] for path in self.optimiser.paths})},
            memory=self.model.method.init_memory(self.options, inputs, labels),
            key=key,
            epoch=jnp.int32(1),
            updates={self.phase.name: jnp.int32(0)},
            rate=jnp.float32(1),
        )

    def batch(
        self, data: Mapping[str, Any], rows: Array, state: TrainState, key: Array, *, weight: Array | None = None
    ) -> dict[str, Any]:
        """A mini-batch of training samples, with the partners of a phase that draws some, and without what options drop.

        Args:
          data: `columns["train"]`, and whatever else has N rows: the objective finds it in `step.batch`.
          rows: [B] int32, distinct.
          state: its memory may choose partners.
          key: of the draws.
          weight: [B] float32, 1 for a sample that counts, 0 for padding; all count by default.

        Returns:
          The batch of B samples, or of more with partners; see `methods.protocol.Batch`.
        """
        rows = jnp.asarray(rows, jnp.int32)[None]
        weight = jnp.ones(rows.shape, jnp.float32) if weight is None else jnp.asarray(weight, jnp.float32)[None]
        plan = Plan(rows, rows, weight, Packing(jnp.zeros_like(rows), jnp.zeros_like(rows)))  # pyright: ignore[reportArgumentType] - traced
        return self.walk.batch(data, plan, jnp.int32(0), state.memory, key)

    def step(self, state: TrainState, batch: Mapping[str, Any], key: Array) -> tuple[TrainState, Measured]:
        """One gradient and one update, with dropout of this key. `measured.means` has every term and "loss"."""
        with self.model.exact():
            return train_step(self.model, self.phase, self.optimiser, state, {}, batch, key)

    def end_epoch(self, state: TrainState, means: Mapping[str, Array]) -> TrainState:
        """The state at the beginning of the next epoch. means: {term: mean over the epoch}, "loss" among them."""
        return state.replace(memory=self.walk.end_epoch(means, state.memory, {}), epoch=state.epoch + 1)

    def outputs(
        self, state: TrainState, data: Mapping[str, Any], names: Sequence[str] = ("prediction",)
    ) -> dict[str, Array]:
        """Outputs of the network without dropout, [B] or [B, d]. data: B samples of any split, such as `columns["valid"]`."""
        samples = {name: value for name, value in data.items() if name not in LABELS}
        rows = jax.tree.leaves(samples)[0].shape[0]
        batch = {**samples, "row": jnp.arange(rows), "weight": jnp.ones(rows, jnp.float32)}
        with self.model.exact():
            return eval_step(self.model, state.params, state.statistics, batch, names)

    # -- what comes of it ---------------------------------------------------------------------------------------------

    def predictor(self, states: Mapping[int, TrainState]) -> Predictor:
        """A predictor of these trained states, {number: state}; `msa_jax.report.sharing.save` writes it to a folder."""
        held = {number: (state.params, state.statistics) for number, state in states.items()}
        return Predictor(
            method=self.settings.method,
            options=self.settings.options,
            inputs=self.model.inputs,
            preprocessor=self.prepared.preprocessor,
            variables={number: Variables(*jax.tree.map(np.asarray, one)) for number, one in held.items()},
            metrics=self.metrics,
            dataset=self.dataset,
            protocol=self.settings.protocol,
        )
