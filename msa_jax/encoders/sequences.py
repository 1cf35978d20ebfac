"""One vector for each modality, from all of their sequences: three encoders behind one interface."""

from collections.abc import Mapping
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.encoders.lstm import LSTM
from msa_jax.encoders.sparse_phased import FEEDFORWARD, SparsePhasedConfig, SparsePhasedTransformer
from msa_jax.encoders.transformer import Transformer
from msa_jax.layers.dense import Linear
from msa_jax.layers.pooling import last_step, whole_length

Array = jax.Array


class SequenceEncoder(nn.Module):
    """The three encoders that SUGRM compares (its Table 4).

    kind: "spt", the Sparse Phased Transformer, in which modalities read each other; "transformer", a plain Transformer
      encoder for each modality, of as many layers and heads; "lstm", one for each. All are as wide, and give the state at
      the last valid step.
    padding: "included" takes padding for frames, in every kind.
    """

    kind: Literal["spt", "transformer", "lstm"]
    config: SparsePhasedConfig
    padding: Literal["masked", "included"] = "masked"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, sequences: Mapping[str, Array], length: Mapping[str, Array], *, train: bool) -> dict[str, Array]:
        """{name: [B, L, d]}, {name: [B] int32 in [0, L]} -> {name: [B, D]}."""
        config = self.config
        if self.kind == "spt":
            return SparsePhasedTransformer(config, self.padding, self.dtype, name="spt")(sequences, length, train=train)
        states = {}
        for name, sequence in sorted(sequences.items()):
            steps = length[name]
            if self.padding == "included":
                steps = whole_length(*sequence.shape[:2])
            if self.kind == "lstm":
                states[name] = LSTM(config.width, self.dtype, name=f"{name}_lstm")(sequence, steps)
                continue
            projected = Linear(config.width, self.dtype, name=f"{name}_projection")(sequence)
            hidden = Transformer(
                layers=config.iterations,
                heads=config.heads,
                feedforward=FEEDFORWARD * config.width,
                dropout=config.residual_dropout,
                attention_dropout=config.attention_dropout,
                dtype=self.dtype,
                name=f"{name}_transformer",
            )(projected, steps, train=train)
            states[name] = last_step(hidden, steps)
        return states
