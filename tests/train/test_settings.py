"""Options are resolved from protocol, preset and changes; the configuration of an experiment survives its file."""

import json
from dataclasses import replace

import numpy as np
import pytest

from msa_jax.config import load_preset, preset_names
from msa_jax.encoders.bert import BertConfig
from msa_jax.errors import InputError
from msa_jax.methods import METHODS
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from msa_jax.train.asked import checked_seeds
from msa_jax.train.settings import RunConfig, inputs_from_json, inputs_to_json, resolve

# -- options ----------------------------------------------------------------------------------------------------------


def test_later_sources_of_options_win(tmp_path):
    preset = tmp_path / "mine.json"
    preset.write_text(json.dumps({"method": "self_mm", "options": {"accumulate": 3, "batch_size": 5}}))
    defaults = METHODS["self_mm"].options()
    assert METHODS["self_mm"].reference["accumulate"] == 4
    assert METHODS["self_mm"].reference["tail"] == "drop"

    def found(**named):
        options = resolve("self_mm", **named).options
        return options.accumulate, options.tail, options.batch_size

    assert found(preset="none") == (defaults.accumulate, "keep", defaults.batch_size)
    assert found(preset="none", protocol="reference") == (4, "drop", defaults.batch_size)
    assert found(preset=str(preset), protocol="reference") == (3, "drop", 5)
    assert found(preset=str(preset), protocol="reference", batch_size=9) == (3, "drop", 9)
    assert found(preset=str(preset)) == (3, "keep", 5)


def test_a_preset_named_after_method_and_dataset_is_taken_unless_another_is_named():
    assert resolve("self_mm", dataset="synthetic").preset == "self_mm_synthetic"
    assert resolve("self_mm", dataset="synthetic", preset="none").preset is None
    assert resolve("self_mm", dataset="of my own").preset is None


@pytest.mark.parametrize("name", [name for name in preset_names() if name.endswith(("_reference", "_mmsa"))])
def test_the_reference_protocol_takes_the_preset_of_the_code(name):
    preset = load_preset(name)
    dataset = name.removeprefix(f"{preset.method}_").rpartition("_")[0]
    found = resolve(preset.method, dataset=dataset, protocol="reference")
    # Where there are both, the authors' own code comes before MMSA's.
    assert found.preset == next(one for one in (f"{preset.method}_{dataset}_reference", name) if one in preset_names())
    assert found.options == resolve(preset.method, preset=found.preset).options
    assert resolve(preset.method, dataset=dataset).protocol == "paper"


def test_a_preset_of_another_method_and_an_unknown_protocol_are_refused():
    with pytest.raises(InputError, match="preset text_only_synthetic is for method text_only, not self_mm"):
        resolve("self_mm", preset="text_only_synthetic")
    with pytest.raises(InputError, match="protocol is 'code'; expected paper or reference"):
        resolve("self_mm", protocol="code")


@pytest.mark.parametrize("seeds", [(), (1, 1), (-1,), (2**32,)])
def test_seeds_that_are_none_or_alike_or_out_of_range_are_refused(seeds):
    with pytest.raises(InputError, match="seeds are"):
        checked_seeds(seeds)
    assert checked_seeds([0, 2**32 - 1]) == (0, 2**32 - 1)


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ([1.5], "seeds holds 1.5; expected whole numbers"),
        ([1, True], "seeds holds True"),
        (["1"], "seeds holds '1'"),
        ([None], "seeds holds None"),
        (1, r"seeds is 1; expected a list of whole numbers, also for a single seed: seeds=\[1111\]"),
        ("1111", "seeds is '1111'; expected a list"),
        (None, "seeds is None; expected a list"),
    ],
)
def test_seeds_that_are_no_list_of_whole_numbers_are_refused(seeds, message):
    with pytest.raises(InputError, match=message):
        checked_seeds(seeds)


def test_whole_numbers_of_numpy_are_seeds():
    assert checked_seeds(np.array([3, 4])) == (3, 4)  # pyright: ignore[reportArgumentType]
    assert checked_seeds(range(2)) == (0, 1)


