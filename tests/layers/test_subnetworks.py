"""The sub-networks of the fusion methods: sizes, samples that do not count, dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.encoders.subnetworks import TextSubnetwork
from msa_jax.layers.normalisation import COLLECTION
from msa_jax.layers.subnetworks import FeatureSubnetwork, ScoreHead

ROWS, WIDTH, HIDDEN = 6, 5, 7


def count(params) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def features(rows: int = ROWS) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=(rows, WIDTH)), jnp.float32)


def feature_network(**options):
    module = FeatureSubnetwork(HIDDEN, **options)
    return module, module.init(jax.random.key(0), features(), train=False)


def test_the_feature_sub_network_has_a_norm_and_three_layers():
    _, variables = feature_network()
    assert count(variables["params"]) == 2 * WIDTH + (WIDTH + 1) * HIDDEN + 2 * (HIDDEN + 1) * HIDDEN
    assert {name: value.shape for name, value in variables[COLLECTION]["norm"].items()} == {"mean": (5,), "var": (5,)}


def test_the_feature_sub_network_is_norm_then_three_times_linear_and_relu():
    module, variables = feature_network()
    x = np.asarray(features())
    hidden = x / np.sqrt(1 + 1e-5)  # fresh running statistics, scale and bias
    for name in ("linear_1", "linear_2", "linear_3"):
        layer = jax.tree.map(np.asarray, variables["params"][name])
        hidden = np.maximum(hidden @ layer["kernel"] + layer["bias"], 0)
    np.testing.assert_allclose(module.apply(variables, x, train=False), hidden, atol=1e-6)


@pytest.mark.parametrize("fill", [1e4, np.nan])
def test_samples_that_do_not_count_change_no_embedding_of_the_others(fill):
    module, variables = feature_network()
    counts = np.array([1, 1, 0, 1, 0, 1], bool)
    x = np.where(counts[:, None], features(), fill)
    out, moved = module.apply(variables, x, jnp.asarray(counts), train=True, mutable=[COLLECTION])
    alone, expected = module.apply(variables, x[counts], train=True, mutable=[COLLECTION])
    np.testing.assert_allclose(out[counts], alone, rtol=1e-5, atol=1e-6)
    for name, value in expected[COLLECTION]["norm"].items():
        np.testing.assert_allclose(moved[COLLECTION]["norm"][name], value, rtol=1e-5, atol=1e-7)


def test_dropout_acts_in_training_alone_and_on_the_normalised_features():
    module, variables = feature_network(dropout=0.999)
    plain, _ = feature_network()
    np.testing.assert_array_equal(
        module.apply(variables, features(), train=False), plain.apply(variables, features(), train=False)
    )
    out, _ = module.apply(variables, features(), train=True, mutable=[COLLECTION], rngs={"dropout": jax.random.key(1)})
    nothing = plain.apply(variables, jnp.zeros((ROWS, WIDTH)), train=False)  # as if every feature were dropped
    np.testing.assert_allclose(out, nothing, atol=1e-6)


def test_the_head_gives_its_last_hidden_layer_and_one_score():
    head = ScoreHead(HIDDEN)
    variables = head.init(jax.random.key(0), features(), train=False)
    assert count(variables["params"]) == (WIDTH + 1) * HIDDEN + (HIDDEN + 1) * HIDDEN + HIDDEN + 1
    hidden, score = head.apply(variables, features(), train=False)
    assert (hidden.shape, score.shape, score.dtype) == ((ROWS, HIDDEN), (ROWS,), jnp.float32)
    last = variables["params"]["score"]
    np.testing.assert_allclose(score, hidden @ last["kernel"][:, 0] + last["bias"].item(), rtol=1e-5)
    assert head.apply(variables, features(1), train=False)[1].shape == (1,)


def test_the_text_sub_network_reads_tokens_up_to_the_length():
    module = TextSubnetwork(8, HIDDEN)
    tokens = jnp.asarray(np.random.default_rng(1).normal(size=(3, 4, WIDTH)), jnp.float32)
    length = np.array([4, 2, 1], np.int32)
    variables = module.init(jax.random.key(0), tokens, length, train=False)
    assert count(variables["params"]) == 4 * 8 * (WIDTH + 8 + 2) + 9 * HIDDEN
    out = module.apply(variables, tokens, length, train=False)
    assert out.shape == (3, HIDDEN)
    longer = jnp.pad(tokens, [(0, 0), (0, 3), (0, 0)], constant_values=7.0)
    np.testing.assert_allclose(module.apply(variables, longer, length, train=False), out, atol=1e-6)
    alone = module.apply(variables, tokens[1:2, :2], length[1:2], train=False)
    np.testing.assert_allclose(out[1:2], alone, atol=1e-6)
