"""TFN: Tensor Fusion Network.

Paper: Zadeh, Chen, Poria, Cambria, Morency. Tensor Fusion Network for Multimodal Sentiment Analysis. EMNLP 2017.
Reference code: thuiar/MMSA (MIT), whose TFN is what this field compares with, and A2Zadeh/TensorFusionNetwork (no licence);
facts only, no line is taken from either.

The way of a batch. Each modality is embedded by a sub-network: z_t from an LSTM over the token states of a frozen BERT, z_a
and z_v from the means of audio and vision over time. The outer product [1; z_a] ⊗ [1; z_v] ⊗ [1; z_t] holds every
unimodal, bimodal and trimodal product; dropout and three layers turn it into a score, which a sigmoid keeps inside the
label range. Loss: L1. LMF and LF-DNN have the same sub-networks (`shared.fusion_networks`).

Deviations and why.
- Text is BERT's states instead of GloVe vectors, sizes are those of MMSA for MOSI, and the loss is L1: as in MMSA, from
  which every published comparison of the last years is. BERT is not trained; `finetune_text` changes that.
- MMSA takes the mean of audio and vision over padding too (`padding_mean`), lets the LSTM read it (`padding`), and squashes
  into ±3 whatever the labels are (`output_range`): three options, on in the `reference` protocol.
  The mean over padding divides by the longest sequence of the training split; a file padded further has all means smaller
  by one factor, which BatchNorm takes out.
- MMSA names a dropout for text and sets it to 0, since its LSTM has one layer. Here it is 0; the code that MMSA cites applies
  it behind the LSTM (`dropout.text`).
- Absent modalities: their sub-network and their factor of the product are left out.
"""

from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax

from msa_jax.layers.tensor_fusion import tensor_fusion
from msa_jax.methods.protocol import Method, one_stage
from msa_jax.methods.shared.fusion_networks import (
    FUSION_REFERENCE,
    FusionNetwork,
    HeadOptions,
    Rates,
)
from msa_jax.methods.shared.groups import encoder_groups
from msa_jax.methods.shared.regression import exports, objective

Array = jax.Array

PUBLISHED_RANGE = (-3.0, 3.0)  # of MMSA's scores, on every dataset


@dataclass(frozen=True, kw_only=True)
class TFNOptions(HeadOptions):
    """Options of TFN.

    Score:
      squash: Whether a sigmoid keeps the score inside `output_range`, whose ends it never quite reaches. If false, the
        score is unbounded.
    What MMSA's code does:
      output_range: `labels` is the dataset's label range. `published` is ±3 on every dataset.
    """

    text_size: int = 32
    audio_size: int = 32
    fusion_hidden: int = 64
    dropout: Rates = Rates(audio=0.3, vision=0.3, fusion=0.5)
    squash: bool = True
    output_range: Literal["labels", "published"] = "labels"


REFERENCE: dict[str, Any] = {"output_range": "published", "weight_decay_mode": "coupled", **FUSION_REFERENCE}


class TFNNetwork(FusionNetwork):
    """Sub-networks, fused tensor, score.

    Outputs: `prediction` [B]; `text_embedding`, `audio_embedding`, `vision_embedding` [B, d]; `fused`, the tensor [B, D];
    `representation` [B, fusion_hidden], the layer in front of the score.
    """

    def fuse(self, embeddings: dict[str, Array], *, train: bool) -> dict[str, Array]:
        """The outer product, the head, and the sigmoid."""
        options: TFNOptions = self.options
        outputs = self.head(tensor_fusion(list(embeddings.values())), train=train)  # audio, vision, text
        if options.squash:
            low, high = PUBLISHED_RANGE if options.output_range == "published" else self.inputs.label_range
            outputs["prediction"] = low + (high - low) * nn.sigmoid(outputs["prediction"])
        return outputs


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
