"""Using a finished experiment: scores for new data."""

import functools
import os
import shlex
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from msa_jax import config
from msa_jax.config import Options
from msa_jax.data.aligned import check_aligned
from msa_jax.data.columns import columns_of
from msa_jax.data.masking import length_of
from msa_jax.data.preprocess import Columns, Preprocessor
from msa_jax.data.samples import check_samples
from msa_jax.data.schema import Dataset, Split
from msa_jax.data.values import check_lengths
from msa_jax.errors import DataWarning, InputError
from msa_jax.methods.protocol import Inputs, Method
from msa_jax.modalities import MODALITIES, SEQUENCES
from msa_jax.paths import user_path
from msa_jax.train import exported, few_samples
from msa_jax.train.checkpoint import fitted, read_variables
from msa_jax.train.compilation import keep_compiled_programs
from msa_jax.train.evaluate import Forward, Scorer, one_run
from msa_jax.train.model import Model, Variables, checked_variables
from msa_jax.train.prepare import compute_dtype, example_batch
from msa_jax.train.runs import ONE
from msa_jax.train.settings import RunConfig
from msa_jax.train.state import Best, Flat

if TYPE_CHECKING:
    from msa_jax.train.clips import ClipPrediction


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictor:
    """The trained runs of an experiment, or networks of one's own.

    variables: {seed: what its network holds}. metrics: the kind of its dataset. extract: the recipe of its audio and vision, if
    msa_jax extracted them from clips. dataset, protocol: names, for people.

    A predictor keeps its variables on the device; `with_variables` makes one of others.
    """

    method: Method
    options: Options
    inputs: Inputs
    preprocessor: Preprocessor
    variables: dict[int, Variables]
    metrics: str
    extract: Mapping[str, Any] | None = None
    dataset: str = "unnamed"
    protocol: str = "paper"

    @classmethod
    def load(cls, folder: str | Path) -> "Predictor":
        """Every run of a finished experiment, or of a folder that `msa-jax export` wrote.

        Raises:
          InputError: neither of them, not finished, or damaged.
        """
        path = user_path(folder)
        if exported.is_exported(path):
            return cls.from_pretrained(path)
        if not (path / "config.json").is_file():
            raise InputError(f"{path}: not an experiment: it has no config.json")
        if not (path / "result.json").is_file():
            raise InputError(f"{path}: not finished; `msa-jax resume {shlex.quote(str(path))}` goes on with it")
        content = RunConfig.read(path)
        preprocessor = exported.read_preprocessor(path, content.inputs)
        folders = {seed: path / "checkpoints" / str(seed) for seed in content.seeds}

        def read() -> dict[int, dict[str, Flat]]:
            known: dict[Path, Flat] = {}
            return {seed: read_variables(folder, known) for seed, folder in folders.items()}

        def fit(kept: dict[int, dict[str, Flat]], shapes: Variables) -> dict[int, Variables]:
            return {seed: fitted(folders[seed], arrays, shapes) for seed, arrays in kept.items()}

        with exported.refusing(path):
            return cls._made(content, preprocessor, read, fit)

    @classmethod
    def from_pretrained(cls, source: str | Path, *, revision: str | None = None) -> "Predictor":
        """Every run of a folder that `msa-jax export` wrote. Nothing in it is run as code.

        Args:
          source: the folder, or its id on the Hugging Face hub, such as "user/name".
          revision: of the hub's: a branch, a tag or a commit.

        Raises:
          InputError: no such folder, not an exported one, of a newer version, damaged, or of a method that is not installed.
        """
        folder = exported.find(source, revision=revision)
        content = exported.read_config(folder)
        preprocessor = exported.read_preprocessor(folder, content.inputs)
        with exported.refusing(folder):
            read = functools.partial(exported.read_parameters, folder)
            fit = functools.partial(exported.parameters_of, content.seeds, folder)
            return cls._made(content, preprocessor, read, fit)

    @classmethod
    def _made(
        cls,
        content: RunConfig,
        preprocessor: Preprocessor,
        read: Callable[[], Any],
        fit: Callable[[Any, Variables], dict[int, Variables]],
    ) -> "Predictor":
        """A predictor of these runs. read: gives arrays. fit: makes what each network holds of them and of its shapes."""
        with ThreadPoolExecutor(1) as beside:
            arrays = beside.submit(read)  # while the network is traced here
            method = content.known_method()
            options = config.override(method.options(), content.computed)
            model = Model(method, options, content.inputs, compute_dtype(options))
            shapes = model.shapes(example_batch(_like_training(content.inputs), 2))
            variables = fit(arrays.result(), shapes)
        return cls(
            method=method,
            options=options,
            inputs=content.inputs,
            preprocessor=preprocessor,
            variables=variables,
            metrics=content.metrics,
            extract=content.extract,
            dataset=content.dataset,
            protocol=content.protocol,
        )

    def with_variables(self, variables: Mapping[int, Variables]) -> "Predictor":
        """A predictor of the same network with other parameters; `msa_jax.report.sharing.save` writes it to a folder.

        Args:
          variables: {number: params and statistics}, by the paths and of the shapes that those of this one have. `number` is
            what the scores of `predict_runs` are called by.

        Raises:
          InputError: as `msa_jax.train.model.checked_variables`.
        """
        made = replace(self, variables=checked_variables(variables, next(iter(self.variables.values()))))
        made.__dict__["forward"] = self.forward  # the programs do not depend on the variables
        return made

    def predict(self, split: Split, *, missing: Sequence[str] = ()) -> np.ndarray:
        """[N] float32: the mean over the runs of the predicted sentiment, on the scale of the training labels.

        Args:
          split: the modalities of training; ids, labels and lengths may be left out.
          missing: modalities to do without, as in `predict_runs`.

        Raises:
          InputError: as `predict_runs`.
        """
        runs = self.predict_runs(split, missing=missing)
        return np.mean([heads["prediction"] for heads in runs.values()], axis=0, dtype=np.float32)

    def predict_texts(self, texts: Iterable[str], *, missing: Sequence[str] = ()) -> np.ndarray:
        """`predict` of new texts: [N] float32.

        Raises:
          InputError: no text, or one that is no string; training read other columns than raw text, or the method reads audio or
            vision too and these are not said to be missing.
        """
        return self.predict(self.split_of_texts(texts), missing=missing)

    def predict_clip(self, path: str | Path, *, text: str | None = None, **named: Any) -> "ClipPrediction":
        """The score of a clip of one's own, with the features that training had.

        Args:
          path: of the clip.
          text: what is said; by default as a .txt, .srt, .vtt or .json beside the clip has it.
          named: of `msa_jax.train.clips.predict_clip`: `face_model`, `window`, `missing`, ...

        Raises:
          InputError: as `msa_jax.train.clips.read_clips`.
        """
        from msa_jax.train.clips import predict_clip

        return predict_clip(self, path, text=text, **named)

    def split_of_texts(self, texts: Iterable[str]) -> Split:
        """Samples of text alone. Raises InputError: no text, one that is no string, or training did not read raw text."""
        if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
            raise InputError(f"texts is one {type(texts).__name__}; expected a list of strings, also for a single text")
        listed = list(texts)
        for row, text in enumerate(listed):
            if not isinstance(text, str):
                raise InputError(f"text {row} is a {type(text).__name__}; expected a string")
        if not listed:
            raise InputError("there is nothing to predict: no text")
        self.check_reads_texts()
        check_lengths(listed, lambda row: f"text {row}")
        return Split(raw_text=np.array(listed, np.str_))

    def check_reads_texts(self) -> None:
        """Raises InputError if training did not read raw text, so that new texts cannot be predicted."""
        column = self.preprocessor.text_column
        if column is None:
            raise InputError("this experiment was trained without text, so new texts have no score")
        if column != "raw_text":
            raise InputError(
                f"this experiment was trained on column {column}, so it has no tokenizer for new texts; a dataset with "
                "raw_text gives one that has"
            )

    def predict_runs(
        self, split: Split, *, exports: bool = False, missing: Sequence[str] = ()
    ) -> dict[int, dict[str, np.ndarray]]:
        """{seed: {head: [N] float32}}, in the order of the rows.

        Args:
          split: as for `predict`.
          exports: add what else the method lets one look at, `Method.exports`, [N] or [N, d]: the mean gate of each modality
            (SUGRM), the fused representation.
          missing: modalities of training that are not read: each sample has no frame of them, and as text no word. In aligned
            data it has frames of zeros, as many as the other modalities have. If training had the option modality_dropout, what
            the split lacks is missing; otherwise the network has not learned from such samples. A `DataWarning` says either.
            What the method never reads (`Method.reads`) may be missing without a word.

        Raises:
          InputError: a modality is missing, or of another feature size than in training; a column has NaN or infinite values or
            is otherwise not what it should be; training had aligned data and most samples are not aligned; there is nothing to
            export.

        Warns:
          DataWarning: a modality is not read, some samples are not aligned as training's were, or more than a fifth of the
            tokens are unknown to the tokenizer.
        """
        if not isinstance(split, Split):
            raise InputError(_no_split(split))
        heads = self.method.head_names(self.options, self.inputs)
        names = self.method.export_names(self.options, self.inputs) if exports else ()
        if exports and not names:
            raise InputError(f"method {self.method.name} with these options has nothing to export besides its scores")
        if len(split) == 0:
            raise InputError("there is nothing to predict: the split is empty")
        columns = self.columns(split, missing=missing)
        few = len(split) <= few_samples.MOST
        parts = few_samples.one_by_one(columns, self.inputs, self.options) if few else (columns,)
        scorers = [Scorer(self.forward, {"split": part}, self.options, padded_rows=few) for part in parts]
        runs = {}
        for seed, best in self.placed.items():
            found = [scorer.scores(best, {}, "split", (*heads, *names), runs=1) for scorer in scorers]
            runs[seed] = {name: np.concatenate([part[name][0] for part in found]) for name in found[0]}
        return runs

    @functools.cached_property
    def placed(self) -> dict[int, Best]:
        """{seed: what its network holds on the device}; an array that several runs share is there once."""
        there: dict[int, Any] = {}
        return {seed: one_run(variables, there) for seed, variables in self.variables.items()}

    @functools.cached_property
    def forward(self) -> Forward:
        """The compiled programs of its network in evaluation mode, which all of its runs share."""
        keep_compiled_programs()
        return Forward(Model(self.method, self.options, self.inputs, compute_dtype(self.options)), ONE)

    def columns(self, split: Split, *, missing: Sequence[str] = ()) -> Columns:
        """The arrays that the network reads of a split; labels are zeros, since a score needs none.

        Args:
          split, missing: as for `predict_runs`, whose errors and warnings it has.
        """
        named = _modalities(missing)
        known = self.preprocessor.modalities
        if strange := [name for name in named if name not in known]:
            raise InputError(f"missing names {strange[0]}; this experiment was trained with {', '.join(known)}")
        learned = self.options.modality_dropout > 0
        reads = self.method.read_names(self.options, self.inputs)
        unasked = [name for name in known if learned or name not in reads]
        lacking = [name for name in unasked if name not in named and not split.has(name)]
        missing = tuple(name for name in known if name in (*named, *lacking))
        if len(missing) == len(known):
            if lacking:
                raise InputError(f"nothing of {', '.join(known)} is there, with which this experiment was trained")
            raise InputError(f"missing names {' and '.join(missing)}, all that this experiment was trained with")
        if "text" in missing and self.inputs.aligned:
            raise InputError("text cannot be missing: audio and vision of this experiment are aligned with its tokens")
        gone = {column for name in missing for column in columns_of(name)}
        read = [name for name in self.preprocessor.reads() if name not in gone]
        columns = self.preprocessor.apply(check_samples(split, read), missing=missing)
        columns["label"] = np.zeros(len(split), np.float32)
        if "text" not in missing:
            self.preprocessor.warn_of_unknown({"the texts": columns}, f"text encoder {self.options.text_encoder}")
        if self.inputs.aligned:
            there = [name for name in reads if name not in missing]
            check_aligned(columns, there, max_tokens=self.preprocessor.max_tokens)
        if missing and self.inputs.aligned:
            length = length_of(next(columns[name] for name in known if name not in missing)).astype(np.int32)
            for name in missing:
                width = columns[name]["features"].shape[-1]
                zeros = np.zeros((len(split), int(length.max()), width), np.float32)
                columns[name] = {"features": zeros, "length": length}
        missed = [name for name in missing if name in reads]
        if missed and (not learned or set(missed) & set(lacking)):
            self._warn_of_missing(missed, learned)
        return columns

    def _warn_of_missing(self, missing: Sequence[str], learned: bool) -> None:
        frames = "frames of zeros, as many as the others have," if self.inputs.aligned else "no frame"
        mean = [name for name in missing if self.inputs.aligned and name in self.preprocessor.statistics]
        said = [
            "no word" if name == "text" else f"{frames} as {name}" + " (the training mean)" * (name in mean)
            for name in missing
        ]
        absent = f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing"
        then = (
            "the network has learned from such samples (modality_dropout)"
            if learned
            else "the network has not learned from such samples, so expect worse scores"
        )
        warnings.warn(f"{absent}: each sample has {' and '.join(said)}; {then}", DataWarning, stacklevel=5)


