"""Notebooks run, and are stored with what their cells show."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest

from msa_jax import methods
from scripts import notebooks
from tests.extract.material import face_model
from tests.paths import REPOSITORY

FEW = "train=48, valid=16, test=16"
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


def cells(path: Path) -> list[dict]:
    """The cells of a notebook that are code, the first one apart from the others: it installs."""
    found = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert "".join(found[0]["source"]).startswith("%pip install ")
    return found[1:]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_with_what_their_cells_show(path):
    outputs = []
    for number, cell in enumerate(cells(path), start=1):
        assert cell["execution_count"] == number
        last = ast.parse("".join(cell["source"])).body[-1]
        kinds = [output["output_type"] for output in cell["outputs"]]
        assert ("execute_result" in kinds) == isinstance(last, ast.Expr), ast.unparse(last)
        outputs += cell["outputs"]
    assert any("image/png" in output.get("data", {}) for output in outputs)


def test_a_notebook_is_stored_with_what_it_prints_shows_and_draws(tmp_path):
    pytest.importorskip("matplotlib")
    source = ["%pip install nothing", "print(1)\nx = 2\nx + 1", "import matplotlib.pyplot as plt\n_ = plt.figure()"]
    made = [{"cell_type": "code", "source": [text], "outputs": []} for text in source]
    (tmp_path / "one.ipynb").write_text(json.dumps({"cells": made}))
    notebooks.run(tmp_path / "one.ipynb")
    install, printed, drawn = json.loads((tmp_path / "one.ipynb").read_text())["cells"]
    assert install["outputs"] == []
    assert [output.get("text") or output["data"]["text/plain"] for output in printed["outputs"]] == [["1\n"], ["3"]]
    assert drawn["outputs"][0]["data"]["image/png"].startswith("iVBOR")


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_quickly")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path):
    pytest.importorskip("matplotlib")
    if path.stem == "clips":
        face_model()  # skips without it
    names: dict = {}
    before = set(methods.METHODS)
    try:
        for cell in cells(path):
            # The same lines, on fewer samples and epochs; the samples are those of the README's test, which compiles the same.
            code = "".join(cell["source"]).replace("train=256, valid=64, test=128", FEW)
            notebooks.run_cell(
                code.replace("max_epochs=12", "max_epochs=3").replace('max_epochs": 6', 'max_epochs": 2'), names
            )
    finally:
        for added in set(methods.METHODS) - before:
            methods.METHODS.remove(added)
    assert names["dataset"].card.name == ("clips" if path.stem == "clips" else "synthetic")
    scores = names["experiment"].mean
    assert np.isfinite(scores["MAE"])
    assert 0 < scores["MAE"] < 3
    assert names["figure"].axes
    if path.stem in ("self_mm", "sugrm"):
        assert names["agreement"].keys() == {"t", "a", "v"}
