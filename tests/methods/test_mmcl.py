"""MMCL: its network, its terms against numpy, its ablations, and what is left without a modality."""

import functools
import itertools
import re
import typing
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from msa_jax import config
from msa_jax.errors import InputError
from msa_jax.methods import mmcl
from msa_jax.methods.protocol import Clock, Inputs

TEXT, AUDIO, VISION = (6, 8), (9, 3), (7, 4)  # steps and width
SHAPES = {"text": TEXT, "audio": AUDIO, "vision": VISION}
LENGTHS = {
    "text": [6, 2, 4, 1, 5, 3, 6, 2],
    "audio": [9, 1, 4, 7, 3, 9, 2, 5],
    "vision": [2, 7, 7, 1, 5, 4, 3, 6],
}
LABELS = [-2.0, 0.0, 1.4, -0.2, 3.0, 0.0, -3.0, 0.6]
ROWS = len(LABELS)
SMALL = {
    "lstm_hidden": 4, "layers": 1, "heads": 2, "feedforward": 6, "width": 16, "cnn_channels": 12, "cnn_kernels": "3,2",
    "cnn_strides": "2,1", "context": 8, "dropout": 0.0,
}  # fmt: skip
LINEAR = {"unimodal": "linear"}  # where the Transformer does not matter: it takes long to compile
ALL_TERMS = {"multimodal", "contrast_audio", "contrast_vision", "cross", "alignment", "uniformity", "sentiment"}
FIRST = Clock(jnp.int32(1), jnp.int32(0))
LATENTS = {"predicted_audio", "predicted_vision", "latent_audio", "latent_vision"}
TWINS = {"coded_audio", "cutoff_audio", "coded_vision", "cutoff_vision"}


def make_batch(modalities=tuple(SHAPES), rows: int = ROWS, extra: int = 0, fill: float = 0.0, seed: int = 0) -> dict:
    """`extra` more steps of padding in every sequence, `fill` at padding."""
    rng = np.random.default_rng(seed)
    batch: dict[str, Any] = {"label": np.array(LABELS, np.float32)[:rows], "weight": np.ones(rows, np.float32)}
    for name, (steps, width) in SHAPES.items():
        frames = rng.normal(size=(ROWS, steps, width)).astype(np.float32)[:rows]
        length = np.array(LENGTHS[name], np.int32)[:rows]
        frames = np.pad(frames, [(0, 0), (0, extra), (0, 0)])
        inside = np.arange(steps + extra) < length[:, None]
        frames[~inside] = fill
        if name in modalities:
            given = {"mask": inside.astype(np.int32)} if name == "text" else {"length": length}
            batch[name] = {"features": frames, **given}
    return batch


def inputs_of(batch: dict) -> Inputs:
    shapes = {name: batch[name]["features"].shape[1:] for name in ("audio", "vision") if name in batch}
    text = batch["text"]["features"].shape[1:] if "text" in batch else (0, None)
    return Inputs(text=text[1], text_steps=text[0], **shapes)


