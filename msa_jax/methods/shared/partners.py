"""The contrast of ConFEDE within samples and between a sample and its partners, and the memory that partners come from.

Paper: Yang, Yu, Niu, Guo, Xu. ConFEDE: Contrastive Feature Decomposition for Multimodal Sentiment Analysis. ACL 2023.
The loss is msa_jax.losses.confede, the ranking msa_jax.labels.retrieval. DMMSA takes pairs within samples, or all of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from msa_jax import losses
from msa_jax.errors import InputError
from msa_jax.labels import retrieval
from msa_jax.labels.retrieval import Partners
from msa_jax.losses.confede import GROUP
from msa_jax.methods.protocol import Batch, Begin, Inputs
from msa_jax.methods.shared.decomposed import PARTS, DecomposedOptions, feature_widths
from msa_jax.methods.shared.encoder_stages import trained_encoders
from msa_jax.methods.shared.presence import has
from msa_jax.modalities import LETTER

Array = jax.Array


@dataclass(frozen=True, kw_only=True)
class RetrievalOptions:
    """How partners are found (msa_jax.labels.retrieval).

    Options of the retrieval:
      candidates: Number of candidates of each kind that are kept. The authors' code has 50 for MOSEI.
      refresh_epochs: Number of epochs of the fusion from one ranking to the next. The authors' code has ten for SIMS.
      classes: Labels of one class are equal when `rounded` to whole numbers, or `exact`. `auto` is `exact` if the label
        range is no wider than two.
      by_rank_position: Whether positions in the ranking are used as numbers of samples, as in the authors' code.
    """

    candidates: int = 10
    refresh_epochs: int = 2
    classes: Literal["auto", "rounded", "exact"] = "auto"
    by_rank_position: bool = False


@dataclass(frozen=True, kw_only=True)
class ContrastOptions(DecomposedOptions):
    """Options of the contrast of ConFEDE.

    Contrast:
      temperature: Temperature of the contrast.
      retrieval: Retrieval of partners, if the contrast is between samples.
    """

    temperature: float = 0.5
    retrieval: RetrievalOptions = RetrievalOptions()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temperature > 0:
            raise InputError(f"option temperature is {self.temperature}; expected a positive number")
        for name, least in (("candidates", 2), ("refresh_epochs", 1)):
            if (value := getattr(self.retrieval, name)) < least:
                raise InputError(f"option retrieval.{name} is {value}; expected a whole number of at least {least}")


# -- the contrast -----------------------------------------------------------------------------------------------------


class Pairs(NamedTuple):
    """An anchor [B, d], its positives [B, P, d] and negatives [B, N, d]; there: [B, P] and [B, N] bool, those that count."""

    anchor: Array
    positives: Array
    negatives: Array
    there: tuple[Array, Array]


def there_of(batch: Batch, inputs: Inputs) -> dict[str, Array]:
    """{letter of a modality: [B] bool}, the samples that have it."""
    return {LETTER[name]: has(batch, name, inputs) for name in inputs.modalities}


def within_sample(parts: Mapping[str, Array], there: Mapping[str, Array]) -> Pairs | None:
    """The pairs of parts of one sample that are contrasted (DMMSA, eq. 11-12).

    Args:
      parts: [B, d] each. there: {letter: [B] bool}, samples that have the modality.

    Returns:
      T_s, its positives V_s and A_s, its negatives T_d, V_d and A_d. The anchor of a sample without text is V_s, and parts of
      modalities that it lacks do not count. None with a single modality, which has no positive.
    """
    similar = [name for name in PARTS if name in parts and name[1] == "s"]
    dissimilar = [name for name in PARTS if name in parts and name[1] == "d"]
    if len(similar) < 2:
        return None
    positives, negatives = (jnp.stack([parts[name] for name in names], axis=1) for names in (similar, dissimilar))
    has_similar, has_dissimilar = (jnp.stack([there[name[0]] for name in of], axis=1) for of in (similar, dissimilar))
    main = jnp.argmax(has_similar, axis=1)  # [B], the first modality that a sample has
    anchor = jnp.take_along_axis(positives, main[:, None, None], axis=1)[:, 0]
    others = has_similar & (jnp.arange(len(similar))[None] != main[:, None])
    return Pairs(anchor, positives, negatives, (others, has_dissimilar))


def group_contrast(
    parts: Mapping[str, Array], where: Array, there: Mapping[str, Array], options: ContrastOptions
) -> Array:
    """Parts [7 B, d] each, every sample followed by its six partners, where [7 B], {letter: [7 B] bool} of the samples that
    have the modality -> [7 B], the same for all of a group."""
    groups = {name: part.reshape(-1, GROUP, part.shape[-1]) for name, part in parts.items()}
    loss = losses.confede_contrast(
        groups,
        temperature=options.temperature,
        where=where.reshape(-1, GROUP)[:, 0],
        there={letter: has.reshape(-1, GROUP) for letter, has in there.items()},
    )
    return jnp.repeat(loss, GROUP, total_repeat_length=len(where))


# -- partners ---------------------------------------------------------------------------------------------------------


def init_memory(options: ContrastOptions, inputs: Inputs, columns: Mapping[str, Array]) -> dict[str, Any]:
    """What the ranking needs.

    Returns:
      features {modality: [N, d]}, those that training has seen last; classes [N]; candidates; epochs, of the fusion so far.
    """
    label = jnp.asarray(columns["label"], jnp.float32)
    low, high = inputs.label_range
    exact = options.retrieval.classes == "exact" or (options.retrieval.classes == "auto" and high - low <= 2)
    classes = label if exact else jnp.round(label)
    rows, kept = len(label), options.retrieval.candidates
    itself = jnp.broadcast_to(jnp.arange(rows, dtype=jnp.int32)[:, None, None], (rows, retrieval.KINDS, kept))
    memory = {
        "features": {
            name: jnp.zeros((rows, width), jnp.float32) for name, width in feature_widths(options, inputs).items()
        },
        "classes": classes,
        "candidates": Partners(rows=itself, counts=jnp.zeros((rows, retrieval.KINDS), jnp.int32)),
        "epochs": jnp.int32(0),
    }
    if not trained_encoders(options, inputs):  # otherwise they are ranked before they are read
        memory["candidates"] = _rank(jnp.bool_(True), {**memory, "features": {"none": jnp.zeros((rows, 1))}}, options)
    return memory


def remember(memory: Any, features: Mapping[str, Array], batch: Batch, inputs: Inputs) -> Any:
    """The memory with the features {modality: [B, d]} of these rows in the place of their older ones, where a row has the
    modality."""
    row, rows = batch["row"], len(memory["classes"])
    number = jnp.arange(len(row), dtype=row.dtype)
    seen: dict[str, Array] = {}
    for modality, value in features.items():
        # A row that is drawn twice has two features. One of them, always the first: a scatter would choose at random on a GPU.
        name = jnp.where((batch["weight"] > 0) & has(batch, modality, inputs), row, rows + number)
        first = jnp.argmax(name[:, None] == name[None, :], axis=1) == number
        place = jnp.where(first, name, rows)
        seen[modality] = memory["features"][modality].at[place].set(jax.lax.stop_gradient(value), mode="drop")
    return {**memory, "features": {**memory["features"], **seen}}


def draw(memory: Any, rows: Array, key: Array, options: ContrastOptions) -> Array:
    """[B] rows -> [B, 6], two partners of each kind."""
    return retrieval.sample(memory["candidates"], rows, key)


def begin(options: ContrastOptions, inputs: Inputs) -> Begin | None:
    """Of the fusion: candidates by what the encoders make of the training split as the fusion finds them; None if none is
    trained before."""
    trained = trained_encoders(options, inputs)
    return Begin(tuple(f"feature_{name}" for name in trained), rank_at_first) if trained else None


def rank_at_first(
    memory: Any, outputs: Mapping[str, Array], columns: Any, options: ContrastOptions, inputs: Inputs
) -> Any:
    """The memory with the features of every row, zeros of a modality that it lacks or whose encoder is not trained, and with
    candidates by these."""
    found = {name: outputs[f"feature_{name}"] for name in trained_encoders(options, inputs)}
    seen = {name: jnp.where(has(columns, name, inputs)[:, None], value, 0.0) for name, value in found.items()}
    memory = {**memory, "features": {**memory["features"], **seen}}
    return {**memory, "candidates": _rank(jnp.bool_(True), memory, options)}


def rank_in_fusion(memory: Any, means: Mapping[str, Array], options: ContrastOptions, inputs: Inputs) -> Any:
    """New candidates at the end of every `refresh_epochs`-th epoch of the fusion."""
    epochs = memory["epochs"] + 1
    now = epochs % options.retrieval.refresh_epochs == 0
    return {**memory, "candidates": _rank(now, memory, options), "epochs": epochs}


def _rank(now: Array, memory: Mapping[str, Any], options: ContrastOptions) -> Partners:
    """The candidates by the features as they are, if it is time for them; else those there are."""
    given = memory["candidates"], memory["features"], memory["classes"]
    chosen = options.retrieval
    return _rank_if(now, *given, candidates=chosen.candidates, by_rank_position=chosen.by_rank_position)


@partial(jax.jit, static_argnames=("candidates", "by_rank_position"))
def _rank_if(
    now: Array, old: Partners, features: Mapping[str, Array], classes: Array, *, candidates: int, by_rank_position: bool
) -> Partners:
    """Compiled as a whole: it is called between epochs, outside of any compiled program."""

    def new() -> Partners:
        together = jnp.concatenate([features[name] for name in sorted(features)], axis=-1)
        return retrieval.rank(together, classes, candidates=candidates, by_rank_position=by_rank_position)

    return jax.lax.cond(now, new, lambda: old)
