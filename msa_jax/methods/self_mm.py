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
  the `reference` protocol, each an option by itself. So is training until 8 epochs bring no gain; otherwise it ends at 40.
- With parts of SUGRM (its Table 4) the Sparse Phased Transformer learns at a rate of its own, `learning_rate.encoder`, and
  `reference` gives it and the recalibration what SUGRM's `reference` gives them: no shifts of input windows, no dropout of
  attention weights, and padding that is read (`padding`, which needs `pack_text` false with these parts). LSTMs never read
  padding.
- Absent modalities: their encoder, their part of the concatenation and their task are left out. A sample that lacks a
  modality has no part in its task: no loss, and its u-label stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.config import PerGroup, check_rates, check_sizes
from msa_jax.encoders.lstm import end_states_of_several
from msa_jax.encoders.sequences import SequenceEncoder
from msa_jax.encoders.sparse_phased import SparsePhasedConfig
from msa_jax.layers.dense import Linear
from msa_jax.layers.recalibration import Recalibration
from msa_jax.layers.subnetworks import FeatureScoreHead
from msa_jax.methods.protocol import Batch, Group, Inputs, Method, one_stage
from msa_jax.methods.shared import unimodal_tasks
from msa_jax.methods.shared.groups import encoder_groups
from msa_jax.methods.shared.padded_text import check_padding, encode_text
from msa_jax.methods.shared.sequences import SPT_REFERENCE, frames_of
from msa_jax.methods.shared.unimodal_tasks import PerTask, UnimodalTaskOptions
from msa_jax.modalities import MODALITY, SEQUENCES

Array = jax.Array


@dataclass(frozen=True, kw_only=True)
class PerGroupAndEncoder(PerGroup):
    """One value for each parameter group.

    Groups:
      encoder: The Sparse Phased Transformer, if it is the encoder.
    """

    encoder: float


RATES = PerGroupAndEncoder(text=5e-5, audio=1e-3, vision=1e-3, other=1e-3, encoder=5e-4)


@dataclass(frozen=True, kw_only=True)
class SelfMMOptions(UnimodalTaskOptions):
    """Options of Self-MM.

    Network:
      audio_hidden, vision_hidden: Width of the LSTM of this modality.
      dropout: Dropout rate in front of the head of a task.
      lstm: How time steps are walked: `scan`, a loop in the program, or `kernel`, one kernel of a GPU for all of them.
    What the authors' code does and the paper does not say:
      sequence_projection: Whether a linear layer stands behind each LSTM.
      audio_size, vision_size: Width of the linear layer behind the LSTM of this modality, with `sequence_projection`.
      middle_layer: Whether a second ReLU layer stands between the feature F* and the score.
    Parts of SUGRM in their places (SUGRM, Table 4):
      recalibration: Whether the Modality Recalibration Module stands in front of the encoders.
      encoder: Encoder of audio and vision: `lstm`, or `spt`, the Sparse Phased Transformer, which reads the text too.
      spt: Sparse Phased Transformer.
      padding: What these parts read; an LSTM reads no padding. `masked` leaves it out. `included` reads it up to `max_tokens`
        and to the longest sequences of the training split, where longer ones are cut, and needs `pack_text` false.
    """

    learning_rate: PerGroupAndEncoder = RATES

    audio_hidden: int = 32
    vision_hidden: int = 64
    audio_size: int = 16
    vision_size: int = 32
    feature_size: PerTask = PerTask(m=128, t=64, a=16, v=32)
    dropout: PerTask = PerTask(m=0.1, t=0.0, a=0.1, v=0.1)
    sequence_projection: bool = False
    middle_layer: bool = False
    recalibration: bool = False
    encoder: Literal["lstm", "spt"] = "lstm"
    spt: SparsePhasedConfig = SparsePhasedConfig()
    padding: Literal["masked", "included"] = "masked"
    lstm: Literal["scan", "kernel"] = "scan"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "dropout")
        check_sizes(self, "audio_hidden", "vision_hidden", "audio_size", "vision_size", "feature_size")
        if self.has_parts_of_sugrm:
            check_padding(self)

    @property
    def has_parts_of_sugrm(self) -> bool:
        """Whether something reads the sequences that may read their padding."""
        return self.recalibration or self.encoder == "spt"


REFERENCE: dict[str, Any] = {
    "max_epochs": 1000,
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
    "padding": "included",
    **SPT_REFERENCE,
}


