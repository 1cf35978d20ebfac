"""Files from strangers: what a hostile pickle asks for does not happen, and honest ones are read exactly."""

import os
import pickle
import struct
from collections import OrderedDict, defaultdict

import numpy as np
import pytest

from msa_jax import safe_pickle
from msa_jax.errors import InputError


def short_text(text: str) -> bytes:
    return pickle.SHORT_BINUNICODE + bytes([len(text)]) + text.encode()


def stack_global(module: str, name: str) -> bytes:
    return short_text(module) + short_text(name) + pickle.STACK_GLOBAL


def program(*opcodes: bytes) -> bytes:
    return pickle.PROTO + b"\x04" + b"".join(opcodes) + pickle.STOP


class _Reduced:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def _touch(marker):
    return _Reduced(os.system, f"touch '{marker}'")


def _in_object_array(marker):
    array = np.empty(2, dtype=object)
    array[0], array[1] = "harmless", _touch(marker)
    return pickle.dumps({"train": {"raw_text": array}})


def _in_object_scalar(marker):
    # numpy below 2.3 opens these bytes with the ordinary unpickler; later ones refuse them.
    inner = pickle.dumps(_touch(marker))
    return pickle.dumps(_Reduced(np._core.multiarray.scalar, np.dtype(object), inner))


def _eval(marker):
    return pickle.dumps(_Reduced(eval, f"open({str(marker)!r}, 'w').close()"))


def _getattr(marker):
    command = short_text(f"touch '{marker}'")
    return program(
        stack_global("builtins", "getattr"),
        pickle.MARK + stack_global("posixpath", "os") + short_text("system") + pickle.TUPLE,
        pickle.REDUCE,
        command + pickle.TUPLE1 + pickle.REDUCE,
    )


def _dotted_name(marker):
    return program(
        stack_global("posixpath", "os.system"), short_text(f"touch '{marker}'"), pickle.TUPLE1 + pickle.REDUCE
    )


def _instance_opcode(marker):
    return pickle.MARK + short_text(f"touch '{marker}'") + b"ios\nsystem\n" + pickle.STOP


def _global_opcode(marker):
    return b"cos\nsystem\n" + short_text(f"touch '{marker}'") + pickle.TUPLE1 + pickle.REDUCE + pickle.STOP


def _new_object_opcode(marker):
    # subprocess.Popen.__new__ does nothing; reducing the class does.
    return pickle.dumps(_Reduced(__import__("subprocess").getoutput, f"touch '{marker}'"))


ATTACKS = {
    "os.system": lambda marker: pickle.dumps(_touch(marker)),
    "os.system, protocol 0": lambda marker: pickle.dumps(_touch(marker), protocol=0),
    "in an object array": _in_object_array,
    "in a numpy object scalar": _in_object_scalar,
    "eval": _eval,
    "getattr": _getattr,
    "a dotted name": _dotted_name,
    "INST": _instance_opcode,
    "GLOBAL": _global_opcode,
    "subprocess": _new_object_opcode,
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_is_refused_and_nothing_runs(attack, tmp_path):
    marker = tmp_path / "marker"
    path = tmp_path / "attack.pkl"
    path.write_bytes(ATTACKS[attack](marker))
    with pytest.raises(InputError, match=r"attack.pkl: refused, nothing in it was run"):
        safe_pickle.load(path)
    assert not marker.exists()
    # The attack is a real one: the ordinary unpickler falls for it.
    if attack != "in a numpy object scalar":  # whether numpy falls for it depends on its version
        pickle.loads(path.read_bytes())
        assert marker.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "exec"),
        ("builtins", "getattr"),
        ("builtins", "__import__"),
        ("copyreg", "_reconstructor"),
        ("importlib", "import_module"),
        ("numpy", "load"),
        ("numpy", "memmap"),
        ("numpy", "ndarray.tofile"),
        ("numpy._core._multiarray_umath", "_reconstruct"),
        ("collections", "OrderedDict.fromkeys"),
        ("msa_jax.safe_pickle", "load"),
        ("functools", "partial"),
        ("operator", "attrgetter"),
    ],
)
def test_name_off_the_list_is_refused(module, name):
    with pytest.raises(InputError, match=f"it asks for {module}.{name}"):
        safe_pickle.load(program(stack_global(module, name)))


