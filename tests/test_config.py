"""Options by name, their types and bounds, and presets."""

import json
import re
from dataclasses import dataclass

import numpy as np
import pytest

from msa_jax import config, methods
from msa_jax.config import Options, PerGroup, load_preset, override
from msa_jax.errors import InputError
from msa_jax.literals import read_literal
from msa_jax.train.asked import chosen_preset
from msa_jax.train.settings import protocol_options
from tests.paths import REPOSITORY


@dataclass(frozen=True, kw_only=True)
class More(Options):
    names: tuple[str, ...] = ("a",)
    sizes: tuple[int, ...] = ()
    limit: float | None = None


# -- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("batch_size", "16", 16),
        ("batch_size", 16.0, 16),
        ("batch_size", np.int64(16), 16),
        ("warmup", np.float32(0.5), 0.5),
        ("warmup", "1e-1", 0.1),
        ("warmup", 0, 0.0),
        ("learning_rate.text", "2e-5", 2e-5),
        ("finetune_text", "no", False),
        ("finetune_text", "True", True),
        ("finetune_text", False, False),
        ("clip_norm", "none", None),
        ("clip_norm", "1", 1.0),
        ("clip_norm", None, None),
        ("validation_decimals", "None", None),
        ("validation_decimals", "4", 4),
        ("precision", "bfloat16", "bfloat16"),
        ("text_encoder", "bert-base-uncased", "bert-base-uncased"),
        ("names", "m,t", ("m", "t")),
        ("names", ["m"], ("m",)),
        ("names", "", ()),
        ("sizes", "1,2", (1, 2)),
        ("limit", "2.5", 2.5),
    ],
)
def test_a_value_is_read_as_the_type_of_its_option(name, given, value):
    found = config.flatten(override(More(), {name: given}))[name]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("batch_size", "x", "expected int"),
        ("batch_size", "1.5", "expected int"),
        ("batch_size", 1.5, "expected int"),
        ("batch_size", True, "expected int"),
        ("batch_size", None, "expected int"),
        ("warmup", "nan", "expected float"),
        ("warmup", float("inf"), "expected float"),
        ("learning_rate.text", "fast", "expected float"),
        ("finetune_text", "maybe", "expected bool"),
        ("precision", "float16", "expected one of auto|expected one of float32, bfloat16|expected one of"),
        ("text_encoder", 3, "expected str"),
        ("sizes", "1,x", "expected int"),
        ("clip_norm", "some", "expected float"),
        ("clip_norm", {}, "expected float or none"),
        ("clip_norm", [1.0], "expected float"),
        ("sizes", 5, "expected a list of int"),
        ("sizes", None, "expected a list of int"),
        ("names", [1], "expected str"),
        ("precision", [], "expected one of auto, float32, bfloat16"),
        ("precision", np.ones(3), "expected one of auto, float32, bfloat16"),
        ("batch_size", np.ones(3), "expected int"),
        ("runs_per_program", {1}, "expected int or one of auto"),
        ("finetune_text", object(), "expected bool"),
    ],
)
def test_a_value_of_another_type_is_refused_with_the_full_name(name, given, expected):
    with pytest.raises(InputError, match=rf"^option {name} is .*({expected})"):
        override(More(), {name: given})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0), ("max_epochs", -1), ("patience", 0), ("accumulate", 0), ("evaluation_batch_size", 0),
        ("checkpoint_epochs", 0), ("scratch_width", 0), ("scratch_width", 33), ("scratch_layers", 0), ("max_tokens", 1),
        ("standardise_clip", 0.0), ("warmup", 1.0), ("warmup", -0.1), ("clip_norm", 0.0), ("learning_rate.text", -1e-3),
        ("weight_decay.other", -1.0), ("min_delta", -1.0), ("validation_decimals", -50),
        ("plateau_patience", -1), ("record_steps", -1),
    ],
)  # fmt: skip
def test_a_value_out_of_bounds_is_refused(name, value):
    with pytest.raises(InputError, match=rf"^option {name} is {value}; expected"):
        override(Options(), {name: value})


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"dropout": 0.1}, "msa_jax.methods.shared.unimodal_tasks.PerTask"),
        ({"feature_size": {"m": 7, "t": 7, "a": 7, "v": 7}}, "msa_jax.methods.shared.unimodal_tasks.PerTask"),
        ({"learning_rate": PerGroup(text=0, audio=0, vision=0, other=0)}, "msa_jax.methods.self_mm.PerGroupAndEncoder"),
    ],
)
def test_options_made_in_python_say_which_class_a_field_holds(given, wanted):
    (name,) = given
    with pytest.raises(InputError, match=rf"^option {name} is .*; expected a {re.escape(wanted)}$"):
        methods.METHODS["self_mm"].options(**given)


