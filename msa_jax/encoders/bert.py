"""BERT as a Flax module; RoBERTa and XLM-R are the same with other positions.

*Papers*: Devlin et al. 2019, BERT: Pre-training of deep bidirectional transformers for language understanding. Liu et al.
2019, RoBERTa: A robustly optimized BERT pretraining approach. Conneau et al. 2020, Unsupervised cross-lingual
representation learning at scale (XLM-R).

*Deviations and why*: what a token attends to is given by segments, not by a 0/1 mask, so that several utterances can
share one row: their tokens never see each other, and the hidden states equal those of one utterance per row. RoBERTa's
positions are the places in the utterance; transformers counts the tokens that are not "<pad>", so where a text itself has a
"<pad>" written in it, the tokens behind stand one position further here. Everything else is as the published weights were
trained (LayerNorm after each residual sum, exact GELU): hidden states match PyTorch's to about 1e-5.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.encoders.bert_config import BertConfig
from msa_jax.errors import InputError
from msa_jax.layers.dense import Linear
from msa_jax.layers.dropout import Dropout, mask_key

Array = jax.Array
Params = Mapping[str, Any]

_normal = nn.initializers.normal(0.02)


def _exact_gelu(x: Array) -> Array:
    # x * Phi(x) through erf, as PyTorch computes it; jax.nn.gelu goes through erfc, which is slower.
    return 0.5 * x * (1.0 + jax.lax.erf(x * np.sqrt(0.5).astype(x.dtype)))


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": _exact_gelu,
    "gelu_new": functools.partial(nn.gelu, approximate=True),
    "relu": nn.relu,
}


def _dense(features: int, dtype: jnp.dtype) -> Linear:
    return Linear(features, dtype, _normal, nn.initializers.zeros)


def _norm(config: BertConfig, dtype: jnp.dtype) -> nn.LayerNorm:
    # Statistics in float32 whatever the dtype; the two-pass variance, since E[x^2] - E[x]^2 cancels.
    return nn.LayerNorm(config.layer_norm_eps, dtype=dtype, use_fast_variance=False)


class _Embeddings(nn.Module):
    config: BertConfig
    dtype: jnp.dtype

    def setup(self):
        c = self.config
        # Float32 up to the norm: casting the tables would touch every word of the vocabulary, forward and backward.
        self.word = nn.Embed(c.vocab_size, c.hidden_size, embedding_init=_normal)
        self.position = nn.Embed(c.max_positions, c.hidden_size, embedding_init=_normal)
        self.token_type = nn.Embed(c.type_vocab_size, c.hidden_size, embedding_init=_normal)
        self.norm = _norm(c, self.dtype)
        self.dropout = Dropout(c.hidden_dropout)

    def __call__(self, ids: Array, positions: Array | None, token_types: Array | None, deterministic: bool) -> Array:
        c = self.config
        if positions is None:
            positions = jnp.arange(ids.shape[1])[None]  # [1, T]
        if c.first_position:
            positions = jnp.where(ids == c.pad_id, c.first_position - 1, positions + c.first_position)
        if token_types is None:
            token_types = jnp.zeros((1, 1), jnp.int32)
        embedded = self.word(ids) + self.position(positions) + self.token_type(token_types)
        return self.dropout(self.norm(embedded), deterministic)


class _Attention(nn.Module):
    config: BertConfig
    dtype: jnp.dtype

    def setup(self):
        width = self.config.hidden_size
        self.query, self.key, self.value = (_dense(width, self.dtype) for _ in range(3))
        self.output = _dense(width, self.dtype)
        self.dropout = Dropout(self.config.attention_dropout)

    def __call__(self, x: Array, visible: Array, deterministic: bool, at: Array | None = None) -> Array:
        """x [B * T, D], visible [B, 1, T, T] bool -> [B * T, D]; with `at` [S], places in B * T, of those alone [S, D]"""
        length = visible.shape[-1]
        heads = self.config.num_heads
        scale = (self.config.hidden_size // heads) ** -0.5

        def split(projected: Array, length: int = length) -> Array:
            return projected.reshape(-1, length, heads, projected.shape[-1] // heads).transpose(
                0, 2, 1, 3
            )  # [B, H, T, d]

        key, value = split(self.key(x)), split(self.value(x))
        if at is None:
            query = split(self.query(x) * scale)
        else:  # a row of keys for each of the queries
            query = split(self.query(x[at]) * scale, 1)
            row = at // length
            key, value, visible = key[row], value[row], visible[row, :, at % length][:, :, None]
        scores = jnp.einsum("bhqd,bhkd->bhqk", query, key, preferred_element_type=jnp.float32)
        # Every token sees at least itself, so no softmax is empty and hidden tokens weigh exactly 0.
        weights = nn.softmax(jnp.where(visible, scores, jnp.finfo(jnp.float32).min), axis=-1).astype(self.dtype)
        mixed = jnp.einsum("bhqk,bhkd->bhqd", self.dropout(weights, deterministic), value)
        return self.output(mixed.transpose(0, 2, 1, 3).reshape(-1, x.shape[-1]))


class _Layer(nn.Module):
    config: BertConfig
    dtype: jnp.dtype

    def setup(self):
        c = self.config
        self.attention = _Attention(c, self.dtype)
        self.attention_norm = _norm(c, self.dtype)
        self.intermediate = _dense(c.intermediate_size, self.dtype)
        self.output = _dense(c.hidden_size, self.dtype)
        self.output_norm = _norm(c, self.dtype)
        self.dropout = Dropout(c.hidden_dropout)

    def __call__(self, x: Array, visible: Array, deterministic: bool, at: Array | None = None) -> Array:
        """As of `_Attention`."""
        attended = self.dropout(self.attention(x, visible, deterministic, at), deterministic)
        x = self.attention_norm((x if at is None else x[at]) + attended)
        transformed = self.output(_ACTIVATIONS[self.config.hidden_act](self.intermediate(x)))
        return self.output_norm(x + self.dropout(transformed, deterministic))


class Bert(nn.Module):
    """The encoder. Parameters are float32, computation in `dtype`, softmax and LayerNorm statistics in float32.

    `__call__` is `embed`, `encode` and `pool` in one; call them one by one to put something between. In training
    (`deterministic=False`) dropout draws from the "dropout" random collection. The parameters of the layers are `layer_0`,
    `layer_1`, ...

    remat: in a backward pass compute a layer again from its input instead of keeping what it computed: one more forward
    pass, for memory that grows with the layers by their inputs alone. Results are the same.
    """

    config: BertConfig
    dtype: jnp.dtype = jnp.float32
    use_pooler: bool = False
    remat: bool = False

    def setup(self):
        self.embeddings = _Embeddings(self.config, self.dtype)
        if self.use_pooler:
            self.pooler = _dense(self.config.hidden_size, self.dtype)

    def __call__(
        self,
        ids: Array,
        *,
        segments: Array,
        positions: Array | None = None,
        token_types: Array | None = None,
        padding_reads: bool = False,
        at: Array | None = None,
        deterministic: bool,
    ) -> dict[str, Array]:
        """Hidden states of tokens.

        Args:
          ids: [B, T] int32 in [0, vocab_size); an id beyond gives NaN.
          segments: [B, T] int32. 0 is padding; a token attends exactly to the tokens of its own segment in its row. An
            attention mask of 0 and 1 is one segment per row.
          positions: [B, T] int32 in [0, max_tokens), the place of each token in its utterance; 0, 1, ... along the
            row by default, so packed rows must give them. RoBERTa's offset is added here, not by the caller.
          token_types: [B, T] int32; all 0 by default.
          padding_reads: padding attends to the tokens of segment 1, as a PyTorch BERT's does, and not to padding; only
            the states of padding change.
          at: [S] int32, places in B * T whose states are wanted and no others.
          deterministic: no dropout.

        Returns:
          `hidden` [B, T, D], finite but meaningless at padding; with `at` instead `states` [S, D], for which the last
          layer computes those places alone. With `use_pooler`, `pooled` [B, D], from the first token of each row; with
          `at` [S, D], from the states.

        Raises:
          InputError: rows longer than `max_tokens` of the config without `positions`.
        """
        embedded = self.embed(ids, positions=positions, token_types=token_types, deterministic=deterministic)
        states = self.encode(embedded, segments, deterministic, padding_reads=padding_reads, at=at)
        found = {"hidden": states} if at is None else {"states": states}
        first = states[:, 0] if at is None else states
        return {**found, "pooled": self.pool(first)} if self.use_pooler else found

    def embed(
        self,
        ids: Array,
        *,
        positions: Array | None = None,
        token_types: Array | None = None,
        deterministic: bool,
    ) -> Array:
        """ids [B, T] -> [B, T, D], the input of the first layer: normalised and dropped out."""
        if positions is None and ids.shape[1] > self.config.max_tokens:
            raise InputError(f"rows of {ids.shape[1]} tokens; this BERT has {self.config.max_tokens} positions")
        return self.embeddings(ids, positions, token_types, deterministic)

    def encode(
        self,
        embedded: Array,
        segments: Array,
        deterministic: bool,
        *,
        padding_reads: bool = False,
        at: Array | None = None,
    ) -> Array:
        """embedded [B, T, D], segments [B, T] -> states of the last layer [B, T, D]; with `at` [S], of those alone."""
        # Padding is a segment like the others: it sees itself, so that its softmax is finite, and nothing sees it.
        reader = jnp.where(segments == 0, 1, segments) if padding_reads else segments
        visible = jnp.asarray(reader[:, :, None] == segments[:, None, :])[:, None]  # [B, 1, T, T]
        # Between attentions rows do not matter, and on CPU layers of [B * T, D] are 3 to 5 % faster than of [B, T, D].
        states = self._run_layers(embedded.reshape(-1, embedded.shape[-1]), visible, deterministic, at)
        return states.reshape(embedded.shape) if at is None else states

    def _run_layers(self, x: Array, visible: Array, deterministic: bool, at: Array | None) -> Array:
        """x [B * T, D] -> [B * T, D]; with `at` [S] -> [S, D], where the last layer computes those places alone."""
        number, layer = self.config.num_layers, _Layer(self.config, self.dtype, parent=None)
        if self.is_initializing():
            keys = jax.random.split(self.make_rng("params"), number)
            made = jax.vmap(lambda key: layer.init(key, x, visible, True)["params"])(keys)
            for index in range(number):
                self.put_variable("params", f"layer_{index}", jax.tree.map(lambda leaf, index=index: leaf[index], made))
        draws = not deterministic and self.has_rng("dropout")
        keys = jax.random.split(mask_key(self.make_rng("dropout")), number) if draws else None

        def run(params: Params, x: Array, key: Array | None, at: Array | None = None) -> Array:
            rngs = {"dropout": key} if draws else None
            return layer.apply({"params": params}, x, visible, deterministic, at, rngs=rngs)

        # One function, which the program holds once and calls for each layer.
        alone = jax.checkpoint(jax.jit(run)) if self.remat else jax.jit(run)
        for index in range(number):
            places = () if at is None or index < number - 1 else (at,)
            x = alone(self.variables["params"][f"layer_{index}"], x, keys[index] if draws else None, *places)
        return x

    def pool(self, first: Array) -> Array:
        """States of [CLS] tokens [..., D] -> [..., D] in (-1, 1); needs `use_pooler`."""
        return nn.tanh(self.pooler(first))
