"""The leaderboard: who is in it, what is compared with what, and that test selects nothing."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest

from msa_jax import cli, config
from msa_jax.errors import InputError, TrainingStopped, Unavailable
from msa_jax.metrics import METRIC_KEYS
from msa_jax.report import figures, leaderboard_figure, leaderboard_tables, studies
from msa_jax.report.differences import noncentrality
from msa_jax.report.leaderboard import leaderboard
from msa_jax.train.settings import resolve
from tests.tiny import TOY_QUICK, tiny_dataset, toy  # noqa: F401 - toy is a fixture

SEEDS = (1, 2, 3, 4, 5)
VALID = {"text_only": 0.90, "tfn": 0.70, "lmf": 0.80}  # MAE; on test tfn is the worst of all
TEST = {"text_only": 0.80, "tfn": 0.95, "lmf": 0.60}
NOISE = {name: np.random.default_rng(number).normal(0, 0.02, len(SEEDS)) for number, name in enumerate(TEST)}


@pytest.fixture
def pretend(monkeypatch):
    """Experiments of known scores in the place of training; the names of the methods that were trained."""
    trained = []

    def train(method, dataset, *, seeds, out, preset, protocol, record_labels, log, options):
        if method == "mfn":
            raise TrainingStopped("seed 1, epoch 2: the loss is nan")
        trained.append(method)
        settings = resolve(method, dataset=dataset.card.name, preset=preset, protocol=protocol, options=options)
        (out / "predictions").mkdir(parents=True)
        content = {"method": method, "dataset": dataset.card.name, "protocol": protocol, "seeds": list(seeds)}
        (out / "config.json").write_text(json.dumps({**content, "options": config.to_json(settings.options)}))
        (out / "environment.json").write_text(json.dumps({"dataset_sha256": dataset.fingerprint()}))
        runs = []
        for place, seed in enumerate(seeds):
            scores = dict.fromkeys(METRIC_KEYS["mosi"], 0.5)
            test = {**scores, "MAE": TEST[method] + NOISE[method][place]}
            runs.append({"seed": seed, "best_epoch": 1, "valid": {**scores, "MAE": VALID[method]}, "test": test})
        result = {"method": method, "dataset": dataset.card.name, "runs": runs, "mean": {}, "std": {}, "seconds": 90.0}
        extra = {"parameters": 1234, "process": {"peak_memory_mb": 700.0, "compile_seconds": 3.0}}
        (out / "result.json").write_text(json.dumps({**result, **extra}))
        lines = [",".join(["id", "label", *(f"{seed}/prediction" for seed in seeds)])]
        for row, (name, label) in enumerate(zip(dataset.test.id, dataset.test.label, strict=True)):
            lines.append(",".join([name, str(label), *[str(label + TEST[method] * (-1) ** row)] * len(seeds)]))
        (out / "predictions" / "test.csv").write_text("\n".join(lines) + "\n")

    monkeypatch.setattr(studies, "train", train)
    monkeypatch.setattr(figures, "available", lambda: False)  # takes its time
    return trained


def run(tmp_path, methods=("text_only", "tfn", "lmf"), **named):
    given = {"seeds": SEEDS, "out": tmp_path / "out", "log": None, **named}
    return leaderboard(tiny_dataset(), methods=methods, **given)


@pytest.mark.usefixtures("pretend")
def test_the_file_has_the_rows_that_checks_rely_on(tmp_path):
    run(tmp_path)
    content = json.loads((tmp_path / "out" / "leaderboard.json").read_text())
    assert content["dataset"] == "tiny"
    assert [row["method"] for row in content["rows"]] == ["tfn", "lmf", "text_only"]  # by MAE on valid
    for row in content["rows"]:
        assert {"method", "protocol", "seeds", "mean", "std", "difference", "minutes", "parameters"} <= row.keys()
        test = TEST[row["method"]] + NOISE[row["method"]]
        assert row["mean"]["MAE"] == pytest.approx(test.mean())
        assert row["std"]["MAE"] == pytest.approx(test.std(ddof=1))
        assert (row["seeds"], row["protocol"], row["minutes"], row["parameters"]) == (list(SEEDS), "paper", 1.5, 1234)
    for name in ("leaderboard.md", "leaderboard.tex"):
        assert (tmp_path / "out" / name).is_file()
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == set(TEST)


@pytest.mark.usefixtures("pretend")
def test_the_best_is_the_best_on_valid_and_not_on_test(tmp_path):
    content = run(tmp_path).content
    assert content["best"] == "tfn"
    assert min(TEST, key=TEST.get) == "lmf"
    assert content["rows"][0]["difference"]["best"] is None


@pytest.mark.usefixtures("pretend")
def test_differences_are_paired_and_their_p_values_adjusted_over_the_methods(tmp_path):
    from scipy import stats

    rows = {row["method"]: row["difference"] for row in run(tmp_path).content["rows"]}
    first = TEST["text_only"] + NOISE["text_only"]
    p = {name: stats.ttest_rel(TEST[name] + NOISE[name], first).pvalue for name in ("tfn", "lmf")}
    smaller, larger = sorted(p, key=p.get)
    adjusted = {smaller: 2 * p[smaller], larger: max(2 * p[smaller], p[larger])}
    for name, difference in ((name, rows[name]["text_only"]["MAE"]) for name in p):
        low, high = stats.ttest_rel(TEST[name] + NOISE[name], first).confidence_interval()
        assert (difference["low"], difference["high"]) == pytest.approx((low, high))
        assert difference["p"] == pytest.approx(p[name])
        assert difference["p_holm"] == pytest.approx(adjusted[name])
        error = (TEST[name] + NOISE[name] - first).std(ddof=1) / len(SEEDS) ** 0.5
        assert difference["detectable"] == pytest.approx(noncentrality(len(SEEDS) - 1, 0.05 / 2) * error)
    assert rows["lmf"]["text_only"]["MAE"]["reading"] == "better"
    assert rows["tfn"]["text_only"]["MAE"]["reading"] == "worse"
    assert rows["text_only"]["text_only"] is None


@pytest.mark.usefixtures("pretend")
def test_what_holm_does_not_show_is_not_read_as_a_difference(tmp_path, monkeypatch):
    monkeypatch.setitem(TEST, "lmf", 0.80)
    shift = np.array([0.01, 0.02, 0.02, 0.03, 0.0])  # p between 2.5 and 5 %
    monkeypatch.setitem(NOISE, "lmf", NOISE["text_only"] - shift)
    monkeypatch.setitem(TEST, "tfn", 0.80)
    difference = {row["method"]: row for row in run(tmp_path).content["rows"]}["lmf"]["difference"]["text_only"]["MAE"]
    assert 0.025 < difference["p"] < 0.05 < difference["p_holm"]
    assert difference["high"] < 0
    assert difference["reading"] == "no difference shown"


@pytest.mark.usefixtures("pretend")
def test_a_difference_that_all_seeds_share_is_drawn_without_an_interval_and_counted_by_holm(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setitem(NOISE, "lmf", NOISE["text_only"])
    found = run(tmp_path)
    rows = {row["method"]: row["difference"]["text_only"] for row in found.content["rows"]}
    same, other = rows["lmf"]["MAE"], rows["tfn"]["MAE"]
    assert same["mean"] == pytest.approx(TEST["lmf"] - TEST["text_only"])
    assert [same[key] for key in ("low", "high", "p", "p_holm", "detectable")] == [None] * 5
    assert same["reading"] == "no interval"
    assert other["p_holm"] == 2 * other["p"]
    line = next(row for row in found.tables[1].rows if row[0] == "lmf")
    assert line[3:] == (None, "-", "-", "no interval", "-")
    drawn = {"text_only": {"lmf": same, "tfn": other}}
    figure = leaderboard_figure.draw(drawn, names={"text_only": "text_only"}, ranks=None, title="t")
    _, point, *interval_and_point = figure.axes[0].lines
    assert (list(point.get_xdata()), point.get_color()) == ([same["mean"]], figures.GREY)
    assert len(interval_and_point) == 2
    assert figure.axes[0].get_xlabel().endswith("colour: shown after Holm; bars: not adjusted")


@pytest.mark.parametrize(
    ("ids", "videos", "said"),
    [
        (None, None, "It is unknown whether some belong together, as those of a video do."),
        ("v{}_{}", 4, "Samples of a video are alike, so p and the critical difference are too small."),
    ],
)
@pytest.mark.usefixtures("pretend")
def test_ranks_say_what_is_known_of_the_videos_of_the_samples(tmp_path, ids, videos, said):
    dataset = tiny_dataset()
    if ids is not None:
        names = np.array([ids.format(row % 4, row) for row in range(len(dataset.test))])
        dataset = replace(dataset, test=replace(dataset.test, id=names))
    found = leaderboard(dataset, methods=("tfn", "lmf"), seeds=SEEDS, out=tmp_path / "out", log=None)
    assert found.content["ranks"]["videos"] == videos
    assert said in " ".join(found.text.split())


def test_the_note_on_costs_says_when_memory_is_not_known():
    row = {"method": "lmf", "minutes": 1.0, "parameters": 9, "peak_memory_mb": None, "compile_seconds": 1.0}
    table = leaderboard_tables._costs([row])
    assert table.rows == [("lmf", "1.0", "9", None, "1.0")]
    assert "memory is known only of a method that needed more than those before it" in table.notes[0]


def test_what_is_finished_is_read_and_not_trained_again(tmp_path, pretend):
    run(tmp_path, methods=("text_only", "tfn"))
    found = run(tmp_path)
    assert pretend == ["text_only", "tfn", "lmf"]
    assert len(found.content["rows"]) == 3


def test_a_folder_that_is_in_use_is_nothing_that_a_method_cannot_do(tmp_path, pretend, monkeypatch):
    def busy(method, dataset, **named):
        raise Unavailable(f"{named['out']}: another process is writing this experiment")

    monkeypatch.setattr(studies, "train", busy)
    with pytest.raises(InputError, match=r"text_only: another process is writing"):
        run(tmp_path)


def test_a_method_that_fails_is_named_and_stops_no_other(tmp_path, pretend):
    log = io.StringIO()
    found = run(tmp_path, methods=("mfn", "mtfn", "lmf", "text_only"), log=log)
    assert pretend == ["lmf", "text_only"]
    reasons = found.content["not_possible"]
    assert reasons["mfn"] == "seed 1, epoch 2: the loss is nan"
    assert "label_t" in reasons["mtfn"]  # known before anything is trained
    assert "mfn (1 of 4)" in log.getvalue()
    assert "failed: seed 1, epoch 2: the loss is nan" in log.getvalue()
    with pytest.raises(InputError, match=r"leaderboard: nothing of it came to its end: mfn: seed 1"):
        run(tmp_path / "other", methods=("mfn",))


def test_every_method_has_one_protocol_whatever_a_preset_says(tmp_path, pretend):
    found = run(tmp_path, preset="tfn_mosi_mmsa,lmf_mosi_mmsa")
    assert {row["protocol"] for row in found.content["rows"]} == {"paper"}
    assert "Protocol paper in every row" in found.text
    with pytest.raises(InputError, match="a finished experiment with protocol paper; the study runs reference"):
        run(tmp_path, protocol="reference")
    assert len(pretend) == 3


@pytest.mark.usefixtures("pretend")
def test_without_text_only_and_with_few_seeds_the_page_says_so(tmp_path):
    found = run(tmp_path, methods=("tfn", "lmf"), seeds=(1, 2))
    assert set(found.content["rows"][1]["difference"]) == {"best"}
    assert "No difference from text_only, which is not among the methods." in found.text
    assert "2 seeds, fewer than 5" in found.text


@pytest.mark.usefixtures("pretend")
def test_the_page_says_what_was_left_out_of_the_data(tmp_path):
    found = run(tmp_path, options={"leave_out": ("vision",)})
    assert "Leaderboard: tiny without vision, test, mean" in found.text


@pytest.mark.usefixtures("pretend")
def test_one_method_alone_is_a_row_without_a_figure(tmp_path):
    found = run(tmp_path, methods=("tfn",))
    assert (len(found.content["rows"]), found.content["ranks"], dict(found.figures)) == (1, None, {})


@pytest.mark.usefixtures("pretend")
def test_the_figure_is_drawn_where_there_is_matplotlib_and_missed_where_not(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    found = run(tmp_path)
    assert "No figure: it needs two methods, and matplotlib" in " ".join(found.text.split())
    assert not (tmp_path / "out" / "leaderboard.png").exists()
    monkeypatch.setattr(figures, "available", lambda: True)
    run(tmp_path)
    assert (tmp_path / "out" / "leaderboard.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (("tfn", "tfm"), "unknown method 'tfm'; did you mean tfn"),
        (("tfn", "lmf", "tfn"), "method tfn is given 2 times"),
        ((), "no methods; expected at least one"),
    ],
)
def test_methods_that_cannot_be_are_refused_before_anything_is_written(tmp_path, methods, message):
    with pytest.raises(InputError, match=message):
        run(tmp_path, methods=methods)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("pretend")
def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(studies, "load_dataset", lambda _: tiny_dataset())
    line = [
        "leaderboard",
        "--data",
        "mine",
        "--methods",
        "lmf",
        "tfn",
        "--seeds",
        "1",
        "2",
        "--out",
        str(tmp_path / "o"),
    ]
    assert cli.main([*line, "--quiet", "--json", "--batch-size", "4"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content == json.loads((tmp_path / "o" / "leaderboard.json").read_text())
    assert cli.main([*line, "--colour", "red"]) == 2
    assert "unknown option 'colour'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("toy")
def test_a_leaderboard_that_is_really_trained(tmp_path):
    dataset = tiny_dataset(modalities=("audio",))
    options = {**TOY_QUICK, "max_epochs": 2}
    found = leaderboard(
        dataset, methods=("toy", "text_only"), seeds=(1, 2), out=tmp_path / "out", log=None, options=options
    )
    (row,) = found.content["rows"]
    result = json.loads((tmp_path / "out" / "toy" / "result.json").read_text())
    assert row["parameters"] == result["parameters"] > 0
    assert 0 < row["peak_memory_mb"] < 1e6
    assert row["minutes"] == pytest.approx(result["seconds"] / 60)
    assert "text" in found.content["not_possible"]["text_only"]
