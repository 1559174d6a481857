"""Read out: the fitted flow of an AnnData, and tables that are too large to keep in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from cellflow.adapter.decoding import asked_genes
from cellflow.adapter.fitted import read_cells, read_fitted, read_paths
from cellflow.adapter.keys import DEFAULT, Keys, kind_of
from cellflow.adapter.read import require_anndata
from cellflow.adapter.record import read_diagnosis, read_record, record_of
from cellflow.adapter.selection import Selection
from cellflow.adapter.store import load_flow, opened
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.core._warn import warn
from cellflow.core.decoder import MIN_R2
from cellflow.errors import InputError, InputWarning, MissingKeyError, ModelFileError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from torch import nn

    from cellflow.core._typing import FloatArray
    from cellflow.densities import Density
    from cellflow.model.flow import Flow

__all__ = ["density", "diagnosis", "flow", "trajectories", "trajectory_samples", "velocity"]


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
    if kind_of(adata, name) != "densities":
        msg = (
            f"adata.uns[{name!r}] holds no densities. Learn them first: cf.tl.density(adata,"
            " time_key=...)."
        )
        raise MissingKeyError(msg)
    from cellflow.densities import Conditioned, from_state

    record = read_record(adata, name, "densities")
    times = [float(t) for t in record["times"]]
    pooled = bool(record["params"]["pooled"])
    missing = sorted(
        {"pooled"} - set(record["densities"])
        if pooled
        else {str(t) for t in times} - set(record["densities"])
    )
    if missing:
        msg = (
            f"adata.uns[{name!r}]['densities'] lacks {missing}. Restore it from a copy, or learn"
            " them again: cf.tl.density."
        )
        raise ModelFileError(msg)
    found = {
        label: from_state(
            *opened(model, f"adata.uns[{name!r}]['densities'][{label!r}]", again="cf.tl.density")
        )
        for label, model in record["densities"].items()
    }
    if pooled:
        return {t: Conditioned(found["pooled"], np.array([t])) for t in times}
    return {t: found[str(t)] for t in times}


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
    ModelFileError
        A diagnosis, or a fit, that is damaged.
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
    found = read_diagnosis(record, f"adata.uns[{key!r}]['diagnosis']")
    table = pd.DataFrame(
        {str(name): np.array(found["table"][str(name)]) for name in found["columns"]}
    )
    table.attrs["verdict"] = str(found["verdict"])
    if "types" in found:
        table.attrs["types"] = {
            str(interval): _shares(types) for interval, types in found["types"].items()
        }
    return table


def _shares(types: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Where the mass of each type goes, as shares of it."""
    import numpy as np

    from cellflow.metrics import Transitions

    found = Transitions(
        tuple(map(str, types["labels"])), np.asarray(types["mass"], dtype=np.float64)
    )
    return {
        label: dict(zip(found.labels, row.tolist(), strict=True))
        for label, row, total in zip(found.labels, found.shares, found.before, strict=True)
        if total > 0
    }


@guarded
def flow(
    adata: AnnData,
    *,
    fields: Mapping[str, Callable[..., nn.Module]] | None = None,
    key: str = DEFAULT,
) -> Flow:
    """Return the fitted `Flow` that `cf.tl.flow` stored; it shares no memory with `adata`.

    Parameters
    ----------
    adata
        With a fit.
    fields
        Network classes of your own by name, for a fit with one whose module is not imported.
        Nothing is imported for a fit; once the module is imported, every call finds the class.
    key
        Where it is.

    Raises
    ------
    MissingKeyError
        No fit under this key; the message lists those there are.
    ModelFileError
        A model that is damaged or of a newer format, or a network that is not known.
    """
    check_arguments(flow, locals())
    require_anndata(adata)
    return load_flow(adata, Keys(key), fields)


@guarded
def trajectories(adata: AnnData, *, key: str = DEFAULT) -> FloatArray:
    """Return the states of every cell through time that `cf.tl.trajectories` wrote.

    Parameters
    ----------
    adata
        With trajectories.
    key
        Where the fit is.

    Returns
    -------
    Shape `(n_obs, n_times, d)`, a copy, in the coordinates of the representation, at the times that are in
    `adata.uns["cellflow"]["trajectory_times"]`.

    Raises
    ------
    MissingKeyError
        No fit under this key, or no trajectories.
    InputError
        Cells at other positions than when the trajectories were computed, or an array of another
        shape.

    See Also
    --------
    cellflow.get.trajectory_samples
    """
    check_arguments(trajectories, locals())
    return _paths(adata, key, samples=False)


