"""Does a method keep to the protocol? Checks that every method must pass, for those of msa_jax and of other packages.

    from msa_jax.testing import check_method

    def test_my_method():
        check_method(METHOD)

Everything runs on a dataset and a text encoder so small that a method takes seconds, most of them in the compiler.
"""

import itertools
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from msa_jax import config, methods
from msa_jax.data.batches import Plan, ordered_plan
from msa_jax.data.schema import Card, Dataset, validate
from msa_jax.errors import InputError, MethodError
from msa_jax.methods.protocol import Method, Score
from msa_jax.modalities import MODALITIES, UNIMODAL_LABELS
from msa_jax.train.checkpoint import StageInit
from msa_jax.train.epoch import PhaseWalk
from msa_jax.train.experiment import train
from msa_jax.train.experiment_dir import Run
from msa_jax.train.model import Model, Variables
from msa_jax.train.prepare import prepare
from msa_jax.train.runner import Runner
from msa_jax.train.stage_inits import StageInits
from msa_jax.train.step import check_outputs, eval_step, gradient_step, update_step

Array = jax.Array

WORDS = ("bad", "dull", "fine", "good", "great", "film", "plot", "actor", "really", "not")
BATCH = 8
QUICK: Mapping[str, Any] = {
    "scratch_layers": 2,
    "scratch_width": 32,
    "max_tokens": 12,
    "batch_size": BATCH,
    "pack_text": False,
    "max_epochs": 100,
    "learning_rate.text": 1e-3,
}
BY_HEART_STEPS = 150
FASTER = 5  # times the learning rates, where eight samples are learned by heart
CHEAP = {"xla_backend_optimization_level": 0}


def tiny_dataset(
    seed: int = 0,
    *,
    rows: tuple[int, int, int] = (24, 8, 8),
    modalities: Iterable[str] = MODALITIES,
    text: str = "raw_text",
    label_range: tuple[float, float] = (-3.0, 3.0),
    metrics: str = "mosi",
    human_labels: bool = False,
    aligned: bool = False,
    name: str = "tiny",
) -> Dataset:
    """Utterances of 1 to 6 words, audio [N, 6, 3] and vision [N, 5, 4], all of which follow the label.

    Args:
      seed: of everything drawn.
      rows: samples of train, valid and test.
      modalities: those there are.
      text: the column that carries it: "raw_text", "text_bert" (ids below 40) or "text" (features [N, 7, 8]).
      label_range, metrics, name: of the card.
      human_labels: add label_t, label_a and label_v.
      aligned: as many frames as tokens, at most 8; for text "text_bert".
    """
    low, high = label_range
    splits = {}
    for number, (split, count) in enumerate(zip(("train", "valid", "test"), rows, strict=True)):
        rng = np.random.default_rng([seed, number])
        label = np.linspace(low, high, count).astype(np.float32) if count > 1 else np.array([high], np.float32)
        label = rng.permutation(label)
        columns: dict[str, Any] = {"id": np.array([f"{split}{row}" for row in range(count)]), "label": label}
        signal = (label - (low + high) / 2) / (high - low)
        tokens = None
        if "text" in modalities:
            columns |= _text(rng, text, signal)
            tokens = columns["text_bert"][:, 1].sum(1) if text == "text_bert" else None
        for modality, steps, width in (("audio", 6, 3), ("vision", 5, 4)):
            if modality in modalities:
                if aligned:
                    assert tokens is not None, "aligned data need text_bert"
                    steps, length = 8, tokens.astype(np.int32)
                else:
                    length = rng.integers(1, steps + 1, count).astype(np.int32)
                    length[0] = steps  # every split has the same longest sequence
                frames = rng.normal(0, 0.3, (count, steps, width)) + signal[:, None, None]
                columns[modality] = (frames * (np.arange(steps) < length[:, None])[..., None]).astype(np.float32)
                columns[f"{modality}_length"] = length
        if human_labels:
            for column in UNIMODAL_LABELS:
                columns[column] = np.clip(label + rng.normal(0, 0.3, count), low, high).astype(np.float32)
        splits[split] = columns
    card = Card(name=name, metrics=metrics, label_range=label_range)  # pyright: ignore[reportArgumentType]
    return validate(card, splits, source=name)


