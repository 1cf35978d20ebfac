import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msa_jax.encoders.bert import Bert, BertConfig
from msa_jax.encoders.bert_weights import load_bert
from msa_jax.errors import InputError
from tests.encoders.bert_cases import GOLDEN, assert_close, batch, torch_bert, torch_names
from tests.paths import minilm
from tests.quick import quick_jit
from tests.small_bert import save_bert

TINY = BertConfig(vocab_size=50, hidden_size=32, num_layers=2, num_heads=4, intermediate_size=48, max_positions=16)


@functools.partial(jax.jit, static_argnums=0, static_argnames=("pooler", "dtype"))
def _init(config, *, pooler=False, dtype=jnp.float32):
    ones = jnp.ones((1, 4), jnp.int32)
    bert = Bert(config, dtype=dtype, use_pooler=pooler)
    return bert.init(jax.random.key(0), ones, segments=ones, deterministic=True)["params"]


def _random_params(config, *, pooler=False, seed=0):
    """Far from the initialisation, where attention is nearly uniform and biases are 0."""
    rng = np.random.default_rng(seed)

    def fill(path, leaf):
        return (0.15 * rng.standard_normal(leaf.shape) + (path[-1].key == "scale")).astype(np.float32)

    return jax.tree_util.tree_map_with_path(fill, jax.eval_shape(functools.partial(_init, config, pooler=pooler)))


@functools.partial(jax.jit, static_argnums=0, static_argnames=("deterministic", "dtype"))
def _hidden(config, params, ids, segments, *, deterministic=True, dtype=jnp.float32, positions=None, rngs=None):
    bert = Bert(config, dtype=dtype)
    out = bert.apply(
        {"params": params}, ids, segments=segments, positions=positions, deterministic=deterministic, rngs=rngs
    )
    return out["hidden"]


# Parity with PyTorch


def test_hidden_states_pooler_and_gradients_equal_pytorch_s_golden_arrays():
    config, params = load_bert(GOLDEN / "bert")
    with np.load(GOLDEN / "bert" / "expected.npz") as file:
        expected = dict(file)

    def objective(params):
        out = Bert(config, use_pooler=True).apply(
            {"params": params},
            expected["ids"],
            segments=expected["mask"],
            token_types=expected["token_types"],
            deterministic=True,
        )
        value = (out["hidden"] * expected["toward_hidden"]).sum() + (out["pooled"] * expected["toward_pooled"]).sum()
        return value, out

    gradients, out = jax.jit(jax.grad(objective, has_aux=True))(params)
    valid = expected["mask"].astype(bool)
    assert_close(out["hidden"][valid], expected["hidden"][valid], 1e-5)
    assert_close(out["pooled"], expected["pooled"], 1e-5)
    named = torch_names(config, gradients)
    assert len(named) == 2 * 16 + 5 + 2 - 2
    for name, gradient in named.items():
        assert_close(gradient, expected[f"gradient/{name}"], 1e-5)


def _assert_equals_torch(config, params, folder, lengths, *, tolerance):
    torch = pytest.importorskip("torch")
    model = torch_bert(folder)
    ids, mask, types = batch(config, lengths)
    rng = np.random.default_rng(1)
    toward = rng.standard_normal((*ids.shape, config.hidden_size)).astype(np.float32) * mask[..., None]
    toward_pooled = rng.standard_normal((len(ids), config.hidden_size)).astype(np.float32)
    theirs = model(
        torch.tensor(ids).long(), attention_mask=torch.tensor(mask), token_type_ids=torch.tensor(types).long()
    )
    total = (theirs.last_hidden_state * torch.tensor(toward)).sum()
    (total + (theirs.pooler_output * torch.tensor(toward_pooled)).sum()).backward()

    @jax.jit
    def run(params):
        def objective(params):
            out = Bert(config, use_pooler=True).apply(
                {"params": params}, ids, segments=mask, token_types=types, deterministic=True
            )
            return (out["hidden"] * toward).sum() + (out["pooled"] * toward_pooled).sum(), out

        return jax.grad(objective, has_aux=True)(params)

    gradients, out = run(params)
    valid = mask.astype(bool)
    assert_close(out["hidden"][valid], theirs.last_hidden_state.detach().numpy()[valid], tolerance)
    assert_close(out["pooled"], theirs.pooler_output.detach().numpy(), tolerance)
    expected = {name: value.grad.numpy() for name, value in model.named_parameters()}
    named = torch_names(config, gradients)
    assert set(expected) == {*named, *(f"encoder.layer.{i}.attention.self.key.bias" for i in range(config.num_layers))}
    for name, gradient in named.items():
        assert_close(gradient, expected[name], tolerance)


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_a_random_bert_equals_pytorch_s(tmp_path, activation):
    config = dataclasses.replace(TINY, hidden_act=activation)
    params = _random_params(config, pooler=True)
    save_bert(config, params, tmp_path)
    _assert_equals_torch(config, params, tmp_path, lengths=(11, 3, 1), tolerance=1e-5)


