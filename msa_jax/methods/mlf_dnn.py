"""MLF-DNN: LF-DNN with a task for each modality, for datasets with human unimodal labels.

Paper and reference code: those of `shared.human_tasks`, which says what the tasks are, their loss and what differs from the
code; the network in front of them is LF-DNN (`methods.lf_dnn`).

The way of a batch. The sub-networks embed each modality: z_t, z_a, z_v. The head of their concatenation gives the multimodal
score, and a head on each embedding gives a score of that modality alone.

Sizes, rates and decay are those of MMSA for SIMS. Its weights of the tasks there, .6, .2, .8 and .8, stand in the presets:
by default all tasks weigh the same.
"""

from dataclasses import dataclass
from typing import Any, Literal

from msa_jax.config import PerGroup
from msa_jax.methods.lf_dnn import LFDNNNetwork, LFDNNOptions
from msa_jax.methods.protocol import Method, one_stage
from msa_jax.methods.shared.fusion_networks import FUSION_REFERENCE, Rates, SubnetworkRates
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
from msa_jax.methods.shared.regression import exports
from msa_jax.methods.shared.sizes import Sizes
from msa_jax.methods.shared.unimodal_tasks import heads


@dataclass(frozen=True, kw_only=True)
class MLFDNNOptions(HumanTasks, LFDNNOptions):
    """Options of MLF-DNN: those of LF-DNN and of the tasks."""

    batch_size: int = 32
    learning_rate: PerGroup = PerGroup(text=5e-5, audio=2e-3, vision=2e-3, other=2e-3)
    weight_decay_mode: Literal["decoupled", "coupled"] = "coupled"  # as it was when MMSA chose the values
    weight_decay: PerGroupAndSubnetwork = PerGroupAndSubnetwork(
        text=0.0, text_subnetwork=1e-4, audio=1e-3, vision=1e-4, other=0.0
    )
    text_hidden: int = 64
    text_size: int = 32
    audio_size: int = 32
    vision_size: int = 64
    fusion_hidden: int = 32
    dropout: Rates = Rates(audio=0.3, vision=0.3, fusion=0.5)
    head_hidden: Sizes = Sizes(text=16, audio=4, vision=32)
    head_dropout: SubnetworkRates = SubnetworkRates(text=0.5, audio=0.5, vision=0.5)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_tasks(self)


REFERENCE: dict[str, Any] = FUSION_REFERENCE


class MLFDNNNetwork(UnimodalHeads, LFDNNNetwork):
    """Sub-networks, concatenation, scores.

    Outputs: those of LF-DNN, and `text`, `audio`, `vision` [B], the scores of single modalities.
    """


METHOD = Method(
    name="mlf_dnn",
    paper="Yu et al., ACL 2020 (CH-SIMS): LF-DNN with a task for each modality, on human unimodal labels",
    options=MLFDNNOptions,
    reference=REFERENCE,
    network=MLFDNNNetwork,
    stages=one_stage(objective, weights=weights),
    groups=task_groups,
    heads=heads,
    exports=exports,
    check=check,
    valid_terms=VALID_TERMS,
)