def quick_jit(function):
    """Jit that compiles quickly instead of well."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def make_options(**changes) -> mmcl.MMCLOptions:
    return config.override(mmcl.MMCLOptions(), {**SMALL, **changes})


@functools.cache
def _network(changes: tuple, inputs: Inputs, dtype: str) -> mmcl.MMCLNetwork:
    return mmcl.MMCLNetwork(make_options(**dict(changes)), inputs, jnp.dtype(dtype))


@functools.cache
def _params(network: mmcl.MMCLNetwork) -> dict:
    """Parameters far from where they start, each a function of its path and shape."""
    batch = make_batch(network.inputs.modalities, rows=1)
    made = jax.eval_shape(lambda: network.init(jax.random.key(0), batch, train=False))["params"]
    values = {}
    for path, leaf in flatten_dict(made, sep="/").items():
        rng = np.random.default_rng(zlib.crc32(path.encode()))
        values[path] = (0.5 * rng.normal(size=leaf.shape)).astype(np.float32)
    return unflatten_dict(values, sep="/")


@functools.cache
def _forward(network: mmcl.MMCLNetwork):
    def forward(params, batch):
        return network.apply({"params": params}, batch, train=True, rngs={"dropout": jax.random.key(7)})

    return quick_jit(forward)


@functools.cache
def _gradient(network: mmcl.MMCLNetwork):
    def total(params, batch):
        outputs = network.apply({"params": params}, batch, train=True, rngs={"dropout": jax.random.key(7)})
        terms, _ = mmcl.objective(outputs, batch, {}, FIRST, network.options, network.inputs)
        count = jnp.maximum(batch["weight"].sum(), 1)
        means = {
            name: term if term.ndim == 0 else (term * batch["weight"]).sum() / count for name, term in terms.items()
        }
        weights = mmcl.weights(network.options, {})
        return sum(weights.get(name, 1.0) * mean for name, mean in means.items()), terms

    return quick_jit(jax.value_and_grad(total, has_aux=True))


def network_of(batch: dict, dtype: str = "float32", **changes) -> mmcl.MMCLNetwork:
    return _network(tuple(sorted(changes.items())), inputs_of(batch), dtype)


def outputs_of(batch: dict, **named) -> dict[str, np.ndarray]:
    """What the network gives in training."""
    network = network_of(batch, **named)
    return jax.tree.map(np.asarray, _forward(network)(_params(network), batch))


def terms_of(outputs: dict, batch: dict, *, epoch: int = 1, step: int = 0, **changes) -> dict[str, np.ndarray]:
    """The objective's terms of these outputs."""
    clock = Clock(jnp.int32(epoch), jnp.int32(step))
    options, inputs = make_options(**changes), inputs_of(batch)

    def objective(outputs, batch):
        return mmcl.objective(outputs, batch, {}, clock, options, inputs)

    # Without jit what is compiled for one test serves the next, but not for sizes that no other has.
    run = objective if len(batch["label"]) == ROWS else quick_jit(objective)
    terms, memory = run(outputs, {"label": batch["label"], "weight": batch["weight"]})
    assert memory == {}
    return jax.tree.map(np.asarray, terms)


def gradient_of(batch: dict, **named) -> tuple[dict, dict]:
    """The terms, and the gradient of their weighted sum by path."""
    network = network_of(batch, **named)
    (_, terms), gradient = jax.tree.map(np.asarray, _gradient(network)(_params(network), batch))
    return terms, flatten_dict(gradient, sep="/")


@functools.cache
def shapes(there: tuple = tuple(SHAPES), **changes) -> tuple[dict, dict, dict]:
    """Parameters by path, outputs in evaluation and terms, in shapes only."""
    batch = make_batch(there)
    network = network_of(batch, **changes)

    def both(key):
        evaluated, params = network.init_with_output(key, batch, train=False)
        outputs = network.apply(params, batch, train=True, rngs={"dropout": key})
        terms, _ = mmcl.objective(outputs, batch, {}, FIRST, network.options, network.inputs)
        return params["params"], evaluated, terms

    params, evaluated, terms = jax.eval_shape(both, jax.random.key(0))
    return flatten_dict(params, sep="/"), evaluated, terms


def louder(batch: dict, name: str) -> dict:
    """The batch with other features in one modality."""
    return {**batch, name: {**batch[name], "features": batch[name]["features"] * 1.5}}


def some_outputs(seed: int = 0) -> dict[str, np.ndarray]:
    """Outputs as a network could give them."""
    rng = np.random.default_rng(seed)
    sizes = {**dict.fromkeys(TWINS, (ROWS, 8)), **dict.fromkeys(LATENTS, (ROWS, 12)), "prediction": (ROWS,)}
    return {name: rng.normal(size=size).astype(np.float32) for name, size in sorted(sizes.items())}


# -- what goes where --------------------------------------------------------------------------------------------------


def test_every_output_is_there_and_the_twin_in_training_alone():
    params, evaluated, terms = shapes()
    assert set(evaluated) == {"prediction", "representation"} | LATENTS
    assert set(terms) == ALL_TERMS
    trained = outputs_of(make_batch())
    assert {name: value.shape for name, value in trained.items()} == {
        "prediction": (ROWS,),
        "representation": (ROWS, 16),
        **dict.fromkeys(LATENTS, (ROWS, 12)),
        **dict.fromkeys(TWINS, (ROWS, 8)),
    }
    assert {value.dtype for value in trained.values()} == {np.dtype("float32")}
    assert "text_encoder" not in {path.split("/")[0] for path in params}  # precomputed features


