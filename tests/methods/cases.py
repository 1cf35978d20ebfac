"""What the tests of methods share: frames with padding, parameters that are a function of their paths, steps and phases."""

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from msa_jax import config, methods
from msa_jax.layers.stack import unstack
from msa_jax.methods.protocol import Clock, Inputs, Method, Phase, SequenceInput, Stage, Step, TextInput

FIRST = Clock(epoch=jnp.int32(1), step=jnp.int32(0))
WIDTHS = {"mosi": (5, 20), "mosei": (74, 35), "sims": (33, 709)}  # of audio and vision frames in MMSA's files


def with_copies(batch: Mapping[str, Any], masked: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """These modalities of the batch, and behind its samples the same ones with other features [B, L, d]."""
    return {
        name: {field: np.concatenate([x, features if field == "features" else x]) for field, x in batch[name].items()}
        for name, features in masked.items()
    }


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


def made_by_mmsa_preset(name: str) -> tuple[Any, dict]:
    """The network of the preset `METHOD_DATASET_mmsa` on aligned features of MMSA's widths, and shapes of its parameters."""
    preset = config.load_preset(name)
    method = methods.get(preset.method)
    options = config.override(method.options(), {**method.reference, **preset.options})
    steps, (audio, vision) = options.max_tokens, WIDTHS[name.split("_")[-2]]
    frames = {"audio": SequenceInput(steps, audio), "vision": SequenceInput(steps, vision)}
    network = method.network(
        options, Inputs(text=TextInput(width=768, steps=steps), **frames, aligned=True), jnp.dtype("float32")
    )
    one = np.ones(1, np.int32)
    batch = {
        "text": {"features": np.zeros((1, steps, 768), np.float32), "mask": np.ones((1, steps), np.int32)},
        "audio": {"features": np.zeros((1, steps, audio), np.float32), "length": one},
        "vision": {"features": np.zeros((1, steps, vision), np.float32), "length": one},
    }
    return network, jax.eval_shape(lambda: network.init(jax.random.key(0), batch, train=False))["params"]


def parameter_count(params: dict) -> int:
    """The number of parameters of this tree, of arrays or of shapes."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def params_far_from_start(module: Any, batch: dict) -> dict:
    """Parameters far from where they start, each a function of its path and shape, so that networks share them."""
    made = jax.eval_shape(lambda: module.init(jax.random.key(0), batch, train=False))["params"]
    values = {}
    for path, leaf in flatten_dict(made, sep="/").items():
        rng = np.random.default_rng(zlib.crc32(path.encode()))
        values[path] = (0.5 * rng.normal(size=leaf.shape)).astype(np.float32)
    return unflatten_dict(values, sep="/")


def step_of(outputs: Mapping[str, Any], batch: Any, memory: Any = None, clock: Clock = FIRST) -> Step:
    """What an objective sees of a batch, of a network without statistics."""
    return Step(outputs, batch, {} if memory is None else memory, clock, jax.random.key(0), {})


def phase_of(method: Method, options: Any, inputs: Inputs, stage: int = -1) -> Phase:
    """The only phase of a stage, by default the last."""
    (phase,) = method.stages(options, inputs)[stage].phases
    return phase


def by_layer(tree: Any) -> dict[str, Any]:
    """Parameters or gradients by path, with the layers of stacked ones apart."""
    return unstack(flatten_dict(tree, sep="/"))


def trained_by(stage: Stage, paths: Iterable[str]) -> set[str]:
    """The paths of the parameters that a stage of one phase trains."""
    (phase,) = stage.phases
    return {
        path
        for path in paths
        if re.search(phase.trains, path) and not (phase.frozen is not None and re.search(phase.frozen, path))
    }


def has_partners(stage: Stage) -> bool:
    """Whether the only phase of a stage gives samples partners."""
    (phase,) = stage.phases
    return phase.partners is not None
