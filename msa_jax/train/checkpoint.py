"""Checkpoints: the newest whole state of runs, what a stage leaves for the next one, and at the end what was best.

orbax writes them and reads the states; `orbax_arrays` reads the rest. Parameters lie in files by the names that people use,
every layer by itself (`layers.stack`).
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from msa_jax.errors import InputError, first_line
from msa_jax.layers.stack import is_stacked, layer_path, stack, unstack
from msa_jax.methods.protocol import STATISTICS
from msa_jax.paths import sha256
from msa_jax.train import processes
from msa_jax.train.atomic import read_json, write_json
from msa_jax.train.memory import out_of_memory_message
from msa_jax.train.model import Variables, flat, nested
from msa_jax.train.orbax_arrays import read_arrays, read_shapes
from msa_jax.train.orbax_messages import check_there, load_orbax, writing
from msa_jax.train.shared_parameters import Pretrained, joined, parted, shared_file
from msa_jax.train.state import Flat, RunState
from msa_jax.train.tensor_file import read_tensor_shapes, read_tensors, write_once

STATE = "state"  # the folder of the newest state
STAGES = "stages"  # the folder of what stages leave, each in one of its name
TO = "_to_"  # in the name of the folder of runs side by side, between those of the first and the last
GONE = f".{STATE}.gone"  # what a process that was killed leaves of a state that it deleted
SELDOM = 10.0  # seconds between two states: less work than this is not worth a checkpoint
SHARE = 20  # times as long as a state kept the training waiting, until the next one
OFTEN = 900.0  # seconds after which a state is saved, however long that takes
UNFINISHED = "params.orbax-checkpoint-tmp*"  # what a process that was killed leaves of parameters


class RunCheckpoints:
    """The newest state of a run, or of several side by side, under `folder/state`.

    A save is whole or absent, whenever the process dies. Which state is the newest, the first process says: the others may see
    a disk that they share as it was a while ago, even without a folder that was just made there.
    """

    def __init__(self, folder: Path):
        self._ocp, self._folder = load_orbax(), folder / STATE
        with writing(self._folder):
            self._manager = self._ocp.CheckpointManager(
                self._folder.absolute(),
                options=self._ocp.CheckpointManagerOptions(
                    max_to_keep=1, cleanup_tmp_directories=True, enable_async_checkpointing=True
                ),
            )
            self._held = os.open(self._folder, os.O_RDONLY) if processes.is_primary() else None
        newest = self._manager.latest_step()
        self._newest = int(processes.of_primary(np.int32(-1 if newest is None else newest)))
        self._saved, self._waited = (
            time.monotonic(),
            0.0,
        )  # when the last state was saved, and how long that kept waiting
        self._closed = False

    @property
    def empty(self) -> bool:
        """Whether there was no state to go on from."""
        return self._newest < 0

    def save(self, state: RunState) -> None:
        """Writes the state in the background; the one before it stays until this one is whole.

        Raises:
          InputError: this one cannot be written, or the one before it could not.
        """
        check_there(self._folder)
        items = self._ocp.args.Composite(
            state=self._ocp.args.StandardSave(state), stage=self._ocp.args.JsonSave({"stage": int(state.stage)})
        )
        begun = time.monotonic()
        with writing(self._folder, self._held):
            self._manager.save(int(state.standing.epochs.max()), args=items)
        self._saved = time.monotonic()
        self._waited = self._saved - begun

    def is_due(self, every: int | Literal["auto"], state: RunState) -> bool:
        """Whether a state is to be saved after an epoch; the same for all processes.

        every: as the option `checkpoint_epochs`.
        """
        if every != "auto":
            return int(state.standing.epochs.max()) % every == 0
        due = min(max(SELDOM, SHARE * self._waited), OFTEN)
        return processes.primary_says(
            lambda: time.monotonic() - self._saved >= due and not self._manager.is_saving_in_progress()
        )

    def restore(self, like: Callable[[int], RunState]) -> RunState:
        """The state to go on from; there must be one.

        Args:
          like: gives a state of the same structure and shapes, for the number of a stage.

        Raises:
          InputError: the checkpoint is of another structure or other shapes, or cannot be read.
          jax.errors.JaxRuntimeError: another process was lost, or the device has too little memory.
        """
        step, of = self._newest, self._ocp.args
        try:
            stage = self._manager.restore(step, args=of.Composite(stage=of.JsonRestore()))["stage"]["stage"]
            target = jax.tree.map(self._ocp.utils.to_shape_dtype_struct, like(stage))
            state = self._manager.restore(step, args=of.Composite(state=of.StandardRestore(target)))["state"]
            return state.on_host()
        except Exception as error:  # orbax wraps what its threads meet into one of no class of its own
            of_device = processes.count() > 1 and isinstance(error, jax.errors.JaxRuntimeError)
            if of_device or out_of_memory_message(error):
                raise  # another process was lost, or the state has no room
            raise InputError(
                f"{self._folder}: the checkpoint cannot be read, or is not of this experiment or version "
                f"({first_line(error)}). If the file system had a fault, the same command goes on later; if not, its runs "
                "begin again once this folder is deleted"
            ) from None

    def close(self) -> None:
        """Waits for what is being written. Raises InputError where it cannot be."""
        if self._closed:
            return
        self._closed = True
        try:
            with writing(self._folder, self._held):
                try:
                    self._manager.wait_until_finished()
                finally:
                    self._manager.close()
        finally:
            if self._held is not None:
                os.close(self._held)


def has_state(folder: Path) -> bool:
    """Whether a state lies under a folder that a `RunCheckpoints` could restore, once that is closed."""
    return any(path.name.isdigit() for path in (folder / STATE).glob("*"))


def delete_state(folder: Path) -> None:
    """Removes what `RunCheckpoints` wrote under a folder, if there is something: the runs have ended.

    A process that dies meanwhile leaves the state whole, or none.
    """
    if not processes.is_primary():
        return
    gone = folder / GONE
    shutil.rmtree(gone, ignore_errors=True)
    with contextlib.suppress(OSError):
        (folder / STATE).rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
    with contextlib.suppress(OSError):  # where a single run has left its result there
        folder.rmdir()


class StageInit(NamedTuple):
    """What a stage of a run starts from: everything the network holds, and the method's memory."""

    variables: Variables
    memory: Any


