"""What messages quote and advise."""

import re
import tomllib

import pytest

from msa_jax.errors import install
from tests.paths import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHON = [*sorted((REPOSITORY / "msa_jax").rglob("*.py")), *sorted((REPOSITORY / "scripts").glob("*.py"))]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def test_what_an_extra_brings_is_installed_from_the_source():
    assert install("plots") == "pip install '.[plots]' in the source folder of msa_jax"


@pytest.mark.parametrize("path", [*PYTHON, *PAGES], ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_nothing_says_to_install_an_extra_in_another_way_or_one_that_is_not_there(path):
    text = path.read_text(encoding="utf-8")
    # msa-jax is on no index, so `pip install 'msa-jax[plots]'` finds nothing, or something else of that name.
    assert not re.search(r"pip install \W*msa[-_]jax", text)
    named = [*re.findall(r"\binstall\(['\"](\w+)['\"]\)", text), *re.findall(r"'\.\[([\w,]+)\]'", text)]
    assert {extra for names in named for extra in names.split(",")} <= set(PROJECT["optional-dependencies"])


def test_the_citation_has_the_version_of_the_package():
    citation = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", citation, re.MULTILINE) == [PROJECT["version"]]