def test_persistent_ids_are_refused_unless_the_caller_resolves_them():
    data = program(short_text("storage") + pickle.BINPERSID)
    with pytest.raises(InputError, match="data outside itself"):
        safe_pickle.load(data)
    assert safe_pickle.load(data, persistent=lambda pid: {"storage": 7}[pid]) == 7


def test_caller_can_admit_more_names():
    data = program(stack_global("fractions", "Fraction"), b"K\x03K\x04" + pickle.TUPLE2 + pickle.REDUCE)
    assert safe_pickle.load(data, names={("fractions", "Fraction"): lambda a, b: a / b}) == 0.75


class _ForgedDtype:
    """Eight bytes that are said to hold a reference, in a dtype whose flags deny it."""

    def __reduce__(self):
        fields = {"a": (np.dtype(object), 0)}
        return np.dtype, ("V8", False, True), (3, "|", None, ("a",), fields, 8, 1, 0)


def test_dtype_that_hides_objects_is_refused():
    # numpy itself takes the bytes for an address and crashes, or worse.
    array = (np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), (1, (1,), _ForgedDtype(), False, b"A" * 8))

    class Forged:
        def __reduce__(self):
            return array

    with pytest.raises(InputError, match="refused"):
        safe_pickle.load(pickle.dumps(Forged()))


@pytest.mark.parametrize("dtype", ["V8", "O,O", "M8[s]", "i4,f8"])
def test_records_and_dates_are_refused(dtype):
    with pytest.raises(InputError, match="an array of"):
        safe_pickle.load(pickle.dumps(np.empty(2, dtype=dtype)))


class _Array:
    """Pickles as an array with the given state."""

    def __init__(self, shape, dtype, contents):
        self.state = (1, shape, np.dtype(dtype), False, contents)

    def __reduce__(self):
        return np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), self.state


@pytest.mark.parametrize(
    ("shape", "dtype", "contents"),
    [
        ((10**15,), "f8", b"12345678"),
        ((2,), "f8", b"12345678"),
        ((-1,), "f8", b"12345678"),
        ((1,), "f8", ["not bytes"]),
        ((1,), object, b"12345678"),
        ((3,), object, [1, 2]),
        ("x", "f8", b"12345678"),
    ],
)
def test_array_whose_contents_do_not_fit_is_refused(shape, dtype, contents):
    with pytest.raises(InputError, match="refused"):
        safe_pickle.load(pickle.dumps(_Array(shape, dtype, contents)))


def test_pickle_cannot_alter_what_it_is_given():
    altered = program(
        stack_global("numpy._core.numeric", "_frombuffer"),
        pickle.NONE + pickle.EMPTY_DICT + short_text("__defaults__") + b"K\x01" + pickle.TUPLE1 + pickle.SETITEM,
        pickle.TUPLE2 + pickle.BUILD,
    )
    before = np._core.numeric._frombuffer.__defaults__, safe_pickle._frombuffer.__defaults__
    with pytest.raises(InputError, match="it alters what it was given"):
        safe_pickle.load(altered)
    assert before == (np._core.numeric._frombuffer.__defaults__, safe_pickle._frombuffer.__defaults__)


@pytest.mark.parametrize("opcode", [pickle.LONG_BINPUT + struct.pack("<I", 2**31), b"p2147483648\n"])
def test_jump_to_a_far_memo_slot_is_refused(opcode):
    # The ordinary unpickler allocates and fills two arrays of 2**31 pointers for these few bytes.
    with pytest.raises(InputError, match="memo slot 2147483648 after 1 objects"):
        safe_pickle.load(program(pickle.NONE, opcode))


