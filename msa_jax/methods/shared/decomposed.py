"""Decomposed modalities: the options, the network and the losses that ConFEDE and DMMSA share.

Papers: Yang et al. ConFEDE: Contrastive Feature Decomposition for Multimodal Sentiment Analysis. ACL 2023. The paper of
DMMSA, which keeps ConFEDE's network and replaces its objective.
Reference code: github.com/XpastaX/ConFEDE (MIT); facts only, no line is taken from it.

The way of a batch. Each modality is encoded as one vector: text by BERT's pooler (precomputed features: by their first
step), audio and vision by a Transformer with a token of its own. Two projectors decompose it into a similar part (T_s, V_s,
A_s), which should hold what the modalities share, and a dissimilar part (T_d, V_d, A_d), which should hold what is its own.
All parts together give the score; one decoder, the same for every part, gives a score from each by itself.

Absent modalities: their encoder, parts and regressor are left out. A single sample that lacks a modality has no loss in the
scores of its parts. The stages of training are those of msa_jax.methods.shared.encoder_stages.

The heads `text`, `audio` and `vision` are the regressors of these stages. The fusion leaves them as they are and trains the
encoders of audio and vision: scores of these two heads come from regressors whose encoders have moved on, and say little about
a modality by itself. Those of `text` stay what its stage selected while BERT is frozen in the fusion.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax import losses
from msa_jax.config import Options, PerGroup, Schedule, check_not_negative, check_rates, check_sizes, flatten
from msa_jax.encoders.text import TextEncoder
from msa_jax.encoders.token_transformer import TokenTransformer
from msa_jax.errors import InputError
from msa_jax.layers.dense import Linear
from msa_jax.layers.dropout import Dropout
from msa_jax.methods.protocol import Batch, Group, Inputs, frames, labels
from msa_jax.methods.shared.groups import text_groups
from msa_jax.methods.shared.presence import has
from msa_jax.modalities import LETTER, MODALITIES, SEQUENCES, label_column

Array = jax.Array

PARTS = ("ts", "vs", "as", "td", "vd", "ad")  # similar and dissimilar; the first letter is that of the modality
LEARNING_RATE = PerGroup(text=1e-4, audio=1e-4, vision=1e-4, other=1e-4)
WEIGHT_DECAY = PerGroup(text=1e-3, audio=1e-3, vision=1e-3, other=1e-3)
BERT_WIDTH = 768  # of audio and vision where there is no text


@dataclass(frozen=True, kw_only=True)
class StageOptions:
    """One stage of pretraining.

    Options of a stage:
      max_epochs: Largest number of epochs. Zero leaves the stage out.
      patience: Number of epochs without improvement after which the stage ends. `none` goes through all epochs.
      select_from: First epoch that may be selected, or the last one if there are fewer.
      batch_size: Number of samples in a mini-batch.
      learning_rate: Learning rate of all that the stage trains.
      weight_decay: Weight decay of all that the stage trains.
      weight_decay_mode: `decoupled` as in AdamW, or `coupled` as an L2 term in the gradient.
      warmup: Share of the stage's steps in which the learning rate rises linearly from zero.
    """

    max_epochs: int
    patience: int | None = None
    select_from: int = 1
    batch_size: int = 128
    learning_rate: float = 1e-4
    weight_decay: float = 1e-3
    weight_decay_mode: Literal["decoupled", "coupled"] = "decoupled"
    warmup: float


@dataclass(frozen=True, kw_only=True)
class DecomposedOptions(Options):
    """Options of methods with decomposed modalities; the defaults are ConFEDE's for MOSI.

    Those without a prefix (batch_size, max_epochs, learning rates, ...) are of the fusion stage.

    Network:
      width: Width of the encoded audio and vision. `none` is the width of the text encoder, or 768 without text.
      audio_layers, vision_layers: Number of layers of the Transformer of this modality.
      heads: Number of attention heads of the Transformers.
      feedforward: Number of hidden units of the Transformers' feed-forward layers. `none` is their width.
      dropout: Dropout rate in the Transformers.
      padding_mean: Whether the mean over audio and vision includes padding, as in the authors' code.
      projection: Width of a part of a modality.
      projector_dropout: Dropout rate of a part.
      fusion_hidden: Width of the hidden layer of the fused head.
      part_hidden: Width of the hidden layer of the decoder that scores single parts.
      regressor_hidden: Width of the hidden layer of the regressors of the first stages.
    Stages:
      stage_text: Stage of the text encoder.
      stage_audio: Stage of the audio encoder.
      stage_vision: Stage of the vision encoder.
      select_from: First epoch of the fusion that may be selected, or the last one if there are fewer.
      text_head_share: Share of the epochs of `stage_text` at its start in which BERT is frozen. Zero leaves this part
        out.
      text_layers: Number of BERT's last layers that the rest of `stage_text` trains. `none` trains all of BERT.
      finetune_text_in_fusion: Whether the fusion stage trains BERT too.
    Losses:
      loss: Loss of the fused score and of the scores of the parts.
      smooth_l1_beta: Error at which `smooth_l1` becomes linear, phi of DMMSA's eq. 7.
      encoder_loss: Loss of the first stages.
    """

    schedule: Schedule = "linear"
    batch_size: int = 16
    max_epochs: int = 25
    patience: int = 25
    select_from: int = 1
    warmup: float = 0.04
    learning_rate: PerGroup = LEARNING_RATE
    weight_decay: PerGroup = WEIGHT_DECAY
    width: int | None = None
    audio_layers: int = 2
    vision_layers: int = 2
    heads: int = 8
    feedforward: int | None = None
    dropout: float = 0.5
    padding_mean: bool = False
    projection: int = 384
    projector_dropout: float = 0.5
    fusion_hidden: tuple[int, ...] = (768, 384, 192, 96)
    part_hidden: tuple[int, ...] = (192, 96)
    regressor_hidden: tuple[int, ...] = (384, 192, 96)
    stage_text: StageOptions = StageOptions(max_epochs=200, warmup=0.025)
    stage_audio: StageOptions = StageOptions(max_epochs=100, warmup=0.1)
    stage_vision: StageOptions = StageOptions(max_epochs=100, warmup=0.05)
    text_head_share: float = 1 / 3
    text_layers: int | None = None
    finetune_text_in_fusion: bool = False
    loss: Literal["l2", "smooth_l1"] = "l2"
    smooth_l1_beta: float = 1.0
    encoder_loss: Literal["l2", "smooth_l1"] = "l2"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "dropout", "projector_dropout", "text_head_share")
        check_sizes(self, "audio_layers", "vision_layers", "heads", "projection", "select_from")
        check_sizes(
            self, *(name for name in ("width", "feedforward", "text_layers") if getattr(self, name) is not None)
        )
        for name in ("fusion_hidden", "part_hidden", "regressor_hidden"):
            if any(size < 1 for size in getattr(self, name)):
                shown = ",".join(map(str, getattr(self, name)))
                raise InputError(f"option {name} is {shown}; expected positive whole numbers, separated by commas")
        if not self.smooth_l1_beta > 0:
            raise InputError(f"option smooth_l1_beta is {self.smooth_l1_beta}; expected a positive number")
        not_negative = ("max_epochs", "learning_rate", "weight_decay")
        check_not_negative(self, *(f"stage_{name}.{field}" for name in MODALITIES for field in not_negative))
        for name, value in flatten(self).items():
            if name.startswith("stage_"):
                _check_stage(name, value)


def _check_stage(name: str, value: Any) -> None:
    field = name.split(".")[1]
    if field == "warmup" and not 0 <= value < 1:
        raise InputError(f"option {name} is {value}; expected a fraction in [0, 1)")
    if field in ("batch_size", "patience", "select_from") and value is not None and value < 1:
        raise InputError(f"option {name} is {value}; expected a positive whole number")


def encoder_width(options: DecomposedOptions, inputs: Inputs) -> int:
    """The width of encoded audio and vision."""
    if options.width is not None:
        return options.width
    return BERT_WIDTH if inputs.text is None else inputs.text.width


def feature_widths(options: DecomposedOptions, inputs: Inputs) -> dict[str, int]:
    """The width of the vector of each modality there is, {modality: width}."""
    widths = {name: encoder_width(options, inputs) for name in SEQUENCES if name in inputs.modalities}
    return widths if inputs.text is None else {"text": inputs.text.width, **widths}


def parts_of(inputs: Inputs) -> tuple[str, ...]:
    """The parts of the modalities there are."""
    letters = {LETTER[name] for name in inputs.modalities}
    return tuple(part for part in PARTS if part[0] in letters)


def heads(options: DecomposedOptions, inputs: Inputs) -> tuple[str, ...]:
    """The fused score, and of each modality there is that of its stage's regressor, which the fusion no longer trains."""
    return ("prediction", *inputs.modalities)


