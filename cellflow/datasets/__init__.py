"""Data sets: one that ships with the package, published ones that are fetched, and simulated ones whose truth is known."""

from cellflow.datasets._fetch import cite, embryoid_body, larry, multi
from cellflow.datasets._shipped import myoblasts
from cellflow.datasets._simulate import simulate

__all__ = ["cite", "embryoid_body", "larry", "multi", "myoblasts", "simulate"]
