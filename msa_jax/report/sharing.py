"""Sharing a trained model: a small folder that `Predictor.from_pretrained` reads, and the Hugging Face hub."""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax import config, metrics
from msa_jax.errors import InputError
from msa_jax.paths import user_path
from msa_jax.report.experiment import read_predictions, read_result
from msa_jax.report.model_card import model_card
from msa_jax.train import exported
from msa_jax.train.asked import checked_seeds
from msa_jax.train.atomic import read_json, write_json, write_text
from msa_jax.train.environment import environment
from msa_jax.train.experiment_dir import check_not_ours
from msa_jax.train.predictor import Predictor
from msa_jax.train.prepare import settled_format
from msa_jax.train.settings import RunConfig
from msa_jax.whole_files import new_folder


@dataclass(frozen=True, kw_only=True)
class Export:
    """An exported folder. seeds: of the runs in it. size: bytes of all its files."""

    path: Path
    seeds: tuple[int, ...]
    size: int


def export(
    folder: str | Path, out: str | Path, *, seeds: Sequence[int] | None = None, licence: str | None = None
) -> Export:
    """Writes a folder to share: parameters, preprocessing, configuration, scores and a model card. It holds no data.

    Args:
      folder: A finished experiment.
      out: The folder to write, which is not there yet or empty.
      seeds: Runs to export, by default all.
      licence: Of the parameters, as the Hugging Face hub names it, such as "mit" or "cc-by-nc-4.0".

    Raises:
      InputError: Not a finished experiment, it has no such run, or the folder is not empty or cannot be written.
        Nothing is left half-written.
    """
    path, out = user_path(folder), user_path(out)
    if exported.is_exported(path):
        raise InputError(f"{path}: is exported already; copy the folder")
    _check_licence(licence)
    check_not_ours(out)
    predictor = Predictor.load(path)
    run = RunConfig.read(path)
    chosen = _chosen(path, run, seeds)
    result = read_result(path)
    runs = [one for one in result["runs"] if one["seed"] in chosen]
    mean, std = metrics.summarise([one["test"] for one in runs])
    kept = ("seed", "best_epoch", "epochs", "valid", "test")
    scores = {"runs": [{key: one[key] for key in kept if key in one} for one in runs], "mean": mean, "std": std}
    samples = {"train": run.inputs.rows} | {split: len(read_predictions(path, split)[0]) for split in ("valid", "test")}
    run = _shared(replace(run, seeds=chosen))
    card = model_card(run, scores, read_json(path / "environment.json"), samples=samples, licence=licence)
    return _write(out, run, predictor, scores, card)


def save(predictor: Predictor, out: str | Path, *, licence: str | None = None) -> Export:
    """Writes the folder that `export` writes, of a predictor that belongs to no experiment.

    So parameters that were changed, or trained in a loop of one's own, are there for `Predictor.load` and for the commands.
    Nobody knows their scores, so the folder has none.

    Args:
      predictor: Of `Predictor.with_variables` or of `msa_jax.train.own_loop`.
      out, licence: As of `export`.

    Raises:
      InputError: A parameter is not finite; or as `export`.
    """
    out = user_path(out)
    _check_licence(licence)
    check_not_ours(out)
    for number, variables in predictor.variables.items():
        for path, leaf in {**variables.params, **variables.statistics}.items():
            if not np.isfinite(leaf).all():
                raise InputError(
                    f"variables {number}: {path} has NaN or infinite values, which a folder to share must not hold"
                )
    run = RunConfig(
        method=predictor.method.name,
        runs_per_program=1,
        dataset=predictor.dataset,
        data=predictor.dataset,
        metrics=predictor.metrics,
        protocol=predictor.protocol,
        preset=None,
        seeds=checked_seeds(tuple(predictor.variables)),
        record_labels=False,
        options=config.to_json(predictor.options),
        inputs=predictor.inputs,
        extract=predictor.extract,
        precision=settled_format(predictor.options, None),
    )
    run, scores = _shared(run), {"runs": [], "mean": {}, "std": {}}
    card = model_card(run, scores, environment({}), samples={"train": run.inputs.rows}, licence=licence)
    return _write(out, run, predictor, scores, card)