@pytest.mark.parametrize(
    "opcodes",
    [
        pickle.BINBYTES8 + struct.pack("<Q", 2**62),
        pickle.BINUNICODE8 + struct.pack("<Q", 2**63 + 1),
        pickle.BYTEARRAY8 + struct.pack("<Q", 2**40),
        pickle.LONG4 + struct.pack("<i", 2**31 - 1),
        stack_global("builtins", "bytearray") + pickle.BININT + struct.pack("<i", 2**31 - 1) + b"\x85R",
        stack_global("numpy", "ndarray") + pickle.BININT + struct.pack("<i", 2**31 - 1) + b"\x85\x85R",
    ],
)
def test_demand_for_much_memory_is_refused(opcodes):
    with pytest.raises(InputError):
        safe_pickle.load(program(opcodes))


def test_deep_nesting_is_refused():
    with pytest.raises(InputError, match="nested more than 100 deep"):
        safe_pickle.load(program(pickle.EMPTY_LIST * 50_000, pickle.APPEND * 49_999))


def test_tuples_that_are_held_twice_are_walked_once():
    content = b")" + b"2\x86" * 60 + b"."  # a tuple of the one before twice, sixty times: 2^60 if each were walked
    value = safe_pickle.load(content)
    for _ in range(60):
        assert value[0] is value[1]
        value = value[0]
    assert value == ()


def test_text_without_width_is_refused():
    # Any number of its elements fits into no bytes at all.
    array = np.zeros(3, "U1")
    content = pickle.dumps(array).replace(b"U1", b"U0")
    with pytest.raises(InputError, match="an array of type 'U0'"):
        safe_pickle.load(content)


def test_list_that_holds_itself_is_read():
    itself = [np.arange(3)]
    itself.append(itself)
    loaded = safe_pickle.load(pickle.dumps(itself))
    assert loaded[1] is loaded
    np.testing.assert_array_equal(loaded[0], [0, 1, 2])


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "array",
    [
        np.linspace(0, 1, 24, dtype=np.float64).reshape(2, 3, 4),
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        np.arange(24.0).reshape(2, 3, 4).transpose(1, 2, 0),
        np.arange(10)[::3],
        np.array([True, False]),
        np.array(["a", "später", "好"]),
        np.array([b"bytes", b""]),
        np.array(["one", None, 3], dtype=object),
        np.array([[1, "x"], [2.5, (3,)]], dtype=object),
        np.asfortranarray(np.array([["id1", 0.5, "x"], ["id2", -1.0, "y"]], dtype=object)),
        np.array([[["a", 1], [None, 2]], [["b", 3], ["c", 4]]], dtype=object).transpose(2, 0, 1),
        np.zeros((0, 5), np.float32),
        np.array(1 + 2j),
    ],
    ids=lambda array: f"{array.dtype.str}{list(array.shape)}",
)
def test_array_comes_back_exactly(array, protocol):
    loaded = safe_pickle.load(pickle.dumps({"a": array, "again": [array]}, protocol=protocol))
    for got in (loaded["a"], loaded["again"][0]):
        assert type(got) is np.ndarray
        assert got.dtype == array.dtype
        np.testing.assert_array_equal(got, array, strict=True)


