"""ConFEDE: contrastive feature decomposition.

Paper: Yang, Yu, Niu, Guo, Xu. ConFEDE: Contrastive Feature Decomposition for Multimodal Sentiment Analysis. ACL 2023.
Reference code: github.com/XpastaX/ConFEDE (MIT); facts only, no line is taken from it.

The way of a batch (msa_jax.methods.shared.decomposed has the network). Each sample of a batch comes with six partners from
the training split, two of each kind: similar and of the same class, dissimilar and of another one, similar and of another
one. The objective is the squared error of the fused score, 0.1 times a contrast between the seven samples of a group and
between the parts of each (msa_jax.losses.confede), and 0.01 times the squared error of the scores of the single parts;
partners count in all of it as the samples do. Rankings are made anew every second epoch (msa_jax.labels.retrieval).

Readings and deviations, and why.
- Features for the ranking are those that training has seen last, of each row; before the first epoch of the fusion, those that
  the encoders give that it begins with. The authors' code encodes the whole split anew without dropout each time. Both rank
  before epochs 1, 3, 5 and so on of the fusion. Where no encoder is pretrained, the first `retrieval.refresh_epochs` epochs
  have candidates of the right classes in the order of the dataset.
- Partners are samples. The code uses positions in the ranking as their numbers (`retrieval.by_rank_position`).
- Means of audio and vision are over valid steps; the code's are over padding too (`padding_mean`). In the code the first
  frame is always valid; here an utterance without frames has its token left.
- The schedule of stage_text is that of two stages, one with BERT frozen and one without, each with a warm-up of its own; in
  the code it is one, and its rate has fallen to two thirds when BERT begins to move, so that BERT's peak is higher here. A
  frozen BERT has no dropout (`encode_once` false gives it back).
- Any epoch may be selected. The code saves from one on that it sets for each stage and dataset (`select_from`), nothing of
  the epochs with a frozen BERT, and goes on from the last of these. The reference protocol has MOSI's; those of MOSEI and
  SIMS are in the presets confede_mosei_reference and confede_sims_reference.
- Weight decay is AdamW's throughout. The code has L2 in the gradient and AMSGrad for audio and vision of MOSI and SIMS, and
  AdamW for those of MOSEI; the former is `weight_decay_mode` of their stages, AMSGrad is not here. Biases and LayerNorms have
  no decay; the code means to exempt them, in the fusion and on MOSEI, by names that its own LayerNorms do not have, and
  decays everything in the stage of the text.
- Padding is what lies beyond a sequence's length. The code takes every frame whose features add up to 0 for padding, the
  first excepted, also within a sequence.
- Retrieval looks at the whole ranking. So does the code on MOSI; on SIMS it looks at the first half for similar and at the last
  for dissimilar partners, on MOSEI at a tenth.
- A modality whose stage is left out (`max_epochs` 0) has features of zeros in the first ranking, and so has a sample that lacks
  it.
- The heads `text`, `audio` and `vision` are the regressors of the encoders' stages. The fusion moves the encoders of audio and
  vision and leaves the regressors, so that scores of these two say little about a modality by itself.
- The code trains one set of encoders and reuses it for five seeds of the fusion, so that published spreads are those of the
  fusion alone. Here every seed trains its own; `stages_from` with the folder of an experiment of one seed does as the code,
  if that one has the same `between_samples` and `retrieval.candidates`, which decide what is remembered.
- The layers of an encoder of audio or vision start different; in the code all layers of one start as copies of one layer.
- Text is BERT's pooled [CLS] of the tokens that the dataset gives; the code tokenises anew, up to 256.
- Absent modalities: a sample without a modality has no loss in its stage and in the scores of its parts, and these parts are
  neither positives nor negatives; the contrast is the mean over the pairs that are left. Without text V_s takes the place of
  T_s as the anchor within samples. With a single modality there are pairs between samples only, and no contrast where
  `between_samples` is off.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax

from msa_jax import losses
from msa_jax.config import check_not_negative
from msa_jax.methods.protocol import Clock, Inputs, Method, Phase, Stage, Step, Terms
from msa_jax.methods.shared import decomposed, encoder_stages, partners
from msa_jax.methods.shared.decomposed import DecomposedNetwork
from msa_jax.methods.shared.partners import ContrastOptions

Array = jax.Array


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of what is added to the loss of the fused score.

    Terms:
      contrast: The contrast.
      unimodal: The scores of the single parts.
    """

    contrast: float = 0.1
    unimodal: float = 0.01


