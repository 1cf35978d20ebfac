"""LNLN: Language-dominated Noise-resistant Learning Network.

Paper: Zhang, Wang, Yu. Towards Robust Multimodal Sentiment Analysis with Incomplete Data. NeurIPS 2024.
Reference code: github.com/Haoyu-ha/LNLN (MIT), from which equations, sizes and rates are read; facts only.

The way of a batch. In training every sample is there twice, complete and masked. For each sample and modality a rate is
drawn, 0 in half of the cases and otherwise uniform in [0, 1]; at that rate frames become zeros and tokens [UNK]. Scores come
from the masked samples alone, and in evaluation from the samples as they are.

    H_m     = the first 8 steps of T_m([8 learned tokens; W_m X_m]), for m in t, a, v
    w       = sigmoid(MLP(first step of T_w([a token; H_t])))       completeness of the text
    H_p     = the first 8 steps of T_p([8 tokens; P; H_a; H_v])     a proxy of the text from audio and vision
    H_d     = w H_t + (1 - w) H_p                                   the dominant modality, corrected
    H_d^j   = layer j of T_d(H_d), j = 0 to n
    H_h^j+1 = H_h^j + W (attention of H_d^j to H_a + the same to H_v)
    score   = a linear map of the mean over the steps of a T that H_d^n begins and that reads H_h in each layer

All T are Transformers with the norms in front. H_h and P begin as learned tokens. With H' of the complete sample,

    L = (score - y)^2 + alpha (w - (1 - rate of the text))^2 + beta L_adv + gamma L_rec

L_rec is the squared error of R_m(H_m) beside H'_m, mean over all steps and m. L_adv is the cross-entropy of a discriminator
that tells the steps of H_d and of H'_t apart, behind a reversed gradient, mean over these steps.

Readings and deviations. The paper's equations were read off its code.
 1. The code reverses the gradient right behind H_p, so that the losses of the score, of all that is read through H_p, turn its
    generator and the encoders of audio and vision away from what helps them; and what the discriminator learns flows unreversed
    into the text. Here the gradient is reversed in front of the discriminator alone (`reversal` "proxy" is the code).
 2. The code adds to the norm of H_h^j instead of to H_h^j, in place. The norm of the tokens, all ones at first, is 0
    (`hyper_norm`).
 3. Attention reads valid steps alone; the code reads padding as data (`padding` "included"). In it only weight decay moves
    BERT's vector of [PAD]; here it is trained. The token in front of the last T is left out on the side that nothing reads.
 4. Rates and masks are drawn in every step. In the code all masks begin at one seed, so those of text, audio and vision are
    the same numbers, in every epoch; it draws rates anew where sample 0 is fetched, which with eight loading processes reaches
    only what that process loads later in the epoch. So most samples keep the masks of the beginning (`masks` "fixed"). What
    "fixed" draws is not the code's: here each modality has numbers of its own, and rates are the same in every run; the code's
    rates follow the seed of the run.
 5. The learning rate rises from 0 over a tenth of training and then falls by a cosine, here from step to step, in the code from
    epoch to epoch: in its whole first epoch it is 0. The code decays biases and norms of BERT too (`decay_all`).
 6. Epochs are selected on valid, whole as it is. The code selects on test at rate 0.5, an epoch for each kind of metric.
    Until March 2025 it kept the last epoch instead of the best for Acc-3, Acc-5, Acc-7 and Corr.
 7. The target 1 - rate is of the rate that was drawn, as in the code, not of the share of tokens that were lost. It is 0 where
    the text had no word before that: none but [CLS], [SEP] and [UNK], or features of zeros, as `modality_dropout` leaves it.
    The steps that `step_dropout` takes do not lower it. Gradients flow into H'.
Absent modalities: their encoders and R are left out. Without text H_d is H_p; without audio and vision it is H_t, and the score
is read off H_d^n. In both cases there is neither w nor a discriminator. A sample that lacks a modality has no L_rec of it, and
without text no L_adv, since its H'_t is no text; with `padding` "included" zeros are data, as in the code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax import losses
from msa_jax.config import Options, PerGroup, Schedule, check_not_negative, check_rates, check_sizes
from msa_jax.encoders.token_layers import HyperModality, TokenStates, repeated
from msa_jax.errors import InputError
from msa_jax.layers.dense import Linear
from msa_jax.layers.gradient_reversal import reverse_gradient
from msa_jax.methods.protocol import Batch, Clock, Group, Inputs, Method, Step, Terms, one_stage
from msa_jax.methods.shared.groups import encoder_groups
from msa_jax.methods.shared.masked_copies import (
    check_has_unknown,
    draw,
    has_words,
    sample_keys,
    with_silenced_copy,
)
from msa_jax.methods.shared.padded_text import check_padding, steps_of
from msa_jax.methods.shared.presence import has
from msa_jax.methods.shared.sequences import sequences_of
from msa_jax.modalities import MODALITIES, SEQUENCES

Array = jax.Array

RATES = PerGroup(text=1e-4, audio=1e-4, vision=1e-4, other=1e-4)
LEAK = 0.1  # slope of the LeakyReLUs below 0


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of the losses beside that of the score.

    Losses:
      completeness: Alpha, of the completeness of the text.
      adversarial: Beta, of the discriminator.
      reconstruction: Gamma, of the reconstruction.
    """

    completeness: float = 0.9
    adversarial: float = 0.8
    reconstruction: float = 0.1


