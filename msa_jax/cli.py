"""The `msa-jax` command: arguments in, one line out for every error. The work is done elsewhere.

Each command imports what it needs when it runs, because JAX takes seconds to import.
"""

import io
import os
import sys
import threading
import warnings
from collections.abc import Sequence
from typing import Any

from msa_jax import signals
from msa_jax.arguments import parse
from msa_jax.commands import data, scoring, sharing, showing, studies, training
from msa_jax.errors import InputError, one_line, tell, visible


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Returns 0, or 2 where the input is wrong.

    Args:
      arguments: by default those of the process, which is the command's own then: Ctrl-C, SIGTERM and SIGHUP end it with 130,
        143 and 129 (see `signals`). Otherwise Ctrl-C is an exception as ever, and this returns 130.

    A process that trained with another one that is lost ends with 3.
    """
    if arguments is None:
        signals.take_over()
        sys.unraisablehook = _show_if_of_the_main_thread
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    _print_what_can_be_printed()
    warnings.showwarning = _one_line_warning
    try:
        parsed = parse(arguments, options_help=showing.options_help)
        _COMMANDS[parsed.command](parsed)
        if sys.stdout is not None:  # which `>&-` closes
            sys.stdout.flush()
    except InputError as error:
        tell(f"msa-jax: {one_line(error)}")
        return 2
    except BrokenPipeError:  # `msa-jax ... | head`
        _drop_output()
    except OSError as error:  # a full disk, a folder that may not be written
        tell(f"msa-jax: {visible(str(error.filename or 'file system'))}: {error.strerror or error}")
        _drop_output()
        return 2
    except MemoryError as error:
        tell(f"msa-jax: not enough memory: {one_line(error) or 'this needs more than there is'}")
        return 2
    except (RuntimeError, AssertionError) as error:
        _end_if_alone(error)
        message = _missing_backend() or _out_of_memory(error)
        if message is None:
            raise
        tell(f"msa-jax: {message}")
        return 2
    except KeyboardInterrupt:
        again = f"the same command{signals.without_overwrite()}"
        tell(f"msa-jax: interrupted; {again} resumes from the last checkpoint")
        return 130
    return 0


def _print_what_can_be_printed() -> None:
    """A terminal that knows ASCII alone, or a file name that is no text, costs a question mark and not a result.

    What goes to a file or another program is UTF-8, as all files of msa_jax are, unless PYTHONIOENCODING asks for another one.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            elsewhere = stream is sys.stdout and not stream.isatty() and "PYTHONIOENCODING" not in os.environ
            stream.reconfigure(encoding="utf-8" if elsewhere else None, errors="replace")


def _drop_output() -> None:
    """What cannot be written to standard output would be tried again, and complained of, when Python ends."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_if_of_the_main_thread(ignored: Any) -> None:
    """Where a checkpoint cannot be written, each of the threads that write it fails; the main thread says so in one line."""
    if threading.current_thread() is threading.main_thread():
        sys.__unraisablehook__(ignored)


def _missing_backend() -> str | None:
    from msa_jax.train import processes

    return processes.missing_backend_message()


def _out_of_memory(error: Exception) -> str | None:
    from msa_jax.train import memory

    return memory.out_of_memory_message(error)


def _end_if_alone(error: Exception) -> None:
    """Ends this process at once where another one that it trained with is gone: nothing waits for that one then."""
    from msa_jax.train import processes

    message = processes.lost_process_message(error)
    if message is not None:
        tell(f"msa-jax: {message}")
        os._exit(3)


def _one_line_warning(message: Any, category: type, filename: str, lineno: int, *rest: Any) -> None:
    tell(f"msa-jax: warning: {visible(' '.join(str(message).split()))}")


_COMMANDS = {
    "train": training.train_command,
    "resume": training.resume_command,
    "sweep": training.sweep_command,
    "evaluate": scoring.evaluate_command,
    "errors": scoring.errors_command,
    "predict": scoring.predict_command,
    "plot": showing.plot_command,
    "report": showing.report_command,
    "app": showing.app_command,
    "export": sharing.export_command,
    "clean": sharing.clean_command,
    "compare": showing.compare_command,
    "robustness": scoring.robustness_command,
    "reproduce": studies.reproduce_command,
    "leaderboard": studies.leaderboard_command,
    "data check": data.data_check_command,
    "data import": data.data_import_command,
    "data synthetic": data.data_synthetic_command,
    "data extract": data.data_extract_command,
    "data describe": data.data_describe_command,
    "methods": showing.methods_command,
}
