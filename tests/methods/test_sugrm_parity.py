"""SUGRM against an independent PyTorch derivation with copied weights.

Forward pass, loss and gradients in both protocols, and twenty updates of training in the reference protocol with the label
updates among them.
"""

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax import config
from msa_jax.encoders.bert import BertConfig
from msa_jax.methods import sugrm
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from tests.methods.cases import phase_of, step_of
from tests.methods.one_run import OneRun

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.methods import test_self_mm_parity  # noqa: E402
from tests.quick import quick_jit  # noqa: E402
from tests.reference import sugrm_numpy, sugrm_torch, sugrm_weights  # noqa: E402

# Programs run a few times on tiny arrays: compiling them well costs more than it gains.
pytestmark = pytest.mark.usefixtures("compiled_quickly")
torch.set_num_threads(1)  # its threads and those of XLA would wait for each other

N, BATCH, TEXT, AUDIO, VISION = 36, 4, (7, 8), (12, 5), (9, 4)
WIDTH, FEATURE = 8, 6
SHAPES = {"text": TEXT, "audio": AUDIO, "vision": VISION}
HEADS = {"m": "prediction", "t": "text", "a": "audio", "v": "vision"}
NO_DROPOUT = dict.fromkeys(("embed_dropout", "relu_dropout", "residual_dropout", "output_dropout"), 0.0)


def _columns(names=tuple(SHAPES)) -> dict[str, dict]:
    rng = np.random.default_rng(0)
    label = np.round(rng.uniform(-2.8, 2.8, N) * 5) / 5
    label[:9] = [0, 0, 0, 3, 3, 3, -3, -3, -3]
    data = {"label": label.astype(np.float32)}
    for name in names:
        steps, width = SHAPES[name]
        length = rng.integers(1, steps + 1, N).astype(np.int32)
        length[:2] = 1, steps
        frames = rng.normal(size=(N, steps, width)) + label[:, None, None] * rng.normal(size=width)
        frames[:, ::3, 0] = 0  # real frames that start with a zero
        inside = np.arange(steps) < length[:, None]
        if name == "text":  # hidden states of padding tokens are not zero
            data[name] = {"features": frames.astype(np.float32), "mask": inside.astype(np.int32)}
        else:
            data[name] = {"features": (frames * inside[..., None]).astype(np.float32), "length": length}
    return data


def _streams(data: dict) -> dict:
    return {name[0]: torch.tensor(data[name]["features"]) for name in SHAPES if name in data}


def _lengths(data: dict) -> dict:
    found = {name[0]: data[name].get("length") for name in SHAPES if name in data}
    return {**found, "t": data["text"]["mask"].sum(1)} if "text" in data else found


def _model(hp: sugrm_torch.Hyperparameters, names=tuple(SHAPES), seed: int = 0) -> sugrm_torch.SUGRMTorch:
    torch.manual_seed(seed)
    model = sugrm_torch.SUGRMTorch(hp, {name[0]: SHAPES[name][1] for name in names})
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".norm" in name:  # a LayerNorm that does nothing would hide which one is used
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def _hp(**named) -> sugrm_torch.Hyperparameters:
    return sugrm_torch.Hyperparameters(width=WIDTH, heads=2, head_dim=FEATURE, **NO_DROPOUT, **named)


def _options(hp: sugrm_torch.Hyperparameters, protocol: str) -> sugrm.SUGRMOptions:
    options = config.override(sugrm.SUGRMOptions(), sugrm.REFERENCE if protocol == "reference" else {})
    dropout = {f"spt.{name}_dropout": 0.0 for name in ("attention", "relu", "residual", "embed")}
    rates = {
        "learning_rate.encoder": hp.learning_rate_spt, "learning_rate.other": hp.learning_rate_other,
        "weight_decay.encoder": hp.weight_decay_spt, "weight_decay.other": hp.weight_decay_other,
    }  # fmt: skip
    sizes = {
        "batch_size": BATCH,
        "spt.width": WIDTH,
        "spt.heads": 2,
        "spt.iterations": hp.iterations,
        "feature_size": FEATURE,
        "max_tokens": TEXT[0],
        "dropout": 0.0,
    }
    return config.override(options, {**dropout, **rates, **sizes})


def _inputs(names=tuple(SHAPES), bert: BertConfig | None = None) -> Inputs:
    return Inputs(
        text=TextInput(steps=TEXT[0], width=TEXT[1], bert=bert) if "text" in names else None,
        audio=SequenceInput(*AUDIO) if "audio" in names else None,
        vision=SequenceInput(*VISION) if "vision" in names else None,
        rows=N,
    )


def _params(model: torch.nn.Module) -> dict:
    return jax.tree.map(jnp.asarray, sugrm_weights.network(sugrm_weights.weights(model)))


def _first_rows(data: dict, count: int) -> dict:
    return jax.tree.map(lambda column: column[:count], data)


