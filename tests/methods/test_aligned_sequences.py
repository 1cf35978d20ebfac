"""What methods with one time axis say about sequences of their own lengths."""

import pytest

from msa_jax import methods
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput

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
