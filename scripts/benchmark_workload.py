"""What both sides of the benchmark train on: MOSI's real shapes, filled with numbers that cost no download.

numpy only, so that the side of PyTorch never loads JAX.

Lengths, where no real dataset is given. Tokens of an utterance, [CLS] and [SEP] included: round(exp(N(2.585, 0.5)))
in [4, 50], mean 15, as MOSI's training text through BERT's uncased tokenizer (mean 14.8, quartiles 9, 12, 18, 0.7 % cut
at 50). Seconds: exp(N(1.2, 0.6)), mean 4, correlated 0.65 with the logarithm of the tokens, as MOSI's word times are.
Frames: 375 of audio and 500 of vision stand for 30 s, so the means are about 49 and 66.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

# The preset self_mm_mosi_reference whole, defaults included: the side of PyTorch knows no defaults. A test compares them.
OPTIONS = {
    "batch_size": 32,
    "zero_is_positive": True,
    "learning_rate.text": 5e-05,
    "weight_decay.text": 0.001,
    "learning_rate.audio": 0.001,
    "weight_decay.audio": 0.01,
    "learning_rate.vision": 0.0001,
    "weight_decay.vision": 0.001,
    "learning_rate.other": 0.001,
    "weight_decay.other": 0.001,
    "audio_hidden": 32,
    "vision_hidden": 64,
    "audio_size": 16,
    "vision_size": 32,
    "feature_size.m": 128,
    "feature_size.t": 64,
    "feature_size.a": 16,
    "feature_size.v": 32,
    "dropout.m": 0.1,
    "dropout.t": 0.0,
    "dropout.a": 0.1,
    "dropout.v": 0.1,
}
TOKENS, SECONDS = 50, 30.0
AUDIO, VISION = (375, 5), (500, 20)
ROWS = 1284  # of MOSI's training split
WINDOW = 4  # mini-batches to one update, in the reference protocol
KINDS = ("eager", "dynamic", "tuned")  # of the peer
SEEDS = (1, 2, 3, 4, 5)  # of an experiment of five
EPOCH = 2  # label generation is on from the second epoch


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """Sizes of a BERT, named as both sides name them."""

    hidden_size: int
    num_layers: int
    num_heads: int
    intermediate_size: int
    vocab_size: int = 30522
    max_positions: int = 512


ENCODERS = {
    "minilm": Encoder(hidden_size=384, num_layers=6, num_heads=12, intermediate_size=1536),
    "base": Encoder(hidden_size=768, num_layers=12, num_heads=12, intermediate_size=3072),
}


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One training set and one network.

    encoder: of the text; None for no text. rows: N. audio, vision: (steps, width), or None for no such modality.
    tokens: [n] int, lengths of real utterances to draw from; None for the distribution above.
    states: width of the text's precomputed states, which then stand in the place of an encoder.
    aligned: audio and vision have a frame for each token.
    """

    encoder: Encoder | None
    rows: int = ROWS
    batch_size: int = 32
    audio: tuple[int, int] | None = AUDIO
    vision: tuple[int, int] | None = VISION
    tokens: tuple[int, ...] | None = None
    states: int | None = None
    aligned: bool = False


# MOSI's aligned file: states of a frozen BERT-base, one frame of audio and one of vision beside each.
ALIGNED = Workload(encoder=None, rows=352, audio=(TOKENS, 5), vision=(TOKENS, 20), states=768, aligned=True)
# The same states, and the audio and vision of the unaligned file. A batch of 16.
UNALIGNED = Workload(encoder=None, rows=176, batch_size=16, states=768)
# States of a frozen MiniLM beside them; few samples, of which most are trained on.
FROZEN = Workload(encoder=None, rows=448, states=384)


def preset() -> dict[str, Any]:
    """The options that both sides train by: dotted names and values, those of the preset self_mm_mosi_reference."""
    return dict(OPTIONS)


def draw_lengths(rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Tokens [N] int and seconds [N] float of `rows` utterances, as the head of this file says."""
    first, second = rng.standard_normal((2, rows))
    tokens = np.clip(np.rint(np.exp(2.585 + 0.5 * first)), 4, TOKENS).astype(np.int32)
    return tokens, np.exp(1.2 + 0.6 * (0.65 * first + np.sqrt(1 - 0.65**2) * second))


def make_columns(workload: Workload) -> dict[str, np.ndarray]:
    """The arrays of the training split, the same in every process.

    Returns:
      `label` [N] float32; `ids`, `mask` [N, 50] int32, or with `states` `text` [N, 50, states] float32, which is not zero at
      padding, and `mask`; `audio`, `vision` [N, L, d] float32 with zeros beyond the length; `audio_length`,
      `vision_length` [N] int32.
    """
    rng = np.random.default_rng(0)
    rows = workload.rows
    tokens, seconds = draw_lengths(rows, rng)
    if workload.tokens is not None:
        tokens = np.resize(np.asarray(workload.tokens, np.int32), rows)
    columns = {"label": (np.rint(rng.uniform(-3, 3, rows) * 5) / 5).astype(np.float32)}
    if workload.encoder is not None or workload.states is not None:
        columns["mask"] = (np.arange(TOKENS) < tokens[:, None]).astype(np.int32)
    if workload.states is not None:
        columns["text"] = rng.random((rows, TOKENS, workload.states), dtype=np.float32) - np.float32(0.5)
    if workload.encoder is not None:
        ids = rng.integers(1, workload.encoder.vocab_size, (rows, TOKENS), dtype=np.int32)
        columns["ids"] = ids * columns["mask"]
    for name, shape in (("audio", workload.audio), ("vision", workload.vision)):
        if shape is not None:
            steps, width = shape
            length = np.clip(np.rint(seconds / SECONDS * steps), 1, steps).astype(np.int32)
            if workload.aligned:
                length = tokens
            features = rng.random((rows, steps, width), dtype=np.float32) - np.float32(0.5)
            features *= (np.arange(steps) < length[:, None])[..., None]
            columns[name], columns[f"{name}_length"] = features, length
    return columns


def permutation(rows: int, batch_size: int) -> np.ndarray:
    """All full batches of one epoch [M, B] int32; a window never holds the last, smaller one."""
    order = np.random.default_rng(1).permutation(rows)
    return order[: rows // batch_size * batch_size].reshape(-1, batch_size).astype(np.int32)


def random_memory(dims: Mapping[str, int], rows: int) -> dict[str, np.ndarray]:
    """F* [N, d] of every task as an earlier epoch would have left them: not negative, none of them zero."""
    rng = np.random.default_rng(2)
    return {name: rng.random((rows, dim), dtype=np.float32) for name, dim in dims.items()}


def flops(encoder: Encoder, lengths: np.ndarray) -> float:
    """Floating-point operations of BERT's forward and backward pass on the tokens of utterances of these lengths.

    A matrix multiplication costs 2 operations per parameter and token forward and twice that backward (the gradients
    of its input and of its weight): 6 * P * sum(n), where P = layers * (4 D² + 2 D I) are the parameters in matrix
    multiplications (D width, I intermediate size) and n the tokens of an utterance. Attention multiplies query by key
    and weights by value, each 2 D n² forward: 12 * layers * D * sum(n²) in all. Embeddings, norms, softmax,
    activations and dropout count as nothing, and so does padding. It is what the model is defined to do: work that a
    side manages to leave out still counts.
    """
    width, layers = encoder.hidden_size, encoder.num_layers
    parameters = layers * (4 * width**2 + 2 * width * encoder.intermediate_size)
    lengths = lengths.astype(np.float64)
    return float(6 * parameters * lengths.sum() + 12 * layers * width * (lengths**2).sum())
