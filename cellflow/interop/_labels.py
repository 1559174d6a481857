"""Labels of the fates, which CellRank names the columns of probabilities by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.keys import Keys
from cellflow.adapter.write import Staged

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["whole_labels"]

#: Of a fate whose colour is not known, such as undecided mass.
_GREY = "#d3d3d3"


def whole_labels(adata: AnnData, keys: Keys) -> Staged:
    """Labels of terminal cells with a category for each column of the probabilities, to be written.

    AnnData drops categories that no cell has, and their colours, when cells are chosen. Categories
    are complete again in what is returned; it is empty where none is missing.
    """
    record: Mapping[str, Any] = adata.uns[keys.uns]
    staged: Staged = {}
    for entry, backward in (("fates", False), ("ancestors", True)):
        name = keys.terminal_labels(backward=backward)
        if entry not in record or name not in adata.obs:
            continue
        column = adata.obs[name]
        names = [str(fate) for fate in record[entry]["names"]]
        kept = [str(category) for category in column.cat.categories]
        if kept == names:
            continue
        staged.setdefault("obs", {})[name] = column.cat.set_categories(names).array
        colours = np.ravel(adata.uns.get(f"{name}_colors", ()))
        if len(colours) == len(kept) > 0:
            known = dict(zip(kept, map(str, colours), strict=True))
            shades = [known.get(fate, _GREY) for fate in names]
            staged.setdefault("uns", {})[f"{name}_colors"] = np.array(shades, dtype=object)
    return staged
