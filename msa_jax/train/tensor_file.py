"""Arrays by name in safetensors files, which hold numbers alone: reading one runs no code."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from msa_jax.errors import InputError, first_line
from msa_jax.train.atomic import write_bytes


def encoded(tensors: Mapping[str, np.ndarray]) -> bytes:
    """The contents of a safetensors file with these arrays, which are the same bytes for the same arrays."""
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(value) for name, value in sorted(tensors.items())})


def write_once(folder: Path, tensors: Mapping[str, np.ndarray]) -> Path:
    """Writes a file that is named by the SHA-256 sum of its contents, if it is not there. InputError if it cannot be."""
    content = encoded(tensors)
    path = folder / f"{hashlib.sha256(content).hexdigest()}.safetensors"
    if not path.is_file():
        write_bytes(path, content)
    return path


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file. Raises InputError if it cannot be read or is damaged."""
    from safetensors import SafetensorError, safe_open

    _check_pointer(path)
    try:
        with safe_open(path, "numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError, TypeError, MemoryError) as error:
        raise _unreadable(path, error) from None


def read_tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays of a safetensors file, whose numbers are not read. Raises InputError as `read_tensors`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, MemoryError) as error:
        raise _unreadable(path, error) from None


def _check_pointer(path: Path) -> None:
    try:
        with open(path, "rb") as file:
            begins = file.read(40)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if begins.startswith(b"version https://git-lfs"):
        raise InputError(f"{path}: a Git LFS pointer, not the parameters; fetch the file itself (git lfs pull)")


def _unreadable(path: Path, error: BaseException) -> InputError:
    return InputError(f"{path}: not readable safetensors, truncated or damaged ({first_line(error)})")
