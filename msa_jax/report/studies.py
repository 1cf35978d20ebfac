"""Reproducing a paper's table or figure: runs the experiments that are missing, then renders all of them.

Nothing is selected here: every variant of a study is reported, on test, with the checkpoint that valid chose.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from msa_jax import config
from msa_jax.data import load_dataset
from msa_jax.data.schema import Dataset
from msa_jax.errors import InputError, TrainingStopped, Unavailable, one_line
from msa_jax.paths import file_name, user_path
from msa_jax.report import (
    cases,
    class_spread,
    figures,
    label_history,
    loss_curves,
    paper_table,
    part_similarity,
    representations,
    retrieval,
    robust_study,
    study_plan,
    valid_curves,
)
from msa_jax.report.comparability import Comparability, comparability
from msa_jax.report.experiment import number_format, read_result
from msa_jax.report.study import Outcome, Rendering, Study, list_studies, load_study
from msa_jax.train import processes
from msa_jax.train.asked import SEEDS, checked_seeds
from msa_jax.train.atomic import write_json, write_text
from msa_jax.train.experiment import train
from msa_jax.train.progress import Progress

__all__ = ["KINDS", "Kind", "Rendering", "Study", "list_studies", "load_study", "reproduce", "run_study"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a study is rendered. record_labels: its runs keep every epoch's unimodal labels. draws: needs matplotlib.

    check: raises InputError where the study cannot be rendered so, before anything is trained. tolerant: a variant that fails
    is not possible, and stops no other. stem: of the files that are written.
    """

    render: Callable[[Study, Dataset, Sequence[Outcome], Comparability], Rendering]
    record_labels: bool = False
    draws: bool = False
    check: Callable[[Study], None] = lambda study: None
    tolerant: bool = False
    stem: str = "table"


KINDS = {
    "table": Kind(render=paper_table.render, tolerant=True),
    "label_distribution": Kind(render=label_history.render, record_labels=True, draws=True),
    "case_table": Kind(render=cases.render),
    "loss_curves": Kind(render=loss_curves.render, draws=True, check=loss_curves.check),
    "representations": Kind(render=representations.render, draws=True, check=representations.check),
    "retrieval": Kind(render=retrieval.render, check=retrieval.check),
    "valid_curves": Kind(render=valid_curves.render, draws=True),
    "part_similarity": Kind(render=part_similarity.render, draws=True, check=part_similarity.check),
    "class_spread": Kind(render=class_spread.render, draws=True),
    "robustness": Kind(render=robust_study.render, tolerant=True),
}


def reproduce(
    study: str | Path,
    data: Dataset | str | Path,
    *,
    seeds: Sequence[int] | None = None,
    out: str | Path | None = None,
    preset: str | None = None,
    protocol: str | None = None,
    variants: Sequence[str] | None = None,
    log: TextIO | None = sys.stderr,
    options: Mapping[str, Any] | None = None,
) -> Rendering:
    """Runs what is missing of a study, resumes what is unfinished, and renders everything into `out`.

    Args:
      study: a name such as "self_mm.table4", or the path of a study file.
      data: what `load_dataset` takes.
      seeds: of every variant; by default those of `train`.
      out: one experiment folder for each variant, and `table.md`, `table.tex`, `table.json` and figures; by default
        `runs/{study}-{dataset}`.
      preset: for the variants of its method, by name or path; several, of different methods, separated by commas;
        "none" for no preset at all; by default as in `train`.
      protocol: "paper" or "reference", for every variant; by default the preset's.
      variants: names of those to run, as the table shows them; by default all.
      log: where progress goes; None is silent.
      options: dotted option names and values, for every variant whose method has them.

    Raises:
      InputError: no such study or variant, an option that the study varies, a folder that holds another experiment, or a
        dataset on which no variant is possible; before anything is trained. Or nothing of it came to its end.
      TrainingStopped: a loss of a variant is not finite, or a device has too little memory, unless the study is a table, which
        says so in its row and goes on.
    """
    found = load_study(study)
    return run_study(
        found,
        KINDS[found.kind],
        data,
        seeds=seeds,
        out=out,
        preset=preset,
        protocol=protocol,
        variants=variants,
        log=log,
        options=options,
    )


