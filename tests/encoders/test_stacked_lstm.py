"""LSTMs on top of each other, against torch.nn.LSTM of several layers on packed sequences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.encoders import scan_plan
from msa_jax.encoders.lstm import LSTM, BidirectionalLSTM, StackedLSTM
from msa_jax.encoders.scan_plan import CPU_CHUNK as CHUNK
from msa_jax.encoders.scan_plan import CPU_ROWS as ROWS
from tests.quick import quick_jit

HIDDEN, WIDTH, LAYERS = 5, 3, 3
NAMES = {"input": "weight_ih", "recurrent": "weight_hh", "input_bias": "bias_ih", "recurrent_bias": "bias_hh"}
LENGTHS = {"short": [7, 1, 4], "groups": [1 + 5 * k % (CHUNK + 9) for k in range(ROWS + 3)]}


def init_params(layers: int = LAYERS, seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)

    def layer(width: int) -> dict:
        shapes = {"input": (width, 4 * HIDDEN), "recurrent": (HIDDEN, 4 * HIDDEN)}
        shapes |= {"input_bias": (4 * HIDDEN,), "recurrent_bias": (4 * HIDDEN,)}
        return {name: (0.5 * rng.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()}

    return {f"layer_{number}": layer(HIDDEN if number else WIDTH) for number in range(layers)}


def sequences(lengths: list[int], steps: int | None = None, fill: float = 0.0) -> np.ndarray:
    """[B, steps, WIDTH], `fill` behind each length."""
    steps = max(lengths) if steps is None else steps
    frames = np.random.default_rng(1).normal(size=(len(lengths), max(lengths), WIDTH)).astype(np.float32)
    frames = np.pad(frames, [(0, 0), (0, steps - max(lengths)), (0, 0)])
    return np.where((np.arange(steps) < np.array(lengths)[:, None])[..., None], frames, np.float32(fill))


@quick_jit
def run(params, frames, length):
    return StackedLSTM(HIDDEN, len(params)).apply({"params": params}, frames, length, train=False)


@quick_jit
def gradients(params, frames, length, pull):
    def value(params, frames):
        state = StackedLSTM(HIDDEN, len(params)).apply({"params": params}, frames, length, train=False)
        return (state * pull).sum()

    return jax.grad(value, (0, 1))(params, frames)


@pytest.mark.parametrize("kind", ["short", pytest.param("groups", marks=pytest.mark.slow)])
def test_states_and_gradients_equal_those_of_torch(kind):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    lengths, params = LENGTHS[kind], init_params()
    frames = sequences(lengths)
    pull = np.random.default_rng(2).normal(size=(len(lengths), HIDDEN)).astype(np.float32)

    theirs = torch.nn.LSTM(WIDTH, HIDDEN, LAYERS, batch_first=True)
    pairs = {
        (number, name): getattr(theirs, f"{other}_l{number}")
        for number in range(LAYERS)
        for name, other in NAMES.items()
    }
    with torch.no_grad():
        for (number, name), tensor in pairs.items():
            tensor.copy_(torch.tensor(params[f"layer_{number}"][name].T))
    tensor = torch.tensor(frames, requires_grad=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(tensor, lengths, batch_first=True, enforce_sorted=False)
    state = theirs(packed)[1][0][-1]
    (state * torch.tensor(pull)).sum().backward()

    length = np.array(lengths, np.int32)
    np.testing.assert_allclose(run(params, frames, length), state.detach().numpy(), atol=1e-6)
    of_params, of_frames = gradients(params, frames, length, pull)
    np.testing.assert_allclose(of_frames, tensor.grad.numpy(), atol=1e-5)
    for (number, name), tensor in pairs.items():
        want = tensor.grad.numpy().T
        np.testing.assert_allclose(of_params[f"layer_{number}"][name], want, atol=5e-5, err_msg=f"{number}, {name}")
        assert np.abs(want).max() > 1e-3


def test_a_stack_of_one_is_an_lstm():
    params, frames, length = init_params(1), sequences([4, 2]), np.array([4, 2], np.int32)
    want = LSTM(HIDDEN).apply({"params": params["layer_0"]}, frames, length)
    np.testing.assert_allclose(run(params, frames, length), want, atol=1e-6)


@pytest.mark.slow
def test_padding_changes_nothing_and_a_sequence_without_steps_ends_in_zeros():
    lengths, params = [7, 0, 4], init_params()
    length, pull = np.array(lengths, np.int32), np.ones((3, HIDDEN), np.float32)
    want = run(params, sequences(lengths), length)
    longer = sequences(lengths, CHUNK + 1, fill=100.0)
    np.testing.assert_allclose(run(params, longer, length), want, atol=1e-6)
    np.testing.assert_array_equal(want[1], 0)
    of_params, of_frames = gradients(params, longer, length, pull)
    want_params, _ = gradients(params, sequences(lengths), length, pull)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), of_params, want_params)
    assert (np.asarray(of_frames)[np.arange(CHUNK + 1) >= length[:, None]] == 0).all()


@pytest.mark.slow
def test_dropout_changes_what_layers_hand_on_in_training_and_may_be_traced():
    params, frames, length = init_params(), np.ones((20, 3, WIDTH), np.float32), np.full(20, 3, np.int32)

    @quick_jit
    def dropped(params, rate):
        rngs = {"dropout": jax.random.key(0)}
        return StackedLSTM(HIDDEN, LAYERS, rate).apply({"params": params}, frames, length, train=True, rngs=rngs)

    want, found = run(params, frames, length), dropped(params, 0.5)
    np.testing.assert_allclose(dropped(params, 0.0), want, atol=1e-6)
    assert np.abs(found - want).max() > 0.01
    assert len(np.unique(np.asarray(found).round(5), axis=0)) > 15  # each of the equal samples by itself
    # The states of the last layer stay: if it alone counts, nothing is dropped.
    alone = {**params, "layer_2": {**params["layer_2"], "input": np.zeros_like(params["layer_2"]["input"])}}
    np.testing.assert_allclose(dropped(alone, 0.5), run(alone, frames, length), atol=1e-6)
    # The number 0, evaluation, and a single layer ask for no key.
    for layers, rate, train in ((LAYERS, 0.0, True), (LAYERS, 0.5, False), (1, 0.5, True)):
        some = {name: params[name] for name in list(params)[:layers]}
        found = StackedLSTM(HIDDEN, layers, rate).apply({"params": some}, frames, length, train=train)
        np.testing.assert_allclose(found, run(some, frames, length), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("both", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["stacked", "both ways"])
def test_gates_that_are_kept_are_those_that_are_computed_again(both, monkeypatch):
    lengths = [CHUNK + 3, 0, *[5] * ROWS]
    frames, length = sequences(lengths), np.array(lengths, np.int32)
    module, call = (BidirectionalLSTM(HIDDEN), {}) if both else (StackedLSTM(HIDDEN, 2), {"train": False})
    params = jax.jit(lambda: module.init(jax.random.key(0), frames, length, **call))()["params"]

    def program():
        def value(params, frames):
            return jnp.sin(3 * module.apply({"params": params}, frames, length, **call)).sum()

        lowered = jax.jit(jax.value_and_grad(value, (0, 1))).lower(params, frames)
        compiled = lowered.compile({"xla_backend_optimization_level": 0})
        return lowered.as_text().count("stablehlo.dot_general"), compiled(params, frames)

    products, want = program()
    monkeypatch.setattr(scan_plan, "WIDE", WIDTH - 1)
    fewer, found = program()
    assert fewer < products
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, want)


def test_layers_are_a_loop_in_the_program():
    frames, length, pull = sequences([6, 3]), np.array([6, 3], np.int32), np.ones((2, HIDDEN), np.float32)
    lines = {
        layers: len(gradients.lower(init_params(layers), frames, length, pull).as_text().splitlines())
        for layers in (1, 2, 8)
    }
    assert (lines[8] - lines[2]) / 6 < 0.1 * lines[1]  # parameters alone


@pytest.mark.slow
def test_runs_side_by_side_are_those_of_each():
    lengths = np.array([[6, 5], [4, 1], [3, 0]], np.int32)
    frames = np.stack([sequences(each.tolist(), 8) for each in lengths])
    params = [init_params(seed=seed) for seed in range(3)]
    pull = np.ones((2, HIDDEN), np.float32)
    together = jax.vmap(lambda params, frames, length: gradients(params, frames, length, pull))
    found = together(jax.tree.map(lambda *leaves: np.stack(leaves), *params), frames, lengths)
    for number, own in enumerate(params):
        want = gradients(own, frames[number], lengths[number], pull)
        jax.tree.map(lambda a, b, number=number: np.testing.assert_allclose(a[number], b, atol=1e-5), found, want)


def test_it_computes_in_bfloat16():
    params, frames, length = init_params(), sequences([6, 3]), np.array([6, 3], np.int32)
    module = StackedLSTM(HIDDEN, LAYERS, dtype=jnp.bfloat16)
    state = quick_jit(lambda params: module.apply({"params": params}, frames, length, train=False))(params)
    assert state.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(state, np.float32), run(params, frames, length), atol=0.03)


def test_every_layer_starts_as_an_lstm_does():
    frames, length = sequences([6, 3]), np.array([6, 3], np.int32)
    params = quick_jit(lambda: StackedLSTM(64, 2).init(jax.random.key(0), frames, length, train=False)["params"])()
    shapes = {name: {leaf: value.shape for leaf, value in layer.items()} for name, layer in params.items()}
    biases = {"input_bias": (256,), "recurrent_bias": (256,)}
    assert shapes == {
        "layer_0": {"input": (WIDTH, 256), "recurrent": (64, 256), **biases},
        "layer_1": {"input": (64, 256), "recurrent": (64, 256), **biases},
    }
    for value in jax.tree.leaves(params):
        assert 0.9 * 64**-0.5 < np.abs(value).max() <= 64**-0.5
