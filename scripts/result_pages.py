"""Pages and parts of documents, made from result files.

A page shows every result file that names it. In any other document, and in the README, these marks are filled in:

    <!-- results: NAME ...; EXPERIMENT ...; METRIC ... --> ... <!-- end -->  a table
    <!-- results: all; EXPERIMENT ...; METRIC ... --> ... <!-- end -->       of all leaderboards that have the first experiment
    <!-- results: pages --> ... <!-- end -->                                 a list of the pages
    <!-- number: NAME EXPERIMENT METRIC --> ... <!-- end -->                 mean ± sd on test
    <!-- number: NAME EXPERIMENT from BASE METRIC --> ... <!-- end -->       its difference from BASE, with the 95 % interval
    <!-- paper: STUDY; ROW; ROW ... --> ... <!-- end -->                     rows that a paper prints, as the study has them

In the notes of a result file, {EXPERIMENT METRIC} and {EXPERIMENT from BASE METRIC} stand for the same numbers of that file.
"""

import itertools
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from msa_jax.data.protocols import find_protocol
from msa_jax.errors import InputError
from msa_jax.metrics import METRIC_KEYS, summarise
from msa_jax.report import leaderboard_tables
from msa_jax.report.differences import NOT_WIDENED, paired_difference
from msa_jax.report.paper_rows import paper_cell, source_cell
from msa_jax.report.ranks import Ranks
from msa_jax.report.robustness import Robustness
from msa_jax.report.study import load_study
from msa_jax.report.table import METRIC_LABELS, Cell, Table, interval_cell, metric_cell
from scripts.result_files import KINDS

Result = Mapping[str, Any]
MADE = "<!-- Made by scripts/results from the result files beside this page. Change those, and make it again. -->"
_MARK = re.compile(r"(<!-- (results|number|paper): ([^>]*?) -->)(.*?)(<!-- end -->)", re.DOTALL)
_CODE = re.compile(r"(^```.*?^```)", re.DOTALL | re.MULTILINE)


def page(name: str, results: Mapping[str, Result]) -> str:
    """One page: a section for each result file that is shown there."""
    shown = _of_page(name, results)
    dataset = ", ".join(dict.fromkeys(one["dataset"] for _, one in shown))
    return "\n\n".join([MADE, f"# Results on {dataset}", *(section(key, one) for key, one in shown)]) + "\n"


def section(name: str, result: Result) -> str:
    """Heading, notes, tables, pictures, and what was run."""
    notes = [re.sub(r"\{([^{}\n]+)\}", lambda match: number(result, match[1]), note) for note in result["notes"]]
    pictures = [f"![{result['title']}, {result['dataset']}]({figure})" for figure in result["figures"]]
    first, *others = _tables(result)
    return "\n\n".join([f"## {result['title']}", *notes, first, *pictures, *others, _origin(name, result)])


def data_name(result: Result) -> str:
    """The dataset of a result file, and what all its experiments left out of it."""
    left_out = (one["options"].get("leave_out") or () for one in result["experiments"])
    return leaderboard_tables.data_name(result["dataset"], left_out)


def filled(text: str, results: Mapping[str, Result]) -> str:
    """A document with its marks filled in anew; blocks of code are left alone."""
    parts = _CODE.split(text)
    return "".join(part if part.startswith("```") else _MARK.sub(lambda m: _fill(m, results), part) for part in parts)


def listed(results: Mapping[str, Result]) -> list[tuple[str, str]]:
    """Every page, with what it shows in a few words."""
    pages = sorted({one["page"] for one in results.values()})
    return [(page, "; ".join(one["title"] for _, one in _of_page(page, results))) for page in pages]


def _of_page(page: str, results: Mapping[str, Result]) -> list[tuple[str, Result]]:
    """The result files that a page shows, in its order."""
    found = [(name, one) for name, one in results.items() if one["page"] == page]
    return sorted(found, key=lambda item: (KINDS.index(item[1]["kind"]), item[0]))


