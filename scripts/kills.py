"""Kills trainings at random moments and resumes them by the same command: does each end as one that nothing disturbed?

    scripts/kills [--kills N] [--seed S] [--jobs J] [--json FILE]
    scripts/kills --table FILE [FILE ...]

Every job trains a small experiment, or a sweep, again and again. Each start is ended by SIGKILL, SIGTERM or SIGINT: at a
moment of the whole command, start-up included, or just after it has begun to write a file. A start that comes to its end is
compared with the undisturbed one: results, predictions, parameters, lines of every epoch, generated labels, bit for bit.
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
ENDS_WITHIN = 10.0  # seconds from the signal to the end of the process
ENDING = 1.0  # seconds that a process may still take, if it was ending by itself when the signal came
_SMALL = {
    "preset": "none",
    "scratch-layers": "1",
    "scratch-width": "32",
    "max-tokens": "12",
    "batch-size": "8",
    "max-epochs": "4",
    "checkpoint-epochs": "1",
    "runs-per-program": "1",
}
_STAGES = {
    **{f"stage-{name}.max-epochs": "2" for name in ("text", "audio", "vision")},
    "width": "8",
    "audio-layers": "1",
    "vision-layers": "1",
    "heads": "2",
    "feedforward": "8",
    "projection": "8",
}


def _options(options: Mapping[str, str]) -> list[str]:
    return ["--seeds", "1", "2", *(word for name, value in options.items() for word in (f"--{name}", value))]


COMMANDS = {
    "self_mm": ["train", "self_mm", *_options(_SMALL), "--record-labels"],
    "text_only": ["train", "text_only", *_options(_SMALL)],
    "dmmsa": ["train", "dmmsa", *_options({**_SMALL, **_STAGES})],
    "sweep": ["sweep", "self_mm", *_options(_SMALL), "--grid", "learning_rate.other=0.001,0.01"],
}


@dataclass(frozen=True)
class Kill:
    """What came of a signal, or of the comparison at an end, which has no signal.

    seconds: from the signal to the end. early: before the command could hear it. fault: None if all is well.
    """

    command: str
    signal: str
    when: str
    seconds: float
    early: bool
    fault: str | None


def contents(folder: Path) -> dict[str, Any]:
    """All of a finished experiment or sweep that must not depend on when it was killed, by name."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.name == "metrics.csv":
            with path.open(encoding="utf-8", newline="") as file:
                found[name] = [{**line, "seconds": 0} for line in csv.DictReader(file)]
        elif path.suffix == ".csv":
            found[name] = path.read_bytes()
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                found |= {f"{name}/{key}": file[key].tobytes() for key in file.files}
        elif path.name == "params.json":
            found |= {f"{name}/{key}": value for key, value in _parameters(path.parent).items()}
        elif path.suffix == ".jsonl":
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            found[name] = [{**line, "seconds": 0} for line in lines]
        elif path.name in ("result.json", "ranking.json", "best.json"):
            content = json.loads(path.read_text(encoding="utf-8"))
            found[name] = {key: value for key, value in content.items() if key not in ("seconds", "process")}
    return found


def _parameters(folder: Path) -> dict[str, Any]:
    """What the network of a run or stage holds, by path; why not, if it is not whole."""
    from msa_jax.errors import InputError
    from msa_jax.train.checkpoint import read_variables

    try:
        collections = read_variables(folder)
    except InputError as error:
        return {"": str(error)}
    return {f"{kind}/{key}": array.tobytes() for kind, arrays in collections.items() for key, array in arrays.items()}


def temporary(folder: Path) -> list[str]:
    """What lies in it that is not whole."""
    names = [name for _, folders, files in os.walk(folder) for name in (*folders, *files)]
    return [
        name
        for name in names
        if "orbax-checkpoint-tmp" in name
        or name == ".state.gone"  # a state that is being deleted
        or name.endswith(".msa_jax-part")
    ]


