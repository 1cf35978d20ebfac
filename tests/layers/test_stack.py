"""Layers of one kind under one name, and apart under their numbers."""

import numpy as np
import pytest

from msa_jax.layers.stack import is_stacked, layer_path, stack, unstack


def _flat():
    rng = np.random.default_rng(0)
    return {
        "bert/layers/attention/query/kernel": rng.standard_normal((3, 4, 5)),
        "bert/layers/norm/scale": rng.standard_normal((3, 4)),
        "bert/embeddings/word/embedding": rng.standard_normal((7, 4)),
        "layers_of_another/kernel": rng.standard_normal((2, 2)),
    }


def test_names_of_stacked_parameters():
    assert is_stacked("a/layers/b")
    assert not is_stacked("a/layers_1/b")
    assert layer_path("a/layers/b", 2) == "a/layer_2/b"


def test_unstack_takes_the_layers_apart_and_stack_undoes_it():
    flat = _flat()
    apart = unstack(flat)
    assert len(apart) == 3 + 3 + 2
    np.testing.assert_array_equal(apart["bert/layer_1/norm/scale"], flat["bert/layers/norm/scale"][1])
    assert apart["layers_of_another/kernel"] is flat["layers_of_another/kernel"]
    again = stack(apart, flat)
    assert again.keys() == flat.keys()
    for path, value in flat.items():
        np.testing.assert_array_equal(again[path], value)


def test_a_layer_of_which_there_is_nothing_is_named():
    with pytest.raises(KeyError, match="bert/layer_0/norm/bias"):
        stack(unstack(_flat()), ["bert/layers/norm/bias"])
