"""MMCL: multimodal contrastive learning by uni-modal coding and cross-modal prediction.

Paper: Lin, Hu. Multimodal Contrastive Learning via Uni-Modal Coding and Cross-Modal Prediction for Multimodal Sentiment
Analysis. Findings of EMNLP 2022.
Reference code: none was published. The paper leaves gaps; each reading is written down here.

The way of a batch. BERT gives F_t; a bidirectional LSTM and a Transformer give F_a and F_v, and in training a cut-off twin
of each. All are projected to one width. Text and audio predict vision (P_v), text and vision predict audio (P_a), both in
a latent space where the modality itself has a vector too (G_v, G_a). The score comes from F_t, P_a and P_v. Beside L1
(eq. 9), contrasts between F_u and its twin (eq. 4), between P_u and G_u (eq. 5-7), and by sentiment (eq. 8); eq. 10 adds up.

Readings and why.
 1. LSTM width is not given, and 5 audio features have no 8 heads: 64 a direction, d_u = 128 (`lstm_hidden`).
 2. The Transformer's form is not given: norms in front, sinusoidal positions, 4 d_u hidden units, padding masked.
 3. Cutoff: floor(0.2 d_u) features of each sample, exactly, the same at every step, between LSTM and Transformer, in
    training only, as in Shen et al. (`cutoff`). The twin has dropout masks of its own besides; eq. 3 has the cutoff alone.
    What enters the Transformer is multiplied by sqrt(d_u), as embeddings are (Vaswani et al.): the LSTM's states are small.
 4. A dot product needs vectors: the mean over valid steps, at unit length, which a temperature of 0.05 to 0.7 supposes.
 5. Eq. 4's denominator holds the query and lacks its key; the text speaks of the other representations of the batch. The
    text is followed (`uni_denominator`: "queries"; "literal" as printed; "keys" the usual InfoNCE).
 6. Expectations are means over the batch; losses of audio and vision add up, as stated for L_uni and done for all.
 7. Gradients flow through both twins: they share their weights.
 8. Concatenation needs one length: audio and vision are averaged to the text's. Token-aligned ones stay as they are.
 9. The bi-modal MLP has two layers; the fusion MLP has two with ReLU, whose output is F_M, and the score is linear in it.
10. The printed kernels and strides without padding leave nothing of 50 steps. With SAME padding every length from 1 works;
    up to 160 steps become one, and the LSTM behind sees that one. `cnn_strides` of 2,2,2,2,1 leave it 4 of 50.
11. G_u is the mean over the latent steps. 12. P_u is a linear map of the LSTM's last state, to the width of G_u. Nothing
    explains "sLSTM": one layer, one direction. Behind a single latent step its recurrent matrix has no gradient.
13. The target CNN reads F_u projected. There are four CNNs, none shared.
14. Nothing is said of stopping gradients at G_u: none is stopped. `stop_gradient` does in every pair of G_u with P_u;
    {origin, origin} and L_sent still move G_u.
15. {origin, origin}, {predict, predict} and {origin, predict} are taken "successively": the mean of all three in each step
    (`pair_schedule`: "together"), one after the other for `pair_epochs` epochs each and the last for good
    ("successive"), or by turns, from update to update ("alternate").
16. In the first two the positive is the row itself, which leaves repulsion; the third is taken in both directions.
17. lambda of eq. 6 is 2, as in Wang and Isola (`alignment_power`).
18. Eq. 7 as printed pushes P_i from its own G_i, against eq. 6. Appendix A.2 says pairwise: i != j (`uniformity`:
    "pairwise", "literal", "within"). kappa is 2, as in Wang and Isola.
19. The pool of eq. 8 is {G_u, P_u} of one modality (`sentiment_pool`: "modality", or "joint" for all four, whose loss counts
    as often as there are modalities in it), without the anchor itself. 20. Classes are the sign of the label.
21. F_t of the fusion is the state of [CLS] (`text_pooling`; "mean" over the tokens). P_u enters as predicted. Section 3.4.2
    brings P_u and G_u to unit length, for the contrasts alone or for the fusion too (`fused_prediction`: "raw" or "unit").
    F_a and F_v reach the score by predictions alone; `fused_encoded` shows what that costs, and is none of the readings.
22. Warm-up over 10 % of the steps of max_epochs, 4 of 40 epochs however early a run stops, then linear decay to 0 there.
23. No weight decay, for none is stated. Gradients are clipped at norm 1. Adam divides by their usual size, so that this does
    not make its steps smaller: it keeps a single large gradient from filling Adam's means.
24. One temperature for L_uni, L_cross and L_sent (`temperature`), each can have its own (`own_temperature`).
25. Ablation of a modality: its F is zeros, as many as another one's steps, all else stays, losses included (`modalities`).
26. Initial values are PyTorch's. With them P_u is nearly the same for all samples at first: each of five tanh convolutions
    loses by a gain of 1/sqrt 3, the last ones have mostly zeros under their kernels. MMIM, on whose code MMCL builds,
    draws matrices outside BERT from Xavier's normal distribution (`predictor_init`). `spread_audio` and
    `spread_vision`, terms of weight 0, record how far P_u differs between the samples of a batch (losses.spread).
Measured on valid (docs/methods/mmcl.md): 5, 10, 14 and 18 the other way are better on none of two datasets, or on one alone.
Not given for the best model: beta, gamma, temperature, dropout. The middle of the appendix's grid, 0.75, 0.1, 0.1; dropout 0.1.

What is left where a dataset lacks a modality. A modality is predicted where it is there and anything is there to predict it
from: of audio and vision alone, each predicts the other; beside text alone, text predicts it. What is absent is not
predicted and has no contrast. But with one of audio and vision, that one would have no way to the score; so the bi-modal
network over it and the text stays, as context without a target. Likewise of a single sample: where it lacks a modality, or both
that predict it, it is neither anchor nor positive nor negative in the contrasts of that modality.
"""

