"""What the documents say is so: links lead somewhere, commands and options exist, Python runs."""

import argparse
import ast
import functools
import importlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from msa_jax import arguments as command_line
from msa_jax import config, methods, metrics
from msa_jax.report.studies import list_studies
from scripts import docs_pages, method_pages, results
from tests.paths import REPOSITORY

DOCS = REPOSITORY / "docs"
README = REPOSITORY / "README.md"
PAGES = [README, REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
TEXT = {path: path.read_text(encoding="utf-8") for path in PAGES}
FEW = "train=48, valid=16, test=16"


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT[page], re.DOTALL | re.MULTILINE)


def block_lines(page: Path, language: str) -> list[str]:
    """The lines of the blocks of a language, one that goes on after a backslash in one piece."""
    return [line for block in blocks(page, language) for line in block.replace("\\\n", " ").splitlines()]


def inline_code(page: Path) -> list[str]:
    prose = re.sub(r"^```.*?^```", "", TEXT[page], flags=re.DOTALL | re.MULTILINE)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]


def commands(page: Path) -> list[str]:
    """Every `msa-jax` command: in the blocks, and in the prose as far as it is more than a command's name."""
    prose = [re.sub(r"\bN\b", "1", code) for code in inline_code(page) if "..." not in code and "--help" not in code]
    found = [code for code in prose if code.startswith("msa-jax ") and len(code.split()) > 3]
    for line in block_lines(page, r"\w*"):
        if " msa-jax " in f" {line}" and not line.startswith(("#", "pip")):
            start = line.index("msa-jax ")
            found.append(line[start:] if start == 0 else line[start:].removesuffix('"'))
    return found


# -- pages ------------------------------------------------------------------------------------------------------------


def test_the_readme_is_short():
    assert len(TEXT[README].splitlines()) <= 150


def test_readme_and_navigation_name_every_page():
    navigation = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    for page in sorted(DOCS.glob("*.md")):
        if page.stem != "index":
            assert f"(docs/{page.name})" in TEXT[README], f"README.md has no link to docs/{page.name}"
        assert f": {page.name}\n" in navigation, f"mkdocs.yml has no entry for {page.name}"


def test_links_lead_to_files():
    wrong = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", TEXT[page]):
            if "://" not in target and not (page.parent / target.split("#")[0]).exists():
                wrong.append(f"{name(page)}: {target}")
    assert wrong == []


def test_numbers_of_the_readme_are_rows_of_the_result_pages():
    rows = {row for page in ("results", "speed") for row in TEXT[DOCS / f"{page}.md"].splitlines()}
    # Tables between marks are made from result files, and compared with them in tests/test_results.py.
    typed = re.sub(r"<!-- results: .*?<!-- end -->", "", TEXT[README], flags=re.DOTALL)
    own = [row for row in typed.splitlines() if re.match(r"\|.*\d\.\d", row)]
    assert len(own) >= 4
    for row in own:
        assert any(other.startswith(row) for other in rows), row


def test_pages_name_every_method_and_metric():
    for method in methods.METHODS:
        assert f"`{method}`" in TEXT[DOCS / "methods.md"], f"docs/methods.md does not name {method}"
        assert f"::: msa_jax.methods.{method}\n" in TEXT[DOCS / "api/methods.md"], f"docs/api/methods.md: {method}"
    for preset in config.preset_names():
        if preset.endswith("_mmsa"):
            assert f"`{preset}`" in TEXT[DOCS / "coming_from_mmsa.md"], (
                f"docs/coming_from_mmsa.md does not name {preset}"
            )
    for key in {key for keys in metrics.METRIC_KEYS.values() for key in keys}:
        assert f"`{key}`" in TEXT[DOCS / "glossary.md"], f"docs/glossary.md does not name {key}"


def test_generated_pages_name_what_there_is():
    found = [path for page in PAGES for path in re.findall(r"^::: (\S+)$", TEXT[page], re.MULTILINE)]
    assert len(found) > 40
    for path in found:
        try:
            importlib.import_module(path)
        except ModuleNotFoundError:
            module, _, attribute = path.rpartition(".")
            assert hasattr(importlib.import_module(module), attribute), path


