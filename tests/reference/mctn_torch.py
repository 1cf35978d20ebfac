"""MCTN derived a second time in PyTorch: a loop over the steps of a decoder, gradients by autograd.

Parameters are tensors by the paths that ours have. Of each sample all steps count.
"""

from collections.abc import Mapping

import torch

Tensor = torch.Tensor


def cell(read: Tensor, state: Tensor, memory: Tensor, of: Mapping[str, Tensor], path: str, *, tied: bool = False):
    """State and cell after one step of an LSTM."""
    gates = read @ of[f"{path}/input"] + state @ of[f"{path}/recurrent"]
    i, f, g, o = (gates + of[f"{path}/input_bias"] + of[f"{path}/recurrent_bias"]).chunk(4, 1)
    memory = (i if tied else f).sigmoid() * memory + i.sigmoid() * g.tanh()
    return o.sigmoid() * memory.tanh(), memory


def lstm(x: Tensor, of: Mapping[str, Tensor], path: str) -> Tensor:
    """[B, T, d] -> the states [B, T, h]."""
    size = of[f"{path}/recurrent"].shape[0]
    state = memory = torch.zeros(len(x), size, dtype=x.dtype)
    states = []
    for step in x.unbind(1):
        state, memory = cell(step, state, memory, of, path)
        states.append(state)
    return torch.stack(states, 1)


def encode(x: Tensor, of: Mapping[str, Tensor], path: str) -> Tensor:
    """Both directions, added."""
    return lstm(x, of, f"{path}/lstm/forward") + lstm(x.flip(1), of, f"{path}/lstm/backward").flip(1)


def decode(states: Tensor, of: Mapping[str, Tensor], path: str, *, reference: bool) -> Tensor:
    """As many steps as there are states. The attention of the reference code has a weight for the cell, which cancels: 1."""
    size = of[f"{path}/lstm/recurrent"].shape[0]
    state = memory = torch.zeros(len(states), size, dtype=states.dtype)
    written = []
    for _ in range(states.shape[1]):
        if reference:
            energy = states @ of[f"{path}/energy"] + memory.sum(1)[:, None]
        else:
            keys = states @ of[f"{path}/keys/kernel"] + of[f"{path}/keys/bias"]
            energy = (keys + (memory @ of[f"{path}/query"])[:, None]).tanh() @ of[f"{path}/energy"]
        context = (energy.softmax(1)[..., None] * states).sum(1)
        state, memory = cell(context, state, memory, of, f"{path}/lstm", tied=reference)
        written.append(state @ of[f"{path}/output/kernel"] + of[f"{path}/output/bias"])
    frames = torch.stack(written, 1)
    return frames.tanh() if reference else frames


def wide(x: Tensor, width: int) -> Tensor:
    """Zeros behind the features."""
    return torch.cat([x, torch.zeros(*x.shape[:2], width - x.shape[-1], dtype=x.dtype)], -1)


def mctn(sequences: Mapping[str, Tensor], label: Tensor, of: Mapping[str, Tensor], *, reference: bool):
    """Score [B] and the loss of the batch, by text, vision, audio and weights of 0.1."""
    text, vision, audio = (sequences[name] for name in ("text", "vision", "audio"))
    width = max(x.shape[-1] for x in (text, vision, audio))

    def cut(written: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return (written, wide(target, width)) if reference else (written[..., : target.shape[-1]], target)

    states = encode(wide(text, width), of, "encoder")
    there, to_vision = cut(decode(states, of, "decoder", reference=reference), vision)
    back, to_text = cut(decode(encode(wide(there, width), of, "encoder"), of, "decoder", reference=reference), text)
    states = encode(states, of, "encoder_2")
    second, to_audio = cut(decode(states, of, "decoder_2", reference=reference), audio)
    read = lstm(states, of, "reader")
    share = (read @ of["attention/kernel"] + of["attention/bias"]).tanh().softmax(1)
    score = ((share * read).sum(1) @ of["score/kernel"] + of["score/bias"])[:, 0]
    written = ((there, to_vision), (back, to_text), (second, to_audio))
    return score, (score - label).abs().mean() + 0.1 * sum(((x - y) ** 2).mean() for x, y in written)
