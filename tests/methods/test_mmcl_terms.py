"""MMCL's terms against numpy, and the readings of its equations."""

import itertools
from typing import Any

import jax
import numpy as np
import pytest

from msa_jax import config, losses
from msa_jax.methods import mmcl
from tests.methods.cases import FIRST, step_of
from tests.methods.mmcl_cases import (
    ALL_TERMS,
    LABELS,
    ROWS,
    inputs_of,
    make_batch,
    make_options,
    minimised,
    some_outputs,
    terms_of,
)
from tests.quick import quick_jit

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
        f, twin = _unit(outputs[f"encoded_{u}"]), _unit(outputs[f"cutoff_{u}"])
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


def test_the_joint_pool_of_sentiments_holds_the_vectors_of_both_modalities_and_weighs_as_much_as_their_own_pools():
    outputs = some_outputs()
    pool = np.concatenate(
        [_unit(outputs[f"{part}_{u}"]) for u in ("audio", "vision") for part in ("predicted", "latent")]
    )
    found = terms_of(outputs, make_batch(), sentiment_pool="joint")
    np.testing.assert_allclose(found["sentiment"], 2 * _sentiment(pool, 0.1), rtol=1e-4)
    # If both modalities have the same vectors, the joint pool adds a copy of each, the anchor among them, and nothing else.
    same = outputs | {f"{part}_vision": outputs[f"{part}_audio"] for part in ("predicted", "latent")}
    own, joint = (
        terms_of(same, make_batch(), sentiment_pool=pool, temperature=9.0)["sentiment"]
        for pool in ("modality", "joint")
    )
    np.testing.assert_allclose(joint, own, rtol=0.2)


def test_eq_10_weighs_the_terms():
    options, inputs = mmcl.MMCLOptions(), inputs_of(make_batch())
    assert minimised(mmcl.weights(options, inputs, {}, FIRST)) == {
        "contrast_audio": 0.7, "contrast_vision": 0.7, "cross": 1.0, "alignment": 0.75, "uniformity": 0.1, "sentiment": 1.0,
    }  # fmt: skip
    changes = {"weights.uni": 0.2, "weights.uniformity": 0.5, "contrast": "uni,uniformity"}
    found = mmcl.weights(config.override(options, changes), inputs, {}, FIRST)
    assert minimised(found) == {"contrast_audio": 0.2, "contrast_vision": 0.2, "uniformity": 0.5}


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
            terms, _ = mmcl.objective(step_of(outputs, batch), options, inputs_of(batch))
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


def test_a_sample_without_audio_is_in_no_contrast_of_it_and_never_looked_at():
    there, outputs, batch = np.arange(8) > 2, some_outputs(), make_batch()
    batch["audio"] = {**batch["audio"], "length": np.where(there, batch["audio"]["length"], 0).astype(np.int32)}
    of_audio = [name for name in outputs if name.endswith("audio")]
    unknown = {name: np.where(there[:, None], outputs[name], np.nan) for name in of_audio}
    found = terms_of({**outputs, **unknown}, batch)
    assert all(np.isfinite(value).all() for value in found.values())
    # Those of audio are those of the samples that have it, by themselves; those of vision stay, which text predicts too.
    rows = {name: value[there] for name, value in outputs.items()}
    part = jax.tree.map(lambda leaf: leaf[there], make_batch())
    own = found["contrast_audio"]
    np.testing.assert_allclose(own[there], terms_of(rows, part)["contrast_audio"], rtol=1e-5)
    np.testing.assert_array_equal(own[~there], 0)
    np.testing.assert_allclose(found["contrast_vision"], terms_of(outputs, make_batch())["contrast_vision"], rtol=1e-5)
    pairs = {name: losses.l2_normalise(outputs[name]) for name in ("predicted_vision", "latent_vision")}
    of_vision = np.square(pairs["predicted_vision"] - pairs["latent_vision"]).sum(-1)
    np.testing.assert_allclose(found["alignment"][~there], of_vision[~there], rtol=1e-4)
