"""What bad data gets: one line naming source, split, column and row, what was found and what was expected."""

import hashlib
import warnings
from dataclasses import replace

import numpy as np
import pytest

from msa_jax.data.schema import Card, Split, parse_card, validate
from msa_jax.errors import DataWarning, InputError

CARD = Card(name="small", metrics="mosi", label_range=(-3.0, 3.0))
SIZES = {"train": 6, "valid": 3, "test": 4}


def columns(split: str, **changes) -> dict:
    """A valid split with every column; a change of None removes one."""
    n = SIZES[split]
    rng = np.random.default_rng(n)
    text_bert = np.zeros((n, 3, 5), np.int32)
    text_bert[:, 0, :3] = [101, 7, 102]
    text_bert[:, 1, :3] = 1
    made = {
        "id": np.array([f"{split}{row}" for row in range(n)]),
        "label": np.linspace(-3, 3, n, dtype=np.float32),
        "raw_text": np.array(["some words"] * n),
        "text_bert": text_bert,
        "text": rng.normal(size=(n, 5, 4)).astype(np.float32),
        "audio": rng.normal(size=(n, 7, 2)).astype(np.float32),
        "audio_length": np.full(n, 7, np.int32),
        "vision": rng.normal(size=(n, 8, 3)).astype(np.float32),
        "vision_length": np.arange(1, n + 1, dtype=np.int32),
        "label_t": np.zeros(n, np.float32),
        "label_a": np.zeros(n, np.float32),
        "label_v": np.zeros(n, np.float32),
    } | changes
    return {name: value for name, value in made.items() if value is not None}


def splits(**changes) -> dict:
    """All three splits with the same changes."""
    return {name: columns(name, **changes) for name in SIZES}


def with_change(split: str, column: str, row, value) -> dict:
    """All three splits, one value changed."""
    made = splits()
    array = made[split][column].copy()
    array = array.astype("<U20") if array.dtype.kind == "U" else array
    array[row] = value
    made[split][column] = array
    return made


def refused(data: dict, *parts: str, card: Card = CARD) -> str:
    """The message of the InputError; every part must be in it."""
    with pytest.raises(InputError) as raised:
        validate(card, data, source="there")
    message = str(raised.value)
    assert "\n" not in message
    for part in ("there", *parts):
        assert part in message, message
    return message


def test_valid_data_pass_unchanged():
    data = splits()
    dataset = validate(CARD, data, source="there")
    for name, split in dataset.splits().items():
        assert len(split) == SIZES[name]
        assert list(split.columns()) == sorted(data[name], key=list(Split.__dataclass_fields__).index)
        for column, array in split.columns().items():
            np.testing.assert_array_equal(array, data[name][column])


def test_every_single_modality_is_enough():
    for kept in ("raw_text", "text_bert", "text", "audio", "vision"):
        named = {kept, f"{kept}_length"}
        gone = {name: None for name in columns("train") if name not in {"id", "label"} | named}
        dataset = validate(CARD, splits(**gone), source="there")
        modality = kept.removesuffix("_bert").removeprefix("raw_")
        assert [name for name in ("text", "audio", "vision") if dataset.has(name)] == [modality]


def test_a_split_is_given_by_name_and_another_name_is_refused():
    dataset = validate(CARD, splits(), source="there")
    assert [dataset.split(name) for name in SIZES] == [dataset.train, dataset.valid, dataset.test]
    with pytest.raises(InputError, match="there: no split 'dev'; expected one of train, valid, test"):
        dataset.split("dev")


def test_unknown_modality_is_refused():
    with pytest.raises(InputError, match="unknown modality 'smell'"):
        validate(CARD, splits(), source="there").has("smell")


@pytest.mark.parametrize("column", ["id", "label", "audio_length", "vision_length", "audio"])
def test_missing_column_is_refused(column):
    data = splits()
    del data["valid"][column]
    refused(data, "split valid", f"column {column}", "missing column")


@pytest.mark.parametrize("column", ["raw_text", "text_bert", "text", "label_t"])
@pytest.mark.parametrize("split", SIZES)
def test_column_absent_in_one_split_is_refused(split, column):
    data = splits()
    del data[split][column]
    lacking = "train" if split == "train" else split
    refused(data, f"split {lacking}", f"column {column}", "missing column")


def test_modality_absent_in_one_split_is_refused():
    data = splits()
    del data["test"]["audio"], data["test"]["audio_length"]
    refused(data, "split test", "column audio", "missing column", "train has it")


