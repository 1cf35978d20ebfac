"""Several processes that extract clips side by side."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[1]


def run_jobs(jobs: Sequence[Mapping[str, Any]], *, workers: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and result of each job (`worker.run`), as they end. A process that a clip ends is replaced.

    Args:
      jobs: what JSON can hold.
      workers: processes.
    """
    waiting: queue.Queue[int] = queue.Queue()
    for number in range(len(jobs)):
        waiting.put(number)
    done: queue.Queue[tuple[int, dict[str, Any]] | BaseException] = queue.Queue()
    processes: list[subprocess.Popen[str]] = []
    threads = [
        threading.Thread(target=_serve, args=(jobs, waiting, done, processes), daemon=True)
        for _ in range(max(1, min(workers, len(jobs))))
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in jobs:
            result = done.get()
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        while not waiting.empty():
            try:
                waiting.get_nowait()
            except queue.Empty:
                break
        for process in processes:
            process.kill()
        for thread in threads:
            thread.join()


def _serve(jobs: Sequence[Mapping[str, Any]], waiting: queue.Queue, done: queue.Queue, processes: list) -> None:
    """One process and the jobs that it takes."""
    process = None
    try:
        while True:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                break
            if process is None:
                process = _started()
                processes.append(process)
            answer = _answer(process, jobs[number])
            if not answer:
                code = process.wait()
                ended = signal.Signals(-code).name if code < 0 else f"exit status {code}"
                result = {"error": f"reading it ended the process that did ({ended}): the file is damaged or malicious"}
                _close(process)
                process = None
            else:
                result = json.loads(answer)
            done.put((number, result))
    except BaseException as error:
        done.put(error)
    finally:
        if process is not None:
            _close(process)
            process.wait()


def _answer(process: subprocess.Popen[str], job: Mapping[str, Any]) -> str:
    """A line, or nothing where the process has ended."""
    try:
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        return process.stdout.readline()
    except (BrokenPipeError, ValueError):
        return ""


def _started() -> subprocess.Popen[str]:
    path = os.pathsep.join([str(_PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    # One thread each in numpy: the processes share the cores.
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return subprocess.Popen(
        [sys.executable, "-m", "msa_jax.extract.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        env={**os.environ, **threads, "PYTHONPATH": path},
        start_new_session=True,  # Ctrl-C in a terminal is told to the command, which ends and closes their input
    )


def _close(process: subprocess.Popen[str]) -> None:
    for stream in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            stream.close()
