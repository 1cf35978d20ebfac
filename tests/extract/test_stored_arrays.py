"""The arrays of the test clips are those that are stored here, whatever Python, PyAV and numpy run.

The numbers come from FFmpeg's decoders, which are in PyAV's wheels, and from numpy. H.264 says every picture to the bit; its
conversion to RGB is exact between builds of FFmpeg for one processor family. Sound (AAC) is decoded in float32, and numpy's
logarithms may differ in their last digits, so features have a tolerance.

`python -m tests.extract.test_stored_arrays` writes the file anew.
"""

import hashlib
import platform
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")

from msa_jax.extract.media import read_frames, read_sound
from msa_jax.extract.speech import speech_features
from tests.extract.material import CLIPS

STORED = CLIPS / "arrays.npz"
NAMES = ("vid00/1", "vid01/1", "vid02/1", "vid03/1")


def arrays_of(name: str) -> dict[str, np.ndarray]:
    """A clip's `speech-v1` [T, 25] float32, and the seconds [P] and SHA-256 of its pictures."""
    clip = CLIPS / "Raw" / f"{name}.mp4"
    digest, seconds = hashlib.sha256(), []
    for picture, at in read_frames(clip, rate=15, most_seconds=60):
        digest.update(picture.tobytes())
        seconds.append(at)
    return {
        "speech": speech_features(read_sound(clip, most_seconds=60)),
        "seconds": np.array(seconds),
        "pictures": np.array(digest.hexdigest()),
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_arrays_of_a_clip_are_the_stored_ones(name):
    found = arrays_of(name)
    with np.load(STORED) as file:
        stored = {key: file[f"{name}/{key}"] for key in found}
    assert found["speech"].dtype == stored["speech"].dtype
    np.testing.assert_allclose(found["speech"], stored["speech"], rtol=1e-5, atol=1e-3)  # of values up to 632
    np.testing.assert_allclose(found["seconds"], stored["seconds"], atol=1e-9)
    if platform.machine() == "x86_64":
        assert str(found["pictures"]) == str(stored["pictures"])


def write(path: Path) -> None:
    """Stores the arrays of all clips."""
    np.savez_compressed(path, **{f"{name}/{key}": array for name in NAMES for key, array in arrays_of(name).items()})


if __name__ == "__main__":
    write(STORED)
