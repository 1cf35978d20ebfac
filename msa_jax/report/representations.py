"""Fused representations of several variants: drawn in two dimensions, and in numbers that need no such drawing."""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from msa_jax import metrics
from msa_jax.data.schema import Dataset
from msa_jax.errors import InputError, install
from msa_jax.losses import neutral_point
from msa_jax.report import figures
from msa_jax.report.comparability import Comparability, remarks
from msa_jax.report.exports import exported_names, read_exports
from msa_jax.report.study import Outcome, Rendering, Study
from msa_jax.report.table import Table, summary_cells
from msa_jax.report.vectors import centred, effective_rank, linear_probe, silhouette, uniformity

NAME = "representation"
SPLITS = ("train", "test")
DRAWN = 2000  # rows of a split in the figure
SEED = 0  # of t-SNE
KEYS = {"silhouette": 3, "probe_corr": 3, "rank": 1, "uniformity": 2}  # digits


def check(study: Study) -> None:
    """scikit-learn must be there, and every method must export a representation."""
    if importlib.util.find_spec("sklearn") is None:
        raise InputError(f"t-SNE needs scikit-learn: {install('plots')}")
    for variant in study.variants:
        if NAME not in exported_names(variant.method):
            raise InputError(f"study {study.name}: method {variant.method} exports no {NAME}")


def embed(vectors: np.ndarray) -> np.ndarray:
    """[N, d] -> [N, 2], t-SNE from scikit-learn, from the same seed always; a point for all where all are the same."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    vectors = np.asarray(vectors, np.float32)
    if len(vectors) < 4 or (vectors == vectors[0]).all():
        return np.zeros((len(vectors), 2), np.float32)
    start = "pca" if vectors.shape[1] > 1 else "random"
    tsne = TSNE(init=start, perplexity=min(30.0, (len(vectors) - 1) / 3), random_state=SEED)
    with threadpool_limits(1):  # sums in one order on every machine; threads that wait for each other gain little
        return tsne.fit_transform(vectors)


def numbers(
    arrays: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray], *, neutral: float = 0.0
) -> dict[str, dict[str, float | None]]:
    """{split: numbers} of one run's representations {split: [N, d]} with labels {split: [N]}.

    silhouette: of labels below, at and above the neutral point. probe_corr: Pearson correlation of the label with a ridge
    regression on the representation, fitted on the first split. rank: effective rank of what differs from the mean, 0 where
    nothing does. uniformity: at unit length, the mean not taken off.
    """
    first = next(iter(arrays))
    found = {}
    for split, vectors in arrays.items():
        corr = metrics.corr(linear_probe(arrays[first], labels[first], vectors), labels[split])
        found[split] = {
            "silhouette": silhouette(vectors, np.sign(labels[split] - neutral)),
            "probe_corr": None if np.isnan(corr) else corr,
            "rank": effective_rank(centred(vectors)),
            "uniformity": uniformity(vectors),
        }
    return found


def render(study: Study, dataset: Dataset, outcomes: Sequence[Outcome], against: Comparability) -> Rendering:
    """A row of panels for each variant, of its first seed, on train and test; numbers over all seeds."""
    labels = {split: dataset.split(split).label for split in SPLITS}
    neutral = neutral_point(*dataset.card.label_range)
    content: dict[str, Any] = {"variants": {}}
    panels: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    possible = [outcome for outcome in outcomes if not outcome.reason]
    for outcome in possible:
        name, exports = outcome.variant.name, read_exports(outcome, dataset, SPLITS)
        runs = {seed: {split: arrays[NAME] for split, arrays in splits.items()} for seed, splits in exports.items()}
        content["variants"][name] = {
            str(seed): numbers(arrays, labels, neutral=neutral) for seed, arrays in runs.items()
        }
        panels[name] = {}
        for split, vectors in next(iter(runs.values())).items():
            rows = np.unique(np.linspace(0, len(vectors) - 1, min(DRAWN, len(vectors))).round().astype(int))
            panels[name][split] = embed(vectors[rows]), labels[split][rows]
    seed = next(iter(possible[0].runs))
    figure = figures.embeddings(
        panels,
        label_range=dataset.card.label_range,
        title=f"t-SNE of the fused representation, {dataset.card.name}, seed {seed}",
    )
    notes = remarks(study, outcomes, against)
    table = _table(content["variants"], f"{study.title}: {dataset.card.name}", notes)
    return Rendering(content=content, tables=(table,), figures={"figure.png": figure})


def _table(variants: Mapping[str, Mapping[str, Any]], caption: str, notes: Sequence[str]) -> Table:
    rows = [
        (name, split, len(seeds), *summary_cells([run[split] for run in seeds.values()], KEYS))
        for name, seeds in variants.items()
        for split in SPLITS
    ]
    return Table(
        columns=("variant", "split", "runs", "silhouette by sign", "probe Corr", "effective rank", "uniformity"),
        rows=rows,
        caption=caption,
        notes=(
            "Mean ± sample standard deviation over seeds; of the representation itself, not of its drawing. silhouette: of "
            "negative, neutral and positive labels, 1 where they lie apart, 0 where they are mixed. probe Corr: of the label "
            "with a ridge regression on the representation, fitted on train. effective rank: in how many directions they "
            "differ. uniformity: 0 where all point one way, lower the more evenly they are spread.",
            *notes,
        ),
    )
