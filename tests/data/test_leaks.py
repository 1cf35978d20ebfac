"""Features that know the labels of the training split are found, and honest ones are not."""

import json
from dataclasses import replace

import numpy as np
import pytest

from msa_jax import cli
from msa_jax.data import Split, find_leaks, load_dataset, make_synthetic, write_native
from msa_jax.data.leaks import Fit, _differ, _fit, modality_means
from msa_jax.data.ridge import fold_of, ridge
from msa_jax.data.videos import groups_of, videos_of
from tests.paths import REPOSITORY

DATA = REPOSITORY.parent / "shared" / "data"
WIDTH = 12


def made(*, train=300, valid=80):
    return make_synthetic(train=train, valid=valid, test=8)


def with_vision(dataset, frames):
    """The dataset with other vision, one frame an utterance; frames: {split: [N, d]}."""
    return replace(dataset, **{
        name: replace(split, vision=frames[name][:, None].astype(np.float32), vision_length=np.ones(len(split), np.int32))
        for name, split in dataset.splits().items()
    })  # fmt: skip


def noise(dataset, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(len(split), WIDTH)) for name, split in dataset.splits().items()}


# -- what is a leak and what is none ----------------------------------------------------------------------------------


def test_features_that_know_the_labels_of_train_alone_are_flagged():
    dataset = made()
    frames = noise(dataset)
    frames["train"][:, :3] += dataset.train.label[:, None]
    found = find_leaks(with_vision(dataset, frames))
    assert found.flagged == ("vision",)
    fit = found.modalities["vision"]
    assert fit.width == WIDTH
    assert fit.train.corr > 0.8
    assert abs(fit.valid.corr) < 0.3
    assert fit.train.mae < found.median["train"] / 1.5
    (sentence,) = found.sentences()
    assert sentence.startswith("vision predicts the labels of train (Corr 0.")
    assert f"MAE {fit.train.mae:.3f}, on videos that were left out" in sentence
    assert f"those of valid (Corr {fit.valid.corr:.2f}, MAE {fit.valid.mae:.3f})" in sentence


def test_features_that_predict_every_label_are_not():
    dataset = made()
    frames = noise(dataset)
    for name, split in dataset.splits().items():
        frames[name][:, :3] += split.label[:, None]
    found = find_leaks(with_vision(dataset, frames))
    assert found.flagged == ()
    assert found.modalities["vision"].valid.corr > 0.8
    assert found.sentences() == ["No modality predicts the labels of train alone."]


def test_what_the_utterances_of_a_video_share_is_not():
    dataset = made()
    videos = videos_of(dataset.train.id)
    assert 10 < len(np.unique(videos)) < 100
    rng = np.random.default_rng(1)
    _, video = np.unique(videos, return_inverse=True)
    of_video = rng.normal(size=(video.max() + 1, 2)).repeat(3, 1) * 5  # its label, and features that tell it
    label = np.clip(of_video[video, 0] / 3 + 0.1 * rng.normal(size=len(video)), -3, 3).astype(np.float32)
    codes = rng.normal(size=(video.max() + 1, 60))
    frames = noise(dataset)
    frames = {name: np.concatenate([rows, np.zeros((len(rows), 60))], 1) for name, rows in frames.items()}
    frames["train"][:, WIDTH:] = codes[video]
    dataset = with_vision(replace(dataset, train=replace(dataset.train, label=label)), frames)
    assert find_leaks(dataset).flagged == ()
    rows_alone = replace(dataset.train, id=np.array([f"row{number}x" for number in range(len(video))]))
    by_row = find_leaks(replace(dataset, train=rows_alone))
    assert by_row.videos is None
    assert by_row.modalities["vision"].train.corr > 0.8  # left out one by one, a row is known by its video


@pytest.mark.parametrize("seed", range(4))
def test_the_synthetic_dataset_has_no_leak(seed):
    found = find_leaks(make_synthetic(seed=seed))
    assert found.flagged == ()
    assert set(found.modalities) == {"audio", "vision"}  # there are no text features


def test_labels_of_test_are_never_read():
    dataset = made()
    hidden = replace(dataset, test=replace(dataset.test, label=np.full(len(dataset.test), np.nan, np.float32)))
    assert find_leaks(hidden) == find_leaks(dataset)


# -- how it is measured -----------------------------------------------------------------------------------------------


