"""The folder that `msa-jax export` writes, to be shared: the parameters of finished runs and what predictions need besides.

    config.json  model.safetensors  preprocessing/  metrics.json  README.md

Nothing in it is code, and reading it runs none.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from msa_jax.data.preprocess import Preprocessor
from msa_jax.errors import InputError, first_line, refuse_newer
from msa_jax.methods.protocol import STATISTICS, Inputs
from msa_jax.modalities import SEQUENCES
from msa_jax.paths import sha256, user_path
from msa_jax.train.asked import checked_seeds
from msa_jax.train.atomic import read_json, write_bytes, write_json
from msa_jax.train.checkpoint import fitted, named
from msa_jax.train.model import Variables, flat
from msa_jax.train.settings import RunConfig
from msa_jax.train.tensor_file import encoded, read_tensors

FORMAT = 1  # of the folders that this version writes; a higher number for what older versions cannot read
LIBRARY = "msa_jax"
PARAMETERS, METRICS, PREPROCESSING = "model.safetensors", "metrics.json", "preprocessing"
_NEEDED = (PARAMETERS, METRICS, *(f"{PREPROCESSING}/{name}" for name in ("preprocessing.json", "statistics.npz")))
_TOKENIZER = f"{PREPROCESSING}/tokenizer/tokenizer.json"
FILES = ("config.json", *_NEEDED, _TOKENIZER)  # besides README.md
_ALL_RUNS = "shared"  # what precedes the name of an array that all runs have in common; a run's own has its seed there


def is_exported(folder: Path) -> bool:
    """Whether a folder says that `msa-jax export` wrote it."""
    try:
        content = read_json(folder / "config.json")
    except InputError:
        return False
    return isinstance(content, dict) and content.get("library_name") == LIBRARY and "run" in content


# -- writing ----------------------------------------------------------------------------------------------------------


def write_parameters(folder: Path, runs: Mapping[int, Variables]) -> None:
    """Writes what the networks of runs hold, {seed: variables}; an array that is the same in all of them once."""
    apart = {
        seed: {
            f"{collection}/{path}": value
            for collection, tree in named(variables).items()
            for path, value in flat(tree).items()
        }
        for seed, variables in runs.items()
    }
    first, *others = apart.values()
    same = [name for name in first if others and all(np.array_equal(first[name], one[name]) for one in others)]
    tensors = {f"{_ALL_RUNS}/{name}": first[name] for name in same}
    for seed, own in apart.items():
        tensors |= {f"{seed}/{name}": value for name, value in own.items() if name not in same}
    write_bytes(folder / PARAMETERS, encoded(tensors))


def write_config(folder: Path, run: RunConfig) -> None:
    """Writes the configuration and the SHA-256 sums of the other files, which are there."""
    sums = {name: _sum(folder / name) for name in FILES[1:] if (folder / name).is_file()}
    write_json(
        folder / "config.json",
        {"format": FORMAT, "library_name": LIBRARY, "run": run.to_json(), "sha256": sums},
    )


# -- reading ----------------------------------------------------------------------------------------------------------


def find(source: str | Path, *, revision: str | None = None) -> Path:
    """The exported folder: the given one, or a copy of the Hugging Face hub's.

    Args:
      source: a folder, or an id such as "user/name".
      revision: of the hub's: a branch, a tag or a commit.

    Raises:
      InputError: no such folder, or the hub does not know it or cannot be reached.
    """
    text = str(source)
    folder = user_path(text)
    if text and folder.is_dir():
        if revision is not None:
            raise InputError(f"{text}: a folder, which has no revision {revision}; the hub's repositories have")
        return folder
    if isinstance(source, Path) or folder.exists() or not re.fullmatch(r"[\w.\-]+/[\w.\-]+", text):
        raise InputError(
            f"{text!r}: no such folder; expected one that `msa-jax export` wrote, or a Hugging Face id such as user/name"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(text, revision=revision, allow_patterns=list(FILES)))
    except Exception as error:  # a hub client has many ways to fail: offline, unknown, gated, not an id
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{text}: no such folder, and the Hugging Face hub did not give it ({type(error).__name__}: {reason})"
        ) from None


@contextlib.contextmanager
def refusing(folder: Path) -> Iterator[None]:
    """Turns whatever the contents of an exported folder make the code raise into an InputError: they come from anywhere."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{folder}: not a model that this version can use ({first_line(error)})") from None


