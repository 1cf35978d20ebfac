import importlib.util
import json
import os
import shutil
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
import tokenizers

from msa_jax.data.tokenize import Tokenizer, build_tokenizer, load_tokenizer
from msa_jax.errors import DataWarning, InputError
from tests.paths import REPOSITORY, minilm, shared_data

needs_minilm = pytest.mark.skipif(minilm() is None, reason="the MiniLM tokenizer is not installed")

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "good", "film", "##s", "good", "Good", "我", "好"]
TEXTS = ["the good film", "a good good film", "the films were not good", "not the best film"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return tmp_path


def _tokens(tokenizer, text):
    ids, mask = tokenizer.encode([text], max_tokens=50)
    assert mask.all()
    return [tokenizer.backend.id_to_token(int(i)) for i in ids[0]]


# encode


def test_rows_are_as_long_as_the_longest_text_and_padding_is_masked(folder):
    ids, mask = load_tokenizer(folder).encode(["a good film", "films"], max_tokens=10)
    assert ids.dtype == mask.dtype == np.int32
    np.testing.assert_array_equal(ids, [[2, 5, 9, 7, 3], [2, 7, 8, 3, 0]])
    np.testing.assert_array_equal(mask, [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])


def test_truncation_keeps_the_special_tokens(folder):
    tokenizer = load_tokenizer(folder)
    ids, mask = tokenizer.encode(["a good film a good film"], max_tokens=4)
    np.testing.assert_array_equal(ids, [[2, 5, 9, 3]])
    ids, mask = tokenizer.encode(["a good"], max_tokens=4)
    np.testing.assert_array_equal(ids, [[2, 5, 9, 3]])
    assert mask.all()


def test_a_given_length_pads_every_row_to_it(folder):
    ids, mask = load_tokenizer(folder).encode(["a", ""], max_tokens=4, length=6)
    np.testing.assert_array_equal(ids, [[2, 5, 3, 0, 0, 0], [2, 3, 0, 0, 0, 0]])
    np.testing.assert_array_equal(mask.sum(1), [3, 2])
    with pytest.raises(InputError, match="length is 3; expected at least max_tokens, 4"):
        load_tokenizer(folder).encode(["a"], max_tokens=4, length=3)


def test_an_empty_text_is_its_special_tokens_and_no_text_no_row(folder):
    tokenizer = load_tokenizer(folder)
    np.testing.assert_array_equal(tokenizer.encode([""], max_tokens=9)[0], [[2, 3]])
    assert [array.shape for array in tokenizer.encode([], max_tokens=9)] == [(0, 0), (0, 0)]


def test_numpy_strings_are_texts(folder):
    tokenizer = load_tokenizer(folder)
    ids, _ = tokenizer.encode(np.array(["a good film", "a"]), max_tokens=9)
    np.testing.assert_array_equal(ids, tokenizer.encode(["a good film", "a"], max_tokens=9)[0])


def test_half_a_surrogate_pair_is_no_crash(folder):
    assert _tokens(load_tokenizer(folder), "a \ud800 film") == ["[CLS]", "a", "[UNK]", "film", "[SEP]"]


@pytest.mark.parametrize(
    ("texts", "message"), [(["a", None], "row 1: the text is a NoneType"), ([b"a"], "row 0"), ("a", "one string")]
)
def test_what_is_not_a_string_is_refused_with_its_row(folder, texts, message):
    with pytest.raises(InputError, match=message):
        load_tokenizer(folder).encode(texts, max_tokens=9)


def test_room_for_the_special_tokens_alone_is_refused(folder):
    with pytest.raises(InputError, match="max_tokens is 2; expected at least 3, 2 of them special"):
        load_tokenizer(folder).encode(["a"], max_tokens=2)


@needs_minilm
def test_truncation_and_padding_baked_into_a_tokenizer_are_overridden():
    baked = json.loads((minilm() / "tokenizer.json").read_text())
    assert baked["truncation"]["max_length"] == baked["padding"]["strategy"]["Fixed"] == 128
    tokenizer = load_tokenizer(minilm())
    assert tokenizer.encode(["good"], max_tokens=200)[0].shape == (1, 3)
    assert tokenizer.encode(["good " * 300], max_tokens=200)[0].shape == (1, 200)


# load


@needs_minilm
@pytest.mark.parametrize("files", [["tokenizer.json"], ["vocab.txt"], ["vocab.txt", "tokenizer_config.json"]])
def test_tokenizer_json_and_vocab_txt_give_the_ids_of_transformers(tmp_path, files):
    transformers = pytest.importorskip("transformers")
    for file in files:
        shutil.copy(minilm() / file, tmp_path)
    texts = [
        "I didn't LIKE it, Zoë!",
        "",
        "[CLS] [MASK] x",
        "你好 world 😀",
        "a" * 300,
        "re-think\tx\u200by\x00z",
        "it " * 90,
    ]
    mosi = shared_data("mosi")
    if mosi is not None:
        with np.load(mosi / "valid.npz") as split:
            texts.extend(split["raw_text"].tolist())
    reference = transformers.AutoTokenizer.from_pretrained(minilm())
    expected = reference(texts, max_length=50, truncation=True, padding="longest", return_tensors="np")
    ids, mask = load_tokenizer(tmp_path).encode(texts, max_tokens=50)
    np.testing.assert_array_equal(ids, expected["input_ids"])
    np.testing.assert_array_equal(mask, expected["attention_mask"])


def test_vocabulary_is_lower_cased_unless_the_config_says_otherwise(folder):
    assert _tokens(load_tokenizer(folder), "Good Gööd") == ["[CLS]", "good", "good", "[SEP]"]
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false, "tokenizer_class": "BertTokenizer"}')
    assert _tokens(load_tokenizer(folder), "Good Gööd") == ["[CLS]", "Good", "[UNK]", "[SEP]"]


