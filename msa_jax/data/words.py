"""What counts as a word of a text, by its language."""

PER_CHARACTER = ("zh", "ja")  # languages whose words are not set apart by spaces


def words_of(text: str, language: str) -> list[str]:
    """The words, or the characters where nothing sets words apart."""
    return list("".join(text.split())) if language in PER_CHARACTER else text.split()
