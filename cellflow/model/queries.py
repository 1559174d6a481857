"""Queries of a fitted flow: checked arguments, cells in chunks, data coordinates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from cellflow.core._numbers import as_array, as_count, as_number
from cellflow.core._random import stream
from cellflow.core._rows import Rows
from cellflow.core._threads import torch_threads
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError, IntegrationError, naming_cells
from cellflow.simulation import (
    Method,
    Scheme,
    Trajectories,
    annealed_langevin,
    integrate,
    integrate_sde,
)
from cellflow.simulation.langevin import LevelScore
from cellflow.simulation.trajectories import joined

if TYPE_CHECKING:
    from cellflow.model.flow import Flow

__all__ = ["Noise", "diffused", "evaluated", "level_score", "sampled", "simulated"]

#: Steps of a stochastic solver per mean interval between snapshots.
_STEPS_PER_UNIT = 25


@dataclass(frozen=True, eq=False)
class Noise:
    """The noise of a diffusion, see `FittedDynamics.diffuse`.

    Parameters
    ----------
    seed
        Of all of it.
    n_rep, keys, replicate
        Paths of each cell, key of each cell, number of each path.
    """

    seed: int
    n_rep: int
    keys: IntArray | None
    replicate: IntArray | None

    def paths(self, n: int, each: int) -> tuple[IntArray, list[tuple[int, int]]]:
        """The cell of each path, and the names of its noise; a path takes `each` bytes."""
        n_rep = as_count("n_rep", self.n_rep, each=each * n)
        rows = np.repeat(np.arange(n), n_rep)
        keys = np.arange(n) if self.keys is None else np.asarray(self.keys)
        repeated = np.tile(np.arange(n_rep), n)
        numbers = repeated if self.replicate is None else np.asarray(self.replicate)
        if len(numbers) != len(rows):
            msg = (
                f"replicate has {len(numbers)} entries for {n} cells and n_rep={n_rep}; expected"
                " one per cell, and n_rep=1."
            )
            raise InputError(msg)
        return rows, [(int(keys[r]), int(k)) for r, k in zip(rows, numbers, strict=True)]


def evaluated(
    flow: Flow,
    field: Callable[..., Tensor],
    x: FloatArray,
    t: float | FloatArray,
    context: FloatArray | None,
) -> FloatArray:
    """Values of a field at cells in data coordinates, in model coordinates."""
    z = _in_model(flow, x)
    t = as_array("t", t)
    if t.shape not in ((), (len(z),)):
        msg = f"t has shape {t.shape}; expected one time, or one per cell ({len(z)},)."
        raise InputError(msg)
    rows = Rows.of(z, _features(flow, context, len(z)), np.broadcast_to(t, len(z)))
    with torch_threads(flow.threads), torch.no_grad():
        found = rows.to(flow.device, torch.float32).evaluate(lambda chunk: chunk.values(field))
    return found.numpy()


def simulated(
    flow: Flow,
    x: FloatArray,
    t0: float,
    times: FloatArray | Sequence[float],
    *,
    method: Method,
    step: float,
    context: FloatArray | None,
) -> Trajectories:
    """Cells moved by the probability flow, see `FittedDynamics.simulate`."""
    z = _in_model(flow, x)
    with torch_threads(flow.threads), _in_data_coordinates(flow):
        moved = integrate(
            flow.dynamics,
            z,
            t0,
            np.atleast_1d(as_array("times", times)),
            step=step,
            method=method,
            along=flow.dynamics.rates,
            context=_features(flow, context, len(z)),
            device=flow.device,
            spread=flow.spread,
        )
    return replace(moved, x=flow.frame.to_data(moved.x))


def diffused(
    flow: Flow,
    x: FloatArray,
    t0: float,
    times: FloatArray | Sequence[float],
    *,
    sigma: float | None,
    noise: Noise,
    scheme: Scheme,
    step: float | None,
    context: FloatArray | None,
) -> Trajectories:
    """Cells moved by a diffusion, see `FittedDynamics.diffuse`."""
    flow.score_network  # noqa: B018 (raises where there is none)
    z = _in_model(flow, x)
    # Noise and states of every path at every time, and the key of its noise.
    rows, names = noise.paths(len(z), 8 * flow.n_dims * max(1, np.size(times)) + 64)
    features = _features(flow, context, len(z))
    t0 = as_number("t0", t0)
    times = np.atleast_1d(as_array("times", times)).astype(np.float64)
    width = flow.sigma if sigma is None else as_number("sigma", sigma)
    parts = []
    with torch_threads(flow.threads), _in_data_coordinates(flow), naming_cells(rows):
        for direction, side in ((1, times >= t0), (-1, times < t0)):
            if side.any() or direction == 1:
                part = integrate_sde(
                    partial(flow.dynamics.drift, sigma=width, direction=direction),
                    z[rows],
                    t0,
                    times[side],
                    sigma=width,
                    step=flow.clock.unit / _STEPS_PER_UNIT if step is None else step,
                    random_state=noise.seed,
                    scheme=scheme,
                    keys=[(*name, (1 - direction) // 2) for name in names],
                    along=flow.dynamics.rates,
                    context=None if features is None else features[rows],
                    device=flow.device,
                )
                parts.append((side, replace(part, source=rows, x=flow.frame.to_data(part.x))))
    return joined(times, parts)


def sampled(
    flow: Flow, n: int, t: float, *, n_steps: int, seed: int, context: FloatArray | None
) -> FloatArray:
    """Cells drawn from the score, see `FittedDynamics.sample`."""
    network = flow.score_network
    n = as_count("n", n, each=8 * flow.n_dims)
    t = as_number("t", t)
    z = torch.from_numpy(stream(seed).standard_normal((n, flow.n_dims))).to(flow.device)
    start = network.starting_points(torch.tensor(t, device=flow.device), z).cpu().numpy()
    with torch_threads(flow.threads):
        drawn = annealed_langevin(
            level_score(flow, t, context),
            network.ladder,
            start,
            n_steps=n_steps,
            random_state=seed,
            device=flow.device,
        )
    return flow.frame.to_data(drawn)


def level_score(flow: Flow, t: float, context: FloatArray | None) -> LevelScore:
    """The score at one time, see `Flow.at_level`."""
    network = flow.score_network
    time = torch.tensor(as_number("t", t), dtype=torch.float64, device=flow.device)
    features = _features(flow, context, 1)
    row = None if features is None else torch.from_numpy(features.copy()).float().to(flow.device)
    return lambda x, noise: network(time, x, noise, None if row is None else row.expand(len(x), -1))


@contextmanager
def _in_data_coordinates(flow: Flow) -> Iterator[None]:
    """Convert the trajectories of an error to data coordinates."""
    try:
        yield
    except IntegrationError as error:
        if error.partial is not None:
            error.partial = replace(error.partial, x=flow.frame.to_data(error.partial.x))
        raise


def _features(flow: Flow, context: FloatArray | None, n: int) -> FloatArray | None:
    """Features of `n` cells, `(n, c)`, from one row each or one for all."""
    if context is None and flow.n_context == 0:
        return None
    found = () if context is None else np.shape(context)
    if found not in ((flow.n_context,), (n, flow.n_context)) or flow.n_context == 0:
        expected = f"({n}, {flow.n_context})" if flow.n_context else "none"
        msg = (
            f"context has shape {found}; the flow was fitted with {flow.n_context} features:"
            f" expected {expected}."
        )
        raise InputError(msg)
    return np.broadcast_to(as_array("context", context).astype(np.float64), (n, flow.n_context))


def _in_model(flow: Flow, x: FloatArray) -> FloatArray:
    """Positions in model coordinates, from those in data coordinates."""
    x = as_array("x", x).astype(np.float64)
    if x.ndim != 2 or x.shape[1] != flow.n_dims or len(x) == 0:
        msg = f"The flow moves cells of shape (n, {flow.n_dims}); found {x.shape}."
        raise InputError(msg)
    return flow.frame.to_model(x)
