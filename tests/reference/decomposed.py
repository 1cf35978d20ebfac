"""The network of ConFEDE and DMMSA in plain eager PyTorch, with loops over samples: slow, and meant to be obviously right.

Papers: Yang et al., "ConFEDE: Contrastive Feature Decomposition for Multimodal Sentiment Analysis", ACL 2023, and that of
DMMSA, eq. 6, 8 and 10. BERT is left out: the pooled vector of each utterance goes in.

Modalities are "t", "v", "a"; any of them may be absent. Two protocols:

- `paper` is written as a loop over samples, each cut to its valid frames, so that padding is never even read.
- `reference` is what the released code does: keys at padding are masked, and the mean is over every step, padding included.

Without dropout, and in the dtype of the weights.
"""

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

ORDER = ("t", "v", "a")


def mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers of these widths with GELU in between."""
    layers: list[nn.Module] = []
    for wide, narrow in itertools.pairwise(sizes):
        layers += [nn.Linear(wide, narrow), nn.GELU()]
    return nn.Sequential(*layers[:-1])


class Encoder(nn.Module):
    """Frames of one modality -> a vector."""

    def __init__(self, size: int, width: int, steps: int, layers: int, heads: int, feedforward: int):
        super().__init__()
        self.projection = nn.Linear(size, width)
        self.token = nn.Parameter(torch.ones(width))
        self.positions = nn.Parameter(torch.zeros(steps + 1, width))
        layer = nn.TransformerEncoderLayer(width, heads, feedforward, dropout=0.0, activation="gelu", batch_first=True)
        self.transformer = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)

    def states(self, frames: Tensor, hidden: Tensor | None = None) -> Tensor:
        """[B, L, d], [B, L + 1] bool of steps that nothing attends to -> [B, L + 1, width]."""
        projected = self.projection(frames)
        token = self.token.expand(len(frames), 1, -1)
        x = torch.cat([token, projected], dim=1) + self.positions[None, : 1 + frames.shape[1]]
        return self.norm(self.transformer(x, src_key_padding_mask=hidden))

    def forward(self, frames: Tensor, length: Sequence[int], protocol: str) -> Tensor:
        """[B, L, d] -> [B, width]."""
        if protocol == "reference":
            missing = len(self.positions) - 1 - frames.shape[1]
            frames = nn.functional.pad(frames, (0, 0, 0, missing))
            hidden = torch.arange(frames.shape[1] + 1)[None] > torch.as_tensor(length)[:, None]
            return self.states(frames, hidden).mean(1)
        return torch.stack([self.states(frames[row, None, :count]).mean(1)[0] for row, count in enumerate(length)])


class Projector(nn.Module):
    """A vector -> one of its two parts."""

    def __init__(self, width: int, size: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, size)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width] -> [B, size] in (-1, 1)."""
        return torch.tanh(self.linear(self.norm(x)))


