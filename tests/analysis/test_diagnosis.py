"""Diagnoses of systems whose faults are known."""

import numpy as np
import pytest
import torch
from torch import nn

import problems
from cellflow.analysis.density import EvolvingDensity
from cellflow.analysis.diagnosis import (
    density_gradient,
    diagnose,
    mass_balance,
    mean_cosine,
    mean_shift,
    n_neighbors,
    path_energy,
    reliability,
    round_trip,
    unreached,
)
from cellflow.core.frame import Frame
from cellflow.core.population import Clock, Population, Snapshots
from cellflow.densities import GaussianMixture
from cellflow.errors import InputError
from cellflow.fields.dynamics import Dynamics
from cellflow.fields.ladder import Ladder
from cellflow.model.flow import Flow
from cellflow.synthetic import GaussianToGaussian

FRAME = Frame(np.array([2.0, -1.0]), np.array([1.5, 1.5]))
SYSTEM = GaussianToGaussian()
CLOCK = Clock(0.0, 1.0, 0.5, 0.5)


class Field(nn.Module):
    """A velocity that is known in data coordinates, `(t, x, [context]) -> (n, d)`, in model
    coordinates.
    """

    def __init__(self, velocity):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))
        self.velocity = velocity

    def forward(self, t, z, context=None):
        x = FRAME.to_data(z.double().numpy())
        t = float(t.reshape(-1)[0])
        v = self.velocity(t, x) if context is None else self.velocity(t, x, context.numpy())
        return torch.from_numpy(v / FRAME.scale).to(z)


