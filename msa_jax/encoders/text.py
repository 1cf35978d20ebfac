"""The text modality: a BERT over token ids, or features that were computed before."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.encoders.bert import Bert, BertConfig

Array = jax.Array
Adapt = Callable[[Array, Callable[[Array], Array]], Array]


class TextEncoder(nn.Module):
    """Hidden states of the tokens of each utterance.

    How the tokens arrive is no concern of a method: padded, `ids` [B, T] and `mask` [B, T]; packed, `ids`, `positions` and
    `segments` [P, W], `slot` [B, T] (where in the P * W slots each token lies) and `mask` [B, T]; or as `features`
    [B, T, D] with `mask`.

    tokens: give the states of all tokens. Without them the last layer computes the state of [CLS] alone, and `features` of
    one step, [B, 1, D], are enough, whatever the length of the mask.
    keep_padding: hidden states of padding tokens as a PyTorch BERT gives them, for methods whose authors' code reads them;
    there are none where text is packed.
    pooler: also give BERT's pooled [CLS].
    remat: of BERT.
    """

    config: BertConfig | None
    dtype: jnp.dtype = jnp.float32
    tokens: bool = True
    keep_padding: bool = False
    pooler: bool = False
    remat: bool = False

    @nn.compact
    def __call__(self, text: Mapping[str, Any], *, train: bool, adapt: Adapt | None = None) -> dict[str, Array]:
        """The states of a batch.

        Args:
          text: tokens or features, as above.
          train: whether dropout acts.
          adapt: changes what BERT's embedding block gives before its layers read it. It is called with those embeddings
            [P, W, D] (packed) or [B, T, D] (padded) and with a function that moves values of the batch's tokens, [B, T]
            or [B, T, d], into that layout, [P, W(, d)] or [B, T(, d)], with zeros where there is no token; it returns
            embeddings of the shape it was given.

        Returns:
          `first` [B, D], the state of [CLS]; `mask` [B, T] bool; with `tokens`, `hidden` [B, T, D], zero at padding unless
          kept; with a pooler, `pooled` [B, D] in (-1, 1), or `first` again where the features came without it.

        Raises:
          ValueError: `adapt` is given with features, which were computed before.
        """
        mask = text["mask"].astype(bool)
        if "features" in text:
            if adapt is not None:
                raise ValueError("precomputed states cannot be adapted; a method that adapts embeddings needs tokens")
            hidden = text["features"].astype(self.dtype)
            first = hidden[:, 0]
            pooled = text["pooled"].astype(self.dtype) if "pooled" in text else first
        else:
            bert = Bert(self.config, self.dtype, use_pooler=self.pooler, remat=self.remat, name="bert")
            hidden, first = self._encode(bert, text, mask, train, adapt)
            pooled = bert.pool(first) if self.pooler else None
        states = {"first": first, "mask": mask}
        if self.tokens:
            kept = self.keep_padding and "slot" not in text
            states["hidden"] = hidden if kept else hidden * mask[..., None]
        return {**states, "pooled": pooled} if self.pooler else states

    def _encode(
        self, bert: Bert, text: Mapping[str, Array], mask: Array, train: bool, adapt: Adapt | None
    ) -> tuple[Array | None, Array]:
        """States of all tokens [B, T, D], None unless wanted, and of the first ones [B, D]."""
        rows, steps = mask.shape
        slot = text.get("slot")
        segments = text["segments"] if slot is not None else mask.astype(jnp.int32)
        reads = self.keep_padding and slot is None
        # What lengthens ids writes zeros, which RoBERTa has for <s>.
        ids = jnp.where(mask, text["ids"], bert.config.pad_id) if reads else text["ids"]
        embedded = bert.embed(ids, positions=text.get("positions"), deterministic=not train)
        if adapt is not None:
            embedded = adapt(embedded, lambda values: _spread(values, mask, slot, segments.shape))
        encode = functools.partial(bert.encode, embedded, segments, not train, padding_reads=reads)
        if not self.tokens:
            return None, encode(at=jnp.arange(rows) * steps if slot is None else slot[:, 0])
        hidden = encode()
        if slot is not None:
            hidden = hidden.reshape(-1, hidden.shape[-1])[slot]
        return hidden, hidden[:, 0]


def _spread(values: Array, mask: Array, slot: Array | None, layout: tuple[int, int]) -> Array:
    """Values of tokens [B, T, ...] where BERT has these tokens, [*layout, ...]; zeros elsewhere."""
    if slot is None:
        return jnp.where(mask.reshape(mask.shape + (1,) * (values.ndim - 2)), values, jnp.zeros((), values.dtype))
    slots = layout[0] * layout[1]
    # Padding goes to slots beyond the last, each to its own, and is dropped.
    index = jnp.where(mask.reshape(-1), slot.reshape(-1), slots + jnp.arange(mask.size))
    empty = jnp.zeros((slots, *values.shape[2:]), values.dtype)
    moved = empty.at[index].set(values.reshape(-1, *values.shape[2:]), mode="drop", unique_indices=True)
    return moved.reshape(*layout, *values.shape[2:])


def states_as_features(states: Mapping[str, Array]) -> dict[str, Array]:
    """What a TextEncoder gives, in the form in which it takes precomputed features: then it gives the same again.

    Of states without `hidden`, those of an encoder with `tokens=False`, only [CLS] is kept: features of one step.
    """
    features = states["hidden"] if "hidden" in states else states["first"][:, None]
    kept = {"features": features, "mask": states["mask"].astype(jnp.int32)}
    return {**kept, "pooled": states["pooled"]} if "pooled" in states else kept
