"""Commands that train one method: train, resume, sweep."""

import argparse
import sys

from msa_jax.commands.shared import (
    asked_for,
    print_experiment,
    print_result,
    read_dataset,
    say_what_is_asked,
    trackers,
    training_arguments,
)
from msa_jax.errors import InputError


def train_command(arguments: argparse.Namespace) -> None:
    """`msa-jax train`."""
    _join(arguments)
    dataset = read_dataset(arguments)
    # Processes that train as one have loaded JAX, and only the first of them says something.
    said = () if arguments.distributed else say_what_is_asked(arguments, asked_for(arguments, dataset), dataset)
    from msa_jax.train import processes
    from msa_jax.train.experiment import train

    experiment = train(
        arguments.method,
        dataset,
        overwrite=arguments.overwrite,
        record_labels=arguments.record_labels,
        keep_state=arguments.keep_state,
        with_text=arguments.with_text,
        trackers=trackers(arguments),
        said=said,
        **training_arguments(arguments),
    )
    processes.run_on_primary(lambda: print_experiment(arguments, experiment.path))  # while the others wait


def _join(arguments: argparse.Namespace) -> None:
    """Meets the other processes, if there are any."""
    address = arguments.coordinator, arguments.processes, arguments.process
    if arguments.distributed:
        from msa_jax.train import processes

        processes.join(*address)
    elif address != (None, None, None):
        raise InputError("--coordinator, --processes and --process need --distributed")


def resume_command(arguments: argparse.Namespace) -> None:
    """`msa-jax resume`."""
    _join(arguments)
    from msa_jax.train import asked

    said = () if arguments.distributed else say_what_is_asked(arguments, asked.of_experiment(arguments.folder))
    from msa_jax.train import processes
    from msa_jax.train.experiment import resume

    experiment = resume(
        arguments.folder,
        max_epochs=arguments.max_epochs,
        data=arguments.data,
        data_devices=arguments.data_devices,
        runs_per_program=arguments.runs_per_program,
        remat=None if arguments.remat is None else arguments.remat == "true",
        resident=arguments.resident,
        keep_state=arguments.keep_state,
        log=None if arguments.quiet else sys.stderr,
        trackers=trackers(arguments),
        said=said,
    )
    processes.run_on_primary(lambda: print_experiment(arguments, experiment.path))  # while the others wait


def sweep_command(arguments: argparse.Namespace) -> None:
    """`msa-jax sweep`."""
    dataset = read_dataset(arguments)
    say_what_is_asked(arguments, asked_for(arguments, dataset, sweep=True), dataset)
    from msa_jax import methods
    from msa_jax.report import figures
    from msa_jax.report.sweep import figure, table
    from msa_jax.train.atomic import read_json
    from msa_jax.train.pruning import parse_prune
    from msa_jax.train.search_space import parse_draws, parse_grid
    from msa_jax.train.sweep import sweep

    options = methods.get(arguments.method).options()
    done = sweep(
        arguments.method,
        dataset,
        grid=parse_grid(arguments.grid, options),
        draws=parse_draws(arguments.draw, options),
        points=arguments.points,
        draw_seed=arguments.draw_seed,
        rank_by=arguments.rank_by,
        prune=False if arguments.prune is None else parse_prune(arguments.prune),
        overwrite=arguments.overwrite,
        **training_arguments(arguments),
    )
    if figures.available():
        drawn = figure(done)
        if drawn is not None:
            figures.save_all(drawn, done.path / "figure.png")
    print_result(arguments, read_json(done.path / "ranking.json"), table(done).text())
