"""Parallel LSTMs, delta-memory attention, the fusion graph, the gated memory and the decoder, against loops in float64."""

from itertools import combinations

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from msa_jax.encoders.memory_fusion import DeltaMemoryAttention, DynamicFusionGraph, GatedMemory, Layer, edges
from msa_jax.encoders.parallel_lstm import ParallelLSTM, apart, steps_first, walk
from msa_jax.encoders.sequence_decoder import SequenceDecoder
from tests.quick import quick_jit

ROWS, STEPS = 4, 6
LENGTHS = np.array([6, 1, 4, 0], np.int32)
HIDDEN = {"text": 5, "audio": 2, "vision": 3}
WIDTH = {"text": 4, "audio": 3, "vision": 2}
VALID = steps_first(LENGTHS, STEPS)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def params_of(module, *given, **named) -> dict:
    """Parameters far from where they start."""
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *given, **named)).get("params", {})
    flat = flatten_dict(shapes, sep="/")
    made = {path: normal(number, *leaf.shape) * np.float32(0.7) for number, (path, leaf) in enumerate(flat.items())}
    return unflatten_dict(made, sep="/")


def run(module, params, *given, **named):
    return quick_jit(lambda params: module.apply({"params": params}, *given, **named))(params)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def dense(params, x):
    return np.asarray(x, np.float64) @ params["kernel"] + params["bias"]


def two(params, x):
    return dense(params["output"], np.maximum(dense(params["hidden"], x), 0))


def cell(params, x, state, held):
    """One step of one row."""
    gates = x @ params["input"].astype(np.float64) + state @ params["recurrent"].astype(np.float64)
    i, f, g, o = np.split(gates + params["input_bias"] + params["recurrent_bias"], 4)
    held = sigmoid(f) * held + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(held), held


def sequences(names=tuple(HIDDEN)) -> dict[str, np.ndarray]:
    return {name: normal(10 + number, ROWS, STEPS, WIDTH[name]) for number, name in enumerate(names)}


# -- parallel LSTMs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("text", "audio", "vision"), ("vision", "text"), ("audio",)], ids=str)
def test_each_lstm_walks_its_own_sequence_and_stops_at_the_length(names):
    module, given = ParallelLSTM(HIDDEN), sequences(names)
    params = params_of(module, given, LENGTHS)
    found = run(module, params, given, LENGTHS)
    sizes = [HIDDEN[name] for name in names]
    assert found.states.shape == found.cells.shape == (STEPS, ROWS, sum(sizes))
    for name, states, cells in zip(names, apart(found.states, sizes), apart(found.cells, sizes), strict=True):
        for row in range(ROWS):
            state, held = np.zeros((2, HIDDEN[name]))
            for step in range(STEPS):
                if step < LENGTHS[row]:
                    state, held = cell(params[f"{name}_lstm"], given[name][row, step], state, held)
                np.testing.assert_allclose(states[step, row], state, rtol=1e-4, atol=1e-5)
                np.testing.assert_allclose(cells[step, row], held, rtol=1e-4, atol=1e-5)


def test_gradients_of_states_and_cells_equal_those_of_torch():
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    module, given = ParallelLSTM(HIDDEN), sequences()
    params, total = params_of(module, given, LENGTHS), sum(HIDDEN.values())
    pull = normal(30, 2, STEPS, ROWS, total)

    def pulled(params, given):
        given = {name: given[name] for name in HIDDEN}  # jit sorts dicts
        found = module.apply({"params": params}, given, LENGTHS)
        return (found.states * pull[0] + found.cells * pull[1]).sum()

    of_params, of_given = quick_jit(jax.grad(pulled, (0, 1)))(params, given)
    first = 0
    for name, size in HIDDEN.items():
        theirs = torch.nn.LSTMCell(WIDTH[name], size)
        names = {"input": "weight_ih", "recurrent": "weight_hh", "input_bias": "bias_ih", "recurrent_bias": "bias_hh"}
        for ours, other in names.items():
            getattr(theirs, other).data = torch.tensor(params[f"{name}_lstm"][ours].T)
        x = torch.tensor(given[name], requires_grad=True)
        held, loss = (torch.zeros(ROWS, size), torch.zeros(ROWS, size)), torch.zeros(())
        for step in range(STEPS):
            counts = torch.tensor(step < LENGTHS)[:, None]
            after = theirs(x[:, step], held)
            held = tuple(torch.where(counts, new, old) for new, old in zip(after, held, strict=True))
            for part, each in zip(held, torch.tensor(pull[:, step, :, first : first + size]), strict=True):
                loss = loss + (part * each).sum()
        loss.backward()
        np.testing.assert_allclose(of_given[name], x.grad.numpy(), rtol=1e-3, atol=1e-4)
        for ours, other in names.items():
            expected = getattr(theirs, other).grad.numpy().T
            np.testing.assert_allclose(of_params[f"{name}_lstm"][ours], expected, rtol=1e-3, atol=1e-4, err_msg=ours)
        first += size


