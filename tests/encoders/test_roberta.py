"""RoBERTa and XLM-R: BERT with positions that begin behind the padding's, read from their own folders."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from msa_jax.data.packing import Capacity, pack, plan_packing
from msa_jax.encoders.bert import Bert, BertConfig
from msa_jax.encoders.bert_weights import load_bert
from msa_jax.encoders.text import TextEncoder
from msa_jax.errors import InputError
from msa_jax.methods.shared.padded_text import text_to_steps
from tests.encoders.bert_cases import GOLDEN, assert_close, torch_names
from tests.quick import quick_jit
from tests.small_bert import save_bert

CONFIG = BertConfig(
    vocab_size=40,
    hidden_size=24,
    num_layers=2,
    num_heads=3,
    intermediate_size=40,
    max_positions=14,
    type_vocab_size=1,
    layer_norm_eps=1e-5,
    pad_id=1,
    first_position=2,
)
LENGTHS = (12, 3, 7, 1)


def _texts(lengths=LENGTHS, pad_id=1):
    """ids and mask [B, T] int32."""
    mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int32)
    ids = np.random.default_rng(0).integers(2, CONFIG.vocab_size, mask.shape, dtype=np.int32)
    return np.where(mask == 1, ids, pad_id), mask


def _random_params(config):
    ones = jnp.ones((1, 4), jnp.int32)
    bert = Bert(config, use_pooler=True)
    shapes = jax.eval_shape(lambda: bert.init(jax.random.key(0), ones, segments=ones, deterministic=True)["params"])
    rng = np.random.default_rng(1)

    def fill(path, leaf):
        return (0.15 * rng.standard_normal(leaf.shape) + (path[-1].key == "scale")).astype(np.float32)

    return jax.tree_util.tree_map_with_path(fill, shapes)


def _encode(config, params, ids, mask, **given):
    bert = Bert(config, use_pooler=True)
    run = quick_jit(lambda params: bert.apply({"params": params}, ids, segments=mask, deterministic=True, **given))
    return run(params)


def _packed(ids, mask, width=16):
    packing, need = plan_packing(mask.sum(1)[None], width)
    return pack(ids, mask, packing.row[0], packing.offset[0], Capacity(int(need[0]), width))


# Parity with PyTorch


@pytest.fixture(scope="module", params=["roberta", "xlm-roberta"])
def torch_model(request, tmp_path_factory):
    """transformers' model with random weights, in evaluation mode, and the folder that it was saved to."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    transformers.utils.logging.disable_progress_bar()
    names = {"roberta": "Roberta", "xlm-roberta": "XLMRoberta"}[request.param]
    config = getattr(transformers, f"{names}Config")(
        vocab_size=40,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=40,
        max_position_embeddings=14,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        attn_implementation="eager",
    )
    model = getattr(transformers, f"{names}Model")(config).eval()
    generator = torch.Generator().manual_seed(0)
    for name, value in model.named_parameters():
        centre = float(name.endswith("LayerNorm.weight"))
        value.data = centre + 0.15 * torch.randn(value.shape, generator=generator)
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    return model, folder


def _torch_states(model, ids, mask):
    import torch

    with torch.no_grad():
        out = model(torch.tensor(ids).long(), attention_mask=torch.tensor(mask))
    return out.last_hidden_state.numpy(), out.pooler_output.numpy()


def test_hidden_states_and_pooler_equal_pytorch_s_padded_and_packed(torch_model):
    model, folder = torch_model
    config, params = load_bert(folder)
    assert config == CONFIG
    ids, mask = _texts()
    hidden, pooled = _torch_states(model, ids, mask)
    valid = mask.astype(bool)
    ours = _encode(config, params, ids, mask)
    assert_close(ours["hidden"][valid], hidden[valid], 1e-5)
    assert_close(ours["pooled"], pooled, 1e-5)
    encoder = TextEncoder(config, pooler=True)
    text = _packed(ids, mask)
    assert len(text["ids"]) < len(ids)
    for given in ({"ids": ids, "mask": mask}, text):
        states = quick_jit(lambda params, given=given: encoder.apply({"params": {"bert": params}}, given, train=False))(
            params
        )
        assert_close(states["hidden"][valid], hidden[valid], 1e-5)
        assert_close(states["first"], hidden[:, 0], 1e-5)
        assert_close(states["pooled"], pooled, 1e-5)


