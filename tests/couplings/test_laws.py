"""Laws of every coupling."""

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from cellflow import couplings
from cellflow.core.plans import Plan
from cellflow.core.population import Population
from cellflow.couplings import Auto, Entropic, Exact, Independent, Minibatch, Sparse, Unbalanced
from cellflow.errors import CouplingError, CouplingWarning, InputError
from examples import COUPLINGS

#: Those that keep the whole populations' marginals; a minibatch plan keeps them on average only.
BALANCED = {n: c for n, c in COUPLINGS.items() if n not in {"Minibatch", "Unbalanced"}}
OPTIMAL = {name: COUPLINGS[name] for name in ("Auto", "Exact", "Sparse")}


def clouds(n, m, d, *, seed=0, weights=False):
    rng = np.random.default_rng(seed)
    a = rng.gamma(0.5, size=n) if weights else None
    b = rng.gamma(2.0, size=m) if weights else None
    if weights:
        a[: n // 4] = 0.0
    return Population(rng.normal(size=(n, d)), 0.0, a), Population(
        1.0 + 1.5 * rng.normal(size=(m, d)), 1.0, b
    )


def optimum(source, target):
    cost = cdist(source.x, target.x, "sqeuclidean")
    if not cost.any():
        return 0.0  # every cell where every other one is
    # POT's tolerance is absolute, so costs come to it near one.
    return ot.emd2(source.weight, target.weight, cost / cost.max(), numItermax=10**7) * cost.max()


def test_every_coupling_fulfils_the_protocol():
    assert all(isinstance(c, couplings.Coupling) for c in COUPLINGS.values())


@pytest.mark.parametrize("weights", [False, True], ids=["uniform", "weighted"])
@pytest.mark.parametrize(
    ("n", "m", "d"), [(40, 40, 3), (30, 70, 2), (1, 20, 3), (20, 1, 3), (1, 1, 1), (50, 20, 1)]
)
@pytest.mark.parametrize("coupling", BALANCED.values(), ids=BALANCED)
def test_marginals(coupling, n, m, d, weights):
    source, target = clouds(n, m, d, weights=weights)
    plan = coupling(source, target)
    assert isinstance(plan, Plan)
    assert plan.shape == (n, m)
    tolerance = 2e-4 if isinstance(coupling, Entropic) else 1e-10
    np.testing.assert_allclose(plan.row_mass, source.weight, atol=tolerance)
    np.testing.assert_allclose(plan.col_mass, target.weight, atol=tolerance)


@pytest.mark.parametrize("coupling", COUPLINGS.values(), ids=COUPLINGS)
def test_pairs_are_drawn_by_mass_and_never_without_weight(coupling):
    source, target = clouds(30, 20, 2, weights=True)
    plan = coupling(source, target)
    i, j = plan.sample(200_000, np.random.default_rng(0))
    n = 200_000 / plan.total
    np.testing.assert_allclose(np.bincount(i, minlength=30) / n, plan.row_mass, atol=0.005)
    np.testing.assert_allclose(np.bincount(j, minlength=20) / n, plan.col_mass, atol=0.01)
    assert (source.weight[i] > 0).all()
    cost = ((source.x[i] - target.x[j]) ** 2).sum(axis=1).mean()
    assert cost == pytest.approx(plan.cost, rel=0.03)


@pytest.mark.parametrize("coupling", BALANCED.values(), ids=BALANCED)
def test_the_order_of_cells_does_not_matter(coupling):
    source, target = clouds(60, 50, 3)
    order = np.random.default_rng(1).permutation(60)
    shuffled = Population(source.x[order], 0.0)
    straight, other = coupling(source, target), coupling(shuffled, target)
    assert other.cost == pytest.approx(straight.cost, rel=1e-3)
    np.testing.assert_allclose(
        other.barycentre(target.x), straight.barycentre(target.x)[order], atol=0.05
    )


@pytest.mark.parametrize("coupling", COUPLINGS.values(), ids=COUPLINGS)
def test_moving_both_clouds_changes_nothing(coupling):
    source, target = clouds(40, 30, 2)
    far = coupling(Population(source.x + 1e4, 0.0), Population(target.x + 1e4, 1.0))
    assert far.cost == pytest.approx(coupling(source, target).cost, rel=1e-3)


@pytest.mark.parametrize("coupling", COUPLINGS.values(), ids=COUPLINGS)
def test_one_seed_gives_one_plan(coupling):
    source, target = clouds(200, 150, 3)
    first, second = (coupling(source, target).barycentre(target.x) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("coupling", COUPLINGS.values(), ids=COUPLINGS)
def test_duplicated_cells_are_harmless(coupling):
    source, target = clouds(30, 30, 2)
    twice = Population(np.repeat(source.x, 2, axis=0), 0.0)
    assert coupling(twice, target).cost == pytest.approx(coupling(source, target).cost, rel=0.1)


@pytest.mark.parametrize("coupling", OPTIMAL.values(), ids=OPTIMAL)
@pytest.mark.parametrize("d", [1, 2, 10])
def test_optimal_plans_agree_with_scipys_assignment(coupling, d):
    source, target = clouds(300, 300, d)
    cost = cdist(source.x, target.x, "sqeuclidean")
    best = cost[linear_sum_assignment(cost)].mean()
    plan = coupling(source, target)
    assert best <= plan.cost * (1 + 1e-9)
    assert plan.cost <= best * (1 + 2e-4)


@pytest.mark.parametrize("weights", [False, True], ids=["uniform", "weighted"])
@pytest.mark.parametrize(("n", "m", "d"), [(1500, 1500, 5), (2000, 900, 10), (700, 2500, 3)])
def test_the_certified_gap_is_a_bound(n, m, d, weights):
    source, target = clouds(n, m, d, weights=weights)
    plan, best = Sparse(tol=1e-3)(source, target), optimum(source, target)
    assert plan.gap <= 1e-3
    assert plan.cost * (1 - plan.gap) <= best * (1 + 1e-6)
    assert best <= plan.cost * (1 + 1e-9)
    assert len(plan.mass) <= n + m


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 60),
    m=st.integers(1, 60),
    d=st.integers(1, 6),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    weighted=st.booleans(),
    tied=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_sparse_plans_are_optimal_whatever_comes(n, m, d, scale, weighted, tied, seed):
    source, target = clouds(n, m, d, seed=seed, weights=weighted and n > 3)
    x, y = (np.round(p.x) if tied else p.x for p in (source, target))
    source = Population(x * scale, 0.0, source.weight)
    target = Population(y * scale, 1.0, target.weight)
    plan, best = Sparse(tol=1e-4)(source, target), optimum(source, target)
    assert plan.cost == pytest.approx(best, rel=3e-4, abs=1e-9 * scale**2)
    np.testing.assert_allclose(plan.row_mass, source.weight, atol=1e-10)
    np.testing.assert_allclose(plan.col_mass, target.weight, atol=1e-10)


def test_identical_clouds_cost_nothing():
    source, _ = clouds(500, 1, 4)
    plan = Sparse()(source, Population(source.x, 1.0))
    assert plan.cost == 0.0
    np.testing.assert_array_equal(source.x[plan.i], source.x[plan.j])


def test_a_gap_above_the_tolerance_is_a_warning():
    source, target = clouds(3000, 3000, 20)
    with pytest.warns(CouplingWarning, match="tol"):
        plan = Sparse(tol=1e-7, max_rounds=1)(source, target)
    assert 1e-7 < plan.gap < 0.1
    np.testing.assert_allclose(plan.row_mass, 1 / 3000)


def test_entropic_tends_to_exact_and_to_independent():
    source, target = clouds(50, 40, 2)
    exact, product = Exact()(source, target).cost, Independent()(source, target).cost
    costs = [Entropic(epsilon=e)(source, target).cost for e in (0.02, 0.5, 10.0, 1e6)]
    assert (np.diff(costs) > 0).all()
    assert costs[0] == pytest.approx(exact, rel=0.02)
    assert costs[-1] == pytest.approx(product, rel=1e-3)


def test_entropic_plan_is_the_gibbs_kernel_of_its_potentials():
    source, target = clouds(20, 15, 2, weights=True)
    reference = ot.sinkhorn(
        source.weight[5:],
        target.weight,
        cdist(source.x[5:], target.x, "sqeuclidean"),
        reg=1.0,
        stopThr=1e-12,
    )
    plan = Entropic(epsilon=1.0, tol=1e-8)(source, target)
    np.testing.assert_allclose(
        plan.barycentre(target.x)[5:],
        reference @ target.x / reference.sum(axis=1)[:, None],
        atol=1e-5,
    )


def test_epsilon_of_the_schroedinger_bridge():
    source, target = clouds(30, 30, 2)
    later = Population(target.x, 4.0)
    by_sigma, by_epsilon = (
        Entropic(sigma=0.3)(source, later),
        Entropic(epsilon=2 * 0.3**2 * 4.0)(source, later),
    )
    assert by_sigma.cost == pytest.approx(by_epsilon.cost, rel=1e-12)


def test_sinkhorn_that_does_not_converge_is_an_error():
    source, target = clouds(50, 40, 2)
    with pytest.raises(CouplingError, match="max_iter"):
        Entropic(epsilon=1e-3, max_iter=3)(source, target)


def test_an_unresolved_sigma_says_what_to_do():
    with pytest.raises(InputError, match="sigma"):
        Entropic(sigma="auto")(*clouds(5, 5, 2))


def test_a_dense_plan_above_the_limit_is_refused_with_bytes():
    with pytest.raises(CouplingError, match="bytes"):
        Exact(max_cells=10)(*clouds(50, 50, 2))


def test_a_minibatch_plan_costs_more_and_less_so_with_larger_batches():
    source, target = clouds(1000, 1000, 10)
    best = Exact()(source, target).cost
    costs = [Minibatch(batch_size=b, n_batches=20)(source, target).cost for b in (16, 64, 256)]
    assert costs[0] > costs[1] > costs[2] > best


def test_auto_says_which_and_why(caplog):
    chosen = {size: Auto().choose(size, size, 10) for size in (100, 20_000)}
    assert isinstance(chosen[100][0], Exact)
    assert isinstance(chosen[20_000][0], Sparse)
    assert all(reason for _, reason in chosen.values())
    with caplog.at_level("INFO", logger="cellflow"):
        Auto()(*clouds(10, 10, 2))
    assert "Exact" in caplog.text


@pytest.mark.parametrize(
    "make",
    [
        lambda: Sparse(tol=0.0),
        lambda: Sparse(tol=float("nan")),
        lambda: Auto(tol=-1.0),
        lambda: Entropic(epsilon=-1.0),
        lambda: Entropic(sigma=0.0),
        lambda: Minibatch(batch_size=0),
        lambda: Exact(max_cells=0),
        lambda: Unbalanced(0.0),
        lambda: Unbalanced(tau_source=-1.0),
        lambda: Unbalanced(tau_target=float("nan")),
        lambda: Unbalanced(-np.inf),
        lambda: Unbalanced(epsilon=0.0),
        lambda: Unbalanced(epsilon=np.inf),
        lambda: Unbalanced("large"),
    ],
)
def test_bad_constants_are_refused(make):
    with pytest.raises(InputError):
        make()
