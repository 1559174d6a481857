"""Every system obeys the laws that bind its samples, its velocity, its growth and its density
together.
"""

import numpy as np
import pytest
from scipy.stats import kstest

import problems
from cellflow.synthetic import (
    BranchingTree,
    GaussianToGaussian,
    GeneCircuit,
    GrowingCircuit,
    GrowingFork,
    OrnsteinUhlenbeck,
    System,
    ToggleSwitch,
    TwoWell,
    truth,
)
from examples import SYSTEMS

#: Gene circuits know no velocity and no density.
SYSTEMS = {name: system for name, system in SYSTEMS.items() if "Circuit" not in name}
SYMMETRIC = [system for system in SYSTEMS.values() if hasattr(system, "fates")]
SYSTEMS |= {
    "treated fork": GrowingFork(
        shares=(0.3, 0.7),
        growths=(0.4, 0.1),
        fork=0.2,
        onset=0.4,
        speed_factors=(1.3, 0.8),
        growth_factors=(1.5, 3.0),
    ),
    "crossing fork": GrowingFork(separation=-0.6, fork=0.2),
    "lost fate": GrowingFork(fork=0.5, lost="B", onset=0.0, growths=(0.3, 0.8)),
}
systems = pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
#: A time between the first and the last one, away from the forks of the tree and from a change in a
#: solver's number of steps.
INNER = 0.61


def log_mass(system, t):
    return np.log(system.sample(1, [t], np.random.default_rng(0))[0].mass)


def growth(system, t, x):
    return system.growth(t, x) if hasattr(system, "growth") else np.zeros(len(x))


@systems
def test_is_a_system_and_finite(system):
    assert isinstance(system, System)
    snapshots = system.sample(50, system.times, np.random.default_rng(0))
    np.testing.assert_array_equal(snapshots.times, system.times)
    for population in snapshots.populations:
        known = truth(system, population.time, population.x)
        assert {"velocity", "log_density"} <= set(known)
        assert known["velocity"].shape == population.x.shape
        assert all(len(values) == 50 and np.isfinite(values).all() for values in known.values())


