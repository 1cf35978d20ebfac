"""Datasets and methods so small that the whole engine runs on them in a second."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from msa_jax import methods
from msa_jax.config import Options
from msa_jax.data.schema import Dataset
from msa_jax.errors import InputError
from msa_jax.layers.dense import Linear
from msa_jax.layers.dropout import Dropout
from msa_jax.methods.protocol import Clock, Group, Inputs, Method, Phase, Stage, Step
from msa_jax.testing import tiny_dataset
from msa_jax.train.experiment import Experiment, train

# Sizes and rates at which the methods of msa_jax are tested; learning is fast enough to be seen in a few epochs.
QUICK: Mapping[str, Any] = {
    "scratch_layers": 1,
    "scratch_width": 32,
    "max_tokens": 12,
    "batch_size": 8,
    "max_epochs": 2,
    "learning_rate.text": 1e-3,
    "checkpoint_epochs": 100,
}


# -- a method of the tests --------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ToyOptions(Options):
    """poison_epoch, poison_step: where the term "noise" becomes NaN. stages: 1 or 2; encoder_epochs: of the first
    of two."""

    dropout: float = 0.2
    poison_epoch: int = 0
    poison_step: int = 0
    stages: int = 1
    encoder_epochs: int = 3


class ToyNetwork(nn.Module):
    """Mean of the audio frames -> 4 hidden units -> score."""

    options: ToyOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Mapping[str, Any], *, train: bool) -> dict[str, jax.Array]:
        audio = batch["audio"]
        mean = audio["features"].sum(1) / jnp.maximum(audio["length"], 1)[:, None]
        hidden = jnp.tanh(Linear(4, self.dtype, name="audio_encoder")(mean))
        hidden = Dropout(self.options.dropout)(hidden, deterministic=not train)
        return {"prediction": Linear(1, self.dtype, name="score")(hidden)[:, 0].astype(jnp.float32)}


def _toy_memory(options: ToyOptions, inputs: Inputs, columns: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    return {"last": jnp.array(columns["label"]), "error": jnp.float32(0)}


def _toy_objective(step: Step, options: ToyOptions, inputs: Inputs) -> tuple[dict[str, jax.Array], Any]:
    # Everything a step may depend on takes part: labels, memory of rows, memory of epochs, the clock, batch statistics.
    score, row, weight = step.outputs["prediction"], step.batch["row"], step.batch["weight"]
    poisoned = (step.clock.epoch == options.poison_epoch) & (step.clock.step == options.poison_step)
    terms = {
        "multimodal": jnp.abs(score - step.batch["label"]),
        "inertia": (score - step.memory["last"][row]) ** 2 / step.clock.epoch,
        "noise": jnp.where(poisoned, jnp.nan, 0.0) * score,
        "spread": (score * weight).sum() ** 2 / 1000,
    }
    seen = jnp.where(weight > 0, row, len(step.memory["last"]))
    last = step.memory["last"].at[seen].set(jax.lax.stop_gradient(score), mode="drop")
    return terms, {**step.memory, "last": last}


def _toy_weights(options: ToyOptions, inputs: Inputs, memory: Any, clock: Clock) -> dict[str, jax.Array]:
    return {"inertia": 0.1 / (1 + memory["error"])}


def _toy_end_epoch(memory: Any, means: Mapping[str, jax.Array], options: ToyOptions, inputs: Inputs) -> Any:
    return {**memory, "error": means["multimodal"] + 0.5 * memory["error"]}


def _toy_check(options: ToyOptions, inputs: Inputs) -> None:
    if inputs.audio is None:
        raise InputError("method toy needs audio")


def _toy_stages(options: ToyOptions, inputs: Inputs) -> tuple[Stage, ...]:
    phase = Phase(objective=_toy_objective, batch_terms=("spread",), weights=_toy_weights, end_epoch=_toy_end_epoch)
    if options.stages == 1:
        return (Stage(phases=(phase,)),)
    return (
        Stage(
            name="encoder",
            phases=(replace(phase, frozen="^score/"),),
            options={"max_epochs": options.encoder_epochs},
        ),
        Stage(name="score", phases=(replace(phase, frozen="^audio_encoder/"),)),
    )


TOY = Method(
    name="toy",
    paper="none",
    options=ToyOptions,
    network=ToyNetwork,
    stages=_toy_stages,
    groups=lambda options: (
        Group(name="audio", pattern="^audio_encoder/", learning_rate=options.learning_rate.audio),
        Group(name="other", pattern="", learning_rate=options.learning_rate.other),
    ),
    init_memory=_toy_memory,
    records=lambda memory: {"last": memory["last"]},
    check=_toy_check,
    text_encoder=None,
)

TOY_QUICK: Mapping[str, Any] = {
    "batch_size": 7,
    "max_epochs": 4,
    "patience": 10,
    "checkpoint_epochs": 100,
    "learning_rate.audio": 0.02,
    "learning_rate.other": 0.02,
}


@pytest.fixture(scope="module")
def toy() -> Iterator[Method]:
    """The toy method, known to msa_jax by the name "toy" while the tests of a module run."""
    methods.register(TOY)
    yield TOY
    methods.METHODS.remove("toy")


def train_toy(
    out: Path,
    dataset: Dataset | None = None,
    *,
    method: str = "toy",
    seeds: Iterable[int] = (1,),
    options: Mapping[str, Any] | None = None,
    **named: Any,
) -> Experiment:
    """An experiment of the toy method, or of another with its options; `named` goes to `train`."""
    dataset = tiny_dataset(modalities=("audio",)) if dataset is None else dataset
    changes = {**TOY_QUICK, **(options or {})}
    return train(method, dataset, seeds=tuple(seeds), out=out, log=None, options=changes, **named)


def train_quick(
    method: str,
    dataset: Dataset,
    out: Path,
    *,
    seeds: Iterable[int] = (1,),
    options: Mapping[str, Any] | None = None,
    **named: Any,
) -> Experiment:
    """An experiment of a method of msa_jax at the sizes of QUICK, without a preset; `named` goes to `train`."""
    changes = {**QUICK, **(options or {})}
    return train(method, dataset, seeds=tuple(seeds), out=out, preset="none", log=None, options=changes, **named)


def contrary(dataset: Dataset) -> Dataset:
    """Valid labels turned around: what is learned makes valid worse, and the first epoch is the best."""
    return replace(dataset, valid=replace(dataset.valid, label=-dataset.valid.label))


def renamed(dataset: Dataset, name: str) -> Dataset:
    """The same arrays under another name."""
    return replace(dataset, card=replace(dataset.card, name=name))
