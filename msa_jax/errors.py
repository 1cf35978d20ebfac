"""The kinds of message that a user gets, and what is quoted in them."""

import contextlib
import sys
from collections.abc import Mapping
from typing import Any

LONGEST = 1000  # characters of a message


class InputError(ValueError):
    """The input, an option or a file is wrong. The command prints the message as one line and exits with status 2."""


class MethodError(InputError):
    """A method does not keep to `msa_jax.methods.protocol`: an unknown name, or an output or term of another shape."""


class Unavailable(InputError):
    """What is asked for is right, but a folder is in use or cannot be written, so the same may work later. So no table takes it
    for something that a method cannot do."""


class DataWarning(UserWarning):
    """Something in the data was repaired or differs from what is known of it; the work goes on."""


class TrainingStopped(InputError):
    """Training cannot go on: a loss is not finite. The message names run, epoch, step and loss term."""


class OutOfMemory(TrainingStopped):
    """Training cannot go on: a device has too little memory for it. The message names what needs less.

    runs: how many runs side by side may have room, if fewer may, and these have nothing yet that would be lost.
    """

    def __init__(self, message: str, runs: int | None = None):
        super().__init__(message)
        self.runs = runs


def install(extra: str) -> str:
    """What to do where a package of one of msa_jax's extras is missing. msa_jax is installed from its source alone."""
    return f"pip install '.[{extra}]' in the source folder of msa_jax"


def refuse_newer(content: Mapping[str, Any], newest: int, source: str) -> None:
    """Checks the format number of a file that msa_jax wrote.

    Args:
      content: of the file. One without "format" is of format 1, which is what versions wrote that had no number.
      newest: the highest number that this version reads.
      source: the file, for the message.

    Raises:
      InputError: the number is higher, or no whole number from 1.
    """
    found = content.get("format", 1)
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise InputError(f"{source}: format is {found!r}; expected a whole number from 1 to {newest}")
    if found > newest:
        raise InputError(f"{source}: format {found} is of a newer msa_jax, this one reads format {newest}; upgrade it")


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


def visible(text: str) -> str:
    """A text for a terminal: control characters become escapes like `\\x1b`, so that names and messages cannot steer it."""
    return text.translate(_CONTROLS)


def one_line(error: Exception) -> str:
    """The message of an error as one line that fits a screen: what is long in it, such as a value, loses its middle."""
    text = visible(" ".join(str(error).split()))
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


def tell(*lines: str) -> None:
    """Prints lines on standard error. A log that is full, or that nobody reads any more, ends no work."""
    if sys.stderr is None:  # which `2>&-` closes
        return
    with contextlib.suppress(OSError):
        sys.stderr.writelines(f"{line}\n" for line in lines)
        sys.stderr.flush()


def first_line(error: Exception) -> str:
    """What an error of a library says, in one line: its first, or its kind where it says nothing."""
    return (str(error) or type(error).__name__).splitlines()[0]
