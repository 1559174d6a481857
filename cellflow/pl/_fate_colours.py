"""Colours of fates: those of the labels that they are named after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cellflow.pl._colours import groups_of
from cellflow.pl._maps import remember_colours
from cellflow.pl._palettes import chosen
from cellflow.pl._read import PlottedFit

__all__ = ["UNDECIDED", "fate_colours"]

#: Name of the mass that arrives where no cell was measured, and its colour.
UNDECIDED = "undecided"
_GREY = "#9e9e9e"


def fate_colours(
    fitted: PlottedFit, names: Sequence[str], *, backward: bool = False
) -> dict[str, Any]:
    """A colour for each fate: of `uns["term_states_fwd_colors"]`, or of the column of the labels.

    Colours of that column that `uns` does not have yet are written to it. Undecided mass is grey.

    Parameters
    ----------
    fitted
        The fit.
    names
        Fates.
    backward
        Origins.
    """
    from matplotlib.colors import is_color_like, to_rgba

    about = fitted.record["ancestors" if backward else "fates"]
    every = [str(name) for name in about["names"]]
    own = fitted.adata.uns.get(f"{fitted.keys.terminal_labels(backward=backward)}_colors")
    known: dict[str, Any] = {}
    if own is not None and len(own) == len(every) and all(map(is_color_like, own)):
        known = {name: to_rgba(shade) for name, shade in zip(every, own, strict=True)}
    else:
        known = _of_labels(fitted, str(about["groupby"]))
    wanted = [name for name in dict.fromkeys([*every, *names]) if name != UNDECIDED]
    if not set(wanted) <= set(known):
        defaults = chosen(None, wanted, set(range(len(wanted))))
        known = dict(zip(wanted, defaults, strict=True)) | known
    known[UNDECIDED] = to_rgba(_GREY)
    return {name: known[name] for name in names}


def _of_labels(fitted: PlottedFit, column: str) -> dict[str, Any]:
    """Colours of the categories of a column; none where it is gone."""
    if column not in fitted.adata.obs:
        return {}
    groups = groups_of(fitted.adata, column)
    remember_colours(fitted.adata, [groups])
    return dict(zip(groups.names, groups.shades, strict=True))
