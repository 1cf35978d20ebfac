"""MulT: Multimodal Transformer.

Paper: Tsai, Bai, Liang, Kolter, Morency, Salakhutdinov. Multimodal Transformer for Unaligned Multimodal Language Sequences.
ACL 2019.
Reference code: github.com/yaohungt/Multimodal-Transformer (MIT), whose blocks thuiar/MMSA (MIT) keeps; facts only.

The way of a batch. A convolution over time brings each modality to one width d. For each ordered pair of modalities m <- n
an encoder of D layers lets the steps of m read those of n. What m read of the others, side by side, goes through a
Transformer over its own steps of at least three layers; its last step is z_m. With z = [z_t; z_a; z_v] the score is a
linear layer of z + W2 dropout(relu(W1 z)). Loss: L1.

Readings and deviations.
 1. Sizes, rates and dropouts are the paper's for MOSI (its appendix); the dropouts behind ReLU and at the end of residual
    branches, which it does not give, are the authors' defaults, and so is a rate that falls to a tenth after 20 epochs without
    improvement. One dropout is that of the text and of what encoders are given, as in the authors' code. All epochs are
    trained, and the best on valid is taken. Text is BERT's states instead of GloVe vectors.
 2. The rate of attention dropout follows the modality that is read: `attention_dropout.audio` where audio is read, ..., and
    that of text in the last Transformers.
 3. Attention reads valid steps alone, and z_m is the last valid step. The authors' data are padded in front, so that the
    last step is real; MMSA pads behind and reads padding as data, the last step included (`padding` "included").
 4. Positions count valid steps from 1. MMSA never adds them (`positions` false).
 5. The paper has no mask over future steps. Both codes have one: step i of m sees step j of n only where
    j <= i + |S - L|, L and S the padded lengths behind the convolutions (`future_mask` "offset").
 6. The convolution has no padding: a sequence of n steps has n - kernel + 1, at least one. A modality that is d wide
    already has none, as in both codes.
 7. MMSA has a weight decay that never reaches its optimiser: it is 0 here. It adds up the gradients of eight mini-batches and
    clips the sum after each of them by value; here the sum is clipped once, at the update.
Absent modalities: their encoders are left out. A single one attends to itself alone.
"""

from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.config import Options, Schedule, check_rates, check_sizes
from msa_jax.encoders.cnn import WindowProjection
from msa_jax.encoders.cross_modal import CrossModalEncoder
from msa_jax.errors import InputError
from msa_jax.layers.dropout import Dropout
from msa_jax.layers.pooling import last_step
from msa_jax.layers.subnetworks import ResidualScoreHead
from msa_jax.methods.protocol import Batch, Inputs, Method, one_stage
from msa_jax.methods.shared.groups import encoder_groups
from msa_jax.methods.shared.padded_text import check_padding
from msa_jax.methods.shared.regression import exports, objective
from msa_jax.methods.shared.sequences import sequences_of

Array = jax.Array

LEAST_LAYERS = 3  # of the Transformers over what was read, in both codes


@dataclass(frozen=True, kw_only=True)
class Kernels:
    """Steps that the convolution of each modality joins.

    Modalities:
      text: Text.
      audio: Audio.
      vision: Vision.
    """

    text: int = 1
    audio: int = 3
    vision: int = 3


@dataclass(frozen=True, kw_only=True)
class AttentionRates:
    """Dropout of attention weights, by the modality that is read.

    Modalities:
      text: Where text is read, and in the last Transformers.
      audio: Where audio is read.
      vision: Where vision is read.
    """

    text: float = 0.2
    audio: float = 0.2
    vision: float = 0.2


