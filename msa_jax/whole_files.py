"""Files and folders that are there whole or not at all, whatever ends the process."""

import contextlib
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from msa_jax import signals

# A part says which machine and which process writes it. A number alone could be another machine's, or end a name of the user.
_PART = re.compile(r"\.(.+)\.([0-9a-f]{8})-(\d+)-([0-9a-f]{8})\.msa_jax-part", re.DOTALL)
_HOST = f"{zlib.crc32(os.uname().nodename.encode(errors='surrogateescape')):08x}"
_WORD = os.urandom(4).hex()  # of this process: in a container the next one may have the same number


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
    try:
        with signals.unfinished(part):
            part.mkdir(parents=True)
            yield part
            place(part, path)
        _delete_left_behind(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def replace_folder(part: Path, folder: Path) -> None:
    """Puts a folder in the place of one that is there; for `new_folder`. The old one is deleted, or stays after an error.

    If the process is killed between the two steps, `put_back` finds the old one.
    """
    if not folder.exists():
        part.rename(folder)
        return
    replaced = _part(folder.with_name(f"{folder.name}.old"))
    folder.rename(replaced)
    try:
        part.rename(folder)
    except OSError:
        replaced.rename(folder)
        raise
    shutil.rmtree(replaced, ignore_errors=True)
    _delete_left_behind(folder.with_name(f"{folder.name}.old"))


def put_back(folder: Path) -> None:
    """Gives a folder that `replace_folder` had moved away when it was killed its name again, if nothing has that name."""
    for replaced in _left_behind(folder.with_name(f"{folder.name}.old")):
        if not folder.exists():
            replaced.rename(folder)


def whole_name(name: str) -> str:
    """The name that a file or folder gets once it is whole; that of any other is its own."""
    found = _PART.fullmatch(name)
    return name if found is None else found[1]


def _part(path: Path) -> Path:
    return path.parent / f".{path.name}.{_HOST}-{os.getpid()}-{_WORD}.msa_jax-part"


def _delete_left_behind(path: Path) -> None:
    """Deletes what processes that were killed while they wrote this file or folder left beside it."""
    for part in _left_behind(path):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                part.unlink()


def _left_behind(path: Path) -> list[Path]:
    """Parts of this file or folder that a process of this machine began and does not end any more."""
    left = []
    for name in os.listdir(path.parent):
        found = _PART.fullmatch(name)
        if found is None or found[1] != path.name or found[2] != _HOST:
            continue
        number, own = int(found[3]), found[4] == _WORD
        if not _lives(number) or (number == os.getpid() and not own):
            left.append(path.parent / name)
    return left


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True
