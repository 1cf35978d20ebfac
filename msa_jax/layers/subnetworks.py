"""Small networks that the fusion methods share: one embeds a vector of features, one gives the score, one is two layers."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.layers.dense import Linear
from msa_jax.layers.dropout import Dropout
from msa_jax.layers.normalisation import BatchNorm

Array = jax.Array


class FeatureSubnetwork(nn.Module):
    """The embedding of one feature vector: BatchNorm, dropout, three linear layers with ReLU (TFN, section 4.1).

    hidden: of every layer. dropout: in front of the first.

    Parameters: `norm`, `linear_1`, `linear_2`, `linear_3`.
    """

    hidden: int
    dropout: float | Array = 0.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, where: Array | None = None, *, train: bool) -> Array:
        """[B, d] -> [B, hidden], not negative. where: [B] bool, the samples that count; see `BatchNorm`."""
        x = BatchNorm(dtype=self.dtype, name="norm")(x, where, train=train)
        x = Dropout(self.dropout)(x, deterministic=not train)
        for layer in ("linear_1", "linear_2", "linear_3"):
            x = nn.relu(Linear(self.hidden, self.dtype, name=layer)(x))
        return x


class ScoreHead(nn.Module):
    """Dropout, two linear layers with ReLU, and a linear layer to one score (TFN, section 4.3).

    hidden: of both layers. dropout: in front of the first.

    Parameters: `linear_1`, `linear_2`, `score`.
    """

    hidden: int
    dropout: float | Array = 0.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> tuple[Array, Array]:
        """[B, d] -> the last hidden layer [B, hidden], and the score [B] float32, unbounded."""
        x = Dropout(self.dropout)(x, deterministic=not train)
        for layer in ("linear_1", "linear_2"):
            x = nn.relu(Linear(self.hidden, self.dtype, name=layer)(x))
        return x, Linear(1, jnp.float32, name="score")(x)[:, 0]


class Perceptron(nn.Module):
    """Two linear layers with ReLU and dropout between them: W_2 drop(relu(W_1 x)).

    hidden: of the layer between. size: of the result. dropout: of the layer between. output: type of the result, by default
    `dtype`; float32 for a score.

    Parameters: `hidden`, `output`.
    """

    hidden: int
    size: int
    dropout: float | Array = 0.0
    dtype: jnp.dtype = jnp.float32
    output: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """[..., d] -> [..., size]"""
        x = nn.relu(Linear(self.hidden, self.dtype, name="hidden")(x))
        x = Dropout(self.dropout)(x, deterministic=not train)
        return Linear(self.size, self.output or self.dtype, name="output")(x)


class FeatureScoreHead(nn.Module):
    """F -> F* = ReLU(W F + b) -> score: the head of a task whose features are compared (Self-MM, TETFN).

    size: of F*. dropout: of F. middle_layer: a second ReLU layer between F* and the score.

    Parameters: `feature`, `middle` with middle_layer, `score`.
    """

    size: int
    dropout: float | Array = 0.0
    middle_layer: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> tuple[Array, Array]:
        """[B, d] -> F* [B, size], score [B] float32."""
        x = Dropout(self.dropout)(x, deterministic=not train)
        feature = nn.relu(Linear(self.size, self.dtype, name="feature")(x))
        hidden = nn.relu(Linear(self.size, self.dtype, name="middle")(feature)) if self.middle_layer else feature
        return feature, Linear(1, jnp.float32, name="score")(hidden)[:, 0]


class ResidualScoreHead(nn.Module):
    """z + W2 dropout(relu(W1 z)), as wide as z, and a linear layer to one score (MulT, SPT).

    dropout: behind the ReLU.

    Parameters: `residual`, a `Perceptron`, and `score`.
    """

    dropout: float | Array = 0.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, z: Array, *, train: bool) -> tuple[Array, Array]:
        """[B, d] -> what the score is read off [B, d], and the score [B] float32, unbounded."""
        width = z.shape[-1]
        z = z + Perceptron(width, width, self.dropout, self.dtype, name="residual")(z, train=train)
        return z, Linear(1, jnp.float32, name="score")(z)[:, 0]
