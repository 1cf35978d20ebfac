"""What `msa-jax methods METHOD` shows: each option of a method with its meaning, its values and its defaults."""

import re
import textwrap
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from msa_jax import config, methods
from msa_jax.config import Options, Preset
from msa_jax.errors import InputError
from msa_jax.methods.protocol import Method
from msa_jax.option_meanings import meanings, owner_of
from msa_jax.option_values import described, shown
from msa_jax.report.exports import exported_names
from msa_jax.report.table import markdown_table
from msa_jax.train.settings import protocol_options

_WIDTH = 110
_WORDS = {
    "a list of str": "names with commas", "a list of int": "whole numbers with commas", "one of ": "",
    "int": "whole number", "float": "number", "bool": "true or false", "str": "text",
}  # fmt: skip
_WHOLE = re.compile(rf"\b({'|'.join(_WORDS)})\b")  # words alone: bfloat16 and joint are choices


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of a method.

    name: dotted. meaning: a sentence or more. values: what it takes, in words. own: not one of every method.
    default, reference, preset: values as JSON holds them: in the paper protocol, in the reference protocol, with the preset.
    """

    name: str
    meaning: str
    values: str
    own: bool
    default: Any
    reference: Any
    preset: Any


@dataclass(frozen=True, kw_only=True)
class MethodPage:
    """A method's options, its own first. preset: the one that they are shown with."""

    method: Method
    preset: Preset | None
    options: tuple[Option, ...]

    def json(self) -> dict[str, Any]:
        """Defaults in both protocols by option, and each option with its meaning."""
        content: dict[str, Any] = {"name": self.method.name, "paper": {}, "reference": {}}
        for option in self.options:
            content["paper"][option.name], content["reference"][option.name] = option.default, option.reference
        shown = [field.name for field in fields(Option) if field.name != "preset" or self.preset]
        content["exports"] = list(exported_names(self.method.name))
        content["options"] = [{name: getattr(option, name) for name in shown} for option in self.options]
        if self.preset:
            content["preset"] = {"name": self.preset.name, "protocol": self.preset.protocol}
        return content

    def text(self) -> str:
        """For a terminal."""
        head = [f"{self.method.name}: {self.method.paper}", *self._exports(), ""]
        return "\n".join([*head, *_preset_lines(self.preset), *self._lines()])

    def options_text(self) -> str:
        """The options alone, for a terminal."""
        return "\n".join(self._lines())

    def markdown(self) -> str:
        """A table of each group of options."""
        columns = ["option", "meaning", "values", "default", "reference", *([self.preset.name] if self.preset else [])]
        parts = [f"# {self.method.name}", self.method.paper, *self._exports()]
        if self.preset:
            parts.append(
                f"The last column is what preset `{self.preset.name}` ({self.preset.protocol} protocol) gives."
            )
        for title, options in self._groups():
            rows = []
            for option in options:
                cells = [
                    f"`{option.name}`",
                    option.meaning,
                    option.values,
                    shown(option.default),
                    shown(option.reference),
                ]
                rows.append([*cells, *([shown(option.preset)] if self.preset else [])])
            parts.append(f"## {title}\n\n{markdown_table(columns, rows)}")
        return "\n\n".join(parts)

    def _exports(self) -> list[str]:
        names = exported_names(self.method.name)
        return [f"`predict --arrays` writes {', '.join(names)}"] if names else []

    def _groups(self) -> Iterator[tuple[str, list[Option]]]:
        for title, own in ((f"Options of {self.method.name}", True), ("Options of every method", False)):
            if options := [option for option in self.options if option.own == own]:
                yield title, options

    def _lines(self) -> Iterator[str]:
        for number, (title, options) in enumerate(self._groups()):
            yield from ([""] if number else [])
            yield f"{title}, as --name VALUE or in Python options={{'name': value}}"
            for option in options:
                facts = [option.values, f"default {shown(option.default)}"]
                facts += [f"reference {shown(option.reference)}"] if option.reference != option.default else []
                if self.preset and option.preset != option.default:
                    facts.append(f"{self.preset.name} {shown(option.preset)}")
                yield f"  {option.name:30s} {'; '.join(facts)}"
                yield from textwrap.wrap(
                    option.meaning, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6, break_on_hyphens=False
                )


def method_page(name: str, *, preset: str | None = None) -> MethodPage:
    """The options of a method, and what a preset makes of them.

    Args:
      name: of a method.
      preset: a name or a file; its options hold in its protocol.

    Raises:
      InputError: no such method or preset, or the preset is of another method or has an option that does not fit.
    """
    method = methods.get(name)
    found = None if preset in (None, "none") else config.load_preset(preset, method.presets)
    if found is not None and found.method != name:
        raise InputError(f"preset {found.name} is for {found.method}, not {name}")
    defaults = method.options()
    values = [defaults, protocol_options(method, "reference")]
    values.append(
        defaults if found is None else config.override(protocol_options(method, found.protocol), found.options)
    )
    default, reference, with_preset = (config.to_json(options) for options in values)
    kinds, texts = dict(_kinds(defaults)), meanings(defaults)
    options = [
        Option(
            name=option,
            meaning=texts[option],
            values=kinds[option],
            own=owner_of(method.options, option.split(".")[0]) is not Options,
            default=default[option],
            reference=reference[option],
            preset=with_preset[option],
        )
        for option in default
    ]
    return MethodPage(method=method, preset=found, options=tuple(options))


def _kinds(options: Any, prefix: str = "") -> Iterable[tuple[str, str]]:
    hints = typing.get_type_hints(type(options))
    for field in fields(options):
        value = getattr(options, field.name)
        if is_dataclass(value):
            yield from _kinds(value, f"{prefix}{field.name}.")
        else:
            words = described(hints[field.name])
            yield prefix + field.name, _WHOLE.sub(lambda found: _WORDS[found[0]], words)


def _preset_lines(preset: Preset | None) -> list[str]:
    if preset is None:
        return []
    return [f"Preset {preset.name}, {preset.protocol} protocol", textwrap.indent(preset.description.strip(), "  "), ""]
