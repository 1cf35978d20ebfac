"""Self-MM in the reference protocol against an independent PyTorch derivation with copied weights.

Forward pass, loss, gradients, and twenty updates of training with the label updates among them.
"""

from collections.abc import Mapping

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax import config
from msa_jax.data.packing import Capacity
from msa_jax.encoders.bert import BertConfig
from msa_jax.layers.stack import stack, unstack
from msa_jax.methods import self_mm
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from msa_jax.methods.shared import unimodal_tasks
from tests.methods.cases import by_layer, step_of
from tests.methods.one_run import OneRun

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.reference import self_mm_torch  # noqa: E402

torch.set_num_threads(1)  # its threads and those of XLA would wait for each other

N, BATCH, TOKENS, VOCABULARY = 40, 4, 7, 50
BERT = BertConfig(
    vocab_size=VOCABULARY, hidden_size=16, num_layers=2, num_heads=2, intermediate_size=24, max_positions=12,
    hidden_dropout=0.0, attention_dropout=0.0,
)  # fmt: skip
DIMS = {"m": 12, "t": 8, "a": 5, "v": 6}


def _columns() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    tokens = rng.integers(3, TOKENS + 1, N)  # two of them are no words
    mask = (np.arange(TOKENS) < tokens[:, None]).astype(np.int32)
    label = np.round(rng.uniform(-3, 3, N) * 5) / 5
    label[:3] = 0
    return {
        "ids": (rng.integers(1, VOCABULARY, (N, TOKENS)) * mask).astype(np.int32),
        "mask": mask,
        # Signals strong enough that labels move and the tanh weights matter.
        "audio": (rng.normal(size=(N, 9, 5)) + label[:, None, None]).astype(np.float32),
        "audio_length": rng.integers(1, 10, N).astype(np.int32),
        "vision": rng.normal(size=(N, 11, 4)).astype(np.float32),
        "vision_length": rng.integers(1, 12, N).astype(np.int32),
        "label": label.astype(np.float32),
    }


def _torch_model() -> tuple[self_mm_torch.SelfMMTorch, self_mm_torch.Hyperparameters]:
    torch.manual_seed(0)
    bert = transformers.BertModel(
        transformers.BertConfig(
            vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
            max_position_embeddings=12, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
            attn_implementation="eager",
        ),
        add_pooling_layer=False,
    )  # fmt: skip
    hp = self_mm_torch.without_dropout(
        self_mm_torch.Hyperparameters(
            fusion_dim=12, text_dim=8, audio_dim=5, vision_dim=6, audio_hidden=7, vision_hidden=8, audio_out=4,
            vision_out=3, learning_rate_bert=1e-3,
        )
    )  # fmt: skip
    return self_mm_torch.SelfMMTorch(hp, text_encoder=bert, text_width=16, audio_size=5, vision_size=4), hp


