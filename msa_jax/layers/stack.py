"""Layers of one kind, stacked: a loop walks them in the program, and people still call them by their numbers.

The parameters of a stack lie under `layers` and have a leading axis of layers, as in
`audio_encoder/transformer/layers/query/kernel` [L, D, D]. Files, parameter groups and frozen patterns say
`audio_encoder/transformer/layer_0/query/kernel` [D, D], and so on.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

STACK = "layers"


def is_stacked(path: str) -> bool:
    """Whether the parameter at this path has a leading axis of layers."""
    return STACK in path.split("/")


def layer_path(path: str, layer: int) -> str:
    """The name of one layer's part of a stacked parameter: `a/layers/b` and 2 give `a/layer_2/b`."""
    parts = path.split("/")
    parts[parts.index(STACK)] = f"layer_{layer}"
    return "/".join(parts)


def layer_paths(shapes: Mapping[str, Any]) -> list[str]:
    """The paths of parameters, with the layers of every stacked one apart. Arrays, or their shapes and dtypes."""
    return [
        name
        for path, value in shapes.items()
        for name in ([layer_path(path, layer) for layer in range(value.shape[0])] if is_stacked(path) else [path])
    ]


def unstack(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters by path, with the layers of every stacked one apart. Arrays of any kind that can be indexed."""
    apart: dict[str, Any] = {}
    for path, value in flat.items():
        if is_stacked(path):
            apart |= {layer_path(path, layer): value[layer] for layer in range(value.shape[0])}
        else:
            apart[path] = value
    return apart


def stack(flat: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """Parameters by these paths, made from ones whose layers are apart; undoes `unstack`.

    Raises:
      KeyError: a path of which `flat` has nothing.
    """
    together: dict[str, Any] = {}
    for path in paths:
        if not is_stacked(path):
            together[path] = flat[path]
            continue
        layers = []
        while layer_path(path, len(layers)) in flat:
            layers.append(flat[layer_path(path, len(layers))])
        if not layers:
            raise KeyError(layer_path(path, 0))
        together[path] = np.stack([np.asarray(layer) for layer in layers])
    return together
