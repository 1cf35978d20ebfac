"""A case table: a few training samples whose generated unimodal labels are furthest from the human multimodal label."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from msa_jax.data.schema import Dataset
from msa_jax.errors import InputError
from msa_jax.metrics import summarise
from msa_jax.report.comparability import Comparability, remarks
from msa_jax.report.label_history import labels_of, read_recorded
from msa_jax.report.paper_rows import paper_cell
from msa_jax.report.study import LABELS, Outcome, Rendering, Study
from msa_jax.report.table import Table, mean_sd, number
from msa_jax.train.prepare import used_part

RULE = (
    "Cases: u-labels are averaged over the seeds. all lower, all higher: every u-label on that side of the m-label, "
    "the largest mean distance. opposed: u-labels on both sides, the largest distance that both sides reach. The first "
    "row wins a tie; nothing else is chosen."
)
TEXT_SHOWN = 80  # characters in a table; JSON has all


@dataclass(frozen=True, kw_only=True)
class Case:
    """A row of the training samples that were used, and why it was chosen: "all lower", "all higher" or "opposed"."""

    direction: str
    row: int


def choose_cases(labels: Mapping[str, np.ndarray], m_label: np.ndarray) -> list[Case]:
    """One row for each direction that occurs.

    Args:
      labels: {"label_t": [N], ...} u-labels.
      m_label: [N].
    """
    offsets = np.stack([np.asarray(values, np.float64) - m_label for values in labels.values()])  # [S, N]
    lowest, highest = offsets.min(0), offsets.max(0)
    spreads = {
        "all lower": np.where(highest < 0, -offsets.mean(0), -np.inf),
        "all higher": np.where(lowest > 0, offsets.mean(0), -np.inf),
        "opposed": np.where((lowest < 0) & (highest > 0), np.minimum(-lowest, highest), -np.inf),
    }
    return [
        Case(direction=direction, row=int(np.argmax(spread)))
        for direction, spread in spreads.items()
        if np.isfinite(spread).any()
    ]


def render(study: Study, dataset: Dataset, outcomes: Sequence[Outcome], against: Comparability) -> Rendering:
    """The cases of every variant, and below them those that the paper prints."""
    content: dict[str, Any] = {"rule": RULE, "variants": {}}
    tables = []
    for outcome in (outcome for outcome in outcomes if not outcome.reason):
        used = used_part(dataset, outcome.settings.options)
        train = used.train
        runs = [_final_labels(outcome, seed, used) for seed in outcome.runs]
        keys = list(runs[0])
        average = {key: np.mean([run[key] for run in runs], axis=0, dtype=np.float64) for key in keys}
        cases = choose_cases(average, train.label)
        truths = [key for key in keys if getattr(train, key) is not None]
        found = [_case(case, runs, used, truths) for case in cases]
        content["variants"][outcome.variant.name] = found
        tables.append(_table(study, used, outcome, keys, truths, found, against, outcomes))
    content["context"] = [{"name": row.name, "paper": row.paper} for row in study.context]
    return Rendering(content=content, tables=tuple(tables))


def _final_labels(outcome: Outcome, seed: int, dataset: Dataset) -> dict[str, np.ndarray]:
    """The u-labels that training ended with; the rows must be those of the dataset, in order."""
    path = outcome.path / "labels" / f"{seed}.npz"
    recorded = read_recorded(path)
    labels = labels_of(recorded, path, rows=len(dataset.train))
    if "id" in recorded and not np.array_equal(recorded["id"], dataset.train.id):
        raise InputError(f"{path}: other ids than those of {dataset.source}; expected those of the training split")
    return labels


def _case(
    case: Case, runs: Sequence[Mapping[str, np.ndarray]], dataset: Dataset, truths: Sequence[str]
) -> dict[str, Any]:
    train, row = dataset.train, case.row
    mean, std = summarise([{LABELS[key]: float(run[key][row]) for key in run} for run in runs])
    return {
        "case": case.direction,
        "row": row,
        "id": str(train.id[row]),
        "text": None if train.raw_text is None else str(train.raw_text[row]),
        "m_label": float(train.label[row]),
        "u_labels": {"mean": mean, "std": std},
        "own_labels": {LABELS[key]: float(getattr(train, key)[row]) for key in truths},
    }


def _table(
    study: Study,
    dataset: Dataset,
    outcome: Outcome,
    keys: Sequence[str],
    truths: Sequence[str],
    found: Sequence[Mapping[str, Any]],
    against: Comparability,
    outcomes: Sequence[Outcome],
) -> Table:
    rows = []
    for one in found:
        mean, std = one["u_labels"]["mean"], one["u_labels"]["std"]
        rows.append(
            (
                one["case"],
                dataset.card.name,
                _short(one["text"] if one["text"] is not None else one["id"]),
                number(one["m_label"], 2),
                *(mean_sd(mean[LABELS[key]], std[LABELS[key]], 2) for key in keys),
                *(number(one["own_labels"][LABELS[key]], 2) for key in truths),
            )
        )
    for row in study.context:
        numbers = row.paper.get(against.reference)
        if numbers:
            labels = [paper_cell(key, numbers.get(key)) for key in ("label", *keys)]
            rows.append((None, f"paper, {against.reference}", _short(row.name), *labels, *(None for _ in truths)))
    return Table(
        columns=(
            "case",
            "source",
            "id" if dataset.train.raw_text is None else "text",
            "m-label",
            *(f"u-label {LABELS[key]}" for key in keys),
            *(f"own label {LABELS[key]}" for key in truths),
        ),
        rows=rows,
        caption=f"{study.title}: {outcome.variant.name} on {dataset.card.name}, after the last epoch",
        notes=(
            RULE,
            f"{len(outcome.runs)} seed{'s' * (len(outcome.runs) > 1)}: mean ± sample standard deviation over them."
            + (" own label: of that modality alone, in the dataset." if truths else ""),
            *remarks(study, outcomes, against),
        ),
    )


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= TEXT_SHOWN else text[: TEXT_SHOWN - 1].rstrip() + "…"
