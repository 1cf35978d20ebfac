"""Whether numbers on a dataset may be set beside a paper's, and if not, why; and what else a reader must be told."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from msa_jax.data.schema import Dataset
from msa_jax.modalities import MODALITIES
from msa_jax.report.study import Outcome, Study


@dataclass(frozen=True, kw_only=True)
class Comparability:
    """reference: the paper's dataset that is shown; None where it has none. differences: why its numbers are not
    comparable; empty where they are. printed: whether it gives numbers at all.
    """

    reference: str | None
    differences: tuple[str, ...] = ()
    printed: bool = True

    @property
    def notes(self) -> tuple[str, ...]:
        """One line for the reader of a table."""
        if self.reference is None or not (self.printed or self.differences):
            return ()
        if not self.printed:
            return (f"The paper shows {self.reference} and prints no numbers. Here: {'; '.join(self.differences)}.",)
        if not self.differences:
            return (
                f"paper: as it prints them for {self.reference}. Name, rows, modalities and text encoder are the same "
                "here; whether the features are cannot be told from a paper.",
            )
        reasons = "; ".join(self.differences)
        return (f"paper: as it prints them for {self.reference}. NOT comparable with the numbers here: {reasons}.",)


def comparability(study: Study, dataset: Dataset, outcomes: Sequence[Outcome]) -> Comparability:
    """Compares dataset and text encoder with what the study knows of the paper's."""
    card = dataset.card
    reference = study.reference(card.name, card.metrics)
    if reference is None:
        return Comparability(reference=None)
    paper, differences = study.datasets[reference], []
    possible = [outcome for outcome in outcomes if outcome.reason is None]
    if card.name != reference:
        differences.append(f"the dataset is {card.name}")
    differences += dict.fromkeys(part for outcome in possible for part in _parts(outcome, dataset))
    rows = tuple(len(split) for split in dataset.splits().values())
    if paper.rows is not None and rows != paper.rows:
        differences.append(f"train/valid/test have {_slashes(rows)} samples instead of {_slashes(paper.rows)}")
    absent = [modality for modality in MODALITIES if not dataset.has(modality)]
    if absent:
        differences.append(f"there is no {' and no '.join(absent)}")
    aligned = _is_aligned(dataset)
    if None not in (paper.aligned, aligned) and aligned != paper.aligned:
        words = {True: "aligned with the tokens", False: "unaligned"}
        differences.append(f"audio and vision are {words[aligned]} instead of {words[paper.aligned]}")
    if paper.text_encoder is not None and dataset.has("text"):
        used = {str(o.settings.options.text_encoder): None for o in possible}  # ordered, distinct
        other = [encoder for encoder in used if _model(encoder) != _model(paper.text_encoder)]
        if other:
            differences.append(f"the text encoder is {', '.join(other)} instead of {paper.text_encoder}")
    return Comparability(reference=reference, differences=tuple(differences), printed=study.prints_numbers)


def remarks(study: Study, outcomes: Sequence[Outcome], against: Comparability) -> tuple[str, ...]:
    """Notes for below a table: how it was run, what the paper's numbers are, what is missing, the study's own."""
    possible = [outcome for outcome in outcomes if not outcome.reason]
    setups = dict.fromkeys(_setup(outcome) for outcome in possible)  # ordered, distinct; so are the next two
    reasons = dict.fromkeys(outcome.reason for outcome in outcomes if outcome.reason)
    lacking = dict.fromkeys(outcome.ignored for outcome in possible if outcome.ignored)

    def names(chosen: Iterable[Outcome]) -> str:
        return "; ".join(outcome.variant.name for outcome in chosen)

    return (
        f"Run here: {'; '.join(setups)}.",
        *against.notes,
        *(f"Not possible here: {names(o for o in outcomes if o.reason == reason)}: {reason}." for reason in reasons),
        *(
            f"Without option {', '.join(options)}, which the method does not have: "
            f"{names(o for o in possible if o.ignored == options)}."
            for options in lacking
        ),
        *_number_formats(possible),
        *study.notes,
    )


def _number_formats(outcomes: Sequence[Outcome]) -> list[str]:
    """Said where they are not the same: a table that began on one device may go on on another."""
    found = {outcome.precision for outcome in outcomes} - {None}
    return [
        f"Computed in {name}: {'; '.join(o.variant.name for o in outcomes if o.precision == name)}."
        for name in sorted(found if len(found) > 1 else ())
    ]


def _setup(outcome: Outcome) -> str:
    settings = outcome.settings
    preset = f"preset {settings.preset}" if settings.preset else "no preset"
    asked = "".join(f", {name} {value}" for name, value in outcome.asked.items())
    return f"{outcome.variant.method} with protocol {settings.protocol}, {preset}{asked}"


def _parts(outcome: Outcome, dataset: Dataset) -> list[str]:
    """What part of the data is used. What the variant itself leaves out is not named: the paper's row has it too."""
    options, own, parts = outcome.settings.options, outcome.variant.options, []
    left = [name for name in options.leave_out if dataset.has(name)]
    if left and "leave_out" not in own:
        parts.append(f"{' and '.join(left)} {'is' if len(left) == 1 else 'are'} left out")
    if options.train_fraction < 1 and "train_fraction" not in own:
        parts.append(f"a share of {options.train_fraction:g} of train is used")
    return parts


def _is_aligned(dataset: Dataset) -> bool | None:
    """Token-aligned audio and vision are equally long in every row. None where that says nothing: one of them is absent,
    or there is one vector for an utterance.
    """
    if not (dataset.has("audio") and dataset.has("vision")):
        return None
    lengths = [(split.audio_length, split.vision_length) for split in dataset.splits().values()]
    if max(audio.max() for audio, _ in lengths) == 1:
        return None
    return all(np.array_equal(audio, vision) for audio, vision in lengths)


def _slashes(rows: Sequence[int]) -> str:
    return "/".join(map(str, rows))


def _model(encoder: str) -> str:
    """A text encoder's name without owner or folder: "google-bert/bert-base-uncased" -> "bert-base-uncased"."""
    return PurePath(encoder).name
