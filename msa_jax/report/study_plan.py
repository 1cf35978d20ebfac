"""What a study would run on a dataset, and what is wrong with that, before anything is trained."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from msa_jax import config, methods
from msa_jax.config import Options
from msa_jax.data.schema import Dataset
from msa_jax.data.subset import without
from msa_jax.encoders.bert import BertConfig
from msa_jax.errors import InputError
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from msa_jax.modalities import MODALITIES, SEQUENCES, UNIMODAL_LABELS
from msa_jax.option_values import shown
from msa_jax.report import figures
from msa_jax.report.study import Outcome, Study, Variant
from msa_jax.train.atomic import read_json
from msa_jax.train.experiment_dir import has_keys
from msa_jax.train.experiment_start import FREE_OPTIONS
from msa_jax.train.prepare import used_part
from msa_jax.train.settings import resolve

TABLE_FORMS = ("json", "md", "tex")  # in the order in which they are written


def check_options(study: Study, options: Mapping[str, Any]) -> None:
    """Every option must be one that some method has and that no variant sets."""
    for name, value in options.items():
        varied = [variant for variant in study.variants if name in variant.options]
        if varied:
            values = "; ".join(f"{variant.name}: {shown(variant.options[name])}" for variant in varied)
            raise InputError(
                f"option {name} is what study {study.name} varies ({values}); it cannot be set for all of it"
            )
        known = {variant.method: methods.get(variant.method).options() for variant in study.variants}
        if not any(name in config.flatten(defaults) for defaults in known.values()):
            config.override(next(iter(known.values())), {name: value})  # raises, with the nearest names


def part(study: Study, names: Sequence[str]) -> Study:
    """The study with some of its variants, in its own order, and a note that says so.

    Raises:
      InputError: a name that is no variant of it.
    """
    known = [variant.name for variant in study.variants]
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"study {study.name} has no variant {unknown[0]!r}; there are {'; '.join(known)}")
    variants = tuple(variant for variant in study.variants if variant.name in names)
    note = f"A part of the study: {len(variants)} of its {len(known)} variants were asked for."
    return replace(study, variants=variants, notes=(*study.notes, *([note] if len(variants) < len(known) else [])))


def presets(study: Study, preset: str | None) -> dict[str, str]:
    """{method: preset}; a method that has none here finds its own."""
    names = {variant.method for variant in study.variants}
    if preset is None:
        return {}
    if preset == "none":
        return dict.fromkeys(names, preset)
    found: dict[str, str] = {}
    for one in preset.split(","):
        method = config.load_preset(one, _folder_of(one, names)).method
        if method not in names:
            raise InputError(f"preset {one} is for method {method}; study {study.name} has {', '.join(sorted(names))}")
        if method in found:
            raise InputError(f"presets {found[method]} and {one} are both for method {method}; expected one for each")
        found[method] = one
    return found


def _folder_of(preset: str, names: Collection[str]) -> Path | None:
    """Where a preset of an installed method lies; None for those of msa_jax and for a path."""
    folders = {methods.get(name).presets for name in sorted(names) if name not in methods.BUILT_IN}
    return next((folder for folder in folders if preset in config.preset_names(folder)), None)


def plan_variant(
    variant: Variant,
    dataset: Dataset,
    folder: Path,
    preset: str | None,
    protocol: str | None,
    options: Mapping[str, Any],
) -> Outcome:
    """A variant with the options that it runs with, and why it is not possible on the dataset if it is not."""
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
    try:
        used = without(dataset, settings.options.leave_out)
        if missing := [need for need in variant.needs if not _has(used, need)]:
            reason = f"the dataset has no {', '.join(missing)}"
        else:
            settings.method.check(settings.options, _inputs(used, settings.options))
    except InputError as error:
        reason = str(error)
    path = folder / variant.slug
    return Outcome(variant=variant, path=path, settings=settings, asked=asked, ignored=ignored, reason=reason)


def share_stages(planned: Sequence[Outcome]) -> list[Outcome]:
    """The first possible variant trains all its stages, and the others take those before the last from it.

    Where the user names an experiment whose stages are taken, all take them from there.
    """
    first = next((outcome for outcome in planned if not outcome.reason), None)
    if first is None or first.settings.options.stages_from is not None:
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


def with_sources(names: Collection[str], planned: Sequence[Outcome]) -> list[Outcome]:
    """The variants of these names, and the one that trains the stages which they take."""
    asked = [outcome for outcome in planned if outcome.variant.name in names]
    sources = {outcome.settings.options.stages_from for outcome in asked if not outcome.reason}
    return [outcome for outcome in planned if outcome in asked or str(outcome.path.resolve()) in sources]


def _has(dataset: Dataset, need: str) -> bool:
    """Whether the dataset carries a modality or a column."""
    return dataset.has(need) if need in MODALITIES else getattr(dataset.train, need) is not None


def _inputs(dataset: Dataset, options: Options) -> Inputs:
    """What `Method.check` is asked with, no text encoder loaded: the modalities and label columns that there are."""
    train, text = dataset.train, None
    if dataset.has("text") and options.text_encoder == "features" and train.text is not None:
        text = TextInput(width=train.text.shape[-1], steps=train.text.shape[1])
    elif dataset.has("text"):
        text = TextInput(width=BertConfig().hidden_size, steps=options.max_tokens, bert=BertConfig(), unknown=0)
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


def check_folder(folder: Path, stem: str) -> None:
    """Makes the folder of a study, whose table has the files `stem` with several suffixes.

    Raises:
      InputError: it holds an experiment, or a file that no study wrote and this one would overwrite, or cannot be made.
    """
    if (folder / "config.json").is_file():
        raise InputError(
            f"{folder}: holds an experiment; a study has one folder for each variant, choose another --out"
        )
    # The table's JSON is written first, so where there is none of a study, nothing else is of one. Names of figures are known
    # when they are drawn.
    if not any(has_keys(path, "study", "kind", "experiments") for path in folder.glob("*.json")):
        names = (*(f"{stem}.{form}" for form in TABLE_FORMS), *(f"*.{form}" for form in figures.FORMS))
        other = next((path for name in names for path in folder.glob(name)), None)
        if other is not None:
            raise InputError(f"{other}: would be overwritten, and no study wrote it; choose another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror})") from None


def check_finished(planned: Sequence[Outcome], dataset: Dataset, seeds: Sequence[int], record_labels: bool) -> None:
    """What is finished must be what the study would run. `train` itself checks what is unfinished."""
    fingerprints: dict[Any, dict[str, str]] = {}  # of each part of the dataset that variants use
    for outcome in planned:
        if outcome.reason or not outcome.finished:
            continue
        path, settings = outcome.path, outcome.settings
        expected = {
            "method": settings.method.name,
            "dataset": dataset.card.name,
            "protocol": settings.protocol,
            "seeds": list(seeds),
            **{
                f"option {name}": value
                for name, value in config.to_json(settings.options).items()
                if name not in FREE_OPTIONS
            },
        }
        if record_labels:
            expected["record_labels"] = True
        content = read_json(path / "config.json")
        # An option that there was not yet when the experiment was trained: it had the default.
        options = config.to_json(settings.method.options()) | content.get("options", {})
        there = content | {f"option {name}": value for name, value in options.items()}
        for name, value in expected.items():
            if not _is_same(name, there.get(name), value, path.parent):
                raise InputError(
                    f"{path}: a finished experiment with {name} {shown(there.get(name))}; "
                    f"the study runs {shown(value)}: choose another --out"
                )
        options = settings.options
        part = options.leave_out, options.train_fraction, options.train_fraction_seed
        if part not in fingerprints:
            fingerprints[part] = used_part(dataset, options).fingerprint()
        if read_json(path / "environment.json").get("dataset_sha256") != fingerprints[part]:
            raise InputError(f"{path}: a finished experiment on other data of that name; choose another --out")


def _is_same(name: str, found: Any, wanted: Any, folder: Path) -> bool:
    if name == "seeds":
        return sorted(found or ()) == sorted(wanted)
    if name == "option stages_from" and found and wanted and Path(wanted).parent == folder.resolve():
        return Path(found).name == Path(wanted).name  # the folder of the study may have been moved since
    return found == wanted
