"""MFN, Graph-MFN and MFM as MMSA has them, derived a second time in PyTorch: one step after the other, without dropout.

Parameters have the names of MMSA's, so that its weights and these modules' can stand for each other. Sequences are
[B, T, d], of which every step is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import nn

Tensor = torch.Tensor
LETTERS = "lav"  # text, audio, vision


@dataclass(frozen=True)
class Sizes:
    """width: features of a step of text, audio, vision. hidden: of their LSTMs. memory, attention, proposal, retain, update,
    score, vertex: as the options of ours. code, factor: of the label, text, audio, vision."""

    width: tuple[int, int, int] = (11, 4, 7)
    hidden: tuple[int, int, int] = (6, 3, 5)
    memory: int = 7
    attention: int = 4
    proposal: int = 5
    retain: int = 6
    update: int = 3
    score: int = 8
    vertex: int = 4
    code: tuple[int, int, int, int] = (5, 4, 3, 6)
    factor: tuple[int, int, int, int] = (4, 3, 2, 5)


class Memory(nn.Module):
    """What MFN and Graph-MFN share: LSTM cells, the gated memory, the score."""

    def __init__(self, sizes: Sizes, fused: int) -> None:
        super().__init__()
        for letter, width, hidden in zip(LETTERS, sizes.width, sizes.hidden, strict=True):
            setattr(self, f"lstm_{letter}", nn.LSTMCell(width, hidden))
        for name, read, hidden in (
            ("att2", fused, sizes.proposal),
            ("gamma1", fused + sizes.memory, sizes.retain),
            ("gamma2", fused + sizes.memory, sizes.update),
        ):
            setattr(self, f"{name}_fc1", nn.Linear(read, hidden))
            setattr(self, f"{name}_fc2", nn.Linear(hidden, sizes.memory))
        self.sizes = sizes
        self.out_fc1, self.out_fc2 = nn.Linear(sum(sizes.hidden) + sizes.memory, sizes.score), nn.Linear(sizes.score, 1)

    def two(self, name: str, x: Tensor) -> Tensor:
        """Two layers by the name of their parameters."""
        return getattr(self, f"{name}_fc2")(getattr(self, f"{name}_fc1")(x).clamp(min=0))

    def fuse(self, old: list[tuple[Tensor, Tensor]], new: list[tuple[Tensor, Tensor]]) -> Tensor:
        """States and cells before and after a step -> what the memory reads."""
        raise TypeError

    def forward(self, *sequences: Tensor) -> tuple[Tensor, Tensor]:
        """Score [B], and last states with the memory [B, H + memory]."""
        rows = len(sequences[0])
        held = [(torch.zeros(rows, size), torch.zeros(rows, size)) for size in self.sizes.hidden]
        memory = torch.zeros(rows, self.sizes.memory)
        for step in range(sequences[0].shape[1]):
            after = [
                getattr(self, f"lstm_{letter}")(sequence[:, step], of)
                for letter, sequence, of in zip(LETTERS, sequences, held, strict=True)
            ]
            fused = self.fuse(held, after)
            both = torch.cat([fused, memory], 1)
            memory = (
                self.two("gamma1", both).sigmoid() * memory
                + self.two("gamma2", both).sigmoid() * self.two("att2", fused).tanh()
            )
            held = after
        last = torch.cat([*(state for state, _ in held), memory], 1)
        return self.two("out", last)[:, 0], last


class MFNTorch(Memory):
    """MFN."""

    def __init__(self, sizes: Sizes) -> None:
        width = 2 * sum(sizes.hidden)
        super().__init__(sizes, width)
        self.att1_fc1, self.att1_fc2 = nn.Linear(width, sizes.attention), nn.Linear(sizes.attention, width)

    def fuse(self, old: list[tuple[Tensor, Tensor]], new: list[tuple[Tensor, Tensor]]) -> Tensor:
        """The attention over all cells."""
        cells = torch.cat([*(cell for _, cell in old), *(cell for _, cell in new)], 1)
        weights = self.two("att1", cells).exp()
        return weights / weights.sum(1, keepdim=True) * cells


class Graph(nn.Module):
    """The networks of the graph that MMSA registers."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        singles, n = sum(sizes.hidden), sizes.vertex
        self.t_network = nn.Sequential(nn.Linear(singles + 4 * n, 100), nn.Sequential(nn.Linear(100, n)))
        self.efficacy_model = nn.Sequential(nn.Linear(singles, 100), nn.Sequential(nn.Linear(100, n)), nn.Linear(n, 19))


