"""The `msa-jax` command: arguments in, one line out for every error. The work is done elsewhere.

Each command imports what it needs when it runs, because JAX takes seconds to import.
"""

import argparse
import io
import json
import os
import sys
import threading
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msa_jax import signals
from msa_jax.arguments import parse
from msa_jax.errors import InputError, one_line

if TYPE_CHECKING:
    from pathlib import Path

    from msa_jax.data import Dataset


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Returns 0, or 2 where the input is wrong.

    Args:
      arguments: by default those of the process, which is the command's own then: Ctrl-C and SIGTERM end it with 130 and 143
        (see `signals`). Otherwise Ctrl-C is an exception as ever, and this returns 130.

    A process that trained with another one that is lost ends with 3.
    """
    if arguments is None:
        signals.take_over()
        sys.unraisablehook = _show_if_of_the_main_thread
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    _print_what_can_be_printed()
    warnings.showwarning = _one_line_warning
    try:
        parsed = parse(arguments, options_help=_options_help)
        _COMMANDS[parsed.command](parsed)
        sys.stdout.flush()
    except InputError as error:
        print(f"msa-jax: {one_line(error)}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `msa-jax ... | head`
        _drop_output()
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"msa-jax: {error.filename or 'file system'}: {error.strerror or error}", file=sys.stderr)
        _drop_output()
        return 2
    except (RuntimeError, AssertionError) as error:
        _end_if_alone(error)
        message = _missing_backend()
        if message is None:
            raise
        print(f"msa-jax: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("msa-jax: interrupted; the same command resumes from the last checkpoint", file=sys.stderr)
        return 130
    return 0


def _print_what_can_be_printed() -> None:
    """A terminal that knows ASCII alone, or a file name that is no text, costs a question mark and not a result."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _drop_output() -> None:
    """What cannot be written to standard output would be tried again, and complained of, when Python ends."""
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


def _end_if_alone(error: Exception) -> None:
    """Ends this process at once where another one that it trained with is gone: nothing waits for that one then."""
    from msa_jax.train import processes

    message = processes.lost_process_message(error)
    if message is not None:
        print(f"msa-jax: {message}", file=sys.stderr, flush=True)
        os._exit(3)


def _one_line_warning(message: Any, category: type, filename: str, lineno: int, *rest: Any) -> None:
    print(f"msa-jax: warning: {' '.join(str(message).split())}", file=sys.stderr)


def _print(arguments: argparse.Namespace, content: Any, text: str) -> None:
    print(json.dumps(content, indent=1) if arguments.json else text)


def _training(arguments: argparse.Namespace) -> dict[str, Any]:
    """What every command that trains passes on, as named arguments."""
    named = {name: getattr(arguments, name) for name in ("out", "preset", "protocol", "options")}
    if arguments.seeds is not None:
        named["seeds"] = arguments.seeds
    return {**named, "log": None if arguments.quiet else sys.stderr}


def _trackers(arguments: argparse.Namespace) -> Sequence[str] | None:
    """The names behind --log; none of them for the word none."""
    return () if arguments.log == ("none",) else arguments.log


def _read_dataset(arguments: argparse.Namespace) -> "Dataset":
    """The dataset to train on, if the method is known by its name: what is wrong with either is said before JAX is imported."""
    from msa_jax import methods

    if arguments.method not in methods.METHODS:
        methods.get(arguments.method)  # raises an error that suggests the nearest names
    from msa_jax.data import load_dataset

    return load_dataset(arguments.data)


# -- commands ---------------------------------------------------------------------------------------------------------


