"""Every method on eight virtual devices, with its mini-batches shared by four of them and its runs side by side."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from msa_jax.data.schema import Dataset
from msa_jax.methods import METHODS
from tests.methods.small import SMALL
from tests.paths import REPOSITORY
from tests.tiny import QUICK, tiny_dataset, train_quick, train_toy
from tests.train.kit import AUDIO, lines_of, runner_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("toy", "compiled_quickly")]


def what_came(done) -> dict:
    """Of each run the scores on test, the loss terms of every epoch, and the generated labels."""
    terms = {run.seed: [] for run in done.runs}
    for line in lines_of(done.path / "metrics.jsonl"):
        terms[line["seed"]].append(line["train"])
    labels = {run.seed: done.path / "labels" / f"{run.seed}.npz" for run in done.runs}
    return {
        "prediction": [run.scores["test"]["prediction"].tolist() for run in done.runs],
        **{
            f"{name} of {seed}": [epoch[name] for epoch in of if name in epoch]
            for seed, of in terms.items()
            for name in dict.fromkeys(name for epoch in of for name in epoch)
        },
        **{
            f"{name} of {seed}": values.tolist()
            for seed, path in labels.items()
            if path.is_file()
            for name, values in np.load(path).items()
            if values.dtype.kind == "f"
        },
    }


def fitting(name: str) -> tuple[Dataset, dict]:
    """A dataset that the method of this name can be trained on, and options with which its runs go side by side if it has one
    stage: where the text encoder is frozen, each seed would have one of its own."""
    options = METHODS[name].options()
    features = not options.finetune_text
    dataset = tiny_dataset(
        text="text" if features else "text_bert", human_labels=True, aligned=METHODS[name].needs_aligned(options)
    )
    return dataset, {**SMALL.get(name, {}), **({"text_encoder": "features"} if features else {})}


SCRIPT = """
import json, sys
from pathlib import Path
from msa_jax import methods
from tests.tiny import TOY, tiny_dataset, train_quick, train_toy
from tests.train.test_eight_devices import fitting, what_came
methods.register(TOY)
out = Path(sys.argv[1])
found = {}
for name, options in json.loads(sys.argv[3]).items():
    options.setdefault("runs_per_program", 4 if sys.argv[2] == "toy" else 2)
    method = sys.argv[2]
    if method == "toy":
        done = train_toy(out / name, tiny_dataset(modalities=("audio",)), seeds=(1, 2, 3, 4), options=options)
    else:
        dataset, needed = fitting(method)
        done = train_quick(method, dataset, out / name, seeds=(1, 2), options={**options, **needed})
    found[name] = what_came(done)
print(json.dumps(found))
"""


def on_eight(method: str, out, runs: dict) -> dict:
    """What came on eight virtual devices, by the name of the options."""
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "8", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(out), method, json.dumps(runs)],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-3000:]
    return json.loads(found.stdout.splitlines()[-1])


def assert_close(found: dict, wanted: dict, *, tolerance: float) -> None:
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, atol=tolerance, rtol=tolerance, err_msg=name)


def test_runs_and_data_on_eight_devices(tmp_path):
    found = on_eight(
        "toy", tmp_path, {"one": {"data_devices": 1}, "two": {"data_devices": 2}, "eight": {"data_devices": 8}}
    )
    alone = train_toy(tmp_path / "alone", AUDIO, seeds=(1, 2, 3, 4), options={"runs_per_program": 1})
    for one in found.values():
        assert_close(one, what_came(alone), tolerance=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_on_eight_devices(tmp_path, name):
    dataset, needed = fitting(name)
    inits = runner_of(METHODS[name], dataset, {**QUICK, **needed}).inits
    together = {"runs_per_program": 1} if len(inits.stages) > 1 else {}  # then runs go one after the other
    found = on_eight(name, tmp_path, {"eight": {"data_devices": 4, **together}})["eight"]
    alone = train_quick(name, dataset, tmp_path / "alone", seeds=(1, 2), options={"runs_per_program": 1, **needed})
    assert_close(found, what_came(alone), tolerance=2e-3)
