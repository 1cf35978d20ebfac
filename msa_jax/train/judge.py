"""What happens between two epochs: which runs are better than before, which stop, and which learn slower from now on."""

import math
from typing import NamedTuple

import numpy as np

from msa_jax import metrics
from msa_jax.config import Options
from msa_jax.errors import InputError
from msa_jax.methods.protocol import Method
from msa_jax.train.state import Standing

TERM = "term."  # what selection by a loss term begins with


class Judged(NamedTuple):
    """standing: of all R runs after the epoch. improved: [R] bool, those whose best epoch this is."""

    standing: Standing
    improved: np.ndarray


def judge(
    standing: Standing,
    active: np.ndarray,
    values: np.ndarray,
    *,
    epoch: int,
    stage_epoch: int,
    options: Options,
    select_from: int = 1,
) -> Judged:
    """How runs stand after an epoch.

    Args:
      standing: of R runs, before it.
      active: [r] int, the places of the runs that were trained.
      values: [r], what is minimised; NaN for a run that failed, infinite where it is not defined.
      epoch: counted over all stages. stage_epoch: within the stage, from 1.
      options: patience, min_delta, max_epochs; schedule "plateau" with plateau_factor and plateau_patience.
      select_from: of the stage. Epochs before it are no improvement, and patience is counted from it.
    """
    first = _first_selected(select_from, options)
    values = np.asarray(values, np.float32)
    after = {name: np.array(value) for name, value in vars(standing).items()}
    improved = np.zeros(len(after["epochs"]), bool)
    for place, value in zip(active, values, strict=True):
        after["epochs"][place] = epoch
        if np.isnan(value):
            after["ended"][place] = after["failed"][place] = True
            continue
        better = np.isfinite(value) and float(value) <= float(after["best_value"][place]) - options.min_delta
        improved[place] = better and stage_epoch >= first
        if improved[place]:
            after["best_value"][place], after["best_epoch"][place] = value, epoch
        after["ended"][place] = _has_ended(int(after["best_epoch"][place]), epoch, stage_epoch, options, first)
        if options.schedule == "plateau":
            _plateau(after, place, value, options)
    return Judged(Standing(**after), improved)


def _first_selected(select_from: int, options: Options) -> int:
    """The first epoch of the stage that may be selected: the last one, where it would have fewer."""
    return min(select_from, options.max_epochs)


def _has_ended(best_epoch: int, epoch: int, stage_epoch: int, options: Options, first: int) -> bool:
    waited = stage_epoch - max(best_epoch - (epoch - stage_epoch), first - 1)
    return waited >= options.patience or stage_epoch >= options.max_epochs


def reopened(standing: Standing, stage_epochs: np.ndarray, options: Options, select_from: int = 1) -> Standing:
    """How runs stand that may have more epochs than when they stopped: those that had had max_epochs go on.

    An epoch that was selected as the last one, and is before `select_from` now, is selected no longer.

    Args:
      standing: of R runs. stage_epochs: [R], the epochs that each has had in its stage.
      options: patience and max_epochs, as they are now. select_from: of the stage.
    """
    first = _first_selected(select_from, options)
    ended, best_epoch = np.array(standing.failed), np.array(standing.best_epoch)
    too_early = best_epoch - (standing.epochs - stage_epochs) < first
    best_epoch = np.where(too_early, 0, best_epoch)
    best_value = np.where(too_early, np.float32(np.inf), standing.best_value)
    for place in np.flatnonzero(~ended):
        best, epoch = int(best_epoch[place]), int(standing.epochs[place])
        ended[place] = _has_ended(best, epoch, int(stage_epochs[place]), options, first)
    return standing.replace(ended=ended, best_epoch=best_epoch, best_value=best_value)


def _plateau(after: dict[str, np.ndarray], place: int, value: np.float32, options: Options) -> None:
    """The learning rate falls when more than plateau_patience epochs in a row do not improve, by a relative 1e-4: the
    rule of torch.optim.lr_scheduler.ReduceLROnPlateau at its defaults."""
    best = after["plateau_value"][place]
    threshold = best - np.float32(1e-4) * np.abs(best) if np.isfinite(best) else np.float32(np.inf)
    if value < threshold:
        after["plateau_value"][place], after["plateau_epochs"][place] = value, 0
        return
    after["plateau_epochs"][place] += 1
    if after["plateau_epochs"][place] > options.plateau_patience:
        after["rate"][place] *= np.float32(options.plateau_factor)
        after["plateau_epochs"][place] = 0


def selected_term(options: Options) -> str | None:
    """The loss term that selects, by the option `selection`; None if a score does."""
    return options.selection.removeprefix(TERM) if options.selection.startswith(TERM) else None


def check_selection(method: Method, options: Options, metric_kind: str, owner: str = "") -> None:
    """Raises InputError if the option `selection` names nothing that there is. owner: whose option, for the message."""
    known = ("loss", "mse", *metrics.METRIC_KEYS[metric_kind], *(TERM + name for name in method.valid_terms))
    if options.selection not in known:
        raise InputError(f"{owner}option selection is {options.selection!r}; expected one of {', '.join(known)}")


def selection_value(prediction: np.ndarray, label: np.ndarray, valid: dict[str, float], options: Options) -> float:
    """What is minimised on valid; infinite where a metric is not defined.

    Args:
      prediction, label: [N].
      valid: metrics of them.
      options: selection, "loss" for the mean absolute error, "mse" for the mean squared one, or a metric. Errors are means
        over samples, or over mini-batches of batch_size and then over those, as MMSA has it (there mini-batches are
        shuffled, here they are in order).
    """
    if options.selection in ("loss", "mse"):
        error = np.abs(prediction.astype(np.float64) - label)
        error = error**2 if options.selection == "mse" else error
        if options.validation_mean == "batches":
            cuts = range(options.batch_size, len(error), options.batch_size)
            value = float(np.mean([part.mean() for part in np.split(error, cuts)]))
        else:
            value = float(error.mean())
    else:
        value = -valid[options.selection] if metrics.HIGHER_IS_BETTER[options.selection] else valid[options.selection]
    return rounded(value, options)


def rounded(value: float, options: Options) -> float:
    """The value with as many decimals as are compared; infinite if it is not finite."""
    if options.validation_decimals is not None:
        value = round(value, options.validation_decimals)
    return value if math.isfinite(value) else math.inf
