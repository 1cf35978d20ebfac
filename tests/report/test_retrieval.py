"""Finding the own target: known answers, and a study of it from finished runs."""

import numpy as np
import pytest

from msa_jax import methods
from msa_jax.errors import InputError
from msa_jax.report import retrieval as module
from msa_jax.report import studies
from msa_jax.report.retrieval import pairs, retrieval
from msa_jax.report.studies import reproduce
from tests.report.studies_kit import exporting, pretend_to_train, write_study
from tests.tiny import tiny_dataset

RNG = np.random.default_rng(0)
SIGNS = RNG.integers(-1, 2, 90)


@pytest.fixture(autouse=True)
def _same_draws():
    """Whichever tests run before."""
    RNG.bit_generator.state = np.random.default_rng(1).bit_generator.state


@pytest.fixture(params=[512, 7])
def block(request, monkeypatch):
    """The whole matrix at once, or a few rows at a time."""
    monkeypatch.setattr(module, "BLOCK", request.param)


def by_hand(predicted, latent, groups):
    """Places in a loop, for vectors without ties."""
    unit = lambda x: x / np.linalg.norm(x)  # noqa: E731
    places, nearer, inner = [], [], []
    for row, p in enumerate(predicted):
        cosine = np.array([unit(p) @ unit(g) for g in latent])
        places.append(1 + sum(cosine > cosine[row]))
        others = [i for i in range(len(latent)) if i != row]
        nearer.append(np.mean([cosine[i] < cosine[row] for i in others]))
        inner.append(np.mean([cosine[i] < cosine[row] for i in others if groups[i] == groups[row]]))
    places = np.array(places)
    return {
        "top_1": np.mean(places == 1),
        "top_5": np.mean(places <= 5),
        "reciprocal_rank": np.mean(1 / places),
        "nearer": np.mean(nearer),
        "nearer_in_group": np.mean(inner),
    }


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("noise", [0.5, 2.0, 100.0])
def test_places_are_those_of_a_loop(noise):
    latent = RNG.normal(size=(90, 6)) + SIGNS[:, None]
    predicted = latent + noise * RNG.normal(size=(90, 6))
    found = retrieval(predicted, 5 * latent, groups=SIGNS)
    for key, want in by_hand(predicted, latent, SIGNS).items():
        assert found[key] == pytest.approx(want, rel=1e-9), key


def test_a_prediction_that_is_its_target_is_found():
    latent = RNG.normal(size=(90, 8)).astype(np.float32)
    found = retrieval(3 * latent, latent, groups=SIGNS)
    for key in ("top_1", "top_5", "reciprocal_rank", "nearer", "nearer_in_group"):
        assert found[key] == 1, key
    assert found["rank_predicted"] == pytest.approx(found["rank_latent"], rel=1e-5)
    assert found["rank_latent"] > 7


def test_predictions_of_nothing_are_near_chance():
    count = 400
    predicted, latent = RNG.normal(size=(2, count, 16))
    found = retrieval(predicted, latent, groups=np.sign(RNG.normal(size=count)))
    assert found["nearer"] == pytest.approx(0.5, abs=0.05)
    assert found["nearer_in_group"] == pytest.approx(0.5, abs=0.05)
    assert found["top_5"] == pytest.approx(found["chance_top_5"], abs=0.02)
    assert found["reciprocal_rank"] == pytest.approx(found["chance_reciprocal_rank"], abs=0.015)
    assert found["chance_top_1"] == 1 / count
    assert found["chance_top_5"] == 5 / count
    assert found["chance_reciprocal_rank"] == pytest.approx(np.mean([1 / place for place in range(1, count + 1)]))


def test_vectors_that_have_collapsed_are_at_chance_exactly():
    """Every target is as near as the own one, which must not count as found."""
    one = np.repeat(RNG.normal(size=(1, 12)), 40, axis=0).astype(np.float32)
    found = retrieval(one, one, groups=np.repeat([0, 1], 20))
    for key in ("top_1", "top_5", "reciprocal_rank"):
        assert found[key] == pytest.approx(found[f"chance_{key}"], rel=1e-9), key
    assert (found["nearer"], found["nearer_in_group"]) == (0.5, 0.5)
    assert (found["rank_predicted"], found["rank_latent"]) == pytest.approx((1, 1), abs=1e-5)
    assert found["uniformity"] == pytest.approx(0, abs=1e-6)


def test_knowing_the_sentiment_alone_is_not_knowing_the_sample():
    """Each sign at a place of its own: nearer than other samples, and not among those of the same sign."""
    places = np.linalg.qr(RNG.normal(size=(9, 9)))[0][:3]
    latent = places[SIGNS + 1] + 0.01 * RNG.normal(size=(90, 9))
    found = retrieval(places[SIGNS + 1], latent, groups=SIGNS)
    assert found["nearer"] > 0.75
    assert found["nearer_in_group"] == pytest.approx(0.5, abs=0.1)
    assert found["top_1"] < 0.1


