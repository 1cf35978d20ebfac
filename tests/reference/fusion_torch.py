"""LMF, LF-DNN and the multi-task forms as MMSA has them, derived a second time in PyTorch, without dropout.

Parameters have the names of MMSA's, so that its weights and this module's can stand for each other.
"""

from dataclasses import dataclass

import torch
from torch import nn

from tests.reference.tfn_torch import FeatureNet, Sizes, TextNet, TFNTorch

Tensor = torch.Tensor
Scores = dict[str, Tensor]


@dataclass(frozen=True)
class HeadSizes:
    """Hidden units of the heads of single modalities."""

    text: int
    audio: int
    video: int


def _embed(model: nn.Module, text: Tensor, audio: Tensor, vision: Tensor) -> Scores:
    return {
        "Feature_a": model.audio_subnet(audio.mean(1)),
        "Feature_v": model.video_subnet(vision.mean(1)),
        "Feature_t": model.text_subnet(text),
    }


class LMFTorch(nn.Module):
    """The weight tensor of TFN's fusion as a sum of `rank` products of vectors. Here the tensor is built, and multiplied with
    the outer product of the embeddings."""

    def __init__(self, sizes: Sizes, rank: int) -> None:
        super().__init__()
        self.audio_subnet = FeatureNet(sizes.audio, sizes.audio_size)
        self.video_subnet = FeatureNet(sizes.vision, sizes.vision_size)
        self.text_subnet = TextNet(sizes.text, sizes.text_hidden, sizes.text_size)
        widths = {"audio": sizes.audio_size, "video": sizes.vision_size, "text": sizes.text_size}
        for name, width in widths.items():
            self.register_parameter(f"{name}_factor", nn.Parameter(torch.randn(rank, width + 1, 1)))
        self.fusion_weights = nn.Parameter(torch.randn(1, rank))
        self.fusion_bias = nn.Parameter(torch.zeros(1, 1))

    def forward(self, text: Tensor, audio: Tensor, vision: Tensor) -> Scores:
        """Sequences [B, L, d], of which every step is read, padding too."""
        parts = _embed(self, text, audio, vision)
        a, v, t = (torch.cat([torch.ones(len(part), 1), part], 1) for part in parts.values())
        factors = (self.audio_factor[:, :, 0], self.video_factor[:, :, 0], self.text_factor[:, :, 0])
        tensor = torch.einsum("i,ia,iv,it->avt", self.fusion_weights[0], *factors)
        score = torch.einsum("avt,ba,bv,bt->b", tensor, a, v, t) + self.fusion_bias[0]
        return {"M": score, **parts}


class LFDNNTorch(nn.Module):
    """Three layers over the concatenated embeddings."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.audio_subnet = FeatureNet(sizes.audio, sizes.audio_size)
        self.video_subnet = FeatureNet(sizes.vision, sizes.vision_size)
        self.text_subnet = TextNet(sizes.text, sizes.text_hidden, sizes.text_size)
        self.post_fusion_layer_1 = nn.Linear(
            sizes.audio_size + sizes.vision_size + sizes.text_size, sizes.fusion_hidden
        )
        self.post_fusion_layer_2 = nn.Linear(sizes.fusion_hidden, sizes.fusion_hidden)
        self.post_fusion_layer_3 = nn.Linear(sizes.fusion_hidden, 1)

    def forward(self, text: Tensor, audio: Tensor, vision: Tensor) -> Scores:
        """Sequences [B, L, d], of which every step is read, padding too."""
        parts = _embed(self, text, audio, vision)
        return {"M": _head(self, "fusion", torch.cat(list(parts.values()), 1)), **parts}


class SingleTFN(TFNTorch):
    """TFN, its score among its outputs."""

    def forward(self, text: Tensor, audio: Tensor, vision: Tensor) -> Scores:
        """Sequences [B, L, d]."""
        score, parts = super().forward(text, audio, vision)
        return {"M": score, **parts}


def with_heads(model: nn.Module, sizes: Sizes, heads: HeadSizes) -> nn.Module:
    """The model with a head for each modality; `scores` gives the scores of all tasks."""
    widths = {"text": sizes.text_size, "audio": sizes.audio_size, "video": sizes.vision_size}
    for name, width in widths.items():
        hidden = getattr(heads, name)
        for number, (wide, out) in enumerate(((width, hidden), (hidden, hidden), (hidden, 1)), 1):
            setattr(model, f"post_{name}_layer_{number}", nn.Linear(wide, out))
    return model


def scores(model: nn.Module, text: Tensor, audio: Tensor, vision: Tensor) -> Scores:
    """M, and T, A and V of a model with heads, beside its other outputs."""
    outputs = model(text, audio, vision)
    if hasattr(model, "post_text_layer_1"):
        for letter, name in (("T", "text"), ("A", "audio"), ("V", "video")):
            outputs[letter] = _head(model, name, outputs[f"Feature_{letter.lower()}"])
    return outputs


def _head(model: nn.Module, name: str, x: Tensor) -> Tensor:
    for number in (1, 2):
        x = getattr(model, f"post_{name}_layer_{number}")(x).clamp(min=0)
    return getattr(model, f"post_{name}_layer_3")(x)[:, 0]
