"""A mini-batch twice, complete and with steps silenced: what methods that are made for missing data train on (LNLN, TFR-Net).

What is silenced is data, not padding: frames become zeros, tokens [UNK], and lengths stay. The first and the last token, [CLS]
and [SEP], are never silenced; of a text that is precomputed features all steps can be.
"""

from collections.abc import Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp

from msa_jax.errors import InputError
from msa_jax.layers.dropout import mask_key
from msa_jax.layers.pooling import valid_steps
from msa_jax.methods.protocol import Batch, Inputs
from msa_jax.modalities import MODALITIES

Array = jax.Array

FIXED_SEED = 1111


def check_has_unknown(options: Any, inputs: Inputs) -> None:
    """For `check` of methods that silence tokens.

    Raises:
      InputError: the text is ids, and which of them is [UNK] is not known.
    """
    if inputs.text is not None and inputs.text.bert is not None and inputs.text.unknown is None:
        raise InputError(
            "this method turns tokens of training samples into [UNK], and the tokenizer has none; a dataset with raw_text "
            "and an encoder with a tokenizer have one"
        )


def sample_keys(batch: Batch, key: Array | None) -> Array:
    """[B] keys, from which what each sample loses is drawn: from a key of the step and the samples' places in the batch, or
    without a key the same for a training sample in every step and every run."""
    samples = batch["row"] if key is None else jnp.arange(len(batch["row"]))
    first = mask_key(jax.random.key(FIXED_SEED) if key is None else key)
    return jax.vmap(lambda sample: jax.random.fold_in(first, sample))(samples)


def draw(keys: Array, stream: int, count: int) -> Array:
    """Numbers in [0, 1) of samples, [B, count], the first ones of a stream that each of the keys [B] has."""
    return jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, stream), (count,)))(keys)


def has_words(text: Mapping[str, Any], inputs: Inputs) -> Array:
    """Whether there is something to lose in each text, packed or not.

    Returns:
      [B] bool: between the first and the last token stands one that is not [UNK]; of features, a step is not zeros.
    """
    length, steps = text["mask"].sum(1), text["mask"].shape[1]
    if "ids" not in text:
        return (valid_steps(length, steps) & (text["features"] != 0)).any((1, 2))
    ids = text["ids"].reshape(-1)[text["slot"]] if "slot" in text else text["ids"]
    inner = valid_steps(length - 1, steps)[..., 0] & (jnp.arange(steps)[None, :] > 0)
    return (inner & (ids != _unknown(inputs))).any(1)


def with_silenced_copy(
    batch: Batch, keys: Array, rates: Mapping[str, Array | float], inputs: Inputs
) -> tuple[Batch, dict[str, Array]]:
    """The samples, and behind them the same ones with steps lost. What a sample loses depends on its key and its rates alone,
    not on padding or on other samples.

    Args:
      batch: of B samples; its text packed or not.
      keys: [B], of `sample_keys`. The streams 0 to 2 are drawn.
      rates: {modality: [B] or a number} in [0, 1], the probability that a step is lost.
      inputs: of the network; they know the id of [UNK].

    Returns:
      The modalities of 2 B samples, without labels; and {modality: [B, L] bool}, the steps that the second half lost.
    """
    copies: dict[str, Any] = {}
    lost: dict[str, Array] = {}
    for place, name in enumerate(MODALITIES):
        if name not in batch:
            continue
        content = cast(dict[str, Array], dict(batch[name]))
        steps = content["mask"].shape[1] if name == "text" else content["features"].shape[1]
        length = content["mask"].sum(1) if name == "text" else content["length"]
        drawn = draw(keys, place, steps) < jnp.reshape(rates[name], (-1, 1))
        first, last = (1, length - 1) if "ids" in content else (0, length)
        inside = valid_steps(last, steps)[..., 0] & (jnp.arange(steps)[None, :] >= first)
        lost[name] = drawn & inside
        copies[name] = _with_copy(content, lost[name], inputs)
    return cast(Batch, copies), lost


def _with_copy(content: Mapping[str, Array], lost: Array, inputs: Inputs) -> dict[str, Array]:
    """One modality, and behind its samples those without the steps that are lost."""
    if "slot" in content:
        return _packed_with_copy(content, lost, _unknown(inputs))
    if "ids" in content:
        other = {"ids": jnp.where(lost, _unknown(inputs), content["ids"])}
    else:
        other = {"features": jnp.where(lost[..., None], 0, content["features"])}
    return {field: jnp.concatenate([value, other.get(field, value)]) for field, value in content.items()}


def _packed_with_copy(content: Mapping[str, Array], lost: Array, unknown: int) -> dict[str, Array]:
    """Packed text. Each row of a copy lies behind its own row, not behind all: how many rows there are hangs on how many
    devices share them, and dropout on where a row lies."""
    rows, width = content["ids"].shape
    target = jnp.where(lost, content["slot"], content["ids"].size)  # beyond the last slot, where it is dropped
    ids = content["ids"].reshape(-1).at[target.reshape(-1)].set(unknown, mode="drop").reshape(rows, width)
    packed = {name: content[name] for name in ("ids", "positions", "segments")}
    by_turns = {
        name: jnp.stack([value, ids if name == "ids" else value], axis=1).reshape(2 * rows, width)
        for name, value in packed.items()
    }
    slot = content["slot"] + content["slot"] // width * width
    of_samples = {name: jnp.concatenate([value, value]) for name, value in content.items() if name not in packed}
    return {**of_samples, **by_turns, "slot": jnp.concatenate([slot, slot + width])}


def _unknown(inputs: Inputs) -> int:
    unknown = inputs.text and inputs.text.unknown
    assert unknown is not None, "check_has_unknown was not asked"
    return unknown
