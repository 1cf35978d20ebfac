"""What counts as a word of a text, by its language."""

import re

PER_CHARACTER = ("zh", "ja")  # languages whose words are not set apart by spaces
_LATIN = "0-9A-Za-z\u00c0-\u024f"
_WORD = re.compile(rf"[{_LATIN}]+|\S")
_NEEDLESS = re.compile(rf"(?<![{_LATIN}]) | (?![{_LATIN}])")


def words_of(text: str, language: str) -> list[str]:
    """The words; where nothing sets words apart, the characters, but runs of Latin letters and digits are words."""
    return _WORD.findall(text) if language in PER_CHARACTER else text.split()


def text_of(words: list[str], language: str) -> str:
    """A text of these words; where nothing sets words apart, with spaces between Latin ones alone."""
    spaced = " ".join(words)
    return _NEEDLESS.sub("", spaced) if language in PER_CHARACTER else spaced
