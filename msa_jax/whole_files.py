"""Files that are there whole or not at all, whatever ends the process."""

import contextlib
import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from msa_jax import signals


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` once it is whole. Until then, or after an error, the old one stays.

    Raises:
      OSError: it cannot be written.
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with signals.unfinished(temporary):
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        _delete_left_behind(path)
    finally:
        with contextlib.suppress(OSError):  # the folder is gone, or nothing can be changed in it
            temporary.unlink()


def _delete_left_behind(path: Path) -> None:
    """Deletes what processes that were killed while they wrote this file left beside it."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*"):
        number = part.suffix[1:]
        if number.isdecimal() and not _lives(int(number)):
            part.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True
