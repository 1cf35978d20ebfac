"""What every method must pass, one function for each rule of the protocol."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from msa_jax.data.batches import Plan
from msa_jax.data.masking import Missing, Tokens, without
from msa_jax.errors import InputError, MethodError
from msa_jax.modalities import MODALITIES
from msa_jax.testing.close import close
from msa_jax.testing.conformance import BATCH, CHEAP, Conformance
from msa_jax.testing.name_checks import check_names, trace_phases
from msa_jax.testing.tiny import tiny_dataset
from msa_jax.testing.training_checks import check_resumption, check_side_by_side
from msa_jax.train.epoch import PhaseWalk
from msa_jax.train.model import Model
from msa_jax.train.prepare import prepare
from msa_jax.train.runner import Runner
from msa_jax.train.step import check_outputs, eval_step, gradient_step, update_step

Array = jax.Array

BY_HEART_STEPS = 150
FASTER = 5  # times the learning rates, where eight samples are learned by heart


def check_memory(conformance: Conformance) -> None:
    """The memory keeps its structure, shapes and types through steps and ends of epochs."""
    plan = conformance.plan(range(BATCH), [1] * BATCH)
    for stage, walk in conformance.phases:
        state, frozen = conformance.start(stage)
        _, stepped, measured = conformance.step(stage, walk, state, frozen, plan)
        after = stepped.memory
        ended = jax.eval_shape(
            lambda memory, means, walk=walk: walk.end_epoch(means, memory, {}), after, measured.means
        )
        before = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state.memory)
        for name, memory in (("a step", after), ("the end of an epoch", ended)):
            found = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), memory)
            assert found == before, f"{name} makes of the memory {before} {found}"


def check_padding(conformance: Conformance) -> None:
    """More padding changes no score."""
    scores, padded = conformance.evaluate(conformance.initial.variables, conformance.batch(range(BATCH)))
    close(padded, scores, "with more padding, score", tolerance=1e-5)


def check_other_samples(conformance: Conformance) -> None:
    """The score of a sample does not depend on the other samples of its batch, or on its place among them."""
    half = BATCH // 2
    one, other = (
        conformance.evaluate(conformance.initial.variables, conformance.batch(rows))[0]
        for rows in (range(BATCH), [*range(2 * BATCH, 2 * BATCH + half), *range(half)])
    )
    got, want = (
        {name: score[half:] for name, score in other.items()},
        {name: score[:half] for name, score in one.items()},
    )
    close(got, want, "among other samples, score", tolerance=1e-5)


def check_weightless_rows(conformance: Conformance) -> None:
    """Samples of weight 0 change neither loss nor gradient nor statistics nor the memory, whatever they hold."""
    count = BATCH // 2
    weight = [1.0] * count + [0.0] * (BATCH - count)
    for stage, walk in conformance.phases:
        state, frozen = conformance.start(stage)
        one, other = (
            conformance.step(
                stage,
                walk,
                state,
                frozen,
                conformance.plan([*range(count), *range(first, first + BATCH - count)], weight),
            )
            for first in (count, 2 * BATCH)
        )
        close(other[0], one[0], f"phase {walk.phase.name}: the gradient of", tolerance=1e-5)
        close(other[2].means, one[2].means, f"phase {walk.phase.name}: term", tolerance=1e-5)
        close(other[1].statistics, one[1].statistics, "statistics", tolerance=1e-5)
        close(_plain(other[1].memory), _plain(one[1].memory), "memory", tolerance=1e-5)


def _plain(memory: Any) -> list[Array]:
    return [leaf.astype(jnp.float32) for leaf in jax.tree.leaves(memory)]


def check_batch_of_one(conformance: Conformance) -> None:
    """A mini-batch in which one sample counts gives finite numbers, and a batch of one sample a score."""
    weight = [1.0] + [0.0] * (BATCH - 1)
    for stage, walk in conformance.phases:
        state, frozen = conformance.start(stage)
        gradient, after, measured = conformance.step(stage, walk, state, frozen, conformance.plan(range(BATCH), weight))
        bad = [name for name, mean in measured.means.items() if not np.isfinite(mean)]
        assert not bad, f"phase {walk.phase.name}: not finite with one sample: {bad}"
        bad = [path for path, leaf in {**gradient, **after.params}.items() if not np.isfinite(leaf).all()]
        assert not bad, f"phase {walk.phase.name}: not finite with one sample: {bad}"
    variables, batch = conformance.initial.variables, conformance.batch([0])
    outputs = jax.eval_shape(
        lambda held, of: conformance.model.apply(held.params, held.statistics, of, train=False)[0], variables, batch
    )
    check_outputs(conformance.model, outputs, 1)


def check_absent_modalities(conformance: Conformance) -> None:
    """With every set of modalities the method either works or says what it needs."""
    worked = 0
    for count in (1, 2, 3):
        for names in itertools.combinations(MODALITIES, count):
            dataset = tiny_dataset(
                modalities=names,
                text="text_bert",
                human_labels=True,
                aligned=conformance.method.needs_aligned(conformance.options) and "text" in names,
            )
            try:
                prepared = prepare(dataset, conformance.method, conformance.options)
            except MethodError:
                raise
            except InputError:  # it says what it needs
                continue
            inits = Runner(conformance.method, conformance.options, prepared, metric_kind=dataset.card.metrics).inits
            inits.check()
            trace_phases(inits, prepared.columns["train"])
            worked += 1
    assert worked, "it works with no set of modalities"


def check_missing(conformance: Conformance) -> None:
    """A sample of which a modality is absent or silent has a score, and trains; other samples are as they were, and so is this
    one if the method does not read that modality."""
    reads = conformance.method.read_names(conformance.options, conformance.model.inputs)
    names = [name for name in MODALITIES if name in conformance.columns]
    aligned, tokens = conformance.model.inputs.aligned, Tokens(np.int32(1), np.int32(0))
    batch, lacks = conformance.batch(range(BATCH)), np.arange(BATCH) % 2 == 0
    plain = conformance.evaluate(conformance.initial.variables, batch)[0]
    for name in names:
        steps = batch[name]["mask" if name == "text" else "features"].shape[1]
        silent = np.repeat(lacks[:, None], steps, axis=1)
        for kind, missing in (
            ("absent", Missing({name: lacks}, {}, tokens)),
            ("silent", Missing({}, {name: silent}, tokens)),
        ):
            scores, padded = conformance.evaluate(
                conformance.initial.variables, without(batch, missing, aligned=aligned)
            )
            bad = [head for head, score in scores.items() if not np.isfinite(score).all()]
            assert not bad, f"{name} is {kind}: not finite: {bad}"
            close(padded, scores, f"{name} is {kind}: with more padding, score", tolerance=1e-5)
            rest = [{head: score[~lacks] for head, score in of.items()} for of in (scores, plain)]
            close(*rest, f"{name} is {kind} elsewhere: score", tolerance=1e-5)
            if name not in reads:
                one, other = ({"prediction": of["prediction"]} for of in (scores, plain))
                close(one, other, f"{name} is {kind}, which the method says it does not read: score", tolerance=1e-5)
    # Every sample lacks another modality than its neighbours.
    row = np.arange(len(conformance.columns["label"])) % (len(names) + 1)
    absent = {name: row == place for place, name in enumerate(names)} if len(names) > 1 else {}
    columns = without(conformance.columns, Missing(absent, {}, tokens), aligned=aligned)
    for stage, walk in conformance.phases:
        state, frozen = conformance.start(stage)
        plan = conformance.plan(range(BATCH), [1] * BATCH)
        gradient, _, measured = conformance.step(stage, walk, state, frozen, plan, columns=columns)
        bad = [term for term, mean in measured.means.items() if not np.isfinite(mean)]
        bad += [path for path, leaf in gradient.items() if not np.isfinite(leaf).all()]
        assert not bad, f"phase {walk.phase.name}: not finite if modalities are absent: {bad}"


def check_bfloat16(conformance: Conformance) -> None:
    """Computed in bfloat16, scores are near those of float32."""
    variables, batch = conformance.initial.variables, conformance.batch(range(BATCH))
    scores = conformance.evaluate(variables, batch)[0]
    model = Model(conformance.method, conformance.options, conformance.model.inputs, jnp.dtype(jnp.bfloat16))
    names = tuple(scores)
    half = jax.jit(lambda held, of: eval_step(model, held.params, held.statistics, of, names), compiler_options=CHEAP)(
        variables, batch
    )
    wrong = [name for name, score in half.items() if score.dtype != jnp.float32]
    assert not wrong, f"scores that are not float32 when computed in bfloat16: {wrong}"
    close(half, scores, "in bfloat16, score", tolerance=0.1)


def check_what_moves(conformance: Conformance) -> None:
    """A few steps of each phase move every parameter that it trains, and no other."""
    # An odd number of samples: of an even one the signs of L1 may cancel.
    plan = conformance.plan(range(BATCH), [1] * (BATCH - 1) + [0])
    for stage, walk in conformance.phases:
        state, frozen = conformance.start(stage)
        before = state.params
        for number in range(3):  # generated labels move in the first, and only then are weighed
            _, state, _ = conformance.step(stage, walk, state, frozen, plan, number)
        for path, value in state.params.items():
            groups = walk.assigned.get(path, [None])
            layers = value.shape[0] if len(groups) > 1 else 1
            for layer in range(layers):
                old, new = (np.asarray(of if len(groups) == 1 else of[layer]) for of in (before[path], value))
                trained = groups[layer] is not None
                moved = not np.array_equal(old, new)
                assert moved == trained, (
                    f"phase {walk.phase.name}: {path}{f', layer {layer}' if len(groups) > 1 else ''} "
                    f"{'moved, though it is frozen' if moved else 'did not move'}"
                )


def check_by_heart(conformance: Conformance) -> None:
    """The last stage learns eight samples by heart."""
    label = np.asarray(conformance.columns["label"][:BATCH])
    stage = len(conformance.inits.stages) - 1
    state, frozen = conformance.start(stage)
    state = state.replace(rate=jnp.float32(FASTER))
    plan = conformance.plan(range(BATCH), [1] * BATCH)
    name = conformance.inits.stages[stage].stage.select.head
    batch = conformance.batch(range(BATCH))

    def error(state: Any) -> float:
        scores = conformance.evaluate(({**state.params, **frozen}, state.statistics), batch)[0]
        return float(np.abs(np.asarray(scores[name]) - label).mean())

    before = error(state)
    walks = [walk for number, walk in conformance.phases if number == stage]
    after = before
    for number in range(BY_HEART_STEPS):
        for walk in walks:
            _, state, _ = conformance.step(stage, walk, state, frozen, plan, number)
        if number % 25 == 24:
            after = error(state)
            if after < 0.5 * before:
                break
    assert after < 0.5 * before, (
        f"after {BY_HEART_STEPS} steps the mean absolute error is {after:.3f}, {before:.3f} before"
    )


def check_export(conformance: Conformance) -> None:
    """A training step of every phase can be lowered for a TPU and for an NVIDIA GPU."""
    plan = conformance.plan(range(BATCH), [1] * BATCH)
    for stage, walk in conformance.phases:
        state, frozen = conformance.start(stage)
        state = state.replace(key=None)
        inner = walk.optimiser(walk.options)

        def step(state: Any, frozen: Any, data: Any, plan: Plan, walk: PhaseWalk = walk, inner: Any = inner) -> Any:
            state = state.replace(key=jax.random.key(0))
            batch = walk.batch(data, plan, jnp.int32(0), state.memory, jax.random.key(1))
            gradient, after, _ = gradient_step(walk.model, walk.phase, inner, state, frozen, batch, jax.random.key(2))
            return update_step(walk.phase, inner, after, gradient).params

        shapes = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype),
            (state, frozen, dict(conformance.columns), plan),
        )
        exported = jax.export.export(jax.jit(step), platforms=("tpu", "cuda"))(*shapes)
        assert set(exported.platforms) == {"tpu", "cuda"}


CHECKS: dict[str, Callable[[Conformance], None]] = {
    "names": check_names,
    "memory": check_memory,
    "padding": check_padding,
    "other samples": check_other_samples,
    "weightless rows": check_weightless_rows,
    "batch of one": check_batch_of_one,
    "absent modalities": check_absent_modalities,
    "missing": check_missing,
    "bfloat16": check_bfloat16,
    "what moves": check_what_moves,
    "by heart": check_by_heart,
    "export": check_export,
    "resumption": check_resumption,
    "side by side": check_side_by_side,
}
