"""MMSA's feature files, with the quirks they have."""

import hashlib
import os
import pickle
import warnings

import numpy as np
import pytest

from msa_jax.data import mmsa
from msa_jax.data.mmsa import read_mmsa
from msa_jax.errors import DataWarning, InputError
from tests.mmsa_writer import SHAPES, mmsa_content, write_mmsa

NAMES = {
    "id": "id",
    "raw_text": "raw_text",
    "text_bert": "text_bert",
    "text": "text",
    "audio": "audio",
    "audio_lengths": "audio_length",
    "vision": "vision",
    "vision_lengths": "vision_length",
    "regression_labels": "label",
    "regression_labels_T": "label_t",
    "regression_labels_A": "label_a",
    "regression_labels_V": "label_v",
}
QUIET = {"minus_inf": False, "sizes": (8, 4, 5)}


def dump(path, content):
    path.write_bytes(pickle.dumps(content, protocol=4))
    return path


def read_quietly(path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_mmsa(path, **options)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("kind", SHAPES)
def test_every_column_is_read_exactly(kind, aligned, tmp_path):
    options = {"kind": kind, "aligned": aligned, **QUIET}
    dataset = read_quietly(write_mmsa(tmp_path / "features.pkl", **options))
    content = mmsa_content(**options)
    for split, rows in dataset.splits().items():
        for key, column in NAMES.items():
            if key in content[split]:
                given = np.asarray(content[split][key])
                expected = given.astype({"f": np.float32, "i": np.int32, "U": given.dtype}[given.dtype.kind])
                np.testing.assert_array_equal(getattr(rows, column), expected, strict=True)
        assert (rows.label_t is not None) == (kind == "sims")
    assert dataset.card.name == dataset.card.metrics == kind
    assert dataset.card.label_range == ((-1, 1) if kind == "sims" else (-3, 3))
    assert dataset.card.language == ("zh" if kind == "sims" else "en")
    assert "unverified" in dataset.card.provenance


def test_recorded_lengths_win_over_frames_of_zeros(tmp_path):
    options = {"kind": "mosi", **QUIET}
    dataset = read_quietly(write_mmsa(tmp_path / "features.pkl", **options))
    recorded = mmsa_content(**options)["train"]["audio_lengths"]
    assert not dataset.train.audio[2, 1].any()  # a gap
    assert recorded[2] > 2
    np.testing.assert_array_equal(dataset.train.audio_length, recorded)


@pytest.mark.parametrize("kind", ["mosi", "sims"])
def test_recorded_length_zero_becomes_one(kind, tmp_path):
    options = {"kind": kind, "zero_lengths": True, **QUIET}
    dataset = read_quietly(write_mmsa(tmp_path / "features.pkl", **options))
    for split, content in mmsa_content(**options).items():
        recorded = list(content["vision_lengths"])
        assert recorded[-1] == 0
        assert dataset.splits()[split].vision_length.tolist() == [*recorded[:-1], 1]


def test_aligned_lengths_are_those_of_the_text(tmp_path):
    options = {"kind": "mosi", "aligned": True, **QUIET}
    dataset = read_quietly(write_mmsa(tmp_path / "features.pkl", **options))
    tokens = mmsa_content(**options)["valid"]["text_bert"][:, 1].sum(axis=1)
    assert not dataset.valid.audio[0, 0].any()  # [CLS] has no sound
    for length in (dataset.valid.audio_length, dataset.valid.vision_length):
        np.testing.assert_array_equal(length, tokens)


def test_without_lengths_and_tokens_sequences_end_at_the_last_frame_that_is_not_zero(tmp_path):
    content = mmsa_content(kind="mosi", aligned=True, text_bert=False, **QUIET)
    content["test"]["audio"][3] = 0.0  # silence
    dataset = read_quietly(dump(tmp_path / "features.pkl", content))
    for row, frames in enumerate(content["test"]["audio"]):
        ends = [step + 1 for step, frame in enumerate(frames) if any(value != 0 for value in frame)]
        assert dataset.test.audio_length[row] == (ends[-1] if ends else 1)
    assert dataset.test.text_bert is None


def test_minus_infinity_in_audio_is_replaced_and_counted(tmp_path):
    path = write_mmsa(tmp_path / "features.pkl", kind="mosei")
    with pytest.warns(
        DataWarning, match=r"column audio: 6 NaN or infinite values replaced by 0 \(2 in train"
    ) as caught:
        dataset = read_mmsa(path)
    assert len(caught) == 1
    assert dataset.train.audio[0, 1, :2].tolist() == [0, 0]
    content = mmsa_content(kind="mosei")["train"]["audio"]
    assert np.isneginf(content).sum() == 2
    np.testing.assert_array_equal(dataset.train.audio[1:], content[1:].astype(np.float32))


def test_object_strings_and_float_tokens_are_read_like_plain_ones(tmp_path):
    plain = read_quietly(write_mmsa(tmp_path / "a.pkl", kind="sims", **QUIET))
    odd = read_quietly(write_mmsa(tmp_path / "b.pkl", kind="sims", object_strings=True, float_text_bert=True, **QUIET))
    assert odd.fingerprint() == plain.fingerprint()
    assert odd.train.text_bert.dtype == np.dtype("int32")


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_every_pickle_protocol_is_read(protocol, tmp_path):
    datasets = [
        read_quietly(write_mmsa(tmp_path / f"{number}.pkl", kind="mosi", protocol=number, **QUIET))
        for number in (4, protocol)
    ]
    assert datasets[0].fingerprint() == datasets[1].fingerprint()


def test_output_of_mmsa_fet_is_read(tmp_path):
    content = mmsa_content(kind="mosi", float_text_bert=True, **QUIET)
    for split in content.values():
        del split["classification_labels"]
        split["raw_text"], split["id"] = np.array(split["raw_text"]), np.array(split["id"])
        split["audio"] = np.repeat(split["audio"], 5, axis=2)  # 25 features of another extractor
    content["config"] = {"audio": {"tool": "librosa", "sample_rate": None}}
    dataset = read_quietly(dump(tmp_path / "my_MOSI_features.pkl", content))
    assert dataset.card.name == "mosi"
    assert dataset.train.audio.shape[2] == 25


def test_text_alone_is_enough(tmp_path):
    content = mmsa_content(kind="mosi", **QUIET)
    for split in content.values():
        for key in ("audio", "audio_lengths", "vision", "vision_lengths", "text"):
            del split[key]
    dataset = read_quietly(dump(tmp_path / "text.pkl", content), name="mosi")
    assert dataset.has("text")
    assert not dataset.has("audio")
    assert not dataset.has("vision")
    assert dataset.card.modalities["audio"] == "absent"


def test_lengths_without_their_modality_are_left_aside(tmp_path):
    content = mmsa_content(kind="mosi", **QUIET)
    for split in content.values():
        del split["vision"]
    dataset = read_quietly(dump(tmp_path / "no_vision.pkl", content), name="mosi")
    assert dataset.train.vision_length is None


def other_features(kind):
    """A file whose feature sizes say nothing about the corpus."""
    content = mmsa_content(kind=kind, **QUIET)
    for split in content.values():
        split["audio"], split["vision"] = split["audio"][..., :3], split["vision"][..., :3]
    return content


@pytest.mark.parametrize(
    ("path", "name", "kind"),
    [
        ("MOSEI/Processed/mine.pkl", None, "mosei"),
        ("mosi/sub/mosei_wav2vec.pkl", None, "mosei"),
        ("MOSI/mine.pkl", None, "mosi"),
        ("MOSI/mine.pkl", "mosei", "mosei"),
        ("mosi/simsek/mine.pkl", None, "mosi"),
        ("CH-SIMSv2/mine.pkl", None, "sims"),
        ("mine.pkl", "mosi", "mosi"),
    ],
)
def test_corpus_is_told_by_name_or_path(path, name, kind, tmp_path):
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    content = other_features("sims" if kind == "sims" else "mosi")
    for split in content.values():
        split.pop("regression_labels_T", None)
    assert read_quietly(dump(tmp_path / path, content), name=name).card.name == kind


def test_corpus_with_unimodal_labels_is_sims(tmp_path):
    assert read_quietly(dump(tmp_path / "mine.pkl", other_features("sims"))).card.name == "sims"


def test_corpus_that_cannot_be_told_is_asked_for(tmp_path):
    path = dump(tmp_path / "mine.pkl", other_features("mosi"))
    with pytest.raises(InputError, match=r"cannot tell which corpus.*name='mosi', name='mosei', name='sims'"):
        read_mmsa(path)
    with pytest.raises(InputError, match="unknown corpus 'iemocap'"):
        read_mmsa(path, name="iemocap")


def test_published_file_is_verified(tmp_path, monkeypatch):
    path = write_mmsa(tmp_path / "renamed.pkl", kind="mosei", **QUIET)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(mmsa.PUBLISHED, ("mosei", "aligned_50.pkl"), digest)
    dataset = read_quietly(path)
    assert "(verified: " in dataset.card.provenance
    assert digest in dataset.card.provenance


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("MOSI/Processed/unaligned_50.pkl", "mosi"),
        ("MOSI/Processed/aligned_50.pkl", "mosi"),
        ("MOSEI/Processed/unaligned_50.pkl", "mosei"),
        ("unaligned_39.pkl", "sims"),
    ],
)
def test_other_file_under_a_published_name_warns(path, kind, tmp_path):
    path = write_mmsa(tmp_path / path, kind=kind, **QUIET)
    with pytest.warns(DataWarning, match=f"not the file of this name that MMSA published for {kind}"):
        dataset = read_mmsa(path)
    assert "(unverified: " in dataset.card.provenance


