"""Which samples are from one video, by their ids: such samples are alike, and statistics must know it."""

from collections.abc import Iterable

import numpy as np

SEPARATOR = "$_$"  # between the video and the clip in ids of MMSA and of msa_jax


def videos_of(ids: Iterable[str]) -> np.ndarray:
    """[N] text: the video of each id, which is the id without `$_$CLIP` or numbers at its end."""
    return np.array([_video(name) or name for name in map(str, ids)])


def _video(name: str) -> str:
    video, marked, _ = name.partition(SEPARATOR)
    end = len(video)
    while not marked:
        start = end
        while start > 0 and name[start - 1].isdecimal():
            start -= 1
        if start == end or start == 0 or name[start - 1] != "_":
            break
        end = start - 1
    return video[:end]


def groups_of(ids: Iterable[str], *, least: int = 2) -> np.ndarray:
    """[N], equal for samples of a video; all different if the ids name fewer than `least` videos."""
    videos = videos_of(ids)
    return videos if len(np.unique(videos)) >= least else np.arange(len(videos))
