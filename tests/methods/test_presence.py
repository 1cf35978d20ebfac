"""Which samples have a modality: absent and silent ones, text in all the ways it comes, and real gaps in the data."""

from dataclasses import replace

import numpy as np
import pytest

from msa_jax.data.masking import Missing, Tokens, without
from msa_jax.data.packing import Capacity, pack, plan_packing
from msa_jax.encoders.bert_config import BertConfig
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from msa_jax.methods.shared.presence import has

PADDING, UNKNOWN = 0, 1
TOKENS = Tokens(np.int32(UNKNOWN), np.int32(PADDING))
IDS = TextInput(width=8, steps=6, bert=BertConfig(), unknown=UNKNOWN)
INPUTS = Inputs(text=IDS, audio=SequenceInput(6, 2))
LENGTH = np.array([6, 3, 4, 5], np.int32)  # of text and of audio
LACKS = np.array([False, True, False, True])


def batch_of(features: bool = False) -> dict:
    rng, inside = np.random.default_rng(0), np.arange(6) < LENGTH[:, None]
    ids, states = rng.integers(10, 99, (4, 6)) * inside, rng.normal(size=(4, 6, 8)) * inside[..., None]
    text = {"features": states} if features else {"ids": ids}
    frames = rng.normal(size=(4, 6, 2)) * inside[..., None]
    return {"text": {**text, "mask": inside.astype(np.int32)}, "audio": {"features": frames, "length": LENGTH}}


def packed(batch: dict) -> dict:
    text = batch["text"]
    packing, _ = plan_packing(np.asarray(text["mask"]).sum(1)[None], 8)
    return {**batch, "text": pack(text["ids"], text["mask"], packing.row[0], packing.offset[0], Capacity(4, 8))}


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("name", ["text", "audio"])
def test_what_was_taken_away_is_not_there(name, aligned):
    inputs = replace(INPUTS, aligned=aligned)
    assert has(batch_of(), name, inputs).all()
    taken = without(batch_of(), Missing({name: LACKS}, {}, TOKENS), aligned=aligned)
    for batch in (taken, packed(taken)):
        for each in ("text", "audio"):
            assert has(batch, each, inputs).tolist() == (~LACKS if each == name else ~LACKS | True).tolist()


@pytest.mark.parametrize("aligned", [False, True])
def test_text_of_features_is_there_unless_it_is_zeros(aligned):
    inputs = replace(INPUTS, text=TextInput(width=8, steps=6), aligned=aligned)
    taken = without(batch_of(features=True), Missing({"text": LACKS}, {}, TOKENS), aligned=aligned)
    assert has(taken, "text", inputs).tolist() == (~LACKS).tolist()


def test_one_frame_or_one_token_is_enough_and_none_is_too_few_in_whatever_way_text_comes():
    batch = batch_of()
    batch["audio"]["length"] = np.array([1, 0, 6, 2], np.int32)
    assert has(batch, "audio", INPUTS).tolist() == [True, False, True, True]
    length = np.array([3, 2, 6, 0])
    mask = (np.arange(6) < length[:, None]).astype(np.int32)
    for text in ({"ids": batch["text"]["ids"]}, {"features": np.ones((4, 6, 8))}):  # also states of a frozen BERT
        assert has({"text": {**text, "mask": mask}}, "text", INPUTS).tolist() == [True, False, True, False]


def test_frames_of_zeros_are_frames_unless_data_are_aligned():
    silent = np.repeat(LACKS[:, None], 6, axis=1)
    batch = without(batch_of(), Missing({}, {"audio": silent, "text": silent}, TOKENS), aligned=False)
    for name in ("text", "audio"):
        assert has(batch, name, INPUTS).all()
        assert has(batch, name, replace(INPUTS, aligned=True)).tolist() == (~LACKS).tolist()
    unknown = replace(INPUTS, text=replace(IDS, unknown=None), aligned=True)  # nothing can have become [UNK]
    assert has(batch, "text", unknown).all()
