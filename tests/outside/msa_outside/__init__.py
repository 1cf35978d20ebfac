"""A method in a package of its own, as somebody else would write it: the mean of the audio frames, and a linear score."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax import losses
from msa_jax.config import Options, check_rates
from msa_jax.errors import InputError
from msa_jax.layers.dense import Linear
from msa_jax.layers.dropout import Dropout
from msa_jax.layers.pooling import masked_mean
from msa_jax.methods.protocol import Batch, Group, Inputs, Method, Step, one_stage


@dataclass(frozen=True, kw_only=True)
class LoudnessOptions(Options):
    """Options of the method.

    Network:
      dropout: Dropout rate of the mean frame.
    """

    dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "dropout")


class LoudnessNetwork(nn.Module):
    """Outputs: `prediction` [B]."""

    options: LoudnessOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, jax.Array]:
        mean = masked_mean(batch["audio"]["features"], batch["audio"]["length"])
        mean = Dropout(self.options.dropout)(mean, deterministic=not train)
        return {"prediction": Linear(1, self.dtype, name="score")(mean)[:, 0].astype(jnp.float32)}


def objective(step: Step, options: LoudnessOptions, inputs: Inputs) -> tuple[dict[str, jax.Array], Mapping]:
    """L1 on the human label."""
    return {"multimodal": losses.l1(step.outputs["prediction"], step.batch["label"])}, step.memory


def check(options: LoudnessOptions, inputs: Inputs) -> None:
    """There must be audio."""
    if inputs.audio is None:
        raise InputError("method loudness needs audio, and the dataset has none")


METHOD = Method(
    name="loudness",
    paper="none: a method of the tests",
    options=LoudnessOptions,
    network=LoudnessNetwork,
    stages=one_stage(objective),
    groups=lambda options: (Group(name="all", pattern="", learning_rate=options.learning_rate.other),),
    check=check,
    text_encoder=None,
    presets=Path(__file__).parent / "presets",
)
