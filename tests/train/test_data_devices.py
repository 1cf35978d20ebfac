"""A mini-batch on several devices: the same numbers as on one."""

import numpy as np
import pytest

from msa_jax.errors import InputError
from msa_jax.methods.self_mm import SelfMMOptions
from msa_jax.train.stage_data import text_capacity
from tests.methods.small import SMALL
from tests.tiny import tiny_dataset, train_quick, train_toy
from tests.train.kit import AUDIO, Interrupting, toy_experiment

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
def test_what_mmim_remembers_of_a_mini_batch_on_two_devices_gives_the_same_scores(tmp_path):
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
