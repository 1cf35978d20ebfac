"""The peer's side of MulT: eager PyTorch that walks it as MMSA does, at MMSA's sizes for MOSI.

Text [B, T, 768], audio [B, A, 5] and vision [B, V, 20] have time axes of their own. Padding is read as data, positions are not
added, steps of the future are hidden. Parameters have MMSA's names, so that weights can be copied between the sides.
"""

import torch
from torch import nn

from scripts.benchmark_workload import AUDIO, VISION

Tensor = torch.Tensor

LEAST_LAYERS = 3  # of the Transformers over what was read


class Attention(nn.Module):
    """Steps of one sequence read those of another, [B, L, D] and [B, S, D] -> [B, L, D], through all L S weights."""

    def __init__(self, width: int, heads: int, rate: float):
        super().__init__()
        self.heads, self.rate = heads, rate
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.xavier_uniform_(self.out_proj.weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        rows, steps, width = query.shape
        parts = zip((query, key, value), self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3), strict=True)
        query, key, value = (
            nn.functional.linear(x, weight, bias).view(rows, -1, self.heads, width // self.heads).transpose(1, 2)
            for x, weight, bias in parts
        )
        scores = (query * (width // self.heads) ** -0.5) @ key.transpose(2, 3) + mask
        weights = nn.functional.dropout(scores.softmax(-1), self.rate, self.training)
        return self.out_proj((weights @ value).transpose(1, 2).reshape(rows, steps, width))


class Layer(nn.Module):
    def __init__(self, width: int, heads: int, attention: float, hidden: float, residual: float):
        super().__init__()
        self.self_attn = Attention(width, heads, attention)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.layer_norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.hidden, self.residual = nn.Dropout(hidden), nn.Dropout(residual)

    def forward(self, x: Tensor, key: Tensor | None, value: Tensor | None, mask: Tensor) -> Tensor:
        norm = self.layer_norms[0]
        query = norm(x)
        read = (query, query) if key is None or value is None else (norm(key), norm(value))
        x = x + self.residual(self.self_attn(query, *read, mask))
        return x + self.residual(self.fc2(self.hidden(self.fc1(self.layer_norms[1](x)).relu())))


class Encoder(nn.Module):
    def __init__(
        self, width: int, heads: int, layers: int, attention: float, given: float, hidden: float, residual: float
    ):
        super().__init__()
        self.layers = nn.ModuleList(Layer(width, heads, attention, hidden, residual) for _ in range(layers))
        self.layer_norm, self.given = nn.LayerNorm(width), nn.Dropout(given)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        scale = x.shape[2] ** 0.5
        other = x if context is None else context
        steps, others = x.shape[1], other.shape[1]
        mask = torch.full((steps, others), -torch.inf, device=x.device).triu(1 + abs(others - steps))
        key, value = (None, None) if context is None else (self.given(scale * context), self.given(scale * context))
        x = self.given(scale * x)
        for layer in self.layers:
            x = layer(x, key, value, mask)
        return self.layer_norm(x)


class MulT(nn.Module):
    """rates: dropout of attention by the modality that is read, `l`, `a` or `v`."""

    def __init__(
        self,
        widths: tuple[int, int, int] = (768, AUDIO[1], VISION[1]),
        *,
        width: int = 50,
        heads: int = 10,
        layers: int = 4,
        kernel: int = 5,
        rates: tuple[float, float, float] = (0.3, 0.2, 0.0),
        given: float = 0.2,
        hidden: float = 0.0,
        residual: float = 0.0,
        text: float = 0.5,
        output: float = 0.5,
    ):
        super().__init__()
        self.text, self.output = nn.Dropout(text), nn.Dropout(output)
        rate = dict(zip("lav", rates, strict=True))
        for letter, size in zip("lav", widths, strict=True):
            self.add_module(f"proj_{letter}", nn.Conv1d(size, width, kernel, bias=False))
            for other in "lav".replace(letter, ""):
                encoder = Encoder(width, heads, layers, rate[other], given, hidden, residual)
                self.add_module(f"trans_{letter}_with_{other}", encoder)
            deep = max(layers, LEAST_LAYERS)
            encoder = Encoder(2 * width, heads, deep, rate["l"], given, hidden, residual)
            self.add_module(f"trans_{letter}_mem", encoder)
        self.proj1, self.proj2 = nn.Linear(6 * width, 6 * width), nn.Linear(6 * width, 6 * width)
        self.out_layer = nn.Linear(6 * width, 1)

    def embedded(self, text: Tensor, audio: Tensor, vision: Tensor) -> dict[str, Tensor]:
        """What is read off the last step of each modality, [B, 2 d]."""
        given = dict(zip("lav", (self.text(text), audio, vision), strict=True))
        x = {
            letter: getattr(self, f"proj_{letter}")(one.transpose(1, 2)).transpose(1, 2)
            for letter, one in given.items()
        }
        last = {}
        for letter in x:
            read = [
                getattr(self, f"trans_{letter}_with_{other}")(x[letter], x[other]) for other in x if other != letter
            ]
            last[letter] = getattr(self, f"trans_{letter}_mem")(torch.cat(read, 2))[:, -1]
        return last

    def forward(self, text: Tensor, audio: Tensor, vision: Tensor, mask: Tensor) -> tuple[Tensor, float]:
        z = torch.cat(list(self.embedded(text, audio, vision).values()), 1)
        z = z + self.proj2(self.output(self.proj1(z).relu()))
        return self.out_layer(z)[:, 0], 0.0
