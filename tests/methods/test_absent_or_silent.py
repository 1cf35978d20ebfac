"""Which methods tell absent frames from silent ones, and that the page on missing modalities says so."""

import re

import jax
import numpy as np
import pytest

from msa_jax.data.masking import Missing, Tokens, without
from msa_jax.methods import BUILT_IN, METHODS
from msa_jax.modalities import SEQUENCES
from msa_jax.testing.conformance import BATCH, CHEAP, Conformance
from msa_jax.train.step import eval_step
from tests.methods.small import SMALL
from tests.paths import REPOSITORY

ROW = re.compile(r"^\| (?P<names>`.*`) \| (?P<answer>yes|no):", re.MULTILINE)


def stated() -> dict[str, bool]:
    """Whether the scores with absent and with silent frames are the same, for each method in the table of the page."""
    page = (REPOSITORY / "docs" / "missing_modalities.md").read_text(encoding="utf-8")
    table = page.split("are the scores with absent and with silent frames the same?")[1].split("\n\n")[0]
    rows = [(re.findall(r"`(\w+)`", row["names"]), row["answer"]) for row in ROW.finditer(table)]
    assert len({name for names, _ in rows for name in names}) == sum(len(names) for names, _ in rows)
    return {name: answer == "yes" for names, answer in rows for name in names}


def test_the_table_has_every_method():
    assert set(stated()) == set(BUILT_IN)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN)
def test_scores_with_absent_and_with_silent_frames_are_the_same_where_the_table_says_so(name):
    case = Conformance(METHODS[name], SMALL.get(name))
    params, statistics = case.initial.variables
    evaluate = jax.jit(
        lambda batch: eval_step(case.model, params, statistics, batch, ("prediction",))["prediction"],
        compiler_options=CHEAP,
    )
    batch, every, tokens = case.batch(range(BATCH)), np.ones(BATCH, bool), Tokens(np.int32(1), np.int32(0))
    same = []
    for modality in SEQUENCES:
        frames = np.ones(batch[modality]["features"].shape[:2], bool)
        absent, silent = (
            np.asarray(evaluate(without(batch, missing, aligned=case.model.inputs.aligned)))
            for missing in (Missing({modality: every}, {}, tokens), Missing({}, {modality: frames}, tokens))
        )
        same.append(np.abs(absent - silent).max() <= 1e-6 * np.abs(absent).max())
    assert same == [stated()[name]] * len(SEQUENCES)
