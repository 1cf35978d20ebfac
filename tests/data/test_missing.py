"""What samples lose: draws that hang on the id alone, and rates that are kept."""

import hashlib
import itertools

import numpy as np
import pytest

from msa_jax.data import missing
from msa_jax.data.protocols import PROTOCOLS, find_protocol, letters, lost_of, subsets
from msa_jax.data.words import text_of, words_of
from msa_jax.errors import InputError
from msa_jax.modalities import MODALITIES

IDS = np.array([f"video{number // 7}_{number}" for number in range(2000)])
MASK = 2**64 - 1


def by_hand(name: str, seed: int, stream: str, count: int) -> list[float]:
    """SplitMix64 in whole numbers of Python."""
    digest = hashlib.blake2b(f"{seed}\0{stream}\0{name}".encode(), digest_size=8).digest()
    state, numbers = int.from_bytes(digest, "little"), []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        numbers.append(((z ^ (z >> 31)) >> 11) / 2**53)
    return numbers


def test_numbers_are_splitmix64_of_a_hash_of_the_id():
    drawn = missing.uniforms(["a", "ä\ud800", "clip $_$ 3"], 5, "steps/audio", 4)
    assert drawn[0].tolist() == by_hand("a", 5, "steps/audio", 4)
    assert drawn[2].tolist() == by_hand("clip $_$ 3", 5, "steps/audio", 4)
    # As anyone else would draw them, now and later.
    assert by_hand("a", 5, "steps/audio", 1) == [0.26935657735815466]


def test_numbers_are_uniform_and_differ_by_seed_and_stream():
    drawn = missing.uniforms(IDS, 0, "x", 10)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert abs(drawn.mean() - 0.5) < 0.01
    assert abs(drawn.var() - 1 / 12) < 0.003
    assert abs(np.corrcoef(drawn, rowvar=False) - np.eye(10)).max() < 0.1
    for other in (missing.uniforms(IDS, 1, "x", 10), missing.uniforms(IDS, 0, "y", 10)):
        assert abs(np.corrcoef(drawn[:, 0], other[:, 0])[0, 1]) < 0.1


def draws(ids: np.ndarray) -> list[np.ndarray]:
    length = 1 + np.array([len(name) for name in ids])
    how = {"rate": 0.4, "seed": 3}
    return [
        missing.lost_modalities(ids, MODALITIES, **how),
        missing.lost_samples(ids, "TV", **how),
        missing.lost_steps(ids, "audio", 9, **how),
        missing.lost_block(ids, "audio", length, 20, **how),
        missing.normals(ids, "vision", (4, 2), seed=3),
    ]


def test_a_sample_loses_the_same_whichever_others_there_are():
    order = np.random.default_rng(0).permutation(len(IDS))[:50]
    for whole, part in zip(draws(IDS), draws(IDS[order]), strict=True):
        np.testing.assert_array_equal(part, whole[order])
    # Padding adds numbers behind, and changes none.
    wide = missing.lost_steps(IDS, "audio", 30, rate=0.4, seed=3)
    np.testing.assert_array_equal(wide[:, :9], missing.lost_steps(IDS, "audio", 9, rate=0.4, seed=3))


def test_what_is_lost_at_a_rate_is_lost_at_higher_ones():
    rates = (0.0, 0.2, 0.5, 0.9, 1.0)
    length = np.full(len(IDS), 12)
    for draw in (
        lambda rate: missing.lost_modalities(IDS, MODALITIES, rate=rate, seed=0),
        lambda rate: missing.lost_steps(IDS, "text", 12, rate=rate, seed=0),
        lambda rate: missing.lost_block(IDS, "text", length, 12, rate=rate, seed=0),
    ):
        lost = [draw(rate) for rate in rates]
        assert not lost[0].any()
        assert all((one <= other).all() for one, other in itertools.pairwise(lost))
        assert [one.mean() for one in lost] == sorted(one.mean() for one in lost)
    steps = missing.lost_steps(IDS, "text", 12, rate=0.2, seed=0)
    assert abs(steps.mean() - 0.2) < 0.01
    assert missing.lost_steps(IDS, "text", 12, rate=1.0, seed=0).all()


def test_no_sample_loses_all_modalities():
    for names in (MODALITIES, ("text", "audio")):
        lost = missing.lost_modalities(IDS, names, rate=1.0, seed=0)
        assert (lost.sum(1) == len(names) - 1).all()
        assert np.abs((~lost).mean(0) - 1 / len(names)).max() < 0.04
    few = missing.lost_modalities(IDS, MODALITIES, rate=0.1, seed=0)
    assert abs(few.mean() - 0.1) < 0.01
    pair = missing.lost_modalities(IDS, ("text", "vision"), rate=0.1, seed=0)
    both = few[:, 0] & few[:, 2] | pair.all(1)
    np.testing.assert_array_equal(pair[~both], few[~both][:, [0, 2]])


