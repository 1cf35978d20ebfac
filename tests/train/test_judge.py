"""Between two epochs: what is best, what stops, what learns slower, as a function of numbers alone."""

import math
from dataclasses import replace

import numpy as np
import pytest

from msa_jax import metrics
from msa_jax.config import Options
from msa_jax.errors import InputError
from msa_jax.train.judge import check_selection, judge, selected_term, selection_value
from msa_jax.train.state import Standing
from tests.tiny import TOY


def after(values, *, before: int = 0, select_from: int = 1, **options) -> list[Standing]:
    """How runs stand after every epoch of a stage, until all have ended.

    values: [epochs, R], or [epochs] of one run. before: epochs of the stages before. select_from: of the stage.
    """
    values = np.asarray(values, np.float32)
    values = values if values.ndim == 2 else values[:, None]
    standing, found = Standing.start(np.full(values.shape[1], before, np.int32)), []
    for stage_epoch, row in enumerate(values, 1):
        active = np.flatnonzero(~standing.ended)
        if not len(active):
            break
        standing = judge(
            standing,
            active,
            row[active],
            epoch=before + stage_epoch,
            stage_epoch=stage_epoch,
            options=Options(**{"max_epochs": 99, **options}),
            select_from=select_from,
        ).standing
        found.append(standing)
    return found


def test_the_lowest_value_is_the_best_and_the_first_of_two_that_are_equal():
    standing = after([3, 1, 2, 1], patience=9)[-1]
    assert (standing.best_value, standing.best_epoch, standing.epochs) == (1, 2, 4)


def test_a_run_ends_after_as_many_epochs_without_improvement_as_it_has_patience():
    found = after([3, 1, 2, 2, 2, 0], patience=3)
    assert [bool(standing.ended[0]) for standing in found] == [False] * 4 + [True]
    assert found[-1].best_epoch == 2
    assert not found[-1].failed


def test_a_run_ends_with_its_last_epoch():
    assert [bool(standing.ended[0]) for standing in after([3, 2, 1, 0], max_epochs=3)] == [False, False, True]


def test_an_improvement_must_be_as_large_as_min_delta():
    assert after([1.0, 0.75], min_delta=0.25)[-1].best_epoch == 2
    assert after([1.0, 0.76], min_delta=0.25)[-1].best_epoch == 1
    assert after([1.0, 0.75, 0.625], min_delta=0.25)[-1].best_value == 0.75  # of the best, not of the epoch before


def test_patience_is_counted_within_the_stage_and_epochs_over_all():
    found = after([2, 3, 3], before=50, patience=2)
    assert [int(standing.epochs[0]) for standing in found] == [51, 52, 53]
    assert found[-1].best_epoch == 51
    assert [bool(standing.ended[0]) for standing in found] == [False, False, True]
    # Nothing was defined yet: the epochs of the stage count, not those before it.
    assert [bool(standing.ended[0]) for standing in after([math.inf] * 3, before=50, patience=3)] == [
        False,
        False,
        True,
    ]


def test_epochs_before_the_first_that_may_be_selected_are_no_improvement():
    found = after([1, 5, 4, 3, 9, 9], before=50, select_from=3, patience=2)
    assert [int(standing.best_epoch[0]) for standing in found] == [0, 0, 53, 54, 54, 54]
    assert found[-1].best_value == 3
    assert [bool(standing.ended[0]) for standing in found] == [False] * 5 + [True]


def test_patience_is_counted_from_the_first_epoch_that_may_be_selected():
    # None of the first four counts as waiting; nothing is defined in the fifth and sixth.
    found = after([1, 1, 1, 1, math.inf, math.inf, 0], select_from=5, patience=2)
    assert [bool(standing.ended[0]) for standing in found] == [False] * 5 + [True]
    assert found[-1].best_epoch == 0
    assert after([1, 2, 3], select_from=1, patience=2)[-1].best_epoch == 1


def test_a_stage_of_fewer_epochs_selects_its_last():
    standing = after([1, 2, 3], select_from=31, max_epochs=3, patience=1)[-1]
    assert (standing.best_epoch, standing.best_value, standing.ended[0]) == (3, 3, True)


def test_a_value_that_is_not_defined_is_no_improvement_and_no_failure():
    standing = after([math.inf, 2, math.inf], patience=9)[-1]
    assert (standing.best_epoch, standing.failed[0], standing.ended[0]) == (2, False, False)


def test_a_run_that_is_not_a_number_ends_and_keeps_its_best_while_the_others_go_on():
    found = after([[3, 3, 3], [2, math.nan, 2], [1, 1, 3], [1, 1, 3]], patience=2)
    last = found[-1]
    assert last.failed.tolist() == [False, True, False]
    assert last.best_epoch.tolist() == [3, 1, 2]
    assert last.epochs.tolist() == [4, 2, 4]
    assert last.ended.tolist() == [False, True, True]
    assert last.best_value.tolist() == [1, 3, 2]


def test_what_stands_before_is_not_changed():
    before = Standing.start(np.zeros(1, np.int32))
    judge(before, np.array([0]), np.array([1.0]), epoch=1, stage_epoch=1, options=Options())
    assert (before.best_epoch, before.epochs, before.best_value) == (0, 0, np.inf)


