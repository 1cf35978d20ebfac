"""Studies whose variants share the stages before the last: what is trained once, and what a user can change."""

import json

import numpy as np
import pytest

from msa_jax.errors import InputError
from msa_jax.report import studies
from msa_jax.report.studies import load_study, reproduce
from msa_jax.train.predictor import Predictor
from tests.report.studies_kit import pretend_to_train, write_study
from tests.tiny import TOY_QUICK, tiny_dataset, toy  # noqa: F401 - toy is a fixture

VARIANTS = (
    {"name": "V", "method": "toy", "needs": ("vision",)},
    {"name": "A", "method": "toy", "options": {"dropout": 0.0}},
    {"name": "B", "method": "toy", "options": {"dropout": 0.4}},
)


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path / "toy_table9.py", variants=VARIANTS, share_stages=True)


@pytest.fixture
def audio():
    return tiny_dataset(modalities=("audio",))


@pytest.fixture
def pretend(monkeypatch):
    monkeypatch.setattr(studies, "train", pretend_to_train())


def taken(found):
    return {one["variant"]: one["options"].get("stages_from") for one in found.content["experiments"]}


@pytest.mark.slow
@pytest.mark.usefixtures("toy")
def test_only_the_first_possible_variant_trains_the_first_stages(tmp_path, study, audio):
    options = {**TOY_QUICK, "max_epochs": 2, "stages": 2, "encoder_epochs": 2}
    found = reproduce(study, audio, seeds=(1,), out=tmp_path / "out", log=None, options=options)
    stages = {}
    for name in ("a", "b"):
        lines = [json.loads(line) for line in (tmp_path / "out" / name / "metrics.jsonl").read_text().splitlines()]
        stages[name] = [line["stage"] for line in lines]
    assert stages == {"a": ["encoder", "encoder", "score", "score"], "b": ["score", "score"]}
    assert taken(found) == {"V": None, "A": None, "B": str((tmp_path / "out" / "a").resolve())}
    # The last stage does not train the encoder, so both end with the one that A trained.
    first, second = (Predictor.load(tmp_path / "out" / name).variables[1].params for name in ("a", "b"))
    assert first.keys() == second.keys()
    for path, value in first.items():
        assert np.array_equal(value, second[path]) == path.startswith("audio_encoder/"), path


@pytest.mark.usefixtures("toy", "pretend")
def test_stages_that_the_user_names_are_those_of_every_variant(tmp_path, study, audio):
    options = {"stages_from": "elsewhere"}
    found = reproduce(study, audio, seeds=(1,), out=tmp_path / "out", log=None, options=options)
    assert taken(found) == dict.fromkeys("VAB", "elsewhere")


@pytest.mark.usefixtures("toy", "pretend")
def test_a_finished_study_is_read_where_it_was_moved_to(tmp_path, study, audio, monkeypatch):
    given = {"seeds": (1,), "log": None}
    first = reproduce(study, audio, out=tmp_path / "out", **given)
    (tmp_path / "out").rename(tmp_path / "moved")
    monkeypatch.setattr(studies, "train", None)
    again = reproduce(study, audio, out=tmp_path / "moved", **given)
    assert again.content["rows"] == first.content["rows"]


@pytest.mark.usefixtures("toy", "pretend")
def test_a_part_and_then_the_whole_train_each_variant_once(tmp_path, study, audio, monkeypatch):
    given = {"seeds": (1,), "out": tmp_path / "out", "log": None}
    part = reproduce(study, audio, variants=["B"], **given)
    source = str((tmp_path / "out" / "a").resolve())
    assert taken(part) == {"A": None, "B": source}  # A trains what B takes
    assert taken(reproduce(study, audio, **given)) == {"V": None, "A": None, "B": source}
    monkeypatch.setattr(studies, "train", None)
    again = reproduce(study, audio, variants=["B"], **given)
    assert taken(again) == {"B": source}
    assert "1 of its 3 variants were asked for" in again.text


@pytest.mark.usefixtures("toy", "pretend")
def test_a_part_does_not_take_stages_of_other_options(tmp_path, study, audio):
    given = {"seeds": (1,), "out": tmp_path / "out", "log": None}
    reproduce(study, audio, variants=["A"], options={"max_epochs": 1}, **given)
    with pytest.raises(InputError, match="a: a finished experiment with option max_epochs 1; the study runs"):
        reproduce(study, audio, variants=["B"], **given)


@pytest.mark.usefixtures("toy", "pretend")
def test_stages_of_two_experiments_of_one_name_are_not_the_same(tmp_path, study, audio):
    given = {"seeds": (1,), "out": tmp_path / "out", "log": None}
    reproduce(study, audio, options={"stages_from": str(tmp_path / "one" / "a")}, **given)
    with pytest.raises(
        InputError, match=r"a finished experiment with option stages_from .*one/a.*choose another --out"
    ):
        reproduce(study, audio, options={"stages_from": str(tmp_path / "two" / "a")}, **given)


@pytest.mark.usefixtures("toy", "pretend")
def test_a_variant_that_trained_its_own_stages_is_not_taken(tmp_path, study, audio):
    given = {"seeds": (1,), "out": tmp_path / "out", "log": None}
    reproduce(write_study(tmp_path / "toy_table8.py", variants=VARIANTS), audio, **given)
    with pytest.raises(InputError, match="b: a finished experiment with option stages_from none; the study runs"):
        reproduce(study, audio, **given)


def test_stages_are_shared_within_one_method_alone(tmp_path):
    variants = ({"name": "A", "method": "dmmsa"}, {"name": "B", "method": "confede"})
    with pytest.raises(InputError, match="share_stages is True; expected variants of one method"):
        load_study(write_study(tmp_path / "toy_table9.py", variants=variants, share_stages=True))
