"""The density of the population at any time: that of the first snapshot, carried along the flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from cellflow.analysis.observed import Observed
from cellflow.core._numbers import as_number
from cellflow.core._settings import guarded
from cellflow.core._threads import torch_threads
from cellflow.core._typing import FloatArray, RandomState
from cellflow.errors import InputError, naming_cells

if TYPE_CHECKING:
    from cellflow.core.population import Population
    from cellflow.densities import Builder, Density
    from cellflow.model.base import FittedDynamics
    from cellflow.model.flow import Flow

__all__ = ["EvolvingDensity", "SourceKind", "require_unconditional"]

#: How the density of the first snapshot is learned; see `cellflow.densities.fit_density`.
SourceKind: TypeAlias = "Literal['nsf', 'maf', 'realnvp', 'glow', 'gmm', 'kde'] | Builder"


@dataclass(frozen=True, eq=False)
class EvolvingDensity:
    r"""The log-density :math:`\log p_t(x)` of a fitted dynamics, in data coordinates.

    It is exact for the fitted field and the given source, but for the solver's error; above 100
    dimensions the divergence is estimated (see `cellflow.simulation.Hutchinson`).

    Parameters
    ----------
    flow
        The fitted dynamics.
    source
        Density of the population at `time`, in data coordinates.
    time
        Where the source is known; inside the observed times.
    step
        Of the solver, in units of time; the flow's own by default.
    """

    flow: Flow
    source: Density
    time: float
    step: float | None = None

    def __post_init__(self) -> None:
        require_unconditional(self.flow)
        self._times(as_number("time", self.time))
        if self.step is not None:
            as_number("step", self.step, above=0.0, remedy=", in units of time, or None")
        if "log_weight" in self.flow.dynamics.rates:
            msg = (
                "The flow has a head that changes the mass of cells (log_weight); its density is"
                " not computed yet. Fit without that head."
            )
            raise InputError(msg)

    @classmethod
    @guarded
    def fitted(
        cls,
        flow: Flow,
        population: Population,
        *,
        source: SourceKind = "nsf",
        random_state: RandomState = 0,
        step: float | None = None,
    ) -> EvolvingDensity:
        """Learn the source from the cells of one snapshot, usually the first.

        Parameters
        ----------
        flow
            The fitted dynamics.
        population
            The snapshot, in data coordinates, at least 10 cells.
        source
            Method of `cellflow.densities.fit_density`.
        random_state
            Of its training.
        step
            Of the solver.

        Raises
        ------
        InputError
            Too few cells, a column that does not vary, an unknown method.
        """
        from cellflow.densities import fit_density

        require_unconditional(flow)
        density = fit_density(
            population.x,
            method=source,
            weight=population.weight,
            random_state=random_state,
            threads=flow.threads,
        )
        return cls(flow, density, population.time, step)

    @guarded
    def log_prob(self, x: FloatArray, t: float | FloatArray) -> FloatArray:
        """Log-density of cells.

        Parameters
        ----------
        x
            Positions, shape `(n, d)`.
        t
            One time, or one per cell `(n,)`, inside the observed ones. Cells of one time are solved
            together.

        Returns
        -------
        Nats, shape `(n,)`, float64. A cell's value does not depend on the other cells, up to
        rounding of float32.

        Raises
        ------
        InputError
            Positions that do not fit, or times outside the observed ones.
        IntegrationError
            Where a state stops being finite.
        """
        from cellflow.simulation import log_likelihood

        z = self._positions(x)
        t = self._per_cell(t, len(x))
        log_p = np.empty(len(z))
        for time in np.unique(t):
            rows = np.flatnonzero(t == time)
            with torch_threads(self.flow.threads), naming_cells(rows):
                log_p[rows] = log_likelihood(
                    self.flow.dynamics,
                    z[rows],
                    float(time),
                    self.time,
                    # Divergence and the volume of the frame are the same at both ends, so data
                    # coordinates go in and out.
                    lambda z0: self.source.log_prob(self.flow.frame.to_data(z0)),
                    step=self._step,
                    device=self.flow.device,
                    spread=self.flow.spread,
                )
        return log_p

    @guarded
    def sample(self, n: int, t: float, rng: np.random.Generator) -> FloatArray:
        """Draw cells of the population at a time, shape `(n, d)`."""
        return self.sample_with_log_prob(n, t, rng)[0]

    def sample_with_log_prob(
        self, n: int, t: float, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        """Draw cells of the population at a time, with their log-density from the same solve.

        Returns
        -------
        Positions `(n, d)` and nats `(n,)`, both float64.
        """
        x, log_p = self._pushed(n, np.array([as_number("t", t)]), rng)
        return x[0], log_p[0]

    @property
    def _step(self) -> float:
        return self.flow.step if self.step is None else self.step

    def _pushed(
        self, n: int, times: FloatArray, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        """Samples of the source at other times, `(T, n, d)`, and their log-density, `(T, n)`."""
        from cellflow.simulation import push_with_log_prob

        times = self._times(times)
        x0 = self.source.sample(n, rng)
        with torch_threads(self.flow.threads):
            moved, log_p = push_with_log_prob(
                self.flow.dynamics,
                self.flow.frame.to_model(x0),
                self.source.log_prob(x0),
                self.time,
                times,
                step=self._step,
                device=self.flow.device,
                spread=self.flow.spread,
            )
        return self.flow.frame.to_data(moved.x), log_p

    def _positions(self, x: FloatArray) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != self.flow.n_dims:
            msg = f"Positions have shape {x.shape}; the flow lives in (n, {self.flow.n_dims})."
            raise InputError(msg)
        if not np.isfinite(x).all():
            row, column = np.argwhere(~np.isfinite(x))[0]
            msg = (
                f"Position {x[row, column]} of cell {row}, column {column} is not finite; remove"
                " such cells."
            )
            raise InputError(msg)
        return self.flow.frame.to_model(x)

    def _per_cell(self, t: float | FloatArray, n: int) -> FloatArray:
        t = np.asarray(t, dtype=np.float64)
        if t.shape not in ((), (n,)):
            msg = f"t has shape {t.shape}; expected one time, or one per cell ({n},)."
            raise InputError(msg)
        return self._times(np.broadcast_to(t, n))

    def _times(self, times: float | FloatArray) -> FloatArray:
        """Times `(k,)` at which the density is known."""
        asked = np.atleast_1d(np.asarray(times, dtype=np.float64))
        Observed.by(self.flow).require(asked, "the density")
        return asked


def require_unconditional(flow: FittedDynamics) -> None:
    """Make sure that a flow has no conditions.

    Raises
    ------
    InputError
        It has some.
    """
    if flow.n_context:
        msg = (
            f"The flow is conditional on {flow.n_context} context features; expected none. Fit one"
            " per condition."
        )
        raise InputError(msg)