def test_those_that_improve_are_named():
    standing = Standing.start(np.zeros(3, np.int32))
    judged = judge(standing, np.array([2, 0]), np.array([1.0, np.nan]), epoch=1, stage_epoch=1, options=Options())
    assert judged.improved.tolist() == [False, False, True]
    assert judged.standing.ended.tolist() == [True, False, False]


# -- the plateau schedule ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("patience", "factor"), [(0, 0.5), (1, 0.1), (3, 0.5)])
@pytest.mark.parametrize("sign", [1, -1])  # a metric that should rise is negated
def test_the_rate_falls_as_that_of_torch(patience, factor, sign):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(patience)
    values = np.abs(np.cumsum(sign * rng.normal(-0.02, 0.1, 60)) + 2).astype(np.float32)
    values[4] = sign * (sign * values[:4]).min() * (1 - sign * 1e-3)  # the best so far
    values[5:9] = values[4] * (1 - sign * 5e-5)  # better, but by less than a relative 1e-4
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, {1: "min", -1: "max"}[sign], factor=factor, patience=patience, eps=0.0
    )
    want = []
    for value in values:
        scheduler.step(float(value))
        want.append(optimiser.param_groups[0]["lr"])
    found = after(sign * values, schedule="plateau", plateau_factor=factor, plateau_patience=patience, patience=99)
    np.testing.assert_allclose([standing.rate[0] for standing in found], want, rtol=1e-5)
    assert len(set(want)) > 3


def test_other_schedules_leave_the_rate_alone():
    assert {float(standing.rate[0]) for standing in after([1] * 30, patience=99, plateau_patience=0)} == {1.0}


def test_each_run_has_a_rate_of_its_own():
    values = np.stack([np.arange(9, 0, -1), np.ones(9)], 1)
    found = after(values, schedule="plateau", plateau_patience=2, plateau_factor=0.5, patience=99)
    assert found[-1].rate.tolist() == [1.0, 0.25]


# -- the value that is selected on ------------------------------------------------------------------------------------

LABEL = np.array([-2.0, -1.0, 0.0, 1.0, 3.0], np.float32)
PREDICTION = np.array([-1.0, -1.0, 0.5, 3.0, 2.75], np.float32)  # errors 1, 0, 0.5, 2, 0.25


def value(prediction: np.ndarray = PREDICTION, **options) -> float:
    valid = metrics.evaluate(prediction, LABEL, kind="mosi")
    return selection_value(prediction, LABEL, valid, Options(**options))


def test_the_loss_is_the_mean_absolute_error():
    assert value() == pytest.approx(3.75 / 5)


def test_mse_is_the_mean_squared_error():
    assert value(selection="mse") == pytest.approx((1 + 0.25 + 4 + 0.0625) / 5)
    want = ((1 + 0) / 2 + (0.25 + 4) / 2 + 0.0625) / 3
    assert value(selection="mse", validation_mean="batches", batch_size=2) == pytest.approx(want)


def test_the_mean_of_batch_means_counts_a_small_last_batch_as_much_as_the_others():
    want = ((1 + 0) / 2 + (0.5 + 2) / 2 + 0.25 / 1) / 3
    assert value(validation_mean="batches", batch_size=2) == pytest.approx(want)
    assert value(validation_mean="batches", batch_size=5) == value(validation_mean="batches", batch_size=99) == value()


def test_a_metric_that_should_rise_is_negated():
    assert value(selection="Corr") == pytest.approx(-np.corrcoef(PREDICTION, LABEL)[0, 1], rel=1e-6)
    assert value(selection="MAE") == pytest.approx(3.75 / 5)


def test_the_value_can_be_rounded():
    assert value(validation_decimals=1) == 0.8


def test_a_metric_that_is_not_defined_is_the_worst_value():
    with np.errstate(all="ignore"):
        assert value(np.zeros(5, np.float32), selection="Corr") == math.inf


def test_a_loss_term_selects_if_the_option_says_so():
    assert selected_term(Options()) is None
    assert selected_term(Options(selection="Corr")) is None
    assert selected_term(Options(selection="term.error")) == "error"


def test_selection_must_name_something_that_there_is():
    check_selection(TOY, Options(selection="mse"), "mosi")
    check_selection(TOY, Options(selection="Corr"), "mosi")
    with pytest.raises(InputError, match=r"option selection is 'term\.error'; expected one of loss, mse, Has0_acc_2"):
        check_selection(TOY, Options(selection="term.error"), "mosi")
    check_selection(replace(TOY, valid_terms=("error",)), Options(selection="term.error"), "mosi")
    with pytest.raises(InputError, match="option selection is 'Mult_acc_3'"):
        check_selection(TOY, Options(selection="Mult_acc_3"), "mosi")  # of SIMS


def test_a_tie_is_no_improvement_however_large_the_value():
    # A float32 of 40 does not know 1e-6.
    last = after([40.0] * 7, patience=3)[-1]
    assert (last.best_epoch[0], last.epochs[0]) == (1, 4)
