"""Whether numbers on a dataset may be set beside a paper's, and if not, why."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from msa_jax.data.schema import MODALITIES, Dataset
from msa_jax.report.study import Outcome, Study


@dataclass(frozen=True, kw_only=True)
class Comparability:
    """reference: the paper's dataset that is shown, None where it has none. differences: one line each; none: comparable."""

    reference: str | None
    differences: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """One line for the reader of a table."""
        if self.reference is None:
            return ()
        if not self.differences:
            return (
                f"paper: as it prints them for {self.reference}. Name, rows, modalities and text encoder are the same here; "
                "whether the features are cannot be told from a paper.",
            )
        reasons = "; ".join(self.differences)
        return (f"paper: as it prints them for {self.reference}. NOT comparable with the numbers here: {reasons}.",)


def comparability(study: Study, dataset: Dataset, outcomes: Sequence[Outcome]) -> Comparability:
    """Compares dataset and text encoder with what the study knows of the paper's."""
    card = dataset.card
    reference = study.reference(card.name, card.metrics)
    if reference is None:
        return Comparability(reference=None, differences=())
    paper, differences = study.datasets[reference], []
    if card.name != reference:
        differences.append(f"the dataset is {card.name}")
    rows = tuple(len(split) for split in dataset.splits().values())
    if paper.rows is not None and rows != paper.rows:
        differences.append(f"train/valid/test have {_slashes(rows)} rows instead of {_slashes(paper.rows)}")
    absent = [modality for modality in MODALITIES if not dataset.has(modality)]
    if absent:
        differences.append(f"there is no {' and no '.join(absent)} here")
    if paper.text_encoder is not None and dataset.has("text"):
        used = {str(o.settings.options.text_encoder): None for o in outcomes if o.reason is None}  # ordered, distinct
        other = [encoder for encoder in used if _model(encoder) != _model(paper.text_encoder)]
        if other:
            differences.append(f"the text encoder is {', '.join(other)} instead of {paper.text_encoder}")
    return Comparability(reference=reference, differences=tuple(differences))


def _slashes(rows: Sequence[int]) -> str:
    return "/".join(map(str, rows))


def _model(encoder: str) -> str:
    """The name of a text encoder without its owner or folder: "google-bert/bert-base-uncased" -> "bert-base-uncased"."""
    return PurePath(encoder).name