def save_variables(folder: Path, variables: Variables, pretrained: Pretrained | None = None) -> None:
    """Writes what a network holds to `folder/params`, whole or not at all, and SHA-256 sums to `folder/params.json`.

    Parameters that equal pretrained ones go to a file in the folder of these, and `params.json` names that.
    """
    _save(folder, named(variables), pretrained)


def read_variables(folder: Path, known: dict[Path, Flat] | None = None) -> dict[str, Flat]:
    """{collection: arrays by path, every layer by itself} of what `save_variables` wrote; `fitted` makes variables of it.

    Args:
      folder: of a run. known: what files that several runs share have held so far; takes what is read.

    Raises:
      InputError: there is nothing, or a file is not the one that was written.
    """
    return _collections(_load(folder, known))


def save_stage(folder: Path, init: StageInit, pretrained: Pretrained | None = None) -> None:
    """Keeps what a stage leaves; otherwise as `save_variables`."""
    _save(folder, {**named(init.variables), **_memory(init.memory)}, pretrained)


def load_stage(folder: Path, like: StageInit) -> StageInit:
    """What a stage left in its folder, in the structure of `like`, as numpy arrays.

    Raises:
      InputError: there is nothing, it is damaged, or of other shapes.
    """
    kept = _load(folder)
    _check_stage(folder, jax.tree.map(np.shape, kept), like)
    leaves = [kept["memory"][str(number)] for number in range(len(kept.get("memory", {})))]
    memory = jax.tree.unflatten(jax.tree.structure(like.memory), leaves)
    return StageInit(fitted(folder, _collections(kept), like.variables), memory)


def check_stage(folder: Path, like: StageInit) -> None:
    """Raises InputError if `load_stage` would; no array is read, and those of `like` may be shapes alone."""
    found = read_shapes(_checked(folder))
    if (shared := shared_file(folder)) is not None:
        found = joined(found, read_tensor_shapes(shared))
    _check_stage(folder, found, like)


def _check_stage(folder: Path, found: Any, like: StageInit) -> None:
    if flat(found) != flat(jax.tree.map(np.shape, {**_apart(like.variables), **_memory(like.memory)})):
        raise InputError(
            f"{folder}: what this stage left does not fit this experiment: another method, other parameters, other rows, or "
            "other options that decide what the method remembers"
        )


def named(variables: Variables) -> dict[str, Any]:
    """What a network holds as it lies in files: a tree for each collection, every layer by itself."""
    tree = {"params": nested(unstack(jax.device_get(dict(variables.params))))}
    if variables.statistics:
        tree[STATISTICS] = nested(unstack(jax.device_get(dict(variables.statistics))))
    return tree


