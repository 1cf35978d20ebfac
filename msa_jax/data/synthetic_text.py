"""Opinion sentences with a sentiment that is known because the sentence was built from it."""

from dataclasses import dataclass

import numpy as np

# Sentiment of a word standing alone, in [-1, 1].
ADJECTIVES = {
    "okay": 0.2, "decent": 0.35, "nice": 0.45, "good": 0.55, "enjoyable": 0.6, "great": 0.75, "beautiful": 0.75,
    "wonderful": 0.85, "amazing": 0.9, "perfect": 1.0,
    "slow": -0.25, "weak": -0.4, "boring": -0.5, "bad": -0.55, "poor": -0.55, "annoying": -0.6, "stupid": -0.7,
    "awful": -0.85, "terrible": -0.9, "horrible": -1.0,
}  # fmt: skip
VERBS = {"liked": 0.5, "enjoyed": 0.6, "loved": 0.9, "disliked": -0.5, "regretted": -0.6, "hated": -0.9}
INTENSITIES = {"": 1.0, "slightly": 0.5, "quite": 0.85, "really": 1.15, "very": 1.2, "extremely": 1.4}
NEGATIONS = {"not": -0.6, "never": -0.7, "hardly": -0.35}  # each flips and shrinks
CONTRAST = (0.3, 0.7)  # what comes after "but" weighs more

_SUBJECTS = (
    "movie", "film", "acting", "plot", "story", "service", "ending", "music", "soundtrack", "cast", "dialogue",
    "director", "script", "animation", "food", "staff", "camera", "humor", "romance", "action",
)  # fmt: skip
_COPULAS = ("was", "is", "seemed", "felt")
_FILLERS = (
    "um", "uh", "well", "so", "anyway", "you know", "i mean", "honestly", "like i said", "i have to say", "to be fair",
    "as far as i can tell",
)  # fmt: skip
_NEUTRAL = (
    "we saw it on friday", "it runs for about two hours", "my brother came with me", "the story starts in a small town",
    "there are three parts of it", "it came out last year", "i watched it at home with my family",
    "they show it in the theater down the street", "it is about a man and his dog",
    "the same people made another one before", "this is my review of it",
    "the second half takes place in the city at night",
)  # fmt: skip
_NEGATED = 0.15  # of the opinions
_LONGEST = 48  # words; with [CLS] and [SEP] about 50 word pieces


@dataclass(frozen=True, kw_only=True)
class Sentences:
    """`text` [N] str, `sentiment` [N] in [-1, 1], `words` [N] counts."""

    text: np.ndarray
    sentiment: np.ndarray
    words: np.ndarray


class _Draws:
    """Uniform numbers drawn in blocks: thousands of single draws from a numpy generator are slow."""

    def __init__(self, rng: np.random.Generator):
        self._rng = rng
        self._block: list[float] = []

    def uniform(self) -> float:
        if not self._block:
            self._block = self._rng.random(4096).tolist()
        return self._block.pop()

    def choice(self, options: tuple | list) -> str:
        return options[int(self.uniform() * len(options))]


_POSITIVE_ADJECTIVES = [word for word, value in ADJECTIVES.items() if value > 0]
_NEGATIVE_ADJECTIVES = [word for word, value in ADJECTIVES.items() if value < 0]
_POSITIVE_VERBS = [word for word, value in VERBS.items() if value > 0]
_NEGATIVE_VERBS = [word for word, value in VERBS.items() if value < 0]


def opinion(word: str, *, intensity: str = "", negation: str | None = None) -> float:
    """Sentiment of one opinion: the word's own, times its intensity, times its negation, within [-1, 1]."""
    value = ({**ADJECTIVES, **VERBS}[word]) * INTENSITIES[intensity]
    value = min(1.0, max(-1.0, value))
    return value * NEGATIONS[negation] if negation else value


def _clause(draws: _Draws, polarity: int, *, short: bool) -> tuple[str, float]:
    """One opinion with the given sign, and its sentiment."""
    negation = draws.choice(list(NEGATIONS)) if draws.uniform() < _NEGATED else None
    positive_word = (polarity > 0) != (negation is not None)
    if draws.uniform() < 0.2 and negation != "not":
        verb = draws.choice(_POSITIVE_VERBS if positive_word else _NEGATIVE_VERBS)
        words = ["i", negation, verb, "the", draws.choice(_SUBJECTS)]
        return " ".join(word for word in words if word), opinion(verb, negation=negation)
    adjective = draws.choice(_POSITIVE_ADJECTIVES if positive_word else _NEGATIVE_ADJECTIVES)
    intensity = draws.choice(list(INTENSITIES)) if draws.uniform() < 0.6 else ""
    described = [negation, intensity, adjective]
    subject = draws.choice(_SUBJECTS)
    words = [*described, subject] if short else ["the", subject, draws.choice(_COPULAS), *described]
    return " ".join(word for word in words if word), opinion(adjective, intensity=intensity, negation=negation)


def _sentence(draws: _Draws, length: int) -> tuple[str, float]:
    """A sentence of about `length` words, and its sentiment."""
    kind, polarity = draws.uniform(), 1 if draws.uniform() < 0.54 else -1
    if kind < 0.05:
        parts, sentiment = [draws.choice(_NEUTRAL)], 0.0
    elif kind < 0.2 and length >= 10:
        (first, value), (second, other) = (
            _clause(draws, -polarity, short=False),
            _clause(draws, polarity, short=False),
        )
        parts, sentiment = [f"{first} but {second}"], CONTRAST[0] * value + CONTRAST[1] * other
    elif kind < 0.4 and length >= 10:
        (first, value), (second, other) = (_clause(draws, polarity, short=False) for _ in range(2))
        parts, sentiment = [f"{first} and {second}"], (value + other) / 2
    else:
        clause, sentiment = _clause(draws, polarity, short=length <= 4)
        parts = [clause]
    # What fills the rest says nothing.
    room = length - len(parts[0].split())
    if room > 0 and draws.uniform() < 0.7:
        parts[0] = f"{draws.choice(_FILLERS)} {parts[0]}"
    while (room := length - len(" ".join(parts).split())) >= 5:
        parts.insert(int(draws.uniform() * 2) * len(parts), draws.choice(_NEUTRAL))
    text = " and ".join(parts)
    return (text if len(text.split()) <= _LONGEST else parts[0]), sentiment


def make_sentences(rng: np.random.Generator, n: int) -> Sentences:
    """`n` sentences with word counts as in CMU-MOSI's transcripts: median 10, mean 12, a long tail up to 48."""
    lengths = np.clip(np.round(np.exp(rng.normal(np.log(10.0), 0.65, n))), 2, _LONGEST - 4).astype(int).tolist()
    draws = _Draws(rng)
    made = [_sentence(draws, length) for length in lengths]
    return Sentences(
        text=np.array([text for text, _ in made]),
        sentiment=np.array([sentiment for _, sentiment in made]),
        words=np.array([len(text.split()) for text, _ in made]),
    )
