"""The training programs of methods: how long they take to compile, and what they launch on a GPU."""

from collections.abc import Sequence

from msa_jax.methods import BUILT_IN
from scripts.benchmark_findings import Findings, say
from scripts.benchmark_worker import Worker
from scripts.benchmark_workload import Workload

COMPILATION, LAUNCHES = "scripts.benchmark_training:Compilation", "scripts.benchmark_launches:GPULaunches"


def measure_compilation(workload: Workload, findings: Findings) -> None:
    """How long the training programs of all methods are, and how long they take to compile."""
    for method in BUILT_IN:
        with Worker(COMPILATION, method, workload) as worker:
            programs = worker.call("programs")
        for name, stage, phase in programs:
            say(f"compilation, {name}")
            with Worker(COMPILATION, method, workload) as worker:
                findings.compile[name] = worker.call("measure", stage, phase)


def measure_launches(findings: Findings, names: Sequence[str] = BUILT_IN) -> None:
    """What the training steps of methods launch on a GPU that is not there."""
    for method in names:
        try:
            with Worker(LAUNCHES, method) as worker:
                programs = worker.call("names")
        except RuntimeError as error:
            raise SystemExit(f"launches: {str(error).splitlines()[-1].rpartition('Error: ')[2]}") from None
        for number, name in enumerate(programs):
            say(f"launches, {name}")
            with Worker(LAUNCHES, method) as worker:  # a compiler keeps its memory
                findings.launches[name] = worker.call("measure", number)
