"""The maths of one mini-batch, as pure functions on parameters by path.

gradient_step   batch -> network -> named outputs -> objective -> named terms -> weighted mean -> gradient
update_step     gradient -> optimiser -> parameters
train_step      both, for one mini-batch to an update
eval_step       batch -> network, without dropout -> named outputs
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from msa_jax.errors import MethodError
from msa_jax.methods.protocol import Clock, Phase, Step, Terms
from msa_jax.train.model import Model
from msa_jax.train.optimiser import Optimiser
from msa_jax.train.state import Flat, TrainState

Array = jax.Array


class Measured(NamedTuple):
    """What a mini-batch of B samples gave. means: {term: mean over the samples that count}, and "loss", their weighted sum.
    weights: {term: weight}, of the terms that have one other than 1. count: how many samples counted."""

    means: dict[str, Array]
    weights: dict[str, Array]
    count: Array


def train_step(
    model: Model, phase: Phase, optimiser: Optimiser, state: TrainState, frozen: Flat, batch: Any, key: Array
) -> tuple[TrainState, Measured]:
    """One mini-batch and one update. Arguments as of `gradient_step` and `update_step`."""
    gradient, state, measured = gradient_step(model, phase, optimiser, state, frozen, batch, key)
    return update_step(phase, optimiser, state, gradient), measured


def gradient_step(
    model: Model, phase: Phase, optimiser: Optimiser, state: TrainState, frozen: Flat, batch: Any, key: Array
) -> tuple[dict[str, Array], TrainState, Measured]:
    """The gradient of the loss of one mini-batch.

    Args:
      model, phase: network and objective.
      optimiser: `optimiser.paths` are the parameters that the phase trains.
      state: its memory and statistics move, its parameters do not.
      frozen: the parameters that are not in the state, by path.
      batch: as in `methods.protocol.Batch`.
      key: of this step.

    Returns:
      {path: gradient}, the state after it, and what was measured.
    """
    trained = {path: state.params[path] for path in optimiser.paths}
    fixed = {**frozen, **{path: value for path, value in state.params.items() if path not in trained}}
    of_network, of_objective = jax.random.split(key)
    clock = Clock(epoch=state.epoch, step=state.updates[phase.name])

    def loss(trained: Flat) -> tuple[Array, tuple[Flat, Any, Measured]]:
        outputs, statistics = model.apply({**trained, **fixed}, state.statistics, batch, train=True, key=of_network)
        step = Step(outputs, batch, state.memory, clock, of_objective, statistics)
        terms, memory = _objective(model, phase, step)
        weights = phase.weights(model.options, model.inputs, state.memory, clock)
        measured = measure(phase, terms, weights, batch["weight"])
        return measured.means["loss"], (statistics, memory, measured)

    gradient, (statistics, memory, measured) = jax.grad(loss, has_aux=True)(trained)
    return gradient, state.replace(statistics=statistics, memory=memory), measured


def _objective(model: Model, phase: Phase, step: Step) -> tuple[Terms, Any]:
    """The terms of a phase and the memory after it. Raises MethodError if the objective gives anything else than the two."""
    found = phase.objective(step, model.options, model.inputs)
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise MethodError(
            f"phase {phase.name}: its objective returns {type(found).__name__}; expected a pair, the terms and the memory"
        )
    return found[0], found[1]


def update_step(phase: Phase, optimiser: Optimiser, state: TrainState, gradient: Flat) -> TrainState:
    """The state with the phase's parameters moved along a gradient."""
    trained = {path: state.params[path] for path in optimiser.paths}
    trained, moments = optimiser.update(gradient, state.optimiser[phase.name], trained, state.rate)
    return state.replace(
        params={**state.params, **trained},
        optimiser={**state.optimiser, phase.name: moments},
        updates={**state.updates, phase.name: state.updates[phase.name] + 1},
    )


def eval_step(model: Model, params: Flat, statistics: Flat, batch: Any, names: Sequence[str]) -> dict[str, Array]:
    """The outputs of these names, [B] or [B, d], of all parameters, without dropout."""
    outputs, _ = model.apply(params, statistics, batch, train=False)
    check_names(model.method.name, "an output", names, outputs)
    return {name: outputs[name] for name in names}


def eval_terms(
    model: Model, phase: Phase, params: Flat, statistics: Flat, memory: Any, clock: Clock, batch: Any, key: Array
) -> Measured:
    """The loss terms of a mini-batch without dropout, for selection by one of them. clock: where training is."""
    outputs, _ = model.apply(params, statistics, batch, train=False)
    terms, _ = _objective(model, phase, Step(outputs, batch, memory, clock, key, statistics))
    weights = phase.weights(model.options, model.inputs, memory, clock)
    return measure(phase, terms, weights, batch["weight"])


def measure(phase: Phase, terms: Mapping[str, Array], weights: Mapping[str, Array | float], weight: Array) -> Measured:
    """Means of terms over the samples that count, and their weighted sum.

    Args:
      phase: says which terms are statistics of a batch.
      terms: {term: [B]}, or a scalar if the phase says so.
      weights: {term: number}; a term that is not named has weight 1.
      weight: [B], 1 for a sample that counts, 0 for padding.

    Raises:
      MethodError: a term of another shape, a weight of no term, or a term called "loss".
    """
    if "loss" in terms or not terms:
        raise MethodError(f"phase {phase.name}: its terms are {_listed(terms)}; expected some, and none called loss")
    check_names(f"phase {phase.name}", "a weight of the term", weights, terms)
    for name, term in terms.items():
        expected = () if name in phase.batch_terms else weight.shape
        if jnp.shape(term) != expected:
            raise MethodError(
                f"phase {phase.name}: term {name} has shape {jnp.shape(term)}; expected {expected}"
                + ("" if jnp.shape(term) else ", or its name among the phase's batch_terms")
            )
    count = weight.sum()
    total = jnp.where(count > 0, count, 1.0)
    means = {name: term if name in phase.batch_terms else (term * weight).sum() / total for name, term in terms.items()}
    loss = sum((weights.get(name, 1.0) * mean for name, mean in means.items()), jnp.float32(0))
    return Measured(
        {**means, "loss": loss}, {name: jnp.asarray(value, jnp.float32) for name, value in weights.items()}, count
    )


def check_outputs(model: Model, outputs: Mapping[str, Any], size: int) -> None:
    """Every head is a score of each of `size` samples, and every export is there.

    Raises:
      MethodError: otherwise; the message names what there is.
    """
    method = model.method
    heads = method.head_names(model.options, model.inputs)
    exports = method.export_names(model.options, model.inputs)
    scores = tuple(dict.fromkeys(("prediction", *heads)))
    check_names(method.name, "an output", (*scores, *exports), outputs)
    for name in scores:
        if jnp.shape(outputs[name]) != (size,):
            raise MethodError(
                f"method {method.name}: output {name} has shape {jnp.shape(outputs[name])}; expected [B], ({size},)"
            )
    for name in exports:
        shape = jnp.shape(outputs[name])
        if len(shape) not in (1, 2) or shape[0] != size:
            raise MethodError(f"method {method.name}: output {name} has shape {shape}; expected [B] or [B, d]")


def check_names(owner: str, kind: str, names: Iterable[str], known: Mapping[str, Any]) -> None:
    """Raises MethodError if one of the names is not known."""
    missing = [name for name in names if name not in known]
    if missing:
        raise MethodError(f"{owner} names {kind} {', '.join(missing)}; there are {_listed(known)}")


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(names) or "none"
