"""LMF: Low-rank Multimodal Fusion.

Paper: Liu, Shen, Lakshminarasimhan, Liang, Zadeh, Morency. Efficient Low-rank Multimodal Fusion with Modality-Specific
Factors. ACL 2018.
Reference code: Justin1904/Low-rank-Multimodal-Fusion (no licence), and thuiar/MMSA (MIT), whose LMF is what this field
compares with; facts only, no line is taken from either.

The way of a batch. The sub-networks of TFN embed each modality (`shared.fusion_networks`): z_t, z_a, z_v. TFN would map the
outer product [1; z_a] ⊗ [1; z_v] ⊗ [1; z_t] to the score by a tensor of weights. Here that tensor is a sum of R outer
products of one vector for each modality, so that the score is

    y = sum_i omega_i (w_a^i · [1; z_a]) (w_v^i · [1; z_v]) (w_t^i · [1; z_t]) + b

with factors w that have a learning rate of their own (`learning_rate.factor`). Loss: L1.

Readings and deviations.
- The paper adds the R products up; both codes weigh them by omega, which they learn, and so does this one.
- The paper's fusion gives a vector of any width; for a score both codes have width 1, with no layer and no dropout behind
  it, and no bound. `fused` are the R products.
- Text is BERT's states instead of GloVe vectors, and sizes are those of MMSA for MOSI; z_t is half as wide as its LSTM. BERT
  is not trained; `finetune_text` changes that.
- MMSA gives neither omega nor b to its optimiser: they stay as they started (`train_fusion_weights`). The authors' code
  trains them, with the learning rate of everything but the factors.
- MMSA takes the mean of audio and vision over padding too (`padding_mean`) and lets the LSTM read it (`padding`). These are
  on in the `reference` protocol. It names a dropout for text and one for the fusion that it never applies; the first is 0
  here (the authors apply it: `dropout.text`), the second there is not.
- The authors' code sums the loss over the batch, which Adam hardly notices but for its weight decay. Here, as in MMSA, it is
  the mean.
- Weight decay is an L2 term in the gradient, as in MMSA (`weight_decay_mode`). It can keep the network from learning: on
  `synthetic` three of five seeds stay at a constant score, with decoupled decay one (docs/results/synthetic.md).
- Absent modalities: their sub-network and their factor are left out.
"""

from dataclasses import dataclass
from typing import Any, Literal

import jax

from msa_jax.config import PerGroup, check_sizes
from msa_jax.layers.low_rank_fusion import LowRankFusion
from msa_jax.methods.protocol import Group, Inputs, Method, Stage, one_stage
from msa_jax.methods.shared.fusion_networks import (
    FUSION_REFERENCE,
    FusionNetwork,
    FusionOptions,
    SubnetworkRates,
)
from msa_jax.methods.shared.groups import encoder_groups
from msa_jax.methods.shared.regression import embedding_names, objective

Array = jax.Array

FACTORS, WEIGHTS = r"^fusion/\w+_factor$", r"^fusion/(weights|bias)$"  # the paths of the w; of omega and b


@dataclass(frozen=True, kw_only=True)
class PerGroupAndFactor(PerGroup):
    """One value for each parameter group.

    Groups:
      factor: The factors of the low-rank tensor.
    """

    factor: float


@dataclass(frozen=True, kw_only=True)
class LMFOptions(FusionOptions):
    """Options of LMF.

    Fusion:
      rank: Number of products whose weighted sum is the score.
    What MMSA's code does:
      train_fusion_weights: Whether the weights of the products and the bias of their sum learn. MMSA's do not.
    """

    batch_size: int = 64
    learning_rate: PerGroupAndFactor = PerGroupAndFactor(text=5e-5, audio=1e-3, vision=1e-3, other=1e-3, factor=1e-3)
    weight_decay_mode: Literal["decoupled", "coupled"] = "coupled"  # as it was when MMSA chose the values
    weight_decay: PerGroup = PerGroup(text=0.0, audio=5e-3, vision=5e-3, other=5e-3)
    text_size: int = 64
    audio_size: int = 16
    dropout: SubnetworkRates = SubnetworkRates(audio=0.3, vision=0.3)
    rank: int = 3
    train_fusion_weights: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self, "rank")


REFERENCE: dict[str, Any] = {"train_fusion_weights": False, **FUSION_REFERENCE}


class LMFNetwork(FusionNetwork):
    """Sub-networks and low-rank fusion.

    Outputs: `prediction` [B]; `text_embedding`, `audio_embedding`, `vision_embedding` [B, d]; `fused` [B, rank] float32, the
    products that the score is a weighted sum of.
    """

    def fuse(self, embeddings: dict[str, Array], *, train: bool) -> dict[str, Array]:
        """The products and their weighted sum."""
        fused, score = LowRankFusion(self.options.rank, name="fusion")(embeddings)
        return {"prediction": score, "fused": fused}


def frozen(options: LMFOptions) -> str | None:
    """Which parameters are not trained."""
    return None if options.train_fusion_weights else WEIGHTS


def stages(options: LMFOptions, inputs: Inputs) -> tuple[Stage, ...]:
    """A single one."""
    return one_stage(objective, frozen=frozen(options))(options, inputs)


def factor_group(options: LMFOptions) -> Group:
    """The factors, with a learning rate of their own."""
    rate, decay = options.learning_rate.factor, options.weight_decay.other
    return Group(name="factor", pattern=FACTORS, learning_rate=rate, weight_decay=decay)


def groups(options: LMFOptions) -> tuple[Group, ...]:
    """The factors, and those of all methods."""
    return (factor_group(options), *encoder_groups(options))


def exports(options: LMFOptions, inputs: Inputs) -> tuple[str, ...]:
    """The embeddings of the modalities there are, and the products."""
    return (*embedding_names(inputs), "fused")


METHOD = Method(
    name="lmf",
    paper="Liu et al., ACL 2018: Efficient Low-rank Multimodal Fusion with Modality-Specific Factors",
    options=LMFOptions,
    reference=REFERENCE,
    network=LMFNetwork,
    stages=stages,
    groups=groups,
    exports=exports,
)
