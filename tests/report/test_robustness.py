"""Scores where something is missing: equal to a derivation by hand, to plain evaluation, and to prediction without it."""

import importlib.util
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from msa_jax import cli
from msa_jax.data import missing
from msa_jax.data.protocols import PROTOCOLS, find_protocol
from msa_jax.errors import DataWarning, InputError
from msa_jax.metrics import evaluate as measured
from msa_jax.report.evaluation import evaluate
from msa_jax.report.robustness import Robustness, robustness
from msa_jax.train.predictor import Predictor
from msa_jax.train.robustness import Point, RobustScorer
from tests.tiny import tiny_dataset, train_toy
from tests.train.kit import registered
from tests.train.test_predictor import READER

DATASET = tiny_dataset(modalities=("text", "audio"), rows=(16, 8, 9))
OPTIONS = {"pack_text": False, "max_tokens": 12, "max_epochs": 1}
SEED = 1  # of the run whose scores are looked at


@pytest.fixture(scope="module", autouse=True)
def reader():
    """A method that adds a score of the mean token and one of the mean frame."""
    with registered(READER) as method:
        yield method


@pytest.fixture(scope="module")
def folder(reader, tmp_path_factory):
    return train_toy(
        tmp_path_factory.mktemp("robustness") / "run", DATASET, method="reader", seeds=(1, 2), options=OPTIONS
    ).path


@pytest.fixture(scope="module")
def predictor(folder) -> Predictor:
    return Predictor.load(folder)


def scorer(predictor: Predictor, protocol: str, split=None) -> RobustScorer:
    split = DATASET.test if split is None else split
    return RobustScorer(predictor=predictor, dataset=DATASET, split=split, protocol=PROTOCOLS[protocol])


def by_hand(predictor: Predictor, ids, mask, audio, length) -> np.ndarray:
    """The reader's score in float64."""
    p = {path: np.asarray(value, np.float64) for path, value in predictor.variables[SEED].params.items()}
    words = (p["words/embedding"][ids] * mask[..., None]).sum(1) / mask.sum(1)[:, None]
    frames = audio.astype(np.float64).sum(1) / np.maximum(length, 1)[:, None]
    return (words @ p["text/kernel"] + p["text/bias"] + frames @ p["audio/kernel"] + p["audio/bias"])[:, 0]


def test_steps_are_lost_as_by_hand(predictor):
    columns, unknown = predictor.columns(DATASET.test), predictor.preprocessor.tokenizer.unknown_id
    got = scorer(predictor, "steps").scores([Point(0.3, 0), Point(0.3, 7), Point(1.0, 0), Point(1.0, 7)])[SEED]
    ids, mask = columns["text"]["ids"], columns["text"]["mask"]
    audio, length = columns["audio"]["features"], columns["audio"]["length"]
    inner = np.zeros_like(mask, bool)
    for row, count in enumerate(mask.sum(1)):
        inner[row, 1 : count - 1] = True
    for place, (rate, seed) in enumerate([(0.3, 0), (0.3, 7), (1.0, 0)]):
        words = missing.lost_steps(DATASET.test.id, "text", ids.shape[1], rate=rate, seed=seed)
        frames = missing.lost_steps(DATASET.test.id, "audio", audio.shape[1], rate=rate, seed=seed)
        heard = np.where(words & inner, unknown, ids)
        want = by_hand(predictor, heard, mask, audio * ~frames[..., None], length)
        np.testing.assert_allclose(got[place], want, atol=1e-5)
    np.testing.assert_array_equal(got[2], got[3])  # everything is lost, whatever the seed
    assert np.abs(got[0] - got[1]).max() > 1e-3