def _write(out: Path, run: RunConfig, predictor: Predictor, scores: Mapping[str, Any], card: str) -> Export:
    with _new_folder(out) as part:
        exported.write_parameters(part, {seed: predictor.variables[seed] for seed in run.seeds})
        predictor.preprocessor.save(part / exported.PREPROCESSING)
        write_json(part / exported.METRICS, scores)
        write_text(part / "README.md", card)
        exported.write_config(part, run)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    return Export(path=out, seeds=run.seeds, size=size)


def _check_licence(licence: str | None) -> None:
    if licence is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.\-]*", licence):
        raise InputError(f"licence is {licence!r}; expected a name as the hub has them, such as mit or cc-by-nc-4.0")


def push_to_hub(folder: str | Path, repository: str, *, private: bool = True) -> str:
    """Uploads an exported folder to the Hugging Face hub.

    Args:
      folder: What `export` wrote.
      repository: Its name there, such as "user/name". It is made if it is not there.
      private: Whether only its owner sees a repository that is made.

    Returns:
      The address of the repository.

    Raises:
      InputError: Not an exported folder, a damaged one, or the hub refuses: log in first (`hf auth login`).
    """
    path = user_path(folder)
    exported.read_config(path)
    from huggingface_hub import HfApi

    try:
        hub = HfApi()
        address = hub.create_repo(repository, private=private, exist_ok=True)
        hub.upload_folder(
            repo_id=repository,
            folder_path=path,
            allow_patterns=[*exported.FILES, "README.md"],
            commit_message="A model of msa_jax",
        )
    except Exception as error:  # a hub client has many ways to fail: offline, not logged in, not a name
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{repository}: the Hugging Face hub did not take it ({type(error).__name__}: {reason}); `hf auth login` logs in"
        ) from None
    return str(address)


def _chosen(path: Path, run: RunConfig, seeds: Sequence[int] | None) -> tuple[int, ...]:
    if seeds is None:
        return run.seeds
    if not isinstance(seeds, Iterable):
        raise InputError(f"seeds is {seeds!r}; expected a list of seeds, also for a single one")
    unknown = [seed for seed in seeds if seed not in run.seeds]
    if unknown or not seeds:
        named = ", ".join(map(str, run.seeds))
        raise InputError(
            f"{path}: has no run of seed {', '.join(map(str, unknown)) or '(none given)'}; its seeds are {named}"
        )
    return tuple(seed for seed in run.seeds if seed in seeds)


def _shared(run: RunConfig) -> RunConfig:
    """The configuration without the places of one machine."""
    run = replace(run, data=run.dataset, preset=_last_part(run.preset), options=_public(run.options))
    return replace(run, extract=_public_recipe(run.extract))


def _public(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options without the places of one machine."""
    return {**options, "text_encoder": _last_part(options["text_encoder"]), "stages_from": None}


def _public_recipe(recipe: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The recipe of the features with the name alone of the text encoder that they are aligned with."""
    align = None if recipe is None else recipe.get("align")
    if not isinstance(align, Mapping) or not isinstance(align.get("text_encoder"), str):
        return recipe
    return {**recipe, "align": {**align, "text_encoder": _last_part(align["text_encoder"])}}


def _last_part(word: str | None) -> str | None:
    """The last part of what is a path rather than a name or a hub id."""
    is_path = word is not None and (word.startswith((".", "~", "/")) or word.count("/") > 1 or user_path(word).exists())
    return Path(word).name or None if is_path else word


@contextlib.contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder that takes the place of `out` once it is whole. InputError if it cannot."""
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"{out}: exists and is not empty; choose another --out")
        with new_folder(out) as part:
            yield part
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error})") from None
