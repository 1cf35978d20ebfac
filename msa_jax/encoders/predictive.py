"""The pseudo-siamese predictive network: one modality's latent vector, predicted from the others (MMCL, section 3.4.1)."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.encoders.cnn import ConvolutionStack
from msa_jax.encoders.lstm import LSTM
from msa_jax.layers.dense import Linear
from msa_jax.layers.dropout import Dropout
from msa_jax.layers.pooling import adaptive_mean, masked_mean

Array = jax.Array
Sequences = tuple[Array, Array]  # [B, L, D] and the lengths [B] int32


class CrossModalPredictor(nn.Module):
    """Sources -> bi-modal sequence -> CNN -> LSTM -> prediction P, and target -> CNN of its own -> G.

    Sources of other lengths are averaged to the length of the first, so that they can be concatenated step by step; those
    of the same length, as in token-aligned data, stay as they are. P is a linear map of the LSTM's last state, G the mean
    of the target's latent steps.

    width: D of the bi-modal sequence. channels, kernels, strides: of both CNNs, which share nothing else.
    context: size of the LSTM.

    Parameters: `bimodal_hidden`, `bimodal`, `source_cnn`, `context`, `predictor`, and `target_cnn` with a target.
    """

    width: int = 128
    channels: int = 256
    kernels: tuple[int, ...] = (10, 8, 4, 4, 4)
    strides: tuple[int, ...] = (5, 4, 2, 2, 2)
    context: int = 128
    dropout: float | Array = 0.1
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
        hidden = nn.relu(Linear(self.width, self.dtype, name="bimodal_hidden")(joined))
        hidden = Dropout(self.dropout)(hidden, deterministic=not train)
        bimodal = Linear(self.width, self.dtype, name="bimodal")(hidden)  # F_ta
        latent, latent_length = self._cnn("source_cnn")(bimodal, length)
        context = LSTM(self.context, self.dtype, name="context")(latent, latent_length)  # P_ta
        prediction = Linear(self.channels, self.dtype, name="predictor")(context)  # P_v
        if target is None:
            return prediction, None
        return prediction, masked_mean(*self._cnn("target_cnn")(*target))  # G_v

    def _cnn(self, name: str) -> ConvolutionStack:
        return ConvolutionStack(self.channels, self.kernels, self.strides, self.dtype, name=name)
