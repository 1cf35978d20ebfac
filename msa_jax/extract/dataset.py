"""From a folder of clips and a table of labels to a dataset."""

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from msa_jax.csv_text import csv_of
from msa_jax.data.identity import corpus_said, entries_of, guessed, said
from msa_jax.data.native import check_target, write_native
from msa_jax.data.schema import Card, Dataset, validate
from msa_jax.data.tokenize import Tokenizer
from msa_jax.data.values import check_lengths
from msa_jax.errors import DataWarning, InputError
from msa_jax.extract import alignment, transcripts
from msa_jax.extract.clips import Extracted, Source, Tools, extract_clips, new_recipe, reads_clips, with_times
from msa_jax.extract.layouts import Clip, read_raw, split_by_video
from msa_jax.extract.recipe import ALLOWED, MOST_SECONDS, Recipe
from msa_jax.extract.transcripts import Transcript
from msa_jax.modalities import SEQUENCES
from msa_jax.paths import shown, user_path

_SHOWN = 5  # bad clips in an error message, and clips in a warning
_NO_TIMES = "no words with times: expected them in a .srt, .vtt or Whisper's .json beside the clip, or by --asr"
_LICENCE = "openSMILE's features: its licence excludes commercial use, of models trained on them too."


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """What was made. failed: (id, reason) of each clip that was left out. seconds: of all clips."""

    dataset: Dataset
    folder: Path
    failed: tuple[tuple[str, str], ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """A clip with what was found of it."""

    clip: Clip
    features: Extracted
    transcript: Transcript | None


def extract(
    raw: str | Path,
    *,
    out: str | Path,
    labels: str | Path | None = None,
    audio: str | None = None,
    vision: str | None = None,
    audio_rate: float | None = None,
    face_model: str | Path | None = None,
    openface: str | Path | None = None,
    opensmile: str | Path | None = None,
    asr: str | Path | None = None,
    align: str | None = None,
    text_encoder: str | None = None,
    max_tokens: int | None = None,
    allow: Sequence[str] = (),
    skip_bad: bool = False,
    max_seconds: float = MOST_SECONDS,
    split_seed: int | None = None,
    workers: int | None = None,
    cache: str | Path | None = None,
    log: TextIO | None = sys.stderr,
    **words: Any,
) -> Extraction:
    """Extracts audio and vision of every clip of a folder, and writes a native dataset, whole or not at all.

    What was extracted is kept in a cache, by the contents of the clip and the recipe: the same call goes on where it was.

    Args:
      raw: a folder or a table, as `msa_jax.extract.layouts` reads them.
      out: the dataset's folder.
      labels: the table, if it has another name or place.
      audio: "speech-v1" (default), "egemaps-v02" (openSMILE) or "none". vision: "face-v1" (default), "face-landmarks-v1" or
        "none".
      audio_rate: frames a second; by default those of the set.
      face_model: the file of Google's face landmarker; otherwise as `find_face_model` finds it.
      openface, opensmile: folders with a CSV for each clip, which are read instead.
      asr: a folder with a Whisper model for faster-whisper, which hears what no transcript says.
      align: "words" for one frame of audio and vision for each token, the mean over its word; needs words with their times.
      text_encoder, max_tokens: whose tokens these are, and how many of a text, as in the options of training and with their
        defaults, "scratch" and 50.
      allow: "silent", "faceless": clips that are taken although they have no sound, or no face.
      skip_bad: leave clips out that cannot be read; the folder then has `failed.csv`.
      max_seconds: of a clip; what comes later is not read.
      split_seed: of the split by video of a table without a column `mode`; 0 by default.
      workers: processes; by default one for each core.
      cache: a folder; by default one in the user's cache.
      log: where bad clips and progress are written.
      words: `name`, `language`, `label_range`, `metrics` of the dataset; what is not said is guessed in a warning.

    Raises:
      InputError: the labels are wrong, a tool or the face model is missing, the folder exists, there are bad clips, or nothing
        would read what is given.
    """
    words = said(**_known(words))
    raw, out = user_path(raw), user_path(out)
    for one in allow:
        if one not in ALLOWED:
            raise InputError(f"allow names {one!r}; expected some of {', '.join(ALLOWED)}")
    if align not in (None, "words"):
        raise InputError(f"align is {align!r}; expected words, or nothing")
    for name, value, unread, why in (
        ("audio", audio, opensmile is not None, "opensmile gives the features of audio"),
        ("audio_rate", audio_rate, opensmile is not None, "opensmile gives the features of audio"),
        ("audio_rate", audio_rate, audio == "none", "audio is none"),
        ("vision", vision, openface is not None, "openface gives the features of vision"),
        ("face_model", face_model, openface is not None, "openface gives the features of vision"),
        ("face_model", face_model, vision == "none", "vision is none"),
        ("text_encoder", text_encoder, align is None, "align is not given"),
        ("max_tokens", max_tokens, align is None, "align is not given"),
    ):
        if value is not None and unread:
            value = str(value) if isinstance(value, Path) else value
            raise InputError(f"{name} is {value!r}, and {why}, so nothing reads it; leave it out")
    wholes = (("workers", workers, 1), ("split_seed", split_seed, 0), ("max_tokens", max_tokens, 3))
    for name, number, least in wholes:
        if number is not None and (type(number) is not int or number < least):
            raise InputError(f"{name} is {number!r}; expected a whole number from {least}")
    text_encoder = alignment.SCRATCH if text_encoder is None else text_encoder
    max_tokens = 50 if max_tokens is None else max_tokens
    check_target(out.absolute())
    known = align is not None and text_encoder != alignment.SCRATCH
    tokenizer = alignment.tokenizer_of(text_encoder, ()) if known else None  # what is wrong with it is said first
    tools = Tools(**{
        name: None if path is None else user_path(path)
        for name, path in (("face_model", face_model), ("openface", openface), ("opensmile", opensmile), ("asr", asr))
    }, word_times=align is not None)  # fmt: skip
    table = read_raw(raw, None if labels is None else user_path(labels))
    if split_seed is not None and any(clip.split is not None for clip in table.clips):
        raise InputError(
            f"split_seed is {split_seed}, and {table.table} has a column mode, so nothing reads it; leave one of them out"
        )
    sources = [_source(clip) for clip in table.clips]
    recipe = new_recipe(
        sources,
        tools,
        audio="speech-v1" if audio is None else audio,
        vision="face-v1" if vision is None else vision,
        audio_rate=audio_rate,
        most_seconds=max_seconds,
        allow=tuple(one for one in ALLOWED if one in allow),
    )
    decodes = reads_clips(recipe, tools)
    there = [number for number, clip in enumerate(table.clips) if clip.path is not None or not decodes]
    found = [Extracted(reason=clip.missing) for clip in table.clips]
    made = extract_clips(
        [sources[number] for number in there],
        recipe,
        tools,
        workers=workers,
        cache=None if cache is None else user_path(cache),
        log=log,
    )
    for number, one in zip(there, made, strict=True):
        found[number] = one
    samples, bad = _with_text(table.folder, table.clips, found, recipe, timed=align is not None)
    failed = tuple((clip.id, reason) for clip, reason in bad)
    _refuse_bad(bad, log, total=len(table.clips), source=str(table.table), skip=skip_bad)
    _warn(samples, recipe, str(table.table))
    kinds = sorted({sample.transcript.source for sample in samples if sample.transcript is not None})
    recipe = replace(recipe, text=", ".join(kinds), clips={"count": len(table.clips), "failed": len(bad)})
    by_split = split_by_video([sample.clip for sample in samples], seed=split_seed or 0, source=str(table.table))
    of_clip = {sample.clip.id: sample for sample in samples}
    if align is not None:
        if tokenizer is None:
            texts = [alignment.text_of(of_clip[clip.id].transcript.pieces) for clip in by_split["train"]]
            tokenizer = alignment.tokenizer_of(text_encoder, texts)
        recipe = replace(recipe, align=alignment.alignment_to(tokenizer, text_encoder, max_tokens))
        samples = [_aligned(sample, recipe, tokenizer) for sample in samples]
        of_clip = {sample.clip.id: sample for sample in samples}
    card = _card(samples, recipe, table.table, raw, words)
    longest = {name: max(len(getattr(one.features, name)) for one in samples) for name in _modalities(recipe)}
    columns = {name: _columns([of_clip[clip.id] for clip in clips], longest) for name, clips in by_split.items()}
    dataset = validate(card, columns, source=str(table.table))
    beside = {"failed.csv": _failed_csv(bad)} if bad else None
    folder = write_native(dataset, out, beside=beside)
    seconds = sum(one.features.facts.get("seconds", 0.0) for one in samples)
    return Extraction(dataset=dataset, folder=folder, failed=failed, seconds=seconds)


def _known(words: Mapping[str, Any]) -> Mapping[str, Any]:
    known = ("name", "language", "label_range", "metrics")
    for name in words:
        if name not in known:
            raise TypeError(f"extract() has no argument {name!r}")
    return words


def _source(clip: Clip) -> Source:
    # Tables of clips at paths are found by folder and name of the file.
    by_path = clip.path is not None and clip.clip == clip.path.stem and clip.path.parent.name != ""
    return Source(path=clip.path, video=clip.path.parent.name if by_path else clip.video, clip=clip.clip)


def _modalities(recipe: Recipe) -> tuple[str, ...]:
    return tuple(name for name in SEQUENCES if getattr(recipe, name) is not None)


def _with_text(
    folder: Path, clips: Sequence[Clip], found: Sequence[Extracted], recipe: Recipe, *, timed: bool
) -> tuple[list[_Sample], list[tuple[Clip, str]]]:
    """Clips with their transcripts, and those that cannot be used. If no clip has a word, all go without, unless timed."""
    samples, bad = [], []
    for clip, features in zip(clips, found, strict=True):
        transcript, reason = None, features.reason
        if not reason:
            try:
                transcript = (_timed(clip) if timed else _transcript(folder, clip)) or features.transcript
                if timed and transcript is not None:
                    transcript = with_times(transcript, features, recipe)
                reason = _NO_TIMES if timed and transcript is None else ""
            except InputError as error:
                reason = str(error)
        if reason:
            bad.append((clip, reason))
        else:
            samples.append(_Sample(clip=clip, features=features, transcript=transcript))
    if any(sample.transcript is not None for sample in samples):
        silent = [sample for sample in samples if sample.transcript is None]
        wanted = (
            "no transcript: expected one in column text, in a .txt, .srt, .vtt or .json beside the clip, or by --asr"
        )
        bad += [(sample.clip, wanted) for sample in silent]
        samples = [sample for sample in samples if sample.transcript is not None]
    return samples, bad


def _transcript(folder: Path, clip: Clip) -> Transcript | None:
    if clip.text is not None:
        return Transcript(clip.text, "table")
    near = None if clip.path is None else transcripts.beside(clip.path)
    return near or transcripts.cmu(folder, clip.video, clip.clip)


def _timed(clip: Clip) -> Transcript | None:
    return None if clip.path is None else transcripts.beside(clip.path, timed=True)


def _aligned(sample: _Sample, recipe: Recipe, tokenizer: Tokenizer) -> _Sample:
    """The sample with one frame for each token. Its text is that of the words that are read."""
    frames = {name: (getattr(sample.features, name), getattr(recipe, name).rate) for name in _modalities(recipe)}
    text, aligned = alignment.align(sample.transcript.pieces, frames, tokenizer, max_tokens=recipe.align.max_tokens)
    transcript = replace(sample.transcript, text=text)
    return replace(sample, features=replace(sample.features, **aligned), transcript=transcript)


def _refuse_bad(bad: Sequence[tuple[Clip, str]], log: TextIO | None, *, total: int, source: str, skip: bool) -> None:
    """Lists all bad clips; unless they are to be left out, they are an error."""
    for clip, reason in bad if log is not None else ():
        log.write(f"bad clip {clip.id} ({clip.where}): {reason}\n")
    if not bad:
        return
    count = f"{len(bad)} of {total} clips cannot be used"
    if len(bad) == total:
        raise InputError(f"{source}: none of {total} clips can be used; the first, {bad[0][0].id}: {bad[0][1]}")
    if skip:
        warnings.warn(f"{source}: {count} and are left out; failed.csv says why", DataWarning, stacklevel=3)
        return
    named = "; ".join(f"{clip.id}: {reason}" for clip, reason in bad[:_SHOWN]) if log is None else "as listed"
    raise InputError(f"{source}: {count} ({named}); --skip-bad leaves them out")


def _warn(samples: Sequence[_Sample], recipe: Recipe, source: str) -> None:
    """What is odd about clips that are used, each kind in one warning with its number."""
    for about, odd in oddities([sample.features for sample in samples], recipe):
        names = [samples[number].clip.id for number in odd]
        listed = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        warnings.warn(f"{source}: {about}: {counted(len(names))}: {listed}", DataWarning, stacklevel=3)
    if all(sample.transcript is None for sample in samples):
        warnings.warn(f"{source}: no clip has a transcript, so the dataset has no text", DataWarning, stacklevel=3)


def counted(clips: int) -> str:
    """How many clips, in words."""
    return f"{clips} clip{'s' * (clips != 1)}"


def oddities(found: Sequence[Extracted], recipe: Recipe) -> list[tuple[str, list[int]]]:
    """What is odd about clips that can be used, and the numbers of those."""
    facts = [one.facts for one in found]
    kinds = {
        f"longer than {recipe.most_seconds:g} s, and cut (--max-seconds)": lambda one: (
            one["seconds"] > recipe.most_seconds + 0.1
        ),
        "no face in more than half of the frames": lambda one: (
            one.get("frames") is not None and 2 * one["without_face"] > one["frames"]
        ),
        "several faces, of which the largest is followed": lambda one: one.get("most_faces", 0) > 1,
        "no sound, and one frame of zeros instead": lambda one: one.get("sound", 1) == 0,
        "a table of another rate than the first": lambda one: any(
            abs(rate - getattr(recipe, name).rate) > 0.01 * rate for name, rate in one["rates"].items()
        ),
    }
    numbers = {about: [number for number, one in enumerate(facts) if odd(one)] for about, odd in kinds.items()}
    return [(about, odd) for about, odd in numbers.items() if odd]


def _columns(samples: Sequence[_Sample], longest: Mapping[str, int]) -> dict[str, np.ndarray]:
    columns: dict[str, np.ndarray] = {"id": np.array([sample.clip.id for sample in samples], np.str_)}
    for name in samples[0].clip.labels:
        columns[name] = np.array([sample.clip.labels[name] for sample in samples], np.float32)
    if samples[0].transcript is not None:
        said = [sample.transcript.text for sample in samples]
        check_lengths(said, lambda number: f"clip {samples[number].clip.id}, its words")
        columns["raw_text"] = np.array(said, np.str_)
    for name, steps in longest.items():
        arrays = [getattr(sample.features, name) for sample in samples]
        padded = np.zeros((len(arrays), steps, arrays[0].shape[1]), np.float32)
        for row, array in enumerate(arrays):
            padded[row, : len(array)] = array
        columns[name] = padded
        columns[f"{name}_length"] = np.array([len(array) for array in arrays], np.int32)
    return columns


def _card(samples: Sequence[_Sample], recipe: Recipe, table: Path, raw: Path, words: Mapping[str, Any]) -> Card:
    corpus = corpus_said(words)
    labels = [np.array([value for sample in samples for value in sample.clip.labels.values()])]
    texts = [sample.transcript.text for sample in samples if sample.transcript is not None]
    stem = table.stem if raw.is_file() else raw.absolute().name
    entries = (
        {**entries_of(corpus), **words, "name": corpus}
        if corpus is not None
        else guessed(words, source=str(table), stem=stem, labels=labels, texts=texts)
    )
    described = {"text": f"transcripts ({recipe.text})" if texts else "absent"}
    for name in SEQUENCES:
        features = getattr(recipe, name)
        rate = f"{features.rate:g} Hz" if features and recipe.align is None else "a frame for each token"
        described[name] = f"{features.set}, {features.dim}-d, {rate}" if features else "absent"
    licensed = recipe.audio is not None and recipe.audio.tool.lower() == "opensmile"
    return Card(
        **entries,
        provenance=f"Extracted from {len(samples)} clips of {shown(table.name)}.",
        modalities=described,
        caveats=_LICENCE if licensed else "",
        extract=recipe.to_json(),
    )


def _failed_csv(bad: Sequence[tuple[Clip, str]]) -> str:
    return csv_of(
        {
            "id": [clip.id for clip, _ in bad],
            "file": ["" if clip.path is None else shown(clip.path) for clip, _ in bad],
            "where": [clip.where for clip, _ in bad],
            "reason": [reason for _, reason in bad],
        }
    )
