"""MulT's feature files: padding in front, labels [N, 1, 1], ids of bytes, and what else may be in them."""

import json
import os
import pickle

import numpy as np
import pytest

from msa_jax.cli import main
from msa_jax.data import load_dataset, read_cmu, read_native
from msa_jax.data.aligned import is_aligned
from msa_jax.data.preprocess import Preprocessor
from msa_jax.data.samples import load_split
from msa_jax.data.videos import videos_of
from msa_jax.errors import DataWarning, InputError
from tests.cmu_writer import cmu_content, write_cmu

pytestmark = pytest.mark.filterwarnings("ignore::msa_jax.errors.DataWarning")


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("kind", ["mosi", "mosei"])
def test_every_step_is_in_front_of_the_padding(kind, aligned, tmp_path):
    truth = write_cmu(tmp_path / "data.pkl", kind=kind, aligned=aligned)
    dataset = load_dataset(tmp_path / "data.pkl", name=kind)
    assert {name: len(split) for name, split in dataset.splits().items()} == {"train": 12, "valid": 4, "test": 6}
    for name, split in dataset.splits().items():
        np.testing.assert_array_equal(split.label, truth[name]["label"])
        for modality in ("text", "audio", "vision"):
            array = getattr(split, modality)
            for row, frames in enumerate(truth[name][modality]):
                expected = np.where(np.isfinite(frames), frames, 0)
                np.testing.assert_array_equal(array[row, : len(frames)], expected)
                assert not array[row, len(frames) :].any()
                if modality != "text":
                    assert getattr(split, f"{modality}_length")[row] == len(frames)
    card = dataset.card
    assert (card.name, card.metrics, card.label_range, card.language) == (kind, kind, (-3, 3), "en")
    assert card.modalities["text"] == "GloVe word vectors, 300-d, up to 9 steps"
    assert ("word i" in card.caveats) == aligned


def test_the_words_of_a_text_are_those_that_its_mask_admits(tmp_path):
    truth = write_cmu(tmp_path / "data.pkl")
    dataset = read_cmu(tmp_path / "data.pkl")
    fitted = Preprocessor.fit(
        dataset, tokenizer=None, text_column="text", vocab_size=0, max_tokens=50, standardise=True, clip=5.0
    )
    mask = fitted.apply(dataset.train)["text"]["mask"]
    assert mask.sum(axis=1).tolist() == [len(words) for words in truth["train"]["text"]]


def test_a_last_word_without_a_vector_leaves_an_aligned_file_aligned(tmp_path):
    content, truth = cmu_content()
    for split in content.values():
        split["text"][3, -1] = 0  # GloVe does not know it
    (tmp_path / "data.pkl").write_bytes(pickle.dumps(content))
    dataset = read_cmu(tmp_path / "data.pkl")
    fitted = Preprocessor.fit(
        dataset, tokenizer=None, text_column="text", vocab_size=0, max_tokens=50, standardise=False, clip=5.0
    )
    for name, split in dataset.splits().items():
        columns = fitted.apply(split)
        assert is_aligned(columns)
        assert columns["text"]["mask"].sum(axis=1).tolist() == [len(words) for words in truth[name]["text"]]
    fitted.save(tmp_path / "kept")
    alone = Preprocessor.load(tmp_path / "kept").apply(dataset.test.take([3]))
    assert is_aligned(alone)
    assert alone["text"]["mask"].sum() == len(truth["test"]["text"][3])


def test_what_was_changed_is_said(tmp_path):
    write_cmu(tmp_path / "data.pkl", aligned=False)
    with pytest.warns(DataWarning) as caught:
        load_dataset(tmp_path / "data.pkl", name="mosi")
    said = [str(warning.message).removeprefix(f"{tmp_path / 'data.pkl'}: ") for warning in caught]
    content, _ = cmu_content(aligned=False)
    counts = {
        name: sum(int((~split[name].any(axis=2)[:, 0]).sum()) for split in content.values())
        for name in ("text", "audio", "vision")
    }
    each = ", ".join(f"{name} {count}" for name, count in counts.items())
    assert said == [
        f"the padding was in front and was moved behind the steps ({each} of 22 samples)",
        "column audio: 6 NaN or infinite values replaced by 0 (2 in train, 2 in valid, 2 in test)",
    ]


