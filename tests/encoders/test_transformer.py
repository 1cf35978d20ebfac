"""The Transformer encoder, against torch.nn.TransformerEncoder, and its positions."""

import math

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.encoders import tiles as tiling
from msa_jax.encoders import transformer, transformer_tiles
from msa_jax.encoders.tiles import CPU_TILE, Tiles
from msa_jax.encoders.transformer import Transformer, sinusoidal_positions
from msa_jax.errors import InputError
from msa_jax.layers.dense import Affine, Norm
from msa_jax.layers.stack import unstack
from tests.quick import quick_jit

HEADS, WIDTH, WIDE = 4, 8, 12
ONE = (100, 100)  # everything in one tile
LENGTHS = [7, 1, 4, 9, 2]


def encoder(tile=ONE, **changes) -> Transformer:
    return Transformer(**{"layers": 1, "heads": HEADS, "feedforward": WIDE, "tile": tile, **changes})


def init_params(seed: int = 0, layers: int = 1) -> dict:
    """Parameters far from where they start: biases and norms count too."""
    x, length = jnp.zeros((1, 2, WIDTH)), jnp.array([2])
    made = jax.eval_shape(lambda: encoder(layers=layers).init(jax.random.key(0), x, length, train=False))["params"]
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: (0.4 * rng.normal(size=leaf.shape)).astype(np.float32), made)


def sequences(lengths: list[int], steps: int | None = None) -> np.ndarray:
    """[B, steps, WIDTH], zeros behind each length."""
    steps = max(lengths) if steps is None else steps
    x = np.random.default_rng(1).normal(size=(len(lengths), max(lengths), WIDTH)).astype(np.float32)
    x *= (np.arange(max(lengths)) < np.array(lengths)[:, None])[..., None]
    return np.pad(x, [(0, 0), (0, steps - max(lengths)), (0, 0)])


def run(params, x, lengths, tile=ONE, layers=1):
    """Output, and gradients of params and x under a fixed pull on it."""
    length = np.array(lengths, np.int32)
    rng = np.random.default_rng(2)
    pull = np.pad(
        rng.normal(size=(len(lengths), max(lengths), WIDTH)), [(0, 0), (0, x.shape[1] - max(lengths)), (0, 0)]
    )

    @quick_jit
    def both(params, x):
        def pulled(params, x):
            out = encoder(tile, layers=layers).apply({"params": params}, x, length, train=False)
            return (out * pull).sum(), out

        (_, out), grads = jax.value_and_grad(pulled, (0, 1), has_aux=True)(params, x)
        return out, *grads

    return (*jax.tree.map(np.asarray, both(params, x)), pull.astype(np.float32))


def forward(params, x, lengths, tile=ONE, **changes):
    module = encoder(tile, **changes)
    return quick_jit(lambda *given: module.apply({"params": given[0]}, *given[1:], train=False))(
        params, x, np.array(lengths, np.int32)
    )


def by_layer(params) -> dict[str, np.ndarray]:
    """By path, those of each layer by themselves."""
    return unstack(flax.traverse_util.flatten_dict(params, sep="/"))


def torch_encoder(torch, params, layers):
    """torch's encoder with our parameters, and our names for its gradients."""
    layer = torch.nn.TransformerEncoderLayer(WIDTH, HEADS, WIDE, dropout=0.0, batch_first=True, norm_first=True)
    norm = torch.nn.LayerNorm(WIDTH)
    theirs = torch.nn.TransformerEncoder(layer, layers, norm=norm, enable_nested_tensor=False)
    pairs = {"norm": norm}
    for number, made in enumerate(theirs.layers):
        pairs |= {
            f"layer_{number}/attention_norm": made.norm1,
            f"layer_{number}/feedforward_norm": made.norm2,
            f"layer_{number}/output": made.self_attn.out_proj,
            f"layer_{number}/expand": made.linear1,
            f"layer_{number}/contract": made.linear2,
        }
    flat = by_layer(params)
    tensors = {}  # our name -> (their parameter, rows of it)
    for name, module in pairs.items():
        tensors[f"{name}/bias"] = (module.bias, slice(None))
        tensors[f"{name}/{'scale' if 'norm' in name else 'kernel'}"] = (module.weight, slice(None))
    for number, made in enumerate(theirs.layers):
        for place, name in enumerate(("query", "key", "value")):
            rows = slice(place * WIDTH, (place + 1) * WIDTH)
            tensors[f"layer_{number}/{name}/kernel"] = (made.self_attn.in_proj_weight, rows)
            tensors[f"layer_{number}/{name}/bias"] = (made.self_attn.in_proj_bias, rows)
    assert tensors.keys() == flat.keys()
    with torch.no_grad():
        for name, (tensor, rows) in tensors.items():
            tensor[rows] = torch.tensor(flat[name].T)
    return theirs, tensors