# -- one batch --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "names"),
    [
        pytest.param(
            "reference", ("text", "audio", "vision"), marks=pytest.mark.slow
        ),  # the twenty updates have it too
        ("paper", ("text", "vision")),
    ],
)
def test_forward_loss_and_gradients_equal_torch(protocol, names):
    data = _first_rows(_columns(names), 6)
    # Without a random shift, which nobody else draws alike.
    hp = _hp() if protocol == "reference" else _hp(paper_heads=True, input_shifts="SP")
    model, inputs = _model(hp, names), _inputs(names)
    options = config.override(_options(hp, protocol), {"spt.input_shift": hp.input_shifts})
    network, params = sugrm.SUGRMNetwork(options, inputs), _params(model)
    unimodal = {task: data["label"] + np.float32(shift) for task, shift in (("t", 0.4), ("a", -0.3), ("v", 0.9))}
    unimodal = {name[0]: unimodal[name[0]] for name in names}

    streams = _streams(data)
    if protocol == "reference":
        outputs = model(streams)
    else:
        outputs = model.forward_masked(streams, _lengths(data))
    targets = {task: torch.tensor(value) for task, value in unimodal.items()}
    loss = sugrm_torch.loss(outputs["predictions"], torch.tensor(data["label"]), targets)
    loss.backward()

    memory = sugrm.METHOD.init_memory(options, inputs, {"label": jnp.asarray(data["label"])})
    memory = memory._replace(labels={task: jnp.asarray(value) for task, value in unimodal.items()})

    @quick_jit
    def evaluate(params, data):
        def total(params):
            batch = {**data, "row": jnp.arange(6), "weight": jnp.ones(6)}
            outputs = network.apply({"params": params}, batch, train=True, rngs={"dropout": jax.random.key(0)})
            objective = phase_of(sugrm.METHOD, options, inputs).objective
            terms, _ = objective(step_of(outputs, batch, memory), options, inputs)
            return sum(term.mean() for term in terms.values()), outputs

        return jax.value_and_grad(total, has_aux=True)(params)

    (value, ours), gradient = evaluate(params, data)
    for task in ("m", *unimodal):
        name = HEADS[task]
        np.testing.assert_allclose(ours[name], outputs["predictions"][task].detach(), atol=2e-5, err_msg=name)
        np.testing.assert_allclose(ours["features"][task], outputs["features"][task].detach(), atol=2e-5, err_msg=name)
    np.testing.assert_allclose(value, loss.detach(), rtol=1e-5)
    expected = flax.traverse_util.flatten_dict(sugrm_weights.network(sugrm_weights.gradients(model)), sep="/")
    flat = flax.traverse_util.flatten_dict(gradient, sep="/")
    assert set(flat) == set(expected)
    for path, one in expected.items():
        np.testing.assert_allclose(flat[path], one, atol=2e-5, err_msg=path)

    # What lies behind the valid steps is nobody's business in the paper's protocol.
    dirty = {**data, **{name: dict(data[name]) for name in names}}
    for name in names:
        inside = np.arange(SHAPES[name][0]) < np.asarray(_lengths(data)[name[0]])[:, None]
        dirty[name]["features"] = np.where(inside[..., None], data[name]["features"], np.float32(50))
    (other, _), _ = evaluate(params, dirty)
    assert np.allclose(value, other, rtol=1e-5) == (protocol == "paper")


def test_shorter_arrays_are_padded_again_where_padding_is_included():
    # The engine may hand over batches that are cut to their longest sequence.
    data = _first_rows(_columns(("audio", "vision")), 8)
    hp = _hp(iterations=1)
    rows = [row for row in range(8) if data["audio"]["length"][row] <= 9 and data["vision"]["length"][row] <= 6]
    assert len(rows) >= 2
    full = jax.tree.map(lambda column: column[rows], data)
    cut = {**full, **{name: dict(full[name]) for name in ("audio", "vision")}}
    cut["audio"]["features"] = full["audio"]["features"][:, :9]
    cut["vision"]["features"] = full["vision"]["features"][:, :6]
    model = _model(hp, ("audio", "vision"))
    options = _options(hp, "reference")
    network, params = sugrm.SUGRMNetwork(options, _inputs(("audio", "vision"))), _params(model)
    expected = model(_streams(full))["predictions"]
    found = jax.jit(lambda batch: network.apply({"params": params}, batch, train=False))(cut)
    for task in "mav":
        np.testing.assert_allclose(found[HEADS[task]], expected[task].detach(), atol=2e-5)


