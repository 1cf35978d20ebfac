"""The Sparse Phased Transformer against loops over queries and samples with copied weights, and its properties."""

from collections.abc import Iterator
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.encoders import sparse_phased, windowed
from msa_jax.encoders.sparse_phased import SparsePhasedConfig, SparsePhasedTransformer
from msa_jax.encoders.windowed import Window
from msa_jax.errors import InputError

torch = pytest.importorskip("torch")

from tests.reference import sugrm_torch, sugrm_weights  # noqa: E402

torch.set_num_threads(1)  # its threads and those of XLA would wait for each other

WIDTH, HEADS, B = 8, 2, 3
PAIR = ("audio", "vision")  # enough for cross attention in both directions
SIZES = {"text": 8, "audio": 5, "vision": 4}
STEPS = {"text": 12, "audio": 23, "vision": 40}  # 3, 5 and 8 hidden states; a window of 17 is longer, or shorter
NO_DROPOUT = dict.fromkeys(("attention_dropout", "relu_dropout", "residual_dropout", "embed_dropout"), 0.0)


@pytest.fixture(autouse=True, scope="module")
def _small_programs(compiled_quickly: None) -> Iterator[None]:
    """Tiles as small as the arrays, and programs that are not compiled well, for they run a few times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse_phased, "CPU_TILE", 5)  # a modality's hidden states take several, and some stay empty
        yield


def _config(shifts=("SPR", "S", "S"), **named) -> SparsePhasedConfig:
    named = {"width": WIDTH, "heads": HEADS, **NO_DROPOUT, **named}
    return SparsePhasedConfig(input_shift=shifts[0], cross_shift=shifts[1], self_shift=shifts[2], **named)


def _inputs(names=tuple(SIZES), seed: int = 0):
    rng = np.random.default_rng(seed)
    sequences = {name: rng.normal(size=(B, STEPS[name], SIZES[name])).astype(np.float32) for name in names}
    length = {name: rng.integers(1, STEPS[name] + 1, B).astype(np.int32) for name in names}
    for number, name in enumerate(names):
        length[name][number] = (1, 23, 6)[number]  # one step; all steps; one more than a block of five
    for name, value in sequences.items():
        # As in the data: zeros behind the valid steps, and real frames that start with a zero.
        value[:, ::4, 0] = 0
        value *= (np.arange(STEPS[name]) < length[name][:, None])[..., None]
    return sequences, length


def _pair(padding: str, names=tuple(SIZES), *, iterations: int = 4, shifts=("", "S", "S"), seed: int = 0):
    """The derivation, the module, and their common weights."""
    torch.manual_seed(seed)
    hp = sugrm_torch.Hyperparameters(
        width=WIDTH, heads=HEADS, iterations=iterations, input_shifts=shifts[0], cross_shifts=shifts[1],
        self_shifts=shifts[2], embed_dropout=0.0, relu_dropout=0.0, residual_dropout=0.0,
    )  # fmt: skip
    peer = sugrm_torch.PhasedTransformer(hp, {name[0]: SIZES[name] for name in names})
    with torch.no_grad():
        for name, parameter in peer.named_parameters():
            if "norm" in name:  # a LayerNorm that does nothing would hide which one is used
                parameter.add_(0.3 * torch.randn_like(parameter))
    module = SparsePhasedTransformer(_config(shifts, iterations=iterations), padding)
    params = jax.tree.map(jnp.asarray, sugrm_weights.transformer(sugrm_weights.weights(peer)))
    return peer, module, params


def _expected(peer, padding: str, sequences, length):
    """Outputs `{name: [B, D]}` of the derivation, and the streams that carry gradients."""
    streams = {name[0]: torch.tensor(value, requires_grad=True) for name, value in sequences.items()}
    if padding == "included":
        found = peer(streams, protocol="reference")
    else:
        samples = []
        for b in range(B):
            valid = {name[0]: streams[name[0]][b : b + 1, : int(length[name][b])] for name in sequences}
            samples.append(peer(valid, protocol="paper"))
        found = {name[0]: torch.cat([sample[name[0]] for sample in samples]) for name in sequences}
    return {name: found[name[0]] for name in sequences}, streams


@cache
def _program(module):
    return jax.jit(partial(module.apply, train=False))


def _apply(module, params, sequences, length):
    return _program(module)({"params": params}, sequences, length)


@cache
def _gradients(module):
    """(params, sequences, length, probe) -> outputs, gradients by the first two."""

    def total(params, sequences, length, probe):
        found = module.apply({"params": params}, sequences, length, train=False)
        return sum((found[name] * probe[name]).sum() for name in found), found

    return jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))


def _probe(names, seed: int = 1):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(B, WIDTH)).astype(np.float32) for name in names}


# -- against the derivation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "padding", "shifts"),
    [
        (("text", "audio", "vision"), "masked", ("SP", "S", "P")),
        (("text",), "included", ("P", "", "SP")),
    ],
)
def test_output_equals_torch(names, padding, shifts):
    sequences, length = _inputs(names)
    peer, module, params = _pair(padding, names, shifts=shifts)
    fresh = jax.eval_shape(partial(module.init, train=False), jax.random.key(0), sequences, length)["params"]
    assert jax.tree.map(jnp.shape, fresh) == jax.tree.map(jnp.shape, params)
    expected, _ = _expected(peer, padding, sequences, length)
    found = _apply(module, params, sequences, length)
    for name in names:
        np.testing.assert_allclose(found[name], expected[name].detach(), atol=2e-5, err_msg=name)


def test_gradients_equal_torch():
    sequences, length = _inputs(PAIR)
    peer, module, params = _pair("masked", PAIR)
    probe = _probe(PAIR)
    expected, streams = _expected(peer, "masked", sequences, length)
    sum((expected[name] * torch.tensor(probe[name])).sum() for name in PAIR).backward()
    (of_params, of_sequences), found = _gradients(module)(params, sequences, length, probe)
    for name in PAIR:
        np.testing.assert_allclose(found[name], expected[name].detach(), atol=2e-5, err_msg=name)
        np.testing.assert_allclose(of_sequences[name], streams[name[0]].grad, atol=1e-4, err_msg=name)
    wanted = jax.tree_util.tree_leaves_with_path(sugrm_weights.transformer(sugrm_weights.gradients(peer)))
    for (path, one), other in zip(wanted, jax.tree.leaves(of_params), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-4, err_msg=jax.tree_util.keystr(path))


def test_one_iteration_equals_torch():
    sequences, length = _inputs(PAIR)
    peer, module, params = _pair("masked", PAIR, iterations=1, shifts=("SP", "S", "S"))
    expected, _ = _expected(peer, "masked", sequences, length)
    found = _apply(module, params, sequences, length)
    for name in PAIR:
        np.testing.assert_allclose(found[name], expected[name].detach(), atol=2e-5, err_msg=name)


@pytest.mark.parametrize("repeat", [True, False])
@pytest.mark.parametrize("shift", ["", "S", "P", "R", "SPR"])
@pytest.mark.parametrize("random", [0.77, 0.0])
@pytest.mark.parametrize(("size", "stride"), [(17, 5), (7, 1)])
def test_windows_equal_loops_over_queries(size, stride, random, shift, repeat):
    steps, queries, iteration = np.array([1, 2, 6, 7, 9, 16, 17, 18, 40, 75, 500]), 20, 3
    query, n = np.tile(np.arange(queries), len(steps)), np.repeat(steps, queries)
    index, counts = windowed.window_index(
        Window(size=size, stride=stride, shift=shift), jnp.asarray(query), jnp.asarray(n),
        longest=queries, iteration=iteration, random=random, repeat=repeat,
    )  # fmt: skip
    for i, c, reads, counted in zip(query.tolist(), n.tolist(), np.asarray(index), np.asarray(counts), strict=True):
        r = int(random * np.ceil(c / 20))  # below 5 % of the context
        moved = sugrm_torch.shift(shift, i, c, iteration, r)
        assert reads[counted].tolist() == sugrm_torch.window(i, size, stride, c, moved, repeats=repeat), (c, i)


def test_positions_equal_the_derivation():
    for width in (4, 5, 20, 33):
        value = torch.ones(1, 30, width)
        expected = sugrm_torch.position_embedding(value, protocol="paper")[0]
        found = sparse_phased.positions(30, width)
        np.testing.assert_allclose(found[1:], expected, atol=1e-6)
        np.testing.assert_array_equal(found[0], 0)
    assert all(np.isfinite(sparse_phased.positions(5, width)).all() for width in (1, 2, 3))


@pytest.mark.parametrize(("audio", "vision", "expected"), [(5, 20, 160_882), (74, 35, 166_426)])
def test_parameter_count_is_that_of_the_published_code_without_its_unused_norms(audio, vision, expected):
    # 161,074 and 166,618 there, of which 192 are norms of a context that self attention does not have.
    assert _count(SparsePhasedTransformer(), {"text": 768, "audio": audio, "vision": vision}) == expected


def test_iterations_with_their_own_parameters_are_as_many_times_larger():
    shared = 32 + 2 * 32  # the first hidden state and the last norm
    tied = _count(SparsePhasedTransformer(), {"audio": 5})
    untied = _count(SparsePhasedTransformer(SparsePhasedConfig(tied=False)), {"audio": 5})
    assert untied - shared == 4 * (tied - shared)


def _count(module, sizes) -> int:
    sequences = {name: jax.ShapeDtypeStruct((1, 6, size), jnp.float32) for name, size in sizes.items()}
    length = dict.fromkeys(sizes, jax.ShapeDtypeStruct((1,), jnp.int32))
    params = jax.eval_shape(partial(module.init, train=False), jax.random.key(0), sequences, length)
    return sum(leaf.size for leaf in jax.tree.leaves(params))


# -- properties -------------------------------------------------------------------------------------------------------


def _with_more_padding(sequences, length, fill):
    longer = {}
    for name, value in sequences.items():
        extra = np.pad(value, ((0, 0), (0, 7), (0, 0)))
        inside = (np.arange(extra.shape[1]) < length[name][:, None])[..., None]
        longer[name] = np.where(inside, extra, np.float32(fill))
    return longer


@pytest.mark.parametrize("fill", [0.0, 1e3, np.nan])
def test_neither_padding_nor_the_rest_of_the_batch_changes_a_row(fill):
    sequences, length = _inputs(PAIR)
    _, module, params = _pair("masked", PAIR)
    together = _apply(module, params, sequences, length)
    longer = _with_more_padding(sequences, length, fill)
    for b in range(B):
        one = jax.tree.map(lambda leaf: leaf[b : b + 1], (longer, length))  # noqa: B023
        alone = _apply(module, params, *one)
        for name in PAIR:
            np.testing.assert_allclose(together[name][b], alone[name][0], atol=1e-5, err_msg=name)


def test_padding_matters_where_it_is_included():
    sequences, length = _inputs(("text",))
    _, module, params = _pair("included", ("text",), shifts=("P", "", "SP"))
    longer = _with_more_padding(sequences, length, 0.0)
    one, other = (_apply(module, params, both, length)["text"] for both in (sequences, longer))
    assert np.abs(one - other).max() > 0.01


def test_padding_gets_no_gradient():
    sequences, length = _inputs(PAIR)
    _, module, params = _pair("masked", PAIR)
    (_, gradient), _ = _gradients(module)(params, sequences, length, _probe(PAIR))
    for name, value in gradient.items():
        outside = np.arange(STEPS[name]) >= length[name][:, None]
        np.testing.assert_array_equal(np.asarray(value)[outside], 0)
        assert (np.abs(np.asarray(value)[~outside]).max(-1) > 0).any()


def test_length_zero_gives_finite_values_and_gradients():
    sequences, length = _inputs(PAIR)
    length = {name: value * (np.arange(B) > 0).astype(np.int32) for name, value in length.items()}
    _, module, params = _pair("masked", PAIR)
    found = _gradients(module)(params, sequences, length, _probe(PAIR))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


@pytest.mark.parametrize("kind", ["random shift", "attention", "relu", "residual", "embed"])
def test_dropout_and_random_shifts_are_drawn_in_training(kind):
    sequences, length = _inputs(("vision",))
    length = {"vision": np.full(B, STEPS["vision"], np.int32)}  # 40 steps: a random shift of 0 or 1
    _, module, params = _pair("masked", ("vision",), iterations=1, shifts=("R", "", ""))
    if kind != "random shift":
        module = SparsePhasedTransformer(_config(("", "S", "S"), iterations=1, **{f"{kind}_dropout": 0.3}))

    @jax.jit
    def run(seed):
        rngs = {"dropout": jax.random.key(seed)}
        return module.apply({"params": params}, sequences, length, train=True, rngs=rngs)["vision"]

    drawn = [np.asarray(run(seed)) for seed in range(8)]
    assert max(np.abs(one - drawn[0]).max() for one in drawn) > 1e-3
    np.testing.assert_array_equal(run(0), drawn[0])


@pytest.mark.slow
def test_nothing_is_drawn_outside_training():
    sequences, length = _inputs(("vision",))
    _, plain, params = _pair("masked", ("vision",), iterations=1)
    rates = dict.fromkeys(NO_DROPOUT, 0.3)
    drawing = SparsePhasedTransformer(_config(("R", "S", "S"), iterations=1, **rates))  # no key is asked for
    one, other = (_apply(module, params, sequences, length)["vision"] for module in (plain, drawing))
    np.testing.assert_array_equal(one, other)


def test_attention_equals_loops_over_heads_and_slots():
    rng = np.random.default_rng(4)
    queries, slots = 5, 3
    query, read = rng.normal(size=(queries, WIDTH)), rng.normal(size=(queries, slots, 2 * WIDTH))
    counts = rng.random((queries, slots)) < 0.6
    counts[0], counts[1] = False, True
    found = windowed.windowed_attention(jnp.float32(query), jnp.float32(read), jnp.asarray(counts), heads=HEADS)
    expected = np.zeros((queries, WIDTH))
    for q, head in np.ndindex(queries, HEADS):
        part = slice(head * WIDTH // HEADS, (head + 1) * WIDTH // HEADS)
        if counts[q].any():
            keys, values = read[q, counts[q], :WIDTH][:, part], read[q, counts[q], WIDTH:][:, part]
            weights = np.exp(keys @ query[q, part])
            expected[q, part] = (weights / weights.sum()) @ values
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(found[0], 0)


def test_the_size_of_tiles_changes_nothing(monkeypatch):
    sequences, length = _inputs(PAIR)
    length["vision"][1] = 0
    _, module, params = _pair("masked", PAIR)
    one = _apply(module, params, sequences, length)
    monkeypatch.setattr(sparse_phased, "CPU_TILE", 256)
    other = _program.__wrapped__(module)({"params": params}, sequences, length)  # compiled anew
    for name in PAIR:
        np.testing.assert_allclose(one[name], other[name], atol=1e-5)


@pytest.mark.slow
def test_another_device_computes_the_same_without_waiting_for_a_condition(monkeypatch):
    sequences, length = _inputs(PAIR)
    length["vision"][1] = 0
    _, _, params = _pair("masked", PAIR, iterations=2)
    module = SparsePhasedTransformer(_config(("SPR", "S", "S"), iterations=2, **dict.fromkeys(NO_DROPOUT, 0.3)))
    probe = _probe(PAIR)

    def total(params, sequences):
        found = module.apply({"params": params}, sequences, length, train=True, rngs={"dropout": jax.random.key(3)})
        return sum((found[name] * probe[name]).sum() for name in found), found

    want = jax.jit(jax.grad(total, (0, 1), has_aux=True))(params, sequences)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(sparse_phased, "OTHER_TILE", sparse_phased.CPU_TILE)  # so that the same is drawn
    gradient = jax.grad(lambda *given: total(*given), (0, 1), has_aux=True)
    found = jax.jit(gradient)(params, sequences)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), found, want)
    assert "while[" not in str(jax.make_jaxpr(gradient)(params, sequences))


@pytest.mark.slow
def test_gradients_in_training_are_those_of_the_same_draws():
    sequences, length = _inputs(("vision",))
    _, module, params = _pair("masked", ("vision",), iterations=2)
    rates = dict.fromkeys(NO_DROPOUT, 0.3)
    module = SparsePhasedTransformer(_config(("SPR", "S", "S"), iterations=2, **rates))
    probe = _probe(("vision",))["vision"]

    def total(params, seed):
        rngs = {"dropout": jax.random.key(seed)}
        return (module.apply({"params": params}, sequences, length, train=True, rngs=rngs)["vision"] * probe).sum()

    value = jax.jit(total)
    rng = np.random.default_rng(5)
    direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), params)
    several = jax.jit(jax.vmap(jax.grad(total), in_axes=(None, 0)))(params, jnp.arange(3))
    for seed in range(3):
        ahead, behind = (jax.tree.map(lambda p, d: p + e * d, params, direction) for e in (3e-4, -3e-4))  # noqa: B023
        expected = (value(ahead, seed) - value(behind, seed)) / 6e-4
        slope = sum((g[seed] * d).sum() for g, d in zip(*map(jax.tree.leaves, (several, direction)), strict=True))
        np.testing.assert_allclose(slope, expected, atol=0.02)


def test_bfloat16_stays_near_float32():
    sequences, length = _inputs(("vision",))
    _, module, params = _pair("masked", ("vision",), iterations=1)
    exact = _apply(module, params, sequences, length)["vision"]
    rough = _apply(SparsePhasedTransformer(module.config, dtype=jnp.bfloat16), params, sequences, length)["vision"]
    assert rough.dtype == jnp.bfloat16
    np.testing.assert_allclose(rough.astype(np.float32), exact, atol=0.1)


@pytest.mark.parametrize(
    "change",
    [{"width": 0}, {"heads": 0}, {"iterations": 0}, {"heads": 3}, {"input_shift": "X"}, {"cross_shift": "SS"},
     {"relu_dropout": 1.0}, {"embed_dropout": -0.1}],
    ids=str,
)  # fmt: skip
def test_bad_options_are_errors(change):
    with pytest.raises(InputError, match=rf"option spt\.{next(iter(change))} is .*; expected"):
        SparsePhasedConfig(**change)
