"""Queries of a fitted flow: checked arguments, cells in chunks, data coordinates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from cellflow.core._numbers import as_array, as_count, as_number
from cellflow.core._random import as_seed, stream
from cellflow.core._rows import Rows
from cellflow.core._settings import guarded
from cellflow.core._threads import torch_threads
from cellflow.core._typing import FloatArray, IntArray, RandomState
from cellflow.errors import InputError, IntegrationError, naming_cells
from cellflow.fields import AtNoise, NoiseConditional
from cellflow.fields.dynamics import Dynamics
from cellflow.fields.ladder import Ladder
from cellflow.model.base import FittedDynamics
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

__all__ = ["Queries"]

#: Steps of a stochastic solver per mean interval between snapshots.
_STEPS_PER_UNIT = 25


class Queries(FittedDynamics):
    """The queries of `FittedDynamics`, answered by networks in model coordinates: `dynamics`."""

    dynamics: Dynamics

    @property
    def heads(self) -> tuple[str, ...]:
        return tuple(self.dynamics.heads)

    @property
    def device(self) -> torch.device:
        """Device of the weights; that of the fit, where the machine has it."""
        return next(self.dynamics.parameters()).device

    @property
    def score_network(self) -> NoiseConditional:
        """The score, in model coordinates."""
        if self.dynamics.score is None:
            raise self.without_score()
        return self.dynamics.score  # type: ignore[return-value] # what `Dynamics.built` made

    @property
    def ladder(self) -> Ladder:
        return self.score_network.ladder

    @property
    def sigma(self) -> float:
        return self.dynamics.sigma or self.clock.sigma

    @guarded
    def velocity(
        self, x: FloatArray, t: float | FloatArray, *, context: FloatArray | None = None
    ) -> FloatArray:
        return self.frame.velocity_to_data(self._evaluated(self.dynamics, x, t, context))

    @guarded
    def head(
        self, name: str, x: FloatArray, t: float | FloatArray, *, context: FloatArray | None = None
    ) -> FloatArray:
        if name in {"velocity", "score"} or name not in self.heads:
            return super().head(name, x, t, context=context)
        known = self.dynamics.rate if name in self.dynamics.along else self.dynamics.head
        return self._evaluated(partial(known, name), x, t, context).astype(np.float64)

    @guarded
    def score(
        self,
        x: FloatArray,
        t: float | FloatArray,
        *,
        noise: float = 0.0,
        context: FloatArray | None = None,
    ) -> FloatArray:
        level = as_number("noise", noise)
        if level < 0:
            msg = f"noise={noise!r}; expected a level of at least 0, in model coordinates."
            raise InputError(msg)
        field = AtNoise(self.score_network, level)
        return self.frame.score_to_data(self._evaluated(field, x, t, context))

    @guarded
    def drift(
        self,
        x: FloatArray,
        t: float | FloatArray,
        *,
        sigma: float | None = None,
        context: FloatArray | None = None,
    ) -> FloatArray:
        self.score_network  # noqa: B018 (raises where there is none)
        width = self.sigma if sigma is None else as_number("sigma", sigma, above=0.0)
        field = partial(self.dynamics.drift, sigma=width)
        return self.frame.velocity_to_data(self._evaluated(field, x, t, context))

    @guarded
    def simulate(
        self,
        x: FloatArray,
        t0: float,
        times: FloatArray | Sequence[float],
        *,
        method: Method = "rk4",
        step: float | None = None,
        context: FloatArray | None = None,
    ) -> Trajectories:
        z = self._in_model(x)
        with torch_threads(self.threads), self._errors_in_data_coordinates():
            moved = integrate(
                self.dynamics,
                z,
                t0,
                np.atleast_1d(as_array("times", times)),
                step=self.step if step is None else step,
                method=method,
                along=self.dynamics.rates,
                context=self._features(context, len(z)),
                device=self.device,
                spread=self.spread,
            )
        return replace(moved, x=self.frame.to_data(moved.x))

    @guarded
    def diffuse(
        self,
        x: FloatArray,
        t0: float,
        times: FloatArray | Sequence[float],
        *,
        sigma: float | None = None,
        n_rep: int = 1,
        random_state: RandomState = 0,
        scheme: Scheme = "heun",
        step: float | None = None,
        keys: IntArray | None = None,
        replicate: IntArray | None = None,
        context: FloatArray | None = None,
    ) -> Trajectories:
        seed = as_seed(random_state)
        self.score_network  # noqa: B018 (raises where there is none)
        z = self._in_model(x)
        # States and noise of every path at every time, and the key of its noise.
        n_rep = as_count(
            "n_rep", n_rep, each=(8 * self.n_dims * max(1, np.size(times)) + 64) * len(z)
        )
        rows = np.repeat(np.arange(len(z)), n_rep)
        names = _noise_names(rows, n_rep, keys, replicate)
        features = self._features(context, len(z))
        t0 = as_number("t0", t0)
        times = np.atleast_1d(as_array("times", times)).astype(np.float64)
        width = self.sigma if sigma is None else as_number("sigma", sigma)
        parts = []
        with torch_threads(self.threads), self._errors_in_data_coordinates(), naming_cells(rows):
            for direction, side in ((1, times >= t0), (-1, times < t0)):
                if side.any() or direction == 1:
                    part = integrate_sde(
                        partial(self.dynamics.drift, sigma=width, direction=direction),
                        z[rows],
                        t0,
                        times[side],
                        sigma=width,
                        step=self.clock.unit / _STEPS_PER_UNIT if step is None else step,
                        random_state=seed,
                        scheme=scheme,
                        keys=np.insert(names, 2, (1 - direction) // 2, axis=1),
                        along=self.dynamics.rates,
                        context=None if features is None else features[rows],
                        through=self.dynamics.noise,
                        device=self.device,
                    )
                    parts.append((side, replace(part, source=rows, x=self.frame.to_data(part.x))))
        return joined(times, parts)

    @guarded
    def sample(
        self,
        n: int,
        t: float,
        *,
        n_steps: int = 10,
        random_state: RandomState = 0,
        context: FloatArray | None = None,
    ) -> FloatArray:
        seed = as_seed(random_state)
        network = self.score_network
        n = as_count("n", n, each=8 * self.n_dims)
        t = as_number("t", t)
        z = torch.from_numpy(stream(seed).standard_normal((n, self.n_dims))).to(self.device)
        start = network.starting_points(torch.tensor(t, device=self.device), z).cpu().numpy()
        with torch_threads(self.threads):
            drawn = annealed_langevin(
                self.at_level(t, context),
                network.ladder,
                start,
                n_steps=n_steps,
                random_state=seed,
                device=self.device,
            )
        return self.frame.to_data(drawn)

    def at_level(self, t: float, context: FloatArray | None = None) -> LevelScore:
        """The score at one time, `(x, noise) -> (n, d)`, in model coordinates; `context (c,)`."""
        network = self.score_network
        time = torch.tensor(as_number("t", t), dtype=torch.float64, device=self.device)
        features = self._features(context, 1)
        if features is None:
            return lambda x, noise: network(time, x, noise)
        row = torch.from_numpy(features.copy()).float().to(self.device)
        return lambda x, noise: network(time, x, noise, row.expand(len(x), -1))

    def _evaluated(
        self,
        field: Callable[..., Tensor],
        x: FloatArray,
        t: float | FloatArray,
        context: FloatArray | None,
    ) -> FloatArray:
        """Values of a field at cells in data coordinates, in model coordinates."""
        z = self._in_model(x)
        t = as_array("t", t)
        if t.shape not in ((), (len(z),)):
            msg = f"t has shape {t.shape}; expected one time, or one per cell ({len(z)},)."
            raise InputError(msg)
        rows = Rows.of(z, self._features(context, len(z)), np.broadcast_to(t, len(z)))
        with torch_threads(self.threads), torch.no_grad():
            found = rows.to(self.device, torch.float32).evaluate(lambda chunk: chunk.values(field))
        return found.numpy()

    @contextmanager
    def _errors_in_data_coordinates(self) -> Iterator[None]:
        """Convert the trajectories of an error to data coordinates."""
        try:
            yield
        except IntegrationError as error:
            if error.partial is not None:
                error.partial = replace(error.partial, x=self.frame.to_data(error.partial.x))
            raise

    def _features(self, context: FloatArray | None, n: int) -> FloatArray | None:
        """Features of `n` cells, `(n, c)`, from one row each or one for all."""
        if context is None and self.n_context == 0:
            return None
        found = () if context is None else np.shape(context)
        if found not in ((self.n_context,), (n, self.n_context)) or self.n_context == 0:
            expected = f"({n}, {self.n_context})" if self.n_context else "none"
            msg = (
                f"context has shape {found}; the flow was fitted with {self.n_context} features:"
                f" expected {expected}."
            )
            raise InputError(msg)
        return np.broadcast_to(as_array("context", context).astype(np.float64), (n, self.n_context))

    def _in_model(self, x: FloatArray) -> FloatArray:
        """Positions in model coordinates, from those in data coordinates."""
        x = as_array("x", x).astype(np.float64)
        if x.ndim != 2 or x.shape[1] != self.n_dims or len(x) == 0:
            msg = f"The flow moves cells of shape (n, {self.n_dims}); found {x.shape}."
            raise InputError(msg)
        return self.frame.to_model(x)


def _noise_names(
    rows: IntArray, n_rep: int, keys: IntArray | None, replicate: IntArray | None
) -> np.ndarray:
    """Names of the noise of each path, `(n, 2)`: the key of its cell, and its number."""
    n = len(rows) // n_rep
    keys = np.arange(n) if keys is None else np.asarray(keys)
    numbers = np.tile(np.arange(n_rep), n) if replicate is None else np.asarray(replicate)
    if len(numbers) != len(rows):
        msg = (
            f"replicate has {len(numbers)} entries for {n} cells and n_rep={n_rep}; expected"
            " one per cell, and n_rep=1."
        )
        raise InputError(msg)
    return np.column_stack([keys[rows].astype(np.uint64), numbers.astype(np.uint64)])