@systems
def test_seeds_repeat(system):
    first, again, other = (
        system.sample(20, [0.5], np.random.default_rng(seed))[0].x for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@systems
def test_velocity_and_growth_carry_one_snapshot_to_the_next(system):
    """Cells of the first time, moved by the velocity and weighted by the growth, have the moments
    of the later cells.
    """
    n, (start, stop) = 4000, (0.0, system.times[-1])
    cells = system.sample(n, [start, stop], np.random.default_rng(0))

    def rate(t, state):
        x = state[:, :-1]
        return np.column_stack([system.velocity(t, x), growth(system, t, x)])

    moved = problems.rk4(rate, np.column_stack([cells[0].x, np.zeros(n)]), start, stop, 200)
    x, weight = moved[:, :-1], np.exp(moved[:, -1])
    assert np.log(weight.mean()) == pytest.approx(log_mass(system, stop), abs=0.03)
    spread = cells[1].x.std(axis=0)
    np.testing.assert_allclose(
        np.average(x, axis=0, weights=weight) / spread, cells[1].x.mean(axis=0) / spread, atol=0.1
    )
    found = np.cov(x / spread, rowvar=False, aweights=weight)
    np.testing.assert_allclose(found, np.cov(cells[1].x / spread, rowvar=False), atol=0.15)


@systems
def test_continuity_equation_holds_at_every_cell(system):
    """d/dt log p + v . grad log p + div v = g - mean(g), by central differences."""
    x = system.sample(200, [INNER], np.random.default_rng(0))[0].x
    h = 1e-4

    def slope(function):
        columns = [
            (function(x + h * e) - function(x - h * e)) / (2 * h) for e in np.eye(x.shape[1])
        ]
        return np.stack(columns, axis=-1)

    in_time = (system.log_density(INNER + h, x) - system.log_density(INNER - h, x)) / (2 * h)
    v = system.velocity(INNER, x)
    along = (v * slope(lambda y: system.log_density(INNER, y))).sum(axis=1)
    divergence = np.trace(slope(lambda y: system.velocity(INNER, y)), axis1=1, axis2=2)
    mean_growth = (log_mass(system, INNER + h) - log_mass(system, INNER - h)) / (2 * h)
    # The two-well's equation is solved on a grid and the switch by RK4; the others are exact up to
    # the differences.
    atol = {TwoWell: 2e-3, ToggleSwitch: 2e-4}.get(type(system), 2e-5)
    np.testing.assert_allclose(
        in_time + along + divergence, growth(system, INNER, x) - mean_growth, atol=atol
    )


@systems
@pytest.mark.parametrize("t", [0.0, INNER])
def test_density_is_that_of_the_samples(system, t):
    """It integrates to one, and has the samples' mean."""
    cells = system.sample(3000, [t], np.random.default_rng(0))[0].x
    low, high = cells.min(axis=0) - 1, cells.max(axis=0) + 1
    axes = [np.linspace(a, b, 201) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    # Far from every cell the unstable systems cannot be followed back; nothing is there.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        density = np.nan_to_num(np.exp(system.log_density(t, grid)), nan=0.0)
    mass = density * np.prod((high - low) / 200)
    assert mass.sum() == pytest.approx(1.0, abs=2e-3)
    np.testing.assert_allclose(
        (mass @ grid) / cells.std(axis=0), cells.mean(axis=0) / cells.std(axis=0), atol=0.06
    )


@pytest.mark.parametrize("system", SYMMETRIC, ids=lambda s: type(s).__name__)
def test_fates_are_probabilities_and_symmetric(system):
    x = system.sample(300, [1.0], np.random.default_rng(0))[0].x
    fates = system.fates(1.0, x)
    assert (fates >= 0).all()
    np.testing.assert_allclose(fates.sum(axis=1), 1.0)
    if fates.shape[1] == 2:
        np.testing.assert_allclose(system.fates(1.0, np.full((1, 2), 0.0)), [[0.5, 0.5]])
        mirrored = x[:, ::-1] if isinstance(system, ToggleSwitch) else x * [1, -1]
        np.testing.assert_allclose(system.fates(1.0, mirrored), fates[:, ::-1], atol=1e-12)


def test_gaussian_to_gaussian_is_the_geodesic():
    system = GaussianToGaussian()
    source, target = (
        problems.Gaussian(system.mean(t), np.diag(system.sd(t) ** 2)) for t in (0.0, 1.0)
    )
    middle = problems.displacement(source, target, 0.3)
    np.testing.assert_allclose(system.mean(0.3), middle.mean)
    np.testing.assert_allclose(np.diag(system.sd(0.3) ** 2), middle.cov, atol=1e-12)


def test_ornstein_uhlenbeck_has_its_known_law():
    system = OrnsteinUhlenbeck(theta=0.7, sigma=0.4)
    start = problems.Gaussian(np.array(system.start), system.start_sd**2 * np.eye(2))
    law = problems.ornstein_uhlenbeck(start, 0.7, 0.4, 1.3)
    np.testing.assert_allclose(system.mean(1.3), law.mean)
    np.testing.assert_allclose(system.sd(1.3) ** 2 * np.eye(2), law.cov)


def test_two_well_density_is_that_of_the_stochastic_simulation():
    system = TwoWell(start=0.3)
    y = system.sample(3000, [0.8], np.random.default_rng(1))[0].x[:, 1]
    grid = np.linspace(-3, 3, 2001)
    cumulative = np.cumsum(np.exp(system.log_density(0.8, np.column_stack([0 * grid, grid]))))
    assert kstest(y, lambda v: np.interp(v, grid, cumulative / cumulative[-1])).pvalue > 0.01


def test_two_well_committor_solves_its_equation():
    """q is harmonic for the generator, -V' q' + sigma^2/2 q'' = 0, with q(-1) = 0 and q(1) = 1."""
    system, h = TwoWell(), 1e-3
    y = np.linspace(-0.9, 0.9, 19)
    below, here, above = (
        system.fates(0.0, np.column_stack([0 * y, y + e]))[:, 1] for e in (-h, 0, h)
    )
    slope = 4 * system.height * y * (y**2 - 1)
    generator = (
        -slope * (above - below) / (2 * h) + system.sigma**2 / 2 * (above - 2 * here + below) / h**2
    )
    np.testing.assert_allclose(generator, 0.0, atol=1e-4)
    np.testing.assert_allclose(
        system.fates(0.0, np.array([[0.0, -1.0], [0.0, 1.0]])), [[1, 0], [0, 1]]
    )


def test_two_well_committor_counts_the_cells_that_commit():
    rng, system = np.random.default_rng(0), TwoWell()
    y, dt = np.full(2000, 0.25), 0.002
    ends = np.zeros(len(y))
    while (open_ := ends == 0).any():
        slope = 4 * system.height * y * (y**2 - 1)
        y = np.where(
            open_, y - slope * dt + system.sigma * np.sqrt(dt) * rng.standard_normal(len(y)), y
        )
        ends = np.where(open_ & (np.abs(y) >= 1), np.sign(y), ends)
    assert (ends == 1).mean() == pytest.approx(
        system.fates(0.0, np.array([[0.0, 0.25]]))[0, 1], abs=0.035
    )


def test_toggle_switch_keeps_the_dividing_branch_and_counts_it():
    system = ToggleSwitch()
    still = ToggleSwitch(proliferation=0.0)
    grown, even = (s.sample(2000, [4.0], np.random.default_rng(0))[0] for s in (system, still))
    first = [(p.x[:, 0] > p.x[:, 1]).mean() for p in (grown, even)]
    assert first[1] == pytest.approx(0.5, abs=0.04)
    assert even.mass == pytest.approx(1.0)
    # No line shrinks, so each branch has at least the half that it began with; the first one has
    # grown more.
    assert grown.mass * (1 - first[0]) > 0.5
    assert first[0] > 0.65
    # The bound is that of a line that divides at the full rate all the time.
    assert 1.5 < grown.mass < np.exp(0.5 * 4.0)


def test_branching_tree_has_its_shape():
    system = BranchingTree(n_dims=10, depth=3)
    x = system.sample(400, [3.9], np.random.default_rng(0))[0].x
    assert x.shape == (400, 10)
    fates = system.fates(3.9, x)
    assert fates.shape == (400, 8)
    # At the end nearly every cell is committed, and every leaf is met; on the trunk nobody is.
    assert (fates.max(axis=1) > 0.9).mean() > 0.95
    assert (np.bincount(fates.argmax(axis=1), minlength=8) > 20).all()
    np.testing.assert_allclose(system.fates(0.5, x), 1 / 8)
    other = (
        BranchingTree(n_dims=10, depth=3, seed=1).sample(400, [3.9], np.random.default_rng(0))[0].x
    )
    assert (x != other).any()


# Cells that diffuse -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "system", [OrnsteinUhlenbeck(), TwoWell(start=0.3)], ids=lambda s: type(s).__name__
)
def test_velocity_is_the_drift_less_half_the_score(system):
    x, h = system.sample(100, [INNER], np.random.default_rng(0))[0].x, 1e-4
    score = [
        (system.log_density(INNER, x + h * e) - system.log_density(INNER, x - h * e)) / (2 * h)
        for e in np.eye(2)
    ]
    known = system.drift(INNER, x) - 0.5 * system.sigma**2 * np.stack(score, axis=1)
    np.testing.assert_allclose(system.velocity(INNER, x), known, atol=1e-4)


@pytest.mark.parametrize(
    "system",
    [
        GeneCircuit(),
        GeneCircuit(
            ((0.0, 0.0, -8.0), (-8.0, 0.0, 0.0), (0.0, -8.0, 0.0)),
            (3.0,) * 3,
            start=(0.6, 0.4, 0.2),
        ),
    ],
    ids=["toggle", "ring"],
)
def test_a_circuit_moves_by_its_drift_and_spreads_by_its_noise(system):
    """Of fresh cells after a short time: mean displacement and growth of the variance, to their
    standard errors.
    """
    n, t = 40_000, 0.02
    start, later = system.sample(n, [0.0, t], np.random.default_rng(0)).populations
    rate = (later.x.mean(axis=0) - start.x.mean(axis=0)) / t
    np.testing.assert_allclose(
        rate, system.drift(0.0, start.x).mean(axis=0), atol=5 * 0.15 / np.sqrt(n) / t
    )
    d, h = len(system.start), 1e-5
    slopes = [
        (system.drift(0.0, start.x + h * e) - system.drift(0.0, start.x - h * e)) / (2 * h)
        for e in np.eye(d)
    ]
    jacobian = np.mean(slopes, axis=1).T
    grown = system.sigma**2 + 2 * system.start_sd**2 * np.diag(jacobian)
    np.testing.assert_allclose((later.x.var(axis=0) - start.x.var(axis=0)) / t, grown, atol=0.02)
    assert set(truth(system, t, later.x)) == {"drift"}


def test_a_growing_circuit_counts_its_descendants():
    """Sizes have the slope of the mean growth, and the dividing cells get the larger share."""
    system = GrowingCircuit()
    start, soon, late = system.sample(4000, [0.0, 0.02, 4.0], np.random.default_rng(0)).populations
    growth = system.growth(0.0, start.x)
    assert start.mass == 1.0
    assert np.log(soon.mass) / 0.02 == pytest.approx(growth.mean(), abs=0.01)
    assert 1.0 < late.mass < np.exp(0.6 * 4.0)
    # Without division the two starts keep their halves; with it, the second one gets the more.
    still = GrowingCircuit(proliferation=0.0).sample(4000, [4.0], np.random.default_rng(0))[0]
    second = [(p.x[:, 1] > p.x[:, 0]).mean() for p in (still, late)]
    assert still.mass == pytest.approx(1.0)
    assert second[0] == pytest.approx(0.5, abs=0.02)
    assert second[1] > 0.7
    # No line of the first start shrinks.
    assert late.mass * (1.0 - second[1]) > 0.5 - 0.02
    assert set(truth(system, 4.0, late.x)) == {"drift", "growth"}
