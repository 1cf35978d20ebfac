"""Loss terms every few mini-batches: what a record holds, and that recording changes nothing else."""

import numpy as np
import pytest

from msa_jax import cli
from msa_jax.config import Options, override
from msa_jax.errors import InputError
from msa_jax.train.report import recorded
from tests.tiny import TOY, tiny_dataset, train_toy
from tests.train.kit import AUDIO, STILL, Bench, alone, lines_of, outcome
from tests.train.test_epoch import plain

pytestmark = pytest.mark.usefixtures("toy")

UNEVEN = tiny_dataset(modalities=("audio",), rows=(23, 2, 2))  # 6 batches of 4; the last has 3 rows


@pytest.fixture(scope="module")
def batches() -> list[tuple[float, dict[str, float]]]:
    """Rows and sums of every mini-batch, in a loop outside the compiled one."""
    bench, found = Bench(TOY, UNEVEN, {"batch_size": 4}), []
    state = bench.state()
    for index in range(len(bench.plan)):
        state, report = bench.walk(state, start=index, stop=index + 1)
        found.append((float(report.count[0]), {name: float(value[0]) for name, value in report.sums.items()}))
    assert [rows for rows, _ in found] == [4, 4, 4, 4, 4, 3]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "every", [4, pytest.param(1, marks=pytest.mark.slow), pytest.param(50, marks=pytest.mark.slow)]
)
def test_a_record_is_the_mean_over_the_rows_of_so_many_batches_of_a_plain_loop(batches, every):
    bench = Bench(TOY, UNEVEN, {"batch_size": 4, "record_steps": every})
    _, report = bench.walk()
    found = recorded(alone(report))
    assert len(found) == -(-6 // every)
    for number, record in enumerate(found):
        block = batches[number * every : (number + 1) * every]
        assert record.keys() == {"multimodal", "inertia", "noise", "spread", "loss"}
        for name, value in record.items():
            want = sum(sums[name] for _, sums in block) / sum(rows for rows, _ in block)
            assert value == pytest.approx(want, rel=1e-5, abs=1e-7), name
    assert len({record["loss"] for record in found}) == len(found)
    # Where an epoch is cut, here within the first record, changes no bit.
    state, part = bench.walk(stop=3)
    _, parts = bench.walk(state, start=3, report=part)
    np.testing.assert_array_equal(report.records, parts.records)


@pytest.mark.parametrize("windows", [{}, {"accumulate": 4, "tail": "drop"}], ids=str)
def test_records_count_mini_batches_whatever_makes_an_update(windows):
    bench = plain(rows=22, batch_size=4, record_steps=3, **STILL, **windows)  # records of 12 and 10 rows
    _, report = bench.walk()
    x = bench.columns["audio"]["features"].sum(1, dtype=np.float64) / bench.columns["audio"]["length"][:, None]
    layers = [
        np.asarray(bench.params[f"{a}/{b}"], np.float64) for a in ("audio_encoder", "score") for b in ("kernel", "bias")
    ]
    score = (np.tanh(x @ layers[0] + layers[1]) @ layers[2] + layers[3])[:, 0]
    error = np.abs(score - bench.columns["label"])
    found = [record["error"] for record in recorded(alone(report))]
    np.testing.assert_allclose(found, [error[:12].mean(), error[12:].mean()], rtol=1e-5)


def test_nothing_is_in_the_program_where_nothing_is_recorded(batches):
    bench = Bench(TOY, UNEVEN, {"batch_size": 4})
    _, report = bench.walk(stop=1)
    assert recorded(alone(report)) == []
    assert report.records is None  # no leaf: nothing that a program could hold


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folders(toy, tmp_path_factory):
    """Two runs whose records are of three mini-batches, of the four of an epoch, and the same without records."""
    out = tmp_path_factory.mktemp("records")
    for name, every in (("off", 0), ("on", 3)):
        train_toy(out / name, AUDIO, seeds=(5, 6), options={"record_steps": every, "accumulate": 2, "max_epochs": 2})
    return out / "off", out / "on"


def test_records_are_lines_whose_steps_are_counted_over_epochs(folders):
    for number, seed in enumerate((5, 6)):
        lines = lines_of(folders[1] / "steps" / f"{seed}.jsonl")
        assert [line["epoch"] for line in lines] == [1, 1, 2, 2]
        assert [line["step"] for line in lines] == [3, 4, 7, 8]
        assert [line["steps"] for line in lines] == [3, 1, 3, 1]
        assert {(line["run"], line["seed"]) for line in lines} == {(number, seed)}


def test_the_records_of_an_epoch_have_its_mean(folders):
    records = lines_of(folders[1] / "steps" / "5.jsonl")
    for epoch, line in enumerate(line for line in lines_of(folders[1]) if line["seed"] == 5):
        first, second = records[2 * epoch : 2 * epoch + 2]
        assert line["train"].keys() == first["train"].keys()
        for name, mean in line["train"].items():
            assert (21 * first["train"][name] + 3 * second["train"][name]) / 24 == pytest.approx(mean, rel=1e-5)


def test_recording_changes_no_bit_of_a_run(folders):
    off, on = (outcome(folder) for folder in folders)
    assert (off.pop("steps"), len(on.pop("steps"))) == ({}, 2)
    for every, found in ((0, off), (3, on)):
        assert [run["hyperparameters"].pop("record_steps") for run in found["result"]["runs"]] == [every] * 2
    assert off == on
    assert not (folders[0] / "steps").exists()


@pytest.mark.slow
def test_records_name_the_stage_where_there_are_several(tmp_path):
    train_toy(tmp_path, AUDIO, options={"record_steps": 4, "stages": 2, "encoder_epochs": 1, "max_epochs": 2})
    assert [line["stage"] for line in lines_of(tmp_path / "steps" / "1.jsonl")] == ["encoder", "score", "score"]


def test_the_option_is_given_as_any_other(tmp_path, capsys):
    words = ["train", "toy", "--data", "synthetic", "--out", str(tmp_path / "run"), "--record-steps", "-1"]
    assert cli.main(words) == 2
    assert "option record_steps is -1; expected a number that is not negative" in capsys.readouterr().err


@pytest.mark.parametrize("value", [-1, "0.5", "yes"])
def test_what_is_no_number_of_steps_is_refused(value):
    with pytest.raises(InputError, match=rf"option record_steps is '?{value}'?; expected"):
        override(Options(), {"record_steps": value})
