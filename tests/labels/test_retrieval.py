"""Partners against loops in float64, their draws, and the authors' rank positions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.errors import InputError
from msa_jax.labels import retrieval
from msa_jax.labels.retrieval import Partners, rank, sample

N, D, K = 29, 6, 5
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(N, D)).astype(np.float32)
LABELS = RNG.uniform(-2.4, 2.4, N).astype(np.float32)
CLASSES = np.round(LABELS)

_rank = jax.jit(rank, static_argnames=("candidates", "chunk", "by_rank_position"))
_sample = jax.jit(sample)


def ranked(features, classes, **options):
    """By one program for each number of rows."""
    return _rank(features, classes, **{"candidates": K, "chunk": 8, **options})


def cosines(features):
    """[N, N] float64."""
    x = np.asarray(features, np.float64)
    length = np.sqrt((x * x).sum(1))
    return (x @ x.T) / np.where(length > 0, length, 1)[:, None] / np.where(length > 0, length, 1)[None, :]


def by_loops(features, classes, k=K):
    """For each row three lists of rows, by sorting the others."""
    cosine = cosines(features)
    out = []
    for i in range(len(classes)):
        others = sorted((j for j in range(len(classes)) if j != i), key=lambda j, i=i: -cosine[i, j])
        same = [j for j in others if classes[j] == classes[i]]
        different = [j for j in others if classes[j] != classes[i]]
        out.append((same[:k], different[::-1][:k], different[:k]))
    return out


def assert_equal(found, expected):
    """The candidates, their numbers, and the first repeated beyond."""
    assert found.rows.shape == (len(expected), 3, K)
    assert found.counts.shape == (len(expected), 3)
    assert found.rows.dtype == found.counts.dtype == jnp.int32
    rows, counts = np.asarray(found.rows), np.asarray(found.counts)
    for i, kinds in enumerate(expected):
        for kind, candidates in enumerate(kinds):
            assert counts[i, kind] == len(candidates), (i, kind)
            filled = candidates + [candidates[0] if candidates else rows[i, kind, 0]] * (K - len(candidates))
            np.testing.assert_array_equal(rows[i, kind], filled, err_msg=f"row {i}, kind {kind}")


def gap(features):
    """The smallest difference between two cosines of a row: rounding must not decide the order."""
    ordered = np.sort(cosines(features), axis=1)
    return np.diff(ordered, axis=1).min()


def few(features, classes):
    """The ranking of a few rows."""
    found = ranked(np.asarray(features, np.float32), np.asarray(classes, np.float32))
    return Partners(np.asarray(found.rows), np.asarray(found.counts))


# -- ranking ----------------------------------------------------------------------------------------------------------


def test_candidates_equal_a_sorted_list_of_the_other_rows():
    assert gap(FEATURES) > 1e-6
    expected = by_loops(FEATURES, CLASSES)
    assert min(len(kind) for kinds in expected for kind in kinds) >= 2  # all as it should be,
    assert min(len(kinds[0]) for kinds in expected) < K  # and some lists that are not full
    assert_equal(ranked(FEATURES, CLASSES), expected)


@pytest.mark.parametrize("chunk", [1, 1000])
def test_the_chunk_is_no_part_of_the_result(chunk):
    assert_equal(ranked(FEATURES, CLASSES, chunk=chunk), by_loops(FEATURES, CLASSES))


def test_a_class_may_be_the_label_itself():
    labels = np.round(LABELS * 2).astype(np.float32) / np.float32(5)  # as in SIMS: multiples of 0.2 in [-1, 1]
    expected = by_loops(FEATURES, labels)
    assert expected != by_loops(FEATURES, np.round(labels))
    assert_equal(ranked(FEATURES, labels), expected)


def test_the_length_of_features_does_not_matter():
    scale = np.exp(RNG.uniform(-60, 60, (N, 1))).astype(np.float32)
    assert_equal(ranked(FEATURES * scale, CLASSES), by_loops(FEATURES, CLASSES))


def test_no_row_is_its_own_partner_even_among_copies_of_itself():
    copies = np.repeat(FEATURES[:1], N, axis=0)
    found = np.asarray(ranked(copies, CLASSES).rows)
    assert not np.any(found == np.arange(N)[:, None, None])
    drawn = np.asarray(_sample(ranked(copies, CLASSES), np.arange(N), jax.random.key(0)))
    assert not np.any(drawn == np.arange(N)[:, None])


def test_equally_similar_rows_come_in_the_order_of_the_dataset():
    found = few(np.ones((8, 2)), [0, 0, 0, 0, 1, 1, 1, 1])
    np.testing.assert_array_equal(found.rows[5], [[4, 6, 7, 4, 4], [0, 1, 2, 3, 0], [0, 1, 2, 3, 0]])


def test_a_row_of_zeros_is_orthogonal_to_all():
    found = few([[0, 0], [1, 0], [-1, 0.1], [0.1, 1], [1, 0.2]], [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(found.rows[1, 0, :2], [0, 2])  # before the row that points away
    np.testing.assert_array_equal(found.rows[0, 0, :2], [1, 2])  # to which all are alike


def test_ranking_makes_no_array_of_all_pairs():
    """Every array of the program, to the innermost one, is smaller than N x N."""
    number = 500

    def sizes(jaxpr):
        for equation in jaxpr.eqns:
            for variable in equation.outvars:
                yield variable.aval.size
            for value in equation.params.values():
                inner = getattr(value, "jaxpr", value)
                if hasattr(inner, "eqns"):
                    yield from sizes(inner)

    for by_rank_position in (False, True):
        form = functools.partial(rank, candidates=K, chunk=20, by_rank_position=by_rank_position)
        found = list(sizes(jax.make_jaxpr(form)(jnp.ones((number, 3)), jnp.ones(number)).jaxpr))
        assert max(found) >= 20 * number  # it looked inside the loop
        assert max(found) < number * number / 4


def test_seeds_are_an_axis():
    features = np.stack([FEATURES, FEATURES[::-1]])
    found = jax.jit(jax.vmap(lambda x: rank(x, CLASSES, candidates=K, chunk=8)))(features)
    for run in range(2):
        assert_equal(Partners(found.rows[run], found.counts[run]), by_loops(features[run], CLASSES))


# -- too few ----------------------------------------------------------------------------------------------------------


def test_a_row_alone_in_its_class_gets_the_most_similar_row_of_the_nearest_class():
    found = few([[1, 0], [1, 0.1], [0, 1], [1, 1], [-1, 0.5]], [3, -1, 1, 1, -1])
    np.testing.assert_array_equal(found.counts, [[0, 4, 4], [1, 3, 3], [1, 3, 3], [1, 3, 3], [1, 3, 3]])
    np.testing.assert_array_equal(found.rows[0, 0], 3)  # row 1 is nearer, but of class -1
    drawn = np.asarray(_sample(found, np.array([0, 2]), jax.random.key(3)))
    np.testing.assert_array_equal(drawn[:, :2], [[3, 3], [3, 3]])  # the stand-in, and a single candidate: twice


def test_a_single_class_gets_stand_ins_of_its_own():
    found = few([[1, 0], [1, 0.1], [0, 1]], [0, 0, 0])
    np.testing.assert_array_equal(found.counts, [[2, 0, 0]] * 3)
    np.testing.assert_array_equal(found.rows[:, 1, 0], [2, 2, 0])  # the least similar
    np.testing.assert_array_equal(found.rows[:, 2, 0], [1, 0, 1])  # the most similar


@pytest.mark.parametrize("by_rank_position", [False, True])
def test_a_row_that_is_alone_is_its_own_partner(by_rank_position):
    found = ranked(FEATURES[:1], CLASSES[:1], by_rank_position=by_rank_position)
    np.testing.assert_array_equal(found.rows, np.zeros((1, 3, K)))
    np.testing.assert_array_equal(found.counts, [[0, 0, 0]])
    np.testing.assert_array_equal(_sample(found, np.array([0]), jax.random.key(0)), [[0] * 6])


def test_two_rows_are_each_others_partners():
    """Fewer than the candidates that are asked for."""
    found = rank(FEATURES[:2], np.array([1.0, 1.0], np.float32), candidates=K)
    np.testing.assert_array_equal(found.rows, np.repeat([[[1] * K], [[0] * K]], 3, axis=1))
    np.testing.assert_array_equal(found.counts, [[1, 0, 0]] * 2)


# -- the authors' rank positions --------------------------------------------------------------------------------------


def by_position(features, classes, k=K):
    """The lists as the authors' code makes and uses them: a place in the ranking is taken for a row.

    From the front, place 0 (the row itself) included and the place of the row's number left out; from the back, counted
    in negative numbers, without the very first place.
    """
    cosine = cosines(features)
    number = len(classes)
    out = []
    for i in range(number):
        ranking = sorted(range(number), key=lambda j, i=i: -cosine[i, j])
        assert ranking[0] == i
        same = [place for place in range(number) if place != i and classes[ranking[place]] == classes[i]]
        different = [place for place in range(number) if place != i and classes[ranking[place]] != classes[i]]
        behind = [place for place in range(-1, -number, -1) if classes[ranking[place]] != classes[i]]
        dataset = list(range(number))
        out.append([[dataset[place] for place in kind[:k]] for kind in (same, behind, different)])
    return out


@pytest.mark.parametrize("classes", [CLASSES, CLASSES / np.float32(3)], ids=["whole numbers", "thirds"])
def test_rank_positions_equal_the_loops_of_the_authors_code(classes):
    expected = by_position(FEATURES, classes)
    assert expected != by_loops(FEATURES, classes)
    assert_equal(ranked(FEATURES, classes, by_rank_position=True), expected)


def test_rank_positions_are_the_first_and_the_last_rows_of_the_file():
    """Of rows in two classes: whatever the row, and whoever is similar to it."""
    number = 2 * N
    features = np.random.default_rng(5).normal(size=(number, D)).astype(np.float32)
    labels = (np.arange(number) % 2).astype(np.float32)
    found = np.asarray(ranked(features, labels, by_rank_position=True).rows)
    assert found[:, 0].max() < 20
    assert found[:, 2].max() < 20
    assert found[:, 1].min() >= number - 20
    np.testing.assert_array_equal(found[1:, 0, 0], 0)  # each row stands first in its own ranking
    right = np.asarray(ranked(features, labels).rows)
    assert min(right[:, 0].max(), right[:, 2].max()) > number - 5
    assert right[:, 1].min() < 5


def test_rank_positions_say_nothing_of_the_class():
    """Where `same` and `different` are sure of the class, the published lists are not."""
    right = np.asarray(ranked(FEATURES, CLASSES).rows)
    assert np.all(CLASSES[right[:, 0, 0]] == CLASSES)
    assert np.all(CLASSES[right[:, 1:]] != CLASSES[:, None, None])
    published = np.asarray(ranked(FEATURES, CLASSES, by_rank_position=True).rows)
    assert np.mean(CLASSES[published[:, 0]] == CLASSES[:, None]) < 0.6
    assert np.any(published[:, 1] == np.arange(N)[:, None])  # a row may be its own dissimilar partner


# -- drawing ----------------------------------------------------------------------------------------------------------


_draws = jax.jit(jax.vmap(sample, in_axes=(None, None, 0)))


def draws(partners, row, keys):
    """[keys, 6], what a batch of one row draws."""
    return np.asarray(_draws(partners, np.array([row]), keys))[:, 0]


def test_two_different_candidates_of_each_kind_are_drawn_all_pairs_as_often():
    partners = ranked(FEATURES, CLASSES)
    row = int(np.argmax(np.asarray(partners.counts[:, 0]) == 4))
    assert np.asarray(partners.counts)[row].tolist() == [4, 5, 5]
    keys = jax.random.split(jax.random.key(0), 6000)
    drawn = draws(partners, row, keys)
    assert drawn.shape == (6000, 6)
    assert drawn.dtype == np.int32
    rows, counts = np.asarray(partners.rows)[row], np.asarray(partners.counts)[row]
    for kind in range(3):
        two = drawn[:, 2 * kind : 2 * kind + 2]
        possible = rows[kind, : counts[kind]]
        assert np.all(two[:, 0] != two[:, 1])
        often = np.array([[np.sum((two[:, 0] == a) & (two[:, 1] == b)) for b in possible] for a in possible])
        assert often.sum() == 6000  # nothing else is ever drawn
        each = 6000 / (len(possible) * (len(possible) - 1))
        off = often[~np.eye(len(possible), dtype=bool)]
        assert np.all(np.abs(off - each) < 5 * np.sqrt(each))  # five standard deviations


def test_kinds_are_drawn_apart_from_each_other():
    partners = Partners(jnp.tile(jnp.arange(K, dtype=jnp.int32), (N, 3, 1)), jnp.full((N, 3), K, jnp.int32))
    drawn = draws(partners, 0, jax.random.split(jax.random.key(1), 6000))
    for first, second in ((0, 2), (0, 4), (2, 4)):
        assert 0.17 < np.mean(drawn[:, first] == drawn[:, second]) < 0.23  # 1 / K by chance


def test_rows_are_drawn_for_apart_from_each_other():
    """Not all of a batch the candidates of the same places."""
    places = Partners(jnp.tile(jnp.arange(K, dtype=jnp.int32), (N, 3, 1)), jnp.full((N, 3), K, jnp.int32))
    drawn = np.asarray(_sample(places, np.arange(N), jax.random.key(2)))
    assert len(np.unique(drawn, axis=0)) > N - 3  # of 8000 equally likely ones


def test_what_a_row_draws_depends_on_the_key_and_the_row_alone():
    partners = ranked(FEATURES, CLASSES)
    key = jax.random.key(7)
    whole = np.asarray(_sample(partners, np.arange(N), key))
    rows = np.array([5, 3, 28, 3])  # another batch, padding among it
    np.testing.assert_array_equal(_sample(partners, rows, key), whole[rows])
    other = np.asarray(_sample(partners, np.arange(N), jax.random.key(8)))
    assert np.mean(np.any(other != whole, axis=1)) > 0.9


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"candidates": 1}, {"candidates": 2.5}, {"chunk": 0}, {"chunk": True}])
def test_options_that_are_too_small_are_an_error(options):
    (name,) = options
    with pytest.raises(InputError, match=f"option {name} is .*; expected a whole number of at least"):
        rank(FEATURES, CLASSES, **options)


def test_wrong_shapes_are_errors():
    for features, classes in ((FEATURES[0], CLASSES), (FEATURES, CLASSES[:, None]), (FEATURES, CLASSES[1:])):
        with pytest.raises(AssertionError):
            rank(features, classes)
    partners = retrieval.Partners(jnp.zeros((N, 3, K), jnp.int32), jnp.zeros((N, 3), jnp.int32))
    with pytest.raises(AssertionError):
        sample(partners, np.zeros((2, 1), np.int32), jax.random.key(0))
