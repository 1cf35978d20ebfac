"""What the tests of methods share: frames with padding, and parameters that are a function of their paths."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict


def add_frames(
    batch: dict,
    there: Sequence[str],
    shapes: Mapping[str, tuple[int, int]],
    lengths: Mapping[str, Sequence[int]],
    *,
    rows: int,
    extra: int,
    fill: float,
    seed: int = 0,
) -> dict:
    """The batch with features of each modality that is there, `extra` more steps of padding in each, `fill` at padding."""
    rng = np.random.default_rng(seed)
    for name, (steps, width) in shapes.items():
        frames = rng.normal(size=(len(lengths[name]), steps, width)).astype(np.float32)[:rows]
        length = np.array(lengths[name], np.int32)[:rows]
        frames = np.pad(frames, [(0, 0), (0, extra), (0, 0)])
        inside = np.arange(steps + extra) < length[:, None]
        frames[~inside] = fill
        if name in there:
            given = {"mask": inside.astype(np.int32)} if name == "text" else {"length": length}
            batch[name] = {"features": frames, **given}
    return batch


def params_far_from_start(module: Any, batch: dict) -> dict:
    """Parameters far from where they start, each a function of its path and shape, so that networks share them."""
    made = jax.eval_shape(lambda: module.init(jax.random.key(0), batch, train=False))["params"]
    values = {}
    for path, leaf in flatten_dict(made, sep="/").items():
        rng = np.random.default_rng(zlib.crc32(path.encode()))
        values[path] = (0.5 * rng.normal(size=leaf.shape)).astype(np.float32)
    return unflatten_dict(values, sep="/")
