"""What MMCL's predictive network says of a sample before it has learned anything, and how its predictions are fused."""

import functools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msa_jax import losses
from msa_jax.encoders.predictive import CrossModalPredictor, PredictorInit
from msa_jax.methods import mmcl
from tests.methods.cases import step_of
from tests.methods.mmcl_cases import (
    LINEAR,
    SPREADS,
    forward_of,
    inputs_of,
    make_batch,
    make_options,
    network_of,
    params_of,
    some_outputs,
)
from tests.quick import quick_jit
from tests.tiny import tiny_dataset, train_quick

ROOT3 = math.sqrt(3)
STARTS = {
    "torch": PredictorInit(),
    "xavier": PredictorInit(kind="xavier"),
    "CNN x sqrt 3": PredictorInit(cnn_gain=ROOT3),
    "CNN x 5/3 sqrt 3, no biases there": PredictorInit(cnn_gain=5 / 3 * ROOT3, zero_biases="cnn"),
    "all x sqrt 3, no biases": PredictorInit(gain=ROOT3, zero_biases="all"),
}
ROWS, STEPS, WIDTH = 16, 20, 128  # of ICT-MMMO's sequences, projected
SEQUENCE = np.random.default_rng(0).normal(size=(ROWS, STEPS, WIDTH)).astype(np.float32)
SOURCE = SEQUENCE, np.full(ROWS, STEPS, np.int32)


@functools.cache
def parameters(start: PredictorInit, seed: int = 0) -> dict:
    """Of a predictive network with the CNNs that the paper prints."""
    network = CrossModalPredictor(start=start)
    init = lambda key: network.init(key, [SOURCE], None, train=False)["params"]  # noqa: E731
    return jax.tree.map(np.asarray, quick_jit(init)(jax.random.key(seed)))


@functools.cache
def _predict():
    return quick_jit(lambda params: CrossModalPredictor().apply({"params": params}, [SOURCE], None, train=False)[0])


@pytest.mark.slow
def test_predictions_are_nearly_the_same_for_all_samples_at_first_and_less_so_with_larger_matrices():
    found = {name: float(losses.spread(_predict()(parameters(start)))) for name, start in STARTS.items()}
    assert found["torch"] < 0.01
    assert found["xavier"] > 5 * found["torch"]
    assert found["CNN x sqrt 3"] > 5 * found["torch"]
    assert found["CNN x 5/3 sqrt 3, no biases there"] > 5 * found["CNN x sqrt 3"]
    assert found["all x sqrt 3, no biases"] > found["CNN x 5/3 sqrt 3, no biases there"]


def flat(start: PredictorInit) -> dict[str, np.ndarray]:
    return flatten_dict(parameters(start), sep="/")


@pytest.mark.slow
def test_parameters_start_as_the_option_says():
    usual, xavier = flat(STARTS["torch"]), flat(STARTS["xavier"])
    for path, value in usual.items():
        inputs, outputs = math.prod(value.shape[:-1]), value.shape[-1] * math.prod(value.shape[:-2])
        fan_in = 128 if path.startswith("context/") else inputs
        if value.ndim == 1:
            np.testing.assert_array_equal(xavier[path], value)
            continue
        np.testing.assert_allclose(np.abs(value).max(), fan_in**-0.5, rtol=0.05)
        np.testing.assert_allclose(xavier[path].std(), math.sqrt(2 / (inputs + outputs)), rtol=0.05)
        assert np.abs(xavier[path]).max() > 2.5 * xavier[path].std()  # normal
    louder = flat(PredictorInit(gain=2.0, cnn_gain=1.5, zero_biases="all"))
    without = flat(STARTS["CNN x 5/3 sqrt 3, no biases there"])
    for path, value in usual.items():
        if value.ndim == 1:
            assert not louder[path].any()
            assert without[path].any() == ("_cnn/" not in path)
        else:
            np.testing.assert_allclose(louder[path], (3.0 if "_cnn/" in path else 2.0) * value, rtol=1e-6)


@pytest.mark.slow
def test_the_option_is_that_of_the_predictive_networks_alone():
    batch = make_batch()
    drawn = []
    for kind in ("torch", "xavier"):
        network = network_of(batch, **{"predictor_init.kind": kind}, **LINEAR)
        init = functools.partial(network.init, train=False)
        drawn.append(flatten_dict(quick_jit(init)(jax.random.key(0), batch)["params"], sep="/"))
    changed = {path.split("/")[0] for path, value in drawn[0].items() if not np.array_equal(value, drawn[1][path])}
    assert changed == {"audio_prediction", "vision_prediction"}


