"""Batch normalisation against torch and numpy: values, gradients, running statistics, samples that do not count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from msa_jax.layers.normalisation import COLLECTION, BatchNorm
from msa_jax.methods.protocol import STATISTICS

START = {"scale": np.array([1.5, -0.5, 2.0], np.float32), "bias": np.array([0.1, 0.0, -3.0], np.float32)}
FRESH = {"mean": np.zeros(3, np.float32), "var": np.ones(3, np.float32)}


def values(*shape: int, seed: int = 0) -> np.ndarray:
    """Features of different means and spreads."""
    x = np.random.default_rng(seed).normal(size=shape)
    return (x * np.array([1.0, 20.0, 0.05]) + np.array([0.0, 3.0, -1.0])).astype(np.float32)


def trained(x, where=None, *, start=START, statistics=FRESH, **options):
    """A training step: what comes out, the running statistics, and the gradients of a weighted sum of what counts."""
    x = jnp.asarray(x)
    pull = jnp.asarray(np.random.default_rng(9).normal(size=x.shape), jnp.float32)

    def total(params, x):
        out, moved = BatchNorm(**options).apply(
            {"params": params, COLLECTION: statistics}, x, where, train=True, mutable=[COLLECTION]
        )
        counts = jnp.ones(x.shape, bool)
        if where is not None:
            counts = jnp.broadcast_to(where.reshape(where.shape + (1,) * (x.ndim - where.ndim)), x.shape)
        return jnp.where(counts, pull * out, 0).sum(), (out, moved[COLLECTION])

    gradients, (out, moved) = jax.grad(total, argnums=(0, 1), has_aux=True)(start, x)
    return out, moved, gradients


def evaluated(x, statistics, where=None, **options):
    return BatchNorm(**options).apply({"params": START, COLLECTION: statistics}, jnp.asarray(x), where, train=False)


def test_the_collection_is_the_one_that_the_engine_carries():
    assert COLLECTION == STATISTICS


def test_it_starts_as_torch_does_and_initialising_moves_nothing():
    made = BatchNorm().init(jax.random.key(0), jnp.asarray(values(5, 3)), train=True)
    np.testing.assert_array_equal(made["params"]["scale"], np.ones(3))
    np.testing.assert_array_equal(made["params"]["bias"], np.zeros(3))
    for name, value in FRESH.items():
        np.testing.assert_array_equal(made[COLLECTION][name], value)


@pytest.mark.parametrize("shape", [(6, 3), (4, 5, 3), (2, 3)])
def test_several_training_steps_and_an_evaluation_equal_torch(shape):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.BatchNorm1d(3)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(START["scale"]))
        theirs.bias.copy_(torch.tensor(START["bias"]))

    def by_torch(x):  # its features are the second axis
        return theirs(x.transpose(1, 2)).transpose(1, 2) if x.ndim == 3 else theirs(x)

    statistics = FRESH
    for step in range(4):
        x = values(*shape, seed=step)
        given = torch.tensor(x, requires_grad=True)
        want = by_torch(given)
        theirs.zero_grad()
        (want * torch.tensor(np.random.default_rng(9).normal(size=shape), dtype=torch.float32)).sum().backward()
        out, statistics, (params, of_x) = trained(x, statistics=statistics)
        np.testing.assert_allclose(out, want.detach(), atol=2e-5)
        np.testing.assert_allclose(statistics["mean"], theirs.running_mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(statistics["var"], theirs.running_var, rtol=1e-5)
        np.testing.assert_allclose(params["scale"], theirs.weight.grad, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(params["bias"], theirs.bias.grad, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(of_x, given.grad, rtol=1e-3, atol=2e-4)
    theirs.eval()
    x = values(*shape, seed=7)
    np.testing.assert_allclose(evaluated(x, statistics), by_torch(torch.tensor(x)).detach(), rtol=1e-5, atol=1e-5)


def test_the_time_axis_can_be_normalised_step_by_step_as_torch_does():
    torch = pytest.importorskip("torch")
    x = values(4, 5, 3)
    theirs = torch.nn.BatchNorm1d(5)
    start = {"scale": np.ones(5, np.float32), "bias": np.zeros(5, np.float32)}
    fresh = {"mean": np.zeros(5, np.float32), "var": np.ones(5, np.float32)}
    out, moved, _ = trained(x, start=start, statistics=fresh, axis=1)
    np.testing.assert_allclose(out, theirs(torch.tensor(x)).detach(), atol=1e-5)
    np.testing.assert_allclose(moved["mean"], theirs.running_mean, atol=1e-6)
    np.testing.assert_allclose(moved["var"], theirs.running_var, rtol=1e-5)


@pytest.mark.parametrize("fill", [0.0, 1e6, np.nan])
@pytest.mark.parametrize("kind", ["samples", "samples of sequences", "frames"])
def test_what_does_not_count_changes_nothing(kind, fill):
    shape = (6, 3) if kind == "samples" else (6, 4, 3)
    where = np.random.default_rng(3).uniform(size=shape[:2] if kind == "frames" else shape[:1]) < 0.6
    assert 2 < where.sum() < where.size
    x = values(*shape)
    # The same values that count, alone: [n, 3], and their pulls.
    alone = x[where].reshape(-1, 3)
    pull = np.random.default_rng(9).normal(size=shape)[where].reshape(-1, 3)
    mean, var = alone.astype(np.float64).mean(0), alone.astype(np.float64).var(0)
    normal = (alone - mean) / np.sqrt(var + 1e-5)
    masked = x.copy()
    masked[~where] = fill
    out, moved, (params, of_x) = trained(masked, jnp.asarray(where))
    np.testing.assert_allclose(out[where].reshape(-1, 3), normal * START["scale"] + START["bias"], atol=2e-5)
    np.testing.assert_allclose(moved["mean"], 0.1 * mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(moved["var"], 0.9 + 0.1 * alone.astype(np.float64).var(0, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(params["scale"], (pull * normal).sum(0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(params["bias"], pull.sum(0), rtol=1e-4, atol=1e-5)
    same, _, (_, expected) = trained(x, jnp.asarray(where))
    np.testing.assert_array_equal(out[where], same[where])
    np.testing.assert_array_equal(of_x, expected)
    np.testing.assert_array_equal(of_x[~where], 0)
    assert np.isfinite(out).all()


def test_everything_counts_by_default():
    x = values(5, 3)
    for one, two in zip(jax.tree.leaves(trained(x)), jax.tree.leaves(trained(x, jnp.ones(5, bool))), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("rows", [1, 4])
def test_a_single_counted_sample_gives_the_bias_and_leaves_the_running_variance(rows):
    x, where = values(rows, 3), np.arange(rows) == 0
    out, moved, gradients = trained(x, jnp.asarray(where))
    np.testing.assert_allclose(out[0], START["bias"], atol=1e-6)
    np.testing.assert_allclose(moved["mean"], 0.1 * x[0], rtol=1e-6)
    np.testing.assert_array_equal(moved["var"], FRESH["var"])
    assert all(np.isfinite(value).all() for value in jax.tree.leaves(gradients))


def test_without_any_counted_sample_nothing_moves_and_all_is_finite():
    statistics = {"mean": np.array([1.0, 2.0, 3.0], np.float32), "var": np.array([4.0, 5.0, 6.0], np.float32)}
    out, moved, gradients = trained(values(4, 3), jnp.zeros(4, bool), statistics=statistics)
    for name, value in statistics.items():
        np.testing.assert_array_equal(moved[name], value)
    assert all(np.isfinite(value).all() for value in jax.tree.leaves((out, gradients)))


def test_evaluation_reads_the_running_statistics_sample_by_sample():
    x = values(5, 3)
    statistics = {"mean": np.array([1.0, 2.0, 3.0], np.float32), "var": np.array([4.0, 5.0, 6.0], np.float32)}
    want = (x - statistics["mean"]) / np.sqrt(statistics["var"] + 1e-5) * START["scale"] + START["bias"]
    np.testing.assert_allclose(evaluated(x, statistics), want, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(evaluated(x[:1], statistics), evaluated(x, statistics)[:1])


def test_a_small_spread_around_a_large_mean_is_not_lost():
    x = (np.random.default_rng(0).normal(size=(64, 3)) + 3e3).astype(np.float32)
    out, _, _ = trained(x)
    exact = x.astype(np.float64)
    want = (exact - exact.mean(0)) / exact.std(0) * START["scale"] + START["bias"]
    np.testing.assert_allclose(out, want, atol=2e-3)


def test_statistics_are_float32_whatever_the_dtype():
    x = values(64, 3)
    out, moved, _ = trained(x, dtype=jnp.bfloat16)
    assert out.dtype == jnp.bfloat16
    exact, expected, _ = trained(x)
    for name in FRESH:
        assert moved[name].dtype == jnp.float32
        np.testing.assert_array_equal(moved[name], expected[name])
    np.testing.assert_allclose(out.astype(np.float32), exact, rtol=0.01, atol=0.01)


def test_statistics_are_of_the_whole_batch_when_it_is_split_over_devices():
    x = values(8, 3)
    mesh = Mesh(np.array(jax.devices()[:2]), ("data",))
    split = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
    out, moved, _ = jax.jit(trained)(split)
    expected, statistics, _ = trained(x)
    np.testing.assert_allclose(out, expected, atol=1e-5)
    for name in FRESH:
        np.testing.assert_allclose(moved[name], statistics[name], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_runs_side_by_side_keep_their_own_statistics():
    x = np.stack([values(6, 3, seed=seed) for seed in (0, 1)])
    together = jax.vmap(lambda x: trained(x)[:2])(jnp.asarray(x))
    for run in (0, 1):
        out, moved, _ = trained(x[run])
        np.testing.assert_allclose(together[0][run], out, atol=1e-5)
        for name in FRESH:
            np.testing.assert_allclose(together[1][name][run], moved[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("where", [(5,), (4, 2), (4, 3), (4, 3, 3)])
def test_a_mask_of_another_shape_is_an_error(where):
    x = values(4, 3) if len(where) == 2 else values(4, 3, 3)
    with pytest.raises(ValueError, match="where has shape"):
        trained(x, jnp.ones(where, bool))
