"""Cell types of predicted cells, and methods compared by the shares of types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cellflow.core._neighbors import nearest
from cellflow.core._random import stream
from cellflow.core._typing import FloatArray, IntArray
from cellflow.evaluation.comparison import Comparison, difference
from cellflow.evaluation.halves import Replicates, replicates_of
from cellflow.evaluation.names import STRAIGHT
from cellflow.metrics import Composition, composition_error

__all__ = ["CellTypes", "compare_types", "errors_of_types", "voted"]

#: Random halves of the hidden cells, on which shares are compared.
_SPLITS = 20
#: Hidden cells that vote on the type of a predicted one.
_VOTERS = 15
#: First key of the random streams.
_SPLIT = 11


@dataclass(frozen=True, eq=False)
class CellTypes:
    """Cell types at one hidden time.

    Parameters
    ----------
    labels, weight
        Of the hidden cells that have a type, `(n,)`.
    predicted
        By name of the cloud: the type of each cell (see `voted`), and the cells' weights.
    sample
        Number of the sample of each hidden cell, `(n,)`, or None. Of several, halves are made of
        samples.
    """

    labels: np.ndarray
    weight: FloatArray
    predicted: Mapping[str, tuple[np.ndarray, FloatArray]]
    sample: IntArray | None = None

    def composition(self, name: str) -> Composition:
        """Shares of types in one cloud (`x`) and among the hidden cells (`y`)."""
        found, weight = self.predicted[name]
        return composition_error(found, self.labels, x_weight=weight, y_weight=self.weight)

    def errors(self, name: str) -> FloatArray:
        """Share of cells in a wrong type, against random halves of the hidden cells `(n_splits,)`.

        Empty where there is no such cloud.
        """
        if name not in self.predicted:
            return np.array([])
        found, weight = self.predicted[name]
        made = []
        for half in self._halves():
            shares = composition_error(
                found, self.labels[half], x_weight=weight, y_weight=self.weight[half]
            )
            made.append(shares.error)
        return np.array(made)

    def _halves(self) -> list[IntArray]:
        """Rows of the hidden cells in each half."""
        if self.replicates is not None:
            return [seen for seen, _ in self.replicates.sides(_SPLITS, stream(0, _SPLIT))]
        n = len(self.labels)
        return [stream(0, _SPLIT, k).permutation(n)[: self.n_half] for k in range(_SPLITS)]

    @cached_property
    def replicates(self) -> Replicates | None:
        """The samples of the hidden cells; None where there are fewer than two."""
        return replicates_of(self.sample, self.weight)

    @property
    def n_half(self) -> int:
        """Hidden cells in a half."""
        return max(1, len(self.labels) // 2)

    @property
    def half_share(self) -> float:
        """Share of the hidden cells, or samples, in a half."""
        if self.replicates is not None:
            return self.replicates.n_seen / len(self.replicates)
        return self.n_half / len(self.labels)


def voted(x: FloatArray, real: FloatArray, labels: np.ndarray) -> np.ndarray:
    """The type that most of the nearest hidden cells have, of as many the one of the nearest.

    15 cells vote, or a tenth of the hidden ones where these are fewer than 150: more would be of
    all types. Only hidden cells vote, because cells of other times differ by their time, too; so no
    predicted cell is of a type that no hidden cell has.

    Parameters
    ----------
    x
        Predicted cells, shape `(m, d)`.
    real, labels
        Hidden cells, shape `(n, d)`, and their types, `(n,)`.

    Returns
    -------
    The types, `(m,)`.
    """
    names, code = np.unique(labels.astype(str), return_inverse=True)
    _, near = nearest(real, x, max(1, min(_VOTERS, len(real) // 10)))
    votes = np.zeros((len(x), len(names)))
    for k in range(near.shape[1]):
        votes[np.arange(len(x)), code[near[:, k]]] += 1.0 + 1e-3 * 2.0**-k
    return np.asarray(names[votes.argmax(axis=1)])


def compare_types(
    found: Mapping[float, CellTypes], models: Mapping[str, tuple[str, str]]
) -> list[Comparison]:
    """Compare the composition of every prediction with that of OT interpolation.

    Parameters
    ----------
    found
        Types by hidden time.
    models
        Method and protocol of every model by the name of its cloud.
    """
    made: list[Comparison] = []
    for time, here in found.items():
        share = here.half_share
        n_samples = 0 if here.replicates is None else len(here.replicates)
        if share == 1:
            continue  # One cell has no halves.
        straight = here.errors(STRAIGHT)
        for name, (method, protocol) in models.items():
            own = [here.errors(name)] if name in here.predicted else []
            where = (method, protocol, time, "composition")
            made.append(difference(where, own, straight, share, n_samples))
    return made


def errors_of_types(found: Mapping[float, CellTypes]) -> dict[tuple[float, str], float]:
    """Share of cells in a wrong type by hidden time and name of the cloud."""
    return {
        (time, name): here.composition(name).error
        for time, here in found.items()
        for name in here.predicted
    }
