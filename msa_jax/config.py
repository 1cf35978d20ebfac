"""Options: frozen dataclasses, their defaults, and how presets and the command line change them.

An option is named by its field, `batch_size`, or for a nested value by a dotted name, `learning_rate.text`. Every method
extends `Options` with its own fields and defaults; nothing else holds a default.
"""

import copy
import dataclasses
import difflib
import json
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from msa_jax.errors import InputError, first_line
from msa_jax.everyday_names import synonym, value_hint
from msa_jax.literals import read_literal
from msa_jax.option_values import check_classes, check_names, convert
from msa_jax.paths import user_path

_LONGEST_CHAIN = 8  # presets that extend one another
Schedule = Literal["constant", "linear", "cosine", "plateau"]


@dataclass(frozen=True, kw_only=True)
class PerGroup:
    """One value for each parameter group.

    Groups:
      text: The text encoder.
      audio: The encoder of the audio sequence.
      vision: The encoder of the vision sequence.
      other: All other parameters.
    """

    text: float
    audio: float
    vision: float
    other: float


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every method understands.

    Each option has one entry here, which `msa-jax methods METHOD` shows. A class of options that gives an option
    another meaning has an entry of its own for it.

    Text:
      text_encoder: Encoder of the text: the hub id or the folder of a BERT, RoBERTa or XLM-R; `scratch`, a small BERT
        trained from nothing; or `features`, the dataset's precomputed column `text`.
      text_column: What is read if a dataset has both: `raw_text`, which is tokenised, or the token ids `text_bert`.
      max_tokens: Longest text in tokens, [CLS] and [SEP] included. Longer texts are cut.
      finetune_text: Whether the text encoder is trained.
      freeze: Regular expression: parameters whose path matches it, such as `text_encoder/bert/layer_[0-8]/`, are not
        trained.
      encode_once: Whether a text encoder that is not trained runs only once, before the first epoch and without
        dropout. If its states are too large for the memory, it runs in every step, without dropout too. If false, or
        with `modality_dropout` or `step_dropout`, it runs in every step with its dropout, as PyTorch code in train mode
        does.
      pack_text: Whether several texts share one row of a mini-batch instead of being padded. Hidden states are the same,
        and the work is less. A few samples may go to another mini-batch, into which they fit.
      scratch_layers: Number of layers of the `scratch` text encoder.
      scratch_width: Width of the `scratch` text encoder, a multiple of 32, the width of a head.
    Sequences:
      standardise: `train` scales each audio and vision feature to mean zero and standard deviation one, by the valid
        frames of the training split. `none` leaves features as they are.
      standardise_clip: Largest absolute value of a standardised feature, in standard deviations.
    Optimisation by Adam:
      batch_size: Number of samples in a mini-batch.
      learning_rate: Learning rate of a parameter group.
      weight_decay: Weight decay of a parameter group.
      weight_decay_mode: `decoupled` is the weight decay of AdamW. `coupled` adds an L2 term to the gradient, as
        torch.optim.Adam does.
      accumulate: Number of mini-batches for one parameter update.
      accumulate_reduce: Whether an update takes the mean or the sum of the gradients of its mini-batches.
      tail: What happens if the last mini-batches of an epoch are fewer than `accumulate`: `keep` updates from them,
        `drop` throws their gradients away.
      schedule: Course of the learning rates over `max_epochs`, after the warm-up. `plateau` lowers them when valid no
        longer improves, as torch's ReduceLROnPlateau does.
      warmup: Share of all training steps in which the learning rates rise linearly from zero.
      plateau_factor: Factor on the learning rates each time that schedule `plateau` lowers them.
      plateau_patience: Number of epochs without improvement before schedule `plateau` lowers the learning rates.
      clip_norm: Largest norm of the whole gradient. `none` does not clip it.
      clip_value: Largest absolute value of an entry of the gradient. `none` does not clip it.
    Stopping and selection, on the valid split only:
      max_epochs: Largest number of epochs.
      patience: Number of epochs without improvement of `selection` after which training stops.
      selection: What chooses the best epoch: the key of a metric, such as `MAE`; `loss`, the mean absolute error;
        `mse`, the mean squared error; or `term.NAME`, a loss term of the method that can be computed on valid.
      min_delta: Smallest change of `selection` that counts as an improvement.
      validation_mean: If `selection` is an error or a loss term, `samples` takes its mean over samples. `batches` takes the
        mean of the means of mini-batches, which MMSA selects by.
      validation_decimals: Number of decimals to which `selection` is rounded before it is compared. `none` does not
        round.
    Data and stages:
      train_fraction: Share of the training split that is used, stratified by label and the same for every seed.
      train_fraction_seed: Seed that chooses the samples of `train_fraction`. Of two fractions with one seed, the
        smaller is part of the larger.
      leave_out: Modalities of the dataset that the method never sees, in training and in prediction, such as `vision`.
      modality_dropout: Rate at which a modality is taken out of a training sample, which keeps at least one.
      step_dropout: Rate at which a token or a frame of a training sample is silenced.
      stages_from: Folder of another experiment of this method and dataset. All its stages but the last are taken
        instead of being trained: those of the run with the same seed, or of its only run.
    Machine:
      precision: Number format of the computation. `auto` is bfloat16 on GPU and TPU, and float32 on a CPU, as it is when
        the experiment begins. Parameters, losses and labels are always float32. On GPU and TPU, products in float32 are
        those of float32, which takes longer than what these devices do by default.
      remat: Whether the backward pass computes the layers of BERT again, which takes their time once more and far less
        memory.
      evaluation_batch_size: Number of samples at a time in evaluation and prediction.
      resident: Whether the dataset stays on the device (`yes`) or is streamed (`no`). `auto` decides by its size.
      checkpoint_epochs: Number of epochs between two checkpoints. `auto` writes one after an epoch if the last one is written,
        is ten seconds old, and kept the training waiting for at most a twentieth of the time since. A quarter of an hour is
        enough in any case.
      data_devices: Number of devices that share each mini-batch. If it divides `batch_size`, results are those of one
        device, up to rounding.
      runs_per_program: Number of runs of an experiment that one program trains side by side. `auto` is as many as the
        device gains from. Results are those of separate runs, up to rounding.
    Records:
      record_steps: Number of mini-batches over which the mean of every loss term is written to `steps/SEED.jsonl`.
        Counting begins anew with every epoch, and zero writes nothing.
    """

    text_encoder: str = "scratch"
    text_column: Literal["raw_text", "text_bert"] = "raw_text"
    max_tokens: int = 50
    finetune_text: bool = True
    freeze: str | None = None
    encode_once: bool = True
    pack_text: bool = True
    scratch_layers: int = 2
    scratch_width: int = 64
    standardise: Literal["none", "train"] = "none"
    standardise_clip: float = 5.0
    batch_size: int = 32
    max_epochs: int = 40
    patience: int = 8
    min_delta: float = 1e-6
    selection: str = "loss"
    validation_mean: Literal["samples", "batches"] = "samples"
    validation_decimals: int | None = None
    accumulate: int = 1
    accumulate_reduce: Literal["mean", "sum"] = "mean"
    tail: Literal["keep", "drop"] = "keep"
    weight_decay_mode: Literal["decoupled", "coupled"] = "decoupled"
    schedule: Schedule = "constant"
    plateau_factor: float = 0.5
    plateau_patience: int = 10
    warmup: float = 0.0
    clip_norm: float | None = None
    clip_value: float | None = None
    train_fraction: float = 1.0
    train_fraction_seed: int = 0
    leave_out: tuple[str, ...] = ()
    modality_dropout: float = 0.0
    step_dropout: float = 0.0
    stages_from: str | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    remat: bool = False
    evaluation_batch_size: int = 64
    resident: Literal["auto", "yes", "no"] = "auto"
    checkpoint_epochs: int | Literal["auto"] = "auto"
    data_devices: int = 1
    runs_per_program: int | Literal["auto"] = "auto"
    record_steps: int = 0
    learning_rate: PerGroup = PerGroup(text=5e-5, audio=1e-3, vision=1e-3, other=1e-3)
    weight_decay: PerGroup = PerGroup(text=0.0, audio=0.0, vision=0.0, other=0.0)

    def __post_init__(self) -> None:
        check_classes(self)
        sizes = ("max_tokens", "scratch_layers", "batch_size", "max_epochs", "patience", "accumulate", "data_devices")
        for name in (*sizes, "evaluation_batch_size", "scratch_width", "standardise_clip"):
            if getattr(self, name) <= 0:
                raise InputError(f"option {name} is {getattr(self, name)}; expected a positive number")
        for name in ("runs_per_program", "checkpoint_epochs"):
            if (value := getattr(self, name)) != "auto" and value < 1:
                raise InputError(f"option {name} is {value}; expected a positive number, or auto")
        if self.max_tokens < 2:
            raise InputError(f"option max_tokens is {self.max_tokens}; expected at least 2, for [CLS] and [SEP]")
        if self.scratch_width % 32:
            raise InputError(f"option scratch_width is {self.scratch_width}; expected a multiple of 32")
        if not 0 < self.train_fraction <= 1:
            raise InputError(f"option train_fraction is {self.train_fraction}; expected a fraction in (0, 1]")
        if not 0 <= self.warmup < 1:
            raise InputError(f"option warmup is {self.warmup}; expected a fraction in [0, 1)")
        check_not_negative(self, "min_delta", "validation_decimals", "record_steps", "train_fraction_seed")
        check_not_negative(self, "plateau_patience", "learning_rate", "weight_decay")
        for name in ("clip_norm", "clip_value"):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise InputError(f"option {name} is {value}; expected a positive number or none")
        try:
            re.compile(self.freeze or "")
            re.compile(f"(?:{self.freeze or ''})")  # as it is joined to others, where flags such as (?i) cannot stand
        except re.error as error:
            raise InputError(f"option freeze is {self.freeze!r}; expected a regular expression ({error})") from None
        check_rates(self, "modality_dropout", "step_dropout")
        if not 0 < self.plateau_factor < 1:
            raise InputError(f"option plateau_factor is {self.plateau_factor}; expected a fraction in (0, 1)")


def check_rates(options: Any, *names: str) -> None:
    """Raises InputError where one of these options, or a value in it, is no probability of dropping something."""
    for name, value in flatten(options).items():
        if name.split(".")[0] in names and not 0 <= value < 1:
            raise InputError(f"option {name} is {value}; expected a number in [0, 1)")


def check_sizes(options: Any, *names: str) -> None:
    """Raises InputError where one of these options, or a value in it, is no size of anything."""
    for name, value in flatten(options).items():
        if name.split(".")[0] in names and (value < 1 or value != int(value)):
            raise InputError(f"option {name} is {value}; expected a positive whole number")


def check_not_negative(options: Any, *names: str) -> None:
    """Raises InputError where one of these options, or a value in it, is negative. A name may have dots; None is no number."""
    for name, value in flatten(options).items():
        if any(f"{name}.".startswith(f"{one}.") for one in names) and value is not None and value < 0:
            raise InputError(f"option {name} is {value}; expected a number that is not negative")


def flatten(options: Any) -> dict[str, Any]:
    """Every option by its dotted name, in the order of the fields."""
    return dict(_walk(options, ""))


def _walk(node: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        if dataclasses.is_dataclass(value):
            yield from _walk(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, value


def override(options: Any, changes: Mapping[str, Any]) -> Any:
    """`options` with the named values replaced; strings are read as the type of the option.

    Raises:
      InputError: an unknown option, or a value that does not fit; the nearest names are suggested.
    """
    return _override(options, changes, "")


def with_values(options: Any, values: Mapping[str, Any]) -> Any:
    """`options` with the named ones replaced by traced scalars, which cannot be checked; itself where there are none."""
    if not values:
        return options
    changed = copy.copy(options)
    nested: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        head, _, rest = name.partition(".")
        if rest:
            nested.setdefault(head, {})[rest] = value
        else:
            object.__setattr__(changed, head, value)
    for head, inner in nested.items():
        object.__setattr__(changed, head, with_values(getattr(options, head), inner))
    return changed


def _override(options: Any, changes: Mapping[str, Any], prefix: str) -> Any:
    check_names(flatten(options), changes)
    nested: dict[str, dict[str, Any]] = {}
    direct: dict[str, Any] = {}
    hints = typing.get_type_hints(type(options))
    for name, value in changes.items():
        head, _, rest = name.partition(".")
        if rest:
            nested.setdefault(head, {})[rest] = value
        else:
            direct[head] = _value(prefix + name, hints[head], value)
    for head, inner in nested.items():
        direct[head] = _override(getattr(options, head), inner, f"{prefix}{head}.")
    return dataclasses.replace(options, **direct)


def _value(name: str, kind: Any, value: Any) -> Any:
    """The value of an option as its type has it; another word for one is taken, for an everyday word the message names ours."""
    try:
        return convert(name, kind, value)
    except InputError as error:
        if (ours := synonym(name, value)) is not None:
            return convert(name, kind, ours)
        raise InputError(f"{error}{value_hint(name, value)}") from None


def to_json(options: Any) -> dict[str, Any]:
    """Options as JSON holds them: dotted names, tuples as lists."""
    return {name: plain(value) for name, value in flatten(options).items()}


def plain(value: Any) -> Any:
    """The value of an option as JSON holds it; a size that is kept as a float without a fraction."""
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() and value >= 2 else value


# -- presets ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named set of options of one method: a file of a docstring and one literal dict, read and never executed.

    The file holds what differs from the method's defaults, or from the preset that it extends; here it is whole.

    name: the file's name without `.py`, or its path.
    description: the docstring: the command, what the paper states, the number to expect.
    method: the method it is for.
    protocol: "paper" or "reference".
    options: dotted option names and values.
    """

    name: str
    description: str
    method: str
    protocol: str
    options: dict[str, Any]


