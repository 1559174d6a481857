"""A fitted flow: the value, and what is computed from it."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from cellflow.core._devices import choose_device
from cellflow.core._numbers import as_number
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, IntArray, RandomState
from cellflow.core._version import __version__
from cellflow.core.decoder import Decoder
from cellflow.core.frame import Frame
from cellflow.core.population import Clock
from cellflow.errors import InputError
from cellflow.fields import AtNoise, NoiseConditional
from cellflow.fields.dynamics import Dynamics
from cellflow.fields.ladder import Ladder
from cellflow.model import state, storage
from cellflow.model.base import FittedDynamics
from cellflow.model.networks import Networks
from cellflow.model.queries import (
    Noise,
    diffused,
    evaluated,
    level_score,
    sampled,
    simulated,
)
from cellflow.simulation import Method, Scheme, Trajectories
from cellflow.simulation.langevin import LevelScore
from cellflow.training import History

__all__ = ["Flow"]


@dataclass(frozen=True, eq=False)
class Flow(FittedDynamics):
    """A fitted dynamics: what `fit` returns and every query is made to.

    Positions and velocities that go in and come out are in data coordinates, times in the
    experiment's own units.

    Parameters
    ----------
    dynamics
        The learned networks, in model coordinates.
    history
        What training did, arrays by name.
    seed, seconds
        Of the run.
    version
        Version of cellflow that fitted it.
    frame, clock, times, recipe, plans, decoder, n_context, generates, threads
        See `cellflow.model.base.FittedDynamics`.
    """

    dynamics: Dynamics
    frame: Frame
    clock: Clock
    times: FloatArray
    recipe: Mapping[str, Any]
    plans: Mapping[str, Mapping[str, Any]]
    history: History
    seed: int
    threads: int
    seconds: float
    version: str = __version__
    decoder: Decoder | None = None
    n_context: int = 0
    generates: bool = False

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
        return self.frame.velocity_to_data(evaluated(self, self.dynamics, x, t, context))

    @guarded
    def head(
        self, name: str, x: FloatArray, t: float | FloatArray, *, context: FloatArray | None = None
    ) -> FloatArray:
        if name in {"velocity", "score"} or name not in self.heads:
            return super().head(name, x, t, context=context)
        known = self.dynamics.rate if name in self.dynamics.along else self.dynamics.head
        return evaluated(self, partial(known, name), x, t, context).astype(np.float64)

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
        return self.frame.velocity_to_data(evaluated(self, field, x, t, context))

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
        return self.frame.score_to_data(evaluated(self, field, x, t, context))

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
        chosen = self.step if step is None else step
        return simulated(self, x, t0, times, method=method, step=chosen, context=context)

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
        return diffused(
            self,
            x,
            t0,
            times,
            sigma=sigma,
            noise=Noise(as_seed(random_state), n_rep, keys, replicate),
            scheme=scheme,
            step=step,
            context=context,
        )

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
        return sampled(self, n, t, n_steps=n_steps, seed=as_seed(random_state), context=context)

    def at_level(self, t: float, context: FloatArray | None = None) -> LevelScore:
        """The score at one time, `(x, noise) -> (n, d)`, in model coordinates; `context (c,)`."""
        return level_score(self, t, context)

    def with_decoder(self, decoder: Decoder | None) -> Flow:
        """Return the same flow with another decoder."""
        return replace(self, decoder=decoder)

    @guarded
    def to(self, device: torch.device | str) -> Flow:
        """Return the same flow on another device; `self` stays where it is."""
        return replace(self, dynamics=copy.deepcopy(self.dynamics).to(choose_device(device)))

    @guarded
    def state(self) -> tuple[dict[str, Any], dict[str, FloatArray]]:
        """Return configuration (JSON-able values) and arrays by name, for `from_state`."""
        return state.state(self)

    @classmethod
    @guarded
    def from_state(
        cls,
        config: Mapping[str, Any],
        arrays: Mapping[str, FloatArray],
        *,
        fields: Networks | None = None,
    ) -> Flow:
        """Rebuild a flow from its `state`, of this version or an older one.

        A network of your own is found where its module is imported already; nothing is imported for
        it. Otherwise pass its class by name: `fields={"Mine": Mine}`.

        Raises
        ------
        ModelFileError
            A newer format, a network that is not known, or arrays that do not fit.
        """
        return cls(**state.arguments(config, arrays, fields or {}))

    @guarded
    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the flow into a folder as safetensors and JSON with checksums; never a pickle.

        At every instant the folder holds the older flow or the new one, whole. It is made where
        missing; an existing one must be empty or hold a flow.

        Raises
        ------
        ModelFileError
            When the path is a file, or a folder with other things in it.
        OutputError
            The folder cannot be made or written to, or the disk is full; an older flow is as it
            was.
        """
        storage.save(*self.state(), folder)

    @classmethod
    @guarded
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        fields: Networks | None = None,
    ) -> Flow:
        """Read a flow that `save` wrote; `fields` as of `from_state`.

        Raises
        ------
        ModelFileError
            A missing or damaged file, a newer format, or a network that is not known.
        """
        return cls.from_state(*storage.load(folder), fields=fields)
