"""One pass over all pairs against the whole matrix."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from cellflow.transport import pricing as _pricing
from cellflow.transport.pricing import price

#: Ways of pricing: method and power of the distance.
WAYS = pytest.mark.parametrize(
    ("method", "p"), [("products", 2), ("differences", 2), ("differences", 1)]
)


def problem(n, m, d, seed=0, p=2):
    rng = np.random.default_rng(seed)
    x, y, u, v = (
        rng.normal(size=(n, d)),
        rng.normal(size=(m, d)),
        rng.normal(size=n) + 100,
        rng.normal(size=m) - 100,
    )
    return x, y, u, v, cdist(x, y) ** p - u[:, None] - v


@WAYS
@pytest.mark.parametrize(("n", "m", "d"), [(300, 200, 3), (2500, 37, 60), (1, 700, 2), (5, 1, 1)])
def test_best_arcs_and_minima_are_those_of_the_matrix(n, m, d, method, p):
    x, y, u, v, reduced = problem(n, m, d, p=p)
    k = min(4, n, m)
    found = price(x, y, u, v, rows=k, columns=k, dtype=np.float64, p=p, method=method)
    np.testing.assert_allclose(found.row_min, reduced.min(axis=1), atol=1e-10)
    np.testing.assert_array_equal(found.row_arc, np.argsort(reduced, axis=1)[:, :k])
    np.testing.assert_array_equal(found.col_arc, np.argsort(reduced, axis=0)[:k].T)
    np.testing.assert_allclose(found.row_value, np.sort(reduced, axis=1)[:, :k], atol=1e-10)
    np.testing.assert_allclose(found.col_value, np.sort(reduced, axis=0)[:k].T, atol=1e-10)
    keys = np.r_[
        (np.arange(n)[:, None] * m + found.row_arc).ravel(),
        (found.col_arc * m + np.arange(m)[:, None]).ravel(),
    ]
    np.testing.assert_array_equal(np.sort(found.keys), np.sort(keys))


def test_only_what_is_below_the_limits_is_listed():
    x, y, u, v, reduced = problem(300, 200, 3)
    found = price(
        x,
        y,
        u,
        v,
        rows=6,
        columns=6,
        row_limit=-0.5,
        col_limit=np.full(200, -0.2),
        dtype=np.float64,
    )
    np.testing.assert_array_equal(
        (found.row_arc >= 0).sum(axis=1), np.minimum((reduced < -0.5).sum(axis=1), 6)
    )
    np.testing.assert_array_equal(
        (found.col_arc >= 0).sum(axis=1), np.minimum((reduced < -0.2).sum(axis=0), 6)
    )
    assert np.isinf(found.row_value[found.row_arc < 0]).all()
    assert len(found.keys) == (found.row_arc >= 0).sum() + (found.col_arc >= 0).sum()


@WAYS
@pytest.mark.parametrize("d", [2, 50, 300])
def test_the_bound_on_the_rounding_error_holds(d, method, p):
    x, y, u, v, _ = problem(400, 300, d)
    single, double = (
        price(x, y, u, v, dtype=dtype, p=p, method=method) for dtype in (np.float32, np.float64)
    )
    assert (np.abs(single.row_min - double.row_min) <= single.error).all()
    assert single.error.max() < 1e-5 * (d + 5) * 10 * d
    assert (double.error < 1e-6 * single.error).all()


@WAYS
def test_tiles_change_nothing(monkeypatch, method, p):
    x, y, u, v, _ = problem(300, 200, 5)
    options = {"rows": 3, "columns": 3, "dtype": np.float64, "p": p, "method": method}
    whole = price(x, y, u, v, **options)
    monkeypatch.setitem(_pricing._SOURCES, method, 7)
    monkeypatch.setattr(_pricing, "_TARGETS", 32)
    tiled = price(x, y, u, v, **options)
    for one, other in zip(whole, tiled, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-10)
