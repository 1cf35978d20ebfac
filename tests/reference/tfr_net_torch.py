"""TFR-Net derived a second time in PyTorch: its own attention, torch.nn.GRU over packed sequences, torch's convolutions,
BatchNorm and losses; gradients by autograd.

Parameters are tensors by the paths that ours have, stacked layers included. Complete and masked samples are given apart.
"""

import math
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

Tensor = torch.Tensor
Of = Mapping[str, Tensor]
NAMES = ("text", "audio", "vision")
LAMBDA = {"text": 5.0, "audio": 2.0, "vision": 20.0}


def positions(steps: int, width: int) -> Tensor:
    """Sines, then cosines, of the positions 1 to steps."""
    half = width // 2
    rate = torch.exp(-math.log(10000) / max(half - 1, 1) * torch.arange(half).double())
    angle = torch.arange(1, steps + 1)[:, None] * rate
    return functional.pad(torch.cat([angle.sin(), angle.cos()], 1), (0, width % 2))


def attention(query: Tensor, key: Tensor, value: Tensor, heads: int, visible: Tensor) -> Tensor:
    """[B, Q, D], [B, S, D], [B, S, D], [B, Q, S] -> [B, Q, D]."""
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
    return (scores.masked_fill(~visible[:, None], -torch.inf).softmax(-1) @ value).transpose(1, 2).flatten(2)


def encoder(x: Tensor, other: Tensor, length: Tensor, of: Of, path: str, heads: int, *, places: bool, later: bool):
    """x [B, L, D] that reads another sequence [B, S, D] of these lengths."""
    steps, width = x.shape[1:]
    alone = x is other  # it reads what the layer below made of itself
    x, source = (each * width**0.5 + (positions(each.shape[1], width) if places else 0.0) for each in (x, other))
    reach = other.shape[1] if later else abs(other.shape[1] - steps)
    so_far = torch.arange(other.shape[1])[None] <= torch.arange(steps)[:, None] + reach
    visible = so_far[None] & (torch.arange(other.shape[1]) < length[:, None])[:, None]
    inner = f"{path}/transformer"
    for layer in range(len(of[f"{inner}/layers/query/kernel"])):

        def linear(x: Tensor, name: str, layer: int = layer) -> Tensor:
            return x @ of[f"{inner}/layers/{name}/kernel"][layer] + of[f"{inner}/layers/{name}/bias"][layer]

        def norm(x: Tensor, name: str, layer: int = layer) -> Tensor:
            scale, bias = (of[f"{inner}/layers/{name}/{kind}"][layer] for kind in ("scale", "bias"))
            return functional.layer_norm(x, (width,), scale, bias)

        own = norm(x, "attention_norm")
        read = own if alone else norm(source, "attention_norm")
        mixed = attention(linear(own, "query"), linear(read, "key"), linear(read, "value"), heads, visible)
        x = x + linear(mixed, "output")
        x = x + linear(linear(norm(x, "feedforward_norm"), "expand").relu(), "contract")
    return functional.layer_norm(x, (width,), of[f"{inner}/norm/scale"], of[f"{inner}/norm/bias"])


def gru(x: Tensor, length: Tensor, of: Of, path: str) -> Tensor:
    """Bidirectional, stacked, over packed sequences; its weights are read off `of`, so that gradients reach them."""
    layers = sum(name.startswith(f"{path}/layer_") and name.endswith("/input") for name in of)
    hidden = of[f"{path}/layer_0/recurrent"].shape[1]
    module = nn.GRU(x.shape[-1], hidden, num_layers=layers, bidirectional=True).double()
    kinds = {"weight_ih": "input", "weight_hh": "recurrent", "bias_ih": "input_bias", "bias_hh": "recurrent_bias"}
    weights = {
        f"{theirs}_l{layer}{'_reverse' if way else ''}": of[f"{path}/layer_{layer}/{ours}"][way].t()
        if theirs.startswith("weight")
        else of[f"{path}/layer_{layer}/{ours}"][way]
        for theirs, ours in kinds.items()
        for layer in range(layers)
        for way in (0, 1)
    }
    packed = nn.utils.rnn.pack_padded_sequence(x, length, batch_first=True, enforce_sorted=False)
    found, _ = torch.func.functional_call(module, weights, (packed,))
    return nn.utils.rnn.pad_packed_sequence(found, batch_first=True, total_length=x.shape[1])[0]


