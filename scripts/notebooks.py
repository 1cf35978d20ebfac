"""Runs the notebooks and stores what their cells print, show and draw.

    python -m scripts.notebooks [NAME ...]

NAME: such as self_mm, by default all. A cell that begins with % is for Jupyter and is not run. Needs the extra plots.
"""

import ast
import base64
import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"


def code_of(cell: dict[str, Any]) -> str:
    """The Python of a cell; empty for text, and for what only Jupyter understands."""
    source = "".join(cell["source"])
    return source if cell["cell_type"] == "code" and not source.startswith("%") else ""


def run_cell(code: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Runs a cell. Returns what it prints, the value of its last line, and its figures, as a notebook holds them."""
    from matplotlib import pyplot

    tree, printed, shown = ast.parse(code), io.StringIO(), None
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "cell", "exec"), names)
        if last is not None:
            shown = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": printed.getvalue().splitlines(True)})
    if shown is not None:
        text = repr(shown).splitlines(True)
        outputs.append({"output_type": "execute_result", "data": {"text/plain": text}, "metadata": {}})
    for number in pyplot.get_fignums():
        file = io.BytesIO()
        pyplot.figure(number).savefig(file, format="png", dpi=80)
        picture = base64.b64encode(file.getvalue()).decode()
        outputs.append({"output_type": "display_data", "data": {"image/png": picture}, "metadata": {}})
    pyplot.close("all")
    return outputs


def run(path: Path) -> None:
    """Runs a notebook from its top and stores it with its outputs."""
    notebook, names, count = json.loads(path.read_text(encoding="utf-8")), {}, 0
    for number, cell in enumerate(notebook["cells"]):
        cell["id"] = f"cell-{number}"
        if code := code_of(cell):
            count += 1
            cell["outputs"] = run_cell(code, names)
            for output in cell["outputs"]:
                if output["output_type"] == "execute_result":
                    output["execution_count"] = count
            cell["execution_count"] = count
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "Agg")
    for name in sys.argv[1:] or sorted(path.stem for path in FOLDER.glob("*.ipynb")):
        run(FOLDER / f"{name}.ipynb")