def test_the_changelog_begins_with_the_version():
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert re.findall(r"^## (\S+)", TEXT[REPOSITORY / "CHANGELOG.md"], re.MULTILINE)[0] == version


# -- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_parse_and_their_options_exist(page):
    studies = {study.name for study in list_studies()}
    for line in commands(page):
        parsed = command_line.parse(shlex.split(line, comments=True)[1:])
        if getattr(parsed, "study", None):
            assert parsed.study in studies or parsed.study.endswith(".py"), line
        for preset in (getattr(parsed, "preset", None) or "none").split(","):
            assert preset in ("none", *config.preset_names()) or preset.endswith((".py", ".json")), line
        if getattr(parsed, "method", None) in methods.METHODS and parsed.command in ("train", "sweep"):
            config.override(methods.get(parsed.method).options(), parsed.options)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_two_commands_of_a_page_write_one_folder(page):
    asked: dict[Path, dict] = {}
    for line in block_lines(page, "bash"):
        if not line.startswith("msa-jax "):
            continue
        parsed = command_line.parse(shlex.split(line, comments=True)[1:])
        # A leaderboard's experiments may be more later; `reproduce --list` has no data.
        if parsed.command not in ("train", "sweep", "reproduce") or parsed.data is None:
            continue
        what = {key: value for key, value in vars(parsed).items() if key != "process"}  # those that train as one
        # Two that are the same are one that is resumed.
        assert asked.setdefault(written(parsed), what) == what, f"{line}: writes where another command does"


def written(parsed: argparse.Namespace) -> Path:
    """The folder that a command writes, as far as its words tell."""
    names = {"train": "{method}-", "sweep": "sweep-{method}-", "reproduce": "{study}-"}
    return parsed.out or Path("runs") / (names[parsed.command].format(**vars(parsed)) + Path(parsed.data).stem)


def test_commands_that_the_demo_runs_and_names_parse():
    demo = (REPOSITORY / "scripts/demo").read_text(encoding="utf-8")
    lines = [line.split("msa-jax ", 1)[1] for line in demo.splitlines() if ".venv/bin/msa-jax " in line]
    assert len(lines) == 4
    for line in lines:
        command_line.parse(shlex.split(line.replace('$again "$@"', "")))


def test_most_commands_are_found():
    assert sum(len(commands(page)) for page in PAGES) > 80


def test_options_that_pages_name_exist():
    root = command_line.parser()
    known = {option for parser in (root, *docs_pages.parsers(root)) for option in parser._option_string_actions}
    for method in methods.METHODS:
        flat = config.flatten(methods.get(method).options())
        known |= {"--" + option.replace("_", "-") for option in flat}
    known |= {
        "--help",
        "--kills",
        "--commands",
        "--inputs",
        "--jobs",
        "--table",
        "--seed",
        "--only",
        "--all",
        "--quick",
        "--device",
        "--trace",
        "--write",
        "--check",
    }  # of scripts
    known |= {"--gpus-per-task", "--gpu-bind"}  # of SLURM
    wrong = [
        f"{name(page)}: {word}"
        for page in PAGES
        for code in inline_code(page)
        for word in code.split()
        if re.match(r"--[a-z]", word)
        and not code.startswith(("pip ", "tensorboard "))
        and word.split("=")[0] not in known
    ]
    assert wrong == []


@functools.cache
def made_pages():
    return docs_pages.pages()


@pytest.mark.slow
def test_pages_made_from_the_code_show_every_command_and_option():
    page = docs_pages.commands_page()
    for command in ("train", "resume", "data import", "methods"):
        assert f"## msa-jax {command}\n" in page
    assert "--label-range LOW HIGH" in page
    pages = made_pages()
    assert "| `accumulate` |" in pages[docs_pages.PROTOCOLS]
    assert all(f"| `{preset}` |" in pages[docs_pages.PRESETS] for preset in config.preset_names())
    assert all(f"| `{study.name}` |" in pages[docs_pages.STUDIES] for study in list_studies())
    for method in methods.METHODS:
        for option in config.flatten(methods.get(method).options()):
            assert f"| `{option}` |" in pages[f"reference/options/{method}.md"]