class SelfMMNetwork(nn.Module):
    """Encoders and heads.

    Outputs: `prediction`, `text`, `audio`, `vision` [B]; `features` {task: F* [B, d]}; for export, F* again:
    `representation` [B, d] of the multimodal task, `text_embedding` and the others of the unimodal ones.
    """

    options: SelfMMOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Any]:
        options, inputs = self.options, self.inputs
        tokens = options.has_parts_of_sugrm  # otherwise only [CLS] is read
        included = tokens and options.padding == "included"
        sequences, length = frames_of(inputs, batch, included=included)
        representation: dict[str, Array] = {}  # F_s [B, d_s]
        if inputs.text is not None:
            text = encode_text(options, inputs, batch, self.dtype, included=included, train=train, tokens=tokens)
            representation["text"] = text["first"]
            if tokens:
                sequences["text"], length["text"] = text["hidden"], text["mask"].sum(-1)
        if options.recalibration:
            sequences, gates = Recalibration(include_padding=included, dtype=self.dtype, name="recalibration")(
                sequences, length
            )
            if "text" in representation:
                representation["text"] = representation["text"] * gates["text"]
        representation |= self._encode(sequences, length, train)

        def head(task: str, name: str, x: Array) -> tuple[Array, Array]:
            size, dropout = int(getattr(options.feature_size, task)), getattr(options.dropout, task)
            return FeatureScoreHead(size, dropout, options.middle_layer, self.dtype, name=f"{name}_head")(
                x, train=train
            )

        outputs: dict[str, Any] = {}
        features: dict[str, Array] = {}
        together = jnp.concatenate([representation[name] for name in inputs.modalities], -1)
        features["m"], outputs["prediction"] = head("m", "fusion", together)
        for task in unimodal_tasks.unimodal_tasks(options, inputs):
            name = MODALITY[task]
            features[task], outputs[name] = head(task, name, representation[name])
        return {**outputs, "features": features, **unimodal_tasks.exported(features)}

    def _encode(self, sequences: Mapping[str, Array], length: Mapping[str, Array], train: bool) -> dict[str, Array]:
        """Audio and vision [B, L, d] -> [B, d_s]."""
        options = self.options
        if options.encoder == "spt":
            encoder = SequenceEncoder("spt", options.spt, options.padding, self.dtype, name="sequence_encoder")
            states = encoder(sequences, length, train=train)
            return {name: states[name] for name in SEQUENCES if name in states}
        hidden = {"audio": options.audio_hidden, "vision": options.vision_hidden}
        size = {"audio": options.audio_size, "vision": options.vision_size}
        read = [name for name in SEQUENCES if name in sequences]
        by_encoder = {f"{name}_encoder": name for name in read}
        ends = end_states_of_several(
            {encoder: hidden[name] for encoder, name in by_encoder.items()},
            {encoder: sequences[name] for encoder, name in by_encoder.items()},
            {encoder: length[name] for encoder, name in by_encoder.items()},
            self.dtype,
            kernel=options.lstm == "kernel",
        )
        states = {name: ends[encoder] for encoder, name in by_encoder.items()}
        if options.sequence_projection:
            for name, state in states.items():
                states[name] = Linear(size[name], self.dtype, name=f"{name}_encoder_projection")(state)
        return states


def groups(options: SelfMMOptions) -> tuple[Group, ...]:
    """BERT (decay only on its matrices), audio LSTM, vision LSTM, everything else: the five groups of the code; and the Sparse
    Phased Transformer, if it is the encoder."""
    if options.encoder == "lstm":
        return encoder_groups(options)
    rate, decay = options.learning_rate.encoder, options.weight_decay.other
    encoder = Group(name="encoder", pattern=r"^sequence_encoder/", learning_rate=rate, weight_decay=decay)
    return (encoder, *encoder_groups(options))


METHOD = Method(
    name="self_mm",
    paper="Yu et al., AAAI 2021: Self-Supervised Multi-Task Learning for Multimodal Sentiment Analysis",
    options=SelfMMOptions,
    reference=REFERENCE,
    network=SelfMMNetwork,
    stages=one_stage(unimodal_tasks.objective, end_epoch=unimodal_tasks.end_epoch),
    groups=groups,
    heads=unimodal_tasks.heads,
    exports=unimodal_tasks.exports,
    init_memory=unimodal_tasks.init_memory,
    records=unimodal_tasks.records,
    check=unimodal_tasks.check,
    calibrates=unimodal_tasks.calibrates,
)
