"""The parts that the benchmark consists of: each can fail without the others."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from msa_jax.methods import BUILT_IN
from scripts import benchmark_programs as programs
from scripts import benchmark_side_by_side as sides
from scripts import benchmark_waits as waits
from scripts.benchmark_effort import Effort
from scripts.benchmark_findings import Findings, say
from scripts.benchmark_worker import one_line
from scripts.benchmark_workload import ENCODERS, FROZEN, KINDS, Workload

Section = tuple[str, Callable[[Findings], None]]  # a name, and what measures


def sections(
    names: Sequence[str],
    effort: Effort,
    *,
    methods: Sequence[str] = BUILT_IN,
    text_encoder: str | None = None,
    data: str | None = None,
    folder: str = "",
    tokens: tuple[int, ...] | None = None,
) -> Iterator[Section]:
    """What `names` ask for, in order.

    Args:
      methods: of systems, compile, launches and start.
      text_encoder: of serving and of the dataset; without one, serving is left out.
      data: the dataset; without one, it is left out. folder: with its arrays for the peer. tokens: of its utterances.
    """
    for name, encoder in ENCODERS.items():
        workload = Workload(encoder=encoder, tokens=tokens)
        if peers := [kind for kind in KINDS if f"{name}_{kind}" in names]:
            yield f"training, {name}", partial(sides.measure_training, name, peers, workload, effort)
        if f"five_seeds_{name}" in names:
            yield f"five seeds, {name}", partial(sides.measure_seeds, name, workload, effort)
        if f"methods_{name}" in names:
            yield f"methods, {name}", partial(sides.measure_methods, name, sides.OTHERS, workload, effort)
            yield f"stages, {name}", partial(sides.measure_methods, name, sides.STAGES, workload, effort)
        if f"peak_share_{name}" in names:
            yield f"share of the peak, {name}", partial(sides.measure_peak_share, name, workload, effort)
    if "step_cost_1e6_over_1e3" in names:
        yield "cost of a step", partial(sides.measure_step_cost, effort)
    if "five_seeds_frozen" in names:
        yield "five seeds, frozen", partial(sides.measure_frozen_seeds, effort)
    small = Workload(encoder=ENCODERS["minilm"])
    if "compile" in names:
        yield from ((f"compile, {name}", partial(programs.measure_compilation, name, small)) for name in methods)
    if "launches" in names:
        yield from ((f"launches, {name}", partial(programs.measure_launches, name)) for name in methods)
    if "systems" in names:
        systems = [name for name in sides.SYSTEMS if name in methods]
        yield from ((f"systems, {name}", partial(sides.measure_system, name, effort)) for name in systems)
    if "mult" in names:
        yield "mult", partial(sides.measure_mult, effort)
    if "start" in names:
        yield from ((f"start, {name}", partial(waits.measure_start, name, small, effort)) for name in methods)
    if "serving" in names and text_encoder is not None:
        yield "serving", partial(waits.measure_serving, text_encoder, effort)
    if "sweep" in names:
        yield from ((f"sweep, {name}", partial(waits.measure_sweep, name, FROZEN, effort)) for name in waits.GRIDS)
        yield "sweep, pruned", partial(waits.measure_pruning, FROZEN)
    if "attention" in names:
        yield "windowed and dense attention", partial(sides.measure_attention, effort)
    if "dataset" in names and data is not None and text_encoder is not None:
        yield "the dataset", partial(sides.measure_dataset, data, text_encoder, folder, effort)


def measure_all(parts: Iterator[Section], findings: Findings, keep: Callable[[], None]) -> None:
    """Measures one section after the other. One that fails is named in one line, and the others go on.

    keep: called after each section, to write what is found so far.
    """
    for name, measure in parts:
        say(name)
        try:
            measure(findings)
        except Exception as error:
            findings.failed[name] = one_line(error)
            say(f"{name}: {findings.failed[name]}")
        keep()
