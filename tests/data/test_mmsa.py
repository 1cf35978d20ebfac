"""MMSA's feature files, with the quirks they have."""

import hashlib
import os
import pickle
import warnings
from collections import OrderedDict, defaultdict

import numpy as np
import pytest

from msa_jax.data import mmsa
from msa_jax.data.mmsa import read_mmsa
from msa_jax.data.samples import load_split
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


def read_quietly(path, name="mosi", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_mmsa(path, name=name, **options)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("kind", SHAPES)
def test_every_column_is_read_exactly(kind, aligned, tmp_path):
    options = {"kind": kind, "aligned": aligned, **QUIET}
    dataset = read_quietly(write_mmsa(tmp_path / "features.pkl", **options), name=kind)
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
    said = (
        r"column \w+: in 3 of 17 samples the recorded length is 0; their first frame is kept, so that they have one; "
        r"\d+ non-zero frames behind the recorded length \(in 3 of 17 samples\) are not used"
    )
    path = write_mmsa(tmp_path / "features.pkl", **options)
    with pytest.warns(DataWarning, match=said) as caught:
        dataset = read_mmsa(path, name=kind)
    assert len(caught) == 2  # the rows of length 0, in audio and in vision
    with pytest.warns(DataWarning, match="in 1 of 5 samples the recorded length is 0"):
        np.testing.assert_array_equal(load_split(path).audio_length, dataset.test.audio_length)
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
        dataset = read_mmsa(path, name="mosei")
    assert len(caught) == 1
    assert dataset.train.audio[0, 1, :2].tolist() == [0, 0]
    content = mmsa_content(kind="mosei")["train"]["audio"]
    assert np.isneginf(content).sum() == 2
    np.testing.assert_array_equal(dataset.train.audio[1:], content[1:].astype(np.float32))


def test_object_strings_and_float_tokens_are_read_like_plain_ones(tmp_path):
    plain = read_quietly(write_mmsa(tmp_path / "a.pkl", kind="sims", **QUIET), name="sims")
    odd = read_quietly(
        write_mmsa(tmp_path / "b.pkl", kind="sims", object_strings=True, float_text_bert=True, **QUIET), name="sims"
    )
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
    dataset = read_quietly(dump(tmp_path / "my_MOSI_features.pkl", content), name="mosi")
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
    ("path", "corpus", "name"),
    [
        ("MOSEI/Processed/mine.pkl", "mosei", "mine"),
        ("mosi/sub/mosei_wav2vec.pkl", "mosei", "own_mosei_wav2vec"),
        ("MOSI/mine.pkl", "mosi", "mine"),
        ("mosi/simsek/my clips.pkl", "mosi", "my_clips"),
        ("CH-SIMSv2/mine.pkl", "sims", "mine"),
    ],
)
def test_a_corpus_in_the_path_is_a_guess_and_names_nothing(path, corpus, name, tmp_path):
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    content = other_features("sims" if corpus == "sims" else "mosi")
    for split in content.values():
        split.pop("regression_labels_T", None)
    with pytest.warns(
        DataWarning, match=f"guessed from its path, which names {corpus}: .*metrics {corpus}; named '{name}'"
    ):
        card = read_mmsa(dump(tmp_path / path, content)).card
    assert (card.name, card.metrics) == (name, corpus)


@pytest.mark.parametrize("stem", ["mosi", "MOSI_mine", "sims", "self_mosei", "synthetic", "mmmo"])
def test_a_guess_never_has_the_name_of_a_dataset_with_presets(stem, tmp_path):
    path = write_mmsa(tmp_path / f"{stem}.pkl", kind="mosi", **QUIET)
    with pytest.warns(DataWarning, match="guessed from its feature sizes, those of mosi: language en") as caught:
        card = read_mmsa(path).card
    assert len(caught) == 1
    assert (card.name, card.metrics, card.label_range) == (f"own_{stem}", "mosi", (-3, 3))


def test_unimodal_labels_make_no_sims_of_labels_beyond_its_range(tmp_path):
    content = other_features("sims")
    path = dump(tmp_path / "mine.pkl", content)
    with pytest.warns(DataWarning, match="guessed from its unimodal labels, as sims has them: language zh, .* -1 to 1"):
        assert read_mmsa(path).card.metrics == "sims"
    for split in content.values():
        for key in ("regression_labels", "regression_labels_T", "regression_labels_A", "regression_labels_V"):
            split[key] = np.asarray(split[key]) * 3
    dump(path, content)
    with pytest.warns(DataWarning, match="guessed from labels and texts: .*label_range -3 to 3, metrics regression"):
        dataset = read_mmsa(path)
    assert dataset.train.label_t is not None
    assert dataset.card.language == "zh"  # most letters are