def test_no_modality_is_refused():
    gone = dict.fromkeys(
        ("raw_text", "text_bert", "text", "audio", "audio_length", "vision", "vision_length"),
    )
    refused(splits(**gone), "no modality", "raw_text, text_bert, text, audio, vision")


def test_unknown_column_is_refused_with_the_likely_name():
    data = splits()
    data["train"]["audio_lengths"] = data["train"]["audio_length"]
    refused(data, "split train", "column audio_lengths", "unknown column", "did you mean audio_length?")


def test_missing_and_unknown_splits_are_refused():
    data = splits()
    refused({"train": data["train"], "valid": data["valid"]}, "split test is missing")
    refused({**data, "dev": data["valid"]}, "unknown split 'dev'")


def test_empty_split_is_refused():
    data = splits()
    data["valid"] = {name: array[:0] for name, array in data["valid"].items()}
    refused(data, "split valid", "no rows")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3.01, -3.5])
@pytest.mark.parametrize("column", ["label", "label_t", "label_a", "label_v"])
def test_label_that_is_no_number_in_range_is_refused(column, value):
    data = with_change("valid", column, 1, value)
    refused(data, "split valid", f"column {column}", "row 1", "'valid1'", f"{value:g}", "[-3, 3]")


def test_label_at_the_end_of_a_range_that_float32_cannot_hold_passes():
    card = replace(CARD, label_range=(-0.1, 0.1))  # float32(0.1) > 0.1
    n = SIZES["train"]
    ends = {"label": np.full(n, 0.1, np.float32)}
    data = {name: columns(name, **{key: value[: SIZES[name]] for key, value in ends.items()}) for name in SIZES}
    assert float(validate(card, data, source="there").train.label[0]) > 0.1


@pytest.mark.parametrize(("value", "found"), [(0, "0"), (8, "8"), (-1, "-1")])
def test_length_outside_the_array_is_refused(value, found):
    data = with_change("test", "audio_length", 2, value)
    refused(data, "split test", "column audio_length", "row 2", "'test2'", f": {found};", "1 to 7")


def test_duplicate_id_is_refused():
    data = with_change("train", "id", 4, "train1")
    refused(data, "split train", "column id", "row 4", "row 1", "'train1'")


def test_id_in_two_splits_is_refused():
    data = with_change("test", "id", 3, "valid2")
    refused(data, "split test", "row 3", "split valid has in row 2", "'valid2'")


def test_empty_id_is_refused():
    refused(with_change("train", "id", 2, ""), "column id", "row 2", "empty id")


@pytest.mark.parametrize(
    ("column", "value", "found", "expected"),
    [
        ("label", np.zeros((6, 1)), "shape [6, 1]", "float32 [N]"),
        ("label", np.array(["0"] * 6), "type <U1", "float32 [N]"),
        ("label", np.ones(6, bool), "type bool", "float32 [N]"),
        ("label", np.zeros(6, complex), "type complex128", "float32 [N]"),
        ("label", np.array([0.5, None, 0, 0, 0, 0]), "row 1: NoneType", "float32 [N]"),
        ("label", [0.5, "0.5", 0, 0, 0, 0], "row 1: str", "float32 [N]"),
        ("label", {0: 0.5}, "dict", "float32 [N]"),
        ("label", np.zeros(5), "5 rows", "6"),
        ("id", np.arange(6), "row 0: int 0", "text"),
        ("raw_text", np.array(["a", "b", float("nan"), "d", "e", "f"], dtype=object), "row 2: float nan", "text"),
        ("raw_text", ["a", "b", "c", float("nan"), "e", "f"], "row 3: float nan", "text"),
        ("raw_text", [["a", "b"], ["c"], [], [], [], []], "row 0: list", "text"),
        (
            "raw_text",
            ["a", "b", "c", "d", "e", "caf\u00e9".encode("latin1")],
            "row 5: bytes that are not UTF-8",
            "text",
        ),
        ("raw_text", np.array(["half \ud800"] * 6), "surrogate", "Unicode"),
        ("audio", np.zeros((6, 2)), "shape [6, 2]", "float32 [N, A, Da]"),
        ("audio", np.zeros((6, 7, 0)), "shape [6, 7, 0]", "no size zero"),
        ("audio", [[[1.0]], [[1.0], [2.0]]], "row 1: shape [2, 1] where row 0 has [1, 1]", "float32 [N, A, Da]"),
        ("audio_length", np.full(6, 7.0), "type float64", "int32 [N]"),
        ("audio_length", np.full(6, 2**40), "beyond 32 bits", "int32 [N]"),
        ("text_bert", np.zeros((6, 2, 5), int), "shape [6, 2, 5]", "int32 [N, 3, T]"),
        ("text_bert", np.zeros((6, 3, 5)), "type float64", "int32 [N, 3, T]"),
        ("text", np.zeros((6, 4, 4)), "4 steps", "5, as many as text_bert has"),
    ],
)
def test_wrong_shape_or_type_is_refused(column, value, found, expected):
    data = splits()
    data["train"][column] = value
    refused(data, "split train", f"column {column}", found, expected)


