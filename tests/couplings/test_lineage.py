"""Couplings informed by shared barcodes: marginals, clones, crossing streams, wrong barcodes."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from cellflow.recipes import fm, ot_cfm, sb_cfm, uot_cfm

from cellflow.core.plans import EdgePlan, MixedPlan, log_factors
from cellflow.core.population import Population, Snapshots
from cellflow.couplings import (
    Auto,
    Entropic,
    Exact,
    Independent,
    Lineage,
    Minibatch,
    Sparse,
    Unbalanced,
)
from cellflow.errors import InputError, InputTypeError
from cellflow.model.description import coupling_from, describe, from_description
from cellflow.model.solving import solve_plans

INNER = {
    "Auto": Auto(),
    "Entropic": Entropic(sigma=0.5),
    "Exact": Exact(),
    "Independent": Independent(),
    "Minibatch": Minibatch(batch_size=64, n_batches=50),
    "Sparse": Sparse(tol=1e-4),
    "Unbalanced": Unbalanced(0.3),
}
BALANCED = sorted(set(INNER) - {"Minibatch", "Unbalanced"})


def barcodes(label, k):
    """One clone a cell, -1 for none, as cells by clones."""
    known = np.flatnonzero(label >= 0)
    ones = np.ones(len(known))
    return sp.csr_matrix((ones, (known, label[known])), shape=(len(label), k))


def clouds(*, n=60, m=50, k=15, weights=False, seed=0):
    """Two clouds with barcodes that say nothing."""
    rng = np.random.default_rng(seed)
    a, b = (rng.gamma(1.0, size=size) if weights else None for size in (n, m))
    if weights:
        a[: n // 4] = 0.0
    source, target = (barcodes(rng.integers(-k, k, size=size), k) for size in (n, m))
    return (
        Population(rng.normal(size=(n, 3)), 0.0, a, lineage=source),
        Population(rng.normal(size=(m, 3)) + 1.0, 1.0, b, lineage=target),
    )


def streams(*, n=160, k=20, wrong=0.0, seed=0):
    """Two streams that cross; the first cells have barcodes, `k` clones of equal size."""
    rng = np.random.default_rng(seed)
    side = np.where(np.arange(n) % 2 == 0, -2.0, 2.0)
    label = np.where(np.arange(n) < n // 2, np.arange(n) % k, -1)
    x, y = (np.stack([s * side, np.zeros(n)], 1) + 0.4 * rng.normal(size=(n, 2)) for s in (1, -1))
    later = label.copy()
    mixed_up = np.flatnonzero((label >= 0) & (rng.random(n) < wrong))
    later[mixed_up] = rng.integers(k, size=len(mixed_up))
    source = Population(x, 0.0, lineage=barcodes(label, k))
    return source, Population(y, 1.0, lineage=barcodes(later, k)), side


def dense(plan):
    return plan.barycentre(np.eye(plan.shape[1])) * plan.row_mass[:, None]


def shared(source, target):
    return (source.lineage @ target.lineage.T).toarray() > 0


@pytest.mark.parametrize("weights", [False, True], ids=["uniform", "weighted"])
@pytest.mark.parametrize("name", BALANCED)
def test_marginals_are_kept(name, weights):
    source, target = clouds(weights=weights)
    plan = Lineage(INNER[name])(source, target)
    tolerance = 2e-4 if name == "Entropic" else 1e-10
    np.testing.assert_allclose(plan.row_mass, source.weight, atol=tolerance)
    np.testing.assert_allclose(plan.col_mass, target.weight, atol=tolerance)


@pytest.mark.parametrize("name", INNER)
def test_the_cost_is_that_of_the_positions(name):
    source, target = clouds(weights=True)
    plan = Lineage(INNER[name])(source, target)
    squares = ((source.x[:, None] - target.x) ** 2).sum(axis=2)
    alive = source.weight > 0
    matrix = dense(plan)[alive]
    assert plan.cost == pytest.approx((matrix * squares[alive]).sum() / plan.total, rel=1e-6)
    assert plan.total == pytest.approx(matrix.sum())


@pytest.mark.parametrize("name", INNER)
def test_clones_keep_the_mass_that_they_have_at_both_ends(name):
    source, target = clouds()
    plan, found = Lineage(INNER[name], strength=np.inf).explained(source, target)
    early = source.weight @ source.lineage
    late = target.weight @ target.lineage
    own = np.minimum(early, late)
    if name == "Unbalanced":
        both = own > 0
        masses = np.array([early[both].sum(), late[both].sum()])
        own = np.sqrt(early * late) * masses.min() / np.sqrt(masses.prod())
    assert found.n_clones == (own > 0).sum() > 5
    assert found.inside == pytest.approx(own.sum())
    inside = dense(plan)[shared(source, target)].sum()
    assert inside >= own.sum() - 1e-9
    plain = dense(INNER[name](source, target))[shared(source, target)].sum()
    assert inside > plain + 0.1


@pytest.mark.parametrize("barcoded", [1.0, 0.6])
def test_a_clone_that_grows_keeps_to_itself_and_grows(barcoded):
    """Clone A triples, B does not, far apart; of the later cells some have no barcode."""
    rng = np.random.default_rng(0)
    kinds = [np.repeat([0, 1], [50, 50]), np.repeat([0, 1], [150, 50])]
    ends = []
    for t, kind in enumerate(kinds):
        x = np.column_stack([6.0 * kind, 0.3 * rng.normal(size=len(kind))])
        known = np.where(rng.random(len(kind)) < (barcoded if t else 1.0), kind, -1)
        ends.append(Population(x, float(t), lineage=barcodes(known, 2)))
    plan = Lineage(Unbalanced(0.3))(*ends)
    assert dense(plan)[kinds[0] == 1][:, kinds[1] == 0].sum() < 0.02
    early, late = log_factors(plan, *ends)
    factor = [np.exp(late[kinds[1] == k].mean() - early[kinds[0] == k].mean()) for k in (0, 1)]
    np.testing.assert_allclose(factor, [0.75 / 0.5, 0.25 / 0.5], rtol=0.15)


def test_without_shared_clones_the_plan_is_the_inner_one():
    source, target = clouds()
    plain = dense(Exact()(source, target))
    alone = barcodes(np.arange(50) + 60, 110)
    for lineage in (None, sp.csr_matrix((50, 110)), alone):
        early = replace(source, lineage=barcodes(np.arange(60), 110))
        plan, found = Lineage(Exact()).explained(early, replace(target, lineage=lineage))
        np.testing.assert_array_equal(dense(plan), plain)
        assert found == (0, 0.0, 0)


def test_populations_of_other_clones_are_refused():
    source, target = clouds()
    with pytest.raises(InputError, match="15 and 16 clones"):
        Lineage()(source, replace(target, lineage=sp.csr_matrix(np.ones((50, 16)))))


def test_a_population_of_complete_clones_needs_no_inner_plan():
    source, _ = clouds()
    own = barcodes(np.arange(60), 60)
    moved = Population(source.x + 1.0, 1.0, lineage=own[::-1])
    plan = Lineage(strength=np.inf)(replace(source, lineage=own), moved)
    assert isinstance(plan, EdgePlan)
    np.testing.assert_array_equal(plan.j[np.argsort(plan.i)], np.arange(60)[::-1])


def test_cells_without_a_barcode_follow_the_clones_around_them():
    source, target, side = streams()
    blind = source.lineage.getnnz(axis=1) == 0
    for coupling, follows in ((Exact(), 0.0), (Lineage(Exact()), 1.0)):
        arrived = np.sign(coupling(source, target).barycentre(target.x)[:, 0])
        assert (arrived == -np.sign(side))[blind].mean() == pytest.approx(follows, abs=0.02)


def test_without_neighbours_cells_without_a_barcode_stay():
    source, target, side = streams()
    blind = source.lineage.getnnz(axis=1) == 0
    coupling = Lineage(Exact(), strength=np.inf, n_neighbors=0)
    arrived = coupling(source, target).barycentre(target.x)[:, 0]
    assert (np.sign(arrived) == np.sign(side))[blind].mean() > 0.95
    assert (np.sign(arrived) == -np.sign(side))[~blind].mean() > 0.95


def test_where_all_clones_move_alike_no_cell_is_led():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    lineage = barcodes(np.where(np.arange(200) < 120, np.arange(200), -1), 200)
    source = Population(x, 0.0, lineage=lineage)
    target = Population(x + 5.0 + 0.5 * rng.normal(size=(200, 3)), 1.0, lineage=lineage)
    plan, found = Lineage(Exact(), strength=np.inf).explained(source, target)
    assert found.n_neighbors == found.n_clones == 120
    alone = Lineage(Exact(), strength=np.inf, n_neighbors=0)(source, target)
    np.testing.assert_allclose(dense(plan), dense(alone), atol=1e-15)


def test_barcodes_that_are_shared_by_chance_are_given_up():
    source, target, side = streams(wrong=0.4, n=400, k=50)
    right = np.sign(side)[:, None] == np.sign(side)[None, :]
    mates = shared(source, target)
    found = [
        dense(Lineage(Exact(), strength=strength)(source, target))
        for strength in (0.5, 1.0, np.inf)
    ]
    wrong = [matrix[mates & ~right].sum() for matrix in found]
    assert wrong[0] < 0.1 * wrong[2]
    assert wrong[1] < 0.5 * wrong[2]
    kept = [matrix[mates & right].sum() for matrix in found]
    np.testing.assert_allclose(kept, kept[2], rtol=0.03)


def test_a_smaller_strength_trusts_fewer_pairs():
    source, target = clouds(n=200, m=180, k=40)
    inside = [
        Lineage(strength=s).explained(source, target)[1].inside for s in (1e-6, 0.3, 1, np.inf)
    ]
    assert inside[0] < 0.01
    assert (np.diff(inside) > 0).all()


def test_scale_and_place_do_not_matter():
    source, target, _ = streams(wrong=0.2)
    plan, found = Lineage().explained(source, target)
    for scale, shift in ((1e-4, 0.0), (1e3, 0.0), (1.0, 1e4)):
        moved = [replace(p, x=scale * p.x + shift) for p in (source, target)]
        other, again = Lineage().explained(*moved)
        assert again == pytest.approx(found)
        assert other.cost == pytest.approx(scale**2 * plan.cost, rel=1e-6)


def test_the_order_of_cells_does_not_matter():
    source, target, _ = streams(wrong=0.2)
    order = np.random.default_rng(1).permutation(len(source))
    plan, other = Lineage()(source, target), Lineage()(source.part(order), target)
    np.testing.assert_allclose(dense(other), dense(plan)[order], atol=1e-12)


def test_the_gap_is_zero_for_exact_parts_and_small_for_sparse_ones():
    source, target = clouds(n=900, m=700, k=60)
    assert Lineage(Exact())(source, target).gap == 0.0
    assert 0 <= Lineage(Sparse(tol=1e-3))(source, target).gap <= 1e-3
    assert Lineage(Entropic(sigma=1.0))(source, target).gap is None
    assert 0 < Lineage(Unbalanced())(source, target).gap <= 1e-4


def test_relaxed_marginals_stay_relaxed_outside_of_clones():
    """A type far from all sources gets less mass, unless clones say that it descends from them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 2))
    y = rng.normal(size=(100, 2))
    y[50:] += 30.0
    none = np.full(100, -1)
    source = Population(x, 0.0, lineage=barcodes(np.where(np.arange(100) < 5, 0, none), 1))
    target = Population(y, 1.0, lineage=barcodes(np.where(np.arange(100) < 5, 0, none), 1))
    plan = Lineage(Unbalanced(0.1))(source, target)
    assert isinstance(plan, MixedPlan)
    assert plan.total < 0.8
    assert plan.col_mass[50:].sum() < 0.05 * plan.total
    np.testing.assert_allclose(plan.col_mass[:5] >= 0.01 - 1e-12, True)


