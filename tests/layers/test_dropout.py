import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.errors import InputError
from msa_jax.layers.dropout import Dropout, drop, mask_key, random_words

KEY = jax.random.key(3)


def _apply(rate, x, *, deterministic=False, key=KEY):
    return Dropout(rate).apply({}, x, deterministic, rngs={"dropout": key})


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.95])
def test_rate_is_honoured_and_the_mean_is_kept(rate):
    n = 1 << 20
    out = np.asarray(drop(KEY, jnp.full((1 << 10, 1 << 10), 3.0), rate))
    dropped = (out == 0).mean()
    assert abs(dropped - rate) < 5 * np.sqrt(rate * (1 - rate) / n)
    np.testing.assert_allclose(out[out != 0], 3 / (1 - rate), rtol=1e-6)
    assert abs(out.mean() - 3) < 5 * 3 * np.sqrt(rate / (1 - rate) / n)


def test_the_mean_is_kept_in_bfloat16():
    # One bfloat16 value is off by its rounding, up to 2^-9; over many values the roundings cancel, a biased scale not.
    x = jax.random.uniform(KEY, (1 << 20,), minval=1.0, maxval=2.0).astype(jnp.bfloat16)
    out = np.asarray(drop(KEY, x, 0.1), np.float64)
    kept = out != 0
    assert abs((out[kept] / np.asarray(x, np.float64)[kept]).mean() * 0.9 - 1) < 1e-4


def test_rate_zero_is_identity_and_needs_no_key():
    x = jnp.arange(6.0).reshape(2, 3)
    assert Dropout(0.0).apply({}, x, False) is x


def test_deterministic_is_identity_and_needs_no_key():
    x = jnp.arange(6.0).reshape(2, 3)
    assert Dropout(0.7).apply({}, x, True) is x


