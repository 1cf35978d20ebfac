"""The text encoder: padded, packed or features, all tokens or [CLS] alone, with adapted embeddings."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msa_jax.encoders.bert import BertConfig
from msa_jax.encoders.text import TextEncoder, states_as_features
from tests.encoders.bert_cases import assert_close, batch
from tests.quick import quick_jit

LENGTHS = (5, 3, 6, 1)
WIDTH = 8  # of packed rows


def _config(layers=2):
    return BertConfig(
        vocab_size=50, hidden_size=32, num_layers=layers, num_heads=4, intermediate_size=48, max_positions=16
    )


def _padded():
    ids, mask, _ = batch(_config(), LENGTHS)
    return {"ids": ids, "mask": mask}


def _packed():
    """The same utterances: 5 and 3 in one row, 6 and 1 in another, whose last slot stays empty."""
    padded = _padded()
    packed = {name: np.zeros((2, WIDTH), np.int32) for name in ("ids", "segments", "positions")}
    slot = np.zeros_like(padded["mask"])  # at padding: the slot of another utterance's token
    for utterance, (row, start, segment) in enumerate([(0, 0, 1), (0, 5, 2), (1, 0, 1), (1, 6, 2)]):
        place = np.s_[row, start : start + LENGTHS[utterance]]
        packed["ids"][place] = padded["ids"][utterance, : LENGTHS[utterance]]
        packed["segments"][place] = segment
        packed["positions"][place] = np.arange(LENGTHS[utterance])
        slot[utterance, : LENGTHS[utterance]] = row * WIDTH + start + np.arange(LENGTHS[utterance])
    return {**packed, "slot": slot, "mask": padded["mask"]}


@functools.cache
def _params(layers=2):
    """Far from the initialisation."""
    encoder = TextEncoder(_config(layers), pooler=True)
    shapes = jax.eval_shape(lambda: encoder.init(jax.random.key(0), _padded(), train=False)["params"])
    rng = np.random.default_rng(0)

    def fill(path, leaf):
        return 0.15 * rng.standard_normal(leaf.shape, np.float32) + np.float32(path[-1].key == "scale")

    return jax.tree_util.tree_map_with_path(fill, shapes)


def _states(text, *, layers=2, train=False, **fields):
    encoder = TextEncoder(_config(layers), pooler=True, **fields)
    rngs = {"dropout": jax.random.key(0)} if train else None
    return quick_jit(lambda params, text: encoder.apply({"params": params}, text, train=train, rngs=rngs))(
        _params(layers), text
    )


@pytest.mark.parametrize("layers", [pytest.param(1, marks=pytest.mark.slow), 2])
@pytest.mark.parametrize("text", [_padded(), _packed()], ids=["padded", "packed"])
def test_without_tokens_the_first_state_is_the_same(text, layers):
    full, first = _states(text, layers=layers), _states(text, layers=layers, tokens=False)
    assert first.keys() == full.keys() - {"hidden"}
    for name in ("first", "pooled"):
        assert_close(first[name], full[name], 1e-5)
    assert_close(full["first"], full["hidden"][:, 0], 1e-6)  # a program may compute it once for each
    np.testing.assert_array_equal(full["hidden"][text["mask"] == 0], 0)


@pytest.mark.parametrize("tokens", [True, False])
def test_packed_equals_padded(tokens):
    padded, packed = _states(_padded(), tokens=tokens), _states(_packed(), tokens=tokens)
    for name, value in padded.items():
        assert_close(packed[name], value, 1e-5)


@pytest.mark.parametrize("tokens", [True, False])
def test_features_made_of_states_give_the_same_states(tokens):
    states = _states(_packed(), tokens=tokens)
    features = states_as_features(states)
    assert features["features"].shape == (4, 6 if tokens else 1, 32)
    again = TextEncoder(32, pooler=True, tokens=tokens).apply({}, features, train=False)
    assert again.keys() == states.keys()
    for name, value in states.items():
        np.testing.assert_array_equal(again[name], value)


@pytest.mark.slow
def test_training_drops_and_evaluation_does_not():
    for tokens in (True, False):
        dropped = _states(_packed(), train=True, tokens=tokens)
        assert np.abs(dropped["first"] - _states(_packed(), tokens=tokens)["first"]).max() > 0.01


class _Adapted(nn.Module):
    """Values of tokens, through a layer of its own, times the embeddings where a 2-D mask of tokens allows it."""

    tokens: bool

    @nn.compact
    def __call__(self, text, values, chosen):
        own = nn.Dense(32, name="own")

        def adapt(embedded, spread):
            assert embedded.shape[:2] == text["ids"].shape
            return embedded + spread(chosen)[..., None] * nn.tanh(own(spread(values))) * embedded

        encoder = TextEncoder(_config(), tokens=self.tokens, name="text_encoder")
        return encoder(text, train=False, adapt=adapt)


@pytest.mark.slow
@pytest.mark.parametrize("tokens", [True, False])
def test_adapted_embeddings_packed_equal_padded_in_values_and_gradients(tokens):
    rng = np.random.default_rng(1)
    values = rng.standard_normal((4, 6, 3)).astype(np.float32)  # not 0 at padding
    chosen = rng.integers(0, 2, (4, 6)).astype(np.float32)
    network = _Adapted(tokens)
    params = {"text_encoder": {"bert": {k: v for k, v in _params()["bert"].items() if k != "pooler"}}}
    params["own"] = {"kernel": rng.standard_normal((3, 32)).astype(np.float32), "bias": np.ones(32, np.float32)}

    def run(text):
        def objective(params, values):
            states = network.apply({"params": params}, text, values, chosen)
            return (states["hidden" if tokens else "first"] ** 3).sum(), states["first"]

        return quick_jit(jax.grad(objective, argnums=(0, 1), has_aux=True))(params, values)

    (padded, of_values), first = run(_padded())
    (packed, of_values_packed), first_packed = run(_packed())
    assert_close(first_packed, first, 1e-5)
    assert np.abs(first - _states(_padded())["first"]).max() > 0.01
    assert_close(of_values_packed, of_values, 1e-5)
    np.testing.assert_array_equal(of_values[_padded()["mask"] == 0], 0)
    packed = flatten_dict(packed, sep="/")
    for path, value in flatten_dict(padded, sep="/").items():
        if not path.endswith("key/bias"):  # 0 but for rounding
            assert_close(packed[path], value, 1e-5)


def test_precomputed_states_cannot_be_adapted():
    features = {"features": jnp.ones((2, 3, 32)), "mask": jnp.ones((2, 3), jnp.int32)}
    with pytest.raises(ValueError, match="precomputed states cannot be adapted"):
        TextEncoder(32).apply({}, features, train=False, adapt=lambda embedded, spread: embedded)
