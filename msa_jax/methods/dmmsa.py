"""DMMSA: dynamic tuning and multi-task learning.

Paper: Dynamic Tuning and Multi-Task Learning Based Model for Multimodal Sentiment Analysis. Applied Sciences 2025, 15(11),
6342.
Reference code: none was published. The network and all settings that the paper leaves open are those of ConFEDE ("our
remaining experimental settings were consistent with"); each reading is written down here.

The way of a batch (msa_jax.methods.shared.decomposed has the network). All parts of all modalities give the score, which
regresses by smooth L1 (L_MSR, eq. 6-7), and classify the sentiment coarsely (L_MSC, eq. 8-9). Each part by itself gives a
score too (L_Uni, eq. 10), and the parts of a sample are contrasted by Multi NT-Xent, with T_s as the anchor (L_CL, eq. 3,
11-12). Eq. 5 adds up; the weights of L_Uni and L_CL follow from how fast both have fallen (GDWG, eq. 13-14).

Readings and why.
 1. Smooth L1 as printed lacks absolute values, and its branches meet only at phi = 1: the usual form is taken, 0.5 d^2 /
    phi below phi and d - 0.5 phi above, phi = 1 (`smooth_l1_beta`).
 2. Eq. 9 has one number of classes, the appendix has 2, 3, 5 and for MOSI and MOSEI 7, as tasks of different difficulty:
    one classifier each, and L_MSC is the mean of their cross-entropies (`classes`), or their sum (`classes_reduce`).
 3. The classifiers have the shape of the fused head and weights of their own: nothing is said, and the figure shows two
    boxes.
 4. Bins: msa_jax.losses.ordinal. Those of MOSI, whose table is garbled, are closed on the left.
 5. L_Uni is the mean over the six parts, as in ConFEDE. 6. Similar parts are compared with the m-label, dissimilar ones
    with the label of their modality or, without one, the m-label, as stated.
 7. sim() is the cosine and tau_m 0.5, as in ConFEDE (`temperature`).
 8. Pairs lie within one sample (eq. 11-12): no partners, no retrieval. `contrast` "confede" brings ConFEDE's back.
 9. Multi NT-Xent is eq. 3 as it stands; its mean over samples is at least log(1 + 3/2 e^-4) = 0.027.
10. A training stage of GDWG is an epoch and its loss the epoch's mean: a first step would be a noisy baseline for all that
    follows. The weights of an epoch come from the one before. 11. J = 2, and the weights sum to 1 as printed (`gdwg_scale`
    is their sum). They are much larger than ConFEDE's fixed 0.01 and 0.1.
12. GDWG's tau is not given: 1 (`gdwg_temperature`). 13. Losses enter eq. 13 unweighted, and no gradient flows through a
    weight.
14. Without GDWG both weights stay what they are at first: 0.5 (`gdwg`), or what `fixed_weights` says; ConFEDE's are 0.01 for
    L_Uni and 0.1 for L_CL. Without L_CL, J = 1 and L_Uni has the weight 1, twice as much as with it: `gdwg_scale` 0.5 leaves
    it at 0.5.
15. The first stages keep ConFEDE's squared error and epochs: the objective that the paper replaces is that of the fusion
    (`encoder_loss`). 16. BERT is frozen in the fusion, as in ConFEDE (`finetune_text_in_fusion`).
17. The encoders are ConFEDE's, but the mean of audio and vision leaves padding out, which must not change a result
    (`padding_mean`), and their layers do not start as copies of one layer. 18. The order of the parts in eq. 6 does not
    matter; ConFEDE's is kept.
19. Selection by the mean absolute error on valid, for every dataset: the paper names nothing, ConFEDE takes it for MOSI and
    MOSEI (`selection`). 20. Five seeds are not named: those of the project.
21. Section 3.1 constrains y* to [-R, R] and gives no formula: the score is unbounded, as in ConFEDE's code. `restricted` lies
    within the range.
22. ConFEDE trains one set of encoders and five fusions on it, so that its spread is that of the fusion. Here each seed trains
    encoders of its own; `stages_from`, the folder of an experiment of one seed, gives all seeds the same. What the encoders'
    stages leave for `contrast` "confede", the features that partners are ranked by, fits no other contrast and no other
    `retrieval.candidates`, and the other way round.
23. The heads `text`, `audio` and `vision` are the regressors of the encoders' stages. The fusion moves the encoders of audio
    and vision and leaves the regressors, so that scores of these two say little about a modality by itself.

"Restricts subsequent predictions to occur only within this area" (section 4.4) has no formula. The head `restricted` is the
prediction clipped to the bin of the predicted class of one classifier (`restricted_by`); `restrict_to_class` makes it the
prediction in evaluation. Training never clips: outside a bin there would be no gradient.
Ablations (Table 5): w/o MSC is `classification` false, w/o CL `contrast` none, w/o GDWG `gdwg` false.
Absent modalities: their parts are left out; a single one has no positive, so no contrast within samples. A sample that lacks
a modality has no loss in its stage and in the scores of its parts, and these parts are neither positives nor negatives.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax import losses
from msa_jax.errors import InputError
from msa_jax.losses import dynamic_weights
from msa_jax.losses.dynamic_weights import History
from msa_jax.methods.protocol import Batch, Clock, Inputs, Method, Phase, Stage, Step, Terms
from msa_jax.methods.shared import decomposed, encoder_stages, partners
from msa_jax.methods.shared.decomposed import DecomposedNetwork
from msa_jax.methods.shared.partners import ContrastOptions, Pairs

Array = jax.Array

ALL_CLASSES = (2, 3, 5, 7)
ADJUSTED = ("unimodal", "contrast")  # the terms that GDWG weighs


@dataclass(frozen=True, kw_only=True)
class FixedWeights:
    """Weights of L_Uni and L_CL that do not move.

    Terms:
      unimodal: Lambda of L_Uni. `none` is an equal share of `gdwg_scale`.
      contrast: Lambda of L_CL. `none` is an equal share of `gdwg_scale`.
    """

    unimodal: float | None = None
    contrast: float | None = None


@dataclass(frozen=True, kw_only=True)
class DMMSAOptions(ContrastOptions):
    """Options of DMMSA. How the paper is read is in the module's docstring.

    Coarse classes:
      classification: Whether the sentiment is classified coarsely as well (L_MSC, eq. 8, 9).
      classes: Number of classes of each classifier. `none` is 2, 3 and 5 for label ranges no wider than two, and 7 as
        well for wider ones.
      classes_reduce: Whether L_MSC is the mean or the sum of the classifiers' cross-entropies.
      restricted_by: Number of classes of the classifier that bounds the head `restricted`. `none` is three classes, or
        the coarsest classifier there is.
      restrict_to_class: Whether the head `restricted` is the prediction in evaluation.
    Contrast and weights:
      contrast: Contrast of the parts: `multi_nt_xent` (eq. 3); `nt_xent`, the mean of eq. 1 over the positives;
        `confede`, which has partners; or `none`.
      gdwg: Whether the weights of L_Uni and L_CL follow from how fast both have fallen (eq. 13, 14).
      gdwg_temperature: Temperature of eq. 14.
      gdwg_scale: Sum of the two weights.
      fixed_weights: Weight of a term without `gdwg`.
    """

    loss: Literal["l2", "smooth_l1"] = "smooth_l1"
    classification: bool = True
    classes: tuple[int, ...] | None = None
    classes_reduce: Literal["mean", "sum"] = "mean"
    restricted_by: int | None = None
    restrict_to_class: bool = False
    contrast: Literal["multi_nt_xent", "nt_xent", "confede", "none"] = "multi_nt_xent"
    gdwg: bool = True
    gdwg_temperature: float = 1.0
    gdwg_scale: float = 1.0
    fixed_weights: FixedWeights = FixedWeights()

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("gdwg_temperature", "gdwg_scale"):
            if not getattr(self, name) > 0:
                raise InputError(f"option {name} is {getattr(self, name)}; expected a positive number")
        for name in ADJUSTED:
            value = getattr(self.fixed_weights, name)
            if value is not None and (self.gdwg or value < 0):
                expected = "none with gdwg true" if self.gdwg else "a number that is not negative"
                raise InputError(f"option fixed_weights.{name} is {value}; expected {expected}")
        if self.classes is not None and (not self.classes or len(set(self.classes)) < len(self.classes)):
            shown = ",".join(map(str, self.classes)) or "empty"
            raise InputError(
                f"option classes is {shown}; expected distinct numbers of classes, or classification false"
            )
        if self.restrict_to_class and not self.classification:
            raise InputError("option restrict_to_class is True; expected False without classification")


# -- coarse classes ---------------------------------------------------------------------------------------------------


def class_counts(options: DMMSAOptions, inputs: Inputs) -> tuple[int, ...]:
    """How many classes each classifier has."""
    if options.classes is not None:
        return options.classes
    low, high = inputs.label_range
    return ALL_CLASSES if high - low > 2 else ALL_CLASSES[:3]


def _restricting(options: DMMSAOptions, inputs: Inputs) -> int:
    """The number of classes of the classifier that bounds `restricted`."""
    counts = class_counts(options, inputs)
    if options.restricted_by is not None:
        return options.restricted_by
    return 3 if 3 in counts else min(counts)


class DMMSANetwork(nn.Module):
    """The network of decomposed modalities with its classifiers.

    Outputs: those of DecomposedNetwork; with `classification`, `restricted` [B] and `class_2`, `class_3`, ... [B, C], the
    probabilities of the coarse classes. The classifiers are there without it too, and not trained, so that experiments with and
    without it take each other's encoders (`stages_from`).
    """

    options: DMMSAOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    def setup(self) -> None:
        self.decomposed = DecomposedNetwork(
            self.options, self.inputs, self.dtype, classes=class_counts(self.options, self.inputs)
        )
        nn.share_scope(self, self.decomposed)  # its parameters are those of the network

    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Any]:
        options = self.options
        outputs = self.decomposed(batch, train=train)
        if not options.classification:
            return outputs
        count = _restricting(options, self.inputs)
        bins = losses.coarse_bounds(count, self.inputs.label_range)
        chosen = jnp.argmax(outputs["logits"][count], axis=-1)
        outputs["restricted"] = losses.clip_to_class(outputs["prediction"], chosen, bins)
        if options.restrict_to_class and not train:
            outputs["prediction"] = outputs["restricted"]
        return outputs | {f"class_{count}": nn.softmax(logits) for count, logits in outputs["logits"].items()}


def classification_loss(
    logits: Mapping[int, Array],
    label: Array,
    label_range: tuple[float, float],
    *,
    reduce: Literal["mean", "sum"] = "mean",
    where: Array | None = None,
) -> Array:
    """{C: [B, C]}, labels [B] -> [B]: the mean or the sum of the classifiers' cross-entropies (eq. 9)."""
    terms = []
    for count, scores in logits.items():
        classes = losses.coarse_class(label, losses.coarse_bounds(count, label_range))
        terms.append(losses.softmax_cross_entropy(scores, classes, where=where))
    return jnp.stack(terms).sum(0) if reduce == "sum" else jnp.stack(terms).mean(0)


