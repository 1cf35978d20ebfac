"""RAVEN: Recurrent Attended Variation Embedding Network. Approximate: it wants frames within words, see below.

Paper: Wang, Shen, Liu, Liang, Zadeh, Morency. Words Can Shift: Dynamically Adjusting Word Representations Using Nonverbal
Behaviors. AAAI 2019.
Reference code: github.com/victorywys/RAVEN (no licence); facts only, no line is taken from it.

The way of a batch. Each word i has a vector e_i, and frames of audio and vision that fall into its time. An LSTM reads the
projected frames of one word; its last state is h_m. Gates and a linear layer make of these states a shift of the word, at most
beta times as long as its vector (layers.adaptation_gate.NonverbalShift), and an LSTM reads the shifted words:

    g_m = sigmoid(w_m . [h_m; e_i] + b_m),    H = W [g_a h_a; g_v h_v] + b
    e'_i = e_i + min(beta ||e_i|| / ||H||, 1) H,    score = w . LSTM(drop(e'))_n

Loss: squared error.

What is approximate.
- One frame for each word: the files of this field hold one audio and one vision vector for each token, an average. An LSTM that
  starts with zeros and reads one frame is a gated layer, and so it is written here: h = sigmoid(o) tanh(sigmoid(i) tanh(c)).
  A frame of zeros stands for a word without frames, where h is 0 as in the code: that of an absent or a silent modality, and
  without `standardise` that of a word at which nothing was heard or seen.
- Word pieces instead of words.
- Text is BERT's states instead of GloVe vectors. BERT is not trained; `finetune_text` changes that.

Readings and deviations.
- In the code no gradient reaches the shift: projections, nonverbal LSTMs, gates and W stay as they were drawn, and one LSTM
  and the score are trained on words that were shifted at random (`detach_shift`). Its gates have no sigmoid (`linear_gate`),
  and its shift is beta ||e|| H / max(||H||, 1) (`loose_bound`). All three are options, on in the `reference` protocol. With
  `beta` 0 words do not shift. On `mosi_clean` the three do not differ (docs/results/mosi_clean.md, study raven.shift).
- beta is the code's 0.2; the paper's value is not known to us.
- The code normalises audio by a BatchNorm over word positions. Here features are standardised.
- It is never put into evaluation mode, so that dropout acts on test. Here it does not.
- It trains 500 epochs and takes the best on valid by absolute error, and for the correlation and for the accuracy each the
  epoch that is best on valid by that; here all come from one epoch, and by patience, it may end before (500 in
  `reference`). Batch, rate, dropout and sizes are its own. It leaves out utterances of no or more than 50 words; here text is
  cut to max_tokens.
- Sequences of their own lengths are averaged to the tokens of the text (`alignment`), or with "ctc" aligned as it learns.
- Absent modalities: their gate and their part of W are left out; with text alone an LSTM over words is left. Without text there
  is nothing to shift: an InputError.
"""

from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax import losses
from msa_jax.config import check_not_negative, check_rates, check_sizes
from msa_jax.encoders.lstm import LSTM
from msa_jax.errors import InputError
from msa_jax.layers.adaptation_gate import NonverbalShift
from msa_jax.layers.dense import Linear
from msa_jax.layers.dropout import Dropout
from msa_jax.methods.protocol import Batch, Inputs, Method, Step, Terms, one_stage
from msa_jax.methods.shared.aligned_sequences import (
    AlignedOptions,
    aligned_sequences,
    alignment_notes,
    alignment_terms,
    alignment_weights,
)
from msa_jax.methods.shared.groups import encoder_groups
from msa_jax.modalities import SEQUENCES

Array = jax.Array


