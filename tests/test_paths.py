"""Paths as people write them: homes that are there and not, and names that would lead elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from msa_jax.errors import InputError
from msa_jax.paths import file_name, user_path
from msa_jax.whole_files import new_folder


def test_the_home_is_expanded_also_behind_an_equals_sign(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert user_path("~/x") == tmp_path / "x"
    code = "import sys; from msa_jax.cli import main; sys.exit(main())"
    words = ["data", "synthetic", "--out=~/made", "--train", "4", "--valid", "2", "--test", "2"]
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)
    assert (tmp_path / "made" / "card.json").is_file()
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("path", ["~nosuchuser/x", "a\0b"])
def test_a_path_that_cannot_be_is_an_input_error(path):
    with pytest.raises(InputError, match=r"home folder|is not a path"):
        user_path(path)


def test_a_user_without_a_home_gets_one_line():
    code = (
        "import os, sys\nos.environ.pop('HOME', None)\n"
        "import pwd\npwd.getpwuid = lambda uid: {}[uid]\n"  # as for a uid that the system does not know
        "from msa_jax.cli import main\nsys.exit(main(['data', 'check', '~/x']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "msa-jax: ~/x: the home folder behind ~ is not known; write the whole path\n"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mosi", "mosi"),
        ("CH-SIMS v2.0", "CH-SIMS_v2.0"),
        ("../../x", "x"),
        ("/etc/passwd", "etc_passwd"),
        ("..", "unnamed"),
        (".hidden", "hidden"),
        ("a\nb", "a_b"),
        ("情感", "情感"),
        ("", "unnamed"),
    ],
)
def test_a_name_stays_where_it_is_put(name, expected):
    assert file_name(name) == expected


def test_a_long_name_fits_a_file_system(tmp_path):
    (tmp_path / file_name("x" * 5000)).mkdir()
    assert os.listdir(tmp_path) == ["x" * 100]
    with new_folder(tmp_path / file_name("情" * 100)) as part:  # of three bytes each, and the part has a longer name
        assert len(part.name.encode()) < 255
    assert Path(file_name("x/" * 5000)).name == file_name("x/" * 5000)
