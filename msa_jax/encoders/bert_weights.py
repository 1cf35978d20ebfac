"""Pretrained weights of BERT, RoBERTa and XLM-R, from Hugging Face folders, without torch."""

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes  # importing it also teaches numpy, and so safetensors, the name bfloat16
import numpy as np
from flax.traverse_util import unflatten_dict

from msa_jax import json_text
from msa_jax.encoders import torch_bin
from msa_jax.encoders.bert_config import MODEL_TYPES, BertConfig
from msa_jax.errors import InputError
from msa_jax.paths import user_path

Params = dict[str, Any]
Tensors = Mapping[str, np.ndarray]

_ANCHOR = "embeddings.word_embeddings.weight"  # what precedes it in a file precedes every tensor of the encoder
# What precedes the tensors of other architectures, some of which have BERT's names and another computation.
_OTHERS = (
    *("albert", "bart", "camembert", "convbert", "data2vec_text", "deberta", "distilbert", "electra", "ernie", "esm"),
    *("flaubert", "funnel", "ibert", "layoutlm", "longformer", "luke", "mobilebert", "mpnet", "nezha", "roformer"),
    *("squeezebert", "xlm", "xlnet"),
)
_TEXT_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "*.model",
)


class _Weight(NamedTuple):
    path: str  # in our parameters, where the layers are apart
    name: str  # in Hugging Face's PyTorch model
    shape: tuple[int, ...]  # ours; that of a kernel is transposed in PyTorch

    @property
    def is_kernel(self) -> bool:
        return self.path.endswith("/kernel")


def _layout(config: BertConfig) -> Iterator[_Weight]:
    width, inner = config.hidden_size, config.intermediate_size

    def dense(path: str, name: str, inputs: int, outputs: int) -> Iterator[_Weight]:
        yield _Weight(f"{path}/kernel", f"{name}.weight", (inputs, outputs))
        yield _Weight(f"{path}/bias", f"{name}.bias", (outputs,))

    def norm(path: str, name: str) -> Iterator[_Weight]:
        yield _Weight(f"{path}/scale", f"{name}.LayerNorm.weight", (width,))
        yield _Weight(f"{path}/bias", f"{name}.LayerNorm.bias", (width,))

    tables = {"word": config.vocab_size, "position": config.max_positions, "token_type": config.type_vocab_size}
    for table, rows in tables.items():
        yield _Weight(f"embeddings/{table}/embedding", f"embeddings.{table}_embeddings.weight", (rows, width))
    yield from norm("embeddings/norm", "embeddings")
    for index in range(config.num_layers):
        ours, theirs = f"layer_{index}", f"encoder.layer.{index}"
        for part in ("query", "key", "value"):
            yield from dense(f"{ours}/attention/{part}", f"{theirs}.attention.self.{part}", width, width)
        yield from dense(f"{ours}/attention/output", f"{theirs}.attention.output.dense", width, width)
        yield from norm(f"{ours}/attention_norm", f"{theirs}.attention.output")
        yield from dense(f"{ours}/intermediate", f"{theirs}.intermediate.dense", width, inner)
        yield from dense(f"{ours}/output", f"{theirs}.output.dense", inner, width)
        yield from norm(f"{ours}/output_norm", f"{theirs}.output")
    yield from dense("pooler", "pooler.dense", width, width)


