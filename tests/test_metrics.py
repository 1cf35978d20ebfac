"""Metrics against sklearn, against plain loops, and against numbers worked out by hand."""

import json
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax import metrics
from msa_jax.errors import InputError
from tests.paths import shared_data

TIES = np.array([0, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, -0.1, 0.1, 0.7, -0.7, 3.0, -3.0, 0.3, -1.2], np.float32)
NAN = float("nan")


def _pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    """Every tie against every other, random scores, and scores on the grid of the labels."""
    rng = np.random.default_rng(0)
    everything = (np.repeat(TIES, len(TIES)), np.tile(TIES, len(TIES)))
    random = (rng.normal(0, 2, 200), np.clip(np.round(rng.normal(0, 1.5, 200) * 5) / 5, -3, 3))
    grid = (rng.integers(-6, 7, 150) / 2, rng.integers(-6, 7, 150) / 2)
    sims = (rng.integers(-10, 11, 150) / 10, rng.integers(-5, 6, 150) / 5)
    return [tuple(array.astype(np.float32) for array in pair) for pair in (everything, random, grid, sims)]


PAIRS = _pairs()


def _loop_weighted_f1(predicted: list, true: list) -> float:
    total = 0.0
    for k in set(true):
        hits = sum(p == k and t == k for p, t in zip(predicted, true, strict=True))
        precision = hits / predicted.count(k) if predicted.count(k) else 0.0
        recall = hits / true.count(k)
        f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
        total += true.count(k) / len(true) * f1
    return total


def _loop_mosi(prediction: np.ndarray, label: np.ndarray) -> dict[str, float]:
    pairs = [(float(p), float(y)) for p, y in zip(prediction, label, strict=True)]
    has0 = [(p >= 0, y >= 0) for p, y in pairs]
    non0 = [(p > 0, y > 0) for p, y in pairs if y != 0]

    def same_integer(limit: int) -> float:  # Python's round is half to even too, and is not numpy's
        return sum(round(max(-limit, min(limit, p))) == round(max(-limit, min(limit, y))) for p, y in pairs) / len(
            pairs
        )

    return {
        "Has0_acc_2": sum(p == y for p, y in has0) / len(has0),
        "Has0_F1_score": _loop_weighted_f1(*map(list, zip(*has0, strict=True))),
        "Non0_acc_2": sum(p == y for p, y in non0) / len(non0),
        "Non0_F1_score": _loop_weighted_f1(*map(list, zip(*non0, strict=True))),
        "Mult_acc_5": same_integer(2),
        "Mult_acc_7": same_integer(3),
        "MAE": sum(abs(p - y) for p, y in pairs) / len(pairs),
        "Corr": np.corrcoef(prediction, label)[0, 1],
    }


def _loop_sims(prediction: np.ndarray, label: np.ndarray) -> dict[str, float]:
    prediction, label = (np.clip(array, -1, 1) for array in (prediction, label))

    def bins(scores: np.ndarray, borders: list[float]) -> list[int]:
        borders = np.array(borders, np.float32)
        inside = [[low < s <= high for low, high in pairwise(borders)] for s in scores]
        return [row.index(True) for row in inside]

    found = {"MAE": np.mean(np.abs(prediction - label)), "Corr": np.corrcoef(prediction, label)[0, 1]}
    borders = {2: [-1.01, 0, 1.01], 3: [-1.01, -0.1, 0.1, 1.01], 5: [-1.01, -0.7, -0.1, 0.1, 0.7, 1.01]}
    for k, border in borders.items():
        predicted, true = bins(prediction, border), bins(label, border)
        found[f"Mult_acc_{k}"] = np.mean([p == t for p, t in zip(predicted, true, strict=True)])
        if k == 2:
            found["F1_score"] = _loop_weighted_f1(predicted, true)
    return found


