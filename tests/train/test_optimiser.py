"""Adam with parameter groups on joined arrays, against torch.optim, optax and numbers written out by hand."""

import math
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from msa_jax.config import Options
from msa_jax.errors import MethodError
from msa_jax.methods.protocol import Group, Phase
from msa_jax.train import optimiser as module
from msa_jax.train.optimiser import build_optimiser, from_optax, groups_of, schedule

GROUPS = (
    Group(name="text", pattern="^text", learning_rate=0.01, weight_decay=0.1),
    Group(name="rest", pattern="", learning_rate=0.003, weight_decay=0.02),
)
SHAPES = {"text/kernel": (3, 2), "text/bias": (2,), "audio/kernel": (3, 2), "head/bias": (2,)}
# Two groups within a stack of three layers; `layers` has a leading axis, patterns say layer_0, layer_1.
LAYERED = (
    Group(name="low", pattern="layer_[01]/", learning_rate=0.01, weight_decay=0.1),
    Group(name="high", pattern="layer_2/", learning_rate=0.002, weight_decay=0.05),
    GROUPS[1],
)
STACKED = {"bert/layers/kernel": (3, 4, 2), "bert/layers/bias": (3, 2), "head/bias": (2,)}
TRAIN = Phase(objective=lambda step, options, inputs: ({}, {}))


def start_values(shapes=SHAPES) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {path: rng.normal(size=shape).astype(np.float32) for path, shape in shapes.items()}


def gradients(shapes=SHAPES, *, steps: int = 10) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    # Sizes that change from step to step: Adam alone does not see a constant factor.
    return [
        {path: (2.0 ** (-step) * rng.normal(size=shape)).astype(np.float32) for path, shape in shapes.items()}
        for step in range(steps)
    ]


def walk(
    options: Options, *, phase: Phase = TRAIN, shapes=SHAPES, groups=GROUPS, rates=None, steps: int = 10
) -> dict[str, np.ndarray]:
    """The parameters that the phase trains after all steps; rates: the factor on every learning rate of each."""
    found = groups_of(shapes, groups, phase)
    assigned = {path: names for path, names in found.items() if set(names) != {None}}
    params = {path: jnp.asarray(value) for path, value in start_values(shapes).items() if path in assigned}
    optimiser = build_optimiser(options, groups, assigned, 10)
    assert optimiser.paths == tuple(params)
    state = optimiser.init(params)
    for number, gradient in enumerate(gradients(shapes, steps=steps)):
        rate = jnp.float32(1 if rates is None else rates[number])
        params, state = optimiser.update({path: gradient[path] for path in params}, state, params, rate)
    return {path: np.asarray(value) for path, value in params.items()}


def torch_walk(kind: str, *, norm=None, value=None, factor=None) -> dict[str, np.ndarray]:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    params = {path: torch.nn.Parameter(torch.tensor(start)) for path, start in start_values().items()}
    groups = [
        {"params": [params["text/kernel"], params["text/bias"]], "lr": 0.01, "weight_decay": 0.1},
        {"params": [params["audio/kernel"], params["head/bias"]], "lr": 0.003, "weight_decay": 0.02},
    ]
    optimiser = getattr(torch.optim, kind)(groups)
    rates = [group["lr"] for group in groups]
    for step, gradient in enumerate(gradients()):
        for path, param in params.items():
            param.grad = torch.tensor(gradient[path])
        if norm is not None:
            torch.nn.utils.clip_grad_norm_(list(params.values()), norm)
        if value is not None:
            torch.nn.utils.clip_grad_value_(list(params.values()), value)
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * (factor(step) if factor else 1.0)
        optimiser.step()
    return {path: param.detach().numpy() for path, param in params.items()}


def assert_same(got: dict[str, np.ndarray], want: dict[str, np.ndarray], shapes=SHAPES) -> None:
    assert got.keys() == want.keys()
    for path, value in want.items():
        np.testing.assert_allclose(got[path], value, rtol=2e-5, atol=2e-6, err_msg=path)
        assert not np.isclose(value, start_values(shapes)[path], atol=1e-4).any()  # everything has moved


# -- against torch ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["joined", "apart"])
def arrays(request, monkeypatch) -> str:
    """Small parameters joined to one vector, or every one by itself, as large ones are."""
    monkeypatch.setattr(module, "SMALL", module.SMALL if request.param == "joined" else 0)
    return request.param


@pytest.mark.parametrize(("mode", "kind"), [("coupled", "Adam"), ("decoupled", "AdamW")])
def test_weight_decay_is_that_of_torch(arrays, mode, kind):
    assert_same(walk(Options(weight_decay_mode=mode)), torch_walk(kind))


def test_the_two_kinds_of_weight_decay_differ():
    coupled, decoupled = (walk(Options(weight_decay_mode=mode)) for mode in ("coupled", "decoupled"))
    assert not np.allclose(coupled["text/kernel"], decoupled["text/kernel"], atol=1e-3)


