"""The two kinds of message a user gets."""


class InputError(ValueError):
    """The input, an option or a file is wrong. The command prints the message as one line and exits with status 2."""


class DataWarning(UserWarning):
    """Something in the data was repaired or differs from what is known of it; the work goes on."""


class TrainingStopped(InputError):
    """Training cannot go on: a loss is not finite. The message names run, epoch, step and loss term."""
