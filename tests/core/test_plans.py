"""Laws of every plan: marginals, draws, barycentres."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cellflow.core.plans import (
    BlockPlan,
    EdgePlan,
    MixedPlan,
    Plan,
    PotentialPlan,
    ProductPlan,
    mixed,
)
from cellflow.core.plans._quantiles import quantiles
from cellflow.core.plans.base import AliasTable
from cellflow.errors import CouplingError


def dense(plan: Plan) -> np.ndarray:
    """The whole matrix, by drawing nothing: from edges, marginals or tiles."""
    matrix = np.zeros(plan.shape)
    if isinstance(plan, EdgePlan):
        np.add.at(matrix, (plan.i, plan.j), plan.mass)
    elif isinstance(plan, BlockPlan):
        for share, part, rows, columns in zip(
            plan.shares, plan.plans, plan.rows, plan.columns, strict=True
        ):
            matrix[np.ix_(rows, columns)] = share * dense(part)
    elif isinstance(plan, MixedPlan):
        matrix = sum(s * dense(part) for s, part in zip(plan.shares, plan.plans, strict=True))
    elif isinstance(plan, ProductPlan):
        matrix = np.outer(plan.row_mass, plan.col_mass) / plan.total
    else:
        for rows, mass, _ in plan.tiles():
            matrix[rows] = mass
    return matrix


def edges() -> EdgePlan:
    rng = np.random.default_rng(1)
    i, j = np.divmod(rng.permutation(7 * 5)[:20], 5)
    i = np.where(i == 3, 2, i)  # row 3 has no mass
    return EdgePlan((7, 5), i, j, rng.gamma(1.0, size=20), cost=1.0)


def product() -> ProductPlan:
    return ProductPlan(np.array([0.5, 0.0, 0.3, 0.2]), np.array([0.1, 0.9, 0.0]), cost=1.0)


def potential() -> PotentialPlan:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(40, 2)), rng.normal(size=(30, 2)) + 0.5
    a, b = rng.gamma(1.0, size=40), rng.gamma(1.0, size=30)
    a[5] = b[7] = 0.0
    a, b = a / a.sum(), b / b.sum()
    costs = ((x[:, None] - y) ** 2).sum(axis=2)
    g = np.zeros(30)
    for _ in range(500):
        f = -np.log(np.exp(g - costs) @ b)
        g = -np.log(np.exp(f[:, None] - costs).T @ a)
    return PotentialPlan(x, y, a, b, f, g, epsilon=1.0, marginal_error=0.0)


def blocks() -> BlockPlan:
    # Groups in another order than the cells; source cell 4, target cell 0 and the cells without
    # mass in a part are in none.
    rows = [np.array([9, 0, 7, 2, 11, 5, 1]), np.array([3, 10, 6, 8])]
    columns = [np.array([4, 8, 1, 5, 2]), np.array([7, 3, 6])]
    return BlockPlan((12, 9), [edges(), product()], rows, columns, np.array([3.0, 1.0]))


def product_of(n: int, m: int, seed: int) -> ProductPlan:
    """An independent plan; the first target has no mass."""
    rng = np.random.default_rng(seed)
    a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    b[0] = 0.0
    return ProductPlan(a, b / b.sum(), cost=2.0)


def mixture() -> MixedPlan:
    return MixedPlan([edges(), product_of(7, 5, 4)], [0.4, 0.6], cost=1.6)


def lossy_edges() -> EdgePlan:
    """Rows and columns without mass, and a total below one."""
    return EdgePlan((5, 4), [0, 0, 2, 4], [1, 1, 3, 0], [1.0, 2.0, 3.0, 1e-9], 1.0, total=0.3)


def lossy_mixture() -> MixedPlan:
    """Cells with mass in one of both plans, in both, and in none."""
    few = EdgePlan((5, 4), [1, 1], [0, 3], [1.0, 1.0], 0.0, total=0.2)
    alone = ProductPlan(
        np.array([0.3, 0.0, 0.0, 0.0, 0.0]), np.array([0.3, 0, 0, 0]), 1.0, total=0.3
    )
    return MixedPlan([lossy_edges(), few, alone], [0.5, 1.0, 1.0], cost=0.6)


def growing_product() -> ProductPlan:
    return ProductPlan(np.array([0.5, 0.0, 1.0]), np.array([0.2, 1.3]), cost=1.0, total=1.5)


def relaxed_potential() -> PotentialPlan:
    """Optimality of marginals relaxed by KL with weight tau: f = -tau log(row / a)."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(30, 2)), rng.normal(size=(20, 2)) + 1.0
    x[4] = 1e3  # too far from everything: all of its mass underflows
    a, b = np.full(30, 1 / 30), np.full(20, 1 / 20)
    costs = ((x[:, None] - y) ** 2).sum(axis=2)
    f, g, tau = np.zeros(30), np.zeros(20), 0.5
    with np.errstate(under="ignore", divide="ignore"):
        for _ in range(300):
            f = -tau / (1 + tau) * np.log(np.exp(g - costs) @ b)
            f[4] = 0.0
            g = -tau / (1 + tau) * np.log(np.exp(f[:, None] - costs).T @ a)
    return PotentialPlan(x, y, a, b, f, g, epsilon=1.0, marginal_error=0.0)


