"""The study of missing data: what it shows of finished runs, and that every method stands in it twice."""

import numpy as np
import pytest

from msa_jax.data.protocols import RATES, find_protocol
from msa_jax.methods import BUILT_IN
from msa_jax.report import figures, robust_study, studies
from msa_jax.report.robustness import Robustness
from msa_jax.report.studies import load_study, reproduce
from tests.report.studies_kit import pretend_to_train, write_study
from tests.tiny import tiny_dataset, toy  # noqa: F401 - toy is a fixture

VARIANTS = (
    {"name": "A", "method": "toy"},
    {"name": "A, dropout", "method": "toy", "options": {"modality_dropout": 0.3}, "baseline": "A"},
    {"name": "B", "method": "toy", "needs": ("vision",)},
)


def test_the_study_has_every_method_without_and_with_modality_dropout():
    variants = load_study("robustness.main").variants
    assert sorted(variant.method for variant in variants) == sorted(2 * BUILT_IN)
    for variant in variants:
        dropped = variant.baseline is not None
        assert variant.options == ({"modality_dropout": 0.3} if dropped else {})
        assert variant.name == (f"{variant.method}, dropout" if dropped else variant.method)
        assert variant.baseline in (None, variant.method)


@pytest.mark.usefixtures("toy")
def test_a_variant_is_compared_with_its_baseline_by_seed(tmp_path, monkeypatch):
    # MAE rises by the rate; of seed s and mask seed m it begins at s + m / 10, and with dropout 0.5 or 0.6 lower.
    start = {"a": {1: 1.0, 2: 2.0}, "a-dropout": {1: 0.5, 2: 1.4}}

    def found(folders, *, protocol, data):
        curves = {
            folder.name: {
                seed: {"MAE": first + np.asarray(RATES)[:, None] + np.array([0.0, 0.1, 0.2])}
                for seed, first in start[folder.name].items()
            }
            for folder in folders
        }
        return Robustness(
            protocol=find_protocol(protocol),
            dataset="tiny",
            split="test",
            rates=RATES,
            mask_seeds=(0, 1, 2),
            runs=curves,
        )

    monkeypatch.setattr(studies, "train", pretend_to_train())
    monkeypatch.setattr(robust_study, "robustness", found)
    study = write_study(tmp_path / "toy_main.py", kind="robustness", columns=None, variants=VARIANTS)
    dataset = tiny_dataset(modalities=("audio", "text"))
    made = reproduce(study, dataset, seeds=(1, 2), out=tmp_path / "out", log=None)
    plain, dropped, impossible = made.tables[0].rows
    assert plain[:2] == ["A", "1.600 ± 0.707"]  # 1.1 and 2.1, the means over the masks
    assert plain[-3:] == ["2.050 ± 0.707", "-", "-"]  # 0.45 more, the mean of the rates 0 to 0.9
    assert dropped[-2] == "-0.550 [-1.185, +0.085]"  # -0.5 and -0.6: 0.05 * 12.706 on both sides
    assert dropped[-1] == "no difference shown"
    assert set(impossible[1:]) == {"-"}
    difference = made.content["differences"]["A, dropout"]
    assert difference["mean"] == pytest.approx(-0.55)
    if figures.available():
        (panel,) = made.figures["figure.png"].axes
        assert panel.get_title() == "A"
        plain, dropped = (line.get_ydata() for line in panel.lines)
        np.testing.assert_allclose(plain, 1.6 + np.asarray(RATES))
        np.testing.assert_allclose(dropped, plain - 0.55)
        legend = [text.get_text() for text in made.figures["figure.png"].legends[0].get_texts()]
        assert legend == ["as it is", "modality_dropout 0.3"]
    assert made.content["robustness"]["names"] == {"a": "A", "a-dropout": "A, dropout"}
