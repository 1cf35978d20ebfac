"""Through TensorFlow Datasets and back, exactly, and without TensorFlow."""

import builtins
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from msa_jax.data import load_dataset, make_synthetic, read_mmsa, write_native
from msa_jax.data.native import read_native
from msa_jax.data.schema import Card, validate
from msa_jax.data.tfds import read_tfds
from msa_jax.errors import DataWarning, InputError
from tests.mmsa_writer import write_mmsa

SMALL = {"train": 23, "valid": 5, "test": 11, "audio_steps": 6, "vision_steps": 7}


@pytest.fixture
def tfds():
    return pytest.importorskip("tensorflow_datasets")


@pytest.fixture
def native(tmp_path):
    return write_native(make_synthetic(**SMALL), tmp_path / "native" / "small")


def everything():
    """A dataset with every column, text of many scripts, and rows in no order."""
    rng = np.random.default_rng(0)
    splits = {}
    for name, n in (("train", 15), ("valid", 3), ("test", 4)):
        text_bert = rng.integers(0, 30000, (n, 3, 9))
        text_bert[:, 1] = np.arange(9) < rng.integers(1, 10, n)[:, None]
        splits[name] = {
            "id": np.array([f"{name}/ü{key}$_$好" for key in rng.permutation(n)]),
            "label": rng.uniform(-1, 1, n),
            "raw_text": np.array([["", "one", "“zwei” ß", "三\t四\n五 "][row % 4] for row in range(n)]),
            "text_bert": text_bert,
            "text": rng.normal(size=(n, 9, 4)) * 1e-30,
            "audio": rng.normal(size=(n, 1, 3)),
            "audio_length": np.ones(n, int),
            "vision": rng.normal(size=(n, 5, 1)) * 1e30,
            "vision_length": np.full(n, 5),
            **{f"label_{letter}": rng.uniform(-1, 1, n) for letter in "tav"},
        }
    card = Card(
        name="every column",
        language="zh",
        metrics="sims",
        label_range=(-1.0, 1.0),
        provenance="made “here”",
        modalities={"text": "好"},
        caveats="none\nat all",
    )
    return validate(card, splits, source="made")


@pytest.mark.parametrize("make", [everything, lambda: make_synthetic(**SMALL)], ids=["everything", "synthetic"])
def test_round_trip_of_a_native_folder_is_exact(make, tfds, tmp_path):
    dataset = make()
    folder = write_native(dataset, tmp_path / "small")
    prepared = read_tfds("msa_native", data_dir=tmp_path / "tfds", manual_dir=folder)
    assert prepared.fingerprint() == dataset.fingerprint()
    assert prepared.card == dataset.card
    again = read_tfds("msa_native/small", data_dir=tmp_path / "tfds")
    assert again.fingerprint() == dataset.fingerprint()
    assert again.card == dataset.card


def test_prepared_data_need_their_source_no_more(tfds, native, tmp_path):
    expected = read_native(native).fingerprint()
    read_tfds("msa_native/small", data_dir=tmp_path / "tfds", manual_dir=native.parent)
    shutil.rmtree(native)
    for name in ("msa_native/small", "msa_native"):
        assert load_dataset(name, data_dir=tmp_path / "tfds").fingerprint() == expected
    source = tfds.builder("msa_native/small", data_dir=tmp_path / "tfds").as_data_source(split="test")
    assert sorted(example["row"] for example in source) == list(range(11))


def test_default_manual_folder_is_below_the_data_folder(tfds, native, tmp_path):
    shutil.copytree(native, tmp_path / "tfds" / "downloads" / "manual" / "small")
    dataset = load_dataset("msa_native/small", data_dir=tmp_path / "tfds")
    assert dataset.fingerprint() == read_native(native).fingerprint()


@pytest.mark.parametrize(
    ("name", "kind", "aligned", "path"),
    [
        ("msa_mosi", "mosi", False, "MOSI/Processed/mine.pkl"),
        ("msa_mosi/word_pieces", "mosi", True, "mosi/word_pieces.pkl"),
        ("msa_mosei", "mosei", False, "features.pkl"),
        ("msa_sims", "sims", False, "SIMS/features.pkl"),
    ],
)
def test_feature_file_is_prepared_exactly(name, kind, aligned, path, tfds, tmp_path):
    path = write_mmsa(
        tmp_path / "manual" / path, kind=kind, aligned=aligned, sizes=(7, 4, 5), minus_inf=False, object_strings=True
    )
    dataset = read_tfds(name, data_dir=tmp_path / "tfds", manual_dir=tmp_path / "manual")
    expected = read_mmsa(path, name=kind)
    assert dataset.fingerprint() == expected.fingerprint()
    assert dataset.card == expected.card


