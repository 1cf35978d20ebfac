"""MFM: Multimodal Factorization Model.

Paper: Tsai, Liang, Zadeh, Morency, Salakhutdinov. Learning Factorized Multimodal Representations. ICLR 2019.
Reference code: github.com/pliang279/factorized (MIT), whose network thuiar/MMSA (MIT) keeps; facts only, no line is taken from
either.

The way of a batch. Text, audio and vision come onto one time axis, that of the text's tokens. A sample has four codes: z_y of
all modalities, for the label, and z_m of each modality m, for what it has beside that. Each becomes a factor f. The score is
read off f_y; modality m is written again, frame by frame, from f_y and f_m:

    z_y = W MFN(x_t, x_a, x_v),    z_m = W_m LSTM_m(x_m),    f = relu(W_2 drop(relu(W_1 z)))
    score = D(f_y),    x^_m = decoder_m([f_y; f_m])

MFN stands for its last states and memory (methods.mfn). A decoder is an LSTM that reads the factors at the first step, and its
own state from then on.

    L = |score - y| + sum over m of lambda_m (x^_m - x_m)^2 + lambda sum over the codes of MMD(z, N(0, I))

MMD, the maximum mean discrepancy, is a statistic of the mini-batch against a fresh draw from N(0, I). Its kernel is so wide
that it needs a weight of 100 (losses.mmd).

Readings and deviations.
- The squared error is the mean over each sample's own steps, and features. MMSA takes it over padding, which all its LSTMs walk
  too (`padding`, "included" in the `reference` protocol).
- What is written again is given: no gradient flows into it, also where the text encoder is trained. A sample that lacks a
  modality does not count in the error of its decoder, so that the decoder does not learn to write zeros, nor in the discrepancy
  of its code, which is the same for all such samples.
- The features are rebuilt on their own scale, so that weights found for one scale mean nothing for another: lambda_a is 0.01
  because COVAREP's features are large. With `standardise` they should be tuned again.
- Neither code uses the learning rate of its configuration (2e-3 for MOSI in MMSA): Adam runs at PyTorch's 1e-3, with which
  all else was chosen. So it does here.
- MFN's own score layers, which the code makes and does not use, are left out.
- Text is BERT's states, and sizes, weights and dropout are those of MMSA for MOSI. BERT is not trained; `finetune_text` changes
  that.
- The paper's inference of a missing modality's code from the others is left out, here as in MMSA.
- Sequences of their own lengths are averaged to the tokens of the text (`alignment`).
- Absent modalities: their code, factor and decoder are left out, and their part of MFN. Without text, the axis is that of the
  shorter sequence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax import losses
from msa_jax.config import check_not_negative, check_rates, check_sizes
from msa_jax.encoders.parallel_lstm import ParallelLSTM, apart
from msa_jax.encoders.sequence_decoder import SequenceDecoder
from msa_jax.layers.dense import Linear
from msa_jax.layers.dropout import mask_key
from msa_jax.layers.subnetworks import Perceptron
from msa_jax.methods.protocol import Batch, Clock, Inputs, Method, Step, Terms, one_stage
from msa_jax.methods.shared.aligned_sequences import (
    ALIGNED_REFERENCE,
    aligned_sequences,
    alignment_notes,
    alignment_terms,
    alignment_weights,
    check_alignment,
    has_to_write,
    rewriting_error,
)
from msa_jax.methods.shared.memory_fusion import (
    AttentionLayers,
    AttentionRates,
    MemoryFusion,
    MemoryOptions,
    modality_groups,
    network_decay,
)
from msa_jax.methods.shared.sizes import Sizes

Array = jax.Array


@dataclass(frozen=True, kw_only=True)
class FactorSizes(Sizes):
    """A size for each modality, and for the label.

    Factors:
      label: The label.
    """

    label: int


@dataclass(frozen=True, kw_only=True)
class FactorRates:
    """Dropout rates between the layers that make factors, and in front of the score.

    Factors:
      label: From the code of the label to its factor.
      text: From the code of the text to its factor.
      audio: From the code of the audio to its factor.
      vision: From the code of the vision to its factor.
      score: From the factor of the label to the score.
    """

    label: float = 0.5
    text: float = 0.5
    audio: float = 0.7
    vision: float = 0.5
    score: float = 0.0


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of the losses beside that of the score.

    Losses:
      text: Rebuilding the text.
      audio: Rebuilding the audio.
      vision: Rebuilding the vision.
      discrepancy: The maximum mean discrepancy of the codes.
    """

    text: float = 0.5
    audio: float = 0.01
    vision: float = 0.5
    discrepancy: float = 100.0


