"""Training programs for devices that are not there: exported for GPU and TPU, and compiled ahead of time for a TPU."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import jax
import numpy as np
import pytest

from msa_jax import config, methods
from msa_jax.data import make_synthetic
from msa_jax.encoders.bert import BertConfig
from msa_jax.methods.protocol import TextInput
from msa_jax.train.evaluate import Forward
from msa_jax.train.model import Model
from msa_jax.train.prepare import compute_dtype, example_batch, prepare
from msa_jax.train.runs import ONE, Layout
from msa_jax.train.state import Best
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


@pytest.mark.parametrize(("precision", "backend", "exact"), [
    ("float32", "gpu", True), ("float32", "cpu", False), ("bfloat16", "tpu", False),
])  # fmt: skip
def test_products_in_float32_are_those_of_float32(monkeypatch, precision, backend, exact):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    method = methods.get("text_only")
    options = method.options(precision=precision, batch_size=4, scratch_layers=1, scratch_width=32, max_tokens=8)
    prepared = prepare(tiny_dataset(modalities=("text",)), method, options)
    ((_, function, shapes),) = programs("text_only", options, prepared.inputs, prepared.columns["train"])
    forward = Forward(Model(method, options, prepared.inputs, compute_dtype(options)), ONE)
    held = forward.model.shapes(example_batch(prepared.columns["train"], 2))
    best = Best({path: jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype) for path, leaf in held.params.items()}, {})
    score = forward.outputs.compiled(1, {"capacity": None, "names": ("prediction",)})
    batch, place = example_batch(prepared.columns["train"], 2), np.zeros(2, np.int32)
    for lowered in (function.lower(*shapes), score.lower(best, {}, batch, place, place)):
        products = [line for line in lowered.as_text().splitlines() if "stablehlo.dot_general" in line]
        assert len(products) > 5
        assert {"precision = [HIGHEST, HIGHEST]" in line for line in products} == {exact}


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


@pytest.mark.slow
@pytest.mark.tpu_aot
def test_two_runs_on_two_chips_each_compile_for_a_tpu(capsys):
    (stage,) = compiled_elsewhere("text_only", data_devices=2, runs_per_program=2)
    with capsys.disabled():
        print("\ntwo runs on two chips each: {:.0f} + {:.0f} MiB".format(stage["arguments"], stage["temporary"]))
    assert stage["gflop"] > 0.1
    assert stage["arguments"] + stage["temporary"] < 16 * 1024


def compile_for_tpu(name: str, changes: dict) -> None:
    """Prints a line for each phase: MOSI's unaligned shapes, a BERT of MiniLM's sizes, four chips.

    changes: of options; by default all chips share each mini-batch of a single run.

    GFLOP of a step, MiB of arguments (state, dataset) and of temporary arrays, of each chip; seconds of the compiler.
    """
    from jax.experimental import topologies

    devices = tuple(topologies.get_topology_desc(platform="tpu", topology_name=SLICE).devices)
    changes = {"data_devices": len(devices), "runs_per_program": 1, "batch_size": 32, **changes}
    layout, runs = Layout(changes["data_devices"], devices), changes["runs_per_program"]
    jax.default_backend = lambda: "tpu"  # what code asks that has another way on a CPU
    dataset = make_synthetic(train=1284, valid=8, test=8, audio_steps=375, vision_steps=500)
    method = methods.get(name)
    options = config.override(method.options(), changes)
    prepared = prepare(dataset, method, options)
    assert prepared.inputs.text is not None
    bert = BertConfig(hidden_size=384, num_layers=6, intermediate_size=1536)
    text = TextInput(width=bert.hidden_size, steps=prepared.inputs.text.steps, bert=bert)
    inputs = replace(prepared.inputs, text=text)
    columns = prepared.columns["train"]
    for stage, function, shapes in programs(name, options, inputs, columns, layout=layout, runs=runs):
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