@pytest.mark.parametrize(("tile", "layers"), [(ONE, 2), ((100, 3), 1), ((2, 4), 1)], ids=str)
def test_outputs_and_gradients_equal_those_of_torch(tile, layers):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    params, x = init_params(layers=layers), sequences(LENGTHS)
    theirs, tensors = torch_encoder(torch, params, layers)
    out, of_params, of_x, pull = run(params, x, LENGTHS, tile, layers)

    padding = np.arange(x.shape[1]) >= np.array(LENGTHS)[:, None]
    tensor = torch.tensor(x, requires_grad=True)
    positions = torch.tensor(sinusoidal_positions(x.shape[1], WIDTH))
    result = theirs(tensor + positions, src_key_padding_mask=torch.tensor(padding))
    result = result * torch.tensor(~padding)[..., None]
    (result * torch.tensor(pull)).sum().backward()

    np.testing.assert_allclose(out, result.detach().numpy(), atol=2e-5)
    np.testing.assert_allclose(of_x, tensor.grad.numpy(), atol=1e-4)
    for name, value in by_layer(of_params).items():
        parameter, rows = tensors[name]
        want = parameter.grad[rows].numpy().T
        scale = np.abs(want).max()
        np.testing.assert_allclose(value, want, atol=1e-4 * max(scale, 1), err_msg=name)
        assert scale > 1e-3 or name.endswith("key/bias")  # shifts every score of a query alike


@pytest.mark.parametrize(("tile", "steps"), [pytest.param(ONE, 12, marks=pytest.mark.slow), ((2, 4), 13)], ids=str)
def test_padding_changes_nothing(tile, steps):
    params = init_params()
    want = run(params, sequences(LENGTHS), LENGTHS)
    padded = sequences(LENGTHS, steps)
    beyond = np.arange(steps) >= np.array(LENGTHS)[:, None]
    padded[beyond] = np.nan  # whatever stands there
    out, of_params, of_x, _ = run(params, padded, LENGTHS, tile)
    np.testing.assert_allclose(out[:, :9], want[0], atol=2e-5)
    assert (out[beyond] == 0).all()
    assert (of_x[beyond] == 0).all()
    np.testing.assert_allclose(of_x[:, :9], want[2], atol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3, rtol=1e-4), of_params, want[1])


@pytest.mark.parametrize("tile", [ONE, pytest.param((2, 5), marks=pytest.mark.slow)], ids=str)
def test_a_sequence_without_steps_gives_zeros_and_no_gradient(tile):
    params, lengths = init_params(), [0, 9, 0]
    x = np.random.default_rng(3).normal(size=(3, 9, WIDTH)).astype(np.float32)
    out, of_params, of_x, _ = run(params, x, lengths, tile)
    assert (out[[0, 2]] == 0).all()
    assert (of_x[[0, 2]] == 0).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((out, of_params, of_x)))
    alone = forward(params, x[1:2], [9], tile)
    np.testing.assert_allclose(out[1:2], alone, atol=2e-5)
    assert (forward(params, x, [0, 0, 0], tile) == 0).all()


def test_the_device_chooses_tiles_that_change_nothing():
    lengths = [1 + 13 * k % (2 * CPU_TILE[1] + 5) for k in range(2 * CPU_TILE[0] + 3)]
    lengths[0] = 2 * CPU_TILE[1] + 5
    params, x = init_params(), sequences(lengths)
    np.testing.assert_allclose(forward(params, x, lengths, None), forward(params, x, lengths), atol=5e-5)


@pytest.mark.slow
@pytest.mark.parametrize("largest", [4, 512])
def test_another_device_computes_the_same_without_waiting_for_a_condition(largest, monkeypatch):
    params, x = init_params(), sequences(LENGTHS)
    want = run(params, x, LENGTHS, (2, 4))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(tiling, "OTHER_STEPS", (1, largest))
    found = run(params, x, LENGTHS, None)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), found, want)

    def total(params):
        return encoder(None).apply({"params": params}, x, np.array(LENGTHS, np.int32), train=False).sum()

    assert "while[" not in str(jax.make_jaxpr(jax.grad(total))(params))


