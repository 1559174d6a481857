"""A path of least action as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.bases import basis_of
from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.genes import seen_genes
from cellflow.adapter.keys import DEFAULT, Keys
from cellflow.adapter.members import as_level, no_members
from cellflow.adapter.read import require_anndata
from cellflow.adapter.record import record_of
from cellflow.adapter.selection import Selection
from cellflow.analysis.members import degrees_of
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.core._spread import spread
from cellflow.core._typing import FloatArray
from cellflow.core.decoder import Decoder
from cellflow.errors import MissingKeyError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from cellflow.core._spread import Spread
    from cellflow.model.flow import Flow

__all__ = ["least_action_path"]

#: Entry of the fit's record.
_ENTRY = "least_action"
#: Numbers of the record that the table carries.
_NUMBERS = ("straight", "flow", "miss", "sigma", "se")


@guarded
def least_action_path(
    adata: AnnData,
    genes: Selection | None = None,
    *,
    interval: float | None = None,
    key: str = DEFAULT,
) -> pd.DataFrame:
    """Return the path of least action that `cf.tl.least_action_path` wrote, step by step.

    Parameters
    ----------
    adata
        Cells with a path.
    genes
        Genes whose decoded expression along the path is returned: names, positions or a mask. By
        default the coordinates of the representation.
    interval
        Level of the intervals of an ensemble, such as 0.9; None for no intervals. The paths of the
        members connect the same ends in the same time. What the decoding misses is not in them.
    key
        `key_added` of the fit.

    Returns
    -------
    One row for each time, with the columns `time`; `action`, from the start up to it; and one for
    each gene, or for each coordinate as `"pca_0"`. With `interval`, followed by their ends with
    `"_low"` and `"_high"`. `.attrs` holds the actions `straight` and `flow` for comparison, `miss`,
    `sigma`, the `se` of an ensemble, and `words`; see `cf.tl.least_action_path`.

    Raises
    ------
    MissingKeyError
        No fit under this key, no path, or no such gene.
    InputError
        A gene that is named twice, or that cannot be decoded; `interval` of a single flow, or a
        level that is not between 0 and 1.

    See Also
    --------
    cellflow.tl.least_action_path

    Examples
    --------
    >>> cf.tl.least_action_path(adata, "myoblast", "myotube", groupby="cell_type", n_steps=10)
    >>> path = cf.get.least_action_path(adata, ["TNNT2", "MYH3"])
    >>> ax = path.plot(x="time", y=["TNNT2", "MYH3"])
    """
    check_arguments(least_action_path, locals())
    require_anndata(adata)
    keys = Keys(key)
    record = record_of(adata, keys)
    if _ENTRY not in record:
        msg = (
            f"adata has no path of the fit in adata.uns[{key!r}]. Expected one: call"
            f" cf.tl.least_action_path(adata, source, target{keys.argument})."
        )
        raise MissingKeyError(msg)
    about = record[_ENTRY]
    level = None if interval is None else as_level(interval)
    if level is not None and "member_paths" not in about:
        raise no_members(level, f"the fit in adata.uns[{key!r}]", "")
    fitted = read_fitted(adata, key)
    decoder = None
    basis = basis_of(fitted.cells.use_rep)
    names = [f"{basis}_{k}" for k in range(fitted.flow.n_dims)]
    if genes is not None:
        seen = seen_genes(adata, fitted, genes)
        decoder = seen.decoder
        names = [str(name) for name in adata.var_names[seen.columns]]
    return _table(about, fitted.flow, decoder, names, level)


def _table(
    about: Mapping[str, Any],
    flow: Flow,
    decoder: Decoder | None,
    names: list[str],
    level: float | None,
) -> pd.DataFrame:
    import pandas as pd

    values = _decoded(np.asarray(about["path"]), decoder)
    table = pd.DataFrame({"time": about["times"], "action": about["action"]})
    table = pd.concat([table, pd.DataFrame(values, columns=names)], axis=1)
    if level is not None:
        members = np.stack([_decoded(path, decoder) for path in np.asarray(about["member_paths"])])
        ends = _around(values, spread(members, degrees_of(flow)), level)
        for end, suffix in zip(ends, ("_low", "_high"), strict=True):
            columns = [f"{name}{suffix}" for name in names]
            table = pd.concat([table, pd.DataFrame(end, columns=columns)], axis=1)
    table.attrs |= {name: float(about[name]) for name in _NUMBERS if name in about}
    table.attrs["words"] = str(about["words"])
    return table


def _decoded(path: FloatArray, decoder: Decoder | None) -> FloatArray:
    return path if decoder is None else decoder.positions(path).astype(np.float64)


def _around(values: FloatArray, found: Spread, level: float) -> tuple[FloatArray, FloatArray]:
    """Intervals about the path of the mean velocity."""
    low, high = found.interval(level)
    return values + (low - found.mean), values + (high - found.mean)