class Job:
    """A command that is killed until it has been killed often enough."""

    def __init__(self, name: str, data: Path, folder: Path, environment: dict[str, str]):
        self.name, self._folder, self._environment = name, folder, environment
        self._line = [sys.executable, "-m", "msa_jax", *COMMANDS[name], "--data", str(data), "--quiet", "--out"]
        self._start(folder / "first").communicate()  # compiles
        begun = time.monotonic()
        with self._start(folder / "straight") as process:
            error = process.communicate()[1]
        if process.returncode != 0:
            raise SystemExit(f"{name} fails without being killed: {error.strip()}")
        self.seconds = time.monotonic() - begun
        self._wanted = contents(folder / "straight")

    def _start(self, out: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self._line, str(out)],
            cwd=REPOSITORY,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def kills(self, count: int, rng: random.Random) -> Iterator[Kill]:
        """At least `count` of them; the last start always comes to its end."""
        out, done = self._folder / "killed", 0
        while True:
            fault = None
            if not (out / "result.json").is_file():  # or the last kill came when everything was written
                process, kill = self._start(out), None
                if done < count:
                    kill = self._kill(process, out, rng)
                error = process.communicate()[1]
                if kill is not None:
                    done += 1
                    yield kill
                    continue
                fault = None if process.returncode == 0 else f"the command fails: {error.strip()[-300:]}"
            if fault is None:
                found = contents(out)
                differ = sorted(
                    key for key in found.keys() | self._wanted.keys() if found.get(key) != self._wanted.get(key)
                )
                fault = f"differs: {', '.join(differ[:3])}" if differ else None
                fault = fault or next((f"left behind: {name}" for name in temporary(out)), None)
            if fault is not None:
                yield Kill(self.name, "", "compared at the end", 0.0, False, fault)
            shutil.rmtree(out, ignore_errors=True)
            if done >= count or (fault or "").startswith("the command fails"):
                return

    def _kill(self, process: subprocess.Popen[str], out: Path, rng: random.Random) -> Kill | None:
        """Sends a signal at a moment of its own; None where the command came to its end before."""
        number, writing = rng.choice(SIGNALS), rng.random() < 0.5
        begun, moment, skip = time.monotonic(), rng.uniform(0, self.seconds), rng.randrange(12)
        seen: set[str] = set()
        while process.poll() is None and time.monotonic() < begun + (3 * self.seconds if writing else moment):
            if writing:
                seen.update(temporary(out))
                if len(seen) > skip:
                    time.sleep(rng.uniform(0, 0.01))
                    break
            time.sleep(0.001)
        early, sent = not hears(process.pid), time.monotonic()
        if process.poll() is not None:
            return None
        process.send_signal(number)
        fault = None
        try:
            process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            fault = f"did not end within {ENDS_WITHIN:.0f} s"
        seconds, error = time.monotonic() - sent, process.stderr.read()
        if process.returncode == 0 and fault is None:
            if early or number == signal.SIGKILL or seconds < ENDING:
                return None  # it had just come to its end
            fault = "went on after the signal"
        if fault is None and not early:
            expected = -number if number == signal.SIGKILL else 128 + number
            if process.returncode != expected:
                fault = f"exit status {process.returncode}, expected {expected}"
            elif number != signal.SIGKILL and len(error.splitlines()) != 1:
                fault = f"{len(error.splitlines())} lines, expected one"
        when = "writing" if writing else f"{sent - begun:.2f} s"
        return Kill(self.name, number.name, when, round(seconds, 3), early, fault)


def hears(pid: int) -> bool:
    """Whether a process has a handler for SIGTERM: until then Python itself starts, and dies in its own way."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return True
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), "0")
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def table(kills: Sequence[Kill]) -> str:
    """A line for each command and signal."""
    lines = [
        "| command | signal | kills | before it could be heard | slowest end | faults |",
        "|---|---|---|---|---|---|",
    ]
    for command in dict.fromkeys(kill.command for kill in kills):
        for number in SIGNALS:
            own = [kill for kill in kills if (kill.command, kill.signal) == (command, number.name)]
            slowest = max((kill.seconds for kill in own), default=0)
            faults, early = sum(kill.fault is not None for kill in own), sum(kill.early for kill in own)
            lines.append(f"| {command} | {number.name} | {len(own)} | {early} | {slowest:.2f} s | {faults} |")
    changed = [kill for kill in kills if not kill.signal]
    total = len(kills) - len(changed)
    return "\n".join([*lines, "", f"{total} kills, {len(changed)} lost or changed results"])


def run(
    names: Sequence[str], *, count: int, seed: int, jobs: int, log: Any = None, file: Path | None = None
) -> list[Kill]:
    """Kills of all commands together, about as many of each. The file holds all that were made so far, at any moment."""
    # A shell that started this in the background has told it to ignore Ctrl-C, and so would be the commands.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    from msa_jax.data import write_native
    from msa_jax.testing import tiny_dataset

    found: list[Kill] = []
    lock = threading.Lock()
    with tempfile.TemporaryDirectory(prefix="msa_jax_kills_") as place:
        data = Path(place) / "data"
        write_native(tiny_dataset(), data)
        cache = {"JAX_COMPILATION_CACHE_DIR": f"{place}/compiled", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        environment = {"JAX_PLATFORMS": "cpu", **os.environ, **cache}

        def work(place_of: int) -> None:
            name = names[place_of % len(names)]
            share = len(range(place_of, count, max(jobs, len(names))))
            job = Job(name, data, Path(place) / str(place_of), environment)
            for kill in job.kills(share, random.Random(f"{seed} {place_of}")):
                with lock:
                    found.append(kill)
                    if file is not None:
                        whole = file.with_name(f".{file.name}.new")
                        whole.write_text(
                            json.dumps([asdict(kill) for kill in found], indent=1) + "\n", encoding="utf-8"
                        )
                        whole.replace(file)
                    if log is not None and (kill.fault or len(found) % 20 == 0):
                        log.write(f"{len(found)} {kill}\n")
                        log.flush()

        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(work, range(max(jobs, len(names)))))
    return found


def main() -> int:
    """Returns 1 where a result was lost or changed, or a process did not end as it should."""
    parser = argparse.ArgumentParser(prog="scripts/kills", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, metavar="N", help="of all commands together")
    parser.add_argument("--seed", type=int, default=0, help="of the signals and moments")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--commands", nargs="+", choices=list(COMMANDS), default=list(COMMANDS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes every kill as it is made")
    parser.add_argument("--table", nargs="+", type=Path, metavar="FILE", help="kills nothing: the table of such files")
    arguments = parser.parse_args()
    if arguments.table:
        kills = [Kill(**kill) for file in arguments.table for kill in json.loads(file.read_text(encoding="utf-8"))]
    else:
        kills = run(
            arguments.commands,
            count=arguments.kills,
            seed=arguments.seed,
            jobs=arguments.jobs,
            log=sys.stderr,
            file=arguments.json,
        )
    print(table(kills))
    for kill in kills:
        if kill.fault is not None:
            print(kill)
    return int(any(kill.fault is not None for kill in kills))


if __name__ == "__main__":
    sys.exit(main())
