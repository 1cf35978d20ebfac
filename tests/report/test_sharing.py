"""An exported folder predicts as its experiment does, says what it is, holds nothing private, and may come from anywhere."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import msa_jax
from msa_jax import cli
from msa_jax.errors import InputError
from msa_jax.report.compare import compare
from msa_jax.report.evaluation import evaluate
from msa_jax.report.model_card import model_card
from msa_jax.report.prediction import predict
from msa_jax.report.sharing import export, push_to_hub
from msa_jax.train import experiment_start
from msa_jax.train.exported import FILES
from msa_jax.train.predictor import Predictor
from msa_jax.train.settings import RunConfig
from tests.tiny import tiny_dataset, train_quick

TEXT = tiny_dataset(modalities=("text",))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """text_only with a text encoder of its own for each of two seeds, by the programs that other tests compile."""
    out = tmp_path_factory.mktemp("sharing") / "run"
    return train_quick("text_only", TEXT, out, seeds=(1, 2), options={"runs_per_program": 1}).path


@pytest.fixture(scope="module")
def shared(run, tmp_path_factory) -> Path:
    return export(run, tmp_path_factory.mktemp("exported") / "model", licence="cc-by-4.0").path


@pytest.fixture
def copied(shared, tmp_path) -> Path:
    return Path(shutil.copytree(shared, tmp_path / "model"))


def seal(folder: Path, **changes) -> None:
    """Writes the configuration anew with the sums of the files as they are now: what somebody with ill will would do."""
    content = json.loads((folder / "config.json").read_text())
    content["sha256"] = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in FILES[1:]
        if (folder / name).is_file()
    }
    (folder / "config.json").write_text(json.dumps({**content, **changes}))


# -- the round trip ---------------------------------------------------------------------------------------------------


def test_predictions_equal_those_of_the_experiment_bit_for_bit(run, shared):
    want, got = (
        Predictor.load(run).predict_runs(TEXT.test),
        msa_jax.Predictor.from_pretrained(shared).predict_runs(TEXT.test),
    )
    assert got.keys() == want.keys() == {1, 2}
    for seed, heads in want.items():
        for head, values in heads.items():
            np.testing.assert_array_equal(got[seed][head], values)
    assert not np.array_equal(got[1]["prediction"], got[2]["prediction"])


def test_the_command_predicts_with_an_exported_folder(run, shared):
    assert predict(shared, text=["good film"]).csv() == predict(run, text=["good film"]).csv()


def test_chosen_seeds_alone_are_exported_with_their_own_scores(run, tmp_path, capsys):
    assert cli.main(["export", str(run), "--out", str(tmp_path / "one"), "--seed", "2", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["seeds"] == [2]
    assert said["bytes"] == sum(path.stat().st_size for path in (tmp_path / "one").rglob("*") if path.is_file())
    got = Predictor.from_pretrained(tmp_path / "one")
    want = Predictor.load(run).predict_runs(TEXT.test)[2]["prediction"]
    np.testing.assert_array_equal(got.predict(TEXT.test), want)
    scores = json.loads((tmp_path / "one" / "metrics.json").read_text())
    result = json.loads((run / "result.json").read_text())
    assert [one["test"] for one in scores["runs"]] == [one["test"] for one in result["runs"] if one["seed"] == 2]
    assert scores["mean"]["MAE"] == pytest.approx(scores["runs"][0]["test"]["MAE"])


@pytest.mark.slow
def test_a_method_with_more_modalities_and_statistics_makes_the_round_trip(tmp_path):
    dataset = tiny_dataset()
    options = {"standardise": "train", "finetune_text": False, "max_epochs": 1}
    run = train_quick("self_mm", dataset, tmp_path / "run", seeds=(1, 2), options=options).path
    export(run, tmp_path / "model")
    want, got = (
        Predictor.load(run).predict_runs(dataset.test),
        Predictor.load(tmp_path / "model").predict_runs(dataset.test),
    )
    for seed, heads in want.items():
        for head, values in heads.items():
            np.testing.assert_array_equal(got[seed][head], values)


def test_what_all_runs_have_in_common_is_stored_once(run, tmp_path, monkeypatch):
    predictor = Predictor.load(run)
    first, second = predictor.variables.values()
    frozen = {path: value for path, value in first.params.items() if path.startswith("text_encoder/")}
    both = {1: first, 2: second._replace(params={**second.params, **frozen})}
    monkeypatch.setattr(Predictor, "load", lambda path: replace(predictor, variables=both))
    names = load_file(export(run, tmp_path / "model").path / "model.safetensors").keys()
    assert {name.split("/")[0] for name in names if "/text_encoder/" in name} == {"shared"}
    assert {name.split("/")[0] for name in names if "/score/" in name} == {"1", "2"}
    got = Predictor.from_pretrained(tmp_path / "model").variables
    for seed in (1, 2):
        for path, value in both[seed].params.items():
            np.testing.assert_array_equal(got[seed].params[path], value)


# -- what it says -----------------------------------------------------------------------------------------------------


def test_the_folder_holds_parameters_and_no_data_and_names_no_place(run, shared):
    names = {path.relative_to(shared).as_posix() for path in shared.rglob("*") if path.is_file()}
    assert names == {*FILES, "README.md"}
    parameters = sum(value.nbytes for one in Predictor.load(run).variables.values() for value in one.params.values())
    assert parameters < (shared / "model.safetensors").stat().st_size < 1.1 * parameters + 20_000
    content = json.loads((shared / "config.json").read_text())
    assert content["format"] == 1
    for path in shared.rglob("*.*"):
        if path.suffix in (".json", ".md"):
            text = path.read_text()
            assert str(run.parent) not in text
            assert not any(name in text for name in TEXT.test.id)


def test_a_local_text_encoder_is_named_without_its_place(run, tmp_path):
    moved = Path(shutil.copytree(run, tmp_path / "run"))
    content = json.loads((moved / "config.json").read_text())
    content["options"]["text_encoder"] = str(tmp_path / "secret" / "my-bert")
    align = {"to": "tokens", "text_encoder": str(tmp_path / "secret" / "my-bert"), "max_tokens": 50}
    content["extract"] = {"align": align}
    (moved / "config.json").write_text(json.dumps(content))
    export(moved, tmp_path / "model")
    assert "secret" not in (tmp_path / "model" / "config.json").read_text()
    shared = json.loads((tmp_path / "model" / "config.json").read_text())
    assert shared["run"]["extract"] == {"align": {**align, "text_encoder": "my-bert"}}
    assert "`my-bert`" in (tmp_path / "model" / "README.md").read_text()
    assert len(Predictor.from_pretrained(tmp_path / "model").predict(TEXT.test)) == len(TEXT.test)


def test_the_card_has_data_scores_of_every_seed_options_limits_and_licence(run, shared):
    card = (shared / "README.md").read_text()
    result = json.loads((run / "result.json").read_text())
    for one in result["runs"]:
        assert f"| {one['seed']} " in card
        assert f"{one['test']['MAE']:.3f}" in card
    assert f"{result['mean']['MAE']:.3f} ± {result['std']['MAE']:.3f}" in card
    assert card.startswith("---\nlibrary_name: msa_jax\nlicense: cc-by-4.0\n")
    assert "train 24, valid 8, test 8 samples" in card
    assert "| `max_tokens` | 12 |" in card
    for title in ("Scores", "Data", "What it reads", "Options", "Limits", "Licence", "Made with"):
        assert f"## {title}\n" in card


def test_a_bar_in_the_value_of_an_option_does_not_break_the_table_of_the_card(run):
    config = RunConfig.from_json(json.loads((run / "config.json").read_text()), "config.json")
    config = replace(config, options={**config.options, "freeze": "a/|b/"})
    result, environment = (json.loads((run / f"{name}.json").read_text()) for name in ("result", "environment"))
    card = model_card(config, result, environment, samples={"test": 8}, licence=None)
    assert "| `freeze` | a/&#124;b/ |" in card.splitlines()


# -- folders that are not what they should be -------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["removed", "truncated", "one bit", "empty"])
def test_a_damaged_folder_is_an_input_error(copied, name, damage):
    path = copied / name
    content = bytearray(path.read_bytes())
    if damage == "removed":
        path.unlink()
    elif damage == "one bit":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
    if (name, damage) == ("config.json", "one bit"):
        return  # a letter of a word of no meaning may be any
    with pytest.raises(InputError) as caught:
        Predictor.from_pretrained(copied)
    assert "\n" not in str(caught.value)


def _tensors(change):
    def damage(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        save_file(change(tensors), folder / "model.safetensors")
        seal(folder)

    return damage


def _run_with(**changes):
    def damage(folder: Path) -> None:
        content = json.loads((folder / "config.json").read_text())
        seal(folder, run={**content["run"], **changes})

    return damage


def _preprocessing(**changes):
    def damage(folder: Path) -> None:
        path = folder / "preprocessing" / "preprocessing.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
        seal(folder)

    return damage


def _pickle(folder: Path) -> None:
    np.savez(folder / "preprocessing" / "statistics.npz", audio=np.array([{"a": 1}], object))
    seal(folder)


def _no_safetensors(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x80\x04cos\nsystem\n")
    seal(folder)


def _own_tokenizer_code(folder: Path) -> None:
    tokenizer = folder / "preprocessing" / "tokenizer"
    (tokenizer / "tokenizer.json").unlink()
    (tokenizer / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["evil.Evil", null]}}')
    (tokenizer / "evil.py").write_text("raise SystemExit('code ran')")
    seal(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: seal(folder, format=2), "format 2 is of a newer msa_jax, this one reads format 1"),
        (lambda folder: seal(folder, format="1"), "format is '1'"),
        (lambda folder: seal(folder, run=[]), "configuration of this version"),
        (lambda folder: seal(folder, library_name="other"), "not of a model that msa_jax exported"),
        (_run_with(method="nothing"), "nothing"),
        (_run_with(method=["a"]), r"method is \['a'\]; expected str"),
        (_run_with(seeds=[1, 3]), "is missing"),
        (_run_with(seeds=["../../x"]), "whole numbers"),
        (_run_with(options=[1]), r"options is \[1\]; expected dict"),
        (_run_with(options={"no_such_option": 1}), "unknown option"),
        (_run_with(inputs={"text": 3}), "configuration of this version|cannot be used"),
        (_run_with(inputs={"text": None, "audio": 5, "vision": None}), "configuration of this version"),
        (_tensors(lambda all: {name: value * np.float32("nan") for name, value in all.items()}), "not finite float32"),
        (
            _tensors(lambda all: {name: value.astype(np.float64) for name, value in all.items()}),
            "is float64; expected float32",
        ),
        (_tensors(lambda all: {name: value[:1] for name, value in all.items()}), "has shape"),
        (_tensors(lambda all: dict(list(all.items())[:3])), "is missing"),
        (_no_safetensors, "not readable safetensors"),
        (_pickle, "preprocessing of this experiment cannot be read"),
        (_own_tokenizer_code, "not a file that was exported"),
        (_preprocessing(modalities=["text", "audio"]), "not the preprocessing of this model"),
        (_preprocessing(max_tokens=10**6), "not the preprocessing of this model"),
        (_preprocessing(widths=[]), "not the preprocessing|cannot be read|not a model"),
        (_preprocessing(surprise=1), "cannot be read"),
    ],
)
def test_a_folder_that_somebody_tampered_with_is_an_input_error(copied, damage, message):
    damage(copied)
    with pytest.raises(InputError, match=message) as caught:
        Predictor.from_pretrained(copied)
    assert "\n" not in str(caught.value)


def test_the_command_says_one_line_and_exits_with_2(copied, capsys):
    (copied / "model.safetensors").write_bytes(b"")
    assert cli.main(["predict", str(copied), "--text", "good"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "no such folder"),
        ("nowhere", "no such folder; expected one that `msa-jax export` wrote, or a Hugging Face id"),
        (Path("some/where"), "no such folder"),
        ("../up/and/away", "no such folder"),
        ("user/../name", "no such folder"),
    ],
)
def test_what_is_neither_a_folder_nor_an_id_is_an_input_error(source, message):
    with pytest.raises(InputError, match=message):
        Predictor.from_pretrained(source)


def test_an_experiment_is_not_taken_for_an_exported_folder_nor_the_other_way_round(run, shared, tmp_path):
    with pytest.raises(InputError, match="not of a model that msa_jax exported"):
        Predictor.from_pretrained(run)
    with pytest.raises(InputError, match="exported without its dataset; name one with --data"):
        evaluate(shared)
    with pytest.raises(InputError, match="an exported folder, which predicts; expected an experiment folder"):
        compare([shared])
    with pytest.raises(InputError, match="is exported already"):
        export(shared, tmp_path / "again")
    with pytest.raises(InputError, match="not empty and not an experiment"):  # training writes nothing into it
        experiment_start.begin(shared, {"method": "text_only"}, {}, defaults={})


# -- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"seeds": [3]}, "has no run of seed 3; its seeds are 1, 2"),
        ({"seeds": []}, "has no run of seed"),
        ({"seeds": 1}, "seeds is 1; expected a list of seeds, also for a single one"),
        ({"licence": "mit\ntags: x"}, "licence is"),
    ],
)
def test_what_cannot_be_exported_leaves_nothing(run, tmp_path, named, message):
    with pytest.raises(InputError, match=message):
        export(run, tmp_path / "model", **named)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_as_it_is(run, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="exists and is not empty"):
        export(run, tmp_path)
    with pytest.raises(InputError, match=r"the experiment in .* writes this itself"):
        export(run, run / "predictions")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_full_disk_leaves_nothing_half_written(run, tmp_path, monkeypatch):
    def full(folder, run):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("msa_jax.report.sharing.exported.write_config", full)
    with pytest.raises(InputError, match=r"model: cannot be written \(No space left on device\)"):
        export(run, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


# -- the hub, which no test reaches -----------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch, tmp_path) -> SimpleNamespace:
    """A hub in a folder, in the place of Hugging Face's."""
    store = SimpleNamespace(root=tmp_path / "hub", private={})

    class Api:
        def create_repo(self, repo_id, *, private, exist_ok):
            assert exist_ok
            store.private[repo_id] = private
            return f"hub:{repo_id}"

        def upload_folder(self, *, repo_id, folder_path, allow_patterns, commit_message):
            for name in allow_patterns:
                if (Path(folder_path) / name).is_file():
                    (store.root / repo_id / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(Path(folder_path) / name, store.root / repo_id / name)

    def download(repo_id, *, revision, allow_patterns):
        if not (store.root / repo_id).is_dir():
            raise OSError(f"404\nno repository {repo_id}")
        got = tmp_path / "cache"
        for name in allow_patterns:
            if (store.root / repo_id / name).is_file():
                (got / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(store.root / repo_id / name, got / name)
        return str(got)

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    return store


def test_what_is_pushed_comes_back(copied, hub):
    (copied / "notes.txt").write_text("mine")
    assert push_to_hub(copied, "me/model") == "hub:me/model"
    assert hub.private == {"me/model": True}
    assert not (hub.root / "me/model/notes.txt").exists()
    assert (hub.root / "me/model/README.md").is_file()
    want = Predictor.from_pretrained(copied).predict(TEXT.test)
    np.testing.assert_array_equal(Predictor.from_pretrained("me/model").predict(TEXT.test), want)


def test_what_the_hub_says_is_one_line(copied, hub, run, monkeypatch):
    with pytest.raises(
        InputError, match=r"me/none: no such folder, and the Hugging Face hub .*404 no repository me/none"
    ):
        Predictor.from_pretrained("me/none")
    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", lambda *_, **__: (_ for _ in ()).throw(OSError("401\nno")))
    with pytest.raises(
        InputError, match=r"me/model: the Hugging Face hub did not take it \(OSError: 401 no\); `hf auth"
    ):
        push_to_hub(copied, "me/model")
    with pytest.raises(InputError, match="not of a model that msa_jax exported"):
        push_to_hub(run, "me/model")
