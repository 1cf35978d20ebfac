"""A mini-batch on several devices: the same numbers as on one."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from msa_jax.data.schema import Dataset
from msa_jax.errors import InputError
from msa_jax.methods import METHODS
from msa_jax.methods.self_mm import SelfMMOptions
from msa_jax.train.stage_data import text_capacity
from tests.methods.small import SMALL
from tests.paths import REPOSITORY
from tests.tiny import QUICK, tiny_dataset, train_quick, train_toy
from tests.train.kit import AUDIO, Interrupting, runner_of, toy_experiment

pytestmark = pytest.mark.usefixtures("toy")


def assert_same(one, other, atol: float) -> None:
    for first, second in zip(one.runs, other.runs, strict=True):
        assert (first.epochs, first.best_epoch) == (second.epochs, second.best_epoch)
        for split, heads in first.scores.items():
            for head, scores in heads.items():
                np.testing.assert_allclose(scores, second.scores[split][head], atol=atol, err_msg=f"{split} {head}")


SLOW = [pytest.param(options, marks=pytest.mark.slow) for options in ({}, {"resident": "no"})]


@pytest.mark.parametrize("options", [{"accumulate": 2, "batch_size": 5, "max_epochs": 2}, *SLOW], ids=str)
def test_two_devices_share_a_mini_batch(tmp_path, options):
    # 24 rows in batches of 7 or 5: neither the batch nor the last of an epoch can be halved.
    runs = [
        train_toy(tmp_path / str(count), AUDIO, seeds=(1, 2), options={**options, "data_devices": count})
        for count in (1, 2)
    ]
    assert_same(*runs, atol=1e-5)


@pytest.mark.slow
def test_packed_text_and_labels_of_self_mm_on_two_devices(tmp_path):
    options = {"batch_size": 7}
    runs = [
        train_quick("self_mm", tiny_dataset(), tmp_path / str(count), options={**options, "data_devices": count})
        for count in (1, 2)
    ]
    assert_same(*runs, atol=1e-4)
    labels = [np.load(run.path / "labels" / "1.npz")["label_a"] for run in runs]
    np.testing.assert_allclose(*labels, atol=1e-4)


@pytest.mark.slow
def test_what_mmim_remembers_of_a_mini_batch_on_two_devices(tmp_path):
    runs = [
        train_quick("mmim", tiny_dataset(), tmp_path / str(count), options={"batch_size": 7, "data_devices": count})
        for count in (1, 2)
    ]
    assert_same(*runs, atol=1e-4)


@pytest.mark.slow
def test_the_same_modalities_are_left_out_of_training_samples_on_two_devices(tmp_path):
    options = {**SMALL["lf_lstm"], "batch_size": 7, "modality_dropout": 0.5}
    one, two, whole = (
        train_quick("lf_lstm", tiny_dataset(), tmp_path / name, options={**options, **changes})
        for name, changes in {"one": {}, "two": {"data_devices": 2}, "whole": {"modality_dropout": 0.0}}.items()
    )
    assert_same(one, two, atol=1e-4)
    scores, others = (run.runs[0].scores["test"]["prediction"] for run in (one, whole))
    assert np.abs(scores - others).max() > 0.01  # so that other draws would be seen


def test_mini_batches_of_text_are_planned_alike_for_any_number_of_devices():
    columns = {"text": {"ids": np.zeros((64, 50)), "mask": np.arange(50) < np.arange(64)[:, None] % 30}}
    one, other = (text_capacity(columns, SelfMMOptions(batch_size=8, data_devices=count)) for count in (1, 4))
    assert one == other
    assert one.rows % 4  # so that the four would need another number of rows


def test_a_checkpoint_of_one_device_goes_on_with_two(tmp_path):
    straight = train_toy(tmp_path / "straight", AUDIO, seeds=(3,), options={"max_epochs": 3})
    with pytest.raises(KeyboardInterrupt):
        toy_experiment(tmp_path / "moved", seeds=(3,), max_epochs=3)(Interrupting(2))
    moved = toy_experiment(tmp_path / "moved", seeds=(3,), max_epochs=3, data_devices=2)(None)
    assert_same(straight, moved, atol=1e-5)


def test_more_devices_than_there_are(tmp_path):
    with pytest.raises(InputError, match="option data_devices is 99; there are 2 devices"):
        train_toy(tmp_path / "run", AUDIO, options={"data_devices": 99})
    assert not (tmp_path / "run").exists()


def fitting(name: str) -> tuple[Dataset, dict]:
    """A dataset that the method of this name can be trained on, and options with which its runs go side by side if it has one
    stage: where the text encoder is frozen, each seed would have one of its own."""
    options = METHODS[name].options()
    features = not options.finetune_text
    dataset = tiny_dataset(
        text="text" if features else "text_bert", human_labels=True, aligned=METHODS[name].needs_aligned(options)
    )
    return dataset, {**SMALL.get(name, {}), **({"text_encoder": "features"} if features else {})}


SCRIPT = """
import json, sys
from pathlib import Path
from msa_jax import methods
from tests.tiny import TOY, tiny_dataset, train_quick, train_toy
from tests.train.test_data_devices import fitting
methods.register(TOY)
out = Path(sys.argv[1])
scores = {}
for name, options in json.loads(sys.argv[3]).items():
    options.setdefault("runs_per_program", 4 if sys.argv[2] == "toy" else 2)
    method = sys.argv[2]
    if method == "toy":
        done = train_toy(out / name, tiny_dataset(modalities=("audio",)), seeds=(1, 2, 3, 4), options=options)
    else:
        dataset, needed = fitting(method)
        done = train_quick(method, dataset, out / name, seeds=(1, 2), options={**options, **needed})
    scores[name] = [run.scores["test"]["prediction"].tolist() for run in done.runs]
print(json.dumps(scores))
"""


def on_eight(method: str, out, runs: dict) -> dict:
    """Test scores on eight virtual devices, {name of the options: [R, N]}."""
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "8"}
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(out), method, json.dumps(runs)],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-3000:]
    return {name: np.array(scores) for name, scores in json.loads(found.stdout.splitlines()[-1]).items()}


@pytest.mark.slow
def test_runs_and_data_on_eight_devices(tmp_path):
    scores = on_eight(
        "toy", tmp_path, {"one": {"data_devices": 1}, "two": {"data_devices": 2}, "eight": {"data_devices": 8}}
    )
    alone = train_toy(tmp_path / "alone", AUDIO, seeds=(1, 2, 3, 4), options={"runs_per_program": 1})
    want = np.stack([run.scores["test"]["prediction"] for run in alone.runs])
    for found in scores.values():
        np.testing.assert_allclose(found, want, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_method_on_eight_devices(tmp_path, name):
    dataset, needed = fitting(name)
    inits = runner_of(METHODS[name], dataset, {**QUICK, **needed}).inits
    together = {"runs_per_program": 1} if len(inits.stages) > 1 else {}  # then runs go one after the other
    found = on_eight(name, tmp_path, {"eight": {"data_devices": 4, **together}})["eight"]
    alone = train_quick(name, dataset, tmp_path / "alone", seeds=(1, 2), options={"runs_per_program": 1, **needed})
    np.testing.assert_allclose(found, np.stack([run.scores["test"]["prediction"] for run in alone.runs]), atol=2e-3)
