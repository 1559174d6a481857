import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

import problems
from cellflow.errors import CouplingError, InputError
from cellflow.metrics import wasserstein
from cellflow.transport import exact as module

coordinate = st.floats(-10, 10).map(lambda v: round(v, 3))
clouds = st.integers(1, 6).flatmap(lambda n: arrays(np.float64, (n, 2), elements=coordinate))
laws = settings(max_examples=40, deadline=None)
orders = pytest.mark.parametrize("p", [1, 2])


@orders
@laws
@given(x=clouds)
def test_zero_on_itself(p, x):
    assert wasserstein(x, x[::-1], p=p) == pytest.approx(0.0, abs=1e-12)


@orders
@laws
@given(x=clouds, y=clouds)
def test_symmetric(p, x, y):
    assert wasserstein(x, y, p=p) == pytest.approx(wasserstein(y, x, p=p), abs=1e-7)


@orders
@laws
@given(x=clouds, y=clouds, z=clouds)
def test_triangle(p, x, y, z):
    assert wasserstein(x, z, p=p) <= wasserstein(x, y, p=p) + wasserstein(y, z, p=p) + 1e-7


@orders
@laws
@given(x=clouds, shift=arrays(np.float64, 2, elements=coordinate))
def test_translation_costs_its_length(p, x, shift):
    assert wasserstein(x, x + shift, p=p) == pytest.approx(np.linalg.norm(shift), abs=1e-7)


@orders
@laws
@given(x=clouds, y=clouds, scale=st.floats(0.1, 10))
def test_scales_with_the_positions(p, x, y, scale):
    assert wasserstein(scale * x, scale * y, p=p) == pytest.approx(
        scale * wasserstein(x, y, p=p), abs=1e-6
    )


@orders
def test_agrees_with_the_optimal_assignment(p):
    x, y = np.random.default_rng(0).standard_normal((2, 60, 4))
    cost = cdist(x, y) ** p
    rows, columns = linear_sum_assignment(cost)
    assert wasserstein(x, y, p=p) == pytest.approx(cost[rows, columns].mean() ** (1 / p))


def test_agrees_with_the_closed_form_on_a_line():
    rng = np.random.default_rng(0)
    x, y, a, b = (
        rng.standard_normal(40),
        1 + rng.standard_normal(25),
        rng.random(40),
        rng.random(25),
    )
    ours = wasserstein(x[:, None], y[:, None], x_weight=a, y_weight=b)
    assert ours == pytest.approx(wasserstein_distance(x, y, a, b))


def test_tends_to_the_closed_form_between_gaussians():
    rng = np.random.default_rng(0)
    x, y = problems.SOURCE.sample(1500, rng), problems.TARGET.sample(1500, rng)
    assert wasserstein(x, y, p=2) == pytest.approx(
        problems.wasserstein2(problems.SOURCE, problems.TARGET), rel=0.03
    )


@orders
def test_a_weight_is_as_many_copies(p):
    x, y = np.random.default_rng(0).standard_normal((2, 10, 3))
    copies = np.arange(1, 11)
    weighted = wasserstein(x, y, p=p, x_weight=copies)
    assert weighted == pytest.approx(wasserstein(np.repeat(x, copies, axis=0), y, p=p))
    without = wasserstein(x, y, p=p, x_weight=np.r_[np.ones(9), 0.0])
    assert without == pytest.approx(wasserstein(x[:9], y, p=p))


def test_single_precision_and_strides_change_nothing():
    x, y = np.random.default_rng(0).standard_normal((2, 20, 6)).astype(np.float32)
    same = wasserstein(np.asfortranarray(x)[:, ::2], y[:, ::2])
    assert same == wasserstein(
        x[:, ::2].astype(np.float64).copy(), y[:, ::2].astype(np.float64).copy()
    )


X = np.zeros((3, 2))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"y": np.zeros((0, 2))}, r"`y` has shape \(0, 2\)"),
        ({"y": np.zeros(3)}, r"`y` has shape \(3,\)"),
        ({"y": np.zeros((3, 4))}, "2 dimensions and `y` has 4"),
        ({"y": np.array([[0.0, np.nan]])}, "nan in row 0, column 1"),
        ({"y": X, "x_weight": np.ones(2)}, "`x_weight` must be 3"),
        ({"y": X, "y_weight": np.array([1.0, -1.0, 1.0])}, "`y_weight` must be 3"),
        ({"y": X, "y_weight": np.zeros(3)}, "not all zero"),
        ({"y": X, "p": 3}, "p=3 is not supported"),
    ],
)
def test_unusable_input_is_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        wasserstein(X, **arguments)


def cells(n, m, d=3, shift=0.5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), shift + 1.2 * rng.standard_normal((m, d))


