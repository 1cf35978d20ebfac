"""What the runs of a study's variant export of a dataset's splits: representations, predictions, gates."""

from collections.abc import Sequence

import numpy as np

from msa_jax import methods
from msa_jax.data.schema import Dataset
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from msa_jax.modalities import UNIMODAL_LABELS
from msa_jax.report.study import Outcome
from msa_jax.train.predictor import Predictor

Exports = dict[int, dict[str, dict[str, np.ndarray]]]  # seed -> split -> name -> [N] or [N, d]


def exported_names(name: str) -> tuple[str, ...]:
    """What the method of that name exports at its defaults, of data with all modalities."""
    method = methods.get(name)
    frames = SequenceInput(steps=1, width=1)
    inputs = Inputs(
        text=TextInput(width=1, steps=1), audio=frames, vision=frames, columns=UNIMODAL_LABELS, aligned=True
    )
    return method.export_names(method.options(), inputs)


def read_exports(outcome: Outcome, dataset: Dataset, splits: Sequence[str]) -> Exports:
    """Computes the exports of every run of a finished variant, with the parameters of its best epoch.

    Raises:
      InputError: the experiment is damaged, or its method exports nothing.
    """
    predictor = Predictor.load(outcome.path)
    names = predictor.method.export_names(predictor.options, predictor.inputs)
    found = {split: predictor.predict_runs(dataset.split(split), exports=True) for split in splits}
    return {
        seed: {split: {name: found[split][seed][name] for name in names} for split in splits} for seed in outcome.runs
    }
