"""Training programs for devices that are not there: exported for GPU and TPU, and compiled ahead of time for a TPU."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import jax
import pytest

from msa_jax import config, methods
from msa_jax.data import make_synthetic
from msa_jax.encoders.bert import BertConfig
from msa_jax.methods.protocol import TextInput
from msa_jax.train.prepare import prepare
from msa_jax.train.runs import Layout
from tests.paths import REPOSITORY
from tests.tiny import QUICK, tiny_dataset
from tests.train.abstract import programs

METHODS = tuple(methods.METHODS)
SLICE = "v5e:2x2"


# The conformance suite exports a step of every method; this is the whole program of an epoch.
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "text_only" else pytest.mark.slow) for name in METHODS]
)
def test_training_exports_for_gpu_and_tpu(name, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")  # what code asks that has another way on a CPU
    method = methods.get(name)
    options = method.options()
    known = config.flatten(options)
    options = config.override(options, {option: value for option, value in QUICK.items() if option in known})
    dataset = tiny_dataset(text="text_bert", human_labels=True, aligned=method.needs_aligned(options))
    prepared = prepare(dataset, method, options)
    found = list(programs(name, options, prepared.inputs, prepared.columns["train"]))
    stages = method.stages(options, prepared.inputs)
    assert [each for each, _, _ in found] == [
        f"{stage.name}/{phase.name}" for stage in stages for phase in stage.phases
    ]
    for _, function, shapes in found:
        exported = jax.export.export(function, platforms=("cuda", "tpu"))(*shapes)
        assert exported.platforms == ("cuda", "tpu")
        assert len(exported.in_avals) == len(jax.tree.leaves(shapes))
        # An epoch gives the state that it takes, so that epochs can follow each other.
        states = jax.tree.leaves(shapes[0])
        assert [leaf.shape for leaf in exported.out_avals[: len(states)]] == [leaf.shape for leaf in states]
        assert "bf16" in exported.mlir_module()


# Describing a TPU starts its library, which then is there for the whole process: so in another one.
def compiled_elsewhere(name: str, **options) -> list[dict]:
    pytest.importorskip("libtpu")
    found = subprocess.run(
        [sys.executable, "-m", "tests.train.test_elsewhere", name, json.dumps(options)],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-3000:]
    return [json.loads(line) for line in found.stdout.splitlines() if line.startswith("{")]


@pytest.mark.slow
@pytest.mark.tpu_aot
@pytest.mark.parametrize("name", METHODS)
def test_every_stage_compiles_for_a_tpu_that_is_not_there(name, capsys):
    for stage in compiled_elsewhere(name):
        figures = (stage[key] for key in ("gflop", "arguments", "temporary", "seconds"))
        with capsys.disabled():
            print(
                "\n{:10s} {:16s} {:7.1f} GFLOP, {:5.0f} + {:5.0f} MiB, {:4.0f} s".format(name, stage["stage"], *figures)
            )
        assert stage["gflop"] > 0.1
        assert stage["arguments"] + stage["temporary"] < 16 * 1024  # of a v5e


@pytest.mark.slow
@pytest.mark.tpu_aot
def test_layers_that_are_computed_again_save_memory_on_a_tpu(capsys):
    kept, again = (compiled_elsewhere("text_only", batch_size=1024, remat=remat)[0] for remat in (False, True))
    with capsys.disabled():
        print("\ntemporary {:.0f} MiB, with remat {:.0f}".format(kept["temporary"], again["temporary"]))
    assert again["temporary"] < 0.7 * kept["temporary"]


def compile_for_tpu(name: str, changes: dict) -> None:
    """Prints a line for each phase: MOSI's unaligned shapes, a BERT of MiniLM's sizes, 4 chips that share mini-batches.

    GFLOP of a step, MiB of arguments (state, dataset) and of temporary arrays, of each chip; seconds of the compiler.
    """
    from jax.experimental import topologies

    devices = tuple(topologies.get_topology_desc(platform="tpu", topology_name=SLICE).devices)
    layout = Layout(len(devices), devices)
    jax.default_backend = lambda: "tpu"  # what code asks that has another way on a CPU
    dataset = make_synthetic(train=1284, valid=8, test=8, audio_steps=375, vision_steps=500)
    method = methods.get(name)
    options = config.override(method.options(), {"data_devices": len(devices), "batch_size": 32, **changes})
    prepared = prepare(dataset, method, options)
    assert prepared.inputs.text is not None
    bert = BertConfig(hidden_size=384, num_layers=6, intermediate_size=1536)
    text = TextInput(width=bert.hidden_size, steps=prepared.inputs.text.steps, bert=bert)
    inputs = replace(prepared.inputs, text=text)
    for stage, function, shapes in programs(name, options, inputs, prepared.columns["train"], layout=layout):
        begun = time.monotonic()
        compiled = function.lower(*shapes).compile()
        memory = compiled.memory_analysis()
        line = {
            "stage": stage,
            "gflop": compiled.cost_analysis()["flops"] / 1e9,
            "arguments": memory.argument_size_in_bytes / 2**20,
            "temporary": memory.temp_size_in_bytes / 2**20,
            "seconds": time.monotonic() - begun,
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    compile_for_tpu(sys.argv[1], json.loads(sys.argv[2]))
