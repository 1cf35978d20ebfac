"""Everything a run is, as one pytree of arrays; and several runs side by side, with a leading axis [R]: a checkpoint."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding

Array = jax.Array
Flat = Mapping[str, Any]  # arrays by path, as in `text_encoder/bert/pooler/kernel`


@flax.struct.dataclass
class TrainState:
    """What a training step reads and writes.

    params: by path, all but those of a text encoder that the stage does not train. statistics: running means and
    variances of the network, by path.
    optimiser: {phase: optax's state}. memory: the method's. key: the run's root random key; a step's keys are folded from
    it, the epoch and the mini-batch's number, so it never changes. epoch: int32, from 1, within the stage.
    updates: {phase: int32 parameter updates in the stage}. rate: float32 factor on all learning rates.
    """

    params: Flat
    statistics: Flat
    optimiser: dict[str, Any]
    memory: Any
    key: Array
    epoch: Array
    updates: dict[str, Array]
    rate: Array


@flax.struct.dataclass
class Standing:
    """How R runs stand between two epochs; every leaf is a numpy array [R].

    best_value: float32, the selection value in the best epoch so far. best_epoch: int32, counted over all stages, 0 before
    there is one. epochs: int32, epochs done over all stages. ended: bool, the stage has stopped, early or at its last epoch.
    failed: bool, something was not finite, which ended the run. plateau_value: float32, what an epoch must improve on for
    the plateau schedule. plateau_epochs: int32, epochs since one did. rate: float32, the schedule's factor.
    """

    best_value: np.ndarray
    best_epoch: np.ndarray
    epochs: np.ndarray
    ended: np.ndarray
    failed: np.ndarray
    plateau_value: np.ndarray
    plateau_epochs: np.ndarray
    rate: np.ndarray

    @classmethod
    def start(cls, epochs: np.ndarray) -> "Standing":
        """Runs before the first epoch of a stage; epochs [R]: of the stages before."""
        runs = len(epochs)
        return cls(
            best_value=np.full(runs, np.inf, np.float32),
            best_epoch=np.zeros(runs, np.int32),
            epochs=np.asarray(epochs, np.int32),
            ended=np.zeros(runs, bool),
            failed=np.zeros(runs, bool),
            plateau_value=np.full(runs, np.inf, np.float32),
            plateau_epochs=np.zeros(runs, np.int32),
            rate=np.ones(runs, np.float32),
        )


@flax.struct.dataclass
class Best:
    """What is kept of the best epoch so far, [R, ...]: parameters and statistics, as in the state."""

    params: Flat
    statistics: Flat


@flax.struct.dataclass
class RunState:
    """R runs between two epochs. train, best: on the devices. standing: on the host. stage: int32, the stage of all of them."""

    train: TrainState
    best: Best
    standing: Standing
    stage: np.ndarray

    @classmethod
    def start(cls, train: TrainState, *, stage: int, epochs: np.ndarray) -> "RunState":
        """Runs at the beginning of a stage. train: [R, ...]. epochs: [R], of the stages before."""
        best = copy(Best(train.params, train.statistics))
        return cls(train=train, best=best, standing=Standing.start(epochs), stage=np.array(stage, np.int32))

    def on_host(self) -> "RunState":
        """The same, with what is decided between epochs as numpy arrays of its own."""
        return self.replace(standing=jax.tree.map(np.array, self.standing), stage=np.array(self.stage))


@jax.jit
def copy(tree: Any) -> Any:
    """New buffers: a step donates the ones it is given, so what outlives it needs its own."""
    return jax.tree.map(jnp.copy, tree)


def stack(trees: Sequence[Any]) -> Any:
    """R trees of arrays on the host as one whose leaves have a leading axis [R]."""
    return jax.tree.map(lambda *leaves: _stack(leaves), *trees)


def _stack(leaves: Sequence[Any]) -> Any:
    if isinstance(leaves[0], jax.Array) and jax.dtypes.issubdtype(leaves[0].dtype, jax.dtypes.prng_key):
        return jnp.stack(leaves)
    return np.stack([np.asarray(leaf) for leaf in leaves])


@jax.jit
def take(tree: Any, places: Array) -> Any:
    """Leaves [R, ...] -> [r, ...], those at `places` [r]; a scalar place -> without the axis."""
    return jax.tree.map(lambda leaf: leaf[places], tree)


@functools.cache
def taking(sharding: Sharding | None) -> Callable[[Any, Any], Any]:
    """`take` of several places, whose result lies as `sharding` says and never whole on every device; None for one device."""
    return jax.jit(take.__wrapped__, out_shardings=sharding)


@functools.cache
def putting(sharding: Sharding | None) -> Callable[[Any, Any, Any], Any]:
    """(leaves [R, ...], places [r], part) -> the leaves with the first r of `part` there; sharding: as of `taking`."""

    def put(tree: Any, places: Array, part: Any) -> Any:
        return jax.tree.map(lambda leaf, new: leaf.at[places].set(new[: len(places)]), tree, part)

    return jax.jit(put, out_shardings=sharding)


@jax.jit
def choose(which: Array, new: Any, old: Any) -> Any:
    """Leaves [R, ...]: those of `new` if [R] is true, else those of `old`; in buffers of its own."""
    return jax.tree.map(lambda a, b: jnp.where(which.reshape(-1, *[1] * (a.ndim - 1)), a, b), new, old)
