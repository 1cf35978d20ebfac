"""Commands on what an experiment leaves: export, clean."""

import argparse

from msa_jax.commands.shared import print_result


def export_command(arguments: argparse.Namespace) -> None:
    """`msa-jax export`."""
    from msa_jax.report.sharing import export

    done = export(arguments.folder, arguments.out, seeds=arguments.seeds, licence=arguments.license)
    content = {"folder": str(done.path), "seeds": list(done.seeds), "bytes": done.size}
    seeds = ", ".join(map(str, done.seeds))
    print_result(arguments, content, f"{done.path}: written; seeds {seeds}; {done.size:,} bytes")


def clean_command(arguments: argparse.Namespace) -> None:
    """`msa-jax clean`."""
    from msa_jax.train.cleaning import clean

    for folder in arguments.folders:
        clean(folder, dry_run=True)  # says what is wrong with any of them before something is dropped
    done = [clean(folder, dry_run=arguments.dry_run) for folder in arguments.folders]
    content = [
        {"folder": str(one.folder), "bytes": one.size, "paths": list(map(str, one.paths)), "lost": list(one.lost)}
        | {"left": list(map(str, one.left))}
        for one in done
    ]
    print_result(arguments, content, "\n".join(one.text(dry_run=arguments.dry_run) for one in done))
