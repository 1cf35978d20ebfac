"""ConFEDE: contrastive feature decomposition.

Paper: Yang, Yu, Niu, Guo, Xu. ConFEDE: Contrastive Feature Decomposition for Multimodal Sentiment Analysis. ACL 2023.
Reference code: github.com/XpastaX/ConFEDE (MIT); facts only, no line is taken from it.

The way of a batch (msa_jax.methods.decomposed has network and stages). Each sample of a batch comes with six partners from
the training split, two of each kind: similar and of the same class, dissimilar and of another one, similar and of another
one. The objective is the squared error of the fused score, 0.1 times a contrast between the seven samples of a group and
between the parts of each (msa_jax.losses.confede), and 0.01 times the squared error of the scores of the single parts;
partners count in all of it as the samples do. Rankings are made anew every second epoch (msa_jax.labels.retrieval).

Readings and deviations, and why.
- Features for the ranking are those that training has seen last, of each row. The authors' code encodes the whole split
  anew without dropout. The first ranking of the fusion rests on what the last stage of the encoders left, a ranking is made
  at each of its epochs' ends; the code ranks before epoch 1, by the same encoders, and then before epochs 3, 5 and so on,
  as here. Where no encoder is pretrained, the first epoch has candidates of the right classes in the order of the dataset.
- Partners are rows. The code takes places in the ranking for rows (`retrieval.by_rank_position`).
- Means of audio and vision are over valid steps; the code's are over padding too (`padding_mean`). In the code the first
  frame is always valid; here an utterance without frames has its token left.
- The schedule of stage_text is that of two stages, one with BERT frozen and one without, each with a warm-up of its own; in
  the code it is one, and nothing of the first is ever selected. A frozen BERT has no dropout (`encode_once` false gives it
  back).
- Weight decay is AdamW's throughout. The code has L2 in the gradient and AMSGrad for audio and vision of MOSI and SIMS; the
  former is `weight_decay_mode` of their stages, the latter is not here. Biases and LayerNorms have no decay; the code means
  to exempt them, in the fusion, by names that its own LayerNorms do not have.
- Text is BERT's pooled [CLS] of the tokens that the dataset gives; the code tokenises anew, up to 256.
- Absent modalities: without text V_s takes the place of T_s as the anchor within samples. With a single modality there are
  pairs between samples only, and no contrast where `between_samples` is off.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp

from msa_jax import losses
from msa_jax.errors import InputError
from msa_jax.labels import retrieval
from msa_jax.labels.retrieval import Partners
from msa_jax.losses.confede import GROUP
from msa_jax.methods import decomposed
from msa_jax.methods.decomposed import PARTS, STAGES, DecomposedNetwork, DecomposedOptions
from msa_jax.methods.protocol import Batch, Clock, Inputs, Method, Stage

Array = jax.Array


@dataclass(frozen=True, kw_only=True)
class RetrievalOptions:
    """How partners are found (msa_jax.labels.retrieval).

    candidates: kept of each kind; the authors' code has 50 for MOSEI.
    refresh_epochs: of the fusion, from one ranking to the next; 10 for SIMS in the code.
    classes: labels are of one class where they are equal, "rounded" to integers or "exact"; "auto" is exact where the label
      range is no wider than 2.
    by_rank_position: places in the ranking are taken for rows, as in the authors' code.
    """

    candidates: int = 10
    refresh_epochs: int = 2
    classes: Literal["auto", "rounded", "exact"] = "auto"
    by_rank_position: bool = False


@dataclass(frozen=True, kw_only=True)
class ContrastOptions(DecomposedOptions):
    """temperature: of the contrast. retrieval: of partners, where it is between samples."""

    temperature: float = 0.5
    retrieval: RetrievalOptions = RetrievalOptions()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temperature > 0:
            raise InputError(f"option temperature is {self.temperature}; expected a positive number")
        for name, least in (("candidates", 2), ("refresh_epochs", 1)):
            if (value := getattr(self.retrieval, name)) < least:
                raise InputError(f"option retrieval.{name} is {value}; expected a whole number of at least {least}")


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Of what is added to the loss of the fused score."""

    contrast: float = 0.1
    unimodal: float = 0.01


