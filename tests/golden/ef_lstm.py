"""EF-LSTM: aligned sequences of which every step is read, a norm over steps, evaluation mode; gradients of mean |M - label|."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from msa_jax import config
from msa_jax.methods import ef_lstm
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from tests.golden.copying import Arrays, Comparison, copied, evaluate, gradient_pairs, part

PLACES = {"norm": "norm", "lstm": "lstm/layer_{layer}", "linear": "linear", "out": "score"}


def compare(arrays: Arrays) -> Comparison:
    """The score and all gradients, (ours, theirs)."""
    params = part(arrays, "param")
    text, label = arrays["input/text"], arrays["input/label"]
    rows, steps, width = text.shape
    sizes = {
        "max_tokens": steps,
        "hidden": params["lstm.weight_hh_l0"].shape[1],
        "layers": sum(name.startswith("lstm.weight_hh_l") for name in params),
    }
    options = config.override(ef_lstm.EFLSTMOptions(), {**ef_lstm.METHOD.reference, **sizes})
    frames = {name: arrays[f"input/{name}"] for name in ("audio", "vision")}
    inputs = Inputs(
        text=TextInput(width=width, steps=steps),
        **{name: SequenceInput(*array.shape[1:]) for name, array in frames.items()},
        aligned=True,
    )
    batch: dict[str, Any] = {
        "text": {"features": text, "mask": np.ones((rows, steps), np.int32)},
        **{name: {"features": x, "length": np.full(rows, steps, np.int32)} for name, x in frames.items()},
    }
    parameters, statistics = copied(params, PLACES)
    outputs, gradients = evaluate(
        ef_lstm.EFLSTMNetwork(options, inputs),
        batch,
        parameters,
        loss=lambda outputs: jnp.abs(outputs["prediction"] - label.reshape(-1)).mean(),
        statistics=statistics,
    )
    return {
        "outputs": {"M": (outputs["prediction"][:, None], arrays["output/M"])},
        "gradients": gradient_pairs(gradients, part(arrays, "grad"), PLACES),
    }
