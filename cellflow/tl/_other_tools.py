"""Results of other tools that new velocities do not fit to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellflow.adapter.keys import Keys
from cellflow.adapter.places import written
from cellflow.core._warn import warn
from cellflow.errors import InputWarning

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["has_foreign_expression", "warn_of_other_tools"]


def has_foreign_expression(adata: AnnData, keys: Keys) -> bool:
    """Whether another tool has written a layer under the name of the decoded expression."""
    place = ("layers", keys.expression)
    return keys.expression in adata.layers and place not in written(adata, keys)


def warn_of_other_tools(
    adata: AnnData, keys: Keys, places: Sequence[tuple[str, str]], *, with_velocity: bool
) -> None:
    """Warn of results of other tools that stay although they do not fit to the new velocities.

    Parameters
    ----------
    adata
        Before the velocities are written.
    keys
        Where they go.
    places
        (slot, key) of what is written.
    with_velocity
        Whether velocities of genes are among it.
    """
    if with_velocity and ("layers", keys.expression) not in places:
        msg = (
            f"adata.layers[{keys.expression!r}] was not written by cellflow and stays beside the"
            f" new layers[{keys.velocity()!r}]; tools that use both (velocity graphs) would mix"
            " units. Expected the decoded expression there: pass overwrite=True to replace it, or"
            " delete or rename it first."
        )
        warn(msg, InputWarning)
    ours = {*written(adata, keys), *places}
    if ("layers", keys.velocity()) in written(adata, keys):
        return  # another tool made its results from velocities of cellflow
    made = [
        f"adata.{slot}[{name!r}]"
        for slot in ("uns", "obsp", "layers", "obsm")
        for name in getattr(adata, slot)
        if isinstance(name, str)
        and _is_from_velocities(adata, slot, name, keys)
        and (slot, name) not in ours
    ]
    if made:
        msg = (
            f"{', '.join(made)} stay, which another tool computed from other velocities. Expected"
            " results of the new velocities: delete them, or compute them again."
        )
        warn(msg, InputWarning)


def _is_from_velocities(adata: AnnData, slot: str, name: str, keys: Keys) -> bool:
    """Whether scVelo gives this name to results that it computes from `velocity`.

    These are graphs, variances, and arrows in an embedding that is there.
    """
    base = keys.velocity()
    if slot == "obsm":
        return name.startswith(f"{base}_") and f"X_{name.removeprefix(f'{base}_')}" in adata.obsm
    graphs = {f"{base}_graph", f"{base}_graph_neg"}
    return name in (graphs if slot in {"uns", "obsp"} else {f"variance_{base}"})
