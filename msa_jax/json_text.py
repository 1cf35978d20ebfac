"""JSON that comes from anywhere: whatever is wrong with it is a ValueError."""

import json
from typing import Any


def parse(text: str | bytes) -> Any:
    """What JSON text says.

    Raises:
      ValueError: It is no JSON, is nested deeper than Python reads, or has a whole number that no float can hold.
    """
    try:
        return json.loads(text, parse_int=_whole)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _whole(text: str) -> int:
    number = int(text)
    try:
        float(number)
    except OverflowError:
        raise ValueError(f"a number of {len(text)} digits") from None
    return number