from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax import losses
from msa_jax.config import Options, Schedule, check_not_negative, check_rates, check_sizes, flatten
from msa_jax.encoders.cnn import check_convolutions
from msa_jax.encoders.predictive import CrossModalPredictor, PredictorInit, Sequences
from msa_jax.encoders.text import TextEncoder
from msa_jax.encoders.unimodal import UnimodalEncoder
from msa_jax.errors import InputError
from msa_jax.layers.dense import Linear
from msa_jax.layers.dropout import Dropout
from msa_jax.layers.pooling import masked_mean
from msa_jax.methods.protocol import Batch, Clock, Inputs, Method, Step, Terms, frames, one_stage
from msa_jax.methods.shared.groups import encoder_groups
from msa_jax.methods.shared.presence import has
from msa_jax.modalities import MODALITY

Array = jax.Array

CONTRASTS = ("uni", "cross", "alignment", "uniformity", "sentiment")
PAIRS = ("origin_origin", "predict_predict", "origin_predict")
TARGETS = {"audio": "vision", "vision": "audio"}  # what is predicted, and what predicts it beside text


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of eq. 10.

    Terms:
      uni: Mu, of the uni-modal contrast.
      sentiment: Eta, of the contrast by sentiment.
      cross: Alpha, of the cross-modal contrast.
      alignment: Beta, of the alignment.
      uniformity: Gamma, of the uniformity.
    """

    uni: float = 0.7
    sentiment: float = 1.0
    cross: float = 1.0
    alignment: float = 0.75
    uniformity: float = 0.1


@dataclass(frozen=True, kw_only=True)
class OwnTemperature:
    """The temperature of one contrast.

    Contrasts:
      uni: The uni-modal contrast. `none` takes the common temperature.
      cross: The cross-modal contrast. `none` takes the common temperature.
      sentiment: The contrast by sentiment. `none` takes the common temperature.
    """

    uni: float | None = None
    cross: float | None = None
    sentiment: float | None = None


@dataclass(frozen=True, kw_only=True)
class MMCLOptions(Options):
    """Options of MMCL. How the paper is read is in the module's docstring.

    Network:
      lstm_hidden: Width of each direction of the LSTMs over audio and vision.
      unimodal: Encoder behind the LSTMs: `transformer`, or `linear` in its place (Table 2).
      layers: Number of layers of a Transformer.
      heads: Number of attention heads of a Transformer.
      feedforward: Number of hidden units of a Transformer's feed-forward layer.
      cutoff: Share of the features that are set to zero in the twin of a sample (eq. 3).
      max_steps: Longest audio or vision sequence that a Transformer reads. Longer ones are averaged down to it, and
        `none`, as in the paper, reads all steps.
      width: Width of the projections and of the MLPs.
      cnn_channels: Number of channels of each layer of the CNNs.
      cnn_kernels: Kernel size of each layer of the CNNs.
      cnn_strides: Stride of each layer of the CNNs.
      predictor_hidden: Width of the LSTM behind a predicting CNN.
      predictor_init: Start of the predictive networks.
      text_pooling: Text vector in the fusion: the state of [CLS], or the mean over the tokens.
      fused_prediction: Whether predicted vectors enter the fusion as they are (`raw`) or at unit length.
      fused_encoded: Whether the fusion reads the encoded audio and vision, too, averaged over steps, which is not in the paper.
      dropout: Dropout rate in Transformers and MLPs.
      modalities: Modalities that are used. Zeros take the place of the others (Table 4), which prediction does not need.
    Losses:
      contrast: Contrasts that are trained (Table 2, where ICL is `cross`, `alignment` and `uniformity`, and SCL is
        `sentiment`).
      weights: Weight of a loss term in eq. 10 (Table 5).
      temperature: Temperature of the contrasts `uni`, `cross` and `sentiment`.
      own_temperature: Temperature of one contrast by itself.
      uni_denominator: What the denominator of eq. 4 holds: the other representations of the batch (`queries`), what is
        printed (`literal`), or what InfoNCE usually has (`keys`).
      pairs: Pairs of original and predicted vectors that are contrasted in eq. 5.
      pair_schedule: Whether the pairs are contrasted `together` in each step, one after the other for good
        (`successive`), or by turns, from update to update (`alternate`).
      pair_epochs: Number of epochs that each pair is contrasted before the next, if they are `successive`.
      stop_gradient: Whether no gradient flows into the original vector of a pair with its prediction. The pairs of original
        vectors with each other and the contrast by sentiment still move it.
      alignment_power: Power of the distance in eq. 6, two as in Wang and Isola.
      uniformity: Pairs of eq. 7: different samples (`pairwise`), what is printed (`literal`), or vectors of the same
        kind (`within`).
      kappa: Factor on the squared distance in eq. 7, two as in Wang and Isola.
      sentiment_pool: What eq. 8 compares a vector with: those of its `modality`, or those of audio and vision together
        (`joint`). The contrast weighs the same with either.
    """

    schedule: Schedule = "linear"
    warmup: float = 0.1
    clip_norm: float | None = 1.0
    lstm_hidden: int = 64
    unimodal: Literal["transformer", "linear"] = "transformer"
    layers: int = 3
    heads: int = 8
    feedforward: int = 512
    cutoff: float = 0.2
    max_steps: int | None = None
    width: int = 128
    cnn_channels: int = 256
    cnn_kernels: tuple[int, ...] = (10, 8, 4, 4, 4)
    cnn_strides: tuple[int, ...] = (5, 4, 2, 2, 2)
    predictor_hidden: int = 128
    predictor_init: PredictorInit = PredictorInit()
    text_pooling: Literal["first", "mean"] = "first"
    fused_prediction: Literal["raw", "unit"] = "raw"
    fused_encoded: bool = False
    dropout: float = 0.1
    modalities: tuple[str, ...] = ("t", "a", "v")
    contrast: tuple[str, ...] = CONTRASTS
    weights: LossWeights = LossWeights()
    temperature: float = 0.1
    own_temperature: OwnTemperature = OwnTemperature()
    uni_denominator: Literal["queries", "literal", "keys"] = "queries"
    pairs: tuple[str, ...] = PAIRS
    pair_schedule: Literal["together", "successive", "alternate"] = "together"
    pair_epochs: int = 2
    stop_gradient: bool = False
    alignment_power: int = 2
    uniformity: Literal["pairwise", "literal", "within"] = "pairwise"
    kappa: float = 2.0
    sentiment_pool: Literal["modality", "joint"] = "modality"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "modalities", tuple(letter.lower() for letter in self.modalities))
        for name, known, least in (("modalities", tuple(MODALITY), 1), ("contrast", CONTRASTS, 0), ("pairs", PAIRS, 1)):
            chosen = getattr(self, name)
            if len(chosen) < least or len(set(chosen)) < len(chosen) or not set(chosen) <= set(known):
                shown = ",".join(chosen) or "empty"
                raise InputError(f"option {name} is {shown}; expected any of {', '.join(known)}, separated by commas")
        check_rates(self, "dropout", "cutoff")
        check_sizes(self, "lstm_hidden", "layers", "heads", "feedforward", "width", "cnn_channels", "predictor_hidden")
        check_sizes(self, "pair_epochs", *(("max_steps",) if self.max_steps is not None else ()))
        check_convolutions(self.cnn_kernels, self.cnn_strides, "cnn_")
        if 2 * self.lstm_hidden % self.heads:
            raise InputError(
                f"option heads is {self.heads}; expected a divisor of {2 * self.lstm_hidden}, 2 lstm_hidden"
            )
        if self.alignment_power not in (1, 2):
            raise InputError(f"option alignment_power is {self.alignment_power}; expected 1 or 2")
        check_not_negative(self, "weights")
        for name, value in flatten(self).items():
            group = name.split(".")[0]
            gain = name in ("predictor_init.gain", "predictor_init.cnn_gain")
            if (gain or group in ("temperature", "own_temperature", "kappa")) and value is not None and not value > 0:
                raise InputError(f"option {name} is {value}; expected a positive number")

    @property
    def wants_targets(self) -> bool:
        """Whether any contrast looks at G_u."""
        return any(name != "uni" for name in self.contrast)


class MMCLNetwork(nn.Module):
    """Outputs: `prediction` [B]; `representation` F_M [B, width]; for u of audio and vision `predicted_u` P_u and, if a
    contrast looks at it, `latent_u` G_u [B, cnn_channels]; in training, for L_uni, `encoded_u` F_u and `cutoff_u` F_u†
    [B, d_u], means over steps. All float32, none at unit length."""

    options: MMCLOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Array]:
        options, inputs = self.options, self.inputs
        outputs: dict[str, Array] = {}
        encoded: dict[str, Sequences] = {}  # F_m [B, L, d_m] and lengths
        kept = {MODALITY[letter] for letter in options.modalities}
        fused: list[Array] = []
        if inputs.text is not None:
            encoder = TextEncoder(inputs.text.bert, self.dtype, remat=options.remat, name="text_encoder")
            text = encoder(batch["text"], train=train)
            hidden, length = encoded["text"] = text["hidden"], text["mask"].sum(1)
            state = text["first"] if options.text_pooling == "first" else masked_mean(hidden, length)
            fused.append(state if "text" in kept else jnp.zeros_like(state))
        for name in TARGETS:
            if name in inputs.modalities:
                read, twin = frames(batch, name), train and "uni" in options.contrast
                states = self._encoder(name)(read["features"], read["length"], train=train, twin=twin)
                if name not in kept:
                    states = jax.tree.map(jnp.zeros_like, states)._replace(length=states.length)
                encoded[name] = states.original, states.length
                if options.fused_encoded:
                    fused.append(masked_mean(*encoded[name]))
                if states.cutoff is not None:
                    outputs[f"encoded_{name}"] = masked_mean(states.original, states.length)
                    outputs[f"cutoff_{name}"] = masked_mean(states.cutoff, states.length)
        project = {name: Linear(options.width, self.dtype, name=f"{name}_projection") for name in encoded}
        projected = {name: (project[name](x), length) for name, (x, length) in encoded.items() if name in kept}
        for target, other in TARGETS.items():
            sources, is_there = [name for name in ("text", other) if name in encoded], target in encoded
            if not sources or not {target, other} & encoded.keys():
                continue
            # What is not kept is zeros, as many as there are steps of what is: not even its length is left.
            like, length = encoded[next(name for name in (*sources, target) if name in encoded.keys() & kept)]
            given = dict(projected)
            for name in (name for name in encoded if name not in kept):
                zeros = jnp.zeros((*like.shape[:2], encoded[name][0].shape[-1]), like.dtype)
                given[name] = project[name](zeros), length
            predictor = self._predictor(f"{target}_prediction" if is_there else f"{other}_context")
            own = given[target] if is_there and options.wants_targets else None
            prediction, latent = predictor([given[name] for name in sources], own, train=train)
            fused.append(losses.l2_normalise(prediction) if options.fused_prediction == "unit" else prediction)
            if is_there:
                outputs[f"predicted_{target}"] = prediction
            if latent is not None:
                outputs[f"latent_{target}"] = latent
        x = nn.relu(Linear(options.width, self.dtype, name="fusion_hidden")(jnp.concatenate(fused, -1)))
        x = Dropout(options.dropout)(x, deterministic=not train)
        outputs["representation"] = nn.relu(Linear(options.width, self.dtype, name="fusion")(x))
        outputs["prediction"] = Linear(1, jnp.float32, name="score")(outputs["representation"])[:, 0]
        return {name: value.astype(jnp.float32) for name, value in outputs.items()}

    def _encoder(self, name: str) -> UnimodalEncoder:
        options = self.options
        named = ("layers", "heads", "feedforward", "dropout", "cutoff", "max_steps")
        given: dict[str, Any] = {field: getattr(options, field) for field in named}
        given |= {"hidden": options.lstm_hidden, "kind": options.unimodal, "dtype": self.dtype}
        return UnimodalEncoder(**given, name=f"{name}_encoder")

    def _predictor(self, name: str) -> CrossModalPredictor:
        options = self.options
        return CrossModalPredictor(
            width=options.width,
            channels=options.cnn_channels,
            kernels=options.cnn_kernels,
            strides=options.cnn_strides,
            context=options.predictor_hidden,
            start=options.predictor_init,
            dropout=options.dropout,
            dtype=self.dtype,
            name=name,
        )


def _pair_shares(options: MMCLOptions, clock: Clock) -> Array:
    """How much each of `pairs` counts now, [pairs] float32, 1 in all."""
    count = len(options.pairs)
    if options.pair_schedule == "together":
        return jnp.full(count, 1 / count, jnp.float32)
    if options.pair_schedule == "successive":
        return jax.nn.one_hot(jnp.minimum((clock.epoch - 1) // options.pair_epochs, count - 1), count)
    return jax.nn.one_hot(clock.step % count, count)


def _instance_contrast(
    prediction: Array, target: Array, options: MMCLOptions, clock: Clock, where: Array
) -> dict[str, Array]:
    """ICL of one modality: P_u and G_u [B, d] -> L_cross [B], L_align [B] and L_uniform, a scalar (eq. 5-7)."""
    temperature = _temperature(options, "cross")
    fixed = jax.lax.stop_gradient(target) if options.stop_gradient else target
    terms: dict[str, Array] = {}
    if "cross" in options.contrast:
        pairs = losses.instance_pairings(target, prediction, temperature=temperature, where=where)
        pairs["origin_predict"] = losses.symmetric_info_nce(fixed, prediction, temperature=temperature, where=where)
        shares = _pair_shares(options, clock)
        terms["cross"] = jnp.stack([shares[place] * pairs[name] for place, name in enumerate(options.pairs)]).sum(0)
    if "alignment" in options.contrast:
        terms["alignment"] = losses.alignment(prediction, fixed, power=options.alignment_power, where=where)
    if "uniformity" in options.contrast:
        terms["uniformity"] = losses.uniformity(
            prediction, fixed, kappa=options.kappa, kind=options.uniformity, where=where
        )
    return terms


def _sentiment_contrast(pool: list[tuple[Array, Array]], sign: Array, options: MMCLOptions) -> Array:
    """SCL over one pool: k times vectors [B, d] and which of them count [B] -> [B], the mean over each sample's k vectors, of
    which those that do not count give 0 (eq. 8). sign: [B] of the labels."""
    features, counts = zip(*pool, strict=True)
    loss = losses.supervised_contrastive(
        jnp.concatenate(features),
        jnp.tile(sign, len(pool)),
        temperature=_temperature(options, "sentiment"),
        where=jnp.concatenate(counts),
    )
    return loss.reshape(len(pool), -1).mean(0)


def _temperature(options: MMCLOptions, contrast: str) -> float:
    own = getattr(options.own_temperature, contrast)
    return options.temperature if own is None else own


def predicted(inputs: Inputs) -> tuple[str, ...]:
    """The modalities that are predicted: of audio and vision those that are there, with another to predict them from."""
    there = set(inputs.modalities)
    return tuple(target for target, other in TARGETS.items() if target in there and {"text", other} & there)


def spreads(inputs: Inputs) -> dict[str, str]:
    """The names of what is measured of the predictions (26), and of the outputs that it is measured of."""
    return {f"spread_{name}": f"predicted_{name}" for name in predicted(inputs)}


def objective(step: Step, options: MMCLOptions, inputs: Inputs) -> tuple[Terms, Any]:
    """The parts of eq. 10, of a network in training."""
    outputs, label, where = step.outputs, step.batch["label"], step.batch["weight"] > 0
    terms = {"multimodal": losses.l1(outputs["prediction"], label)}  # eq. 9
    there = {name: where & has(step.batch, name, inputs) for name in inputs.modalities}
    for name in TARGETS:
        if "uni" in options.contrast and name in inputs.modalities:
            terms[f"contrast_{name}"] = losses.info_nce(  # eq. 4
                outputs[f"encoded_{name}"],
                outputs[f"cutoff_{name}"],
                temperature=_temperature(options, "uni"),
                denominator=options.uni_denominator,
                where=there[name],
            )
    terms |= {name: losses.spread(outputs[of], where=where) for name, of in spreads(inputs).items()}
    if not options.wants_targets:
        return terms, step.memory
    pools: list[list[tuple[Array, Array]]] = []
    for name in predicted(inputs):
        sources = [there[source] for source in ("text", TARGETS[name]) if source in there]
        counts = there[name] & jnp.stack(sources).any(0)
        pair = outputs[f"predicted_{name}"], outputs[f"latent_{name}"]
        for term, value in _instance_contrast(*pair, options, step.clock, counts).items():
            terms[term] = terms[term] + value if term in terms else value
        pools.append([(each, counts) for each in pair])
    if "sentiment" in options.contrast and pools:
        compared = pools if options.sentiment_pool == "modality" else [[each for pool in pools for each in pool]]
        sign = jnp.sign(label - inputs.neutral)
        found = jnp.stack([_sentiment_contrast(pool, sign, options) for pool in compared])
        terms["sentiment"] = len(pools) * found.mean(0)
    return terms, step.memory


def weights(options: MMCLOptions, inputs: Inputs, memory: Any, clock: Clock) -> dict[str, float]:
    """mu, eta, alpha, beta and gamma of eq. 10, by the names of the terms that there are; 0 for what is only measured."""
    by_term: dict[str, float] = dict.fromkeys(spreads(inputs), 0.0)
    for contrast in options.contrast:
        if contrast == "uni":
            by_term |= {f"contrast_{name}": options.weights.uni for name in TARGETS if name in inputs.modalities}
        elif predicted(inputs):
            by_term[contrast] = getattr(options.weights, contrast)
    return by_term


def exports(options: MMCLOptions, inputs: Inputs) -> tuple[str, ...]:
    """F_M, and P_u and G_u of what is predicted; G_u if a contrast looks at it."""
    kinds = ("predicted", "latent") if options.wants_targets else ("predicted",)
    return ("representation", *(f"{kind}_{name}" for name in predicted(inputs) for kind in kinds))


def check(options: MMCLOptions, inputs: Inputs) -> None:
    """Something must be left to score."""
    if not {MODALITY[letter] for letter in options.modalities} & set(inputs.modalities):
        there = ", ".join(inputs.modalities) or "nothing"
        raise InputError(f"option modalities is {','.join(options.modalities)}; the dataset has {there}")


METHOD = Method(
    name="mmcl",
    paper="Lin and Hu, Findings of EMNLP 2022: Multimodal Contrastive Learning via Uni-Modal Coding and Cross-Modal Prediction",
    options=MMCLOptions,
    network=MMCLNetwork,
    stages=one_stage(objective, weights=weights, batch_terms=("uniformity", "spread_audio", "spread_vision")),
    groups=encoder_groups,
    exports=exports,
    reads=lambda options, inputs: tuple(MODALITY[letter] for letter in options.modalities),
    check=check,
)
