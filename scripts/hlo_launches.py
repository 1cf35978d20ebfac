"""How many kernels a GPU launches for one call of a compiled program, counted in its optimised HLO."""

import re
from collections import Counter
from dataclasses import dataclass, field

# Instructions that launch nothing: they name a part of something, or stand for a constant.
_NOTHING = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "replica-id"),
    *("opt-barrier", "domain", "add-dependency", "copy-done", "async-done", "async-update"),
}
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{\s*$")
_INSTRUCTION = re.compile(r"^(?:ROOT )?%?[\w.\-]+ = (?:\(.*?\)|\S+) ([a-z][\w\-]*)\(")
_TRIPS = re.compile(r'known_trip_count":\s*\{"n":"(\d+)"')


@dataclass
class Launches:
    """kinds: launches by instruction. host_conditions: places with a conditional, or a loop whose number of rounds is not known
    when the program is compiled: there the host waits until the device has computed a condition, in each round of a loop
    around it. where: launches by what the program calls the place, loops included."""

    kinds: Counter = field(default_factory=Counter)
    host_conditions: int = 0
    where: Counter = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return sum(self.kinds.values())

    def add(self, other: "Launches", times: int = 1) -> None:
        for name, count in other.kinds.items():
            self.kinds[name] += times * count
        for name, count in other.where.items():
            self.where[name] += times * count
        self.host_conditions += other.host_conditions


def count_launches(hlo: str) -> Launches:
    """The launches of one call.

    A loop counts as often as its body runs, once if nobody knows how often; a conditional by its longest branch.

    Args:
      hlo: `compiled.as_text()` of a program for a GPU.

    Raises:
      ValueError: a text without an entry.
    """
    bodies, entry = _computations(hlo)
    if entry is None:
        raise ValueError("no ENTRY in the text; expected the optimised HLO of a compiled program")
    known: dict[str, Launches] = {}

    def of(name: str) -> Launches:
        if name not in known:
            known[name] = found = Launches()
            for line in bodies[name]:
                instruction = _INSTRUCTION.match(line)
                if instruction:
                    _add(found, instruction.group(1), line)
        return known[name]

    def _add(found: Launches, kind: str, line: str) -> None:
        if kind == "while":
            trips = _TRIPS.search(line)
            times = int(trips.group(1)) if trips else 1
            found.host_conditions += trips is None
            for part in ("body", "condition"):
                found.add(of(_called(line, part)), times)
        elif kind == "conditional":
            found.host_conditions += 1
            found.add(max((of(name) for name in _branches(line)), key=lambda branch: branch.total))
        elif kind == "call":
            found.add(of(_called(line, "to_apply")))
        elif kind not in _NOTHING:
            found.kinds[kind] += 1
            place = re.search(r'op_name="([^"]*)"', line)
            found.where[place.group(1) if place else kind] += 1

    return of(entry)


def _computations(hlo: str) -> tuple[dict[str, list[str]], str | None]:
    """{name: its instructions}, and which is the entry."""
    bodies: dict[str, list[str]] = {}
    entry, current = None, ""
    for line in hlo.splitlines():
        if head := _COMPUTATION.match(line):
            current = head.group(2)
            bodies[current] = []
            entry = current if head.group(1) else entry
        elif current and line.startswith("  "):
            bodies[current].append(line.strip())
    return bodies, entry


def _called(line: str, part: str) -> str:
    found = re.search(rf"{part}=%?([\w.\-]+)", line)
    assert found is not None, line
    return found.group(1)


def _branches(line: str) -> list[str]:
    listed = re.search(r"branch_computations=\{([^}]*)\}", line)
    if listed is not None:
        return re.findall(r"[\w.\-]+", listed.group(1))
    return re.findall(r"(?:true|false)_computation=%?([\w.\-]+)", line)
