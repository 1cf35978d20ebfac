"""One side of a measurement in a process of its own, so that threads and memory of JAX and PyTorch never mix.

A side is a class with methods of plain arguments and results. Between two calls its process sleeps.
"""

import importlib
import multiprocessing
import traceback
from pathlib import Path
from typing import Any

from msa_jax.errors import first_line


class SideError(RuntimeError):
    """A call failed in the process of a side; the message has its traceback.

    reason: what failed, in one line.
    """

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


def one_line(error: Exception) -> str:
    """What failed, in one line: for messages."""
    if isinstance(error, SideError):
        return error.reason
    line = first_line(error)
    return line if line == type(error).__name__ else f"{type(error).__name__}: {line}"


class Worker:
    """A side, made and called in its process. Use as a context manager.

    Raises SideError if a call fails in the other process, or that process ends.
    """

    def __init__(self, side: str, *arguments: Any, **named: Any):
        """`side` is `module:Class`; the rest goes to the class."""
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other,), daemon=True)
        self._process.start()
        other.close()
        try:
            self.call(side, *arguments, **named)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def call(self, method: str, *arguments: Any, **named: Any) -> Any:
        """What the side's method returns."""
        try:
            self._pipe.send((method, arguments, named))
            failed, result = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join(10)
            reason = f"{method}: its process ended with code {self._process.exitcode}"
            raise SideError(reason, reason) from None
        if failed:
            reason, text = result
            raise SideError(reason, f"{method} failed in its process:\n{text}")
        return result

    def peak_mb(self) -> float:
        """The most memory that the process has held so far, in MiB (VmHWM)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024

    def close(self) -> None:
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _serve(pipe: Any) -> None:
    """Makes the side that the first message names, then answers calls until the pipe is closed."""
    side = None
    while True:
        try:
            method, arguments, named = pipe.recv()
        except EOFError:
            return
        try:
            if side is None:
                module, name = method.split(":")
                side, result = getattr(importlib.import_module(module), name)(*arguments, **named), None
            else:
                result = getattr(side, method)(*arguments, **named)
            pipe.send((False, result))
        except Exception as error:
            pipe.send((True, (one_line(error), traceback.format_exc())))