def test_chinese_characters_are_words(folder):
    assert _tokens(load_tokenizer(folder), "我好a") == ["[CLS]", "我", "好", "a", "[SEP]"]


def test_carriage_returns_at_line_ends_are_no_part_of_a_token(folder):
    (folder / "vocab.txt").write_bytes("\r\n".join(WORDS).encode())
    assert _tokens(load_tokenizer(folder), "films") == ["[CLS]", "film", "##s", "[SEP]"]


ADDED = {
    "content": "(laughter)",
    "lstrip": False,
    "rstrip": False,
    "normalized": False,
    "single_word": False,
    "special": True,
}


def _with_added_tokens(folder, where, index):
    """A BERT's folder in which one token is not in vocab.txt but in one of the two files that name such tokens."""
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(WORDS)), encoding="utf-8")
    config = {"tokenizer_class": "BertTokenizer"}
    known = {"content": "[PAD]", **{name: value for name, value in ADDED.items() if name != "content"}}
    if where == "added_tokens.json":
        (folder / where).write_text(json.dumps({"(laughter)": index}))
    else:
        config["added_tokens_decoder"] = {"0": known, str(index): ADDED}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("where", ["added_tokens.json", "tokenizer_config.json"])
def test_tokens_that_were_added_to_a_vocabulary_stay_whole_as_in_transformers(folder, where):
    transformers = pytest.importorskip("transformers")
    _with_added_tokens(folder, where, 12)
    texts = ["a Good (laughter) film", "(laughter)s", "", "(Laughter) 好"]
    reference = transformers.AutoTokenizer.from_pretrained(str(folder))
    expected = reference(texts, padding="longest", return_tensors="np")
    tokenizer = load_tokenizer(folder)
    ids, mask = tokenizer.encode(texts, max_tokens=20)
    np.testing.assert_array_equal(ids, expected["input_ids"])
    np.testing.assert_array_equal(mask, expected["attention_mask"])
    assert (tokenizer.vocab_size, _tokens(tokenizer, texts[0])[3]) == (13, "(laughter)")


def test_added_tokens_need_neither_a_config_nor_a_tokenizer_config(folder):
    pytest.importorskip("transformers")
    _with_added_tokens(folder, "added_tokens.json", 12)
    for name in ("config.json", "tokenizer_config.json"):
        (folder / name).unlink(missing_ok=True)
    assert _tokens(load_tokenizer(folder), "a Good (laughter) film") == [
        *("[CLS]", "a", "good", "(laughter)", "film", "[SEP]")
    ]


