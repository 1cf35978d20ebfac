"""Self-MM: BERT's [CLS], packed LSTMs over audio and vision, evaluation mode; gradients of the sum over M, T, A and V of
mean |score - label|."""

import jax.numpy as jnp
import numpy as np

from msa_jax import config
from msa_jax.methods import self_mm
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from tests.golden.bert import bert_config, bert_places, bert_text
from tests.golden.copying import Arrays, Comparison, copied, evaluate, gradient_pairs, part

_SCORES = {"M": "prediction", "T": "text", "A": "audio", "V": "vision"}
_TASKS = {"fusion": ("fusion", "m"), "text": ("text", "t"), "audio": ("audio", "a"), "video": ("vision", "v")}
_FEATURES = {"Feature_f": "m", "Feature_t": "t", "Feature_a": "a", "Feature_v": "v"}
_PLACES = {
    f"post_{theirs}_layer_{number}": f"{ours}_head/{layer}"
    for theirs, (ours, _) in _TASKS.items()
    for number, layer in ((1, "feature"), (2, "middle"), (3, "score"))
} | {
    f"{theirs}_model.{module}": f"{ours}_{path}"
    for theirs, ours in (("audio", "audio"), ("video", "vision"))
    for module, path in (("rnn", "encoder"), ("linear_1", "encoder_projection"))
}


def compare(arrays: Arrays) -> Comparison:
    """All outputs and gradients, (ours, theirs)."""
    params = part(arrays, "param")
    bert = bert_config(arrays)
    places = {**bert_places(arrays), **_PLACES}

    def size(layer: str) -> int:
        return params[f"{layer}.weight"].shape[0]

    sizes = {
        "audio_hidden": params["audio_model.rnn.weight_hh_l0"].shape[1],
        "vision_hidden": params["video_model.rnn.weight_hh_l0"].shape[1],
        "audio_size": size("audio_model.linear_1"),
        "vision_size": size("video_model.linear_1"),
        **{f"feature_size.{task}": size(f"post_{theirs}_layer_1") for theirs, (_, task) in _TASKS.items()},
    }
    options = config.override(self_mm.SelfMMOptions(), {**self_mm.REFERENCE, **sizes})
    text, label = bert_text(arrays), arrays["input/label"].reshape(-1)
    frames = {name: arrays[f"input/{name}"] for name in ("audio", "vision")}
    inputs = Inputs(
        text=TextInput(width=bert.hidden_size, steps=text["ids"].shape[1], bert=bert),
        **{name: SequenceInput(*array.shape[1:]) for name, array in frames.items()},
    )
    batch = {
        "text": text,
        **{
            name: {"features": array, "length": np.asarray(arrays[f"input/{name}_length"], np.int32)}
            for name, array in frames.items()
        },
    }
    parameters, _ = copied(params, places)
    outputs, gradients = evaluate(
        self_mm.SelfMMNetwork(options, inputs),
        batch,
        parameters,
        loss=lambda outputs: sum(jnp.abs(outputs[name] - label).mean() for name in _SCORES.values()),
    )
    ours = {theirs: outputs[name][:, None] for theirs, name in _SCORES.items()}
    ours |= {theirs: outputs["features"][task] for theirs, task in _FEATURES.items()}
    return {
        "outputs": {name: (value, arrays[f"output/{name}"]) for name, value in ours.items()},
        "gradients": gradient_pairs(gradients, part(arrays, "grad"), places),
    }
