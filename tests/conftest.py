"""Every test runs on the CPU, and an array of another rank than expected is an error instead of a broadcast."""

import atexit
import gc
import itertools
import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")  # runs side by side are dealt to devices
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Many tests build the same small programs: within a session each is compiled once.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="msa_jax_tests_")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import jax
import pytest

# By the processor time that their slow tests take, the longest first: `scripts/test --all` begins with these, so that no
# process has one of them left when the others have ended.
LONG = (
    "test_conformance.py", "test_conformance_reference.py", "test_eight_devices.py", "test_benchmark.py", "test_notebooks.py",
    "test_resume.py", "test_studies_on_real_data.py", "test_methods.py",
)  # fmt: skip
MOST_MAPS = 20_000
TESTS_BETWEEN = 10  # counting takes 10 ms
_ended = itertools.count(1)

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(autouse=True)
def _programs_leave_the_process():
    """A process may map some 65,000 pieces of memory, and every compiled program is several of them."""
    yield
    if next(_ended) % TESTS_BETWEEN:
        return
    maps = Path("/proc/self/maps")
    if maps.is_file() and len(maps.read_bytes().splitlines()) > MOST_MAPS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="module")
def compiled_quickly():
    """Programs are compiled as quickly as they can be, where what they give is compared with what others so compiled give."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the files that take long in front; the others keep their order.

    Marks what is compiled quickly, so that `scripts/test --all` can choose it.
    """
    for item in items:
        if "compiled_quickly" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.compiled_quickly)
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))
