"""A loop of one's own: what the engine does, with other objectives, columns and optimisers, and back to a predictor."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from msa_jax.data.batches import epoch_plan
from msa_jax.data.schema import Dataset
from msa_jax.errors import InputError
from msa_jax.methods.protocol import no_weights
from msa_jax.report.sharing import save
from msa_jax.train.own_loop import Loop, own_loop
from msa_jax.train.predictor import Predictor
from tests.quick import quick_jit
from tests.tiny import QUICK, TOY_QUICK, tiny_dataset, toy, train_quick  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("toy")
DATA = tiny_dataset(modalities=("audio", "vision"))
AUDIO = tiny_dataset(modalities=("audio",))


def loop_of(method: str = "self_mm", data: Dataset = DATA, **options) -> Loop:
    return own_loop(method, data, preset="none", options={**QUICK, **options})


def start(loop: Loop, key):
    return quick_jit(loop.start)(key, loop.given)


def epoch_of(loop: Loop, state, rows):
    """One epoch of mini-batches `rows` [M, B], with the keys of the engine."""
    data = jax.tree.map(jnp.asarray, loop.columns["train"])

    def step(state, numbered):
        number, rows = numbered
        of_step, of_batch = loop.keys(state, number)
        return loop.step(state, loop.batch(data, rows, state, of_batch), of_step)

    state, measured = jax.lax.scan(step, state, (jnp.arange(len(rows)), rows))
    return loop.end_epoch(state, {name: mean.mean() for name, mean in measured.means.items()}), measured


def rows_of(loop: Loop, seed: int):
    plan = epoch_plan(len(loop.columns["train"]["label"]), loop.options.batch_size, seed=seed, epoch=1)
    assert (plan.weight == 1).all()
    return jnp.asarray(plan.rows)


LOSING = {"modality_dropout": 0.5, "step_dropout": 0.3}


@pytest.mark.usefixtures("compiled_quickly")  # Adam makes steps of what two ways to compile differ by
@pytest.mark.parametrize(
    ("method", "data", "options"),
    [
        ("toy", AUDIO, {}),
        pytest.param("self_mm", DATA, {}, marks=pytest.mark.slow),
        pytest.param("lf_dnn", DATA, LOSING, marks=pytest.mark.slow),  # with statistics
        pytest.param("text_only", tiny_dataset(modalities=("text",)), {"pack_text": False}, marks=pytest.mark.slow),
    ],
)
def test_an_epoch_of_a_loop_of_ones_own_is_one_of_the_engine(tmp_path, method, data, options):
    options = {**options, "max_epochs": 1}
    run = train_quick(method, data, tmp_path / "run", seeds=(3,), options=options)
    expected = Predictor.load(run.path).variables[3].params
    loop = loop_of(method, data, **options)
    state, _ = quick_jit(partial(epoch_of, loop))(start(loop, jax.random.key(3)), rows_of(loop, 3))
    assert set(state.params) == set(expected)
    for path, leaf in expected.items():
        np.testing.assert_allclose(state.params[path], leaf, atol=1e-6, err_msg=path)
    assert state.epoch == 2


@pytest.mark.slow
def test_states_of_several_seeds_can_be_mapped():
    loop = loop_of("toy", AUDIO, **{**TOY_QUICK, "batch_size": 8})
    seeds = jnp.arange(3)
    rows = jnp.stack([rows_of(loop, int(seed)) for seed in seeds])
    states = quick_jit(jax.vmap(lambda seed: loop.start(jax.random.key(seed))))(seeds)
    states, _ = quick_jit(jax.vmap(partial(epoch_of, loop)))(states, rows)
    alone, _ = quick_jit(partial(epoch_of, loop))(start(loop, jax.random.key(2)), rows[2])
    for path, leaf in alone.params.items():
        np.testing.assert_allclose(states.params[path][2], leaf, atol=1e-5, err_msg=path)


def test_an_objective_reads_columns_of_ones_own_and_an_optimiser_of_optax_moves_the_parameters():
    def weighted(step, options, inputs):
        error = (step.outputs["prediction"] - step.batch["label"]) ** 2
        return {"multimodal": error * step.batch["reliability"]}, step.memory

    loop = loop_of("toy", AUDIO).with_objective(weighted, batch_terms=(), weights=no_weights)
    loop = loop.with_optimiser(optax.sgd(0.1))
    count = len(loop.columns["train"]["label"])
    data = {**loop.columns["train"], "reliability": np.zeros(count, np.float32)}
    state = start(loop, jax.random.key(0))
    key, rows = jax.random.key(1), np.arange(8)

    @quick_jit
    def step(data, state):
        return loop.step(state, loop.batch(data, rows, state, key), key)

    same, measured = step(data, state)
    assert measured.means["loss"] == 0
    for path, leaf in state.params.items():
        np.testing.assert_array_equal(same.params[path], leaf, err_msg=path)  # plain descent along no gradient
    moved, _ = step({**data, "reliability": np.ones(count, np.float32)}, state)
    assert any(not np.array_equal(moved.params[path], leaf) for path, leaf in state.params.items())


def test_a_sample_of_weight_zero_does_not_count_in_a_batch_of_ones_own():
    loop = loop_of("toy", AUDIO)
    state, key = start(loop, jax.random.key(0)), jax.random.key(1)
    batch = loop.batch(loop.columns["train"], np.arange(4), state, key, weight=np.array([1, 1, 1, 0]))
    assert quick_jit(loop.step)(state, batch, key)[1].count == 3


def test_a_loop_of_ones_own_ends_in_a_folder_that_predicts(tmp_path):
    loop = loop_of("lf_dnn")
    state = start(loop, jax.random.key(5))
    predictor = loop.predictor({5: state})
    scores = predictor.predict(DATA.test)
    np.testing.assert_allclose(loop.outputs(state, loop.columns["test"])["prediction"], scores, atol=1e-6)
    out = save(predictor, tmp_path / "saved").path
    np.testing.assert_array_equal(Predictor.load(out).predict(DATA.test), scores)
    card = (out / "README.md").read_text()
    assert "were not measured" in card
    assert "scores above" not in card
    assert "that msa_jax trained" not in card
    assert '"precision": "float32"' in (out / "config.json").read_text()  # what `auto` has come to
    assert str(tmp_path) not in card + (out / "config.json").read_text()


def test_variables_of_a_predictor_can_be_changed_and_saved(tmp_path):
    loop = loop_of("lf_dnn")
    predictor = loop.predictor({1: start(loop, jax.random.key(1))})
    before = predictor.predict(DATA.test)
    params, statistics = predictor.variables[1]
    other = predictor.with_variables(
        {1: type(predictor.variables[1])({k: 2 * v for k, v in params.items()}, statistics)}
    )
    after = other.predict(DATA.test)
    assert not np.allclose(before, after)
    np.testing.assert_array_equal(predictor.predict(DATA.test), before)
    np.testing.assert_array_equal(Predictor.load(save(other, tmp_path / "other").path).predict(DATA.test), after)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda params: {**params, "scor/bias": np.zeros(1)}, "variables 1: scor/bias is no path of this network"),
        (lambda params: {}, "variables 1: .* is missing"),
        (
            lambda params: {path: leaf.astype(np.float16) for path, leaf in params.items()},
            r"is float16 \[.*expected float32",
        ),
        (
            lambda params: {path: np.zeros((*np.shape(leaf), 2), np.float32) for path, leaf in params.items()},
            r"is float32 \[.*, 2\]; expected float32 \[",
        ),
    ],
)
def test_variables_of_another_network_are_refused(change, message):
    loop = loop_of("lf_dnn")
    predictor = loop.predictor({1: start(loop, jax.random.key(1))})
    params, statistics = predictor.variables[1]
    with pytest.raises(InputError, match=message):
        predictor.with_variables({1: type(predictor.variables[1])(change(params), statistics)})


def test_variables_that_are_not_finite_are_not_saved(tmp_path):
    loop = loop_of("lf_dnn")
    state = start(loop, jax.random.key(1))
    state = state.replace(params={path: leaf * jnp.nan for path, leaf in state.params.items()})
    with pytest.raises(InputError, match="has NaN or infinite values"):
        save(loop.predictor({1: state}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accumulate": 2}, "option accumulate is 2, which only the engine follows; a loop of one's own needs 1"),
        ({"schedule": "plateau"}, "option schedule is plateau"),
    ],
)
def test_what_only_the_engine_does_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        loop_of("toy", AUDIO, **options)


def test_states_that_are_no_single_run_make_no_predictor():
    loop = loop_of("toy", AUDIO)
    states = quick_jit(jax.vmap(lambda seed: loop.start(jax.random.key(seed))))(jnp.arange(2))
    with pytest.raises(InputError, match=r"variables 1: .* is float32 \[2, .*expected float32 \["):
        loop.predictor({1: states})
    with pytest.raises(InputError, match="there are no variables"):
        loop.predictor({})


def test_a_method_of_several_stages_asks_which_and_a_stage_begins_with_what_it_asks_for():
    data = tiny_dataset(modalities=("text", "audio", "vision"))
    with pytest.raises(InputError, match="stage is None; expected one of text_head, text, audio, vision, fusion"):
        loop_of("confede", data)
    loop = own_loop("confede", data, stage="fusion", preset="none", options=QUICK)
    key = jax.random.key(1)
    state = jax.eval_shape(loop.start, key)
    batch = jax.eval_shape(lambda state: loop.batch(loop.columns["train"], jnp.arange(4), state, key), state)
    assert batch["label"].shape[0] > 4, "no partners"


@pytest.mark.slow
def test_a_stage_begins_with_the_memory_that_it_asks_for():
    data = tiny_dataset(modalities=("text", "audio", "vision"))
    loop = own_loop("confede", data, stage="fusion", preset="none", options=QUICK)
    state = start(loop, jax.random.key(0))
    begun = loop.begin(state)
    rows, key = jnp.arange(4), jax.random.key(1)
    before, after = (
        np.asarray(loop.batch(loop.columns["train"], rows, of, key)["row"]).reshape(4, -1) for of in (state, begun)
    )
    assert (before == before[:, :1]).all()  # nothing is ranked yet
    assert (after[:, 1:] != after[:, :1]).any()


@pytest.mark.slow
def test_phases_of_a_stage_share_a_state():
    options = {**QUICK, "training": "alternating"}
    loops = {
        name: own_loop("mmim", tiny_dataset(), phase=name, preset="none", options=options) for name in ("bound", "task")
    }
    state, moved = start(loops["bound"], jax.random.key(0)), {}
    for name, loop in loops.items():
        of_step, of_batch = loop.keys(state, 0)
        data = loop.columns["train"]
        after, measured = quick_jit(loop.step)(state, loop.batch(data, np.arange(8), state, of_batch), of_step)
        moved[name] = {path for path in state.params if not np.array_equal(after.params[path], state.params[path])}
        state = quick_jit(partial(loop.end_epoch, last=name == "task"))(after, measured.means)
        assert state.updates[name] == 1
    assert moved["bound"]
    assert not moved["bound"] & moved["task"]
    assert state.epoch == 2
