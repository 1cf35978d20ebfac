"""What recurrent networks hold over hundreds of steps in bfloat16, where a gate near 1 must not round to 1.

All parameters are numbers that bfloat16 holds, so that what differs from float32 is what the steps do.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.encoders import scan_plan
from msa_jax.encoders.gru import BidirectionalGRU
from msa_jax.encoders.lstm import LSTM
from msa_jax.encoders.memory_fusion import GatedMemory, Layer
from msa_jax.encoders.parallel_lstm import steps_first, walk
from msa_jax.encoders.sequence_decoder import AttentionDecoder
from tests.quick import quick_jit

STEPS, KEEP = 400, 6.0  # sigmoid(6) is 0.9975: 0.37 is left after 400 steps
LENGTH = np.array([STEPS, 64, 300], np.int32)
FRAMES = np.zeros((3, STEPS, 1), np.float32)
FRAMES[:, 0] = 1


def check(value, *given):
    """Asserts that value(dtype, *given), a sum, and its gradients are in bfloat16 what they are in float32, up to 2 %."""
    numbers = tuple(range(1, len(given) + 1))
    graded = jax.value_and_grad(value, numbers)
    found, want = (quick_jit(partial(graded, dtype))(*given) for dtype in (jnp.bfloat16, jnp.float32))

    def near(path, a, b):
        assert np.isfinite(b).all()
        np.testing.assert_allclose(a, b, rtol=0.02, atol=0.02 * np.abs(b).max(), err_msg=jax.tree_util.keystr(path))

    jax.tree_util.tree_map_with_path(near, found, want)


def of_gates(into: float, forget: float, new: float, out: float) -> np.ndarray:
    return np.array([into, forget, new, out], np.float32)


# The input gate opens at the first frame alone, and the forget gate keeps what it let in.
OF_FRAME, BIAS = of_gates(into=16, forget=0, new=1, out=0), of_gates(into=-12, forget=KEEP, new=0.5, out=1)
LSTM_PARAMS = {
    "input": OF_FRAME[None],
    "recurrent": of_gates(into=0.5, forget=0.25, new=0.125, out=0.25)[None],
    "input_bias": BIAS,
    "recurrent_bias": np.zeros(4, np.float32),
}
SLOW = pytest.mark.slow
WAYS = ["loop", pytest.param("gates kept", marks=SLOW), "another device"]
WAYS += [pytest.param(way, marks=SLOW) for way in ("another device, gates kept", "kernel", "kernel, gates kept")]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_an_lstm_holds_its_cell_and_hands_its_gradient_back(way, monkeypatch):
    if "kept" in way:
        monkeypatch.setattr(scan_plan, "WIDE", 0)
    if "device" in way:
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")

    def value(dtype, params, frames):
        module = LSTM(1, dtype, kernel="kernel" in way)
        return module.apply({"params": params}, frames, LENGTH).astype(jnp.float32).sum()

    check(value, LSTM_PARAMS, FRAMES)


@pytest.mark.slow
def test_loop_and_kernel_agree_in_bfloat16():
    def value(params, frames, kernel):
        states = LSTM(1, jnp.bfloat16, kernel=kernel).apply({"params": params}, frames, LENGTH).astype(jnp.float32)
        return states.sum(), states

    graded = jax.grad(value, (0, 1), has_aux=True)
    found, want = (quick_jit(partial(graded, kernel=kernel))(LSTM_PARAMS, FRAMES) for kernel in (True, False))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=4e-3, atol=1e-4), found, want)


def test_lstms_side_by_side_hold_states_and_cells():
    def value(dtype, inputs, recurrent):
        found = walk([inputs.astype(dtype)], [recurrent.astype(dtype)], steps_first(LENGTH, STEPS))
        return sum(each[-1].astype(jnp.float32).sum() for each in found)

    inputs = FRAMES.swapaxes(0, 1) * OF_FRAME + BIAS
    check(value, inputs, LSTM_PARAMS["recurrent"])


def test_a_gru_holds_its_state():
    # Gates reset, update, new: the first frame closes the update gate and makes the state.
    def each(*gates: float) -> np.ndarray:
        return np.array([gates, gates], np.float32)

    params = {
        "input": each(0, -16, 1)[:, None],
        "recurrent": each(0.5, 0.25, 0.125)[:, None],
        "input_bias": each(0, KEEP, 0.5),
        "recurrent_bias": each(0.25, 0, 0.25),
    }

    def value(dtype, params, frames):
        states = BidirectionalGRU(1, 1, dtype).apply({"params": {"layer_0": params}}, frames, LENGTH)
        return states[:, [0, 63, STEPS - 1]].astype(jnp.float32).sum()

    check(value, params, FRAMES)


def test_a_gated_memory_holds_what_it_took_up():
    module = GatedMemory(1, Layer(1), Layer(1), Layer(1))
    valid, fused = steps_first(LENGTH, STEPS), FRAMES.swapaxes(0, 1)

    def affine(*kernel: float, bias: float) -> dict:
        return {"kernel": np.array(kernel, np.float32)[:, None], "bias": np.array([bias], np.float32)}

    params = {
        "proposal": {"hidden": affine(1, bias=0.25), "output": affine(1, bias=0)},
        "retain_hidden": affine(0.25, 0.125, bias=1),
        "retain_output": affine(1, bias=KEEP - 1),
        "update_hidden": affine(16, 0.25, bias=1),
        "update_output": affine(1, bias=-12),
    }
    made = jax.eval_shape(lambda: module.init(jax.random.key(0), fused, valid, train=False))["params"]
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, made)

    def value(dtype, params, fused):
        found = module.clone(dtype=dtype).apply({"params": params}, fused.astype(dtype), valid, train=False)
        return found.astype(jnp.float32).sum()

    check(value, params, fused)


@pytest.mark.parametrize("linear", [True, pytest.param(False, marks=SLOW)])
def test_a_decoder_holds_its_cell(linear):
    # What it reads is the same at every step: the cell comes near its limit as slowly as the forget gate lets go.
    params = {"output": {"kernel": np.ones((1, 1), np.float32), "bias": np.zeros(1, np.float32)}}
    params |= {"lstm": {**LSTM_PARAMS, "input": 0 * OF_FRAME[None], "input_bias": of_gates(-6, KEEP, 0.5, 1)}}
    params |= {"energy": np.ones(1, np.float32)}
    if not linear:
        params |= {"keys": params["output"], "query": np.full((1, 1), 0.5, np.float32)}

    written = {
        dtype: AttentionDecoder(1, 1, linear, dtype=dtype).apply({"params": params}, FRAMES, LENGTH)
        for dtype in (jnp.bfloat16, jnp.float32)
    }
    np.testing.assert_allclose(written[jnp.bfloat16].astype(jnp.float32), written[jnp.float32], rtol=0.02)
