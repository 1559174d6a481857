"""The training loop of any module: optimise, average, record."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Generic, Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from cellflow.core._drawing import Drawing
from cellflow.core._progress import is_shown
from cellflow.errors import TrainingError
from cellflow.training.optimizer import AdamW, Group, joined
from cellflow.training.settings import Training
from cellflow.training.state import State

__all__ = ["Callback", "Loop"]

#: Called as `callback(step, loss)` at every record.
Callback: TypeAlias = "Callable[[int, float], None]"

B = TypeVar("B")
B_co = TypeVar("B_co", covariant=True)
M = TypeVar("M", bound=nn.Module)


class Batches(Protocol[B_co]):
    """Batches by number."""

    def batches(self, first: int = 0) -> Iterator[B_co]:
        """Batches without end, from number `first` on."""


class Loop(Generic[M, B]):
    """One training of one module: `start`, `advance` and `record` lead from state to state.

    Parameters
    ----------
    module
        Trained in place.
    losses
        `(module, batch) -> (k,)`, whose sum is minimised.
    training
        Length, learning rate, average and clipping; its batches and `patience` are not read.
    names
        Of the losses.
    groups
        Parameters with their own learning rate and weight decay.
    validate
        `module -> loss` on what is not trained on, for the averaged module; None for no validation.
    patience
        Steps without a lower validation loss after which training stops; None never stops early.
    keep_best
        Whether the weights of the lowest validation loss are the result, not the last ones.
    seed
        Of the random numbers of the module itself (dropout, say).
    """

    def __init__(
        self,
        module: M,
        losses: Callable[[M, B], Tensor],
        training: Training,
        *,
        names: Sequence[str] = ("",),
        groups: Sequence[Group] = (Group(),),
        validate: Callable[[M], float] | None = None,
        patience: int | None = None,
        keep_best: bool = False,
        seed: int = 0,
    ) -> None:
        self.module = module
        #: The module with the averaged weights, which a run returns.
        self.averaged = copy.deepcopy(module) if training.ema else module
        self._optimizer = AdamW(module, clip=training.clip, groups=groups)
        self._average = joined(self.averaged, groups)[0] if training.ema else self._optimizer.vector
        self._losses = losses
        self._training = training
        self._names = list(names)
        self._validate = validate
        self._patience = patience
        self._keep_best = keep_best
        self._seed = seed

    def start(self, state: State | None = None) -> State:
        """The state before the first step, or `state` put into the module."""
        weights = self._optimizer.vector
        if state is None:
            return State(
                0, weights, self._average, torch.zeros_like(weights), torch.zeros_like(weights)
            )
        weights.copy_(state.weights)
        self._average.copy_(state.average)
        return replace(state.copy(weights.device), weights=weights, average=self._average)

    def advance(self, state: State, batch: B) -> State:
        """One optimiser step; the tensors of `state` change."""
        losses = self._losses(self.module, batch)
        step = state.step + 1
        self._optimizer.step(losses.sum(), self._lr(state.step), state.mean, state.square, step)
        if self.averaged is not self.module:
            # A young average forgets faster, or a short run would return its initial weights.
            decay = min(self._training.ema, step / (9 + step))
            state.average.lerp_(state.weights, 1 - decay)
        return replace(state, step=step, losses=(*state.losses, losses.detach()))

    def record(self, state: State) -> State:
        """The means of the losses since the last record, and the validation loss."""
        lr = self._lr(state.step - 1)
        means = _checked_means(state, lr)
        row = {"step": float(state.step), "loss": sum(means), "lr": lr}
        if len(means) > 1:
            row |= {f"loss_{name}": mean for name, mean in zip(self._names, means, strict=True)}
        state = replace(state, losses=())
        if self._validate is not None:
            with torch.no_grad():
                value = self._validate(self.averaged)
            _require_finite(value, "validation loss", f"at step {state.step}", lr)
            row |= {"val_step": float(state.step), "val_loss": value}
            if value < state.best_loss:
                best = state.average.clone() if self._keep_best else None
                state = replace(state, best_step=state.step, best_loss=value, best=best)
        records = {name: (*state.records.get(name, ()), number) for name, number in row.items()}
        return replace(state, records=records)

    def run(
        self,
        source: Batches[B],
        state: State | None = None,
        *,
        progress: bool | None = False,
        callback: Callback | None = None,
        checkpoint: Callable[[State], None] | None = None,
    ) -> State:
        """Train to the end, and put the result into `averaged`.

        Parameters
        ----------
        source
            Batches by number.
        state
            State to continue; None starts anew.
        progress, callback, checkpoint
            See `cellflow.training.train`.
        """
        state = self.start(state)
        batches = source.batches(state.step) if state.step else source.batches()
        with ExitStack() as stack, self._bar(progress=progress) as bar:
            drawing = self._drawing(state)
            if drawing is not None:
                stack.enter_context(drawing)
            while not self._ended(state):
                state = self.advance(state, next(batches))
                if drawing is not None and not drawing.used:
                    # After the first step it is known that the module does not draw.
                    stack.close()
                    drawing = None
                if not self._due(state):
                    continue
                state = self.record(state)
                if drawing is not None:
                    state = replace(state, generator=drawing.generator.get_state())
                loss = state.records["loss"][-1]
                bar.update(state.step - bar.n)
                bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
                if callback is not None:
                    callback(state.step, loss)
                if checkpoint is not None:
                    checkpoint(state.copy())
        if self._keep_best and state.best is not None:
            self._average.copy_(state.best)
        return state

    def _lr(self, step: int) -> float:
        return self._training.lr * self._training.lr_factor(step)

    def _due(self, state: State) -> bool:
        """Whether a record is due."""
        return state.step % self._training.record_every == 0 or state.step == self._training.steps

    def _ended(self, state: State) -> bool:
        """Whether all steps are taken, or patience is over."""
        waited = state.step - state.best_step
        impatient = self._patience is not None and waited >= self._patience
        return state.step >= self._training.steps or (impatient and not state.losses)

    def _drawing(self, state: State) -> Drawing | None:
        """The generator of what the module draws; None where it is known to draw nothing."""
        if state.step and state.generator is None:
            return None
        drawing = Drawing(self._seed)
        if state.generator is not None:
            drawing.generator.set_state(state.generator)
            drawing.used = True
        return drawing

    def _bar(self, *, progress: bool | None) -> tqdm[None]:
        return tqdm(
            total=self._training.steps,
            desc="fit",
            unit="step",
            disable=not is_shown(progress),
            mininterval=0.2,
        )


def _checked_means(state: State, lr: float) -> list[float]:
    """Mean of each loss since the last record, all of them finite."""
    losses = torch.stack(state.losses)
    bad = torch.nonzero(~torch.isfinite(losses.sum(dim=1)))
    if len(bad):
        step = state.step - len(losses) + int(bad[0])
        _require_finite(math.nan, "training loss", f"from step {step} on", lr)
    return [float(v) for v in losses.mean(dim=0)]


def _require_finite(loss: float, name: str, when: str, lr: float) -> None:
    if not math.isfinite(loss):
        msg = (
            f"The {name} is not finite {when} (learning rate {lr:.3g}). Lower `lr`, look for"
            " outliers, check the scale of the representation, or train fewer dimensions."
        )
        raise TrainingError(msg)
