"""What a potential explains, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellflow.adapter.keys import DEFAULT, Keys
from cellflow.adapter.read import require_anndata
from cellflow.adapter.record import record_of
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.errors import MissingKeyError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["potential"]


@guarded
def potential(adata: AnnData, *, key: str = DEFAULT) -> pd.DataFrame:
    """Return how much of the velocity the potential that `cf.tl.potential` wrote does not explain.

    Parameters
    ----------
    adata
        Cells with a potential.
    key
        `key_added` of the fit.

    Returns
    -------
    One row for each population, with the columns

    - `time` of the velocity, and `condition`, empty for a fit without conditions;
    - `n_cells`;
    - `n_components`: parts that no edge between neighbours joins, each with a zero of its own;
    - `unexplained`: share of the squared velocity that is no gradient of the potential, from 0 to
      1; NaN where there are too few cells to know.

    `.attrs["unexplained"]` is the mean over cells, `.attrs["words"]` says it.

    Raises
    ------
    MissingKeyError
        No fit under this key, or no potential.

    See Also
    --------
    cellflow.tl.potential

    Examples
    --------
    >>> cf.tl.potential(adata)
    >>> table = cf.get.potential(adata)
    >>> unexplained = table.attrs["unexplained"]
    """
    check_arguments(potential, locals())
    require_anndata(adata)
    keys = Keys(key)
    record = record_of(adata, keys)
    if "potential" not in record or keys.potential not in adata.obs:
        msg = (
            f"adata has no potential of the fit in adata.uns[{key!r}]. Expected one: call"
            f" cf.tl.potential(adata{keys.argument})."
        )
        raise MissingKeyError(msg)
    about = record["potential"]
    table: pd.DataFrame = about["table"].copy()
    table.attrs["unexplained"] = float(about["unexplained"])
    table.attrs["words"] = str(about["words"])
    return table
