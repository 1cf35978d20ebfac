"""The house rules: who imports whom, what never appears, how long a file may be."""

import ast
import re
import subprocess
import sys
from pathlib import Path

from msa_jax.methods import BUILT_IN
from scripts import house
from tests.paths import REPOSITORY

PACKAGE = REPOSITORY / "msa_jax"
FILES = sorted(PACKAGE.rglob("*.py"))

BASE = {"errors", "json_text", "modalities", "signals", "paths", "whole_files"}
# What each part of the package may import, besides itself.
MAY_IMPORT = {
    "errors": set(),
    "json_text": set(),
    "csv_text": set(),
    "modalities": set(),
    "signals": set(),
    "paths": {"errors"},
    "whole_files": {"signals"},
    "numerics": set(),
    "safe_pickle": BASE,
    "literals": BASE,
    "everyday_names": set(),
    "option_values": BASE | {"everyday_names"},
    "option_meanings": BASE,
    "config": BASE | {"literals", "everyday_names", "option_values"},
    "metrics": BASE,
    "data": BASE | {"safe_pickle"},
    "extract": BASE | {"csv_text", "data", "encoders"},
    "losses": BASE | {"numerics"},
    "labels": BASE | {"numerics"},
    "layers": BASE,
    "encoders": BASE | {"safe_pickle", "layers"},
    "methods": BASE | {"config", "losses", "labels", "layers", "encoders"},
    "train": BASE
    | {"csv_text", "config", "literals", "losses", "metrics", "data", "extract", "layers", "encoders", "methods"},
    "testing": BASE | {"config", "data", "layers", "methods", "train"},
    "report": BASE
    | {"csv_text", "option_meanings", "option_values"}
    | {"config", "literals", "losses", "metrics", "data", "extract", "encoders", "methods", "train"},
    "app": BASE | {"config", "extract", "methods", "train", "report"},
    "arguments": BASE | {"__version__"},
    "commands": BASE | {"config", "metrics", "data", "extract", "methods", "train", "report", "app"},
    "cli": BASE | {"arguments", "commands", "train"},
    "__main__": {"cli", "signals"},
    "__init__": BASE | {"config", "data", "extract", "labels", "losses", "methods", "metrics", "testing", "train"},
}
TFDS_BUILDERS = PACKAGE / "data" / "tfds_builders.py"  # the one module that is itself imported where it is used
# One encoder and one method that a reader wants all at once.
LONGEST = {"encoders/sparse_phased.py": 430, "methods/mmcl.py": 450}
HEAVY = {"tensorflow_datasets", "transformers", "matplotlib", "torch", "tensorflow", "huggingface_hub"}
HEAVY |= {"av", "ai_edge_litert", "opensmile", "faster_whisper", "starlette", "uvicorn"}


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imports(path: Path) -> list[tuple[str, bool]]:
    """Every module that a file imports, with dots, and whether it does so when it is itself imported."""
    found = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lazy = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found += [(name, id(node) not in lazy) for name in names]
    return found


def test_every_part_of_the_package_has_a_rule():
    assert {part_of(path) for path in FILES} <= MAY_IMPORT.keys()


def test_imports_run_one_way():
    wrong = []
    for path in FILES:
        part = part_of(path)
        for name, _ in imports(path):
            if name.split(".")[0] == "msa_jax":
                imported = name.split(".")[1]
                wrong += [] if imported == part or imported in MAY_IMPORT[part] else [f"{part} imports {name}"]
    assert wrong == []


