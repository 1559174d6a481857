"""Held-out clones: folds, measures, predictions and their intervals, on arrays."""

import numpy as np
import pytest
import scipy.sparse as sp

from cellflow.core.plans import EdgePlan, ProductPlan
from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Entropic, Exact, Lineage
from cellflow.errors import InputError
from cellflow.evaluation.assumptions import Assumption
from cellflow.evaluation.clones.cells import ClonalCells, folds_of
from cellflow.evaluation.clones.choice import choose_strength
from cellflow.evaluation.clones.fates import (
    clones_of_neighbours,
    majority,
    nearest_labels,
    of_neighbours,
    plan_fates,
)
from cellflow.evaluation.clones.halves import halves, with_halves
from cellflow.evaluation.clones.measures import (
    MEASURES,
    Truth,
    accuracy,
    auroc,
    brier,
    calibrated_brier,
    correlation,
    draws,
    shrunk,
)
from cellflow.evaluation.clones.plans import chance, precision, shared_of
from cellflow.evaluation.clones.run import Folds, Setting, predicted, prepared
from cellflow.evaluation.clones.scores import Method, Scorer
from cellflow.model.recipes import ot_cfm

NAMES = ("left", "right")
#: Measures of a perfect prediction.
PERFECT = {"accuracy": 1, "brier": 0, "brier_calibrated": 0, "r": 1, "auroc": 1}


def clones_of(codes, n_clones):
    """Cells by clones, of the number of each cell's clone; -1 for none."""
    rows = np.flatnonzero(np.asarray(codes) >= 0)
    ones = np.ones(len(rows))
    return sp.csr_matrix((ones, (rows, np.asarray(codes)[rows])), shape=(len(codes), n_clones))


def arms(n_clones=12, per_time=3, times=(0.0, 1.0, 3.0), seed=0):
    """Clones that end on the left (even numbers) or right (odd), and lie there at all times."""
    rng = np.random.default_rng(seed)
    clone = np.repeat(np.arange(n_clones), per_time)
    side = np.where(clone % 2, 1.0, -1.0)
    populations = []
    for t in times:
        x = np.stack([side * (1.0 + t), np.full(len(clone), t)], axis=1)
        x += 0.05 * rng.normal(size=x.shape)
        populations.append(Population(x, t, lineage=clones_of(clone, n_clones)))
    return ClonalCells(Snapshots(tuple(populations)), (clone % 2).astype(int), NAMES)


def solved(cells, coupling=None):
    return [(coupling or Exact())(a, b) for a, b in cells.snapshots.intervals]


# Folds --------------------------------------------------------------------------------------------


def test_every_clone_is_in_one_fold_and_folds_are_even():
    cells = arms(13)
    fold = folds_of(cells, 4, np.random.default_rng(0))
    assert sorted(np.bincount(fold).tolist()) == [3, 3, 3, 4]
    np.testing.assert_array_equal(fold, folds_of(cells, 4, np.random.default_rng(0)))
    assert (fold != folds_of(cells, 4, np.random.default_rng(1))).any()


def test_clones_that_share_a_cell_are_hidden_together():
    cells = arms(12)
    first = cells.snapshots[0]
    linked = first.lineage.tolil()
    linked[0, 5] = 1  # a cell of clone 0 has the barcode of clone 5 too
    linked[3, 5] = 1  # and one of clone 1
    chained = Population(first.x, first.time, lineage=sp.csr_matrix(linked))
    joined = ClonalCells(
        Snapshots((chained, *cells.snapshots.populations[1:])), cells.label, cells.names
    )
    unit = joined.unit
    assert unit[0] == unit[1] == unit[5]
    assert len(np.unique(unit)) == 10
    for seed in range(20):
        fold = folds_of(joined, 5, np.random.default_rng(seed))
        assert fold[0] == fold[1] == fold[5]


def test_the_seen_clones_are_the_only_ones_that_inform():
    cells = arms(6)
    seen = np.array([True, False, True, True, False, True])
    snapshots = cells.informed(seen)
    for before, after in zip(cells.snapshots.populations, snapshots.populations, strict=True):
        np.testing.assert_array_equal(
            after.lineage.toarray(), before.lineage.toarray()[:, seen]
        )  # fmt: skip
        hidden = before.lineage.toarray()[:, ~seen].any(axis=1)
        assert after.lineage.getnnz(axis=1)[hidden].sum() == 0
    early = cells.informed(seen, until=1.0)
    assert [p.lineage.nnz for p in early.populations] == [12, 12, 0]
    assert all(p.lineage is None for p in cells.uninformed.populations)