@pytest.mark.parametrize("pair", PAIRS, ids=["ties", "random", "grid", "sims"])
@pytest.mark.parametrize(("kind", "loop"), [("mosi", _loop_mosi), ("mosei", _loop_mosi), ("sims", _loop_sims)])
def test_all_metrics_equal_a_plain_loop(kind, loop, pair):
    found, expected = metrics.evaluate(*pair, kind=kind), loop(*pair)
    assert tuple(found) == metrics.METRIC_KEYS[kind]
    assert found == pytest.approx(expected, abs=1e-7)  # the loop's SIMS mean is a float32 sum


@pytest.mark.parametrize("pair", PAIRS, ids=["ties", "random", "grid", "sims"])
def test_accuracy_f1_and_mae_equal_sklearn(pair):
    sklearn = pytest.importorskip("sklearn.metrics")
    prediction, label = pair
    found = metrics.evaluate(prediction, label, "mosi")
    rows = label != 0
    has0, non0 = (label >= 0, prediction >= 0), (label[rows] > 0, prediction[rows] > 0)
    assert found["MAE"] == pytest.approx(sklearn.mean_absolute_error(label.astype(float), prediction.astype(float)))
    assert found["Has0_acc_2"] == pytest.approx(sklearn.accuracy_score(*has0))
    assert found["Has0_F1_score"] == pytest.approx(sklearn.f1_score(*has0, average="weighted"))
    assert found["Non0_acc_2"] == pytest.approx(sklearn.accuracy_score(*non0))
    assert found["Non0_F1_score"] == pytest.approx(sklearn.f1_score(*non0, average="weighted"))


def test_weighted_f1_of_many_classes_equals_sklearn_also_where_one_is_only_predicted():
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    predicted, true = rng.integers(0, 5, 60), rng.integers(0, 4, 60)
    assert metrics.weighted_f1(predicted, true) == pytest.approx(sklearn.f1_score(true, predicted, average="weighted"))


def test_weighted_f1_weighs_with_the_support_of_the_truth():
    true, predicted = np.array([1, 1, 1, 0]), np.array([1, 1, 0, 0])
    assert metrics.weighted_f1(predicted, true) == pytest.approx(3 / 4 * 4 / 5 + 1 / 4 * 2 / 3)
    assert metrics.weighted_f1(true, predicted) == pytest.approx(2 / 4 * 4 / 5 + 2 / 4 * 2 / 3)


def test_ties_round_half_to_even():
    scores = [0, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 3.5, 9, -9]
    np.testing.assert_array_equal(metrics.rounded_classes(scores, 3), [0, 0, 0, 2, -2, 2, -2, 3, 3, -3])
    np.testing.assert_array_equal(metrics.rounded_classes(scores, 2), [0, 0, 0, 2, -2, 2, -2, 2, 2, -2])


def test_a_score_on_a_cut_belongs_to_the_lower_bin_in_either_precision():
    cuts = (-0.7, -0.1, 0.1, 0.7)
    for dtype in (np.float32, np.float64):
        on_cuts = np.array([-0.7, -0.1, 0.0, 0.1, 0.7, 0.71], dtype)
        np.testing.assert_array_equal(metrics.binned_classes(on_cuts, cuts), [0, 1, 2, 2, 3, 4])


def test_zero_is_non_negative_in_mosi_and_negative_in_sims():
    assert metrics.evaluate([0.0], [0.4], "mosi")["Has0_acc_2"] == 1.0
    assert metrics.evaluate([0.0], [0.4], "sims")["Mult_acc_2"] == 0.0
    assert metrics.evaluate([0.0], [-0.4], "sims")["Mult_acc_2"] == 1.0


def test_non0_leaves_out_the_rows_whose_label_is_zero():
    found = metrics.evaluate([-1.0, 0.5, -0.5, 0.0], [0.0, 1.0, 1.0, 2.0], "mosi")
    assert found["Non0_acc_2"] == pytest.approx(1 / 3)  # a prediction of zero counts as negative here
    assert found["Has0_acc_2"] == pytest.approx(2 / 4)


