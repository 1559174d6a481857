"""Effects of genes that are read off the dynamics: sensitivity of the fate, and velocity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.analysis.genes.contrast import contrast
from cellflow.analysis.genes.response import Kind, covariance_of, kinds_of, responses
from cellflow.analysis.genes.sensitivity import end_classifier, sensitivities
from cellflow.core._typing import FloatArray, IntArray

if TYPE_CHECKING:
    from cellflow.analysis.genes.drivers import DriverGenes, DriverQuestion
    from cellflow.model.base import FittedDynamics

__all__ = ["Effect", "latent_effects"]

#: Relative size of a variance that is rounding.
_ROUNDING = 1e-10
#: Steps of the solver per mean interval between snapshots: a quarter of the usual number, which
#: changes mean gradients by at most 1.4 % on three data sets.
_STEPS = 5


@dataclass(frozen=True, eq=False)
class Effect:
    """A quantity of every gene, with what is known about its errors.

    Parameters
    ----------
    value
        Shape `(g,)`; NaN where it has none.
    members
        By each member of an ensemble, shape `(k, g)`; `k` is zero for a single flow.
    cells
        Variance of the value by the cells that happened to be measured, shape `(g,)`.
    n_cells
        Their effective number.
    most
        The largest value that the gene could have in any direction of the state, shape `(g,)`.
    samples
        The value within each sample, shape `(s, g)`, where samples are the replicates.
    noise
        Standard deviation of what does not depend on the direction, shape `(g,)`.
    """

    value: FloatArray
    members: FloatArray
    cells: FloatArray
    n_cells: float
    most: FloatArray
    _: KW_ONLY
    samples: FloatArray | None = None
    noise: FloatArray | float = 0.0


@dataclass(frozen=True, eq=False)
class _Stratum:
    """Genes, and cells of one time and condition of the window.

    Parameters
    ----------
    rows, share
        The cells, and how much they count among those of the window.
    sd
        Standard deviation of each decoded gene, shape `(g,)`; zero for those that do not vary.
    change
        Change of the state for one standard deviation of each gene, shape `(g, d)`.
    per_sd
        Loadings in these deviations, shape `(g, d)`.
    root, inverse_root
        Of the covariance of the cells, shape `(d, d)`.
    """

    rows: IntArray
    share: float
    sd: FloatArray
    change: FloatArray
    per_sd: FloatArray
    root: FloatArray
    inverse_root: FloatArray


class _Sum:
    """An effect, summed over the strata of a window."""

    def __init__(self, n_members: int, n_genes: int) -> None:
        self.value = np.zeros(n_genes)
        self.members = np.zeros((n_members, n_genes))
        self.cells = np.zeros(n_genes)
        self.most = np.zeros(n_genes)
        self.share = 0.0
        self.n_cells = 0.0

    def add(
        self, share: float, maps: FloatArray, vectors: FloatArray, covariance: FloatArray
    ) -> None:
        """Add `maps @ vector` of one stratum, by the flow and its members `(1 + k, d)`."""
        self.value += share * (maps @ vectors[0])
        self.members += share * (vectors[1:] @ maps.T)
        self.cells += share**2 * np.einsum("gi,ij,gj->g", maps, covariance, maps)
        self.share += share

    def effect(self, seen: FloatArray) -> Effect:
        """The weighted mean over the strata, times the seen part of each gene; NaN for none."""
        share = max(self.share, np.finfo(np.float64).tiny)
        known = np.where((seen > 0) & (self.share > 0), seen, np.nan)
        return Effect(
            known * self.value / share,
            known * self.members / share,
            known**2 * self.cells / share**2,
            self.n_cells,
            known * self.most / share,
        )


def latent_effects(
    question: DriverQuestion, genes: DriverGenes, sd: FloatArray, kind: Kind, max_cells: int
) -> tuple[Effect, Effect, np.ndarray]:
    r"""Sensitivity of the fate to each gene, velocity of the gene along it, and the response used.

    With the gradient :math:`G` of the log-odds of the fate by the state, averaged over the cells of
    one time and condition, the change :math:`u` of the state for one unit of the gene, and its
    standard deviation :math:`\sigma = \sqrt{w^\top S w}` among these cells, as the representation
    sees it, the sensitivity is :math:`\rho\, \sigma\, G \cdot u`. With the mean velocity of the
    cells by the probability of the fate less that by the probability of the others, :math:`D`, the
    velocity is :math:`\rho\, w \cdot D / \sigma`. Both are means over times and conditions,
    weighted by their cells.

    :math:`\rho`, at most 1, is the ratio of :math:`\sigma` to the measured standard deviation. So
    velocities are in units of the latter, and a sensitivity is that for one measured deviation, of
    which only the part :math:`\rho` is seen: the slope of a regression on the measured gene.

    Parameters
    ----------
    question, genes
        The fate and the cells; the genes.
    sd
        Standard deviation of the measured expression within the times, shape `(g,)`.
    kind
        See `cellflow.analysis.genes.response`.
    max_cells
        Cells whose sensitivities are computed.

    Returns
    -------
    Both effects, and the kind of response of each gene.
    """
    n_genes = len(genes.loadings)
    flows = [question.flow, *question.flow.members]
    sensitivity = _Sum(len(flows) - 1, n_genes)
    velocity = _Sum(len(flows) - 1, n_genes)
    decoded = np.zeros(n_genes)
    at_end = question.fate in end_classifier(question.cells, question.targets).codes
    for at in _strata(question, genes, kind):
        decoded += at.share * at.sd**2
        if at_end:
            some = question.cells.some(at.rows, max(1, round(at.share * max_cells)))
            gradients, covariance, effective = _gradients(question, flows, some)
            sensitivity.add(at.share, at.change, gradients, covariance)
            own = np.linalg.norm(at.change @ at.inverse_root, axis=1)
            sensitivity.most += at.share * own * np.linalg.norm(at.root @ gradients[0])
            sensitivity.n_cells += effective
        moves, covariance, effective = _contrasts(question, flows, at.rows)
        if np.isfinite(moves).all():
            velocity.add(at.share, at.per_sd, moves, covariance)
            own = np.linalg.norm(at.per_sd @ at.root, axis=1)
            velocity.most += at.share * own * np.linalg.norm(at.inverse_root @ moves[0])
            velocity.n_cells += effective
    kinds = kinds_of(genes.loadings, genes.all_loadings, kind)
    seen = np.divide(np.sqrt(decoded), sd, out=np.zeros(n_genes), where=sd > 0)
    seen = np.minimum(seen, 1.0)
    return sensitivity.effect(seen), velocity.effect(seen), kinds


def _strata(question: DriverQuestion, genes: DriverGenes, kind: Kind) -> Iterator[_Stratum]:
    """Genes and cells by time and condition; samples of one condition are taken together."""
    found = question.strata(by_sample=False)
    n = sum(len(stratum.rows) for stratum in found)
    loadings = np.where(genes.decodable[:, None], genes.loadings, 0.0)
    for stratum in found:
        rows = stratum.rows
        covariance = covariance_of(question.cells.x[rows], stratum.weight)
        variance = np.einsum("gi,ij,gj->g", loadings, covariance, loadings)
        largest = np.trace(covariance) * (loadings**2).sum(axis=1)
        varies = variance > _ROUNDING * largest
        sd = np.sqrt(np.where(varies, variance, 0.0))
        change = np.zeros_like(loadings)
        change[varies] = sd[varies, None] * responses(
            loadings[varies],
            kind=kind,
            covariance=covariance,
            all_loadings=genes.all_loadings,
        )
        per_sd = np.divide(
            loadings, sd[:, None], out=np.zeros_like(loadings), where=varies[:, None]
        )
        root, inverse = _roots(covariance)
        share = len(rows) / n
        yield _Stratum(rows, share, sd, change, per_sd, root, inverse)


def _gradients(
    question: DriverQuestion, flows: list[FittedDynamics], rows: IntArray
) -> tuple[FloatArray, FloatArray, float]:
    """Mean gradients by each flow `(1 + k, d)`, the covariance of the first, and cells."""
    fate = np.array([question.fate])
    weight = question.cells.weight[rows] / question.cells.weight[rows].sum()
    means = []
    covariance: FloatArray = np.zeros((question.cells.x.shape[1],) * 2)
    for k, flow in enumerate(flows):
        found = sensitivities(
            flow, question.cells, question.targets, rows, fate, step=flow.clock.unit / _STEPS
        ).gradient[:, 0]
        means.append(weight @ found)
        if k == 0:
            off = (found - means[0]) * weight[:, None]
            covariance = off.T @ off
    return np.stack(means), covariance, float(1.0 / (weight**2).sum())


def _contrasts(
    question: DriverQuestion, flows: list[FittedDynamics], rows: IntArray
) -> tuple[FloatArray, FloatArray, float]:
    """Velocities along the fate by each flow `(1 + k, d)`, the covariance of the first, cells."""
    cells = question.cells
    weight = cells.weight[rows]
    found = []
    covariance: FloatArray = np.zeros((cells.x.shape[1],) * 2)
    # Fates of several fits have other members than this flow.
    by_member = question.probability.shape[1] == len(flows)
    for k, flow in enumerate(flows):
        p = question.probability[rows, k if by_member else 0]
        v = flow.velocity(cells.x[rows], cells.start[rows], context=cells.features(rows))
        move, spread = contrast(np.asarray(v, dtype=np.float64), weight * p, weight * (1.0 - p))
        found.append(move)
        covariance = spread if k == 0 else covariance
    return np.stack(found), covariance, float(weight.sum() ** 2 / (weight**2).sum())


def _roots(covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Symmetric roots of a covariance and of its inverse, where it has one."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > _ROUNDING * max(float(values[-1]), np.finfo(np.float64).tiny)
    root = np.sqrt(np.where(kept, values, 0.0))
    inverse = np.divide(1.0, root, out=np.zeros_like(root), where=kept)
    return (vectors * root) @ vectors.T, (vectors * inverse) @ vectors.T