def test_observations_are_early_cells_whose_clone_has_a_label_at_the_end():
    cells = arms(4)
    label = cells.label.copy()
    label[:3] = -1  # clone 0 has no label
    there = ClonalCells(cells.snapshots, label, NAMES).observations
    assert set(there.clone) == {1, 2, 3}
    assert set(there.time) == {0.0, 1.0}
    assert len(there) == 18
    np.testing.assert_array_equal(there.cell[:9], np.arange(3, 12))


def test_clones_that_cannot_be_split_are_refused():
    cells = arms(3)
    with pytest.raises(InputError, match=r"3 clones .* n_splits=4 folds"):
        folds_of(cells, 4, np.random.default_rng(0))
    first = cells.snapshots[0]
    alone = [
        Population(p.x, p.time, lineage=clones_of(np.arange(len(p)) + 9 * k, 27))
        for k, p in enumerate(cells.snapshots.populations)
    ]
    apart = ClonalCells(Snapshots(tuple(alone)), cells.label, NAMES)
    with pytest.raises(InputError, match="No clone has a cell before time 3"):
        folds_of(apart, 2, np.random.default_rng(0))
    with pytest.raises(InputError, match="at least two, because one fate alone"):
        ClonalCells(cells.snapshots, np.zeros(9, dtype=int), NAMES)
    bare = Snapshots((*cells.snapshots.populations, Population(first.x, 5.0)))
    with pytest.raises(InputError, match="not all of them with clones"):
        ClonalCells(bare, cells.label, NAMES)


# Measures -----------------------------------------------------------------------------------------


@pytest.fixture
def scored():
    rng = np.random.default_rng(3)
    counts = rng.integers(0, 4, size=(60, 3)) + np.array([0, 0, 1])
    found = rng.dirichlet(np.ones(3), size=60)
    return found, Truth(counts.astype(float), (0, 1), np.array([0.3, 0.3, 0.4]), np.arange(60) % 4)


def test_measures_are_the_usual_ones(scored):
    found, truth = scored
    ones = np.ones((1, 60))
    share = found[:, 0] / found[:, :2].sum(axis=1)
    known = truth.counts[:, :2].sum(axis=1) > 0
    bias = truth.counts[known, 0] / truth.counts[known, :2].sum(axis=1)
    expected = np.corrcoef(share[known], bias)[0, 1]
    assert correlation(found, truth, ones)[0] == pytest.approx(expected)
    above = share[known][bias > 0.5][:, None]
    below = share[known][bias < 0.5]
    assert auroc(found, truth, ones)[0] == pytest.approx((above > below).mean())
    right = [
        truth.counts[i, found[i].argmax()] == truth.counts[i].max() for i in range(60)
    ]  # fmt: skip
    assert accuracy(found, truth, ones)[0] == pytest.approx(np.mean(right))
    parts = truth.counts / truth.counts.sum(axis=1, keepdims=True)
    assert brier(found, truth, ones)[0] == pytest.approx(((found - parts) ** 2).sum(1).mean())


@pytest.mark.parametrize("name", sorted(set(MEASURES) - {"brier_calibrated"}))
def test_a_weight_of_two_is_a_cell_twice(scored, name):
    found, truth = scored
    measure = MEASURES[name].value
    weight = np.random.default_rng(1).integers(0, 3, size=(4, 60))
    values = measure(found, truth, weight.astype(float))
    for w, value in zip(weight, values, strict=True):
        rows = np.repeat(np.arange(60), w)
        again = measure(found[rows], truth.part(rows), np.ones((1, len(rows))))[0]
        assert value == pytest.approx(again)


def test_what_cannot_be_measured_is_nan_and_ties_count_half(scored):
    found, truth = scored
    same = np.tile([0.2, 0.3, 0.5], (60, 1))
    ones = np.ones((1, 60))
    assert np.isnan(correlation(same, truth, ones)[0])
    assert auroc(same, truth, ones)[0] == 0.5
    none = np.zeros((1, 60))
    assert all(np.isnan(m.value(found, truth, none)[0]) for m in MEASURES.values())
    neither = Truth(np.array([[0.0, 0.0, 2.0]]), (0, 1), truth.common, truth.fold[:1])
    assert np.isnan(correlation(found[:1], neither, ones[:, :1])[0])
    assert np.isnan(auroc(found[:1], neither, ones[:, :1])[0])


def test_a_perfect_prediction_is_perfect(scored):
    _, truth = scored
    ones = np.ones((1, 60))
    values = {name: m.value(truth.shares, truth, ones)[0] for name, m in MEASURES.items()}
    assert values == pytest.approx(PERFECT)


