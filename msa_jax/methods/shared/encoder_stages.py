"""The stages of ConFEDE and DMMSA: first the encoders, one after the other, each with a regressor of its own; then the fusion.

In the fusion BERT keeps what it has learned, and the regressors are not needed: they stay as their stages left them, while the
encoders of audio and vision move on. An absent modality has no stage, and a sample that lacks a modality has no loss in its
stage.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from msa_jax.methods.protocol import Begin, Inputs, Phase, Score, Stage, Step, Terms, labels
from msa_jax.methods.shared.decomposed import DecomposedOptions, StageOptions, distance, own_label
from msa_jax.methods.shared.presence import has
from msa_jax.modalities import MODALITIES

Array = jax.Array

REGRESSORS = r"^(text|audio|vision)_regressor/"  # of the encoders' stages


def stages(
    options: DecomposedOptions, inputs: Inputs, fusion: Phase, *, begin: Begin | None = None
) -> tuple[Stage, ...]:
    """A stage for each encoder, two for the text's if BERT is frozen at first, and one for the fusion.

    Args:
      options, inputs: of the method.
      fusion: the phase of the fusion. BERT and the regressors are frozen in it besides what it says itself.
      begin: of the fusion.

    Returns:
      The stages; those of encoders are named after the modality, and `text_head` is the text's with BERT frozen.
    """
    before = [
        stage for name in MODALITIES if name in inputs.modalities for stage in _encoder_stages(name, options, inputs)
    ]
    frozen = [REGRESSORS]
    frozen += [] if options.finetune_text_in_fusion else ["^text_encoder/"]
    frozen += [] if fusion.frozen is None else [fusion.frozen]
    last_stage = Stage(
        name="fusion",
        phases=(replace(fusion, frozen="|".join(frozen)),),
        select_from=options.select_from,
        begin=begin,
    )
    return (*before, last_stage)


def trained_encoders(options: DecomposedOptions, inputs: Inputs) -> tuple[str, ...]:
    """The modalities whose encoders are trained before the fusion."""
    return tuple(name for name in inputs.modalities if _stage_options(name, options).max_epochs)


def _stage_options(name: str, options: DecomposedOptions) -> StageOptions:
    return getattr(options, f"stage_{name}")


def _encoder_stages(name: str, options: DecomposedOptions, inputs: Inputs) -> list[Stage]:
    """The stages of one encoder, those of at least one epoch.

    `select_from` counts their epochs together. If it lies behind the first of two stages, that one hands on what its last epoch
    left.
    """
    chosen, bert = _stage_options(name, options), inputs.text.bert if name == "text" and inputs.text else None
    head_epochs = 0  # in which BERT is frozen
    if bert is not None and options.finetune_text:
        head_epochs = int(chosen.max_epochs * options.text_head_share + 1e-6)
    untrained = None
    if bert is not None and options.text_layers is not None:
        last = range(max(bert.num_layers - options.text_layers, 0), bert.num_layers)
        untrained = f"^text_encoder/(?!bert/layer_({'|'.join(map(str, last))})/)"
    phase = Phase(objective=partial(encoder_objective, name))
    regressor = replace(phase, trains=f"^{name}_regressor/")
    both = replace(phase, trains=f"^{name}_(encoder|regressor)/", frozen=untrained)
    select = Score(head=name, label=own_label(name, inputs))
    return [
        Stage(
            name=stage,
            phases=(trained,),
            options=_replaced_options(chosen, epochs),
            select=select,
            select_from=max(chosen.select_from - before, 1),
        )
        for stage, before, epochs, trained in (
            (f"{name}_head", 0, head_epochs, regressor),
            (name, head_epochs, chosen.max_epochs - head_epochs, both),
        )
        if epochs
    ]


def _replaced_options(chosen: StageOptions, epochs: int) -> dict[str, Any]:
    """The options of the run that a stage replaces, by their dotted names."""
    per_group = {
        f"{field}.{group}": getattr(chosen, field)
        for field in ("learning_rate", "weight_decay")
        for group in ("text", "audio", "vision", "other")
    }
    names = ("batch_size", "warmup", "weight_decay_mode")
    patience = epochs if chosen.patience is None else chosen.patience
    return {"max_epochs": epochs, "patience": patience, **{name: getattr(chosen, name) for name in names}, **per_group}


def encoder_objective(name: str, step: Step, options: DecomposedOptions, inputs: Inputs) -> tuple[Terms, Any]:
    """The score of one modality against its label; 0 for samples without it."""
    target = labels(step.batch, own_label(name, inputs))
    error = distance(step.outputs[name], target, options, kind=options.encoder_loss)
    return {name: jnp.where(has(step.batch, name, inputs), error, 0.0)}, step.memory
