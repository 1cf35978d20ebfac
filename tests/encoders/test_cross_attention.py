"""The Transformer that reads a context, or only steps so far, against one without tiles, loops and gradients by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.encoders import tiles as tiling
from msa_jax.encoders import transformer, transformer_tiles
from msa_jax.encoders.transformer import Transformer
from msa_jax.layers.stack import STACK
from tests.quick import quick_jit

HEADS, WIDTH, WIDE, LAYERS = 2, 6, 10, 2
ONE, SMALL = (100, 100), (2, 3)
QUERIES, KEYS = np.array([4, 7, 1, 5, 2], np.int32), np.array([8, 1, 5, 3, 6], np.int32)
CASES = {
    "context": {},
    "context so far": {"offset": 2},
    "itself so far": {"offset": 0, "own": True},
}


def arrays(lengths: np.ndarray, seed: int, fill: float = 0.0, extra: int = 0) -> np.ndarray:
    """[5, steps, WIDTH], `fill` behind each length."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(len(lengths), lengths.max(), WIDTH)).astype(np.float32)
    x = np.pad(x, [(0, 0), (0, extra), (0, 0)])
    x[np.arange(x.shape[1]) >= lengths[:, None]] = fill
    return x


def encoder(tile=SMALL, offset=None, **fields) -> Transformer:
    fields = {"dropout": 0.0, "attention_dropout": 0.0, "positions": False} | fields
    return Transformer(layers=LAYERS, heads=HEADS, feedforward=WIDE, tile=tile, offset=offset, **fields)


def given(fill: float = 0.0, extra: int = 0):
    """x, keys, values and parameters far from where they start."""
    x = arrays(QUERIES, 0, fill, extra)
    keys, values = arrays(KEYS, 1, fill, extra), arrays(KEYS, 2, fill, extra)
    shapes = jax.eval_shape(lambda: encoder().init(jax.random.key(0), x, QUERIES, (keys, values), KEYS, train=False))[
        "params"
    ]
    rng = np.random.default_rng(3)
    return x, keys, values, jax.tree.map(lambda leaf: (0.4 * rng.normal(size=leaf.shape)).astype(np.float32), shapes)


@jax.numpy_rank_promotion("allow")
def dense(params, x, keys, values, *, offset: int | None, own: bool):
    """The same without tiles: all steps of all rows, masks by index, gradients by JAX."""

    def norm(x, one):
        x = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * one["scale"] + one["bias"]

    def linear(x, one):
        return x @ one["kernel"] + one["bias"]

    def heads(x):
        return x.reshape(*x.shape[:2], HEADS, -1).transpose(0, 2, 1, 3)

    length = QUERIES if own else KEYS
    for number in range(LAYERS):
        layer = jax.tree.map(lambda leaf, number=number: leaf[number], params[STACK])
        sources = (x, x) if own else (keys, values)
        query = heads(linear(norm(x, layer["attention_norm"]), layer["query"]))
        key, value = (
            heads(linear(norm(each, layer["attention_norm"]), layer[name]))
            for each, name in zip(sources, ("key", "value"), strict=True)
        )
        seen = (np.arange(key.shape[2]) < length[:, None])[:, None, None, :]
        if offset is not None:
            seen = seen & (np.arange(key.shape[2])[None, :] <= np.arange(query.shape[2])[:, None] + offset)
        scores = jnp.where(seen, query @ key.swapaxes(2, 3) / np.sqrt(WIDTH / HEADS), -1e30)
        mixed = (jax.nn.softmax(scores) @ value).transpose(0, 2, 1, 3).reshape(x.shape)
        x = x + linear(mixed, layer["output"])
        x = x + linear(jax.nn.relu(linear(norm(x, layer["feedforward_norm"]), layer["expand"])), layer["contract"])
    x = norm(x, params["norm"])
    return x * (np.arange(x.shape[1]) < QUERIES[:, None])[..., None]


def tiled(params, x, keys, values, *, tile, offset, own, **call):
    context = () if own else ((keys, values), KEYS)
    return encoder(tile, offset).apply({"params": params}, x, QUERIES, *context, train=False, **call)


def with_gradients(function, x, keys, values, params, **fields):
    pull = np.random.default_rng(4).normal(size=(len(QUERIES), QUERIES.max(), WIDTH)).astype(np.float32)
    pull = np.pad(pull, [(0, 0), (0, x.shape[1] - QUERIES.max()), (0, 0)])

    def pulled(params, x, keys, values):
        out = function(params, x, keys, values, **fields)
        return (out * pull).sum(), out

    (_, out), gradients = quick_jit(jax.value_and_grad(pulled, (0, 1, 2, 3), has_aux=True))(params, x, keys, values)
    return out, gradients


def close(found, expected, atol=2e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=atol), found, expected)