@pytest.mark.parametrize("protocol", range(6))
def test_ragged_object_array_keeps_its_arrays(protocol):
    rows = np.empty(2, dtype=object)
    rows[0], rows[1] = np.arange(2.0), np.ones(2)  # of equal shape: still two arrays, not one of rank 2
    loaded = safe_pickle.load(pickle.dumps(rows, protocol=protocol))
    assert loaded.shape == (2,)
    for got, expected in zip(loaded, rows, strict=True):
        np.testing.assert_array_equal(got, expected, strict=True)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_come_back_exactly(protocol):
    value = {
        "texts": ["a", "好", ""],
        "numbers": [1, -(2**70), 2.5, True, None, np.float32(0.1), np.int64(-3), np.str_("x")],
        "bytes": [b"", b"\x00\xff", bytearray(b"\x80"), bytearray()],
        "containers": (OrderedDict(b=1, a=2), {1, 2}, frozenset({3}), {"nested": {"deep": []}}),
    }
    loaded = safe_pickle.load(pickle.dumps(value, protocol=protocol))
    assert loaded == value
    assert list(loaded["containers"][0]) == ["b", "a"]
    assert [type(number) for number in loaded["numbers"]] == [type(number) for number in value["numbers"]]


def test_every_truncation_is_an_input_error():
    data = pickle.dumps({"train": {"audio": np.ones((2, 3)), "id": ["a", "b"], "n": [np.float64(2)]}}, protocol=4)
    assert safe_pickle.load(data)["train"]["id"] == ["a", "b"]
    for length in range(len(data)):
        with pytest.raises(InputError):
            safe_pickle.load(data[:length])


@pytest.mark.filterwarnings("ignore:.*escape sequence:DeprecationWarning")  # a flipped byte in a text opcode
def test_altered_bytes_give_an_input_error_or_data():
    data = pickle.dumps({"train": {"audio": np.ones((2, 3)), "id": np.array(["a", "b"], dtype=object)}}, protocol=3)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(2000):
        altered = bytearray(data)
        for position in rng.integers(0, len(data), 2):
            altered[position] = rng.integers(256)
        try:
            safe_pickle.load(bytes(altered))
        except InputError:
            refused += 1
    assert refused > 500


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.pkl: no such file"):
        safe_pickle.load(tmp_path / "nowhere.pkl")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        safe_pickle.load(tmp_path)
    with pytest.raises(InputError, match="weights: not a readable pickle"):
        safe_pickle.load(b"not a pickle", described_as="weights")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html>\n<html>Sign in</html>", "a web page"),
        (b"\n  <html lang='en'>", "a web page"),
        (b"PK\x03\x04\x14\x00", "a zip archive"),
        (b"\x1f\x8b\x08\x00", "compressed by gzip"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x93NUMPY\x01\x00", "an array of numpy.save"),
        (b"", "empty"),
    ],
)
def test_what_is_another_kind_of_file_is_said_to_be(content, what, tmp_path):
    (tmp_path / "features.pkl").write_bytes(content)
    with pytest.raises(InputError, match=f"features.pkl: {what}.*; expected a pickle"):
        safe_pickle.load(tmp_path / "features.pkl")


@pytest.mark.parametrize(
    ("module", "name", "hint"),
    [
        ("torch._utils", "_rebuild_tensor_v2", r"torch tensors: store them as arrays, tensor\.numpy\(\)"),
        ("pandas.core.frame", "DataFrame", r"pandas objects: store them as arrays, to_numpy\(\)"),
    ],
)
def test_what_to_store_instead_is_said(module, name, hint):
    with pytest.raises(InputError, match=f"it asks for {module}.{name}, so it holds {hint}"):
        safe_pickle.load(program(stack_global(module, name)))


@pytest.mark.parametrize("factory", [list, dict, int, float, None])
def test_a_default_dict_is_read_as_a_dict(factory):
    loaded = safe_pickle.load(pickle.dumps(defaultdict(factory, {"a": [1]})))
    assert type(loaded) is dict
    assert loaded == {"a": [1]}


@pytest.mark.parametrize("name", ["list", "dict", "int", "float"])
def test_the_class_of_a_default_dict_is_never_called(name):
    with pytest.raises(InputError, match="refused, nothing in it was run: it calls a class"):
        safe_pickle.load(program(stack_global("builtins", name), short_text("9"), pickle.TUPLE1 + pickle.REDUCE))
