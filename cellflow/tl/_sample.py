"""Cells drawn from the score of one time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.decoding import asked_genes
from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.moved import about_condition, cell_bytes, cells_of_fit
from cellflow.adapter.selection import Selection
from cellflow.adapter.units import Time
from cellflow.core._arguments import check_arguments
from cellflow.core._deprecated import accepts
from cellflow.core._numbers import ROUNDS, as_count
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import RandomState
from cellflow.tl._times import require_inside

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.core.conditions import Condition

__all__ = ["sample"]


@guarded
@accepts(positional=("time",))
def sample(
    adata: AnnData,
    *,
    time: Time,
    n_obs: int,
    condition: Condition | None = None,
    n_steps: int = 10,
    genes: Selection | None = None,
    random_state: RandomState = 0,
    key: str = DEFAULT,
) -> AnnData:
    """Draw cells of the population at a time from its score, by annealed Langevin dynamics.

    No measured cell is moved and no velocity is used. This checks the score independently of the
    velocity.

    Of an ensemble, the mean score is used.

    Parameters
    ----------
    adata
        Cells with a fit that has a score (`score=True`, or `method="sf2m"`); it is not changed.
    time
        Within the observed times: a number in the unit of the fit, or a label such as `"day 3"`.
    n_obs
        Number of cells to draw.
    condition
        Required for a fit with conditions: a value for each column of `condition_key`, as a
        mapping, or the value alone where there is one column.
    n_steps
        Langevin steps per noise level.
    random_state
        Seed.
    genes, key
        See `cf.tl.push`.

    Returns
    -------
    A new AnnData, one row per drawn cell. Its fields are

    - `X`: float32, shape (n_rows, n_genes). Expression decoded from the states.
    - `var["cf_gene_r2"]`: float64, shape (n_genes,). Held-out R2 of each gene; see `cf.tl.flow`.
    - `var["velocity_genes"]`: bool, shape (n_genes,). Whether that is at least 0.1.
    - `obsm["X_pca"]`: float32, shape (n_rows, d). States, under the name of the representation.
    - `obs["time"]`: float64, shape (n_rows,).
    - `uns["cf_sample"]`: dict. `time`, `random_state`, `n_steps` and `noise_levels`; with a
      condition `condition` and `condition_measured`, whether the fit has cells of it; the fit's
      `key`, `time_unit` and `use_rep`, and `cellflow_version`.

    Raises
    ------
    InputError
        No fit, a fit without a score, a time outside the observed ones, or a condition that the fit
        does not have.

    References
    ----------
    Song and Ermon, Generative modeling by estimating gradients of the data distribution, NeurIPS
    2019; Song et al., Score-based generative modeling through stochastic differential equations,
    ICLR 2021.

    Examples
    --------
    >>> cf.tl.flow(adata, "hours", score=True)
    >>> drawn = cf.tl.sample(adata, time=24, n_obs=100)
    >>> drawn.n_obs
    100
    """
    check_arguments(sample, locals())
    import pandas as pd

    fitted = read_fitted(adata, key)
    seed = as_seed(random_state)
    n = as_count("n_obs", n_obs, each=cell_bytes(fitted))
    n_steps = as_count("n_steps", n_steps, most=ROUNDS)
    at = require_inside(fitted, time)
    asked = asked_genes(adata, fitted.flow.decoder, genes, key)
    asked.require_room(n)
    context = fitted.required_features(condition)
    levels = fitted.flow.ladder.levels
    x = fitted.flow.sample(n, at, n_steps=n_steps, random_state=seed, context=context)
    obs = pd.DataFrame({"time": np.full(n, at)}, index=[f"sample-{i}" for i in range(n)])
    about = {
        "time": at,
        "random_state": seed,
        "n_steps": n_steps,
        "noise_levels": np.array(levels),
        **about_condition(fitted, context),
    }
    return cells_of_fit(adata, fitted, asked, x, obs, {fitted.keys.own("sample"): about})