@dataclass(frozen=True, kw_only=True)
class RavenOptions(AlignedOptions):
    """Options of RAVEN.

    Network:
      nonverbal: Width of a projected frame of audio or vision, and of the state that the gates read.
      hidden: Width of the LSTM over words.
      beta: Largest length of a shift, in lengths of the word vector that it moves.
      dropout: Dropout rate of frames and of shifted words.
    What the authors' code does:
      detach_shift: Whether no gradient reaches the shift, whose parameters then stay as they were drawn.
      linear_gate: Whether the gates have no sigmoid.
      loose_bound: Whether the bound of the shift acts only where the shift is longer than one.
    """

    batch_size: int = 20
    max_epochs: int = 500
    patience: int = 50
    standardise: Literal["none", "train"] = "train"
    nonverbal: int = 150
    hidden: int = 300
    beta: float = 0.2
    dropout: float = 0.2
    detach_shift: bool = False
    linear_gate: bool = False
    loose_bound: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "dropout")
        check_sizes(self, "nonverbal", "hidden")
        check_not_negative(self, "beta")


class FrameEncoder(nn.Module):
    """Frames [B, T, d] -> states [B, T, hidden] of an LSTM that starts anew at each of them; zeros where a frame is zeros."""

    hidden: int
    dropout: float | Array
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, frames: Array, *, train: bool) -> Array:
        there = (frames != 0).any(-1, keepdims=True)
        projected = Linear(self.hidden, self.dtype, name="projection")(Dropout(self.dropout)(frames, not train))
        i, c, o = jnp.split(Linear(3 * self.hidden, self.dtype, name="gates")(projected), 3, axis=-1)
        return jnp.where(there, nn.sigmoid(o) * jnp.tanh(nn.sigmoid(i) * jnp.tanh(c)), 0)


class RavenNetwork(nn.Module):
    """Frames, shifted words, LSTM, score. Outputs: `prediction` [B]; `representation` [B, hidden], the state at the last word;
    `shift` [B], the mean over the words of ||e' - e|| / ||e||."""

    options: RavenOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Array]:
        options = self.options
        sequences, length, learned = aligned_sequences(options, self.inputs, batch, self.dtype, train=train)
        words = sequences["text"]
        states = {
            name: FrameEncoder(options.nonverbal, options.dropout, self.dtype, name=f"{name}_encoder")(
                sequences[name], train=train
            )
            for name in SEQUENCES
            if name in sequences
        }
        shifted = words
        if states:
            rules = options.linear_gate, options.loose_bound, options.detach_shift
            shifted = NonverbalShift(options.beta, *rules, self.dtype, name="shift")(words, states)
        state = LSTM(options.hidden, self.dtype, name="lstm")(Dropout(options.dropout)(shifted, not train), length)
        score = Linear(1, jnp.float32, name="score")(state)[:, 0]
        return {
            "prediction": score,
            "representation": state.astype(jnp.float32),
            "shift": _mean_shift(words.astype(jnp.float32), shifted.astype(jnp.float32), length),
            **learned,
        }


def _mean_shift(words: Array, shifted: Array, length: Array) -> Array:
    """[B, T, D] twice, [B] -> [B], how far words were shifted in their own lengths; for people, without a gradient."""
    moved, size = (jnp.linalg.norm(jax.lax.stop_gradient(x), axis=-1) for x in (shifted - words, words))
    counts = jnp.arange(words.shape[1])[None, :] < length[:, None]
    return jnp.where(counts & (size > 0), moved / jnp.where(size > 0, size, 1), 0).sum(1) / jnp.maximum(length, 1)


def objective(step: Step, options: RavenOptions, inputs: Inputs) -> tuple[Terms, Any]:
    """Squared error on the human label, and the losses of a learned alignment."""
    multimodal = losses.l2(step.outputs["prediction"], step.batch["label"])
    return {"multimodal": multimodal, **alignment_terms(step, options, inputs)}, step.memory


def check(options: RavenOptions, inputs: Inputs) -> None:
    """There must be words to shift."""
    if inputs.text is None:
        raise InputError("method raven needs text, whose words it shifts, and the dataset has none")


METHOD = Method(
    name="raven",
    paper="Wang et al., AAAI 2019: Words Can Shift: Dynamically Adjusting Word Representations (approximate)",
    options=RavenOptions,
    reference={"patience": 500, "detach_shift": True, "linear_gate": True, "loose_bound": True},
    network=RavenNetwork,
    stages=one_stage(objective, weights=alignment_weights),
    groups=encoder_groups,
    exports=("representation", "shift"),
    check=check,
    needs_aligned=lambda options: options.alignment == "required",
    notes=alignment_notes,
)
