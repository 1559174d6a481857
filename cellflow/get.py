"""Read out: the fitted flow of an AnnData, and tables that are too large to keep in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cellflow._arguments import check_arguments
from cellflow._settings import guarded
from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.keys import DEFAULT, Keys, is_ours
from cellflow.adapter.read import require_anndata
from cellflow.adapter.selection import Selection, gene_columns, shared_genes
from cellflow.adapter.store import load_flow, opened, record_of
from cellflow.errors import InputError, MissingKeyError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from cellflow.densities import Density
    from cellflow.flow import Flow

__all__ = ["density", "diagnosis", "flow", "velocity"]


@guarded
def density(adata: AnnData, *, key: str = DEFAULT) -> dict[float, Density]:
    """Return the densities of the snapshots that `cf.tl.density` stored, by time.

    Parameters
    ----------
    adata
        With densities.
    key
        The `key_added` under which they were made.

    Returns
    -------
    Densities in the coordinates of the representation: `log_prob(x)` in nats, `sample(n, rng)`. Where they were fitted with
    `pooled=True`, each is a `cellflow.densities.Conditioned` at its time, and `.density` answers for any other.

    Raises
    ------
    MissingKeyError
        There are none under this key.
    ModelFileError
        A density that is damaged or of a newer format.
    """
    check_arguments(density, locals())
    import numpy as np

    require_anndata(adata)
    name = Keys(key).densities
    if not is_ours(adata, name):
        msg = f"adata.uns[{name!r}] holds no densities. Learn them first: cf.tl.density(adata, time_key=...)."
        raise MissingKeyError(msg)
    from cellflow.densities import Conditioned, from_state

    record = adata.uns[name]
    found = {
        label: from_state(*opened(model, f"adata.uns[{name!r}]['densities'][{label!r}]", again="cf.tl.density"))
        for label, model in record["densities"].items()
    }
    if record["params"]["pooled"]:
        return {float(t): Conditioned(found["pooled"], np.array([t])) for t in record["times"]}
    return {float(t): found[str(float(t))] for t in record["times"]}


@guarded
def diagnosis(adata: AnnData, *, key: str = DEFAULT) -> pd.DataFrame:
    """Return what `cf.tl.diagnose` found, with its verdict in `.attrs["verdict"]`.

    Parameters
    ----------
    adata
        With a diagnosis.
    key
        Where the fit is.

    Returns
    -------
    One row per snapshot; what is said of an interval is in the row of its end. The columns are explained at
    `cellflow.analysis.diagnosis.Diagnosis`; `region_cell` names the cell in the middle of the region. `.attrs["verdict"]` is
    text, one sentence a line. Of a diagnosis with cell types, `.attrs["types"]` holds the shares of each type's mass that the
    plan takes to each type, by interval (`"0.0_to_1.0"`), by type at the start, by type at the end.

    Raises
    ------
    MissingKeyError
        No fit under this key, or no diagnosis of it.
    """
    check_arguments(diagnosis, locals())
    import numpy as np
    import pandas as pd

    require_anndata(adata)
    record = record_of(adata, Keys(key))
    if "diagnosis" not in record:
        call = "cf.tl.diagnose(adata)" if key == DEFAULT else f"cf.tl.diagnose(adata, key={key!r})"
        msg = f"adata.uns[{key!r}] holds no 'diagnosis' of its fit. Make it first: {call}."
        raise MissingKeyError(msg)
    found = record["diagnosis"]
    table = pd.DataFrame({str(name): np.asarray(found["table"][str(name)]) for name in found["columns"]})
    table.attrs["verdict"] = str(found["verdict"])
    if "types" in found:
        table.attrs["types"] = {str(interval): _shares(types) for interval, types in found["types"].items()}
    return table


def _shares(types: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Where the mass of each type goes, as shares of it."""
    import numpy as np

    from cellflow.metrics import Transitions

    found = Transitions(tuple(map(str, types["labels"])), np.asarray(types["mass"], dtype=np.float64))
    return {
        label: dict(zip(found.labels, row.tolist(), strict=True))
        for label, row, total in zip(found.labels, found.shares, found.before, strict=True)
        if total > 0
    }


@guarded
def flow(adata: AnnData, *, key: str = DEFAULT) -> Flow:
    """Return the fitted `Flow` that `cf.tl.flow` stored.

    Parameters
    ----------
    adata
        With a fit.
    key
        Where it is.

    Raises
    ------
    MissingKeyError
        No fit under this key; the message lists those there are.
    ModelFileError
        A model that is damaged or of a newer format.
    """
    check_arguments(flow, locals())
    require_anndata(adata)
    return load_flow(adata, Keys(key))


@guarded
def velocity(adata: AnnData, genes: Selection | None = None, *, extrapolate: bool = False, key: str = DEFAULT) -> pd.DataFrame:
    """Return the velocity of genes in every cell at its own time, in expression per unit of time.

    Parameters
    ----------
    adata
        With a fit.
    genes
        Names, positions or a mask, returned in their order; by default all that the representation can decode.
    extrapolate
        Answer for cells of any time. By default at most one mean interval between snapshots outside the times of the fit.
    key
        Where the fit is.

    Returns
    -------
    Cells by genes, float32.

    Raises
    ------
    InputError
        No fit, no expression to decode to, an unknown gene, a table above 2 GB, or cells more than one mean interval outside
        the times of the fit without `extrapolate`.

    Warns
    -----
    IntegrationWarning
        Cells of a time outside the observed ones.
    """
    check_arguments(velocity, locals())
    import numpy as np
    import pandas as pd

    fitted = read_fitted(adata, key)
    fitted.observed.require_reached(fitted.times, extrapolate=extrapolate)
    decoder = fitted.flow.decoder
    if decoder is None:
        msg = f"The fit in adata.uns[{key!r}] has no decoder. Expected expression in adata.X when it was made; fit again."
        raise InputError(msg)
    here, there = shared_genes(adata, decoder.genes)
    position = dict(zip(here.tolist(), there.tolist(), strict=True))
    columns = here[decoder.decodable[there]] if genes is None else gene_columns(adata, genes)
    unknown = [str(adata.var_names[c]) for c in columns if int(c) not in position]
    if unknown:
        msg = f"genes= holds {len(unknown)} genes that the fit has not seen: {unknown[:5]}. Expected its own; fit again."
        raise InputError(msg)
    chosen = decoder.only(np.array([position[int(c)] for c in columns], dtype=np.int64))
    values = chosen.velocities(fitted.flow.velocity(fitted.x, fitted.times, context=fitted.cells.context))
    fitted.observed.warn(fitted.times)
    return pd.DataFrame(values, index=adata.obs_names, columns=adata.var_names[columns])
