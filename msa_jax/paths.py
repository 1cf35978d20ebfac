"""Paths as people write them, and names of theirs in the names of files."""

import hashlib
import os
import re
from pathlib import Path

from msa_jax.errors import InputError

_LONGEST = 100  # characters of a name in a path
_MOST_BYTES = 180  # of it; file systems take 255, with what is written beside it meanwhile


def user_path(path: str | Path) -> Path:
    """A path that someone wrote, `~` and `~name` expanded: a shell leaves them alone in `--out=~/runs`.

    Raises:
      InputError: nobody knows that home, or a file system cannot hold such a name.
    """
    if "\0" in str(path):
        raise InputError(f"{str(path)!r} is not a path, because it contains a zero character")
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no HOME and a user unknown to the system, or `~nosuchuser`
        raise InputError(f"{path}: the home folder behind ~ is not known; write the whole path") from None


def cache_folder() -> Path:
    """The folder of msa_jax in the user's cache. Raises InputError where the home folder is not known."""
    return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "msa_jax"


def file_name(name: str) -> str:
    """A name of someone's choice as a part of a path: one that stays where it is put, whatever stands in it.

    Letters, digits and `. _ -` stay; each run of others becomes one `_`. A long name is cut.
    """
    clean = re.sub(r"[^\w.\-]+", "_", name).lstrip("._-")[:_LONGEST]
    clean = clean.encode("utf-8", "ignore")[:_MOST_BYTES].decode("utf-8", "ignore")
    return clean.rstrip("_") or "unnamed"


def sha256(path: Path) -> str:
    """SHA-256 of a file's contents, in hexadecimal. OSError if it cannot be read."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shown(path: str | Path) -> str:
    """A path as text that can be written anywhere: bytes of a name that are no UTF-8 become escapes like `\\\\udcff`."""
    return str(path).encode("utf-8", "backslashreplace").decode()
