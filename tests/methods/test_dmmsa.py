"""DMMSA: its terms against numpy, its dynamic weights, its coarse classes and ablations, and a run of it."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax import config
from msa_jax.errors import InputError
from msa_jax.methods import confede, dmmsa
from msa_jax.methods.dmmsa import METHOD
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from msa_jax.modalities import MODALITY
from msa_jax.train.checkpoint import StageInit, check_stage, save_stage
from msa_jax.train.prepare import prepare
from msa_jax.train.stage_inits import StageInits
from tests.methods import decomposed_cases as cases
from tests.methods.cases import FIRST, has_partners, phase_of, step_of, trained_by
from tests.methods.decomposed_cases import LETTER, PARTS, ROWS, make_batch, make_options
from tests.tiny import QUICK, tiny_dataset, train_quick

EIGHT = TextInput(width=8, steps=4)
# Appendix B.2, Tables 7 and 8: inner edges.
MOSI = {2: (0.0,), 3: (-0.5, 0.5), 5: (-1.5, -0.5, 0.5, 1.5), 7: (-2.5, -1.5, -0.5, 0.5, 1.5, 2.5)}
SIMS = {2: (0.0,), 3: (-0.1, 0.1), 5: (-0.7, -0.1, 0.1, 0.7)}


def terms_of(outputs, batch, *, label_range=(-3.0, 3.0), memory=None, **changes):
    inputs = cases.inputs_of(batch, label_range=label_range)
    terms, after = dmmsa.objective(step_of(outputs, batch, memory), make_options(METHOD, **changes), inputs)
    return jax.tree.map(np.asarray, (terms, after))


# -- terms ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("phi", [1.0, 0.6])
def test_scores_are_compared_by_smooth_l1(phi):
    batch, outputs = make_batch(own_labels=True), cases.some_outputs(classes=MOSI)
    terms, _ = terms_of(outputs, batch, smooth_l1_beta=phi)
    label = batch["label"].astype(np.float64)
    np.testing.assert_allclose(terms["multimodal"], cases.smooth_l1(outputs["prediction"] - label, phi), rtol=1e-5)
    expected = np.zeros(ROWS)
    for part in PARTS:  # u = [y, y, y, y^t, y^v, y^a]
        target = label if part[1] == "s" else batch[f"label_{part[0]}"].astype(np.float64)
        error = cases.smooth_l1(outputs["part_scores"][part] - target, phi)
        expected += np.where(cases.present(MODALITY[part[0]]), error, 0) / 6
    np.testing.assert_allclose(terms["unimodal"], expected, rtol=1e-5)


@pytest.mark.parametrize(("edges", "limit", "side"), [(MOSI, 3.0, "right"), (SIMS, 1.0, "left")], ids=["mosi", "sims"])
def test_the_classification_is_the_mean_cross_entropy_of_all_granularities(edges, limit, side):
    batch, outputs = make_batch(), cases.some_outputs(classes=edges)
    batch["label"] = (batch["label"] * limit / 3).astype(np.float32)
    terms, _ = terms_of(outputs, batch, label_range=(-limit, limit))
    expected = np.zeros(ROWS)
    for count, inner in edges.items():
        classes = np.searchsorted(np.float32(inner), batch["label"], side=side)
        logits = outputs["logits"][count].astype(np.float64)
        chosen = logits[np.arange(ROWS), classes]
        expected += (np.log(np.exp(logits).sum(1)) - chosen) / len(edges)
    np.testing.assert_allclose(terms["classification"], expected, rtol=1e-5)
    summed, _ = terms_of(outputs, batch, label_range=(-limit, limit), classes_reduce="sum")
    np.testing.assert_allclose(summed["classification"], len(edges) * expected, rtol=1e-5)


def test_multi_nt_xent_puts_all_positives_of_a_sample_into_one_sum():
    batch, outputs = cases.whole(make_batch()), cases.some_outputs(classes=MOSI)
    parts = outputs["parts"]
    terms, _ = terms_of(outputs, batch)
    for row in range(ROWS):
        weight = {name: np.exp(cases.cosine(parts["ts"][row], parts[name][row]) / 0.5) for name in PARTS}
        near, far = weight["vs"] + weight["as"], weight["td"] + weight["vd"] + weight["ad"]
        np.testing.assert_allclose(terms["contrast"][row], -np.log(near / (near + far)), rtol=1e-4)


def test_nt_xent_is_that_of_equation_one():
    batch, outputs = cases.whole(make_batch()), cases.some_outputs(classes=MOSI)
    parts = outputs["parts"]
    terms, _ = terms_of(outputs, batch, contrast="nt_xent", temperature=0.8)
    for row in range(ROWS):
        weight = {
            name: np.exp(cases.cosine(parts["ts"][row], parts[name][row]) / 0.8) for name in PARTS if name != "ts"
        }
        expected = np.mean([-np.log(weight[name] / sum(weight.values())) for name in ("vs", "as")])
        np.testing.assert_allclose(terms["contrast"][row], expected, rtol=1e-4)


@pytest.mark.slow
def test_the_contrast_of_confede_brings_its_partners():
    inputs = Inputs(text=EIGHT, audio=SequenceInput(3, 2), rows=20)
    stages = METHOD.stages(METHOD.options(contrast="confede"), inputs)
    assert [has_partners(stage) for stage in stages] == [False, False, True]
    assert not any(has_partners(stage) for stage in METHOD.stages(METHOD.options(), inputs))
    batch, outputs = cases.whole(make_batch()), cases.some_outputs(classes=MOSI)
    memory = cases.memory_of(METHOD, batch, contrast="confede")
    terms, after = terms_of(outputs, batch, contrast="confede", memory=memory)
    parts = {name: part.reshape(2, 7, -1) for name, part in outputs["parts"].items()}
    anchor = parts["vs"][0, 0]
    negatives = [*(parts["vs"][0, number] for number in (3, 4, 5, 6)), parts["vd"][0, 0]]
    only_vision = {name: x for name, x in outputs["parts"].items() if name[0] == "v"}
    alone, _ = terms_of({**outputs, "parts": only_vision}, batch, contrast="confede", memory=memory)
    pairs = [cases.pair_loss(anchor, parts["vs"][0, other], negatives) for other in (1, 2)]
    np.testing.assert_allclose(alone["contrast"][:7], np.mean(pairs), rtol=1e-4)
    # That of all parts is ConFEDE's own, which its tests compare with numpy.
    step = step_of(outputs, batch, cases.memory_of(confede.METHOD, batch))
    theirs, _ = confede.objective(step, make_options(confede.METHOD), cases.inputs_of(batch))
    np.testing.assert_allclose(terms["contrast"], theirs["contrast"], rtol=1e-5)
    assert np.unique(terms["contrast"]).size == 2
    assert np.array_equal(after["features"]["audio"][:ROWS], outputs["features"]["audio"])


@pytest.mark.parametrize("contrast", ["multi_nt_xent", pytest.param("nt_xent", marks=pytest.mark.slow)])
def test_a_sample_without_text_has_its_vision_as_anchor_and_one_with_a_single_modality_no_contrast(contrast):
    batch, outputs = cases.whole(make_batch()), cases.some_outputs(classes=MOSI)
    batch["text"]["features"][0] = 0
    batch["audio"]["length"][1] = batch["vision"]["length"][1] = 0
    outputs["parts"]["ts"][0] = outputs["parts"]["td"][0] = outputs["parts"]["vs"][1] = np.nan
    terms, _ = terms_of(outputs, batch, contrast=contrast)
    parts = {name: x[0] for name, x in outputs["parts"].items()}
    near, *far = (np.exp(cases.cosine(parts["vs"], parts[name]) / 0.5) for name in ("as", "vd", "ad"))
    np.testing.assert_allclose(terms["contrast"][0], -np.log(near / (near + sum(far))), rtol=1e-4)
    assert terms["contrast"][1] == 0
    assert np.isfinite(terms["contrast"]).all()


def test_ablations_leave_their_term_out():
    batch, outputs = make_batch(), cases.some_outputs(classes=MOSI)
    everything = {"multimodal", "classification", "unimodal", "contrast"}
    assert set(terms_of(outputs, batch)[0]) == everything
    assert set(terms_of(outputs, batch, contrast="none")[0]) == everything - {"contrast"}
    assert set(terms_of(outputs, batch, classification=False)[0]) == everything - {"classification"}
    one = cases.some_outputs(("vision",), classes=MOSI)
    assert set(terms_of(one, make_batch(("vision",)))[0]) == everything - {"contrast"}


def test_rows_of_padding_count_nowhere():
    batch, outputs = make_batch(), cases.some_outputs(classes=MOSI)
    batch["weight"][3] = 0
    for tree in (outputs["parts"], outputs["logits"]):
        for value in tree.values():
            value[3] = np.nan
    terms, _ = terms_of(outputs, batch)
    assert terms["contrast"][3] == terms["classification"][3] == 0


# -- dynamic weights --------------------------------------------------------------------------------------------------


def _epochs(means, **changes):
    """The memory after epochs with these means of L_Uni and L_CL."""
    options, batch = make_options(METHOD, **changes), make_batch()
    memory, inputs = cases.memory_of(METHOD, batch, **changes), cases.inputs_of(batch)
    for unimodal, contrast in means:
        named = {"multimodal": 1.0, "unimodal": unimodal, "contrast": contrast, "classification": 2.0, "loss": 9.0}
        if contrast is None:
            del named["contrast"]
        means = {name: jnp.float32(value) for name, value in named.items()}
        memory = dmmsa.end_fusion_epoch(memory, means, options, inputs)
    return {name: float(value) for name, value in dmmsa.weights(options, inputs, memory, FIRST).items()}


def test_the_term_that_has_fallen_less_weighs_more():
    means = [(2.0, 0.8), (1.5, 0.2), (1.0, 0.6)]
    ratio = np.array([1.0 / 2.0, 0.6 / 0.8])  # of the last epoch to the first
    for tau, scale in ((1.0, 1.0), (0.5, 2.0)):
        share = scale * np.exp(ratio / tau) / np.exp(ratio / tau).sum()
        found = _epochs(means, gdwg_temperature=tau, gdwg_scale=scale)
        np.testing.assert_allclose([found["unimodal"], found["contrast"]], share, rtol=1e-5)


def test_weights_are_equal_at_first_and_without_gdwg():
    equal = {"unimodal": 0.5, "contrast": 0.5}
    assert _epochs([]) == equal
    assert _epochs([(2.0, 0.8)]) == equal
    assert _epochs([(2.0, 0.8), (1.0, 0.7)], gdwg=False) == equal
    assert _epochs([(2.0, 0.8), (1.0, 0.7)]) != equal


def test_weights_without_gdwg_can_be_said():
    means = [(2.0, 0.8), (1.0, 0.7)]
    of_confede = {"fixed_weights.unimodal": 0.01, "fixed_weights.contrast": 0.1}
    assert _epochs(means, gdwg=False, **of_confede) == pytest.approx({"unimodal": 0.01, "contrast": 0.1})
    assert _epochs(means, gdwg=False, gdwg_scale=2.0, **{"fixed_weights.contrast": 0.0}) == {
        "unimodal": 1,
        "contrast": 0,
    }
    alone = _epochs([(2.0, None)], gdwg=False, contrast="none", **of_confede)
    assert alone == pytest.approx({"unimodal": 0.01})
    for changes, message in (
        (of_confede, "option fixed_weights.unimodal is 0.01; expected none with gdwg true"),
        ({"gdwg": False, "fixed_weights.contrast": -1.0}, "option fixed_weights.contrast is -1.0; expected a number"),
    ):
        with pytest.raises(InputError, match=message):
            config.override(METHOD.options(), changes)


def test_without_the_contrast_the_scale_keeps_the_other_weight():
    means = [(2.0, None), (1.0, None)]
    assert _epochs(means, contrast="none", gdwg_scale=0.5) == pytest.approx({"unimodal": 0.5})


def test_a_single_adjusted_term_has_all_the_weight():
    means = [(2.0, None), (1.0, None)]
    assert _epochs(means, contrast="none") == pytest.approx({"unimodal": 1.0})
    assert _epochs(means, contrast="none", gdwg=False) == {"unimodal": 1.0}
    options, inputs = make_options(METHOD), Inputs(text=EIGHT, rows=4)
    memory = METHOD.init_memory(options, inputs, {"label": jnp.zeros(4)})
    assert dmmsa.weights(options, inputs, memory, FIRST).keys() == {"unimodal"}


def test_the_first_stages_leave_no_trace_in_the_weights():
    options, batch = make_options(METHOD), make_batch()
    memory, inputs = cases.memory_of(METHOD, batch), cases.inputs_of(batch)
    for number in range(3):
        phase = phase_of(METHOD, options, inputs, number)
        after = phase.end_epoch(memory, {"loss": jnp.float32(3)}, options, inputs)
        assert jax.tree.all(jax.tree.map(np.array_equal, after, memory))
        assert phase.weights(options, inputs, memory, FIRST) == {}


def test_the_memory_has_one_structure_so_that_ablations_can_share_the_encoders():
    structures = {
        jax.tree.structure(cases.memory_of(METHOD, make_batch(), **changes))
        for changes in ({}, {"contrast": "none"}, {"contrast": "nt_xent"}, {"gdwg": False}, {"classification": False})
    }
    assert len(structures) == 1
    params = [set(cases.shapes(METHOD, **changes)[0]) for changes in ({}, {"classification": False})]
    assert params[0] == params[1]


# -- coarse classes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("label_range", "counts"), [((-3.0, 3.0), (2, 3, 5, 7)), ((-1.0, 1.0), (2, 3, 5))])
def test_there_is_one_classifier_of_the_fused_heads_shape_for_each_granularity_of_the_appendix(label_range, counts):
    params, evaluated, trained, terms = cases.shapes(METHOD, label_range=label_range)
    found = {path.split("/")[0] for path in params if path.startswith("classifier_")}
    assert found == {f"classifier_{count}" for count in counts}
    for count in counts:
        assert evaluated[f"class_{count}"].shape == trained["logits"][count].shape == (ROWS, count)
        for path in (path for path in params if path.startswith("fusion/hidden")):
            assert params[path.replace("fusion", f"classifier_{count}")].shape == params[path].shape
    options, inputs = make_options(METHOD), cases.inputs_of(make_batch(), label_range=label_range)
    heads, exports = METHOD.head_names(options, inputs), METHOD.export_names(options, inputs)
    assert {"restricted", "prediction"} <= set(heads) <= set(evaluated)
    assert {f"class_{count}" for count in counts} <= set(exports) <= set(evaluated)
    assert {leaf.dtype for leaf in jax.tree.leaves((evaluated, terms))} == {jnp.dtype("float32")}


@pytest.mark.slow
@pytest.mark.parametrize("restricted_by", [None, 7])
def test_restricted_is_the_prediction_within_the_bin_of_the_likeliest_class(restricted_by):
    count = restricted_by or 3
    outputs = cases.outputs_of(METHOD, make_batch(), train=False, restricted_by=restricted_by)
    ends = np.array((-3.0, *MOSI[count], 3.0))
    chosen = outputs["logits"][count].argmax(1)
    expected = np.clip(outputs["prediction"].astype(np.float64), ends[chosen], ends[chosen + 1])
    np.testing.assert_allclose(outputs["restricted"], expected, atol=1e-6)
    assert not np.allclose(expected, outputs["prediction"])
    logits = outputs["logits"][count].astype(np.float64)
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(outputs[f"class_{count}"], probability, rtol=1e-4)


@pytest.mark.slow
def test_the_prediction_is_restricted_where_asked_and_never_in_training():
    plain = cases.outputs_of(METHOD, make_batch(), train=False)
    asked = cases.outputs_of(METHOD, make_batch(), train=False, restrict_to_class=True)
    np.testing.assert_allclose(asked["prediction"], plain["restricted"], atol=1e-6)
    trained = cases.outputs_of(METHOD, make_batch(), restrict_to_class=True)
    np.testing.assert_allclose(trained["prediction"], plain["prediction"], atol=1e-5)


def test_without_classification_the_classifiers_are_not_trained_and_nothing_is_restricted():
    params, evaluated, _, _ = cases.shapes(METHOD, classification=False)
    inputs = cases.inputs_of(make_batch())
    without, options = make_options(METHOD, classification=False), make_options(METHOD)
    classifiers = {path for path in params if path.startswith("classifier_")}
    assert classifiers
    assert trained_by(METHOD.stages(without, inputs)[-1], classifiers) == set()
    assert trained_by(METHOD.stages(options, inputs)[-1], classifiers) == classifiers
    assert not {"restricted", "class_2"} & set(evaluated)
    names = {*METHOD.head_names(without, inputs), *METHOD.export_names(without, inputs)}
    assert names <= set(evaluated)


def test_the_network_is_that_of_confede_with_classifiers():
    ours = cases.shapes(METHOD)[0]
    theirs = cases.shapes(cases.METHODS["confede"])[0]
    assert {path: leaf.shape for path, leaf in ours.items() if not path.startswith("classifier_")} == {
        path: leaf.shape for path, leaf in theirs.items()
    }


@pytest.mark.parametrize("there", [("text", "vision"), ("audio",)], ids=str)
def test_what_belongs_to_an_absent_modality_is_left_out(there):
    params, evaluated, _, terms = cases.shapes(METHOD, there)
    kinds = ("regressor", "similar", "dissimilar", "encoder")
    owners = {path.split("/")[0].split("_")[0] for path in params if path.split("/")[0].split("_")[-1] in kinds}
    assert owners == set(there)
    assert evaluated.keys() & set(PARTS) == set()
    assert set(evaluated["parts"]) == {LETTER[name] + kind for name in there for kind in "sd"}
    assert ("contrast" in terms) == (len(there) > 1)
    assert {"unimodal", "classification", "multimodal"} <= set(terms)


# -- stages of another experiment -------------------------------------------------------------------------------------


def test_encoders_serve_experiments_that_remember_the_same_and_the_others_are_told_so(tmp_path):
    dataset = tiny_dataset(modalities=("audio", "vision"), rows=(8, 2, 2))

    def start(**changes):
        options = config.override(make_options(METHOD), {**QUICK, **changes})
        inits = StageInits(METHOD, options, prepare(dataset, METHOD, options))
        return StageInit(inits.shapes, jax.eval_shape(inits.traced_memory, {}))

    plain, partners = start(), start(contrast="confede")
    save_stage(tmp_path, jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), plain))
    for fits in (start(contrast="nt_xent"), start(contrast="none", gdwg=False), start(classification=False)):
        check_stage(tmp_path, fits)
    with pytest.raises(
        InputError, match=r"does not fit this experiment: .* options that decide what the method remembers"
    ):
        check_stage(tmp_path, partners)
    save_stage(tmp_path / "partners", jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), partners))
    check_stage(tmp_path / "partners", start(contrast="confede", **{"retrieval.refresh_epochs": 3}))
    with pytest.raises(InputError, match="options that decide what the method remembers"):
        check_stage(tmp_path / "partners", start(contrast="confede", **{"retrieval.candidates": 3}))


# -- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("gdwg_temperature", 0.0, "0.0"),
        ("gdwg_scale", -1.0, "-1.0"),
        ("classes", "", "empty"),
        ("classes", "3,3", "3,3"),
        ("contrast", "info_nce", "'info_nce'"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(name, value, shown):
    with pytest.raises(InputError, match=f"option {name} is {shown}; expected"):
        config.override(METHOD.options(), {name: value})


def test_options_that_do_not_go_with_each_other_or_the_dataset_are_refused():
    with pytest.raises(InputError, match="option restrict_to_class is True; expected False without classification"):
        METHOD.options(restrict_to_class=True, classification=False)
    narrow = Inputs(text=EIGHT, label_range=(-1.0, 1.0))
    with pytest.raises(InputError, match="option classes is 7; expected one of 2, 3, 5"):
        METHOD.check(METHOD.options(classes=(3, 7)), narrow)
    with pytest.raises(InputError, match="option restricted_by is 7; expected one of classes, 2, 3, 5"):
        METHOD.check(METHOD.options(restricted_by=7), narrow)
    METHOD.check(METHOD.options(classes=(5,)), narrow)
    METHOD.check(METHOD.options(restricted_by=7), replace(narrow, label_range=(-3.0, 3.0)))


def test_options_survive_json():
    options = METHOD.options(classes=(3, 5), contrast="none", restricted_by=5)
    for given in (options, METHOD.options()):
        assert config.override(METHOD.options(), json.loads(json.dumps(config.to_json(given)))) == given


# -- the engine -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", [True, False], ids=["head", "no head"])
@pytest.mark.slow
def test_it_trains_through_its_stages_with_bert_frozen_in_the_fusion(tmp_path, head):
    options = {
        **{name: value for name, value in cases.SMALL.items() if "dropout" not in name},
        "classes": "3,5",
        "stage_text.max_epochs": 3,
        **({} if head else {"text_head_share": 0.0}),
        "max_epochs": 2,
        "batch_size": 8,
    }
    # One modality is quick to compile; its parts have nothing to be drawn to.
    dataset = tiny_dataset(modalities=("text",), label_range=(-1.0, 1.0), metrics="sims")
    experiment = train_quick("dmmsa", dataset, tmp_path / "run", options=options)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == ["text_head" if head else "text", "text", "text", "fusion", "fusion"]
    assert set(lines[-1]["train"]) == {"multimodal", "classification", "unimodal", "loss"}
    header = (tmp_path / "run" / "predictions" / "test.csv").read_text().splitlines()[0]
    assert header == "id,label,1/prediction,1/text,1/restricted"
    assert np.isfinite(experiment.mean["MAE"])
