"""LF-DNN: late fusion by a deep network, the plainest of the fusion networks.

Paper: a baseline of Yu, Xu, Meng, Zhu, Ma, Wu, Zou, Yang. CH-SIMS: A Chinese Multimodal Sentiment Analysis Dataset with
Fine-grained Annotation of Modality. ACL 2020.
Reference code: thuiar/MMSA (MIT); facts only, no line is taken from it.

The way of a batch. The sub-networks of TFN embed each modality (`shared.fusion_networks`): z_t, z_a, z_v. Dropout and three
layers turn the concatenation [z_a; z_v; z_t] into the score. Loss: L1.

Deviations and why.
- No paper states sizes: those of MMSA for MOSI are the defaults.
- MMSA takes the mean of audio and vision over padding too (`padding_mean`) and lets the LSTM read it (`padding`): on in the
  `reference` protocol. It names a dropout for text that it never applies; here it is 0.
- Weight decay is an L2 term in the gradient, as in MMSA (`weight_decay_mode`). It can keep the network from learning: on
  `synthetic` four of five seeds stay at a constant score, and none with decoupled decay (docs/results/synthetic.md).
- Absent modalities: their sub-network and their part of the concatenation are left out.
"""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

from msa_jax.config import PerGroup
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


@dataclass(frozen=True, kw_only=True)
class LFDNNOptions(HeadOptions):
    """Options of LF-DNN: those of the sub-networks and the head."""

    batch_size: int = 128
    weight_decay_mode: Literal["decoupled", "coupled"] = "coupled"  # as it was when MMSA chose the values
    weight_decay: PerGroup = PerGroup(text=0.0, audio=1e-2, vision=1e-2, other=1e-2)
    text_size: int = 256
    audio_size: int = 16
    fusion_hidden: int = 128
    dropout: Rates = Rates(audio=0.2, vision=0.2, fusion=0.2)


REFERENCE: dict[str, Any] = FUSION_REFERENCE


class LFDNNNetwork(FusionNetwork):
    """Sub-networks, concatenation, score.

    Outputs: `prediction` [B]; `text_embedding`, `audio_embedding`, `vision_embedding` [B, d]; `fused`, their concatenation
    [B, D] float32; `representation` [B, fusion_hidden], the layer in front of the score.
    """

    def fuse(self, embeddings: dict[str, Array], *, train: bool) -> dict[str, Array]:
        """The concatenation and the head."""
        fused = jnp.concatenate(list(embeddings.values()), axis=-1)  # audio, vision, text
        return self.head(fused.astype(jnp.float32), train=train)


METHOD = Method(
    name="lf_dnn",
    paper="Yu et al., ACL 2020 (a baseline of CH-SIMS): late fusion by a deep network",
    options=LFDNNOptions,
    reference=REFERENCE,
    network=LFDNNNetwork,
    stages=one_stage(objective),
    groups=encoder_groups,
    exports=exports,
)
