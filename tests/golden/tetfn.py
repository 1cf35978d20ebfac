"""TETFN: BERT's states, LSTMs and convolutions, everything read up to the padded end, evaluation mode; gradients of the sum
over M, T, A and V of mean |score - label|. Three heads, as MMSA's file has them."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from msa_jax import config
from msa_jax.methods import tetfn
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from tests.golden.bert import bert_config, bert_places, bert_text
from tests.golden.copying import (
    Arrays,
    Comparison,
    copied,
    evaluate,
    gradient_pairs,
    part,
    projections_apart,
    projections_together,
)
from tests.golden.mult import HEADS, transformer_places

_MODALITY = {"l": "text", "a": "audio", "v": "vision"}
_SCORES = {"M": "prediction", "T": "text", "A": "audio", "V": "vision"}
_TASKS = {"fusion": ("fusion", "m"), "text": ("text", "t"), "audio": ("audio", "a"), "video": ("vision", "v")}
_FEATURES = {"Feature_f": "m", "Feature_t": "t", "Feature_a": "a", "Feature_v": "v"}
_CONVOLUTIONS = {
    "proj_l.weight": "text_projection/kernel",
    "audio_model.conv.weight": "audio_encoder_projection/kernel",
    "video_model.conv.weight": "vision_encoder_projection/kernel",
}
_PLACES = {
    **{
        f"post_{theirs}_layer_{number}": f"{ours}_head/{layer}"
        for theirs, (ours, _) in _TASKS.items()
        for number, layer in ((1, "feature"), (2, "middle"), (3, "score"))
    },
    "audio_model.rnn": "audio_encoder",
    "video_model.rnn": "vision_encoder",
}


def compare(arrays: Arrays) -> Comparison:
    """All outputs and gradients, (ours, theirs)."""
    params = {
        name: value
        for name, value in part(arrays, "param").items()
        if not name.endswith((".version", "embed_positions._float_tensor"))
    }
    places: dict[str, str | None] = {**bert_places(arrays), **_PLACES}
    for letter, name in _MODALITY.items():
        places |= transformer_places(f"trans_{letter}_mem", f"{name}_memory", params)
        for other in set(_MODALITY) - {letter}:
            theirs, ours = f"trans_{letter}_with_{other}", f"{name}_from_{_MODALITY[other]}"
            places |= transformer_places(theirs, ours, params)
            for half in ("lower", "upper"):
                places |= transformer_places(f"{theirs}.{half}_mha", f"{ours}_{half}", params)
    text, label = bert_text(arrays), arrays["input/label"].reshape(-1)
    kernels = dict(zip(("text", "audio", "vision"), _CONVOLUTIONS, strict=True))
    sizes = {
        "max_tokens": text["ids"].shape[1],
        "audio_hidden": params["audio_model.rnn.weight_hh_l0"].shape[1],
        "vision_hidden": params["video_model.rnn.weight_hh_l0"].shape[1],
        "width": params["trans_l_with_a.layer_norm.weight"].shape[0],
        "heads": HEADS,
        **{f"kernels.{name}": params[theirs].shape[2] for name, theirs in kernels.items()},
        **{
            f"feature_size.{task}": params[f"post_{theirs}_layer_1.weight"].shape[0]
            for theirs, (_, task) in _TASKS.items()
        },
    }
    options = config.override(tetfn.TETFNOptions(), {**tetfn.REFERENCE, **sizes})
    bert = bert_config(arrays)
    frames = {name: arrays[f"input/{name}"] for name in ("audio", "vision")}
    inputs = Inputs(
        text=TextInput(width=bert.hidden_size, steps=text["ids"].shape[1], bert=bert),
        **{name: SequenceInput(*array.shape[1:]) for name, array in frames.items()},
    )
    batch: dict[str, Any] = {
        "text": text,
        **{name: {"features": x, "length": np.full(len(x), x.shape[1], np.int32)} for name, x in frames.items()},
    }
    rest = {name: value for name, value in params.items() if name not in _CONVOLUTIONS}
    parameters, _ = copied(projections_apart(rest), places)
    parameters |= {path: params[name].transpose(2, 1, 0) for name, path in _CONVOLUTIONS.items()}
    outputs, gradients = evaluate(
        tetfn.TETFNNetwork(options, inputs),
        batch,
        parameters,
        loss=lambda outputs: sum(jnp.abs(outputs[name] - label).mean() for name in _SCORES.values()),
    )
    ours = {theirs: outputs[name][:, None] for theirs, name in _SCORES.items()}
    ours |= {theirs: outputs["features"][task] for theirs, task in _FEATURES.items()}
    theirs = part(arrays, "grad")
    # PyTorch's embedding never moves the vector of [PAD], which is read here; ours does.
    words = next(path for path in gradients if path.endswith("word/embedding"))
    gradients[words] = np.concatenate([np.zeros_like(gradients[words][:1]), gradients[words][1:]])
    pairs = {name: (gradients[path].transpose(2, 1, 0), theirs.pop(name)) for name, path in _CONVOLUTIONS.items()}
    pairs |= projections_together(gradient_pairs(gradients, projections_apart(theirs), places), theirs)
    return {"outputs": {name: (value, arrays[f"output/{name}"]) for name, value in ours.items()}, "gradients": pairs}