def _apart(shapes: Variables) -> dict[str, Any]:
    """The same of shapes alone."""

    def apart(leaves: Flat) -> dict[str, Any]:
        found = {}
        for path, leaf in leaves.items():
            if is_stacked(path):
                one = jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)
                found |= {layer_path(path, layer): one for layer in range(leaf.shape[0])}
            else:
                found[path] = leaf
        return nested(found)

    tree = {"params": apart(shapes.params)}
    return {**tree, STATISTICS: apart(shapes.statistics)} if shapes.statistics else tree


def _memory(memory: Any) -> dict[str, Any]:
    """A memory may be of any type, so that its arrays are numbered."""
    leaves = jax.tree.leaves(memory)
    return {"memory": {str(number): leaf for number, leaf in enumerate(leaves)}} if leaves else {}


def _collections(kept: Mapping[str, Any]) -> dict[str, Flat]:
    return {name: flat(kept[name]) for name in ("params", STATISTICS) if name in kept}


def fitted(folder: Path, kept: Mapping[str, Flat], shapes: Variables) -> Variables:
    """What a network holds, from arrays as `named` has them.

    Args:
      folder: where they lie, for the message.
      kept: {collection: arrays by path, every layer by itself}.
      shapes: of what the network holds.

    Raises:
      InputError: an array is missing or of another shape.
    """
    collections = []
    for name, wanted in (("params", shapes.params), (STATISTICS, shapes.statistics)):
        try:
            found = stack(kept.get(name, {}), wanted)
        except KeyError as error:
            raise InputError(
                f"{folder}: not the parameters of this method and its options: {error} is missing"
            ) from None
        other = [path for path, value in found.items() if np.shape(value) != wanted[path].shape]
        if other:
            raise InputError(
                f"{folder}: not the parameters of this method and its options: {other[0]} has shape "
                f"{np.shape(found[other[0]])}; expected {wanted[other[0]].shape}"
            )
        for path, value in found.items():
            if value.dtype != wanted[path].dtype:
                raise InputError(f"{folder}: {path} is {value.dtype}; expected {wanted[path].dtype}")
        collections.append(found)
    return Variables(*collections)


def _save(folder: Path, tree: Any, pretrained: Pretrained | None) -> None:
    tree, shared = parted(tree, pretrained)
    digests = {}
    if pretrained is not None and shared:
        file = write_once(pretrained.folder, shared)
        digests[Path(os.path.relpath(file, folder / "params")).as_posix()] = file.stem
    with writing(folder / "params"):
        folder.mkdir(parents=True, exist_ok=True)
        processes.run_on_primary(lambda: _clean(folder))
        with load_orbax().StandardCheckpointer() as checkpointer:
            checkpointer.save((folder / "params").absolute(), jax.tree.map(np.asarray, tree), force=True)
    write_json(folder / "params.json", {**_digests(folder / "params"), **digests})


def _clean(folder: Path) -> None:
    for unfinished in folder.glob(UNFINISHED):
        shutil.rmtree(unfinished, ignore_errors=True)


def _load(folder: Path, known: dict[Path, Flat] | None = None) -> Any:
    tree = read_arrays(_checked(folder))
    shared = shared_file(folder)
    if shared is None:
        return tree
    known, path = {} if known is None else known, shared.resolve()
    if path not in known:
        known[path] = read_tensors(shared)
    return joined(tree, known[path])


def _checked(folder: Path) -> Path:
    """`folder/params`, every file of which is the one that was written."""
    path = (folder / "params").absolute()
    if not path.is_dir():
        raise InputError(f"{path}: no such checkpoint")
    # Before they are opened: what is said of a damaged file there fills a screen, and not every change is noticed.
    digests = read_json(folder / "params.json")
    if not isinstance(digests, dict):
        raise InputError(f"{folder / 'params.json'}: found {type(digests).__name__}; expected the SHA-256 of each file")
    for name, digest in digests.items():
        if not (path / name).is_file():
            raise InputError(f"{path / name}: missing; the checkpoint is not whole")
        if sha256(path / name) != digest:
            raise InputError(f"{path / name}: not the file that was written; the checkpoint is damaged")
    return path


def _digests(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def other_run(experiment: Path, seed: int) -> Path:
    """The folder of the run, of another experiment, whose first stages are taken."""
    runs = sorted(path for path in (experiment / "checkpoints").glob("*") if (path / STAGES).is_dir())
    named = [path for path in runs if path.name == str(seed)] or (runs if len(runs) == 1 else [])
    if not named:
        found = f"it has those of seeds {', '.join(path.name for path in runs)}" if runs else "it has none"
        raise InputError(f"option stages_from: {experiment} has no stages of seed {seed}; {found}")
    return named[0]
