"""MMIM: ids into BERT, own lengths of audio and vision, bidirectional LSTMs, evaluation mode; gradients of
mean |M - label| + 0.1 nce - 0.1 lld, without memory and entropy."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from msa_jax import config
from msa_jax.methods import mmim
from msa_jax.methods.protocol import Clock, Inputs, SequenceInput, Step, TextInput
from tests.golden.bert import bert_config, bert_places, bert_text
from tests.golden.copying import Arrays, Comparison, copied, evaluate, gradient_pairs, part

PLACES = {
    "acoustic_enc.rnn": "audio_encoder/lstm/{direction}",
    "acoustic_enc.linear_1": "audio_encoder/projection",
    "visual_enc.rnn": "vision_encoder/lstm/{direction}",
    "visual_enc.linear_1": "vision_encoder/projection",
    "fusion_prj.linear_1": "fusion_hidden",
    "fusion_prj.linear_2": "fusion",
    "fusion_prj.linear_3": "score",
    **{f"cpc_z{name[0]}.net": f"{name}_cpc" for name in ("text", "audio", "vision")},
    **{
        f"mi_t{y[0]}.{theirs}": f"text_{y}_{ours}"
        for y in ("audio", "vision")
        for theirs, ours in {
            "mlp_mu.0": "bound/mean_hidden",
            "mlp_mu.2": "bound/mean",
            "mlp_logvar.0": "bound/log_variance_hidden",
            "mlp_logvar.2": "bound/log_variance",
            "entropy_prj.0": "entropy",
        }.items()
    },
}


def compare(arrays: Arrays) -> Comparison:
    """All outputs and gradients, (ours, theirs)."""
    params, label = part(arrays, "param"), arrays["input/label"].reshape(-1)
    bert, text = bert_config(arrays), bert_text(arrays)
    sizes = {
        "audio_hidden": params["acoustic_enc.rnn.weight_hh_l0"].shape[1],
        "vision_hidden": params["visual_enc.rnn.weight_hh_l0"].shape[1],
        "audio_size": params["acoustic_enc.linear_1.weight"].shape[0],
        "vision_size": params["visual_enc.linear_1.weight"].shape[0],
        "width": params["fusion_prj.linear_2.weight"].shape[0],
        "bidirectional": any("_reverse" in name for name in params),
        "batch_size": len(label),
    }
    options = config.override(mmim.MMIMOptions(), {**mmim.REFERENCE, **sizes})
    frames = {name: arrays[f"input/{name}"] for name in ("audio", "vision")}
    inputs = Inputs(
        text=TextInput(width=bert.hidden_size, steps=text["ids"].shape[1], bert=bert),
        **{name: SequenceInput(*array.shape[1:]) for name, array in frames.items()},
    )
    batch: dict[str, Any] = {
        "text": text,
        **{
            name: {"features": x, "length": arrays[f"input/{name}_length"].astype(np.int32)}
            for name, x in frames.items()
        },
        "label": label,
        "weight": np.ones(len(label), np.float32),
    }
    first, main = mmim.stages(options, inputs)[0].phases
    memory = mmim.init_memory(options, inputs, {})
    clock = Clock(jnp.int32(1), jnp.int32(0))

    def terms(outputs: Any, phase: Any) -> dict[str, Any]:
        step = Step(outputs, batch, memory, clock, jnp.zeros((), jnp.uint32), {})
        found, _ = phase.objective(step, options, inputs)
        return {name: term.mean() for name, term in found.items()}

    def loss(outputs: Any) -> Any:
        # MMSA's likelihood has gradients for q and for all else; here each phase gives one of the two.
        weight = mmim.weights(options, inputs, memory, clock)
        total = sum(weight.get(name, 1.0) * term for name, term in terms(outputs, main).items())
        return total + weight["likelihood"] * terms(outputs, first)["bound"]

    places = {**PLACES, **bert_places(arrays)}
    parameters, _ = copied(params, places)
    outputs, gradients = evaluate(mmim.MMIMNetwork(options, inputs), batch, parameters, loss)
    ours = {
        "M": outputs["prediction"][:, None],
        "nce": terms(outputs, main)["cpc"],
        "lld": -terms(outputs, main)["likelihood"],
        **{f"Feature_{name[0]}": state for name, state in outputs["states"].items()},
        "Feature_f": outputs["representation"],
    }
    return {
        "outputs": {name: (value, arrays[f"output/{name}"]) for name, value in ours.items()},
        "gradients": gradient_pairs(gradients, part(arrays, "grad"), places),
    }
