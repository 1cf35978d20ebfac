"""Reading pickles that strangers made, without running what is in them.

A pickle is a program: it may name any importable callable, call it, and write into what it got. Three things keep it
harmless here:

* Names: only the ones listed resolve; a pickle that asks for anything else is refused before anything of it runs.
* numpy: arrays and dtypes are rebuilt by the code below from checked parts. numpy's own `__setstate__` believes the
  pickle: a dtype that hides its object fields makes it take the file's bytes for addresses in memory.
* Memory: a jump to a far memo slot, which would make Python allocate all slots before it, is refused.
"""

import io
import math
import pickle
import pickletools
import re
import types
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

from msa_jax.errors import InputError

Names = Mapping[tuple[str, str], Any]

_DEEPEST = 100  # nesting of containers; a feature file has three levels
_PLAIN_DTYPE = re.compile(r"b1|[iu][1248]|f(2|4|8|12|16)|c(8|16|24|32)|[SU][1-9]\d{0,8}")


class _Call:
    """A function that a pickle may call and may not alter (the BUILD opcode sets attributes of what it is given)."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it alters what it was given")


class _Dtype:
    """A dtype as a pickle describes it. `dtype` is the real one: numbers, bytes, text or references, never fields."""

    __slots__ = ("dtype",)

    def __init__(self, name: Any = "", align: Any = False, copy: Any = True):
        name = _text(name)
        if name in ("O", "O8", "O4"):
            self.dtype = np.dtype(object)
        elif _PLAIN_DTYPE.fullmatch(name):
            self.dtype = np.dtype(name)
        else:
            raise pickle.UnpicklingError(f"an array of type {name[:40]!r}")

    def __setstate__(self, state: Any) -> None:
        # (version, byte order, subarray, names, fields, item size, alignment, flags, ...)
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("an array of records")
        order = _text(state[1])
        if order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"byte order {order[:10]!r}")
        if order in "<>":
            self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """The place of an array until its contents arrive (`__setstate__`); `_finished` puts the array in its stead."""

    __slots__ = ("array",)

    def __init__(self) -> None:
        self.array = np.empty(0, np.uint8)

    def __setstate__(self, state: Any) -> None:
        # (version, shape, dtype, Fortran order, contents); the oldest numpy wrote no version.
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise pickle.UnpicklingError("an array without contents")
        shape, dtype, fortran, contents = state[-4:]
        self.array = _array(contents, dtype, shape, "F" if fortran else "C")


def _text(value: Any) -> str:
    # Python 2 wrote byte strings where Python 3 writes text.
    if isinstance(value, bytes):
        value = value.decode("latin1")
    if not isinstance(value, str):
        raise pickle.UnpicklingError(f"{type(value).__name__} where a name is expected")
    return value


def _array(contents: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    if (
        not isinstance(dtype, _Dtype)
        or not isinstance(shape, tuple)
        or not all(type(n) is int and n >= 0 for n in shape)
    ):
        raise pickle.UnpicklingError("an array with a wrong shape or type")
    kind, count = dtype.dtype, math.prod(shape)
    if kind.hasobject:
        if not isinstance(contents, list) or len(contents) != count:
            raise pickle.UnpicklingError(f"an array of shape {shape} whose contents do not fill it")
        array = np.empty(count, object)
        for index, element in enumerate(contents):  # one by one: numpy would make a list of arrays into one array
            array[index] = element
        return array.reshape(shape)  # numpy lists objects in C order, whatever the flag says
    if isinstance(contents, str):
        contents = contents.encode("latin1")
    if not isinstance(contents, (bytes, bytearray)) or len(contents) != count * kind.itemsize:
        raise pickle.UnpicklingError(f"an array of shape {shape} and type {kind} whose contents do not fill it")
    if len(contents) == 0:
        return np.empty(shape, kind)
    return np.frombuffer(contents, kind).reshape(shape, order=order)


def _reconstruct(subtype: Any, shape: Any, typecode: Any) -> _Array:
    if subtype is not _NDARRAY:
        raise pickle.UnpicklingError("an array of an unknown class")
    return _Array()


def _frombuffer(contents: Any, dtype: Any, shape: Any, order: Any, axis_order: Any = None) -> np.ndarray:
    # Protocol 5. Order "K": C order in memory, axes permuted afterwards.
    order = _text(order)
    if order == "K" and axis_order is not None:
        return _array(contents, dtype, tuple(shape), "C").transpose(axis_order)
    return _array(contents, dtype, shape, "F" if order == "F" else "C")


def _scalar(dtype: Any, contents: Any = b"") -> Any:
    if not isinstance(dtype, _Dtype) or dtype.dtype.hasobject:
        raise pickle.UnpicklingError("a numpy scalar of Python objects")
    return _array(contents, dtype, (1,), "C")[0]


def _latin1_bytes(text: str, encoding: str) -> bytes:
    # Python 2 and protocol 2 write bytes as `_codecs.encode(text, "latin1")`.
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes encoded as {encoding!r}")
    return text.encode("latin1")


def _bytearray(contents: Any = b"", encoding: str = "latin1") -> bytearray:
    # Not the built-in one: that makes a number into so many bytes.
    return bytearray(_latin1_bytes(contents, encoding) if isinstance(contents, str) else memoryview(contents))


def _defaultdict(factory: Any = None) -> dict:
    # A plain dict: what a missing key would make is of no use here.
    return {}


def _factory(*arguments: Any) -> NoReturn:
    # Stands for the class that a defaultdict makes its values with: a mark, never called.
    raise pickle.UnpicklingError("it calls a class")


def _no_bytes() -> bytes:
    # Protocol 2 writes b"" as `bytes()`.
    return b""


_NDARRAY = _Call(_reconstruct)  # stands for the class numpy.ndarray: a mark, of no use when called

_NAMES: Names = {
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): _defaultdict,
    **{
        (builtins, name): _factory
        for builtins in ("builtins", "__builtin__")
        for name in ("list", "dict", "int", "float")
    },
    **{
        (builtins, name): kind
        for builtins in ("builtins", "__builtin__")  # Python 3's and Python 2's
        for name, kind in (("set", set), ("frozenset", frozenset), ("bytearray", _bytearray), ("bytes", _no_bytes))
    },
    ("_codecs", "encode"): _latin1_bytes,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Dtype,
    # numpy 2 renamed the module: `core` -> `_core`.
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _frombuffer),
        )
    },
}


_INSTEAD = {
    "torch": ", so it holds torch tensors: store them as arrays, tensor.numpy()",
    "pandas": ", so it holds pandas objects: store them as arrays, to_numpy(), or the table as .csv",
}

# How a file begins that is no pickle, and what it is then.
_OTHER_KINDS = (
    (rb"version https://git-lfs", "a Git LFS pointer, not the file itself: run `git lfs pull`"),
    (rb"\s*<(!doctype|html|head|\?xml)", "a web page, maybe of a download that failed"),
    (rb"PK\x03\x04", "a zip archive (an .npz, a file of torch.save, or several files): unpack it first"),
    (rb"\x1f\x8b", "compressed by gzip: unpack it first"),
    (rb"BZh", "compressed by bzip2: unpack it first"),
    (rb"\xfd7zXZ", "compressed by xz: unpack it first"),
    (rb"Rar!|7z\xbc\xaf", "an archive: unpack it first"),
    (rb"\x89HDF", "an HDF5 file, not a pickle"),
    (rb"\x93NUMPY", "an array of numpy.save, not a pickle"),
    (rb"\Z", "empty"),
)


def _refuse_other_kinds(stream: BinaryIO, shown: str) -> None:
    head = stream.read(64)
    for beginning, what in _OTHER_KINDS:
        if re.match(beginning, head, re.IGNORECASE):
            raise InputError(f"{shown}: {what}; expected a pickle")
    stream.seek(0)


class _RestrictedUnpickler(pickle.Unpickler):
    def __init__(self, stream: BinaryIO, names: Names, persistent: Callable[[Any], Any] | None, **options: Any):
        super().__init__(stream, **options)
        self._names = names
        self._persistent = persistent

    def find_class(self, module: str, name: str) -> Any:
        try:
            found = self._names[module, name]
        except KeyError:
            hint = _INSTEAD.get(module.split(".")[0], "")
            raise pickle.UnpicklingError(f"it asks for {module}.{name}{hint}") from None
        return _Call(found) if isinstance(found, types.FunctionType) else found

    def persistent_load(self, pid: Any) -> Any:
        if self._persistent is None:
            raise pickle.UnpicklingError("it refers to data outside itself")
        return self._persistent(pid)


_ARGUMENT = {opcode.code.encode("latin1"): opcode.arg.n if opcode.arg else 0 for opcode in pickletools.opcodes}
_LENGTH_FIELD = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}


def _refuse_memo_jumps(stream: BinaryIO) -> None:
    """Walks the opcodes, skipping their contents. Picklers number memo slots in the order they fill them."""
    filled = 0
    while (code := stream.read(1)) != b".":
        if code not in _ARGUMENT:
            raise EOFError(f"no opcode at byte {stream.tell()}")
        width = _ARGUMENT[code]
        if width == pickletools.UP_TO_NEWLINE:
            line = stream.readline()
            if code in b"ci":  # GLOBAL and INST: module and name
                stream.readline()
            slot = int(line) if code == b"p" else None
        elif width in _LENGTH_FIELD:
            stream.seek(int.from_bytes(stream.read(_LENGTH_FIELD[width]), "little"), io.SEEK_CUR)
            slot = None
        else:
            argument = stream.read(width)
            slot = int.from_bytes(argument, "little") if code in b"qr" else None
        if slot is not None:
            filled += 1
            if not 0 <= slot <= 2 * filled + 1000:
                raise pickle.UnpicklingError(f"memo slot {slot} after {filled} objects")


def _finished(value: Any, seen: dict[int, tuple[Any, Any]], depth: int = 0) -> Any:
    """`value` with every `_Array` replaced by its array, in place where containers allow it.

    seen: {id: (container, what it became)}, so that one that is held in many places is walked once. A container is kept
    alive, so that its id stays its own.
    """
    if depth > _DEEPEST:
        raise pickle.UnpicklingError(f"containers nested more than {_DEEPEST} deep")
    if isinstance(value, _Array):
        value = value.array
    elif isinstance(value, _Dtype):
        return value.dtype
    if id(value) in seen:
        return seen[id(value)][1]
    if isinstance(value, tuple):
        if type(value) is not tuple:
            return value
        done = tuple(_finished(element, seen, depth + 1) for element in value)
        seen[id(value)] = value, done
        return done
    objects = isinstance(value, np.ndarray) and value.dtype.hasobject
    if not (objects or isinstance(value, (dict, list))):
        return value
    seen[id(value)] = value, value
    if isinstance(value, dict):
        for key, element in list(dict.items(value)):
            dict.__setitem__(value, key, _finished(element, seen, depth + 1))
    elif isinstance(value, list):
        value[:] = [_finished(element, seen, depth + 1) for element in value]
    else:
        for index, element in np.ndenumerate(value):
            value[index] = _finished(element, seen, depth + 1)
    return value


def load(
    source: str | Path | bytes,
    *,
    names: Names | None = None,
    persistent: Callable[[Any], Any] | None = None,
    described_as: str | None = None,
) -> Any:
    """The object in a pickle made of numpy arrays, strings, numbers and plain containers. Arrays may be read-only.

    Args:
      source: a path, or the bytes of the pickle.
      names: further (module, name) pairs to admit, each with the object it stands for.
      persistent: resolves persistent ids (torch keeps tensor storages there); refused when None.
      described_as: what to call the source in an error; the path by default.

    Raises:
      InputError: the pickle names anything else, is truncated, or is not a pickle. Nothing in it has run.
    """
    shown = described_as or (str(source) if not isinstance(source, bytes) else "pickle")
    allowed = {**_NAMES, **(names or {})}
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as stream:
            _refuse_other_kinds(stream, shown)
            _refuse_memo_jumps(stream)
            stream.seek(0)
            return _finished(_RestrictedUnpickler(stream, allowed, persistent, encoding="latin1").load(), {})
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{shown}: no such file") from None
    except OSError as error:
        raise InputError(f"{shown}: cannot be read: {error.strerror or error}") from None
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{shown}: refused, nothing in it was run: {error}; "
            "expected numpy arrays, numbers, strings and plain containers"
        ) from None
    except Exception as error:  # a damaged program can fail in any way
        raise InputError(
            f"{shown}: not a readable pickle, truncated or damaged ({type(error).__name__}: {error})"
        ) from None
