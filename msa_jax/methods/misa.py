"""MISA: modality-invariant and modality-specific representations.

Paper: Hazarika, Zimmermann, Poria. MISA: Modality-Invariant and -Specific Representations for Multimodal Sentiment Analysis.
ACM Multimedia 2020.
Reference code: github.com/declare-lab/MISA (MIT), whose network thuiar/MMSA (MIT) keeps; facts only.

The way of a batch. u_t is the mean of BERT's states over the tokens; u_a and u_v are the end states of two bidirectional
LSTMs on top of each other. Each becomes x_m of one width h, and has a private part p_m and a shared part s_m, from an
encoder of its own and from one that all modalities share. The parts of all modalities attend to each other in one layer of
a Transformer, and a head reads the score off them.

    L = L_task + alpha L_sim + beta L_diff + gamma L_recon

L_task is the squared error. L_sim is the central moment discrepancy of the shared parts of two modalities, mean over the
pairs. L_diff is how far p_m and s_m, and the private parts of two modalities, are from orthogonal, summed over the pairs.
L_recon is the squared error of x_m rebuilt from p_m + s_m, mean over h and the modalities. L_sim and L_diff are statistics
of a mini-batch.

Readings and deviations.
 1. The paper has the squared Frobenius norm in L_diff, a sum over h * h entries; the code has their mean. With B vectors of
    unit length the sum of a pair is about B where they are unrelated, as at the start: beta times six pairs, 0.3 * 6 * 64 =
    115, beside a squared error of 1 to 3. The published weights go with the mean, which is the default in both protocols
    (`difference`).
 2. No gradient flows through the lengths that L_diff divides by, as in the code.
 3. Sizes, rates, weights and the orthogonal start of the recurrent matrices are those of the code for MOSI. `patience` is the
    code's 6; it stops at the seventh epoch without improvement (reference). Dropout stands before the ReLU in the
    code's head, which is the same as behind it.
    MMSA clips the running sum of gradients after each mini-batch of a window; here a window is clipped once.
 4. Audio and vision are read to their own lengths. MMSA reads as many frames as there are tokens, of unaligned
    sequences a small part: the first half a second of the vision of MOSI and MOSEI (`lengths` "text", reference). On aligned
    data both are the same.
 5. `similarity` "adversarial" is the variant of the code in which L_sim is the cross-entropy of a classifier that tells the
    modality of s_m, behind a reversed gradient. A classifier of private and shared parts, which the code has without a
    loss, is left out, as is a LayerNorm for text that nothing passes through.
Absent modalities: their parts, pairs and reconstruction are left out; with a single one there is no L_sim. A sample that lacks
a modality counts in none of these losses of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax import losses
from msa_jax.config import Options, PerGroup, check_not_negative, check_rates, check_sizes
from msa_jax.encoders.lstm import BidirectionalLSTM, end_states
from msa_jax.encoders.text import TextEncoder
from msa_jax.encoders.transformer import Transformer
from msa_jax.errors import InputError
from msa_jax.layers.dense import Linear
from msa_jax.layers.dropout import Dropout
from msa_jax.layers.gradient_reversal import reverse_gradient
from msa_jax.layers.pooling import masked_mean, without_padding
from msa_jax.methods.protocol import Batch, Clock, Inputs, Method, Phase, Stage, Step, Terms, frames
from msa_jax.methods.shared.groups import encoder_groups
from msa_jax.methods.shared.padded_text import to_steps
from msa_jax.methods.shared.presence import has
from msa_jax.modalities import SEQUENCES

Array = jax.Array

RATES = PerGroup(text=1e-4, audio=1e-4, vision=1e-4, other=1e-4)
ORDER = ("text", "vision", "audio")  # of the parts in the Transformer and of the classes of modalities


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of the losses beside that of the score.

    Losses:
      similarity: Alpha, of L_sim.
      difference: Beta, of L_diff.
      reconstruction: Gamma, of L_recon.
    """

    similarity: float = 1.0
    difference: float = 0.3
    reconstruction: float = 1.0


