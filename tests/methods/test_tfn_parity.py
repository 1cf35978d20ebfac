"""TFN in the reference protocol against an independent PyTorch derivation: training mode, and files of other sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from msa_jax import config
from msa_jax.methods import tfn
from msa_jax.methods.protocol import STATISTICS, Clock, Inputs, SequenceInput, Step, TextInput
from tests import golden_mmsa
from tests.golden.copying import copied, place
from tests.golden.tfn import PLACES
from tests.quick import quick_jit

torch = pytest.importorskip("torch")

from tests.reference.tfn_torch import Sizes, TFNTorch  # noqa: E402

torch.set_num_threads(1)  # its threads and those of XLA would wait for each other

ROWS = 9
STEPS = {"text": 5, "audio": 8, "vision": 3}
SIZES = Sizes(text=11, audio=4, vision=7, text_hidden=6, text_size=3, audio_size=5, vision_size=2, fusion_hidden=10)
OPTIONS = {
    name: getattr(SIZES, name) for name in ("text_hidden", "text_size", "audio_size", "vision_size", "fusion_hidden")
}


def arrays(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    made = {name: rng.normal(size=(ROWS, steps, getattr(SIZES, name))) for name, steps in STEPS.items()}
    made["audio"] = 30 * made["audio"] + 5  # features of different scales, as real ones are
    made["label"] = rng.uniform(-3, 3, ROWS)
    return {name: value.astype(np.float32) for name, value in made.items()}


def twin() -> TFNTorch:
    torch.manual_seed(0)
    model = TFNTorch(SIZES)
    with torch.no_grad():  # running statistics and norms that are not those of a fresh network
        for norm in (model.audio_subnet.norm, model.video_subnet.norm):
            norm.weight.uniform_(0.5, 2)
            norm.bias.normal_()
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 3)
    return model


def weights(model: TFNTorch) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in model.state_dict().items()}


def gradients(model: TFNTorch) -> dict[str, np.ndarray]:
    return {name: parameter.grad.numpy().copy() for name, parameter in model.named_parameters()}


def score(model: TFNTorch, given: dict[str, np.ndarray]):
    value, features = model(*(torch.tensor(given[name]) for name in ("text", "audio", "vision")))
    model.zero_grad()
    (value - torch.tensor(given["label"])).abs().mean().backward()
    return value.detach().numpy(), features


def test_three_training_steps_have_the_scores_gradients_and_running_statistics_of_torch():
    model = twin()
    model.train()
    parameters, statistics = copied(weights(model), PLACES)
    statistics = unflatten_dict(statistics, sep="/")
    rates = dict.fromkeys(("dropout.audio", "dropout.vision", "dropout.fusion"), 0.0)
    options = config.override(tfn.TFNOptions(), {**tfn.REFERENCE, **OPTIONS, **rates, "max_tokens": STEPS["text"]})
    inputs = Inputs(
        text=TextInput(width=SIZES.text, steps=STEPS["text"]),
        audio=SequenceInput(STEPS["audio"], SIZES.audio),
        vision=SequenceInput(STEPS["vision"], SIZES.vision),
    )
    network = tfn.TFNNetwork(options, inputs)

    def step(params, statistics, batch):
        outputs, moved = network.apply(
            {"params": params, STATISTICS: statistics}, batch, train=True, mutable=[STATISTICS]
        )
        terms, _ = tfn.objective(
            Step(outputs, batch, {}, Clock(jnp.int32(1), jnp.int32(0)), jax.random.key(0), {}), options, inputs
        )
        return terms["multimodal"].mean(), (outputs["prediction"], moved[STATISTICS])

    run = quick_jit(jax.grad(step, has_aux=True))
    for seed in range(3):
        given = arrays(seed)
        frames = {
            name: {"features": given[name], "length": np.full(ROWS, STEPS[name], np.int32)}
            for name in ("audio", "vision")
        }
        text = {"features": given["text"], "mask": np.ones((ROWS, STEPS["text"]), np.int32)}
        batch = {"text": text, **frames, "label": given["label"], "weight": np.ones(ROWS, np.float32)}
        gradient, (prediction, statistics) = run(unflatten_dict(parameters, sep="/"), statistics, batch)
        expected, _ = score(model, given)
        np.testing.assert_allclose(prediction, expected, atol=2e-5)
        flat = flatten_dict(gradient, sep="/")
        for name, value in gradients(model).items():
            path, transposed = place(name, value.ndim, PLACES)
            ours = np.asarray(flat[path])
            np.testing.assert_allclose(ours.T if transposed else ours, value, rtol=1e-3, atol=2e-5, err_msg=name)
        _, theirs = copied(weights(model), PLACES)
        for path, value in theirs.items():
            np.testing.assert_allclose(
                flatten_dict(statistics, sep="/")[path], value, rtol=1e-5, atol=1e-6, err_msg=path
            )


def test_a_golden_file_of_other_sizes_agrees_until_a_weight_is_changed(tmp_path):
    model, given = twin(), arrays(4)
    model.eval()
    value, features = score(model, given)
    file = {
        "param/output_range": np.array([6.0], np.float32),
        "param/output_shift": np.array([-3.0], np.float32),
        **{f"param/{name}": array for name, array in weights(model).items()},
        **{f"input/{name}": array for name, array in given.items()},
        "output/M": value[:, None],
        **{f"output/{name}": array.detach().numpy() for name, array in features.items()},
        **{f"grad/{name}": array for name, array in gradients(model).items()},
    }
    path = tmp_path / "tfn.npz"
    np.savez(path, **file)
    assert golden_mmsa.main([str(path)]) == 0
    file["param/text_subnet.linear_1.weight"][0, 0] += 0.01
    np.savez(path, **file)
    assert golden_mmsa.main([str(path)]) == 1
