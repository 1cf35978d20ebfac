import json
import os
import pickle
import shutil
import struct
import zipfile
from pathlib import Path

import flax.serialization
import flax.traverse_util
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from msa_jax.encoders import torch_bin
from msa_jax.encoders.bert import Bert
from msa_jax.encoders.bert_weights import load_bert, resolve_source
from msa_jax.errors import InputError
from tests.encoders.bert_cases import GOLDEN, batch, torch_bert
from tests.paths import minilm
from tests.small_bert import save_bert

BERT = GOLDEN / "bert"


@pytest.fixture(scope="module")
def tensors():
    return load_file(BERT / "model.safetensors")


@pytest.fixture
def folder(tmp_path):
    """A folder with the config alone."""
    shutil.copy(BERT / "config.json", tmp_path)
    return tmp_path


def _assert_same(first, second, exact=True):
    assert jax.tree.structure(first) == jax.tree.structure(second)
    jax.tree.map(np.testing.assert_array_equal if exact else np.testing.assert_allclose, first, second)


def _assert_loads_as_golden(folder):
    config, params = load_bert(folder)
    expected_config, expected = load_bert(BERT)
    assert config == expected_config
    _assert_same(params, expected)


def test_parameters_lie_where_the_module_looks_for_them():
    config, params = load_bert(BERT)
    ones = jnp.ones((1, 4), jnp.int32)
    own = jax.eval_shape(
        lambda: Bert(config, use_pooler=True).init(jax.random.key(0), ones, segments=ones, deterministic=True)["params"]
    )
    assert jax.tree.structure(own) == jax.tree.structure(params)
    assert jax.tree.map(jnp.shape, own) == jax.tree.map(np.shape, params)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}


# Names


def test_heads_prefix_and_position_ids_of_a_pretraining_checkpoint_are_understood(folder, tensors):
    named = {"bert." + name: value for name, value in tensors.items()}
    named["bert.embeddings.position_ids"] = np.arange(16)[None]
    named["cls.predictions.bias"] = np.zeros(40, np.float32)
    named["cls.predictions.transform.LayerNorm.weight"] = np.zeros(24, np.float32)
    save_file(named, folder / "model.safetensors")
    _assert_loads_as_golden(folder)


def test_gamma_and_beta_are_the_norms_parameters(folder, tensors):
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in tensors.items()
    }
    assert len(old.keys() - tensors.keys()) == 10
    save_file(old, folder / "model.safetensors")
    _assert_loads_as_golden(folder)


def test_a_missing_pooler_is_fine(folder, tensors):
    save_file({name: value for name, value in tensors.items() if "pooler" not in name}, folder / "model.safetensors")
    _, params = load_bert(folder)
    expected = load_bert(BERT)[1]
    del expected["pooler"]
    _assert_same(params, expected)


# Formats


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_precisions_become_float32(folder, tensors, dtype):
    save_file({name: value.astype(dtype) for name, value in tensors.items()}, folder / "model.safetensors")
    params = load_bert(folder)[1]
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}
    name, expected = "encoder.layer.1.output.dense.weight", params["layer_1"]["output"]["kernel"]
    np.testing.assert_array_equal(expected, tensors[name].astype(dtype).astype(np.float32).T)


def _write_shards(folder, tensors, stem, write):
    names = sorted(tensors)
    shards = {f"{stem}-{i + 1:05}-of-00002": names[i::2] for i in range(2)}
    suffix = ".safetensors" if stem == "model" else ".bin"
    for file, members in shards.items():
        write({name: tensors[name] for name in members}, folder / (file + suffix))
    index = {"weight_map": {name: file + suffix for file, members in shards.items() for name in members}}
    (folder / f"{stem}{suffix}.index.json").write_text(json.dumps(index))


