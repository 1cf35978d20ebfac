"""The optimiser: Adam with parameter groups, built from options; optax does the work."""

import re
from collections.abc import Mapping

import jax
import optax

from msa_jax.config import Options
from msa_jax.methods.protocol import Group, Stage

Array = jax.Array
Flat = Mapping[str, Array]  # parameters by path, as in `text_encoder/bert/pooler/kernel`


def assign_groups(paths: list[str], groups: tuple[Group, ...], stage: Stage) -> dict[str, str | None]:
    """The group of each parameter path; None where the stage freezes it.

    Raises:
      ValueError: a parameter matches no group, so that it would silently never train; or two groups share a name.
    """
    if len({group.name for group in groups}) < len(groups):
        raise ValueError(f"parameter groups share a name: {[group.name for group in groups]}")
    assigned: dict[str, str | None] = {}
    for path in paths:
        if stage.frozen is not None and re.search(stage.frozen, path):
            assigned[path] = None
            continue
        name = next((group.name for group in groups if re.search(group.pattern, path)), None)
        if name is None:
            raise ValueError(f"parameter {path} belongs to no group of {[group.name for group in groups]}")
        assigned[path] = name
    return assigned


def schedule(options: Options, updates: int) -> optax.Schedule:
    """The factor on every learning rate after n updates: a linear rise, then the shape that the options name."""
    rise = round(options.warmup * updates)
    rest = max(updates - rise, 1)
    after: optax.Schedule
    if options.schedule == "linear":
        after = optax.linear_schedule(1.0, 0.0, rest)
    elif options.schedule == "cosine":
        after = optax.cosine_decay_schedule(1.0, rest)
    else:
        after = optax.constant_schedule(1.0)
    if rise == 0:
        return after
    # The first update has a rate too: 1/rise of the full one.
    return optax.join_schedules([optax.linear_schedule(1.0 / rise, 1.0, max(rise - 1, 1)), after], [rise])


def build_optimiser(
    options: Options, groups: tuple[Group, ...], assigned: Mapping[str, str | None], updates: int
) -> optax.GradientTransformation:
    """Adam over a flat dict of the trainable parameters.

    Args:
      options: weight decay mode, clipping, schedule.
      groups: learning rate and weight decay of each group.
      assigned: from `assign_groups`.
      updates: parameter updates in max_epochs, the length of the schedule.
    """
    factor = schedule(options, updates)

    def of_group(group: Group) -> optax.GradientTransformation:
        adam = optax.scale_by_adam()
        # Coupled: the decay is a part of the gradient and goes through Adam's moments, as in torch.optim.Adam.
        none = isinstance(group.weight_decay, int | float) and group.weight_decay == 0  # it may be traced
        decay = [] if none else [optax.add_decayed_weights(group.weight_decay)]
        parts = [*decay, adam] if options.weight_decay_mode == "coupled" else [adam, *decay]
        return optax.chain(*parts, optax.scale_by_learning_rate(lambda count: group.learning_rate * factor(count)))

    used = {name for name in assigned.values() if name is not None}
    labels = {path: name for path, name in assigned.items() if name is not None}
    grouped = optax.partition({group.name: of_group(group) for group in groups if group.name in used}, labels)
    return grouped if options.clip_norm is None else optax.chain(optax.clip_by_global_norm(options.clip_norm), grouped)
