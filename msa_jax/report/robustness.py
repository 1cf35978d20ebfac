"""What experiments make of samples in which something is missing: curves over rates, areas under them, a table, a figure."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax import metrics
from msa_jax.data.protocols import RATES, Protocol, find_protocol, letters
from msa_jax.data.schema import Dataset
from msa_jax.errors import InputError
from msa_jax.metrics import HIGHER_IS_BETTER
from msa_jax.paths import user_path
from msa_jax.report import figures, panels
from msa_jax.report.evaluation import dataset_of, source_of
from msa_jax.report.experiment import experiment_names
from msa_jax.report.table import METRIC_LABELS, Table, axis, metric_cell
from msa_jax.train.atomic import without_nan, write_json, write_text
from msa_jax.train.environment import environment
from msa_jax.train.experiment_dir import check_not_ours, has_keys
from msa_jax.train.predictor import Predictor
from msa_jax.train.robustness import Point, RobustScorer, points_of

MASK_SEEDS = (0, 1, 2)
Curve = dict[str, np.ndarray]  # {metric: [rates, mask seeds]}


@dataclass(frozen=True, kw_only=True, eq=False)
class Robustness:
    """Scores of experiments under one protocol.

    rates: of the curves; the letters of the modalities that are left, such as "TV", if the protocol has no rates.
    runs: {experiment: {seed of training: {metric: [rates, mask seeds]}}}; NaN where a metric is not defined.
    """

    protocol: Protocol
    dataset: str
    split: str
    rates: tuple[float, ...] | tuple[str, ...]
    mask_seeds: tuple[int, ...]
    runs: Mapping[str, Mapping[int, Curve]]

    def curve(self, name: str, key: str) -> np.ndarray:
        """[training seeds, rates, mask seeds], of one experiment and metric."""
        return np.stack([of[key] for of in self.runs[name].values()])

    def band(self, name: str, key: str) -> np.ndarray:
        """[rates, seeds], what a band is drawn of."""
        return _apart(self.curve(name, key)).T

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of the dataset, MAE and Corr first."""
        keys = next(iter(next(iter(self.runs.values())).values()))
        return tuple(sorted(keys, key=lambda key: ("MAE", "Corr").index(key) if key in ("MAE", "Corr") else 2))

    def areas(self, name: str, key: str) -> dict[str, np.ndarray]:
        """{"mean", "auilc": [training seeds, mask seeds]}; none if the protocol has no rates, auilc with two rates or more.

        mean: over the rates below 1, which is what LNLN (NeurIPS 2024) reports of the rates 0, 0.1, ..., 0.9.
        auilc: the area under the curve by trapezoids, not divided by the width, as EMT-DLFR's code has it (TFR-Net's AUILC).
        """
        if self.protocol.fixed:
            return {}
        order = np.argsort(self.rates)
        rates, curve = np.asarray(self.rates, float)[order], self.curve(name, key)[:, order]
        found = {"mean": curve[:, rates < 1].mean(1)} if (rates < 1).any() else {}
        if len(rates) > 1:
            found["auilc"] = ((curve[:, 1:] + curve[:, :-1]) / 2 * np.diff(rates)[None, :, None]).sum(1)
        return found

    def json(self) -> dict[str, Any]:
        """`robustness.json`: "runs" has the means over the seeds of training, "each" every one; null if it is not defined."""
        listed = {
            name: {seed: {key: values.tolist() for key, values in of.items()} for seed, of in each.items()}
            for name, each in self.runs.items()
        }
        content = {
            "protocol": self.protocol.name,
            "dataset": self.dataset,
            "split": self.split,
            "rates": list(self.rates),
            "mask_seeds": list(self.mask_seeds),
            "runs": {name: {key: _mean(self.curve(name, key)).tolist() for key in self.metrics} for name in self.runs},
            "each": {name: {str(seed): of for seed, of in each.items()} for name, each in listed.items()},
            "area": {
                name: {
                    key: {
                        what: {"mean": float(values.mean()), "std": _sd(values)}
                        for what, values in self.areas(name, key).items()
                    }
                    for key in self.metrics
                }
                for name in self.runs
            },
        }
        return without_nan(content)

    def table(self, key: str) -> Table:
        """One metric: a row for each rate, then the areas, a column for each experiment."""
        rows: list[list[Any]] = []
        for place, rate in enumerate(self.rates):
            cells = [_cell(key, self.curve(name, key)[:, place]) for name in self.runs]
            rows.append([rate if isinstance(rate, str) else f"{rate:g}", *cells])
        areas = {name: self.areas(name, key) for name in self.runs}
        for what, words in (("mean", "mean, rates below 1"), ("auilc", "area (AUILC)")):
            if all(what in of for of in areas.values()):
                rows.append([words, *(_cell(key, of[what]) for of in areas.values())])
        return Table(
            columns=["left" if self.protocol.fixed else "rate", *self.runs],
            rows=rows,
            caption=f"{METRIC_LABELS[key]} on {self.dataset}, {self.split}: {self.protocol.about}",
            notes=self._notes(),
        )

    def text(self) -> str:
        """The first two metrics for a terminal."""
        return "\n\n\n".join(self.table(key).text() for key in self.metrics[:2])

    def _notes(self) -> tuple[str, ...]:
        """What the spread is over."""
        counts, masks = sorted({len(of) for of in self.runs.values()}), len(self.mask_seeds)
        notes = []
        if several := [count for count in counts if count > 1]:
            each = f", each the mean over {masks} mask seeds" if masks > 1 else ""
            notes.append(f"mean ± sample standard deviation over {' or '.join(map(str, several))} training seeds{each}")
        if counts[0] == 1 and masks > 1:
            notes.append(f"where there is one training seed: mean ± sample standard deviation over {masks} mask seeds")
        return tuple(notes)

    def _counts(self) -> str:
        """How many seeds a band is made of."""
        seeds = sorted({len(of) for of in self.runs.values()})
        counts = ((seeds, "training seed"), ([len(self.mask_seeds)], "mask seed"))
        return ", ".join(f"{' or '.join(map(str, of))} {what}{'s' * (of != [1])}" for of, what in counts)

    def figure(self, key: str = "MAE") -> Any:
        """A matplotlib Figure of one metric: a curve for each experiment with a band of one standard deviation."""
        label, factor = axis(key)
        return panels.bands(
            self.rates,
            {name: factor * self.band(name, key) for name in self.runs},
            xlabel="modalities that are left" if self.protocol.fixed else f"rate ({self.protocol.about})",
            ylabel=label + ("" if HIGHER_IS_BETTER[key] else " (lower is better)"),
            title=f"{self.dataset}, {self.split}: protocol {self.protocol.name}, {self._counts()}",
        )