def test_the_regression_is_the_ridge_of_numpy_on_the_rows_that_are_left():
    rng = np.random.default_rng(3)
    x, z = rng.normal(size=(40, 5)) + 1, rng.normal(size=(7, 5))
    label = x @ rng.normal(size=5) + rng.normal(size=40)
    fold = np.arange(40) % 4

    def fitted(x, y, penalty, z):
        centred, mean = x - x.mean(0), y.mean()
        w = np.linalg.solve(centred.T @ centred / len(y) + penalty * np.eye(5), centred.T @ (y - mean) / len(y))
        return mean + (z - x.mean(0)) @ w

    want = {}
    for penalty in (1e-3, 1e-2, 1e-1, 1.0, 10.0):
        inside = np.empty(40)
        for one in range(4):
            inside[fold == one] = fitted(x[fold != one], label[fold != one], penalty, x[fold == one])
        want[((inside - label) ** 2).mean()] = inside, fitted(x, label, penalty, z)
    inside, outside = ridge(x, z, label, fold)
    np.testing.assert_allclose(inside, want[min(want)][0], atol=1e-8)
    np.testing.assert_allclose(outside, want[min(want)][1], atol=1e-8)


def test_videos_are_told_by_ids():
    ids = ["v_1$_$3", "abc_3", "abc_3_17", "-_x_12", "whole", "_5", "mmmo_train_7"]
    assert videos_of(ids).tolist() == ["v_1", "abc", "abc", "-_x", "whole", "_5", "mmmo_train"]
    assert groups_of(["a_1", "a_2", "b_1"]).tolist() == ["a", "a", "b"]
    assert groups_of(["a_1", "a_2", "b_1"], least=3).tolist() == [0, 1, 2]


def test_ids_whose_videos_are_numbers_name_several():
    assert videos_of(["video_0001_0012", "video_0001_0013", "video_0002_0001"]).tolist() == [
        "video_0001",
        "video_0001",
        "video_0002",
    ]
    assert groups_of(["train_1", "train_2"]).tolist() == [0, 1]
    assert groups_of(["v$_$1", "v$_$2"]).tolist() == ["v", "v"]
    assert groups_of(["v$_$1", "v$_$2"], least=2).tolist() == [0, 1]


def test_folds_keep_videos_whole_and_are_about_as_large():
    groups = np.repeat(np.arange(30), np.random.default_rng(0).integers(1, 30, 30))
    fold = fold_of(groups)
    assert all(len(set(fold[groups == one])) == 1 for one in range(30))
    sizes = np.bincount(fold)
    assert len(sizes) == 10
    assert sizes.max() - sizes.min() <= 10
    assert fold_of(np.array(["a", "b", "a"])).tolist() == [0, 1, 0]


def test_means_are_over_the_steps_that_there_are():
    audio = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    text = np.stack([np.ones((3, 4)), np.ones((3, 4))]).astype(np.float32) * [[[1], [2], [6]]]
    tokens = np.zeros((2, 3, 3), np.int32)
    tokens[0, 1, :2], tokens[1, 1, :3] = 1, 1
    split = Split(id=["a", "b"], audio=audio, audio_length=np.array([2, 1], np.int32), text=text, text_bert=tokens)
    np.testing.assert_allclose(modality_means(split, "audio"), [[1, 2], [6, 7]])
    np.testing.assert_allclose(modality_means(split, "text"), [[1.5] * 4, [3.0] * 4])
    unmasked = Split(id=["a"], text=np.array([[[2.0], [4.0], [0.0]]], np.float32))
    np.testing.assert_allclose(modality_means(unmasked, "text"), [[3.0]])
    assert modality_means(split, "vision") is None


@pytest.mark.parametrize(
    ("inside", "outside", "error", "leaks"),
    [
        (0.7, 0.07, 0.1, True),
        (0.7, 0.07, 0.3, False),  # by chance
        (0.7, 0.4, 0.01, False),  # less, and still there
        (0.2, 0.0, 0.01, False),  # too little to mislead
        (0.7, None, None, False),  # not defined, which is no 0
        (None, 0.0, 0.1, False),
        (1.0, -1.0, 0.1, True),
    ],
)
def test_a_leak_is_large_and_beyond_chance(inside, outside, error, leaks):
    assert _differ(Fit(mae=1.0, corr=inside, error=0.02), Fit(mae=1.0, corr=outside, error=error)) is leaks


