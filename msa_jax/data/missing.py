"""What samples lose, drawn from their ids: modalities, steps, words; and noise.

A draw depends on the id of the sample, a seed, and what is drawn, and on nothing else: not on the other samples, their order,
the padding, the method, the process or the device. Curves over rates are compared on the same draws: modalities, samples, steps
and blocks that are lost at a lower rate are lost at a higher one too. So are the errors of `misheard`, but for one: what was
drawn for a word does not happen if, at the higher rate, the word before it changes places with it.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from msa_jax.data.padding import filled_frames
from msa_jax.data.schema import Split
from msa_jax.modalities import MODALITIES

_GOLDEN = 0x9E3779B97F4A7C15


def uniforms(ids: Sequence[str] | np.ndarray, seed: int, stream: str, count: int) -> np.ndarray:
    """Numbers in [0, 1) that belong to samples: the first `count` of a stream that each sample has.

    SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), begun at a BLAKE2b hash of seed, stream and id.

    Args:
      ids: N. seed: any whole number. stream: what the numbers are for.

    Returns:
      [N, count] float64.
    """
    prefix = f"{int(seed)}\0{stream}\0".encode()
    names = (str(name).encode("utf-8", "surrogatepass") for name in ids)
    digests = b"".join(hashlib.blake2b(prefix + name, digest_size=8).digest() for name in names)
    keys = np.frombuffer(digests, "<u8").astype(np.uint64)
    z = keys[:, None] + (np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN))[None, :]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def lost_modalities(
    ids: np.ndarray, modalities: Sequence[str], *, rate: float, seed: int, has: np.ndarray | None = None
) -> np.ndarray:
    """[N, M] bool: each of M modalities is lost with the probability `rate`, but never all that a sample has: if all would be
    lost, one stays, each with equal probability.

    has: [N, M] bool, the modalities that a sample has from the start; None for all. Of a sample without any, one stays too.
    """
    places = [MODALITIES.index(name) for name in modalities]  # a modality has its numbers whichever others there are
    drawn = uniforms(ids, seed, "modalities", len(MODALITIES))[:, places]
    has = np.ones(drawn.shape, bool) if has is None else has | ~has.any(1, keepdims=True)
    return (drawn < rate) & (drawn != np.where(has, drawn, -1.0).max(1, keepdims=True))


def carried(split: Split, modality: str) -> np.ndarray:
    """[N] bool, the samples in which a modality says something: a frame that is not zeros, or a word."""
    if modality == "text":
        if split.raw_text is not None:
            return np.array([bool(text.strip()) for text in split.raw_text.tolist()], bool)
        if split.text_bert is not None:
            return split.text_bert[:, 1].sum(1) > 2  # tokens besides the first and the last
        assert split.text is not None
        return filled_frames(split.text).any(1)
    frames, length = getattr(split, modality), getattr(split, f"{modality}_length")
    return (filled_frames(frames) & (np.arange(frames.shape[1]) < length[:, None])).any(1)


def lost_samples(ids: np.ndarray, stream: str, *, rate: float, seed: int) -> np.ndarray:
    """[N] bool: the samples that something happens to, each with the probability `rate`."""
    return uniforms(ids, seed, stream, 1)[:, 0] < rate


def lost_steps(ids: np.ndarray, modality: str, steps: int, *, rate: float, seed: int) -> np.ndarray:
    """[N, steps] bool: each step of a modality is lost with the probability `rate`, of no other dependent."""
    return uniforms(ids, seed, f"steps/{modality}", steps) < rate


def lost_block(ids: np.ndarray, modality: str, length: np.ndarray, steps: int, *, rate: float, seed: int) -> np.ndarray:
    """[N, steps] bool: one block of neighbouring steps of each sample, round(rate * length) of them, anywhere within the
    length [N]."""
    size = np.floor(rate * length + 0.5).astype(np.int64)
    place = uniforms(ids, seed, f"blocks/{modality}", 1)[:, 0]
    start = np.minimum((place * (length - size + 1)).astype(np.int64), length - size)
    step = np.arange(steps)[None, :]
    return (step >= start[:, None]) & (step < (start + size)[:, None])


def normals(ids: np.ndarray, modality: str, shape: tuple[int, ...], *, seed: int) -> np.ndarray:
    """[N, *shape] standard normal numbers, two uniform ones for each (Box and Muller, 1958)."""
    drawn = uniforms(ids, seed, f"noise/{modality}", 2 * int(np.prod(shape))).reshape(len(ids), *shape, 2)
    return np.sqrt(-2 * np.log1p(-drawn[..., 0])) * np.cos(2 * np.pi * drawn[..., 1])


def with_noise(features: np.ndarray, length: np.ndarray, noise: np.ndarray, *, rate: float) -> np.ndarray:
    """Features with noise, whose share of the power is `rate`: a signal-to-noise ratio of (1 - rate) / rate.

    sqrt(1 - rate) x + sqrt(rate) p n, with n the noise and p the root mean square of x over the sample's own frames, one for
    each feature. The power stays what it was; at rate 1 only noise is left.

    Args:
      features: [N, L, d] float32. length: [N] in [0, L]. noise: [N, L, d], standard normal.

    Returns:
      [N, L, d] float32, zeros beyond the lengths.
    """
    valid = (np.arange(features.shape[1]) < length[:, None])[..., None]
    power = (features.astype(np.float64) ** 2 * valid).sum(1, keepdims=True) / np.maximum(length, 1)[:, None, None]
    return ((np.sqrt(1 - rate) * features + np.sqrt(rate * power) * noise) * valid).astype(np.float32)


def misheard(
    name: str,
    words: Sequence[str] | Sequence[int],
    vocabulary: Sequence[str] | Sequence[int],
    *,
    rate: float,
    seed: int,
) -> list:
    """The words of one sample as a recogniser might have them: each is wrong with the probability `rate`.

    A wrong word is dropped, changes places with the next one, or becomes a word drawn from the vocabulary, each in a third of
    the cases. A word that has changed places already stays where it is.

    Args:
      name: the sample's id.
      words: as they were said; words or token ids.
      vocabulary: what a wrong word may become, at least one.
    """
    drawn = uniforms([name], seed, "recognition", 3 * len(words))[0].reshape(-1, 3)
    heard: list = []
    moved = -1
    for place, word in enumerate(words):
        wrong, kind, other = drawn[place]
        if place == moved:
            continue
        if wrong >= rate:
            heard.append(word)
        elif kind < 1 / 3:
            continue
        elif kind < 2 / 3 and place + 1 < len(words):
            heard += [words[place + 1], word]
            moved = place + 1
        else:
            heard.append(vocabulary[int(other * len(vocabulary))])
    return heard
