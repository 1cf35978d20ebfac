"""The command in a process of its own, with the toy method of the tests, to be killed and to meet full disks."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.paths import REPOSITORY

TOY_MAIN = """
import sys
from msa_jax import signals
signals.take_over()
from msa_jax import methods
from tests.tiny import TOY
methods.register(TOY)
from msa_jax.cli import main
sys.exit(main())
"""
OPTIONS = {
    "seeds": "3",
    "batch-size": "7",
    "max-epochs": "4",
    "patience": "1000",
    "checkpoint-epochs": "1",
    "runs-per-program": "1",
    "learning-rate.audio": "0.02",
    "learning-rate.other": "0.02",
}


def start(code: str, *words: str) -> subprocess.Popen[str]:
    """A new interpreter that runs `code`."""
    # Who runs the tests in the background of a shell has Ctrl-C ignored, and so would have the process.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def training(data: Path, out: Path, **options: str) -> list[str]:
    """The words of a short training of the toy method."""
    named = {**OPTIONS, **{name.replace("_", "-"): value for name, value in options.items()}}
    words = [word for name, value in named.items() for word in (f"--{name}", value)]
    return ["train", "toy", "--data", str(data), "--out", str(out), *words]


def errors(text: str) -> list[str]:
    """The lines of standard error that are no progress: one that tells what happened is expected."""
    progress = ("method ", "data ", "1 run ", "loading JAX", "on ", "toy on ", "seed ", "compil", "still ")
    return [line for line in text.splitlines() if not line.startswith(progress) and "parameters" not in line]
