"""LMF, LF-DNN and the multi-task forms: what their networks compute, padding, weights, tasks, groups and options."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msa_jax import config, methods
from msa_jax.errors import InputError
from msa_jax.layers.tensor_fusion import tensor_fusion
from msa_jax.methods.shared.fusion_networks import FusionNetwork
from msa_jax.modalities import MODALITIES, UNIMODAL_LABELS
from tests.methods.cases import FIRST, made_by_mmsa_preset, parameter_count, phase_of, step_of, trained_by
from tests.methods.fusion_cases import (
    LENGTHS,
    OWNERS,
    SHAPES,
    batch_of,
    evaluated,
    inputs_of,
    network_of,
    options_of,
    trained,
    variables_of,
)

SINGLE, MULTI = ("lmf", "lf_dnn"), ("mtfn", "mlmf", "mlf_dnn")
NAMES = SINGLE + MULTI
FUSION = {
    "lmf": {"fusion"},
    "mlmf": {"fusion"},
    "lf_dnn": {"fusion_head"},
    "mlf_dnn": {"fusion_head"},
    "mtfn": {"fusion_head"},
}
# Parameters of MMSA's networks without BERT.
COUNTS = {
    "tfn_mosi_mmsa": 9_497_043, "tfn_mosei_mmsa": 5_042_539, "tfn_sims_mmsa": 35_632_077,
    "lmf_mosi_mmsa": 505_071, "lmf_mosei_mmsa": 508_475, "lmf_sims_mmsa": 272_381,
    "lf_dnn_mosi_mmsa": 597_171, "lf_dnn_mosei_mmsa": 572_283, "lf_dnn_sims_mmsa": 635_821,
    "mtfn_sims_mmsa": 140_957_188, "mlmf_sims_mmsa": 1_413_392, "mlf_dnn_sims_mmsa": 283_388,
}  # fmt: skip


def quickly(*quick: str) -> list:
    """All methods; those that are not named run with all tests alone."""
    return [pytest.param(name, marks=[] if name in quick else [pytest.mark.slow]) for name in NAMES]


def close(one, two, **tolerance) -> None:
    for path, value in flatten_dict(one, sep="/").items():
        np.testing.assert_allclose(value, flatten_dict(two, sep="/")[path], err_msg=path, **tolerance)


def layers(params, x: np.ndarray) -> np.ndarray:
    """The score of a head."""
    params = jax.tree.map(np.asarray, params)
    for name in ("linear_1", "linear_2"):
        x = np.maximum(x @ params[name]["kernel"] + params[name]["bias"], 0)
    return (x @ params["score"]["kernel"] + params["score"]["bias"])[:, 0]


# -- networks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COUNTS)
def test_a_preset_of_mmsa_has_its_parameters(name):
    assert parameter_count(made_by_mmsa_preset(name)[1]) == COUNTS[name]


def test_the_score_of_lmf_is_a_low_rank_map_of_the_tensor_of_tfn():
    outputs, fusion = evaluated("lmf"), jax.tree.map(np.asarray, variables_of("lmf")["params"]["fusion"])
    embeddings = [outputs[f"{name}_embedding"] for name in ("audio", "vision", "text")]
    factors = [fusion[f"{name}_factor"] for name in ("audio", "vision", "text")]
    tensor = np.einsum("i,ia,iv,it->avt", fusion["weights"], *factors).reshape(-1)
    expected = np.asarray(tensor_fusion(embeddings)) @ tensor + fusion["bias"]
    np.testing.assert_allclose(outputs["prediction"], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(outputs["fused"] @ fusion["weights"] + fusion["bias"], expected, rtol=1e-5, atol=1e-5)
    assert np.ptp(outputs["prediction"]) > 0.01


def test_the_score_of_lf_dnn_is_three_layers_behind_the_concatenated_embeddings():
    outputs = evaluated("lf_dnn")
    fused = np.concatenate([outputs[f"{name}_embedding"] for name in ("audio", "vision", "text")], 1)
    np.testing.assert_array_equal(outputs["fused"], fused)
    expected = layers(variables_of("lf_dnn")["params"]["fusion_head"], fused)
    np.testing.assert_allclose(outputs["prediction"], expected, rtol=1e-4, atol=1e-4)
    assert np.ptp(outputs["prediction"]) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize(("name", "without"), [("mtfn", "tfn"), ("mlmf", "lmf"), ("mlf_dnn", "lf_dnn")])
def test_the_tasks_add_a_head_on_each_embedding_and_nothing_else(name, without):
    variables = variables_of(name)
    outputs, params = evaluated(name), variables["params"]
    for modality in MODALITIES:
        expected = layers(params[f"{modality}_head"], np.asarray(outputs[f"{modality}_embedding"]))
        np.testing.assert_allclose(outputs[modality], expected, rtol=1e-4, atol=1e-4)
    alone = {key: value for key, value in params.items() if not key.startswith(MODALITIES) or "head" not in key}
    expected = evaluated(without, variables={**variables, "params": alone})
    assert set(outputs) - set(expected) == set(MODALITIES)
    close(expected, outputs, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", quickly("lf_dnn", "mlmf"))
def test_absent_modalities_have_no_sub_network_no_factor_and_no_task(name):
    there = ("text", "vision")
    outputs, _, gradient = trained(name, batch_of(there), there)
    heads = {f"{modality}_head" for modality in there} if name in MULTI else set()
    assert set(gradient) == {*FUSION[name], *heads, *(OWNERS[modality] for modality in there)}
    assert "audio_factor" not in gradient.get("fusion", {})
    method, options, inputs = methods.get(name), options_of(name), inputs_of(there)
    tasks = there if name in MULTI else ()
    assert method.head_names(options, inputs) == ("prediction", *tasks)
    assert {*method.head_names(options, inputs), *method.export_names(options, inputs), "fused"} == set(outputs)
    for path, value in flatten_dict(gradient, sep="/").items():
        assert np.abs(value).max() > 0, path


# -- what changes nothing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lmf", "mlf_dnn"])
def test_padding_changes_nothing_and_is_read_where_that_is_asked_for(name):
    expected = evaluated(name)
    close(evaluated(name, batch=batch_of(extra=3, fill=9.0)), expected, rtol=1e-5, atol=1e-5)
    reads = {"padding": "included", "padding_mean": True, "pack_text": False, "max_tokens": SHAPES["text"][0]}
    included = evaluated(name, **reads)
    for modality, (steps, _) in SHAPES.items():
        full = LENGTHS[modality].index(steps)  # a sample without padding
        one, other = (outputs[f"{modality}_embedding"] for outputs in (expected, included))
        np.testing.assert_allclose(other[full], one[full], rtol=1e-5, atol=1e-5)
        assert np.abs(other - one).max() > 1e-3


@pytest.mark.parametrize("name", ["lmf", pytest.param("mlf_dnn", marks=pytest.mark.slow)])
def test_samples_of_weight_0_change_neither_scores_nor_statistics_nor_gradients(name):
    found = []
    for fill in (0.0, 50.0):
        batch = batch_of()
        batch["weight"][3:] = 0
        for column in ("audio", "vision", "text"):
            batch[column]["features"][3:] = fill
        for column in ("label", *UNIMODAL_LABELS):
            batch[column][3:] = fill
        outputs, moved, gradient = trained(name, batch)
        found.append({"prediction": outputs["prediction"][:3], "moved": moved, "gradient": gradient})
    close(*found, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lmf", "mtfn"])
def test_in_bfloat16_scores_are_float32_and_near(name):
    exact, near = evaluated(name), evaluated(name, dtype=jnp.bfloat16)
    method, options = methods.get(name), options_of(name)
    for head in method.head_names(options, inputs_of()):
        assert near[head].dtype == jnp.float32
        np.testing.assert_allclose(near[head], exact[head], atol=0.05 * np.abs(exact[head]).max())
    assert near["fused"].dtype == jnp.float32


def test_a_batch_of_one_is_the_same_alone():
    close(
        jax.tree.map(lambda leaf: leaf[:1], evaluated("mlmf")), evaluated("mlmf", batch=batch_of(rows=1)),
        rtol=1e-5, atol=1e-5,
    )  # fmt: skip


# -- tasks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MULTI)
def test_each_task_is_the_absolute_error_on_its_own_human_label_of_samples_that_have_its_modality(name):
    options = options_of(name, **{"weights.m": 0.6, "weights.t": 0.4, "weights.a": 0.0, "weights.v": 1.5})
    phase = phase_of(methods.get(name), options, inputs_of())
    heads = ("prediction", *MODALITIES)
    outputs = {head: jnp.array([1.0 + number, -2.0, 9.0, 9.0, 9.0]) for number, head in enumerate(heads)}
    columns = ("label", *UNIMODAL_LABELS)
    batch = batch_of() | {
        column: jnp.array([0.0, float(number), 2.0, 2.0, 2.0]) for number, column in enumerate(columns)
    }
    assert batch["vision"]["length"].tolist() == [1, 4, 2, 3, 0]
    batch["audio"]["length"][2] = 0
    terms, memory = phase.objective(step_of(outputs, batch), options, inputs_of())
    assert memory == {}
    last = {"multimodal": [7, 7, 7], "text": [7, 7, 7], "audio": [0, 7, 7], "vision": [7, 7, 0]}
    for number, term in enumerate(("multimodal", *MODALITIES)):
        np.testing.assert_allclose(terms[term], [1.0 + number, 2.0 + number, *last[term]])
    assert phase.weights(options, inputs_of(), {}, FIRST) == {
        "multimodal": 0.6,
        "text": 0.4,
        "audio": 0.0,
        "vision": 1.5,
    }


@pytest.mark.parametrize("name", MULTI)
def test_the_weighted_sum_of_the_tasks_selects(name):
    assert options_of(name).selection == "term.loss"
    assert methods.get(name).reference["validation_mean"] == "batches"  # of the sum as well
    assert "loss" in methods.get(name).valid_terms


@pytest.mark.parametrize("name", MULTI)
def test_datasets_without_human_labels_of_a_modality_are_refused(name):
    method, options = methods.get(name), options_of(name)
    method.check(options, inputs_of())
    method.check(options, inputs_of(("text",), columns=("label_t",)))
    with pytest.raises(InputError, match="the dataset has no label_t, label_a, label_v; leave these tasks out"):
        method.check(options, inputs_of(columns=()))
    some = inputs_of(columns=("label_t", "label_v"))
    with pytest.raises(InputError, match="has no label_a;"):
        method.check(options, some)
    chosen = options_of(name, tasks="M,T")
    method.check(chosen, some)
    assert method.head_names(chosen, some) == ("prediction", "text")


# -- groups, stages, options ------------------------------------------------------------------------------------------


def paths_of(name: str) -> list[str]:
    return list(flatten_dict(variables_of(name)["params"], sep="/"))


@pytest.mark.parametrize("name", NAMES)
def test_every_part_has_the_learning_rate_and_the_decay_of_its_group(name):
    decays = {"audio": 0.1, "vision": 0.2, "other": 0.3, "text_subnetwork": 0.4}
    rates = {"audio": 1.0, "vision": 2.0, "other": 3.0, "factor": 4.0}
    known = config.flatten(options_of(name))
    changes = {f"weight_decay.{group}": value for group, value in decays.items()}
    changes |= {f"learning_rate.{group}": value for group, value in rates.items()}
    options = options_of(name, **{option: value for option, value in changes.items() if option in known})
    groups = methods.get(name).groups(options)
    found = {}
    for path in paths_of(name):
        group = next(group for group in groups if re.search(group.pattern, path))
        owner = path if path.startswith("fusion/") else path.split("/")[0]
        found.setdefault(owner, set()).add((group.learning_rate, group.weight_decay))
    expected = dict.fromkeys(found, (3.0, 0.3))
    expected |= {"audio_encoder": (1.0, 0.1), "vision_encoder": (2.0, 0.2)}
    expected |= {"text_subnetwork": (3.0, 0.4 if name in MULTI else 0.3)}
    expected |= {owner: (4.0, 0.3) for owner in found if owner.endswith("_factor")}
    assert found == {owner: {value} for owner, value in expected.items()}
    assert sum(owner.endswith("_factor") for owner in found) == (3 if "fusion" in FUSION[name] else 0)


@pytest.mark.parametrize("name", ["lmf", "mlmf"])
def test_what_weighs_the_products_of_lmf_is_trained_but_in_the_reference_protocol(name):
    method, paths = methods.get(name), paths_of(name)
    for changes, expected in (({}, set()), (method.reference, {"fusion/weights", "fusion/bias"})):
        (stage,) = method.stages(options_of(name, **changes), inputs_of())
        assert set(paths) - trained_by(stage, paths) == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_protocol_does_what_mmsa_does(name):
    method = methods.get(name)
    reference = config.override(method.options(), method.reference)
    assert (reference.padding, reference.padding_mean, reference.pack_text) == ("included", True, False)
    assert (reference.weight_decay_mode, reference.validation_decimals, reference.patience) == ("coupled", 4, 8)
    assert reference.finetune_text is False


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("lmf", {"rank": 0}, "rank is 0"),
        ("lmf", {"learning_rate.factor": -1.0}, "learning_rate.factor is -1.0"),
        ("lmf", {"padding": "included"}, "set pack_text to false"),
        ("lf_dnn", {"fusion_hidden": 0}, "fusion_hidden is 0"),
        ("lf_dnn", {"dropout.fusion": 1.0}, "dropout.fusion is 1.0"),
        ("mtfn", {"weights.a": -0.5}, "weights.a is -0.5"),
        ("mtfn", {"tasks": "t"}, "tasks is t; expected m"),
        ("mlmf", {"head_hidden.text": 0}, "head_hidden.text is 0"),
        ("mlf_dnn", {"head_dropout.vision": 1.0}, "head_dropout.vision is 1.0"),
        ("mlf_dnn", {"weight_decay.text_subnetwork": -1.0}, "weight_decay.text_subnetwork is -1.0"),
    ],
)
def test_options_that_do_not_fit_are_refused(name, changes, message):
    with pytest.raises(InputError, match=message):
        config.override(methods.get(name).options(), changes)


def test_a_network_that_does_not_say_how_it_fuses_is_an_error():
    network = FusionNetwork(options_of("lmf"), inputs_of())
    with pytest.raises(TypeError, match="FusionNetwork does not say how it fuses"):
        jax.eval_shape(lambda: network.init(jax.random.key(0), batch_of(), train=False))


def test_networks_of_one_family_share_their_sub_networks():
    shapes = {
        name: {
            path: value.shape
            for path, value in flatten_dict(variables_of(name)["params"], sep="/").items()
            if path.split("/")[0] in OWNERS.values()
        }
        for name in ("tfn", *NAMES)
    }
    assert all(found == shapes["tfn"] for found in shapes.values())
    assert network_of("tfn").options.text_size == 3
