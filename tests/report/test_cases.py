import numpy as np
import pytest

from msa_jax.data.subset import take_fraction
from msa_jax.errors import InputError
from msa_jax.report import studies
from msa_jax.report.cases import choose_cases
from msa_jax.report.studies import reproduce
from tests.report.studies_kit import pretend_to_train, write_study
from tests.tiny import tiny_dataset

OFFSETS = {  # of the first rows; all others stay at the m-label
    "label_t": [0.1, -1.0, 1.0, 0.5, -0.5, 0.0],
    "label_a": [0.1, -1.0, 1.0, 0.5, 0.5, -2.0],
    "label_v": [0.1, -0.1, 0.1, 0.6, 0.2, 0.0],
}


def u_labels(dataset, seed, epoch):
    found = {}
    for name, offsets in OFFSETS.items():
        found[name] = dataset.train.label.copy()
        found[name][: len(offsets)] += np.float32(offsets) * np.float32(1 + seed / 10)
    return found


def test_one_case_of_each_direction_with_the_largest_distance():
    m = np.zeros(6, np.float32)
    cases = choose_cases({name: np.float32(offsets) for name, offsets in OFFSETS.items()}, m)
    # all lower: only row 1. all higher: mean 0.7 of row 2, 0.53 of row 3. opposed: row 4; row 5 has nothing above.
    assert [(case.direction, case.row) for case in cases] == [("all lower", 1), ("all higher", 2), ("opposed", 4)]


def test_distances_are_from_the_m_label():
    m = np.array([2.0, -2.0], np.float32)
    (case,) = choose_cases({"label_t": np.array([1.0, -2.0], np.float32)}, m)
    assert (case.direction, case.row) == ("all lower", 0)


def test_the_first_row_wins_a_tie():
    (case,) = choose_cases({"label_a": np.array([0.0, 1.0, 1.0], np.float32)}, np.zeros(3, np.float32))
    assert case.row == 1


def test_labels_that_have_not_moved_give_no_cases():
    assert choose_cases({"label_t": np.ones(4, np.float32)}, np.ones(4, np.float32)) == []


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "train", pretend_to_train(u_labels))
    return write_study(
        tmp_path / "toy_figure9.py",
        kind="case_table",
        columns="label label_t label_v",
        rows="And he did a great job. | -0.5 0.91 -0.31",
        variants=({"name": "Self-MM", "method": "self_mm"},),
    )


def test_cases_are_means_over_seeds_beside_the_papers(tmp_path, study):
    dataset = tiny_dataset(human_labels=True)
    found = reproduce(study, dataset, seeds=(1, 3), out=tmp_path / "out", log=None)
    train = dataset.train
    lower, higher, opposed = found.content["variants"]["Self-MM"]
    assert (lower["row"], higher["row"], opposed["row"]) == (1, 2, 4)
    assert lower["text"] == train.raw_text[1]
    assert lower["m_label"] == train.label[1]
    # offsets -1.1 and -1.3
    assert lower["u_labels"]["mean"]["text"] == pytest.approx(train.label[1] - 1.2, abs=1e-5)
    assert lower["u_labels"]["std"]["text"] == pytest.approx(0.2 / np.sqrt(2), abs=1e-5)
    assert lower["own_labels"]["vision"] == train.label_v[1]
    (table,) = found.tables
    assert table.columns[2:7] == ("text", "m-label", "u-label text", "u-label audio", "u-label vision")
    assert table.rows[0][4] == f"{train.label[1] - 1.2:.2f} ± 0.14"
    assert table.rows[3][1:7] == ("paper, mosi", "And he did a great job.", "-0.5", "0.91", "-", "-0.31")
    assert any("The first row wins a tie" in note for note in table.notes)
    assert "NOT comparable" in found.text


def test_cases_are_of_the_part_of_the_training_samples_that_was_used(tmp_path, study):
    dataset = tiny_dataset(human_labels=True)
    found = reproduce(study, dataset, seeds=(1,), out=tmp_path / "out", log=None, options={"train_fraction": 0.5})
    train = take_fraction(dataset, 0.5, seed=0).train
    assert train.id[1] != dataset.train.id[1]
    lower = found.content["variants"]["Self-MM"][0]
    assert (lower["row"], lower["id"], lower["text"]) == (1, train.id[1], train.raw_text[1])
    assert (lower["m_label"], lower["own_labels"]["text"]) == (train.label[1], train.label_t[1])


def test_a_dataset_without_words_shows_ids(tmp_path, study):
    dataset = tiny_dataset(modalities=("audio", "vision"))
    found = reproduce(study, dataset, seeds=(1,), out=tmp_path / "out", log=None)
    assert found.content["variants"]["Self-MM"][0]["text"] is None
    assert found.tables[0].columns[2] == "id"
    assert found.tables[0].rows[0][2] == "train1"


def test_labels_of_other_rows_are_refused(tmp_path, study):
    dataset = tiny_dataset()
    reproduce(study, dataset, seeds=(1,), out=tmp_path / "out", log=None)
    path = tmp_path / "out" / "self-mm" / "labels" / "1.npz"
    with np.load(path) as file:
        arrays = {**file, "id": file["id"][::-1]}
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=r"labels/1.npz: other ids than those of tiny"):
        reproduce(study, dataset, seeds=(1,), out=tmp_path / "out", log=None)


def test_missing_labels_are_named(tmp_path, study):
    dataset = tiny_dataset()
    reproduce(study, dataset, seeds=(1,), out=tmp_path / "out", log=None)
    path = tmp_path / "out" / "self-mm" / "labels" / "1.npz"
    path.unlink()
    with pytest.raises(InputError, match=r"labels/1.npz: no such file; expected the unimodal labels"):
        reproduce(study, dataset, seeds=(1,), out=tmp_path / "out", log=None)
