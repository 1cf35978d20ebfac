"""MMCL: its network, padding, training and options."""

import functools
import re
import typing

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from msa_jax import config
from msa_jax.errors import InputError
from msa_jax.methods import mmcl
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from msa_jax.train.settings import resolve
from tests.methods.cases import step_of
from tests.methods.mmcl_cases import (
    ALL_TERMS,
    LATENTS,
    LENGTHS,
    LINEAR,
    ROWS,
    SHAPES,
    TWINS,
    forward_of,
    gradient_of,
    gradients_of,
    inputs_of,
    louder,
    make_batch,
    make_options,
    network_of,
    outputs_of,
    params_of,
    shapes,
    some_outputs,
    terms_of,
)
from tests.quick import quick_jit

# -- what goes where --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_output_is_there_and_the_twin_in_training_alone():
    params, evaluated, terms = shapes()
    assert set(evaluated) == {"prediction", "representation"} | LATENTS
    assert set(terms) == ALL_TERMS
    trained = outputs_of(make_batch())
    assert {name: value.shape for name, value in trained.items()} == {
        "prediction": (ROWS,),
        "representation": (ROWS, 16),
        **dict.fromkeys(LATENTS, (ROWS, 12)),
        **dict.fromkeys(TWINS, (ROWS, 8)),
    }
    assert {value.dtype for value in trained.values()} == {np.dtype("float32")}
    assert "text_encoder" not in {path.split("/")[0] for path in params}  # precomputed features


def test_each_modality_is_predicted_from_the_two_others_and_its_target_made_from_itself_alone():
    batch = make_batch()
    before = outputs_of(batch, **LINEAR)
    reached = {}
    for name in SHAPES:
        after = outputs_of(louder(batch, name), **LINEAR)
        reached[name] = {key for key in LATENTS if not np.allclose(before[key], after[key], atol=1e-6)}
        assert not np.allclose(before["prediction"], after["prediction"], atol=1e-6)
    assert reached == {
        "text": {"predicted_audio", "predicted_vision"},
        "audio": {"predicted_vision", "latent_audio"},
        "vision": {"predicted_audio", "latent_vision"},
    }


@pytest.mark.slow
def test_the_twin_shares_all_parameters_and_differs_by_the_cutoff_alone():
    with_twin, without = (set(shapes(contrast=contrast)[0]) for contrast in ("uni,cross", "cross"))
    assert with_twin == without
    cut, uncut = outputs_of(make_batch(), **LINEAR), outputs_of(make_batch(), cutoff=0.0, **LINEAR)
    for name in ("audio", "vision"):
        np.testing.assert_allclose(uncut[f"cutoff_{name}"], uncut[f"encoded_{name}"], atol=1e-5)
        np.testing.assert_allclose(cut[f"encoded_{name}"], uncut[f"encoded_{name}"], atol=1e-5)
        assert not np.allclose(cut[f"cutoff_{name}"], cut[f"encoded_{name}"], atol=1e-3)


# -- padding, rows that do not count, small batches -------------------------------------------------------------------


@pytest.mark.slow
def test_padding_changes_no_output_and_no_term():
    short, long = make_batch(), make_batch(extra=5, fill=3.0)
    want, found = outputs_of(short), outputs_of(long)
    for name, value in want.items():
        np.testing.assert_allclose(found[name], value, atol=2e-5, err_msg=name)
    terms = terms_of(want, short), terms_of(found, long)
    for name in ALL_TERMS:
        np.testing.assert_allclose(terms[1][name], terms[0][name], atol=1e-4, rtol=1e-4, err_msg=name)


@pytest.mark.slow
def test_rows_of_weight_zero_change_no_term_and_no_gradient():
    batch = make_batch()
    batch["weight"] = np.array([1, 1, 1, 0, 0, 0, 1, 0], np.float32)
    other = jax.tree.map(np.copy, batch)
    counts = batch["weight"] > 0
    other["label"][~counts] = [2.0, -1.0, 0.0, -2.0]
    for name in SHAPES:
        other[name]["features"][~counts] *= -3.0
    terms, gradient = gradient_of(batch, **LINEAR)
    others, of_others = gradient_of(other, **LINEAR)
    outputs = {name: value[counts] for name, value in outputs_of(batch, **LINEAR).items()}
    few = jax.tree.map(lambda leaf: leaf[counts], batch)
    for name, value in terms_of(outputs, few).items():
        for found in (terms, others):
            counted = found[name] if value.ndim == 0 else found[name][counts]
            np.testing.assert_allclose(counted, value, atol=1e-4, rtol=1e-4, err_msg=name)
        if value.ndim and name != "multimodal":  # whose mean the engine takes over the rows that count
            np.testing.assert_array_equal(terms[name][~counts], 0)
    for path, value in gradient.items():
        np.testing.assert_allclose(of_others[path], value, atol=1e-5 * max(1, np.abs(value).max()), err_msg=path)
    batch["weight"][:] = 0
    _, nothing = gradient_of(batch, **LINEAR)
    assert all((value == 0).all() for value in nothing.values())


