"""SUGRM: recalibrated modalities, a sparse phased Transformer, and unimodal labels from a common feature space.

Paper: Hwang and Kim. Self-Supervised Unimodal Label Generation Strategy Using Recalibrated Modality Representations for
Multimodal Sentiment Analysis. Findings of EACL 2023.
Reference code: github.com/skystarhyw/SUGRM (no licence); facts only, no line is taken from it.

The way of a batch. The hidden states of BERT and the audio and vision frames pass the Modality Recalibration Module, in
which the means of all modalities gate the features of each (msa_jax.layers.recalibration). The Sparse Phased Transformer
reads the three sequences and gives one vector for each (msa_jax.encoders.sparse_phased). Their concatenation, and each by
itself, is projected into one common space, F* = ReLU(W F + b), and from there to a score. The tasks regress by L1 on the
human label and on u-labels, which move after the loss by the distance between features in the common space
(msa_jax.labels.sugrm).

Deviations and why.
- Padding takes no part: means are over valid steps and the representation is the last valid hidden state. The authors'
  code reads padding everywhere (`padding="included"`, part of the `reference` protocol). In it BERT's vector of [PAD] stays
  as it is; here it is then trained.
- Input windows shift as the configuration of both codes names it, "S,P,R"; there a string is tested as a list, so that no
  input window shifts (`reference`). R is one draw for each iteration here, in training only, below 5 % of the context; in the
  code it would be one for each query, from a bound that makes it 0 but for vision, and in evaluation too. With padding
  masked, the last window of a sequence whose length is no multiple of 5 wraps around its end to the first steps.
- u-labels stay within the label range in both protocols, as in the code. What the rule does is in docs/sugrm_labels.md.
- Training ends at 40 epochs at the latest; in the code it ends when 8 epochs bring no gain, and so in `reference`.
- "Transformer" of the ablation (Table 4, TE) is an encoder for each sequence by itself. The paper cites MulT for it, whose
  encoders attend to the other modalities, too. Rates: TE's residual dropout is also that of its input and hidden units.
- The extreme classes are the nearest to the ends that the data has, not only exactly -3 and +3.
- Learning rates: the paper names those of BERT and of "others"; the code gives the SPT one of its own, 5e-4, and so does
  `learning_rate.encoder` in both protocols. Windows of four summed mini-batch gradients, coupled weight decay, features
  that are the output of a second, linear layer, and no dropout of attention weights are the `reference` protocol.
- Not reproduced: the code lists the rows labelled ±3 once for every mini-batch that follows in its first epoch, which
  makes the largest distance depend on the order of the data.
- Absent modalities: their gate, their sequence and their task are left out; with one modality there is no cross attention.
  A sample that lacks a modality has no part in its task: no loss, and its u-label stays.
"""

from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.config import check_rates, check_sizes
from msa_jax.encoders.sequences import SequenceEncoder
from msa_jax.encoders.sparse_phased import SparsePhasedConfig
from msa_jax.layers.dense import Linear
from msa_jax.layers.dropout import Dropout
from msa_jax.layers.recalibration import Recalibration
from msa_jax.methods.protocol import Batch, Group, Inputs, Method, one_stage
from msa_jax.methods.shared import unimodal_tasks
from msa_jax.methods.shared.groups import text_groups
from msa_jax.methods.shared.padded_text import check_padding
from msa_jax.methods.shared.sequences import SPT_REFERENCE, sequences_of
from msa_jax.methods.shared.unimodal_tasks import UnimodalTaskOptions
from msa_jax.modalities import MODALITY

Array = jax.Array


@dataclass(frozen=True, kw_only=True)
class PerPart:
    """One value for each parameter group.

    Groups:
      text: The text encoder.
      encoder: The encoder of the sequences.
      other: All other parameters.
    """

    text: float
    encoder: float
    other: float


@dataclass(frozen=True, kw_only=True)
class SUGRMOptions(UnimodalTaskOptions):
    """Options of SUGRM; the defaults are the paper's for MOSI (Table 7).

    Network:
      recalibration: Whether the Modality Recalibration Module stands in front of the encoder (Table 4, MRM).
      reduction: Factor by which the bottleneck of the recalibration is narrower than its input.
      encoder: Encoder of the sequences: `spt`, the Sparse Phased Transformer; `transformer`, a plain one (Table 4, TE), which
        takes width, heads, iterations (as layers) and dropout rates from `spt`; or `lstm`, which takes the width.
      spt: Encoder of the sequences.
      feature_size: Width of the common space of all features.
      dropout: Dropout rate of the features in front of the scores (Table 7, output dropout).
    What the authors' code does:
      padding: `masked` leaves padding out. `included` reads it as frames, up to `max_tokens` and to the longest
        sequences of the training split, where longer ones are cut, and needs `pack_text` false.
      linear_features: Whether the features are the output of a second, linear layer.
    """

    label_generation: Literal["self_mm", "sugrm"] = "sugrm"
    recalibration: bool = True
    reduction: int = 4
    encoder: Literal["spt", "transformer", "lstm"] = "spt"
    spt: SparsePhasedConfig = SparsePhasedConfig()
    feature_size: int = 32
    dropout: float = 0.3
    padding: Literal["masked", "included"] = "masked"
    linear_features: bool = False
    learning_rate: PerPart = PerPart(text=5e-5, encoder=5e-4, other=1e-2)  # pyright: ignore[reportIncompatibleVariableOverride]
    weight_decay: PerPart = PerPart(text=0.0, encoder=0.0, other=0.0)  # pyright: ignore[reportIncompatibleVariableOverride]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "dropout")
        check_sizes(self, "reduction", "feature_size")
        check_padding(self)


