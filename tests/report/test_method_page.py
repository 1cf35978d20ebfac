"""What `msa-jax methods METHOD` and `msa-jax train METHOD --help` show, and `help(msa_jax.train)`."""

import json
import pydoc

import pytest

import msa_jax
from msa_jax import config
from msa_jax.cli import main
from msa_jax.errors import InputError
from msa_jax.methods import METHODS
from msa_jax.option_meanings import meanings
from msa_jax.report.method_page import method_page


def test_every_option_is_shown_with_meaning_values_and_defaults():
    method = METHODS["lmf"]
    page = method_page("lmf")
    assert [option.name for option in page.options] == list(config.flatten(method.options()))
    one = {option.name: option for option in page.options}
    assert one["rank"].meaning == meanings(method.options())["rank"]
    assert (one["rank"].values, one["rank"].default, one["rank"].own) == ("whole number", 3, True)
    assert one["weight_decay_mode"].values == "decoupled, coupled"
    assert (one["train_fusion_weights"].default, one["train_fusion_weights"].reference) == (True, False)
    assert not one["batch_size"].own
    assert one["batch_size"].default == 64  # the method's, of an option that all have
    text = " ".join(page.text().split())
    assert "train_fusion_weights true or false; default true; reference false Whether the weights" in text
    for option in page.options:
        assert " ".join(option.meaning.split()) in text


def test_a_preset_shows_what_it_sets():
    page = method_page("mult", preset="mult_mosi_mmsa")
    preset = config.load_preset("mult_mosi_mmsa")
    one = {option.name: option for option in page.options}
    assert preset.protocol == "reference"
    assert one["future_mask"].preset == "offset"  # of the protocol
    assert all(one[name].preset == value for name, value in preset.options.items())
    assert "Preset mult_mosi_mmsa, reference protocol" in page.text()
    assert page.json()["preset"] == {"name": "mult_mosi_mmsa", "protocol": "reference"}
    assert "preset" not in method_page("mult").json()["options"][0]


def test_markdown_has_a_row_for_each_option():
    page = method_page("tfn", preset="tfn_mosi_mmsa")
    rows = [line for line in page.markdown().splitlines() if line.startswith("| `")]
    assert len(rows) == len(page.options)
    assert {row.count("|") for row in rows} == {7}


@pytest.mark.parametrize(
    ("name", "preset", "message"),
    [
        ("nothing", None, "unknown method 'nothing'"),
        ("tfn", "mult_mosi", "preset mult_mosi is for mult, not tfn"),
        ("tfn", "nothing_at_all", "no preset 'nothing_at_all'"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(name, preset, message):
    with pytest.raises(InputError, match=message):
        method_page(name, preset=preset)


def test_the_command_has_text_markdown_and_json(capsys):
    assert main(["methods", "tfn", "--preset", "tfn_mosi", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["exports"] == ["text_embedding", "audio_embedding", "vision_embedding", "representation"]
    assert content["options"][0].keys() == {"name", "meaning", "values", "own", "default", "reference", "preset"}
    assert main(["methods", "tfn", "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("# tfn\n")
    assert main(["methods", "--markdown"]) == 2
    assert capsys.readouterr().err == "msa-jax: --preset and --markdown need a METHOD\n"


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_help_behind_a_method_has_its_options(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "raven", "--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert "usage: msa-jax" in out
    assert "detach_shift" in out
    assert "Whether no gradient reaches the shift" in out
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "detach_shift" not in capsys.readouterr().out
    assert main([command, "ravne", "--help"]) == 2
    assert "did you mean raven" in capsys.readouterr().err


def test_help_of_train_is_that_of_the_function():
    shown = pydoc.plain(pydoc.render_doc(msa_jax.train))
    assert "train(method: 'str'" in shown or "train(method: str" in shown
    for word in ("seeds:", "out:", "Raises:", "InputError", "Returns:"):
        assert word in shown
