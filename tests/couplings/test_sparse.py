"""What is hard for near-exact transport: every shape of cloud must come out certified, and the
certificate must be true.
"""

import logging
import subprocess
import sys

import numpy as np
import pytest

from cellflow.core.population import Population
from cellflow.couplings import Exact, Sparse
from cellflow.transport.units import monotone, whole_units


def _angle(rng):
    return rng.uniform(0, 2 * np.pi, 1200)


def _circle(rng):
    t = _angle(rng)
    return np.c_[np.cos(t), np.sin(t)], np.c_[np.cos(t + 1), 2 * np.sin(t)]


def _line(rng):
    t = _angle(rng)[:, None]
    return np.repeat(t, 10, axis=1), np.repeat(t**2, 10, axis=1) + 1e-6 * rng.normal(
        size=(1200, 10)
    )


def _copies(rng, noise):
    def cloud():
        return np.repeat(rng.normal(size=(50, 5)), 20, axis=0) + noise * rng.normal(size=(1000, 5))

    return cloud(), cloud()


def _islands(rng):
    far = np.full(5, 1000.0)
    return tuple(
        np.r_[rng.normal(size=(n, 5)), rng.normal(size=(1000 - n, 5)) + far] for n in (600, 400)
    )


def _grid(rng):
    cells = np.stack(np.meshgrid(np.arange(30.0), np.arange(30.0)), axis=-1).reshape(-1, 2)
    return cells, 1.1 * cells


HARD = {
    "plane": lambda r: (r.normal(size=(1500, 2)), 1.5 * r.normal(size=(1500, 2))),
    "circle": _circle,
    "line in ten dimensions": _line,
    "grid": _grid,
    "whole numbers": lambda r: (
        r.integers(0, 4, (1500, 3)).astype(float),
        r.integers(0, 4, (1200, 3)).astype(float),
    ),
    "copies": lambda r: _copies(r, 0.0),
    "near copies": lambda r: _copies(r, 1e-7),
    "islands": _islands,
    "outlier": lambda r: (
        np.r_[r.normal(size=(999, 5)), np.full((1, 5), 1e4)],
        r.normal(size=(1000, 5)),
    ),
    "far from the origin": lambda r: (r.normal(size=(800, 5)) + 1e6, r.normal(size=(800, 5)) + 1e6),
    "constant dimensions": lambda r: tuple(
        np.c_[r.normal(size=(800, 2)), np.zeros((800, 3))] for _ in range(2)
    ),
    "tiny": lambda r: (1e-6 * r.normal(size=(700, 5)), 1e-6 * r.normal(size=(700, 5))),
    "huge": lambda r: (1e6 * r.normal(size=(700, 5)), 1e6 * r.normal(size=(700, 5))),
    "ten against many": lambda r: (r.normal(size=(10, 5)), r.normal(size=(20_000, 5))),
    "many against ten": lambda r: (r.normal(size=(20_000, 5)), r.normal(size=(10, 5))),
    "one place": lambda _: (np.zeros((50, 2)), np.ones((70, 2))),
}


@pytest.mark.parametrize("make", HARD.values(), ids=HARD)
def test_hard_clouds_are_certified_and_the_certificate_is_true(make):
    x, y = make(np.random.default_rng(0))
    source, target = Population(x, 0.0), Population(y, 1.0)
    plan = Sparse()(source, target)  # a gap above the tolerance would warn, and warnings are errors
    assert 0.0 <= plan.gap <= 1e-3
    np.testing.assert_allclose(plan.row_mass, source.weight, atol=1e-12)
    np.testing.assert_allclose(plan.col_mass, target.weight, atol=1e-12)
    assert plan.cost == pytest.approx(
        plan.mass @ ((x[plan.i] - y[plan.j]) ** 2).sum(axis=1), rel=1e-9
    )
    if len(x) * len(y) <= 1.5e6:
        best = Exact()(source, target).cost
        assert plan.cost * (1 - plan.gap) <= best * (1 + 1e-9)
        assert best <= plan.cost * (1 + 1e-9)


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6, 1e-9])
@pytest.mark.parametrize("weights", [False, True], ids=["uniform", "weighted"])
def test_any_tolerance_is_reached(tol, weights):
    rng = np.random.default_rng(1)
    a, b = (rng.gamma(0.3, size=n) if weights else None for n in (600, 500))
    source, target = (
        Population(rng.normal(size=(600, 4)), 0.0, a),
        Population(rng.normal(size=(500, 4)), 1.0, b),
    )
    plan, best = Sparse(tol)(source, target), Exact()(source, target).cost
    assert plan.gap <= tol
    assert best * (1 - 1e-12) <= plan.cost <= best * (1 + tol)