def configs_folder() -> Path:
    """Where presets and studies lie: inside an installed wheel, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent
    return package / "configs" if (package / "configs").is_dir() else package.parent / "configs"


def preset_names(folder: Path | None = None) -> list[str]:
    """All presets that come with msa_jax, and those of a folder of a method from outside, sorted."""
    return sorted(_presets(folder))


def _presets(folder: Path | None) -> dict[str, Path]:
    folders = [configs_folder()] if folder is None else [configs_folder(), folder]
    return {path.stem: path for place in folders for path in place.glob("*.py")}


def load_preset(name: str, folder: Path | None = None) -> Preset:
    """A preset by its name, or by the path of a `.py` or `.json` file of the same form.

    A preset that `extends` another one has its method, its protocol and its options, and then its own. The other one is named,
    or given by a path, which begins in the folder of the file that names it.

    folder: of presets besides those of msa_jax.

    Raises:
      InputError: there is none of that name, the file is not of that form, or presets extend each other in a circle.
    """
    return _load_preset(name, folder, ())


def _load_preset(name: str, folder: Path | None, children: tuple[str, ...]) -> Preset:
    if name in children or len(children) == _LONGEST_CHAIN:
        chain = ", which extends ".join((*children, name))
        raise InputError(f"preset {chain}: expected at most {_LONGEST_CHAIN} presets, and none twice")
    path, description, content = _read_preset(name, folder)
    if not isinstance(content, dict) or not set(content) <= {"method", "protocol", "options", "extends"}:
        raise InputError(f"preset {name}: expected a dict of method, protocol and options, or extends")
    for key in ("method", "protocol", "extends"):
        if not isinstance(content.get(key, ""), str):
            raise InputError(f"preset {name}: {key} is {content[key]!r:.100}; expected a name")
    own = content.get("options", {})
    if not isinstance(own, dict) or not all(isinstance(option, str) for option in own):
        raise InputError(f"preset {name}: options is {own!r:.100}; expected a dict of names and values")
    inherited = {"protocol": "paper", "options": {}}
    if "extends" in content:
        extended = content["extends"]
        if Path(extended).suffix in (".py", ".json"):
            extended = str(path.parent / user_path(extended))
        parent = _load_preset(extended, folder, (*children, name))
        inherited = {"method": parent.method, "protocol": parent.protocol, "options": parent.options}
    whole = {**inherited, **content, "options": {**inherited["options"], **own}}
    if "method" not in whole:
        raise InputError(f"preset {name}: expected a dict of method, protocol and options, or extends")
    return Preset(name=name, description=description, **{key: whole[key] for key in ("method", "protocol", "options")})


def _read_preset(name: str, folder: Path | None) -> tuple[Path, str, Any]:
    """Its file, the docstring and the literal."""
    path = user_path(name)
    if path.suffix == ".json":
        try:
            return path, "", json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"preset {name}: cannot be read ({first_line(error)})") from None
    if path.suffix != ".py":
        known = _presets(folder)
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.3)
            raise InputError(f"no preset {name!r}" + (f"; there are {', '.join(near)}" if near else ""))
        path = known[name]
    return path, *read_literal(path, "PRESET")
