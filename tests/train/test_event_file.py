"""TensorBoard's event files: decoded here by the definition of protocol buffers, and by TensorBoard where it is installed."""

import math
import struct

import numpy as np
import pytest

from msa_jax.train import event_file


def fields(data):
    """[(number, value)] of a protocol buffer: whole numbers, floats, doubles or bytes, by their wire type."""
    found, place = [], 0

    def varint():
        nonlocal place
        value = shift = 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while place < len(data):
        key = varint()
        if key & 7 == 0:
            value = varint()
        elif key & 7 == 1:
            (value,), place = struct.unpack_from("<d", data, place), place + 8
        elif key & 7 == 5:
            (value,), place = struct.unpack_from("<f", data, place), place + 4
        else:
            size = varint()
            value, place = data[place : place + size], place + size
        found.append((key >> 3, value))
    return found


def events(data):
    """[(step, {tag: number or histogram's fields})] of a file's events, its version first."""
    found, place = [], 0
    while place < len(data):
        (size,) = struct.unpack_from("<Q", data, place)
        event = dict(fields(data[place + 12 : place + 12 + size]))
        place += size + 16
        values = [dict(fields(value)) for _, value in fields(event.get(5, b""))]
        named = {value[1].decode(): value[2] if 2 in value else dict(fields(value[5])) for value in values}
        found.append((event.get(2, 0), named or event.get(3)))
    return found


def test_the_checksum_is_crc_32c():
    crc = 0xE3069283  # of the nine digits, in the literature
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32
    assert event_file.masked_crc(b"123456789") == masked


def test_an_event_holds_scalars_and_histograms():
    values = np.float32([1, 2, 2, 5, np.nan])
    name = "eight_by"  # as long as a double
    encoded = event_file.event(300, {name: 0.5, "nan": np.nan}, {"labels": values, "none": np.float32([np.inf])})
    data = event_file.head() + event_file.record(encoded)
    (_, version), (step, named) = events(data)
    assert version == b"brain.Event:2"
    assert step == 300
    assert named.keys() == {name, "labels"}
    assert named[name] == 0.5
    histogram = named["labels"]
    assert [histogram[number] for number in range(1, 6)] == [1, 5, 4, 10, 34]
    counts = np.frombuffer(histogram[7])
    assert counts.sum() == 4
    assert np.frombuffer(histogram[6])[-1] == 5
    assert len(counts) == event_file.BINS


def test_scalars_beyond_float32_are_left_out():
    kept = {"MAE": 1e20, "R2": -1.0}
    assert (
        event_file.event(3, {**kept, "far": -1e40, "nan": math.nan, "inf": math.inf}, {})[9:]
        == event_file.event(3, kept, {})[9:]
    )


def test_records_are_kept_up_to_a_step_and_to_damage():
    parts = [event_file.head(), *(event_file.record(event_file.event(step, {"x": step}, {})) for step in (1, 2, 200))]
    data = b"".join(parts)
    kept = lambda data, step: list(event_file.records_until(data, step))  # noqa: E731
    assert kept(data, 0) == parts[:1]
    assert kept(data, 2) == parts[:3]
    assert kept(data, 199) == parts[:3]
    assert kept(data, 200) == parts
    for cut in range(len(data)):
        whole = [part for number, part in enumerate(parts) if len(b"".join(parts[: number + 1])) <= cut]
        assert kept(data[:cut], 200) == whole
    damaged = bytearray(data)
    damaged[len(parts[0]) + len(parts[1]) + 20] ^= 1
    assert kept(bytes(damaged), 200) == parts[:2]


def test_tensorboard_reads_it(tmp_path):
    module = "tensorboard.backend.event_processing.event_accumulator"
    reader = pytest.importorskip(module)
    data = event_file.head() + event_file.record(event_file.event(7, {"loss": 0.25}, {"labels": np.float32([1, 3])}))
    (tmp_path / "events.out.tfevents.1").write_bytes(data)
    read = reader.EventAccumulator(str(tmp_path))
    read.Reload()
    assert [(one.step, one.value) for one in read.Scalars("loss")] == [(7, 0.25)]
    assert read.Histograms("labels")[0].histogram_value.sum == 4
