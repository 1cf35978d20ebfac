"""MMIM, MultiModal InfoMax: mutual information between modalities, and between modalities and their fusion, is maximised.

Paper: Han, Chen, Poria. Improving Multimodal Fusion with Hierarchical Mutual Information Maximization for Multimodal
Sentiment Analysis. EMNLP 2021.
Reference code: github.com/declare-lab/Multimodal-Infomax and thuiar/MMSA (MIT); facts only, no line is taken from them.

The way of a batch. [CLS] of BERT is x_t; the end states of two LSTMs, projected, are x_a and x_v. Two tanh layers over their
concatenation give the fusion Z, and Z the score, by L1. Between modalities, text predicts the mean and variance of a Gaussian
q(y|x) for vision and for audio: I(X; Y) >= E[log q(y|x)] + H(Y) (eq. 2), H from the covariances of the positive and of the
negative samples, those of the batch before among them (section 3.3). From the fusion, a linear map of Z predicts each
modality, contrasted with the other samples (CPC, section 3.4). In all, L1 + alpha CPC - beta (E[log q] + H), while the
parameters of q learn from -log q alone.

Deviations and why.
- One pass. The paper and its code train q first, over all batches of an epoch, and then everything else with q fixed
  (`training`: "alternating"). "joint" does both in each step: q gets exactly the gradient of the first objective and all
  others that of the second, from the same batch and with one run of BERT instead of two. q then learns beside the others
  instead of an epoch ahead, and both share the norm that is clipped.
- log q has the normaliser of a Gaussian, -log_variance / 2, which the code leaves out (`gaussian_normaliser`): there the
  variances grow without end, and the bounds fade away. With it and a free variance nothing holds x_a and x_v either, since
  H looks at a projection only: measured, they shrink to a point, and gradients grow a thousandfold. So the log variance is
  bounded by tanh, an activation that the code has an option for but does not apply (`bounded_variance`).
- The code never trains the projection of y that H is computed from (`entropy_projection`: "fixed"); here it learns with the
  network. Under an old PyTorch the code's decay shrank it to nothing; that is in neither protocol.
- A class that has too few samples for a covariance is skipped, and `entropy_epsilon` is added to its diagonal. The code
  becomes NaN there.
- The code clips the norm over all parameters, also those that the phase does not train. Here theirs do not count, in either
  protocol.
- The code halves the learning rates after 20 epochs without improvement, which never are, since it stops after 10.
- Its weight decay is coupled and covers biases and LayerNorms of BERT (`decay_all`).
- Without `contrast`, L1 is all that is left. The code then still adds -beta H, over encoders that nothing else shapes.
- Absent modalities: their part of the concatenation, their bound and their contrast are left out. A sample that lacks a
  modality counts neither in its contrast nor in a bound that has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax import losses
from msa_jax.config import Options, PerGroup, check_not_negative, check_rates, check_sizes
from msa_jax.encoders.lstm import LSTM, BidirectionalLSTM
from msa_jax.encoders.text import TextEncoder
from msa_jax.errors import InputError
from msa_jax.layers.dense import Affine, uniform
from msa_jax.layers.dropout import Dropout
from msa_jax.methods.protocol import Batch, Clock, Group, Inputs, Method, Phase, Stage, Step, Terms, frames
from msa_jax.methods.shared.groups import encoder_groups
from msa_jax.methods.shared.presence import has
from msa_jax.modalities import SEQUENCES

Array = jax.Array

XAVIER = nn.initializers.variance_scaling(1.0, "fan_avg", "normal")  # torch's xavier_normal_
BOUND, ENTROPY = r"_bound/", r"_entropy/"  # in the paths of the parameters of q, and of the projections of H
HISTORY = 2  # batches of an epoch before H counts, as in the authors' code


@dataclass(frozen=True, kw_only=True)
class PerGroupAndBound(PerGroup):
    """One value for each parameter group.

    Groups:
      bound: The Gaussians q of the lower bounds.
    """

    bound: float


@dataclass(frozen=True, kw_only=True)
class MMIMOptions(Options):
    """Options of MMIM.

    Network:
      audio_hidden, vision_hidden: Width of one direction of the LSTM of this modality.
      bidirectional: Whether the LSTMs read in both directions.
      audio_size, vision_size: Width of this modality's vector behind its LSTM.
      width: Width of the fusion Z.
      dropout: Dropout rate in front of the fusion.
    Losses:
      contrast: Whether the bounds and CPC are trained. If false, the absolute error is all that is left.
      alpha: Weight of CPC.
      beta: Weight of the bounds on mutual information.
      add_va: Whether there is a third bound, of audio by vision.
      gaussian_normaliser: Whether log q has the normaliser of a Gaussian, which the code leaves out.
      bounded_variance: Whether tanh bounds the log variance of q, which is free in the code.
      entropy_projection: Whether the projection that the entropy is computed from learns (`trained`) or stays as it was
        drawn (`fixed`, as in the code).
      entropy_epsilon: What is added to the diagonal of a covariance in the entropy.
    Training:
      training: `joint` trains q and all else in each step. `alternating` trains q first in every epoch, and then all
        else, as the paper does.
      bound_share: Share of an epoch's mini-batches on which q is trained when alternating. The code has one half on
        MOSEI.
      decay_all: Whether weight decay covers BERT's biases and LayerNorms too.
    """

    audio_hidden: int = 16
    vision_hidden: int = 16
    bidirectional: bool = False
    audio_size: int = 16
    vision_size: int = 16
    width: int = 128
    dropout: float = 0.1
    contrast: bool = True
    alpha: float = 0.1
    beta: float = 0.1
    add_va: bool = False
    gaussian_normaliser: bool = True
    bounded_variance: bool = True
    entropy_projection: Literal["trained", "fixed"] = "trained"
    entropy_epsilon: float = 1e-4
    training: Literal["joint", "alternating"] = "joint"
    bound_share: float = 1.0
    decay_all: bool = False
    patience: int = 10
    clip_norm: float | None = 1.0
    learning_rate: PerGroupAndBound = PerGroupAndBound(text=5e-5, audio=1e-3, vision=1e-3, other=1e-3, bound=1e-3)
    weight_decay: PerGroupAndBound = PerGroupAndBound(text=1e-4, audio=1e-4, vision=1e-4, other=1e-4, bound=1e-4)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "dropout")
        check_sizes(self, "audio_hidden", "vision_hidden", "audio_size", "vision_size", "width")
        check_not_negative(self, "alpha", "beta", "entropy_epsilon")
        if not 0 < self.bound_share <= 1:
            raise InputError(f"option bound_share is {self.bound_share}; expected a fraction in (0, 1]")


REFERENCE: dict[str, Any] = {
    "training": "alternating",
    "gaussian_normaliser": False,
    "bounded_variance": False,
    "entropy_projection": "fixed",
    "entropy_epsilon": 0.0,
    "weight_decay_mode": "coupled",
    "decay_all": True,
    "schedule": "plateau",
    "plateau_patience": 20,
}


def bounds(options: MMIMOptions, inputs: Inputs) -> dict[str, tuple[str, str]]:
    """Which modality x predicts which y, by name."""
    chosen = [("text", "vision"), ("text", "audio"), *([("vision", "audio")] if options.add_va else [])]
    there = set(inputs.modalities) if options.contrast else set()
    return {f"{x}_{y}": (x, y) for x, y in chosen if {x, y} <= there}


# -- network ----------------------------------------------------------------------------------------------------------


class XavierLinear(nn.Module):
    """The linear layer from `width` numbers, as a function. Its matrix starts Xavier-normal, its bias as torch's does."""

    features: int

    @nn.compact
    def __call__(self, width: int) -> Affine:
        kernel = self.param("kernel", XAVIER, (width, self.features), jnp.float32)
        return Affine(kernel, self.param("bias", uniform(width**-0.5), (self.features,)))


