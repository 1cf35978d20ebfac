"""The Sparse Phased Transformer: a few hidden states read long sequences through windows.

Cheng, Fostiropoulos, Boehm, Soleymani. Multimodal Phased Transformer for Sentiment Analysis. EMNLP 2021; used by SUGRM
(Hwang and Kim, Findings of EACL 2023, section 3.2.1) as encoder of all modalities together. The code of both has no
licence: facts only.

Each modality has a hidden sequence of one state for every `stride` input steps. An iteration is input attention (hidden
states read their modality's input), cross attention (they read the hidden states of the other modalities) and self
attention (they read each other), each with a feed-forward layer. A query reads `window` steps only, so the cost grows
linearly with the sequence. Windows wrap around the end of the sequence, and a phase shift moves them:

  S  by the number of the iteration;
  P  by trunc(n sin(i / 4)), for query i and a context of n steps, so that neighbours look at distant places;
  R  by a random number of steps below 5 % of the context, in training.

Differences from the authors' code, each undone by `padding="included"`:
- Padding takes no part. A window wraps around the last valid step, a slot that would repeat a step is left out, and the
  representation is the last valid hidden state. In the code windows run over padding and the representation is the last
  padded position, which sees hardly any frame of a short, right-padded sequence.
- Positions count steps. In the code a step whose first feature is exactly 0 has none.
In the code R draws from [0, 1), and so is always 0; here it is real.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.errors import InputError
from msa_jax.layers.dense import uniform
from msa_jax.layers.dropout import Dropout

Array = jax.Array

FEEDFORWARD = 4  # times the width
RANDOM_SHIFT = 0.05  # of the context
STRIDE = 5  # input steps to one hidden state


@dataclass(frozen=True, kw_only=True)
class Window:
    """What a query reads. size: steps. stride: context steps from one query to the next. shift: any of S, P, R."""

    size: int
    stride: int = 1
    shift: str = ""


@dataclass(frozen=True, kw_only=True)
class SparsePhasedConfig:
    """Sizes and rates.

    width: D. heads: a divisor of it. iterations: of input, cross and self attention.
    tied: all iterations share their parameters, as published.
    input_shift, cross_shift, self_shift: of the windows of each attention, letters of S, P, R.
    attention_dropout, relu_dropout, residual_dropout, embed_dropout: of the attention weights, of the feed-forward
      layer's hidden units, of each residual branch, of what goes in.

    Raises:
      InputError: a value that cannot be.
    """

    width: int = 32
    heads: int = 8
    iterations: int = 4
    tied: bool = True
    input_shift: str = "SPR"
    cross_shift: str = "S"
    self_shift: str = "S"
    attention_dropout: float = 0.3
    relu_dropout: float = 0.3
    residual_dropout: float = 0.3
    embed_dropout: float = 0.3

    def __post_init__(self) -> None:
        for name in ("width", "heads", "iterations"):
            if getattr(self, name) < 1:
                raise InputError(f"option spt.{name} is {getattr(self, name)}; expected a positive whole number")
        if self.width % self.heads:
            raise InputError(f"option spt.heads is {self.heads}; expected a divisor of spt.width, {self.width}")
        for name in ("input_shift", "cross_shift", "self_shift"):
            letters = getattr(self, name)
            if not set(letters) <= set("SPR") or len(set(letters)) < len(letters):
                raise InputError(f"option spt.{name} is {letters!r}; expected any of the letters S, P, R, or nothing")
        for name in ("attention_dropout", "relu_dropout", "residual_dropout", "embed_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"option spt.{name} is {getattr(self, name)}; expected a number in [0, 1)")

    @property
    def windows(self) -> tuple[Window, Window, Window]:
        """Of input, cross and self attention, as published."""
        return (
            Window(size=17, stride=STRIDE, shift=self.input_shift),
            Window(size=9, shift=self.cross_shift),
            Window(size=7, shift=self.self_shift),
        )


def window_index(
    window: Window,
    queries: int,
    length: Array,
    *,
    iteration: int = 0,
    random: Array | None = None,
    repeat: bool = False,
) -> tuple[Array, Array]:
    """Which steps of its context each query reads.

    Args:
      window: size, stride and shifts.
      queries: Q.
      length: [B] int32, valid steps n of the context; may be 0.
      iteration: 0-based, for shift S; may be traced.
      random: scalar in [0, 1), for shift R; None leaves it out.
      repeat: read a step more than once where the window is longer than the context, as the authors' code does.

    Returns:
      index [B, Q, size] int32 in [0, n), and which of them count, [B, 1, size] bool.
    """
    n = jnp.maximum(length, 1)[:, None, None]
    start = (np.arange(queries) + 1) * window.stride - window.size
    index = jnp.asarray(start[:, None] + np.arange(window.size)[None, :], jnp.int32)[None]
    if "S" in window.shift:
        index = index + iteration
    if "P" in window.shift:
        # The sine from numpy and one product in float32: the same integers on every device.
        wave = np.sin(0.25 * np.arange(queries)).astype(np.float32)[None, :, None]
        index = index + jnp.trunc(n.astype(jnp.float32) * wave).astype(jnp.int32)
    if "R" in window.shift and random is not None:
        reach = jnp.ceil(RANDOM_SHIFT * n)
        index = index + jnp.floor(random * reach).astype(jnp.int32)
    slots = jnp.arange(window.size)[None, None, :]
    counts = (length[:, None, None] > 0) & (repeat | (slots >= window.size - n))
    return jnp.mod(index, n), counts


def windowed_attention(
    query: Array,
    context: Array,
    index: Array,
    counts: Array,
    *,
    heads: int,
    drop: Callable[[Array], Array] = lambda weights: weights,
) -> Array:
    """Attention of each query to its own few steps; time and memory are linear in Q.

    Args:
      query: [B, Q, D], scaled.
      context: [B, C, 2 D], keys and values side by side.
      index: [B, Q, W] int32 in [0, C), the steps that each query reads. counts: [B, Q, W] bool, which of them count.
      heads: H, a divisor of D.
      drop: dropout of the attention weights [B, Q, H, W].

    Returns:
      [B, Q, D]; 0 where nothing counts.
    """
    rows, steps, double = context.shape
    _, queries, size = index.shape
    offset = (jnp.arange(rows) * steps)[:, None, None]
    read = context.reshape(-1, double)[index + offset]  # [B, Q, W, 2 D]
    read = read.reshape(rows, queries, size, 2, heads, -1)
    query = query.reshape(rows, queries, heads, -1)
    scores = jnp.einsum("bqhd,bqwhd->bqhw", query, read[:, :, :, 0], preferred_element_type=jnp.float32)
    counts = counts[:, :, None, :]
    weights = nn.softmax(jnp.where(counts, scores, jnp.finfo(jnp.float32).min), axis=-1)
    weights = drop(jnp.where(counts, weights, 0.0).astype(query.dtype))
    return jnp.einsum("bqhw,bqwhd->bqhd", weights, read[:, :, :, 1]).reshape(rows, queries, -1)


class PhasedBlock(nn.Module):
    """The parameters around one windowed attention: projections, then a feed-forward layer.

    Both have a norm before and a residual connection around. context_width: of what is read; None where a sequence
    reads itself, as it is normalised for the queries.
    """

    config: SparsePhasedConfig
    dtype: jnp.dtype
    context_width: int | None = None

    def setup(self) -> None:
        width = self.config.width
        outside = self.context_width or width
        # One matrix holds all three projections in the authors' code, so their initial scale is that of its shape.
        bound = (6 / (2 * width + 2 * outside)) ** 0.5
        self.query, self.key, self.value = (
            nn.Dense(width, kernel_init=uniform(bound), dtype=self.dtype) for _ in range(3)
        )
        xavier = nn.initializers.xavier_uniform()
        self.output, self.contract = (nn.Dense(width, kernel_init=xavier, dtype=self.dtype) for _ in range(2))
        self.expand = nn.Dense(FEEDFORWARD * width, kernel_init=xavier, dtype=self.dtype)
        self.norm, self.feedforward_norm = _norm(self.dtype), _norm(self.dtype)
        if self.context_width is not None:
            self.context_norm = _norm(self.dtype)
        self.drop_hidden = Dropout(self.config.relu_dropout)
        self.drop_residual = Dropout(self.config.residual_dropout)

    def read(self, context: Array, *, swap: bool = False) -> Array:
        """[B, C, context_width] -> keys and values [B, C, 2 D]; `swap` takes the projection of queries for the keys."""
        context = self.norm(context) if self.context_width is None else self.context_norm(context)
        return jnp.concatenate([(self.query if swap else self.key)(context), self.value(context)], -1)

    def ask(self, x: Array, *, swap: bool = False) -> Array:
        """[B, Q, D] -> scaled queries [B, Q, D]; `swap` takes the projection of keys for them."""
        scale = (self.config.width // self.config.heads) ** -0.5
        return (self.key if swap else self.query)(self.norm(x)) * scale

    def finish(self, x: Array, mixed: Array, *, train: bool) -> Array:
        """x [B, Q, D] and what its queries found [B, Q, D] -> [B, Q, D]."""
        x = x + self.drop_residual(self.output(mixed), not train)
        hidden = self.drop_hidden(nn.relu(self.expand(self.feedforward_norm(x))), not train)
        return x + self.drop_residual(self.contract(hidden), not train)


class PhasedIteration(nn.Module):
    """Input attention, cross attention, self attention.

    names, widths: of the modalities. repeat: as in `window_index`.
    """

    names: tuple[str, ...]
    widths: tuple[int, ...]
    config: SparsePhasedConfig
    repeat: bool
    train: bool
    dtype: jnp.dtype

    def setup(self) -> None:
        def block(context: int | None = None) -> PhasedBlock:
            return PhasedBlock(self.config, self.dtype, context)

        self.input = {name: block(width) for name, width in zip(self.names, self.widths, strict=True)}
        # One block for a pair serves both directions: the reverse swaps the projections of queries and keys.
        self.cross = {f"{a}_{b}": block(self.config.width) for a, b in itertools.combinations(self.names, 2)}
        self.own = {name: block() for name in self.names}
        self.drop_attention = Dropout(self.config.attention_dropout)

    def read_inputs(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Keys and values of every input, {name: [B, L, 2 D]}."""
        return {name: self.input[name].read(value) for name, value in inputs.items()}

    def __call__(
        self, hidden: dict[str, Array], iteration: Array, read: Mapping[str, Array], length: Any, count: Any
    ) -> tuple[dict[str, Array], None]:
        """One iteration.

        Args:
          hidden: {name: [B, Q, D]}. iteration: 0-based. read: from `read_inputs`.
          length, count: {name: [B]}, valid steps of the inputs and valid hidden states.
        """
        names = self.names
        random = jax.random.uniform(self.make_rng("dropout"), (3,)) if self.train else None

        def places(kind: int, reader: str, steps: Array) -> tuple[Array, Array]:
            draw, queries = None if random is None else random[kind], hidden[reader].shape[1]
            window = self.config.windows[kind]
            return window_index(window, queries, steps, iteration=iteration, random=draw, repeat=self.repeat)

        readings = [_Reading(self.input[name], name, read[name], places(0, name, length[name])) for name in names]
        hidden = dict(self._attend(hidden, readings))

        if len(names) > 1:
            readings = []
            for reader, other in itertools.permutations(names, 2):
                swap = names.index(reader) > names.index(other)
                block = self.cross["_".join((other, reader) if swap else (reader, other))]
                context = block.read(hidden[other], swap=swap)
                readings.append(_Reading(block, reader, context, places(1, reader, count[other]), swap))
            ends = self._attend(hidden, readings)
            # Each term holds the residual, so that with three modalities the residual stream doubles, as published.
            hidden = {name: sum(end for reader, end in ends if reader == name) for name in names}

        readings = [
            _Reading(self.own[name], name, self.own[name].read(hidden[name]), places(2, name, count[name]))
            for name in names
        ]
        return dict(self._attend(hidden, readings)), None

    def _attend(self, hidden: Mapping[str, Array], readings: list["_Reading"]) -> list[tuple[str, Array]]:
        """All readings in one call of the attention, for the same arithmetic in fewer operations: (reader, [B, Q, D])."""
        asked = [reading.block.ask(hidden[reading.reader], swap=reading.swap) for reading in readings]
        starts = np.cumsum([0, *(reading.context.shape[1] for reading in readings)])
        index = [reading.places[0] + start for reading, start in zip(readings, starts[:-1], strict=True)]
        counts = [
            jnp.broadcast_to(reading.places[1], place.shape) for reading, place in zip(readings, index, strict=True)
        ]
        mixed = windowed_attention(
            jnp.concatenate(asked, 1),
            jnp.concatenate([reading.context for reading in readings], 1),
            jnp.concatenate(index, 1),
            jnp.concatenate(counts, 1),
            heads=self.config.heads,
            drop=lambda weights: self.drop_attention(weights, not self.train),
        )
        found = jnp.split(mixed, np.cumsum([part.shape[1] for part in asked])[:-1], axis=1)
        return [
            (reading.reader, reading.block.finish(hidden[reading.reader], value, train=self.train))
            for reading, value in zip(readings, found, strict=True)
        ]