class Straight(nn.Module):
    """The displacement interpolation of `SYSTEM` in model coordinates, differentiable."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(SYSTEM.shift))
        self.stretch = nn.Parameter(torch.tensor(SYSTEM.stretch))

    def forward(self, t, z):
        scale, origin = torch.from_numpy(FRAME.scale).to(z), torch.from_numpy(FRAME.shift).to(z)
        t = t.reshape(-1, 1).to(z)
        sd = (1 - t) + t * self.stretch
        return (
            self.shift + (self.stretch - 1) * (z * scale + origin - t * self.shift) / sd
        ) / scale


class Score(nn.Module):
    """The score of `SYSTEM` under noise, in model coordinates; times `sign`."""

    def __init__(self, sign=1.0):
        super().__init__()
        self.ladder, self.sign = Ladder((8.0, 1.0, 0.5, 0.25, 0.1)), sign

    def forward(self, t, z, noise, context=None):
        t = float(torch.as_tensor(t).reshape(-1)[0])
        mean, sd = FRAME.to_model(SYSTEM.mean(t)), SYSTEM.sd(t) / FRAME.scale
        return (
            -self.sign
            * (z - torch.from_numpy(mean).to(z))
            / torch.from_numpy(sd**2 + noise**2).to(z)
        )


def make_flow(velocity, *, score=None, times=(0.0, 0.5, 1.0), plans=None, n_context=0):
    return Flow(
        dynamics=Dynamics(velocity if isinstance(velocity, nn.Module) else Field(velocity), score),
        frame=FRAME,
        clock=CLOCK,
        times=np.array(times),
        recipe={"name": "known"},
        plans=plans or {},
        history={},
        seed=0,
        threads=1,
        seconds=0.0,
        n_context=n_context,
    )


def snapshots_of(system=SYSTEM, n=400, times=(0.0, 0.5, 1.0)):
    return system.sample(n, times, np.random.default_rng(0))


def still(t, x, context=None):
    return np.zeros_like(x)


def two_clouds(n, share, rng, apart=8.0):
    """`share` of the cells around one point, the others around another."""
    x = 0.5 * rng.normal(size=(n, 2))
    x[: round(share * n), 0] += apart
    return x


# Gradients ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_dims", "least"), [(2, 0.94), (5, 0.94)])
def test_the_mean_shift_of_a_gaussian_is_its_score(n_dims, least):
    rng = np.random.default_rng(0)
    sd = np.linspace(1.0, 0.5, n_dims)
    x = rng.normal(size=(4000, n_dims)) * sd
    shift, width = mean_shift(x, x[:800], n_neighbors(len(x), n_dims))
    score = -x[:800] / (sd**2 + np.median(width) ** 2)
    assert mean_cosine(shift, score) > least
    # Its length too, not only its direction: slope of the regression through the origin.
    assert (shift * score).sum() / (score**2).sum() == pytest.approx(1.0, abs=0.2)


def test_the_kernel_of_the_mean_shift():
    """Uniform cells with a linear trend on an interval: the window's mean is known, so is its
    variance.
    """
    grid = np.linspace(-1.0, 1.0, 2001)
    weight = 1.0 + 0.3 * grid
    shift, width = mean_shift(grid[:, None], np.array([[0.0]]), 400, weight=weight)
    assert width[0] == pytest.approx(0.2 / np.sqrt(3.0))
    assert shift[0, 0] == pytest.approx(0.3, rel=0.01)


def test_a_cell_is_no_neighbour_of_itself():
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    shift, width = mean_shift(points, points[:1], 2)
    np.testing.assert_allclose(shift, [[0.5, 1.0]] / width**2)
    assert width[0] == pytest.approx(2.0 / np.sqrt(4.0))
    assert np.isnan(mean_shift(np.zeros((5, 2)), np.zeros((1, 2)), 3)[0]).all()


def test_what_sampling_leaves_of_the_gradient():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(600, 3))
    k = n_neighbors(600, 3)
    promised, found = reliability(x, x, k, rng), mean_cosine(mean_shift(x, x, k)[0], -x)
    assert promised == pytest.approx(found, abs=0.06)
    # Where there is no gradient, there is nothing to compare with.
    flat = rng.uniform(size=(600, 3))
    inside = flat[(np.abs(flat - 0.5) < 0.2).all(axis=1)]
    assert reliability(flat, inside, 15, rng) < 0.4


def test_the_gradient_of_the_dynamics():
    source = GaussianMixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None])
    density = EvolvingDensity(make_flow(Straight()), source, 0.0)
    x = SYSTEM.mean(0.5) + SYSTEM.sd(0.5) * np.random.default_rng(0).normal(size=(5, 2))
    z, mean, sd = FRAME.to_model(x), FRAME.to_model(SYSTEM.mean(0.5)), SYSTEM.sd(0.5) / FRAME.scale
    width = np.linspace(0.1, 1.0, 5)
    # Under a normal kernel, variances add.
    exact = -(z - mean) / (sd**2 + width[:, None] ** 2)
    rng = np.random.default_rng(0)
    found, worth = density_gradient(
        density, x, 0.5, width, mean=mean, cov=np.diag(sd**2), rng=rng, n_samples=4
    )
    np.testing.assert_allclose(found, exact, rtol=1e-3, atol=2e-3)
    np.testing.assert_allclose(worth, 4.0, rtol=1e-3)
    # Moments that are wrong choose worse samples, and give the same gradient.
    turned = np.array([[1.0, 0.4], [0.4, 0.8]])
    found, worth = density_gradient(
        density, x, 0.5, width, mean=mean + 0.2, cov=turned, rng=rng, n_samples=4000
    )
    np.testing.assert_allclose(found, exact, rtol=0.05, atol=0.05)
    assert worth[-1] < 3000


# Paths --------------------------------------------------------------------------------------------


def test_the_energy_of_straight_and_of_curved_paths():
    times = np.linspace(2.0, 4.0, 21)
    angle = np.pi * (times - 2.0) / 2.0
    half_circle = np.pi / 2.0 * np.stack([-np.sin(angle), np.cos(angle)], axis=1)[:, None]
    straight = np.broadcast_to([[-1.0, 0.0]], half_circle.shape)
    assert path_energy(straight, times) == pytest.approx(4.0)
    assert path_energy(half_circle, times) == pytest.approx(np.pi**2)
    assert path_energy(straight / 3.0, 3.0 * times) == pytest.approx(4.0)


def test_a_round_trip_is_measured_by_the_spread():
    x = np.array([[-1.0, 0.0], [1.0, 0.0], [5.0, 0.0]])
    weight = np.array([1.0, 1.0, 0.0])
    back = x + np.array([[0.0, 0.1], [0.0, -0.1], [9.0, 0.0]])
    assert round_trip(x, back, weight=weight) == pytest.approx(0.1)
    assert round_trip(1e3 * x + 7.0, 1e3 * back + 7.0, weight=weight) == pytest.approx(0.1)


# Mass ---------------------------------------------------------------------------------------------


def test_two_samples_of_one_population_are_in_balance():
    rng = np.random.default_rng(0)
    found = [
        mass_balance(rng.normal(size=(300, 2)), rng.normal(size=(400, 2)), random_state=k)
        for k in range(30)
    ]
    assert np.mean([f.imbalance for f in found]) == pytest.approx(
        np.mean([f.expected for f in found]), rel=0.15
    )
    assert sum(f.imbalance > f.limit for f in found) <= 2


def test_a_population_that_doubles_is_found():
    rng = np.random.default_rng(0)
    before, after = two_clouds(400, 1 / 2, rng), two_clouds(600, 2 / 3, rng)
    found = mass_balance(before, after)
    assert found.imbalance > found.limit
    assert found.imbalance == pytest.approx(1 / 6, abs=0.05)
    # With the mass that it has, it is in balance again.
    weight = np.where(before[:, 0] > 4.0, 2.0, 1.0)
    assert (again := mass_balance(before, after, pushed_weight=weight)).imbalance < again.limit


def test_a_population_that_is_missing_is_named():
    rng = np.random.default_rng(0)
    after = two_clouds(400, 0.25, rng)
    found = mass_balance(two_clouds(300, 0.0, rng), after)
    assert found.imbalance == pytest.approx(0.25, abs=0.06)
    assert found.pushed == 0.0
    assert after[found.cell, 0] > 4.0
    assert 0.0 < found.observed <= 0.25


def test_cells_that_no_path_reaches_are_found():
    rng = np.random.default_rng(0)
    cells = two_clouds(500, 0.1, rng)
    missed = unreached(cells, two_clouds(500, 0.0, rng))
    assert missed[:50].all()
    assert missed[50:].mean() < 0.03
    np.testing.assert_array_equal(
        unreached(10.0 * cells, 10.0 * cells[::-1] + 0.0), np.zeros(500, dtype=bool)
    )


def test_by_chance_one_cell_in_a_hundred_is_missed():
    rng = np.random.default_rng(0)
    shares = [
        unreached(rng.normal(size=(400, 3)), rng.normal(size=(n, 3)), random_state=n).mean()
        for n in (50, 200) * 10
    ]
    assert np.mean(shares) == pytest.approx(0.01, abs=0.006)


# Speeds -------------------------------------------------------------------------------------------


def moving(mean, times, n=60, seed=0):
    """One cloud whose cells all move alike: its mean at each time is known, and so is every
    velocity.
    """
    cells = 0.5 * np.random.default_rng(seed).normal(size=(n, 2))
    return Snapshots(tuple(Population(cells + mean(t), t) for t in times))


def speeds(velocity, mean, times=(0.0, 0.5, 1.0)):
    """Ratios and cosines at the snapshots, then in the middles, and what is said of them."""
    found = diagnose(make_flow(velocity, times=times), moving(mean, times), n_cells=30)
    columns = [
        found.table[name]
        for name in ("speed_ratio", "middle_ratio", "speed_cosine", "middle_cosine")
    ]
    (said,) = [s for s in found.verdict if "means of the snapshots move" in s] or [""]
    return np.concatenate(columns[:2]), np.concatenate(columns[2:]), said


RIGHT, UP = np.array([4.0, 0.0]), np.array([0.0, 4.0])


@pytest.mark.parametrize(
    ("factor", "times"),
    [
        *(
            (factor, (0.0, 0.5, 1.0))
            for factor in (0.0, 0.3, 0.79, 0.81, 1.0, 1.05, 1.24, 1.3, 2.0, -1.0)
        ),
        (1.0, (0.0, 0.1, 1.0)),
        (0.7, (0.0, 0.1, 1.0)),
        (1.0, (0.0, 1.0)),
        (1.3, (0.0, 1.0)),
    ],
)
def test_the_speed_of_a_cloud_in_uniform_motion(factor, times):
    ratio, cosine, said = speeds(
        lambda t, x: np.broadcast_to(factor * RIGHT, x.shape), lambda t: t * RIGHT, times
    )
    np.testing.assert_allclose(ratio[np.isfinite(ratio)], abs(factor), atol=1e-6)
    assert np.isfinite(ratio).sum() == 2 * len(times) - 1
    if factor:
        np.testing.assert_allclose(cosine[np.isfinite(cosine)], np.sign(factor), atol=1e-6)
    assert said.startswith("Velocities agree") is (0.8 <= factor <= 1.25)


@pytest.mark.parametrize(
    ("turn", "agrees"),
    [(0.0, True), (np.pi / 8, True), (np.pi / 4, False), (np.pi / 2, False), (np.pi, False)],
)
def test_a_direction_that_is_wrong_is_told_by_the_cosine(turn, agrees):
    direction = 4.0 * np.array([np.cos(turn), np.sin(turn)])
    ratio, cosine, said = speeds(
        lambda t, x: np.broadcast_to(direction, x.shape), lambda t: t * RIGHT
    )
    np.testing.assert_allclose(ratio[np.isfinite(ratio)], 1.0)
    np.testing.assert_allclose(cosine[np.isfinite(cosine)], np.cos(turn), atol=1e-6)
    assert said.startswith("Velocities agree") is agrees


@pytest.mark.parametrize("times", [(0.0, 0.5, 1.0), (0.0, 0.3, 1.0), (0.0, 0.7, 1.0)])
def test_a_mean_on_a_parabola_has_its_speed_at_the_inner_snapshot_and_in_the_middles(times):
    def velocity(t, x):
        return np.broadcast_to(RIGHT + 2.0 * t * UP, x.shape)

    ratio, cosine, _ = speeds(velocity, lambda t: t * RIGHT + t**2 * UP, times)
    for k in (1, 4, 5):
        assert (ratio[k], cosine[k]) == pytest.approx((1.0, 1.0), abs=1e-3)


def test_wrong_in_the_middle_only_is_found_there():
    """The displacement is right, its course is not: slow at the snapshots and fast between them, as
    a sine.
    """
    ratio, _, said = speeds(
        lambda t, x: np.broadcast_to((1.0 - np.cos(4.0 * np.pi * t)) * RIGHT, x.shape),
        lambda t: t * RIGHT,
    )
    np.testing.assert_allclose(ratio[[0, 1, 2, 4, 5]], [0.0, 0.0, 0.0, 2.0, 2.0], atol=1e-6)
    assert "2.00 times at time 0.25 (cosine 1.00)" in said
    assert "0.00 times at time 0.5" in said


@pytest.mark.parametrize("mean", [lambda t: 0.0 * RIGHT, lambda t: 0.01 * t * RIGHT])
def test_a_cloud_that_hardly_moves_has_no_speed_to_compare(mean):
    rng = np.random.default_rng(0)
    snapshots = Snapshots(
        tuple(Population(rng.normal(size=(50, 2)) + mean(t), t) for t in (0.0, 0.5, 1.0))
    )
    found = diagnose(make_flow(lambda t, x: np.broadcast_to(RIGHT, x.shape)), snapshots)
    assert np.isnan(found.table["speed_ratio"]).all()
    assert not any("means of the snapshots move" in sentence for sentence in found.verdict)


def test_where_the_mean_turns_back_it_has_no_speed():
    ratio, _, _ = speeds(
        lambda t, x: np.broadcast_to(np.cos(np.pi * t) * RIGHT, x.shape),
        lambda t: np.sin(np.pi * t) / np.pi * RIGHT,
    )
    assert np.isnan(ratio[1])
    np.testing.assert_allclose(ratio[[0, 2]], np.pi / 2.0, rtol=1e-6)


# All together -------------------------------------------------------------------------------------


def test_an_exact_flow_gets_a_clean_bill():
    flow = make_flow(Straight(), score=Score())
    density = EvolvingDensity(
        flow, GaussianMixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None]), 0.0
    )
    found = diagnose(flow, snapshots_of(), density=density, n_cells=300)
    table = found.table
    assert {len(column) for column in table.values()} == {3}
    np.testing.assert_array_equal(table["n_cells"], 300)
    np.testing.assert_allclose(table["detour"][1:], 1.0, atol=1e-3)
    np.testing.assert_allclose(table["energy_ratio"][1:], 1.0, atol=0.1)
    assert (table["round_trip"][1:] < 1e-5).all()
    assert (table["end_distance"][1:] < 1.4 * table["end_distance_expected"][1:]).all()
    assert (table["imbalance"][1:] < table["imbalance_limit"][1:]).all()
    assert (table["unreached"] < 0.03).all()
    assert (table["cosine_score_density"] > 0.95).all()
    for column in ("cosine_score_shift", "cosine_density_shift"):
        assert (table[column] > table["cosine_limit"] - 0.1).all()
    assert np.isnan(table["energy_ratio"][0])
    said = " ".join(found.verdict)
    for good in (
        "reversible",
        "close to optimal",
        "Paths arrive",
        "have the densities",
        "Velocities agree",
        "Paths cover",
        "agree at every time",
    ):
        assert good in said
    for bad in ("disagree", "detours", "do not arrive", "out of balance", "No path", "too steep"):
        assert bad not in said


def test_the_scale_of_time_and_space_does_not_matter():
    """Times in other units: the same table but for the times themselves."""
    found = diagnose(make_flow(SYSTEM.velocity), snapshots_of(n=60)).table
    slow = make_flow(lambda t, x: SYSTEM.velocity(t / 24.0, x) / 24.0, times=(0.0, 12.0, 24.0))
    slow.__dict__["clock"] = Clock(0.0, 24.0, 12.0, 12.0)
    stretched = Snapshots(
        tuple(Population(p.x, 24.0 * p.time) for p in snapshots_of(n=60).populations)
    )
    again = diagnose(slow, stretched).table
    for name in set(found) - {"time", "from_time", "round_trip"}:
        np.testing.assert_allclose(again[name], found[name], rtol=1e-4, err_msg=name)


def test_a_loop_costs_energy():
    """All cells move together, at speed 2 along a line and at speed pi around a circle, once in
    each interval.
    """

    def looping(t, x):
        angle = 4.0 * np.pi * t
        return np.broadcast_to([2.0 - np.pi * np.sin(angle), np.pi * np.cos(angle)], x.shape)

    cells = np.random.default_rng(0).normal(size=(100, 2))
    snapshots = Snapshots(tuple(Population(cells + [2.0 * t, 0.0], t) for t in (0.0, 0.5, 1.0)))
    found = diagnose(make_flow(looping), snapshots)
    for column in ("detour", "energy_ratio"):
        np.testing.assert_allclose(found.table[column][1:], 1.0 + np.pi**2 / 4.0, rtol=1e-3)
    assert any(
        "detours between times" in sentence and "3.47 times" in sentence
        for sentence in found.verdict
    )


def test_a_flow_that_does_not_arrive_says_so():
    found = diagnose(make_flow(lambda t, x: 0.2 * SYSTEM.velocity(t, x)), snapshots_of(n=150))
    said = " ".join(found.verdict)
    assert "do not arrive" in said
    assert "move less than measured ones are apart" in said
    assert "Paths do not arrive there: train longer" in said
    assert found.table["energy_ratio"][1] < 0.3


def test_scatter_is_told_from_a_way_that_is_left_out():
    """Two samples of one population: nothing has to move, although the clouds are apart."""
    rng = np.random.default_rng(0)
    snapshots = Snapshots(tuple(Population(rng.normal(size=(60, 2)), t) for t in (0.0, 0.5)))
    creeping = make_flow(lambda t, x: np.full_like(x, 1e-3), times=(0.0, 0.5))
    found = diagnose(creeping, snapshots)
    assert found.table["energy_ratio"][1] < 1e-3
    assert found.table["detour"][1] == pytest.approx(1.0, abs=0.01)
    said = " ".join(found.verdict)
    assert "is the scatter of two samples" in said
    assert "train longer" not in said


def test_cells_that_stay_where_they_are_do_not_pass_for_optimal():
    said = " ".join(diagnose(make_flow(still), snapshots_of(n=60)).verdict)
    assert "0.00 times the squared distance. Paths do not arrive there" in said
    assert "close to optimal" not in said


def test_growth_and_a_lineage_out_of_nowhere_are_in_the_verdict():
    rng = np.random.default_rng(0)
    clouds = [two_clouds(300, share, rng) for share in (0.0, 0.0, 0.4)]
    snapshots = Snapshots(
        tuple(Population(x, t) for x, t in zip(clouds, (0.0, 0.5, 1.0), strict=True))
    )
    found = diagnose(make_flow(still), snapshots)
    said = " ".join(found.verdict)
    assert "out of balance at time 1:" in said
    assert "is sent 0.0%" in said
    assert "out of balance at time 0.5" not in said
    assert "No path comes near some cells: 40" in said
    assert clouds[2][found.table["region_cell"][2], 0] > 4.0
    assert found.table["region_cell"][0] == -1


def test_a_wrong_score_is_told_from_a_right_one():
    found = diagnose(make_flow(SYSTEM.velocity, score=Score(-1.0)), snapshots_of(n=200))
    assert (found.table["cosine_score_shift"] < -0.7).all()
    assert any(
        "The score head and the mean shift of the cells disagree" in sentence
        for sentence in found.verdict
    )
    # The level is the one nearest to the kernel, by ratio.
    ratio = np.abs(np.log(np.array(Score().ladder.levels)[:, None] / found.table["bandwidth"]))
    np.testing.assert_array_equal(
        found.table["noise"], np.array(Score().ladder.levels)[ratio.argmin(axis=0)]
    )


def test_a_wrong_density_is_told_from_a_right_one():
    flow = make_flow(Straight(), score=Score())
    elsewhere = GaussianMixture(np.ones(1), np.array([[3.0, 3.0]]), np.eye(2)[None])
    found = diagnose(flow, snapshots_of(n=200), density=EvolvingDensity(flow, elsewhere, 0.0))
    assert (found.table["cosine_density_shift"] < 0.3).all()
    assert (found.table["cosine_score_density"] < 0.3).all()
    assert (found.table["cosine_score_shift"] > 0.8).all()
    said = " ".join(found.verdict)
    assert "The density of the dynamics and the mean shift of the cells disagree" in said
    assert "The score head and the density of the dynamics disagree" in said


def test_without_score_and_density_the_verdict_says_what_is_left_out():
    found = diagnose(make_flow(SYSTEM.velocity), snapshots_of(n=60))
    for column in ("cosine_score_shift", "cosine_density_shift", "cosine_score_density", "noise"):
        assert np.isnan(found.table[column]).all()
    said = " ".join(found.verdict)
    assert "no score" in said
    assert "cf.tl.log_density" in said


def test_every_cell_stays_in_its_condition():
    """Two conditions that move apart; judged together, each would arrive at the other's cells."""

    def apart(t, x, context):
        return np.column_stack([12.0 * (context[:, 0] - context[:, 1]), np.zeros(len(x))])

    rng = np.random.default_rng(0)
    context = np.repeat(np.eye(2), 100, axis=0)
    sign = context[:, 0] - context[:, 1]

    def cells(t, side):
        x = rng.normal(size=(200, 2))
        x[:, 0] += 12.0 * t * side
        return Population(x, t, context=context)

    right = Snapshots((cells(0.0, sign), cells(0.5, sign), cells(1.0, sign)))
    found = diagnose(make_flow(apart, n_context=2), right)
    np.testing.assert_allclose(found.table["detour"][1:], 1.0, atol=1e-3)
    assert (found.table["unreached"] < 0.05).all()
    # Of every condition some cells are drawn, however few.
    few = Population(
        right[0].x, 0.0, context=np.where(np.arange(200)[:, None] < 195, [[1.0, 0.0]], [[0.0, 1.0]])
    )
    rare = diagnose(make_flow(apart, n_context=2), Snapshots((few, right[1])), n_cells=10)
    np.testing.assert_array_equal(rare.table["n_cells"], [11, 10])
    # The same cells with the conditions of the last snapshot exchanged: its places are reached, but
    # by the wrong ones.
    wrong = Snapshots((right[0], right[1], cells(1.0, -sign)))
    assert diagnose(make_flow(apart, n_context=2), wrong).table["unreached"][2] > 0.9


