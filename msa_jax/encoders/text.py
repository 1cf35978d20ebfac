"""The text modality: a BERT over token ids, or features that were computed before."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.encoders.bert import Bert, BertConfig

Array = jax.Array


class TextEncoder(nn.Module):
    """Hidden states of the tokens of each utterance.

    How the tokens arrive is no concern of a method: padded, `ids` [B, T] and `mask` [B, T]; packed, `ids`, `positions` and
    `segments` [P, W], `slot` [B, T] (where in the P * W slots each token lies) and `mask` [B, T]; or as `features`
    [B, T, D] with `mask`.

    keep_padding: hidden states of padding tokens as a PyTorch BERT gives them, for methods whose authors' code reads them;
    there are none where text is packed.
    pooler: also give BERT's pooled [CLS].
    remat: of BERT.
    """

    config: BertConfig | int
    dtype: jnp.dtype = jnp.float32
    keep_padding: bool = False
    pooler: bool = False
    remat: bool = False

    @nn.compact
    def __call__(self, text: Mapping[str, Array], *, train: bool) -> dict[str, Array]:
        """Returns `hidden` [B, T, D], zero at padding unless kept; `first` [B, D], the state of [CLS]; `mask` [B, T] bool;
        with a pooler, `pooled` [B, D] in (-1, 1), or `first` again where the features came without it."""
        mask = text["mask"].astype(bool)
        if "features" in text:
            hidden = text["features"].astype(self.dtype)
            first = hidden[:, 0]
            pooled = text["pooled"].astype(self.dtype) if "pooled" in text else first
        else:
            bert = Bert(self.config, self.dtype, use_pooler=self.pooler, remat=self.remat, name="bert")
            if "slot" in text:
                given = {"segments": text["segments"], "positions": text["positions"], "at": text["slot"][:, 0]}
            else:
                rows, steps = mask.shape
                given = {
                    "segments": mask.astype(jnp.int32),
                    "padding_reads": self.keep_padding,
                    "at": jnp.arange(rows) * steps,
                }
            states = bert(text["ids"], **given, deterministic=not train)
            hidden, first = states["hidden"], states["states"]
            if "slot" in text:
                hidden = hidden.reshape(-1, hidden.shape[-1])[text["slot"]]
            pooled = bert.pool(first) if self.pooler else None
        # [CLS] is taken on its own: where a method needs no other state, the last layer is computed for it alone.
        kept = hidden if self.keep_padding and "slot" not in text else hidden * mask[..., None]
        states = {"hidden": kept, "first": first, "mask": mask}
        return {**states, "pooled": pooled} if self.pooler else states


def states_as_features(states: Mapping[str, Array]) -> dict[str, Array]:
    """What a TextEncoder gives, in the form in which it takes precomputed features: then it gives the same again."""
    kept = {"features": states["hidden"], "mask": states["mask"].astype(jnp.int32)}
    return {**kept, "pooled": states["pooled"]} if "pooled" in states else kept
