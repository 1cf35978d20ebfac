"""A dataset whose truth is known: sentences, voices and faces made from sentiments that are kept as labels.

Each utterance has three true unimodal sentiments in [-1, 1]. That of the text follows from the sentence. Audio and
vision mostly agree with it; in a quarter of the utterances one of them, or both, says the opposite. The human label is
their mix, so each modality alone tells part of it, and the difference of `label_t`, `label_a`, `label_v` to `label` is
what a generated unimodal label should find.
"""

import numbers
from dataclasses import dataclass

import numpy as np

from msa_jax.data.schema import SPLITS, Card, Dataset, check_card, validate
from msa_jax.data.synthetic_text import make_sentences
from msa_jax.errors import InputError

MIX = {"text": 0.5, "audio": 0.25, "vision": 0.25}  # weights of the sentiments in the label
CONFLICT = 0.25  # of the utterances
AGREEMENT = 0.75, 0.3  # audio and vision where they agree: this much of the text's sentiment, and this much noise
ANNOTATORS = 0.04  # standard deviation of the label's noise, of a sentiment scale of [-1, 1]
STEPS = 15  # label steps to each side of the middle: 0.2 for [-3, 3]


@dataclass(frozen=True, kw_only=True)
class _Channels:
    """How many feature channels rise or fall with the sentiment, burst when it is positive, burst when it is negative,
    and are restless when it is strong. The others carry noise alone."""

    size: int
    drift: int
    positive: int
    negative: int
    restless: int
    fill: float  # the longest sentence fills this share of the longest sequence, give or take


_AUDIO = _Channels(size=5, drift=1, positive=1, negative=1, restless=1, fill=1.0)
_VISION = _Channels(size=20, drift=3, positive=2, negative=2, restless=2, fill=1.1)
_NOISE, _MEMORY = 0.6, 0.5  # standard deviation and AR(1) coefficient of a channel's noise
_DRIFT, _BURST, _REST_RATE, _BURST_RATE, _RESTLESS = 2.0, 2.0, 0.04, 0.35, 1.0
_MOST_WORDS = 48


def make_synthetic(
    *,
    seed: int = 0,
    train: int = 512,
    valid: int = 128,
    test: int = 256,
    audio_steps: int = 48,
    vision_steps: int = 64,
    label_range: tuple[float, float] = (-3.0, 3.0),
    metrics: str = "mosi",
) -> Dataset:
    """The synthetic dataset: `raw_text`, `audio` [N, audio_steps, 5], `vision` [N, vision_steps, 20] and four labels.

    The same arguments give the same bits; the size of one split changes nothing in another. Audio and vision are noise
    with a memory, an offset for each speaker (video), and the sentiment as a drift, as bursts and as restlessness of
    some channels, right padded, with lengths that follow the sentence's. No video is in two splits. With
    `audio_steps=375, vision_steps=500` the shapes are those of CMU-MOSI.

    Args:
      seed: not negative.
      train, valid, test: rows in each split, at least 1.
      audio_steps, vision_steps: the longest sequence, at least 4.
      label_range: lowest and highest label; labels are rounded to 30 steps between them (0.2 for [-3, 3]).
      metrics: "mosi", "mosei", "sims" or "regression".

    Raises:
      InputError: a value is not one of these.
    """
    sizes = {"train": train, "valid": valid, "test": test}
    for name, value, least in (
        ("seed", seed, 0),
        *((name, size, 1) for name, size in sizes.items()),
        ("audio_steps", audio_steps, 4),
        ("vision_steps", vision_steps, 4),
    ):
        if not isinstance(value, numbers.Integral) or value < least:
            raise InputError(f"synthetic: {name} is {value!r}, expected a whole number, at least {least}")
    card = Card(
        name="synthetic",
        language="en",
        metrics=metrics,
        label_range=label_range,
        provenance=_recipe(seed),
        modalities={
            "text": "generated English opinion sentences",
            "audio": f"generated, {_AUDIO.size}-d, up to {audio_steps} steps",
            "vision": f"generated, {_VISION.size}-d, up to {vision_steps} steps",
        },
        caveats="Synthetic: scores on it say whether a method works, nothing about how well it does on people.",
    )
    check_card(card, source="synthetic")
    low, high = card.label_range
    splits = {
        name: _split(np.random.default_rng([seed, index]), name, sizes[name], audio_steps, vision_steps, low, high)
        for index, name in enumerate(SPLITS)
    }
    return validate(card, splits, source="synthetic")


def _recipe(seed: int) -> str:
    mix = ", ".join(f"{weight:g} {modality}" for modality, weight in MIX.items())
    return (
        f"Synthetic, made by msa_jax from seed {seed}. Sentiment of the text: words times intensity times negation; of "
        f"audio and vision: {AGREEMENT[0]:g} of the text's plus noise of {AGREEMENT[1]:g}, but opposite to it in one "
        f"or both for {CONFLICT:.0%} of the utterances. "
        f"Label: the mix {mix}, plus annotator noise of {ANNOTATORS:g}, rounded. "
        "label_t, label_a and label_v are the true unimodal sentiments."
    )