@pytest.mark.skipif(minilm() is None, reason="the MiniLM weights are not installed")
def test_minilm_equals_pytorch_s():
    config, params = load_bert(minilm())
    _assert_equals_torch(config, params, minilm(), lengths=(24, 9, 2), tolerance=2e-5)


# Segments, packing, padding


def _packed(ids, lengths, width):
    """First-fit rows of `width`: ids, segments, positions [P, W], and the slot of each token of each utterance."""
    rows, slots = [], []
    for utterance, length in zip(ids, lengths, strict=True):
        row = next((r for r in rows if len(r) + length <= width), None)
        if row is None:
            row = []
            rows.append(row)
        slots.append((next(i for i, r in enumerate(rows) if r is row), len(row), length))
        segment = max((s for _, s, _ in row), default=0) + 1
        row.extend((token, segment, place) for place, token in enumerate(utterance[:length]))
    packed = np.zeros((len(rows), width, 3), np.int32)
    for index, row in enumerate(rows):
        packed[index, : len(row)] = row
    return packed[..., 0], packed[..., 1], packed[..., 2], slots


def test_packed_rows_equal_the_padded_computation_in_values_and_gradients():
    lengths = (7, 3, 5, 1, 6, 2)
    params = _random_params(TINY)
    ids, mask, _ = batch(TINY, lengths)
    packed_ids, segments, positions, slots = _packed(ids, lengths, width=12)
    assert len(packed_ids) < len(ids)
    toward = [np.random.default_rng(i).standard_normal((n, 32)).astype(np.float32) for i, n in enumerate(lengths)]

    def padded(params):
        hidden = _hidden(TINY, params, ids, mask)
        states = [hidden[i, :n] for i, n in enumerate(lengths)]
        return sum((s * t).sum() for s, t in zip(states, toward, strict=True)), states

    def packed(params):
        hidden = _hidden(TINY, params, packed_ids, segments, positions=positions)
        states = [hidden[row, start : start + n] for row, start, n in slots]
        return sum((s * t).sum() for s, t in zip(states, toward, strict=True)), states

    expected_gradients, expected = jax.jit(jax.grad(padded, has_aux=True))(params)
    gradients, actual = jax.jit(jax.grad(packed, has_aux=True))(params)
    jax.tree.map(lambda a, b: assert_close(a, b, 1e-5), actual, expected)
    for name, gradient in torch_names(TINY, gradients).items():
        assert_close(gradient, torch_names(TINY, expected_gradients)[name], 1e-5)


def test_what_stands_at_padding_and_how_much_of_it_changes_nothing():
    params = _random_params(TINY)
    ids, mask, _ = batch(TINY, (5, 2))
    expected = _hidden(TINY, params, ids, mask)
    wider = np.zeros((2, 4), np.int32)
    garbage = np.where(mask == 1, ids, 17)
    actual = _hidden(TINY, params, np.hstack([garbage, wider + 9]), np.hstack([mask, wider]))[:, :5]
    valid = mask.astype(bool)
    assert_close(actual[valid], expected[valid], 1e-6)


def test_a_token_does_not_see_another_segment_of_its_row():
    params = _random_params(TINY)
    segments = np.array([[1, 1, 2, 2, 2, 0]], np.int32)
    ids = np.array([[3, 4, 5, 6, 7, 0]], np.int32)
    changed = np.array([[3, 4, 8, 9, 10, 11]], np.int32)
    first, second = (_hidden(TINY, params, tokens, segments) for tokens in (ids, changed))
    np.testing.assert_array_equal(first[0, :2], second[0, :2])
    assert (np.abs(np.asarray(first[0, 2:5] - second[0, 2:5])).max(-1) > 1e-3).all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_rows_of_padding_alone_give_finite_states_and_gradients(dtype):
    params = _random_params(TINY)
    ids, mask, _ = batch(TINY, (4, 3))
    mask[1] = 0

    def objective(params):
        hidden = _hidden(TINY, params, ids, mask, dtype=dtype)
        return (hidden.astype(jnp.float32) ** 2).sum(), hidden

    gradients, hidden = jax.jit(jax.grad(objective, has_aux=True))(params)
    assert np.isfinite(np.asarray(hidden, np.float32)).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_a_batch_of_one_equals_its_row_in_a_larger_batch():
    params = _random_params(TINY)
    ids, mask, _ = batch(TINY, (6, 4, 2))
    together = _hidden(TINY, params, ids, mask)
    assert_close(_hidden(TINY, params, ids[1:2], mask[1:2])[0, :4], together[1, :4], 1e-6)