def test_each_modality_is_predicted_from_the_two_others_and_its_target_made_from_itself_alone():
    batch = make_batch()
    before = outputs_of(batch, **LINEAR)
    reached = {}
    for name in SHAPES:
        after = outputs_of(louder(batch, name), **LINEAR)
        reached[name] = {key for key in LATENTS if not np.allclose(before[key], after[key], atol=1e-6)}
        assert not np.allclose(before["prediction"], after["prediction"], atol=1e-6)
    assert reached == {
        "text": {"predicted_audio", "predicted_vision"},
        "audio": {"predicted_vision", "latent_audio"},
        "vision": {"predicted_audio", "latent_vision"},
    }


def test_the_twin_shares_all_parameters_and_differs_by_the_cutoff_alone():
    with_twin, without = (set(shapes(contrast=contrast)[0]) for contrast in ("uni,cross", "cross"))
    assert with_twin == without
    cut, uncut = outputs_of(make_batch(), **LINEAR), outputs_of(make_batch(), cutoff=0.0, **LINEAR)
    for name in ("audio", "vision"):
        np.testing.assert_allclose(uncut[f"cutoff_{name}"], uncut[f"coded_{name}"], atol=1e-5)
        np.testing.assert_allclose(cut[f"coded_{name}"], uncut[f"coded_{name}"], atol=1e-5)
        assert not np.allclose(cut[f"cutoff_{name}"], cut[f"coded_{name}"], atol=1e-3)


# -- the terms, derived a second time ---------------------------------------------------------------------------------


def _unit(x):
    x = np.asarray(x, np.float64)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _choice(positive, others):
    """-log of the positives' share, of their similarities and those of all others."""
    return -np.log(np.exp(positive).sum() / (np.exp(positive).sum() + np.exp(others).sum()))


def _info_nce(query, key, negatives, t):
    rows = range(len(query))
    return np.array(
        [_choice(query[i] @ key[i] / t, np.array([query[i] @ negatives[j] / t for j in rows if j != i])) for i in rows]
    )


def _expected(outputs: dict, t: float = 0.1) -> dict[str, Any]:
    terms: dict[str, Any] = dict.fromkeys(("cross", "alignment", "uniformity", "sentiment"), 0.0)
    terms["multimodal"] = np.abs(outputs["prediction"] - LABELS)
    for u in ("audio", "vision"):
        f, twin = _unit(outputs[f"coded_{u}"]), _unit(outputs[f"cutoff_{u}"])
        terms[f"contrast_{u}"] = _info_nce(f, twin, f, t)
        p, g = _unit(outputs[f"predicted_{u}"]), _unit(outputs[f"latent_{u}"])
        both_ways = (_info_nce(g, p, p, t) + _info_nce(p, g, g, t)) / 2
        terms["cross"] += (_info_nce(g, g, g, t) + _info_nce(p, p, p, t) + both_ways) / 3
        terms["alignment"] += ((p - g) ** 2).sum(-1)
        different = [(i, j) for i in range(ROWS) for j in range(ROWS) if i != j]
        terms["uniformity"] += np.log(np.mean([np.exp(-2 * ((p[i] - g[j]) ** 2).sum()) for i, j in different]))
        terms["sentiment"] += _sentiment(np.concatenate([g, p]), t)
    return terms


def _sentiment(pool: np.ndarray, t: float) -> np.ndarray:
    kind = np.tile(np.sign(LABELS), len(pool) // ROWS)
    scores = pool @ pool.T / t
    other = ~np.eye(len(pool), dtype=bool)
    each = [_choice(scores[i][(kind == kind[i]) & other[i]], scores[i][kind != kind[i]]) for i in range(len(pool))]
    return np.reshape(each, (-1, ROWS)).mean(0)


def test_the_terms_are_those_of_the_equations():
    outputs = some_outputs()
    want, found = _expected(outputs), terms_of(outputs, make_batch())
    assert set(found) == set(want) == ALL_TERMS
    for name, value in want.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, err_msg=name)


