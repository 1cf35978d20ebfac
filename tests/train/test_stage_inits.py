"""Where runs and their stages begin: drawn, pretrained, or as the stages of another experiment left it."""

import shutil
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.config import override
from msa_jax.errors import InputError
from msa_jax.methods import METHODS
from msa_jax.train.prepare import prepare, pretrained
from msa_jax.train.stage_inits import StageInits
from tests.tiny import QUICK, TOY, TOY_QUICK, tiny_dataset, train_toy
from tests.train.kit import assert_equal, kept_params, lines_of, run_of

pytestmark = pytest.mark.usefixtures("toy")

AUDIO = tiny_dataset(modalities=("audio",), rows=(12, 6, 6))


# -- drawn and pretrained ---------------------------------------------------------------------------------------------


def test_what_is_pretrained_is_taken_and_the_rest_is_drawn_as_without_it():
    method, dataset = METHODS["text_only"], tiny_dataset(modalities=("text",))
    options = override(method.options(), QUICK)
    prepared = prepare(dataset, method, options)
    drawn = StageInits(method, options, prepared).initial(run_of(3)).variables.params
    bert: dict = {}
    for path, value in drawn.items():
        if path.startswith("text_encoder/bert/"):
            *folders, name = path.removeprefix("text_encoder/bert/").split("/")
            place = bert
            for folder in folders:
                place = place.setdefault(folder, {})
            place[name] = np.full_like(value, 0.5)
    inits = StageInits(method, options, replace(prepared, bert=bert))
    params = inits.initial(run_of(3)).variables.params
    given = {path for path in params if path.startswith("text_encoder/")}
    assert 0 < len(given) < len(params)
    for path, value in params.items():
        np.testing.assert_array_equal(value, np.full_like(value, 0.5) if path in given else drawn[path], err_msg=path)
    other = inits.initial(run_of(4)).variables.params
    assert {path for path in params if not np.array_equal(params[path], other[path])} == {"score/kernel", "score/bias"}
    # A frozen encoder that all seeds share does not keep runs from going side by side, one that each draws does.
    frozen = replace(options, finetune_text=False)
    assert StageInits(method, frozen, prepared).frozen_by_seed()
    assert not StageInits(method, frozen, replace(prepared, bert=bert)).frozen_by_seed()


def test_a_rate_for_pretrained_weights_is_named_where_there_are_none():
    method, dataset = METHODS["text_only"], tiny_dataset(modalities=("text",))
    options = override(method.options(), {**QUICK, "learning_rate.text": 5e-5})
    prepared = prepare(dataset, method, options)

    def notes(**changes):
        return StageInits(method, override(options, changes), prepared).notes()

    assert "learning_rate.text 5e-05 suits pretrained weights; --learning-rate.text 0.001" in notes()[0]
    for changes in ({"learning_rate.text": 1e-3}, {"finetune_text": False}, {"text_encoder": "bert-base-uncased"}):
        assert notes(**changes) == ()


def test_a_pattern_that_freezes_nothing_is_named():
    method, dataset = METHODS["text_only"], tiny_dataset(modalities=("text",))
    options = override(method.options(), QUICK)
    prepared = prepare(dataset, method, options)
    for pattern, found in (("^text_encoder/bert/layer_0/", False), ("^text_encoder/bert/layers_0/", True)):
        notes = StageInits(method, replace(options, freeze=pattern), prepared).notes()
        assert any("matches no parameter" in note and pattern in note for note in notes) == found


def test_devices_that_do_not_divide_a_mini_batch_are_said():
    for size, said in ((8, 0), (7, 1)):
        options = override(TOY.options(), {**TOY_QUICK, "batch_size": size, "data_devices": 2})
        notes = StageInits(TOY, options, prepare(AUDIO, TOY, options)).notes()
        assert len(notes) == said
        assert all("2 devices do not divide batch_size 7, so some methods draw other dropout" in note for note in notes)


def test_a_pretrained_encoder_must_have_the_parameters_of_the_network():
    module = "text_encoder"
    shapes = {
        f"{module}/bert/word/kernel": np.empty((5, 2)),
        f"{module}/bert/pooler/bias": np.empty(2),
        "score/bias": np.empty(1),
    }
    word, pooler, layer = {"kernel": np.ones((5, 2), np.float16)}, {"bias": np.zeros(2)}, {"bias": np.zeros(3)}
    assert pretrained(None, module, shapes) == {}
    assert pretrained({"word": word}, None, shapes) == {}  # of a method that reads no tokens
    for bert, names in (
        ({"word": word, "pooler": pooler}, {"word/kernel", "pooler/bias"}),
        ({"word": word}, {"word/kernel"}),  # the pooler is drawn
        ({"word": word, "unused": layer}, {"word/kernel"}),
    ):
        found = pretrained(bert, module, shapes)
        assert found.keys() == {f"{module}/bert/{name}" for name in names}
        assert found[f"{module}/bert/word/kernel"].dtype == jnp.float32
    for bert in ({"pooler": pooler}, {"word": layer}, {"word": {"kernel": np.ones((5, 3))}}):
        with pytest.raises(InputError, match="do not fit the network"):
            pretrained(bert, module, shapes)


# -- the first stages of another experiment ---------------------------------------------------------------------------

TWO = {"stages": 2, "encoder_epochs": 2}


@pytest.fixture(scope="module")
def source(toy, tmp_path_factory):
    return train_toy(tmp_path_factory.mktemp("source") / "run", AUDIO, seeds=(1, 2), options=TWO)


def test_stages_of_another_experiment_are_taken(source, tmp_path):
    taken = train_toy(tmp_path / "taken", AUDIO, seeds=(1, 2), options={**TWO, "stages_from": str(source.path)})
    assert {line["stage"] for line in lines_of(taken.path)} == {"score"}
    for one, other in zip(taken.runs, source.runs, strict=True):
        assert one.epochs == other.epochs - 2
        np.testing.assert_array_equal(one.scores["test"]["prediction"], other.scores["test"]["prediction"])


def test_the_only_run_of_another_experiment_serves_every_seed(source, tmp_path):
    only = tmp_path / "only"
    shutil.copytree(source.path / "checkpoints" / "1", only / "checkpoints" / "1")
    taken = train_toy(tmp_path / "taken", AUDIO, seeds=(1, 7), options={**TWO, "stages_from": str(only)})
    encoders = [
        {path: value for path, value in kept_params(taken.path, seed).items() if path.startswith("audio_encoder/")}
        for seed in (1, 7)
    ]
    assert_equal(*encoders)
    assert not np.array_equal(*(run.scores["test"]["prediction"] for run in taken.runs))


def test_a_seed_that_another_experiment_lacks_is_an_error(source, tmp_path):
    with pytest.raises(InputError, match=r"no stages of seed 3; it has those of seeds 1, 2"):
        train_toy(tmp_path / "taken", AUDIO, seeds=(3,), options={**TWO, "stages_from": str(source.path)})
    assert not (tmp_path / "taken").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_stages_of_another_network_are_refused_and_overwrite_nothing(source, tmp_path, overwrite):
    wide = tiny_dataset(modalities=("audio",), rows=(13, 6, 6))
    if overwrite:
        shutil.copytree(source.path, tmp_path / "taken")
    with pytest.raises(InputError, match="does not fit this experiment"):
        train_toy(tmp_path / "taken", wide, options={**TWO, "stages_from": str(source.path)}, overwrite=overwrite)
    assert (tmp_path / "taken").exists() == (tmp_path / "taken" / "result.json").is_file() == overwrite
