"""Using a finished experiment: scores for new data."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from msa_jax import config, methods
from msa_jax.config import Options
from msa_jax.data.preprocess import Columns, Preprocessor
from msa_jax.data.schema import Split
from msa_jax.errors import InputError
from msa_jax.methods.protocol import Inputs, Method
from msa_jax.modalities import SEQUENCES
from msa_jax.paths import user_path
from msa_jax.train.atomic import read_json
from msa_jax.train.checkpoint import load_variables
from msa_jax.train.compilation import keep_compiled_programs
from msa_jax.train.evaluate import Forward, Scorer, one_run
from msa_jax.train.model import Model, Variables
from msa_jax.train.prepare import compute_dtype, example_batch
from msa_jax.train.runs import ONE
from msa_jax.train.settings import RunConfig


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictor:
    """The trained runs of an experiment. variables: {seed: what its network holds}; metrics: the kind of its dataset."""

    method: Method
    options: Options
    inputs: Inputs
    preprocessor: Preprocessor
    variables: dict[int, Variables]
    metrics: str

    @classmethod
    def load(cls, folder: str | Path) -> "Predictor":
        """Every run of a finished experiment.

        Raises:
          InputError: not an experiment, not finished, or damaged.
        """
        path = user_path(folder)
        if not (path / "config.json").is_file():
            raise InputError(f"{path}: not an experiment (no config.json)")
        if not (path / "result.json").is_file():
            raise InputError(f"{path}: not finished; repeat its `msa-jax train` command to resume it")
        content = RunConfig.from_json(read_json(path / "config.json"), str(path / "config.json"))
        method = methods.get(content.method)
        options = config.override(method.options(), content.options)
        model = Model(method, options, content.inputs, compute_dtype(options))
        shapes = model.shapes(example_batch(_like_training(content.inputs), 2))
        return cls(
            method=method,
            options=options,
            inputs=content.inputs,
            preprocessor=Preprocessor.load(path / "preprocessing"),
            variables={seed: load_variables(path / "checkpoints" / str(seed), shapes) for seed in content.seeds},
            metrics=content.metrics,
        )

    def predict(self, split: Split) -> np.ndarray:
        """[N] float32: the mean over the runs of the predicted sentiment, on the scale of the training labels."""
        runs = self.predict_runs(split)
        return np.mean([heads["prediction"] for heads in runs.values()], axis=0, dtype=np.float32)

    def predict_runs(self, split: Split, *, exports: bool = False) -> dict[int, dict[str, np.ndarray]]:
        """{seed: {head: [N] float32}}, in the order of the rows.

        Args:
          exports: add what else the method lets one look at, `Method.exports`, [N] or [N, d]: the mean gate of each modality
            (SUGRM), the fused representation.

        Raises:
          InputError: a modality is missing or of another feature size than in training; there is nothing to export.
        """
        heads = self.method.head_names(self.options, self.inputs)
        names = self.method.export_names(self.options, self.inputs) if exports else ()
        if exports and not names:
            raise InputError(f"method {self.method.name} with these options has nothing to export besides its scores")
        if len(split) == 0:
            raise InputError("there is nothing to predict: the split is empty")
        keep_compiled_programs()
        columns = self.preprocessor.apply(split)
        columns["label"] = np.zeros(len(split), np.float32)  # a score needs none
        model = Model(self.method, self.options, self.inputs, compute_dtype(self.options))
        scorer = Scorer(Forward(model, ONE), {"split": columns}, self.options)
        runs = {}
        for seed, variables in self.variables.items():
            scores = scorer.scores(one_run(variables), {}, "split", (*heads, *names), runs=1)
            runs[seed] = {name: values[0] for name, values in scores.items()}
        return runs


def _like_training(inputs: Inputs) -> Columns:
    """Arrays of the shapes of the training data, of two samples."""
    columns: Columns = {name: np.zeros(2, np.float32) for name in ("label", *inputs.columns)}
    if inputs.text is not None:
        mask = np.ones((2, inputs.text.steps), np.int32)
        width = inputs.text.width
        tokens = {"ids": mask, "mask": mask}
        features = {"features": np.zeros((2, inputs.text.steps, width), np.float32), "mask": mask}
        columns["text"] = features if inputs.text.bert is None else tokens
    for name in SEQUENCES:
        if (shape := getattr(inputs, name)) is not None:
            columns[name] = {"features": np.zeros((2, *shape), np.float32), "length": np.ones(2, np.int32)}
    return columns