def test_what_is_said_is_taken_and_needs_no_guess(tmp_path):
    path = write_mmsa(tmp_path / "features.pkl", kind="sims", **QUIET)
    words = {"name": "mine", "language": "de", "label_range": (-2, 2), "metrics": "regression"}
    card = read_quietly(path, **words).card
    assert {key: getattr(card, key) for key in words} == words
    with pytest.warns(DataWarning, match=r"label_range -1 to 1, metrics sims; named 'mine'") as caught:
        assert read_mmsa(path, name="mine", language="zh").card.metrics == "sims"
    assert "language" not in str(caught[0].message).split("named")[0]
    with pytest.raises(InputError, match=r"label_t, row 0.*label_range \[-0.5, 0.5\]|label, row 0"):
        read_quietly(path, label_range=(-0.5, 0.5), name="sims")


def test_a_corpus_by_name_brings_its_facts_and_may_be_corrected(tmp_path):
    path = dump(tmp_path / "mine.pkl", other_features("mosi"))
    card = read_quietly(path, name="MOSEI").card
    assert (card.name, card.language, card.label_range, card.metrics) == ("mosei", "en", (-3, 3), "mosei")
    assert read_quietly(path, name="mosei", label_range=[-4, 4], metrics="regression").card.label_range == (-4, 4)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([1, 5, 2, 3.5], (1, 5)),
        ([0, 0.2, 0.9, 1], (0, 1)),
        ([-0.5, 0.2, 1, 0], (-1, 1)),
        ([-0.5, 2.2, 1, 0], (-3, 3)),
        ([-0.5, 4.2, 1, 0], (-5, 5)),
        ([2, 2, 2, 2], (2, 3)),
        ([-80, 3, 2, 2], (-80, 80)),
    ],
)
def test_label_range_is_guessed_from_the_labels(labels, expected, tmp_path):
    content = other_features("mosi")
    for split in content.values():
        split["regression_labels"] = np.resize(labels, len(split["id"]))
    with pytest.warns(DataWarning, match="guessed from labels and texts"):
        card = read_mmsa(dump(tmp_path / "mine.pkl", content)).card
    assert (card.label_range, card.metrics) == (expected, "regression")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"label_range": (3, -3)}, "expected .low, high., two numbers, low < high"),
        ({"label_range": 3}, "label_range is 3; expected two numbers"),
        ({"label_range": (0, 1e39)}, "label_range of the card"),
        ({"metrics": "accuracy"}, "metrics of the card is 'accuracy', expected one of mosi"),
        ({"name": ""}, "name of the card is empty"),
        ({"language": 3}, "language of the card is 3"),
    ],
)
def test_what_is_said_wrongly_is_refused(words, message, tmp_path):
    path = dump(tmp_path / "mine.pkl", other_features("mosi"))
    with pytest.raises(InputError, match=message):
        read_quietly(path, **{"name": "mine", "language": "en", "label_range": (-3, 3), "metrics": "mosi"} | words)


def test_published_file_is_verified(tmp_path, monkeypatch):
    path = write_mmsa(tmp_path / "renamed.pkl", kind="mosei", **QUIET)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(mmsa.PUBLISHED, ("mosei", "aligned_50.pkl"), digest)
    dataset = read_quietly(path, name=None)
    assert dataset.card.name == "mosei"
    assert read_quietly(path, name="mine").card.name == "mine"
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
    assert dataset.card.name != kind
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
        read_mmsa(path, name="mosi")
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
    content["other"] = content.pop(split)
    with pytest.raises(InputError, match=f"split {split} is missing; found .*other"):
        read_mmsa(dump(tmp_path / "features.pkl", content))


