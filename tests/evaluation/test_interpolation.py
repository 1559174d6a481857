"""A method's paths without its network."""

from dataclasses import replace

import numpy as np
import pytest

from cellflow import recipes
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError
from cellflow.evaluation import ot_interpolation, path_interpolation
from cellflow.metrics import energy_distance, wasserstein
from cellflow.model.fitting import couple
from cellflow.paths import LimitedHermite


def on_an_arc(n: int = 200, times=(0.0, 1.0, 2.0, 3.0), seed: int = 0) -> Snapshots:
    """A cloud that travels along a quarter of a circle of radius ten."""
    rng = np.random.default_rng(seed)
    angles = [0.5 * np.pi * t / 3 for t in times]
    return Snapshots(
        tuple(
            Population(rng.normal(size=(n, 2)) * 0.5 + 10 * np.array([np.cos(a), np.sin(a)]), t)
            for a, t in zip(angles, times, strict=True)
        )
    )


def test_straight_paths_are_interpolation_along_the_plan():
    rest = on_an_arc().without(1.0)
    straight, plan = (
        path_interpolation(rest, 1.0, "ot-cfm"),
        ot_interpolation(rest, 1.0, np.random.default_rng(0)),
    )
    # The model's coordinates change nothing about straight lines; equal clouds have one edge per
    # cell.
    assert wasserstein(straight.x, plan.x, x_weight=straight.weight, y_weight=plan.weight) < 1e-4


def test_curved_paths_follow_the_bend_of_the_population():
    snapshots = on_an_arc()
    for time in (1.0, 2.0):
        rest, real = snapshots.without(time), snapshots.at(time)
        straight, curved = (path_interpolation(rest, time, m) for m in ("ot-cfm", "curved-cfm"))
        assert wasserstein(curved.x, real.x) < 0.7 * wasserstein(straight.x, real.x)
        assert energy_distance(curved.x, real.x) < 0.5 * energy_distance(straight.x, real.x)


def test_plans_are_reused_and_checked():
    rest = on_an_arc(60).without(1.0)
    plans = couple(rest, recipes.curved_cfm())
    np.testing.assert_array_equal(
        path_interpolation(rest, 1.0, "curved-cfm", plans=plans).x,
        path_interpolation(rest, 1.0, "curved-cfm").x,
    )
    for other, recipe in ((on_an_arc(61).without(1.0), "curved-cfm"), (rest, "sb-cfm")):
        with pytest.raises(InputError, match="Pass what `couple` returns"):
            path_interpolation(other, 1.0, recipe, plans=plans)


def test_a_snapshot_at_the_time_itself_is_left_out_first():
    with pytest.raises(InputError, match=r"pass snapshots\.without\(1\)"):
        path_interpolation(on_an_arc(20), 1.0, "curved-cfm")


def test_what_is_prepared_serves_its_own_path_only():
    rest = on_an_arc(60).without(1.0)
    gentle, sharp = (
        replace(recipes.curved_cfm(), path=LimitedHermite(limit=limit)) for limit in (0.5, 4.0)
    )
    plans = couple(rest, gentle)
    alone, both = couple(rest, sharp), plans.prepared(rest, sharp)
    assert [len(p.paths) for p in (plans, alone, both)] == [1, 1, 2]
    wanted = path_interpolation(rest, 1.0, sharp, plans=alone).x
    for shared in (plans, both):
        np.testing.assert_array_equal(path_interpolation(rest, 1.0, sharp, plans=shared).x, wanted)
    assert not np.array_equal(path_interpolation(rest, 1.0, gentle, plans=both).x, wanted)
    assert both.seconds(sharp) > sum(float(s["seconds"]) for s in plans.summaries.values())


@pytest.mark.parametrize("time", [0.0, 3.0, 5.0])
def test_needs_a_snapshot_on_both_sides(time):
    with pytest.raises(InputError, match="both sides"):
        path_interpolation(on_an_arc(20), time, "curved-cfm")