def load_bert(source: str | Path) -> tuple[BertConfig, Params]:
    """The config and the parameters of a pretrained BERT, RoBERTa or XLM-R.

    Args:
      source: a folder with `config.json` and weights, or a hub id. Of several weight files the first of these is read:
        `model.safetensors`, `flax_model.msgpack`, `pytorch_model.bin`; the first and the last may be sharded.

    Returns:
      The config, and float32 numpy arrays in the tree of `Bert(config).init(...)["params"]`; with a `pooler` where the
      file has one. Heads of pretraining (`cls.*`) are left out.

    Raises:
      InputError: no such folder, another architecture, a file that is damaged or would run code, a tensor that is
        missing, of another shape, or not finite.
    """
    folder = resolve_source(source)
    config = _read_config(folder / "config.json")  # before the weights, which may be gigabytes
    tensors, files = _read_weights(folder)
    prefix = _prefix(tensors, files)
    config = _read_config(folder / "config.json", prefix, files)
    extra = max((int(n) + 1 for n in re.findall(r"encoder\.layer\.(\d+)\.", " ".join(tensors))), default=0)
    if extra > config.num_layers:
        raise InputError(f"{files}: has {extra} layers; config.json says num_hidden_layers {config.num_layers}")
    found = {}
    for weight in _layout(config):
        if weight.path.startswith("pooler") and prefix + "pooler.dense.weight" not in tensors:
            continue
        found[weight.path] = _checked(tensors, prefix + weight.name, weight, files)
    return config, unflatten_dict(found, sep="/")


def resolve_source(source: str | Path) -> Path:
    """The folder of a pretrained encoder and its tokenizer: the given one, or a copy of the hub's.

    Of a hub repository only the configs, the tokenizer and one format of weights are fetched.

    Raises:
      InputError: a path that is no folder, or an id that the hub does not know or that cannot be reached.
    """
    text = str(source)
    folder = user_path(text)
    if text and folder.is_dir():
        return folder
    if folder.is_file():
        raise InputError(f"{text}: is a file; expected the folder with config.json and the weights")
    if not text or isinstance(source, Path) or _is_path(text):
        raise InputError(f"{text!r}: no such folder; expected a folder with config.json and weights, or a hub id")
    try:
        return _fetch(text)
    except InputError:
        raise
    except Exception as error:  # a hub client has many ways to fail: offline, unknown, gated, not an id
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{text}: no such folder, and the Hugging Face hub did not give it; download the folder elsewhere and pass "
            f"its path ({type(error).__name__}: {reason})"
        ) from None


def _is_path(text: str) -> bool:
    return text.startswith((".", "~", "/")) or text.endswith("/") or "\\" in text or text.count("/") > 1


