"""One method on a tiny dataset, and the few compiled programs that all checks of it share."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax import config
from msa_jax.data.batches import Plan, ordered_plan
from msa_jax.methods.protocol import Method
from msa_jax.modalities import MODALITIES
from msa_jax.testing.tiny import tiny_dataset
from msa_jax.train.epoch import PhaseWalk
from msa_jax.train.experiment_dir import Run
from msa_jax.train.model import Model
from msa_jax.train.prepare import prepare
from msa_jax.train.runner import Runner
from msa_jax.train.stage_inits import StageInits
from msa_jax.train.step import eval_step, gradient_step, update_step

Array = jax.Array

BATCH = 8
QUICK: Mapping[str, Any] = {
    "scratch_layers": 2,
    "scratch_width": 32,
    "max_tokens": 12,
    "batch_size": BATCH,
    "pack_text": False,
    "max_epochs": 100,
    "learning_rate.text": 1e-3,
}
CHEAP = {"xla_backend_optimization_level": 0}


class Conformance:
    """One method on a tiny dataset. One program in evaluation mode and one for each phase serve nearly all checks."""

    def __init__(self, method: Method, options: Mapping[str, Any] | None = None, *, text: str = "text_bert"):
        """text: the column that carries it."""
        self.method = method
        changes = {name: value for name, value in QUICK.items() if name in config.flatten(method.options())}
        self.changes = {**changes, **(options or {})}
        self.options = config.override(method.options(), self.changes)
        aligned = method.needs_aligned(self.options)
        self.dataset = tiny_dataset(text=text, human_labels=True, aligned=aligned)

    def with_text_features(self) -> "Conformance":
        """The same method on data whose text is features, without a text encoder."""
        return Conformance(self.method, {**self.changes, "text_encoder": "features"}, text="text")

    # -- what the checks share ----------------------------------------------------------------------------------------

    @cached_property
    def inits(self) -> StageInits:
        """Stages and where they begin."""
        prepared = prepare(self.dataset, self.method, self.options)
        return Runner(self.method, self.options, prepared, metric_kind=self.dataset.card.metrics).inits

    @cached_property
    def columns(self) -> Mapping[str, Any]:
        """The training arrays."""
        return prepare(self.dataset, self.method, self.options).columns["train"]

    @cached_property
    def model(self) -> Model:
        """The network."""
        return self.inits.stages[-1].model

    @cached_property
    def initial(self) -> Any:
        """What a run begins with, on the device."""
        return jax.tree.map(jnp.asarray, self.inits.initial(Run(number=0, seed=0, folder=Path())))

    def plan(self, rows: Sequence[int], weight: Sequence[float]) -> Plan:
        """One mini-batch of these samples."""
        plan = ordered_plan(np.asarray(rows), len(rows))
        plan = Plan(plan.rows, plan.slots, np.asarray([weight], np.float32), plan.packing)
        return jax.tree.map(jnp.asarray, plan)

    @cached_property
    def evaluate(self) -> Callable[..., Any]:
        """(variables, batch) -> all scores of the batch, and of the same batch with more padding."""
        names = ("prediction", *self.method.head_names(self.options, self.model.inputs))

        def scores(variables: Any, batch: Any) -> Any:
            params, statistics = variables
            both = [eval_step(self.model, params, statistics, of, names) for of in (batch, _padded(batch))]
            return tuple(both)

        return jax.jit(scores, compiler_options=CHEAP)

    def batch(self, rows: Sequence[int]) -> dict[str, Any]:
        """These samples as a batch in which all count."""
        batch = jax.tree.map(lambda column: jnp.asarray(column[np.asarray(rows)]), dict(self.columns))
        return {**batch, "row": jnp.asarray(rows, jnp.int32), "weight": jnp.ones(len(rows), jnp.float32)}

    @cached_property
    def phases(self) -> list[tuple[int, PhaseWalk]]:
        """Every phase of every stage, and the number of its stage."""
        return [(stage, phase.walk) for stage, of in enumerate(self.inits.stages) for phase in of.phases]

    @cached_property
    def _steps(self) -> dict[tuple[int, str], Callable[..., Any]]:
        return {(stage, walk.phase.name): self._step(walk) for stage, walk in self.phases}

    def _step(self, walk: PhaseWalk) -> Callable[..., Any]:
        optimiser = walk.optimiser(walk.options)

        def step(state: Any, frozen: Any, data: Any, plan: Plan, number: Array) -> Any:
            key, of_partners = jax.random.split(walk.step_key(state, number))
            batch = walk.batch(data, plan, jnp.int32(0), state.memory, of_partners)
            gradient, after, measured = gradient_step(walk.model, walk.phase, optimiser, state, frozen, batch, key)
            return gradient, update_step(walk.phase, optimiser, after, gradient), measured

        return jax.jit(step, compiler_options=CHEAP)

    def start(self, stage: int) -> tuple[Any, Any]:
        """The state of a run at the beginning of a stage, in its second epoch, and what is frozen."""
        programs = self.inits.stages[stage]
        states = programs.start([self.initial], [jax.random.key(1)])
        state = jax.tree.map(lambda leaf: jnp.asarray(leaf)[0], states)
        return state.replace(epoch=jnp.int32(2)), programs.frozen(self.initial.variables.params)

    def step(
        self,
        stage: int,
        walk: PhaseWalk,
        state: Any,
        frozen: Any,
        plan: Plan,
        number: int = 0,
        columns: Mapping[str, Any] | None = None,
    ) -> Any:
        """One training step of a phase, on the training arrays or on others: gradient, state, what was measured."""
        columns = self.columns if columns is None else columns
        return self._steps[stage, walk.phase.name](state, frozen, columns, plan, jnp.int32(number))


def _padded(batch: Mapping[str, Any]) -> dict[str, Any]:
    """The batch with three more steps of padding on every sequence."""
    wider = dict(batch)
    for name in MODALITIES:
        if name in batch:
            wider[name] = {
                key: jnp.pad(array, [(0, 0), (0, 3)] + [(0, 0)] * (array.ndim - 2))
                if key in ("ids", "mask", "features")
                else array
                for key, array in batch[name].items()
            }
    return wider
