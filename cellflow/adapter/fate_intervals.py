"""Intervals of fates, from the answers of the members of an ensemble."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.keys import Keys
from cellflow.adapter.members import members_of
from cellflow.core._spread import Spread, spread
from cellflow.core._typing import FloatArray, IntArray

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Sure"]


@dataclass(frozen=True, eq=False)
class Sure:
    """How sure an ensemble is of the fates of cells.

    Parameters
    ----------
    se
        Standard errors of the cells' probabilities, shape `(n, l)`.
    probability
        Probabilities by each member, shape `(n, k, l)`.
    mass
        What each cell counts in a group by each member, shape `(n, k)`.
    level
        Of the intervals.
    degrees
        Of freedom between the members.
    """

    se: FloatArray
    probability: FloatArray
    mass: FloatArray
    level: float
    degrees: float

    @classmethod
    def read(
        cls,
        adata: AnnData,
        keys: Keys,
        about: Mapping[str, Any],
        level: float,
        *,
        weight: FloatArray,
        backward: bool,
    ) -> Sure:
        """Read what was written beside fates.

        Raises
        ------
        InputError
            Fates of a single flow.
        """
        entry = "ancestors" if backward else "fates"
        lineages = keys.lineages(backward=backward)
        about_it: dict[str, Any] = {
            "level": level,
            "what": f"adata.obsm[{lineages!r}]",
            "again": f"cf.tl.{entry}(adata, ...{keys.argument})",
        }
        n = adata.n_obs
        k = int(about.get("n_members", 1))
        width = len(about["names"])
        mass = np.ones((n, k))
        if not backward:
            mass = members_of(adata, keys.members("fate_mass"), (n, k), **about_it)
        each = members_of(adata, keys.members(entry), (n, k * width), **about_it)
        return cls(
            members_of(adata, keys.se(entry), (n, width), **about_it),
            each.reshape(n, k, width),
            mass * weight[:, None],
            level,
            float(about["degrees"]),
        )

    def by_cell(self, probability: FloatArray) -> dict[str, FloatArray]:
        """Columns for each cell and fate, each `(n, l)`."""
        return self._columns(Spread(probability, self.se, self.degrees))

    def of_mean(self, mean: FloatArray, rows: IntArray) -> dict[str, FloatArray]:
        """Columns for the mean probabilities `(l,)` of some cells, each `(l,)`."""
        mass = self.mass[rows]
        each = np.einsum("ik,ikl->kl", mass / mass.sum(axis=0), self.probability[rows])
        return self._columns(replace(spread(each, self.degrees), mean=mean))

    def _columns(self, found: Spread) -> dict[str, FloatArray]:
        low, high = found.interval(self.level)
        return {"se": found.se, "low": np.maximum(low, 0.0), "high": np.minimum(high, 1.0)}
