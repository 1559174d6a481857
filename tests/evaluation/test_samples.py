"""Halves of held-out cells that are made of whole samples, and what follows from them."""

import numpy as np
import pytest

from cellflow.core.population import Population, Snapshots
from cellflow.evaluation import hold_out
from cellflow.evaluation.celltypes import CellTypes, compare_types
from cellflow.evaluation.comparison import Comparison, freedom_of, mean_and_error, quantile
from cellflow.evaluation.folds import Fold, aligned_around
from cellflow.evaluation.halves import Replicates, halves, replicates_of
from cellflow.evaluation.verdict import judge


class Shifted:
    """Predicts the cells of the snapshot before, moved by the true step."""

    name = "shifted"

    def __call__(self, rest, time, *, random_state):
        return {"P1": Population(rest[0].x + [time - rest[0].time, 0.0], time)}


def _snapshots(n_samples, *, apart=2.0, n=40, seed=0):
    """Three times, the middle one of several samples, whose second coordinates are `apart`."""
    rng = np.random.default_rng(seed)
    made = []
    for time in (0.0, 1.0, 2.0):
        k = n_samples if time == 1.0 else 1
        sample = np.repeat(np.arange(k), n * n_samples // k)
        x = rng.normal(size=(len(sample), 2)) * 0.3
        x[:, 0] += time
        x[:, 1] += apart * (sample - sample.mean())
        made.append(Population(x, time, sample=sample + int(10 * time)))
    return Snapshots(tuple(made))


@pytest.mark.parametrize(("n_samples", "n_seen"), [(2, 1), (3, 1), (4, 2), (5, 2)])
def test_halves_are_made_of_whole_samples(n_samples, n_seen):
    held_out = _snapshots(n_samples)[1]
    fold = Fold(_snapshots(n_samples), 1.0)
    assert fold.n_half == 40 * n_seen
    assert fold.half_share == n_seen / n_samples
    found = halves(held_out, fold.n_half, n_splits=10)
    for split in found:
        assert len(split.seen) == len(split.other) == fold.n_half
        assert not set(split.seen.index) & set(split.other.index)
        assert not set(split.seen.sample) & set(split.other.sample)
        assert len(np.unique(split.seen.sample)) == n_seen
    ways = {tuple(np.unique(split.seen.sample)) for split in found}
    assert len(ways) == min(10, len(ways | {None}) - 1)
    assert {s for way in ways for s in way} == set(held_out.sample)


def test_all_ways_come_up_before_one_is_repeated():
    held_out = _snapshots(4)[1]
    ways = [tuple(np.unique(h.seen.sample)) for h in halves(held_out, 80, n_splits=6)]
    assert len(set(ways)) == 6


def test_one_sample_is_halved_by_cell_as_without_samples():
    s = _snapshots(2)
    one = s[0]
    bare = Population(one.x, one.time)
    for a, b in zip(halves(one, 20, n_splits=3), halves(bare, 20, n_splits=3), strict=True):
        np.testing.assert_array_equal(a.seen.index, b.seen.index)
        np.testing.assert_array_equal(a.other.index, b.other.index)


def test_samples_of_few_cells_are_no_replicates():
    sample = np.array([0] * 20 + [1] * 9 + [-1] * 20)
    assert replicates_of(sample, np.ones(49)) is None
    assert replicates_of(None, np.ones(49)) is None
    weight = np.ones(49)
    weight[:11] = 0.0
    assert replicates_of(np.array([0] * 20 + [1] * 29), weight) is None
    large = replicates_of(np.array([0] * 20 + [1] * 29), np.ones(49))
    assert len(large) == 2
    assert large.n_half == 20


def test_the_floor_contains_the_difference_between_samples():
    by_cell = Snapshots(tuple(Population(p.x, p.time) for p in _snapshots(2).populations))
    floors = {}
    for name, snapshots in (("sample", _snapshots(2)), ("cell", by_cell)):
        table = hold_out(snapshots, methods=Shifted(), metrics="w1", protocols="P1").table()
        floors[name] = float(table.loc[table["kind"] == "floor", "w1_half"].iloc[0])
        assert set(table["halves"]) == {"2 samples" if name == "sample" else "cells"}
    # The other sample is 2 away; halves by cell hold both samples.
    assert floors["sample"] == pytest.approx(2.0, abs=0.2)
    assert floors["cell"] < 0.5


def test_the_verdict_says_what_intervals_are_by():
    found = hold_out(_snapshots(3), methods=Shifted(), metrics="w1", protocols="P1")
    assert found.verdict.endswith("Intervals and the noise floor are by sample.")
    assert {c.n_samples for c in found.comparisons} == {3}
    assert {c.freedom for c in found.comparisons} == {2}
    rng = np.random.default_rng(1)
    later = Population(rng.normal(size=(60, 2)) + [3.0, 0.0], 3.0, sample=np.full(60, 30))
    four = Snapshots((*_snapshots(3).populations, later))
    said = hold_out(four, methods=Shifted(), metrics="w1", protocols="P1").verdict
    assert "by sample at 1 of the 2 times, and by cell at the others" in said


def test_errors_have_as_many_degrees_of_freedom_as_samples():
    assert [freedom_of(20, n) for n in (0, 2, 3, 30)] == [19, 1, 2, 19]


def test_an_error_from_two_samples_is_not_hidden_by_exact_ones():
    """Satterthwaite: the degrees of freedom are those of the error that dominates."""
    where = ("m", "P1")
    rough = Comparison(*where, 1.0, "w1", 1.0, 1.5, 0.5, 0.1, 1, 2)
    exact = Comparison(*where, 2.0, "w1", 1.0, 1.5, 0.5, 1e-4, 19, 0)
    change = judge([rough, exact])[0].changes[0]
    assert change.gain - change.low == pytest.approx(quantile(1) * 0.05, rel=1e-3)
    alike = [Comparison(*where, t, "w1", 1.0, 1.5, 0.5, 0.1, 2, 3) for t in (1.0, 2.0)]
    change = judge(alike)[0].changes[0]
    assert change.gain - change.low == pytest.approx(quantile(4) * 0.1 / np.sqrt(2))


@pytest.mark.parametrize("n_samples", [2, 3, 4])
def test_intervals_by_sample_cover(n_samples):
    """Of a mean over samples that differ at random: 95 % intervals from halves of the samples."""
    rng = np.random.default_rng(0)
    cells = Replicates(tuple(np.arange(10) + 10 * s for s in range(n_samples)))
    found = []
    for _ in range(1000):
        effect = rng.normal(size=n_samples)
        values = [effect[np.unique(seen // 10)].mean() for seen, _ in cells.sides(3, rng)]
        mean, error = mean_and_error(np.array(values), cells.n_seen / n_samples)
        found.append(abs(mean) <= quantile(freedom_of(3, n_samples)) * error)
    assert 0.92 < np.mean(found) < 0.985


def test_types_are_compared_on_halves_of_samples():
    labels = np.array(["a"] * 30 + ["b"] * 30)
    predicted = {
        "OT interpolation": (np.array(["a"]), np.ones(1)),
        "m, P1": (np.array(["a", "b"]), np.full(2, 0.5)),
    }
    by_sample = CellTypes(labels, np.full(60, 1 / 60), predicted, np.repeat([0, 1], 30))
    # Each sample has one type: a half is all of one.
    np.testing.assert_allclose(by_sample.errors("m, P1"), 0.5)
    errors = np.unique(by_sample.errors("OT interpolation").round(9))
    np.testing.assert_array_equal(errors, [0.0, 1.0])
    found = compare_types({1.0: by_sample}, {"m, P1": ("m", "P1")})[0]
    assert (found.n_samples, found.freedom) == (2, 1)
    by_cell = CellTypes(labels, np.full(60, 1 / 60), predicted)
    assert by_cell.errors("m, P1").max() < 0.5


def test_offsets_are_estimated_without_the_held_out_cells():
    snapshots = _snapshots(2, apart=3.0)
    rest = aligned_around(snapshots, 1.0, 30)
    for a, b in zip(snapshots.populations, rest.populations, strict=True):
        np.testing.assert_array_equal(a.x, b.x)
    replaced = Snapshots(
        tuple(
            Population(p.x + 100.0 * (p.time == 0.0), p.time, sample=p.sample)
            for p in snapshots.populations
        )
    )
    a = aligned_around(snapshots, 0.0, 30)
    b = aligned_around(replaced, 0.0, 30)
    np.testing.assert_array_equal(a[1].x, b[1].x)
    assert abs(a[1].x[:40, 1].mean() - a[1].x[40:, 1].mean()) < 0.5


def test_held_out_cells_lose_the_offsets_of_samples_that_are_elsewhere():
    rng = np.random.default_rng(0)
    shift = np.array([0.0, 3.0])
    made = []
    for time in (0.0, 1.0, 2.0):
        x = rng.normal(size=(120, 2)) * 0.3 + [time, 0.0]
        sample = np.repeat([0, 1], 60)
        made.append(Population(x + shift * sample[:, None], time, sample=sample))
    found = aligned_around(Snapshots(tuple(made)), 1.0, 2)[1].x
    assert np.linalg.norm(found[:60].mean(axis=0) - found[60:].mean(axis=0)) < 0.3
