"""What every method must pass, of the names that it gives the engine."""

import json
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax import config
from msa_jax.data.batches import ordered_plan
from msa_jax.layers.stack import layer_paths
from msa_jax.testing.conformance import BATCH, Conformance
from msa_jax.train.checkpoint import StageInit
from msa_jax.train.model import Variables
from msa_jax.train.stage_inits import StageInits
from msa_jax.train.step import Measured
from msa_jax.train.step import check_names as require_names

Array = jax.Array


def check_names(conformance: Conformance) -> None:
    """Every name exists: heads, exports, terms, weights, records; every parameter has a group, and what is
    frozen is there; scores are float32."""
    method, model, inits = conformance.method, conformance.model, conformance.inits
    inits.check()
    _check_patterns(conformance)
    _check_terms(conformance)
    assert "prediction" in method.head_names(model.options, model.inputs), "prediction is no head"
    wrong = [path for path, leaf in inits.shapes.params.items() if leaf.dtype != jnp.float32]
    assert not wrong, f"parameters that are not float32: {wrong}"
    assert method.name.isidentifier(), f"its name is {method.name!r}, which is no identifier of Python"
    assert method.paper, "it does not say what it is"
    assert issubclass(method.options, config.Options), "its options are no msa_jax.config.Options"
    content = json.loads(json.dumps(config.to_json(model.options)))
    assert config.override(method.options(), content) == model.options, "its options do not survive JSON"
    reference = config.override(method.options(), method.reference)
    before, after = config.to_json(method.options()), config.to_json(reference)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == set(method.reference), f"the reference protocol names defaults: {set(method.reference) - changed}"
    scores = conformance.evaluate(conformance.initial.variables, conformance.batch(range(BATCH)))[0]
    wrong = [name for name, score in scores.items() if score.dtype != jnp.float32]
    assert not wrong, f"scores that are not float32: {wrong}"


def _check_patterns(conformance: Conformance) -> None:
    """The patterns of what is frozen, and the name of the text encoder, find parameters. On data that lack a modality they
    may find none."""
    method, model = conformance.method, conformance.model
    paths = layer_paths(conformance.inits.shapes.params)
    patterns: dict[str, str] = {}
    for stage in method.stages(model.options, model.inputs):  # before options freeze more
        owner = f"stage {stage.name}, phase"
        patterns |= {f"{owner} {phase.name}: frozen": phase.frozen for phase in stage.phases if phase.frozen}
    if method.text_encoder is not None:
        patterns["text_encoder"] = f"^{method.text_encoder}/"
    for owner, pattern in patterns.items():
        assert any(re.search(pattern, path) for path in paths), f"{owner} {pattern!r} matches no parameter"


def _check_terms(conformance: Conformance) -> None:
    """Terms of a batch and terms that may select are terms of the objective."""
    selects: dict[str, Array] = {}
    for programs, found in zip(
        conformance.inits.stages, trace_phases(conformance.inits, conformance.columns), strict=True
    ):
        for phase, measured in zip(programs.stage.phases, found, strict=True):
            require_names(f"phase {phase.name}", "a batch term", phase.batch_terms, measured.means)
        selects |= found[-1].means
    require_names(f"method {conformance.method.name}", "a valid term", conformance.method.valid_terms, selects)


def trace_phases(inits: StageInits, columns: Mapping[str, Any]) -> list[list[Measured]]:
    """Traces a step of every phase, on shapes alone. Returns what it measures, as shapes, of the phases of every stage."""
    plan = jax.tree.map(lambda leaf: leaf[None], ordered_plan(np.arange(BATCH), BATCH))
    memory = jax.eval_shape(inits.traced_memory, {})
    params = inits.shapes.params

    def zeros(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), tree)

    held = Variables(zeros(dict(params)), zeros(dict(inits.shapes.statistics)))
    begin = StageInit(held, zeros(memory))
    found = []
    for programs in inits.stages:
        states = programs.start([begin], [jax.random.key(0)])
        frozen = programs.frozen(begin.variables.params)
        found.append([phase.measured(states, frozen, columns, plan) for phase in programs.phases])
    return found
