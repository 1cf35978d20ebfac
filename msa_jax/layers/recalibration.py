"""The Modality Recalibration Module: every modality gates the features of every other."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.layers.dense import Linear
from msa_jax.layers.pooling import masked_mean

Array = jax.Array


class Recalibration(nn.Module):
    """Squeeze and excitation across modalities (SUGRM, Hwang and Kim, Findings of EACL 2023, section 3.2.1).

    S_s, the mean of modality s over time; Z = ReLU(W_z [S_a; S_t; S_v] + b_z), a bottleneck; E_s = W_s Z + b_s;
    the gate 2 sigmoid(E_s) multiplies every step of modality s, feature by feature. The paper begins with S_t; here the
    input of W_z is in the order of the sorted names: audio, text, vision.

    reduction: the bottleneck is so many times narrower than its input; 4 in the authors' code.
    include_padding: take the mean over all steps, padding included, as the authors' code does.
    """

    reduction: int = 4
    include_padding: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, sequences: Mapping[str, Array], length: Mapping[str, Array]
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Gates sequences.

        Args:
          sequences: {name: [B, L, d]}.
          length: {name: [B] int32 in [0, L]}, valid steps.

        Returns:
          The recalibrated sequences {name: [B, L, d]}, and the gates {name: [B, d]} in (0, 2).
        """
        sequences = dict(sorted(sequences.items()))  # jit sorts names too
        squeezed = [self._mean(value, length[name]) for name, value in sequences.items()]
        width = sum(value.shape[-1] for value in squeezed)
        bottleneck = Linear(max(width // self.reduction, 1), self.dtype, name="bottleneck")
        joint = nn.relu(bottleneck(jnp.concatenate(squeezed, -1)))  # Z
        gates = {
            name: 2 * nn.sigmoid(Linear(value.shape[-1], self.dtype, name=f"{name}_excitation")(joint))
            for name, value in sequences.items()
        }
        return {name: value.astype(self.dtype) * gates[name][:, None, :] for name, value in sequences.items()}, gates

    def _mean(self, frames: Array, length: Array) -> Array:
        """[B, L, d] -> [B, d]"""
        steps = jnp.full_like(length, frames.shape[1]) if self.include_padding else length
        return masked_mean(frames.astype(self.dtype), steps)