def test_shares_are_as_undecided_as_suits_other_folds(scored):
    """The best mixture of the other folds, and nothing of the own fold."""
    found, truth = scored
    made = shrunk(found, truth)
    others = truth.fold != 2
    scores = []
    mixed = np.linspace(0, 1, 2001)
    for share in mixed:
        p = (1 - share) * found[others] + share * truth.common
        scores.append(((p - truth.shares[others]) ** 2).sum())
    best = mixed[np.argmin(scores)]
    assert 0.1 < best < 1
    here = ~others
    expected = (1 - best) * found[here] + best * truth.common
    np.testing.assert_allclose(made[here], expected, atol=1e-3)
    counts = truth.counts.copy()
    counts[here] = counts[here][::-1] + 1
    other = Truth(counts, truth.pair, truth.common, truth.fold)
    np.testing.assert_array_equal(shrunk(found, other)[here], made[here])


def test_predictions_that_differ_in_how_decided_they_are_have_one_calibrated_score(scored):
    found, truth = scored
    ones = np.ones((1, 60))
    softer = 0.4 * found + 0.6 * truth.common
    values = [calibrated_brier(p, truth, ones)[0] for p in (found, softer)]
    assert values[0] == pytest.approx(values[1])
    assert values[0] < brier(found, truth, ones)[0]


# Predictions --------------------------------------------------------------------------------------


def test_chained_plans_multiply():
    """Of three snapshots with one cell each way, shares are products of shares of plans."""
    lineage = clones_of([0, 1], 2)
    x = np.array([[0.0], [1.0]])
    snapshots = Snapshots(tuple(Population(x, t, lineage=lineage) for t in (0.0, 1.0, 2.0)))
    cells = ClonalCells(snapshots, np.array([0, 1]), NAMES)
    plan = EdgePlan((2, 2), [0, 0, 1, 1], [0, 1, 0, 1], [0.4, 0.1, 0.1, 0.4], cost=0.0)
    step = np.array([[0.8, 0.2], [0.2, 0.8]])
    found = plan_fates(cells, [plan, plan])
    np.testing.assert_allclose(found, np.concatenate([step @ step, step, np.eye(2)]))


def test_a_relaxed_plan_gives_the_later_snapshot_its_own_weights():
    """The descendants of all cells together are the cells of the last time, whatever the plan."""
    lineage = clones_of([0, 1, 1], 2)
    x = np.array([[0.0], [1.0], [2.0]])
    weight = np.array([0.5, 0.2, 0.3])
    snapshots = Snapshots(
        tuple(Population(x, t, weight, lineage=lineage) for t in (0.0, 1.0))
    )  # fmt: skip
    cells = ClonalCells(snapshots, np.array([0, 1, 0]), NAMES)
    mass = np.random.default_rng(0).uniform(0.1, 1, size=9)
    ends = np.repeat(np.arange(3), 3), np.tile(np.arange(3), 3)
    plan = EdgePlan((3, 3), *ends, mass, cost=0.0, total=0.7)
    matrix = np.zeros((3, 3))
    matrix[ends] = plan.mass
    descendants = matrix * (weight / plan.col_mass) @ cells.members / weight[:, None]
    np.testing.assert_allclose(weight @ descendants, [0.8, 0.2])
    expected = descendants / descendants.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(plan_fates(cells, [plan])[:3], expected)


@pytest.mark.parametrize("coupling", [Exact(), Entropic(epsilon=0.05)])
def test_plans_and_neighbours_find_the_arm(coupling):
    cells = arms()
    truth = cells.counts[cells.observations.clone] / 3
    rows = cells.observations.cell
    plans = plan_fates(cells, solved(cells, coupling))
    np.testing.assert_allclose(plans[rows], truth, atol=1e-6)
    np.testing.assert_allclose(of_neighbours(plans, cells.snapshots, 5)[rows], truth, atol=1e-6)
    np.testing.assert_allclose(nearest_labels(cells)[rows], truth)
    seen = np.arange(12) < 10
    np.testing.assert_allclose(clones_of_neighbours(cells, seen)[rows], truth)
    np.testing.assert_allclose(majority(cells), np.full((108, 2), 0.5))


def test_cells_without_labels_give_no_vote():
    cells = arms()
    label = cells.label.copy()
    label[::3] = -1
    some = ClonalCells(cells.snapshots, label, NAMES)
    for found in (nearest_labels(some), plan_fates(some, solved(some))):
        np.testing.assert_allclose(found.sum(axis=1), 1)
    assert nearest_labels(some, 1)[0].tolist() == [1, 0]


