"""LNLN derived a second time in PyTorch, with its own attention, norms and losses; gradients by autograd.

Parameters are tensors by the paths that ours have, stacked layers included. Complete and masked samples are encoded one
after the other. Of each sequence all steps are there; `length` says which are read.
"""

from collections.abc import Mapping

import torch
from torch.nn import functional

Tensor = torch.Tensor
Of = Mapping[str, Tensor]


def reverse(x: Tensor) -> Tensor:
    """x, with the gradient turned around."""
    return 2 * x.detach() - x


def norm(x: Tensor, of: Of, path: str, layer: int | None = None) -> Tensor:
    """LayerNorm, with the bias that there is."""
    scale, bias = (of.get(f"{path}/{name}") for name in ("scale", "bias"))
    scale, bias = (each if each is None or layer is None else each[layer] for each in (scale, bias))
    return functional.layer_norm(x, x.shape[-1:], scale, bias)


def attention(query: Tensor, key: Tensor, value: Tensor, heads: int, length: Tensor | None = None) -> Tensor:
    """[B, Q, I], [B, S, I], [B, S, I] -> [B, Q, I]; keys beyond the length [B] are not read."""
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    mask = None if length is None else (torch.arange(key.shape[2]) < length[:, None])[:, None, None]
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)


def transformer(x: Tensor, of: Of, path: str, heads: int, source: Tensor | None = None, length: Tensor | None = None):
    """What goes into the first layer and comes out of each."""
    tokens = of.get(f"{path}/tokens")
    if tokens is not None:
        x = torch.cat([tokens.expand(len(x), -1, -1), x], 1)
        length = None if length is None else length + len(tokens)
    states = [x + of[f"{path}/positions"][: x.shape[1]]]
    for layer in range(len(of[f"{path}/layers/query/kernel"])):

        def linear(x: Tensor, name: str, layer: int = layer) -> Tensor:
            found = x @ of[f"{path}/layers/{name}/kernel"][layer]
            bias = of.get(f"{path}/layers/{name}/bias")
            return found if bias is None else found + bias[layer]

        x = states[-1]
        read = x if source is None else source
        query, key, value = (
            linear(norm(each, of, f"{path}/layers/{name}_norm", layer), name)
            for name, each in (("query", x), ("key", read), ("value", read))
        )
        x = x + linear(attention(query, key, value, heads, length), "output")
        states.append(
            x + linear(functional.gelu(linear(norm(x, of, f"{path}/layers/norm", layer), "expand")), "contract")
        )
    return states


def affine(x: Tensor, of: Of, path: str) -> Tensor:
    """A linear map."""
    return x @ of[f"{path}/kernel"] + of[f"{path}/bias"]


def perceptron(x: Tensor, of: Of, path: str) -> Tensor:
    """Two linear maps."""
    return affine(functional.leaky_relu(affine(x, of, f"{path}_hidden"), 0.1), of, path)


def hypers(states: list[Tensor], audio: Tensor, vision: Tensor, of: Of, heads: int, *, reference: bool) -> Tensor:
    """The hyper-modality of the last layer."""
    hyper = of["hyper_start"].expand(len(audio), -1, -1)
    for layer, dominant in enumerate(states):
        query = norm(dominant, of, "hyper/layers/norm", layer) @ of["hyper/layers/query/kernel"][layer]
        shift = torch.zeros((), dtype=audio.dtype)
        for name, x in (("audio", audio), ("vision", vision)):
            x = norm(x, of, f"hyper/layers/{name}_norm", layer)
            pair = [x @ of[f"hyper/layers/{name}_{kind}/kernel"][layer] for kind in ("key", "value")]
            shift = shift + attention(query, *pair, heads)
        if reference:
            hyper = norm(hyper, of, "hyper/layers/token_norm", layer)
        kernel, bias = (of[f"hyper/layers/output/{name}"][layer] for name in ("kernel", "bias"))
        hyper = hyper + shift @ kernel + bias
    return hyper


def lnln(complete: Of, masked: Of, lengths: Of, rate: Tensor, label: Tensor, of: Of, *, heads: int, reference: bool):
    """Score [B], completeness [B] and the loss of the batch.

    complete, masked: {modality: [B, L, d]}. lengths: {modality: [B]}, not looked at in the reference protocol. rate: [B], of
    the text.
    """
    size = len(of["hyper_start"])

    def encode(sequences: Of, name: str) -> Tensor:
        owner = "text_tokens" if name == "text" else f"{name}_encoder"
        length = None if reference else lengths[name]
        return transformer(affine(sequences[name], of, f"{owner}_projection"), of, owner, heads, length=length)[-1][
            :, :size
        ]

    names = ("text", "audio", "vision")
    whole, h = ({name: encode(sequences, name) for name in names} for sequences in (complete, masked))
    first = transformer(h["text"], of, "completeness", heads)[-1][:, 0]
    w = perceptron(first, of, "completeness_score").sigmoid()  # [B, 1]
    start = of["proxy_start"].expand(len(label), -1, -1)
    proxy = transformer(torch.cat([start, h["audio"], h["vision"]], 1), of, "proxy", heads)[-1][:, :size]
    proxy = reverse(proxy) if reference else proxy
    dominant = proxy * (1 - w[..., None]) + h["text"] * w[..., None]
    states = transformer(dominant, of, "dominant", heads)
    hyper = hypers(states, h["audio"], h["vision"], of, heads, reference=reference)
    source = torch.cat([of["fusion_token"].expand(len(label), -1, -1), hyper], 1) + of["fusion_source_positions"]
    score = affine(transformer(states[-1], of, "fusion", heads, source=source)[-1].mean(1), of, "score")[:, 0]

    rebuilt = torch.cat([transformer(h[name], of, f"{name}_rebuilt", heads)[-1] for name in names], 1)
    pair = torch.cat([dominant, whole["text"]]).flatten(0, 1)
    told = perceptron(pair if reference else reverse(pair), of, "discriminator")
    kinds = torch.cat([torch.ones(len(label) * size), torch.zeros(len(label) * size)]).long()
    loss = (
        functional.mse_loss(score, label)
        + 0.9 * functional.mse_loss(w[:, 0], 1 - rate)
        + 0.8 * functional.cross_entropy(told, kinds)
        + 0.1 * functional.mse_loss(rebuilt, torch.cat([whole[name] for name in names], 1))
    )
    return score, w[:, 0], loss
