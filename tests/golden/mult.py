"""MulT: text states, audio and vision of lengths of their own, padding read as data, evaluation mode; gradients of mean
|M - label|. Three heads, as MMSA's file has them, whatever the width is."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from msa_jax import config
from msa_jax.methods import mult
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from tests.golden.copying import (
    PROJECTIONS,
    Arrays,
    Comparison,
    Places,
    copied,
    evaluate,
    gradient_pairs,
    part,
    projections_apart,
    projections_together,
)

HEADS = 3
_MODALITY = {"l": "text", "a": "audio", "v": "vision"}


def transformer_places(theirs: str, ours: str, params: Arrays) -> dict[str, str]:
    """Where the parts of a Transformer of MMSA lie in one of our `CrossModalEncoder`."""
    layers = {
        int(name.split(".")[len(theirs.split(".")) + 1]) for name in params if name.startswith(f"{theirs}.layers.")
    }
    places = {f"{theirs}.layer_norm": f"{ours}/transformer/norm"}
    for layer in layers:
        source, target = f"{theirs}.layers.{layer}", f"{ours}/transformer/layer_{layer}"
        places |= {f"{source}.self_attn.{name}": f"{target}/{name}" for name in PROJECTIONS}
        places |= {
            f"{source}.self_attn.out_proj": f"{target}/output",
            f"{source}.fc1": f"{target}/expand",
            f"{source}.fc2": f"{target}/contract",
            f"{source}.layer_norms.0": f"{target}/attention_norm",
            f"{source}.layer_norms.1": f"{target}/feedforward_norm",
        }
    return places


def compare(arrays: Arrays) -> Comparison:
    """All outputs and gradients, (ours, theirs)."""
    params = {name: value for name, value in part(arrays, "param").items() if not name.endswith(".version")}
    places: Places = {
        **{f"proj_{letter}": f"{name}_projection" for letter, name in _MODALITY.items()},
        "proj1": "head/residual/hidden",
        "proj2": "head/residual/output",
        "out_layer": "head/score",
    }
    for letter, name in _MODALITY.items():
        places |= transformer_places(f"trans_{letter}_mem", f"{name}_memory", params)
        for other in set(_MODALITY) - {letter}:
            theirs, ours = f"trans_{letter}_with_{other}", f"{name}_from_{_MODALITY[other]}"
            places |= transformer_places(theirs, ours, params)
    text, label = arrays["input/text"], arrays["input/label"].reshape(-1)
    sizes = {
        "max_tokens": text.shape[1],
        "width": params["trans_l_with_a.layer_norm.weight"].shape[0],
        "heads": HEADS,
        "layers": 1 + max(int(name.split(".")[2]) for name in params if name.startswith("trans_l_with_a.layers.")),
        **{f"kernels.{name}": params[f"proj_{letter}.weight"].shape[2] for letter, name in _MODALITY.items()},
    }
    options = config.override(mult.MulTOptions(), {**mult.REFERENCE, **sizes})
    frames = {name: arrays[f"input/{name}"] for name in ("audio", "vision")}
    inputs = Inputs(
        text=TextInput(width=text.shape[2], steps=text.shape[1]),
        **{name: SequenceInput(*array.shape[1:]) for name, array in frames.items()},
    )
    batch: dict[str, Any] = {
        "text": {"features": text, "mask": np.ones(text.shape[:2], np.int32)},
        **{name: {"features": x, "length": np.full(len(x), x.shape[1], np.int32)} for name, x in frames.items()},
    }
    convolutions = {f"proj_{letter}.weight": f"{name}_projection/kernel" for letter, name in _MODALITY.items()}
    parameters, _ = copied(projections_apart({k: v for k, v in params.items() if k not in convolutions}), places)
    parameters |= {path: params[name].transpose(2, 1, 0) for name, path in convolutions.items()}
    outputs, gradients = evaluate(
        mult.MulTNetwork(options, inputs),
        batch,
        parameters,
        loss=lambda outputs: jnp.abs(outputs["prediction"] - label).mean(),
    )
    ours = {"M": outputs["prediction"][:, None]}
    ours |= {
        f"Feature_{letter}": outputs[f"{name}_embedding"]
        for letter, name in (("t", "text"), ("a", "audio"), ("v", "vision"))
    }
    theirs = part(arrays, "grad")
    pairs = {name: (gradients[path].transpose(2, 1, 0), theirs.pop(name)) for name, path in convolutions.items()}
    pairs |= projections_together(gradient_pairs(gradients, projections_apart(theirs), places), theirs)
    return {"outputs": {name: (value, arrays[f"output/{name}"]) for name, value in ours.items()}, "gradients": pairs}
