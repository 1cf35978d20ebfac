"""TETFN: Text Enhanced Transformer Fusion Network.

Paper: Wang, Guo, Tian, Liu, He, Luo. TETFN: A text enhanced transformer fusion network for multimodal sentiment analysis.
Pattern Recognition 136, 2023.
Reference code: thuiar/MMSA (MIT), from which the network and its sizes are; facts only.

The way of a batch. Text is BERT's states, audio and vision the states of an LSTM each; a convolution over time brings all to
one width d. For each ordered pair of modalities m <- n the steps of m read those of n, as in MulT; but between audio and
vision the text comes first: the steps of n read the text, and those of m read what came of it (the text enhanced
Transformer). What m read, side by side, goes through a Transformer over its own steps, whose last step is z_m. The
multimodal task reads [z_t; z_a; z_v], a unimodal one the largest value over the steps of its projected sequence. Every task
regresses on a label by L1, the unimodal ones on u-labels that move as those of Self-MM do (msa_jax.labels.self_mm).

Readings and deviations.
- Attention and the largest value read valid steps alone, and z_m is the last valid step; MMSA reads padding as data
  (`padding` "included").
- MMSA's audio and vision are aligned to the tokens, on SIMS by averaging so many frames that T are left in front of the LSTMs
  (`alignment`, see `layers.alignment.align`); here sequences keep their own lengths ("none").
- Positions count valid steps from 1. MMSA adds them in the text enhanced Transformers alone (`positions` "enhanced").
- MMSA hides future steps: step i of m sees step j of n only where j <= i + |S - L|, L and S the padded lengths behind the
  convolutions (`future_mask` "offset").
- MMSA's convolution over vision has the kernel of audio (`kernels.vision` is that of audio in its presets).
- With padding that is read the vector of [PAD] is trained here; PyTorch's BERT gives it no gradient, so that only weight decay
  moves it.
- Optimiser, label generation and what the code does otherwise are those of Self-MM.
Absent modalities: their encoders and their task are left out; without text audio and vision read each other directly.
A sample that lacks a modality has no part in its task: no loss, and its u-label stays.
"""

from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.config import PerGroup, check_rates, check_sizes
from msa_jax.encoders.cnn import WindowProjection
from msa_jax.encoders.cross_modal import CrossModalEncoder
from msa_jax.encoders.lstm import LSTM
from msa_jax.errors import InputError
from msa_jax.layers.alignment import Alignment, align
from msa_jax.layers.pooling import last_step, valid_steps, whole_length
from msa_jax.layers.subnetworks import FeatureScoreHead
from msa_jax.methods.protocol import Batch, Inputs, Method, one_stage
from msa_jax.methods.shared import unimodal_tasks
from msa_jax.methods.shared.groups import encoder_groups
from msa_jax.methods.shared.padded_text import check_padding
from msa_jax.methods.shared.sequences import sequences_of
from msa_jax.methods.shared.unimodal_tasks import PerTask, UnimodalTaskOptions
from msa_jax.modalities import LETTER, SEQUENCES

Array = jax.Array

RATES = PerGroup(text=3e-5, audio=5e-4, vision=3e-4, other=3e-4)


@dataclass(frozen=True, kw_only=True)
class PerModality:
    """One value for each modality.

    Modalities:
      text: Text. As an attention dropout, it also holds in the text enhanced and in the last Transformers.
      audio: Audio.
      vision: Vision.
    """

    text: float
    audio: float
    vision: float


