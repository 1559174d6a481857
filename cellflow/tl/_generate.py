"""New cells, generated from noise."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.decoding import asked_genes
from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.fitted_columns import require_labels
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.moved import (
    Part,
    about_condition,
    about_extrapolation,
    cell_bytes,
    cells_of_fit,
    grown,
)
from cellflow.adapter.selection import Selection
from cellflow.analysis.generated import Generated, generate_cells
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import RandomState
from cellflow.core._warn import warn
from cellflow.errors import InputWarning
from cellflow.tl._times import Times, asked_times

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.core.conditions import Condition

__all__ = ["generate"]


@guarded
def generate(
    adata: AnnData,
    *,
    time: Times,
    n_obs: int,
    condition: Condition | None = None,
    return_log_prob: bool = False,
    extrapolate: bool = False,
    genes: Selection | None = None,
    cluster_key: str | None = None,
    random_state: RandomState = 0,
    key: str = DEFAULT,
) -> AnnData:
    r"""Generate cells of a time, and of a condition: draws from :math:`p(x \mid t, c)`.

    Joined to measured cells (`anndata.concat`), they enlarge a rare group. Read the comparison with
    real cells first: a generator of few cells may return the cells that it was trained on, and
    generated cells are no new evidence about the group.

    Parameters
    ----------
    adata
        Cells with a fit of `method="fm"`; it is not changed.
    time
        A number in the unit of the fit, or a label such as `"day 3"`; or a list of them. Between
        snapshots the generator interpolates; outside them it extrapolates, see `extrapolate`.
    n_obs
        Number of cells of each time.
    condition
        For a fit with conditions: a value for each column of `condition_key`, as a mapping, or the
        value alone where there is one column. A combination that no cell has is allowed. By default
        conditions are drawn in the proportions of the snapshot, or, between two snapshots, of both,
        weighted by closeness in time.
    return_log_prob
        Add `obs["log_density"]`. Exact up to 100 dimensions but for the solver's error; takes
        several times longer.
    extrapolate
        Allow any time; see `cf.tl.push`.
    random_state
        Seed; with one seed, fewer cells are the first of more.
    genes, cluster_key, key
        See `cf.tl.push`.

    Returns
    -------
    A new AnnData, one row per cell. Its fields are

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
    - `obs["log_density"]`: float64, shape (n_rows,). With `return_log_prob`: log-density in nats
      under the generator at the cell's time and condition, in the coordinates of the
      representation.
    - `uns["cf_generation"]`: dict. `time`, `random_state` and `extrapolated`; with a condition
      `condition` and `condition_measured`, whether the fit has cells of it; `placed` and `gene_r2`
      as of `cf.tl.predict`; the fit's `key`, `time_unit` and `use_rep`, and `cellflow_version`.

    With conditions, `obs` also has their columns, under their names. With a list of times, entries
    that belong to one time are arrays. Where the fit has at least 20 cells of that time and
    condition, `uns["cf_generation"]` also compares the generated cells with these: `n_real`; `c2st`
    and `c2st_standard_error`, the accuracy of a classifier between the two, 0.5 where it cannot
    distinguish them (less where few cells were learned too closely); `copies` and `real_copies`,
    the share of near copies of a real cell among the generated and among the real cells; `nearer`,
    which is 0.5 where generated cells are as far from real ones as these from each other, and 1
    where all are copies.

    Raises
    ------
    InputError
        No fit, or one of another method; a condition that the fit does not have; no such time or
        number; a time more than one mean interval outside those of the fit without `extrapolate`.
    IntegrationError
        A state that is not finite.

    Warns
    -----
    IntegrationWarning
        A time outside the observed ones.
    InputWarning
        Many generated cells are copies of measured ones.

    References
    ----------
    Lipman et al., Flow matching for generative modeling, ICLR 2023.

    Examples
    --------
    >>> cf.tl.flow(adata, "hours", method="fm", condition_key="drug")
    >>> made = cf.tl.generate(adata, time=24, n_obs=50, condition="dmso")
    >>> made.n_obs
    50
    """
    check_arguments(generate, locals())
    fitted = read_fitted(adata, key, generating=True)
    seed = as_seed(random_state)
    times, several = asked_times(fitted, time)
    n = as_count("n_obs", n_obs, each=cell_bytes(fitted))
    fitted.observed.require_reached(times, extrapolate=extrapolate)
    asked = asked_genes(adata, fitted.flow.decoder, genes, key)
    asked.require_room(n * len(times))
    require_labels(adata, fitted, cluster_key)
    features = None if condition is None else fitted.asked(condition)
    how: dict[str, Any] = {
        "condition": features,
        "with_log_prob": return_log_prob,
        "random_state": seed,
    }
    snapshots = fitted.cells.snapshots()
    made = [generate_cells(fitted.flow, snapshots, at, n_obs=n, **how) for at in times.tolist()]
    parts = [_part(fitted, at, cells) for at, cells in zip(times.tolist(), made, strict=True)]
    about = {"random_state": seed, **about_condition(fitted, features)}
    record = (fitted.keys.own("generation"), about)
    cells = cells_of_fit(
        adata, fitted, asked, parts, "generated", record, several=several, cluster_key=cluster_key
    )
    fitted.observed.warn(times, grown(parts))
    for found in made:
        _warn_of_copies(found)
    return cells


def _part(fitted: Fitted, time: float, made: Generated) -> Part:
    """The generated cells of one time."""
    resemblance = {} if made.resemblance is None else asdict(made.resemblance)
    about = {"time": time, **resemblance}
    about |= about_extrapolation(fitted.observed, time, made.x, fitted.x)
    obs = {} if made.log_density is None else {"log_density": made.log_density}
    return Part(np.full(len(made.x), time), made.x, obs, about, features=made.context)


def _warn_of_copies(made: Generated) -> None:
    found = made.resemblance
    n = len(made.x)
    if found is not None and found.many_copies(n):
        msg = (
            f"{found.copies:.0%} of the {n:,} generated cells are copies of one of {found.n_real:,}"
            f" measured cells; expected about {found.real_copies:.0%}, by chance. Train shorter or"
            " with more cells, or take the measured ones."
        )
        warn(msg, InputWarning)
