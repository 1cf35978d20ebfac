"""The two derivations of Self-MM agree with each other, with numbers worked out by hand and with published facts."""

import itertools
import math
from functools import partial

import numpy as np
import pytest

from . import self_mm_numpy

torch = pytest.importorskip("torch")

from . import self_mm_torch  # noqa: E402

DIMS = {"m": 6, "t": 4, "a": 3, "v": 5}
ROWS = 24


@pytest.fixture(autouse=True)
def _one_thread():
    """Arrays here are tiny: more threads only wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class TinyTextEncoder(torch.nn.Module):
    """Stands for a BERT: its own embedding per token, the first position mixed with the masked mean of all."""

    def __init__(self, vocabulary: int = 11, width: int = 8):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocabulary, width)
        self.dense = torch.nn.Linear(width, width)
        self.LayerNorm = torch.nn.LayerNorm(width)

    def forward(self, input_ids, attention_mask, token_type_ids):
        embedded = self.embedding(input_ids) + 0.1 * token_type_ids[..., None]
        mask = attention_mask[..., None].to(embedded.dtype)
        mean = (embedded * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
        return self.LayerNorm(self.dense(embedded + mean))


def _labels(rng):
    labels = rng.uniform(-3, 3, ROWS).round(1)
    labels[:3] = [0.0, 1.0, -1.0]  # zeros are where the two readings of "positive" part
    return labels


def _random_batches(rng, size=6):
    return list(rng.permutation(ROWS).reshape(-1, size))


def _random_features(rng, size, dims=DIMS):
    return {name: rng.normal(size=(size, dim)) for name, dim in dims.items()}


def _initial(labels, dims):
    return {name: labels.copy() for name in "tav"}, {name: np.zeros((ROWS, dim)) for name, dim in dims.items()}


def _hand_case(dim=1):
    """Centres at +1 and -1 in every axis; the batch row (last) has alpha_m = 2 and alpha_s = 0."""
    labels = np.array([2.0, -2.0, 1.0])
    memories = {name: np.array([[1.0], [-1.0], [1.0]]) * np.ones(dim) for name in ("m", "t")}
    features = {"m": np.full((1, dim), 0.5), "t": np.full((1, dim), 0.0)}
    return labels, {"t": labels.copy()}, memories, np.array([2]), features


def _torch_update(labels, unimodal, memories, rows, features, *, epoch, limit, exclude_zero):
    """One torch update from a given state, in the form of the numpy functions."""
    dims = {name: memory.shape[1] for name, memory in memories.items()}
    state = self_mm_torch.init_labels(torch.tensor(labels), dims, exclude_zero=exclude_zero)
    for name, values in unimodal.items():
        state.unimodal[name] = torch.tensor(values)
    # Writing all rows in epoch 1 leaves labels alone and brings the centres up to date.
    earlier = {name: torch.tensor(values) for name, values in memories.items()}
    everything = torch.arange(len(labels))
    self_mm_torch.update_labels(state, everything, earlier, epoch=1, limit=limit, exclude_zero=exclude_zero)
    batch = {name: torch.tensor(values) for name, values in features.items()}
    self_mm_torch.update_labels(state, torch.tensor(rows), batch, epoch=epoch, limit=limit, exclude_zero=exclude_zero)
    return tuple({name: values.numpy() for name, values in part.items()} for part in (state.unimodal, state.memories))


UPDATES = {
    "torch": partial(_torch_update, limit=3.0, exclude_zero=True),
    "numpy reference": partial(self_mm_numpy.update_reference, limit=3.0, exclude_zero=True),
    "numpy paper": partial(self_mm_numpy.update_paper, limit=3.0),
}
EVERY_UPDATE = pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES.keys())


@pytest.mark.parametrize("exclude_zero", [False, True])
def test_torch_labels_and_loss_equal_the_loops_over_ten_batches(exclude_zero):
    rng = np.random.default_rng(0)
    labels = _labels(rng)
    unimodal, memories = _initial(labels, DIMS)
    state = self_mm_torch.init_labels(torch.tensor(labels), DIMS, exclude_zero=exclude_zero)

    plan = [(epoch, rows) for epoch in (1, 2, 3) for rows in _random_batches(rng)][:10]
    for epoch, rows in plan:
        settings = {"epoch": epoch, "limit": 3.0, "exclude_zero": exclude_zero}
        features = _random_features(rng, len(rows))
        predictions = {name: rng.normal(size=len(rows)) for name in DIMS}
        stored = {name: values[rows] for name, values in unimodal.items()}
        scores = {name: torch.tensor(values) for name, values in predictions.items()}
        targets = {name: values[rows] for name, values in state.unimodal.items()}
        found_loss = self_mm_torch.loss(scores, state.label[rows], targets)
        np.testing.assert_allclose(found_loss.item(), self_mm_numpy.loss(predictions, labels[rows], stored), rtol=1e-12)

        unimodal, memories = self_mm_numpy.update_reference(labels, unimodal, memories, rows, features, **settings)
        batch = {name: torch.tensor(values) for name, values in features.items()}
        self_mm_torch.update_labels(state, torch.tensor(rows), batch, **settings)
        for name in unimodal:
            np.testing.assert_allclose(state.unimodal[name].numpy(), unimodal[name], atol=1e-9)
        for name in memories:
            np.testing.assert_array_equal(state.memories[name].numpy(), memories[name])

    assert all(np.abs(unimodal[name] - labels).max() > 0.1 for name in "tav")


@EVERY_UPDATE
@pytest.mark.parametrize("dim", [1, 4])
def test_update_equals_the_numbers_worked_out_by_hand(update, dim):
    # Equation 8: 0 * 1 / (2 * 2) + (1 + 0 - 2) / 2 = -0.5; equation 9 in epoch 2: 1/3 * 1 + 2/3 * (-0.5) = 0,
    # in epoch 3: 2/4 * 1 + 2/4 * (-0.5) = 0.25. In epoch 1 nothing moves.
    for epoch, expected in ((1, 1.0), (2, 0.0), (3, 0.25)):
        labels, unimodal, memories, rows, features = _hand_case(dim)
        new, new_memories = update(labels, unimodal, memories, rows, features, epoch=epoch)
        np.testing.assert_allclose(new["t"], [2.0, -2.0, expected], atol=1e-7)
        np.testing.assert_array_equal(new_memories["m"][2], features["m"][0])
        np.testing.assert_array_equal(unimodal["t"], labels)  # the caller's arrays are not touched


def test_the_paper_divides_distances_by_the_root_of_the_feature_size():
    # Only the epsilon of equation 5 sees the scale: alpha_m = (1.5 - 0.5) / (0.5 + 0.5) = 1, so equation 8 gives 0.
    new, _ = self_mm_numpy.update_paper(*_hand_case(dim=4), epoch=2, eps=0.5)
    np.testing.assert_allclose(new["t"][2], 1 / 3, rtol=1e-12)


def test_loss_equals_the_numbers_worked_out_by_hand():
    offset = math.atanh(0.5)  # so that the weight is 0.5
    predictions = {"m": np.array([0.5, 2.0]), "t": np.array([1.0 + offset - 2.0, 7.0])}
    labels, unimodal = np.array([1.0, -1.0]), {"t": np.array([1.0 + offset, -1.0])}
    found = self_mm_numpy.loss(predictions, labels, unimodal)
    np.testing.assert_allclose(found, ((0.5 + 0.5 * 2.0) + (3.0 + 0.0 * 8.0)) / 2, rtol=1e-12)


def test_paper_and_reference_differ_only_by_epsilon_away_from_the_singularity():
    rng = np.random.default_rng(1)
    labels = _labels(rng)
    memories = _random_features(rng, ROWS)
    unimodal = {name: labels.copy() for name in "tav"}
    rows = np.arange(6)
    features = _random_features(rng, len(rows))
    features["m"] = memories["m"][labels > 0].mean(0) + 0.1 * features["m"]  # alpha_m well above 0
    batch = labels, unimodal, memories, rows, features
    paper, _ = self_mm_numpy.update_paper(*batch, epoch=4)
    reference, _ = self_mm_numpy.update_reference(*batch, epoch=4, limit=math.inf, exclude_zero=True)
    for name in "tav":
        np.testing.assert_allclose(paper[name], reference[name], atol=1e-5)
        assert np.abs(paper[name][rows] - labels[rows]).max() > 0.01


@pytest.mark.parametrize(("position", "sign"), [(0.0, 1), (1e-4, 1), (-1e-4, -1)])
def test_guard_raises_the_denominator_and_keeps_its_sign(position, sign):
    labels, unimodal, memories, rows, features = _hand_case()
    features = {"m": np.array([[position]]), "t": np.array([[0.5]])}  # alpha_t = 2
    alpha_m = ((1 + position) - (1 - position)) / (1 - position)
    generated = 2 * 1.0 / (2 * sign * 0.1) + (1.0 + 2 - alpha_m) / 2
    new, _ = self_mm_numpy.update_paper(labels, unimodal, memories, rows, features, epoch=2, guard=0.1)
    np.testing.assert_allclose(new["t"][2], 1 / 3 * 1.0 + 2 / 3 * generated, rtol=1e-6)


def test_zero_labels_are_positive_only_when_they_are_not_excluded():
    labels = np.array([2.0, -2.0, 0.0, 1.0])
    memories = {name: np.array([[1.0], [-1.0], [3.0], [1.0]]) for name in ("m", "t")}
    features = {"m": np.array([[0.5]]), "t": np.array([[0.0]])}
    batch = labels, {"t": labels.copy()}, memories, np.array([3]), features
    # Positive centre 1: alpha_m = (1.5 - 0.5) / 0.5 = 2, alpha_t = 0.
    # Positive centre (1 + 3 + 1) / 3 = 5/3: alpha_m = (1.5 - 7/6) / (7/6) = 2/7, alpha_t = (1 - 5/3) / (5/3) = -2/5.
    expected = {True: 0.0 + (1 + 0 - 2) / 2, False: (-2 / 5) / (2 / 7) / 2 + (1 - 2 / 5 - 2 / 7) / 2}
    for exclude_zero, generated in expected.items():
        for update in (self_mm_numpy.update_reference, _torch_update):
            new, _ = update(*batch, epoch=2, limit=3.0, exclude_zero=exclude_zero)
            np.testing.assert_allclose(new["t"][3], 1 / 3 + 2 / 3 * generated, atol=1e-7)


def test_momentum_gives_epoch_i_of_n_the_weight_2i_over_n_times_n_plus_1():
    for n in (1, 2, 5, 20):
        weights = []
        for impulse in range(1, n + 1):
            label = float(impulse == 1)  # in epoch 1 the generated label is y_m itself
            for epoch in range(2, n + 1):
                label = self_mm_numpy.momentum(label, float(impulse == epoch), epoch)
            weights.append(label)
        np.testing.assert_allclose(weights, [2 * i / (n * (n + 1)) for i in range(1, n + 1)], rtol=1e-12)
        np.testing.assert_allclose(sum(weights), 1.0, rtol=1e-12)


@EVERY_UPDATE
def test_no_offset_when_the_features_coincide(update):
    rng = np.random.default_rng(2)
    labels = _labels(rng)
    rows = np.arange(8)
    memory, feature = rng.normal(size=(ROWS, 4)), rng.normal(size=(8, 4))
    state = labels, {"t": labels.copy()}, {"m": memory, "t": memory}, rows
    new, _ = update(*state, {"m": feature, "t": feature}, epoch=2)
    np.testing.assert_allclose(new["t"], labels, atol=1e-5)
    other, _ = update(*state, {"m": feature, "t": -feature}, epoch=2)
    assert np.abs(other["t"][rows] - labels[rows]).max() > 0.1


@pytest.mark.parametrize("update", [self_mm_numpy.update_reference, _torch_update], ids=["numpy", "torch"])
def test_generated_labels_are_clipped_to_the_limit(update):
    rng = np.random.default_rng(3)
    labels = _labels(rng)
    dims = {"m": 6, "t": 4}
    memories, features = _random_features(rng, ROWS, dims), _random_features(rng, ROWS, dims)
    batch = labels, {"t": labels.copy()}, memories, np.arange(ROWS), features
    generated = {}
    for limit in (1.0, 1e9):
        new, _ = update(*batch, epoch=2, limit=limit, exclude_zero=True)
        generated[limit] = (new["t"] - labels / 3) * 3 / 2  # equation 9 solved for the generated label
    assert generated[1e9].max() > 1.5
    assert generated[1e9].min() < -1.5
    np.testing.assert_allclose(generated[1.0], np.clip(generated[1e9], -1, 1), atol=1e-9)


@EVERY_UPDATE
def test_labels_stay_when_a_sign_class_is_empty(update):
    rng = np.random.default_rng(4)
    memories = _random_features(rng, ROWS, {"m": 3, "t": 3, "a": 3})
    rows, features = np.arange(6), _random_features(rng, 6, {"m": 3, "t": 3, "a": 3})
    labels = _labels(rng)
    # Only t lacks negatives: t stays, a moves.
    new, new_memories = update(labels, {"t": np.abs(labels), "a": labels.copy()}, memories, rows, features, epoch=3)
    np.testing.assert_array_equal(new["t"], np.abs(labels))
    assert np.abs(new["a"][rows] - labels[rows]).max() > 0.01
    np.testing.assert_array_equal(new_memories["t"][rows], features["t"])
    # The fusion lacks negatives: nothing moves.
    new, _ = update(np.abs(labels), {"t": labels.copy(), "a": labels.copy()}, memories, rows, features, epoch=3)
    np.testing.assert_array_equal([new["t"], new["a"]], [labels, labels])


@pytest.mark.parametrize(
    ("preset", "audio", "vision", "expected"),
    [("MMSA_MOSI", 5, 20, 159_332), ("MMSA_MOSEI", 74, 35, 165_668), ("MMSA_SIMS", 33, 709, 381_380)],
)
def test_parameter_count_outside_bert_equals_the_published_code(preset, audio, vision, expected):
    sizes = {"text_encoder": torch.nn.Identity(), "audio_size": audio, "vision_size": vision}
    model = self_mm_torch.SelfMMTorch(getattr(self_mm_torch, preset), **sizes)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def _network_case(**changes):
    torch.manual_seed(0)
    rng = np.random.default_rng(5)
    tokens, audio, vision = 6, 7, 5
    ids, types = rng.integers(0, 11, (ROWS, tokens)), rng.integers(0, 2, (ROWS, tokens))
    mask = (np.arange(tokens) < rng.integers(1, tokens + 1, (ROWS, 1))).astype(int)
    columns = {
        "label": _labels(rng),
        "text_bert": np.stack([ids, mask, types], axis=1),
        "audio": rng.normal(size=(ROWS, audio, 3)),
        "audio_length": rng.integers(1, audio + 1, ROWS),
        "vision": rng.normal(size=(ROWS, vision, 4)),
        "vision_length": rng.integers(1, vision + 1, ROWS),
    }
    hp = self_mm_torch.without_dropout(self_mm_torch.Hyperparameters(**changes))
    model = self_mm_torch.SelfMMTorch(hp, text_encoder=TinyTextEncoder(), text_width=8, audio_size=3, vision_size=4)
    return hp, model.double(), {name: torch.tensor(values) for name, values in columns.items()}


def _train(hp, model, columns, batches, *, epochs=1, record=False, **options):
    optimizer = self_mm_torch.make_optimizer(model, hp)
    state = self_mm_torch.init_labels(columns["label"], model.dims, exclude_zero=hp.exclude_zero)
    options |= {"columns": columns, "limit": hp.limit, "exclude_zero": hp.exclude_zero, "record": record}
    traces = [
        self_mm_torch.train_epoch(model, optimizer, batches, state, epoch, **options) for epoch in range(1, epochs + 1)
    ]
    return traces, state


@pytest.mark.parametrize("layers", [{}, {"middle_layer": False, "projection": False}], ids=["code", "paper"])
def test_padding_and_other_rows_change_no_output(layers):
    _, model, columns = _network_case(**layers)
    outputs = model(columns)
    ids, mask, types = columns["text_bert"].unbind(dim=1)
    changed = {**columns, "text_bert": torch.stack([ids.masked_fill(mask == 0, 9), mask, types], dim=1)}
    for name in ("audio", "vision"):
        beyond = torch.arange(columns[name].shape[1]) >= columns[f"{name}_length"][:, None]
        changed[name] = columns[name].masked_fill(beyond[..., None], 9.0)
    assert all((changed[name] != columns[name]).any() for name in ("text_bert", "audio", "vision"))
    alone = [model({name: column[row : row + 1] for name, column in changed.items()}) for row in range(ROWS)]
    for kind, name in itertools.product(outputs, model.dims):
        together = torch.cat([output[kind][name] for output in alone])
        torch.testing.assert_close(together, outputs[kind][name], rtol=1e-12, atol=1e-12)
    assert outputs["predictions"]["m"].shape == (ROWS,)
    assert all(outputs["features"][name].shape == (ROWS, dim) for name, dim in model.dims.items())


def test_fusion_reads_text_audio_and_vision_in_this_order():
    _, model, columns = _network_case()
    read = {}
    for name, head in model.heads.items():
        head.register_forward_pre_hook(lambda _, inputs, name=name: read.update({name: inputs[0]}))
    model(columns)
    assert torch.equal(read["m"], torch.cat([read["t"], read["a"], read["v"]], dim=-1))


def test_the_network_of_the_paper_has_two_layers_per_head_and_no_projection():
    _, model, _ = _network_case(middle_layer=False, projection=False, vision_hidden=48)
    assert not any("layer_2" in name or "subnet.linear" in name for name, _ in model.named_parameters())
    assert model.heads["v"].layer_1.in_features == 48


def test_an_absent_modality_leaves_no_head_no_label_and_no_optimiser_group():
    hp, _, columns = _network_case()
    model = self_mm_torch.SelfMMTorch(hp, text_encoder=TinyTextEncoder(), text_width=8, vision_size=4).double()
    del columns["audio"], columns["audio_length"]
    (trace,), state = _train(hp, model, columns, [np.arange(6)], record=True)
    assert (set(trace.predictions[0]), set(state.unimodal)) == ({"m", "t", "v"}, {"t", "v"})
    names = [group["name"] for group in self_mm_torch.make_optimizer(model, hp).param_groups]
    assert names == ["bert", "bert_no_decay", "vision", "other"]
    assert model.heads["m"].layer_1.in_features == 8 + hp.vision_out


def test_optimiser_groups_cover_every_parameter_with_their_rates_and_decays():
    hp, model, _ = _network_case(
        learning_rate_bert=1.0, learning_rate_audio=2.0, learning_rate_vision=3.0, learning_rate_other=4.0,
        weight_decay_bert=5.0, weight_decay_audio=6.0, weight_decay_vision=7.0, weight_decay_other=8.0,
    )  # fmt: skip
    groups = self_mm_torch.make_optimizer(model, hp).param_groups
    found = {id(parameter): (group["lr"], group["weight_decay"]) for group in groups for parameter in group["params"]}
    settings = {name: found[id(parameter)] for name, parameter in model.named_parameters()}
    assert settings["text_encoder.embedding.weight"] == (1.0, 5.0)
    assert settings["text_encoder.dense.bias"] == (1.0, 0.0)
    assert settings["text_encoder.LayerNorm.weight"] == (1.0, 0.0)
    assert settings["audio_subnet.lstm.bias_hh_l0"] == settings["audio_subnet.linear.weight"] == (2.0, 6.0)
    assert settings["vision_subnet.lstm.weight_ih_l0"] == (3.0, 7.0)
    assert settings["heads.t.layer_1.bias"] == settings["heads.m.layer_3.weight"] == (4.0, 8.0)


def test_training_replays_in_the_loops_batch_by_batch():
    hp, model, columns = _network_case()
    batches = _random_batches(np.random.default_rng(6))
    traces, state = _train(hp, model, columns, batches, epochs=4, record=True, window=2)

    labels = columns["label"].numpy()
    unimodal, memories = _initial(labels, model.dims)
    for epoch, trace in enumerate(traces, start=1):
        for number, rows in enumerate(batches):
            recorded = trace.predictions[number], trace.features[number]
            predictions, features = ({name: value.numpy() for name, value in part.items()} for part in recorded)
            stored = {name: values[rows] for name, values in unimodal.items()}
            expected = self_mm_numpy.loss(predictions, labels[rows], stored)
            np.testing.assert_allclose(trace.losses[number].item(), expected, rtol=1e-9)
            if epoch <= 2:  # labels first move after the loss of epoch 2, so only the fusion head counts until then
                np.testing.assert_allclose(expected, np.abs(predictions["m"] - labels[rows]).mean(), rtol=1e-9)
            unimodal, memories = self_mm_numpy.update_reference(
                labels, unimodal, memories, rows, features, epoch=epoch, limit=hp.limit, exclude_zero=hp.exclude_zero
            )
            for name in unimodal:
                np.testing.assert_allclose(trace.labels[number][name].numpy(), unimodal[name], atol=1e-7)
    assert all((state.unimodal[name] - columns["label"]).abs().max() > 0.1 for name in "tav")


def test_one_window_is_one_adam_step_on_the_summed_gradients_with_coupled_decay():
    hp, model, columns = _network_case(weight_decay_other=0.5)
    batches = [np.arange(0, 6), np.arange(6, 12)]
    total = sum((model({k: v[b] for k, v in columns.items()})["predictions"]["m"] - columns["label"][b]).abs().mean()
                for b in map(torch.tensor, batches))  # fmt: skip
    head = {name: parameter for name, parameter in model.named_parameters() if name.startswith("heads.")}
    gradients = torch.autograd.grad(total, list(head.values()), allow_unused=True)
    expected = {}
    for (name, parameter), gradient in zip(head.items(), gradients, strict=True):
        # The first Adam step is lr * g / (|g| + eps); unimodal heads have no gradient yet and still decay.
        g = (0.0 if gradient is None else gradient) + 0.5 * parameter
        expected[name] = (parameter - hp.learning_rate_other * g / (g.abs() + 1e-8)).detach()
    (trace,), _ = _train(hp, model, columns, batches, window=2)
    assert trace.steps == 1
    torch.testing.assert_close({name: p.detach() for name, p in head.items()}, expected, rtol=1e-9, atol=1e-9)


def test_an_incomplete_last_window_moves_memories_but_weights_only_when_kept():
    weights, memories, steps = {}, {}, {}
    batches = [np.arange(start, start + 4) for start in range(0, ROWS, 4)][:5]
    for case, plan, drop in (("four", batches[:4], True), ("dropped", batches, True), ("kept", batches, False)):
        hp, model, columns = _network_case()
        # Labels play no part in the losses of epochs 1 and 2, so gradients left by the dropped window would show in 2.
        traces, state = _train(hp, model, columns, plan, epochs=2, window=4, drop_last_window=drop)
        weights[case], memories[case] = model.heads["m"].layer_1.weight.detach(), state.memories["m"]
        steps[case] = [trace.steps for trace in traces]
    assert steps == {"four": [1, 1], "dropped": [1, 1], "kept": [2, 2]}
    assert torch.equal(weights["four"], weights["dropped"])
    assert not torch.allclose(weights["dropped"], weights["kept"])
    assert [bool(memories[case][16:20].any()) for case in ("four", "dropped")] == [False, True]
