"""Using a finished experiment on data: the same scores, in any order and batch size, and clear errors for what does not fit."""

import json
import os
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.data.schema import Split
from msa_jax.errors import DataWarning, InputError
from msa_jax.layers.dense import Linear
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput, fits_anything, no_memory, no_records, one_stage
from msa_jax.train.experiment import resume
from msa_jax.train.predictor import Predictor, _like_training
from tests.tiny import TOY, ToyOptions, tiny_dataset, train_quick, train_toy
from tests.train.kit import csv_of, registered

DATASET = tiny_dataset(modalities=("text", "audio"))


class ReadingNetwork(nn.Module):
    """Mean of the tokens' embeddings -> text, mean of the audio frames -> audio, both -> score."""

    options: ToyOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch, *, train: bool) -> dict[str, jax.Array]:
        mask = batch["text"]["mask"][..., None]
        words = nn.Embed(self.inputs.text.bert.vocab_size, 4, name="words")(batch["text"]["ids"])
        text = (words * mask).sum(1) / jnp.maximum(mask.sum(1), 1)
        audio = batch["audio"]["features"].sum(1) / jnp.maximum(batch["audio"]["length"], 1)[:, None]
        scores = {"text": Linear(1, name="text")(text)[:, 0], "audio": Linear(1, name="audio")(audio)[:, 0]}
        return {"prediction": scores["text"] + scores["audio"], **scores}


def _objective(step, options, inputs):
    return {"error": jnp.abs(step.outputs["prediction"] - step.batch["label"])}, step.memory


READER = replace(
    TOY,
    name="reader",
    network=ReadingNetwork,
    stages=one_stage(_objective),
    heads=("prediction", "text", "audio"),
    check=fits_anything,
    init_memory=no_memory,
    records=no_records,
)


@pytest.fixture(scope="module", autouse=True)
def reader():
    with registered(READER) as method:
        yield method


@pytest.fixture(scope="module")
def finished(reader, tmp_path_factory) -> Path:
    """A method that reads text and audio, two seeds."""
    options = {"pack_text": False, "max_tokens": 12, "max_epochs": 2}
    out = tmp_path_factory.mktemp("predictor") / "run"
    return train_toy(out, DATASET, method="reader", seeds=(1, 2), options=options).path


@pytest.fixture(scope="module")
def predictor(finished) -> Predictor:
    return Predictor.load(finished)


@pytest.fixture(scope="module")
def scores(predictor) -> dict[int, dict[str, np.ndarray]]:
    return predictor.predict_runs(DATASET.test)


def assert_written(folder: Path, scores: dict[int, dict[str, np.ndarray]], heads: tuple[str, ...]) -> None:
    columns = csv_of(folder, "test")[1]
    for seed in (1, 2):
        assert scores[seed].keys() == set(heads)
        for head in heads:
            written = np.array(columns[f"{seed}/{head}"], np.float32)
            np.testing.assert_allclose(scores[seed][head], written, atol=1e-6)
            assert written.std() > 0


def test_predictions_equal_those_that_training_wrote(finished, scores):
    assert_written(finished, scores, ("prediction", "text", "audio"))


@pytest.mark.slow
def test_predictions_of_self_mm_equal_those_that_training_wrote(tmp_path):
    dataset = tiny_dataset()
    train_quick("self_mm", dataset, tmp_path / "run", seeds=(1, 2))
    scores = Predictor.load(tmp_path / "run").predict_runs(dataset.test)
    assert_written(tmp_path / "run", scores, ("prediction", "text", "audio", "vision"))


def test_predict_is_the_mean_over_the_runs(predictor, scores):
    want = (scores[1]["prediction"].astype(np.float64) + scores[2]["prediction"]) / 2
    got = predictor.predict(DATASET.test)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, atol=1e-6)
    assert not np.array_equal(scores[1]["prediction"], scores[2]["prediction"])


def only_run(predictor: Predictor, **changes) -> Predictor:
    return replace(predictor, variables={1: predictor.variables[1]}, **changes)