@dataclass(frozen=True, kw_only=True)
class MISAOptions(Options):
    """Options of MISA. How the paper is read is in the module's docstring.

    Network:
      hidden: Width h of the parts of a modality.
      dropout: Dropout rate in the head and in the classifier of modalities.
      fusion_heads: Number of attention heads of the Transformer's layer.
      fusion_feedforward: Number of hidden units of the Transformer's feed-forward layer.
      fusion_dropout: Dropout rate of the Transformer's layer.
      recurrent_start: Start of the recurrent matrices of the LSTMs.
      lengths: `own` reads audio and vision to their own lengths. `text` reads as many frames as there are tokens, as
        MMSA does.
    Losses:
      loss: Loss of the score, squared (`l2`) or absolute error (`l1`).
      similarity: What makes the shared parts alike: the central moment discrepancy (`cmd`), or a classifier behind a
        reversed gradient (`adversarial`).
      moments: Number of moments of the central moment discrepancy.
      difference: Whether L_diff is the mean over its h x h entries, as in the code, or the squared Frobenius norm,
        their sum, as in the paper.
      weights: Weight of a loss.
    """

    batch_size: int = 64
    max_epochs: int = 500
    patience: int = 6
    selection: str = "mse"
    clip_value: float | None = 1.0
    learning_rate: PerGroup = RATES
    hidden: int = 128
    dropout: float = 0.5
    fusion_heads: int = 2
    fusion_feedforward: int = 2048
    fusion_dropout: float = 0.1
    recurrent_start: Literal["orthogonal", "uniform"] = "orthogonal"
    lengths: Literal["own", "text"] = "own"
    loss: Literal["l2", "l1"] = "l2"
    similarity: Literal["cmd", "adversarial"] = "cmd"
    moments: int = 5
    difference: Literal["mean", "sum"] = "mean"
    weights: LossWeights = LossWeights()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "dropout", "fusion_dropout")
        check_sizes(self, "hidden", "fusion_heads", "fusion_feedforward", "moments")
        if self.hidden % self.fusion_heads:
            raise InputError(
                f"option hidden is {self.hidden}; expected a multiple of fusion_heads, {self.fusion_heads}"
            )
        check_not_negative(self, "weights")


REFERENCE: dict[str, Any] = {
    "lengths": "text",
    "patience": 7,
    "min_delta": 0.0,
    "validation_mean": "batches",
}


class SequenceVector(nn.Module):
    """The end states of two bidirectional LSTMs with a LayerNorm between them, each as wide as a frame."""

    recurrent_start: Literal["orthogonal", "uniform"]
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, length: Array) -> Array:
        """[B, L, d], [B] int32 -> [B, 4d]: forward of the first and second LSTM, backward of the first and second."""
        init = nn.initializers.orthogonal() if self.recurrent_start == "orthogonal" else None
        lstm = partial(BidirectionalLSTM, x.shape[-1], self.dtype, recurrent_init=init)
        states = lstm(name="first")(x, length)
        normed = nn.LayerNorm(1e-5, dtype=self.dtype, use_fast_variance=False, name="norm")(states)
        last = lstm(every=False, name="second")(normed, length)
        ends = [jnp.split(both, 2, axis=-1) for both in (end_states(states, length), last)]
        return jnp.concatenate([end[way] for way in (0, 1) for end in ends], -1)


class ModalityClassifier(nn.Module):
    """Tells the modality of a shared part, which learns to hide it."""

    classes: int
    dropout: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, shared: Array, *, train: bool) -> Array:
        """[B, h] -> logits [B, classes] float32."""
        x = nn.relu(Linear(shared.shape[-1], self.dtype, name="hidden")(reverse_gradient(shared)))
        x = Dropout(self.dropout)(x, deterministic=not train)
        return Linear(self.classes, self.dtype, name="logits")(x).astype(jnp.float32)