def changed(**changes):
    content = mmsa_content(kind="mosi", **QUIET)
    content["test"] |= changes
    return content


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ([1, 2], "holds list"),
        ({"train": [], "valid": {}, "test": {}}, "split train is of type list; expected a dict of columns"),
        ({"train": {1: 2}, "valid": {}, "test": {}}, "name is no text"),
        (changed(regression_labels=np.full(5, np.nan)), "split test, column label, row 0"),
        (changed(regression_labels=[9, 0, 0, 0, 0]), r"9; expected a number in label_range \[-3, 3\]"),
        (
            changed(regression_labels=["a", "b", "c", "d", "e"]),
            "column regression_labels, row 0: str; expected float32",
        ),
        (changed(regression_labels=2.5), "column regression_labels: float; expected float32"),
        (changed(regression_labels=[]), "column label: no rows"),
        (changed(audio_lengths=1.5), "column audio_lengths: float; expected int32"),
        (changed(text_bert=np.zeros((5, 1, 20))), r"column text_bert: shape \[5, 1, 20\]"),
        (changed(text_bert=np.zeros((0, 3, 20))), r"column text_bert: no rows"),
        (changed(regression_labels=[0, 0]), "column label: 2 rows"),
        (changed(audio_lengths=[3, 3, 31, 3, 3]), "column audio_length, row 2 .*31; expected 1 to 30"),
        (changed(audio_lengths=[3, 3, 2.5, 3, 3]), "column audio_lengths, row 2: a number that is not whole"),
        (changed(audio=np.zeros((5, 30))), r"column audio: shape \[5, 30\]; expected float32 \[N, A, Da\]"),
        (changed(audio=[np.zeros((2, 5)), np.zeros((3, 5))]), r"column audio, row 1: shape \[3, 5\] where row 0 has"),
        (changed(audio_lengths=[[1, 2], 3, 3, 3, 3]), "column audio_lengths, row 1: shape .* where row 0 has"),
        (changed(raw_text=[["a", "b"], ["c"], ["d"], [], []]), "column raw_text, row 0: list; expected text"),
        (changed(raw_text=["a", "b", "c", 12345, "e"]), "column raw_text, row 3: int 12345; expected text"),
        (changed(raw_text=["a", np.nan, "c", "d", "e"]), "column raw_text, row 1: float nan; expected text"),
        (changed(raw_text=np.arange(5)), "column raw_text, row 0: int 0; expected text"),
        (changed(raw_text=["a", b"caf\xe9", "c", "d", "e"]), "column raw_text, row 1: bytes that are not UTF-8"),
        (changed(raw_text="abcde"), "column raw_text: str; expected text"),
        (changed(id=[], raw_text=[]), "column id: no rows"),
        (changed(id=[("a", "1"), ("b",), "c", "d", "e"]), "column id, row 0: tuple; expected text"),
        (changed(audio=None), "column audio: missing column"),
        (changed(text_bert=np.full((5, 3, 20), 0.5)), "column text_bert, row 0: a number that is not whole"),
        (changed(text_bert=np.full((5, 3, 20), np.nan)), "column text_bert, row 0: a number that is not whole"),
        (changed(raw_text=["a", "b", None, "d", "e"]), "column raw_text, row 2: NoneType; expected text"),
        (changed(id=["a", "b", "c", "d", "d"]), "column id, row 4"),
        (changed(id=[["a"]] * 5), "column id, row 0: list; expected text"),
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
        read_quietly(dump(tmp_path / "features.pkl", content))


def test_labels_of_rank_three_and_numeric_ids_are_read(tmp_path):
    content = mmsa_content(kind="mosi", **QUIET)
    start = 0
    for split in content.values():
        split["regression_labels"] = split["regression_labels"][:, None, None]
        split["id"] = list(range(start, start + len(split["id"])))
        start += 100
    dataset = read_quietly(dump(tmp_path / "features.pkl", content))
    assert dataset.valid.id.tolist() == ["100", "101", "102", "103"]
    assert dataset.valid.label.shape == (4,)


def test_bytes_are_read_as_utf8(tmp_path):
    content = mmsa_content(kind="sims", **QUIET)
    plain = list(content["train"]["raw_text"])
    content["train"]["raw_text"] = [text.encode() for text in plain]
    assert read_quietly(dump(tmp_path / "features.pkl", content), name="sims").train.raw_text.tolist() == plain


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


# -- padding ----------------------------------------------------------------------------------------------------------


def padded_in_front(content):
    """The content with frames at the end of each row, and where they begin."""
    for split in content.values():
        for key in ("audio", "vision"):
            frames, lengths = split[key], np.asarray(split[f"{key}_lengths"])
            split[key] = np.stack([np.roll(row, len(row) - n, axis=0) for row, n in zip(frames, lengths, strict=True)])
    return content


@pytest.mark.parametrize("recorded", [True, False])
def test_padding_in_front_is_moved_behind_and_said(recorded, tmp_path):
    plain = mmsa_content(kind="mosi", **QUIET)
    content = padded_in_front(mmsa_content(kind="mosi", **QUIET))
    if not recorded:
        for split in content.values():
            del split["audio_lengths"], split["vision_lengths"], split["text_bert"]
    with pytest.warns(DataWarning) as caught:
        dataset = read_mmsa(dump(tmp_path / "features.pkl", content), name="mosi")
    messages = [str(warning.message) for warning in caught]
    for key, message in zip(("audio", "vision"), messages, strict=True):
        lengths = {split: np.asarray(plain[split][f"{key}_lengths"]) for split in plain}
        steps = plain["train"][key].shape[1]
        short = {split: int((length < steps).sum()) for split, length in lengths.items()}
        each = ", ".join(f"{count} in {split}" for split, count in short.items())
        assert message.endswith(
            f"column {key}: in {sum(short.values())} of 17 samples the padding was in front; it was moved behind the frames "
            f"({each})"
        )
        for split, rows in dataset.splits().items():
            np.testing.assert_array_equal(getattr(rows, f"{key}_length"), lengths[split])
            np.testing.assert_array_equal(getattr(rows, key), plain[split][key].astype(np.float32))


