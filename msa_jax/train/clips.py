"""Scores of clips: an experiment's own recipe of features, and what it was trained on, decide how a clip is read."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from msa_jax.data.preprocess import Preprocessor
from msa_jax.data.schema import Split
from msa_jax.data.tokenize import Tokenizer
from msa_jax.errors import DataWarning, InputError
from msa_jax.extract import alignment, transcripts
from msa_jax.extract.clips import SERVES, Extracted, Source, Tools, extract_clips, seconds_of, with_times
from msa_jax.extract.dataset import counted, oddities
from msa_jax.extract.media import SOUND_SUFFIXES, VIDEO_SUFFIXES
from msa_jax.extract.recipe import IMPORTED, TABLES, Recipe, WordAlignment, with_tools_here
from msa_jax.extract.transcripts import Transcript
from msa_jax.methods.protocol import Inputs
from msa_jax.modalities import SEQUENCES
from msa_jax.paths import shown, user_path

_SHOWN = 5  # bad clips in an error message
_LEAST_PART = 0.05  # seconds


class Trained(Protocol):
    """What is to be known of an experiment: a `Predictor`."""

    preprocessor: Preprocessor
    inputs: Inputs
    extract: Mapping[str, Any] | None

    def check_reads_texts(self) -> None:
        """Raises InputError if new texts cannot be read."""

    def predict_runs(
        self, split: Split, *, exports: bool = False, missing: Sequence[str] = ()
    ) -> dict[int, dict[str, np.ndarray]]:
        """Scores of every run."""
        ...


@dataclass(frozen=True, kw_only=True)
class ClipPrediction:
    """The scores of a clip, or of a part of it, on the scale of the training labels.

    score: the mean over the runs; `float(prediction)` is it. heads: the mean of every head, unimodal scores among them. runs:
    {seed: {head: score}}. start, end: seconds. windows: the parts of the clip, if they were asked for.
    """

    score: float
    heads: Mapping[str, float]
    runs: Mapping[int, Mapping[str, float]]
    start: float
    end: float
    windows: tuple["ClipPrediction", ...] = ()

    def __float__(self) -> float:
        return self.score


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadClips:
    """Clips with their features and, if training had text, their words. read: the modalities.

    tokenizer: with whose tokens the samples are aligned; None if the recipe aligns nothing.
    """

    paths: tuple[Path, ...]
    features: tuple[Extracted, ...]
    words: tuple[Transcript, ...]
    recipe: Recipe
    read: tuple[str, ...]
    tokenizer: Tokenizer | None = None


@dataclass(frozen=True, kw_only=True)
class ClipSamples:
    """Clips, or parts of them, as samples. times: start and end of each in seconds."""

    split: Split
    times: tuple[tuple[float, float], ...]


def predict_clip(
    predictor: Trained,
    path: str | Path,
    *,
    text: str | None = None,
    face_model: str | Path | None = None,
    openface: str | Path | None = None,
    opensmile: str | Path | None = None,
    asr: str | Path | None = None,
    window: float | None = None,
    step: float | None = None,
    missing: Sequence[str] = (),
) -> ClipPrediction:
    """The scores of a clip, and with `window` also of its parts.

    Args:
      predictor: of the experiment.
      path: of the clip.
      text: what is said; by default as a file beside the clip has it, or the recogniser hears it.
      face_model, openface, opensmile, asr: as for `msa_jax.extract.extract`.
      window, step: seconds, as in `samples_of`.
      missing: modalities of training to do without, as in `Predictor.predict_runs`.

    Raises:
      InputError: as `read_clips` and `Predictor.predict_runs`.
    """
    tools = tools_of(face_model=face_model, openface=openface, opensmile=opensmile, asr=asr)
    clips = read_clips(predictor, [path], texts=None if text is None else [text], tools=tools, missing=missing)
    whole = predictions_of(predictor, samples_of(clips), missing)[0]
    if window is None:
        return whole
    parts = predictions_of(predictor, samples_of(clips, window=window, step=step), missing)
    return replace(whole, windows=tuple(parts))


def tools_of(**paths: str | Path | None) -> Tools:
    """`Tools` of paths as people write them."""
    return Tools(**{name: None if path is None else user_path(path) for name, path in paths.items()})


def media_files(paths: Sequence[str | Path]) -> list[Path]:
    """Clips; in the place of a folder, those in it by name, hidden ones left out.

    Raises:
      InputError: there is no such file, or a folder has no clip.
    """
    found = []
    for path in map(user_path, paths):
        if path.is_dir():
            seen = (one for one in path.iterdir() if not one.name.startswith("."))
            inside = sorted(one for one in seen if one.suffix.lower() in VIDEO_SUFFIXES + SOUND_SUFFIXES)
            if not inside:
                raise InputError(f"{path}: no clip in this folder")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise InputError(f"{path}: no such file")
    return found


def read_clips(
    predictor: Trained,
    paths: Sequence[str | Path],
    *,
    texts: Sequence[str] | None = None,
    tools: Tools,
    missing: Sequence[str] = (),
    cache: Path | None = None,
    within: Path | None = None,
) -> ReadClips:
    """Clips with the features that the experiment was trained on.

    Args:
      predictor: of the experiment.
      paths: of clips and folders of clips.
      texts: what is said in each.
      tools: where features come from besides the clips.
      missing: modalities that are not read.
      cache: where features are kept; by default in the user's cache.
      within: a folder out of which no link of a transcript leads; by default links are followed anywhere.

    Raises:
      InputError: a clip cannot be used; no words where training had text; texts where none is read; the experiment's features
        are not of clips, or of another recipe, model or width; a tool is missing.

    Warns:
      DataWarning: a tool has another version, or something is odd about a clip.
    """
    without = (missing,) if isinstance(missing, str) else missing
    read = tuple(name for name in predictor.preprocessor.modalities if name not in without)
    if texts is not None and "text" not in read:
        why = "missing names text" if "text" in without else "this experiment was trained without text"
        raise InputError(f"--text says what is said in the clips, and {why}, so no text is read; leave it out")
    for tool, modality in SERVES.items():
        if getattr(tools, tool) is not None and modality not in read:
            raise InputError(f"--{tool.replace('_', '-')} serves {modality}, which is not read here; leave it out")
    for name in tools.tables():
        if name not in read:
            raise InputError(f"{TABLES[name]} gives the features of {name}, which is not read here; leave it out")
    recipe = _recipe(predictor, read)
    for name in tools.tables():
        features = getattr(recipe, name)
        if features is not None and features.set != IMPORTED[name]:
            raise InputError(
                f"{TABLES[name]}: {name} of this experiment is {features.set}, which is read from the clip itself"
            )
    clips = media_files(paths)
    if texts is not None and len(texts) != len(clips):
        raise InputError(f"there are {len(texts)} texts for {len(clips)} clips; expected one for each, in their order")
    sources = [Source(path=path, video=path.absolute().parent.name, clip=path.stem) for path in clips]
    tools = replace(tools, word_times=recipe.align is not None)
    found = extract_clips(sources, recipe, tools, cache=cache)
    bad = [(path, one.reason) for path, one in zip(clips, found, strict=True) if one.reason]
    words: list[Transcript] = []
    if "text" in read and not bad:
        predictor.check_reads_texts()
        words, bad = _transcripts(clips, found, texts, recipe, within)
    if bad:
        listed = "; ".join(reason if str(path) in reason else f"{path}: {reason}" for path, reason in bad[:_SHOWN])
        listed += "; ..." * (len(bad) > _SHOWN)
        count = f"{len(bad)} of {len(clips)} clips cannot be used: " if len(clips) > 1 else ""
        raise InputError(f"{count}{listed}")
    _warn(predictor, clips, found, recipe)
    tokenizer = None if recipe.align is None else predictor.preprocessor.tokenizer
    return ReadClips(
        paths=tuple(clips), features=tuple(found), words=tuple(words), recipe=recipe, read=read, tokenizer=tokenizer
    )


def samples_of(clips: ReadClips, *, window: float | None = None, step: float | None = None) -> ClipSamples:
    """Clips as samples for `Predictor.predict`.

    Args:
      clips: as they were read.
      window: cut each clip into parts of so many seconds, which begin `step` after each other (default: half a window), the
        last at the end. Words without times are those of every part.
      step: seconds.

    Raises:
      InputError: window or step is less than 50 ms.
    """
    ids, times, said = [], [], []
    arrays: dict[str, list[np.ndarray]] = {name: [] for name in clips.read if name in SEQUENCES}
    for number, (path, one) in enumerate(zip(clips.paths, clips.features, strict=True)):
        length = min(seconds_of(one, clips.recipe), clips.recipe.most_seconds)
        for start, end in _parts(length, window, step):
            ids.append(shown(path) if window is None else f"{shown(path)} {start:g}-{end:g} s")
            times.append((start, end))
            words = clips.words[number] if clips.words else None
            frames = {name: (getattr(one, name), getattr(clips.recipe, name).rate) for name in arrays}
            if clips.tokenizer is not None:
                spoken = words.pieces if window is None else words.part(start, end)
                most = clips.recipe.align.max_tokens
                text, found = alignment.align(spoken, frames, clips.tokenizer, max_tokens=most)
            elif window is None:
                text, found = words and words.text, {name: array for name, (array, _) in frames.items()}
            else:
                text = words and words.between(start, end)
                found = {name: alignment.frames_between(*pair, start, end) for name, pair in frames.items()}
            for name, pieces in arrays.items():
                pieces.append(found[name])
            said += [text] if words else []
    columns: dict[str, Any] = {"id": np.array(ids, np.str_)}
    if clips.words:
        columns["raw_text"] = np.array(said, np.str_)
    for name, pieces in arrays.items():
        columns[name], columns[f"{name}_length"] = _padded(pieces)
    return ClipSamples(split=Split(**columns), times=tuple(times))


def _recipe(predictor: Trained, read: Sequence[str]) -> Recipe:
    """The experiment's recipe of what is read, with the tools of this machine."""
    if predictor.extract is None:
        raise InputError(
            "this experiment was not trained on features that msa_jax extracted, so it cannot read clips: make a dataset with "
            "`msa-jax data extract` and train on it"
        )
    recipe = Recipe.from_json(predictor.extract, "this experiment")
    kept = {name: getattr(recipe, name) if name in read else None for name in SEQUENCES}
    for name, features in kept.items():
        width = predictor.preprocessor.widths.get(name)
        if name in read and (features is None or features.dim != width):
            found = "none" if features is None else f"{features.set} with {features.dim}"
            raise InputError(
                f"the recipe of {name} is {found}, but this experiment was trained on {width} values in a frame"
            )
    if not any(kept.values()):
        recipe = replace(recipe, align=None)  # there are no frames that could be aligned
    if recipe.align is not None:
        _check_alignment(predictor, recipe.align, read)
    recipe, other = with_tools_here(replace(recipe, **kept))
    if other:
        warnings.warn(
            f"extracted with other versions than the training data, so scores may differ: {'; '.join(other)}",
            DataWarning,
            stacklevel=4,
        )
    return recipe


