"""MFN: text states, audio and vision on one time axis, every step read, evaluation mode; gradients of mean |M - label|."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from msa_jax import config
from msa_jax.methods import mfn
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from tests.golden.copying import Arrays, Comparison, copied, evaluate, gradient_pairs, part

MODALITY = {"l": "text", "a": "audio", "v": "vision"}
GATES = {
    "att2_fc1": "memory/proposal/hidden",
    "att2_fc2": "memory/proposal/output",
    "gamma1_fc1": "memory/retain_hidden",
    "gamma1_fc2": "memory/retain_output",
    "gamma2_fc1": "memory/update_hidden",
    "gamma2_fc2": "memory/update_output",
}
LSTMS = {f"lstm_{letter}": f"lstms/{name}_lstm" for letter, name in MODALITY.items()}
SCORE = {"out_fc1": "score/hidden", "out_fc2": "score/output"}
# Of everything but the score, in MFN and in the MFN that MFM holds.
FUSION = {
    theirs: f"fusion/{ours}"
    for theirs, ours in {
        **LSTMS,
        "att1_fc1": "attention/logits/hidden",
        "att1_fc2": "attention/logits/output",
        **GATES,
    }.items()
}
PLACES = {**FUSION, **SCORE}


def memory_sizes(params: Arrays, prefix: str = "") -> dict[str, int]:
    """The options that say how large LSTMs, memory and gates are."""

    def size(layer: str) -> int:
        return params[f"{prefix}{layer}.weight"].shape[0]

    hidden = {f"hidden.{name}": params[f"{prefix}lstm_{of}.weight_hh"].shape[1] for of, name in MODALITY.items()}
    layers = {"proposal": "att2_fc1", "retain": "gamma1_fc1", "update": "gamma2_fc1"}
    layers |= {"attention": "att1_fc1"} if f"{prefix}att1_fc1.weight" in params else {}
    return {**hidden, "memory": size("att2_fc2"), **{f"layer.{ours}": size(theirs) for ours, theirs in layers.items()}}


def aligned_inputs(arrays: Arrays) -> tuple[Inputs, dict[str, Any]]:
    """Shapes, and a batch in which every step counts."""
    text, label = arrays["input/text"], arrays["input/label"].reshape(-1)
    frames = {name: arrays[f"input/{name}"] for name in ("audio", "vision")}
    inputs = Inputs(
        text=TextInput(width=text.shape[2], steps=text.shape[1]),
        **{name: SequenceInput(*array.shape[1:]) for name, array in frames.items()},
        aligned=True,
    )
    batch: dict[str, Any] = {
        "text": {"features": text, "mask": np.ones(text.shape[:2], np.int32)},
        **{name: {"features": x, "length": np.full(len(x), x.shape[1], np.int32)} for name, x in frames.items()},
        "label": label,
        "weight": np.ones(len(label), np.float32),
    }
    return inputs, batch


def compare(arrays: Arrays) -> Comparison:
    """All outputs and gradients, (ours, theirs). The file's audio and vision change over time, as MMSA's network would read
    them if its data loader let it."""
    params = part(arrays, "param")
    inputs, batch = aligned_inputs(arrays)
    changes = {
        **mfn.METHOD.reference,
        **memory_sizes(params),
        "score_hidden": params["out_fc1.weight"].shape[0],
        "constant_sequences": False,
        "max_tokens": inputs.text.steps,
    }
    options = config.override(mfn.MFNOptions(), changes)
    parameters, _ = copied(params, PLACES)
    outputs, gradients = evaluate(
        mfn.MFNNetwork(options, inputs),
        batch,
        parameters,
        loss=lambda outputs: jnp.abs(outputs["prediction"] - batch["label"]).mean(),
    )
    ours = {"M": outputs["prediction"][:, None], "L": outputs["representation"]}
    return {
        "outputs": {name: (value, arrays[f"output/{name}"]) for name, value in ours.items()},
        "gradients": gradient_pairs(gradients, part(arrays, "grad"), PLACES),
    }
