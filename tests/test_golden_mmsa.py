"""Our networks equal those of MMSA with the same weights, and the comparison fails when they do not."""

import subprocess
import sys

import numpy as np
import pytest

from tests.golden import copying
from tests.golden_mmsa import compare, comparisons, difference, differences, main, method_of, read
from tests.paths import REPOSITORY

# MMSA's arrays lie beside the repository, in the same place as the real datasets of the tests.
FOLDER = REPOSITORY.parent / "shared" / "golden"
FILES = [path for path in sorted(FOLDER.glob("*.npz")) if method_of(path)]
shared = pytest.mark.skipif(not (FOLDER / "tfn.npz").is_file(), reason="the golden arrays of MMSA are not here")


QUICK = {"tfn", "self_mm"}  # statistics; tokens and LSTMs


@shared
@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[] if path.stem in QUICK else [pytest.mark.slow]) for path in FILES],
    ids=[path.stem for path in FILES],
)
def test_outputs_and_gradients_equal_those_of_mmsa(path):
    outputs, gradients = differences(compare(read(path), method_of(path)))
    assert outputs.small, str(outputs)
    assert gradients.small, str(gradients)


@pytest.fixture(scope="module")
def arrays():
    return read(FOLDER / "tfn.npz")


def written(folder, name, arrays):
    path = folder / name
    np.savez(path, **arrays)
    return path


@shared
def test_the_command_prints_a_line_for_each_file_and_ends_with_0(arrays, tmp_path):
    path = written(tmp_path, "tfn_copy.npz", arrays)
    done = subprocess.run(
        [sys.executable, "-m", "tests.golden_mmsa", str(path)], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"{path}: agrees; outputs ")
    assert ", gradients " in line


@shared
@pytest.mark.parametrize(
    "name",
    [
        "param/post_fusion_layer_1.weight",
        "param/text_subnet.rnn.bias_hh_l0",
        "param/audio_subnet.norm.running_var",
        "input/vision",
        "output/Feature_f",
        "grad/video_subnet.linear_2.weight",
    ],
)
def test_the_command_ends_with_1_when_an_array_is_a_hundredth_too_large(arrays, tmp_path, capsys, name):
    changed = {**arrays, name: arrays[name] * np.float32(1.01)}
    assert main([str(written(tmp_path, "tfn.npz", changed))]) == 1
    assert "DIFFERS" in capsys.readouterr().out


@shared
def test_the_command_ends_with_1_when_something_is_not_a_number(arrays, tmp_path):
    changed = {**arrays, "output/M": np.full_like(arrays["output/M"], np.nan)}
    assert main([str(written(tmp_path, "tfn.npz", changed))]) == 1


@shared
def test_the_command_ends_with_2_when_a_weight_has_no_place_or_is_missing(arrays, tmp_path, capsys):
    more = {**arrays, "param/extra.weight": np.ones((2, 2), np.float32)}
    assert main([str(written(tmp_path, "tfn.npz", more))]) == 2
    assert "extra.weight" in capsys.readouterr().out
    less = {name: value for name, value in arrays.items() if name != "param/audio_subnet.norm.bias"}
    assert main([str(written(tmp_path, "tfn.npz", less))]) == 2
    assert "audio_encoder/norm/bias" in capsys.readouterr().out


@shared
def test_an_output_that_a_comparison_forgets_is_an_error(arrays):
    with pytest.raises(ValueError, match="not compared: output/Feature_x"):
        compare({**arrays, "output/Feature_x": np.zeros(3, np.float32)}, "tfn")


@pytest.mark.slow
@shared
@pytest.mark.parametrize("method", ["tfn", "self_mm"])
def test_sizes_are_those_of_the_file(method):
    """Every sample twice changes neither a mean over samples nor an evaluation; nor does padding where there are lengths."""
    arrays = read(FOLDER / f"{method}.npz")
    twice = {
        name: np.concatenate([value, value]) if name.startswith(("input/", "output/")) else value
        for name, value in arrays.items()
    }
    if method == "self_mm":
        twice["input/text_bert"] = np.pad(twice["input/text_bert"], [(0, 0), (0, 0), (0, 4)])
        twice["input/audio"] = np.pad(twice["input/audio"], [(0, 0), (0, 2), (0, 0)])
    outputs, gradients = differences(compare(twice, method))
    assert outputs.small, str(outputs)
    assert gradients.small, str(gradients)


def test_a_file_without_a_comparison_ends_with_2(tmp_path, capsys):
    assert main([str(written(tmp_path, "nothing.npz", {}))]) == 2
    assert "no comparison" in capsys.readouterr().out
    assert main([str(tmp_path / "tfn.npz")]) == 2
    assert "cannot be compared" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("tfn.npz", "tfn"),
        ("self_mm-2.npz", "self_mm"),
        ("tfn.wide.npz", "tfn"),
        ("mtfn.npz", "mtfn"),
        ("xtfn.npz", None),
        ("tfns.npz", None),
    ],
)
def test_the_method_is_what_the_file_s_name_begins_with(tmp_path, name, method):
    assert {"tfn", "self_mm"} <= set(comparisons())
    assert method_of(tmp_path / name) == method


def test_a_difference_is_relative_to_the_largest_value_of_its_array():
    pairs = {"a": (np.array([1.0, 200.0]), np.array([1.0, 100.0])), "b": (np.array([0.5]), np.array([0.25]))}
    assert difference({"a": pairs["a"]}).value == 1
    assert difference({"b": pairs["b"], "a": (np.ones(2), np.ones(2))}) == (1, "b")
    assert difference({"b": (np.zeros(2), np.zeros(2))}).value == 0
    assert difference({"b": (np.full(2, 1e-9), np.zeros(2))}).value == np.inf


def test_rounding_where_a_gradient_is_0_is_measured_against_the_largest_of_the_file():
    rounding = {"zero": (np.array([3e-9]), np.array([-1e-9])), "large": (np.array([1.0]), np.array([1.0]))}
    assert difference(rounding).value == pytest.approx(4)
    assert difference(rounding, floor=1e-4).value == pytest.approx(4e-5)
    wrong = {**rounding, "small": (np.array([2e-3]), np.array([1e-3]))}
    assert difference(wrong, floor=1e-4) == (pytest.approx(1), "small")


def test_names_of_torch_find_their_place():
    places = {"a": "x", "a.rnn": "x/{direction}", "b.embeddings.word": "w", "c": None}
    assert copying.place("a.linear.weight", 2, places) == ("x/linear/kernel", True)
    assert copying.place("a.norm.weight", 1, places) == ("x/norm/scale", False)
    assert copying.place("a.norm.running_var", 1, places) == ("x/norm/var", False)
    assert copying.place("a.rnn.weight_ih_l0", 2, places) == ("x/forward/input", True)
    assert copying.place("a.rnn.bias_hh_l0_reverse", 1, places) == ("x/backward/recurrent_bias", False)
    assert copying.place("b.embeddings.word.weight", 2, places) == ("w/embedding", False)
    assert copying.place("c.weight", 2, places) is None
    with pytest.raises(KeyError, match=r"d\.weight"):
        copying.place("d.weight", 2, places)