def test_the_engine_knows_no_method_by_name():
    wrong = []
    for path in (path for path in FILES if part_of(path) in {"train", "testing"}):
        names = [name for name, _ in imports(path) if name.startswith("msa_jax.methods.")]
        wrong += [(path.name, name) for name in names if name.split(".")[2] not in {"protocol", "get"}]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = {
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        wrong += [(path.name, name) for name in texts & set(BUILT_IN)]
    assert wrong == []


def test_heavy_packages_are_imported_where_they_are_used_and_torch_nowhere():
    wrong = []
    for path in FILES:
        for name, at_once in imports(path):
            package = name.split(".")[0]
            heavy = at_once and package in HEAVY and path != TFDS_BUILDERS
            wrong += [(path.name, name)] if heavy or package in {"torch", "tensorflow"} else []
    assert wrong == []


def test_importing_the_package_imports_nothing_heavy():
    code = f"import sys, msa_jax, msa_jax.cli; print(*(set({sorted(HEAVY)}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_no_file_is_long():
    lines = {path.relative_to(PACKAGE).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: count for name, count in lines.items() if count > LONGEST.get(name, 400)} == {}


def test_every_module_public_class_and_public_function_has_a_docstring():
    wrong = []
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        wrong += [] if ast.get_docstring(tree) or path.name == "__init__.py" else [path.name]
        public = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        public = [node for node in public if not node.name.startswith("_")]
        wrong += [(path.name, node.name) for node in public if not ast.get_docstring(node)]
    assert wrong == []


def test_library_code_prints_nothing():
    wrong = []
    for path in (path for path in FILES if part_of(path) not in {"cli", "commands", "__main__"}):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        wrong += [path.name] if "print" in {getattr(call.func, "id", None) for call in calls} else []
    assert wrong == []


# Written in pieces, so that this file does not find itself.
UNFINISHED = re.compile("|".join(("Not" + "ImplementedError", r"\bTO" + r"DO\b", r"\bFIX" + r"ME\b", r"\bXX" + r"X\b")))
MACHINE = re.compile(
    "|".join(f"/{root}/" for root in ("ro" + "ot", "ho" + "me", "wo" + "rk", "Us" + "ers", "mn" + "t"))
)


def texts() -> list[Path]:
    folders = [REPOSITORY / name for name in ("msa_jax", "configs", "scripts", "tests", "notebooks", "docs", ".ci")]
    found = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    found += [REPOSITORY / name for name in ("README.md", "pyproject.toml")]
    return [path for path in found if path.suffix not in {".pyc", ".bin", ".npz", ".png"} and path.exists()]


def test_the_pictures_of_the_house_are_drawn_from_its_imports():
    page = house.PAGE.read_text(encoding="utf-8")
    assert page.count("-->") > 30
    assert house.drawn(page) == page  # else `python -m scripts.house --write`


def test_nothing_is_left_unfinished():
    wrong = [str(path) for path in texts() if UNFINISHED.search(path.read_text(encoding="utf-8", errors="replace"))]
    assert wrong == []


def test_no_file_names_a_place_on_one_machine():
    wrong = [str(path) for path in texts() if MACHINE.search(path.read_text(encoding="utf-8", errors="replace"))]
    assert wrong == []


def needs_pytorch(text: str, reads: set[str]) -> bool:
    """Whether a test module imports PyTorch, or one of these derivations, before it asks whether PyTorch is there."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign | ast.Expr) and 'importorskip("torch")' in ast.unparse(node).replace("'", '"'):
            return False
        if isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "torch" for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom):
            names = {str(node.module).split(".")[-1], *(alias.name for alias in node.names)}
            if str(node.module).split(".")[0] == "torch" or ("tests.reference" in str(node.module) and names & reads):
                return True
    return False


def test_no_test_stands_still_without_pytorch():
    tests = REPOSITORY / "tests"
    reads = {path.stem for path in (tests / "reference").glob("*.py") if needs_pytorch(path.read_text("utf-8"), set())}
    assert {"tfn_torch", "decomposed"} <= reads
    assert "sugrm_numpy" not in reads
    assert needs_pytorch("from tests.reference import tfn_torch", reads)
    assert not needs_pytorch('torch = pytest.importorskip("torch")\nfrom tests.reference import tfn_torch', reads)
    wrong = [path.name for path in tests.rglob("test_*.py") if needs_pytorch(path.read_text("utf-8"), reads)]
    assert wrong == []


def test_the_rules_find_what_they_look_for():
    assert UNFINISHED.search("raise Not" + "ImplementedError")
    assert MACHINE.search("open('/ho" + "me/me/x')")
    assert ("numpy", True) in imports(PACKAGE / "metrics.py")
    assert ("msa_jax.errors.InputError", True) in imports(PACKAGE / "cli.py")
    assert ("msa_jax.train.experiment.train", False) in imports(PACKAGE / "commands" / "training.py")
    assert len(FILES) > 40
