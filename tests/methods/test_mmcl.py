"""MMCL: its network, its terms against numpy, its ablations, and what is left without a modality."""

import functools
import itertools
import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from msa_jax import config
from msa_jax.errors import InputError
from msa_jax.methods import mmcl
from msa_jax.methods.protocol import Clock, Inputs

TEXT, AUDIO, VISION = (6, 8), (9, 3), (7, 4)  # steps and width
SHAPES = {"text": TEXT, "audio": AUDIO, "vision": VISION}
LENGTHS = {"text": [6, 2, 4, 1, 5], "audio": [9, 1, 4, 7, 3], "vision": [2, 7, 7, 1, 5]}
LABELS = [-2.0, 0.0, 1.4, -0.2, 3.0]
ROWS = len(LABELS)
SMALL = {
    "lstm_hidden": 4, "layers": 1, "heads": 2, "feedforward": 6, "width": 6, "cnn_channels": 5, "cnn_kernels": "3,2",
    "cnn_strides": "2,1", "context": 4, "dropout": 0.0,
}  # fmt: skip
ALL_TERMS = {"multimodal", "contrast_audio", "contrast_vision", "cross", "alignment", "uniformity", "sentiment"}
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


class Ran(NamedTuple):
    outputs: dict
    terms: dict
    gradient: dict  # of the weighted sum of the terms' means, by path


@functools.cache
def _program(changes: tuple, inputs: Inputs, dtype: str):
    options = config.override(mmcl.MMCLOptions(), {**SMALL, **dict(changes)})
    network = mmcl.MMCLNetwork(options, inputs, jnp.dtype(dtype))

    def total(params, batch, epoch, step):
        outputs = network.apply({"params": params}, batch, train=True, rngs={"dropout": jax.random.key(7)})
        terms, _ = mmcl.objective(outputs, batch, {}, Clock(epoch, step), options, inputs)
        count = jnp.maximum(batch["weight"].sum(), 1)
        means = {
            name: term if term.ndim == 0 else (term * batch["weight"]).sum() / count for name, term in terms.items()
        }
        weights = mmcl.weights(options, {})
        return sum(weights.get(name, 1.0) * mean for name, mean in means.items()), (outputs, terms)

    quick = {"compiler_options": {"xla_backend_optimization_level": 0}}
    return options, network, jax.jit(jax.value_and_grad(total, has_aux=True), **quick)


