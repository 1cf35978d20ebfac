"""What several commands do: results as a table or as JSON, and what training is told."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msa_jax.errors import tell, visible

if TYPE_CHECKING:
    from pathlib import Path

    from msa_jax.data import Dataset
    from msa_jax.train.asked import Asked


def print_result(arguments: argparse.Namespace, content: Any, text: str) -> None:
    """The content as JSON if --json was given, or else the text."""
    print(json.dumps(content, indent=1) if arguments.json else visible(text))


def training_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    """What every command that trains passes on, as named arguments."""
    named = {name: getattr(arguments, name) for name in ("out", "preset", "protocol", "options")}
    if arguments.seeds is not None:
        named["seeds"] = arguments.seeds
    return {**named, "log": None if arguments.quiet else sys.stderr}


def trackers(arguments: argparse.Namespace) -> Sequence[str] | None:
    """The names behind --log; none of them for the word none."""
    return () if arguments.log == ("none",) else arguments.log


def read_dataset(arguments: argparse.Namespace) -> "Dataset":
    """The dataset to train on, if the method is known by its name and has all options that are named.

    A file of gigabytes takes minutes to read, so that it is read is said first, and wrong names are refused before. Without
    options, what is wrong with the method or the data is said before JAX is imported.
    """
    from msa_jax import config, methods

    if arguments.options or arguments.method not in methods.METHODS:  # of which get says the nearest names
        config.check_names(config.flatten(methods.get(arguments.method).options()), arguments.options)
    if not arguments.quiet and _speaks(arguments):
        tell(visible(f"method {arguments.method}, reading {arguments.data}"))
    from msa_jax.data import load_dataset

    return load_dataset(arguments.data)


def _speaks(arguments: argparse.Namespace) -> bool:
    """Whether this process tells what happens: of several that train as one, which have loaded JAX, only the first does."""
    if not getattr(arguments, "distributed", False):
        return True
    from msa_jax.train import processes

    return processes.is_primary()


def say_what_is_asked(
    arguments: argparse.Namespace, asked: "Asked | None", dataset: "Dataset | None" = None
) -> Sequence[str]:
    """Prints what is about to be trained before JAX is loaded, so that nobody looks at nothing; returns the lines."""
    if asked is None or arguments.quiet:
        return ()
    lines = asked.lines(dataset)
    tell(*lines, "loading JAX")
    return lines


def asked_for(arguments: argparse.Namespace, dataset: "Dataset", *, sweep: bool = False) -> "Asked":
    """What a command that trains a method is asked for."""
    from msa_jax.train import asked

    named = {name: getattr(arguments, name) for name in ("preset", "protocol", "seeds", "out")}
    return asked.asked_for(arguments.method, dataset, sweep=sweep, **named)


def print_experiment(arguments: argparse.Namespace, folder: "Path") -> None:
    """The results of an experiment, as a table or as the JSON of its folder."""
    from msa_jax.report.compare import compare

    if arguments.json:
        print((folder / "result.json").read_text(encoding="utf-8"), end="")
    else:
        print(compare([folder]).text())
