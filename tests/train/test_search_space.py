"""The points of a sweep: grids, random draws, and what is no point."""

import numpy as np
import pytest

from msa_jax.errors import InputError
from msa_jax.methods import METHODS
from msa_jax.train.search_space import Draw, make_points, parse_draws, parse_grid
from tests.tiny import TOY

MMCL = METHODS["mmcl"].options()


def test_a_grid_is_every_combination_in_order():
    assert make_points({"a": [1, 2], "b": ["x", "y"]}, {}, count=None, seed=0) == [
        {"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"},
    ]  # fmt: skip


def test_points_of_a_grid_are_drawn_without_repetition_and_always_the_same():
    grid = {"a": list(range(10)), "b": list(range(10))}
    drawn = make_points(grid, {}, count=40, seed=3)
    assert len({tuple(point.values()) for point in drawn}) == 40
    assert drawn == make_points(grid, {}, count=40, seed=3) != make_points(grid, {}, count=40, seed=4)


def test_drawn_values_lie_in_their_range_and_evenly_on_their_scale():
    points = make_points({}, {"a": Draw(low=1e-4, high=1e-2, log=True), "b": Draw(low=-1, high=3)}, count=4000, seed=0)
    a, b = (np.array([point[name] for point in points]) for name in "ab")
    assert a.min() >= 1e-4 * 0.999
    assert a.max() <= 1e-2 * 1.001
    assert np.mean(a < 1e-3) == pytest.approx(0.5, abs=0.03)
    assert np.mean(b < 1) == pytest.approx(0.5, abs=0.03)


def test_grids_are_read_as_the_options_types():
    grid = parse_grid(["contrast=uni,cross/uni", "weights.uni=0.5,1", "batch_size=8,16"], MMCL)
    assert grid == {"contrast": [("uni", "cross"), ("uni",)], "weights.uni": [0.5, 1.0], "batch_size": [8, 16]}
    assert parse_draws(["learning_rate.other=1e-4:1e-2:log"], MMCL) == {
        "learning_rate.other": Draw(low=1e-4, high=1e-2, log=True)
    }


@pytest.mark.parametrize(("name", "points"), [("mmcl_weights", 243), ("mmcl_appendix", 1458)])
def test_grids_of_the_paper(name, points):
    assert len(make_points(parse_grid([name], MMCL), {}, count=None, seed=0)) == points


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: parse_grid(["nothing=1"], MMCL), "unknown option 'nothing'"),
        (lambda: parse_grid(["batch_size=8,8"], MMCL), "batch_size has no values, or one of them twice"),
        (lambda: parse_grid(["batch_size=8", "batch_size=9"], MMCL), "batch_size is given twice"),
        (lambda: parse_grid(["batch_size=many"], MMCL), "batch_size is 'many'; expected int"),
        (
            lambda: parse_grid(["mmcl_weight"], MMCL),
            "grid 'mmcl_weight': neither .* a grid that there is: mmcl_weights",
        ),
        (lambda: parse_grid(["mmcl_weights"], TOY.options()), "unknown option 'weights.uni'"),
        (lambda: parse_grid(["dropout=1.5"], MMCL), "option dropout is 1.5"),
        (lambda: parse_draws(["dropout=0.5"], MMCL), "expected OPTION=LOW:HIGH"),
        (lambda: parse_draws(["dropout=0.5:0.1"], MMCL), "with LOW < HIGH"),
        (lambda: parse_draws(["kappa=0:1:log"], MMCL), "option|expected OPTION=LOW:HIGH"),
        (lambda: parse_draws(["dropout=0:nan"], MMCL), "with LOW < HIGH"),
        (lambda: parse_draws(["batch_size=8:16"], MMCL), "batch_size is no real number"),
        (lambda: make_points({}, {}, count=None, seed=0), "nothing to vary"),
        (lambda: make_points({}, {"a": Draw(low=0, high=1)}, count=None, seed=0), "need --points"),
        (lambda: make_points({"a": [1, 2]}, {}, count=3, seed=0), "the grid has 2"),
        (lambda: make_points({"a": [1, 2]}, {}, count=0, seed=0), "points is 0"),
        (
            lambda: make_points({"a": [1]}, {"a": Draw(low=0, high=1)}, count=2, seed=0),
            "option a is in the grid and drawn",
        ),
        (lambda: make_points({str(n): [0, 1] for n in range(40)}, {}, count=None, seed=0), "give --points"),
    ],
)
def test_what_is_no_point_is_an_input_error(call, message):
    with pytest.raises(InputError, match=message):
        call()
