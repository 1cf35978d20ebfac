"""MAG-BERT: a pretrained language model whose word vectors are shifted by what is heard and seen at each word.

Paper: Rahman, Hasan, Lee, Bagher Zadeh, Mao, Morency, Hoque. Integrating Multimodal Information in Large Pretrained
Transformers. ACL 2020.
Reference code: github.com/WasifurRahman/BERT_multimodal_transformer (no licence) and BERT_MAG of thuiar/MMSA (MIT); facts
only, no line is taken from them.

The way of a batch. Audio and vision are brought to the tokens of the text. The vector z_i of token i, as BERT's embeddings
give it after their own norm and dropout, goes through the gate (msa_jax.layers.adaptation_gate) together with a_i and v_i:
it is shifted by at most beta times its own length, normalised once more and dropped out. BERT's layers read the result; the
pooled [CLS], dropout and a linear layer give the score. The gate and the linear layer start as BERT's own did.

Readings and why.
- The gate stands between BERT's embeddings and its first layer, as in both codes; only for XLNet is it behind a layer.
- The settings are those of the authors' code for MOSI: squared error, AdamW at 1e-5 for all parameters, decay 0.01 except
  for biases and norms, warm-up over 10 % of 40 epochs, linear decay to 0, batches of 48, dropout 0.5 in the gate and 0.1
  before the score. Its AdamW divides by sqrt(v) + 1e-6, ours by sqrt(v) + 1e-8.
  Its schedule counts 40 int(N / 48) updates, so that the rate is 0 before the last of the 40 epochs ends; ours counts them all.
- That code selects no epoch: it logs the accuracy on test after each, and the best of them. Here all 40 epochs are run,
  and the one with the lowest squared error on valid is kept.
- The reference protocol is MMSA's for MOSI: Adam at 2e-5 without decay or schedule, L1, early stopping.
- In aligned data frame i belongs to token i; those of [CLS] and [SEP] are zeros, so that only the gated biases of the shift
  move these tokens. Of unaligned data the paper says nothing: audio and vision are averaged to as many frames as there are
  tokens, [CLS] and [SEP] counted (`alignment` "adaptive"). "required" refuses such data. "contiguous" is MMSA's way, of
  padded windows (reference). With "ctc" the alignment is learned; its LSTMs have the rates of audio and vision.
- Absent modalities: without audio or vision, its gate and shift are left out; without both, BERT with one more norm is
  left. Without text, or with text that was encoded before, there is nothing to shift: an InputError.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax import losses
from msa_jax.config import PerGroup, Schedule, check_not_negative, check_rates
from msa_jax.encoders.text import TextEncoder
from msa_jax.errors import InputError
from msa_jax.layers.adaptation_gate import AdaptationGate
from msa_jax.layers.dense import Linear
from msa_jax.layers.dropout import Dropout
from msa_jax.methods.protocol import Batch, Group, Inputs, Method, Step, Terms, one_stage
from msa_jax.methods.shared.aligned_sequences import (
    AlignmentOptions,
    aligned_frames,
    alignment_notes,
    alignment_terms,
    alignment_weights,
)
from msa_jax.methods.shared.groups import text_groups

Array = jax.Array

RATES = PerGroup(text=1e-5, audio=1e-5, vision=1e-5, other=1e-5)
DECAYS = PerGroup(text=0.01, audio=0.01, vision=0.01, other=0.01)


@dataclass(frozen=True, kw_only=True)
class MagBertOptions(AlignmentOptions):
    """Options of MAG-BERT.

    Network:
      beta: Largest length of a shift, in lengths of the vector that it moves.
      gate_dropout: Dropout rate of the shifted vectors.
      dropout: Dropout rate between the pooled [CLS] and the score.
      loss: Loss of the score, squared (`l2`) or absolute error (`l1`).
    """

    batch_size: int = 48
    patience: int = 40
    selection: str = "mse"
    schedule: Schedule = "linear"
    warmup: float = 0.1
    learning_rate: PerGroup = RATES
    weight_decay: PerGroup = DECAYS
    beta: float = 1.0
    gate_dropout: float = 0.5
    dropout: float = 0.1
    loss: Literal["l2", "l1"] = "l2"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "gate_dropout", "dropout")
        check_not_negative(self, "beta")


REFERENCE: dict[str, Any] = {
    "batch_size": 32,
    "max_epochs": 1000,
    "patience": 8,
    "selection": "loss",
    "validation_mean": "batches",
    "validation_decimals": 4,
    "schedule": "constant",
    "warmup": 0.0,
    "learning_rate.text": 2e-5,
    "learning_rate.other": 2e-5,
    "weight_decay.text": 0.0,
    "weight_decay.other": 0.0,
    "weight_decay_mode": "coupled",
    "gate_dropout": 0.3,
    "loss": "l1",
    "alignment": "contiguous",
}


class MagBertNetwork(nn.Module):
    """BERT over shifted word vectors. Outputs: `prediction` [B]; `representation` [B, D], the pooled [CLS]."""

    options: MagBertOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Array]:
        options, inputs, text = self.options, self.inputs, self.inputs.text
        assert text is not None  # `check` has said so
        mask = batch["text"]["mask"]
        aligned: dict[str, Array] = {}  # [B, T, d]
        learned: dict[str, Array] = {}
        for name in ("vision", "audio"):
            if name in inputs.modalities:
                aligned[name], losses_of = aligned_frames(
                    options,
                    inputs,
                    batch,
                    self.dtype,
                    name,
                    tokens=mask.sum(-1),
                    steps=mask.shape[-1],
                    places=text.steps,
                )
                learned |= losses_of
        gate = AdaptationGate(options.beta, options.gate_dropout, self.dtype, name="gate")

        def adapt(z: Array, spread: Callable[[Array], Array]) -> Array:
            return gate(z, {name: spread(x) for name, x in aligned.items()}, deterministic=not train)

        encoder = TextEncoder(
            text.bert, self.dtype, tokens=False, pooler=True, remat=options.remat, name="text_encoder"
        )
        pooled = encoder(batch["text"], train=train, adapt=adapt)["pooled"]
        dropped = Dropout(options.dropout)(pooled, deterministic=not train)
        score = Linear(1, jnp.float32, nn.initializers.normal(0.02), nn.initializers.zeros, name="score")(dropped)
        scores = {"prediction": score[:, 0], "representation": pooled.astype(jnp.float32)}
        return {**scores, **learned}


def objective(step: Step, options: MagBertOptions, inputs: Inputs) -> tuple[Terms, Any]:
    """Squared or absolute error on the human label, and the losses of a learned alignment."""
    loss = {"l2": losses.l2, "l1": losses.l1}[options.loss]
    terms = {"multimodal": loss(step.outputs["prediction"], step.batch["label"])}
    return {**terms, **alignment_terms(step, options, inputs)}, step.memory


def groups(options: MagBertOptions) -> tuple[Group, ...]:
    """BERT, the learned alignments, then gate and score; biases and norms of BERT, gate and score without weight decay."""
    rate, decay = options.learning_rate, options.weight_decay
    return (
        *text_groups(rate.text, decay.text),
        Group(name="audio", pattern="^audio_aligner/", learning_rate=rate.audio, weight_decay=decay.audio),
        Group(name="vision", pattern="^vision_aligner/", learning_rate=rate.vision, weight_decay=decay.vision),
        Group(name="other_no_decay", pattern=r"(bias|norm/scale)$", learning_rate=rate.other),
        Group(name="other", pattern="", learning_rate=rate.other, weight_decay=decay.other),
    )


def check(options: MagBertOptions, inputs: Inputs) -> None:
    """There must be text, and a BERT that encodes it in every step."""
    if inputs.text is None:
        raise InputError("method mag_bert needs text, whose words it shifts, and the dataset has none")
    if inputs.text.bert is None:
        raise InputError(
            "method mag_bert shifts words before BERT reads them, so it cannot use precomputed text features "
            "(text_encoder features); give a BERT as text_encoder"
        )


METHOD = Method(
    name="mag_bert",
    paper="Rahman et al., ACL 2020: Integrating Multimodal Information in Large Pretrained Transformers",
    options=MagBertOptions,
    reference=REFERENCE,
    network=MagBertNetwork,
    stages=one_stage(objective, weights=alignment_weights),
    groups=groups,
    exports=("representation",),
    check=check,
    adapts_text=lambda options: True,
    needs_aligned=lambda options: options.alignment == "required",
    notes=alignment_notes,
)
