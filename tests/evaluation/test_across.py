import numpy as np
import pandas as pd
import pytest

from cellflow.core.population import Population, Snapshots

RNG = np.random.default_rng


@pytest.fixture
def across(script):
    return script("across")


@pytest.fixture
def methods(script):
    return script("methods")


def translated(n=30, steps=(0.0, 1.0, 3.0)):
    """One cloud that moves by one unit of time per unit of length."""
    x = RNG(0).normal(size=(n, 2))
    return Snapshots(tuple(Population(x + [t, 0.0], t) for t in steps))


def test_all_cells_are_drawn_once_where_as_many_are_asked_for(across):
    x = RNG(0).normal(size=(20, 2))
    drawn = across.drawn(Population(x, 0.0), 20, RNG(1))
    np.testing.assert_array_equal(np.sort(drawn, axis=0), np.sort(x, axis=0))


def test_no_cell_is_drawn_twice_where_there_are_enough(across):
    drawn = across.drawn(Population(np.arange(20.0)[:, None], 0.0), 7, RNG(1))
    assert len(np.unique(drawn)) == 7


def test_each_source_cell_gives_one_point_of_the_straight_path(across, methods):
    """Rows of the plan split, because the clouds differ in size; sources are so far apart that
    points tell theirs.
    """
    source = Population(1000.0 * np.arange(3.0)[:, None], 0.0)
    target = Population(RNG(0).random((10, 1)), 2.0)
    straight = methods.named("straight")(Snapshots((source, target)), 1.0, random_state=0)["P1"]
    assert len(straight) > 3
    for seed in range(5):
        np.testing.assert_array_equal(across.drawn(straight, 3, RNG(seed))[:, 0] // 500, [0, 1, 2])


def test_the_straight_path_of_a_translation_is_the_truth(across, methods):
    snapshots = translated()
    predicted = methods.named("straight")(snapshots.without(1.0), 1.0, random_state=0)["P1"]
    found = across.scored(predicted, snapshots.at(1.0), 30)
    assert (found["w1"], found["energy"]) == pytest.approx((0.0, 0.0), abs=1e-8)


def test_two_samples_of_one_law_have_no_unbiased_energy_distance_on_average(across):
    x = [Population(RNG(k).normal(size=(12, 2)), 0.0) for k in range(400)]
    found = [across.scored(a, b, 12) for a, b in zip(x[::2], x[1::2], strict=True)]
    assert abs(np.mean([f["unbiased"] for f in found])) < 0.03
    assert np.mean([f["energy"] for f in found]) > 0.2


def test_rows_are_not_computed_twice(across, methods):
    snapshots, straight = translated(), methods.named("straight")
    (row,) = across.results("a set", snapshots, straight, 0, set())
    assert (row["time"], row["n"]) == (1.0, 30)
    done = {tuple(row[k] for k in ("set", "time", "seed", "method", "configuration"))}
    assert list(across.results("a set", snapshots, straight, 0, done)) == []


def test_another_configuration_is_another_result(methods):
    names = [
        "ot-cfm",
        "ot-cfm@500",
        "path ot-cfm",
        "i-cfm",
        "straight",
        "previous",
        "torchcfm",
        "torchcfm i-cfm",
    ]
    found = [methods.named(name) for name in names]
    assert len({(method.name, methods.configuration(method)) for method in found}) == len(names)
    assert found[1].recipe.training.steps == 500
    plain, scaled = (methods.named("torchcfm", scale=scale) for scale in ("none", "joint"))
    assert methods.configuration(plain) != methods.configuration(scaled)


def test_ratios_are_geometric_means(across):
    more = {"unbiased": 1.0, "cells": 10, "least": 5}
    rows = [
        {
            "set": "s",
            "time": t,
            "seed": 0,
            "method": m,
            "protocol": "P1",
            "configuration": "",
            "n": 5,
            "seconds": 1.0,
        }
        | more
        | values
        for t, m, values in [
            (1.0, "straight", {"w1": 1.0, "energy": 1.0}),
            (2.0, "straight", {"w1": 2.0, "energy": 1.0}),
            (1.0, "ours", {"w1": 0.5, "energy": 4.0}),
            (2.0, "ours", {"w1": 4.0, "energy": 4.0}),
        ]
    ]
    (found,) = across.ratios(pd.DataFrame(rows), "P1").to_dict("records")
    assert found["w1"] == pytest.approx(1.0)
    assert found["energy"] == pytest.approx(4.0)
    assert found["fits"] == 2


def test_a_peer_learns_a_translation_and_leaves_global_seeds_alone(script):
    pytest.importorskip("torchcfm", reason="torchcfm, the peer, is not installed")
    peers = script("peers")
    snapshots = translated(60)
    method = peers.Torchcfm("ot-cfm", scale="joint", batch_size=32, max_steps=120)
    np.random.seed(5)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    found = method(snapshots.without(1.0), 1.0, random_state=0)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    again = method(snapshots.without(1.0), 1.0, random_state=0)
    np.testing.assert_array_equal(found["P1"].x, again["P1"].x)
    assert np.abs(found["P1"].x - snapshots.at(1.0).x).mean() < 0.3
    assert found["P1"].time == 1.0
    assert set(found) == {"P1", "P2"}


def test_a_course_keeps_its_checkpoints_and_its_best(script):
    pytest.importorskip("torchcfm", reason="torchcfm, the peer, is not installed")
    peers = script("peers")
    course = peers.Torchcfm("sf2m", batch_size=16, max_steps=56, patience=1).course(
        translated(40), 0, checkpoints=[20, 70]
    )
    assert {step: peer.steps for step, peer in course.checkpoints.items()} == {20: 20, 70: 70}
    assert course.stopped.steps <= course.stop <= 56
    assert course.stopped.steps % 14 == 0
    assert course.stopped.score is not None