# -- the configuration ------------------------------------------------------------------------------------------------

BERT = BertConfig(vocab_size=99, hidden_size=64, num_layers=3, num_heads=2, intermediate_size=128, pad_id=4)
EVERYTHING = Inputs(
    text=TextInput(width=64, steps=12, bert=BERT),
    audio=SequenceInput(6, 3),
    vision=SequenceInput(5, 4),
    label_range=(-1.0, 1.0),
    rows=24,
    columns=("label_t", "label_v"),
    aligned=True,
)
CONFIG = RunConfig(
    method="toy",
    runs_per_program=2,
    dataset="tiny",
    data="somewhere",
    metrics="sims",
    protocol="paper",
    preset=None,
    seeds=(1, 2**32 - 1),
    record_labels=True,
    options={"batch_size": 7, "learning_rate.text": 5e-05, "clip_norm": None},
    inputs=EVERYTHING,
)


@pytest.mark.parametrize(
    "inputs",
    [
        EVERYTHING,
        replace(EVERYTHING, text=TextInput(width=8, steps=7)),  # precomputed features
        replace(EVERYTHING, text=None, vision=None, aligned=False, columns=()),
        Inputs(),
    ],
    ids=["everything", "features", "audio", "nothing"],
)
def test_inputs_survive_json(inputs):
    assert inputs_from_json(json.loads(json.dumps(inputs_to_json(inputs)))) == inputs


def test_a_configuration_survives_json():
    assert RunConfig.from_json(json.loads(json.dumps(CONFIG.to_json())), "config.json") == CONFIG


@pytest.mark.parametrize("content", [None, [], {}, 3, "text", {"method": "toy"}])
def test_what_is_no_configuration_is_an_input_error_that_names_its_file(content):
    with pytest.raises(InputError, match=r"config\.json: not a configuration of this version"):
        RunConfig.from_json(content, "config.json")


@pytest.mark.parametrize("missing", ["options", "inputs", "seeds"])
def test_a_configuration_that_lacks_something_is_an_input_error(missing):
    content = {name: value for name, value in CONFIG.to_json().items() if name != missing}
    with pytest.raises(InputError, match=f"not a configuration of this version .*{missing}"):
        RunConfig.from_json(content, "config.json")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("method", None), ("data", 3), ("preset", 1.5), ("options", []), ("record_labels", 1), ("extract", "x"),
        ("runs_per_program", 0), ("runs_per_program", True), ("seeds", [1, "2"]), ("seeds", 1), ("seeds", []),
        ("inputs.rows", 2**70), ("inputs.rows", 1.5), ("inputs.audio", [1, -2]), ("inputs.audio", [1]),
        ("inputs.text", 3), ("inputs.text", {"width": 3, "steps": "x", "bert": None}), ("inputs.columns", ["x"]),
        ("inputs.text", {"width": 3, "steps": 4, "bert": {"model_type": "gpt"}}), ("inputs.aligned", None),
        ("inputs.label_range", [1, 2, 3]), ("inputs.label_range", ["a", 2]),
    ],
)  # fmt: skip
def test_a_damaged_configuration_is_an_input_error_that_names_its_file(name, value):
    content = json.loads(json.dumps(CONFIG.to_json()))
    *parents, last = name.split(".")
    (content[parents[0]] if parents else content)[last] = value
    with pytest.raises(InputError, match=r"^config\.json: "):
        RunConfig.from_json(content, "config.json")


def test_a_configuration_of_a_newer_format_is_refused_and_one_without_a_number_is_read():
    assert RunConfig.from_json(CONFIG.to_json(), "config.json") == CONFIG
    assert RunConfig.from_json({"format": 1, **CONFIG.to_json()}, "config.json") == CONFIG
    with pytest.raises(InputError, match=r"config\.json: format 3 is of a newer msa_jax, this one reads format 2"):
        RunConfig.from_json({"format": 3, **CONFIG.to_json()}, "config.json")