def test_mae_and_corr_are_of_raw_predictions_in_mosi_and_of_clipped_ones_in_sims():
    prediction, label = [4.0, -1.0, 0.5], [1.0, -1.0, 0.5]
    assert metrics.evaluate(prediction, label, "mosi")["MAE"] == pytest.approx(1.0)
    assert metrics.evaluate(prediction, label, "mosi")["Corr"] < 0.95
    assert metrics.evaluate(prediction, label, "sims")["MAE"] == 0.0
    assert metrics.evaluate(prediction, label, "sims")["Corr"] == pytest.approx(1.0)


def test_values_are_not_rounded():
    assert metrics.evaluate([1.0, 1.0, 1.0], [1.0, 1.0, -1.0])["Has0_acc_2"] == pytest.approx(2 / 3, abs=1e-15)


def test_corr_is_the_sign_of_a_linear_relation():
    label = np.linspace(-3, 3, 11)
    assert metrics.corr(2 * label + 1, label) == pytest.approx(1.0)
    assert metrics.corr(-label, label) == pytest.approx(-1.0)


@pytest.mark.parametrize("kind", ["mosi", "mosei", "sims"])
@pytest.mark.parametrize("constant", [0.0, 0.1, -0.7, 1e-30])
def test_constant_predictions_have_no_corr_and_raise_no_warning(kind, constant):
    label = np.linspace(-1, 1, 7, dtype=np.float32)
    with np.errstate(all="raise"):
        found = metrics.evaluate(np.full(7, constant, np.float32), label, kind)
        backwards = metrics.evaluate(label, np.full(7, constant, np.float32), kind)
    assert np.isnan(found["Corr"])
    assert np.isnan(backwards["Corr"])
    assert found["MAE"] == pytest.approx(np.mean(np.abs(np.float32(constant) - label.astype(float))))


@pytest.mark.parametrize("kind", ["mosi", "sims"])
def test_one_row_is_scored_and_has_no_corr(kind):
    found = metrics.evaluate([0.8], [1.0], kind)
    assert np.isnan(found.pop("Corr"))
    assert found.pop("MAE") == pytest.approx(0.2)
    assert set(found.values()) == {1.0}


def test_non0_metrics_are_nan_where_no_label_is_non_zero():
    found = metrics.evaluate([0.3, -0.2], [0.0, 0.0], "mosi")
    assert np.isnan(found["Non0_acc_2"])
    assert np.isnan(found["Non0_F1_score"])
    assert found["Has0_acc_2"] == 0.5


def test_integers_lists_and_accelerator_arrays_are_scored_like_numpy():
    prediction, label = np.array([1, -2, 0, 3], np.float32), np.array([1, -1, 0, 2], np.float32)
    expected = metrics.evaluate(prediction, label)
    for other in (
        prediction.astype(int),
        prediction.tolist(),
        jnp.array(prediction),
        jnp.array(prediction, jnp.bfloat16),
    ):
        assert metrics.evaluate(other, label) == expected


def test_inputs_are_left_as_they_are():
    prediction, label = np.array([4.0, -4.0], np.float32), np.array([1.0, -1.0], np.float32)
    metrics.evaluate(prediction, label, "sims")
    np.testing.assert_array_equal(prediction, [4.0, -4.0])


