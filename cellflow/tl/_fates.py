"""Fates of cells: what they become, and when that is decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.units import Time
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count
from cellflow.core._settings import guarded
from cellflow.core._typing import RandomState
from cellflow.tl._fate_targets import Absorb
from cellflow.tl._fate_writing import Asked, write_fates

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["ancestors", "fates"]


@guarded
def fates(
    adata: AnnData,
    groupby: str = "cell_type",
    *,
    at: Time = "last",
    absorb: Absorb | None = None,
    stochastic: bool = False,
    n_rep: int = 20,
    ensemble: Sequence[str] | None = None,
    random_state: RandomState = 0,
    threads: int = 1,
    key: str = DEFAULT,
    overwrite: bool = False,
    progress: bool | None = None,
    copy: bool = False,
) -> AnnData | None:
    r"""Write the fate probabilities of every cell: which label its descendants have at the end.

    Every cell is moved to the end, with the growth of the fit as weight. Its probabilities are the
    votes of the measured cells near to where it arrives: the nearest :math:`k`, with the weights of
    a Gaussian kernel; of 5, 10, 20 and 40, that :math:`k` is taken with the best log score of the
    labelled cells, each left out in turn. Mass that arrives where no cell lives (farther from the
    cells than 99 of 100 of them are from each other), and the votes of cells without a label, are
    "undecided", and are not given to any fate. A labelled cell of the end has its own label.

    Growth weights the paths of a cell by the mass that they carry; without a fit with growth, all
    have the same. Cells later than the end are undecided.

    Of an ensemble (`n_members=` of `cf.tl.flow`), every member is asked, and the means are written,
    with their standard errors. `cf.get.fates(interval=)` returns intervals, of groups of cells too.

    Parameters
    ----------
    adata
        Cells with a fit.
    groupby
        Column of `obs` with labels; cells without one are NaN. See `cf.tl.terminal_states` for
        states that are found by the field.
    at
        The end: `"last"`, or a time at which cells were measured.
    absorb
        Groups that are terminal before the end: a list of groups, each at all times at which cells
        of it were measured, or a dictionary from group to such a time. A path that is then where
        the group has more than half of the votes ends there.
    stochastic
        Follow diffusions with the same marginals instead of the flow; needs a fit with a score
        (`score=True`, or `method="sf2m"`).
    n_rep
        Diffusions of each cell; without `stochastic` there are none.
    ensemble
        Keys of other fits of the same cells, with other seeds, for example. Probabilities are means
        over all fits. Standard errors need ensembles only, whose members are joined.
    random_state
        Seed of the noise; see `cf.tl.trajectories`.
    threads
        Parts of the cells that are computed at the same time; results do not depend on it.
    key
        `key_added` of the fit.
    overwrite
        Replace existing fields that were not written for this fit.
    progress
        Show a progress bar over the parts of the cells. None: only in a terminal or a notebook.
    copy
        Return a changed copy, and leave `adata` unchanged.

    Returns
    -------
    None, or the copy. Written are

    - `obsm["lineages_fwd"]`: float64, shape (n_obs, n_fates). Probabilities; rows sum to one. The
      last column is that of undecided mass, where there is any.
    - `obs["term_states_fwd"]`: category, shape (n_obs,). Label of the cells of the end, and of
      absorbing groups; NaN for others. Its categories are the columns of `lineages_fwd`.
    - `obsm["cf_fates_sd"]`: float64, shape (n_obs, n_fates). Standard deviation of each: between
      the single fits of `ensemble`; of diffusions, the standard error of the mean over them; else
      :math:`\sqrt{p(1-p)/(m+1)}` for a share :math:`p` of :math:`m` effective votes.
    - `obsm["cf_fates_se"]`: float64, shape (n_obs, n_fates). Standard error of each, by an
      ensemble: the root of the squared standard error between members (halves of the cells, see
      `cellflow.Ensemble`) plus the squared `cf_fates_sd`.
    - `obsm["cf_fates_members"]`: float32, shape (n_obs, n_members * n_fates). Probabilities of all
      fates by the first member of an ensemble, then by the second, and so on.
    - `obsm["cf_fate_mass_members"]`: float32, shape (n_obs, n_members). `cf_fate_mass` by each.
    - `obs["cf_fate_entropy"]`: float64, shape (n_obs,). Entropy of the probabilities, in nats.
    - `obs["cf_commitment_time"]`: float64, shape (n_obs,). Expected time until commitment, in the
      unit of the fit: the first time at which the final fate of a path has 0.8 of the votes of the
      paths around it, by their mass, minus the cell's own. NaN where less than half of the cell's
      mass is ever committed.
    - `obs["cf_fate_mass"]`: float64, shape (n_obs,). Mass of the descendants at the end for each
      unit of mass of the cell; 1 without growth, 0 of cells later than the end.
    - `uns["term_states_fwd_colors"]`: object, shape (n_fates,). Where `groupby` has colours: the
      same, and grey for undecided mass.
    - `uns["cellflow"]["fates"]`: dict. `groupby`, `names` of the columns, `at`, `absorb`,
      `stochastic`, `n_rep`, `ensemble`, `n_members` and the `degrees` of freedom between them,
      `random_state`; `neighbors`, the :math:`k` of each time; `undecided`, the share of undecided
      mass, `n_beyond`, cells that are later than the end, and `n_uncommitted`, other cells without
      a time until commitment.

    With another `key`, all of these names begin with it.

    Raises
    ------
    MissingKeyError
        No fit, or no such column.
    InputError
        No label, or none at the end; an absorbing group that does not exist, or not at its time;
        a time at which no cell was measured; `stochastic` without a score; an ensemble of fits that
        do not belong together; `adata` is unchanged.
    IntegrationError
        A state that is not finite.

    Warns
    -----
    InputWarning
        More than half of the mass is undecided.

    See Also
    --------
    cellflow.tl.ancestors, cellflow.get.fates, cellflow.tl.terminal_states

    References
    ----------
    Weinreb et al., Fundamental limits on dynamic inference from single-cell snapshots, PNAS 2018
    (fate probabilities of a diffusion with growth); Lange et al., CellRank for directed single-cell
    fate mapping, Nature Methods 2022 (the names).

    Examples
    --------
    >>> cf.tl.fates(adata, "cell_type")
    >>> adata.obsm["lineages_fwd"].shape
    (160, 4)
    >>> table = cf.get.fates(adata, groupby="cell_type")
    >>> table.columns.tolist()
    ['group', 'fate', 'n_cells', 'n_effective', 'probability', 'sd', 'commitment_time']
    """
    check_arguments(fates, locals())
    as_count("n_rep", n_rep)
    asked = Asked(
        groupby, at, absorb, n_rep if stochastic else None, ensemble, random_state, threads,
        backward=False,
    )  # fmt: skip
    return write_fates(adata, asked, key, overwrite=overwrite, progress=progress, copy=copy)


@guarded
def ancestors(
    adata: AnnData,
    groupby: str = "cell_type",
    *,
    at: Time = "first",
    absorb: Absorb | None = None,
    stochastic: bool = False,
    n_rep: int = 20,
    ensemble: Sequence[str] | None = None,
    random_state: RandomState = 0,
    threads: int = 1,
    key: str = DEFAULT,
    overwrite: bool = False,
    progress: bool | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Write the probabilities of every cell's origin: which label its ancestors have.

    As `cf.tl.fates`, backward in time. Reversed diffusions count alike: they are a sample of the
    ancestors of the cell's mass, in a population that grows too.

    Parameters
    ----------
    adata, groupby, absorb, stochastic, n_rep, ensemble, random_state
        See `cf.tl.fates`.
    at
        Time of the ancestors: `"first"`, or a time at which cells were measured.
    threads, key, overwrite, progress, copy
        See `cf.tl.fates`.

    Returns
    -------
    None, or the copy. Written are

    - `obsm["lineages_bwd"]`: float64, shape (n_obs, n_fates). Probabilities; rows sum to one. The
      last column is that of undecided mass, where there is any.
    - `obs["term_states_bwd"]`: category, shape (n_obs,). Label of the cells of that time, and of
      absorbing groups; NaN for others. Its categories are the columns of `lineages_bwd`.
    - `obsm["cf_ancestors_sd"]`: float64, shape (n_obs, n_fates). Standard deviation of each.
    - `obsm["cf_ancestors_se"]`: float64, shape (n_obs, n_fates). Standard error of each, by an
      ensemble.
    - `obsm["cf_ancestors_members"]`: float32, shape (n_obs, n_members * n_fates). Probabilities by
      each member of an ensemble.
    - `obs["cf_ancestor_entropy"]`: float64, shape (n_obs,). Entropy of the probabilities, in nats.
    - `uns["term_states_bwd_colors"]`: object, shape (n_fates,). Where `groupby` has colours.
    - `uns["cellflow"]["ancestors"]`: dict. As `uns["cellflow"]["fates"]` of `cf.tl.fates`.

    Raises
    ------
    MissingKeyError, InputError, IntegrationError
        As `cf.tl.fates`; `adata` is unchanged.

    Warns
    -----
    InputWarning
        More than half of the mass is undecided.

    References
    ----------
    Anderson, Reverse-time diffusion equation models, 1982; else as of `cf.tl.fates`.

    Examples
    --------
    >>> cf.tl.ancestors(adata, "cell_type")
    >>> table = cf.get.fates(adata, backward=True)
    >>> table.columns.tolist()
    ['cell', 'fate', 'probability', 'sd', 'entropy']
    """
    check_arguments(ancestors, locals())
    as_count("n_rep", n_rep)
    asked = Asked(
        groupby, at, absorb, n_rep if stochastic else None, ensemble, random_state, threads,
        backward=True,
    )  # fmt: skip
    return write_fates(adata, asked, key, overwrite=overwrite, progress=progress, copy=copy)