def test_published_names_come_first_and_are_checked(tfds, tmp_path):
    for name in ("aligned_50", "unaligned_50", "other"):
        write_mmsa(
            tmp_path / "manual" / "MOSI" / "Processed" / f"{name}.pkl",
            kind="mosi",
            aligned=name == "aligned_50",
            sizes=(4, 3, 3),
            minus_inf=False,
        )
    with pytest.warns(DataWarning, match="not the file of this name that MMSA published"):
        dataset = read_tfds("msa_mosi", data_dir=tmp_path / "tfds", manual_dir=tmp_path / "manual")
    assert dataset.train.audio.shape[1] == 30
    with pytest.warns(DataWarning, match="not the file of this name"):
        aligned = read_tfds("msa_mosi/aligned_50", data_dir=tmp_path / "tfds", manual_dir=tmp_path / "manual")
    assert aligned.train.audio.shape[1] == 20
    assert read_tfds("msa_mosi", data_dir=tmp_path / "tfds").train.audio.shape[1] == 30


def test_rows_come_back_in_their_order_whatever_the_order_of_the_records(tfds, native, tmp_path, monkeypatch):
    expected = read_tfds("msa_native/small", data_dir=tmp_path / "tfds", manual_dir=native).fingerprint()

    class Reversed:
        def __init__(self, source):
            self.source = source

        def __len__(self):
            return len(self.source)

        def __getitem__(self, index):
            return self.source[len(self.source) - 1 - index]

    builder = tfds.core.read_only_builder.ReadOnlyBuilder
    forward = builder.as_data_source
    monkeypatch.setattr(builder, "as_data_source", lambda self, split: Reversed(forward(self, split=split)))
    assert read_tfds("msa_native/small", data_dir=tmp_path / "tfds").fingerprint() == expected


def test_nothing_prepared_says_where_and_how(tfds, tmp_path):
    for name in ("msa_mosi", "msa_mosi/aligned_50", "msa_native", "msa_native/mine"):
        with pytest.raises(InputError, match=r"prepared in .*manual_dir, or put them into .*downloads/manual"):
            read_tfds(name, data_dir=tmp_path)


def test_several_prepared_folders_have_to_be_named(tfds, native, tmp_path):
    shutil.copytree(native, native.parent / "other")
    for name in ("small", "other"):
        read_tfds(f"msa_native/{name}", data_dir=tmp_path / "tfds", manual_dir=native.parent)
    with pytest.raises(InputError, match=r"several are prepared .*; say one of other, small"):
        read_tfds("msa_native", data_dir=tmp_path / "tfds")


def test_manual_folder_without_the_files_says_what_it_lacks(tfds, native, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: no feature file of mosi; expected unaligned_50 or aligned_50\.pkl"):
        read_tfds("msa_mosi", data_dir=tmp_path, manual_dir=tmp_path / "empty")
    with pytest.raises(InputError, match=r"empty: expected a folder mine with a card.json"):
        read_tfds("msa_native/mine", data_dir=tmp_path, manual_dir=tmp_path / "empty")
    with pytest.raises(InputError, match=r"empty: expected a card.json"):
        read_tfds("msa_native", data_dir=tmp_path, manual_dir=tmp_path / "empty")
    with pytest.raises(InputError, match="nowhere: no such folder"):
        read_tfds("msa_native/mine", data_dir=tmp_path, manual_dir=tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"expected a folder wrong with a card.json"):
        read_tfds("msa_native/wrong", data_dir=tmp_path, manual_dir=native)


def test_wrong_data_are_refused_before_anything_is_prepared(tfds, native, tmp_path):
    with np.load(native / "valid.npz") as held:
        arrays = dict(held)
    np.savez(native / "valid.npz", **{**arrays, "label": np.full(5, np.nan)})
    with pytest.raises(InputError, match="split valid, column label, row 0"):
        read_tfds("msa_native/small", data_dir=tmp_path / "tfds", manual_dir=native)
    assert not list((tmp_path / "tfds").glob("msa_native/small/*"))


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json", "metadata.json"])
def test_damaged_preparation_is_refused(name, tfds, native, tmp_path):
    read_tfds("msa_native/small", data_dir=tmp_path / "tfds", manual_dir=native)
    (tmp_path / "tfds" / "msa_native" / "small" / "1.0.0" / name).write_text("{}")
    with pytest.raises(InputError, match=r"small|1\.0\.0"):
        read_tfds("msa_native/small", data_dir=tmp_path / "tfds")


@pytest.mark.parametrize("name", ["mnist", "msa_mosi/a/b", "msa_mosi/../../etc", "msa_iemocap", ""])
def test_unknown_name_is_refused(name, tmp_path):
    with pytest.raises(InputError, match="unknown TFDS dataset"):
        read_tfds(name, data_dir=tmp_path)


def test_without_tensorflow_datasets_the_extra_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def absent(name, *arguments, **named):
        if name.split(".")[0] == "tensorflow_datasets":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(InputError, match=r"pip install '\.\[tfds\]'"):
        read_tfds("msa_mosi", data_dir=tmp_path)


def test_preparing_leaves_standard_output_alone(tfds, native, tmp_path):
    code = (
        "import sys; from msa_jax.data.tfds import read_tfds; "
        "read_tfds('msa_native/small', data_dir=sys.argv[1], manual_dir=sys.argv[2])"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "tfds"), str(native)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == ""