class DecomposedTorch(nn.Module):
    """All of it. sizes: {modality: (steps, features)}, of text (0, width of the pooled vector)."""

    def __init__(
        self,
        sizes: Mapping[str, tuple[int, int]],
        *,
        width: int,
        layers: Mapping[str, int],
        heads: int,
        feedforward: int,
        projection: int,
        fusion_hidden: Sequence[int],
        part_hidden: Sequence[int],
        regressor_hidden: Sequence[int],
        classes: Sequence[int] = (),
    ):
        super().__init__()
        self.modalities = [name for name in ORDER if name in sizes]
        widths = {name: sizes[name][1] if name == "t" else width for name in self.modalities}
        self.encoder = nn.ModuleDict(
            {
                name: Encoder(sizes[name][1], width, sizes[name][0], layers[name], heads, feedforward)
                for name in self.modalities
                if name != "t"
            }
        )
        self.similar = nn.ModuleDict({name: Projector(widths[name], projection) for name in self.modalities})
        self.dissimilar = nn.ModuleDict({name: Projector(widths[name], projection) for name in self.modalities})
        together = 2 * len(self.modalities) * projection
        self.fusion = mlp([together, *fusion_hidden, 1])
        self.part_decoder = mlp([projection, *part_hidden, 1])
        self.regressor = nn.ModuleDict({name: mlp([widths[name], *regressor_hidden, 1]) for name in self.modalities})
        self.classifier = nn.ModuleDict({str(count): mlp([together, *fusion_hidden, count]) for count in classes})

    def forward(
        self, pooled: Tensor | None, sequences: Mapping[str, tuple[Tensor, Sequence[int]]], protocol: str = "paper"
    ) -> dict[str, Tensor]:
        """[B, D] or None, {modality: frames [B, L, d], lengths} -> every output by name."""
        features = {
            name: pooled if name == "t" else self.encoder[name](*sequences[name], protocol) for name in self.modalities
        }
        parts = {f"{name}s": self.similar[name](features[name]) for name in self.modalities}
        parts |= {f"{name}d": self.dissimilar[name](features[name]) for name in self.modalities}
        together = torch.cat(list(parts.values()), dim=-1)
        outputs = {"prediction": self.fusion(together).squeeze(-1), "representation": together}
        outputs |= {f"features_{name}": features[name] for name in self.modalities}
        outputs |= {f"regressor_{name}": self.regressor[name](features[name]).squeeze(-1) for name in self.modalities}
        outputs |= {f"part_{name}": part for name, part in parts.items()}
        outputs |= {f"score_{name}": self.part_decoder(part).squeeze(-1) for name, part in parts.items()}
        outputs |= {f"logits_{count}": head(together) for count, head in self.classifier.items()}
        return outputs


# -- weights under the names of msa_jax -------------------------------------------------------------------------------

NAME = {"t": "text", "a": "audio", "v": "vision"}


def encoder_tensors(module: Encoder) -> dict[str, Tensor]:
    """Our path -> the parameter, or the rows of it, whose transpose ours is."""
    found = {"token": module.token, "positions": module.positions.T}
    pairs: dict[str, nn.Module] = {"projection": module.projection, "transformer/norm": module.norm}
    for number, layer in enumerate(module.transformer.layers):
        path = f"transformer/layer_{number}"
        pairs |= {
            f"{path}/attention_norm": layer.norm1,
            f"{path}/feedforward_norm": layer.norm2,
            f"{path}/output": layer.self_attn.out_proj,
            f"{path}/expand": layer.linear1,
            f"{path}/contract": layer.linear2,
        }
        joint = zip(layer.self_attn.in_proj_weight.chunk(3), layer.self_attn.in_proj_bias.chunk(3), strict=True)
        for name, (weight, bias) in zip(("query", "key", "value"), joint, strict=True):
            found |= {f"{path}/{name}/kernel": weight, f"{path}/{name}/bias": bias}
    return found | _of_layers(pairs)


def network_tensors(module: DecomposedTorch) -> dict[str, Tensor]:
    """The same for the whole network."""
    found: dict[str, Tensor] = {}
    pairs: dict[str, nn.Module] = {}
    heads: dict[str, nn.Sequential] = {"fusion": module.fusion, "part_decoder": module.part_decoder}
    for name in module.modalities:
        if name != "t":
            inside = encoder_tensors(module.encoder[name])
            found |= {f"{NAME[name]}_encoder/{path}": tensor for path, tensor in inside.items()}
        for kind in ("similar", "dissimilar"):
            projector = getattr(module, kind)[name]
            pairs |= {f"{NAME[name]}_{kind}/norm": projector.norm, f"{NAME[name]}_{kind}/linear": projector.linear}
        heads[f"{NAME[name]}_regressor"] = module.regressor[name]
    heads |= {f"classifier_{count}": head for count, head in module.classifier.items()}
    for name, head in heads.items():
        linear = [layer for layer in head if isinstance(layer, nn.Linear)]
        pairs |= {f"{name}/hidden_{number}": layer for number, layer in enumerate(linear[:-1])}
        pairs[f"{name}/score"] = linear[-1]
    return found | _of_layers(pairs)


def _of_layers(pairs: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    found = {}
    for path, layer in pairs.items():
        found[f"{path}/{'scale' if isinstance(layer, nn.LayerNorm) else 'kernel'}"] = layer.weight
        found[f"{path}/bias"] = layer.bias
    return found
