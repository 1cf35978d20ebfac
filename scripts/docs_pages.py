"""Pages of the site that are made from the code: methods, commands, options, protocols, presets and studies.

MkDocs calls the two hooks at the end (`hooks` in mkdocs.yml). The pages are made anew with each build and stand in no folder.
"""

import argparse
import os
import re
from pathlib import Path
from typing import Any

from msa_jax import arguments, methods
from msa_jax.config import load_preset, preset_names
from msa_jax.option_values import shown
from msa_jax.report.method_page import method_page
from msa_jax.report.study import list_studies
from msa_jax.report.table import markdown_table
from scripts import method_pages, results

COMMANDS, OPTIONS, PROTOCOLS = "reference/commands.md", "reference/options", "reference/protocols.md"
PRESETS, STUDIES = "reference/presets.md", "reference/studies.md"
ROOT = Path(__file__).resolve().parent.parent


def parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The parser of every command below this one, in order; a parser that only chooses another one is left out."""
    chosen = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not chosen:
        return [parser]
    return [below for action in chosen for child in action.choices.values() for below in parsers(child)]


def commands_page() -> str:
    """Every command with its help."""
    os.environ["COLUMNS"] = "100"  # argparse breaks lines there
    sections = [f"## {parser.prog}\n\n```text\n{parser.format_help()}```" for parser in parsers(arguments.parser())]
    return "\n\n".join(["# Commands", *sections]) + "\n"


def options_page(name: str) -> str:
    """The options of a method."""
    module = (
        f"[Its module](../../api/methods.md#msa_jax.methods.{name}) has the paper, the readings and the deviations."
    )
    title, _, rest = method_page(name).markdown().partition("\n")
    return f"{title}\n\n{module}\n{rest}\n"


def protocols_page() -> str:
    """What the reference protocol changes, option by option."""
    about = (
        "`--protocol paper`, the default, is the published equations. `--protocol reference` is what the authors' code "
        "really does. Each difference is one option, and you can set each one alone. A method that has no row has one protocol."
    )
    sections = ["# Protocols", about]
    for name in methods.METHODS:
        page = method_page(name)
        rows = [
            (f"`{option.name}`", option.meaning, shown(option.default), shown(option.reference))
            for option in page.options
            if option.default != option.reference
        ]
        if rows:
            sections.append(f"## {name}\n\n{markdown_table(('option', 'meaning', 'paper', 'reference'), rows)}")
    return "\n\n".join(sections) + "\n"


def presets_page() -> str:
    """Every preset: its method, its protocol and the first sentence of its description."""
    presets = [load_preset(name) for name in preset_names()]
    rows = [(f"`{one.name}`", f"`{one.method}`", one.protocol, one.description.split("\n")[0]) for one in presets]
    about = "`--preset NAME` takes one. The file in `configs/` has its values, where they come from, and the command."
    return f"# Presets\n\n{about}\n\n{markdown_table(('preset', 'method', 'protocol', 'what it is'), rows)}\n"


def studies_page() -> str:
    """Every study and its title."""
    rows = [(f"`{study.name}`", study.title) for study in list_studies()]
    about = "`msa-jax reproduce STUDY --data D` makes one; see [Sweeps and studies](../sweeps_and_studies.md)."
    return f"# Studies\n\n{about}\n\n{markdown_table(('study', 'what it is'), rows)}\n"


def pages() -> dict[str, str]:
    """Every page that is made, by its path."""
    options = {f"{OPTIONS}/{name}.md": options_page(name) for name in methods.METHODS}
    return {
        COMMANDS: commands_page(),
        PROTOCOLS: protocols_page(),
        PRESETS: presets_page(),
        STUDIES: studies_page(),
        **options,
        **method_pages.pages(ROOT / "docs", results.load(ROOT)),
    }


# -- hooks ------------------------------------------------------------------------------------------------------------


def on_config(config: Any) -> Any:
    """Adds the pages to the navigation, and those that scripts/results made."""
    made = sorted(path.stem for path in (Path(config.docs_dir) / "results").glob("*.md"))
    next(part["Results"] for part in config.nav if "Results" in part)[1:1] = [{n: f"results/{n}.md"} for n in made]
    options = [{name: f"{OPTIONS}/{name}.md"} for name in methods.METHODS]
    single = [{"Commands": COMMANDS}, {"Protocols": PROTOCOLS}, {"Presets": PRESETS}, {"Studies": STUDIES}]
    systems = [{name: f"methods/{name}.md"} for name in method_pages.missing(Path(config.docs_dir))]
    next(part["Methods"] for part in config.nav if "Methods" in part).append({"Each compared system": systems})
    config.nav.append({"Reference": [*single, {"Options of each method": options}]})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages to the files."""
    from mkdocs.structure.files import File

    for path, content in pages().items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Fills in the options where a page has `<!-- options: METHOD -->`, and links the list of methods to their pages."""
    if page.file.src_uri == "methods.md":
        for name in method_pages.missing(Path(config.docs_dir)):
            markdown = markdown.replace(f"(api/methods.md#msa_jax.methods.{name})", f"(methods/{name}.md)")
    return re.sub(r"<!-- options: (\w+) -->", lambda match: method_pages.own_options(match[1]), markdown)
