"""One name for a dataset: what `load_dataset` makes of it, and what it says of a name it cannot use."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from msa_jax.data import load_dataset, make_synthetic, write_native
from msa_jax.errors import InputError
from tests.mmsa_writer import write_mmsa

SMALL = {"train": 4, "valid": 2, "test": 3, "audio_steps": 6, "vision_steps": 6}


def test_dataset_passes_through():
    dataset = make_synthetic(**SMALL)
    assert load_dataset(dataset) is dataset


@pytest.mark.parametrize("kind", [np.float64, np.float16, ">f4", object], ids=str)
def test_a_dataset_that_somebody_made_is_the_one_that_is_read(tmp_path, kind):
    dataset = make_synthetic(**SMALL)
    half = {name: split.audio.astype(np.float16) for name, split in dataset.splits().items()}  # exact in every kind
    native = {name: replace(split, audio=half[name].astype("<f4")) for name, split in dataset.splits().items()}
    made = {
        name: replace(
            split,
            audio=half[name].astype(kind),
            audio_length=split.audio_length.astype(np.int64),
            label=split.label.astype(object if kind is object else split.label.dtype),
        )
        for name, split in dataset.splits().items()
    }
    expected = load_dataset(write_native(replace(dataset, **native), tmp_path / "data"))
    assert load_dataset(replace(dataset, **made)).fingerprint() == expected.fingerprint()


def test_ids_that_nobody_gave_may_be_in_several_splits():
    dataset = make_synthetic(**SMALL)
    rows = {name: replace(split, id=None) for name, split in dataset.splits().items()}
    numbered = replace(dataset, **rows)
    assert load_dataset(numbered) is numbered
    mixed = replace(numbered, train=dataset.train)
    assert load_dataset(mixed) is mixed
    parts = {name: split.take(np.arange(0, len(split), 2)) for name, split in numbered.splits().items()}
    assert len(load_dataset(replace(numbered, **parts)).train) == len(parts["train"])
    given = {name: replace(split, id=[str(7 + row) for row in range(len(split))]) for name, split in rows.items()}
    with pytest.raises(InputError, match=r"id '7'.*an id that split train has in row 0"):
        load_dataset(replace(dataset, **given))
    with pytest.raises(InputError, match="an id that split train has in row 1"):
        load_dataset(replace(dataset, valid=replace(dataset.valid, id=["a", dataset.train.id[1]])))


def test_synthetic_is_made():
    assert load_dataset("synthetic").fingerprint() == make_synthetic().fingerprint()


def test_native_folder_is_read_from_text_and_from_a_path(tmp_path):
    dataset = make_synthetic(**SMALL)
    write_native(dataset, tmp_path / "data")
    for source in (tmp_path / "data", str(tmp_path / "data")):
        assert load_dataset(source).fingerprint() == dataset.fingerprint()


@pytest.mark.parametrize("suffix", [".pkl", ".pickle", ".PKL"])
def test_pickle_is_read_as_a_feature_file(suffix, tmp_path):
    path = write_mmsa(tmp_path / f"features{suffix}", kind="mosi", sizes=(3, 3, 3), minus_inf=False)
    assert load_dataset(path, name="mosi").card.metrics == "mosi"
    assert load_dataset(path, name="mine", language="en", label_range=(-3, 3), metrics="mosi").card.name == "mine"


@pytest.mark.parametrize("source", ["no/such/folder", "features.pkl", "msa_iemocap", "Synthetic"])
def test_what_does_not_exist_is_said_plainly(source):
    with pytest.raises(InputError, match=f"{source}: no such file or folder, and no TFDS name; expected 'synthetic'"):
        load_dataset(source)


@pytest.mark.parametrize("source", [None, 3, "", "  ", ["synthetic"]])
def test_what_is_no_name_is_refused(source):
    with pytest.raises(InputError, match="expected 'synthetic', a native dataset folder"):
        load_dataset(source)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "table.xlsx").write_text("id,label\n")
    with pytest.raises(InputError, match=r"table\.xlsx: a file of another kind; expected .* a table \(\.csv, \.tsv"):
        load_dataset(tmp_path / "table.xlsx")


def test_what_a_dataset_is_can_be_said_of_every_source(tmp_path):
    words = {"name": "mine", "language": "de", "label_range": (-4.0, 4.0), "metrics": "regression"}
    dataset = make_synthetic(**SMALL)
    write_native(dataset, tmp_path / "data")
    for source in (dataset, tmp_path / "data", "synthetic"):
        card = load_dataset(source, **words).card
        assert {key: getattr(card, key) for key in words} == words
        assert load_dataset(source, name="other").card.metrics == "mosi"
        card = load_dataset(source, name="MOSEI").card
        assert (card.name, card.language, card.metrics, card.label_range) == ("mosei", "en", "mosei", (-3, 3))
        assert load_dataset(source, name="mosei", metrics="regression").card.metrics == "regression"
        with pytest.raises(InputError, match=r"expected a number in label_range \[-1, 1\]"):
            load_dataset(source, name="sims")
    with pytest.raises(InputError, match=r"column label, row \d+ .*label_range \[-0\.1, 0\.1\]"):
        load_dataset(tmp_path / "data", label_range=(-0.1, 0.1))


def test_importing_the_data_package_does_not_import_tfds():
    code = "import sys, msa_jax.data; print('tensorflow_datasets' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "False"
