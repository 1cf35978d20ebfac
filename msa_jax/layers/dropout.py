"""Dropout whose masks and keys cost next to nothing.

`jax.random.bernoulli` runs threefry, 20 rounds per word, as a loop of its own on CPU and as a separate kernel on GPU. A
dropout mask needs far less: here the word of element i is a hash of i under a seed drawn from the key, plain arithmetic
that the compiler fuses into the multiplication it serves. With MiniLM (10 rows of 64 tokens, 2 CPU cores) a forward and
backward pass takes 251 ms without dropout, 252 with these masks and 287 with those of `flax.linen.Dropout`.

Keys of threefry cost too: Flax folds the place of every module into the key, and each fold is a threefry loop in the
program. `mask_key` turns a key into one of a generator that folds and splits by the same hash. Give it to `apply`, as in
`rngs={"dropout": mask_key(key)}`, and no module runs threefry.
"""

import functools

import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from msa_jax.errors import InputError

Array = jax.Array

_WORDS = 2.0**32
_HIGHEST = _WORDS - 2.0**8  # the largest float32 below 2^32, so that a traced rate near 1 does not overflow

# What a key is asked for, so that the answers have nothing in common: fractional bits of the roots of 2, 3, 5 and 7.
_SEED, _FOLD, _SPLIT, _DRAW = (np.uint32(word) for word in (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A))


# Jitted, as the functions below: a program holds such a function once, however many modules call it.
@jax.jit
def _mix(word: Array) -> Array:
    # A bijection of 32-bit words in which every input bit flips every output bit with probability close to 1/2
    # (xor-shift and multiply with the "lowbias32" constants of Chris Wellons' hash-prospector, public domain).
    word = (word ^ (word >> 16)) * np.uint32(0x7FEB352D)
    word = (word ^ (word >> 15)) * np.uint32(0x846CA68B)
    return word ^ (word >> 16)


@jax.jit
def _derive(key: Array, words: Array, purpose: Array) -> Array:
    """A key [2], words [...] and a purpose [] -> keys [..., 2]. For each word and purpose it is a bijection of the key."""
    first = _mix(key[0] ^ _mix(words + purpose))
    return jnp.stack([first, _mix((key[1] + purpose) ^ first)], axis=-1)


def _seed(seed: Array) -> Array:
    """A whole number [] -> a key [2]."""
    low = _derive(jnp.zeros(2, jnp.uint32), seed.astype(jnp.uint32), _SEED)
    high = seed >> 32 if seed.dtype.itemsize == 8 else jnp.zeros((), jnp.uint32)
    return _derive(low, high.astype(jnp.uint32), _SEED)


def _fold_in(key: Array, number: Array) -> Array:
    """A key [2] and a whole number [] -> a key [2]."""
    return _derive(key, number.astype(jnp.uint32), _FOLD)


def _split(key: Array, shape: tuple[int, ...]) -> Array:
    """A key [2] -> keys [*shape, 2]."""
    return _derive(key, _index(shape), _SPLIT)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _random_bits(key: Array, width: int, shape: tuple[int, ...]) -> Array:
    """A key [2] -> [*shape] of unsigned integers of this width in bits."""
    if width == 64:
        high, low = (_random_bits(half, 32, shape).astype(jnp.uint64) for half in _split(key, (2,)))
        return high << 32 | low
    # Behind the barrier the arithmetic of keys stays out of the kernels of masks, which so are the same for all masks.
    seeds = jax.lax.optimization_barrier(_derive(key, jnp.zeros((), jnp.uint32), _DRAW))
    words = _mix(_mix(_index(shape) ^ seeds[0]) ^ seeds[1])
    return words if width == 32 else (words >> (32 - width)).astype(f"uint{width}")


def _index(shape: tuple[int, ...]) -> Array:
    """The place of each element in the array, [*shape] uint32, modulo 2^32."""
    index, stride = jnp.zeros(shape, jnp.uint32), 1
    for axis in reversed(range(len(shape))):
        along = jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
        index = along if stride == 1 else index + along * np.uint32(stride % (1 << 32))
        stride *= shape[axis]
    return index


_HASH = jax.extend.random.define_prng_impl(
    key_shape=(2,),
    seed=_seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,  # pyright: ignore[reportArgumentType] - its number is traced
    name="hash",
    tag="hash",
)


def mask_key(key: Array) -> Array:
    """The same key for the generator of masks: folding and splitting it are a few operations each, without a loop.

    Args:
      key: one key of any generator.

    Returns:
      A key for `drop`, `random_words` and all of `jax.random`; the given one where it is such a key already. Not for
      anything that must resist an adversary.
    """
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and jax.random.key_impl(key) == _HASH:
        return key
    return jax.random.wrap_key_data(jax.random.bits(key, (2,), jnp.uint32), impl=_HASH)


def random_words(key: Array, shape: tuple[int, ...]) -> Array:
    """Words of 32 random bits, [*shape] uint32, a function of the key and of each element's index alone.

    So a draw is the same on every backend and however the array is sharded, and costs no communication. For masks, not
    for anything that must resist an adversary. Within one draw words repeat only beyond 2^32 elements.
    """
    return jax.random.bits(mask_key(key), shape, jnp.uint32)


def drop(key: Array, x: Array, rate: float | Array) -> Array:
    """`x` with each element set to 0 with probability `rate` and the others divided by the probability of staying.

    The rate is rounded to a multiple of 2^-32 (a traced float32 rate: 2^-24 relative) and the scale is that of the
    rounded rate, so the expectation of the result is `x`.

    Args:
      key: one key.
      x: [...] floating.
      rate: in [0, 1); a number or a traced scalar.

    Returns:
      [...], the dtype of `x`.

    Source: Srivastava et al. 2014, Dropout: a simple way to prevent neural networks from overfitting.
    """
    numeric = np if isinstance(rate, (int, float)) else jnp
    threshold = numeric.clip(numeric.round(rate * _WORDS), 0.0, _HIGHEST)
    kept = random_words(key, x.shape) >= threshold.astype(np.uint32)
    # The scale in float32 whatever the dtype of x: 1 / 0.9 rounded to bfloat16 alone would bias the mean by 0.15 %.
    scale = (1.0 / (1.0 - threshold / _WORDS)).astype(np.float32)
    return jnp.where(kept, (x * scale).astype(x.dtype), jnp.zeros((), x.dtype))


class Dropout(nn.Module):
    """Inverted dropout under the "dropout" random collection; see `drop`.

    Attributes:
      rate: the probability of dropping an element, in [0, 1). A traced scalar is allowed, so that runs with different
        rates share one compiled program.

    Raises:
      InputError: a rate (not traced) outside [0, 1).
    """

    rate: float | Array

    @nn.compact
    def __call__(self, x: Array, deterministic: bool) -> Array:
        """x [...] -> [...]; `x` itself, and no key asked for, when deterministic or when the rate is the number 0."""
        if isinstance(self.rate, (int, float)):
            if not 0 <= self.rate < 1:
                raise InputError(f"dropout rate is {self.rate}; expected a number in [0, 1)")
            if self.rate == 0:
                return x
        if deterministic:
            return x
        return drop(self.make_rng("dropout"), x, self.rate)
