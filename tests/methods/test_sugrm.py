"""SUGRM as a method of the engine: what it writes, what it trains on, how its parts are exchanged."""

import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msa_jax import config, metrics
from msa_jax.cli import main
from msa_jax.data.native import write_native
from msa_jax.errors import InputError
from msa_jax.methods import METHODS
from msa_jax.methods.protocol import Clock, Inputs, SequenceInput, TextInput
from msa_jax.methods.shared import unimodal_tasks
from msa_jax.train.experiment import train
from msa_jax.train.predictor import Predictor
from msa_jax.train.prepare import example_batch, prepare
from tests.methods.cases import phase_of, step_of
from tests.tiny import QUICK, tiny_dataset, train_quick

FEATURES = {"text_encoder": "features", "spt.iterations": 1}
DATASET = tiny_dataset(text="text", label_range=(-1.0, 1.0), metrics="sims")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    options = {**FEATURES, "max_epochs": 4, "checkpoint_epochs": 1, "spt.iterations": 2}
    return train_quick("sugrm", DATASET, tmp_path_factory.mktemp("sugrm") / "run", options=options)


@pytest.mark.slow
def test_it_scores_every_task_with_the_metrics_of_the_dataset(trained):
    with open(trained.path / "predictions" / "test.csv", newline="", encoding="utf-8") as file:
        header = next(csv.reader(file))
    assert header == ["id", "label", "1/prediction", "1/text", "1/audio", "1/vision"]
    assert set(trained.mean) == set(metrics.METRIC_KEYS["sims"])


@pytest.mark.slow
def test_unimodal_labels_move_within_the_label_range_of_the_dataset(trained):
    with np.load(trained.path / "labels" / "1.npz") as file:
        labels = {name: file[name] for name in file.files if name.startswith("label_")}
    assert set(labels) == {"label_t", "label_a", "label_v"}
    for values in labels.values():
        assert np.abs(values).max() <= 1.0
        assert not np.array_equal(values, DATASET.train.label)


@pytest.mark.slow
def test_predict_exports_the_mean_gate_of_each_modality_and_the_representation(trained, tmp_path, capsys):
    write_native(DATASET, tmp_path / "data")
    arguments = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "scores.csv"), "--json"]
    assert main(["predict", str(trained.path), *arguments, "--arrays", str(tmp_path / "more.npz")]) == 0
    assert json.loads(capsys.readouterr().out)["arrays"] == str(tmp_path / "more.npz")
    with np.load(tmp_path / "more.npz", allow_pickle=False) as file:
        arrays = dict(file)
    names = ("text", "audio", "vision")
    exports = ["representation", *(f"gate_{name}" for name in names), *(f"{name}_embedding" for name in names)]
    assert set(arrays) == {"id", "label", *(f"1/{name}" for name in exports)}
    assert arrays["id"].tolist() == DATASET.test.id.tolist()
    for name in ("gate_text", "gate_audio", "gate_vision"):
        gate = arrays[f"1/{name}"]
        assert gate.shape == (len(DATASET.test),)
        assert (gate > 0).all()
        assert (gate < 2).all()
        assert len(np.unique(gate)) > 1  # a gate of its own for each sample
    assert arrays["1/representation"].shape == (len(DATASET.test), 32)


def test_there_is_nothing_to_export_from_a_method_without_exports(tmp_path):
    dataset = tiny_dataset(rows=(8, 2, 2), modalities=("text",), text="text")
    path = train_quick(
        "text_only", dataset, tmp_path / "run", options={"text_encoder": "features", "max_epochs": 1}
    ).path
    with pytest.raises(InputError, match="text_only with these options has nothing to export"):
        Predictor.load(path).predict_runs(dataset.test, exports=True)