class SequenceState(nn.Module):
    """End state of an LSTM, one after the other those of both directions, and a linear layer."""

    hidden: int
    size: int
    bidirectional: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, features: Array, length: Array) -> Array:
        """[B, L, d], [B] int32 in [0, L] -> [B, size]."""
        lstm = BidirectionalLSTM if self.bidirectional else LSTM
        state = lstm(self.hidden, self.dtype, every=False, kernel_init=XAVIER, recurrent_init=XAVIER, name="lstm")(
            features, length
        )
        return XavierLinear(self.size, name="projection")(state.shape[-1])(state)


class Bound(nn.Module):
    """q(y|x), a Gaussian with independent dimensions whose mean and log variance are networks of x (eq. 3)."""

    size: int
    bounded_variance: bool

    @nn.compact
    def __call__(self, x: Array) -> dict[str, tuple[Array, Array]]:
        """x [B, d] float32 -> twice the same mean and log variance, both [B, size]: "learns" has gradients for the
        parameters of q alone, "teaches" for x alone."""
        layers = []
        for name in ("mean", "log_variance"):
            hidden = XavierLinear(self.size, name=f"{name}_hidden")(x.shape[-1])
            layers.append((hidden, XavierLinear(self.size, name=name)(self.size)))

        def gaussian(layers: list[tuple[Affine, Affine]], x: Array) -> tuple[Array, Array]:
            mean, log_variance = (last(nn.relu(hidden(x))) for hidden, last in layers)
            return mean, jnp.tanh(log_variance) if self.bounded_variance else log_variance

        fixed = jax.lax.stop_gradient
        return {"learns": gaussian(layers, fixed(x)), "teaches": gaussian(fixed(layers), x)}


