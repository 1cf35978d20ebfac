"""What a training step launches on a GPU that is not there: how it is counted, and that it stays few."""

import json
import os
import subprocess
import sys

import jax
import pytest

from msa_jax import methods
from msa_jax.methods import BUILT_IN
from scripts import benchmark_findings, benchmark_launches, benchmark_programs, benchmark_shapes
from scripts.benchmark_training import columns_of, inputs_of, options_of
from scripts.benchmark_workload import Encoder, Workload
from scripts.hlo_launches import count_launches
from tests.paths import REPOSITORY

ENCODER = Encoder(hidden_size=32, num_layers=1, num_heads=2, intermediate_size=64, max_positions=64)
WORKLOAD = Workload(encoder=ENCODER, rows=8, batch_size=4, audio=(12, 5), vision=(14, 20))
LOOP = """
%body (state: (s32[], f32[4])) -> (s32[], f32[4]) {
  %state = (s32[], f32[4]) parameter(0)
  %number = s32[] get-tuple-element(%state), index=0
  %values = f32[4]{0} get-tuple-element(%state), index=1
  %loop_add_fusion = s32[] fusion(%number), kind=kLoop, calls=%fused_add
  %sorted = (f32[4]{0}, /*index=1*/f32[4]{0}) sort(%values, %values), dimensions={0}, metadata={op_name="step/sort"}
  ROOT %next = (s32[], f32[4]) tuple(%loop_add_fusion, %values)
}

%condition (state: (s32[], f32[4])) -> pred[] {
  %state.1 = (s32[], f32[4]) parameter(0)
  %number.1 = s32[] get-tuple-element(%state.1), index=0
  ROOT %compare_fusion = pred[] fusion(%number.1), kind=kLoop, calls=%fused_compare
}

%short (x: f32[4]) -> f32[4] {
  ROOT %x = f32[4]{0} parameter(0)
}

%long (y: f32[4]) -> f32[4] {
  %y = f32[4]{0} parameter(0)
  ROOT %copy.1 = f32[4]{0} copy(%y)
}

ENTRY %main (values: f32[4]) -> f32[4] {
  %values.1 = f32[4]{0} parameter(0)
  %while.1 = (s32[], f32[4]) while(%values.1), condition=%condition, body=%body@TRIPS
  %which = f32[4]{0} conditional(%values.1, %values.1, %values.1), branch_computations={%short, %long}
  %gemm = (f32[4,4]{1,0}, s8[0]{0}) custom-call(%values.1), custom_call_target="__cublas$gemm"
  ROOT %bitcast.1 = f32[4]{0} bitcast(%which)
}
"""


def test_a_loop_counts_as_often_as_it_runs_and_a_conditional_by_its_longest_branch():
    hlo = LOOP.replace("@TRIPS", ', backend_config={"known_trip_count":{"n":"7"}}')
    found = count_launches(hlo)
    assert found.total == 7 * (2 + 1) + 1 + 1
    assert found.kinds == {"fusion": 14, "sort": 7, "copy": 1, "custom-call": 1}
    assert found.host_conditions == 1
    assert found.where["step/sort"] == 7


def test_a_loop_of_unknown_length_counts_once_and_makes_the_host_wait():
    found = count_launches(LOOP.replace("@TRIPS", ""))
    assert found.total == 3 + 1 + 1
    assert found.host_conditions == 2
    with pytest.raises(ValueError, match="no ENTRY"):
        count_launches("nothing")


def test_a_place_at_which_the_host_waits_counts_once_inside_a_loop_too():
    inside = "%which.1 = f32[4]{0} conditional(%values, %values, %values), branch_computations={%short, %long}"
    hlo = LOOP.replace("  ROOT %next", f"  {inside}\n  ROOT %next")
    found = count_launches(hlo.replace("@TRIPS", ', backend_config={"known_trip_count":{"n":"7"}}'))
    assert found.host_conditions == 2
    assert found.kinds["copy"] == 7 + 1


def test_counts_are_written_by_name_beside_what_else_is_known():
    step = {"launches": 12.0, "host_conditions": 0.0, "arguments_mb": 1.5, "temporary_mb": 2.5, "compiler_seconds": 3.0}
    launches = {"dmmsa/fusion": step, "text_only": {**step, "bytes": 3e9}}
    found = benchmark_findings.launches_of(benchmark_findings.Findings(launches=launches))
    assert found["launches"] == {"dmmsa/fusion": 12, "text_only": 12}
    assert found["host_conditions"] == {"dmmsa/fusion": 0, "text_only": 0}
    assert found["bytes"] == {"text_only": 3_000_000_000}
    assert found["launch_programs"]["text_only"].keys() == {"arguments_mb", "temporary_mb", "compiler_seconds"}
    assert benchmark_findings.launches_of(benchmark_findings.Findings()) == {}


class Silent:
    """A compiled program that does not say what it costs."""

    def cost_analysis(self):
        return None


def test_bytes_are_those_the_compiler_counts_and_absent_if_it_counts_none():
    size = 1000
    compiled = jax.jit(lambda x: x + 1).lower(jax.ShapeDtypeStruct((size,), "float32")).compile()
    assert benchmark_launches.bytes_accessed(compiled) == {"bytes": 2 * 4 * size}
    assert benchmark_launches.bytes_accessed(Silent()) == {}


