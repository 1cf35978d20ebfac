"""What is trained: a method with its options, from protocol, preset and changes; the configuration of an experiment."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from msa_jax import config, methods
from msa_jax.config import Options
from msa_jax.encoders.bert import BertConfig
from msa_jax.errors import InputError, refuse_newer
from msa_jax.methods.protocol import Inputs, Method, SequenceInput, TextInput
from msa_jax.train.experiment_dir import FORMAT

SEEDS = (1111, 1112, 1113, 1114, 1115)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What was asked for, resolved: method, options and where they came from."""

    method: Method
    options: Options
    protocol: str
    preset: str | None


def resolve(
    method: str,
    *,
    dataset: str | None = None,
    preset: str | None = None,
    protocol: str | None = None,
    options: Mapping[str, Any] | None = None,
    **named: Any,
) -> Settings:
    """Defaults of the method, then the protocol's, then the preset's, then options by name; the later wins.

    Args:
      method: its name.
      dataset: the name on its card; without a preset, the one called `{method}_{dataset}` is taken if there is one.
      preset: a name or path; "none" for no preset at all.
      protocol: "paper" or "reference"; by default the preset's, otherwise "paper".
      options: dotted option names and values; `named` are those whose names have no dot.

    Raises:
      InputError: something unknown, or a preset of another method.
    """
    chosen = methods.get(method)
    name, folder = preset, chosen.presets
    if preset is None and f"{method}_{dataset}" in config.preset_names(folder):
        name = f"{method}_{dataset}"
    found = None if name is None or name == "none" else config.load_preset(name, folder)
    if found is not None and found.method != method:
        raise InputError(f"preset {name} is for method {found.method}, not {method}")
    protocol = protocol or (found.protocol if found else "paper")
    if protocol not in ("paper", "reference"):
        raise InputError(f"protocol is {protocol!r}; expected paper or reference")
    resolved = protocol_options(chosen, protocol)
    if found is not None:
        resolved = config.override(resolved, found.options)
    resolved = config.override(resolved, {**(options or {}), **named})
    return Settings(method=chosen, options=resolved, protocol=protocol, preset=found.name if found else None)


def protocol_options(method: Method, protocol: str) -> Options:
    """The method's options in the "paper" or the "reference" protocol."""
    options = method.options()
    return config.override(options, method.reference) if protocol == "reference" else options


def checked_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
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


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """`config.json` of an experiment folder: enough to train it again, and to use it.

    data: where the dataset was. metrics: their kind. options: by dotted name, as JSON. runs_per_program: runs side by side.
    keep_state: the last states of the runs are kept. extract: how msa_jax extracted audio and vision from clips, if it did.
    """

    method: str
    runs_per_program: int
    dataset: str
    data: str
    metrics: str
    protocol: str
    preset: str | None
    seeds: tuple[int, ...]
    record_labels: bool
    keep_state: bool = False
    options: Mapping[str, Any]
    inputs: Inputs
    extract: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            **plain,
            "seeds": list(self.seeds),
            "options": dict(self.options),
            "inputs": inputs_to_json(self.inputs),
        }

    @classmethod
    def from_json(cls, content: Any, source: str) -> "RunConfig":
        """What `to_json` made. Raises InputError, naming the source, if it is something else, or of a newer version."""
        try:
            content = {"keep_state": False, "extract": None, **content}  # which experiments did not have at first
            refuse_newer(content, FORMAT, source)
            named = {field.name: content[field.name] for field in fields(cls)}
            named |= {"seeds": tuple(named["seeds"]), "inputs": inputs_from_json(named["inputs"])}
            return cls(**named)
        except (KeyError, TypeError, IndexError) as error:
            raise InputError(f"{source}: not a configuration of this version ({error!r})") from None


def inputs_to_json(inputs: Inputs) -> dict[str, Any]:
    """The shapes that a network was built for."""
    text = inputs.text and {
        "width": inputs.text.width,
        "steps": inputs.text.steps,
        "bert": inputs.text.bert and inputs.text.bert.to_dict(),
        "unknown": inputs.text.unknown,
    }
    return {
        "text": text,
        "audio": inputs.audio and list(inputs.audio),
        "vision": inputs.vision and list(inputs.vision),
        "label_range": list(inputs.label_range),
        "rows": inputs.rows,
        "columns": list(inputs.columns),
        "aligned": inputs.aligned,
    }


def inputs_from_json(content: dict[str, Any]) -> Inputs:
    """What `inputs_to_json` made."""
    text = content["text"]
    if text is not None:
        bert = text["bert"] and BertConfig.from_dict(text["bert"])
        unknown = text.get("unknown")  # which experiments did not have at first
        text = TextInput(width=text["width"], steps=text["steps"], bert=bert, unknown=unknown)
    return Inputs(
        text=text,
        audio=content["audio"] and SequenceInput(*content["audio"]),
        vision=content["vision"] and SequenceInput(*content["vision"]),
        label_range=tuple(content["label_range"]),
        rows=content["rows"],
        columns=tuple(content["columns"]),
        aligned=content["aligned"],
    )
