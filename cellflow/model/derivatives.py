"""Derivatives of a fitted flow by the state, and the flow with functions of it held."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor

from cellflow.core._numbers import as_array, as_number
from cellflow.core._rows import Rows
from cellflow.core._settings import guarded
from cellflow.core._threads import torch_threads
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError
from cellflow.model.queries import Queries
from cellflow.simulation import Value
from cellflow.simulation import sensitivity as solved_sensitivity
from cellflow.simulation.divergence import Exact, chosen, density_system, products

__all__ = ["Derivatives"]


class Derivatives(Queries):
    """Derivatives of the networks, in data coordinates."""

    @guarded
    def jacobian(
        self,
        x: FloatArray,
        t: float | FloatArray,
        *,
        head: str = "velocity",
        context: FloatArray | None = None,
    ) -> FloatArray:
        r"""Derivatives of a fitted function by the state, :math:`\partial f_a / \partial x_b`.

        Exact, by one reverse pass through the network for each of its outputs.

        Parameters
        ----------
        x
            Positions, shape `(n, d)`.
        t
            One time, or one per cell `(n,)`.
        head
            `"velocity"`, `"score"`, or a rate such as `"growth"`.
        context
            Features of the cells' conditions, shape `(n, c)` or `(c,)`.

        Returns
        -------
        Float64, in data coordinates: of a vector `(n, d, d)`, `[i, a, b]` the derivative of its
        component `a` by coordinate `b`; of a rate its gradient, `(n, d)`.

        Raises
        ------
        InputError
            A head that the fit does not have.

        Examples
        --------
        >>> flow = cf.get.flow(adata)
        >>> flow.jacobian(adata.obsm["X_pca"], 24.0).shape
        (160, 5, 5)
        """
        if head not in self.heads:
            msg = f"head={head!r}: the fit has {list(self.heads)}. Expected one of them."
            raise InputError(msg)
        is_rate = head in self.dynamics.along
        known = self.dynamics.rate if is_rate else self.dynamics.head
        found = self._differentiated(partial(known, head), x, t, context)
        if is_rate:
            return found[:, 0] / self.frame.scale
        scale = self.frame.scale[:, None] if head == "velocity" else 1 / self.frame.scale[:, None]
        return np.asarray(found * scale / self.frame.scale)

    @guarded
    def divergence(
        self, x: FloatArray, t: float | FloatArray, *, context: FloatArray | None = None
    ) -> FloatArray:
        r"""Divergence of the velocity, :math:`\sum_a \partial v_a / \partial x_a`.

        The rate at which the volume of a small group of cells grows. Exact up to 100 dimensions;
        above, Hutchinson's estimate with ten random signs for each cell.

        Parameters
        ----------
        x, t, context
            As of `jacobian`.

        Returns
        -------
        Per unit of time, the same in any coordinates; float64, shape `(n,)`.

        References
        ----------
        Grathwohl et al., FFJORD: free-form continuous dynamics for scalable reversible generative
        models, ICLR 2019.

        Examples
        --------
        >>> flow = cf.get.flow(adata)
        >>> flow.divergence(adata.obsm["X_pca"], 24.0).shape
        (160,)
        """
        rule = chosen(self.n_dims)

        def of_chunk(chunk: Rows) -> Tensor:
            time = cast("Tensor", chunk.t)
            system = density_system(chunk.bound(self.dynamics), rule.probes(chunk.x))
            return -system(time, chunk.x)[1]

        with torch_threads(self.threads):
            found = self._rows(x, t, context).evaluate(of_chunk)
        return np.asarray(found.double().numpy())

    @guarded
    def sensitivity(
        self,
        x: FloatArray,
        t0: float,
        end: float,
        value: Value,
        *,
        step: float | None = None,
        context: FloatArray | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        r"""What becomes of cells, and how it depends on where they start.

        Parameters
        ----------
        x, t0
            Positions, shape `(n, d)`, and their time.
        end
            Time of the end, before or after it.
        value
            `(x_end, along) -> (n, k)`: functions of the states at the end, in data coordinates
            (float64), and of the quantities along the paths by name, each `(n,)` (`"log_weight"` of
            a flow with growth); differentiable by torch.
        step
            Of the solver, in units of time; `FittedDynamics.step` by default.
        context
            Features of the cells' conditions, shape `(n, c)` or `(c,)`.

        Returns
        -------
        Values, shape `(n, k)`, and their gradients by `x`, shape `(n, k, d)`.

        Raises
        ------
        InputError
            A value of another shape.
        IntegrationError
            A gradient that is not finite.

        See Also
        --------
        cellflow.simulation.sensitivity

        Examples
        --------
        >>> flow = cf.get.flow(adata)
        >>> x = adata.obsm["X_pca"][:10]
        >>> end, gradient = flow.sensitivity(x, 0.0, 24.0, lambda x, along: x)
        >>> gradient.shape
        (10, 5, 5)
        """
        z = self._in_model(x)
        scale = torch.from_numpy(self.frame.scale).to(self.device)
        shift = torch.from_numpy(self.frame.shift).to(self.device)

        def in_data(z: Tensor, along: Mapping[str, Tensor]) -> Tensor:
            return value(z.double() * scale + shift, along)

        with torch_threads(self.threads):
            values, gradients = solved_sensitivity(
                self.dynamics,
                z,
                as_number("t0", t0),
                as_number("end", end),
                in_data,
                step=self.step if step is None else step,
                along=self.dynamics.rates,
                context=self._features(context, len(z)),
                device=self.device,
            )
        return values, gradients / self.frame.scale

    @guarded
    def held(self, functions: FloatArray, response: FloatArray) -> Self:
        r"""The same flow, in which some linear functions of the state stay as they are.

        Of the velocity, the score and the noise of diffusions, :math:`A W v` is taken away, so that
        :math:`W x` is constant along every path. Other fitted functions, such as growth, are
        evaluated at the states that are reached. Members of an ensemble are held alike.

        Parameters
        ----------
        functions
            :math:`W`, shape `(k, d)`: of genes, their rows of the decoder's loadings.
        response
            :math:`A`, shape `(d, k)`, with :math:`W A = 1`: how the state changes with each.

        Returns
        -------
        A flow of its own, which shares the networks and is not meant to be stored.

        Raises
        ------
        InputError
            Matrices of other shapes, or whose product is not the identity.
        """
        functions = as_array("functions", functions, shape="(k, d)", least=1)
        response = as_array("response", response, shape="(d, k)", least=1)
        expected = (len(functions), self.n_dims)
        if functions.shape != expected or response.shape != expected[::-1]:
            msg = (
                f"functions has shape {functions.shape}, response {response.shape}; expected"
                f" (k, {self.n_dims}) and ({self.n_dims}, k)."
            )
            raise InputError(msg)
        if not np.allclose(functions @ response, np.eye(len(functions)), atol=1e-6):
            msg = (
                "functions @ response is not the identity; expected functions that are changed by"
                " their own responses only."
            )
            raise InputError(msg)
        flow = cast("Any", self)  # a dataclass
        dynamics = self.dynamics.held(*self._maps(functions, response))
        return cast("Self", replace(flow, dynamics=dynamics))

    @guarded
    def held_by_row(self, functions: FloatArray, response: FloatArray) -> Self:
        """Many flows with functions held, for cells of all of them in one call.

        Parameters
        ----------
        functions, response
            As of `held`, of `m` of them: shapes `(m, k, d)` and `(m, d, k)`.

        Returns
        -------
        A flow whose cells have one more feature of context, the last: the number of the functions
        that are held, from 0 to `m - 1`. It has no score.
        """
        flow = cast("Any", self)  # a dataclass
        dynamics = self.dynamics.held_by_row(*self._maps(functions, response))
        return cast("Self", replace(flow, dynamics=dynamics, n_context=self.n_context + 1))

    def _maps(self, functions: FloatArray, response: FloatArray) -> tuple[Tensor, Tensor]:
        """Functions of the state and responses to them, in model coordinates."""
        into = torch.from_numpy(np.asarray(functions * self.frame.scale, dtype=np.float64))
        out = torch.from_numpy(np.asarray(response / self.frame.scale[:, None], dtype=np.float64))
        return into.to(self.device), out.to(self.device)

    def _differentiated(
        self,
        function: Callable[..., Tensor],
        x: FloatArray,
        t: float | FloatArray,
        context: FloatArray | None,
    ) -> FloatArray:
        """Derivatives of a function of `(t, x)`, `(n,)` or `(n, d)`, by `x`: `(n, 1 or d, d)`."""

        def of_chunk(chunk: Rows) -> Tensor:
            state = chunk.x.detach().requires_grad_()
            values = replace(chunk, x=state).values(function)
            values = values[:, None] if values.ndim == 1 else values
            probes = Exact().probes(values)
            found = [row for row, _ in products(values, state, probes)]
            return torch.stack(found, dim=1).detach()

        with torch_threads(self.threads), torch.enable_grad():
            return np.asarray(self._rows(x, t, context).evaluate(of_chunk).double().numpy())

    def _rows(self, x: FloatArray, t: float | FloatArray, context: FloatArray | None) -> Rows:
        """Cells in model coordinates, with their times and features."""
        z = self._in_model(x)
        t = np.broadcast_to(as_array("t", t), (len(z),))
        return Rows.of(z, self._features(context, len(z)), t).to(self.device, torch.float32)
