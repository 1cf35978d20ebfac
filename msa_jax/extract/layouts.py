"""Folders of clips as people have them: a table of labels, and where the clip of each of its rows lies.

| layout | table | clips |
|---|---|---|
| MMSA, CH-SIMS, SIMS v2 | `label.csv` or `meta.csv` | `Raw/VIDEO/CLIP.*` |
| CMU | any, by `--labels` | `Video/Segmented/VIDEO_CLIP.*`, transcripts in `Transcript/Segmented` |
| any | one with `path` and `label` | at these paths, from the table's folder |

The columns are video_id, clip_id (text: 0001 is not 1) and label, and if there are text, label_T, label_A, label_V and mode.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msa_jax.data import table, table_rows
from msa_jax.data.schema import SPLITS
from msa_jax.errors import DataWarning, InputError
from msa_jax.extract.media import SOUND_SUFFIXES, VIDEO_SUFFIXES
from msa_jax.modalities import UNIMODAL_LABELS

_TABLES = ("label.csv", "meta.csv")
_READ = ("path", "video_id", "clip_id", "id", "text", "label", *UNIMODAL_LABELS, "mode")
_OPTIONAL = ("id", "video_id")  # names that a table may have besides
_FOLDERS = ("Raw/{video}", "{video}", "Video/Segmented", "Segmented", "Raw", ".")


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One row of the table. where: of the table. path: None if there is no such file, which `missing` explains."""

    id: str
    video: str
    clip: str
    where: str
    labels: Mapping[str, float]
    text: str | None
    split: str | None
    path: Path | None
    missing: str = ""


@dataclass(frozen=True, kw_only=True)
class RawFolder:
    """Clips in the order of their table. folder: from which they are looked for."""

    table: Path
    folder: Path
    clips: tuple[Clip, ...]


def read_raw(raw: Path, labels: Path | None = None) -> RawFolder:
    """The clips of a folder, or of a table itself.

    Args:
      raw: a folder in one of the layouts above, or a table.
      labels: the table, where it lies elsewhere or has another name.

    Raises:
      InputError: no table, a column that is missing, or a cell that is not what it should be; with the row.
    """
    path = _table(raw, labels)
    folder = raw if raw.is_dir() else raw.parent
    rows = table_rows.read_rows(path)
    columns = list(dict.fromkeys(column for row in rows for column in row.cells))
    by_path = "path" in columns
    needed = ("path", "label") if by_path else ("video_id", "clip_id", "label")
    for column in needed:
        if column not in columns:
            raise InputError(
                f"{path}: column {column} is missing; found {', '.join(columns)}, expected video_id, clip_id and label, or "
                "path and label"
            )
    table.check_whole(path, rows, _READ)
    unimodal = [name for name in UNIMODAL_LABELS if all(_filled(row, name) for row in rows)]
    for name in UNIMODAL_LABELS:
        empty = sum(not _filled(row, name) for row in rows)
        if 0 < empty < len(rows):
            said = f"{path}: column {name} is empty in {empty} of {len(rows)} rows, so it is not read"
            warnings.warn(said, DataWarning, stacklevel=3)
    where = _Folders(folder)
    clips, owner = [], {}
    for row in rows:
        clip = _clip(path, row, by_path=by_path, labels=("label", *unimodal), where=where)
        if clip.id in owner:
            table.refuse(path, row, needed[0], f"{clip.id!r}, which {owner[clip.id]} has", "clips that differ")
        owner[clip.id] = row.where
        clips.append(clip)
    return RawFolder(table=path, folder=folder, clips=tuple(clips))


def split_by_video(clips: Sequence[Clip], *, seed: int, source: str) -> dict[str, list[Clip]]:
    """The clips of train, valid and test: as the table says, or by whole videos, 70 %, 10 % and 20 % of them.

    Args:
      clips: in any order, which stays.
      seed: shuffles the videos where the table has no `mode`.

    Raises:
      InputError: a split has no clip, or there are fewer than three videos.
    """
    if clips and clips[0].split is not None:
        found = {name: [clip for clip in clips if clip.split == name] for name in SPLITS}
        for name in SPLITS:
            if not found[name]:
                raise InputError(f"{source}: no clip is {name}; expected some of each of {', '.join(SPLITS)}")
        return found
    videos = sorted({clip.video for clip in clips})
    if len(videos) < len(SPLITS):
        raise InputError(
            f"{source}: no column mode, and clips of {len(videos)} video{'s' * (len(videos) != 1)}; to split them by video, "
            "expected three at least"
        )
    chosen = {name: {videos[number] for number in numbers} for name, numbers in table.dealt(len(videos), seed).items()}
    split = {name: [clip for clip in clips if clip.video in chosen[name]] for name in SPLITS}
    counts = ", ".join(f"{name} {len(split[name])}" for name in SPLITS)
    warnings.warn(
        f"{source}: no column mode: {len(videos)} videos shuffled with seed {seed}, each in one split ({counts} clips)",
        DataWarning,
        stacklevel=3,
    )
    return split


