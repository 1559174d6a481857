"""Translation: known maps come back, and the checks tell a translation from none."""

from functools import partial

import numpy as np
import pytest
from cellflow.recipes import ot_cfm

from cellflow.analysis.translation import (
    Checks,
    check_translation,
    displacement,
    fit_translation,
    moved_over,
    round_trip_error,
)
from cellflow.core.population import Population
from cellflow.couplings import Exact
from cellflow.errors import InputError
from cellflow.model.fitting import fit
from cellflow.training import Training
from problems import SOURCE, TARGET, transport_map

N = 300
#: A narrow path, so that the map of the cells is learned and not the one of blurred cells.
FIT = partial(
    fit,
    recipe=ot_cfm(coupling=Exact(), smoothing=0.02, training=Training(steps=300, batch_size=128)),
)


def group(gaussian, n=N, seed=0, shift=0.0):
    return Population(gaussian.sample(n, np.random.default_rng(seed)) + shift, 0.0)


@pytest.fixture(scope="module")
def shifted():
    source = group(SOURCE)
    target = group(SOURCE, seed=1, shift=np.array([4.0, -2.0]))
    flow = fit_translation(source, target, FIT)
    others = {"near": group(SOURCE, n=50, seed=2).x}
    return flow, source, check_translation(flow, source, target, FIT, others=others)


def test_a_shift_comes_back(shifted):
    flow, source, checks = shifted
    moves = moved_over(flow, source.x) - source.x
    np.testing.assert_allclose(moves.mean(axis=0), [4.0, -2.0], atol=0.15)
    assert np.median(np.linalg.norm(moves - [4.0, -2.0], axis=1)) < 0.3
    assert checks.displacement == pytest.approx(np.sqrt(20.0), rel=0.05)
    np.testing.assert_allclose(displacement(flow, source.x), np.linalg.norm(moves, axis=1))


def test_an_affine_map_between_gaussians_comes_back():
    source, target = group(SOURCE, seed=3), group(TARGET, seed=4)
    moved = moved_over(fit_translation(source, target, FIT), source.x)
    truth = TARGET.mean + (source.x - SOURCE.mean) @ transport_map(SOURCE, TARGET).T
    spread = np.sqrt(np.trace(TARGET.cov))
    assert np.median(np.linalg.norm(moved - truth, axis=1)) < 0.25 * spread
    np.testing.assert_allclose(moved.mean(axis=0), TARGET.mean, atol=0.2)


def test_there_and_back_is_where_it_was(shifted):
    flow, source, checks = shifted
    assert checks.round_trip == round_trip_error(flow, source.x) < 0.01
    there = moved_over(flow, source.x)
    np.testing.assert_allclose(moved_over(flow, there, back=True), source.x, atol=0.05)


def test_held_out_cells_arrive_at_held_out_cells(shifted):
    _, _, checks = shifted
    assert checks.w1_before == pytest.approx(np.sqrt(20.0), rel=0.1)
    assert checks.w1_after < checks.w1_floor + 0.25
    assert abs(checks.c2st - 0.5) < max(0.1, 3.0 * checks.c2st_standard_error)


def test_sampling_alone_moves_a_cell_little(shifted):
    _, _, checks = shifted
    assert checks.displacement_null < 0.15 * checks.displacement
    # Cells of the same place as the source are moved as it is, which a map cannot avoid and the
    # check says.
    assert checks.displacement_others["near"] == pytest.approx(1.0, abs=0.1)


def test_a_null_pair_is_told_to_be_one():
    """Two draws of one group: there is nothing to translate, and the displacement is no more than
    sampling makes.
    """
    source, target = group(SOURCE, seed=5), group(SOURCE, seed=6)
    checks = check_translation(fit_translation(source, target, FIT), source, target, FIT)
    spread = np.sqrt(np.trace(SOURCE.cov))
    assert checks.displacement < 0.35 * spread
    assert checks.displacement < 2.0 * checks.displacement_null
    assert checks.w1_before < 2.0 * checks.w1_floor
    assert checks.displacement_others == {}


def test_weights_count():
    """Source cells that weigh nothing do not shape the map."""
    x = np.concatenate([group(SOURCE, n=100).x, np.full((50, 2), 30.0)])
    source = Population(x, 7.0, np.r_[np.ones(100), np.zeros(50)])
    target = group(SOURCE, n=100, seed=1, shift=np.array([4.0, 0.0]))
    flow = fit_translation(source, target, FIT)
    assert displacement(flow, x[:100]).mean() == pytest.approx(4.0, abs=0.3)


@pytest.mark.parametrize("which", ["source", "target"])
def test_too_few_cells_are_refused_before_any_fit(which):
    groups = {"source": group(SOURCE, n=50), "target": group(TARGET, n=50)}
    groups[which] = Population(groups[which].x, 0.0, np.r_[np.ones(39), np.zeros(11)])

    def never(snapshots):
        pytest.fail("fitted first")

    with pytest.raises(InputError, match=f"The {which} has 39 cells; expected at least 40"):
        check_translation(None, groups["source"], groups["target"], never)


def test_checks_are_plain_numbers(shifted):
    checks = shifted[2]
    assert isinstance(checks, Checks)
    values = [v for k, v in vars(checks).items() if k != "displacement_others"]
    assert all(type(v) is float for v in values)
