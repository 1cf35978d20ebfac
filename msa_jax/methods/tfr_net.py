"""TFR-Net: Transformer-based Feature Reconstruction Network.

Paper: Yuan, Li, Xu, Yu. Transformer-based Feature Reconstruction Network for Robust Multimodal Sentiment Analysis. ACM MM 2021.
Reference code: github.com/thuiar/TFR-Net, which thuiar/MMSA (MIT) keeps, from which equations and sizes are read; facts only.

The way of a batch. In training steps of every sample are lost at one rate: frames become zeros, tokens [UNK]. Scores come from
the sample that lost them, in evaluation from the sample as it is.

    X_m  = BERT's states of the text; frames of audio and vision; a convolution brings all to one width d
    H_m  = [T(X_m); T(X_m reads X_n) for each other modality n]                       Transformers as in MulT
    S_m  = T over the n_modalities d features of H_m, each the vector of its values at all steps
    R_m  = W S_m                                                                      what the lost steps were
    G_m  = a bidirectional GRU over H_m
    z_m  = largest value over the steps of tanh(W [H_m; tanh(G_m) sigmoid(conv G_m)])
    score = a perceptron of BatchNorm([z_t; z_a; z_v])

    L = |score - y| + sum over m of lambda_m (smooth L1 of R_m beside the complete X_m, mean over what is lost in the batch)

where the complete X_t are BERT's states of the complete text, into which gradients flow too. The first epoch is without R.

Readings and deviations. The paper's equations were read off its code.
 1. Attention and the largest value read valid steps alone; the code reads padding as data (`padding` "included"). In
    it only weight decay moves BERT's vector of [PAD]; here it is then trained.
 2. The code hides later steps: i sees j only where j <= i + |S - L| (`future_mask` "offset"). It gives no position to a step
    whose first projected value is 0, as that of a lost frame between lost ones; here every step has one.
 3. The code takes samples for steps in S: each feature attends to itself in the samples before it in the mini-batch, so that a
    sample is rebuilt from others (`rebuilding` "samples"). The vectors of S are as long as the training split's longest
    sequence. The code's 25 heads must divide that; on SIMS, with 39 tokens, they do not, and it ends with an error. Here there
    are as many as do, up to `temporal_heads`.
 4. Steps are lost anew each time; in the code they are drawn once (`masks` "fixed"). It trains a model for each rate, and MMSA
    one at 0.2 (`missing_rate`).
 5. MMSA adds lambda_m times 5 times the discrepancy of the first three central moments of R_m and X_m, with zeros where nothing
    is lost, divided by the number of lost values (`weights.similarity`); in the authors' repository that weight is commented
    out.
 6. The code moves the parameters after each mini-batch by the sum of the gradients since the last multiple of four, and twice
    there. Here every mini-batch has its own update. Its plateau schedule waits as long as the stop, so its rate never falls.
    Its Adam adds the weight decay to the gradient, as ours does here (`weight_decay_mode` "coupled").
 7. Epochs are selected on valid, whole as it is; the code takes steps from it too. Training ends after 100 epochs at the
    latest; the code has no cap, and neither has `reference`.
Absent modalities: their encoders, readings and R are left out. A sample that lacks a modality has no R of it, on aligned data
too, where its frames are zeros; with `padding` "included" zeros are data, as in the code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax import losses
from msa_jax.config import Options, PerGroup, check_not_negative, check_rates, check_sizes, flatten
from msa_jax.encoders.cnn import WindowProjection
from msa_jax.encoders.cross_modal import CrossModalEncoder
from msa_jax.encoders.gru import BidirectionalGRU
from msa_jax.errors import InputError
from msa_jax.layers.dense import Linear
from msa_jax.layers.dropout import Dropout
from msa_jax.layers.normalisation import BatchNorm
from msa_jax.layers.pooling import valid_steps
from msa_jax.methods.protocol import Batch, Clock, Inputs, Method, Step, Terms, one_stage
from msa_jax.methods.shared.groups import encoder_groups
from msa_jax.methods.shared.masked_copies import check_has_unknown, sample_keys, with_silenced_copy
from msa_jax.methods.shared.padded_text import check_padding, steps_of, to_steps
from msa_jax.methods.shared.presence import has
from msa_jax.methods.shared.regression import exports
from msa_jax.methods.shared.sequences import sequences_of
from msa_jax.methods.shared.sizes import Sizes
from msa_jax.modalities import MODALITIES

Array = jax.Array

LEAST_LAYERS = 3  # of the Transformers over own steps and over features
RATES = PerGroup(text=1e-5, audio=2e-3, vision=2e-3, other=2e-3)
DECAYS = PerGroup(text=1e-4, audio=1e-3, vision=1e-3, other=1e-3)


@dataclass(frozen=True, kw_only=True)
class AttentionRates:
    """Dropout of attention weights, by the modality that is read.

    Modalities:
      text: Where text is read, where a modality reads itself, and for features.
      audio: Audio.
      vision: Vision.
    """

    text: float
    audio: float
    vision: float


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of the reconstructions.

    Losses:
      text, audio, vision: Lambda of this modality.
      similarity: Of the discrepancy of moments, in every modality.
    """

    text: float = 5.0
    audio: float = 2.0
    vision: float = 20.0
    similarity: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TFRNetOptions(Options):
    """Options of TFR-Net; sizes and rates are those of the authors' repository for MOSI.

    Network:
      width: Width d of the Transformers over steps.
      heads: Number of attention heads, a divisor of the width.
      layers: Number of layers of the Transformers in which one modality reads another; the others have at least three.
      temporal_heads: Largest number of attention heads of the Transformers over features.
      kernels: Number of steps that a convolution joins, odd.
      gate_hidden: Width of each direction of a GRU, and of what is read off it.
      gate_layers: Number of GRUs on top of each other.
      hidden: Number of hidden units in front of the score.
    Dropout:
      attention_dropout: Dropout rate of attention weights.
      input_dropout: Dropout rate of what the Transformers are given.
      hidden_dropout: Dropout rate behind the ReLU in Transformers.
      residual_dropout: Dropout rate of the Transformers' residual branches.
      text_dropout: Dropout rate of the states of the text.
      gate_dropout: Dropout rate of what is read off a GRU.
      dropout: Dropout rate in front of the score.
    Training:
      missing_rate: Rate at which a step of a training sample is lost.
      masks: `fresh` draws what is lost in every step. `fixed` draws it once for each sample.
      reconstruct_from: First epoch with a reconstruction.
      weights: Weight of a loss.
    What the code does:
      rebuilding: Whether the Transformer in front of a reconstruction attends to the other features of a sample, or to the same
        feature of the other samples of the mini-batch.
      future_mask: `offset` hides later steps, features and samples, and needs `padding` included. `none` hides nothing.
      padding: `masked` leaves padding out. `included` reads it up to `max_tokens` and to the longest sequences of the
        training split, where longer ones are cut, and needs `pack_text` false.
    """

    batch_size: int = 24
    max_epochs: int = 100
    patience: int = 6
    clip_value: float | None = 0.8
    learning_rate: PerGroup = RATES
    weight_decay: PerGroup = DECAYS
    weight_decay_mode: Literal["decoupled", "coupled"] = "coupled"
    width: int = 30
    heads: int = 6
    layers: int = 3
    temporal_heads: int = 25
    kernels: Sizes = Sizes(text=1, audio=5, vision=3)
    gate_hidden: Sizes = Sizes(text=36, audio=20, vision=48)
    gate_layers: int = 3
    hidden: int = 128
    attention_dropout: AttentionRates = AttentionRates(text=0.2, audio=0.1, vision=0.0)
    input_dropout: float = 0.2
    hidden_dropout: float = 0.2
    residual_dropout: float = 0.2
    text_dropout: float = 0.2
    gate_dropout: float = 0.2
    dropout: float = 0.0
    missing_rate: float = 0.2
    masks: Literal["fresh", "fixed"] = "fresh"
    reconstruct_from: int = 2
    weights: LossWeights = LossWeights()
    rebuilding: Literal["features", "samples"] = "features"
    future_mask: Literal["none", "offset"] = "none"
    padding: Literal["masked", "included"] = "masked"

    def __post_init__(self) -> None:
        super().__post_init__()
        drops = ("attention", "input", "hidden", "residual", "text", "gate")
        check_rates(self, *(f"{name}_dropout" for name in drops), "dropout", "missing_rate")
        sizes = ("width", "heads", "layers", "temporal_heads", "kernels", "gate_hidden", "gate_layers", "hidden")
        check_sizes(self, *sizes, "reconstruct_from")
        if self.width % self.heads:
            raise InputError(f"option width is {self.width}; expected a multiple of heads, {self.heads}")
        for name, value in flatten(self).items():
            if name.startswith("kernels.") and value % 2 == 0:
                raise InputError(f"option {name} is {value}; expected an odd number")
        check_not_negative(self, "weights")
        check_padding(self)


