"""Using a finished experiment: scores for new data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from msa_jax import config, methods
from msa_jax.config import Options
from msa_jax.data.preprocess import Preprocessor
from msa_jax.data.schema import Split
from msa_jax.encoders.bert import BertConfig
from msa_jax.errors import InputError
from msa_jax.methods.protocol import Inputs, Method, Stage
from msa_jax.train.checkpoint import load_params
from msa_jax.train.compilation import keep_compiled_programs
from msa_jax.train.folder import read_json
from msa_jax.train.prepare import compute_dtype, example_batch
from msa_jax.train.program import Program
from msa_jax.train.score import Scorer


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictor:
    """The trained runs of an experiment. params: {seed: parameters}; metrics: the kind of its dataset."""

    method: Method
    options: Options
    inputs: Inputs
    preprocessor: Preprocessor
    params: dict[int, Any]
    metrics: str

    @classmethod
    def load(cls, folder: str | Path) -> "Predictor":
        """Every run of a finished experiment.

        Raises:
          InputError: not an experiment, not finished, or damaged.
        """
        path = Path(folder)
        if not (path / "config.json").is_file():
            raise InputError(f"{path}: not an experiment (no config.json)")
        if not (path / "result.json").is_file():
            raise InputError(f"{path}: not finished; repeat its `msa-jax train` command to resume it")
        content = read_json(path / "config.json")
        try:
            method = methods.get(content["method"])
            options = config.override(method.options(), content["options"])
            inputs = inputs_from_json(content["inputs"])
            seeds, kind = content["seeds"], content["metrics"]
        except (KeyError, TypeError) as error:
            raise InputError(f"{path / 'config.json'}: not a configuration of this version ({error!r})") from None
        return cls(
            method=method,
            options=options,
            inputs=inputs,
            preprocessor=Preprocessor.load(path / "preprocessing"),
            params={seed: load_params(path / "checkpoints" / str(seed)) for seed in seeds},
            metrics=kind,
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
        scorer = self._scorer(split)
        runs = {seed: scorer(params, "split", exports=exports) for seed, params in self.params.items()}
        if exports and not all(set(self.method.exports) & set(named) for named in runs.values()):
            raise InputError(f"method {self.method.name} with these options has nothing to export besides its scores")
        return runs

    def _scorer(self, split: Split) -> Scorer:
        if len(split) == 0:
            raise InputError("there is nothing to predict: the split is empty")
        keep_compiled_programs()
        columns = self.preprocessor.apply(split)
        columns["label"] = np.zeros(len(split), np.float32)  # a score needs none
        program = Program(
            self.method,
            self.options,
            self.inputs,
            stage=Stage(name="predict"),
            updates=1,
            capacity=None,
            dtype=compute_dtype(self.options),
        )
        shapes = jax.tree.map(np.shape, program.param_shapes(example_batch(columns, 2)))
        for seed, params in self.params.items():
            if jax.tree.map(np.shape, params) != shapes:
                raise InputError(
                    f"the parameters of run {seed} are not those of method {self.method.name} with the options in config.json"
                )
        return Scorer(program, {"split": columns})


def inputs_from_json(content: dict[str, Any]) -> Inputs:
    """What `inputs_to_json` made."""
    text = content["text"]
    return Inputs(
        text=BertConfig.from_dict(text) if isinstance(text, dict) else text,
        text_steps=content["text_steps"],
        audio=content["audio"] and tuple(content["audio"]),
        vision=content["vision"] and tuple(content["vision"]),
        label_range=tuple(content["label_range"]),
        rows=content["rows"],
        columns=tuple(content["columns"]),
    )
