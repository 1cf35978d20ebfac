"""The Sparse Phased Transformer: a few hidden states read long sequences through windows.

Cheng, Fostiropoulos, Boehm, Soleymani. Multimodal Phased Transformer for Sentiment Analysis. EMNLP 2021; used by SUGRM
(Hwang and Kim, Findings of EACL 2023, section 3.2.1) as encoder of all modalities together. The code of both has no
licence: facts only.

Each modality has a hidden sequence of one state for every `stride` input steps. An iteration is input attention (hidden
states read their modality's input), cross attention (they read the hidden states of the other modalities) and self
attention (they read each other), each with a feed-forward layer. A query reads `window` steps only, so the cost grows
linearly with the sequence. Windows wrap around the end of the sequence, and phase shifts move them
(msa_jax.encoders.windowed).

Differences from the authors' code, each undone by `padding="included"`:
- Padding takes no part. A window wraps around the last valid step, a slot that would repeat a step is left out, and the
  representation is the last valid hidden state. In the code windows run over padding and the representation is the last
  padded position, which sees hardly any frame of a short, right-padded sequence.
- Positions count steps. In the code a step whose first feature is exactly 0 has none.
In the code R is drawn for each state, at evaluation too, and is 0 but for vision; here for an attention, in training alone.

The hidden states of all modalities and rows lie in one array, each modality's valid ones packed to the front of its part:
what is computed depends on the frames there are, not on the longest sequence.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.encoders.windowed import Layer, Places, Settings, Window, read_windows
from msa_jax.errors import InputError
from msa_jax.layers.dense import Affine, Linear, Norm, uniform
from msa_jax.layers.dropout import Dropout
from msa_jax.layers.pooling import valid_steps, without_padding

Array = jax.Array

FEEDFORWARD = 4  # times the width
STRIDE = 5  # input steps to one hidden state
CPU_TILE, OTHER_TILE = 512, 4096  # queries: what they read fits a CPU's cache, and keeps an accelerator busy


@dataclass(frozen=True, kw_only=True)
class SparsePhasedConfig:
    """Sizes and rates of a Sparse Phased Transformer.

      width: Width of the hidden states.
      heads: Number of attention heads, a divisor of the width.
      iterations: Number of iterations of input, cross and self attention.
      tied: Whether all iterations share their parameters, as published.
      input_shift, cross_shift, self_shift: Shifts of the windows of this attention, any of the letters S, P and R.
      attention_dropout: Dropout rate of the attention weights.
      relu_dropout: Dropout rate of the hidden units of feed-forward layers.
      residual_dropout: Dropout rate of each residual branch.
      embed_dropout: Dropout rate of the input.

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


class SparsePhasedTransformer(nn.Module):
    """All modalities together: sequences in, one vector for each out.

    padding: "masked" or "included", see above.
    """

    config: SparsePhasedConfig = SparsePhasedConfig()
    padding: Literal["masked", "included"] = "masked"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, sequences: Mapping[str, Array], length: Mapping[str, Array], *, train: bool) -> dict[str, Array]:
        """{name: [B, L, d]}, {name: [B] int32 in [0, L]} -> {name: [B, D]}; for a row of length 0 a constant."""
        config, names = self.config, tuple(sorted(sequences))  # jit sorts names too
        if self.padding == "included":
            length = {name: jnp.full_like(length[name], sequences[name].shape[1]) for name in names}
        steps = [sequences[name].shape[1] for name in names]
        packing = _Packing.of([length[name] for name in names], steps)
        inputs = [self._embed(sequences[name], length[name], train) for name in names]
        hidden = self._hidden(packing, train)

        def iterate(parameters: _Iteration, hidden: Array, number: Array, key: Array | None) -> Array:
            return _iterate(parameters, packing, hidden, number, key, config, repeat=self.padding == "included")

        keys = jax.random.split(self.make_rng("dropout"), config.iterations) if train else None
        numbers = jnp.arange(config.iterations)
        if config.tied:
            # Inputs are projected once, being the same for all iterations.
            parameters = _Parameters(len(names), config, self.dtype, name="iteration")(inputs)
            hidden, _ = jax.lax.scan(
                lambda hidden, each: (iterate(parameters, hidden, *each), None), hidden, (numbers, keys)
            )
        else:
            for number in range(config.iterations):
                parameters = _Parameters(len(names), config, self.dtype, name=f"iteration_{number}")(inputs)
                hidden = iterate(parameters, hidden, numbers[number], None if keys is None else keys[number])

        norm = nn.LayerNorm(1e-5, dtype=self.dtype, use_fast_variance=False, name="norm")
        flat = hidden.reshape(-1, config.width)
        last = [norm(jnp.where(found[:, None], flat[place], 0)) for place, found in packing.last()]
        return dict(zip(names, last, strict=True))

    def _embed(self, frames: Array, length: Array, train: bool) -> Array:
        """Frames [B, L, d] scaled, with their positions, in their own width."""
        _, steps, width = frames.shape
        frames = frames.astype(self.dtype)
        if self.padding == "included":
            inside = frames[..., 0] != 0
        else:
            inside, frames = valid_steps(length, steps)[..., 0], without_padding(frames, length)
        place = jnp.where(inside, jnp.arange(1, steps + 1)[None, :], 0)
        table = jnp.asarray(positions(steps, width), self.dtype)
        return Dropout(self.config.embed_dropout)(frames * self.config.width**0.5 + table[place], not train)

    def _hidden(self, packing: "_Packing", train: bool) -> Array:
        """The hidden states [G, T, D] before the first iteration: a learned vector for each modality, with positions."""
        width = self.config.width
        start = self.param("hidden", uniform((6 / (3 + width)) ** 0.5), (len(packing.tiles), width))
        table = jnp.asarray(positions(packing.longest, width))
        states = start[packing.modality][:, None, :] * width**0.5 + table[1:][packing.query]
        return Dropout(self.config.embed_dropout)(states.astype(self.dtype), not train)