def robustness(
    folders: Sequence[str | Path],
    *,
    protocol: str = "steps",
    rates: Sequence[float] | None = None,
    mask_seeds: Sequence[int] = MASK_SEEDS,
    data: Any = None,
    split: str = "test",
) -> Robustness:
    """Scores experiments where something is missing, all of them with the same masks.

    Args:
      folders: of finished experiments on the same samples.
      protocol: a name of `data.protocols.PROTOCOLS`.
      rates: in [0, 1]; by default 0, 0.1, ..., 1. Left out if the protocol has none.
      mask_seeds: of what is missing.
      data: what `load_dataset` takes; by default what each was trained on.
      split: "train", "valid" or "test".

    Raises:
      InputError: a folder is no finished experiment or is given twice, experiments have other samples, metrics or label
        ranges, an unknown protocol or split, rates or seeds that are none, or nothing that the protocol could take away.
    """
    chosen = find_protocol(protocol)
    if chosen.fixed and rates is not None:
        raise InputError(
            f"protocol {chosen.name} takes each set of modalities in turn and has no rates; leave them out"
        )
    checked, seeds = _rates(RATES if rates is None else rates), _seeds(mask_seeds)
    loaded: dict[Any, Dataset] = {}
    runs: dict[str, dict[int, Curve]] = {}
    first: tuple[str, Dataset, Any] | None = None
    labels: tuple[Any, ...] = checked
    paths = [user_path(folder) for folder in folders]
    for path, name in zip(paths, experiment_names(folders), strict=True):
        predictor = Predictor.load(path)
        source = source_of(path, data)
        key = source if isinstance(source, str | Path) else id(source)
        dataset, _ = dataset_of(path, loaded.get(key, data), predictor)
        loaded[key] = dataset
        part = dataset.split(split)
        points = points_of(chosen, predictor.preprocessor.modalities, checked, seeds)
        if chosen.fixed:
            seeds, labels = (0,), tuple(letters(point.kept or ()) for point in points)
        if first is None:
            first = name, dataset, labels
        before = first[1].split(split)
        if not np.array_equal(before.id, part.id) or not np.array_equal(before.label, part.label):
            raise InputError(f"{name} has other samples than {first[0]} in split {split}; name common ones with --data")
        if (theirs := _scale(first[1])) != (ours := _scale(dataset)):
            raise InputError(f"{name} has {ours}, {first[0]} has {theirs}; expected one kind of scores")
        if labels != first[2]:
            raise InputError(f"{name} reads other modalities than {first[0]}, so it has other sets of them")
        scorer = RobustScorer(predictor=predictor, dataset=dataset, split=part, protocol=chosen)
        runs[name] = _curves(scorer, points, len(seeds))
    if first is None:
        raise InputError("robustness needs an experiment; found none")
    return Robustness(
        protocol=chosen, dataset=first[1].card.name, split=split, rates=labels, mask_seeds=seeds, runs=runs
    )


