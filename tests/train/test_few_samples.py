"""A few samples are scored one by one, by programs that do not hang on their lengths: the scores are those of a whole split."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from msa_jax.config import override
from msa_jax.data.schema import Split
from msa_jax.methods import METHODS
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from msa_jax.modalities import MODALITIES, SEQUENCES
from msa_jax.train.few_samples import one_by_one
from msa_jax.train.predictor import Predictor
from msa_jax.train.prepare import prepare
from msa_jax.train.stage_inits import StageInits
from tests.methods.small import SMALL
from tests.tiny import QUICK, TOY, tiny_dataset
from tests.train.kit import run_of

INPUTS = Inputs(
    text=TextInput(width=4, steps=20, bert=None), audio=SequenceInput(100, 3), vision=None, label_range=(-3.0, 3.0), rows=9
)  # fmt: skip
OPTIONS = override(TOY.options(), {"max_tokens": 30})


def columns_of(tokens: list[int], frames: list[int]) -> dict:
    """Samples of so many tokens and frames; every element that counts is 1."""

    def ones(lengths, *width):
        steps = np.arange(max(*lengths, 1)).reshape(1, -1, *([1] * len(width)))
        shown = steps < np.array(lengths).reshape(-1, 1, *([1] * len(width)))
        return np.broadcast_to(shown, (*shown.shape[:2], *width)).astype(np.float32)

    text = {"features": ones(tokens, 4), "mask": ones(tokens).astype(np.int32)}
    audio = {"features": ones(frames, 3), "length": np.array(frames, np.int32)}
    return {"label": np.zeros(len(tokens), np.float32), "text": text, "audio": audio}


@pytest.mark.parametrize(
    ("tokens", "frames", "steps"),
    [
        (3, 9, (8, 25)),  # a quarter of training's longest, and not below 8
        (8, 0, (8, 25)),  # no frame counts as one
        (9, 25, (10, 50)),  # one modality decides for both
        (5, 26, (10, 50)),
        (11, 1, (20, 100)),
        (20, 100, (20, 100)),  # never more than training had, if that is enough
        (1, 101, (30, 200)),  # twice as many, but no more tokens than max_tokens
        (1, 401, (30, 800)),
    ],
)
def test_every_modality_has_the_steps_of_the_lowest_level_that_holds_all(tokens, frames, steps):
    (sample,) = one_by_one(columns_of([tokens], [frames]), INPUTS, OPTIONS)
    assert (sample["text"]["mask"].shape[1], sample["audio"]["features"].shape[1]) == steps
    assert sample["text"]["features"].shape == (1, steps[0], 4)
    assert (sample["text"]["mask"].sum(), sample["audio"]["features"].sum()) == (tokens, 3 * frames)


def test_what_training_had_far_too_many_steps_of_is_not_padded():
    inputs = replace(INPUTS, audio=SequenceInput(10**12, 3))
    (sample,) = one_by_one(columns_of([3], [9]), inputs, OPTIONS)
    assert sample["audio"]["features"].shape == (1, 9, 3)
    (sample,) = one_by_one(columns_of([3], [9]), replace(INPUTS, audio=SequenceInput(0, 3)), OPTIONS)
    assert sample["audio"]["features"].shape == (1, 16, 3)


def test_samples_come_in_their_order_without_what_is_padding_in_the_split():
    samples = list(one_by_one(columns_of([2, 19, 7], [90, 3, 1]), INPUTS, OPTIONS))
    assert [sample["text"]["mask"].sum() for sample in samples] == [2, 19, 7]
    assert [sample["audio"]["features"].shape[1] for sample in samples] == [100, 100, 25]
    assert [len(sample["label"]) for sample in samples] == [1, 1, 1]


def fresh(
    name: str, protocol: str, *, modalities: tuple[str, ...] = MODALITIES, **changes: Any
) -> tuple[Predictor, Split]:
    """A predictor of a run that has had no epoch, and what it may score."""
    method, dataset = METHODS[name], tiny_dataset(modalities=modalities, rows=(16, 5, 12))
    reference = method.reference if protocol == "reference" else {}
    options = override(method.options(), {**reference, **QUICK, **changes})
    prepared = prepare(dataset, method, options)
    made = Predictor(
        method=method,
        options=options,
        inputs=prepared.inputs,
        preprocessor=prepared.preprocessor,
        variables={1: StageInits(method, override(options, {"accumulate": 1}), prepared).initial(run_of(1)).variables},
        metrics="mosi",
    )
    return made, dataset.test


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["paper", "reference"])
@pytest.mark.parametrize(
    "name", ["self_mm", "sugrm", "mmcl", "dmmsa", "mult", "misa", "lf_dnn", "tfn", "mfn", "mag_bert"]
)
def test_few_samples_have_the_scores_of_the_split_whatever_the_method(name, protocol):
    predictor, test = fresh(name, protocol)
    assert_alone_as_among_others(predictor, test)


def assert_alone_as_among_others(predictor: Predictor, test: Split) -> None:
    (whole,) = predictor.predict_runs(test).values()
    for row in range(3):
        (alone,) = predictor.predict_runs(test.take([row])).values()
        for head, scores in whole.items():
            np.testing.assert_allclose(alone[head], scores[row : row + 1], atol=2e-5, err_msg=head)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mult", "spt", "lnln", "mfn"])
def test_one_long_sample_changes_no_score_of_another_where_padding_is_read(name):
    predictor, test = fresh(name, "reference", modalities=("audio", "vision"), **SMALL[name])
    longest = max(predictor.inputs.audio.steps, predictor.inputs.vision.steps)
    longer = {}
    for sequence in SEQUENCES:
        array, length = getattr(test, sequence), getattr(test, f"{sequence}_length").copy()
        array = np.pad(array, ((0, 0), (0, longest + 2 - array.shape[1]), (0, 0)))
        array[0], length[0] = np.random.default_rng(0).standard_normal(array.shape[1:]), array.shape[1]
        longer |= {sequence: array, f"{sequence}_length": length}
    longer = replace(test, **longer)
    assert_alone_as_among_others(predictor, longer)
    (before,), (after,) = (predictor.predict_runs(split).values() for split in (test, longer))
    np.testing.assert_allclose(after["prediction"][1:], before["prediction"][1:], atol=2e-5)
