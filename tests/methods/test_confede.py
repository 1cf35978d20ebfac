"""ConFEDE: its terms against numpy, its partners, and a run of it."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.methods import confede
from msa_jax.methods.confede import METHOD
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from msa_jax.methods.shared import partners
from msa_jax.modalities import MODALITY
from tests.methods import decomposed_cases as cases
from tests.methods.cases import FIRST, has_partners, phase_of, step_of
from tests.methods.decomposed_cases import ALL, LETTER, ROWS, TRAIN_ROWS, make_batch, make_options
from tests.tiny import tiny_dataset, train_quick


def terms_of(outputs, batch, **changes):
    """The objective's terms, on the host."""
    memory = cases.memory_of(METHOD, batch, **changes)
    step = step_of(outputs, batch, memory)
    terms, _ = confede.objective(step, make_options(METHOD, **changes), cases.inputs_of(batch))
    return jax.tree.map(np.asarray, terms)


# -- terms ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_contrast_of_a_group_is_the_mean_of_its_twenty_pairs_and_the_same_for_all_of_it():
    batch, outputs = cases.whole(make_batch()), cases.some_outputs()
    parts = outputs["parts"]
    terms = terms_of(outputs, batch, temperature=0.4)
    for group in range(2):
        first = 7 * group
        found = []
        for letter in "tva":
            similar = parts[f"{letter}s"]
            negatives = [similar[first + number] for number in (3, 4, 5, 6)]
            if letter == "t":
                negatives += [parts[name][first] for name in ("td", "vd", "ad")]
            found += [cases.pair_loss(similar[first], similar[first + other], negatives, 0.4) for other in (1, 2)]
        for row in range(first, first + 7):
            negatives = [parts[name][row] for name in ("td", "vd", "ad")]
            if row == first:
                negatives += [parts["ts"][first + number] for number in (3, 4, 5, 6)]
            found += [cases.pair_loss(parts["ts"][row], parts[name][row], negatives, 0.4) for name in ("vs", "as")]
        assert len(found) == 20
        np.testing.assert_allclose(terms["contrast"][first : first + 7], np.mean(found), rtol=1e-4)


def test_without_partners_the_contrast_is_within_samples():
    batch, outputs = cases.whole(make_batch()), cases.some_outputs()
    parts = outputs["parts"]
    terms = terms_of(outputs, batch, between_samples=False)
    for row in range(ROWS):
        negatives = [parts[name][row] for name in ("td", "vd", "ad")]
        pairs = [cases.pair_loss(parts["ts"][row], parts[name][row], negatives) for name in ("vs", "as")]
        np.testing.assert_allclose(terms["contrast"][row], np.mean(pairs), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("there", "count"), [(("audio", "vision"), 11), (("audio",), 2)], ids=str)
def test_a_group_without_some_modality_has_the_pairs_that_are_left(there, count):
    batch, outputs = cases.whole(make_batch(there)), cases.some_outputs(there)
    terms = terms_of(outputs, batch)
    parts, main = outputs["parts"], "v" if "vision" in there else "a"
    own = [name for name in ("vd", "ad") if name in parts]
    found = []
    for letter in [LETTER[name] for name in there]:
        similar = parts[f"{letter}s"]
        negatives = [similar[number] for number in (3, 4, 5, 6)] + [parts[name][0] for name in own if letter == main]
        found += [cases.pair_loss(similar[0], similar[other], negatives) for other in (1, 2)]
    for row in range(7 if len(there) > 1 else 0):
        negatives = [parts[name][row] for name in own] + ([parts["vs"][n] for n in (3, 4, 5, 6)] if row == 0 else [])
        found.append(cases.pair_loss(parts["vs"][row], parts["as"][row], negatives))
    assert len(found) == count
    np.testing.assert_allclose(terms["contrast"][:7], np.mean(found), rtol=1e-4)


