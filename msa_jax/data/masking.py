"""Taking modalities and steps out of a batch, on the device: in training, and where many masks are scored side by side.

Two things that are not the same, and that a method may tell apart:

absent   masked out: no frame (length 0), and of a text the first and the last token alone, [CLS] and [SEP].
silent   data that say nothing: frames of zeros, as many as there were, and [UNK] for every token but the first and the last.

On aligned data, where a method takes it that there are as many frames as tokens, what is absent is silent.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from msa_jax.modalities import MODALITIES

Array = jax.Array


class Tokens(NamedTuple):
    """Ids, int32 scalars. unknown: of [UNK]. padding: of what stands behind a text."""

    unknown: Any
    padding: Any


NO_TOKENS = Tokens(-1, 0)


class Missing(NamedTuple):
    """What B samples lose. absent: {modality: [B] bool}. silent: {modality: [B, L] bool}, steps. Either may be empty.

    tokens: of [UNK] and of padding; of no meaning where the text is features.
    """

    absent: Mapping[str, Array]
    silent: Mapping[str, Array]
    tokens: Tokens


def length_of(content: Mapping[str, Any]) -> Any:
    """How many steps of each sample of a modality there are [N]: tokens, where it has a mask of them, or frames."""
    return content["mask"].sum(1) if "mask" in content else content["length"]


def steps_of(content: Mapping[str, Any]) -> int:
    """How many steps the arrays of a modality have, padding included."""
    return content["mask" if "mask" in content else "features"].shape[1]


def without(batch: Mapping[str, Any], missing: Missing, *, aligned: bool) -> dict[str, Any]:
    """The batch, its text not packed, without what is missing.

    Args:
      batch: as in `methods.protocol.Batch`. A modality that it lacks may be named and is lacking still.
      aligned: the modalities share one time axis.
    """
    taken = dict(batch)
    for name in MODALITIES:
        if name not in taken:
            continue
        absent, silent = missing.absent.get(name), missing.silent.get(name)
        if absent is not None and aligned:
            whole = absent[:, None]
            silent, absent = whole if silent is None else silent | whole, None
        if silent is not None:
            taken[name] = _silent(taken[name], silent, missing.tokens)
        if absent is not None:
            taken[name] = _absent(name, taken[name], absent, missing.tokens)
    return taken


def draw_missing(
    batch: Mapping[str, Any],
    key: Array,
    *,
    modality_rate: float,
    step_rate: float,
    tokens: Tokens,
    aligned: bool = False,
) -> Missing:
    """What the samples of a mini-batch lose in training.

    Args:
      batch: its text not packed.
      key: of this draw.
      modality_rate: the probability that a modality is absent; of a sample that would lose all that it has, one stays.
      step_rate: the probability that a step is silent.
      tokens: as in `Missing`. aligned: as in `without`.
    """
    names = [name for name in MODALITIES if name in batch]
    of_modalities, *of_steps = jax.random.split(key, 1 + len(names))
    rows = len(batch["weight"])
    absent: dict[str, Array] = {}
    silent: dict[str, Array] = {}
    if modality_rate > 0 and len(names) > 1:
        drawn = jax.random.uniform(of_modalities, (rows, len(names)))
        has = jnp.stack([_is_there(batch[name], tokens, aligned=aligned) for name in names], axis=1)
        stays = jnp.where(has, drawn, -1.0).argmax(1, keepdims=True)
        lost = (drawn < modality_rate) & (jnp.arange(len(names))[None, :] != stays)
        absent = {name: lost[:, place] for place, name in enumerate(names)}
    if step_rate > 0:
        for name, own in zip(names, of_steps, strict=True):
            silent[name] = jax.random.bernoulli(own, step_rate, (rows, steps_of(batch[name])))
    return Missing(absent, silent, tokens)


def _is_there(content: Mapping[str, Array], tokens: Tokens, *, aligned: bool) -> Array:
    """[B] bool: a frame, a step of text features that is not zeros, or of a text a token between the first and the last; on
    aligned data, where what is absent is silent, no frame of zeros and no [UNK]. Content as it is before text is packed."""
    length, count = length_of(content), steps_of(content)
    if "ids" not in content:
        there = length > 0
        if not aligned and "length" in content:
            return there
        inside = jnp.arange(count)[None, :] < length[:, None]
        return there & (inside[..., None] & (content["features"] != 0)).any((1, 2))
    if not aligned:
        return length > 2
    step = jnp.arange(count)[None, :]
    return ((step > 0) & (step < length[:, None] - 1) & (content["ids"] != tokens.unknown)).any(1)


def _silent(content: Mapping[str, Array], silent: Array, tokens: Tokens) -> dict[str, Array]:
    if "ids" in content:
        steps = content["ids"].shape[1]
        count = content["mask"].sum(1, keepdims=True)
        step = jnp.arange(steps)[None, :]
        inner = (step > 0) & (step < count - 1)
        return {**content, "ids": jnp.where(silent & inner, tokens.unknown, content["ids"])}
    return {**content, "features": jnp.where(silent[..., None], 0, content["features"])}


def _absent(name: str, content: Mapping[str, Array], absent: Array, tokens: Tokens) -> dict[str, Array]:
    if name != "text":
        features = jnp.where(absent[:, None, None], 0, content["features"])
        return {**content, "features": features, "length": jnp.where(absent, 0, content["length"])}
    mask = content["mask"]
    step = jnp.arange(mask.shape[1])[None, :]
    if "ids" not in content:  # features have no first and last token: one step that says nothing
        features = jnp.where(absent[:, None, None], 0, content["features"])
        return {**content, "features": features, "mask": jnp.where(absent[:, None] & (step > 0), 0, mask)}
    last = jnp.maximum(mask.sum(1, keepdims=True) - 1, 0)
    end = jnp.take_along_axis(content["ids"], last, axis=1)
    # Padding is blank too: some methods read what BERT makes of it, as their authors' code does.
    framed = jnp.where(step == 0, content["ids"], jnp.where(step == 1, end, tokens.padding))
    ids = jnp.where(absent[:, None], framed, content["ids"])
    return {**content, "ids": ids, "mask": jnp.where(absent[:, None] & (step > 1), 0, mask)}