def test_a_batch_of_one_has_nothing_to_contrast_but_the_pair_itself():
    batch = make_batch(rows=1)
    network, params = network_of(batch), params_of(network_of(batch))
    made = jax.eval_shape(
        lambda: network.apply({"params": params}, batch, train=True, rngs={"dropout": jax.random.key(0)})
    )
    outputs = {name: value[:1] for name, value in some_outputs().items()}
    assert {name: made[name].shape for name in outputs} == {name: value.shape for name, value in outputs.items()}

    def total(outputs):
        terms, _ = mmcl.objective(step_of(outputs, batch), make_options(), inputs_of(batch))
        return sum(jnp.sum(term) for term in terms.values()), terms

    gradient, terms = quick_jit(jax.grad(total, has_aux=True))(outputs)
    assert all(np.isfinite(value).all() for value in (*terms.values(), *gradient.values()))
    for name in ("contrast_audio", "contrast_vision", "cross", "uniformity", "sentiment"):
        np.testing.assert_array_equal(terms[name], 0)
    assert (terms["alignment"] > 0).all()


@pytest.mark.slow
def test_sequences_without_frames_give_finite_terms_and_gradients():
    batch = make_batch()
    batch["audio"]["length"] = np.array([0, 0, 3, 2, 0, 1, 0, 9], np.int32)
    terms, gradient = gradient_of(batch, **LINEAR)
    assert all(np.isfinite(value).all() for value in (*terms.values(), *gradient.values()))


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 39, 40, 50, 161])
def test_the_printed_kernels_and_strides_take_sequences_of_any_length(steps):
    options = config.override(mmcl.MMCLOptions(), {"lstm_hidden": 4, "unimodal": "linear"})
    frames = {"features": np.zeros((2, steps, 3), np.float32), "length": np.ones(2, np.int32)}
    batch = {"audio": frames, "vision": frames}
    network = mmcl.MMCLNetwork(options, Inputs(audio=SequenceInput(steps, 3), vision=SequenceInput(steps, 3)))
    outputs, _ = jax.eval_shape(lambda: network.init_with_output(jax.random.key(0), batch, train=False))
    assert {outputs[name].shape for name in LATENTS} == {(2, 256)}


def test_long_sequences_can_be_averaged_before_the_transformer():
    limit = {"max_steps": 3, "text_pooling": "mean", **LINEAR}
    batch, short = make_batch(), make_batch()
    short["audio"]["length"] = np.minimum(short["audio"]["length"], 3)
    short["vision"]["length"] = np.minimum(short["vision"]["length"], 3)
    of_short, of_limited = outputs_of(short, **LINEAR), outputs_of(short, **limit)
    for name in LATENTS | TWINS:  # no sequence is longer than the limit
        np.testing.assert_allclose(of_limited[name], of_short[name], atol=1e-5, err_msg=name)
    assert not np.allclose(of_limited["prediction"], of_short["prediction"], atol=1e-4)  # mean of the text's states
    usual, limited = outputs_of(batch, **LINEAR), outputs_of(batch, **limit)
    for name, lengths in (("audio", LENGTHS["audio"]), ("vision", LENGTHS["vision"])):
        same = np.isclose(limited[f"latent_{name}"], usual[f"latent_{name}"], atol=1e-5).all(1)
        np.testing.assert_array_equal(same, np.array(lengths) <= 3)


# -- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_step_moves_every_parameter():
    terms, gradient = gradient_of(make_batch(), **LINEAR)
    assert set(terms) == ALL_TERMS
    assert {path for path, value in gradient.items() if np.abs(value).max() == 0} == set()
    assert {value.dtype for value in gradient.values()} == {np.dtype("float32")}


@pytest.mark.slow
def test_eight_samples_can_be_learned_by_heart():
    batch = make_batch()
    network = network_of(batch, **LINEAR)
    params = quick_jit(functools.partial(network.init, train=False))(jax.random.key(0), batch)["params"]
    optimiser = optax.adam(1e-2)

    @quick_jit
    def update(params, state, gradient):
        changes, state = optimiser.update(gradient, state)
        return optax.apply_updates(params, changes), state

    state, errors, losses = quick_jit(optimiser.init)(params), [], []
    for _ in range(200):
        (loss, terms), gradient = gradients_of(network)(params, batch)
        params, state = update(params, state, gradient)
        errors.append(float(np.mean(terms["multimodal"])))
        losses.append(float(loss))
    assert errors[0] > 1
    assert np.mean(errors[-5:]) < 0.2
    assert np.mean(losses[-5:]) < 0.6 * losses[0]


