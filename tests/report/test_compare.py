"""Comparisons of experiment folders made by hand."""

import json

import numpy as np
import pytest

from msa_jax.errors import InputError
from msa_jax.metrics import evaluate
from msa_jax.report.compare import compare

SEEDS = (1111, 1112, 1113, 1114, 1115)
FIRST, OTHER = (0.70, 0.72, 0.71, 0.74, 0.73), (0.69, 0.72, 0.70, 0.71, 0.72)
IDS = [f"clip{i % 8}$_${i}" for i in range(40)]


@pytest.fixture
def pair(write_experiment, mosi_scores):
    """Two experiments of five seeds without predictions."""
    return [
        write_experiment(name, {seed: mosi_scores(MAE=m) for seed, m in zip(SEEDS, maes, strict=True)}, method=method)
        for name, method, maes in (("a", "self_mm", FIRST), ("b", "mmcl", OTHER))
    ]


@pytest.fixture
def write_scored(write_experiment):
    """write_scored(name, seeds, noise, ...) -> an experiment whose metrics are those of its written predictions."""
    label = np.random.default_rng(0).uniform(-1, 1, len(IDS)).astype(np.float32)

    def write(name, seeds, noise, *, kind="mosi", label=label, order=None, **given):
        heads = {}
        for seed in seeds:
            rng = np.random.default_rng(seed)
            heads[f"{seed}/prediction"] = (label + noise * rng.normal(size=len(label))).astype(np.float32)
            heads[f"{seed}/text"] = np.zeros_like(label)
        runs = {seed: evaluate(heads[f"{seed}/prediction"], label, kind) for seed in seeds}
        order = np.arange(len(label)) if order is None else order
        ids = given.pop("ids", IDS)
        return write_experiment(
            name,
            runs,
            ids=[ids[i] for i in order],
            label=label[order],
            heads={head: column[order] for head, column in heads.items()},
            **given,
        )

    return write


def test_means_spreads_and_paired_differences_are_those_of_numpy(pair):
    found = compare(pair)
    assert [(e.name, e.method, e.seeds) for e in found.experiments] == [("a", "self_mm", SEEDS), ("b", "mmcl", SEEDS)]
    assert found.experiments[1].mean["MAE"] == pytest.approx(np.mean(OTHER))
    assert found.experiments[1].std["MAE"] == pytest.approx(np.std(OTHER, ddof=1))
    (difference,) = (d for d in found.differences if d.metric == "MAE")
    d = np.subtract(OTHER, FIRST)
    error = d.std(ddof=1) / np.sqrt(5)
    assert (difference.n, difference.name) == (5, "b")
    assert (difference.mean, difference.standard_error) == pytest.approx((d.mean(), error))
    assert (difference.low, difference.high) == pytest.approx(
        (d.mean() - 2.776445 * error, d.mean() + 2.776445 * error)
    )
    assert found.bootstrap == ()


@pytest.mark.parametrize(
    ("formats", "said"),
    [(("float32", "bfloat16"), True), (("float32", "float32"), False), (("auto", "float32"), False)],
)
def test_experiments_that_were_computed_in_different_number_formats_are_named(pair, formats, said):
    for folder, found in zip(pair, formats, strict=True):
        result = json.loads((folder / "result.json").read_text())
        for run in result["runs"]:
            run["hyperparameters"] = {"precision": found}
        (folder / "result.json").write_text(json.dumps(result))
    assert ("b was computed in bfloat16, a in float32." in compare(pair).notes) == said


def test_text_holds_the_numbers_and_the_reading(pair):
    lines = compare(pair).text().splitlines()
    assert "MAE         0.720 ± 0.016  0.708 ± 0.013" in lines
    assert "Acc-2 has0   50.00 ± 0.00   50.00 ± 0.00" in lines
    row = next(line for line in lines if line.startswith("b           MAE"))
    assert " ".join(row.split()) == "b MAE 5 -0.012 0.011 0.005 [-0.026, +0.002] 0.018 no difference shown"
    assert not any("no spread" in line or "fewer than" in line for line in lines)


def test_markdown_and_latex_hold_the_same_cells(pair):
    found = compare(pair)
    assert "| MAE        | 0.720 ± 0.016 | 0.708 ± 0.013 |" in found.markdown().splitlines()
    assert r"    MAE        & 0.720 $\pm$ 0.016 & 0.708 $\pm$ 0.013 \\" in found.latex().splitlines()
    assert found.latex().count(r"\begin{table}") == found.latex().count(r"\end{table}") == 2


def test_many_experiments_lie_as_rows(write_experiment, mosi_scores):
    folders = [write_experiment(f"run{i}", dict.fromkeys(SEEDS, mosi_scores(MAE=0.5))) for i in range(12)]
    means = compare(folders).tables()[0]
    assert [row[0] for row in means.rows] == [f"run{i}" for i in range(12)]