def test_rate_0_is_plain_prediction_and_rate_1_prediction_without_bit_for_bit(predictor):
    plain = predictor.predict_runs(DATASET.test)
    for protocol in ("steps", "blocks", "modalities", "silence", "T", "noise", "words"):
        got = scorer(predictor, protocol).scores([Point(0.0, 0), Point(0.5, 0)])
        for seed in (1, 2):
            np.testing.assert_array_equal(got[seed][0], plain[seed]["prediction"])
            assert not np.array_equal(got[seed][1], plain[seed]["prediction"])
    for protocol, lost in (("T", "audio"), ("A", "text")):
        with pytest.warns(DataWarning, match=f"{lost} is missing"):
            without = predictor.predict_runs(DATASET.test, missing=(lost,))
        got = scorer(predictor, protocol).scores([Point(1.0, 5), Point(0.4, 5)])
        np.testing.assert_array_equal(got[2][0], without[2]["prediction"])
        which = missing.lost_samples(DATASET.test.id, protocol, rate=0.4, seed=5)
        mixed = np.where(which, without[2]["prediction"], plain[2]["prediction"])
        np.testing.assert_array_equal(got[2][1], mixed)


def test_all_modalities_but_one_are_lost_at_rate_1(predictor):
    got = scorer(predictor, "modalities").scores([Point(1.0, 0)])[SEED][0]
    lost = missing.lost_modalities(DATASET.test.id, ("text", "audio"), rate=1.0, seed=0)
    each = scorer(predictor, "subsets").scores([Point(0.0, 0, kept) for kept in (("audio",), ("text",))])[SEED]
    np.testing.assert_array_equal(got, np.where(lost[:, 0], each[0], each[1]))


def test_a_sample_that_lacks_a_modality_keeps_the_other_one(predictor):
    lacks = np.arange(len(DATASET.test)) % 2 == 0
    split = replace(DATASET.test, raw_text=np.where(lacks, "", DATASET.test.raw_text))
    plain = predictor.predict_runs(split)[SEED]["prediction"]
    got = scorer(predictor, "modalities", split).scores([Point(1.0, 0)])[SEED][0]
    np.testing.assert_allclose(got[lacks], plain[lacks], atol=1e-5)  # audio stays, and there was nothing else
    assert np.abs(got[~lacks] - plain[~lacks]).max() > 1e-3


def test_silence_is_not_absence_and_both_are_as_by_hand(predictor):
    columns, unknown = predictor.columns(DATASET.test), predictor.preprocessor.tokenizer.unknown_id
    ids, mask = columns["text"]["ids"], columns["text"]["mask"]
    point = [Point(0.0, 0, ("audio",))]
    silent = scorer(predictor, "silent_subsets").scores(point)[SEED][0]
    inner = (np.arange(ids.shape[1]) > 0) & (np.arange(ids.shape[1]) < mask.sum(1)[:, None] - 1)
    audio, length = columns["audio"]["features"], columns["audio"]["length"]
    want = by_hand(predictor, np.where(inner, unknown, ids), mask, audio, length)
    np.testing.assert_allclose(silent, want, atol=1e-5)
    absent = scorer(predictor, "subsets").scores(point)[SEED][0]
    frame = np.array([[ids[0, 0], ids[0, mask[0].sum() - 1]]] * len(ids))
    np.testing.assert_allclose(absent, by_hand(predictor, frame, np.ones_like(frame), audio, length), atol=1e-5)
    assert np.abs(silent - absent).max() > 1e-3


@pytest.mark.slow
def test_text_that_gives_the_time_axis_is_silent_instead_of_absent(predictor, monkeypatch):
    monkeypatch.setattr("msa_jax.train.predictor.check_aligned", lambda *columns, **named: None)  # said to be aligned
    aligned = replace(predictor, inputs=replace(predictor.inputs, aligned=True))
    points = [Point(0.0, 0, ("audio",)), Point(0.0, 0, ("text",))]
    absent, silent = (scorer(aligned, name).scores(points)[SEED] for name in ("subsets", "silent_subsets"))
    np.testing.assert_allclose(absent, silent, atol=1e-5)
    plain = scorer(predictor, "subsets").scores(points)[SEED]
    assert np.abs(absent[0] - plain[0]).max() > 1e-3


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("blocks", "noise", "words", "modalities")]


