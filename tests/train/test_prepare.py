"""From a folder with a pretrained encoder to what training starts from: vocabularies that fit, and those that do not."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import tokenizers

from msa_jax.config import override
from msa_jax.data.schema import Card, validate
from msa_jax.data.tokenize import Tokenizer, build_tokenizer
from msa_jax.errors import DataWarning, InputError
from msa_jax.methods import METHODS
from msa_jax.train.predictor import Predictor
from msa_jax.train.prepare import check_preprocessing, prepare, save_preprocessing, unread
from tests.small_bert import write_small_bert
from tests.tiny import QUICK, TOY, tiny_dataset, train_quick
from tests.train.kit import registered

TEXT_ONLY = METHODS["text_only"]
DATASET = tiny_dataset(modalities=("text",))


def _write_encoder(folder, tokenizer, *, rows=None, roberta=False, **sizes):
    """A folder with random weights and this tokenizer, None for no tokenizer."""
    if roberta:
        sizes = {"pad_id": 1, "first_position": 2, "type_vocab_size": 1, "max_positions": 14, **sizes}
    return write_small_bert(folder, tokenizer, **({"vocab_size": rows} if rows else {}), **sizes)


def _roberta_tokenizer():
    """Byte-level BPE with the 256 bytes alone, framed by <s> and </s>, as RoBERTa's."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *alphabet, "<mask>"])}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, [], unk_token="<unk>"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    backend.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    return Tokenizer(backend)


def _prepare(folder, dataset=DATASET, method=TEXT_ONLY, **options):
    return prepare(dataset, method, override(method.options(), {**QUICK, "text_encoder": str(folder), **options}))


def _own_tokenizer():
    return build_tokenizer(list(DATASET.train.raw_text))


def _texts(split_texts):
    """A dataset of these texts in each of its splits."""
    splits = {
        split: {
            "id": np.array([f"{split}{row}" for row in range(len(texts))]),
            "label": np.linspace(-1, 1, len(texts)).astype(np.float32),
            "raw_text": np.array(texts),
        }
        for split, texts in split_texts.items()
    }
    return validate(Card(name="texts", metrics="mosi", label_range=(-3.0, 3.0)), splits, source="texts")


# RoBERTa


@pytest.mark.slow
@pytest.mark.parametrize("pack", [True, False])
def test_a_roberta_trains_and_predicts_as_its_experiment_says(tmp_path, pack):
    folder = _write_encoder(tmp_path / "roberta", _roberta_tokenizer(), roberta=True)
    options = {"text_encoder": str(folder), "pack_text": pack, "max_epochs": 1}
    experiment = train_quick("text_only", DATASET, tmp_path / "run", options=options)
    assert '"model_type": "roberta"' in (tmp_path / "run" / "config.json").read_text()
    predictor = Predictor.load(tmp_path / "run")
    np.testing.assert_allclose(
        predictor.predict(DATASET.test), experiment.runs[0].scores["test"]["prediction"], rtol=0, atol=1e-5
    )


def test_a_text_has_two_tokens_fewer_than_a_roberta_has_rows_for_positions(tmp_path):
    folder = _write_encoder(tmp_path, _roberta_tokenizer(), roberta=True)
    assert _prepare(folder, max_tokens=12).inputs.text.bert.max_positions == 14
    with pytest.raises(InputError, match=r"option max_tokens is 13; .* has 12 positions"):
        _prepare(folder, max_tokens=13)


def test_a_roberta_with_bert_s_tokenizer_is_refused(tmp_path):
    folder = _write_encoder(tmp_path, _own_tokenizer(), roberta=True)
    with pytest.raises(InputError, match=r"its tokenizer pads with id 0, config.json says pad_token_id 1"):
        _prepare(folder)


# Vocabularies


def test_a_vocabulary_far_smaller_than_the_embedding_table_is_refused(tmp_path):
    tokenizer = _own_tokenizer()
    size = tokenizer.tokens
    _prepare(_write_encoder(tmp_path / "padded", tokenizer, rows=2 * size))
    folder = _write_encoder(tmp_path / "large", tokenizer, rows=2 * size + 1)
    with pytest.raises(InputError, match=f"its tokenizer knows {size} tokens alone, its weights {2 * size + 1}"):
        _prepare(folder)
    folder = _write_encoder(tmp_path / "small", tokenizer, rows=size - 1)
    with pytest.raises(InputError, match=f"its tokenizer knows {size} tokens, its weights {size - 1}"):
        _prepare(folder)


