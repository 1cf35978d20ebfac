"""Commands on datasets: check, import, synthetic, extract, describe."""

import argparse
import sys
from typing import Any

from msa_jax.commands.shared import print_result


def data_check_command(arguments: argparse.Namespace) -> None:
    """`msa-jax data check`."""
    from msa_jax.data import load_dataset

    dataset = load_dataset(arguments.path)
    counts = {name: len(split) for name, split in dataset.splits().items()}
    print_result(
        arguments,
        {"name": dataset.card.name, "counts": counts, "valid": True},
        f"{dataset.source}: valid; {', '.join(f'{name} {count}' for name, count in counts.items())}",
    )


def data_import_command(arguments: argparse.Namespace) -> None:
    """`msa-jax data import`."""
    from msa_jax.data import load_dataset, write_native

    words = {key: getattr(arguments, key) for key in ("name", "language", "label_range", "metrics", "split_seed")}
    dataset = load_dataset(arguments.path, **words)
    write_native(dataset, arguments.out)
    print_result(arguments, {"folder": str(arguments.out)}, f"{arguments.out}: written")


def data_synthetic_command(arguments: argparse.Namespace) -> None:
    """`msa-jax data synthetic`."""
    from msa_jax.data import make_synthetic, write_native

    numbers: dict[str, Any] = {name: getattr(arguments, name) for name in ("seed", "train", "valid", "test")}
    if arguments.mosi_shapes:
        numbers |= {"audio_steps": 375, "vision_steps": 500}
    write_native(make_synthetic(**numbers), arguments.out)
    print_result(arguments, {"folder": str(arguments.out)}, f"{arguments.out}: written")


def data_extract_command(arguments: argparse.Namespace) -> None:
    """`msa-jax data extract`."""
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
    print_result(arguments, {"folder": str(arguments.out), "counts": counts, "failed": failed}, said)


def data_describe_command(arguments: argparse.Namespace) -> None:
    """`msa-jax data describe`."""
    from msa_jax.data import find_leaks, load_dataset
    from msa_jax.data.describe import card_text, describe, leaks_text

    dataset = load_dataset(arguments.path)
    content, page = describe(dataset), card_text(dataset)
    if arguments.leaks:
        leaks = find_leaks(dataset)
        content, page = {**content, "leaks": leaks.to_json()}, f"{page}\n\n{leaks_text(leaks)}"
    print_result(arguments, content, page)
