"""The stages of training, and what one reads: its arrays, its frozen parameters, its scores on the held-out splits."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from msa_jax import config
from msa_jax.config import Options
from msa_jax.data.packing import Capacity, choose_capacity
from msa_jax.data.preprocess import Columns, text_lengths
from msa_jax.methods.protocol import Inputs, Method, Stage
from msa_jax.train.mesh import ONE, Layout, Shared
from msa_jax.train.program import Program
from msa_jax.train.resident import SHARE, DeviceData, device_memory
from msa_jax.train.score import Scorer

HELD_OUT = ("valid", "test")
TEXT = r"^text_encoder/"


def resolve_stages(method: Method, options: Options, inputs: Inputs) -> list[tuple[Stage, Options]]:
    """The method's stages, each with its own options, the text encoder frozen where these ask for it.

    Raises:
      InputError: an option of a stage does not exist or does not fit.
    """
    resolved = []
    for stage in method.stages(options, inputs):
        own = config.override(options, stage.options)
        if not own.finetune_text:
            stage = replace(stage, frozen=TEXT if stage.frozen is None else f"{TEXT}|{stage.frozen}")
        resolved.append((stage, own))
    return resolved


def text_capacity(columns: Columns, options: Options) -> Capacity | None:
    """The rows that a mini-batch's utterances are packed into; None where they are not packed."""
    lengths = text_lengths(columns)
    return None if lengths is None or not options.pack_text else choose_capacity(lengths, options.batch_size)


@dataclass(frozen=True, kw_only=True, eq=False)
class StageData:
    """What every epoch of a stage of a run reads, and none changes.

    frozen: the parameters that are not trained. lengths: [N] tokens of each utterance that is packed, or None.
    """

    program: Program
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
        self._encoder: Any = None  # the text encoder that the states below are of
        self._states: dict[str, Columns] = {}

    def read(self, program: Program, params: Any) -> StageData:
        """What the stage of this program reads when it begins with these parameters."""
        once = self._once(program, params)
        columns = self._encoded(program, params) if once else self._columns
        frozen = Shared(program.split(params)[1], self._layout.share)
        current = self._current
        if current is None or current.program is not program or current.train.columns is not columns["train"]:
            self._current = current = None  # its arrays leave the device before others come
            self._current = StageData(
                program=program,
                frozen=frozen,
                train=DeviceData(columns["train"], program.options, self._layout),
                scorer=Scorer(program, {name: columns[name] for name in HELD_OUT}),
                lengths=None if once or program.capacity is None else text_lengths(columns["train"]),
            )
        self._current = replace(self._current, frozen=frozen)
        return self._current

    def _once(self, program: Program, params: Any) -> bool:
        text = self._columns["train"].get("text", {})
        if not program.options.encode_once or "ids" not in text or not program.freezes(params, "text_encoder"):
            return False
        tokens = sum(columns["text"]["ids"].size for columns in self._columns.values())
        width = program.inputs.text.hidden_size
        return (
            tokens * width * 4 < SHARE * device_memory()
        )  # float32; too large, and they are computed anew in every step

    def _encoded(self, program: Program, params: Any) -> dict[str, Columns]:
        """All splits with the states of their tokens in the place of these."""
        encoder = params["text_encoder"]
        if self._encoder is None or not same(self._encoder, encoder):
            held_out = Scorer(program, {name: self._columns[name] for name in HELD_OUT})
            scorers = {"train": Scorer(program, {"train": self._columns["train"]}), **dict.fromkeys(HELD_OUT, held_out)}
            params = self._layout.share(params, 1)
            self._states = {
                name: {**self._columns[name], "text": scorer.text_states(params, name)}
                for name, scorer in scorers.items()
            }
            self._encoder = jax.tree.map(np.asarray, encoder)
        return self._states


def same(one: Any, other: Any) -> bool:
    """Whether two trees hold the same arrays."""
    if jax.tree.structure(one) != jax.tree.structure(other):
        return False
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))
