"""Calibrated unimodal labels: nearer to the truth where it is known, exact where the model holds, silent where nothing is."""

from dataclasses import replace

import numpy as np
import pytest

from msa_jax.data import Split, calibrated_labels, make_synthetic, with_calibrated_labels
from msa_jax.errors import InputError
from msa_jax.methods import get
from msa_jax.train.prepare import prepare

RANGES = [(-3.0, 3.0), (-1.0, 1.0)]


def model(rows=4000, steps=8, noise=2.0, alone=False, seed=0) -> tuple[Split, np.ndarray]:
    """Utterances for which the assumptions hold, one video each: u normal, y = 0.7 u + ..., frames u + noise. And u."""
    rng = np.random.default_rng(seed)
    u = rng.normal(size=rows)
    y = 0.7 * u + np.sqrt(1 - 0.49) * rng.normal(size=rows)
    if alone:
        y = u
    frames = u[:, None, None] + noise * rng.normal(size=(rows, steps, 1))
    ids = np.array([f"video{row}$_$0" for row in range(rows)])
    audio = frames.astype(np.float32)
    return Split(id=ids, label=y.astype(np.float32), audio=audio, audio_length=np.full(rows, steps, np.int32)), u


@pytest.mark.slow
@pytest.mark.parametrize("label_range", RANGES, ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_labels_of_the_synthetic_dataset_come_nearer_to_the_truth_and_never_further(label_range, seed):
    metrics = {(-3.0, 3.0): "mosi", (-1.0, 1.0): "sims"}[label_range]
    train = make_synthetic(seed=seed, label_range=label_range, metrics=metrics, valid=8, test=8).train
    found = calibrated_labels(train, label_range)
    assert set(found) == {"text", "audio", "vision"}
    for name, one in found.items():
        true = getattr(train, f"label_{name[0]}")
        ours, given = (np.abs(label - true).mean() for label in (one.labels, train.label))
        assert ours <= given
        assert (ours < 0.95 * given) == (name != "text")
        assert one.labels.dtype == np.float32
        assert label_range[0] <= one.labels.min() <= one.labels.max() <= label_range[1]


def test_where_the_assumptions_hold_the_estimates_are_right_and_the_labels_the_posterior_mean():
    split, u = model()
    one = calibrated_labels(split, (-9.0, 9.0))["audio"]
    # The mean of eight frames with noise of 2 has Corr 1 / sqrt(1 + 4 / 8) with u.
    np.testing.assert_allclose(one.q, (1 + 4 / 8) ** -0.5, atol=0.03)
    np.testing.assert_allclose(one.rho, 0.7, atol=0.04)
    mean = split.audio.mean((1, 2))
    columns = np.stack([split.label, mean], 1)
    best = columns @ np.linalg.lstsq(columns, u, rcond=None)[0]  # what knowing u would give
    found = one.labels
    assert np.corrcoef(found, best)[0, 1] > 0.99
    assert ((found - u) ** 2).mean() < 1.03 * ((best - u) ** 2).mean()
    assert ((found - u) ** 2).mean() < 0.6 * ((split.label - u) ** 2).mean()


def test_a_modality_that_decides_the_label_alone_has_the_label():
    split, _ = model(alone=True)
    one = calibrated_labels(split, (-9.0, 9.0))["audio"]
    np.testing.assert_allclose(one.labels, split.label, atol=0.15)


@pytest.mark.parametrize("change", ["noise", "one frame", "one video", "constant label"])
def test_where_nothing_is_known_the_labels_stay(change):
    split, _ = model(rows=200)
    if change == "noise":
        audio = np.random.default_rng(3).normal(size=split.audio.shape).astype(np.float32)
        split = replace(split, audio=audio)
    elif change == "one frame":
        split = replace(split, audio_length=np.ones(200, np.int32))
    elif change == "one video":
        split = replace(split, id=np.array([f"video$_${row}" for row in range(200)]))
    else:
        split = replace(split, label=np.ones(200, np.float32))
    one = calibrated_labels(split, (-3.0, 3.0))["audio"]
    np.testing.assert_array_equal(one.labels, split.label)
    assert one.q is None
    assert one.rho is None


def test_ids_that_name_no_video_are_samples_of_their_own():
    split, _ = model(rows=200)
    found = calibrated_labels(replace(split, id=np.array([f"train_{row}" for row in range(200)])), (-3.0, 3.0))["audio"]
    assert found.q is not None
    assert np.abs(found.labels - split.label).max() > 0.2


def test_rows_without_frames_and_texts_without_words_are_measured_too():
    train = make_synthetic(train=60, valid=8, test=8).train
    length, text = train.audio_length.copy(), train.raw_text.copy()
    length[3], text[5] = 0, ""
    found = calibrated_labels(replace(train, audio_length=length, raw_text=text), (-3.0, 3.0))
    assert all(np.isfinite(one.labels).all() for one in found.values())


@pytest.mark.slow
def test_characters_are_the_words_of_a_language_without_spaces():
    rng = np.random.default_rng(0)
    value = rng.normal(size=200)
    # Of twelve characters, 好 is as frequent as the label is high, and 坏 as it is low.
    chances = 1 / (1 + np.exp(-2 * value))
    texts = ["".join(rng.choice(["好", "坏"], p=[p, 1 - p]) for _ in range(12)) for p in chances]
    label = np.clip(value + rng.normal(size=200), -3, 3).astype(np.float32)
    split = Split(id=[f"v{row % 40}$_${row}" for row in range(200)], label=label, raw_text=np.array(texts))
    apart = replace(split, raw_text=np.array([" ".join(text) for text in texts]))
    found, want = calibrated_labels(split, (-3.0, 3.0), "zh")["text"], calibrated_labels(apart, (-3.0, 3.0))["text"]
    np.testing.assert_array_equal(found.labels, want.labels)
    assert found.q is not None
    assert np.abs(found.labels - label).max() > 0.2
    assert calibrated_labels(split, (-3.0, 3.0))["text"].q is None  # sentences as words say nothing


@pytest.mark.slow
def test_training_takes_them_where_they_are_asked_for_and_leaves_the_other_splits():
    dataset = make_synthetic(train=60, valid=8, test=8)
    method = get("self_mm")
    options = replace(method.options(), unimodal_labels="calibrated", text_encoder="scratch")
    prepared = prepare(dataset, method, options)
    wanted = with_calibrated_labels(dataset)
    for letter in "tav":
        np.testing.assert_array_equal(
            prepared.columns["train"][f"label_{letter}"], getattr(wanted.train, f"label_{letter}")
        )
        np.testing.assert_array_equal(
            prepared.columns["valid"][f"label_{letter}"], getattr(dataset.valid, f"label_{letter}")
        )
    given = prepare(dataset, method, replace(options, unimodal_labels="human"))
    assert np.abs(given.columns["train"]["label_v"] - prepared.columns["train"]["label_v"]).max() > 0.01


def test_tokens_alone_have_no_calibrated_labels():
    dataset = make_synthetic(train=60, valid=8, test=8)
    bare = replace(
        dataset,
        **{
            name: replace(split, raw_text=None, text_bert=np.ones((len(split), 3, 6), np.float32), label_t=None)
            for name, split in dataset.splits().items()
        },
    )
    method = get("self_mm")
    options = replace(method.options(), unimodal_labels="calibrated", text_encoder="scratch")
    with pytest.raises(InputError):
        prepare(bare, method, options)