def test_published_hashes_are_distinct_sha256():
    assert len(set(mmsa.PUBLISHED.values())) == 5
    assert all(len(digest) == 64 and int(digest, 16) for digest in mmsa.PUBLISHED.values())


def test_columns_nobody_knows_warn_once_and_are_left_aside(tmp_path):
    content = mmsa_content(kind="mosi", **QUIET)
    content["train"]["mood"] = list(range(8))
    content["extra"] = {}
    path = dump(tmp_path / "features.pkl", content)
    with pytest.warns(DataWarning, match=r"features\.pkl: not used: extra, mood") as caught:
        read_mmsa(path)
    assert len(caught) == 1


@pytest.mark.parametrize("key", ["id", "regression_labels"])
def test_missing_column_is_named(key, tmp_path):
    content = mmsa_content(kind="mosi", **QUIET)
    del content["valid"][key]
    with pytest.raises(InputError, match=f"split valid, column {key}: missing column"):
        read_mmsa(dump(tmp_path / "features.pkl", content))


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_missing_split_is_named(split, tmp_path):
    content = mmsa_content(kind="mosi", **QUIET)
    content["dev"] = content.pop(split)
    with pytest.raises(InputError, match=f"split {split} is missing; found .*dev"):
        read_mmsa(dump(tmp_path / "features.pkl", content))


