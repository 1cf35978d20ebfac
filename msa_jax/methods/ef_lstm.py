"""EF-LSTM: one stack of LSTMs over text, audio and vision that are joined at every step.

Paper: none of its own; a baseline of early fusion that the field compares with since Zadeh, Liang, Mazumder, Poria, Cambria,
Morency. Memory Fusion Network for Multi-view Sequential Learning. AAAI 2018.
Reference code: EF_LSTM of thuiar/MMSA (MIT); facts only, no line is taken from it.

The way of a batch. Text, audio and vision come onto one time axis, that of the text's tokens. Step i of n is

    x_i = BatchNorm([t_i; a_i; v_i]),

every feature normalised over the steps of the mini-batch. The LSTMs stand on top of each other, and the last state of the
uppermost one gives the score:

    h^1 = LSTM_1(x),    h^l = LSTM_l(drop(h^(l-1))),    score = W_2 drop(relu(W_1 drop(h^L_n))).

Loss: L1.

Deviations and why.
- MMSA normalises each time step instead, over the samples and over the features of all modalities together (`time_norm`).
  Then a feature on a large scale decides how large all others are, and the statistics of late steps are those of padding.
- MMSA's LSTMs read padding, so that the last state is that of step 50, 35 steps beyond the end of most sentences (`padding`).
  Both are options, on in the `reference` protocol. MMSA's own table shows what may come of them: a constant score on SIMS.
- Text is BERT's states, and sizes, rates and dropout are those of MMSA for MOSI. BERT is not trained; `finetune_text`
  changes that.
- Sequences of their own lengths are averaged to the tokens of the text (`alignment`); MMSA averages windows of their padded
  form. With "ctc" the alignment is learned: the EF-LSTM + CTC of the literature.
- Absent modalities: their part of x_i is left out. Without text, the axis is that of the shorter sequence.
"""

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.config import check_rates, check_sizes
from msa_jax.encoders.lstm import StackedLSTM
from msa_jax.errors import InputError
from msa_jax.layers.dense import Linear
from msa_jax.layers.dropout import Dropout
from msa_jax.layers.normalisation import BatchNorm
from msa_jax.layers.pooling import valid_steps
from msa_jax.methods.protocol import Batch, Inputs, Method, one_stage
from msa_jax.methods.shared.aligned_sequences import (
    ALIGNED_REFERENCE,
    AlignedOptions,
    aligned_sequences,
    alignment_notes,
    alignment_weights,
    check_alignment,
    objective,
)
from msa_jax.methods.shared.groups import encoder_groups

Array = jax.Array


@dataclass(frozen=True, kw_only=True)
class EFLSTMOptions(AlignedOptions):
    """Options of EF-LSTM.

    Network:
      hidden: Width of every LSTM and of the layer behind them.
      layers: Number of LSTMs on top of each other.
      dropout: Dropout rate between the LSTMs, before the layer behind them and before the score.
    What MMSA's code does:
      time_norm: Whether every time step is normalised instead of every feature. That needs `padding` included, since
        each step has a scale of its own, of which there must be as many in every split.
    """

    hidden: int = 128
    layers: int = 4
    dropout: float = 0.5
    time_norm: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "dropout")
        check_sizes(self, "hidden", "layers")
        if self.time_norm and self.padding != "included":
            raise InputError("option time_norm is true, which normalises padding too; set padding to included with it")


class EFLSTMNetwork(nn.Module):
    """Joined steps, their norm, LSTMs, score. Outputs: `prediction` [B]; `representation` [B, hidden], the layer in front
    of the score."""

    options: EFLSTMOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Array]:
        options = self.options
        sequences, length, learned = aligned_sequences(options, self.inputs, batch, self.dtype, train=train)
        joined = jnp.concatenate([x.astype(self.dtype) for x in sequences.values()], axis=-1)  # [B, T, d]
        counts = valid_steps(length, joined.shape[1])[..., 0]
        if "weight" in batch:
            counts &= (batch["weight"] > 0)[:, None]
        norm = BatchNorm(axis=1 if options.time_norm else -1, dtype=self.dtype, name="norm")
        lstm = StackedLSTM(options.hidden, options.layers, options.dropout, self.dtype, name="lstm")
        state = lstm(norm(joined, counts, train=train), length, train=train)
        state = Dropout(options.dropout)(state, deterministic=not train)
        hidden = nn.relu(Linear(options.hidden, self.dtype, name="linear")(state))
        dropped = Dropout(options.dropout)(hidden, deterministic=not train)
        score = Linear(1, jnp.float32, name="score")(dropped)[:, 0]
        return {"prediction": score, "representation": hidden.astype(jnp.float32), **learned}


METHOD = Method(
    name="ef_lstm",
    paper="Zadeh et al., AAAI 2018, compare with it: an LSTM over joined text, audio and vision",
    options=EFLSTMOptions,
    reference={**ALIGNED_REFERENCE, "time_norm": True, "weight_decay.other": 0.005},
    network=EFLSTMNetwork,
    stages=one_stage(objective, weights=alignment_weights),
    groups=encoder_groups,
    exports=("representation",),
    check=check_alignment,
    needs_aligned=lambda options: options.alignment == "required",
    notes=alignment_notes,
)
