"""Global dynamic weight generation (GDWG): loss terms that fall slowly get more weight.

Paper: DMMSA, section 3.3, eq. 13-14. The ratio of a term's loss to its first one (eq. 13) says how much of it is left; a
softmax over the terms turns ratios into weights (eq. 14). The ratio is that of loss-balanced task weighting (Liu, Liang,
Gitter 2019), the softmax that of dynamic weight average.

How the paper is read where it is silent:
- A stage is an epoch, its loss L_k(t) the mean of the epoch, before any weight.
- The weights of epoch t come from epoch t - 1. Epoch 1 has nothing to go by, and epoch 2 nothing but the ratio 1 of
  every term: their weights are equal.
- The weights sum to 1 as eq. 14 says. `scale` multiplies them; the number of terms gives weights around 1, as dynamic
  weight average has them.
- tau is not given; 1 is usual here, 2 in dynamic weight average. A smaller one sets the terms further apart.

Guards. A term whose first loss is not positive has no ratio and takes part with 1, as if it had not moved; so does one whose
ratio is not a number. An infinite ratio counts as the largest there is. No gradient flows through a weight.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from msa_jax.losses.similarity import check_positive

Array = jax.Array


class History(NamedTuple):
    """What eq. 13 needs of the past, for a training state: its size does not grow with the epochs.

    first: for each term, float32, L_k(1), the mean of the first epoch. last: of the epoch that ended last.
    epochs: int32, how many have ended.
    """

    first: dict[str, Array]
    last: dict[str, Array]
    epochs: Array


def init(terms: Iterable[str]) -> History:
    """The history before the first epoch.

    Args:
      terms: names of the loss terms that share the weight, those of J in eq. 14.
    """
    terms = tuple(terms)
    nothing = lambda: {term: jnp.zeros((), jnp.float32) for term in terms}  # noqa: E731
    return History(first=nothing(), last=nothing(), epochs=jnp.zeros((), jnp.int32))


def update(history: History, means: Mapping[str, Array | float]) -> History:
    """The history after one more epoch.

    Args:
      history: the history.
      means: for every term of the history, a scalar: its unweighted mean over the epoch. Other terms are ignored.

    Raises:
      ValueError: a term is missing. AssertionError: a mean is no scalar.
    """
    missing = sorted(history.first.keys() - means.keys())
    if missing:
        raise ValueError(f"means of {sorted(means)} lack {', '.join(missing)}")
    last = {term: jax.lax.stop_gradient(jnp.asarray(means[term], jnp.float32)) for term in history.first}
    for value in last.values():
        chex.assert_rank(value, 0)
    first = {term: jnp.where(history.epochs == 0, last[term], value) for term, value in history.first.items()}
    return History(first=first, last=last, epochs=history.epochs + 1)


def weights(
    history: History | Mapping[str, Array | Sequence[float]],
    *,
    temperature: Array | float,
    scale: Array | float = 1.0,
    epochs: Array | int | None = None,
) -> dict[str, Array]:
    """The weights of the epoch that comes next (eq. 13-14).

    Args:
      history: of the epochs that have ended: a History, or for each term its epoch means, [E], oldest first.
      temperature: tau > 0, a number or a traced scalar.
      scale: > 0, what the weights sum to.
      epochs: how many entries of [E] count; may be traced, for a table that is filled as training goes on. All where None.
        A History knows it.

    Returns:
      {term: float32 scalar}, in [0, scale], of sum `scale`; equal before the second epoch has ended. Never NaN.

    Raises:
      AssertionError: terms with different numbers of epochs, or not [E]. ValueError: `epochs` beside a History.
      InputError: temperature or scale is not positive.
    """
    check_positive("temperature", temperature)
    check_positive("scale", scale)
    if isinstance(history, History):
        if epochs is not None:
            raise ValueError("epochs is for a table of means; a History counts its own")
    else:
        history = _ends(history, epochs)
    if not history.first:
        return {}
    first, last = (jnp.stack([values[term] for term in history.first]) for values in (history.first, history.last))
    known = first > 0  # not before the first epoch has ended; after it, first and last are the same and the ratio is 1
    ratio = jnp.where(known, last / jnp.where(known, first, 1.0), 1.0)  # [J], w_k of eq. 13
    ratio = jnp.nan_to_num(ratio, nan=1.0)  # infinite becomes the largest there is
    # Differences first: a small temperature may carry them to minus infinity, where the exponential is 0, but not beyond.
    share = jnp.exp((ratio - ratio.max()) / temperature)
    shares = jax.lax.stop_gradient(scale * (share / share.sum()))  # eq. 14
    return {term: shares[index] for index, term in enumerate(history.first)}


def _ends(table: Mapping[str, Array | Sequence[float]], epochs: Array | int | None) -> History:
    """{term: [E]} -> its first and last means, as far as `epochs` goes."""
    means = {term: jnp.asarray(values, jnp.float32) for term, values in table.items()}
    for values in means.values():
        chex.assert_rank(values, 1)
    if not means:
        return init(())
    chex.assert_equal_shape(list(means.values()))
    length = next(iter(means.values())).shape[0]
    if length == 0:
        return init(means)
    epochs = jnp.minimum(jnp.asarray(length if epochs is None else epochs, jnp.int32), length)
    newest = jnp.maximum(epochs - 1, 0)
    return History(
        first={term: values[0] for term, values in means.items()},
        last={term: values[newest] for term, values in means.items()},
        epochs=epochs,
    )
