"""One page on one experiment: a single HTML file that reads nothing else, in light and dark and on paper.

Every text that comes from data or options is escaped, and the page forbids itself scripts and whatever lies elsewhere.
"""

import html
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax import methods, metrics
from msa_jax.data import load_dataset
from msa_jax.data.schema import Dataset, Split
from msa_jax.errors import InputError
from msa_jax.modalities import MODALITIES, SEQUENCES, label_column
from msa_jax.option_meanings import meanings
from msa_jax.option_values import shown
from msa_jax.paths import user_path
from msa_jax.report import figures, run_figures
from msa_jax.report.experiment import read_predictions, read_result
from msa_jax.report.run_curves import curves_figure
from msa_jax.report.table import METRIC_LABELS, UNITS, Table, metric_cell
from msa_jax.train.atomic import read_arrays, read_json, write_text
from msa_jax.train.experiment_dir import check_not_ours

WORST = 20
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_INKS = (figures.INK, "#000000")  # of figures: what becomes the ink of the page

_STYLE = """
:root { color-scheme: light dark; --ink: #222222; --grey: #6b6b6b; --page: #ffffff; --line: #d9d9d9; --note: #f4f4f4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --grey: #a8a8a8; --page: #16181c; --line: #3a3d44; --note: #22252b; }
  figure.lines svg { filter: brightness(1.35); } figure.lines path { stroke-opacity: 1 !important; }
}
body { margin: 0 auto; max-width: 62rem; padding: 1rem 1.25rem 4rem; color: var(--ink); background: var(--page);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 1rem 0 0.25rem; } h2 { font-size: 1.2rem; margin: 2.25rem 0 0.5rem; }
p, li { max-width: 46rem; } .grey { color: var(--grey); } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { font-weight: 600; white-space: nowrap; } td.number { text-align: right; white-space: nowrap; }
td.text { min-width: 18rem; overflow-wrap: anywhere; }
figure { margin: 0.5rem 0; } figure svg { max-width: 100%; height: auto; fill: currentColor; }
figcaption { color: var(--grey); }
.two { display: flex; flex-wrap: wrap; gap: 1rem 2rem; } code { font-size: 0.9em; overflow-wrap: anywhere; }
summary { cursor: pointer; margin: 0.5rem 0; } .note { background: var(--note); padding: 0.5rem 0.8rem; border-radius: 4px; }
@media print { :root { --ink: #000000; --grey: #555555; --page: #ffffff; --line: #bbbbbb; --note: #ffffff; }
  figure, tr { break-inside: avoid; } h2 { break-after: avoid; } .two { display: block; }
  .scroll { overflow: visible; } table { font-size: 8pt; } td.text { min-width: 0; } td.number, th { white-space: normal; }
  figure.lines svg { filter: none; } details::details-content { content-visibility: visible; } body { font-size: 10pt; } }
"""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """One split of a finished experiment. ids: [N]. label: [N]. runs: {seed: [N] scores}."""

    ids: np.ndarray
    label: np.ndarray
    runs: Mapping[str, np.ndarray]

    @property
    def score(self) -> np.ndarray:
        """[N] mean over the runs."""
        return np.mean(list(self.runs.values()), axis=0)


def report(folder: str | Path, *, out: str | Path | None = None, data: Any = None, split: str = "test") -> Path:
    """Writes the page of a finished experiment.

    Args:
      folder: of the experiment.
      out: the page; by default `report.html` in the folder.
      data: what `load_dataset` takes, for texts and lengths; by default the dataset it was trained on, and if that is gone the
        page says what it lacks.
      split: "test" or "valid", whose predictions are shown.

    Returns:
      Where it is.

    Raises:
      InputError: not a finished experiment, its files are damaged, matplotlib is not installed, `data` are not its data, or
        the page cannot be written.
    """
    figures.check_matplotlib()
    folder = user_path(folder)
    path = folder / "report.html" if out is None else user_path(out)
    if out is not None:
        check_not_ours(path)
    write_text(path, page(folder, data=data, split=split))
    return path


def page(folder: Path, *, data: Any = None, split: str = "test") -> str:
    """The HTML of `report`."""
    result, config = read_result(folder), _object(folder / "config.json")
    predictions = _predictions(folder, split)
    kind, label_range = _kind(config, folder)
    part, lack = _samples(config, data, split, predictions)
    name = f"{result['method']} on {result['dataset']}"
    seeds = ", ".join(str(run["seed"]) for run in result["runs"])
    scores, label = list(predictions.runs.values()), predictions.label
    sections = [
        f"<h1>{_text(name)}</h1>",
        f'<p class="grey">{_text(folder.resolve().name)}; seeds {_text(seeds)}; protocol {_text(config.get("protocol"))}; '
        f"preset {_text(config.get('preset') or 'none')}</p>",
        _section("Scores", "".join(_table(_scores(result, of)) for of in ("test", "valid"))),
        _section("Curves", _figure(curves_figure(folder), "Dotted: the epoch that was chosen on valid.")),
        _section(
            f"Scores and labels, {split}",
            '<div class="two">'
            + _figure(run_figures.scatter(predictions.score, label, label_range=label_range), "A point is a sample.")
            + _figure(
                run_figures.confusion(scores, label, kind=kind, label_range=label_range),
                "Binned as the finest accuracy bins them.",
                kind="cells",
            )
            + "</div>",
        ),
        _section(f"Errors by length, {split}", _lengths(predictions, part, kind) if part is not None else _note(lack)),
        _section("Generated unimodal labels", _generated(folder, result, label_range)),
        _section(
            f"The {min(WORST, len(label))} worst samples, {split}",
            ("" if part is not None else _note(lack)) + _worst(predictions, part, kind),
        ),
        _section("Options", _options(result["method"], config)),
        _section("Environment", _environment(folder)),
    ]
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(name)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


