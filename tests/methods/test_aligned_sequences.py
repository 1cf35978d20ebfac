"""What methods with one time axis do with sequences of their own lengths, and what they say of it."""

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msa_jax import config, methods
from msa_jax.errors import InputError
from msa_jax.layers.pooling import adaptive_mean
from msa_jax.methods.protocol import STATISTICS, Clock, Inputs, SequenceInput, TextInput, check_inputs
from msa_jax.methods.shared.aligned_sequences import aligned_sequences
from msa_jax.testing import check_method
from tests.methods.cases import phase_of, step_of
from tests.methods.network_kit import NetworkKit, close
from tests.quick import quick_jit

TEXT, LONG, SHORT = TextInput(width=8, steps=50), SequenceInput(375, 5), SequenceInput(60, 20)


@pytest.mark.parametrize("name", ["ef_lstm", "mfn", "graph_mfn", "mfm", "mag_bert"])
def test_sequences_of_their_own_lengths_are_said_to_be_averaged(name):
    method = methods.get(name)
    options = method.options()
    said = method.notes(options, Inputs(text=TEXT, audio=LONG, vision=SHORT))
    assert said == ("audio and vision averaged onto the text's tokens (alignment adaptive)",)
    assert method.notes(options, Inputs(text=TEXT, vision=SHORT)) == (
        "vision averaged onto the text's tokens (alignment adaptive)",
    )
    assert method.notes(options, Inputs(text=TEXT, audio=LONG, vision=SHORT, aligned=True)) == ()
    assert method.notes(options, Inputs(text=TEXT)) == ()


def test_without_text_the_shorter_sequence_is_the_axis():
    method = methods.get("mfn")
    said = method.notes(method.options(), Inputs(audio=LONG, vision=SHORT))
    assert said == ("audio averaged onto the steps of vision (alignment adaptive)",)


@pytest.mark.parametrize("padding", ["masked", "included"])
def test_without_text_a_sample_that_lacks_the_shorter_sequence_keeps_the_other(padding):
    inputs = Inputs(audio=SequenceInput(6, 2), vision=SequenceInput(4, 3))
    audio = np.random.default_rng(0).normal(size=(2, 6, 2)).astype(np.float32)
    vision = np.ones((2, 4, 3), np.float32) * np.array([1, 0], np.float32)[:, None, None]
    batch = {
        "audio": {"features": audio, "length": np.array([6, 6])},
        "vision": {"features": vision, "length": np.array([3, 0])},
    }
    method = methods.get("mfn")
    options = config.override(method.options(), {"padding": padding, "pack_text": False})
    sequences, length, _ = aligned_sequences(options, inputs, batch, np.float32, train=False)
    assert length.tolist() == ([3, 4] if padding == "masked" else [4, 4])
    np.testing.assert_allclose(sequences["audio"][1], adaptive_mean(audio, *(np.array([6, 6]), 4, np.array([4, 4])))[1])
    assert not np.asarray(sequences["vision"][1]).any()


# -- a learned alignment ----------------------------------------------------------------------------------------------

SHAPES = {"text": (4, 8), "audio": (9, 5), "vision": (6, 3)}
LENGTHS = {"text": [4, 2, 3, 1, 4], "audio": [9, 1, 4, 2, 5], "vision": [4, 5, 2, 3, 0]}
LEARNED = {"alignment": "ctc", "max_tokens": 4, "ctc.hidden": 4, "ctc.layers": 2, "ctc.weight": 0.5}
KIT = NetworkKit(methods.get("ef_lstm"), {"hidden": 4, "layers": 1, "dropout": 0.0, **LEARNED}, SHAPES, LENGTHS)
AUDIO, VISION = "audio_ctc", "vision_ctc"
LEARNERS = ["ef_lstm", "mfn", "graph_mfn", "mfm", "mctn", "raven"]


def test_a_learned_alignment_is_said():
    method = methods.get("ef_lstm")
    options = config.override(method.options(), {"alignment": "ctc"})
    said = method.notes(options, Inputs(text=TEXT, audio=LONG, vision=SHORT))
    assert said == ("audio and vision brought by a learned alignment onto the text's tokens (alignment ctc)",)