def test_frames_behind_the_length_are_counted_once_for_a_column(tmp_path):
    content = mmsa_content(kind="mosi", **QUIET)
    for split in content.values():
        split["audio"] = np.ones_like(split["audio"])
        split["audio_lengths"] = [1] * len(split["id"])
    with pytest.warns(
        DataWarning, match=r"column audio: 493 non-zero frames behind .* \(in 17 of 17 samples\)"
    ) as caught:
        read_mmsa(dump(tmp_path / "features.pkl", content), name="mosi")
    assert len(caught) == 1


def test_rows_padded_in_front_stay_where_most_are_padded_behind(tmp_path):
    content = mmsa_content(kind="mosi", **QUIET)
    content["test"]["vision"][0], content["test"]["vision_lengths"][0] = 0.0, 10
    content["test"]["vision"][0, -10:] = 1.0
    with pytest.warns(
        DataWarning, match=r"vision: 10 non-zero frames behind the recorded length \(in 1 of 17 samples\)"
    ):
        dataset = read_mmsa(dump(tmp_path / "features.pkl", content), name="mosi")
    assert not dataset.test.vision[0, :10].any()


def test_mostly_empty_sequences_are_counted(tmp_path):
    content = mmsa_content(kind="mosi", **QUIET)
    for split in content.values():
        split["vision"] = np.zeros_like(split["vision"])
    frames = sum(int(np.sum(split["vision_lengths"])) for split in content.values())
    with pytest.warns(DataWarning, match=f"column vision: {frames} of {frames} frames within the length are zero"):
        read_mmsa(dump(tmp_path / "features.pkl", content), name="mosi")


# -- what a file may be instead ---------------------------------------------------------------------------------------


def test_names_of_columns_are_read_without_spaces(tmp_path):
    content = mmsa_content(kind="mosi", **QUIET)
    content["train"]["audio "] = content["train"].pop("audio")
    with pytest.warns(DataWarning, match="split train: read without the spaces: 'audio '") as caught:
        dataset = read_mmsa(dump(tmp_path / "features.pkl", content), name="mosi")
    assert len(caught) == 1
    assert dataset.has("audio")
    content["train"]["audio"] = content["train"]["audio "]
    with pytest.raises(InputError, match="split train, column audio: there twice, the other time as 'audio '"):
        read_mmsa(dump(tmp_path / "features.pkl", content), name="mosi")


def test_default_dicts_are_dicts(tmp_path):
    content = mmsa_content(kind="mosi", **QUIET)
    plain = read_quietly(dump(tmp_path / "plain.pkl", content)).fingerprint()
    for factory in (list, dict, None, OrderedDict):
        odd = defaultdict(factory, {name: defaultdict(factory, split) for name, split in content.items()})
        assert read_quietly(dump(tmp_path / "odd.pkl", odd)).fingerprint() == plain


def own(**columns) -> dict:
    """A file of one's own: three samples of text and audio in each split."""
    rows = {"raw_text": ["a", "b", "c"], "regression_labels": [0.0, 1.0, -1.0], "audio": np.ones((3, 4, 2), np.float32)}
    return {
        split: {**rows, "id": [f"{split}{row}" for row in range(3)], **columns} for split in ("train", "valid", "test")
    }


@pytest.mark.filterwarnings("ignore::msa_jax.errors.DataWarning")
@pytest.mark.parametrize("word", ["dev", "val", "validation", "Valid"])
def test_splits_have_the_names_that_people_write(tmp_path, word):
    content = own()
    content[word] = content.pop("valid")
    (tmp_path / "mine.pkl").write_bytes(pickle.dumps(content))
    assert read_mmsa(tmp_path / "mine.pkl", label_range=(-1, 1)).valid.id.tolist() == ["valid0", "valid1", "valid2"]
    assert load_split(tmp_path / "mine.pkl", "valid").id.tolist() == ["valid0", "valid1", "valid2"]
    (tmp_path / "mine.pkl").write_bytes(pickle.dumps({**own(), "dev": {}}))
    with pytest.raises(InputError, match="split valid is there twice, the other time as 'dev'"):
        read_mmsa(tmp_path / "mine.pkl")


def test_frames_of_rows_of_different_lengths_are_refused_with_the_way_out(tmp_path):
    ragged = [np.ones((frames, 2), np.float32) for frames in (4, 5, 6)]
    (tmp_path / "mine.pkl").write_bytes(pickle.dumps(own(audio=ragged)))
    with pytest.raises(InputError, match=r"row 1: shape \[5, 2\] .* zeros behind the frames .* and audio_lengths"):
        read_mmsa(tmp_path / "mine.pkl")
