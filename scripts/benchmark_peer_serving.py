"""The peer's side of serving: Self-MM in eager PyTorch is built, its weights are read, and it scores one sample after another.

Nothing of PyTorch is imported before the clock runs. The weights are random: they cost the same.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np


class PeerServing:
    """A fresh process that scores samples without padding. weights: a file that `save` writes."""

    def __init__(self, text_encoder: str, samples: str, weights: str, *, threads: int):
        self._encoder, self._file, self._weights, self._threads = text_encoder, samples, weights, threads
        with np.load(samples, allow_pickle=False) as file:
            self._columns = {name: file[name] for name in file.files}

    def _model(self) -> Any:
        import torch
        import transformers

        from scripts.benchmark_peer import hyperparameters
        from tests.reference.self_mm_torch import SelfMMTorch

        torch.set_num_threads(self._threads)
        config = transformers.AutoConfig.from_pretrained(self._encoder)
        return SelfMMTorch(
            hyperparameters(),
            text_encoder=transformers.BertModel(config, add_pooling_layer=False),
            text_width=config.hidden_size,
            audio_size=self._columns["audio"].shape[-1],
            vision_size=self._columns["vision"].shape[-1],
        ).eval()

    def save(self) -> None:
        """Writes the weights of a model."""
        import torch

        torch.save(self._model().state_dict(), self._weights)

    def load(self) -> float:
        """Seconds until the model with its weights and its tokenizer is there, imports included."""
        begun = time.perf_counter()
        import tokenizers
        import torch

        with torch.device("meta"):  # nothing is drawn only to be overwritten
            self._network = self._model()
        self._network.load_state_dict(torch.load(self._weights, weights_only=True), assign=True)
        embeddings: Any = self._network.text_encoder.embeddings
        # These two are in no file of weights.
        embeddings.position_ids = torch.arange(embeddings.position_ids.shape[-1])[None]
        embeddings.token_type_ids = torch.zeros_like(embeddings.position_ids)
        self._tokenizer = tokenizers.Tokenizer.from_file(str(Path(self._encoder) / "tokenizer.json"))
        self._tokenizer.no_padding()
        return time.perf_counter() - begun

    def first(self) -> float:
        """Seconds of the first score."""
        return self._score(range(1))

    def further(self) -> float:
        """Seconds of a further score: the mean over all samples, after each was scored once."""
        rows = range(len(self._columns["raw_text"]))
        self._score(rows)
        return self._score(rows) / len(rows)

    def _score(self, rows: range) -> float:
        import torch

        begun = time.perf_counter()
        for row in rows:
            ids = np.array([self._tokenizer.encode(str(self._columns["raw_text"][row])).ids])
            batch = {"text_bert": torch.from_numpy(np.stack([ids, np.ones_like(ids), np.zeros_like(ids)], axis=1))}
            for name in ("audio", "vision"):
                length = self._columns[f"{name}_length"][row : row + 1]
                batch[name] = torch.from_numpy(self._columns[name][row : row + 1, : length[0]])
                batch[f"{name}_length"] = torch.from_numpy(length)
            with torch.no_grad():
                self._network(batch)
        return time.perf_counter() - begun
