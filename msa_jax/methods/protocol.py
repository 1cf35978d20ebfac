"""What a method is, to the engine: a network, what it minimises, and a few names. The engine knows nothing else of it.

A method is one value, `METHOD = Method(...)`. It says

    network    (options, inputs, dtype) -> a Flax module; `module(batch, train=bool)` returns a dict of named outputs
    stages     (options, inputs) -> the stages of training, one after the other; most methods have one (`one_stage`)
    groups     (options) -> parameter groups: who has which learning rate and weight decay

A stage has one phase or several, walked one after the other in every epoch; a phase has an objective, the parameters that
it trains, and moments of Adam (or another optimiser) of its own. An objective sees a `Step` and returns named terms, a value
for each sample, and the new memory; the engine takes the mean of each term over the samples that count, multiplies it by its
weight, adds up, and moves the parameters.

Options that are floats may be traced numbers inside of network, objective, weights, end_epoch and init_memory, since a
sweep trains many values of them in one program: `if options.dropout > 0` fails there. Compare in `__post_init__`, where
options are numbers, or compute with `jnp.where`.

A name that the engine is given (a weight, a head, an export, a record, a loss term to select on) must exist; otherwise
training ends with a MethodError before the first step. `check_method` looks for what data may lack, as what is frozen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax import losses
from msa_jax.config import Options
from msa_jax.encoders.bert import BertConfig
from msa_jax.errors import InputError
from msa_jax.modalities import MODALITIES

Array = jax.Array
Terms = dict[str, Array]

STATISTICS = "batch_stats"  # Flax's collection of running means and variances


# -- what goes in -----------------------------------------------------------------------------------------------------


class Text(TypedDict, total=False):
    """Text of B utterances of at most T tokens. A method hands it to `encoders.text.TextEncoder` and need not look inside.

    mask: [B, T] int32, 1 at tokens, which stand at the front.
    Token ids, padded: ids [B, T] int32. Packed: ids, positions, segments [P, W] int32, and slot [B, T] int32, where in the
    P * W slots each token lies. States or features that were computed before: features [B, T, D], and pooled [B, D] where
    the text encoder has a pooler.
    """

    mask: Array
    ids: Array
    positions: Array
    segments: Array
    slot: Array
    features: Array
    pooled: Array


class Frames(TypedDict):
    """Frames of one modality. features: [B, L, d] float32, zeros at padding. length: [B] int32 in [0, L]."""

    features: Array
    length: Array


class Batch(TypedDict, total=False):
    """One mini-batch of B samples. A modality or label that the dataset lacks is absent.

    text, audio, vision: as above. label: [B] float32, the multimodal label. label_t, label_a, label_v: [B] float32, human
    labels of one modality. The network sees labels in training alone; the objective always does. row: [B] int32, each
    sample's place in the training split (of the part that `train_fraction` leaves), for memories. weight: [B] float32, 1 for
    a sample that counts, 0 for padding, whose values mean nothing but are finite.
    """

    text: Text
    audio: Frames
    vision: Frames
    label: Array
    label_t: Array
    label_a: Array
    label_v: Array
    row: Array
    weight: Array


def frames(batch: Batch, modality: str) -> Frames:
    """The frames of "audio" or "vision"."""
    return cast(Frames, batch[modality])  # pyright: ignore[reportGeneralTypeIssues]


def labels(batch: Batch, column: str) -> Array:
    """[B], one of the label columns."""
    return cast(Array, batch[column])  # pyright: ignore[reportGeneralTypeIssues]


class Clock(NamedTuple):
    """Where training is, as traced scalars. epoch: from 1, within the stage. step: parameter updates of the phase so far."""

    epoch: Array
    step: Array


class Step(NamedTuple):
    """What an objective sees of one mini-batch.

    outputs: of the network in training. batch: what it was given. memory: the method's, before this step. clock: where
    training is. key: a random key of this step, for the objective's own draws. statistics: the network's running statistics
    after this step, by path; {} for most networks.
    """

    outputs: Mapping[str, Any]
    batch: Batch
    memory: Any
    clock: Clock
    key: Array
    statistics: Mapping[str, Array]


@dataclass(frozen=True, kw_only=True)
class TextInput:
    """The text that a network reads.

    width: of a token's state or features. steps: T. bert: sizes of the text encoder, or None if the text comes as precomputed
    features. unknown: the id of [UNK], or None if there are no ids or it is not known.
    """

    width: int
    steps: int
    bert: BertConfig | None = None
    unknown: int | None = None


class SequenceInput(NamedTuple):
    """Frames that a network reads. steps: L of the training split. width: features of a frame."""

    steps: int
    width: int


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The shapes that a network is built for; None where a modality is absent.

    label_range: lowest and highest label. rows: training samples N. columns: the label columns there are besides `label`.
    aligned: whether all modalities share one time axis: in every sample of every split, as many frames as tokens.
    """

    text: TextInput | None = None
    audio: SequenceInput | None = None
    vision: SequenceInput | None = None
    label_range: tuple[float, float] = (-3.0, 3.0)
    rows: int = 0
    columns: tuple[str, ...] = ()
    aligned: bool = False

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities there are, in the order text, audio, vision."""
        return tuple(name for name in MODALITIES if getattr(self, name) is not None)

    @property
    def limit(self) -> float:
        """The largest absolute label."""
        return max(abs(self.label_range[0]), abs(self.label_range[1]))

    @property
    def neutral(self) -> float:
        """The label that is neither negative nor positive: 0, or the middle of a label range that does not have 0 inside."""
        return losses.neutral_point(*self.label_range)


# -- how it is trained ------------------------------------------------------------------------------------------------

Objective = Callable[[Step, Any, Inputs], tuple[Terms, Any]]
Weights = Callable[[Any, Inputs, Any, Clock], Mapping[str, Array | float]]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Parameters that share a learning rate: those whose path matches `pattern` and no earlier group's.

    pattern: a regular expression, searched in paths such as `text_encoder/bert/layer_0/attention/query/kernel`. A module
      named `layers` is a stack: the first axis of all its parameters is that of layers, and the paths have `layer_0`,
      `layer_1`, ... in the place of that name (see `layers.stack`). Other modules need other names.
    """

    name: str
    pattern: str
    learning_rate: float
    weight_decay: float = 0.0


