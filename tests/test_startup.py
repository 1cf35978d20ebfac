"""What is imported, and when: a command that only has to answer a word does not wait for JAX."""

import inspect
import json
import shlex
import subprocess
import sys

import pytest

import msa_jax
from msa_jax import __main__
from tests.paths import REPOSITORY

# Each takes a tenth of a second or more, and most of them bring others.
SYNTHETIC = "data synthetic: train 512, valid 128, test 256; text, audio, vision"  # as a training says it
SLOW = {"chex", "flax", "huggingface_hub", "jax", "jaxlib", "numpy", "optax", "orbax", "tokenizers", "transformers"}

# Runs a line of the command, then says on the last line of standard output what was imported and the exit status.
LINE = """
import json, sys
from msa_jax.cli import main
try:
    status = main(sys.argv[1:])
except SystemExit as stopped:
    status = stopped.code
print()
print(json.dumps([status, sorted({name.split(".")[0] for name in sys.modules})]))
"""


def python(code: str, *words: str) -> list[str]:
    """The lines that a new interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def run(line: str) -> tuple[int, set[str]]:
    """The exit status of a line of the command, and the packages that were imported for it."""
    status, packages = json.loads(python(LINE, *shlex.split(line))[-1])
    return status, set(packages)


def test_importing_msa_jax_imports_none_of_its_parts():
    (modules,) = python("import sys, msa_jax; print(*(name for name in sys.modules if name.startswith('msa_jax.')))")
    assert modules == ""


def test_importing_msa_jax_imports_nothing_slow():
    (packages,) = python("import sys, msa_jax; print(*{name.split('.')[0] for name in sys.modules})")
    assert set(packages.split()) & SLOW == set()


@pytest.mark.parametrize("module", ["cli", "train", "methods", "config", "errors", "modalities"])
def test_these_modules_import_nothing_slow(module):
    (packages,) = python(f"import sys, msa_jax.{module}; print(*{{name.split('.')[0] for name in sys.modules}})")
    assert set(packages.split()) & SLOW == set()


def test_predictions_import_nothing_that_only_training_needs():
    code = "import sys, msa_jax.train.predictor, msa_jax.methods.self_mm; print(*sys.modules)"
    modules = set(python(code)[-1].split())
    assert modules & {"optax", "orbax.checkpoint", "jax.experimental.pallas", "transformers"} == set()
    assert "jax" in modules


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("--help", 0),
        ("--version", 0),
        ("train --help", 0),
        ("sweep --help", 0),
        ("data import --help", 0),
        ("", 2),
        ("frobnicate", 2),
        ("train self_mm", 2),
        ("train self_mm --data synthetic --seeds x", 2),
        ("train self_mm --data synthetic --batch-size", 2),
        ("train nonsense --data x", 2),
        ("sweep nonsense --data x", 2),
        ("methods nonsense", 2),
        ("reproduce", 2),
        ("train self_mm --data synthetic --process 1", 2),
    ],
)
def test_what_needs_no_data_is_answered_before_anything_slow_is_imported(line, status):
    found, packages = run(line)
    assert found == status
    assert packages & SLOW == set()


@pytest.mark.parametrize("line", ["train self_mm --data nowhere", "sweep self_mm --data nowhere", "data check nowhere"])
def test_data_that_are_not_there_are_missed_before_jax_is_imported(line):
    found, packages = run(line)
    assert found == 2
    assert packages & {"jax", "flax", "orbax"} == set()


# Runs a line of the command until JAX would be imported.
UNTIL_JAX = """
import sys
class Stop:
    def find_spec(self, name, *_):
        if name == "jax":
            raise SystemExit("JAX would be imported")
sys.meta_path.insert(0, Stop())
from msa_jax.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "train self_mm --data synthetic --seeds 3 4 --out x",
            [
                "method self_mm, reading synthetic",
                "method self_mm, paper protocol, preset self_mm_synthetic",
                SYNTHETIC,
                "2 runs (seeds 3, 4), into x",
            ],
        ),
        (
            "sweep tfn --data synthetic --protocol reference --preset none --grid batch_size=4,8",
            [
                "method tfn, reading synthetic",
                "method tfn, reference protocol, no preset",
                SYNTHETIC,
                "1 run (seed 1111), into runs/sweep-tfn-synthetic",
            ],
        ),
        (
            "resume kept --max-epochs 9",
            ["method self_mm, reference protocol, preset p", "2 runs (seeds 1, 2), into kept"],
        ),
    ],
)
def test_what_is_asked_is_said_before_jax_is_imported(line, said, tmp_path):
    (tmp_path / "kept").mkdir()
    asked = {"method": "self_mm", "protocol": "reference", "preset": "p", "seeds": [1, 2]}
    (tmp_path / "kept" / "config.json").write_text(json.dumps(asked))
    done = subprocess.run(
        [sys.executable, "-c", UNTIL_JAX, *shlex.split(line)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines() == [*said, "loading JAX", "JAX would be imported"]


def test_every_public_name_is_listed_and_found():
    assert set(msa_jax.__all__) <= set(dir(msa_jax))
    for name in msa_jax.__all__:
        assert getattr(msa_jax, name) is getattr(msa_jax, name)
    assert msa_jax.Card is msa_jax.data.Card
    assert msa_jax.register is msa_jax.methods.register
    assert issubclass(msa_jax.TrainingStopped, msa_jax.errors.InputError)


@pytest.mark.parametrize("package", [msa_jax, msa_jax.train])
def test_an_unknown_name_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = package.nothing


@pytest.mark.parametrize(
    "how",
    [
        "import msa_jax; train = msa_jax.train",
        "import msa_jax.train; train = msa_jax.train",
        "import msa_jax.train as train",
        "from msa_jax import train",
        "import msa_jax.train.gdwg; train = msa_jax.train",
    ],
)
def test_train_is_a_function_and_a_package_whichever_way_it_is_imported(how):
    code = "import inspect; print(callable(train), inspect.ismodule(train), train.__name__)"
    assert python(f"{how}\n{code}") == ["True True msa_jax.train"]


def test_modules_of_the_engine_are_found_in_its_package():
    assert msa_jax.train.gdwg.weights is msa_jax.losses.dynamic_weights.weights
    assert msa_jax.train.processes.count() == 1


def test_the_weights_of_loss_terms_are_found_among_the_losses():
    assert python("import msa_jax; print(msa_jax.losses.dynamic_weights.__name__)") == [
        "msa_jax.losses.dynamic_weights"
    ]


def test_calling_the_package_trains(monkeypatch):
    called = []
    monkeypatch.setattr("msa_jax.train.experiment.train", lambda *words, **named: called.append((words, named)))
    msa_jax.train("self_mm", "synthetic", seeds=(1,))
    assert called == [(("self_mm", "synthetic"), {"seeds": (1,)})]


def test_the_package_that_trains_has_a_docstring():
    assert "msa_jax.train.experiment.train" in (inspect.getdoc(msa_jax.train) or "")


def test_windows_is_refused_in_one_line_before_anything_is_imported(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit, match="Windows is not supported; Linux in WSL 2 is"):
        __main__.main()
