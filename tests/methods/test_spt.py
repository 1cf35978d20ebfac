"""SPT: its head and outputs, what padding leaves alone, absent modalities, options. The encoder has tests of its own."""

import jax
import numpy as np
import pytest

from msa_jax import config
from msa_jax.errors import InputError
from msa_jax.methods import spt
from tests.methods.network_kit import CHECKS, NetworkKit, close

SHAPES = {"text": (6, 8), "audio": (9, 5), "vision": (5, 3)}
LENGTHS = {"text": [6, 2, 3, 1, 5], "audio": [9, 1, 4, 2, 3], "vision": [1, 5, 2, 3, 0]}
ALL = ("text", "audio", "vision")
RATES = ("attention", "relu", "residual", "embed")
# Iterations have tests of their own; over each of them bfloat16 rounds once more.
SMALL = {"spt.width": 4, "spt.heads": 2, "spt.iterations": 1, "output_dropout": 0.0} | {
    f"spt.{name}_dropout": 0.0 for name in RATES
}


KIT = NetworkKit(spt.METHOD, SMALL, SHAPES, LENGTHS)


def test_the_head_has_the_parameters_of_the_authors():
    batch, inputs = KIT.batch(), KIT.inputs()
    network = spt.SPTNetwork(spt.SPTOptions(), inputs)
    made = jax.eval_shape(lambda: network.init(jax.random.key(0), batch, train=False))["params"]["head"]
    assert sum(leaf.size for leaf in jax.tree.leaves(made)) == 18_721


@pytest.mark.slow
def test_the_score_is_a_line_over_the_states_in_the_order_text_audio_vision():
    outputs, head = KIT.evaluated(), jax.tree.map(np.asarray, KIT.variables()["params"]["head"])
    z = np.concatenate([outputs[f"{name}_embedding"] for name in ALL], -1)
    first, second = head["residual"]["hidden"], head["residual"]["output"]
    z = z + np.maximum(z @ first["kernel"] + first["bias"], 0) @ second["kernel"] + second["bias"]
    np.testing.assert_allclose(outputs["representation"], z, rtol=1e-4, atol=1e-5)
    score = (z @ head["score"]["kernel"] + head["score"]["bias"])[:, 0]
    np.testing.assert_allclose(outputs["prediction"], score, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_padding_changes_nothing():
    close(KIT.evaluated(batch=KIT.batch(extra=3, fill=9.0)), KIT.evaluated(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_network_keeps_to_what_all_such_networks_do(check):
    check(KIT)


@pytest.mark.slow
def test_padding_is_read_where_that_is_asked_for():
    read = KIT.evaluated(padding="included", pack_text=False, max_tokens=6)["prediction"]
    assert np.abs(read - KIT.evaluated()["prediction"]).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("there", [("text",), ("audio", "vision")], ids=str)
def test_absent_modalities_have_no_state(there):
    outputs = KIT.evaluated(there)
    assert set(spt.METHOD.export_names(spt.SPTOptions(), KIT.inputs(there))) == set(outputs) - {"prediction"}
    assert outputs["representation"].shape == (5, 4 * len(there))
    assert np.isfinite(outputs["prediction"]).all()


def test_the_reference_protocol_shifts_no_input_window_and_reads_padding():
    reference = config.override(spt.SPTOptions(), spt.REFERENCE)
    assert (reference.spt.input_shift, spt.SPTOptions().spt.input_shift) == ("", "SPR")
    assert (reference.padding, reference.pack_text) == ("included", False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"padding": "included"}, "set pack_text to false"), ({"output_dropout": 1.0}, "output_dropout is 1.0")],
)
def test_options_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        config.override(spt.SPTOptions(), changes)
