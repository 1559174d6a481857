"""Cells drawn from the score of one time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.decoding import asked_genes
from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.moved import cell_bytes, cells_of_fit
from cellflow.adapter.selection import Selection
from cellflow.adapter.times import Time
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

    No measured cell is moved and no velocity is used, so this is an independent check of what the
    model knows of a time.

    Parameters
    ----------
    adata
        With a fit that has a score (`score=True`, or `method="sf2m"`).
    time
        Within the observed times: a number in the unit of the fit, or a label such as `"day 3"`.
    n_obs
        Cells to draw.
    condition
        Of a fit with conditions, and needed there: a value for each column of `condition_key`, as a
        mapping, or alone where there is one column.
    n_steps
        Langevin steps per noise level.
    genes
        Genes to decode: names, positions or a mask, returned in their order; all by default, none
        with `[]`.
    random_state
        Seed.
    key
        Where the fit is.

    Returns
    -------
    A new AnnData: expression decoded to genes in `X`, how well each can be decoded in `var` (`cf_gene_r2` and
    `velocity_genes`, see `cf.tl.velocity`), states in `obsm` under the name of the representation, and
    `uns["cf_sample"]` with the time, the seed and the noise levels.

    Raises
    ------
    InputError
        No fit, a fit without a score, a time outside the observed ones, or a condition that the fit
        does not know.

    References
    ----------
    Song and Ermon, Generative modeling by estimating gradients of the data distribution, NeurIPS 2019; Song et al.,
    Score-based generative modeling through stochastic differential equations, ICLR 2021.
    """
    check_arguments(sample, locals())
    import pandas as pd

    fitted = read_fitted(adata, key)
    seed = as_seed(random_state)
    n = as_count("n_obs", n_obs, each=cell_bytes(fitted))
    at = require_inside(fitted, time)
    asked = asked_genes(adata, fitted.flow.decoder, genes, key)
    asked.require_room(n)
    context = fitted.required_features(condition)
    levels = fitted.flow.ladder.levels
    x = fitted.flow.sample(
        n, at, n_steps=as_count("n_steps", n_steps, most=ROUNDS), random_state=seed, context=context
    )
    obs = pd.DataFrame({"time": np.full(n, at)}, index=[f"sample-{i}" for i in range(n)])
    provenance: dict[str, Any] = {
        "time": at,
        "random_state": seed,
        "n_steps": n_steps,
        "noise_levels": np.array(levels),
    }
    if context is not None:
        provenance |= {
            "condition": fitted.values(context),
            "condition_measured": fitted.measured(context),
        }
    return cells_of_fit(adata, fitted, asked, x, obs, {fitted.keys.own("sample"): provenance})
