"""The training arrays on the device, whole or in chunks: the same batches either way."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from msa_jax.data.batches import epoch_plan
from msa_jax.data.packing import choose_capacity
from msa_jax.data.preprocess import text_lengths
from msa_jax.methods import METHODS
from msa_jax.train import device_data, memory, processes
from msa_jax.train.device_data import DeviceData
from msa_jax.train.prepare import prepare
from tests.tiny import tiny_dataset, train_toy
from tests.train.kit import outcome


@pytest.fixture(scope="module")
def prepared():
    method = METHODS["self_mm"]
    return prepare(tiny_dataset(rows=(26, 3, 3)), method, method.options(scratch_width=32, scratch_layers=1))


def options_of(**changes):
    return METHODS["self_mm"].options(batch_size=4, **changes)


def plan_of(prepared):
    lengths = text_lengths(prepared.columns["train"])
    return epoch_plan(26, 4, seed=0, epoch=1, lengths=lengths, capacity=choose_capacity(lengths, 4))


def batches(data: DeviceData, plan):
    """Every real batch as the device gathers it: columns, rows of the dataset, weight, packing."""
    for arrays, parts, real, first in data.chunks([plan]):
        part = jax.tree.map(lambda leaf: leaf[0], parts)
        for index in range(real):
            columns = jax.tree.map(lambda column, slots=part.slots[index]: np.asarray(column)[slots], dict(arrays))
            yield first + index, columns, part.rows[index], part.weight[index], [p[index] for p in part.packing]


@pytest.mark.parametrize("chunk_batches", [1, 2, 3, 7, 100])
def test_streamed_batches_are_those_of_the_plan(prepared, monkeypatch, chunk_batches):
    columns, plan = prepared.columns["train"], plan_of(prepared)
    row_bytes = sum(array.nbytes for array in jax.tree.leaves(columns)) // 26
    monkeypatch.setattr(device_data, "STREAM_BYTES", chunk_batches * row_bytes * 4)
    data = DeviceData(columns, options_of(resident="no"))
    seen = list(batches(data, plan))
    assert [number for number, *_ in seen] == list(range(7))
    for number, gathered, rows, weight, packing in seen:
        np.testing.assert_array_equal(rows, plan.rows[number])
        np.testing.assert_array_equal(weight, plan.weight[number])
        for got, want in zip(packing, plan.packing, strict=True):
            np.testing.assert_array_equal(got, want[number])
        want = jax.tree.map(lambda column, rows=rows: column[rows], dict(columns))
        jax.tree.map(np.testing.assert_array_equal, gathered, want)


def test_all_chunks_have_one_shape_and_hold_whole_windows(prepared, monkeypatch):
    columns, plan = prepared.columns["train"], plan_of(prepared)
    row_bytes = sum(array.nbytes for array in jax.tree.leaves(columns)) // 26
    monkeypatch.setattr(device_data, "STREAM_BYTES", 3 * row_bytes * 4)
    chunks = list(DeviceData(columns, options_of(resident="no", accumulate=2)).chunks([plan]))
    assert [(real, first) for _, _, real, first in chunks] == [(4, 0), (3, 4)]
    shapes = [jax.tree.map(np.shape, (arrays, tuple(part))) for arrays, part, _, _ in chunks]
    assert shapes[0] == shapes[1]


def test_a_resident_dataset_is_one_chunk_and_the_plans_lie_side_by_side(prepared):
    plan = plan_of(prepared)
    other = epoch_plan(26, 4, seed=5, epoch=1)
    data = DeviceData(prepared.columns["train"], options_of(resident="yes"))
    ((arrays, parts, real, first),) = data.chunks([plan, other])
    for part, want in enumerate((plan, other)):
        jax.tree.map(lambda leaf, own, part=part: np.testing.assert_array_equal(leaf[part], own), parts, want)
    assert (real, first) == (7, 0)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(arrays))


@pytest.mark.parametrize(("room", "streams"), [(1, True), (10**12, False)])
def test_by_default_the_size_of_the_device_decides(prepared, monkeypatch, room, streams):
    monkeypatch.setattr(device_data, "device_memory", lambda: room)
    assert DeviceData(prepared.columns["train"], options_of()).streams is streams


def test_the_memory_is_the_least_of_all_processes(monkeypatch):
    whole = memory.device_memory()
    forget_memory()
    monkeypatch.setattr(processes, "least", lambda size: size // 2)
    half = memory.device_memory()
    forget_memory()
    assert whole // 2 == half


@pytest.mark.parametrize(("statistics", "bytes_"), [({"bytes_limit": 2**34}, 2**34), (None, 2**33), ({}, 2**33)])
def test_an_accelerator_has_the_memory_that_it_tells_of_and_never_that_of_the_machine(monkeypatch, statistics, bytes_):
    forget_memory()
    device = SimpleNamespace(platform="tpu", memory_stats=lambda: statistics)
    monkeypatch.setattr(jax, "local_devices", lambda: [device])
    monkeypatch.setattr(memory.os, "sysconf", lambda name: 2**20)
    monkeypatch.setattr(memory, "_limits", list)
    assert (memory.device_memory(), memory.host_memory()) == (bytes_, 2**40)
    forget_memory()


@pytest.mark.parametrize(
    ("groups", "files", "limits"),
    [
        (
            "0::/job/step\n",
            {"job/step/memory.max": "max", "job/memory.max": "4096", "memory.max": "8192"},
            [4096, 8192],
        ),
        ("0::/elsewhere\n", {"memory.max": "4096"}, [4096]),  # in a container its own group is the root
        ("4:memory:/job\n3:cpuset:/job\n0::/\n", {"memory/job/memory.limit_in_bytes": "4096"}, [4096]),
        ("0::/\n", {}, []),
        ("nothing that is known", {}, []),
    ],
)
def test_the_memory_of_a_job_is_what_its_control_groups_may_have(tmp_path, groups, files, limits):
    (tmp_path / "groups").write_text(groups)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    assert list(memory._limits(tmp_path / "groups", tmp_path)) == limits


def test_a_job_has_no_more_memory_than_its_limit(monkeypatch):
    forget_memory()
    monkeypatch.setattr(memory, "_limits", lambda: [2**62, 12345])
    assert memory.host_memory() == 12345
    forget_memory()


def forget_memory() -> None:
    memory.device_memory.cache_clear()
    memory.host_memory.cache_clear()


@pytest.mark.parametrize(("platform", "devices"), [("gpu", 4), ("cpu", 1)])
def test_devices_that_share_a_mini_batch_have_a_share_of_the_dataset_each(monkeypatch, platform, devices):
    monkeypatch.setattr(jax, "local_devices", lambda: [SimpleNamespace(platform=platform)])
    monkeypatch.setattr(device_data, "device_memory", lambda: 1000)
    room = int(devices * 1000 * device_data.SHARE)
    assert device_data.fits(room, options_of(data_devices=4))
    assert not device_data.fits(room + 1, options_of(data_devices=4))


def test_the_device_has_memory():
    assert memory.device_memory() > 2**27


@pytest.mark.usefixtures("toy")
def test_streaming_trains_to_the_same_bits(tmp_path, monkeypatch):
    dataset = tiny_dataset(modalities=("audio",), rows=(40, 8, 8))
    options = {"batch_size": 3, "accumulate": 2, "max_epochs": 3, "record_steps": 3}
    whole = train_toy(tmp_path / "whole", dataset, options={**options, "resident": "yes"})
    monkeypatch.setattr(device_data, "STREAM_BYTES", 1000)  # 4 of the 14 batches
    parts = train_toy(tmp_path / "parts", dataset, options={**options, "resident": "no"})
    found = [outcome(experiment.path) for experiment in (whole, parts)]
    for one in found:
        for run in one["result"]["runs"]:
            run["hyperparameters"].pop("resident")
    assert found[0] == found[1]
    assert len(found[0]["steps"]) == 1
