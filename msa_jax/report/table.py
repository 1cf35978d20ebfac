"""One table, rendered as Markdown, LaTeX, JSON or aligned text for a terminal; and how numbers are written in it."""

import math
import re
import textwrap
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msa_jax.errors import visible
from msa_jax.metrics import summarise

Cell = str | int | float | None

# How papers name the metrics, in the order in which they print them. "has0": negative against non-negative over all
# rows; "non0": negative against positive over the rows whose label is not zero.
METRIC_LABELS = {
    "MAE": "MAE",
    "Corr": "Corr",
    "CCC": "CCC",
    "R2": "R2",
    "Has0_acc_2": "Acc-2 has0",
    "Non0_acc_2": "Acc-2 non0",
    "Has0_F1_score": "F1 has0",
    "Non0_F1_score": "F1 non0",
    "Mult_acc_2": "Acc-2",
    "F1_score": "F1",
    "Mult_acc_3": "Acc-3",
    "Mult_acc_5": "Acc-5",
    "Mult_acc_7": "Acc-7",
}
AS_THEY_ARE = ("MAE", "Corr", "CCC", "R2")  # metrics that papers do not print in percent
MISSING = "-"
UNITS = "Acc and F1 in percent. MAE: lower is better; all others: higher is better."  # a note
_NUMERIC = re.compile(r"[+-]?\d")


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells are strings (numbers already written as they shall be read), plain numbers, or None where there is nothing.

    columns: `[C]` headings. rows: each `[C]` cells. caption: one line. notes: one line each, printed below; line breaks in
    them become spaces.
    The first column and columns without numbers are aligned left, the others right.
    Raises ValueError for a row of another length.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    notes: Sequence[str] = ()

    def __post_init__(self):
        for number, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(f"row {number} has {len(row)} cells: expected {len(self.columns)}")
        object.__setattr__(self, "caption", _one_line(self.caption))  # it may hold a message or a name of the user's
        object.__setattr__(self, "notes", tuple(map(_one_line, self.notes)))

    def transposed(self) -> "Table":
        """Columns as rows; the heading of the first column stays where it is."""
        columns, *rows = zip(self.columns, *self.rows, strict=True)
        return Table(columns=tuple(map(_shown, columns)), rows=rows, caption=self.caption, notes=self.notes)

    def width(self) -> int:
        """Terminal columns that the rows of `text` take."""
        return sum(self._aligned(str)[1]) + 2 * (len(self.columns) - 1)

    def text(self) -> str:
        """Aligned columns for a terminal; long notes are wrapped."""
        lines, widths = self._aligned(str)
        rule = "  ".join("-" * width for width in widths)
        body = [line.rstrip() for line in ("  ".join(line) for line in lines)]
        room = max(100, len(rule))
        whole = {"break_on_hyphens": False, "break_long_words": False}  # a path or a command can be copied
        notes = [textwrap.fill(note, room, initial_indent="* ", subsequent_indent="  ", **whole) for note in self.notes]
        return "\n".join([*_paragraph(self.caption), body[0], rule, *body[1:], *([""] if notes else []), *notes])

    def markdown(self) -> str:
        """A GitHub-flavoured table, readable unrendered."""
        lines, widths = self._aligned(_escape_markdown)
        dashes = zip(self._left(), ("-" * (width - 1) for width in widths), strict=True)
        rule = [":" + dash if left else dash + ":" for left, dash in dashes]
        body = [f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:])]
        caption = f"**{_escape_markdown(self.caption)}**" if self.caption else ""
        notes = [f"- {_escape_markdown(note)}" for note in self.notes]
        return "\n".join([*_paragraph(caption), *body, *([""] if notes else []), *notes])

    def latex(self) -> str:
        """A `table` float; needs \\usepackage{booktabs} in the preamble."""
        lines, _ = self._aligned(_escape_latex)
        # A row must not begin with [ or *: LaTeX would read it as an argument of the line break above it.
        head, *body = (f"    {'{}' if line[0][0] in '[*' else ''}{' & '.join(line)} \\\\" for line in lines)
        caption = [f"  \\caption{{{_escape_latex(self.caption)}}}"] if self.caption else []
        notes = [f"  \\par\\smallskip{{\\footnotesize {_escape_latex(note)}\\par}}" for note in self.notes]
        return "\n".join(
            [
                "\\begin{table}[t]",
                "  \\centering",
                *caption,
                f"  \\begin{{tabular}}{{{''.join('l' if left else 'r' for left in self._left())}}}",
                "    \\toprule",
                head,
                "    \\midrule",
                *body,
                "    \\bottomrule",
                "  \\end{tabular}",
                *notes,
                "\\end{table}",
            ]
        )

    def json(self) -> dict[str, Any]:
        """{"caption", "columns", "rows", "notes"}, lists of text and numbers; None where there is nothing, and for NaN."""
        rows = [[None if _is_missing(cell) else cell for cell in row] for row in self.rows]
        return {"caption": self.caption, "columns": list(self.columns), "rows": rows, "notes": list(self.notes)}

    def _left(self) -> list[bool]:
        """Whether a column stands left: the first one, and every one without a number in it."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.columns)
        return [i == 0 or not any(_NUMERIC.match(_shown(cell)) for cell in cells) for i, cells in enumerate(columns)]

    def _aligned(self, escape: Callable[[str], str]) -> tuple[list[list[str]], list[int]]:
        """Heading and rows with every cell padded to the width of its column, and those widths."""
        lines = [[escape(_shown(cell)) for cell in row] for row in (self.columns, *self.rows)]
        widths = [max(3, *map(_width, column)) for column in zip(*lines, strict=True)]  # Markdown's rule needs three
        shape = list(zip(widths, self._left(), strict=True))
        return [[_pad(cell, *how) for cell, how in zip(line, shape, strict=True)] for line in lines], widths


def markdown_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table whose cells are Markdown themselves, such as code and links, which `Table` would escape.

    A bar in a cell becomes `&#124;`, since `|` begins the next cell.
    """
    head = list(columns)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