@pytest.mark.parametrize(
    ("prediction", "label", "message"),
    [
        (np.zeros((3, 1)), np.zeros(3), r"prediction has shape \[3, 1\]"),
        (np.zeros(3), np.zeros((3, 1)), r"label has shape \[3, 1\]"),
        (np.zeros(3), 0.0, r"label has shape \[\]"),
        (np.zeros(1), np.zeros(3), r"prediction \[1\] against label \[3\]"),
        (np.zeros(0), np.zeros(0), "no rows"),
        ([0.0, 0.0, NAN], np.zeros(3), "prediction row 2 is nan: expected a finite number$"),
        ([0.0, NAN, NAN], np.zeros(3), r"prediction row 1 is nan: expected a finite number \(and 1 more\)"),
        (np.zeros(3), [0.0, np.inf, 0.0], "label row 1 is inf"),
        (np.array([0.0, 1e60]), np.zeros(2), "prediction row 1 is inf"),
        (["a", "b"], np.zeros(2), "prediction: expected real numbers"),
        (np.array([1j, 2]), np.zeros(2), "prediction: expected real numbers"),
        ([[1.0], [1.0, 2.0]], np.zeros(2), "prediction: expected real numbers"),
    ],
)
def test_wrong_input_is_named_and_never_broadcast(prediction, label, message):
    with pytest.raises(InputError, match=message):
        metrics.evaluate(prediction, label)


@pytest.mark.parametrize("given", [lambda x: x, lambda x: [x[0], x[1]]], ids=["array", "list"])
def test_traced_scores_are_refused_as_such(given):
    with pytest.raises(InputError, match="prediction is traced by JAX: expected a NumPy array"):
        jax.jit(lambda scores: metrics.mae(given(scores), np.zeros(2)))(np.zeros(2, np.float32))


@pytest.mark.parametrize("function", [metrics.mae, metrics.corr, metrics.accuracy, metrics.weighted_f1])
@pytest.mark.parametrize("shapes", [((3, 1), (3,)), ((3,), (3, 1)), ((3, 1), (3, 1)), ((1,), (3,))])
def test_every_metric_refuses_other_shapes(function, shapes):
    with pytest.raises(InputError, match=r"expected \[N\]"):
        function(np.ones(shapes[0]), np.ones(shapes[1]))


def test_unknown_kind_is_refused():
    with pytest.raises(InputError, match="'iemocap' are unknown: expected one of mosi, mosei, sims"):
        metrics.evaluate([0.0], [0.0], "iemocap")


def test_only_mae_is_better_when_lower():
    assert {key for key, higher in metrics.HIGHER_IS_BETTER.items() if not higher} == {"MAE"}
    assert set(metrics.HIGHER_IS_BETTER) == {key for keys in metrics.METRIC_KEYS.values() for key in keys}


@pytest.mark.skipif(shared_data("mmmo") is None, reason="real dataset absent")
def test_the_median_predictor_scores_what_the_card_of_a_real_dataset_says():
    folder = shared_data("mmmo")
    train, test = (np.load(folder / f"{split}.npz")["label"] for split in ("train", "test"))
    assert metrics.mae(np.full_like(test, np.median(train)), test) == pytest.approx(1.181, abs=5e-4)


def test_summary_is_mean_and_sample_standard_deviation():
    values = np.array([[0.71, 0.8], [0.73, 0.79], [0.7, 0.81]])
    mean, std = metrics.summarise([dict(zip(("MAE", "Corr"), row, strict=True)) for row in values.tolist()])
    assert mean == pytest.approx(dict(zip(("MAE", "Corr"), values.mean(axis=0), strict=True)))
    assert std == pytest.approx(dict(zip(("MAE", "Corr"), values.std(axis=0, ddof=1), strict=True)))


def test_one_run_has_a_mean_and_no_standard_deviation():
    assert metrics.summarise([{"MAE": 0.7}]) == ({"MAE": 0.7}, {"MAE": None})


@pytest.mark.parametrize("undefined", [NAN, None, float("inf")])
def test_a_metric_undefined_in_one_run_has_neither(undefined):
    mean, std = metrics.summarise([{"MAE": 0.5, "Corr": 0.8}, {"MAE": 0.7, "Corr": undefined}])
    assert mean == {"MAE": pytest.approx(0.6), "Corr": None}
    assert std == {"MAE": pytest.approx(0.2 / 2**0.5), "Corr": None}
    json.dumps([mean, std], allow_nan=False)


def test_equal_runs_have_exactly_no_spread():
    assert metrics.summarise([{"MAE": 0.1}] * 3) == ({"MAE": 0.1}, {"MAE": 0.0})


