"""Everything a run is, as one pytree of arrays: what is in a checkpoint."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

Array = jax.Array


@flax.struct.dataclass
class TrainState:
    """What a training step reads and writes.

    params: the network's parameters that the stage trains. optimiser: optax's state of them. memory: the method's.
    key: the run's root random key; a step's keys are folded from it, the epoch and the batch number, so it never changes.
    epoch: int32, 1-based within the stage. updates: int32, parameter updates in the stage.
    """

    params: Any
    optimiser: Any
    memory: Any
    key: Array
    epoch: Array
    updates: Array


@flax.struct.dataclass
class RunState:
    """A run between two epochs.

    train: the state of the stage. best_params: its trained parameters in its best epoch so far.
    best_value: float32, selection value there. best_epoch: int32, counted over all stages.
    epochs: int32, epochs done over all stages. stage: int32, index of the stage that is trained.
    ended: bool, the stage has stopped, early or at its last epoch.
    """

    train: TrainState
    best_params: Any
    best_value: Array
    best_epoch: Array
    epochs: Array
    stage: Array
    ended: Array


def start_stage(train: TrainState, *, stage: int, epochs: int) -> RunState:
    """A run at the beginning of a stage, with nothing found yet."""
    return RunState(
        train=train,
        best_params=copy(train.params),
        best_value=jnp.float32(jnp.inf),
        best_epoch=jnp.int32(0),
        epochs=jnp.int32(epochs),
        stage=jnp.int32(stage),
        ended=jnp.bool_(False),
    )


def copy(tree: Any) -> Any:
    """New buffers: a step donates the ones it is given, so what outlives it needs its own."""
    return jax.tree.map(jnp.copy, tree)