@functools.cache
def _params(changes: tuple, inputs: Inputs):
    """Parameters far from where they start, of shapes that depend on options and inputs alone."""
    _, network, _ = _program(changes, inputs, "float32")
    batch = {name: {"features": jnp.zeros((1, *SHAPES[name]))} for name in inputs.modalities}
    for name in batch:
        batch[name] |= {"mask": jnp.ones((1, TEXT[0]), jnp.int32)} if name == "text" else {"length": jnp.array([2])}
    made = jax.eval_shape(lambda: network.init(jax.random.key(0), batch, train=False))["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: (0.5 * rng.normal(size=leaf.shape)).astype(np.float32), made)


def run(batch: dict, *, epoch: int = 1, step: int = 0, dtype: str = "float32", params=None, **changes) -> Ran:
    inputs, key = inputs_of(batch), tuple(sorted(changes.items()))
    small = Inputs(**{name: SHAPES[name] for name in ("audio", "vision") if name in batch}, text=inputs.text)
    params = _params(key, small) if params is None else params
    value = _program(key, inputs, dtype)[2](params, batch, jnp.int32(epoch), jnp.int32(step))
    (_, (outputs, terms)), gradient = jax.tree.map(np.asarray, value)
    return Ran(outputs, terms, flatten_dict(gradient, sep="/"))


def shapes(modalities=tuple(SHAPES), **changes) -> tuple[dict, dict, dict, mmcl.MMCLOptions]:
    """Parameters by path, outputs in evaluation and terms, in shapes only."""
    batch = make_batch(modalities)
    options, network, step = _program(tuple(sorted(changes.items())), inputs_of(batch), "float32")
    evaluated, params = jax.eval_shape(lambda: network.init_with_output(jax.random.key(0), batch, train=False))
    (_, (_, terms)), _ = jax.eval_shape(step, params["params"], batch, jnp.int32(1), jnp.int32(0))
    return flatten_dict(params["params"], sep="/"), evaluated, terms, options


# -- what goes where --------------------------------------------------------------------------------------------------


def test_every_output_is_there_and_the_twin_in_training_alone():
    params, evaluated, terms, _ = shapes()
    assert set(evaluated) == {"prediction", "representation"} | LATENTS
    assert set(terms) == ALL_TERMS
    trained = run(make_batch()).outputs
    assert set(trained) == set(evaluated) | TWINS
    assert {name: value.shape for name, value in trained.items()} == {
        "prediction": (ROWS,),
        "representation": (ROWS, 6),
        **dict.fromkeys(LATENTS, (ROWS, 5)),
        **dict.fromkeys(TWINS, (ROWS, 8)),
    }
    assert {value.dtype for value in trained.values()} == {np.dtype("float32")}
    assert "text_encoder" not in {path.split("/")[0] for path in params}  # precomputed features


def test_each_modality_is_predicted_from_the_two_others_and_its_target_made_from_itself_alone():
    batch = make_batch()
    before = run(batch).outputs
    reached = {}
    for name in SHAPES:
        changed = {**batch, name: {**batch[name], "features": batch[name]["features"] * 1.5}}
        after = run(changed).outputs
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
    uncut = run(make_batch(), cutoff=0.0).outputs
    cut = run(make_batch()).outputs
    for name in ("audio", "vision"):
        np.testing.assert_allclose(uncut[f"cutoff_{name}"], uncut[f"coded_{name}"], atol=1e-5)
        np.testing.assert_allclose(cut[f"coded_{name}"], uncut[f"coded_{name}"], atol=1e-5)
        assert not np.allclose(cut[f"cutoff_{name}"], cut[f"coded_{name}"], atol=1e-3)


# -- the terms, derived a second time ---------------------------------------------------------------------------------


def _unit(x):
    x = np.asarray(x, np.float64)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _choice(positive, others):
    """-log of the positive's share, of lists of similarities."""
    return -np.log(np.exp(positive).sum() / (np.exp(positive).sum() + np.exp(others).sum()))


def _expected(outputs: dict, temperature: float = 0.1) -> dict[str, np.ndarray]:
    t, rows = temperature, range(ROWS)
    terms: dict[str, Any] = dict.fromkeys(("cross", "alignment", "uniformity", "sentiment"), 0.0)
    terms["multimodal"] = np.abs(outputs["prediction"] - LABELS)
    sign = np.sign(LABELS * 2)
    for u in ("audio", "vision"):
        f, twin = _unit(outputs[f"coded_{u}"]), _unit(outputs[f"cutoff_{u}"])
        terms[f"contrast_{u}"] = np.array(
            [_choice(f[i] @ twin[[i]].T / t, np.array([f[i] @ f[j] / t for j in rows if j != i])) for i in rows]
        )
        p, g = _unit(outputs[f"predicted_{u}"]), _unit(outputs[f"latent_{u}"])
        pairs = [
            np.array([_choice(np.array([q[i] @ k[i] / t]), np.array([q[i] @ k[j] / t for j in rows if j != i])) for i in rows])
            for q, k in ((g, g), (p, p), (g, p), (p, g))
        ]  # fmt: skip
        terms["cross"] += (pairs[0] + pairs[1] + (pairs[2] + pairs[3]) / 2) / 3
        terms["alignment"] += ((p - g) ** 2).sum(-1)
        potentials = [np.exp(-2 * ((p[i] - g[j]) ** 2).sum()) for i in rows for j in rows if i != j]
        terms["uniformity"] += np.log(np.mean(potentials))
        pool = [(vector, sign[i], (which, i)) for which, part in enumerate((g, p)) for i, vector in enumerate(part)]
        loss = np.zeros(ROWS)
        for anchor, kind, place in pool:
            same = np.array([anchor @ other / t for other, k, at in pool if k == kind and at != place])
            rest = np.array([anchor @ other / t for other, k, at in pool if k != kind])
            loss[place[1]] += _choice(same, rest) / 2
        terms["sentiment"] += loss
    return terms


def test_the_terms_are_those_of_the_equations():
    ran = run(make_batch())
    want = _expected(ran.outputs)
    assert set(ran.terms) == set(want) == ALL_TERMS
    for name, value in want.items():
        np.testing.assert_allclose(ran.terms[name], value, rtol=2e-4, atol=1e-5, err_msg=name)


def test_the_joint_pool_of_sentiments_holds_the_vectors_of_both_modalities():
    ran = run(make_batch(), sentiment_pool="joint")
    vectors = np.concatenate(
        [_unit(ran.outputs[f"{part}_{u}"]) for u in ("audio", "vision") for part in ("latent", "predicted")]
    )
    kind = np.tile(np.sign(LABELS), 4)
    scores = vectors @ vectors.T / 0.1
    each = [
        _choice(scores[i][(kind == kind[i]) & (np.arange(20) != i)], scores[i][kind != kind[i]])
        for i in range(4 * ROWS)
    ]
    np.testing.assert_allclose(ran.terms["sentiment"], np.reshape(each, (4, ROWS)).mean(0), rtol=2e-4)


def test_eq_10_weighs_the_terms():
    options = mmcl.MMCLOptions()
    assert mmcl.weights(options, {}) == {
        "contrast_audio": 0.7, "contrast_vision": 0.7, "cross": 1.0, "alignment": 0.75, "uniformity": 0.1, "sentiment": 1.0,
    }  # fmt: skip
    changes = {"weights.uni": 0.2, "weights.uniformity": 0.5, "contrast": "uni,uniformity"}
    found = mmcl.weights(config.override(options, changes), {})
    assert found == {"contrast_audio": 0.2, "contrast_vision": 0.2, "uniformity": 0.5}


def test_a_contrast_may_have_a_temperature_of_its_own():
    plain, common = run(make_batch()), run(make_batch(), temperature=0.7)
    for contrast, terms in (
        ("uni", {"contrast_audio", "contrast_vision"}),
        ("cross", {"cross"}),
        ("sentiment", {"sentiment"}),
    ):
        own = run(make_batch(), **{f"own_temperature.{contrast}": 0.7})
        for name in ALL_TERMS:
            np.testing.assert_allclose(own.terms[name], (common if name in terms else plain).terms[name], rtol=1e-5)
    assert not np.allclose(plain.terms["cross"], common.terms["cross"], rtol=0.01)


@pytest.mark.parametrize(
    ("schedule", "clocks"),
    [
        ("successive", {(1, 0): 0, (2, 50): 0, (3, 9): 1, (4, 9): 1, (5, 9): 2, (40, 9): 2}),
        ("alternate", {(1, 0): 0, (1, 1): 1, (9, 2): 2, (2, 3): 0}),
    ],
)
def test_pairings_are_taken_by_the_clock(schedule, clocks):
    options = config.override(mmcl.MMCLOptions(), {"pair_schedule": schedule})
    for (epoch, step), place in clocks.items():
        shares = mmcl._pair_shares(options, Clock(jnp.int32(epoch), jnp.int32(step)))
        np.testing.assert_array_equal(shares, np.eye(3)[place])
    clock = next(iter(clocks))
    first = run(make_batch(), pair_schedule=schedule, epoch=clock[0], step=clock[1]).terms["cross"]
    np.testing.assert_allclose(first, run(make_batch(), pairs="origin_origin").terms["cross"], rtol=1e-5)


def test_the_gradient_at_the_target_can_be_stopped():
    changes = {"contrast": "alignment,uniformity,cross", "pairs": "origin_predict"}
    free, stopped = run(make_batch(), **changes), run(make_batch(), stop_gradient=True, **changes)
    for term, value in free.terms.items():
        np.testing.assert_allclose(stopped.terms[term], value, rtol=1e-5)
    targets = [path for path in free.gradient if "/target_cnn/" in path]
    assert targets
    for path in targets:
        assert np.abs(free.gradient[path]).max() > 1e-4
        assert (stopped.gradient[path] == 0).all()
    repelled = run(make_batch(), stop_gradient=True, **{**changes, "pairs": "origin_origin"})
    assert all(np.abs(repelled.gradient[path]).max() > 1e-5 for path in targets)


# -- padding, rows that do not count, small batches -------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [{}, {"unimodal": "linear", "max_steps": 4, "fused_text": "mean"}], ids=["default", "others"]
)
def test_padding_changes_no_output_and_no_term(changes):
    want, found = run(make_batch(), **changes), run(make_batch(extra=5, fill=3.0), **changes)
    for name, value in want.outputs.items():
        np.testing.assert_allclose(found.outputs[name], value, atol=2e-5, err_msg=name)
    for name, value in want.terms.items():
        np.testing.assert_allclose(found.terms[name], value, atol=2e-4, rtol=1e-4, err_msg=name)
    for path, value in want.gradient.items():
        np.testing.assert_allclose(found.gradient[path], value, atol=2e-3 * max(1, np.abs(value).max()), err_msg=path)