def test_elsewhere_a_tile_has_as_many_steps_as_memory_allows(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for rows, expected in ((1, 512), (32, 512), (256, 362), (10_000, 128)):
        assert tiling._default_tile(rows) == (rows, expected)


@pytest.mark.slow
@pytest.mark.parametrize(("tile", "rates"), [(ONE, (0.5, 0.0)), ((2, 4), (0.0, 0.5))], ids=str)
def test_dropout_differs_between_rows_and_keys_and_is_off_in_evaluation(tile, rates):
    params, length = init_params(), np.full(3, 9, np.int32)
    x = np.tile(sequences([9]), (3, 1, 1))
    module = encoder(tile, dropout=rates[0], attention_dropout=rates[1])

    @quick_jit
    def apply(key):
        return module.apply({"params": params}, x, length, train=True, rngs={"dropout": key})

    first, second = apply(jax.random.key(0)), apply(jax.random.key(1))
    np.testing.assert_array_equal(first, apply(jax.random.key(0)))
    assert not np.allclose(first, second)
    assert not np.allclose(first[0], first[1])
    assert not np.allclose(first[0], first[2])
    np.testing.assert_allclose(
        forward(params, x, length, tile, dropout=0.5)[0], forward(params, x, length)[2], atol=1e-5
    )


def test_without_rates_training_asks_for_no_key():
    params, x, length = init_params(), sequences([9]), np.array([9], np.int32)
    module = encoder(dropout=0.0, attention_dropout=0.0)
    apply = quick_jit(lambda x: module.apply({"params": params}, x, length, train=True))
    np.testing.assert_allclose(apply(x), forward(params, x, length), atol=1e-6)


@pytest.mark.slow
def test_attention_dropout_keeps_the_expectation_of_what_is_read():
    # One layer whose feed-forward part gives 0, so that only attention is random, small beside the residual, so that the
    # last norm is as good as linear in it.
    params, x, length = init_params(), sequences([9]), np.array([9], np.int32)
    layer = {**params["layers"], "contract": jax.tree.map(np.zeros_like, params["layers"]["contract"])}
    layer["output"] = jax.tree.map(lambda leaf: 1e-3 * leaf, layer["output"])
    params = {"layers": layer, "norm": {"scale": np.ones(WIDTH, np.float32), "bias": np.zeros(WIDTH, np.float32)}}
    module = encoder((1, 5), dropout=0.0, attention_dropout=0.3)

    def apply(key):
        return module.apply({"params": params}, x, length, train=True, rngs={"dropout": key})

    noisy = np.asarray(quick_jit(jax.vmap(apply))(jax.random.split(jax.random.key(0), 2000)), np.float64)
    want = np.asarray(forward(params, x, length))
    error = np.std(noisy, axis=0) / len(noisy) ** 0.5
    assert (np.abs(noisy.mean(0) - want) < 5 * error + 2e-6).all()
    assert error.max() > 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("norms", ["before", "after"])
@pytest.mark.parametrize("tile", [ONE, (2, 4)], ids=str)
def test_gradients_with_dropout_equal_those_of_forward_differentiation(tile, norms, monkeypatch):
    # The gradient is written by hand, so its masks are drawn again. Its twin is what JAX derives of the forward pass.
    length, x = np.array(LENGTHS, np.int32), sequences(LENGTHS)
    rng = np.random.default_rng(4)
    params = init_params(layers=2)
    module = encoder(tile, layers=2, dropout=0.3, attention_dropout=0.4, norms=norms, activation="gelu")
    pull = 3 * rng.normal(size=x.shape).astype(np.float32)
    toward = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), (params, x))

    def pulled(params, x):
        out = module.apply({"params": params}, x, length, train=True, rngs={"dropout": jax.random.key(3)})
        return (out * pull).sum()

    gradient = quick_jit(jax.grad(pulled, (0, 1)))(params, x)
    monkeypatch.setattr(transformer, "layer", lambda plan, *given: transformer_tiles._forward(plan, *given)[0])
    monkeypatch.setattr(tiling, "_deal", lambda x, to, back: tiling.take(x, to))
    for part in range(2):  # parameters, then x
        directions = jax.tree.map(np.zeros_like, toward)
        directions = (*directions[:part], toward[part], *directions[part + 1 :])
        _, want = quick_jit(lambda given, along: jax.jvp(pulled, given, along))((params, x), directions)
        found = sum(jax.tree.leaves(jax.tree.map(lambda a, b: (a * b).sum(), gradient, directions)))
        np.testing.assert_allclose(found, want, rtol=2e-4)
        assert abs(want) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("runs", [0, 2])
