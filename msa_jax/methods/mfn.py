"""MFN: Memory Fusion Network.

Paper: Zadeh, Liang, Mazumder, Poria, Cambria, Morency. Memory Fusion Network for Multi-view Sequential Learning. AAAI 2018.
Reference code: github.com/pliang279/MFN (MIT), whose network thuiar/MMSA (MIT) keeps; facts only, no line is taken from either.

The way of a batch. Text, audio and vision come onto one time axis, that of the text's tokens, and one LSTM reads each. At step
t their cells side by side are c_t. An attention looks at the change, c^_t = [c_(t-1); c_t], a memory u takes up what it finds,
and the last states with the last memory give the score:

    a_t  = softmax(D_a(c^_t)) * c^_t
    u~_t = tanh(D_u(a_t)),    g1_t = sigmoid(D_g1([a_t; u_(t-1)])),    g2_t = sigmoid(D_g2([a_t; u_(t-1)]))
    u_t  = g1_t * u_(t-1) + g2_t * u~_t
    score = D_y([h^t_T; h^a_T; h^v_T; u_T])

Every D is two linear layers with ReLU and dropout between them. Loss: L1.

Readings and deviations.
- The softmax runs over the entries of c^_t, 1088 on MOSI, so that a_t starts about a thousandth of it. So it is in both codes.
- LSTMs and memory stop at each sample's last token. The paper's code pads on the left; MMSA pads on the right and walks all
  steps, so that the last one is padding (`padding`).
- MMSA gives MFN the time means of audio and vision, repeated at every step, though MFN is about their course
  (`constant_sequences`). The mean covers padding; it divides by the longest sequence of the training split.
  Both are options, on in the `reference` protocol.
- Text is BERT's states, and sizes, rates and dropout are those of MMSA for MOSI. BERT is not trained; `finetune_text` changes
  that.
- Sequences of their own lengths are averaged to the tokens of the text (`alignment`).
- Absent modalities: their LSTM is left out. Without text, the axis is that of the shorter sequence.
"""

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.config import PerGroup, check_rates, check_sizes
from msa_jax.layers.subnetworks import Perceptron
from msa_jax.methods.protocol import Batch, Inputs, Method, one_stage
from msa_jax.methods.shared.aligned_sequences import (
    ALIGNED_REFERENCE,
    aligned_sequences,
    alignment_notes,
    alignment_weights,
    check_alignment,
    objective,
)
from msa_jax.methods.shared.memory_fusion import (
    AttentionLayers,
    AttentionRates,
    MemoryFusion,
    MemoryOptions,
    modality_groups,
)
from msa_jax.methods.shared.padded_text import time_mean
from msa_jax.methods.shared.sizes import Sizes
from msa_jax.modalities import SEQUENCES

Array = jax.Array


@dataclass(frozen=True, kw_only=True)
class MFNOptions(MemoryOptions):
    """Options of MFN.

    Score:
      score_hidden: Width of the hidden layer in front of the score.
      score_dropout: Dropout rate of the hidden layer in front of the score.
    What MMSA's code does:
      constant_sequences: Whether audio and vision are their time means at every step.
    """

    batch_size: int = 128
    learning_rate: PerGroup = PerGroup(text=5e-5, audio=2e-3, vision=2e-3, other=2e-3)
    hidden: Sizes = Sizes(text=256, audio=32, vision=256)
    memory: int = 400
    layer: AttentionLayers = AttentionLayers(attention=32, proposal=64, retain=256, update=32)
    dropout: AttentionRates = AttentionRates(attention=0.2, proposal=0.0, retain=0.7, update=0.5)
    score_hidden: int = 128
    score_dropout: float = 0.0
    constant_sequences: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "score_dropout")
        check_sizes(self, "score_hidden")


class MFNNetwork(nn.Module):
    """Sequences, memory fusion, score. Outputs: `prediction` [B]; `representation` [B, H + memory], what the score is read
    off: the last states and the memory."""

    options: MFNOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Array]:
        options = self.options
        sequences, length, learned = aligned_sequences(options, self.inputs, batch, self.dtype, train=train)
        if options.constant_sequences:
            sequences |= self._constant(batch, sequences)
        fused = MemoryFusion(options, self.dtype, name="fusion")(sequences, length, train=train)
        score = Perceptron(options.score_hidden, 1, options.score_dropout, self.dtype, jnp.float32, name="score")
        prediction = score(fused, train=train)[:, 0]
        return {"prediction": prediction, "representation": fused.astype(jnp.float32), **learned}

    def _constant(self, batch: Batch, sequences: dict[str, Array]) -> dict[str, Array]:
        """Audio and vision [B, T, d] as their time means, over padding too where padding is included."""
        means: dict[str, Array] = {}
        for name in (name for name in SEQUENCES if name in sequences):
            mean = time_mean(self.inputs, batch, name, included=self.options.padding == "included")
            means[name] = jnp.broadcast_to(mean[:, None], sequences[name].shape)
        return means


METHOD = Method(
    name="mfn",
    paper="Zadeh et al., AAAI 2018: Memory Fusion Network for Multi-view Sequential Learning",
    options=MFNOptions,
    reference={**ALIGNED_REFERENCE, "constant_sequences": True},
    network=MFNNetwork,
    stages=one_stage(objective, weights=alignment_weights),
    groups=modality_groups,
    exports=("representation",),
    check=check_alignment,
    needs_aligned=lambda options: options.alignment == "required",
    notes=alignment_notes,
)