def clustered(n, m):
    """Ten narrow clusters, far from one another and of other sizes on the other side."""
    rng = np.random.default_rng(0)
    return tuple(
        0.01 * rng.standard_normal((k, 3)) + 10.0 * rng.integers(0, 10, (k, 1)) for k in (n, m)
    )


def far(n, m):
    x, y = cells(n, m)
    return 1e5 + x, 1e5 + y


def repeated(n, m):
    """Few positions, so that nearly everything is tied."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 4, (n, 3)).astype(float), rng.integers(1, 5, (m, 3)).astype(float)


def mass(n, seed):
    return np.random.default_rng(seed).gamma(0.5, size=n)


def brute_force(x, y, a, b, p):
    """The dense linear program."""
    import ot

    return ot.emd2(a / a.sum(), b / b.sum(), cdist(x, y) ** p, numItermax=10**7) ** (1 / p)


@orders
@pytest.mark.parametrize("layout", [cells, clustered, far, repeated])
@pytest.mark.parametrize("weighted", [False, True])
def test_few_arcs_are_as_exact_as_all(p, layout, weighted):
    x, y = layout(700, 500)
    a, b = (mass(700, 1), mass(500, 2)) if weighted else (np.ones(700), np.ones(500))
    ours = wasserstein(x, y, p=p, x_weight=a, y_weight=b)
    assert ours == pytest.approx(brute_force(x, y, a, b, p), rel=1e-9)


@orders
@pytest.mark.parametrize(("n", "m", "d"), [(40, 30, 2), (700, 500, 4), (60, 90, 1)])
def test_potentials_prove_the_optimum(p, n, m, d):
    """Feasible on every pair, and worth the cost: no plan is cheaper, no potentials are better."""
    x, y = cells(n, m, d)
    a, b = mass(n, 1), mass(m, 2)
    a[:5] = 1e-30  # rounds to no mass
    a, b = a / a.sum(), b / b.sum()
    found = module.solve(x, y, a, b, p=p)
    cost = cdist(x, y) ** p
    assert (found.u[:, None] + found.v - cost).max() < 1e-12
    assert a @ found.u + b @ found.v == pytest.approx(found.value, rel=1e-9)
    assert found.value == pytest.approx(brute_force(x, y, a, b, p) ** p, rel=1e-9)


@orders
def test_large_clouds_cost_nothing_on_themselves(p):
    x, _ = cells(600, 1)
    assert wasserstein(x, np.random.default_rng(1).permutation(x), p=p) == pytest.approx(
        0.0, abs=1e-9
    )


@orders
def test_large_clouds_are_translated_at_the_length_of_the_step(p):
    x, _ = cells(600, 1)
    assert wasserstein(x, x + [3.0, 4.0, 0.0], p=p) == pytest.approx(5.0, rel=1e-9)


@orders
def test_row_order_changes_nothing_in_large_clouds(p):
    x, y = cells(600, 500)
    assert wasserstein(x[::-1], y, p=p) == pytest.approx(wasserstein(x, y, p=p), rel=1e-9)
    assert wasserstein(y, x, p=p) == pytest.approx(wasserstein(x, y, p=p), rel=1e-9)


def test_memory_grows_with_the_cells_and_not_with_the_pairs():
    import tracemalloc

    x, y = cells(3000, 3000, 2)
    wasserstein(x[:600], y[:600])  # compiled
    tracemalloc.start()
    wasserstein(x, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 3000 * 3000 / 2


def test_where_few_arcs_are_not_certified_the_dense_solver_takes_over(monkeypatch):
    x, y = cells(600, 500)
    exact = wasserstein(x, y)
    monkeypatch.setattr(module, "_ROUNDS", 1)
    assert wasserstein(x, y) == pytest.approx(exact, rel=1e-9)
    monkeypatch.setattr(module, "_MAX_BYTES", 1000)
    with pytest.raises(CouplingError, match="draw fewer cells"):
        wasserstein(x, y)


def test_smaller_samples_are_farther_apart():
    """Of one population: the value belongs to a size, and falls with it."""
    rng = np.random.default_rng(0)
    found = [wasserstein(*rng.standard_normal((2, n, 5))) for n in (50, 200, 800)]
    assert found[0] > 1.2 * found[1] > 1.2**2 * found[2] > 0


@pytest.mark.filterwarnings(
    "ignore:numItermax reached:UserWarning"
)  # POT warns too, before we raise
def test_an_unfinished_solve_is_an_error(monkeypatch):
    monkeypatch.setattr(module, "_MAX_PIVOTS", 5)
    x, y = np.random.default_rng(0).standard_normal((2, 100, 2))
    with pytest.raises(CouplingError, match="did not finish"):
        wasserstein(x, y)
