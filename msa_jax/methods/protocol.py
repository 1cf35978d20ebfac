"""What a method is, to the engine: a few functions and a few names. The engine knows nothing else of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.config import Options
from msa_jax.encoders.bert import BertConfig

Array = jax.Array
Batch = Mapping[str, Any]


class Clock(NamedTuple):
    """Where training is: traced scalars. epoch: 1-based, within the stage; step: 0-based parameter updates so far."""

    epoch: Array
    step: Array


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The shapes a network is built for; None where a modality is absent.

    text: the BERT's sizes, or an int, the width of precomputed text features.
    text_steps: T. audio, vision: (steps, width) of the sequences.
    label_range: lowest and highest label. rows: training rows N.
    columns: names of the label columns there are, besides `label`.
    """

    text: BertConfig | int | None = None
    text_steps: int = 0
    audio: tuple[int, int] | None = None
    vision: tuple[int, int] | None = None
    label_range: tuple[float, float] = (-3.0, 3.0)
    rows: int = 0
    columns: tuple[str, ...] = ()

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(name for name in ("text", "audio", "vision") if getattr(self, name) is not None)

    @property
    def limit(self) -> float:
        """The largest absolute label."""
        return max(abs(self.label_range[0]), abs(self.label_range[1]))


@dataclass(frozen=True, kw_only=True)
class Group:
    """Parameters that share a learning rate: those whose path matches `pattern` and no earlier group's.

    `pattern` is a regular expression searched in paths such as `text_encoder/layer_0/attention/query/kernel`.
    """

    name: str
    pattern: str
    learning_rate: float
    weight_decay: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One phase of training.

    name: for people, and for the folder of its result.
    frozen: a regular expression; parameters whose path it matches keep their values.
    options: dotted names and values that replace those of the run in this stage: batch_size, max_epochs, learning rates.
    head, label: the output, and the label column, whose scores on valid select the best epoch and stop the stage.
    objective: used instead of the method's.
    partners: (memory, rows [B], key, options) -> [B, P] int32, rows of train. Each mini-batch then holds B * (1 + P) rows,
      every row followed by its partners, and all of them count as if they were drawn.
    """

    name: str
    frozen: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    head: str = "prediction"
    label: str = "label"
    objective: Callable[..., tuple[dict[str, Array], Any]] | None = None
    partners: Callable[[Any, Array, Array, Any], Array] | None = None


def _no_memory(options: Any, inputs: Inputs, columns: Mapping[str, Array]) -> Any:
    return {}


def _same_memory(memory: Any, means: Mapping[str, Array], options: Any) -> Any:
    return memory


def _one_stage(options: Any, inputs: Inputs) -> tuple[Stage, ...]:
    return (Stage(name="train"),)


def _nothing(memory: Any) -> dict[str, Array]:
    return {}


def _any_inputs(options: Any, inputs: Inputs) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Method:
    """One published approach.

    name, paper: for people.
    options: the dataclass of its options; its defaults are the paper protocol.
    reference: the options that differ in the reference protocol, what the authors' code does.
    network: (options, inputs, dtype) -> a Flax module, called as `module(batch, train=bool)`, that returns a dict of named
      outputs. `prediction` [B] is the score.
    objective: (outputs, batch, memory, clock, options, inputs) -> ({term: [B] values}, new memory). The engine takes the
      masked mean of each term, multiplies by `weights` and adds up.
    groups: (options) -> the parameter groups; every parameter must match one.
    heads: outputs [B] that are scores and are written beside the prediction.
    exports: other outputs, [B] or [B, d], that are written where a user asks for them: gates, representations.
    init_memory: (options, inputs, train label columns {name: [N]}) -> the memory, a pytree of arrays.
    end_epoch: (memory, {term: mean over the epoch}, options) -> memory.
    weights: (options, memory) -> {term: weight}; 1 where a term is not named.
    stages: (options, inputs) -> the phases of training; each starts from the best parameters of the one before.
    records: memory -> named [N] arrays worth keeping each epoch.
    check: raises InputError where options and inputs do not fit, before anything is built.
    """

    name: str
    paper: str
    options: type[Options]
    network: Callable[[Any, Inputs, jnp.dtype], nn.Module]
    objective: Callable[..., tuple[dict[str, Array], Any]]
    groups: Callable[[Any], tuple[Group, ...]]
    reference: Mapping[str, Any] = field(default_factory=dict)
    heads: tuple[str, ...] = ("prediction",)
    exports: tuple[str, ...] = ()
    init_memory: Callable[[Any, Inputs, Mapping[str, Array]], Any] = _no_memory
    end_epoch: Callable[[Any, Mapping[str, Array], Any], Any] = _same_memory
    weights: Callable[[Any, Any], dict[str, Array | float]] = lambda options, memory: {}
    stages: Callable[[Any, Inputs], tuple[Stage, ...]] = _one_stage
    records: Callable[[Any], dict[str, Array]] = _nothing
    check: Callable[[Any, Inputs], None] = _any_inputs