@pytest.mark.slow
def test_it_resumes_with_its_labels(trained, tmp_path):
    options = {**QUICK, **FEATURES, "max_epochs": 4, "checkpoint_epochs": 1, "spt.iterations": 2}

    class Interrupting:
        left = 3

        def isatty(self):
            return False

        def flush(self):
            pass

        def write(self, text):
            if "epoch" in text:
                Interrupting.left -= 1
                if Interrupting.left == 0:
                    raise KeyboardInterrupt

    def begin(log):
        train("sugrm", DATASET, seeds=(1,), out=tmp_path / "run", preset="none", log=log, options=options)

    with pytest.raises(KeyboardInterrupt):
        begin(Interrupting())
    begin(None)
    for name in ("predictions/test.csv", "predictions/valid.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (trained.path / name).read_bytes()
    with np.load(tmp_path / "run" / "labels" / "1.npz") as again, np.load(trained.path / "labels" / "1.npz") as first:
        assert again.files == first.files
        for name in first.files:
            np.testing.assert_array_equal(again[name], first[name])


@pytest.mark.slow
@pytest.mark.parametrize("modalities", [("text",), ("audio", "vision")])
def test_it_trains_on_the_modalities_there_are(tmp_path, modalities):
    dataset = tiny_dataset(modalities=modalities, text="text")
    experiment = train_quick("sugrm", dataset, tmp_path / "run", options={**FEATURES, "spt.iterations": 1})
    heads = experiment.runs[0].scores["test"]
    assert set(heads) == {"prediction", *modalities}
    assert np.isfinite(heads["prediction"]).all()


@pytest.mark.slow
def test_it_trains_on_one_row_in_batches_of_one(tmp_path):
    dataset = tiny_dataset(rows=(1, 1, 1), modalities=("text",), text="text")
    experiment = train_quick("sugrm", dataset, tmp_path / "run", options={**FEATURES, "batch_size": 1})
    assert np.isfinite(experiment.runs[0].test["MAE"])


@pytest.mark.slow
def test_eight_samples_can_be_overfitted(tmp_path):
    still = {f"spt.{name}_dropout": 0.0 for name in ("attention", "relu", "residual", "embed")}
    options = {**FEATURES, **still, "dropout": 0.0, "max_epochs": 120, "patience": 120}
    options |= {"learning_rate.encoder": 3e-3, "learning_rate.other": 3e-3}
    dataset = tiny_dataset(rows=(8, 2, 2), modalities=("text", "audio"), text="text")
    train_quick("sugrm", dataset, tmp_path / "run", options=options)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    errors = [line["train"]["multimodal"] for line in lines]
    assert errors[0] > 1.0
    assert min(errors) < 0.3


# -- parts and their replacements (the paper's Tables 3, 4 and 8) -----------------------------------------------------


def shapes(name: str, changes: dict) -> tuple[set[str], set[str]]:
    """Top-level names of the parameters, and the terms, of a training step that is traced but not run."""
    method = METHODS[name]
    options = config.override(method.options(), {"text_encoder": "features", **changes})
    prepared = prepare(tiny_dataset(text="text"), method, options)
    network = method.network(options, prepared.inputs, jnp.float32)
    batch = example_batch(prepared.columns["train"], 5)

    def step(key):
        params = network.init({"params": key}, batch, train=False)["params"]
        outputs = network.apply({"params": params}, batch, train=True, rngs={"dropout": key})
        memory = method.init_memory(
            options, prepared.inputs, {"label": jnp.asarray(prepared.columns["train"]["label"])}
        )
        clock = Clock(epoch=jnp.int32(2), step=jnp.int32(0))
        phase = phase_of(method, options, prepared.inputs)
        terms, memory = phase.objective(step_of(outputs, batch, memory, clock), options, prepared.inputs)
        return params, terms, phase.end_epoch(memory, {}, options, prepared.inputs)

    params, terms, _ = jax.eval_shape(step, jax.random.key(0))
    return {"/".join(path.split("/")[:2]) for path in flatten_dict(params, sep="/")}, set(terms)


def modules(name: str, **changes) -> set[str]:
    return {path.split("/")[0] for path in shapes(name, changes)[0]}


def test_the_recalibration_can_be_left_out():
    assert modules("sugrm") - modules("sugrm", recalibration=False) == {"recalibration"}


@pytest.mark.parametrize(
    ("encoder", "part"), [("spt", "spt"), ("lstm", "text_lstm"), ("transformer", "text_transformer")]
)
def test_the_encoder_can_be_replaced(encoder, part):
    paths, _ = shapes("sugrm", {"encoder": encoder, "spt.iterations": 1})
    assert f"sequence_encoder/{part}" in paths
    assert len({path for path in paths if path.endswith(("spt", "_lstm", "_transformer"))}) == (
        1 if part == "spt" else 3
    )


def test_iterations_share_their_parameters_unless_untied():
    def count(**changes):
        method = METHODS["sugrm"]
        options = config.override(method.options(), changes)
        batch = {
            name: {"features": np.zeros((2, 6, 3)), "length": np.ones(2, np.int32)} for name in ("audio", "vision")
        }
        network = method.network(options, Inputs(audio=SequenceInput(6, 3), vision=SequenceInput(6, 3)), jnp.float32)
        params = jax.eval_shape(lambda key: network.init(key, batch, train=False), jax.random.key(0))["params"]
        return sum(leaf.size for leaf in jax.tree.leaves(params["sequence_encoder"]))

    one = count(**{"spt.iterations": 1})
    assert count() == one
    fixed = 2 * 32 + 2 * 32  # the start of the hidden states and the last norm
    assert count(**{"spt.tied": False}) == 4 * (one - fixed) + fixed


@pytest.mark.parametrize(("name", "rule"), [("sugrm", "self_mm"), ("self_mm", "sugrm")])
def test_either_method_can_take_the_other_s_labels(name, rule):
    sizes = {f"feature_size.{task}": 32 for task in ("m", "t", "a", "v")} if name == "self_mm" else {}
    assert shapes(name, {"label_generation": rule, **sizes})[1] == {"multimodal", "text", "audio", "vision"}


def test_self_mm_can_take_the_recalibration_and_the_encoder():
    plain, changed = modules("self_mm"), modules("self_mm", recalibration=True, encoder="spt")
    assert changed - plain == {"recalibration", "sequence_encoder"}
    assert plain - changed == {"audio_encoder", "vision_encoder"}


@pytest.mark.parametrize(
    ("loss", "expected"), [("l1", [2.0, 0.5, 0.0]), ("l2", [4.0, 0.25, 0.0]), ("huber", [1.5, 0.125, 0.0])]
)
def test_the_loss_of_every_task_can_be_chosen(loss, expected):
    options = config.override(METHODS["sugrm"].options(), {"loss": loss, "tasks": "m,t", "unimodal_labels": "human"})
    label, human = jnp.array([1.0, 1.0, 1.0]), jnp.array([2.0, 0.0, 1.0])
    text = {"features": jnp.ones((3, 4, 8)), "mask": jnp.ones((3, 4), jnp.int32)}
    batch = {"label": label, "label_t": human, "weight": jnp.ones(3), "row": jnp.arange(3), "text": text}
    error = jnp.array([2.0, -0.5, 0.0])
    outputs = {"prediction": label + error, "text": human + error}
    inputs = Inputs(text=TextInput(width=8, steps=4), columns=("label_t",))
    terms, _ = unimodal_tasks.objective(step_of(outputs, batch), options, inputs)
    np.testing.assert_allclose(terms["multimodal"], expected)
    np.testing.assert_allclose(terms["text"], np.tanh([1.0, 1.0, 0.0]) * expected, rtol=1e-6)


# -- bad options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spt.heads": 5}, r"option spt.heads is 5; expected a divisor of spt.width, 32"),
        ({"spt.width": 0}, r"option spt.width is 0; expected a positive whole number"),
        ({"spt.input_shift": "SX"}, r"option spt.input_shift is 'SX'; expected any of the letters S, P, R"),
        ({"spt.relu_dropout": 1.0}, r"option spt.relu_dropout is 1.0; expected a number in \[0, 1\)"),
        ({"dropout": -0.1}, r"option dropout is -0.1; expected a number in \[0, 1\)"),
        ({"reduction": 0}, r"option reduction is 0; expected a positive whole number"),
        ({"feature_size": 0}, r"option feature_size is 0; expected a positive whole number"),
        ({"extreme_rows": 0}, r"option extreme_rows is 0; expected a positive whole number"),
        ({"extreme_fraction": 1.5}, r"option extreme_fraction is 1.5; expected a number in \[0, 1\)"),
        ({"padding": "included"}, r"option padding is included, which reads padding tokens; set pack_text to false"),
        ({"loss": "l3"}, r"option loss is 'l3'; expected one of l1, l2, huber"),
        ({"tasks": "t,a"}, r"option tasks is t,a; expected m and any of t, a, v"),
        ({"learning_rate.audio": 1e-3}, r"unknown option 'learning_rate.audio'"),
    ],
)
def test_a_value_that_cannot_be_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        config.override(METHODS["sugrm"].options(), changes)


def test_labels_of_sugrm_need_features_of_one_width():
    options = config.override(METHODS["self_mm"].options(), {"label_generation": "sugrm"})
    inputs = Inputs(text=TextInput(width=8, steps=4))
    with pytest.raises(
        InputError, match=r"label_generation is sugrm, which needs features of one width; .* m 128, t 64"
    ):
        unimodal_tasks.check(options, inputs)
    unimodal_tasks.check(config.override(options, {"feature_size.t": 128}), inputs)