def changed(**changes):
    content = mmsa_content(kind="mosi", **QUIET)
    content["test"] |= changes
    return content


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ([1, 2], "holds list"),
        ({"train": [], "valid": {}, "test": {}}, "split train is missing"),
        ({"train": {1: 2}, "valid": {}, "test": {}}, "name is no text"),
        (changed(regression_labels=np.full(5, np.nan)), "split test, column label, row 0"),
        (changed(regression_labels=[9, 0, 0, 0, 0]), r"9; expected a number in label_range \[-3, 3\]"),
        (
            changed(regression_labels=["a", "b", "c", "d", "e"]),
            "column regression_labels: something other than numbers",
        ),
        (changed(regression_labels=2.5), "column regression_labels: something other than numbers"),
        (changed(regression_labels=[]), "column label: no rows"),
        (changed(audio_lengths=1.5), "column audio_lengths: something other than numbers"),
        (changed(text_bert=np.zeros((5, 1, 20))), r"column text_bert: shape \[5, 1, 20\]"),
        (changed(text_bert=np.zeros((0, 3, 20))), r"column text_bert: no rows"),
        (changed(regression_labels=[0, 0]), "column label: 2 rows"),
        (changed(audio_lengths=[3, 3, 31, 3, 3]), "column audio_length, row 2 .*31; expected 1 to 30"),
        (changed(audio_lengths=[3, 3, 2.5, 3, 3]), "column audio_lengths, row 2: a number that is not whole"),
        (changed(audio=np.zeros((5, 30))), r"column audio: shape \[5, 30\]; expected float32 \[N, A, Da\]"),
        (changed(audio=[np.zeros((2, 5)), np.zeros((3, 5))]), "column audio: something other than numbers"),
        (changed(audio=None), "column audio: missing column"),
        (changed(text_bert=np.full((5, 3, 20), 0.5)), "column text_bert, row 0: a number that is not whole"),
        (changed(text_bert=np.full((5, 3, 20), np.nan)), "column text_bert, row 0: a number that is not whole"),
        (changed(raw_text=["a", "b", None, "d", "e"]), "column raw_text, row 2: NoneType; expected text"),
        (changed(id=["a", "b", "c", "d", "d"]), "column id, row 4"),
        (changed(id=[["a"]] * 5), r"column id: shape \[5, 1\]"),
    ],
)
def test_wrong_content_is_named(content, found, tmp_path):
    path = dump(tmp_path / "features.pkl", content)
    with pytest.raises(InputError, match=found) as raised:
        read_mmsa(path, name="mosi")
    assert str(raised.value).startswith(str(path))


