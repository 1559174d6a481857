"""Fate probabilities: on an embedding, on a circle, as a heat map, and as violins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from cellflow.adapter.components import Components
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import shown
from cellflow.core._settings import guarded
from cellflow.errors import InputError, MissingKeyError, closest
from cellflow.pl._fates_map import fates_map
from cellflow.pl._read import PlottedFit

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["fates"]

_KINDS = ("map",)


@guarded
def fates(
    adata: AnnData,
    fate: str | Sequence[str] | None = None,
    *,
    kind: Literal["map"] = "map",
    basis: str = "umap",
    components: Components = None,
    backward: bool = False,
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes | list[Axes]:
    """Draw the probability of fates of each cell on an embedding, from 0 to 1.

    Parameters
    ----------
    adata
        Cells with the fates that `cf.tl.fates` wrote.
    fate
        A label, or `"undecided"`, or several of them; all by default.
    kind
        `"map"`, one embedding for each fate.
    basis
        The embedding to draw on.
    components
        Which two of its components, as `"1,2"` or `(1, 2)`; see `cf.pl.stream`.
    backward
        Draw the probability of an origin instead, that `cf.tl.ancestors` wrote.
    key, ax
        See `cf.pl.stream`.

    Returns
    -------
    The Axes, or a list of them for several fates.

    Raises
    ------
    MissingKeyError
        No fit, no fates, or no such embedding.
    InputError
        No such fate, or components that do not exist; `ax` for several fates. No figure is made
        then.

    Examples
    --------
    >>> cf.tl.fates(adata, "cell_type")  # doctest: +SKIP
    >>> cf.pl.fates(adata, "Neutrophil", basis="umap")  # doctest: +SKIP
    """
    check_arguments(fates, locals())
    if kind not in _KINDS:
        msg = f"kind={shown(kind)}; expected one of {list(_KINDS)}{closest(kind, _KINDS)}."
        raise InputError(msg)
    fitted = PlottedFit(adata, key)
    call = "ancestors" if backward else "fates"
    name = fitted.keys.lineages(backward=backward)
    if call not in fitted.record or name not in adata.obsm:
        msg = (
            f"adata.obsm has no {name!r} of this fit. Compute it first:"
            f" cf.tl.{call}(adata, ...{fitted.keys.argument})."
        )
        raise MissingKeyError(msg)
    known = [str(label) for label in fitted.record[call]["names"]]
    chosen = _chosen(fate, known)
    probability = adata.obsm[name][:, [known.index(one) for one in chosen]]
    return fates_map(
        fitted,
        probability,
        chosen,
        basis=basis,
        components=components,
        backward=backward,
        ax=ax,
    )


def _chosen(fate: str | Sequence[str] | None, known: list[str]) -> list[str]:
    """Names of the fates that are asked for."""
    if fate is None:
        return known
    for one in [fate] if isinstance(fate, str) else fate:
        if one not in known:
            msg = f"fate={one!r} is none of {known}{closest(one, known)}"
            raise InputError(msg)
    return [fate] if isinstance(fate, str) else list(dict.fromkeys(fate))
