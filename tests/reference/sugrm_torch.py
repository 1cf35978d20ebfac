"""SUGRM's network in plain eager PyTorch, loops over queries and samples: slow, and meant to be obviously right.

Paper: Hwang and Kim, "Self-Supervised Unimodal Label Generation Strategy Using Recalibrated Modality Representations for
Multimodal Sentiment Analysis", Findings of EACL 2023; its sequence encoder is Cheng et al., "Multimodal Phased Transformer
for Sentiment Analysis", EMNLP 2021.

A stream is the sequence of one modality, `{s: [B, L_s, d_s]}`, s in "t", "a", "v"; any of them may be absent. Two protocols:

- `reference` is what the released code does. It knows no lengths: padding is part of every mean and of every sequence.
- `paper` takes the lengths `{s: [B]}`. It is written as a loop over samples, each cut to its valid steps, so that padding
  is never even read.

Everything runs in the dtype of the tensors given. With all dropout at 0 training is deterministic.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from .sugrm_numpy import LabelMemory

Tensors = dict[str, Tensor]
ORDER = ("t", "a", "v")
# The pairs that share a block of cross attention: the first letter asks as the block is named, the second in reverse.
PAIRS = (("a", "t"), ("t", "v"), ("v", "a"))


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Sizes, rates and switches; the defaults are those published for CMU-MOSI.

    window: slots per query in input, cross and self attention. stride: input steps per hidden state.
    shifts: letters out of "SPR" for each kind of attention; "" is none, as the code does for input attention.
    """

    width: int = 32
    heads: int = 8
    iterations: int = 4
    stride: int = 5
    input_window: int = 17
    cross_window: int = 9
    self_window: int = 7
    input_shifts: str = ""
    cross_shifts: str = "S"
    self_shifts: str = "S"
    head_dim: int = 32
    paper_heads: bool = False
    embed_dropout: float = 0.3
    relu_dropout: float = 0.3
    residual_dropout: float = 0.3
    output_dropout: float = 0.3

    learning_rate_spt: float = 5e-4
    learning_rate_other: float = 1e-2
    weight_decay_spt: float = 1e-3
    weight_decay_other: float = 1e-3


