"""What a finished experiment predicts where something is missing: many rates and seeds of masks, scored side by side."""

import functools
import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from msa_jax.data import missing as draws
from msa_jax.data.masking import Missing, length_of, steps_of
from msa_jax.data.packing import choose_capacity, deal, plan_packing
from msa_jax.data.preprocess import Columns, text_lengths
from msa_jax.data.protocols import Protocol, lost_of, subsets
from msa_jax.data.schema import Dataset, Split
from msa_jax.data.words import text_of, words_of
from msa_jax.errors import DataWarning, InputError
from msa_jax.modalities import MODALITIES, SEQUENCES
from msa_jax.train.predictor import Predictor
from msa_jax.train.prepare import check_unknown, special_tokens

WIDER = 8  # rows of a batch of masks side by side, as a multiple of those of an evaluation

Scores = dict[int, np.ndarray]


class Point(NamedTuple):
    """Where a curve is measured. kept: the modalities that are left, if the protocol has these and no rates."""

    rate: float
    seed: int
    kept: tuple[str, ...] | None = None


class Variant(NamedTuple):
    """One way in which samples are changed. part: sample numbers [b] -> their arrays; lengths: [N] tokens, or None."""

    part: Callable[[np.ndarray], Columns]
    lengths: np.ndarray | None