@pytest.mark.parametrize(
    ("part", "values", "found"),
    [
        (0, [-1, 7, 102, 0, 0], "negative token id"),
        (1, [1, 2, 1, 0, 0], "neither 0 nor 1"),
        (1, [0, 0, 0, 0, 0], "does not begin with 1"),
        (1, [0, 0, 1, 1, 1], "does not begin with 1"),
        (1, [1, 0, 1, 0, 0], "a token behind padding"),
        (2, [0, -1, 0, 0, 0], "negative token type"),
    ],
)
def test_wrong_text_bert_is_refused(part, values, found):
    data = splits()
    data["valid"]["text_bert"][2, part] = values
    refused(data, "split valid", "column text_bert", "row 2", "'valid2'", found)


@pytest.mark.parametrize("column", ["text", "audio", "vision"])
def test_feature_size_that_differs_between_splits_is_refused(column):
    data = splits()
    data["test"][column] = np.zeros((*data["test"][column].shape[:2], 9), np.float32)
    refused(data, "split test", f"column {column}", "feature size 9", "the size in train")


@pytest.mark.parametrize("column", ["text", "audio", "vision"])
def test_non_finite_features_become_zero_in_a_copy_and_are_counted(column):
    data = splits()
    given = data["train"][column]
    given[1, 0, 0], given[2, 1, 1], given[3, 0, 0] = np.nan, np.inf, -np.inf
    data["test"][column] = data["test"][column].astype(np.float64)
    data["test"][column][0, 0, 0] = 1e300  # beyond float32
    before = given.copy()
    with pytest.warns(DataWarning, match=rf"column {column}: 4 NaN or infinite .* \(3 in train, 1 in test\)") as caught:
        dataset = validate(CARD, data, source="there")
    assert len(caught) == 1
    np.testing.assert_array_equal(given, before)
    np.testing.assert_array_equal(getattr(dataset.train, column), np.where(np.isfinite(before), before, 0))
    assert getattr(dataset.test, column)[0, 0, 0] == 0


def test_finite_features_are_not_copied_and_do_not_warn():
    data = splits()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = validate(CARD, data, source="there")
    assert np.shares_memory(dataset.train.audio, data["train"]["audio"])


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4", np.int8, np.uint16])
def test_numbers_are_cast_to_float32(dtype):
    data = splits(label=None)
    for name in SIZES:
        data[name]["label"] = np.arange(SIZES[name]).clip(0, 3).astype(dtype)
        data[name]["audio"] = np.ones((SIZES[name], 7, 2), dtype)
    dataset = validate(CARD, data, source="there")
    assert dataset.train.label.dtype == dataset.train.audio.dtype == np.dtype("float32")
    np.testing.assert_array_equal(dataset.train.label, [0, 1, 2, 3, 3, 3])


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, ">i8"])
def test_integers_are_cast_to_int32(dtype):
    data = {name: columns(name, audio_length=np.full(n, 7, dtype)) for name, n in SIZES.items()}
    length = validate(CARD, data, source="there").train.audio_length
    assert length.dtype == np.dtype("int32")
    assert length.tolist() == [7] * 6


def test_sequences_are_padded_with_zeros_to_the_longest_split():
    data = splits()
    data["valid"]["audio"] = np.ones((3, 11, 2), np.float32)
    data["valid"]["text_bert"] = np.ones((3, 3, 9), np.int32)
    data["valid"]["text"] = np.ones((3, 9, 4), np.float32)
    dataset = validate(CARD, data, source="there")
    for split in dataset.splits().values():
        assert split.audio.shape[1:] == (11, 2)
        assert split.text_bert.shape[1:] == (3, 9)
        assert split.text.shape[1:] == (9, 4)
        assert split.vision.shape[1:] == (8, 3)
    np.testing.assert_array_equal(dataset.train.audio[:, :7], data["train"]["audio"])
    assert not dataset.train.audio[:, 7:].any()
    assert not dataset.train.text_bert[:, :, 5:].any()


