"""The rows of a table as they stand in a file: .csv, .tsv, .jsonl or .parquet."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from msa_jax.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table: `where` it stands as a person counts ("line 2"), and its cells by column."""

    where: str
    cells: dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """The rows of a table, whatever its columns; names of columns are lower case.

    Raises:
      InputError: no table, no rows, or not all of them have the same cells.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: no table; expected {', '.join(READERS)}")
    return reader(path)


# -- rows of each form ------------------------------------------------------------------------------------------------


def _decoded(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path}: line {line}: not UTF-8 text; save the table as UTF-8") from None


def _from_csv(path: Path) -> list[Row]:
    text = _decoded(path)
    said = _SEPARATOR.match(text)
    if said is not None:
        text = "\n" * len(_LINE_END.findall(said[0])) + text[said.end() :]  # so that lines keep their numbers
    heading = _HEADING.match(text.lstrip())[0]
    told = "\t" if path.suffix.lower() == ".tsv" else said and said[1]
    separator = told or max(",;\t", key=re.sub(r'"[^"]*+"', "", heading).count)
    records = _records(path, text, separator)
    _, header = next(records, (0, []))
    names = [cell.strip().lower() for cell in header]
    found = []
    for line, cells in records:
        if len(cells) != len(names) == 1:
            raise InputError(
                f"{path}: line {line}: {len(cells)} cells; expected one ({names[0]}). A text with a comma, a semicolon or a "
                "tab stands in double quotes; texts without quotes, one a line and without a heading, are read from a .txt "
                "(`predict --texts`)"
            )
        if len(cells) != len(names):
            raise InputError(
                f"{path}: line {line}: {len(cells)} cells; expected {len(names)} ({', '.join(names)}). "
                "A text that holds a separator stands in double quotes"
            )
        found.append((line, cells))
    # Spreadsheets write columns that were cleared without a name.
    kept = [place for place, name in enumerate(names) if name or any(cells[place].strip() for _, cells in found)]
    names = _distinct([names[place] for place in kept], str(path))
    rows = [
        Row(where=f"line {line}", cells=dict(zip(names, (cells[place] for place in kept), strict=True)))
        for line, cells in found
    ]
    return rows or _no_rows(path, names)


# A first line that tells Excel the separator.
_SEPARATOR = re.compile(r'\s*"?sep=([,;\t]?)"?[ \t]*(?:\r?\n|\r|$)', re.IGNORECASE)
_HEADING = re.compile(r'(?:"[^"]*+"|[^"\r\n]++)*+')  # the first line; a line break in double quotes does not end it
_LINE_END = re.compile(r"\r\n|\n|\r")


def _distinct(names: list[str], where: str) -> list[str]:
    """The names of columns. Raises InputError if two are the same, as they may be in lower case."""
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise InputError(f"{where}: column {twice or 'without a name'} is there twice")
    return names


def _records(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Line and cells of each record that is not blank. A quoted text may go over several lines; the first one counts.

    Raises:
      InputError: a double quote is missing, a blank line stands among the rows of a single column, or lines of tabs can be
        read in two ways.
    """
    lines = enumerate(_LINE_END.split(text), start=1) if separator == "\t" else ()
    lines = [(number, line) for number, line in lines if line.strip()]
    tabs = {line.count("\t") for _, line in lines}
    if len(tabs) == 1 and tabs != {0}:
        # Each line is a record, as in a table that knows no quotes: else a text that begins with a double quote would go on to
        # the next quote, somewhere below.
        records = [(number, line.split("\t")) for number, line in lines]
        opened = (
            number for number, cells in records if any(cell[:1] == '"' and not _is_quoted(cell) for cell in cells)
        )
        if (number := next(opened, None)) is not None and _is_whole_in_quotes(text):
            raise InputError(
                f"{path}: line {number}: a cell begins with a double quote that ends in another line. Either its text goes "
                "over several lines, or all of them are rows; save the table as .jsonl, or leave out that quote"
            )
        yield from ((number, [_unquoted(cell) for cell in cells]) for number, cells in records)
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line, blank, columns = 1, 0, 0
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                columns = columns or len(cells)
                if blank and columns == 1:
                    raise InputError(
                        f"{path}: line {blank} is blank; expected a text, since blank lines of a table of one column would "
                        "move the numbers of the rows below"
                    )
                yield line, cells
            elif columns:
                blank = blank or line
            line = reader.line_num + 1
    except csv.Error as error:
        long = " A .jsonl may hold a longer text." if "field limit" in str(error) else ""
        raise InputError(f"{path}: line {line}: {error}; is a double quote missing?{long}") from None


def _is_quoted(cell: str) -> bool:
    """Whether double quotes stand around a cell, and those within it are doubled."""
    return len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', "")


def _unquoted(cell: str) -> str:
    return cell[1:-1].replace('""', '"') if _is_quoted(cell) else cell


def _is_whole_in_quotes(text: str) -> bool:
    """Whether a table of tabs has rows of one length, too, if double quotes go over several lines."""
    try:
        sizes = {
            len(cells) for cells in csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True) if cells
        }
    except csv.Error:
        return False
    return len(sizes) == 1


def _from_jsonl(path: Path) -> list[Row]:
    rows = []
    for number, line in enumerate(_decoded(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: line {number}: not JSON ({error})") from None
        if not isinstance(content, dict):
            raise InputError(f"{path}: line {number}: {type(content).__name__}; expected an object with text and label")
        names = _distinct([key.strip().lower() for key in content], f"{path}: line {number}")
        rows.append(Row(where=f"line {number}", cells=dict(zip(names, content.values(), strict=True))))
    return rows or _no_rows(path, [])


def _from_parquet(path: Path) -> list[Row]:
    try:
        import pandas  # pyright: ignore[reportMissingImports]

        frame = pandas.read_parquet(path)
        if any(name is not None for name in frame.index.names):
            frame = frame.reset_index(allow_duplicates=True)
    except ImportError:
        raise InputError(
            f"{path}: reading .parquet needs pandas and pyarrow (pip install pandas pyarrow); or save it as .csv"
        ) from None
    except Exception as error:  # what a damaged file raises has no common base
        raise InputError(f"{path}: not a readable parquet file ({' '.join(str(error).split())[:200]})") from None
    names = _distinct([str(column).strip().lower() for column in frame.columns], str(path))
    values = [
        [None if cell is pandas.NA else cell for cell in frame.iloc[:, place].tolist()] for place in range(len(names))
    ]
    rows = [
        Row(where=f"row {number}", cells=dict(zip(names, cells, strict=True)))
        for number, cells in enumerate(zip(*values, strict=True), start=1)
    ]
    return rows or _no_rows(path, names)


READERS: dict[str, Callable[[Path], list[Row]]] = {
    ".csv": _from_csv,
    ".tsv": _from_csv,
    ".jsonl": _from_jsonl,
    ".parquet": _from_parquet,
}
SUFFIXES = tuple(READERS)


def _no_rows(path: Path, names: Sequence[str]) -> NoReturn:
    raise InputError(
        f"{path}: no rows; found {', '.join(names) or 'nothing'}, expected a header and a row for each sample"
    )
