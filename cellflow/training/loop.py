"""The training loop: optimise, average, record."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from tqdm import tqdm

from cellflow.core._drawing import Drawing
from cellflow.core._numbers import as_count, as_number
from cellflow.core._progress import is_shown
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, TrainingError, closest
from cellflow.fields.dynamics import Dynamics
from cellflow.objectives.base import Objective
from cellflow.paths.base import PathSample
from cellflow.training._adamw import AdamW, joined
from cellflow.training.batches import Source

__all__ = ["Callback", "History", "Schedule", "Training", "train"]

Schedule = Literal["cosine", "one-cycle", "constant"]
#: What training did: arrays by name.
History: TypeAlias = "dict[str, FloatArray]"
#: Called as `callback(step, loss)` at every record.
Callback: TypeAlias = "Callable[[int, float], None]"


@dataclass(frozen=True)
class Training:
    """How a dynamics is trained.

    Parameters
    ----------
    steps
        Optimiser steps.
    batch_size
        Points per step.
    lr
        Peak learning rate of AdamW.
    schedule
        `"cosine"`: linear warm-up, then a half cosine to zero. `"one-cycle"`: half cosines up (the
        first third) and down to zero. `"constant"`: warm-up only; the one schedule under which
        `patience` may stop training early, because the others have to finish.
    warmup
        Steps of linear warm-up.
    weight_decay
        Decoupled weight decay.
    ema
        Decay of the exponential moving average of the weights, which is what a fit returns; 0
        returns the last weights.
    clip
        Largest norm of the gradient.
    validation
        Share of source cells whose pairs are kept for validation, 0 to 0.5.
    record_every
        Steps between two records of the loss.
    patience
        Records without a new best validation loss after which training stops; None never stops
        early. Longer training often predicts better while that loss rises, so None is the default.

    Raises
    ------
    InputError
        For values that cannot train anything, and for `patience` under a schedule that has to
        finish.
    """

    steps: int = 1000
    batch_size: int = 512
    lr: float = 5e-3
    schedule: Schedule = "cosine"
    warmup: int = 50
    weight_decay: float = 0.0
    ema: float = 0.99
    clip: float = 10.0
    validation: float = 0.05
    record_every: int = 50
    patience: int | None = None

    def __post_init__(self) -> None:
        if self.schedule not in get_args(Schedule):
            known = list(get_args(Schedule))
            msg = f"schedule={self.schedule!r} is not one of {known}{closest(self.schedule, known)}"
            raise InputError(msg)
        for key in ("steps", "batch_size", "record_every"):
            as_count(key, getattr(self, key))
        as_count("warmup", self.warmup, least=0)
        for key, least, most in (
            ("lr", 1e-12, 1e3),
            ("weight_decay", 0.0, 1e3),
            ("ema", 0.0, 0.99999),
            ("validation", 0.0, 0.5),
        ):
            as_number(key, getattr(self, key), least=least, most=most)
        if self.clip != math.inf:
            as_number("clip", self.clip, least=1e-12)
        if self.patience is not None:
            as_count("patience", self.patience)
            if self.schedule != "constant":
                msg = (
                    f"patience={self.patience} with schedule={self.schedule!r}, which must finish;"
                    " use 'constant'."
                )
                raise InputError(msg)
            if not self.validation:
                msg = f"patience={self.patience} needs a validation loss; set validation above 0."
                raise InputError(msg)

    def lr_factor(self, step: int) -> float:
        """Learning rate at `step`, as a share of the peak."""
        if self.schedule == "one-cycle":
            rise = max(1, self.steps // 3)
            if step < rise:
                return 0.04 + 0.96 * 0.5 * (1.0 - math.cos(math.pi * step / rise))
            return 0.5 * (1.0 + math.cos(math.pi * (step - rise) / max(1, self.steps - rise)))
        warmup = min(self.warmup, self.steps // 2)
        if step < warmup:
            return (step + 1) / warmup
        if self.schedule == "constant":
            return 1.0
        return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, self.steps - warmup)))


@guarded
def train(
    dynamics: Dynamics,
    stream: Source,
    objectives: Mapping[str, Objective],
    training: Training,
    *,
    seed: int = 0,
    progress: bool | None = None,
    callback: Callback | None = None,
) -> tuple[Dynamics, History]:
    """Train on a stream; the argument itself is trained in place, its averaged copy is returned.

    Parameters
    ----------
    dynamics
        Freshly made, on the device of the stream.
    stream
        Training points and the validation set.
    objectives
        Losses by name; their sum is minimised.
    training
        How.
    seed
        Of what the networks themselves draw (dropout, say).
    progress
        A progress bar with loss and remaining time; None shows it only to somebody who is watching
        (a terminal, a notebook).
    callback
        Called with the step and its mean loss at every record.

    Returns
    -------
    The averaged dynamics, and the history: `step`, `loss`, `lr` at every record, `loss_<name>` where there are several
    objectives, `val_step`, `val_loss` of the averaged weights, `best_step`, `best_val_loss` (one number each).

    Raises
    ------
    TrainingError
        A loss that is not finite; names the first such step and the learning rate.
    """
    averaged = copy.deepcopy(dynamics) if training.ema else dynamics
    average, _ = joined(averaged)
    optimizer = AdamW(dynamics, weight_decay=training.weight_decay, clip=training.clip)
    held_out = stream.validation()
    batches = stream.batches()
    records: dict[str, list[float]] = {}
    best_loss = math.inf
    best_step = 0
    best = None
    pending: list[torch.Tensor] = []

    with (
        ExitStack() as stack,
        tqdm(
            total=training.steps,
            desc="fit",
            unit="step",
            disable=not is_shown(progress),
            mininterval=0.2,
        ) as bar,
    ):
        # A network that draws while it is trained (dropout) does so from its own generator. The
        # first step shows whether it does; the others are faster without.
        drawing = stack.enter_context(Drawing(seed))
        for step in range(training.steps):
            batch = next(batches)
            losses = torch.stack([objective(dynamics, batch) for objective in objectives.values()])
            if step == 0 and not drawing.used:
                stack.close()
            lr = training.lr * training.lr_factor(step)
            optimizer.step(losses.sum(), lr)
            if averaged is not dynamics:
                # A young average forgets faster, or a short run would return its initial weights.
                decay = min(training.ema, (1 + step) / (10 + step))
                average.lerp_(optimizer.vector, 1 - decay)
            pending.append(losses.detach())

            done = step + 1
            if done % training.record_every and done != training.steps:
                continue
            means = _checked_means(torch.stack(pending), first_step=done - len(pending), lr=lr)
            pending.clear()
            loss = sum(means)
            named = (
                dict(zip((f"loss_{name}" for name in objectives), means, strict=True))
                if len(means) > 1
                else {}
            )
            row = {"step": float(done), "loss": loss, "lr": lr, **named}
            if held_out is not None:
                value = _evaluate(averaged, held_out, objectives)
                row |= {"val_step": float(done), "val_loss": value}
                if value < best_loss:
                    best_loss = value
                    best_step = done
                    best = copy.deepcopy(averaged) if training.patience is not None else None
            for key, number in row.items():
                records.setdefault(key, []).append(number)
            bar.update(done - bar.n)
            bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
            if callback is not None:
                callback(done, loss)
            if (
                training.patience is not None
                and done - best_step >= training.patience * training.record_every
            ):
                break

    history = {key: np.array(values) for key, values in records.items()}
    if held_out is not None:
        history |= {
            "best_step": np.array([float(best_step)]),
            "best_val_loss": np.array([best_loss]),
        }
    return (averaged if best is None else best), history


def _checked_means(losses: torch.Tensor, *, first_step: int, lr: float) -> list[float]:
    """Mean of each column of `losses (steps, objectives)`, all of them finite."""
    bad = torch.nonzero(~torch.isfinite(losses.sum(dim=1)))
    if len(bad):
        step = first_step + int(bad[0])
        msg = (
            f"The training loss is not finite from step {step} on (learning rate {lr:.3g}). "
            "Lower `lr`, check the scale of the representation, or train fewer dimensions."
        )
        raise TrainingError(msg)
    return [float(v) for v in losses.mean(dim=0)]


def _evaluate(dynamics: Dynamics, sample: PathSample, objectives: Mapping[str, Objective]) -> float:
    with torch.no_grad():
        return float(sum(objective(dynamics, sample) for objective in objectives.values()))