def test_one_matrix_for_all_lstms_and_one_for_each_give_the_same():
    inputs = [normal(40 + size, STEPS, ROWS, 4 * size) for size in HIDDEN.values()]
    recurrent = [normal(50 + size, size, 4 * size) for size in HIDDEN.values()]
    pull = normal(60, STEPS, ROWS, sum(HIDDEN.values()))

    def pulled(inputs, recurrent, together):
        found = walk(inputs, recurrent, VALID, together=together)
        return (found.states * pull).sum() + found.cells.sum()

    one, other = (
        quick_jit(jax.value_and_grad(lambda *given, way=way: pulled(*given, way), (0, 1)))(inputs, recurrent)
        for way in (False, True)
    )
    for expected, found in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


# -- attention, graph, memory -----------------------------------------------------------------------------------------


def test_attention_weighs_the_cells_before_and_after_each_step_and_sums_to_one():
    module, cells = DeltaMemoryAttention(Layer(4)), normal(1, STEPS, ROWS, 5)
    params = params_of(module, cells, train=False)
    found = run(module, params, cells, train=False)
    for step in range(STEPS):
        both = np.concatenate([cells[step - 1] if step else np.zeros_like(cells[0]), cells[step]], 1)
        weights = np.exp(two(params["logits"], both))
        np.testing.assert_allclose(found[step], weights / weights.sum(1, keepdims=True) * both, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("names", [("text", "audio", "vision"), ("text", "vision"), ("audio",)], ids=str)
def test_every_vertex_reads_its_subsets_times_their_efficacies(names):
    module = DynamicFusionGraph(4, hidden=6)
    states = {name: normal(2 + number, STEPS, ROWS, HIDDEN[name]) for number, name in enumerate(names)}
    params = params_of(module, states)
    top, efficacies = run(module, params, states)
    assert efficacies.shape[-1] == len(edges(names)) == {3: 19, 2: 5, 1: 1}[len(names)]

    def pair(name, x):
        return dense(params[f"{name}_output"], dense(params[f"{name}_hidden"], x))

    step, row = 3, 1
    vertex = {
        (name,): np.maximum(dense(params[f"{name}_singleton"], np.concatenate([x[step - 1, row], x[step, row]])), 0)
        for name, x in states.items()
    }
    alpha = np.concatenate(list(vertex.values()))
    for name in ("efficacies_1", "efficacies_2", "efficacies"):
        alpha = dense(params[name], alpha)
    np.testing.assert_allclose(efficacies[step, row], alpha, rtol=1e-4, atol=1e-4)
    edge = 0
    sets = [some for count in range(1, len(names) + 1) for some in combinations(names, count)]
    for to in [*sets[len(names) :], None]:
        read = []
        for source in sets:
            if to is None or (set(source) < set(to)):
                read.append(alpha[edge] * vertex[source])
                edge += 1
        made = pair("top" if to is None else "_".join(("vertex", *to)), np.concatenate(read))
        if to is None:
            np.testing.assert_allclose(top[step, row], made, rtol=1e-3, atol=1e-3)
        else:
            vertex[to] = made


def test_the_memory_is_what_its_gates_keep_and_take_up_and_stops_at_the_length():
    module = GatedMemory(3, Layer(4), Layer(5), Layer(6))
    fused = normal(4, STEPS, ROWS, 7)
    params = params_of(module, fused, VALID, train=False)
    found = run(module, params, fused, VALID, train=False)
    for row in range(ROWS):
        memory = np.zeros(3)
        for step in range(LENGTHS[row]):
            both = np.concatenate([fused[step, row], memory])
            retain, update = (
                sigmoid(dense(params[f"{name}_output"], np.maximum(dense(params[f"{name}_hidden"], both), 0)))
                for name in ("retain", "update")
            )
            memory = retain * memory + update * np.tanh(two(params["proposal"], fused[step, row]))
        np.testing.assert_allclose(found[row], memory, rtol=1e-4, atol=1e-5)


def test_gradients_of_the_memory_equal_those_of_torch():
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    module, fused, pull = GatedMemory(3, Layer(4), Layer(5), Layer(6)), normal(4, STEPS, ROWS, 7), normal(6, ROWS, 3)
    params = params_of(module, fused, VALID, train=False)

    def pulled(params, fused):
        return (module.apply({"params": params}, fused, VALID, train=False) * pull).sum()

    of_params, of_fused = quick_jit(jax.grad(pulled, (0, 1)))(params, fused)
    theirs = {path: torch.tensor(value, requires_grad=True) for path, value in flatten_dict(params, sep="/").items()}
    x = torch.tensor(fused, requires_grad=True)

    def linear(name, x):
        return x @ theirs[f"{name}/kernel"] + theirs[f"{name}/bias"]

    memory = torch.zeros(ROWS, 3)
    for step in range(STEPS):
        both = torch.cat([x[step], memory], 1)
        retain, update = (
            linear(f"{name}_output", linear(f"{name}_hidden", both).relu()).sigmoid() for name in ("retain", "update")
        )
        proposed = linear("proposal/output", linear("proposal/hidden", x[step]).relu()).tanh()
        counts = torch.tensor(step < LENGTHS)[:, None]
        memory = torch.where(counts, retain * memory + update * proposed, memory)
    (memory * torch.tensor(pull)).sum().backward()
    np.testing.assert_allclose(of_fused, x.grad.numpy(), rtol=1e-3, atol=1e-5)
    for path, value in flatten_dict(of_params, sep="/").items():
        np.testing.assert_allclose(value, theirs[path].grad.numpy(), rtol=1e-3, atol=1e-5, err_msg=path)


def test_dropout_of_the_gates_acts_in_training_alone():
    module = GatedMemory(3, Layer(4), Layer(5, 0.5), Layer(6, 0.5))
    plain = GatedMemory(3, Layer(4), Layer(5), Layer(6))
    fused = normal(4, STEPS, ROWS, 7)
    params = params_of(module, fused, VALID, train=False)
    expected = run(plain, params, fused, VALID, train=False)
    np.testing.assert_array_equal(run(module, params, fused, VALID, train=False), expected)
    dropped = quick_jit(lambda key: module.apply({"params": params}, fused, VALID, train=True, rngs={"dropout": key}))
    first, second = (dropped(jax.random.key(number)) for number in (1, 2))
    assert np.abs(first - second)[:3].max() > 1e-3
    assert np.abs(first - expected)[:3].max() > 1e-3


# -- decoder ----------------------------------------------------------------------------------------------------------


def test_the_decoder_reads_the_vector_first_and_then_its_own_state():
    width, size = {"text": 4, "audio": 2}, {"text": 3, "audio": 5}
    module = SequenceDecoder(width)
    vectors = {name: normal(5 + number, ROWS, size[name]) for number, name in enumerate(width)}
    params = params_of(module, vectors, STEPS)
    found = run(module, params, vectors, STEPS)
    for name in width:
        assert found[name].shape == (ROWS, STEPS, width[name])
        for row in range(ROWS):
            read, (state, held) = vectors[name][row], np.zeros((2, size[name]))
            for step in range(STEPS):
                state, held = cell(params[f"{name}_lstm"], read, state, held)
                read = state
                np.testing.assert_allclose(
                    found[name][row, step], dense(params[f"{name}_output"], state), rtol=1e-4, atol=1e-5
                )


def test_a_decoder_of_one_step_writes_one_frame():
    module, vectors = SequenceDecoder({"text": 4}), {"text": normal(5, ROWS, 3)}
    params = params_of(module, vectors, 1)
    longer = run(module, params, vectors, 3)["text"]
    np.testing.assert_allclose(run(module, params, vectors, 1)["text"], longer[:, :1], rtol=1e-5, atol=1e-6)