# -- objective --------------------------------------------------------------------------------------------------------


def objective(step: Step, options: DMMSAOptions, inputs: Inputs) -> tuple[Terms, Any]:
    """The terms of eq. 5. With `contrast` "confede" every sample of the batch is followed by its six partners."""
    outputs, batch, memory = step.outputs, step.batch, step.memory
    label, where = batch["label"], batch["weight"] > 0
    terms = {"multimodal": decomposed.distance(outputs["prediction"], label, options)}  # eq. 7
    if options.classification:
        terms["classification"] = classification_loss(
            outputs["logits"], label, inputs.label_range, reduce=options.classes_reduce, where=where
        )
    terms["unimodal"] = decomposed.unimodal_loss(outputs, batch, options, inputs)  # eq. 10
    there = partners.there_of(batch, inputs)
    if options.contrast == "confede":
        terms["contrast"] = partners.group_contrast(outputs["parts"], where, there, options)
        memory = partners.remember(memory, outputs["features"], batch, inputs)
    elif options.contrast != "none" and (pairs := partners.within_sample(outputs["parts"], there)) is not None:
        terms["contrast"] = _contrast(pairs, where, options)
    return terms, memory


def _contrast(pairs: Pairs, where: Array, options: DMMSAOptions) -> Array:
    *compared, there = pairs
    if options.contrast == "multi_nt_xent":
        return losses.multi_nt_xent(*compared, temperature=options.temperature, where=where, there=there)  # eq. 3
    denominator = "all" if options.contrast == "nt_xent" else "one"
    return losses.nt_xent(*compared, temperature=options.temperature, denominator=denominator, where=where, there=there)


