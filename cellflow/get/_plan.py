"""Mass that goes from label to label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.plan_table import plan_table
from cellflow.adapter.units import Time
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["plan"]


@guarded
def plan(
    adata: AnnData, groupby: str, *, times: Sequence[Time] | None = None, key: str = DEFAULT
) -> pd.DataFrame:
    r"""Return the mass of cells that goes from label to label between snapshots, as a table.

    The mass is that of the transport plans of the fit: they are solved again, by its coupling in
    its model coordinates, which takes the time that `uns["cellflow"]["plans"]` says. No network
    takes part. A cell keeps its own weight at both ends: with a plan :math:`\pi` between cells of
    masses :math:`a` and :math:`b`, a pair starts with the mass
    :math:`a_i \pi_{ij} / \sum_k \pi_{ik}` and ends with :math:`b_j \pi_{ij} / \sum_k \pi_{kj}`. So
    the masses of a label at each time are the measured ones. Without growth both are equal; with
    growth their ratio is by how much the cells of a row grew.

    A plan that conserves mass makes up for labels that become more or less frequent by turning
    cells of one label into another: see `cf.tl.diagnose(adata, cluster_key=...)`, and `growth=` of
    `cf.tl.flow`.

    Parameters
    ----------
    adata
        The measured cells, with a fit that moves cells.
    groupby
        Column of `adata.obs` with the labels. Cells without one are `"not given"`.
    times
        At least two times of snapshots, increasing; all by default. Over snapshots in between,
        pairs are chained cell by cell.
    key
        `key_added` of the fit.

    Returns
    -------
    One row for each interval and pair of labels with mass, with the columns

    - `from_time`, `time`, `source`, `target`: both times and labels. `"no partner"` stands for the
      label of cells that have no mass in the plan;
    - `mass_before`, `mass_after`: mass at the start and at the end of the interval. The masses of
      each time sum to the size of the population, one without `mass_key`;
    - `to_share`: share of the source's mass that goes to the target; sums to one over targets;
    - `from_share`: share of the target's mass that comes from the source; sums to one over
      sources.

    `.attrs["words"]` says what was computed.

    Raises
    ------
    MissingKeyError
        No fit under this key, or no such column.
    InputError
        Labels that are numbers with fractions, times that are none of the snapshots, conditions
        without partners, a fit that generates, or a coupling that is not part of cellflow.
    CouplingError
        A plan that cannot be solved.

    See Also
    --------
    cellflow.pl.plan

    References
    ----------
    Schiebinger et al., Optimal-transport analysis of single-cell gene expression identifies
    developmental trajectories in reprogramming, Cell 2019.

    Examples
    --------
    >>> table = cf.get.plan(adata, "cell_type")
    >>> table.groupby("from_time")["mass_before"].sum().round(6).tolist()
    [1.0, 1.0, 1.0]
    """
    check_arguments(plan, locals())
    return plan_table(adata, groupby, times, key)
