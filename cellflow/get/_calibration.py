"""Calibration of fates as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellflow.adapter.calibration_table import calibration_table
from cellflow.adapter.keys import DEFAULT
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["calibration"]


@guarded
def calibration(adata: AnnData, *, key: str = DEFAULT) -> pd.DataFrame:
    """Return the reliability of the fates, which `cf.tl.calibrate` found, as a table.

    A reliability diagram is `observed` against `predicted`, with `low` and `high` as error bars.

    Parameters
    ----------
    adata
        Cells whose fates were calibrated.
    key
        `key_added` of the fit.

    Returns
    -------
    By clones, one row for each `stage`, `fate` and `bin`. The stage is `"before"`, or `"after"`
    calibration, by clones that were kept out of it; the fate is `"most probable"` for that of each
    cell, or a name. `n_cells` and `n_clones` in the bin, mean `predicted` probability, `observed`
    share, and its interval from `low` to `high`.

    By composition, one row for each `stage`, `time` of an earlier snapshot and `fate`: `n_cells`,
    share of the descendants `predicted`, share `observed` at the end, `low` and `high`. After
    calibration, by offsets of the other snapshots.

    `attrs` has what `uns["cellflow"]["calibration"]` says, as plain values, `errors` among it, a
    list of one entry for each stage and fate: the expected calibration error `ece`, from `low` to
    `high`, and the error that right probabilities would show by `chance`. By composition, of each
    stage and time: the `distance` of the shares in total variation, and that by `chance`.

    Raises
    ------
    MissingKeyError
        No fit under this key, or no calibration.

    See Also
    --------
    cellflow.tl.calibrate

    Examples
    --------
    >>> cf.tl.fates(adata, "cell_type")
    >>> cf.tl.calibrate(adata, lineage_key="clone")
    >>> table = cf.get.calibration(adata)
    >>> words = table.attrs["words"]
    """
    check_arguments(calibration, locals())
    return calibration_table(adata, key)
