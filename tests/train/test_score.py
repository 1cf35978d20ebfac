"""Scoring whole splits: every row once, in order, whatever the batch size, the padding and the packing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.methods import METHODS
from msa_jax.methods.protocol import Stage
from msa_jax.train.prepare import example_batch, prepare
from msa_jax.train.program import Program
from msa_jax.train.score import Scorer
from tests.tiny import TOY, ToyOptions, tiny_dataset

PREDICT = Stage(name="predict")
TEXT_ONLY = METHODS["text_only"]


def program_of(method, dataset, options):
    prepared = prepare(dataset, method, options)
    program = Program(method, options, prepared.inputs, stage=PREDICT, updates=1, capacity=None, dtype=jnp.float32)
    params = program.init_params(jax.random.key(0), example_batch(prepared.columns["train"], 2))
    return program, params, prepared.columns


def toy_scores(size: int, columns_of=("valid", "test"), rows=(6, 5, 9)):
    program, params, columns = program_of(
        TOY, tiny_dataset(modalities=("audio",), rows=rows), ToyOptions(evaluation_batch_size=size)
    )
    scorer = Scorer(program, {name: columns[name] for name in columns_of})
    return {name: scorer(params, name)["prediction"] for name in columns_of}, params, columns


def by_hand(params, columns) -> np.ndarray:
    """The toy method's score, row by row, in float64."""
    audio, length = columns["audio"]["features"].astype(np.float64), columns["audio"]["length"]
    layers = {
        name: (np.asarray(layer["kernel"], np.float64), np.asarray(layer["bias"], np.float64))
        for name, layer in params.items()
    }
    scores = []
    for row in range(len(audio)):
        mean = audio[row, : length[row]].sum(0) / length[row]
        hidden = np.tanh(mean @ layers["audio_encoder"][0] + layers["audio_encoder"][1])
        scores.append((hidden @ layers["score"][0] + layers["score"][1])[0])
    return np.array(scores)


@pytest.mark.parametrize("size", [1, 4, 64])
def test_every_row_is_scored_in_its_place_and_without_dropout(size):
    scores, params, columns = toy_scores(size)
    for name, values in scores.items():
        assert values.shape == (len(columns[name]["label"]),)
        np.testing.assert_allclose(values, by_hand(params, columns[name]), atol=1e-6)


def test_a_split_of_one_row_is_scored():
    scores, params, columns = toy_scores(64, rows=(6, 1, 1))
    np.testing.assert_allclose(scores["test"], by_hand(params, columns["test"]), atol=1e-6)


@pytest.fixture(scope="module")
def text_only():
    """Scores of a text-only network by (packed, batch size)."""
    dataset = tiny_dataset(modalities=("text",), rows=(16, 5, 13))
    scores = {}
    for packed, size in ((True, 4), (False, 4), (True, 64)):
        options = TEXT_ONLY.options(
            pack_text=packed, evaluation_batch_size=size, scratch_layers=1, scratch_width=32, precision="float32"
        )
        program, params, columns = program_of(TEXT_ONLY, dataset, options)
        scorer = Scorer(program, {name: columns[name] for name in ("valid", "test")})
        scores[packed, size] = {name: scorer(params, name)["prediction"] for name in ("valid", "test")}
    return scores


@pytest.mark.parametrize("name", ["valid", "test"])
def test_packed_text_scores_as_padded_text(text_only, name):
    np.testing.assert_allclose(text_only[True, 4][name], text_only[False, 4][name], atol=1e-6)
    assert text_only[True, 4][name].std() > 1e-4


@pytest.mark.parametrize("name", ["valid", "test"])
def test_the_batch_size_of_evaluation_changes_nothing_in_packed_text(text_only, name):
    np.testing.assert_allclose(text_only[True, 4][name], text_only[True, 64][name], atol=1e-6)


def test_splits_of_different_steps_are_padded_to_common_shapes():
    dataset = tiny_dataset(modalities=("audio",), rows=(6, 5, 9))
    program, params, columns = program_of(TOY, dataset, ToyOptions())
    short = {**columns["valid"], "audio": {**columns["valid"]["audio"]}}
    short["audio"]["length"] = np.minimum(short["audio"]["length"], 2)
    frames = short["audio"]["features"][:, :2] * (np.arange(2) < short["audio"]["length"][:, None])[..., None]
    short["audio"]["features"] = frames
    scorer = Scorer(program, {"valid": short, "test": columns["test"]})
    np.testing.assert_allclose(scorer(params, "valid")["prediction"], by_hand(params, short), atol=1e-6)
    np.testing.assert_allclose(scorer(params, "test")["prediction"], by_hand(params, columns["test"]), atol=1e-6)
