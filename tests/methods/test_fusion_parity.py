"""LMF, LF-DNN and the multi-task forms in the reference protocol against an independent PyTorch derivation: eight updates of
training by the engine's own programs, and golden files of other sizes."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from msa_jax import config, methods
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from tests import golden_mmsa
from tests.golden.copying import copied
from tests.golden.lmf import BARE
from tests.golden.tfn import HEADS, PLACES, SUBNETWORKS
from tests.methods.one_run import OneRun

torch = pytest.importorskip("torch")

from tests.reference import fusion_torch  # noqa: E402
from tests.reference.tfn_torch import Sizes  # noqa: E402

torch.set_num_threads(1)  # its threads and those of XLA would wait for each other

# Quickly, such networks are shown by test_fusion_networks, test_memory_methods and test_ef_lstm.
pytestmark = pytest.mark.slow

ROWS, BATCH, RANK, RATE, FACTOR_RATE = 36, 9, 4, 2e-3, 5e-4
STEPS = {"text": 5, "audio": 8, "vision": 3}
SIZES = Sizes(text=11, audio=4, vision=7, text_hidden=6, text_size=3, audio_size=5, vision_size=2, fusion_hidden=10)
HEAD_SIZES = fusion_torch.HeadSizes(text=4, audio=3, video=6)
DECAY = {"text_subnet": 1e-2, "audio_subnet": 3e-3, "video_subnet": 5e-2, "other": 2e-2}
WEIGHTS = {"M": 0.6, "T": 0.4, "A": 0.8, "V": 1.3}
LABELS = {"M": "label", "T": "label_t", "A": "label_a", "V": "label_v"}


class Case(NamedTuple):
    """A method, whether it has factors, and whether it has a task for each modality."""

    name: str
    factors: bool
    tasks: bool

    @property
    def places(self) -> dict[str, str]:
        """Where MMSA's modules are in ours."""
        return {**(SUBNETWORKS if self.factors else PLACES), **(HEADS if self.tasks else {})}


CASES = [
    Case("mlmf", factors=True, tasks=True),
    pytest.param(Case("mtfn", factors=False, tasks=True), marks=pytest.mark.slow),
    pytest.param(Case("lmf", factors=True, tasks=False), marks=pytest.mark.slow),
    pytest.param(Case("lf_dnn", factors=False, tasks=False), marks=pytest.mark.slow),
    pytest.param(Case("mlf_dnn", factors=False, tasks=True), marks=pytest.mark.slow),
]
parametrised = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    made = {name: rng.normal(size=(ROWS, steps, getattr(SIZES, name))) for name, steps in STEPS.items()}
    made["audio"] = 30 * made["audio"] + 5  # features of different scales, as real ones are
    made |= {column: rng.uniform(-3, 3, ROWS) for column in LABELS.values()}
    return {name: value.astype(np.float32) for name, value in made.items()}


def twin(case: Case) -> torch.nn.Module:
    torch.manual_seed(0)
    if case.factors:
        model = fusion_torch.LMFTorch(SIZES, RANK)
    else:
        model = fusion_torch.SingleTFN(SIZES) if case.name == "mtfn" else fusion_torch.LFDNNTorch(SIZES)
    if case.tasks:
        fusion_torch.with_heads(model, SIZES, HEAD_SIZES)
    with torch.no_grad():  # running statistics and norms that are not those of a fresh network
        for norm in (model.audio_subnet.norm, model.video_subnet.norm):
            norm.weight.uniform_(0.5, 2)
            norm.bias.normal_()
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 3)
    return model


def scores(model: torch.nn.Module, given: dict[str, np.ndarray]) -> dict[str, Any]:
    return fusion_torch.scores(model, *(torch.tensor(given[name]) for name in STEPS))


def weights(model: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in model.state_dict().items()}


def optimiser(model: torch.nn.Module, case: Case) -> torch.optim.Optimizer:
    """MMSA's: a decay for each sub-network, a learning rate for the factors, and nothing for what weighs their products."""
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        owner = name.split(".")[0]
        if owner in ("fusion_weights", "fusion_bias"):
            continue
        decay = DECAY["other" if not case.tasks or owner not in DECAY else owner]
        rate = FACTOR_RATE if owner.endswith("_factor") else RATE
        group = groups.setdefault(f"{decay} {rate}", {"params": [], "weight_decay": decay, "lr": rate})
        group["params"].append(parameter)
    return torch.optim.Adam(groups.values())