def test_pairs_are_drawn_by_mass():
    source, target = clouds(n=30, m=20, k=8)
    plan = Lineage(Unbalanced())(source, target)
    i, j = plan.sample(200_000, np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(i) / 200_000, plan.row_mass / plan.total, atol=0.005)
    np.testing.assert_allclose(np.bincount(j) / 200_000, plan.col_mass / plan.total, atol=0.01)


@pytest.mark.parametrize("size", ["batches", "blocks"])
def test_a_batch_and_a_condition_keep_their_clones(size):
    source, target = clouds(n=400, m=400, k=20)
    if size == "batches":
        coupling = Minibatch(Lineage(Exact(), strength=np.inf), batch_size=200, n_batches=40)
        plain = Minibatch(Exact(), batch_size=200, n_batches=40)
        plans = [c(source, target) for c in (plain, coupling)]
    else:
        kind = np.eye(2)[np.arange(400) % 2]
        ends = [replace(p, context=kind) for p in (source, target)]
        plans = [solve_plans(Snapshots(tuple(ends)), c)[0][0] for c in (Exact(), Lineage(Exact()))]
        assert all((dense(plan)[::2, 1::2] == 0).all() for plan in plans)
    inside = [np.nan_to_num(dense(plan))[shared(source, target)].sum() for plan in plans]
    assert inside[1] > inside[0] + 0.1