def test_no_runs_or_runs_with_other_metrics_have_no_summary():
    with pytest.raises(InputError, match="no runs"):
        metrics.summarise([])
    with pytest.raises(InputError, match="run 1 has metrics Corr: expected MAE"):
        metrics.summarise([{"MAE": 1.0}, {"Corr": 1.0}])


# -- any range --------------------------------------------------------------------------------------------------------


def _loop_regression(prediction: np.ndarray, label: np.ndarray, low: float, high: float) -> dict[str, float]:
    neutral = 0.0 if low < 0 < high else (low + high) / 2
    found = {"MAE": np.mean(np.abs(prediction - label)), "Corr": np.corrcoef(prediction, label)[0, 1]}
    found["CCC"] = (
        2
        * np.cov(prediction, label, ddof=0)[0, 1]
        / (prediction.var() + label.var() + (prediction - label).mean() ** 2)
    )
    found["R2"] = 1 - np.mean((label - prediction) ** 2) / label.var()
    two = [[score >= neutral for score in scores] for scores in (prediction, label)]
    found["Mult_acc_2"] = np.mean([p == y for p, y in zip(*two, strict=True)])
    found["F1_score"] = _loop_weighted_f1(*two)
    for k in (3, 5, 7):
        levels = np.linspace(low, high, k)
        nearest = [[int(np.argmin(np.abs(levels - score))) for score in scores] for scores in (prediction, label)]
        found[f"Mult_acc_{k}"] = np.mean([p == y for p, y in zip(*nearest, strict=True)])
    return found


@pytest.mark.parametrize("ends", [(-3, 3), (-1, 1), (1, 5), (0, 100), (-2.5, 7)])
def test_metrics_of_any_range_equal_a_plain_loop(ends):
    rng = np.random.default_rng(3)
    label = rng.uniform(*ends, 200)
    prediction = label + rng.normal(0, 0.2 * (ends[1] - ends[0]), 200)
    found = metrics.evaluate(prediction, label, "regression", label_range=ends)
    assert tuple(found) == metrics.METRIC_KEYS["regression"]
    assert found == pytest.approx(_loop_regression(prediction, label, *ends), rel=1e-5)


def test_ccc_and_r2_know_a_shift_that_corr_does_not():
    label = np.array([1.0, 2.0, 3.0, 4.0])
    assert metrics.corr(label + 1, label) == pytest.approx(1.0)
    assert metrics.ccc(label + 1, label) == pytest.approx(2 * 1.25 / (1.25 + 1.25 + 1))
    assert metrics.r2(label + 1, label) == pytest.approx(1 - 4 / 5)
    assert metrics.ccc(label, label) == metrics.r2(label, label) == 1.0


def test_a_constant_has_no_r2_and_a_ccc_of_zero():
    constant, label = np.full(4, 0.1), np.array([0.0, 1.0, 2.0, 3.0])
    assert metrics.ccc(constant, label) == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(metrics.ccc(constant, constant))
    assert np.isnan(metrics.r2(label, constant))


def test_seven_levels_on_the_range_of_mosi_are_its_seven_classes():
    scores = np.concatenate([np.arange(-4, 4.25, 0.25), np.random.default_rng(0).uniform(-4, 4, 200)])
    np.testing.assert_array_equal(
        metrics.nearest_levels(scores, 7, (-3.0, 3.0)) - 3, metrics.rounded_classes(scores, 3)
    )


@pytest.mark.parametrize("ends", [None, (3, -3), (1, 1), (0,), (0, np.inf), "ab", 3])
def test_metrics_of_any_range_need_one(ends):
    with pytest.raises(InputError, match=r"expected \(low, high\), low < high"):
        metrics.evaluate([0.0], [0.0], "regression", label_range=ends)
    with pytest.raises(InputError, match=r"expected \(low, high\), low < high"):
        metrics.nearest_levels([0.0], 3, ends)
