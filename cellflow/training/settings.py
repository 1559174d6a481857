"""How a dynamics is trained: lengths, learning rates, averages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from cellflow.core._numbers import as_count, as_number
from cellflow.errors import InputError, closest

__all__ = ["Schedule", "Training"]

Schedule = Literal["cosine", "one-cycle", "constant"]


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
