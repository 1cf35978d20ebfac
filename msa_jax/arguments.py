"""The words of a `msa-jax` line: which there are, what they mean, and what is wrong with them.

This module imports nothing but the standard library, so that help and error messages come at once.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from msa_jax.errors import InputError
from msa_jax.paths import user_path

OptionsHelp = Callable[[str, str | None], str]

_FACE_MODEL = "of Google's face landmarker; default: MSA_JAX_FACE_MODEL, or fetched once"
_ASR = "a Whisper model for faster-whisper hears the words"


def parse(words: Sequence[str] | None = None, *, options_help: OptionsHelp | None = None) -> argparse.Namespace:
    """The arguments of a line, by default those of the process; `command` is the command's name, e.g. "data check".

    A command that trains also has `options`: names and values of the method's options, which are strings and not checked.

    Args:
      words: of the line.
      options_help: (method, preset) -> what the help of a line with a METHOD says of its options.

    Raises:
      InputError: the line is wrong. SystemExit: help or the version was asked for, and has been printed.
    """
    known, rest = parser(options_help).parse_known_args(words)
    trains = hasattr(known, "options")
    if rest and not trains:
        raise InputError(f"unknown argument {rest[0]}")
    if trains:
        known.options = _options(rest)
    return known


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


def _path(word: str) -> Path:
    try:
        return user_path(word)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _names(word: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in word.split(","))


class _Version(argparse.Action):
    """Unlike the action "version" of argparse it looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *arguments: Any, **named: Any) -> NoReturn:
        from msa_jax import __version__

        sys.stdout.write(f"msa-jax {__version__}\n")
        parser.exit()


def _help_of(options_help: OptionsHelp | None) -> type[argparse.Action]:
    """The action of --help of a command with a METHOD: what argparse shows, and then the method's options if it is named."""

    class Help(argparse.Action):
        def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *rest: Any) -> NoReturn:
            parser.print_help()
            if namespace.method is not None and options_help is not None:
                sys.stdout.write(f"\n{options_help(namespace.method, namespace.preset)}\n")
            parser.exit()

    return Help


