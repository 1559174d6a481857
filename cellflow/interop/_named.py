"""Plans between named cells, as a coupling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cellflow.core._numbers import shown
from cellflow.core._typing import IntArray
from cellflow.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from cellflow.couplings import Given

__all__ = ["Named", "as_coupling", "numeric"]


class Named(NamedTuple):
    """A plan of another tool."""

    start: float
    stop: float
    rows: pd.Index  # names of the source cells, (n,)
    columns: pd.Index  # names of the target cells, (m,)
    mass: Any  # dense or sparse, (n, m)


def numeric(value: object, where: str) -> float:
    """Return a time of another tool as a number.

    Raises
    ------
    InputError
        It is none.
    """
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as cause:
        msg = f"The {where} include {shown(value)}. Expected numbers, as in the time column."
        raise InputError(msg) from cause


def as_coupling(adata: AnnData, plans: Sequence[Named], what: str, least: float) -> Given:
    """Plans between cells of an AnnData, as a coupling that knows their rows.

    Raises
    ------
    InputError
        Cells that are not in `adata`, or names that repeat.
    """
    from scipy.sparse import csr_matrix

    from cellflow.core.plans import without_small
    from cellflow.couplings import Given

    if not adata.obs_names.is_unique:
        msg = (
            "adata.obs_names repeat, so that cells cannot be found by their names. Expected unique"
            " names: call adata.obs_names_make_unique() before the plans are made."
        )
        raise InputError(msg)
    matrices = {}
    rows: dict[float, IntArray] = {}
    for plan in plans:
        matrix = without_small(csr_matrix(plan.mass), least)
        for axis, (time, names) in enumerate(((plan.start, plan.rows), (plan.stop, plan.columns))):
            found = _rows(adata, names, time, what)
            known = rows.setdefault(time, found)
            if len(known) != len(found) or (known != found).any():
                if set(known.tolist()) != set(found.tolist()):
                    msg = (
                        f"{what} has plans of different cells at time {time:g}: {len(known):,} and"
                        f" {len(found):,}. Expected one population at each time."
                    )
                    raise InputError(msg)
                order = np.argsort(found)[np.argsort(np.argsort(known))]
                matrix = matrix[order] if axis == 0 else matrix[:, order]
        matrices[plan.start, plan.stop] = matrix
    return Given(matrices, rows)


def _rows(adata: AnnData, names: pd.Index, time: float, what: str) -> IntArray:
    """Rows of named cells."""
    found = adata.obs_names.get_indexer(names)
    missing = np.flatnonzero(found < 0)
    if len(missing):
        msg = (
            f"{len(missing):,} of {len(names):,} cells of {what} at time {time:g} are not in"
            f" adata.obs_names (first: {str(names[missing[0]])!r}). Expected the cells that the"
            " plans were made of."
        )
        raise InputError(msg)
    return np.asarray(found, dtype=np.int64)