def test_clipping_scales_all_gradients_by_one_norm_as_torch_does(arrays):
    # The first gradients are longer than 1, the last ones shorter.
    assert_same(walk(Options(clip_norm=1.0)), torch_walk("AdamW", norm=1.0))
    assert not np.allclose(walk(Options(clip_norm=1.0))["text/bias"], walk(Options())["text/bias"], atol=1e-5)


def test_clipping_limits_every_value_as_torch_does(arrays):
    assert_same(walk(Options(clip_value=0.2)), torch_walk("AdamW", value=0.2))
    assert not np.allclose(walk(Options(clip_value=0.2))["text/bias"], walk(Options())["text/bias"], atol=1e-5)


def test_a_schedule_multiplies_the_rates_of_all_groups():
    def factor(step: int) -> float:
        return 0.5 if step == 0 else 1.0 if step == 1 else 1 - (step - 2) / 8

    assert_same(walk(Options(schedule="linear", warmup=0.2)), torch_walk("AdamW", factor=factor))


def test_the_factor_that_is_decided_between_epochs_multiplies_the_rates_of_all_groups():
    rates = [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1]
    got = walk(Options(schedule="plateau"), rates=rates)
    assert_same(got, torch_walk("AdamW", factor=lambda step: rates[step]))


# -- joined arrays ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["coupled", "decoupled"])
def test_layers_of_several_groups_move_as_optax_moves_each_by_itself(arrays, mode):
    """A stack of layers and a head, and the same in plain optax on a tree in which the layers are apart."""
    chains = {}
    for group in LAYERED:
        decay, adam = optax.add_decayed_weights(group.weight_decay), optax.scale_by_adam()
        order = (decay, adam) if mode == "coupled" else (adam, decay)
        chains[group.name] = optax.chain(*order, optax.scale(-group.learning_rate))
    groups = {0: "low", 1: "low", 2: "high"}

    def apart(tree):
        layers = {f"{path}:{n}": tree[path][n] for path in STACKED if "layers" in path for n in groups}
        return {**layers, "head/bias": tree["head/bias"]}

    params = {name: jnp.asarray(value) for name, value in apart(start_values(STACKED)).items()}
    labels = {name: "rest" if name == "head/bias" else groups[int(name[-1])] for name in params}
    reference = optax.multi_transform(chains, labels)
    state = reference.init(params)
    for gradient in gradients(STACKED):
        changes, state = reference.update(apart(gradient), state, params)
        params = optax.apply_updates(params, changes)
    got = apart(walk(Options(weight_decay_mode=mode), shapes=STACKED, groups=LAYERED))
    for name, value in params.items():
        np.testing.assert_allclose(got[name], value, rtol=2e-5, atol=2e-6, err_msg=name)


def test_small_parameters_are_one_vector_and_large_ones_and_uneven_stacks_stay_apart():
    shapes = {**STACKED, "wide/kernel": (512, 257), "small/kernel": (512, 255)}
    assigned = groups_of(shapes, LAYERED, TRAIN)
    state = build_optimiser(Options(), LAYERED, assigned, 10).init(start_values(shapes))
    sizes = {name: value.shape for name, value in state.mu.items()}
    assert sizes == {
        "joined": (2 + 512 * 255,),
        "wide/kernel": (512, 257),
        "bert/layers/kernel": (3, 4, 2),
        "bert/layers/bias": (3, 2),
    }


# -- groups -----------------------------------------------------------------------------------------------------------


def test_without_decay_the_first_step_is_as_long_as_the_learning_rate_of_the_group():
    groups = tuple(replace(group, weight_decay=0.0) for group in GROUPS)
    moved = walk(Options(), groups=groups, steps=1)
    for path, rate in zip(SHAPES, (0.01, 0.01, 0.003, 0.003), strict=True):
        np.testing.assert_allclose(moved[path] - start_values()[path], -rate * np.sign(gradients()[0][path]), atol=1e-6)


def test_the_first_group_that_matches_counts():
    assert groups_of({"text/bias": (2,), "x/text": (2,)}, GROUPS, TRAIN) == {"text/bias": ["text"], "x/text": ["rest"]}


def test_layers_of_a_stack_have_groups_of_their_own():
    found = groups_of(STACKED, LAYERED, TRAIN)
    assert found["bert/layers/kernel"] == found["bert/layers/bias"] == ["low", "low", "high"]
    assert found["head/bias"] == ["rest"]


SECOND = replace(TRAIN, name="second", frozen="^text/|bias$")


def test_frozen_parameters_have_no_group_and_do_not_move(arrays):
    assert groups_of(SHAPES, GROUPS, SECOND) == {
        "text/kernel": [None], "text/bias": [None], "audio/kernel": ["rest"], "head/bias": [None],
    }  # fmt: skip
    moved = walk(Options(), phase=SECOND)
    assert list(moved) == ["audio/kernel"]
    np.testing.assert_allclose(moved["audio/kernel"], walk(Options())["audio/kernel"], rtol=1e-6)