def test_a_plan_between_equal_numbers_is_a_permutation():
    rng = np.random.default_rng(0)
    plan = Sparse()(
        Population(rng.normal(size=(900, 6)), 0.0), Population(rng.normal(size=(900, 6)), 1.0)
    )
    np.testing.assert_array_equal(np.sort(plan.i), np.arange(900))
    np.testing.assert_array_equal(np.sort(plan.j), np.arange(900))


def test_one_dimension_is_solved_by_sorting():
    rng = np.random.default_rng(0)
    source = Population(rng.normal(size=(500, 1)), 0.0, rng.gamma(1.0, size=500))
    target = Population(rng.normal(size=(300, 1)), 1.0, rng.gamma(1.0, size=300))
    plan = Sparse()(source, target)
    assert plan.gap == 0.0
    assert plan.cost == pytest.approx(Exact()(source, target).cost, rel=1e-9)
    order = np.argsort(source.x[plan.i, 0], kind="stable")
    assert (np.diff(source.x[plan.i, 0][order]) >= 0).all()
    mean = plan.barycentre(target.x)[np.argsort(source.x[:, 0]), 0]
    assert (np.diff(mean) >= -1e-12).all()


def test_a_seed_is_kept_and_another_gives_another_plan_of_the_same_cost():
    rng = np.random.default_rng(0)
    source, target = (
        Population(rng.normal(size=(1500, 5)), 0.0),
        Population(rng.normal(size=(1200, 5)), 1.0),
    )
    assert (
        Sparse(random_state=np.random.default_rng(3)).random_state
        == Sparse(random_state=np.random.default_rng(3)).random_state
    )
    costs = [Sparse(random_state=seed)(source, target).cost for seed in (0, 1)]
    assert costs[0] == pytest.approx(costs[1], rel=1e-3)


def test_rounds_are_logged(caplog):
    rng = np.random.default_rng(0)
    with caplog.at_level(logging.DEBUG, logger="cellflow"):
        Sparse()(
            Population(rng.normal(size=(30, 2)), 0.0), Population(rng.normal(size=(30, 2)), 1.0)
        )
    assert "30 x 30 cells, round 0: cost" in caplog.text


@pytest.mark.parametrize("weights", ["uniform", "gamma", "tiny"])
def test_whole_units_keep_proportions_and_totals(weights):
    rng = np.random.default_rng(0)
    a, b = {
        "uniform": (np.ones(12), np.ones(18)),
        "gamma": (rng.gamma(0.1, size=1000), rng.gamma(3.0, size=70)),
        "tiny": (np.r_[1.0, np.full(99, 1e-12)], np.ones(7)),
    }[weights]
    units = whole_units(a, b)
    assert units[0].sum() == units[1].sum()
    for weight, unit in zip((a, b), units, strict=True):
        np.testing.assert_allclose(unit / unit.sum(), weight / weight.sum(), atol=1e-15)
    if weights == "uniform":
        assert set(units[0]) == {3}
        assert set(units[1]) == {2}


def test_monotone_plans_share_out_everything():
    supply, demand = np.array([3, 0, 1, 4]), np.array([2, 2, 4, 0])
    i, j, units = monotone(supply, demand)
    np.testing.assert_array_equal(np.bincount(i, units, 4), supply)
    np.testing.assert_array_equal(np.bincount(j, units, 4), demand)
    assert (np.diff(i) >= 0).all()
    assert (np.diff(j) >= 0).all()
    assert (units > 0).all()


def test_no_folder_for_compiled_code_is_no_obstacle(tmp_path):
    code = """
import numba.core.caching as caching
caching.CacheImpl._locator_classes = []
caching.CodeLibraryCacheImpl._locator_classes = []
import numpy as np
from cellflow.core._compiled import compiled
@compiled
def twice(x):
    return 2 * x
assert twice(3) == 6
assert type(twice._cache).__name__ == "NullCache"
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