def options_of(case: Case) -> Any:
    method = methods.get(case.name)
    names = ("text_hidden", "text_size", "audio_size", "vision_size", *(() if case.factors else ("fusion_hidden",)))
    known = config.flatten(method.options())
    changes: dict[str, Any] = {name: getattr(SIZES, name) for name in names}
    changes |= {name: 0.0 for name in known if name.startswith(("dropout.", "head_dropout."))}
    changes |= {f"learning_rate.{name}": RATE for name in ("audio", "vision", "other")}
    changes |= {"batch_size": BATCH, "max_tokens": STEPS["text"], "weight_decay.other": DECAY["other"]}
    if case.factors:
        changes |= {"rank": RANK, "learning_rate.factor": FACTOR_RATE}
    if case.tasks:
        changes |= {f"weights.{letter.lower()}": weight for letter, weight in WEIGHTS.items()}
        for ours, theirs in (("text", "text"), ("audio", "audio"), ("vision", "video")):
            changes[f"head_hidden.{ours}"] = getattr(HEAD_SIZES, theirs)
            changes[f"weight_decay.{'text_subnetwork' if ours == 'text' else ours}"] = DECAY[f"{theirs}_subnet"]
    else:
        changes |= {f"weight_decay.{name}": DECAY["other"] for name in ("audio", "vision")}
    return config.override(method.options(), {**method.reference, **changes})


def by_our_paths(named: dict[str, np.ndarray], case: Case) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Parameters and statistics of the twin as ours."""
    parameters, statistics = copied({name: value for name, value in named.items() if name not in BARE}, case.places)
    if case.factors:
        shapes = {name: (RANK, -1) if name.endswith("_factor") else (-1,) for name in BARE}
        parameters |= {path: named[name].reshape(shapes[name]) for name, path in BARE.items()}
    return parameters, statistics


@parametrised
def test_eight_updates_are_those_of_torch(case):
    given, model = arrays(), twin(case)
    parameters, statistics = by_our_paths(weights(model), case)
    frames = {
        name: {"features": given[name], "length": np.full(ROWS, STEPS[name], np.int32)} for name in ("audio", "vision")
    }
    text = {"features": given["text"], "mask": np.ones((ROWS, STEPS["text"]), np.int32)}
    data = {"text": text, **frames, **{column: given[column] for column in LABELS.values()}}
    inputs = Inputs(
        text=TextInput(width=SIZES.text, steps=STEPS["text"]),
        audio=SequenceInput(STEPS["audio"], SIZES.audio),
        vision=SequenceInput(STEPS["vision"], SIZES.vision),
        columns=("label_t", "label_a", "label_v"),
    )
    run = OneRun(methods.get(case.name), options_of(case), inputs, parameters, data, statistics=statistics)

    model.train()
    adam = optimiser(model, case)
    for seed in range(2):
        rows = np.random.default_rng(seed).permutation(ROWS).reshape(-1, BATCH).astype(np.int32)
        total = []
        for batch in rows:
            outputs = scores(model, {name: value[batch] for name, value in given.items()})
            loss = sum(
                (WEIGHTS[letter] if case.tasks else 1.0)
                * (outputs[letter] - torch.tensor(given[LABELS[letter]][batch])).abs().mean()
                for letter in LABELS
                if letter in outputs
            )
            adam.zero_grad()
            loss.backward()
            adam.step()
            total.append(loss.item())
        assert run.epoch(rows) == pytest.approx(np.mean(total), rel=1e-4)
    assert run.updates == 8

    expected, moved = by_our_paths(weights(model), case)
    ours, _ = run.now()
    assert set(ours) == set(expected)
    for path, value in expected.items():
        np.testing.assert_allclose(ours[path], value, atol=2e-4, err_msg=path)
        fixed = path in ("fusion/weights", "fusion/bias")
        assert np.array_equal(ours[path], parameters[path]) == fixed, path
    for path, value in moved.items():
        np.testing.assert_allclose(run.state.statistics[path][0], value, rtol=1e-4, atol=1e-5, err_msg=path)


@parametrised
def test_a_golden_file_of_other_sizes_agrees_until_a_weight_is_changed(case, tmp_path):
    given, model = arrays(), twin(case)
    given["label"] += 0.5  # as many scores above their labels as below give LMF's bias no gradient but rounding
    model.eval()
    outputs = scores(model, given)
    label = torch.tensor(given["label"])
    sum((outputs[letter] - label).abs().mean() for letter in LABELS if letter in outputs).backward()
    constants = {"output_range": 6.0, "output_shift": -3.0} if case.name == "mtfn" else {}
    file = {
        **{f"param/{name}": np.array([value], np.float32) for name, value in constants.items()},
        **{f"param/{name}": array for name, array in weights(model).items()},
        **{f"input/{name}": given[name] for name in (*STEPS, "label")},
        **{f"output/{name}": value.detach().numpy().reshape(ROWS, -1) for name, value in outputs.items()},
        **{f"grad/{name}": parameter.grad.numpy() for name, parameter in model.named_parameters()},
    }
    path = tmp_path / f"{case.name}_other.npz"
    np.savez(path, **file)
    assert golden_mmsa.main([str(path)]) == 0
    changed = "audio_factor" if case.factors else "text_subnet.linear_1.weight"
    file[f"param/{changed}"].flat[0] += 0.05
    np.savez(path, **file)
    assert golden_mmsa.main([str(path)]) == 1