# -- what is shown ----------------------------------------------------------------------------------------------------


def _scores(result: Mapping[str, Any], split: str) -> Table:
    """A column for each run, and the mean with the sample standard deviation over them."""
    runs = [run[split] for run in result["runs"]]
    rows = [
        (str(run["seed"]), *(metric_cell(key, value) for key, value in run[split].items())) for run in result["runs"]
    ]
    if len(runs) > 1:
        mean, std = metrics.summarise(runs)
        rows.append(("mean ± sd", *(metric_cell(key, mean[key], std[key]) for key in mean)))
    chosen = " The epochs were chosen on this split, so that its numbers are optimistic." if split == "valid" else ""
    columns = ("seed", *(METRIC_LABELS.get(key, key) for key in runs[0]))
    return Table(columns=columns, rows=rows, caption=split, notes=(UNITS + chosen,)).transposed()


def _lengths(predictions: Predictions, part: Split, kind: str) -> str:
    error = metrics.signed_errors(predictions.score, predictions.label, kind)
    drawn = [
        _figure(
            run_figures.errors_by_length(error, length, unit=unit), "Dot: median. Thick: middle half. Thin: 5 to 95 %."
        )
        for length, unit in _known_lengths(part)
    ]
    return '<div class="two">' + "".join(drawn) + "</div>" if drawn else _note("The data have no lengths.")


def _known_lengths(part: Split) -> list[tuple[np.ndarray, str]]:
    """Lengths [N] that vary, each with its unit."""
    found: list[tuple[np.ndarray, str]] = []
    if part.text_bert is not None:
        found.append((part.text_bert[:, 1].sum(1), "tokens of text"))
    elif part.raw_text is not None:
        found.append((np.array([len(text.split()) for text in part.raw_text.tolist()]), "words of text"))
    for name in SEQUENCES:
        length = getattr(part, f"{name}_length")
        if length is not None:
            found.append((length, f"frames of {name}"))
    return [(length, unit) for length, unit in found if length.min() < length.max()]


def _generated(folder: Path, result: Mapping[str, Any], label_range: tuple[float, float]) -> str:
    seed = result["runs"][0]["seed"]
    path = folder / "labels" / f"{seed}.npz"
    kept = read_arrays(path) if path.is_file() else {}
    labels = {name: kept[label_column(name)] for name in MODALITIES if label_column(name) in kept}
    if not labels or "label" not in kept:
        return _note("This method generates none.")
    if any(values.shape != kept["label"].shape or values.ndim != 1 or not len(values) for values in labels.values()):
        raise InputError(f"{path}: arrays of different shapes; expected one number for each training sample")
    drawn = run_figures.generated_labels(labels, kept["label"], label_range=label_range)
    return _figure(drawn, f"After the last epoch, seed {seed}.")


def _worst(predictions: Predictions, part: Split | None, kind: str) -> str:
    error = metrics.signed_errors(predictions.score, predictions.label, kind)
    order = np.argsort(-np.abs(error), kind="stable")[:WORST]
    texts = part.raw_text if part is not None else None
    columns = ["id", *(["text"] if texts is not None else []), "label", "score", "error", "runs, low to high"]
    lines = []
    runs = np.stack(list(predictions.runs.values()))
    for row in order:
        cells = [f"<td>{_text(predictions.ids[row])}</td>"]
        if texts is not None:
            cells.append(f'<td class="text">{_text(texts[row])}</td>')
        spread = f"{runs[:, row].min():.2f} to {runs[:, row].max():.2f}"
        numbers = (f"{predictions.label[row]:.2f}", f"{predictions.score[row]:.2f}", f"{error[row]:+.2f}", spread)
        cells += [f'<td class="number">{number}</td>' for number in numbers]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    head = "".join(f"<th>{_text(column)}</th>" for column in columns)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _options(method: str, config: Mapping[str, Any]) -> str:
    options = config.get("options")
    if not isinstance(options, dict):
        return _note("config.json has none.")
    texts: Mapping[str, str] = {}
    if method in methods.METHODS:
        texts = meanings(methods.get(method).options())
    rows = [(name, shown(value), texts.get(name, "")) for name, value in options.items()]
    table = _table(Table(columns=("option", "value", "meaning"), rows=rows))
    return f"<details><summary>{len(rows)} options</summary>{table}</details>"


