"""TFN: text states of every step, time means of audio and vision, evaluation mode; gradients of mean |M - label|.

`compared` is the comparison of all fusion networks: LMF and LF-DNN differ in what is behind the sub-networks; the multi-task
forms have a head for each modality, and gradients of the sum over M, T, A, V of mean |score - label|.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from msa_jax import config
from msa_jax.methods import tfn
from msa_jax.methods.protocol import Inputs, Method, SequenceInput, TextInput
from tests.golden.copying import Arrays, Comparison, copied, evaluate, gradient_pairs, part

SUBNETWORKS = {
    "audio_subnet": "audio_encoder",
    "video_subnet": "vision_encoder",
    "text_subnet.rnn": "text_subnetwork/lstm",
    "text_subnet.linear_1": "text_subnetwork/linear",
}


def head_places(theirs: str, ours: str) -> dict[str, str]:
    """The three layers of a head."""
    names = ("linear_1", "linear_2", "score")
    return {f"post_{theirs}_layer_{number}": f"{ours}_head/{name}" for number, name in enumerate(names, 1)}


FUSION_HEAD = head_places("fusion", "fusion")
HEADS = {**head_places("text", "text"), **head_places("audio", "audio"), **head_places("video", "vision")}
PLACES = {**SUBNETWORKS, **FUSION_HEAD}
# Constants of MMSA that are registered as parameters: a sigmoid is multiplied by the first, and the second added.
_CONSTANTS = ("output_range", "output_shift")


def compare(arrays: Arrays) -> Comparison:
    """All outputs and gradients, (ours, theirs)."""
    return compared(arrays, tfn.METHOD, PLACES)


def compared(
    arrays: Arrays,
    method: Method,
    places: Mapping[str, str],
    *,
    bare: Mapping[str, str] | None = None,
    sizes: Mapping[str, Any] | None = None,
) -> Comparison:
    """All outputs and gradients of a fusion network.

    Args:
      arrays: of the file.
      method: in the reference protocol.
      places: of MMSA's modules in our network.
      bare: {MMSA's name: our path} of parameters that belong to no module; ours have no axis of size 1, or a single one.
      sizes: options beside the sizes of embeddings and heads.

    Raises:
      ValueError: scores squashed into another range than MMSA's.
    """
    bare, params = bare or {}, part(arrays, "param")
    _check_range([float(params.pop(name)[0]) for name in _CONSTANTS if name in params])
    text, label = arrays["input/text"], arrays["input/label"]
    frames = {name: arrays[f"input/{name}"] for name in ("audio", "vision")}
    inputs = Inputs(
        text=TextInput(width=text.shape[2], steps=text.shape[1]),
        **{name: SequenceInput(*array.shape[1:]) for name, array in frames.items()},
        columns=("label_t", "label_a", "label_v"),
    )
    batch: dict[str, Any] = {
        "text": {"features": text, "mask": np.ones(text.shape[:2], np.int32)},
        **{name: {"features": x, "length": np.full(len(x), x.shape[1], np.int32)} for name, x in frames.items()},
    }
    changes = {"max_tokens": text.shape[1], **_sizes(params, places), **(sizes or {})}
    options = config.override(method.options(), {**method.reference, **changes})
    heads = method.head_names(options, inputs)

    of_modules = {name: value for name, value in params.items() if name not in bare}
    parameters, statistics = copied(of_modules, places)
    parameters |= {path: params[name].reshape(-1) for name, path in bare.items()}
    factors = {path: params[name] for name, path in bare.items() if path.endswith("_factor")}
    parameters |= {path: factor.reshape(factor.shape[:2]) for path, factor in factors.items()}
    outputs, gradients = evaluate(
        method.network(options, inputs, jnp.dtype("float32")),
        batch,
        parameters,
        loss=lambda outputs: sum(jnp.abs(outputs[name] - label.reshape(-1)).mean() for name in heads),
        statistics=statistics,
    )
    ours = {{"prediction": "M"}.get(name, name[0].upper()): outputs[name][:, None] for name in heads}
    ours |= {f"Feature_{name[0]}": outputs[f"{name}_embedding"] for name in inputs.modalities}
    ours["Feature_f"] = outputs["fused"]
    theirs = part(arrays, "grad")
    pairs = gradient_pairs(gradients, {name: value for name, value in theirs.items() if name not in bare}, places)
    pairs |= {name: (gradients[path].reshape(theirs[name].shape), theirs[name]) for name, path in bare.items()}
    return {
        "outputs": {name: (ours[name], value) for name, value in part(arrays, "output").items() if name in ours},
        "gradients": pairs,
    }


def _check_range(constants: list[float]) -> None:
    if constants:
        scale, shift = constants
        if (shift, shift + scale) != tfn.PUBLISHED_RANGE:
            raise ValueError(f"scores in ({shift}, {shift + scale}); MMSA has {tfn.PUBLISHED_RANGE}")


def _sizes(params: Arrays, places: Mapping[str, str]) -> dict[str, int]:
    """Options that say how wide each layer is."""
    kinds = {
        "text_size": "text_subnet.linear_1",
        "audio_size": "audio_subnet.linear_1",
        "vision_size": "video_subnet.linear_1",
        "fusion_hidden": "post_fusion_layer_1",
        "head_hidden.text": "post_text_layer_1",
        "head_hidden.audio": "post_audio_layer_1",
        "head_hidden.vision": "post_video_layer_1",
    }
    sizes = {
        option: params[f"{layer}.weight"].shape[0]
        for option, layer in kinds.items()
        if any(layer.startswith(module) for module in places)
    }
    return {"text_hidden": params["text_subnet.rnn.weight_hh_l0"].shape[1], **sizes}
