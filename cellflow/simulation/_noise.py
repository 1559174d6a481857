"""Noise of each cell, by the seed and the cell's key; other cells do not change it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from cellflow.core._random import stream

__all__ = ["Key", "normal_steps"]

#: Non-negative integers, the key of one cell's noise.
Key: TypeAlias = "tuple[int, ...]"
#: Steps whose noise is in memory at the same time.
_SLAB = 64


def normal_steps(
    seed: int, keys: Sequence[Key], width: int, n_steps: int, n_dims: int
) -> Iterator[Tensor]:
    """Standard normal numbers of each step, shape `(width, n_dims)`; rows beyond the keys zero."""
    generators = [stream(seed, *key) for key in keys]
    for start in range(0, n_steps, _SLAB):
        slab = np.zeros((width, min(_SLAB, n_steps - start), n_dims), dtype=np.float32)
        for row, generator in enumerate(generators):
            generator.standard_normal(out=slab[row], dtype=np.float32)
        yield from torch.from_numpy(slab).unbind(dim=1)