def lossy_blocks() -> BlockPlan:
    rows = [np.array([0, 2, 4, 6, 8]), np.array([1, 3, 5])]
    columns = [np.array([5, 4, 3, 2]), np.array([0, 1])]
    parts = [lossy_edges(), growing_product()]
    return BlockPlan((9, 6), parts, rows, columns, np.array([0.5, 0.5]))


BALANCED = [edges, product, potential, blocks, mixture]
UNBALANCED = {
    lossy_edges: 0.3,
    growing_product: 1.5,
    relaxed_potential: None,
    lossy_blocks: 0.5 * 0.3 + 0.5 * 1.5,
    lossy_mixture: 0.5 * 0.3 + 0.2 + 0.3,
}
PLANS = [*BALANCED, *UNBALANCED]


@pytest.mark.parametrize("make", PLANS)
def test_masses_are_sums_of_the_matrix(make) -> None:
    plan = make()
    matrix = dense(plan)
    assert isinstance(plan, Plan)
    assert matrix.shape == plan.shape
    assert plan.total == pytest.approx(matrix.sum(), rel=1e-12)
    np.testing.assert_allclose(plan.row_mass, matrix.sum(axis=1), atol=1e-15)
    np.testing.assert_allclose(plan.col_mass, matrix.sum(axis=0), atol=1e-15)


@pytest.mark.parametrize("make", BALANCED)
def test_balanced_plans_total_one(make) -> None:
    assert make().total == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("make", "total"), UNBALANCED.items())
def test_unbalanced_plans_keep_their_mass(make, total) -> None:
    plan = make()
    assert plan.total == pytest.approx(plan.total if total is None else total)
    assert abs(plan.total - 1.0) > 0.05
    assert (plan.row_mass == 0).any()


@pytest.mark.parametrize("make", PLANS)
@pytest.mark.parametrize("side", ["source", "target"])
def test_barycentre_is_the_conditional_mean(make, side) -> None:
    plan = make()
    matrix = dense(plan) if side == "source" else dense(plan).T
    values = np.random.default_rng(0).normal(size=(matrix.shape[1], 3))
    result = plan.barycentre(values, side=side)
    mass = matrix.sum(axis=1)
    np.testing.assert_allclose(
        result[mass > 0], (matrix @ values)[mass > 0] / mass[mass > 0, None], rtol=1e-9, atol=1e-12
    )
    assert np.isnan(result[mass == 0]).all()
    assert np.isnan(result).any() == (mass == 0).any()


@pytest.mark.parametrize("make", PLANS)
def test_barycentre_keeps_constants_and_the_mean(make) -> None:
    plan = make()
    values = np.random.default_rng(0).normal(size=(plan.shape[1], 2))
    with_mass = plan.row_mass > 0
    np.testing.assert_allclose(
        plan.barycentre(np.ones((plan.shape[1], 1)))[with_mass], 1.0, rtol=1e-12
    )
    mean = plan.row_mass[with_mass] @ plan.barycentre(values)[with_mass]
    np.testing.assert_allclose(mean, plan.col_mass @ values, atol=1e-9)


@pytest.mark.parametrize(
    "make",
    [
        *(edges, product, blocks, mixture, lossy_edges, growing_product),
        *(lossy_blocks, lossy_mixture),
    ],
)
def test_frequencies_of_pairs_are_their_masses(make) -> None:
    plan, n = make(), 200_000
    matrix = dense(plan)
    i, j = plan.sample(n, np.random.default_rng(0))
    counts = np.zeros(plan.shape)
    np.add.at(counts, (i, j), 1)
    assert not counts[matrix == 0].any()
    often = n * matrix / matrix.sum() > 1
    expected = n * matrix[often] / matrix.sum()
    statistic = ((counts[often] - expected) ** 2 / expected).sum()
    assert statistic < stats.chi2(len(expected) - 1).ppf(1 - 1e-6)