def _adjusted(options: DMMSAOptions, inputs: Inputs) -> tuple[str, ...]:
    """The terms that share the weight, whether or not an option turns one off."""
    return ADJUSTED if len(inputs.modalities) > 1 or options.contrast == "confede" else ADJUSTED[:1]


def init_memory(options: DMMSAOptions, inputs: Inputs, columns: Mapping[str, Array]) -> dict[str, Any]:
    """The history of GDWG; with `contrast` "confede", what the ranking needs besides."""
    memory: dict[str, Any] = {"history": dynamic_weights.init(_adjusted(options, inputs))}
    if options.contrast == "confede":
        memory |= partners.init_memory(options, inputs, columns)
    return memory


def end_fusion_epoch(memory: Any, means: Mapping[str, Array], options: DMMSAOptions, inputs: Inputs) -> Any:
    """One more epoch of the fusion in the history, and with `contrast` "confede" perhaps new candidates."""
    if options.contrast == "confede":
        memory = partners.rank_in_fusion(memory, means, options, inputs)
    history = memory["history"]
    known = {term: means.get(term, jnp.float32(0)) for term in history.first}
    return {**memory, "history": dynamic_weights.update(history, known)}


def weights(options: DMMSAOptions, inputs: Inputs, memory: Any, clock: Clock) -> Mapping[str, Array | float]:
    """lambda_Uni and lambda_CL of eq. 5, of the terms that there are."""
    history: History = memory["history"]
    terms = [term for term in _adjusted(options, inputs) if term == "unimodal" or options.contrast != "none"]
    if not options.gdwg:
        fixed = {term: getattr(options.fixed_weights, term) for term in terms}
        return {term: options.gdwg_scale / len(terms) if value is None else value for term, value in fixed.items()}
    first, last = ({term: values[term] for term in terms} for values in (history.first, history.last))
    return dynamic_weights.weights(
        History(first, last, history.epochs), temperature=options.gdwg_temperature, scale=options.gdwg_scale
    )