def _check_alignment(predictor: Trained, align: WordAlignment, read: Sequence[str]) -> None:
    """Raises InputError if features cannot be aligned with words as they were for training."""
    if "text" not in read:
        raise InputError("text cannot be missing: audio and vision of this experiment are aligned with its words")
    tokenizer = predictor.preprocessor.tokenizer
    if tokenizer is None or tokenizer.vocabulary_sha256() != align.vocabulary_sha256:
        raise InputError(
            f"its features are aligned with the tokens of {align.text_encoder}, and this experiment has other tokens: train "
            f"with --text-encoder {align.text_encoder}, or extract again without --align"
        )


def _transcripts(
    clips: Sequence[Path],
    found: Sequence[Extracted],
    texts: Sequence[str] | None,
    recipe: Recipe,
    within: Path | None,
) -> tuple[list[Transcript], list[tuple[Path, str]]]:
    """What is said in each clip, and the clips of which nobody knows."""
    timed = recipe.align is not None
    if timed and texts is not None:
        raise InputError(
            "audio and vision of this experiment are aligned with words, so it needs the times of words, which a text given by "
            "itself has not: put a .srt, .vtt or Whisper's .json beside the clip, or give --asr FOLDER"
        )
    wanted = "a .srt, .vtt or Whisper's .json" if timed else "--text, a .txt, .srt, .vtt or .json"
    words, bad = [], []
    for number, (path, one) in enumerate(zip(clips, found, strict=True)):
        try:
            given = None if texts is None else Transcript(texts[number], "given")
            said = given or transcripts.beside(path, timed=timed, within=within) or one.transcript
            if timed and said is not None:
                said = with_times(said, one, recipe)
        except InputError as error:
            bad.append((path, str(error)))
            continue
        if said is None:
            times = " with times" * timed
            bad.append((path, f"no words{times}: give {wanted} beside the clip, or --asr FOLDER"))
        else:
            words.append(said)
    return words, bad