@guarded
def trajectory_samples(adata: AnnData, *, key: str = DEFAULT) -> FloatArray:
    """Return the states of every cell along several diffusions, which `cf.tl.trajectories(adata, stochastic=True)` wrote.

    Parameters
    ----------
    adata
        With stochastic trajectories.
    key
        Where the fit is.

    Returns
    -------
    Shape `(n_obs, n_rep, n_times, d)`, a copy, at the times in `adata.uns["cellflow"]["trajectory_samples_times"]`.

    Raises
    ------
    MissingKeyError, InputError
        As `cellflow.get.trajectories`.
    """
    check_arguments(trajectory_samples, locals())
    return _paths(adata, key, samples=True)


def _paths(adata: AnnData, key: str, *, samples: bool) -> FloatArray:
    require_anndata(adata)
    keys = Keys(key)
    record = record_of(adata, keys)
    cells, _ = read_cells(adata, keys, record)
    return read_paths(adata, keys, record, cells, samples=samples).copy()


@guarded
def velocity(
    adata: AnnData, genes: Selection | None = None, *, extrapolate: bool = False, key: str = DEFAULT
) -> pd.DataFrame:
    """Return the velocity of genes in every cell at its own time, in expression per unit of time.

    Parameters
    ----------
    adata
        With a fit.
    genes
        Names, positions or a mask, returned in their order; by default all that the representation
        can decode, those with a held-out R2 of at least 0.1.
    extrapolate
        Answer for cells of any time. By default at most one mean interval between snapshots outside
        the times of the fit.
    key
        Where the fit is.

    Returns
    -------
    Cells by genes, float32; `.attrs["gene_r2"]` holds the held-out R2 of each gene by its name.

    Raises
    ------
    InputError
        No fit, no expression to decode to, an unknown gene, a table above 2 GB, or cells more than
        one mean interval outside the times of the fit without `extrapolate`.

    Warns
    -----
    IntegrationWarning
        Cells of a time outside the observed ones.
    InputWarning
        Chosen genes that the representation cannot decode, or none that it can; genes of `adata`
        that the fit has not seen.
    """
    check_arguments(velocity, locals())
    import numpy as np
    import pandas as pd

    fitted = read_fitted(adata, key)
    fitted.observed.require_reached(fitted.times, extrapolate=extrapolate)
    if fitted.flow.decoder is None:
        msg = (
            f"The fit in adata.uns[{key!r}] has no decoder. Expected expression in adata.X when it"
            " was made; fit again."
        )
        raise InputError(msg)
    asked = asked_genes(adata, fitted.flow.decoder, genes, key)
    if asked.decoder is None:
        return pd.DataFrame(index=adata.obs_names, columns=adata.var_names[:0], dtype=np.float32)
    good = asked.decoder.decodable
    columns = asked.columns
    decoder = asked.decoder
    if genes is None:
        columns = columns[good]
        decoder = decoder.only(np.flatnonzero(good))
    if not good.all() and (genes is not None or not good.any()):
        shown = asked.decoder.genes[~good][:5].tolist()
        msg = (
            f"{(~good).sum():,} of {len(good):,} genes cannot be decoded from"
            f" {fitted.cells.use_rep!r} (first: {shown}): their held-out R2 is below {MIN_R2:g}, so"
            " their velocities are mostly noise or zero. Expected genes with more;"
            f" adata.var[{fitted.keys.gene_r2!r}] has the R2 of all, and genes= chooses."
        )
        warn(msg, InputWarning)
    asked.require_room(adata.n_obs)
    values = decoder.velocities(
        fitted.flow.velocity(fitted.x, fitted.times, context=fitted.cells.context)
    )
    fitted.observed.warn(fitted.times)
    table = pd.DataFrame(values, index=adata.obs_names, columns=adata.var_names[columns])
    if decoder.gene_r2 is not None:
        table.attrs["gene_r2"] = dict(
            zip(table.columns.astype(str), decoder.gene_r2.tolist(), strict=True)
        )
    return table
