"""What a fit says about itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow._arguments import check_arguments
from cellflow._numbers import as_count
from cellflow._random import as_seed
from cellflow._settings import guarded
from cellflow._typing import RandomState
from cellflow.adapter.conditioned import require_partners
from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.store import amended, opened, record_of
from cellflow.adapter.write import target_of, write
from cellflow.analysis.density import EvolvingDensity
from cellflow.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.analysis.diagnosis import Diagnosis

__all__ = ["diagnose"]

logger = logging.getLogger("cellflow")

#: Entry of `uns[key]`.
_ENTRY = "diagnosis"
#: Fewer cells than this have no neighbourhoods.
_LEAST = 10


@guarded
def diagnose(
    adata: AnnData,
    *,
    n_cells: int = 1000,
    random_state: RandomState = 0,
    key: str = DEFAULT,
    overwrite: bool = False,
    copy: bool = False,
) -> AnnData | None:
    r"""Ask a fit whether its parts agree, where its paths go, and which cells they miss.

    - Three estimates of the gradient of the log-density, :math:`\nabla \log p_t`, at the times of the snapshots: the score
      head of a fit that has one, the density of the dynamics where `cf.tl.log_density` has learned its source, and the mean
      shift of the nearest cells (Fukunaga and Hostetler 1975), which knows no model. Their mean cosines are beside what
      sampling allows.
    - Cells pushed over each interval and pulled back: how far from where they started.
    - The energy of paths over the squared Wasserstein distance: of the snapshots, and of cells and where their own paths end.
      The second is 1 where paths are optimal and more where they take detours, however few the cells.
    - Pushed cells against measured ones: their distance W1, and the mass in each region of the snapshot. A population that
      grows, dies or is missing shows up as a region with too little or too much.
    - Cells that no path from any other snapshot comes near.

    It takes seconds for a few snapshots. The density of the dynamics adds, on one core, about 4 seconds in 5 dimensions and 8
    in 50 for every interval between a snapshot and the first one.

    Parameters
    ----------
    adata
        With a fit that moves cells, by any method; and measured cells, usually those of the fit. Of a fit with conditions,
        every cell stays in its own.
    n_cells
        Cells of each snapshot that are looked at, at least ten.
    random_state
        Seed of which ones, and of random halves and regions.
    key
        Where the fit is.
    overwrite
        Replace an entry `"diagnosis"` that this function did not write.
    copy
        Return a changed copy and leave `adata` alone.

    Returns
    -------
    None, or the copy. Written is `uns["cellflow"]["diagnosis"]`: the `table`, columns by name, the `verdict`, one sentence a
    line, and `params`. Read it with `cf.get.diagnosis`; the columns are explained at `cellflow.analysis.diagnosis.Diagnosis`.
    The verdict is also logged.

    Raises
    ------
    InputError
        No fit, no cells with a time, times outside the observed ones, conditions without partners; `adata` is as it was.
    ModelFileError
        A damaged model or density.
    IntegrationError
        A state that stops being finite.

    Warns
    -----
    IntegrationWarning
        Steps that are too long for the field; see `cellflow.simulation.integrate`.

    See Also
    --------
    cellflow.get.diagnosis
    """
    check_arguments(diagnose, locals())
    fitted, seed, n_cells = read_fitted(adata, key), as_seed(random_state), as_count("n_cells", n_cells, least=_LEAST)
    _require_free(adata, fitted, overwrite=overwrite)
    _require_snapshots(fitted)
    density = _density(adata, fitted)
    target = target_of(adata, copy=copy)
    from cellflow.analysis.diagnosis import diagnose as diagnosed

    found = diagnosed(fitted.flow, fitted.cells.snapshots(), density=density, n_cells=n_cells, random_state=seed)
    entry = _plain(found, fitted) | {"params": {"n_cells": n_cells, "random_state": seed, "density": density is not None}}
    write(target, {"uns": {fitted.keys.uns: amended(adata, fitted.keys, [], {_ENTRY: entry})}})
    for sentence in found.verdict:
        logger.info(sentence)
    return target if copy else None


def _plain(found: Diagnosis, fitted: Fitted) -> dict[str, Any]:
    """A diagnosis as text and plain arrays, with the names of cells in place of their rows."""
    table = dict(found.table)
    table["region_cell"] = np.array([str(fitted.names[k]) if k >= 0 else "" for k in table["region_cell"]], dtype=object)
    # Groups of an h5ad come back in alphabetical order.
    return {"columns": np.array(list(table), dtype=object), "table": table, "verdict": "\n".join(found.verdict)}


def _require_free(adata: AnnData, fitted: Fitted, *, overwrite: bool) -> None:
    there = record_of(adata, fitted.keys).get(_ENTRY)
    if there is not None and not (isinstance(there, Mapping) and "verdict" in there) and not overwrite:
        msg = (
            f"adata.uns[{fitted.keys.uns!r}][{_ENTRY!r}] exists and is no diagnosis of cellflow. Expected none, or one to be "
            "replaced: delete it, or pass overwrite=True."
        )
        raise InputError(msg)


def _require_snapshots(fitted: Fitted) -> None:
    """Make sure that there are measured cells, at times that the fit knows, and with partners in their conditions."""
    times, first, last = fitted.cells.time[fitted.cells.timed], fitted.flow.times[0], fitted.flow.times[-1]
    if len(times) == 0:
        msg = f"None of these cells has a time of its own. Expected measured cells, at times between {first:g} and {last:g}."
        raise InputError(msg)
    beyond = fitted.observed.outside(times)
    if len(beyond):
        msg = (
            f"Time {beyond[0]:g} of {len(beyond)} cells lies outside the times of the fit, {first:g} to {last:g}, where it "
            "extrapolates. Expected cells of its times: leave those out, or fit with them."
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
