"""Weights of a PyTorch network by the names of ours, and the gradients back."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict

import jax
import numpy as np
from flax import linen as nn
from flax import traverse_util

from msa_jax.layers.stack import stack, unstack
from msa_jax.methods.protocol import STATISTICS
from tests.quick import quick_jit

Arrays = Mapping[str, np.ndarray]
Pairs = dict[str, tuple[Any, Any]]
Places = Mapping[str, str | None]

# Names of torch.nn.LSTMCell's parameters, and of torch.nn.LSTM's without the layer and the direction.
_LSTM = {"weight_ih": "input", "weight_hh": "recurrent", "bias_ih": "input_bias", "bias_hh": "recurrent_bias"}
# Of torch.nn.MultiheadAttention, in the order in which it stacks them in one matrix.
PROJECTIONS = ("query", "key", "value")
_STATISTICS = {"running_mean": "mean", "running_var": "var"}


class Comparison(TypedDict):
    """Pairs (ours, theirs) of outputs, and of gradients by the names of PyTorch's parameters."""

    outputs: Pairs
    gradients: Pairs


def part(arrays: Arrays, kind: str) -> dict[str, np.ndarray]:
    """The arrays of one kind, "param", "input", "output" or "grad", by their names."""
    return {key.removeprefix(f"{kind}/"): value for key, value in arrays.items() if key.startswith(f"{kind}/")}


def projections_apart(named: Arrays) -> dict[str, np.ndarray]:
    """PyTorch's arrays with `in_proj_weight` and `in_proj_bias` of every attention as those of query, key and value."""
    apart: dict[str, np.ndarray] = {}
    for name, value in named.items():
        owner, found, kind = name.rpartition("in_proj_")
        three = (
            {f"{owner}{each}.{kind}": one for each, one in zip(PROJECTIONS, np.split(value, 3), strict=True)}
            if found
            else {}
        )
        apart |= three or {name: value}
    return apart


def projections_together(pairs: Pairs, names: Iterable[str]) -> Pairs:
    """Undoes `projections_apart` in pairs (ours, theirs); names: of PyTorch's arrays, before they were apart."""
    together = dict(pairs)
    for name in names:
        owner, found, kind = name.rpartition("in_proj_")
        if found:
            ours, theirs = zip(*(together.pop(f"{owner}{each}.{kind}") for each in PROJECTIONS), strict=True)
            together[name] = np.concatenate(ours), np.concatenate(theirs)
    return together


def place(name: str, rank: int, places: Places) -> tuple[str, bool] | None:
    """Where a parameter of PyTorch lies in our tree, and whether it is transposed there.

    Args:
      name: of the parameter, as in `audio_subnet.norm.running_mean`.
      rank: the number of its axes, which tells a norm's weight from a kernel.
      places: {PyTorch module: path of our module, or None where ours has no such module}. The longest module that the
        name begins with counts. For a torch.nn.LSTM of two directions or of several layers the path names {direction}
        (forward, backward) or {layer} (0, 1, ...) in braces.

    Returns:
      The path and whether to transpose; None for a module that ours lacks.

    Raises:
      KeyError: a name that no module of `places` has.
    """
    owners = [module for module in places if name.startswith(f"{module}.")]
    if not owners:
        raise KeyError(f"{name}: no place for it in our network")
    owner = max(owners, key=len)
    path = places[owner]
    if path is None:
        return None
    *inner, leaf = name.removeprefix(f"{owner}.").split(".")
    path = "/".join([path, *inner])
    if leaf.startswith(tuple(_LSTM)):
        backward = leaf.endswith("_reverse")
        kind, _, layer = leaf.removesuffix("_reverse").partition("_l")
        path = path.format(direction="backward" if backward else "forward", layer=layer)
        return f"{path}/{_LSTM[kind]}", rank == 2
    if leaf == "weight" and rank == 1:
        return f"{path}/scale", False
    if leaf == "weight":
        return (f"{path}/embedding", False) if "embeddings" in owner else (f"{path}/kernel", True)
    return f"{path}/{_STATISTICS.get(leaf, leaf)}", False


def copied(named: Arrays, places: Places) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Our parameters and our running statistics, by path with layers apart, from PyTorch's arrays by name."""
    parameters: dict[str, np.ndarray] = {}
    statistics: dict[str, np.ndarray] = {}
    for name, value in named.items():
        if name.endswith(".num_batches_tracked"):  # counted by PyTorch, used by nothing
            continue
        found = place(name, value.ndim, places)
        if found is not None:
            path, transposed = found
            into = statistics if name.split(".")[-1] in _STATISTICS else parameters
            into[path] = value.T if transposed else value
    return parameters, statistics


def gradient_pairs(gradients: Mapping[str, Any], theirs: Arrays, places: Places) -> Pairs:
    """Our gradients by path beside PyTorch's by name, in its layouts."""
    pairs: Pairs = {}
    for name, value in theirs.items():
        found = place(name, value.ndim, places)
        if found is not None:
            path, transposed = found
            ours = np.asarray(gradients[path])
            pairs[name] = ours.T if transposed else ours, value
    return pairs


def evaluate(
    network: nn.Module,
    batch: Any,
    parameters: Mapping[str, Any],
    loss: Callable[[Any], jax.Array],
    statistics: Mapping[str, Any] | None = None,
    **call: Any,
) -> tuple[Any, dict[str, np.ndarray]]:
    """One evaluation of a network with given weights.

    Args:
      network: called as `network(batch, **call)`.
      batch: what it is given.
      parameters, statistics: by path, the layers of stacked ones apart.
      loss: of what the network gives, a scalar.
      call: keywords of the call; `train=False` unless given.

    Returns:
      What the network gives, and the gradient of the loss for every parameter, by path with layers apart.

    Raises:
      KeyError: a parameter of the network that is not given.
      ValueError: one that is of another shape, or that the network does not have.
    """
    call = call or {"train": False}
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), batch, **call))
    given = {"params": parameters, STATISTICS: statistics or {}}
    variables = {name: _tree(given[name], shapes.get(name, {})) for name in given}

    def objective(params: Any) -> tuple[jax.Array, Any]:
        outputs = network.apply({**variables, "params": params}, batch, **call)
        return loss(outputs), outputs

    gradient, outputs = quick_jit(jax.grad(objective, has_aux=True))(variables["params"])
    flat = unstack(traverse_util.flatten_dict(gradient, sep="/"))
    return outputs, {path: np.asarray(value) for path, value in flat.items()}


def _tree(flat: Mapping[str, Any], shapes: Any) -> Any:
    """Arrays by path as the tree of a network, whose shapes they must have."""
    wanted = traverse_util.flatten_dict(shapes, sep="/")
    whole = stack(flat, wanted)
    known = unstack({path: np.empty(shape.shape[:1]) for path, shape in wanted.items()})
    if extra := sorted(set(flat) - set(known)):
        raise ValueError(f"{', '.join(extra)}: no such parameters in our network")
    for path, value in whole.items():
        if np.shape(value) != wanted[path].shape:
            raise ValueError(f"{path}: shape {np.shape(value)}; our network has {wanted[path].shape}")
    return traverse_util.unflatten_dict({path: np.asarray(value, np.float32) for path, value in whole.items()}, sep="/")
