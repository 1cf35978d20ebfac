"""MCTN: Multimodal Cyclic Translation Network.

Paper: Pham, Liang, Manzini, Morency, Poczos. Found in Translation: Learning Robust Joint Representations by Cyclic
Translations Between Modalities. AAAI 2019.
Reference code: github.com/hainow/MCTN (GPL); facts only, no line is taken from it. The port in thuiar/MMSA recurs over the
samples of a batch instead of their steps, so that scores hang on the order of the batch; it is not followed.

The way of a batch. Text x_t, vision x_v and audio x_a come onto one time axis, that of the text's tokens. An encoder, a
bidirectional LSTM whose directions are added, reads the text, and a decoder writes the vision out of its states. The same two
translate that back. A second pair translates the states into the audio:

    J = E(x_t),    x^_v = D(J),    x^_t = D(E(x^_v)),    J' = E'(J),    x^_a = D'(J')
    h = LSTM(J'),    score = w . sum over steps i of softmax_i(tanh(u . h_i)) h_i
    L = |score - y| + lambda_1 (x^_v - x_v)^2 + lambda_2 (x^_t - x_t)^2 + lambda_3 (x^_a - x_a)^2

The score is read off states of the text alone. Audio and vision are what these states learn from: where scores are computed,
they change nothing.

Readings and deviations.
- Decoders read by attention and are not fed what they wrote, nor, in training, what they should have written, as in the code.
  Its attention is linear in the states and the decoder's cell, so that the softmax cancels the cell and all steps read one and
  the same mean (`linear_attention`); here there is a tanh between (encoders.sequence_decoder).
- The code computes the forget gate of its decoders from the columns of the input gate (`tied_gates`) and bounds by tanh what
  they write, which features outside (-1, 1) cannot meet (`bounded`).
- E and D serve both directions, so all features get the width of the widest by zeros. The code scores these zeros and
  feeds back what is written in their place (`score_widest`); here they stay zeros.
- The code walks and scores padding (`padding`). These five are options, on in the `reference` protocol, as is its selection
  by the whole loss on valid (the code's has the norm of w in it). The code stops and saves weights by that loss, but predicts
  with those that the last epoch left. Its cells have Keras' hard sigmoid; ours have the logistic one. Its encoders carry
  tanh(c) from step to step in the place of the cell c; ours carry c.
- Matrices and biases start as PyTorch's do. The code has those of Keras: matrices of the input by Glorot's uniform bound,
  recurrent ones orthogonal in encoders and reader, by Glorot's bound in decoders; biases at 0, the reader's forget gate at 1.
- Features are standardised; the code divides vision by its largest value.
- Text is BERT's states instead of GloVe vectors, and max_tokens word pieces instead of 20 words (20 in `reference`).
- The squared L2 norm of w in the code's loss, times 0.01, is a weight decay of 0.02 (`score_decay`).
- What is written again is given: no gradient flows into it, also where the text encoder is trained. A sample that lacks a
  modality does not count in the loss of its translation, so that MCTN does not learn to write zeros.
- Sequences of their own lengths are averaged to the tokens of the text (`alignment`). With "ctc" the alignment is learned, from
  its own loss alone, since no gradient flows into what is written again.
- Absent modalities: `order` without them. With two, the score is read off J, as in the paper; with one nothing is translated.
  The first of the order, text unless it is set otherwise, must be there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax import losses
from msa_jax.config import PerGroup, check_not_negative, check_sizes
from msa_jax.encoders.lstm import LSTM, BidirectionalLSTM
from msa_jax.encoders.sequence_decoder import AttentionDecoder
from msa_jax.errors import InputError
from msa_jax.layers.dense import Linear
from msa_jax.layers.pooling import valid_steps, without_padding
from msa_jax.methods.protocol import Batch, Clock, Group, Inputs, Method, Step, Terms, one_stage
from msa_jax.methods.shared.aligned_sequences import (
    AlignedOptions,
    aligned_sequences,
    alignment_notes,
    alignment_terms,
    alignment_weights,
    check_alignment,
    rewriting_error,
)
from msa_jax.methods.shared.groups import encoder_groups
from msa_jax.modalities import MODALITIES

Array = jax.Array


@dataclass(frozen=True, kw_only=True)
class TranslationWeights:
    """Weights of the losses of the translations.

    Translations:
      translation: The first translation.
      cycle: The way back.
      translation_2: The second translation.
    """

    translation: float = 0.1
    cycle: float = 0.1
    translation_2: float = 0.1


@dataclass(frozen=True, kw_only=True)
class MCTNOptions(AlignedOptions):
    """Options of MCTN.

    Network:
      order: Modality that is read, the one that it is translated into first, and the one that comes second.
      hidden: Width of all LSTMs.
      weights: Weight of the loss of a translation.
      score_decay: Weight decay of the vector w that gives the score, as `weight_decay_mode` says.
    What the authors' code does:
      linear_attention: Whether the decoders' attention is linear, so that all steps read the same mean.
      tied_gates: Whether the forget gate of a decoder is computed from the columns of its input gate.
      bounded: Whether tanh bounds what a decoder writes.
      score_widest: Whether the zeros that widen narrower features are part of the loss and are fed back.
    """

    max_epochs: int = 200
    patience: int = 20
    weight_decay_mode: Literal["decoupled", "coupled"] = "coupled"
    standardise: Literal["none", "train"] = "train"
    learning_rate: PerGroup = PerGroup(text=5e-5, audio=1e-4, vision=1e-4, other=1e-4)
    order: tuple[str, ...] = ("text", "vision", "audio")
    hidden: int = 32
    weights: TranslationWeights = TranslationWeights()
    score_decay: float = 0.02
    linear_attention: bool = False
    tied_gates: bool = False
    bounded: bool = False
    score_widest: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self, "hidden")
        if not self.order or not set(self.order) <= set(MODALITIES) or len(set(self.order)) < len(self.order):
            raise InputError(
                f"option order is {','.join(self.order)}; expected different ones of {', '.join(MODALITIES)}"
            )
        check_not_negative(self, "weights", "score_decay")


class Encoder(nn.Module):
    """A bidirectional LSTM whose directions are added: [B, T, d], [B] int32 -> [B, T, hidden], zeros at padding."""

    hidden: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, sequence: Array, length: Array) -> Array:
        both = BidirectionalLSTM(self.hidden, self.dtype, name="lstm")(sequence, length)
        forward, backward = jnp.split(both, 2, axis=-1)
        return forward + backward


class MCTNNetwork(nn.Module):
    """Sequences, translations, score.

    Outputs, all float32: `prediction` [B]; `representation` [B, hidden], what the score is read off; `sequences` and
    `generated`, what should be written and what is, [B, T, d], by the names of the translations there are: `translation`,
    `cycle`, `translation_2`; `length` [B] int32, how many of these steps count.
    """

    options: MCTNOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Any]:
        options, names = self.options, there(self.options, self.inputs)
        sequences, length, learned = aligned_sequences(options, self.inputs, batch, self.dtype, train=train)
        widest = max(sequences[name].shape[-1] for name in names)
        given = {name: _wider(sequences[name].astype(self.dtype), widest) for name in names}

        def pair(number: str, width: int) -> tuple[Encoder, AttentionDecoder]:
            rules = options.linear_attention, options.tied_gates
            decoder = AttentionDecoder(options.hidden, width, *rules, self.dtype, name=f"decoder{number}")
            return Encoder(options.hidden, self.dtype, name=f"encoder{number}"), decoder

        def write(decoder: AttentionDecoder, states: Array, name: str) -> Array:
            written = decoder(states, length)
            written = without_padding(jnp.tanh(written) if options.bounded else written, length)
            return written if options.score_widest else written[..., : sequences[name].shape[-1]]

        encoder, decoder = pair("", widest)
        states = encoder(given[names[0]], length)
        generated = {}
        if len(names) > 1:
            generated["translation"] = write(decoder, states, names[1])
            back = encoder(_wider(generated["translation"], widest), length)
            generated["cycle"] = write(decoder, back, names[0])
        if len(names) > 2:
            width = widest if options.score_widest else sequences[names[2]].shape[-1]
            encoder_2, decoder_2 = pair("_2", width)
            states = encoder_2(states, length)
            generated["translation_2"] = write(decoder_2, states, names[2])
        source = given if options.score_widest else sequences

        read = LSTM(options.hidden, self.dtype, every=True, name="reader")(states, length)
        energy = jnp.tanh(Linear(1, self.dtype, name="attention")(read)).astype(jnp.float32)
        counts = valid_steps(length, read.shape[1])
        share = nn.softmax(jnp.where(counts, energy, -1e9), axis=1).astype(self.dtype)
        representation = (share * read).sum(1)
        outputs = {
            "prediction": Linear(1, jnp.float32, name="score")(representation)[:, 0],
            "representation": representation,
            "sequences": {term: source[name] for term, name in translations(options, self.inputs).items()},
            "generated": generated,
        }
        return {**jax.tree.map(lambda x: x.astype(jnp.float32), outputs), "length": length, **learned}


def there(options: MCTNOptions, inputs: Inputs) -> tuple[str, ...]:
    """The order of the modalities there are."""
    return tuple(name for name in options.order if name in inputs.modalities)


def translations(options: MCTNOptions, inputs: Inputs) -> dict[str, str]:
    """The modality that each translation writes, by the names of the translations there are."""
    names = there(options, inputs)
    first = {"translation": names[1], "cycle": names[0]} if len(names) > 1 else {}
    return first | ({"translation_2": names[2]} if len(names) > 2 else {})


def _wider(sequence: Array, width: int) -> Array:
    """[B, T, d] -> [B, T, width], zeros behind."""
    return jnp.pad(sequence, [(0, 0), (0, 0), (0, width - sequence.shape[-1])])


def objective(step: Step, options: MCTNOptions, inputs: Inputs) -> tuple[Terms, Any]:
    """L1 on the human label, and the squared error of each translation over a sample's own steps."""
    outputs, targets = step.outputs, translations(options, inputs)
    terms = {"multimodal": losses.l1(outputs["prediction"], step.batch["label"])}
    for term, generated in outputs["generated"].items():
        given = targets[term], generated, outputs["sequences"][term], outputs["length"]
        terms[term] = rewriting_error(step, options, inputs, *given)
    return {**terms, **alignment_terms(step, options, inputs)}, step.memory


