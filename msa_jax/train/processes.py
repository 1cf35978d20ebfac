"""Several processes that train as one program, each with devices of its own: how they meet, who writes, what ends them.

All of them run the same code on the same numbers and decide the same. The first alone writes files, but for checkpoints, of
which each writes its share; so all must be able to read and write the folder. The rows of a mini-batch, or runs side by side,
are dealt to the devices of all (see `mesh`).
"""

from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils

from msa_jax.errors import InputError, first_line, install

MEET_WITHIN = 120  # seconds
LOST_AFTER = 30  # seconds without a sign of life
MESSAGE_BYTES = 2048
# In what JAX says where a collective or the coordination fails: gloo on CPUs, NCCL on GPUs, the service that all talk to.
SIGNS = ("gloo", "nccl", "coordination", "unavailable", "connection", "heartbeat", "deadline_exceeded")


def join(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Makes this process one of several; before anything uses a device.

    Args:
      coordinator: HOST:PORT of the first process; None where JAX finds the others itself: under SLURM, Open MPI and GKE, and on
        Cloud TPU.
      processes: how many there are.
      process: the number of this one, from 0.

    Raises:
      InputError: some of the three are given and some not, they do not fit, or the others are not there.
    """
    given = [value is not None for value in (coordinator, processes, process)]
    if any(given) and not all(given):
        raise InputError("coordinator, processes and process belong together: give all of them, or none")
    if coordinator is not None:
        host, _, port = coordinator.rpartition(":")
        if not host or not port.isdigit():
            raise InputError(f"coordinator is {coordinator!r}; expected HOST:PORT of process 0")
        if processes < 1 or not 0 <= process < processes:
            raise InputError(
                f"process is {process} of {processes}; expected a number from 0 to {max(processes - 1, 0)}"
            )
    # It would take SIGTERM for itself, and nothing would end.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            initialization_timeout=MEET_WITHIN,
            heartbeat_timeout_seconds=LOST_AFTER,
            shutdown_timeout_seconds=LOST_AFTER,
        )
    except ValueError as error:  # nothing tells of other processes
        raise InputError(
            f"no cluster that JAX knows was found ({error}); give --coordinator HOST:PORT, --processes N and --process I"
        ) from None
    except RuntimeError as error:
        raise InputError(f"the processes did not meet: {first_line(error)}") from None


def count() -> int:
    """How many processes there are."""
    return jax.process_count() if jax.distributed.is_initialized() else 1


def is_primary() -> bool:
    """Whether this process is the one that writes files."""
    return not jax.distributed.is_initialized() or jax.process_index() == 0


def check_alone(what: str) -> None:
    """Raises InputError where there are several processes: `what` runs in one."""
    if count() > 1:
        raise InputError(f"{what} runs in one process, and there are {count()}")


def run_on_primary(action: Callable[[], None]) -> None:
    """Runs an action in the first process alone while the others wait; an error of it ends all processes.

    Raises:
      InputError: the action raised it, or, if there are several processes, an OSError.
    """
    if count() == 1:
        action()
        return
    message = b""
    if is_primary():
        try:
            action()
        except (InputError, OSError) as error:  # whatever it is, the others must not wait for ever
            of_files = isinstance(error, OSError)
            text = f"{error.filename or 'file system'}: {error.strerror or error}" if of_files else str(error)
            message = text.encode()[:MESSAGE_BYTES]
    padded = np.frombuffer(message.ljust(MESSAGE_BYTES, b"\0"), np.uint8)
    told = bytes(np.asarray(multihost_utils.broadcast_one_to_all(padded)).astype(np.uint8)).rstrip(b"\0")
    if told:
        raise InputError(told.decode(errors="replace"))


def of_primary(values: np.ndarray) -> np.ndarray:
    """The array [r] that the first process has, in all of them; each gives one of this shape and type."""
    return values if count() == 1 else np.asarray(multihost_utils.broadcast_one_to_all(values))


def primary_says(question: Callable[[], bool]) -> bool:
    """What the first process answers, in all of them; the others do not ask.

    What lies on a disk that machines share is such a question: each may see it as it was a while ago.
    """
    return bool(of_primary(np.int32(is_primary() and question())))


def least(size: int) -> int:
    """The least of the bytes that each process gives, in all of them, in whole MiB if there are several."""
    if count() == 1:
        return size
    return int(np.min(multihost_utils.process_allgather(np.int32(size >> 20)))) << 20  # JAX has no integers of 64 bits


def lost_process_message(error: Exception) -> str | None:
    """What to say where `error` tells that another process is gone; None where it tells something else."""
    if count() == 1 or not isinstance(error, jax.errors.JaxRuntimeError):
        return None
    if not any(sign in str(error).lower() for sign in SIGNS):
        return None
    return (
        f"process {jax.process_index()} of {count()}: another process was lost ({first_line(error)}); "
        "the same command in all processes resumes from the last checkpoint"
    )


def missing_backend_message() -> str | None:
    """What to say where JAX_PLATFORMS names what JAX cannot use here; None where JAX has a device."""
    named = str(jax.config.jax_platforms)
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        extra = next((of for word, of in (("tpu", "tpu"), ("cuda", "cuda"), ("gpu", "cuda")) if word in named), None)
        remedy = f"install what it needs with {install(extra)}" if extra else "expected cpu, cuda or tpu"
        reason = f" ({first_line(error)})" if str(error) else ""
        return f"JAX_PLATFORMS is {named}: JAX finds no such device{reason}; {remedy}, or unset JAX_PLATFORMS"
    return None