class OneStep:
    """In the place of a worker: one step of a method, which launches as many kernels as its name has letters."""

    def __init__(self, side, method, **changes):
        self.name = method + "".join(f"/{option} {value}" for option, value in changes.items())

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def call(self, what, *number):
        return [self.name] if what == "names" else {"launches": len(self.name)}


def test_self_mm_is_counted_with_its_kernel_too(monkeypatch):
    monkeypatch.setattr(benchmark_programs, "Worker", OneStep)
    findings = benchmark_findings.Findings()
    benchmark_programs.measure_launches("self_mm", findings)
    benchmark_programs.measure_launches("text_only", findings)
    assert findings.launches.keys() == {"self_mm", "self_mm/lstm kernel", "text_only"}
    assert findings.launches["self_mm/lstm kernel"] == {"launches": 19}


def test_every_bound_is_of_a_step_that_is_counted():
    counted = {OneStep("", method, **changes).name for method, changes in benchmark_programs.VARIANTS.items()}
    inputs = inputs_of(columns_of(WORKLOAD), WORKLOAD)
    for name in BUILT_IN:
        method = methods.get(name)
        stages = [stage.name for stage in method.stages(options_of(name, WORKLOAD), inputs)]
        counted |= {f"{name}/{stage}" for stage in stages} if len(stages) > 1 else {name}
    assert set(MOST) <= counted


@pytest.mark.slow
def test_the_kernel_is_launched_once_for_each_lstm_and_direction(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    (program,) = benchmark_shapes.phase_shapes("self_mm", WORKLOAD, lstm="kernel")
    step, arguments = benchmark_launches.step_of(program)
    lowered = jax.jit(step, donate_argnums=1).trace(*arguments).lower(lowering_platforms=("cuda",))
    assert program.name == "self_mm/lstm kernel"
    assert lowered.as_text().count("custom_call @__gpu$xla.gpu.triton(") == 4


# -- needs the extra `cuda`: compiled for a GPU, minutes each ---------------------------------------------------------

# The most launches of a step at MOSI's shapes and BERT-base's sizes: 1.15 times what docs/speed.md has.
MOST = {
    "text_only": 1_130,
    "self_mm": 4_240,
    "self_mm/lstm kernel": 1_290,
    "sugrm": 3_380,
    "dmmsa/text_head": 53,
    "dmmsa/text": 1_200,
    "dmmsa/audio": 420,
    "dmmsa/vision": 420,
    "dmmsa/fusion": 1_170,
    "mmcl": 8_140,
}
OTHERS = 12_000  # of steps that are not on that page
MOST_TEMPORARY = 8 * 1024  # MiB
# That a step reads and writes, loops once: what an H200 moves in a fifth of a second. No page has numbers of single steps yet.
MOST_BYTES = 1e12


def shown(step: str, found: dict[str, float]) -> str:
    """What is known of a step, in one line."""
    moved = f", {found['bytes'] / 1e9:8,.1f} GB moved" if "bytes" in found else ""
    return f"{step:24s} {found['launches']:6,.0f} launches, {found['temporary_mb']:6,.0f} MiB temporary{moved}"


def check_bounds(step: str, found: dict[str, float]) -> None:
    """Raises AssertionError if a step is beyond one of its bounds."""
    assert 0 < found["launches"] <= MOST.get(step, OTHERS)
    assert found["host_conditions"] == 0
    assert 0 < found["temporary_mb"] <= MOST_TEMPORARY
    assert 0 < found.get("bytes", 1) <= MOST_BYTES  # not every compiler says them


def test_bytes_are_shown_and_bounded_if_they_are_known():
    found = {"launches": 50.0, "host_conditions": 0.0, "temporary_mb": 4.0}
    check_bounds("dmmsa/text_head", found)
    check_bounds("dmmsa/text_head", {**found, "bytes": 3e9})
    assert "moved" not in shown("dmmsa/text_head", found)
    assert "3.0 GB moved" in shown("dmmsa/text_head", {**found, "bytes": 3e9})
    for worse in ({"bytes": 0.0}, {"bytes": 2e12}, {"launches": 54.0}, {"host_conditions": 1.0}, {"temporary_mb": 1e4}):
        with pytest.raises(AssertionError):
            check_bounds("dmmsa/text_head", {**found, **worse})


@pytest.mark.slow
@pytest.mark.gpu_aot
@pytest.mark.parametrize("name", BUILT_IN)
def test_every_stage_compiles_for_a_gpu_that_is_not_there_and_launches_few_kernels(name, tmp_path, capsys):
    pytest.importorskip("jax_cuda13_plugin")
    # In another process: what code asks for the device it runs on is answered otherwise there.
    file = tmp_path / "launches.json"
    run = subprocess.run(
        [sys.executable, "-m", "tests.test_launches", name, str(file)],
        cwd=REPOSITORY, env={**os.environ, "JAX_PLATFORMS": "cpu"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    for step, found in json.loads(file.read_text()).items():
        with capsys.disabled():
            print(f"\n{shown(step, found)}")
        check_bounds(step, found)


if __name__ == "__main__":
    findings = benchmark_findings.Findings()
    benchmark_programs.measure_launches(sys.argv[1], findings)
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(findings.launches, file)