@pytest.mark.parametrize("tile", [pytest.param(ONE, marks=pytest.mark.slow), SMALL], ids=str)
@pytest.mark.parametrize(
    "case", ["context so far", *(pytest.param(case, marks=pytest.mark.slow) for case in ("context", "itself so far"))]
)
def test_outputs_and_gradients_equal_those_without_tiles(case, tile):
    fields = {"offset": None, "own": False} | CASES[case]
    data = given()
    close(with_gradients(tiled, *data, tile=tile, **fields), with_gradients(dense, *data, **fields))


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "places"), [(46, 371), (371, 46), (46, 46)])
def test_steps_so_far_are_those_of_an_index_at_the_sizes_of_mosi_and_in_the_tiles_of_the_device(
    steps, places, monkeypatch
):
    monkeypatch.setitem(globals(), "QUERIES", np.full(2, steps, np.int32))
    monkeypatch.setitem(globals(), "KEYS", np.full(2, places, np.int32))
    fields = {"offset": abs(places - steps), "own": places == steps}
    data = given()
    close(with_gradients(tiled, *data, tile=None, **fields), with_gradients(dense, *data, **fields), atol=1e-4)


@pytest.mark.slow
def test_padding_of_queries_and_of_the_context_changes_nothing():
    plain, padded = given(), given(fill=9.0, extra=4)
    fields = {"tile": SMALL, "offset": None, "own": False}
    out, gradients = with_gradients(tiled, *plain, **fields)
    more, others = with_gradients(tiled, *padded, **fields)
    close(more[:, : out.shape[1]], out)
    np.testing.assert_array_equal(more[:, out.shape[1] :], 0)
    for found, expected in zip(others[1:], gradients[1:], strict=True):
        close(found[:, : expected.shape[1]], expected)
        np.testing.assert_array_equal(found[:, expected.shape[1] :], 0)


@pytest.mark.slow
def test_gradients_with_dropout_equal_those_of_forward_differentiation(monkeypatch):
    x, keys, values, params = given()
    module = encoder(dropout=0.2, hidden_dropout=0.5, attention_dropout=0.4, offset=1)
    rng = np.random.default_rng(5)
    pull = 5 * rng.normal(size=x.shape).astype(np.float32)
    toward = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), (params, x, keys, values))

    def pulled(params, x, keys, values):
        rngs = {"dropout": jax.random.key(3)}
        out = module.apply({"params": params}, x, QUERIES, (keys, values), KEYS, train=True, rngs=rngs)
        return (out * pull).sum()

    gradient = quick_jit(jax.grad(pulled, (0, 1, 2, 3)))(params, x, keys, values)
    monkeypatch.setattr(transformer, "layer", lambda plan, *given: transformer_tiles._forward(plan, *given)[0])
    monkeypatch.setattr(tiling, "_deal", lambda x, to, back: tiling.take(x, to))
    for part in range(4):  # parameters, queries, keys, values
        along = jax.tree.map(np.zeros_like, toward)
        along = (*along[:part], toward[part], *along[part + 1 :])
        _, want = quick_jit(lambda given, along: jax.jvp(pulled, given, along))((params, x, keys, values), along)
        found = sum(jax.tree.leaves(jax.tree.map(lambda a, b: (a * b).sum(), gradient, along)))
        np.testing.assert_allclose(found, want, rtol=5e-4)
        assert abs(want) > 0.1


@pytest.mark.slow
def test_the_three_rates_are_of_three_places():
    x, keys, values, params = given()

    def out(**rates):
        rngs = {"dropout": jax.random.key(3)}
        module = encoder(ONE, **rates)
        return np.asarray(module.apply({"params": params}, x, QUERIES, (keys, values), KEYS, train=True, rngs=rngs))

    plain = out()
    changed = [out(**rates) for rates in ({"input_dropout": 0.5}, {"hidden_dropout": 0.5}, {"attention_dropout": 0.5})]
    changed.append(out(dropout=0.5, hidden_dropout=0.0, input_dropout=0.0))
    for number, one in enumerate(changed):
        assert all(np.abs(one - other).max() > 1e-3 for other in (plain, *changed[:number]))


def test_parameters_start_by_glorots_bound_where_that_is_asked_for():
    x = jnp.zeros((1, 2, 48))
    module = Transformer(layers=2, heads=2, feedforward=192, start="glorot")
    made = module.init(jax.random.key(0), x, jnp.array([2]), train=False)["params"][STACK]
    together = (6 / (4 * 48)) ** 0.5  # one matrix of three maps
    bounds = {"query": together, "key": together, "value": together, "output": (6 / 96) ** 0.5}
    bounds |= {"expand": (6 / 240) ** 0.5, "contract": (6 / 240) ** 0.5}
    for name, bound in bounds.items():
        kernel = np.abs(made[name]["kernel"])
        assert 0.97 * bound < kernel.max() <= bound, name
        np.testing.assert_array_equal(made[name]["bias"], 0)
