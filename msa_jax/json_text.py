"""JSON that comes from anywhere: whatever is wrong with it is a ValueError."""

import json
from typing import Any, NoReturn


def parse(text: str | bytes, *, strict: bool = False) -> Any:
    """What JSON text says.

    Args:
      strict: refuse NaN and Infinity too, which Python writes and other readers do not know.

    Raises:
      ValueError: It is no JSON, is nested deeper than Python reads, or has a whole number that no float can hold.
    """
    try:
        return json.loads(text, parse_int=_whole, parse_constant=_refused if strict else None)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"holds {constant}; expected a number")


def _whole(text: str) -> int:
    try:
        number = int(text)  # of more than 4300 digits a ValueError
        float(number)
    except (ValueError, OverflowError):
        raise ValueError(f"a number of {len(text)} digits") from None
    return number
