"""Result files: what a folder of experiments came to, small enough to be kept in the repository.

A result file is `docs/results/NAME.json`:

    format, kind          1; "leaderboard", "study", "experiments" or "robustness"
    page, title, notes    where it is shown, under which heading, and paragraphs that a person may add
    dataset, dataset_sha256, metrics    name on the card, the first 12 digits of a hash over all arrays, kind of metrics
    commands, machines    all that took part, each once
    experiments           for each: name, method, protocol, preset, options that differ from these, commit, date, and its runs:
                          seed, best epoch, all metrics on valid and on test, as fractions
    text, curves          of a study that is no table: its page, and of one of robustness the curves of every seed
    figures               {file beside it: SHA-256}

No path of the machine is kept: of an absolute path, the last part.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

from msa_jax import config
from msa_jax.errors import InputError
from msa_jax.paths import file_name
from msa_jax.report.experiment import read_result
from msa_jax.train.atomic import read_json
from msa_jax.train.settings import resolve

FORMAT = 1
KINDS = ("leaderboard", "study", "robustness", "experiments")  # in the order of a page
NEEDED = ("page", "title", "notes", "dataset", "dataset_sha256", "commands", "machines", "experiments", "figures")
RANKS = ("mean", "samples", "friedman_p", "critical_difference", "groups", "videos")
_GIVEN = re.compile(r"([\w.-]+=)?(.*)", re.DOTALL)  # --out=PATH, or a value alone


def result_of(folders: Sequence[Path]) -> tuple[dict[str, Any], list[Path]]:
    """The result file of one leaderboard, study or robustness folder, or of several experiment folders together.

    Returns:
      its content, without figures, and the pictures in the folder.

    Raises:
      InputError: a folder is none of these, is not finished, or experiments have other data.
    """
    if len(folders) == 1:
        folder = folders[0]
        for name, read in (
            ("leaderboard.json", _leaderboard),
            ("robustness.json", _robustness),
            ("table.json", _study),
        ):
            if (folder / name).is_file():
                return _plain(read(folder, read_json(folder / name))), sorted(folder.glob("*.png"))
    found = [_experiment(folder, folder.resolve().name) for folder in folders]
    return _plain({"kind": "experiments", "title": "Experiments", **_together(found)}), []


def read(path: Path) -> dict[str, Any]:
    """A result file. InputError if it is not one of this format."""
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT or content.get("kind") not in KINDS:
        raise InputError(f"{path.name}: not a result file of format {FORMAT}")
    lacking = [key for key in NEEDED if key not in content]
    if lacking:
        raise InputError(f"{path.name}: no {lacking[0]!r}; expected {', '.join(NEEDED)}")
    return content


def write(content: Mapping[str, Any]) -> str:
    """As JSON whose short parts stand on one line, so that a difference can be read."""
    return _lines(content, "") + "\n"


def default_name(content: Mapping[str, Any], folders: Sequence[Path]) -> str:
    """A leaderboard is called as its dataset, anything else as its (first) folder."""
    name = content["dataset"] if content["kind"] == "leaderboard" else folders[0].resolve().name
    return file_name(name)


# -- kinds of folders -------------------------------------------------------------------------------------------------


def _leaderboard(folder: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Experiments in the order of MAE on valid, the ranks, and what was not possible."""
    found = [_experiment(folder / row["method"], row["method"]) for row in content["rows"]]
    reasons = {name: _without_paths(reason) for name, reason in content["not_possible"].items()}
    ranks = content["ranks"] and {key: content["ranks"].get(key) for key in RANKS}
    return {
        "kind": "leaderboard",
        "title": "Methods side by side",
        **_together(found),
        "ranks": ranks,
        "not_possible": reasons,
    }


