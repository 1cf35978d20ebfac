"""What the documents say runs: notebooks, the README's Python, and its commands as far as they need no download."""

import json
import re
import shlex

import pytest

from msa_jax import arguments as command_line
from msa_jax import config
from msa_jax.report.studies import list_studies
from tests.paths import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
FEW = "train=48, valid=16, test=16"


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((REPOSITORY / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebook_runs(path):
    names: dict = {}
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert code
    for cell in code:
        # The same lines, on fewer rows and epochs; the rows are those of the README's test, which compiles the same.
        cell = cell.replace("train=256, valid=64, test=128", FEW)
        exec(compile(cell.replace("max_epochs=12", "max_epochs=3"), str(path), "exec"), names)
    assert names["agreement"].keys() == {"t", "a", "v"}


@pytest.mark.slow
def test_python_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert 'msa_jax.train("self_mm", dataset' in block
    # The same lines, on fewer rows and epochs.
    block = block.replace('msa_jax.load_dataset("synthetic")', f"msa_jax.data.make_synthetic({FEW})")
    block = block.replace('text_encoder="scratch")', 'text_encoder="scratch", max_epochs=1, log=None)')
    names: dict = {}
    exec(block, names)
    assert names["scores"].shape == (16,)


def test_commands_of_the_readme_parse():
    lines = [line.split("#")[0].strip() for line in README.splitlines() if line.startswith("msa-jax ")]
    assert len(lines) >= 8
    for line in lines:
        known, rest = command_line._parser().parse_known_args(shlex.split(line)[1:])
        if hasattr(known, "options"):
            command_line._options(rest)
        else:
            assert not rest, line


def test_presets_and_studies_that_the_documents_name_exist():
    presets = set(re.findall(r"--preset (\w+)", README))
    assert presets
    assert presets <= set(config.preset_names())
    studies = set(re.findall(r"reproduce (\w+\.\w+)", README))
    assert studies <= {study.name for study in list_studies()}


def test_every_preset_says_the_command_that_runs_it():
    for name in config.preset_names():
        preset = config.load_preset(name)
        command = next(
            line.strip() for line in preset.description.splitlines() if line.strip().startswith("msa-jax train")
        )
        known, rest = command_line._parser().parse_known_args(shlex.split(command)[1:])
        assert known.method == preset.method
        # Either the command names the preset, or it is the one that is found by method and dataset.
        assert known.preset in (name, None)
        command_line._options(rest)
