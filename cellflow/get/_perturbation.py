"""What edits of genes do, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.stored_genes import read_perturbations
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["perturbation"]


@guarded
def perturbation(
    adata: AnnData,
    name: str | None = None,
    *,
    table: Literal["effects", "genes", "support"] = "effects",
    key: str = DEFAULT,
) -> pd.DataFrame:
    """Return what edits of genes do to fates, which `cf.tl.perturb` wrote.

    Parameters
    ----------
    adata
        Cells with a perturbation.
    name
        Of the perturbation; all of them by default.
    table
        `"effects"`; `"genes"`, what was edited; or `"support"`, whether the states lie where cells
        were measured.
    key
        `key_added` of the fit.

    Returns
    -------
    Of effects, one row for each fate, one for undecided mass and one for the mass, with the columns

    - `perturbation`: its name;
    - `quantity`: `"fate"`, `"undecided"` or `"mass"`; and the `fate`;
    - `unperturbed`, `perturbed`: shares of the fates in the mass that arrives at a fate, of
      undecided mass in all mass, and the mass at the end for each unit of mass at the start;
    - `effect`, `unit`: their difference in percentage points (`"pp"`), or the natural logarithm of
      the ratio of the masses (`"log"`);
    - `se`, `low`, `high`: its standard error and interval, NaN of a single flow;
    - `p`: that it is zero, by Student's t; NaN of a single flow;
    - `p_matched`: share of random genes alike in expression, R2 and leverage, whose edit by as many
      standard deviations changes it at least as much; NaN without any;
    - `null_low`, `null_high`: between which the effects of these genes lie, as large a share of
      them as the level of the intervals, in the unit of the effect; by few cells and one member;
    - `log_odds`, `log_odds_low`, `log_odds_high`: difference of the logarithms of the odds of a
      fate. Infinite where its share is 0 or 1 with or without the edit, NaN where both are.

    Of genes, one row for each: `gene`, `asked`, its mean decoded expression `before` and `after`,
    its `sd` among the cells of that time, `change_sd`, `r2`, `leverage` and the `response` used.

    Of support: by `time` along the paths, the shares of `unperturbed` and `perturbed` states that
    are no farther from the cells measured then than 95 of 100 of these are from each other.

    `.attrs["words"]` says what was done, by the name of the perturbation.

    Raises
    ------
    MissingKeyError
        No fit under this key, no perturbation, or none of this name.
    InputError
        No such table.

    See Also
    --------
    cellflow.tl.perturb

    Examples
    --------
    >>> cf.tl.fates(adata, "cell_type")
    >>> cf.tl.perturb(adata, {"MYH3": 0.0}, n_null=5)
    >>> cf.get.perturbation(adata, "MYH3=0")["quantity"].unique().tolist()
    ['fate', 'undecided', 'mass']
    """
    check_arguments(perturbation, locals())
    return read_perturbations(adata, key, name, table)