def _split(
    rng: np.random.Generator, name: str, n: int, audio_steps: int, vision_steps: int, low: float, high: float
) -> dict[str, np.ndarray]:
    sentences = make_sentences(rng, n)
    text = sentences.sentiment
    audio, vision = _other_sentiments(rng, text)
    mixed = MIX["text"] * text + MIX["audio"] * audio + MIX["vision"] * vision + rng.normal(0, ANNOTATORS, n)
    video, clip = _videos(rng, n)
    columns = {
        "id": np.array([f"{name}{v:04d}$_${c}" for v, c in zip(video.tolist(), clip.tolist(), strict=True)]),
        "raw_text": sentences.text,
    }
    for modality, sentiment, steps, channels in (
        ("audio", audio, audio_steps, _AUDIO),
        ("vision", vision, vision_steps, _VISION),
    ):
        share = channels.fill * sentences.words / _MOST_WORDS * np.exp(rng.normal(0, 0.2, n))
        length = np.clip(np.round(steps * share), min(6, steps), steps).astype(np.int32)
        columns[modality] = _sequences(rng, sentiment, length, video, steps, channels)
        columns[f"{modality}_length"] = length

    def scaled(sentiment: np.ndarray) -> np.ndarray:
        return np.clip((low + high) / 2 + (high - low) / 2 * sentiment, low, high).astype(np.float32)

    columns["label"] = scaled(np.round(np.clip(mixed, -1, 1) * STEPS) / STEPS)
    columns |= {"label_t": scaled(text), "label_a": scaled(audio), "label_v": scaled(vision)}
    return columns


def _other_sentiments(rng: np.random.Generator, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = len(text)
    share, noise = AGREEMENT
    conflict = rng.random(n) < CONFLICT
    against = rng.integers(1, 4, n)  # 1 the audio, 2 the vision, 3 both
    side = np.where(text == 0, rng.choice([-1.0, 1.0], n), np.sign(text))
    sentiments = []
    for bit in (1, 2):
        agreeing = share * text + rng.normal(0, noise, n)
        opposed = -side * rng.uniform(0.3, 1.0, n)
        sentiments.append(np.clip(np.where(conflict & ((against & bit) > 0), opposed, agreeing), -1, 1))
    return sentiments[0], sentiments[1]


def _videos(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Video number and clip number of each row: videos of 4 to 24 clips, as in CMU-MOSI.  # [N], [N]"""
    clips = rng.integers(4, 25, n)  # more than enough videos
    start = np.concatenate([[0], np.cumsum(clips)])
    video = np.searchsorted(start, np.arange(n), side="right") - 1
    return video, np.arange(n) - start[video] + 1


def _sequences(
    rng: np.random.Generator,
    sentiment: np.ndarray,
    length: np.ndarray,
    video: np.ndarray,
    steps: int,
    channels: _Channels,
) -> np.ndarray:
    """Frames of noise that carry the sentiment as temporal patterns, then zeros.  # [N, steps, size] f32"""
    n, size = len(sentiment), channels.size
    strength = sentiment.astype(np.float32)[:, None]  # [N, 1]
    drawn = rng.standard_normal((steps, n, size), dtype=np.float32)
    for step in range(1, steps):
        drawn[step] = _MEMORY * drawn[step - 1] + np.float32(np.sqrt(1 - _MEMORY**2)) * drawn[step]
    frames = np.float32(_NOISE) * np.ascontiguousarray(drawn.transpose(1, 0, 2))

    restless = slice(size - channels.restless, size)
    frames[:, :, restless] *= 1 + np.float32(_RESTLESS) * np.abs(strength)[:, :, None]
    elapsed = np.arange(steps, dtype=np.float32) / length[:, None].astype(np.float32) - np.float32(0.5)  # [N, steps]
    frames[:, :, : channels.drift] += (np.float32(_DRIFT) * strength * elapsed)[:, :, None]
    first = channels.drift
    for sign, count in ((1, channels.positive), (-1, channels.negative)):
        rate = np.float32(_REST_RATE) + np.float32(_BURST_RATE) * np.maximum(sign * strength, 0)  # [N, 1]
        bursts = rng.random((n, steps, count), dtype=np.float32) < rate[:, :, None]
        frames[:, :, first : first + count] += np.float32(_BURST) * bursts
        first += count

    offset = rng.standard_normal((int(video[-1]) + 1, size), dtype=np.float32)
    frames += offset[video][:, None, :]
    frames[np.arange(steps) >= length[:, None]] = 0
    return frames
