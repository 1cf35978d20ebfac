"""Arrays of a checkpoint that orbax wrote, read without orbax, which takes half a second to import.

    _METADATA  manifest.ocdbt  d/...  ocdbt.process_0/...

orbax keeps one zarr array for each leaf of a tree, in a key-value store of tensorstore's, and the tree's keys in `_METADATA`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax import json_text
from msa_jax.errors import InputError, first_line
from msa_jax.train.model import nested

ALIGNED = (
    64  # bytes: where an array begins at a multiple of it, JAX on a CPU computes on the array itself, not on a copy
)


def read_arrays(folder: Path) -> Any:
    """The tree of dicts whose leaves are arrays. Raises InputError if it cannot be read."""
    import tensorstore

    stores = _opened(folder)
    try:
        arrays = {path: _empty(store.shape, store.dtype.numpy_dtype) for path, store in stores.items()}
        reading = [
            tensorstore.array(arrays[path]).write(store) for path, store in stores.items()
        ]  # all of them at once
        for one in reading:
            one.result()
        return nested(arrays)
    except (ValueError, TypeError, AttributeError, OverflowError, OSError, MemoryError) as error:
        raise _unreadable(folder, error) from None


def read_shapes(folder: Path) -> Any:
    """The same tree with the shapes of the arrays, whose numbers are not read. Raises InputError if it cannot be read."""
    return nested({path: tuple(store.shape) for path, store in _opened(folder).items()})


def _opened(folder: Path) -> dict[str, Any]:
    import tensorstore

    try:
        content = json_text.parse((folder / "_METADATA").read_text(encoding="utf-8"))
        leaves = list(_leaves(content["tree_metadata"]))
        driver = "zarr3" if content.get("use_zarr3") else "zarr"
        base = {"driver": "file", "path": f"{folder.resolve()}/"}
        opening = {
            "/".join(keys): tensorstore.open(
                {"driver": driver, "kvstore": {"driver": "ocdbt", "base": base, "path": f"{'.'.join(keys)}/"}},
                open=True,
                read=True,
            )
            for keys in leaves
        }
        return {path: one.result() for path, one in opening.items()}
    except (ValueError, KeyError, OSError, TypeError, AttributeError) as error:
        raise _unreadable(folder, error) from None


def _leaves(tree: Mapping[str, Any]) -> Iterator[list[str]]:
    """The keys of every leaf that is an array."""
    for leaf in tree.values():
        if not leaf["value_metadata"]["skip_deserialize"]:
            yield [str(key["key"]) for key in leaf["key_metadata"]]


def _empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    memory = np.empty(size + ALIGNED, np.uint8)
    first = -memory.ctypes.data % ALIGNED
    return memory[first : first + size].view(dtype).reshape(shape)


def _unreadable(folder: Path, error: BaseException) -> InputError:
    return InputError(f"{folder}: the checkpoint cannot be read ({first_line(error)})")