@pytest.mark.parametrize("between_samples", [pytest.param(True, marks=pytest.mark.slow), False])
def test_parts_of_a_modality_that_a_sample_lacks_are_not_looked_at(between_samples):
    """If no sample has vision, the contrast is that of data without it."""
    batch, outputs = cases.whole(make_batch()), cases.some_outputs()
    batch["vision"]["length"][:] = 0
    spoilt = {name: np.full_like(x, np.nan) if name[0] == "v" else x for name, x in outputs["parts"].items()}
    found = terms_of({**outputs, "parts": spoilt}, batch, between_samples=between_samples)["contrast"]
    there = ("text", "audio")
    less = {name: x for name, x in outputs["parts"].items() if name[0] != "v"}
    without = cases.whole(make_batch(there))
    expected = terms_of({**cases.some_outputs(there), "parts": less}, without, between_samples=between_samples)
    np.testing.assert_allclose(found, expected["contrast"], rtol=1e-6)


@pytest.mark.slow
def test_rows_of_padding_have_no_part_in_the_contrast():
    batch, outputs = make_batch(), cases.some_outputs()
    batch["weight"] = np.repeat([1.0, 0.0], 7).astype(np.float32)
    outputs["parts"] = {name: np.where(batch["weight"][:, None] > 0, x, np.nan) for name, x in outputs["parts"].items()}
    terms = terms_of(outputs, batch)
    assert np.isfinite(terms["contrast"]).all()
    assert (terms["contrast"][7:] == 0).all()


def test_the_weights_are_those_of_the_options():
    inputs = cases.inputs_of(make_batch())
    assert confede.weights(METHOD.options(), inputs, {}, FIRST) == {"contrast": 0.1, "unimodal": 0.01}
    options = make_options(METHOD, **{"weights.contrast": 0.3, "weights.unimodal": 0.0})
    assert confede.weights(options, inputs, {}, FIRST) == {"contrast": 0.3, "unimodal": 0.0}


@pytest.mark.parametrize("between_samples", [pytest.param(True, marks=pytest.mark.slow), False])
@pytest.mark.parametrize("there", [("text", "audio"), ("vision",)], ids=str)
def test_weights_are_of_terms_that_there_are(there, between_samples):
    batch, outputs = make_batch(there), cases.some_outputs(there)
    options = make_options(METHOD, between_samples=between_samples)
    found = confede.weights(options, cases.inputs_of(batch), {}, FIRST)
    assert set(found) == set(terms_of(outputs, batch, between_samples=between_samples)) - {"multimodal"}


@pytest.mark.parametrize("loss", ["l2", "smooth_l1"])
@pytest.mark.parametrize("own_labels", [False, True])
def test_similar_parts_are_compared_with_the_m_label_and_dissimilar_ones_with_their_own_if_there(own_labels, loss):
    batch, outputs = make_batch(own_labels=own_labels), cases.some_outputs()
    terms = terms_of(outputs, batch, loss=loss, smooth_l1_beta=0.7)
    distance = np.square if loss == "l2" else lambda error: cases.smooth_l1(error, 0.7)
    label = batch["label"].astype(np.float64)
    np.testing.assert_allclose(terms["multimodal"], distance(outputs["prediction"] - label), rtol=1e-5)
    expected = np.zeros(ROWS)
    for part, score in outputs["part_scores"].items():
        target = batch[f"label_{part[0]}"].astype(np.float64) if own_labels and part[1] == "d" else label
        expected += np.where(cases.present(MODALITY[part[0]]), distance(score - target), 0) / 6
    np.testing.assert_allclose(terms["unimodal"], expected, rtol=1e-5)


# -- partners ---------------------------------------------------------------------------------------------------------


def test_features_of_a_row_are_those_it_had_last_and_rows_of_padding_or_without_the_modality_leave_none():
    batch = make_batch()
    batch["row"] = np.array([3, 5, 3, 0, 9, 5, 0, 11, 12, 13, 14, 15, 16, 19], np.int32)
    batch["weight"][[3, 7]] = 0
    batch["audio"]["length"][[0, 1, 5, 9]] = 0  # row 3 has audio where it comes again, row 5 does not
    memory, features = cases.memory_of(METHOD, batch), cases.some_outputs()["features"]
    memory["features"]["audio"] = memory["features"]["audio"].at[:].set(2.0)
    inputs = cases.inputs_of(batch)
    after = jax.jit(lambda *given: partners.remember(*given, inputs))(memory, features, batch)["features"]
    for name, values in features.items():
        expected = np.full((TRAIN_ROWS, values.shape[1]), 2.0 if name == "audio" else 0.0, np.float32)
        written = set()
        for place, row in enumerate(batch["row"]):
            there = name == "text" or batch[name]["length"][place] > 0
            if there and batch["weight"][place] > 0 and row not in written:
                expected[row] = values[place]
                written.add(row)
        assert np.array_equal(after[name], expected)
    alone = partners.remember(memory, {"text": features["text"]}, batch, inputs)["features"]
    assert np.array_equal(alone["audio"], memory["features"]["audio"])