class Recalibration(nn.Module):
    """Modality Recalibration Module (section 3.2.1): gates of all modalities from the mean of each over time."""

    def __init__(self, sizes: Mapping[str, int]):
        super().__init__()
        total = sum(sizes.values())
        self.order = tuple(name for name in ("a", "v", "t") if name in sizes)
        self.squeeze = nn.Linear(total, total // 4)
        self.excite = nn.ModuleDict({name: nn.Linear(total // 4, sizes[name]) for name in self.order})

    def forward(self, streams: Mapping[str, Tensor]) -> Tensors:
        """Streams to streams of the same shapes; the means are over all steps there are."""
        means = [streams[name].mean(dim=1) for name in self.order]  # [B, d_s] each
        joint = torch.relu(self.squeeze(torch.cat(means, dim=-1)))
        gates = {name: 2 * torch.sigmoid(self.excite[name](joint)) for name in self.order}
        return {name: stream * gates[name][:, None, :] for name, stream in streams.items()}


class Block(nn.Module):
    """Windowed attention and a feed-forward layer, each with a LayerNorm before and a residual behind.

    `context_size` is the width of what is attended to; None is self attention, which normalises once and leaves
    `norm_context` without use, as the released code does.
    """

    def __init__(self, hp: Hyperparameters, context_size: int | None):
        super().__init__()
        width = hp.width
        size = width if context_size is None else context_size
        self.heads = hp.heads
        self.is_self_attention = context_size is None
        self.norm_query = nn.LayerNorm(width)
        self.norm_context = nn.LayerNorm(size)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(size, width)
        self.value = nn.Linear(size, width)
        # One matrix holds all three in the code, and is initialised as one.
        bound = math.sqrt(6 / (width + 2 * size + width))
        for layer in (self.query, self.key, self.value):
            nn.init.uniform_(layer.weight, -bound, bound)
        self.out = nn.Linear(width, width)
        self.norm_feed_forward = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 4 * width)
        self.contract = nn.Linear(4 * width, width)
        self.relu_dropout = nn.Dropout(hp.relu_dropout)
        self.residual_dropout = nn.Dropout(hp.residual_dropout)

    def forward(
        self, hidden: Tensor, context: Tensor | None, windows: Sequence[Sequence[int]], *, reverse: bool = False
    ) -> Tensor:
        """`[B, H, width]` and `[B, C, context_size]` to `[B, H, width]`.

        windows: for each of the H queries the steps of the context it attends to; a step listed twice counts twice.
        reverse: queries and keys change their projections.
        """
        normed = self.norm_query(hidden)
        source = normed if self.is_self_attention else self.norm_context(context)
        to_query, to_key = (self.key, self.query) if reverse else (self.query, self.key)
        split = lambda states: states.unflatten(-1, (self.heads, -1))  # noqa: E731, [B, steps, heads, size]
        queries, keys, values = split(to_query(normed)), split(to_key(source)), split(self.value(source))

        attended = []
        for i, window in enumerate(windows):
            query = queries[:, i, None] * queries.shape[-1] ** -0.5  # [B, 1, heads, size]
            weights = torch.softmax((query * keys[:, window]).sum(-1), dim=1)  # [B, window, heads]
            attended.append((weights[..., None] * values[:, window]).sum(1).flatten(1))
        hidden = hidden + self.residual_dropout(self.out(torch.stack(attended, dim=1)))

        expanded = self.relu_dropout(torch.relu(self.expand(self.norm_feed_forward(hidden))))
        return hidden + self.residual_dropout(self.contract(expanded))


class PhasedTransformer(nn.Module):
    """Sparse Phased Transformer: input, cross and self attention, the same layers in each of the iterations."""

    def __init__(self, hp: Hyperparameters, sizes: Mapping[str, int]):
        super().__init__()
        self.hp = hp
        self.names = tuple(name for name in ORDER if name in sizes)
        self.pairs = tuple(pair for pair in PAIRS if set(pair) <= set(sizes))
        self.hidden = nn.Parameter(torch.empty(len(self.names), hp.width))
        nn.init.xavier_uniform_(self.hidden)
        self.input_attention = nn.ModuleDict({name: Block(hp, sizes[name]) for name in self.names})
        self.cross_attention = nn.ModuleDict({"".join(pair): Block(hp, hp.width) for pair in self.pairs})
        self.self_attention = nn.ModuleDict({name: Block(hp, None) for name in self.names})
        self.norm = nn.LayerNorm(hp.width)
        self.embed_dropout = nn.Dropout(hp.embed_dropout)

    def forward(self, streams: Mapping[str, Tensor], *, protocol: Literal["reference", "paper"], r: int = 0) -> Tensors:
        """Streams to the last hidden state of each, `{s: [B, width]}`. Every step of a stream counts as valid.

        protocol: what the two still differ in where there is no padding. The reference keeps window slots that repeat a
        step, and gives no position to steps whose first feature is 0.
        r: the integer that shift R adds.
        """
        sequences, hidden = self.embed(streams, protocol=protocol)
        for number in range(self.hp.iterations):
            hidden = self.iterate(sequences, hidden, number, protocol=protocol, r=r)
        return {name: self.norm(states)[:, -1] for name, states in hidden.items()}

    def embed(self, streams: Mapping[str, Tensor], *, protocol: str) -> tuple[Tensors, Tensors]:
        """Streams to the scaled sequences `{s: [B, L_s, d_s]}` and the first hidden states `{s: [B, H_s, width]}`."""
        sequences, hidden = {}, {}
        for number, name in enumerate(self.names):
            stream = streams[name]
            count = math.ceil(stream.shape[1] / self.hp.stride)
            start = self.hidden[number].expand(stream.shape[0], count, self.hp.width)
            for target, value in ((sequences, stream), (hidden, start)):
                value = math.sqrt(self.hp.width) * value
                target[name] = self.embed_dropout(value + position_embedding(value, protocol=protocol))
        return sequences, hidden

    def iterate(self, sequences: Tensors, hidden: Tensors, number: int, *, protocol: str, r: int = 0) -> Tensors:
        """One pass of input, cross and self attention; `number` counts from 0."""
        hp, repeats = self.hp, protocol == "reference"

        def windows(queries: Tensor, context: Tensor, width: int, stride: int, shifts: str) -> list[list[int]]:
            count = context.shape[1]
            return [
                window(i, width, stride, count, shift(shifts, i, count, number, r), repeats=repeats)
                for i in range(queries.shape[1])
            ]

        after_input = {}
        for name in self.names:
            slots = windows(hidden[name], sequences[name], hp.input_window, hp.stride, hp.input_shifts)
            after_input[name] = self.input_attention[name](hidden[name], sequences[name], slots)

        after_cross = {name: [] for name in self.names}
        for first, second in self.pairs:
            block = self.cross_attention[first + second]
            for asking, asked, reverse in ((first, second, False), (second, first, True)):
                state, context = after_input[asking], after_input[asked]
                slots = windows(state, context, hp.cross_window, 1, hp.cross_shifts)
                after_cross[asking].append(block(state, context, slots, reverse=reverse))
        # A sum of terms that each hold the residual: with three modalities the stream doubles.
        crossed = {name: sum(terms) if terms else after_input[name] for name, terms in after_cross.items()}

        after_self = {}
        for name, state in crossed.items():
            slots = windows(state, state, hp.self_window, 1, hp.self_shifts)
            after_self[name] = self.self_attention[name](state, None, slots)
        return after_self


def window(i: int, width: int, stride: int, count: int, shift: int, *, repeats: bool) -> list[int]:
    """The steps out of `count` that query i attends to: `width` slots that end where its own stride ends, and wrap.

    Without repeats only the last `count` slots stay, where there are more slots than steps.
    """
    first = 0 if repeats else max(0, width - count)
    return [((i + 1) * stride - width + j + shift) % count for j in range(first, width)]


def shift(kinds: str, i: int, count: int, number: int, r: int) -> int:
    """What the kinds of shift add for query i over a context of `count` steps in iteration `number`."""
    total = 0
    if "S" in kinds:
        total += number
    if "P" in kinds:
        total += math.trunc(count * math.sin(0.25 * i))
    if "R" in kinds:
        total += r
    return total


def position_embedding(value: Tensor, *, protocol: str) -> Tensor:
    """Sinusoidal embedding of the positions 1..L for `[B, L, d]`, d of 4 or more: sines, then cosines, then 0 if d is odd.

    In the reference a step whose first feature is 0 has position 0, and position 0 has an embedding of 0.
    """
    _, steps, width = value.shape
    half = width // 2
    table = torch.zeros(steps, width)
    for step in range(steps):
        for k in range(half):
            angle = (step + 1) * 10000 ** (-k / (half - 1))
            table[step, k] = math.sin(angle)
            table[step, half + k] = math.cos(angle)
    embedding = table.expand_as(value)
    if protocol == "reference":
        embedding = torch.where(value[:, :, :1] != 0, embedding, 0.0)
    return embedding


class Head(nn.Module):
    """Section 3.2: linear, ReLU (the feature), linear to one score. In the code: linear, ReLU, linear (the feature), linear."""

    def __init__(self, size: int, hp: Hyperparameters):
        super().__init__()
        self.layer_1 = nn.Linear(size, hp.head_dim)
        self.dropout = nn.Dropout(hp.output_dropout)
        self.layer_2 = None if hp.paper_heads else nn.Linear(hp.head_dim, hp.head_dim)
        self.score = nn.Linear(hp.head_dim, 1)

    def forward(self, representation: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, size]` to the score `[B]` and the feature `[B, head_dim]`."""
        hidden = torch.relu(self.layer_1(representation))
        if self.layer_2 is None:
            return self.score(self.dropout(hidden)).squeeze(-1), hidden
        feature = self.layer_2(self.dropout(hidden))
        return self.score(feature).squeeze(-1), feature


class SUGRMTorch(nn.Module):
    """The network behind the text encoder: recalibration, phased Transformer, one head per modality and one for all.

    `sizes {s: d_s}`: the widths of the streams, of which text is BERT's hidden states.
    """

    def __init__(self, hp: Hyperparameters, sizes: Mapping[str, int]):
        super().__init__()
        self.recalibration = Recalibration(sizes)
        self.transformer = PhasedTransformer(hp, sizes)
        names = self.transformer.names
        self.heads = nn.ModuleDict(
            {"m": Head(len(names) * hp.width, hp), **{name: Head(hp.width, hp) for name in names}}
        )

    def forward(self, streams: Mapping[str, Tensor], *, r: int = 0) -> dict[str, Tensors]:
        """Reference protocol: streams to `{"predictions": {x: [B]}, "features": {x: [B, head_dim]}}`."""
        recalibrated = self.recalibration(streams)
        return self._predict(self.transformer(recalibrated, protocol="reference", r=r))

    def forward_masked(self, streams: Mapping[str, Tensor], lengths: Mapping[str, Tensor], *, r: int = 0) -> dict:
        """Paper protocol: `lengths {s: [B]}`, at least 1; the same outputs."""
        samples = []
        for b in range(len(next(iter(streams.values())))):
            valid = {name: stream[b : b + 1, : int(lengths[name][b])] for name, stream in streams.items()}
            samples.append(self.transformer(self.recalibration(valid), protocol="paper", r=r))
        return self._predict({name: torch.cat([sample[name] for sample in samples]) for name in samples[0]})

    def _predict(self, representations: Tensors) -> dict[str, Tensors]:
        joint = torch.cat([representations[name] for name in self.transformer.names], dim=-1)
        predictions, features = {}, {}
        for name, head in self.heads.items():
            predictions[name], features[name] = head(joint if name == "m" else representations[name])
        return {"predictions": predictions, "features": features}


def loss(predictions: Mapping[str, Tensor], label: Tensor, unimodal: Mapping[str, Tensor]) -> Tensor:
    """Section 3.4: L1 of the multimodal score, and L1 of each unimodal score weighted by tanh|u-label - label|.

    `predictions {x: [B]}`, `label [B]`, `unimodal {s: [B]}`. No gradient flows through labels.
    """
    total = (predictions["m"] - label).abs().mean()
    for name, target in unimodal.items():
        weight = torch.tanh((target - label).abs())
        total = total + (weight * (predictions[name] - target).abs()).mean()
    return total


def make_optimizer(
    model: SUGRMTorch, hp: Hyperparameters, *, text_encoder: nn.Module | None = None, learning_rate_bert: float = 5e-5
) -> torch.optim.Adam:
    """Adam with coupled L2: BERT with and without decay, the phased Transformer, everything else."""
    spt, other = model.transformer.parameters(), [*model.recalibration.parameters(), *model.heads.parameters()]
    groups = [
        {"params": list(spt), "lr": hp.learning_rate_spt, "weight_decay": hp.weight_decay_spt},
        {"params": other, "lr": hp.learning_rate_other, "weight_decay": hp.weight_decay_other},
    ]
    if text_encoder is not None:
        for plain, decay in ((False, 1e-3), (True, 0.0)):
            chosen = [
                parameter
                for name, parameter in text_encoder.named_parameters()
                if plain == any(part in name for part in ("bias", "LayerNorm.weight"))
            ]
            groups.append({"params": chosen, "lr": learning_rate_bert, "weight_decay": decay})
    return torch.optim.Adam(groups)


def train_epoch(
    model: SUGRMTorch,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[np.ndarray],
    memory: LabelMemory,
    epoch: int,
    *,
    streams: Mapping[str, Tensor],
    limit: float,
    window: int = 4,
) -> list[float]:
    """One pass over the batches in the reference protocol; the losses of its mini-batches.

    Per batch: forward; loss with the labels stored so far and backward; label update from the features just computed; and
    after every `window` batches a step on the summed gradients. An incomplete window at the end is thrown away.

    `batches`: arrays `[B]` of distinct rows. `streams`: `{s: [N, L_s, d_s]}` of the whole training split.
    """
    model.train()
    losses = []
    for number, rows in enumerate(batches):
        if number % window == 0:
            optimizer.zero_grad()
        outputs = model({name: stream[rows] for name, stream in streams.items()})
        label = torch.tensor(memory.label[rows], dtype=torch.float32)
        targets = {name: torch.tensor(stored[rows], dtype=torch.float32) for name, stored in memory.unimodal.items()}
        value = loss(outputs["predictions"], label, targets)
        value.backward()
        features = {name: feature.detach().numpy() for name, feature in outputs["features"].items()}
        memory.update(rows, features, epoch=epoch, limit=limit)
        if (number + 1) % window == 0:
            optimizer.step()
        losses.append(value.item())
    return losses
