"""The synthetic dataset holds what its card says: each modality tells part of the label, all together tell more."""

from collections import Counter

import numpy as np
import pytest

from msa_jax.data.synthetic import MIX, make_synthetic
from msa_jax.data.synthetic_text import ADJECTIVES, INTENSITIES, NEGATIONS, make_sentences, opinion
from msa_jax.errors import InputError


@pytest.fixture(scope="module")
def dataset():
    return make_synthetic()


def bags_of_words(dataset):
    train = Counter(word for text in dataset.train.raw_text for word in text.split())
    column = {word: index for index, word in enumerate(sorted(train))}
    bags = {}
    for name, split in dataset.splits().items():
        bags[name] = np.zeros((len(split), len(column)))
        for row, text in enumerate(split.raw_text):
            for word in text.split():
                if word in column:
                    bags[name][row, column[word]] += 1
    return bags


def pooled(dataset, modality):
    """Mean and standard deviation over the valid frames, and mean of the second half."""
    features = {}
    for name, split in dataset.splits().items():
        rows = zip(getattr(split, modality), getattr(split, f"{modality}_length"), strict=True)
        valid = [frames[:length].astype(np.float64) for frames, length in rows]
        features[name] = np.array(
            [np.concatenate([x.mean(0), x.std(0), x[len(x) // 2 :].mean(0)]) for x in valid],
        )
    return features


def ridge(features, target, strength=50.0):
    """Predictions on test of a ridge regression fitted on train."""
    mean, std = features["train"].mean(0), features["train"].std(0) + 1e-8
    x, unseen = ((features[name] - mean) / std for name in ("train", "test"))
    weights = np.linalg.solve(x.T @ x + strength * np.eye(x.shape[1]), x.T @ (target - target.mean()))
    return unseen @ weights + target.mean()


def correlation(a, b):
    return float(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize("seed", [0, 1])
def test_each_modality_tells_part_of_the_label_and_fusion_tells_more(seed):
    dataset = make_synthetic(seed=seed)
    features = {"t": bags_of_words(dataset), "a": pooled(dataset, "audio"), "v": pooled(dataset, "vision")}
    label, unseen = dataset.train.label, dataset.test.label
    median_error = np.abs(unseen - np.median(label)).mean()
    errors = {}
    for letter, feature in features.items():
        prediction = ridge(feature, label)
        errors[letter] = np.abs(prediction - unseen).mean()
        assert errors[letter] < 0.9 * median_error
        assert correlation(prediction, unseen) > 0.4
        own = f"label_{letter}"
        assert correlation(ridge(feature, getattr(dataset.train, own)), getattr(dataset.test, own)) > 0.6
    together = {
        name: np.concatenate([feature[name] for feature in features.values()], axis=1) for name in ("train", "test")
    }
    prediction = ridge(together, label)
    assert np.abs(prediction - unseen).mean() < 0.85 * min(errors.values())
    assert correlation(prediction, unseen) > 0.7


def test_audio_and_vision_carry_temporal_patterns_not_a_constant_offset(dataset):
    # The first channel of the audio rises or falls: its mean says little, its change over time says much.
    split = dataset.train
    rows = [frames[:length, 0] for frames, length in zip(split.audio, split.audio_length, strict=True)]
    mean = np.array([row.mean() for row in rows])
    change = np.array([row[len(row) // 2 :].mean() - row[: len(row) // 2].mean() for row in rows])
    assert abs(correlation(mean, split.label_a)) < 0.15
    assert correlation(change, split.label_a) > 0.5


def test_speakers_differ_by_an_offset(dataset):
    split = dataset.train
    video = np.array([name.split("$_$")[0] for name in split.id])
    # The last channel carries no sign of the sentiment: what is constant in it is the speaker.
    mean = np.array([x[:n, -1].mean() for x, n in zip(split.vision, split.vision_length, strict=True)])
    within = np.mean([mean[video == name].std() for name in np.unique(video)])
    assert within < 0.5 * mean.std()


def test_label_is_the_mix_of_the_true_sentiments_up_to_noise_and_rounding(dataset):
    for split in dataset.splits().values():
        mix = MIX["text"] * split.label_t + MIX["audio"] * split.label_a + MIX["vision"] * split.label_v
        difference = split.label - mix
        assert np.abs(difference).max() < 5 * 3 * 0.04 + 0.1
        assert 0.05 < difference.std() < 0.2
        steps = split.label / 0.2
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)


def test_modalities_disagree_in_about_a_quarter_of_the_utterances():
    train = make_synthetic(train=2000, valid=1, test=1).train
    strong = np.abs(train.label_t) > 1.5  # where agreement cannot change the sign by chance
    against = (np.sign(train.label_a) == -np.sign(train.label_t)) | (np.sign(train.label_v) == -np.sign(train.label_t))
    assert against[strong].mean() == pytest.approx(0.25, abs=0.07)


def test_unimodal_labels_leave_the_label_by_differing_amounts(dataset):
    # What generated unimodal labels have to find: offsets that are large, differ in sign, and average out in the mix.
    offsets = {m: getattr(dataset.train, f"label_{m}") - dataset.train.label for m in "tav"}
    for offset in offsets.values():
        assert offset.std() > 0.5
        assert 0.25 < (offset > 0).mean() < 0.75
    assert correlation(offsets["t"], offsets["a"]) < -0.3


def test_same_seed_gives_the_same_bits_and_another_seed_does_not(dataset):
    prints = dataset.fingerprint()
    assert make_synthetic(seed=0).fingerprint() == prints
    other = make_synthetic(seed=1).fingerprint()
    assert all(prints[name] != other[name] for name in prints if not name.endswith("/id"))


def test_size_of_one_split_changes_nothing_in_another(dataset):
    larger = make_synthetic(train=600).fingerprint()
    prints = dataset.fingerprint()
    assert all(larger[name] == prints[name] for name in prints if not name.startswith("train/"))


def test_no_video_is_in_two_splits(dataset):
    videos = {name: {row.split("$_$")[0] for row in split.id} for name, split in dataset.splits().items()}
    assert not videos["train"] & videos["valid"]
    assert not videos["train"] & videos["test"]
    assert not videos["valid"] & videos["test"]
    assert len(dataset.train) / len(videos["train"]) > 4


def test_lengths_are_skewed_and_the_rest_is_zero(dataset):
    for modality, steps in (("audio", 48), ("vision", 64)):
        sequence, length = getattr(dataset.train, modality), getattr(dataset.train, f"{modality}_length")
        assert sequence.shape[1] == steps
        assert np.median(length) < length.mean() < 0.5 * steps
        assert length.max() > 0.9 * steps
        for row, valid in zip(sequence, length, strict=True):
            assert not row[valid:].any()
            assert row[:valid].any(axis=1).all()


def test_utterances_are_as_long_as_those_of_mosi():
    words = np.array([len(text.split()) for text in make_sentences(np.random.default_rng(0), 2000).text])
    assert 10 < words.mean() < 14  # MOSI: mean 12.1, median 10; [CLS] and [SEP] come on top
    assert 8 <= np.median(words) <= 12
    assert np.percentile(words, 99) > 35
    assert words.max() <= 48


def test_sentiment_follows_words_intensity_and_negation():
    assert opinion("good") == ADJECTIVES["good"] > 0 > opinion("bad")
    assert opinion("good", intensity="slightly") < opinion("good", intensity="quite") < opinion("good")
    assert opinion("good") < opinion("good", intensity="very") < opinion("good", intensity="extremely")
    assert opinion("perfect", intensity="extremely") == 1.0
    for negation, factor in NEGATIONS.items():
        assert -1 < factor < 0
        assert opinion("terrible", negation=negation) == pytest.approx(factor * ADJECTIVES["terrible"])
    assert INTENSITIES[""] == 1.0


def test_negated_sentences_mean_the_opposite():
    sentences = make_sentences(np.random.default_rng(0), 3000)
    simple = [
        (text, value) for text, value in zip(sentences.text, sentences.sentiment, strict=True) if " but " not in text
    ]
    for negation in NEGATIONS:
        negated = [value for text, value in simple if f"{negation} good" in text or f"{negation} great" in text]
        plain = [value for text, value in simple if "was good" in text or "was great" in text]
        assert len(negated) >= 3
        assert np.mean(negated) < 0 < np.mean(plain)


@pytest.mark.parametrize("label_range", [(-1.0, 1.0), (0.0, 10.0)])
def test_labels_fill_the_range_asked_for(label_range):
    low, high = label_range
    train = make_synthetic(train=400, valid=2, test=2, label_range=label_range, metrics="regression").train
    for label in (train.label, train.label_t, train.label_a, train.label_v):
        assert label.min() >= low
        assert label.max() <= high
        assert label.max() - label.min() > 0.8 * (high - low)


def test_shapes_of_mosi_can_be_had():
    dataset = make_synthetic(train=12, valid=3, test=4, audio_steps=375, vision_steps=500)
    assert dataset.train.audio.shape == (12, 375, 5)
    assert dataset.test.vision.shape == (4, 500, 20)


def test_one_row_and_short_sequences_are_enough():
    dataset = make_synthetic(train=1, valid=1, test=1, audio_steps=4, vision_steps=4)
    assert dataset.train.audio_length.tolist() == [4]


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"train": 0}, "train is 0, expected a whole number, at least 1"),
        ({"valid": 2.5}, "valid is 2.5"),
        ({"test": "many"}, "test is 'many'"),
        ({"audio_steps": 3}, "audio_steps is 3, expected a whole number, at least 4"),
        ({"label_range": (1, 1)}, "label_range"),
        ({"metrics": "rouge"}, "metrics"),
    ],
)
def test_wrong_argument_is_refused(argument, found):
    with pytest.raises(InputError, match="synthetic: ") as raised:
        make_synthetic(**argument)
    assert found in str(raised.value)