@dataclass(frozen=True, kw_only=True)
class TETFNOptions(UnimodalTaskOptions):
    """Options of TETFN; sizes and rates are MMSA's for MOSI.

    Network:
      audio_hidden, vision_hidden: Width of the LSTM of this modality.
      width: Width d of all Transformers.
      heads: Number of attention heads, a divisor of the width.
      layers: Number of layers of every Transformer but the lower of two in a text enhanced one, which has one.
      kernels: Number of steps that a convolution joins.
    Dropout:
      attention_dropout: Dropout rate of attention weights.
      input_dropout: Dropout rate of what the Transformers are given.
      hidden_dropout: Dropout rate behind the ReLU in Transformers.
      residual_dropout: Dropout rate of the Transformers' residual branches.
      dropout: Dropout rate in front of the head of a task.
    What MMSA's code does:
      alignment: How audio and vision are brought to the tokens of the text, see `layers.alignment.align`. `none` leaves
        sequences of their own lengths as they are. Nothing happens to aligned data.
      positions: Whether positions are added to the steps in all Transformers, or in the text enhanced ones alone.
      future_mask: `offset` hides later steps, and needs `padding` included. `none` hides nothing.
      padding: `masked` leaves padding out. `included` reads it up to `max_tokens` and to the longest sequences of the
        training split, where longer ones are cut, and needs `pack_text` false.
    """

    batch_size: int = 64
    learning_rate: PerGroup = RATES
    audio_hidden: int = 16
    vision_hidden: int = 64
    width: int = 50
    heads: int = 5
    layers: int = 2
    kernels: PerModality = PerModality(text=1, audio=1, vision=1)
    attention_dropout: PerModality = PerModality(text=0.1, audio=0.0, vision=0.1)
    input_dropout: float = 0.0
    hidden_dropout: float = 0.0
    residual_dropout: float = 0.1
    feature_size: PerTask = PerTask(m=64, t=32, a=32, v=16)
    dropout: PerTask = PerTask(m=0.0, t=0.0, a=0.0, v=0.0)
    alignment: Alignment | Literal["none"] = "none"
    positions: Literal["all", "enhanced"] = "all"
    future_mask: Literal["none", "offset"] = "none"
    padding: Literal["masked", "included"] = "masked"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "attention_dropout", "input_dropout", "hidden_dropout", "residual_dropout", "dropout")
        check_sizes(self, "audio_hidden", "vision_hidden", "width", "heads", "layers", "kernels", "feature_size")
        if self.width % self.heads:
            raise InputError(f"option width is {self.width}; expected a multiple of heads, {self.heads}")
        check_padding(self)


REFERENCE: dict[str, Any] = {
    "alignment": "contiguous",
    "positions": "enhanced",
    "future_mask": "offset",
    "padding": "included",
    "pack_text": False,
    "max_epochs": 1000,
    "scale_distances": False,
    "floor_alpha": False,
    "weight_decay_mode": "coupled",
    "accumulate": 4,
    "accumulate_reduce": "sum",
    "tail": "drop",
    "validation_mean": "batches",
    "validation_decimals": 4,
    "weight_decay.text": 1e-3,
    "weight_decay.audio": 1e-2,
    "weight_decay.other": 1e-2,
}