def test_keys_differ_and_the_same_key_repeats():
    x = jnp.ones((64, 64))
    first, again, other = (np.asarray(_apply(0.5, x, key=jax.random.key(k))) for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    agree = (first == other).mean()  # independent masks at rate 1/2 agree in half of the places
    assert abs(agree - 0.5) < 5 * 0.5 / 64


def test_modules_at_different_places_draw_different_masks():
    import flax.linen as nn

    class Two(nn.Module):
        def setup(self):
            self.first, self.second = Dropout(0.5), Dropout(0.5)

        def __call__(self, x):
            return self.first(x, False), self.second(x, False)

    first, second = Two().apply({}, jnp.ones((64, 64)), rngs={"dropout": KEY})
    assert abs((np.asarray(first) == np.asarray(second)).mean() - 0.5) < 5 * 0.5 / 64


@pytest.mark.parametrize("shift", [1, 2, 32, 1024, 4096])
def test_neighbouring_elements_are_uncorrelated(shift):
    words = np.asarray(random_words(KEY, (1 << 20,)))
    bits = (words < (1 << 32) * 0.1) - 0.1
    correlation = (bits[:-shift] * bits[shift:]).mean() / 0.09
    assert abs(correlation) < 5 / np.sqrt(len(bits))


def test_every_bit_of_the_words_is_fair():
    words = np.asarray(random_words(KEY, (1 << 18,)))
    ones = ((words[:, None] >> np.arange(32, dtype=np.uint32)) & 1).mean(0)
    np.testing.assert_allclose(ones, 0.5, atol=5 * 0.5 / np.sqrt(len(words)))


def test_the_words_of_a_byte_are_uniform():
    counts = np.bincount(np.asarray(random_words(KEY, (1 << 18,))) >> 24, minlength=256)
    expected = (1 << 18) / 256
    chi_square = ((counts - expected) ** 2 / expected).sum()  # mean 255, sd about 22.6
    assert 255 - 5 * 22.6 < chi_square < 255 + 5 * 22.6


def test_keys_of_a_batch_give_fair_and_independent_masks():
    """Across many keys, one element is dropped as often as the rate says: no element is favoured by its index."""
    keys = jax.random.split(KEY, 4096)
    dropped = np.asarray(jax.vmap(lambda key: drop(key, jnp.ones((4, 4)), 0.3))(keys) == 0)
    np.testing.assert_allclose(dropped.mean(0), 0.3, atol=5 * np.sqrt(0.21 / 4096))
    pair = np.corrcoef(dropped.reshape(4096, 16).T)[np.triu_indices(16, 1)]
    assert np.abs(pair).max() < 5 / np.sqrt(4096)


def test_keys_of_another_generator_give_fair_words_too():
    words = np.asarray(random_words(jax.random.key(0, impl="rbg"), (1 << 16,)))
    assert abs((words >= np.uint32(1 << 31)).mean() - 0.5) < 5 * 0.5 / np.sqrt(1 << 16)


def test_traced_rates_share_one_program_and_equal_the_constant_ones():
    x = jnp.ones((64, 48))

    @jax.jit
    def traced(rate):
        return _apply(rate, x)

    for rate in (0.25, 0.5):
        np.testing.assert_allclose(traced(jnp.float32(rate)), _apply(rate, x), rtol=1e-6)
    assert traced._cache_size() == 1
    np.testing.assert_array_equal(traced(jnp.float32(0.0)), x)
    assert np.isfinite(traced(jnp.float32(1.0))).all()


def test_vmap_over_runs_equals_one_run_at_a_time():
    keys, rates = jax.random.split(KEY, 3), jnp.array([0.1, 0.4, 0.8])
    x = jnp.ones((8, 6))
    together = jax.vmap(lambda key, rate: _apply(rate, x, key=key))(keys, rates)
    for run in range(3):
        np.testing.assert_array_equal(together[run], _apply(rates[run], x, key=keys[run]))


def test_gradient_is_the_mask_with_its_scale():
    x = jnp.full((32, 5), 2.0)
    gradient = jax.grad(lambda x: drop(KEY, x, 0.4).sum())(x)
    np.testing.assert_allclose(gradient, np.asarray(drop(KEY, x, 0.4)) / 2.0, rtol=1e-6)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan")])
def test_a_rate_outside_its_range_is_refused(rate):
    with pytest.raises(InputError, match="dropout rate"):
        _apply(rate, jnp.ones((2, 2)))


# Keys of masks


def _data_key(first, second):
    """The key of masks with these two words."""
    return jax.random.wrap_key_data(jnp.array([first, second], jnp.uint32), impl=jax.random.key_impl(mask_key(KEY)))


def _assert_unrelated(keys):
    """Words of any two of these keys share no more than chance: bits, low bytes, and masks of a small rate."""
    words = np.asarray(jax.jit(jax.vmap(lambda key: random_words(key, (4096,))))(keys))
    assert len({row.tobytes() for row in words}) == len(words)
    for bits in (words >> 31, words & 1, words < (1 << 32) * 0.1):
        rate = bits.mean(1)
        expected = 0.1 if bits.dtype == bool else 0.5
        np.testing.assert_allclose(rate, expected, atol=5.5 * np.sqrt(expected * (1 - expected) / 4096))
        correlation = np.corrcoef(bits.astype(np.float64))[np.triu_indices(len(keys), 1)]
        assert np.abs(correlation).max() < 6 / np.sqrt(4096)
        assert abs(correlation.mean()) < 5 / np.sqrt(4096 * len(correlation))
    # Not the same words at other places either, as a seed that is only added to the index would give them.
    first, second = words[0], words[1]
    assert len(np.intersect1d(first, second)) <= 2


def test_a_key_of_masks_is_made_once():
    key = mask_key(KEY)
    assert mask_key(key) is key
    assert jax.random.key_impl(key) == jax.random.key_impl(jax.random.fold_in(key, 3))
    np.testing.assert_array_equal(random_words(KEY, (5,)), random_words(key, (5,)))
    np.testing.assert_array_equal(random_words(key, (5,)), jax.random.bits(key, (5,)))
    old = jax.random.PRNGKey(3)  # the same key as an array of words
    np.testing.assert_array_equal(random_words(old, (5,)), random_words(KEY, (5,)))


@pytest.mark.parametrize(
    "keys",
    [
        lambda key: [jax.random.fold_in(key, number) for number in range(40)],
        lambda key: [jax.random.fold_in(key, 1 << bit) for bit in range(32)],
        lambda key: jax.random.split(key, 40),
        lambda key: [key, *jax.random.split(key, 3), *(jax.random.fold_in(key, number) for number in range(3))],
        lambda key: [jax.random.fold_in(jax.random.fold_in(key, a), b) for a in range(5) for b in range(5)],
        lambda key: [jax.random.split(jax.random.fold_in(key, a), 3)[b] for a in range(5) for b in range(3)],
        lambda _: [_data_key(a, b) for a in (0, 1, 2, 1 << 31) for b in (0, 1, 2, 1 << 31)],
        lambda _: [mask_key(jax.random.key(seed)) for seed in range(20)],
        lambda key: [jax.random.key(seed, impl=jax.random.key_impl(key)) for seed in range(20)],
    ],
    ids=["fold_in", "bits", "split", "relatives", "twice", "split of fold_in", "data", "seeds", "own seeds"],
)
def test_keys_that_differ_a_little_give_unrelated_words(keys):
    found = keys(mask_key(KEY))
    _assert_unrelated(found if isinstance(found, jax.Array) else jnp.stack(found))


def test_no_two_of_many_keys_are_the_same():
    key = mask_key(KEY)
    split = jax.random.split(key, (100, 200))
    folded = jax.vmap(lambda number: jax.random.fold_in(key, number))(jnp.arange(20000))
    data = np.concatenate([jax.random.key_data(keys).reshape(-1, 2) for keys in (split, folded)])
    assert len(np.unique(data, axis=0)) == 40000
    ones = ((data[..., None] >> np.arange(32, dtype=np.uint32)) & 1).mean(0)
    np.testing.assert_allclose(ones, 0.5, atol=5 * 0.5 / np.sqrt(40000))


def test_all_of_jax_random_takes_such_a_key():
    key = mask_key(KEY)
    uniform = np.asarray(jax.random.uniform(key, (1 << 16,)))
    assert abs(uniform.mean() - 0.5) < 5 / np.sqrt(12 * (1 << 16))
    assert sorted(jax.random.permutation(key, 9).tolist()) == list(range(9))
    for dtype in (jnp.uint8, jnp.uint16):
        bits = np.asarray(jax.random.bits(key, (1 << 16,), dtype))
        half = np.iinfo(bits.dtype).max / 2
        assert abs(bits.mean() / half - 1) < 5 / np.sqrt(3 * (1 << 16))


def test_keys_under_vmap_scan_and_jit_are_those_outside():
    keys = jax.random.split(mask_key(KEY), 3)

    def words(key):
        return random_words(jax.random.fold_in(jax.random.split(key)[1], 7), (5,))

    expected = np.stack([words(key) for key in keys])
    np.testing.assert_array_equal(jax.jit(jax.vmap(words))(keys), expected)
    np.testing.assert_array_equal(jax.lax.scan(lambda carry, key: (carry, words(key)), 0, keys)[1], expected)


def test_masks_of_modules_and_steps_are_independent_and_need_no_threefry():
    import flax.linen as nn

    class Three(nn.Module):
        @nn.compact
        def __call__(self, x):
            return jnp.stack([Dropout(0.3)(x, False) for _ in range(3)])

    def masks(key):
        return Three().apply({}, jnp.ones((64, 64)), rngs={"dropout": key}) == 0

    keys = jnp.stack([mask_key(jax.random.fold_in(KEY, step)) for step in range(4)])
    drawn = np.asarray(jax.vmap(masks)(keys)).reshape(12, -1)
    np.testing.assert_allclose(drawn.mean(1), 0.3, atol=5 * np.sqrt(0.21) / 64)
    assert np.abs(np.corrcoef(drawn)[np.triu_indices(12, 1)]).max() < 5 / 64
    program = jax.jit(masks).lower(keys[0]).as_text()
    assert "threefry" not in program
    assert "while" not in program
