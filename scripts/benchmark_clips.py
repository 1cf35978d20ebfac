"""How fast clips are read: each stage in multiples of real time on one core, and the memory that a long clip takes.

    MSA_JAX_FACE_MODEL=FILE python -m scripts.benchmark_clips

Times are those of the process, so that other programs on the machine count little. The clip is the made one of the tests,
enlarged to 1280 x 720 at 30 pictures a second.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from msa_jax.extract.clip import extract_clip
from msa_jax.extract.face import FaceLandmarker, Square, cut_out
from msa_jax.extract.face_model import find_face_model
from msa_jax.extract.media import read_frames, read_sound
from msa_jax.extract.recipe import Recipe, audio_features, vision_features
from msa_jax.extract.speech import speech_features
from tests.extract.material import TALKING

SECONDS = 10


def write_long_clip(path: Path, seconds: int) -> None:
    """The made clip, over and over, in H.264 and AAC."""
    import av

    small = [picture for picture, _ in read_frames(TALKING, rate=30, most_seconds=2)]
    large = [np.zeros((720, 1280, 3), np.uint8) for _ in small]
    for canvas, picture in zip(large, small, strict=True):
        canvas[:, 280:1000] = cut_out(picture, Square(x=160, y=160, size=320), 720).astype(np.uint8)
    sound = read_sound(TALKING, most_seconds=2)
    with av.open(os.fspath(path), "w") as container:
        video = container.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 1280, 720, "yuv420p"
        audio = container.add_stream("aac", rate=16_000, layout="mono")
        for number in range(30 * seconds):
            container.mux(video.encode(av.VideoFrame.from_ndarray(large[number % len(large)], format="rgb24")))
        container.mux(video.encode())
        repeated = np.resize(sound, 16_000 * seconds)
        for first in range(0, len(repeated), 1024):
            frame = av.AudioFrame.from_ndarray(repeated[None, first : first + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16_000, first
            container.mux(audio.encode(frame))
        container.mux(audio.encode())


def real_time(work: Callable[[], object]) -> float:
    """Seconds of the clip in a second of one core: the best of three."""
    took = []
    for _ in range(3):
        begun = time.process_time()
        work()
        took.append(time.process_time() - begun)
    return SECONDS / min(took)


def peak_megabytes(path: Path, seconds: int) -> float:
    """Of a process that extracts so much of a clip."""
    code = f"from scripts.benchmark_clips import extract_once; extract_once({os.fspath(path)!r}, {seconds})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def extract_once(path: str, seconds: int) -> None:
    """Extracts a clip and prints the peak memory of this process in MB."""
    recipe = Recipe(audio=audio_features("speech-v1"), vision=vision_features("face-v1"), most_seconds=seconds)
    extract_clip(Path(path), recipe, tables={}, landmarker=lambda: FaceLandmarker(find_face_model()))
    # The system's own count would begin with what the parent had.
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    print(int(line.split()[1]) / 1024)


def main() -> None:
    """Prints a table in Markdown."""
    landmarker = FaceLandmarker(find_face_model())
    with tempfile.TemporaryDirectory() as folder:
        clip, long = Path(folder) / "clip.mp4", Path(folder) / "long.mp4"
        write_long_clip(clip, SECONDS)
        sound = read_sound(clip, most_seconds=SECONDS)
        recipe = Recipe(audio=audio_features("speech-v1"), vision=vision_features("face-v1"))

        def frames():
            return read_frames(clip, rate=15, most_seconds=SECONDS)

        stages = {
            "sound, decoded": lambda: read_sound(clip, most_seconds=SECONDS),
            "`speech-v1`": lambda: speech_features(sound),
            "pictures, decoded, 15 a second of 30": lambda: list(frames()),
            "`face-v1`, decoding included": lambda: landmarker.follow(frames(), rate=15, points=False),
            "all of it": lambda: extract_clip(clip, recipe, tables={}, landmarker=lambda: landmarker),
        }
        try:
            from msa_jax.extract.egemaps import egemaps_features

            stages["`egemaps-v02`"] = lambda: egemaps_features(sound)
            egemaps_features(sound)
        except ValueError:
            pass
        print("| stage | × real time on one core |\n|---|---|")
        for name, work in stages.items():
            print(f"| {name} | {real_time(work):.1f} |")
        write_long_clip(long, 120)
        peaks = {seconds: peak_megabytes(long, seconds) for seconds in (10, 60, 120)}
        print("peak memory: " + ", ".join(f"{peak:.0f} MB for {seconds} s" for seconds, peak in peaks.items()))


if __name__ == "__main__":
    main()
