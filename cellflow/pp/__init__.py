"""Check the data before a fit."""

from cellflow.pp._check import check

__all__ = ["check"]