def test_no_gradient_flows_into_the_memory():
    batch = make_batch()
    memory, features = cases.memory_of(METHOD, batch), cases.some_outputs()["features"]
    inputs = cases.inputs_of(batch)
    total = lambda x: partners.remember(memory, {"text": x}, batch, inputs)["features"]["text"].sum()  # noqa: E731
    assert (np.asarray(jax.grad(total)(features["text"])) == 0).all()


def _filled(memory, seed=0):
    rng = np.random.default_rng(seed)
    found = {name: rng.normal(size=value.shape).astype(np.float32) for name, value in memory["features"].items()}
    return {**memory, "features": found}


def test_partners_are_drawn_by_class_and_similarity_of_all_modalities_together():
    label = np.repeat([-2.0, -1.9, 0.0, 1.0, 2.4], 4).astype(np.float32)  # the first two are one class
    batch = make_batch()
    options = make_options(METHOD, **{"retrieval.candidates": 2})
    memory = _filled(cases.memory_of(METHOD, batch, label, **{"retrieval.candidates": 2}))
    memory = partners.rank_in_fusion({**memory, "epochs": jnp.int32(1)}, {}, options, cases.inputs_of(batch))
    rows = jnp.arange(TRAIN_ROWS, dtype=jnp.int32)
    drawn = np.asarray(partners.draw(memory, rows, jax.random.key(0), options))
    assert drawn.shape == (TRAIN_ROWS, 6)
    together = np.concatenate(list(memory["features"].values()), -1).astype(np.float64)
    unit = together / np.linalg.norm(together, axis=1, keepdims=True)
    near = unit @ unit.T
    classes = np.round(label)
    for row in range(TRAIN_ROWS):
        same = [other for other in range(TRAIN_ROWS) if other != row and classes[other] == classes[row]]
        different = [other for other in range(TRAIN_ROWS) if classes[other] != classes[row]]
        order = list(np.argsort(-near[row]))
        same, different = sorted(same, key=order.index), sorted(different, key=order.index)
        kinds = same[:2], different[-2:], different[:2]
        for kind, expected in enumerate(kinds):
            assert set(drawn[row, 2 * kind : 2 * kind + 2]) == set(expected)


@pytest.mark.parametrize(("classes", "same"), [("rounded", True), ("exact", False), ("auto", False)])
def test_labels_are_of_one_class_as_asked_and_exactly_where_the_range_is_narrow(classes, same):
    text, audio = TextInput(width=8, steps=4), SequenceInput(3, 2)
    inputs = Inputs(text=text, audio=audio, label_range=(-1.0, 1.0), rows=2)
    options = make_options(METHOD, **{"retrieval.classes": classes})
    found = METHOD.init_memory(options, inputs, {"label": jnp.array([0.6, 0.8])})["classes"]
    assert (float(found[0]) == float(found[1])) == same
    wide = METHOD.init_memory(options, replace(inputs, label_range=(-3.0, 3.0)), {"label": jnp.array([0.6, 0.8])})
    assert (float(wide["classes"][0]) == float(wide["classes"][1])) == (classes != "exact")