@dataclass(frozen=True, kw_only=True)
class MulTOptions(Options):
    """Options of MulT. How the paper is read is in the module's docstring.

    Network:
      width: Width d of all Transformers.
      heads: Number of attention heads, a divisor of the width.
      layers: Number of layers of the encoders in which one modality reads another.
      kernels: Number of steps that a convolution joins.
      positions: Whether positions are added to the steps. MMSA never adds them.
      future_mask: `offset` hides later steps, as both codes do, and needs `padding` included. `none` hides nothing, as
        the paper says.
      padding: `masked` leaves padding out. `included` reads it up to `max_tokens` and to the longest sequences of the
        training split, where longer ones are cut, and needs `pack_text` false.
    Dropout:
      attention_dropout: Dropout rate of attention weights.
      input_dropout: Dropout rate of what the encoders are given.
      hidden_dropout: Dropout rate behind the ReLU in encoders.
      residual_dropout: Dropout rate of the encoders' residual branches.
      text_dropout: Dropout rate of the states of the text.
      output_dropout: Dropout rate behind the ReLU of the residual branch in front of the score.
    """

    finetune_text: bool = False
    batch_size: int = 128
    max_epochs: int = 100
    patience: int = 100
    schedule: Schedule = "plateau"
    plateau_factor: float = 0.1
    plateau_patience: int = 20
    clip_norm: float | None = 0.8
    width: int = 40
    heads: int = 10
    layers: int = 4
    kernels: Kernels = Kernels()
    attention_dropout: AttentionRates = AttentionRates()
    input_dropout: float = 0.2
    hidden_dropout: float = 0.1
    residual_dropout: float = 0.1
    text_dropout: float = 0.2
    output_dropout: float = 0.1
    positions: bool = True
    future_mask: Literal["none", "offset"] = "none"
    padding: Literal["masked", "included"] = "masked"

    def __post_init__(self) -> None:
        super().__post_init__()
        rates = ("attention", "input", "hidden", "residual", "text", "output")
        check_rates(self, *(f"{name}_dropout" for name in rates))
        check_sizes(self, "width", "heads", "layers", "kernels")
        if self.width % self.heads:
            raise InputError(f"option width is {self.width}; expected a multiple of heads, {self.heads}")
        check_padding(self)


REFERENCE: dict[str, Any] = {
    "padding": "included",
    "positions": False,
    "future_mask": "offset",
    "pack_text": False,
    "batch_size": 16,
    "accumulate": 8,
    "accumulate_reduce": "sum",
    "tail": "drop",
    "clip_norm": None,
    "clip_value": 0.6,
    "plateau_patience": 5,
    "patience": 8,
    "validation_mean": "batches",
    "validation_decimals": 4,
    "max_epochs": 1000,
}


class MulTNetwork(nn.Module):
    """Convolutions, encoders across modalities, Transformers over what was read, score.

    Outputs: `prediction` [B]; `text_embedding`, `audio_embedding`, `vision_embedding`, z_m; `representation`, what the score
    is read off. All in float32.
    """

    options: MulTOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Array]:
        options, names = self.options, self.inputs.modalities
        included = options.padding == "included"
        given, length = sequences_of(options, self.inputs, batch, self.dtype, included=included, train=train)
        if included:
            length = {name: jnp.full_like(length[name], given[name].shape[1]) for name in names}
        if "text" in given:
            given["text"] = Dropout(options.text_dropout)(given["text"], deterministic=not train)
        sequences = {name: self._projected(name, given[name], length[name]) for name in names}
        last: dict[str, Array] = {}
        for name in names:
            x, steps = sequences[name]
            others = [other for other in names if other != name]
            read = [
                self._encoder(f"{name}_from_{other}", options.layers, other)(x, steps, *sequences[other], train=train)
                for other in others
            ]
            joined = jnp.concatenate(read, axis=-1) if read else x
            layers = max(options.layers, LEAST_LAYERS)
            states = self._encoder(f"{name}_memory", layers, "text")(joined, steps, train=train)
            last[name] = last_step(states, steps)
        z = jnp.concatenate(list(last.values()), axis=-1)
        z, score = ResidualScoreHead(options.output_dropout, self.dtype, name="head")(z, train=train)
        embedded = {f"{name}_embedding": value.astype(jnp.float32) for name, value in last.items()}
        return {**embedded, "prediction": score, "representation": z.astype(jnp.float32)}

    def _encoder(self, name: str, layers: int, read: str) -> CrossModalEncoder:
        options = self.options
        return CrossModalEncoder(
            layers,
            options.heads,
            dropout=options.residual_dropout,
            hidden_dropout=options.hidden_dropout,
            input_dropout=options.input_dropout,
            attention_dropout=getattr(options.attention_dropout, read),
            positions=options.positions,
            so_far=options.future_mask == "offset",
            dtype=self.dtype,
            name=name,
        )

    def _projected(self, name: str, x: Array, length: Array) -> tuple[Array, Array]:
        """[B, L, d] behind the convolution, and how many of its steps count [B], at least 1."""
        kernel = getattr(self.options.kernels, name)
        if x.shape[-1] != self.options.width:
            x = WindowProjection(self.options.width, kernel, self.dtype, name=f"{name}_projection")(x)
            length = length - (kernel - 1)
        return x, jnp.maximum(length, 1)


METHOD = Method(
    name="mult",
    paper="Tsai et al., ACL 2019: Multimodal Transformer for Unaligned Multimodal Language Sequences",
    options=MulTOptions,
    reference=REFERENCE,
    network=MulTNetwork,
    stages=one_stage(objective),
    groups=encoder_groups,
    exports=exports,
)
