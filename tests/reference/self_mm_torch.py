"""Self-MM in plain eager PyTorch, the way the field writes it: the other side of parity tests and of benchmarks.

Paper: Yu et al., "Learning Modality-Specific Representations with Self-Supervised Multi-Task Learning for Multimodal
Sentiment Analysis", AAAI 2021. Where the paper and the authors' released code differ, the released code is followed and
the paper's way is an option (`middle_layer=False`, `projection=False`).

Representations are named `"m"` (fusion), `"t"`, `"a"`, `"v"`. Columns and batches are dicts of tensors:
`text_bert [B, 3, T]` (ids, mask, token types), `audio [B, A, Da]`, `audio_length [B]`, `vision [B, V, Dv]`,
`vision_length [B]`, and `label [B]`; with `N` for `B` when they hold the whole training split.

Everything runs in the dtype and on the device of the tensors given. With all dropout at 0 training is deterministic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

Tensors = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Sizes, rates and switches; the defaults are those published with the MMSA code for unaligned CMU-MOSI."""

    audio_hidden: int = 16
    vision_hidden: int = 32
    audio_out: int = 16
    vision_out: int = 32
    fusion_dim: int = 128
    text_dim: int = 32
    audio_dim: int = 16
    vision_dim: int = 32
    audio_lstm_dropout: float = 0.0
    vision_lstm_dropout: float = 0.0
    fusion_dropout: float = 0.0
    text_dropout: float = 0.1
    audio_dropout: float = 0.1
    vision_dropout: float = 0.0
    middle_layer: bool = True
    projection: bool = True

    learning_rate_bert: float = 5e-5
    learning_rate_audio: float = 5e-3
    learning_rate_vision: float = 5e-3
    learning_rate_other: float = 1e-3
    weight_decay_bert: float = 1e-3
    weight_decay_audio: float = 1e-3
    weight_decay_vision: float = 1e-3
    weight_decay_other: float = 1e-3

    batch_size: int = 16
    limit: float = 3.0
    exclude_zero: bool = True
    window: int = 4
    drop_last_window: bool = True


MMSA_MOSI = Hyperparameters()
MMSA_MOSEI = Hyperparameters(
    batch_size=32,
    learning_rate_vision=1e-4,
    weight_decay_audio=0.0,
    weight_decay_vision=0.0,
    weight_decay_other=1e-2,
    fusion_dropout=0.1,
    text_dropout=0.0,
    audio_dropout=0.0,
)
MMSA_SIMS = Hyperparameters(
    batch_size=32,
    weight_decay_audio=1e-2,
    weight_decay_vision=1e-2,
    vision_hidden=64,
    text_dim=64,
    limit=1.0,
)


def without_dropout(hp: Hyperparameters) -> Hyperparameters:
    """The same with every dropout of the network at 0; the text encoder's own dropout is its config's matter."""
    names = ("audio_lstm", "vision_lstm", "fusion", "text", "audio", "vision")
    return replace(hp, **{f"{name}_dropout": 0.0 for name in names})


