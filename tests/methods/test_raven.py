"""RAVEN: values and gradients against a derivation in PyTorch, what the shift learns and does, absent modalities, options."""

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msa_jax import config
from msa_jax.errors import InputError
from msa_jax.methods import raven
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput, check_inputs
from tests.methods.network_kit import ALL, CHECKS, NetworkKit, close
from tests.quick import quick_jit

LENGTHS = [6, 2, 3, 1, 5]
SHAPES = {"text": (6, 8), "audio": (6, 5), "vision": (6, 3)}
SMALL = {"nonverbal": 4, "hidden": 6, "dropout": 0.0}
KIT = NetworkKit(raven.METHOD, SMALL, SHAPES, dict.fromkeys(SHAPES, LENGTHS), aligned=True)
CODE = {"linear_gate": True, "loose_bound": True}


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS, ids=lambda each: each.__name__)
def test_it_keeps_to_what_every_network_does(check):
    check(KIT)


def test_the_network_has_the_parameters_of_the_authors_but_for_what_one_frame_leaves_idle():
    inputs = Inputs(
        text=TextInput(width=300, steps=50), audio=SequenceInput(50, 74), vision=SequenceInput(50, 47), aligned=True
    )
    batch = {
        "text": {"features": np.zeros((1, 50, 300), np.float32), "mask": np.ones((1, 50), np.int32)},
        "audio": {"features": np.zeros((1, 50, 74), np.float32), "length": np.ones(1, np.int32)},
        "vision": {"features": np.zeros((1, 50, 47), np.float32), "length": np.ones(1, np.int32)},
    }
    network = raven.RavenNetwork(raven.RavenOptions(), inputs)
    made = jax.eval_shape(lambda: network.init(jax.random.key(0), batch, train=False))["params"]
    # Two BatchNorms over 50 positions; of two LSTMs the matrix of the state, the forget gate and one of both biases.
    idle = 2 * 100 + 2 * (4 * 150 * 150 + 150 * 150 + (8 - 3) * 150)
    assert sum(leaf.size for leaf in jax.tree.leaves(made)) == 1_194_953 - idle


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, CODE], ids=["paper", "code"])
def test_values_and_gradients_are_those_of_pytorch(changes):
    torch = pytest.importorskip("torch")
    from tests.reference import raven_torch

    batch = KIT.batch()
    params = KIT.variables(**changes)["params"]
    outputs, _, gradient = KIT.trained(batch, **changes)
    tensors = {path: torch.tensor(np.asarray(leaf), dtype=torch.float64, requires_grad=True)
               for path, leaf in flatten_dict(params, sep="/").items()}  # fmt: skip
    scores = []
    for row, length in enumerate(LENGTHS):
        one = {name: torch.tensor(batch[name]["features"][row, :length], dtype=torch.float64) for name in ALL}
        scores.append(raven_torch.score(one, tensors, 0.2, as_code=bool(changes)))
    score = torch.stack(scores)
    ((score - torch.tensor(batch["label"])) ** 2).mean().backward()
    np.testing.assert_allclose(outputs["prediction"], score.detach(), rtol=1e-4, atol=1e-5)
    for path, value in flatten_dict(gradient, sep="/").items():
        np.testing.assert_allclose(value, tensors[path].grad, rtol=1e-3, atol=1e-6, err_msg=path)


# -- the shift --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_no_gradient_reaches_a_detached_shift():
    _, _, gradient = KIT.trained(KIT.batch(), detach_shift=True)
    of_shift = {"shift", "audio_encoder", "vision_encoder"}
    assert set(gradient) == of_shift | {"lstm", "score"}
    for path, value in flatten_dict(gradient, sep="/").items():
        assert (np.abs(value).max() > 0) == (path.split("/")[0] not in of_shift), path
    close(KIT.evaluated(detach_shift=True), KIT.evaluated(), rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, CODE], ids=["paper", "code"])
def test_no_word_is_shifted_further_than_beta_says(changes):
    shift = KIT.evaluated(**changes)["shift"]
    assert (shift <= 0.2 + 1e-5).all()
    assert (shift > 0.01).all()


def test_a_word_without_frames_has_a_state_of_zeros():
    frames = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    frames[0, 1:] = 0
    encoder = raven.FrameEncoder(4, 0.0)
    variables = encoder.init(jax.random.key(0), frames, train=False)

    def read(frames):
        states = encoder.apply(variables, frames, train=False)
        return states.sum(), states

    (_, states), gradient = quick_jit(jax.value_and_grad(read, has_aux=True))(frames)
    np.testing.assert_array_equal(states[0, 1:], 0)
    assert (np.abs(np.concatenate([states[0, :1], states[1]])) > 0).any(-1).all()
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[0, 1:], 0)


def test_with_beta_0_words_stay_and_frames_change_nothing():
    batch = KIT.batch()
    batch["vision"]["features"] = batch["vision"]["features"] + 1
    moved, still = KIT.evaluated(batch=batch), KIT.evaluated(batch=batch, beta=0.0)
    assert np.abs(moved["prediction"] - KIT.evaluated()["prediction"]).max() > 1e-4
    np.testing.assert_array_equal(still["prediction"], KIT.evaluated(beta=0.0)["prediction"])
    np.testing.assert_array_equal(still["shift"], 0)


# -- absent modalities, options ---------------------------------------------------------------------------------------


def test_absent_modalities_are_left_out_and_words_must_be_there():
    _, params = KIT.made(("text", "audio"))
    assert set(params["shift"]) == {"audio_gate", "shift"}
    assert params["shift"]["shift"]["kernel"].shape == (4, 8)
    _, params = KIT.made(("text",))
    assert set(params) == {"lstm", "score"}
    with pytest.raises(InputError, match="needs text, whose words it shifts"):
        check_inputs(raven.METHOD, raven.RavenOptions(), KIT.inputs(("audio", "vision")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"nonverbal": 0}, "nonverbal is 0"),
        ({"hidden": 0}, "hidden is 0"),
        ({"beta": -0.1}, "beta is -0.1"),
    ],
)
def test_options_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        config.override(raven.RavenOptions(), changes)
