"""The optimiser: Adam with parameter groups; optax does the work.

All groups share Adam's constants and differ in learning rate and weight decay alone. So the small parameters of all groups
are joined to one vector, which is one long loop instead of many short ones. Large ones, such as the matrices of BERT's layers,
are updated by themselves, those of one shape by one function of the program.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.config import Options
from msa_jax.errors import MethodError
from msa_jax.layers.stack import is_stacked, layer_path
from msa_jax.methods.protocol import Group, Phase

if TYPE_CHECKING:
    import optax  # a fifth of a second to import, which predictions do not need

Array = jax.Array
SMALL = 2**17  # elements; parameters with fewer are joined
JOINED = "joined"  # the key of their vector


def groups_of(
    shapes: Mapping[str, tuple[int, ...]], groups: Sequence[Group], phase: Phase
) -> dict[str, list[str | None]]:
    """Which group each parameter belongs to; None if the phase does not train it.

    Args:
      shapes: of every parameter, by path; stacked layers have a leading axis.
      groups: of the method.
      phase: says what it trains.

    Returns:
      {path: [group]}, or for stacked layers {path: [group of layer 0, of layer 1, ...]}.

    Raises:
      MethodError: a parameter matches no group, so that it would silently never train; two groups share a name; the phase
        trains nothing.
    """
    if len({group.name for group in groups}) < len(groups):
        raise MethodError(f"parameter groups share a name: {[group.name for group in groups]}")

    def find(path: str) -> str | None:
        if not re.search(phase.trains, path) or (phase.frozen is not None and re.search(phase.frozen, path)):
            return None
        name = next((group.name for group in groups if re.search(group.pattern, path)), None)
        if name is None:
            raise MethodError(f"parameter {path} belongs to no group of {[group.name for group in groups]}")
        return name

    found = {
        path: [find(layer_path(path, layer)) for layer in range(shape[0])] if is_stacked(path) else [find(path)]
        for path, shape in shapes.items()
    }
    if shapes and not any(name is not None for names in found.values() for name in names):
        raise MethodError(f"phase {phase.name} trains no parameter")
    return found


def schedule(options: Options, updates: int) -> "optax.Schedule":
    """The factor on every learning rate after n updates: a linear rise, then the shape that the options name."""
    import optax

    rise = round(options.warmup * updates)
    rest = max(updates - rise, 1)
    after: optax.Schedule
    if options.schedule == "linear":
        after = optax.linear_schedule(1.0, 0.0, rest)
    elif options.schedule == "cosine":
        after = optax.cosine_decay_schedule(1.0, rest)
    else:  # "constant"; or "plateau", whose factor is decided between epochs
        after = optax.constant_schedule(1.0)
    if rise == 0:
        return after
    # The first update has a rate too: 1/rise of the full one.
    return optax.join_schedules([optax.linear_schedule(1.0 / rise, 1.0, max(rise - 1, 1)), after], [rise])


class Optimiser(NamedTuple):
    """paths: the parameters that it moves. init: ({path: parameter}) -> state.

    update: (gradient, state, parameters, rate) -> (new parameters, new state), where
    `rate` is a factor on every learning rate."""

    paths: tuple[str, ...]
    init: Callable[[Mapping[str, Array]], Any]
    update: Callable[[Mapping[str, Array], Any, Mapping[str, Array], Array], tuple[dict[str, Array], Any]]


def build_optimiser(
    options: Options, groups: Sequence[Group], assigned: Mapping[str, Sequence[str | None]], updates: int
) -> Optimiser:
    """Adam over a flat dict of parameters.

    Args:
      options: weight decay mode, clipping, schedule.
      groups: learning rate and weight decay of each group; may be traced.
      assigned: the parameters that are trained, from `groups_of`; layers of None keep their values.
      updates: parameter updates in max_epochs, the length of the schedule.
    """
    import optax

    rates = {group.name: group.learning_rate for group in groups}
    decays = {group.name: group.weight_decay for group in groups}
    used = {name for names in assigned.values() for name in names if name is not None}
    # They may be traced, and then nobody knows whether they are 0.
    decayed = any(not isinstance(decays[name], int | float) or decays[name] != 0 for name in used)
    coupled = options.weight_decay_mode == "coupled"
    clips = [] if options.clip_norm is None else [optax.clip_by_global_norm(options.clip_norm)]
    clips += [] if options.clip_value is None else [optax.clip(options.clip_value)]
    adam, factor = optax.scale_by_adam(), schedule(options, updates)

    def init(params: Mapping[str, Array]) -> Any:
        return adam.init(_Layout(params, assigned).join(params))

    @jax.jit  # so that the program holds it once for each shape
    def move(value: Array, change: Array, state: Any, rate: Array, decay: Array | None) -> tuple[Array, Any]:
        if decay is not None and coupled:  # the decay is a part of the gradient, as in torch.optim.Adam
            change = change + decay * value
        change, state = adam.update(change, state)
        if decay is not None and not coupled:
            change = change + decay * value
        return value - rate * change, state

    def update(
        gradient: Mapping[str, Array], state: Any, params: Mapping[str, Array], rate: Array
    ) -> tuple[dict[str, Array], Any]:
        layout = _Layout(params, assigned)
        before, change = layout.join(params), layout.join(_trained(gradient, assigned))
        for clip in clips:
            change, _ = clip.update(change, optax.EmptyState())
        rate, rates_of = rate * factor(state.count), layout.factors(rates)
        decay = layout.factors(decays) if decayed else dict.fromkeys(before)
        after, moved = {}, {}
        for name, value in before.items():
            own = state._replace(mu=state.mu[name], nu=state.nu[name])
            after[name], moved[name] = move(value, change[name], own, rate * rates_of[name], decay[name])
        means, squares = ({name: getattr(one, part) for name, one in moved.items()} for part in ("mu", "nu"))
        return layout.part(after), state._replace(count=moved[next(iter(moved))].count, mu=means, nu=squares)

    return Optimiser(tuple(assigned), init, update)


def from_optax(
    transformation: "optax.GradientTransformation", assigned: Mapping[str, Sequence[str | None]]
) -> Optimiser:
    """An optimiser of optax over the parameters that are trained; assigned: as of `build_optimiser`."""
    import optax

    def update(
        gradient: Mapping[str, Array], state: Any, params: Mapping[str, Array], rate: Array
    ) -> tuple[dict[str, Array], Any]:
        change, state = transformation.update(_trained(gradient, assigned), state, dict(params))
        # Once more, since a decay moves what has no gradient.
        change = _trained({path: rate * leaf for path, leaf in change.items()}, assigned)  # pyright: ignore[reportAttributeAccessIssue] - as of `params`
        return dict(optax.apply_updates(dict(params), change)), state  # pyright: ignore[reportArgumentType]

    return Optimiser(tuple(assigned), lambda params: transformation.init(dict(params)), update)


def _trained(gradient: Mapping[str, Array], assigned: Mapping[str, Sequence[str | None]]) -> dict[str, Array]:
    """A gradient, or what moves parameters: 0 in layers that are not trained."""
    kept = dict(gradient)
    for path, names in assigned.items():
        if None in names:
            mask = np.array([name is not None for name in names], np.float32)
            kept[path] = kept[path] * mask.reshape(-1, *[1] * (kept[path].ndim - 1))
    return kept


class _Layout:
    """Which parameters are joined, in which order: those of a group side by side."""

    def __init__(self, params: Mapping[str, Array], assigned: Mapping[str, Sequence[str | None]]):
        self.shapes = {path: value.shape for path, value in params.items()}
        self.assigned = assigned
        small = [path for path in params if math.prod(self.shapes[path]) < SMALL and len(set(assigned[path])) == 1]
        self.joined = sorted(small, key=lambda path: (str(assigned[path][0]), path))
        self.alone = sorted(set(params) - set(small))

    def join(self, flat: Mapping[str, Array]) -> dict[str, Array]:
        """Arrays by path -> the joined vector, and the others by their paths."""
        together = {path: flat[path] for path in self.alone}
        if self.joined:
            together[JOINED] = jnp.concatenate([flat[path].reshape(-1) for path in self.joined])
        return together

    def part(self, together: Mapping[str, Array]) -> dict[str, Array]:
        """Undoes `join`."""
        flat, start = {path: together[path] for path in self.alone}, 0
        for path in self.joined:
            size = math.prod(self.shapes[path])
            flat[path] = jax.lax.slice_in_dim(together[JOINED], start, start + size).reshape(self.shapes[path])
            start += size
        return {path: flat[path] for path in self.shapes}

    def factors(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """One number for each group -> arrays that multiply what is joined; 0 for layers without a group."""

        def value(name: str | None) -> Array:
            return jnp.asarray(0.0 if name is None else values[name], jnp.float32)

        found: dict[str, Any] = {}
        for path in self.alone:
            names = self.assigned[path]
            if len(set(names)) == 1:
                found[path] = value(names[0])
            else:  # layers of several groups
                rest = [1] * (len(self.shapes[path]) - 1)
                found[path] = jnp.stack([value(name) for name in names]).reshape(-1, *rest)
        if self.joined:
            sizes: dict[str | None, int] = {}
            for path in self.joined:
                name = self.assigned[path][0]
                sizes[name] = sizes.get(name, 0) + math.prod(self.shapes[path])
            found[JOINED] = jnp.concatenate([jnp.full(size, value(name)) for name, size in sizes.items()])
        return found