class Score(NamedTuple):
    """Selection by an output of the network: the head, and the label column that it is compared with on valid.

    The option `selection` says how: "loss" (mean absolute error), "mse", or a metric of the dataset. With "term.NAME" it
    selects by a loss term instead, see `Method.valid_terms`.
    """

    head: str = "prediction"
    label: str = "label"


BY_PREDICTION = Score()


def no_weights(options: Any, inputs: Inputs, memory: Any, clock: Clock) -> Mapping[str, Array | float]:
    """Every term has weight 1."""
    return {}


def keep_memory(memory: Any, means: Mapping[str, Array], options: Any, inputs: Inputs) -> Any:
    """The memory stays as the last step left it."""
    return memory


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One objective over one set of parameters, with optimiser moments of its own.

    name: of its own in the stage. objective: (Step, options, inputs) -> ({term: [B] float32}, new memory).
    batch_terms: the terms that are scalars, statistics of a batch; they must leave out samples of weight 0 by themselves.
    trains, frozen: regular expressions; the phase trains the parameters whose path matches the first and not the second.
    weights: (options, inputs, memory, clock) -> {term: weight}; a term that is not named has weight 1.
    end_epoch: (memory, {term: mean over the epoch}, options, inputs) -> memory; "loss" is among the means.
    partners: (memory, rows [B], key, options) -> [B, P] int32, rows of train. Each mini-batch then holds B * (1 + P)
      samples, every one followed by its partners, and all of them count as if they were drawn.
    share: the part of the epoch's mini-batches that the phase walks, in (0, 1], the first ones of an order of its own.
    optimiser: (options) -> a GradientTransformation of optax over {path: parameter}, in the place of Adam. Rates and decays of
      groups, clipping and schedules do nothing then, but that the plateau schedule scales the updates.
    """

    name: str = "train"
    objective: Objective
    batch_terms: tuple[str, ...] = ()
    trains: str = ""
    frozen: str | None = None
    weights: Weights = no_weights
    end_epoch: Callable[[Any, Mapping[str, Array], Any, Inputs], Any] = keep_memory
    partners: Callable[[Any, Array, Array, Any], Array] | None = None
    share: float = 1.0
    optimiser: Callable[[Any], Any] | None = None


class Begin(NamedTuple):
    """What becomes of the memory before the first epoch of a stage.

    outputs: names of those of the network, [B, d], that it is told for the whole training split, without dropout.
    memory: (memory, {name: [N, d]}, the training arrays as a batch of all, options, inputs) -> memory. The text of the arrays
      may be states of a frozen encoder in the place of tokens.
    """

    outputs: tuple[str, ...]
    memory: Callable[[Any, Mapping[str, Array], Mapping[str, Any], Any, Inputs], Any]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Training until nothing improves, from the best parameters of the stage before.

    name: of its own, for people and for the folder of its result. phases: walked one after the other in every epoch.
    options: dotted names and values that replace those of the run: batch_size, max_epochs, learning rates.
    select: what selects the best epoch and stops the stage. select_from: the first epoch that may be selected, from 1; patience
      is counted from it. A stage of fewer epochs selects its last one.
    begin: what becomes of the memory that the stage before left; None leaves it.
    """

    name: str = "train"
    phases: tuple[Phase, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    select: Score = BY_PREDICTION
    select_from: int = 1
    begin: Begin | None = None


Stages = Callable[[Any, Inputs], tuple[Stage, ...]]


def one_stage(objective: Objective, **phase: Any) -> Stages:
    """The stages of most methods: a single one of a single phase. `phase` are fields of the phase."""

    def stages(options: Any, inputs: Inputs) -> tuple[Stage, ...]:
        return (Stage(phases=(Phase(objective=objective, **phase),)),)

    return stages


# -- the method -------------------------------------------------------------------------------------------------------

Names = tuple[str, ...] | Callable[[Any, Inputs], tuple[str, ...]]


def no_memory(options: Any, inputs: Inputs, columns: Mapping[str, Array]) -> Any:
    """A method without memory."""
    return {}


def no_records(memory: Any) -> dict[str, Array]:
    """Nothing is recorded."""
    return {}


def fits_anything(options: Any, inputs: Inputs) -> None:
    """Options and inputs fit together."""


def no_notes(options: Any, inputs: Inputs) -> tuple[str, ...]:
    """Nothing needs to be said."""
    return ()


def never(options: Any) -> bool:
    """No value of the options asks for it."""
    return False


@dataclass(frozen=True, kw_only=True)
class Method:
    """One published approach.

    name, paper: for people; the name is also that of the command.
    options: the dataclass of its options; its defaults are the paper protocol.
    reference: the options that differ in the reference protocol, what the authors' code does.
    network: (options, inputs, dtype) -> a Flax module, called as `module(batch, train=bool)`, that returns a dict of named
      outputs, scores in float32. `prediction` [B] is the score. In training there is one random stream, `dropout`.
      Parameters are drawn with `train=False`, so every layer is called then, too.
    stages: (options, inputs) -> the stages of training.
    groups: (options) -> the parameter groups; every parameter must match one.
    heads: outputs [B] that are scores and are written beside the prediction; names, or (options, inputs) -> names.
    exports: other outputs, [B] or [B, d], that are written where a user asks for them: gates, representations.
    reads: the modalities that scores can depend on, or (options, inputs) -> these; what else a dataset has may be missing at
      prediction.
    init_memory: (options, inputs, train label columns {name: [N]}) -> the memory, a pytree of arrays, no random key among them.
    records: memory -> named [N] arrays worth keeping each epoch.
    check: raises InputError where options and inputs do not fit, before anything is built.
    text_encoder: the submodule of the network, an `encoders.text.TextEncoder`, that takes pretrained weights; None for a
      method that reads no tokens.
    adapts_text: (options) -> whether the network changes the text encoder's embeddings, so that its states cannot be
      computed once for all.
    needs_aligned: (options) -> whether the modalities must share one time axis.
    calibrates: (options) -> whether label_t, label_a and label_v of train are to be estimated from its features, see
      `data.calibrated`.
    notes: (options, inputs) -> what happens to these inputs that a user may not expect, a line each, for the log.
    valid_terms: loss terms that `selection` may name as "term.NAME", since they mean the same on valid; "loss" may be among
      them. Their mean on valid selects, lower is better. The network is in evaluation mode then, the clock stands at the end
      of the epoch, and `row` counts the samples of valid, so the objective may read no memory of training samples.
    presets: a folder of presets, for a method from another package.
    """

    name: str
    paper: str
    options: type[Options]
    network: Callable[[Any, Inputs, jnp.dtype], nn.Module]
    stages: Stages
    groups: Callable[[Any], tuple[Group, ...]]
    reference: Mapping[str, Any] = field(default_factory=dict)
    heads: Names = ("prediction",)
    exports: Names = ()
    reads: Names = MODALITIES
    init_memory: Callable[[Any, Inputs, Mapping[str, Array]], Any] = no_memory
    records: Callable[[Any], dict[str, Array]] = no_records
    check: Callable[[Any, Inputs], None] = fits_anything
    text_encoder: str | None = "text_encoder"
    adapts_text: Callable[[Any], bool] = never
    needs_aligned: Callable[[Any], bool] = never
    calibrates: Callable[[Any], bool] = never
    notes: Callable[[Any, Inputs], tuple[str, ...]] = no_notes
    valid_terms: tuple[str, ...] = ()
    presets: Path | None = None

    def head_names(self, options: Any, inputs: Inputs) -> tuple[str, ...]:
        """The scores that the network gives with these options and inputs, `prediction` first."""
        return self.heads(options, inputs) if callable(self.heads) else self.heads

    def read_names(self, options: Any, inputs: Inputs) -> tuple[str, ...]:
        """The modalities that scores can depend on with these options and inputs."""
        return self.reads(options, inputs) if callable(self.reads) else self.reads

    def export_names(self, options: Any, inputs: Inputs) -> tuple[str, ...]:
        """What else can be exported with these options and inputs."""
        return self.exports(options, inputs) if callable(self.exports) else self.exports


def check_inputs(method: Method, options: Any, inputs: Inputs) -> None:
    """What every method asks of a dataset, and then what this one asks.

    Raises:
      InputError: options and inputs do not fit together.
    """
    if method.needs_aligned(options) and not inputs.aligned:
        raise InputError(
            f"method {method.name} needs aligned data: as many audio and vision frames as tokens in every sample; this "
            "dataset has sequences of their own lengths"
        )
    method.check(options, inputs)