def test_json_is_unrounded_and_has_no_nan(write_experiment, mosi_scores):
    folders = [write_experiment(name, {1: mosi_scores(MAE=1 / 3, Corr=float("nan"))}) for name in "ab"]
    found = json.loads(compare(folders).json(), parse_constant=pytest.fail)
    assert found["experiments"][0]["mean"]["MAE"] == 1 / 3
    assert found["experiments"][0]["mean"]["Corr"] is None
    assert found["experiments"][0]["std"]["MAE"] is None
    assert {d["reading"] for d in found["differences"]} == {"no interval"}


def test_one_seed_is_said_to_have_no_spread(write_experiment, mosi_scores):
    folders = [write_experiment("a", dict.fromkeys(SEEDS, mosi_scores())), write_experiment("b", {1111: mosi_scores()})]
    notes = compare(folders).notes
    assert "b has one seed, so there is no spread." in notes
    assert "b: only one seed in common with a: no interval of the difference." in notes
    assert not any(note.startswith("a: 1 seed") for note in notes)


def test_few_seeds_and_undefined_metrics_are_said(write_experiment, mosi_scores):
    folder = write_experiment("a", {1: mosi_scores(), 2: mosi_scores(Corr=None)})
    assert compare([folder]).notes == (
        "a: 2 seeds, fewer than 5: the spread itself is uncertain.",
        "a: Corr not defined in at least one run, so no mean.",
    )


def test_fewer_than_five_seeds_in_common_are_said(write_experiment, mosi_scores):
    folders = [write_experiment(name, {seed: mosi_scores(MAE=seed / 9) for seed in seeds})
               for name, seeds in (("a", range(6)), ("b", range(2, 8)), ("c", range(6)))]  # fmt: skip
    few = [note for note in compare(folders).notes if "fewer than" in note]
    assert few == ["b: 4 seeds in common with a, fewer than 5: only a large difference could have been shown."]


def test_a_difference_that_all_seeds_share_is_said_and_has_no_interval(write_experiment, mosi_scores):
    shifts = {"a": 0.0, "b": 1 / 64}  # as accuracies of 64 samples, whose differences are often the same
    folders = [
        write_experiment(name, {s: mosi_scores(Mult_acc_7=s / 8 + shift, MAE=s / 8 + 9 * s * shift) for s in (1, 2)})
        for name, shift in shifts.items()
    ]
    found = compare(folders)
    (said,) = (note for note in found.notes if note.endswith("is the same with every seed, which says nothing of other "
                                                             "seeds: no interval."))  # fmt: skip
    assert "Acc-7" in said
    assert "MAE" not in said
    rows = {row[1]: row for row in found.tables()[1].rows}
    assert rows["Acc-7"][3:] == ("+1.56", "0.00", "-", None, "-", "no interval")
    assert rows["Acc-5"][3:] == ("0.00", "0.00", "-", None, "-", "no interval")
    assert rows["MAE"][-1] == "no difference shown"
    row = next(line for line in found.latex().splitlines() if line.startswith("    b ") and " Acc-7 " in line)
    assert " ".join(row.split()) == r"b & Acc-7 & 2 & +1.56 & 0.00 & -- & -- & -- & no interval \\"
    assert {d["metric"]: d["low"] for d in json.loads(found.json())["differences"]}["Mult_acc_7"] is None


def test_no_shared_seed_leaves_out_the_paired_table(write_experiment, mosi_scores):
    folders = [write_experiment("a", {1: mosi_scores()}), write_experiment("b", {2: mosi_scores()})]
    found = compare(folders)
    assert "b: no seed in common with a: no paired difference." in found.notes
    assert len(found.tables()) == 1


def test_validation_numbers_are_called_optimistic(write_experiment, mosi_scores):
    folder = write_experiment("a", {1: mosi_scores()})
    assert "optimistic" in compare([folder], split="valid").text()
    assert "optimistic" not in compare([folder]).text()


@pytest.mark.parametrize("kind", ["mosi", "sims"])
def test_bootstrap_is_centred_on_the_paired_difference_whatever_the_row_order(write_scored, kind):
    turned = np.random.default_rng(9).permutation(len(IDS))
    a = write_scored("a", (1, 2, 3), 1.0, kind=kind, dataset=kind)
    b = write_scored("b", (2, 3, 4), 0.2, kind=kind, dataset=kind, order=turned)
    found = compare([a, b])
    (bootstrap,) = found.bootstrap
    (paired,) = (d for d in found.differences if d.metric == "MAE")
    assert bootstrap.n == len(IDS)
    assert paired.n == 2
    assert bootstrap.mean == pytest.approx(paired.mean, abs=1e-6)
    assert bootstrap.low < bootstrap.mean < bootstrap.high < 0
    assert "bootstrap over samples" in found.text()


@pytest.mark.parametrize(
    ("ids", "resampled", "interval"),
    [
        ([f"clip{i % 5}_{i}" for i in range(40)], "5 videos", True),
        ([f"clip{i % 4}_{i}" for i in range(40)], "none: 4 videos", False),
        ([f"clip$_${i}" for i in range(40)], "none: 1 video", False),
        ([f"test_{i}" for i in range(40)], "samples", True),
    ],
)
def test_whole_videos_are_resampled_if_the_ids_name_enough_of_them(write_scored, ids, resampled, interval):
    found = compare([write_scored(name, (1, 2), noise, ids=ids) for name, noise in (("a", 1.0), ("b", 0.2))])
    table = found.tables()[-1]
    assert table.rows[0][2] == resampled
    assert (found.bootstrap[0].low is not None) == interval == (table.rows[0][4] is not None)
    assert "The spread of fewer than 5 says little: no interval." in table.notes[1]