def test_uniformity_is_the_mean_of_both_sides():
    found = retrieval(np.eye(4), np.ones((4, 4)))
    assert found["uniformity_predicted"] == pytest.approx(-4)  # every pair at squared distance 2, kappa 2
    assert found["uniformity_latent"] == pytest.approx(0, abs=1e-9)
    assert found["uniformity"] == pytest.approx(-2)
    assert found["nearer_in_group"] is None


def test_one_row_and_groups_of_one_have_no_others():
    alone = retrieval(np.ones((1, 3)), np.ones((1, 3)), groups=np.array([1]))
    assert (alone["top_1"], alone["chance_top_1"], alone["nearer"], alone["nearer_in_group"]) == (1, 1, None, None)
    assert retrieval(np.eye(3), np.eye(3), groups=np.arange(3))["nearer_in_group"] is None


def test_zero_vectors_are_at_chance():
    found = retrieval(np.zeros((10, 3)), RNG.normal(size=(10, 3)))
    assert (found["nearer"], found["top_1"]) == (0.5, pytest.approx(0.1))


@pytest.mark.parametrize(
    ("predicted", "latent", "groups"), [((4, 3), (4, 2), 4), ((4, 3), (5, 3), 4), ((4,), (4,), 4), ((4, 3), (4, 3), 5)]
)
def test_shapes_that_do_not_fit_are_refused(predicted, latent, groups):
    with pytest.raises(ValueError, match="expected"):
        retrieval(np.zeros(predicted), np.zeros(latent), groups=np.zeros(groups))


def test_pairs_of_exports_are_found_by_name():
    names = ["representation", "predicted_vision", "latent_vision", "latent_audio", "predicted_text"]
    assert pairs(names) == {"vision": ("predicted_vision", "latent_vision")}


# -- the study --------------------------------------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "train", pretend_to_train())
    exporting(monkeypatch, "representation", "predicted_audio", "latent_audio")
    variants = (
        {"name": "A", "method": "toy", "options": {"dropout": 0.0}},
        {"name": "no targets here", "method": "toy", "options": {"dropout": 0.5}},
    )
    return write_study(tmp_path / "toy_retrieval.py", kind="retrieval", columns=None, variants=variants)


def test_a_row_for_each_variant_and_modality_and_one_for_chance(tmp_path, study, monkeypatch):
    dataset = tiny_dataset(modalities=("audio",), rows=(8, 50, 8))
    latent = RNG.normal(size=(50, 4))
    asked = []

    def read(outcome, dataset, splits):
        asked.append(splits)
        runs = {1: latent, 2: latent[::-1]}  # found always, and found never
        made = {
            seed: {"representation": np.zeros((50, 2)), "predicted_audio": runs[seed], "latent_audio": latent}
            for seed in outcome.runs
        }
        if outcome.variant.name != "A":
            made = {seed: {"representation": arrays["representation"]} for seed, arrays in made.items()}
        return {seed: {"valid": arrays} for seed, arrays in made.items()}

    monkeypatch.setattr(module, "read_exports", read)
    found = reproduce(study, dataset, seeds=(1, 2), out=tmp_path / "out", log=None)
    assert asked == [("valid",), ("valid",)]
    audio = found.content["variants"]["A"]["audio"]
    assert (audio["1"]["top_1"], audio["2"]["top_1"]) == (1, 0)
    groups = np.sign(dataset.valid.label)
    assert audio["2"] == retrieval(latent[::-1], latent, groups=groups)
    first, without, chance = found.tables[0].rows
    assert first[:3] == ("A", "audio", 2)
    assert first[5] == f"{50:.1f} ± {100 / np.sqrt(2):.1f}"
    assert without[:3] == ("no targets here", "no targets", None)
    assert chance[:7] == ("chance", None, None, "50.0", "50.0", "2.0", "10.0")
    assert [file.name for file in found.files] == ["table.json", "table.md", "table.tex"]


def test_groups_of_stars_lie_around_their_middle(tmp_path, study, monkeypatch):
    dataset = tiny_dataset(modalities=("audio",), rows=(8, 50, 8), label_range=(1.0, 5.0), metrics="regression")
    side = np.sign(dataset.valid.label - 3)
    latent = np.eye(2)[(side > 0).astype(int)] + 0.01 * RNG.normal(size=(50, 2))
    made = {"predicted_audio": np.eye(2)[(side > 0).astype(int)], "latent_audio": latent}
    monkeypatch.setattr(module, "read_exports", lambda outcome, *_: {1: {"valid": made}})
    found = reproduce(study, dataset, seeds=(1,), out=tmp_path / "out", log=None).content["variants"]["A"]["audio"]["1"]
    assert found["nearer"] > 0.7
    assert found["nearer_in_group"] == pytest.approx(0.5, abs=0.1)


def test_a_method_without_predictions_is_refused_before_anything_is_trained(tmp_path, study, monkeypatch):
    exporting(monkeypatch, "representation", "predicted_audio")
    with pytest.raises(InputError, match="method toy exports no predicted_audio with latent_audio"):
        reproduce(study, tiny_dataset(modalities=("audio",)), out=tmp_path / "out", log=None)
    assert not (tmp_path / "out").exists()
    assert "toy" in methods.METHODS
