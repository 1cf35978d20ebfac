"""Whether two trees of arrays are equal up to rounding."""

from typing import Any

import jax
import numpy as np


def close(got: Any, want: Any, what: str, *, tolerance: float) -> None:
    """Largest difference relative to the largest finite value of each array, at most the tolerance."""
    for path, value in jax.tree.leaves_with_path(want):
        other = np.asarray(_at(got, path), np.float64)
        value = np.asarray(value, np.float64)
        scale = max(np.abs(value[np.isfinite(value)]).max(initial=0), 1e-3)
        with np.errstate(invalid="ignore"):  # of infinity less infinity
            worst = np.where(other == value, 0, np.abs(other - value)).max(initial=0) / scale
        assert worst <= tolerance, f"{what} {jax.tree_util.keystr(path)} differs by {worst:.1e} of its largest value"


def _at(tree: Any, path: Any) -> Any:
    return dict(jax.tree.leaves_with_path(tree))[path]