def test_the_record_of_a_plan_names_the_solver_and_the_clones():
    source, target = clouds()
    plan, summary = (
        found[key]
        for found, key in zip(
            solve_plans(Snapshots((source, target)), Lineage()), (0, "0.0_to_1.0"), strict=True
        )
    )
    assert summary["coupling"]["type"] == "Lineage"
    assert summary["coupling"]["coupling"]["type"] == "Exact"
    assert "dense solver" in summary["reason"]
    assert summary["clonal"]["inside"] == Lineage(Exact()).explained(source, target)[1].inside
    assert isinstance(plan, EdgePlan)


@pytest.mark.parametrize("name", INNER)
def test_descriptions_come_back(name):
    recipe = ot_cfm(coupling=INNER[name]).with_lineage(0.3)
    assert recipe.coupling == Lineage(INNER[name], strength=0.3)
    assert from_description(describe(recipe)) == recipe
    assert coupling_from(describe(recipe)) == recipe.coupling


def test_a_nested_sigma_is_resolved():
    source, target = clouds()
    clock = Snapshots((source, target)).clock
    resolved = sb_cfm().with_lineage().resolved(clock)
    assert resolved.coupling == Lineage(Entropic(sigma=clock.sigma))
    inner = ot_cfm(coupling=Minibatch(Entropic())).resolved(clock).coupling.inner
    assert inner == Entropic(sigma=clock.sigma)


def test_barcodes_and_growth_can_be_combined():
    both = ot_cfm().with_lineage(0.5).with_growth(Unbalanced(0.3))
    assert both.coupling == Lineage(Unbalanced(0.3), strength=0.5)
    assert both.grows
    assert ot_cfm().with_growth(Unbalanced(0.3)).with_lineage(0.5).coupling == both.coupling
    assert uot_cfm().with_lineage(0.5).with_lineage(2.0).coupling == Lineage(
        Unbalanced(), strength=2.0
    )


def test_what_cannot_be_informed_is_refused():
    with pytest.raises(InputError, match="couples nothing"):
        fm().with_lineage()
    with pytest.raises(InputError, match="Lineage itself"):
        Lineage(Lineage())
    with pytest.raises(InputTypeError, match="no coupling"):
        Lineage(Exact)
    for strength in (0.0, -1.0, np.nan, "large"):
        with pytest.raises(InputError):
            Lineage(strength=strength)
    for n_neighbors in (-1, 1.5, "all"):
        with pytest.raises(InputError):
            Lineage(n_neighbors=n_neighbors)