def test_the_standard_error_is_that_of_a_jackknife_over_videos():
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(8), rng.integers(3, 9, 8))
    shared = rng.normal(size=(8, 2))[groups]  # samples of a video are alike
    x, y = (0.3 * rng.normal(size=(len(groups), 2)) + shared).T
    found = _fit(x, y, groups)
    assert found.corr == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert found.mae == pytest.approx(np.abs(x - y).mean())
    left = np.array([np.corrcoef(x[groups != one], y[groups != one])[0, 1] for one in range(8)])
    assert found.error == pytest.approx(np.sqrt(7 / 8 * ((left - left.mean()) ** 2).sum()))
    alone = _fit(x, y, np.arange(len(x))).error
    assert found.error > 1.3 * alone  # as if all samples were independent
    assert alone == pytest.approx((1 - found.corr**2) / np.sqrt(len(x)), rel=0.6)
    assert _fit(x, np.ones_like(y), groups) == Fit(mae=pytest.approx(np.abs(x - 1).mean()))


@pytest.mark.parametrize("sizes", [{"train": 10, "valid": 30}, {"train": 60, "valid": 19}])
def test_too_little_to_say_anything_is_said(sizes):
    small = make_synthetic(**sizes, test=3)
    found = find_leaks(small)
    assert (found.folds, found.flagged) == (0, ())
    assert found.sentences() == ["Too few samples to say anything."]
    json.dumps(found.to_json(), allow_nan=False)


def test_without_a_correlation_on_valid_nothing_is_flagged_and_that_is_said():
    dataset = made()
    frames = noise(dataset)
    for name, split in dataset.splits().items():
        frames[name][:, :3] += split.label[:, None]
    frames["valid"][:] = 0.0  # as if valid lacked the modality
    found = find_leaks(with_vision(dataset, frames))
    assert found.modalities["vision"].valid.corr is None
    assert found.flagged == ()
    (sentence,) = found.sentences()
    assert "Its Corr on valid is not defined" in sentence


def test_features_and_labels_that_do_not_vary_predict_nothing():
    dataset = made(train=40, valid=20)
    frames = {name: np.full((len(split), 3), 7.0) for name, split in dataset.splits().items()}
    found = find_leaks(with_vision(dataset, frames))
    assert found.modalities["vision"].valid.corr is None
    assert found.modalities["vision"].train.mae < 2 * found.median["train"]
    flat = replace(dataset, train=replace(dataset.train, label=np.ones(40, np.float32)))
    json.dumps(find_leaks(flat).to_json(), allow_nan=False)
    assert find_leaks(flat).flagged == ()


# -- for people -------------------------------------------------------------------------------------------------------


def test_the_command_shows_what_was_found(tmp_path, capsys):
    dataset = made()
    frames = noise(dataset)
    frames["train"][:, :3] += dataset.train.label[:, None]
    write_native(with_vision(dataset, frames), tmp_path / "data")
    assert cli.main(["data", "describe", str(tmp_path / "data"), "--leaks"]) == 0
    page = capsys.readouterr().out
    assert "Leaks (ridge regression of the label on the mean of each modality over time" in page
    assert "\nvision predicts the labels of train (Corr" in page
    assert cli.main(["data", "describe", str(tmp_path / "data"), "--leaks", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["leaks"]["flagged"] == ["vision"]
    assert found["splits"]["train"]["rows"] == 300
    assert cli.main(["data", "describe", str(tmp_path / "data"), "--json"]) == 0
    assert "leaks" not in json.loads(capsys.readouterr().out)


# -- real datasets ----------------------------------------------------------------------------------------------------


def real(name):
    if not (DATA / name).is_dir():
        pytest.skip(f"no {name} here")
    return find_leaks(load_dataset(DATA / name))


def test_vision_of_mosi_utterance_leaks():
    found = real("mosi_utterance")
    assert found.flagged == ("vision",)
    assert found.videos == 62
    fit = found.modalities["vision"]
    assert fit.train.corr == pytest.approx(0.70, abs=0.03)
    assert fit.train.mae == pytest.approx(0.92, abs=0.03)
    assert fit.valid.corr < 0.2
    assert fit.valid.mae > 1.3


@pytest.mark.parametrize("name", ["mosi_clean", "mosi", "mmmo"])
def test_nothing_of_the_others_does(name):
    found = real(name)
    assert found.modalities
    assert found.flagged == ()


def test_text_without_features_is_not_checked():
    found = real("mosei_text")
    assert found.modalities == {}
    assert found.sentences() == ["No modality has features to check: no audio, no vision, no text features."]
