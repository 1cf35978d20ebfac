"""Multi-task learning with unimodal labels: what Self-MM, SUGRM and TETFN share.

One multimodal task regresses on the human label. Beside it, each modality has a task that regresses on a label of its
own: a generated one, by the rule of either method, or a human one where the dataset has it. A unimodal term is weighted
by tanh of how far its label is from the human multimodal one (Self-MM, eq. 10; SUGRM, section 3.4). The generated labels
of a mini-batch move after its loss. A sample that lacks a modality takes no part in that modality's task: no loss, and
its label and feature stay as they were.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp

from msa_jax import labels as label_generation
from msa_jax import losses
from msa_jax.config import Options, check_rates, check_sizes
from msa_jax.errors import InputError
from msa_jax.methods.protocol import Inputs, Step, Terms, labels
from msa_jax.methods.shared.presence import has
from msa_jax.modalities import MODALITY

Array = jax.Array

LOSSES: dict[str, Callable[[Array, Array], Array]] = {
    "l1": losses.l1,
    "l2": losses.l2,
    "huber": losses.smooth_l1,
}


@dataclass(frozen=True, kw_only=True)
class PerTask:
    """One value for each task.

    Tasks:
      m: The multimodal task.
      t: The task of the text.
      a: The task of the audio.
      v: The task of the vision.
    """

    m: float
    t: float
    a: float
    v: float


@dataclass(frozen=True, kw_only=True)
class UnimodalTaskOptions(Options):
    """Options of methods with unimodal tasks.

    Tasks:
      tasks: Tasks that are trained: `m`, multimodal, and any of `t`, `a`, `v`, the modalities (Self-MM, Table 4; SUGRM,
        Table 3).
      unimodal_labels: `generated` unimodal labels move during training. `human` ones are the dataset's label_t, label_a
        and label_v (Human-MM; Self-MM, Table 3). `calibrated` ones are estimated once from the features of train by a
        rule of ours, see `data.calibrated`.
      label_generation: Rule that generates unimodal labels, that of Self-MM or that of SUGRM (SUGRM, Table 4).
      loss: Loss of every task: absolute error (`l1`), squared error (`l2`) or Huber's (SUGRM, Table 8).
      feature_size: Width of the feature F* of a task.
      label_limit: Largest absolute unimodal label. With `none`, unimodal labels stay in the dataset's label range.
      zero_is_positive: Whether samples of label zero belong to the positive class centre, as in the repositories of
        Self-MM and SUGRM. MMSA calls the opposite excludeZero.
    Rule of Self-MM:
      scale_distances: Whether distances are divided by the square root of the feature's width, as the paper says (eq.
        3, 4). The code does not.
      floor_alpha: Whether the denominator of eq. 8 is bounded from below. If false, epsilon is added to it, as in the
        code.
    Rule of SUGRM:
      extreme_rows: Smallest number of training samples in the most positive and in the most negative class, whose
        centres give the largest distance. On MOSI and MOSEI at least three samples have each of the labels ±3.
      extreme_fraction: Smallest share of the training samples in each of these two classes.
    """

    tasks: tuple[str, ...] = ("m", "t", "a", "v")
    unimodal_labels: Literal["generated", "human", "calibrated"] = "generated"
    label_generation: Literal["self_mm", "sugrm"] = "self_mm"
    loss: Literal["l1", "l2", "huber"] = "l1"
    feature_size: int | PerTask
    label_limit: float | None = None
    zero_is_positive: bool = False
    scale_distances: bool = True
    floor_alpha: bool = True
    extreme_rows: int = 3
    extreme_fraction: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "tasks", checked_tasks(self.tasks))
        if self.label_limit is not None and self.label_limit <= 0:
            raise InputError(f"option label_limit is {self.label_limit}; expected a positive number or none")
        check_sizes(self, "extreme_rows")
        check_rates(self, "extreme_fraction")


class WithTasks(Protocol):
    """Options with tasks by their letters."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The letter "m", and any of "t", "a", "v"."""
        ...


def checked_tasks(tasks: tuple[str, ...]) -> tuple[str, ...]:
    """The option `tasks` in small letters; raises InputError unless it is "m" and any of "t", "a", "v"."""
    small = tuple(task.lower() for task in tasks)
    if "m" not in small or not set(small) <= {"m", "t", "a", "v"}:
        raise InputError(f"option tasks is {','.join(small)}; expected m and any of t, a, v, as in m,t,a")
    return small


def unimodal_tasks(options: WithTasks, inputs: Inputs) -> tuple[str, ...]:
    """The unimodal tasks that are asked for and whose modality is there."""
    return tuple(task for task in MODALITY if task in options.tasks and MODALITY[task] in inputs.modalities)


def heads(options: WithTasks, inputs: Inputs) -> tuple[str, ...]:
    """The score of the multimodal task, and that of each unimodal one, which has the name of its modality."""
    return ("prediction", *(MODALITY[task] for task in unimodal_tasks(options, inputs)))


def exports(options: WithTasks, inputs: Inputs) -> tuple[str, ...]:
    """The feature F* of the multimodal task, and those of the unimodal tasks, see `exported`."""
    return ("representation", *(f"{MODALITY[task]}_embedding" for task in unimodal_tasks(options, inputs)))