@pytest.mark.parametrize("pattern", ["(", "(?i)BERT", "a)|(b"])
def test_a_pattern_that_is_none_alone_or_joined_to_others_is_refused(pattern):
    with pytest.raises(InputError, match=r"^option freeze is .*; expected a regular expression"):
        override(Options(), {"freeze": pattern})
    assert override(Options(), {"freeze": "(?i:BERT)/"}).freeze == "(?i:BERT)/"


def test_of_options_with_dots_only_those_that_are_named_must_not_be_negative():
    @dataclass(frozen=True, kw_only=True)
    class Own:
        learning_rate: PerGroup = PerGroup(text=-1.0, audio=1.0, vision=0.0, other=2.0)
        limit: float | None = None

    config.check_not_negative(Own(), "learning_rate.audio", "learning_rate.t", "learning", "limit")
    for name in ("learning_rate", "learning_rate.text"):
        with pytest.raises(
            InputError, match=r"^option learning_rate.text is -1.0; expected a number that is not negative"
        ):
            config.check_not_negative(Own(), name)


# -- names ------------------------------------------------------------------------------------------------------------


def test_every_option_has_a_dotted_name():
    flat = config.flatten(More())
    assert flat["learning_rate.audio"] == Options().learning_rate.audio
    assert "learning_rate" not in flat
    assert list(flat)[-3:] == ["names", "sizes", "limit"]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("batchsize", "batch_size"),
        ("learning_rate", "learning_rate.text"),
        ("learning_rate.txt", "learning_rate.text"),
        ("learning_rate.text.x", "learning_rate.text"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name, near):
    with pytest.raises(InputError, match=rf"unknown option '{name}'; did you mean .*{near}"):
        override(Options(), {name: "1"})


def test_a_name_like_no_other_is_answered_plainly():
    with pytest.raises(InputError, match=r"^unknown option 'qqqqqq'$"):
        override(Options(), {"qqqqqq": 1})


def test_nested_values_change_one_by_one_and_nothing_else_changes():
    changed = override(Options(), {"learning_rate.text": 1.0, "learning_rate.other": 2.0, "batch_size": 3})
    before = config.flatten(Options())
    after = config.flatten(changed)
    assert changed.learning_rate == PerGroup(text=1.0, audio=1e-3, vision=1e-3, other=2.0)
    assert {name for name in before if before[name] != after[name]} == {
        "learning_rate.text", "learning_rate.other", "batch_size",
    }  # fmt: skip


def test_options_survive_json():
    options = override(More(), {"names": "m,t", "clip_norm": 1.0, "weight_decay.text": 0.5})
    assert override(More(), json.loads(json.dumps(config.to_json(options)))) == options


# -- presets ----------------------------------------------------------------------------------------------------------

GOOD = '"""What it is."""\n\nPRESET = {"method": "self_mm", "protocol": "reference", "options": {"batch_size": 4}}\n'


def test_a_preset_is_a_docstring_and_a_dict(tmp_path):
    (tmp_path / "mine.py").write_text(GOOD)
    preset = load_preset(str(tmp_path / "mine.py"))
    assert (preset.description, preset.method, preset.protocol) == ("What it is.", "self_mm", "reference")
    assert preset.options == {"batch_size": 4}


