"""The pseudo-siamese predictive network: one modality's latent vector, predicted from the others (MMCL, section 3.4.1)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.encoders.cnn import ConvolutionStack
from msa_jax.encoders.lstm import LSTM
from msa_jax.layers.dense import Linear, uniform
from msa_jax.layers.dropout import Dropout
from msa_jax.layers.pooling import adaptive_mean, masked_mean

Array = jax.Array
Initializer = nn.initializers.Initializer
Sequences = tuple[Array, Array]  # [B, L, D] and the lengths [B] int32


@dataclass(frozen=True, kw_only=True)
class PredictorInit:
    """How the predictive network starts.

    PyTorch's matrices have a variance of one third of the inverse number of inputs. A gain of sqrt 3 = 1.732 keeps the
    variance of what goes through them, and one of 5 / 3 times that makes up for tanh. Biases are the same for all
    samples: without them P differs between samples as the input does, however small the matrices make it.

    Matrices and biases:
      kind: Distribution of the matrices: `torch`, uniform as in PyTorch's layers, or `xavier`, normal with a variance
        of 2 / (inputs + outputs) (Glorot and Bengio 2010).
      gain: Factor on all matrices.
      cnn_gain: Further factor on the kernels of the CNNs.
      zero_biases: Biases that start at zero instead of uniform values: none, those of the CNNs, or all.
    """

    kind: Literal["torch", "xavier"] = "torch"
    gain: float = 1.0
    cnn_gain: float = 1.0
    zero_biases: Literal["none", "cnn", "all"] = "none"

    def matrix(self, *, hidden: int | None = None, cnn: bool = False) -> Initializer:
        """Of [..., inputs, outputs], in an LSTM of so many hidden units, or of a kernel of a CNN."""
        gain = self.gain * self.cnn_gain if cnn else self.gain

        def init(key: Array, shape: Sequence[int], dtype: jnp.dtype = jnp.float32) -> Array:
            if self.kind == "xavier":
                return gain * nn.initializers.variance_scaling(1.0, "fan_avg", "normal")(key, shape, dtype)
            return gain * uniform((hidden or math.prod(shape[:-1])) ** -0.5)(key, shape, dtype)

        return init

    def bias(self, *, cnn: bool = False) -> Initializer | None:
        """Of a bias, or of one of a CNN; None for PyTorch's."""
        zero = self.zero_biases == "all" or (cnn and self.zero_biases == "cnn")
        return nn.initializers.zeros if zero else None


class CrossModalPredictor(nn.Module):
    """Sources -> bi-modal sequence -> CNN -> LSTM -> prediction P, and target -> CNN of its own -> G.

    Sources of other lengths are averaged to the length of the first, so that they can be concatenated step by step; those
    of the same length, as in token-aligned data, stay as they are. P is a linear map of the LSTM's last state, G the mean
    of the target's latent steps.

    width: D of the bi-modal sequence. channels, kernels, strides: of both CNNs, which share nothing else.
    context: size of the LSTM. start: how its parameters do.

    Parameters: `bimodal_hidden`, `bimodal`, `source_cnn`, `context`, `predictor`, and `target_cnn` with a target.
    """

    width: int = 128
    channels: int = 256
    kernels: tuple[int, ...] = (10, 8, 4, 4, 4)
    strides: tuple[int, ...] = (5, 4, 2, 2, 2)
    context: int = 128
    dropout: float | Array = 0.1
    start: PredictorInit = PredictorInit()
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, sources: Sequence[Sequences], target: Sequences | None, *, train: bool
    ) -> tuple[Array, Array | None]:
        """One source or more, and the target or None -> P [B, channels], G [B, channels] in (-1, 1) or None."""
        first, length = sources[0]
        steps = first.shape[1]
        others = [adaptive_mean(x, own, steps, length) for x, own in sources[1:]]
        joined = jnp.concatenate([first, *others], axis=-1)
        hidden = nn.relu(self._linear(self.width, "bimodal_hidden")(joined))
        hidden = Dropout(self.dropout)(hidden, deterministic=not train)
        bimodal = self._linear(self.width, "bimodal")(hidden)  # F_ta
        latent, latent_length = self._cnn("source_cnn")(bimodal, length)
        # In float32 also where all else is bfloat16: at the start samples differ in P by less than that can tell.
        matrix = self.start.matrix(hidden=self.context)
        lstm = LSTM(
            self.context,
            jnp.float32,
            kernel_init=matrix,
            recurrent_init=matrix,
            bias_init=self.start.bias(),
            name="context",
        )
        context = lstm(latent, latent_length)  # P_ta
        prediction = self._linear(self.channels, "predictor", jnp.float32)(context)  # P_v
        if target is None:
            return prediction, None
        return prediction, masked_mean(*self._cnn("target_cnn")(*target))  # G_v

    def _linear(self, features: int, name: str, dtype: jnp.dtype | None = None) -> Linear:
        return Linear(features, dtype or self.dtype, self.start.matrix(), self.start.bias(), name=name)

    def _cnn(self, name: str) -> ConvolutionStack:
        start = self.start.matrix(cnn=True), self.start.bias(cnn=True)
        return ConvolutionStack(self.channels, self.kernels, self.strides, self.dtype, *start, name=name)
