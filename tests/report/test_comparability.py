"""What is told of a paper's numbers whose audio and vision are aligned with the tokens, or are not."""

from dataclasses import replace

import numpy as np
import pytest

from msa_jax.report.comparability import comparability
from msa_jax.report.study import load_study
from msa_jax.report.study_plan import plan_variant
from tests.report.studies_kit import write_study
from tests.tiny import tiny_dataset, toy  # noqa: F401 - a fixture


def aligned(dataset):
    """The same dataset with the audio lengths for vision too."""
    splits = {
        name: replace(
            split, vision_length=np.minimum(split.audio_length, 5), audio_length=np.minimum(split.audio_length, 5)
        )
        for name, split in dataset.splits().items()
    }
    return replace(dataset, **splits)


def one_vector(dataset):
    """The same dataset with one audio and one vision frame for each utterance."""
    splits = {
        name: replace(split, audio_length=np.ones(len(split), np.int32), vision_length=np.ones(len(split), np.int32))
        for name, split in dataset.splits().items()
    }
    return replace(dataset, **splits)


def differences(tmp_path, dataset, **paper):
    entries = {"datasets": {"mosi": {"rows": (24, 8, 8), **paper}}}
    return comparability(load_study(write_study(tmp_path / "toy_table9.py", **entries)), dataset, ()).differences


def test_unaligned_data_are_not_comparable_with_aligned_ones(tmp_path):
    dataset = tiny_dataset(name="mosi")
    assert differences(tmp_path, dataset, aligned=True) == (
        "audio and vision are unaligned instead of aligned with the tokens",
    )
    assert differences(tmp_path, dataset, aligned=False) == ()
    assert differences(tmp_path, dataset) == ()


def test_aligned_data_are_not_comparable_with_unaligned_ones(tmp_path):
    dataset = aligned(tiny_dataset(name="mosi"))
    assert differences(tmp_path, dataset, aligned=False) == (
        "audio and vision are aligned with the tokens instead of unaligned",
    )
    assert differences(tmp_path, dataset, aligned=True) == ()


@pytest.mark.parametrize("paper", [True, False])
def test_nothing_is_said_of_alignment_where_lengths_do_not_tell(tmp_path, paper):
    assert differences(tmp_path, one_vector(tiny_dataset(name="mosi")), aligned=paper) == ()
    without = tiny_dataset(name="mosi", modalities=("text", "audio"))
    assert differences(tmp_path, without, aligned=paper) == ("there is no vision",)


@pytest.mark.usefixtures("toy")
def test_a_part_of_the_data_is_said_unless_the_paper_s_row_is_one_of_it(tmp_path):
    dataset = tiny_dataset(name="mosi")
    variants = (
        {"name": "A", "method": "toy"},
        {"name": "half", "method": "toy", "options": {"leave_out": ("vision",), "train_fraction": 0.5}},
    )
    study = load_study(
        write_study(tmp_path / "toy_table9.py", datasets={"mosi": {"rows": (24, 8, 8)}}, variants=variants)
    )

    def told(**options):
        outcomes = [plan_variant(variant, dataset, tmp_path, None, None, options) for variant in study.variants]
        return comparability(study, dataset, outcomes).differences

    assert told() == ()
    assert told(leave_out=("text",), train_fraction=0.25) == ("text is left out", "a share of 0.25 of train is used")
