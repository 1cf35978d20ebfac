"""MMCL without a modality, a term or a Transformer."""

import numpy as np
import pytest

from msa_jax.methods import mmcl
from msa_jax.modalities import MODALITY
from tests.methods.cases import FIRST
from tests.methods.mmcl_cases import (
    ALL_TERMS,
    LINEAR,
    SHAPES,
    TWINS,
    inputs_of,
    louder,
    make_batch,
    make_options,
    minimised,
    outputs_of,
    shapes,
    some_outputs,
    terms_of,
)

# -- what is left without a modality ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("modalities", "predicted", "context"),
    [
        (("text", "audio"), ("audio",), "audio"),
        (("text", "vision"), ("vision",), "vision"),
        (("audio", "vision"), ("audio", "vision"), None),
        (("audio",), (), "audio"),
        (("vision",), (), "vision"),
        (("text",), (), None),
    ],
    ids=str,
)
def test_what_is_there_is_predicted_and_every_modality_reaches_the_score(modalities, predicted, context):
    params, evaluated, terms = shapes(modalities, **LINEAR)
    for prefix in ("predicted_", "latent_"):
        assert {name.removeprefix(prefix) for name in evaluated if name.startswith(prefix)} == set(predicted)
    first = {path.split("/")[0] for path in params}
    assert {name for name in first if name.endswith("_context")} == ({f"{context}_context"} if context else set())
    assert not {name for name in first if name.split("_")[0] in set(SHAPES) - set(modalities)}
    contrasts = {f"contrast_{name}" for name in modalities if name != "text"}
    instance = {"cross", "alignment", "uniformity", "sentiment"} if predicted else set()
    assert set(terms) == {"multimodal"} | contrasts | instance
    options, inputs = make_options(**LINEAR), inputs_of(make_batch(modalities))
    assert set(minimised(mmcl.weights(options, inputs, {}, FIRST))) == set(terms) - {"multimodal"}
    assert set(mmcl.METHOD.export_names(options, inputs)) == set(evaluated) - {"prediction"}


@pytest.mark.parametrize(
    "modalities", [("text", "audio"), pytest.param(("audio", "vision"), marks=pytest.mark.slow)], ids=str
)
def test_every_modality_that_is_there_moves_the_score(modalities):
    batch = make_batch(modalities)
    before = outputs_of(batch, **LINEAR)
    assert all(np.isfinite(value).all() for value in before.values())
    for name in modalities:
        after = outputs_of(louder(batch, name), **LINEAR)
        assert not np.allclose(after["prediction"], before["prediction"], atol=1e-6)


# -- ablations --------------------------------------------------------------------------------------------------------

ICL = {"cross", "alignment", "uniformity"}
ABLATIONS = {
    "w/o L_uni": ("cross,alignment,uniformity,sentiment", {"contrast_audio", "contrast_vision"}),
    "w/o ICL": ("uni,sentiment", ICL),
    "w/o L_cross": ("uni,alignment,uniformity,sentiment", {"cross"}),
    "w/o L_align": ("uni,cross,uniformity,sentiment", {"alignment"}),
    "w/o L_uniform": ("uni,cross,alignment,sentiment", {"uniformity"}),
    "w/o SCL": ("uni,cross,alignment,uniformity", {"sentiment"}),
    "no contrast": ("", ALL_TERMS - {"multimodal"}),
}


@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=[] if row == "no contrast" else [pytest.mark.slow]) for row in ABLATIONS]
)
def test_a_row_of_table_2_takes_its_term_away_and_no_other(row):
    contrast, gone = ABLATIONS[row]
    batch = make_batch()
    usual, found = terms_of(some_outputs(), batch), terms_of(some_outputs(), batch, contrast=contrast)
    assert set(found) == ALL_TERMS - gone
    for name, value in found.items():
        np.testing.assert_array_equal(value, usual[name])
    weights = mmcl.weights(make_options(contrast=contrast), inputs_of(batch), {}, FIRST)
    assert set(minimised(weights)) == set(found) - {"multimodal"}


def test_what_no_contrast_looks_at_is_not_there():
    full, _, _ = shapes(**LINEAR)
    for contrast in ("uni", ""):
        params, evaluated, terms = shapes(contrast=contrast, **LINEAR)
        assert set(full) - set(params) == {path for path in full if "/target_cnn/" in path}
        assert set(evaluated) == {"prediction", "representation", "predicted_audio", "predicted_vision"}
        assert set(terms) == {"multimodal"} | ({"contrast_audio", "contrast_vision"} if contrast else set())
    assert set(shapes(contrast="alignment", **LINEAR)[0]) == set(full)


def test_linear_layers_take_the_place_of_transformers():
    usual, linear = set(shapes()[0]), set(shapes(**LINEAR)[0])
    assert all("/transformer/" in path for path in usual - linear)
    assert linear - usual == {
        f"{name}_encoder/linear/{leaf}" for name in ("audio", "vision") for leaf in ("kernel", "bias")
    }


@pytest.mark.parametrize(
    ("kept", "gone"), [("t", ("audio", "vision")), pytest.param("a,v", ("text",), marks=pytest.mark.slow)]
)
def test_a_modality_of_table_4_is_zeros_and_nothing_else_changes(kept, gone):
    full, found = shapes(**LINEAR), shapes(modalities=kept, **LINEAR)
    for part in range(3):
        assert {path: leaf.shape for path, leaf in found[part].items()} == {
            path: leaf.shape for path, leaf in full[part].items()
        }
    batch = make_batch()
    before = outputs_of(batch, modalities=kept, **LINEAR)["prediction"]
    for name in SHAPES:
        after = outputs_of(louder(batch, name), modalities=kept, **LINEAR)["prediction"]
        assert np.allclose(after, before, atol=1e-6) == (name in gone)


@pytest.mark.parametrize(
    "kept", [pytest.param("t", marks=pytest.mark.slow), "a,v", pytest.param("v", marks=pytest.mark.slow)]
)
def test_nothing_is_left_of_a_modality_that_is_not_kept_and_prediction_does_not_need_it(kept):
    batch = make_batch()
    reads = mmcl.METHOD.read_names(make_options(modalities=kept), inputs_of(batch))
    assert set(reads) == {MODALITY[letter] for letter in kept.split(",")}
    before = outputs_of(batch, modalities=kept, **LINEAR)
    others = make_batch(seed=1)  # other frames, and other lengths
    for name in set(SHAPES) - set(reads):
        of = others[name]
        own = {"mask": of["mask"][::-1]} if name == "text" else {"length": of["length"][::-1]}
        after = outputs_of({**batch, name: {"features": of["features"], **own}}, modalities=kept, **LINEAR)
        for output, value in before.items():
            np.testing.assert_array_equal(after[output], value, err_msg=output)


def test_a_modality_that_is_zeros_has_finite_terms():
    batch = make_batch()
    outputs = outputs_of(batch, modalities="t", **LINEAR)
    assert all((outputs[name] == 0).all() for name in TWINS)
    assert all(np.isfinite(value).all() for value in terms_of(outputs, batch).values())
