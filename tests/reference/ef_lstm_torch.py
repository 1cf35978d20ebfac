"""EF-LSTM as MMSA has it, derived a second time in PyTorch: a norm over time steps, stacked LSTMs, the last padded state.

Parameters have the names of MMSA's, so that its weights and this module's can stand for each other.
"""

import torch
from torch import nn

Tensor = torch.Tensor


class EFLSTMTorch(nn.Module):
    """steps: T, each with a norm of its own. width: of text, audio and vision together. dropout: at all three places."""

    def __init__(self, steps: int, width: int, hidden: int, layers: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(steps)
        self.lstm = nn.LSTM(width, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, 1)

    def forward(self, text: Tensor, audio: Tensor, vision: Tensor) -> Tensor:
        """[B, T, d] each -> [B]"""
        states, _ = self.lstm(self.norm(torch.cat([text, audio, vision], -1)))
        hidden = self.linear(self.dropout(states[:, -1])).clamp(min=0)
        return self.out(self.dropout(hidden))[:, 0]
