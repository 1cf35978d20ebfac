"""Files and folders that are there whole or not at all, whatever ends the process."""

import contextlib
import os
import re
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from msa_jax import signals

# A part says where and by which process it is written. A number alone could be another machine's, or end a name of the user.
_PART = re.compile(r"\.(.+)\.([0-9a-f]{8})-(\d+)-([0-9a-f]{8})\.msa_jax-part", re.DOTALL)
_WORD = os.urandom(4).hex()  # of this process: in a container the next one may have the same number
_STREAM = re.compile(r"/dev/(stdout|stderr|fd/\d+)")  # other files of /dev are files: /dev/shm is a disk in memory
_SOON = 60  # seconds within which a folder that replaces another one is there
_LONG = 24 * 3600  # seconds after which nobody writes to a part any more


def _host() -> str:
    """Of this machine, since it was started, and of the group of processes whose numbers one sees here, as a container has it.

    Machines and containers can share a name.
    """
    words = [os.uname().nodename]
    with contextlib.suppress(OSError):  # Linux alone has these
        words.append(os.readlink("/proc/self/ns/pid"))
        words.append(Path("/proc/sys/kernel/random/boot_id").read_text())
    return f"{zlib.crc32(' '.join(words).encode(errors='surrogateescape')):08x}"


_HOST = _host()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` once it is whole. Until then, or after an error, the old one stays.

    A link stays one, and the file that it leads to is replaced. A device or a pipe is written to as it is.

    Raises:
      OSError: it cannot be written.
    """
    if _STREAM.fullmatch(str(path.absolute())):  # which may be a file, to the end of which a shell writes
        with open(path, "ab") as file:
            yield file
        return
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
      OSError: it cannot be written; with `os.replace` also where a folder that is not empty has come meanwhile.
    """
    path = path.absolute()
    part = _part(path)
    try:
        with signals.unfinished(part, aside=_part(path, os.urandom(4).hex())):
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
    gone = _part(folder, os.urandom(4).hex())  # a name that `put_back` does not look for
    replaced.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
    _delete_left_behind(folder.with_name(f"{folder.name}.old"))


def put_back(folder: Path) -> None:
    """Gives a folder that `replace_folder` had moved away when it was killed its name again, if nothing has that name.

    Of several the newest. Whether a process of another machine still lives is not known; what it moved away is put back after a
    minute.
    """
    if os.path.lexists(folder):
        return
    moved = [
        (path.lstat().st_ctime, path)
        for path, ended in _parts(folder.with_name(f"{folder.name}.old"))
        if _is_left(path, ended, after=_SOON)
    ]
    if moved:
        max(moved)[1].rename(folder)


def abandoned(folder: Path) -> list[Path]:
    """Parts anywhere in a folder that nobody writes to any more: of a process of this machine that has ended, or a day old.

    Parts of parts are not listed, and neither is what `put_back` may put back.
    """
    left = []
    for parent, names, files in os.walk(folder):
        parts = {name: found for name in (*names, *files) if (found := _PART.fullmatch(name)) is not None}
        names[:] = [name for name in names if name not in parts]
        paths = {Path(parent, name): found for name, found in parts.items() if not found[1].endswith(".old")}
        left += [path for path, found in paths.items() if _is_left(path, _has_ended(found), after=_LONG)]
    return left


def whole_name(name: str) -> str:
    """The name that a file or folder gets once it is whole; that of any other is its own."""
    found = _PART.fullmatch(name)
    return name if found is None else found[1]


def _part(path: Path, word: str = _WORD) -> Path:
    return path.parent / f".{path.name}.{_HOST}-{os.getpid()}-{word}.msa_jax-part"


def _delete_left_behind(path: Path) -> None:
    """Deletes what processes that were killed while they wrote this file or folder left beside it."""
    for part, ended in _parts(path):
        if _is_left(part, ended, after=_LONG):
            delete(part)


def delete(path: Path) -> None:
    """A file, a link, or a folder with all that is in it; as much as can be deleted."""
    with contextlib.suppress(OSError):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() and not path.is_symlink() else path.unlink()


def _is_left(part: Path, ended: bool | None, *, after: float) -> bool:
    """Whether nobody goes on with a part. Where that is not known (`_has_ended`): nothing in it changed for so many seconds."""
    if ended is not None:
        return ended
    inside = (Path(parent, name) for parent, names, files in os.walk(part) for name in (*names, *files))
    try:
        return max(path.lstat().st_ctime for path in (part, *inside)) < time.time() - after
    except OSError:  # something goes away at this moment
        return False


def _parts(path: Path) -> list[tuple[Path, bool | None]]:
    """The parts of this file or folder beside it, each with whether the process that began it has ended (`_has_ended`)."""
    found = {name: _PART.fullmatch(name) for name in os.listdir(path.parent)}
    return [
        (path.parent / name, _has_ended(one)) for name, one in found.items() if one is not None and one[1] == path.name
    ]


def _has_ended(part: re.Match[str]) -> bool | None:
    """Whether the process that began a part does not end it any more; None where this machine cannot know."""
    if part[2] != _HOST:
        return None
    number, own = int(part[3]), part[4] == _WORD
    return not _lives(number) or (number == os.getpid() and not own)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True
