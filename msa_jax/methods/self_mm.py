"""Self-MM: self-supervised multi-task learning with generated unimodal labels.

Paper: Yu, Xu, Yuan, Wu. Learning Modality-Specific Representations with Self-Supervised Multi-Task Learning for
Multimodal Sentiment Analysis. AAAI 2021.
Reference code: github.com/thuiar/Self-MM and thuiar/MMSA (MIT); facts only, no line is taken from them.

The way of a batch. [CLS] of BERT (F_t) and the end states of two LSTMs (F_a, F_v) are concatenated for the multimodal
task; each task x projects its input to F*_x = ReLU(W F_x + b) and from there to a score. Every task regresses on a label
by L1: the multimodal one on the human label, a unimodal one on its u-label, weighted by tanh of how far the u-label is
from the human label (eq. 10). After the loss, the u-labels of the batch move (msa_jax.labels.self_mm).

Deviations and why.
- u-labels are clipped to the label range in both protocols, as in the authors' code: eq. 8 has a pole, and without a
  bound one sample near it would send its u-label to infinity.
- The paper names neither widths, dropout nor batch size; those of the authors' code for MOSI are the defaults.
- Optimiser: Adam, 5e-5 for BERT and 1e-3 for the rest, as the paper says; the code's coupled weight decay, windows of four
  summed mini-batch gradients, learning rates per group, linear layer behind each LSTM and middle layer in each head are
  the `reference` protocol, each an option by itself.
- Absent modalities: their encoder, their part of the concatenation and their task are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax import labels as label_generation
from msa_jax import losses
from msa_jax.config import Options, check_rates, check_sizes
from msa_jax.encoders.lstm import LSTM
from msa_jax.encoders.text import TextEncoder
from msa_jax.errors import InputError
from msa_jax.layers.dense import Linear
from msa_jax.layers.dropout import Dropout
from msa_jax.methods.groups import encoder_groups
from msa_jax.methods.protocol import Batch, Clock, Group, Inputs, Method

Array = jax.Array

MODALITY = {"t": "text", "a": "audio", "v": "vision"}  # task letter -> modality and head


@dataclass(frozen=True, kw_only=True)
class PerTask:
    """One value for each task: multimodal, text, audio, vision."""

    m: float
    t: float
    a: float
    v: float


@dataclass(frozen=True, kw_only=True)
class SelfMMOptions(Options):
    """Options of Self-MM.

    tasks: the tasks that are trained (Table 4): "m" and any of "t", "a", "v".
    unimodal_labels: "generated" (Self-MM) or "human" (Human-MM, Table 3: the dataset's label_t, label_a, label_v).
    audio_hidden, vision_hidden: LSTM sizes.
    feature_size: width of F* of each task. dropout: at the input of each task's head.
    label_limit: largest absolute u-label; None takes it from the dataset's label range.

    What the authors' code does and the paper does not say (on in the reference protocol):
    sequence_projection: a linear layer behind each LSTM, to audio_size and vision_size.
    middle_layer: a second ReLU layer between F* and the score.
    zero_is_positive: label 0 belongs to the positive centre (Self-MM's repository; MMSA's `excludeZero` turns it off).
    scale_distances: divide distances by sqrt(d), eq. 3-4 (off in the code).
    floor_alpha: guard eq. 8 by a floor under |alpha_m| (off: by adding epsilon, as the code does).
    """

    tasks: tuple[str, ...] = ("m", "t", "a", "v")
    unimodal_labels: Literal["generated", "human"] = "generated"
    audio_hidden: int = 32
    vision_hidden: int = 64
    audio_size: int = 16
    vision_size: int = 32
    feature_size: PerTask = PerTask(m=128, t=64, a=16, v=32)
    dropout: PerTask = PerTask(m=0.1, t=0.0, a=0.1, v=0.1)
    label_limit: float | None = None
    sequence_projection: bool = False
    middle_layer: bool = False
    zero_is_positive: bool = False
    scale_distances: bool = True
    floor_alpha: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "tasks", tuple(task.lower() for task in self.tasks))
        if "m" not in self.tasks or not set(self.tasks) <= {"m", "t", "a", "v"}:
            raise InputError(f"option tasks is {','.join(self.tasks)}; expected m and any of t, a, v, as in m,t,a")
        check_rates(self, "dropout")
        check_sizes(self, "audio_hidden", "vision_hidden", "audio_size", "vision_size", "feature_size")
        if self.label_limit is not None and self.label_limit <= 0:
            raise InputError(f"option label_limit is {self.label_limit}; expected a positive number or none")


REFERENCE: dict[str, Any] = {
    "sequence_projection": True,
    "middle_layer": True,
    "zero_is_positive": True,
    "scale_distances": False,
    "floor_alpha": False,
    "weight_decay_mode": "coupled",
    "accumulate": 4,
    "accumulate_reduce": "sum",
    "tail": "drop",
    "validation_mean": "batches",
    "weight_decay.text": 1e-3,
    "weight_decay.audio": 1e-2,
    "weight_decay.vision": 1e-3,
    "weight_decay.other": 1e-3,
    "learning_rate.vision": 1e-4,
}


def _tasks(options: SelfMMOptions, inputs: Inputs) -> tuple[str, ...]:
    """The unimodal tasks that are asked for and whose modality is there."""
    return tuple(task for task in ("t", "a", "v") if task in options.tasks and MODALITY[task] in inputs.modalities)


class Head(nn.Module):
    """F -> F* = ReLU(W F + b) -> score (paper, section Overall Architecture)."""

    size: int
    dropout: float
    middle_layer: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> tuple[Array, Array]:
        """[B, d] -> F* [B, size], score [B] float32."""
        x = Dropout(self.dropout)(x, deterministic=not train)
        feature = nn.relu(Linear(self.size, self.dtype, name="feature")(x))
        hidden = nn.relu(Linear(self.size, self.dtype, name="middle")(feature)) if self.middle_layer else feature
        return feature, Linear(1, self.dtype, name="score")(hidden)[:, 0].astype(jnp.float32)


class SelfMMNetwork(nn.Module):
    """Encoders and heads. Outputs: `prediction`, `text`, `audio`, `vision` [B], and `features` {task: F* [B, d]}."""

    options: SelfMMOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Any]:
        options, inputs = self.options, self.inputs
        representation: dict[str, Array] = {}  # F_s [B, d_s]
        if inputs.text is not None:
            text = TextEncoder(inputs.text, self.dtype, name="text_encoder")(batch["text"], train=train)
            representation["t"] = text["first"]
        for task, hidden, size in (
            ("a", options.audio_hidden, options.audio_size),
            ("v", options.vision_hidden, options.vision_size),
        ):
            name = MODALITY[task]
            if name in inputs.modalities:
                state = LSTM(hidden, self.dtype, name=f"{name}_encoder")(batch[name]["features"], batch[name]["length"])
                if options.sequence_projection:
                    state = Linear(size, self.dtype, name=f"{name}_encoder_projection")(state)
                representation[task] = state

        def head(task: str, name: str, x: Array) -> tuple[Array, Array]:
            size, dropout = int(getattr(options.feature_size, task)), getattr(options.dropout, task)
            return Head(size, dropout, options.middle_layer, self.dtype, name=f"{name}_head")(x, train=train)

        outputs: dict[str, Any] = {}
        features: dict[str, Array] = {}
        features["m"], outputs["prediction"] = head("m", "fusion", jnp.concatenate(list(representation.values()), -1))
        for task in _tasks(options, inputs):
            features[task], outputs[MODALITY[task]] = head(task, MODALITY[task], representation[task])
        return {**outputs, "features": features}


def init_memory(options: SelfMMOptions, inputs: Inputs, columns: Mapping[str, Array]) -> Any:
    """The label state of msa_jax.labels.self_mm; nothing where labels are human or only "m" is trained."""
    tasks = _tasks(options, inputs)
    if not tasks or options.unimodal_labels == "human":
        return {}
    dims = {task: int(getattr(options.feature_size, task)) for task in ("m", *tasks)}
    return label_generation.self_mm.init(columns["label"], dims, zero_is_positive=options.zero_is_positive)


def objective(
    outputs: Mapping[str, Any], batch: Batch, memory: Any, clock: Clock, options: SelfMMOptions, inputs: Inputs
) -> tuple[dict[str, Array], Any]:
    """Eq. 10, with the u-labels as they are before this batch moves them."""
    label = batch["label"]
    terms = {"multimodal": losses.l1(outputs["prediction"], label)}
    for task in _tasks(options, inputs):
        target = memory.labels[task][batch["row"]] if memory else batch[f"label_{task}"]
        weight = jnp.tanh(jnp.abs(target - label))
        terms[MODALITY[task]] = losses.weighted_l1(outputs[MODALITY[task]], target, weight)
    if memory:
        memory = label_generation.self_mm.update(
            memory,
            batch["row"],
            outputs["features"],
            epoch=clock.epoch,
            limit=inputs.limit if options.label_limit is None else options.label_limit,
            where=batch["weight"] > 0,
            zero_is_positive=options.zero_is_positive,
            scale_distances=options.scale_distances,
            floor=options.floor_alpha,
        )
    return terms, memory


def end_epoch(memory: Any, means: Mapping[str, Array], options: SelfMMOptions) -> Any:
    """Class centres summed anew over all rows."""
    if not memory:
        return memory
    return label_generation.self_mm.refresh_centres(memory, zero_is_positive=options.zero_is_positive)


def records(memory: Any) -> dict[str, Array]:
    """The u-labels [N] of each unimodal task (the paper's Figure 4)."""
    return {f"label_{task}": value for task, value in memory.labels.items() if task != "m"} if memory else {}


def groups(options: SelfMMOptions) -> tuple[Group, ...]:
    """BERT (decay only on its matrices), audio LSTM, vision LSTM, everything else: the five groups of the code."""
    return encoder_groups(options)


def check(options: SelfMMOptions, inputs: Inputs) -> None:
    """Human-MM needs the human unimodal labels."""
    missing = [f"label_{task}" for task in _tasks(options, inputs) if f"label_{task}" not in inputs.columns]
    if options.unimodal_labels == "human" and missing:
        raise InputError(
            f"option unimodal_labels is human, but the dataset has no {', '.join(missing)}; "
            "choose tasks that have labels, or generated ones"
        )


METHOD = Method(
    name="self_mm",
    paper="Yu et al., AAAI 2021: Self-Supervised Multi-Task Learning for Multimodal Sentiment Analysis",
    options=SelfMMOptions,
    reference=REFERENCE,
    network=SelfMMNetwork,
    objective=objective,
    groups=groups,
    heads=("prediction", "text", "audio", "vision"),
    init_memory=init_memory,
    end_epoch=end_epoch,
    records=records,
    check=check,
)
