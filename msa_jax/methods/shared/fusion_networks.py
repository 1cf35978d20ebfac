"""Sub-networks, fusion, score: the one network that TFN, LMF and LF-DNN share, and the options of all three.

The way of a batch. Each modality is embedded by a sub-network: z_t from an LSTM over the token states of a frozen BERT, z_a
and z_v from the means of audio and vision over time. A method says how the embeddings are fused to a score.
"""

from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.config import Options, check_rates, check_sizes
from msa_jax.encoders.subnetworks import TextSubnetwork
from msa_jax.layers.pooling import whole_length
from msa_jax.layers.subnetworks import FeatureSubnetwork, ScoreHead
from msa_jax.methods.protocol import Batch, Inputs
from msa_jax.methods.shared.padded_text import check_padding, encode_text, time_mean
from msa_jax.modalities import SEQUENCES

Array = jax.Array


@dataclass(frozen=True, kw_only=True)
class SubnetworkRates:
    """One dropout rate for each modality.

    Rates:
      text: In the sub-network of the text.
      audio: In the sub-network of the audio.
      vision: In the sub-network of the vision.
    """

    text: float = 0.0
    audio: float
    vision: float


@dataclass(frozen=True, kw_only=True)
class Rates(SubnetworkRates):
    """Dropout rates of the sub-networks and of what is fused.

    Rates:
      fusion: In front of the layers behind the fused embeddings.
    """

    fusion: float


@dataclass(frozen=True, kw_only=True)
class FusionOptions(Options):
    """Options of the sub-networks of TFN, LMF and LF-DNN.

    Sub-networks:
      text_hidden: Width of the LSTM over the text.
      text_size: Width of the embedding of the text.
      audio_size: Width of the embedding of the audio.
      vision_size: Width of the embedding of the vision.
      dropout: Dropout rate.
    What MMSA's code does:
      padding: `masked` leaves padding out. `included` lets the LSTM read padding up to `max_tokens`, and needs
        `pack_text` false.
      padding_mean: Whether the mean over audio and vision includes padding.
    """

    finetune_text: bool = False
    text_hidden: int = 128
    text_size: int
    audio_size: int
    vision_size: int = 128
    dropout: SubnetworkRates
    padding: Literal["masked", "included"] = "masked"
    padding_mean: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "dropout")
        check_sizes(self, "text_hidden", "text_size", "audio_size", "vision_size")
        check_padding(self)


@dataclass(frozen=True, kw_only=True)
class HeadOptions(FusionOptions):
    """Options of the sub-networks and of the head behind the fused embeddings.

    Head:
      fusion_hidden: Width of the two layers behind the fused embeddings.
    """

    fusion_hidden: int
    dropout: Rates

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self, "fusion_hidden")


FUSION_REFERENCE: dict[str, Any] = {
    "padding": "included",
    "padding_mean": True,
    "pack_text": False,
    "validation_mean": "batches",
    "validation_decimals": 4,
    "max_epochs": 1000,
}


class FusionNetwork(nn.Module):
    """Sub-networks, and what a method makes of their embeddings.

    Outputs: `text_embedding`, `audio_embedding`, `vision_embedding` [B, d] float32 of the modalities there are, and those
    of `fuse`.
    """

    options: Any
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Array]:
        inputs = self.inputs
        embeddings = {name: self._frames(batch, name, train) for name in SEQUENCES if name in inputs.modalities}
        if inputs.text is not None:
            embeddings["text"] = self._text(batch, train)
        named = {f"{name}_embedding": value.astype(jnp.float32) for name, value in embeddings.items()}
        return {**named, **self.fuse(embeddings, train=train)}

    def fuse(self, embeddings: dict[str, Array], *, train: bool) -> dict[str, Array]:
        """What a method says: embeddings [B, d], audio, vision, text as far as they are there -> `prediction` [B] float32,
        `fused` [B, D], the embeddings as one vector, and others."""
        raise TypeError(f"{type(self).__name__} does not say how it fuses")

    def head(self, fused: Array, *, train: bool) -> dict[str, Array]:
        """`fused` [B, D], as it is; `prediction` [B] float32, unbounded, behind two layers, and `representation`
        [B, fusion_hidden] float32, the second of them. Of methods with HeadOptions."""
        options: HeadOptions = self.options
        head = ScoreHead(options.fusion_hidden, options.dropout.fusion, self.dtype, name="fusion_head")
        representation, score = head(fused, train=train)
        return {"prediction": score, "fused": fused, "representation": representation.astype(jnp.float32)}

    def _text(self, batch: Batch, train: bool) -> Array:
        """[B, text_size]"""
        options, included = self.options, self.options.padding == "included"
        states = encode_text(options, self.inputs, batch, self.dtype, included=included, train=train)
        rows, steps = states["mask"].shape
        length = whole_length(rows, steps) if included else states["mask"].sum(-1)
        subnetwork = TextSubnetwork(
            options.text_hidden, options.text_size, options.dropout.text, self.dtype, name="text_subnetwork"
        )
        return subnetwork(states["hidden"], length, train=train)

    def _frames(self, batch: Batch, name: str, train: bool) -> Array:
        """[B, audio_size] or [B, vision_size]"""
        options = self.options
        mean = time_mean(self.inputs, batch, name, included=options.padding_mean)
        size, dropout = getattr(options, f"{name}_size"), getattr(options.dropout, name)
        counts = batch["weight"] > 0 if "weight" in batch else None
        return FeatureSubnetwork(size, dropout, self.dtype, name=f"{name}_encoder")(mean, counts, train=train)