def weights(options: MCTNOptions, inputs: Inputs, memory: Any, clock: Clock) -> Mapping[str, Array | float]:
    """The lambdas of the translations there are."""
    lambdas = {name: getattr(options.weights, name) for name in translations(options, inputs)}
    return {**lambdas, **alignment_weights(options, inputs, memory, clock)}


def groups(options: MCTNOptions) -> tuple[Group, ...]:
    """Those of all, but the weights of the score have a decay of their own."""
    rate = options.learning_rate.other
    score = Group(name="score", pattern=r"^score/kernel$", learning_rate=rate, weight_decay=options.score_decay)
    return (score, *encoder_groups(options))


def check(options: MCTNOptions, inputs: Inputs) -> None:
    """What the score is read off must be there."""
    check_alignment(options, inputs)
    first, names = options.order[0], there(options, inputs)
    if first not in inputs.modalities:
        raise InputError(
            f"method mctn reads {first} and translates it into the others (option order), and the dataset has no {first}; "
            f"set order to what there is, such as {','.join(names or inputs.modalities)}"
        )


METHOD = Method(
    name="mctn",
    paper="Pham et al., AAAI 2019: Found in Translation: Learning Robust Joint Representations by Cyclic Translations",
    options=MCTNOptions,
    reference={
        "max_tokens": 20,
        "padding": "included",
        "pack_text": False,
        "selection": "term.loss",
        "linear_attention": True,
        "tied_gates": True,
        "bounded": True,
        "score_widest": True,
    },
    network=MCTNNetwork,
    stages=one_stage(objective, weights=weights),
    groups=groups,
    reads=lambda options, inputs: there(options, inputs)[:1],
    exports=("representation",),
    check=check,
    needs_aligned=lambda options: options.alignment == "required",
    notes=alignment_notes,
    valid_terms=("loss", "multimodal"),
)
