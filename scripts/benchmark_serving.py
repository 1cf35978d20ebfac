"""Our side of serving: a trained Self-MM is loaded, and scores one sample after another, each process anew.

Nothing of JAX is imported before the clock runs.
"""

import os
import time
from pathlib import Path
from typing import Any

SEED = 1111
SAMPLES = 40  # of which each is scored alone


def use_cache(folder: str) -> None:
    """Makes JAX, which is not imported yet, keep its compiled programs in this folder, all of them."""
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"  # as the command has it


class OurExperiment:
    """One epoch of Self-MM on the built-in dataset, with a pretrained text encoder, in `folder`."""

    def __init__(self, folder: str, text_encoder: str, cache: str):
        use_cache(cache)
        from msa_jax import train

        train(
            "self_mm", "synthetic", seeds=[SEED], out=folder, log=None, preset="none", text_encoder=text_encoder,
            options={"max_epochs": 1},
        )  # fmt: skip

    def samples(self, file: str) -> None:
        """Writes the samples that both sides score: raw text, audio, vision and their lengths."""
        import numpy as np

        from msa_jax import load_dataset

        test = load_dataset("synthetic").test.take(slice(SAMPLES))
        names = ("raw_text", "audio", "audio_length", "vision", "vision_length")
        np.savez(file, **{name: getattr(test, name) for name in names})


class OurServing:
    """A fresh process that scores. folder: of the experiment. samples: of `OurExperiment.samples`."""

    def __init__(self, folder: str, samples: str, cache: str):
        use_cache(cache)
        self._folder, self._file = folder, samples
        self._samples: list[Any] = []

    def load(self) -> float:
        """Seconds until the trained model is there, imports included."""
        begun = time.perf_counter()
        import msa_jax

        self._predictor = msa_jax.Predictor.load(self._folder)
        took = time.perf_counter() - begun
        import numpy as np

        with np.load(self._file, allow_pickle=False) as file:
            split = msa_jax.Split(**{name: file[name] for name in file.files})
        self._samples = [split.take([row]) for row in range(len(split))]
        return took

    def first(self) -> float:
        """Seconds of the first score."""
        return self._score(self._samples[:1])

    def further(self) -> float:
        """Seconds of a further score: the mean over all samples, after programs for all their lengths are there."""
        self._score(self._samples)
        return self._score(self._samples) / len(self._samples)

    def _score(self, samples: list[Any]) -> float:
        begun = time.perf_counter()
        for sample in samples:
            self._predictor.predict(sample)
        return time.perf_counter() - begun


def folders(root: str) -> tuple[str, str, str]:
    """Where the experiment, the samples and the compiled programs go."""
    return tuple(str(Path(root) / name) for name in ("experiment", "samples.npz", "cache"))  # pyright: ignore[reportReturnType]
