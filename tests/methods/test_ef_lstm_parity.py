"""EF-LSTM in the reference protocol against an independent PyTorch derivation: training, and files of other sizes."""

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from msa_jax import config
from msa_jax.methods import ef_lstm
from msa_jax.methods.protocol import STATISTICS, Inputs, SequenceInput, TextInput
from tests import golden_mmsa
from tests.golden.copying import copied, place
from tests.golden.ef_lstm import PLACES
from tests.methods.cases import step_of
from tests.quick import quick_jit

torch = pytest.importorskip("torch")

from tests.reference.ef_lstm_torch import EFLSTMTorch  # noqa: E402

torch.set_num_threads(1)  # its threads and those of XLA would wait for each other

# Quickly, such networks are shown by test_fusion_networks, test_memory_methods and test_ef_lstm.
pytestmark = pytest.mark.slow

ROWS, STEPS, RATE = 9, 6, 0.1
WIDTHS = {"text": 11, "audio": 4, "vision": 7}
SIZES = {"hidden": 5, "layers": 4}


def arrays(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    made = {name: rng.normal(size=(ROWS, STEPS, width)) for name, width in WIDTHS.items()}
    made["audio"] = 3 * made["audio"] + 1  # features of different scales, as real ones are
    made["label"] = rng.uniform(-3, 3, ROWS)
    return {name: value.astype(np.float32) for name, value in made.items()}


def twin() -> EFLSTMTorch:
    torch.manual_seed(0)
    model = EFLSTMTorch(STEPS, sum(WIDTHS.values()), **SIZES)
    with torch.no_grad():  # running statistics and a norm that are not those of a fresh network
        model.norm.weight.uniform_(0.5, 2)
        model.norm.bias.normal_()
        model.norm.running_mean.normal_()
        model.norm.running_var.uniform_(0.5, 3)
    return model


def weights(model: EFLSTMTorch) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in model.state_dict().items()}


def gradients(model: EFLSTMTorch) -> dict[str, np.ndarray]:
    return {name: parameter.grad.numpy().copy() for name, parameter in model.named_parameters()}


def score(model: EFLSTMTorch, given: dict[str, np.ndarray]) -> np.ndarray:
    """The scores; the gradients of the mean absolute error are left at the parameters."""
    value = model(*(torch.tensor(given[name]) for name in WIDTHS))
    model.zero_grad()
    (value - torch.tensor(given["label"])).abs().mean().backward()
    return value.detach().numpy()


def test_five_updates_leave_the_scores_weights_and_running_statistics_of_torch():
    model = twin()
    model.train()
    optimiser = torch.optim.SGD(model.parameters(), RATE)
    changes = {**ef_lstm.METHOD.reference, **SIZES, "dropout": 0.0, "max_tokens": STEPS}
    inputs = Inputs(
        text=TextInput(width=WIDTHS["text"], steps=STEPS),
        **{name: SequenceInput(STEPS, WIDTHS[name]) for name in ("audio", "vision")},
        aligned=True,
    )
    network = ef_lstm.EFLSTMNetwork(config.override(ef_lstm.EFLSTMOptions(), changes), inputs)

    def loss(params, statistics, batch):
        outputs, moved = network.apply(
            {"params": params, STATISTICS: statistics}, batch, train=True, mutable=[STATISTICS]
        )
        terms, _ = ef_lstm.objective(step_of(outputs, batch), network.options, inputs)
        return terms["multimodal"].mean(), (outputs["prediction"], moved[STATISTICS])

    run = quick_jit(jax.grad(loss, has_aux=True))
    params, statistics = (unflatten_dict(given, sep="/") for given in copied(weights(model), PLACES))
    for seed in range(5):
        given = arrays(seed)
        # The lengths are those of the sentences; all steps are read nonetheless.
        length = np.random.default_rng(seed).integers(1, STEPS + 1, ROWS).astype(np.int32)
        batch = {
            "text": {"features": given["text"], "mask": (np.arange(STEPS) < length[:, None]).astype(np.int32)},
            **{
                name: {"features": given[name], "length": np.full(ROWS, STEPS, np.int32)}
                for name in ("audio", "vision")
            },
            "label": given["label"],
        }
        gradient, (prediction, statistics) = run(params, statistics, batch)
        np.testing.assert_allclose(prediction, score(model, given), atol=2e-5)
        for name, value in gradients(model).items():
            path, transposed = place(name, value.ndim, PLACES)
            ours = np.asarray(flatten_dict(gradient, sep="/")[path])
            np.testing.assert_allclose(ours.T if transposed else ours, value, rtol=1e-3, atol=2e-5, err_msg=name)
        params = jax.tree.map(lambda value, slope: value - RATE * slope, params, gradient)
        optimiser.step()
    for ours, theirs in zip((params, statistics), copied(weights(model), PLACES), strict=True):
        for path, value in theirs.items():
            np.testing.assert_allclose(flatten_dict(ours, sep="/")[path], value, rtol=1e-4, atol=2e-5, err_msg=path)


def test_a_golden_file_of_other_sizes_agrees_until_a_weight_is_changed(tmp_path):
    model, given = twin(), arrays(4)
    model.eval()
    value = score(model, given)
    file = {
        **{f"param/{name}": array for name, array in weights(model).items()},
        **{f"input/{name}": array for name, array in given.items()},
        "output/M": value[:, None],
        **{f"grad/{name}": array for name, array in gradients(model).items()},
    }
    path = tmp_path / "ef_lstm.npz"
    np.savez(path, **file)
    assert golden_mmsa.main([str(path)]) == 0
    file["param/lstm.weight_hh_l2"][0, 0] += 0.1
    np.savez(path, **file)
    assert golden_mmsa.main([str(path)]) == 1