@pytest.mark.parametrize("protocol", ["steps", *SLOW])
def test_scores_hang_on_the_ids_and_not_on_order_or_batches(predictor, protocol):
    points = [Point(0.3, 0), Point(0.6, 1)]
    want = scorer(predictor, protocol).scores(points)[SEED]
    order = np.random.default_rng(0).permutation(len(DATASET.test))[:7]
    smaller = replace(predictor, options=replace(predictor.options, evaluation_batch_size=2))
    got = scorer(smaller, protocol, DATASET.test.take(order)).scores(points)[SEED]
    np.testing.assert_allclose(got, want[:, order], atol=1e-5)


# -- the command ------------------------------------------------------------------------------------------------------


def test_texts_without_spaces_between_words_keep_those_that_they_have(predictor):
    """In a dataset of Chinese the words in Latin letters are words, and a text of which nothing is misheard is itself."""
    chinese = replace(DATASET, card=replace(DATASET.card, language="zh"))
    points = [Point(0.3, 0), Point(1.0, 7)]
    as_words = scorer(predictor, "words").scores(points)[SEED]
    found = replace(scorer(predictor, "words"), dataset=chinese).scores(points)[SEED]
    np.testing.assert_allclose(found, as_words, atol=2e-6)

    texts = np.array([f"{text} γεια σου" for text in DATASET.test.raw_text])  # two words that are not known
    mixed = replace(scorer(predictor, "words", replace(DATASET.test, raw_text=texts)), dataset=chinese)
    with pytest.warns(DataWarning, match="are unknown to its vocabulary"):
        plain, unheard = mixed.scores([Point(0.0, 0), Point(1e-9, 0)])[SEED]
    np.testing.assert_allclose(unheard, plain, atol=2e-6)


def run(capsys, *words) -> tuple[int, str, str]:
    status = cli.main(["robustness", *map(str, words)])
    return status, *capsys.readouterr()


@pytest.fixture
def saved(folder, tmp_path, monkeypatch):
    """Two copies of the experiment, whose dataset is found again."""
    monkeypatch.setattr("msa_jax.report.evaluation.load_dataset", lambda source: DATASET)
    for name in ("one", "two"):
        shutil.copytree(folder, tmp_path / name)
    return tmp_path


@pytest.mark.slow
def test_the_command_writes_curves_tables_and_a_figure(saved, capsys):
    out = saved / "out"
    status, text, errors = run(
        capsys,
        saved / "one",
        saved / "two",
        "--protocol",
        "steps",
        "--rates",
        0,
        0.5,
        1,
        "--mask-seeds",
        4,
        5,
        "--out",
        out,
    )
    assert status == 0, errors
    content = json.loads((out / "robustness.json").read_text())
    assert content["rates"] == [0, 0.5, 1]
    assert content["mask_seeds"] == [4, 5]
    assert {"commit", "command", "versions"} <= content["environment"].keys()
    plain = evaluate(saved / "one")
    for name in ("one", "two"):
        curves = content["runs"][name]
        assert curves.keys() == plain.mean.keys()
        assert np.shape(curves["MAE"]) == (3, 2)
        assert curves["MAE"][0] == [plain.mean["MAE"]] * 2  # bit for bit
        assert content["each"][name]["1"]["MAE"][0] == [plain.runs[1]["MAE"]] * 2
    mean = np.mean(content["runs"]["one"]["MAE"], axis=1)
    area = content["area"]["one"]["MAE"]
    np.testing.assert_allclose(area["mean"]["mean"], mean[:2].mean())
    np.testing.assert_allclose(area["auilc"]["mean"], 0.5 * (mean[0] / 2 + mean[1] + mean[2] / 2))
    assert "area (AUILC)" in text
    assert "one" in text
    assert "| rate" in (out / "robustness.md").read_text()
    drawn = (out / "robustness.png").is_file()
    assert drawn == (importlib.util.find_spec("matplotlib") is not None)