def _modalities(missing: Sequence[str]) -> tuple[str, ...]:
    """Each once, in the order of MODALITIES."""
    named = (missing,) if isinstance(missing, str) else tuple(missing)
    for name in named:
        if name not in MODALITIES:
            raise InputError(f"missing names {name!r}; expected some of {', '.join(MODALITIES)}")
    return tuple(name for name in MODALITIES if name in named)


def _no_split(given: Any) -> str:
    """What is wrong with something else than a split."""
    if isinstance(given, Dataset):
        return "predict takes one split; found a Dataset, of which it takes e.g. dataset.test"
    if isinstance(given, str) or (
        isinstance(given, list | tuple) and given and all(isinstance(one, str) for one in given)
    ):
        return "predict takes a Split; found text, for which there is predict_texts([...]), or Split(raw_text=[...])"
    if isinstance(given, os.PathLike):
        return "predict takes a Split; found a path, of which load_dataset(path).test is one"
    return f"predict takes a Split; found {type(given).__name__}: Split(raw_text=[...], audio=...) makes one of arrays"


def _like_training(inputs: Inputs) -> Columns:
    """Arrays of zeros of the shapes of the training data, of two samples; nobody reads them, so that they take no memory."""
    columns: Columns = {name: np.zeros(2, np.float32) for name in ("label", *inputs.columns)}
    if inputs.text is not None:
        mask = np.zeros((2, inputs.text.steps), np.int32)
        width = inputs.text.width
        tokens = {"ids": mask, "mask": mask}
        features = {"features": np.zeros((2, inputs.text.steps, width), np.float32), "mask": mask}
        columns["text"] = features if inputs.text.bert is None else tokens
    for name in SEQUENCES:
        if (shape := getattr(inputs, name)) is not None:
            columns[name] = {"features": np.zeros((2, *shape), np.float32), "length": np.zeros(2, np.int32)}
    return columns
