"""TFN as MMSA has it, derived a second time in PyTorch: frozen text states, time means, outer product, squashed score.

Parameters have the names of MMSA's, so that its weights and this module's can stand for each other.
"""

from dataclasses import dataclass

import torch
from torch import nn

Tensor = torch.Tensor


@dataclass(frozen=True)
class Sizes:
    """text, audio, vision: features of a step. The rest as the options of our TFN."""

    text: int
    audio: int
    vision: int
    text_hidden: int
    text_size: int
    audio_size: int
    vision_size: int
    fusion_hidden: int


class FeatureNet(nn.Module):
    """Mean over time [B, d] -> [B, size]."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)
        self.linear_1, self.linear_2, self.linear_3 = (nn.Linear(wide, size) for wide in (width, size, size))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(x)
        for layer in (self.linear_1, self.linear_2, self.linear_3):
            hidden = layer(hidden).clamp(min=0)
        return hidden


class TextNet(nn.Module):
    """Every step [B, T, d] -> [B, size], from the state behind the last."""

    def __init__(self, width: int, hidden: int, size: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(width, hidden, batch_first=True)
        self.linear_1 = nn.Linear(hidden, size)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.rnn(x)
        return self.linear_1(states[:, -1])


class TFNTorch(nn.Module):
    """Without dropout. `forward` gives the score [B] and, by name, the embeddings and the fused tensor."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.audio_subnet = FeatureNet(sizes.audio, sizes.audio_size)
        self.video_subnet = FeatureNet(sizes.vision, sizes.vision_size)
        self.text_subnet = TextNet(sizes.text, sizes.text_hidden, sizes.text_size)
        fused = (sizes.audio_size + 1) * (sizes.vision_size + 1) * (sizes.text_size + 1)
        self.post_fusion_layer_1 = nn.Linear(fused, sizes.fusion_hidden)
        self.post_fusion_layer_2 = nn.Linear(sizes.fusion_hidden, sizes.fusion_hidden)
        self.post_fusion_layer_3 = nn.Linear(sizes.fusion_hidden, 1)

    def forward(self, text: Tensor, audio: Tensor, vision: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Sequences [B, L, d], of which every step is read, padding too."""
        parts = {
            "Feature_a": self.audio_subnet(audio.mean(1)),
            "Feature_v": self.video_subnet(vision.mean(1)),
            "Feature_t": self.text_subnet(text),
        }
        a, v, t = (torch.cat([torch.ones(len(part), 1), part], 1) for part in parts.values())
        fused = torch.einsum("ba,bv,bt->bavt", a, v, t).flatten(1)
        hidden = self.post_fusion_layer_1(fused).clamp(min=0)
        hidden = self.post_fusion_layer_2(hidden).clamp(min=0)
        score = 6 * self.post_fusion_layer_3(hidden)[:, 0].sigmoid() - 3
        return score, {**parts, "Feature_f": fused}
