"""Presets and studies are Python files that hold one literal: they are parsed and never run."""

import ast
from pathlib import Path
from typing import Any

from msa_jax.errors import InputError, first_line


def read_literal(path: Path, variable: str) -> tuple[str, Any]:
    """The docstring and the literal value of `variable` in a Python file that is parsed but not run.

    Raises:
      InputError: no such file, not Python, or the variable is missing or not a literal.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the last two: nested too deep
        raise InputError(f"{path}: not a Python file ({first_line(error)})") from None
    for node in tree.body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", None) for target in node.targets] == [variable]:
            try:
                return ast.get_docstring(tree) or "", ast.literal_eval(node.value)
            except (ValueError, TypeError, RecursionError, MemoryError):
                raise InputError(f"{path}: {variable} must be a literal; expressions are not evaluated") from None
    raise InputError(f"{path}: no assignment to {variable}")
