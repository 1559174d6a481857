"""Trends of all conditions, by an ensemble and by each of its members."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.fitted import Fitted
from cellflow.analysis.members import degrees_of
from cellflow.analysis.prediction import of_condition
from cellflow.analysis.trends import (
    Parts,
    Trends,
    clouds_of,
    measured,
    residuals,
    stretches,
    trends,
)
from cellflow.core._halves import halves
from cellflow.core._progress import is_shown
from cellflow.core._spread import Spread, spread
from cellflow.core._typing import FloatArray
from cellflow.errors import naming_cells
from cellflow.tl._trends_asked import ALL, Kinds

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.core.decoder import Decoder
    from cellflow.core.population import Snapshots
    from cellflow.model.base import FittedDynamics

__all__ = ["Asked", "Found", "found"]

#: Share of the mass that may lead to where no cell was measured.
_OFF = 0.5


@dataclass(frozen=True, eq=False)
class Asked:
    """Arguments of `cf.tl.trends`, checked: times `(T,)`, the decoder of the genes, and so on."""

    grid: FloatArray
    start: float | None
    decoder: Decoder
    level: float
    min_cells: int


@dataclass(frozen=True, eq=False)
class Found:
    """Trends in the order of `Kinds.each`.

    Parameters
    ----------
    trends
        By the fit; shapes `(K, T, ...)`.
    measured
        Means of the measured cells, `(K, T, g)`; NaN where no cells were measured.
    supported
        Which times have support, `(K, T)`.
    members
        Means by each member of an ensemble, `(k, K, T, g)`; None of a single flow.
    degrees
        Of freedom between them.
    """

    trends: Trends
    measured: FloatArray
    supported: np.ndarray
    members: FloatArray | None
    degrees: float

    def sure(self) -> Spread | None:
        """Means with standard errors; None of a single flow."""
        if self.members is None:
            return None
        return Spread(self.trends.mean, spread(self.members).se, self.degrees)

    def difference(self, a: int, b: int) -> tuple[FloatArray, Spread | None, FloatArray | None]:
        """Trend `a` less trend `b`, `(T, g)`: by the fit, with its error, and by each member."""
        mean = self.trends.mean[a] - self.trends.mean[b]
        if self.members is None:
            return mean, None, None
        each = self.members[:, a] - self.members[:, b]
        return mean, Spread(mean, spread(each).se, self.degrees), each


def found(
    adata: AnnData,
    fitted: Fitted,
    kinds: Kinds,
    asked: Asked,
    expression: FloatArray,
    *,
    progress: bool | None,
) -> Found:
    """Compute trends by the fit and by each member; `expression` is that of all cells, `(n, g)`."""
    from tqdm import tqdm

    snapshots = fitted.cells.snapshots()
    flows: tuple[FittedDynamics, ...] = (fitted.flow, *fitted.flow.members)
    # A member is asked about the half of the cells that it was fitted on, so that the cells that
    # happened to be measured are in the differences between members too.
    parts = [snapshots, *halves(snapshots, len(flows) - 1, fitted.flow.seed)]
    stored = _stored(adata, fitted, kinds)
    means = []
    bar = tqdm(flows, desc="trends", unit="flow", disable=not is_shown(progress))
    with naming_cells(fitted.names):
        for k, flow in enumerate(bar):
            part = kinds.parts(flow, stored[k])
            if k == 0:
                residual = residuals(fitted.x, expression, asked.decoder)
                whole = joined(
                    list(_each(flow, parts[0], kinds, part, asked, expression, residual))
                )
                seen = _measured(snapshots, kinds, part, asked, expression)
            else:
                each = _each(flow, parts[k], kinds, part, asked, expression)
                means.append(joined(list(each)).mean)
    supported = (whole.n_eff >= asked.min_cells) & (whole.off <= _OFF)
    if kinds.question is not None:  # cells after the end have no fate
        supported &= asked.grid <= kinds.question.targets.at
    members = np.stack(means) if means else None
    return Found(whole, seen, supported, members, degrees_of(fitted.flow))


def _apart(snapshots: Snapshots, kinds: Kinds) -> Iterator[tuple[Snapshots, bool]]:
    """The cells of each condition, and whether they were measured in it."""
    for features in kinds.features:
        yield (snapshots, True) if features is None else of_condition(snapshots, features)


def _measured(
    snapshots: Snapshots, kinds: Kinds, parts: Parts, asked: Asked, expression: FloatArray
) -> FloatArray:
    """Means of the measured cells of each trend, `(K, T, g)`; NaN where there are none."""
    each = []
    for cells, are_own in _apart(snapshots, kinds):
        values = measured(cells, asked.grid, parts, expression)
        each.append(values if are_own else np.full_like(values, np.nan))
    seen = np.concatenate(each)
    if asked.start is not None and kinds.groups != [ALL]:
        # It was not measured which cells of other times descend from a group.
        seen[:, asked.grid != asked.start] = np.nan
    return seen


def _each(
    flow: FittedDynamics,
    snapshots: Snapshots,
    kinds: Kinds,
    parts: Parts,
    asked: Asked,
    expression: FloatArray,
    residual: FloatArray | None = None,
) -> Iterator[Trends]:
    """Trends of each condition; with residuals, their spread and where paths lead."""
    for cells, _ in _apart(snapshots, kinds):
        clouds = None if residual is None else clouds_of(cells)
        paths = stretches(flow, cells, asked.grid, start=asked.start, clouds=clouds)
        yield trends(paths, len(asked.grid), parts, expression, asked.decoder, residual)


def joined(each: list[Trends]) -> Trends:
    """Trends of all conditions, one after the other."""
    spreads = [found.sd for found in each if found.sd is not None]
    return Trends(
        np.concatenate([found.mean for found in each]),
        np.concatenate([found.decoded for found in each]),
        np.concatenate(spreads) if spreads else None,
        *(
            np.concatenate([getattr(found, name) for found in each])
            for name in ("share", "n_eff", "off")
        ),
    )


def _stored(adata: AnnData, fitted: Fitted, kinds: Kinds) -> list[FloatArray | None]:
    """Probabilities that `cf.tl.fates` wrote: of the fit, and of each member where there are."""
    n = len(fitted.flow.members)
    none: list[FloatArray | None] = [None] * n
    if kinds.question is None:
        return [None, *none]
    stored = kinds.question.stored
    width = len(stored.names)
    name = fitted.keys.members("fates")
    of_this_fit = list(map(str, np.ravel(stored.about.get("ensemble", [])))) == [fitted.keys.uns]
    if not n or not of_this_fit or np.shape(adata.obsm.get(name)) != (adata.n_obs, n * width):
        return [stored.probability, *none]
    each = np.asarray(adata.obsm[name], dtype=np.float64).reshape(adata.n_obs, n, width)
    return [stored.probability, *(each[:, k] for k in range(n))]