def test_the_joint_pool_of_sentiments_holds_the_vectors_of_both_modalities():
    outputs = some_outputs()
    pool = np.concatenate(
        [_unit(outputs[f"{part}_{u}"]) for u in ("audio", "vision") for part in ("predicted", "latent")]
    )
    found = terms_of(outputs, make_batch(), sentiment_pool="joint")
    np.testing.assert_allclose(found["sentiment"], _sentiment(pool, 0.1), rtol=1e-4)


def test_eq_10_weighs_the_terms():
    options = mmcl.MMCLOptions()
    assert mmcl.weights(options, {}) == {
        "contrast_audio": 0.7, "contrast_vision": 0.7, "cross": 1.0, "alignment": 0.75, "uniformity": 0.1, "sentiment": 1.0,
    }  # fmt: skip
    changes = {"weights.uni": 0.2, "weights.uniformity": 0.5, "contrast": "uni,uniformity"}
    found = mmcl.weights(config.override(options, changes), {})
    assert found == {"contrast_audio": 0.2, "contrast_vision": 0.2, "uniformity": 0.5}


def test_a_contrast_may_have_a_temperature_of_its_own():
    outputs, batch = some_outputs(), make_batch()
    warm = _expected(outputs, 0.7)
    for contrast, terms in (
        ("uni", {"contrast_audio", "contrast_vision"}),
        ("cross", {"cross"}),
        ("sentiment", {"sentiment"}),
    ):
        own = terms_of(outputs, batch, **{f"own_temperature.{contrast}": 0.7})
        for name, usual in _expected(outputs).items():
            np.testing.assert_allclose(own[name], warm[name] if name in terms else usual, rtol=1e-4)
    assert not np.allclose(warm["cross"], _expected(outputs)["cross"], rtol=0.01)


@pytest.mark.parametrize(
    ("schedule", "clocks"),
    [
        ("successive", {(1, 0): 0, (2, 50): 0, (3, 9): 1, (4, 9): 1, (5, 9): 2, (40, 9): 2}),
        ("alternate", {(1, 0): 0, (1, 1): 1, (9, 2): 2, (2, 3): 0}),
    ],
)
def test_pairings_are_taken_by_the_clock(schedule, clocks):
    outputs, batch = some_outputs(), make_batch()
    alone = [terms_of(outputs, batch, pairs=pair, contrast="cross")["cross"] for pair in mmcl.PAIRS]
    for (epoch, step), place in clocks.items():
        found = terms_of(outputs, batch, pair_schedule=schedule, contrast="cross", epoch=epoch, step=step)
        np.testing.assert_allclose(found["cross"], alone[place], rtol=1e-6)
    turned = terms_of(outputs, batch, pair_schedule=schedule, contrast="cross", pairs="origin_predict,origin_origin")
    np.testing.assert_allclose(turned["cross"], alone[2], rtol=1e-6)


def test_the_gradient_at_the_target_can_be_stopped():
    outputs, batch = some_outputs(), make_batch()

    def gradient(pairs, stop):
        options = make_options(contrast="alignment,uniformity,cross", pairs=pairs, stop_gradient=stop)

        def total(outputs):
            terms, _ = mmcl.objective(outputs, batch, {}, FIRST, options, inputs_of(batch))
            return sum(term.sum() for term in terms.values())

        return quick_jit(jax.grad(total))(outputs)

    free, stopped = gradient("origin_predict", False), gradient("origin_predict", True)
    repelled = gradient("origin_origin", True)
    for u in ("audio", "vision"):
        assert np.abs(free[f"latent_{u}"]).max() > 0.1
        np.testing.assert_array_equal(stopped[f"latent_{u}"], 0)
        np.testing.assert_allclose(stopped[f"predicted_{u}"], free[f"predicted_{u}"], rtol=1e-4, atol=1e-5)
        # Where targets repel each other they still learn.
        assert np.abs(repelled[f"latent_{u}"]).max() > 0.01


