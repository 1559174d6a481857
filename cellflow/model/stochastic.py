"""The part of the protocol of a fitted dynamics that needs a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cellflow.core._typing import FloatArray, IntArray, RandomState
from cellflow.errors import InputError
from cellflow.fields.ladder import Ladder
from cellflow.simulation import Scheme, Trajectories

__all__ = ["Stochastic"]


class Stochastic(Protocol):
    """What the score of a fit answers; by default, that there is none.

    Parameters
    ----------
    recipe
        Plain values with a `name`.
    """

    recipe: Mapping[str, Any]

    @property
    def ladder(self) -> Ladder:
        """Noise levels of the score, in model coordinates."""
        raise self.without_score()

    def score(
        self,
        x: FloatArray,
        t: float | FloatArray,
        *,
        noise: float = 0.0,
        context: FloatArray | None = None,
    ) -> FloatArray:
        r"""Score of cells, :math:`\nabla \log p_t(x)`, in data coordinates.

        Parameters
        ----------
        x, t, context
            As of `velocity`.
        noise
            Level of the ladder in model coordinates; 0 for the score of the population itself.

        Returns
        -------
        Shape `(n, d)`, float64.

        Examples
        --------
        >>> cf.tl.flow(adata, "hours", score=True)
        >>> flow = cf.get.flow(adata)
        >>> x = adata.obsm["X_pca"][:10]
        >>> flow.score(x, 24.0).shape
        (10, 5)
        """
        raise self.without_score()

    def drift(
        self,
        x: FloatArray,
        t: float | FloatArray,
        *,
        sigma: float | None = None,
        context: FloatArray | None = None,
    ) -> FloatArray:
        r"""Drift of single cells, in data coordinates per unit of time.

        .. math::  v + \tfrac{\sigma^2}{2} \nabla \log p_t

        The velocity says how the population moves. A cell that diffuses moves by the drift on
        average, and noise makes up the difference: at rest, the velocity is zero, and the drift
        holds the cells together.

        Parameters
        ----------
        x, t, context
            As of `velocity`.
        sigma
            Diffusion per square root of time, in model coordinates, positive. Snapshots do not
            determine it: it is an assumption, `Flow.sigma` by default. The second term grows with
            its square.

        Returns
        -------
        Shape `(n, d)`, float64.

        References
        ----------
        Tong et al., Simulation-free Schrödinger bridges via score and flow matching, AISTATS 2024.

        Examples
        --------
        >>> cf.tl.flow(adata, "hours", score=True)
        >>> flow = cf.get.flow(adata)
        >>> x = adata.obsm["X_pca"][:10]
        >>> flow.drift(x, 24.0).shape
        (10, 5)
        """
        raise self.without_score()

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
        r"""Move cells by a diffusion that has the marginals of the flow, forward or backward.

        Later times are reached by :math:`dX = (v + \tfrac{\sigma^2}{2} s) dt + \sigma dW`, earlier
        ones by its time reversal (Tong et al., see `drift`). The paths of a cell depend on the seed
        and its key, not on the other cells.

        Parameters
        ----------
        x, t0, times, context
            As of `simulate`.
        sigma
            As of `drift`: that of the bridge it was fitted with, or `0.5 / sqrt(median gap)`.
        n_rep, random_state
            Paths of each cell; seed of the noise.
        scheme, step
            See `cellflow.simulation.integrate_sde`; 1/25 of the mean interval by default.
        keys
            Name of each cell's noise: integers from 0, shape `(n,)`; row numbers by default.
        replicate
            Path that each cell follows, with `n_rep=1`, shape `(n,)`; the first by default.

        Returns
        -------
        `Trajectories` in data coordinates with `n * n_rep` paths, those of one cell together;
        `source` has the row of each.

        Examples
        --------
        >>> cf.tl.flow(adata, "hours", score=True)
        >>> flow = cf.get.flow(adata)
        >>> x = adata.obsm["X_pca"][:10]
        >>> flow.diffuse(x, 0.0, [24.0], n_rep=3).x.shape
        (1, 30, 5)
        """
        raise self.without_score()

    def sample(
        self,
        n: int,
        t: float,
        *,
        n_steps: int = 10,
        random_state: RandomState = 0,
        context: FloatArray | None = None,
    ) -> FloatArray:
        """Draw cells of the population at a time by annealed Langevin dynamics.

        From the score alone, independent of the velocity, and so a check of it.

        Parameters
        ----------
        n, t
            Number of cells, and their time.
        n_steps, random_state
            Steps per noise level, and the seed.
        context
            Features of the population's condition, shape `(c,)`.

        Returns
        -------
        Positions in data coordinates, shape `(n, d)`.

        References
        ----------
        Song and Ermon, Generative modeling by estimating gradients of the data distribution, 2019.

        Examples
        --------
        >>> cf.tl.flow(adata, "hours", score=True)
        >>> cf.get.flow(adata).sample(20, 24.0).shape
        (20, 5)
        """
        raise self.without_score()

    def without_score(self) -> InputError:
        """The error of a query that needs a score, of a fit without one."""
        msg = (
            f"The flow was fitted without a score (method {self.recipe['name']!r}); fit with"
            " score=True, or method='sf2m'."
        )
        return InputError(msg)