def _fetch(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download

    for patterns in (("*.safetensors", "*.safetensors.index.json"), ("flax_model.msgpack",), ("pytorch_model*",)):
        folder = Path(snapshot_download(hub_id, allow_patterns=[*_TEXT_FILES, *patterns], ignore_patterns=["*/*"]))
        if _weight_file(folder):
            return folder
    raise InputError(f"{hub_id}: the hub's repository has none of {', '.join(_FORMATS)}; expected BERT weights")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json_text.parse(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected a folder with config.json and weights") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable JSON ({error})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}; expected a JSON object")
    return content


def _read_config(path: Path, prefix: str = "", files: str = "") -> BertConfig:
    """The config. What precedes the names of the weights in `files` says which architecture it is, if the config does not.

    Raises:
      InputError: a config of another kind; weights named for another architecture than the config's.
    """
    content = _read_json(path)
    named = next((part for part in reversed(prefix.split(".")) if part in ("bert", "roberta", *_OTHERS)), None)
    if named in _OTHERS:
        raise InputError(
            f"{files}: weights of {named}, by the name {prefix + _ANCHOR}; expected a BERT, RoBERTa or XLM-R"
        )
    typed = bool(content.get("model_type") or content.get("architectures"))
    try:
        config = BertConfig.from_dict({**content, "model_type": named} if named and not typed else content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if named and (named == "roberta") != (config.first_position > 0):
        raise InputError(
            f"{files}: weights of {named}, by the name {prefix + _ANCHOR}; config.json says another model_type"
        )
    if files and not named and not typed and config.pad_id != 0:
        raise InputError(
            f'{path}: names no model_type, and pad_token_id {config.pad_id} is unlike BERT\'s; expected "model_type": '
            f"one of {', '.join(MODEL_TYPES)}"
        )
    return config


def _read_weights(folder: Path) -> tuple[Tensors, str]:
    """All tensors by their PyTorch names, and the file to name in errors."""
    path = _weight_file(folder)
    if path is None:
        found = ", ".join(sorted(entry.name for entry in folder.iterdir())[:8]) or "nothing"
        raise InputError(f"{folder}: none of {', '.join(_FORMATS)}; found {found}")
    read = _FORMATS[path.name]
    if path.suffix != ".json":
        return read(path), str(path)
    shards = _read_json(path).get("weight_map")
    if not isinstance(shards, dict) or not all(
        isinstance(name, str) and Path(name).name == name for name in shards.values()
    ):
        raise InputError(f"{path}: weight_map is missing or names files outside the folder; expected a file per tensor")
    tensors: dict[str, np.ndarray] = {}
    for name in sorted(set(shards.values())):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: no such file; {path.name} says it holds weights")
        tensors.update(read(folder / name))
    return tensors, str(path)


def _weight_file(folder: Path) -> Path | None:
    return next((folder / name for name in _FORMATS if (folder / name).is_file()), None)


def _reader(read: Callable[[Path], Tensors]) -> Callable[[Path], Tensors]:
    @functools.wraps(read)
    def checked(path: Path) -> Tensors:
        with open(path, "rb") as stream:
            if stream.read(40).startswith(b"version https://git-lfs"):
                raise InputError(f"{path}: a Git LFS pointer, not the weights; fetch the file itself (git lfs pull)")
        return read(path)

    return checked


@_reader
def _read_safetensors(path: Path) -> Tensors:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not readable safetensors, truncated or damaged ({error})") from None


@_reader
def _read_msgpack(path: Path) -> Tensors:
    from flax import serialization, traverse_util

    try:
        tree = traverse_util.flatten_dict(serialization.msgpack_restore(path.read_bytes()), sep=".")
    except Exception as error:  # arrays are rebuilt while unpacking: damage shows in many ways
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{path}: not readable msgpack, truncated or damaged ({reason})") from None
    tensors = {}
    for name, value in tree.items():
        if isinstance(value, np.ndarray):
            stem, _, leaf = name.rpartition(".")
            value = value.T if leaf == "kernel" else value
            tensors[f"{stem}.{'weight' if leaf in ('kernel', 'scale', 'embedding') else leaf}"] = value
    return tensors


# In order of preference.
_FORMATS: dict[str, Callable[[Path], Tensors]] = {
    "model.safetensors": _read_safetensors,
    "model.safetensors.index.json": _read_safetensors,
    "flax_model.msgpack": _read_msgpack,
    "pytorch_model.bin": _reader(torch_bin.read),
    "pytorch_model.bin.index.json": _reader(torch_bin.read),
}


def _prefix(tensors: Tensors, files: str) -> str:
    found = [name.removesuffix(_ANCHOR) for name in tensors if name.endswith(_ANCHOR)]
    if not found:
        some = ", ".join(sorted(tensors)[:3]) or "no tensor"
        raise InputError(f"{files}: tensor {_ANCHOR} is missing; found {some}")
    return min(found, key=len)


def _checked(tensors: Tensors, name: str, weight: _Weight, files: str) -> np.ndarray:
    value = tensors.get(name)
    if value is None:  # checkpoints converted from TensorFlow's name the norms' parameters so
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        value = tensors.get(old)
    if value is None:
        raise InputError(f"{files}: tensor {name} is missing")
    shape = weight.shape[::-1] if weight.is_kernel else weight.shape
    if value.shape != shape:
        raise InputError(f"{files}: tensor {name} has shape {value.shape}; expected {shape} by config.json")
    if value.dtype.kind != "f" and value.dtype != ml_dtypes.bfloat16:
        raise InputError(f"{files}: tensor {name} has dtype {value.dtype}; expected floating point")
    value = np.ascontiguousarray(value.T if weight.is_kernel else value, dtype=np.float32)
    if not np.isfinite(value).all():
        raise InputError(f"{files}: tensor {name} has values that are not finite")
    return value