@dataclass(frozen=True, kw_only=True)
class ConFEDEOptions(ContrastOptions):
    """Options of ConFEDE.

    weights: of the loss terms.
    between_samples: give each sample its six partners; false leaves the contrast within samples, and a seventh of the work.
    """

    weights: LossWeights = LossWeights()
    between_samples: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("contrast", "unimodal"):
            if (value := getattr(self.weights, name)) < 0:
                raise InputError(f"option weights.{name} is {value}; expected a number that is not negative")


REFERENCE: dict[str, Any] = {
    "padding_mean": True,
    "retrieval.by_rank_position": True,
    "encode_once": False,
    "stage_audio.weight_decay_mode": "coupled",
    "stage_vision.weight_decay_mode": "coupled",
}


# -- the contrast -----------------------------------------------------------------------------------------------------


def within_sample(parts: Mapping[str, Array]) -> tuple[Array, Array, Array] | None:
    """The pairs of parts of one sample that are contrasted (DMMSA, eq. 11-12).

    Args:
      parts: [B, d] each.

    Returns:
      T_s [B, d], its positives V_s and A_s [B, P, d], its negatives T_d, V_d and A_d [B, N, d]. Without text V_s is the anchor.
      None with a single modality, which has no positive.
    """
    similar = [parts[name] for name in PARTS if name in parts and name[1] == "s"]
    dissimilar = [parts[name] for name in PARTS if name in parts and name[1] == "d"]
    if len(similar) < 2:
        return None
    return similar[0], jnp.stack(similar[1:], axis=1), jnp.stack(dissimilar, axis=1)


def group_contrast(parts: Mapping[str, Array], where: Array, options: ContrastOptions) -> Array:
    """Parts [7 B, d] each, every sample followed by its six partners, where [7 B] -> [7 B], the same for all of a group."""
    groups = {name: part.reshape(-1, GROUP, part.shape[-1]) for name, part in parts.items()}
    loss = losses.confede_contrast(groups, temperature=options.temperature, where=where.reshape(-1, GROUP)[:, 0])
    return jnp.repeat(loss, GROUP, total_repeat_length=len(where))


def objective(
    outputs: Mapping[str, Any],
    batch: Batch,
    memory: Any,
    clock: Clock,
    options: ConFEDEOptions,
    inputs: Inputs,
    *,
    grouped: bool = False,
) -> tuple[dict[str, Array], Any]:
    """The terms of the fusion. grouped: every sample of the batch is followed by its six partners."""
    parts, where = outputs["parts"], batch["weight"] > 0
    terms = {
        "multimodal": decomposed.distance(outputs["prediction"], batch["label"], options),
        "unimodal": decomposed.unimodal_loss(outputs, batch, options, inputs),
    }
    if grouped:
        terms["contrast"] = group_contrast(parts, where, options)
    elif (pairs := within_sample(parts)) is not None:
        terms["contrast"] = losses.nt_xent(*pairs, temperature=options.temperature, where=where)
    return terms, remember(memory, outputs["features"], batch)


def weights(options: ConFEDEOptions, memory: Any) -> dict[str, float]:
    """0.1 and 0.01."""
    return {"contrast": options.weights.contrast, "unimodal": options.weights.unimodal}


# -- partners ---------------------------------------------------------------------------------------------------------


def partners_memory(options: ContrastOptions, inputs: Inputs, columns: Mapping[str, Array]) -> dict[str, Any]:
    """What the ranking needs.

    Returns:
      features {modality: [N, d]}, those that training has seen last; classes [N]; candidates; epochs, of the fusion so far.
    """
    widths = {
        name: decomposed.text_width(inputs) if name == "text" else decomposed.encoder_width(options, inputs)
        for name in inputs.modalities
    }
    label = jnp.asarray(columns["label"], jnp.float32)
    low, high = inputs.label_range
    exact = options.retrieval.classes == "exact" or (options.retrieval.classes == "auto" and high - low <= 2)
    classes = label if exact else jnp.round(label)
    rows, kept = len(label), options.retrieval.candidates
    itself = jnp.broadcast_to(jnp.arange(rows, dtype=jnp.int32)[:, None, None], (rows, retrieval.KINDS, kept))
    memory = {
        "features": {name: jnp.zeros((rows, width), jnp.float32) for name, width in widths.items()},
        "classes": classes,
        "candidates": Partners(rows=itself, counts=jnp.zeros((rows, retrieval.KINDS), jnp.int32)),
        "epochs": jnp.int32(0),
    }
    if _last_stage(options, inputs.modalities) is None:  # otherwise they are ranked before they are read
        memory["candidates"] = _rank(jnp.bool_(True), {**memory, "features": {"none": jnp.zeros((rows, 1))}}, options)
    return memory


