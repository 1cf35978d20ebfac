"""Graph-MFN: text states, audio and vision on one time axis, every step read, evaluation mode; gradients of mean |M - label|.

The networks of the vertices, which MMSA does not register, stand in the file as `vertex_ta/0.weight` and so on, without
gradients."""

import jax.numpy as jnp

from msa_jax import config
from msa_jax.methods import graph_mfn
from tests.golden.copying import Arrays, Comparison, copied, evaluate, gradient_pairs, part
from tests.golden.mfn import GATES, LSTMS, MODALITY, SCORE, aligned_inputs, memory_sizes

_VERTICES = {"ta": "text_audio", "tv": "text_vision", "av": "audio_vision", "tav": "text_audio_vision"}
PLACES = {
    **LSTMS,
    **GATES,
    **SCORE,
    **{f"{letter}_transform": f"graph/{name}_singleton" for letter, name in MODALITY.items()},
    "graph_mfn.efficacy_model.0": "graph/efficacies_1",
    "graph_mfn.efficacy_model.1.0": "graph/efficacies_2",
    "graph_mfn.efficacy_model.2": "graph/efficacies",
    "graph_mfn.t_network.0": "graph/top_hidden",
    "graph_mfn.t_network.1.0": "graph/top_output",
    **{f"vertex_{theirs}/0": f"graph/vertex_{ours}_hidden" for theirs, ours in _VERTICES.items()},
    **{f"vertex_{theirs}/1.0": f"graph/vertex_{ours}_output" for theirs, ours in _VERTICES.items()},
}


def compare(arrays: Arrays) -> Comparison:
    """The score and all gradients, (ours, theirs)."""
    params = part(arrays, "param")
    inputs, batch = aligned_inputs(arrays)
    changes = {
        **graph_mfn.METHOD.reference,
        **memory_sizes(params),
        "vertex": params["graph_mfn.t_network.1.0.weight"].shape[0],
        "vertex_hidden": params["graph_mfn.t_network.0.weight"].shape[0],
        "score_hidden": params["out_fc1.weight"].shape[0],
        "max_tokens": inputs.text.steps,
    }
    options = config.override(graph_mfn.GraphMFNOptions(), changes)
    parameters, _ = copied(params, PLACES)
    outputs, gradients = evaluate(
        graph_mfn.GraphMFNNetwork(options, inputs),
        batch,
        parameters,
        loss=lambda outputs: jnp.abs(outputs["prediction"] - batch["label"]).mean(),
    )
    return {
        "outputs": {"M": (outputs["prediction"][:, None], arrays["output/M"])},
        "gradients": gradient_pairs(gradients, part(arrays, "grad"), PLACES),
    }
