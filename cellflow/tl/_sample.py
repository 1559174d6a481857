"""Cells drawn from the score of one time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.decoding import asked_genes
from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.fitted_columns import require_labels
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.moved import Part, about_condition, cell_bytes, cells_of_fit
from cellflow.adapter.selection import Selection
from cellflow.core._arguments import check_arguments
from cellflow.core._deprecated import accepts
from cellflow.core._numbers import ROUNDS, as_count
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import RandomState
from cellflow.tl._times import Times, asked_times

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.core.conditions import Condition

__all__ = ["sample"]


@guarded
@accepts(positional=("time",))
def sample(
    adata: AnnData,
    *,
    time: Times,
    n_obs: int,
    condition: Condition | None = None,
    n_steps: int = 10,
    genes: Selection | None = None,
    cluster_key: str | None = None,
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
        Within the observed times: a number in the unit of the fit, or a label such as `"day 3"`; or
        a list of them.
    n_obs
        Number of cells to draw for each time.
    condition
        Required for a fit with conditions: a value for each column of `condition_key`, as a
        mapping, or the value alone where there is one column.
    n_steps
        Langevin steps per noise level.
    random_state
        Seed.
    genes, cluster_key, key
        See `cf.tl.push`.

    Returns
    -------
    A new AnnData, one row per drawn cell. Its fields are

    - `X`: float32, shape (n_rows, n_genes). Expression decoded from the states.
    - `obsm["X_pca"]`: float32, shape (n_rows, d). States, under the name of the representation.
    - `obsm["X_umap"]`: float64, shape (n_rows, n_umap). Places in this and in every other embedding
      `X_...` of `adata`, in its type: exact where it is an affine function of the representation,
      else around the nearest cells.
    - `obs["cf_predicted"]`: bool, shape (n_rows,). True; `cf.tl.flow` writes False for its cells.
    - `obs["hours"]`: float64, shape (n_rows,). The time, under the name and in the form of the
      column that the fit read (numbers, labels such as `"E8.75"`, durations, dates).
    - `obs["cf_predicted_time"]`: float64, shape (n_rows,). The time as a number in the unit of the
      fit.
    - `obs["cf_label_confidence"]`: float64, shape (n_rows,). With `cluster_key`: the share of the
      votes for the label in the column of that name.
    - `uns["cf_sample"]`: dict. `time`, `random_state`, `n_steps` and `noise_levels`; with a
      condition `condition` and `condition_measured`, whether the fit has cells of it; `placed` and
      `gene_r2` as of `cf.tl.predict`; the fit's `key`, `time_unit` and `use_rep`, and
      `cellflow_version`.

    With conditions, `obs` also has their columns, under their names.

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
    fitted = read_fitted(adata, key)
    seed = as_seed(random_state)
    n = as_count("n_obs", n_obs, each=cell_bytes(fitted))
    n_steps = as_count("n_steps", n_steps, most=ROUNDS)
    times, several = asked_times(fitted, time)
    fitted.observed.require(times, "the score")
    asked = asked_genes(adata, fitted.flow.decoder, genes, key)
    asked.require_room(n * len(times))
    require_labels(adata, fitted, cluster_key)
    context = fitted.required_features(condition)
    levels = fitted.flow.ladder.levels
    features = None if context is None else np.broadcast_to(context, (n, len(context)))
    how: dict[str, Any] = {"n_steps": n_steps, "random_state": seed, "context": context}
    parts = [
        Part(
            np.full(n, at),
            fitted.flow.sample(n, at, **how),
            about={"time": at},
            features=features,
        )
        for at in times.tolist()
    ]
    about = {
        "random_state": seed,
        "n_steps": n_steps,
        "noise_levels": np.array(levels),
        **about_condition(fitted, context),
    }
    record = (fitted.keys.own("sample"), about)
    return cells_of_fit(
        adata, fitted, asked, parts, "sample", record, several=several, cluster_key=cluster_key
    )