def test_metrics_are_those_of_the_scores(saved, predictor):
    found = robustness([saved / "one"], protocol="T", rates=[0.5, 1], mask_seeds=[3])
    scores = scorer(predictor, "T").scores([Point(0.5, 3), Point(1.0, 3)])
    for seed in (1, 2):
        want = [measured(one, DATASET.test.label, kind="mosi") for one in scores[seed]]
        assert found.runs["one"][seed]["Corr"][:, 0].tolist() == [of["Corr"] for of in want]


@pytest.mark.slow
def test_sets_of_modalities_are_named_by_what_is_left(saved, capsys):
    status, text, _ = run(capsys, saved / "one", "--protocol", "subsets", "--out", saved / "out", "--json")
    content = json.loads(text)
    assert status == 0
    assert content["rates"] == ["TA", "T", "A"]
    assert np.shape(content["runs"]["one"]["MAE"]) == (3, 1)
    assert content["area"]["one"]["MAE"] == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["one", "--protocol", "x"], "protocol 'x' is unknown"),
        (["one", "--rates", "0", "1.5"], "rates are 0, 1.5; expected distinct numbers in [0, 1]"),
        (["one", "--rates", "nan"], "rates are nan"),
        (["one", "--rates", "0.5", "0.5"], "expected distinct numbers"),
        (["one", "--mask-seeds", "-1"], "mask seeds are -1"),
        (["one", "--protocol", "TA"], "so nothing would be missing"),
        (["one", "--protocol", "subsets", "--rates", "0"], "has no rates; leave them out"),
        (["one", "one"], "one is given twice: expected different experiment folders"),
        (["one", "one/../one"], "is given twice"),
        (["nothing"], "not an experiment"),
    ],
)
def test_what_cannot_be_scored_is_one_line(saved, capsys, monkeypatch, words, message):
    monkeypatch.chdir(saved)
    status, _, errors = run(capsys, *words, "--out", "out")
    assert status == 2
    assert errors.count("\n") == 1
    assert message in errors
    assert not (saved / "out").exists()


def test_nothing_is_written_among_the_files_of_an_experiment(saved, capsys):
    status, _, errors = run(capsys, saved / "one", "--out", saved / "one" / "predictions")
    assert status == 2
    assert "choose another file" in errors
    (saved / "file").write_text("x")
    for out in (saved / "file", saved / "file" / "deeper"):
        status, _, errors = run(capsys, saved / "one", "--out", out)
        assert status == 2
        assert "file is no folder; choose another" in errors


@pytest.mark.parametrize("name", ["robustness.json", "robustness.md", "robustness.pdf"])
def test_what_no_robustness_wrote_is_not_overwritten(saved, tmp_path, capsys, name):
    out = tmp_path / "mine"
    out.mkdir()
    (out / name).write_text('{"my": "thesis"}')
    status, _, errors = run(capsys, saved / "one", "--out", out)
    assert status == 2
    assert f"{name}: would be overwritten, and is of something else" in errors
    assert (out / name).read_text() == '{"my": "thesis"}'


