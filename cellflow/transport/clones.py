"""Plans inside clones: cells that share a barcode are coupled with each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cellflow.core._neighbors import squared_distances
from cellflow.core._random import stream
from cellflow.core._typing import FloatArray, IntArray
from cellflow.transport.certified import certified
from cellflow.transport.exact import solve_dense

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix, csr_matrix

__all__ = ["Mates", "Shared", "inside_clones", "shared_clones"]

#: Up to this many pairs of a clone are solved as a matrix.
_DENSE_PAIRS = 1_000**2
#: Certified gap, rounds and seed of larger ones.
_GAP = 1e-3
_ROUNDS = 20
_SEED = 0


class Shared(NamedTuple):
    """Mass of the cells of each clone that has mass at both ends, sparse by columns.

    A cell of several such clones has its mass split evenly among them.
    """

    source: csc_matrix  # `(n, n_clones)`
    target: csc_matrix  # `(m, n_clones)`

    def __len__(self) -> int:
        return int(self.source.shape[1])

    @property
    def masses(self) -> tuple[FloatArray, FloatArray]:
        """Mass of each clone at either end, shape `(n_clones,)`."""
        return np.asarray(self.source.sum(axis=0))[0], np.asarray(self.target.sum(axis=0))[0]


class Mates(NamedTuple):
    """Pairs of cells that share a clone: rows, columns and mass, each `(e,)`."""

    i: IntArray
    j: IntArray
    mass: FloatArray


def shared_clones(source: csr_matrix, target: csr_matrix, a: FloatArray, b: FloatArray) -> Shared:
    """Return the clones that have mass at both ends.

    Parameters
    ----------
    source, target
        Which clones each cell belongs to, 0 or 1, shapes `(n, k)` and `(m, k)`.
    a, b
        Weights, shapes `(n,)` and `(m,)`.
    """
    present = [
        np.asarray((clones[weight > 0] != 0).sum(axis=0))[0] > 0
        for clones, weight in ((source, a), (target, b))
    ]
    both = np.flatnonzero(present[0] & present[1])
    return Shared(_masses(source, a, both), _masses(target, b, both))


def _masses(clones: csr_matrix, weight: FloatArray, columns: IntArray) -> csc_matrix:
    """Mass of each cell in each of some clones."""
    import scipy.sparse as sp

    own = sp.csr_matrix(clones[:, columns], dtype=np.float64)
    own.eliminate_zeros()
    count = np.diff(own.indptr)
    own.data = np.repeat(weight / np.maximum(count, 1), count)
    own.eliminate_zeros()
    return own.tocsc()


def inside_clones(x: FloatArray, y: FloatArray, shared: Shared, *, grows: bool = False) -> Mates:
    r"""Couple each clone with itself by optimal transport, as far as its masses allow.

    A clone has the smaller one of its masses at both ends as mass of its plan. Of the larger one,
    the same share of every cell is left over. Where clones may grow, the mass of a plan is
    proportional to :math:`\sqrt{a_c b_c}`, with the masses :math:`a_c, b_c` of the clone at both
    ends, and only what all clones together lack at one end is left over at the other.

    Parameters
    ----------
    x, y
        Positions, shapes `(n, d)` and `(m, d)`.
    shared
        The clones, at least one.
    grows
        Whether masses of clones may differ between both ends.

    Examples
    --------
    Two cells of one clone, and one descendant of less mass:

    >>> import scipy.sparse as sp
    >>> both = sp.csr_matrix(np.ones((2, 1)))
    >>> later = sp.csr_matrix(np.array([[1.0], [0.0]]))
    >>> shared = shared_clones(both, later, np.array([0.5, 0.5]), np.array([0.2, 0.8]))
    >>> inside_clones(np.zeros((2, 1)), np.zeros((2, 1)), shared).mass
    array([0.1, 0.1])
    """
    i, j, mass = (
        np.concatenate(part) for part in zip(*_plans(x, y, shared, grows=grows), strict=True)
    )
    return Mates(i.astype(np.int64), j.astype(np.int64), mass)


def _plans(x: FloatArray, y: FloatArray, shared: Shared, *, grows: bool) -> Iterator[Mates]:
    """The plan of each clone."""
    at_both = np.stack(shared.masses)
    masses = at_both.min(axis=0)
    if grows:
        totals = at_both.sum(axis=1)
        masses = totals.min() * np.sqrt(at_both.prod(axis=0) / totals.prod())
    own = shared.source
    their = shared.target
    for c in range(len(shared)):
        i = own.indices[own.indptr[c] : own.indptr[c + 1]]
        j = their.indices[their.indptr[c] : their.indptr[c + 1]]
        a = own.data[own.indptr[c] : own.indptr[c + 1]]
        b = their.data[their.indptr[c] : their.indptr[c + 1]]
        k, m, part = _coupled(x[i], y[j], a / a.sum(), b / b.sum())
        yield Mates(i[k], j[m], masses[c] * part)


def _coupled(x: FloatArray, y: FloatArray, a: FloatArray, b: FloatArray) -> Mates:
    """Optimal transport of one clone, of mass one."""
    n = len(x)
    m = len(y)
    if n == 1 or m == 1:
        plan = np.outer(a, b)
    elif n * m <= _DENSE_PAIRS:
        costs = squared_distances(x, y)
        costs /= float(costs.max()) or 1.0  # POT's tolerance is absolute
        plan = solve_dense(a, b, costs)[0]
    else:
        centre = b @ y
        found = certified(x - centre, y - centre, a, b, gap=_GAP, rounds=_ROUNDS, rng=stream(_SEED))
        return Mates(found.i, found.j, found.units / found.units.sum())
    i, j = np.nonzero(plan)
    return Mates(i, j, plan[i, j])
