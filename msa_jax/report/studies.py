"""Reproducing a paper's table or figure: runs the experiments that are missing, then renders all of them.

Nothing is selected here: every variant of a study is reported, on test, with the checkpoint that valid chose.
"""

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from msa_jax import config, methods
from msa_jax.config import Options
from msa_jax.data import load_dataset
from msa_jax.data.schema import MODALITIES, Dataset
from msa_jax.data.subset import take_fraction
from msa_jax.encoders.bert import BertConfig
from msa_jax.errors import InputError
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from msa_jax.modalities import SEQUENCES, UNIMODAL_LABELS
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
    valid_curves,
)
from msa_jax.report.comparability import Comparability, comparability
from msa_jax.report.experiment import read_result
from msa_jax.report.study import Outcome, Rendering, Study, Variant, list_studies, load_study
from msa_jax.train import processes
from msa_jax.train.atomic import read_json, write_json, write_text
from msa_jax.train.experiment import train
from msa_jax.train.progress import Progress
from msa_jax.train.settings import SEEDS, checked_seeds, resolve

__all__ = ["KINDS", "Rendering", "Study", "list_studies", "load_study", "reproduce"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a study is rendered. record_labels: its runs keep every epoch's unimodal labels. draws: needs matplotlib.

    check: raises InputError where the study cannot be rendered so, before anything is trained.
    """

    render: Callable[[Study, Dataset, Sequence[Outcome], Comparability], Rendering]
    record_labels: bool = False
    draws: bool = False
    check: Callable[[Study], None] = lambda study: None


KINDS = {
    "table": Kind(render=paper_table.render),
    "label_distribution": Kind(render=label_history.render, record_labels=True, draws=True),
    "case_table": Kind(render=cases.render),
    "loss_curves": Kind(render=loss_curves.render, draws=True, check=loss_curves.check),
    "representations": Kind(render=representations.render, draws=True, check=representations.check),
    "retrieval": Kind(render=retrieval.render, check=retrieval.check),
    "valid_curves": Kind(render=valid_curves.render, draws=True),
    "part_similarity": Kind(render=part_similarity.render, draws=True, check=part_similarity.check),
    "class_spread": Kind(render=class_spread.render, draws=True),
}


def reproduce(
    study: str | Path,
    data: Dataset | str | Path,
    *,
    seeds: Sequence[int] | None = None,
    out: str | Path | None = None,
    preset: str | None = None,
    protocol: str | None = None,
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
      log: where progress goes; None is silent.
      options: dotted option names and values, for every variant whose method has them.

    Raises:
      InputError: no such study, an option that the study varies, a folder that holds another experiment, or a dataset
        on which no variant is possible; before anything is trained. TrainingStopped: a loss of a variant is not finite.
    """
    processes.check_alone("a study")
    found = load_study(study)
    kind = KINDS[found.kind]
    if kind.draws:
        figures.check_matplotlib()
    kind.check(found)
    dataset = load_dataset(data)
    seeds = checked_seeds(SEEDS if seeds is None else seeds)
    options = dict(options or {})
    folder = user_path(out) if out is not None else Path("runs") / f"{found.name}-{file_name(dataset.card.name)}"
    _check_options(found, options)
    presets = _presets(found, preset)
    planned = [
        _plan(variant, dataset, folder, presets.get(variant.method), protocol, options) for variant in found.variants
    ]
    if all(outcome.reason for outcome in planned):
        reasons = "; ".join(f"{outcome.variant.name}: {outcome.reason}" for outcome in planned)
        raise InputError(f"study {found.name}: nothing of it is possible on {dataset.source}: {reasons}")
    if found.share_stages:
        planned = _share_stages(planned)
    _check_folder(folder)
    _check_finished(planned, dataset, seeds, kind)
    outcomes = [
        _run(outcome, f"{found.name}: {outcome.variant.name} ({number} of {len(planned)})", dataset, seeds, kind, log)
        for number, outcome in enumerate(planned, start=1)
    ]
    found = replace(found, notes=(*found.notes, *_identical(outcomes)))
    against = comparability(found, dataset, outcomes)
    rendering = kind.render(found, dataset, outcomes, against)
    head = _head(found, dataset, outcomes, against, folder, seeds)
    return _write(replace(rendering, content={**head, **rendering.content}), folder)


# -- before anything is trained ---------------------------------------------------------------------------------------


def _check_options(study: Study, options: Mapping[str, Any]) -> None:
    """Every option must be one that some method has and that no variant sets."""
    for name, value in options.items():
        varied = [variant for variant in study.variants if name in variant.options]
        if varied:
            values = "; ".join(f"{variant.name}: {_shown(variant.options[name])}" for variant in varied)
            raise InputError(
                f"option {name} is what study {study.name} varies ({values}); it cannot be set for all of it"
            )
        known = {variant.method: methods.get(variant.method).options() for variant in study.variants}
        if not any(name in config.flatten(defaults) for defaults in known.values()):
            config.override(next(iter(known.values())), {name: value})  # raises, with the nearest names


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _presets(study: Study, preset: str | None) -> dict[str, str]:
    """{method: preset}; a method that has none here finds its own."""
    names = {variant.method for variant in study.variants}
    if preset is None:
        return {}
    if preset == "none":
        return dict.fromkeys(names, preset)
    found: dict[str, str] = {}
    for one in preset.split(","):
        method = config.load_preset(one).method
        if method not in names:
            raise InputError(f"preset {one} is for method {method}; study {study.name} has {', '.join(sorted(names))}")
        if method in found:
            raise InputError(f"presets {found[method]} and {one} are both for method {method}; expected one for each")
        found[method] = one
    return found


def _plan(
    variant: Variant,
    dataset: Dataset,
    folder: Path,
    preset: str | None,
    protocol: str | None,
    options: Mapping[str, Any],
) -> Outcome:
    known = config.flatten(methods.get(variant.method).options())
    asked = {name: value for name, value in options.items() if name in known}
    ignored = tuple(name for name in options if name not in known)
    settings = resolve(
        variant.method,
        dataset=dataset.card.name,
        preset=preset,
        protocol=protocol,
        options={**asked, **variant.options},
    )
    reason = None
    missing = [need for need in variant.needs if not _has(dataset, need)]
    if missing:
        reason = f"the dataset has no {', '.join(missing)}"
    else:
        try:
            settings.method.check(settings.options, _inputs(dataset, settings.options))
        except InputError as error:
            reason = str(error)
    path = folder / variant.slug
    return Outcome(variant=variant, path=path, settings=settings, asked=asked, ignored=ignored, reason=reason)


def _share_stages(planned: Sequence[Outcome]) -> list[Outcome]:
    """The first possible variant trains all its stages, and the others take those before the last from it.

    Where the user names an experiment whose stages are taken, all take them from there.
    """
    first = next(outcome for outcome in planned if not outcome.reason)
    if first.settings.options.stages_from is not None:
        return list(planned)
    taken = {"stages_from": str(first.path.resolve())}  # the same from wherever the study is run again
    return [
        outcome
        if outcome is first or outcome.reason
        else replace(
            outcome,
            variant=replace(outcome.variant, options={**outcome.variant.options, **taken}),
            settings=replace(outcome.settings, options=config.override(outcome.settings.options, taken)),
        )
        for outcome in planned
    ]


def _has(dataset: Dataset, need: str) -> bool:
    """Whether the dataset carries a modality or a column."""
    return dataset.has(need) if need in MODALITIES else getattr(dataset.train, need) is not None


def _inputs(dataset: Dataset, options: Options) -> Inputs:
    """What `Method.check` is asked with, no text encoder loaded: the modalities and label columns that there are."""
    train, text = dataset.train, None
    if dataset.has("text") and options.text_encoder == "features" and train.text is not None:
        text = TextInput(width=train.text.shape[-1], steps=train.text.shape[1])
    elif dataset.has("text"):
        text = TextInput(width=BertConfig().hidden_size, steps=options.max_tokens, bert=BertConfig())
    frames = {name: getattr(train, name) for name in SEQUENCES}
    shape = {name: SequenceInput(*array.shape[1:]) for name, array in frames.items() if array is not None}
    return Inputs(
        text=text,
        audio=shape.get("audio"),
        vision=shape.get("vision"),
        label_range=dataset.card.label_range,
        rows=len(train),
        columns=tuple(name for name in UNIMODAL_LABELS if getattr(train, name) is not None),
        aligned=True,  # not known before the text is tokenised, and no reason to leave a variant out
    )


def _check_folder(folder: Path) -> None:
    if (folder / "config.json").is_file():
        raise InputError(
            f"{folder}: holds an experiment; a study has one folder for each variant, choose another --out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror})") from None


def _check_finished(planned: Sequence[Outcome], dataset: Dataset, seeds: Sequence[int], kind: Kind) -> None:
    """What is finished must be what the study would run. `train` itself checks what is unfinished."""
    fingerprint = functools.cache(lambda fraction, seed: take_fraction(dataset, fraction, seed=seed).fingerprint())
    for outcome in planned:
        if outcome.reason or not _is_finished(outcome):
            continue
        path, settings = outcome.path, outcome.settings
        expected = {
            "method": settings.method.name,
            "dataset": dataset.card.name,
            "protocol": settings.protocol,
            "seeds": list(seeds),
            **{f"option {name}": value for name, value in config.to_json(settings.options).items()},
        }
        if kind.record_labels:
            expected["record_labels"] = True
        content = read_json(path / "config.json")
        there = content | {f"option {name}": value for name, value in content.get("options", {}).items()}
        for name, value in expected.items():
            if not _is_same(name, there.get(name), value):
                raise InputError(
                    f"{path}: a finished experiment with {name} {_shown(there.get(name))}; "
                    f"the study runs {_shown(value)}: choose another --out"
                )
        taken = settings.options.train_fraction, settings.options.train_fraction_seed
        if read_json(path / "environment.json").get("dataset_sha256") != fingerprint(*taken):
            raise InputError(f"{path}: a finished experiment on other data of that name; choose another --out")


def _is_same(name: str, found: Any, wanted: Any) -> bool:
    if name == "seeds":
        return sorted(found or ()) == sorted(wanted)
    if name == "option stages_from" and found and wanted:  # a study's folder may have been moved since
        return Path(found).name == Path(wanted).name
    return found == wanted


def _identical(outcomes: Sequence[Outcome]) -> list[str]:
    """A note for each group of variants with the same scores of every seed: nobody should read these as a finding."""
    alike: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.runs:
            alike.setdefault(repr(sorted(outcome.runs.items())), []).append(outcome)
    return [
        f"{', '.join(outcome.variant.name for outcome in group)}: the same in every number. Their best epochs "
        f"({', '.join(map(str, sorted({epoch or 0 for outcome in group for epoch in outcome.epochs.values()})))}) lie "
        "before what they differ in has an effect; train longer."
        for group in alike.values()
        if len(group) > 1
    ]


def _is_finished(outcome: Outcome) -> bool:
    return (outcome.path / "result.json").is_file()


# -- running and writing ----------------------------------------------------------------------------------------------


def _run(
    outcome: Outcome, label: str, dataset: Dataset, seeds: Sequence[int], kind: Kind, log: TextIO | None
) -> Outcome:
    """The variant with its results, read where it is finished."""
    progress = Progress(log)
    if outcome.reason:
        progress.line(f"{label}: not possible here: {outcome.reason}")
        return outcome
    if _is_finished(outcome):
        progress.line(f"{label}: finished, read from {outcome.path}")
    else:
        progress.line(f"{label}: {outcome.path}")
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
    runs = {run["seed"]: run for run in read_result(outcome.path)["runs"]}
    return replace(
        outcome,
        runs={seed: runs[seed]["test"] for seed in seeds},
        epochs={seed: runs[seed].get("best_epoch") for seed in seeds},
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


def _write(rendering: Rendering, folder: Path) -> Rendering:
    files = [folder / name for name in ("table.md", "table.tex", "table.json", *rendering.figures)]
    write_text(files[0], rendering.markdown())
    write_text(files[1], rendering.latex())
    write_json(files[2], rendering.content)
    for name, figure in rendering.figures.items():
        figures.save(figure, folder / name)
    return replace(rendering, files=tuple(files))
