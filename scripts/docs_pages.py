"""Pages of the site that are made from the code: every command with its arguments, every method with its options.

MkDocs calls the two hooks at the end (`hooks` in mkdocs.yml). The pages are made anew with each build and stand in no folder.
"""

import argparse
import os
from typing import Any

from msa_jax import arguments, methods
from msa_jax.report.method_page import method_page

COMMANDS, OPTIONS = "reference/commands.md", "reference/options"


def parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The parser of every command below this one, in order; a parser that only chooses another one is left out."""
    chosen = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not chosen:
        return [parser]
    return [below for action in chosen for child in action.choices.values() for below in parsers(child)]


def commands_page() -> str:
    """Every command with its help, as Markdown."""
    os.environ["COLUMNS"] = "100"  # argparse breaks lines there
    sections = [f"## {parser.prog}\n\n```text\n{parser.format_help()}```" for parser in parsers(arguments._parser())]
    return "\n\n".join(["# Commands", *sections]) + "\n"


def option_pages() -> dict[str, str]:
    """The options of each method that is part of msa_jax, as Markdown, by the path of the page."""
    return {f"{OPTIONS}/{name}.md": method_page(name).markdown() for name in methods.METHODS}


# -- hooks ------------------------------------------------------------------------------------------------------------


def on_config(config: Any) -> Any:
    """Adds the pages to the navigation."""
    options = [{name: f"{OPTIONS}/{name}.md"} for name in methods.METHODS]
    config.nav.append({"Reference": [{"Commands": COMMANDS}, {"Options of each method": options}]})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages to the files."""
    from mkdocs.structure.files import File

    for path, content in {COMMANDS: commands_page(), **option_pages()}.items():
        files.append(File.generated(config, path, content=content))
    return files