def test_padding_behind_stays(tmp_path):
    content, truth = cmu_content(aligned=False)
    for name, split in content.items():
        split["vision"] = np.zeros_like(split["vision"])
        for row, frames in enumerate(truth[name]["vision"]):
            split["vision"][row, : len(frames)] = frames
    (tmp_path / "data.pkl").write_bytes(pickle.dumps(content))
    dataset = read_cmu(tmp_path / "data.pkl")
    np.testing.assert_array_equal(dataset.test.vision, content["test"]["vision"])
    assert dataset.test.vision_length.tolist() == [len(frames) for frames in truth["test"]["vision"]]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [("clip", "test-v1_0"), ("video", "test-v1$_$3.5_5.25"), ("one", "test-v1_0"), ("none", "test_3")],
)
def test_ids_name_clips(ids, expected, tmp_path):
    write_cmu(tmp_path / "data.pkl", ids=ids)
    test = read_cmu(tmp_path / "data.pkl").test
    assert test.id[3] == expected
    if ids != "none":
        assert sorted(set(videos_of(test.id))) == ["test-v0", "test-v1"]


def test_one_split_is_enough_to_predict(tmp_path):
    content, truth = cmu_content()
    (tmp_path / "test.pkl").write_bytes(pickle.dumps({"test": content["test"]}))
    split = load_split(tmp_path / "test.pkl")
    assert split.audio_length.tolist() == [len(frames) for frames in truth["test"]["audio"]]
    np.testing.assert_array_equal(split.text[1, :2], truth["test"]["text"][1][:2])


def test_the_command_writes_a_native_folder(tmp_path, capsys):
    write_cmu(tmp_path / "data.pkl")
    out = tmp_path / "out"
    line = [
        "data",
        "import",
        str(tmp_path / "data.pkl"),
        "--out",
        str(out),
        "--name",
        "mine",
        "--label-range",
        "-4",
        "4",
    ]
    assert main(line) == 0
    assert json.loads((out / "card.json").read_text())["label_range"] == [-4, 4]
    assert read_native(out).fingerprint() == read_cmu(tmp_path / "data.pkl").fingerprint()


class _Runs:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def _changed(split, key, value):
    def change(content):
        if value is None:
            del content[split][key]
        else:
            content[split][key] = value(content[split].get(key))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("valid"), "split valid is missing; found 'train', 'test'"),
        (_changed("test", "labels", None), r"split test, column labels: missing column \(there are text, audio"),
        (
            _changed("train", "labels", lambda y: np.zeros((len(y), 4, 2))),
            r"split train, column labels: shape \[12, 4, 2\]; expected one score for each sample, labels \[N, 1, 1\]",
        ),
        (_changed("train", "labels", lambda y: y * np.nan), "split train, column label, row 0 .*: nan; expected"),
        (
            _changed("test", "labels", lambda y: y[:3]),
            "split test, column label: 3 rows; expected 6, as many as column id has",
        ),
        (_changed("valid", "audio", lambda x: x[:, :, :3]), "split valid, column audio: feature size 3; expected 5"),
        (_changed("valid", "audio", lambda x: x[0]), r"split valid, column audio: shape \[9, 5\]"),
        (_changed("valid", "audio", lambda x: x[:, :0]), r"split valid, column audio: shape \[4, 0, 5\]"),
        (_changed("train", "text", lambda x: x.astype("S4")), "split train, column text: type"),
        (
            _changed("train", "vision", None),
            "split train, column vision: missing column; expected it, because valid has it",
        ),
        (_changed("train", "id", lambda x: x[[0] * 12]), "column id, row 1 .*: the id of row 0 again"),
        (_changed("train", "id", lambda x: np.array([[b"\xff", b"1", b"2"]] * 12)), "bytes that are not UTF-8"),
        (_changed("train", "id", lambda x: 5), "split train, column id: int; expected text"),
    ],
)
def test_a_wrong_file_is_one_sentence(change, message, tmp_path):
    content, _ = cmu_content()
    change(content)
    (tmp_path / "data.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=message):
        load_dataset(tmp_path / "data.pkl")


def test_a_file_that_would_run_code_or_is_cut_off_is_refused(tmp_path):
    content, _ = cmu_content()
    whole = pickle.dumps(content)
    path = tmp_path / "data.pkl"
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError):
            load_dataset(path)
    content["train"]["audio"] = _Runs(tmp_path / "ran")
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match="refused, nothing in it was run"):
        load_dataset(path)
    assert not (tmp_path / "ran").exists()