def exports(options: DecomposedOptions, inputs: Inputs) -> tuple[str, ...]:
    """All parts side by side, each by itself, and the score of each."""
    parts = parts_of(inputs)
    return ("representation", *(f"part_{part}" for part in parts), *(f"score_{part}" for part in parts))


class Decoder(nn.Module):
    """[B, d] -> [B, features] float32, GELU between linear layers `hidden_0`, `hidden_1`, ..., `score`."""

    hidden: tuple[int, ...]
    features: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for number, size in enumerate(self.hidden):
            x = nn.gelu(Linear(size, self.dtype, name=f"hidden_{number}")(x), approximate=False)
        return Linear(self.features, jnp.float32, name="score")(x)


class Projector(nn.Module):
    """[B, d] -> a part [B, size]: LayerNorm, linear, tanh, dropout."""

    size: int
    dropout: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        x = nn.LayerNorm(1e-5, dtype=self.dtype, use_fast_variance=False, name="norm")(x)
        return Dropout(self.dropout)(nn.tanh(Linear(self.size, self.dtype, name="linear")(x)), deterministic=not train)


class DecomposedNetwork(nn.Module):
    """Encoders, projectors, heads.

    classes: numbers of coarse classes, one classifier for each, of the shape of the fused head.

    Outputs, all float32, those of absent modalities left out: `prediction` [B]; `text`, `audio`, `vision` [B], scores of the
    regressors of the first stages; `features` {modality: [B, width]}, and the same as `feature_text` and so on; `parts` and
    `part_scores` {"ts", "vs", "as", "td", "vd", "ad": [B, projection], [B]}, and the same as `part_ts`, `score_ts` and so on;
    `representation` [B, 6 projection], all parts side by side; `logits` {C: [B, C]}.
    """

    options: DecomposedOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32
    classes: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Any]:
        options = self.options
        features = self._encode(batch, train)
        outputs: dict[str, Any] = {}
        parts: dict[str, Array] = {}
        for kind in ("similar", "dissimilar"):
            for name, vector in features.items():
                projector = Projector(options.projection, options.projector_dropout, self.dtype, name=f"{name}_{kind}")
                parts[LETTER[name] + kind[0]] = projector(vector, train=train)
        decode = Decoder(options.part_hidden, 1, self.dtype, name="part_decoder")
        scores = {name: decode(part)[:, 0] for name, part in parts.items()}
        together = jnp.concatenate(list(parts.values()), -1)
        outputs["prediction"] = Decoder(options.fusion_hidden, 1, self.dtype, name="fusion")(together)[:, 0]
        for name, vector in features.items():
            outputs[name] = Decoder(options.regressor_hidden, 1, self.dtype, name=f"{name}_regressor")(vector)[:, 0]
        outputs["logits"] = {
            count: Decoder(options.fusion_hidden, count, self.dtype, name=f"classifier_{count}")(together)
            for count in self.classes
        }
        parts = {name: part.astype(jnp.float32) for name, part in parts.items()}
        outputs |= {f"feature_{name}": vector.astype(jnp.float32) for name, vector in features.items()}
        outputs |= {f"part_{name}": part for name, part in parts.items()}
        outputs |= {f"score_{name}": score for name, score in scores.items()}
        return {
            **outputs,
            "features": {name: vector.astype(jnp.float32) for name, vector in features.items()},
            "parts": parts,
            "part_scores": scores,
            "representation": together.astype(jnp.float32),
        }

    def _encode(self, batch: Batch, train: bool) -> dict[str, Array]:
        """One vector [B, width] for each modality there is, in the order of the parts."""
        options, vectors = self.options, {}
        if self.inputs.text is not None:
            encoder = TextEncoder(
                self.inputs.text.bert, self.dtype, tokens=False, pooler=True, remat=options.remat, name="text_encoder"
            )
            vectors["text"] = encoder(batch["text"], train=train)["pooled"]
        for name, layers in (("vision", options.vision_layers), ("audio", options.audio_layers)):
            if name in self.inputs.modalities:
                encoder = TokenTransformer(
                    width=encoder_width(options, self.inputs),
                    steps=getattr(self.inputs, name).steps,
                    layers=layers,
                    heads=options.heads,
                    feedforward=options.feedforward,
                    dropout=options.dropout,
                    padding_mean=options.padding_mean,
                    dtype=self.dtype,
                    name=f"{name}_encoder",
                )
                given = frames(batch, name)
                vectors[name] = encoder(given["features"], given["length"], train=train)
        return vectors