def _train(arguments: argparse.Namespace) -> None:
    address = arguments.coordinator, arguments.processes, arguments.process
    if arguments.distributed:
        from msa_jax.train import processes

        processes.join(*address)
    elif address != (None, None, None):
        raise InputError("--coordinator, --processes and --process need --distributed")
    dataset = _read_dataset(arguments)
    counts = ", ".join(f"{name} {len(split)}" for name, split in dataset.splits().items())
    # JAX takes its time to load, and nobody should look at nothing meanwhile.
    if not arguments.quiet:
        print(f"{arguments.method} on {dataset.card.name}: {counts}; loading JAX", file=sys.stderr, flush=True)
    from msa_jax.train import processes
    from msa_jax.train.experiment import train

    experiment = train(
        arguments.method,
        dataset,
        overwrite=arguments.overwrite,
        record_labels=arguments.record_labels,
        keep_state=arguments.keep_state,
        trackers=_trackers(arguments),
        **_training(arguments),
    )
    if processes.is_primary():
        _print_result(arguments, experiment.path)


def _resume(arguments: argparse.Namespace) -> None:
    from msa_jax.train.experiment import resume

    experiment = resume(
        arguments.folder,
        max_epochs=arguments.max_epochs,
        data=arguments.data,
        keep_state=arguments.keep_state,
        log=None if arguments.quiet else sys.stderr,
        trackers=_trackers(arguments),
    )
    _print_result(arguments, experiment.path)


def _print_result(arguments: argparse.Namespace, folder: "Path") -> None:
    from msa_jax.report.compare import compare

    if arguments.json:
        print((folder / "result.json").read_text(encoding="utf-8"), end="")
    else:
        print(compare([folder]).text())


def _sweep(arguments: argparse.Namespace) -> None:
    dataset = _read_dataset(arguments)
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
        **_training(arguments),
    )
    if figures.available():
        drawn = figure(done)
        if drawn is not None:
            figures.save(drawn, done.path / "figure.png")
    _print(arguments, read_json(done.path / "ranking.json"), table(done).text())


def _evaluate(arguments: argparse.Namespace) -> None:
    from msa_jax.report.evaluation import evaluate

    evaluation = evaluate(arguments.folder, data=arguments.data, split=arguments.split)
    _print(arguments, evaluation.json(), evaluation.text())


def _errors(arguments: argparse.Namespace) -> None:
    from msa_jax.report.errors import TOP, errors

    form = "json" if arguments.json else arguments.format
    top = TOP if arguments.top is None and form == "text" else arguments.top
    found = errors(arguments.folder, data=arguments.data, split=arguments.split, sort=arguments.sort, top=top)
    if form == "csv":
        print(found.csv(), end="")
    else:
        print(json.dumps(found.json(), indent=1) if form == "json" else found.text())


def _predict(arguments: argparse.Namespace) -> None:
    from msa_jax.report.prediction import check_outputs, predict
    from msa_jax.train.atomic import write_arrays, write_text

    check_outputs((arguments.out, arguments.arrays), (arguments.data, arguments.texts, *arguments.clip))
    named = ("data", "split", "texts", "text", "clip", "window", "step", "missing", "with_text")
    done = predict(
        arguments.folder,
        **{name: getattr(arguments, name) for name in named},
        tools={name: getattr(arguments, name) for name in ("face_model", "openface", "opensmile", "asr")},
        exports=arguments.arrays is not None,
    )
    content: dict[str, Any] = {"rows": len(done.split), "runs": list(done.runs)}
    if arguments.arrays is not None:
        write_arrays(arguments.arrays, {"id": done.split.id, "label": done.split.label, **done.exports})
        content["arrays"] = str(arguments.arrays)
    if arguments.out is None:
        _print(arguments, {**content, "predictions": done.rows()}, done.csv().removesuffix("\n"))
        return
    write_text(arguments.out, done.csv())
    said = f"{arguments.out}: {len(done.split)} rows, runs {', '.join(done.runs)}"
    _print(arguments, {"file": str(arguments.out), **content}, said)


def _plot(arguments: argparse.Namespace) -> None:
    from msa_jax.report.run_curves import plot

    path = plot(arguments.folder, arguments.out)
    _print(arguments, {"file": str(path)}, f"{path}: written")