def test_of_what_a_sample_has_something_stays():
    has = np.array([[True, True, True], [False, True, True], [False, False, True], [False, False, False]])
    has = has[np.arange(len(IDS)) % 4]
    lost = missing.lost_modalities(IDS, MODALITIES, rate=1.0, seed=0, has=has)
    assert (lost.sum(1) == 2).all()
    assert (~lost & has).any(1)[has.any(1)].all()
    for rate in (0.0, 0.3, 1.0):
        whole = missing.lost_modalities(IDS, MODALITIES, rate=rate, seed=0)
        some = missing.lost_modalities(IDS, MODALITIES, rate=rate, seed=0, has=has)
        np.testing.assert_array_equal(some[has.all(1)], whole[has.all(1)])


def test_a_block_is_one_of_its_size_within_the_length():
    length = np.arange(len(IDS)) % 11
    lost = missing.lost_block(IDS, "audio", length, 15, rate=0.3, seed=1)
    np.testing.assert_array_equal(lost.sum(1), np.floor(0.3 * length + 0.5))
    assert not lost[np.arange(15) >= length[:, None]].any()
    assert (np.diff(np.pad(lost.astype(int), [(0, 0), (1, 1)])).clip(0).sum(1) <= 1).all()
    starts = lost[length == 10].argmax(1)
    assert set(starts) == set(range(8))


def test_noise_has_its_share_of_the_power():
    rng = np.random.default_rng(0)
    features = (rng.normal(3, 2, (400, 50, 2)) * [1, 100]).astype(np.float32)
    length = rng.integers(30, 51, 400)
    features *= (np.arange(50) < length[:, None])[..., None]
    noise = missing.normals(IDS[:400], "audio", (50, 2), seed=0)
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02
    for rate in (0.0, 0.3, 1.0):
        noisy = missing.with_noise(features, length, noise, rate=rate)
        assert noisy.dtype == np.float32
        assert not noisy[np.arange(50) >= length[:, None]].any()
        added = noisy - np.sqrt(1 - rate) * features
        ratio = (added**2).sum((0, 1)) / (features**2).sum((0, 1))
        np.testing.assert_allclose(ratio, rate, rtol=0.03, atol=1e-9)  # each feature on its own scale
        np.testing.assert_allclose((noisy**2).sum((0, 1)) / (features**2).sum((0, 1)), 1, rtol=0.03)
    np.testing.assert_array_equal(missing.with_noise(features, length, noise, rate=0.0), features)


@pytest.mark.parametrize(
    ("text", "language", "words", "again"),
    [
        ("a  b, c", "en", ["a", "b,", "c"], "a b, c"),
        ("我 很喜欢", "zh", ["我", "很", "喜", "欢"], "我很喜欢"),
        ("我用iPhone 6s 看 Avengers", "zh", ["我", "用", "iPhone", "6s", "看", "Avengers"], "我用iPhone 6s看Avengers"),
        ("8.5分, très bien です", "ja", ["8", ".", "5", "分", ",", "très", "bien", "で", "す"], "8.5分,très bienです"),
        ("", "zh", [], ""),
    ],
)
def test_words_and_the_text_that_they_make(text, language, words, again):
    assert words_of(text, language) == words
    assert text_of(words, language) == again
    assert words_of(again, language) == words


def test_misheard_words():
    words, vocabulary = [f"w{number}" for number in range(3000)], ["other"]
    assert missing.misheard("a", words, vocabulary, rate=0.0, seed=0) == words
    heard = missing.misheard("a", words, vocabulary, rate=0.3, seed=0)
    assert heard == missing.misheard("a", words, vocabulary, rate=0.3, seed=0)
    replaced = heard.count("other")
    dropped = len(words) - len(heard)
    place = {word: number for number, word in enumerate(heard)}
    swapped = sum(place.get(f"w{number + 1}", 10**6) < place.get(f"w{number}", -1) for number in range(2999))
    for count in (replaced, dropped, swapped):
        assert abs(count - 300) < 70
    assert len(set(heard)) == len(heard) - replaced + (replaced > 0)  # no word is said twice
    assert missing.misheard("a", [], vocabulary, rate=1.0, seed=0) == []


def test_protocols_by_name():
    assert find_protocol("tv") is PROTOCOLS["TV"]
    assert find_protocol("Steps") is PROTOCOLS["steps"]
    with pytest.raises(InputError, match="protocol 'x' is unknown; there are steps, blocks"):
        find_protocol("x")
    assert lost_of("TV", MODALITIES) == ("audio",)
    assert lost_of("A", ("text", "audio")) == ("text",)
    with pytest.raises(InputError, match="so nothing would be missing"):
        lost_of("TA", ("text", "audio"))
    with pytest.raises(InputError, match="so nothing would be left"):
        lost_of("V", ("text", "audio"))
    assert [letters(kept) for kept in subsets(MODALITIES)] == ["TAV", "T", "A", "V", "TA", "TV", "AV"]
