"""The peer's side of the benchmark: Self-MM in eager PyTorch, the implementation that the parity tests compare with."""

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from scripts.benchmark_workload import (
    EPOCH,
    KINDS,
    TOKENS,
    WINDOW,
    Encoder,
    Workload,
    make_columns,
    permutation,
    preset,
    random_memory,
)  # fmt: skip
from tests.reference import self_mm_torch
from tests.reference.self_mm_torch import Hyperparameters, SelfMMTorch

Tensors = dict[str, torch.Tensor]


def hyperparameters() -> Hyperparameters:
    """The preset in the peer's words."""
    options = preset()
    groups = {"bert": "text", "audio": "audio", "vision": "vision", "other": "other"}
    tasks = {"fusion": "m", "text": "t", "audio": "a", "vision": "v"}
    return Hyperparameters(
        audio_hidden=options["audio_hidden"],
        vision_hidden=options["vision_hidden"],
        audio_out=options["audio_size"],
        vision_out=options["vision_size"],
        batch_size=options["batch_size"],
        exclude_zero=not options["zero_is_positive"],
        window=WINDOW,
        **{f"{name}_dim": int(options[f"feature_size.{task}"]) for name, task in tasks.items()},
        **{f"{name}_dropout": options[f"dropout.{task}"] for name, task in tasks.items()},
        **{f"learning_rate_{name}": options[f"learning_rate.{group}"] for name, group in groups.items()},
        **{f"weight_decay_{name}": options[f"weight_decay.{group}"] for name, group in groups.items()},
    )


def bert(encoder: Encoder) -> torch.nn.Module:
    """A BERT of random weights, with the attention that transformers chooses by itself, dropout 0.1."""
    config = transformers.BertConfig(
        vocab_size=encoder.vocab_size,
        hidden_size=encoder.hidden_size,
        num_hidden_layers=encoder.num_layers,
        num_attention_heads=encoder.num_heads,
        intermediate_size=encoder.intermediate_size,
        max_position_embeddings=encoder.max_positions,
    )
    return transformers.BertModel(config, add_pooling_layer=False)


