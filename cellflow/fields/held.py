"""Fields in which some linear functions of the state stay as they are."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from cellflow.fields.ladder import Ladder

__all__ = ["Held", "HeldByRow", "Numbered"]


class Held(nn.Module):
    r"""A network of which the part that changes some functions of the state is taken away.

    The functions are :math:`h = W x`. With a matrix :math:`A` such that :math:`W A = 1`, what is
    left of a vector :math:`v` is :math:`v - A W v`, and :math:`W` of it is zero.

    Parameters
    ----------
    network
        Returns vectors `(n, d)`: a velocity or a score.
    functions
        :math:`W`, shape `(k, d)`.
    response
        :math:`A`, shape `(d, k)`.
    """

    functions: Tensor
    response: Tensor

    def __init__(self, network: nn.Module, functions: Tensor, response: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("functions", functions)
        self.register_buffer("response", response)

    @property
    def ladder(self) -> Ladder:
        """Noise levels of a score."""
        return cast("Ladder", self.network.ladder)

    def starting_points(self, t: Tensor, z: Tensor) -> Tensor:
        """Starts of sampling, those of the network."""
        points: Tensor = self.network.starting_points(t, z)  # type: ignore[operator]
        return points

    def forward(self, *arguments: Tensor | float | None) -> Tensor:
        """Evaluate the network, and take away what would change the functions."""
        return self.rest(self.network(*arguments))

    def rest(self, vectors: Tensor) -> Tensor:
        """Vectors `(n, d)` without the part that changes the functions."""
        functions = self.functions.to(vectors)
        return vectors - vectors @ functions.mT @ self.response.to(vectors).mT


class Numbered(nn.Module):
    """A network whose rows have a number as their last feature, which it does not look at."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, t: Tensor, x: Tensor, context: Tensor) -> Tensor:
        """Evaluate the network with the other features, if there are any."""
        features = context[:, :-1]
        value: Tensor = self.network(t, x, features) if features.shape[1] else self.network(t, x)
        return value


class HeldByRow(nn.Module):
    """Several `Held` at once: the last feature of a row is the number of its functions.

    Parameters
    ----------
    network
        Returns vectors `(n, d)`.
    functions, response
        Shape `(m, k, d)` and `(m, d, k)`.
    """

    functions: Tensor
    response: Tensor

    def __init__(self, network: nn.Module, functions: Tensor, response: Tensor) -> None:
        super().__init__()
        self.network = Numbered(network)
        self.register_buffer("functions", functions)
        self.register_buffer("response", response)

    def forward(self, t: Tensor, x: Tensor, context: Tensor) -> Tensor:
        """Evaluate the network, and take away from each row what would change its functions."""
        vectors: Tensor = self.network(t, x, context)
        number = context[:, -1].long()
        change = torch.einsum("nkd,nd->nk", self.functions.to(vectors)[number], vectors)
        return vectors - torch.einsum("ndk,nk->nd", self.response.to(vectors)[number], change)