def test_an_encoder_without_a_vocabulary_is_refused(tmp_path):
    with pytest.raises(InputError, match="no vocabulary; expected"):
        _prepare(_write_encoder(tmp_path, None, rows=50))


ENGLISH, CHINESE = "a good film and a bad one", "这部电影很好看"


def test_text_in_another_language_than_the_vocabulary_s_is_a_warning_with_its_share(tmp_path):
    folder = _write_encoder(tmp_path, build_tokenizer([CHINESE] * 3))
    english = _texts({"train": [ENGLISH] * 4, "valid": [CHINESE] * 2, "test": [CHINESE, ENGLISH]})
    # Seven words each, all known in one language and none in the other.
    message = "100 % of the tokens of train, 50 % of the tokens of test are unknown to its vocabulary"
    with pytest.warns(DataWarning, match=f"^texts: text_encoder {folder}: {message}"):
        _prepare(folder, english)


@pytest.mark.parametrize(("unknown", "warned"), [(1, False), (2, True)])
def test_a_fifth_of_unknown_tokens_is_no_warning(tmp_path, unknown, warned):
    folder = _write_encoder(tmp_path, build_tokenizer([CHINESE] * 3))
    text = CHINESE[: 5 - unknown] + "Z" * (unknown > 0) + " Z" * (unknown - 1)
    dataset = _texts({split: [text] * 2 for split in ("train", "valid", "test")})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _prepare(folder, dataset)
    assert [issubclass(entry.category, DataWarning) for entry in caught] == [True] * warned


def test_token_ids_of_another_tokenizer_are_refused(tmp_path):
    dataset = tiny_dataset(modalities=("text",), text="text_bert")
    first = int(dataset.train.text_bert[0, 0, 0])
    tokenizer = build_tokenizer([" ".join("abcdefghijklmnopqrstuvwxyz") * 3])
    folder = _write_encoder(tmp_path / "bert", tokenizer, rows=60)
    other = _write_encoder(tmp_path / "roberta", _roberta_tokenizer(), roberta=True)
    assert first == tokenizer.first_id
    _prepare(folder, dataset)
    with pytest.raises(InputError, match=f"text_bert, row 0: begins with token id {first}; .* begins texts with 0"):
        _prepare(other, dataset)
    # Without a tokenizer there is nothing to compare with.
    _prepare(_write_encoder(tmp_path / "none", None, rows=60), dataset)


def test_of_two_columns_of_text_one_is_read_and_the_other_named():
    ids, raw = (tiny_dataset(modalities=("text",), text=text) for text in ("text_bert", "raw_text"))
    splits = {
        name: replace(split, raw_text=raw.split(name).raw_text, id=raw.split(name).id)
        for name, split in ids.splits().items()
    }
    both = replace(ids, **splits)
    for column, other, dataset in (("raw_text", "text_bert", raw), ("text_bert", "raw_text", ids)):
        options = override(TEXT_ONLY.options(), {"text_column": column})
        found, alone = (prepare(data, TEXT_ONLY, options).columns["train"]["text"]["ids"] for data in (both, dataset))
        np.testing.assert_array_equal(found, alone)
        assert unread(both, options) == (f"text: {column} is read, {other} is not (option text_column)",)
        assert unread(dataset, options) == ()


# Methods without text


@pytest.mark.parametrize("module", [None, "text_encoder"])
def test_a_method_without_a_text_encoder_refuses_one(tmp_path, module):
    folder = _write_encoder(tmp_path / "bert", _own_tokenizer())
    method = replace(TOY, name="deaf", text_encoder=module)  # audio alone, whether it says so or not
    dataset = tiny_dataset()
    for options in ({}, {"finetune_text": False}):
        with registered(method), pytest.raises(InputError, match=r"text_encoder is .*; leave the option out"):
            train_quick("deaf", dataset, tmp_path / "run", options={"text_encoder": str(folder), **options})
        assert not (tmp_path / "run").exists()


def test_an_experiment_that_began_with_another_vocabulary_does_not_go_on(tmp_path):
    """As a version of msa_jax may learn one that splits the same texts otherwise."""
    dataset, preprocessor = DATASET, prepare(DATASET, TEXT_ONLY, TEXT_ONLY.options()).preprocessor
    check_preprocessing(preprocessor, dataset, tmp_path / "run")  # where nothing was begun
    save_preprocessing(preprocessor, tmp_path / "run")
    check_preprocessing(preprocessor, dataset, tmp_path / "run")
    other = replace(preprocessor, tokenizer=build_tokenizer(["an other text"]))
    with pytest.raises(InputError, match="gives the texts of train other tokens"):
        check_preprocessing(other, dataset, tmp_path / "run")
