"""Where Self-MM's rule of label generation diverges and SUGRM's does not (SUGRM, sections 1 and 3.3).

Both rules see one state: multimodal features in a plane, positive samples (labelled +3) at (2, 0), negative ones (-3) at
(-2, 0), so D_max = 4 and the span of labels is 6. A sample labelled +1 has its text feature at (0.5, 1), and its
multimodal feature crosses the midplane between the classes at (x, 1). On the midplane alpha_m, by which Self-MM divides,
is 0. SUGRM's offset is 6 |x - 0.5| / 4.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.labels import self_mm, sugrm

POSITIVE, NEGATIVE = np.array([2.0, 0.0]), np.array([-2.0, 0.0])  # class centres
D_MAX, SPAN, LIMIT, FREE = 4.0, 6.0, 3.0, 1e9
LABELS = np.array([3, 3, 3, -3, -3, -3, 1], np.float32)
SAMPLE, Y_M = 6, 1.0
TEXT = np.array([0.5, 1.0])


@pytest.fixture(scope="module")
def states():
    """Both label states after an epoch in which every feature lay on the centre of its class."""
    seen = np.where(LABELS[:, None] > 0, POSITIVE, NEGATIVE).astype(np.float32)
    found = {}
    for rule in (self_mm, sugrm):
        state = rule.init(LABELS, {"m": 2, "t": 2})
        found[rule] = jax.jit(rule.update)(state, np.arange(7), {"m": seen, "t": seen}, epoch=1, limit=LIMIT)
    return found


@partial(jax.jit, static_argnames=("rule", "floor"))
def _suggested(state, multimodal, text, limit, rule, floor):
    named = {} if floor is None else {"floor": floor}

    def one(m, t):
        new = rule.update(state, jnp.array([SAMPLE]), {"m": m[None], "t": t[None]}, epoch=2, limit=limit, **named)
        return (3 * new.labels["t"][SAMPLE] - Y_M) / 2  # of epoch 2 are 2/3 what is suggested and 1/3 the old label

    return jax.vmap(one)(multimodal, text)


def suggested(states, rule, multimodal, text=TEXT, *, limit=LIMIT, floor=None):
    """The text labels [P] that a rule suggests for the sample with these multimodal features [P, 2]."""
    multimodal = np.asarray(multimodal, np.float32)
    text = np.broadcast_to(np.asarray(text, np.float32), multimodal.shape)
    return np.asarray(_suggested(states[rule], multimodal, text, limit, rule, floor), np.float64)


def crossing(x):
    """[P] -> the multimodal features [P, 2]."""
    return np.stack([x, np.ones_like(x)], axis=-1)


def distance(points, to):
    return np.linalg.norm(points - to, axis=-1)


def alpha(points):
    """Self-MM, eq. 5, in float64."""
    return (distance(points, NEGATIVE) - distance(points, POSITIVE)) / distance(points, POSITIVE)


def test_values_on_the_way_across_the_midplane(states):
    """The labels that the rules suggest, Self-MM's without and with the limit of the label range.

    x       alpha_m    eq. 6-8   limited   SUGRM
    -0.300  -0.2136     -0.302  -0.302    2.2
    -0.100  -0.0769     -2.424  -2.424    1.9
    -0.010  -0.0080    -30.221  -3.0      1.765
    -0.001  -0.0008   -307.861  -3.0      1.7515
     0.001   0.0008    309.108   3.0      1.7485
     0.010   0.0080     31.468   3.0      1.735
     0.100   0.0833      3.668   3.0      1.6
     0.300   0.2716      1.520   1.520    1.3
    """
    lines = test_values_on_the_way_across_the_midplane.__doc__.splitlines()
    table = np.array([line.split() for line in lines if line.count(".") > 3], np.float64)
    assert table.shape == (8, 5)
    x, alpha_m, free, limited, offset = table.T
    points = crossing(x)
    np.testing.assert_allclose(alpha(points), alpha_m, atol=5e-5)
    by_hand = 0.5 * alpha(TEXT) / alpha(points) * Y_M + 0.5 * (Y_M + alpha(TEXT) - alpha(points))
    np.testing.assert_allclose(by_hand, free, rtol=1e-4, atol=5e-4)
    # float32 has four digits left of a difference of distances that is a thousandth of either.
    np.testing.assert_allclose(suggested(states, self_mm, points, limit=FREE), by_hand, rtol=1e-3)
    np.testing.assert_allclose(suggested(states, self_mm, points), limited, atol=1e-3)
    np.testing.assert_allclose(suggested(states, sugrm, points), offset, atol=1e-5)
    np.testing.assert_allclose(offset, Y_M + SPAN * np.abs(x - 0.5) / D_MAX, atol=1e-12)


@pytest.mark.parametrize("floor", [True, False])
def test_self_mms_label_jumps_between_the_limits_at_the_midplane_and_sugrms_does_not(states, floor):
    x = np.linspace(-0.05, 0.05, 100)  # 50 points on either side, none on the midplane
    points, step = crossing(x), x[1] - x[0]
    jumping, smooth = suggested(states, self_mm, points, floor=floor), suggested(states, sugrm, points)
    np.testing.assert_allclose(jumping, np.where(x < 0, -LIMIT, LIMIT), atol=1e-6)
    assert np.ptp(smooth) == pytest.approx(SPAN / D_MAX * (x[-1] - x[0]), rel=1e-4)
    assert np.abs(np.diff(smooth)).max() == pytest.approx(SPAN / D_MAX * step, rel=1e-2)


def test_without_the_limit_self_mms_jump_grows_as_the_midplane_comes_nearer(states):
    nearer = 0.1 / 2.0 ** np.arange(6)
    above, below = (suggested(states, self_mm, crossing(side * nearer), limit=FREE) for side in (1, -1))
    jump = above - below
    np.testing.assert_allclose(jump[1:] / jump[:-1], 2, rtol=0.02)  # a pole of first order
    assert jump[-1] > 30 * SPAN
    above, below = (suggested(states, sugrm, crossing(side * nearer), limit=FREE) for side in (1, -1))
    np.testing.assert_allclose(below - above, 2 * nearer * SPAN / D_MAX, atol=1e-5)  # to nothing


@pytest.mark.parametrize("floor", [True, False])
def test_on_the_midplane_self_mms_label_is_at_a_limit_and_sugrms_is_that_of_the_distance(states, floor):
    (label,) = suggested(states, self_mm, crossing(np.zeros(1)), floor=floor)
    assert abs(label) == pytest.approx(LIMIT)  # at which one, rounding decides
    assert suggested(states, sugrm, crossing(np.zeros(1))) == pytest.approx(Y_M + SPAN * 0.5 / D_MAX)


def test_sugrms_offset_is_never_more_than_the_distance_says_wherever_the_features_are(states):
    rng = np.random.default_rng(0)
    multimodal, text = rng.normal(0, 3, (2, 2000, 2))
    multimodal[:1000, 0] *= 1e-3  # about equally far from both centres
    offset = suggested(states, sugrm, multimodal, text, limit=FREE) - Y_M
    share = np.minimum(distance(multimodal, text), D_MAX) / D_MAX
    np.testing.assert_allclose(np.abs(offset), SPAN * share, atol=1e-4)
    far = np.abs(suggested(states, self_mm, multimodal, text, limit=FREE) - Y_M)
    assert np.median(far[:1000]) > 10 * SPAN
    assert np.median(far[1000:]) < SPAN


def test_sugrms_label_turns_around_where_features_that_are_apart_change_sides(states):
    # Bounded is not continuous: the direction changes with the order of two ratios, however far apart the features are.
    text, step = np.array([0.0, -1.0]), 1e-3
    below, above = suggested(states, sugrm, crossing(np.array([-step, step])), text, limit=FREE)
    offset = SPAN * distance(np.array([0.0, 1.0]), text) / D_MAX
    assert (below, above) == (pytest.approx(Y_M + offset, rel=1e-4), pytest.approx(Y_M - offset, rel=1e-4))
    assert below - above == pytest.approx(SPAN, rel=1e-4)