def test_tiles_that_no_sequence_reaches_are_never_computed(runs):
    lengths = np.array([LENGTHS, [3, 1, 4, 2, 2]], np.int32)
    rng = np.random.default_rng(5)
    steps, tile = 3 * max(LENGTHS), (2, 4)
    plan = transformer_tiles.LayerPlan(HEADS, True, jax.nn.relu, ())
    affine = lambda into, out: (rng.normal(size=(into, out)).astype(np.float32), np.zeros(out, np.float32))  # noqa: E731
    norm = Norm(np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32))
    read = transformer_tiles.Read(norm, Affine(*affine(WIDTH, 3 * WIDTH)))
    rest = [Affine(*affine(*shape)) for shape in ((WIDTH, WIDTH), (WIDTH, WIDE), (WIDE, WIDTH))]
    given = read, transformer_tiles.Rest(rest[0], None, norm, *rest[1:])

    def run(weights, x, length):
        tiles, size = Tiles.of(length, steps, tile, padding=False)
        # Nothing times nan is nan, so whatever is read of the other tiles would be seen.
        parts = (
            tiles.split(x, size)
            .at[tiles.tile]
            .multiply(jnp.where(jnp.arange(len(tiles.tile)) < tiles.number, 1.0, jnp.nan)[:, None, None, None])
        )
        return transformer_tiles.layer(plan, *weights, parts, None, tiles, None), tiles.number

    def total(weights, x, length):
        out, number = run(weights, x, length)
        return out.sum(), number

    both = jax.value_and_grad(total, has_aux=True)
    x = rng.normal(size=(len(LENGTHS), steps, WIDTH)).astype(np.float32)
    if runs:
        both = jax.vmap(both, in_axes=(None, None, 0))
    (value, number), gradient = quick_jit(both)(given, x, lengths if runs else lengths[0])
    # Groups of rows in both are as long as [9, 7], [4, 2] and [1]: so many tiles of 4 steps.
    np.testing.assert_array_equal(number, 3 + 1 + 1)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((value, gradient)))


def test_it_computes_in_bfloat16_with_float32_parameters():
    params, x, length = init_params(), sequences(LENGTHS), np.array(LENGTHS, np.int32)
    out = forward(params, x, LENGTHS, dtype=jnp.bfloat16)
    assert out.dtype == jnp.bfloat16
    want = np.asarray(forward(params, x, LENGTHS))
    assert np.abs(np.asarray(out, np.float32) - want).mean() < 0.02 * np.abs(want).mean() + 0.01
    made = jax.eval_shape(lambda: encoder(dtype=jnp.bfloat16).init(jax.random.key(0), x, length, train=False))
    assert {leaf.dtype for leaf in jax.tree.leaves(made)} == {jnp.dtype("float32")}


@pytest.mark.slow
def test_many_runs_at_once_give_what_each_gives_alone():
    params = jax.tree.map(lambda *leaves: np.stack(leaves), init_params(0), init_params(1))
    x, lengths = sequences(LENGTHS), np.array([LENGTHS, LENGTHS[::-1]], np.int32)

    def apply(params, length):
        return encoder((2, 4)).apply({"params": params}, x, length, train=False)

    every = quick_jit(jax.vmap(apply))
    # All runs share the number of tiles: every loop's condition compares two scalars.
    conditions = [part.split("}")[0] for part in every.lower(params, lengths).as_text().split("cond {")[1:]]
    assert len(conditions) >= 3
    assert all("stablehlo.reduce" not in condition for condition in conditions)
    together = every(params, lengths)
    alone_of = quick_jit(apply)
    for number in range(2):
        alone = alone_of(jax.tree.map(lambda leaf, number=number: leaf[number], params), lengths[number])
        np.testing.assert_allclose(together[number], alone, atol=2e-5)


