"""Checkpoints: the newest whole state of runs, what a stage leaves for the next one, and at the end what was best.

orbax writes them and reads the states; `orbax_arrays` reads the rest. Parameters lie in files by the names that people use,
every layer by itself (`layers.stack`).
"""

import contextlib
import functools
import logging
import os
import re
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from msa_jax.errors import InputError, first_line
from msa_jax.layers.stack import is_stacked, layer_path, stack, unstack
from msa_jax.methods.protocol import STATISTICS
from msa_jax.paths import sha256
from msa_jax.train import processes
from msa_jax.train.atomic import read_json, write_json
from msa_jax.train.model import Variables, flat, nested
from msa_jax.train.orbax_arrays import read_arrays, read_shapes
from msa_jax.train.shared_parameters import Pretrained, joined, parted, shared_file
from msa_jax.train.state import Flat, RunState
from msa_jax.train.tensor_file import read_tensor_shapes, read_tensors, write_once


class RunCheckpoints:
    """The newest state of a run, or of several side by side, under `folder/state`.

    A save is whole or absent, whenever the process dies.
    """

    def __init__(self, folder: Path):
        self._ocp, self._folder = _orbax(), folder / "state"
        with _writing(self._folder):
            self._manager = self._ocp.CheckpointManager(
                self._folder.absolute(),
                options=self._ocp.CheckpointManagerOptions(
                    max_to_keep=1, cleanup_tmp_directories=True, enable_async_checkpointing=True
                ),
            )
            self._held: int | None = os.open(self._folder, os.O_RDONLY)

    @property
    def empty(self) -> bool:
        """Whether no state has been saved yet."""
        return self._manager.latest_step() is None

    def save(self, state: RunState) -> None:
        """Writes the state in the background; the one before it stays until this one is whole.

        Raises:
          InputError: this one cannot be written, or the one before it could not.
        """
        check_there(self._folder)
        items = self._ocp.args.Composite(
            state=self._ocp.args.StandardSave(state), stage=self._ocp.args.JsonSave({"stage": int(state.stage)})
        )
        with _writing(self._folder, self._held):
            self._manager.save(int(state.standing.epochs.max()), args=items)

    def restore(self, like: Callable[[int], RunState]) -> RunState:
        """The newest state that is whole; there must be one.

        Args:
          like: gives a state of the same structure and shapes, for the number of a stage.

        Raises:
          InputError: the checkpoint is of another structure or other shapes, or cannot be read.
        """
        step, of = self._manager.latest_step(), self._ocp.args
        try:
            stage = self._manager.restore(step, args=of.Composite(stage=of.JsonRestore()))["stage"]["stage"]
            target = jax.tree.map(self._ocp.utils.to_shape_dtype_struct, like(stage))
            state = self._manager.restore(step, args=of.Composite(state=of.StandardRestore(target)))["state"]
            return state.on_host()
        except Exception as error:  # orbax wraps what its threads meet into one of no class of its own
            raise InputError(
                f"{self._folder}: the checkpoint does not fit this experiment ({first_line(error)})"
            ) from None

    def close(self) -> None:
        """Waits for what is being written. Raises InputError where it cannot be."""
        if self._held is None:
            return
        try:
            with _writing(self._folder, self._held):
                try:
                    self._manager.wait_until_finished()
                finally:
                    self._manager.close()
        finally:
            os.close(self._held)
            self._held = None

    def delete(self) -> None:
        """Closes and removes the state: the runs have ended."""
        self.close()
        if not processes.is_primary():
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # where a single run has left its result there
            self._folder.parent.rmdir()


def check_there(folder: Path) -> None:
    """Raises InputError where somebody has removed the folder, which nothing that is written may make again."""
    if processes.is_primary() and not folder.is_dir():
        raise InputError(f"{folder}: the folder was removed while it was being trained into")


class StageInit(NamedTuple):
    """What a stage of a run starts from: everything the network holds, and the method's memory."""

    variables: Variables
    memory: Any