class MISANetwork(nn.Module):
    """Encoders, private and shared parts, fusion.

    Outputs: `prediction` [B]; for each modality `original_*` (x_m), `private_*`, `shared_*` and `rebuilt_*` [B, h], and with
    the classifier of modalities `modality_*`, its logits [B, modalities]; `representation` [B, 3h], what the score is read
    off. All in float32.
    """

    options: MISAOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Array]:
        options, names, width = self.options, _modalities(self.inputs), self.options.hidden
        utterance = self._utterances(batch, train)
        shared_encoder = Linear(width, self.dtype, name="shared")
        outputs: dict[str, Array] = {}
        for name in names:
            x = nn.relu(Linear(width, self.dtype, name=f"{name}_projection")(utterance[name]))
            x = nn.LayerNorm(1e-5, dtype=self.dtype, use_fast_variance=False, name=f"{name}_norm")(x)
            private = nn.sigmoid(Linear(width, self.dtype, name=f"{name}_private")(x))
            shared = nn.sigmoid(shared_encoder(x))
            rebuilt = Linear(width, self.dtype, name=f"{name}_rebuilt")(private + shared)
            kinds = {"original": x, "private": private, "shared": shared, "rebuilt": rebuilt}
            outputs |= {f"{kind}_{name}": value for kind, value in kinds.items()}
        if _is_adversarial(options, self.inputs):
            classify = ModalityClassifier(len(names), options.dropout, self.dtype, name="modality")
            outputs |= {f"modality_{name}": classify(outputs[f"shared_{name}"], train=train) for name in names}

        parts = jnp.stack([outputs[f"{kind}_{name}"] for kind in ("private", "shared") for name in names], axis=1)
        rows, count, _ = parts.shape  # [B, 2 modalities, h]
        fusion = Transformer(
            layers=1,
            heads=options.fusion_heads,
            feedforward=options.fusion_feedforward,
            dropout=options.fusion_dropout,
            attention_dropout=options.fusion_dropout,
            input_dropout=0.0,  # as torch.nn.TransformerEncoder, whose layer begins with attention
            dtype=self.dtype,
            norms="after",
            positions=False,
            final_norm=False,
            name="fusion",
        )
        mixed = fusion(parts, jnp.full(rows, count), train=train).reshape(rows, -1)
        x = Linear(3 * width, self.dtype, name="head")(mixed)
        outputs["representation"] = nn.relu(Dropout(options.dropout)(x, deterministic=not train))
        outputs["prediction"] = Linear(1, jnp.float32, name="score")(outputs["representation"])[:, 0]
        return {name: value.astype(jnp.float32) for name, value in outputs.items()}

    def _utterances(self, batch: Batch, train: bool) -> dict[str, Array]:
        """u_m [B, d_m] of each modality."""
        options, inputs = self.options, self.inputs
        vectors: dict[str, Array] = {}
        if inputs.text is not None:
            encoder = TextEncoder(inputs.text.bert, self.dtype, remat=options.remat, name="text_encoder")
            text = encoder(batch["text"], train=train)
            vectors["text"] = masked_mean(text["hidden"], text["mask"].sum(-1))
        for name in SEQUENCES:
            if name in inputs.modalities:
                x, length = frames(batch, name)["features"], frames(batch, name)["length"]
                if options.lengths == "text" and inputs.text is not None:
                    x, length = _cut_to_tokens(x, length, batch["text"]["mask"])
                vectors[name] = SequenceVector(options.recurrent_start, self.dtype, name=f"{name}_encoder")(x, length)
        return vectors


def _cut_to_tokens(x: Array, length: Array, mask: Array) -> tuple[Array, Array]:
    """Frames [B, L, d] and the mask of tokens [B, T] -> the first T frames, zeros where there are no more, and the number
    of tokens as their length."""
    return to_steps(without_padding(x, length), mask.shape[1]), mask.astype(jnp.int32).sum(-1)


