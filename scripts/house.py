"""Draws the house from its imports, as the Mermaid diagrams in docs/design.md.

    python -m scripts.house [--write]

Arrows point from a part to what it imports; an arrow that follows from others is left out. With --write the diagrams in
docs/design.md are replaced.
"""

import ast
import re
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE, PAGE = ROOT / "msa_jax", ROOT / "docs" / "design.md"
EVERYWHERE = {
    "errors",
    "paths",
    "signals",
    "modalities",
    "numerics",
    "safe_pickle",
    "arguments",
    "__init__",
    "__main__",
}
DISK = {
    "atomic",
    "checkpoint",
    "environment",
    "experiment_dir",
    "experiment_start",
    "orbax_messages",
    "progress",
    "processes",
    "compilation",
    "settings",
    "tensor_file",
    "shared_parameters",
    "exported",
    "cleaning",
    "__init__",
    "gdwg",
}

Graph = dict[str, set[str]]


def imports(path: Path) -> list[str]:
    """The modules of msa_jax that a file imports at its top or inside of functions, as `msa_jax.a.b`."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("msa_jax"):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.startswith("msa_jax")]
    return found


def parts() -> Graph:
    """The parts of the package, and what each imports."""
    graph: Graph = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if part not in EVERYWHERE:
            used = {name.split(".")[1] for name in imports(path) if name.count(".")}
            graph.setdefault(part, set()).update(used - {part} - EVERYWHERE)
    return {part: {name for name in used if name in graph} for part, used in graph.items()}


def engine() -> Graph:
    """The files of the engine that compute, and what each imports of the others."""
    files = {path.stem: path for path in sorted((PACKAGE / "train").glob("*.py")) if path.stem not in DISK}
    graph: Graph = {}
    for name, path in files.items():
        used = {
            words[2]
            for words in (module.split(".") for module in imports(path))
            if words[1:2] == ["train"] and words[2:]
        }
        graph[name] = (used & files.keys()) - {name}
    return graph


def reduced(graph: Mapping[str, set[str]]) -> Graph:
    """The graph without arrows that follow from others."""

    def reach(name: str, seen: set[str]) -> set[str]:
        for other in graph[name]:
            if other not in seen:
                seen.add(other)
                reach(other, seen)
        return seen

    below = {name: reach(name, set()) for name in graph}
    return {
        name: {other for other in used if not any(other in below[between] for between in used - {other})}
        for name, used in graph.items()
    }


def diagram(graph: Mapping[str, set[str]]) -> str:
    """The graph in Mermaid's words."""
    lines = [f"  {name} --> {other}" for name, used in sorted(reduced(graph).items()) for other in sorted(used)]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


def drawn(text: str) -> str:
    """A page with its diagrams drawn anew, between the marks `<!-- house: NAME -->` and `<!-- end -->`."""
    for name, graph in (("parts", parts()), ("engine", engine())):
        pattern = rf"(<!-- house: {name} -->\n).*?(<!-- end -->)"
        text = re.sub(
            pattern, lambda match, graph=graph: match[1] + diagram(graph) + "\n" + match[2], text, flags=re.DOTALL
        )
    return text


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(diagram(parts()), diagram(engine()), sep="\n\n")
