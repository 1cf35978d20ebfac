"""The LSTMs, against torch.nn.LSTM on packed sequences."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.encoders.lstm import LSTM, BidirectionalLSTM, end_states, end_states_of_several
from msa_jax.encoders.scan_plan import CPU_CHUNK as CHUNK
from msa_jax.encoders.scan_plan import CPU_ROWS as ROWS
from msa_jax.encoders.scan_plan import CPU_WHOLE_CHUNK, ScanPlan
from msa_jax.errors import InputError
from msa_jax.layers.pooling import whole_length
from tests.quick import quick_jit

HIDDEN, WIDTH = 5, 3
LENGTHS = {
    "short": [7, 1, 4],
    "one step": [1, 1, 1],
    "chunks": [2 * CHUNK + 6, CHUNK, CHUNK + 1, 1, 2 * CHUNK],
    "whole chunks": [2 * CHUNK, 3],
    "groups": [1 + 5 * k % (CHUNK + 9) for k in range(2 * ROWS + 3)],
}


def init_params(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {"input": (WIDTH, 4 * HIDDEN), "recurrent": (HIDDEN, 4 * HIDDEN)}
    shapes |= {"input_bias": (4 * HIDDEN,), "recurrent_bias": (4 * HIDDEN,)}
    return {name: (0.5 * rng.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()}


def sequences(lengths: list[int], steps: int | None = None) -> np.ndarray:
    """[B, steps, WIDTH], zeros behind each length."""
    steps = max(lengths) if steps is None else steps
    frames = np.random.default_rng(1).normal(size=(len(lengths), max(lengths), WIDTH)).astype(np.float32)
    frames *= (np.arange(max(lengths)) < np.array(lengths)[:, None])[..., None]
    return np.pad(frames, [(0, 0), (0, steps - max(lengths)), (0, 0)])


@jax.jit
def run(params, frames, length):
    return LSTM(HIDDEN).apply({"params": params}, frames, length)


@jax.jit
def gradients(params, frames, length, pull):
    return jax.grad(lambda params, frames: (run(params, frames, length) * pull).sum(), (0, 1))(params, frames)


@pytest.mark.parametrize("kind", LENGTHS)
def test_states_and_gradients_equal_those_of_torch(kind):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    lengths, params = LENGTHS[kind], init_params()
    frames = sequences(lengths)
    pull = np.random.default_rng(2).normal(size=(len(lengths), HIDDEN)).astype(np.float32)

    theirs = torch.nn.LSTM(WIDTH, HIDDEN, batch_first=True)
    names = {
        "input": "weight_ih_l0",
        "recurrent": "weight_hh_l0",
        "input_bias": "bias_ih_l0",
        "recurrent_bias": "bias_hh_l0",
    }
    with torch.no_grad():
        for name, other in names.items():
            getattr(theirs, other).copy_(torch.tensor(params[name].T))
    tensor = torch.tensor(frames, requires_grad=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(tensor, lengths, batch_first=True, enforce_sorted=False)
    state = theirs(packed)[1][0][0]
    (state * torch.tensor(pull)).sum().backward()

    length = np.array(lengths, np.int32)
    np.testing.assert_allclose(run(params, frames, length), state.detach().numpy(), atol=1e-6)
    of_params, of_frames = gradients(params, frames, length, pull)
    np.testing.assert_allclose(of_frames, tensor.grad.numpy(), atol=1e-6)
    for name, other in names.items():
        want = getattr(theirs, other).grad.numpy().T
        np.testing.assert_allclose(of_params[name], want, atol=2e-5, err_msg=name)
        assert np.abs(want).max() > 0.01 or (kind == "one step" and name == "recurrent")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["short", "chunks"])
def test_frames_that_are_data_leave_the_gradient_of_the_parameters(kind):
    frames, length = sequences(LENGTHS[kind]), np.array(LENGTHS[kind], np.int32)
    pull = np.random.default_rng(2).normal(size=(len(length), HIDDEN)).astype(np.float32)
    of_params = jax.jit(jax.grad(lambda params: (run(params, frames, length) * pull).sum()))(init_params())
    want, _ = gradients(init_params(), frames, length, pull)
    for name, value in want.items():
        np.testing.assert_allclose(of_params[name], value, atol=1e-6, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("every", [False, True], ids=["last", "every"])
def test_another_device_computes_the_same(every, monkeypatch):
    lengths = [3 * CHUNK, *[CHUNK + 2] * 3, *[9] * 12]
    frames, length = sequences(lengths), np.array(lengths, np.int32)
    order = np.random.default_rng(3).permutation(len(lengths))
    frames, length = frames[order], length[order]
    module = BidirectionalLSTM(HIDDEN) if every else LSTM(HIDDEN)
    params = both_params() if every else init_params()

    def value(params, frames):
        states = module.apply({"params": params}, frames, length)
        return (states * jnp.sin(jnp.arange(states.size, dtype=jnp.float32)).reshape(states.shape)).sum()

    def program():
        lowered = jax.jit(jax.value_and_grad(value, (0, 1))).lower(params, frames)
        return lowered.as_text(), lowered.compile()(params, frames)

    text, found = program()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    other_text, want = program()
    assert "stablehlo.sort" in text  # rows by length, so that few are computed where few have steps
    assert "stablehlo.sort" not in other_text
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), found, want)


class Several(nn.Module):
    together: bool | None = None
    kernel: bool = False

    @nn.compact
    def __call__(self, sequences, length):
        sizes, chosen = {"a": HIDDEN, "b": HIDDEN + 3}, {"together": self.together, "kernel": self.kernel}
        return end_states_of_several(sizes, sequences, length, **chosen)


def several():
    """Two sequences of other lengths, steps and widths."""
    length = {"a": np.array([7, 1, 4], np.int32), "b": np.array([0, CHUNK + 5, 2], np.int32)}
    random = np.random.default_rng(4)
    frames = {"a": sequences([7, 1, 4]), "b": random.normal(size=(3, CHUNK + 5, 4)).astype(np.float32)}
    return frames, length, jax.jit(Several().init)(jax.random.key(0), frames, length)["params"]


@pytest.mark.slow
def test_several_lstms_walked_in_one_loop_give_what_each_gives(monkeypatch):
    frames, length, params = several()
    pulls = {"a": np.linspace(-1, 1, HIDDEN), "b": np.linspace(-1, 1, HIDDEN + 3)}

    def value(params, frames, together):
        ends = Several(together).apply({"params": params}, frames, length)
        return sum((ends[name] * jnp.asarray(pull, jnp.float32)[None]).sum() for name, pull in pulls.items()), ends

    one_by_one = jax.jit(jax.grad(value, (0, 1), has_aux=True), static_argnums=2)
    want, each = one_by_one(params, frames, False)
    for name in "ab":
        own = LSTM(pulls[name].size).apply({"params": params[name]}, frames[name], length[name])
        np.testing.assert_array_equal(each[name], own)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    found, ends = jax.jit(jax.grad(value, (0, 1), has_aux=True), static_argnums=2)(params, frames, None)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), (found, ends), (want, each))


def test_several_lstms_of_many_rows_and_steps_are_walked_in_one_loop_on_a_cpu():
    rows, steps, names = ROWS + 1, CHUNK + 4, "ab"
    length = {
        name: np.array([(5 * k + shift) % steps for k in range(rows)], np.int32)
        for name, shift in zip(names, (0, 9), strict=True)
    }
    frames = {name: np.random.default_rng(6).normal(size=(rows, steps, WIDTH)).astype(np.float32) for name in names}
    params = {
        "a": init_params(0),
        "b": jax.jit(LSTM(HIDDEN + 3).init)(jax.random.key(0), frames["b"], length["b"])["params"],
    }
    found, want = (quick_jit(Several(way).apply)({"params": params}, frames, length) for way in (True, False))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found, want)


KERNELS = {"last": (LSTM, False), "both ways": (BidirectionalLSTM, True)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KERNELS)
def test_one_kernel_for_all_steps_computes_what_the_loop_does(kind):
    module, both = KERNELS[kind]
    lengths = [5, 0, 7, 1] * 5  # two blocks of rows
    frames, length = sequences(lengths), np.array(lengths, np.int32)
    params = both_params() if both else init_params()

    def value(params, frames, kernel):
        states = module(HIDDEN, kernel=kernel).apply({"params": params}, frames, length)
        return (states * jnp.sin(jnp.arange(states.size, dtype=jnp.float32)).reshape(states.shape)).sum(), states

    gradient = jax.jit(jax.grad(value, (0, 1), has_aux=True), static_argnums=2)
    found, want = gradient(params, frames, True), gradient(params, frames, False)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, want)


def test_an_lstm_that_is_too_large_for_one_kernel_is_refused():
    module, frames = LSTM(200, kernel=True), jnp.zeros((1, 2, 4))
    with pytest.raises(InputError, match="an LSTM of 200 units in float32 is too large for one kernel"):
        jax.eval_shape(module.init, jax.random.key(0), frames, jnp.array([2]))


def test_a_device_that_has_no_such_kernel_is_named(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    with pytest.raises(InputError, match="written for a GPU; this is tpu"):
        jax.eval_shape(LSTM(8, kernel=True).init, jax.random.key(0), jnp.zeros((1, 2, 4)), jnp.array([2]))


@pytest.mark.slow
def test_the_kernel_keeps_the_gates_of_wide_frames_and_walks_several_lstms():
    random, length = np.random.default_rng(5), {"a": np.array([3, 0, 6], np.int32), "b": np.array([2, 5, 1], np.int32)}
    frames = {name: random.normal(size=(3, 6, 260)).astype(np.float32) for name in "ab"}
    params = jax.jit(Several().init)(jax.random.key(0), frames, length)["params"]

    def value(params, frames, kernel):
        ends = Several(kernel=kernel).apply({"params": params}, frames, length)
        return sum((end**2).sum() for end in ends.values()), ends

    gradient = jax.jit(jax.grad(value, (0, 1), has_aux=True), static_argnums=2)
    found, want = gradient(params, frames, True), gradient(params, frames, False)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, want)


def test_no_loop_elsewhere_than_on_a_cpu_waits_for_a_condition(monkeypatch):
    frames, length, params = several()
    gradient = jax.grad(
        lambda params: sum(x.sum() for x in Several().apply({"params": params}, frames, length).values())
    )
    assert "while[" in str(jax.make_jaxpr(gradient)(params))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert "while[" not in str(jax.make_jaxpr(lambda params: gradient(params))(params))


def test_rows_that_are_known_to_have_every_step_are_walked_together_to_the_same_end():
    steps, rows, params = CPU_WHOLE_CHUNK + 3, ROWS + 1, init_params()
    frames, length = sequences([steps] * rows), whole_length(rows, steps)
    known, unknown = (ScanPlan.of(jnp.asarray(frames), each, every=False) for each in (length, jnp.asarray(length)))
    assert (known.groups, known.chunk, unknown.groups) == (1, 34, 2)

    def value(length, params, frames):
        return (LSTM(HIDDEN).apply({"params": params}, frames, length) ** 2).sum()

    got = quick_jit(jax.value_and_grad(partial(value, length), (0, 1)))(params, frames)
    want = quick_jit(jax.value_and_grad(value, (1, 2)))(jnp.asarray(length), params, frames)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), got, want)


@pytest.mark.parametrize(
    ("steps", "rows", "chunk", "groups"), [(50, 32, 13, 4), (16, 32, 16, 1), (375, 128, 16, 8), (1, 9, 1, 1)]
)
def test_chunks_are_even_and_groups_are_few(steps, rows, chunk, groups):
    plan = ScanPlan.of(jnp.zeros((rows, steps, 2)), jnp.zeros(rows, jnp.int32), every=True)
    assert (plan.chunk, plan.groups) == (chunk, groups)


@pytest.mark.parametrize("kind", ["chunks", "groups"])
def test_lengths_may_have_64_bits(kind):
    length = np.array(LENGTHS[kind])
    params, frames = init_params(), sequences(LENGTHS[kind])
    with jax.enable_x64(True):
        found = run(params, frames, length)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, run(params, frames, length), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("both", [False, True], ids=["one way", "both ways"])
def test_chunks_that_no_sequence_reaches_are_never_computed(both):
    # Nothing times nan is nan: were a chunk beyond the longest sequence read, it would be in the gradient.
    module, params = (BidirectionalLSTM(HIDDEN), both_params()) if both else (LSTM(HIDDEN), init_params())
    length = np.array([*[2] * ROWS, *[CHUNK + 3] * ROWS], np.int32)
    frames = np.pad(sequences(length.tolist()), [(0, 0), (0, 3 * CHUNK), (0, 0)])
    frames[:, 2 * CHUNK :] = np.nan
    frames[:ROWS, CHUNK:] = np.nan  # each group of rows goes as far as its own longest
    gradient = jax.jit(jax.grad(lambda params: module.apply({"params": params}, jnp.asarray(frames), length).sum()))(
        params
    )
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.slow
def test_runs_side_by_side_skip_the_steps_that_none_of_them_has():
    lengths = np.array([[2 * CHUNK + 6, 5], [CHUNK, 1], [3, 0]], np.int32)
    frames = np.stack([sequences(each.tolist(), 4 * CHUNK) for each in lengths])
    params = [init_params(seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *params)
    pull = np.ones((2, HIDDEN), np.float32)
    pair = jax.value_and_grad(lambda params, frames, length: (run(params, frames, length) * pull).sum())
    together = jax.jit(jax.vmap(pair))
    values, of_params = together(stacked, frames, lengths)
    for number, own in enumerate(params):
        value, of_own = pair(own, frames[number], lengths[number])
        np.testing.assert_allclose(values[number], value, atol=1e-6)
        for name, gradient in of_own.items():
            np.testing.assert_allclose(of_params[name][number], gradient, atol=1e-5, err_msg=name)
    # Were the chunk behind the longest of all read, the nan in it would be in the gradient.
    frames[:, :, 3 * CHUNK :] = np.nan
    for name, gradient in together(stacked, frames, lengths)[1].items():
        np.testing.assert_array_equal(gradient, of_params[name], err_msg=name)
    # And there is one count of chunks for all runs: every loop's condition compares two scalars.
    conditions = [part.split("}")[0] for part in together.lower(stacked, frames, lengths).as_text().split("cond {")[1:]]
    assert len(conditions) >= 4
    assert all("stablehlo.reduce" not in condition for condition in conditions)


def by_hand(params: dict[str, np.ndarray], frames: np.ndarray) -> np.ndarray:
    """The last state of one sequence [L, WIDTH], gate by gate in float64."""
    w, u = params["input"].astype(np.float64), params["recurrent"].astype(np.float64)
    bias = params["input_bias"].astype(np.float64) + params["recurrent_bias"]
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    state, cell = np.zeros(HIDDEN), np.zeros(HIDDEN)
    for frame in frames:
        gates = frame @ w + state @ u + bias
        into, forget, new, out = (gates[k * HIDDEN : (k + 1) * HIDDEN] for k in range(4))
        cell = sigmoid(forget) * cell + sigmoid(into) * np.tanh(new)
        state = sigmoid(out) * np.tanh(cell)
    return state


@pytest.mark.parametrize("kind", LENGTHS)
def test_the_state_is_that_of_the_equations_behind_the_last_valid_step(kind):
    lengths, params = LENGTHS[kind], init_params()
    frames = sequences(lengths)
    want = [by_hand(params, frames[row, :length]) for row, length in enumerate(lengths)]
    np.testing.assert_allclose(run(params, frames, np.array(lengths, np.int32)), want, atol=1e-6)


@pytest.mark.parametrize("steps", [8, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_padding_changes_nothing(steps):
    lengths, params = [7, 1, 4], init_params()
    length = np.array(lengths, np.int32)
    want = np.asarray(run(params, sequences(lengths), length))
    padded = sequences(lengths, steps)
    np.testing.assert_allclose(run(params, padded, length), want, atol=1e-6)
    beyond = np.arange(steps) >= length[:, None]
    filled = np.where(beyond[..., None], np.float32(100), padded)  # whatever stands there
    np.testing.assert_array_equal(run(params, filled, length), run(params, padded, length))
    pull = np.ones((3, HIDDEN), np.float32)
    of_params, of_frames = gradients(params, filled, length, pull)
    assert (np.asarray(of_frames)[beyond] == 0).all()
    want_params, _ = gradients(params, sequences(lengths), length, pull)
    for name, value in want_params.items():
        np.testing.assert_allclose(of_params[name], value, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("lengths", [[0, 0], [0, 3]])
def test_a_sequence_without_steps_ends_in_zeros(lengths):
    params, length = init_params(), np.array(lengths, np.int32)
    frames = np.ones((2, 4, WIDTH), np.float32)
    state = np.asarray(run(params, frames, length))
    assert (state[length == 0] == 0).all()
    assert (state[length > 0] != 0).all()
    of_params, of_frames = gradients(params, frames, length, np.ones((2, HIDDEN), np.float32))
    assert (np.asarray(of_frames)[length == 0] == 0).all()
    assert all((leaf == 0).all() == (length == 0).all() for leaf in jax.tree.leaves(of_params))
    assert np.isfinite(of_frames).all()


def test_other_sequences_in_the_batch_change_nothing():
    params = init_params()
    frames = sequences([4, CHUNK + 8])
    together = run(params, frames, np.array([4, CHUNK + 8], np.int32))
    alone = run(params, frames[:1, :4], np.array([4], np.int32))
    np.testing.assert_allclose(together[:1], alone, atol=1e-6)


@pytest.mark.slow
def test_parameters_start_uniform_within_one_over_the_root_of_the_hidden_size():
    frames = jnp.zeros((1, 2, 40))
    params = LSTM(64).init(jax.random.key(0), frames, jnp.array([2]))["params"]
    assert {name: value.shape for name, value in params.items()} == {
        "input": (40, 256), "recurrent": (64, 256), "input_bias": (256,), "recurrent_bias": (256,),
    }  # fmt: skip
    bound = 64**-0.5
    for value in params.values():
        assert np.abs(value).max() <= bound
        assert value.min() < -0.9 * bound
        assert value.max() > 0.9 * bound
        np.testing.assert_allclose(value.std(), 2 * bound / 12**0.5, rtol=0.1)


def test_it_computes_in_bfloat16_with_float32_parameters():
    params, frames, length = init_params(), sequences([6, 3]), np.array([6, 3], np.int32)
    state = LSTM(HIDDEN, jnp.bfloat16).apply({"params": params}, frames, length)
    assert state.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(state, np.float32), run(params, frames, length), atol=0.03)


def test_every_state_is_what_the_sequence_up_to_it_ends_with():
    lengths, params = [CHUNK + 5, 0, 3], init_params()
    frames, length = sequences(lengths), np.array(lengths, np.int32)
    states = np.asarray(LSTM(HIDDEN, every=True).apply({"params": params}, frames, length))
    assert states.shape == (*frames.shape[:2], HIDDEN)
    for row, steps in enumerate(lengths):
        assert (states[row, steps:] == 0).all()
        for step in {0, steps // 2, steps - 1} if steps else ():
            np.testing.assert_allclose(states[row, step], by_hand(params, frames[row, : step + 1]), atol=1e-6)
    np.testing.assert_allclose(states[[0, 2], [CHUNK + 4, 2]], run(params, frames, length)[np.array([0, 2])], atol=1e-6)


@pytest.mark.slow
def test_matrices_may_start_otherwise_and_biases_do_not_with_them():
    xavier = jax.nn.initializers.variance_scaling(1.0, "fan_avg", "normal")
    module = BidirectionalLSTM(64, kernel_init=xavier, recurrent_init=jax.nn.initializers.orthogonal())
    params = jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, 2, 40)), jnp.array([2]))["params"]
    for direction in DIRECTIONS:
        made = jax.tree.map(np.asarray, params[direction])
        np.testing.assert_allclose(
            made["input"].std(), (2 / (40 + 256)) ** 0.5, rtol=0.05
        )  # of all four gates together
        np.testing.assert_allclose(made["recurrent"] @ made["recurrent"].T, np.eye(64), atol=1e-5)
        assert np.abs(made["input_bias"]).max() <= 64**-0.5
    one = jax.jit(LSTM(64, kernel_init=xavier).init)(jax.random.key(0), jnp.zeros((1, 2, 40)), jnp.array([2]))["params"]
    assert np.abs(one["input"]).max() > 64**-0.5 > np.abs(one["recurrent"]).max()


# -- both directions, every state -------------------------------------------------------------------------------------

DIRECTIONS = ("forward", "backward")


def both_params() -> dict[str, dict[str, np.ndarray]]:
    return {name: init_params(seed) for seed, name in enumerate(DIRECTIONS)}


@jax.jit
def run_both(params, frames, length):
    return BidirectionalLSTM(HIDDEN).apply({"params": params}, frames, length)


@jax.jit
def gradients_both(params, frames, length, pull):
    return jax.grad(lambda params, frames: (run_both(params, frames, length) * pull).sum(), (0, 1))(params, frames)


@pytest.mark.parametrize("kind", ["short", "chunks"])
def test_states_and_gradients_of_both_directions_equal_those_of_torch(kind):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    lengths, params = LENGTHS[kind], both_params()
    frames = sequences(lengths)
    pull = np.random.default_rng(2).normal(size=(*frames.shape[:2], 2 * HIDDEN)).astype(np.float32)

    theirs = torch.nn.LSTM(WIDTH, HIDDEN, batch_first=True, bidirectional=True)
    names = {"input": "weight_ih", "recurrent": "weight_hh", "input_bias": "bias_ih", "recurrent_bias": "bias_hh"}
    pairs = {
        (direction, name): getattr(theirs, f"{other}_l0{ending}")
        for direction, ending in (("forward", ""), ("backward", "_reverse"))
        for name, other in names.items()
    }
    with torch.no_grad():
        for (direction, name), tensor in pairs.items():
            tensor.copy_(torch.tensor(params[direction][name].T))
    tensor = torch.tensor(frames, requires_grad=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(tensor, lengths, batch_first=True, enforce_sorted=False)
    states = torch.nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)[0]
    (states * torch.tensor(pull)).sum().backward()

    length = np.array(lengths, np.int32)
    np.testing.assert_allclose(run_both(params, frames, length), states.detach().numpy(), atol=2e-6)
    of_params, of_frames = gradients_both(params, frames, length, pull)
    np.testing.assert_allclose(of_frames, tensor.grad.numpy(), atol=1e-5)
    for (direction, name), tensor in pairs.items():
        want = tensor.grad.numpy().T
        np.testing.assert_allclose(of_params[direction][name], want, atol=5e-5, err_msg=f"{direction}, {name}")
        assert np.abs(want).max() > 0.01


@pytest.mark.parametrize("lengths", [[7, 1, 4], [2 * CHUNK + 6, CHUNK, 0]], ids=str)
def test_each_state_is_the_last_of_what_was_read_in_its_direction(lengths):
    params, frames = both_params(), sequences(lengths)
    states = np.asarray(run_both(params, frames, np.array(lengths, np.int32)))
    for row, length in enumerate(lengths):
        assert (states[row, length:] == 0).all()
        for step in {0, length // 2, length - 1} if length else ():
            before = by_hand(params["forward"], frames[row, : step + 1])
            after = by_hand(params["backward"], frames[row, step:length][::-1])
            np.testing.assert_allclose(states[row, step], np.concatenate([before, after]), atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [8, CHUNK + 1])
def test_padding_changes_no_state_of_either_direction(steps):
    lengths, params = [7, 1, 4], both_params()
    length = np.array(lengths, np.int32)
    want = np.asarray(run_both(params, sequences(lengths), length))
    beyond = np.arange(steps) >= length[:, None]
    filled = np.where(beyond[..., None], np.float32(100), sequences(lengths, steps))  # whatever stands there
    states = np.asarray(run_both(params, filled, length))
    np.testing.assert_allclose(states[:, :7], want, atol=1e-6)
    assert (states[beyond] == 0).all()
    _, of_frames = gradients_both(params, filled, length, np.ones_like(states))
    assert (np.asarray(of_frames)[beyond] == 0).all()


@pytest.mark.parametrize(
    "lengths", [[7, 1, 4], pytest.param([CHUNK + 6, CHUNK, 0, *[2] * ROWS], marks=pytest.mark.slow)], ids=str
)
def test_end_states_are_those_of_each_direction(lengths):
    params, frames, length = both_params(), sequences(lengths), np.array(lengths, np.int32)
    module = BidirectionalLSTM(HIDDEN, every=False)
    pull = np.random.default_rng(5).normal(size=(len(lengths), 2 * HIDDEN)).astype(np.float32)

    def of_all(params, frames):
        return (end_states(run_both(params, frames, length), length) * pull).sum()

    def alone(params, frames):
        return (module.apply({"params": params}, frames, length) * pull).sum()

    ends = end_states(run_both(params, frames, length), length)
    for row, steps in enumerate(lengths):
        forward, backward = (
            by_hand(params[name], frames[row, :steps][::way]) for name, way in zip(DIRECTIONS, (1, -1), strict=True)
        )
        np.testing.assert_allclose(ends[row], np.concatenate([forward, backward]), atol=2e-6)
    np.testing.assert_allclose(module.apply({"params": params}, frames, length), ends, atol=1e-6)
    want, found = (jax.jit(jax.grad(of, (0, 1)))(params, frames) for of in (of_all, alone))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, want)


def test_each_direction_has_parameters_of_its_own():
    frames, length = jnp.zeros((1, 2, 4)), jnp.array([2])
    params = jax.jit(BidirectionalLSTM(8).init)(jax.random.key(0), frames, length)["params"]
    assert set(params) == set(DIRECTIONS)
    for name in ("input", "recurrent"):
        assert not np.allclose(params["forward"][name], params["backward"][name])
    one = jax.jit(LSTM(8).init)(jax.random.key(0), frames, length)["params"]
    for direction in DIRECTIONS:
        assert jax.tree.map(jnp.shape, params[direction]) == jax.tree.map(jnp.shape, one)


@pytest.mark.slow
def test_both_directions_compute_in_bfloat16():
    params, frames, length = both_params(), sequences([6, 3]), np.array([6, 3], np.int32)
    states = BidirectionalLSTM(HIDDEN, jnp.bfloat16).apply({"params": params}, frames, length)
    assert states.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(states, np.float32), run_both(params, frames, length), atol=0.03)
