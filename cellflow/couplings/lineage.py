"""Another coupling, informed by barcodes that cells of two snapshots share."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np

from cellflow.core._neighbors import paired_squares
from cellflow.core._numbers import as_count, as_number
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.core.plans import EdgePlan, Plan, mixed
from cellflow.core.population import Population
from cellflow.couplings._leading import Led, led
from cellflow.couplings.auto import Auto
from cellflow.couplings.base import Coupling
from cellflow.couplings.independent import Independent
from cellflow.couplings.unbalanced import Unbalanced
from cellflow.errors import InputError, InputTypeError
from cellflow.transport.clones import Mates, Shared, inside_clones, shared_clones

__all__ = ["Clonal", "Lineage"]

logger = logging.getLogger("cellflow")

#: Less mass than this is what rounding leaves.
_NOTHING = 1e-12


class Clonal(NamedTuple):
    """What the clones of a plan are."""

    n_clones: int  # clones at both ends
    inside: float  # mass that is coupled inside clones
    n_neighbors: int  # cells with a clone that every cell follows


@dataclass(frozen=True)
class Lineage:
    r"""Another coupling, informed by static barcodes that cells of both snapshots share.

    1. Each clone that occurs at both ends is coupled with itself by optimal transport, as far as
       its masses at both ends allow. This gives the mean step :math:`s_i` of its source cells.
    2. Every source cell is expected at :math:`\hat x_i = x_i + \bar s_i`, with the mean over the
       nearest source cells whose clone is known. So cells without a barcode learn from the clones
       around them.
    3. Clones are coupled again, with the costs :math:`|\hat x_i - y_j|^2`. Pairs that cost more
       than `strength` times the mean cost of independent pairs are given up: their barcodes are
       shared by chance more likely than by descent.
    4. What is left of both populations is coupled by `coupling`, from the expected positions.

    The mass that leaves and reaches cells is as with `coupling` alone, if that keeps the weights of
    cells. If it relaxes them (`Unbalanced`), clones may grow and shrink: a clone's plan has the
    geometric mean of its masses at both ends, and only what all clones together lack at one end
    is left for step 4. Cells without a barcode, and
    clones that occur at one end only, take part in steps 2 and 4. A cell of several clones has its
    mass split evenly among those that occur at both ends. Without such clones, the plan is that of
    `coupling`.

    The plan's cost is that of the positions. Its gap is relative to the costs from the expected
    positions, among the plans that couple the same mass inside clones.

    Parameters
    ----------
    coupling
        Couples what is left; it may relax marginals.
    strength
        Largest cost of a pair inside a clone, in units of the mean cost of independent pairs. The
        smaller, the less barcodes are trusted; `inf` trusts all.
    n_neighbors
        How many source cells with a clone a cell follows; 0 for none. `"auto"`: the number that
        predicts the steps of cells best from those of other clones, or all such cells, whose mean
        step does not change a plan.

    Raises
    ------
    InputError
        A strength that is not positive, or populations whose clones are not the same.

    References
    ----------
    Forrow, A. & Schiebinger, G. (2021). LineageOT is a unified framework for lineage tracing and
    trajectory inference. Nature Communications 12 (transport informed by lineages).
    Wang, S.-W. et al. (2022). CoSpar identifies early cell fate biases from single-cell
    transcriptomic and lineage information. Nature Biotechnology 40 (cells near each other behave
    alike). The combination is ours.

    Examples
    --------
    Two streams cross; two clones tell so:

    >>> import scipy.sparse as sp
    >>> rng = np.random.default_rng(0)
    >>> side = np.array([-1.0, 1.0] * 20)
    >>> x = side[:, None] + 0.1 * rng.normal(size=(40, 2))
    >>> clones = sp.csr_matrix(np.eye(40, 2))
    >>> source = Population(x, 0.0, lineage=clones)
    >>> target = Population(-x, 1.0, lineage=clones)
    >>> plan = Lineage(n_neighbors=1)(source, target)
    >>> bool((np.sign(plan.barycentre(-x)[:, 0]) == -side).all())
    True
    """

    coupling: Coupling = field(default_factory=Auto)
    strength: float = field(default=1.0, kw_only=True)
    n_neighbors: int | Literal["auto"] = field(default="auto", kw_only=True)

    def __post_init__(self) -> None:
        if isinstance(self.coupling, type) or not callable(self.coupling):
            msg = f"coupling={self.coupling!r} is no coupling; pass an instance, such as Auto()."
            raise InputTypeError(msg)
        if isinstance(self.coupling, Lineage):
            msg = "coupling= is a Lineage itself; expected the coupling that it informs."
            raise InputError(msg)
        if not (isinstance(self.strength, float | np.floating) and self.strength == np.inf):
            remedy = ", or inf, which trusts all barcodes"
            as_number("strength", self.strength, above=0.0, remedy=remedy)
        if self.n_neighbors != "auto":
            as_count("n_neighbors", self.n_neighbors, least=0)

    def choose(self, n_source: int, n_target: int, n_dims: int) -> tuple[Lineage, str]:
        """Return the same with the coupling that `Auto` stands for, and the reason in words."""
        if not isinstance(self.coupling, Auto):
            return self, "as the recipe says"
        chosen, reason = self.coupling.choose(n_source, n_target, n_dims)
        return replace(self, coupling=chosen), reason

    @guarded
    def __call__(self, source: Population, target: Population) -> Plan:
        """Couple two whole populations."""
        return self.explained(source, target)[0]

    @guarded
    def explained(self, source: Population, target: Population) -> tuple[Plan, Clonal]:
        """Couple two whole populations; return the plan, and about its clones."""
        shared = _shared(source, target)
        if shared is None:
            logger.info("couplings.Lineage: no clone at both ends")
            return self.coupling(source, target), Clonal(0, 0.0, 0)
        centre = target.weight @ target.x
        x = source.x.astype(np.float64) - centre
        y = target.x.astype(np.float64) - centre
        known = led(x, y, shared, inside_clones(x, y, shared), self.n_neighbors)
        mates, left = self._trusted(source, target, known, y, shared)
        plan = self._with_rest(source, target, known.x, centre, mates, left)
        found = Clonal(len(shared), float(mates.mass.sum()), known.n_neighbors)
        logger.info(
            "couplings.Lineage: %d clones at both ends, %.3g of the mass inside of them, %d cells"
            " are followed",
            *found,
        )
        return plan, found

    def _trusted(
        self, source: Population, target: Population, known: Led, y: FloatArray, shared: Shared
    ) -> tuple[Mates, tuple[FloatArray, FloatArray]]:
        """Pairs inside clones whose cost from the expected positions is not too large.

        And the weights of the cells of both populations that are left for other pairs.
        """
        grows = isinstance(self.coupling, Unbalanced)
        mates = inside_clones(known.x, y, shared, grows=grows)
        unit = _mean_cost(known.x, y, source.weight, target.weight)
        limit = self.strength * unit if unit > 0 else np.inf
        near = paired_squares(known.x, y, mates.i, mates.j) <= limit
        trusted = Mates(mates.i[near], mates.j[near], mates.mass[near])
        left = []
        for weight, rows, those in (
            (source.weight, mates.i, shared.source), (target.weight, mates.j, shared.target)
        ):  # fmt: skip
            used = np.bincount(rows[near], trusted.mass, len(weight))
            if grows:
                every = np.bincount(rows, mates.mass, len(weight))
                own = np.asarray(those.sum(axis=1))[:, 0]
                part = min(mass.sum() for mass in shared.masses) / own.sum()
                used = part * own * used / np.where(every > 0, every, 1.0)
            left.append(np.where(weight - used > _NOTHING * weight, weight - used, 0.0))
        return trusted, (left[0], left[1])

    def _with_rest(
        self,
        source: Population,
        target: Population,
        expected: FloatArray,
        centre: FloatArray,
        mates: Mates,
        left_over: tuple[FloatArray, FloatArray],
    ) -> Plan:
        """Couple what is left of both populations, and add the pairs inside clones."""
        shape = (len(source), len(target))
        inside = float(mates.mass.sum())
        plans: list[Plan] = []
        if inside > 0:
            costs = paired_squares(source.x, target.x, mates.i, mates.j)
            cost = float(mates.mass @ costs) / inside
            plans.append(EdgePlan(shape, *mates, cost, total=inside))
        rest_share = float(left_over[0].sum())
        if rest_share <= _NOTHING:
            return plans[0]
        left = replace(source, x=expected + centre, weight=left_over[0])
        rest = self.coupling(left, replace(target, weight=left_over[1]))
        shares = np.array([1.0] * len(plans) + [rest_share])
        masses = shares * [*(plan.total for plan in plans), rest.total]
        costs = np.array([*(plan.cost for plan in plans), _cost(rest, source, left, target)])
        gap = rest.gap
        if isinstance(rest, EdgePlan) and gap is not None:
            of_mates = mates.mass @ paired_squares(left.x, target.x, mates.i, mates.j)
            of_rest = masses[-1] * rest.cost
            gap = float(gap * of_rest / (of_mates + of_rest)) if of_rest > 0 else 0.0
        return mixed([*plans, rest], shares, float(masses @ costs / masses.sum()), gap)


def _shared(source: Population, target: Population) -> Shared | None:
    """Clones that occur at both ends; None if there are none."""
    if source.lineage is None or target.lineage is None:
        return None
    n = source.lineage.shape[1]
    m = target.lineage.shape[1]
    if n != m:
        msg = (
            f"The populations at {source.time:g} and {target.time:g} have {n} and {m} clones;"
            " expected columns for the same clones."
        )
        raise InputError(msg)
    shared = shared_clones(source.lineage, target.lineage, source.weight, target.weight)
    return shared if len(shared) else None


def _cost(plan: Plan, source: Population, expected: Population, target: Population) -> float:
    r"""Mean cost from the positions of a plan that was solved from the expected ones.

    .. math:: |x - y|^2 = |\hat x - y|^2 + |x|^2 - |\hat x|^2 - 2 (x - \hat x) \cdot y
    """
    if isinstance(plan, EdgePlan):
        return float(plan.mass @ paired_squares(source.x, target.x, plan.i, plan.j)) / plan.total
    centre = target.weight @ target.x
    some = plan.row_mass > 0
    x = source.x[some] - centre
    moved = expected.x[some] - centre
    mean = plan.barycentre(target.x - centre)[some]
    change = ((x - moved) * (x + moved - 2.0 * mean)).sum(axis=1)
    return float(plan.cost + plan.row_mass[some] @ change / plan.total)


def _mean_cost(x: FloatArray, y: FloatArray, a: FloatArray, b: FloatArray) -> float:
    """Mean squared distance of independent pairs."""
    return float(Independent()(Population(x, 0.0, a), Population(y, 1.0, b)).cost)
