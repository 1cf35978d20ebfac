"""The LSTM against PyTorch's on packed sequences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.encoders.lstm import CHUNK, LSTM

HIDDEN, WIDTH, BATCH = 6, 4, 5


def _inputs(steps: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, steps + 1, BATCH)
    return rng.normal(size=(BATCH, steps, WIDTH)).astype(np.float32), lengths.astype(np.int32)


def _params(steps: int = 3) -> dict:
    return LSTM(HIDDEN).init(jax.random.key(0), jnp.zeros((1, steps, WIDTH)), jnp.ones(1, jnp.int32))["params"]


def _torch_lstm(params: dict):
    torch = pytest.importorskip("torch")
    lstm = torch.nn.LSTM(WIDTH, HIDDEN, batch_first=True)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(torch.tensor(np.array(params["input"]).T))
        lstm.weight_hh_l0.copy_(torch.tensor(np.array(params["recurrent"]).T))
        lstm.bias_ih_l0.copy_(torch.tensor(np.array(params["input_bias"])))
        lstm.bias_hh_l0.copy_(torch.tensor(np.array(params["recurrent_bias"])))
    return lstm


# One step, less than a chunk, a chunk exactly, several chunks, and sequences that end long before the last chunk.
@pytest.mark.parametrize(
    ("steps", "longest"), [(1, 1), (7, 7), (CHUNK, CHUNK), (3 * CHUNK - 5, 3 * CHUNK - 5), (4 * CHUNK, CHUNK + 3)]
)
def test_state_and_gradients_equal_torch_on_packed_sequences(steps, longest):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    params = _params()
    sequence, length = _inputs(steps)
    length = np.minimum(length, longest)
    weight = np.random.default_rng(1).normal(size=(BATCH, HIDDEN)).astype(np.float32)

    lstm = _torch_lstm(params)
    theirs = torch.tensor(sequence, requires_grad=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        theirs, torch.tensor(length), batch_first=True, enforce_sorted=False
    )
    _, (state, _) = lstm(packed)
    (state[0] * torch.tensor(weight)).sum().backward()

    def total(params, sequence):
        found = LSTM(HIDDEN).apply({"params": params}, sequence, length)
        return (found * weight).sum(), found

    gradient, found = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(params, sequence)
    np.testing.assert_allclose(found, state[0].detach(), atol=1e-6)
    np.testing.assert_allclose(gradient[1], theirs.grad, atol=1e-5)
    for ours, expected in (
        ("input", lstm.weight_ih_l0.grad.T), ("recurrent", lstm.weight_hh_l0.grad.T),
        ("input_bias", lstm.bias_ih_l0.grad), ("recurrent_bias", lstm.bias_hh_l0.grad),
    ):  # fmt: skip
        np.testing.assert_allclose(gradient[0][ours], expected, atol=1e-5, err_msg=ours)


def test_what_lies_in_the_padding_changes_nothing():
    params, (sequence, length) = _params(), _inputs(2 * CHUNK)
    beyond = np.arange(2 * CHUNK)[None, :, None] >= length[:, None, None]
    other = np.where(beyond, np.float32(1e6), sequence)
    apply = jax.jit(lambda x: LSTM(HIDDEN).apply({"params": params}, x, length))
    np.testing.assert_array_equal(apply(sequence), apply(other))
    longer = np.pad(sequence, ((0, 0), (0, 3 * CHUNK), (0, 0)))
    np.testing.assert_allclose(LSTM(HIDDEN).apply({"params": params}, longer, length), apply(sequence), atol=1e-6)


def test_a_sequence_of_length_zero_has_state_zero():
    sequence, _ = _inputs(5)
    found = LSTM(HIDDEN).apply({"params": _params()}, sequence, np.array([0, 1, 0, 5, 2], np.int32))
    np.testing.assert_array_equal(np.asarray(found)[[0, 2]], 0)
    assert np.abs(np.asarray(found)[[1, 3, 4]]).min() > 0


def test_vmap_over_runs_equals_one_by_one():
    sequence, length = _inputs(CHUNK + 4)
    both = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), _params())
    found = jax.vmap(lambda params: LSTM(HIDDEN).apply({"params": params}, sequence, length))(both)
    for run in range(2):
        one = LSTM(HIDDEN).apply({"params": jax.tree.map(lambda x, r=run: x[r], both)}, sequence, length)
        np.testing.assert_allclose(found[run], one, atol=1e-6)
