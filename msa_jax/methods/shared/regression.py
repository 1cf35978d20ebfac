"""What many methods share that regress on the human label alone: their loss, and what of their networks can be exported."""

from typing import Any

from msa_jax import losses
from msa_jax.methods.protocol import Inputs, Step, Terms


def objective(step: Step, options: Any, inputs: Inputs) -> tuple[Terms, Any]:
    """L1 on the human label."""
    return {"multimodal": losses.l1(step.outputs["prediction"], step.batch["label"])}, step.memory


def embedding_names(inputs: Inputs) -> tuple[str, ...]:
    """The outputs that are embeddings of the modalities there are."""
    return tuple(f"{name}_embedding" for name in inputs.modalities)


def exports(options: Any, inputs: Inputs) -> tuple[str, ...]:
    """The embeddings of the modalities there are, and what the score is read off."""
    return (*embedding_names(inputs), "representation")
