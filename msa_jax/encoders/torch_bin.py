"""Weights that `torch.save` wrote, read without torch and without running what is in the file.

Two formats exist: a zip archive (since torch 1.6) that holds one pickle and one entry per storage, and before that a
stream of five pickles followed by the storages. In both, a tensor in the pickle is a call that names a storage, an
offset, a size and strides. Those calls are answered here with plain records; a pickle that asks for anything else is
refused.
"""

import io
import pickle
import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from msa_jax import safe_pickle
from msa_jax.errors import InputError

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C

# Storage classes by the name of their dtype: strings, because a hostile pickle may try to alter what it is given.
_STORAGES = {
    ("torch", "DoubleStorage"): "float64",
    ("torch", "FloatStorage"): "float32",
    ("torch", "HalfStorage"): "float16",
    ("torch", "BFloat16Storage"): "bfloat16",
    ("torch", "LongStorage"): "int64",
    ("torch", "IntStorage"): "int32",
    ("torch", "ShortStorage"): "int16",
    ("torch", "CharStorage"): "int8",
    ("torch", "ByteStorage"): "uint8",
    ("torch", "BoolStorage"): "bool",
}


class _Storage(NamedTuple):
    key: str
    dtype: str
    length: int  # elements

    @property
    def numpy_dtype(self) -> np.dtype:
        return np.dtype(ml_dtypes.bfloat16 if self.dtype == "bfloat16" else self.dtype).newbyteorder("<")

    @property
    def nbytes(self) -> int:
        return self.length * self.numpy_dtype.itemsize


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int  # elements
    size: tuple[int, ...]
    stride: tuple[int, ...]  # elements

    def array(self, data: bytes) -> np.ndarray:
        dtype = self.storage.numpy_dtype
        strides = tuple(step * dtype.itemsize for step in self.stride)
        # The constructor checks that size and strides stay inside the buffer, whatever the file claims.
        return np.ndarray(self.size, dtype, data, self.offset * dtype.itemsize, strides)


def read(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a saved state dict, by name.

    Raises:
      InputError: the file is damaged, is not a state dict, or asks for anything but tensors; nothing in it has run.
    """
    try:
        if zipfile.is_zipfile(path):
            return _read_zip(path)
        return _read_legacy(path)
    except (OSError, EOFError, KeyError, ValueError, TypeError, OverflowError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not readable torch weights, truncated or damaged ({error})") from None


def _read_zip(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        # Everything lies under one folder, named as the file once was.
        main = next((name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")), None)
        if main is None:
            raise InputError(f"{path}: a zip archive without data.pkl; expected weights saved by torch.save")
        root = main.removesuffix("data.pkl")
        if root + "byteorder" in archive.namelist() and archive.read(root + "byteorder") != b"little":
            raise InputError(f"{path}: saved on a big-endian machine; expected little-endian")

        def storage_data(storage: _Storage) -> bytes:
            entry = archive.getinfo(f"{root}data/{storage.key}")
            if entry.file_size != storage.nbytes:
                raise ValueError(f"storage {storage.key} has {entry.file_size} bytes of {storage.nbytes}")
            return archive.read(entry)

        return _arrays(_load(archive.read(main), path), storage_data, path)


def _read_legacy(path: Path) -> dict[str, np.ndarray]:
    content = path.read_bytes()
    stream = io.BytesIO(content)
    storages: dict[str, _Storage] = {}  # of all tensors, also of those that lie deeper than a state dict's

    def next_pickle() -> Any:
        start = stream.tell()
        for _ in pickletools.genops(stream):  # reads up to the end of one pickle, runs nothing
            pass
        return _load(content[start : stream.tell()], path, storages)

    if next_pickle() != _LEGACY_MAGIC:
        raise InputError(f"{path}: a pickle, but not one of torch.save; expected BERT weights")
    next_pickle(), next_pickle()  # protocol version, sizes of C types on the machine that wrote it
    state, keys = next_pickle(), next_pickle()
    data = {}
    for key in keys:
        if key not in storages:
            raise ValueError(f"storage {key} belongs to no tensor")
        nbytes = storages[key].nbytes
        if int.from_bytes(stream.read(8), "little") != storages[key].length:
            raise ValueError(f"storage {key} has another length than its tensors say")
        data[key] = stream.read(nbytes)
        if len(data[key]) != nbytes:
            raise ValueError(f"storage {key} ends after {len(data[key])} of {nbytes} bytes")
    return _arrays(state, lambda storage: data[storage.key], path)


def _load(content: bytes, path: Path, storages: dict[str, _Storage] | None = None) -> Any:
    """The object of a pickle. storages: takes up, by its key, every storage that the pickle names."""

    def rebuild(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _Tensor:
        numbers = (offset, *size, *stride)
        if not isinstance(storage, _Storage) or not all(type(n) is int and n >= 0 for n in numbers):
            raise pickle.UnpicklingError("it builds a tensor from something else than a storage, sizes and strides")
        return _Tensor(storage, offset, tuple(size), tuple(stride))

    def rebuild_parameter(tensor: Any, *_: Any) -> Any:
        return tensor

    def storage(pid: Any) -> _Storage:
        # The sixth entry, of the old format only, says that the storage is a view of another: never so in a state dict.
        kind, dtype, key, _, length, *view = pid
        if kind != "storage" or dtype not in _STORAGES.values() or type(length) is not int or any(view):
            raise pickle.UnpicklingError(f"it refers to {kind!r} of type {dtype!r}")
        named = _Storage(str(key), dtype, length)
        if storages is not None:
            storages[named.key] = named
        return named

    names = {
        **_STORAGES,
        ("torch._utils", "_rebuild_tensor"): rebuild,
        ("torch._utils", "_rebuild_tensor_v2"): rebuild,
        ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
    }
    return safe_pickle.load(content, names=names, persistent=storage, described_as=str(path))


def _named_tensors(state: Any, path: Path) -> dict[str, _Tensor]:
    if not isinstance(state, dict):
        raise InputError(f"{path}: holds a {type(state).__name__}; expected a state dict, tensors by name")
    return {name: value for name, value in state.items() if isinstance(value, _Tensor)}


def _arrays(state: Any, storage_data: Callable[[_Storage], bytes], path: Path) -> dict[str, np.ndarray]:
    data: dict[_Storage, bytes] = {}  # tied tensors share a storage
    arrays = {}
    for name, tensor in _named_tensors(state, path).items():
        if tensor.storage not in data:
            data[tensor.storage] = storage_data(tensor.storage)
        arrays[str(name)] = tensor.array(data[tensor.storage])
    return arrays
