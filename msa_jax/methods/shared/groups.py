"""The parameter groups that nearly all methods of this field share."""

from msa_jax.config import Options
from msa_jax.methods.protocol import Group


def text_groups(learning_rate: float, weight_decay: float) -> tuple[Group, Group]:
    """The text encoder, its biases and LayerNorms without weight decay."""
    return (
        Group(
            name="text_no_decay",
            pattern=r"^text_encoder/.*(bias|norm[^/]*/scale)$",
            learning_rate=learning_rate,
            weight_decay=0.0,
        ),
        Group(name="text", pattern=r"^text_encoder/", learning_rate=learning_rate, weight_decay=weight_decay),
    )


def encoder_groups(options: Options, *, decay_all: bool = False) -> tuple[Group, ...]:
    """Text encoder (its biases and LayerNorms without weight decay), audio encoder, vision encoder, everything else.

    decay_all: weight decay covers the biases and LayerNorms of the text encoder too.
    """
    rate, decay = options.learning_rate, options.weight_decay
    text = Group(name="text_all", pattern=r"^text_encoder/", learning_rate=rate.text, weight_decay=decay.text)
    return (
        *([text] if decay_all else []),
        *text_groups(rate.text, decay.text),
        Group(name="audio", pattern=r"^audio_encoder", learning_rate=rate.audio, weight_decay=decay.audio),
        Group(name="vision", pattern=r"^vision_encoder", learning_rate=rate.vision, weight_decay=decay.vision),
        Group(name="other", pattern=r"", learning_rate=rate.other, weight_decay=decay.other),
    )
