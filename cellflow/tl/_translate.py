"""Cells of one group, translated into another."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellflow.adapter.computed import Measured, require_cluster_key
from cellflow.adapter.decoding import asked_genes, fitted_decoder
from cellflow.adapter.findings import settle
from cellflow.adapter.fitted_columns import time_key_of
from cellflow.adapter.keys import DEFAULT, Keys
from cellflow.adapter.moved import made_cells
from cellflow.adapter.positions import examine_positions
from cellflow.adapter.read import require_anndata
from cellflow.adapter.selection import Selection, cell_rows
from cellflow.analysis.translation import (
    Checks,
    check_translation,
    fit_translation,
    moved_over,
    require_enough,
)
from cellflow.core._arguments import check_arguments
from cellflow.core._deprecated import Renamed, accepts
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, IntArray, RandomState
from cellflow.core.population import Population
from cellflow.errors import InputError, naming_cells
from cellflow.tl._groups import Groups
from cellflow.tl._method import scale_of_recipe

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from cellflow.model.recipes import Recipe

__all__ = ["translate"]

#: Columns of `obs` that every result has.
_OWN_COLUMNS = ("source_cell", "translated_to", "displacement")


@guarded
@accepts(key=Renamed("groupby"), scale=scale_of_recipe("ot-cfm"))
def translate(
    adata: AnnData,
    groupby: str,
    *,
    source: str | float,
    target: str | float,
    use_rep: str = "X_pca",
    n_dims: int | None = None,
    cells: Selection | None = None,
    method: str | Recipe = "ot-cfm",
    force_rep: bool = False,
    layer: str | None = None,
    genes: Selection | None = None,
    cluster_key: str | None = None,
    key_added: str = DEFAULT,
    random_state: RandomState = 0,
    threads: int | Literal["auto"] = 1,
    device: str = "cpu",
    progress: bool | None = None,
) -> AnnData:
    """Translate cells of one group into another, without pairs of cells.

    For example, a healthy cell is translated into what it would be with a disease. The two groups
    are coupled by optimal transport as whole populations, and a flow is fitted from one to the
    other, in an artificial time from 0 to 1. The result is the least change that turns one
    population into the other. Where the groups differ in composition (one lacks a cell type), some
    cells have no counterpart, and are translated into cells of another kind. For the opposite
    direction, exchange `source` and `target`.

    Three flows are fitted: the translation; one on half of each group, which is compared on the
    other halves; and one between two halves of the source.

    Parameters
    ----------
    adata
        Cells with a representation; it is not changed.
    groupby
        Column of `adata.obs` with the groups.
    source, target
        Groups in it: from and to.
    use_rep, n_dims, force_rep
        The representation; see `cf.tl.flow`.
    cells
        Cells to translate: a mask, positions or names; all cells of the source by default.
    method
        Name of a recipe that moves cells, or a `cellflow.recipes.Recipe`.
    layer
        Expression that positions are decoded to; `adata.X` by default.
    genes, cluster_key
        See `cf.tl.push`; all cells vote on a label, whatever their time.
    key_added
        Prefix of the names in `uns` and `var`; `"cellflow"` stands for `cf`.
    random_state
        Seed of the fits and of the halves.
    threads, device, progress
        See `cf.tl.flow`.

    Returns
    -------
    A new AnnData, one row per cell, in the order of `adata` or of `cells`. Its fields are

    - `X`: float32, shape (n_rows, n_genes). Expression decoded from the translated states.
    - `obsm["X_pca"]`: float32, shape (n_rows, d). States, under the name of the representation.
    - `obsm["X_umap"]`: float64, shape (n_rows, n_umap). Places in this and in every other embedding
      `X_...` of `adata`, in its type: exact where it is an affine function of the representation,
      else around the nearest cells.
    - `obs["cf_predicted"]`: bool, shape (n_rows,). True; `cf.tl.flow` writes False for its cells.
    - `obs["cf_label_confidence"]`: float64, shape (n_rows,). With `cluster_key`: the share of the
      votes for the label in the column of that name.
    - `obs["source_cell"]`: object, shape (n_rows,). Name of the measured cell.
    - `obs["translated_to"]`: object, shape (n_rows,). The target.
    - `obs["displacement"]`: float64, shape (n_rows,). Distance between the cell and its
      translation, in the representation.
    - `obs["hours"]`: float64, shape (n_rows,). The cell's own time, as `adata.obs` has it, where
      there is a fit under `key_added`, under the name of its column.
    - `uns["cf_translation"]`: dict. The parameters, `placed` and `gene_r2` as of `cf.tl.predict`,
      and the checks listed below.

    `obs` also has the cell's own group, under the name of the column. The checks are

    - `w1_before`, `w1_after`, `w1_floor`: Wasserstein distance of held-out source cells to held-out
      target cells, before and after translation, and between two halves of the target;
    - `c2st`, `c2st_standard_error`: accuracy of a classifier between translated held-out cells and
      held-out target cells, 0.5 where it cannot distinguish them;
    - `round_trip`: mean distance between a cell and itself translated forward and back, relative to
      the spread of the source;
    - `displacement`: mean over the source; `displacement_null`: the same of one half of the source
      translated into the other half, which is due to sampling alone;
    - `displacement_others`: mean of each of the groups `others`, relative to that of the source.
      Near 1 the map moves all cells alike.

    Raises
    ------
    InputError
        No such column or group, a group of fewer than 40 cells, a method that generates, or
        unusable positions.
    CouplingError, TrainingError
        A plan that cannot be solved, a loss that is not finite.

    References
    ----------
    Bunne et al., Learning single-cell perturbation responses using neural optimal transport, Nature
    Methods 2023 (the task); Tong et al., Improving and generalizing flow-based generative models
    with minibatch optimal transport, TMLR 2024 (the method).

    Examples
    --------
    >>> treated = cf.tl.translate(adata, "drug", source="dmso", target="inhibitor")
    >>> sorted(treated.uns["cf_translation"])
    ['c2st', 'c2st_standard_error', 'cellflow_version', 'displacement', 'displacement_null',
     'displacement_others', 'gene_r2', 'key', 'method', 'n_source', 'n_target', 'others',
     'placed', 'random_state', 'round_trip', 'source', 'target', 'use_rep', 'w1_after',
     'w1_before', 'w1_floor']
    """
    check_arguments(translate, locals())
    from cellflow.model.fitting import fit

    require_anndata(adata)
    keys = Keys(key_added)
    recipe = _recipe(method)
    seed = as_seed(random_state)
    groups, rows = _groups(adata, groupby, source, target)
    source, target = rows
    chosen = rows[source] if cells is None else cell_rows(adata, cells)
    name, x = settle(examine_positions(adata, use_rep=use_rep, n_dims=n_dims, force_rep=force_rep))
    here, there = (Population(x[r], 0.0, index=r) for r in rows.values())
    require_enough(here, there)
    require_cluster_key(adata, cluster_key, groupby)
    asked = asked_genes(adata, fitted_decoder(adata, x, name, layer), genes, key_added)
    asked.require_room(len(chosen))
    fitting = partial(
        fit, recipe=recipe, random_state=seed, threads=threads, device=device, progress=progress
    )
    flow = fit_translation(here, there, fitting)
    with naming_cells(adata.obs_names[chosen]):
        moved = moved_over(flow, x[chosen])
    others = groups.others(x, source, target)
    checks = check_translation(flow, here, there, fitting, others=others, random_state=seed)
    apart = np.linalg.norm(moved - x[chosen], axis=1)
    obs = _table(adata, keys, groups, chosen, target, apart)
    about = {
        "key": groupby,
        "source": source,
        "target": target,
        "method": recipe.name,
        "random_state": seed,
        **_about_checks(here, there, checks),
    }
    records = {keys.own("translation"): about}
    return made_cells(
        Measured(adata, name, x, x), moved, obs, genes=asked, keys=keys, uns=records,
        cluster_key=cluster_key,
    )  # fmt: skip


def _recipe(method: str | Recipe) -> Recipe:
    from cellflow.model.recipes import by_name

    recipe = by_name(method)
    if recipe.generates:
        msg = (
            f"method={recipe.name!r} makes new cells from noise; expected one that moves cells,"
            " such as 'ot-cfm'."
        )
        raise InputError(msg)
    return recipe


def _groups(
    adata: AnnData, groupby: str, source: str | float, target: str | float
) -> tuple[Groups, dict[str, IntArray]]:
    """The column, and the rows of source and target by their names in it."""
    if groupby in _OWN_COLUMNS:
        msg = (
            f"groupby={groupby!r} is a column that the result has of its own; expected another."
            " Rename it in adata.obs."
        )
        raise InputError(msg)
    groups = Groups.read(adata, groupby)
    names = {"source": groups.name(source), "target": groups.name(target)}
    rows = {name: groups.rows(name, argument) for argument, name in names.items()}
    if len(rows) == 1:
        msg = (
            f"source and target are both {names['source']!r}; expected two groups of"
            f" adata.obs[{groupby!r}]."
        )
        raise InputError(msg)
    return groups, rows


def _table(
    adata: AnnData,
    keys: Keys,
    groups: Groups,
    rows: IntArray,
    target: str,
    displacement: FloatArray,
) -> pd.DataFrame:
    """Columns of `obs`."""
    import pandas as pd

    columns = {
        "source_cell": adata.obs_names.to_numpy()[rows],
        groups.column: groups.of_cells[rows],
        "translated_to": target,
        "displacement": displacement,
    }
    time_key = time_key_of(adata, keys)
    if time_key is not None and time_key not in columns:
        columns[time_key] = adata.obs[time_key].iloc[rows].array
    return pd.DataFrame(columns, index=[f"{c}-{i}" for i, c in enumerate(adata.obs_names[rows])])


def _about_checks(source: Population, target: Population, checks: Checks) -> dict[str, Any]:
    """Checks as plain values; names of groups may hold what an h5ad does not allow in a key."""
    others = checks.displacement_others
    return {
        "n_source": len(source),
        "n_target": len(target),
        **asdict(checks),
        "others": np.array(list(others), dtype=object),
        "displacement_others": np.array(list(others.values()), dtype=np.float64),
    }
