"""How alike the decomposed parts of a sample are: mean cosines on test, drawn as a matrix for each variant."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from msa_jax.data.schema import Dataset
from msa_jax.errors import InputError
from msa_jax.report import panels
from msa_jax.report.comparability import Comparability, remarks
from msa_jax.report.exports import exported_names, read_exports
from msa_jax.report.study import Outcome, Rendering, Study
from msa_jax.report.table import Table, summary_cells
from msa_jax.report.vectors import unit

SPLIT = "test"
PREFIX = "part_"  # of exports; a letter for the modality and one for the kind follow: part_ts, part_td
KEYS = dict.fromkeys(("positive", "negative", "own", "similar", "dissimilar"), 3)  # digits


def check(study: Study) -> None:
    """Every method must export parts."""
    for variant in study.variants:
        if not any(name.startswith(PREFIX) for name in exported_names(variant.method)):
            raise InputError(f"study {study.name}: method {variant.method} exports no {PREFIX}ts or the like")


def mean_cosines(parts: Mapping[str, np.ndarray]) -> np.ndarray:
    """Parts [N, d] each -> [P, P]: mean over samples of the cosine of two parts of a sample; a vector of 0 has cosine 0."""
    units = np.stack([unit(part) for part in parts.values()])  # [P, N, d]
    return np.einsum("pnd,qnd->pq", units, units) / units.shape[1]


def contrasts(matrix: np.ndarray, names: Sequence[str]) -> dict[str, float | None]:
    """What a contrast between parts should change, from their mean cosines [P, P]; None where there is no such pair.

    positive: of the first similar part, T_s, with the other similar ones. negative: with all dissimilar ones. own: of the
    two parts of one modality. similar, dissimilar: of all pairs within a kind.
    """
    kinds = {kind: [at for at, name in enumerate(names) if name[1] == kind] for kind in "sd"}
    first, *others = kinds["s"]
    pairs = {
        "positive": [(first, at) for at in others],
        "negative": [(first, at) for at in kinds["d"]],
        "own": [(a, b) for a in kinds["s"] for b in kinds["d"] if names[a][0] == names[b][0]],
        "similar": [(a, b) for a in kinds["s"] for b in kinds["s"] if a < b],
        "dissimilar": [(a, b) for a in kinds["d"] for b in kinds["d"] if a < b],
    }
    return {key: float(np.mean([matrix[at] for at in found])) if found else None for key, found in pairs.items()}


def render(study: Study, dataset: Dataset, outcomes: Sequence[Outcome], against: Comparability) -> Rendering:
    """A matrix for each variant, of the mean over seeds, and a row of what lies in it."""
    content: dict[str, Any] = {"split": SPLIT, "rows": len(dataset.split(SPLIT)), "variants": {}}
    means: dict[str, np.ndarray] = {}
    names: list[str] = []
    for outcome in (outcome for outcome in outcomes if not outcome.reason):
        found = {}
        for seed, splits in read_exports(outcome, dataset, (SPLIT,)).items():
            arrays = splits[SPLIT]
            parts = {name.removeprefix(PREFIX): array for name, array in arrays.items() if name.startswith(PREFIX)}
            names, matrix = list(parts), mean_cosines(parts)
            found[str(seed)] = {"parts": names, "cosines": matrix.tolist(), **contrasts(matrix, names)}
        content["variants"][outcome.variant.name] = found
        means[outcome.variant.name] = np.mean([run["cosines"] for run in found.values()], axis=0)
    shown = [_shown(name) for name in names]
    figure = panels.matrices(
        means, names=shown, title=f"{dataset.card.name}: mean cosine of the parts of a sample, {SPLIT}"
    )
    caption = f"{study.title}: {dataset.card.name}, {SPLIT}, {content['rows']} samples"
    tables = (
        _contrasts(content["variants"], caption, remarks(study, outcomes, against)),
        *(
            Table(
                columns=("part", *shown),
                rows=[(name, *(f"{cosine:.3f}" for cosine in row)) for name, row in zip(shown, matrix, strict=True)],
                caption=f"{caption}, mean cosine of parts: {variant}",
            )
            for variant, matrix in means.items()
        ),
    )
    return Rendering(content=content, tables=tables, figures={"figure.png": figure})


def _shown(name: str) -> str:
    """ts -> T_s."""
    return f"{name[0].upper()}_{name[1]}"


def _contrasts(variants: Mapping[str, Mapping[str, Any]], caption: str, notes: Sequence[str]) -> Table:
    rows = [(variant, len(seeds), *summary_cells(list(seeds.values()), KEYS)) for variant, seeds in variants.items()]
    return Table(
        columns=("variant", "runs", "positive pairs", "negative pairs", "own", "similar", "dissimilar"),
        rows=rows,
        caption=caption,
        notes=(
            "Mean cosine over samples, mean ± sample standard deviation over seeds. positive pairs: T_s with the other similar "
            "parts (without text V_s takes its place). negative pairs: with the dissimilar parts. own: similar with "
            "dissimilar part of one modality. similar, dissimilar: all pairs of a kind.",
            *notes,
        ),
    )
