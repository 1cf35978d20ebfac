"""What MFN, Graph-MFN and MFM share: their options, and MFN's way from sequences to a fused state."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.config import Options, check_rates, check_sizes
from msa_jax.encoders.memory_fusion import DeltaMemoryAttention, GatedMemory, Layer
from msa_jax.encoders.parallel_lstm import ParallelLSTM, steps_first
from msa_jax.methods.protocol import Group
from msa_jax.methods.shared.aligned_sequences import AlignedOptions
from msa_jax.methods.shared.groups import text_groups
from msa_jax.methods.shared.sizes import Sizes
from msa_jax.modalities import MODALITIES

Array = jax.Array


@dataclass(frozen=True, kw_only=True)
class GateLayers:
    """Sizes of the hidden layers of a gated memory.

    Networks of the memory:
      proposal: Network D_u, which proposes a new memory.
      retain: Gate of the old memory, g1.
      update: Gate of the new memory, g2.
    """

    proposal: int
    retain: int
    update: int


@dataclass(frozen=True, kw_only=True)
class GateRates:
    """Dropout of the hidden layers of a gated memory.

    Networks of the memory:
      proposal: Network D_u, which proposes a new memory.
      retain: Gate of the old memory, g1.
      update: Gate of the new memory, g2.
    """

    proposal: float
    retain: float
    update: float


@dataclass(frozen=True, kw_only=True)
class AttentionLayers(GateLayers):
    """Sizes of the hidden layers of a gated memory with attention.

    Networks of the memory:
      attention: Attention D_a over the change of the cells.
    """

    attention: int


@dataclass(frozen=True, kw_only=True)
class AttentionRates(GateRates):
    """Dropout of the hidden layers of a gated memory with attention.

    Networks of the memory:
      attention: Attention D_a over the change of the cells.
    """

    attention: float


@dataclass(frozen=True, kw_only=True)
class MemoryOptions(AlignedOptions):
    """Options of methods with a gated memory.

    Network:
      hidden: Width of the LSTM of a modality.
      memory: Width of the memory.
      layer: Width of a hidden layer.
      dropout: Dropout rate of a hidden layer.
    """

    hidden: Sizes
    memory: int
    layer: Any
    dropout: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "dropout")
        check_sizes(self, "hidden", "memory", "layer")


def lstms(options: MemoryOptions, dtype: jnp.dtype) -> ParallelLSTM:
    """The LSTMs that the memory's fusion looks at."""
    sizes = {name: getattr(options.hidden, name) for name in MODALITIES}
    return ParallelLSTM(sizes, dtype, name="lstms")


def gated_memory(options: MemoryOptions, dtype: jnp.dtype) -> GatedMemory:
    """The memory u."""

    def layer(name: str) -> Layer:
        return Layer(getattr(options.layer, name), getattr(options.dropout, name))

    return GatedMemory(options.memory, layer("proposal"), layer("retain"), layer("update"), dtype, name="memory")


class MemoryFusion(nn.Module):
    """MFN without its score: LSTMs, delta-memory attention, gated memory.

    options: of MFN or of a method with a part of this kind, with `AttentionLayers` and `AttentionRates`.

    Parameters: `lstms`, `attention`, `memory`.
    """

    options: MemoryOptions
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, sequences: Mapping[str, Array], length: Array, *, train: bool) -> Array:
        """{modality: [B, T, d_m]}, [B] int32 -> [B, H + memory], the last states of all LSTMs and u."""
        options = self.options
        walked = lstms(options, self.dtype)(sequences, length)
        layer = Layer(options.layer.attention, options.dropout.attention)
        attended = DeltaMemoryAttention(layer, self.dtype, name="attention")(walked.cells, train=train)
        valid = steps_first(length, len(attended))
        memory = gated_memory(options, self.dtype)(attended, valid, train=train)
        return jnp.concatenate([walked.states[-1], memory], axis=-1)


def network_decay(value: float) -> dict[str, float]:
    """The options that give this weight decay to all parameters but those of the text encoder."""
    return {f"weight_decay.{group}": value for group in ("audio", "vision", "other")}


def modality_groups(options: Options) -> tuple[Group, ...]:
    """Text encoder (its biases and LayerNorms without weight decay), what belongs to audio or to vision alone, everything
    else."""
    rate, decay = options.learning_rate, options.weight_decay
    return (
        *text_groups(rate.text, decay.text),
        Group(name="audio", pattern=r"(^|/)audio_", learning_rate=rate.audio, weight_decay=decay.audio),
        Group(name="vision", pattern=r"(^|/)vision_", learning_rate=rate.vision, weight_decay=decay.vision),
        Group(name="other", pattern=r"", learning_rate=rate.other, weight_decay=decay.other),
    )
