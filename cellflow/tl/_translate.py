"""Cells of one group as they would be in another."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellflow.adapter.decoding import asked_genes, fitted_decoder
from cellflow.adapter.keys import DEFAULT, Keys
from cellflow.adapter.moved import made_cells
from cellflow.adapter.positions import examine_positions
from cellflow.adapter.problem import settle
from cellflow.adapter.read import require_anndata
from cellflow.adapter.selection import Selection, cell_rows
from cellflow.analysis.translation import (
    check_translation,
    fit_translation,
    moved_over,
    require_enough,
)
from cellflow.core._arguments import check_arguments
from cellflow.core._deprecated import Renamed, accepts
from cellflow.core._numbers import shown
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import IntArray, RandomState
from cellflow.core.frame import Scale
from cellflow.core.population import Population
from cellflow.errors import InputError, MissingKeyError, closest, naming_cells

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.model.recipes import Recipe

__all__ = ["translate"]


@guarded
@accepts(key=Renamed("groupby"))
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
    scale: Scale = "joint",
    force_rep: bool = False,
    layer: str | None = None,
    genes: Selection | None = None,
    key_added: str = DEFAULT,
    random_state: RandomState = 0,
    threads: int | Literal["auto"] = 1,
    device: str = "cpu",
    progress: bool | None = None,
) -> AnnData:
    """Translate cells of one group into another, without pairs: a healthy cell as it would be, had it been ill.

    The two groups are coupled by optimal transport as whole populations, and a flow is fitted from
    one to the other, in an artificial time from 0 to 1. It can be followed back; for the other way,
    exchange `source` and `target`. The answer is the least change that turns one population into
    the other: where the groups also differ in composition (a cell type that one of them lacks),
    some cells have no honest counterpart and are made into something else.

    Three flows are fitted: the translation itself, one on half of each group for the comparison
    with the other halves, and one between two halves of the source.

    Parameters
    ----------
    adata
        Cells with a representation.
    groupby
        Column of `adata.obs` with the groups.
    source, target
        Groups in it: from and to.
    use_rep, n_dims, force_rep
        The representation, its leading dimensions, and whether a picture is accepted; see
        `cf.tl.flow`.
    cells
        What to translate: a mask, positions or names; all cells of the source by default.
    method
        Name of a recipe that moves cells, or a `cellflow.recipes.Recipe`.
    scale
        Scaling of the model's coordinates; see `cf.tl.flow`.
    layer
        Expression that positions are decoded to; `adata.X` by default.
    genes
        Genes to decode: names, positions or a mask, returned in their order; all by default, none
        with `[]`.
    key_added
        Starts the name of what is in `uns`, if it is not the default.
    random_state
        Seed of the fits and of the halves.
    threads, device
        See `cf.tl.flow`.
    progress
        Progress bars; None shows them only to somebody who is watching.

    Returns
    -------
    A new AnnData, one row per cell, in the order of `adata` or of `cells`: expression decoded to genes in `X`, how well each
    can be decoded in `var` (`cf_gene_r2` and `velocity_genes`, see `cf.tl.velocity`), states in `obsm` under the name of the
    representation; in `obs` `source_cell`, the cell's own group under the name of the column, `translated_to`, and
    `displacement`, the distance in the representation; and `uns["cf_translation"]` with

    - `w1_before`, `w1_after`, `w1_floor`: Wasserstein distance of held-out source cells to held-out
      target cells, before and after, and between two halves of the target;
    - `c2st` and its standard error: accuracy of a classifier between translated held-out cells and
      held-out target cells, 0.5 where it cannot tell them apart;
    - `round_trip`: mean distance between a cell and itself translated there and back, relative to
      the spread of the source;
    - `displacement` of the source on average, and `displacement_null`, which sampling alone makes:
      half of the source translated into its other half;
    - `displacement_others`: that of each of the groups `others`, relative to the source's. Near 1
      the map moves all alike.

    Raises
    ------
    InputError
        No such column or group, a group of fewer than 40 cells, a method that generates, or
        unusable positions.
    CouplingError, TrainingError
        A plan that cannot be had, a loss that is not finite.
    """
    check_arguments(translate, locals())
    import pandas as pd

    from cellflow.model.fitting import fit
    from cellflow.model.recipes import by_name

    require_anndata(adata)
    keys = Keys(key_added)
    recipe = by_name(method)
    seed = as_seed(random_state)
    if recipe.generates:
        msg = (
            f"method={recipe.name!r} makes new cells from noise; expected one that moves cells,"
            " such as 'ot-cfm'."
        )
        raise InputError(msg)
    if groupby in {"source_cell", "translated_to", "displacement"}:
        msg = (
            f"groupby={groupby!r} is a column that the result has of its own; expected another. Rename it"
            " in adata.obs."
        )
        raise InputError(msg)
    groups, (source, target) = _groups(adata, groupby), (_label(source), _label(target))
    rows = {
        name: _rows_of(groups, groupby, name, argument)
        for name, argument in ((source, "source"), (target, "target"))
    }
    if source == target:
        msg = (
            f"source and target are both {source!r}; expected two groups of adata.obs[{groupby!r}]."
        )
        raise InputError(msg)
    chosen = rows[source] if cells is None else cell_rows(adata, cells)
    if len(chosen) == 0:
        msg = (
            f"cells={shown(cells)} chooses no cell; pass at least one, or None for all of the"
            " source."
        )
        raise InputError(msg)
    name, x = settle(
        examine_positions(adata, use_rep=use_rep, n_dims=n_dims, force_rep=force_rep), again=False
    )
    here, there = (Population(x[r], 0.0, index=r) for r in (rows[source], rows[target]))
    require_enough(here, there)
    asked = asked_genes(adata, fitted_decoder(adata, x, name, layer), genes, key_added)
    asked.require_room(len(chosen))
    fitting = partial(
        fit,
        recipe=recipe,
        scale=scale,
        random_state=seed,
        threads=threads,
        device=device,
        progress=progress,
    )
    flow = fit_translation(here, there, fitting)
    with naming_cells(adata.obs_names[chosen]):
        moved = moved_over(flow, x[chosen])
    others = {
        group: x[groups == group] for group in sorted(set(groups[groups != ""]) - {source, target})
    }
    checks = check_translation(flow, here, there, fitting, others=others, random_state=seed)
    obs = pd.DataFrame(
        {
            "source_cell": adata.obs_names.to_numpy()[chosen],
            groupby: groups[chosen],
            "translated_to": target,
            "displacement": np.linalg.norm(moved - x[chosen], axis=1),
        },
        index=[f"{cell}-{i}" for i, cell in enumerate(adata.obs_names[chosen])],
    )
    about: dict[str, Any] = {
        "key": groupby,
        "source": source,
        "target": target,
        "n_source": len(here),
        "n_target": len(there),
        "method": recipe.name,
        "random_state": seed,
        **asdict(checks),
        # Names of groups may hold what an h5ad cannot have in a key.
        "others": np.array(list(checks.displacement_others), dtype=object),
        "displacement_others": np.array(
            list(checks.displacement_others.values()), dtype=np.float64
        ),
    }
    return made_cells(
        adata,
        moved,
        obs,
        use_rep=name,
        genes=asked,
        keys=keys,
        uns={keys.own("translation"): about},
    )


def _label(group: object) -> str:
    """A group as text; numbers by their value, so that 24 and 24.0 are one group."""
    if isinstance(group, float | np.floating) and group.is_integer():
        return str(int(group))
    return str(group)


def _groups(adata: AnnData, key: object) -> np.ndarray:
    """The group of each cell as text, empty for cells in none."""
    known = list(map(str, adata.obs.columns))
    if not isinstance(key, str) or key not in adata.obs.columns:
        msg = (
            f"adata.obs[{key!r}] is missing. Expected a column of groups, one of"
            f" {known}{closest(key, known)}."
        )
        raise MissingKeyError(msg)
    column = adata.obs[key]
    return np.where(
        column.isna().to_numpy(), "", column.astype(object).map(_label).to_numpy(dtype=object)
    ).astype(object)


def _rows_of(groups: np.ndarray, key: str, name: object, argument: str) -> IntArray:
    rows: IntArray = np.flatnonzero(groups == str(name))
    if len(rows) == 0:
        known = sorted(set(groups[groups != ""]))
        shown = f"{known[:10]}" + (f" and {len(known) - 10} more" if len(known) > 10 else "")
        msg = (
            f"{argument}={name!r} is no group of adata.obs[{key!r}]. Expected one of"
            f" {shown}{closest(name, known)}."
        )
        raise InputError(msg)
    return rows
