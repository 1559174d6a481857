"""Genes that go with, drive, or follow the decision for a fate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.analysis.fates.cells import FateCells, Targets
from cellflow.analysis.genes.association import (
    Association,
    Stratum,
    associations,
    strata_of,
)
from cellflow.analysis.genes.latent_effects import Effect, latent_effects
from cellflow.analysis.genes.response import Kind
from cellflow.analysis.genes.scoring import Combined, Part, against_of, combined, scored
from cellflow.analysis.members import degrees_of
from cellflow.core._typing import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from cellflow.model.base import FittedDynamics

__all__ = ["DriverGenes", "DriverQuestion", "Drivers", "drivers"]


@dataclass(frozen=True, eq=False)
class DriverQuestion:
    """The fate, and the cells in which its drivers are looked for.

    Parameters
    ----------
    flow
        The fitted dynamics; an ensemble gives standard errors.
    cells, targets
        The cells, and what a fate is.
    fate
        Number of the fate.
    probability
        Of the fate, among the fates that are decided, by the flow and then by each member of an
        ensemble, shape `(n, 1 + k)`.
    rows
        Of the cells of the window, before the end, shape `(m,)`.
    sample
        Number of the sample of each cell, shape `(n,)`, where samples are the replicates.
    degrees
        Of freedom between the members that the probabilities are of.
    """

    flow: FittedDynamics
    cells: FateCells
    targets: Targets
    fate: int
    probability: FloatArray
    rows: IntArray
    _: KW_ONLY
    sample: IntArray | None = None
    degrees: float = 0.0

    @property
    def weight(self) -> FloatArray:
        """Weights of the cells of the window, shape `(m,)`."""
        return self.cells.weight[self.rows]

    def strata(self, *, by_sample: bool = True) -> list[Stratum]:
        """Cells of the window that are compared with each other."""
        kinds = self._kinds(self.rows)
        sample = self.sample[self.rows] if by_sample and self.sample is not None else None
        return strata_of(self.rows, kinds, self.weight, sample)

    def terminal(self) -> list[Stratum]:
        """Cells whose label is a fate: those of the end, and of absorbing groups at their times."""
        there = self.cells.measured == self.targets.at
        for code, times in self.targets.absorb.items():
            there |= (self.targets.code == code) & np.isin(self.cells.measured, times)
        rows: IntArray = np.flatnonzero(there & (self.targets.code >= 0))
        context = self.cells.features(rows)
        kinds = np.zeros((len(rows), 1)) if context is None else context
        return strata_of(rows, kinds, self.cells.weight[rows])

    def _kinds(self, rows: IntArray) -> FloatArray:
        time = self.cells.start[rows][:, None]
        context = self.cells.features(rows)
        return time if context is None else np.column_stack([time, context])


@dataclass(frozen=True, eq=False)
class DriverGenes:
    """Genes, and what the representation sees of them.

    Parameters
    ----------
    loadings
        Of the decoder, shape `(g, d)`; zero for genes that are not decoded.
    all_loadings
        Of all genes of the decoder, shape `(n_genes, d)`.
    r2
        Share of the variance of each that is decoded, shape `(g,)`.
    decodable
        Which can be decoded, shape `(g,)`.
    leverage
        How much of a change of each alone can be expressed, shape `(g,)`.
    expression
        Measured expression of some of them in all cells, `slice -> (n, g)`.
    """

    loadings: FloatArray
    all_loadings: FloatArray
    r2: FloatArray
    decodable: BoolArray
    leverage: FloatArray
    expression: Callable[[slice], FloatArray]


@dataclass(frozen=True, eq=False)
class Drivers:
    """What was found, each of shape `(g,)`.

    Parameters
    ----------
    parts
        Association, sensitivity and velocity, see `cf.tl.drivers`.
    together
        The parts together.
    marker, marker_rank
        Rank correlation with the label of the terminal cells, and the rank by its size.
    mean, sd
        Of the expression in the window; the deviation is that within its times.
    response
        `"covariance"` or `"alone"`: how the state was changed with the gene.
    against
        What p-values compare with: `"genes"` or `"directions"`.
    n_samples
        Replicates; zero where cells count.
    """

    parts: tuple[Part, Part, Part]
    together: Combined
    marker: FloatArray
    marker_rank: IntArray
    mean: FloatArray
    sd: FloatArray
    response: np.ndarray
    against: str
    n_samples: int


def drivers(
    question: DriverQuestion, genes: DriverGenes, *, response: Kind = "auto", max_cells: int = 1000
) -> Drivers:
    """Find the genes that drive a fate; see `cf.tl.drivers`.

    Parameters
    ----------
    question, genes
        The fate and the cells; the genes.
    response
        How the state changes with a gene; see `cellflow.analysis.genes.response`.
    max_cells
        Cells whose sensitivities are computed.
    """
    found = associations(
        question.strata(),
        question.probability,
        question.cells.x,
        genes.expression,
        len(genes.loadings),
    )
    n_samples = len(found.samples) if question.sample is not None else 0
    association = _of_cells(question, found, replicated=n_samples > 1)
    sensitivity, velocity, kinds = latent_effects(question, genes, found.sd, response, max_cells)
    features = np.column_stack([found.mean, found.sd])
    against = against_of(features, kinds, genes.decodable, found.latent)
    every = np.ones(len(kinds), dtype=bool)
    between = degrees_of(question.flow)
    parts = (
        scored(association, against, question.degrees, decodable=every),
        scored(sensitivity, against, between, decodable=genes.decodable),
        scored(velocity, against, between, decodable=genes.decodable),
    )
    marker = _marker(question, genes)
    return Drivers(
        parts,
        combined(parts),
        marker,
        _ranked(marker),
        found.mean,
        found.sd,
        kinds,
        against.name,
        n_samples if n_samples > 1 else 0,
    )


def _of_cells(question: DriverQuestion, found: Association, *, replicated: bool) -> Effect:
    """Associations with what is known about their errors."""
    seen = np.minimum(np.linalg.norm(found.latent, axis=1), 1.0)
    linear = min(float(np.linalg.norm(found.fate_latent)), 1.0)
    return Effect(
        found.value,
        found.members,
        found.cells_se**2,
        sum(stratum.effective for stratum in question.strata()),
        seen * linear,
        samples=found.samples if replicated else None,
        # What is left of both, beside their linear parts, correlates by chance.
        noise=found.cells_se * np.sqrt((1.0 - seen**2) * (1.0 - linear**2)),
    )


def _marker(question: DriverQuestion, genes: DriverGenes) -> FloatArray:
    """Rank correlation of each gene with the label of the terminal cells."""
    strata = question.terminal()
    if not strata:
        return np.full(len(genes.loadings), np.nan)
    own = (question.targets.code == question.fate).astype(np.float64)[:, None]
    none = np.zeros((len(own), 1))
    return associations(strata, own, none, genes.expression, len(genes.loadings)).value


def _ranked(values: FloatArray) -> IntArray:
    """Ranks by size, the largest first; equal values share the better rank."""
    from scipy.stats import rankdata

    size = np.nan_to_num(np.abs(values), nan=-1.0)
    return np.asarray(rankdata(-size, method="min"), dtype=np.int64)