def _study(folder: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Variants, with the paper's numbers if it is a table, or its text if it is something else."""
    possible = [one for one in content["experiments"] if not one["not_possible_because"]]
    found = [_experiment(folder / PurePath(one["folder"]).name, one["variant"]) for one in possible]
    shared = {key: content[key] for key in ("study", "paper", "paper_dataset")}
    shared["not_comparable_because"] = [_without_paths(reason) for reason in content["not_comparable_because"]]
    reasons = {
        one["variant"]: _without_paths(one["not_possible_because"])
        for one in content["experiments"]
        if one["not_possible_because"]
    }
    if content["kind"] == "table":
        rows = {row["variant"]: row for row in content["rows"]}
        shown: dict[str, Any] = {
            "shown": content["metrics"],
            "paper_rows": [
                {"name": row.get("variant", row.get("name")), "paper": row["paper"], "origin": row["origin"]}
                for row in (*content["rows"], *content["context"])
            ],
            "baselines": {one["name"]: rows[one["name"]]["difference_from"] for one in found},
        }
    else:
        shown = {"text": _without_paths((folder / "table.md").read_text(encoding="utf-8"))}
        if "robustness" in content:  # the curves of every seed, which the text has means of
            curves = content["robustness"]
            shown["curves"] = {
                key: _rounded(curves[key]) for key in ("protocol", "rates", "mask_seeds", "names", "each")
            }
    return {
        "kind": "study",
        "title": content["title"],
        **_together(found),
        **shared,
        "not_possible": reasons,
        **shown,
    }


def _robustness(folder: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """The curves of every seed; six digits are enough."""
    environment = content.get("environment")
    if environment is None:
        raise InputError(f"{folder}: robustness.json has no environment; make it again with this version")
    kept = {key: content[key] for key in ("protocol", "split", "rates", "mask_seeds")}
    return {
        "kind": "robustness",
        "title": f"What is left if something is missing: protocol {content['protocol']}",
        "dataset": content["dataset"],
        "dataset_sha256": None,
        "commands": [_command(environment)],
        "machines": [_machine(environment)],
        "commit": _commit(environment),
        "date": _date(environment, folder / "robustness.json"),
        **kept,
        "each": _rounded(content["each"]),
        "experiments": [],
    }


def _experiment(folder: Path, name: str) -> dict[str, Any]:
    """One finished experiment; what experiments of a result file share is taken out by `_together`."""
    result = read_result(folder)
    settings, environment = read_json(folder / "config.json"), read_json(folder / "environment.json")
    runs = [
        {"seed": run["seed"], "best_epoch": run.get("best_epoch"), "valid": run["valid"], "test": run["test"]}
        for run in result["runs"]
    ]
    process = result.get("process", {})
    seconds = result.get("seconds")
    return {
        "name": name,
        "method": result["method"],
        "protocol": settings["protocol"],
        "preset": settings["preset"],
        "options": _differing(settings),
        "commit": _commit(environment),
        "date": _date(environment, folder / "result.json"),
        "minutes": None if seconds is None else seconds / 60,
        "parameters": result.get("parameters"),
        "peak_memory_mb": process.get("peak_memory_mb"),
        "compile_seconds": process.get("compile_seconds"),
        "runs": runs,
        "shared": {
            "dataset": result["dataset"],
            "dataset_sha256": _fingerprint(environment["dataset_sha256"]),
            "metrics": settings["metrics"],
        },
        "command": _command(environment),
        "machine": _machine(environment),
    }


def _together(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several experiments on the same data."""
    shared = found[0]["shared"]
    for one in found:
        if one["shared"] != shared:
            what = ", ".join(key for key in shared if one["shared"][key] != shared[key])
            raise InputError(f"{one['name']} and {found[0]['name']} have other data ({what}); add them one by one")
    taken = ("shared", "command", "machine")
    return {
        **shared,
        "commands": list(dict.fromkeys(one["command"] for one in found)),
        "machines": [json.loads(text) for text in dict.fromkeys(json.dumps(one["machine"]) for one in found)],
        "experiments": [{key: value for key, value in one.items() if key not in taken} for one in found],
    }


# -- parts ------------------------------------------------------------------------------------------------------------


def _differing(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Options that are not those of the method, its protocol and its preset."""
    named: dict[str, Any] = {"protocol": settings["protocol"]}
    try:
        usual = resolve(settings["method"], preset=settings["preset"] or "none", **named)
    except InputError:  # a preset that is no longer there
        usual = resolve(settings["method"], preset="none", **named)
    plain = config.to_json(usual.options)
    return {name: value for name, value in settings["options"].items() if name not in plain or plain[name] != value}


def _fingerprint(hashes: Mapping[str, str]) -> str:
    """One short hash of the hashes of all arrays."""
    return hashlib.sha256(json.dumps(dict(sorted(hashes.items()))).encode()).hexdigest()[:12]


def _command(environment: Mapping[str, Any]) -> str:
    name, *words = environment["command"]
    name = "msa-jax" if name == "__main__.py" else name  # of python -m msa_jax
    return shlex.join(_plain(word) for word in (name, *words))


def _commit(environment: Mapping[str, Any]) -> str | None:
    commit, _, changes = (environment["commit"] or "").partition("+")
    return f"{commit[:10]}{' with changes' if changes else ''}" if commit else None


def _machine(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Cores, kinds of devices with their number, and versions; neither the host nor its kernel."""
    devices = environment["devices"]
    return {
        "processors": environment["processors"],
        "devices": {kind: devices.count(kind) for kind in sorted(set(devices))},
        "versions": {name: environment["versions"].get(name) for name in ("python", "msa-jax", "jax")},
    }


def _date(environment: Mapping[str, Any], path: Path) -> str:
    """The day on which it began; of an older version, which did not write it down, the day on which the file was written."""
    if "started" in environment:
        return environment["started"][:10]
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()


def _without_paths(text: str) -> str:
    """A message, or a whole text, whose words are no paths of one machine."""
    return re.sub(r"\S+", lambda word: _plain(word[0]), text)


def _rounded(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {key: _rounded(value) for key, value in values.items()}
    if isinstance(values, list):
        return [_rounded(value) for value in values]
    return round(values, 6) if isinstance(values, float) else values


def _plain(value: Any) -> Any:
    """The same without paths of one machine: of those, the last part."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, str):
        option, given = _GIVEN.fullmatch(value).groups("")
        return option + (PurePath(given).name or given) if given.startswith(("/", "~", "./", "../")) else value
    return value


def _lines(value: Any, indent: str) -> str:
    short = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or len(short) <= (1000 if _numbers_alone(value) else 110):
        return short
    deeper = indent + " "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key, ensure_ascii=False)}: {_lines(one, deeper)}" for key, one in value.items()]
    else:
        parts = [_lines(one, deeper) for one in value]
    inside = ",\n".join(deeper + part for part in parts)
    return f"{{\n{inside}\n{indent}}}" if isinstance(value, dict) else f"[\n{inside}\n{indent}]"


def _numbers_alone(value: Any) -> bool:
    if isinstance(value, dict | list):
        return all(_numbers_alone(one) for one in (value.values() if isinstance(value, dict) else value))
    return not isinstance(value, str)
