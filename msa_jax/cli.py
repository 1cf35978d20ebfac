"""The `msa-jax` command: arguments in, one line out for every error. The work is done elsewhere."""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msa_jax.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Returns 0, or 2 where the input is wrong; 130 after Ctrl-C. Ends with 3 where a process was lost."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.showwarning = _one_line_warning
    try:
        parser = _parser()
        known, rest = parser.parse_known_args(arguments)
        if rest and not hasattr(known, "options"):
            raise InputError(f"unknown argument {rest[0]}")
        if hasattr(known, "options"):
            known.options = _options(rest)
        known.run(known)
    except InputError as error:
        print(f"msa-jax: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `msa-jax ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"msa-jax: {error.filename or 'file system'}: {error.strerror or error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        _end_if_alone(error)
        raise
    except KeyboardInterrupt:
        print("msa-jax: interrupted; the same command resumes from the last checkpoint", file=sys.stderr)
        return 130
    return 0


def _end_if_alone(error: RuntimeError) -> None:
    """Ends this process at once where another one that it trained with is gone: nothing waits for that one then."""
    from msa_jax.train import processes

    message = processes.loss_of(error)
    if message is not None:
        print(f"msa-jax: {message}", file=sys.stderr, flush=True)
        os._exit(3)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise InputError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="msa-jax", description="Multimodal sentiment analysis in JAX.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    def command(name: str, run: Any, about: str, group: Any = commands, **extra: Any) -> argparse.ArgumentParser:
        made = group.add_parser(name, help=about, description=about, allow_abbrev=False, **extra)
        made.set_defaults(run=run)
        made.add_argument("--json", action="store_true", help="machine-readable output")
        return made

    train = command(
        "train", _train, "train a method, or resume an unfinished experiment",
        epilog="Any option of the method may follow as --name value, e.g. --batch-size 16 --learning-rate.text 2e-5; "
        "`msa-jax methods METHOD` lists them.",
    )  # fmt: skip
    train.add_argument("method", metavar="METHOD")
    train.add_argument("--data", required=True, metavar="D", help="native folder, MMSA .pkl, TFDS name, or synthetic")
    train.add_argument("--preset", help="options by name (see `msa-jax methods`) or file; none for no preset")
    train.add_argument("--protocol", choices=("paper", "reference"), help="published equations, or the authors' code")
    train.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="one run each; default 1111 to 1115")
    train.add_argument("--out", type=Path, metavar="DIR", help="default runs/METHOD-DATASET")
    train.add_argument("--overwrite", action="store_true", help="replace an experiment that is there")
    train.add_argument("--record-labels", action="store_true", help="keep the unimodal labels of every epoch")
    train.add_argument("--quiet", action="store_true", help="no progress")
    several = train.add_argument_group("several processes, each started with the same command")
    several.add_argument(
        "--distributed", action="store_true", help="join the others, which SLURM, GKE, Open MPI or Cloud TPU tell of"
    )
    several.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0, where nothing else tells of it")
    several.add_argument("--processes", type=int, metavar="N", help="how many there are")
    several.add_argument("--process", type=int, metavar="I", help="the number of this one, from 0")
    train.set_defaults(options={})

    sweep = command(
        "sweep", _sweep, "train many points of options and rank them on valid, or resume an unfinished sweep",
        epilog="Options that are the same in all points may follow as --name value.",
    )  # fmt: skip
    sweep.add_argument("method", metavar="METHOD")
    sweep.add_argument("--data", required=True, metavar="D")
    sweep.add_argument(
        "--grid",
        nargs="+",
        default=[],
        metavar="OPTION=A,B,...",
        help="values (of a list: A/B), or a grid of a paper by name",
    )
    sweep.add_argument(
        "--draw", nargs="+", default=[], metavar="OPTION=LOW:HIGH[:log]", help="ranges to draw values from"
    )
    sweep.add_argument(
        "--points", type=int, metavar="N", help="draw N points from grid and ranges; default the whole grid"
    )
    sweep.add_argument("--draw-seed", type=int, default=0, metavar="SEED", help="of the draws; default 0")
    sweep.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="runs of each point; default 1111")
    sweep.add_argument("--rank-by", default="MAE", metavar="METRIC", help="on valid; default MAE")
    sweep.add_argument("--preset", help="options by name or file, which the points change; none for no preset")
    sweep.add_argument("--protocol", choices=("paper", "reference"), help="published equations, or the authors' code")
    sweep.add_argument("--out", type=Path, metavar="DIR", help="default runs/sweep-METHOD-DATASET")
    sweep.add_argument("--overwrite", action="store_true", help="replace a sweep that is there")
    sweep.add_argument("--quiet", action="store_true", help="no progress")
    sweep.set_defaults(options={})

    evaluate = command("evaluate", _evaluate, "score a finished experiment again")
    evaluate.add_argument("folder", type=Path, metavar="DIR")
    evaluate.add_argument("--data", metavar="D", help="default: the dataset it was trained on")
    evaluate.add_argument("--split", choices=("train", "valid", "test"), default="test")

    predict = command("predict", _predict, "per-sample scores with ids, all heads, as CSV")
    predict.add_argument("folder", type=Path, metavar="DIR")
    predict.add_argument("--data", required=True, metavar="D")
    predict.add_argument("--split", choices=("train", "valid", "test"), default="test")
    predict.add_argument("--out", required=True, type=Path, metavar="FILE.csv")
    predict.add_argument(
        "--arrays", type=Path, metavar="FILE.npz", help="also write what else the method shows: gates, representations"
    )

    compare = command("compare", _compare, "a table of experiments: mean ± sd, paired differences")
    compare.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    compare.add_argument("--split", choices=("valid", "test"), default="test")
    compare.add_argument("--format", choices=("text", "markdown", "latex", "json"), default="text")

    reproduce = command(
        "reproduce", _reproduce, "a table or figure of a paper: run what is missing, render",
        epilog="Options of the method may follow as --name value; they hold for every variant.",
    )  # fmt: skip
    reproduce.add_argument("study", nargs="?", metavar="STUDY", help="e.g. self_mm.table4")
    reproduce.add_argument("--list", action="store_true", help="list all studies")
    reproduce.add_argument("--data", metavar="D")
    reproduce.add_argument(
        "--preset",
        help="for the variants of its method, by name or file; several, of different methods, with commas; none for none",
    )
    reproduce.add_argument(
        "--protocol", choices=("paper", "reference"), help="published equations, or the authors' code"
    )
    reproduce.add_argument("--seeds", nargs="+", type=int, metavar="SEED")
    reproduce.add_argument("--out", type=Path, metavar="DIR", help="default runs/STUDY-DATASET")
    reproduce.add_argument("--quiet", action="store_true", help="no progress")
    reproduce.set_defaults(options={})

    data = commands.add_parser("data", help="check, convert, make or describe a dataset", allow_abbrev=False)
    kinds = data.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    check = command("check", _data_check, "validate a dataset", group=kinds)
    check.add_argument("path", metavar="PATH")
    bring = command("import", _data_import, "convert a dataset into a native folder", group=kinds)
    bring.add_argument("path", metavar="PATH")
    bring.add_argument("--out", required=True, type=Path, metavar="DIR")
    bring.add_argument("--name", help="dataset kind where the file does not tell: mosi, mosei, sims")
    make = command("synthetic", _data_synthetic, "make the synthetic dataset", group=kinds)
    make.add_argument("--out", required=True, type=Path, metavar="DIR")
    for name, number in (("seed", 0), ("train", 512), ("valid", 128), ("test", 256)):
        make.add_argument(f"--{name}", type=int, default=number, metavar="N")
    make.add_argument("--mosi-shapes", action="store_true", help="audio up to 375 steps, vision up to 500")
    describe = command("describe", _data_describe, "show a dataset's card", group=kinds)
    describe.add_argument("path", metavar="D")

    listing = command("methods", _methods, "what there is: methods, or the options of one")
    listing.add_argument("method", nargs="?", metavar="METHOD")
    return parser