def _text(rng: np.random.Generator, kind: str, signal: np.ndarray) -> dict[str, np.ndarray]:
    count = len(signal)
    length = rng.integers(1, 7, count)
    length[0] = 6
    feeling = np.clip(((signal + 0.5) * 5).astype(int), 0, 4)
    words = [[int(feeling[row]), *rng.integers(5, 10, length[row] - 1)] for row in range(count)]
    if kind == "raw_text":
        return {"raw_text": np.array([" ".join(WORDS[word] for word in sentence) for sentence in words])}
    if kind == "text_bert":
        array = np.zeros((count, 3, 8), np.int32)
        for row, sentence in enumerate(words):
            ids = [2, *(word + 10 for word in sentence), 3]
            array[row, 0, : len(ids)], array[row, 1, : len(ids)] = ids, 1
        return {"text_bert": array}
    features = rng.normal(0, 0.3, (count, 7, 8)) + signal[:, None, None]
    return {"text": (features * (np.arange(7) < (length + 1)[:, None])[..., None]).astype(np.float32)}


def check_method(
    method: Method, options: Mapping[str, Any] | None = None, *, leave_out: Sequence[str] = ()
) -> tuple[str, ...]:
    """Checks that a method keeps to the protocol: names, shapes, padding, weights, precision, training, resumption.

    Args:
      method: registered or not.
      options: dotted names and values that differ from the method's defaults: smaller sizes make it quicker.
      leave_out: names in `CHECKS`.

    Returns:
      The names of the checks that were made.

    Raises:
      AssertionError: the method fails a check; the message names it. MethodError: it breaks the protocol.
    """
    conformance = Conformance(method, options)
    made = tuple(name for name in CHECKS if name not in leave_out)
    for name in made:
        conformance.check(name)
    return made


class Conformance:
    """One method on a tiny dataset. One program in evaluation mode and one for each phase serve nearly all checks."""

    def __init__(self, method: Method, options: Mapping[str, Any] | None = None):
        self.method = method
        changes = {name: value for name, value in QUICK.items() if name in config.flatten(method.options())}
        self.changes = {**changes, **(options or {})}
        self.options = config.override(method.options(), self.changes)
        aligned = method.needs_aligned(self.options)
        self.dataset = tiny_dataset(text="text_bert", human_labels=True, aligned=aligned)

    def check(self, name: str) -> None:
        """Makes one of `CHECKS`."""
        try:
            CHECKS[name](self)
        except AssertionError as error:
            raise AssertionError(f"method {self.method.name}, {name}: {error}") from error

    # -- what the checks share ----------------------------------------------------------------------------------------

    @cached_property
    def inits(self) -> StageInits:
        """Stages and where they begin."""
        prepared = prepare(self.dataset, self.method, self.options)
        return Runner(self.method, self.options, prepared, metric_kind=self.dataset.card.metrics).inits

    @cached_property
    def columns(self) -> Mapping[str, Any]:
        """The training arrays."""
        return prepare(self.dataset, self.method, self.options).columns["train"]

    @cached_property
    def model(self) -> Model:
        """The network."""
        return self.inits.stages[-1].model

    @cached_property
    def initial(self) -> Any:
        """What a run begins with, on the device."""
        return jax.tree.map(jnp.asarray, self.inits.initial(Run(number=0, seed=0, folder=Path())))

    def plan(self, rows: Sequence[int], weight: Sequence[float]) -> Plan:
        """One mini-batch of these samples."""
        plan = ordered_plan(np.asarray(rows), len(rows))
        plan = Plan(plan.rows, plan.slots, np.asarray([weight], np.float32), plan.packing)
        return jax.tree.map(jnp.asarray, plan)

    @cached_property
    def evaluate(self) -> Callable[..., Any]:
        """(variables, batch) -> all scores of the batch, and of the same batch with more padding."""
        names = ("prediction", *self.method.head_names(self.options, self.model.inputs))

        def scores(variables: Any, batch: Any) -> Any:
            params, statistics = variables
            both = [eval_step(self.model, params, statistics, of, names) for of in (batch, _padded(batch))]
            return tuple(both)

        return jax.jit(scores, compiler_options=CHEAP)

    def batch(self, rows: Sequence[int]) -> dict[str, Any]:
        """These samples as a batch in which all count."""
        batch = jax.tree.map(lambda column: jnp.asarray(column[np.asarray(rows)]), dict(self.columns))
        return {**batch, "row": jnp.asarray(rows, jnp.int32), "weight": jnp.ones(len(rows), jnp.float32)}

    @cached_property
    def phases(self) -> list[tuple[int, PhaseWalk]]:
        """Every phase of every stage, and the number of its stage."""
        return [(stage, phase.walk) for stage, of in enumerate(self.inits.stages) for phase in of.phases]

    @cached_property
    def _steps(self) -> dict[tuple[int, str], Callable[..., Any]]:
        return {(stage, walk.phase.name): self._step(walk) for stage, walk in self.phases}

    def _step(self, walk: PhaseWalk) -> Callable[..., Any]:
        optimiser = walk.optimiser(walk.options)

        def step(state: Any, frozen: Any, data: Any, plan: Plan, number: Array) -> Any:
            key, of_partners = jax.random.split(walk.step_key(state, number))
            batch = walk.batch(data, plan, jnp.int32(0), state.memory, of_partners)
            gradient, after, measured = gradient_step(walk.model, walk.phase, optimiser, state, frozen, batch, key)
            return gradient, update_step(walk.phase, optimiser, after, gradient), measured

        return jax.jit(step, compiler_options=CHEAP)

    def start(self, stage: int) -> tuple[Any, Any]:
        """The state of a run at the beginning of a stage, in its second epoch, and what is frozen."""
        programs = self.inits.stages[stage]
        states = programs.start([self.initial], [jax.random.key(1)])
        state = jax.tree.map(lambda leaf: jnp.asarray(leaf)[0], states)
        return state.replace(epoch=jnp.int32(2)), programs.frozen(self.initial.variables.params)

    def step(self, stage: int, walk: PhaseWalk, state: Any, frozen: Any, plan: Plan, number: int = 0) -> Any:
        """One training step of a phase: gradient, state, what was measured."""
        return self._steps[stage, walk.phase.name](state, frozen, self.columns, plan, jnp.int32(number))