def _fill(match: re.Match[str], results: Mapping[str, Result]) -> str:
    head, kind, words, _, end = match.groups()
    if kind == "number":
        name, _, rest = words.partition(" ")
        return f"{head}{number(_named(results, name), rest)}{end}"
    if words == "pages":
        lines = "\n".join(f"- [{page}](results/{page}.md): {about}" for page, about in listed(results))
        return f"{head}\n{lines}\n{end}" if lines else f"{head}\n{end}"
    if kind == "paper":
        study, *rows = (part.strip() for part in words.split(";"))
        return f"{head}\n\n{printed(study, rows).markdown()}\n\n{end}"
    parts = [part.split() for part in words.split(";")]
    names, experiments, keys = (*parts, [], [])[:3]
    if names == ["all"]:
        boards = {name: one for name, one in results.items() if one["kind"] == "leaderboard"}
        there = {name: [one["name"] for one in board["experiments"]] for name, board in boards.items()}
        names = [name for name in boards if not experiments or experiments[0] in there[name]]
        if not names:
            lacking = f"No leaderboard has {experiments[0]} yet." if experiments else "There is no leaderboard yet."
            return f"{head}\n\n{lacking}\n\n{end}"
        experiments = [each for each in experiments if any(each in there[name] for name in names)]
    table = summary({name: _named(results, name) for name in names}, experiments, keys)
    return f"{head}\n\n{table.markdown()}\n\n{end}"


def _named(results: Mapping[str, Result], name: str) -> Result:
    if name not in results:
        raise InputError(f"no result file {name}; there are {', '.join(results) or 'none'}")
    return results[name]


# -- numbers ----------------------------------------------------------------------------------------------------------


def metrics_of(result: Result) -> Sequence[str]:
    """The metrics of its experiments. InputError if it has curves instead of experiments."""
    if result["kind"] == "robustness":
        raise InputError(f"{result['title']!r} has curves alone, and no number that can be quoted")
    return METRIC_KEYS[result["metrics"]]


def runs_of(result: Result, name: str, split: str = "test") -> dict[int, dict[str, float | None]]:
    """{seed: {metric: value on a split}} of one experiment."""
    for one in result["experiments"]:
        if one["name"] == name:
            return {run["seed"]: run[split] for run in one["runs"]}
    known = ", ".join(one["name"] for one in result["experiments"])
    raise InputError(f"no experiment {name}; there are {known or 'none'}")


def number(result: Result, words: str) -> str:
    """ "EXPERIMENT METRIC" -> "0.713 ± 0.012"; "EXPERIMENT from BASE METRIC" -> "-0.026 (-0.050 to -0.002)"."""
    match = re.fullmatch(r"(?P<name>.+?)(?: from (?P<base>.+))? (?P<key>\S+)", words)
    if match is None or match["key"] not in metrics_of(result):
        raise InputError(f"{words!r} names no number; expected EXPERIMENT METRIC or EXPERIMENT from BASE METRIC")
    runs = runs_of(result, match["name"])
    if match["base"]:
        return difference_cell(runs_of(result, match["base"]), runs, match["key"])
    mean, std = summarise(list(runs.values()))
    return metric_cell(match["key"], mean[match["key"]], std[match["key"]])


def difference_cell(base: Mapping[int, Any], runs: Mapping[int, Any], key: str) -> str:
    """The mean difference, paired by seed, and its 95 % interval."""
    found = paired_difference(base, runs, metric=key, name="")
    mean, interval = metric_cell(key, found.mean, signed=True), interval_cell(key, found.low, found.high, "({} to {})")
    return mean if interval is None else f"{mean} {interval}"


def summary(results: Mapping[str, Result], names: Sequence[str], keys: Sequence[str]) -> Table:
    """One table over several result files: a line for each experiment, in the order of `names`, by default all."""
    known = dict.fromkeys(key for one in results.values() for key in metrics_of(one))
    wrong = [key for key in keys if key not in known]
    if wrong:
        raise InputError(f"no metric {wrong[0]}; there are {', '.join(known)}")
    keys = keys or [key for key in METRIC_LABELS if key in known]
    found = {name: {one["name"] for one in result["experiments"]} for name, result in results.items()}
    missing = [name for name in names if not any(name in there for there in found.values())]
    if missing:
        raise InputError(f"no experiment {missing[0]} in {', '.join(results)}")
    floor = leaderboard_tables.FLOOR
    rows: list[list[Cell]] = []
    first: dict[str, str] = {}  # the first result file of each dataset; others there say what they are
    for source, result in results.items():
        data = data_name(result)
        if first.setdefault(data, source) != source:
            data = f"{data}, {source.removeprefix(result['dataset']).strip('_')}"
        for name in names or [one["name"] for one in result["experiments"]]:
            if name not in found[source]:
                continue
            runs = runs_of(result, name)
            mean, std = summarise(list(runs.values()))
            compared = floor in found[source] and name != floor
            difference = difference_cell(runs_of(result, floor), runs, "MAE") if compared else None
            cells = [metric_cell(key, mean.get(key), std.get(key)) for key in keys]
            rows.append([data, name, len(runs), *cells, difference])
    columns = ["data", "method", "runs", *(METRIC_LABELS[key] for key in keys), f"MAE minus {floor}'s (95 %)"]
    if not any(row[-1] for row in rows):
        return Table(columns=columns[:-1], rows=[row[:-1] for row in rows])
    return Table(columns=columns, rows=rows, notes=(NOT_WIDENED,))


