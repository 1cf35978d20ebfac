"""Adam with parameter groups, against torch.optim and against numbers written out by hand."""

import math

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from msa_jax.config import Options
from msa_jax.methods.protocol import Group, Stage
from msa_jax.train.optimiser import assign_groups, build_optimiser, schedule

GROUPS = (
    Group(name="text", pattern="^text", learning_rate=0.01, weight_decay=0.1),
    Group(name="rest", pattern="", learning_rate=0.003, weight_decay=0.02),
)
PATHS = ["text/kernel", "text/bias", "audio/kernel", "head/bias"]
TRAIN = Stage(name="train")


def start_values() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {path: rng.normal(size=(3, 2) if "kernel" in path else 2).astype(np.float32) for path in PATHS}


def gradients(steps: int = 10, scale: float = 1.0) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    # Sizes that change from step to step: Adam alone does not see a constant factor.
    return [
        {
            path: (scale * 2.0 ** (-step) * rng.normal(size=value.shape)).astype(np.float32)
            for path, value in start_values().items()
        }
        for step in range(steps)
    ]


def walk(
    options: Options, *, stage: Stage = TRAIN, updates: int = 10, grads: list | None = None
) -> dict[str, np.ndarray]:
    """The parameters after all steps."""
    assigned = assign_groups(PATHS, GROUPS, stage)
    params = {path: jnp.asarray(value) for path, value in start_values().items() if assigned[path] is not None}
    optimiser = build_optimiser(options, GROUPS, assigned, updates)
    state = optimiser.init(params)
    for gradient in gradients() if grads is None else grads:
        changes, state = optimiser.update({path: gradient[path] for path in params}, state, params)
        params = optax.apply_updates(params, changes)
    return {path: np.asarray(value) for path, value in params.items()}


def torch_walk(
    kind: str, *, clip: float | None = None, factor=None, grads: list | None = None
) -> dict[str, np.ndarray]:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    params = {path: torch.nn.Parameter(torch.tensor(value)) for path, value in start_values().items()}
    groups = [
        {"params": [params["text/kernel"], params["text/bias"]], "lr": 0.01, "weight_decay": 0.1},
        {"params": [params["audio/kernel"], params["head/bias"]], "lr": 0.003, "weight_decay": 0.02},
    ]
    optimiser = getattr(torch.optim, kind)(groups)
    rates = [group["lr"] for group in groups]
    for step, gradient in enumerate(gradients() if grads is None else grads):
        for path, param in params.items():
            param.grad = torch.tensor(gradient[path])
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(list(params.values()), clip)
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * (factor(step) if factor else 1.0)
        optimiser.step()
    return {path: param.detach().numpy() for path, param in params.items()}


def assert_same(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> None:
    assert got.keys() == want.keys()
    for path, value in want.items():
        np.testing.assert_allclose(got[path], value, rtol=2e-5, atol=2e-6, err_msg=path)
        assert not np.isclose(value, start_values()[path], atol=1e-4).any()  # everything has moved


# -- against torch ----------------------------------------------------------------------------------------------------


def test_coupled_weight_decay_is_that_of_torch_adam():
    assert_same(walk(Options(weight_decay_mode="coupled")), torch_walk("Adam"))


def test_decoupled_weight_decay_is_that_of_torch_adamw():
    assert_same(walk(Options(weight_decay_mode="decoupled")), torch_walk("AdamW"))


def test_the_two_kinds_of_weight_decay_differ():
    coupled, decoupled = (walk(Options(weight_decay_mode=mode)) for mode in ("coupled", "decoupled"))
    assert not np.allclose(coupled["text/kernel"], decoupled["text/kernel"], atol=1e-3)


def test_clipping_scales_all_gradients_by_one_norm_as_torch_does():
    # The first gradients are longer than 1, the last ones shorter.
    assert_same(walk(Options(clip_norm=1.0)), torch_walk("AdamW", clip=1.0))
    assert not np.allclose(walk(Options(clip_norm=1.0))["text/bias"], walk(Options())["text/bias"], atol=1e-5)


def test_a_schedule_multiplies_the_rates_of_all_groups():
    def factor(step: int) -> float:
        return 0.5 if step == 0 else 1.0 if step == 1 else 1 - (step - 2) / 8

    assert_same(walk(Options(schedule="linear", warmup=0.2)), torch_walk("AdamW", factor=factor))


# -- groups -----------------------------------------------------------------------------------------------------------


def test_without_decay_the_first_step_is_as_long_as_the_learning_rate_of_the_group():
    groups = tuple(Group(name=g.name, pattern=g.pattern, learning_rate=g.learning_rate) for g in GROUPS)
    assigned = assign_groups(PATHS, groups, TRAIN)
    params = {path: jnp.asarray(value) for path, value in start_values().items()}
    optimiser = build_optimiser(Options(), groups, assigned, 10)
    changes, _ = optimiser.update(
        {path: jnp.asarray(g) for path, g in gradients()[0].items()}, optimiser.init(params), params
    )
    for path, rate in zip(PATHS, (0.01, 0.01, 0.003, 0.003), strict=True):
        np.testing.assert_allclose(changes[path], -rate * np.sign(gradients()[0][path]), rtol=1e-5)


def test_the_first_group_that_matches_counts():
    assert assign_groups(["text/bias", "x/text"], GROUPS, TRAIN) == {"text/bias": "text", "x/text": "rest"}


def test_frozen_parameters_have_no_group_and_do_not_move():
    stage = Stage(name="second", frozen="^text/|bias$")
    assigned = assign_groups(PATHS, GROUPS, stage)
    assert assigned == {"text/kernel": None, "text/bias": None, "audio/kernel": "rest", "head/bias": None}
    moved = walk(Options(), stage=stage)
    assert list(moved) == ["audio/kernel"]
    np.testing.assert_allclose(moved["audio/kernel"], walk(Options())["audio/kernel"], rtol=1e-6)


def test_frozen_parameters_take_no_part_in_the_norm_that_is_clipped():
    alone = walk(Options(clip_norm=1.0), stage=Stage(name="second", frozen="^text/|bias$"))
    together = walk(Options(clip_norm=1.0))
    assert not np.allclose(alone["audio/kernel"], together["audio/kernel"], atol=1e-5)


def test_a_parameter_without_a_group_is_an_error():
    with pytest.raises(ValueError, match="parameter audio/kernel belongs to no group of \\['text'\\]"):
        assign_groups(PATHS, GROUPS[:1], TRAIN)


def test_a_frozen_parameter_needs_no_group():
    stage = Stage(name="second", frozen="^(audio|head)/")
    assert assign_groups(PATHS, GROUPS[:1], stage)["audio/kernel"] is None


def test_two_groups_of_one_name_are_an_error():
    with pytest.raises(ValueError, match="share a name"):
        assign_groups(PATHS, (GROUPS[0], GROUPS[0]), TRAIN)


# -- schedules --------------------------------------------------------------------------------------------------------


def factors(count: int, updates: int, **options) -> list[float]:
    factor = schedule(Options(**options), updates)
    return [float(factor(step)) for step in range(count)]


def test_constant_is_constant():
    assert factors(4, 3) == [1.0] * 4


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
