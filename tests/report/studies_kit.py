"""Study files, and a stand-in for training that leaves a finished experiment of known numbers."""

import json
import pprint
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax import config, methods
from msa_jax.data.schema import Dataset
from msa_jax.metrics import METRIC_KEYS
from msa_jax.train.experiment import resolve
from msa_jax.train.prepare import used_part
from tests.tiny import TOY, ToyNetwork


def write_study(path: Path, **entries: Any) -> Path:
    """A study file with one toy variant, changed by `entries`; None leaves an entry out."""
    study = {
        "title": "a title",
        "kind": "table",
        "paper": "a paper",
        "datasets": {"mosi": {"text_encoder": "bert-base-uncased", "rows": (1284, 229, 686)}},
        "columns": "MAE Corr Non0_acc_2",
        "variants": ({"name": "A", "method": "toy"},),
        **entries,
    }
    study = {key: value for key, value in study.items() if value is not None}
    path.write_text(
        f'"""What the paper shows."""\n\nSTUDY = {pprint.pformat(study, sort_dicts=False)}\n', encoding="utf-8"
    )
    return path


def scores(seed: int, method: str, options: Mapping[str, Any], kind: str) -> dict[str, float]:
    """Test metrics of one run, different for every seed and every set of options."""
    words = json.dumps([method, sorted((name, str(value)) for name, value in options.items())])
    rng = np.random.default_rng([seed, *words.encode()])
    return {key: float(rng.uniform(0.5, 0.9)) for key in METRIC_KEYS[kind]}


def pretend_to_train(
    labels: Callable[[Dataset, int, int], Mapping[str, np.ndarray]] | None = None,
) -> Callable[..., None]:
    """What stands in for `train`. labels: (dataset as used, seed, epoch) -> the u-labels after each of three epochs."""

    def train(
        method: str,
        dataset: Dataset,
        *,
        seeds: Sequence[int],
        out: Path,
        preset: str,
        protocol: str,
        record_labels: bool,
        log: Any,
        options: Mapping[str, Any],
    ) -> None:
        settings = resolve(method, dataset=dataset.card.name, preset=preset, protocol=protocol, **options)
        dataset = used_part(dataset, settings.options)
        out.mkdir(parents=True)
        content = {
            "method": method,
            "dataset": dataset.card.name,
            "protocol": settings.protocol,
            "seeds": list(seeds),
            "record_labels": record_labels,
            "options": config.to_json(settings.options),
        }
        (out / "config.json").write_text(json.dumps(content))
        (out / "environment.json").write_text(json.dumps({"dataset_sha256": dataset.fingerprint()}))
        runs = [
            {"seed": seed, "best_epoch": 2, **dict.fromkeys(("valid", "test"), found)}
            for seed in seeds
            for found in [scores(seed, method, options, dataset.card.metrics)]
        ]
        result = {"method": method, "dataset": dataset.card.name, "runs": runs, "mean": {}, "std": {}}
        (out / "result.json").write_text(json.dumps(result))
        for seed in seeds if labels else ():
            (out / "labels" / str(seed)).mkdir(parents=True)
            for epoch in (1, 2, 3) if record_labels else ():
                np.savez(out / "labels" / str(seed) / f"epoch_{epoch:04d}.npz", **labels(dataset, seed, epoch))
            last = {"id": dataset.train.id, "label": dataset.train.label, **labels(dataset, seed, 3)}
            np.savez(out / "labels" / f"{seed}.npz", **last)

    return train


class ExportingNetwork(ToyNetwork):
    """The toy network, which also shows the mean of its frames as `representation`."""

    def __call__(self, batch: Mapping[str, Any], *, train: bool) -> dict[str, Any]:
        audio = batch["audio"]
        mean = audio["features"].sum(1) / jnp.maximum(audio["length"], 1)[:, None]
        return {**super().__call__(batch, train=train), "representation": mean}


def exporting(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Makes "toy" a method that exports these names."""
    monkeypatch.setitem(methods.METHODS._registered, "toy", replace(TOY, network=ExportingNetwork, exports=names))
