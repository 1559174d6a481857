"""A flow with a score: diffusions with its marginals, samples of a time, refinement, storage."""

import numpy as np
import pytest

import problems
from cellflow import Flow, Snapshots, fit, recipes
from cellflow.analysis.refinement import noise_carried, refine
from cellflow.errors import InputError
from cellflow.metrics import wasserstein
from cellflow.training import Training

N = 1500


@pytest.fixture(scope="module")
def snapshots():
    rng = np.random.default_rng(0)
    x = [problems.SOURCE.sample(N, rng), problems.TARGET.sample(N, rng)]
    return Snapshots.from_arrays(np.concatenate(x), np.repeat([0.0, 2.0], N))


@pytest.fixture(scope="module")
def bridge(snapshots):
    """A Schroedinger bridge between two normal distributions; sigma in model coordinates, where one
    number scales all.
    """
    return fit(snapshots, recipes.sf2m(sigma=0.5), random_state=0, progress=False)


def law(flow, t):
    return problems.schroedinger_bridge(
        problems.SOURCE, problems.TARGET, 0.5 * float(flow.frame.scale[0]), gap=2.0, s=t / 2.0
    )


def near(x, p, *, atol):
    np.testing.assert_allclose(x.mean(axis=0), p.mean, atol=atol)
    np.testing.assert_allclose(np.cov(x.T), p.cov, atol=atol)


def test_the_score_is_that_of_the_bridge(bridge):
    for t in (0.5, 1.0, 1.5):
        x = law(bridge, t).sample(500, np.random.default_rng(1))
        exact, found = law(bridge, t).score(x), bridge.score(x, t)
        assert np.linalg.norm(found - exact) < 0.2 * np.linalg.norm(exact)


@pytest.mark.parametrize("sigma", [None, 0.2, 1.0])
def test_any_width_forward_and_reversed_has_the_marginals_of_the_bridge(bridge, sigma):
    rng = np.random.default_rng(1)
    for start, source, times in (
        (0.0, problems.SOURCE, [1.0, 2.0]),
        (2.0, problems.TARGET, [1.0, 0.0]),
    ):
        moved = bridge.diffuse(source.sample(4000, rng), start, times, sigma=sigma)
        for k, t in enumerate(times):
            near(moved.x[k], law(bridge, t), atol=0.2)


def test_the_flow_and_the_diffusion_agree_with_the_closed_form(bridge):
    x = problems.SOURCE.sample(4000, np.random.default_rng(1))
    near(bridge.simulate(x, 0.0, [1.0]).x[0], law(bridge, 1.0), atol=0.2)


def test_replicates_differ_and_each_ones_noise_is_its_own(bridge):
    x = problems.SOURCE.sample(30, np.random.default_rng(1))
    moved = bridge.diffuse(x, 0.0, [1.0], n_rep=3, random_state=5)
    assert moved.x.shape == (1, 90, 2)
    assert moved.source.tolist() == np.repeat(np.arange(30), 3).tolist()
    assert len(np.unique(moved.x[0], axis=0)) == 90
    alone = bridge.diffuse(x[[7]], 0.0, [1.0], n_rep=3, random_state=5, keys=np.array([7]))
    np.testing.assert_array_equal(alone.x[0], moved.x[0, 21:24])


def test_a_population_is_drawn_from_the_score_alone(bridge):
    for t in (0.0, 1.0, 2.0):
        drawn = bridge.sample(2000, t)
        real = law(bridge, t).sample(2000, np.random.default_rng(3))
        floor = wasserstein(law(bridge, t).sample(2000, np.random.default_rng(4)), real)
        assert wasserstein(drawn, real) < floor + 0.25


def test_it_is_stored_and_read_back_bit_for_bit(bridge, tmp_path):
    bridge.save(tmp_path / "flow")
    again = Flow.load(tmp_path / "flow")
    x = problems.SOURCE.sample(10, np.random.default_rng(1))
    for noise in (0.0, 0.5):
        np.testing.assert_array_equal(
            again.score(x, 1.0, noise=noise), bridge.score(x, 1.0, noise=noise)
        )
    np.testing.assert_array_equal(again.diffuse(x, 0.0, [2.0]).x, bridge.diffuse(x, 0.0, [2.0]).x)
    assert again.score_network.ladder == bridge.score_network.ladder


def test_a_flow_of_the_first_format_is_read(snapshots):
    flow = fit(snapshots, recipes.i_cfm(training=Training(steps=5)), progress=False)
    config, arrays = flow.state()
    recipe = {k: v for k, v in config["recipe"].items() if k not in {"score", "ladder"}}
    older = {k: v for k, v in config.items() if k not in {"ladder", "n_context"}} | {
        "format": 1,
        "recipe": recipe,
    }
    again = Flow.from_state(older, arrays)
    x = problems.SOURCE.sample(10, np.random.default_rng(1))
    np.testing.assert_array_equal(again.velocity(x, 1.0), flow.velocity(x, 1.0))