def stages(options: DMMSAOptions, inputs: Inputs) -> tuple[Stage, ...]:
    """The encoders, then the fusion, which leaves the classifiers alone if there is no classification."""
    fusion = Phase(
        objective=objective,
        frozen=None if options.classification else "^classifier_",
        weights=weights,
        end_epoch=end_fusion_epoch,
    )
    if options.contrast != "confede":
        return encoder_stages.stages(options, inputs, fusion)
    fusion = replace(fusion, partners=partners.draw)
    return encoder_stages.stages(options, inputs, fusion, begin=partners.begin(options, inputs))


def heads(options: DMMSAOptions, inputs: Inputs) -> tuple[str, ...]:
    """Those of decomposed modalities, and the fused score within the predicted class."""
    scores = decomposed.heads(options, inputs)
    return (*scores, "restricted") if options.classification else scores


def exports(options: DMMSAOptions, inputs: Inputs) -> tuple[str, ...]:
    """The parts and their scores, and the probabilities of the coarse classes."""
    classes = class_counts(options, inputs) if options.classification else ()
    return (*decomposed.exports(options, inputs), *(f"class_{count}" for count in classes))


def check(options: DMMSAOptions, inputs: Inputs) -> None:
    """The label range must have such classes, and a classifier the restriction's.

    Raises:
      InputError: otherwise, or as `decomposed.check`.
    """
    decomposed.check(options, inputs)
    counts = class_counts(options, inputs)
    for count in counts:
        losses.coarse_bounds(count, inputs.label_range)
    if _restricting(options, inputs) not in counts:
        shown = ", ".join(map(str, counts))
        raise InputError(f"option restricted_by is {options.restricted_by}; expected one of classes, {shown}")


METHOD = Method(
    name="dmmsa",
    paper="DMMSA, Applied Sciences 2025: Dynamic Tuning and Multi-Task Learning for Multimodal Sentiment Analysis",
    options=DMMSAOptions,
    network=DMMSANetwork,
    stages=stages,
    groups=decomposed.groups,
    heads=heads,
    exports=exports,
    init_memory=init_memory,
    check=check,
)
