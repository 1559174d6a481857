"""Arrows and densities on grids."""

import numpy as np
import pytest

from cellflow.analysis.embedding import density_on_grid, on_grid


def test_very_many_cells_are_gathered_without_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    xy = rng.normal(size=(19_000, 2))
    velocity = np.c_[np.sin(xy[:, 1]), np.cos(xy[:, 0])]
    gx, gy, exact = on_grid(xy, velocity)
    both = on_grid(np.r_[xy, xy], np.r_[velocity, velocity])
    np.testing.assert_array_equal(both[0], gx)
    np.testing.assert_array_equal(both[1], gy)
    known = np.isfinite(exact) & np.isfinite(both[2])
    assert known.mean() > 0.4
    assert (np.isfinite(exact) != np.isfinite(both[2])).mean() < 0.05
    np.testing.assert_allclose(both[2][known], exact[known], atol=0.03)


def test_arrows_are_where_cells_are() -> None:
    rng = np.random.default_rng(0)
    xy = np.r_[rng.normal(size=(500, 2)), rng.normal(size=(500, 2)) + [30.0, 0.0]]
    gx, gy, field = on_grid(xy, np.ones_like(xy))
    there = np.isfinite(field[..., 0])
    points = np.stack(np.meshgrid(gx, gy), axis=-1)[there]
    apart = np.linalg.norm(points[:, None] - xy, axis=2).min(axis=1)
    assert apart.max() <= 37.0 / 40
    np.testing.assert_allclose(field[there], 1.0)


def test_a_density_on_a_grid_has_the_weight_as_its_integral_and_its_mean() -> None:
    rng = np.random.default_rng(0)
    xy = rng.normal(size=(4000, 2)) * [2.0, 0.5] + [1.0, 3.0]
    weight = rng.uniform(size=4000)
    box = np.array([[-12.0, -2.0], [14.0, 8.0]])
    gx, gy, density = density_on_grid(xy, weight, box, width=0.4)
    area = (gx[1] - gx[0]) * (gy[1] - gy[0])
    assert density.shape == (len(gy), len(gx))
    assert density.sum() * area == pytest.approx(weight.sum(), rel=1e-6)
    middle = [(density.sum(axis=0) * gx).sum(), (density.sum(axis=1) * gy).sum()]
    expected = np.average(xy, axis=0, weights=weight)
    np.testing.assert_allclose(np.array(middle) / density.sum(), expected, atol=0.01)
    spread = (density.sum(axis=1) * (gy - expected[1]) ** 2).sum() / density.sum()
    apart = np.average((xy[:, 1] - expected[1]) ** 2, weights=weight)
    assert spread == pytest.approx(apart + 0.4**2, rel=0.02)
