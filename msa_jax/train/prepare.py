"""From a dataset and options to the arrays, shapes and pretrained weights that training starts from."""

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.config import Options, override
from msa_jax.data.aligned import is_aligned
from msa_jax.data.calibrated import with_calibrated_labels
from msa_jax.data.masking import Tokens, steps_of
from msa_jax.data.preprocess import Columns, Preprocessor
from msa_jax.data.schema import Dataset
from msa_jax.data.subset import take_fraction, without
from msa_jax.data.tokenize import Tokenizer, build_tokenizer, load_tokenizer
from msa_jax.encoders.bert_config import BertConfig
from msa_jax.encoders.bert_weights import load_bert, resolve_source
from msa_jax.errors import InputError
from msa_jax.methods.protocol import Inputs, Method, SequenceInput, TextInput, check_inputs
from msa_jax.modalities import SEQUENCES, UNIMODAL_LABELS
from msa_jax.train import processes
from msa_jax.train.atomic import read_json
from msa_jax.train.model import flat
from msa_jax.train.state import Flat
from msa_jax.whole_files import new_folder

FORMATS = (None, "float32", "bfloat16")  # what the precision `auto` may have come to
HEAD_WIDTH = 32  # of the heads of the "scratch" encoder
FEWEST_TOKENS = 0.5  # of a vocabulary, as a share of the rows of the embedding table that it is for
UNKNOWN = 100  # [UNK] of the published BERT vocabularies, English and Chinese, where token ids come without a tokenizer
VOCABULARY = {"zh": 21128}  # of BERT by language, where token ids come without a tokenizer; 30522 otherwise


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """What every run of an experiment shares.

    columns: {"train", "valid", "test"} -> the arrays that the preprocessor made.
    bert: pretrained parameters of the text encoder; None where it starts from nothing.
    bert_sha256: of these parameters and of the tokenizer's vocabulary; None where it starts from nothing.
    """

    inputs: Inputs
    preprocessor: Preprocessor
    columns: dict[str, Columns]
    bert: Any
    bert_sha256: str | None = None


def used_part(dataset: Dataset, options: Options) -> Dataset:
    """The part of a dataset that the options ask for: without the modalities of `leave_out`, and `train_fraction` of train.

    Raises:
      InputError: nothing is left.
    """
    rest = without(dataset, options.leave_out)
    return take_fraction(rest, options.train_fraction, seed=options.train_fraction_seed)


def prepare(dataset: Dataset, method: Method, options: Options) -> Prepared:
    """Loads the text encoder, fits the preprocessor on train and applies it to every split.

    Raises:
      InputError: the text encoder cannot be had, or dataset, method and options do not fit together.

    Warns:
      DataWarning: more than a fifth of the tokens of a split are unknown to the tokenizer.
    """
    if method.text_encoder is None and options.text_encoder not in ("scratch", "features"):
        raise InputError(
            f"text_encoder is {options.text_encoder}, but method {method.name} reads no tokens; leave the option out"
        )
    if method.calibrates(options):
        dataset = with_calibrated_labels(dataset)
    width, config, bert, tokenizer, column = _text(dataset, options)
    preprocessor = Preprocessor.fit(
        dataset,
        tokenizer=tokenizer,
        text_column=column,
        vocab_size=0 if config is None else config.vocab_size,
        max_tokens=options.max_tokens,
        standardise=options.standardise == "train",
        clip=options.standardise_clip,
    )
    columns = {
        name: preprocessor.apply(split, source=f"{dataset.source}, {name}") for name, split in dataset.splits().items()
    }
    preprocessor.warn_of_unknown(columns, f"{dataset.source}: text_encoder {options.text_encoder}")
    inputs = inputs_of(columns, text=(width, config, _unknown(tokenizer, config)), label_range=dataset.card.label_range)
    check_inputs(method, options, inputs)
    if options.modality_dropout > 0 and len(inputs.modalities) < 2:
        raise InputError(
            f"option modality_dropout is {options.modality_dropout}, and the dataset has {inputs.modalities[0]} alone; "
            "expected two modalities, of which one can be absent"
        )
    if options.step_dropout > 0 or (options.modality_dropout > 0 and inputs.aligned):
        name = "step_dropout" if options.step_dropout > 0 else "modality_dropout"
        check_unknown(preprocessor, inputs, f"option {name}, {getattr(options, name)},")
    return Prepared(
        inputs=inputs, preprocessor=preprocessor, columns=columns, bert=bert, bert_sha256=_digest(bert, tokenizer)
    )


def unread(dataset: Dataset, options: Options) -> tuple[str, ...]:
    """Which of two columns of text is not read, a line for the log."""
    train = dataset.train
    if options.text_encoder == "features" or train.raw_text is None or train.text_bert is None:
        return ()
    other = "text_bert" if options.text_column == "raw_text" else "raw_text"
    return (f"text: {options.text_column} is read, {other} is not (option text_column)",)


