"""RAVEN derived a second time in PyTorch, for one sample: the LSTM over the frames of a word is a whole LSTM of one step.

Parameters are tensors by the paths that ours have.
"""

from collections.abc import Mapping

import torch

from tests.reference.mctn_torch import cell, lstm

Tensor = torch.Tensor


def line(x: Tensor, of: Mapping[str, Tensor], path: str) -> Tensor:
    """A linear layer."""
    return x @ of[f"{path}/kernel"] + of[f"{path}/bias"]


def one_frame(x: Tensor, of: Mapping[str, Tensor], name: str) -> Tensor:
    """[n, d] -> [n, h], an LSTM that reads each frame by itself, its forget gate and its recurrent matrix full of ones."""
    x = line(x, of, f"{name}_encoder/projection")
    size = x.shape[-1]
    columns, bias = of[f"{name}_encoder/gates/kernel"], of[f"{name}_encoder/gates/bias"]
    ones = torch.ones(size, size, dtype=x.dtype)
    weights = {
        "w/input": torch.cat([columns[:, :size], ones, columns[:, size:]], 1),
        "w/input_bias": torch.cat([bias[:size], ones[0], bias[size:]]),
        "w/recurrent": torch.ones(size, 4 * size, dtype=x.dtype),
        "w/recurrent_bias": torch.zeros(4 * size, dtype=x.dtype),
    }
    zeros = torch.zeros(len(x), size, dtype=x.dtype)
    return cell(x, zeros, zeros, weights, "w")[0]


def score(sample: Mapping[str, Tensor], of: Mapping[str, Tensor], beta: float, *, as_code: bool) -> Tensor:
    """text, audio, vision [n, d] -> the score [], with the gates and the bound of the paper or of the code."""
    words, gated = sample["text"], []
    for name in ("audio", "vision"):
        state = one_frame(sample[name], of, name)
        gate = line(torch.cat([state, words], -1), of, f"shift/{name}_gate")
        gated.append((gate if as_code else gate.sigmoid()) * state)
    shift = line(torch.cat(gated, -1), of, "shift/shift")
    longest, size = beta * words.norm(dim=-1, keepdim=True), shift.norm(dim=-1, keepdim=True)
    moved = words + shift * (longest / size.clamp(min=1) if as_code else (longest / size).clamp(max=1))
    return line(lstm(moved[None], of, "lstm")[0, -1], of, "score")[0]
