"""Maximum likelihood with early stopping on held-out cells: how every flow of this family is trained."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from cellflow.core._numbers import as_count, as_number
from cellflow.core._random import stream, systematic
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, IntArray
from cellflow.densities.base import NormalizingFlow
from cellflow.errors import TrainingError

__all__ = ["MaximumLikelihood"]

#: Cells that initial weights are adapted to.
_START = 4096
#: Learning rate of parameters outside networks, relative to that of networks.
_FASTER = 2.0
# First keys of the random streams.
_ASIDE = 1
_BATCHES = 2


@dataclass(frozen=True)
class MaximumLikelihood:
    """How a flow is trained: Adam on the negative log-likelihood, weights averaged, the best on held-out cells kept.

    Parameters
    ----------
    steps
        Optimiser steps at most.
    batch_size
        Cells per step.
    lr
        Learning rate of the networks at the start; it falls along a half cosine that ends at
        `steps`.
    validation
        Share of cells held out, above 0 and up to 0.5.
    patience
        Steps without a better held-out likelihood after which training stops.
    record_every
        Steps between two looks at the held-out cells.
    ema
        Decay of the exponential moving average of the weights.
    clip
        Largest norm of the gradient.
    weight_decay
        Decoupled weight decay of the networks, per dimension of the data: the more dimensions, the
        sooner they overfit.

    Raises
    ------
    InputError
        For values that cannot train anything.
    """

    steps: int = 2000
    batch_size: int = 512
    lr: float = 5e-3
    validation: float = 0.1
    patience: int = 500
    record_every: int = 50
    ema: float = 0.99
    clip: float = 5.0
    weight_decay: float = 0.03

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "patience", "record_every"):
            as_count(name, getattr(self, name))
        for name, least, most in (
            ("lr", 1e-12, 1e3),
            ("validation", 1e-3, 0.5),
            ("ema", 0.0, 0.99999),
            ("weight_decay", 0.0, 1e3),
        ):
            as_number(name, getattr(self, name), least=least, most=most)
        if self.clip != math.inf:
            as_number("clip", self.clip, least=1e-12)

    @guarded
    def __call__(
        self,
        flow: NormalizingFlow,
        x: FloatArray,
        weight: FloatArray,
        context: FloatArray | None,
        seed: int,
    ) -> None:
        """Train a flow in place, on the thread of the caller.

        Parameters
        ----------
        flow
            Freshly made, its standardisation known.
        x
            Cells, shape `(n, d)`.
        weight
            Shape `(n,)`, positive.
        context
            Features, `(n, c)`, or None.
        seed
            Of the split and the batches.

        Raises
        ------
        TrainingError
            A likelihood that is not finite.
        """
        order = stream(seed, _ASIDE).permutation(len(x))
        n_aside = max(1, round(self.validation * len(x)))
        points = flow.standardised(torch.from_numpy(x))
        features = flow.scaled(None if context is None else torch.from_numpy(context))
        share = torch.from_numpy(weight).to(flow.dtype)

        def log_likelihood(model: NormalizingFlow, rows: Tensor) -> Tensor:
            return model.standard_log_prob(
                points[rows], None if features is None else features[rows]
            )

        aside = torch.from_numpy(order[:n_aside])
        kept = order[n_aside:]
        batches = _batches(
            kept, weight[kept], min(self.batch_size, len(kept)), stream(seed, _BATCHES)
        )
        start = torch.from_numpy(kept[:_START])
        flow.initialise(points[start], None if features is None else features[start])

        parameters = list(flow.parameters())
        # Only networks decay: at zero they leave the distribution that the flow started from.
        names = dict(flow.named_parameters())
        groups: list[dict[str, Any]] = [
            {
                "params": [p for name, p in names.items() if "hyper" in name],
                "weight_decay": self.weight_decay * flow.dim,
            },
            {
                "params": [p for name, p in names.items() if "hyper" not in name],
                "lr": _FASTER * self.lr,
            },
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.lr, weight_decay=0.0, fused=True)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        averaged = copy.deepcopy(flow)
        averages = list(averaged.parameters())
        best = copy.deepcopy(flow.state_dict())
        best_nll = math.inf
        best_step = 0
        records: list[tuple[float, float, float]] = []
        losses: list[Tensor] = []
        for step in range(1, self.steps + 1):
            loss = -log_likelihood(flow, next(batches)).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, self.clip)
            optimizer.step()
            scheduler.step()
            # A young average forgets faster, or a short run would return its initial weights.
            get_ema_multi_avg_fn(min(self.ema, step / (9 + step)))(averages, parameters, step)
            losses.append(loss.detach())
            if step % self.record_every and step != self.steps:
                continue
            with torch.no_grad():
                held_out = float(
                    -(share[aside] * log_likelihood(averaged, aside)).sum() / share[aside].sum()
                )
            nll = float(torch.stack(losses).mean())
            losses.clear()
            if not math.isfinite(nll + held_out):
                msg = (
                    f"The likelihood is not finite by step {step} (lr={self.lr:g}): {-nll} in"
                    f" training, {-held_out} held out. Lower `lr`, or look for outliers in `x`."
                )
                raise TrainingError(msg)
            records.append((float(step), nll, held_out))
            if held_out < best_nll:
                best = copy.deepcopy(averaged.state_dict())
                best_nll = held_out
                best_step = step
            elif step - best_step >= self.patience:
                break
        flow.load_state_dict(best)
        flow.history = dict(zip(("step", "nll", "val_nll"), np.array(records).T, strict=True))


def _batches(
    rows: IntArray, weight: FloatArray, size: int, rng: np.random.Generator
) -> Iterator[Tensor]:
    """Batches without end; in every epoch a cell comes up in proportion to its weight, in random order."""
    while True:
        epoch = rng.permutation(rows[systematic(weight, len(rows), rng)])
        for start in range(0, len(epoch) - size + 1, size):
            yield torch.from_numpy(epoch[start : start + size])