def weights_by_path(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """The torch model's weights by our paths, layers apart."""
    flat = {}
    for name, value in model.state_dict().items():
        array = value.numpy().copy()
        if name.startswith("text_encoder."):
            path = name.removeprefix("text_encoder.")
            for theirs, ours in (
                ("embeddings.word_embeddings.weight", "embeddings/word/embedding"),
                ("embeddings.position_embeddings.weight", "embeddings/position/embedding"),
                ("embeddings.token_type_embeddings.weight", "embeddings/token_type/embedding"),
                ("embeddings.LayerNorm", "embeddings/norm"),
                ("encoder.layer.", "layer_"),
                ("attention.self.", "attention/"),
                ("attention.output.dense", "attention/output"),
                ("attention.output.LayerNorm", "attention_norm"),
                ("intermediate.dense", "intermediate"),
                ("output.dense", "output"),
                ("output.LayerNorm", "output_norm"),
            ):
                path = path.replace(theirs, ours)
            path = "text_encoder/bert/" + path.replace(".", "/")
            if path.endswith("/weight"):
                kind = "scale" if "norm" in path else "kernel"
                array, path = (array if kind == "scale" else array.T), path.removesuffix("weight") + kind
        elif "_subnet.lstm" in name:
            modality, kind = name.split("_")[0], name.split(".lstm.")[1]
            names = {"weight_ih_l0": "input", "weight_hh_l0": "recurrent", "bias_ih_l0": "input_bias"}
            path = f"{modality}_encoder/{names.get(kind, 'recurrent_bias')}"
            array = array.T if kind.startswith("weight") else array
        else:
            owner, layer, kind = name.replace("heads.", "").rsplit(".", 2)
            heads = {"m": "fusion_head", "t": "text_head", "a": "audio_head", "v": "vision_head"}
            layers = {"layer_1": "feature", "layer_2": "middle", "layer_3": "score"}
            path = f"{heads[owner]}/{layers[layer]}" if owner in heads else f"{owner.split('_')[0]}_encoder_projection"
            path, array = (f"{path}/kernel", array.T) if kind == "weight" else (f"{path}/bias", array)
        flat[path] = np.ascontiguousarray(array)
    return flat


def nested(weights: Mapping[str, np.ndarray], network: nn.Module, batch: dict) -> dict:
    """Weights by path, layers apart, as the network's parameters."""
    made = jax.eval_shape(lambda: network.init(jax.random.key(0), batch, train=False))["params"]
    shapes = {path: leaf.shape for path, leaf in flax.traverse_util.flatten_dict(made, sep="/").items()}
    params = stack(weights, shapes)
    assert {path: value.shape for path, value in params.items()} == shapes
    assert set(unstack(params)) == set(weights)
    return flax.traverse_util.unflatten_dict({path: jnp.asarray(value) for path, value in params.items()}, sep="/")


def _options(hp: self_mm_torch.Hyperparameters, **changes) -> self_mm.SelfMMOptions:
    options = config.override(self_mm.SelfMMOptions(), self_mm.REFERENCE)
    groups = {"text": "bert", "audio": "audio", "vision": "vision", "other": "other"}
    rates = {f"learning_rate.{ours}": getattr(hp, f"learning_rate_{theirs}") for ours, theirs in groups.items()}
    decay = {f"weight_decay.{ours}": getattr(hp, f"weight_decay_{theirs}") for ours, theirs in groups.items()}
    named = {
        "batch_size": BATCH, "zero_is_positive": False, "audio_hidden": 7, "vision_hidden": 8, "audio_size": 4,
        "vision_size": 3, **{f"feature_size.{task}": size for task, size in DIMS.items()},
        **{f"dropout.{task}": 0.0 for task in DIMS},
    }  # fmt: skip
    return config.override(options, {**rates, **decay, **named, **changes})


def _data(columns: dict[str, np.ndarray]) -> dict:
    return {
        "text": {"ids": columns["ids"], "mask": columns["mask"]},
        "audio": {"features": columns["audio"], "length": columns["audio_length"]},
        "vision": {"features": columns["vision"], "length": columns["vision_length"]},
        "label": columns["label"],
    }


def _torch_columns(columns: dict[str, np.ndarray]) -> dict:
    text = np.stack([columns["ids"], columns["mask"], np.zeros_like(columns["ids"])], axis=1)
    rest = {name: torch.tensor(columns[name]) for name in columns if name not in ("ids", "mask")}
    return {"text_bert": torch.tensor(text), **rest}


INPUTS = Inputs(
    text=TextInput(width=16, steps=TOKENS, bert=BERT), audio=SequenceInput(9, 5), vision=SequenceInput(11, 4), rows=N
)


def test_forward_loss_and_gradients_equal_torch():
    columns = _columns()
    model, hp = _torch_model()
    options = _options(hp)
    network = self_mm.SelfMMNetwork(options, INPUTS)
    params = nested(weights_by_path(model), network, _data(columns))

    unimodal = {task: columns["label"] + np.float32(0.4 * shift) for task, shift in zip("tav", (1, -1, 2), strict=True)}
    outputs = model(_torch_columns(columns))
    loss = self_mm_torch.loss(
        outputs["predictions"],
        torch.tensor(columns["label"]),
        {task: torch.tensor(value) for task, value in unimodal.items()},
    )
    loss.backward()

    memory = unimodal_tasks.init_memory(options, INPUTS, {"label": columns["label"]})
    memory = memory._replace(labels={**memory.labels, **{k: jnp.asarray(v) for k, v in unimodal.items()}})
    batch = {**_data(columns), "row": np.arange(N), "weight": np.ones(N, np.float32)}

    def total(params):
        outputs = network.apply({"params": params}, batch, train=True)
        terms, _ = unimodal_tasks.objective(step_of(outputs, batch, memory), options, INPUTS)
        return sum(term.mean() for term in terms.values()), outputs

    (value, ours), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(params)
    for task, name in {"m": "prediction", "t": "text", "a": "audio", "v": "vision"}.items():
        np.testing.assert_allclose(ours[name], outputs["predictions"][task].detach(), atol=2e-5)
        np.testing.assert_allclose(ours["features"][task], outputs["features"][task].detach(), atol=2e-5)
    np.testing.assert_allclose(value, loss.detach(), rtol=1e-5)
    flat = by_layer(gradient)
    for path, one in weights_by_path(_gradients(model)).items():
        np.testing.assert_allclose(flat[path], one, atol=2e-5, err_msg=path)


def _gradients(model: torch.nn.Module) -> torch.nn.Module:
    """A stand-in whose state is the model's gradients."""

    class Gradients:
        def state_dict(self):
            return {name: parameter.grad for name, parameter in model.named_parameters()}

    return Gradients()


@pytest.mark.parametrize("packed", [pytest.param(False, marks=pytest.mark.slow), True])
def test_twenty_updates_with_label_generation_equal_torch(packed):
    columns = _columns()
    model, hp = _torch_model()
    options = _options(hp)
    rng = np.random.default_rng(3)
    epochs = 10  # of ten mini-batches: two windows of four, and a tail of two that is dropped
    plans = [rng.permutation(N).reshape(-1, BATCH).astype(np.int32) for _ in range(epochs)]

    weights = weights_by_path(model)
    optimizer = self_mm_torch.make_optimizer(model, hp)
    state = self_mm_torch.init_labels(torch.tensor(columns["label"]), model.dims, exclude_zero=True)
    losses = []
    for epoch, rows in enumerate(plans, start=1):
        trace = self_mm_torch.train_epoch(
            model, optimizer, list(rows), state, epoch, columns=_torch_columns(columns), limit=3.0, exclude_zero=True
        )
        assert trace.steps == 2
        losses.append(float(trace.losses.mean()))

    run = OneRun(self_mm.METHOD, options, INPUTS, weights, _data(columns), capacity=Capacity(4, 12) if packed else None)
    for expected, rows in zip(losses, plans, strict=True):
        np.testing.assert_allclose(run.epoch(rows), expected, rtol=2e-4)
    assert run.updates == 20

    params, memory = run.now()
    for task, label in state.unimodal.items():
        np.testing.assert_allclose(memory.labels[task], label, atol=2e-3, err_msg=task)
        assert np.abs(label.numpy() - columns["label"]).max() > 0.3  # the labels did move
    flat = unstack(params)
    for path, one in weights_by_path(model).items():
        # The gradient of this bias is zero but for rounding, and Adam divides rounding by rounding.
        if not path.endswith("key/bias"):
            np.testing.assert_allclose(flat[path], one, atol=2e-3, err_msg=path)
