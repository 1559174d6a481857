"""Measures of `benchmarks/larry_fates.py` on clones whose answers are known."""

import numpy as np
import pytest

TYPES = ["Baso", "Monocyte", "Neutrophil"]


@pytest.fixture
def larry(script):
    return script("larry_fates")


@pytest.fixture
def cells(larry):
    """Clones 0 and 1 end as neutrophils, 2 and 3 as monocytes, 4 as both; early cells lie where
    their own clone ends up.
    """
    clone = np.repeat(np.arange(5), 5)
    day = np.tile([2.0, 4.0, 6.0, 6.0, 6.0], 5)
    kind = np.full(25, "", dtype="<U10")
    for k, name in enumerate(["Neutrophil", "Neutrophil", "Monocyte", "Monocyte"]):
        kind[(clone == k) & (day == 6)] = name
    kind[22:25] = ["Neutrophil", "Monocyte", "Baso"]
    x = np.stack([clone * 10.0, np.zeros(25)], axis=1)
    return larry.Cells(x, day, kind, clone)


def test_counts_by_clone(cells):
    counts = cells.clonal(np.flatnonzero(cells.day == 6))
    assert cells.types == TYPES
    np.testing.assert_array_equal(counts, [[0, 0, 3], [0, 0, 3], [0, 3, 0], [0, 3, 0], [1, 1, 1]])


def test_bias_of_clones_and_of_cells_without_either_fate(larry):
    shares = np.array([[0, 0, 3], [0, 1, 3], [2, 0, 0]])
    np.testing.assert_array_equal(larry.bias(shares, TYPES, 0.4), [1, 0.75, 0.4])
    assert np.isnan(larry.bias(shares, TYPES)[2])


def test_neighbours_that_vote_are_cells_of_the_last_day(larry, cells, monkeypatch):
    monkeypatch.setattr(larry, "N_NEIGHBORS", 3)
    found = larry.by_labels(cells, cells.x)
    np.testing.assert_array_equal(found[cells.clone == 0], np.tile([0, 0, 1], (5, 1)))
    np.testing.assert_allclose(found[cells.clone == 4], np.full((5, 3), 1 / 3))


def test_clones_of_neighbours_leave_the_own_clone_out(larry, cells, monkeypatch):
    monkeypatch.setattr(larry, "N_NEIGHBORS", 2)
    early = np.flatnonzero(cells.day < 6)
    found = larry.by_clones(cells, early)
    of = cells.clone[early]
    np.testing.assert_array_equal(found[of == 0], np.tile([0, 0, 1], (2, 1)))  # clone 1 is nearest
    np.testing.assert_array_equal(found[of == 3][:, 2], [0, 0])  # clones 2 and 4, not itself
    moved = larry.Cells(cells.x, cells.day, np.where(cells.clone == 0, "", cells.type), cells.clone)
    np.testing.assert_array_equal(larry.by_clones(moved, early)[of == 0], found[of == 0])


def test_perfect_fates_have_perfect_measures_and_rows_are_the_early_cells(
    larry, cells, monkeypatch
):
    monkeypatch.setattr(larry, "N_BOOTSTRAP", 40)
    counts = cells.clonal(np.flatnonzero(cells.day == 6))[cells.clone]
    rows = larry.rows_of(cells, counts / counts.sum(axis=1, keepdims=True), {"method": "clones"})
    by = {row["cells"]: row for row in rows}
    assert {name: row["n"] for name, row in by.items()} == {
        "all early": 10,
        "day 2": 5,
        "day 4": 5,
        "early, no type yet": 10,
    }
    for row in rows:
        assert row["n_clones"] == 5
        assert row["r"] == pytest.approx(1)
        assert row["auroc"] == row["accuracy"] == 1
        assert row["r_low"] == pytest.approx(1)


def test_intervals_are_of_clones_not_of_cells(larry, cells, monkeypatch):
    """Cells that are copies of others in their clone make no interval narrower."""
    monkeypatch.setattr(larry, "N_BOOTSTRAP", 60)
    counts = cells.clonal(np.flatnonzero(cells.day == 6))[cells.clone]
    early = np.flatnonzero(cells.day < 6)
    found = np.random.default_rng(1).dirichlet(np.ones(3), size=5)[cells.clone]

    def interval(rows):
        row = larry.with_intervals(found[rows], found[rows], counts[rows], cells.clone[rows], cells)
        return row["r_low"], row["r_high"]

    np.testing.assert_allclose(interval(early), interval(np.repeat(early, 8)))


def test_halves_of_clones_with_one_fate_agree(larry, cells):
    early = np.flatnonzero((cells.day < 6) & (cells.clone < 4))
    row = larry.halves(cells, early)
    assert row["r"] == pytest.approx(1)
    assert row["accuracy"] == row["auroc"] == 1
    assert row["n"] == 8