def test_parameters_start_as_those_of_torch():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = torch.nn.TransformerEncoderLayer(64, 4, 256)
    x = jnp.zeros((1, 2, 64))
    init = quick_jit(lambda key: Transformer(1, 4, 256).init(key, x, jnp.array([2]), train=False))
    made = jax.tree.map(lambda leaf: leaf[0], init(jax.random.key(0))["params"]["layers"])
    in_weight = theirs.self_attn.in_proj_weight.detach().numpy()
    pairs = {
        ("query", "kernel"): in_weight[:64],
        ("key", "kernel"): in_weight[64:128],
        ("value", "kernel"): in_weight[128:],
        ("output", "kernel"): theirs.self_attn.out_proj.weight.detach().numpy(),
        ("expand", "kernel"): theirs.linear1.weight.detach().numpy(),
        ("contract", "kernel"): theirs.linear2.weight.detach().numpy(),
        ("expand", "bias"): theirs.linear1.bias.detach().numpy(),
        ("contract", "bias"): theirs.linear2.bias.detach().numpy(),
    }
    for (part, name), want in pairs.items():
        value = np.asarray(made[part][name])
        assert value.shape == want.T.shape
        np.testing.assert_allclose(np.abs(value).max(), np.abs(want).max(), rtol=0.1, err_msg=part)
        np.testing.assert_allclose(value.std(), want.std(), rtol=0.2, err_msg=part)
    for part in ("query", "key", "value", "output"):
        assert (made[part]["bias"] == 0).all()
    for part in ("attention_norm", "feedforward_norm"):
        assert (made[part]["scale"] == 1).all()
        assert (made[part]["bias"] == 0).all()


def test_one_layer_without_a_last_norm_is_that_of_torch():
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    module = encoder(norms="after", positions=False, final_norm=False, dropout=0.0, attention_dropout=0.0)
    params, x = init_params(), sequences([6, 6, 6])
    params = {name: value for name, value in params.items() if name != "norm"}
    theirs = torch.nn.TransformerEncoderLayer(WIDTH, HEADS, WIDE, dropout=0.0, batch_first=True)
    flat = {name.removeprefix("layer_0/"): torch.tensor(leaf.T) for name, leaf in by_layer(params).items()}
    with torch.no_grad():
        for name, part in (("attention_norm", theirs.norm1), ("feedforward_norm", theirs.norm2)):
            part.weight.copy_(flat[f"{name}/scale"])
            part.bias.copy_(flat[f"{name}/bias"])
        for name, part in (
            ("output", theirs.self_attn.out_proj),
            ("expand", theirs.linear1),
            ("contract", theirs.linear2),
        ):
            part.weight.copy_(flat[f"{name}/kernel"])
            part.bias.copy_(flat[f"{name}/bias"])
        three = ("query", "key", "value")
        theirs.self_attn.in_proj_weight.copy_(torch.cat([flat[f"{name}/kernel"] for name in three]))
        theirs.self_attn.in_proj_bias.copy_(torch.cat([flat[f"{name}/bias"] for name in three]))
    length = np.array([6, 6, 6], np.int32)
    made = jax.eval_shape(lambda: module.init(jax.random.key(0), x, length, train=False))["params"]
    assert jax.tree.map(lambda leaf: leaf.shape, made) == jax.tree.map(np.shape, params)
    found = quick_jit(lambda params: module.apply({"params": params}, x, length, train=True))(params)
    np.testing.assert_allclose(found, theirs(torch.tensor(x)).detach().numpy(), atol=1e-5)


def test_a_width_that_the_heads_do_not_divide_is_refused():
    with pytest.raises(InputError, match="width 8 cannot have 3 heads"):
        encoder(heads=3).init(jax.random.key(0), jnp.zeros((1, 2, WIDTH)), jnp.array([2]), train=False)


# -- positions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8, 128])
@pytest.mark.parametrize("steps", [1, 7, 60])
def test_positions_are_sines_and_cosines_of_the_paper(steps, width):
    want = np.zeros((steps, width))
    for position in range(steps):
        for column in range(width):
            angle = position / 10000 ** (2 * (column // 2) / width)
            want[position, column] = math.cos(angle) if column % 2 else math.sin(angle)
    found = sinusoidal_positions(steps, width)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, want, atol=1e-6)


def test_there_may_be_no_positions():
    assert sinusoidal_positions(0, 4).shape == (0, 4)
