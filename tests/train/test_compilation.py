"""The folder of compiled programs: the user's choice first, a default otherwise, never an error."""

import os
from pathlib import Path

import jax
import pytest

from msa_jax.train import compilation, processes
from msa_jax.train.compilation import keep_compiled_programs

OPTIONS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_enable_compilation_cache",
)


@pytest.fixture
def unset(monkeypatch, tmp_path):
    """JAX as it is where the user has chosen nothing, with a home of its own."""
    before = {name: getattr(jax.config, name) for name in OPTIONS}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", raising=False)
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_programs_are_kept_in_the_cache_folder_of_the_user(unset, tmp_path):
    folder = keep_compiled_programs()
    assert folder == tmp_path / "msa_jax" / "compiled"
    assert folder.is_dir()
    assert jax.config.jax_compilation_cache_dir == str(folder)
    assert jax.config.jax_persistent_cache_min_compile_time_secs == 0.2


def test_the_home_of_the_user_where_no_cache_folder_is_named(unset, monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert keep_compiled_programs() == tmp_path / "home" / ".cache" / "msa_jax" / "compiled"


def test_another_folder_that_the_user_chose_stays(unset, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "mine"))
    assert keep_compiled_programs() == tmp_path / "mine"
    assert not (tmp_path / "msa_jax").exists()


def test_a_cache_that_the_user_turned_off_stays_off(unset, tmp_path):
    jax.config.update("jax_enable_compilation_cache", False)
    assert keep_compiled_programs() is None
    assert jax.config.jax_compilation_cache_dir is None
    assert not list(tmp_path.iterdir())


def test_several_processes_keep_none_unless_a_folder_is_chosen(unset, monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "count", lambda: 2)
    assert keep_compiled_programs() is None
    assert jax.config.jax_compilation_cache_dir is None
    assert not list(tmp_path.iterdir())
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "shared"))
    assert keep_compiled_programs() == tmp_path / "shared"


def test_a_folder_that_cannot_be_made_is_a_warning(unset, tmp_path):
    (tmp_path / "msa_jax").write_text("in the way")
    with pytest.warns(UserWarning, match="compiled programs are not kept"):
        assert keep_compiled_programs() is None
    assert jax.config.jax_compilation_cache_dir is None


def test_tests_keep_theirs_in_a_folder_of_the_session():
    assert keep_compiled_programs() == Path(os.environ["JAX_COMPILATION_CACHE_DIR"])


def test_the_highest_memory_of_a_device_is_of_this_experiment_or_not_known(monkeypatch):
    for before, after, found in ((None, None, True), (100, 100, None), (100, 2**20, 1.0), (0, 2**21, 2.0)):
        highest = iter((before, after))
        monkeypatch.setattr(compilation, "_highest_of_device", lambda highest=highest: next(highest))
        compilation.forget_peak_memory()
        peak = compilation.peak_memory_mb()
        assert peak == found if found is not True else peak > 1