def test_text_has_the_narrowest_type_so_that_equal_text_is_equal():
    wide, narrow = splits(), splits()
    wide["train"]["raw_text"] = wide["train"]["raw_text"].astype("<U500")
    prints = [validate(CARD, data, source="there").fingerprint() for data in (wide, narrow)]
    assert prints[0] == prints[1]


def test_fingerprint_tells_values_types_and_shapes_apart():
    dataset = validate(CARD, splits(), source="there")
    prints = dataset.fingerprint()
    assert len(prints) == 3 * 12
    label = dataset.train.label
    assert prints["train/label"] == hashlib.sha256(b"<f4 [6] " + label.tobytes()).hexdigest()
    changed = replace(dataset, train=replace(dataset.train, label=label[::-1])).fingerprint()
    assert {name for name in prints if prints[name] != changed[name]} == {"train/label"}
    reshaped = replace(dataset, train=replace(dataset.train, label=label.reshape(2, 3))).fingerprint()
    assert reshaped["train/label"] != prints["train/label"]


def test_take_keeps_the_order_asked_for():
    train = validate(CARD, splits(), source="there").train
    taken = train.take(np.array([4, 0]))
    assert taken.id.tolist() == ["train4", "train0"]
    assert len(taken) == 2
    np.testing.assert_array_equal(taken.audio, train.audio[[4, 0]])
    assert train.take(slice(0, 1)).id.tolist() == ["train0"]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"metrics": "accuracy"}, "metrics of the card is 'accuracy', expected one of mosi, mosei, sims"),
        ({"metrics": None}, "metrics of the card is None"),
        ({"label_range": [3, -3]}, "label_range of the card is [3, -3]"),
        ({"label_range": [1, 1]}, "label_range of the card is [1, 1]"),
        ({"label_range": [0, float("nan")]}, "label_range of the card is [0, nan]"),
        ({"label_range": [0, float("inf")]}, "label_range"),
        ({"label_range": [1, 2, 3]}, "label_range"),
        (
            {"metrics": "sims"},
            "metrics sims are for labels on both sides of 0, in [-1, 1], and labels here are in [-3, 3]",
        ),
        ({"metrics": "mosei", "label_range": [1, 3]}, "and labels here are in [1, 3]; choose metrics regression"),
        ({"label_range": [-4, 4]}, "metrics mosi are for labels on both sides of 0, in [-3, 3]"),
        ({"label_range": "wide"}, "label_range of the card is 'wide'"),
        ({"label_range": ["a", "b"]}, "label_range"),
        ({"label_range": [False, True]}, "label_range"),
        ({"name": ""}, "name of the card is empty"),
        ({"name": 5}, "name of the card is 5, expected text"),
        ({"language": None}, "language of the card is None"),
        ({"language": "cn"}, "language of the card is 'cn', expected a code of a language: zh"),
        ({"modalities": ["text"]}, "modalities"),
        ({"modalities": {"smell": "strong"}}, "modalities"),
    ],
)
def test_wrong_card_is_refused(change, found):
    entries = {"name": "small", "metrics": "mosi", "label_range": [-3, 3]} | change
    with pytest.raises(InputError) as raised:
        parse_card(entries, source="card.json")
    assert str(raised.value).startswith("card.json: ")
    assert found in str(raised.value)


@pytest.mark.parametrize("missing", ["name", "metrics", "label_range"])
def test_card_without_a_needed_entry_is_refused(missing):
    entries = {"name": "small", "metrics": "mosi", "label_range": [-3, 3]}
    del entries[missing]
    with pytest.raises(InputError, match=f"{missing} is missing"):
        parse_card(entries, source="card.json")


def test_card_built_in_python_is_checked_too():
    refused(splits(), "metrics of the card", card=replace(CARD, metrics="bleu"))


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"raw_text": ["a", float("nan")]}, "row 1: float nan; expected text"),
        ({"raw_text": [["a", "word"], ["b"]]}, "row 0: list; expected text, its words joined"),
        ({"raw_text": np.array(["a", 3], object)}, "row 1: int 3; expected text"),
        ({"raw_text": ["a"], "id": [None]}, "column id, row 0: NoneType; expected text"),
    ],
)
def test_texts_of_a_split_are_looked_at_before_numpy_makes_text_of_them(given, found):
    with pytest.raises(InputError, match=found):
        Split(**given)


@pytest.mark.parametrize("ends", [(0, 1e39), (-float("inf"), 1), (0, float("nan")), (1, 1)])
def test_label_range_that_no_label_can_have_is_refused(ends):
    with pytest.raises(InputError, match="label_range of the card is"):
        validate(replace(CARD, label_range=ends), splits(), source="there")