# -- what is recorded -------------------------------------------------------------------------------------------------


def test_the_spread_is_the_distance_from_the_mean_over_the_length():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(6, 4)) + 1
    x[4:] = np.nan
    there = x[:4]
    want = np.sqrt(((there - there.mean(0)) ** 2).sum() / (there**2).sum())
    where = np.array([1, 1, 1, 1, 0, 0], bool)
    np.testing.assert_allclose(losses.spread(x, where=where), want, rtol=1e-5)
    for same in (np.ones((3, 2)), np.zeros((3, 2)), there[:1]):
        np.testing.assert_allclose(losses.spread(same), 0, atol=1e-6)
    assert losses.spread(x, where=np.zeros(6, bool)) == 0
    np.testing.assert_allclose(losses.spread(np.array([[1.0, 0], [-1, 0]])), 1)
    assert not np.asarray(jax.grad(lambda x: losses.spread(x))(there.astype(np.float32))).any()
    short = jnp.asarray(there, jnp.bfloat16)
    assert losses.spread(short) == losses.spread(short.astype(jnp.float32))


def test_training_measures_the_spread_and_does_not_minimise_it():
    outputs, batch = some_outputs(), make_batch()
    batch["weight"] = np.array([1, 1, 1, 0, 1, 1, 0, 1], np.float32)
    options, inputs = make_options(contrast=""), inputs_of(batch)
    step = step_of(outputs, batch)
    terms, _ = mmcl.objective(step, options, inputs)
    weights = mmcl.weights(options, inputs, {}, step.clock)
    assert {name for name in terms if name != "multimodal"} == SPREADS
    for name in ("audio", "vision"):
        want = losses.spread(outputs[f"predicted_{name}"][batch["weight"] > 0])
        np.testing.assert_allclose(terms[f"spread_{name}"], want, rtol=1e-5)
        assert weights[f"spread_{name}"] == 0


@pytest.mark.slow
def test_the_spread_stands_in_the_metrics_of_every_epoch(tmp_path):
    run = train_quick(
        "mmcl",
        tiny_dataset(modalities=("audio", "vision")),
        tmp_path / "run",
        lstm_hidden=4,
        unimodal="linear",
        width=8,
        cnn_channels=8,
        cnn_kernels=(3, 2),
        cnn_strides=(2, 1),
        predictor_hidden=8,
        max_epochs=1,
    )
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert all(0 < line["train"][name] <= 1 for line in lines for name in SPREADS)


# -- what is fused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reads", [False, True])
def test_the_encoded_modalities_reach_the_score_by_themselves_where_the_option_says_so(reads):
    """Predictions that say the same of every sample leave it nothing else."""
    batch = make_batch(("audio", "vision"))
    network = network_of(batch, fused_encoded=reads, **LINEAR)
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: 0 * leaf if "predict" in jax.tree_util.keystr(path) else leaf, params_of(network)
    )
    found = forward_of(network)(params, batch)
    for name in ("audio", "vision"):
        np.testing.assert_array_equal(found[f"predicted_{name}"], 0 * found[f"predicted_{name}"])
    assert (np.ptp(found["prediction"]) > 1e-4) == reads


@pytest.mark.slow
@pytest.mark.parametrize("there", [("text", "audio", "vision"), ("audio",)], ids=str)
def test_predictions_can_enter_the_fusion_at_unit_length(there):
    """The score then does not know how long they are."""
    batch = make_batch(there)
    network = network_of(batch, fused_prediction="unit", **LINEAR)
    params = params_of(network)
    raw = network_of(batch, **LINEAR)
    longer = jax.tree_util.tree_map_with_path(
        lambda path, leaf: 3 * leaf if "predictor" in jax.tree_util.keystr(path) else leaf, params
    )
    usual, scaled = (forward_of(network)(one, batch) for one in (params, longer))
    np.testing.assert_allclose(scaled["prediction"], usual["prediction"], rtol=1e-4, atol=1e-5)
    usual, scaled = (forward_of(raw)(one, batch) for one in (params, longer))
    assert not np.allclose(scaled["prediction"], usual["prediction"], atol=1e-3)
    for name in there:
        if name != "text" and len(there) > 1:
            np.testing.assert_allclose(scaled[f"predicted_{name}"], 3 * usual[f"predicted_{name}"], rtol=1e-4)
