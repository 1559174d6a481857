"""The state of a training, as a value."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cellflow.core._typing import FloatArray

__all__ = ["History", "State"]

_RECORD = "record."


class History(dict[str, FloatArray]):
    """What training did: arrays by name, which show the length and the last value of each.

    Examples
    --------
    >>> History(step=np.array([50.0, 100.0]), loss=np.array([1.5, 0.8]))
    History of 2 records: step=100, loss=0.8
    """

    def __repr__(self) -> str:
        order = sorted(self, key=lambda name: (name != "step", name != "loss", name))
        last = ", ".join(f"{name}={self[name][-1]:.4g}" for name in order if len(self[name]))
        said = f"History of {len(self.get('step', ()))} records: {last}"
        return textwrap.fill(said, 96, subsequent_indent="    ")


@dataclass(frozen=True, eq=False)
class State:
    """All that is needed to continue a training.

    A loop changes the tensors of a state in place; `copy` keeps one.

    Parameters
    ----------
    step
        Optimiser steps so far.
    weights
        Trainable parameters, shape `(p,)`.
    average
        Their exponential moving average.
    mean, square
        Means of the gradient and of its square in the optimiser, shape `(p,)` each.
    losses
        Losses of the steps since the last record, shape `(k,)` each.
    records
        Numbers by name, one for each record.
    best_step, best_loss, best
        Record with the lowest validation loss: its step, the loss, and the averaged weights there
        where the loop keeps them.
    generator
        State of the generator of a module that draws random numbers, such as dropout.
    """

    step: int
    weights: Tensor
    average: Tensor
    mean: Tensor
    square: Tensor
    losses: tuple[Tensor, ...] = ()
    records: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    best_step: int = 0
    best_loss: float = math.inf
    best: Tensor | None = None
    generator: Tensor | None = None

    def copy(self, device: torch.device | str | None = None) -> State:
        """Return the same state in memory of its own, its weights on a device."""
        copied: dict[str, Any] = {
            name: value.clone() if name == "generator" else value.clone().to(device)
            for name, value in self._tensors().items()
        }
        return replace(self, losses=tuple(loss.to(device) for loss in self.losses), **copied)

    def history(self) -> History:
        """Arrays of the records; with validation also `best_step` and `best_val_loss`."""
        history = History({name: np.array(values) for name, values in self.records.items()})
        if "val_loss" in history:
            history["best_step"] = np.array([float(self.best_step)])
            history["best_val_loss"] = np.array([self.best_loss])
        return history

    def state(self) -> tuple[dict[str, Any], dict[str, FloatArray]]:
        """Configuration (plain values for JSON) and arrays by name, for `from_state`."""
        arrays = {name: value.cpu().numpy().copy() for name, value in self._tensors().items()}
        arrays |= {_RECORD + name: np.array(values) for name, values in self.records.items()}
        arrays["best_loss"] = np.array(self.best_loss)
        if self.losses:
            arrays["losses"] = torch.stack(self.losses).cpu().numpy()
        return {"step": self.step, "best_step": self.best_step}, arrays

    @classmethod
    def from_state(cls, config: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> State:
        """Rebuild a state from what `state` returned."""
        own = {f.name for f in fields(cls)}
        values: dict[str, Any] = {
            name: torch.from_numpy(np.array(array)) for name, array in arrays.items() if name in own
        }
        values["losses"] = tuple(values.get("losses", ()))
        values["best_loss"] = float(arrays["best_loss"])
        values["records"] = {
            name.removeprefix(_RECORD): tuple(array.tolist())
            for name, array in arrays.items()
            if name.startswith(_RECORD)
        }
        return cls(**config, **values)

    def _tensors(self) -> dict[str, Tensor]:
        return {f.name: v for f in fields(self) if isinstance(v := getattr(self, f.name), Tensor)}