@dataclass(frozen=True, kw_only=True)
class MFMOptions(MemoryOptions):
    """Options of MFM. `hidden`, `memory`, `layer` and `dropout` are those of the MFN inside.

    Codes and factors:
      code: Width of a code.
      factor: Width of a factor.
      factor_dropout: Dropout rate between two layers.
      weights: Weight of a loss.
    """

    batch_size: int = 64
    hidden: Sizes = Sizes(text=128, audio=32, vision=128)
    memory: int = 64
    layer: AttentionLayers = AttentionLayers(attention=32, proposal=64, retain=32, update=64)
    dropout: AttentionRates = AttentionRates(attention=0.7, proposal=0.0, retain=0.0, update=0.5)
    code: FactorSizes = FactorSizes(label=80, text=64, audio=80, vision=80)
    factor: FactorSizes = FactorSizes(label=64, text=32, audio=16, vision=64)
    factor_dropout: FactorRates = FactorRates()
    weights: LossWeights = LossWeights()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "factor_dropout")
        check_sizes(self, "code", "factor")
        check_not_negative(self, "weights")


class MFMNetwork(nn.Module):
    """Codes, factors, score, and the modalities written again.

    Outputs, all float32: `prediction` [B]; `label_code` and for each modality `text_code`, `audio_code`, `vision_code`, z
    [B, d]; `representation` [B, factor.label], f_y; `sequences` and `generated`, {modality: [B, T, d_m]}, what was read and
    what was written; `length` [B] int32, how many of these steps count.
    """

    options: MFMOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Any]:
        options, names = self.options, self.inputs.modalities
        sequences, length, learned = aligned_sequences(options, self.inputs, batch, self.dtype, train=train)

        sizes = {name: getattr(options.code, name) for name in names}
        states = ParallelLSTM(sizes, self.dtype, name="encoders")(sequences, length).states[-1]
        read = dict(zip(names, apart(states, list(sizes.values())), strict=True))
        read["label"] = MemoryFusion(options, self.dtype, name="fusion")(sequences, length, train=train)
        codes, factors = {}, {}
        for name, state in read.items():
            codes[name] = Linear(getattr(options.code, name), self.dtype, name=f"{name}_code")(state)
            size, rate = getattr(options.factor, name), getattr(options.factor_dropout, name)
            factor = Perceptron(size, size, rate, self.dtype, name=f"{name}_factor")
            factors[name] = nn.relu(factor(codes[name], train=train))

        label = factors["label"]
        score = Perceptron(options.factor.label, 1, options.factor_dropout.score, self.dtype, jnp.float32, name="score")
        both = {name: jnp.concatenate([label, factors[name]], axis=-1) for name in names}
        widths = {name: sequence.shape[-1] for name, sequence in sequences.items()}
        generated = SequenceDecoder(widths, self.dtype, name="decoders")(both, sequences[names[0]].shape[1])
        outputs = {
            "prediction": score(label, train=train)[:, 0],
            **{f"{name}_code": code for name, code in codes.items()},
            "representation": label,
            "sequences": sequences,
            "generated": generated,
        }
        return {**jax.tree.map(lambda x: x.astype(jnp.float32), outputs), "length": length, **learned}


def objective(step: Step, options: MFMOptions, inputs: Inputs) -> tuple[Terms, Any]:
    """L1 and the squared errors of each sample, the discrepancy of the batch."""
    outputs, where, key = step.outputs, step.batch["weight"] > 0, mask_key(step.key)
    terms = {"multimodal": losses.l1(outputs["prediction"], step.batch["label"], where=where)}
    for name, generated in outputs["generated"].items():
        given = generated, outputs["sequences"][name], outputs["length"]
        terms[f"{name}_generation"] = rewriting_error(step, options, inputs, name, *given)
    terms["discrepancy"] = jnp.float32(0)
    for number, name in enumerate(("label", *inputs.modalities)):
        code = outputs[f"{name}_code"]
        normal = jax.random.normal(jax.random.fold_in(key, number), code.shape, jnp.float32)
        counts = where if name == "label" else has_to_write(step, options, inputs, name)
        terms["discrepancy"] += losses.mmd(code, normal, where=counts)
    return {**terms, **alignment_terms(step, options, inputs)}, step.memory


def weights(options: MFMOptions, inputs: Inputs, memory: Any, clock: Clock) -> Mapping[str, Array | float]:
    """The lambdas, by the names of the terms."""
    generation = {f"{name}_generation": getattr(options.weights, name) for name in inputs.modalities}
    learned = alignment_weights(options, inputs, memory, clock)
    return {**generation, "discrepancy": options.weights.discrepancy, **learned}


def exports(options: MFMOptions, inputs: Inputs) -> tuple[str, ...]:
    """The codes, and the factor that the score is read off."""
    return (*(f"{name}_code" for name in ("label", *inputs.modalities)), "representation")


METHOD = Method(
    name="mfm",
    paper="Tsai et al., ICLR 2019: Learning Factorized Multimodal Representations",
    options=MFMOptions,
    reference={**ALIGNED_REFERENCE, **network_decay(0.001)},
    network=MFMNetwork,
    stages=one_stage(objective, weights=weights, batch_terms=("discrepancy",)),
    groups=modality_groups,
    exports=exports,
    check=check_alignment,
    needs_aligned=lambda options: options.alignment == "required",
    notes=alignment_notes,
)