@pytest.mark.parametrize(
    ("option", "values", "term"),
    [
        ("uni_denominator", ("queries", "literal", "keys"), "contrast_audio"),
        ("uniformity", ("pairwise", "literal", "within"), "uniformity"),
        ("alignment_power", (2, 1), "alignment"),
        ("kappa", (2.0, 3.0), "uniformity"),
    ],
)
def test_the_readings_of_an_equation_differ_in_its_term_alone(option, values, term):
    outputs, batch = some_outputs(), make_batch()
    readings = [terms_of(outputs, batch, **{option: value}) for value in values]
    for one, two in itertools.combinations(readings, 2):
        for name in ALL_TERMS - {"contrast_vision"}:
            assert np.allclose(one[name], two[name], rtol=1e-4) == (name != term), name


# -- padding, rows that do not count, small batches -------------------------------------------------------------------


def test_padding_changes_no_output_and_no_term():
    short, long = make_batch(), make_batch(extra=5, fill=3.0)
    want, found = outputs_of(short), outputs_of(long)
    for name, value in want.items():
        np.testing.assert_allclose(found[name], value, atol=2e-5, err_msg=name)
    terms = terms_of(want, short), terms_of(found, long)
    for name in ALL_TERMS:
        np.testing.assert_allclose(terms[1][name], terms[0][name], atol=1e-4, rtol=1e-4, err_msg=name)


def test_rows_of_weight_zero_change_no_term_and_no_gradient():
    batch = make_batch()
    batch["weight"] = np.array([1, 1, 1, 0, 0, 0, 1, 0], np.float32)
    other = jax.tree.map(np.copy, batch)
    counts = batch["weight"] > 0
    other["label"][~counts] = [2.0, -1.0, 0.0, -2.0]
    for name in SHAPES:
        other[name]["features"][~counts] *= -3.0
    terms, gradient = gradient_of(batch, **LINEAR)
    others, of_others = gradient_of(other, **LINEAR)
    outputs = {name: value[counts] for name, value in outputs_of(batch, **LINEAR).items()}
    few = {**batch, "label": batch["label"][counts], "weight": batch["weight"][counts]}
    for name, value in terms_of(outputs, few).items():
        for found in (terms, others):
            counted = found[name] if value.ndim == 0 else found[name][counts]
            np.testing.assert_allclose(counted, value, atol=1e-4, rtol=1e-4, err_msg=name)
        if value.ndim and name != "multimodal":  # whose mean the engine takes over the rows that count
            np.testing.assert_array_equal(terms[name][~counts], 0)
    for path, value in gradient.items():
        np.testing.assert_allclose(of_others[path], value, atol=1e-5 * max(1, np.abs(value).max()), err_msg=path)
    batch["weight"][:] = 0
    _, nothing = gradient_of(batch, **LINEAR)
    assert all((value == 0).all() for value in nothing.values())


def test_a_batch_of_one_has_nothing_to_contrast_but_the_pair_itself():
    batch = make_batch(rows=1)
    network, params = network_of(batch), _params(network_of(batch))
    made = jax.eval_shape(
        lambda: network.apply({"params": params}, batch, train=True, rngs={"dropout": jax.random.key(0)})
    )
    outputs = {name: value[:1] for name, value in some_outputs().items()}
    assert {name: made[name].shape for name in outputs} == {name: value.shape for name, value in outputs.items()}

    def total(outputs):
        terms, _ = mmcl.objective(outputs, batch, {}, FIRST, make_options(), inputs_of(batch))
        return sum(jnp.sum(term) for term in terms.values()), terms

    gradient, terms = quick_jit(jax.grad(total, has_aux=True))(outputs)
    assert all(np.isfinite(value).all() for value in (*terms.values(), *gradient.values()))
    for name in ("contrast_audio", "contrast_vision", "cross", "uniformity", "sentiment"):
        np.testing.assert_array_equal(terms[name], 0)
    assert (terms["alignment"] > 0).all()


def test_sequences_without_frames_give_finite_terms_and_gradients():
    batch = make_batch()
    batch["audio"]["length"] = np.array([0, 0, 3, 2, 0, 1, 0, 9], np.int32)
    terms, gradient = gradient_of(batch, **LINEAR)
    assert all(np.isfinite(value).all() for value in (*terms.values(), *gradient.values()))


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 39, 40, 50, 161])
def test_the_printed_kernels_and_strides_take_sequences_of_any_length(steps):
    options = config.override(mmcl.MMCLOptions(), {"lstm_hidden": 4, "unimodal": "linear"})
    frames = {"features": np.zeros((2, steps, 3), np.float32), "length": np.ones(2, np.int32)}
    batch = {"audio": frames, "vision": frames}
    network = mmcl.MMCLNetwork(options, Inputs(audio=(steps, 3), vision=(steps, 3)))
    outputs, _ = jax.eval_shape(lambda: network.init_with_output(jax.random.key(0), batch, train=False))
    assert {outputs[name].shape for name in LATENTS} == {(2, 256)}