def exported(features: Mapping[str, Array]) -> dict[str, Array]:
    """{task: F* [B, d]} by the names of `exports`, float32."""
    names = {task: f"{MODALITY[task]}_embedding" for task in features if task != "m"} | {"m": "representation"}
    return {names[task]: feature.astype(jnp.float32) for task, feature in features.items()}


def feature_sizes(options: UnimodalTaskOptions, tasks: tuple[str, ...]) -> dict[str, int]:
    """The width of the feature F* of each task, {task: width}."""
    size = options.feature_size
    return {task: int(getattr(size, task)) if isinstance(size, PerTask) else int(size) for task in tasks}


def init_memory(options: UnimodalTaskOptions, inputs: Inputs, columns: Mapping[str, Array]) -> Any:
    """The state of label generation; nothing where labels are human or only "m" is trained."""
    tasks = unimodal_tasks(options, inputs)
    if not tasks or options.unimodal_labels != "generated":
        return {}
    dims = feature_sizes(options, ("m", *tasks))
    if options.label_generation == "sugrm":
        return label_generation.sugrm.init(
            columns["label"],
            dims,
            zero_is_positive=options.zero_is_positive,
            extreme_rows=options.extreme_rows,
            extreme_fraction=options.extreme_fraction,
            neutral=inputs.neutral,
        )
    return label_generation.self_mm.init(
        columns["label"], dims, zero_is_positive=options.zero_is_positive, neutral=inputs.neutral
    )


def objective(step: Step, options: UnimodalTaskOptions, inputs: Inputs) -> tuple[Terms, Any]:
    """All tasks, with the u-labels as they are before this batch moves them; a unimodal term is 0 without its modality.

    The outputs of the network: `prediction` and each unimodal task's modality [B]; `features` {task: F* [B, d]}.
    """
    outputs, batch, memory = step.outputs, step.batch, step.memory
    distance, label = LOSSES[options.loss], batch["label"]
    terms = {"multimodal": distance(outputs["prediction"], label)}
    for task in unimodal_tasks(options, inputs):
        target = memory.labels[task][batch["row"]] if memory else labels(batch, f"label_{task}")
        weight = jnp.where(has(batch, MODALITY[task], inputs), jnp.tanh(jnp.abs(target - label)), 0.0)
        terms[MODALITY[task]] = weight * distance(outputs[MODALITY[task]], target)
    return terms, _move_labels(step, options, inputs) if memory else memory


def _move_labels(step: Step, options: UnimodalTaskOptions, inputs: Inputs) -> Any:
    """The memory after the u-labels, features and class centres of the batch have moved."""
    rule: dict[str, Any] = {
        "epoch": step.clock.epoch,
        "limit": inputs.label_range if options.label_limit is None else options.label_limit,
        "where": step.batch["weight"] > 0,
        "has": {task: has(step.batch, MODALITY[task], inputs) for task in unimodal_tasks(options, inputs)},
        "zero_is_positive": options.zero_is_positive,
        "neutral": inputs.neutral,
    }
    seen = step.memory, step.batch["row"], step.outputs["features"]
    if options.label_generation == "sugrm":
        return label_generation.sugrm.update(*seen, **rule)
    rule |= {"scale_distances": options.scale_distances, "floor": options.floor_alpha}
    return label_generation.self_mm.update(*seen, **rule)


def end_epoch(memory: Any, means: Mapping[str, Array], options: UnimodalTaskOptions, inputs: Inputs) -> Any:
    """Class centres summed anew over all rows."""
    if not memory:
        return memory
    rule = label_generation.sugrm if options.label_generation == "sugrm" else label_generation.self_mm
    return rule.refresh_centres(memory, zero_is_positive=options.zero_is_positive, neutral=inputs.neutral)


def records(memory: Any) -> dict[str, Array]:
    """The u-labels [N] of each unimodal task (Self-MM and SUGRM, Figure 4)."""
    return {f"label_{task}": value for task, value in memory.labels.items() if task != "m"} if memory else {}


def calibrates(options: UnimodalTaskOptions) -> bool:
    """Whether the labels are estimated before training."""
    return options.unimodal_labels == "calibrated"


def check(options: UnimodalTaskOptions, inputs: Inputs) -> None:
    """Human labels must be there; the rule of SUGRM needs one feature space.

    Raises:
      InputError: otherwise.
    """
    tasks = unimodal_tasks(options, inputs)
    missing = [f"label_{task}" for task in tasks if f"label_{task}" not in inputs.columns]
    if options.unimodal_labels != "generated" and missing:
        raise InputError(
            f"option unimodal_labels is {options.unimodal_labels}, but the dataset has no {', '.join(missing)}; "
            "choose tasks that have labels, or generated ones"
        )
    sizes = feature_sizes(options, ("m", *tasks))
    if options.label_generation == "sugrm" and len(set(sizes.values())) > 1:
        named = ", ".join(f"{task} {size}" for task, size in sizes.items())
        raise InputError(
            f"option label_generation is sugrm, which needs features of one width; feature_size has {named}"
        )
