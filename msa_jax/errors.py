"""The kinds of message that a user gets, and what is quoted in them."""

LONGEST = 1000  # characters of a message


class InputError(ValueError):
    """The input, an option or a file is wrong. The command prints the message as one line and exits with status 2."""


class MethodError(InputError):
    """A method does not keep to `msa_jax.methods.protocol`: an unknown name, or an output or term of another shape."""


class DataWarning(UserWarning):
    """Something in the data was repaired or differs from what is known of it; the work goes on."""


class TrainingStopped(InputError):
    """Training cannot go on: a loss is not finite. The message names run, epoch, step and loss term."""


def one_line(error: Exception) -> str:
    """The message of an error as one line that fits a screen: what is long in it, such as a value, loses its middle."""
    text = " ".join(str(error).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


def first_line(error: Exception) -> str:
    """What an error of a library says, in one line: its first, or its kind where it says nothing."""
    return (str(error) or type(error).__name__).splitlines()[0]
