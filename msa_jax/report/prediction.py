"""Scores of new samples, as a table: out of a dataset's split, texts, or clips."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax.csv_text import predictions_csv, shortest
from msa_jax.data.samples import load_split, read_texts
from msa_jax.data.schema import Split
from msa_jax.data.table_rows import SUFFIXES
from msa_jax.errors import InputError
from msa_jax.train.experiment_dir import check_not_ours
from msa_jax.train.predictor import Predictor


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Scores of every run. runs: {seed: {head: [N]}}. exports: {"seed/name": [N] or [N, d]}. with_text: show the text too."""

    split: Split
    runs: Mapping[str, Mapping[str, np.ndarray]]
    exports: Mapping[str, np.ndarray]
    with_text: bool

    def csv(self) -> str:
        """A line for each sample, as `predictions_csv` has it."""
        return predictions_csv(self.split.id, self._label(), self.runs, text=self._text())

    def rows(self) -> list[dict[str, Any]]:
        """The same as JSON; a label that is not known is null, and where none is known they are left out."""
        label, text = self._label(), self._text()
        columns = {f"{run}/{head}": values for run, heads in self.runs.items() for head, values in heads.items()}
        return [
            {
                "id": str(name),
                **({} if label is None else {"label": _number(label[row])}),
                **({} if text is None else {"text": str(text[row])}),
                **{column: _number(values[row]) for column, values in columns.items()},
            }
            for row, name in enumerate(self.split.id)
        ]

    def _label(self) -> np.ndarray | None:
        return self.split.label if np.isfinite(self.split.label).any() else None

    def _text(self) -> np.ndarray | None:
        return self.split.raw_text if self.with_text else None


def predict(
    folder: str | Path,
    *,
    data: Any = None,
    split: str | None = None,
    texts: str | Path | None = None,
    text: Sequence[str] = (),
    clip: Sequence[str | Path] = (),
    tools: Mapping[str, str | Path | None] | None = None,
    window: float | None = None,
    step: float | None = None,
    missing: Sequence[str] = (),
    with_text: bool = False,
    exports: bool = False,
) -> Prediction:
    """Scores of every run of an experiment, of exactly one of `data`, `texts`, `text` and `clip`.

    Args:
      folder: the experiment.
      data, split: as for `load_split`.
      texts: a file with a text on each line, "-" for standard input. text: the texts themselves.
      clip: files of clips, and folders of them; `text` then has the words of each. tools: {name: path}, as for `Tools`.
      window, step: seconds, as for `samples_of`.
      missing: modalities to do without, as in `Predictor.predict_runs`.
      with_text: show the text beside the score; it always is beside that of `texts` and `text`.
      exports: also what else the method shows.

    Raises:
      InputError: not a finished experiment, none or several of the four, or samples that do not fit.
    """
    words = None if clip else text or None
    choices = (("--data", data), ("--texts", texts), ("--text", words), ("--clip", clip or None))
    given = [name for name, value in choices if value is not None]
    if len(given) != 1:
        raise InputError(
            f"predict takes one of --data, --texts, --text and --clip; found {' and '.join(given) or 'none'}"
        )
    if (window, step) != (None, None) and (not clip or window is None):
        raise InputError("--window is the length of parts of a --clip, and --step goes with it")
    of_clips = [f"--{name.replace('_', '-')}" for name, path in (tools or {}).items() if path is not None]
    if of_clips and not clip:
        raise InputError(f"{of_clips[0]} says how a --clip is read; {given[0]} has none")
    if split is not None and data is None:
        raise InputError(f"--split chooses a part of --data; {given[0]} has none")
    predictor = Predictor.load(folder)
    if data is not None:
        samples = load_split(data, split)
    elif texts is not None:
        predictor.check_reads_texts()
        samples = _read_texts(texts)
    elif clip:
        from msa_jax.train.clips import read_clips, samples_of, tools_of

        read = read_clips(predictor, clip, texts=list(text) or None, tools=tools_of(**(tools or {})), missing=missing)
        samples = samples_of(read, window=window, step=step).split
    else:
        samples = predictor.split_of_texts(text)
    if with_text and samples.raw_text is None:
        raise InputError(f"{data or clip[0]}: no column raw_text, so no text can be written beside the scores")
    found = predictor.predict_runs(samples, exports=exports, missing=missing)
    heads = predictor.method.head_names(predictor.options, predictor.inputs)
    return Prediction(
        split=samples,
        runs={str(seed): {name: named[name] for name in heads if name in named} for seed, named in found.items()},
        exports={
            f"{seed}/{name}": value
            for seed, named in found.items()
            for name, value in named.items()
            if name not in heads
        },
        with_text=with_text or (data is None and samples.raw_text is not None),
    )


def _number(value: np.floating) -> float | None:
    return float(shortest(value)) if np.isfinite(value) else None


def _read_texts(source: str | Path) -> Split:
    if Path(source).suffix.lower() in SUFFIXES:
        raise InputError(
            f"{source}: a table, which --data reads; --texts reads a file with a text on each line, and no heading"
        )
    if str(source) == "-":
        return read_texts(sys.stdin.buffer.read(), source="standard input")
    try:
        return read_texts(Path(source).read_bytes(), source=str(source))
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror})") from None


def _is_same(path: Path, other: Path) -> bool:
    """Whether two paths are of one file, on a disk that knows no capital letters, too."""
    if path.resolve() == other.resolve():
        return True
    try:
        return path.samefile(other)
    except OSError:  # one of them is not there
        return False


def check_outputs(outputs: Sequence[Path | None], inputs: Sequence[Any]) -> None:
    """Raises InputError if a file to write is an experiment's own, another one of them, or one that is read."""
    written: list[Path] = []
    for path in outputs:
        if path is None:
            continue
        check_not_ours(path)
        read = [Path(one) for one in inputs if isinstance(one, str | Path)]
        if any(_is_same(path, other) for other in (*written, *read)):
            raise InputError(f"{path}: is also read or written by this command; choose another file")
        written.append(path)