def test_the_order_of_the_rows_does_not_matter(predictor, scores):
    order = np.random.default_rng(0).permutation(len(DATASET.test))
    got = only_run(predictor).predict(DATASET.test.take(order))
    np.testing.assert_allclose(got, scores[1]["prediction"][order], atol=1e-5)


def test_the_batch_size_of_evaluation_does_not_matter(predictor, scores):
    smaller = only_run(predictor, options=replace(predictor.options, evaluation_batch_size=3))
    np.testing.assert_allclose(smaller.predict(DATASET.test), scores[1]["prediction"], atol=1e-5)


def longer(split: Split) -> Split:
    """Row 0 is a sentence beyond max_tokens, row 1 has twice as many frames as any other; the others are padded."""
    text = split.raw_text.astype("<U200")
    text[0] = " ".join([text[0]] * 10)
    length = np.where(np.arange(len(split)) == 1, 12, split.audio_length).astype(np.int32)
    frames = np.concatenate([split.audio, split.audio], axis=1)
    frames *= (np.arange(12) < length[:, None])[..., None]  # padding is zeros
    return replace(split, raw_text=text, audio=frames, audio_length=length)


def test_longer_sequences_than_in_training_are_accepted_and_change_no_other_row(predictor, scores):
    got = only_run(predictor).predict(longer(DATASET.test))
    assert np.isfinite(got).all()
    np.testing.assert_allclose(got[2:], scores[1]["prediction"][2:], atol=1e-5)
    assert not np.isclose(got[1], scores[1]["prediction"][1], atol=1e-6)


def test_labels_are_not_needed(predictor, scores):
    split = replace(DATASET.test, label=np.full(len(DATASET.test), 99.0, np.float32))
    np.testing.assert_allclose(only_run(predictor).predict(split), scores[1]["prediction"], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audio": None, "audio_length": None}, "audio is missing; this experiment was trained with it"),
        ({"raw_text": None}, "column raw_text is missing"),
        ({"audio": DATASET.test.audio[:, :, :2]}, "audio has 2 features; expected 3"),
    ],
)
def test_data_that_do_not_fit_are_an_input_error(predictor, change, message):
    with pytest.raises(InputError, match=message):
        predictor.predict(replace(DATASET.test, **change))


def test_an_empty_split_is_an_input_error(predictor):
    with pytest.raises(InputError, match="the split is empty"):
        predictor.predict(DATASET.test.take([]))


# -- folders that are not what they should be -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(toy, tmp_path_factory) -> Path:
    dataset = tiny_dataset(modalities=("audio",))
    return train_toy(tmp_path_factory.mktemp("small") / "run", dataset, options={"max_epochs": 1}).path


@pytest.fixture
def copied(small, tmp_path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "run"))


def test_a_moved_experiment_predicts_the_same(small, copied):
    split = tiny_dataset(modalities=("audio",)).test
    np.testing.assert_array_equal(Predictor.load(copied).predict(split), Predictor.load(small).predict(split))


def test_what_is_no_experiment_or_not_finished_is_an_input_error(copied, tmp_path):
    with pytest.raises(InputError, match="not an experiment"):
        Predictor.load(tmp_path)
    (copied / "result.json").unlink()
    with pytest.raises(InputError, match=r"not finished; `msa-jax resume .*` goes on with it"):
        Predictor.load(copied)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"method": "toy"}', '{"method": "nothing"}'])
def test_a_damaged_configuration_is_an_input_error(copied, content):
    (copied / "config.json").write_text(content)
    with pytest.raises(InputError):
        Predictor.load(copied)


def params_file(folder: Path) -> Path:
    """The largest file of the parameters."""
    return max(
        (folder / "checkpoints" / "1" / "params").rglob("*"), key=lambda path: path.is_file() * path.stat().st_size
    )