# The module


def test_embed_encode_and_pool_one_by_one_equal_the_call():
    ids, mask, types = batch(TINY, (6, 4))
    bert = Bert(TINY, use_pooler=True)
    variables = {"params": _random_params(TINY, pooler=True)}

    class Gated(nn.Module):
        def setup(self):
            self.bert = Bert(TINY, use_pooler=True)

        def __call__(self, gate):
            embedded = self.bert.embed(ids, token_types=types, deterministic=True)
            hidden = self.bert.encode(embedded * gate, mask, True)
            return hidden, self.bert.pool(hidden[:, 0])

    whole = jax.jit(lambda: bert.apply(variables, ids, segments=mask, token_types=types, deterministic=True))()
    gated = {"params": {"bert": variables["params"]}}
    apply = jax.jit(lambda gate: Gated().apply(gated, gate))
    hidden, pooled = apply(1.0)
    assert_close(hidden, whole["hidden"], 1e-6)
    assert_close(pooled, whole["pooled"], 1e-6)
    assert np.abs(apply(0.5)[0] - hidden).max() > 1e-3


def test_parameters_start_as_the_original_s():
    config = dataclasses.replace(TINY, hidden_size=128, intermediate_size=256)
    for path, leaf in jax.tree_util.tree_leaves_with_path(_init(config, pooler=True)):
        leaf, kind = np.asarray(leaf), path[-1].key
        assert leaf.dtype == np.float32
        if kind == "bias":
            assert (leaf == 0).all()
        elif kind == "scale":
            assert (leaf == 1).all()
        else:
            assert abs(leaf.std() - 0.02) < 5 * 0.02 / np.sqrt(2 * leaf.size)
            assert abs(leaf.mean()) < 5 * 0.02 / np.sqrt(leaf.size)


@pytest.mark.slow
def test_bfloat16_computes_in_bfloat16_with_float32_parameters():
    params = _init(TINY)
    ids, mask, _ = batch(TINY, (6, 4))
    fresh = _init(TINY, dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(fresh)} == {jnp.dtype(jnp.float32)}
    hidden = _hidden(TINY, params, ids, mask, dtype=jnp.bfloat16)
    assert hidden.dtype == jnp.bfloat16
    valid = mask.astype(bool)
    assert_close(hidden.astype(jnp.float32)[valid], _hidden(TINY, params, ids, mask)[valid], 0.03)