def groups(options: DecomposedOptions) -> tuple[Group, ...]:
    """Text encoder, audio encoder, vision encoder and everything else, each without decay of biases and LayerNorms."""
    rate, decay = options.learning_rate, options.weight_decay
    groups: list[Group] = list(text_groups(rate.text, decay.text))
    for name, pattern in (("audio", "^audio_encoder/"), ("vision", "^vision_encoder/"), ("other", "")):
        exempt = rf"{pattern}(.*/)?(bias|[^/]*norm[^/]*/scale)$" if pattern else r"(bias|norm[^/]*/scale)$"
        common = {"learning_rate": getattr(rate, name)}
        groups.append(Group(name=f"{name}_no_decay", pattern=exempt, weight_decay=0.0, **common))
        groups.append(Group(name=name, pattern=pattern, weight_decay=getattr(decay, name), **common))
    return tuple(groups)


# -- losses -----------------------------------------------------------------------------------------------------------


def distance(prediction: Array, target: Array, options: DecomposedOptions, *, kind: str | None = None) -> Array:
    """[B], [B] -> [B]: the squared error or smooth L1 (DMMSA, eq. 7); `kind` is the option loss by default."""
    if (kind or options.loss) == "l2":
        return losses.l2(prediction, target)
    return losses.smooth_l1(prediction, target, beta=options.smooth_l1_beta)