def inputs_of(
    columns: Mapping[str, Columns],
    *,
    text: tuple[int, BertConfig | None, int | None],
    label_range: tuple[float, float],
) -> Inputs:
    """The shapes of the training arrays.

    Args:
      columns: {split: arrays}, "train" among them.
      text: width of a token's state, the text encoder, and the id of [UNK]; of no meaning without text.
      label_range: lowest and highest label.
    """
    train = columns["train"]
    sequences = {name: SequenceInput(*train[name]["features"].shape[1:]) for name in SEQUENCES if name in train}
    width, bert, unknown = text
    steps = steps_of(train["text"]) if "text" in train else 0
    return Inputs(
        text=TextInput(width=width, steps=steps, bert=bert, unknown=unknown) if "text" in train else None,
        audio=sequences.get("audio"),
        vision=sequences.get("vision"),
        label_range=(float(label_range[0]), float(label_range[1])),
        rows=len(train["label"]),
        columns=tuple(name for name in UNIMODAL_LABELS if name in train),
        aligned=all(is_aligned(split) for split in columns.values()),
    )


def _text(dataset: Dataset, options: Options) -> tuple[int, BertConfig | None, Any, Tokenizer | None, str | None]:
    """The width of the text, the text encoder's sizes, its pretrained parameters, the tokenizer, and the column it reads."""
    train = dataset.train
    if not dataset.has("text"):
        return 0, None, None, None, None
    if options.text_encoder == "features":
        if train.text is None:
            raise InputError(
                f"{dataset.source}: text_encoder is features, but the dataset has no "
                "precomputed text features (an array `text`); choose another text encoder"
            )
        return train.text.shape[-1], None, None, None, "text"
    if train.raw_text is None and train.text_bert is None:
        raise InputError(
            f"{dataset.source}: the text is precomputed features only; use --text-encoder features, "
            "or a dataset with raw_text or text_bert"
        )
    raw = train.raw_text is not None and (train.text_bert is None or options.text_column == "raw_text")
    if options.text_encoder == "scratch":
        if raw:
            tokenizer = build_tokenizer(list(train.raw_text))
            config = _scratch(tokenizer.vocab_size, tokenizer.pad_id, options)
            return config.hidden_size, config, None, tokenizer, "raw_text"
        size = VOCABULARY.get(dataset.card.language, 30522)
        config = _scratch(size, 0, options)
        return config.hidden_size, config, None, None, "text_bert"
    folder = resolve_source(options.text_encoder)
    config, params = load_bert(str(folder))
    if config.max_tokens < options.max_tokens:
        raise InputError(
            f"option max_tokens is {options.max_tokens}; {options.text_encoder} has {config.max_tokens} positions"
        )
    if raw:
        tokenizer = load_tokenizer(folder)
        _check_vocabulary(tokenizer, config, options.text_encoder)
        return config.hidden_size, config, params, tokenizer, "raw_text"
    _check_token_ids(dataset, folder)
    return config.hidden_size, config, params, None, "text_bert"


