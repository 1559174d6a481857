"""Cells out of noise, by a flow that was fitted to generate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow._numbers import as_count, as_number
from cellflow._random import as_seed, stream
from cellflow._typing import FloatArray, RandomState
from cellflow.analysis.prediction import sources
from cellflow.conditions import scaled_time
from cellflow.errors import InputError
from cellflow.population import Snapshots

if TYPE_CHECKING:
    from cellflow.flow import Flow

__all__ = ["draw_conditions", "generate", "noise_and_features"]

#: Step of the solver in the artificial time from 0 to 1.
STEP = 0.05
# First keys of the random streams.
_NOISE, _CONDITIONS = 0, 1


def generate(
    flow: Flow,
    time: float,
    *,
    n_obs: int,
    context: FloatArray | None = None,
    random_state: RandomState = 0,
) -> FloatArray:
    r"""Draw cells from :math:`p(x \mid t, c)`: noise moved by the learned probability flow.

    Parameters
    ----------
    flow
        Fitted by a recipe that generates (`recipes.fm`).
    time
        Of the experiment, in its own unit.
    n_obs
        Number of cells. With one seed, fewer cells are the first of more.
    context
        Features of the condition, `(c,)` for all cells or `(n_obs, c)`; of a flow that was fitted with conditions.
    random_state
        Seed of the noise.

    Returns
    -------
    Positions in data coordinates, shape `(n_obs, d)`.

    Raises
    ------
    InputError
        A flow that does not generate, a time or number that is none, or features that do not fit.
    IntegrationError
        Where a state stops being finite.

    References
    ----------
    Lipman et al., Flow matching for generative modeling, ICLR 2023.
    """
    noise, features = noise_and_features(flow, time, n_obs=n_obs, context=context, random_state=random_state)
    made: FloatArray = flow.simulate(noise, 0.0, [1.0], step=STEP, context=features).x[0]
    return made


def noise_and_features(
    flow: Flow, time: float, *, n_obs: int, context: FloatArray | None = None, random_state: RandomState = 0
) -> tuple[FloatArray, FloatArray]:
    """Where generated cells start: noise in data coordinates `(n, d)`, and features of time and condition `(n, 1 + c)`."""
    if not flow.generates:
        msg = f"The flow (method {flow.recipe['name']!r}) moves cells between snapshots; fit with recipes.fm() to generate."
        raise InputError(msg)
    time, n_obs = as_number("time", time), as_count("n_obs", n_obs)
    n_features = flow.n_context - 1
    found = np.zeros((0,)) if context is None else np.asarray(context, dtype=np.float64)
    if found.shape not in ((n_features,), (n_obs, n_features)):
        msg = f"context has shape {found.shape}; the flow was fitted with {n_features} features of the cells' condition."
        raise InputError(msg)
    z = stream(as_seed(random_state), _NOISE).standard_normal((n_obs, flow.n_dims))
    when = np.full((n_obs, 1), scaled_time(time, flow.times))
    return flow.frame.to_data(z), np.hstack([when, np.broadcast_to(found, (n_obs, n_features))])


def draw_conditions(snapshots: Snapshots, time: float, n: int, *, random_state: RandomState = 0) -> FloatArray:
    """Features of `n` cells' conditions, `(n, c)`, in the proportions that were measured.

    At the time of a snapshot these are its own; between two snapshots, those of both, weighted by closeness in time.
    """
    here = [(p, 1.0) for p in snapshots.populations if p.time == time] or sources(snapshots, time)
    context = np.concatenate([np.zeros((len(p), 0)) if p.context is None else p.context for p, _ in here])
    weight = np.concatenate([share * p.weight for p, share in here])
    rows = stream(as_seed(random_state), _CONDITIONS).choice(len(weight), n, p=weight / weight.sum())
    return context[rows]
