"""New cells from noise."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.decoding import asked_genes
from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.moved import cell_bytes, cells_of_fit
from cellflow.adapter.selection import Selection
from cellflow.adapter.times import Time
from cellflow.analysis.generation import Resemblance, compare, draw_conditions
from cellflow.analysis.observed import growth
from cellflow.analysis.prediction import of_condition
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, RandomState
from cellflow.core._warn import warn
from cellflow.core.population import Snapshots
from cellflow.errors import InputWarning

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.core.conditions import Condition

__all__ = ["generate"]


@guarded
def generate(
    adata: AnnData,
    *,
    time: Time,
    n_obs: int,
    condition: Condition | None = None,
    return_log_prob: bool = False,
    extrapolate: bool = False,
    genes: Selection | None = None,
    random_state: RandomState = 0,
    key: str = DEFAULT,
) -> AnnData:
    r"""Generate cells of a time, and of a condition: draws from :math:`p(x \mid t, c)`.

    Joined to measured cells (`anndata.concat`), they augment a group that is rare. Look at the
    report first: a generator of few cells may return the cells that it was trained on, and whatever
    it returns is no new evidence about the group.

    Parameters
    ----------
    adata
        With a fit of `method="fm"`.
    time
        A number in the unit of the fit, or a label such as `"day 3"`. Between snapshots the
        generator interpolates; outside them it extrapolates, see `extrapolate`.
    n_obs
        Number of cells.
    condition
        Of a fit with conditions: a value for each column of `condition_key`, as a mapping, or alone
        where there is one column. A combination that no cell had can be asked for. By default the
        conditions are drawn in the proportions of the snapshot, or between two snapshots of both,
        the nearer one counting more.
    return_log_prob
        Add `obs["log_density"]`: nats of each cell under the generator at its time and condition,
        in the coordinates of the representation. Exact up to 100 dimensions, but for the solver's
        error; takes several times longer.
    extrapolate
        Generate cells of any time. By default at most one mean interval between snapshots outside
        the times of the fit: farther out, what the network returns is arbitrary.
    genes
        Genes to decode: names, positions or a mask, returned in their order; all by default, none
        with `[]`.
    random_state
        Seed; with one seed, fewer cells are the first of more.
    key
        Where the fit is.

    Returns
    -------
    A new AnnData: expression decoded to genes in `X`, how well each can be decoded in `var` (`cf_gene_r2` and
    `velocity_genes`, see `cf.tl.velocity`), states in `obsm` under the name of the representation, `obs["time"]` and
    the columns of the condition, and `uns["cf_generation"]` with the time, the condition and the seed. Where the fit has at
    least 20 cells of that very time and condition, also how the generated ones compare with them: `n_real`; `c2st` with its
    standard error, 0.5 where a classifier cannot tell them apart (and below it, where few cells were learned too closely);
    `copies` beside `real_copies`, which is what chance makes; `nearer`, 0.5 where generated cells are as far from real ones as
    these from each other, 1 where they are copies.

    Raises
    ------
    InputError
        No fit, or one of another method; a condition that it does not know; a time or number that
        is none; a time more than one mean interval outside those of the fit without `extrapolate`.
    IntegrationError
        A state that stops being finite.

    Warns
    -----
    IntegrationWarning
        A time outside the observed ones.
    InputWarning
        Many generated cells are copies of measured ones.
    """
    check_arguments(generate, locals())
    import pandas as pd

    from cellflow.analysis.generation import generate as generated
    from cellflow.analysis.generation import generate_with_log_prob

    fitted = read_fitted(adata, key, generating=True)
    seed = as_seed(random_state)
    at = fitted.time(time)
    n = as_count("n_obs", n_obs, each=cell_bytes(fitted))
    fitted.observed.require_reached(at, extrapolate=extrapolate)
    snapshots = fitted.cells.snapshots()
    conditions = fitted.cells.conditions
    about: dict[str, Any] = {"time": at, "random_state": seed}
    asked = asked_genes(adata, fitted.flow.decoder, genes, key)
    asked.require_room(n)
    context = features = None
    if condition is not None:
        features = fitted.asked(condition)
        about |= {
            "condition": fitted.values(features),
            "condition_measured": fitted.measured(features),
        }
        context = np.broadcast_to(features, (n, len(features)))
    elif conditions is not None:
        context = draw_conditions(snapshots, at, n, random_state=seed)
    log_p = None
    if return_log_prob:
        x, log_p = generate_with_log_prob(
            fitted.flow, at, n_obs=n, context=context, random_state=seed
        )
    else:
        x = generated(fitted.flow, at, n_obs=n, context=context, random_state=seed)
    found = _compared(snapshots, at, features, x, seed)
    about |= {} if found is None else asdict(found)
    about["extrapolated"] = len(fitted.observed.outside(at)) > 0
    columns = {
        "time": np.full(n, at),
        **({} if conditions is None or context is None else conditions.decode(context)),
    }
    columns |= {} if log_p is None else {"log_density": log_p}
    obs = pd.DataFrame(columns, index=[f"generated-{i}" for i in range(n)])
    cells = cells_of_fit(adata, fitted, asked, x, obs, {fitted.keys.own("generation"): about})
    fitted.observed.warn(at, growth(x, fitted.x) if about["extrapolated"] else None)
    if found is not None and found.many_copies(n):
        msg = (
            f"{found.copies:.0%} of the {n:,} generated cells are copies of one of {found.n_real:,}"
            f" measured cells; expected about {found.real_copies:.0%}, by chance. Train shorter or"
            " with more cells, or take the measured ones."
        )
        warn(msg, InputWarning)
    return cells


def _compared(
    snapshots: Snapshots, time: float, condition: FloatArray | None, made: FloatArray, seed: int
) -> Resemblance | None:
    """How generated cells compare with the real ones of their time and condition, as far as there are any."""
    here = [p for p in snapshots.populations if p.time == time]
    if here and condition is not None:
        chosen, measured = of_condition(Snapshots(tuple(here)), condition)
        here = list(chosen.populations) if measured else []
    return compare(made, here[0].x, weight=here[0].weight, random_state=seed) if here else None