@dataclass(frozen=True, kw_only=True)
class LNLNOptions(Options):
    """Options of LNLN. How the paper is read is in the module's docstring.

    Network:
      width: Width of all Transformers.
      tokens: Number of steps that each modality is brought to.
      layers: Number of layers of every Transformer but the last.
      fusion_layers: Number of layers of the last Transformer.
      heads: Number of attention heads, a divisor of the width.
      head_width: Width of an attention head, but for those of the hyper-modality, which share the width.
      feedforward: Number of hidden units of a layer's feed-forward part.
    Training:
      intact: Rate at which a modality of a masked sample loses nothing.
      masks: `fresh` draws rates and what is lost in every step. `fixed` draws them once for each sample.
      weights: Weight of a loss.
    What the code does:
      reversal: `discriminator` reverses the gradient of the discriminator alone. `proxy` reverses all that flows into the
        proxy.
      hyper_norm: Whether a layer adds to the norm of its hyper-modality.
      decay_all: Whether weight decay covers BERT's biases and LayerNorms too.
      padding: `masked` leaves padding out. `included` reads it up to `max_tokens` and to the longest sequences of the
        training split, where longer ones are cut, and needs `pack_text` false.
    """

    batch_size: int = 64
    max_epochs: int = 200
    patience: int = 200
    schedule: Schedule = "cosine"
    warmup: float = 0.1
    learning_rate: PerGroup = RATES
    weight_decay: PerGroup = RATES
    width: int = 128
    tokens: int = 8
    layers: int = 2
    fusion_layers: int = 2
    heads: int = 8
    head_width: int = 64
    feedforward: int = 128
    intact: float = 0.5
    masks: Literal["fresh", "fixed"] = "fresh"
    weights: LossWeights = LossWeights()
    reversal: Literal["discriminator", "proxy"] = "discriminator"
    hyper_norm: bool = False
    decay_all: bool = False
    padding: Literal["masked", "included"] = "masked"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(self, "intact")
        check_sizes(self, "width", "tokens", "layers", "fusion_layers", "heads", "head_width", "feedforward")
        if self.width % self.heads:
            raise InputError(f"option width is {self.width}; expected a multiple of heads, {self.heads}")
        check_not_negative(self, "weights")
        check_padding(self)


REFERENCE: dict[str, Any] = {
    "reversal": "proxy",
    "hyper_norm": True,
    "decay_all": True,
    "masks": "fixed",
    "padding": "included",
    "pack_text": False,
}