class Subnet(self_mm_torch.SequenceSubnet):
    """The same subnet; with `packed` off its LSTM runs over all steps and the state at the last valid one is taken.

    The result is the same and oneDNN's fused kernel can be used, which packed sequences rule out.
    """

    packed = True

    def forward(self, sequence: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        if self.packed:
            return super().forward(sequence, length)
        states, _ = self.lstm(sequence)  # [B, T, hidden]
        return self.linear(self.dropout(states[torch.arange(len(length)), length.long() - 1]))


class PeerSelfMM(SelfMMTorch):
    """The same network in three kinds: as the field writes it, on trimmed batches, and with unpacked LSTMs as well."""

    def __init__(self, hp: Hyperparameters, *, audio_size: int | None, vision_size: int | None, **rest: Any):
        super().__init__(hp, audio_size=audio_size, vision_size=vision_size, **rest)
        if audio_size is not None:
            self.audio_subnet = Subnet(audio_size, hp.audio_hidden, hp.audio_out, hp.audio_lstm_dropout)
        if vision_size is not None:
            self.vision_subnet = Subnet(vision_size, hp.vision_hidden, hp.vision_out, hp.vision_lstm_dropout)
        self._trim = False

    def become(self, kind: str) -> None:
        """`kind` of KINDS."""
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is none of {', '.join(KINDS)}")
        self._trim = kind != "eager"
        for subnet in (self.audio_subnet, self.vision_subnet):
            if subnet is not None:
                subnet.packed = kind != "tuned"

    def forward(self, batch: Tensors) -> dict[str, Tensors]:
        return super().forward(trimmed(batch) if self._trim else batch)


def trimmed(batch: Tensors) -> Tensors:
    """The batch with each axis of steps cut to the longest length in it."""
    batch = dict(batch)
    if "text_bert" in batch:
        batch["text_bert"] = batch["text_bert"][:, :, : int(batch["text_bert"][:, 1].sum(1).max())]
    for name in ("audio", "vision"):
        if name in batch:
            batch[name] = batch[name][:, : int(batch[f"{name}_length"].max())]
    return batch


def torch_columns(columns: dict[str, np.ndarray]) -> Tensors:
    """The columns as the peer takes them: text padded to `TOKENS` in one [N, 3, T]."""
    tensors = {name: torch.from_numpy(array) for name, array in columns.items() if name not in ("ids", "mask")}
    if "ids" in columns:
        missing = TOKENS - columns["ids"].shape[1]
        ids, mask = (np.pad(columns[name], [(0, 0), (0, max(missing, 0))]) for name in ("ids", "mask"))
        tensors["text_bert"] = torch.from_numpy(np.stack([ids, mask, np.zeros_like(ids)], axis=1))
    return tensors


def onto(columns: Tensors, device: str) -> Tensors:
    """The columns on the device, but for the lengths, which PyTorch's packed sequences want on the host."""
    return {name: column if name.endswith("_length") else column.to(device) for name, column in columns.items()}


def wait(device: str) -> None:
    """Until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


class PeerTraining:
    """Self-MM training, window by window, from the second epoch on.

    window: mini-batches to an update.
    """

    def __init__(self, workload: Workload, *, threads: int, device: str = "cpu", window: int = WINDOW):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self._hp, self._device, self._window = hyperparameters(), device, window
        self._columns = onto(torch_columns(make_columns(workload)), device)
        self.model = PeerSelfMM(
            self._hp,
            text_encoder=None if workload.encoder is None else bert(workload.encoder),
            text_width=0 if workload.encoder is None else workload.encoder.hidden_size,
            audio_size=None if workload.audio is None else workload.audio[1],
            vision_size=None if workload.vision is None else workload.vision[1],
        ).to(device)
        self._optimizer = self_mm_torch.make_optimizer(self.model, self._hp)
        dims, exclude_zero = self.model.dims, self._hp.exclude_zero
        self._state = self_mm_torch.init_labels(self._columns["label"], dims, exclude_zero=exclude_zero)
        memory = random_memory(dims, workload.rows)
        self._state.memories = {name: torch.from_numpy(array).to(device) for name, array in memory.items()}
        self_mm_torch._recompute_centres(self._state, exclude_zero)
        self._batches = permutation(workload.rows, workload.batch_size)
        self._next = 0

    def cold(self) -> float:
        """Seconds of the first window."""
        return self.block(1)

    def block(self, windows: int, kind: str = "eager") -> float:
        """Seconds of the next `windows` windows of the epoch, which begins again at its end."""
        self.model.become(kind)
        whole = len(self._batches) // self._window
        chosen = [(self._next + step) % whole for step in range(windows)]
        self._next = (self._next + windows) % whole
        batches = [
            torch.from_numpy(self._batches[self._window * place + i]).long()
            for place in chosen
            for i in range(self._window)
        ]
        begun = time.perf_counter()
        self_mm_torch.train_epoch(
            self.model, self._optimizer, batches, self._state, EPOCH, columns=self._columns, limit=self._hp.limit,
            exclude_zero=self._hp.exclude_zero, window=self._window,
        )  # fmt: skip
        wait(self._device)
        return time.perf_counter() - begun


class PeerMatmul:
    """Square matrix multiplications, in float32 on a CPU and in bfloat16 on a GPU, as our side computes there."""

    def __init__(self, size: int, *, threads: int, device: str = "cpu"):
        torch.set_num_threads(threads)
        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        self._a, self._b = (torch.rand(size, size, device=device).to(dtype) for _ in range(2))
        self._flops, self._device = 2.0 * size**3, device

    def cold(self) -> float:
        return self.block(1)

    def block(self, times: int) -> float:
        """The best rate of so many multiplications, in floating-point operations a second."""
        best = math.inf
        for _ in range(times):
            begun = time.perf_counter()
            self._a @ self._b
            wait(self._device)
            best = min(best, time.perf_counter() - begun)
        return self._flops / best


class PeerDataset:
    """Whole epochs on the arrays that our side has written for a real dataset: padded text, packed LSTMs.

    An epoch trains on every batch and scores the validation split. The weights are random: they cost the same.
    """

    def __init__(self, folder: str, *, threads: int, device: str = "cpu"):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self._device = device
        with open(Path(folder) / "encoder.json", encoding="utf-8") as file:
            encoder = Encoder(**json.load(file))
        self._columns = {}
        for split in ("train", "valid"):
            with np.load(Path(folder) / f"{split}.npz", allow_pickle=False) as file:
                self._columns[split] = onto(torch_columns({name: file[name] for name in file.files}), device)
        train = self._columns["train"]
        for columns in self._columns.values():  # PyTorch packs no sequence of length 0
            for name in ("audio", "vision"):
                if name in columns:
                    columns[f"{name}_length"].clamp_(min=1)
        self._hp = hyperparameters()
        self._model = SelfMMTorch(
            self._hp,
            text_encoder=bert(encoder),
            text_width=encoder.hidden_size,
            audio_size=train["audio"].shape[-1] if "audio" in train else None,
            vision_size=train["vision"].shape[-1] if "vision" in train else None,
        ).to(device)
        self._optimizer = self_mm_torch.make_optimizer(self._model, self._hp)
        self._state = self_mm_torch.init_labels(train["label"], self._model.dims, exclude_zero=self._hp.exclude_zero)

    def cold(self) -> float:
        """Seconds of a first window."""
        begun = time.perf_counter()
        size = self._hp.batch_size
        self._train(list(torch.arange(WINDOW * size).split(size)), epoch=1)
        wait(self._device)
        return time.perf_counter() - begun

    def _train(self, batches: list[torch.Tensor], epoch: int) -> None:
        self_mm_torch.train_epoch(
            self._model,
            self._optimizer,
            batches,
            self._state,
            epoch,
            columns=self._columns["train"],
            limit=self._hp.limit,
            exclude_zero=self._hp.exclude_zero,
            window=WINDOW,
        )

    def block(self, epoch: int) -> float:
        """Seconds of one epoch, its number given."""
        begun = time.perf_counter()
        valid = self._columns["valid"]
        self._train(list(torch.randperm(len(self._columns["train"]["label"])).split(self._hp.batch_size)), epoch)
        self._model.eval()
        with torch.no_grad():
            for rows in torch.arange(len(valid["label"])).split(64):
                self._model({name: column[rows] for name, column in valid.items() if name != "label"})
        wait(self._device)
        return time.perf_counter() - begun