@pytest.mark.slow
def test_it_computes_in_bfloat16_with_terms_in_float32():
    batch = make_batch()
    made = jax.eval_shape(forward_of(network_of(batch, dtype="bfloat16")), params_of(network_of(batch)), batch)
    assert {value.dtype for value in made.values()} == {jnp.dtype("float32")}
    found, want = outputs_of(batch, dtype="bfloat16", **LINEAR), outputs_of(batch, **LINEAR)
    for name, value in {**found, **terms_of(found, batch)}.items():
        assert value.dtype == np.float32, name
        assert np.isfinite(value).all(), name
    for name in LATENTS | {"prediction"}:
        scale = np.abs(want[name]).max()
        np.testing.assert_allclose(found[name], want[name], atol=0.15 * scale, err_msg=name)


def test_every_choice_makes_a_step():
    choices = {
        name: typing.get_args(hint)
        for name, hint in typing.get_type_hints(mmcl.MMCLOptions).items()
        if typing.get_origin(hint) is typing.Literal and name not in config.Options.__annotations__
    }
    assert set(choices) == {
        "unimodal", "text_pooling", "fused_prediction", "uni_denominator", "pair_schedule", "uniformity", "sentiment_pool",
    }  # fmt: skip
    for place in range(1, 3):
        changes = {name: values[min(place, len(values) - 1)] for name, values in choices.items()}
        assert set(shapes(**changes, stop_gradient=True, alignment_power=place)[2]) == ALL_TERMS
    for values in (choices[name] for name in ("uni_denominator", "pair_schedule", "uniformity")):
        assert len(values) == 3


# -- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("contrast", "uni,icl", "option contrast is uni,icl; expected any of uni, cross"),
        ("contrast", "uni,uni", "option contrast is uni,uni"),
        ("modalities", "", "option modalities is empty; expected any of t, a, v"),
        ("modalities", "t,x", "option modalities is t,x"),
        ("pairs", "", "option pairs is empty"),
        ("pairs", "origin_query", "option pairs is origin_query"),
        ("heads", 3, "option heads is 3; expected a divisor of 128"),
        ("lstm_hidden", 0, "option lstm_hidden is 0"),
        ("layers", 0, "option layers is 0"),
        ("cutoff", 1.0, "option cutoff is 1.0; expected a number in [0, 1)"),
        ("dropout", -0.1, "option dropout is -0.1"),
        ("max_steps", 0, "option max_steps is 0"),
        ("cnn_strides", "2,2", "option cnn_strides is 2,2; expected 5 numbers"),
        ("cnn_kernels", "", "option cnn_kernels is empty"),
        ("cnn_strides", "5,4,2,2,0", "option cnn_strides is 5,4,2,2,0; expected positive"),
        ("alignment_power", 3, "option alignment_power is 3; expected 1 or 2"),
        ("temperature", 0.0, "option temperature is 0.0; expected a positive number"),
        ("own_temperature.cross", -1.0, "option own_temperature.cross is -1.0; expected a positive number"),
        ("kappa", 0.0, "option kappa is 0.0"),
        ("weights.cross", -1.0, "option weights.cross is -1.0; expected a number that is not negative"),
        ("pair_epochs", 0, "option pair_epochs is 0"),
        ("predictor_init.gain", 0.0, "option predictor_init.gain is 0.0; expected a positive number"),
        ("predictor_init.kind", "glorot", "option predictor_init.kind is 'glorot'; expected one of torch, xavier"),
        ("uniformity", "pairs", "option uniformity is 'pairs'; expected one of pairwise, literal, within"),
    ],
)
def test_bad_options_are_refused_by_name(option, value, message):
    with pytest.raises(InputError, match=re.escape(message)):
        config.override(mmcl.MMCLOptions(), {option: value})


def test_modalities_that_the_dataset_lacks_are_refused():
    options = config.override(mmcl.MMCLOptions(), {"modalities": "v"})
    mmcl.check(options, Inputs(vision=SequenceInput(1, 2)))
    with pytest.raises(InputError, match="option modalities is v; the dataset has text, audio"):
        mmcl.check(options, Inputs(text=TextInput(width=4, steps=3), audio=SequenceInput(1, 2)))


def test_the_default_is_what_the_paper_states():
    options = mmcl.MMCLOptions()
    assert (options.layers, options.heads, options.cutoff, options.predictor_hidden) == (3, 8, 0.2, 128)
    assert (options.cnn_kernels, options.cnn_strides, options.cnn_channels) == ((10, 8, 4, 4, 4), (5, 4, 2, 2, 2), 256)
    assert (options.schedule, options.batch_size, options.learning_rate.text) == ("linear", 32, 5e-5)
    assert options.warmup > 0
    rates = {
        name: resolve("mmcl", preset=f"mmcl_{name}").options.learning_rate.other
        for name in ("mosi", "mosi_unaligned", "mosi_mild", "mosei", "mosei_unaligned")
    }
    assert rates == {"mosi": 5e-3, "mosi_unaligned": 5e-3, "mosi_mild": 5e-3, "mosei": 1e-3, "mosei_unaligned": 1e-3}
