"""BERT as a Flax module; RoBERTa and XLM-R are the same with other positions.

*Papers*: Devlin et al. 2019, BERT: Pre-training of deep bidirectional transformers for language understanding. Liu et al.
2019, RoBERTa: A robustly optimized BERT pretraining approach. Conneau et al. 2020, Unsupervised cross-lingual
representation learning at scale (XLM-R).

*Deviations and why*: what a token attends to is given by segments, not by a 0/1 mask, so that several utterances can
share one row: their tokens never see each other, and the hidden states equal those of one utterance per row. Everything
else is as the published weights were trained (LayerNorm after each residual sum, exact GELU): hidden states match
PyTorch's to about 1e-5.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.errors import InputError
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
# Names of the same three functions in Hugging Face configs.
_ACTIVATION_ALIASES = {"gelu_python": "gelu", "gelu_pytorch_tanh": "gelu_new", "gelu_fast": "gelu_new"}


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """Sizes and rates of a BERT; the defaults are those of BERT-base, uncased English.

    max_positions: rows of the table of positions. first_position: the row of an utterance's first token, 0 in BERT and
    pad_id + 1 in RoBERTa and XLM-R, whose padding has row pad_id.

    Raises:
      InputError: a size that is not positive, a width that the heads do not divide, an unknown activation, a rate
        outside [0, 1), or a first position that is neither 0 nor pad_id + 1.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    intermediate_size: int = 3072
    max_positions: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    hidden_act: str = "gelu"
    pad_id: int = 0
    first_position: int = 0

    def __post_init__(self):
        sizes = ("vocab_size", "hidden_size", "num_layers", "num_heads", "intermediate_size", "max_positions")
        for name in (*sizes, "type_vocab_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"BERT config: {name} is {value!r}; expected a positive whole number")
        if self.hidden_size % self.num_heads:
            raise InputError(
                f"BERT config: hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}"
            )
        if not isinstance(self.hidden_act, str) or self.hidden_act not in _ACTIVATIONS:
            raise InputError(f"BERT config: hidden_act is {self.hidden_act!r}; expected {', '.join(_ACTIVATIONS)}")
        for name in ("hidden_dropout", "attention_dropout"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 <= value < 1:
                raise InputError(f"BERT config: {name} is {value!r}; expected a number in [0, 1)")
        if not isinstance(self.layer_norm_eps, (int, float)) or not self.layer_norm_eps > 0:
            raise InputError(f"BERT config: layer_norm_eps is {self.layer_norm_eps!r}; expected a positive number")
        if not isinstance(self.pad_id, int) or isinstance(self.pad_id, bool) or self.pad_id < 0:
            raise InputError(f"BERT config: pad_id is {self.pad_id!r}; expected a whole number, at least 0")
        if self.first_position not in (0, self.pad_id + 1):
            raise InputError(f"BERT config: first_position is {self.first_position!r}; expected 0 or {self.pad_id + 1}")
        if self.max_tokens < 1:
            raise InputError(
                f"BERT config: max_positions is {self.max_positions}; expected more than {self.first_position}, "
                "where positions begin"
            )

    @property
    def max_tokens(self) -> int:
        """Tokens of the longest utterance that there are positions for."""
        return self.max_positions - self.first_position

    @classmethod
    def from_dict(cls, hugging_face: Mapping[str, Any]) -> "BertConfig":
        """The config in a Hugging Face `config.json`.

        Raises:
          InputError: another architecture than BERT, RoBERTa and XLM-R, relative positions, a decoder, or a size that is
            missing.
        """
        kind = hugging_face.get("model_type")
        if kind is None:  # old configs name no type; some name the classes they were saved from
            kind = _kind_of_class(hugging_face.get("architectures"))
        if kind not in MODEL_TYPES:
            raise InputError(f"model_type is {kind!r}; expected an encoder of type {', '.join(MODEL_TYPES)}")
        if (positions := hugging_face.get("position_embedding_type", "absolute")) != "absolute":
            raise InputError(f"position_embedding_type is {positions!r}; only 'absolute' is supported")
        if hugging_face.get("is_decoder") or hugging_face.get("add_cross_attention"):
            raise InputError("is_decoder or add_cross_attention is set; only encoders are supported")
        fields = {}
        for name, theirs in _HUGGING_FACE_NAMES.items():
            if theirs in hugging_face:
                fields[name] = hugging_face[theirs]
            elif name in _REQUIRED:
                raise InputError(f"{theirs} is missing; expected a BERT config")
        is_roberta = kind != "bert"
        if fields.get("pad_id") is None:
            fields["pad_id"] = int(is_roberta)
        if is_roberta and isinstance(fields["pad_id"], int):
            fields["first_position"] = fields["pad_id"] + 1
        act = fields.get("hidden_act")
        if isinstance(act, str):
            fields["hidden_act"] = _ACTIVATION_ALIASES.get(act, act)
        return cls(**fields)

    def to_dict(self) -> dict[str, Any]:
        """The same config in the words of a Hugging Face `config.json`."""
        named = {theirs: getattr(self, name) for name, theirs in _HUGGING_FACE_NAMES.items()}
        kind = {"architectures": ["BertModel"], "model_type": "bert"}
        if self.first_position:
            kind = {"architectures": ["RobertaModel"], "model_type": "roberta"}
        return {**kind, "position_embedding_type": "absolute", **named}


MODEL_TYPES = ("bert", "roberta", "xlm-roberta")  # of Hugging Face configs, as `BertConfig` describes them


def _kind_of_class(classes: Any) -> Any:
    """The model_type of the first class name, such as RobertaForMaskedLM; the name itself if it is of another kind."""
    if not classes:
        return "bert"
    first = classes[0] if isinstance(classes, list) else classes
    found = re.match("(Bert|Roberta|XLMRoberta)(Model|LMHead|For)", str(first))
    return {"Bert": "bert", "Roberta": "roberta", "XLMRoberta": "xlm-roberta"}[found[1]] if found else first


_REQUIRED = ("vocab_size", "hidden_size", "num_layers", "num_heads", "intermediate_size", "max_positions")
_HUGGING_FACE_NAMES = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "max_positions": "max_position_embeddings",
    "type_vocab_size": "type_vocab_size",
    "layer_norm_eps": "layer_norm_eps",
    "hidden_dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "hidden_act": "hidden_act",
    "pad_id": "pad_token_id",
}


def _dense(features: int, dtype: jnp.dtype, name: str | None = None) -> nn.Dense:
    return nn.Dense(features, dtype=dtype, kernel_init=_normal, name=name)


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


class _Layers(nn.Module):
    """All layers, from parameters that lie stacked: those of `_Layer`, [L, ...]. See `Bert.scan_layers`."""

    config: BertConfig
    dtype: jnp.dtype
    remat: bool
    scan_layers: bool

    @nn.compact
    def __call__(self, x: Array, visible: Array, deterministic: bool, at: Array | None = None) -> Array:
        """x [B * T, D] -> [B * T, D]; with `at` [S] -> [S, D], where the last layer computes those places alone."""
        number = self.config.num_layers
        layer = _Layer(self.config, self.dtype, parent=None)
        if self.is_initializing():
            keys = jax.random.split(self.make_rng("params"), number)
            made = jax.vmap(lambda key: layer.init(key, x, visible, True)["params"])(keys)
            for name, value in made.items():
                self.put_variable("params", name, value)
        draws = not deterministic and self.has_rng("dropout")
        keys = jax.random.split(mask_key(self.make_rng("dropout")), number) if draws else None

        def run(params: Params, x: Array, key: Array | None, at: Array | None = None) -> Array:
            rngs = {"dropout": key} if draws else None
            return layer.apply({"params": params}, x, visible, deterministic, at, rngs=rngs)

        looped = number - (at is not None) if self.scan_layers else 0
        sizes = [looped] * (looped > 0) + [1] * (number - looped)
        parts = iter(_parts(self.variables["params"], sizes))
        if looped:
            # The loop stores what the backward pass needs: that costs more than to compute all but products again.
            saved = None if self.remat else jax.checkpoint_policies.dots_saveable
            step = jax.checkpoint(run, policy=saved, prevent_cse=False)
            inputs = (next(parts), keys[:looped] if draws else None)
            x, _ = jax.lax.scan(lambda x, given: (step(given[0], x, given[1]), None), x, inputs)
        # One function, which the program holds once and calls for each layer.
        alone = jax.jit(lambda part, *given: run(jax.tree.map(lambda leaf: leaf[0], part), *given))
        alone = jax.checkpoint(alone) if self.remat else alone
        for index in range(looped, number):
            places = () if at is None or index < number - 1 else (at,)
            x = alone(next(parts), x, keys[index] if draws else None, *places)
        return x


def _parts(stacked: Params, sizes: Sequence[int]) -> list[Params]:
    """Cuts leaves [L, ...] into ones of these sizes. Backward their gradients are joined, not added up."""
    cut = [jax.lax.split(leaf, sizes) for leaf in jax.tree.leaves(stacked)]
    return [jax.tree.unflatten(jax.tree.structure(stacked), part) for part in zip(*cut, strict=True)]


class Bert(nn.Module):
    """The encoder. Parameters are float32, computation in `dtype`, softmax and LayerNorm statistics in float32.

    `__call__` is `embed`, `encode` and `pool` in one; call them one by one to put something between. In training
    (`deterministic=False`) dropout draws from the "dropout" random collection. The parameters of the layers lie stacked
    under `layers`, see `msa_jax.layers.stack`.

    remat: in a backward pass compute a layer again from its input instead of keeping what it computed: one more forward
    pass, for memory that grows with the layers by their inputs alone. Results are the same.
    scan_layers: run the layers as a loop, which compiles faster. On CPU a step is then some percent slower: the loop copies
    the weights of each layer out of the stack, and what the backward pass needs into one.
    """

    config: BertConfig
    dtype: jnp.dtype = jnp.float32
    use_pooler: bool = False
    remat: bool = False
    scan_layers: bool = False

    def setup(self):
        self.embeddings = _Embeddings(self.config, self.dtype)
        self.layers = _Layers(self.config, self.dtype, self.remat, self.scan_layers)
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
        states = self.layers(embedded.reshape(-1, embedded.shape[-1]), visible, deterministic, at)
        return states.reshape(embedded.shape) if at is None else states

    def pool(self, first: Array) -> Array:
        """States of [CLS] tokens [..., D] -> [..., D] in (-1, 1); needs `use_pooler`."""
        return nn.tanh(self.pooler(first))
