"""Training in a loop of one's own: one phase of a method on a dataset, as pure functions of a state.

    loop = own_loop("self_mm", dataset)
    data = jax.device_put(loop.columns["train"])
    state = jax.jit(loop.start)(jax.random.key(1111), loop.given)
    of_step, of_batch = loop.keys(state, 0)
    state, measured = jax.jit(loop.step)(state, loop.batch(data, rows, state, of_batch), of_step)

The methods of `Loop` work under `jax.jit`, `jax.vmap` and `jax.lax.scan`, but for `begin` and `predictor`. They call the
functions that the engine calls (`msa_jax.train.step`), so the same key, mini-batches and options give the same numbers in the
first stage, where the engine does not pack text (`pack_text=False`; packed text draws other dropout). What the engine adds is
left to the caller: the order of samples and their number (`Phase.share`), packed text, selection, early stopping,
checkpoints.
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
from msa_jax.data.schema import Card, Dataset
from msa_jax.errors import InputError
from msa_jax.methods.protocol import STATISTICS, Objective, Phase, Stage, Weights
from msa_jax.train.asked import checked_dataset
from msa_jax.train.epoch import PhaseWalk
from msa_jax.train.evaluate import Forward, Scorer, one_run
from msa_jax.train.model import Model, Variables, checked_variables, flat
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
      InputError: Something that was asked for cannot be done, or the method has several stages or phases and none is named; or
        an option asks for what only the engine does: several mini-batches to an update, a plateau schedule, several devices.
    """
    dataset = checked_dataset(dataset)
    settings = resolve(method, dataset=dataset.card.name, preset=preset, protocol=protocol, options=options, **named)
    prepared = prepare(used_part(dataset, settings.options), settings.method, settings.options)
    stages = resolve_stages(settings.method, settings.options, prepared.inputs)
    chosen, own = _named("stage", stage, {found.name: (found, resolved) for found, resolved in stages})
    for name, only in {"accumulate": 1, "data_devices": 1, "stages_from": None}.items():
        if (value := getattr(own, name)) != only:
            raise InputError(
                f"option {name} is {value}, which only the engine follows; a loop of one's own needs {only}"
            )
    if own.schedule == "plateau":
        raise InputError(
            "option schedule is plateau, which only the engine follows; multiply the state's `rate` instead"
        )
    model = Model(settings.method, own, prepared.inputs, compute_dtype(own))
    example = example_batch(prepared.columns["train"], 1)
    shapes = model.shapes(example)
    tokens = special_tokens(prepared.preprocessor, prepared.inputs)
    programs = StagePrograms(chosen, model, shapes, capacity=None, layout=ONE, tokens=tokens)
    walks = {found.phase.name: found.walk for found in programs.phases}
    return Loop(
        stage=chosen,
        walk=_named("phase", phase, walks),
        optimisers={name: walk.optimiser(own) for name, walk in walks.items()},
        shapes=shapes,
        given=pretrained(prepared.bert, settings.method.text_encoder, shapes.params),
        prepared=prepared,
        settings=settings,
        card=dataset.card,
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

    stage: that the phase is of. walk: the network, the objective and what the phase trains. optimisers: {phase: what moves its
    parameters}, of all phases of the stage. shapes: of all that the network holds. given: pretrained parameters, by path.
    prepared: the data as arrays. settings, card: what was asked for, and on what.
    """

    stage: Stage
    walk: PhaseWalk
    optimisers: Mapping[str, Optimiser]
    shapes: Variables
    given: Mapping[str, np.ndarray]
    prepared: Prepared
    settings: Settings
    card: Card

    @property
    def model(self) -> Model:
        """The network; `model.apply` gives all of its outputs."""
        return self.walk.model

    @property
    def phase(self) -> Phase:
        """The objective, its weights, and what it trains."""
        return self.walk.phase

    @property
    def optimiser(self) -> Optimiser:
        """What moves the parameters of the phase."""
        return self.optimisers[self.phase.name]

    @property
    def options(self) -> Options:
        """The options of the stage."""
        return self.walk.options

    @property
    def columns(self) -> dict[str, Columns]:
        """{"train", "valid", "test"} -> arrays of N samples, as a `Batch` has them of B."""
        return self.prepared.columns

    def with_objective(
        self, objective: Objective, *, batch_terms: Sequence[str] | None = None, weights: Weights | None = None
    ) -> "Loop":
        """The same with another objective.

        Args:
          objective: As of `methods.protocol.Phase`.
          batch_terms, weights: As there; those of the method by default. `methods.protocol.no_weights` gives every term
            weight 1.
        """
        phase = replace(
            self.phase,
            objective=objective,
            batch_terms=self.phase.batch_terms if batch_terms is None else tuple(batch_terms),
            weights=weights or self.phase.weights,
        )
        return replace(self, walk=replace(self.walk, phase=phase))

    def with_optimiser(self, transformation: "optax.GradientTransformation") -> "Loop":
        """The same with an optimiser of optax in the place of Adam, groups, and the options of decay, clipping and schedule.

        Start anew with it, since its state is another.
        """
        mine = {self.phase.name: from_optax(transformation, self.walk.assigned)}
        return replace(self, optimisers={**self.optimisers, **mine})

    # -- pure functions -----------------------------------------------------------------------------------------------

    def start(self, key: Array, given: Mapping[str, Array] | None = None) -> TrainState:
        """The state before the first step, of all phases of the stage.

        To go on from another stage, give it what that left: `state.replace(params=..., statistics=..., memory=...)`; then
        `begin`.

        Args:
          key: `jax.random.key(s)` draws the parameters that a run of the engine with seed s begins with.
          given: pretrained parameters, `Loop.given` by default. Under `jax.jit` give these as an argument, so that they are
            no constants of the program.
        """
        train, inputs = self.columns["train"], self.model.inputs
        made = self.model.init(jax.random.fold_in(key, 0), example_batch(train, 1))
        drawn = flat(made["params"])
        given = self.given if given is None else given
        params = {path: jnp.asarray(given.get(path, value)) for path, value in drawn.items()}
        labels = {name: jnp.asarray(train[name]) for name in ("label", *inputs.columns)}
        return TrainState(
            params=params,
            statistics=flat(made.get(STATISTICS, {})),
            optimiser={
                name: optimiser.init({path: params[path] for path in optimiser.paths})
                for name, optimiser in self.optimisers.items()
            },
            memory=self.model.method.init_memory(self.options, inputs, labels),
            key=key,
            epoch=jnp.int32(1),
            updates={name: jnp.int32(0) for name in self.optimisers},
            rate=jnp.float32(1),
        )

    def begin(self, state: TrainState) -> TrainState:
        """The state with the memory that the stage asks for before its first epoch; most stages ask for nothing.

        ConFEDE and DMMSA rank the partners of each sample by what the network says of the training split.
        """
        asked, train = self.stage.begin, self.columns["train"]
        if asked is None:
            return state
        scorer = Scorer(Forward(self.model, ONE), {"train": train}, self.options)
        held = one_run(Variables(state.params, state.statistics))
        found = scorer.scores(held, {}, "train", asked.outputs, runs=1)
        outputs = {name: values[0] for name, values in found.items()}
        memory = asked.memory(state.memory, outputs, train, self.options, self.model.inputs)
        return state.replace(memory=jax.tree.map(jnp.asarray, memory))

    def keys(self, state: TrainState, number: Array | int) -> tuple[Array, Array]:
        """The engine's keys of mini-batch `number` of the state's epoch: of its step, and of what `batch` draws."""
        of_step, of_batch = jax.random.split(self.walk.step_key(state, jnp.asarray(number, jnp.int32)))
        return of_step, of_batch

    def batch(
        self, data: Mapping[str, Any], rows: Array, state: TrainState, key: Array, *, weight: Array | None = None
    ) -> dict[str, Any]:
        """A mini-batch of training samples, with the partners of a phase that draws some, and without what options drop.

        Args:
          data: `columns["train"]`, and whatever else has N rows: the objective finds it in `step.batch`.
          rows: [B] int32, distinct. Some methods (MMIM) keep a memory of batch_size rows: B is batch_size for them, filled up
            with samples of weight 0.
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

    def end_epoch(self, state: TrainState, means: Mapping[str, Array], *, last: bool = True) -> TrainState:
        """The state after the phase's part of an epoch.

        Args:
          means: {term: mean over the epoch}, "loss" among them.
          last: whether it was the last phase, so that the next epoch begins.
        """
        epoch = state.epoch + 1 if last else state.epoch
        return state.replace(memory=self.walk.end_epoch(means, state.memory, {}), epoch=epoch)

    def outputs(
        self, state: TrainState, data: Mapping[str, Any], names: Sequence[str] = ("prediction",)
    ) -> dict[str, Array]:
        """Outputs of the network without dropout, [B] or [B, d]. data: B samples of any split, such as `columns["valid"]`."""
        rows = jax.tree.leaves(data)[0].shape[0]
        batch = {**data, "row": jnp.arange(rows), "weight": jnp.ones(rows, jnp.float32)}
        with self.model.exact():
            return eval_step(self.model, state.params, state.statistics, batch, names)

    # -- what comes of it ---------------------------------------------------------------------------------------------

    def predictor(self, states: Mapping[int, TrainState]) -> Predictor:
        """A predictor of these trained states, {number: state}; `msa_jax.report.sharing.save` writes it to a folder.

        Raises:
          InputError: there is no state, or it is not that of one run.
        """
        held = {number: Variables(state.params, state.statistics) for number, state in states.items()}
        return Predictor(
            method=self.settings.method,
            options=self.settings.options,
            inputs=self.model.inputs,
            preprocessor=self.prepared.preprocessor,
            variables=checked_variables(held, self.shapes),
            metrics=self.card.metrics,
            extract=self.card.extract,
            dataset=self.card.name,
            protocol=self.settings.protocol,
        )
