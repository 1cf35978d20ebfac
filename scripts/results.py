"""Keeps results in the repository, and makes pages and tables of documents from them.

    scripts/results add FOLDER ... [--name NAME] [--page PAGE] [--title TITLE]
    scripts/results              makes docs/results/*.md anew, and fills the marks in README.md and docs/
    scripts/results --check      exit 1, with page and number, if one of these is not what its result file says

FOLDER is what `msa-jax leaderboard`, `reproduce` or `robustness` wrote; each becomes docs/results/NAME.json. Experiment folders
that are given together become one file. Paragraphs for the page go into "notes" of that file; they stay if the same name is
added again. So do the commands that were put into "commands" beside that of `robustness`, whose folder does not know how its
experiments were trained. `scripts/result_pages.py` says how documents quote a number.
"""

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msa_jax.errors import InputError
from msa_jax.paths import file_name, sha256
from msa_jax.train.atomic import write_text
from scripts import result_files, result_pages

ROOT = Path(__file__).resolve().parent.parent


def load(root: Path) -> dict[str, dict[str, Any]]:
    """{name: result file}, of all that are kept."""
    return {path.stem: result_files.read(path) for path in sorted((root / "docs" / "results").glob("*.json"))}


def add(
    root: Path, folders: Sequence[Path], *, name: str | None = None, page: str | None = None, title: str | None = None
) -> str:
    """Writes the result file of a folder, or of experiment folders, with its pictures beside it. Returns its name."""
    content, pictures = result_files.result_of(folders)
    name = file_name(name) if name else result_files.default_name(content, folders)
    target = root / "docs" / "results"
    path = target / f"{name}.json"
    before = result_files.read(path) if path.exists() else {}
    usual = {"page": content["dataset"], "title": content.pop("title"), "notes": []}
    kept = {key: before.get(key, value) for key, value in usual.items()}
    personal = {**kept, "page": file_name(page or kept["page"]), "title": title or kept["title"]}
    target.mkdir(parents=True, exist_ok=True)
    if content["kind"] == "robustness":
        trained = [one for one in before.get("commands", ()) if not one.startswith("msa-jax robustness ")]
        content["commands"] = [*trained, *content["commands"]]
    figures = {}
    for number, picture in enumerate(pictures):
        figure = f"{name}{f'-{picture.stem}' if number or len(pictures) > 1 else ''}{picture.suffix}"
        shutil.copyfile(picture, target / figure)
        figures[figure] = sha256(picture)
    for figure in before.get("figures", {}).keys() - figures.keys():
        (target / figure).unlink(missing_ok=True)
    ordered = {"format": result_files.FORMAT, "kind": content.pop("kind"), **personal, **content, "figures": figures}
    write_text(path, result_files.write(ordered))
    return name


def rendered(root: Path) -> dict[Path, str]:
    """Every page and document that numbers of result files stand in, as it should be."""
    results = load(root)
    folder = root / "docs" / "results"
    made = {folder / f"{page}.md": result_pages.page(page, results) for page, _ in result_pages.listed(results)}
    for path in (root / "README.md", *sorted((root / "docs").rglob("*.md"))):
        text = path.read_text(encoding="utf-8")
        if path.parent != folder and "<!-- end -->" in text:
            try:
                made[path] = result_pages.filled(text, results)
            except InputError as error:
                raise InputError(f"{path.relative_to(root)}: {error}") from None
    return made


def render(root: Path) -> list[Path]:
    """Writes what is not as it should be, and removes pages without a result file. Returns what changed."""
    made = rendered(root)
    changed = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in changed:
        write_text(path, made[path])
    left = [path for path in (root / "docs" / "results").glob("*.md") if path not in made]
    for path in left:
        path.unlink()
    return changed + left


def check(root: Path) -> list[str]:
    """One line for each page, number or picture that is not what its result file says."""
    made = rendered(root)
    wrong = []
    for path, text in made.items():
        found = path.read_text(encoding="utf-8") if path.exists() else ""
        wrong += [f"{path.relative_to(root)}{difference}" for difference in _differences(found, text)]
    folder = root / "docs" / "results"
    kept = {folder / name: digest for one in load(root).values() for name, digest in one["figures"].items()}
    for path, digest in kept.items():
        if not path.exists() or sha256(path) != digest:
            wrong.append(f"{path.relative_to(root)}: not the picture that its result file names")
    for path in sorted(folder.glob("*")):
        if path.suffix != ".json" and path not in made and path not in kept:
            wrong.append(f"{path.relative_to(root)}: no result file for it")
    return wrong


def _differences(found: str, expected: str) -> list[str]:
    """The first word in which each line differs, with the line's number; the first three are enough."""
    if found == expected:
        return []
    ours, theirs = found.splitlines(), expected.splitlines()
    lines = []
    for place in range(max(len(ours), len(theirs))):
        first, second = (text[place].split() if place < len(text) else [] for text in (ours, theirs))
        if first == second:
            continue
        pairs = [*zip(first, second, strict=False)]
        pair = next((pair for pair in pairs if pair[0] != pair[1]), None)
        if pair is None:
            pair = tuple(" ".join(words[len(pairs) :]) or "nothing" for words in (first, second))
        lines.append(f":{place + 1}: {pair[0]}, expected {pair[1]}")
    return (lines or [": other blanks than expected"])[:3]


def main(arguments: Sequence[str]) -> int:
    """The command. Returns its exit code."""
    parser = argparse.ArgumentParser(prog="scripts/results", description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 if something is not as it should be"
    )
    commands = parser.add_subparsers(dest="command")
    adding = commands.add_parser("add", help="keep the results of a folder")
    adding.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    for option, about in (("name", "of the result file"), ("page", "where it is shown"), ("title", "its heading")):
        adding.add_argument(f"--{option}", help=about)
    given = parser.parse_args(arguments)
    try:
        if given.command == "add":
            names: Mapping[str, Any] = {key: getattr(given, key) for key in ("name", "page", "title")}
            print(f"docs/results/{add(ROOT, given.folders, **names)}.json")
        if given.check:
            wrong = check(ROOT)
            print("\n".join(wrong) or "Every page is what its result files say.")
            return int(bool(wrong))
        for path in render(ROOT):
            print(path.relative_to(ROOT))
    except InputError as error:
        print(f"scripts/results: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
