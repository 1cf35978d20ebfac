"""Damage: what becomes of bytes, of values, and of dicts and lists of them. Every kind of it follows from a seed."""

import json
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

STRANGE = (
    None, True, -1, 0, 3, 2**70, 1.5, float("nan"), float("inf"), -0.0, "", "x", "nan", "\0", "../../x", "~nosuchuser",
    "é\ud800", b"", b"\xff\xfe", [], [[]], [1, [2, 3]], {}, {"a": 1}, (), set(), object, 1j, range(3), "x" * 10_000, [None],
    "[" * 500, 10**9, 2**31, -(2**63), 1e308, -1.0, 0.0, 64, [-1, 2], [10**9, 10**9],
)  # fmt: skip
ARRAYS: tuple[Callable[[], Any], ...] = (
    lambda: np.zeros(0),
    lambda: np.zeros((3, 0)),
    lambda: np.ones(()),
    lambda: np.full((4, 2), np.nan),
    lambda: np.array(["a", "b"]),
    lambda: np.array([b"a", b"\xff"]),
    lambda: np.array([1, None, "a"], object),
    lambda: np.arange(5, dtype=np.uint8),
    lambda: np.zeros(3, complex),
    lambda: np.zeros(2, "datetime64[s]"),
    lambda: np.zeros(2, [("a", "i4")]),
    lambda: np.full(6, 1e300),
)


class Runs:
    """A pickle of this would run code."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


def damaged_bytes(rng: random.Random, content: bytes) -> bytes:
    """Cut off, changed in some places, or with something put in or taken out."""
    data = bytearray(content)
    how = rng.randrange(5)
    if how == 0:
        del data[rng.randrange(len(data) + 1) :]
    elif how == 1:
        for _ in range(rng.randint(1, 20)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
    elif how == 2:
        place = rng.randrange(len(data) + 1)
        data[place:place] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 50)))
    elif how == 3:
        begin = rng.randrange(len(data) + 1)
        del data[begin : begin + rng.randint(1, 100)]
    else:
        data += data[: rng.randrange(len(data) + 1)]
    return bytes(data)


def damaged_value(rng: random.Random, value: Any) -> Any:
    """Another value: strange, or the same array with another type, shape or some odd elements."""
    if isinstance(value, np.ndarray) and value.ndim and rng.random() < 0.6:
        how = rng.randrange(7)
        if how == 0:
            return value[: rng.randrange(len(value) + 1)]
        if how == 1:
            return value[..., None] if rng.random() < 0.5 else value.reshape(-1)
        if how == 2:
            # Texts, objects and dates are often nothing else.
            with np.errstate(invalid="ignore", over="ignore"):  # NaN as a whole number is damage, too
                return value.astype(rng.choice(["O", "U5", "f2", "i1", "?"]) if value.dtype.kind in "biuf" else "O")
        if how == 3 and value.dtype.kind == "f" and value.size:
            value = value.copy()
            value.flat[rng.randrange(value.size)] = rng.choice([np.nan, np.inf, 1e38, -1e-40])
            return value
        if how == 4:
            odd = value.astype("O")
            if odd.size:
                odd.flat[rng.randrange(odd.size)] = rng.choice(STRANGE[:20])
            return odd
        if how == 5:
            return value.tolist()
        return value[::-1]
    if isinstance(value, list) and value and rng.random() < 0.7:
        return _damaged_list(rng, value)
    return rng.choice(ARRAYS)() if rng.random() < 0.3 else rng.choice(STRANGE)


def _damaged_list(rng: random.Random, value: list[Any]) -> list[Any]:
    """One element is gone, there twice, or another."""
    place, how = rng.randrange(len(value)), rng.randrange(6)
    chosen = value[place]
    if how < 2:
        return value[:place] + [chosen] * (2 * how) + value[place + 1 :]
    other = damaged_tree(rng, chosen) if isinstance(chosen, dict) else damaged_value(rng, chosen)
    return [*value[:place], other, *value[place + 1 :]]


def damaged_tree(rng: random.Random, tree: dict[Any, Any]) -> dict[Any, Any]:
    """A dict in which some entry, at any depth, is another, has another name, or is gone."""
    tree = dict(tree)
    for _ in range(rng.randint(1, 3)):
        if not tree:
            break
        key = rng.choice(sorted(tree, key=str))
        how = rng.randrange(6)
        if how == 0:
            del tree[key]
        elif how == 1:
            tree[rng.choice([f"{key} ", str(key).upper(), 5, None, "", (1,)])] = tree.pop(key)
        elif how == 2:
            tree[rng.choice(["extra", 7, "label", "test"])] = rng.choice(STRANGE)
        elif isinstance(tree[key], dict) and how < 5:
            tree[key] = damaged_tree(rng, tree[key])
        else:
            tree[key] = damaged_value(rng, tree[key])
    return tree


_NUMBERS = [
    "1e999",
    "-0",
    "1" + "0" * 5000,
    "0.1e-400",
    "99999999999",
    "-1",
    "1.5",
    "null",
    '"1"',
    "true",
    "[" * 100_000,
]


def damaged_json(rng: random.Random, text: str) -> bytes:
    """JSON text in which entries, or a number, are others; text that is no JSON as `damaged_bytes` has it."""
    numbers = [*re.finditer(r"-?\d+(\.\d+)?(e[-+]?\d+)?", text)]
    if numbers and rng.random() < 0.25:
        begin, end = rng.choice(numbers).span()
        return (text[:begin] + rng.choice(_NUMBERS) + text[end:]).encode("utf-8", "replace")
    try:
        content = json.loads(text)
        changed = damaged_tree(rng, content) if isinstance(content, dict) else damaged_value(rng, content)
        return json.dumps(changed, default=repr, skipkeys=True).encode("utf-8", "replace")
    except (ValueError, RecursionError):
        return damaged_bytes(rng, text.encode("utf-8", "replace"))