def _warn(predictor: Trained, clips: Sequence[Path], found: Sequence[Extracted], recipe: Recipe) -> None:
    odd = oddities(found, recipe)
    for name in SEQUENCES:
        trained = getattr(predictor.inputs, name) if recipe.align is None else None
        longer = [] if trained is None else [n for n, one in enumerate(found) if _steps(one, name) > trained.steps]
        odd += [(f"more frames of {name} than any of training had ({trained.steps})", longer)] if longer else []
    for about, numbers in odd:
        names = ", ".join(str(clips[number]) for number in numbers[:_SHOWN]) + ", ..." * (len(numbers) > _SHOWN)
        warnings.warn(f"{about}: {counted(len(numbers))}: {names}", DataWarning, stacklevel=4)


def _steps(one: Extracted, name: str) -> int:
    array = getattr(one, name)
    return 0 if array is None else len(array)


def _parts(length: float, window: float | None, step: float | None) -> list[tuple[float, float]]:
    if window is None:
        return [(0.0, length)]
    step = window / 2 if step is None else step
    if not _LEAST_PART <= step <= window < float("inf"):
        raise InputError(
            f"window is {window:g} s, step {step:g} s; expected {_LEAST_PART:g} at least, and a step within the window"
        )
    count = int(np.floor(max(length - window, 0) / step + 1e-9)) + 1
    parts = [(n * step, min(n * step + window, length)) for n in range(count)]
    if length - parts[-1][1] >= step / 2:  # what is left is worth a part of its own
        parts.append((length - window, length))
    return [(round(start, 3), round(end, 3)) for start, end in parts]


def _padded(pieces: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """[N, longest, d] f32 and [N] i32."""
    lengths = np.array([len(piece) for piece in pieces], np.int32)
    padded = np.zeros((len(pieces), int(lengths.max()), pieces[0].shape[1]), np.float32)
    for row, piece in enumerate(pieces):
        padded[row, : len(piece)] = piece
    return padded, lengths


def predictions_of(predictor: Trained, samples: ClipSamples, missing: Sequence[str] = ()) -> list[ClipPrediction]:
    """The scores of clips, or of their parts, in their order.

    Args:
      predictor: of the experiment.
      samples: of `samples_of`.
      missing: as in `Predictor.predict_runs`, whose errors and warnings it has.
    """
    runs = predictor.predict_runs(samples.split, missing=missing)
    made = []
    for row, (start, end) in enumerate(samples.times):
        of_run = {seed: {head: float(values[row]) for head, values in heads.items()} for seed, heads in runs.items()}
        first = next(iter(of_run.values()))
        means = {head: float(np.mean([heads[head] for heads in of_run.values()], dtype=np.float32)) for head in first}
        made.append(ClipPrediction(score=means["prediction"], heads=means, runs=of_run, start=start, end=end))
    return made