def _environment(folder: Path) -> str:
    path = folder / "environment.json"
    if not path.is_file():
        return _note("environment.json is not there.")
    rows = []
    for name, value in _object(path).items():
        if name == "dataset_sha256":
            continue
        if name == "resumed" and isinstance(value, list):
            value = {"at": [str(one.get("started")) for one in value if isinstance(one, dict)]}
        inner = value.items() if isinstance(value, dict) else [("", value)]
        for key, one in inner:
            words = " ".join(map(str, one)) if isinstance(one, list) else str(one)
            rows.append((f"{name} {key}".strip(), words))
    return _table(Table(columns=("", ""), rows=rows))


# -- reading ----------------------------------------------------------------------------------------------------------


def _object(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a JSON object")
    return content


def _kind(config: Mapping[str, Any], folder: Path) -> tuple[str, tuple[float, float]]:
    """The metrics and the label range of training."""
    try:
        low, high = config["inputs"]["label_range"]
        kind, ends = config["metrics"], (float(low), float(high))
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"{folder / 'config.json'}: not the configuration of an experiment ({error!r})") from None
    known = isinstance(kind, str) and kind in metrics.METRIC_KEYS
    if not (known and math.isfinite(ends[0]) and math.isfinite(ends[1]) and ends[0] < ends[1]):
        raise InputError(
            f"{folder / 'config.json'}: metrics {kind!r:.50}, labels from {ends[0]:g} to {ends[1]:g}; expected known "
            "metrics, and low < high"
        )
    return kind, ends


def _predictions(folder: Path, split: str) -> Predictions:
    ids, label, heads = read_predictions(folder, split)
    runs = {name.removesuffix("/prediction"): values for name, values in heads.items() if name.endswith("/prediction")}
    if not runs:
        raise InputError(f"{folder / 'predictions' / f'{split}.csv'}: no column SEED/prediction")
    return Predictions(ids=ids, label=label, runs=runs)


def _samples(config: Mapping[str, Any], data: Any, split: str, predictions: Predictions) -> tuple[Split | None, str]:
    """The samples in the order of the predictions, or None and why they are not there.

    Raises:
      InputError: `data` were named and are none, or not these.
    """
    try:
        dataset: Dataset = load_dataset(config.get("data", "") if data is None else data)
    except InputError as error:
        if data is not None:
            raise
        return None, f"The data of training are not there ({error}); --data names them."
    part = dataset.split(split)
    place = {name: row for row, name in enumerate(part.id.tolist())}
    rows = [place.get(name, -1) for name in predictions.ids.tolist()]
    lacking = None
    if -1 in rows:
        lacking = f"no sample {str(predictions.ids[rows.index(-1)])!r} in split {split}"
    elif not np.allclose(part.label[rows], predictions.label, atol=1e-5):
        lacking = f"other labels in split {split}"
    if lacking is not None:
        if data is not None:
            raise InputError(f"{dataset.source}: {lacking}; expected the data that the experiment was scored on")
        return None, f"The data have changed ({dataset.source}: {lacking})."
    return part.take(rows), ""


# -- HTML -------------------------------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    return html.escape(str(value), quote=True)


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{_text(title)}</h2>\n{content}\n</section>"


def _note(text: str) -> str:
    return f'<p class="note">{_text(text)}</p>'


def _table(table: Table) -> str:
    """A table whose cells are text and numbers."""
    content = table.json()
    numbers = [all(_is_number(row[place]) for row in content["rows"]) for place in range(len(content["columns"]))]
    head = "".join(f"<th>{_text(column)}</th>" for column in content["columns"])
    lines = []
    for row in content["rows"]:
        cells = zip(row, numbers, strict=True)
        kind = ' class="number"'
        lines.append("<tr>" + "".join(f"<td{kind * right}>{_text(cell)}</td>" for cell, right in cells) + "</tr>")
    caption = f'<p class="grey">{_text(content["caption"])}</p>' if content["caption"] else ""
    notes = "".join(f'<p class="grey">{_text(note)}</p>' for note in content["notes"])
    head = f"<thead><tr>{head}</tr></thead>" if any(content["columns"]) else ""
    return f'{caption}<div class="scroll"><table>{head}<tbody>{"".join(lines)}</tbody></table></div>{notes}'


def _is_number(cell: Any) -> bool:
    return isinstance(cell, str) and cell[:1] in "+-0123456789" and cell not in ("", "-") and ":" not in cell


def _figure(figure: Any, caption: str, *, kind: str = "lines") -> str:
    """A figure as SVG in the page, whose ink is that of the page. kind: "cells" for one whose colours mean numbers."""
    drawn = figures.drawn(figure, "svg", transparent=True).decode("utf-8")
    svg = _METADATA.sub("", drawn[drawn.index("<svg") :])
    for colour in _INKS:
        svg = svg.replace(colour, "currentColor")
    return f'<figure class="{kind}">{svg}<figcaption>{_text(caption)}</figcaption></figure>'