def printed(name: str, names: Sequence[str]) -> Table:
    """Rows of a paper's table, for each of its datasets; by default all."""
    study = load_study(name)
    rows = {row.name: row for row in (*study.variants, *study.context)}
    missing = [row for row in names if row not in rows]
    if missing:
        raise InputError(f"study {name} has no row {missing[0]}; there are {', '.join(rows)}")
    found = [rows[row] for row in names] if names else [row for row in rows.values() if row.paper]
    shown = [(row, dataset, row.paper[dataset]) for dataset in study.datasets for row in found if dataset in row.paper]
    keys = [key for key in METRIC_LABELS if any(key in numbers for _, _, numbers in shown)]
    lines = [
        (row.name, dataset, *(paper_cell(key, numbers.get(key)) for key in keys), row.origin.get(dataset))
        for row, dataset, numbers in shown
    ]
    columns = ("system", "data", *(METRIC_LABELS[key] for key in keys), "source")
    if not any(line[-1] for line in lines):
        columns, lines = columns[:-1], [line[:-1] for line in lines]
    return Table(columns=columns, rows=lines, caption=study.paper)


# -- tables -----------------------------------------------------------------------------------------------------------


def _tables(result: Result) -> list[str]:
    if result["kind"] == "robustness":
        return [_robustness(result).table(key).markdown() for key in _robustness(result).metrics]
    if result["kind"] == "leaderboard":
        return [table.markdown() for table in _leaderboard(result)]
    if "text" in result:
        return [result["text"].strip()]
    return [table.markdown() for table in _variants(result)]


def _leaderboard(result: Result) -> tuple[Table, ...]:
    """As `msa-jax leaderboard` writes them, from the scores of the runs."""
    keys = [key for key in METRIC_LABELS if key in METRIC_KEYS[result["metrics"]]]
    rows = []
    for one in result["experiments"]:
        mean, std = summarise([run["test"] for run in one["runs"]])
        valid, _ = summarise([run["valid"] for run in one["runs"]])
        seeds = [run["seed"] for run in one["runs"]]
        rows.append({**one, "seeds": seeds, "mean": mean, "std": std, "valid": valid})
    rows = sorted(rows, key=lambda row: row["valid"]["MAE"])
    leaderboard_tables.set_differences(rows, keys)
    ranks = result["ranks"] and Ranks(
        mean=dict(sorted(result["ranks"]["mean"].items(), key=lambda item: item[1])),
        samples=result["ranks"]["samples"],
        p=result["ranks"]["friedman_p"],
        difference=result["ranks"]["critical_difference"],
        groups=tuple(map(tuple, result["ranks"]["groups"])),
        videos=result["ranks"].get("videos"),
    )
    notes = [*leaderboard_tables.notes(rows), *_not_possible(result), *_not_run(result)]
    return leaderboard_tables.tables(rows, keys, dataset=data_name(result), ranks=ranks, notes=notes)