def test_dropout_follows_its_key_and_is_absent_when_deterministic():
    params = _random_params(TINY)
    ids, mask, _ = batch(TINY, (6, 4))
    plain = _hidden(TINY, params, ids, mask)
    first, again, other = (
        _hidden(TINY, params, ids, mask, deterministic=False, rngs={"dropout": jax.random.key(k)}) for k in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01
    assert np.abs(first - plain).max() > 0.01


ALMOST_ALL = 0.9999999  # so high a rate that at these sizes nothing is left


def test_hidden_dropout_acts_on_the_embeddings_and_on_what_each_residual_sum_adds():
    """With everything dropped, each norm sees the norm before it alone, and the first one zeros."""
    config = dataclasses.replace(TINY, hidden_dropout=ALMOST_ALL, attention_dropout=0.0)
    params = _random_params(config)
    ids, mask, _ = batch(config, (6, 4))
    state = np.zeros(32)
    for layer in range(2):
        for norm in ("attention_norm", "output_norm"):
            centred = state - state.mean()
            normed = centred / np.sqrt((centred**2).mean() + config.layer_norm_eps)
            state = normed * params[f"layer_{layer}"][norm]["scale"] + params[f"layer_{layer}"][norm]["bias"]
    hidden = _hidden(config, params, ids, mask, deterministic=False, rngs={"dropout": jax.random.key(0)})
    assert_close(hidden, np.broadcast_to(state, hidden.shape), 1e-4)


@pytest.mark.slow
def test_attention_dropout_acts_on_the_attention_probabilities():
    """With all of them dropped, no value reaches a token, as if every value were zero."""
    config = dataclasses.replace(TINY, hidden_dropout=0.0, attention_dropout=ALMOST_ALL)
    params = _random_params(config)
    ids, mask, _ = batch(config, (6, 4))
    hidden = _hidden(config, params, ids, mask, deterministic=False, rngs={"dropout": jax.random.key(0)})
    for layer in range(2):
        attention = params[f"layer_{layer}"]["attention"]
        attention["value"] = {name: np.zeros_like(leaf) for name, leaf in attention["value"].items()}
    assert_close(hidden, _hidden(config, params, ids, mask), 1e-5)


def test_dropout_keeps_the_mean_of_the_embeddings():
    config = dataclasses.replace(TINY, hidden_dropout=0.3)
    params = _random_params(config)
    ids, _, _ = batch(config, (8,))
    bert = Bert(config)
    plain = bert.apply({"params": params}, ids, deterministic=True, method="embed")

    @jax.jit
    @jax.vmap
    def draw(key):
        return bert.apply({"params": params}, ids, deterministic=False, rngs={"dropout": key}, method="embed")

    drawn = draw(jax.random.split(jax.random.key(0), 4000))
    error = 5 * np.abs(plain) * np.sqrt(0.3 / 0.7 / 4000) + 1e-5
    assert (np.abs(drawn.mean(0) - plain) < error).all()


@pytest.mark.slow
def test_it_works_in_jit_vmap_and_scan():
    ids, mask, _ = batch(TINY, (6, 4))
    runs = [_random_params(TINY, seed=seed) for seed in range(2)]
    expected = jnp.stack([_hidden(TINY, params, ids, mask) for params in runs])
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *runs)
    together = jax.vmap(lambda params: _hidden(TINY, params, ids, mask))(stacked)
    assert_close(together, expected, 1e-5)
    scanned = jax.lax.scan(lambda carry, params: (carry, _hidden(TINY, params, ids, mask)), 0, stacked)[1]
    assert_close(scanned, expected, 1e-5)


def test_rows_beyond_the_positions_are_refused_and_ids_beyond_the_vocabulary_give_nan():
    params = _random_params(TINY)
    ids = jnp.ones((1, 17), jnp.int32)
    with pytest.raises(InputError, match="17 tokens; this BERT has 16 positions"):
        _hidden(TINY, params, ids, ids)
    positions = jnp.arange(17)[None] % 16
    assert np.isfinite(_hidden(TINY, params, ids, ids, positions=positions)).all()
    assert np.isnan(_hidden(TINY, params, ids[:, :4] * 50, ids[:, :4])).all()


# The config

HUGGING_FACE = {
    "model_type": "bert",
    "vocab_size": 30522,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "max_position_embeddings": 512,
    "layer_norm_eps": 1e-6,
    "hidden_dropout_prob": 0.2,
    "attention_probs_dropout_prob": 0.3,
    "hidden_act": "gelu_new",
    "type_vocab_size": 3,
    "pad_token_id": 1,
}


def test_config_reads_hugging_face_s_names():
    expected = BertConfig(
        vocab_size=30522,
        hidden_size=384,
        num_layers=6,
        num_heads=12,
        intermediate_size=1536,
        max_positions=512,
        layer_norm_eps=1e-6,
        hidden_dropout=0.2,
        attention_dropout=0.3,
        hidden_act="gelu_new",
        type_vocab_size=3,
        pad_id=1,
    )
    assert BertConfig.from_dict(HUGGING_FACE) == expected
    written = expected.to_dict()
    assert {name: written[name] for name in HUGGING_FACE} == HUGGING_FACE
    assert BertConfig.from_dict(written) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "distilbert"}, "model_type is 'distilbert'; expected an encoder of type bert, roberta"),
        ({"model_type": None, "architectures": ["ElectraModel"]}, "model_type is 'ElectraModel'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ({"is_decoder": True}, "only encoders"),
        ({"hidden_size": 100}, "not a multiple of num_heads"),
        ({"num_hidden_layers": 0}, "num_layers is 0"),
        ({"vocab_size": "many"}, "vocab_size is 'many'"),
        ({"hidden_act": "silu"}, "hidden_act is 'silu'"),
        ({"hidden_act": ["gelu"]}, "hidden_act"),
        ({"hidden_dropout_prob": 1.5}, "hidden_dropout is 1.5"),
        ({"layer_norm_eps": 0}, "layer_norm_eps is 0"),
    ],
)
def test_a_config_of_another_kind_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        BertConfig.from_dict({**HUGGING_FACE, **change})