def test_long_sequences_can_be_averaged_before_the_transformer():
    limit = {"max_steps": 3, "fused_text": "mean", **LINEAR}
    batch, short = make_batch(), make_batch()
    short["audio"]["length"] = np.minimum(short["audio"]["length"], 3)
    short["vision"]["length"] = np.minimum(short["vision"]["length"], 3)
    of_short, of_limited = outputs_of(short, **LINEAR), outputs_of(short, **limit)
    for name in LATENTS | TWINS:  # no sequence is longer than the limit
        np.testing.assert_allclose(of_limited[name], of_short[name], atol=1e-5, err_msg=name)
    assert not np.allclose(of_limited["prediction"], of_short["prediction"], atol=1e-4)  # mean of the text's states
    usual, limited = outputs_of(batch, **LINEAR), outputs_of(batch, **limit)
    for name, lengths in (("audio", LENGTHS["audio"]), ("vision", LENGTHS["vision"])):
        same = np.isclose(limited[f"latent_{name}"], usual[f"latent_{name}"], atol=1e-5).all(1)
        np.testing.assert_array_equal(same, np.array(lengths) <= 3)


# -- what is left without a modality ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("modalities", "predicted", "context"),
    [
        (("text", "audio"), ("audio",), "audio"),
        (("text", "vision"), ("vision",), "vision"),
        (("audio", "vision"), ("audio", "vision"), None),
        (("audio",), (), "audio"),
        (("vision",), (), "vision"),
        (("text",), (), None),
    ],
    ids=str,
)
def test_what_is_there_is_predicted_and_every_modality_reaches_the_score(modalities, predicted, context):
    params, evaluated, terms = shapes(modalities, **LINEAR)
    for prefix in ("predicted_", "latent_"):
        assert {name.removeprefix(prefix) for name in evaluated if name.startswith(prefix)} == set(predicted)
    first = {path.split("/")[0] for path in params}
    assert {name for name in first if name.endswith("_context")} == ({f"{context}_context"} if context else set())
    assert not {name for name in first if name.split("_")[0] in set(SHAPES) - set(modalities)}
    contrasts = {f"contrast_{name}" for name in modalities if name != "text"}
    instance = {"cross", "alignment", "uniformity", "sentiment"} if predicted else set()
    assert set(terms) == {"multimodal"} | contrasts | instance


@pytest.mark.parametrize("modalities", [("text", "audio"), ("audio", "vision")], ids=str)
def test_every_modality_that_is_there_moves_the_score(modalities):
    batch = make_batch(modalities)
    before = outputs_of(batch, **LINEAR)
    assert all(np.isfinite(value).all() for value in before.values())
    for name in modalities:
        after = outputs_of(louder(batch, name), **LINEAR)
        assert not np.allclose(after["prediction"], before["prediction"], atol=1e-6)


# -- ablations --------------------------------------------------------------------------------------------------------

ICL = {"cross", "alignment", "uniformity"}
ABLATIONS = {
    "w/o L_uni": ("cross,alignment,uniformity,sentiment", {"contrast_audio", "contrast_vision"}),
    "w/o ICL": ("uni,sentiment", ICL),
    "w/o L_cross": ("uni,alignment,uniformity,sentiment", {"cross"}),
    "w/o L_align": ("uni,cross,uniformity,sentiment", {"alignment"}),
    "w/o L_uniform": ("uni,cross,alignment,sentiment", {"uniformity"}),
    "w/o SCL": ("uni,cross,alignment,uniformity", {"sentiment"}),
    "no contrast": ("", ALL_TERMS - {"multimodal"}),
}


