"""Commands that show: compare, plot, report, app, methods."""

import argparse
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from msa_jax.commands.shared import print_result
from msa_jax.errors import InputError


def compare_command(arguments: argparse.Namespace) -> None:
    """`msa-jax compare`."""
    from msa_jax.report.compare import compare

    comparison = compare(arguments.folders, split=arguments.split)
    print(getattr(comparison, "json" if arguments.json else arguments.format)())


def plot_command(arguments: argparse.Namespace) -> None:
    """`msa-jax plot`."""
    from msa_jax.report.run_curves import plot

    path = plot(arguments.folder, arguments.out)
    print_result(arguments, {"file": str(path)}, f"{path}: written")


def report_command(arguments: argparse.Namespace) -> None:
    """`msa-jax report`."""
    from msa_jax.report.run_page import report

    path = report(arguments.folder, out=arguments.out, data=arguments.data, split=arguments.split)
    print_result(arguments, {"file": str(path)}, f"{path}: written")


def app_command(arguments: argparse.Namespace) -> None:
    """`msa-jax app`."""
    from msa_jax.app import server
    from msa_jax.app.session import Session

    named = {name: getattr(arguments, name) for name in ("clips", "data", "face_model", "asr")}
    session = Session.of(arguments.folders, **named)
    any_host = arguments.host not in server.LOOPBACK
    made = server.server(session, host=arguments.host, max_upload=arguments.max_upload)
    with server.listen(arguments.host, arguments.port) as bound:
        address = server.address_of(bound)
        print_result(arguments, {"address": address}, f"{address} (Ctrl-C ends it)")
        sys.stdout.flush()
        if any_host:
            warnings.warn(f"whoever reaches {arguments.host} can use the page, without a password", stacklevel=1)
        made.run(sockets=[bound])


def methods_command(arguments: argparse.Namespace) -> None:
    """`msa-jax methods`."""
    from msa_jax import config, methods

    if arguments.method is None:
        if arguments.preset or arguments.markdown:
            raise InputError("--preset and --markdown need a METHOD")
        method_of = {preset: config.load_preset(preset).method for preset in config.preset_names()}
        listed = [
            _listed(name, [preset for preset in method_of if method_of[preset] == name]) for name in methods.METHODS
        ]
        lines = [
            f"{one['name']:12s} {one['paper']}\n{'':12s} presets: {', '.join(one['presets']) or '-'}" for one in listed
        ]
        print_result(arguments, listed, "\n".join(lines))
        return
    methods.get(arguments.method)  # before JAX is imported
    from msa_jax.report.method_page import method_page

    page = method_page(arguments.method, preset=arguments.preset)
    print_result(arguments, page.json(), page.markdown() if arguments.markdown else page.text())


def options_help(method: str, preset: str | None) -> str:
    """What `msa-jax train METHOD --help` shows besides the arguments of the command."""
    from msa_jax import methods

    methods.get(method)  # before JAX is imported
    from msa_jax.report.method_page import method_page

    return method_page(method, preset=preset).options_text()


def _listed(name: str, presets: Sequence[str]) -> dict[str, Any]:
    """A method in a list of all; one of another package that cannot be loaded says why."""
    from msa_jax import methods

    try:
        method = methods.get(name)
    except InputError as error:
        return {"name": name, "paper": str(error), "presets": []}
    brought = [] if method.presets is None else sorted(path.stem for path in method.presets.glob("*.py"))
    return {"name": name, "paper": method.paper, "presets": [*presets, *brought]}
