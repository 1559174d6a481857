"""How much mass moves between cell types, and whether it stays in its lineage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from cellflow.core._display import Compact
from cellflow.core._neighbors import nearest
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError
from cellflow.metrics._descent import Lineage, allowed, named

if TYPE_CHECKING:
    from cellflow.core.plans import Plan

__all__ = [
    "Lineage",
    "Transitions",
    "lineage_consistency",
    "named",
    "nearest_transitions",
    "plan_transitions",
]

#: One label per cell; None or NaN where a cell has none.
Labels: TypeAlias = "Sequence[object] | np.ndarray"


@dataclass(frozen=True, eq=False, repr=False)
class Transitions(Compact):
    """Mass that goes from each type to each type.

    Parameters
    ----------
    labels
        The types, sorted.
    mass
        From type `i` (row) to type `j` (column), shape `(k, k)`, of sum one.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 2))
    >>> y = rng.normal(size=(200, 2)) + 1.0
    >>> label = np.repeat(["a", "b"], 100)
    >>> cf.metrics.nearest_transitions(x, label, y, label).labels
    ('a', 'b')
    """

    labels: tuple[str, ...]
    mass: FloatArray

    @property
    def before(self) -> FloatArray:
        """Share of each type at the start, shape `(k,)`."""
        return np.asarray(self.mass.sum(axis=1))

    @property
    def after(self) -> FloatArray:
        """Share of each type at the end, shape `(k,)`."""
        return np.asarray(self.mass.sum(axis=0))

    @property
    def shares(self) -> FloatArray:
        """Where each type goes, shape `(k, k)`; rows sum to one.

        NaN in rows of types that are absent at the start.
        """
        total = self.before[:, None]
        empty = np.full(self.mass.shape, np.nan)
        found: FloatArray = np.divide(self.mass, total, out=empty, where=total > 0)
        return found

    def consistent(self, lineage: Lineage | None = None) -> float:
        """Share of the mass that keeps its type or goes to a descendant of it.

        Parameters
        ----------
        lineage
            Descendants of each type; their descendants count too. None: types have no descendants.
        """
        return float(self.mass[allowed(self.labels, lineage)].sum())

    def least_moved(self, lineage: Lineage | None = None) -> float:
        r"""Least mass outside of the lineages that any plan between these shares of types has.

        Without `lineage` it is the change of the shares, :math:`\tfrac12 \sum_k |a_k - b_k|`: a
        plan that conserves mass has to move as much from types that become rarer to types that
        become more frequent. With it, what is left of the mass after the largest flow along pairs
        of a type and its descendant.
        """
        if lineage is None:
            return 0.5 * float(np.abs(self.before - self.after).sum())
        from scipy.optimize import linprog
        from scipy.sparse import coo_array, vstack

        i, j = np.nonzero(allowed(self.labels, lineage))
        n = len(i)
        each = np.arange(n)
        shape = (len(self.labels), n)
        leaving, arriving = (coo_array((np.ones(n), (ends, each)), shape=shape) for ends in (i, j))
        sums = vstack([leaving, arriving], format="csr")
        found = linprog(-np.ones(n), A_ub=sums, b_ub=np.concatenate([self.before, self.after]))
        return max(0.0, 1.0 + float(found.fun))


@guarded
def plan_transitions(plan: Plan, source_label: Labels, target_label: Labels) -> Transitions:
    """Mass that a transport plan moves between types.

    Parameters
    ----------
    plan
        Of `n` source and `m` target cells.
    source_label, target_label
        Type of each cell, `(n,)` and `(m,)`; compared as text. Mass of cells without one (None,
        NaN) is left out.

    Raises
    ------
    InputError
        Labels that do not fit the plan, or no mass between cells that have one.

    Examples
    --------
    Of two types one becomes more frequent, and a plan that conserves mass makes up for it:

    >>> from cellflow.core.plans import EdgePlan
    >>> plan = EdgePlan((2, 2), [0, 0, 1], [0, 1, 1], [0.3, 0.2, 0.5], cost=0.0)
    >>> found = plan_transitions(plan, ["a", "b"], ["a", "b"])
    >>> found.mass
    array([[0.3, 0.2],
           [0. , 0.5]])
    >>> round(found.consistent(), 3), round(found.consistent({"a": ["b"]}), 3)
    (0.8, 1.0)
    """
    source = _text("source_label", source_label)
    target = _text("target_label", target_label)
    if (len(source), len(target)) != tuple(plan.shape):
        msg = (
            f"The plan is between {plan.shape} cells, and there are {len(source)} and {len(target)}"
            " labels; expected one label per cell."
        )
        raise InputError(msg)
    labels, (here, there) = _coded(source, target)
    member = np.zeros((len(target), len(labels)))
    member[there >= 0, there[there >= 0]] = 1.0
    # Cells without mass go nowhere; their mean is NaN.
    arriving = np.nan_to_num(plan.barycentre(member)) * plan.row_mass[:, None]
    return _normalised(labels, here, arriving)


@guarded
def nearest_transitions(
    x: FloatArray,
    label: Labels,
    later: FloatArray,
    later_label: Labels,
    *,
    weight: FloatArray | None = None,
) -> Transitions:
    """Mass between types when every cell takes the type of the later cell that is nearest to it.

    Parameters
    ----------
    x
        Cells where they were measured, or where they have been moved to, shape `(n, d)`.
    label
        Their types when they were measured, `(n,)`; compared as text. Cells without one (None, NaN)
        are left out.
    later
        Cells of the later snapshot, shape `(m, d)`.
    later_label
        Their types, `(m,)`.
    weight
        Of `x`, shape `(n,)`; uniform by default.

    Raises
    ------
    InputError
        Shapes that do not fit, or no cells with types.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 2))
    >>> y = rng.normal(size=(200, 2)) + 1.0
    >>> label = np.repeat(["a", "b"], 100)
    >>> found = cf.metrics.nearest_transitions(x, label, y, label)
    >>> round(float(found.mass.sum()), 6)
    1.0
    """
    own = _text("label", label)
    their = _text("later_label", later_label)
    for name, positions, types in (("x", x, own), ("later", later, their)):
        if np.ndim(positions) != 2 or len(positions) != len(types):
            found = np.shape(positions)
            msg = f"`{name}` has shape {found} for {len(types)} labels; expected one row per label."
            raise InputError(msg)
    labels, (here, there) = _coded(own, their)
    known = np.flatnonzero(there >= 0)
    if not len(known):
        msg = f"None of the {len(their)} later cells has a label; expected some in `later_label`."
        raise InputError(msg)
    mass = np.ones(len(own)) if weight is None else np.asarray(weight, dtype=np.float64)
    if mass.shape != (len(own),) or not np.isfinite(mass).all() or (mass < 0).any():
        msg = f"`weight` must be {len(own)} non-negative finite numbers, one per row of `x`."
        raise InputError(msg)
    arriving = np.zeros((len(own), len(labels)))
    closest = nearest(np.asarray(later)[known], x, 1)[1][:, 0]
    arriving[np.arange(len(own)), there[known[closest]]] = mass
    return _normalised(labels, here, arriving)


@guarded
def lineage_consistency(
    x: FloatArray,
    label: Labels,
    later: FloatArray,
    later_label: Labels,
    *,
    lineage: Lineage | None = None,
    weight: FloatArray | None = None,
) -> float:
    """Share of cells that end nearest to a later cell of their own type, or of a descendant of it.

    Parameters
    ----------
    x
        Cells where they have been moved to, shape `(n, d)`. Cells where they were measured give the
        unmoved baseline.
    label
        Their types when they were measured, `(n,)`.
    later, later_label
        Cells of the later snapshot, `(m, d)`, and their types, `(m,)`.
    lineage
        Descendants of each type, such as `{"parent": ["left", "right"]}`; their descendants count
        too. None: only the cell's own type is right.
    weight
        Of `x`, shape `(n,)`; uniform by default.

    Raises
    ------
    InputError
        As `nearest_transitions`, or a lineage that is none.

    Examples
    --------
    >>> later, types = np.array([[0.0], [1.0]]), ["neuron", "glia"]
    >>> moved = np.array([[0.1], [0.8]])
    >>> lineage_consistency(moved, ["stem", "glia"], later, types, lineage={"stem": ["neuron"]})
    1.0
    """
    return nearest_transitions(x, label, later, later_label, weight=weight).consistent(lineage)


def _text(name: str, given: Labels) -> np.ndarray:
    """Labels as text, None where there is none."""
    found = np.asarray(given, dtype=object)
    if found.ndim != 1 or len(found) == 0:
        msg = f"`{name}` has shape {found.shape}; expected one label for each of at least one cell."
        raise InputError(msg)
    import pandas as pd

    made = found.astype(str).astype(object)
    made[pd.isna(found)] = None
    return made


def _coded(*columns: np.ndarray) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """All labels, sorted, and the number of each cell's label; -1 where it has none."""
    labels = sorted({value for column in columns for value in column if value is not None})
    position = {label: k for k, label in enumerate(labels)}
    codes = [np.array([position.get(value, -1) for value in column]) for column in columns]
    return tuple(labels), codes


def _normalised(labels: tuple[str, ...], here: np.ndarray, arriving: FloatArray) -> Transitions:
    """Sum of rows by the type of the cell."""
    mass = np.zeros((len(labels), len(labels)))
    np.add.at(mass, here[here >= 0], arriving[here >= 0])
    total = mass.sum()
    if not (np.isfinite(total) and total > 0):
        msg = f"Mass between cells with labels is {total:g}; expected labels in both snapshots."
        raise InputError(msg)
    return Transitions(labels, mass / total)