def test_experiments_on_other_samples_are_refused(saved, monkeypatch):
    other = replace(DATASET, test=DATASET.test.take(slice(1, None)))
    given = iter((DATASET, other))
    monkeypatch.setattr("msa_jax.report.robustness.dataset_of", lambda *_: (next(given), ()))
    with pytest.raises(InputError, match="two has other samples than one in split test"):
        robustness([saved / "one", saved / "two"], protocol="T", rates=[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"metrics": "regression"},
            "metrics regression of labels from -3 to 3, one has metrics mosi of labels from -3 to 3",
        ),
        (
            {"label_range": (-4.0, 4.0)},
            "metrics mosi of labels from -4 to 4, one has metrics mosi of labels from -3 to 3",
        ),
    ],
)
def test_experiments_that_are_scored_otherwise_are_refused(saved, monkeypatch, change, message):
    given = iter((DATASET, replace(DATASET, card=replace(DATASET.card, **change))))
    monkeypatch.setattr("msa_jax.report.robustness.dataset_of", lambda *_: (next(given), ()))
    with pytest.raises(InputError, match=f"^two has {message}; expected one kind of scores$"):
        robustness([saved / "one", saved / "two"], protocol="T", rates=[0])


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"rates": 0.5}, "rates is 0.5; expected a list of numbers"),
        ({"rates": ["half"]}, "rates is ['half']; expected a list of numbers"),
        ({"mask_seeds": 3}, "mask_seeds is 3; expected a list of whole numbers"),
        ({"mask_seeds": (0.2, 0.7)}, "mask seeds are 0.2, 0.7; expected distinct whole numbers"),
        ({"mask_seeds": (True,)}, "mask seeds are True; expected distinct whole numbers"),
    ],
)
def test_rates_and_seeds_of_another_kind_are_input_errors(saved, named, message):
    with pytest.raises(InputError, match=re.escape(message)):
        robustness([saved / "one"], protocol="T", **named)


def test_an_unknown_split_is_an_input_error(saved):
    with pytest.raises(InputError, match="tiny: no split 'dev'; expected one of train, valid, test"):
        robustness([saved / "one"], protocol="T", rates=[0], data=DATASET, split="dev")


def test_a_run_without_the_modality_says_so(predictor):
    alone = replace(predictor, preprocessor=replace(predictor.preprocessor, modalities=("text",)))
    with pytest.raises(InputError, match="this experiment has text alone"):
        scorer(alone, "modalities")._lost(Point(0.5, 0))


def made(**runs: list[int]) -> Robustness:
    """MAE of seed s under mask seed m is s + m / 10 at rate 0.5, and s at rate 0."""
    masks = np.array([0.0, 0.1, 0.2])
    return Robustness(
        protocol=find_protocol("steps"),
        dataset="tiny",
        split="test",
        rates=(0.0, 0.5),
        mask_seeds=(0, 1, 2),
        runs={
            name: {seed: {"MAE": np.stack([np.full(3, float(seed)), seed + masks])} for seed in seeds}
            for name, seeds in runs.items()
        },
    )


def test_the_figure_has_the_units_of_the_tables():
    pytest.importorskip("matplotlib")
    found = made(one=[1, 2])
    for of in found.runs["one"].values():
        of["F1_score"] = of["MAE"] / 10
    errors, shares = (found.figure(key).axes[0] for key in ("MAE", "F1_score"))
    assert (errors.get_ylabel(), shares.get_ylabel()) == ("MAE (lower is better)", "F1 [%]")
    np.testing.assert_allclose(errors.lines[0].get_ydata(), [1.5, 1.6])
    np.testing.assert_allclose(shares.lines[0].get_ydata(), [15, 16])
    assert found.table("F1_score").rows[0][1].startswith("15.00 ±")


def test_masks_are_no_further_trainings():
    found = made(two=[1, 2], one=[1])
    table = found.table("MAE")
    assert table.rows[0] == ["0", "1.500 ± 0.707", "1.000 ± 0.000"]
    assert table.rows[1] == ["0.5", "1.600 ± 0.707", "1.100 ± 0.100"]
    assert table.notes == (
        "mean ± sample standard deviation over 2 training seeds, each the mean over 3 mask seeds",
        "where there is one training seed: mean ± sample standard deviation over 3 mask seeds",
    )
    np.testing.assert_allclose(found.band("two", "MAE"), [[1, 2], [1.1, 2.1]])
    np.testing.assert_allclose(found.band("one", "MAE"), [[1, 1, 1], [1, 1.1, 1.2]])
    area = found.json()["area"]["two"]["MAE"]["mean"]
    assert (area["mean"], area["std"]) == pytest.approx((1.55, 0.5**0.5))
