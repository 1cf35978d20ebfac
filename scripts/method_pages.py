"""A page for each method that has none in docs/methods: what its module says, the papers' numbers, ours, options, presets.

Everything is taken from where it stands already: the module's docstring, the studies, the result files and the presets.
"""

import functools
import importlib
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msa_jax import methods
from msa_jax.config import Preset, load_preset, preset_names
from msa_jax.metrics import METRIC_KEYS
from msa_jax.report.method_page import method_page
from msa_jax.report.study import Study, list_studies, load_study
from msa_jax.report.table import Table
from scripts import result_pages

FEWEST_METHODS = 4  # of a study that compares systems; a smaller one is about options of a method
SHOWN = ("MAE", "Corr", "Non0_acc_2", "Mult_acc_7", "Mult_acc_2", "CCC")  # of our results, as far as there are


def markdown(docstring: str) -> str:
    """A module's docstring as Markdown, its first sentence as the title.

    Indented lines are equations and become blocks; numbered and dashed lines become lists.
    """
    title, _, text = inspect.cleandoc(docstring).partition("\n")
    name, colon, rest = title.rstrip(".").partition(": ")
    parts = [f"# {name}", *([f"{rest[0].upper()}{rest[1:]}."] if colon else [])]
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        parts.append(_block(paragraph) if paragraph.startswith("    ") else _lines(paragraph))
    return "\n\n".join(parts)


def _block(paragraph: str) -> str:
    lines = [line.removeprefix("    ") for line in paragraph.split("\n")]
    return "\n".join(["```text", *lines, "```"])


def _lines(paragraph: str) -> str:
    """A paragraph, with an empty line in front of its list and of each line that begins a new subject."""
    found: list[str] = []
    inside = False
    for line in paragraph.split("\n"):
        item = re.match(r" ?(\d+\.|-) ", line)
        opens = re.match(r"(Reference code|Paper|Absent modalities):", line)
        if found and ((item and not inside) or (opens and not item)):
            found.append("")
        inside = bool(item) or (inside and line.startswith(" "))
        if item:
            line = line.lstrip()
        elif inside:
            line = f"    {line.strip()}"
        found.append(line)
    return "\n".join(found)


@functools.cache
def _studies() -> list[Study]:
    return [load_study(listed.name) for listed in list_studies()]


@functools.cache
def _presets() -> list[Preset]:
    return [load_preset(name) for name in preset_names()]


def printed_rows(name: str) -> list[tuple[str, Table]]:
    """What the papers' tables of compared systems print for a method: the study's name and its rows."""
    tables = []
    for study in _studies():
        rows = [one.name for one in study.variants if one.method == name and one.paper]
        if rows and len({one.method for one in study.variants}) >= FEWEST_METHODS:
            tables.append((study.name, result_pages.printed(study.name, rows)))
    return tables


def own_options(name: str) -> str:
    """The table of the options that a method does not share with all others."""
    _, _, rest = method_page(name).markdown().partition(f"## Options of {name}\n\n")
    return rest.partition("\n\n## ")[0]


def presets_of(name: str) -> str:
    """A line for each preset of a method."""
    lines = [f"- `{one.name}`: {one.description.splitlines()[0]}" for one in _presets() if one.method == name]
    return "\n".join(lines)


def page(name: str, results: Mapping[str, Any]) -> str:
    """The page of a method, in Markdown.

    Args:
      name: of the method.
      results: result files by name.
    """
    parts = [
        markdown(importlib.import_module(f"msa_jax.methods.{name}").__doc__ or name),
        f"`msa-jax train {name}` trains it. [The compared systems](../compared_systems.md) says how it was checked.",
        "## The papers' results, and ours",
    ]
    rows = printed_rows(name)
    for study, table in rows:
        parts += [table.markdown(), f"`msa-jax reproduce {study}` makes the whole table."]
    if not rows:
        parts.append("The tables of the four papers do not have it.")
    boards = {label: file for label, file in results.items() if file["kind"] == "leaderboard"}
    there = {label: [one["name"] for one in board["experiments"]] for label, board in boards.items()}
    found = {label: board for label, board in boards.items() if name in there[label]}
    if found:
        wanted = [one for one in dict.fromkeys((name, "text_only")) if any(one in there[label] for label in found)]
        known = {key for board in found.values() for key in METRIC_KEYS[board["metrics"]]}
        table = result_pages.summary(found, wanted, [key for key in SHOWN if key in known])
        about = "These are our leaderboards on free data. You cannot compare them with the papers' directly."
        parts += [about, table.markdown()]
    else:
        parts.append("No leaderboard here has it yet.")
    parts += ["## Options", own_options(name) or "It has no options of its own."]
    parts.append(f"[All options](../reference/options/{name}.md)")
    if lines := presets_of(name):
        parts += ["## Presets", lines]
    return "\n\n".join(parts) + "\n"


def missing(docs: Path) -> list[str]:
    """The methods that have no page in docs/methods."""
    return [name for name in methods.BUILT_IN if not (docs / "methods" / f"{name}.md").is_file()]


def pages(docs: Path, results: Mapping[str, Any]) -> dict[str, str]:
    """A page for each method that has none in docs/methods, by its path."""
    return {f"methods/{name}.md": page(name, results) for name in missing(docs)}
