"""The training programs of methods: how long they take to compile, and what they launch on a GPU."""

from typing import Any

from scripts.benchmark_findings import Findings, say
from scripts.benchmark_worker import Worker
from scripts.benchmark_workload import Workload

COMPILATION, LAUNCHES = "scripts.benchmark_shapes:Compilation", "scripts.benchmark_launches:GPULaunches"
PLUGIN = "jax_cuda13_plugin"  # has the compiler for an NVIDIA GPU
# What is counted of a method besides its defaults.
VARIANTS: dict[str, dict[str, Any]] = {"self_mm": {"lstm": "kernel"}}


def measure_compilation(method: str, workload: Workload, findings: Findings) -> None:
    """How long the training programs of a method are, and how long they take to compile."""
    with Worker(COMPILATION, method, workload) as worker:
        programs = worker.call("names")
    for number, name in enumerate(programs):
        if name != method:
            say(f"compile, {name}")
        with Worker(COMPILATION, method, workload) as worker:
            findings.compile[name] = worker.call("measure", number)


def measure_launches(method: str, findings: Findings) -> None:
    """What the training steps of a method launch on a GPU that is not there, at its defaults and in its variant."""
    for changes in ({}, VARIANTS[method]) if method in VARIANTS else ({},):
        with Worker(LAUNCHES, method, **changes) as worker:
            programs = worker.call("names")
        for number, name in enumerate(programs):
            if name != method:
                say(f"launches, {name}")
            with Worker(LAUNCHES, method, **changes) as worker:  # a compiler keeps its memory
                findings.launches[name] = worker.call("measure", number)
