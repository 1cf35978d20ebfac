"""Commands that score with an experiment: evaluate, errors, predict, robustness."""

import argparse
import json
from typing import Any

from msa_jax.commands.shared import print_result
from msa_jax.errors import InputError

_NO_CSV = (".xlsx", ".xls", ".ods", ".parquet")


def evaluate_command(arguments: argparse.Namespace) -> None:
    """`msa-jax evaluate`."""
    from msa_jax.report.evaluation import evaluate

    evaluation = evaluate(arguments.folder, data=arguments.data, split=arguments.split)
    print_result(arguments, evaluation.json(), evaluation.text())


def errors_command(arguments: argparse.Namespace) -> None:
    """`msa-jax errors`."""
    from msa_jax.report.errors import TOP, errors

    form = "json" if arguments.json else arguments.format
    top = TOP if arguments.top is None and form == "text" else arguments.top
    found = errors(arguments.folder, data=arguments.data, split=arguments.split, sort=arguments.sort, top=top)
    if form == "csv":
        print(found.csv(), end="")
    else:
        print(json.dumps(found.json(), indent=1) if form == "json" else found.text())


def predict_command(arguments: argparse.Namespace) -> None:
    """`msa-jax predict`."""
    from msa_jax.report.prediction import check_outputs, predict
    from msa_jax.train.atomic import write_arrays, write_text

    if arguments.out is not None and arguments.out.suffix.lower() in _NO_CSV:
        raise InputError(
            f"{arguments.out}: scores are written as CSV, which spreadsheets read, too; expected a name in .csv"
        )
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
        print_result(arguments, {**content, "predictions": done.rows()}, done.csv().removesuffix("\n"))
        return
    write_text(arguments.out, done.csv())
    said = f"{arguments.out}: {len(done.split)} samples, runs {', '.join(done.runs)}"
    print_result(arguments, {"file": str(arguments.out), **content}, said)


def robustness_command(arguments: argparse.Namespace) -> None:
    """`msa-jax robustness`."""
    from msa_jax.report import robustness

    robustness.check_folder(arguments.out)
    named = {name: getattr(arguments, name) for name in ("protocol", "rates", "mask_seeds", "data", "split")}
    found = robustness.robustness(arguments.folders, **named)
    print_result(arguments, found.json(), f"{robustness.write(found, arguments.out)}\n\n{found.text()}")
