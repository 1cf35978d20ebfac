"""Preprocessing: fitted on train, applied to every split, kept with the experiment."""

import json
from dataclasses import replace

import numpy as np
import pytest

from msa_jax.data import preprocess
from msa_jax.data.preprocess import Preprocessor, text_lengths
from msa_jax.data.schema import Dataset
from msa_jax.data.tokenize import build_tokenizer
from msa_jax.errors import InputError
from tests.tiny import tiny_dataset


def fit(dataset: Dataset, text_column: str | None, **changes) -> Preprocessor:
    tokenizer = build_tokenizer(list(dataset.train.raw_text)) if text_column == "raw_text" else None
    options = {"vocab_size": 40, "max_tokens": 12, "standardise": False, "clip": 5.0, **changes}
    return Preprocessor.fit(dataset, tokenizer=tokenizer, text_column=text_column, **options)


# -- sequences --------------------------------------------------------------------------------------------------------


def valid_frames(split, name: str) -> np.ndarray:
    sequence, length = getattr(split, name), getattr(split, f"{name}_length")
    return np.concatenate([sequence[row, : length[row]] for row in range(len(length))]).astype(np.float64)


@pytest.mark.parametrize("name", ["audio", "vision"])
def test_standardised_frames_of_train_have_mean_0_and_deviation_1_and_padding_stays_0(name):
    dataset = tiny_dataset()
    columns = fit(dataset, None, standardise=True, clip=100.0).apply(dataset.train)
    features, length = columns[name]["features"], columns[name]["length"]
    valid = np.arange(features.shape[1]) < length[:, None]
    np.testing.assert_allclose(features[valid].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(features[valid].std(0), 1, atol=1e-5)
    assert (features[~valid] == 0).all()


def test_other_splits_are_standardised_by_the_statistics_of_train(monkeypatch):
    monkeypatch.setattr(preprocess, "ROWS", 5)  # blocks, and the last one is smaller
    dataset = tiny_dataset()
    preprocessor = fit(dataset, None, standardise=True, clip=100.0)
    frames = valid_frames(dataset.train, "audio")
    row = dataset.test.audio[0, : dataset.test.audio_length[0]]
    want = (row - frames.mean(0)) / frames.std(0)
    np.testing.assert_allclose(preprocessor.apply(dataset.test)["audio"]["features"][0, : len(row)], want, rtol=1e-4)


def test_frames_of_a_sample_without_the_modality_stay_zeros_and_move_no_statistics():
    dataset = tiny_dataset(modalities=("audio",))
    audio = dataset.train.audio + 5.0
    audio[0] = 0
    given = replace(dataset, train=replace(dataset.train, audio=audio))
    preprocessor = fit(given, None, standardise=True, clip=100.0)
    assert not preprocessor.apply(given.train)["audio"]["features"][0].any()
    rest = replace(dataset, train=replace(dataset.train, audio=audio).take(slice(1, None)))
    np.testing.assert_allclose(preprocessor.statistics["audio"], fit(rest, None, standardise=True).statistics["audio"])


def test_standardised_values_are_clipped():
    dataset = tiny_dataset()
    features = fit(dataset, None, standardise=True, clip=0.5).apply(dataset.train)["audio"]["features"]
    assert np.abs(features).max() == 0.5


def test_a_constant_feature_is_centred_and_not_blown_up():
    dataset = tiny_dataset()
    audio = dataset.train.audio.copy()
    audio[:, :, 1] = 7.0 * (np.arange(audio.shape[1]) < dataset.train.audio_length[:, None])
    dataset = replace(dataset, train=replace(dataset.train, audio=audio))
    features = fit(dataset, None, standardise=True).apply(dataset.train)["audio"]["features"]
    assert (features[:, :, 1] == 0).all()


def test_sequences_are_taken_as_they_are_by_default():
    dataset = tiny_dataset()
    columns = fit(dataset, None).apply(dataset.train)
    np.testing.assert_array_equal(columns["vision"]["features"], dataset.train.vision)
    np.testing.assert_array_equal(columns["vision"]["length"], dataset.train.vision_length)


def test_steps_that_no_row_has_are_cut_away():
    dataset = tiny_dataset()
    split = replace(dataset.test, audio_length=np.minimum(dataset.test.audio_length, 2))
    assert fit(dataset, None).apply(split)["audio"]["features"].shape[1] == 2


# -- text -------------------------------------------------------------------------------------------------------------


def test_token_ids_are_cut_to_max_tokens_and_keep_their_last_token():
    dataset = tiny_dataset(text="text_bert")
    columns = fit(dataset, "text_bert", max_tokens=5).apply(dataset.train)["text"]
    ids, mask = dataset.train.text_bert[:, 0], dataset.train.text_bert[:, 1]
    assert columns["ids"].shape == columns["mask"].shape == (24, 5)
    assert (mask.sum(1) > 5).any()
    assert (mask.sum(1) <= 5).any()
    for row, length in enumerate(mask.sum(1)):
        want = ids[row, :length] if length <= 5 else [*ids[row, :4], 3]  # 3 is [SEP]
        assert columns["ids"][row, columns["mask"][row] > 0].tolist() == list(want)
        assert (columns["ids"][row, columns["mask"][row] == 0] == 0).all()


def test_token_ids_beyond_the_vocabulary_are_refused():
    dataset = tiny_dataset(text="text_bert")
    row = int(np.argmax((dataset.train.text_bert[:, 0] >= 19).any(1)))
    with pytest.raises(InputError, match=rf"somewhere: column text_bert, row {row}: token id \d+; .* has 19"):
        fit(dataset, "text_bert", vocab_size=19).apply(dataset.train, source="somewhere")


def test_raw_text_begins_and_ends_with_the_special_tokens():
    dataset = tiny_dataset()
    preprocessor = fit(dataset, "raw_text")
    columns = preprocessor.apply(dataset.train)["text"]
    lengths = text_lengths({"text": columns})
    words = np.array([len(text.split()) for text in dataset.train.raw_text])
    assert (lengths >= words + 2).all()
    last = np.take_along_axis(columns["ids"], lengths[:, None] - 1, axis=1)
    assert len(np.unique(columns["ids"][:, 0])) == len(np.unique(last)) == 1


def test_features_without_a_mask_count_up_to_their_last_step_that_is_not_zero():
    dataset = tiny_dataset(text="text")
    text = np.zeros_like(dataset.train.text)
    text[0, :3] = 1
    text[1, 4, 2] = -1  # zeros before it count
    split = replace(dataset.train, text=text)  # every other row is all zero
    mask = fit(dataset, "text").apply(split)["text"]["mask"]
    assert mask.sum(1)[:3].tolist() == [3, 5, 1]
    assert mask[1].tolist() == [1, 1, 1, 1, 1, 0, 0]


def test_features_take_the_mask_of_text_bert_of_the_same_length():
    dataset = tiny_dataset(text="text_bert")
    features = np.ones((24, 8, 4), np.float32)
    split = replace(dataset.train, text=features)
    preprocessor = fit(replace(dataset, train=split), "text")
    np.testing.assert_array_equal(preprocessor.apply(split)["text"]["mask"], split.text_bert[:, 1])


def test_where_a_mask_told_the_end_of_texts_in_training_new_data_need_one():
    dataset = tiny_dataset(text="text_bert")
    features = {name: np.ones((len(split), 8, 4), np.float32) for name, split in dataset.splits().items()}
    splits = {name: replace(split, text=features[name]) for name, split in dataset.splits().items()}
    preprocessor = fit(replace(dataset, **splits), "text")
    with pytest.raises(
        InputError, match=r"somewhere: column text_bert is missing; in training its mask said where each"
    ):
        preprocessor.apply(replace(splits["test"], text_bert=None), source="somewhere")


def test_zeros_tell_the_end_of_new_texts_where_they_agree_with_the_mask_of_training():
    dataset = tiny_dataset(text="text_bert")
    splits = {
        name: replace(split, text=np.repeat(split.text_bert[:, 1, :, None], 4, axis=2).astype(np.float32))
        for name, split in dataset.splits().items()
    }
    preprocessor = fit(replace(dataset, **splits), "text")
    mask = preprocessor.apply(replace(splits["test"], text_bert=None))["text"]["mask"]
    np.testing.assert_array_equal(mask, splits["test"].text_bert[:, 1])


def test_frames_of_their_own_number_do_not_tell_the_end_of_texts():
    dataset = tiny_dataset(text="text")
    audio = np.ones((24, 7, 3), np.float32)  # as many steps as the text has, but not one for each word
    train = replace(dataset.train, audio=audio, audio_length=np.full(24, 7, np.int32), vision=None, vision_length=None)
    mask = fit(replace(dataset, train=train), "text").apply(train)["text"]["mask"]
    np.testing.assert_array_equal(mask, (train.text != 0).any(-1))


def test_lengths_are_known_of_token_ids_only():
    dataset = tiny_dataset(text="text")
    assert text_lengths(fit(dataset, "text").apply(dataset.train)) is None
    assert text_lengths({"label": dataset.train.label}) is None


# -- what does not fit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missing", "message"),
    [("audio", "audio is missing"), ("vision", "vision is missing"), ("raw_text", "raw_text is missing")],
)
def test_a_modality_that_train_had_must_be_there(missing, message):
    dataset = tiny_dataset()
    split = replace(dataset.test, **{missing: None})
    with pytest.raises(InputError, match=f"the data: .*{message}"):
        fit(dataset, "raw_text").apply(split)


