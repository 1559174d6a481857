"""The comparison of conditions that a fit has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellflow.adapter.keys import Keys
from cellflow.adapter.places import written
from cellflow.adapter.record import record_of
from cellflow.errors import MissingKeyError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["comparison_record"]


def comparison_record(adata: AnnData, key: str) -> dict[str, Any]:
    """Return what `cf.tl.compare` wrote: the `table` of effects, the `words`, the conditions.

    Raises
    ------
    MissingKeyError
        No fit under this key, or no comparison.
    """
    keys = Keys(key)
    record = record_of(adata, keys)
    missing = [
        name
        for name in (keys.compared("difference"), keys.compared("p"), keys.compared("q"))
        if ("obsm", name) not in written(adata, keys) or name not in adata.obsm
    ]
    if "comparison" not in record or missing:
        msg = (
            f"adata has no comparison of the fit in adata.uns[{key!r}]. Expected one: call"
            f" cf.tl.compare(adata, ...{keys.argument})."
        )
        raise MissingKeyError(msg)
    found: dict[str, Any] = record["comparison"]
    return found
