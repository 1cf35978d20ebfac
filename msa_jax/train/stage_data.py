"""The stages of training, and what one reads: its arrays, its frozen parameters, the held-out splits to score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from msa_jax import config
from msa_jax.config import Options
from msa_jax.data.packing import Capacity, choose_capacity
from msa_jax.data.preprocess import Columns, text_lengths
from msa_jax.data.schema import HELD_OUT
from msa_jax.errors import MethodError
from msa_jax.methods.protocol import Inputs, Method, Phase, Stage
from msa_jax.train.device_data import DeviceData, bytes_of, fits, fits_host, streams
from msa_jax.train.evaluate import Scorer
from msa_jax.train.model import Variables
from msa_jax.train.programs import StagePrograms
from msa_jax.train.runs import ONE, Layout, Shared
from msa_jax.train.state import Flat


def resolve_stages(method: Method, options: Options, inputs: Inputs) -> list[tuple[Stage, Options]]:
    """The method's stages, each with its own options, the text encoder frozen if these ask for it.

    Raises:
      InputError: an option of a stage does not exist or does not fit.
      MethodError: there is no stage or no phase, two share a name, or a share is not above 0 and at most 1.
    """
    resolved, stages = [], method.stages(options, inputs)
    _check_names(f"method {method.name}", "stages", [stage.name for stage in stages])
    for stage in stages:
        # Moments, updates and programs of a phase are found by its name.
        _check_names(f"stage {stage.name}", "phases", [phase.name for phase in stage.phases])
        for phase in stage.phases:
            if not 0 < phase.share <= 1:
                raise MethodError(f"phase {phase.name}: share is {phase.share}; expected above 0 and at most 1")
        own = config.override(options, stage.options)
        patterns = [] if own.freeze is None else [own.freeze]
        if not own.finetune_text and method.text_encoder is not None:
            patterns.append(f"^{method.text_encoder}/")
        phases = tuple(_frozen(phase, patterns) for phase in stage.phases)
        resolved.append((replace(stage, phases=phases), own))
    return resolved


def _check_names(owner: str, kind: str, names: Sequence[str]) -> None:
    """Raises MethodError if there is no name, or one twice."""
    if not names or len(set(names)) < len(names):
        raise MethodError(
            f"{owner}: its {kind} are {', '.join(names) or 'none'}; expected some, each with its own name"
        )


def _frozen(phase: Phase, patterns: list[str]) -> Phase:
    """The phase without the parameters that match one of the patterns."""
    named = [*patterns, *([] if phase.frozen is None else [phase.frozen])]
    return replace(phase, frozen="|".join(f"(?:{pattern})" for pattern in named) or None)


def text_capacity(columns: Columns, options: Options) -> Capacity | None:
    """The rows that a mini-batch's utterances are packed into; None if they are not packed."""
    lengths = text_lengths(columns)
    return None if lengths is None or not options.pack_text else choose_capacity(lengths, options.batch_size)


@dataclass(frozen=True, kw_only=True, eq=False)
class StageData:
    """What every epoch of a stage of a run reads, and none changes.

    frozen: the parameters that are not trained. lengths: [N] tokens of each utterance, by which mini-batches are planned; None
    if text is not packed.
    """

    programs: StagePrograms
    frozen: Shared
    train: DeviceData
    scorer: Scorer
    lengths: np.ndarray | None


class StageReader:
    """Makes the data of stages. A text encoder that a stage does not train runs once, for as long as it stays the same."""

    def __init__(self, columns: Mapping[str, Columns], layout: Layout = ONE):
        self._layout = layout
        self._columns = columns
        self._current: StageData | None = None  # of the last stage, so that its arrays are not put there again
        self._encoder: Flat | None = None  # the text encoder that the states below are of
        self._states: dict[str, Columns] = {}

    def read(self, programs: StagePrograms, variables: Variables) -> StageData:
        """What the stage of these programs reads when it begins with these variables."""
        columns = self._encoded(programs, variables) if self._keeps_states(programs) else self._columns
        frozen = Shared(programs.frozen(variables.params), self._layout.replicate, kept=2)  # to train and to score
        current = self._current
        if current is None or current.programs is not programs or current.train.columns is not columns["train"]:
            self._current = current = None  # its arrays leave the device before others come
            current = StageData(
                programs=programs,
                frozen=frozen,
                train=DeviceData(columns["train"], programs.options, self._layout),
                scorer=Scorer(programs.forward, {name: columns[name] for name in HELD_OUT}, programs.options),
                # Of the tokens, also if their states are there: the mini-batches are the same then.
                lengths=None if programs.capacity is None else text_lengths(self._columns["train"]),
            )
        self._current = replace(current, frozen=frozen)
        return self._current

    def _keeps_states(self, programs: StagePrograms) -> bool:
        """Whether the text encoder runs before the stage; if its states are too large, it runs anew in every step."""
        states = {name: self.bytes_of_states(programs, name) for name in self._columns}
        if not any(states.values()):
            return False
        # That the dataset streams has been decided without them.
        train, options = self._columns["train"], programs.options
        room = streams(train, options) or fits(bytes_of(train) + states["train"], options)
        return room and fits_host(sum(states.values()))  # where they are whole, whatever devices share them

    def bytes_of_states(self, programs: StagePrograms, split: str) -> int:
        """Of the states of a split's tokens, in float32; 0 if the text encoder does not run only once."""
        if not programs.encodes_once:
            return 0
        return 4 * programs.model.inputs.text.width * self._columns[split]["text"]["ids"].size

    def _encoded(self, programs: StagePrograms, variables: Variables) -> dict[str, Columns]:
        """All splits with the states of their tokens in the place of these."""
        module = programs.model.method.text_encoder
        encoder = {path: value for path, value in variables.params.items() if path.startswith(f"{module}/")}
        if self._encoder is None or not same(self._encoder, encoder):
            held_out = Scorer(programs.forward, {name: self._columns[name] for name in HELD_OUT}, programs.options)
            train = Scorer(programs.forward, {"train": self._columns["train"]}, programs.options)
            placed = self._layout.replicate(Variables(dict(variables.params), dict(variables.statistics)), 1)
            self._states = {
                name: {**self._columns[name], "text": scorer.text_states(placed, name)}
                for name, scorer in {"train": train, **dict.fromkeys(HELD_OUT, held_out)}.items()
            }
            self._encoder = jax.tree.map(np.asarray, encoder)
        return self._states


def same(one: Any, other: Any) -> bool:
    """Whether two trees hold the same arrays."""
    if jax.tree.structure(one) != jax.tree.structure(other):
        return False
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))