def test_rows_of_weight_zero_change_no_term_and_no_gradient():
    batch = make_batch()
    batch["weight"] = np.array([1, 1, 1, 0, 0], np.float32)
    other = jax.tree.map(np.copy, batch)
    other["label"][3:] = [2.0, -1.0]
    for name in SHAPES:
        other[name]["features"][3:] *= -3.0
    alone = run(make_batch(rows=3))
    for given in (batch, other):
        found = run(given)
        for name, value in alone.terms.items():
            counted = found.terms[name] if value.ndim == 0 else found.terms[name][:3]
            np.testing.assert_allclose(counted, value, atol=1e-4, rtol=1e-4, err_msg=name)
        for path, value in alone.gradient.items():
            np.testing.assert_allclose(
                found.gradient[path], value, atol=2e-4 * max(1, np.abs(value).max()), err_msg=path
            )


def test_a_batch_of_one_has_nothing_to_contrast_but_the_pair_itself():
    ran = run(make_batch(rows=1))
    assert all(np.isfinite(value).all() for value in (*ran.terms.values(), *ran.gradient.values()))
    for name in ("contrast_audio", "contrast_vision", "cross", "uniformity", "sentiment"):
        np.testing.assert_array_equal(ran.terms[name], 0)
    assert (ran.terms["alignment"] > 0).all()