def test_a_phase_trains_what_its_pattern_names():
    assert list(walk(Options(), phase=replace(TRAIN, trains="kernel$", frozen="^audio"))) == ["text/kernel"]


@pytest.mark.slow
@pytest.mark.parametrize("frozen", ["layer_0/", "layer_1/"])
@pytest.mark.parametrize("mode", ["coupled", "decoupled"])
def test_a_frozen_layer_of_a_stack_does_not_move_and_the_others_do_as_without_it(arrays, frozen, mode):
    options = Options(weight_decay_mode=mode)
    part = walk(options, shapes=STACKED, groups=LAYERED, phase=replace(TRAIN, frozen=frozen))
    whole, still = walk(options, shapes=STACKED, groups=LAYERED), int(frozen[6])
    for path in ("bert/layers/kernel", "bert/layers/bias"):
        for layer in range(3):
            want = start_values(STACKED)[path] if layer == still else whole[path]
            np.testing.assert_allclose(part[path][layer], want[layer], rtol=1e-6, err_msg=f"{path} {layer}")


def test_frozen_layers_take_no_part_in_the_norm_that_is_clipped():
    # Parameters that are frozen whole have no gradient at all; that of a stack with a frozen layer is whole.
    stacked = {"shapes": STACKED, "groups": LAYERED}
    part = walk(Options(clip_norm=1.0), **stacked, phase=replace(TRAIN, frozen="layer_0/"))
    whole = walk(Options(clip_norm=1.0), **stacked)
    assert not np.allclose(part["head/bias"], whole["head/bias"], atol=1e-5)


def test_an_optimiser_of_optax_moves_what_is_trained_by_the_rate_and_no_frozen_layer():
    optimiser = from_optax(
        optax.chain(optax.add_decayed_weights(0.5), optax.sgd(0.1)), {"layers/kernel": ["all", None]}
    )
    params = {"layers/kernel": jnp.full((2, 3), 2.0)}
    moved, _ = optimiser.update({"layers/kernel": jnp.ones((2, 3))}, optimiser.init(params), params, jnp.float32(0.5))
    np.testing.assert_allclose(moved["layers/kernel"], [[2 - 0.5 * 0.1 * (1 + 0.5 * 2)] * 3, [2.0] * 3], rtol=1e-6)


def test_a_parameter_without_a_group_is_an_error():
    with pytest.raises(MethodError, match=r"parameter audio/kernel belongs to no group of \['text'\]"):
        groups_of(SHAPES, GROUPS[:1], TRAIN)
    with pytest.raises(MethodError, match="parameter bert/layer_2/kernel belongs to no group"):
        groups_of(STACKED, LAYERED[:1], TRAIN)


def test_a_frozen_parameter_needs_no_group():
    assert groups_of(SHAPES, GROUPS[:1], replace(TRAIN, frozen="^(audio|head)/"))["audio/kernel"] == [None]


def test_two_groups_of_one_name_are_an_error():
    with pytest.raises(MethodError, match="share a name"):
        groups_of(SHAPES, (GROUPS[0], GROUPS[0]), TRAIN)


def test_a_phase_that_trains_nothing_is_an_error():
    with pytest.raises(MethodError, match="phase second trains no parameter"):
        groups_of(SHAPES, GROUPS, replace(SECOND, trains="bias"))


# -- schedules --------------------------------------------------------------------------------------------------------


def factors(count: int, updates: int, **options) -> list[float]:
    factor = schedule(Options(**options), updates)
    return [float(factor(step)) for step in range(count)]


def test_constant_is_constant():
    assert factors(4, 3) == [1.0] * 4
    assert factors(4, 3, schedule="plateau") == [1.0] * 4  # its factor is decided between epochs


def test_warm_up_rises_in_equal_steps_and_never_begins_at_zero():
    assert factors(7, 10, warmup=0.4) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1])


def test_a_warm_up_of_one_update_changes_nothing():
    assert factors(3, 10, warmup=0.1) == pytest.approx([1, 1, 1])


def test_linear_falls_to_zero_behind_the_last_update():
    assert factors(5, 4, schedule="linear") == pytest.approx([1, 0.75, 0.5, 0.25, 0])


def test_linear_after_a_warm_up():
    assert factors(6, 6, schedule="linear", warmup=1 / 3) == pytest.approx([0.5, 1, 1, 0.75, 0.5, 0.25])


def test_cosine_is_half_a_wave():
    want = [(1 + math.cos(math.pi * step / 8)) / 2 for step in range(9)]
    assert factors(9, 8, schedule="cosine") == pytest.approx(want, abs=1e-6)


def test_the_rate_stays_zero_behind_the_end():
    assert factors(9, 4, schedule="linear")[4:] == [0.0] * 5


def test_a_single_update_has_a_schedule():
    for kind in ("constant", "linear", "cosine"):
        assert factors(1, 1, schedule=kind, warmup=0.5) == pytest.approx([1.0])