class _Reading(NamedTuple):
    """One sequence that reads another: context [B, C, 2 D], places (index [B, Q, W], counts)."""

    block: PhasedBlock
    reader: str
    context: Array
    places: tuple[Array, Array]
    swap: bool = False


class SparsePhasedTransformer(nn.Module):
    """All modalities together: sequences in, one vector for each out.

    padding: "masked" or "included", see above.
    """

    config: SparsePhasedConfig = SparsePhasedConfig()
    padding: Literal["masked", "included"] = "masked"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, sequences: Mapping[str, Array], length: Mapping[str, Array], *, train: bool) -> dict[str, Array]:
        """{name: [B, L, d]}, {name: [B] int32 in [0, L]} -> {name: [B, D]}."""
        names, masked = tuple(sorted(sequences)), self.padding == "masked"  # jit sorts names too
        if not masked:
            length = {name: jnp.full_like(length[name], sequences[name].shape[1]) for name in names}
        count = {name: -(-length[name] // STRIDE) for name in names}  # valid hidden states
        inputs = {name: self._embed(sequences[name], length[name], train) for name in names}
        hidden = self._hidden({name: sequences[name].shape for name in names}, train)

        widths = tuple(sequences[name].shape[-1] for name in names)
        fields = (names, widths, self.config, not masked, train, self.dtype)
        numbers = jnp.arange(self.config.iterations)
        if self.config.tied:
            shared = PhasedIteration(*fields, name="iteration")
            read = shared.read_inputs(inputs)  # once: inputs and parameters are the same in every iteration
            walk = nn.scan(
                lambda iteration, carry, number: iteration(carry, number, read, length, count),
                variable_broadcast="params",
                split_rngs={"params": False, "dropout": True},
            )
            hidden, _ = walk(shared, hidden, numbers)
        else:
            for number in range(self.config.iterations):
                own = PhasedIteration(*fields, name=f"iteration_{number}")
                hidden, _ = own(hidden, numbers[number], own.read_inputs(inputs), length, count)
        norm = _norm(self.dtype, name="norm")
        last = {name: jnp.maximum(count[name], 1) - 1 for name in names}
        return {name: norm(hidden[name][jnp.arange(len(last[name])), last[name]]) for name in names}

    def _embed(self, frames: Array, length: Array, train: bool) -> Array:
        """Frames [B, L, d] scaled, with their positions, in their own width."""
        _, steps, width = frames.shape
        frames = frames.astype(self.dtype)
        inside = jnp.arange(steps)[None, :] < length[:, None]
        if self.padding == "included":
            inside = frames[..., 0] != 0
        else:
            frames = jnp.where(inside[..., None], frames, 0.0)
        place = jnp.where(inside, jnp.arange(1, steps + 1)[None, :], 0)
        table = jnp.asarray(positions(steps, width), self.dtype)
        return Dropout(self.config.embed_dropout)(frames * self.config.width**0.5 + table[place], not train)

    def _hidden(self, shapes: Mapping[str, tuple[int, ...]], train: bool) -> dict[str, Array]:
        """The hidden states before the first iteration: one learned vector for each modality, with positions."""
        width = self.config.width
        start = self.param("hidden", uniform((6 / (3 + width)) ** 0.5), (len(shapes), width))
        hidden = {}
        for number, (name, (rows, steps, _)) in enumerate(shapes.items()):
            queries = -(-steps // STRIDE)
            states = start[number][None, :] * width**0.5 + positions(queries, width)[1:]
            states = jnp.broadcast_to(states.astype(self.dtype)[None], (rows, queries, width))
            hidden[name] = Dropout(self.config.embed_dropout)(states, not train)
        return hidden


def positions(steps: int, width: int) -> np.ndarray:
    """[steps + 1, width] float32: sines in the first half, cosines in the second; row 0, no position, is zero.

    An odd last column is zero (Vaswani et al. 2017, in the layout of fairseq).
    """
    half = width // 2
    rate = np.exp(-np.log(10000.0) / max(half - 1, 1) * np.arange(half))
    angle = np.arange(steps + 1)[:, None] * rate[None, :]
    table = np.zeros((steps + 1, width), np.float32)
    table[:, :half], table[:, half : 2 * half] = np.sin(angle), np.cos(angle)
    table[0] = 0
    return table


def _norm(dtype: jnp.dtype, name: str | None = None) -> nn.LayerNorm:
    return nn.LayerNorm(1e-5, dtype=dtype, use_fast_variance=False, name=name)
