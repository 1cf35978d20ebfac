"""What a run is stopped and its best epoch chosen by: a value of the predictions on valid."""

import math

import numpy as np

from msa_jax import metrics
from msa_jax.config import Options


def selection_value(prediction: np.ndarray, label: np.ndarray, valid: dict[str, float], options: Options) -> float:
    """What is minimised on valid; infinite where a metric is not defined.

    "loss" is the mean absolute error over samples, or over batches of batch_size and then over those, as MMSA has it (there
    the batches are shuffled, here they are in order).
    """
    if options.selection == "loss":
        error = np.abs(prediction.astype(np.float64) - label)
        if options.validation_mean == "batches":
            cuts = range(options.batch_size, len(error), options.batch_size)
            value = float(np.mean([part.mean() for part in np.split(error, cuts)]))
        else:
            value = float(error.mean())
    else:
        value = -valid[options.selection] if metrics.HIGHER_IS_BETTER[options.selection] else valid[options.selection]
    if options.validation_decimals is not None:
        value = round(value, options.validation_decimals)
    return value if math.isfinite(value) else math.inf