@pytest.mark.parametrize("make", [potential, relaxed_potential])
def test_frequencies_of_a_potential_plan(make) -> None:
    plan, n = make(), 200_000
    i, j = plan.sample(n, np.random.default_rng(0))
    rows = np.bincount(i, minlength=plan.shape[0])
    assert not rows[plan.row_mass == 0].any()
    assert not (plan.col_mass[j] == 0).any()
    row_share, col_share = plan.row_mass / plan.total, plan.col_mass / plan.total
    some = plan.row_mass > 0
    expected = n * row_share[some]
    assert ((rows[some] - expected) ** 2 / expected).sum() < stats.chi2(some.sum() - 1).ppf(
        1 - 1e-6
    )
    # Within a row, 64 quantiles stand for the conditional: each target's share is right to one part
    # in 64.
    matrix, counts = dense(plan), np.zeros(plan.shape)
    np.add.at(counts, (i, j), 1)
    heavy = row_share > 0.02
    share = counts[heavy] / rows[heavy, None]
    assert np.abs(share - matrix[heavy] / plan.row_mass[heavy, None]).max() < 1 / 64 + 0.02
    # Offsets differ between rows, so that columns come out better than any row does.
    assert np.abs(np.bincount(j, minlength=plan.shape[1]) / n - col_share).max() < 0.006


