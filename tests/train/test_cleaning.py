"""`clean` drops what scores and predictions do not need, says what is lost, and touches nothing that it does not know."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from msa_jax.errors import InputError
from msa_jax.train.cleaning import clean
from msa_jax.train.experiment import resume
from msa_jax.train.experiment_dir import locked
from msa_jax.train.predictor import Predictor
from msa_jax.train.shared_parameters import SHARED
from tests.tiny import train_toy
from tests.train.kit import AUDIO, outcome

pytestmark = pytest.mark.usefixtures("toy")
TWO = {"stages": 2, "encoder_epochs": 1, "max_epochs": 2, "runs_per_program": 1}


@pytest.fixture(scope="module")
def kept(toy, tmp_path_factory) -> Path:
    """Two stages, last states kept."""
    out = tmp_path_factory.mktemp("kept") / "run"
    return train_toy(out, AUDIO, seeds=(1, 2), options=TWO, keep_state=True).path


@pytest.fixture
def run(kept, tmp_path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "run"))


def files(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_states_and_stages_are_dropped_and_nothing_else(run):
    before = files(run)
    done = clean(run)
    after = files(run)
    gone = before.keys() - after.keys()
    assert {name.split("/")[2] for name in gone} == {"state", "stages"}
    assert done.size == sum(before[name] for name in gone) > 10_000
    assert after == {name: size for name, size in before.items() if name not in gone}
    assert {path.name for path in (run / "checkpoints" / "1").iterdir()} == {
        "params", "params.json", "records.npz", "result.json", "scores.npz"
    }  # fmt: skip
    assert len(done.lost) == 2
    assert clean(run).size == 0  # and it can be done again


def test_what_a_killed_deletion_of_a_state_left_is_dropped_too(run):
    left = run / "checkpoints" / "1_to_2" / ".state.gone"
    left.mkdir(parents=True)
    (left / "big").write_bytes(bytes(1000))
    clean(run)
    assert not left.parent.exists()


def test_a_part_that_a_killed_process_left_is_dropped_too(run, monkeypatch):
    part = run / f".result.json.00000000-1-{'0' * 8}.msa_jax-part"  # of another machine
    part.touch()
    clean(run)
    assert part.exists()  # which may write it yet
    now = time.time()
    monkeypatch.setattr("msa_jax.whole_files.time.time", lambda: now + 25 * 3600)
    clean(run)
    assert not part.exists()


def test_predictions_are_the_same_afterwards(run, kept):
    clean(run)
    np.testing.assert_array_equal(Predictor.load(run).predict(AUDIO.test), Predictor.load(kept).predict(AUDIO.test))


def test_a_dry_run_drops_nothing_and_says_the_same(run):
    before = files(run)
    planned = clean(run, dry_run=True)
    assert files(run) == before
    done = clean(run)
    assert (planned.size, planned.paths, planned.lost) == (done.size, done.paths, done.lost)
    assert "would drop" in planned.text(dry_run=True)
    assert "without this, `msa-jax resume --max-epochs` cannot go on from the last state" in planned.text(dry_run=True)


@pytest.mark.slow
def test_an_experiment_that_was_cleaned_begins_again_when_it_is_to_have_more_epochs(run, tmp_path):
    clean(run)
    resume(run, max_epochs=3, data=AUDIO, log=None)
    straight = train_toy(tmp_path / "straight", AUDIO, seeds=(1, 2), options={**TWO, "max_epochs": 3}).path
    assert outcome(run) == outcome(straight)


def test_what_is_not_known_stays(run):
    checkpoints = run / "checkpoints"
    (checkpoints / "1" / "stages" / "encoder" / "notes.txt").write_text("mine")
    (checkpoints / "2" / "state" / "notes.txt").write_text("mine")
    (checkpoints / "mine" / "state" / "7").mkdir(parents=True)
    (checkpoints / "1" / "more").mkdir()
    (run / "mine.bin").write_bytes(b"1")
    done = clean(run)
    assert {path.relative_to(checkpoints).as_posix() for path in done.left} == {"1/stages/encoder", "2/state"}
    assert (checkpoints / "1" / "stages" / "encoder" / "params").is_dir()
    assert any((checkpoints / "2" / "state").glob("[0-9]*"))
    assert (checkpoints / "mine" / "state" / "7").is_dir()
    assert (checkpoints / "1" / "more").is_dir()
    assert (run / "mine.bin").is_file()
    assert not (checkpoints / "1" / "state").exists()
    assert not (checkpoints / "2" / "stages").exists()


def test_a_link_is_not_followed(run, tmp_path):
    state = run / "checkpoints" / "1" / "state"
    shutil.move(state, tmp_path / "elsewhere")
    state.symlink_to(tmp_path / "elsewhere")
    done = clean(run)
    assert state in done.left
    assert files(tmp_path / "elsewhere")


def test_a_shared_file_goes_only_if_no_run_names_it(run):
    shared = run / "checkpoints" / SHARED
    shared.mkdir()
    used, unused, strange = (shared / f"{name}.safetensors" for name in ("a" * 64, "b" * 64, "notes"))
    for path in (used, unused, strange):
        path.write_bytes(b"12345")
    sums = run / "checkpoints" / "2" / "params.json"
    sums.write_text(sums.read_text().replace("{", f'{{"../../{SHARED}/{used.name}": "{used.stem}",', 1))
    done = clean(run)
    assert unused in done.paths
    assert (used.exists(), unused.exists(), strange.exists()) == (True, False, True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "result.json").unlink(), "not finished, so its checkpoints are needed; `msa-jax resume "),
        (lambda run: (run / "config.json").unlink(), "not an experiment"),
        (lambda run: (run / "config.json").write_text("{}"), "not an experiment"),
        (lambda run: (run / "checkpoints" / "1" / "params.json").write_text("{"), "not JSON"),
    ],
)
def test_what_cannot_be_cleaned_is_an_input_error_and_stays_whole(run, damage, message):
    damage(run)
    before = files(run)
    with pytest.raises(InputError, match=message):
        clean(run)
    assert files(run) == before


def test_an_experiment_that_is_in_use_is_refused(run):
    with locked(run), pytest.raises(InputError, match="another process is writing"):
        clean(run)
