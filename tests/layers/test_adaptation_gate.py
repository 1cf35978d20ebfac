"""The gate of MAG: how far it moves a vector, what it does where there is nothing to move by, and its precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.layers.adaptation_gate import AdaptationGate, bounded_shift
from tests.quick import quick_jit

D = 16
WIDTHS = {"vision": 5, "audio": 3}


def words(shape=(4, 6), scale: float = 1.0, seed: int = 0) -> np.ndarray:
    return (scale * np.random.default_rng(seed).normal(size=(*shape, D))).astype(np.float32)


def frames(shape=(4, 6), names=tuple(WIDTHS), scale: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    made = {name: (scale * rng.normal(size=(*shape, width))).astype(np.float32) for name, width in WIDTHS.items()}
    return {name: made[name] for name in names}


def params_of(gate: AdaptationGate, names=tuple(WIDTHS), scale: float = 0.5) -> dict:
    """Parameters far from where they start, the same for a modality whatever the others are."""
    rng = np.random.default_rng(2)
    made = jax.eval_shape(lambda: gate.init(jax.random.key(0), words(), frames(), deterministic=True))["params"]
    drawn = jax.tree.map(lambda leaf: (scale * rng.normal(size=leaf.shape)).astype(np.float32), made)
    return {key: value for key, value in drawn.items() if key == "norm" or key.split("_")[0] in names}


def normalised(x: np.ndarray, params: dict) -> np.ndarray:
    x = x.astype(np.float64)
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * params["norm"]["scale"] + params["norm"]["bias"]


def by_hand(z: np.ndarray, given: dict[str, np.ndarray], params: dict, beta: float) -> np.ndarray:
    """The equations of the gate in float64."""
    total = np.zeros(z.shape)
    for name, x in given.items():
        gate, shift = params[f"{name}_gate"], params[f"{name}_shift"]
        score = np.concatenate([x, z], -1).astype(np.float64) @ gate["kernel"] + gate["bias"]
        total += np.maximum(score, 0) * (x.astype(np.float64) @ shift["kernel"] + shift["bias"])
    norm = np.linalg.norm(total, axis=-1, keepdims=True)
    limit = beta * np.linalg.norm(z.astype(np.float64), axis=-1, keepdims=True)
    return normalised(z + np.minimum(limit / (np.where(norm == 0, 1, norm) + 1e-6), 1) * total, params)


@pytest.mark.parametrize("names", [("vision", "audio"), ("vision",), ("audio",), ()], ids=str)
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_the_gate_is_its_equations_for_the_modalities_there_are(beta, names):
    gate = AdaptationGate(beta=beta)
    params = params_of(gate, names)
    found = gate.apply({"params": params}, words(), frames(names=names), deterministic=True)
    np.testing.assert_allclose(found, by_hand(words(), frames(names=names), params, beta), atol=1e-5)
    fresh = jax.eval_shape(lambda: gate.init(jax.random.key(0), words(), frames(names=names), deterministic=True))
    assert jax.tree.map(jnp.shape, fresh["params"]) == jax.tree.map(jnp.shape, params)


def test_gradients_of_words_and_frames_equal_torch():
    torch = pytest.importorskip("torch")
    gate = AdaptationGate(beta=0.7)
    params, probe = params_of(gate, scale=0.3), words(seed=6)
    given = {"z": words(), **frames()}

    def total(given):
        return (gate.apply({"params": params}, given.pop("z"), given, deterministic=True) * probe).sum()

    found = quick_jit(jax.grad(total))(dict(given))

    theirs = {name: torch.tensor(value, requires_grad=True) for name, value in given.items()}
    peer = jax.tree.map(torch.tensor, params)
    shift = 0
    for name in WIDTHS:
        score = (
            torch.cat([theirs[name], theirs["z"]], -1) @ peer[f"{name}_gate"]["kernel"] + peer[f"{name}_gate"]["bias"]
        )
        moved = theirs[name] @ peer[f"{name}_shift"]["kernel"] + peer[f"{name}_shift"]["bias"]
        shift = shift + torch.relu(score) * moved
    ratio = 0.7 * theirs["z"].norm(dim=-1, keepdim=True) / (shift.norm(dim=-1, keepdim=True) + 1e-6)
    assert 0.1 < (ratio < 1).float().mean() < 0.9  # shifts that are cut and shifts that are not
    fused = theirs["z"] + ratio.clamp(max=1) * shift
    fused = torch.nn.functional.layer_norm(fused, [D], peer["norm"]["scale"], peer["norm"]["bias"], 1e-5)
    (fused * torch.tensor(probe)).sum().backward()
    for name, value in theirs.items():
        np.testing.assert_allclose(found[name], value.grad, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("beta", [0.0, 1e-3, 0.5, 1.0, 3.0])
def test_a_shift_is_nowhere_longer_than_beta_times_the_vector_that_it_moves(beta):
    rng = np.random.default_rng(3)
    z = words((500,)) * np.exp(rng.uniform(-12, 12, (500, 1))).astype(np.float32)
    shift = words((500,), seed=4) * np.exp(rng.uniform(-12, 12, (500, 1))).astype(np.float32)
    found = np.asarray(bounded_shift(z, shift, beta), np.float64)
    length, limit = np.linalg.norm(found, axis=-1), beta * np.linalg.norm(z.astype(np.float64), axis=-1)
    assert (length <= limit * (1 + 1e-6)).all()
    free = np.linalg.norm(shift.astype(np.float64), axis=-1) < 0.99 * limit - 1e-5
    np.testing.assert_array_equal(found[free], shift[free])


def test_a_shift_of_nothing_is_nothing_and_its_gradient_is_that_of_a_shift_of_length_one():
    z, beta = words((3,)), 0.1
    value, pull = jax.vjp(lambda z, shift: bounded_shift(z, shift, beta), z, jnp.zeros_like(z))
    np.testing.assert_array_equal(value, 0)
    to_z, to_shift = pull(jnp.ones_like(z))
    alpha = np.minimum(beta * np.linalg.norm(z, axis=-1, keepdims=True) / (1 + 1e-6), 1)
    np.testing.assert_allclose(to_shift, np.broadcast_to(alpha, z.shape), rtol=1e-6)
    np.testing.assert_array_equal(to_z, 0)


def test_gradients_are_finite_where_vectors_and_shifts_are_zero():
    gate = AdaptationGate()
    z, given = np.zeros((2, 3, D), np.float32), {name: x * 0 for name, x in frames((2, 3)).items()}
    params = jax.tree.map(np.zeros_like, params_of(gate))

    def total(params, z, given):
        return (gate.apply({"params": params}, z, given, deterministic=True) * words((2, 3))).sum()

    for leaf in jax.tree.leaves(quick_jit(jax.grad(total, argnums=(0, 1, 2)))(params, z, given)):
        assert np.isfinite(leaf).all()


def test_a_traced_beta_of_zero_leaves_norm_alone():
    gate = AdaptationGate()
    params = params_of(gate)

    @quick_jit
    def shifted(beta):
        return AdaptationGate(beta=beta).apply({"params": params}, words(), frames(), deterministic=True)

    np.testing.assert_allclose(shifted(0.0), normalised(words(), params), atol=1e-5)
    assert not np.allclose(shifted(1.0), normalised(words(), params), atol=0.1)


def test_zero_frames_shift_by_the_biases_of_the_shifts():
    gate = AdaptationGate()
    params, still = params_of(gate), {name: x * 0 for name, x in frames().items()}
    found = gate.apply({"params": params}, words(), still, deterministic=True)
    assert not np.allclose(found, normalised(words(), params), atol=0.1)
    for name in WIDTHS:
        params[f"{name}_shift"]["bias"] = np.zeros(D, np.float32)
    found = gate.apply({"params": params}, words(), still, deterministic=True)
    np.testing.assert_allclose(found, normalised(words(), params), atol=1e-5)


def test_positions_do_not_see_each_other():
    gate = AdaptationGate()
    params, z, given = params_of(gate), words(), frames()
    found = gate.apply({"params": params}, z, given, deterministic=True)
    flat = {name: x.reshape(1, 24, -1) for name, x in given.items()}
    packed = gate.apply({"params": params}, z.reshape(1, 24, D), flat, deterministic=True)
    np.testing.assert_allclose(packed.reshape(4, 6, D), found, atol=1e-6)
    z[0], given["audio"][1] = np.nan, np.nan
    moved = gate.apply({"params": params}, z, given, deterministic=True)
    np.testing.assert_allclose(moved[2:], found[2:], atol=1e-6)


def test_weights_start_normal_and_biases_at_zero():
    gate = AdaptationGate()
    made = quick_jit(lambda: gate.init(jax.random.key(0), words(), frames(), deterministic=True))()["params"]
    kernels = np.concatenate([made[name]["kernel"].ravel() for name in made if name != "norm"])
    assert abs(kernels.std() - 0.02) < 0.002
    assert abs(kernels.mean()) < 0.002
    for name in made:
        np.testing.assert_array_equal(made[name]["bias"], 0)
    np.testing.assert_array_equal(made["norm"]["scale"], 1)


def test_dropout_falls_on_the_normalised_vectors_in_training_alone():
    gate = AdaptationGate(dropout=0.5)
    params = params_of(gate)
    still = gate.apply({"params": params}, words(), frames(), deterministic=True)
    key = {"dropout": jax.random.key(0)}
    found = np.asarray(gate.apply({"params": params}, words(), frames(), deterministic=False, rngs=key))
    kept = found != 0
    assert 0.4 < kept.mean() < 0.6
    np.testing.assert_allclose(found[kept], 2 * np.asarray(still)[kept], rtol=1e-5)


def test_bfloat16_keeps_the_bound_and_stays_near_float32():
    params = params_of(AdaptationGate())
    for scale in (1e-4, 1.0, 1e4):
        given = frames(scale=scale)
        wide = AdaptationGate().apply({"params": params}, words(), given, deterministic=True)
        found = AdaptationGate(dtype=jnp.bfloat16).apply({"params": params}, words(), given, deterministic=True)
        assert found.dtype == jnp.bfloat16
        np.testing.assert_allclose(found.astype(jnp.float32), wide, atol=0.06)
    z, shift = words((50,)).astype(jnp.bfloat16), 1e3 * words((50,), seed=5).astype(jnp.bfloat16)
    length = np.linalg.norm(np.asarray(bounded_shift(z, shift, 1.0), np.float64), axis=-1)
    np.testing.assert_allclose(length, np.linalg.norm(np.asarray(z, np.float64), axis=-1), rtol=1e-5)


def test_frames_of_other_positions_are_refused():
    gate = AdaptationGate()
    with pytest.raises(AssertionError):
        gate.apply({"params": params_of(gate)}, words(), frames((4, 5)), deterministic=True)
    with pytest.raises(AssertionError):
        bounded_shift(words(), words((4, 5)), 1.0)


@pytest.mark.parametrize(("widths", "count"), [((768, 20, 5), 1_222_656)], ids=["mosi"])
def test_it_has_as_many_parameters_as_the_published_one(widths, count):
    size, vision, audio = widths
    z, given = jnp.zeros((1, 1, size)), {"vision": jnp.zeros((1, 1, vision)), "audio": jnp.zeros((1, 1, audio))}
    made = jax.eval_shape(lambda: AdaptationGate().init(jax.random.key(0), z, given, deterministic=True))
    assert sum(leaf.size for leaf in jax.tree.leaves(made)) == count
