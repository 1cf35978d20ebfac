"""Commands that train many methods: reproduce, leaderboard."""

import argparse

from msa_jax.commands.shared import print_result, training_arguments
from msa_jax.errors import InputError


def reproduce_command(arguments: argparse.Namespace) -> None:
    """`msa-jax reproduce`."""
    if arguments.list:
        from msa_jax.report.study import list_studies

        studies = list_studies()
        text = "\n".join(f"{study.name:18s} {study.title}" for study in studies)
        print_result(arguments, [{"name": study.name, "title": study.title} for study in studies], text)
        return
    if arguments.study is None or arguments.data is None:
        raise InputError("reproduce needs a STUDY and --data D; `msa-jax reproduce --list` shows the studies")
    from msa_jax.report.studies import reproduce

    given = training_arguments(arguments)
    rendering = reproduce(arguments.study, arguments.data, variants=arguments.variants, **given)
    print_result(arguments, rendering.content, rendering.text)


def leaderboard_command(arguments: argparse.Namespace) -> None:
    """`msa-jax leaderboard`."""
    from msa_jax.report.leaderboard import leaderboard

    rendering = leaderboard(arguments.data, methods=arguments.methods, **training_arguments(arguments))
    print_result(arguments, rendering.content, rendering.text)