def number(value: float | None, digits: int = 3, *, signed: bool = False) -> str:
    """0.7134 -> "0.713"; None and NaN -> "-"."""
    if _is_missing(value):
        return MISSING
    written = f"{value:{'+' if signed else ''}.{digits}f}"
    return written if float(written) else f"{0.0:.{digits}f}"  # a difference that rounds to zero has no sign


def mean_sd(mean: float | None, sd: float | None = None, digits: int = 3, *, signed: bool = False) -> str:
    """(0.7134, 0.0121) -> "0.713 ± 0.012"; without a standard deviation only the mean; without a mean "-"."""
    if _is_missing(mean) or _is_missing(sd):
        return number(mean, digits, signed=signed)
    return f"{number(mean, digits, signed=signed)} ± {number(sd, digits)}"


def summary_cells(
    runs: Sequence[Mapping[str, float | None]], digits: Mapping[str, int], *, percent: Collection[str] = ()
) -> list[str]:
    """Mean ± sample standard deviation over runs of each key of `digits`, with so many digits.

    Those in `percent` are fractions, written in percent. A key that a run lacks, or has None for, is written "-".
    """
    factor = {key: 100.0 if key in percent else 1.0 for key in digits}
    values = [{key: None if run.get(key) is None else factor[key] * run[key] for key in digits} for run in runs]
    mean, std = summarise(values)
    return [mean_sd(mean[key], std[key], places) for key, places in digits.items()]


def percent(fraction: float | None) -> str:
    """0.84 -> "84.00", the papers' way to write an accuracy or F1."""
    return MISSING if _is_missing(fraction) else number(100.0 * fraction, 2)


def in_percent(key: str) -> bool:
    """Whether papers print what has that key in percent: an accuracy or F1."""
    return key in METRIC_LABELS and key not in AS_THEY_ARE


def axis(key: str) -> tuple[str, float]:
    """How a figure names a metric, and what its values are multiplied by: ("MAE", 1.0), or ("F1 [%]", 100.0)."""
    label = METRIC_LABELS.get(key, key)
    return (f"{label} [%]", 100.0) if in_percent(key) else (label, 1.0)


def metric_cell(key: str, mean: float | None, sd: float | None = None, *, signed: bool = False) -> str:
    """One metric as papers print it: MAE, Corr, CCC and R2 as they are with three digits, the others in percent with two.

    ("MAE", 0.713, 0.012) -> "0.713 ± 0.012"; ("F1_score", 0.8, 0.01) -> "80.00 ± 1.00"; `signed` for differences.
    """
    if key in AS_THEY_ARE:
        return mean_sd(mean, sd, 3, signed=signed)
    mean, sd = (None if _is_missing(value) else 100.0 * value for value in (mean, sd))
    return mean_sd(mean, sd, 2, signed=signed)


def interval_cell(key: str, low: float | None, high: float | None, form: str = "[{}, {}]") -> str | None:
    """The ends of an interval of a difference, signed, as `metric_cell` writes the metric; None if there is no interval.

    ("MAE", -0.05, 0.012) -> "[-0.050, +0.012]"; form "({} to {})": "(-0.050 to +0.012)".
    """
    if low is None or high is None:
        return None
    return form.format(*(metric_cell(key, end, signed=True) for end in (low, high)))


def _is_missing(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, float) and not math.isfinite(cell))


def _shown(cell: Cell) -> str:
    if _is_missing(cell):
        return MISSING
    shown = number(cell) if isinstance(cell, float) else str(cell)
    return _one_line(shown)


def _one_line(text: str) -> str:
    return visible(" ".join(text.split()))


def _paragraph(line: str) -> list[str]:
    return [line, ""] if line else []


def _width(cell: str) -> int:
    """Terminal columns: East Asian wide characters take two, combining marks none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in cell)


def _pad(cell: str, width: int, left: bool) -> str:
    space = " " * (width - _width(cell))
    return cell + space if left else space + cell


# Only what Markdown would read: in names such as F1_score, in intervals and in "R&D" a character stands for itself.
_MARKDOWN = re.compile(
    r"[\\|*`<$~]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # emphasis, unless it is inside a word
    r"|\](?=[(\[:])"  # a link
    r"|&(?=#?\w+;)"  # a character by its name
)


def _escape_markdown(cell: str) -> str:
    return _MARKDOWN.sub(r"\\\g<0>", cell)


_LATEX = {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    "±": "$\\pm$",
    "-": "$-$",
    **{char: "\\" + char for char in "&%$#_{}"},
}


# A "-" is a minus where a number follows and ends, as in "[-0.10, +0.20]", and a hyphen in "mm-1" and in the id "-3g5_1".
_LATEX_READS = re.compile(r"[\\~^<>|±&%$#_{}]|(?<![^\s(\[])-(?=\d+(?:\.\d+)?(?:[\s,.;:)\]%]|$))")


def _escape_latex(cell: str) -> str:
    return "--" if cell == MISSING else _LATEX_READS.sub(lambda match: _LATEX[match.group()], cell)
