"""Every study that comes with msa_jax, from the command to its table and figures, on a few samples of a real dataset.

Of a study with many experiments the first and the last are trained, for one epoch and one seed, with small parts.
Studies share the compiled programs of their methods.
"""

import pprint
from dataclasses import replace
from pathlib import Path

import pytest

from msa_jax import config, methods
from msa_jax.data import load_dataset
from msa_jax.data.schema import Dataset
from msa_jax.report.studies import KINDS, list_studies, reproduce
from msa_jax.report.study import Study
from tests.methods.small import SMALL
from tests.paths import shared_data

DATA = shared_data("mosi_utterance")
ROWS = {"train": 40, "valid": 20, "test": 20}
MOST = 3  # experiments of a study
FEW = {
    "max_epochs": 1, "batch_size": 16, "checkpoint_epochs": 100, "scratch_layers": 1, "scratch_width": 32, "max_tokens": 12,
    **{f"stage_{name}.max_epochs": 1 for name in ("text", "audio", "vision")},
    **{f"stage_{name}.batch_size": 16 for name in ("text", "audio", "vision")},
}  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(DATA is None, reason="real dataset absent"),
    pytest.mark.filterwarnings("ignore::msa_jax.errors.DataWarning"),
]


@pytest.fixture(scope="module")
def few() -> Dataset:
    """The first samples of each split, with text, audio and vision."""
    dataset = load_dataset(DATA)
    return replace(dataset, **{name: split.take(slice(ROWS[name])) for name, split in dataset.splits().items()})


def trained(study: Study) -> list[str]:
    """The names of the experiments that are trained."""
    names = [variant.name for variant in study.variants]
    return names if len(names) <= MOST else [names[0], names[-1]]


def small_presets(study: Study, folder: Path) -> str:
    """A preset for each method that is trained: one epoch, and small parts."""
    files, names = [], trained(study)
    for name in sorted({variant.method for variant in study.variants if variant.name in names}):
        known = config.flatten(methods.get(name).options())
        options = {**{option: value for option, value in FEW.items() if option in known}, **SMALL.get(name, {})}
        files.append(folder / f"{name}.py")
        preset = pprint.pformat({"method": name, "options": options}, sort_dicts=False)
        files[-1].write_text(f'"""Small."""\n\nPRESET = {preset}\n', encoding="utf-8")
    return ",".join(map(str, files))


@pytest.mark.parametrize("study", list_studies(), ids=lambda study: study.name)
def test_a_study_leaves_its_table_and_its_figures(study, few, tmp_path):
    out, kind = tmp_path / "out", KINDS[study.kind]
    presets = small_presets(study, tmp_path)
    found = reproduce(study.name, few, seeds=(1,), out=out, preset=presets, variants=trained(study), log=None)
    assert {path.name for path in found.files} >= {f"{kind.stem}.{form}" for form in ("md", "tex", "json")}
    assert bool(found.figures) >= kind.draws
    for name in found.figures:
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    assert all(path.stat().st_size for path in found.files)
    assert set(trained(study)) <= {experiment["variant"] for experiment in found.content["experiments"]}
    for experiment in found.content["experiments"]:
        why, folder = experiment["not_possible_because"], out / experiment["folder"]
        assert why or (folder / "result.json").is_file()
        # What this dataset has not is all that may be in the way.
        assert why is None or "the dataset has no" in why
    assert "|" in (out / f"{kind.stem}.md").read_text(encoding="utf-8")