def _options(words: Sequence[str]) -> dict[str, str]:
    """`--batch-size 16 --learning-rate.text=2e-5` as names and values."""
    options: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise InputError(f"unexpected argument {word!r}")
        name, equals, value = word[2:].partition("=")
        if not equals:
            if not rest or (rest[0].startswith("--") and len(rest[0]) > 2):
                raise InputError(f"option --{name} needs a value")
            value = rest.pop(0)
        name = name.replace("-", "_")
        if name in options:
            raise InputError(f"option --{name.replace('_', '-')} is given twice")
        options[name] = value
    return options


def _version() -> str:
    from msa_jax import __version__

    return f"msa-jax {__version__}"


def _one_line_warning(message: Any, category: type, filename: str, lineno: int, *rest: Any) -> None:
    print(f"msa-jax: warning: {' '.join(str(message).split())}", file=sys.stderr)


def _print(arguments: argparse.Namespace, content: Any, text: str) -> None:
    print(json.dumps(content, indent=1) if arguments.json else text)


# -- commands ---------------------------------------------------------------------------------------------------------


def _train(arguments: argparse.Namespace) -> None:
    from msa_jax.report.compare import compare
    from msa_jax.train import processes
    from msa_jax.train.experiment import SEEDS, train

    address = arguments.coordinator, arguments.processes, arguments.process
    if arguments.distributed:
        processes.join(*address)
    elif address != (None, None, None):
        raise InputError("--coordinator, --processes and --process need --distributed")
    experiment = train(
        arguments.method,
        arguments.data,
        seeds=arguments.seeds or SEEDS,
        out=arguments.out,
        preset=arguments.preset,
        protocol=arguments.protocol,
        overwrite=arguments.overwrite,
        record_labels=arguments.record_labels,
        log=None if arguments.quiet else sys.stderr,
        options=arguments.options,
    )
    if not processes.writes():
        return
    if arguments.json:
        print((experiment.path / "result.json").read_text(encoding="utf-8"), end="")
    else:
        print(compare([experiment.path]).text())


