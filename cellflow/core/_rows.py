"""Cells in chunks of one width, so that a cell's result does not depend on the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cellflow.core._typing import FloatArray
from cellflow.errors import InputError

__all__ = ["Rows"]

#: Rows per call of a network.
_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class Rows:
    """States of cells, each with the features of its condition and its time where there are any."""

    x: Tensor  # `(n, d)`
    context: Tensor | None = None  # features, `(n, c)`
    t: Tensor | None = None  # times, `(n,)`, in float64

    @classmethod
    def of(
        cls, x: FloatArray, context: FloatArray | None = None, t: FloatArray | None = None
    ) -> Rows:
        """Copies of arrays as float64 tensors.

        Raises
        ------
        InputError
            Features that are not one row per cell.
        """
        if context is not None and (np.ndim(context) != 2 or len(context) != len(x)):
            msg = (
                f"context has shape {np.shape(context)}; expected one row of features per cell"
                f" ({len(x)})."
            )
            raise InputError(msg)
        copies = [None if a is None else np.array(a, dtype=np.float64) for a in (x, context, t)]
        tensors: Any = (None if a is None else torch.from_numpy(a) for a in copies)
        return cls(*tensors)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Tensor | slice) -> Rows:
        return self._each(lambda a: a[rows])

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Rows:
        """Rows on a device, states and features in a precision; times stay in float64."""
        moved = self._each(lambda a: a.to(device))
        context = None if moved.context is None else moved.context.to(dtype)
        return replace(moved, x=moved.x.to(dtype), context=context)

    def padded(self, size: int = _CHUNK) -> Iterator[tuple[Rows, int]]:
        """Chunks of `size` rows, each with the number of its rows that count.

        The last chunk is filled up by repeating a row. The last bit of a matrix product depends on
        the shape of the matrix; with one shape for all chunks, a cell's result does not depend on
        the other cells.
        """
        for start in range(0, len(self), size):
            chunk = self[start : start + size]
            count = len(chunk)
            # Row numbers, the last one repeated.
            filled = torch.arange(size).clamp_max(count - 1)
            yield (chunk if count == size else chunk[filled]), count

    def evaluate(self, function: Callable[[Rows], Tensor], size: int = _CHUNK) -> Tensor:
        """Values of a function `rows -> (n, ...)`, chunk by chunk, on the CPU."""
        if len(self) == 0:
            empty = self._each(lambda a: a.new_zeros(1, *a.shape[1:]))
            return empty.evaluate(function, size)[:0]
        return torch.cat([function(chunk)[:n].cpu() for chunk, n in self.padded(size)])

    def bound(self, function: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        """`function` of `(t, x)` alone, with the features where there are any."""
        if self.context is None:
            return function
        return lambda t, x: function(t, x, self.context)

    def values(self, function: Callable[..., Tensor]) -> Tensor:
        """Values of `function` at the rows' own times."""
        return self.bound(function)(self.t, self.x)  # type: ignore[arg-type] # rows with times

    def _each(self, change: Callable[[Tensor], Tensor]) -> Rows:
        context = None if self.context is None else change(self.context)
        return Rows(change(self.x), context, None if self.t is None else change(self.t))