def _modalities(inputs: Inputs) -> list[str]:
    return [name for name in ORDER if name in inputs.modalities]


def _is_adversarial(options: MISAOptions, inputs: Inputs) -> bool:
    return options.similarity == "adversarial" and len(inputs.modalities) > 1


def objective(step: Step, options: MISAOptions, inputs: Inputs) -> tuple[Terms, Any]:
    """L_task and L_recon of each sample, L_sim and L_diff of the batch."""
    outputs, batch, names = step.outputs, step.batch, _modalities(inputs)
    where = batch["weight"] > 0
    there = [where & has(batch, name, inputs) for name in names]
    private, shared = ([outputs[f"{kind}_{name}"] for name in names] for kind in ("private", "shared"))
    task = losses.l2 if options.loss == "l2" else losses.l1
    rebuilt = [jnp.square(outputs[f"rebuilt_{name}"] - outputs[f"original_{name}"]).mean(-1) for name in names]
    both = [one & other for one, other in combinations(there, 2)]
    apart = zip([*zip(private, shared, strict=True), *combinations(private, 2)], [*there, *both], strict=True)
    orthogonality = [losses.orthogonality(*pair, reduce=options.difference, where=counts) for pair, counts in apart]
    terms = {
        "multimodal": task(outputs["prediction"], batch["label"], where=where),
        "difference": jnp.stack(orthogonality).sum(),
        "reconstruction": _mean_of(rebuilt, there),
    }
    if _is_adversarial(options, inputs):
        told = [-jax.nn.log_softmax(outputs[f"modality_{name}"])[:, label] for label, name in enumerate(names)]
        terms["similarity"] = _mean_of(told, there)
    elif len(names) > 1:
        pairs = zip(combinations(shared, 2), both, strict=True)
        found = [losses.cmd(*pair, moments=options.moments, where=counts) for pair, counts in pairs]
        terms["similarity"] = jnp.stack(found).mean()
    return terms, step.memory


def _mean_of(values: Sequence[Array], there: Sequence[Array]) -> Array:
    """[B] of each modality, and who has it -> [B], the mean over the modalities that a sample has; 0 without any."""
    counts = jnp.stack(there)
    return jnp.where(counts, jnp.stack(values), 0.0).sum(0) / jnp.maximum(counts.sum(0), 1)


def weights(options: MISAOptions, inputs: Inputs, memory: Any, clock: Clock) -> Mapping[str, Array | float]:
    """alpha, beta and gamma, of the terms that there are."""
    given = options.weights
    similarity = {"similarity": given.similarity} if len(inputs.modalities) > 1 else {}
    return {**similarity, "difference": given.difference, "reconstruction": given.reconstruction}


def stages(options: MISAOptions, inputs: Inputs) -> tuple[Stage, ...]:
    """A single one. The discrepancy is a statistic of a batch, the cross-entropy of the classifier is not."""
    discrepancy = len(inputs.modalities) > 1 and options.similarity == "cmd"
    batch_terms = ("difference", "similarity") if discrepancy else ("difference",)
    return (Stage(phases=(Phase(objective=objective, batch_terms=batch_terms, weights=weights),)),)


def exports(options: MISAOptions, inputs: Inputs) -> tuple[str, ...]:
    """The private and shared parts of the modalities there are, and the representation."""
    return (*(f"{kind}_{name}" for kind in ("private", "shared") for name in _modalities(inputs)), "representation")


METHOD = Method(
    name="misa",
    paper="Hazarika et al., ACM MM 2020: Modality-Invariant and -Specific Representations for Multimodal Sentiment Analysis",
    options=MISAOptions,
    reference=REFERENCE,
    network=MISANetwork,
    stages=stages,
    groups=encoder_groups,
    exports=exports,
)
