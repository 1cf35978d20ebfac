"""What options mean: the entries in the docstrings of the classes that hold them, which are the one place for these texts.

An entry is a line `name: Text.`, or `name, name: Text.` for options that share one; its further lines are indented more.
Entries may stand under headings, lines that end with a colon.
"""

import dataclasses
import inspect
import re
from typing import Any

_ENTRY = re.compile(r"([a-z]\w*(?:, [a-z]\w*)*): (\S.*)")


def entries(options: type) -> dict[str, str]:
    """{field: text} of a class's own docstring, in its order. Lines that are no entry of its fields are left aside."""
    written = vars(options).get("__doc__") or ""
    fields = {field.name for field in dataclasses.fields(options)}
    found: dict[str, list[str]] = {}
    names: list[str] = []
    depth = 0
    for line in inspect.cleandoc(written).splitlines():
        indent, text = len(line) - len(line.lstrip()), line.strip()
        entry = _ENTRY.fullmatch(text)
        if names and text and indent > depth:
            for name in names:
                found[name].append(text)
        elif entry and set(named := entry[1].split(", ")) <= fields:
            names, depth = named, indent
            found |= {name: [entry[2]] for name in names}
        else:
            names = []
    return {name: " ".join(parts) for name, parts in found.items()}


def owner_of(options: type, field: str) -> type | None:
    """The nearest class, from `options` to what it extends, whose docstring has an entry for the field."""
    bases = (base for base in options.__mro__ if dataclasses.is_dataclass(base))
    return next((base for base in bases if field in entries(base)), None)


def meanings(options: Any) -> dict[str, str]:
    """{dotted name: text} of every option, in the order of the fields; an empty text if none is written.

    The text of a nested option is that of the field, and behind a colon that of the option inside of it.

    Args:
      options: an instance of a class of options.
    """
    found = {}
    for field in dataclasses.fields(options):
        owner = owner_of(type(options), field.name)
        text = entries(owner)[field.name] if owner else ""
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            for name, inner in meanings(value).items():
                found[f"{field.name}.{name}"] = f"{text.removesuffix('.')}: {_continued(inner)}" if inner else text
        else:
            found[field.name] = text
    return found


def _continued(text: str) -> str:
    """A sentence behind a colon: without its capital, unless that is of an abbreviation or a symbol."""
    return text if text[1:2].isupper() or not text[1:2].isalpha() else text[0].lower() + text[1:]