class MMIMNetwork(nn.Module):
    """Outputs, all float32: `prediction` [B]; `representation` Z [B, width]; `states` {modality: x_m [B, d_m]};
    `predicted` {modality: the prediction of x_m from Z [B, d_m]}; and for every bound, by its name, `gaussians` (of
    `Bound`) and `projected`, what H is computed from, [B, d_y / 4]."""

    options: MMIMOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Any]:
        options, inputs = self.options, self.inputs
        states: dict[str, Array] = {}
        if inputs.text is not None:
            encoder = TextEncoder(inputs.text.bert, self.dtype, tokens=False, remat=options.remat, name="text_encoder")
            states["text"] = encoder(batch["text"], train=train)["first"]
        for name in SEQUENCES:
            if name in inputs.modalities:
                hidden, size = getattr(options, f"{name}_hidden"), getattr(options, f"{name}_size")
                encoder = SequenceState(hidden, size, options.bidirectional, self.dtype, name=f"{name}_encoder")
                states[name] = encoder(**frames(batch, name))

        def linear(x: Array, features: int, name: str) -> Array:
            return XavierLinear(features, name=name)(x.shape[-1])(x)

        x = Dropout(options.dropout)(jnp.concatenate([*states.values()], -1), deterministic=not train)
        x = jnp.tanh(linear(x, options.width, "fusion_hidden"))
        fusion = jnp.tanh(linear(x, options.width, "fusion")).astype(jnp.float32)
        outputs: dict[str, Any] = {"prediction": linear(fusion, 1, "score")[:, 0], "representation": fusion}

        # What follows is small, and its exponentials, logarithms and cosines want float32.
        outputs["states"] = states = {name: state.astype(jnp.float32) for name, state in states.items()}
        if options.contrast:
            outputs["predicted"] = {name: linear(fusion, x.shape[-1], f"{name}_cpc") for name, x in states.items()}
        outputs["gaussians"], outputs["projected"] = {}, {}
        for name, (x, y) in bounds(options, inputs).items():
            size = states[y].shape[-1]
            outputs["gaussians"][name] = Bound(size, options.bounded_variance, name=f"{name}_bound")(states[x])
            outputs["projected"][name] = jnp.tanh(linear(states[y], max(size // 4, 1), f"{name}_entropy"))
        return outputs


# -- objectives -------------------------------------------------------------------------------------------------------


class Memory(NamedTuple):
    """The batch before. projected: by bound, [B, d_y / 4]. sign: by bound, [B] of the labels, 0 for padding and for samples
    without y. batches: how many the epoch has had, int32."""

    projected: dict[str, Array]
    sign: dict[str, Array]
    batches: Array


def init_memory(options: MMIMOptions, inputs: Inputs, columns: Mapping[str, Array]) -> Memory:
    """Nothing is remembered."""
    rows = options.batch_size
    projected = {
        name: jnp.zeros((rows, max(getattr(options, f"{y}_size") // 4, 1)), jnp.float32)
        for name, (_, y) in bounds(options, inputs).items()
    }
    return Memory(projected, {name: jnp.zeros(rows, jnp.float32) for name in projected}, jnp.int32(0))


def forget(memory: Memory, means: Mapping[str, Array], options: MMIMOptions, inputs: Inputs) -> Memory:
    """Every epoch begins without a memory."""
    return jax.tree.map(jnp.zeros_like, memory)


def _log_likelihood(step: Step, options: MMIMOptions, inputs: Inputs, role: Literal["learns", "teaches"]) -> Array:
    """log q(y|x) [B], summed over the bounds."""
    states, where = step.outputs["states"], step.batch["weight"] > 0
    total = jnp.zeros(where.shape, jnp.float32)
    for name, (x, y) in bounds(options, inputs).items():
        target = jax.lax.stop_gradient(states[y]) if role == "learns" else states[y]
        mean, log_variance = step.outputs["gaussians"][name][role]
        both = where & has(step.batch, x, inputs) & has(step.batch, y, inputs)
        total += losses.gaussian_log_likelihood(
            target, mean, log_variance, normaliser=options.gaussian_normaliser, where=both
        )
    return total


def bound_objective(step: Step, options: MMIMOptions, inputs: Inputs) -> tuple[Terms, Memory]:
    """What q learns from: its own likelihood, of representations that are given (eq. 4)."""
    terms = {"bound": -_log_likelihood(step, options, inputs, "learns")} if bounds(options, inputs) else {}
    return terms, step.memory


def task_objective(step: Step, options: MMIMOptions, inputs: Inputs) -> tuple[Terms, Memory]:
    """What everything else learns from; q is given."""
    outputs, memory, label = step.outputs, step.memory, step.batch["label"]
    where = step.batch["weight"] > 0
    terms = {"multimodal": losses.l1(outputs["prediction"], label, where=where)}
    if options.contrast:
        terms["cpc"] = jnp.zeros(where.shape, jnp.float32)
        for name, predicted in outputs["predicted"].items():
            there = where & has(step.batch, name, inputs)
            terms["cpc"] += losses.info_nce(
                outputs["states"][name], predicted, temperature=1.0, denominator="keys", where=there
            )
    if projected := outputs["projected"]:
        terms["likelihood"] = -_log_likelihood(step, options, inputs, "teaches")
        terms["entropy"] = jnp.float32(0)
        kept: dict[str, Array] = {}
        signs: dict[str, Array] = {}
        for name, e in projected.items():
            there = where & has(step.batch, bounds(options, inputs)[name][1], inputs)
            sign = jnp.where(there, jnp.sign(label - inputs.neutral), 0.0)
            both = jnp.concatenate([sign, memory.sign[name]])
            counts = (both != 0) & (memory.batches >= HISTORY)
            every = jnp.concatenate([e, memory.projected[name]])
            terms["entropy"] -= losses.class_entropy(every, both, epsilon=options.entropy_epsilon, where=counts)
            rows = len(memory.sign[name])  # devices that share a mini-batch may have added rows of padding behind them
            kept[name], signs[name] = jnp.where(where[:, None], e, 0.0)[:rows], sign[:rows]
        memory = Memory(jax.lax.stop_gradient(kept), signs, memory.batches + 1)
    return terms, memory


def joint_objective(step: Step, options: MMIMOptions, inputs: Inputs) -> tuple[Terms, Memory]:
    """Both in one: no parameter has a gradient from both."""
    terms, memory = task_objective(step, options, inputs)
    return terms | bound_objective(step, options, inputs)[0], memory


def weights(options: MMIMOptions, inputs: Inputs, memory: Memory, clock: Clock) -> dict[str, float]:
    """alpha and beta, by the names of the terms."""
    there = {"cpc": options.alpha} if options.contrast else {}
    return there | (dict.fromkeys(("likelihood", "entropy"), options.beta) if bounds(options, inputs) else {})


def stages(options: MMIMOptions, inputs: Inputs) -> tuple[Stage, ...]:
    """One stage: of one phase when joint; of two, first q and then all else, when alternating."""
    alternating = options.training == "alternating"
    there = bool(bounds(options, inputs))
    frozen = [*([BOUND] if alternating else []), *([ENTROPY] if options.entropy_projection == "fixed" else [])]
    main = Phase(
        name="task" if alternating else "train",
        objective=task_objective if alternating else joint_objective,
        batch_terms=("entropy",) if there else (),
        frozen="|".join(frozen) or None,
        weights=weights,
        end_epoch=forget,
    )
    first = Phase(name="bound", objective=bound_objective, trains=BOUND, share=options.bound_share)
    return (Stage(phases=(first, main) if alternating and there else (main,)),)


def groups(options: MMIMOptions) -> tuple[Group, ...]:
    """q; BERT, its biases and LayerNorms without decay but for `decay_all`; both LSTMs; everything else."""
    rate, decay = options.learning_rate, options.weight_decay
    bound = Group(name="bound", pattern=BOUND, learning_rate=rate.bound, weight_decay=decay.bound)
    return (bound, *encoder_groups(options, decay_all=options.decay_all))


METHOD = Method(
    name="mmim",
    paper="Han et al., EMNLP 2021: Improving Multimodal Fusion with Hierarchical Mutual Information Maximization",
    options=MMIMOptions,
    reference=REFERENCE,
    network=MMIMNetwork,
    stages=stages,
    groups=groups,
    exports=("representation",),
    init_memory=init_memory,
)
