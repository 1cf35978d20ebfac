"""Each failure of docs/clips.md has the behaviour and the line that the page says, and nothing half-written stays."""

import csv

import pytest

from msa_jax.data import read_native
from tests.extract.failures import CASES, MARKS, PAGE, REFUSED, run
from tests.extract.material import face_model


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    face_model()
    return tmp_path_factory.mktemp("cache")


def rows_of_the_page() -> dict[str, str]:
    text = PAGE.read_text(encoding="utf-8").split(MARKS[0])[1].split(MARKS[1])[0]
    rows = [line.strip("| ").split(" | ") for line in text.strip().splitlines()[2:]]
    return {row[0]: row[2].strip("`").replace("\\|", "|") if len(row) > 2 else "" for row in rows}


def test_the_page_has_every_case():
    assert list(rows_of_the_page()) == [case.about for case in CASES]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.about)
def test_a_case_is_as_the_page_says(case, tmp_path, cache):
    seen = run(case, tmp_path, cache)
    assert seen.status == case.status, seen.lines
    assert seen.line == rows_of_the_page()[case.about]
    assert bool(seen.line) == bool(case.line), seen.lines
    errors = [line for line in seen.lines if line.startswith("msa-jax: ") and "warning: " not in line]
    assert len(errors) == (case.status == 2)
    assert not any("Traceback" in line for line in seen.lines)
    if case.status == 0:
        dataset = read_native(seen.folder)
        assert len(dataset.train) + len(dataset.valid) + len(dataset.test) in (3, 4)
        if not case.line:
            assert not any("warning" in line for line in seen.lines)
    else:
        assert not (seen.folder / "card.json").exists()
    assert not list(tmp_path.glob(".*"))
    if case.then == REFUSED:
        (tmp_path / "again").mkdir()
        skipped = run(case, tmp_path / "again", cache, "--skip-bad")
        assert skipped.status == 0, skipped.lines
        assert len(read_native(skipped.folder).train) == 1
        with open(skipped.folder / "failed.csv", encoding="utf-8", newline="") as file:
            (failed,) = list(csv.DictReader(file))
        assert failed["id"] == "new$_$1"
        assert failed["reason"]