def test_the_first_candidates_are_by_what_the_encoders_give_that_the_fusion_begins_with():
    changes = {"stage_vision.max_epochs": 0, "retrieval.candidates": 2}
    batch, options = make_batch(), make_options(METHOD, **changes)
    memory, inputs = cases.memory_of(METHOD, batch, batch["label"], **changes), cases.inputs_of(batch)
    *encoders, fusion = METHOD.stages(options, inputs)
    assert [stage.begin for stage in encoders] == [None, None]
    assert fusion.begin.outputs == ("feature_text", "feature_audio")
    features = cases.some_outputs()["features"]
    given = {f"feature_{name}": features[name] for name in ("text", "audio")}
    after = fusion.begin.memory(memory, given, batch, options, inputs)
    there = cases.present("audio")[:, None]
    assert not there.all()
    np.testing.assert_array_equal(after["features"]["audio"], np.where(there, features["audio"], 0))
    assert not np.asarray(after["features"]["vision"]).any()
    ranked = partners.rank_in_fusion({**after, "epochs": jnp.int32(1)}, {}, options, inputs)["candidates"]
    np.testing.assert_array_equal(after["candidates"].rows, ranked.rows)


def test_candidates_are_ranked_every_second_epoch_of_the_fusion():
    batch, options = make_batch(), make_options(METHOD)
    memory, inputs = _filled(cases.memory_of(METHOD, batch)), cases.inputs_of(batch)
    *encoders, fusion = METHOD.stages(options, inputs)
    assert [stage.name for stage in encoders] == ["text", "audio", "vision"]
    changed = []
    for epoch, stage in enumerate([*encoders, *[fusion] * 4]):
        memory = _filled(memory, seed=epoch)
        after = stage.phases[0].end_epoch(memory, {"loss": jnp.float32(1)}, options, inputs)
        changed.append(not np.array_equal(after["candidates"].rows, memory["candidates"].rows))
        assert jax.tree.structure(after) == jax.tree.structure(memory)
        memory = after
    assert changed == [False, False, False, False, True, False, True]


def test_without_pretraining_the_first_partners_have_the_right_classes():
    label = np.tile([-2.0, 0.0, 1.0, 2.0], 5).astype(np.float32)
    changes = {f"stage_{name}.max_epochs": 0 for name in ALL} | {"retrieval.candidates": 2}
    memory = cases.memory_of(METHOD, make_batch(), label, **changes)
    rows = jnp.arange(TRAIN_ROWS, dtype=jnp.int32)
    drawn = np.asarray(partners.draw(memory, rows, jax.random.key(0), make_options(METHOD, **changes)))
    assert (label[drawn[:, :2]] == label[:, None]).all()
    assert (label[drawn[:, 2:]] != label[:, None]).all()
    assert (drawn != np.arange(TRAIN_ROWS)[:, None]).all()


def test_without_partners_there_is_nothing_to_remember():
    options, batch = make_options(METHOD, between_samples=False), make_batch()
    inputs = cases.inputs_of(batch)
    assert cases.memory_of(METHOD, batch, between_samples=False) == {}
    for number in range(4):
        phase = phase_of(METHOD, options, inputs, number)
        assert phase.objective(step_of(cases.some_outputs(), batch), options, inputs)[1] == {}
        assert phase.end_epoch({}, {"loss": jnp.float32(1)}, options, inputs) == {}


def test_only_the_fusion_has_partners():
    inputs = Inputs(text=TextInput(width=8, steps=4), audio=SequenceInput(3, 2))
    stages = METHOD.stages(METHOD.options(), inputs)
    assert [has_partners(stage) for stage in stages] == [False, False, True]
    assert not any(has_partners(stage) for stage in METHOD.stages(METHOD.options(between_samples=False), inputs))


# -- the engine -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_trains_through_its_stages(tmp_path):
    options = {
        **{name: value for name, value in cases.SMALL.items() if "dropout" not in name},
        **{f"stage_{name}.max_epochs": 1 for name in ALL},
        "stage_text.batch_size": 12,
        "max_epochs": 2,
        "batch_size": 8,
        "text_encoder": "features",
        "retrieval.candidates": 2,
    }
    dataset = tiny_dataset(modalities=("text",), text="text", human_labels=True)  # quick to compile
    experiment = train_quick("confede", dataset, tmp_path / "run", options=options)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == ["text", "fusion", "fusion"]
    fusion = {"multimodal", "unimodal", "contrast"}
    assert [set(line["train"]) - {"loss"} for line in lines] == [{"text"}, fusion, fusion]
    header = (tmp_path / "run" / "predictions" / "test.csv").read_text().splitlines()[0]
    assert header == "id,label,1/prediction,1/text"
    assert np.isfinite(experiment.mean["MAE"])
