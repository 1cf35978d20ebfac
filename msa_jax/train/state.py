"""Everything a run is, as one pytree of arrays; and several runs side by side, with a leading axis [R]: a checkpoint."""

from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

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
    """R runs between two epochs; every leaf but `stage` has a leading axis [R].

    train: the states of the stage. best_params: the trained parameters in the best epoch so far.
    best_value: float32, selection value there. best_epoch: int32, counted over all stages, 0 before there is one.
    epochs: int32, epochs done over all stages. ended: bool, the stage has stopped, early or at its last epoch.
    failed: bool, something was not finite, which ended the run.
    stage: int32 scalar, index of the stage that all of them are in.
    """

    train: TrainState
    best_params: Any
    best_value: np.ndarray
    best_epoch: np.ndarray
    epochs: np.ndarray
    ended: np.ndarray
    failed: np.ndarray
    stage: np.ndarray


def start_stage(train: TrainState, *, stage: int, epochs: np.ndarray) -> RunState:
    """Runs at the beginning of a stage, with nothing found yet. train: [R]. epochs: [R], of the stages before."""
    runs = len(epochs)
    return RunState(
        train=train,
        best_params=copy(train.params),
        best_value=np.full(runs, np.inf, np.float32),
        best_epoch=np.zeros(runs, np.int32),
        epochs=np.asarray(epochs, np.int32),
        ended=np.zeros(runs, bool),
        failed=np.zeros(runs, bool),
        stage=np.array(stage, np.int32),
    )


def on_host(state: RunState) -> RunState:
    """The same with what is decided between epochs as numpy arrays of its own."""
    kept = ("train", "best_params")
    return state.replace(**{name: np.array(value) for name, value in vars(state).items() if name not in kept})


@jax.jit
def copy(tree: Any) -> Any:
    """New buffers: a step donates the ones it is given, so what outlives it needs its own."""
    return jax.tree.map(jnp.copy, tree)


@jax.jit
def stack(trees: Sequence[Any]) -> Any:
    """R trees as one whose leaves have a leading axis [R], in buffers of its own."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@jax.jit
def take(tree: Any, places: Array) -> Any:
    """Leaves [R, ...] -> [r, ...], those at `places` [r]; scalars -> without the axis."""
    return jax.tree.map(lambda leaf: leaf[places], tree)


@jax.jit
def put(tree: Any, places: Array, part: Any) -> Any:
    """Leaves [R, ...] with those of `part` [r, ...] at `places` [r]."""
    return jax.tree.map(lambda leaf, new: leaf.at[places].set(new), tree, part)


@jax.jit
def choose(where: Array, new: Any, old: Any) -> Any:
    """Leaves [R, ...]: those of `new` where [R] is true, elsewhere those of `old`; in buffers of its own."""
    return jax.tree.map(lambda a, b: jnp.where(where.reshape(-1, *[1] * (a.ndim - 1)), a, b), new, old)