REFERENCE: dict[str, Any] = {
    "max_epochs": 1000,
    "padding": "included",
    "pack_text": False,
    **SPT_REFERENCE,
    "linear_features": True,
    "zero_is_positive": True,
    "scale_distances": False,
    "floor_alpha": False,
    "weight_decay_mode": "coupled",
    "accumulate": 4,
    "accumulate_reduce": "sum",
    "tail": "drop",
    "validation_mean": "batches",
    "weight_decay.text": 1e-3,
    "weight_decay.encoder": 1e-3,
    "weight_decay.other": 1e-3,
}


class Head(nn.Module):
    """F -> F* = ReLU(W_1 F + b_1) -> score W_2 F* + b_2 (section 3.2)."""

    size: int
    dropout: float
    linear: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> tuple[Array, Array]:
        """[B, d] -> F* [B, size], score [B] float32."""
        drop = Dropout(self.dropout)
        hidden = nn.relu(Linear(self.size, self.dtype, name="hidden")(x))
        feature = hidden
        hidden = drop(hidden, deterministic=not train)
        if self.linear:
            feature = hidden = Linear(self.size, self.dtype, name="feature")(hidden)
        return feature, Linear(1, jnp.float32, name="score")(hidden)[:, 0]


class SUGRMNetwork(nn.Module):
    """Recalibration, encoder and heads.

    Outputs: `prediction`, `text`, `audio`, `vision` [B]; `features` {task: F* [B, d]}; `representation` [B, d], F* of the
    multimodal task, and `text_embedding` and the others, of the unimodal ones; `gate_text`, `gate_audio`, `gate_vision` [B] in
    (0, 2), the mean gate of each modality.
    """

    options: SUGRMOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Any]:
        options, included = self.options, self.options.padding == "included"
        sequences, length = sequences_of(
            options, self.inputs, batch, self.dtype, included=included, train=train
        )  # F^i_s [B, l_s, d_s]

        outputs: dict[str, Any] = {}
        if options.recalibration:
            recalibration = Recalibration(options.reduction, included, self.dtype, name="recalibration")
            sequences, gates = recalibration(sequences, length)
            outputs = {f"gate_{name}": gate.mean(-1).astype(jnp.float32) for name, gate in gates.items()}
        encoder = SequenceEncoder(options.encoder, options.spt, options.padding, self.dtype, name="sequence_encoder")
        representation = encoder(sequences, length, train=train)  # F_s [B, D]

        def head(name: str, x: Array) -> tuple[Array, Array]:
            return Head(
                options.feature_size, options.dropout, options.linear_features, self.dtype, name=f"{name}_head"
            )(x, train=train)

        features: dict[str, Array] = {}
        together = jnp.concatenate([representation[name] for name in self.inputs.modalities], -1)
        features["m"], outputs["prediction"] = head("fusion", together)
        for task in unimodal_tasks.unimodal_tasks(options, self.inputs):
            features[task], outputs[MODALITY[task]] = head(MODALITY[task], representation[MODALITY[task]])
        return {**outputs, "features": features, **unimodal_tasks.exported(features)}


def groups(options: SUGRMOptions) -> tuple[Group, ...]:
    """BERT (decay only on its matrices), the sequence encoder, everything else."""
    rate, decay = options.learning_rate, options.weight_decay
    return (
        *text_groups(rate.text, decay.text),
        Group(name="encoder", pattern=r"^sequence_encoder/", learning_rate=rate.encoder, weight_decay=decay.encoder),
        Group(name="other", pattern=r"", learning_rate=rate.other, weight_decay=decay.other),
    )


def exports(options: SUGRMOptions, inputs: Inputs) -> tuple[str, ...]:
    """The mean gate of each modality, if there is recalibration, and F* of each task."""
    gates = tuple(f"gate_{name}" for name in inputs.modalities)
    return (*(gates if options.recalibration else ()), *unimodal_tasks.exports(options, inputs))


METHOD = Method(
    name="sugrm",
    paper="Hwang and Kim, Findings of EACL 2023: Unimodal Label Generation Using Recalibrated Modality Representations",
    options=SUGRMOptions,
    reference=REFERENCE,
    network=SUGRMNetwork,
    stages=one_stage(unimodal_tasks.objective, end_epoch=unimodal_tasks.end_epoch),
    groups=groups,
    heads=unimodal_tasks.heads,
    exports=exports,
    init_memory=unimodal_tasks.init_memory,
    records=unimodal_tasks.records,
    check=unimodal_tasks.check,
    calibrates=unimodal_tasks.calibrates,
)
