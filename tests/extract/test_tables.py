"""CSVs of OpenFace and openSMILE."""

from dataclasses import replace

import numpy as np
import pytest

from msa_jax.errors import InputError
from msa_jax.extract.clip import extract_clip
from msa_jax.extract.recipe import Recipe
from msa_jax.extract.tables import find_table, read_feature_table

OPENFACE = """frame, face_id, timestamp, confidence, success, gaze_0_x, AU01_r
1, 0, 0.000, 0.98, 1, 0.5, 1.5
2, 0, 0.040, 0.98, 1, 0.25, 2.5
2, 1, 0.040, 0.98, 1, 9.0, 9.0
3, 0, 0.080, 0.10, 0, 7.0, 7.0
"""
OPENSMILE = "name;frameTime;Loudness_sma3;F0\n'a';0.00;1.5;100\n'a';0.01;2.5;NaN\n"
PANDAS = "file,start,end,F0\na.wav,0 days 00:00:00.010000,0 days 00:00:00.03,2\na.wav,0 days,0 days,1\n"


def test_openface(tmp_path):
    (tmp_path / "a.csv").write_text(OPENFACE)
    table = read_feature_table(tmp_path / "a.csv", "vision")
    assert table.names == ("gaze_0_x", "AU01_r")
    np.testing.assert_array_equal(table.values, [[0.5, 1.5], [0.25, 2.5], [0, 0]])
    assert (table.rate, table.empty) == (25, 1)


@pytest.mark.parametrize("modality", ["audio", "vision"])
def test_what_comes_after_the_longest_time_is_not_read(tmp_path, modality):
    rows = [f"{k / 10},{k / 10},{int(k % 15 != 0)},{k}" for k in range(30)]  # of 3 s, in their other order
    (tmp_path / "a.csv").write_text("\n".join(["timestamp,frametime,success,x", *rows[::-1]]))
    names = ("success", "x") if modality == "audio" else ("frametime", "x")
    features = replace(read_feature_table(tmp_path / "a.csv", modality).features(modality), rate=10)
    assert features.names == (("timestamp", *names) if modality == "audio" else names)
    for most, count in ((1, 10), (1.01, 11), (1.1, 11), (1e308, 30), (2, 20), (3, 30), (60, 30)):
        recipe = Recipe(**{"audio": None, "vision": None, modality: features}, most_seconds=most)
        clip = extract_clip(None, recipe, tables={modality: tmp_path / "a.csv"}, landmarker=pytest.fail)
        np.testing.assert_array_equal(getattr(clip, modality)[1:15, -1], [*range(1, 15)][: count - 1])
        assert len(getattr(clip, modality)) == count
        assert clip.facts["seconds"] == (3 if count < 30 else 0)
        assert clip.facts.get("without_face", 0) == (modality == "vision") * (1 + (count > 15))


def test_success_as_pandas_writes_it(tmp_path):
    (tmp_path / "a.csv").write_text("timestamp,success,AU01_r\n0,True,1\n\n0.04,False,2\n0.08,1.0,3\n0.12,,4\n")
    table = read_feature_table(tmp_path / "a.csv", "vision")
    np.testing.assert_array_equal(table.values, [[1], [0], [3], [0]])
    assert table.empty == 2
    for cell in ("yes", "nan", "2"):
        (tmp_path / "a.csv").write_text(f"timestamp,success,AU01_r\n0,1,1\n\n0.04,{cell},2\n")
        with pytest.raises(InputError) as error:
            read_feature_table(tmp_path / "a.csv", "vision")
        said = f"{tmp_path / 'a.csv'}, line 4, column success: '{cell}'; expected 0 or 1, true or false"
        assert str(error.value) == said


def test_opensmile(tmp_path):
    (tmp_path / "a.csv").write_text(OPENSMILE)
    table = read_feature_table(tmp_path / "a.csv", "audio")
    assert table.names == ("Loudness_sma3", "F0")
    np.testing.assert_array_equal(table.values, [[1.5, 100], [2.5, 0]])
    assert table.rate == 100
    assert table.features("audio").set == "opensmile-csv"


def test_times_as_pandas_writes_them(tmp_path):
    (tmp_path / "a.csv").write_text(PANDAS.replace("0 days,0 days", "0 days 00:00:00,0 days 00:00:01"))
    table = read_feature_table(tmp_path / "a.csv", "audio")
    np.testing.assert_array_equal(table.values, [[1], [2]])  # in the order of their times
    assert table.rate == 100


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no rows"),
        ("timestamp,AU01_r\n", "no rows"),
        ("a,b\n1,2\n", "expected a column timestamp"),
        ("timestamp\n0\n", "features beside it"),
        ("timestamp,AU01_r\n0,x\n", "expected numbers"),
        ("timestamp,AU01_r\n0\n", "line 2 has 1 cells, the first line 2"),
        ("timestamp,AU01_r\n0,1\n0,1\n", "the same time"),
        ("\udcff", "no CSV"),
    ],
)
def test_other_files_are_refused(tmp_path, content, said):
    (tmp_path / "a.csv").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=said) as error:
        read_feature_table(tmp_path / "a.csv", "vision")
    assert "a.csv" in str(error.value)


def test_tables_are_found_by_video_and_clip(tmp_path):
    for name in ("v/1.csv", "v_2.csv", "v$_$3.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for clip, name in (("1", "v/1.csv"), ("2", "v_2.csv"), ("3", "v$_$3.csv")):
        assert find_table(tmp_path, "v", clip) == tmp_path / name
    assert find_table(tmp_path / "v_2.csv", "v", "9") == tmp_path / "v_2.csv"
    with pytest.raises(InputError, match=r"no v/4.csv or v_4.csv"):
        find_table(tmp_path, "v", "4")