def parser(options_help: OptionsHelp | None = None) -> argparse.ArgumentParser:
    """What reads a line, with all commands; `options_help` as of `parse`."""
    made = _Parser(prog="msa-jax", description="Multimodal sentiment analysis in JAX.", allow_abbrev=False)
    made.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = made.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    def command(name: str, about: str, group: Any = commands, **extra: Any) -> argparse.ArgumentParser:
        made = group.add_parser(name.split()[-1], help=about, description=about, allow_abbrev=False, **extra)
        made.set_defaults(command=name)
        made.add_argument("--json", action="store_true", help="machine-readable output")
        return made

    def command_of_method(name: str, about: str, **extra: Any) -> argparse.ArgumentParser:
        made = command(name, about, add_help=False, **extra)
        shows = "show this help; behind a METHOD its options, too"
        made.add_argument("-h", "--help", action=_help_of(options_help), nargs=0, help=shows)
        made.add_argument("method", metavar="METHOD")
        return made

    train = command_of_method(
        "train", "train a method, or resume an unfinished experiment",
        epilog="Any option of the method may follow as --name value, e.g. --batch-size 16 --learning-rate.text 2e-5; "
        "`msa-jax train METHOD --help` lists them.",
    )  # fmt: skip
    train.add_argument(
        "--data", required=True, metavar="D", help="native folder, .pkl of MMSA or MulT, table, TFDS name, or synthetic"
    )
    _add_training(
        train,
        preset="options by name (see `msa-jax methods`) or file; none for no preset",
        seeds="one run each; default 1111 to 1115",
        out="default runs/METHOD-DATASET",
    )
    train.add_argument("--overwrite", action="store_true", help="replace an experiment that is there")
    train.add_argument("--record-labels", action="store_true", help="keep the unimodal labels of every epoch")
    keep = "keep the last state of every run, from which `msa-jax resume` goes on to more epochs"
    train.add_argument("--keep-state", action="store_true", help=keep)
    train.add_argument("--with-text", action="store_true", help="write the text beside the scores in predictions/*.csv")
    logs = "besides metrics.jsonl: csv, tensorboard, wandb, with commas, or none; default csv, and tensorboard if installed"
    train.add_argument("--log", type=_names, metavar="NAMES", help=logs)
    _add_several(train)

    resume = command("resume", "go on with an experiment: an unfinished one to its end, a finished one to more epochs")
    resume.add_argument("folder", type=_path, metavar="DIR")
    resume.add_argument("--max-epochs", type=int, metavar="N", help="more epochs than a finished one had")
    resume.add_argument("--data", metavar="D", help="where the dataset is now; default where it was")
    share = "devices that share each mini-batch now; default as many as did, or all there are if these are fewer"
    resume.add_argument("--data-devices", type=int, metavar="N", help=share)
    resume.add_argument("--runs-per-program", type=int, metavar="N", help="runs side by side; others may begin again")
    resume.add_argument("--remat", choices=("true", "false"), help="compute BERT's layers twice: needs less memory")
    resume.add_argument("--resident", choices=("auto", "yes", "no"), help="dataset on the device; no needs less memory")
    resume.add_argument("--keep-state", action="store_true", help=keep)
    resume.add_argument("--log", type=_names, metavar="NAMES", help=logs)
    resume.add_argument("--quiet", action="store_true", help="no progress")
    _add_several(resume)

    sweep = command_of_method(
        "sweep", "train many points of options and rank them on valid, or resume an unfinished sweep",
        epilog="Options that are the same in all points may follow as --name value.",
    )  # fmt: skip
    sweep.add_argument("--data", required=True, metavar="D")
    values, ranges = "values to combine (of a list: A/B), or a grid of a paper by name", "ranges to draw values from"
    sweep.add_argument("--grid", nargs="+", default=[], metavar="OPTION=A,B,...", help=values)
    sweep.add_argument("--draw", nargs="+", default=[], metavar="OPTION=LOW:HIGH[:log]", help=ranges)
    points = "draw N points from grid and ranges; default the whole grid"
    sweep.add_argument("--points", type=int, metavar="N", help=points)
    sweep.add_argument("--draw-seed", type=int, default=0, metavar="SEED", help="seed of the draws; default 0")
    sweep.add_argument("--rank-by", default="MAE", metavar="METRIC", help="on valid; default MAE")
    prune = "give up runs whose best score on valid is worse than the median of the others' at that epoch; default 5:5"
    sweep.add_argument("--prune", nargs="?", const="", metavar="EPOCHS:RUNS", help=prune)
    _add_training(
        sweep,
        preset="options by name or file, which the points change; none for no preset",
        seeds="runs of each point; default 1111",
        out="default runs/sweep-METHOD-DATASET",
    )
    sweep.add_argument("--overwrite", action="store_true", help="replace a sweep that is there")

    evaluate = command("evaluate", "score a finished experiment again")
    evaluate.add_argument("folder", type=_path, metavar="DIR")
    evaluate.add_argument("--data", metavar="D", help="default: the dataset it was trained on")
    evaluate.add_argument("--split", choices=("train", "valid", "test"), default="test")

    errors = command("errors", "samples with text, label, scores and error, the worst first")
    errors.add_argument("folder", type=_path, metavar="DIR")
    errors.add_argument("--data", metavar="D", help="default: the dataset it was trained on")
    errors.add_argument("--split", choices=("train", "valid", "test"), default="test")
    order = "label, score: the lowest first"
    errors.add_argument("--sort", choices=("error", "label", "score"), default="error", help=order)
    errors.add_argument(
        "--top", type=int, metavar="N", help="number of samples; default 20 as text, all as csv or json"
    )
    errors.add_argument("--format", choices=("text", "csv", "json"), default="text")

    predict = command("predict", "per-sample scores with ids, all heads, as CSV")
    predict.add_argument("folder", type=_path, metavar="DIR")
    predict.add_argument("--data", metavar="D", help="one split is enough; ids, labels and lengths may be left out")
    predict.add_argument("--split", choices=("train", "valid", "test"), help="default test, or the only one there is")
    predict.add_argument("--texts", type=_path, metavar="FILE", help="new texts, one a line; - is standard input")
    predict.add_argument("--text", action="append", default=[], help="a new text, or what a clip says; may be repeated")
    clips = "video clips of your own, or folders of them, for an experiment on a dataset of `msa-jax data extract`"
    predict.add_argument("--clip", nargs="+", action="extend", default=[], type=_path, metavar="FILE", help=clips)
    parts = "score parts of each clip of this length, which begin every --step seconds (default: half of it)"
    predict.add_argument("--window", type=float, metavar="SECONDS", help=parts)
    predict.add_argument("--step", type=float, metavar="SECONDS")
    _add_clip_tools(predict)
    absent = "modalities of training that are absent, e.g. audio,vision: zeros in aligned data; scores may be worse"
    predict.add_argument("--missing", type=_names, default=(), metavar="MODALITIES", help=absent)
    predict.add_argument("--out", type=_path, metavar="FILE.csv", help="default standard output")
    predict.add_argument("--with-text", action="store_true", help="write the text beside the scores")
    predict.add_argument(
        "--arrays", type=_path, metavar="FILE.npz", help="also write what else the method shows: gates, representations"
    )

    plot = command("plot", "draw the curves of an experiment over its epochs, finished or not")
    plot.add_argument("folder", type=_path, metavar="DIR")
    plot.add_argument("--out", type=_path, metavar="FILE", help=".png, .svg or .pdf; default DIR/curves.png")

    page = command("report", "write one HTML page on a finished experiment: scores, curves, errors, options")
    page.add_argument("folder", type=_path, metavar="DIR")
    page.add_argument("--out", type=_path, metavar="FILE.html", help="default DIR/report.html")
    page.add_argument("--data", metavar="D", help="for texts and lengths; default: the dataset it was trained on")
    page.add_argument("--split", choices=("valid", "test"), default="test")

    app = command("app", "open a page for the browser: scores of clips and texts, samples with errors, experiments")
    app.add_argument("folders", nargs="+", type=_path, metavar="RUN")
    app.add_argument("--port", type=int, default=8321, metavar="P", help="default 8321; 0 for any that is free")
    host = "the address to listen at; default 127.0.0.1, which other machines cannot reach"
    app.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help=host)
    app.add_argument("--clips", type=_path, metavar="DIR", help="clips in this folder may be chosen by their path")
    app.add_argument("--data", metavar="D", help="for the samples; default: what each was trained on")
    app.add_argument("--face-model", type=_path, metavar="FILE", help=_FACE_MODEL)
    app.add_argument("--asr", type=_path, metavar="FOLDER", help=_ASR)
    largest = "largest clip that is taken, in MB; default 200"
    app.add_argument("--max-upload", type=float, default=200.0, metavar="MB", help=largest)

    export = command("export", "write a small folder to share: parameters, what predictions need, scores, a model card")
    export.add_argument("folder", type=_path, metavar="RUN")
    export.add_argument("--out", required=True, type=_path, metavar="FOLDER", help="not there yet, or empty")
    export.add_argument("--seeds", "--seed", nargs="+", type=int, metavar="SEED", help="runs to export; default all")
    named = "of the parameters, for the model card, e.g. mit or cc-by-nc-4.0"
    export.add_argument("--license", metavar="NAME", help=named)

    clean = command("clean", "drop checkpoints that evaluate, predict and errors do not need, of finished experiments")
    clean.add_argument("folders", nargs="+", type=_path, metavar="RUN")
    sure = clean.add_mutually_exclusive_group(required=True)
    sure.add_argument(
        "--dry-run", action="store_true", help="say what would be dropped, and what you could not do then"
    )
    sure.add_argument("--yes", action="store_true", help="drop it")

    compare = command("compare", "a table of experiments: mean ± sd, paired differences")
    compare.add_argument("folders", nargs="+", type=_path, metavar="DIR")
    compare.add_argument("--split", choices=("valid", "test"), default="test")
    compare.add_argument("--format", choices=("text", "markdown", "latex", "json"), default="text")

    robustness = command("robustness", "scores where modalities, steps or words are missing or noisy, over rates")
    robustness.add_argument("folders", nargs="+", type=_path, metavar="RUN")
    what = "steps, blocks, modalities, silence, subsets, silent_subsets, T, A, V, TA, TV, AV, noise or words; default steps"
    robustness.add_argument("--protocol", default="steps", metavar="NAME", help=what)
    robustness.add_argument("--rates", nargs="+", type=float, metavar="R", help="in [0, 1]; default 0 0.1 ... 1")
    robustness.add_argument("--mask-seeds", nargs="+", type=int, default=(0, 1, 2), metavar="N", help="default 0 1 2")
    robustness.add_argument("--data", metavar="D", help="default: what each was trained on")
    robustness.add_argument("--split", choices=("train", "valid", "test"), default="test")
    robustness.add_argument(
        "--out", type=_path, required=True, metavar="DIR", help="JSON, tables and a figure go there"
    )

    reproduce = command(
        "reproduce", "a table or figure of a paper: run what is missing, render",
        epilog="Options of the method may follow as --name value; they hold for every variant.",
    )  # fmt: skip
    reproduce.add_argument("study", nargs="?", metavar="STUDY", help="e.g. self_mm.table4")
    reproduce.add_argument("--list", action="store_true", help="list all studies")
    reproduce.add_argument("--data", metavar="D")
    some = "run these rows of the table alone, e.g. 'MMCL' 'w/o L_uni'; default all"
    reproduce.add_argument("--variants", nargs="+", metavar="NAME", help=some)
    _add_training(
        reproduce,
        preset="for the variants of its method, by name or file; several, of different methods, with commas; `none`: no preset",
        seeds="runs of each variant; default 1111 to 1115",
        out="default runs/STUDY-DATASET",
    )

    leaderboard = command(
        "leaderboard", "the whole field on one dataset: train what is missing, one page",
        epilog="Options of the methods may follow as --name value; each holds for every method that has it.",
    )  # fmt: skip
    leaderboard.add_argument("--data", required=True, metavar="D")
    leaderboard.add_argument("--methods", nargs="+", metavar="METHOD", help="default all (see `msa-jax methods`)")
    _add_training(
        leaderboard,
        preset="for its method, by name or file; several, of different methods, with commas; `none`: no preset",
        seeds="runs of each method; default 1111 to 1115",
        out="default runs/leaderboard-DATASET",
    )

    data = commands.add_parser("data", help="check, convert, make or describe a dataset", allow_abbrev=False)
    kinds = data.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    check = command("data check", "validate a dataset", group=kinds)
    check.add_argument("path", metavar="PATH")
    bring = command("data import", "convert a dataset into a native folder", group=kinds)
    bring.add_argument("path", metavar="PATH")
    bring.add_argument("--out", required=True, type=_path, metavar="DIR")
    _add_identity(bring)
    bring.add_argument(
        "--split-seed",
        type=int,
        metavar="N",
        help="seed of the splits that a table without them gets; default 0",
    )
    make = command("data synthetic", "make the synthetic dataset", group=kinds)
    make.add_argument("--out", required=True, type=_path, metavar="DIR")
    for name, number in (("seed", 0), ("train", 512), ("valid", 128), ("test", 256)):
        make.add_argument(f"--{name}", type=int, default=number, metavar="N")
    make.add_argument("--mosi-shapes", action="store_true", help="audio up to 375 steps, vision up to 500")
    _add_extract(command("data extract", "make a dataset of video clips and a table of labels", group=kinds))
    describe = command("data describe", "show a dataset's card", group=kinds)
    describe.add_argument("path", metavar="D")
    describe.add_argument("--leaks", action="store_true", help="look for features that contain the labels of train")

    listing = command("methods", "what there is: methods, or the options of one with their meaning")
    listing.add_argument("method", nargs="?", metavar="METHOD")
    listing.add_argument("--preset", metavar="P", help="show what this preset sets")
    listing.add_argument("--markdown", action="store_true", help="tables in Markdown")
    return made