def test_hidden_clones_give_no_vote():
    """Their cells may become anything without a change of what neighbours' clones say."""
    cells = arms(12)
    seen = np.arange(12) % 3 > 0
    label = cells.label.copy()
    clone = np.repeat(np.arange(12), 3)
    label[~seen[clone]] = 1 - label[~seen[clone]]
    other = ClonalCells(cells.snapshots, label, NAMES)
    np.testing.assert_array_equal(
        clones_of_neighbours(cells, seen), clones_of_neighbours(other, seen)
    )
    none = clones_of_neighbours(cells, np.zeros(12, dtype=bool))
    np.testing.assert_array_equal(none, majority(cells))


def test_a_clone_that_is_scored_is_not_seen():
    """Exchanged barcodes of hidden clones at the last time change no prediction for their cells,
    and no choice of a strength, though those of seen clones do.
    """
    cells = arms(12, times=(0.0, 1.0))
    folds = Folds(cells, np.arange(12) % 3)
    setting = Setting(ot_cfm(), "none", (np.inf, 0.3), None, network=False, n_neighbors=3, seed=0)
    rng = np.random.default_rng
    before = predicted(folds, prepared(cells, setting), "ot", rng(0))
    last = cells.snapshots[-1]
    clone = np.repeat(np.arange(12), 3)
    hidden = np.flatnonzero(folds.fold == 1)
    exchanged = clone.copy()
    for one, other in zip(hidden, np.roll(hidden, 1), strict=True):
        exchanged[clone == one] = other
    other = Population(last.x, last.time, lineage=clones_of(exchanged, 12))
    changed = ClonalCells(Snapshots((cells.snapshots[0], other)), cells.label, NAMES)
    again = Folds(changed, folds.fold)
    after = predicted(again, prepared(changed, setting), "ot", rng(0))
    rows = folds.hidden(1)
    assert before.strengths[1] == after.strengths[1]
    moved = []
    for method, shares in before.shares.items():
        np.testing.assert_array_equal(shares[rows], after.shares[method][rows])
        if method.informed:
            moved.append(np.abs(shares - after.shares[method]).max())
    assert max(moved) > 0.01


@pytest.mark.parametrize("strengths", [(1e-6, np.inf), (np.inf, 1e-6)])
def test_strength_is_chosen_on_seen_clones(strengths):
    """Where barcodes contradict positions, trust in them wins on seen clones, in any order."""
    straight = arms(40, per_time=1, times=(0.0, 1.0))
    last = straight.snapshots[-1]
    crossed = Population(last.x * [-1.0, 1.0], last.time, lineage=last.lineage)
    cells = ClonalCells(Snapshots((straight.snapshots[0], crossed)), straight.label, NAMES)
    assumed = Assumption("none", ot_cfm(coupling=Lineage(n_neighbors=0)))
    seen = np.ones(40, dtype=bool)
    rng = np.random.default_rng(0)
    assert choose_strength(cells, seen, assumed, strengths, None, rng) == np.inf


# Mass within clones -------------------------------------------------------------------------------


def test_precision_of_known_plans():
    cells = arms(4)
    shared = shared_of(cells, 0)
    assert len(shared.cell) == 12
    own = np.arange(12)
    stays = EdgePlan((12, 12), own, own, np.ones(12), cost=0.0)
    np.testing.assert_allclose(precision(cells, stays, shared), 1)
    leaves = EdgePlan((12, 12), own, (own + 3) % 12, np.ones(12), cost=0.0)
    np.testing.assert_allclose(precision(cells, leaves, shared), 0)
    uniform = np.full(12, 1 / 12)
    by_chance = precision(cells, ProductPlan(uniform, uniform, 0.0), shared)
    np.testing.assert_allclose(by_chance, 0.25)
    np.testing.assert_allclose(chance(cells, shared), 0.25)


def test_precision_is_the_same_for_all_kinds_of_plans(monkeypatch):
    cells = arms(5)
    plan = Entropic(epsilon=0.1)(*cells.snapshots.intervals[0])
    mass = np.concatenate([tile for _, tile, _ in plan.tiles()])
    i, j = np.nonzero(mass)
    edges = EdgePlan(mass.shape, i, j, mass[i, j], cost=0.0)
    shared = shared_of(cells, 0)
    expected = precision(cells, edges, shared)
    np.testing.assert_allclose(precision(cells, plan, shared), expected, rtol=1e-6)
    monkeypatch.setattr("cellflow.evaluation.clones.plans._CHUNK", 30)  # two clones at once
    np.testing.assert_allclose(precision(cells, plan, shared), expected, rtol=1e-6)


# Intervals ----------------------------------------------------------------------------------------


