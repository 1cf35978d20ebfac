"""Complete and masked samples in one batch: what is lost, what stays, and that padding and packing change nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.data.packing import Capacity, pack, plan_packing
from msa_jax.encoders.bert_config import BertConfig
from msa_jax.errors import InputError
from msa_jax.methods.protocol import Inputs, TextInput
from msa_jax.methods.shared.masked_copies import (
    check_has_unknown,
    draw,
    has_words,
    sample_keys,
    with_silenced_copy,
)
from tests.quick import quick_jit

LENGTHS = {"text": [7, 2, 5], "audio": [9, 0, 4]}
UNKNOWN = 1
INPUTS = Inputs(text=TextInput(width=8, steps=7, bert=BertConfig(), unknown=UNKNOWN))


def batch_of(extra=0, rows=3):
    rng = np.random.default_rng(0)
    ids, frames = rng.integers(10, 99, (3, 7)), rng.normal(size=(3, 9, 2)).astype(np.float32)
    text, audio = (np.arange(steps) < np.array(LENGTHS[name])[:, None] for name, steps in (("text", 7), ("audio", 9)))
    wide = [(0, 0), (0, extra)]
    return {
        "text": {"ids": np.pad(ids * text, wide)[:rows], "mask": np.pad(text.astype(np.int32), wide)[:rows]},
        "audio": {
            "features": np.pad(frames * audio[..., None], [*wide, (0, 0)])[:rows],
            "length": np.array(LENGTHS["audio"])[:rows],
        },
    }


@quick_jit
def silenced(batch, rate, key):
    keys = sample_keys({"row": jnp.arange(len(rate))}, key)
    return with_silenced_copy(batch, keys, dict.fromkeys(batch, rate), INPUTS)


def copied(batch, rate, key=7):
    return silenced(batch, jnp.broadcast_to(rate, len(batch["text"]["mask"])), jax.random.key(key))


def test_the_first_half_is_complete_and_the_second_one_loses_steps():
    batch = batch_of()
    copies, lost = copied(batch, jnp.array([0.5, 0.5, 0.9]))
    for name, field in (("text", "ids"), ("audio", "features")):
        np.testing.assert_array_equal(copies[name][field][:3], batch[name][field])
        gone, left = np.asarray(lost[name]), np.asarray(copies[name][field][3:])
        assert gone.any()
        assert not gone[np.arange(gone.shape[1])[None] >= np.array(LENGTHS[name])[:, None]].any()
        np.testing.assert_array_equal(left[~gone], batch[name][field][~gone])
        assert (left[gone] == (UNKNOWN if name == "text" else 0)).all()
    np.testing.assert_array_equal(copies["text"]["mask"], np.tile(batch["text"]["mask"], (2, 1)))
    np.testing.assert_array_equal(copies["audio"]["length"], 2 * LENGTHS["audio"])


def test_at_rate_0_nothing_is_lost_and_at_1_all_but_the_first_and_the_last_token():
    assert not any(np.asarray(gone).any() for gone in copied(batch_of(), 0.0)[1].values())
    lost = copied(batch_of(), 1.0)[1]
    np.testing.assert_array_equal(lost["text"].sum(1), np.array(LENGTHS["text"]) - 2)
    assert not np.asarray(lost["text"])[:, 0].any()
    np.testing.assert_array_equal(lost["audio"].sum(1), LENGTHS["audio"])


def test_what_is_lost_hangs_neither_on_padding_nor_on_other_samples_but_on_the_key():
    lost = copied(batch_of(), 0.5)[1]
    for name, gone in lost.items():
        np.testing.assert_array_equal(copied(batch_of(extra=4), 0.5)[1][name][:, : gone.shape[1]], gone)
        np.testing.assert_array_equal(copied(batch_of(rows=2), 0.5)[1][name], gone[:2])
        assert (np.asarray(copied(batch_of(), 0.5, key=8)[1][name]) != np.asarray(gone)).any()


def test_without_a_key_a_training_sample_always_draws_the_same():
    drawn = quick_jit(lambda rows: draw(sample_keys({"row": rows}, None), 0, 4))
    one, other = (np.asarray(drawn(jnp.array(rows))) for rows in ([3, 5, 4], [4, 3, 9]))
    np.testing.assert_array_equal(one[[0, 2]], other[[1, 0]])
    assert (one[1] != one[0]).all()


def packed_of(text):
    packing, _ = plan_packing(np.asarray(text["mask"]).sum(1)[None], 8)
    return pack(text["ids"], text["mask"], packing.row[0], packing.offset[0], Capacity(len(text["mask"]), 8))


def test_a_text_has_words_if_a_token_inside_is_known_or_a_step_is_not_zeros():
    ids = np.array([[5, 9, 6, 0], [5, 6, 0, 0], [5, UNKNOWN, 6, 0], [5, UNKNOWN, 9, 6], [5, UNKNOWN, UNKNOWN, 6]])
    text = {"ids": jnp.asarray(ids), "mask": jnp.asarray(ids > 0, jnp.int32)}
    expected = [True, False, False, True, False]
    assert has_words(text, INPUTS).tolist() == expected
    assert has_words(packed_of(text), INPUTS).tolist() == expected
    features = np.zeros((3, 4, 2))
    features[0, 1, 1], features[1, 3, 0] = 0.1, 5  # the latter beyond the end
    mask = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]])
    assert has_words({"features": features, "mask": mask}, INPUTS).tolist() == [True, False, False]


def test_packed_text_loses_the_same_tokens():
    batch = batch_of()
    copies, lost = copied(batch, 0.6)
    text = {name: jnp.asarray(value) for name, value in batch["text"].items()}
    packed = packed_of(text)
    found, gone = copied({"text": packed}, 0.6)
    np.testing.assert_array_equal(gone["text"], lost["text"])
    taken = found["text"]["ids"].reshape(-1)[found["text"]["slot"]]
    inside = np.asarray(found["text"]["mask"]) > 0
    np.testing.assert_array_equal(np.asarray(taken)[inside], np.asarray(copies["text"]["ids"])[inside])
    for name in ("positions", "segments"):
        np.testing.assert_array_equal(found["text"][name], np.repeat(packed[name], 2, axis=0))


def test_rows_of_slots_that_are_empty_move_no_token():
    # Several devices have as many rows each, and dropout hangs on where a token lies.
    text = {name: jnp.asarray(value) for name, value in batch_of()["text"].items()}
    packed = packed_of(text)
    more = {
        name: jnp.pad(packed[name], ((0, 3), (0, 0))) if name in ("ids", "positions", "segments") else packed[name]
        for name in packed
    }
    few, many = (copied({"text": content}, 0.6)[0]["text"] for content in (packed, more))
    np.testing.assert_array_equal(many["slot"], few["slot"])
    np.testing.assert_array_equal(many["ids"][: len(few["ids"])], few["ids"])
    assert (many["ids"][len(few["ids"]) :] == 0).all()


@pytest.mark.parametrize(
    "text", [None, TextInput(width=8, steps=3), TextInput(width=8, steps=3, bert=BertConfig(), unknown=0)]
)
def test_text_without_ids_needs_no_token_for_what_is_lost(text):
    check_has_unknown(None, Inputs(text=text))


def test_ids_of_which_none_is_known_to_be_unk_are_refused():
    with pytest.raises(InputError, match="turns tokens of training samples into \\[UNK\\], and the tokenizer has none"):
        check_has_unknown(None, Inputs(text=TextInput(width=8, steps=3, bert=BertConfig())))