@dataclass(frozen=True, kw_only=True, eq=False)
class RobustScorer:
    """Scores the samples of a split as they are and as a protocol changes them.

    split: of the dataset, whose training split gives the vocabulary of wrong words.
    """

    predictor: Predictor
    dataset: Dataset
    split: Split
    protocol: Protocol

    def scores(self, points: Sequence[Point]) -> dict[int, np.ndarray]:
        """{seed of a run: [P, N] float32}, the predictions at each point.

        Where nothing is changed they are those of the split, bit for bit, and where all samples lack the same modalities those
        of `Predictor.predict_runs` with these missing.

        Raises:
          InputError: the experiment has nothing that the protocol could take away.
        """
        plain = self._plain(())
        if self.protocol.kind in ("absent", "silent"):
            return self._of_modalities(points, plain)
        changed = list(dict.fromkeys(_settled(point, self.protocol) for point in points if point.rate > 0))
        found = self._side_by_side([self._variant(point) for point in changed]) if changed else {}
        return {
            seed: np.stack(
                [
                    found[seed][changed.index(_settled(point, self.protocol))] if point.rate > 0 else scores
                    for point in points
                ]
            )
            for seed, scores in plain.items()
        }

    # -- whole modalities ---------------------------------------------------------------------------------------------

    @property
    def _modalities(self) -> tuple[str, ...]:
        return self.predictor.preprocessor.modalities

    def _of_modalities(self, points: Sequence[Point], plain: Scores) -> Scores:
        """Each sample has one of a few sets of modalities, so each set is scored once, for all samples."""
        power = 2 ** np.arange(len(self._modalities))
        codes = np.stack([self._lost(point) @ power for point in points])  # [P, N]
        wanted = sorted({*np.unique(codes).tolist()} - {0})
        named = {code: tuple(name for at, name in enumerate(self._modalities) if code >> at & 1) for code in wanted}
        silent = [code for code in wanted if self.protocol.kind == "silent" or self._must_be_silent(named[code])]
        side = self._side_by_side([self._silent(named[code]) for code in silent]) if silent else {}
        each = {code: {seed: of[at] for seed, of in side.items()} for at, code in enumerate(silent)}
        each |= {code: self._plain(named[code]) for code in wanted if code not in silent}
        found = {}
        for seed, scores in plain.items():
            values = np.tile(scores, (len(points), 1))
            for code in wanted:
                values = np.where(codes == code, each[code][seed][None], values)
            found[seed] = values
        return found

    def _must_be_silent(self, names: Sequence[str]) -> bool:
        """Whether these modalities cannot be absent: the tokens of aligned data give the others their time axis."""
        return "text" in names and self.predictor.inputs.aligned

    def _lost(self, point: Point) -> np.ndarray:
        """[N, M] bool."""
        names = self._modalities
        if len(names) < 2:
            raise InputError(f"this experiment has {names[0]} alone; protocol {self.protocol.name} leaves one modality")
        if point.kept is not None:
            return np.tile([name not in point.kept for name in names], (len(self.split), 1))
        if not self.protocol.kept:
            return draws.lost_modalities(self.split.id, names, rate=point.rate, seed=point.seed, has=self._has)
        lost = lost_of(self.protocol.kept, names)
        which = draws.lost_samples(self.split.id, self.protocol.name, rate=point.rate, seed=point.seed)
        return which[:, None] & np.array([name in lost for name in names])

    @functools.cached_property
    def _has(self) -> np.ndarray:
        """[N, M] bool, the modalities that each sample has from the start: the same for whatever experiment is asked."""
        return np.stack([draws.carried(self.split, name) for name in self._modalities], axis=1)

    def _plain(self, names: Sequence[str]) -> Scores:
        """The scores of the whole split without these modalities, as `predict` has them."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # that they are missing was asked for
            runs = self.predictor.predict_runs(self.split, missing=names)
        return {seed: heads["prediction"] for seed, heads in runs.items()}

    # -- variants -----------------------------------------------------------------------------------------------------

    @functools.cached_property
    def _columns(self) -> Columns:
        return self.predictor.columns(self.split)

    def _silent(self, names: Sequence[str]) -> Variant:
        columns = self._masked_columns()
        steps = _steps(columns)

        def part(rows: np.ndarray) -> Columns:
            silent = {name: np.full((len(rows), steps[name]), name in names) for name in steps}
            return {**_taken(columns, rows), "silent": silent}

        return Variant(part, text_lengths(columns))

    def _variant(self, point: Point) -> Variant:
        if self.protocol.kind == "noise":
            return self._noisy(point)
        if self.protocol.kind == "words":
            return self._misheard(point)
        columns = self._masked_columns()
        steps, ids, how = _steps(columns), self.split.id, {"rate": point.rate, "seed": point.seed}

        def part(rows: np.ndarray) -> Columns:
            own, silent = _taken(columns, rows), {}
            for name, count in steps.items():
                if self.protocol.kind == "steps":
                    silent[name] = draws.lost_steps(ids[rows], name, count, **how)
                    continue
                framed = int(name == "text" and "ids" in own[name])  # the first and the last token stay
                block = draws.lost_block(
                    ids[rows], name, np.maximum(length_of(own[name]) - 2 * framed, 0), count, **how
                )
                silent[name] = np.roll(block, framed, axis=1)
            return {**own, "silent": silent}

        return Variant(part, text_lengths(columns))

    def _masked_columns(self) -> Columns:
        check_unknown(self.predictor.preprocessor, self.predictor.inputs, f"protocol {self.protocol.name}")
        return self._columns

    def _noisy(self, point: Point) -> Variant:
        columns = self._columns
        names = [name for name in SEQUENCES if name in columns]
        if not names:
            raise InputError("protocol noise needs audio or vision, and this experiment has neither")

        def part(rows: np.ndarray) -> Columns:
            own = _taken(columns, rows)
            for name in names:
                features, length = own[name]["features"], own[name]["length"]
                noise = self._noise(name, features.shape[1:], point.seed, rows.tobytes())
                own[name] = {**own[name], "features": draws.with_noise(features, length, noise, rate=point.rate)}
            return own

        return Variant(part, text_lengths(columns))

    @functools.cached_property
    def _noise(self) -> Callable[..., np.ndarray]:
        """(modality, (L, d), seed, samples as bytes) -> [b, L, d], kept for the other rates of the same samples."""

        @functools.lru_cache(maxsize=32)
        def noise(name: str, shape: tuple[int, ...], seed: int, rows: bytes) -> np.ndarray:
            return draws.normals(self.split.id[np.frombuffer(rows, np.int64)], name, shape, seed=seed)

        return noise

    def _misheard(self, point: Point) -> Variant:
        columns = self._columns
        said, vocabulary = self._words(self.split), self._vocabulary()
        heard = [
            draws.misheard(name, words, vocabulary, rate=point.rate, seed=point.seed)
            for name, words in zip(self.split.id, said, strict=True)
        ]
        text = self._text_of(heard, said, columns["text"])

        def part(rows: np.ndarray) -> Columns:
            return {**_taken(columns, rows), "text": _taken(text, rows)}

        return Variant(part, text["mask"].sum(1))

    # -- words --------------------------------------------------------------------------------------------------------

    def _words(self, split: Split) -> list[list]:
        """The words of each sample; token ids where the experiment reads these."""
        column = self.predictor.preprocessor.text_column
        if column not in ("raw_text", "text_bert"):
            raise InputError("protocol words needs a text or token ids, and this experiment reads neither")
        if column == "raw_text":
            return [words_of(text, self.dataset.card.language) for text in split.raw_text.tolist()]
        ids, count = split.text_bert[:, 0], split.text_bert[:, 1].sum(1)
        return [own[1 : max(number - 1, 1)].tolist() for own, number in zip(ids, count, strict=True)]

    def _vocabulary(self) -> list:
        """What a wrong word may become: all that the training split says, in order."""
        found = sorted(set(itertools.chain.from_iterable(self._words(self.dataset.train))))
        if not found:
            raise InputError("protocol words needs words, and the training split has none")
        return found

    def _text_of(
        self, heard: Sequence[list], said: Sequence[list], text: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Tokens of words, as wide as the longest text may be; of the text itself where these words were said."""
        preprocessor = self.predictor.preprocessor
        width = preprocessor.max_tokens
        if preprocessor.tokenizer is not None:
            language = self.dataset.card.language
            texts = [
                own if words == before else text_of(words, language)
                for own, words, before in zip(self.split.raw_text.tolist(), heard, said, strict=True)
            ]
            ids, mask = preprocessor.tokenizer.encode(texts, max_tokens=width, length=width)
            return {"ids": ids, "mask": mask}
        ids, mask = np.zeros_like(text["ids"]), np.zeros_like(text["mask"])
        count = text["mask"].sum(1)
        for row, words in enumerate(heard):
            first, last = text["ids"][row, 0], text["ids"][row, max(count[row], 1) - 1]
            own = [first, *words[: ids.shape[1] - 2], last]
            ids[row, : len(own)], mask[row, : len(own)] = own, 1
        return {"ids": ids, "mask": mask}

    # -- side by side -------------------------------------------------------------------------------------------------

    def _side_by_side(self, variants: Sequence[Variant]) -> Scores:
        """{seed of a run: [V, N]}: batches of a few samples, each in every variant, through one compiled program."""
        predictor, rows, count = self.predictor, len(self.split), len(variants)
        options = predictor.options
        size = max(1, min(rows, WIDER * options.evaluation_batch_size // count))
        lengths = None if variants[0].lengths is None else np.stack([variant.lengths for variant in variants])
        packs = lengths is not None and options.pack_text
        order = deal(np.arange(rows), lengths.max(0), size) if packs else np.arange(rows)
        place = np.argsort(order, kind="stable")
        batches = np.resize(order, (-(-rows // size), size))  # what repeats in the last one is thrown away
        capacity, packing = None, (np.zeros((len(batches), count * size), np.int32),) * 2
        if packs:
            dealt = np.moveaxis(lengths[:, batches], 0, 1).reshape(len(batches), -1)  # [batches, V * size]
            capacity = choose_capacity(dealt.reshape(-1), count * size, ordered=True)
            packing, _ = plan_packing(dealt, capacity.width)
        tokens = special_tokens(predictor.preprocessor, predictor.inputs)
        parts: dict[int, list[Any]] = {seed: [] for seed in predictor.placed}
        for number, samples in enumerate(batches):
            batch = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(one.part(samples) for one in variants))
            batch["row"], batch["weight"] = np.tile(samples, count), np.ones(count * size, np.float32)
            if (silent := batch.pop("silent", None)) is not None:
                batch["missing"] = Missing({}, silent, tokens)
            for seed, of in predictor.placed.items():
                outputs = predictor.forward.outputs(
                    runs=1,
                    static={"capacity": capacity, "names": ("prediction",)},
                    best=of,
                    frozen={},
                    batch=batch,
                    row=packing[0][number],
                    offset=packing[1][number],
                )
                parts[seed].append(outputs["prediction"][0])
        return {
            seed: np.concatenate([np.asarray(part).reshape(count, size) for part in of], axis=1)[:, :rows][:, place]
            for seed, of in parts.items()
        }


def _settled(point: Point, protocol: Protocol) -> Point:
    """At rate 1 every step is lost, whatever the seed."""
    return point._replace(seed=0) if point.rate == 1 and protocol.kind in ("steps", "blocks") else point


def _steps(columns: Columns) -> dict[str, int]:
    """How many steps the arrays of each modality have."""
    return {name: steps_of(columns[name]) for name in MODALITIES if name in columns}


def _taken(columns: Mapping[str, Any], rows: np.ndarray) -> dict[str, Any]:
    return jax.tree.map(lambda column: column[rows], dict(columns))


def points_of(
    protocol: Protocol, modalities: Sequence[str], rates: Sequence[float], seeds: Sequence[int]
) -> list[Point]:
    """Every place where the curve is measured: all seeds of a rate, then those of the next."""
    if protocol.fixed:
        return [Point(0.0, 0, kept) for kept in subsets(modalities)]
    return [Point(rate, seed) for rate in rates for seed in seeds]
