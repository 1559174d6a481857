"""Laws of the gene circuits: what is said about their genes is true of their cells."""

import numpy as np
import pytest

from cellflow.errors import InputError
from cellflow.synthetic import Circuit, circuits

#: Number of genes and of fates.
SIZES = [(2, 2), (3, 2), (4, 2), (6, 3), (10, 3), (10, 4)]
sizes = pytest.mark.parametrize(("n_genes", "n_fates"), SIZES)


def cells_of(circuit, n=400, seed=0):
    """Cells of all times, and their times."""
    snapshots = circuit.sample(n, circuit.times, np.random.default_rng(seed))
    x = np.concatenate([p.x for p in snapshots.populations])
    return x, np.repeat(circuit.times, n)


@sizes
@pytest.mark.parametrize("seed", range(10))
def test_every_fate_is_reached(n_genes, n_fates, seed):
    circuit = circuits(n_genes, n_fates, seed)
    end = circuit.sample(1000, [4.0], np.random.default_rng(seed))[0].x
    shares = np.bincount(circuit.labels(end), minlength=n_fates) / 1000
    assert len(circuit.genes) == n_genes
    assert len(circuit.ends) == len(shares) == n_fates
    assert shares.min() >= 0.1


@pytest.mark.parametrize("seed", range(10))
def test_confounders_are_nearer_to_the_time_than_any_other_gene(seed):
    circuit = circuits(10, 4, seed)
    x, t = cells_of(circuit)
    r = np.abs(np.corrcoef(x.T, t)[-1, :-1])
    others = np.setdiff1d(np.arange(10), circuit.confounders)
    assert r[list(circuit.confounders)].min() > 0.95
    assert r[others].max() < 0.9
    assert not circuit.regulation[:, circuit.confounders].any()
    assert not circuit.regulation[list(circuit.confounders)].any()
    assert not set(circuit.growth_drivers) & set(circuit.confounders)


@sizes
def test_the_jacobian_is_that_of_the_drift_and_has_the_signs_of_the_regulation(n_genes, n_fates):
    circuit = circuits(n_genes, n_fates, 1)
    x = cells_of(circuit, 20)[0]
    h = 1e-5
    slopes = [
        (circuit.drift(1.0, x + h * e) - circuit.drift(1.0, x - h * e)) / (2 * h)
        for e in np.eye(n_genes)
    ]
    known = circuit.jacobian(1.0, x)
    np.testing.assert_allclose(known, np.stack(slopes, axis=-1), atol=1e-6)
    apart = ~np.eye(n_genes, dtype=bool)
    np.testing.assert_array_equal(
        np.sign(known.mean(axis=0))[apart], np.sign(circuit.regulation)[apart]
    )


def test_growth_depends_on_its_drivers_only_and_rises_with_them():
    circuit = circuits(10, 4, 2)
    x = cells_of(circuit, 20)[0]
    base = circuit.growth(0.0, x)
    for g in range(10):
        changed = circuit.growth(0.0, x + 0.1 * np.eye(10)[g]) - base
        assert (changed > 0).all() if g in circuit.growth_drivers else not changed.any()


def test_cells_move_by_the_drift_and_spread_by_the_noise():
    circuit = circuits(6, 3)
    n, t = 20_000, 0.04
    start, later = circuit.sample(n, [0.0, t], np.random.default_rng(0)).populations
    rate = (later.x.mean(axis=0) - start.x.mean(axis=0)) / t
    noise = 5 * 0.1 / np.sqrt(n) / t
    np.testing.assert_allclose(rate, circuit.drift(0.0, start.x).mean(axis=0), atol=noise)
    still = circuit.starts(n, np.random.default_rng(1))
    grown = later.x.var(axis=0) - (still + t * circuit.drift(0.0, still)).var(axis=0)
    np.testing.assert_allclose(grown / t, circuit.sigma**2, atol=5 * 0.08**2 * np.sqrt(2 / n) / t)


def test_sizes_have_the_slope_of_the_mean_growth():
    circuit = circuits(4, 2)
    start, soon, late = circuit.sample(4000, [2.0, 2.04, 4.0], np.random.default_rng(0)).populations
    slope = np.log(soon.mass / start.mass) / 0.04
    assert slope == pytest.approx(circuit.growth(2.0, start.x).mean(), abs=0.2)
    assert late.mass > soon.mass > 1.0


def test_descendants_are_those_of_the_snapshots():
    """Cells of the start, followed, have the size and the composition of the last snapshot."""
    circuit = circuits(10, 4, 3)
    first, last = circuit.sample(4000, [0.0, 4.0], np.random.default_rng(0)).populations
    found = circuit.descendants(0.0, first.x, n_rep=1, rng=np.random.default_rng(1))
    assert found.sum(axis=1).mean() == pytest.approx(last.mass, rel=0.03)
    known = np.bincount(circuit.labels(last.x), minlength=4) / 4000
    np.testing.assert_allclose(found.sum(axis=0) / found.sum(), known, atol=0.05)
    few = first.x[:50]
    np.testing.assert_allclose(circuit.fates(0.0, few).sum(axis=1), 1.0)
    np.testing.assert_array_equal(circuit.fates(0.0, few), circuit.fates(0.0, few))
    own = np.eye(4)[circuit.labels(last.x)]
    np.testing.assert_array_equal(circuit.descendants(4.0, last.x), own)


@sizes
def test_a_knock_out_closes_the_fates_behind_the_gene(n_genes, n_fates):
    circuit = circuits(n_genes, n_fates, 4)
    starts = circuit.starts(300, np.random.default_rng(0))
    base = circuit.composition(0.0, starts, rng=np.random.default_rng(1))
    for name in circuit.ends:
        out = circuit.knocked_out(name)
        changed = out.composition(0.0, starts, rng=np.random.default_rng(1))
        assert changed[circuit.ends.index(name)] < 0.01 < base[circuit.ends.index(name)]


def test_a_knock_out_of_what_regulates_nothing_changes_nothing():
    circuit = circuits(10, 4, 4)
    starts = circuit.starts(300, np.random.default_rng(0))
    base = circuit.composition(0.0, starts, rng=np.random.default_rng(1))
    for name in ("T1", "C1", "C2"):
        out = circuit.knocked_out(name)
        assert (out.sample(20, [1.0], np.random.default_rng(0))[0].x[:, out.held[0]] == 0).all()
        np.testing.assert_array_equal(
            out.composition(0.0, starts, rng=np.random.default_rng(1)), base
        )
    both = circuit.knocked_out(0).knocked_out("R3")
    assert both.held == (0, 2)
    assert not both.drift(0.0, starts)[:, both.held].any()
    assert not both.jacobian(0.0, starts)[:, list(both.held)].any()


def test_without_division_all_sizes_are_one():
    circuit = Circuit(circuits(4, 2).parts, proliferation=0.0)
    assert circuit.sample(50, [4.0], np.random.default_rng(0))[0].mass == 1.0


def test_seeds_repeat():
    assert circuits(10, 4, 5) == circuits(10, 4, 5) != circuits(10, 4, 6)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: circuits(10, 5), "n_fates=5; expected 2, 3 or 4"),
        (lambda: circuits(5, 4), "n_genes=5; expected 6 to 10 with n_fates=4"),
        (lambda: circuits(11, 2), "n_genes=11"),
        (lambda: circuits(4, 2).knocked_out("R3"), "gene='R3' is none of"),
        (lambda: circuits(4, 2).knocked_out(4), "gene=4 is none of"),
    ],
)
def test_what_there_is_not_is_refused(ask, said):
    with pytest.raises(InputError, match=said):
        ask()