@pytest.mark.parametrize("name", LEARNERS)
def test_its_losses_are_terms_with_a_weight(name):
    kit = NetworkKit(methods.get(name), LEARNED, SHAPES, LENGTHS)
    network, batch = kit.network(), kit.batch()
    phase = phase_of(kit.method, network.options, network.inputs)
    weights = phase.weights(network.options, network.inputs, {}, Clock(epoch=np.int32(1), step=np.int32(0)))
    assert (weights[AUDIO], weights[VISION]) == (0.5, 0.5)

    def terms():
        outputs, _ = network.init_with_output(jax.random.key(0), batch, train=False)
        return phase.objective(step_of(outputs, batch), network.options, network.inputs)[0]

    found = jax.eval_shape(terms)
    assert found[AUDIO].shape == found[VISION].shape == (5,)


@pytest.mark.parametrize("name", LEARNERS)
def test_data_that_is_aligned_has_no_aligner_and_no_text_no_alignment(name):
    method = methods.get(name)
    kit = NetworkKit(method, LEARNED, SHAPES, LENGTHS, aligned=True)
    outputs, params = kit.made()
    assert AUDIO not in outputs
    assert "audio_aligner" not in params
    options = config.override(method.options(), LEARNED)
    with pytest.raises(InputError, match=r"no text|needs text"):
        check_inputs(method, options, Inputs(audio=LONG, vision=SHORT))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ef_lstm", "mfn"])
def test_a_method_with_a_learned_alignment_keeps_to_the_protocol(name):
    small = {"ef_lstm": {"hidden": 8, "layers": 2, "dropout": 0.1}, "mfn": {"memory": 8, "hidden.text": 8}}
    rates = dict.fromkeys(("learning_rate.audio", "learning_rate.vision", "learning_rate.other"), 1e-2)
    learned = {"alignment": "ctc", "max_tokens": 12, "ctc.hidden": 8}
    check_method(
        methods.get(name),
        {**small[name], **rates, **learned},
        leave_out=("resumption", "side by side", "export", "by heart"),
    )


@pytest.mark.slow
def test_its_own_loss_and_the_score_teach_an_aligner():
    def terms(params, batch):
        network = KIT.network()
        given = {**KIT.variables(), "params": params}
        outputs, _ = network.apply(given, batch, train=True, mutable=[STATISTICS])
        found = phase_of(KIT.method, network.options, network.inputs)
        return {name: term.sum() for name, term in
                found.objective(step_of(outputs, batch), network.options, network.inputs)[0].items()}  # fmt: skip

    gradient = quick_jit(jax.jacrev(terms))(KIT.variables()["params"], KIT.batch())
    for term, aligners in ((AUDIO, {"audio_aligner"}), (VISION, {"vision_aligner"})):
        moved = {path.split("/")[0] for path, value in flatten_dict(gradient[term], sep="/").items() if value.any()}
        assert moved == aligners
    regression = flatten_dict(gradient["multimodal"], sep="/")
    assert all(value.any() for path, value in regression.items() if "aligner" in path)


@pytest.mark.slow
def test_padding_changes_nothing_with_a_learned_alignment():
    more = KIT.batch(extra=3, fill=9.0)
    close(KIT.evaluated(batch=more), KIT.evaluated(), rtol=1e-4, atol=1e-5)
    found = KIT.evaluated()[VISION]
    # Two samples have fewer frames than tokens: the third, and the last, which has none.
    np.testing.assert_array_equal(found == 0, [False, False, True, False, True])


@pytest.mark.slow
def test_padding_is_aligned_with_padding_if_that_is_asked_for():
    changes = {"padding": "included", "pack_text": False}
    outputs = KIT.evaluated(**changes)
    assert (outputs[VISION] > 0).all()
    close(
        KIT.evaluated(batch=KIT.batch(extra=0, fill=9.0) | {"text": KIT.batch()["text"]}, **changes), outputs, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ctc.hidden": 0}, "ctc.hidden is 0"),
        ({"ctc.layers": 0}, "ctc.layers is 0"),
        ({"ctc.weight": -1}, "ctc.weight is -1"),
    ],
)
def test_options_of_an_alignment_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        config.override(methods.get("mfn").options(), changes)
