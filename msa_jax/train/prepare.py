"""From a dataset and options to the arrays, shapes and pretrained weights that training starts from."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.config import Options
from msa_jax.data.preprocess import Columns, Preprocessor
from msa_jax.data.schema import Dataset
from msa_jax.data.tokenize import Tokenizer, build_tokenizer, load_tokenizer
from msa_jax.encoders.bert import BertConfig
from msa_jax.encoders.bert_weights import load_bert, resolve_source
from msa_jax.errors import InputError
from msa_jax.methods.protocol import Inputs, Method

HEAD_WIDTH = 32  # of the heads of the "scratch" encoder
VOCABULARY = {"zh": 21128}  # of BERT by language, where token ids come without a tokenizer; 30522 otherwise


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """What every run of an experiment shares.

    columns: {"train", "valid", "test"} -> the arrays that the preprocessor made.
    bert: pretrained parameters of the text encoder; None where it starts from nothing.
    """

    inputs: Inputs
    preprocessor: Preprocessor
    columns: dict[str, Columns]
    bert: Any


def prepare(dataset: Dataset, method: Method, options: Options) -> Prepared:
    """Loads the text encoder, fits the preprocessor on train and applies it to every split.

    Raises:
      InputError: the text encoder cannot be had, or dataset, method and options do not fit together.
    """
    config, bert, tokenizer, column = _text(dataset, options)
    preprocessor = Preprocessor.fit(
        dataset,
        tokenizer=tokenizer,
        text_column=column,
        vocab_size=config.vocab_size if isinstance(config, BertConfig) else 0,
        max_tokens=options.max_tokens,
        standardise=options.standardise == "train",
        clip=options.standardise_clip,
    )
    columns = {
        name: preprocessor.apply(split, source=f"{dataset.source}, {name}") for name, split in dataset.splits().items()
    }
    inputs = inputs_of(columns["train"], text=config, label_range=dataset.card.label_range)
    method.check(options, inputs)
    return Prepared(inputs=inputs, preprocessor=preprocessor, columns=columns, bert=bert)


def inputs_of(train: Columns, *, text: BertConfig | int | None, label_range: tuple[float, float]) -> Inputs:
    """The shapes of the training arrays."""
    shape = {name: train[name]["features"].shape[1:] for name in ("audio", "vision") if name in train}
    steps = train["text"]["mask"].shape[1] if "text" in train else 0
    return Inputs(
        text=text,
        text_steps=steps,
        audio=shape.get("audio"),
        vision=shape.get("vision"),
        label_range=tuple(label_range),
        rows=len(train["label"]),
        columns=tuple(name for name in ("label_t", "label_a", "label_v") if name in train),
    )


def _text(dataset: Dataset, options: Options) -> tuple[BertConfig | int | None, Any, Tokenizer | None, str | None]:
    """The text encoder's sizes, its pretrained parameters, the tokenizer, and the column it reads."""
    train = dataset.train
    if not dataset.has("text"):
        return None, None, None, None
    if options.text_encoder == "features":
        if train.text is None:
            raise InputError(f"{dataset.source}: text_encoder is features, but there is no column text")
        return train.text.shape[-1], None, None, "text"
    if train.raw_text is None and train.text_bert is None:
        raise InputError(
            f"{dataset.source}: the text is precomputed features only; use --text-encoder features, "
            "or a dataset with raw_text or text_bert"
        )
    if options.text_encoder == "scratch":
        if train.raw_text is not None:
            tokenizer = build_tokenizer(list(train.raw_text))
            return _scratch(tokenizer.vocab_size, tokenizer.pad_id, options), None, tokenizer, "raw_text"
        size = VOCABULARY.get(dataset.card.language, 30522)
        return _scratch(size, 0, options), None, None, "text_bert"
    folder = resolve_source(options.text_encoder)
    config, params = load_bert(str(folder))
    if config.max_positions < options.max_tokens:
        raise InputError(
            f"option max_tokens is {options.max_tokens}; {options.text_encoder} has {config.max_positions} positions"
        )
    if train.raw_text is not None:
        tokenizer = load_tokenizer(folder)
        if tokenizer.vocab_size > config.vocab_size:
            raise InputError(
                f"{options.text_encoder}: its tokenizer knows {tokenizer.vocab_size} tokens, its weights {config.vocab_size}"
            )
        return config, params, tokenizer, "raw_text"
    return config, params, None, "text_bert"


def _scratch(vocab_size: int, pad_id: int, options: Options) -> BertConfig:
    return BertConfig(
        vocab_size=vocab_size,
        hidden_size=options.scratch_width,
        num_layers=options.scratch_layers,
        num_heads=options.scratch_width // HEAD_WIDTH,
        intermediate_size=4 * options.scratch_width,
        max_positions=max(options.max_tokens, 64),
        pad_id=pad_id,
    )


def compute_dtype(options: Options) -> jnp.dtype:
    """What the network computes in."""
    if options.precision == "auto":
        return jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
    return jnp.dtype(options.precision)


def pretrained(bert: Any, shapes: Any) -> Any:
    """The part of a network's parameters that is pretrained; shapes: all of them, as `Program.param_shapes` has them.

    Raises:
      InputError: the network's encoder has a parameter that the pretrained one lacks, or of another shape.
    """
    if bert is None:
        return {}
    own = shapes["text_encoder"]["bert"]
    # A pooler is left out where it is unused, and starts from nothing where the weights have none.
    found = {name: value for name, value in bert.items() if name in own}
    expected = {name: own[name] for name in own if name in bert or name != "pooler"}
    if jax.tree.map(np.shape, found) != jax.tree.map(np.shape, expected):
        raise InputError("the pretrained text encoder's parameters do not fit the network")
    placed = jax.tree.map(lambda value: jnp.asarray(np.asarray(value), jnp.float32), found)
    return {"text_encoder": {"bert": placed}}


def example_batch(columns: Columns, size: int) -> dict[str, Any]:
    """A batch of zeros of the right shapes, padded text."""
    batch = jax.tree.map(lambda column: np.zeros((size, *column.shape[1:]), column.dtype), columns)
    return {**batch, "row": np.zeros(size, np.int32), "weight": np.ones(size, np.float32)}
