"""Graph-MFN: MFN with a dynamic fusion graph in the place of its attention.

Paper: Zadeh, Liang, Poria, Cambria, Morency. Multimodal Language Analysis in the Wild: CMU-MOSEI Dataset and Interpretable
Dynamic Fusion Graph. ACL 2018.
Reference code: thuiar/MMSA (MIT), after A2Zadeh/CMU-MultimodalSDK; facts only, no line is taken from either.

The way of a batch. As in MFN, one LSTM reads each modality, step by step on the axis of the text's tokens, and a memory u takes
up what a fusion finds. The fusion is a graph. Its vertices are the sets of modalities; those of one modality are

    s_m = relu(W_m [h_(t-1); h_t])

and every set of several, v_S, reads all of its proper subsets R, each times an efficacy; T, the top, reads all sets:

    v_S = V_S([e_RS v_R for R in S]),    T = V_T([e_RT v_R for all R]),    e = E([s_t; s_a; s_v]): 19 numbers
    u~ = tanh(D_u(T)),    g1 = sigmoid(D_g1([T; u])),    g2 = sigmoid(D_g2([T; u])),    u <- g1 * u + g2 * u~
    score = D_y([h^t; h^a; h^v; u])

V and E are linear, in two and three layers; every D is two layers with ReLU and dropout between them. Loss: L1. The efficacies
can be exported: what the network listens to, averaged over the steps.

Readings and deviations.
- MMSA draws the first values of the second layer of a vertex's network once and copies them to all vertices; here each has
  its own draw.
- Efficacies are the raw output of a linear layer, as in the code, and may be negative. Between two linear layers of a vertex
  there is no activation either.
- In MMSA the networks V_S stand in a plain dict, where no optimiser finds them: at MOSI's sizes 208,656 of 2,319,280 weights
  stay as they were drawn (`frozen_vertices`, on in the `reference` protocol). V_T is trained.
- LSTMs and memory stop at each sample's last token; MMSA walks padding (`padding`).
- Text is BERT's states, and sizes, rates and dropout are those of MMSA for MOSI. BERT is not trained; `finetune_text` changes
  that.
- Sequences of their own lengths are averaged to the tokens of the text (`alignment`).
- Absent modalities: their LSTM and all sets that hold them are left out: 5 efficacies with two modalities, 1 with one. Without
  text, the axis is that of the shorter sequence.
"""

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.config import PerGroup, check_rates, check_sizes
from msa_jax.encoders.memory_fusion import DynamicFusionGraph
from msa_jax.encoders.parallel_lstm import apart, steps_first
from msa_jax.layers.functional import keep_where
from msa_jax.layers.subnetworks import Perceptron
from msa_jax.methods.protocol import Batch, Inputs, Method, Phase, Stage
from msa_jax.methods.shared.aligned_sequences import (
    ALIGNED_REFERENCE,
    aligned_sequences,
    alignment_notes,
    alignment_weights,
    check_alignment,
    objective,
)
from msa_jax.methods.shared.memory_fusion import (
    GateLayers,
    GateRates,
    MemoryOptions,
    gated_memory,
    lstms,
    modality_groups,
    network_decay,
)
from msa_jax.methods.shared.sizes import Sizes

Array = jax.Array

VERTICES = r"^graph/vertex_"  # in the paths of the parameters of V_S


@dataclass(frozen=True, kw_only=True)
class GraphMFNOptions(MemoryOptions):
    """Options of Graph-MFN.

    Graph and score:
      vertex: Width of a vertex of the graph.
      vertex_hidden: Width of the hidden layers of the vertices and of the efficacies.
      score_hidden: Width of the hidden layer in front of the score.
      score_dropout: Dropout rate of the hidden layer in front of the score.
    What MMSA's code does:
      frozen_vertices: Whether the networks of the vertices of several modalities stay as they were drawn.
    """

    learning_rate: PerGroup = PerGroup(text=5e-5, audio=2e-3, vision=2e-3, other=2e-3)
    hidden: Sizes = Sizes(text=256, audio=32, vision=256)
    memory: int = 300
    layer: GateLayers = GateLayers(proposal=32, retain=128, update=64)
    dropout: GateRates = GateRates(proposal=0.0, retain=0.5, update=0.5)
    vertex: int = 64
    vertex_hidden: int = 100
    score_hidden: int = 256
    score_dropout: float = 0.0
    frozen_vertices: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "score_dropout")
        check_sizes(self, "vertex", "vertex_hidden", "score_hidden")


class GraphMFNNetwork(nn.Module):
    """Sequences, LSTMs, graph, memory, score.

    Outputs: `prediction` [B]; `representation` [B, H + memory], what the score is read off; `efficacies` [B, E], means over
    the steps, in the order of `encoders.memory_fusion.edges`.
    """

    options: GraphMFNOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Array]:
        options = self.options
        sequences, length, learned = aligned_sequences(options, self.inputs, batch, self.dtype, train=train)
        states = lstms(options, self.dtype)(sequences, length).states
        parts = apart(states, [getattr(options.hidden, name) for name in sequences])
        graph = DynamicFusionGraph(options.vertex, options.vertex_hidden, self.dtype, name="graph")
        top, efficacies = graph(dict(zip(sequences, parts, strict=True)))
        valid = steps_first(length, len(states))
        memory = gated_memory(options, self.dtype)(top, valid, train=train)
        fused = jnp.concatenate([states[-1], memory], axis=-1)
        score = Perceptron(options.score_hidden, 1, options.score_dropout, self.dtype, jnp.float32, name="score")
        total = keep_where(valid, efficacies.astype(jnp.float32)).sum(0)
        return {
            "prediction": score(fused, train=train)[:, 0],
            "representation": fused.astype(jnp.float32),
            "efficacies": total / jnp.maximum(length, 1)[:, None],
            **learned,
        }


def stages(options: GraphMFNOptions, inputs: Inputs) -> tuple[Stage, ...]:
    """A single one, with or without the vertices' networks."""
    frozen = VERTICES if options.frozen_vertices else None
    phase = Phase(objective=objective, frozen=frozen, weights=alignment_weights)
    return (Stage(phases=(phase,)),)


METHOD = Method(
    name="graph_mfn",
    paper="Zadeh et al., ACL 2018: Multimodal Language Analysis in the Wild: CMU-MOSEI and Interpretable Dynamic Fusion Graph",
    options=GraphMFNOptions,
    reference={**ALIGNED_REFERENCE, **network_decay(0.005), "frozen_vertices": True},
    network=GraphMFNNetwork,
    stages=stages,
    groups=modality_groups,
    exports=("representation", "efficacies"),
    check=check_alignment,
    needs_aligned=lambda options: options.alignment == "required",
    notes=alignment_notes,
)
