"""Training of a dynamics on a stream of points."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from cellflow.core._settings import guarded
from cellflow.fields.dynamics import Dynamics
from cellflow.objectives.base import Objective
from cellflow.paths.base import PathSample
from cellflow.training.batches import Source
from cellflow.training.loop import Callback, Loop
from cellflow.training.optimizer import Group
from cellflow.training.settings import Training
from cellflow.training.state import History, State

__all__ = ["train"]


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
    state: State | None = None,
    checkpoint: Callable[[State], None] | None = None,
) -> tuple[Dynamics, History]:
    """Train on a stream; the argument itself is trained in place, its averaged copy is returned.

    Parameters
    ----------
    dynamics
        Freshly made, on the device of the stream.
    stream
        Training points and validation points.
    objectives
        Losses by name; their sum is minimised.
    training
        Length, learning rate and average.
    seed
        Of the random numbers of the networks themselves (dropout, say).
    progress
        A progress bar with loss and remaining time; None shows it only on a terminal or in a
        notebook.
    callback
        Called with the step and its mean loss at every record.
    state
        State of an earlier training with the same arguments, to continue it: the result is that of
        one uninterrupted training, to the last bit.
    checkpoint
        Called with a copy of the state at every record.

    Returns
    -------
    The averaged dynamics, and the history: `step`, `loss`, `lr` at every record, `loss_<name>`
    where
    there are several objectives, `val_step`, `val_loss` of the averaged weights, `best_step`,
    `best_val_loss` (one number each).

    Raises
    ------
    TrainingError
        A loss that is not finite; names the first such step and the learning rate.
    """
    held_out = stream.validation()

    def losses(module: Dynamics, batch: PathSample) -> Tensor:
        return torch.stack([objective(module, batch) for objective in objectives.values()])

    every = training.record_every
    loop = Loop(
        dynamics,
        losses,
        training,
        names=list(objectives),
        groups=[Group(training.weight_decay)],
        validate=None if held_out is None else lambda module: float(losses(module, held_out).sum()),
        patience=None if training.patience is None else training.patience * every,
        keep_best=training.patience is not None,
        seed=seed,
    )
    ended = loop.run(stream, state, progress=progress, callback=callback, checkpoint=checkpoint)
    return loop.averaged, ended.history()
