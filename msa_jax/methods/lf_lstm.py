"""LF-LSTM: one LSTM for each modality, whose decisions are averaged.

Paper: none of its own; a baseline of late fusion in Tsai, Bai, Liang, Kolter, Morency, Salakhutdinov. Multimodal Transformer
for Unaligned Multimodal Language Sequences. ACL 2019, and in SUGRM (Hwang and Kim, 2023).
Reference code: none was published, so there is no reference protocol. All sizes and rates are ours; nothing was tuned.

The way of a batch. Every modality m is read by an LSTM of its own, and decides alone by its last state:

    h_m = LSTM_m(x_m),    y_m = w_m · drop(h_m) + b_m,    score = mean over m of y_m.

Loss: L1 of the score.

Readings.
- SUGRM says that decisions are combined by voting. For a number on a scale that is the mean. All LSTMs are trained together,
  on the mean alone, so that a decision need not be a good score by itself.
- `combine` "concat" joins the states instead of the decisions: W_2 drop(relu(W_1 [h_t; h_a; h_v])).
- Text is the states of a BERT that is not trained; `finetune_text` changes that.
- Sequences need not be aligned: each is read to its own end. A sample without a frame has the state 0 there.
- Absent modalities: their LSTM is left out, and the mean is over the decisions there are.
"""

from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.config import Options, check_rates, check_sizes
from msa_jax.encoders.lstm import LSTM
from msa_jax.layers.dense import Linear
from msa_jax.layers.dropout import Dropout
from msa_jax.methods.protocol import Batch, Inputs, Method, one_stage
from msa_jax.methods.shared.groups import encoder_groups
from msa_jax.methods.shared.regression import objective
from msa_jax.methods.shared.sequences import sequences_of

Array = jax.Array


@dataclass(frozen=True, kw_only=True)
class LFLSTMOptions(Options):
    """Options of LF-LSTM.

    Network:
      text_hidden, audio_hidden, vision_hidden: Width of the LSTM of this modality.
      dropout: Dropout rate before every linear layer that gives a score.
      combine: `mean` takes the mean of the modalities' decisions. `concat` has a hidden layer over their joined states.
      fusion_hidden: Width of the hidden layer of `concat`.
    """

    finetune_text: bool = False
    text_hidden: int = 128
    audio_hidden: int = 16
    vision_hidden: int = 32
    fusion_hidden: int = 64
    dropout: float = 0.2
    combine: Literal["mean", "concat"] = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "dropout")
        check_sizes(self, "text_hidden", "audio_hidden", "vision_hidden", "fusion_hidden")


class LFLSTMNetwork(nn.Module):
    """An LSTM for each modality, decisions, score.

    Outputs: `prediction` [B]; `text_state`, `audio_state`, `vision_state` [B, hidden]; and the decisions `text`, `audio`,
    `vision` [B], or with "concat" `representation` [B, fusion_hidden], the layer in front of the score.
    """

    options: LFLSTMOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Array]:
        options = self.options
        sequences, length = sequences_of(options, self.inputs, batch, self.dtype, included=False, train=train)
        states: dict[str, Array] = {}
        for name, sequence in sequences.items():
            owner = "text_lstm" if name == "text" else f"{name}_encoder"
            lstm = LSTM(getattr(options, f"{name}_hidden"), self.dtype, name=owner)
            states[name] = lstm(sequence, length[name])
        outputs = {f"{name}_state": state.astype(jnp.float32) for name, state in states.items()}
        if options.combine == "mean":
            decisions = {name: self._score(state, f"{name}_score", train) for name, state in states.items()}
            return {**outputs, **decisions, "prediction": jnp.stack(list(decisions.values())).mean(0)}
        joined = jnp.concatenate(list(states.values()), axis=-1)
        hidden = nn.relu(Linear(options.fusion_hidden, self.dtype, name="linear")(joined))
        score = self._score(hidden, "score", train)
        return {**outputs, "representation": hidden.astype(jnp.float32), "prediction": score}

    def _score(self, x: Array, name: str, train: bool) -> Array:
        """[B, d] -> [B] float32"""
        x = Dropout(self.options.dropout)(x, deterministic=not train)
        return Linear(1, jnp.float32, name=name)(x)[:, 0]


def heads(options: LFLSTMOptions, inputs: Inputs) -> tuple[str, ...]:
    """The score, and the decision of every modality where decisions are averaged."""
    return ("prediction", *(inputs.modalities if options.combine == "mean" else ()))


def exports(options: LFLSTMOptions, inputs: Inputs) -> tuple[str, ...]:
    """The states of the modalities there are, and the layer in front of the score where there is one."""
    states = tuple(f"{name}_state" for name in inputs.modalities)
    return (*states, "representation") if options.combine == "concat" else states


METHOD = Method(
    name="lf_lstm",
    paper="Tsai et al., ACL 2019, compare with it: an LSTM for each modality, decisions averaged",
    options=LFLSTMOptions,
    network=LFLSTMNetwork,
    stages=one_stage(objective),
    groups=encoder_groups,
    heads=heads,
    exports=exports,
)
