"""The Transformer with a token of its own, against torch.nn.TransformerEncoder."""

import functools

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.encoders.token_transformer import TokenTransformer
from msa_jax.errors import InputError
from msa_jax.layers.stack import unstack
from tests.quick import quick_jit

SIZE, WIDTH, HEADS, WIDE, STEPS = 3, 8, 2, 12, 9
ONE, SMALL = (100, 100), (2, 4)  # everything in one tile; few rows and steps in each
LENGTHS = [4, 0, 9, 1, 6]


def encoder(**changes) -> TokenTransformer:
    given = {"width": WIDTH, "steps": STEPS, "heads": HEADS, "feedforward": WIDE, "tile": ONE, "layers": 1}
    return TokenTransformer(**{**given, **changes})


def init_params(layers: int = 1) -> dict:
    """Parameters far from where they start."""
    given = jnp.zeros((1, 2, SIZE)), jnp.array([2])
    made = jax.eval_shape(lambda: encoder(layers=layers).init(jax.random.key(0), *given, train=False))["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: (0.4 * rng.normal(size=leaf.shape)).astype(np.float32), made)


def frames(lengths=LENGTHS, steps: int = STEPS, padding: float = 0.0) -> np.ndarray:
    """[B, steps, SIZE], `padding` behind each length."""
    x = np.random.default_rng(1).normal(size=(len(lengths), STEPS, SIZE)).astype(np.float32)
    x = np.pad(x, [(0, 0), (0, max(steps - STEPS, 0)), (0, 0)])[:, :steps]
    x[np.arange(steps) >= np.array(lengths)[:, None]] = padding
    return x


@functools.cache
def _compiled(module: TokenTransformer, train: bool):
    def run(params, x, length, key):
        return module.apply({"params": params}, x, length, train=train, rngs={"dropout": key})

    return quick_jit(run)


def forward(params, x, lengths=LENGTHS, *, train=False, key=0, **changes) -> np.ndarray:
    run = _compiled(encoder(**changes), train)
    return np.asarray(run(params, x, np.array(lengths, np.int32), jax.random.key(key)))


def torch_encoder(torch, params, layers=1):
    """The derivation with our parameters, and its tensors by our names."""
    from tests.reference import decomposed

    module = decomposed.Encoder(SIZE, WIDTH, STEPS, layers, HEADS, WIDE).train()
    tensors = decomposed.encoder_tensors(module)
    flat = unstack(flax.traverse_util.flatten_dict(params, sep="/"))
    assert tensors.keys() == flat.keys()
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(torch.tensor(flat[name].T))
    return module


@pytest.mark.parametrize(
    ("protocol", "tile", "layers"), [("paper", ONE, 2), ("paper", SMALL, 1), ("reference", SMALL, 1)], ids=str
)
def test_outputs_and_gradients_equal_those_of_torch(protocol, tile, layers):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    params, x = init_params(layers), frames()
    pull = np.random.default_rng(2).normal(size=(len(LENGTHS), WIDTH)).astype(np.float32)
    module = encoder(tile=tile, layers=layers, padding_mean=protocol == "reference")

    def pulled(params, x):
        out = module.apply({"params": params}, x, np.array(LENGTHS, np.int32), train=False)
        return (out * pull).sum(), out

    (_, out), gradient = quick_jit(jax.value_and_grad(pulled, has_aux=True))(params, x)
    theirs = torch_encoder(torch, params, layers)
    result = theirs(torch.tensor(x), LENGTHS, protocol)
    (result * torch.tensor(pull)).sum().backward()
    np.testing.assert_allclose(out, result.detach().numpy(), atol=2e-5)

    # Gradients under the same names: those of the joint projection are the rows of one tensor.
    ours = unstack(flax.traverse_util.flatten_dict(jax.tree.map(np.asarray, gradient), sep="/"))
    np.testing.assert_allclose(ours["token"], theirs.token.grad.numpy(), atol=1e-4)
    np.testing.assert_allclose(ours["positions"], theirs.positions.grad.numpy(), atol=1e-4)
    np.testing.assert_allclose(ours["projection/kernel"].T, theirs.projection.weight.grad.numpy(), atol=1e-4)
    np.testing.assert_allclose(ours["transformer/norm/scale"], theirs.norm.weight.grad.numpy(), atol=1e-4)
    for number, layer in enumerate(theirs.transformer.layers):
        path = f"transformer/layer_{number}"
        joint = np.concatenate([ours[f"{path}/{name}/kernel"].T for name in ("query", "key", "value")])
        np.testing.assert_allclose(joint, layer.self_attn.in_proj_weight.grad.numpy(), atol=1e-4)
        np.testing.assert_allclose(ours[f"{path}/expand/kernel"].T, layer.linear1.weight.grad.numpy(), atol=1e-4)
        np.testing.assert_allclose(ours[f"{path}/contract/bias"], layer.linear2.bias.grad.numpy(), atol=1e-4)


@pytest.mark.parametrize("tile", [ONE, SMALL], ids=str)
def test_padding_changes_nothing(tile):
    params = init_params()
    expected = forward(params, frames(), tile=ONE)
    for steps, padding in ((STEPS, 7.0), (STEPS + 5, np.nan)):
        np.testing.assert_allclose(
            forward(params, frames(steps=steps, padding=padding), tile=tile), expected, atol=1e-5
        )


def test_the_mean_over_padding_is_over_the_steps_of_training_however_the_batch_is_cut():
    params, lengths = init_params(), [4, 0, 2]
    expected = forward(params, frames(lengths), lengths, padding_mean=True)
    cut = forward(params, frames(lengths, steps=4, padding=5.0), lengths, padding_mean=True)
    np.testing.assert_allclose(cut, expected, atol=1e-5)
    assert np.abs(expected - forward(params, frames(lengths), lengths)).max() > 0.05


@pytest.mark.parametrize("padding_mean", [False, True])
def test_a_sample_does_not_depend_on_its_batch(padding_mean):
    params, x = init_params(), frames()
    whole = forward(params, x, tile=SMALL, padding_mean=padding_mean)
    for row, length in enumerate(LENGTHS):
        alone = forward(params, x[row : row + 1], [length], padding_mean=padding_mean)
        np.testing.assert_allclose(alone[0], whole[row], atol=1e-5)


def test_frames_beyond_the_positions_have_the_last_one():
    params = init_params()
    longer = dict(params) | {"positions": np.concatenate([params["positions"], params["positions"][-1:]])}
    x = np.random.default_rng(3).normal(size=(2, STEPS + 1, SIZE)).astype(np.float32)
    lengths = [STEPS + 1, 3]
    expected = forward(longer, x, lengths, steps=STEPS + 1)
    np.testing.assert_allclose(forward(params, x, lengths), expected, atol=1e-6)


def test_dropout_draws_from_its_key_in_training_alone():
    params, x = init_params(), frames()
    assert np.array_equal(forward(params, x, key=1), forward(params, x, key=2))
    first, second = (forward(params, x, train=True, key=key) for key in (1, 2))
    assert np.abs(first - second).max() > 0.1
    np.testing.assert_allclose(forward(params, x, train=True, dropout=0.0), forward(params, x, dropout=0.0), atol=1e-6)


def test_the_token_starts_as_ones_the_positions_as_zeros_and_the_feedforward_as_wide_as_the_model():
    shapes = jax.eval_shape(
        lambda: encoder(feedforward=None).init(jax.random.key(0), jnp.zeros((1, 2, SIZE)), jnp.array([2]), train=False)
    )["params"]
    assert shapes["transformer"]["layers"]["expand"]["kernel"].shape == (1, WIDTH, WIDTH)
    given = jnp.zeros((1, 2, SIZE)), jnp.array([2])
    params = quick_jit(lambda key: encoder().init(key, *given, train=False))(jax.random.key(0))["params"]
    assert np.array_equal(params["token"], np.ones(WIDTH))
    assert np.array_equal(params["positions"], np.zeros((STEPS + 1, WIDTH)))


def test_bfloat16_stays_near_float32():
    params, x = init_params(), frames()
    half = forward(params, x, dtype=jnp.bfloat16)
    assert half.dtype == jnp.bfloat16
    assert np.abs(half.astype(np.float32) - forward(params, x)).max() < 0.1


def test_a_width_that_the_heads_do_not_divide_is_refused():
    with pytest.raises(InputError, match="a Transformer of width 8 cannot have 3 heads"):
        jax.eval_shape(lambda: encoder(heads=3).init(jax.random.key(0), frames(), jnp.array(LENGTHS), train=False))
