"""The audio recipe `egemaps-v02`: the 25 low-level descriptors of eGeMAPSv02, by openSMILE (Eyben et al., 2016).

openSMILE is free for research and education alone: its licence excludes commercial use, of models trained on its features too.
"""

import functools
import warnings
from typing import Any

import numpy as np

from msa_jax.errors import InputError, install

RATE = 100  # frames a second


def names() -> tuple[str, ...]:
    """Of the 25 values. Raises InputError if openSMILE is not installed."""
    return tuple(_smile().feature_names)


def egemaps_features(sound: np.ndarray) -> np.ndarray:
    """The low-level descriptors every 10 ms.  # [T, 25] float32

    Args:
      sound: [n] f32 at 16 kHz, of 60 ms at least: openSMILE makes NaN of less.
    """
    return _smile().process_signal(sound, 16_000).to_numpy(np.float32)


@functools.cache
def _smile() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import opensmile
    except ImportError:
        raise InputError(f"egemaps-v02 needs openSMILE: {install('opensmile')}") from None
    level = opensmile.FeatureLevel.LowLevelDescriptors
    return opensmile.Smile(feature_set=opensmile.FeatureSet.eGeMAPSv02, feature_level=level)
