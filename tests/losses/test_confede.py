"""ConFEDE's contrast against a brute-force list of its pairs in float64, cases by hand, and absent modalities."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax import losses
from msa_jax.errors import InputError

B, D, T = 3, 4, 0.5
NAMES = ("ts", "vs", "as", "td", "vd", "ad")
WHERE = np.array([1, 0, 1], bool)
SETS = [modalities for size in (1, 2, 3) for modalities in itertools.combinations("tva", size)]
every_set = pytest.mark.parametrize("modalities", SETS, ids="".join)


def sample(modalities="tva", rows=B, seed=0):
    rng = np.random.default_rng(seed)
    parts = {name: rng.normal(size=(rows, 7, D), scale=3).astype(np.float32) for name in NAMES}
    return {name: value for name, value in parts.items() if name[0] in modalities}


def pairs(modalities):
    """Every positive and every negative pair of a group, ((part, sample), (part, sample)), as the paper's figure has them."""
    positives, negatives = [], []
    for m in modalities:
        positives += [((m + "s", 0), (m + "s", partner)) for partner in (1, 2)]
        negatives += [((m + "s", 0), (m + "s", partner)) for partner in (3, 4, 5, 6)]
    main = next(m for m in "tva" if m in modalities)
    for one in range(7):
        positives += [((main + "s", one), (m + "s", one)) for m in modalities if m != main]
        negatives += [((main + "s", one), (m + "d", one)) for m in modalities]
    return positives, negatives


def by_loops(parts, t=T):
    """[B] float64: for each positive pair all negative pairs that have its anchor, one exponential at a time."""
    positives, negatives = pairs({name[0] for name in parts} if len(parts) < 6 else "tva")
    out = []
    for row in range(len(next(iter(parts.values())))):

        def weight(pair, row=row):
            a, b = ([float(x) for x in parts[part][row, place]] for part, place in pair)
            dot = sum(x * y for x, y in zip(a, b, strict=True))
            return math.exp(dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b)) / t)

        each = []
        for pair in positives:
            against = sum(weight(other) for other in negatives if other[0] == pair[0])
            each.append(-math.log(weight(pair) / (weight(pair) + against)))
        out.append(sum(each) / len(each))
    return np.array(out)


_values = jax.jit(
    lambda parts, temperature, where: losses.confede_contrast(parts, temperature=temperature, where=where)
)


def values(parts, temperature=T, where=None):
    rows = len(next(iter(parts.values())))
    return _values(parts, temperature, np.ones(rows, bool) if where is None else where)


gradients = jax.jit(jax.grad(lambda parts, where: losses.confede_contrast(parts, where=where).sum()))


def spoilt(modalities="tva"):
    """The sample, with the group that is not there full of what must not be looked at."""
    parts = sample(modalities)
    for value, bad in zip(parts.values(), itertools.cycle((np.nan, np.inf, 1e30))):
        value[~WHERE] = bad
    return parts


def test_there_are_twenty_positive_pairs_and_the_text_of_the_sample_has_seven_negatives():
    """Of the list that the other tests go by."""
    positives, negatives = pairs("tva")
    assert (len(positives), len(pairs("tv")[0]), len(pairs("a")[0])) == (20, 11, 2)
    count = lambda anchor: sum(pair[0] == anchor for pair in negatives)  # noqa: E731
    assert [count((name, 0)) for name in ("ts", "vs", "as")] == [7, 4, 4]
    assert [count(("ts", one)) for one in range(1, 7)] == [3] * 6


@every_set
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_value_equals_a_list_of_all_pairs(modalities, temperature):
    parts = sample(modalities)
    found = values(parts, temperature=temperature)
    assert (found.shape, found.dtype) == ((B,), jnp.float32)
    np.testing.assert_allclose(found, by_loops(parts, temperature), rtol=3e-6)


def test_values_in_float64_equal_a_list_of_all_pairs_to_twelve_digits():
    parts = {name: value.astype(np.float64) for name, value in sample().items()}
    with jax.enable_x64(True):
        found = losses.confede_contrast(parts)
    assert found.dtype == jnp.float64
    np.testing.assert_allclose(found, by_loops(parts, T), rtol=1e-12)