def test_a_preset_that_extends_another_has_its_options_and_then_its_own(tmp_path):
    (tmp_path / "first.py").write_text(GOOD)
    (tmp_path / "second.py").write_text('PRESET = {"extends": "first.py", "options": {"max_epochs": 2, "patience": 3}}')
    third = {"extends": "second.py", "protocol": "paper", "method": "sugrm", "options": {"patience": 1}}
    (tmp_path / "third.json").write_text(json.dumps(third))
    second, third = (load_preset(str(tmp_path / name)) for name in ("second.py", "third.json"))
    assert (second.method, second.protocol) == ("self_mm", "reference")
    assert second.options == {"batch_size": 4, "max_epochs": 2, "patience": 3}
    assert (third.method, third.protocol) == ("sugrm", "paper")
    assert third.options == {"batch_size": 4, "max_epochs": 2, "patience": 1}


def test_presets_that_extend_each_other_by_many_names_are_refused(tmp_path):
    for number in range(20):
        (tmp_path / f"{number}.py").write_text(f'PRESET = {{"extends": "{number + 1}.py"}}')
    with pytest.raises(InputError, match="at most 8 presets"):
        load_preset(str(tmp_path / "0.py"))


@pytest.mark.parametrize("name", config.preset_names())
def test_a_preset_writes_only_what_differs_from_the_defaults_or_from_the_preset_that_it_extends(name):
    _, content = read_literal(config.configs_folder() / f"{name}.py", "PRESET")
    own, preset = content.get("options", {}), load_preset(name)
    parent = load_preset(content["extends"]) if "extends" in content else None
    method = methods.get(preset.method)
    inherited = parent.options if parent else {}
    # Equal in both protocols: what a protocol changes, a preset may set against it.
    bases = [config.flatten(override(protocol_options(method, each), inherited)) for each in ("paper", "reference")]
    whole = config.flatten(override(method.options(), preset.options))
    restated = [option for option in own if all(base[option] == whole[option] for base in bases)]
    assert restated == []
    assert content.get("options") != {}
    assert content.get("protocol") != (parent.protocol if parent else "paper")
    assert content.get("method") != (parent.method if parent else None)


def test_a_preset_can_be_json(tmp_path):
    (tmp_path / "mine.json").write_text('{"method": "text_only"}')
    preset = load_preset(str(tmp_path / "mine.json"))
    assert (preset.method, preset.protocol, preset.options) == ("text_only", "paper", {})


def test_a_preset_is_read_and_never_run(tmp_path):
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n" + GOOD)
    assert load_preset(str(tmp_path / "mine.py")).options == {"batch_size": 4}
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("PRESET = {", "not a Python file"),
        ("x = 1", "no assignment to PRESET"),
        ("PRESET = dict(method='self_mm')", "must be a literal"),
        ("PRESET = {[]: 1}", "must be a literal"),
        ("PRESET = {'options': {}}", "expected a dict of method"),
        ("PRESET = {'method': 'self_mm', 'epochs': 3}", "expected a dict of method"),
        ("PRESET = ['method']", "expected a dict of method"),
        ("PRESET = {'method': 'self_mm', 'options': ['batch_size']}", "expected a dict of names and values"),
        ("PRESET = {'method': 'self_mm', 'options': 5}", "expected a dict of names and values"),
        ("PRESET = '\\0'\0", "not a Python file"),
        ("PRESET = {'method': 5}", "method is 5; expected a name"),
        ("PRESET = {'extends': 5}", "extends is 5; expected a name"),
        ("PRESET = {'extends': 'self_mm_mossi'}", "no preset 'self_mm_mossi'; there are .*self_mm_mosi"),
        ("PRESET = {'extends': 'other.py'}", "other.py: cannot be read"),
        (
            "PRESET = {'extends': 'mine.py'}",
            "mine.py, which extends .*mine.py: expected at most 8 presets, and none twice",
        ),
        ("PRESET = {'method': 'tfn', 'protocol': []}", "protocol is \\[\\]; expected a name"),
        ("PRESET = {'method': 'tfn', 'options': {5: 1}}", "expected a dict of names and values"),
        ("PRESET = " + "[" * 2000 + "]" * 2000, "not a Python file"),
        ("PRESET = " + "-" * 20_000 + "1", "not a Python file|must be a literal"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, content, message):
    (tmp_path / "mine.py").write_text(content)
    with pytest.raises(InputError, match=message):
        load_preset(str(tmp_path / "mine.py"))


