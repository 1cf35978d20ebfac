"""TFN: text states of every step, time means of audio and vision, evaluation mode; gradients of mean |M - label|."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from msa_jax import config
from msa_jax.methods import tfn
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from tests.golden.copying import Arrays, Comparison, copied, evaluate, gradient_pairs, part

PLACES = {
    "audio_subnet": "audio_encoder",
    "video_subnet": "vision_encoder",
    "text_subnet.rnn": "text_subnetwork/lstm",
    "text_subnet.linear_1": "text_subnetwork/linear",
    "post_fusion_layer_1": "fusion_head/linear_1",
    "post_fusion_layer_2": "fusion_head/linear_2",
    "post_fusion_layer_3": "fusion_head/score",
}
# Constants of MMSA that are registered as parameters: a sigmoid is multiplied by the first, and the second added.
_CONSTANTS = ("output_range", "output_shift")


def compare(arrays: Arrays) -> Comparison:
    """All outputs and gradients, (ours, theirs).

    Raises:
      ValueError: scores squashed into another range than MMSA's.
    """
    params = part(arrays, "param")
    scale, shift = (float(params.pop(name)[0]) for name in _CONSTANTS)
    if (shift, shift + scale) != tfn.PUBLISHED_RANGE:
        raise ValueError(f"scores in ({shift}, {shift + scale}); MMSA has {tfn.PUBLISHED_RANGE}")

    def size(layer: str) -> int:
        return params[f"{layer}.weight"].shape[0]

    text, label = arrays["input/text"], arrays["input/label"]
    sizes = {
        "max_tokens": text.shape[1],
        "text_hidden": params["text_subnet.rnn.weight_hh_l0"].shape[1],
        "text_size": size("text_subnet.linear_1"),
        "audio_size": size("audio_subnet.linear_1"),
        "vision_size": size("video_subnet.linear_1"),
        "fusion_hidden": size("post_fusion_layer_1"),
    }
    options = config.override(tfn.TFNOptions(), {**tfn.REFERENCE, **sizes})
    frames = {name: arrays[f"input/{name}"] for name in ("audio", "vision")}
    inputs = Inputs(
        text=TextInput(width=text.shape[2], steps=text.shape[1]),
        **{name: SequenceInput(*array.shape[1:]) for name, array in frames.items()},
    )
    batch: dict[str, Any] = {
        "text": {"features": text, "mask": np.ones(text.shape[:2], np.int32)},
        **{name: {"features": x, "length": np.full(len(x), x.shape[1], np.int32)} for name, x in frames.items()},
    }
    parameters, statistics = copied(params, PLACES)
    network = tfn.TFNNetwork(options, inputs)
    outputs, gradients = evaluate(
        network,
        batch,
        parameters,
        loss=lambda outputs: jnp.abs(outputs["prediction"] - label.reshape(-1)).mean(),
        statistics=statistics,
    )
    ours = {
        "M": outputs["prediction"][:, None],
        "Feature_t": outputs["text_embedding"],
        "Feature_a": outputs["audio_embedding"],
        "Feature_v": outputs["vision_embedding"],
        "Feature_f": outputs["fused"],
    }
    return {
        "outputs": {name: (value, arrays[f"output/{name}"]) for name, value in ours.items()},
        "gradients": gradient_pairs(gradients, part(arrays, "grad"), PLACES),
    }