def test_a_batch_in_which_nothing_counts_gives_zeros():
    batch = make_batch()
    batch["weight"][:] = 0
    ran = run(batch)
    assert all((value == 0).all() for value in ran.gradient.values())


def test_sequences_without_frames_give_finite_terms_and_gradients():
    batch = make_batch()
    batch["audio"]["length"] = np.array([0, 0, 3, 2, 0], np.int32)
    ran = run(batch)
    assert all(
        np.isfinite(value).all() for value in (*ran.outputs.values(), *ran.terms.values(), *ran.gradient.values())
    )


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 39, 40, 50, 161])
def test_the_printed_kernels_and_strides_take_sequences_of_any_length(steps):
    options = config.override(mmcl.MMCLOptions(), {"lstm_hidden": 4, "layers": 1})
    inputs = Inputs(text=8, text_steps=steps, audio=(steps, 3), vision=(1, 4))
    batch = {
        name: {"features": np.zeros((2, n, d), np.float32)} for name, n, d in (("audio", steps, 3), ("vision", 1, 4))
    }
    for part in batch.values():
        part["length"] = np.ones(2, np.int32)
    batch["text"] = {"features": np.zeros((2, steps, 8), np.float32), "mask": np.ones((2, steps), np.int32)}
    network = mmcl.MMCLNetwork(options, inputs)
    outputs, _ = jax.eval_shape(lambda: network.init_with_output(jax.random.key(0), batch, train=False))
    assert outputs["predicted_audio"].shape == outputs["latent_audio"].shape == (2, 256)


