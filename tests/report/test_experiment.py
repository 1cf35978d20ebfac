"""Experiment folders made by hand are read; damaged ones are refused in one line."""

import json

import numpy as np
import pytest

from msa_jax.errors import DataWarning, InputError
from msa_jax.report.experiment import read_metrics, read_predictions, read_result

NAN = float("nan")


def _write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return folder


def test_result_is_read_with_its_runs(write_experiment):
    folder = write_experiment("a", {1111: {"MAE": 0.7, "Corr": 0.8}, 1112: {"MAE": 1, "Corr": 0.6}}, method="mmcl")
    result = read_result(folder)
    assert (result["method"], result["dataset"]) == ("mmcl", "mosi")
    assert [run["seed"] for run in result["runs"]] == [1111, 1112]
    assert result["runs"][1]["test"] == {"MAE": 1.0, "Corr": 0.6}
    assert result["runs"][0]["best_epoch"] == 3


def test_null_and_nan_metrics_are_read_as_none(write_experiment):
    folder = write_experiment("a", {1: {"Corr": None}, 2: {"Corr": NAN}})
    assert [run["test"] for run in read_result(folder)["runs"]] == [{"Corr": None}, {"Corr": None}]


def test_unfinished_experiment_is_told_how_to_resume(tmp_path):
    folder = _write(tmp_path / "my run", "config.json", '{"method": "sugrm"}')
    expected = f"{folder}: not finished: resume it with msa-jax resume '{folder}'"
    with pytest.raises(InputError) as error:
        read_result(folder)
    assert str(error.value) == expected


def test_unfinished_experiment_with_a_broken_configuration_is_still_named(tmp_path):
    with pytest.raises(InputError, match="not finished: resume it with msa-jax resume "):
        read_result(_write(tmp_path / "a", "config.json", "[1"))


RUN = {"seed": 1, "valid": {"MAE": 1.0}, "test": {"MAE": 1.0}}
RESULT = {"method": "mmcl", "dataset": "mosi", "runs": [RUN], "mean": {}, "std": {}}


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ([], "is not a JSON object: expected keys method, dataset"),
        ({key: RESULT[key] for key in RESULT if key != "std"}, "has no 'std'"),
        ({**RESULT, "method": 3}, "'method' is a int: expected str"),
        ({**RESULT, "runs": []}, "runs is empty"),
        ({**RESULT, "runs": [RUN, 3]}, r"runs\[1\] is not a JSON object"),
        ({**RESULT, "runs": [{**RUN, "seed": True}]}, r"runs\[0\]: 'seed' is a bool: expected int"),
        ({**RESULT, "runs": [{"seed": 1, "test": {}}]}, r"runs\[0\] has no 'valid'"),
        ({**RESULT, "runs": [{**RUN, "test": {"MAE": "low"}}]}, r"runs\[0\]\.test: 'MAE' is 'low': expected a number"),
        ({**RESULT, "runs": [RUN, {**RUN, "test": {"F1": 1}}]}, r"runs\[1\]\.test has other metrics than runs\[0\]"),
        ({**RESULT, "mean": {"MAE": []}}, r"mean: 'MAE' is \[\]"),
    ],
)
def test_damaged_result_is_refused_with_the_place(tmp_path, result, message):
    folder = _write(tmp_path, "result.json", json.dumps(result))
    with pytest.raises(InputError, match=rf"result\.json.*{message}"):
        read_result(folder)


def test_absent_folder_empty_folder_and_broken_json_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read_result(tmp_path / "none")
    with pytest.raises(InputError, match=r"neither result\.json nor config\.json"):
        read_result(tmp_path)
    for broken in (b'{"method": ', b"\xff\xfe\x00"):
        (tmp_path / "result.json").write_bytes(broken)
        with pytest.raises(InputError, match=r"result\.json: not a readable JSON file"):
            read_result(tmp_path)