def test_states_of_padding_equal_pytorch_s_for_methods_that_read_them(torch_model):
    model, folder = torch_model
    config, params = load_bert(folder)
    ids, mask = _texts()
    hidden, _ = _torch_states(model, ids, mask)
    assert_close(_encode(config, params, ids, mask, padding_reads=True)["hidden"], hidden, 1e-5)


def test_states_of_padding_that_was_added_as_zeros_equal_pytorch_s(torch_model):
    model, folder = torch_model
    config, params = load_bert(folder)
    ids, mask = _texts((8, 3, 7, 1))
    wide, wide_mask = (np.pad(x, ((0, 0), (0, 4)), constant_values=fill) for x, fill in ((ids, 1), (mask, 0)))
    hidden, _ = _torch_states(model, wide, wide_mask)
    encoder = TextEncoder(config, keep_padding=True)
    bert = {name: value for name, value in params.items() if name != "pooler"}
    run = quick_jit(lambda params, text: encoder.apply({"params": {"bert": params}}, text, train=False)["hidden"])
    for given in (ids, ids * mask):  # the tokenizer's padding, and zeros as of the column text_bert
        text = text_to_steps({"ids": jnp.asarray(given), "mask": jnp.asarray(mask)}, 12)
        assert_close(run(bert, text), hidden, 1e-5)


def test_gradients_equal_pytorch_s(torch_model):
    import torch

    model, folder = torch_model
    config, params = load_bert(folder)
    ids, mask = _texts()
    toward = np.random.default_rng(2).standard_normal((*ids.shape, 24)).astype(np.float32) * mask[..., None]
    model.zero_grad()
    (
        model(torch.tensor(ids).long(), attention_mask=torch.tensor(mask)).last_hidden_state * torch.tensor(toward)
    ).sum().backward()

    def objective(params):
        return (Bert(config).apply({"params": params}, ids, segments=mask, deterministic=True)["hidden"] * toward).sum()

    named = torch_names(config, quick_jit(jax.grad(objective))({k: v for k, v in params.items() if k != "pooler"}))
    expected = {name: value.grad.numpy() for name, value in model.named_parameters() if value.grad is not None}
    position = "embeddings.position_embeddings.weight"
    assert (named[position][:2] == 0).all()
    assert (named[position][2:] != 0).any(1).all()
    for name, gradient in named.items():
        assert_close(gradient, expected[name], 1e-5)


def test_what_was_saved_is_pytorch_s_roberta(tmp_path):
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    transformers.utils.logging.disable_progress_bar()
    params = _random_params(CONFIG)
    save_bert(CONFIG, params, tmp_path)
    model = transformers.AutoModel.from_pretrained(tmp_path, attn_implementation="eager").eval()
    assert type(model).__name__ == "RobertaModel"
    ids, mask = _texts()
    hidden, pooled = _torch_states(model, ids, mask)
    ours = _encode(CONFIG, params, ids, mask)
    valid = mask.astype(bool)
    assert_close(ours["hidden"][valid], hidden[valid], 1e-5)
    assert_close(ours["pooled"], pooled, 1e-5)


# Positions


def test_positions_begin_behind_the_padding_s():
    """RoBERTa is BERT at positions pad_id + 1, pad_id + 2, ..."""
    params = _random_params(CONFIG)
    ids, mask = _texts()
    bert = dataclasses.replace(CONFIG, first_position=0)
    positions = np.where(mask == 1, np.arange(ids.shape[1]) + 2, 1)
    expected = _encode(bert, params, ids, mask, positions=positions)["hidden"]
    np.testing.assert_array_equal(_encode(CONFIG, params, ids, mask)["hidden"], expected)
    off_by_two = _encode(bert, params, ids, mask)["hidden"]
    assert np.abs(off_by_two - expected)[mask == 1].max() > 0.1


def test_a_padding_token_within_a_text_is_the_same_padded_and_packed():
    params = {"params": {"bert": _random_params(CONFIG)}}
    ids, mask = _texts()
    ids[0, 4] = ids[2, 1] = 1
    encoder = TextEncoder(CONFIG, pooler=True)
    padded, packed = (
        quick_jit(lambda params, text=text: encoder.apply(params, text, train=False))(params)
        for text in ({"ids": ids, "mask": mask}, _packed(ids, mask))
    )
    assert_close(packed["hidden"], padded["hidden"], 1e-5)


def test_an_utterance_has_fewer_tokens_than_the_table_of_positions_has_rows():
    assert CONFIG.max_tokens == 12
    ids = jnp.full((1, 13), 5, jnp.int32)
    with pytest.raises(InputError, match="13 tokens; this BERT has 12 positions"):
        _encode(CONFIG, _random_params(CONFIG), ids, ids)


