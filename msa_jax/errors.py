"""The kinds of message that a user gets, and what is quoted in them."""


class InputError(ValueError):
    """The input, an option or a file is wrong. The command prints the message as one line and exits with status 2."""


class MethodError(InputError):
    """A method does not keep to `msa_jax.methods.protocol`: an unknown name, or an output or term of another shape."""


class DataWarning(UserWarning):
    """Something in the data was repaired or differs from what is known of it; the work goes on."""


class TrainingStopped(InputError):
    """Training cannot go on: a loss is not finite. The message names run, epoch, step and loss term."""


def first_line(error: Exception) -> str:
    """What an error of a library says, in one line: its first, or its kind where it says nothing."""
    return (str(error) or type(error).__name__).splitlines()[0]
