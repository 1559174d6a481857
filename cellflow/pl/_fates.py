"""Fate probabilities: on an embedding, on a circle, as a heat map, and as violins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from cellflow.adapter.components import Components
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import shown
from cellflow.core._settings import guarded
from cellflow.errors import InputError, MissingKeyError, closest
from cellflow.pl._fates_map import on_map
from cellflow.pl._fates_of_groups import circle, heatmap, violins
from cellflow.pl._palettes import Palette
from cellflow.pl._read import PlottedFit
from cellflow.pl._style import LegendLoc

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["fates"]

#: Kinds, and the arguments that each takes besides those that all take.
_LOOK = ("palette", "size", "title", "legend_loc")
_KINDS = {
    "map": ("basis", "components", *_LOOK),
    "circular": ("color", "groupby", *_LOOK),
    "heatmap": ("groupby", "interval", "palette"),
    "violin": ("groupby", "interval"),
}
_DRAW: dict[str, Any] = {"map": on_map, "circular": circle, "heatmap": heatmap, "violin": violins}


@guarded
def fates(
    adata: AnnData,
    fate: str | Sequence[str] | None = None,
    *,
    kind: Literal["map", "circular", "heatmap", "violin"] = "map",
    groupby: str | None = None,
    color: str | Sequence[str] | None = None,
    interval: float | None = None,
    basis: str | None = None,
    components: Components = None,
    palette: Palette = None,
    size: float | None = None,
    title: str | Sequence[str] | None = None,
    legend_loc: LegendLoc | None = None,
    backward: bool = False,
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes | list[Axes]:
    r"""Draw the probabilities of fates: of each cell on a map or a circle, or of groups of cells.

    Parameters
    ----------
    adata
        Cells with the fates that `cf.tl.fates` wrote.
    fate
        A label, or `"undecided"`, or several of them; all by default.
    kind
        `"map"`: an embedding for each fate, with colours from 0 to 1. `"circular"`: fates are
        corners on a circle, and each cell is at :math:`\sum_k p_k c_k`, the mean of the corners by
        its probabilities, where undecided mass counts as the centre. Corners are ordered so that
        fates that share cells are neighbours. Two fates are the ends of a line, across which cells
        are spread by how many there are. `"heatmap"`: mean probabilities of groups of cells, with
        numbers where they fit. `"violin"`: a panel for each fate, with the distribution over the
        cells of each group, and the mean as a dot. The distribution counts cells by their own
        weights, the mean by the mass of their descendants: where they differ, few cells have most
        of the descendants.
    groupby
        Column of `obs` with the groups of `"heatmap"` and `"violin"`, by default the times. Means
        over cells are weighted by the mass of their descendants; see `cf.get.fates`. On a circle,
        the medians of these groups are drawn over the cells, none by default.
    color
        On a circle, a column of `obs` or a gene, or several, with a panel each; the times by
        default.
    interval
        Level of the intervals of means, of an ensemble; 0.9 by default, and none of a single flow.
    basis
        The embedding of a map, `"umap"` by default.
    components
        Which two of its components, as `"1,2"` or `(1, 2)`; see `cf.pl.stream`.
    palette
        Of a circle, colours of the categories of `color`; else the name of a colormap. See
        `cf.pl.stream`.
    size, title, legend_loc
        Of a map or a circle; see `cf.pl.stream`.
    backward
        Draw probabilities of origins instead, that `cf.tl.ancestors` wrote.
    key, ax
        See `cf.pl.stream`.

    Returns
    -------
    The Axes, or a list of them for several panels. Colours of groups and of fates are those of
    `uns["{column}_colors"]`; where there are none, they are written to it.

    Raises
    ------
    MissingKeyError
        No fit, no fates, or no such embedding, column or gene.
    InputError
        No such fate or kind; an argument of another kind; components that do not exist; `ax` for
        several panels; a circle of one fate; `interval` of a single flow. No figure is made then.

    See Also
    --------
    cellflow.tl.fates, cellflow.get.fates

    References
    ----------
    Lange et al., CellRank for directed single-cell fate mapping, Nature Methods 2022, and Velten et
    al., Human haematopoietic stem cell lineage commitment is a continuous process, Nature Cell
    Biology 2017 (the circular projection).

    Examples
    --------
    >>> cf.tl.fates(adata, "cell_type")
    >>> ax = cf.pl.fates(adata, "myotube", basis="umap")
    >>> ax = cf.pl.fates(adata, kind="circular", color="cell_type")
    >>> ax = cf.pl.fates(adata, kind="heatmap", groupby="cell_type")
    >>> axes = cf.pl.fates(adata, kind="violin")
    """
    check_arguments(fates, locals())
    every: dict[str, Any] = {"groupby": groupby, "color": color, "interval": interval}
    every |= {"basis": basis, "components": components}
    every |= {"palette": palette, "size": size, "title": title, "legend_loc": legend_loc}
    given = {name: value for name, value in every.items() if value is not None}
    _require_kind(kind, given)
    fitted = PlottedFit(adata, key)
    names = _chosen(fate, _known(fitted, backward=backward))
    drawn: Axes | list[Axes] = _DRAW[kind](fitted, names, backward=backward, ax=ax, **given)
    return drawn


def _require_kind(kind: object, given: dict[str, object]) -> None:
    """Make sure that there is such a kind, and that it takes the arguments that are given."""
    if not isinstance(kind, str) or kind not in _KINDS:
        known = list(_KINDS)
        msg = f"kind={shown(kind)}; expected one of {known}{closest(kind, known)}."
        raise InputError(msg)
    for name, value in given.items():
        if name not in _KINDS[kind]:
            kinds = [one for one, takes in _KINDS.items() if name in takes]
            msg = (
                f"{name}={shown(value)} with kind={kind!r}, which does not use it. Omit {name}=, or"
                f" pass kind= one of {kinds}."
            )
            raise InputError(msg)


def _known(fitted: PlottedFit, *, backward: bool) -> list[str]:
    """Names of the fates that were computed."""
    call = "ancestors" if backward else "fates"
    name = fitted.keys.lineages(backward=backward)
    if call not in fitted.record or name not in fitted.adata.obsm:
        msg = (
            f"adata.obsm has no {name!r} of this fit. Compute it first:"
            f" cf.tl.{call}(adata, ...{fitted.keys.argument})."
        )
        raise MissingKeyError(msg)
    return [str(label) for label in fitted.record[call]["names"]]


def _chosen(fate: str | Sequence[str] | None, known: list[str]) -> list[str]:
    """Names of the fates that are asked for."""
    if fate is None:
        return known
    asked = [fate] if isinstance(fate, str) else list(dict.fromkeys(fate))
    if not asked:
        msg = f"fate=[] names no fate; expected some of {known}."
        raise InputError(msg)
    for one in asked:
        if one not in known:
            msg = f"fate={one!r} is none of {known}{closest(one, known)}"
            raise InputError(msg)
    return asked
