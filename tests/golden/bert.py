"""The BERT of golden files: four heads, exact GELU, eps 1e-12, sizes and layers as its weights say."""

from typing import Any

import numpy as np

from msa_jax.encoders.bert import BertConfig
from tests.golden.copying import Arrays, part

HEADS = 4
_ANCHOR = "embeddings.word_embeddings.weight"
_LAYER = {
    "attention.self": "attention",
    "attention.output.dense": "attention/output",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "intermediate",
    "output.dense": "output",
    "output.LayerNorm": "output_norm",
}


def bert_prefix(arrays: Arrays) -> str:
    """What precedes BERT's own names in the names of a file's parameters, with its dot."""
    return next(name.removesuffix(_ANCHOR) for name in part(arrays, "param") if name.endswith(_ANCHOR))


def bert_config(arrays: Arrays) -> BertConfig:
    """The sizes of the BERT in a golden file."""
    prefix, params = bert_prefix(arrays), part(arrays, "param")
    own = {name.removeprefix(prefix): value for name, value in params.items() if name.startswith(prefix)}
    vocabulary, width = own[_ANCHOR].shape
    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_layers=1 + max(int(name.split(".")[2]) for name in own if name.startswith("encoder.layer.")),
        num_heads=HEADS,
        intermediate_size=own["encoder.layer.0.intermediate.dense.weight"].shape[0],
        max_positions=own["embeddings.position_embeddings.weight"].shape[0],
        type_vocab_size=own["embeddings.token_type_embeddings.weight"].shape[0],
        layer_norm_eps=1e-12,
        hidden_act="gelu",
    )


def bert_places(arrays: Arrays, ours: str = "text_encoder/bert", *, pooler: bool = False) -> dict[str, str | None]:
    """Where its modules lie in our network: {PyTorch module: our path}, for `tests.golden.copying`.

    ours: the path of our BERT. pooler: whether our network reads the pooled [CLS]; without, the pooler has no place.
    """
    prefix, layers = bert_prefix(arrays), bert_config(arrays).num_layers
    places: dict[str, str | None] = {
        f"{prefix}embeddings.{table}_embeddings": f"{ours}/embeddings/{table}"
        for table in ("word", "position", "token_type")
    }
    places[f"{prefix}embeddings.LayerNorm"] = f"{ours}/embeddings/norm"
    places[f"{prefix}pooler.dense"] = f"{ours}/pooler" if pooler else None
    for layer in range(layers):
        for theirs, path in _LAYER.items():
            places[f"{prefix}encoder.layer.{layer}.{theirs}"] = f"{ours}/layer_{layer}/{path}"
    return places


def bert_text(arrays: Arrays) -> dict[str, Any]:
    """The batch's text, padded ids and mask, from MMSA's `text_bert` [B, 3, T]: ids, mask, token types.

    Raises:
      ValueError: token types other than 0, which our batches do not carry.
    """
    ids, mask, types = (np.asarray(arrays["input/text_bert"][:, row], np.int32) for row in range(3))
    if types.any():
        raise ValueError("input/text_bert: token types other than 0")
    return {"ids": ids, "mask": mask}
