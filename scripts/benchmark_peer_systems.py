"""The peer's side of the compared systems: eager PyTorch that walks them as their published codes do, at MMSA's sizes for MOSI,
or for SIMS if it has none.

Every network takes text [B, T, 768], audio [B, T, 5] and vision [B, T, 20] (MulT: of any lengths), reads padding as MMSA does,
and gives the score [B], or one of each task [4, B], and what is added to the absolute error. Memory networks step through time
in Python, with an LSTMCell for each modality; other LSTMs are torch.nn.LSTM. Parameters have MMSA's names, so that weights can
be copied between the sides.
"""

import time
from itertools import combinations

import numpy as np
import torch
from torch import nn

from scripts.benchmark_peer import onto, wait
from scripts.benchmark_peer_mult import MulT
from scripts.benchmark_workload import Workload, make_columns
from tests.reference.ef_lstm_torch import EFLSTMTorch

Tensor = torch.Tensor
Scored = tuple[Tensor, Tensor | float]

WIDTHS = (768, 5, 20)  # of text, audio and vision
STEPS = 50
LETTERS = "lav"


class PeerSystem:
    """Training steps of a system, with Adam at its default rate."""

    def __init__(self, name: str, workload: Workload, *, threads: int, device: str = "cpu"):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        columns = {column: torch.from_numpy(array) for column, array in make_columns(workload).items()}
        if name in TIME_MEANS:  # once, as MMSA does when it reads its data
            columns |= {column: columns[column].mean(1, keepdim=True) for column in ("audio", "vision")}
        self._columns, self._device = onto(columns, device), device
        self.model = SYSTEMS[name]().to(device)
        self._optimizer = torch.optim.Adam(self.model.parameters())
        order = np.random.default_rng(1).permutation(workload.rows)
        whole = order[: workload.rows // workload.batch_size * workload.batch_size]
        self._batches = torch.from_numpy(whole).to(device).split(workload.batch_size)
        self._next = 0

    def parameters(self) -> int:
        """How many there are."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def train(self, steps: int) -> float:
        """Seconds of a step, the mean of the next so many."""
        self.model.train()
        begun = time.perf_counter()
        for _ in range(steps):
            rows, self._next = self._batches[self._next], (self._next + 1) % len(self._batches)
            batch = {name: column[rows] for name, column in self._columns.items() if not name.endswith("_length")}
            self._optimizer.zero_grad()
            score, more = self.model(batch["text"], batch["audio"], batch["vision"], batch["mask"])
            loss = (score - batch["label"]).abs().mean(-1).sum() + more  # of all tasks
            loss.backward()
            self._optimizer.step()
        wait(self._device)
        return (time.perf_counter() - begun) / steps


# -- time means of audio and vision, an LSTM over text ----------------------------------------------------------------


class FeatureSubnet(nn.Module):
    def __init__(self, width: int, size: int, rate: float):
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(width), nn.Dropout(rate)
        self.linear_1, self.linear_2, self.linear_3 = (nn.Linear(wide, size) for wide in (width, size, size))

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(self.norm(x[:, 0]))
        for layer in (self.linear_1, self.linear_2, self.linear_3):
            x = layer(x).relu()
        return x


class TextSubnet(nn.Module):
    def __init__(self, hidden: int, size: int):
        super().__init__()
        self.rnn, self.linear_1 = nn.LSTM(WIDTHS[0], hidden, batch_first=True), nn.Linear(hidden, size)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_1(self.rnn(x)[1][0][0])


class Fusion(nn.Module):
    """Three sub-networks, and what a class makes of them. sizes: of what they give, in the order text, audio, vision.

    text_hidden: of the LSTM. A multi-task form has a head for each modality, too, and gives [4, B] scores.
    """

    def __init__(self, sizes: tuple[int, int, int], rate: float, text_hidden: int):
        super().__init__()
        text, audio, vision = self.sizes = sizes
        self.text_subnet = TextSubnet(text_hidden, text)
        self.audio_subnet = FeatureSubnet(WIDTHS[1], audio, rate)
        self.video_subnet = FeatureSubnet(WIDTHS[2], vision, rate)
        self._alone: tuple[str, ...] = ()

    def make_head(self, name: str, width: int, hidden: int, rate: float) -> None:
        self.add_module(f"post_{name}_dropout", nn.Dropout(rate))
        for number, (into, out) in enumerate(((width, hidden), (hidden, hidden), (hidden, 1)), start=1):
            self.add_module(f"post_{name}_layer_{number}", nn.Linear(into, out))

    def head(self, name: str, x: Tensor) -> Tensor:
        dropout, *layers = (
            getattr(self, f"post_{name}_{part}") for part in ("dropout", "layer_1", "layer_2", "layer_3")
        )
        return layers[2](layers[1](layers[0](dropout(x)).relu()).relu())[:, 0]

    def make_heads(self, hidden: tuple[int, int, int], rate: float) -> None:
        """Of text, audio and vision."""
        for name, width, own in zip(("text", "audio", "video"), self.sizes, hidden, strict=True):
            self.make_head(name, width, own, rate)
        self._alone = ("audio", "video", "text")

    def fuse(self, a: Tensor, v: Tensor, t: Tensor) -> Tensor:
        raise AssertionError

    def forward(self, text: Tensor, audio: Tensor, vision: Tensor, mask: Tensor) -> Scored:
        embedded = self.audio_subnet(audio), self.video_subnet(vision), self.text_subnet(text)
        score = self.fuse(*embedded)
        if not self._alone:
            return score, 0.0
        alone = [self.head(name, x) for name, x in zip(self._alone, embedded, strict=True)]
        return torch.stack([score, *alone]), 0.0


def with_one(x: Tensor) -> Tensor:
    return torch.cat([x.new_ones(len(x), 1), x], 1)


class TFN(Fusion):
    def __init__(self, sizes=(32, 32, 128), rate=0.3, text_hidden=128, hidden=64, fusion_rate=0.5):
        super().__init__(sizes, rate, text_hidden)
        self.make_head("fusion", (sizes[0] + 1) * (sizes[1] + 1) * (sizes[2] + 1), hidden, fusion_rate)

    def fuse(self, a: Tensor, v: Tensor, t: Tensor) -> Tensor:
        a, v, t = with_one(a), with_one(v), with_one(t)
        pairs = torch.bmm(a[:, :, None], v[:, None]).flatten(1)
        fused = torch.bmm(pairs[:, :, None], t[:, None]).flatten(1)
        return 6 * self.head("fusion", fused).sigmoid() - 3


class MTFN(TFN):
    def __init__(self):
        super().__init__((256, 32, 256), 0.2, 256, 64, 0.2)
        self.make_heads((64, 4, 8), 0.2)


class LMF(Fusion):
    def __init__(self, sizes=(64, 16, 128), text_hidden=128, rank: int = 3):
        super().__init__(sizes, 0.3, text_hidden)
        for name, size in zip(("audio", "video", "text"), (sizes[1], sizes[2], sizes[0]), strict=True):
            self.register_parameter(f"{name}_factor", nn.Parameter(torch.empty(rank, size + 1, 1)))
            nn.init.xavier_normal_(getattr(self, f"{name}_factor"))
        self.fusion_weights, self.fusion_bias = nn.Parameter(torch.empty(1, rank)), nn.Parameter(torch.zeros(1, 1))
        nn.init.xavier_normal_(self.fusion_weights)

    def fuse(self, a: Tensor, v: Tensor, t: Tensor) -> Tensor:
        factors = self.audio_factor, self.video_factor, self.text_factor
        of_modality = [with_one(x) @ factor for x, factor in zip((a, v, t), factors, strict=True)]
        product = of_modality[0] * of_modality[1] * of_modality[2]  # [rank, B, 1]
        return (self.fusion_weights @ product[:, :, 0] + self.fusion_bias)[0]


class MLMF(LMF):
    def __init__(self):
        super().__init__((128, 32, 256), 256)
        self.make_heads((8, 4, 32), 0.4)


class LFDNN(Fusion):
    def __init__(self, sizes=(256, 16, 128), rate=0.2, text_hidden=128, hidden=128, fusion_rate=0.2):
        super().__init__(sizes, rate, text_hidden)
        self.make_head("fusion", sum(sizes), hidden, fusion_rate)

    def fuse(self, a: Tensor, v: Tensor, t: Tensor) -> Tensor:
        return self.head("fusion", torch.cat([a, v, t], 1))


class MLFDNN(LFDNN):
    def __init__(self):
        super().__init__((32, 32, 64), 0.3, 64, 32, 0.5)
        self.make_heads((16, 4, 32), 0.5)


# -- LSTMs ------------------------------------------------------------------------------------------------------------


class EFLSTM(EFLSTMTorch):
    def __init__(self):
        super().__init__(STEPS, sum(WIDTHS), hidden=128, layers=4, dropout=0.5)

    def forward(self, text: Tensor, audio: Tensor, vision: Tensor, mask: Tensor) -> Scored:  # type: ignore[override]
        return super().forward(text, audio, vision), 0.0


class LFLSTM(nn.Module):
    def __init__(self, sizes: tuple[int, int, int] = (128, 16, 32), rate: float = 0.2):
        super().__init__()
        self.lstms = nn.ModuleList(
            nn.LSTM(width, size, batch_first=True) for width, size in zip(WIDTHS, sizes, strict=True)
        )
        self.scores = nn.ModuleList(nn.Linear(size, 1) for size in sizes)
        self.dropout = nn.Dropout(rate)

    def forward(self, text: Tensor, audio: Tensor, vision: Tensor, mask: Tensor) -> Scored:
        rows, last = torch.arange(len(mask), device=mask.device), mask.sum(1) - 1
        read = zip((text, audio, vision), self.lstms, self.scores, strict=True)
        return sum(score(self.dropout(lstm(x)[0][rows, last]))[:, 0] for x, lstm, score in read) / 3, 0.0


class Pairs(nn.Module):
    """Small networks of two linear layers with ReLU and dropout between them."""

    def __init__(self):
        super().__init__()
        self._rates = {}

    def make_pair(self, name: str, width: int, hidden: int, out: int, rate: float) -> None:
        self.add_module(f"{name}_fc1", nn.Linear(width, hidden))
        self.add_module(f"{name}_fc2", nn.Linear(hidden, out))
        self._rates[name] = rate

    def pair(self, name: str, x: Tensor) -> Tensor:
        hidden = getattr(self, f"{name}_fc1")(x).relu()
        return getattr(self, f"{name}_fc2")(nn.functional.dropout(hidden, self._rates[name], self.training))


class Memory(Pairs):
    """Three LSTMCells and a gated memory, step by step. `fused` says what the memory sees at a step."""

    def __init__(
        self, hidden: tuple[int, int, int], memory: int, seen: int, layers: tuple[int, int, int], rates: tuple
    ):
        super().__init__()
        for letter, width, size in zip(LETTERS, WIDTHS, hidden, strict=True):
            self.add_module(f"lstm_{letter}", nn.LSTMCell(width, size))
        self.hidden, self.memory = hidden, memory
        for name, width, size, rate in zip(
            ("att2", "gamma1", "gamma2"), (seen, seen + memory, seen + memory), layers, rates, strict=True
        ):
            self.make_pair(name, width, size, memory, rate)

    def fused(self, before: list[tuple[Tensor, Tensor]], after: list[tuple[Tensor, Tensor]]) -> Tensor:
        raise AssertionError

    def last(self, *sequences: Tensor) -> Tensor:
        """The last states and the memory, side by side."""
        rows = len(sequences[0])
        held = [(sequences[0].new_zeros(rows, size),) * 2 for size in self.hidden]
        memory = sequences[0].new_zeros(rows, self.memory)
        for step in range(sequences[0].shape[1]):
            cells = (getattr(self, f"lstm_{letter}") for letter in LETTERS)
            new = [cell(x[:, step], old) for cell, x, old in zip(cells, sequences, held, strict=True)]
            seen = self.fused(held, new)
            both = torch.cat([seen, memory], 1)
            proposed = self.pair("att2", seen).tanh()
            memory = self.pair("gamma1", both).sigmoid() * memory + self.pair("gamma2", both).sigmoid() * proposed
            held = new
        return torch.cat([*(state for state, _ in held), memory], 1)


class MFN(Memory):
    def __init__(
        self, hidden=(256, 32, 256), memory=400, layers=(32, 64, 256, 32), rates=(0.2, 0.0, 0.7, 0.5), score=(128, 0.0)
    ):
        both = 2 * sum(hidden)
        super().__init__(hidden, memory, both, layers[1:], rates[1:])
        self.make_pair("att1", both, layers[0], both, rates[0])
        self.make_pair("out", sum(hidden) + memory, score[0], 1, score[1])

    def fused(self, before, after):
        both = torch.cat([*(cell for _, cell in before), *(cell for _, cell in after)], 1)
        return self.pair("att1", both).softmax(1) * both

    def forward(self, text: Tensor, audio: Tensor, vision: Tensor, mask: Tensor) -> Scored:
        return self.pair("out", self.last(text, audio, vision))[:, 0], 0.0


class GraphMFN(Memory):
    """Also trains the vertices' networks, which MMSA does not register."""

    def __init__(self, hidden=(256, 32, 256), memory=300, size=64, inner=100):
        super().__init__(hidden, memory, size, (32, 128, 64), (0.0, 0.5, 0.5))
        for letter, wide in zip(LETTERS, hidden, strict=True):
            self.add_module(f"{letter}_transform", nn.Linear(2 * wide, wide))
        self.efficacies = nn.Sequential(nn.Linear(sum(hidden), inner), nn.Linear(inner, size), nn.Linear(size, 19))
        width = dict(zip(LETTERS, hidden, strict=True))
        self.sources = {}
        for subset in [*("".join(of) for number in (2, 3) for of in combinations(LETTERS, number)), "top"]:
            self.sources[subset] = [name for name in width if subset == "top" or set(name) < set(subset)]
            read = sum(width[name] for name in self.sources[subset])
            self.add_module(f"vertex_{subset}", nn.Sequential(nn.Linear(read, inner), nn.Linear(inner, size)))
            width[subset] = size
        self.make_pair("out", sum(hidden) + memory, 256, 1, 0.0)

    def fused(self, before, after):
        vertex = {}
        for letter, (old, _), (new, _) in zip(LETTERS, before, after, strict=True):
            vertex[letter] = getattr(self, f"{letter}_transform")(torch.cat([old, new], 1)).relu()
        efficacies = iter(self.efficacies(torch.cat(list(vertex.values()), 1)).split(1, 1))
        for subset, sources in self.sources.items():
            read = torch.cat([vertex[name] * next(efficacies) for name in sources], 1)
            vertex[subset] = getattr(self, f"vertex_{subset}")(read)
        return vertex["top"]

    def forward(self, text: Tensor, audio: Tensor, vision: Tensor, mask: Tensor) -> Scored:
        return self.pair("out", self.last(text, audio, vision))[:, 0], 0.0


class Stepper(nn.Module):
    """An LSTMCell and a linear layer: over a sequence, or from one vector to a sequence."""

    def __init__(self, width: int, hidden: int, out: int):
        super().__init__()
        self.lstm, self.fc1 = nn.LSTMCell(width, hidden), nn.Linear(hidden, out)

    def read(self, x: Tensor) -> Tensor:
        state = None
        for step in range(x.shape[1]):
            state = self.lstm(x[:, step], state)
        return self.fc1(state[0])

    def write(self, vector: Tensor, steps: int) -> Tensor:
        state, states = None, []
        for _ in range(steps):
            state = self.lstm(vector, state)
            vector = state[0]
            states.append(vector)
        return self.fc1(torch.stack(states, 1))


class MFM(Pairs):
    CODES, FACTORS, RATES = (64, 80, 80), (32, 16, 64), (0.5, 0.7, 0.5)  # of text, audio and vision

    def __init__(self):
        super().__init__()
        hidden, memory = (128, 32, 128), 64
        self.mfn_encoder = MFN(hidden, memory, (32, 64, 32, 64), (0.7, 0.0, 0.0, 0.5), (128, 0.2))
        self.last_to_zy_fc1 = nn.Linear(sum(hidden) + memory, 80)
        self.make_pair("zy_to_fy", 80, 64, 64, 0.5)
        self.make_pair("fy_to_y", 64, 64, 1, 0.0)
        for letter, width, code, factor, rate in zip(
            LETTERS, WIDTHS, self.CODES, self.FACTORS, self.RATES, strict=True
        ):
            self.add_module(f"encoder_{letter}", Stepper(width, code, code))
            self.make_pair(f"z{letter}_to_f{letter}", code, factor, factor, rate)
            self.add_module(f"decoder_{letter}", Stepper(64 + factor, 64 + factor, width))

    def forward(self, text: Tensor, audio: Tensor, vision: Tensor, mask: Tensor) -> Scored:
        codes = [self.last_to_zy_fc1(self.mfn_encoder.last(text, audio, vision))]
        y = self.pair("zy_to_fy", codes[0]).relu()
        more = 0.0
        for letter, x, weight in zip(LETTERS, (text, audio, vision), (0.5, 0.01, 0.5), strict=True):
            codes.append(getattr(self, f"encoder_{letter}").read(x))
            factor = self.pair(f"z{letter}_to_f{letter}", codes[-1]).relu()
            written = getattr(self, f"decoder_{letter}").write(torch.cat([y, factor], 1), x.shape[1])
            more = more + weight * nn.functional.mse_loss(written, x)
        more = more + 100 * sum(mmd(code, torch.randn_like(code)) for code in codes)
        return self.pair("fy_to_y", y)[:, 0], more


def mmd(x: Tensor, y: Tensor) -> Tensor:
    """Maximum mean discrepancy of two samples [B, d], the kernel's width the square of d."""

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (-((x[:, None] - y[None]) ** 2).sum(2) / x.shape[1] ** 2).exp().mean()

    return kernel(x, x) + kernel(y, y) - 2 * kernel(x, y)


SYSTEMS = {
    "tfn": TFN, "lmf": LMF, "lf_dnn": LFDNN, "ef_lstm": EFLSTM, "lf_lstm": LFLSTM, "mfn": MFN, "graph_mfn": GraphMFN,
    "mfm": MFM, "mult": MulT, "mtfn": MTFN, "mlmf": MLMF, "mlf_dnn": MLFDNN,
}  # fmt: skip
TIME_MEANS = ("tfn", "lmf", "lf_dnn", "mtfn", "mlmf", "mlf_dnn")
