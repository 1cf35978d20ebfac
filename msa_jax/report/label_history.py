"""Generated unimodal labels, epoch by epoch: their distribution, and how near they come to true ones."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax import metrics
from msa_jax.data.schema import Dataset
from msa_jax.errors import InputError
from msa_jax.metrics import summarise
from msa_jax.report import figures
from msa_jax.report.comparability import Comparability, remarks
from msa_jax.report.study import LABELS, Outcome, Rendering, Study
from msa_jax.report.table import Table, mean_sd, summary_cells
from msa_jax.train.atomic import read_arrays
from msa_jax.train.prepare import used_part

AT_END = 1e-6  # relative: a u-label so near to an end is at it
SHOWN = 6  # epochs in a figure and in its table
AT_AN_END = "at an end [%]"  # a column: u-labels at the lowest or the highest value that they may have
AGREEMENT = (
    "offset Corr: of (u-label - m-label) with (own label - m-label) over training samples. The m-label is on both sides, so "
    "that a u-label without content has not 0 but about what the column behind it says, which is that of a constant. MAE: to "
    "the own label; the last column is what the m-label itself would give."
)
# Keys of `agreement`, and the columns that they stand in. Some are the same in every run.
AGREEMENT_COLUMNS = {
    "offset_corr": "offset Corr",
    "constant_corr": "of a constant",
    "mae": "MAE of u-label",
    "baseline_mae": "MAE of m-label",
}
OF_THE_DATA = ("constant_corr", "baseline_mae")


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelHistory:
    """One run. epochs: 1-based, ascending. labels: {"label_t": [E, N] f32, ...}, as they were after each epoch."""

    seed: int
    epochs: tuple[int, ...]
    labels: dict[str, np.ndarray]


def read_histories(outcome: Outcome, *, rows: int) -> list[LabelHistory]:
    """The recorded labels of every run of a variant.

    Args:
      outcome: whose experiment folder holds `labels/{seed}/epoch_0001.npz` and so on.
      rows: N, of the part of the training split that was used.

    Raises:
      InputError: nothing was recorded, a file is damaged, an epoch is missing, or there is another number of rows.
    """
    return [_read_history(outcome.path / "labels" / str(seed), seed, rows) for seed in outcome.runs]


def _read_history(folder: Path, seed: int, rows: int) -> LabelHistory:
    numbered = {
        int(found.group(1)): path
        for path in folder.glob("epoch_*.npz")
        if (found := re.fullmatch(r"epoch_(\d+)\.npz", path.name))
    }
    epochs = tuple(sorted(numbered))
    if not epochs or epochs != tuple(range(1, len(epochs) + 1)):
        missing = next((epoch for epoch in range(1, len(epochs) + 1) if epoch not in numbered), 1)
        raise InputError(f"{folder}: no unimodal labels of epoch {missing}; expected one file for each epoch")
    read = [labels_of(read_recorded(numbered[epoch]), numbered[epoch], rows=rows) for epoch in epochs]
    for epoch, labels in zip(epochs, read, strict=True):
        if labels.keys() != read[0].keys():
            raise InputError(
                f"{numbered[epoch]}: labels {', '.join(labels)}; expected {', '.join(read[0])}, as in epoch 1"
            )
    return LabelHistory(
        seed=seed, epochs=epochs, labels={name: np.stack([one[name] for one in read]) for name in read[0]}
    )


def read_recorded(path: Path) -> dict[str, np.ndarray]:
    """What training wrote into one `.npz` of labels. Raises InputError if there is no such file, or it is damaged."""
    if not path.exists():
        raise InputError(f"{path}: no such file; expected the unimodal labels that were generated in training")
    return read_arrays(path)


def labels_of(recorded: Mapping[str, np.ndarray], path: Path, *, rows: int) -> dict[str, np.ndarray]:
    """The unimodal labels in what `read_recorded` gave: {"label_t": [N] f32, ...}, in the order of `LABELS`.

    Raises:
      InputError: none of these labels in it, or not `rows` finite numbers each.
    """
    labels = {name: recorded[name] for name in LABELS if name in recorded}
    if not labels:
        raise InputError(f"{path}: no unimodal labels; the method generates none")
    for name, values in labels.items():
        if values.shape != (rows,) or not np.isfinite(values).all():
            raise InputError(f"{path}: {name} has shape {list(values.shape)}; expected [{rows}] finite numbers")
    return labels


def label_ends(outcome: Outcome, dataset: Dataset) -> tuple[float, float]:
    """The lowest and the highest u-label: ±`label_limit` where the method has it set, else those of the label range."""
    own = getattr(outcome.settings.options, "label_limit", None)
    low, high = dataset.card.label_range if own is None else (-own, own)
    return float(low), float(high)


def distribution(labels: np.ndarray, m_label: np.ndarray, *, ends: tuple[float, float]) -> dict[str, float]:
    """How u-labels [N] lie: mean, standard deviation (ddof 0, over rows), share at one of the ends, mean |u - m|."""
    labels = np.asarray(labels, np.float64)
    low, high = ends
    near = AT_END * max(abs(low), abs(high))
    return {
        "mean": float(labels.mean()),
        "sd": float(labels.std()),
        "at_end": float(np.mean((labels <= low + near) | (labels >= high - near))),
        "mean_offset": float(np.mean(np.abs(labels - m_label))),
    }


def agreement(labels: np.ndarray, m_label: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    """How near u-labels [N] come to the true labels of their modality [N].

    offset_corr: Pearson correlation of u - m with truth - m; None where either is constant. constant_corr: what it is of a u
    that is the same for all rows. mae: mean |u - truth|. baseline_mae: mean |m - truth|, what taking the m-label for the
    unimodal one would give.
    """
    found = {"offset_corr": labels - m_label, "constant_corr": -m_label}
    correlations = {key: metrics.corr(offset, truth - m_label) for key, offset in found.items()}
    return {
        **{key: None if np.isnan(value) else value for key, value in correlations.items()},
        "mae": metrics.mae(labels, truth),
        "baseline_mae": metrics.mae(m_label, truth),
    }


def shown_epochs(last: int) -> list[int]:
    """At most SHOWN epochs of 1 to `last`, both included, dense at the beginning, where labels move most."""
    if last <= SHOWN:
        return list(range(1, last + 1))
    return sorted({round(epoch) for epoch in np.geomspace(1, last, SHOWN).tolist()})


def render(study: Study, dataset: Dataset, outcomes: Sequence[Outcome], against: Comparability) -> Rendering:
    """Distributions of the u-labels over the epochs, drawn and in numbers; agreement with true labels, if any."""
    content: dict[str, Any] = {"variants": {}}
    tables: list[Table] = []
    drawn = {}
    possible = [outcome for outcome in outcomes if not outcome.reason]
    for outcome in possible:
        name = outcome.variant.name
        train = used_part(dataset, outcome.settings.options).train
        label = train.label
        histories = read_histories(outcome, rows=len(label))
        ends = label_ends(outcome, dataset)
        truths = {key: getattr(train, key) for key in histories[0].labels}
        truths = {key: truth for key, truth in truths.items() if truth is not None}
        epochs = [_epoch_numbers(history, label, truths, ends) for history in histories]
        content["variants"][name] = {
            "ends": list(ends),
            "m_label": distribution(label, label, ends=ends),
            "seeds": {str(history.seed): numbers for history, numbers in zip(histories, epochs, strict=True)},
        }
        caption = f"{study.title}: {name} on {dataset.card.name}"
        notes = remarks(study, outcomes, against)
        tables.append(_distributions(epochs, content["variants"][name]["m_label"], caption, ends, notes))
        if truths:
            content["variants"][name]["agreement"] = {
                LABELS[key]: dict(
                    zip(
                        ("mean", "std"),
                        summarise([numbers[-1][LABELS[key]]["truth"] for numbers in epochs]),
                        strict=True,
                    )
                )
                for key in truths
            }
            if len(possible) == 1:
                tables.append(_agreements(content["variants"][name]["agreement"], len(epochs), caption))
        file = "figure.png" if len(possible) == 1 else f"figure-{outcome.variant.slug}.png"
        drawn[file] = figures.label_distributions(
            {LABELS[key]: values for key, values in histories[0].labels.items()},
            label,
            epochs=shown_epochs(histories[0].epochs[-1]),
            label_range=(min(*ends, *dataset.card.label_range), max(*ends, *dataset.card.label_range)),
            title=f"u-labels of {name} on {dataset.card.name} after an epoch, seed {histories[0].seed}",
        )
    if len(possible) > 1:
        tables.insert(0, _side_by_side(content["variants"], f"{study.title} on {dataset.card.name}"))
    return Rendering(content=content, tables=tuple(tables), figures=drawn)


def _epoch_numbers(
    history: LabelHistory, label: np.ndarray, truths: Mapping[str, np.ndarray], ends: tuple[float, float]
) -> list[dict[str, Any]]:
    """[{"epoch", "text": {...}, "audio": {...}, ...}], one for each epoch."""
    found = []
    for row, epoch in enumerate(history.epochs):
        numbers: dict[str, Any] = {"epoch": epoch}
        for key, values in history.labels.items():
            numbers[LABELS[key]] = distribution(values[row], label, ends=ends)
            if key in truths:
                numbers[LABELS[key]]["truth"] = agreement(values[row], label, truths[key])
        found.append(numbers)
    return found


def _distributions(
    runs: Sequence[Sequence[Mapping[str, Any]]],
    m_label: Mapping[str, float],
    caption: str,
    ends: tuple[float, float],
    notes: Sequence[str],
) -> Table:
    """Means over seeds at a few epochs that all of them reached, and at the last epoch of each."""
    keys = {"mean": 2, "sd": 2, "at_end": 1, "mean_offset": 2}
    common = min(len(run) for run in runs)
    lasts = {len(run) for run in runs}
    picked = {str(epoch): [run[epoch - 1] for run in runs] for epoch in shown_epochs(common)}
    if len(lasts) == 1:
        picked[f"{common} (last)"] = picked.pop(str(common))
    else:
        picked["last"] = [run[-1] for run in runs]

    def cells(found: Sequence[Mapping[str, float]]) -> list[str]:
        return summary_cells(found, keys, percent=("at_end",))

    modalities = [name for name in runs[0][0] if name != "epoch"]
    rows = [("m-label", None, *cells([m_label]))]
    rows += [
        (modality, epoch, *cells([numbers[modality] for numbers in found]))
        for modality in modalities
        for epoch, found in picked.items()
    ]
    spread = "" if len(lasts) == 1 else f" The runs ended after {', '.join(str(len(run)) for run in runs)} epochs."
    return Table(
        columns=("u-labels of", "epoch", "mean", "sd over samples", AT_AN_END, "mean |u - m|"),
        rows=rows,
        caption=f"{caption}: u-labels of the training samples after an epoch",
        notes=(
            f"{len(runs)} seed{'s' * (len(runs) > 1)}: mean ± sample standard deviation over them.{spread} "
            f"at an end: at {ends[0]:g} or {ends[1]:g}.",
            *notes,
        ),
    )


def _agreements(found: Mapping[str, Mapping[str, Mapping[str, float | None]]], seeds: int, caption: str) -> Table:
    return Table(
        columns=("modality", *AGREEMENT_COLUMNS.values()),
        rows=[
            (
                modality,
                *(
                    mean_sd(values["mean"][key], None if key in OF_THE_DATA else values["std"][key])
                    for key in AGREEMENT_COLUMNS
                ),
            )
            for modality, values in found.items()
        ],
        caption=f"{caption}: u-labels after the last epoch against the dataset's own unimodal labels",
        notes=(f"{seeds} seed{'s' * (seeds > 1)}. {AGREEMENT}",),
    )


def _side_by_side(variants: Mapping[str, Mapping[str, Any]], caption: str) -> Table:
    """All variants after the last epoch of each run, means over seeds; against true labels, if there are any."""
    digits = {"at_end": 1, "mean_offset": 2, **dict.fromkeys(AGREEMENT_COLUMNS, 3)}
    columns = (AT_AN_END, "mean |u - m|", *AGREEMENT_COLUMNS.values())
    judged = any("agreement" in found for found in variants.values())
    keys = list(digits) if judged else list(digits)[:2]
    rows = []
    for name, found in variants.items():
        lasts = [epochs[-1] for epochs in found["seeds"].values()]
        for modality in (key for key in lasts[0] if key != "epoch"):
            numbers = [{**last[modality], **last[modality].get("truth", {})} for last in lasts]
            percent = [{**one, "at_end": 100 * one["at_end"]} for one in numbers]
            mean, std = summarise([{key: one.get(key) for key in keys} for one in percent])
            std.update(dict.fromkeys(OF_THE_DATA))
            rows.append((name, modality, *(mean_sd(mean[key], std[key], digits[key]) for key in keys)))
    return Table(
        columns=("variant", "u-labels of", *columns[: len(keys)]),
        rows=rows,
        caption=f"{caption}: u-labels of the training samples after the last epoch",
        notes=("Mean ± sample standard deviation over seeds.", *((AGREEMENT,) if judged else ())),
    )
