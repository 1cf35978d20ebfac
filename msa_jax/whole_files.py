"""Files and folders that are there whole or not at all, whatever ends the process."""

import contextlib
import glob
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from msa_jax import signals


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` once it is whole. Until then, or after an error, the old one stays.

    A link stays one, and the file that it leads to is replaced. A device or a pipe is written to as it is.

    Raises:
      OSError: it cannot be written.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file() and not path.is_dir():
        with open(path, "wb") as file:
            yield file
        return
    temporary = _part(path)
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


@contextlib.contextmanager
def new_folder(path: Path, place: Callable[[Path, Path], object] = os.replace) -> Iterator[Path]:
    """A folder to fill, which takes the place of `path` once it is whole; after an error there is none.

    Args:
      path: nothing, or an empty folder.
      place: (folder to fill, path): puts it there.

    Raises:
      OSError: it cannot be written.
    """
    path = path.absolute()
    part = _part(path)
    shutil.rmtree(part, ignore_errors=True)  # of a dead process with the same number, as in containers
    try:
        with signals.unfinished(part):
            part.mkdir(parents=True)
            yield part
            place(part, path)
        _delete_left_behind(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _part(path: Path) -> Path:
    return path.parent / f".{path.name}.{os.getpid()}"


def _delete_left_behind(path: Path) -> None:
    """Deletes what processes that were killed while they wrote this file or folder left beside it."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*"):
        number = part.suffix[1:]
        if number.isdecimal() and not _lives(int(number)):
            if part.is_dir() and not part.is_symlink():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True
