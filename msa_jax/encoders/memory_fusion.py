"""Fusion of LSTMs step by step into a gated memory (Zadeh et al., AAAI 2018 and ACL 2018).

LSTMs read one modality each. At every step a fusion, which is an attention or a graph, looks at what they held before and hold
now, and a memory takes up what it finds:

    u~_t = tanh(D_u(f_t)),    u_t = g1_t * u_(t-1) + g2_t * u~_t,    g_t = sigmoid(D_g([f_t; u_(t-1)]))

Nothing of the memory flows back into the LSTMs or the fusion. So the LSTMs are walked first, the fusion of all steps is a few
large products, and what is left to the loop over the memory is the part of the gates that reads u. In bfloat16 u, its gates and
its gradient are float32 within the loop all the same: a gate near 1 would round to 1.

T is the number of steps, B of rows, H the size of all LSTMs together. Steps come first.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.encoders.parallel_lstm import apart, step_before
from msa_jax.layers.dense import Affine, AffineParams, Linear
from msa_jax.layers.dropout import Dropout
from msa_jax.layers.functional import keep_where, product
from msa_jax.layers.subnetworks import Perceptron

Array = jax.Array
Outputs = tuple[Affine, ...]


class Layer(NamedTuple):
    """The hidden layer of a small network: its size and the dropout behind it."""

    hidden: int
    dropout: float | Array = 0.0


class DeltaMemoryAttention(nn.Module):
    """What the cells hold before and after a step, c^ = [c_(t-1); c_t], weighed by an attention over its entries:

        softmax(W_2 drop(relu(W_1 c^))) * c^

    layer: between W_1 and W_2.

    Parameters: `logits`, see `Perceptron`.
    """

    layer: Layer
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, cells: Array, *, train: bool) -> Array:
        """[T, B, H] -> [T, B, 2H]."""
        both = jnp.concatenate([step_before(cells), cells], axis=-1)
        network = Perceptron(self.layer.hidden, both.shape[-1], self.layer.dropout, self.dtype, name="logits")
        logits = network(both, train=train).astype(jnp.float32)
        return nn.softmax(logits).astype(self.dtype) * both


class DynamicFusionGraph(nn.Module):
    """A graph whose vertices are sets of modalities. Vertices of one modality come from its LSTM's states before and after a
    step, s_m = relu(W_m [h_(t-1); h_t]). Every other set reads all of its proper subsets, each times its efficacy, and one more
    vertex reads all sets, in the same way. Efficacies are functions of the s_m. All these functions are linear, in two layers
    (efficacies: three).

    size: of the vertices of several modalities. hidden: of the first of two layers.

    Parameters: `MODALITY_singleton`; `efficacies_1`, `efficacies_2`, `efficacies`; `vertex_MODALITIES` and `top`, each with
    `hidden` and `output`.
    """

    size: int
    hidden: int = 100
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, states: Mapping[str, Array]) -> tuple[Array, Array]:
        """{modality: [T, B, h_m]} -> the top vertex [T, B, size] and the efficacies [T, B, E], in the order of `edges`."""
        vertices: dict[tuple[str, ...], Array] = {}
        for name, state in states.items():
            both = jnp.concatenate([step_before(state), state], axis=-1)
            vertices[name,] = nn.relu(Linear(state.shape[-1], self.dtype, name=f"{name}_singleton")(both))
        efficacies = jnp.concatenate(list(vertices.values()), axis=-1)
        order = edges(tuple(states))
        for size, name in ((self.hidden, "efficacies_1"), (self.size, "efficacies_2"), (len(order), "efficacies")):
            efficacies = Linear(size, self.dtype, name=name)(efficacies)
        of_edge = dict(zip(order, jnp.split(efficacies, len(order), axis=-1), strict=True))

        def infer(reader: tuple[str, ...], name: str) -> Array:
            read = [vertices[source] * efficacy for (source, to), efficacy in of_edge.items() if to == reader]
            hidden = Linear(self.hidden, self.dtype, name=f"{name}_hidden")(jnp.concatenate(read, axis=-1))
            return Linear(self.size, self.dtype, name=f"{name}_output")(hidden)

        for subset in subsets(tuple(states), least=2):
            vertices[subset] = infer(subset, "_".join(("vertex", *subset)))
        return infer(TOP, "top"), efficacies


TOP = ()  # the vertex that reads all sets


def subsets(names: Sequence[str], *, least: int = 1) -> list[tuple[str, ...]]:
    """The sets of at least so many names, smaller ones first."""
    return [chosen for count in range(least, len(names) + 1) for chosen in combinations(names, count)]


def edges(names: Sequence[str]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The edges of the graph, (from, to): 19 of three modalities, 5 of two, 1 of one."""
    inner = [(source, to) for to in subsets(names, least=2) for source in subsets(to)[:-1]]
    return inner + [(source, TOP) for source in subsets(names)]


