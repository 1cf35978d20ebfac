"""What a training was asked for, as far as it can be told before JAX is loaded, which takes seconds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax import config, json_text, methods
from msa_jax.config import Preset
from msa_jax.data import load_dataset
from msa_jax.data.schema import Dataset, Split
from msa_jax.errors import InputError
from msa_jax.modalities import MODALITIES
from msa_jax.paths import file_name, user_path

SEEDS = (1111, 1112, 1113, 1114, 1115)
SWEEP_SEEDS = (1111,)
PROTOCOLS = ("paper", "reference")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A method with its protocol and the name of its preset, the seeds, and the folder that results go to."""

    method: str
    protocol: str
    preset: str | None
    seeds: tuple[int, ...]
    path: Path

    def lines(self, dataset: Dataset | None = None) -> tuple[str, ...]:
        """What a person reads first. dataset: what is trained on, if it has been read."""
        chosen = f"preset {self.preset}" if self.preset else "no preset"
        seeds = f"seed{'s' * (len(self.seeds) > 1)} {', '.join(map(str, self.seeds))}"
        runs = f"{len(self.seeds)} run{'s' * (len(self.seeds) > 1)} ({seeds}), into {self.path}"
        return (
            f"method {self.method}, {self.protocol} protocol, {chosen}",
            *(() if dataset is None else (_data_line(dataset),)),
            runs,
        )


def asked_for(
    method: str,
    dataset: Dataset,
    *,
    preset: str | None,
    protocol: str | None,
    seeds: Sequence[int] | None,
    out: str | Path | None,
    sweep: bool = False,
) -> Asked:
    """What the arguments of `msa_jax.train` come to, or those of a sweep.

    Raises:
      InputError: something unknown, a preset of another method, or wrong seeds.
    """
    found = chosen_preset(method, dataset.card.name, preset, protocol)
    return Asked(
        method=method,
        protocol=chosen_protocol(protocol, found),
        preset=None if found is None else found.name,
        seeds=checked_seeds((SWEEP_SEEDS if sweep else SEEDS) if seeds is None else seeds),
        path=results_folder(out, method, dataset, "sweep-" if sweep else ""),
    )


def of_experiment(folder: str | Path) -> Asked | None:
    """What an experiment folder was asked for; None if it does not tell, which `resume` explains."""
    path = user_path(folder)
    try:
        content = json_text.parse((path / "config.json").read_text(encoding="utf-8-sig"))
        named = {name: content[name] for name in ("method", "protocol", "preset")}
        seeds = checked_seeds(content["seeds"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    if not all(isinstance(value, str) or (value is None and name == "preset") for name, value in named.items()):
        return None
    return Asked(**named, seeds=seeds, path=path)


def results_folder(out: str | Path | None, method: str, dataset: Dataset, kind: str = "") -> Path:
    """Where results go: `out`, by default `runs/{kind}{method}-{dataset}`."""
    return user_path(out) if out is not None else Path("runs") / f"{kind}{method}-{file_name(dataset.card.name)}"


def chosen_preset(method: str, dataset: str | None, preset: str | None, protocol: str | None) -> Preset | None:
    """The preset of that name or path; without one, the one called `{method}_{dataset}` if there is one.

    In the reference protocol one that ends in `_reference` or `_mmsa` comes before it: the code has values of its own for
    each dataset.

    Args:
      method: Its name.
      dataset: The name on its card.
      preset: A name or path; "none" for no preset at all.
      protocol: The one that was asked for, if any was.

    Raises:
      InputError: No such method or preset, or a preset of another method.
    """
    # Those of msa_jax have no presets of their own, and importing one takes as long as importing JAX.
    folder = None if method in methods.BUILT_IN else methods.get(method).presets
    name = preset
    if preset is None:
        there, endings = config.preset_names(folder), ("_reference", "_mmsa", "") if protocol == "reference" else ("",)
        name = next((own for ending in endings if (own := f"{method}_{dataset}{ending}") in there), None)
    found = None if name is None or name == "none" else config.load_preset(name, folder)
    if found is not None and found.method != method:
        raise InputError(f"preset {name} is for method {found.method}, not {method}")
    return found


def chosen_protocol(protocol: str | None, preset: Preset | None) -> str:
    """The protocol that was asked for, by default the preset's, or else "paper". InputError if it is none."""
    chosen = protocol or (preset.protocol if preset else "paper")
    if chosen not in PROTOCOLS:
        raise InputError(f"protocol is {chosen!r}; expected {' or '.join(PROTOCOLS)}")
    return chosen


def checked_seeds(seeds: Any) -> tuple[int, ...]:
    """Seeds as they are used. Raises InputError if there are none, one twice, one out of range or no whole number."""
    if isinstance(seeds, str | bytes) or not isinstance(seeds, Iterable):
        raise InputError(f"seeds is {seeds!r}; expected a list of whole numbers, also for a single seed: seeds=[1111]")
    seeds = tuple(seeds)
    for seed in seeds:
        if isinstance(seed, bool | np.bool_) or not isinstance(seed, int | np.integer):
            raise InputError(f"seeds holds {seed!r}; expected whole numbers in [0, 2^32)")
    seeds = tuple(int(seed) for seed in seeds)
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0 or max(seeds) >= 2**32:
        raise InputError(f"seeds are {', '.join(map(str, seeds)) or 'none'}; expected distinct numbers in [0, 2^32)")
    return seeds


def _data_line(dataset: Dataset) -> str:
    sizes = ", ".join(f"{name} {len(split)}" for name, split in dataset.splits().items())
    return f"data {dataset.card.name}: {sizes}; {', '.join(name for name in MODALITIES if dataset.has(name))}"


def checked_dataset(dataset: Any) -> Dataset:
    """A dataset that can be trained on. One that somebody made is checked as one that is read."""
    if isinstance(dataset, Split):
        raise InputError(
            "a Dataset is trained on; found one Split of it: Dataset(card=..., train=..., valid=..., test=...)"
        )
    return load_dataset(dataset)
