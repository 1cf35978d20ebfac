"""Training programs for devices that are not there: exported for GPU and TPU, and compiled ahead of time for a TPU."""

import json
import subprocess
import sys
from dataclasses import replace

import jax
import pytest

from msa_jax import config, methods
from msa_jax.data import make_synthetic
from msa_jax.encoders.bert import BertConfig
from msa_jax.train.mesh import Layout
from msa_jax.train.prepare import prepare
from tests.paths import REPOSITORY
from tests.tiny import QUICK, tiny_dataset
from tests.train.abstract import programs

METHODS = tuple(methods.METHODS)
SLICE = "v5e:2x2"


@pytest.mark.parametrize("name", METHODS)
def test_every_stage_exports_for_gpu_and_tpu(name):
    dataset = tiny_dataset()
    method = methods.get(name)
    options = config.override(method.options(), QUICK)
    prepared = prepare(dataset, method, options)
    found = list(programs(name, options, prepared.inputs, prepared.columns["train"]))
    assert [stage for stage, _, _ in found] == [stage.name for stage in method.stages(options, prepared.inputs)]
    for _, function, shapes in found[-1:]:
        exported = jax.export.export(function, platforms=("cuda", "tpu"))(*shapes)
        assert exported.platforms == ("cuda", "tpu")
        again = jax.export.deserialize(exported.serialize(vjp_order=0))
        assert again.in_avals == exported.in_avals
        # An epoch gives the state that it takes, so that epochs can follow each other.
        states = jax.tree.leaves(shapes[0])
        assert [leaf.shape for leaf in exported.out_avals[: len(states)]] == [leaf.shape for leaf in states]


# Describing a TPU starts its library, which then is there for the whole process: so in another one.
@pytest.mark.tpu_aot
@pytest.mark.parametrize("name", METHODS)
def test_every_stage_compiles_for_a_tpu_that_is_not_there(name, capsys):
    pytest.importorskip("libtpu")
    found = subprocess.run(
        [sys.executable, "-m", "tests.train.test_elsewhere", name],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-3000:]
    with capsys.disabled():
        for line in found.stdout.splitlines():
            stage = json.loads(line)
            print(
                f"\n{name:10s} {stage['stage']:8s} {stage['gflop']:8.1f} GFLOP a step and device, {stage['memory']:6.0f} MiB: "
                f"arguments {stage['arguments']:.0f}, temporary {stage['temporary']:.0f}; with remat "
                f"{stage['temporary_remat']:.0f}",
                end="",
            )
            assert stage["gflop"] > 1
            assert stage["memory"] < 16 * 1024  # of a v5e
            assert stage["temporary_remat"] <= stage["temporary"]


def compile_for_tpu(name: str) -> None:
    """Prints a JSON line for each stage: MOSI's unaligned shapes, BERT-base, 4 chips that share mini-batches of 32."""
    from jax.experimental import topologies

    devices = tuple(topologies.get_topology_desc(platform="tpu", topology_name=SLICE).devices)
    layout = Layout(len(devices), devices)
    jax.default_backend = lambda: "tpu"  # what code asks that has another way on a CPU
    dataset = make_synthetic(train=256, valid=8, test=8, audio_steps=375, vision_steps=500)
    method = methods.get(name)
    options = config.override(method.options(), {"data_devices": len(devices), "batch_size": 32})
    prepared = prepare(dataset, method, options)
    inputs = replace(prepared.inputs, text=BertConfig())
    columns = prepared.columns["train"]
    compiled = [
        [
            (stage, function.lower(*shapes).compile())
            for stage, function, shapes in programs(name, replace(options, remat=remat), inputs, columns, layout=layout)
        ]
        for remat in (False, True)
    ]
    for (stage, kept), (_, again) in zip(*compiled, strict=True):
        memory = kept.memory_analysis()
        print(
            json.dumps(
                {
                    "stage": stage,
                    "gflop": kept.cost_analysis()["flops"] / 1e9,
                    "arguments": memory.argument_size_in_bytes / 2**20,
                    "temporary": memory.temp_size_in_bytes / 2**20,
                    "temporary_remat": again.memory_analysis().temp_size_in_bytes / 2**20,
                    "memory": (memory.argument_size_in_bytes + memory.temp_size_in_bytes) / 2**20,
                }
            )
        )


if __name__ == "__main__":
    compile_for_tpu(sys.argv[1])
