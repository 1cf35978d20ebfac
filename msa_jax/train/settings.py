"""What is trained: a method with its options, from protocol, preset and changes; the configuration of an experiment."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from msa_jax import config, methods
from msa_jax.config import Options
from msa_jax.encoders.bert import BertConfig
from msa_jax.errors import InputError, refuse_newer
from msa_jax.methods.protocol import Inputs, Method, SequenceInput, TextInput
from msa_jax.modalities import SEQUENCES, UNIMODAL_LABELS
from msa_jax.train.asked import checked_seeds, chosen_preset, chosen_protocol
from msa_jax.train.atomic import read_json
from msa_jax.train.experiment_dir import FORMAT

_HUGE = 2**31  # no array has as many rows or columns


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
      dataset: the name on its card; without a preset, the one called `{method}_{dataset}` is taken if there is one, or in
        the reference protocol first `{method}_{dataset}_reference` or `{method}_{dataset}_mmsa`.
      preset: a name or path; "none" for no preset at all.
      protocol: "paper" or "reference"; by default the preset's, otherwise "paper".
      options: dotted option names and values; `named` are those whose names have no dot.

    Raises:
      InputError: something unknown, or a preset of another method.
    """
    chosen = methods.get(method)
    found = chosen_preset(method, dataset, preset, protocol)
    protocol = chosen_protocol(protocol, found)
    resolved = protocol_options(chosen, protocol)
    if found is not None:
        resolved = config.override(resolved, found.options)
    resolved = config.override(resolved, {**(options or {}), **named})
    return Settings(method=chosen, options=resolved, protocol=protocol, preset=found.name if found else None)


def protocol_options(method: Method, protocol: str) -> Options:
    """The method's options in the "paper" or the "reference" protocol."""
    options = method.options()
    return config.override(options, method.reference) if protocol == "reference" else options


_JSON_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("method", "dataset", "data", "metrics", "protocol"), (str,)),
    **dict.fromkeys(("record_labels", "keep_state", "with_text"), (bool,)),
    "runs_per_program": (int,),
    "preset": (str, type(None)),
    "options": (dict,),
    "extract": (dict, type(None)),
    "precision": (str, type(None)),
}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """`config.json` of an experiment folder: enough to train it again, and to use it.

    data: where the dataset was. metrics: their kind. options: by dotted name, as JSON. runs_per_program: runs side by side.
    keep_state: the last states of the runs are kept. with_text: predictions show the text of each sample. extract: how
    msa_jax extracted audio and vision from clips, if it did. precision: the number format that `auto` came to when it began;
    None where the options name one, and in old experiments.
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
    with_text: bool = False
    options: Mapping[str, Any]
    inputs: Inputs
    extract: Mapping[str, Any] | None = None
    precision: str | None = None

    @property
    def computed(self) -> dict[str, Any]:
        """The options that it is computed with."""
        return dict(self.options) if self.precision is None else {**self.options, "precision": self.precision}

    def known_method(self) -> Method:
        """Its method. Raises InputError if it is of a package that is not there."""
        if self.method not in methods.METHODS:
            raise InputError(
                f"the experiment is of method {self.method!r}, which is unknown here; it needs the package that has the "
                "method, or `msa_jax.register` in Python"
            )
        return methods.get(self.method)

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
    def read(cls, folder: Path) -> "RunConfig":
        """That of an experiment. Raises InputError if its file is missing, something else, or of a newer version."""
        return cls.from_json(read_json(folder / "config.json"), str(folder / "config.json"))

    @classmethod
    def from_json(cls, content: Any, source: str) -> "RunConfig":
        """What `to_json` made. Raises InputError, naming the source, if it is something else, or of a newer version."""
        try:
            # Which experiments did not have at first.
            since = {"keep_state": False, "with_text": False, "extract": None, "runs_per_program": 1, "precision": None}
            content = {**since, **content}
            refuse_newer(content, FORMAT, source)
            named = {field.name: content[field.name] for field in fields(cls)}
            named |= {"seeds": checked_seeds(named["seeds"]), "inputs": inputs_from_json(named["inputs"])}
        except InputError as error:
            raise InputError(str(error) if source in str(error) else f"{source}: {error}") from None
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{source}: not a configuration of this version ({error!r})") from None
        for name, kinds in _JSON_TYPES.items():
            value = named[name]
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise InputError(f"{source}: {name} is {value!r}; expected {kinds[0].__name__}")
        if named["runs_per_program"] < 1:
            raise InputError(f"{source}: runs_per_program is {named['runs_per_program']}; expected at least 1")
        return cls(**named)


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
    """What `inputs_to_json` made. Raises InputError or an error of Python's if it is something else."""
    text = content["text"]
    if text is not None:
        bert = text["bert"] and BertConfig.from_dict(text["bert"])
        unknown = text.get("unknown")  # which experiments did not have at first
        text = TextInput(width=text["width"], steps=text["steps"], bert=bert, unknown=unknown)
    sequences = {name: content[name] and SequenceInput(*content[name]) for name in SEQUENCES}
    low, high = content["label_range"]
    made = Inputs(
        text=text,
        **sequences,
        label_range=(float(low), float(high)),
        rows=content["rows"],
        columns=tuple(content["columns"]),
        aligned=content["aligned"],
    )
    unknown = () if text is None or text.unknown is None else (text.unknown,)
    sizes = [size for one in sequences.values() if one is not None for size in one]
    sizes += [] if text is None else [text.width, text.steps]
    for size in (*sizes, made.rows, *unknown):
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < _HUGE:
            raise InputError(f"inputs has a size of {size!r}; expected a whole number")
    if not set(made.columns) <= set(UNIMODAL_LABELS) or not isinstance(made.aligned, bool):
        raise InputError("inputs are not those of a network")
    return made
