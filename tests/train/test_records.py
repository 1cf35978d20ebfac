"""Loss terms every few mini-batches: what a record holds, and that recording changes nothing else."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax import cli
from msa_jax.config import Options, override
from msa_jax.data import write_native
from msa_jax.errors import InputError
from msa_jax.train import resident
from msa_jax.train.epoch_report import recorded
from msa_jax.train.program import Span
from tests.tiny import TOY, TOY_QUICK, tiny_dataset, train_toy
from tests.train.test_program import Bench, plain
from tests.train.test_resume import outcome

pytestmark = pytest.mark.usefixtures("toy")
STILL = {"learning_rate.audio": 0.0, "learning_rate.other": 0.0}


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def one_batch_at_a_time(bench: Bench) -> list[tuple[float, dict[str, float]]]:
    """Rows and sums of every mini-batch, in a loop outside the compiled one."""
    data, plan, state, found = jax.device_put(bench.columns), jax.tree.map(jnp.asarray, bench.plan), bench.state(), []
    for index in range(len(bench.plan)):
        report = bench.program.empty_report(state, {}, data, plan)
        span = Span.of(index, index + 1, count=len(bench.plan))
        state, report = bench.program.train(state, {}, data, plan, span, report)
        found.append((float(report.rows), {name: float(value) for name, value in report.sums.items()}))
    return found


UNEVEN = tiny_dataset(modalities=("audio",), rows=(23, 2, 2))  # 6 batches of 4; the last has 3 rows


@pytest.fixture(scope="module")
def batches():
    found = one_batch_at_a_time(Bench(TOY, UNEVEN, {"batch_size": 4}))
    assert [rows for rows, _ in found] == [4, 4, 4, 4, 4, 3]
    return found


@pytest.mark.parametrize("every", [1, 4, 50])
def test_a_record_is_the_mean_over_the_rows_of_so_many_batches_of_a_plain_loop(batches, every):
    _, report = Bench(TOY, UNEVEN, {"batch_size": 4, "record_steps": every}).walk()
    found = recorded(report)
    assert len(found) == -(-6 // every)
    for number, record in enumerate(found):
        block = batches[number * every : (number + 1) * every]
        assert record.keys() == {"multimodal", "inertia", "noise", "spread", "loss"}
        for name, value in record.items():
            want = sum(sums[name] for _, sums in block) / sum(rows for rows, _ in block)
            assert value == pytest.approx(want, rel=1e-5, abs=1e-7), name
    assert len({record["loss"] for record in found}) == len(found)


@pytest.mark.parametrize("windows", [{}, {"accumulate": 4}, {"accumulate": 4, "tail": "drop"}], ids=str)
def test_records_count_mini_batches_whatever_makes_an_update(windows):
    bench = plain(rows=22, batch_size=4, record_steps=3, **STILL, **windows)  # records of 12 and 10 rows
    _, report = bench.walk()
    x = bench.columns["audio"]["features"].sum(1, dtype=np.float64) / bench.columns["audio"]["length"][:, None]
    layers = [
        np.asarray(bench.params[a][b], np.float64) for a in ("audio_encoder", "score") for b in ("kernel", "bias")
    ]
    score = (np.tanh(x @ layers[0] + layers[1]) @ layers[2] + layers[3])[:, 0]
    error = np.abs(score - bench.columns["label"])
    found = [record["error"] for record in recorded(report)]
    np.testing.assert_allclose(found, [error[:12].mean(), error[12:].mean()], rtol=1e-5)


def test_where_an_epoch_is_cut_changes_no_bit_of_its_records():
    bench = Bench(TOY, UNEVEN, {"batch_size": 4, "record_steps": 4})
    _, whole = bench.walk()
    state, part = bench.walk(stop=3)  # within the first record
    data, plan = jax.device_put(bench.columns), jax.tree.map(jnp.asarray, bench.plan)
    _, parts = bench.program.train(state, {}, data, plan, Span.of(3, 6, count=6), part)
    np.testing.assert_array_equal(whole.records, parts.records)


def test_nothing_is_in_the_program_where_nothing_is_recorded():
    reports = [Bench(TOY, UNEVEN, {"batch_size": 4, "record_steps": every}).walk(stop=1)[1] for every in (0, 4)]
    assert recorded(reports[0]) == []
    assert reports[0].records is None  # no leaf: nothing that a program could hold
    assert len(jax.tree.leaves(reports[0])) == len(jax.tree.leaves(reports[1])) - 1


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("every", "ends"), [(1, [1, 2, 3, 4]), (3, [3, 4])])
def test_records_are_lines_whose_steps_are_counted_over_epochs(tmp_path, every, ends):
    train_toy(tmp_path, seeds=(5, 6), options={"record_steps": every, "max_epochs": 2})  # 4 batches an epoch
    for number, seed in enumerate((5, 6)):
        lines = lines_of(tmp_path / "steps" / f"{seed}.jsonl")
        assert [line["epoch"] for line in lines] == [1] * len(ends) + [2] * len(ends)
        assert [line["step"] for line in lines] == [*ends, *(end + 4 for end in ends)]
        assert [line["steps"] for line in lines] == 2 * np.diff([0, *ends]).tolist()
        assert {(line["run"], line["seed"]) for line in lines} == {(number, seed)}


def test_the_records_of_an_epoch_have_its_mean(tmp_path):
    train_toy(tmp_path, options={"record_steps": 2, "max_epochs": 3})  # batches of 7, 7 | 7, 3 rows
    records = lines_of(tmp_path / "steps" / "1.jsonl")
    for epoch, line in enumerate(lines_of(tmp_path / "metrics.jsonl")):
        first, second = records[2 * epoch : 2 * epoch + 2]
        assert line["train"].keys() == first["train"].keys()
        for name, mean in line["train"].items():
            assert (14 * first["train"][name] + 10 * second["train"][name]) / 24 == pytest.approx(mean, rel=1e-5)


def test_records_name_the_stage_where_there_are_several(tmp_path):
    train_toy(tmp_path, options={"record_steps": 4, "stages": 2, "encoder_epochs": 1, "max_epochs": 2})
    assert [line["stage"] for line in lines_of(tmp_path / "steps" / "1.jsonl")] == ["encoder", "score", "score"]


def test_a_streamed_dataset_has_the_same_records(tmp_path, monkeypatch):
    options = {"record_steps": 3, "batch_size": 4, "max_epochs": 2}
    train_toy(tmp_path / "resident", options={**options, "resident": "yes"})
    monkeypatch.setattr(resident, "STREAM_BYTES", 1)  # one batch at a time
    train_toy(tmp_path / "streamed", options={**options, "resident": "no"})
    assert (tmp_path / "streamed/steps/1.jsonl").read_bytes() == (tmp_path / "resident/steps/1.jsonl").read_bytes()


def test_recording_changes_no_bit_of_a_run(tmp_path):
    for name, every in (("off", 0), ("on", 2)):
        train_toy(tmp_path / name, options={"record_steps": every, "accumulate": 2, "max_epochs": 3})
    off, on = outcome(tmp_path / "off"), outcome(tmp_path / "on")
    assert (off.pop("steps"), len(on.pop("steps"))) == ({}, 1)
    for every, found in ((0, off), (2, on)):
        assert [run["hyperparameters"].pop("record_steps") for run in found["result"]["runs"]] == [every]
    assert off == on
    assert not (tmp_path / "off" / "steps").exists()


def test_the_option_is_given_as_any_other(tmp_path, capsys):
    write_native(tiny_dataset(modalities=("audio",)), tmp_path / "data")
    quick = [word for name, value in TOY_QUICK.items() for word in (f"--{name}", str(value))]
    words = [
        "train",
        "toy",
        "--data",
        str(tmp_path / "data"),
        "--seeds",
        "1",
        "--out",
        str(tmp_path / "run"),
        "--quiet",
    ]
    assert cli.main([*words, *quick, "--record-steps", "2"]) == 0
    assert len(lines_of(tmp_path / "run" / "steps" / "1.jsonl")) == 8
    capsys.readouterr()
    assert cli.main([*words, "--overwrite", "--record-steps", "-1"]) == 2
    assert "option record_steps is -1; expected a number that is not negative" in capsys.readouterr().err


@pytest.mark.parametrize("value", [-1, "0.5", "yes"])
def test_what_is_no_number_of_steps_is_refused(value):
    with pytest.raises(InputError, match=rf"option record_steps is '?{value}'?; expected"):
        override(Options(), {"record_steps": value})
