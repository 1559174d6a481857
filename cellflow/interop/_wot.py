"""Transport maps of Waddington-OT, read from its files and written into them."""

from __future__ import annotations

import os
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.h5ad import write_h5ad
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.read import read_h5ad, require_anndata
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_number
from cellflow.core._paths import check_writable
from cellflow.core._settings import guarded
from cellflow.errors import InputError, MissingDataError, OutputError
from cellflow.interop._named import Named, as_coupling
from cellflow.interop._plans import LEAST, Interval, plans_of

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.couplings import Coupling, Given

__all__ = ["from_wot", "to_wot"]

#: The prefix that Waddington-OT takes where only a folder is given.
_PREFIX = "tmaps"
_NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"


@guarded
def from_wot(adata: AnnData, path: str | os.PathLike[str], *, least: float = LEAST) -> Given:
    """Return transport maps that Waddington-OT has written as a coupling.

    Rows of its maps sum to the number of descendants of a cell. They are divided by the sum of the
    map, so that every plan has mass one, as populations have here.

    Parameters
    ----------
    adata
        Cells that the maps were made of, in any order; their names say which is which.
    path
        What `compute_all_transport_maps(tmap_out=)` was given: a folder, or a folder and the
        beginning of the names of the files, `"tmaps/serum"` for `tmaps/serum_0.0_0.5.h5ad`.
    least
        Leave out pairs with less than this share of the largest mass of their row; the row keeps
        its sum.

    Returns
    -------
    `cellflow.couplings.Given`; see `cf.interop.from_moscot`.

    Raises
    ------
    MissingDataError
        No such files.
    InputError
        A file that cannot be read, or cells that are not in `adata`.

    References
    ----------
    Schiebinger et al., Optimal-transport analysis of single-cell gene expression identifies
    developmental trajectories in reprogramming, Cell 2019.

    Examples
    --------
    >>> files = cf.interop.to_wot(adata, "tmaps/dmso")  # or compute_all_transport_maps of wot
    >>> plans = cf.interop.from_wot(adata, "tmaps/dmso")
    >>> method = cf.recipes.curved_cfm(coupling=plans)
    >>> cf.tl.flow(adata, "hours", method=method)
    """
    check_arguments(from_wot, locals())
    require_anndata(adata)
    least = as_number("least", least, least=0.0)
    folder, prefix = _split(path)
    pattern = re.compile(rf"{re.escape(prefix)}_({_NUMBER})_({_NUMBER})\.h5ad")
    files = sorted(folder.glob("*.h5ad")) if folder.is_dir() else []
    matches = [(file, match) for file in files if (match := pattern.fullmatch(file.name))]
    if not matches:
        msg = (
            f"There is no transport map {folder / prefix}_T0_T1.h5ad; found"
            f" {[file.name for file in files[:5]]}. Expected a file for each pair of times: pass"
            " what compute_all_transport_maps(tmap_out=) was given."
        )
        raise MissingDataError(msg)
    found = []
    for file, match in matches:
        tmap = read_h5ad(file)
        total = float(tmap.X.sum())
        if not (np.isfinite(total) and total > 0):
            msg = f"{file} has masses of sum {total:g}. Expected a transport map."
            raise InputError(msg)
        times = (float(match[1]), float(match[2]))
        found.append(Named(*times, tmap.obs_names, tmap.var_names, tmap.X / total))
    return as_coupling(adata, found, str(folder / prefix), least)


@guarded
def to_wot(
    adata: AnnData,
    path: str | os.PathLike[str],
    *,
    coupling: Coupling | None = None,
    least: float = LEAST,
    key: str = DEFAULT,
    overwrite: bool = False,
) -> list[Path]:
    """Write the plans of a fit as transport maps of Waddington-OT, one file for a pair of times.

    They are solved again. `wot.tmap.TransportMapModel.from_directory` reads them, and
    `RealTimeKernel.from_wot` of CellRank. Rows sum to the number of descendants of a cell, as
    Waddington-OT has it: with growth to any positive number, without it to one.

    Parameters
    ----------
    adata
        Cells with a fit.
    path
        A folder, or a folder and the beginning of the names: `"tmaps/serum"` writes
        `tmaps/serum_0.0_0.5.h5ad`.
    coupling
        Plans in place of those of the fit.
    least
        Leave out pairs with less than this share of the largest mass of their row; the row keeps
        its sum.
    key
        `key_added` of the fit.
    overwrite
        Replace files of these names.

    Returns
    -------
    The files. Each has the plan in `X`, source cells by target cells, and in `obs` the growth of
    the source cells per unit of time: `g0`, before the plan (one), and `g1`, by the plan.

    Raises
    ------
    MissingKeyError
        No fit.
    OutputError
        A file exists, or cannot be written. No file is written then, or those before it are
        complete.
    CouplingError
        A plan could not be computed.

    Warns
    -----
    InputWarning
        More than a tenth of the mass is lost.

    References
    ----------
    Schiebinger et al., Optimal-transport analysis of single-cell gene expression identifies
    developmental trajectories in reprogramming, Cell 2019.

    Examples
    --------
    >>> [file.name for file in cf.interop.to_wot(adata, "tmaps/dmso")]
    ['dmso_0.0_24.0.h5ad', 'dmso_24.0_48.0.h5ad', 'dmso_48.0_72.0.h5ad']
    """
    check_arguments(to_wot, locals())
    fitted = read_fitted(adata, key)
    folder, prefix = _split(path)
    times = fitted.flow.times
    names = [f"{prefix}_{a}_{b}.h5ad" for a, b in pairwise(times)]
    present = [name for name in names if (folder / name).exists()]
    if present and not overwrite:
        msg = f"{folder / present[0]} exists. Pass overwrite=True to replace it, or another path=."
        raise OutputError(msg)
    plans = plans_of(fitted, coupling, least)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for plan in plans:
        file = check_writable(folder / f"{prefix}_{plan.start}_{plan.stop}.h5ad")
        write_h5ad(_transport_map(adata, plan), file, compression="gzip")
        written.append(file)
    return written


def _transport_map(adata: AnnData, plan: Interval) -> AnnData:
    """A plan as the AnnData that Waddington-OT has in a file."""
    import anndata
    import pandas as pd
    from scipy.sparse import csr_matrix, diags

    share = np.divide(1.0, plan.weight, out=np.zeros_like(plan.weight), where=plan.weight > 0)
    matrix = csr_matrix(diags(share) @ plan.mass)
    descendants = np.asarray(matrix.sum(axis=1)).ravel()
    growth = descendants ** (1.0 / (plan.stop - plan.start))
    obs = pd.DataFrame({"g0": 1.0, "g1": growth}, index=adata.obs_names[plan.rows])
    return anndata.AnnData(matrix, obs=obs, var=pd.DataFrame(index=adata.obs_names[plan.columns]))


def _split(path: str | os.PathLike[str]) -> tuple[Path, str]:
    """The folder and the beginning of the names of the files."""
    given = Path(path)
    if given.is_dir() or str(path).endswith((os.sep, "/")):
        return given, _PREFIX
    return given.parent, given.name
