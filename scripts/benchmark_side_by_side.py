"""Training of ours beside that of the peer, or of one method beside another, the sides taking turns."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from msa_jax import config
from scripts.benchmark_effort import MATMULS, Effort, cores
from scripts.benchmark_findings import Findings, ratio, take_turns
from scripts.benchmark_worker import Worker
from scripts.benchmark_workload import ALIGNED, ENCODERS, ROWS, SEEDS, UNALIGNED, WINDOW, Workload

OURS, PEER, OUR_SEEDS = "scripts.benchmark_ours:", "scripts.benchmark_peer:", "scripts.benchmark_seeds:OurSeeds"
METHOD, ATTENTION = "scripts.benchmark_methods:MethodCost", "scripts.benchmark_methods:AttentionCost"
PEER_SYSTEM = "scripts.benchmark_peer_systems:PeerSystem"
SYSTEMS = ("tfn", "lmf", "lf_dnn", "ef_lstm", "lf_lstm", "mfn", "graph_mfn", "mfm", "mtfn", "mlmf", "mlf_dnn")
# What is compared with Self-MM, and the options in which it differs from its defaults, or the stage that is trained.
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "sugrm": ("sugrm", {}),
    "mmcl": ("mmcl", {}),
    "mmcl_no_contrast": ("mmcl", {"contrast": ""}),
    "mmcl_linear": ("mmcl", {"unimodal": "linear"}),
}
# The first stages of ConFEDE are those of DMMSA. Measured apart from the others: each of them is a process with its memory.
STAGES: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"dmmsa/{stage}": ("dmmsa", {"stage": stage}) for stage in ("text_head", "text", "audio", "vision", "fusion")},
    "confede/fusion": ("confede", {"stage": "fusion"}),
}
LENGTHS = (500, 1000, 2000, 4000)
SMALL, LARGE = 1_000, 1_000_000


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


def measure_methods(
    name: str,
    others: Mapping[str, tuple[str, dict[str, Any]]],
    workload: Workload,
    effort: Effort,
    findings: Findings,
) -> None:
    """A training step and a prediction of each of `others`, and their ratios to Self-MM's.

    Of a method of several stages a step of each is measured, at the stage's own batch size, and a prediction of the last.
    """
    steps = effort.method_steps[name]
    with ExitStack() as stack:
        workers = {
            label: stack.enter_context(Worker(METHOD, method, workload, **changes))
            for label, (method, changes) in {"self_mm": ("self_mm", {}), **others}.items()
        }
        whole = {method: worker for method, worker in workers.items() if _predicts(others.get(method))}
        for method, worker in workers.items():
            worker.call("train", 1)
            if method in whole:
                worker.call("predict", 1)
                findings.counts[f"{method} parameters besides {name}'s"] = worker.call("parameters")
        for what, measured in (("train", workers), ("predict", whole)):
            sides = {
                method: lambda worker=worker, what=what: worker.call(what, steps) for method, worker in measured.items()
            }
            seconds = take_turns(sides, effort.repetitions[name])
            for method, each in seconds.items():
                findings.seconds[f"{name} {method} {what} batch"] = statistics.median(each)
            for method in measured.keys() - {"self_mm"}:
                findings.ratios[f"{method}_over_self_mm_{what}_{name}"] = ratio(seconds[method], seconds["self_mm"])


def _predicts(side: tuple[str, dict[str, Any]] | None) -> bool:
    """Whether a side of `measure_methods` is a whole method, or its last stage."""
    return side is None or side[1].get("stage", "fusion") == "fusion"


def mmsa_options(name: str) -> dict[str, Any]:
    """MMSA's options of a system on MOSI, as far as they differ from its reference protocol; {} if MMSA has no such system."""
    preset = f"{name}_mosi_mmsa"
    given = config.load_preset(preset).options if preset in config.preset_names() else {}
    return {option: value for option, value in given.items() if option != "batch_size"}


def measure_system(name: str, effort: Effort, findings: Findings) -> None:
    """A training step and an epoch of a compared system, and the ratio of the step to PyTorch's."""
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
        findings.seconds |= step_and_epoch(f"{name} {kind}", statistics.median(each), ALIGNED)
    findings.ratios[name] = ratio(seconds["eager"], seconds["ours"])
    findings.ratios[f"{name}_masked"] = ratio(seconds["eager"], seconds["masked"])


def step_and_epoch(name: str, step: float, workload: Workload) -> dict[str, float]:
    """Seconds of a step, and of as many as an epoch of MOSI's training rows has in batches of that size, scoring left out."""
    return {f"{name} step": step, f"{name} epoch": math.ceil(ROWS / workload.batch_size) * step}


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
        findings.seconds |= step_and_epoch(f"mult {kind}", statistics.median(each), UNALIGNED)
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
            theirs.append(peer.call("block", epoch + 1))  # the first epoch of both sides generates no labels
            findings.seconds.setdefault("dataset ours cold epoch", first)
        findings.memory_mb |= {"dataset ours": ours.peak_mb(), "dataset eager": peer.peak_mb()}
    findings.seconds["dataset ours epoch"] = statistics.median(mine)
    findings.seconds["dataset eager epoch"] = statistics.median(theirs)
    findings.ratios["dataset_eager"] = ratio(theirs, mine)
