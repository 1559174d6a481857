"""A check of the parts of a fit against each other and against the cells."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.columns import read_labels
from cellflow.adapter.conditioned import require_partners
from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.record import record_of
from cellflow.adapter.store import amended, opened
from cellflow.adapter.write import target_of, write
from cellflow.analysis.density import EvolvingDensity
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import RandomState
from cellflow.core._warn import warn
from cellflow.errors import CouplingWarning, InputError, InputWarning, closest
from cellflow.metrics.lineages import Lineage, named

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.analysis.diagnosis import Diagnosis
    from cellflow.core.plans import Plan
    from cellflow.core.population import Snapshots

__all__ = ["diagnose"]

logger = logging.getLogger("cellflow")

#: Entry of `uns[key]`.
_ENTRY = "diagnosis"
#: Types that a message lists.
_LISTED = 5
#: Least number of cells that have neighbourhoods.
_LEAST = 10


@guarded
def diagnose(
    adata: AnnData,
    *,
    cluster_key: str | None = None,
    lineage: Lineage | None = None,
    n_cells: int = 1000,
    random_state: RandomState = 0,
    key: str = DEFAULT,
    overwrite: bool = False,
    copy: bool = False,
) -> AnnData | None:
    r"""Check the parts of a fit against each other and against the measured cells.

    - Three estimates of the gradient of the log-density, :math:`\nabla \log p_t`, at the times of
      the snapshots: the score head of a fit that has one, the density of the dynamics where
      `cf.tl.log_density` has learned its source, and the mean shift of the nearest cells (Fukunaga
      and Hostetler 1975), which needs no model. Their mean cosines are listed with those that
      sampling allows.
    - The error of cells that are pushed over each interval and pulled back.
    - The energy of paths over the squared Wasserstein distance: between snapshots, and between
      cells and the ends of their paths. The second is 1 for optimal paths and more for detours.
    - Pushed cells against measured ones: the distance W1, and the mass in each region, which
      differs where a population grows, dies or is missing.
    - Cells that no path from another snapshot comes near.
    - Mean velocities, of the cells of each snapshot and of pushed cells in the middle of each
      interval, against the displacement of the snapshots' means per unit of time: the ratio of
      sizes and the cosine.
    - With `cluster_key`, the mass that moves between cell types over each interval: by the
      transport plan, which is solved again as in the fit; the least mass that a plan without growth
      has to move because the shares of types change; by pushed cells; and by the baseline of cells
      that do not move, each with the type of the nearest later cell.

    The density of the dynamics adds, on one core, 4 seconds in 5 dimensions and 8 in 50 for every
    interval between a snapshot and the first one. Of an ensemble, the mean field is examined.

    Parameters
    ----------
    adata
        Measured cells with a fit that moves cells, by any method; usually the cells of the fit.
        With conditions, each cell keeps its own.
    cluster_key
        Column of `adata.obs` with cell types; results on types leave out cells without one.
    lineage
        Descendants of each type, such as `{"progenitor": ["neuron", "glia"]}`, and theirs in turn.
        A cell stays in its lineage if it keeps its type or ends in a descendant. None: if it keeps
        its type.
    n_cells
        Cells of each snapshot that are used, at least ten; the plan is of all cells.
    random_state
        Seed of their choice, and of random halves and regions.
    key
        `key_added` of the fit.
    overwrite
        Replace an entry `"diagnosis"` that this function did not write.
    copy
        Return a changed copy, and leave `adata` unchanged.

    Returns
    -------
    None, or the copy. Written is

    - `uns["cellflow"]["diagnosis"]`: dict. The `table` and its `columns`, which are explained at
      `cellflow.analysis.diagnosis.Diagnosis`; the `verdict`, one sentence a line, which is also
      logged; `params`; and with `cluster_key` `types`, the mass of the plan from each type to each,
      by interval. `cf.get.diagnosis` returns it as a table.

    Raises
    ------
    InputError
        No fit, no cells with a time, times outside the observed ones, conditions without partners,
        no such column, a `lineage` without known types, or a coupling that is not part of cellflow;
        `adata` is unchanged.
    CouplingError
        A plan that cannot be solved.
    ModelFileError
        A damaged model or density.
    IntegrationError
        A state that is not finite.

    Warns
    -----
    IntegrationWarning
        Steps that are too long for the field; see `cellflow.simulation.integrate`.
    CouplingWarning
        The plan moves more mass out of types, or of lineages, than cells would that do not move.
    InputWarning
        A `lineage` with types that no cell has.

    See Also
    --------
    cellflow.get.diagnosis

    References
    ----------
    Fukunaga and Hostetler, The estimation of the gradient of a density function, IEEE Transactions
    on Information Theory 1975; Benamou and Brenier, A computational fluid mechanics solution to the
    Monge-Kantorovich mass transfer problem, Numerische Mathematik 2000 (the energy of paths).

    Examples
    --------
    >>> cf.tl.diagnose(adata, n_cells=40)
    >>> verdict = cf.get.diagnosis(adata).attrs["verdict"]
    """
    check_arguments(diagnose, locals())
    fitted = read_fitted(adata, key)
    seed = as_seed(random_state)
    n_cells = as_count("n_cells", n_cells, least=_LEAST)
    _require_free(adata, fitted, overwrite=overwrite)
    _require_snapshots(fitted)
    labels = None if cluster_key is None else read_labels(adata, cluster_key)
    _require_lineage(lineage, labels, cluster_key)
    density = _density(adata, fitted)
    target = target_of(adata, copy=copy)
    from cellflow.analysis.celltypes import types_warning
    from cellflow.analysis.diagnosis import diagnose as diagnosed

    snapshots = fitted.cells.snapshots()
    found = diagnosed(
        fitted.flow,
        snapshots,
        density=density,
        plans=None if labels is None else _plans(fitted, snapshots),
        labels=labels,
        lineage=lineage,
        n_cells=n_cells,
        random_state=seed,
    )
    warned = types_warning(found.types)
    if warned is not None:
        warn(warned, CouplingWarning)
    params: dict[str, Any] = {
        "n_cells": n_cells,
        "random_state": seed,
        "density": density is not None,
    }
    if cluster_key is not None:
        params |= {"cluster_key": cluster_key, "lineage": json.dumps(named(lineage))}
    entry = _plain(found, fitted) | {"params": params}
    write(target, {"uns": {fitted.keys.uns: amended(adata, fitted.keys, [], {_ENTRY: entry})}})
    for sentence in found.verdict:
        logger.info(sentence)
    return target if copy else None


def _plain(found: Diagnosis, fitted: Fitted) -> dict[str, Any]:
    """A diagnosis as text and plain arrays, with names of cells instead of rows."""
    table = dict(found.table)
    table["region_cell"] = np.array(
        [str(fitted.names[k]) if k >= 0 else "" for k in table["region_cell"]], dtype=object
    )
    # Groups of an h5ad come back in alphabetical order.
    entry = {
        "columns": np.array(list(table), dtype=object),
        "table": table,
        "verdict": "\n".join(found.verdict),
    }
    # Names of types may hold what a key may not.
    types = {
        f"{t.from_time}_to_{t.time}": {
            "labels": np.array(t.plan.labels, object),
            "mass": t.plan.mass,
        }
        for t in found.types
        if t is not None
    }
    return entry | ({"types": types} if types else {})


def _plans(fitted: Fitted, snapshots: Snapshots) -> list[Plan]:
    from cellflow.model.fitting import couple_again

    try:
        return couple_again(fitted.flow, snapshots)
    except InputError as cause:
        msg = (
            f"The plans of this fit cannot be solved again, which cluster_key= needs. {cause} Leave"
            " cluster_key= out."
        )
        raise InputError(msg) from cause


def _require_lineage(
    lineage: Lineage | None, labels: np.ndarray | None, cluster_key: str | None
) -> None:
    """Make sure that the types of a lineage exist."""
    if lineage is None:
        return
    if labels is None:
        msg = (
            "lineage= was given without cluster_key=; expected the column of adata.obs with its"
            " types. Pass cluster_key=."
        )
        raise InputError(msg)
    asked = named(lineage)
    known = sorted({label for label in labels if label is not None})
    names = sorted({*asked, *(child for children in asked.values() for child in children)})
    unknown = [name for name in names if name not in known]
    if not unknown:
        return
    shown = ", ".join(f"{name!r}{closest(name, known)}" for name in unknown[:_LISTED])
    msg = (
        f"lineage= names {len(unknown)} types that no cell in adata.obs[{cluster_key!r}] has:"
        f" {shown}. Found {known}."
    )
    if len(unknown) == len(names):
        raise InputError(msg)
    warn(msg, InputWarning)


def _require_free(adata: AnnData, fitted: Fitted, *, overwrite: bool) -> None:
    there = record_of(adata, fitted.keys).get(_ENTRY)
    ours = isinstance(there, Mapping) and "verdict" in there
    if there is not None and not ours and not overwrite:
        msg = (
            f"adata.uns[{fitted.keys.uns!r}][{_ENTRY!r}] exists and is no diagnosis of cellflow."
            " Expected none, or one to be replaced: delete it, or pass overwrite=True."
        )
        raise InputError(msg)


def _require_snapshots(fitted: Fitted) -> None:
    """Make sure that measured cells at times of the fit have partners in their conditions."""
    times = fitted.cells.time[fitted.cells.timed]
    first = fitted.flow.times[0]
    last = fitted.flow.times[-1]
    if len(times) == 0:
        msg = (
            "None of these cells has a time of its own. Expected measured cells, at times between"
            f" {first:g} and {last:g}."
        )
        raise InputError(msg)
    beyond = fitted.observed.outside(times)
    if len(beyond):
        msg = (
            f"Time {beyond[0]:g} of {len(beyond)} cells lies outside the times of the fit,"
            f" {first:g} to {last:g}, where it extrapolates. Expected cells of its times: leave"
            " those out, or fit with them."
        )
        raise InputError(msg)
    require_partners(fitted.cells)


def _density(adata: AnnData, fitted: Fitted) -> EvolvingDensity | None:
    """The density of the dynamics, where `cf.tl.log_density` has learned its source."""
    record = record_of(adata, fitted.keys)
    if "source_density" not in record:
        return None
    from cellflow.densities import from_state

    where = f"adata.uns[{fitted.keys.uns!r}]['source_density']"
    source = from_state(*opened(record["source_density"], where, again="cf.tl.log_density"))
    return EvolvingDensity(fitted.flow, source, float(fitted.flow.times[0]))
