"""The Modality Recalibration Module against a PyTorch derivation with copied weights, and its properties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.layers.recalibration import Recalibration

SIZES = {"text": 6, "audio": 5, "vision": 4}
STEPS = {"text": 3, "audio": 7, "vision": 5}
B = 3


def _inputs(names=tuple(SIZES), seed: int = 0):
    rng = np.random.default_rng(seed)
    sequences = {name: rng.normal(size=(B, STEPS[name], SIZES[name])).astype(np.float32) for name in names}
    return sequences, {name: rng.integers(1, STEPS[name] + 1, B).astype(np.int32) for name in names}


def _init(module, sequences, length):
    return module.init(jax.random.key(0), sequences, length)


@pytest.mark.parametrize("names", [("text", "audio", "vision"), ("text", "vision"), ("audio",)])
@pytest.mark.parametrize("include_padding", [True, False])
def test_gates_values_and_gradients_equal_torch(include_padding, names):
    torch = pytest.importorskip("torch")
    from tests.reference import sugrm_torch, sugrm_weights

    letters = {name: name[0] for name in names}
    torch.manual_seed(0)
    peer = sugrm_torch.Recalibration({letters[name]: SIZES[name] for name in names})
    sequences, length = _inputs(names)
    theirs = {letters[name]: torch.tensor(value, requires_grad=True) for name, value in sequences.items()}
    if include_padding:
        expected = peer(theirs)
    else:  # sample by sample, and not a step beyond the valid ones; padding then takes the gate of its sample
        expected = {letter: torch.zeros_like(value) for letter, value in theirs.items()}
        for b in range(B):
            valid = {letters[name]: theirs[letters[name]][b : b + 1, : int(length[name][b])] for name in names}
            for letter, value in peer(valid).items():
                expected[letter][b, : value.shape[1]] = value[0]
    probe = {name: np.random.default_rng(1).normal(size=value.shape) for name, value in sequences.items()}
    inside = {name: (np.arange(STEPS[name]) < length[name][:, None])[..., None] | include_padding for name in names}
    probe = {name: (probe[name] * inside[name]).astype(np.float32) for name in names}
    sum((expected[letters[name]] * torch.tensor(probe[name])).sum() for name in names).backward()

    module = Recalibration(include_padding=include_padding)
    params = jax.tree.map(jnp.asarray, sugrm_weights.recalibration(sugrm_weights.weights(peer)))
    fresh = _init(module, sequences, length)["params"]
    assert jax.tree.map(jnp.shape, fresh) == jax.tree.map(jnp.shape, params)

    def total(params, sequences):
        found, _ = module.apply({"params": params}, sequences, length)
        return sum((found[name] * probe[name]).sum() for name in names), found

    (_, found), gradient = jax.jit(jax.value_and_grad(total, argnums=(0, 1), has_aux=True))(params, sequences)
    for name in names:
        value = expected[letters[name]].detach().numpy()
        np.testing.assert_allclose(found[name] * inside[name], value * inside[name], atol=1e-6)
        np.testing.assert_allclose(gradient[1][name], theirs[letters[name]].grad, atol=1e-5)
    wanted = sugrm_weights.recalibration(sugrm_weights.gradients(peer))
    for (path, one), other in zip(
        jax.tree_util.tree_leaves_with_path(wanted), jax.tree.leaves(gradient[0]), strict=True
    ):
        np.testing.assert_allclose(other, one, atol=1e-5, err_msg=str(path))


def test_gates_by_the_equations_of_the_paper():
    sequences, length = _inputs()
    module = Recalibration()
    variables = _init(module, sequences, length)
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])
    found, gates = module.apply(variables, sequences, length)
    for b in range(B):
        squeezed = [sequences[name][b, : length[name][b]].mean(0) for name in sorted(SIZES)]
        z = np.maximum(np.concatenate(squeezed) @ p["bottleneck"]["kernel"] + p["bottleneck"]["bias"], 0)
        for name in SIZES:
            e = z @ p[f"{name}_excitation"]["kernel"] + p[f"{name}_excitation"]["bias"]
            gate = 2 / (1 + np.exp(-e))
            np.testing.assert_allclose(gates[name][b], gate, atol=1e-6)
            np.testing.assert_allclose(found[name][b], sequences[name][b] * gate, atol=1e-6)


@pytest.mark.parametrize(("audio", "vision", "expected"), [(5, 20, 315_019), (74, 35, 385_222)])
def test_parameter_count_is_that_of_the_published_code(audio, vision, expected):
    shapes = {"text": (1, 2, 768), "audio": (1, 2, audio), "vision": (1, 2, vision)}
    sequences = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
    length = dict.fromkeys(shapes, jax.ShapeDtypeStruct((1,), jnp.int32))
    params = jax.eval_shape(Recalibration().init, jax.random.key(0), sequences, length)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == expected


def test_more_padding_changes_nothing_unless_it_is_included():
    sequences, length = _inputs()
    rng = np.random.default_rng(2)
    longer = {}
    for name, value in sequences.items():
        extra = np.concatenate([value, rng.normal(size=value.shape).astype(np.float32)], axis=1)
        inside = (np.arange(extra.shape[1]) < length[name][:, None])[..., None]
        longer[name] = np.where(inside, extra, 9.0).astype(np.float32)
    for include_padding in (False, True):
        module = Recalibration(include_padding=include_padding)
        variables = _init(module, sequences, length)
        (_, one), (_, other) = module.apply(variables, sequences, length), module.apply(variables, longer, length)
        same = [np.allclose(one[name], other[name], atol=1e-6) for name in SIZES]
        assert not any(same) if include_padding else all(same)


def test_a_modality_moves_the_gates_of_the_others():
    sequences, length = _inputs()
    module = Recalibration()
    variables = _init(module, sequences, length)
    _, before = module.apply(variables, sequences, length)
    _, after = module.apply(variables, {**sequences, "audio": sequences["audio"] + 1}, length)
    for name in SIZES:
        assert np.abs(before[name] - after[name]).max() > 1e-3


@pytest.mark.slow
def test_length_zero_and_large_excitations_stay_finite():
    sequences, _ = _inputs()
    nothing = {name: np.zeros(B, np.int32) for name in SIZES}
    module = Recalibration()
    variables = _init(module, sequences, nothing)
    for scale in (1.0, 1e6):
        larger = jax.tree.map(lambda leaf: leaf * scale, variables)  # noqa: B023

        def total(sequences):
            found, gates = module.apply(larger, sequences, nothing)  # noqa: B023
            return sum(leaf.sum() for leaf in jax.tree.leaves((found, gates)))

        value, gradient = jax.value_and_grad(total)(sequences)
        assert np.isfinite(value)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.slow
def test_rows_do_not_see_each_other():
    sequences, length = _inputs()
    module = Recalibration()
    variables = _init(module, sequences, length)
    _, together = module.apply(variables, sequences, length)
    for b in range(B):
        one = jax.tree.map(lambda leaf: leaf[b : b + 1], (sequences, length))  # noqa: B023
        _, alone = module.apply(variables, *one)
        for name in SIZES:
            np.testing.assert_allclose(together[name][b], alone[name][0], atol=1e-6)
