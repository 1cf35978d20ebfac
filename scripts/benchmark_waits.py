"""What people wait for besides training steps: a first step, a first score, a sweep."""

import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from scripts.benchmark_effort import Effort, cores
from scripts.benchmark_findings import Findings, ratio, take_turns
from scripts.benchmark_serving import folders
from scripts.benchmark_worker import Worker
from scripts.benchmark_workload import Workload

START, PEER_START = "scripts.benchmark_start:OurStart", "scripts.benchmark_start:PeerStart"
EXPERIMENT, SERVING = "scripts.benchmark_serving:OurExperiment", "scripts.benchmark_serving:OurServing"
PEER_SERVING, SWEEP = "scripts.benchmark_peer_serving:PeerServing", "scripts.benchmark_sweep:OurSweep"
PEERS = "self_mm"  # the method of which there is a peer
# A grid of four points of each method, as its paper varies them, and one of learning rates that differ much.
GRIDS = {
    "mmcl": {"weights.uni": [0.6, 0.7], "weights.sentiment": [0.9, 1.0]},
    "self_mm": {"dropout.m": [0.0, 0.1], "dropout.a": [0.0, 0.1]},
}
RATES = {"learning_rate.other": [1e-3, 3e-3, 1e-6, 3e-6, 1e-7, 3e-7]}
PRUNED_EPOCHS = 6


def measure_start(method: str, workload: Workload, effort: Effort, findings: Findings) -> None:
    """Seconds from nothing to the end of a first mini-batch: cold, with nothing kept, and warm."""
    warm, eager = [], []
    with TemporaryDirectory() as cache:
        findings.seconds[f"{method} start cold"] = _first_step(START, method, workload, cache)
        for _ in range(effort.starts):
            warm.append(_first_step(START, method, workload, cache))
            if method == PEERS:
                eager.append(_first_step(PEER_START, workload, threads=cores(), device=effort.device))
    findings.seconds[f"{method} start warm"] = statistics.median(warm)
    if eager:
        findings.seconds[f"{method} eager start"] = statistics.median(eager)
        findings.ratios[f"start_{method}"] = ratio(eager, warm)


def _first_step(side: str, *arguments: Any, **named: Any) -> float:
    with Worker(side, *arguments, **named) as worker:
        return worker.call("first_step")


def measure_serving(text_encoder: str, effort: Effort, findings: Findings) -> None:
    """Seconds of loading a model, of its first score and of a further one, and memory; ours with kept programs but for cold."""
    with TemporaryDirectory() as root:
        experiment, samples, cache = folders(root)
        with Worker(EXPERIMENT, experiment, text_encoder, str(Path(root) / "training")) as worker:
            worker.call("samples", samples)
        peer = text_encoder, samples, str(Path(root) / "weights.pt")
        with Worker(PEER_SERVING, *peer, threads=cores()) as worker:
            worker.call("save")
        with Worker(SERVING, experiment, samples, cache) as cold:
            findings.seconds["serving ours load cold"] = cold.call("load")
            findings.seconds["serving ours first cold"] = cold.call("first")
            cold.call("further")  # compiles the rest
        sides = {
            "ours": lambda: _served(SERVING, experiment, samples, cache),
            "eager": lambda: _served(PEER_SERVING, *peer, threads=cores()),
        }
        turns = take_turns(sides, effort.starts)
    for what in ("load", "first", "further"):
        seconds = {side: [turn[what] for turn in each] for side, each in turns.items()}
        for side, each in seconds.items():
            findings.seconds[f"serving {side} {what}"] = statistics.median(each)
        findings.ratios[f"serving_{what}"] = ratio(seconds["eager"], seconds["ours"])
    for side, each in turns.items():
        findings.memory_mb[f"serving {side}"] = statistics.median(turn["memory"] for turn in each)


def _served(side: str, *arguments: Any, **named: Any) -> dict[str, float]:
    with Worker(side, *arguments, **named) as worker:
        found = {what: worker.call(what) for what in ("load", "first", "further")}
        return {**found, "memory": worker.peak_mb()}


def measure_sweep(method: str, workload: Workload, effort: Effort, findings: Findings) -> None:
    """An epoch of a point on a frozen text encoder, points side by side and one after the other."""
    alone, epochs = {"together": 1}, effort.sweep_epochs
    with TemporaryDirectory() as cache, Worker(SWEEP, method, GRIDS[method], workload, cache) as worker:
        worker.call("block", 1)
        worker.call("block", 1, **alone)  # both are compiled
        sides = {
            "side by side": lambda: worker.call("block", epochs)["epoch"],
            "in a row": lambda: worker.call("block", epochs, **alone)["epoch"],
        }
        seconds = take_turns(sides, effort.starts)
    for how, each in seconds.items():
        findings.seconds[f"{method} sweep, epoch of a point {how}"] = statistics.median(each)
    findings.ratios[f"sweep_{method}"] = ratio(seconds["in a row"], seconds["side by side"])


def measure_pruning(workload: Workload, findings: Findings) -> None:
    """A sweep of Self-MM over learning rates on a frozen text encoder, with pruning and without."""
    with TemporaryDirectory() as cache, Worker(SWEEP, "self_mm", RATES, workload, cache) as worker:
        worker.call("block", 1)
        whole, pruned = (worker.call("block", PRUNED_EPOCHS, prune=prune) for prune in (False, True))
    findings.counts |= {"sweep epochs": int(whole["epochs"]), "sweep epochs pruned": int(pruned["epochs"])}
    findings.ratios["sweep_pruned"] = ratio([whole["seconds"]], [pruned["seconds"]])
