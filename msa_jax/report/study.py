"""What a study is: a file that is parsed and never run, naming the experiments behind one table or figure of a paper.

A study file holds a docstring and one literal dict:

    STUDY = {
        "title": "Which unimodal tasks help",
        "kind": "table",                        # a key of KINDS: who renders it
        "paper": "Yu et al., AAAI 2021, Table 4",
        "datasets": {  # of the paper's numbers
            "mosi": {"text_encoder": "bert-base-uncased", "rows": (1284, 229, 686), "aligned": False}
        },
        "columns": "MAE Corr Has0_acc_2/Non0_acc_2",  # of the paper, in its order
        "rows": \"\"\"                              # what it prints, one row a line; see report/paper_rows.py
            M, T | 0.731 0.789 82.65/84.15
            TFN  | 0.901 0.698 -/80.8      | copied from MISA
        \"\"\",
        "also": ("Mult_acc_7",),                # shown beside the paper's columns
        "base": {"method": "self_mm", "options": {"encoder": "lstm"}},  # what every variant begins with
        "variants": (                           # the experiments that are run
            {
                "name": "M, T",                 # of its row, if the paper has one
                "method": "self_mm",
                "options": {"tasks": ("m", "t")},       # what the study varies; dotted names
                "needs": ("text",),                     # modalities or columns without which it means nothing
                "baseline": "M",                        # the variant it is compared with; the first if left out
            },
        ),
        "notes": ("One line each, below the table.",),
        "curves": ({"name": "L_uni", "terms": ("contrast_audio", "contrast_vision")},),  # of kind "loss_curves"
        "share_stages": True,                   # variants of one method: the first stages are trained for the first alone
    }

Title, kind, paper, datasets and variants must be there, and columns in a table. A row that no variant is named after is
shown and not run.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msa_jax import config
from msa_jax.errors import InputError
from msa_jax.literals import read_literal
from msa_jax.modalities import MODALITIES, label_column
from msa_jax.paths import user_path
from msa_jax.report.paper_rows import Columns, Numbers, PaperRow, parse_columns, parse_rows
from msa_jax.report.table import METRIC_LABELS, Table

if TYPE_CHECKING:
    from msa_jax.train.settings import Settings

LABELS = {label_column(modality): modality for modality in MODALITIES}  # column of a unimodal label -> its modality
TWINS = {  # what a dataset of another kind of metrics has in the place of a column
    "Has0_acc_2": ("Mult_acc_2",),
    "Has0_F1_score": ("F1_score",),
    "Mult_acc_2": ("Has0_acc_2", "Non0_acc_2"),
    "F1_score": ("Has0_F1_score", "Non0_F1_score"),
}
PAPER_KEYS: dict[str, frozenset[str]] = {  # kind -> what its columns may be called
    "table": frozenset(METRIC_LABELS),
    "label_distribution": frozenset(),
    "case_table": frozenset({"label", *LABELS}),
    "loss_curves": frozenset(),
    "representations": frozenset(),
    "retrieval": frozenset(),
    "valid_curves": frozenset(),
    "part_similarity": frozenset(),
    "class_spread": frozenset(),
    "robustness": frozenset(),
}


@dataclass(frozen=True, kw_only=True)
class PaperDataset:
    """What the paper used; None where unknown.

    text_encoder: by hub name. rows: of train, valid, test. aligned: whether audio and vision have a frame for each token.
    """

    text_encoder: str | None = None
    rows: tuple[int, int, int] | None = None
    aligned: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One experiment of a study: a method with the options that set it apart, and the paper's numbers for it.

    baseline: the name of the variant that a table compares it with; None is the first. origin: as in PaperRow.
    """

    name: str
    method: str
    options: dict[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    baseline: str | None = None
    paper: Numbers = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """Its folder: "M, T, A" -> "m-t-a"; of a variant that is called as its method, that name."""
        return self.name if self.name == self.method else re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A curve of a figure: the sum of these loss terms, or e to the power of it."""

    name: str
    terms: tuple[str, ...]
    exponential: bool = False


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study file, read.

    name: "self_mm.table4", or the stem of a file given by its path. metrics: what a table shows, in this order. context: the
    paper's rows that are not run. share_stages: every variant takes all stages but its
    last from the first one that is possible (option stages_from), run by run.
    """

    name: str
    description: str
    title: str
    kind: str
    paper: str
    datasets: dict[str, PaperDataset]
    metrics: tuple[str, ...]
    variants: tuple[Variant, ...]
    context: tuple[PaperRow, ...]
    notes: tuple[str, ...]
    curves: tuple[Curve, ...] = ()
    share_stages: bool = False

    @property
    def prints_numbers(self) -> bool:
        """Whether the paper gives any numbers here."""
        return any(row.paper for row in (*self.variants, *self.context))

    def reference(self, dataset: str, metrics: str) -> str | None:
        """Which of the paper's datasets to set beside one of that name and kind of metrics; None where it has none."""
        return next((name for name in (dataset, metrics) if name in self.datasets), next(iter(self.datasets), None))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A variant on the dataset at hand.

    path: its experiment folder. settings: method and options it runs with. asked: those options that the user set for
    all variants. ignored: those of them that its method does not have. reason: why it is not possible here; None where
    it is. runs: {seed: {metric: value or None}} on test. epochs: {seed: best epoch or None}. Both are empty where it is
    not possible. precision: the number format that it was computed in; None where that is not known.
    """

    variant: Variant
    path: Path
    settings: "Settings"
    asked: dict[str, Any] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    reason: str | None = None
    runs: dict[int, dict[str, float | None]] = field(default_factory=dict)
    epochs: dict[int, int | None] = field(default_factory=dict)
    precision: str | None = None

    @property
    def finished(self) -> bool:
        """Whether its experiment is."""
        return (self.path / "result.json").is_file()


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """What a study came to.

    content: every number unrounded, for JSON. tables: for reading. figures: {file name: matplotlib Figure}. files: what
    was written of these.
    """

    content: dict[str, Any]
    tables: tuple[Table, ...]
    figures: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    @property
    def text(self) -> str:
        """For a terminal."""
        written = f"written: {', '.join(map(str, self.files))}" if self.files else ""
        return "\n\n\n".join([*(table.text() for table in self.tables), *([written] if written else [])])

    def markdown(self) -> str:
        """GitHub-flavoured tables."""
        return "\n\n".join(table.markdown() for table in self.tables) + "\n"

    def latex(self) -> str:
        """One `table` float each; needs \\usepackage{booktabs}."""
        return "\n\n".join(table.latex() for table in self.tables) + "\n"


def list_studies() -> list[Study]:
    """All studies that come with msa_jax, by name."""
    return [load_study(name) for name in sorted(_shipped())]


def load_study(name: str | Path) -> Study:
    """A study by its name, "self_mm.table4", or by the path of a `.py` file of the same form.

    Raises:
      InputError: there is none of that name, or the file is not of that form.
    """
    if Path(name).suffix == ".py":
        path, shown = user_path(name), Path(name).stem
    else:
        shipped, shown = _shipped(), str(name)
        if shown not in shipped:
            near = difflib.get_close_matches(shown, shipped, n=3, cutoff=0.4) or sorted(shipped)
            raise InputError(f"no study {shown!r}; there are {', '.join(near)}")
        path = shipped[shown]
    description, content = read_literal(path, "STUDY")
    return _study(shown, description, content, str(path))


def _shipped() -> dict[str, Path]:
    """Name -> file: `self_mm_table4.py` is self_mm.table4."""
    files = (config.configs_folder() / "studies").glob("*_*.py")
    return {".".join(path.stem.rsplit("_", 1)): path for path in files}


# -- reading a literal ------------------------------------------------------------------------------------------------


def _study(name: str, description: str, content: Any, where: str) -> Study:
    given = _fields(
        content,
        {"title": str, "kind": str, "paper": str, "datasets": dict, "variants": tuple},
        {
            "columns": str,
            "rows": str,
            "also": tuple,
            "base": dict,
            "notes": tuple,
            "curves": tuple,
            "share_stages": bool,
        },
        where,
    )
    kind = given["kind"]
    if kind not in PAPER_KEYS:
        raise InputError(f"{where}: kind is {kind!r}; expected one of {', '.join(PAPER_KEYS)}")
    datasets = {
        dataset: PaperDataset(
            **_fields(known, {}, {"text_encoder": str, "rows": tuple, "aligned": bool}, f"{where}: dataset {dataset}")
        )
        for dataset, known in given["datasets"].items()
    }
    columns = parse_columns(given.get("columns", ""), PAPER_KEYS[kind], where)
    rows = parse_rows(given.get("rows", ""), columns, list(datasets), where)
    variants = [
        _variant(entry, given.get("base", {}), rows, f"{where}: variant {number}")
        for number, entry in enumerate(given["variants"])
    ]
    slugs = [variant.slug for variant in variants]
    twice = [variant.name for variant in variants if not variant.slug or slugs.count(variant.slug) > 1]
    if twice or not variants:
        found = f"the name {twice[0]!r}" if twice else "no variants"
        raise InputError(f"{where}: {found}; expected variants whose names differ in their letters and digits")
    names = [variant.name for variant in variants]
    for number, variant in enumerate(variants):
        if variant.baseline not in (None, *names) or variant.baseline == variant.name:
            others = ", ".join(name for name in names if name != variant.name)
            raise InputError(f"{where}: variant {number}: baseline is {variant.baseline!r}; expected one of {others}")
    share_stages = given.get("share_stages", False)
    if share_stages and len({variant.method for variant in variants}) > 1:
        raise InputError(f"{where}: share_stages is True; expected variants of one method")
    return Study(
        name=name,
        description=description,
        title=given["title"],
        kind=kind,
        paper=given["paper"],
        datasets=datasets,
        metrics=_metrics(columns, given.get("also", ()), where) if kind == "table" else (),
        variants=tuple(variants),
        context=tuple(row for row in rows.values() if row.name not in names),
        notes=given.get("notes", ()),
        curves=tuple(
            Curve(**_fields(entry, {"name": str, "terms": tuple}, {"exponential": bool}, f"{where}: curve {number}"))
            for number, entry in enumerate(given.get("curves", ()))
        ),
        share_stages=share_stages,
    )


def _variant(entry: Any, base: Any, rows: Mapping[str, PaperRow], where: str) -> Variant:
    """A variant on top of what all of them have, with the paper's row of its name."""
    common = {"method": str, "options": dict, "needs": tuple, "baseline": str}
    first = _fields(base, {}, common, f"{where}: base")
    own = _fields(entry, {"name": str}, common, where)
    known = {**first, **own, "options": {**first.get("options", {}), **own.get("options", {})}}
    if "method" not in known:
        raise InputError(f"{where}: no method; expected one, here or in base")
    for need in known.get("needs", ()):
        if need not in (*MODALITIES, *LABELS):
            raise InputError(f"{where}: needs {need!r}; expected some of {', '.join((*MODALITIES, *LABELS))}")
    row = rows.get(known["name"])
    return Variant(**known, **({"paper": row.paper, "origin": row.origin} if row else {}))


def _metrics(columns: Columns, also: Sequence[str], where: str) -> tuple[str, ...]:
    """What a table shows: the paper's columns, the study's own, and what other datasets have in their place."""
    parse_columns(" ".join(also), METRIC_LABELS, f"{where}: also")
    keys = [key for column in columns for key in column]
    if not keys:
        raise InputError(f"{where}: no columns; expected keys such as MAE for a table")
    twins = [twin for key in keys for twin in TWINS.get(key, ())]
    return tuple(dict.fromkeys([*keys, *also, *twins]))


def _fields(content: Any, needed: Mapping[str, type], possible: Mapping[str, type], where: str) -> dict[str, Any]:
    """The entries of a dict, when they are those and of those types; lists are taken as tuples."""
    kinds = {**needed, **possible}
    if not isinstance(content, dict):
        raise InputError(f"{where}: found {type(content).__name__}; expected a dict of {', '.join(kinds)}")
    for key in needed:
        if key not in content:
            raise InputError(f"{where}: no {key}; expected {', '.join(needed)}")
    given = {}
    for key, value in content.items():
        if key not in kinds:
            raise InputError(f"{where}: unknown entry {key!r}; expected some of {', '.join(kinds)}")
        given[key] = tuple(value) if isinstance(value, list) else value
        if not isinstance(given[key], kinds[key]):
            raise InputError(f"{where}: {key} is {value!r}; expected {kinds[key].__name__}")
    return given