def remember(memory: Any, features: Mapping[str, Array], batch: Batch) -> Any:
    """The memory with the features [B, d] of these rows in the place of their older ones; nothing where it has none."""
    if "features" not in memory:
        return memory
    row, rows = batch["row"], len(memory["classes"])
    number = jnp.arange(len(row), dtype=row.dtype)
    # A row that is drawn twice has two features. One of them, always the first: a scatter would choose at random on a GPU.
    name = jnp.where(batch["weight"] > 0, row, rows + number)
    first = jnp.argmax(name[:, None] == name[None, :], axis=1) == number
    place = jnp.where(first, name, rows)
    seen = {
        key: memory["features"][key].at[place].set(jax.lax.stop_gradient(value), mode="drop")
        for key, value in features.items()
    }
    return {**memory, "features": {**memory["features"], **seen}}


def partners(memory: Any, rows: Array, key: Array, options: ContrastOptions) -> Array:
    """[B] rows -> [B, 6], two partners of each kind."""
    return retrieval.sample(memory["candidates"], rows, key)


def rank_again(memory: Any, means: Mapping[str, Array], options: ContrastOptions) -> Any:
    """New candidates where an epoch of the fusion asks for them, or one of the last stage before it has ended."""
    if "multimodal" in means:
        epochs = memory["epochs"] + 1
        now = epochs % options.retrieval.refresh_epochs == 0
    elif _last_stage(options, tuple(memory["features"])) in means:
        epochs, now = memory["epochs"], jnp.bool_(True)
    else:
        return memory
    return {**memory, "candidates": _rank(now, memory, options), "epochs": epochs}


def _last_stage(options: ContrastOptions, modalities: tuple[str, ...]) -> str | None:
    """The modality whose encoder is the last to be pretrained."""
    trained = [name for name in STAGES if name in modalities and getattr(options, f"stage_{name}").max_epochs]
    return trained[-1] if trained else None


def _rank(now: Array, memory: Mapping[str, Any], options: ContrastOptions) -> Partners:
    """The candidates by the features as they are, where it is time for them; else those there are."""
    found = options.retrieval
    of = memory["candidates"], memory["features"], memory["classes"]
    return _rank_where(now, *of, candidates=found.candidates, by_rank_position=found.by_rank_position)


@partial(jax.jit, static_argnames=("candidates", "by_rank_position"))
def _rank_where(
    now: Array, old: Partners, features: Mapping[str, Array], classes: Array, *, candidates: int, by_rank_position: bool
) -> Partners:
    """Compiled as a whole: it is called between epochs, outside of any compiled program."""

    def new() -> Partners:
        together = jnp.concatenate([features[name] for name in sorted(features)], axis=-1)
        return retrieval.rank(together, classes, candidates=candidates, exact=True, by_rank_position=by_rank_position)

    return jax.lax.cond(now, new, lambda: old)


# -- the method -------------------------------------------------------------------------------------------------------


def stages(options: ConFEDEOptions, inputs: Inputs) -> tuple[Stage, ...]:
    """The encoders, then the fusion."""
    fusion = {"objective": partial(objective, grouped=True), "partners": partners} if options.between_samples else {}
    return decomposed.stages(options, inputs, remember=remember, **fusion)


def init_memory(options: ConFEDEOptions, inputs: Inputs, columns: Mapping[str, Array]) -> dict[str, Any]:
    """What the ranking needs, or nothing."""
    return partners_memory(options, inputs, columns) if options.between_samples else {}


def end_epoch(memory: Any, means: Mapping[str, Array], options: ConFEDEOptions) -> Any:
    """New candidates when it is time for them."""
    return rank_again(memory, means, options) if memory else memory


METHOD = Method(
    name="confede",
    paper="Yang et al., ACL 2023: ConFEDE, Contrastive Feature Decomposition for Multimodal Sentiment Analysis",
    options=ConFEDEOptions,
    reference=REFERENCE,
    network=DecomposedNetwork,
    objective=objective,
    groups=decomposed.groups,
    heads=("prediction", "text", "audio", "vision"),
    exports=decomposed.EXPORTS,
    init_memory=init_memory,
    end_epoch=end_epoch,
    weights=weights,
    stages=stages,
    check=decomposed.check,
)
