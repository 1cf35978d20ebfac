"""From a split as people keep it to the arrays a network reads; fitted on the training split, kept with the experiment."""

import json
import warnings
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax import json_text
from msa_jax.data.padding import filled_frames
from msa_jax.data.schema import Dataset, Split
from msa_jax.data.text_end import TEXT_ENDS, TextEnd, text_end_of, text_mask
from msa_jax.data.tokenize import Tokenizer, load_tokenizer
from msa_jax.errors import DataWarning, InputError
from msa_jax.modalities import LABELS, MODALITIES, SEQUENCES

Columns = dict[str, Any]

ROWS = 1024  # that statistics read at a time
UNKNOWN_SHARE = 0.2  # of the tokens of a split that may be unknown without a warning


@dataclass(frozen=True, kw_only=True, eq=False)
class Preprocessor:
    """What is done to a split before a network sees it.

    modalities: those of the training split; another split must have them too.
    tokenizer: for `raw_text`; None where token ids (`text_bert`) or features (`text`) are read as they are.
    text_column: "raw_text", "text_bert" or "text"; None without text.
    vocab_size: token ids beyond it are refused; 0 where there are none.
    max_tokens: as the option.
    widths: feature size of each sequence modality, and of "text" where it is features.
    statistics: {modality: [2, d] mean and standard deviation}; empty where nothing is standardised.
    clip: bound of a standardised value.
    frame: the first and the last id of every text of `text_bert`; empty if they differ, or the text is another column.
    text_end: what tells how many steps of `text` a sample has; None in experiments that did not write it down, and for other
      columns.
    """

    modalities: tuple[str, ...]
    tokenizer: Tokenizer | None
    text_column: str | None
    vocab_size: int
    max_tokens: int
    widths: Mapping[str, int]
    statistics: Mapping[str, np.ndarray]
    clip: float
    frame: tuple[int, ...] = ()
    text_end: TextEnd | None = None

    @classmethod
    def fit(
        cls,
        dataset: Dataset,
        *,
        tokenizer: Tokenizer | None,
        text_column: str | None,
        vocab_size: int,
        max_tokens: int,
        standardise: bool,
        clip: float,
    ) -> "Preprocessor":
        """Takes sizes and, where asked, statistics from the training split."""
        train = dataset.train
        widths = {name: getattr(train, name).shape[-1] for name in SEQUENCES if getattr(train, name) is not None}
        if text_column == "text":
            widths["text"] = train.text.shape[-1]
        statistics = {}
        for name in SEQUENCES if standardise else ():
            if name in widths:
                sequence, length = getattr(train, name), getattr(train, f"{name}_length")
                statistics[name] = _statistics(sequence, length)
        modalities = tuple(name for name in MODALITIES if name in widths or (name == "text" and text_column))
        return cls(
            modalities=modalities,
            tokenizer=tokenizer,
            text_column=text_column,
            vocab_size=vocab_size,
            max_tokens=max_tokens,
            widths=widths,
            statistics=statistics,
            clip=clip,
            frame=_frame(train.text_bert) if text_column == "text_bert" else (),
            text_end=text_end_of(dataset.splits().values()) if text_column == "text" else None,
        )

    def reads(self) -> tuple[str, ...]:
        """The columns of a split that `apply` needs, where no modality is missing."""
        text = () if self.text_column is None else (self.text_column,)
        text += ("text_bert",) if self.text_column == "text" else ()  # whose mask may tell where the text ends
        return (
            *text,
            *(
                name
                for modality in SEQUENCES
                if modality in self.modalities
                for name in (modality, f"{modality}_length")
            ),
        )

    def apply(self, split: Split, *, source: str = "the data", missing: Collection[str] = ()) -> Columns:
        """The arrays a network reads.

        Args:
          split: with these modalities.
          source: what to call it in messages.
          missing: modalities of which no column is read. They are absent: each sample has no frame of them (an array of one
            frame and length 0), and as text no word: the first and the last token alone, which frame every text, or one step of
            zeros where the text is features.

        Returns:
          `text` {ids [N, T] int32, mask [N, T] int32} or {features [N, T, D], mask}; `audio` and `vision` {features
          [N, L, d] float32, length [N] int32}; `label` and whichever of `label_t`, `label_a`, `label_v` there are.

        Raises:
          InputError: a modality is absent, or has another feature size than in training; nothing tells where texts end.
        """
        columns: Columns = {}
        if self.text_column:
            columns["text"] = self._no_text(len(split)) if "text" in missing else self._text(split, source)
        for name in SEQUENCES:
            if name in self.modalities:
                columns[name] = (
                    self._no_sequence(name, len(split)) if name in missing else self._sequence(name, split, source)
                )
        for name in LABELS:
            if getattr(split, name) is not None:
                columns[name] = getattr(split, name)
        return columns

    def _no_text(self, rows: int) -> Columns:
        if self.tokenizer is not None:
            ids, mask = self.tokenizer.encode([""] * rows, max_tokens=self.max_tokens)
            return {"ids": ids, "mask": mask}
        if self.text_column == "text_bert":
            ids = np.tile(np.array(self.frame or (0,), np.int32), (rows, 1))
            return {"ids": ids, "mask": np.ones_like(ids)}
        features = np.zeros((rows, 1, self.widths["text"]), np.float32)
        return {"features": features, "mask": np.ones((rows, 1), np.int32)}

    def _no_sequence(self, name: str, rows: int) -> Columns:
        return {"features": np.zeros((rows, 1, self.widths[name]), np.float32), "length": np.zeros(rows, np.int32)}

    def _text(self, split: Split, source: str) -> Columns:
        if getattr(split, self.text_column) is None:
            raise InputError(
                f"{source}: column {self.text_column} is missing; this experiment was trained on it{_instead('text')}"
            )
        if self.text_column == "raw_text":
            ids, mask = self.tokenizer.encode(list(split.raw_text), max_tokens=self.max_tokens)
            return {"ids": ids, "mask": mask}
        if self.text_column == "text_bert":
            ids, mask = split.text_bert[:, 0], split.text_bert[:, 1]
            if ids.max(initial=0) >= self.vocab_size:
                row = int(np.argmax((ids >= self.vocab_size).any(1)))
                raise InputError(
                    f"{source}: column text_bert, row {row}: token id {ids[row].max()}; "
                    f"the text encoder's vocabulary has {self.vocab_size}"
                )
            return _cut(ids * mask, mask, self.max_tokens)
        if split.text.shape[-1] != self.widths["text"]:
            raise InputError(f"{source}: text has {split.text.shape[-1]} features; expected {self.widths['text']}")
        return {"features": split.text, "mask": text_mask(split, self.text_end, source=source)}

    def _sequence(self, name: str, split: Split, source: str) -> Columns:
        sequence = getattr(split, name)
        if sequence is None:
            raise InputError(f"{source}: {name} is missing; this experiment was trained with it{_instead(name)}")
        if sequence.shape[-1] != self.widths[name]:
            raise InputError(f"{source}: {name} has {sequence.shape[-1]} features; expected {self.widths[name]}")
        length = getattr(split, f"{name}_length")
        sequence = sequence[:, : max(int(length.max(initial=1)), 1)]
        if name in self.statistics:
            mean, deviation = self.statistics[name]
            valid = (np.arange(sequence.shape[1]) < _frames_that_say(sequence, length)[:, None])[..., None]
            sequence = np.clip((sequence - mean) / deviation, -self.clip, self.clip) * valid
        return {"features": np.ascontiguousarray(sequence, np.float32), "length": length}

    def warn_of_unknown(self, columns: Mapping[str, Columns], source: str) -> None:
        """Says which splits have more than a fifth of their tokens unknown to the tokenizer.

        Args:
          columns: {what to call the split: what `apply` made of it}.
          source: where the texts come from, for the message.

        Warns:
          DataWarning: there is such a split.
        """
        if self.tokenizer is None:
            return
        shares = {
            name: self.tokenizer.unknown_share(split["text"]["ids"], split["text"]["mask"])
            for name, split in columns.items()
        }
        much = [
            f"{100 * share:.0f} % of the tokens of {name}" for name, share in shares.items() if share > UNKNOWN_SHARE
        ]
        if much:
            warnings.warn(
                f"{source}: {', '.join(much)} are unknown to its vocabulary and all read the same; expected a text encoder "
                "for the language of the texts",
                DataWarning,
                stacklevel=3,
            )

    def save(self, folder: Path) -> None:
        """Writes `preprocessing.json`, `statistics.npz` and, with a tokenizer, `tokenizer/`."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "modalities": list(self.modalities),
            "text_column": self.text_column,
            "vocab_size": self.vocab_size,
            "max_tokens": self.max_tokens,
            "widths": dict(self.widths),
            "clip": self.clip,
            "frame": list(self.frame),
            "text_end": self.text_end,
            "tokenizer": self.tokenizer is not None,
        }
        if self.tokenizer is not None:
            self.tokenizer.save(folder / "tokenizer")
        with open(folder / "statistics.npz", "wb") as file:
            np.savez(file, **self.statistics)
        (folder / "preprocessing.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Preprocessor":
        """What `save` wrote. Raises InputError where it cannot be read."""
        try:
            content = json_text.parse((folder / "preprocessing.json").read_text(encoding="utf-8"))
            with open(folder / "statistics.npz", "rb") as raw, np.load(raw, allow_pickle=False) as file:
                # It may come from anywhere, and a few compressed bytes could fill the memory.
                if any(one.compress_type != zipfile.ZIP_STORED for one in file.zip.infolist()):
                    raise ValueError("statistics.npz is compressed; expected arrays as they are")
                statistics = {name: file[name] for name in file.files}
            tokenizer = load_tokenizer(folder / "tokenizer") if content.pop("tokenizer") else None
            content["modalities"] = tuple(content["modalities"])
            content["frame"] = tuple(content.get("frame", ()))  # which experiments did not have at first
            if content.setdefault("text_end", None) not in (None, *TEXT_ENDS):  # nor this
                raise ValueError(f"text_end is {content['text_end']!r}; expected one of {', '.join(TEXT_ENDS)}")
            return cls(tokenizer=tokenizer, statistics=statistics, **content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{folder}: the preprocessing of this experiment cannot be read ({error})") from None


def _instead(name: str) -> str:
    return f"; to predict without it, say so: --missing {name}, in Python missing=({name!r},)"


def text_lengths(columns: Columns) -> np.ndarray | None:
    """[N] tokens of each utterance, or None where the text is not token ids."""
    text = columns.get("text")
    return None if text is None or "ids" not in text else text["mask"].sum(1)


def _frames_that_say(sequence: np.ndarray, length: np.ndarray) -> np.ndarray:
    """[N] valid frames; none of a sample whose frames are all zeros, which has nothing to standardise. On aligned data it lacks
    the modality."""
    return np.where(filled_frames(sequence).any(1), length, 0)


def _statistics(sequence: np.ndarray, length: np.ndarray) -> np.ndarray:
    """[2, d] float32: mean and standard deviation of the valid frames of [N, L, d], deviation 1 where nothing varies. Samples
    whose frames are all zeros have none.

    Rows are read in blocks, so that the memory does not grow with the data.
    """
    length = _frames_that_say(sequence, length)
    frames, blocks = max(int(length.sum()), 1), range(0, len(sequence), ROWS)

    def total(of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        sums = np.zeros(sequence.shape[-1])
        for start in blocks:
            block = slice(start, start + ROWS)
            sums += of(sequence[block][np.arange(sequence.shape[1]) < length[block, None]].astype(np.float64)).sum(0)
        return sums

    mean = total(lambda x: x) / frames
    deviation = np.sqrt(total(lambda x: (x - mean) ** 2) / frames)
    return np.stack([mean, np.where(deviation > 1e-6, deviation, 1.0)]).astype(np.float32)


def _frame(text_bert: np.ndarray) -> tuple[int, ...]:
    """The ids that all texts [N, 3, T] begin and end with; empty if they differ."""
    ids, count = text_bert[:, 0], text_bert[:, 1].sum(1).astype(np.int64)
    ends = ids[np.arange(len(ids)), np.maximum(count, 1) - 1]
    same = bool((count > 1).all() and (ids[:, 0] == ids[0, 0]).all() and (ends == ends[0]).all())
    return (int(ids[0, 0]), int(ends[0])) if same else ()


def _cut(ids: np.ndarray, mask: np.ndarray, max_tokens: int) -> Columns:
    """Ids cut to max_tokens; a cut utterance keeps its last token, [SEP], at the end."""
    longest = int(mask.sum(1).max(initial=1))
    ids, mask = ids[:, :longest], mask[:, :longest]
    if longest > max_tokens:
        last = np.take_along_axis(ids, mask.sum(1, keepdims=True) - 1, axis=1)[:, 0]
        long = mask.sum(1) > max_tokens
        ids, mask = ids[:, :max_tokens].copy(), mask[:, :max_tokens]
        ids[long, -1] = last[long]
    return {"ids": np.ascontiguousarray(ids, np.int32), "mask": np.ascontiguousarray(mask, np.int32)}
