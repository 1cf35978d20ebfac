"""Every option has a text in the docstring of its class, and it is a sentence that stands by itself."""

import dataclasses
import re
from dataclasses import dataclass, field

import pytest

from msa_jax import config
from msa_jax.config import Options
from msa_jax.errors import InputError
from msa_jax.everyday_names import ELSEWHERE, OPTIONS, VALUES
from msa_jax.methods import BUILT_IN, METHODS
from msa_jax.option_meanings import entries, meanings
from tests.paths import REPOSITORY

# What sends a reader elsewhere: a numbered reading, a word for another place on the page.
_ELSEWHERE = re.compile(
    r"\(\d+(, \d+)*\)|\b[Rr]eadings? \d|\b[Ss]ee (above|below|the deviations)|\b(above|as before)\b"
)


def wrong_with(text: str) -> str | None:
    """Why a text is no meaning of an option."""
    if not text:
        return "no meaning"
    if not re.match(r"[A-Z`±]", text) or not text.endswith("."):
        return "no sentence"
    if _ELSEWHERE.search(text):
        return "refers to another place"
    if re.search(r"\. [a-z]\w*: ", text):
        return "several options in one entry"
    return None


def classes_of(options: object) -> set[type]:
    """The class of options, what it extends, and those of nested values."""
    found = {base for base in type(options).__mro__ if dataclasses.is_dataclass(base)}
    nested = (getattr(options, one.name) for one in dataclasses.fields(options))  # pyright: ignore[reportArgumentType]
    return found.union(*(classes_of(value) for value in nested if dataclasses.is_dataclass(value)))


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_option_of_a_method_has_a_meaning(name):
    options = METHODS[name].options()
    texts = meanings(options)
    assert list(texts) == list(config.flatten(options))
    wrong = {
        option: text for option, text in texts.items() if wrong_with(text) or wrong_with(text[:1].upper() + text[1:])
    }
    assert wrong == {}


def test_every_entry_is_a_sentence_and_that_of_a_nested_option_is_one():
    everything = set().union(*(classes_of(METHODS[name].options()) for name in BUILT_IN))
    assert len(everything) > 50
    for one in everything:
        for name, text in entries(one).items():
            assert wrong_with(text) is None, (one, name, text)
            kind = {entry.name: entry.default for entry in dataclasses.fields(one)}[name]
            if dataclasses.is_dataclass(kind):
                assert not re.search(r"\. [A-Z`]", text), (one, name)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no meaning"),
        ("of the LSTM.", "no sentence"),
        ("Width of the LSTM", "no sentence"),
        ("Width, as the paper is read (12).", "refers to another place"),
        ("Width as in reading 2.", "refers to another place"),
        ("Rule of the decoders, see above.", "refers to another place"),
        ("Width of the LSTM. heads: A divisor of it.", "several options in one entry"),
        ("Weight of eq. 10 (Table 5).", None),
    ],
)
def test_what_is_wrong_with_a_text_is_found(text, why):
    assert wrong_with(text) == why


@dataclass(frozen=True)
class Inner:
    """Rates.

    text: Text.
    audio: LSTM over audio.
    """

    text: float = 0.0
    audio: float = 0.0


@dataclass(frozen=True)
class Base:
    """Prose that is no entry: at all.

    Network:
      width, depth: Size
        of the network.
      rate: Rate of a modality.

    width is not an entry here.
    """

    width: int = 1
    depth: int = 2
    rate: Inner = Inner()


@dataclass(frozen=True)
class More(Base):
    """Options.

    Raises:
      InputError: never.
    depth: Number of layers.
    """

    unsaid: int = 3
    listed: list = field(default_factory=list)


def test_entries_are_read_from_docstrings():
    assert entries(Base) == {
        "width": "Size of the network.", "depth": "Size of the network.", "rate": "Rate of a modality.",
    }  # fmt: skip
    assert entries(More) == {"depth": "Number of layers."}


def test_the_nearest_class_explains_an_option_and_a_nested_one_is_named():
    assert meanings(More()) == {
        "width": "Size of the network.",
        "depth": "Number of layers.",
        "rate.text": "Rate of a modality: text.",
        "rate.audio": "Rate of a modality: LSTM over audio.",
        "unsaid": "",
        "listed": "",
    }


# -- everyday names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("lr", "; did you mean learning_rate.text, learning_rate.audio, learning_rate.vision, learning_rate.other?"),
        ("learning_rate_bert", "; did you mean learning_rate.text?"),
        ("bs", "; did you mean batch_size?"),
        ("epochs", "; did you mean max_epochs?"),
        ("KeyEval", "; did you mean selection?"),
        ("need_data_aligned", "; the file is aligned or is not"),
        ("grad_clip", "; did you mean clip_norm, clip_value?"),
        ("seed", "; seeds are --seeds 1 2 3, in Python seeds=[1, 2, 3]"),
        ("optimizer", "; the optimiser is Adam; weight_decay_mode chooses AdamW or an L2 term"),
        ("gpu", "; JAX chooses the device: set JAX_PLATFORMS=cpu or CUDA_VISIBLE_DEVICES in the environment"),
    ],
)
def test_everyday_names_lead_to_ours(name, answer):
    with pytest.raises(InputError) as caught:
        config.override(Options(), {name: "1"})
    assert str(caught.value) == f"unknown option {name!r}{answer}"


def test_keys_of_mmsa_mean_what_their_page_says():
    page = (REPOSITORY / "docs" / "coming_from_mmsa.md").read_text().split("## Keys of one model")[1].split("\n## ")[0]
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    for keys, options in rows:
        meant = [option for key in re.findall("`(.+?)`", keys) for option in OPTIONS[key.lower()]]
        named = [name.replace("-", "_") for name in re.findall("--([a-z.-]+)", options)]
        assert all(any(name == of or name.startswith(f"{of}.") for of in meant) for name in named), (keys, named)


def test_everyday_names_are_names_of_no_option_and_lead_to_real_ones():
    known = {name for method in BUILT_IN for name in config.flatten(METHODS[method].options())}
    assert known & {*OPTIONS, *ELSEWHERE} == set()
    assert set(OPTIONS) & set(ELSEWHERE) == set()
    for name, meant in OPTIONS.items():
        for one in meant:
            assert any(option == one or option.startswith(f"{one}.") for option in known), (name, one)


@pytest.mark.parametrize("method", ["mfn", "tetfn"])
def test_an_everyday_value_leads_to_ours(method):
    with pytest.raises(
        InputError, match=r"option alignment is 'average'; expected one of adaptive, .*; did you mean adaptive\?$"
    ):
        config.override(METHODS[method].options(), {"alignment": "average"})


@pytest.mark.parametrize("method", [name for name in BUILT_IN if hasattr(METHODS[name].options(), "alignment")])
def test_mean_is_another_word_for_the_adaptive_alignment_and_is_recorded_as_that(method):
    options = config.override(METHODS[method].options(), {"alignment": "mean"})
    assert config.to_json(options)["alignment"] == "adaptive"


def test_everyday_values_are_values_of_no_option_and_lead_to_real_ones():
    for name, words in VALUES.items():
        for options in (METHODS[method].options() for method in BUILT_IN):
            if name in config.flatten(options):
                for word, ours in words.items():
                    assert config.flatten(config.override(options, {name: ours}))[name] == ours
                    with pytest.raises(InputError, match=rf"did you mean {ours}\?$"):
                        config.override(options, {name: word})