def _add_extract(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "raw", type=_path, metavar="RAW", help="a folder with label.csv or meta.csv, or a table with paths"
    )
    parser.add_argument("--out", required=True, type=_path, metavar="DIR", help="the dataset")
    parser.add_argument("--labels", type=_path, metavar="FILE", help="the table, if it has another name or place")
    parser.add_argument("--audio", choices=("speech-v1", "egemaps-v02", "none"), help="default speech-v1")
    parser.add_argument("--vision", choices=("face-v1", "face-landmarks-v1", "none"), help="default face-v1")
    parser.add_argument(
        "--audio-rate", type=float, metavar="HZ", help="frames a second, made as means of several frames"
    )
    _add_clip_tools(parser)
    help = "one frame for each token, the mean over its word; needs words with times"
    parser.add_argument("--align", choices=("words",), help=help)
    help = "whose tokens these are, as in training; default scratch"
    parser.add_argument("--text-encoder", metavar="E", help=help)
    help = "most tokens of a text, as in training; default 50"
    parser.add_argument("--max-tokens", type=int, metavar="N", help=help)
    parser.add_argument("--skip-bad", action="store_true", help="leave bad clips out; failed.csv says why")
    parser.add_argument("--allow-silent", action="store_true", help="take clips without sound")
    parser.add_argument("--allow-faceless", action="store_true", help="take clips without a face")
    parser.add_argument("--max-seconds", type=float, default=60.0, metavar="S", help="of a clip; default 60")
    seed = "of the split by video, if the table has no column mode; default 0"
    parser.add_argument("--split-seed", type=int, metavar="N", help=seed)
    parser.add_argument("--workers", type=int, metavar="N", help="processes; default one for each core")
    parser.add_argument(
        "--cache", type=_path, metavar="DIR", help="folder for extracted features; default in the user's cache"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")
    _add_identity(parser)


def _add_identity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="name of the dataset; mosi, mosei and sims set the options below")
    parser.add_argument("--language", metavar="L", help="en, zh, ...")
    parser.add_argument("--label-range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="lowest and highest label")
    parser.add_argument(
        "--metrics", choices=("mosi", "mosei", "sims", "regression"), help="regression: any label range"
    )


def _add_clip_tools(parser: argparse.ArgumentParser) -> None:
    """Where features and words of clips come from besides the clips."""
    parser.add_argument("--face-model", type=_path, metavar="FILE", help=_FACE_MODEL)
    parser.add_argument(
        "--openface", type=_path, metavar="DIR", help="CSVs of OpenFace, instead of own vision features"
    )
    parser.add_argument(
        "--opensmile", type=_path, metavar="DIR", help="CSVs of openSMILE, instead of own audio features"
    )
    parser.add_argument("--asr", type=_path, metavar="FOLDER", help=_ASR)


def _add_training(parser: argparse.ArgumentParser, *, preset: str, seeds: str, out: str) -> None:
    """What every command that trains understands, with the help of the arguments that mean something else in each."""
    parser.add_argument("--preset", help=preset)
    parser.add_argument("--protocol", choices=("paper", "reference"), help="published equations, or the authors' code")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help=seeds)
    parser.add_argument("--out", type=_path, metavar="DIR", help=out)
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(options={})  # the other words of the line


def _add_several(parser: argparse.ArgumentParser) -> None:
    """How a process finds the others that it trains with."""
    several = parser.add_argument_group("several processes, each started with the same command")
    join = "join the other processes; SLURM, GKE, Open MPI and Cloud TPU announce them"
    several.add_argument("--distributed", action="store_true", help=join)
    first = "address of process 0, if nothing else announces it"
    several.add_argument("--coordinator", metavar="HOST:PORT", help=first)
    several.add_argument("--processes", type=int, metavar="N", help="number of processes")
    several.add_argument("--process", type=int, metavar="I", help="number of this process, from 0")


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