@pytest.mark.slow
def test_every_method_has_a_page_with_what_its_module_says_its_options_and_its_presets():
    pages, written = made_pages(), {page.stem for page in (DOCS / "methods").glob("*.md")}
    for method in methods.BUILT_IN:
        if method in written:
            continue
        page = pages[f"methods/{method}.md"]
        assert page.startswith("# ")
        for title in ("The papers' results, and ours", "Options"):
            assert f"\n## {title}\n" in page
        own = {preset for preset in config.preset_names() if config.load_preset(preset).method == method}
        assert own == set(re.findall(r"^- `(\w+)`: ", page.partition("## Presets")[2], re.MULTILINE))
    assert "| MulT, aligned | mosi  | 0.871 | 0.698 |" in pages["methods/mult.md"]  # as DMMSA's Table 3 prints it


def test_a_docstring_becomes_markdown():
    docstring = """NAME: a long name.

    Paper: one.
    Reference code: two.

        x = y
          + z

    Deviations.
     1. First,
        which goes on.
     2. Second.
    Absent modalities: left out.
    """
    assert method_pages.markdown(docstring).splitlines() == [
        *("# NAME", "", "A long name.", "", "Paper: one.", "", "Reference code: two.", ""),
        *("```text", "x = y", "  + z", "```", ""),
        *("Deviations.", "", "1. First,", "    which goes on.", "2. Second.", "", "Absent modalities: left out."),
    ]


@pytest.mark.parametrize("method", method_pages.missing(DOCS))
def test_the_page_of_a_method_has_each_row_of_our_leaderboards_once(method):
    page = method_pages.page(method, results.load(REPOSITORY))
    ours = page.partition("our leaderboards")[2].partition("## Options")[0]
    rows = [tuple(cell.strip() for cell in row.split("|")[1:3]) for row in re.findall(r"^\|.*", ours, re.MULTILINE)]
    boards = [one for one in results.load(REPOSITORY).values() if one["kind"] == "leaderboard"]
    names = [one["name"] for board in boards for one in board["experiments"]]
    assert sum(row[1] == method for row in rows) == names.count(method)
    assert len(rows) == len(set(rows))


def test_every_preset_says_the_command_that_runs_it():
    for preset_name in config.preset_names():
        preset = config.load_preset(preset_name)
        command = next(
            line.strip() for line in preset.description.splitlines() if line.strip().startswith("msa-jax train")
        )
        parsed = command_line.parse(shlex.split(command)[1:])
        assert parsed.method == preset.method
        # Either the command names the preset, or it is the one that is found by method and dataset.
        assert parsed.preset in (preset_name, None)


# -- Python -----------------------------------------------------------------------------------------------------------

# Those of clips.md need a clip, and run in tests/extract/test_extract.py.
RUNS = [page for page in PAGES if blocks(page, "python") and page.name not in ("adding_a_method.md", "clips.md")]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name)
def test_python_parses(page):
    for block in blocks(page, "python"):
        ast.parse(block)


def test_the_method_of_the_guide_is_the_one_that_is_tested():
    example = (REPOSITORY / "tests/outside/msa_outside/__init__.py").read_text(encoding="utf-8")
    found = 0
    for block in blocks(DOCS / "adding_a_method.md", "python"):
        if "check_method" not in block:
            assert block in example
            found += 1
    assert found >= 4


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNS, ids=name)
def test_python_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in blocks(page, "python"):
        # The same lines, on fewer samples and epochs.
        block = block.replace('msa_jax.load_dataset("synthetic")', f"msa_jax.data.make_synthetic({FEW})")
        block = block.replace("make_synthetic()", f"make_synthetic({FEW})")
        block = block.replace('text_encoder="scratch")', 'text_encoder="scratch", max_epochs=1, log=None)')
        exec(compile(block, name(page), "exec"), names)
    if page == README:
        assert names["scores"].shape == (16,)