# -- what is left without a modality ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("modalities", "predicted", "context"),
    [
        (("text", "audio", "vision"), {"audio", "vision"}, None),
        (("text", "audio"), {"audio"}, "audio"),
        (("text", "vision"), {"vision"}, "vision"),
        (("audio", "vision"), {"audio", "vision"}, None),
        (("audio",), set(), "audio"),
        (("vision",), set(), "vision"),
        (("text",), set(), None),
    ],
    ids=str,
)
def test_what_is_there_is_predicted_and_every_modality_reaches_the_score(modalities, predicted, context):
    params, evaluated, terms, _ = shapes(modalities)
    assert {name.removeprefix("predicted_") for name in evaluated if name.startswith("predicted_")} == predicted
    assert {name.removeprefix("latent_") for name in evaluated if name.startswith("latent_")} == predicted
    first = {path.split("/")[0] for path in params}
    assert {name for name in first if name.endswith("_context")} == ({f"{context}_context"} if context else set())
    assert not {name for name in first if name.split("_")[0] in set(SHAPES) - set(modalities)}
    contrasts = {f"contrast_{name}" for name in modalities if name != "text"}
    instance = {"cross", "alignment", "uniformity", "sentiment"} if predicted else set()
    assert set(terms) == {"multimodal"} | contrasts | instance


@pytest.mark.parametrize("modalities", [("text", "audio"), ("audio", "vision"), ("audio",)], ids=str)
def test_every_modality_that_is_there_moves_the_score_and_every_parameter(modalities):
    batch = make_batch(modalities)
    before = run(batch)
    for name in modalities:
        changed = {**batch, name: {**batch[name], "features": batch[name]["features"] * 1.5}}
        assert not np.allclose(run(changed).outputs["prediction"], before.outputs["prediction"], atol=1e-6)
    assert all(np.isfinite(value).all() for value in (*before.terms.values(), *before.gradient.values()))
    still = {path for path, value in before.gradient.items() if np.abs(value).max() == 0}
    assert {path for path in still if not path.endswith("/key/bias")} == set()  # shifts all scores of a query alike


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
    params, evaluated, terms, options = shapes(contrast=contrast)
    assert set(terms) == ALL_TERMS - gone
    assert set(mmcl.weights(options, {})) == set(terms) - {"multimodal"}
    untrained = {path for path in shapes()[0] if "/target_cnn/" in path} if row == "no contrast" else set()
    assert set(params) == set(shapes()[0]) - untrained
    assert ("latent_audio" in evaluated) == (row != "no contrast")


def test_a_term_that_is_kept_is_the_same_without_the_others():
    full = run(make_batch())
    for contrast in ("uni", "uniformity,sentiment"):
        found = run(make_batch(), contrast=contrast).terms
        for name, value in found.items():
            np.testing.assert_allclose(value, full.terms[name], rtol=1e-5)


def test_linear_layers_take_the_place_of_transformers():
    usual, linear = set(shapes()[0]), set(shapes(unimodal="linear")[0])
    assert all("/transformer/" in path for path in usual - linear)
    assert linear - usual == {
        f"{name}_encoder/linear/{leaf}" for name in ("audio", "vision") for leaf in ("kernel", "bias")
    }


@pytest.mark.parametrize("kept", ["t", "a", "v", "a,v", "t,a", "t,v"])
def test_a_modality_of_table_4_is_zeros_and_nothing_else_changes(kept):
    params, evaluated, terms, _ = shapes(modalities=kept)
    usual = shapes()
    assert {path: leaf.shape for path, leaf in params.items()} == {path: leaf.shape for path, leaf in usual[0].items()}
    assert (set(evaluated), set(terms)) == (set(usual[1]), set(usual[2]))


@pytest.mark.parametrize(("kept", "gone"), [("t", ("audio", "vision")), ("a,v", ("text",)), ("t,v", ("audio",))])
def test_a_modality_that_is_zeros_changes_no_prediction(kept, gone):
    batch = make_batch()
    before = run(batch, modalities=kept)
    for name in SHAPES:
        changed = {**batch, name: {**batch[name], "features": batch[name]["features"] * 1.5}}
        same = np.allclose(run(changed, modalities=kept).outputs["prediction"], before.outputs["prediction"], atol=1e-6)
        assert same == (name in gone)
    for path, value in before.gradient.items():
        assert np.isfinite(value).all()
        if path.split("_")[0] in gone and "_encoder/" in path:
            assert (value == 0).all()


# -- training ---------------------------------------------------------------------------------------------------------


def test_a_step_moves_every_parameter():
    gradient = run(make_batch()).gradient
    still = {path for path, value in gradient.items() if np.abs(value).max() == 0}
    assert {path for path in still if not path.endswith("/key/bias")} == set()
    without = run(make_batch(), contrast="", unimodal="linear").gradient
    assert {path for path, value in without.items() if np.abs(value).max() == 0} == set()


