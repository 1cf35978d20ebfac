"""MLMF: LMF with a task for each modality, for datasets with human unimodal labels.

Paper and reference code: those of `shared.human_tasks`, which says what the tasks are, their loss and what differs from the
code; the network in front of them is LMF (`methods.lmf`).

The way of a batch. LMF's sub-networks embed each modality: z_t, z_a, z_v. LMF's fusion gives the multimodal score, and a head
on each embedding gives a score of that modality alone.

Sizes, rates and decay are those of MMSA for SIMS. Its weights of the tasks there, .2, 1, .4 and .8, stand in the presets: by
default all tasks weigh the same. MMSA trains omega and b at a learning rate of 0, which is not at all
(`train_fusion_weights`).
"""

from dataclasses import dataclass
from typing import Any, Literal

from msa_jax.methods.lmf import LMFNetwork, LMFOptions, PerGroupAndFactor, exports, factor_group, frozen
from msa_jax.methods.protocol import Group, Inputs, Method, Stage, one_stage
from msa_jax.methods.shared.fusion_networks import FUSION_REFERENCE, SubnetworkRates
from msa_jax.methods.shared.human_tasks import (
    VALID_TERMS,
    HumanTasks,
    PerGroupAndSubnetwork,
    UnimodalHeads,
    check,
    check_tasks,
    objective,
    task_groups,
    weights,
)
from msa_jax.methods.shared.sizes import Sizes
from msa_jax.methods.shared.unimodal_tasks import heads


@dataclass(frozen=True, kw_only=True)
class MLMFOptions(HumanTasks, LMFOptions):
    """Options of MLMF: those of LMF and of the tasks."""

    batch_size: int = 128
    learning_rate: PerGroupAndFactor = PerGroupAndFactor(text=5e-5, audio=1e-3, vision=1e-3, other=1e-3, factor=1e-3)
    weight_decay_mode: Literal["decoupled", "coupled"] = "coupled"  # as it was when MMSA chose the values
    weight_decay: PerGroupAndSubnetwork = PerGroupAndSubnetwork(
        text=0.0, text_subnetwork=1e-4, audio=0.0, vision=1e-4, other=5e-3
    )
    text_hidden: int = 256
    text_size: int = 128
    audio_size: int = 32
    vision_size: int = 256
    head_hidden: Sizes = Sizes(text=8, audio=4, vision=32)
    head_dropout: SubnetworkRates = SubnetworkRates(text=0.4, audio=0.4, vision=0.4)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_tasks(self)


REFERENCE: dict[str, Any] = {"train_fusion_weights": False, **FUSION_REFERENCE}


class MLMFNetwork(UnimodalHeads, LMFNetwork):
    """Sub-networks, low-rank fusion, scores.

    Outputs: those of LMF, and `text`, `audio`, `vision` [B], the scores of single modalities.
    """


def stages(options: MLMFOptions, inputs: Inputs) -> tuple[Stage, ...]:
    """A single one."""
    return one_stage(objective, weights=weights, frozen=frozen(options))(options, inputs)


def groups(options: MLMFOptions) -> tuple[Group, ...]:
    """The factors, the text sub-network, and those of all methods."""
    return (factor_group(options), *task_groups(options))


METHOD = Method(
    name="mlmf",
    paper="Yu et al., ACL 2020 (CH-SIMS): LMF with a task for each modality, on human unimodal labels",
    options=MLMFOptions,
    reference=REFERENCE,
    network=MLMFNetwork,
    stages=stages,
    groups=groups,
    heads=heads,
    exports=exports,
    check=check,
    valid_terms=VALID_TERMS,
)
