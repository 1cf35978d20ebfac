"""What an experiment ran on: versions, devices, commit, command and the hashes of its data."""

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from msa_jax.train import processes

PACKAGES = ("msa-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "transformers", "tokenizers", "numpy")


def environment(fingerprint: Mapping[str, str], encoder: str | None = None) -> dict[str, Any]:
    """`session`, and the hashes of the dataset's arrays and of the text encoder, if one was loaded."""
    hashes = {} if encoder is None else {"text_encoder_sha256": encoder}
    return {**session(), "dataset_sha256": dict(fingerprint), **hashes}


def session() -> dict[str, Any]:
    """When this process works, and on what: versions, devices, commit and command."""
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **versions},
        "devices": [f"{device.platform}: {device.device_kind}" for device in jax.devices()],
        "processors": os.cpu_count(),
        "processes": processes.count(),
        "system": platform.platform(),
        "commit": commit(Path(__file__).resolve().parents[2]),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def commit(checkout: Path) -> str | None:
    """The commit of a checkout, with "+changes" where its files differ; None outside one. Nothing is written there."""
    if not (checkout / ".git").exists():
        return None
    # `git status` would write what it found into the index, under a lock that stays if the process is killed.
    git = ["git", "--no-optional-locks", "-C", str(checkout)]
    try:
        found, changes = (
            subprocess.run([*git, *words], capture_output=True, text=True, check=True, timeout=10).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found + ("+changes" if changes else "")