def test_an_added_token_with_another_id_than_it_gets_is_refused(folder):
    _with_added_tokens(folder, "added_tokens.json", 16)
    with pytest.raises(InputError, match=r"the added token '\(laughter\)' has id 16; expected 12, the next one"):
        load_tokenizer(folder)
    (folder / "added_tokens.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"added_tokens_decoder": {"0": "[PAD]"}}')
    with pytest.raises(InputError, match=r"tokenizer_config.json: added_tokens_decoder cannot be read"):
        load_tokenizer(folder)


def _contradicted(folder, asked, **made):
    """Case and accents of `tokenizer.json`, and what `tokenizer_config.json` beside it asks for."""
    tokenizer = load_tokenizer(folder)
    tokenizer.backend.normalizer = tokenizers.normalizers.BertNormalizer(**made)
    tokenizer.save(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps(asked))


@pytest.mark.parametrize(
    ("asked", "made", "said"),
    [
        ({"do_lower_case": False}, {"lowercase": True}, "do_lower_case false"),
        ({"do_lower_case": True, "strip_accents": None}, {"lowercase": False}, "do_lower_case true"),
        ({"strip_accents": False}, {"lowercase": True}, "strip_accents false"),
        (
            {"do_lower_case": False, "strip_accents": True},
            {"lowercase": True, "strip_accents": False},
            "false and strip",
        ),
    ],
)
def test_a_config_that_asks_for_another_case_than_tokenizer_json_is_warned_of(folder, asked, made, said):
    _contradicted(folder, asked, **made)
    with pytest.warns(DataWarning, match=f"tokenizer_config.json says .*{said}.*; tokenizer.json is used"):
        tokenizer = load_tokenizer(folder)
    assert _tokens(tokenizer, "Good")[1] == ("good" if made["lowercase"] else "Good")


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ({}, {"lowercase": False, "strip_accents": True}),
        ({"do_lower_case": True, "strip_accents": None}, {"lowercase": True, "strip_accents": False}),
        ({"do_lower_case": False, "strip_accents": False}, {"lowercase": False}),
        ({"do_lower_case": True, "strip_accents": True}, {"lowercase": True}),
    ],
)
def test_a_config_that_asks_for_what_tokenizer_json_does_or_for_nothing_is_not(folder, asked, made):
    _contradicted(folder, asked, **made)
    load_tokenizer(folder)  # a warning is an error