def save_variables(folder: Path, variables: Variables, pretrained: Pretrained | None = None) -> None:
    """Writes what a network holds to `folder/params`, whole or not at all, and SHA-256 sums to `folder/params.json`.

    Parameters that equal pretrained ones go to a file in the folder of these, and `params.json` names that.
    """
    _save(folder, named(variables), pretrained)


def load_variables(folder: Path, shapes: Variables) -> Variables:
    """What `save_variables` wrote, as numpy arrays.

    Args:
      folder: of a run.
      shapes: of what the network holds.

    Raises:
      InputError: there is nothing, a file is not the one that was written, or it is of another network.
    """
    return fitted(folder, read_variables(folder), shapes)


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
            f"{folder}: what this stage left does not fit this experiment: another method, other parameters or other rows"
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
    with _writing(folder / "params"):
        folder.mkdir(parents=True, exist_ok=True)
        processes.run_on_primary(lambda: _clean(folder))
        with _orbax().StandardCheckpointer() as checkpointer:
            checkpointer.save((folder / "params").absolute(), jax.tree.map(np.asarray, tree), force=True)
    write_json(folder / "params.json", {**_digests(folder / "params"), **digests})


def _clean(folder: Path) -> None:
    for unfinished in folder.glob("params.orbax-checkpoint-tmp*"):  # of a process that was killed
        shutil.rmtree(unfinished, ignore_errors=True)


@functools.cache
def _orbax() -> Any:
    """orbax, which takes half a second to import and keeps its log to itself: what goes wrong is an exception too."""
    import orbax.checkpoint as ocp

    inside = str(Path(ocp.__file__).parent)

    def of_others(record: logging.LogRecord) -> bool:
        trace = record.exc_info[2] if record.exc_info else None
        files = [record.pathname, *(frame.filename for frame in traceback.extract_tb(trace))]
        return inside not in record.getMessage() and not any(file.startswith(inside) for file in files)

    for name in ("absl", "asyncio"):  # it writes through the second, in threads of its own
        logging.getLogger(name).addFilter(of_others)
    _silence_late_answers()
    return ocp


def _silence_late_answers() -> None:
    """A read that fails ends all that belongs to it. Files that are read to their end afterwards find a loop that is closed,
    in threads where nobody can catch that; Python would print each of them below the error."""
    before = sys.unraisablehook

    def hook(met: Any) -> None:
        if not (isinstance(met.exc_value, RuntimeError) and str(met.exc_value) == "Event loop is closed"):
            before(met)

    sys.unraisablehook = hook


@contextlib.contextmanager
def _writing(path: Path, held: int | None = None) -> Iterator[None]:
    """Turns what orbax says of a disk that is full, a quota, or a folder that is gone or read-only into an InputError.

    held: the open folder, which knows that it was removed even if orbax has made another one of its name meanwhile.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = _system_error(error)
        removed = held is not None and os.fstat(held).st_nlink == 0
        if reason is None and (removed or not path.is_dir()):  # orbax finds out by itself, in words of its own
            reason = "the folder was removed"
        if reason is None:
            raise
        raise InputError(
            f"{path}: the checkpoint cannot be written ({reason}); once it can be, the same command goes on from the last "
            "one that is whole"
        ) from None


def _system_error(error: BaseException | None) -> str | None:
    """What the system said, where an error or one that it came from is one of the system's; None for any other."""
    seen = []
    while error is not None and error not in seen:
        seen.append(error)
        code = re.search(r"os_error_code='(\d+)'", str(error))  # as tensorstore has it
        if code:
            return os.strerror(int(code[1]))
        if isinstance(error, OSError):
            return error.strerror or first_line(error)
        error = error.__cause__ or error.__context__
    return None


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
    runs = sorted(path for path in (experiment / "checkpoints").glob("*") if (path / "stages").is_dir())
    named = [path for path in runs if path.name == str(seed)] or (runs if len(runs) == 1 else [])
    if not named:
        found = f"it has those of seeds {', '.join(path.name for path in runs)}" if runs else "it has none"
        raise InputError(f"option stages_from: {experiment} has no stages of seed {seed}; {found}")
    return named[0]
