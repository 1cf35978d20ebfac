"""A small random BERT and a batch for it, and PyTorch's answer to the same."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msa_jax.encoders.bert_weights import _layout
from msa_jax.layers.stack import unstack

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


def batch(config, lengths, seed=0):
    """ids, mask, token types [B, T] int32 with these numbers of tokens."""
    rng = np.random.default_rng(seed)
    mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int32)
    ids = rng.integers(1, config.vocab_size, mask.shape, dtype=np.int32) * mask
    types = rng.integers(0, config.type_vocab_size, mask.shape, dtype=np.int32) * mask
    return ids, mask, types


def torch_names(config, tree: Mapping) -> dict[str, np.ndarray]:
    """Parameters or gradients in PyTorch's names and orientation; key biases, whose gradient is 0, left out."""
    named = {}
    apart = unstack(flatten_dict(tree, sep="/"))
    for weight in _layout(config):
        value = apart.get(weight.path)
        if value is not None and not weight.name.endswith("key.bias"):
            named[weight.name] = np.asarray(value).T if weight.is_kernel else np.asarray(value)
    return named


def torch_bert(folder):
    """transformers' BertModel of a folder, in evaluation mode."""
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers.BertModel.from_pretrained(folder, attn_implementation="eager").eval()


def assert_close(ours, theirs, tolerance):
    """Within `tolerance` of the largest entry: gradients of different parameters differ by orders of magnitude."""
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=tolerance * max(np.abs(theirs).max(), 1e-6))
