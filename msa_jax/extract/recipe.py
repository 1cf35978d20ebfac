"""What was extracted, and by what: the description that lies in a dataset's card and in the configuration of an experiment."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from importlib import metadata
from typing import Any

from msa_jax.errors import InputError, install
from msa_jax.extract import egemaps, face_model, face_points, media, speech
from msa_jax.modalities import SEQUENCES

VERSION = 1
AUDIO_SETS = ("speech-v1", "egemaps-v02", "none")
VISION_SETS = ("face-v1", "face-landmarks-v1", "none")
IMPORTED = {"audio": "opensmile-csv", "vision": "openface-csv"}  # features that somebody has already
TABLES = {"audio": "--opensmile", "vision": "--openface"}  # the options that say where they are
ALLOWED = ("silent", "faceless")  # what else makes a clip a bad one
MOST_SECONDS = 60.0
FRAME_RATE = 15  # pictures a second
_LEAST_RATE = 1e-3  # frames a second
_EXTRAS = {"egemaps-v02": "opensmile"}  # that hold the tool of a set; of others: extract


@dataclass(frozen=True, kw_only=True)
class Features:
    """A named, versioned set of features of one modality.

    set: its name. dim: values in a frame, which `names` names. rate: frames a second. mean_of: frames of the set of which one
    frame here is the mean. tool, tool_version: the package that computes it. model_sha256: of the file with its networks.
    """

    set: str
    dim: int
    rate: float
    tool: str
    tool_version: str
    names: tuple[str, ...]
    mean_of: int = 1
    model_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class WordAlignment:
    """Audio and vision have one frame for each token of the text, the mean over the frames of its word.

    text_encoder: whose tokenizer made the tokens; "scratch" for one of the training split's words. vocabulary_sha256: of it.
    max_tokens: of a text; what comes later has no frame.
    """

    text_encoder: str
    vocabulary_sha256: str
    max_tokens: int


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How audio and vision were extracted.

    audio, vision: None where they were not; without both, a clip is read for its length or its words. decoder: versions.
    most_seconds: of a clip; what comes later is not read. allow: clips that are taken although they have no sound ("silent") or
    no face ("faceless"). text: where the transcripts came from. clips: how many there were, and how many were left out.
    align: None if frames are as many as the sets have in a second.
    """

    audio: Features | None
    vision: Features | None
    decoder: Mapping[str, str] = field(default_factory=dict)
    most_seconds: float = MOST_SECONDS
    allow: tuple[str, ...] = ()
    text: str = ""
    clips: Mapping[str, int] = field(default_factory=dict)
    align: WordAlignment | None = None
    version: int = VERSION

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        content = asdict(self)
        for name in SEQUENCES:
            if content[name] is not None:
                content[name]["names"] = list(content[name]["names"])
        return {**content, "allow": list(self.allow), "decoder": dict(self.decoder), "clips": dict(self.clips)}

    @classmethod
    def from_json(cls, content: Any, source: str) -> "Recipe":
        """What `to_json` made. Raises InputError, naming the source, if it is something else or of another version."""
        if not isinstance(content, Mapping) or content.get("version") != VERSION:
            version = content.get("version") if isinstance(content, Mapping) else None
            raise InputError(f"{source}: its recipe of features has version {version!r}; this msa_jax reads {VERSION}")
        try:
            named = {one.name: content[one.name] for one in fields(cls) if one.name != "align"}
            named["allow"] = tuple(named["allow"])
            if content.get("align") is not None:
                named["align"] = WordAlignment(**content["align"])
            for name in SEQUENCES:
                if named[name] is not None:
                    named[name] = Features(**{**named[name], "names": tuple(named[name]["names"])})
                    _check(named[name], name, source)
            recipe = replace(cls(**named), most_seconds=float(named["most_seconds"]))
            recipe._check(source)
            return recipe
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise InputError(f"{source}: its recipe of features cannot be read ({error!r})") from None

    def _check(self, source: str) -> None:
        align = self.align
        right = (
            0 < self.most_seconds < float("inf")
            and set(self.allow) <= set(ALLOWED)
            and isinstance(self.text, str)
            and all(isinstance(one, Mapping) for one in (self.decoder, self.clips))
            and (align is None or (isinstance(align.text_encoder, str) and isinstance(align.vocabulary_sha256, str)))
            and (align is None or (type(align.max_tokens) is int and align.max_tokens > 2))
        )
        if not right:
            raise InputError(f"{source}: its recipe of features holds a value that no recipe has")

    def key(self) -> str:
        """A name for everything that the arrays of a clip depend on, besides the clip: parts with other tools differ."""
        content = self.to_json()
        parts = {name: content[name] for name in ("version", "audio", "vision", "decoder", "most_seconds")}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _check(features: Features, modality: str, source: str) -> None:
    known = {"audio": AUDIO_SETS, "vision": VISION_SETS}[modality][:-1]
    if features.set not in (*known, IMPORTED[modality]):
        raise InputError(f"{source}: {modality} is {features.set!r}, which this msa_jax cannot extract")
    if features.dim != len(features.names):
        raise InputError(
            f"{source}: the recipe of {modality} has {features.dim} values and {len(features.names)} names"
        )
    # names, frames a second, package; of imported features only that there are frames.
    known_as: dict[str, tuple[tuple[str, ...] | None, float, str]] = {
        "speech-v1": (tuple(speech.NAMES), speech.RATE, "numpy"),
        "egemaps-v02": (None, egemaps.RATE, "opensmile"),
        "face-v1": (face_points.FACE_NAMES, FRAME_RATE, "ai-edge-litert"),
        "face-landmarks-v1": (face_points.LANDMARK_NAMES, FRAME_RATE, "ai-edge-litert"),
    }
    names, rate, tool = known_as.get(features.set, (None, features.rate, features.tool))
    right = type(features.mean_of) is int and features.mean_of >= 1 and 0 < features.rate < float("inf")
    right &= abs(features.rate * features.mean_of - rate) < 1e-6 * rate or features.set in IMPORTED.values()
    right &= (names is None or features.names == tuple(names)) and features.tool == tool and isinstance(tool, str)
    if not right:
        raise InputError(
            f"{source}: the recipe of {modality} is not that of {features.set} as this msa_jax extracts it"
        )
    if features.model_sha256 != (face_model.SHA256 if features.set.startswith("face") else None):
        raise InputError(
            f"{source}: {modality} was extracted with a face model of SHA-256 {features.model_sha256}; this msa_jax has "
            f"{face_model.SHA256}"
        )