def write(found: Robustness, folder: Path) -> str:
    """Writes `robustness.json`, `robustness.md` and, if matplotlib is there, the figure. Returns a line that says so."""
    paths = [folder / f"robustness.{suffix}" for suffix in ("json", "md")]
    write_json(paths[0], {**found.json(), "environment": environment({})})
    write_text(paths[1], "\n\n".join(found.table(key).markdown() for key in found.metrics) + "\n")
    if figures.available():
        paths += figures.save_all(found.figure(), folder / "robustness.png")
    return f"{folder}: {', '.join(path.name for path in paths)}"


def check_folder(folder: Path) -> None:
    """Raises InputError if a file would be written among those of an experiment or over somebody's, or nothing can be
    written there."""
    paths = [folder / f"robustness.{suffix}" for suffix in ("json", "md", *figures.FORMS)]
    for path in paths:
        check_not_ours(path)
        if path.exists() and not has_keys(paths[0], "protocol", "rates", "mask_seeds"):
            raise InputError(f"{path}: would be overwritten, and is of something else; choose another folder as --out")
    there = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    if not there.is_dir() or not os.access(there, os.W_OK):
        what = "may not be written to" if there.is_dir() else "is no folder"
        raise InputError(f"{folder}: {there} {what}; choose another folder as --out")


def _curves(scorer: RobustScorer, points: Sequence[Point], seeds: int) -> dict[int, Curve]:
    card, label = scorer.dataset.card, scorer.split.label
    if not np.isfinite(label).all():
        raise InputError(f"{scorer.dataset.source}: labels are missing, so nothing can be scored")
    curves = {}
    for seed, scores in scorer.scores(points).items():
        each = [metrics.evaluate(one, label, kind=card.metrics, label_range=card.label_range) for one in scores]
        curves[seed] = {key: np.array([of[key] for of in each], float).reshape(-1, seeds) for key in each[0]}
    return curves


def _scale(dataset: Dataset) -> str:
    """What scores depend on besides samples and labels."""
    low, high = dataset.card.label_range
    return f"metrics {dataset.card.metrics} of labels from {low:g} to {high:g}"


def _rates(given: Sequence[float]) -> tuple[float, ...]:
    try:
        rates = tuple(float(rate) for rate in given)
    except (TypeError, ValueError):
        raise InputError(f"rates is {given!r}; expected a list of numbers in [0, 1]") from None
    if not rates or len(set(rates)) < len(rates) or not all(0 <= rate <= 1 for rate in rates):
        shown = ", ".join(f"{rate:g}" for rate in rates) or "none"
        raise InputError(f"rates are {shown}; expected distinct numbers in [0, 1]")
    return rates


def _seeds(given: Sequence[int]) -> tuple[int, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InputError(f"mask_seeds is {given!r}; expected a list of whole numbers in [0, 2^32)")
    seeds = tuple(given)
    whole = all(isinstance(seed, int | np.integer) and not isinstance(seed, bool) for seed in seeds)
    if not seeds or not whole or len(set(seeds)) < len(seeds) or any(seed < 0 or seed >= 2**32 for seed in seeds):
        raise InputError(
            f"mask seeds are {', '.join(map(str, seeds)) or 'none'}; expected distinct whole numbers in [0, 2^32)"
        )
    return tuple(map(int, seeds))


def _mean(curve: np.ndarray) -> np.ndarray:
    """Over the seeds of training, [rates, mask seeds]; as `evaluate` has it, bit for bit."""
    means = [
        metrics.summarise([{"": value} for value in one])[0][""] for one in curve.reshape(len(curve), -1).T.tolist()
    ]
    return np.array([np.nan if mean is None else mean for mean in means], float).reshape(curve.shape[1:])


def _apart(values: np.ndarray) -> np.ndarray:
    """[training seeds, ..., mask seeds] -> [n, ...], what a spread is taken over.

    One training under other masks is no other training, so masks are averaged first; a single training has their spread.
    """
    return values.mean(-1) if len(values) > 1 else np.moveaxis(values[0], -1, 0)


def _sd(values: np.ndarray) -> float:
    apart = _apart(values)
    return float(apart.std(ddof=1)) if apart.size > 1 else float("nan")


def _cell(key: str, values: np.ndarray) -> str:
    return metric_cell(key, float(values.mean()), _sd(values) if _apart(values).size > 1 else None)
