"""Samples of a fit: how far they lie apart at each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.keys import DEFAULT, Keys
from cellflow.adapter.read import require_anndata
from cellflow.adapter.record import record_of
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.errors import MissingKeyError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["samples"]

_COLUMNS = (
    *("n_samples", "n_cells", "between", "step", "share"),
    *("between_aligned", "step_aligned"),
)


@guarded
def samples(adata: AnnData, *, key: str = DEFAULT) -> pd.DataFrame:
    """Return how far samples of one time lie apart, beside the steps in time, as a table.

    Parameters
    ----------
    adata
        Cells that `cf.tl.flow` fitted with a `sample_key`.
    key
        `key_added` of the fit.

    Returns
    -------
    One row per time:

    - `time`, `n_samples`, `n_cells`;
    - `between`: mean distance of two samples of this time, NaN where there is one. It is an
      energy distance, in the unit of the representation, without the part that comes from
      sampling cells: zero on average for two samples of one population;
    - `step`: mean distance of a sample of this time and another sample of the next, NaN at the
      last;
    - `share`: the share of that step that is batch, `between / step` within 0 and 1. `between` is
      the mean of both ends of the step, or of all times where neither end has two samples. NaN
      where no time has two;
    - `between_aligned`, `step_aligned`: the same distances at the positions that the fit saw,
      without offsets of samples.

    `.attrs["offsets"]` holds, by sample, the length of its offset; the offsets themselves are in
    `adata.uns[key]["samples"]`. `.attrs["words"]` is text: what was found and done.

    Raises
    ------
    MissingKeyError
        No fit under this key, or one without samples.

    References
    ----------
    Székely and Rizzo, Energy statistics, J. Stat. Plan. Inference 2013.

    Examples
    --------
    >>> cf.tl.flow(adata, "hours", sample_key="dish")
    >>> cf.get.samples(adata).columns.tolist()
    ['time', 'n_samples', 'n_cells', 'between', 'step', 'share', 'between_aligned', 'step_aligned']
    """
    check_arguments(samples, locals())
    import pandas as pd

    require_anndata(adata)
    keys = Keys(key)
    record = record_of(adata, keys)
    if "samples" not in record:
        msg = (
            f"The fit in adata.uns[{key!r}] knows of no samples. Expected one with samples: fit"
            " again with cf.tl.flow(sample_key=...), the column of obs that holds them."
        )
        raise MissingKeyError(msg)
    found = record["samples"]
    table = pd.DataFrame({"time": found["times"]} | {name: found[name] for name in _COLUMNS})
    table = table.astype({"n_samples": int, "n_cells": int})
    lengths = np.linalg.norm(np.asarray(found["offsets"]), axis=1)
    names = [str(name) for name in np.ravel(np.asarray(found["names"], dtype=object))]
    table.attrs["offsets"] = dict(zip(names, lengths.tolist(), strict=True))
    table.attrs["words"] = str(found["words"])
    return table
