"""The numbers of a paper's table as a study file holds them: one row a line, as the paper prints them.

    "columns": "Mult_acc_7 Has0_acc_2/Non0_acc_2 MAE",
    "rows": \"\"\"
        MMCL    | 46.5 84.0/86.3 0.705 | 53.6 84.8/85.9 0.537
        Self-MM | 45.8 82.7/84.9 0.731 | -                    | re-run
    \"\"\",

A line has a name, a cell for each of the study's datasets in their order, and where the paper has a compared system's
numbers from; if that differs, for each dataset, parted by ";". A cell has a word for each column; "/" parts two numbers that
are printed as a pair; "-" is a number that is not printed, and a cell of it alone a whole row. Accuracies and F1 are in
percent, as papers print them.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from msa_jax.errors import InputError
from msa_jax.report.table import AS_THEY_ARE, in_percent, metric_cell

Numbers = Mapping[str, Mapping[str, float]]  # dataset -> key -> `Printed`; accuracies and F1 as fractions
Columns = tuple[tuple[str, ...], ...]  # keys that are printed as one, in the paper's order

ORIGINS = {  # words of an origin, and what they mean
    "re-run": "run again by the paper's authors",
    "copied": "taken over from another paper",
    "computed": "not printed, but computed from what the paper states",
    "not said": "the paper does not say where it has them from",
    "GloVe": "with GloVe word vectors instead of BERT",
    "selected on test": "the code that they come from chooses a checkpoint by its score on test",
}
_ORIGIN = re.compile(r"(re-run|copied( from [^,]+)?|computed|not said)(, GloVe)?(, selected on test)?")
_NUMBER = re.compile(r"-?\d*\.?\d+")


class Printed(float):
    """A number of a paper, and the word that stands there: 0.465 printed as "46.5"."""

    word: str

    def __new__(cls, number: float | Decimal, word: str) -> "Printed":
        made = super().__new__(cls, number)
        made.word = word
        return made


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """A row of a paper's table. origin: {dataset: where the paper has it from, in words of ORIGINS}; of others' systems."""

    name: str
    paper: Numbers
    origin: Mapping[str, str] = field(default_factory=dict)


def parse_columns(text: str, known: Collection[str], where: str) -> Columns:
    """The columns of a study. Raises InputError for a key that is not known, or one twice."""
    columns = tuple(tuple(word.split("/")) for word in text.split())
    keys = [key for column in columns for key in column]
    for key in keys:
        if key not in known or keys.count(key) > 1:
            raise InputError(
                f"{where}: column {key!r}; expected each at most once, of {', '.join(sorted(known)) or 'none'}"
            )
    return columns


def parse_rows(text: str, columns: Columns, datasets: Sequence[str], where: str) -> dict[str, PaperRow]:
    """The rows by name, in their order. Raises InputError, naming the row, for a line of another form."""
    rows: dict[str, PaperRow] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, *cells = (cell.strip() for cell in line.split("|"))
        place = f"{where}: row {name!r}"
        if not name or name in rows:
            raise InputError(f"{place}: expected a name that no other row has")
        if len(cells) not in (len(datasets), len(datasets) + 1):
            raise InputError(
                f"{place}: {len(cells)} cells; expected one for each dataset ({', '.join(datasets)}) and an origin"
            )
        origins = cells.pop().split(";") if len(cells) > len(datasets) else []
        found = {
            dataset: _numbers(cell, columns, f"{place}, {dataset}")
            for dataset, cell in zip(datasets, cells, strict=True)
        }
        paper = {dataset: numbers for dataset, numbers in found.items() if numbers}
        rows[name] = PaperRow(name=name, paper=paper, origin=_origins(origins, datasets, paper, place))
    return rows


def paper_cell(key: str, value: float | None) -> str:
    """As the paper prints it; of a number that has lost its word, with the digits of `metric_cell` or more if it has more."""
    if isinstance(value, Printed):
        return value.word
    digits = 0 if value is None else decimals(repr(value))
    return f"{value:.{digits}f}" if key in AS_THEY_ARE and digits > 3 else metric_cell(key, value)


def decimals(word: str) -> int:
    """How many digits a number as it is printed has behind its point."""
    return len(word.partition(".")[2])


def source_cell(paper: str | None, origin: str | None) -> str:
    """Whose numbers a row of the paper has: "paper, mosi", or "paper, mosi (copied from MISA, GloVe)"."""
    return f"paper, {paper}" + (f" ({origin})" if origin else "")


def _origins(words: Sequence[str], datasets: Sequence[str], paper: Numbers, where: str) -> dict[str, str]:
    words = [word.strip() for word in words]
    for word in words:
        if not _ORIGIN.fullmatch(word):
            raise InputError(f"{where}: origin {word!r}; expected words such as {', '.join(ORIGINS)}")
    if len(words) not in (0, 1, len(datasets)):
        raise InputError(
            f"{where}: {len(words)} origins; expected one, or one for each dataset ({', '.join(datasets)})"
        )
    each = dict(zip(datasets, words * (len(datasets) if len(words) == 1 else 1), strict=False))
    return {dataset: word for dataset, word in each.items() if dataset in paper}


def _numbers(cell: str, columns: Columns, where: str) -> dict[str, float]:
    words = [] if cell == "-" else cell.split()
    if words and len(words) != len(columns):
        raise InputError(f"{where}: {len(words)} numbers or pairs; expected {len(columns)}, one for each column")
    found = {}
    for word, keys in zip(words, columns, strict=False):
        parts = word.split("/")
        if len(parts) != len(keys):
            raise InputError(f"{where}: {word!r}; expected {' and '.join(keys)}")
        for key, part in zip(keys, parts, strict=True):
            if part == "-":
                continue
            if not _NUMBER.fullmatch(part):
                raise InputError(f"{where}: {key} is {part!r}; expected a number or -")
            found[key] = Printed(Decimal(part) / 100 if in_percent(key) else Decimal(part), part)
    return found
