"""A few samples are scored one by one, by programs that do not hang on their lengths: the scores are those of a whole split."""

import numpy as np
import pytest

from msa_jax.config import override
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from msa_jax.train.few_samples import one_by_one
from msa_jax.train.predictor import Predictor
from tests.tiny import TOY, tiny_dataset, train_quick

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


def test_samples_come_in_their_order_without_what_is_padding_in_the_split():
    samples = list(one_by_one(columns_of([2, 19, 7], [90, 3, 1]), INPUTS, OPTIONS))
    assert [sample["text"]["mask"].sum() for sample in samples] == [2, 19, 7]
    assert [sample["audio"]["features"].shape[1] for sample in samples] == [100, 100, 25]
    assert [len(sample["label"]) for sample in samples] == [1, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "protocol"),
    [("self_mm", "paper"), ("mult", "paper"), ("sugrm", "paper"), ("mmcl", "paper"), ("misa", "paper"), ("lf_dnn", "reference"),
     ("tfn", "reference"), ("mult", "reference"), ("self_mm", "reference")],
)  # fmt: skip
def test_few_samples_have_the_scores_of_the_split_in_every_kind_of_method(method, protocol, tmp_path):
    dataset = tiny_dataset(rows=(16, 5, 12))
    predictor = Predictor.load(train_quick(method, dataset, tmp_path / "run", protocol=protocol).path)
    (whole,) = predictor.predict_runs(dataset.test).values()
    for row in range(4):
        (alone,) = predictor.predict_runs(dataset.test.take([row])).values()
        for head, scores in whole.items():
            np.testing.assert_allclose(alone[head], scores[row : row + 1], atol=2e-5, err_msg=head)