def _report(arguments: argparse.Namespace) -> None:
    from msa_jax.report.run_page import report

    path = report(arguments.folder, out=arguments.out, data=arguments.data, split=arguments.split)
    _print(arguments, {"file": str(path)}, f"{path}: written")


def _app(arguments: argparse.Namespace) -> None:
    from msa_jax.app import server
    from msa_jax.app.session import Session

    named = {name: getattr(arguments, name) for name in ("clips", "data", "face_model", "asr")}
    session = Session.of(arguments.folders, **named)
    any_host = arguments.host not in server.LOOPBACK
    made = server.server(session, any_host=any_host, max_upload=arguments.max_upload)
    with server.listen(arguments.host, arguments.port) as bound:
        address = server.address_of(bound)
        _print(arguments, {"address": address}, f"{address} (Ctrl-C ends it)")
        sys.stdout.flush()
        if any_host:
            warnings.warn(f"whoever reaches {arguments.host} can use the page, without a password", stacklevel=1)
        made.run(sockets=[bound])


def _export(arguments: argparse.Namespace) -> None:
    from msa_jax.report.sharing import export

    done = export(arguments.folder, arguments.out, seeds=arguments.seeds, licence=arguments.license)
    content = {"folder": str(done.path), "seeds": list(done.seeds), "bytes": done.size}
    seeds = ", ".join(map(str, done.seeds))
    _print(arguments, content, f"{done.path}: written; seeds {seeds}; {done.size:,} bytes")


def _clean(arguments: argparse.Namespace) -> None:
    from msa_jax.train.cleaning import clean

    for folder in arguments.folders:
        clean(folder, dry_run=True)  # says what is wrong with any of them before something is dropped
    done = [clean(folder, dry_run=arguments.dry_run) for folder in arguments.folders]
    content = [
        {"folder": str(one.folder), "bytes": one.size, "paths": list(map(str, one.paths)), "lost": list(one.lost)}
        | {"left": list(map(str, one.left))}
        for one in done
    ]
    _print(arguments, content, "\n".join(one.text(dry_run=arguments.dry_run) for one in done))


def _compare(arguments: argparse.Namespace) -> None:
    from msa_jax.report.compare import compare

    comparison = compare(arguments.folders, split=arguments.split)
    form = "json" if arguments.json else arguments.format
    if form == "json":
        content = comparison.json()
        print(content if isinstance(content, str) else json.dumps(content, indent=1))
    else:
        print(getattr(comparison, form)())


def _robustness(arguments: argparse.Namespace) -> None:
    from msa_jax.report import robustness

    robustness.check_folder(arguments.out)
    named = {name: getattr(arguments, name) for name in ("protocol", "rates", "mask_seeds", "data", "split")}
    found = robustness.robustness(arguments.folders, **named)
    _print(arguments, found.json(), f"{robustness.write(found, arguments.out)}\n\n{found.text()}")


def _reproduce(arguments: argparse.Namespace) -> None:
    if arguments.list:
        from msa_jax.report.study import list_studies

        studies = list_studies()
        text = "\n".join(f"{study.name:18s} {study.title}" for study in studies)
        _print(arguments, [{"name": study.name, "title": study.title} for study in studies], text)
        return
    if arguments.study is None or arguments.data is None:
        raise InputError("reproduce needs a STUDY and --data D; `msa-jax reproduce --list` shows the studies")
    from msa_jax.report.studies import reproduce

    rendering = reproduce(arguments.study, arguments.data, **_training(arguments))
    _print(arguments, rendering.content, rendering.text)


def _leaderboard(arguments: argparse.Namespace) -> None:
    from msa_jax.report.leaderboard import leaderboard

    rendering = leaderboard(arguments.data, methods=arguments.methods, **_training(arguments))
    _print(arguments, rendering.content, rendering.text)