def test_sharded_safetensors(folder, tensors):
    _write_shards(folder, tensors, "model", save_file)
    _assert_loads_as_golden(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(InputError, match=r"model-00002-of-00002.safetensors: no such file"):
        load_bert(folder)


@pytest.mark.parametrize(
    "index", ["[]", "{}", '{"weight_map": {"a": "../model.safetensors"}}', '{"weight_map": {"a": 1}}']
)
def test_an_index_that_is_no_index_is_refused(folder, index):
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(InputError, match=r"index.json: "):
        load_bert(folder)


def _flax_tree(tensors):
    """The parameters as Hugging Face's Flax classes saved them."""
    tree = {}
    for name, value in tensors.items():
        stem, leaf = name.rsplit(".", 1)
        if "embeddings." in name and "LayerNorm" not in name:
            leaf = "embedding"
        elif "LayerNorm" in name:
            leaf = {"weight": "scale"}.get(leaf, leaf)
        elif leaf == "weight":
            leaf, value = "kernel", np.ascontiguousarray(value.T)
        tree[(*stem.split("."), leaf)] = value
    return flax.traverse_util.unflatten_dict(tree)


@pytest.mark.parametrize("prefix", [False, True])
def test_flax_msgpack(folder, tensors, prefix):
    tree = _flax_tree(tensors)
    if prefix:
        tree = {"bert": tree, "cls": {"predictions": {"bias": np.zeros(40, np.float32)}}}
    (folder / "flax_model.msgpack").write_bytes(flax.serialization.msgpack_serialize(tree))
    _assert_loads_as_golden(folder)


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_bin(folder, tensors, zipped):
    torch = pytest.importorskip("torch")
    state = {name: torch.tensor(value) for name, value in tensors.items()}
    torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    _assert_loads_as_golden(folder)


def test_sharded_torch_bin(folder, tensors):
    torch = pytest.importorskip("torch")
    _write_shards(folder, {n: torch.tensor(v) for n, v in tensors.items()}, "pytorch_model", torch.save)
    _assert_loads_as_golden(folder)


def test_safetensors_come_before_the_others(folder, tensors):
    save_file(tensors, folder / "model.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"never opened")
    (folder / "flax_model.msgpack").write_bytes(b"never opened")
    _assert_loads_as_golden(folder)


@pytest.mark.skipif(minilm() is None, reason="the MiniLM weights are not installed")
def test_minilm_is_the_same_from_every_format(tmp_path):
    torch = pytest.importorskip("torch")
    tensors = load_file(minilm() / "model.safetensors")
    tensors.pop("embeddings.position_ids")
    expected_config, expected = load_bert(minilm())
    assert expected["embeddings"]["word"]["embedding"].shape == (30522, 384)
    shutil.copy(minilm() / "config.json", tmp_path)
    msgpack, zipped = tmp_path / "flax_model.msgpack", tmp_path / "pytorch_model.bin"
    msgpack.write_bytes(flax.serialization.msgpack_serialize(_flax_tree(tensors)))
    config, params = load_bert(tmp_path)
    assert config == expected_config
    _assert_same(params, expected)
    msgpack.unlink()
    torch.save({"bert." + name: torch.tensor(value) for name, value in tensors.items()}, zipped)
    _assert_same(load_bert(tmp_path)[1], expected)


@pytest.mark.parametrize("name", ["zip.bin", "legacy.bin"])
def test_tensors_of_a_bin_have_their_values_strides_and_types(name):
    matrix = np.arange(12.0).reshape(3, 4)
    expected = {
        "matrix": (matrix, np.float32),
        "transposed": (matrix.T, np.float32),
        "slice": (matrix[1:, 2], np.float32),
        "half": ([0.5, -2], np.float16),
        "bfloat": ([0.5, -2, 3], ml_dtypes.bfloat16),
        "integers": ([[1, -2]], np.int64),
        "parameter": (7.0, np.float32),
    }
    arrays = torch_bin.read(GOLDEN / name)
    assert arrays.keys() == expected.keys()
    for key, (values, dtype) in expected.items():
        assert arrays[key].dtype == dtype
        np.testing.assert_array_equal(arrays[key].astype(np.float64), values)


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_that_lie_deeper_than_a_state_dict_s_are_left_out(folder, tensors, zipped):
    torch = pytest.importorskip("torch")
    path = folder / "pytorch_model.bin"
    deeper = {"state_dict": {"a": torch.ones(2, 3), "b": torch.zeros(4)}, "epoch": 3}
    torch.save(deeper, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"pytorch_model.bin: tensor embeddings.* is missing; found no tensor"):
        load_bert(folder)
    named = {f"bert.{name}": torch.tensor(value) for name, value in tensors.items()}
    torch.save({**deeper, **named}, path, _use_new_zipfile_serialization=zipped)
    _assert_same(load_bert(folder)[1], load_bert(BERT)[1])


# What is refused


def _write_bin(path, main, *, storage=b"\0" * 16):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", main)
        archive.writestr("archive/data/0", storage)


class _Runs:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_bin_that_would_run_code_is_refused_and_nothing_runs(folder, zipped):
    marker = folder / "ran"
    evil = pickle.dumps({"a": _Runs(marker)}, protocol=2)
    path = folder / "pytorch_model.bin"
    if zipped:
        _write_bin(path, evil)
    else:
        header = [pickle.dumps(part, protocol=2) for part in (0x1950A86A20F9469CFC6C, 1001, {})]
        path.write_bytes(b"".join([*header, evil]))
    with pytest.raises(InputError, match=r"pytorch_model.bin: refused.*(posix|nt).system"):
        load_bert(folder)
    assert not marker.exists()


def _tensor_pickle(offset, size, stride, *, dtype="FloatStorage", length=4, key="0"):
    """A state dict of one tensor as torch pickles it, written by hand: no checks stand in the way."""

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def number(value):
        return b"J" + struct.pack("<i", value)

    def numbers(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = b"(" + text("storage") + f"ctorch\n{dtype}\n".encode() + text(key) + text("cpu") + number(length) + b"tQ"
    arguments = b"(" + storage + number(offset) + numbers(size) + numbers(stride) + b"\x89" + b"}" + b"t"
    return b"\x80\x02}" + text("a") + b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"Rs."


def test_the_hand_written_tensor_is_read(tmp_path):
    _write_bin(tmp_path / "a.bin", _tensor_pickle(1, (3,), (1,)), storage=np.arange(4, dtype=np.float32).tobytes())
    np.testing.assert_array_equal(torch_bin.read(tmp_path / "a.bin")["a"], [1, 2, 3])


@pytest.mark.parametrize(
    "tensor",
    [
        _tensor_pickle(0, (5,), (1,)),
        _tensor_pickle(2, (3,), (1,)),
        _tensor_pickle(0, (2,), (1000000,)),
        _tensor_pickle(0, (1 << 30, 1 << 30), (1 << 30, 1)),
        _tensor_pickle(0, (2,), (-1,)),
        _tensor_pickle(-1, (2,), (1,)),
        _tensor_pickle(0, (2, 2), (1,)),
        _tensor_pickle(0, (4,), (1,), length=400),
        _tensor_pickle(0, (4,), (1,), key="1"),
        _tensor_pickle(0, (4,), (1,), dtype="ComplexFloatStorage"),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(tmp_path, tensor):
    _write_bin(tmp_path / "a.bin", tensor)
    with pytest.raises(InputError, match=r"a.bin: "):
        torch_bin.read(tmp_path / "a.bin")


@pytest.mark.parametrize("name", ["zip.bin", "legacy.bin"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_bin_is_refused(tmp_path, name, share):
    content = (GOLDEN / name).read_bytes()
    (tmp_path / "a.bin").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"a.bin: "):
        torch_bin.read(tmp_path / "a.bin")


def test_a_pickle_of_something_else_than_a_state_dict_is_refused(tmp_path):
    (tmp_path / "a.bin").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(InputError, match=r"not one of torch.save"):
        torch_bin.read(tmp_path / "a.bin")
    _write_bin(tmp_path / "b.bin", pickle.dumps([1, 2]))
    with pytest.raises(InputError, match=r"holds a list; expected a state dict"):
        torch_bin.read(tmp_path / "b.bin")
    with zipfile.ZipFile(tmp_path / "c.bin", "w") as archive:
        archive.writestr("readme", "")
    with pytest.raises(InputError, match=r"without data.pkl"):
        torch_bin.read(tmp_path / "c.bin")


@pytest.mark.parametrize("name", ["model.safetensors", "flax_model.msgpack"])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.9])
def test_truncated_weights_are_refused(folder, tensors, name, share):
    full = (BERT / "model.safetensors").read_bytes()
    if name.endswith("msgpack"):
        full = flax.serialization.msgpack_serialize(_flax_tree(tensors))
    (folder / name).write_bytes(full[: int(len(full) * share)])
    with pytest.raises(InputError, match=rf"{name}: not readable .*truncated or damaged"):
        load_bert(folder)


def test_a_git_lfs_pointer_is_named_as_such(folder):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(InputError, match="Git LFS pointer"):
        load_bert(folder)


def _changed(tensors, name, value):
    changed = dict(tensors)
    if value is None:
        del changed[name]
    else:
        changed[name] = value
    return changed


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("encoder.layer.1.output.dense.bias", None, r"tensor encoder.layer.1.output.dense.bias is missing"),
        ("embeddings.LayerNorm.weight", None, r"tensor embeddings.LayerNorm.weight is missing"),
        ("embeddings.word_embeddings.weight", None, r"tensor embeddings.word_embeddings.weight is missing"),
        (
            "encoder.layer.0.intermediate.dense.weight",
            np.ones((24, 40), np.float32),
            r"shape \(24, 40\); expected \(40, 24\)",
        ),
        ("embeddings.word_embeddings.weight", np.ones((41, 24), np.float32), r"shape \(41, 24\); expected \(40, 24\)"),
        ("encoder.layer.0.output.dense.bias", np.zeros(24, np.int64), r"dtype int64; expected floating"),
        ("pooler.dense.bias", np.full(24, np.nan, np.float32), r"pooler.dense.bias has values that are not finite"),
        ("encoder.layer.2.output.dense.bias", np.zeros(24, np.float32), r"has 3 layers; config.json says .* 2"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named_with_its_file(folder, tensors, name, value, message):
    save_file(_changed(tensors, name, value), folder / "model.safetensors")
    with pytest.raises(InputError, match=rf"model.safetensors: .*{message}"):
        load_bert(folder)


def test_a_folder_without_weights_or_config_says_what_it_expected(tmp_path):
    with pytest.raises(InputError, match=r"config.json: no such file"):
        load_bert(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config.json: not readable JSON"):
        load_bert(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "distilbert"}')
    with pytest.raises(InputError, match=r"config.json: model_type is 'distilbert'"):
        load_bert(tmp_path)
    shutil.copy(BERT / "config.json", tmp_path)
    with pytest.raises(InputError, match=r"none of model.safetensors, .*found config.json"):
        load_bert(tmp_path)


# Where weights come from


def test_a_folder_is_its_own_source(tmp_path, monkeypatch):
    assert resolve_source(str(tmp_path)) == tmp_path
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve_source("org/name") == Path("org/name")


@pytest.fixture
def no_hub(monkeypatch):
    import huggingface_hub

    def refuse(*_, **__):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize(
    "source",
    [
        "./missing/folder",
        "../missing",
        "/missing",
        "~/missing-folder",
        "a/b/c",
        "missing/",
        ".\\missing",
        "",
        Path("a/b"),
    ],
)
def test_what_looks_like_a_path_is_not_sought_on_the_hub(source):
    with pytest.raises(
        InputError, match=r"no such folder; expected a folder with config.json and weights, or a hub id"
    ):
        resolve_source(source)


@pytest.mark.usefixtures("no_hub")
def test_a_file_is_no_folder():
    with pytest.raises(InputError, match="is a file; expected the folder"):
        resolve_source(str(BERT / "model.safetensors"))


@pytest.mark.parametrize("hub_id", ["no-such-organisation/no-such-bert", "bad id!"])
def test_an_unreachable_or_unknown_hub_id_names_the_local_way(hub_id, monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="download the folder elsewhere and pass its path") as caught:
        resolve_source(hub_id)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("stored", ["model.safetensors", "flax_model.msgpack", "pytorch_model.bin"])
def test_of_a_hub_repository_only_one_format_is_fetched(monkeypatch, tmp_path, stored):
    import fnmatch

    import huggingface_hub

    files = [
        "config.json",
        "tokenizer.json",
        "README.md",
        "tf_model.h5",
        "onnx/model.safetensors",
        "pytorch_model.bin",
        stored,
    ]

    def snapshot_download(hub_id, *, allow_patterns, ignore_patterns):
        assert hub_id == "org/name"
        for name in files:
            allowed = any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns)
            if allowed and not any(fnmatch.fnmatch(name, pattern) for pattern in ignore_patterns):
                (tmp_path / name).touch()
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert resolve_source("org/name") == tmp_path
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "tokenizer.json", stored}


def test_a_hub_repository_without_bert_weights_is_refused(monkeypatch, tmp_path):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    with pytest.raises(InputError, match=r"org/name: the hub's repository has none of model.safetensors"):
        resolve_source("org/name")


# What the tests write


def test_what_was_saved_loads_again(tmp_path):
    config, params = load_bert(BERT)
    save_bert(config, jax.tree.map(jnp.asarray, params), tmp_path / "new" / "folder")
    again, loaded = load_bert(tmp_path / "new" / "folder")
    assert again == config
    _assert_same(loaded, params)
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {"config.json", "model.safetensors"}


def test_what_was_saved_is_pytorch_s_bert(tmp_path):
    torch = pytest.importorskip("torch")
    config, params = load_bert(BERT)
    save_bert(config, params, tmp_path)
    saved, original = torch_bert(tmp_path), torch_bert(BERT)
    ids, mask, _ = batch(config, (7, 3))
    ids, mask = torch.tensor(ids).long(), torch.tensor(mask)
    with torch.no_grad():
        for first, second in zip(saved(ids, mask)[:2], original(ids, mask)[:2], strict=True):
            np.testing.assert_array_equal(first.numpy(), second.numpy())
