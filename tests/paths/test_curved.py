"""Laws of the paths that look at the snapshots first."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cellflow import paths, recipes
from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Exact, Sparse
from cellflow.errors import InputError
from cellflow.paths import (
    DensityCorrected,
    LimitedHermite,
    Linear,
    OverlapAttracted,
    ResidualRotated,
    TimeWarped,
)
from cellflow.paths.chain import Chain, chained
from examples import CURVED

CURVED = CURVED | {"curved-cfm": recipes.curved_cfm().path}


def snapshots_of(n: int = 60, *, times=(0.0, 1.0, 3.0, 4.5), seed: int = 0) -> Snapshots:
    """Clouds that wander along a bend and overlap."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0.0, 0.0], [1.0, 0.7], [2.0, 0.9], [3.0, 0.2]])
    return Snapshots(
        tuple(
            Population(rng.normal(size=(n, 2)) * 0.5 + c, t)
            for c, t in zip(centres, times, strict=True)
        )
    )


def prepared(path, snapshots: Snapshots) -> tuple[paths.Path, Chain]:
    (chain,), _ = chained(snapshots, [Exact()(a, b) for a, b in snapshots.intervals])
    return path.prepared([chain]), chain


def curve(path, snapshots: Snapshots, s: float = 0.4) -> np.ndarray:
    path, chain = prepared(path, snapshots)
    return path.mean(chain.pairs.t0 + s * (chain.pairs.t1 - chain.pairs.t0), chain.pairs).numpy()


@pytest.fixture(scope="module")
def snapshots() -> Snapshots:
    return snapshots_of()


@pytest.mark.parametrize("path", CURVED.values(), ids=CURVED)
def test_starts_and_ends_at_the_cells_of_the_pair(path, snapshots):
    path, chain = prepared(path, snapshots)
    pairs = replace(
        chain.pairs, warp=torch.linspace(-1, 1, len(chain.pairs.x0), dtype=torch.float64)
    )
    torch.testing.assert_close(path.mean(pairs.t0, pairs), pairs.x0)
    torch.testing.assert_close(path.mean(pairs.t1, pairs), pairs.x1)


