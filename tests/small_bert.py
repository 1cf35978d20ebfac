"""A BERT of random weights with a vocabulary, as a folder: what a dataset is trained with where no real encoder is at hand."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from msa_jax.data.tokenize import Tokenizer
from msa_jax.encoders.bert import Bert, BertConfig
from msa_jax.encoders.bert_weights import _layout
from msa_jax.layers.stack import unstack


def write_small_bert(folder: Path, tokenizer: Tokenizer | None, **sizes: Any) -> Path:
    """Writes one of width 32, for texts of at most 12 tokens unless `sizes` (of BertConfig) say otherwise. Without a
    tokenizer the folder has no vocabulary, and `vocab_size` must be given."""
    known = {} if tokenizer is None else {"vocab_size": tokenizer.vocab_size}
    small = {"hidden_size": 32, "num_layers": 1, "num_heads": 1, "intermediate_size": 32, "max_positions": 12}
    config = BertConfig(**{**small, **known, **sizes})
    ones = jnp.ones((1, 2), jnp.int32)
    shapes = jax.eval_shape(
        lambda: Bert(config).init(jax.random.key(0), ones, segments=ones, deterministic=True)["params"]
    )
    rng = np.random.default_rng(0)
    save_bert(config, jax.tree.map(lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32), shapes), folder)
    if tokenizer is not None:
        tokenizer.save(folder)
    return folder


def save_bert(config: BertConfig, params: Mapping[str, Any], folder: Path) -> None:
    """Writes `config.json` and `model.safetensors` that Hugging Face's BertModel or RobertaModel and `load_bert` read.

    config, params: of `Bert(config).init(...)["params"]`, with or without a pooler. folder: made where it does not exist.
    """
    apart = unstack({path: np.asarray(value, np.float32) for path, value in flatten_dict(params, sep="/").items()})
    tensors = {
        weight.name: np.ascontiguousarray(apart[weight.path].T if weight.is_kernel else apart[weight.path])
        for weight in _layout(config)
        if "pooler" in params or not weight.path.startswith("pooler")
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config.to_dict(), indent=2, sort_keys=True) + "\n")
