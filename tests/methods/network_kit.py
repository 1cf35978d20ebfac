"""A method's network on a few samples, with weights far from where they start: for methods whose objective has no memory."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from msa_jax import config
from msa_jax.methods.protocol import STATISTICS, Clock, Inputs, Method, SequenceInput, TextInput
from msa_jax.train.step import measure
from tests.methods.cases import add_frames, params_far_from_start, phase_of, step_of
from tests.quick import quick_jit

ALL = ("text", "audio", "vision")
LATER = Clock(epoch=jnp.int32(9), step=jnp.int32(99))  # so that no term still waits for its first epoch


@dataclass(frozen=True, eq=False)
class NetworkKit:
    """A method, and samples for it.

    options: that differ from its defaults. shapes: (steps, width) of each modality, text first. lengths: of each, one for
    every sample. aligned: whether they share one time axis.
    """

    method: Method
    options: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, int]]
    lengths: Mapping[str, Sequence[int]]
    aligned: bool = False

    def inputs(self, there: Sequence[str] = ALL) -> Inputs:
        """The shapes, of the modalities that are there."""
        sequences = {name: SequenceInput(*self.shapes[name]) for name in ("audio", "vision") if name in there}
        steps, width = self.shapes["text"]
        text = TextInput(width=width, steps=steps) if "text" in there else None
        return Inputs(text=text, **sequences, aligned=self.aligned)

    def batch(self, there: Sequence[str] = ALL, *, rows: int | None = None, extra: int = 0, fill: float = 0.0) -> dict:
        """The first samples, all of them by default, with `extra` more steps of padding, and `fill` at padding."""
        rows = len(self.lengths["text"]) if rows is None else rows
        label = np.random.default_rng(1).uniform(-3, 3, len(self.lengths["text"])).astype(np.float32)[:rows]
        batch = {"label": label, "weight": np.ones(rows, np.float32), "row": np.arange(rows, dtype=np.int32)}
        return add_frames(batch, there, self.shapes, self.lengths, rows=rows, extra=extra, fill=fill)

    def network(self, there: Sequence[str] = ALL, *, dtype: Any = jnp.float32, **changes: Any) -> Any:
        """The network with changed options."""
        options = config.override(self.method.options(), {**self.options, **changes})
        return self.method.network(options, self.inputs(there), dtype)

    def variables(self, there: Sequence[str] = ALL, **changes: Any) -> dict:
        """Parameters and running statistics, the same for the same names and shapes."""
        return _variables(self, there, tuple(changes.items()))

    def evaluated(
        self, there: Sequence[str] = ALL, batch: Any = None, *, dtype: Any = jnp.float32, **changes: Any
    ) -> dict:
        """Outputs in evaluation."""
        program = _evaluation(self, there, dtype, tuple(changes.items()))
        return program(self.variables(there, **changes), self.batch(there) if batch is None else batch)

    def trained(self, batch: Any, there: Sequence[str] = ALL, *, dtype: Any = jnp.float32, **changes: Any) -> tuple:
        """A training step: outputs, running statistics after it, the gradient of the loss, all terms of it."""
        variables = self.variables(there, **changes)
        program = _training(self, there, dtype, tuple(changes.items()))
        gradient, (outputs, moved) = program(variables["params"], variables[STATISTICS], batch)
        return outputs, moved, gradient

    def made(self, there: Sequence[str] = ALL, **changes: Any) -> tuple[dict, dict]:
        """Shapes of the outputs and of the parameters."""
        network, batch = self.network(there, **changes), self.batch(there)
        outputs, made = jax.eval_shape(lambda: network.init_with_output(jax.random.key(0), batch, train=False))
        return outputs, made["params"]


@functools.cache
def _evaluation(kit: NetworkKit, there: Sequence[str], dtype: Any, changes: tuple[tuple[str, Any], ...]) -> Any:
    network = kit.network(there, dtype=dtype, **dict(changes))
    return quick_jit(lambda variables, batch: network.apply(variables, batch, train=False))


@functools.cache
def _training(kit: NetworkKit, there: Sequence[str], dtype: Any, changes: tuple[tuple[str, Any], ...]) -> Any:
    network = kit.network(there, dtype=dtype, **dict(changes))
    options, inputs = network.options, network.inputs
    phase = phase_of(kit.method, options, inputs)

    def total(params: Any, statistics: Any, batch: Any) -> Any:
        given, rngs = {"params": params, STATISTICS: statistics}, {"dropout": jax.random.key(3)}
        outputs, moved = network.apply(given, batch, train=True, mutable=[STATISTICS], rngs=rngs)
        terms, _ = phase.objective(step_of(outputs, batch, clock=LATER), options, inputs)
        measured = measure(phase, terms, phase.weights(options, inputs, {}, LATER), batch["weight"])
        return measured.means["loss"], (outputs, moved.get(STATISTICS, {}))

    return quick_jit(jax.grad(total, has_aux=True))


@functools.cache
def _variables(kit: NetworkKit, there: Sequence[str], changes: tuple[tuple[str, Any], ...]) -> dict:
    network, batch = kit.network(there, **dict(changes)), kit.batch(there)
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), batch, train=False)).get(STATISTICS, {})
    rng = np.random.default_rng(5)
    statistics = jax.tree.map(lambda leaf: rng.uniform(0.5, 2, leaf.shape).astype(np.float32), shapes)
    return {"params": params_far_from_start(network, batch), STATISTICS: statistics}


def close(one: Any, two: Any, **tolerance: float) -> None:
    """Two trees of arrays have near values at every path of the first."""
    for path, value in flatten_dict(one, sep="/").items():
        np.testing.assert_allclose(value, flatten_dict(two, sep="/")[path], err_msg=path, **tolerance)


# -- what every such network keeps to ---------------------------------------------------------------------------------


def check_padding(kit: NetworkKit) -> None:
    """More padding changes nothing, whatever stands there, neither in evaluation nor in training."""
    more = kit.batch(extra=3, fill=9.0)
    close(kit.evaluated(batch=more), kit.evaluated(), rtol=1e-5, atol=1e-5)
    for found, want in zip(kit.trained(more), kit.trained(kit.batch()), strict=True):
        close(found, want, rtol=1e-3, atol=1e-5)


def check_weightless_samples(kit: NetworkKit, **changes: Any) -> None:
    """Samples of weight 0 change neither scores nor statistics nor gradients, whatever they hold."""
    whole = kit.batch()
    whole["weight"][3:] = 0
    for name in ("audio", "vision"):
        whole[name]["features"][3:] = 50.0
    outputs, moved, gradient = kit.trained(whole, **changes)
    expected, statistics, alone = kit.trained(kit.batch(rows=3), **changes)
    np.testing.assert_allclose(outputs["prediction"][:3], expected["prediction"], rtol=1e-4, atol=1e-5)
    close(moved, statistics, rtol=1e-5, atol=1e-6)
    close(gradient, alone, rtol=1e-3, atol=1e-5)


def check_batch_of_one(kit: NetworkKit) -> None:
    """One sample is finite in training, and has the score that it has among others."""
    outputs, moved, gradient = kit.trained(kit.batch(rows=1))
    assert outputs["prediction"].shape == (1,)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((outputs, moved, gradient)))
    one = kit.evaluated(batch=kit.batch(rows=1))
    np.testing.assert_allclose(one["prediction"], kit.evaluated()["prediction"][:1], rtol=1e-5, atol=1e-5)


def check_bfloat16(kit: NetworkKit) -> None:
    """Computed in bfloat16 all is finite, all outputs and gradients are float32, and scores are near."""
    outputs, moved, gradient = kit.trained(kit.batch(), dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves((outputs, moved, gradient))} == {jnp.dtype("float32")}
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((outputs, moved, gradient)))
    exact = kit.trained(kit.batch())[0]["prediction"]
    near = 0.02 * max(1.0, float(np.abs(exact).max()))  # it has eight bits, whatever the size of a number
    np.testing.assert_allclose(outputs["prediction"], exact, atol=near)


def check_gradients(kit: NetworkKit) -> None:
    """Every parameter has a gradient, and every running statistic moves."""
    _, moved, gradient = kit.trained(kit.batch())
    for path, value in flatten_dict(gradient, sep="/").items():
        assert np.abs(value).max() > 0, path
    before = flatten_dict(kit.variables()[STATISTICS], sep="/")
    for path, value in flatten_dict(moved, sep="/").items():
        assert np.abs(value - before[path]).max() > 0, path


CHECKS = (check_padding, check_weightless_samples, check_batch_of_one, check_bfloat16, check_gradients)
