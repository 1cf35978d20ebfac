"""SPT: Sparse Phased Transformer.

Paper: Cheng, Fostiropoulos, Boehm, Soleymani. Multimodal Phased Transformer for Sentiment Analysis. EMNLP 2021.
Reference code: github.com/chengjunyan1/SP-Transformer (no licence); facts only.

The way of a batch. One encoder reads all modalities: a few hidden states of each read windows of its frames (input
attention), of the other modalities' hidden states (cross attention) and of their own (self attention), several times over
(`encoders.sparse_phased`). Its last state of text, audio and vision, side by side, is z; the score is a linear layer of
z + W2 dropout(relu(W1 z)). Loss: L1.

Readings and deviations.
- Text is the states of a frozen BERT instead of GloVe vectors, which are what `--text-encoder features` reads where a dataset
  has them.
- Dropouts, rate, batch and the plateau of the learning rate are the code's defaults; the paper's text does not give them. The
  code is given an attention dropout of 0.2 that never reaches its attention: it is 0 here too.
- Windows are shifted as the paper says (letters S, P and R). In the code no input window is shifted: it asks whether a
  letter is in a list that holds one string of all three (`spt.input_shift` "" in the reference protocol).
- Padding is masked; the code, given sequences with padding behind, would read it (`padding` "included").
- The paper's rows have Acc-2 and F1 alone, and the authors' GloVe features.
Absent modalities: the encoder reads those there are.
"""

from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.config import Options, PerGroup, Schedule, check_rates
from msa_jax.encoders.sequences import SequenceEncoder
from msa_jax.encoders.sparse_phased import SparsePhasedConfig
from msa_jax.layers.subnetworks import ResidualScoreHead
from msa_jax.methods.protocol import Batch, Inputs, Method, one_stage
from msa_jax.methods.shared.groups import encoder_groups
from msa_jax.methods.shared.padded_text import check_padding
from msa_jax.methods.shared.regression import exports, objective
from msa_jax.methods.shared.sequences import sequences_of

Array = jax.Array

ENCODER = SparsePhasedConfig(attention_dropout=0.0, relu_dropout=0.1, residual_dropout=0.1, embed_dropout=0.3)
RATES = PerGroup(text=5e-5, audio=5e-4, vision=5e-4, other=5e-4)


@dataclass(frozen=True, kw_only=True)
class SPTOptions(Options):
    """Options of SPT.

    Network:
      spt: Encoder.
      output_dropout: Dropout rate behind the ReLU of the residual branch in front of the score.
      padding: `masked` leaves padding out. `included` reads it up to `max_tokens` and to the longest sequences of the
        training split, where longer ones are cut, and needs `pack_text` false.
    """

    finetune_text: bool = False
    batch_size: int = 250
    max_epochs: int = 50
    patience: int = 50
    clip_norm: float | None = 1.0
    schedule: Schedule = "plateau"
    plateau_factor: float = 0.1
    plateau_patience: int = 20
    learning_rate: PerGroup = RATES
    spt: SparsePhasedConfig = ENCODER
    output_dropout: float = 0.1
    padding: Literal["masked", "included"] = "masked"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "output_dropout")
        check_padding(self)


REFERENCE: dict[str, Any] = {"padding": "included", "pack_text": False, "spt.input_shift": ""}


class SPTNetwork(nn.Module):
    """The encoder and the score. Outputs: `prediction` [B]; `text_embedding`, `audio_embedding`, `vision_embedding` [B, D];
    `representation`, what the score is read off. All in float32."""

    options: SPTOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Array]:
        options = self.options
        included = options.padding == "included"
        sequences, length = sequences_of(options, self.inputs, batch, self.dtype, included=included, train=train)
        encoder = SequenceEncoder("spt", options.spt, options.padding, self.dtype, name="sequence_encoder")
        states = encoder(sequences, length, train=train)
        z = jnp.concatenate([states[name] for name in self.inputs.modalities], axis=-1)
        z, score = ResidualScoreHead(options.output_dropout, self.dtype, name="head")(z, train=train)
        embedded = {f"{name}_embedding": states[name].astype(jnp.float32) for name in self.inputs.modalities}
        return {**embedded, "prediction": score, "representation": z.astype(jnp.float32)}


METHOD = Method(
    name="spt",
    paper="Cheng et al., EMNLP 2021: Multimodal Phased Transformer for Sentiment Analysis",
    options=SPTOptions,
    reference=REFERENCE,
    network=SPTNetwork,
    stages=one_stage(objective),
    groups=encoder_groups,
    exports=exports,
)
