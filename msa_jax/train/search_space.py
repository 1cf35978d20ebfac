"""The points of a sweep: grids, random draws, and the papers' own grids."""

import difflib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from msa_jax import config
from msa_jax.errors import InputError
from msa_jax.literals import read_literal

Point = dict[str, Any]  # options by name
MOST = 100_000


@dataclass(frozen=True, kw_only=True)
class Draw:
    """A range that values are drawn from: uniform in [low, high], or in its logarithm."""

    low: float
    high: float
    log: bool = False


def parse_grid(words: Sequence[str], options: Any) -> dict[str, list[Any]]:
    """`weights.sentiment=0.8,0.9,1.0` and names of grids as {option: values}.

    The values of an option that is itself a list are parted by `/`: `contrast=uni,cross/uni`.

    Raises:
      InputError: no such grid or option, a value that does not fit, one twice, or an option in two places.
    """
    known, grid = config.flatten(options), {}
    for word in words:
        name, equals, values = word.partition("=")
        between = "/" if isinstance(known.get(name), tuple) else ","
        found = {name: values.split(between)} if equals else load_grid(word)
        for option, texts in found.items():
            if option in grid:
                raise InputError(f"grid: option {option} is given twice")
            grid[option] = grid_values(option, texts, options)
    return grid


def parse_draws(words: Sequence[str], options: Any) -> dict[str, Draw]:
    """`learning_rate.other=1e-4:1e-2:log` as {option: Draw}.

    Raises:
      InputError: not of that form, or an option that is no number.
    """
    known, draws = config.flatten(options), {}
    for word in words:
        name, _, values = word.partition("=")
        parts = values.split(":")
        try:
            low, high = (float(part) for part in parts[:2])
            log = parts[2:] == ["log"]
            if len(parts) > 2 + log or not (math.isfinite(low) and low < high < math.inf) or (log and low <= 0):
                raise ValueError
        except ValueError:
            raise InputError(
                f"draw {word!r}; expected OPTION=LOW:HIGH or OPTION=LOW:HIGH:log, with LOW < HIGH"
            ) from None
        config.override(options, {name: low})
        if not isinstance(known[name], float):
            raise InputError(f"draw {word!r}: option {name} is no real number; give its values with --grid")
        if name in draws:
            raise InputError(f"draw: option {name} is given twice")
        draws[name] = Draw(low=low, high=high, log=log)
    return draws


def load_grid(name: str) -> dict[str, list[Any]]:
    """A grid of a paper, by the name of its file in configs/grids.

    Raises:
      InputError: there is none of that name, or it is no dict of options and lists.
    """
    folder = config.configs_folder() / "grids"
    names = sorted(path.stem for path in folder.glob("*.py"))
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.3) or names
        raise InputError(f"grid {name!r}: neither OPTION=VALUE,VALUE nor a grid that there is: {', '.join(near)}")
    _, grid = read_literal(folder / f"{name}.py", "GRID")
    if not isinstance(grid, dict) or not all(isinstance(values, list | tuple) for values in grid.values()):
        raise InputError(f"grid {name}: expected a dict of options and lists of values")
    return {option: list(values) for option, values in grid.items()}


def make_points(
    grid: Mapping[str, Sequence[Any]], draws: Mapping[str, Draw], *, count: int | None, seed: int
) -> list[Point]:
    """The points of a sweep, each once.

    Args:
      grid: {option: values}.
      draws: {option: range}.
      count: how many points are drawn at random, from grid and ranges; None takes the whole grid.
      seed: of the draws.

    Raises:
      InputError: nothing to vary, ranges without a count, too many points.
    """
    if not grid and not draws:
        raise InputError("nothing to vary: give --grid or --draw")
    if both := sorted(grid.keys() & draws.keys()):
        raise InputError(f"option {both[0]} is in the grid and drawn; expected one of them")
    size = math.prod(len(values) for values in grid.values())
    if count is None:
        if draws:
            raise InputError("values that are drawn need --points, how many")
        if size > MOST:
            raise InputError(f"the grid has {size} points; give --points to draw some of them")
        return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    if not 0 < count <= MOST:
        raise InputError(f"points is {count}; expected a number from 1 to {MOST}")
    if not draws and count > size:
        raise InputError(f"points is {count}, but the grid has {size}; leave it out to take all")
    rng = np.random.default_rng(seed)
    if not draws:
        shape = [len(values) for values in grid.values()]
        chosen = [np.unravel_index(number, shape) for number in sorted(rng.choice(size, count, replace=False))]
        return [
            {name: values[place] for (name, values), place in zip(grid.items(), places, strict=True)}
            for places in chosen
        ]
    points = []
    for _ in range(count):
        point = {name: values[rng.integers(len(values))] for name, values in grid.items()}
        points.append(point | {name: _drawn(rng, draw) for name, draw in draws.items()})
    return points


def _drawn(rng: np.random.Generator, draw: Draw) -> float:
    if draw.log:
        value = math.exp(rng.uniform(math.log(draw.low), math.log(draw.high)))
    else:
        value = rng.uniform(draw.low, draw.high)
    return float(f"{value:.4g}")  # a number that a person can write down again


def grid_values(option: str, given: Any, options: Any) -> list[Any]:
    """Values of an option as its type has them. Raises InputError if one does not fit or is there twice, or there is none."""
    if isinstance(given, str | bytes | Mapping) or not hasattr(given, "__iter__"):
        raise InputError(f"grid: option {option} has {given!r}; expected a list of values")
    values = [config.flatten(config.override(options, {option: value}))[option] for value in given]
    if not values or any(values.count(value) > 1 for value in values):
        raise InputError(f"grid: option {option} has no values, or one of them twice")
    return values
