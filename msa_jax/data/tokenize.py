"""From texts to token ids: the tokenizer of a pretrained encoder, or one built from the training text."""

import hashlib
import heapq
import importlib.util
import itertools
import json
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from msa_jax import json_text
from msa_jax.errors import DataWarning, InputError

_VOCABULARY_FILES = "tokenizer.json, vocab.txt, vocab.json with merges.txt, or a sentencepiece model (*.model)"
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_PAD_TOKENS = ("[PAD]", "<pad>")
_UNKNOWN_TOKENS = ("[UNK]", "<unk>")
# Characters of the longest word that a built tokenizer takes apart; a longer one is unknown. BERT's 100 are fewer than a
# clause of Thai has, which is one word here. The time that one takes grows with the cube of them.
_LONGEST_WORD = 1000
# Of a vocabulary that is learnt from texts: arguments of `_from_vocabulary`.
_BUILT: dict[str, Any] = {"options": {"strip_accents": False}, "longest": _LONGEST_WORD, "composed": True}


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """Texts to ids, each text framed by the encoder's own special tokens ([CLS] ... [SEP] for BERT).

    Attributes:
      backend: a tokenizer of the package tokenizers. Truncation and padding are set by `encode` alone; what the backend
        itself says of them is removed.
    """

    backend: tokenizers.Tokenizer

    def __post_init__(self):
        self.backend.no_truncation()
        self.backend.no_padding()

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return max(self.backend.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def pad_id(self) -> int:
        """The id at padding; 0 where the vocabulary has no padding token."""
        return next((i for i in map(self.backend.token_to_id, _PAD_TOKENS) if i is not None), 0)

    @property
    def tokens(self) -> int:
        """How many tokens the vocabulary has, special ones included."""
        return self.backend.get_vocab_size(with_added_tokens=True)

    @property
    def first_id(self) -> int | None:
        """The id that every text begins with, that of [CLS] or <s>; None where texts are not framed."""
        frame = self.backend.post_process(self.backend.encode("", add_special_tokens=False)).ids
        return frame[0] if frame else None

    @property
    def unknown_id(self) -> int | None:
        """The id of what the vocabulary lacks; None if there is none."""
        return next((i for i in map(self.backend.token_to_id, _UNKNOWN_TOKENS) if i is not None), None)

    def unknown_share(self, ids: np.ndarray, mask: np.ndarray) -> float:
        """The share in [0, 1] of tokens that stand for what the vocabulary lacks; what frames a text does not count.

        Args:
          ids, mask: [N, T] of N texts, from `encode`.
        """
        special = self.backend.num_special_tokens_to_add(is_pair=False)
        count = int(mask.sum()) - special * len(ids)
        unknown = self.unknown_id
        if unknown is None or count <= 0:
            return 0.0
        return int(((ids == unknown) & (mask > 0)).sum()) / count

    def encode(
        self, texts: Sequence[str], *, max_tokens: int, length: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Token ids of texts; token types are all 0 and not returned.

        Args:
          texts: N strings. An empty one gives the special tokens alone.
          max_tokens: longer texts lose their end, but not the special tokens.
          length: T; by default that of the longest text of this call.

        Returns:
          ids [N, T] int32, `pad_id` behind each text, and mask [N, T] int32, 1 at tokens and 0 at padding.

        Raises:
          InputError: an element of `texts` that is not a string, `max_tokens` with no room beside the special tokens,
            or `length` below `max_tokens`.
        """
        if length is not None and length < max_tokens:
            raise InputError(f"length is {length}; expected at least max_tokens, {max_tokens}")
        encoded = [whole.ids for _, whole in self._encodings(texts, max_tokens)]
        if length is None:
            length = max(map(len, encoded), default=0)
        ids = np.full((len(encoded), length), self.pad_id, np.int32)
        mask = np.zeros((len(encoded), length), np.int32)
        for row, tokens in enumerate(encoded):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        return ids, mask

    def spans(self, text: str, *, max_tokens: int) -> list[tuple[int, int] | None]:
        """The characters [start, end) of a text that each of its tokens stands for; None for a special token.

        Args:
          text: one text. max_tokens: as in `encode`, which gives as many tokens.
        """
        ((own, whole),) = self._encodings([text], max_tokens)
        spans = iter(
            own.offsets
        )  # a byte-level tokenizer would cut the space in front of a word off those of `whole` twice
        return [None if special else next(spans) for special in whole.special_tokens_mask]

    def vocabulary_sha256(self) -> str:
        """Of the tokens and their ids: two tokenizers of one vocabulary have the same."""
        vocabulary = sorted(self.backend.get_vocab(with_added_tokens=True).items())
        return hashlib.sha256(json.dumps(vocabulary).encode()).hexdigest()

    def _encodings(
        self, texts: Sequence[str], max_tokens: int
    ) -> list[tuple[tokenizers.Encoding, tokenizers.Encoding]]:
        """Of each text without and with special tokens."""
        special = self.backend.num_special_tokens_to_add(is_pair=False)
        if max_tokens <= special:
            raise InputError(f"max_tokens is {max_tokens}; expected at least {special + 1}, {special} of them special")
        encoded = []
        for encoding in self.backend.encode_batch(_strings(texts), add_special_tokens=False):
            encoding.truncate(min(max_tokens - special, len(encoding)))
            encoded.append((encoding, self.backend.post_process(encoding, add_special_tokens=True)))
        return encoded

    def save(self, folder: str | Path) -> None:
        """Writes `tokenizer.json`, which `load_tokenizer` and Hugging Face's libraries read."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        text = self.backend.to_str(pretty=True)
        (Path(folder) / "tokenizer.json").write_text(text + "\n", encoding="utf-8")


def _strings(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise InputError("texts is one string; expected a sequence of strings")
    strings = []
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"row {row}: the text is a {type(text).__name__}; expected a string")
        # Half of a surrogate pair cannot be encoded; it stands for no character.
        strings.append(text.encode("utf-8", "replace").decode("utf-8"))
    return strings


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer in a Hugging Face folder.

    `tokenizer.json` is read as it is; otherwise `vocab.txt` makes a BERT WordPiece tokenizer, cased or not by
    `tokenizer_config.json`; any other is left to transformers, such as RoBERTa's byte-level BPE in `vocab.json` and
    `merges.txt`, the sentencepiece model of XLM-R, and a BERT with tokens that were added to its `vocab.txt`.

    Raises:
      InputError: no such folder, a damaged file, no vocabulary beyond special tokens, no tokenizer in it that works
        without its own Python code, or an added token whose id is not the next one.

    Warns:
      DataWarning: `tokenizer_config.json` and `tokenizer.json` differ in upper case or accents.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one with tokenizer.json or vocab.txt")
    if (folder / "tokenizer.json").is_file():
        try:
            backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the package raises plain Exception
            raise InputError(f"{folder / 'tokenizer.json'}: not a readable tokenizer ({error})") from None
        _warn_of_other_options(backend, folder)
        return Tokenizer(backend)
    options = _read_options(folder / "tokenizer_config.json")
    is_bert = str(options.get("tokenizer_class", "BertTokenizer")).removesuffix("Fast") == "BertTokenizer"
    if not is_bert or not (folder / "vocab.txt").is_file():
        return _from_transformers(folder)
    vocabulary, added = _read_vocabulary(folder / "vocab.txt"), _added_tokens(folder, options)
    if added.keys() <= set(vocabulary):
        return _from_vocabulary(vocabulary, options)
    tokenizer = _from_transformers(folder, "BertTokenizerFast")  # by its name, so that no config.json needs to tell it
    for token, index in added.items():  # transformers gives an added token the next id, whatever the file says
        if (found := tokenizer.backend.token_to_id(token)) != index:
            raise InputError(f"{folder}: the added token {token!r} has id {index!r}; expected {found}, the next one")
    return tokenizer


def _warn_of_other_options(backend: tokenizers.Tokenizer, folder: Path) -> None:
    """Says where `tokenizer_config.json` asks for another case or other accents than `tokenizer.json`, which is read."""
    normalizer = backend.normalizer
    if not isinstance(normalizer, tokenizers.normalizers.BertNormalizer):
        return
    options = _read_options(folder / "tokenizer_config.json")
    strips = normalizer.lowercase if normalizer.strip_accents is None else normalizer.strip_accents
    done = {"do_lower_case": normalizer.lowercase, "strip_accents": strips}
    other = [
        f"{name} {str(asked).lower()}"
        for name, does in done.items()
        if isinstance(asked := options.get(name), bool) and asked != does
    ]
    if other:
        warnings.warn(
            f"{folder}: tokenizer_config.json says {' and '.join(other)}, tokenizer.json does otherwise; tokenizer.json is "
            "used: if it is the wrong one, correct it",
            DataWarning,
            stacklevel=3,
        )


def _added_tokens(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """{token: id}, those that `added_tokens.json` or `tokenizer_config.json` names."""
    added = _read_options(folder / "added_tokens.json")
    try:
        told = (options.get("added_tokens_decoder") or {}).items()
        return {**added, **{token["content"]: int(index) for index, token in told}}
    except (AttributeError, TypeError, KeyError, ValueError):
        path = folder / "tokenizer_config.json"
        raise InputError(f"{path}: added_tokens_decoder cannot be read; expected tokens by their ids") from None


def _read_options(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        options = json_text.parse(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable JSON ({error})") from None
    if not isinstance(options, dict):
        raise InputError(f"{path}: holds a {type(options).__name__}; expected a JSON object")
    return options


def _read_vocabulary(path: Path) -> list[str]:
    try:
        # Only line feeds end a token: some vocabularies hold other separators as tokens of their own.
        tokens = path.read_bytes().decode("utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable UTF-8 text ({error})") from None
    tokens = [token.rstrip("\r") for token in tokens]
    missing = [token for token in ("[UNK]", "[CLS]", "[SEP]") if token not in tokens]
    if missing:
        raise InputError(f"{path}: lacks {' '.join(missing)}; expected a BERT vocabulary, one token per line")
    return tokens


def _from_vocabulary(
    tokens: Sequence[str], options: dict[str, Any], *, longest: int = 100, composed: bool = False
) -> Tokenizer:
    """BERT's WordPiece.

    Args:
      tokens: in the order of their ids.
      options: in the words of a `tokenizer_config.json`.
      longest: characters of a word.
      composed: a letter and its accent, written as two characters, count as the one character (NFC).
    """
    vocabulary = {token: index for index, token in enumerate(tokens)}
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=longest)
    )
    normalizer = tokenizers.normalizers.BertNormalizer(
        lowercase=options.get("do_lower_case", True),
        strip_accents=options.get("strip_accents"),
        handle_chinese_chars=options.get("tokenize_chinese_chars", True),
    )
    nfc = tokenizers.normalizers.NFC()
    backend.normalizer = tokenizers.normalizers.Sequence([nfc, normalizer]) if composed else normalizer
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    backend.decoder = tokenizers.decoders.WordPiece()
    # Written out in a text, these stay whole.
    backend.add_special_tokens([token for token in SPECIAL_TOKENS if token in vocabulary])
    return Tokenizer(backend)


def _from_transformers(folder: Path, kind: str = "AutoTokenizer") -> Tokenizer:
    import transformers

    models = sorted(folder.glob("*.model"))
    if models and importlib.util.find_spec("sentencepiece") is None:
        raise InputError(
            f"{models[0]}: a sentencepiece model, which the package sentencepiece reads and is not installed; install it "
            "with protobuf, or put the tokenizer.json of the same encoder beside the model"
        )
    try:
        tokenizer = getattr(transformers, kind).from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # transformers has many ways to fail, and optional packages it may miss
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{folder}: no tokenizer that can be read ({type(error).__name__}: {reason})") from None
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, tokenizers.Tokenizer):
        raise InputError(f"{folder}: {type(tokenizer).__name__} has no tokenizer.json form; expected a fast tokenizer")
    # Without a vocabulary transformers makes a tokenizer all the same, to which every word is unknown.
    if set(backend.get_vocab(with_added_tokens=True)) <= set(tokenizer.all_special_tokens):
        raise InputError(f"{folder}: no vocabulary; expected {_VOCABULARY_FILES}")
    return Tokenizer(tokenizers.Tokenizer.from_str(backend.to_str()))


def build_tokenizer(texts: Iterable[str], *, vocab_size: int = 4096) -> Tokenizer:
    """A lower-cased WordPiece tokenizer with a vocabulary learnt from texts: the same texts give the same vocabulary.

    Every character of the texts is a piece; then the most frequent pair of neighbouring pieces becomes a piece, again
    and again (byte-pair merges, ties to the pair that sorts first), so frequent words end up whole. What occurs only
    once is not merged: it trains the pieces that unseen words will be made of. Chinese characters are words. Accents and vowel
    signs stay, unlike in BERT's lower-cased vocabularies: without them, words of many languages are other words.

    Args:
      texts: of the training split.
      vocab_size: at most; less where the texts give no more. With more characters than fit, the rarest are left out.

    Raises:
      InputError: no text, an element that is not a string, or a size with no room beside the special tokens.
    """
    if vocab_size <= len(SPECIAL_TOKENS):
        raise InputError(f"vocab_size is {vocab_size}; expected more than the {len(SPECIAL_TOKENS)} special tokens")
    bare = _from_vocabulary(SPECIAL_TOKENS, **_BUILT).backend
    words: Counter[str] = Counter()
    for text in _strings(list(texts)):
        words.update(word for word, _ in bare.pre_tokenizer.pre_tokenize_str(bare.normalizer.normalize_str(text)))
    if not words:
        raise InputError("no words in the texts; expected at least one to build a vocabulary from")
    pieces = _learn_pieces(words, vocab_size - len(SPECIAL_TOKENS))
    return _from_vocabulary([*SPECIAL_TOKENS, *pieces], **_BUILT)


def _learn_pieces(words: Counter[str], size: int) -> list[str]:
    """Pieces by byte-pair merges over word counts; those that continue a word begin with ##."""
    ordered = sorted(words)
    counts = [words[word] for word in ordered]
    spelled = [[word[0], *("##" + character for character in word[1:])] for word in ordered]
    characters: Counter[str] = Counter()
    for pieces, count in zip(spelled, counts, strict=True):
        for piece in pieces:
            characters[piece] += count
    learnt = dict.fromkeys(sorted(characters, key=lambda piece: (-characters[piece], piece))[:size])

    pairs: Counter[tuple[str, str]] = Counter()
    places: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for index, pieces in enumerate(spelled):
        for pair in itertools.pairwise(pieces):
            pairs[pair] += counts[index]
            places[pair].add(index)
    heap = [(-count, pair) for pair, count in pairs.items()]
    heapq.heapify(heap)
    while heap and len(learnt) < size:
        negative, pair = heapq.heappop(heap)
        if -negative != pairs[pair]:  # changed since it was pushed; its present count was pushed then
            continue
        if pairs[pair] < 2:
            break
        changed = set()
        for index in places.pop(pair):
            before, after = spelled[index], _merged(spelled[index], pair)
            spelled[index] = after
            for sign, pieces in ((-1, before), (1, after)):
                for neighbours in itertools.pairwise(pieces):
                    pairs[neighbours] += sign * counts[index]
                    places[neighbours].add(index)
                    changed.add(neighbours)
        learnt[_joined(pair)] = None
        for neighbours in changed:
            if pairs[neighbours] > 0:
                heapq.heappush(heap, (-pairs[neighbours], neighbours))
    return list(learnt)


def _joined(pair: tuple[str, str]) -> str:
    return pair[0] + pair[1].removeprefix("##")


def _merged(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] = _joined(pair)
        else:
            merged.append(piece)
    return merged
