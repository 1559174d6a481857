"""Cells of many start times, followed together; the dynamics is a rotation with a known answer."""

from types import SimpleNamespace

import numpy as np
import pytest

from cellflow.analysis.following import follow, nearest_station
from cellflow.core.population import Clock
from cellflow.simulation import Trajectories
from problems import SPIRAL


class Exact:
    """As much of a `Flow` as is needed, with the exact solution; remembers what it was asked."""

    clock = Clock(0.0, 4.0, 2.0, 2.0)
    step = 0.2
    times = np.array([0.0, 1.5, 4.0])

    def __init__(self):
        self.asked = []

    def simulate(self, x, t0, times, *, context=None):
        self.asked.append((len(x), t0, times[0]))
        states = np.stack([SPIRAL.solution(x, t - t0) for t in times])
        growth = np.array(times)[:, None] - t0 + 0 * x[:, 0]
        return Trajectories(np.asarray(times), states, {"log_weight": growth}, np.arange(len(x)))


STARTS = {
    "one snapshot": np.zeros(6),
    "snapshots": np.array([0.0, 1.5, 4.0, 1.5, 0.0, 4.0]),
    "rounded": nearest_station(Exact(), np.array([0.13, 3.97, 1.5, 2.22, 0.0, 4.0])),
    "anything": np.array([0.13, 3.97, 1.5, 2.22, 0.0, 9.0]),
    "outside": np.array([-3.0, 8.0, -3.0, 6.0, -1.0, 5.0]),
}
X = np.random.default_rng(0).normal(size=(6, 2))


@pytest.mark.parametrize("starts", STARTS)
@pytest.mark.parametrize(
    "times", [[0.0, 1.5, 4.0], [2.0], [-1.0, 0.7, 5.0], np.linspace(0.0, 4.0, 50)]
)
def test_each_cell_is_where_its_own_solution_is(starts, times):
    moved = follow(Exact(), X, STARTS[starts], np.asarray(times))
    expected = np.stack(
        [
            [SPIRAL.solution(X[i : i + 1], t - s)[0] for t in times]
            for i, s in enumerate(STARTS[starts])
        ]
    )
    np.testing.assert_allclose(moved.x.transpose(1, 0, 2), expected, rtol=1e-5, atol=1e-6)
    # A growth of one per unit of time, counted from each cell's own start.
    grown = np.asarray(times)[:, None] - STARTS[starts]
    np.testing.assert_allclose(moved.log_weight, grown, atol=1e-9)


def test_a_cell_stops_where_it_would_stop_alone():
    """So that its result does not depend on the others, to the last bit."""
    times = np.array([0.0, 0.7, 4.0])
    for starts in STARTS.values():
        for i, start in enumerate(starts):
            alone, together = Exact(), Exact()
            follow(alone, X[i : i + 1], starts[i : i + 1], times)
            follow(together, X, starts, times)
            assert {a[1:] for a in alone.asked} <= {a[1:] for a in together.asked}, start


def test_nobody_is_moved_further_than_asked():
    flow = Exact()
    follow(flow, X, STARTS["snapshots"], np.array([1.0, 2.0]))
    assert {(n, a, b) for n, a, b in flow.asked if b > 2.0 > a or b < 1.0 < a} == set()
    # Two cells go forward from the start; two come back from the end; two are in the middle and do
    # both.
    assert max(n for n, a, b in flow.asked if a < b <= 1.0) == 2
    assert max(n for n, a, b in flow.asked if b > 1.5) == 4


def test_stations_are_shared_and_starts_are_rounded_to_them():
    flow = Exact()
    follow(flow, X, STARTS["rounded"], np.array([4.0]))
    assert len(flow.asked) <= len(np.arange(0.0, 4.0, 0.2)) + 2
    np.testing.assert_allclose(nearest_station(flow, np.array([0.29, 0.31])), [0.2, 0.4])


def test_a_station_that_is_a_snapshot_but_for_rounding_is_that_snapshot():
    clock = Clock(4.1, 20.7, 8.3, 8.3)
    flow = SimpleNamespace(clock=clock, step=clock.unit / 10, times=np.array([4.1, 11.7, 20.7]))
    assert nearest_station(flow, np.array([4.1, 20.69, 20.7])).tolist() == [4.1, 20.7, 20.7]
    assert nearest_station(flow, np.array([11.0]))[0] == pytest.approx(4.1 + 8 * 0.83)
