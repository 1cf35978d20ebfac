"""What orbax says: nothing while all is well, and one line of ours for what the system has against a checkpoint."""

import contextlib
import functools
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msa_jax.errors import InputError, first_line
from msa_jax.train import processes


@functools.cache
def load_orbax() -> Any:
    """orbax, which takes half a second to import and keeps its log to itself: what goes wrong is an exception too."""
    import orbax.checkpoint as ocp

    inside = str(Path(ocp.__file__).parent)

    def of_others(record: logging.LogRecord) -> bool:
        trace = record.exc_info[2] if record.exc_info else None
        files = [record.pathname, *(frame.filename for frame in traceback.extract_tb(trace))]
        return inside not in record.getMessage() and not any(file.startswith(inside) for file in files)

    for name in ("absl", "asyncio"):  # it writes through the second, in threads of its own
        logging.getLogger(name).addFilter(of_others)
    silence_late_answers()
    return ocp


def silence_late_answers() -> None:
    """A read that fails ends all that belongs to it. Files that are read to their end afterwards find a loop that is closed,
    in threads where nobody can catch that; Python would print each of them below the error."""
    before = sys.unraisablehook

    def hook(met: Any) -> None:
        if not (isinstance(met.exc_value, RuntimeError) and str(met.exc_value) == "Event loop is closed"):
            before(met)

    sys.unraisablehook = hook


@contextlib.contextmanager
def writing(path: Path, held: int | None = None) -> Iterator[None]:
    """Turns what orbax says of a disk that is full, a quota, or a folder that is gone or read-only into an InputError.

    held: the open folder, which knows that it was removed even if orbax has made another one of its name meanwhile.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = _system_error(error)
        removed = held is not None and os.fstat(held).st_nlink == 0
        if reason is None and (removed or not path.is_dir()):  # orbax finds out by itself, in words of its own
            reason = "the folder was removed"
        if reason is None:
            raise
        raise InputError(
            f"{path}: the checkpoint cannot be written ({reason}); once it can be, the same command goes on from the last "
            "one that is whole"
        ) from None


def _system_error(error: BaseException | None) -> str | None:
    """What the system said, where an error or one that it came from is one of the system's; None for any other."""
    seen = []
    while error is not None and error not in seen:
        seen.append(error)
        code = re.search(r"os_error_code='(\d+)'", str(error))  # as tensorstore has it
        if code:
            return os.strerror(int(code[1]))
        if isinstance(error, OSError):
            return error.strerror or first_line(error)
        error = error.__cause__ or error.__context__
    return None


def check_there(folder: Path) -> None:
    """Raises InputError where somebody has removed the folder, which nothing that is written may make again."""
    if processes.is_primary() and not folder.is_dir():
        raise InputError(f"{folder}: the folder was removed while it was being trained into")
