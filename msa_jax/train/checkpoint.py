"""Checkpoints of runs: the newest whole state, and at the end the parameters that were best. orbax writes them."""

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from msa_jax.errors import InputError, first_line
from msa_jax.train import processes
from msa_jax.train.folder import read_json, write_json
from msa_jax.train.state import RunState, on_host


class RunCheckpoints:
    """The newest state of a run, or of several side by side, under `folder/state`.

    A save is whole or absent, whenever the process dies.
    """

    def __init__(self, folder: Path):
        self._folder = folder / "state"
        self._manager = ocp.CheckpointManager(
            self._folder.absolute(),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=1, cleanup_tmp_directories=True, enable_async_checkpointing=True
            ),
        )

    @property
    def empty(self) -> bool:
        """Whether no state has been saved yet."""
        return self._manager.latest_step() is None

    def save(self, state: RunState) -> None:
        """Writes the state in the background; the one before it stays until this one is whole."""
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state), stage=ocp.args.JsonSave({"stage": int(state.stage)})
        )
        self._manager.save(int(state.epochs.max()), args=items)

    def restore(self, like: Callable[[int], RunState]) -> RunState:
        """The newest state that is whole; there must be one.

        Args:
          like: gives a state of the same structure and shapes, for the number of a stage.

        Raises:
          InputError: the checkpoint is of another structure or other shapes, or cannot be read.
        """
        step = self._manager.latest_step()
        try:
            stage = self._manager.restore(step, args=ocp.args.Composite(stage=ocp.args.JsonRestore()))["stage"]["stage"]
            target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like(stage))
            state = self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(target)))[
                "state"
            ]
            return on_host(state)
        except (ValueError, KeyError, OSError, TypeError, IndexError, AttributeError) as error:
            raise InputError(
                f"{self._folder}: the checkpoint does not fit this experiment ({first_line(error)})"
            ) from None

    def close(self) -> None:
        """Waits for what is being written."""
        self._manager.wait_until_finished()
        self._manager.close()

    def delete(self) -> None:
        """Closes and removes the state: the runs have ended."""
        self.close()
        if not processes.writes():
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # where a single run has left its result there
            self._folder.parent.rmdir()


def save_params(folder: Path, params: Any) -> None:
    """Writes parameters to `folder/params`, whole or not at all, and the SHA-256 of its files to `folder/params.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    processes.by_first(lambda: _clean(folder))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save((folder / "params").absolute(), jax.device_get(params), force=True)
    write_json(folder / "params.json", _digests(folder / "params"))


def _clean(folder: Path) -> None:
    for unfinished in folder.glob("params.orbax-checkpoint-tmp*"):  # of a process that was killed
        shutil.rmtree(unfinished, ignore_errors=True)


def load_params(folder: Path) -> Any:
    """Parameters as numpy arrays, from `folder/params`.

    Raises:
      InputError: there are none, a file of theirs is not the one that was written, or they cannot be read.
    """
    with _reading(folder) as (checkpointer, path):
        arguments = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), _metadata(checkpointer, path))
        return checkpointer.restore(path, restore_args=arguments)


def saved_shapes(folder: Path) -> Any:
    """The shapes of the parameters that `load_params` would read; it raises the same."""
    with _reading(folder) as (checkpointer, path):
        return jax.tree.map(np.shape, _metadata(checkpointer, path))


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[tuple[ocp.PyTreeCheckpointer, Path]]:
    path = _checked(folder)
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            yield checkpointer, path
    except (ValueError, KeyError, OSError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: the checkpoint cannot be read ({first_line(error)})") from None


def _metadata(checkpointer: ocp.PyTreeCheckpointer, path: Path) -> Any:
    return checkpointer.metadata(path).item_metadata.tree


def _checked(folder: Path) -> Path:
    """`folder/params`, every file of which is the one that was written."""
    path = (folder / "params").absolute()
    if not path.is_dir():
        raise InputError(f"{path}: no such checkpoint")
    # Before orbax opens them: what it says of a damaged file fills a screen, and it does not notice every change.
    digests = read_json(folder / "params.json")
    if not isinstance(digests, dict):
        raise InputError(f"{folder / 'params.json'}: found {type(digests).__name__}; expected the SHA-256 of each file")
    for name, digest in digests.items():
        if not (path / name).is_file():
            raise InputError(f"{path / name}: missing; the checkpoint is not whole")
        if _digest(path / name) != digest:
            raise InputError(f"{path / name}: not the file that was written; the checkpoint is damaged")
    return path


def _digests(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): _digest(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
