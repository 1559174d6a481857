"""What `cf.tl.flow` says after a fit: of which cells it is, and what to call next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cellflow.adapter.bases import basis_of
from cellflow.adapter.cells import Cells
from cellflow.adapter.keys import DEFAULT, Keys
from cellflow.adapter.units import TimeUnit
from cellflow.core._notes import note

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.model.flow import Flow

__all__ = ["say"]

#: Representations for drawing, in the order in which one is named.
_DRAWN = ("X_umap", "X_tsne", "X_phate", "X_draw_graph_fa", "X_diffmap")


def say(
    adata: AnnData, flow: Flow, cells: Cells, keys: Keys, entries: Mapping[str, Mapping[str, Any]]
) -> None:
    """Say two lines: the fit in numbers with what was chosen, and calls that use it."""
    times = flow.times
    unit = TimeUnit.of(cells.unit, cells.zero, cells.reading.time_key).name
    span = f"{len(times)} times, {times[0]:g} to {times[-1]:g} {unit}".rstrip()
    grows = f", growth {entries['growth']['assumption']!r}" if "growth" in entries else ""
    kind = f"{len(flow.members)} flows" if flow.members else "flow"
    note(
        f"    {kind} by {flow.recipe['name']!r} ({', '.join(flow.heads)}) of"
        f" {len(cells.x) - cells.n_untimed:,} cells at {span}, in {cells.use_rep!r}"
        f" ({flow.n_dims} dimensions){grows}; {flow.seconds:.3g} s"
    )
    note(f"    Next: {', '.join(_calls(adata, flow, cells, keys))}.")


def _calls(adata: AnnData, flow: Flow, cells: Cells, keys: Keys) -> list[str]:
    """Calls as they are typed."""
    key = "" if keys.uns == DEFAULT else f", key={keys.uns!r}"
    if flow.generates:
        return [f"cf.tl.generate(adata, time={flow.times[-1]:g}, n_obs=1000{key})"]
    drawn = next((name for name in _DRAWN if name in adata.obsm), None)
    basis = "" if drawn is None else f", basis={basis_of(drawn)!r}"
    calls = [f"cf.tl.velocity(adata{basis}{key})", f"cf.tl.trajectories(adata{key})"]
    if len(flow.times) > 2:
        calls.append(f"cf.bench.holdout(adata, {cells.reading.time_key!r})")
    return calls