def _data_check(arguments: argparse.Namespace) -> None:
    from msa_jax.data import load_dataset

    dataset = load_dataset(arguments.path)
    counts = {name: len(split) for name, split in dataset.splits().items()}
    _print(
        arguments,
        {"name": dataset.card.name, "counts": counts, "valid": True},
        f"{dataset.source}: valid; {', '.join(f'{name} {count}' for name, count in counts.items())}",
    )


def _data_import(arguments: argparse.Namespace) -> None:
    from msa_jax.data import load_dataset, write_native

    words = {key: getattr(arguments, key) for key in ("name", "language", "label_range", "metrics", "split_seed")}
    dataset = load_dataset(arguments.path, **words)
    write_native(dataset, arguments.out)
    _print(arguments, {"folder": str(arguments.out)}, f"{arguments.out}: written")


def _data_synthetic(arguments: argparse.Namespace) -> None:
    from msa_jax.data import make_synthetic, write_native

    numbers: dict[str, Any] = {name: getattr(arguments, name) for name in ("seed", "train", "valid", "test")}
    if arguments.mosi_shapes:
        numbers |= {"audio_steps": 375, "vision_steps": 500}
    write_native(make_synthetic(**numbers), arguments.out)
    _print(arguments, {"folder": str(arguments.out)}, f"{arguments.out}: written")


def _data_extract(arguments: argparse.Namespace) -> None:
    from msa_jax.extract import extract

    named = (
        "labels audio vision audio_rate face_model openface opensmile asr skip_bad max_seconds split_seed workers cache"
    )
    named += " name language label_range metrics align text_encoder max_tokens"
    done = extract(
        arguments.raw,
        out=arguments.out,
        allow=[name for name in ("silent", "faceless") if getattr(arguments, f"allow_{name}")],
        log=None if arguments.quiet else sys.stderr,
        **{name: getattr(arguments, name) for name in named.split()},
    )
    counts = {name: len(split) for name, split in done.dataset.splits().items()}
    said = f"{arguments.out}: written; {', '.join(f'{name} {count}' for name, count in counts.items())}"
    said += f"; {len(done.failed)} clips left out, see failed.csv" if done.failed else ""
    failed = [{"id": name, "reason": reason} for name, reason in done.failed]
    _print(arguments, {"folder": str(arguments.out), "counts": counts, "failed": failed}, said)


def _data_describe(arguments: argparse.Namespace) -> None:
    from msa_jax.data import find_leaks, load_dataset
    from msa_jax.data.describe import card_text, describe, leaks_text

    dataset = load_dataset(arguments.path)
    content, page = describe(dataset), card_text(dataset)
    if arguments.leaks:
        leaks = find_leaks(dataset)
        content, page = {**content, "leaks": leaks.to_json()}, f"{page}\n\n{leaks_text(leaks)}"
    _print(arguments, content, page)


def _methods(arguments: argparse.Namespace) -> None:
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
        _print(arguments, listed, "\n".join(lines))
        return
    methods.get(arguments.method)  # before JAX is imported
    from msa_jax.report.method_page import method_page

    page = method_page(arguments.method, preset=arguments.preset)
    _print(arguments, page.json(), page.markdown() if arguments.markdown else page.text())


def _options_help(method: str, preset: str | None) -> str:
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


_COMMANDS = {
    "train": _train,
    "resume": _resume,
    "sweep": _sweep,
    "evaluate": _evaluate,
    "errors": _errors,
    "predict": _predict,
    "plot": _plot,
    "report": _report,
    "app": _app,
    "export": _export,
    "clean": _clean,
    "compare": _compare,
    "robustness": _robustness,
    "reproduce": _reproduce,
    "leaderboard": _leaderboard,
    "data check": _data_check,
    "data import": _data_import,
    "data synthetic": _data_synthetic,
    "data extract": _data_extract,
    "data describe": _data_describe,
    "methods": _methods,
}