class GatedMemory(nn.Module):
    """The memory u after the last valid step, see above; it begins with zeros. D_u and D_g are two layers with ReLU and
    dropout between them. The gates do not add up to 1: the memory is not bounded.

    size: of u. proposal, retain, update: the hidden layers of D_u, of g1's network and of g2's.

    Parameters: `proposal`, see `Perceptron`; `retain_hidden`, `retain_output`, `update_hidden`, `update_output`, each a
    linear layer.
    """

    size: int
    proposal: Layer
    retain: Layer
    update: Layer
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, fused: Array, valid: Array, *, train: bool) -> Array:
        """[T, B, D], [T, B, 1] bool -> [B, size]."""
        steps, rows, width = fused.shape
        propose = Perceptron(self.proposal.hidden, self.size, self.proposal.dropout, self.dtype, name="proposal")
        proposed = jnp.tanh(propose(fused, train=train))
        outside, inner, kept, outputs = [], [], [], []
        for name, layer in (("retain", self.retain), ("update", self.update)):
            hidden = self._affine(f"{name}_hidden", width + self.size, layer.hidden)
            outside.append(Affine(hidden.kernel[:width], hidden.bias)(fused))
            inner.append(hidden.kernel[width:])
            # Dropout by a factor that is drawn for all steps at once.
            ones = jnp.ones((steps, rows, layer.hidden), self.dtype)
            kept.append(Dropout(layer.dropout)(ones, deterministic=not train))
            outputs.append(self._affine(f"{name}_output", layer.hidden, self.size))
        outside, inner, kept = (jnp.concatenate(each, axis=-1) for each in (outside, inner, kept))
        return _remember(outside, kept, proposed, valid, inner, tuple(outputs))

    def _affine(self, name: str, into: int, out: int) -> Affine:
        """The parameters of a `Linear` layer, not yet applied."""
        return AffineParams((into, out), into**-0.5, into**-0.5, self.dtype, name=name)()


@jax.custom_vjp
def _remember(outside: Array, kept: Array, proposed: Array, valid: Array, inner: Array, outputs: Outputs) -> Array:
    """The loop of `GatedMemory`.

    Args:
      outside: [T, B, k], what the hidden layers of both gates, side by side, have from the fused steps.
      kept: [T, B, k], what dropout multiplies them by. proposed: u~ [T, B, m]. valid: [T, B, 1] bool.
      inner: [m, k], of u. outputs: of the hidden layer of each gate to the gate.

    Returns:
      u [B, m] after the last step.
    """
    return _forward(outside, kept, proposed, valid, inner, outputs)[0][-1]


def _forward(
    outside: Array, kept: Array, proposed: Array, valid: Array, inner: Array, outputs: Outputs
) -> tuple[Array, Array, Array]:
    """Behind each step the memory [T, B, m], the hidden layers [T, B, k] and the gates [T, B, 2m] float32."""
    sizes, dtype = [output.kernel.shape[0] for output in outputs], proposed.dtype

    def step(memory: Array, each: tuple[Array, Array, Array, Array]) -> tuple[Array, tuple[Array, Array, Array]]:
        outside, kept, proposed, counts = each
        hidden = (nn.relu(outside + product("bm,mk->bk", memory.astype(dtype), inner)) * kept).astype(dtype)
        parts = zip(outputs, apart(hidden, sizes), strict=True)
        gates = [product("bk,km->bm", part, output.kernel) + output.bias[None] for output, part in parts]
        gates = nn.sigmoid(jnp.concatenate(gates, axis=-1))
        retain, update = jnp.split(gates, 2, axis=-1)
        memory = jnp.where(counts, retain * memory + update * proposed, memory)
        return memory, (memory.astype(dtype), hidden, gates)

    return jax.lax.scan(step, jnp.zeros_like(proposed[0], jnp.float32), (outside, kept, proposed, valid))[1]


def _keep(
    outside: Array, kept: Array, proposed: Array, valid: Array, inner: Array, outputs: Outputs
) -> tuple[Array, Any]:
    walked = _forward(outside, kept, proposed, valid, inner, outputs)
    return walked[0][-1], (kept, proposed, valid, inner, outputs, walked)


def _backward(held: Any, pull: Array) -> tuple[Array, None, Array, None, Array, Outputs]:
    """The gradient by hand, for the reasons that `parallel_lstm` has."""
    kept, proposed, valid, inner, outputs, (memory, hidden, gates) = held
    sizes, dtype = [output.kernel.shape[0] for output in outputs], proposed.dtype
    before = step_before(memory)
    retain, update = jnp.split(gates, 2, axis=-1)
    # At a step that is not valid the slopes are 0, and the memory hands its gradient on.
    slopes = keep_where(valid, jnp.concatenate([before, proposed], axis=-1) * gates * (1 - gates))
    through = keep_where(hidden > 0, kept)

    def gates_of(slopes: Array, of_memory: Array) -> list[Array]:
        of_gates = (slopes * jnp.concatenate([of_memory, of_memory], axis=-1)).astype(dtype)
        return jnp.split(of_gates, len(outputs), axis=-1)

    def step(of_memory: Array, each: tuple[Array, Array, Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        slopes, through, retain, counts = each
        parts = zip(gates_of(slopes, of_memory), outputs, strict=True)
        back = [product("bm,mk->bk", part, output.kernel.T) for part, output in parts]
        of_hidden = (through * jnp.concatenate(back, axis=-1)).astype(dtype)
        back = retain * of_memory + product("bk,km->bm", of_hidden, inner.T)
        return jnp.where(counts, back, of_memory), (of_memory, of_hidden)

    behind = pull.astype(jnp.float32)
    _, (of_memory, of_hidden) = jax.lax.scan(step, behind, (slopes, through, retain, valid), reverse=True)
    parts = zip(apart(hidden, sizes), gates_of(slopes, of_memory), strict=True)
    of_outputs = tuple(Affine(_outer(part, of_gate), _total(of_gate)) for part, of_gate in parts)
    of_proposed = keep_where(valid, update * of_memory).astype(dtype)
    return of_hidden, None, of_proposed, None, _outer(before, of_hidden), of_outputs


def _outer(x: Array, y: Array) -> Array:
    """[T, B, d], [T, B, e] -> [d, e], summed over all steps and rows."""
    return product("tbd,tbe->de", x, y).astype(x.dtype)


def _total(x: Array) -> Array:
    """[T, B, d] -> [d] float32"""
    return x.sum((0, 1), dtype=jnp.float32)


_remember.defvjp(_keep, _backward)