def test_a_modality_that_train_did_not_have_is_left_aside():
    preprocessor = fit(tiny_dataset(modalities=("audio",)), None)
    assert set(preprocessor.apply(tiny_dataset().test)) == {"audio", "label"}


@pytest.mark.parametrize("name", ["audio", "text"])
def test_another_feature_size_is_refused(name):
    dataset = tiny_dataset(text="text")
    split = replace(dataset.test, **{name: getattr(dataset.test, name)[..., :2]})
    with pytest.raises(InputError, match=rf"{name} has 2 features; expected \d"):
        fit(dataset, "text").apply(split)


def test_unimodal_labels_come_along_where_there_are_any():
    columns = fit(tiny_dataset(), None).apply(tiny_dataset(human_labels=True).train)
    assert {"label", "label_t", "label_a", "label_v"} <= set(columns)


# -- kept -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["raw_text", "text_bert", "text"])
def test_what_was_saved_does_the_same(tmp_path, column):
    dataset = tiny_dataset(text=column)
    preprocessor = fit(dataset, column, standardise=True)
    preprocessor.save(tmp_path / "kept")
    loaded = Preprocessor.load(tmp_path / "kept")
    before, after = preprocessor.apply(dataset.test), loaded.apply(dataset.test)
    assert before.keys() == after.keys()
    for name, value in before.items():
        if isinstance(value, dict):
            for part, array in value.items():
                np.testing.assert_array_equal(after[name][part], array)
        else:
            np.testing.assert_array_equal(after[name], value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("statistics.npz", b""),
        ("statistics.npz", b"PK\x03\x04 half an archive"),
        ("preprocessing.json", b"{"),
        ("preprocessing.json", b"7"),
        ("preprocessing.json", json.dumps({"tokenizer": False}).encode()),
        ("preprocessing.json", json.dumps({"tokenizer": False, "modalities": [], "text_end": "guess"}).encode()),
    ],
)
def test_damaged_preprocessing_is_an_input_error(tmp_path, name, content):
    fit(tiny_dataset(), None).save(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="the preprocessing of this experiment cannot be read"):
        Preprocessor.load(tmp_path)


def test_statistics_that_are_compressed_are_not_read(tmp_path):
    preprocessor = fit(tiny_dataset(), None, standardise=True)
    preprocessor.save(tmp_path)
    np.savez_compressed(tmp_path / "statistics.npz", **preprocessor.statistics)
    with pytest.raises(InputError, match=r"statistics.npz is compressed; expected arrays as they are"):
        Preprocessor.load(tmp_path)


def test_missing_preprocessing_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        Preprocessor.load(tmp_path / "nowhere")
