"""Native folders: exact both ways, written whole or not at all, and every kind of damage is named."""

import json
import pickle
import shutil
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from msa_jax import whole_files
from msa_jax.data import native
from msa_jax.data.describe import card_text, describe
from msa_jax.data.native import read_native, write_native
from msa_jax.data.schema import Card, validate
from msa_jax.data.synthetic import make_synthetic
from msa_jax.errors import DataWarning, InputError
from tests.paths import shared_data

SMALL = {"train": 12, "valid": 5, "test": 7, "audio_steps": 8, "vision_steps": 9}


@pytest.fixture(scope="module")
def dataset():
    return make_synthetic(**SMALL)


@pytest.fixture
def folder(dataset, tmp_path):
    return write_native(dataset, tmp_path / "data")


def change_card(folder, **changes):
    entries = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    (folder / "card.json").write_text(json.dumps(entries | changes), encoding="utf-8")


def change_arrays(path, **changes):
    with np.load(path) as held:
        arrays = {**held, **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


def test_round_trip_is_exact(dataset, folder):
    again = read_native(folder)
    assert again.card == dataset.card
    assert again.fingerprint() == dataset.fingerprint()
    assert again.source == str(folder)


def test_a_card_says_its_format_and_one_of_a_newer_format_is_refused(folder):
    assert json.loads((folder / "card.json").read_text(encoding="utf-8"))["format"] == 1
    change_card(folder, format=2)
    with pytest.raises(
        InputError, match=r"card\.json: format 2 is of a newer msa_jax, this one reads format 1; upgrade it"
    ):
        read_native(folder)
    change_card(folder, format="1")
    with pytest.raises(InputError, match=r"card\.json: format is '1'; expected a whole number from 1 to 1"):
        read_native(folder)


def test_round_trip_keeps_unicode_and_caveats(tmp_path):
    card = Card(name="好", language="zh", metrics="sims", label_range=(-1.0, 0.5), caveats="ä\n“quoted”")
    rows = {"id": np.array(["video_0001$_$0001"]), "label": np.array([-0.2]), "raw_text": np.array(["这部电影 — 好看"])}
    splits = {name: {**rows, "id": np.char.add(rows["id"], name)} for name in ("train", "valid", "test")}
    dataset = validate(card, splits, source="made here")
    again = read_native(write_native(dataset, tmp_path / "zh"))
    assert again.card == card
    assert again.test.raw_text.tolist() == ["这部电影 — 好看"]
    assert again.fingerprint() == dataset.fingerprint()


def test_folder_holds_card_and_three_npz_files_without_pickles(dataset, folder):
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "test.npz", "train.npz", "valid.npz"]
    entries = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert entries["counts"] == {"train": 12, "valid": 5, "test": 7}
    assert entries["label_range"] == [-3, 3]
    assert entries["columns"]["audio"] == {"dtype": "float32", "shape": ["N", 8, 5]}
    assert entries["columns"]["id"] == {"dtype": str(dataset.train.id.dtype), "shape": ["N"]}
    with np.load(folder / "train.npz", allow_pickle=False) as held:
        assert set(held) == set(dataset.train.columns())


def test_same_dataset_is_written_to_the_same_bytes(dataset, tmp_path):
    first, second = (write_native(dataset, tmp_path / name) for name in ("a", "b"))
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


@pytest.mark.parametrize("name", ["mosi", "mosi_utterance", "mmmo", "mosei_text"])
def test_real_dataset_is_read_without_warning(name):
    folder = shared_data(name)
    if folder is None:
        pytest.skip("the real datasets are not here")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = read_native(folder)
    entries = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert {split: len(rows) for split, rows in dataset.splits().items()} == entries["counts"]
    with np.load(folder / "test.npz", allow_pickle=False) as held:
        for column, array in held.items():
            strict = array.dtype.kind != "U"  # text is kept in the narrowest type
            np.testing.assert_array_equal(getattr(dataset.test, column), array, strict=strict)


@pytest.mark.parametrize("name", ["card.json", "train.npz", "valid.npz", "test.npz"])
def test_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"no file {name}"):
        read_native(folder)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder"):
        read_native(tmp_path / "nowhere")


