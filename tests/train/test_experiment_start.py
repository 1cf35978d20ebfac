"""The folder of an experiment begins, is gone on with by what made it alone, and is emptied of what experiments write alone."""

import json
import os
from pathlib import Path

import pytest

from msa_jax.errors import InputError
from msa_jax.train import experiment_dir, experiment_start


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


# -- emptying ---------------------------------------------------------------------------------------------------------


OURS = json.dumps({"method": "tfn", "protocol": "paper", "dataset": "mosi", "seeds": [1], "options": {}})


def test_an_experiment_is_emptied_but_for_the_lock(tmp_path):
    for name in ("config.json", "result.json", ".lock", ".result.json.1a2b3c4d-123-5e6f7a8b.msa_jax-part"):
        (tmp_path / name).write_text(OURS)
    (tmp_path / "checkpoints" / "1").mkdir(parents=True)
    experiment_start.clear(tmp_path)
    assert names(tmp_path) == {".lock"}


def test_what_is_left_of_emptying_that_was_killed_is_emptied(tmp_path, monkeypatch):
    for name in ("config.json", "result.json", "metrics.jsonl"):
        (tmp_path / name).write_text(OURS)
    (tmp_path / "labels").mkdir()
    for limit in range(2):  # as many deletions, then the end
        left = iter(range(limit))

        def unlink(path, left=left):
            next(left)
            os.unlink(path)

        monkeypatch.setattr(Path, "unlink", unlink)
        with pytest.raises(StopIteration):
            experiment_start.clear(tmp_path)
        monkeypatch.undo()
        assert "config.json" in names(tmp_path)
    experiment_start.clear(tmp_path)
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    "others",
    [
        {"thesis.txt": ""},
        {"config.json": '{"model_type": "bert"}', "model.safetensors": "weights"},  # a text encoder
        {"config.json": "{", "result.json": "{}"},
        {"config.json": "[]"},
        {"config.json": OURS, "thesis.txt": ""},
        {"config.json": OURS, ".git": ""},
        {"config.json": OURS, ".result.json": ""},
    ],
)
def test_what_is_not_an_experiment_is_not_emptied(tmp_path, others):
    for name, content in others.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match="not overwritten"):
        experiment_start.clear(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == others


def test_what_a_link_in_an_experiment_leads_to_is_not_deleted(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "weights").write_text("")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(OURS)
    (tmp_path / "run" / "checkpoints").symlink_to(tmp_path / "kept")
    experiment_start.clear(tmp_path / "run")
    assert names(tmp_path / "run") == set()
    assert names(tmp_path / "kept") == {"weights"}


def test_what_an_experiment_leaves_that_is_killed_while_it_begins_is_no_other_thing(tmp_path):
    for name in (".lock", "environment.json", ".config.json.1a2b3c4d-123-5e6f7a8b.msa_jax-part"):
        (tmp_path / name).write_text("")
    assert not experiment_dir.holds_other_things(tmp_path)
    experiment_start.clear(tmp_path)
    assert names(tmp_path) == {".lock"}


@pytest.mark.parametrize("deleted", range(1, 5))
def test_a_folder_that_is_partly_cleared_is_neither_finished_nor_something_else(tmp_path, monkeypatch, deleted):
    content = {"method": "toy", "protocol": "paper", "dataset": "tiny", "seeds": [1], "options": {}}
    (tmp_path / "config.json").write_text(json.dumps(content))
    for name in ("environment.json", "metrics.jsonl", "result.json", "report.html"):
        (tmp_path / name).write_text("{}")
    left = iter(range(deleted))
    unlink = Path.unlink

    def unlink_some(path):
        if next(left, None) is None:
            raise KeyboardInterrupt
        unlink(path)

    monkeypatch.setattr(Path, "unlink", unlink_some)
    with pytest.raises(KeyboardInterrupt):
        experiment_start.clear(tmp_path)
    assert names(tmp_path) >= {"config.json"}
    assert "result.json" not in names(tmp_path)
    assert ("environment.json" in names(tmp_path)) == (deleted < 4)


# -- the format -------------------------------------------------------------------------------------------------------

BEGUN = {"method": "toy", "protocol": "paper", "dataset": "tiny", "seeds": [1], "options": {"batch_size": 4}}


def test_a_folder_says_its_format_and_one_of_an_older_format_goes_on_in_this_one(tmp_path):
    file = tmp_path / "config.json"
    experiment_start.begin(tmp_path, BEGUN, {}, defaults={})
    assert json.loads(file.read_text()) == {"format": 2, **BEGUN}
    experiment_start.begin(tmp_path, BEGUN, {}, defaults={})  # goes on
    for older in (BEGUN, {"format": 1, **BEGUN}):  # the first is of a version that wrote no number
        file.write_text(json.dumps(older))
        experiment_start.begin(tmp_path, BEGUN, {}, defaults={})
        assert json.loads(file.read_text()) == {"format": 2, **BEGUN}


def test_whether_a_state_stays_is_as_the_last_command_says(tmp_path):
    for keep in (False, True):
        experiment_start.begin(tmp_path, {**BEGUN, "keep_state": keep}, {}, defaults={})
        assert json.loads((tmp_path / "config.json").read_text())["keep_state"] is keep


@pytest.mark.parametrize(("number", "message"), [(3, "newer msa_jax"), (0, "whole number"), (True, "whole number")])
def test_a_folder_of_a_newer_format_is_refused_and_left_as_it_is(tmp_path, number, message):
    file = tmp_path / "config.json"
    experiment_start.begin(tmp_path, BEGUN, {}, defaults={})
    file.write_text(json.dumps({"format": number, **BEGUN}))
    with pytest.raises(InputError, match=rf"config\.json: format .*{message}"):
        experiment_start.begin(tmp_path, BEGUN, {}, defaults={})
    assert json.loads(file.read_text())["format"] is number


def test_options_of_a_newer_version_are_refused(tmp_path):
    experiment_start.begin(tmp_path, {**BEGUN, "options": {"batch_size": 4, "of_tomorrow": 2}}, {}, defaults={})
    with pytest.raises(InputError, match="another of_tomorrow"):
        experiment_start.begin(tmp_path, BEGUN, {}, defaults={"batch_size": 8})


def test_another_text_encoder_is_refused_and_the_same_goes_on(tmp_path):
    for encoder in ("a" * 64, "a" * 64, None):
        experiment_start.begin(tmp_path, BEGUN, {}, defaults={}, encoder=encoder)
    with pytest.raises(InputError, match="the weights or the vocabulary of the text encoder are not those"):
        experiment_start.begin(tmp_path, BEGUN, {}, defaults={}, encoder="b" * 64)


def test_a_text_encoder_that_an_older_version_did_not_write_down_is_not_compared(tmp_path):
    experiment_start.begin(tmp_path, BEGUN, {}, defaults={})
    experiment_start.begin(tmp_path, BEGUN, {}, defaults={}, encoder="b" * 64)


def test_when_and_on_what_it_was_gone_on_with_is_written_down(tmp_path):
    experiment_start.begin(tmp_path, BEGUN, {}, defaults={})
    for _ in range(2):
        experiment_start.note_resumed(tmp_path)
    told = json.loads((tmp_path / "environment.json").read_text())
    assert len(told["resumed"]) == 2
    assert all({"started", "versions", "devices", "commit", "command"} <= one.keys() for one in told["resumed"])
