"""Type aliases."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["BoolArray", "FloatArray", "IntArray", "RandomState"]

BoolArray: TypeAlias = npt.NDArray[np.bool_]
FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
IntArray: TypeAlias = npt.NDArray[np.integer[Any]]
#: A public `random_state=`: a non-negative integer, a generator, or None for fresh entropy.
RandomState: TypeAlias = "int | np.integer[Any] | np.random.Generator | None"
