"""Numbers of an epoch that nothing needs but those who watch: learning rates, norms, speed."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.methods.protocol import Method
from msa_jax.train.epoch_trainer import Epoch
from msa_jax.train.optimiser import schedule
from msa_jax.train.programs import PhasePrograms
from msa_jax.train.state import Flat, TrainState

Array = jax.Array

MEAN_DECAY = 0.9  # of Adam's mean of gradients


def epoch_numbers(
    method: Method, phase: PhasePrograms, epoch: Epoch, state: TrainState, before: Flat
) -> list[dict[str, float]]:
    """For each active run: learning rate of each parameter group at the epoch's last update; norms; mini-batches of that
    phase in a second of the whole epoch. Without rates and mean gradient where the phase has another optimiser than Adam.

    Norms are of all parameters of a run but a text encoder that is not trained, as one vector: of the parameters; of what they
    moved by in the epoch; and of Adam's mean gradient, corrected for its start, that of the last mini-batches.

    Args:
      phase: the last one of the epoch's stage.
      state: [R, ...] after the epoch.
      before: [R, ...] the parameters before it.
    """
    name, options = phase.phase.name, phase.options
    adam = phase.phase.optimiser is None
    moments = state.optimiser[name].mu if adam else {}
    found = {key: np.asarray(value) for key, value in _norms(state.params, before, moments).items()}
    updates, rate = np.asarray(state.updates[name]), np.asarray(state.rate)
    factor = schedule(options, phase.walk.updates)
    numbers = []
    for place in epoch.active:
        done = int(updates[place])
        scale = float(rate[place]) * float(factor(max(done - 1, 0)))
        groups = method.groups(options) if adam else ()
        own = {f"learning_rate/{group.name}": scale * float(group.learning_rate) for group in groups}
        own |= {f"norm/{key}": float(value[place]) for key, value in found.items()}
        if adam:
            own["norm/mean_gradient"] /= 1 - MEAN_DECAY ** max(done, 1)
        numbers.append({**own, "steps_per_second": epoch.batches / max(epoch.seconds, 1e-9)})
    return numbers


@jax.jit
def _norms(params: Flat, before: Flat, moments: Mapping[str, Any]) -> dict[str, Array]:
    """{name: [R]}"""
    moved = {path: params[path].astype(jnp.float32) - before[path].astype(jnp.float32) for path in params}
    norms = {"parameters": _norm(params), "moved": _norm(moved)}
    return {**norms, "mean_gradient": _norm(moments)} if moments else norms


def _norm(tree: Mapping[str, Array]) -> Array:
    squares = [jnp.square(leaf.astype(jnp.float32)).reshape(len(leaf), -1).sum(1) for leaf in tree.values()]
    return jnp.sqrt(sum(squares[1:], squares[0]))
