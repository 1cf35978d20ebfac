"""The derivations of SUGRM against published sizes, numbers worked out by hand and each other."""

import math
from dataclasses import replace

import numpy as np
import pytest

from . import sugrm_numpy

torch = pytest.importorskip("torch")

from . import sugrm_torch  # noqa: E402

MOSI, MOSEI = {"t": 768, "a": 5, "v": 20}, {"t": 768, "a": 74, "v": 35}
TINY = {"t": 8, "a": 5, "v": 6}
HP = sugrm_torch.Hyperparameters(
    width=8, heads=2, head_dim=4, embed_dropout=0.0, relu_dropout=0.0, residual_dropout=0.0, output_dropout=0.0
)


@pytest.fixture(autouse=True)
def _one_thread():
    """Arrays here are tiny: more threads only wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _size(module):
    return sum(parameter.numel() for parameter in module.parameters())


# -- network ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sizes", "heads", "mrm", "spt"), [(MOSI, 8, 315019, 161074), (MOSEI, 4, 385222, 166618)])
def test_parameter_counts_are_those_of_the_released_code(sizes, heads, mrm, spt):
    model = sugrm_torch.SUGRMTorch(sugrm_torch.Hyperparameters(heads=heads), sizes)
    assert (_size(model.recalibration), _size(model.transformer), _size(model.heads)) == (mrm, spt, 10628)


def test_context_norms_of_self_attention_are_the_only_unused_parameters():
    model = sugrm_torch.SUGRMTorch(HP, TINY)
    streams = {name: torch.randn(2, 7, size) for name, size in TINY.items()}
    outputs = model(streams)["predictions"]
    sum(score.sum() for score in outputs.values()).backward()
    unused = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    kinds = ("weight", "bias")
    assert unused == {f"transformer.self_attention.{s}.norm_context.{kind}" for s in "tav" for kind in kinds}
    full = sugrm_torch.PhasedTransformer(sugrm_torch.Hyperparameters(), MOSI)
    assert sum(_size(block.norm_context) for block in full.self_attention.values()) == 192


def test_windows_by_hand():
    window = sugrm_torch.window
    # The second block of 5 ends before step 10; its 17 slots reach back to step -7, which is 43 of 50.
    assert window(1, 17, 5, 50, 0, repeats=True) == [*range(43, 50), *range(10)]
    assert window(9, 17, 5, 50, 0, repeats=True) == list(range(33, 50))
    assert window(0, 7, 1, 10, 2, repeats=True) == [6, 7, 8, 9, 0, 1, 2]
    assert window(0, 7, 1, 3, 0, repeats=True) == [0, 1, 2, 0, 1, 2, 0]
    assert window(0, 7, 1, 3, 0, repeats=False) == [1, 2, 0]
    assert window(4, 9, 1, 1, 3, repeats=False) == [0]


@pytest.mark.parametrize("count", [1, 2, 3, 6, 7, 16, 17, 18, 40])
def test_windows_without_repeats_hold_every_step_at_most_once(count):
    for i in range(math.ceil(count / 5)):
        for offset in (0, 3, -2):
            steps = sugrm_torch.window(i, 17, 5, count, offset, repeats=False)
            assert len(steps) == len(set(steps)) == min(17, count)


def test_shifts_by_hand():
    shift = sugrm_torch.shift
    assert [shift("S", 5, 50, number, 0) for number in range(4)] == [0, 1, 2, 3]
    assert [shift("P", i, 50, 0, 0) for i in (0, 1, 6, 19)] == [0, 12, 49, -49]  # 50 sin(0, 0.25, 1.5, 4.75)
    assert shift("", 5, 50, 3, 7) == 0
    assert shift("SPR", 1, 50, 3, 7) == 3 + 12 + 7


def test_attention_over_one_step_is_its_projected_value():
    block = sugrm_torch.Block(HP, 5)
    hidden, context = torch.randn(2, 1, 8), torch.randn(2, 3, 5)
    found = block(hidden, context, [[1]])
    middle = hidden + block.out(block.value(block.norm_context(context[:, 1:2])))
    expected = middle + block.contract(torch.relu(block.expand(block.norm_feed_forward(middle))))
    torch.testing.assert_close(found, expected)


def test_attention_over_all_steps_equals_multi_head_attention_of_torch():
    block = sugrm_torch.Block(HP, 8)
    hidden, context = torch.randn(3, 4, 8), torch.randn(3, 5, 8)
    peer = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        for reverse in (False, True):
            query, key = (block.key, block.query) if reverse else (block.query, block.key)
            peer.in_proj_weight.copy_(torch.cat([query.weight, key.weight, block.value.weight]))
            peer.in_proj_bias.copy_(torch.cat([query.bias, key.bias, block.value.bias]))
            peer.out_proj.weight.copy_(block.out.weight)
            peer.out_proj.bias.copy_(block.out.bias)
            source = block.norm_context(context)
            middle = hidden + peer(block.norm_query(hidden), source, source)[0]
            expected = middle + block.contract(torch.relu(block.expand(block.norm_feed_forward(middle))))
            found = block(hidden, context, [[0, 1, 2, 3, 4]] * 4, reverse=reverse)
            torch.testing.assert_close(found, expected)


def test_positions_of_steps_with_a_zero_first_feature():
    value = torch.ones(1, 3, 5)
    value[0, 1, 0] = 0
    expected = [math.sin(3), math.sin(3e-4), math.cos(3), math.cos(3e-4), 0]
    for protocol in ("reference", "paper"):
        embedding = sugrm_torch.position_embedding(value, protocol=protocol)
        np.testing.assert_allclose(embedding[0, 2], expected, rtol=1e-6)
        assert bool((embedding[0, 1] == 0).all()) == (protocol == "reference")


def test_protocols_agree_where_nothing_repeats_and_nothing_is_padded():
    torch.manual_seed(0)
    hp = sugrm_torch.Hyperparameters(
        width=8, heads=2, head_dim=4, stride=2, input_window=4, cross_window=3, self_window=2, input_shifts="SP",
        embed_dropout=0.0, relu_dropout=0.0, residual_dropout=0.0, output_dropout=0.0,
    )  # fmt: skip
    model = sugrm_torch.SUGRMTorch(hp, TINY)
    streams = {name: torch.randn(2, 7, size) for name, size in TINY.items()}
    lengths = {name: torch.tensor([7, 7]) for name in TINY}
    one, other = model(streams), model.forward_masked(streams, lengths)
    for kind in one:
        torch.testing.assert_close(one[kind], other[kind])


def test_padding_changes_the_reference_and_not_the_paper():
    torch.manual_seed(0)
    model = sugrm_torch.SUGRMTorch(HP, TINY)
    streams = {name: torch.randn(2, 7, size) for name, size in TINY.items()}
    longer = {name: torch.cat([stream, 0 * stream], dim=1) for name, stream in streams.items()}
    lengths = {name: torch.tensor([7, 4]) for name in TINY}
    one, other = (model.forward_masked(both, lengths)["predictions"] for both in (streams, longer))
    torch.testing.assert_close(one, other, rtol=0, atol=0)
    one, other = (model(both)["predictions"] for both in (streams, longer))
    assert (one["m"] - other["m"]).abs().max() > 1e-3


# -- labels -----------------------------------------------------------------------------------------------------------


def _worked_example(**named):
    """Centres on a line: mean feature 3 at the top, -1 at the bottom; D_max 4, and labels span 4."""
    labels = np.array([2.0, 2.0, 2.0, -2.0, -2.0, -2.0, 0.5])
    memory = sugrm_numpy.LabelMemory(labels, 1, modalities="ta", **named)
    features = np.array([[2.0], [3.0], [4.0], [-1.0], [0.0], [-2.0], [3.0]])
    memory.update(np.arange(7), {"m": features, "t": features, "a": features}, epoch=1)
    return memory


def test_labels_by_hand():
    memory = _worked_example()
    np.testing.assert_array_equal(memory.unimodal["t"], memory.label)  # epoch 1
    # Row 6: t is 1 nearer to the positive centre, one unit of feature is one of label; a is 9 away, clipped to D_max 4.
    memory.update(np.array([6]), {"m": [[1.0]], "t": [[2.0]], "a": [[-8.0]]}, epoch=2)
    assert memory.unimodal["t"][6] == pytest.approx(0.5 / 3 + 1.5 * 2 / 3)
    assert memory.unimodal["a"][6] == pytest.approx(0.5 / 3 - 3.5 * 2 / 3)
    assert memory.features[6] == 1.0
    np.testing.assert_array_equal(memory.unimodal["t"][:6], memory.label[:6])


def test_generated_labels_are_clipped_before_the_momentum():
    memory = _worked_example()
    memory.update(np.array([6]), {"m": [[1.0]], "t": [[1.0]], "a": [[-8.0]]}, epoch=3, limit=2.0)
    assert memory.unimodal["t"][6] == pytest.approx(0.5)
    assert memory.unimodal["a"][6] == pytest.approx(0.5 / 2 - 2.0 / 2)


def test_ratios_decide_the_direction_and_not_the_nearer_centre():
    # Beyond the positive centre: 7 is further from both centres than 4, and its ratio 4/8 is above that of 4, 1/5.
    arguments = {"positive": [3.0], "negative": [-1.0], "largest_distance": 4.0, "span": 6.0}
    assert sugrm_numpy.offset([4.0], [7.0], **arguments) == pytest.approx(-4.5)
    assert sugrm_numpy.offset([7.0], [4.0], **arguments) == pytest.approx(4.5)
    assert sugrm_numpy.offset([4.0], [4.0], **arguments) == 0.0
    assert sugrm_numpy.offset([-1.0], [1.0], **arguments) == pytest.approx(3.0)  # the ratio of m is infinite


@pytest.mark.parametrize("zero_is_positive", [True, False])
def test_labels_of_zero_belong_to_the_positive_class_or_to_none(zero_is_positive):
    memory = sugrm_numpy.LabelMemory(np.array([0.0, 1.0, -1.0]), 1, zero_is_positive=zero_is_positive)
    assert memory.sign_classes() == ([0, 1] if zero_is_positive else [1], [2])


def test_extreme_classes():
    labels = np.array([3.0, 3.0, 3.0, 3.0, 2.0, 0.0, -2.0, -3.0, -3.0, -3.0])
    assert sugrm_numpy.LabelMemory(labels, 1).extremes() == ([0, 1, 2, 3], [7, 8, 9])  # the rule of the paper
    assert sugrm_numpy.LabelMemory(labels, 1, fraction=0.5).extremes() == ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9])
    labels = np.array([1.0, 0.8, 0.6, 0.6, 0.0, -0.2, -0.4])
    assert sugrm_numpy.LabelMemory(labels, 1).extremes() == ([0, 1, 2, 3], [4, 5, 6])
    assert sugrm_numpy.LabelMemory(labels[:2], 1).extremes() == ([0, 1], [0, 1])  # fewer rows than 3


@pytest.mark.parametrize("labels", [[1.0, 2.0, 0.0, 0.5], [1.0, 1.0, 1.0, 1.0], [1.0, -1.0]])
def test_labels_stay_where_a_class_is_missing_or_the_extremes_coincide(labels):
    memory = sugrm_numpy.LabelMemory(np.array(labels), 2)
    rng = np.random.default_rng(0)
    for epoch in (1, 2, 3):
        features = {name: rng.normal(size=(len(labels), 2)) for name in "mtav"}
        memory.update(np.arange(len(labels)), features, epoch=epoch)
    for stored in memory.unimodal.values():
        np.testing.assert_array_equal(stored, labels)
    np.testing.assert_array_equal(memory.features, features["m"])


def test_losses_agree():
    rng = np.random.default_rng(0)
    predictions = {name: rng.normal(size=5) for name in "mtav"}
    label, unimodal = rng.normal(size=5), {name: rng.normal(size=5) for name in "tav"}
    as_torch = {name: torch.tensor(value) for name, value in predictions.items()}
    targets = {name: torch.tensor(value) for name, value in unimodal.items()}
    found = float(sugrm_torch.loss(as_torch, torch.tensor(label), targets))
    assert found == pytest.approx(sugrm_numpy.loss(predictions, label, unimodal), rel=1e-12)


def test_training_follows_the_labels_and_lowers_the_loss():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    label = np.repeat([3.0, 1.0, -1.0, -3.0], 4)
    streams = {name: torch.randn(16, 7, size) + torch.tensor(label, dtype=torch.float32)[:, None, None]
               for name, size in TINY.items()}  # fmt: skip
    model = sugrm_torch.SUGRMTorch(HP, TINY)
    rates = {"learning_rate_spt": 5e-3, "learning_rate_other": 5e-3, "weight_decay_spt": 0.0, "weight_decay_other": 0.0}
    optimizer = sugrm_torch.make_optimizer(model, replace(HP, **rates))
    memory = sugrm_numpy.LabelMemory(label, HP.head_dim, zero_is_positive=True)

    def error():
        return np.abs(model(streams)["predictions"]["m"].detach().numpy() - label).mean()

    before = error()
    for epoch in range(1, 11):
        batches = rng.permutation(16).reshape(4, 4)
        sugrm_torch.train_epoch(model, optimizer, batches, memory, epoch, streams=streams, limit=3.0)
    assert error() < 0.9 * before
    assert all(np.abs(stored - label).max() > 0.3 for stored in memory.unimodal.values())