class TETFNNetwork(nn.Module):
    """Encoders, Transformers across modalities, heads.

    Outputs: `prediction`, `text`, `audio`, `vision` [B]; `features` {task: F* [B, d]}; for export, F* again:
    `representation` of the multimodal task, `text_embedding` and the others of the unimodal ones.
    """

    options: TETFNOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Any]:
        options, names = self.options, self.inputs.modalities
        included = options.padding == "included"
        given, length = sequences_of(options, self.inputs, batch, self.dtype, included=included, train=train)
        self._align(given, length)
        if included:
            length = {name: whole_length(*given[name].shape[:2]) for name in names}
        sequences = {name: self._projected(name, given[name], length[name]) for name in names}
        last: list[Array] = []
        for name in names:
            x, steps = sequences[name]
            read = [self._read(name, other, sequences, train) for other in names if other != name]
            joined = jnp.concatenate(read, axis=-1) if read else x
            states = self._encoder(f"{name}_memory", "text", options.layers, False)(joined, steps, train=train)
            last.append(last_step(states, steps))

        def head(task: str, name: str, x: Array) -> tuple[Array, Array]:
            size, dropout = int(getattr(options.feature_size, task)), getattr(options.dropout, task)
            return FeatureScoreHead(size, dropout, True, self.dtype, name=f"{name}_head")(x, train=train)

        outputs: dict[str, Any] = {}
        features: dict[str, Array] = {}
        features["m"], outputs["prediction"] = head("m", "fusion", jnp.concatenate(last, axis=-1))
        tasks = unimodal_tasks.unimodal_tasks(options, self.inputs)
        for name in names:
            if (task := LETTER[name]) in tasks:
                x, steps = sequences[name]
                lowest = jnp.full_like(x, jnp.finfo(x.dtype).min)
                highest = jnp.where(valid_steps(steps, x.shape[1]), x, lowest).max(1)
                features[task], outputs[name] = head(task, name, highest)
        return {**outputs, "features": features, **unimodal_tasks.exported(features)}

    def _align(self, given: dict[str, Array], length: dict[str, Array]) -> None:
        """Brings audio and vision onto the tokens, in place, if the options ask for it."""
        options, text = self.options, self.inputs.text
        if options.alignment == "none" or text is None or self.inputs.aligned:
            return
        for name in (name for name in SEQUENCES if name in given):
            padded = getattr(self.inputs, name).steps, text.steps
            tokens, steps = length["text"], given["text"].shape[1]
            given[name] = align(given[name], length[name], tokens, steps, alignment=options.alignment, padded=padded)
            length[name] = tokens

    def _projected(self, name: str, x: Array, length: Array) -> tuple[Array, Array]:
        """[B, L, d] behind the LSTM and the convolution, and how many of its steps count [B], at least 1."""
        options, kernel = self.options, int(getattr(self.options.kernels, name))
        owner = name
        if name in SEQUENCES:
            owner, hidden = f"{name}_encoder", getattr(options, f"{name}_hidden")
            x = LSTM(hidden, self.dtype, every=True, name=owner)(x, length)
        x = WindowProjection(options.width, kernel, self.dtype, name=f"{owner}_projection")(x)
        return x, jnp.maximum(length - (kernel - 1), 1)

    def _encoder(self, name: str, read: str, layers: int, enhanced: bool) -> CrossModalEncoder:
        options = self.options
        return CrossModalEncoder(
            layers,
            options.heads,
            dropout=options.residual_dropout,
            hidden_dropout=options.hidden_dropout,
            input_dropout=options.input_dropout,
            attention_dropout=getattr(options.attention_dropout, read),
            positions=enhanced or options.positions == "all",
            so_far=options.future_mask == "offset",
            dtype=self.dtype,
            name=name,
        )

    def _read(self, name: str, other: str, sequences: dict[str, tuple[Array, Array]], train: bool) -> Array:
        """What the steps of a modality read of another one [B, L, d]."""
        x, steps = sequences[name]
        pair, layers = f"{name}_from_{other}", self.options.layers
        if "text" in (name, other) or "text" not in sequences:
            return self._encoder(pair, other, layers, False)(x, steps, *sequences[other], train=train)
        source, length = sequences[other]
        lower = self._encoder(f"{pair}_lower", "text", 1, True)
        enhanced = lower(source, length, *sequences["text"], train=train)
        return self._encoder(f"{pair}_upper", "text", layers, True)(x, steps, enhanced, length, train=train)


METHOD = Method(
    name="tetfn",
    paper="Wang et al., Pattern Recognition 2023: A Text Enhanced Transformer Fusion Network",
    options=TETFNOptions,
    reference=REFERENCE,
    network=TETFNNetwork,
    stages=one_stage(unimodal_tasks.objective, end_epoch=unimodal_tasks.end_epoch),
    groups=encoder_groups,
    heads=unimodal_tasks.heads,
    exports=unimodal_tasks.exports,
    init_memory=unimodal_tasks.init_memory,
    records=unimodal_tasks.records,
    check=unimodal_tasks.check,
    calibrates=unimodal_tasks.calibrates,
    needs_aligned=lambda options: options.alignment == "required",
)
