"""The README of an exported folder: what the model is, how it scores, what it reads, and what it is not for."""

from collections.abc import Mapping
from typing import Any

from msa_jax import config
from msa_jax.modalities import SEQUENCES
from msa_jax.option_values import shown
from msa_jax.report.table import METRIC_LABELS, Table, markdown_table, metric_cell
from msa_jax.train.settings import RunConfig

_LIMITS = (
    "The model predicts what annotators of the dataset would say. That is not what a person feels: do not use it to decide "
    "about people.",
    "Speakers, topics, languages and recordings that the dataset lacks may score worse. That was not measured here.",
    "The scores above are of one dataset, on its own test split.",
)  # the last one where there are scores


def model_card(
    run: RunConfig,
    result: Mapping[str, Any],
    environment: Mapping[str, Any],
    *,
    samples: Mapping[str, int],
    licence: str | None,
) -> str:
    """The text, in Markdown with the head that the Hugging Face hub reads.

    Args:
      run: the configuration that is exported, without private paths.
      result: "runs", "mean" and "std", as `result.json` has them, of the exported runs.
      environment: of the experiment, as `environment.json` has it.
      samples: how many there are, by split.
      licence: of the parameters, as the hub names it, such as "mit"; None if nobody said.
    """
    parts = [
        _head(run, licence),
        f"# {run.method} on {run.dataset}",
        f"A model of multimodal sentiment analysis{_origin(result)}. Method: {run.known_method().paper}.",
        _use(run),
        f"## Scores\n\n{_scores(result)}",
        f"## Data\n\n{_data(run, samples)}",
        f"## What it reads\n\n{_reads(run)}",
        f"## Options\n\n{_options(run)}",
        "## Limits\n\n" + "\n".join(f"- {line}" for line in _limits(run, bool(result["runs"]))),
        f"## Licence\n\n{_licence(run, licence)}",
        f"## Made with\n\n{_versions(environment)}",
    ]
    return "\n\n".join(parts) + "\n"


def _head(run: RunConfig, licence: str | None) -> str:
    tags = ["multimodal-sentiment-analysis", "sentiment-analysis", "jax", run.method]
    lines = [
        "library_name: msa_jax",
        *([f"license: {licence}"] if licence else []),
        "tags:",
        *(f"- {tag}" for tag in tags),
    ]
    return "\n".join(["---", *lines, "---"])


def _origin(result: Mapping[str, Any]) -> str:
    if result["runs"]:
        return " that msa_jax trained"
    return (
        ". Its parameters were trained in a loop of somebody's own, or changed after training, so the loss, the optimiser, the "
        "epochs and the options of training may be others than those below"
    )


def _read(run: RunConfig) -> tuple[str, ...]:
    """The modalities that scores depend on."""
    method = run.known_method()
    names = method.read_names(config.override(method.options(), run.options), run.inputs)
    return tuple(name for name in run.inputs.modalities if name in names)


def _use(run: RunConfig) -> str:
    texts = _read(run) == ("text",) and run.options["text_encoder"] != "features"
    call = 'predictor.predict_texts(["a fine film", "dull"])' if texts else "predictor.predict(dataset.test)"
    lines = ["import msa_jax", "", 'predictor = msa_jax.Predictor.from_pretrained("FOLDER")  # or its id on the hub']
    lines += [] if texts else ['dataset = msa_jax.load_dataset("DATASET")  # with the features that are named below']
    lines += [f"scores = {call}  # [N] float32, the mean over the runs"]
    return "\n".join(["```python", *lines, "```"])


def _scores(result: Mapping[str, Any]) -> str:
    if not result["runs"]:
        return "They were not measured when this folder was written."
    keys = [key for key in METRIC_LABELS if key in result["mean"]]
    rows = [
        [str(one["seed"]), *(metric_cell(key, one["test"][key]) for key in keys), str(one["best_epoch"])]
        for one in result["runs"]
    ]
    if len(rows) > 1:
        summary = [metric_cell(key, result["mean"][key], result["std"][key]) for key in keys]
        rows.append(["mean ± sd", *summary, "-"])
    columns = ["seed", *(METRIC_LABELS[key] for key in keys), "best epoch"]
    about = (
        "On the test split. The best epoch is chosen on the validation split; test chooses nothing. Accuracies and F1 are in "
        "percent. `metrics.json` has the numbers of both splits, unrounded."
    )
    return f"{about}\n\n{Table(columns=columns, rows=rows).markdown()}"


def _data(run: RunConfig, samples: Mapping[str, int]) -> str:
    low, high = run.inputs.label_range
    counts = ", ".join(f"{name} {count}" for name, count in samples.items())
    synthetic = " The dataset is synthetic." if run.dataset == "synthetic" else ""
    labels = f"Labels lie in [{low:g}, {high:g}]. Metrics are those of `{run.metrics}`."
    return f"Dataset `{run.dataset}`: {counts} samples. {labels}{synthetic}"


def _reads(run: RunConfig) -> str:
    lines = []
    if "text" in _read(run):
        encoder = run.options["text_encoder"]
        words = {"scratch": "tokens; the text encoder was trained from nothing", "features": "precomputed features"}
        lines.append(f"- text: {words.get(encoder, f'tokens; the text encoder began as `{encoder}`')}")
    sequences = [name for name in SEQUENCES if name in _read(run)]
    for name in sequences:
        recipe = (run.extract or {}).get(name)
        made = f", extracted by msa_jax (`{recipe['set']}`)" if isinstance(recipe, dict) and "set" in recipe else ""
        lines.append(f"- {name}: {getattr(run.inputs, name).width} features a frame{made}")
    if sequences and run.extract is None:
        lines.append("\nAudio and vision features must come from the same extractors as those of the dataset.")
    return "\n".join(lines)


def _options(run: RunConfig) -> str:
    defaults = config.to_json(run.known_method().options())
    changed = {name: value for name, value in run.options.items() if name in defaults and value != defaults[name]}
    protocol = f"The {run.protocol} protocol" + (f" with preset `{run.preset}`." if run.preset else ".")
    if not changed:
        return f"{protocol} All options have their defaults."
    table = markdown_table(["option", "value"], [[f"`{name}`", shown(value)] for name, value in changed.items()])
    return f"{protocol} These options differ from the defaults; `config.json` has all of them.\n\n{table}"


def _limits(run: RunConfig, scored: bool) -> list[str]:
    lines = list(_LIMITS if scored else _LIMITS[:-1])
    if run.dataset == "synthetic":
        lines.append("The dataset is synthetic. The model knows nothing of real speech.")
    if run.options.get("modality_dropout", 0) == 0 and len(_read(run)) > 1:
        lines.append("The model was not trained without a modality. If one is missing, its scores are worse.")
    return lines


def _licence(run: RunConfig, licence: str | None) -> str:
    encoder = run.options.get("text_encoder", "scratch")
    begun = (
        "" if run.inputs.text is None or encoder in ("scratch", "features") else f" and of the text encoder `{encoder}`"
    )
    said = (
        f"The parameters have the licence `{licence}`."
        if licence
        else "Nobody has chosen a licence for these parameters yet."
    )
    return f"{said} The terms of the dataset `{run.dataset}`{begun} hold for them too. The code of msa_jax has the licence MIT."


def _versions(environment: Mapping[str, Any]) -> str:
    versions = environment.get("versions", {})
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{listed}; devices: {', '.join(environment.get('devices', [])) or 'unknown'}."