def test_many_steps_in_a_configuration_take_no_memory():
    inputs = Inputs(text=TextInput(width=4, steps=2**26), audio=SequenceInput(2**26, 3))

    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    before = resident()
    columns = _like_training(inputs)
    assert columns["text"]["mask"].shape == (2, 2**26)
    assert resident() - before < 2**26  # bytes, of 2**29 of the mask alone


@pytest.mark.parametrize("damage", ["truncated", "one bit", "removed"])
def test_damaged_parameters_are_an_input_error(copied, damage):
    path = params_file(copied)
    content = bytearray(path.read_bytes())
    if damage == "removed":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"params/.*: (missing|not the file that was written)"):
        Predictor.load(copied)


def test_missing_parameters_are_an_input_error(copied):
    shutil.rmtree(copied / "checkpoints")
    with pytest.raises(InputError, match="no such checkpoint"):
        Predictor.load(copied)


def test_parameters_of_another_method_are_an_input_error(copied, finished):
    shutil.rmtree(copied / "checkpoints")
    shutil.copytree(finished / "checkpoints", copied / "checkpoints")
    with pytest.raises(InputError, match=r"not the parameters of this method and its options: .* is missing"):
        Predictor.load(copied)


def test_a_configuration_of_another_method_is_an_input_error(copied):
    content = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**content, "method": "text_only"}))
    with pytest.raises(InputError, match="unknown option 'poison_epoch'"):
        Predictor.load(copied)


def test_an_experiment_of_a_method_that_is_not_there_says_what_it_needs(copied):
    content = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**content, "method": "mine"}))
    for use in (Predictor.load, partial(resume, max_epochs=3)):
        with pytest.raises(
            InputError, match=r"method 'mine', which is unknown here; .* package .* `msa_jax\.register`"
        ):
            use(copied)


# -- no more than prediction needs ------------------------------------------------------------------------------------


def test_ids_labels_and_lengths_may_be_left_out(predictor, scores):
    test = DATASET.test
    lengths = np.full(len(test), test.audio.shape[1], np.int32)
    want = only_run(predictor).predict(replace(test, audio_length=lengths))
    got = only_run(predictor).predict(Split(raw_text=test.raw_text, audio=test.audio))
    np.testing.assert_array_equal(got, want)
    assert not np.allclose(got, scores[1]["prediction"], atol=1e-6)
    listed = Split(raw_text=test.raw_text.tolist(), audio=test.audio.tolist())
    np.testing.assert_array_equal(only_run(predictor).predict(listed), want)


def test_a_missing_modality_is_absent_if_one_says_so(predictor):
    test = DATASET.test
    # The mean of no frames, here, is that of one frame of zeros.
    zeros = Split(raw_text=test.raw_text, audio=np.zeros((len(test), 1, 3), np.float32))
    want = only_run(predictor).predict(zeros)
    for given in (Split(raw_text=test.raw_text), test):  # what is there is not read
        with pytest.warns(
            DataWarning, match="audio is missing: each sample has no frame as audio; .* expect worse scores"
        ):
            got = only_run(predictor).predict(given, missing=("audio",))
        np.testing.assert_array_equal(got, want)
    with pytest.warns(DataWarning, match="text is missing: each sample has no word"):
        got = only_run(predictor).predict(Split(audio=test.audio, audio_length=test.audio_length), missing="text")
    empty = replace(test, raw_text=np.full(len(test), ""))
    np.testing.assert_array_equal(got, only_run(predictor).predict(empty))


def test_what_a_method_does_not_read_may_be_missing_without_a_word(predictor):
    deaf = only_run(predictor, method=replace(predictor.method, reads=("text",)))
    texts = DATASET.test.raw_text
    np.testing.assert_array_equal(deaf.predict_texts(texts), deaf.predict(Split(raw_text=texts), missing=("audio",)))
    with pytest.raises(InputError, match="column raw_text is missing"):
        deaf.predict(Split(audio=DATASET.test.audio))


