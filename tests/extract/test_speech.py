"""The recipe speech-v1 against second derivations: scipy's transforms, tones whose pitch is known, librosa if it is there."""

import numpy as np
import pytest
import scipy.fft
import scipy.signal

from msa_jax.extract import speech
from msa_jax.extract.speech import NAMES, speech_features

RATE = 16_000
COLUMN = {name: number for number, name in enumerate(NAMES)}
MFCC = [COLUMN[f"mfcc_{k}"] for k in range(20)]


def voice(hertz: float, seconds: float = 0.5) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    return (sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 8)) * 0.2).astype(np.float32)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def test_there_is_a_frame_every_20_ms_with_25_values():
    assert speech_features(noise(16_000)).shape == (51, 25)
    assert speech_features(noise(1_000)).shape == (4, 25)
    assert len(set(NAMES)) == 25


def test_mfcc_equal_those_of_scipy():
    sound = noise(5_000) + voice(140, 5_000 / RATE)
    padded = np.pad(sound.astype(np.float64), 512)
    starts = range(0, len(sound) + 1, 320)
    windowed = np.stack([padded[at : at + 1024] * scipy.signal.get_window("hann", 1024) for at in starts])
    power = np.abs(scipy.fft.rfft(windowed, axis=1)) ** 2

    def to_mel(hertz):  # Slaney, Auditory Toolbox, 1998
        return hertz / (200 / 3) if hertz < 1000 else 15 + np.log(hertz / 1000) / (np.log(6.4) / 27)

    def to_hertz(mel):
        return mel * 200 / 3 if mel < 15 else 1000 * np.exp((mel - 15) * np.log(6.4) / 27)

    edges = [to_hertz(mel) for mel in np.linspace(to_mel(0), to_mel(8000), 42)]
    filters = np.zeros((40, 513))
    for band in range(40):
        low, centre, high = edges[band : band + 3]
        for line in range(513):
            hertz = line * RATE / 1024
            height = np.interp(hertz, [low, centre, high], [0, 1, 0], left=0, right=0)
            filters[band, line] = height * 2 / (high - low)
    decibels = 10 * np.log10(np.maximum(power @ filters.T, 1e-10))
    expected = scipy.fft.dct(decibels, type=2, norm="ortho", axis=1)[:, :20]
    np.testing.assert_allclose(speech_features(sound)[:, MFCC], expected, atol=1e-3)


def test_mfcc_and_centroid_equal_those_of_librosa():
    librosa = pytest.importorskip("librosa")
    sound = noise(8_000) + voice(140, 0.5)
    named = {"n_fft": 1024, "hop_length": 320, "pad_mode": "constant"}
    mel = librosa.feature.melspectrogram(y=sound, sr=RATE, n_mels=40, **named)
    expected = librosa.feature.mfcc(S=librosa.power_to_db(mel, top_db=None), n_mfcc=20).T
    found = speech_features(sound)
    np.testing.assert_allclose(found[:, MFCC], expected, atol=0.01)
    centroid = librosa.feature.spectral_centroid(y=sound, sr=RATE, **named)[0] / 1000
    np.testing.assert_allclose(found[:, COLUMN["centroid_khz"]], centroid, rtol=1e-4)


@pytest.mark.parametrize("hertz", [70, 110, 220, 380])
def test_pitch_of_a_voice(hertz):
    found = speech_features(voice(hertz))[4:-4]
    semitones = 12 * np.log2(hertz / 27.5)
    np.testing.assert_allclose(found[:, COLUMN["f0_semitones"]], semitones, atol=0.1)
    assert (found[:, COLUMN["voicing"]] > 0.9).all()


def test_noise_and_silence_have_no_pitch():
    found = speech_features(noise(16_000))[4:-4]
    assert (found[:, COLUMN["f0_semitones"]] == 0).mean() > 0.9
    silence = speech_features(np.zeros(4_000, np.float32))
    assert np.isfinite(silence).all()
    assert (silence[:, [COLUMN["f0_semitones"], COLUMN["voicing"], COLUMN["zero_crossing_rate"]]] == 0).all()


def test_energy_and_zero_crossings_of_a_tone():
    time = np.arange(RATE) / RATE
    found = speech_features((0.5 * np.sin(2 * np.pi * 1000 * time + 0.1)).astype(np.float32))[4:-4]
    np.testing.assert_allclose(found[:, COLUMN["energy_db"]], 10 * np.log10(0.125), atol=0.05)
    np.testing.assert_allclose(found[:, COLUMN["zero_crossing_rate"]], 2000 / RATE, atol=0.002)
    np.testing.assert_allclose(found[:, COLUMN["centroid_khz"]], 1.0, atol=0.02)


def test_a_frame_depends_on_nothing_far_away(monkeypatch):
    monkeypatch.setattr(speech, "_BLOCK", 64)  # fewer frames are computed at once
    sound = noise(5 * RATE)
    whole, part = speech_features(sound), speech_features(sound[: 2 * RATE])
    np.testing.assert_array_equal(part[:90], whole[:90])
    later = speech_features(sound[3 * RATE :])
    np.testing.assert_array_equal(later[5:], whole[3 * 50 + 5 :])
