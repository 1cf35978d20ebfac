"""What the benchmark has found, and how it is shown."""

import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LAUNCH_COUNTS = ("launches", "host_conditions", "bytes")


@dataclass(kw_only=True)
class Findings:
    """ratios: {name: {"median", "low", "high"}} over repetitions. seconds, memory_mb, counts: {name: value}.
    compile: {program: {"stablehlo_lines", "cold_seconds", "compiler_seconds"}}.
    launches: {program: {"launches", "host_conditions", "arguments_mb", "temporary_mb", "compiler_seconds"}, and "bytes" if the
    compiler says them}. failed: {section: why, in one line}."""

    ratios: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    memory_mb: dict[str, float] = field(default_factory=dict)
    compile: dict[str, dict[str, float]] = field(default_factory=dict)
    launches: dict[str, dict[str, float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def ratio(over: Sequence[float], under: Sequence[float]) -> dict[str, float]:
    """Of one side to another, turn by turn."""
    return spread([one / other for one, other in zip(over, under, strict=True)])


def take_turns(sides: Mapping[str, Callable[[], float]], repetitions: int) -> dict[str, list[float]]:
    """Calls every side once, then again, ...: what each returned, in order."""
    results: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repetitions):
        for name, side in sides.items():
            results[name].append(side())
    return results


def report(findings: Findings, place: Mapping[str, Any], packages: Mapping[str, str]) -> str:
    from msa_jax.report.table import Table

    ratios = Table(
        columns=("ratio", "median", "low", "high"),
        rows=[
            (name, *(f"{value[key]:.2f}" for key in ("median", "low", "high")))
            for name, value in findings.ratios.items()
        ],
        caption="ratios, as scripts/benchmark --help explains them",
    )
    times = [
        (name, f"{value:.2f} s" if value >= 1 else f"{1000 * value:.2f} ms") for name, value in findings.seconds.items()
    ]
    memory = [(f"{name} memory", f"{value:.0f} MiB") for name, value in findings.memory_mb.items()]
    counts = [(name, f"{value:,}") for name, value in findings.counts.items()]
    times += [(f"{name} compilation", f"{value['cold_seconds']:.1f} s") for name, value in findings.compile.items()]
    counts += [
        (f"{name} StableHLO", f"{value['stablehlo_lines']:,.0f} lines") for name, value in findings.compile.items()
    ]
    for name, value in findings.launches.items():
        counts += [(f"{name} launches on an H200", f"{value['launches']:,.0f}")]
        counts += [(f"{name} bytes on an H200", f"{value['bytes']:,.0f}")] if "bytes" in value else []
        memory += [(f"{name} temporary memory on an H200", f"{value['temporary_mb']:.0f} MiB")]
    line = f"{place['cpu']}, {place['cores']} cores, load average at the start {place['load']}"
    if "gpu" in place:
        line = f"{place['gpu']}; {line}"
    rest = Table(
        columns=("measured", "value"),
        rows=times + memory + counts,
        notes=(line, ", ".join(f"{name} {value}" for name, value in packages.items())),
    )
    return "\n\n".join(table.text() for table in (ratios, rest))


def launches_of(findings: Findings) -> dict[str, Any]:
    """The launches of each step by name, its conditions that make the host wait, its bytes, and everything else about it."""
    if not findings.launches:
        return {}
    counts = {
        key: {name: int(step[key]) for name, step in findings.launches.items() if key in step} for key in LAUNCH_COUNTS
    }
    rest = {name: {k: v for k, v in step.items() if k not in LAUNCH_COUNTS} for name, step in findings.launches.items()}
    return {**{key: found for key, found in counts.items() if found}, "launch_programs": rest}


def as_json(findings: Findings, place: Mapping[str, Any], packages: Mapping[str, str]) -> bytes:
    """Everything, for a file."""
    content = {
        "ratios": findings.ratios,
        "seconds": findings.seconds,
        "memory_mb": findings.memory_mb,
        "counts": findings.counts,
        "compile": findings.compile,
        **launches_of(findings),
        "failed": findings.failed,
        "machine": place,
        "versions": packages,
    }
    return (json.dumps(content, indent=1) + "\n").encode()


def say(line: str) -> None:
    """Progress, to stderr."""
    print(line, file=sys.stderr, flush=True)