def own_label(name: str, inputs: Inputs) -> str:
    """The label column of a modality by itself, or the m-label's if the dataset has none."""
    column = label_column(name)
    return column if column in inputs.columns else "label"


def unimodal_loss(outputs: Mapping[str, Any], batch: Batch, options: DecomposedOptions, inputs: Inputs) -> Array:
    """[B], the mean over the parts there are: similar ones against the m-label, dissimilar ones against the label of their
    modality (DMMSA, eq. 10, with u = [y, y, y, y^t, y^v, y^a]). Parts of a modality that a sample lacks count as 0."""
    columns = {f"{letter}s": "label" for letter in LETTER.values()}
    columns |= {f"{letter}d": own_label(name, inputs) for name, letter in LETTER.items()}
    there = {LETTER[name]: has(batch, name, inputs) for name in inputs.modalities}
    errors = [
        jnp.where(there[part[0]], distance(score, labels(batch, columns[part]), options), 0.0)
        for part, score in outputs["part_scores"].items()
    ]
    return jnp.stack(errors).mean(0)


def check(options: DecomposedOptions, inputs: Inputs) -> None:
    """The encoders' width must suit their heads.

    Raises:
      InputError: otherwise.
    """
    width = encoder_width(options, inputs)
    if width % options.heads and set(inputs.modalities) & set(SEQUENCES):
        raise InputError(
            f"option heads is {options.heads}; expected a divisor of {width}, the width of encoded audio and vision"
        )