def test_another_kind_of_tokenizer_is_left_to_transformers(tmp_path):
    pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text('{"model_type": "roberta"}')
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "RobertaTokenizer"}')
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", "a", "b", "\u0120", "ab", "<mask>"]
    (tmp_path / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(vocabulary)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.pad_id == 1
    ids, mask = tokenizer.encode(["abb", ""], max_tokens=9)
    np.testing.assert_array_equal(ids, [[0, 7, 5, 2], [0, 2, 1, 1]])
    np.testing.assert_array_equal(mask, [[1, 1, 1, 1], [1, 1, 0, 0]])


def test_a_folder_without_a_readable_tokenizer_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        load_tokenizer(tmp_path / "absent")
    with pytest.raises(InputError, match="no tokenizer that can be read"):
        load_tokenizer(tmp_path)
    (tmp_path / "vocab.txt").write_text("[PAD]\na\n")
    with pytest.raises(InputError, match=r"vocab.txt: lacks \[UNK\] \[CLS\] \[SEP\]"):
        load_tokenizer(tmp_path)
    (tmp_path / "vocab.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"vocab.txt: not readable UTF-8"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[]")
    with pytest.raises(InputError, match=r"tokenizer_config.json: holds a list"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(InputError, match=r"tokenizer.json: not a readable tokenizer"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta"])
@pytest.mark.parametrize("options", [None, '{"do_lower_case": true}'])
def test_a_folder_without_a_vocabulary_is_refused_though_transformers_makes_a_tokenizer(tmp_path, kind, options):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    if options is not None:
        (tmp_path / "tokenizer_config.json").write_text(options)
    with pytest.raises(
        InputError, match=r"no vocabulary; expected tokenizer.json, vocab.txt, vocab.json with merges.txt"
    ):
        load_tokenizer(tmp_path)


def test_spans_of_a_byte_level_tokenizer_are_the_words():
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    names = ["<s>", "</s>", "<pad>", "<unk>"]
    trainer = tokenizers.trainers.BpeTrainer(
        special_tokens=names, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    model.train_from_iterator(["this is a good film"] * 9, trainer)
    model.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    spans = Tokenizer(backend=model).spans("this is a good film", max_tokens=20)
    assert spans == [None, (0, 4), (5, 7), (8, 9), (10, 14), (15, 19), None]


@pytest.mark.skipif(importlib.util.find_spec("sentencepiece") is not None, reason="sentencepiece is installed")
def test_a_sentencepiece_model_without_the_package_that_reads_it_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "xlm-roberta"}')
    (tmp_path / "sentencepiece.bpe.model").write_bytes(b"")
    with pytest.raises(
        InputError, match=r"sentencepiece.bpe.model: a sentencepiece model, .* or put the tokenizer.json"
    ):
        load_tokenizer(tmp_path)


def test_the_tokenizer_json_of_an_xlm_r_is_read_as_it_is(tmp_path):
    """Pieces of a unigram model behind <s> <pad> </s> <unk>, as XLM-R's; framed, padded, saved and loaded again."""
    pieces = [
        ("<s>", 0.0),
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        ("▁good", -1.0),
        ("▁film", -1.0),
        ("▁", -4.0),
    ]
    backend = tokenizers.Tokenizer(tokenizers.models.Unigram([*pieces, ("s", -2.0)], unk_id=3))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    backend.save(str(tmp_path / "tokenizer.json"))
    first = load_tokenizer(tmp_path)
    first.save(tmp_path / "again")
    for tokenizer in (first, load_tokenizer(tmp_path / "again")):
        ids, mask = tokenizer.encode(["good films", "好"], max_tokens=9)
        np.testing.assert_array_equal(ids, [[0, 4, 5, 7, 2], [0, 6, 3, 2, 1]])
        np.testing.assert_array_equal(mask, [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])
        assert (tokenizer.first_id, tokenizer.pad_id, tokenizer.tokens, tokenizer.vocab_size) == (0, 1, 8, 8)
        assert tokenizer.unknown_share(ids, mask) == 1 / 5


def test_loading_a_tokenizer_does_not_import_transformers(folder):
    code = (
        "import sys; from msa_jax.data.tokenize import load_tokenizer; load_tokenizer(sys.argv[1]);"
        "sys.exit('transformers' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=REPOSITORY, check=True)


# what a vocabulary lacks


def test_the_share_of_unknown_tokens_leaves_out_special_ones_and_padding(folder):
    tokenizer = load_tokenizer(folder)
    ids, mask = tokenizer.encode(["a good zebra", "x y", ""], max_tokens=9)
    assert tokenizer.unknown_share(ids, mask) == 3 / 5
    assert tokenizer.unknown_share(np.where(mask == 1, ids, 1), mask) == 3 / 5
    assert tokenizer.unknown_share(*tokenizer.encode(["", ""], max_tokens=9)) == 0
    assert tokenizer.unknown_share(*tokenizer.encode(["a good film"], max_tokens=9)) == 0
    assert tokenizer.first_id == 2


def test_a_tokenizer_without_unknown_or_special_tokens_has_no_share_and_no_first_id():
    tokenizer = Tokenizer(tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0, "b": 1}, [])))
    assert tokenizer.unknown_share(*tokenizer.encode(["ab", "z"], max_tokens=9)) == 0
    assert tokenizer.first_id is None
    assert tokenizer.tokens == 2


# build


def test_a_built_vocabulary_starts_with_the_special_tokens_and_is_lower_cased():
    tokenizer = build_tokenizer([text.upper() for text in TEXTS])
    assert [tokenizer.backend.token_to_id(token) for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")] == [
        0,
        1,
        2,
        3,
        4,
    ]
    assert tokenizer.pad_id == 0
    assert not any(token != token.lower() for token in tokenizer.backend.get_vocab() if not token.startswith("["))
    assert _tokens(tokenizer, "The GOOD film") == ["[CLS]", "the", "good", "film", "[SEP]"]


@pytest.mark.parametrize(
    ("word", "other"), [("schön", "schon"), ("peché", "péché"), ("บ้าน", "บาน"), ("बुरा", "बरा")], ids=str
)
def test_accents_and_vowel_signs_make_other_words_of_a_built_vocabulary(word, other):
    tokenizer = build_tokenizer([word, other] * 2)
    same, differ = (tokenizer.backend.encode(text).ids for text in (unicodedata.normalize("NFD", word).upper(), other))
    assert tokenizer.backend.encode(word).ids == same != differ


def test_merges_take_the_most_frequent_pair_and_the_first_of_equal_ones():
    """By hand: aab x3, ab x2: pairs (a, ##b) 2, (a, ##a) 3, (##a, ##b) 3; of the equal ones (##a, ##b) sorts first."""
    tokenizer = build_tokenizer(["aab aab aab", "ab ab"])
    learnt = sorted(tokenizer.backend.get_vocab().items(), key=lambda item: item[1])[5:]
    # Characters by count: a 5, ##b 5, ##a 3 (of equal counts # sorts first).
    assert [token for token, _ in learnt] == ["##b", "a", "##a", "##ab", "aab", "ab"]


def test_words_seen_once_are_pieces_and_unseen_ones_are_not_unknown():
    tokenizer = build_tokenizer([*TEXTS, "zebra"])
    assert "zebra" not in tokenizer.backend.get_vocab()
    assert "[UNK]" not in _tokens(tokenizer, "zebra goodest")


@pytest.mark.parametrize("saved", [False, True])
def test_a_clause_of_a_language_without_spaces_is_pieces_however_long(tmp_path, saved):
    """Thai is one word to BERT, which has no word of more than 100 characters."""
    clause = "ฉันชอบหนังเรื่องนี้มาก"
    tokenizer = build_tokenizer([clause * 2] * 3)
    if saved:
        tokenizer.save(tmp_path)
        tokenizer = load_tokenizer(tmp_path)
    ids, mask = tokenizer.encode([clause * 2, clause * 8, clause * 80], max_tokens=400)
    normal = tokenizer.backend.normalizer.normalize_str(clause)
    assert len(normal) * 8 > 100
    assert len(normal) * 80 > 1000
    assert [tokenizer.unknown_share(ids[[row]], mask[[row]]) for row in range(3)] == [0, 0, 1]


def test_a_word_of_a_pretrained_vocabulary_has_a_hundred_characters_at_most(folder):
    assert _tokens(load_tokenizer(folder), "film" + "s" * 97)[1] == "[UNK]"


def test_the_size_is_an_upper_bound():
    texts = ["alpha beta gamma delta " * 3]
    assert build_tokenizer(texts, vocab_size=12).vocab_size == 12
    full = build_tokenizer(texts).vocab_size
    assert full < 4096
    assert build_tokenizer(texts, vocab_size=full + 1).vocab_size == full


def test_chinese_text_is_split_into_characters():
    tokenizer = build_tokenizer(["我很喜欢这部电影", "这部电影不好看 OK"])
    assert _tokens(tokenizer, "我不喜欢ok") == ["[CLS]", "我", "不", "喜", "欢", "ok"[0], "##k", "[SEP]"]


def test_the_vocabulary_depends_on_the_texts_alone():
    """Not on the seed of Python's string hashes, nor on the number of threads, nor on the order of the texts."""
    code = (
        "import sys, hashlib; from msa_jax.data.tokenize import build_tokenizer;"
        "texts = [' '.join(f'w{i * j % 97}q{i % 7}' for j in range(1, 30)) for i in range(1, 80)];"
        "texts = texts[::-1] if sys.argv[1] == '1' else texts;"
        "print(hashlib.sha256(build_tokenizer(texts, vocab_size=300).backend.to_str().encode()).hexdigest())"
    )
    digests = set()
    for run in range(3):
        environment = {**os.environ, "PYTHONHASHSEED": str(run), "RAYON_NUM_THREADS": str(run + 1)}
        command = [sys.executable, "-c", code, str(run % 2)]
        done = subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, capture_output=True, text=True)
        digests.add(done.stdout)
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("texts", "size", "message"), [([], 9, "no words"), (["  "], 9, "no words"), (["a"], 5, "vocab_size is 5")]
)
def test_what_no_vocabulary_can_be_built_from_is_refused(texts, size, message):
    with pytest.raises(InputError, match=message):
        build_tokenizer(texts, vocab_size=size)


# save


def test_what_was_saved_loads_again(tmp_path):
    tokenizer = build_tokenizer(TEXTS)
    tokenizer.save(tmp_path / "new")
    again = load_tokenizer(tmp_path / "new")
    assert again.backend.to_str() == tokenizer.backend.to_str()
    assert (again.vocab_size, again.pad_id) == (tokenizer.vocab_size, tokenizer.pad_id)
    np.testing.assert_array_equal(again.encode(TEXTS, max_tokens=6), tokenizer.encode(TEXTS, max_tokens=6))


def test_ids_stay_below_the_vocabulary_size_where_ids_have_gaps():
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "far": 9}, unk_token="[UNK]"))
    tokenizer = Tokenizer(backend)
    assert tokenizer.vocab_size == 10
    assert tokenizer.pad_id == 0
