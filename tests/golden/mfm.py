"""MFM: text states, audio and vision on one time axis, every step read and written again, evaluation mode; gradients of mean
|M - label| and the weighted squared errors, without the discrepancy, whose draw is random."""

from typing import Any

import jax
import jax.numpy as jnp

from msa_jax import config
from msa_jax.methods import mfm
from msa_jax.methods.protocol import Clock, Step
from tests.golden.copying import Arrays, Comparison, copied, evaluate, gradient_pairs, part
from tests.golden.mfn import FUSION, MODALITY, aligned_inputs, memory_sizes

_FACTORS = {"y": "label", **MODALITY}
# What `note` says; these are MMSA's for MOSI and the defaults.
WEIGHTS = {"weights.text": 0.5, "weights.audio": 0.01, "weights.vision": 0.5}
PLACES: dict[str, str | None] = {
    **{f"mfn_encoder.{theirs}": ours for theirs, ours in FUSION.items()},
    "mfn_encoder.out_fc1": None,  # MFN's score, which MFM does not read
    "mfn_encoder.out_fc2": None,
    **{f"encoder_{letter}.lstm": f"encoders/{name}_lstm" for letter, name in MODALITY.items()},
    **{f"encoder_{letter}.fc1": f"{name}_code" for letter, name in MODALITY.items()},
    "last_to_zy_fc1": "label_code",
    **{f"z{letter}_to_f{letter}_fc1": f"{name}_factor/hidden" for letter, name in _FACTORS.items()},
    **{f"z{letter}_to_f{letter}_fc2": f"{name}_factor/output" for letter, name in _FACTORS.items()},
    **{f"decoder_{letter}.lstm": f"decoders/{name}_lstm" for letter, name in MODALITY.items()},
    **{f"decoder_{letter}.fc1": f"decoders/{name}_output" for letter, name in MODALITY.items()},
    "fy_to_y_fc1": "score/hidden",
    "fy_to_y_fc2": "score/output",
}


def compare(arrays: Arrays) -> Comparison:
    """The score, the weighted squared errors and all gradients, (ours, theirs)."""
    params = part(arrays, "param")
    inputs, batch = aligned_inputs(arrays)
    changes = {
        **mfm.METHOD.reference,
        **memory_sizes(params, "mfn_encoder."),
        **{f"code.{name}": params[f"z{letter}_to_f{letter}_fc1.weight"].shape[1] for letter, name in _FACTORS.items()},
        **{
            f"factor.{name}": params[f"z{letter}_to_f{letter}_fc1.weight"].shape[0] for letter, name in _FACTORS.items()
        },
        **WEIGHTS,
        "max_tokens": inputs.text.steps,
    }
    options = config.override(mfm.MFMOptions(), changes)
    first = Clock(jnp.int32(1), jnp.int32(0))

    def generation(outputs: Any) -> jax.Array:
        terms, _ = mfm.objective(Step(outputs, batch, {}, first, jax.random.key(0), {}), options, inputs)
        weights = mfm.weights(options, inputs, {}, first)
        return sum(weights[name] * term.mean() for name, term in terms.items() if name.endswith("_generation"))

    parameters, _ = copied(params, PLACES)
    outputs, gradients = evaluate(
        mfm.MFMNetwork(options, inputs),
        batch,
        parameters,
        loss=lambda outputs: jnp.abs(outputs["prediction"] - batch["label"]).mean() + generation(outputs),
    )
    ours = {"M": outputs["prediction"][:, None], "generation": generation(outputs)}
    return {
        "outputs": {name: (value, arrays[f"output/{name}"]) for name, value in ours.items()},
        "gradients": gradient_pairs(gradients, part(arrays, "grad"), PLACES),
    }
