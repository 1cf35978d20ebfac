"""Small files that are written whole or not at all.

Of several processes that train as one, the first writes; in the others, nothing here does. Checkpoints are none of these
files: each process writes its share of them.
"""

import contextlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from msa_jax import json_text
from msa_jax.errors import InputError, Unavailable, first_line
from msa_jax.train import processes
from msa_jax.whole_files import replacing

_DAMAGED = (ValueError, EOFError, KeyError, RuntimeError, MemoryError)
_DAMAGED += (struct.error, zipfile.BadZipFile, zlib.error)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` once it is whole.

    Raises:
      InputError: it cannot be written.
    """
    if not processes.is_primary():
        yield io.BytesIO()
        return
    try:
        with replacing(path) as file:
            yield file
    except OSError as error:
        raise Unavailable(f"{path}: cannot be written ({error.strerror or error})") from None


def write_text(path: Path, text: str) -> None:
    """Writes a file so that at any moment either the old or the new one is there, whole. InputError where it cannot be."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all. InputError where it cannot be."""
    with _replacing(path) as file:
        file.write(content)


def write_json(path: Path, content: Any) -> None:
    """`write_text` of JSON; NaN becomes null."""
    write_text(path, json.dumps(without_nan(content), indent=1, allow_nan=False) + "\n")


def without_nan(content: Any) -> Any:
    """JSON content with null in the place of numbers that are not finite."""
    if isinstance(content, Mapping):
        return {key: without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_nan(value) for value in content]
    if isinstance(content, float) and not np.isfinite(content):
        return None
    return content


def read_json(path: Path) -> Any:
    """Raises InputError where the file is missing or not JSON."""
    try:
        return json_text.parse(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from None


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an `.npz`, whole or not at all. InputError where it cannot be written."""
    with _replacing(path) as file:
        np.savez(file, **arrays)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` that `write_arrays` wrote. Raises InputError if it cannot be read or is damaged."""
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or first_line(error)})") from None
    # What else zipfile, zlib and numpy say of bytes that are no archive; an `.npy` has no `files`.
    except (*_DAMAGED, AttributeError, TypeError) as error:
        raise InputError(f"{path}: cannot be read, the file is damaged ({first_line(error)})") from None
