"""What is taken out of a batch: against a plain derivation, and never all of a sample."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.data.masking import Missing, Tokens, draw_missing, without
from msa_jax.data.tokenize import build_tokenizer
from msa_jax.modalities import MODALITIES

UNKNOWN, PADDING = 100, 0
TOKENS = Tokens(np.int32(UNKNOWN), np.int32(PADDING))


def batch_of(rows: int = 6, steps: int = 7) -> dict:
    rng = np.random.default_rng(0)
    count = rng.integers(2, steps + 1, rows)
    mask = (np.arange(steps) < count[:, None]).astype(np.int32)
    ids = rng.integers(5, 40, (rows, steps)).astype(np.int32)
    ids[:, 0], ids[np.arange(rows), count - 1] = 2, 3
    batch: dict = {"text": {"ids": ids * mask, "mask": mask}, "weight": np.ones(rows, np.float32)}
    for name, width in (("audio", 3), ("vision", 2)):
        length = rng.integers(1, 6, rows).astype(np.int32)
        valid = (np.arange(5) < length[:, None])[..., None]
        batch[name] = {"features": (rng.normal(1, 1, (rows, 5, width)) * valid).astype(np.float32), "length": length}
    return batch


def test_silent_steps_are_zeros_and_unknown_tokens_between_the_first_and_the_last():
    batch, rng = batch_of(), np.random.default_rng(1)
    silent = {"text": rng.random((6, 7)) < 0.5, "audio": rng.random((6, 5)) < 0.5}
    got = without(batch, Missing({}, silent, TOKENS), aligned=False)
    # As LNLN and TFR-Net have it: kept * ids + 100 * (mask - kept), with the first and the last token always kept.
    mask = batch["text"]["mask"]
    kept = ~silent["text"] * mask
    for row, count in enumerate(mask.sum(1)):
        kept[row, [0, count - 1]] = 1
    want = kept * batch["text"]["ids"] + UNKNOWN * (mask - kept)
    np.testing.assert_array_equal(got["text"]["ids"], want)
    np.testing.assert_array_equal(got["text"]["mask"], mask)
    np.testing.assert_array_equal(got["audio"]["features"], ~silent["audio"][..., None] * batch["audio"]["features"])
    np.testing.assert_array_equal(got["audio"]["length"], batch["audio"]["length"])
    assert got["vision"] is batch["vision"]


def test_what_is_absent_has_no_frame_and_no_word():
    batch, absent = batch_of(), np.arange(6) % 2 == 0
    got = without(batch, Missing(dict.fromkeys(MODALITIES, absent), {}, TOKENS), aligned=False)
    for name in ("audio", "vision"):
        np.testing.assert_array_equal(got[name]["length"], np.where(absent, 0, batch[name]["length"]))
        np.testing.assert_array_equal(got[name]["features"][~absent], batch[name]["features"][~absent])
        assert not np.asarray(got[name]["features"])[absent].any()
    assert np.asarray(got["text"]["ids"])[absent].tolist() == [[2, 3, 0, 0, 0, 0, 0]] * 3
    assert np.asarray(got["text"]["mask"])[absent].tolist() == [[1, 1, 0, 0, 0, 0, 0]] * 3
    for key in ("ids", "mask"):
        np.testing.assert_array_equal(got["text"][key][~absent], batch["text"][key][~absent])


def test_a_text_that_is_absent_is_the_empty_text():
    tokenizer = build_tokenizer(["good film", "a dull film indeed"])
    ids, mask = tokenizer.encode(["good film", "a dull film indeed"], max_tokens=9)
    tokens = Tokens(np.int32(tokenizer.unknown_id), np.int32(tokenizer.pad_id))
    batch = {"text": {"ids": ids, "mask": mask}, "weight": np.ones(2)}
    got = without(batch, Missing({"text": np.ones(2, bool)}, {}, tokens), aligned=False)["text"]
    empty, of_empty = tokenizer.encode(["", ""], max_tokens=9, length=9)
    np.testing.assert_array_equal(got["ids"], empty[:, : ids.shape[1]])
    np.testing.assert_array_equal(got["mask"], of_empty[:, : ids.shape[1]])


def test_on_one_time_axis_what_is_absent_is_silent():
    batch, absent = batch_of(), np.array([True] + [False] * 5)
    got = without(batch, Missing(dict.fromkeys(MODALITIES, absent), {}, TOKENS), aligned=True)
    np.testing.assert_array_equal(got["text"]["mask"], batch["text"]["mask"])
    np.testing.assert_array_equal(got["audio"]["length"], batch["audio"]["length"])
    assert not np.asarray(got["audio"]["features"])[0].any()
    count = batch["text"]["mask"][0].sum()
    assert np.asarray(got["text"]["ids"])[0, :count].tolist() == [2, *[UNKNOWN] * (count - 2), 3]


def test_text_that_is_features_is_one_step_of_zeros():
    rng = np.random.default_rng(0)
    text = {"features": rng.normal(size=(2, 4, 3)).astype(np.float32), "mask": np.ones((2, 4), np.int32)}
    got = without({"text": text}, Missing({"text": np.array([True, False])}, {}, TOKENS), aligned=False)["text"]
    assert got["mask"].tolist() == [[1, 0, 0, 0], [1, 1, 1, 1]]
    assert not np.asarray(got["features"])[0].any()
    np.testing.assert_array_equal(got["features"][1], text["features"][1])


@pytest.mark.parametrize("rate", [0.3, pytest.param(0.99, marks=pytest.mark.slow)])
def test_a_training_sample_keeps_a_modality(rate):
    rows = 4000
    batch = {
        "text": {"features": np.ones((rows, 2, 1)), "mask": np.ones((rows, 2))},
        **{name: {"features": np.zeros((rows, 3, 1)), "length": np.full(rows, 3)} for name in ("audio", "vision")},
        "weight": np.ones(rows),
    }
    found = jax.jit(lambda key: draw_missing(batch, key, modality_rate=rate, step_rate=0.25, tokens=TOKENS))(
        jax.random.key(0)
    )
    absent = jnp.stack([found.absent[name] for name in MODALITIES], axis=1)
    assert int(absent.sum(1).max()) == 2
    # Each is lost with the rate, save where all three would be.
    np.testing.assert_allclose(absent.mean(0), rate - rate**3 / 3, atol=0.03)
    for name, steps in (("text", 2), ("audio", 3), ("vision", 3)):
        assert found.silent[name].shape == (rows, steps)
        np.testing.assert_allclose(found.silent[name].mean(0), 0.25, atol=0.03)
    together = np.corrcoef(found.silent["audio"].reshape(-1), found.silent["vision"].reshape(-1))[0, 1]
    assert abs(together) < 0.05


def test_what_stays_is_something_that_the_sample_has():
    rows = 500
    batch = {
        "text": {"ids": np.zeros((rows, 4), int), "mask": np.tile([1, 1, 0, 0], (rows, 1))},  # no word
        "audio": {"features": np.zeros((rows, 3, 1)), "length": np.zeros(rows, int)},
        "vision": {"features": np.ones((rows, 3, 1)), "length": np.full(rows, 2)},
        "weight": np.ones(rows),
    }
    found = draw_missing(batch, jax.random.key(0), modality_rate=0.9, step_rate=0.0, tokens=TOKENS)
    assert not np.asarray(found.absent["vision"]).any()
    assert np.asarray(found.absent["text"]).mean() > 0.8


def test_on_aligned_data_frames_of_zeros_and_unknown_tokens_are_nothing_that_could_stay():
    rows = 500
    batch = {
        "text": {"ids": np.tile([2, UNKNOWN, UNKNOWN, 3], (rows, 1)), "mask": np.ones((rows, 4), int)},
        "audio": {"features": np.zeros((rows, 4, 1)), "length": np.full(rows, 4)},
        "vision": {"features": np.ones((rows, 4, 1)), "length": np.full(rows, 4)},
        "weight": np.ones(rows),
    }
    drawn = {"modality_rate": 0.9, "step_rate": 0.0, "tokens": TOKENS, "aligned": True}
    assert not np.asarray(draw_missing(batch, jax.random.key(0), **drawn).absent["vision"]).any()
    features = {**batch, "text": {"features": np.zeros((rows, 4, 8)), "mask": np.tile([1, 0, 0, 0], (rows, 1))}}
    del features["audio"]  # on any data, text features of zeros are no text
    drawn["aligned"] = False
    assert not np.asarray(draw_missing(features, jax.random.key(0), **drawn).absent["vision"]).any()
