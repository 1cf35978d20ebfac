"""What orbax wrote is read as orbax reads it."""

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from msa_jax.errors import InputError
from msa_jax.train.orbax_arrays import ALIGNED, read_arrays, read_shapes

TREE = {
    "params": {
        "layer_0": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.zeros(3, np.float32)},
        "score.of": {"scale": np.float32(2.5)},
    },
    "memory": {"0": np.array([True, False]), "1": np.arange(4, dtype=np.int32)},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("a folder with 100 % #2") / "params"
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, jax.tree.map(np.asarray, TREE))
    return path


def test_values_shapes_and_types_are_those_of_orbax(folder):
    found = read_arrays(folder)
    with ocp.PyTreeCheckpointer() as checkpointer:
        restore = ocp.RestoreArgs(restore_type=np.ndarray)
        want = checkpointer.restore(folder, restore_args=jax.tree.map(lambda _: restore, TREE))
    assert jax.tree.structure(found) == jax.tree.structure(want) == jax.tree.structure(TREE)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(want), strict=True):
        assert one.dtype == np.asarray(other).dtype
        np.testing.assert_array_equal(one, other)
    assert read_shapes(folder) == jax.tree.map(np.shape, TREE)


def test_arrays_begin_where_jax_takes_them_as_they_are(folder):
    assert all(leaf.ctypes.data % ALIGNED == 0 for leaf in jax.tree.leaves(read_arrays(folder)))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"tree_metadata": {"a": 3}}', None, "another tree"])
def test_what_cannot_be_read_is_an_input_error(folder, tmp_path, content):
    damaged = tmp_path / "params"
    damaged.mkdir()
    for path in folder.rglob("*"):
        if path.is_file():
            place = damaged / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    metadata = damaged / "_METADATA"
    if content is None:
        metadata.unlink()
    elif content == "another tree":
        metadata.write_text(metadata.read_text().replace("layer_0", "layer_9"))
    else:
        metadata.write_text(content)
    for read in (read_arrays, read_shapes):
        with pytest.raises(InputError, match=r"params: the checkpoint cannot be read \([^\n]+\)$"):
            read(damaged)
