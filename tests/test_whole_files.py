"""Files and folders that are whole or absent; links, pipes and devices stay what they are."""

import os
import subprocess
import sys
import threading

import pytest

from msa_jax.whole_files import new_folder, replacing


def write(path, content=b"new"):
    with replacing(path) as file:
        file.write(content)


def test_a_link_stays_one_and_its_file_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "there" / "file")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "file").read_bytes() == b"new"
    assert {path.name for path in tmp_path.iterdir()} == {"there", "link"}


def test_a_pipe_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()), daemon=True)
    reader.start()
    write(tmp_path / "pipe")
    reader.join(10)
    assert read == [b"new"]
    assert (tmp_path / "pipe").is_fifo()


def test_a_folder_is_whole_or_absent(tmp_path):
    def fail():
        with new_folder(tmp_path / "made") as part:
            (part / "file").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not list(tmp_path.iterdir())
    (tmp_path / "made").mkdir()
    with new_folder(tmp_path / "made") as part:
        (part / "file").write_text("whole")
        assert not list((tmp_path / "made").iterdir())
    assert (tmp_path / "made" / "file").read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_what_dead_processes_left_of_a_folder_goes_with_the_next_one(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for number in (ended.pid, os.getppid(), os.getpid()):  # in a container the next process may have the same number
        (tmp_path / f".made.{number}" / "sub").mkdir(parents=True)
    with new_folder(tmp_path / "made"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"made", f".made.{os.getppid()}"}