def test_hidden_states_of_padding_tokens_are_those_of_a_pytorch_bert():
    rng = np.random.default_rng(4)
    torch.manual_seed(4)
    length = np.array([7, 3, 2])
    mask = (np.arange(7) < length[:, None]).astype(np.int32)
    ids = (rng.integers(1, 30, (3, 7)) * mask).astype(np.int32)
    bert = transformers.BertModel(
        transformers.BertConfig(
            vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12,
            max_position_embeddings=7, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
            attn_implementation="eager",
        ),
        add_pooling_layer=False,
    )  # fmt: skip
    ours = BertConfig(
        vocab_size=30, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=12, max_positions=7,
        hidden_dropout=0.0, attention_dropout=0.0,
    )  # fmt: skip
    hp = _hp(iterations=1)
    model = _model(hp, ("text",))
    hidden = bert(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask)).last_hidden_state
    expected = model({"t": hidden})["predictions"]
    holder = torch.nn.Module()
    holder.text_encoder = bert
    options = _options(hp, "reference")
    network = sugrm.SUGRMNetwork(options, _inputs(("text",), bert=ours))
    weights = {
        **flax.traverse_util.flatten_dict(_params(model), sep="/"),
        **test_self_mm_parity.weights_by_path(holder),
    }
    params = test_self_mm_parity.nested(weights, network, {"text": {"ids": ids, "mask": mask}})
    for steps in (7, 3):  # the rows of at most 3 tokens may come without the rest of their padding
        rows = [row for row in range(3) if length[row] <= steps]
        batch = {"text": {"ids": ids[rows, :steps], "mask": mask[rows, :steps]}}
        found = jax.jit(lambda batch: network.apply({"params": params}, batch, train=False))(batch)
        for task in "mt":
            np.testing.assert_allclose(found[HEADS[task]], expected[task].detach()[rows], atol=2e-5)


@pytest.mark.parametrize("protocol", ["reference", "paper"])
@pytest.mark.parametrize(("audio", "vision", "mrm", "spt"), [(5, 20, 315_019, 160_882), (74, 35, 385_222, 166_426)])
def test_parameter_counts_are_those_of_the_published_code(audio, vision, mrm, spt, protocol):
    options = config.override(sugrm.SUGRMOptions(), sugrm.REFERENCE if protocol == "reference" else {})
    inputs = Inputs(
        text=TextInput(width=768, steps=50), audio=SequenceInput(375, audio), vision=SequenceInput(500, vision)
    )
    network = sugrm.SUGRMNetwork(options, inputs)
    batch = {
        "text": {"features": jnp.zeros((1, 50, 768)), "mask": jnp.ones((1, 50), jnp.int32)},
        "audio": {"features": jnp.zeros((1, 375, audio)), "length": jnp.ones(1, jnp.int32)},
        "vision": {"features": jnp.zeros((1, 500, vision)), "length": jnp.ones(1, jnp.int32)},
    }
    params = jax.eval_shape(lambda: network.init(jax.random.key(0), batch, train=False))["params"]
    counts = {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in params.items()}
    assert counts.pop("recalibration") == mrm
    assert counts.pop("sequence_encoder") == spt  # without 192 norms that the code has and never uses
    assert sum(counts.values()) == (10_628 if protocol == "reference" else 10_628 - 4 * (32 * 32 + 32))


# -- training ---------------------------------------------------------------------------------------------------------


def _spread_out(model: sugrm_torch.SUGRMTorch, streams: dict) -> None:
    """Features of all tasks around 0 and as far apart as labels are: else every offset is cut to the largest."""
    with torch.no_grad():
        features = model(streams)["features"]
        for name, head in model.heads.items():
            scale = 2 / features[name].std(0).mean()
            head.layer_2.weight *= scale
            head.layer_2.bias.copy_(scale * (head.layer_2.bias - features[name].mean(0)))


def test_twenty_updates_with_label_generation_equal_torch():
    names = ("text", "audio")
    data = _columns(names)
    hp = _hp(learning_rate_spt=2e-3, learning_rate_other=1e-3, iterations=2)
    model, inputs, options = _model(hp, names), _inputs(names), _options(hp, "reference")
    streams = _streams(data)
    _spread_out(model, streams)
    params = _params(model)
    rng = np.random.default_rng(3)
    epochs = 10  # of nine mini-batches: two windows of four, and a tail of one that is dropped
    plans = [rng.permutation(N).reshape(-1, BATCH).astype(np.int32) for _ in range(epochs)]

    optimizer = sugrm_torch.make_optimizer(model, hp)
    memory = sugrm_numpy.LabelMemory(data["label"], FEATURE, modalities="ta", zero_is_positive=True)
    losses = []
    for epoch, rows in enumerate(plans, start=1):
        trace = sugrm_torch.train_epoch(model, optimizer, rows, memory, epoch, streams=streams, limit=3.0)
        losses.append(np.mean(trace))

    run = OneRun(sugrm.METHOD, options, inputs, flax.traverse_util.flatten_dict(params, sep="/"), data)
    for expected, rows in zip(losses, plans, strict=True):
        np.testing.assert_allclose(run.epoch(rows), expected, rtol=2e-4)
    assert run.updates == 20

    found, ours = run.now()
    for task, label in memory.unimodal.items():
        np.testing.assert_allclose(ours.labels[task], label, atol=2e-3, err_msg=task)
        offsets = label - data["label"]
        assert offsets.max() > 0.3  # labels did move, up and down,
        assert offsets.min() < -0.3
        assert len(np.unique(np.abs(offsets).round(3))) > 20  # and not all by the whole range
    np.testing.assert_allclose(ours.features, memory.features, atol=5e-3)
    for path, one in flax.traverse_util.flatten_dict(_params(model), sep="/").items():
        np.testing.assert_allclose(found[path], one, atol=2e-3, err_msg=path)