def test_predictions_keep_order_ids_and_float32_values(tmp_path):
    values = np.array([1 / 3, -2.7182817, 1e-8], np.float32)
    rows = [f'"x,{i}",{0.2 * i},{value},{-value}' for i, value in enumerate(values)]
    _write(tmp_path, "predictions/test.csv", "\n".join(["id,label,1111/prediction,1111/text", *rows]) + "\n")
    ids, label, columns = read_predictions(tmp_path, "test")
    assert ids.tolist() == ["x,0", "x,1", "x,2"]
    assert label.dtype == np.float32
    assert list(columns) == ["1111/prediction", "1111/text"]
    np.testing.assert_array_equal(label, np.array([0, 0.2, 0.4], np.float32))
    np.testing.assert_array_equal(columns["1111/prediction"], values)
    np.testing.assert_array_equal(columns["1111/text"], -values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns are absent: expected id, label"),
        ("id,score\na,1\n", "columns are id, score: expected id, label"),
        ("id,label,1/prediction,1/prediction\na,1,1,1\n", "columns are .* each once"),
        ("id,label\n", "no rows"),
        ("id,label,1/prediction\na,1,2\nb,1\n", "line 3 has 2 cells: expected 3"),
        ("id,label,1/prediction\na,1,2\nb,1,two\n", "line 3, column '1/prediction' is 'two': expected a finite number"),
        ("id,label,1/prediction\na,,2\n", "line 2, column 'label' is ''"),
        ("id,label,1/prediction\na,1,nan\n", "line 2, column '1/prediction' is 'nan'"),
        ("id,label\na,1\nb,1\na,1\n", "id 'a' occurs 2 times"),
    ],
)
def test_damaged_predictions_are_refused_with_the_place(tmp_path, text, message):
    _write(tmp_path, "predictions/valid.csv", text)
    with pytest.raises(InputError, match=rf"valid\.csv: {message}"):
        read_predictions(tmp_path, "valid")


def test_predictions_that_are_not_text_are_refused(tmp_path):
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "test.csv").write_bytes(b"id,label\n\xff,1\n")
    with pytest.raises(InputError, match=r"test\.csv: not a readable CSV file"):
        read_predictions(tmp_path, "test")


def test_absent_predictions_and_unknown_splits_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"test\.csv: no such file"):
        read_predictions(tmp_path, "test")
    with pytest.raises(InputError, match="'train' is unknown: expected one of valid, test"):
        read_predictions(tmp_path, "train")


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    _write(tmp_path, "run/predictions/test.csv", "id,label,1/prediction\na,1,2\n")
    _write(tmp_path, "run/metrics.jsonl", '{"epoch": 1}\n')
    assert read_predictions("~/run", "test")[0].tolist() == ["a"]
    assert read_metrics("~/run") == [{"epoch": 1}]


def test_epochs_are_read_in_the_order_written(tmp_path):
    epochs = [{"run": run, "epoch": epoch, "valid": {"MAE": 1.5}} for epoch in (1, 2) for run in (0, 1)]
    _write(tmp_path, "metrics.jsonl", "".join(json.dumps(epoch) + "\n" for epoch in epochs))
    assert read_metrics(tmp_path) == epochs


def test_a_last_line_cut_off_by_a_kill_is_left_out_with_a_warning(tmp_path):
    _write(tmp_path, "metrics.jsonl", '{"epoch": 1}\n{"epoch": 2, "val')
    with pytest.warns(DataWarning, match="line 2 is cut off"):
        assert read_metrics(tmp_path) == [{"epoch": 1}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"epoch": 1\n{"epoch": 2}\n', "line 1 is not JSON$"),
        ('{"epoch": 1}\n{"epo\n', "line 2 is not JSON$"),
        ('{"epoch": 1}\n3\n', "line 2 is not a JSON object"),
    ],
)
def test_other_broken_lines_are_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_metrics(_write(tmp_path, "metrics.jsonl", text))
    with pytest.raises(InputError, match="no such file"):
        read_metrics(tmp_path / "none")