@pytest.mark.parametrize("content", ["{", "[1", "", "[" * 100_000, b"\xff\xfe".decode("latin1")])
def test_json_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "mine.json").write_text(content)
    with pytest.raises(InputError, match="cannot be read"):
        load_preset(str(tmp_path / "mine.json"))


@pytest.mark.parametrize(("name", "form"), [("mine.py", "PRESET = {}"), ("mine.json", "{}")])
def test_a_mark_of_the_byte_order_is_no_part_of_a_preset(tmp_path, name, form):
    content = form.format('{"method": "tfn"}')
    (tmp_path / name).write_text(content, encoding="utf-8-sig")
    assert load_preset(str(tmp_path / name)).method == "tfn"


@pytest.mark.parametrize("name", ["nowhere.py", "nowhere.json"])
def test_a_preset_file_that_is_not_there_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="cannot be read"):
        load_preset(str(tmp_path / name))


def test_an_unknown_preset_is_answered_with_the_nearest():
    with pytest.raises(InputError, match=r"no preset 'self_mm_mossi'; there are .*self_mm_mosi"):
        load_preset("self_mm_mossi")


def test_presets_are_found_by_name():
    assert {"self_mm_mosi", "self_mm_synthetic"} <= set(config.preset_names())
    assert load_preset("self_mm_mosi").method == "self_mm"


@pytest.mark.parametrize(
    ("method", "dataset", "preset"),
    [
        ("mmim", "mosi", "mmim_mosi_reference"),
        ("mmim", "mosei", "mmim_mosei_reference"),
        ("mmim", "sims", "mmim_sims_mmsa"),
        ("mfm", "simsv2", "mfm_simsv2_mmsa"),
        ("mfm", "sims", "mfm_sims_mmsa"),
    ],
)
def test_the_reference_protocol_takes_the_values_of_the_code_for_the_dataset(method, dataset, preset):
    found = chosen_preset(method, dataset, None, "reference")
    assert found is not None
    assert (found.name, found.protocol) == (preset, "reference")


def test_mmsa_has_one_set_of_values_for_mmim_and_trains_q_over_half_of_mosei():
    mosi, mosei, sims = (load_preset(f"mmim_{dataset}_mmsa").options for dataset in ("mosi", "mosei", "sims"))
    assert mosei == {**mosi, "bound_share": 0.5}
    assert sims == {**mosi, "max_tokens": 39}


def test_mfm_has_no_cap_on_epochs_on_sims_v2_as_in_mmsa():
    own, sims = (load_preset(f"mfm_{dataset}_mmsa").options for dataset in ("simsv2", "sims"))
    assert own == {**sims, "max_tokens": 50}
    assert methods.get("mfm").reference["max_epochs"] == 1000
    assert "max_epochs" not in own


def test_the_methods_whose_defaults_are_values_for_mosi_are_those_that_the_documents_name():
    text = (REPOSITORY / "docs" / "experiments.md").read_text(encoding="utf-8")
    stated = text[text.index("The defaults of these methods") :].split("\n\n")[0].split("Those of")
    for words, kind in zip(stated, ("mosi", "mosi_mmsa"), strict=True):
        named = re.findall(r"`([a-z_]+)`", words)
        named = [name for name in named if name in methods.BUILT_IN]
        assert named
        for name in named:
            assert load_preset(f"{name}_{kind}").options == {}, name


def test_no_method_reads_more_tokens_of_a_text_of_sims_than_another():
    tokens = {name: load_preset(name).options.get("max_tokens") for name in config.preset_names() if "_sims" in name}
    assert {name: number for name, number in tokens.items() if number != 39 and "simsv2" not in name} == {}


@pytest.mark.parametrize("name", [name for name in config.preset_names() if name.startswith("dmmsa_")])
def test_dmmsa_brings_confede_s_partners_with_confede_s_values(name):
    own, confede = (load_preset(one).options for one in (name, name.replace("dmmsa", "confede")))
    partners = {option for option in (*own, *confede) if option.startswith("retrieval.")}
    assert {option: own.get(option) for option in partners} == {option: confede.get(option) for option in partners}
