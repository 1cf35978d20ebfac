"""Weights, or gradients, of the PyTorch derivation of SUGRM under the names of msa_jax."""

import itertools
from collections.abc import Mapping, Sequence

import flax.traverse_util
import numpy as np
import torch

NAME = {"t": "text", "a": "audio", "v": "vision"}
LAYERS = {
    "norm_query": "norm", "query": "query", "out": "output", "norm_feed_forward": "feedforward_norm",
    "expand": "expand", "contract": "contract",
}  # fmt: skip
Arrays = dict[str, np.ndarray]


def weights(module: torch.nn.Module) -> Arrays:
    return {name: parameter.detach().numpy().copy() for name, parameter in module.named_parameters()}


def gradients(module: torch.nn.Module) -> Arrays:
    """Parameters that took no part are left out."""
    named = module.named_parameters()
    return {name: parameter.grad.numpy().copy() for name, parameter in named if parameter.grad is not None}


def recalibration(arrays: Mapping[str, np.ndarray]) -> dict:
    """Arrays of a `Recalibration` -> nested parameters."""
    flat = {}
    order = [name for name in ("a", "v", "t") if f"excite.{name}.bias" in arrays]  # of the derivation
    ends = np.cumsum([len(arrays[f"excite.{name}.bias"]) for name in order])
    columns = dict(zip(order, np.split(arrays["squeeze.weight"], ends[:-1], axis=1), strict=True))
    # The means are concatenated in alphabetical order.
    squeeze = np.concatenate([columns[name] for name in sorted(order, key=NAME.get)], axis=1)
    flat["bottleneck/kernel"], flat["bottleneck/bias"] = squeeze.T, arrays["squeeze.bias"]
    for name in order:
        flat[f"{NAME[name]}_excitation/kernel"] = arrays[f"excite.{name}.weight"].T
        flat[f"{NAME[name]}_excitation/bias"] = arrays[f"excite.{name}.bias"]
    return flax.traverse_util.unflatten_dict(flat, sep="/")


def transformer(arrays: Mapping[str, np.ndarray]) -> dict:
    """Arrays of a `PhasedTransformer` -> nested parameters: those of a kind of attention are stacked."""
    letters = [name for name in ("t", "a", "v") if f"input_attention.{name}.query.weight" in arrays]
    rows = dict(zip(letters, arrays["hidden"], strict=True))
    names = sorted(letters, key=NAME.get)
    iteration = {}

    def blocks(
        stage: str, owners: Sequence[str], swapped: Sequence[bool], layers: Mapping[str, str], ours: str
    ) -> None:
        for theirs, layer in layers.items():
            for theirs_kind, kind in (("weight", "scale" if "norm" in theirs else "kernel"), ("bias", "bias")):
                found = []
                for owner, swap in zip(owners, swapped, strict=True):
                    source = {"query": "key", "key": "query"}.get(theirs, theirs) if swap else theirs
                    found.append(arrays[f"{stage}.{owner}.{source}.{theirs_kind}"].T)
                iteration[f"{ours}_{layer}_{kind}"] = np.stack(found)

    straight = [False] * len(names)
    blocks("input_attention", names, straight, LAYERS, "input")
    for number, name in enumerate(names):  # inputs differ in width, and what reads them is not stacked
        for theirs, layer in (("norm_context", "norm"), ("key", "key"), ("value", "value")):
            path = f"input_attention.{name}.{theirs}"
            iteration[f"input_{number}_{layer}"] = {
                "scale" if layer == "norm" else "kernel": arrays[f"{path}.weight"].T,
                "bias": arrays[f"{path}.bias"],
            }
    # The block of a pair asks forward in alphabetical order.
    pairs = list(itertools.combinations(names, 2))
    theirs = {path.split(".")[1] for path in arrays if path.startswith("cross_attention.")}
    swapped = [a + b not in theirs for a, b in pairs]
    owners = [b + a if swap else a + b for (a, b), swap in zip(pairs, swapped, strict=True)]
    if pairs:
        context = {"key": "key", "value": "value", "norm_context": "context_norm"}
        blocks("cross_attention", owners, swapped, {**LAYERS, **context}, "cross")
    # Self attention has no norm of its context: the one in the derivation is without use.
    blocks("self_attention", names, straight, {**LAYERS, "key": "key", "value": "value"}, "own")
    return {
        "hidden": np.stack([rows[name] for name in names]),
        "iteration": iteration,
        "norm": {"scale": arrays["norm.weight"], "bias": arrays["norm.bias"]},
    }


def network(arrays: Mapping[str, np.ndarray]) -> dict:
    """Arrays of a `SUGRMTorch` -> nested parameters of the method's network, without its text encoder."""

    def inside(prefix: str) -> Arrays:
        return {path.removeprefix(prefix): array for path, array in arrays.items() if path.startswith(prefix)}

    nested = {
        "recalibration": recalibration(inside("recalibration.")),
        "sequence_encoder": {"spt": transformer(inside("transformer."))},
    }
    for path, array in inside("heads.").items():
        task, layer, kind = path.split(".")
        owner = "fusion_head" if task == "m" else f"{NAME[task]}_head"
        layer = {"layer_1": "hidden", "layer_2": "feature", "score": "score"}[layer]
        kind = "bias" if kind == "bias" else "kernel"
        nested.setdefault(owner, {}).setdefault(layer, {})[kind] = array.T
    return nested
