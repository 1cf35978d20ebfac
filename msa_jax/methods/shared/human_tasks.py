"""Multi-task learning with human labels of each modality: what MTFN, MLMF and MLF-DNN add to the fusion networks.

Paper: Yu, Xu, Meng, Zhu, Ma, Wu, Zou, Yang. CH-SIMS: A Chinese Multimodal Sentiment Analysis Dataset with Fine-grained
Annotation of Modality. ACL 2020.
Reference code: thuiar/MMSA (MIT); facts only, no line is taken from it.

The way of a batch. A fusion network gives the multimodal score, and one head for each modality gives a score of its
embedding alone. Each of these tasks has human labels of its own, so the sub-networks learn from both sides:

    L = w_m |y_m - s_m| + w_t |y_t - s_t| + w_a |y_a - s_a| + w_v |y_v - s_v|

The best epoch is that of the smallest L on valid.

Readings and deviations.
- L on valid is the mean over samples; MMSA has the mean of the means of mini-batches (`validation_mean`, reference).
- MMSA logs metrics of the scores of single modalities against the multimodal label. Here these scores are only written
  beside the multimodal ones.
- Each sub-network has a weight decay of its own, as in the paper, and all layers behind them have one together.
- MMSA's rows on SIMS are older than its commit (March 2022) that gave the heads, that of the fusion among them, to the
  optimiser: in those runs they kept their random start. `--freeze _head/` does the same.
- Absent modalities: their task is left out, and so is one that the option `tasks` does not name. A sample that lacks a
  modality has no loss in its task.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from msa_jax import losses
from msa_jax.config import PerGroup, check_not_negative, check_rates, check_sizes
from msa_jax.errors import InputError
from msa_jax.layers.subnetworks import ScoreHead
from msa_jax.methods.protocol import Clock, Group, Inputs, Step, Terms, labels
from msa_jax.methods.shared.fusion_networks import FusionNetwork, SubnetworkRates
from msa_jax.methods.shared.groups import encoder_groups
from msa_jax.methods.shared.presence import has
from msa_jax.methods.shared.sizes import Sizes
from msa_jax.methods.shared.unimodal_tasks import PerTask, checked_tasks, unimodal_tasks
from msa_jax.modalities import MODALITY

Array = jax.Array

VALID_TERMS = ("loss", "multimodal")


@dataclass(frozen=True, kw_only=True)
class PerGroupAndSubnetwork(PerGroup):
    """One value for each parameter group.

    Groups:
      text_subnetwork: The LSTM behind the text encoder.
    """

    text_subnetwork: float


@dataclass(frozen=True, kw_only=True)
class HumanTasks:
    """Options that a fusion network with unimodal tasks has beside its own.

    Tasks:
      tasks: Tasks that are trained: `m`, multimodal, and any of `t`, `a`, `v`, the modalities.
      weights: Weight of a task in the loss.
      head_hidden: Width of the two layers of a unimodal head.
      head_dropout: Dropout rate in front of the two layers of a unimodal head.
      selection: What chooses the best epoch: `term.loss` is the weighted sum of all tasks on valid, `loss` the error of
        the multimodal score alone. Other values are those of every method.
    """

    selection: str = "term.loss"
    tasks: tuple[str, ...] = ("m", "t", "a", "v")
    weights: PerTask = PerTask(m=1.0, t=1.0, a=1.0, v=1.0)
    weight_decay: PerGroupAndSubnetwork
    head_hidden: Sizes
    head_dropout: SubnetworkRates


def check_tasks(options: Any) -> None:
    """For `__post_init__` of options that have HumanTasks. Raises InputError for values that cannot be."""
    object.__setattr__(options, "tasks", checked_tasks(options.tasks))
    check_sizes(options, "head_hidden")
    check_rates(options, "head_dropout")
    check_not_negative(options, "weights")


class UnimodalHeads(FusionNetwork):
    """Beside what the fusion gives, the score [B] float32 of each unimodal task, by the name of its modality.

    To be named before the network whose fusion it is: `class MTFNNetwork(UnimodalHeads, TFNNetwork)`.
    """

    def fuse(self, embeddings: dict[str, Array], *, train: bool) -> dict[str, Array]:
        """The fusion, and a head for each modality."""
        outputs, options = super().fuse(embeddings, train=train), self.options
        for modality in (MODALITY[task] for task in unimodal_tasks(options, self.inputs)):
            size, dropout = getattr(options.head_hidden, modality), getattr(options.head_dropout, modality)
            head = ScoreHead(size, dropout, self.dtype, name=f"{modality}_head")
            _, outputs[modality] = head(embeddings[modality], train=train)
        return outputs


def objective(step: Step, options: HumanTasks, inputs: Inputs) -> tuple[Terms, Any]:
    """L1 of each task on its human label; 0 for samples without the modality."""
    terms = {"multimodal": losses.l1(step.outputs["prediction"], step.batch["label"])}
    for task in unimodal_tasks(options, inputs):
        error = losses.l1(step.outputs[MODALITY[task]], labels(step.batch, f"label_{task}"))
        terms[MODALITY[task]] = jnp.where(has(step.batch, MODALITY[task], inputs), error, 0.0)
    return terms, step.memory


def weights(options: HumanTasks, inputs: Inputs, memory: Any, clock: Clock) -> Mapping[str, Array | float]:
    """The weight of each task."""
    unimodal = {MODALITY[task]: getattr(options.weights, task) for task in unimodal_tasks(options, inputs)}
    return {"multimodal": options.weights.m, **unimodal}


def task_groups(options: Any) -> tuple[Group, ...]:
    """The text sub-network with a weight decay of its own, and the groups of all methods."""
    rate, decay = options.learning_rate.other, options.weight_decay.text_subnetwork
    subnetwork = Group(name="text_subnetwork", pattern=r"^text_subnetwork/", learning_rate=rate, weight_decay=decay)
    return (subnetwork, *encoder_groups(options))


def check(options: HumanTasks, inputs: Inputs) -> None:
    """Every task has labels.

    Raises:
      InputError: otherwise.
    """
    missing = [f"label_{task}" for task in unimodal_tasks(options, inputs) if f"label_{task}" not in inputs.columns]
    if missing:
        raise InputError(
            f"this method learns from human labels of each modality, and the dataset has no {', '.join(missing)}; leave "
            "these tasks out by the option tasks, or take a method that needs no such labels, such as self_mm"
        )
