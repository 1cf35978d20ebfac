"""Which variant a table compares each other variant with."""

import numpy as np
import pytest

from msa_jax.errors import InputError
from msa_jax.report import studies
from msa_jax.report.studies import load_study, reproduce
from tests.report.studies_kit import pretend_to_train, scores, write_study
from tests.tiny import tiny_dataset, toy  # noqa: F401 - toy is a fixture

SEEDS = (1, 2, 3)
RATES = {"A": 0.0, "A, less": 0.1, "B": 0.2, "B, less": 0.3, "B, more": 0.4}
PAPER = {"A": 0.730, "A, less": 0.735, "B": 0.703, "B, less": 0.761}
TABLE = {"columns": "MAE", "rows": "\n".join(f"{name} | {number}" for name, number in PAPER.items())}
BASELINES = {"B, less": "B", "B, more": "B"}
ABLATIONS = tuple(
    {
        "name": name,
        "method": "toy",
        "options": {"dropout": rate},
        **({"baseline": BASELINES[name]} if name in BASELINES else {}),
    }
    for name, rate in RATES.items()
)


@pytest.fixture
def audio():
    return tiny_dataset(modalities=("audio",))


@pytest.fixture
def pretend(toy, monkeypatch):  # noqa: F811
    monkeypatch.setattr(studies, "train", pretend_to_train())


def maes(name):
    return np.array([scores(seed, "toy", {"dropout": RATES[name]}, "mosi")["MAE"] for seed in SEEDS])


@pytest.mark.usefixtures("pretend")
def test_each_half_of_an_ablation_is_compared_with_its_own_baseline(tmp_path, audio):
    study = write_study(tmp_path / "toy_table9.py", variants=ABLATIONS, **TABLE)
    found = reproduce(study, audio, seeds=SEEDS, out=tmp_path / "out", log=None)
    first, second = found.tables[1:]
    assert "difference from A," in first.caption
    assert "difference from B," in second.caption
    assert [row[0] for row in first.rows] == ["A, less", "B"]
    assert [row[0] for row in second.rows] == ["B, less", "B, more"]
    for table, base in ((first, "A"), (second, "B")):
        for row in table.rows:
            difference = maes(row[0]) - maes(base)
            assert row[2] == f"{difference.mean():+.3f} ± {difference.std(ddof=1):.3f}"
    assert [row[5] for row in first.rows] == ["+0.005", "-0.027"]
    assert [row[5] for row in second.rows] == ["+0.058", None]
    rows = {row["variant"]: row for row in found.content["rows"]}
    assert {name: row["difference_from"] for name, row in rows.items()} == {
        "A": None, "A, less": "A", "B": "A", "B, less": "B", "B, more": "B"
    }  # fmt: skip
    assert rows["B, less"]["difference"]["MAE"]["mean"] == pytest.approx((maes("B, less") - maes("B")).mean())


@pytest.mark.usefixtures("pretend")
def test_without_its_baseline_a_variant_is_compared_with_nothing(tmp_path, audio):
    variants = tuple({**one, "needs": ("vision",)} if one["name"] == "B" else one for one in ABLATIONS)
    study = write_study(tmp_path / "toy_table9.py", variants=variants)
    found = reproduce(study, audio, seeds=SEEDS, out=tmp_path / "out", log=None)
    (compared,) = found.tables[1:]
    assert [row[0] for row in compared.rows] == ["A, less"]
    rows = {row["variant"]: row for row in found.content["rows"]}
    assert rows["B, less"]["difference"] is None
    assert rows["B, less"]["mean"]["MAE"] == pytest.approx(maes("B, less").mean())


@pytest.mark.parametrize("baseline", ["B, more", "C"])
def test_a_baseline_must_be_another_variant(tmp_path, baseline):
    variants = (*ABLATIONS[:-1], {**ABLATIONS[-1], "baseline": baseline})
    study = write_study(tmp_path / "toy_table9.py", variants=variants)
    with pytest.raises(
        InputError, match=rf"variant 4: baseline is '{baseline}'; expected one of A, A, less, B, B, less"
    ):
        load_study(study)