def test_all_parts_alike_give_what_one_can_work_out_by_hand():
    """Every cosine is 1: a positive is one among 1 + its number of negatives."""
    same = {name: np.ones((B, 7, D), np.float32) for name in NAMES}
    expected = (4 * math.log(8) + 4 * math.log(5) + 12 * math.log(4)) / 20
    np.testing.assert_allclose(values(same), np.full(B, expected), rtol=1e-6)
    only = {name: same[name] for name in ("as", "ad")}  # two pairs, four negatives between samples and A_d
    np.testing.assert_allclose(values(only), np.full(B, math.log(6)), rtol=1e-6)


def test_a_decomposition_as_it_should_be_has_the_least_value_there_is():
    """Similar parts of 0, 1 and 2 along one axis, of 3 to 6 against it, and each dissimilar part against its sample's T_s."""
    sign = np.array([1, 1, 1, -1, -1, -1, -1], np.float32)[None, :, None] * np.ones((B, 7, D), np.float32)
    parts = {name: sign if name[1] == "s" else -sign for name in NAMES}
    rival = math.exp(-2 / T)
    expected = (4 * math.log1p(7 * rival) + 4 * math.log1p(4 * rival) + 12 * math.log1p(3 * rival)) / 20
    np.testing.assert_allclose(values(parts), np.full(B, expected), rtol=1e-5)
    for seed in range(20):
        assert np.all(np.asarray(values(sample(seed=seed))) > expected)


@pytest.mark.parametrize("modalities", ["tva", "va", "v"])
def test_gradient_equals_finite_differences_of_the_loops(modalities):
    found = gradients(spoilt(modalities), WHERE)
    parts = {name: value[WHERE].astype(np.float64) for name, value in sample(modalities).items()}
    rng = np.random.default_rng(1)
    for name in parts:
        gradient = np.asarray(found[name])
        np.testing.assert_array_equal(gradient[~WHERE], 0)
        for _ in range(3):  # along random directions
            direction = rng.normal(size=parts[name].shape)
            sides = [by_loops(parts | {name: parts[name] + h * direction}).sum() for h in (1e-5, -1e-5)]
            np.testing.assert_allclose((gradient[WHERE] * direction).sum(), (sides[0] - sides[1]) / 2e-5, atol=2e-6)
        assert np.abs(gradient).max() > 1e-4


def test_every_part_that_takes_part_in_a_pair_gets_a_gradient_and_no_other():
    """Dissimilar parts repel the anchor of their sample, so all seven do; V_s and A_s of partners are positives."""
    found = gradients(sample(), np.ones(B, bool))
    for name in NAMES:
        assert np.all(np.abs(np.asarray(found[name])).max(-1) > 0), name
    alone = gradients(sample("v"), np.ones(B, bool))
    reached = np.abs(np.asarray(alone["vd"])).max(-1) > 0
    np.testing.assert_array_equal(reached, np.repeat(np.arange(7)[None] == 0, B, axis=0))


def pairs_of(there):
    """As `pairs`, of one group whose samples have {letter: [7] bool}."""
    positives, negatives = [], []
    for one in range(7):
        own = [m for m in "tva" if there[m][one]]
        positives += [((own[0] + "s", one), (m + "s", one)) for m in own[1:]]
        negatives += [((own[0] + "s", one), (m + "d", one)) for m in own]
    for m in "tva":
        others = [((m + "s", 0), (m + "s", partner)) for partner in range(1, 7) if there[m][0] and there[m][partner]]
        positives += [pair for pair in others if pair[1][1] < 3]
        negatives += [pair for pair in others if pair[1][1] > 2]
    return positives, negatives


def test_parts_that_a_sample_lacks_are_in_no_pair_and_never_looked_at(monkeypatch):
    there = {m: np.random.default_rng(3).uniform(size=(B, 7)) < 0.6 for m in "tva"}
    parts, clean = sample(), sample()
    for name, value in parts.items():
        value[~there[name[0]]] = np.nan
    found = losses.confede_contrast(parts, there=there)
    for row in range(B):
        own = {m: has[row] for m, has in there.items()}
        monkeypatch.setattr(f"{__name__}.pairs", lambda modalities, own=own: pairs_of(own))
        np.testing.assert_allclose(found[row], by_loops({k: x[row : row + 1] for k, x in clean.items()})[0], rtol=1e-5)
    gradient = jax.grad(lambda parts: losses.confede_contrast(parts, there=there).sum())(parts)
    for name, value in gradient.items():
        assert np.isfinite(value).all()
        assert not np.asarray(value)[~there[name[0]]].any()