def test_without_a_score_it_says_what_to_do(snapshots):
    flow = fit(snapshots, recipes.ot_cfm(training=Training(steps=5)), progress=False)
    x = problems.SOURCE.sample(3, np.random.default_rng(1))
    for ask in (
        lambda: flow.diffuse(x, 0.0, [1.0]),
        lambda: flow.score(x, 1.0),
        lambda: flow.sample(3, 1.0),
    ):
        with pytest.raises(InputError, match="score=True"):
            ask()


@pytest.mark.parametrize("sigma", [0.0, -1.0, np.nan, "wide"])
def test_a_width_that_is_none_is_refused(bridge, sigma):
    with pytest.raises(InputError, match="sigma"):
        bridge.diffuse(np.zeros((2, 2)), 0.0, [1.0], sigma=sigma)


# A curved sheet in twenty dimensions --------------------------------------------------------------

DIMS = 20
AXES = np.linalg.qr(np.random.default_rng(3).normal(size=(DIMS, DIMS)))[0][:, :3]


def sheet(n, shift, rng):
    """A piece of a cylinder of radius two, which slides around its axis."""
    angle, height = rng.uniform(-2, 2, n) + shift, rng.uniform(-1.5, 1.5, n)
    return np.column_stack([2 * np.sin(angle), 2 * np.cos(angle), height]) @ AXES.T


def distance_to_sheet(x):
    inside = x @ AXES
    beyond = np.maximum(np.abs(inside[:, 2]) - 1.5, 0)
    off = ((x - inside @ AXES.T) ** 2).sum(axis=1)
    return np.sqrt(off + (np.hypot(inside[:, 0], inside[:, 1]) - 2) ** 2 + beyond**2)


@pytest.fixture(scope="module")
def on_sheet():
    rng = np.random.default_rng(0)
    x = np.concatenate([sheet(800, shift, rng) for shift in (0.0, 0.5)])
    snapshots = Snapshots.from_arrays(x, np.repeat([0.0, 1.0], 800))
    recipe = recipes.ot_cfm(training=Training(steps=700)).with_score()
    return snapshots, fit(snapshots, recipe, random_state=0, progress=False)


@pytest.mark.parametrize("width", [0.15, 0.4])
def test_refinement_halves_the_distance_to_a_sheet_and_w1_does_not_grow(on_sheet, width):
    snapshots, flow = on_sheet
    rng = np.random.default_rng(1)
    off = sheet(600, 0.5, rng) + width * rng.normal(size=(600, DIMS))
    noise = noise_carried(flow, off, 1.0, snapshots)
    assert noise * flow.frame.scale[0] == pytest.approx(width, rel=0.15)
    back = refine(flow, off, 1.0, noise=noise)
    real = sheet(800, 0.5, rng)
    assert distance_to_sheet(back).mean() < 0.5 * distance_to_sheet(off).mean()
    assert wasserstein(back, real) < wasserstein(off, real)


def test_cells_on_the_sheet_are_left_alone(on_sheet):
    snapshots, flow = on_sheet
    there = sheet(300, 0.5, np.random.default_rng(1))
    noise = noise_carried(flow, there, 1.0, snapshots)
    assert noise == 0.0
    np.testing.assert_array_equal(refine(flow, there, 1.0, noise=noise), there)


def test_the_noise_of_a_population_does_not_depend_on_the_order_of_rows(on_sheet):
    snapshots, flow = on_sheet
    rng = np.random.default_rng(1)
    off = sheet(300, 0.5, rng) + 0.1 * rng.normal(size=(300, DIMS))
    turned = Snapshots.from_arrays(
        np.concatenate([p.x[rng.permutation(len(p))] for p in snapshots.populations]),
        np.repeat([0.0, 1.0], 800),
    )
    found = noise_carried(flow, off, 1.0, snapshots)
    assert noise_carried(flow, off[rng.permutation(300)], 1.0, turned) == found > 0


@pytest.mark.parametrize("times", [[np.nan, 1.0], [np.inf]])
def test_times_that_are_none_are_refused(bridge, times):
    with pytest.raises(InputError, match="finite"):
        bridge.diffuse(np.zeros((2, 2)), 0.0, times)
    with pytest.raises(InputError, match="noise"):
        bridge.score(np.zeros((2, 2)), 1.0, noise=-1.0)


def test_a_generator_has_no_score(snapshots):
    with pytest.raises(InputError, match="generates cells from noise"):
        fit(snapshots, recipes.fm().with_score(), progress=False)


def test_no_times_give_no_states(bridge):
    assert bridge.diffuse(np.zeros((3, 2)), 0.0, []).x.shape == (0, 3, 2)
