"""Which samples are from one video, by their ids: such samples are alike, and statistics must know it."""

from collections.abc import Iterable

import numpy as np

SEPARATOR = "$_$"  # between the video and the clip in ids of MMSA and of msa_jax


def videos_of(ids: Iterable[str]) -> np.ndarray:
    """[N] text: the video of each id, which is the id without `$_$CLIP` or numbers at its end.

    If that leaves one video alone, only the last number is that of a clip: `video_0001_0012` is of `video_0001`.
    """
    names = [str(name) for name in ids]
    found = np.array([_video(name) for name in names])
    return found if len(np.unique(found)) > 1 else np.array([_video(name, numbers=1) for name in names])


def _video(name: str, numbers: int | None = None) -> str:
    """Without that many numbers at its end, by default all; the name itself if nothing is left."""
    video, marked, _ = name.partition(SEPARATOR)
    end = len(video)
    while not marked and numbers != 0:
        start = end
        while start > 0 and name[start - 1].isdecimal():
            start -= 1
        if start == end or start == 0 or name[start - 1] != "_":
            break
        end, numbers = start - 1, None if numbers is None else numbers - 1
    return video[:end] or name


def groups_of(ids: Iterable[str], *, least: int | None = None) -> np.ndarray:
    """[N], equal for samples of a video; all different if the ids name fewer than `least` videos.

    By default that is one if all ids have `$_$`, and else two: train_1 and train_2, with one beginning, name no video.
    """
    names = [str(name) for name in ids]
    if least is None:
        least = 1 if all(SEPARATOR in name for name in names) else 2
    videos = videos_of(names)
    return videos if len(np.unique(videos)) >= least else np.arange(len(videos))


def number_of_videos(ids: Iterable[str]) -> int | None:
    """How many videos the ids name; None if they name none, or each its own."""
    groups = groups_of(ids)
    number = len(np.unique(groups))
    return number if number < len(groups) else None