def _variants(result: Result) -> list[Table]:
    """Experiments or variants on test, with the paper's numbers, and differences from what each is compared with."""
    paper = result.get("paper_dataset")
    keys = result.get("shown") or [key for key in METRIC_LABELS if key in METRIC_KEYS[result["metrics"]]]
    theirs = {row["name"]: row for row in result.get("paper_rows", ()) if row["paper"].get(paper)}
    names = [one["name"] for one in result["experiments"]]
    rows: list[list[Cell]] = []
    for name in [*names, *(name for name in theirs if name not in names)]:
        if name in names:
            runs = runs_of(result, name)
            mean, std = summarise(list(runs.values()))
            cells = [metric_cell(k, mean.get(k), std.get(k)) for k in keys]
            selects = summarise(list(runs_of(result, name, "valid").values()))
            on_valid = metric_cell("MAE", *(each.get("MAE") for each in selects))
            rows.append([name, data_name(result), len(runs), on_valid, *cells])
        if name in theirs:
            source = source_cell(paper, theirs[name]["origin"].get(paper))
            cells = [paper_cell(key, theirs[name]["paper"][paper].get(key)) for key in keys]
            rows.append([name, source, None, None, *cells])
    caption = f"{data_name(result)}, test, mean ± sample standard deviation over seeds"
    reasons = [f"Not comparable with the paper: {reason}" for reason in result.get("not_comparable_because", ())]
    notes = ("Acc and F1 in percent.", *reasons, *_not_possible(result))
    columns = ["what", "source", "runs", "MAE valid", *(METRIC_LABELS[key] for key in keys)]
    if not theirs:
        columns, rows = [columns[0], *columns[2:]], [[row[0], *row[2:]] for row in rows]
    tables = [Table(columns=columns, rows=rows, caption=caption, notes=notes)]
    bases = result.get("baselines") or dict.fromkeys(names[1:], names[0])
    lines = [
        (name, base, difference_cell(runs_of(result, base), runs_of(result, name), "MAE"))
        for name, base in bases.items()
        if base is not None and base != name
    ]
    if lines:
        columns = ("what", "compared with", "MAE difference (95 % interval)")
        caption = "Difference of MAE on test, paired by seed"
        tables.append(Table(columns=columns, rows=lines, caption=caption, notes=(NOT_WIDENED,)))
    return tables


def _not_possible(result: Result) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for name, reason in result.get("not_possible", {}).items():
        reasons.setdefault(reason, []).append(name)
    return [f"Not possible here: {', '.join(names)}: {reason.rstrip('.')}." for reason, names in reasons.items()]


def _not_run(result: Result) -> list[str]:
    """The methods that the commands of a leaderboard name, and that neither have a row nor are impossible."""
    asked: dict[str, None] = {}
    for command in result["commands"]:
        _, _, rest = command.partition(" --methods ")
        asked |= dict.fromkeys(itertools.takewhile(lambda word: not word.startswith("-"), shlex.split(rest)))
    there = {one["name"] for one in result["experiments"]} | set(result["not_possible"])
    missing = [name for name in asked if name not in there]
    return [f"Asked for and not run: {', '.join(missing)}."] if missing else []


def _robustness(result: Result) -> Robustness:
    runs = {
        name: {int(seed): {key: np.array(values, float) for key, values in of.items()} for seed, of in each.items()}
        for name, each in result["each"].items()
    }
    return Robustness(
        protocol=find_protocol(result["protocol"]),
        dataset=result["dataset"],
        split=result["split"],
        rates=tuple(result["rates"]),
        mask_seeds=tuple(result["mask_seeds"]),
        runs=runs,
    )


# -- what was run -----------------------------------------------------------------------------------------------------


def _origin(name: str, result: Result) -> str:
    """Commands, machine, data, and of each experiment its preset, options and commit."""
    commands = "\n".join(result["commands"])
    hashed = result["dataset_sha256"] and f", SHA-256 of its arrays `{result['dataset_sha256']}`"
    kept = "Every number of this section"
    if "text" in result:
        kept = (
            "The scores of the runs, "
            + ("their curves, " if "curves" in result else "")
            + "and the tables above as text"
        )
    lines = [
        f"- Data: `{result['dataset']}`{hashed or ''}.",
        *(f"- Machine: {_machine(machine)}." for machine in result["machines"]),
        f"- {kept}: [{name}.json]({name}.json).",
    ]
    if result.get("commit"):
        lines.insert(1, f"- Commit {result['commit']}, {result['date']}.")
    table = Table(
        columns=("what", "protocol", "preset", "other options", "seeds", "best epochs", "commit", "date"),
        rows=[
            (
                one["name"],
                one["protocol"],
                one["preset"],
                ", ".join(f"{key} {_value(value)}" for key, value in one["options"].items()) or None,
                " ".join(str(run["seed"]) for run in one["runs"]),
                " ".join(str(run["best_epoch"] or "-") for run in one["runs"]),
                one["commit"],
                one["date"],
            )
            for one in result["experiments"]
        ],
    )
    tables = [table.markdown()] if table.rows else []
    return "\n\n".join([f"### What was run: {result['title']}", f"```bash\n{commands}\n```", "\n".join(lines), *tables])


def _value(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _machine(machine: Mapping[str, Any]) -> str:
    devices = ", ".join(f"{count} × {kind}" for kind, count in machine["devices"].items())
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    return f"{machine['processors']} processor cores; JAX devices {devices}; {versions}"
