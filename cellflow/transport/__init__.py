"""Optimal transport on arrays: the solvers that `couplings` and `metrics` are made of."""