def test_a_missing_modality_of_aligned_data_has_a_frame_for_each_token(predictor):
    aligned = only_run(predictor, inputs=replace(predictor.inputs, aligned=True))
    with pytest.warns(DataWarning, match="frames of zeros, as many as the others have"):
        got = aligned.columns(Split(raw_text=DATASET.test.raw_text), missing=("audio",))
    np.testing.assert_array_equal(got["audio"]["length"], got["text"]["mask"].sum(1))
    assert got["audio"]["features"].shape == (8, got["text"]["mask"].sum(1).max(), 3)
    with pytest.raises(InputError, match="text cannot be missing"):
        aligned.predict(DATASET.test, missing=("text",))


def as_many_frames_as_tokens(predictor: Predictor, split: Split) -> Split:
    tokens = predictor.columns(split)["text"]["mask"].sum(1)
    audio = np.ones((len(split), tokens.max(), 3), np.float32)
    return replace(split, audio=audio, audio_length=tokens.astype(np.int32))


def test_samples_that_are_not_aligned_as_those_of_training_are_refused(predictor):
    aligned = only_run(predictor, inputs=replace(predictor.inputs, aligned=True))
    with pytest.raises(
        InputError, match=r"a frame of audio for each token, .* differ \(row \d: \d+ tokens, \d frames of audio"
    ):
        aligned.predict(DATASET.test)
    split = as_many_frames_as_tokens(predictor, DATASET.test)
    assert np.isfinite(aligned.predict(split)).all()
    shorter = replace(split, audio_length=split.audio_length - (np.arange(8) == 2).astype(np.int32))
    with pytest.warns(DataWarning, match=r"in 1 of 8 samples the lengths differ \(row 2: "):
        aligned.predict(shorter)
    with pytest.raises(InputError, match="in 1 of 1 samples"):
        aligned.predict(shorter.take([2]))


def test_frames_behind_the_tokens_that_are_read_are_no_difference(predictor):
    aligned = only_run(predictor, inputs=replace(predictor.inputs, aligned=True))
    most = predictor.preprocessor.max_tokens
    split = Split(raw_text=["good " * 3 * most], audio=np.ones((1, most + 5, 3), np.float32))
    assert np.isfinite(aligned.predict(split)).all()


def test_what_a_method_does_not_read_need_not_be_aligned(predictor):
    deaf = replace(predictor.method, reads=("text",))
    aligned = only_run(predictor, method=deaf, inputs=replace(predictor.inputs, aligned=True))
    assert np.isfinite(aligned.predict(DATASET.test)).all()


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (("smell",), "missing names 'smell'; expected some of text, audio, vision"),
        (("text", "audio"), "missing names text and audio, all that this experiment was trained with"),
        (("vision",), "missing names vision; this experiment was trained with text, audio"),
    ],
)
def test_what_cannot_be_missing_is_an_input_error(predictor, missing, message):
    with pytest.raises(InputError, match=message):
        predictor.predict(DATASET.test, missing=missing)


def test_a_missing_modality_is_named_with_what_can_be_done(predictor):
    with pytest.raises(InputError, match=r"audio is missing; .*: --missing audio, in Python missing=\('audio',\)"):
        predictor.predict_texts(["good film"])


def with_nan(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array[5, 1, 2] = np.nan
    return array


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audio": with_nan(DATASET.test.audio)}, "column audio, row 5: 1 NaN or infinite values"),
        ({"audio": np.where(DATASET.test.audio > 9, 0, 1e300)}, "column audio, row 0: .* NaN or infinite values"),
        ({"raw_text": DATASET.test.raw_text[:3]}, "column raw_text: 3 rows; expected 8"),
        ({"raw_text": np.arange(8)}, "column raw_text.*expected text"),
        ({"raw_text": np.array(["a", None] * 4)}, "column raw_text.*expected text"),
        ({"audio": DATASET.test.audio[:, 0]}, "column audio: shape .*; expected float32"),
        ({"audio_length": np.full(8, 99)}, "column audio_length, row 0"),
    ],
)
def test_columns_that_are_not_what_they_should_be_are_an_input_error(predictor, change, message):
    with pytest.raises(InputError, match=message):
        predictor.predict(replace(DATASET.test, **change))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (DATASET, "predict takes one split; found a Dataset"),
        (["good film"], r"predict_texts\(\[...\]\)"),
        ("good film", r"predict_texts\(\[...\]\)"),
        (Path("data"), r"load_dataset\(path\).test"),
        (np.zeros(3), "predict takes a Split; found ndarray"),
        (None, "predict takes a Split; found NoneType"),
    ],
)
def test_what_is_no_split_is_an_input_error(predictor, given, message):
    with pytest.raises(InputError, match=message):
        predictor.predict(given)