@pytest.mark.parametrize("row", ABLATIONS)
def test_a_row_of_table_2_takes_its_term_away_and_no_other(row):
    contrast, gone = ABLATIONS[row]
    batch = make_batch()
    usual, found = terms_of(some_outputs(), batch), terms_of(some_outputs(), batch, contrast=contrast)
    assert set(found) == ALL_TERMS - gone
    for name, value in found.items():
        np.testing.assert_array_equal(value, usual[name])
    assert set(mmcl.weights(make_options(contrast=contrast), {})) == set(found) - {"multimodal"}


def test_what_no_contrast_looks_at_is_not_there():
    full, _, _ = shapes(**LINEAR)
    for contrast in ("uni", ""):
        params, evaluated, terms = shapes(contrast=contrast, **LINEAR)
        assert set(full) - set(params) == {path for path in full if "/target_cnn/" in path}
        assert set(evaluated) == {"prediction", "representation", "predicted_audio", "predicted_vision"}
        assert set(terms) == {"multimodal"} | ({"contrast_audio", "contrast_vision"} if contrast else set())
    assert set(shapes(contrast="alignment", **LINEAR)[0]) == set(full)


def test_linear_layers_take_the_place_of_transformers():
    usual, linear = set(shapes()[0]), set(shapes(**LINEAR)[0])
    assert all("/transformer/" in path for path in usual - linear)
    assert linear - usual == {
        f"{name}_encoder/linear/{leaf}" for name in ("audio", "vision") for leaf in ("kernel", "bias")
    }


@pytest.mark.parametrize(("kept", "gone"), [("t", ("audio", "vision")), ("a,v", ("text",))])
def test_a_modality_of_table_4_is_zeros_and_nothing_else_changes(kept, gone):
    full, found = shapes(**LINEAR), shapes(modalities=kept, **LINEAR)
    for part in range(3):
        assert {path: leaf.shape for path, leaf in found[part].items()} == {
            path: leaf.shape for path, leaf in full[part].items()
        }
    batch = make_batch()
    before = outputs_of(batch, modalities=kept, **LINEAR)["prediction"]
    for name in SHAPES:
        after = outputs_of(louder(batch, name), modalities=kept, **LINEAR)["prediction"]
        assert np.allclose(after, before, atol=1e-6) == (name in gone)


def test_a_modality_that_is_zeros_has_finite_terms():
    batch = make_batch()
    outputs = outputs_of(batch, modalities="t", **LINEAR)
    assert all((outputs[name] == 0).all() for name in TWINS)
    assert all(np.isfinite(value).all() for value in terms_of(outputs, batch).values())


# -- training ---------------------------------------------------------------------------------------------------------


def test_a_step_moves_every_parameter():
    terms, gradient = gradient_of(make_batch(), **LINEAR)
    assert set(terms) == ALL_TERMS
    assert {path for path, value in gradient.items() if np.abs(value).max() == 0} == set()
    assert {value.dtype for value in gradient.values()} == {np.dtype("float32")}


def test_eight_samples_can_be_learned_by_heart():
    batch = make_batch()
    network = network_of(batch, **LINEAR)
    params = quick_jit(functools.partial(network.init, train=False))(jax.random.key(0), batch)["params"]
    optimiser = optax.adam(1e-2)

    @quick_jit
    def update(params, state, gradient):
        changes, state = optimiser.update(gradient, state)
        return optax.apply_updates(params, changes), state

    state, errors, losses = quick_jit(optimiser.init)(params), [], []
    for _ in range(200):
        (loss, terms), gradient = _gradient(network)(params, batch)
        params, state = update(params, state, gradient)
        errors.append(float(np.mean(terms["multimodal"])))
        losses.append(float(loss))
    assert errors[0] > 1
    assert np.mean(errors[-5:]) < 0.2
    assert np.mean(losses[-5:]) < 0.6 * losses[0]


def test_it_computes_in_bfloat16_with_terms_in_float32():
    batch = make_batch()
    made = jax.eval_shape(_forward(network_of(batch, dtype="bfloat16")), _params(network_of(batch)), batch)
    assert {value.dtype for value in made.values()} == {jnp.dtype("float32")}
    found, want = outputs_of(batch, dtype="bfloat16", **LINEAR), outputs_of(batch, **LINEAR)
    for name, value in {**found, **terms_of(found, batch)}.items():
        assert value.dtype == np.float32, name
        assert np.isfinite(value).all(), name
    for name in LATENTS | {"prediction"}:
        scale = np.abs(want[name]).max()
        np.testing.assert_allclose(found[name], want[name], atol=0.15 * scale, err_msg=name)