def _padded(batch: Mapping[str, Any]) -> dict[str, Any]:
    """The batch with three more steps of padding on every sequence."""
    wider = dict(batch)
    for name in MODALITIES:
        if name in batch:
            wider[name] = {
                key: jnp.pad(array, [(0, 0), (0, 3)] + [(0, 0)] * (array.ndim - 2))
                if key in ("ids", "mask", "features")
                else array
                for key, array in batch[name].items()
            }
    return wider


def _close(got: Any, want: Any, what: str, *, tolerance: float) -> None:
    """Largest difference relative to the largest value of each array, at most the tolerance."""
    for path, value in jax.tree.leaves_with_path(want):
        other = np.asarray(_at(got, path), np.float64)
        value = np.asarray(value, np.float64)
        scale = max(np.abs(value).max(initial=0), 1e-3)
        worst = np.abs(other - value).max(initial=0) / scale
        assert worst <= tolerance, f"{what} {jax.tree_util.keystr(path)} differs by {worst:.1e} of its largest value"


def _at(tree: Any, path: Any) -> Any:
    return dict(jax.tree.leaves_with_path(tree))[path]


# -- the checks -------------------------------------------------------------------------------------------------------


def check_names(conformance: Conformance) -> None:
    """Every name exists: heads, exports, terms, weights, records; every parameter has a group; scores are float32."""
    method, model, inits = conformance.method, conformance.model, conformance.inits
    inits.check()
    assert "prediction" in method.head_names(model.options, model.inputs), "prediction is no head"
    wrong = [path for path, leaf in inits.shapes.params.items() if leaf.dtype != jnp.float32]
    assert not wrong, f"parameters that are not float32: {wrong}"
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
    _close(padded, scores, "with more padding, score", tolerance=1e-5)


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
        _close(other[0], one[0], f"phase {walk.phase.name}: the gradient of", tolerance=1e-5)
        _close(other[2].means, one[2].means, f"phase {walk.phase.name}: term", tolerance=1e-5)
        _close(other[1].statistics, one[1].statistics, "statistics", tolerance=1e-5)
        _close(_plain(other[1].memory), _plain(one[1].memory), "memory", tolerance=1e-5)


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
    for count in (1, 2):
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
            _trace_phases(inits, prepared.columns["train"])
            worked += 1
    assert worked, "it works with no set of one or two modalities"


