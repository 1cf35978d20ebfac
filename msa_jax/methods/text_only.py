"""Text only: the floor that every multimodal method must be compared with.

BERT, the hidden state of [CLS], dropout, a linear layer, L1. What is left of any method here when audio and vision are
taken away; the gap between it and a multimodal method is what the other modalities bring.
"""

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.config import Options, check_rates
from msa_jax.encoders.text import TextEncoder
from msa_jax.errors import InputError
from msa_jax.layers.dense import Linear
from msa_jax.layers.dropout import Dropout
from msa_jax.methods.protocol import Batch, Inputs, Method, one_stage
from msa_jax.methods.shared.groups import encoder_groups
from msa_jax.methods.shared.regression import objective

Array = jax.Array


@dataclass(frozen=True, kw_only=True)
class TextOnlyOptions(Options):
    """Options of the text-only regressor.

    Network:
      dropout: Dropout rate between the state of [CLS] and the linear layer.
    """

    dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "dropout")


class TextOnlyNetwork(nn.Module):
    """[CLS] -> score. Outputs: `prediction` [B]."""

    options: TextOnlyOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Array]:
        assert self.inputs.text is not None  # `check` has said so
        encoder = TextEncoder(
            self.inputs.text.bert, self.dtype, tokens=False, remat=self.options.remat, name="text_encoder"
        )
        x = encoder(batch["text"], train=train)["first"]
        x = Dropout(self.options.dropout)(x, deterministic=not train)
        return {"prediction": Linear(1, jnp.float32, name="score")(x)[:, 0]}


def check(options: TextOnlyOptions, inputs: Inputs) -> None:
    """There must be text."""
    if inputs.text is None:
        raise InputError("method text_only needs text, and the dataset has none")


METHOD = Method(
    name="text_only",
    paper="the floor: a BERT regressor on the text alone",
    options=TextOnlyOptions,
    network=TextOnlyNetwork,
    stages=one_stage(objective),
    groups=encoder_groups,
    reads=("text",),
    check=check,
)