def test_every_choice_makes_a_step():
    choices = {
        name: typing.get_args(hint)
        for name, hint in typing.get_type_hints(mmcl.MMCLOptions).items()
        if typing.get_origin(hint) is typing.Literal and name not in config.Options.__annotations__
    }
    assert set(choices) == {
        "unimodal", "fused_text", "uni_denominator", "pair_schedule", "uniformity", "sentiment_pool",
    }  # fmt: skip
    for place in range(1, 3):
        changes = {name: values[min(place, len(values) - 1)] for name, values in choices.items()}
        assert set(shapes(**changes, stop_gradient=True, alignment_power=place)[2]) == ALL_TERMS
    for values in (choices[name] for name in ("uni_denominator", "pair_schedule", "uniformity")):
        assert len(values) == 3


# -- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("contrast", "uni,icl", "option contrast is uni,icl; expected any of uni, cross"),
        ("contrast", "uni,uni", "option contrast is uni,uni"),
        ("modalities", "", "option modalities is empty; expected any of t, a, v"),
        ("modalities", "t,x", "option modalities is t,x"),
        ("pairs", "", "option pairs is empty"),
        ("pairs", "origin_query", "option pairs is origin_query"),
        ("heads", 3, "option heads is 3; expected a divisor of 128"),
        ("lstm_hidden", 0, "option lstm_hidden is 0"),
        ("layers", 0, "option layers is 0"),
        ("cutoff", 1.0, "option cutoff is 1.0; expected a number in [0, 1)"),
        ("dropout", -0.1, "option dropout is -0.1"),
        ("max_steps", 0, "option max_steps is 0"),
        ("cnn_strides", "2,2", "option cnn_strides is 2,2; expected 5 numbers"),
        ("cnn_kernels", "", "option cnn_kernels is empty"),
        ("cnn_strides", "5,4,2,2,0", "option cnn_strides is 5,4,2,2,0; expected positive"),
        ("alignment_power", 3, "option alignment_power is 3; expected 1 or 2"),
        ("temperature", 0.0, "option temperature is 0.0; expected a positive number"),
        ("own_temperature.cross", -1.0, "option own_temperature.cross is -1.0; expected a positive number"),
        ("kappa", 0.0, "option kappa is 0.0"),
        ("weights.cross", -1.0, "option weights.cross is -1.0; expected a number that is not negative"),
        ("pair_epochs", 0, "option pair_epochs is 0"),
        ("uniformity", "pairs", "option uniformity is 'pairs'; expected one of pairwise, literal, within"),
    ],
)
def test_bad_options_are_refused_by_name(option, value, message):
    with pytest.raises(InputError, match=re.escape(message)):
        config.override(mmcl.MMCLOptions(), {option: value})


def test_modalities_that_the_dataset_lacks_are_refused():
    options = config.override(mmcl.MMCLOptions(), {"modalities": "v"})
    mmcl.check(options, Inputs(vision=(1, 2)))
    with pytest.raises(InputError, match="option modalities is v; the dataset has text, audio"):
        mmcl.check(options, Inputs(text=4, audio=(1, 2)))


def test_the_default_is_what_the_paper_states():
    options = mmcl.MMCLOptions()
    assert (options.layers, options.heads, options.cutoff, options.context) == (3, 8, 0.2, 128)
    assert (options.cnn_kernels, options.cnn_strides, options.cnn_channels) == ((10, 8, 4, 4, 4), (5, 4, 2, 2, 2), 256)
    assert (options.schedule, options.batch_size, options.learning_rate.text) == ("linear", 32, 5e-5)
    assert options.warmup > 0
    rates = {
        name: config.load_preset(f"mmcl_{name}").options["learning_rate.other"]
        for name in ("mosi", "mosi_unaligned", "mosi_mild", "mosei", "mosei_unaligned")
    }
    assert rates == {"mosi": 5e-3, "mosi_unaligned": 5e-3, "mosi_mild": 5e-3, "mosei": 1e-3, "mosei_unaligned": 1e-3}
