"""Maximum likelihood with early stopping on held-out cells, for every flow of this family."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from cellflow.core._numbers import as_count, as_number
from cellflow.core._random import stream, systematic
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.densities._flow import NormalizingFlow
from cellflow.training.loop import Loop
from cellflow.training.optimizer import Group
from cellflow.training.settings import Training

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
    """Training of a flow: AdamW on the negative log-likelihood, with averaged weights.

    The result has the weights with the best likelihood of held-out cells.

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
        Steps between two evaluations on the held-out cells.
    ema
        Decay of the exponential moving average of the weights.
    clip
        Largest norm of the gradient.
    weight_decay
        Decoupled weight decay of the networks, per dimension of the data, because networks overfit
        sooner in more dimensions.

    Raises
    ------
    InputError
        For values that cannot train anything.

    Examples
    --------
    >>> cf.densities.MaximumLikelihood(steps=500).steps
    500
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
        """Train a flow in place.

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
        cells = _Cells(self, flow, x, weight, context, seed)
        start = torch.from_numpy(cells.kept[:_START])
        flow.initialise(*cells.rows(start))
        loop: Loop[NormalizingFlow, Tensor] = Loop(
            flow,
            lambda module, rows: -cells.log_prob(module, rows).mean()[None],
            self._training(),
            # Only networks decay: with weights of zero they do not change the initial distribution.
            groups=[
                Group(self.weight_decay * flow.dim, has=lambda name: "hyper" in name),
                Group(rate=_FASTER, has=lambda name: "hyper" not in name),
            ],
            validate=cells.held_out,
            patience=self.patience,
            keep_best=True,
            seed=seed,
        )
        history = loop.run(cells).history()
        flow.load_state_dict(loop.averaged.state_dict())
        flow.zero_grad(set_to_none=True)
        names = {"step": "step", "loss": "nll", "val_loss": "val_nll"}
        flow.history = {new: history[name] for name, new in names.items()}

    def _training(self) -> Training:
        return Training(
            steps=self.steps,
            lr=self.lr,
            warmup=0,
            ema=self.ema,
            clip=self.clip,
            record_every=self.record_every,
        )


class _Cells:
    """Cells of a population in the coordinates of a flow, some of them held out."""

    def __init__(
        self,
        training: MaximumLikelihood,
        flow: NormalizingFlow,
        x: FloatArray,
        weight: FloatArray,
        context: FloatArray | None,
        seed: int,
    ) -> None:
        order = stream(seed, _ASIDE).permutation(len(x))
        n_aside = max(1, round(training.validation * len(x)))
        self._points = flow.standardised(torch.from_numpy(x))
        self._features = flow.scaled(None if context is None else torch.from_numpy(context))
        self._weight = weight
        self._aside = torch.from_numpy(order[:n_aside])
        self._share = torch.from_numpy(weight).to(flow.dtype)[self._aside]
        self._size = min(training.batch_size, len(x) - n_aside)
        self._seed = seed
        self.kept = order[n_aside:]

    def rows(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Positions and features of some cells."""
        return self._points[rows], None if self._features is None else self._features[rows]

    def log_prob(self, flow: NormalizingFlow, rows: Tensor) -> Tensor:
        """Log-density of some cells, shape `(k,)`."""
        return flow.standard_log_prob(*self.rows(rows))

    def held_out(self, flow: NormalizingFlow) -> float:
        """Negative log-likelihood of the cells held out."""
        log_prob = self.log_prob(flow, self._aside)
        return float(-(self._share * log_prob).sum() / self._share.sum())

    def batches(self, first: int = 0) -> Iterator[Tensor]:
        """Rows of batches without end, from number `first` on."""
        return islice(self._epochs(), first, None)

    def _epochs(self) -> Iterator[Tensor]:
        """In every epoch a cell comes up in proportion to its weight, in random order."""
        rng = stream(self._seed, _BATCHES)
        weight = self._weight[self.kept]
        while True:
            epoch = rng.permutation(self.kept[systematic(weight, len(weight), rng)])
            for start in range(0, len(epoch) - self._size + 1, self._size):
                yield torch.from_numpy(epoch[start : start + self._size])
