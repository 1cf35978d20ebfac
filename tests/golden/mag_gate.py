"""The gate of MAG-BERT alone: embeddings, vision and audio of the same positions -> fused embeddings."""

from msa_jax.layers.adaptation_gate import AdaptationGate
from tests.golden.copying import Arrays, Comparison, copied, evaluate, gradient_pairs, part

PLACES = {
    "W_hv": "vision_gate",
    "W_ha": "audio_gate",
    "W_v": "vision_shift",
    "W_a": "audio_shift",
    "LayerNorm": "norm",
}


def compare(arrays: Arrays) -> Comparison:
    """Ours and MMSA's fused embeddings, and the gradients of the mean of their squares."""
    parameters, _ = copied(part(arrays, "param"), PLACES)
    given = {name: arrays[f"input/{name}"] for name in ("vision", "audio")}
    fused, gradients = evaluate(
        AdaptationGate(beta=1.0),
        arrays["input/embedding"],
        parameters,
        lambda fused: (fused**2).mean(),
        frames=given,
        deterministic=True,
    )
    return {
        "outputs": {"fused": (fused, arrays["output/fused"])},
        "gradients": gradient_pairs(gradients, part(arrays, "grad"), PLACES),
    }
