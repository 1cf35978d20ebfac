"""Parameters that training left as they were pretrained are kept once for all runs of an experiment."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from msa_jax.data.tokenize import build_tokenizer
from msa_jax.errors import InputError
from msa_jax.train.checkpoint import StageInit, check_stage, fitted, load_stage, read_variables, save_stage
from msa_jax.train.model import Variables
from msa_jax.train.predictor import Predictor
from msa_jax.train.shared_parameters import Pretrained
from tests.small_bert import write_small_bert
from tests.tiny import tiny_dataset, train_quick

TEXT = tiny_dataset(modalities=("text",))


def write_encoder(folder: Path) -> Path:
    """A small BERT with random weights and a tokenizer of the training texts."""
    return write_small_bert(folder, build_tokenizer(list(TEXT.train.raw_text)), num_layers=2)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder") / "bert")


@pytest.fixture(scope="module")
def frozen(encoder, tmp_path_factory) -> Path:
    options = {"text_encoder": str(encoder), "finetune_text": False, "max_epochs": 1, "runs_per_program": 1}
    return train_quick("text_only", TEXT, tmp_path_factory.mktemp("frozen") / "run", seeds=(1, 2), options=options).path


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
def test_a_frozen_text_encoder_is_kept_once_with_the_values_that_it_had(frozen, encoder):
    (file,) = (frozen / "checkpoints" / "shared").iterdir()
    assert hashlib.sha256(file.read_bytes()).hexdigest() == file.stem
    kept, given = load_file(file), load_file(encoder / "model.safetensors")
    assert len(kept) == len([name for name in given if "pooler" not in name])
    word = kept["text_encoder/bert/embeddings/word/embedding"]
    np.testing.assert_array_equal(word, given["embeddings.word_embeddings.weight"])
    kernel = kept["text_encoder/bert/layer_1/intermediate/kernel"]
    np.testing.assert_array_equal(kernel, given["encoder.layer.1.intermediate.dense.weight"].T)
    for seed in ("1", "2"):  # what is left to a run is its score head
        names = json.loads((frozen / "checkpoints" / seed / "params.json").read_text())
        assert names[f"../../shared/{file.name}"] == file.stem
        assert size(frozen / "checkpoints" / seed / "params") < 0.5 * file.stat().st_size


@pytest.mark.slow
def test_a_predictor_has_the_shared_parameters_and_those_of_the_run(frozen, encoder):
    runs = Predictor.load(frozen).variables
    given = load_file(encoder / "model.safetensors")
    for seed in (1, 2):
        np.testing.assert_array_equal(
            runs[seed].params["text_encoder/bert/embeddings/word/embedding"], given["embeddings.word_embeddings.weight"]
        )
    assert not np.array_equal(runs[1].params["score/kernel"], runs[2].params["score/kernel"])


@pytest.mark.slow
def test_predictions_are_those_that_training_wrote(frozen):
    rows = (frozen / "predictions" / "test.csv").read_text().splitlines()
    header, cells = rows[0].split(","), np.array([row.split(",") for row in rows[1:]])
    for seed, heads in Predictor.load(frozen).predict_runs(TEXT.test).items():
        written = cells[:, header.index(f"{seed}/prediction")].astype(np.float32)
        np.testing.assert_allclose(heads["prediction"], written, atol=1e-6)


@pytest.mark.slow
def test_a_folder_of_the_first_format_predicts_the_same(frozen, encoder, tmp_path, monkeypatch):
    """Written as before: every run holds all of its parameters, and the configuration says format 1."""
    monkeypatch.setattr("msa_jax.train.checkpoint.parted", lambda tree, pretrained: (tree, {}))
    options = {"text_encoder": str(encoder), "finetune_text": False, "max_epochs": 1, "runs_per_program": 1}
    old = train_quick("text_only", TEXT, tmp_path / "old", seeds=(1, 2), options=options).path
    content = json.loads((old / "config.json").read_text())
    (old / "config.json").write_text(json.dumps({**content, "format": 1}))
    assert not (old / "checkpoints" / "shared").exists()
    np.testing.assert_array_equal(Predictor.load(old).predict(TEXT.test), Predictor.load(frozen).predict(TEXT.test))


@pytest.mark.slow
def test_a_text_encoder_that_is_trained_is_kept_for_each_run(encoder, tmp_path):
    options = {"text_encoder": str(encoder), "max_epochs": 1}
    run = train_quick("text_only", TEXT, tmp_path / "run", options=options).path
    assert not (run / "checkpoints" / "shared").exists()


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["removed", "truncated", "one bit", "no safetensors"])
def test_a_damaged_shared_file_is_an_input_error(frozen, tmp_path, damage):
    run = Path(shutil.copytree(frozen, tmp_path / "run"))
    (file,) = (run / "checkpoints" / "shared").iterdir()
    content = bytearray(file.read_bytes())
    if damage == "removed":
        file.unlink()
    elif damage == "one bit":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    else:
        file.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"nothing of the kind")
    with pytest.raises(InputError, match=r"safetensors: (missing|not the file that was written)"):
        Predictor.load(run)


# -- what a stage leaves ----------------------------------------------------------------------------------------------

GIVEN = {"encoder/layers/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "encoder/bias": np.ones(2, np.float32)}


def left(**changes: np.ndarray) -> StageInit:
    params = {**GIVEN, "score/kernel": np.full((2, 1), 7, np.float32), **changes}
    return StageInit(Variables(params, {}), {"label": np.arange(4.0)})


def test_a_layer_that_was_trained_is_the_run_s_own_and_the_others_are_shared(tmp_path):
    moved = np.array([[0, 1, 2], [3, 4, 6]], np.float32)  # the second layer
    for seed in ("1", "2"):
        save_stage(
            tmp_path / seed / "stages" / "first",
            left(**{"encoder/layers/kernel": moved}),
            Pretrained(GIVEN, tmp_path / "shared"),
        )
    (file,) = (tmp_path / "shared").iterdir()
    assert load_file(file).keys() == {"encoder/layer_0/kernel", "encoder/bias"}
    for seed in ("1", "2"):
        folder = tmp_path / seed / "stages" / "first"
        check_stage(folder, left())
        kept = load_stage(folder, left())
        np.testing.assert_array_equal(kept.variables.params["encoder/layers/kernel"], moved)
        np.testing.assert_array_equal(kept.variables.params["encoder/bias"], GIVEN["encoder/bias"])
        np.testing.assert_array_equal(kept.memory["label"], np.arange(4.0))


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_bytes(file.read_bytes()[:-1])])
def test_a_shared_file_that_is_not_whole_is_an_input_error(tmp_path, damage):
    save_stage(tmp_path / "1", left(), Pretrained(GIVEN, tmp_path / "shared"))
    damage(next((tmp_path / "shared").iterdir()))
    for read in (load_stage, check_stage):
        with pytest.raises(InputError, match=r"safetensors: (missing|not the file that was written)"):
            read(tmp_path / "1", left())


def test_other_pretrained_weights_make_another_file(tmp_path):
    for number, value in ((1, 1.0), (2, 2.0)):
        given = {"encoder/bias": np.full(2, value, np.float32)}
        save_stage(
            tmp_path / str(number),
            left(**given),
            Pretrained(given, tmp_path / "shared"),
        )
    assert len(list((tmp_path / "shared").iterdir())) == 2
    for number in (1, 2):
        folder = tmp_path / str(number)
        kept = fitted(folder, read_variables(folder), left().variables)
        np.testing.assert_array_equal(kept.params["encoder/bias"], np.full(2, number, np.float32))


def test_only_a_shared_file_is_read_beside_the_parameters(tmp_path):
    """What else `params.json` names has its sum checked, and is not opened."""
    folder, other = tmp_path / "1", tmp_path / "elsewhere.safetensors"
    save_stage(folder, left())
    other.write_bytes(b"nothing of the kind")
    sums = json.loads((folder / "params.json").read_text())
    sums["../../elsewhere.safetensors"] = hashlib.sha256(other.read_bytes()).hexdigest()
    (folder / "params.json").write_text(json.dumps(sums))
    assert load_stage(folder, left()).variables.params.keys() == left().variables.params.keys()
