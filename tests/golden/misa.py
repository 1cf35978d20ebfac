"""MISA: BERT's masked mean, audio and vision read for as many steps as there are tokens, evaluation mode; gradients of mean
|M - label|, and the values of the three losses beside it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax import config
from msa_jax.methods import misa
from msa_jax.methods.protocol import Clock, Inputs, SequenceInput, Step, TextInput
from tests.golden.bert import bert_config, bert_places, bert_text
from tests.golden.copying import (
    PROJECTIONS,
    Arrays,
    Comparison,
    copied,
    evaluate,
    gradient_pairs,
    part,
    projections_apart,
    projections_together,
)

_MODALITY = {"t": "text", "v": "vision", "a": "audio"}
_KINDS = {"utt_private_{}": "private", "utt_shared_{}": "shared", "utt_{}_recon": "rebuilt", "utt_{}_orig": "original"}
_LOSSES = {"loss_diff": "difference", "loss_cmd": "similarity", "loss_recon": "reconstruction"}
_ATTENTION = "transformer_encoder.layers.0.self_attn"
_LAYER = {
    **{f"{_ATTENTION}.{name}": name for name in PROJECTIONS},
    f"{_ATTENTION}.out_proj": "output",
    "transformer_encoder.layers.0.linear1": "expand",
    "transformer_encoder.layers.0.linear2": "contract",
    "transformer_encoder.layers.0.norm1": "attention_norm",
    "transformer_encoder.layers.0.norm2": "feedforward_norm",
}
_PLACES: dict[str, str | None] = {
    **{
        f"{letter}rnn{number}": f"{_MODALITY[letter]}_encoder/{which}/{{direction}}"
        for letter in "va"
        for number, which in ((1, "first"), (2, "second"))
    },
    **{f"{letter}layer_norm": f"{_MODALITY[letter]}_encoder/norm" for letter in "va"},
    **{f"project_{letter}.project_{letter}": f"{name}_projection" for letter, name in _MODALITY.items()},
    **{f"project_{letter}.project_{letter}_layer_norm": f"{name}_norm" for letter, name in _MODALITY.items()},
    **{
        f"private_{letter}.private_{letter}_{3 if letter == 'a' else 1}": f"{name}_private"
        for letter, name in _MODALITY.items()
    },
    **{f"recon_{letter}.recon_{letter}_1": f"{name}_rebuilt" for letter, name in _MODALITY.items()},
    "shared.shared_1": "shared",
    **{theirs: f"fusion/layer_0/{ours}" for theirs, ours in _LAYER.items()},
    "fusion.fusion_layer_1": "head",
    "fusion.fusion_layer_3": "score",
    "sp_discriminator": None,  # enters no loss
    "tlayer_norm": None,  # nothing passes through it
}


def compare(arrays: Arrays) -> Comparison:
    """All outputs, losses and gradients, (ours, theirs)."""
    params = projections_apart(part(arrays, "param"))
    bert = bert_config(arrays)
    places = {**bert_places(arrays), **_PLACES}
    sizes = {
        "hidden": params["shared.shared_1.weight"].shape[0],
        "fusion_feedforward": params["transformer_encoder.layers.0.linear1.weight"].shape[0],
    }
    options = config.override(misa.MISAOptions(), {**misa.REFERENCE, **sizes})
    text, label = bert_text(arrays), arrays["input/label"].reshape(-1)
    frames = {name: arrays[f"input/{name}"] for name in ("audio", "vision")}
    inputs = Inputs(
        text=TextInput(width=bert.hidden_size, steps=text["ids"].shape[1], bert=bert),
        **{name: SequenceInput(*array.shape[1:]) for name, array in frames.items()},
    )
    batch: Any = {
        "text": text,
        **{name: {"features": x, "length": np.full(len(x), x.shape[1], np.int32)} for name, x in frames.items()},
        "label": label,
        "weight": np.ones(len(label), np.float32),
    }
    parameters, _ = copied(params, places)
    outputs, gradients = evaluate(
        misa.MISANetwork(options, inputs),
        batch,
        parameters,
        loss=lambda outputs: jnp.abs(outputs["prediction"] - label).mean(),
    )
    step = Step(outputs, batch, {}, Clock(jnp.int32(1), jnp.int32(0)), jax.random.key(0), {})
    terms, _ = misa.objective(step, options, inputs)
    ours = {"M": outputs["prediction"][:, None]}
    ours |= {
        theirs.format(letter): outputs[f"{kind}_{name}"]
        for theirs, kind in _KINDS.items()
        for letter, name in _MODALITY.items()
    }
    ours |= {theirs: jnp.mean(terms[name]) for theirs, name in _LOSSES.items()}
    return {
        "outputs": {name: (value, arrays[f"output/{name}"]) for name, value in ours.items()},
        "gradients": projections_together(
            gradient_pairs(gradients, projections_apart(part(arrays, "grad")), places), part(arrays, "grad")
        ),
    }