REFERENCE: dict[str, Any] = {
    "padding": "included",
    "pack_text": False,
    "rebuilding": "samples",
    "future_mask": "offset",
    "masks": "fixed",
    "weights.similarity": 5.0,
    "max_epochs": 1000,
    "validation_mean": "batches",
    "validation_decimals": 4,
}


class TFRNetNetwork(nn.Module):
    """Readings, reconstruction, gated encoders, score.

    Outputs: `prediction` [B]; `text_embedding`, `audio_embedding`, `vision_embedding`, z_m; `representation`, all of them. In
    training also `rebuilt_*` and `complete_*` [B, steps, d_m], and `lost_*` [B, steps], 1 where it was lost, of
    each modality. All in float32.
    """

    options: TFRNetOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Array]:
        options, names = self.options, self.inputs.modalities
        included, learns = options.padding == "included", train or self.is_initializing()
        copies, lost = self._copies(batch) if train else (batch, {})
        given, length = sequences_of(options, self.inputs, copies, self.dtype, included=included, train=train)
        rows = len(given[names[0]]) // (2 if train else 1)
        complete = {name: x[:rows] for name, x in given.items()}
        length = {name: jnp.maximum(each[-rows:], 1) for name, each in length.items()}
        read = {name: jnp.full_like(each, given[name].shape[1]) if included else each for name, each in length.items()}
        sequences = {name: (self._projected(name, x[-rows:], train), read[name]) for name, x in given.items()}

        counts = batch["weight"] > 0 if train else None
        outputs: dict[str, Array] = {}
        embedded: list[Array] = []
        for name in names:
            h = self._read(name, sequences, train)
            embedded.append(self._gated(name, h, length[name], read[name], train))
            outputs[f"{name}_embedding"] = embedded[-1]
            if learns:
                steps = steps_of(options, self.inputs, name, included=included)
                outputs[f"rebuilt_{name}"] = self._rebuilt(name, to_steps(h, steps), counts, train)
                outputs[f"complete_{name}"] = to_steps(complete[name], steps)
                if train:
                    outputs[f"lost_{name}"] = to_steps(lost[name], steps)
        outputs["representation"] = z = jnp.concatenate(embedded, axis=-1)
        z = BatchNorm(dtype=self.dtype, name="norm")(z, counts, train=train)
        z = nn.leaky_relu(Linear(options.hidden, self.dtype, name="hidden")(z))
        z = Dropout(options.dropout)(z, deterministic=not train)
        outputs["prediction"] = Linear(1, jnp.float32, name="score")(z)[:, 0]
        return {name: x.astype(jnp.float32) for name, x in outputs.items()}

    def _copies(self, batch: Batch) -> tuple[Batch, dict[str, Array]]:
        keys = sample_keys(batch, None if self.options.masks == "fixed" else self.make_rng("dropout"))
        rates = {str(name): self.options.missing_rate for name in MODALITIES}
        return with_silenced_copy(batch, keys, rates, self.inputs)

    def _projected(self, name: str, x: Array, train: bool) -> Array:
        """[B, L, d] behind a convolution with zeros around; none where a modality is d wide already."""
        kernel = getattr(self.options.kernels, name)
        if name == "text":
            x = Dropout(self.options.text_dropout)(x, deterministic=not train)
        if x.shape[-1] == self.options.width:
            return x
        x = jnp.pad(x, ((0, 0), (kernel // 2, kernel // 2), (0, 0)))
        return WindowProjection(self.options.width, kernel, self.dtype, name=f"{name}_projection")(x)

    def _encoder(self, name: str, read: str, layers: int, heads: int, positions: bool = True) -> CrossModalEncoder:
        options = self.options
        return CrossModalEncoder(
            layers,
            heads,
            dropout=options.residual_dropout,
            hidden_dropout=options.hidden_dropout,
            input_dropout=options.input_dropout,
            attention_dropout=getattr(options.attention_dropout, read),
            positions=positions,
            so_far=options.future_mask == "offset",
            dtype=self.dtype,
            name=name,
        )

    def _read(self, name: str, sequences: Mapping[str, tuple[Array, Array]], train: bool) -> Array:
        """H_m [B, L, n_modalities d]."""
        options, (x, length) = self.options, sequences[name]
        own = self._encoder(f"{name}_memory", "text", max(options.layers, LEAST_LAYERS), options.heads)
        parts = [own(x, length, train=train)]
        for other in (other for other in sequences if other != name):
            encoder = self._encoder(f"{name}_from_{other}", other, options.layers, options.heads)
            parts.append(encoder(x, length, *sequences[other], train=train))
        return jnp.concatenate(parts, axis=-1)

    def _rebuilt(self, name: str, h: Array, counts: Array | None, train: bool) -> Array:
        """R_m [B, steps, d_m]. counts: [B] bool, the samples that count, in front of those that do not; None if all do."""
        rows, steps, features = h.shape
        heads = max(count for count in range(1, self.options.temporal_heads + 1) if steps % count == 0)
        encoder = self._encoder(f"{name}_features", "text", max(self.options.layers, LEAST_LAYERS), heads, False)
        if self.options.rebuilding == "features":
            s = encoder(h.transpose(0, 2, 1), jnp.full(rows, features), train=train).transpose(0, 2, 1)
        else:
            # Samples that do not count are padding of a sequence of samples, so that no other is rebuilt from them.
            length = rows if counts is None else jnp.maximum(counts.sum(), 1)
            s = encoder(h.transpose(2, 0, 1), jnp.full(features, length), train=train).transpose(1, 2, 0)
        return Linear(getattr(self.inputs, name).width, self.dtype, name=f"{name}_rebuilt")(s)

    def _gated(self, name: str, h: Array, length: Array, read: Array, train: bool) -> Array:
        """z_m [B, h_m], the largest values over the steps that are read."""
        hidden = getattr(self.options.gate_hidden, name)
        states = BidirectionalGRU(hidden, self.options.gate_layers, self.dtype, name=f"{name}_gru")(h, length)
        gate = Linear(1, self.dtype, name=f"{name}_gate")(_windows(states))
        seen = jnp.concatenate([h, jnp.tanh(states) * nn.sigmoid(gate)], axis=-1)
        z = jnp.tanh(Linear(hidden, self.dtype, name=f"{name}_gated")(seen))
        z = jnp.where(valid_steps(read, z.shape[1]), z, -1).max(1)
        return Dropout(self.options.gate_dropout)(z, deterministic=not train)


def _windows(x: Array) -> Array:
    """[B, L, d] -> each step with the one before and the one behind it, [B, L, 3d]."""
    steps = x.shape[1]
    around = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
    return jnp.concatenate([around[:, start : start + steps] for start in range(3)], axis=-1)


def objective(step: Step, options: TFRNetOptions, inputs: Inputs) -> tuple[Terms, Any]:
    """The L1 of each sample, and of the batch what the reconstructions are off, of samples that have the modality: others would
    teach to write zeros."""
    outputs, counts = step.outputs, step.batch["weight"] > 0
    terms = {"multimodal": losses.l1(outputs["prediction"], step.batch["label"])}
    for name in inputs.modalities:
        there = counts if options.padding == "included" else counts & has(step.batch, name, inputs)
        lost = ((outputs[f"lost_{name}"] > 0) & there[:, None])[..., None]
        rebuilt, complete = (jnp.where(lost, outputs[f"{kind}_{name}"], 0.0) for kind in ("rebuilt", "complete"))
        width = rebuilt.shape[-1]
        values = lost.sum().astype(jnp.float32) * width + 1e-4  # their number may be no int32
        terms[f"{name}_reconstruction"] = losses.smooth_l1(rebuilt, complete).sum() / values
        everywhere = jnp.repeat(counts, rebuilt.shape[1])
        flat = (each.reshape(-1, width) for each in (rebuilt, complete))
        terms[f"{name}_similarity"] = losses.cmd(*flat, moments=3, where=everywhere) / values
    return terms, step.memory


def weights(options: TFRNetOptions, inputs: Inputs, memory: Any, clock: Clock) -> Mapping[str, Array | float]:
    """lambda_m, from the epoch on in which reconstruction begins."""
    given, begun = options.weights, jnp.where(clock.epoch >= options.reconstruct_from, 1.0, 0.0)
    of = {name: begun * getattr(given, name) for name in inputs.modalities}
    similarity = {f"{name}_similarity": weight * given.similarity for name, weight in of.items()}
    return {**{f"{name}_reconstruction": weight for name, weight in of.items()}, **similarity}


METHOD = Method(
    name="tfr_net",
    paper="Yuan et al., ACM MM 2021: Transformer-based Feature Reconstruction Network",
    options=TFRNetOptions,
    reference=REFERENCE,
    network=TFRNetNetwork,
    stages=one_stage(
        objective,
        weights=weights,
        batch_terms=tuple(f"{name}_{kind}" for name in MODALITIES for kind in ("reconstruction", "similarity")),
    ),
    groups=encoder_groups,
    exports=exports,
    check=check_has_unknown,
    adapts_text=lambda options: True,
)