class GraphMFNTorch(Memory):
    """Graph-MFN. The networks of the vertices are `vertex_ta` and so on."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes, sizes.vertex)
        for letter, hidden in zip(LETTERS, sizes.hidden, strict=True):
            setattr(self, f"{letter}_transform", nn.Linear(2 * hidden, hidden))
        self.graph_mfn = Graph(sizes)
        n, (t, a, v) = sizes.vertex, sizes.hidden
        for name, read in {"ta": t + a, "tv": t + v, "av": a + v, "tav": t + a + v + 3 * n}.items():
            setattr(self, f"vertex_{name}", nn.Sequential(nn.Linear(read, 100), nn.Sequential(nn.Linear(100, n))))

    def fuse(self, old: list[tuple[Tensor, Tensor]], new: list[tuple[Tensor, Tensor]]) -> Tensor:
        """The top vertex."""
        vertex = {}
        for letter, name, (before, _), (now, _) in zip(LETTERS, "tav", old, new, strict=True):
            vertex[name] = getattr(self, f"{letter}_transform")(torch.cat([before, now], 1)).clamp(min=0)
        efficacy = iter(self.graph_mfn.efficacy_model(torch.cat([*vertex.values()], 1)).split(1, 1))
        for name in ("ta", "tv", "av", "tav"):
            read = ["".join(some) for count in range(1, len(name)) for some in combinations(name, count)]
            vertex[name] = getattr(self, f"vertex_{name}")(torch.cat([vertex[one] * next(efficacy) for one in read], 1))
        order = ("t", "a", "v", "ta", "tv", "av", "tav")
        return self.graph_mfn.t_network(torch.cat([vertex[one] * next(efficacy) for one in order], 1))


class Encoder(nn.Module):
    """[B, T, d] -> the code [B, z]."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.lstm, self.fc1 = nn.LSTMCell(width, size), nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        held = None
        for step in range(x.shape[1]):
            held = self.lstm(x[:, step], held)
        return self.fc1(held[0])


class Decoder(nn.Module):
    """[B, q] -> [B, T, d]."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.lstm, self.fc1 = nn.LSTMCell(size, size), nn.Linear(size, width)

    def forward(self, vector: Tensor, steps: int) -> Tensor:
        read, held, frames = vector, None, []
        for _ in range(steps):
            held = self.lstm(read, held)
            read = held[0]
            frames.append(self.fc1(read))
        return torch.stack(frames, 1)


class MFMTorch(nn.Module):
    """MFM."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.mfn_encoder = MFNTorch(sizes)
        y, fy = sizes.code[0], sizes.factor[0]
        for letter, width, z, f in zip(LETTERS, sizes.width, sizes.code[1:], sizes.factor[1:], strict=True):
            setattr(self, f"encoder_{letter}", Encoder(width, z))
            setattr(self, f"decoder_{letter}", Decoder(fy + f, width))
        for letter, z, f in zip(f"y{LETTERS}", sizes.code, sizes.factor, strict=True):
            setattr(self, f"z{letter}_to_f{letter}_fc1", nn.Linear(z, f))
            setattr(self, f"z{letter}_to_f{letter}_fc2", nn.Linear(f, f))
        self.last_to_zy_fc1 = nn.Linear(sum(sizes.hidden) + sizes.memory, y)
        self.fy_to_y_fc1, self.fy_to_y_fc2 = nn.Linear(fy, fy), nn.Linear(fy, 1)

    def forward(self, *sequences: Tensor) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Score [B]; the codes by letter [B, z]; the squared error of each sequence by letter, scalars."""
        codes = {"y": self.last_to_zy_fc1(self.mfn_encoder(*sequences)[1])}
        for letter, sequence in zip(LETTERS, sequences, strict=True):
            codes[letter] = getattr(self, f"encoder_{letter}")(sequence)
        factors = {}
        for letter, code in codes.items():
            first, second = (getattr(self, f"z{letter}_to_f{letter}_fc{number}") for number in (1, 2))
            factors[letter] = second(first(code).clamp(min=0)).clamp(min=0)
        errors = {}
        for letter, sequence in zip(LETTERS, sequences, strict=True):
            vector = torch.cat([factors["y"], factors[letter]], 1)
            written = getattr(self, f"decoder_{letter}")(vector, sequence.shape[1])
            errors[letter] = (written - sequence).pow(2).mean()
        score = self.fy_to_y_fc2(self.fy_to_y_fc1(factors["y"]).clamp(min=0))[:, 0]
        return score, codes, errors


def discrepancy(code: Tensor, normal: Tensor) -> Tensor:
    """MMD of [B, h] and [B, h], pair by pair."""

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        difference = x[:, None] - y[None]
        return (-difference.pow(2).mean(2) / x.shape[1]).exp().mean()

    return kernel(normal, normal) + kernel(code, code) - 2 * kernel(normal, code)


def mfm_loss(
    outputs: tuple[Tensor, dict[str, Tensor], dict[str, Tensor]],
    label: Tensor,
    normals: Mapping[str, Tensor],
    weights: Mapping[str, float],
) -> Tensor:
    """L1, weighted squared errors, weighted discrepancies; `normals` are draws by letter, `weights` by letter and "mmd"."""
    score, codes, errors = outputs
    total = (score - label).abs().mean() + sum(weights[letter] * error for letter, error in errors.items())
    return total + weights["mmd"] * sum(discrepancy(code, normals[letter]) for letter, code in codes.items())