@dataclass(frozen=True, kw_only=True)
class ConFEDEOptions(ContrastOptions):
    """Options of ConFEDE.

    Contrast:
      weights: Weight of a term that is added to the loss of the fused score.
      between_samples: Whether each sample has its six partners. If false, the contrast stays within samples, and a
        seventh of the work is left.
    """

    weights: LossWeights = LossWeights()
    between_samples: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_not_negative(self, "weights")


REFERENCE: dict[str, Any] = {
    "padding_mean": True,
    "retrieval.by_rank_position": True,
    "encode_once": False,
    "select_from": 2,
    "text_head_share": 0.325,  # 65 of 200 epochs
    "stage_text.select_from": 67,
    "stage_audio.select_from": 31,
    "stage_audio.weight_decay_mode": "coupled",
    "stage_vision.select_from": 21,
    "stage_vision.weight_decay_mode": "coupled",
}


def objective(step: Step, options: ConFEDEOptions, inputs: Inputs) -> tuple[Terms, Any]:
    """The terms of the fusion. With `between_samples` every sample of the batch is followed by its six partners."""
    outputs, batch, memory = step.outputs, step.batch, step.memory
    parts, where = outputs["parts"], batch["weight"] > 0
    terms = {
        "multimodal": decomposed.distance(outputs["prediction"], batch["label"], options),
        "unimodal": decomposed.unimodal_loss(outputs, batch, options, inputs),
    }
    there = partners.there_of(batch, inputs)
    if options.between_samples:
        terms["contrast"] = partners.group_contrast(parts, where, there, options)
        memory = partners.remember(memory, outputs["features"], batch, inputs)
    elif (pairs := partners.within_sample(parts, there)) is not None:
        *compared, counts = pairs
        terms["contrast"] = losses.nt_xent(*compared, temperature=options.temperature, where=where, there=counts)
    return terms, memory


def weights(options: ConFEDEOptions, inputs: Inputs, memory: Any, clock: Clock) -> dict[str, float]:
    """The weights of the unimodal scores and, if there are pairs, of the contrast."""
    unimodal = {"unimodal": options.weights.unimodal}
    pairs = options.between_samples or len(inputs.modalities) > 1
    return {**unimodal, "contrast": options.weights.contrast} if pairs else unimodal


def stages(options: ConFEDEOptions, inputs: Inputs) -> tuple[Stage, ...]:
    """The encoders, then the fusion."""
    fusion = Phase(objective=objective, weights=weights)
    if not options.between_samples:
        return encoder_stages.stages(options, inputs, fusion)
    return encoder_stages.stages(
        options,
        inputs,
        replace(fusion, partners=partners.draw, end_epoch=partners.rank_in_fusion),
        begin=partners.begin(options, inputs),
    )


def init_memory(options: ConFEDEOptions, inputs: Inputs, columns: Mapping[str, Array]) -> dict[str, Any]:
    """What the ranking needs, or nothing."""
    return partners.init_memory(options, inputs, columns) if options.between_samples else {}


METHOD = Method(
    name="confede",
    paper="Yang et al., ACL 2023: ConFEDE, Contrastive Feature Decomposition for Multimodal Sentiment Analysis",
    options=ConFEDEOptions,
    reference=REFERENCE,
    network=DecomposedNetwork,
    stages=stages,
    groups=decomposed.groups,
    heads=decomposed.heads,
    exports=decomposed.exports,
    init_memory=init_memory,
    check=decomposed.check,
)