def test_a_few_samples_can_be_learned_by_heart():
    rng = np.random.default_rng(0)
    batch = {"label": np.linspace(-3, 3, 8).astype(np.float32), "weight": np.ones(8, np.float32)}
    for name, (steps, width) in SHAPES.items():
        given = {"mask": np.ones((8, steps), np.int32)} if name == "text" else {"length": np.full(8, steps, np.int32)}
        batch[name] = {"features": rng.normal(size=(8, steps, width)).astype(np.float32), **given}
    sizes = {"lstm_hidden": 8, "width": 32, "cnn_channels": 16, "context": 16}
    _, network, step = _program(tuple(sorted(sizes.items())), inputs_of(batch), "float32")
    quick = {"compiler_options": {"xla_backend_optimization_level": 0}}
    params = jax.jit(functools.partial(network.init, train=False), **quick)(jax.random.key(0), batch)["params"]
    optimiser = optax.adam(5e-3)
    update = jax.jit(
        lambda params, state, gradient: (lambda c: (optax.apply_updates(params, c[0]), c[1]))(
            optimiser.update(gradient, state)
        ),
        **quick,
    )
    state, errors, losses = optimiser.init(params), [], []
    for number in range(120):
        (loss, (_, terms)), gradient = step(params, batch, jnp.int32(1), jnp.int32(number))
        params, state = update(params, state, gradient)
        errors.append(float(terms["multimodal"].mean()))
        losses.append(float(loss))
    assert errors[0] > 1
    assert np.mean(errors[-5:]) < 0.25
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_it_computes_in_bfloat16_with_terms_in_float32():
    ran, want = run(make_batch(), dtype="bfloat16"), run(make_batch())
    for name, value in {**ran.outputs, **ran.terms}.items():
        assert value.dtype == np.float32, name
        assert np.isfinite(value).all(), name
    for name in LATENTS | {"prediction"}:
        scale = np.abs(want.outputs[name]).max()
        np.testing.assert_allclose(ran.outputs[name], want.outputs[name], atol=0.15 * scale, err_msg=name)
    assert {value.dtype for value in ran.gradient.values()} == {np.dtype("float32")}


LITERALS = {
    name: hint.__args__
    for name, hint in mmcl.MMCLOptions.__annotations__.items()
    if getattr(hint, "__origin__", None) is not None and name in (
        "unimodal", "fused_text", "uni_denominator", "pair_schedule", "uniformity", "sentiment_pool"
    )
}  # fmt: skip


def test_every_choice_makes_a_step():
    assert len(LITERALS) == 6
    for name, choices in LITERALS.items():
        for choice in choices[1:]:
            _, _, terms, _ = shapes(**{name: choice})
            assert set(terms) == ALL_TERMS, (name, choice)
    for changes in ({"stop_gradient": True, "alignment_power": 1}, {"max_steps": 2}, {"pairs": "origin_predict"}):
        assert set(shapes(**changes)[2]) == ALL_TERMS


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
    usual = run(make_batch())
    others = [run(make_batch(), **{option: value}) for value in values[1:]]
    for one, two in itertools.combinations([usual, *others], 2):
        for name in ALL_TERMS - {"contrast_vision"}:
            same = np.allclose(one.terms[name], two.terms[name], rtol=1e-4)
            assert same == (name != term), name


def test_long_sequences_can_be_averaged_before_the_transformer():
    batch = make_batch()
    usual = run(batch, max_steps=9)
    np.testing.assert_allclose(usual.outputs["prediction"], run(batch).outputs["prediction"], atol=1e-5)
    shorter = run(batch, max_steps=3)
    assert not np.allclose(shorter.outputs["prediction"], usual.outputs["prediction"], atol=1e-4)
    # A row whose sequences are no longer than the limit stays as it was.
    brief = {**batch, "audio": {**batch["audio"], "length": np.array([3, 1, 2, 3, 3], np.int32)}}
    brief["vision"] = {**batch["vision"], "length": np.array([1, 2, 3, 3, 3], np.int32)}
    np.testing.assert_allclose(
        run(brief, max_steps=3).outputs["prediction"], run(brief).outputs["prediction"], atol=1e-5
    )


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
