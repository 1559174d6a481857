"""From Gaussian noise to a cell, for generation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from cellflow.core._numbers import as_number
from cellflow.core.population import Pairs
from cellflow.paths.base import Path, elapsed

__all__ = ["FromNoise"]


@dataclass(frozen=True)
class FromNoise(Path):
    r"""From noise: :math:`x_t \sim \mathcal N(s\, x_1, (1 - (1 - \mathrm{smallest})\, s)^2 I)`.

    The path of generation: :math:`s` is the elapsed fraction of an artificial time, and the source
    cell plays no role. The marginal at the end is the population, blurred by `smallest`.

    Parameters
    ----------
    smallest
        Width at the end, in model coordinates; positive, or the velocity has no bound there.

    References
    ----------
    Lipman et al., Flow matching for generative modeling, ICLR 2023, section 4.1, example II.

    Examples
    --------
    >>> recipe = cf.recipes.fm(smallest=0.05)
    >>> recipe.path, recipe.generates
    (FromNoise(smallest=0.05), True)
    """

    smallest: float = 0.01

    def __post_init__(self) -> None:
        as_number("smallest", self.smallest, above=0.0, below=1.0, remedy=", such as 0.01")

    @property
    def generates(self) -> bool:
        return True

    def mean(self, t: Tensor, pairs: Pairs) -> Tensor:
        return elapsed(t, pairs)[:, None] * pairs.x1

    def std(self, t: Tensor, pairs: Pairs) -> Tensor:
        return 1.0 - (1.0 - self.smallest) * (t - pairs.t0) / (pairs.t1 - pairs.t0)
