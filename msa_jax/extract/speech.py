"""The audio recipe `speech-v1`: 25 values of speech, 50 times a second, from numpy alone.

Energy, zero crossings, pitch and voicing (autocorrelation divided by that of the window, as in P. Boersma, "Accurate short-term
analysis of the fundamental frequency and the harmonics-to-noise ratio of a sampled sound", IFA Proceedings 17, 1993), 20
mel-frequency cepstral coefficients (Slaney's mel scale and norm, natural power spectrum in dB, orthonormal DCT-II) and the
spectral centroid.
"""

import functools

import numpy as np

SAMPLE_RATE = 16_000
RATE = 50  # frames a second
NAMES = (
    "energy_db",
    "zero_crossing_rate",
    "f0_semitones",
    "voicing",
    *(f"mfcc_{k}" for k in range(20)),
    "centroid_khz",
)

_HOP = SAMPLE_RATE // RATE
_WINDOW = 1024  # samples: 64 ms hold almost four periods of the lowest pitch
_MELS, _MFCC = 40, 20
_LOWEST, _HIGHEST = 60.0, 400.0  # Hz, of a voice's pitch
_VOICED = 0.45  # of the autocorrelation at its peak
_SILENT = -60.0  # dB of full scale
_OCTAVE_COST = 0.01  # of the autocorrelation, which is as high at twice the period
_SEMITONES_FROM = 27.5  # Hz
_FLOOR = 1e-10
_BLOCK = 256  # frames that are computed at once


def speech_features(sound: np.ndarray) -> np.ndarray:
    """The values of `NAMES` every 20 ms; frame k is centred on sample 320 k, with silence before the first and after the last.

    Energy is in dB of full scale. The zero-crossing rate is a share of the samples. Pitch is in semitones above 27.5 Hz, and 0
    where there is no voice; voicing is the autocorrelation in [0, 1]. A frame depends on 64 ms of sound and on nothing else.

    Args:
      sound: [n] f32 in [-1, 1] at 16 kHz.

    Returns:
      [1 + n // 320, 25] float32.
    """
    padded = np.pad(sound.astype(np.float64), _WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]  # [T, 1024]
    blocks = [_block(frames[first : first + _BLOCK]) for first in range(0, len(frames), _BLOCK)]
    return np.concatenate(blocks).astype(np.float32)


def _block(frames: np.ndarray) -> np.ndarray:
    energy = 10 * np.log10((frames**2).mean(1) + _FLOOR)
    crossings = (np.signbit(frames[:, 1:]) != np.signbit(frames[:, :-1])).mean(1)
    spectrum = np.abs(np.fft.rfft(frames * _hann(), axis=1))  # [T, 513]
    f0, voicing = _pitch(frames, energy)
    total = spectrum.sum(1)
    hertz = np.fft.rfftfreq(_WINDOW, 1 / SAMPLE_RATE)
    centroid = (spectrum * hertz).sum(1) / np.where(total > 0, total, 1) / 1000
    return np.column_stack([energy, crossings, f0, voicing, mfcc(spectrum**2), centroid])


def mfcc(power: np.ndarray) -> np.ndarray:
    """Mel-frequency cepstral coefficients of power spectra [T, 513].  # [T, 20]"""
    # einsum adds in one order, whatever the number of threads.
    mel = np.einsum("tf,mf->tm", power, _mel_filters())
    decibels = 10 * np.log10(np.maximum(mel, _FLOOR))
    return np.einsum("tm,km->tk", decibels, _cosines())


def _pitch(frames: np.ndarray, energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pitch in semitones and voicing of each frame.  # [T], [T]"""
    first, last = int(SAMPLE_RATE / _HIGHEST), int(SAMPLE_RATE / _LOWEST)
    centred = (frames - frames.mean(1, keepdims=True)) * _hann()
    correlation = np.fft.irfft(np.abs(np.fft.rfft(centred, 2 * _WINDOW, axis=1)) ** 2, axis=1)[:, : last + 2]
    zero = correlation[:, :1]
    ratio = correlation / np.where(zero > 0, zero, 1) / _window_correlation()[: last + 2]
    lags = np.arange(first, last + 1)
    left, middle, right = ratio[:, lags - 1], ratio[:, lags], ratio[:, lags + 1]
    peak = (middle >= left) & (middle > right)
    strength = np.where(peak, middle - _OCTAVE_COST * np.log2(lags * _LOWEST / SAMPLE_RATE), -np.inf)
    rows, best = np.arange(len(frames)), strength.argmax(1)
    left, middle, right = left[rows, best], middle[rows, best], right[rows, best]
    found = peak[rows, best] & (energy > _SILENT)
    curve = left - 2 * middle + right
    shift = np.where(curve < 0, 0.5 * (left - right) / np.where(curve < 0, curve, 1), 0)  # a parabola's top
    voicing = np.where(found, np.clip(middle, 0, 1), 0)
    hertz = SAMPLE_RATE / (lags[best] + shift)
    return np.where(voicing >= _VOICED, 12 * np.log2(hertz / _SEMITONES_FROM), 0), voicing


@functools.cache
def _hann() -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)


@functools.cache
def _window_correlation() -> np.ndarray:
    correlation = np.fft.irfft(np.abs(np.fft.rfft(_hann(), 2 * _WINDOW)) ** 2)[:_WINDOW]
    return correlation / correlation[0]


def _mel_to_hertz(mel: np.ndarray) -> np.ndarray:
    """Slaney's scale: linear up to 1 kHz, which is 15 mel, then 27 mel for each factor of 6.4."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))


@functools.cache
def _mel_filters() -> np.ndarray:
    """Triangles of equal area, evenly spaced in mel from 0 to 8 kHz.  # [40, 513]"""
    highest = 15 + 27 * np.log(SAMPLE_RATE / 2 / 1000) / np.log(6.4)
    edges = _mel_to_hertz(np.linspace(0, highest, _MELS + 2))
    hertz = np.fft.rfftfreq(_WINDOW, 1 / SAMPLE_RATE)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.minimum((hertz - low) / (centre - low), (high - hertz) / (high - centre))
    return np.maximum(triangles, 0) * 2 / (high - low)


@functools.cache
def _cosines() -> np.ndarray:
    """The orthonormal DCT-II.  # [20, 40]"""
    k, m = np.arange(_MFCC)[:, None], np.arange(_MELS)
    scale = np.where(k == 0, np.sqrt(1 / _MELS), np.sqrt(2 / _MELS))
    return scale * np.cos(np.pi * k * (2 * m + 1) / (2 * _MELS))