def test_draws_are_of_whole_clones():
    unit = np.array([4, 4, 7, 9, 9, 9])
    weight = draws(unit, 500, np.random.default_rng(0))
    assert (weight[0] == 1).all()
    assert (weight[:, 0] == weight[:, 1]).all()
    assert (weight[:, 3] == weight[:, 5]).all()
    per_clone = weight[1:, [0, 2, 3]]
    assert (per_clone.sum(axis=1) == 3).all()
    np.testing.assert_allclose(per_clone.mean(axis=0), 1, atol=0.12)


def test_copies_of_cells_make_no_interval_narrower(scored):
    found, truth = scored
    unit = np.arange(60) // 2
    rows = np.repeat(np.arange(60), 7)
    values = []
    for keep in (np.arange(60), rows):
        rng = np.random.default_rng(0)
        scorer = Scorer.of("all", unit[keep], truth.part(keep), 200, rng)
        scores = scorer.scores(Method("a", "model"), scorer.drawn(found[keep]))
        values.append([(s.value, s.low, s.high, s.n_clones) for s in scores])
    np.testing.assert_allclose(*values)


def test_intervals_cover_at_their_level():
    """Of the mean of 40 clones with several cells each, in 300 experiments."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(300):
        size = rng.integers(1, 6, size=40)
        own = rng.normal(size=40)
        unit = np.repeat(np.arange(40), size)
        values = own[unit] + 0.3 * rng.normal(size=len(unit))
        scorer = Scorer.of("0", unit, None, 400, rng)
        (score,) = scorer.scores(Method("a", "model"), scorer.drawn(values))
        covered.append(score.low <= 0 <= score.high)
    assert 0.91 <= np.mean(covered) <= 0.975


def test_differences_are_paired_by_clone(scored):
    """A method does not differ from itself, with no width."""
    found, truth = scored
    scorer = Scorer.of("all", np.arange(60) // 3, truth, 200, np.random.default_rng(0))
    a = Method("a", "model")
    b = Method("b", "baseline")
    own = scorer.drawn(found)
    for d in scorer.differences(a, b, own, own):
        assert (d.gain, d.low, d.high, d.sign) == (0, 0, 0, 0)
    perfect = scorer.drawn(truth.shares)
    better = scorer.differences(a, b, perfect, own)
    assert all(d.sign == 1 and d.sure_low <= d.low <= d.gain for d in better)
    worse = scorer.differences(a, b, own, perfect)
    assert all(d.sign == -1 for d in worse)


def test_methods_of_equal_skill_differ_by_chance_only():
    """Intervals of all gains cover zero at about their level, in 200 experiments of 50 clones."""
    rng = np.random.default_rng(0)
    covered = {name: [] for name in MEASURES}
    for _ in range(200):
        size = rng.integers(1, 4, size=50)
        unit = np.repeat(np.arange(50), size)
        counts = rng.multinomial(4, rng.dirichlet(np.ones(2), size=50))[unit].astype(float)
        truth = Truth(counts, (0, 1), np.array([0.5, 0.5]), unit % 5)
        made = []
        for _ in range(2):
            share = np.clip(truth.shares[:, 0] + 0.3 * rng.normal(size=50)[unit], 0.05, 0.95)
            made.append(np.stack([share, 1 - share], axis=1))
        scorer = Scorer.of("all", unit, truth, 200, rng)
        one, other = (scorer.drawn(found) for found in made)
        for d in scorer.differences(Method("a", "model"), Method("b", "model"), one, other):
            covered[d.measure].append(d.low <= 0 <= d.high)
    shares = {name: np.mean(values) for name, values in covered.items()}
    assert all(0.90 <= share <= 0.985 for share in shares.values()), shares


# One half of a clone ------------------------------------------------------------------------------


def test_halves_are_parts_of_the_clone():
    counts = np.array([[5.0, 2.0], [1.0, 0.0], [0.0, 0.0], [0.0, 4.0]])
    first, second = halves(counts, np.random.default_rng(0))
    np.testing.assert_array_equal(first + second, counts)
    assert first.sum(axis=1).tolist() == [3, 0, 0, 2]


def test_pure_clones_agree_with_themselves():
    cells = arms(8)
    there = cells.observations
    truth = Truth(cells.counts[there.clone], (0, 1), cells.shares, there.clone % 2)
    scorer = Scorer.of("all", there.unit, truth, 100, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    found = {s.measure: s for s in with_halves(scorer, cells.counts, there.clone, 3, rng)}
    assert {name: s.value for name, s in found.items()} == pytest.approx(PERFECT)
    single = np.minimum(cells.counts, 1)
    assert with_halves(scorer, single, there.clone, 3, rng) == []