def _digest(bert: Any, tokenizer: Tokenizer | None) -> str | None:
    """SHA-256 of a text encoder that was loaded, so that a training that is resumed can tell whether it is another one."""
    if bert is None:
        return None
    digest = hashlib.sha256(b"" if tokenizer is None else tokenizer.vocabulary_sha256().encode())
    for name, array in sorted(flat(bert).items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def _check_vocabulary(tokenizer: Tokenizer, config: BertConfig, encoder: str) -> None:
    """Raises InputError if the tokenizer cannot be the one that these weights were trained with."""
    if tokenizer.vocab_size > config.vocab_size:
        raise InputError(
            f"{encoder}: its tokenizer knows {tokenizer.vocab_size} tokens, its weights {config.vocab_size}"
        )
    if tokenizer.tokens < FEWEST_TOKENS * config.vocab_size:
        raise InputError(
            f"{encoder}: its tokenizer knows {tokenizer.tokens} tokens alone, its weights {config.vocab_size}; expected "
            "the vocabulary that the weights were trained with"
        )
    if config.first_position and tokenizer.pad_id != config.pad_id:
        raise InputError(
            f"{encoder}: its tokenizer pads with id {tokenizer.pad_id}, config.json says pad_token_id {config.pad_id}, "
            "from which positions are counted; expected the tokenizer that the weights were trained with"
        )


def _check_token_ids(dataset: Dataset, folder: Path) -> None:
    """Raises InputError if the column text_bert is from another tokenizer than the one in the folder, if there is one."""
    try:
        expected = load_tokenizer(folder).first_id
    except InputError:  # ids can be read without a tokenizer
        return
    first = dataset.train.text_bert[:, 0, 0]
    if expected is not None and not (first == expected).any():
        raise InputError(
            f"{dataset.source}, train: column text_bert, row 0: begins with token id {first[0]}; the tokenizer in {folder} "
            f"begins texts with {expected}, so the ids are another tokenizer's; expected its own, or a column raw_text"
        )


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


def _unknown(tokenizer: Tokenizer | None, bert: BertConfig | None) -> int | None:
    """The id of [UNK]: the tokenizer's; or of a published BERT's vocabulary, if ids come without a tokenizer."""
    if bert is None:
        return None
    if tokenizer is not None:
        return tokenizer.unknown_id
    return UNKNOWN if bert.first_position == 0 and bert.vocab_size > UNKNOWN else None


def special_tokens(preprocessor: Preprocessor, inputs: Inputs) -> Tokens:
    """The ids of [UNK] and of padding; -1 for an [UNK] that is not known, or where the text is no ids."""
    bert = None if inputs.text is None else inputs.text.bert
    if bert is None:
        return Tokens(np.int32(-1), np.int32(0))
    unknown = _unknown(preprocessor.tokenizer, bert)
    return Tokens(np.int32(-1 if unknown is None else unknown), np.int32(bert.pad_id))


def check_unknown(preprocessor: Preprocessor, inputs: Inputs, needed_by: str) -> None:
    """Raises InputError if tokens are to become [UNK], and which id that is is not known."""
    reads_ids = inputs.text is not None and inputs.text.bert is not None
    if reads_ids and special_tokens(preprocessor, inputs).unknown < 0:
        raise InputError(
            f"{needed_by} turns tokens into [UNK], and the tokenizer of this experiment has none; a dataset with raw_text "
            "and an encoder with a tokenizer have one"
        )


def compute_dtype(options: Options) -> jnp.dtype:
    """What the network computes in."""
    if options.precision == "auto":
        return jnp.dtype(jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16)
    return jnp.dtype(options.precision)


def settled_format(options: Options, mark: Path | None) -> str | None:
    """The number format that `auto` comes to, so that whatever goes on has the same; None where the options name one.

    Args:
      mark: the file of the experiment or sweep that goes on, if it is there: then what that says, or None if it does not.
        None for a new one.
    """
    if options.precision != "auto":
        return None
    found = _format_there(mark, compute_dtype(options).name) if processes.is_primary() else None
    return FORMATS[int(processes.of_primary(np.int32(FORMATS.index(found))))]


def _format_there(mark: Path | None, otherwise: str) -> str | None:
    """The number format of what was begun, or what it is otherwise. Whatever else is wrong with it is said elsewhere."""
    if mark is None or not mark.is_file():
        return otherwise
    with contextlib.suppress(InputError, LookupError, TypeError):
        found = read_json(mark)["precision"]
        return found if found in FORMATS else None
    return None


def with_format(options: Options, precision: str | None) -> Options:
    """The options that are computed with; precision: of `settled_format`."""
    return options if precision is None else override(options, {"precision": precision})


def pretrained(bert: Any, module: str | None, shapes: Flat) -> dict[str, np.ndarray]:
    """The pretrained part of a network's parameters, by path.

    Args:
      bert: the parameters of the pretrained encoder, or None.
      module: the network's text encoder.
      shapes: all parameters of the network.

    Raises:
      InputError: the network's encoder has a parameter that the pretrained one lacks, or of another shape.
    """
    if bert is None or module is None:
        return {}
    given = flat({module: {"bert": bert}})
    own = {path: leaf.shape for path, leaf in shapes.items() if path.startswith(f"{module}/bert/")}
    # A pooler is left out if it is unused, and starts from nothing if the weights have none.
    found = {path: np.asarray(value, np.float32) for path, value in given.items() if path in own}
    missing = [path for path in own if path not in found and f"{module}/bert/pooler/" not in path]
    other = [path for path, value in found.items() if value.shape != own[path]]
    if not own:
        raise InputError(f"text_encoder is given, but the network has none at {module}/bert; leave the option out")
    if missing or other:
        named = ", ".join([*missing, *other][:3])
        raise InputError(f"the pretrained text encoder's parameters do not fit the network: {named}")
    return found


def save_preprocessing(preprocessor: Preprocessor, folder: Path) -> None:
    """Writes it to a folder, whole or not at all. What is there already is of the same data and options, and stays."""
    if not folder.is_dir():
        with new_folder(folder) as new:
            preprocessor.save(new)


def check_preprocessing(preprocessor: Preprocessor, dataset: Dataset, folder: Path) -> None:
    """Raises InputError if an experiment that goes on began with a tokenizer that splits the texts of train otherwise.

    folder: what `save_preprocessing` wrote, or nothing.
    """
    if preprocessor.tokenizer is None or not folder.is_dir():
        return
    before = Preprocessor.load(folder).tokenizer
    texts, most = list(dataset.train.raw_text), preprocessor.max_tokens
    ids = [None if one is None else one.encode(texts, max_tokens=most)[0] for one in (before, preprocessor.tokenizer)]
    if ids[0] is None or not np.array_equal(*ids):
        raise InputError(
            f"{folder}: the tokenizer with which this experiment began gives the texts of train other tokens than the one of "
            "now; the text encoder, or the version of msa_jax that learns a vocabulary, is another one; --overwrite starts anew"
        )


def example_batch(columns: Columns, size: int) -> dict[str, Any]:
    """A batch of zeros of the right shapes, padded text."""
    batch = jax.tree.map(lambda column: np.zeros((size, *column.shape[1:]), column.dtype), columns)
    return {**batch, "row": np.zeros(size, np.int32), "weight": np.ones(size, np.float32)}