def test_a_certified_plan_is_not_solved_again():
    snapshots = snapshots_of(n=50, times=(0.0, 1.0))
    plans = {"0.0_to_1.0": {"cost": 123.0, "gap": 0.0, "n_source": 50, "n_target": 50}}
    known = diagnose(make_flow(SYSTEM.velocity, times=(0.0, 1.0), plans=plans), snapshots).table[
        "energy_ratio"
    ][1]
    solved = diagnose(make_flow(SYSTEM.velocity, times=(0.0, 1.0)), snapshots).table[
        "energy_ratio"
    ][1]
    exact = problems.wasserstein2(
        problems.Gaussian(np.zeros(2), np.eye(2)),
        problems.Gaussian(SYSTEM.mean(1.0), np.diag(SYSTEM.sd(1.0) ** 2)),
    )
    assert 123.0 * known == pytest.approx(exact**2 / 1.5**2, rel=0.1)
    assert solved == pytest.approx(1.0, abs=0.1)
    plans["0.0_to_1.0"]["gap"] = None
    flow = make_flow(SYSTEM.velocity, times=(0.0, 1.0), plans=plans)
    assert diagnose(flow, snapshots).table["energy_ratio"][1] == solved


def test_few_cells_are_not_judged():
    rng = np.random.default_rng(0)
    snapshots = Snapshots(
        (Population(rng.normal(size=(40, 2)), 0.0), Population(rng.normal(size=(6, 2)), 0.5))
    )
    found = diagnose(make_flow(still), snapshots)
    for column in ("unreached", "imbalance", "end_distance", "bandwidth"):
        assert np.isnan(found.table[column][1])
    assert any(
        "fewer than 10 cells" in sentence and "time 0.5" in sentence for sentence in found.verdict
    )
    with pytest.raises(InputError, match="at least 10"):
        diagnose(make_flow(still), snapshots, n_cells=9)
