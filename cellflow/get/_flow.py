"""The fitted flow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from cellflow.adapter.keys import DEFAULT, Keys
from cellflow.adapter.read import require_anndata
from cellflow.adapter.store import load_flow
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded

if TYPE_CHECKING:
    from anndata import AnnData
    from torch import nn

    from cellflow.model.flow import Flow

__all__ = ["flow"]


@guarded
def flow(
    adata: AnnData,
    *,
    fields: Mapping[str, Callable[..., nn.Module]] | None = None,
    key: str = DEFAULT,
) -> Flow:
    """Return the fitted `Flow` that `cf.tl.flow` stored.

    Parameters
    ----------
    adata
        Cells with a fit.
    fields
        Network classes of your own by name, for a fit with one whose module is not imported.
        Nothing is imported for a fit; once the module is imported, every call finds the class.
    key
        `key_added` of the fit.

    Returns
    -------
    The flow; it shares no memory with `adata`.

    Raises
    ------
    MissingKeyError
        No fit under this key; the message lists the fits that there are.
    ModelFileError
        A model that is damaged or of a newer format, or a network that is not known.

    Examples
    --------
    >>> flow = cf.get.flow(adata)
    >>> flow.heads
    ('velocity', 'score')
    >>> flow.save("model")
    """
    check_arguments(flow, locals())
    require_anndata(adata)
    return load_flow(adata, Keys(key), fields)