def test_a_config_without_a_size_is_refused_and_old_ones_need_no_type():
    old = {name: value for name, value in HUGGING_FACE.items() if name != "model_type"}
    assert BertConfig.from_dict(old) == BertConfig.from_dict(HUGGING_FACE)
    assert BertConfig.from_dict({**old, "pad_token_id": None}).pad_id == 0
    del old["hidden_size"]
    with pytest.raises(InputError, match="hidden_size is missing"):
        BertConfig.from_dict(old)


# States of some places alone


def _loss_of_places(config, segments, ids, at):
    """Of parameters and of whether the last layer is computed for these places alone, with their states."""
    weight = np.random.default_rng(0).standard_normal((len(at), config.hidden_size)).astype(np.float32)

    def loss(params, alone):
        out = Bert(config).apply(
            {"params": params}, ids, segments=segments, at=at if alone else None, deterministic=True
        )
        states = out["states"] if alone else out["hidden"].reshape(-1, config.hidden_size)[at]
        return (states * weight).sum(), states

    return [jax.jit(jax.grad(functools.partial(loss, alone=alone), has_aux=True)) for alone in (True, False)]


@pytest.mark.slow
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_states_of_some_places_are_those_of_all_and_cost_less(packed, layers):
    config = dataclasses.replace(TINY, num_layers=layers)
    params = _random_params(config)
    ids, mask, _ = batch(config, [7, 3, 12, 1])
    segments = np.array([[1] * 5 + [2] * 4 + [0] * 3, [1] * 12, [1] * 2 + [2] * 9 + [3], [0] * 12]) if packed else mask
    at = np.array([0, 5, 12, 24, 26, 35, 26]) if packed else np.arange(4) * 12  # one of them twice
    graded = _loss_of_places(config, segments, ids, at)
    (gradient, states), (other_gradient, others) = (grade(params) for grade in graded)
    assert_close(states, others, 1e-5)
    for name, value in torch_names(config, gradient).items():
        assert_close(value, torch_names(config, other_gradient)[name], 1e-5)
    if layers == 1:  # the cost analysis counts a loop once, however often it runs
        costs = [grade.lower(params).compile().cost_analysis()["flops"] for grade in graded]
        assert costs[0] < 0.7 * costs[1]  # most of the one layer


def test_a_program_holds_the_code_of_a_layer_once():
    ids, mask, _ = batch(TINY, (6, 4))

    def lines(layers: int) -> int:
        config = dataclasses.replace(TINY, num_layers=layers)

        def objective(params, key):
            bert = Bert(config)
            out = bert.apply({"params": params}, ids, segments=mask, deterministic=False, rngs={"dropout": key})
            return out["hidden"].sum()

        params = jax.eval_shape(functools.partial(_init, config))
        return jax.jit(jax.grad(objective)).lower(params, jax.random.key(0)).as_text().count("\n")

    assert lines(9) - lines(3) <= 6 * 8  # a call each way, and the key of its dropout


@pytest.mark.slow
@pytest.mark.parametrize("at", [None, np.arange(3) * 16], ids=["all", "some"])
def test_layers_that_are_computed_again_give_the_same_and_keep_less(at):
    config = dataclasses.replace(TINY, num_layers=2)
    params = _random_params(config)
    ids, segments = np.random.default_rng(0).integers(1, 50, (3, 16)), np.ones((3, 16), np.int32)

    def objective(params, remat: bool):
        out = Bert(config, remat=remat).apply(
            {"params": params}, ids, segments=segments, at=at, deterministic=False,
            rngs={"dropout": jax.random.key(1)},
        )  # fmt: skip
        return (next(iter(out.values())) ** 2).sum()

    def kept(remat: bool) -> int:
        """Numbers that a backward pass needs."""
        pull = jax.eval_shape(lambda params: jax.vjp(functools.partial(objective, remat=remat), params)[1], params)
        return sum(leaf.size for leaf in jax.tree.leaves(pull))

    values = [
        quick_jit(jax.value_and_grad(functools.partial(objective, remat=remat)))(params) for remat in (False, True)
    ]
    assert_close(values[1][0], values[0][0], 1e-6)
    same = flatten_dict(values[1][1], sep="/")
    for path, entry in flatten_dict(values[0][1], sep="/").items():
        if not path.endswith("key/bias"):  # 0 but for rounding
            assert_close(same[path], entry, 1e-5)
    weights = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert kept(True) - weights < (kept(False) - weights) / 4
