"""What a person sees while training: one line an epoch, and a bar that is there only on a terminal."""

from typing import TextIO


class Progress:
    """Writes to a stream; silent where it is None. The bar is drawn only where the stream is a terminal.

    bar: whether it may be. An epoch is walked in parts for it, which several processes could not do each in its own way.
    """

    def __init__(self, stream: TextIO | None, *, bar: bool = True):
        self._stream = stream
        self._bar = bar and stream is not None and stream.isatty()
        self._drawn = 0

    def bar(self, label: str, done: int, total: int) -> None:
        """Draws `label` and how much of `total` is done, over the bar before."""
        if self._bar:
            filled = 30 * done // max(total, 1)
            text = f"{label} [{'=' * filled}{' ' * (30 - filled)}] {done}/{total}"
            self._stream.write("\r" + text.ljust(self._drawn))
            self._stream.flush()
            self._drawn = len(text)

    def line(self, text: str) -> None:
        """Writes one line, in place of the bar."""
        if self._stream is not None:
            if self._drawn:
                self._stream.write("\r" + " " * self._drawn + "\r")
                self._drawn = 0
            self._stream.write(text + "\n")
            self._stream.flush()

    @property
    def wants_chunks(self) -> bool:
        """Whether a bar is drawn, so that an epoch is worth interrupting for it."""
        return self._bar