def run_study(
    study: Study,
    kind: Kind,
    data: Dataset | str | Path,
    *,
    seeds: Sequence[int] | None,
    out: str | Path | None,
    preset: str | None,
    protocol: str | None,
    log: TextIO | None,
    options: Mapping[str, Any] | None,
    variants: Sequence[str] | None = None,
) -> Rendering:
    """What `reproduce` does, for a study that need not lie in a file."""
    processes.check_alone("a study")
    whole = study
    if variants is not None:
        study = study_plan.part(study, variants)
    if kind.draws:
        figures.check_matplotlib()
    kind.check(study)
    dataset = load_dataset(data)
    seeds = checked_seeds(SEEDS if seeds is None else seeds)
    options = dict(options or {})
    folder = user_path(out) if out is not None else Path("runs") / f"{study.name}-{file_name(dataset.card.name)}"
    study_plan.check_options(study, options)
    chosen = study_plan.presets(study, preset)
    planned = [
        study_plan.plan_variant(variant, dataset, folder, chosen.get(variant.method), protocol, options)
        for variant in (whole if study.share_stages else study).variants
    ]
    read = planned
    if study.share_stages:
        names = {variant.name for variant in study.variants}
        read = study_plan.with_sources(names, study_plan.share_stages(planned))
        # So a part of a study leaves what the whole one would.
        planned = [outcome for outcome in read if outcome.variant.name in names or not outcome.finished]
        kept = {outcome.variant.name for outcome in planned}
        study = replace(study, variants=tuple(variant for variant in whole.variants if variant.name in kept))
    if all(outcome.reason for outcome in planned):
        reasons = "; ".join(f"{outcome.variant.name}: {outcome.reason}" for outcome in planned)
        raise InputError(f"study {study.name}: nothing of it is possible on {dataset.source}: {reasons}")
    study_plan.check_folder(folder, kind.stem)
    study_plan.check_finished(read, dataset, seeds, kind.record_labels)
    outcomes = [
        _run(outcome, f"{study.name}: {outcome.variant.name} ({number} of {len(planned)})", dataset, seeds, kind, log)
        for number, outcome in enumerate(planned, start=1)
    ]
    if all(outcome.reason for outcome in outcomes):
        reasons = "; ".join(f"{outcome.variant.name}: {outcome.reason}" for outcome in outcomes)
        raise InputError(f"study {study.name}: nothing of it came to its end: {reasons}")
    study = replace(study, notes=(*study.notes, *_identical(outcomes)))
    against = comparability(study, dataset, outcomes)
    rendering = kind.render(study, dataset, outcomes, against)
    head = _head(study, dataset, outcomes, against, folder, seeds)
    return _write(replace(rendering, content={**head, **rendering.content}), folder, kind.stem)


def _identical(outcomes: Sequence[Outcome]) -> list[str]:
    """A note for each group of variants with the same scores of every seed: nobody should read these as a finding."""
    alike: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.runs:
            alike.setdefault(repr(sorted(outcome.runs.items())), []).append(outcome)
    return [
        f"{', '.join(outcome.variant.name for outcome in group)}: the same in every number (best epochs "
        f"{', '.join(map(str, sorted({epoch or 0 for outcome in group for epoch in outcome.epochs.values()})))}). Either "
        "what they differ in has no effect on this dataset, or the training ended before it had one."
        for group in alike.values()
        if len(group) > 1
    ]


# -- running and writing ----------------------------------------------------------------------------------------------


def _run(
    outcome: Outcome, label: str, dataset: Dataset, seeds: Sequence[int], kind: Kind, log: TextIO | None
) -> Outcome:
    """The variant with its results, read where it is finished."""
    progress = Progress(log)
    if outcome.reason:
        progress.line(f"{label}: not possible here: {outcome.reason}")
        return outcome
    if outcome.finished:
        progress.line(f"{label}: finished, read from {outcome.path}")
    else:
        progress.line(f"{label}: {outcome.path}")
        try:
            train(
                outcome.variant.method,
                dataset,
                seeds=seeds,
                out=outcome.path,
                preset=outcome.settings.preset or "none",
                protocol=outcome.settings.protocol,
                record_labels=kind.record_labels,
                log=log,
                options={**outcome.asked, **outcome.variant.options},
            )
        except InputError as error:
            stopped = isinstance(error, TrainingStopped) or not (outcome.path / "config.json").exists()
            # A folder that is in use, cannot be written or is of another experiment is for the user to know.
            if isinstance(error, Unavailable) or not (kind.tolerant and stopped):
                raise
            progress.line(f"{label}: failed: {one_line(error)}")
            return replace(outcome, reason=one_line(error))
    result = read_result(outcome.path)
    runs = {run["seed"]: run for run in result["runs"]}
    return replace(
        outcome,
        runs={seed: runs[seed]["test"] for seed in seeds},
        epochs={seed: runs[seed].get("best_epoch") for seed in seeds},
        precision=number_format(result),
    )


def _head(
    study: Study,
    dataset: Dataset,
    outcomes: Sequence[Outcome],
    against: Comparability,
    folder: Path,
    seeds: Sequence[int],
) -> dict[str, Any]:
    """What every rendering of a study says of itself."""
    return {
        "study": study.name,
        "title": study.title,
        "kind": study.kind,
        "paper": study.paper,
        "paper_dataset": against.reference,
        "comparable": against.reference is not None and not against.differences,
        "not_comparable_because": list(against.differences),
        "dataset": dataset.card.name,
        "data": dataset.source,
        "folder": str(folder),
        "seeds": list(seeds),
        "experiments": [
            {
                "variant": outcome.variant.name,
                "method": outcome.variant.method,
                "protocol": outcome.settings.protocol,
                "preset": outcome.settings.preset,
                "options": {
                    name: value
                    for name, value in config.to_json(outcome.settings.options).items()
                    if name in {**outcome.asked, **outcome.variant.options}
                },
                "folder": str(outcome.path),
                "not_possible_because": outcome.reason,
            }
            for outcome in outcomes
        ],
        "notes": list(study.notes),
    }


def _write(rendering: Rendering, folder: Path, stem: str) -> Rendering:
    files = [folder / f"{stem}.{form}" for form in study_plan.TABLE_FORMS]
    write_json(files[0], rendering.content)
    write_text(files[1], rendering.markdown())
    write_text(files[2], rendering.latex())
    for name, figure in rendering.figures.items():
        files += figures.save_all(figure, folder / name)
    return replace(rendering, files=tuple(files))