class SequenceSubnet(nn.Module):
    """LSTM over the valid frames; its final hidden state, through dropout and (with an `out` size) a linear layer."""

    def __init__(self, size: int, hidden: int, out: int | None, dropout: float):
        super().__init__()
        self.lstm = nn.LSTM(size, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Identity() if out is None else nn.Linear(hidden, out)
        self.width = hidden if out is None else out

    def forward(self, sequence: Tensor, length: Tensor) -> Tensor:
        """`[B, T, size]` and `[B]` lengths of 1 to T, to `[B, width]`."""
        packed = pack_padded_sequence(sequence, length.cpu(), batch_first=True, enforce_sorted=False)
        _, (hidden, _) = self.lstm(packed)  # hidden [1, B, hidden]
        return self.linear(self.dropout(hidden[-1]))


class Head(nn.Module):
    """Dropout, linear, ReLU (the feature), optionally another linear and ReLU, linear to one score."""

    def __init__(self, width: int, dim: int, dropout: float, middle_layer: bool):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.layer_1 = nn.Linear(width, dim)
        self.layer_2 = nn.Linear(dim, dim) if middle_layer else None
        self.layer_3 = nn.Linear(dim, 1)

    def forward(self, representation: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, width]` to the score `[B]` and the feature `[B, dim]`."""
        feature = torch.relu(self.layer_1(self.dropout(representation)))
        hidden = feature if self.layer_2 is None else torch.relu(self.layer_2(feature))
        return self.layer_3(hidden).squeeze(-1), feature


class SelfMMTorch(nn.Module):
    """The network: one encoder per modality present, a head per modality, a fusion head over their concatenation.

    Args:
      hp: sizes and switches.
      text_encoder: module called as `(input_ids=, attention_mask=, token_type_ids=)`, all `[B, T]`, that returns the
        hidden states `[B, T, text_width]` or an object with them as `last_hidden_state` (`transformers.BertModel`);
        None without text. It is fine-tuned whole.
      text_width: size of its hidden states.
      audio_size, vision_size: feature sizes Da and Dv; None where the modality is absent.
    """

    def __init__(
        self,
        hp: Hyperparameters,
        *,
        text_encoder: nn.Module | None = None,
        text_width: int = 768,
        audio_size: int | None = None,
        vision_size: int | None = None,
    ):
        super().__init__()
        self.text_encoder = text_encoder
        self.audio_subnet = self.vision_subnet = None
        self.heads = nn.ModuleDict()
        widths = {}
        if text_encoder is not None:
            widths["t"] = text_width
        if audio_size is not None:
            out = hp.audio_out if hp.projection else None
            self.audio_subnet = SequenceSubnet(audio_size, hp.audio_hidden, out, hp.audio_lstm_dropout)
            widths["a"] = self.audio_subnet.width
        if vision_size is not None:
            out = hp.vision_out if hp.projection else None
            self.vision_subnet = SequenceSubnet(vision_size, hp.vision_hidden, out, hp.vision_lstm_dropout)
            widths["v"] = self.vision_subnet.width
        if not widths:
            raise ValueError("Self-MM needs at least one modality")

        dims = {"m": hp.fusion_dim, "t": hp.text_dim, "a": hp.audio_dim, "v": hp.vision_dim}
        dropouts = {"m": hp.fusion_dropout, "t": hp.text_dropout, "a": hp.audio_dropout, "v": hp.vision_dropout}
        for name, width in {"m": sum(widths.values()), **widths}.items():
            self.heads[name] = Head(width, dims[name], dropouts[name], hp.middle_layer)
        self.dims = {name: dims[name] for name in self.heads}

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensors]:
        """A batch of columns to `{"predictions": {x: [B]}, "features": {x: [B, d_x]}}`, x over "m" and modalities."""
        encoded = {}
        if self.text_encoder is not None:
            encoded["t"] = self._encode_text(batch["text_bert"])
        if self.audio_subnet is not None:
            encoded["a"] = self.audio_subnet(batch["audio"], batch["audio_length"])
        if self.vision_subnet is not None:
            encoded["v"] = self.vision_subnet(batch["vision"], batch["vision_length"])
        encoded = {"m": torch.cat(list(encoded.values()), dim=-1), **encoded}

        predictions, features = {}, {}
        for name, head in self.heads.items():
            predictions[name], features[name] = head(encoded[name])
        return {"predictions": predictions, "features": features}

    def _encode_text(self, text_bert: Tensor) -> Tensor:
        ids, mask, types = text_bert.long().unbind(dim=1)
        output = self.text_encoder(input_ids=ids, attention_mask=mask, token_type_ids=types)
        hidden = getattr(output, "last_hidden_state", output)  # [B, T, text_width]
        return hidden[:, 0]


@dataclass(kw_only=True)
class LabelState:
    """The u-labels of all training rows and what they are made from; changed in place by `update_labels`.

    `label [N]`; `unimodal {s: [N]}`; `memories {x: [N, d_x]}`; `centres {x: (positive [d_x], negative [d_x])}`;
    `known {x: []}`, a bool tensor: whether both centres of x exist.
    """

    label: Tensor
    unimodal: Tensors
    memories: Tensors
    centres: dict[str, tuple[Tensor, Tensor]]
    known: Tensors


def init_labels(label: Tensor, dims: Mapping[str, int], *, exclude_zero: bool) -> LabelState:
    """Before the first batch: u-labels equal `label [N]`, memories are 0. `dims` as in `SelfMMTorch.dims`."""
    state = LabelState(
        label=label,
        unimodal={name: label.clone() for name in dims if name != "m"},
        memories={name: label.new_zeros(len(label), dim) for name, dim in dims.items()},
        centres={},
        known={},
    )
    _recompute_centres(state, exclude_zero)
    return state


@torch.no_grad()
def update_labels(
    state: LabelState,
    rows: Tensor,
    features: Mapping[str, Tensor],
    *,
    epoch: int,
    limit: float,
    exclude_zero: bool,
    eps: float = 1e-8,
) -> None:
    """Labels of the batch, then its memories, then all centres over all N rows, as after every mini-batch.

    `rows [B]` distinct; `features {x: [B, d_x]}`. Labels move from epoch 2 on (epochs count from 1), towards values
    clipped to `[-limit, limit]`, by the centres that the previous call left. Where one of the four centres that an
    offset needs does not exist, because its sign class is empty, labels stay as they are.
    """
    if epoch > 1:
        label = state.label[rows]
        alpha = {name: _relative_distance(features[name], *state.centres[name], eps) for name in state.memories}
        for name, stored in state.unimodal.items():
            ratio = alpha[name] / (alpha["m"] + eps)
            generated = 0.5 * ratio * label + 0.5 * (label + alpha[name] - alpha["m"])
            generated = generated.clamp(-limit, limit)
            old = stored[rows]
            new = (epoch - 1) / (epoch + 1) * old + 2 / (epoch + 1) * generated
            stored[rows] = torch.where(state.known["m"] & state.known[name], new, old)
    for name, memory in state.memories.items():
        memory[rows] = features[name]
    _recompute_centres(state, exclude_zero)


def _recompute_centres(state: LabelState, exclude_zero: bool) -> None:
    for name, memory in state.memories.items():
        label = state.label if name == "m" else state.unimodal[name]
        positive = (label > 0 if exclude_zero else label >= 0).to(memory.dtype)  # [N]
        negative = (label < 0).to(memory.dtype)
        # Weighted sums, not boolean indexing, so that a GPU need not wait for the host to learn the number of rows.
        counts = positive.sum(), negative.sum()
        state.centres[name] = (
            (positive @ memory) / counts[0].clamp(min=1),
            (negative @ memory) / counts[1].clamp(min=1),
        )
        state.known[name] = (counts[0] > 0) & (counts[1] > 0)


def _relative_distance(feature: Tensor, positive: Tensor, negative: Tensor, eps: float) -> Tensor:
    to_positive = torch.linalg.vector_norm(feature - positive, dim=-1)  # [B]
    to_negative = torch.linalg.vector_norm(feature - negative, dim=-1)
    return (to_negative - to_positive) / (to_positive + eps)


def loss(predictions: Mapping[str, Tensor], label: Tensor, unimodal: Mapping[str, Tensor]) -> Tensor:
    """Mean over the batch: L1 of the fusion score, and L1 of each unimodal score weighted by tanh|u-label - label|.

    `predictions {x: [B]}`, `label [B]`, `unimodal {s: [B]}`. No gradient flows through labels.
    """
    total = (predictions["m"] - label).abs().mean()
    for name, target in unimodal.items():
        weight = torch.tanh((target - label).abs())
        total = total + (weight * (predictions[name] - target).abs()).mean()
    return total


def make_optimizer(model: SelfMMTorch, hp: Hyperparameters) -> torch.optim.Adam:
    """Adam with coupled L2 (the decay is part of the gradient) in five groups, each tagged with its `name`.

    Groups that would be empty, because a modality is absent, are left out.
    """
    groups = {"bert": [], "bert_no_decay": [], "audio": [], "vision": [], "other": []}
    for name, parameter in model.named_parameters():
        if name.startswith("text_encoder."):
            plain = any(part in name for part in ("bias", "LayerNorm.weight"))
            groups["bert_no_decay" if plain else "bert"].append(parameter)
        elif name.startswith("audio_subnet."):
            groups["audio"].append(parameter)
        elif name.startswith("vision_subnet."):
            groups["vision"].append(parameter)
        else:
            groups["other"].append(parameter)
    rates = {
        "bert": (hp.learning_rate_bert, hp.weight_decay_bert),
        "bert_no_decay": (hp.learning_rate_bert, 0.0),
        "audio": (hp.learning_rate_audio, hp.weight_decay_audio),
        "vision": (hp.learning_rate_vision, hp.weight_decay_vision),
        "other": (hp.learning_rate_other, hp.weight_decay_other),
    }
    return torch.optim.Adam(
        [
            {"name": name, "params": parameters, "lr": rates[name][0], "weight_decay": rates[name][1]}
            for name, parameters in groups.items()
            if parameters
        ]
    )


@dataclass(kw_only=True)
class EpochTrace:
    """What one epoch did, batch by batch: `losses [batches]`, optimiser `steps`, and the rest only if recorded.

    `predictions` and `features` are those of each batch's forward pass; `labels` are the u-labels `{s: [N]}` of all
    rows after the batch.
    """

    losses: Tensor
    steps: int
    predictions: list[Tensors] = field(default_factory=list)
    features: list[Tensors] = field(default_factory=list)
    labels: list[Tensors] = field(default_factory=list)


def train_epoch(
    model: SelfMMTorch,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[np.ndarray | Tensor],
    state: LabelState,
    epoch: int,
    *,
    columns: Mapping[str, Tensor],
    limit: float,
    exclude_zero: bool,
    window: int = 4,
    drop_last_window: bool = True,
    record: bool = False,
) -> EpochTrace:
    """One pass over the batches, in train mode; model, optimiser and state change in place.

    Per batch: forward; loss with the labels stored so far and backward; label, memory and centre update from the
    features just computed; and after every `window` batches one optimiser step on the summed (not averaged) gradients.

    Args:
      batches: arrays `[B]` of distinct row numbers, in the order of training.
      epoch: 1-based.
      columns: the training split, `{column: [N, ...]}`; lengths may stay on the CPU.
      drop_last_window: whether the gradients of an incomplete window at the end are thrown away (the authors' code) or
        get a step of their own.
      record: whether to keep predictions, features and labels of every batch.
    """
    model.train()
    inputs = {name: column for name, column in columns.items() if name != "label"}
    trace = EpochTrace(losses=state.label.new_zeros(len(batches)), steps=0)
    for number, batch_rows in enumerate(batches):
        if number % window == 0:
            optimizer.zero_grad()
        rows = batch_rows if isinstance(batch_rows, Tensor) else torch.tensor(np.asarray(batch_rows), dtype=torch.long)
        rows = rows.to(state.label.device)
        batch = {name: column[rows.to(column.device)] for name, column in inputs.items()}
        outputs = model(batch)
        targets = {name: stored[rows] for name, stored in state.unimodal.items()}
        value = loss(outputs["predictions"], state.label[rows], targets)
        value.backward()

        features = {name: feature.detach() for name, feature in outputs["features"].items()}
        update_labels(state, rows, features, epoch=epoch, limit=limit, exclude_zero=exclude_zero)

        window_is_full = (number + 1) % window == 0
        if window_is_full or (number + 1 == len(batches) and not drop_last_window):
            optimizer.step()
            trace.steps += 1

        trace.losses[number] = value.detach()
        if record:
            trace.predictions.append({name: score.detach().clone() for name, score in outputs["predictions"].items()})
            trace.features.append({name: feature.clone() for name, feature in features.items()})
            trace.labels.append({name: stored.clone() for name, stored in state.unimodal.items()})
    return trace
