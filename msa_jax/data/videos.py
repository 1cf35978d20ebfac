"""Which samples are from one video, by their ids: such samples are alike, and statistics must know it."""

import re
from collections.abc import Iterable

import numpy as np

SEPARATOR = "$_$"  # between the video and the clip in ids of MMSA and of msa_jax
_CLIP = re.compile(r"\$_\$.*$|(_\d+)+$", re.DOTALL)


def videos_of(ids: Iterable[str]) -> np.ndarray:
    """[N] text: the video of each id, which is the id without `$_$CLIP` or numbers at its end."""
    return np.array([_CLIP.sub("", name) or name for name in map(str, ids)])


def groups_of(ids: Iterable[str], *, least: int = 2) -> np.ndarray:
    """[N], equal for samples of a video; all different if the ids name fewer than `least` videos."""
    videos = videos_of(ids)
    return videos if len(np.unique(videos)) >= least else np.arange(len(videos))
