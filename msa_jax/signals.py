"""Ctrl-C, SIGTERM and a terminal that is closed end the command at any moment: one line, exit status 130, 143 or 129.

Python's own way, an exception in the main thread, comes as late as that thread returns from the compiler or a device, and is
lost if it lands in a callback (JAX has one in the garbage collector). Here a thread of its own is told at once and ends the
process. That is safe, because every file is written whole or not at all: nothing waits to be put in order.

This module imports nothing but the standard library, so that it can be the first thing that a command does.
"""

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}
_ending: dict[str, tuple[int, object]] = {}  # "call": which thread ends the process, and a mark of its call
_taken = threading.Event()
_unfinished: dict[str | os.PathLike[str], Callable[[], None]] = {}  # and how each is deleted


def take_over() -> None:
    """Lets these signals end this process, from now on. Only for a process that is a command, in its main thread.

    A signal that this process was told to ignore (`nohup`, a script's background job) stays ignored. A process that is
    forked has the system's own behaviour again.
    """
    if _taken.is_set() or threading.current_thread() is not threading.main_thread():
        return
    _taken.set()
    heeded = [number for number in _WORDS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in heeded:
        signal.signal(number, lambda number, _: _end(number))
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    threading.Thread(target=_wait, args=(told,), name="signals", daemon=True).start()
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)

    def give_back() -> None:
        signal.set_wakeup_fd(-1)
        for number in heeded:
            signal.signal(number, signal.SIG_DFL)

    os.register_at_fork(after_in_child=give_back)


@contextlib.contextmanager
def unfinished(path: str | os.PathLike[str], aside: str | os.PathLike[str] | None = None) -> Iterator[None]:
    """A file or folder that is deleted if a signal ends the process meanwhile: the part of one that is not whole yet.

    Args:
      path: the part.
      aside: a name in the same folder that nothing has. A part that becomes a folder gets it before it is deleted: another
        thread may put the part in its place at this moment, and then it is there whole, and not half deleted.
    """
    import shutil  # not in `_end`, which may come in the middle of any import

    def delete() -> None:
        if aside is not None:
            os.rename(path, aside)
        gone = path if aside is None else aside
        shutil.rmtree(gone, ignore_errors=True) if os.path.isdir(gone) else os.unlink(gone)

    _unfinished[path] = delete
    try:
        yield
    finally:
        _unfinished.pop(path, None)


def without_overwrite() -> str:
    """What to say of the command that goes on, which would begin anew with `--overwrite`."""
    return " without --overwrite" if "--overwrite" in sys.argv else ""


def _wait(told: int) -> None:
    """Reads the numbers of signals as the system delivers them, whatever the main thread is doing."""
    while True:
        for number in os.read(told, 64):
            if number in _WORDS:
                _end(number)


def _end(number: int) -> None:
    call = (threading.get_ident(), object())
    first = _ending.setdefault("call", call)
    if first is not call:  # both the main thread and the one that waits are told
        if first[0] == call[0]:  # a second signal, while this thread ends the process
            return
        while True:  # what is not whole is being deleted: this thread may not put it in place any more
            time.sleep(1)
    command = f"the same command{without_overwrite()}"
    line = f"msa-jax: {_WORDS[signal.Signals(number)]}; what is done is kept, and {command} goes on\n"
    with contextlib.suppress(OSError):  # nobody reads standard error any more
        if select.select([], [2], [], 1.0)[1]:
            os.write(2, ("\n" * os.isatty(2) + line).encode())  # a terminal stands at the end of a bar, or of ^C
    for delete in tuple(_unfinished.values()):
        with contextlib.suppress(OSError):
            delete()
    os._exit(128 + number)