def test_masked_groups_give_zero_and_change_nothing():
    found = np.asarray(values(spoilt(), where=WHERE))
    np.testing.assert_array_equal(found[~WHERE], 0)
    np.testing.assert_allclose(found[WHERE], by_loops(sample())[WHERE], rtol=3e-6)


def test_an_empty_mask_gives_zero_and_gradients_of_zero():
    bad, nobody = {name: np.full((B, 7, D), np.nan, np.float32) for name in NAMES}, np.zeros(B, bool)
    np.testing.assert_array_equal(values(bad, where=nobody), 0)
    assert all(np.all(np.asarray(g) == 0) for g in gradients(bad, nobody).values())


def test_groups_have_nothing_to_do_with_each_other_and_lengths_do_not_matter():
    """So a batch of one is like any other, and padding changes nothing."""
    expected = np.asarray(values(sample()))
    np.testing.assert_allclose(values({k: x[1:2] for k, x in sample().items()}), expected[1:2], rtol=1e-6)
    scaled = {k: x * np.array([1e-6, 1, 1e6], np.float32)[:, None, None] for k, x in sample().items()}
    np.testing.assert_allclose(values(scaled), expected, rtol=1e-5)
    padded = {k: np.concatenate([x, np.full_like(x, np.nan)]) for k, x in sample().items()}
    np.testing.assert_allclose(values(padded, where=np.arange(2 * B) < B)[:B], expected, rtol=1e-6)


def test_the_two_of_a_kind_may_change_places_and_no_others():
    expected = by_loops(sample())
    for order in ([0, 2, 1, 3, 4, 5, 6], [0, 1, 2, 4, 3, 6, 5], [0, 1, 2, 5, 6, 3, 4]):
        swapped = {k: x[:, order] for k, x in sample().items()}
        np.testing.assert_allclose(values(swapped), expected, rtol=3e-6)
    swapped = {k: x[:, [0, 3, 2, 1, 4, 5, 6]] for k, x in sample().items()}
    assert np.abs(np.asarray(values(swapped)) - expected).min() > 1e-3


def test_zero_vectors_give_finite_values_and_gradients():
    parts = sample()
    parts["ts"][0, 0], parts["vd"][1] = 0, 0
    parts["as"][:] = 0
    assert np.all(np.isfinite(values(parts)))
    assert all(np.all(np.isfinite(g)) for g in gradients(parts, np.ones(B, bool)).values())


def test_vmap_over_temperatures_changes_nothing():
    temperatures = np.array([0.1, 0.5, 1.0], np.float32)
    found = jax.jit(jax.vmap(lambda t: losses.confede_contrast(sample(), temperature=t)))(temperatures)
    for row, t in zip(found, temperatures, strict=True):
        np.testing.assert_allclose(row, by_loops(sample(), float(t)), rtol=3e-6)


def test_the_default_temperature_is_a_half_and_bfloat16_is_computed_in_float32():
    low = {k: jnp.asarray(x, jnp.bfloat16) for k, x in sample().items()}
    found = jax.jit(losses.confede_contrast)(low)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, by_loops({k: np.asarray(x, np.float64) for k, x in low.items()}, 0.5), rtol=3e-6)


@pytest.mark.parametrize("names", [(), ("ts",), ("ts", "td", "vs"), ("ts", "td", "xs", "xd"), ("td",)])
def test_parts_that_are_no_modalities_are_an_error(names):
    with pytest.raises(ValueError, match="parts are"):
        losses.confede_contrast({name: np.ones((B, 7, D), np.float32) for name in names})


def test_wrong_shapes_are_errors():
    for wrong in (np.ones((B, 6, D)), np.ones((B, 7, D + 1)), np.ones((B + 1, 7, D)), np.ones((B, D))):
        for name in NAMES:
            with pytest.raises(AssertionError):
                losses.confede_contrast(sample() | {name: wrong.astype(np.float32)})
    with pytest.raises(AssertionError):
        losses.confede_contrast(sample(), where=np.ones((B, 7), bool))


def test_a_temperature_that_is_not_positive_is_an_error():
    with pytest.raises(InputError, match="option temperature is 0; expected a positive number"):
        losses.confede_contrast(sample(), temperature=0)
