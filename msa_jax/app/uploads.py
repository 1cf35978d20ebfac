"""Clips that a browser sends: taken up to a size, in a folder of their own, and deleted when they have been scored."""

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from pathlib import Path

from msa_jax import signals
from msa_jax.errors import InputError


class TooLarge(InputError):
    """An upload is larger than is allowed."""


@contextlib.asynccontextmanager
async def received(
    name: str, chunks: AsyncIterable[bytes], *, stated: int | None, most: int, suffixes: Sequence[str]
) -> AsyncIterator[Path]:
    """The file with these bytes, alone in a folder that is deleted at the end, whatever happens meanwhile.

    Args:
      name: that the file has with the user; its suffix alone is used.
      chunks: the bytes.
      stated: how many there will be, if it is said.
      most: bytes that are taken.
      suffixes: in small letters, of which the name must have one.

    Raises:
      InputError: another suffix, or no byte. TooLarge: too many bytes. OSError: the disk is full.
    """
    suffix = next((one for one in suffixes if name.lower().endswith(one)), None)
    if suffix is None:
        raise InputError(f"{name or 'a file without a name'}: no clip by its name; expected {', '.join(suffixes)}")
    limit = TooLarge(f"{name}: larger than {most / 2**20:g} MB; `msa-jax app --max-upload MB` allows more")
    if stated is not None and stated > most:
        raise limit
    folder = Path(tempfile.mkdtemp(prefix="msa_jax_app_"))
    try:
        with signals.unfinished(folder):
            path, size = folder / f"clip{suffix}", 0
            with path.open("xb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > most:
                        raise limit
                    file.write(chunk)
            if not size:
                raise InputError(f"{name}: the file is empty")
            yield path
    finally:
        shutil.rmtree(folder, ignore_errors=True)
