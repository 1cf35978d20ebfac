"""The sizes of a BERT, RoBERTa or XLM-R, from and to Hugging Face configs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msa_jax.errors import InputError

MODEL_TYPES = ("bert", "roberta", "xlm-roberta")  # of Hugging Face configs, as `BertConfig` describes them
ACTIVATIONS = ("gelu", "gelu_new", "relu")
# Names of the same three functions in Hugging Face configs.
_ACTIVATION_ALIASES = {"gelu_python": "gelu", "gelu_pytorch_tanh": "gelu_new", "gelu_fast": "gelu_new"}


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """Sizes and rates of a BERT; the defaults are those of BERT-base, uncased English.

    max_positions: rows of the table of positions. first_position: the row of an utterance's first token, 0 in BERT and
    pad_id + 1 in RoBERTa and XLM-R, whose padding has row pad_id.

    Raises:
      InputError: a size that is not positive, a width that the heads do not divide, an unknown activation, a rate
        outside [0, 1), or a first position that is neither 0 nor pad_id + 1.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    intermediate_size: int = 3072
    max_positions: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    hidden_act: str = "gelu"
    pad_id: int = 0
    first_position: int = 0

    def __post_init__(self):
        sizes = ("vocab_size", "hidden_size", "num_layers", "num_heads", "intermediate_size", "max_positions")
        for name in (*sizes, "type_vocab_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"BERT config: {name} is {value!r}; expected a positive whole number")
        if self.hidden_size % self.num_heads:
            raise InputError(
                f"BERT config: hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}"
            )
        if not isinstance(self.hidden_act, str) or self.hidden_act not in ACTIVATIONS:
            raise InputError(f"BERT config: hidden_act is {self.hidden_act!r}; expected {', '.join(ACTIVATIONS)}")
        for name in ("hidden_dropout", "attention_dropout"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 <= value < 1:
                raise InputError(f"BERT config: {name} is {value!r}; expected a number in [0, 1)")
        if not isinstance(self.layer_norm_eps, (int, float)) or not self.layer_norm_eps > 0:
            raise InputError(f"BERT config: layer_norm_eps is {self.layer_norm_eps!r}; expected a positive number")
        if not isinstance(self.pad_id, int) or isinstance(self.pad_id, bool) or self.pad_id < 0:
            raise InputError(f"BERT config: pad_id is {self.pad_id!r}; expected a whole number, at least 0")
        if self.first_position not in (0, self.pad_id + 1):
            raise InputError(f"BERT config: first_position is {self.first_position!r}; expected 0 or {self.pad_id + 1}")
        if self.max_tokens < 1:
            raise InputError(
                f"BERT config: max_positions is {self.max_positions}; expected more than {self.first_position}, "
                "where positions begin"
            )

    @property
    def max_tokens(self) -> int:
        """Tokens of the longest utterance that there are positions for."""
        return self.max_positions - self.first_position

    @classmethod
    def from_dict(cls, hugging_face: Mapping[str, Any]) -> "BertConfig":
        """The config in a Hugging Face `config.json`.

        Raises:
          InputError: another architecture than BERT, RoBERTa and XLM-R, relative positions, a decoder, or a size that is
            missing.
        """
        kind = hugging_face.get("model_type")
        if kind is None:  # old configs name no type; some name the classes they were saved from
            kind = _kind_of_class(hugging_face.get("architectures"))
        if kind not in MODEL_TYPES:
            raise InputError(f"model_type is {kind!r}; expected an encoder of type {', '.join(MODEL_TYPES)}")
        if (positions := hugging_face.get("position_embedding_type", "absolute")) != "absolute":
            raise InputError(f"position_embedding_type is {positions!r}; only 'absolute' is supported")
        if hugging_face.get("is_decoder") or hugging_face.get("add_cross_attention"):
            raise InputError("is_decoder or add_cross_attention is set; only encoders are supported")
        fields = {}
        for name, theirs in _HUGGING_FACE_NAMES.items():
            if theirs in hugging_face:
                fields[name] = hugging_face[theirs]
            elif name in _REQUIRED:
                raise InputError(f"{theirs} is missing; expected a BERT config")
        is_roberta = kind != "bert"
        if fields.get("pad_id") is None:
            fields["pad_id"] = int(is_roberta)
        if is_roberta and isinstance(fields["pad_id"], int):
            fields["first_position"] = fields["pad_id"] + 1
        act = fields.get("hidden_act")
        if isinstance(act, str):
            fields["hidden_act"] = _ACTIVATION_ALIASES.get(act, act)
        return cls(**fields)

    def to_dict(self) -> dict[str, Any]:
        """The same config in the words of a Hugging Face `config.json`."""
        named = {theirs: getattr(self, name) for name, theirs in _HUGGING_FACE_NAMES.items()}
        kind = {"architectures": ["BertModel"], "model_type": "bert"}
        if self.first_position:
            kind = {"architectures": ["RobertaModel"], "model_type": "roberta"}
        return {**kind, "position_embedding_type": "absolute", **named}


def _kind_of_class(classes: Any) -> Any:
    """The model_type of the first class name, such as RobertaForMaskedLM; the name itself if it is of another kind."""
    if not classes:
        return "bert"
    first = classes[0] if isinstance(classes, list) else classes
    found = re.match("(Bert|Roberta|XLMRoberta)(Model|LMHead|For)", str(first))
    return {"Bert": "bert", "Roberta": "roberta", "XLMRoberta": "xlm-roberta"}[found[1]] if found else first


_REQUIRED = ("vocab_size", "hidden_size", "num_layers", "num_heads", "intermediate_size", "max_positions")
_HUGGING_FACE_NAMES = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "max_positions": "max_position_embeddings",
    "type_vocab_size": "type_vocab_size",
    "layer_norm_eps": "layer_norm_eps",
    "hidden_dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "hidden_act": "hidden_act",
    "pad_id": "pad_token_id",
}