def test_left_padded_text_is_refused(tmp_path):
    content = mmsa_content(kind="mosi", **QUIET)
    content["train"]["text_bert"] = content["train"]["text_bert"][:, :, ::-1].copy()
    with pytest.raises(InputError, match=r"column text_bert, row 1 .*does not begin with 1"):
        read_mmsa(dump(tmp_path / "features.pkl", content))


def test_labels_of_rank_two_and_numeric_ids_are_read(tmp_path):
    content = mmsa_content(kind="mosi", **QUIET)
    start = 0
    for split in content.values():
        split["regression_labels"] = split["regression_labels"][:, None]
        split["id"] = list(range(start, start + len(split["id"])))
        start += 100
    dataset = read_quietly(dump(tmp_path / "features.pkl", content))
    assert dataset.valid.id.tolist() == ["100", "101", "102", "103"]
    assert dataset.valid.label.shape == (4,)


def test_bytes_are_read_as_utf8(tmp_path):
    content = mmsa_content(kind="sims", **QUIET)
    plain = list(content["train"]["raw_text"])
    content["train"]["raw_text"] = [text.encode() for text in plain]
    assert read_quietly(dump(tmp_path / "features.pkl", content)).train.raw_text.tolist() == plain


def test_truncated_file_is_named(tmp_path):
    path = write_mmsa(tmp_path / "unaligned_50.pkl", kind="mosi", **QUIET)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"unaligned_50\.pkl: not a readable pickle, truncated or damaged"):
        read_mmsa(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.pkl: no such file"):
        read_mmsa(tmp_path / "nowhere.pkl")


def test_file_that_would_run_code_is_refused(tmp_path):
    marker = tmp_path / "marker"

    class Attack:
        def __reduce__(self):
            return os.system, (f"touch '{marker}'",)

    content = mmsa_content(kind="mosi", **QUIET)
    rows = np.array(content["test"]["raw_text"], dtype=object)
    rows[2] = Attack()
    content["test"]["raw_text"] = rows
    with pytest.raises(InputError, match=r"refused, nothing in it was run: it asks for posix.system"):
        read_mmsa(dump(tmp_path / "features.pkl", content))
    assert not marker.exists()