def affine(x: Tensor, of: Of, path: str) -> Tensor:
    """A linear map."""
    return x @ of[f"{path}/kernel"] + of[f"{path}/bias"]


def discrepancy(one: Tensor, other: Tensor) -> Tensor:
    """Distance of the means and of the second and third central moments."""
    one, other = one.flatten(0, 1), other.flatten(0, 1)
    total = torch.linalg.vector_norm(one.mean(0) - other.mean(0))
    for power in (2, 3):
        moments = [((x - x.mean(0)) ** power).mean(0) for x in (one, other)]
        total = total + torch.linalg.vector_norm(moments[0] - moments[1])
    return total


def tfr_net(complete: Of, masked: Of, lost: Of, lengths: Of, label: Tensor, of: Of, *, heads: int, reference: bool):
    """Score [B] and the loss of the batch in training.

    complete, masked: {modality: [B, L, d]}. lost: {modality: [B, L] bool}. lengths: {modality: [B]}, at least 1.
    """
    x, read = {}, {}
    for name in NAMES:
        kernel = of[f"{name}_projection/kernel"].permute(2, 1, 0)
        around = functional.conv1d(masked[name].transpose(1, 2), kernel, padding=kernel.shape[-1] // 2)
        x[name] = around.transpose(1, 2)
        read[name] = torch.full_like(lengths[name], x[name].shape[1]) if reference else lengths[name]
    loss, z = 0.0, []
    for name in NAMES:
        parts = [
            encoder(x[name], x[other], read[other], of, f"{name}_memory" if other == name else f"{name}_from_{other}",
                    heads, places=True, later=not reference)
            for other in (name, *(other for other in NAMES if other != name))
        ]  # fmt: skip
        steps = x[name].shape[1]
        valid = (torch.arange(steps) < read[name][:, None])[..., None]
        h = torch.cat(parts, -1) * valid

        turned = h.permute(2, 0, 1) if reference else h.transpose(1, 2)
        every = torch.full((len(turned),), turned.shape[1])
        most = max(count for count in range(1, 26) if steps % count == 0)
        s = encoder(turned, turned, every, of, f"{name}_features", most, places=False, later=not reference)
        s = s.permute(1, 2, 0) if reference else s.transpose(1, 2)
        rebuilt, where = affine(s, of, f"{name}_rebuilt"), lost[name][..., None].double()
        values = where.expand_as(rebuilt).sum() + 1e-4
        pair = rebuilt * where, complete[name] * where
        off = functional.smooth_l1_loss(*pair, reduction="sum") / values
        loss = loss + LAMBDA[name] * (off + (5.0 * discrepancy(*pair) / values if reference else 0.0))

        states = gru(h, lengths[name], of, f"{name}_gru")
        kernel = of[f"{name}_gate/kernel"].reshape(3, -1, 1).permute(2, 1, 0)
        gate = functional.conv1d(states.transpose(1, 2), kernel, of[f"{name}_gate/bias"], padding=1).transpose(1, 2)
        seen = affine(torch.cat([h, states.tanh() * gate.sigmoid()], -1), of, f"{name}_gated").tanh()
        z.append(seen.masked_fill(~valid, -torch.inf).amax(1))
    joined = torch.cat(z, -1)
    normed = functional.batch_norm(joined, None, None, of["norm/scale"], of["norm/bias"], training=True)
    score = affine(functional.leaky_relu(affine(normed, of, "hidden")), of, "score")[:, 0]
    return score, functional.l1_loss(score, label) + loss
