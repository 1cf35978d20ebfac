"""The learned alignment: sizes, its equations against PyTorch, padding, and that it finds the order of frames."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from msa_jax import losses
from msa_jax.encoders.ctc_alignment import CTCAligner
from tests.quick import quick_jit

RNG = np.random.default_rng(0)
FRAMES = RNG.normal(size=(4, 6, 3)).astype(np.float32)
LENGTH = np.array([6, 2, 1, 0], np.int32)


def made(aligner, frames=FRAMES, length=LENGTH):
    return quick_jit(aligner.init)(jax.random.key(0), frames, length)


@pytest.mark.parametrize(("width", "count"), [(5, 33_048), (20, 36_108), (74, 47_124), (35, 39_168)])
def test_without_its_linear_layer_it_has_the_parameters_of_the_authors(width, count):
    aligner, frames = CTCAligner(50, linear=False), np.zeros((1, 60, width), np.float32)
    shapes = jax.eval_shape(lambda: aligner.init(jax.random.key(0), frames, np.ones(1, np.int32)))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count


def torch_lstm(torch, x, params):
    lstm = torch.nn.LSTM(x.shape[-1], params["recurrent"].shape[0], batch_first=True)
    names = {
        "weight_ih_l0": "input",
        "weight_hh_l0": "recurrent",
        "bias_ih_l0": "input_bias",
        "bias_hh_l0": "recurrent_bias",
    }
    lstm.load_state_dict({name: torch.tensor(np.asarray(params[of]).T) for name, of in names.items()})
    return lstm(x)[0]


@pytest.mark.slow
@pytest.mark.parametrize(("linear", "normalise"), [(True, True), (False, False)], ids=["paper", "code"])
def test_positions_are_the_sums_that_its_equations_say(linear, normalise):
    torch = pytest.importorskip("torch")
    aligner = CTCAligner(4, hidden=5, linear=linear, normalise=normalise)
    variables = made(aligner)
    positions, logits = aligner.apply(variables, FRAMES, LENGTH)
    params = variables["params"]
    for row, length in enumerate(LENGTH[:3]):
        frames = torch.tensor(FRAMES[row : row + 1, :length])
        states = torch_lstm(torch, torch_lstm(torch, frames, params["lstm_0"]), params["lstm_1"]).detach()
        if linear:
            head = params["positions"]
            states = states @ torch.tensor(np.asarray(head["kernel"])) + torch.tensor(np.asarray(head["bias"]))
        np.testing.assert_allclose(logits[row, :length], states[0], rtol=1e-4, atol=1e-5)
        share = states[0].softmax(-1)[:, 1:]
        share = share / share.sum(0) if normalise else share
        np.testing.assert_allclose(positions[row], share.T @ frames[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(positions[3], 0)


def test_padding_changes_nothing():
    aligner = CTCAligner(4, hidden=5)
    variables = made(aligner)
    filled = np.pad(FRAMES, [(0, 0), (0, 2), (0, 0)])
    filled[np.arange(8) >= LENGTH[:, None]] = 9
    apply = quick_jit(lambda frames: aligner.apply(variables, frames, LENGTH)[0])
    expected, found = (apply(frames) for frames in (FRAMES, filled))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_positions_have_the_dtype_of_the_frames_and_logits_are_float32():
    aligner = CTCAligner(4, hidden=5, dtype=jnp.bfloat16)
    positions, logits = aligner.apply(made(aligner), FRAMES, LENGTH)
    assert (positions.dtype, logits.dtype) == (jnp.float32, jnp.float32)
    expected = CTCAligner(4, hidden=5).apply(made(aligner), FRAMES, LENGTH)[0]
    np.testing.assert_allclose(positions, expected, atol=0.03)


@pytest.mark.slow
def test_of_as_many_frames_as_positions_it_learns_that_each_has_its_own():
    frames = np.eye(4, dtype=np.float32)[None]
    length = tokens = np.array([4], np.int32)
    aligner, optimiser = CTCAligner(4, hidden=16), optax.adam(0.03)
    params = made(aligner, frames, length)

    def loss(params):
        return losses.position_ctc(aligner.apply(params, frames, length)[1], length, tokens).sum()

    def step(_, state):
        params, moments = state
        moved, moments = optimiser.update(jax.grad(loss)(params), moments)
        return optax.apply_updates(params, moved), moments

    params, _ = quick_jit(lambda state: jax.lax.fori_loop(0, 200, step, state))((params, optimiser.init(params)))
    assert loss(params) < 0.1
    positions, _ = aligner.apply(params, frames, length)
    np.testing.assert_allclose(positions[0], np.eye(4), atol=0.1)