def _sweep(arguments: argparse.Namespace) -> None:
    from msa_jax import methods
    from msa_jax.report import figures
    from msa_jax.report.sweep import figure, table
    from msa_jax.train.folder import read_json
    from msa_jax.train.points import parse_draws, parse_grid
    from msa_jax.train.sweep import SEEDS, sweep

    options = methods.get(arguments.method).options()
    done = sweep(
        arguments.method,
        arguments.data,
        grid=parse_grid(arguments.grid, options),
        draws=parse_draws(arguments.draw, options),
        points=arguments.points,
        draw_seed=arguments.draw_seed,
        seeds=arguments.seeds or SEEDS,
        rank_by=arguments.rank_by,
        out=arguments.out,
        preset=arguments.preset,
        protocol=arguments.protocol,
        overwrite=arguments.overwrite,
        log=None if arguments.quiet else sys.stderr,
        options=arguments.options,
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


def _predict(arguments: argparse.Namespace) -> None:
    from msa_jax.data import load_dataset
    from msa_jax.train.experiment import predictions_csv
    from msa_jax.train.folder import write_arrays, write_text
    from msa_jax.train.predictor import Predictor

    predictor = Predictor.load(arguments.folder)
    split = load_dataset(arguments.data).splits()[arguments.split]
    found = predictor.predict_runs(split, exports=arguments.arrays is not None)
    heads = predictor.method.heads
    runs = {str(seed): {name: named[name] for name in heads if name in named} for seed, named in found.items()}
    content = {"file": str(arguments.out), "rows": len(split), "runs": list(runs)}
    if arguments.arrays is not None:
        arrays = {
            f"{seed}/{name}": value
            for seed, named in found.items()
            for name, value in named.items()
            if name not in heads
        }
        write_arrays(arguments.arrays, {"id": split.id, "label": split.label, **arrays})
        content["arrays"] = str(arguments.arrays)
    write_text(arguments.out, predictions_csv(split.id, split.label, runs))
    _print(arguments, content, f"{arguments.out}: {len(split)} rows, runs {', '.join(runs)}")


def _compare(arguments: argparse.Namespace) -> None:
    from msa_jax.report.compare import compare

    comparison = compare(arguments.folders, split=arguments.split)
    form = "json" if arguments.json else arguments.format
    if form == "json":
        content = comparison.json()
        print(content if isinstance(content, str) else json.dumps(content, indent=1))
    else:
        print(getattr(comparison, form)())


def _reproduce(arguments: argparse.Namespace) -> None:
    from msa_jax.report.studies import list_studies, reproduce

    if arguments.list:
        studies = list_studies()
        text = "\n".join(f"{study.name:18s} {study.title}" for study in studies)
        _print(arguments, [{"name": study.name, "title": study.title} for study in studies], text)
        return
    if arguments.study is None or arguments.data is None:
        raise InputError("reproduce needs a STUDY and --data D; `msa-jax reproduce --list` shows the studies")
    rendering = reproduce(
        arguments.study,
        arguments.data,
        seeds=arguments.seeds,
        out=arguments.out,
        preset=arguments.preset,
        protocol=arguments.protocol,
        log=None if arguments.quiet else sys.stderr,
        options=arguments.options,
    )
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
    from msa_jax.data import load_dataset, read_mmsa, write_native

    named = arguments.name and Path(arguments.path).suffix in (".pkl", ".pickle")
    dataset = read_mmsa(arguments.path, name=arguments.name) if named else load_dataset(arguments.path)
    write_native(dataset, arguments.out)
    _print(arguments, {"folder": str(arguments.out)}, f"{arguments.out}: written")


def _data_synthetic(arguments: argparse.Namespace) -> None:
    from msa_jax.data import make_synthetic, write_native

    shapes = {"audio_steps": 375, "vision_steps": 500} if arguments.mosi_shapes else {}
    sizes = {name: getattr(arguments, name) for name in ("seed", "train", "valid", "test")}
    write_native(make_synthetic(**sizes, **shapes), arguments.out)
    _print(arguments, {"folder": str(arguments.out)}, f"{arguments.out}: written")


def _data_describe(arguments: argparse.Namespace) -> None:
    from msa_jax.data import load_dataset
    from msa_jax.data.describe import card_text, describe

    dataset = load_dataset(arguments.path)
    _print(arguments, describe(dataset), card_text(dataset))


def _methods(arguments: argparse.Namespace) -> None:
    from msa_jax import config, methods

    if arguments.method is None:
        listed = [
            {"name": name, "paper": method.paper, "presets": [p for p in config.preset_names() if p.startswith(name)]}
            for name, method in methods.METHODS.items()
        ]
        lines = [
            f"{one['name']:12s} {one['paper']}\n{'':12s} presets: {', '.join(one['presets']) or '-'}" for one in listed
        ]
        _print(arguments, listed, "\n".join(lines))
        return
    method = methods.get(arguments.method)
    paper = config.to_json(method.options())
    reference = config.to_json(config.override(method.options(), method.reference))
    text = [f"{method.name}: {method.paper}", "", f"{'option':28s} {'paper':>14s} {'reference':>14s}"]
    text += [f"{name:28s} {value!s:>14s} {reference[name]!s:>14s}" for name, value in paper.items()]
    _print(arguments, {"name": method.name, "paper": paper, "reference": reference}, "\n".join(text))
