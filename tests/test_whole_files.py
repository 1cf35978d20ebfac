"""Files and folders that are whole or absent; links, pipes and devices stay what they are."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from msa_jax import whole_files
from msa_jax.whole_files import new_folder, put_back, replace_folder, replacing, whole_name


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


def part_name(name, process, *, host=whole_files._HOST, word="00000000"):
    return f".{name}.{host}-{process}-{word}.msa_jax-part"


@pytest.fixture(scope="module")
def ended():
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_dead_processes_left_of_a_folder_goes_with_the_next_one(tmp_path, ended):
    for number in (ended, os.getppid(), os.getpid()):  # in a container the next process may have the same number
        (tmp_path / part_name("made", number) / "sub").mkdir(parents=True)
    with new_folder(tmp_path / "made"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"made", part_name("made", os.getppid())}


def test_only_parts_of_this_machine_are_deleted(tmp_path, ended):
    other = part_name("x", ended, host="00000000" if whole_files._HOST != "00000000" else "00000001")
    kept = {f".x.{ended}", ".x.20240101", ".x.old", other, part_name("y", ended), part_name("x.y", ended)}
    (tmp_path / ".x.20240102").mkdir()
    for name in (*kept, part_name("x", ended)):
        (tmp_path / name).write_text("")
    write(tmp_path / "x")
    assert {path.name for path in tmp_path.iterdir()} == {*kept, ".x.20240102", "x"}


def test_containers_with_one_name_do_not_delete_each_others_parts(monkeypatch):
    """Each sees its own processes, and the numbers of another container's mean nothing to it."""
    hosts = []
    for numbers in ("pid:[1]", "pid:[2]"):
        monkeypatch.setattr(whole_files.os, "readlink", lambda path, numbers=numbers: numbers)
        hosts.append(whole_files._host())
    assert len({*hosts, whole_files._HOST}) == 3


def test_abandoned_parts_are_of_processes_that_have_ended(tmp_path, ended):
    (tmp_path / "sub").mkdir()
    dead, lives = tmp_path / "sub" / part_name("x", ended), tmp_path / part_name("x", os.getppid())
    for path in (dead, lives, tmp_path / "x"):
        path.touch()
    assert whole_files.abandoned(tmp_path) == [dead]


def test_a_folder_that_another_machine_had_moved_away_is_put_back_after_a_minute(tmp_path, ended, monkeypatch):
    moved = tmp_path / part_name("made.old", ended, host="00000000")
    moved.mkdir()
    put_back(tmp_path / "made")
    assert moved.exists()
    now = time.time()
    monkeypatch.setattr(whole_files.time, "time", lambda: now + 61)
    put_back(tmp_path / "made")
    assert (tmp_path / "made").exists()


def test_a_folder_that_was_replaced_is_never_put_back_half_deleted(tmp_path, monkeypatch):
    def killed(path, ignore_errors=False):
        (path / "a").unlink()
        raise KeyboardInterrupt

    made = tmp_path / "made"
    made.mkdir()
    for name in "ab":
        (made / name).touch()
    monkeypatch.setattr(whole_files.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        replace_folder(tmp_path_of_part(made), made)
    monkeypatch.undo()
    made.rename(tmp_path / "elsewhere")
    put_back(made)
    assert not made.exists()


def tmp_path_of_part(made):
    part = made.with_name("part")
    part.mkdir()
    return part


def test_of_several_that_were_moved_away_the_newest_is_put_back(tmp_path, ended):
    for number, name in enumerate(("older", "newer")):
        moved = tmp_path / part_name("made.old", ended, word=f"0000000{number}")
        moved.mkdir()
        (moved / name).touch()
        time.sleep(0.02)
    put_back(tmp_path / "made")
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["newer"]


def test_abandoned_parts_are_listed_once_and_those_that_may_be_put_back_are_not(tmp_path, ended):
    part = tmp_path / part_name("x", ended)
    (part / part_name("inner", ended)).mkdir(parents=True)
    (tmp_path / part_name("made.old", ended)).mkdir()
    (tmp_path / part_name("link", ended)).symlink_to(tmp_path)
    assert sorted(whole_files.abandoned(tmp_path)) == sorted([part, tmp_path / part_name("link", ended)])


def test_a_part_of_another_machine_that_is_written_to_stays(tmp_path, ended, monkeypatch):
    part = tmp_path / part_name("x", ended, host="00000000")
    part.mkdir()
    (part / "file").touch()
    assert whole_files.abandoned(tmp_path) == []
    now = time.time()
    monkeypatch.setattr(whole_files.time, "time", lambda: now + 25 * 3600)
    write(tmp_path / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_what_a_shell_appends_to_is_not_replaced(tmp_path):
    (tmp_path / "log").write_text("before\n")
    code = (
        "from pathlib import Path\nfrom msa_jax.whole_files import replacing\n"
        "with replacing(Path('/dev/stdout')) as file: file.write(b'after')"
    )
    with (tmp_path / "log").open("a") as log:
        subprocess.run([sys.executable, "-c", code], stdout=log, check=True)
    assert (tmp_path / "log").read_text() == "before\nafter"


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="there is no /dev/shm")
def test_a_file_in_memory_is_replaced_as_any_other():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder, "x")
        for content in (b"first", b"second"):
            with replacing(path) as file:
                file.write(content)
        assert path.read_bytes() == b"second"


def test_a_part_has_the_name_of_what_it_becomes(tmp_path):
    with new_folder(tmp_path / "made") as part:
        assert whole_name(part.name) == "made"
    for name in ("made", ".made", ".made.123", "x.msa_jax-part"):
        assert whole_name(name) == name


def test_a_folder_that_was_to_be_replaced_is_put_back(tmp_path, ended):
    moved = tmp_path / part_name("made.old", ended)
    moved.mkdir()
    (moved / "file").write_text("old")
    put_back(tmp_path / "made")
    assert (tmp_path / "made" / "file").read_text() == "old"
    moved.mkdir()
    put_back(tmp_path / "made")
    assert moved.exists()  # something has its name
    with new_folder(tmp_path / "made", replace_folder) as part:
        (part / "file").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    assert (tmp_path / "made" / "file").read_text() == "new"
