"""The least-squares potential of a velocity field at the cells of one population."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cellflow.analysis.landscape.graph import Field, Graph
from cellflow.analysis.landscape.quadratic import Quadratic
from cellflow.core._numbers import as_count
from cellflow.core._typing import FloatArray

__all__ = ["Landscape", "potential"]


@dataclass(frozen=True, eq=False)
class Landscape:
    """A potential at cells.

    Parameters
    ----------
    value
        Shape `(n,)`; of weighted mean zero in each component, NaN for a cell without neighbours.
    unexplained
        Share of the squared velocity that is no gradient of it, from 0 to 1; NaN where it cannot
        be known.
    n_components
        Parts of at least two cells that no edge joins.
    """

    value: FloatArray
    unexplained: float
    n_components: int


def _landscape(graph: Graph, velocity: FloatArray, integrals: FloatArray) -> Landscape:
    r"""The potential of a velocity: its quadratic part, and the rest by the edges of the graph.

    The rest explains a share of its integrals by chance, because it has a value for each cell. It
    is shrunk by the adjusted share over the share, which is one for a gradient field and zero where
    no more is explained than by chance.

    Parameters
    ----------
    graph
        The cells.
    velocity
        Of the cells, shape `(n, d)`.
    integrals
        Of the velocity along the edges, shape `(e,)`.
    """
    quadratic, curved = Quadratic.fitted(graph.x, velocity, graph.mass)
    smooth = quadratic.value(graph.x)
    rest = integrals + smooth[graph.j] - smooth[graph.i]
    bent = graph.solve(rest)
    left, adjusted = graph.unexplained(rest, bent)
    kept = (1.0 - adjusted) / (1.0 - left) if 0.0 < left < adjusted else 1.0
    value = graph.centred(smooth + kept * bent)
    return Landscape(value, curved * adjusted, graph.n_components)


def potential(
    x: FloatArray, fields: Sequence[Field], weight: FloatArray, *, n_neighbors: int = 15
) -> tuple[Landscape, FloatArray]:
    r"""The least-squares potential :math:`U` of velocities, :math:`v \approx -\nabla U`, at cells.

    A quadratic potential is fitted to the velocities in closed form. What it leaves is integrated
    along the edges between nearest neighbours, and :math:`U` has the differences that fit these
    integrals best. A gradient field is recovered exactly, in any dimension and with any number of
    cells, as long as the graph is connected.

    The share that stays unexplained is the product of that of the quadratic potential, on cells
    that are kept out, and that of the rest, along the edges, adjusted for the number of cells.

    Parameters
    ----------
    x
        Cells of one time and condition, shape `(n, d)`; positions may repeat.
    fields
        The velocity; of an ensemble, those of its members, whose mean the potential is of.
    weight
        Of the cells, shape `(n,)`.
    n_neighbors
        Of each cell.

    Returns
    -------
    The potential at the cells, and that of each of several fields, shape `(k, n)`.

    Raises
    ------
    IntegrationError
        The solver does not converge.

    References
    ----------
    Jiang et al., Statistical ranking and combinatorial Hodge theory, Mathematical Programming 2011;
    Wang et al., Quantifying the Waddington landscape and biological paths for development and
    differentiation, PNAS 2011.

    Examples
    --------
    >>> line = np.linspace(-1.0, 1.0, 41)[:, None]
    >>> found, _ = potential(line, [lambda x: -(x**3)], np.ones(41))
    >>> bool(np.allclose(np.diff(found.value), np.diff(line[:, 0] ** 4 / 4), atol=1e-6))
    True
    """
    n_neighbors = as_count("n_neighbors", n_neighbors)
    known, place = np.unique(np.asarray(x, dtype=np.float64), axis=0, return_inverse=True)
    place = place.reshape(-1)
    if len(known) == 1:
        alone = np.full(len(x), np.nan)
        return Landscape(alone, float("nan"), 0), np.tile(alone, (len(fields), 1))
    mass: FloatArray = np.bincount(place, weight).astype(np.float64)
    graph = Graph.of(known, mass, n_neighbors)
    velocities = [np.asarray(field(known), dtype=np.float64) for field in fields]
    integrals = [graph.integrals(field) for field in fields]
    found = _landscape(graph, np.mean(velocities, axis=0), np.mean(integrals, axis=0))
    each = [found.value[place]]
    if len(fields) > 1:
        pairs = zip(velocities, integrals, strict=True)
        each = [_landscape(graph, *pair).value[place] for pair in pairs]
    return replace(found, value=found.value[place]), np.stack(each)
