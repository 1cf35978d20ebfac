"""TFN: Tensor Fusion Network.

Paper: Zadeh, Chen, Poria, Cambria, Morency. Tensor Fusion Network for Multimodal Sentiment Analysis. EMNLP 2017.
Reference code: thuiar/MMSA (MIT), whose TFN is what this field compares with, and A2Zadeh/TensorFusionNetwork (no licence);
facts only, no line is taken from either.

The way of a batch. Each modality is embedded by a sub-network: z_t from an LSTM over the token states of a frozen BERT, z_a
and z_v from the means of audio and vision over time. The outer product [1; z_a] ⊗ [1; z_v] ⊗ [1; z_t] holds every
unimodal, bimodal and trimodal product; dropout and three layers turn it into a score, which a sigmoid keeps inside the
label range. Loss: L1.

Deviations and why.
- Text is BERT's states instead of GloVe vectors, sizes are those of MMSA for MOSI, and the loss is L1: as in MMSA, from
  which every published comparison of the last years is. BERT is not trained; `finetune_text` changes that.
- MMSA takes the mean of audio and vision over padding too (`padding_mean`), lets the LSTM read it (`padding`), and squashes
  into ±3 whatever the labels are (`output_range`): three options, on in the `reference` protocol.
  The mean over padding divides by the longest sequence of the training split; a file padded further has all means smaller
  by one factor, which BatchNorm takes out.
- MMSA names a dropout for text that it never applies: PyTorch ignores it in an LSTM of one layer. Here it is 0.
- Absent modalities: their sub-network and their factor of the product are left out.
"""

from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax import losses
from msa_jax.config import Options, check_rates, check_sizes
from msa_jax.encoders.subnetworks import TextSubnetwork
from msa_jax.encoders.text import TextEncoder
from msa_jax.errors import InputError
from msa_jax.layers.pooling import masked_mean, without_padding
from msa_jax.layers.subnetworks import FeatureSubnetwork, ScoreHead
from msa_jax.layers.tensor_fusion import tensor_fusion
from msa_jax.methods.protocol import Batch, Inputs, Method, Step, Terms, frames, one_stage
from msa_jax.methods.shared.groups import encoder_groups
from msa_jax.methods.shared.padded_text import lengthened
from msa_jax.modalities import SEQUENCES

Array = jax.Array

PUBLISHED_RANGE = (-3.0, 3.0)  # of MMSA's scores, on every dataset


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Dropout of each sub-network and of the fused tensor."""

    text: float = 0.0
    audio: float = 0.3
    vision: float = 0.3
    fusion: float = 0.5


@dataclass(frozen=True, kw_only=True)
class TFNOptions(Options):
    """Options of TFN.

    text_hidden: of the LSTM. text_size, audio_size, vision_size: of the embeddings. fusion_hidden: of the two layers behind
    the fused tensor. dropout: of each.
    squash: keep the score inside output_range by a sigmoid, which never quite reaches its ends; false leaves it unbounded.

    What MMSA's code does (on in the reference protocol):
    output_range: "labels", the dataset's label range, or "published": ±3 on every dataset.
    padding: "masked", or "included": the LSTM reads padding up to max_tokens, and its state is that of the last padded
      step; that needs pack_text false. padding_mean: audio and vision are averaged over padding too.
    """

    finetune_text: bool = False
    text_hidden: int = 128
    text_size: int = 32
    audio_size: int = 32
    vision_size: int = 128
    fusion_hidden: int = 64
    dropout: Rates = Rates()
    squash: bool = True
    output_range: Literal["labels", "published"] = "labels"
    padding: Literal["masked", "included"] = "masked"
    padding_mean: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "dropout")
        check_sizes(self, "text_hidden", "text_size", "audio_size", "vision_size", "fusion_hidden")
        if self.padding == "included" and self.pack_text:
            raise InputError("option padding is included, which reads padding tokens; set pack_text to false with it")


REFERENCE: dict[str, Any] = {
    "output_range": "published",
    "padding": "included",
    "padding_mean": True,
    "pack_text": False,
    "weight_decay_mode": "coupled",
    "validation_mean": "batches",
    "validation_decimals": 4,
    "max_epochs": 1000,
}


class TFNNetwork(nn.Module):
    """Sub-networks, fused tensor, score.

    Outputs: `prediction` [B]; `text_embedding`, `audio_embedding`, `vision_embedding` [B, d]; `fused`, the tensor [B, D];
    `representation` [B, fusion_hidden], the layer in front of the score.
    """

    options: TFNOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Array]:
        options, inputs = self.options, self.inputs
        embedding = {name: self._frames(batch, name, train) for name in SEQUENCES if name in inputs.modalities}
        if inputs.text is not None:
            embedding["text"] = self._text(batch, train)
        fused = tensor_fusion(list(embedding.values()))  # audio, vision, text
        head = ScoreHead(options.fusion_hidden, options.dropout.fusion, self.dtype, name="fusion_head")
        representation, score = head(fused, train=train)
        if options.squash:
            low, high = PUBLISHED_RANGE if options.output_range == "published" else inputs.label_range
            score = low + (high - low) * nn.sigmoid(score)
        named = {f"{name}_embedding": value.astype(jnp.float32) for name, value in embedding.items()}
        return {**named, "prediction": score, "fused": fused, "representation": representation.astype(jnp.float32)}

    def _text(self, batch: Batch, train: bool) -> Array:
        """[B, text_size]"""
        options, sizes, included = self.options, self.inputs.text, self.options.padding == "included"
        assert sizes is not None
        encoder = TextEncoder(sizes.bert, self.dtype, keep_padding=included, remat=options.remat, name="text_encoder")
        text = lengthened(batch["text"], options.max_tokens) if included else batch["text"]
        states = encoder(text, train=train)
        rows, steps = states["mask"].shape
        length = jnp.full(rows, steps) if included else states["mask"].sum(-1)
        subnetwork = TextSubnetwork(
            options.text_hidden, options.text_size, options.dropout.text, self.dtype, name="text_subnetwork"
        )
        return subnetwork(states["hidden"], length, train=train)

    def _frames(self, batch: Batch, name: str, train: bool) -> Array:
        """[B, audio_size] or [B, vision_size]"""
        options, sequence = self.options, frames(batch, name)
        features, length = sequence["features"], sequence["length"]
        if options.padding_mean:
            mean = without_padding(features, length).sum(1) / getattr(self.inputs, name).steps
        else:
            mean = masked_mean(features, length)
        size, dropout = getattr(options, f"{name}_size"), getattr(options.dropout, name)
        counts = batch["weight"] > 0 if "weight" in batch else None
        return FeatureSubnetwork(size, dropout, self.dtype, name=f"{name}_encoder")(mean, counts, train=train)


def objective(step: Step, options: TFNOptions, inputs: Inputs) -> tuple[Terms, Any]:
    """L1 on the human label."""
    return {"multimodal": losses.l1(step.outputs["prediction"], step.batch["label"])}, step.memory


def exports(options: TFNOptions, inputs: Inputs) -> tuple[str, ...]:
    """The embeddings of the modalities there are, and the layer in front of the score."""
    return (*(f"{name}_embedding" for name in inputs.modalities), "representation")


METHOD = Method(
    name="tfn",
    paper="Zadeh et al., EMNLP 2017: Tensor Fusion Network for Multimodal Sentiment Analysis",
    options=TFNOptions,
    reference=REFERENCE,
    network=TFNNetwork,
    stages=one_stage(objective),
    groups=encoder_groups,
    exports=exports,
)
