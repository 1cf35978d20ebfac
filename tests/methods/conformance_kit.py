"""The conformance suite on the methods of msa_jax, at sizes that compile in seconds."""

from functools import lru_cache

from msa_jax import methods
from msa_jax.testing import Conformance
from msa_jax.testing.conformance import QUICK as FOR_ALL
from tests.methods.small import SMALL

# Without these, scores stay constant in the steps of the suite. TETFN, which reads padding, needs a lower rate of its text. The
# codes of MFM are as small as its sizes here, and their discrepancy is 100 times as heavy as the score. Coupled decay takes
# the weights of EF-LSTM to zero before its four LSTMs, one on top of the other, have passed anything on.
REFERENCE_CHANGES = {
    "ef_lstm": {"weight_decay.other": 0.0},
    "mfm": {"weights.discrepancy": 1.0},
    "tetfn": {"learning_rate.text": 2e-4},
}


@lru_cache(maxsize=1)  # the checks of a method follow each other, and its programs need not outlive them
def conformance(name: str, protocol: str = "default") -> Conformance:
    method = methods.get(name)
    reference = method.reference if protocol == "reference" else {}
    # Sizes of mini-batches, texts and trainings stay those of the suite, and an epoch of three mini-batches has an update.
    kept = {option: value for option, value in reference.items() if option not in FOR_ALL}
    fewer = {"accumulate": 2} if "accumulate" in reference else {}
    own = REFERENCE_CHANGES.get(name, {}) if protocol == "reference" else {}
    return Conformance(method, {**kept, **fewer, **SMALL.get(name, {}), **own})