@pytest.mark.parametrize("make", PLANS)
def test_draws_are_repeatable_and_cost_nothing_at_zero(make) -> None:
    plan = make()
    first, again = (plan.sample(50, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert [len(part) for part in plan.sample(0, np.random.default_rng(0))] == [0, 0]


def test_cost_of_a_potential_plan_is_its_mean_cost() -> None:
    plan = potential()
    costs = ((plan.x[:, None] - plan.y) ** 2).sum(axis=2)
    np.testing.assert_allclose(
        plan.cost, (dense(plan) * costs).sum() / dense(plan).sum(), rtol=1e-12
    )


def test_tiles_do_not_change_a_potential_plan(monkeypatch) -> None:
    whole = dense(potential())
    monkeypatch.setattr("cellflow.core.plans.potentials._TILE", 64)
    np.testing.assert_allclose(dense(potential()), whole, rtol=1e-12)


@pytest.mark.parametrize(
    "mass",
    [
        np.ones(10),
        np.arange(10.0),
        np.r_[1e-9, 1.0, 0.0, 1e9],
        np.array([3.0]),
        np.random.default_rng(0).pareto(0.5, 300),
    ],
    ids=["uniform", "linear", "extreme", "single", "heavy tail"],
)
def test_alias_table_has_the_right_probabilities(mass) -> None:
    table = AliasTable(mass)
    n = len(mass)
    implied = np.bincount(np.arange(n), table._probability, n) + np.bincount(
        table._alias, 1 - table._probability, n
    )
    np.testing.assert_allclose(implied / n, mass / mass.sum(), atol=1e-12)
    drawn = np.bincount(table.draw(20_000, np.random.default_rng(0)), minlength=n)
    assert not drawn[mass == 0].any()


def test_a_plan_without_mass_is_refused() -> None:
    with pytest.raises(CouplingError, match="plan has mass 0"):
        AliasTable(np.zeros(3))
    for mass in ([], [0.0], [np.nan], [-1.0, 2.0]):
        with pytest.raises(CouplingError, match="no plan"):
            EdgePlan((2, 2), np.arange(len(mass)), np.arange(len(mass)), np.array(mass), cost=0.0)
    for total in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(CouplingError, match="no plan"):
            EdgePlan((2, 2), [0], [0], [1.0], cost=0.0, total=total)


def test_a_plan_of_blocks_keeps_to_its_groups() -> None:
    plan = blocks()
    i, j = plan.sample(2_000, np.random.default_rng(0))
    for rows, columns, share in zip(plan.rows, plan.columns, [0.75, 0.25], strict=True):
        np.testing.assert_array_equal(np.isin(i, rows), np.isin(j, columns))
        assert plan.row_mass[rows].sum() == pytest.approx(share)
    assert plan.row_mass[4] == plan.col_mass[0] == 0


def test_cost_and_gap_of_blocks_are_bounds_on_the_whole() -> None:
    def edge(cost: float, gap: float | None) -> EdgePlan:
        return EdgePlan((1, 1), np.array([0]), np.array([0]), np.array([1.0]), cost=cost, gap=gap)

    def joined(*parts: EdgePlan) -> BlockPlan:
        each = [np.array([k]) for k in range(len(parts))]
        return BlockPlan(
            (len(parts), len(parts)), parts, each, each, np.array([1.0, 3.0])[: len(parts)]
        )

    plan = joined(edge(4.0, 0.5), edge(2.0, 0.1))
    assert plan.cost == pytest.approx(0.25 * 4.0 + 0.75 * 2.0)
    optimum = 0.25 * 4.0 * (1 - 0.5) + 0.75 * 2.0 * (1 - 0.1)
    assert plan.gap == pytest.approx((plan.cost - optimum) / plan.cost)
    assert joined(edge(4.0, 0.5), edge(2.0, None)).gap is None
    assert joined(edge(0.0, 0.0)).gap == 0.0


@pytest.mark.parametrize(
    ("rows", "shares", "message"),
    [
        ([[0, 1], [1]], [1.0, 1.0], "source cell is in two groups"),
        ([[0, 1], [2, 3]], [1.0, 1.0], "are no plan"),
        ([[0, 1], [2]], [1.0, -1.0], "are no plan"),
        ([[0, 1], [2]], [0.0, 0.0], "are no plan"),
    ],
)
def test_blocks_that_make_no_plan_are_refused(rows, shares, message) -> None:
    uniform = [
        ProductPlan(np.full(2, 0.5), np.ones(1), cost=1.0),
        ProductPlan(np.ones(1), np.ones(1), cost=1.0),
    ]
    with pytest.raises(CouplingError, match=message):
        BlockPlan(
            (4, 2),
            uniform,
            list(map(np.array, rows)),
            [np.array([0]), np.array([1])],
            np.array(shares),
        )


def test_a_potential_plan_is_the_same_in_single_precision(monkeypatch) -> None:
    exact = relaxed_potential()
    keep = np.delete(np.arange(30), 4)  # a far cell would be too inaccurate
    parts = {"x": exact.x[keep], "a": exact.a[keep], "f": exact.f[keep]}
    exact = replace(exact, **parts)
    single = replace(exact, **parts)
    exact_mean = exact.barycentre(exact.y)
    assert exact.row_mass.sum() > 0
    monkeypatch.setattr("cellflow.core._kernel._LARGE", 0)
    monkeypatch.setattr("cellflow.core._kernel._TILE", 64)
    np.testing.assert_allclose(single.row_mass, exact.row_mass, rtol=1e-4)
    np.testing.assert_allclose(single.col_mass, exact.col_mass, rtol=1e-4)
    assert single.cost == pytest.approx(exact.cost, rel=1e-5)
    np.testing.assert_allclose(single.barycentre(exact.y), exact_mean, atol=1e-5)
    assert (single.row_mass != exact.row_mass).any()


@pytest.mark.parametrize("m", [1, 31, 32, 33, 64, 200])
def test_quantiles_are_those_of_the_cumulative_mass(m) -> None:
    rng = np.random.default_rng(m)
    mass = rng.gamma(0.3, size=(7, m)) + 1e-9
    places = rng.random((7, 40))
    sums, columns = quantiles(mass, places)
    np.testing.assert_allclose(sums, mass.sum(axis=1))
    for row in range(7):
        ends = np.cumsum(mass[row])
        np.testing.assert_array_equal(
            columns[row], np.searchsorted(ends, places[row] * ends[-1], side="right")
        )


def test_a_sum_of_edges_is_edges() -> None:
    parts = [edges(), EdgePlan((7, 5), [3], [4], [1.0], cost=3.0, total=0.5)]
    joined = mixed(parts, [0.5, 1.0], cost=2.0, gap=0.1)
    assert isinstance(joined, EdgePlan)
    np.testing.assert_allclose(dense(joined), 0.5 * dense(parts[0]) + dense(parts[1]), atol=1e-15)
    assert (joined.cost, joined.gap) == (2.0, 0.1)
    assert joined.total == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("plans", "shares"),
    [
        ([edges(), product()], [0.5, 0.5]),
        ([mixture(), mixture()], [1.0]),
        ([mixture()], [0.0]),
        ([mixture()], [np.nan]),
        ([], []),
    ],
)
def test_what_has_no_sum_is_refused(plans, shares) -> None:
    with pytest.raises(CouplingError, match="have no sum"):
        MixedPlan(plans, shares, cost=1.0)