def read_config(folder: Path) -> RunConfig:
    """The configuration of an exported folder whose files are all the ones that were written.

    Raises:
      InputError: another folder, a newer one, or a damaged one.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"{folder}: no config.json in it; expected a folder that `msa-jax export` wrote")
    if not is_exported(folder):
        read_json(path)  # what cannot be read says so itself
        raise InputError(f"{path}: not of a model that msa_jax exported; expected a folder that `msa-jax export` wrote")
    with refusing(folder):
        content = read_json(path)
        refuse_newer(content, FORMAT, str(path))
        _check_sums(folder, content.get("sha256"))
        run = RunConfig.from_json(content["run"], str(path))
        checked_seeds(run.seeds)
        return run


def _check_sums(folder: Path, sums: object) -> None:
    if not isinstance(sums, dict) or not set(_NEEDED) <= sums.keys() <= set(FILES):
        raise InputError(f"{folder / 'config.json'}: sha256 does not name {', '.join(_NEEDED)}")
    if (folder / _TOKENIZER).parent.exists() and _TOKENIZER not in sums:
        raise InputError(f"{folder / _TOKENIZER}: not a file that was exported")
    for name, expected in sums.items():
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: missing; the exported folder is not whole")
        if _sum(folder / name) != expected:
            raise InputError(f"{folder / name}: not the file that was exported; it is damaged or was changed")


def read_preprocessor(folder: Path, inputs: Inputs) -> Preprocessor:
    """What is done to samples. Raises InputError if it cannot be read or is not for a network with these inputs."""
    with refusing(folder):
        made = Preprocessor.load(folder / PREPROCESSING)
        widths = {name: shape.width for name in SEQUENCES if (shape := getattr(inputs, name)) is not None}
        bert = None if inputs.text is None else inputs.text.bert
        fits = made.modalities == (*(("text",) if inputs.text else ()), *widths)
        read = widths if inputs.text is None or bert is not None else {**widths, "text": inputs.text.width}
        fits &= made.widths == read
        fits &= made.tokenizer is None or (bert is not None and made.tokenizer.vocab_size <= bert.vocab_size)
        fits &= bert is None or (made.vocab_size <= bert.vocab_size and made.max_tokens <= bert.max_tokens)
        fits &= (made.text_column == "raw_text") == (made.tokenizer is not None)
        for name, statistics in made.statistics.items():
            fits &= statistics.shape == (2, widths.get(name)) and bool(np.isfinite(statistics).all())
    if not fits:
        raise InputError(f"{folder / PREPROCESSING}: not the preprocessing of this model")
    return made


def read_parameters(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of all runs, of which `parameters_of` makes what each holds. Raises InputError if they cannot be read."""
    return read_tensors(folder / PARAMETERS)


def parameters_of(
    seeds: tuple[int, ...], folder: Path, tensors: Mapping[str, np.ndarray], shapes: Variables
) -> dict[int, Variables]:
    """{seed: what its network holds}. Raises InputError if the arrays are not for a network of these shapes."""
    path, runs = folder / PARAMETERS, {}
    with refusing(path):
        for seed in seeds:
            kept = {
                collection: {
                    name.split("/", 2)[2]: value
                    for name, value in tensors.items()
                    if name.startswith((f"{seed}/{collection}/", f"{_ALL_RUNS}/{collection}/"))
                }
                for collection in ("params", STATISTICS)
            }
            runs[seed] = fitted(path, kept, shapes)
            for found in runs[seed]:
                for name, value in found.items():
                    if not np.isfinite(value).all():
                        raise InputError(f"{path}: {name} of run {seed} is not finite {value.dtype}")
    return runs


def _sum(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