class LNLNNetwork(nn.Module):
    """Encoders, the corrected dominant modality, the hyper-modality, score.

    Outputs: `prediction` [B]; `representation` [B, D], what it is read off; with text and another modality `completeness` [B],
    w. In training also `rebuilt` and `complete` [B, n modalities, D], and with w `kept` [B], 1 - rate of the text, and `told`
    [B, 2 n, 2], the discriminator's logits of H_d and then of H'_t. All in float32.
    """

    options: LNLNOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, *, train: bool) -> dict[str, Array]:
        options, names = self.options, self.inputs.modalities
        rates: dict[str, Array] = {}
        if train:
            batch, rates = self._with_masked(batch)
        included = options.padding == "included"
        given, length = sequences_of(options, self.inputs, batch, self.dtype, included=included, train=train)
        encoded = {name: self._encoded(name, given[name], None if included else length[name]) for name in names}
        rows = len(encoded[names[0]]) // (2 if train else 1)
        complete = {name: x[:rows] for name, x in encoded.items()}
        h = {name: x[-rows:] for name, x in encoded.items()}
        others = {name: h[name] for name in SEQUENCES if name in h}
        outputs: dict[str, Array] = {}

        dominant = h.get("text")
        if others:
            proxy = self._proxy(others)
            proxy = reverse_gradient(proxy) if options.reversal == "proxy" else proxy
            if dominant is None:
                dominant = proxy
            else:
                outputs["completeness"] = w = self._completeness(dominant)
                dominant = proxy * (1 - w[:, None, None]) + dominant * w[:, None, None]
        assert dominant is not None  # a dataset has a modality
        mixed, states = self._transformer("dominant", options.tokens)(dominant)
        if others:
            start = self.param("hyper_start", nn.initializers.ones, (options.tokens, options.width), jnp.float32)
            sizes = options.heads, options.width // options.heads, options.hyper_norm
            hyper = HyperModality(*sizes, self.dtype, name="hyper")(repeated(start, rows, self.dtype), states, others)
            mixed = self._fused(mixed, hyper)
        outputs["representation"] = mixed.mean(1)
        outputs["prediction"] = Linear(1, jnp.float32, name="score")(outputs["representation"])[:, 0]

        if train or self.is_initializing():
            rebuilt = [self._transformer(f"{name}_rebuilt", options.tokens)(h[name])[0] for name in names]
            outputs["rebuilt"] = jnp.concatenate(rebuilt, axis=1)
            outputs["complete"] = jnp.concatenate([complete[name] for name in names], axis=1)
            if "completeness" in outputs:
                both = jnp.concatenate([dominant, complete["text"]], axis=1)
                both = reverse_gradient(both) if options.reversal == "discriminator" else both
                outputs["told"] = self._perceptron("discriminator", both, 2)
                outputs["kept"] = 1 - rates.get("text", jnp.zeros(rows))
        return {name: value.astype(jnp.float32) for name, value in outputs.items()}

    def _with_masked(self, batch: Batch) -> tuple[Batch, dict[str, Array]]:
        """The batch and behind it the same samples masked, and the rates [B] of each modality; of a text without words 1."""
        keys = sample_keys(batch, None if self.options.masks == "fixed" else self.make_rng("dropout"))
        drawn = draw(keys, len(MODALITIES), 2 * len(MODALITIES)).reshape(-1, len(MODALITIES), 2)
        rate = jnp.where(drawn[..., 1] < self.options.intact, 0.0, drawn[..., 0])  # [B, 3]
        rates = {name: rate[:, place] for place, name in enumerate(MODALITIES)}
        if "text" in batch:
            rates["text"] = jnp.where(has_words(batch["text"], self.inputs), rates["text"], 1.0)
        return with_silenced_copy(batch, keys, rates, self.inputs)[0], rates

    def _transformer(self, name: str, steps: int, tokens: int = 0, layers: int | None = None) -> TokenStates:
        options = self.options
        layers = options.layers if layers is None else layers
        sizes = options.heads, options.head_width, options.feedforward
        return TokenStates(layers, *sizes, steps, tokens, self.dtype, name=name)

    def _encoded(self, name: str, x: Array, length: Array | None) -> Array:
        """H_m [B, n, D]."""
        owner, tokens = "text_tokens" if name == "text" else f"{name}_encoder", self.options.tokens
        x = Linear(self.options.width, self.dtype, name=f"{owner}_projection")(x)
        steps = steps_of(self.options, self.inputs, name, included=self.options.padding == "included")
        return self._transformer(owner, steps, tokens)(x, length)[0][:, :tokens]

    def _proxy(self, others: Mapping[str, Array]) -> Array:
        """H_p [B, n, D]."""
        tokens, width = self.options.tokens, self.options.width
        start = self.param("proxy_start", nn.initializers.ones, (tokens, width), jnp.float32)
        read = [repeated(start, len(next(iter(others.values()))), self.dtype), *others.values()]
        x = jnp.concatenate(read, axis=1)
        return self._transformer("proxy", x.shape[1], tokens)(x)[0][:, :tokens]

    def _completeness(self, text: Array) -> Array:
        """w [B]."""
        first = self._transformer("completeness", self.options.tokens, 1)(text)[0][:, 0]
        return nn.sigmoid(self._perceptron("completeness_score", first, 1)[:, 0])

    def _perceptron(self, name: str, x: Array, size: int) -> Array:
        hidden = Linear(self.options.width // 2, self.dtype, name=f"{name}_hidden")(x)
        return Linear(size, self.dtype, name=name)(nn.leaky_relu(hidden, LEAK))

    def _fused(self, dominant: Array, hyper: Array) -> Array:
        """What the steps of H_d^n [B, n, D] become when they read those of H_h."""
        options, width = self.options, self.options.width
        token = self.param("fusion_token", nn.initializers.zeros, (1, width), jnp.float32)
        shape = 1 + options.tokens, width
        positions = self.param("fusion_source_positions", nn.initializers.normal(1.0), shape, jnp.float32)
        source = jnp.concatenate([repeated(token, len(hyper), self.dtype), hyper], axis=1)
        source = source + positions.astype(self.dtype)[None]
        return self._transformer("fusion", options.tokens, 0, options.fusion_layers)(dominant, None, source)[0]


def objective(step: Step, options: LNLNOptions, inputs: Inputs) -> tuple[Terms, Any]:
    """All losses of each sample."""
    outputs, names = step.outputs, inputs.modalities
    there = {name: _has(step, name, options, inputs) for name in names}
    error = jnp.square(outputs["rebuilt"] - outputs["complete"])
    each = error.reshape(len(error), len(names), -1).mean(-1)  # [B, modalities]
    counts = jnp.stack([there[name] for name in names], axis=1)
    terms = {
        "multimodal": losses.l2(outputs["prediction"], step.batch["label"]),
        "reconstruction": jnp.where(counts, each, 0.0).sum(1) / jnp.maximum(counts.sum(1), 1),
    }
    if _corrects(inputs):
        terms["completeness"] = losses.l2(outputs["completeness"], outputs["kept"])
        dominant, complete = jnp.split(jax.nn.log_softmax(outputs["told"]), 2, axis=1)
        told = -(dominant[..., 1].mean(1) + complete[..., 0].mean(1)) / 2
        terms["adversarial"] = jnp.where(there["text"], told, 0.0)
    return terms, step.memory


def _has(step: Step, name: str, options: LNLNOptions, inputs: Inputs) -> Array:
    """[B] bool, whether a sample has something of a modality to rebuild; where padding is read, zeros are."""
    if options.padding == "included":
        return jnp.ones(step.batch["weight"].shape, bool)
    return has(step.batch, name, inputs)


def weights(options: LNLNOptions, inputs: Inputs, memory: Any, clock: Clock) -> Mapping[str, Array | float]:
    """alpha, beta and gamma, of the terms that there are."""
    given = options.weights
    dominant = {"completeness": given.completeness, "adversarial": given.adversarial} if _corrects(inputs) else {}
    return {"reconstruction": given.reconstruction, **dominant}


def _corrects(inputs: Inputs) -> bool:
    return inputs.text is not None and len(inputs.modalities) > 1


def groups(options: LNLNOptions) -> tuple[Group, ...]:
    """Those of all; BERT's biases and norms without decay but for `decay_all`."""
    return encoder_groups(options, decay_all=options.decay_all)


def exports(options: LNLNOptions, inputs: Inputs) -> tuple[str, ...]:
    """The completeness of the text where it is judged, and what the score is read off."""
    return ("completeness", "representation") if _corrects(inputs) else ("representation",)


METHOD = Method(
    name="lnln",
    paper="Zhang et al., NeurIPS 2024: Towards Robust Multimodal Sentiment Analysis with Incomplete Data",
    options=LNLNOptions,
    reference=REFERENCE,
    network=LNLNNetwork,
    stages=one_stage(objective, weights=weights),
    groups=groups,
    exports=exports,
    check=check_has_unknown,
    adapts_text=lambda options: True,
)