def _trace_phases(inits: StageInits, columns: Mapping[str, Any]) -> None:
    """Traces a step of every phase, on shapes alone."""
    plan = jax.tree.map(lambda leaf: leaf[None], ordered_plan(np.arange(BATCH), BATCH))
    memory = jax.eval_shape(inits.traced_memory, {})
    params = inits.shapes.params

    def zeros(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), tree)

    held = Variables(zeros(dict(params)), zeros(dict(inits.shapes.statistics)))
    begin = StageInit(held, zeros(memory))
    for programs in inits.stages:
        states = programs.start([begin], [jax.random.key(0)])
        for phase in programs.phases:
            phase.measured(states, programs.frozen(begin.variables.params), columns, plan)


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
    _close(half, scores, "in bfloat16, score", tolerance=0.1)


def check_what_moves(conformance: Conformance) -> None:
    """A few steps of each phase move every parameter that it trains, and no other."""
    plan = conformance.plan(range(BATCH), [1] * BATCH)
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
    head = conformance.inits.stages[stage].stage.select
    name = head.head if isinstance(head, Score) else "prediction"
    batch = conformance.batch(range(BATCH))

    def error(state: Any) -> float:
        scores = conformance.evaluate(({**state.params, **frozen}, state.statistics), batch)[0]
        return float(np.abs(np.asarray(scores[name]) - label).mean())

    before = error(state)
    walks = [walk for number, walk in conformance.phases if number == stage]
    for number in range(BY_HEART_STEPS):
        for walk in walks:
            _, state, _ = conformance.step(stage, walk, state, frozen, plan, number)
    after = error(state)
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


class _Stop(Exception):
    """Ends a training run from outside."""


def check_training(conformance: Conformance) -> None:
    """Runs side by side equal separate ones; a run that is interrupted and resumed ends bit for bit as one that is not."""
    name = conformance.method.name
    known = name in methods.METHODS
    if not known:
        methods.register(conformance.method)
    folder = Path(tempfile.mkdtemp(prefix="msa_jax_conformance_"))
    try:
        straight = _train(conformance, folder / "straight", runs_per_program=1)
        interrupted = _interrupted(conformance, folder / "interrupted")
        assert straight == interrupted, "resumed, it ends otherwise than a straight run"
        sequential = conformance.inits.frozen_by_seed() or len(conformance.inits.stages) > 1
        if not sequential:
            together = _train(conformance, folder / "together", runs_per_program=2)
            for one, other in zip(straight, together, strict=True):
                _close(other, one, "runs side by side: prediction", tolerance=2e-3)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if not known:
            methods.METHODS.remove(name)


def _train(conformance: Conformance, folder: Path, *, runs_per_program: int, **named: Any) -> list[list[float]]:
    stages = {option: 1 for option in config.flatten(conformance.options) if option.endswith(".max_epochs")}
    options = {**conformance.changes, **stages, "max_epochs": 2, "runs_per_program": runs_per_program}
    experiment = train(
        conformance.method.name,
        conformance.dataset,
        seeds=(1, 2),
        out=folder,
        preset="none",
        log=None,
        options=options,
        **named,
    )
    return [run.scores["test"]["prediction"].tolist() for run in experiment.runs]


def _interrupted(conformance: Conformance, folder: Path) -> list[list[float]]:
    """The same, stopped behind the first checkpoint and resumed until it ends."""
    from msa_jax.train import checkpoint

    save = checkpoint.RunCheckpoints.save
    stops = iter((True, False, True))

    def save_and_stop(self: Any, state: Any) -> None:
        save(self, state)
        self.close()
        self.__init__(self._folder.parent)
        if next(stops, False):
            raise _Stop

    checkpoint.RunCheckpoints.save = save_and_stop
    try:
        for _ in range(4):
            try:
                return _train(conformance, folder, runs_per_program=1)
            except _Stop:
                continue
    finally:
        checkpoint.RunCheckpoints.save = save
    raise AssertionError("it does not end after it was interrupted")


CHECKS: dict[str, Callable[[Conformance], None]] = {
    "names": check_names,
    "memory": check_memory,
    "padding": check_padding,
    "weightless rows": check_weightless_rows,
    "batch of one": check_batch_of_one,
    "absent modalities": check_absent_modalities,
    "bfloat16": check_bfloat16,
    "what moves": check_what_moves,
    "by heart": check_by_heart,
    "export": check_export,
    "training": check_training,
}