@pytest.fixture(scope="module")
def of_texts(tmp_path_factory) -> Predictor:
    """text_only, trained on raw text."""
    out = tmp_path_factory.mktemp("texts") / "run"
    return Predictor.load(train_quick("text_only", tiny_dataset(modalities=("text",)), out).path)


def test_texts_need_nothing_else(of_texts):
    test = tiny_dataset(modalities=("text",)).test
    np.testing.assert_allclose(of_texts.predict_texts(test.raw_text), of_texts.predict(test), atol=1e-6)
    assert of_texts.predict_texts(["good film"]).shape == (1,)
    assert of_texts.predict_texts(text for text in ("good", "")).shape == (2,)


def programs(predictor: Predictor) -> int:
    """How many have been compiled for scores."""
    return sum(function._cache_size() for function in predictor.forward.outputs._compiled.values())


def test_few_samples_have_the_scores_of_the_split_and_few_programs(of_texts, monkeypatch):
    test = tiny_dataset(modalities=("text",)).test
    fresh = replace(of_texts)
    alone = np.concatenate([fresh.predict(test.take([row])) for row in range(len(test))])
    lengths = {int(length) for length in fresh.columns(test)["text"]["mask"].sum(1)}
    assert programs(fresh) < len(lengths)
    np.testing.assert_array_equal(fresh.predict(test), alone)
    assert alone.std() > 1e-5
    before = programs(fresh)
    monkeypatch.setattr("msa_jax.train.few_samples.MOST", 0)  # all in one batch
    np.testing.assert_allclose(fresh.predict(test), alone, atol=1e-6)
    assert programs(fresh) == before + 1


def test_parameters_that_runs_share_lie_on_the_device_once(of_texts):
    variables = of_texts.variables[1]
    twice = replace(of_texts, variables={1: variables, 2: variables})
    one, other = (jax.tree.leaves(twice.placed[seed]) for seed in (1, 2))
    assert all(a is b for a, b in zip(one, other, strict=True))
    if jax.default_backend() == "cpu":  # in the memory that they were read into
        path = max(variables.params, key=lambda path: variables.params[path].size)
        assert twice.placed[1].params[path].unsafe_buffer_pointer() == variables.params[path].ctypes.data


def test_texts_of_another_language_than_the_vocabulary_s_are_a_warning_with_their_share(of_texts):
    with pytest.warns(DataWarning, match=r"^text encoder scratch: 67 % of the tokens of the texts are unknown"):
        of_texts.predict_texts(
            ["\u4e66\u597d good"]
        )  # two characters that no training text has, and a word that some have


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("good film", "texts is one str; expected a list of strings"),
        (["good", None], "text 1 is a NoneType; expected a string"),
        ([], "there is nothing to predict: no text"),
        (3, "texts is one int"),
    ],
)
def test_what_is_no_list_of_texts_is_an_input_error(of_texts, texts, message):
    with pytest.raises(InputError, match=message):
        of_texts.predict_texts(texts)


@pytest.mark.parametrize(
    ("column", "message"), [(None, "was trained without text"), ("text_bert", "trained on column text_bert")]
)
def test_texts_are_refused_where_training_read_none(of_texts, column, message):
    other = replace(of_texts, preprocessor=replace(of_texts.preprocessor, text_column=column))
    with pytest.raises(InputError, match=message):
        other.predict_texts(["good film"])
