"""Data sets: two in the package, published ones to download, and simulated ones."""

from cellflow.datasets._published import cite, embryoid_body, larry, multi
from cellflow.datasets._shipped import myoblasts, simulated_progenitors
from cellflow.datasets._simulate import simulate

__all__ = [
    "cite",
    "embryoid_body",
    "larry",
    "multi",
    "myoblasts",
    "simulate",
    "simulated_progenitors",
]


def __dir__() -> list[str]:
    """Public names only."""
    return __all__
