"""Cross-modal prediction, judged: is a sample's predicted vector nearer to its own target than to those of others?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from msa_jax.data.schema import Dataset
from msa_jax.errors import InputError
from msa_jax.losses import neutral_point
from msa_jax.report.comparability import Comparability, remarks
from msa_jax.report.exports import exported_names, read_exports
from msa_jax.report.study import Outcome, Rendering, Study
from msa_jax.report.table import MISSING, Table, summary_cells
from msa_jax.report.vectors import BLOCK, effective_rank, uniformity, unit

SPLIT = "valid"
PREDICTED, LATENT = "predicted_", "latent_"  # names of exports; a modality follows
TIE = 1e-9  # cosines that differ by less are the same


def retrieval(
    predicted: np.ndarray, latent: np.ndarray, *, groups: np.ndarray | None = None
) -> dict[str, float | None]:
    """Finds the target of each prediction among all targets, by cosine, as contrastive losses compare them.

    Where several targets are equally near, all orders of them count the same: vectors that have collapsed to one give
    exactly chance.

    Args:
      predicted: [N, d].
      latent: [N, d], the targets; row i is that of prediction i.
      groups: [N], such as the side of the neutral point that the label is on.

    Returns:
      top_1, top_5: how often the own target is the nearest, or of the five nearest. reciprocal_rank: mean of 1 / place.
      chance_top_1, chance_top_5, chance_reciprocal_rank: of these, for targets in any order.
      nearer: how often the own target is nearer than that of another sample; 0.5 is chance. nearer_in_group: than that
        of another sample of the same group, which knowing the group alone leaves at 0.5; None without groups, or where
        no group has two.
      rank_predicted, rank_latent: effective rank at unit length. uniformity_predicted, uniformity_latent, and
        uniformity, their mean; None below two samples.

    Raises:
      ValueError: shapes that do not go together.
    """
    if predicted.ndim != 2 or predicted.shape != latent.shape or not len(predicted):
        raise ValueError(
            f"predicted {list(predicted.shape)}, latent {list(latent.shape)}: expected [N, d] twice, N > 0"
        )
    if groups is not None and groups.shape != (len(predicted),):
        raise ValueError(f"groups {list(groups.shape)}: expected [{len(predicted)}]")
    p, g = unit(predicted), unit(latent)
    count = len(p)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, count + 1))])
    before, tied = np.zeros(count, int), np.zeros(count, int)  # nearer targets; those as near, itself among them
    inner = np.full(count, np.nan)
    for start in range(0, count, BLOCK):
        rows = np.arange(start, min(start + BLOCK, count))
        cosine = p[rows] @ g.T
        own = cosine[rows - start, rows][:, None]
        before[rows], tied[rows] = (cosine > own + TIE).sum(1), (np.abs(cosine - own) <= TIE).sum(1)
        if groups is not None:
            same = groups[rows][:, None] == groups[None, :]
            less, equal = ((cosine < own - TIE) & same).sum(1), ((np.abs(cosine - own) <= TIE) & same).sum(1)
            others = same.sum(1) - 1
            inner[rows] = np.where(others > 0, (less + 0.5 * (equal - 1)) / np.maximum(others, 1), np.nan)

    def within(most: int) -> float:
        return float(np.clip((most - before) / tied, 0, 1).mean())

    spreads = uniformity(p), uniformity(g)
    return {
        "top_1": within(1),
        "top_5": within(5),
        "reciprocal_rank": float(((harmonic[before + tied] - harmonic[before]) / tied).mean()),
        "chance_top_1": 1 / count,
        "chance_top_5": min(5, count) / count,
        "chance_reciprocal_rank": float(harmonic[-1] / count),
        "nearer": float(((count - before - tied + 0.5 * (tied - 1)) / (count - 1)).mean()) if count > 1 else None,
        "nearer_in_group": float(np.nanmean(inner)) if np.isfinite(inner).any() else None,
        "rank_predicted": effective_rank(p),
        "rank_latent": effective_rank(g),
        "uniformity_predicted": spreads[0],
        "uniformity_latent": spreads[1],
        "uniformity": None if None in spreads else float(np.mean(spreads)),
    }


def pairs(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """{modality: (prediction, target)} of the exports of those names that come in pairs."""
    modalities = [name.removeprefix(PREDICTED) for name in names if name.startswith(PREDICTED)]
    return {one: (PREDICTED + one, LATENT + one) for one in modalities if LATENT + one in names}


def check(study: Study) -> None:
    """Every method must export predictions and their targets."""
    for variant in study.variants:
        if not pairs(exported_names(variant.method)):
            raise InputError(
                f"study {study.name}: method {variant.method} exports no {PREDICTED}audio with {LATENT}audio or the like"
            )


def render(study: Study, dataset: Dataset, outcomes: Sequence[Outcome], against: Comparability) -> Rendering:
    """A row for each variant and predicted modality, on valid, mean ± sd over seeds."""
    groups = np.sign(dataset.split(SPLIT).label - neutral_point(*dataset.card.label_range))
    content: dict[str, Any] = {"split": SPLIT, "rows": len(groups), "variants": {}}
    for outcome in (outcome for outcome in outcomes if not outcome.reason):
        runs = {seed: splits[SPLIT] for seed, splits in read_exports(outcome, dataset, (SPLIT,)).items()}
        content["variants"][outcome.variant.name] = {
            modality: {
                str(seed): retrieval(arrays[first], arrays[second], groups=groups) for seed, arrays in runs.items()
            }
            for modality, (first, second) in pairs(list(next(iter(runs.values())))).items()
        }
    notes = remarks(study, outcomes, against)
    return Rendering(content=content, tables=(_table(study, dataset, content, notes),))


def _table(study: Study, dataset: Dataset, content: Mapping[str, Any], notes: Sequence[str]) -> Table:
    shown = {  # key -> digits; shares in percent
        "nearer": 1,
        "nearer_in_group": 1,
        "top_1": 1,
        "top_5": 1,
        "reciprocal_rank": 3,
        "rank_predicted": 1,
        "rank_latent": 1,
        "uniformity": 2,
    }
    percent = ("nearer", "nearer_in_group", "top_1", "top_5")
    rows, chance = [], None
    for variant, modalities in content["variants"].items():
        for modality, seeds in modalities.items():
            runs = list(seeds.values())
            chance = runs[0]
            rows.append((variant, modality, len(runs), *summary_cells(runs, shown, percent=percent)))
        if not modalities:
            rows.append((variant, "no targets", None, *(None for _ in shown)))
    if chance is not None:
        numbers = (chance["chance_top_1"], chance["chance_top_5"])
        cells = (*(f"{100 * value:.1f}" for value in numbers), f"{chance['chance_reciprocal_rank']:.3f}")
        rows.append(("chance", None, None, "50.0", "50.0", *cells, MISSING, MISSING, MISSING))
    return Table(
        columns=(
            "variant",
            "predicted",
            "runs",
            "nearer [%]",
            "nearer, same sign [%]",
            "top 1 [%]",
            "top 5 [%]",
            "1 / place",
            "rank of P",
            "rank of G",
            "uniformity",
        ),
        rows=rows,
        caption=f"{study.title}: {dataset.card.name}, {content['split']}, {content['rows']} samples",
        notes=(
            "By cosine, mean ± sample standard deviation over seeds. nearer: the prediction P of a row is nearer to its own "
            "target G than to that of another row; same sign: of another row whose label is on the same side of neutral. "
            "top 1, top 5, 1 / place: the own target among those of all rows. rank: effective rank of the vectors at unit "
            "length, 1 where they have collapsed. uniformity: 0 where all vectors are the same, lower the more evenly they "
            "are spread; the mean of P's and G's.",
            *notes,
        ),
    )