@pytest.mark.parametrize("path", CURVED.values(), ids=CURVED)
def test_velocity_is_the_time_derivative(path, snapshots):
    path, chain = prepared(path, snapshots)
    n = len(chain.pairs.x0)
    pairs = replace(chain.pairs, warp=torch.linspace(-1, 1, n, dtype=torch.float64))
    gap, z = (
        pairs.t1 - pairs.t0,
        torch.randn(n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
    )
    inside = pairs.t0 + torch.linspace(0.05, 0.95, n, dtype=torch.float64) * gap
    before, after = (paths.sample(path, inside + s * 1e-6 * gap, pairs, z).x for s in (-1, 1))
    velocity = paths.sample(path, inside, pairs, z).velocity
    torch.testing.assert_close(
        velocity * gap[:, None], (after - before) / 2e-6, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("path", CURVED.values(), ids=CURVED)
def test_rescaling_time_changes_no_place(path, snapshots):
    minutes = Snapshots(tuple(replace(p, time=60.0 * p.time) for p in snapshots.populations))
    np.testing.assert_allclose(curve(path, minutes), curve(path, snapshots), atol=1e-9)


@pytest.mark.parametrize("path", CURVED.values(), ids=CURVED)
def test_turning_shifting_and_scaling_the_cells_does_so_to_the_paths(path, snapshots):
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    there = snapshots.moved([7.0 * p.x @ turn + [3.0, -200.0] for p in snapshots.populations])
    np.testing.assert_allclose(
        curve(path, there), 7.0 * curve(path, snapshots) @ turn + [3.0, -200.0], atol=1e-6
    )


@pytest.mark.parametrize("path", CURVED.values(), ids=CURVED)
def test_cells_without_weight_change_nothing(path, snapshots):
    stray = snapshots[1]
    weight = np.append(np.ones(len(stray)), 0.0)
    with_stray = Population(np.vstack([stray.x, [[1.5, 0.8]]]), stray.time, weight)
    populations = list(snapshots.populations)
    populations[1] = with_stray
    path, chain = prepared(path, Snapshots(tuple(populations)))
    assert max(chain.i[1].max(), chain.j[0].max()) < len(stray)
    assert torch.isfinite(path.mean(0.5 * (chain.pairs.t0 + chain.pairs.t1), chain.pairs)).all()


@pytest.mark.parametrize("path", CURVED.values(), ids=CURVED)
def test_duplicates_and_single_cells_give_finite_paths(path):
    populations = (
        Population(np.zeros((6, 2)), 0.0),
        Population(np.array([[1.0, 0.0]]), 1.0),
        Population(np.repeat([[1.0, 0.0], [2.0, 2.0]], 4, axis=0), 2.0),
    )
    assert np.isfinite(curve(path, Snapshots(populations))).all()


@pytest.mark.parametrize("path", CURVED.values(), ids=CURVED)
def test_precision_follows_the_cells(path, snapshots):
    path, chain = prepared(path, snapshots)
    p = chain.pairs
    single = replace(p, x0=p.x0.float(), x1=p.x1.float())
    single_path = path.to("cpu", torch.float32)
    middle = 0.5 * (p.t0 + p.t1)
    assert single_path.mean(middle, single).dtype == torch.float32
    torch.testing.assert_close(
        single_path.mean(middle, single).double(), path.mean(middle, p), rtol=1e-4, atol=1e-4
    )


# The cubic ----------------------------------------------------------------------------------------


def parabolas(times) -> Snapshots:
    """Cells far apart, each on a parabola of its own: the plan is the identity and the motion is
    known.
    """
    rng = np.random.default_rng(3)
    start, velocity, acceleration = (
        100.0 * np.arange(20)[:, None] * [1.0, 0.5],
        *rng.normal(size=(2, 20, 2)),
    )
    return Snapshots(
        tuple(Population(start + velocity * t + 0.5 * acceleration * t**2, t) for t in times)
    )


def test_parabolas_are_followed_exactly_between_inner_snapshots_whatever_the_gaps():
    times = (0.0, 1.0, 1.5, 4.0, 4.2)
    path, chain = prepared(LimitedHermite(limit=1e12, n_neighbors=1), parabolas(times))
    for s in (0.2, 0.5, 0.9):
        t = chain.pairs.t0 + s * (chain.pairs.t1 - chain.pairs.t0)
        found = path.mean(t, chain.pairs).numpy()
        for k, rows in list(enumerate(chain.rows))[1:-1]:
            truth = parabolas([float(t[rows][0])])[0].x[chain.i[k]]
            np.testing.assert_allclose(found[rows], truth, atol=1e-8)


def test_paths_leave_the_first_snapshot_without_curvature():
    path, chain = prepared(LimitedHermite(), snapshots_of())
    p = chain.pairs
    x = [path.mean(p.t0 + s * (p.t1 - p.t0), p)[chain.rows[0]] for s in (0.0, 1e-4, 2e-4)]
    bend = (x[2] - 2 * x[1] + x[0]) / 1e-8
    assert float(bend.norm(dim=1).max()) < 0.01
    inner = [path.mean(p.t0 + s * (p.t1 - p.t0), p)[chain.rows[1]] for s in (0.0, 1e-4, 2e-4)]
    assert float(((inner[2] - 2 * inner[1] + inner[0]) / 1e-8).norm(dim=1).mean()) > 0.1


def test_between_two_snapshots_alone_paths_are_straight():
    two = Snapshots(snapshots_of().populations[:2])
    path, chain = prepared(LimitedHermite(), two)
    p = chain.pairs
    torch.testing.assert_close(path.mean(p.t0 + 0.3 * (p.t1 - p.t0), p), p.x0 + 0.3 * (p.x1 - p.x0))


def test_the_bend_is_limited_by_the_length():
    limit = 0.5
    path, chain = prepared(LimitedHermite(limit=limit), snapshots_of())
    length = (chain.pairs.x1 - chain.pairs.x0).norm(dim=1)
    # Each of the two excesses is below the limit, and s (1 - s)^2 + s^2 (1 - s) is at most a
    # quarter.
    p = chain.pairs
    bend = (path.mean(0.5 * (p.t0 + p.t1), p) - 0.5 * (p.x0 + p.x1)).norm(dim=1)
    assert bool((bend <= 0.25 * limit * length + 1e-12).all())
    assert float(bend.max()) > 0


# Corrections --------------------------------------------------------------------------------------


def ring(n: int, low: float, high: float, t: float, seed: int) -> Population:
    rng = np.random.default_rng(seed)
    angle, radius = rng.uniform(low, high, n), rng.normal(1.0, 0.03, n)
    return Population(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), t)


def test_paths_keep_to_where_cells_are_and_keep_their_speed():
    # Cells wander along an arc, of which every snapshot sees a broad part; chords cut it short.
    snapshots = Snapshots(tuple(ring(300, 0.7 * k, 0.7 * k + 1.4, float(k), k) for k in range(3)))
    path, chain = prepared(DensityCorrected(Linear(smoothing=0.0)), snapshots)
    p = chain.pairs
    straight, corrected = 0.5 * (p.x0 + p.x1), path.mean(0.5 * (p.t0 + p.t1), p)
    assert float((corrected.norm(dim=1) - 1).abs().mean()) < 0.6 * float(
        (straight.norm(dim=1) - 1).abs().mean()
    )
    along = (p.x1 - p.x0) / (p.x1 - p.x0).norm(dim=1, keepdim=True)
    torch.testing.assert_close(
        ((corrected - straight) * along).sum(dim=1), torch.zeros(len(p.x0), dtype=torch.float64)
    )


def test_paths_are_drawn_to_cells_that_two_snapshots_share():
    # Two far clouds, and between them, aside, cells of both times: the ahead and the late.
    rng = np.random.default_rng(0)
    between = rng.normal(size=(60, 2)) * 0.1 + [2.0, 0.6]
    early = np.vstack([rng.normal(size=(200, 2)) * 0.2, between[:30]])
    late = np.vstack([rng.normal(size=(200, 2)) * 0.2 + [4.0, 0.0], between[30:]])
    snapshots = Snapshots((Population(early, 0.0), Population(late, 1.0)))
    path, chain = prepared(OverlapAttracted(Linear(smoothing=0.0)), snapshots)
    p = chain.pairs
    far = (p.x1 - p.x0)[:, 0] > 3
    middle = path.mean(0.5 * (p.t0 + p.t1), p)[far]
    straight = (0.5 * (p.x0 + p.x1))[far]
    centre = torch.tensor([2.0, 0.6], dtype=torch.float64)
    assert float((middle - centre).norm(dim=1).mean()) < 0.7 * float(
        (straight - centre).norm(dim=1).mean()
    )


def test_a_void_between_snapshots_straightens_no_bend():
    # Clouds of radius a half, seven apart, on a circle: the nearest cells of a path's middle are
    # those of its own ends.
    rng = np.random.default_rng(0)
    angles = np.linspace(0, 0.75 * np.pi, 4)
    snapshots = Snapshots(
        tuple(
            Population(
                rng.normal(size=(200, 2)) * 0.5 + 10 * np.array([np.cos(a), np.sin(a)]), float(k)
            )
            for k, a in enumerate(angles)
        )
    )
    straight, cubic, whole = (
        curve(p, snapshots, 0.5) for p in (Linear(), LimitedHermite(), recipes.curved_cfm().path)
    )
    bend = [np.linalg.norm(x - straight, axis=1).mean() for x in (cubic, whole)]
    assert bend[1] > 0.7 * bend[0]


def test_outliers_of_clouds_that_hardly_overlap_attract_little():
    # Clouds of radius one, seven apart, on a circle: a few outliers meet halfway, on the chord.
    rng = np.random.default_rng(0)
    angles = np.linspace(0, 0.75 * np.pi, 4)
    snapshots = Snapshots(
        tuple(
            Population(rng.normal(size=(300, 2)) + 10 * np.array([np.cos(a), np.sin(a)]), float(k))
            for k, a in enumerate(angles)
        )
    )
    both = (LimitedHermite(), OverlapAttracted(LimitedHermite()))
    bend = [curve(path, snapshots, 0.5) - curve(Linear(), snapshots, 0.5) for path in both]
    assert (
        np.linalg.norm(bend[1] - bend[0], axis=1).mean()
        < 0.1 * np.linalg.norm(bend[0], axis=1).mean()
    )


def test_snapshots_without_overlap_attract_nothing():
    rng = np.random.default_rng(0)
    apart = Snapshots(
        (
            Population(rng.normal(size=(80, 2)), 0.0),
            Population(rng.normal(size=(80, 2)) + 1000.0, 1.0),
        )
    )
    path, chain = prepared(OverlapAttracted(Linear()), apart)
    p = chain.pairs
    torch.testing.assert_close(path.mean(0.5 * (p.t0 + p.t1), p), 0.5 * (p.x0 + p.x1))


def test_time_is_warped_between_the_ends_and_never_runs_backward(snapshots):
    path, chain = prepared(TimeWarped(Linear(smoothing=0.0), width=0.49), snapshots)
    p = chain.pairs
    gap = (p.t1 - p.t0)[:, None]
    for lead in (-1.0, 0.3, 1.0):
        pairs = replace(p, warp=torch.full_like(p.t0, lead))
        for u in (0.1, 0.5, 0.8):
            t = p.t0 + u * (p.t1 - p.t0)
            z = u + 2 * 0.49 * lead * u * (1 - u)
            torch.testing.assert_close(path.mean(t, pairs), p.x0 + z * (p.x1 - p.x0))
            rate = paths.sample(path, t, pairs, torch.zeros_like(p.x0)).velocity
            assert bool((((p.x1 - p.x0) * rate * gap).sum(dim=1) >= 0).all())


def test_rotation_keeps_the_variance_that_averaging_loses():
    rng = np.random.default_rng(0)
    snapshots = Snapshots(tuple(Population(rng.normal(size=(400, 30)), float(k)) for k in range(2)))
    (chain,), _ = chained(snapshots, [Exact()(*snapshots.intervals[0])])
    middle = 0.5 * (chain.pairs.t0 + chain.pairs.t1)
    rotated = (
        ResidualRotated(Linear()).prepared([chain]).mean(middle, chain.pairs).var(dim=0).mean()
    )
    straight = Linear().mean(middle, chain.pairs).var(dim=0).mean()
    assert float(straight) < 0.75
    assert 0.85 < float(rotated) < 1.2


def test_in_few_dimensions_nothing_is_rotated(snapshots):
    np.testing.assert_array_equal(
        curve(ResidualRotated(LimitedHermite()), snapshots), curve(LimitedHermite(), snapshots)
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: LimitedHermite(smoothing=-0.1),
        lambda: LimitedHermite(limit=0.0),
        lambda: LimitedHermite(n_neighbors=0),
        lambda: DensityCorrected(Linear(), strength=float("nan")),
        lambda: OverlapAttracted(Linear(), reach=-1.0),
        lambda: TimeWarped(Linear(), width=0.5),
        lambda: TimeWarped(Linear(), width=True),
        lambda: ResidualRotated(Linear(), n_neighbors=1.5),
    ],
)
def test_arguments_are_checked(make):
    with pytest.raises(InputError, match="expected"):
        make()


def test_a_cell_whose_weight_rounds_to_nothing_changes_nothing():
    """Its plan moves it nowhere, which is no number; its neighbours' velocities are numbers all the
    same.
    """
    weight = np.r_[1e-20, np.ones(59)]
    light = Snapshots(tuple(Population(p.x, p.time, weight) for p in snapshots_of().populations))
    gone = Snapshots(tuple(Population(p.x[1:], p.time) for p in light.populations))
    made = {}
    for name, snapshots in (("light", light), ("gone", gone)):
        (chain,), _ = chained(snapshots, [Sparse()(a, b) for a, b in snapshots.intervals])
        path = LimitedHermite(n_neighbors=5).prepared([chain])
        made[name] = path.mean(
            chain.pairs.t0 + 0.4 * (chain.pairs.t1 - chain.pairs.t0), chain.pairs
        ).numpy()
    assert np.isfinite(made["light"]).all()
    # One pair more or less in the table changes the mean over its pairs by a little.
    apart = np.linalg.norm(made["light"][:, None] - made["gone"], axis=2).min(axis=1)
    assert np.mean(apart < 0.01) > 0.9
