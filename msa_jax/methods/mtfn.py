"""MTFN: TFN with a task for each modality, for datasets with human unimodal labels.

Paper and reference code: those of `shared.human_tasks`, which says what the tasks are, their loss and what differs from the
code; the network in front of them is TFN (`methods.tfn`).

The way of a batch. TFN's sub-networks embed each modality: z_t, z_a, z_v. TFN's fusion gives the multimodal score, squashed
into the label range; a head on each embedding gives a score of that modality alone, which nothing bounds.

Sizes, rates and decay are those of MMSA for SIMS; a decay that its configuration has for the layers behind the sub-networks
never reaches its optimiser. Its weights of the tasks there, .6, .4, 0 and 1, stand in the presets: by
default all tasks weigh the same.
"""

from dataclasses import dataclass
from typing import Any, Literal

from msa_jax.config import PerGroup
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
from msa_jax.methods.tfn import TFNNetwork, TFNOptions


@dataclass(frozen=True, kw_only=True)
class MTFNOptions(HumanTasks, TFNOptions):
    """Options of MTFN: those of TFN and of the tasks."""

    batch_size: int = 64
    learning_rate: PerGroup = PerGroup(text=5e-5, audio=5e-3, vision=5e-3, other=5e-3)
    weight_decay_mode: Literal["decoupled", "coupled"] = "coupled"  # as it was when MMSA chose the values
    weight_decay: PerGroupAndSubnetwork = PerGroupAndSubnetwork(
        text=0.0, text_subnetwork=1e-3, audio=1e-4, vision=1e-5, other=0.0
    )
    text_hidden: int = 256
    text_size: int = 256
    vision_size: int = 256
    dropout: Rates = Rates(audio=0.2, vision=0.2, fusion=0.2)
    head_hidden: Sizes = Sizes(text=64, audio=4, vision=8)
    head_dropout: SubnetworkRates = SubnetworkRates(text=0.2, audio=0.2, vision=0.2)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_tasks(self)


REFERENCE: dict[str, Any] = {"output_range": "published", **FUSION_REFERENCE}


class MTFNNetwork(UnimodalHeads, TFNNetwork):
    """Sub-networks, fused tensor, scores.

    Outputs: those of TFN, and `text`, `audio`, `vision` [B], the scores of single modalities.
    """


METHOD = Method(
    name="mtfn",
    paper="Yu et al., ACL 2020 (CH-SIMS): TFN with a task for each modality, on human unimodal labels",
    options=MTFNOptions,
    reference=REFERENCE,
    network=MTFNNetwork,
    stages=one_stage(objective, weights=weights),
    groups=task_groups,
    heads=heads,
    exports=exports,
    check=check,
    valid_terms=VALID_TERMS,
)
