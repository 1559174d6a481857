"""Cells out of noise, by a flow that was fitted to generate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.analysis.prediction import sources
from cellflow.core._numbers import as_count, as_number
from cellflow.core._random import as_seed, stream
from cellflow.core._threads import torch_threads
from cellflow.core._typing import FloatArray, RandomState
from cellflow.core.conditions import scaled_time
from cellflow.core.population import Snapshots
from cellflow.errors import InputError
from cellflow.metrics import c2st, nearest_neighbour_novelty

if TYPE_CHECKING:
    from cellflow.model.flow import Flow

__all__ = [
    "Resemblance",
    "compare",
    "draw_conditions",
    "generate",
    "generate_with_log_prob",
    "noise_and_features",
]

#: Step of the solver in the artificial time from 0 to 1.
STEP = 0.05
#: Different cells that a comparison needs on either side.
_LEAST = 20
#: Share of copies beyond that of chance from which generated cells are pointed out.
_MANY_COPIES = 0.1
# First keys of the random streams.
_NOISE = 0
_CONDITIONS = 1


@dataclass(frozen=True)
class Resemblance:
    """Generated cells against the real ones of the same time and condition, the training data.

    Parameters
    ----------
    n_real
        Number of the real cells.
    c2st, c2st_standard_error
        Accuracy of a classifier that tells generated from real cells: 0.5 where it cannot. A
        generator that returns its training cells reaches that too; the other numbers tell.
    copies, real_copies
        Share of generated cells that lie at most a third as far from their nearest real cell as
        from the second; and the same share of real cells beside the others, which is what chance
        makes.
    nearer
        Probability that a generated cell is nearer to the real ones than these are to each other:
        0.5 where they are alike, 1 where all are copies, 0 where all lie outside.
    """

    n_real: int
    c2st: float
    c2st_standard_error: float
    copies: float
    real_copies: float
    nearer: float

    def many_copies(self, n: int) -> bool:
        """Whether there are more copies among `n` generated cells than chance makes."""
        chance = 3.0 * np.sqrt(self.real_copies * (1.0 - self.real_copies) / n)
        return bool(self.copies > self.real_copies + _MANY_COPIES + chance)


def compare(
    made: FloatArray,
    real: FloatArray,
    *,
    weight: FloatArray | None = None,
    random_state: RandomState = 0,
) -> Resemblance | None:
    """Compare generated cells `(n, d)` with real ones `(m, d)`; None where either are too few."""
    alive = np.ones(len(real), dtype=bool) if weight is None else weight > 0
    real = real[alive]
    weight = None if weight is None else weight[alive]
    if min(len(np.unique(made, axis=0)), len(np.unique(real, axis=0))) < _LEAST:
        return None
    alike = c2st(made, real, y_weight=weight, random_state=random_state)
    novelty = nearest_neighbour_novelty(made, real)
    return Resemblance(
        n_real=len(real),
        c2st=alike.accuracy,
        c2st_standard_error=alike.standard_error,
        copies=novelty.copies,
        real_copies=novelty.real_copies,
        nearer=novelty.nearer,
    )


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
        Features of the condition, `(c,)` for all cells or `(n_obs, c)`; of a flow that was fitted
        with conditions.
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
    noise, features = noise_and_features(
        flow, time, n_obs=n_obs, context=context, random_state=random_state
    )
    made: FloatArray = flow.simulate(noise, 0.0, [1.0], step=STEP, context=features).x[0]
    return made


def generate_with_log_prob(
    flow: Flow,
    time: float,
    *,
    n_obs: int,
    context: FloatArray | None = None,
    random_state: RandomState = 0,
) -> tuple[FloatArray, FloatArray]:
    r"""Draw cells with their log-density :math:`\log p(x \mid t, c)` under the generator.

    It is that of the noise, minus the integral of the field's divergence along the way: exact up to
    100 dimensions but for the solver's error, estimated above.

    Parameters
    ----------
    flow, time, n_obs, context, random_state
        As of `generate`.

    Returns
    -------
    Positions in data coordinates `(n_obs, d)`, and nats in data coordinates `(n_obs,)`.
    """
    from cellflow.simulation import push_with_log_prob

    noise, features = noise_and_features(
        flow, time, n_obs=n_obs, context=context, random_state=random_state
    )
    z = flow.frame.to_model(noise)
    log_p = -0.5 * (z**2).sum(axis=1) - 0.5 * flow.n_dims * np.log(2.0 * np.pi)
    with torch_threads(flow.threads):
        moved, log_p1 = push_with_log_prob(
            flow.dynamics,
            z,
            log_p,
            0.0,
            np.array([1.0]),
            step=STEP,
            context=features,
            device=flow.device,
            spread=flow.spread,
        )
    return flow.frame.to_data(moved.x[0]), flow.frame.log_density_to_data(log_p1[0])


def noise_and_features(
    flow: Flow,
    time: float,
    *,
    n_obs: int,
    context: FloatArray | None = None,
    random_state: RandomState = 0,
) -> tuple[FloatArray, FloatArray]:
    """Noise in data coordinates `(n, d)`, and features of time and condition `(n, 1 + c)`."""
    if not flow.generates:
        msg = (
            f"The flow (method {flow.recipe['name']!r}) moves cells between snapshots; fit with"
            " recipes.fm() to generate."
        )
        raise InputError(msg)
    time = as_number("time", time)
    n_obs = as_count("n_obs", n_obs, each=8 * flow.n_dims)
    n_features = flow.n_context - 1
    found = np.zeros((0,)) if context is None else np.asarray(context, dtype=np.float64)
    if found.shape not in ((n_features,), (n_obs, n_features)):
        msg = (
            f"context has shape {found.shape}; the flow was fitted with {n_features} features of"
            " the cells' condition."
        )
        raise InputError(msg)
    z = stream(as_seed(random_state), _NOISE).standard_normal((n_obs, flow.n_dims))
    when = np.full((n_obs, 1), scaled_time(time, flow.times))
    return flow.frame.to_data(z), np.hstack([when, np.broadcast_to(found, (n_obs, n_features))])


def draw_conditions(
    snapshots: Snapshots, time: float, n: int, *, random_state: RandomState = 0
) -> FloatArray:
    """Features of `n` cells' conditions, `(n, c)`, in the proportions that were measured.

    At the time of a snapshot these are its own; between two snapshots, those of both, weighted by
    closeness in time.
    """
    here = [(p, 1.0) for p in snapshots.populations if p.time == time] or sources(snapshots, time)
    contexts = [np.zeros((len(p), 0)) if p.context is None else p.context for p, _ in here]
    weight = np.concatenate([share * p.weight for p, share in here])
    rng = stream(as_seed(random_state), _CONDITIONS)
    return np.concatenate(contexts)[rng.choice(len(weight), n, p=weight / weight.sum())]
