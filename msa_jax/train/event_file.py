"""TensorBoard's event files, written and read without TensorFlow.

An event file is a chain of records. A record is its length (uint64), a checksum of the length, an event, and a checksum of
that. An event is a protocol buffer (tensorboard/compat/proto: event.proto, summary.proto, histogram.proto); the few fields
that are needed here are encoded by hand. Checksums are CRC-32C (RFC 3720), masked as TensorFlow masks them.
"""

import struct
import time
from collections.abc import Iterator, Mapping

import numpy as np

BINS = 30  # of a histogram
_LARGEST = float(np.finfo(np.float32).max)
_VERSION = b"brain.Event:2"
_MASK = 0xA282EAD8


def _crc_table() -> list[int]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = (number >> 1) ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return table


_CRC = _crc_table()


def masked_crc(data: bytes) -> int:
    """CRC-32C of the data, rotated by 15 bits and shifted, as records hold it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


def record(event: bytes) -> bytes:
    """One record."""
    length = struct.pack("<Q", len(event))
    return length + struct.pack("<I", masked_crc(length)) + event + struct.pack("<I", masked_crc(event))


def head() -> bytes:
    """The record that a file begins with."""
    return record(_double(1, time.time()) + _bytes(3, _VERSION))


def event(step: int, scalars: Mapping[str, float], histograms: Mapping[str, np.ndarray]) -> bytes:
    """An event of scalars and of histograms of values [N]. Values that are not finite, or beyond float32, are left out.

    Args:
      step: not negative.
    """
    values = [_bytes(1, name.encode()) + _float(2, value) for name, value in scalars.items() if abs(value) <= _LARGEST]
    for name, array in histograms.items():
        finite = np.asarray(array, np.float64).ravel()
        finite = finite[np.isfinite(finite)]
        if len(finite):
            values.append(_bytes(1, name.encode()) + _bytes(5, _histogram(finite)))
    summary = b"".join(_bytes(1, value) for value in values)
    return _double(1, time.time()) + _varint(2 << 3) + _varint(step) + _bytes(5, summary)


def records_until(data: bytes, step: int) -> Iterator[bytes]:
    """The whole records of a file whose event is of this step or an earlier one; nothing behind a damaged record."""
    place = 0
    while place + 12 <= len(data):
        (size,) = struct.unpack_from("<Q", data, place)
        end = place + 12 + size + 4
        if end > len(data):
            return
        own = data[place + 12 : end - 4]
        if struct.unpack_from("<I", data, end - 4)[0] != masked_crc(own):
            return
        if _step(own) <= step:
            yield data[place:end]
        place = end


def _step(encoded: bytes) -> int:
    """The step of an event as it is written here: behind the time of nine bytes, or none."""
    if encoded[9:10] != b"\x10":
        return 0
    step = shift = 0
    for byte in encoded[10:]:
        step |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
    return step


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _float(number: int, value: float) -> bytes:
    return _varint(number << 3 | 5) + struct.pack("<f", value)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _histogram(values: np.ndarray) -> bytes:
    counts, edges = np.histogram(values, BINS)
    numbers = values.min(), values.max(), len(values), values.sum(), (values**2).sum()
    parts = [_double(number, value) for number, value in enumerate(numbers, start=1)]
    return b"".join([*parts, _bytes(6, edges[1:].astype("<f8").tobytes()), _bytes(7, counts.astype("<f8").tobytes())])