def test_bootstrap_takes_all_runs_where_no_seed_is_shared(write_scored):
    found = compare([write_scored("a", (1, 2), 1.0), write_scored("b", (3, 4), 0.2)])
    means = [e.mean["MAE"] for e in found.experiments]
    assert found.bootstrap[0].mean == pytest.approx(means[1] - means[0], abs=1e-6)


def test_experiments_without_predictions_are_named(write_scored, write_experiment, mosi_scores):
    folders = [
        write_scored("a", (1, 2), 1.0),
        write_experiment("b", {1: mosi_scores(), 2: mosi_scores()}),
        write_scored("c", (1, 2), 0.5),
    ]
    found = compare(folders)
    assert [b.name for b in found.bootstrap] == ["c"]
    assert "b: no predictions/test.csv: no bootstrap over samples." in found.notes
    assert compare([folders[1], folders[0], folders[2]]).bootstrap == ()


def test_other_rows_under_the_same_dataset_name_are_refused(write_scored, write_experiment, mosi_scores):
    without = write_experiment("none", {1: mosi_scores()})
    a = write_scored("a", (1,), 1.0)
    b = write_scored("b", (1,), 1.0, ids=[*IDS[:-1], "stranger"])
    with pytest.raises(
        InputError, match=r"a/predictions/test\.csv and .*b/predictions/test\.csv: id 'clip7\$_\$39' is in"
    ):
        compare([without, a, b])


def test_other_labels_of_the_same_rows_are_refused(write_scored):
    label = np.linspace(-1, 1, len(IDS)).astype(np.float32)
    other = label.copy()
    other[3] = 0.5
    with pytest.raises(InputError, match=r"id 'clip3\$_\$3' has labels -0\.846.* and 0\.5"):
        compare([write_scored("a", (1,), 1.0, label=label), write_scored("b", (1,), 1.0, label=other)])


def test_a_run_without_its_column_is_refused(write_scored, write_experiment):
    a = write_scored("a", (1, 2), 1.0)
    runs = {run["seed"]: run["test"] for run in json.loads((a / "result.json").read_text())["runs"]}
    label = np.zeros(2, np.float32)
    b = write_experiment("b", runs, ids=["x", "y"], label=label, heads={"1/prediction": label})
    c = write_experiment("c", runs, ids=["x", "y"], label=label, heads={"1/prediction": label, "2/prediction": label})
    with pytest.raises(InputError, match=r"b/predictions/test\.csv: no column '2/prediction'"):
        compare([c, b])


def test_two_datasets_are_refused(write_experiment, mosi_scores):
    folders = [write_experiment(name, {1: mosi_scores()}, dataset=name) for name in ("mosi", "mosei")]
    with pytest.raises(InputError, match=r"/mosi is on mosi, .*/mosei on mosei: expected one dataset"):
        compare(folders)


def test_two_metric_kinds_are_refused(write_scored):
    with pytest.raises(InputError, match=r"a has the metrics of mosi, .*b those of sims: expected one kind"):
        compare([write_scored("a", (1,), 1.0), write_scored("b", (1,), 1.0, kind="sims")])


def test_unknown_metrics_are_refused(write_experiment):
    with pytest.raises(InputError, match="test has metrics loss: expected those of mosi, mosei, sims, regression"):
        compare([write_experiment("a", {1: {"loss": 0.3}})])


def test_metrics_beside_the_known_ones_are_not_compared(write_experiment, mosi_scores):
    assert "loss" not in compare([write_experiment("a", {1: mosi_scores(loss=0.3)})]).metrics


def test_a_seed_twice_is_refused(write_experiment, mosi_scores):
    folder = write_experiment("a", {1: mosi_scores()})
    result = json.loads((folder / "result.json").read_text())
    result["runs"] *= 2
    (folder / "result.json").write_text(json.dumps(result))
    with pytest.raises(InputError, match="a: seed 1 has 2 runs: expected one run per seed"):
        compare([folder])


def test_no_folder_one_folder_twice_and_an_unknown_split_are_refused(pair):
    with pytest.raises(InputError, match="nothing to compare"):
        compare([])
    with pytest.raises(InputError, match="is given twice"):
        compare([pair[0], pair[1], f"{pair[0]}/"])
    with pytest.raises(InputError, match="split 'train' is unknown"):
        compare(pair, split="train")


def test_folders_of_the_same_name_are_told_apart(write_experiment, mosi_scores):
    folders = [write_experiment(f"{parent}/seeds", {1: mosi_scores()}) for parent in ("x", "y")]
    assert [e.name for e in compare(folders).experiments] == [str(folder) for folder in folders]


def test_nothing_is_written_into_the_folders(write_scored):
    folder = write_scored("a", (1,), 1.0)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    compare([folder])
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
