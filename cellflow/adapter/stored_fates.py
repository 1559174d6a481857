"""Fates that `cf.tl.fates` or `cf.tl.ancestors` wrote, read back and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.bases import where_of
from cellflow.adapter.cells import Cells
from cellflow.adapter.hashes import require_made_for
from cellflow.adapter.keys import Keys
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, MissingKeyError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["StoredFates", "column_again", "read_fates"]


@dataclass(frozen=True, eq=False)
class StoredFates:
    """Probabilities of fates, or of origins, with what is known about them.

    Parameters
    ----------
    about
        How they were computed: `uns[key]["fates"]`, or `"ancestors"`.
    probability, sd
        Shape `(n, n_fates)`.
    """

    about: Mapping[str, Any]
    probability: FloatArray
    sd: FloatArray
    _: KW_ONLY
    backward: bool = False

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [str(name) for name in self.about["names"]]


def read_fates(
    adata: AnnData, keys: Keys, record: Mapping[str, Any], cells: Cells, *, backward: bool = False
) -> StoredFates:
    """Read fates, and make sure that they are those of these cells.

    Raises
    ------
    MissingKeyError
        No fates of this fit.
    InputError
        An array of another shape, or cells at other positions than when fates were computed.
    """
    call = "ancestors" if backward else "fates"
    again = f"cf.tl.{call}(adata, ...{keys.argument})"
    name = keys.lineages(backward=backward)
    if call not in record or name not in adata.obsm:
        msg = f"adata has no {call} of the fit in adata.uns[{keys.uns!r}]. Expected: call {again}."
        raise MissingKeyError(msg)
    about = dict(record[call])
    where = f"adata.obsm[{name!r}]"
    probability = np.asarray(adata.obsm[name], dtype=np.float64)
    sd = column_again(adata, "obsm", keys.fates_sd(backward=backward), again)
    shape = (adata.n_obs, len(about.get("names", ())))
    if probability.shape != shape or sd.shape != shape:
        msg = (
            f"{where} has shape {probability.shape}; expected {shape}, as"
            f" adata.uns[{keys.uns!r}][{call!r}] says. Compute it again: {again}."
        )
        raise InputError(msg)
    known = record.get("made_for", {})
    if name in known:
        about_it = {"what": where, "basis": where_of(cells.use_rep), "again": again}
        require_made_for(known[name], adata.obs_names.to_numpy(), cells.x, **about_it)
    return StoredFates(about, probability, sd, backward=backward)


def column_again(adata: AnnData, slot: str, name: str, again: str) -> FloatArray:
    """Numbers that were written.

    Raises
    ------
    MissingKeyError
        They are gone; the message names the call that writes them again.
    """
    if name not in getattr(adata, slot):
        msg = f"adata.{slot}[{name!r}] is missing. Compute it again: {again}."
        raise MissingKeyError(msg)
    return np.asarray(getattr(adata, slot)[name], dtype=np.float64)