class _Packing(NamedTuple):
    """Where the hidden states of B rows of each of M modalities lie: G tiles of T places, each modality's one after another.

    tiles: of each modality, how many. modality: [G], whose a tile is. row, query: [G, T], which hidden state a place holds;
    places behind the last one hold none. used: [G] bool, tiles that hold any.
    length, count, start: [M, B], valid steps of the input, hidden states, and the first one's number in its modality.
    steps: of each modality's input, padding included. longest: hidden states of the longest sequence.
    """

    tiles: tuple[int, ...]
    modality: np.ndarray
    row: Array
    query: Array
    used: Array
    length: Array
    count: Array
    start: Array
    steps: tuple[int, ...]
    longest: int

    @classmethod
    def of(cls, length: Sequence[Array], steps: Sequence[int]) -> "_Packing":
        rows, most = len(length[0]), [-(-each // STRIDE) for each in steps]
        largest = CPU_TILE if jax.default_backend() == "cpu" else OTHER_TILE
        size = min(largest, rows * max(most))
        tiles = tuple(-(-rows * each // size) for each in most)
        lengths = jnp.stack([each.astype(jnp.int32) for each in length])
        count = -(-lengths // STRIDE)
        end = jnp.cumsum(count, axis=1)
        modality = np.repeat(np.arange(len(tiles)), tiles)
        number = np.concatenate([np.arange(each * size) for each in tiles]).reshape(-1, size)  # in the modality
        row = (number[:, :, None] >= end[modality][:, None, :]).sum(-1)
        row = jnp.minimum(row, rows - 1).astype(jnp.int32)
        query = number - (end - count)[modality[:, None], row]
        return cls(
            tiles=tiles,
            modality=modality,
            row=row,
            query=jnp.clip(query, 0, max(most) - 1),
            used=jnp.asarray(number[:, 0]) < end[modality, -1],
            length=lengths,
            count=count,
            start=end - count,
            steps=tuple(steps),
            longest=max(most),
        )

    def first(self, modality: int) -> int:
        """The first tile of a modality."""
        return sum(self.tiles[:modality])

    def last(self) -> list[tuple[Array, Array]]:
        """For each modality, the place [B] of each row's last hidden state in [G T], and whether there is one."""
        size = self.row.shape[1]
        return [
            (self.first(m) * size + self.start[m] + jnp.maximum(count, 1) - 1, count > 0)
            for m, count in enumerate(self.count)
        ]

    def readings_of_tiles(self, readings: Sequence["_Reading"]) -> np.ndarray:
        """Which reading each tile belongs to, of all tiles of all readings one after another."""
        return np.repeat(np.arange(len(readings)), [self.tiles[r.reader] for r in readings])

    def places(self, readings: Sequence["_Reading"], iteration: Array, key: Array | None) -> Places:
        """Of all readings one after another, each of all tiles of its reader."""
        tile = np.concatenate([self.first(r.reader) + np.arange(self.tiles[r.reader]) for r in readings])
        reading, row = self.readings_of_tiles(readings), self.row[tile]
        steps = jnp.stack([r.steps for r in readings])[reading[:, None], row]
        start = jnp.stack([r.start for r in readings])[reading[:, None], row]
        used = self.used[tile]
        keys = jax.random.key(0) if key is None else key
        return Places(
            order=jnp.argsort(~used, stable=True),
            number=used.sum(),
            layer=jnp.asarray(reading),
            query=self.query[tile],
            steps=steps,
            start=start,
            iteration=iteration,
            random=jnp.float32(0) if key is None else jax.random.uniform(jax.random.fold_in(key, 0)),
            key=jax.random.fold_in(keys, 1),
        )


class _Reading(NamedTuple):
    """A modality reads a sequence: valid steps [B] of it, and where they start [B] among all contexts of an attention."""

    reader: int
    steps: Array
    start: Array


class _Iteration(NamedTuple):
    """Parameters of an iteration, stacked along a leading axis: of modalities, or of pairs of them for `cross`.

    read: [C, 2 D], the inputs' keys and values.
    """

    read: Array
    input: Layer
    cross: Layer | None
    cross_context: tuple[Norm, Affine, Affine] | None
    own: Layer
    own_context: tuple[Affine, Affine]


class _Parameters(nn.Module):
    """Makes the parameters of an iteration, and projects the inputs."""

    modalities: int
    config: SparsePhasedConfig
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, inputs: Sequence[Array]) -> _Iteration:
        """Inputs [B, L, d] of each modality."""
        width, pairs = self.config.width, len(self.pairs(self.modalities))
        read = []
        for number, frames in enumerate(inputs):
            projection = uniform(_bound(width, frames.shape[-1]))
            normed = nn.LayerNorm(1e-5, dtype=self.dtype, use_fast_variance=False, name=f"input_{number}_norm")(frames)
            keys, values = (
                Linear(width, self.dtype, projection, nn.initializers.zeros, name=f"input_{number}_{name}")(normed)
                for name in ("key", "value")
            )
            read.append(jnp.concatenate([keys, values], -1).reshape(-1, 2 * width))
        bounds = [_bound(width, frames.shape[-1]) for frames in inputs]
        own = [_bound(width, width)] * max(self.modalities, pairs)
        return _Iteration(
            read=jnp.concatenate(read),
            input=self._layer("input", bounds),
            cross=self._layer("cross", own[:pairs]) if pairs else None,
            cross_context=(
                self._norm("cross_context_norm", pairs),
                self._affine("cross_key", own[:pairs], width, width),
                self._affine("cross_value", own[:pairs], width, width),
            )
            if pairs
            else None,
            own=self._layer("own", own[: self.modalities]),
            own_context=(
                self._affine("own_key", own[: self.modalities], width, width),
                self._affine("own_value", own[: self.modalities], width, width),
            ),
        )

    @staticmethod
    def pairs(modalities: int) -> list[tuple[int, int]]:
        """Pairs that share a block of cross attention; the reverse direction swaps its projections of queries and keys."""
        return list(itertools.combinations(range(modalities), 2))

    def _layer(self, name: str, bounds: Sequence[float]) -> Layer:
        width, wide, count = self.config.width, FEEDFORWARD * self.config.width, len(bounds)
        glorot = [(6 / (width + wide)) ** 0.5] * count
        return Layer(
            norm=self._norm(f"{name}_norm", count),
            query=self._affine(f"{name}_query", bounds, width, width),
            output=self._affine(f"{name}_output", [(3 / width) ** 0.5] * count, width, width),
            feedforward_norm=self._norm(f"{name}_feedforward_norm", count),
            expand=self._affine(f"{name}_expand", glorot, width, wide),
            contract=self._affine(f"{name}_contract", glorot, wide, width),
        )

    def _norm(self, name: str, count: int) -> Norm:
        given = (count, self.config.width), jnp.float32
        ones, zeros = nn.initializers.ones, nn.initializers.zeros
        return Norm(self.param(f"{name}_scale", ones, *given), self.param(f"{name}_bias", zeros, *given))

    def _affine(self, name: str, bounds: Sequence[float], into: int, out: int) -> Affine:
        def init(key: Array, shape: tuple[int, ...]) -> Array:
            return jax.random.uniform(key, shape, jnp.float32, -1, 1) * np.asarray(bounds, np.float32)[:, None, None]

        kernel = self.param(f"{name}_kernel", init, (len(bounds), into, out))
        return Affine(kernel, self.param(f"{name}_bias", nn.initializers.zeros, (len(bounds), out), jnp.float32))


def _bound(width: int, context: int) -> float:
    """One matrix holds all three projections in the authors' code, so their initial scale is Glorot's for its shape."""
    return (6 / (2 * width + 2 * context)) ** 0.5


def _iterate(
    parameters: _Iteration,
    packing: _Packing,
    hidden: Array,
    iteration: Array,
    key: Array | None,
    config: SparsePhasedConfig,
    *,
    repeat: bool,
) -> Array:
    """Input attention, cross attention, self attention: [G, T, D] -> [G, T, D]."""
    modalities, rows = packing.count.shape
    size = hidden.shape[1]

    def attend(kind: int, hidden: Array, layers: Layer, context: Array, readings: Sequence[_Reading]) -> Array:
        train = key is not None
        settings = Settings(
            window=config.windows[kind],
            heads=config.heads,
            longest=packing.longest,
            repeat=repeat,
            attention_dropout=config.attention_dropout if train else 0.0,
            relu_dropout=config.relu_dropout if train else 0.0,
            residual_dropout=config.residual_dropout if train else 0.0,
            layer_of=() if jax.default_backend() == "cpu" else tuple(packing.readings_of_tiles(readings).tolist()),
        )
        places = packing.places(readings, iteration, None if key is None else jax.random.fold_in(key, kind))
        return read_windows(settings, hidden, layers, context.reshape(-1, context.shape[-1]), places)

    base = np.cumsum([0, *(rows * steps for steps in packing.steps)])
    readings = [
        _Reading(m, packing.length[m], jnp.asarray(base[m] + np.arange(rows) * packing.steps[m]))
        for m in range(modalities)
    ]
    hidden = attend(0, hidden, parameters.input, parameters.read, readings)

    if modalities > 1:
        ways = list(itertools.permutations(range(modalities), 2))  # (reader, other)
        pairs = _Parameters.pairs(modalities)
        pair = np.array([pairs.index((min(way), max(way))) for way in ways])
        swap = np.array([reader > other for reader, other in ways])
        layers = jax.tree.map(lambda leaf: leaf[pair], parameters.cross)
        norm, keys, values = jax.tree.map(lambda leaf: leaf[pair], parameters.cross_context)
        layers, keys = layers._replace(query=_choose(swap, keys, layers.query)), _choose(swap, layers.query, keys)
        # Contexts: for each way the hidden states of the other, under the block's projections.
        tiles = np.concatenate([packing.first(o) + np.arange(packing.tiles[o]) for _, o in ways])
        way = np.repeat(np.arange(len(ways)), [packing.tiles[o] for _, o in ways])
        context = _project(hidden[tiles], *jax.tree.map(lambda leaf: leaf[way], (norm, keys, values)))
        base = np.cumsum([0, *(packing.tiles[o] * size for _, o in ways)])
        readings = [_Reading(r, packing.count[o], base[n] + packing.start[o]) for n, (r, o) in enumerate(ways)]
        reader = np.concatenate([packing.first(r) + np.arange(packing.tiles[r]) for r, _ in ways])
        ends = attend(1, hidden[reader], layers, context, readings)
        # Each end holds the residual, so that with three modalities the residual stream doubles, as published.
        hidden = jnp.zeros_like(hidden).at[reader].add(ends)

    keys, values = jax.tree.map(lambda leaf: leaf[packing.modality], parameters.own_context)
    norm = jax.tree.map(lambda leaf: leaf[packing.modality], parameters.own.norm)
    context = _project(hidden, norm, keys, values)
    base = np.cumsum([0, *(tiles * size for tiles in packing.tiles)])
    readings = [_Reading(m, packing.count[m], base[m] + packing.start[m]) for m in range(modalities)]
    return attend(2, hidden, parameters.own, context, readings)


def _project(hidden: Array, norm: Norm, keys: Affine, values: Affine) -> Array:
    """[G, T, D], each tile with its own parameters -> keys and values [G, T, 2 D]."""
    normed = norm(hidden)
    return jnp.concatenate([keys(normed), values(normed)], -1)


def _choose(which: np.ndarray, yes: Affine, no: Affine) -> Affine:
    """By the leading axis."""
    return jax.tree.map(lambda a, b: jnp.where(which.reshape(-1, *[1] * (a.ndim - 1)), a, b), yes, no)


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