@pytest.mark.parametrize("keep", [0, 1, 10, 0.3, 0.9, 0.999])
def test_truncated_npz_is_refused(folder, keep):
    path = folder / "valid.npz"
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if isinstance(keep, int) else keep * len(data))])
    with pytest.raises(InputError, match=r"valid\.npz.*truncated, altered or not an npz"):
        read_native(folder)


@pytest.mark.parametrize("compressed", [True, False])
def test_flipped_byte_in_an_array_is_noticed(dataset, folder, compressed):
    path = folder / "train.npz"
    if not compressed:
        np.savez(path, **dataset.train.columns())
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("vision.npy")
        start = member.header_offset + 30 + len("vision.npy") + 20  # 20: the ZIP64 field
        position = start + member.compress_size // 2
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"train\.npz, column vision: truncated, altered"):
        read_native(folder)


def test_random_damage_never_crashes(folder):
    path = folder / "test.npz"
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        altered = bytearray(data)
        for position in rng.integers(0, len(data), 3):
            altered[position] = rng.integers(256)
        path.write_bytes(altered)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # zipfile and the validation may warn
                read_native(folder)
        except InputError:
            refused += 1
    assert refused > 150


def test_pickled_column_is_refused_and_not_opened(folder, tmp_path):
    marker = tmp_path / "marker"

    class Attack:
        def __reduce__(self):
            return open, (str(marker), "w")

    array = np.empty(5, dtype=object)
    array[:] = [Attack() for _ in range(5)]
    with np.load(folder / "valid.npz") as held:
        arrays = dict(held)
    np.savez(folder / "valid.npz", **{**arrays, "raw_text": array})
    with pytest.raises(InputError, match=r"valid\.npz, column raw_text"):
        read_native(folder)
    (folder / "valid.npz").write_bytes(pickle.dumps(arrays))
    with pytest.raises(InputError, match=r"valid\.npz: truncated, altered or not an npz"):
        read_native(folder)
    assert not marker.exists()


def test_header_that_promises_too_much_is_refused(folder):
    header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
    promise = b"{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999999,), }"
    with zipfile.ZipFile(folder / "test.npz", "w") as archive:
        archive.writestr("label.npy", header + promise.ljust(117) + b"\n" + b"\0" * 16)
    with pytest.raises(InputError, match=r"test\.npz, column label"):
        read_native(folder)