def audio_features(name: str, *, rate: float | None = None) -> Features | None:
    """The set of audio features of this name, with the tools as they are installed.

    Args:
      name: of `AUDIO_SETS`.
      rate: frames a second, the set's own or a whole part of it.

    Raises:
      InputError: an unknown name, a tool that is not installed, or a rate that is no part of the set's.
    """
    if name == "none":
        return None
    if name == "speech-v1":
        names, own, tool = speech.NAMES, speech.RATE, "numpy"
    elif name == "egemaps-v02":
        names, own, tool = egemaps.names(), egemaps.RATE, "opensmile"
    else:
        raise InputError(f"audio is {name!r}; expected one of {', '.join(AUDIO_SETS)}")
    mean_of = 1 if rate is None else round(own / rate) if rate > _LEAST_RATE else 0
    if mean_of < 1 or (rate is not None and abs(own / mean_of - rate) > 1e-6):
        raise InputError(f"audio_rate is {rate:g}; expected {own}, or that by 2, 3, 4, ...")
    return Features(
        set=name,
        dim=len(names),
        rate=own / mean_of,
        mean_of=mean_of,
        tool=tool,
        tool_version=_installed(tool, name),
        names=tuple(names),
    )


def vision_features(name: str) -> Features | None:
    """The set of vision features of this name. Raises InputError: an unknown name, or LiteRT is not installed."""
    if name == "none":
        return None
    names = {"face-v1": face_points.FACE_NAMES, "face-landmarks-v1": face_points.LANDMARK_NAMES}.get(name)
    if names is None:
        raise InputError(f"vision is {name!r}; expected one of {', '.join(VISION_SETS)}")
    return Features(
        set=name,
        dim=len(names),
        rate=FRAME_RATE,
        tool="ai-edge-litert",
        tool_version=_installed("ai-edge-litert", name),
        names=names,
        model_sha256=face_model.SHA256,
    )


def with_tools_here(recipe: Recipe) -> tuple[Recipe, list[str]]:
    """The recipe with the tools as they are installed here, and in words which of them have another version.

    Raises:
      InputError: one is not installed.
    """
    changed, said = {}, []
    for name in SEQUENCES:
        features = getattr(recipe, name)
        if features is not None and features.set not in IMPORTED.values():
            now = _installed(features.tool, features.set)
            changed[name] = replace(features, tool_version=now)
            said += [f"{features.tool} is {now}, was {features.tool_version}"] * (now != features.tool_version)
    if recipe.decoder and changed:
        changed["decoder"] = media.versions()
        for tool, version in changed["decoder"].items():
            before = recipe.decoder.get(tool, "none")
            said += [f"{tool} is {version}, was {before}"] * (version != before)
    return replace(recipe, **changed), said


def _installed(tool: str, name: str) -> str:
    try:
        return metadata.version(tool)
    except metadata.PackageNotFoundError:
        raise InputError(f"{name} needs the package {tool}: {install(_EXTRAS.get(name, 'extract'))}") from None
