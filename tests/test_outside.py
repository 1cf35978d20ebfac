"""A method of another installed package: found by its entry point, it trains, resumes, sweeps and is listed."""

import json
import os
import subprocess
import sys
import zipfile

import pytest

from msa_jax.data import write_native
from msa_jax.testing import tiny_dataset
from tests.paths import REPOSITORY

pytestmark = pytest.mark.slow
NAME = "msa_outside-1.0"
FILES = {
    "METADATA": "Metadata-Version: 2.1\nName: msa-outside\nVersion: 1.0\n",
    "WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "entry_points.txt": "[msa_jax.methods]\nloudness = msa_outside:METHOD\nnoise = msa_outside:NOTHING\n",
}
# Runs the commands that it is given, with a checkpoint after which the first training stops.
SCRIPT = """
import json, sys
from msa_jax import cli
from msa_jax.train.checkpoint import RunCheckpoints

class Stop(Exception):
    pass

def commands():
    save = RunCheckpoints.save
    def save_and_stop(self, state):
        save(self, state)
        self.close()
        raise Stop
    for words in json.loads(sys.argv[1]):
        interrupted = words[0] == "interrupted"
        RunCheckpoints.save = save_and_stop if interrupted else save
        try:
            code = cli.main(words[1:] if interrupted else words)
        except Stop:
            code = "stopped"
        print("##", code, flush=True)

commands()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder that pip has installed the package into."""
    folder = tmp_path_factory.mktemp("outside")
    wheel = folder / f"{NAME}-py3-none-any.whl"
    source = REPOSITORY / "tests" / "outside"
    with zipfile.ZipFile(wheel, "w") as file:
        for path in sorted(source.rglob("*.py")):
            file.write(path, path.relative_to(source))
        for name, text in FILES.items():
            file.writestr(f"{NAME}.dist-info/{name}", text)
        file.writestr(f"{NAME}.dist-info/RECORD", "")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-index",
        "--no-deps",
    ]
    subprocess.run([*command, "--target", str(folder / "site"), str(wheel)], check=True)
    return folder / "site"


@pytest.fixture(scope="module")
def answers(site, tmp_path_factory):
    """What each command printed and the status that it ended with."""
    folder = tmp_path_factory.mktemp("work")
    write_native(tiny_dataset(modalities=("audio",), name="outside"), folder / "data")
    train = [
        "train",
        "loudness",
        "--data",
        str(folder / "data"),
        "--seeds",
        "1",
        "2",
        "--checkpoint-epochs",
        "1",
        "--json",
        "--out",
    ]
    commands = {
        "straight": [*train, str(folder / "straight")],
        "stopped": ["interrupted", *train, str(folder / "resumed")],
        "resumed": [*train, str(folder / "resumed")],
        "sweep": [
            "sweep", "loudness", "--data", str(folder / "data"), "--grid", "dropout=0.0,0.2", "--out", str(folder / "sweep"),
            "--json",
        ],
        "methods": ["methods", "loudness"],
        "list": ["methods", "--json"],
        "broken": ["train", "noise", "--data", str(folder / "data")],
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(list(commands.values()))],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(REPOSITORY)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    parts = done.stdout.split("## ")
    texts = [parts[0], *(part.partition("\n")[2] for part in parts[1:-1])]
    codes = [part.partition("\n")[0] for part in parts[1:]]
    return {name: (code, text) for name, code, text in zip(commands, codes, texts, strict=True)}, done.stderr, folder


def test_it_trains_with_the_preset_that_it_brings(answers):
    found, _, folder = answers
    code, text = found["straight"]
    assert code == "0"
    result = json.loads(text)
    assert [run["seed"] for run in result["runs"]] == [1, 2]
    content = json.loads((folder / "straight" / "config.json").read_text(encoding="utf-8"))
    assert content["preset"] == "loudness_outside"
    assert content["options"]["learning_rate.other"] == 0.05


def test_it_resumes_bit_for_bit(answers):
    found, _, folder = answers
    assert found["stopped"][0] == "stopped"
    assert found["resumed"][0] == "0"
    straight, resumed = ((folder / name / "predictions" / "test.csv").read_bytes() for name in ("straight", "resumed"))
    assert straight == resumed


def test_it_sweeps(answers):
    found, _, folder = answers
    assert found["sweep"][0] == "0"
    ranking = json.loads((folder / "sweep" / "ranking.json").read_text(encoding="utf-8"))
    assert sorted(point["options"]["dropout"] for point in ranking["points"]) == [0.0, 0.2]
    assert all(point["mean"]["MAE"] is not None for point in ranking["points"])


def test_it_is_listed_and_so_is_why_another_is_not_there(answers):
    code, text = answers[0]["list"]
    assert code == "0"
    listed = {method["name"]: method for method in json.loads(text)}
    assert listed["loudness"]["presets"] == ["loudness_outside"]
    assert "cannot be loaded" in listed["noise"]["paper"]
    assert {"self_mm", "tfn"} <= listed.keys()


def test_it_is_described(answers):
    code, text = answers[0]["methods"]
    assert code == "0"
    assert text.startswith("loudness: none: a method of the tests")
    assert "dropout" in text


def test_one_that_cannot_be_loaded_is_an_error_in_one_line(answers):
    found, errors, _ = answers
    assert found["broken"][0] == "2"
    assert "method noise: msa_outside:NOTHING cannot be loaded" in errors