def test_bytes_behind_an_array_are_refused(folder):
    with zipfile.ZipFile(folder / "test.npz") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["label.npy"] += b"more"
    with zipfile.ZipFile(folder / "test.npz", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(InputError, match=r"column label: .*bytes behind the last value"):
        read_native(folder)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "not JSON"),
        ('{"name": ', "not JSON"),
        ("[1, 2]", "found list"),
        ('{"name": "x", "metrics": "mosi", "label_range": [NaN, 3]}', "holds NaN"),
        ('{"name": "x", "metrics": "mosi", "label_range": [-Infinity, 3]}', "holds -Infinity"),
        ('{"name": "x", "metrics": "mosi"}', "label_range is missing"),
        ('{"name": "x", "metrics": "rouge", "label_range": [-3, 3]}', "'rouge'"),
        ("[" * 100_000, "not JSON"),
        ("\ud800", "not UTF-8"),
    ],
)
def test_wrong_card_file_is_named(folder, text, found):
    (folder / "card.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match=r"card\.json: ") as raised:
        read_native(folder)
    assert found in str(raised.value)


def test_counts_that_differ_from_the_arrays_warn(folder):
    change_card(folder, counts={"train": 12, "valid": 5, "test": 8})
    with pytest.warns(DataWarning, match="states counts .*'test': 8.*'test': 7"):
        read_native(folder)


def test_columns_that_differ_from_the_arrays_warn(folder):
    change_card(folder, columns={"id": {"dtype": "<U14", "shape": ["N"]}, "audio": {"shape": ["N", 8, 6]}})
    with pytest.warns(DataWarning, match=r"audio \['N', 8, 6\] \(the arrays: \['N', 8, 5\]\)"):
        read_native(folder)


def test_column_that_the_card_lists_and_a_split_lacks_is_refused(folder):
    for split in ("train", "valid", "test"):
        change_arrays(folder / f"{split}.npz", raw_text=None)
    with pytest.raises(InputError, match="split train, column raw_text: missing column"):
        read_native(folder)


def test_wrong_data_in_a_folder_name_split_column_and_row(folder):
    change_arrays(folder / "valid.npz", label=np.array([0, 1, np.nan, 0, 0]))
    with pytest.raises(InputError, match=r"data: split valid, column label, row 2 .*nan; expected .*\[-3, 3\]"):
        read_native(folder)


def test_existing_dataset_is_replaced_only_when_asked(dataset, folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    other = make_synthetic(seed=1, **SMALL)
    with pytest.raises(InputError, match="a dataset is there already"):
        write_native(other, folder)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}
    write_native(other, folder, overwrite=True)
    assert read_native(folder).fingerprint() == other.fingerprint() != dataset.fingerprint()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_what_another_process_wrote_meanwhile_stays(dataset, folder, tmp_path, monkeypatch):
    out, check = tmp_path / "new", native.check_target

    def meanwhile(target, overwrite=False):
        check(target, overwrite)
        if not target.exists():
            shutil.copytree(folder, target)

    monkeypatch.setattr(native, "check_target", meanwhile)
    with pytest.raises(InputError, match="a dataset is there already"):
        write_native(make_synthetic(seed=1, **SMALL), out)
    assert read_native(out).fingerprint() == dataset.fingerprint()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({folder.name, "new"})


def test_a_dataset_is_there_again_if_replacing_it_was_killed(dataset, folder, monkeypatch):
    def killed(part, folder):
        folder.rename(folder.with_name(f".{folder.name}.old.{whole_files._HOST}-{2**30}-00000000.msa_jax-part"))
        raise InputError("killed")

    monkeypatch.setattr(native, "replace_folder", killed)
    with pytest.raises(InputError, match="killed"):
        write_native(make_synthetic(seed=1, **SMALL), folder, overwrite=True)
    assert not folder.exists()
    with pytest.raises(InputError, match="a dataset is there already"):
        write_native(make_synthetic(seed=1, **SMALL), folder)
    assert read_native(folder).fingerprint() == dataset.fingerprint()


def test_folder_with_other_files_is_never_replaced(dataset, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"holds thesis\.tex"):
            write_native(dataset, tmp_path, overwrite=overwrite)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    with pytest.raises(InputError, match="is a file"):
        write_native(dataset, tmp_path / "thesis.tex", overwrite=True)


def test_empty_folder_is_filled(dataset, tmp_path):
    (tmp_path / "out").mkdir()
    write_native(dataset, tmp_path / "out")
    assert read_native(tmp_path / "out").fingerprint() == dataset.fingerprint()


@pytest.mark.parametrize("existing", [False, True])
def test_failure_while_writing_leaves_everything_as_it_was(dataset, tmp_path, monkeypatch, existing):
    folder = tmp_path / "data"
    if existing:
        write_native(dataset, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()} if existing else None
    real, calls = np.savez_compressed, []

    def full_disk(path, **arrays):
        calls.append(path)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        real(path, **arrays)

    monkeypatch.setattr(native.np, "savez_compressed", full_disk)
    with pytest.raises(InputError, match="data: cannot be written: No space left on device"):
        write_native(make_synthetic(seed=2, **SMALL), folder, overwrite=True)
    assert len(calls) == 3
    if existing:
        assert before == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == (["data"] if existing else [])


def test_dataset_that_is_not_valid_is_not_written(dataset, tmp_path):
    label = dataset.train.label.copy()
    label[3] = np.nan
    with pytest.raises(InputError, match="split train, column label, row 3"):
        write_native(replace(dataset, train=replace(dataset.train, label=label)), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_description_counts_what_is_there(dataset):
    described = describe(dataset)
    json.dumps(described, allow_nan=False)
    train = described["splits"]["train"]
    label = dataset.train.label.astype(np.float64)
    assert train["rows"] == 12
    assert train["labels"]["label"]["mean"] == pytest.approx(label.mean())
    assert train["labels"]["label"]["negative"] == int((label < 0).sum())
    assert train["lengths"]["words"]["max"] == max(len(text.split()) for text in dataset.train.raw_text)
    assert described["sha256"] == dataset.fingerprint()
    text = card_text(dataset)
    for part in ("synthetic", "-3 to 3", "float32 [N, 8, 5]", "12", dataset.card.caveats):
        assert part in text