# The config

HUGGING_FACE = {
    "vocab_size": 40,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 14,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
}


@pytest.mark.parametrize(
    "named",
    [
        {"model_type": "roberta"},
        {"model_type": "xlm-roberta", "pad_token_id": 1},
        {"model_type": "roberta", "pad_token_id": None},
        {"architectures": ["RobertaForMaskedLM"]},
        {"architectures": ["XLMRobertaModel"]},
    ],
)
def test_the_config_says_where_positions_begin(named):
    assert BertConfig.from_dict({**HUGGING_FACE, **named}) == CONFIG
    assert BertConfig.from_dict(CONFIG.to_dict()) == CONFIG
    assert (CONFIG.to_dict()["model_type"], CONFIG.to_dict()["architectures"]) == ("roberta", ["RobertaModel"])


def test_another_padding_id_moves_the_positions():
    config = BertConfig.from_dict({**HUGGING_FACE, "model_type": "roberta", "pad_token_id": 3})
    assert (config.pad_id, config.first_position, config.max_tokens) == (3, 4, 10)
    assert BertConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pad_token_id": "one"}, "pad_id is 'one'"),
        ({"pad_token_id": -1}, "pad_id is -1"),
        ({"max_position_embeddings": 2}, "max_positions is 2; expected more than 2"),
        ({"model_type": None, "architectures": ["XLMRobertaXLModel"]}, "model_type is 'XLMRobertaXLModel'"),
        (
            {"model_type": None, "architectures": ["RobertaPreLayerNormModel"]},
            "expected an encoder of type bert, roberta",
        ),
        ({"model_type": None, "architectures": {"a": 1}}, "model_type is {'a': 1}"),
        ({"model_type": ["roberta"]}, "model_type is .'roberta'."),
    ],
)
def test_a_config_that_is_no_roberta_s_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        BertConfig.from_dict({**HUGGING_FACE, "model_type": "roberta", **change})


# What the names of the weights say


@pytest.fixture
def golden(tmp_path):
    """Writes the golden weights with a prefix and a config with changes; None removes an entry. Gives the folder."""
    tensors = load_file(GOLDEN / "bert" / "model.safetensors")
    content = json.loads((GOLDEN / "bert" / "config.json").read_text())

    def write(prefix, **changes):
        config = {name: value for name, value in {**content, **changes}.items() if value is not None}
        save_file({prefix + name: value for name, value in tensors.items()}, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    return write


UNTYPED = {"model_type": None, "architectures": None}


@pytest.mark.parametrize("prefix", ["roberta.", "model.roberta.", "0.roberta."])
def test_weights_named_for_roberta_are_one_without_a_model_type(golden, prefix):
    config, params = load_bert(golden(prefix, **UNTYPED, pad_token_id=1))
    assert (config.pad_id, config.first_position) == (1, 2)
    jax.tree.map(np.testing.assert_array_equal, params, load_bert(GOLDEN / "bert")[1])


@pytest.mark.parametrize("prefix", ["bert.", "", "encoder.", "0.auto_model."])
def test_weights_named_for_bert_or_for_nothing_are_bert_s(golden, prefix):
    assert load_bert(golden(prefix, **UNTYPED, pad_token_id=0))[0].first_position == 0


@pytest.mark.parametrize("typed", [{}, UNTYPED], ids=["typed", "untyped"])
@pytest.mark.parametrize("other", ["distilbert", "electra", "albert", "deberta", "model.mpnet"])
def test_weights_named_for_another_architecture_are_refused_by_its_name(golden, other, typed):
    with pytest.raises(InputError, match=f"weights of {other.removeprefix('model.')}, by the name {other}.embeddings"):
        load_bert(golden(f"{other}.", **typed))


@pytest.mark.parametrize(("prefix", "kind"), [("roberta.", "bert"), ("bert.", "roberta")])
def test_weights_named_for_another_kind_than_the_config_s_are_refused(golden, prefix, kind):
    with pytest.raises(InputError, match=f"weights of {prefix[:-1]}, .*config.json says another model_type"):
        load_bert(golden(prefix, model_type=kind, pad_token_id=1))


def test_weights_that_nothing_names_and_whose_padding_is_unlike_bert_s_are_refused(golden):
    with pytest.raises(InputError, match="names no model_type, and pad_token_id 1 is unlike BERT's"):
        load_bert(golden("", **UNTYPED, pad_token_id=1))