def _table(raw: Path, labels: Path | None) -> Path:
    if labels is not None:
        return labels
    if raw.is_file():
        return raw
    if not raw.is_dir():
        raise InputError(f"{raw}: no such folder or table")
    there = [raw / name for name in _TABLES if (raw / name).is_file()]
    if len(there) != 1:
        said = "both label.csv and meta.csv" if there else "neither label.csv nor meta.csv"
        raise InputError(f"{raw}: holds {said}; say which table has the labels: --labels FILE")
    return there[0]


def _clip(path: Path, row: table_rows.Row, *, by_path: bool, labels: Sequence[str], where: "_Folders") -> Clip:
    named = ("path",) if by_path else ("video_id", "clip_id")
    names = {name: table.read_name(path, row, name) for name in (*named, *_OPTIONAL) if _filled(row, name)}
    for column in named:
        if not names.get(column) or "\0" in names[column]:
            table.refuse(path, row, column, "nothing", "text")
    if by_path:
        if not Path(names["path"]).name:
            table.refuse(path, row, "path", repr(names["path"]), "a file")
        place = path.parent / names["path"]
        # A file whose video nobody names counts as one of its own.
        id, video, clip = Path(names["path"]).with_suffix("").as_posix(), names.get("video_id", ""), place.stem
        video = video or id
        found, missing = (place, "") if place.is_file() else (None, f"no file {place}")
    else:
        video, clip = names["video_id"], names["clip_id"]
        id = f"{video}$_${clip}"
        found, missing = where.find(video, clip)
    return Clip(
        id=names.get("id", id),
        video=video,
        clip=clip,
        where=row.where,
        labels={name: table.read_label(path, row, name) for name in labels},
        text=(table.read_text(path, row).strip() if "text" in row.cells else "") or None,
        split=table.read_split(path, row, "mode") if "mode" in row.cells else None,
        path=found,
        missing=missing,
    )


def _filled(row: table_rows.Row, column: str) -> bool:
    return not table.is_empty(row.cells.get(column))


class _Folders:
    """Looks for clips; each folder is listed once."""

    def __init__(self, root: Path):
        self._root = root
        self._listed: dict[Path, dict[str, list[Path]]] = {}

    def find(self, video: str, clip: str) -> tuple[Path | None, str]:
        """The file of a clip, a video before a sound, or why there is none."""
        near = ""
        for name in _FOLDERS:
            folder = self._root / name.format(video=video)
            files = self._files(folder)
            stem = clip if "{video}" in name else f"{video}_{clip}"
            for suffixes in (VIDEO_SUFFIXES, SOUND_SUFFIXES):
                found = [path for path in files.get(stem, []) if path.suffix.lower() in suffixes]
                if len(found) > 1:
                    return None, f"{' and '.join(path.name for path in found)} are both in {folder}"
                if found:
                    return found[0], ""
            same = [other for other in files if other != stem and other.lstrip("0") == stem.lstrip("0")]
            if same and not near:
                near = f"; there is {files[same[0]][0].name}, so clip_id must be written {same[0]}, as text"
        expected = self._root / _FOLDERS[0].format(video=video)
        return None, f"no {expected}/{clip}.mp4, nor another media file in a known layout{near}"

    def _files(self, folder: Path) -> dict[str, list[Path]]:
        if folder not in self._listed:
            listed: dict[str, list[Path]] = {}
            if folder.is_dir():
                for path in sorted(folder.iterdir()):
                    if path.suffix.lower() in VIDEO_SUFFIXES + SOUND_SUFFIXES:
                        listed.setdefault(path.stem, []).append(path)
            self._listed[folder] = listed
        return self._listed[folder]
